"""Stage 4: all models of a space, as independent jobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import numpy as np

from pyrobma._format import counted
from pyrobma.errors import DataError, PyrobmaError
from pyrobma.fit.model import (
    Effort,
    Fit,
    Survey,
    extend,
    fingerprint,
    fit_model,
    needs_precision,
    survey,
    with_precision_checked,
    with_spec,
)
from pyrobma.fit.processes import UNGROUPED, Group, orderly_end, stop_chains
from pyrobma.fit.progress import ProgressLine, Work
from pyrobma.fit.settings import SamplerSettings
from pyrobma.fit.stan_data import needs_quadrature, program, refuse_impossible
from pyrobma.models import ModelSpace, ModelSpec, Task
from pyrobma.programs import executable, library

NEGLIGIBLE = 1e-6
"""Posterior probability below which a model stays rough: its chains are not run."""

FULL_SHARE = 0.25
"""Share of a hypothesis's evidence from which a model gets all draws and has to reach
the error asked for; the others in proportion to what they add to errors."""

_SURE = 5.0  # errors of a survey that have to speak against a model
_FEWEST_DRAWS = 300
_SMALLEST_PART = 0.1

SURVEYED_FROM = 9
"""Models from which on all are surveyed before the chains of any are run, so that
those that cannot matter are known."""

_QUADRATURE_COST = 12.0


class Executor(Protocol):
    """What is needed of an executor: that of `concurrent.futures`, Dask, loky, MPI."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Start a job and return its future."""


class FitError(PyrobmaError, RuntimeError):
    """A model could not be fitted; the others are in `fits`.

    Attributes
    ----------
    fits : tuple of Fit
        What was computed before. Give it to `fit_models` or `robma` as ``fits`` to
        go on from there.
    finished : RobmaFit or None
        The same as an ensemble, which can be saved; set by `robma`.
    """

    finished: Any = None

    def __init__(self, message: str, fits: tuple[Fit, ...]) -> None:
        super().__init__(message)
        self.fits = fits

    def __reduce__(self) -> tuple[type[FitError], tuple[str, tuple[Fit, ...]]]:
        """Let the error, with its fits, come back from another process."""
        return FitError, (str(self), self.fits)


class FitInterrupted(KeyboardInterrupt):
    """The user stopped the fit; the models that were finished are in `fits`.

    Attributes
    ----------
    fits : tuple of Fit
        What was computed before. Give it to `fit_models` or `robma` as ``fits`` to
        go on from there.
    finished : RobmaFit or None
        The same as an ensemble, which can be saved; set by `robma`.
    """

    finished: Any = None

    def __init__(self, fits: tuple[Fit, ...]) -> None:
        super().__init__()
        self.fits = fits

    def __reduce__(self) -> tuple[type[FitInterrupted], tuple[tuple[Fit, ...]]]:
        """Let the interrupt, with its fits, come back from another process."""
        return FitInterrupted, (self.fits,)


def fit_models(
    task: Task,
    space: ModelSpace,
    *,
    settings: SamplerSettings | None = None,
    seed: int | None = None,
    cores: int | None = None,
    executor: Executor | None = None,
    fits: Sequence[Fit] = (),
    progress: bool | None = None,
) -> tuple[Fit, ...]:
    """Fit every model of a space.

    Parameters
    ----------
    task : Task
        The data.
    space : ModelSpace
        The models. Models with one posterior are fitted once.
    settings : SamplerSettings, optional
        The chains and the checks. None: the defaults.
    seed : int, optional
        Not negative; it fixes every result, whatever `cores` and `executor` are.
        None draws one.
    cores : int, optional
        Processes at the same time. None: as many as this process may use.
    executor : executor, optional
        Runs whole models as jobs, instead of threads here: anything with the
        ``submit`` of `concurrent.futures`. Each job runs its chains one by one.
    fits : sequence of Fit
        Models fitted before. Those of the same data, priors and settings are not
        fitted again; others are ignored.
    progress : bool, optional
        Whether a bar, in a notebook or on stderr, shows the models done, the first
        unfinished one, and the time gone and left; it vanishes at the end. If stderr is
        no terminal there is a line at every tenth of the work and every 30 seconds.
        None: only of what takes longer than a second, or than 30 where it is lines.

    Returns
    -------
    tuple of Fit
        In the order of the space. Models are extended until the error of their log
        marginal likelihood is small enough for the Bayes factors: see
        `SamplerSettings.max_mcse`.

    Raises
    ------
    DataError
        If `fits` holds something else.
    PriorError
        If fixed weights give an observed estimate no chance of publication.
    FitError
        If a model fails; it carries the fits of the others.
    FitInterrupted
        On Ctrl-C, a `KeyboardInterrupt`; it carries the fits that were finished.
    """
    settings = settings or SamplerSettings()
    own_draws = settings.draws is not None
    settings = settings.resolved(len(space), task.effects.K)
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    cores = cores or _available_cores()
    models = space.models
    fits = _checked(fits)
    for model in models:
        refuse_impossible(task, model)
    if executor is None:
        for name in {program(model) for model in models}:
            executable(name), library(name)  # a missing one is one error, not many
    first = space.first
    distinct = sorted(set(first))
    done = _known(task, space, settings, distinct, fits)
    # Most parameters first: the longest jobs must not start last.
    todo = sorted(
        (i for i in distinct if i not in done), key=lambda i: -len(models[i].free)
    )
    with _pool(executor, cores) as pool:
        surveys: dict[int, Survey] = {}
        free = [i for i in todo if models[i].free]
        if len(free) >= SURVEYED_FROM:
            surveys = _run(
                pool,
                {
                    i: (survey, task, models[i], settings, _model_seed(seed, i))
                    for i in free
                },
                done,
                ProgressLine(_work(task, models, free), progress, "surveyed"),
                inside=executor is None,
                keep=False,
            )
        known = {i: fit.logml for i, fit in done.items()}
        known |= {i: found.second.logml for i, found in surveys.items()}
        efforts = _efforts(known, space, settings, few=bool(surveys) and not own_draws)
        for i in _hopeless(done, surveys, space):
            efforts[i] = Effort(0, np.inf)
        run = [i for i in todo if i not in efforts or efforts[i].draws]
        parallel = 1 if executor is not None else max(1, cores // max(1, len(run)))
        done |= _run(
            pool,
            {
                i: (
                    fit_model, task, models[i], settings, _model_seed(seed, i),
                    parallel, surveys.get(i), efforts.get(i),
                )
                for i in todo
            },
            done,
            ProgressLine(_work(task, models, todo), progress, "models"),
            inside=executor is None,
        )  # fmt: skip
        while True:
            known = {i: fit.logml for i, fit in done.items()}
            efforts = _efforts(known, space, settings)
            imprecise = [
                i
                for i, effort in efforts.items()
                if needs_precision(done[i], settings, effort)
            ]
            if not imprecise:
                break
            parallel = 1 if executor is not None else max(1, cores // len(imprecise))
            done |= _run(
                pool,
                {
                    i: (extend, task, done[i], settings, parallel, efforts[i])
                    for i in imprecise
                },
                done,
                ProgressLine(_work(task, models, imprecise), progress, "refined"),
                inside=executor is None,
            )
    for i, effort in efforts.items():
        done[i] = with_precision_checked(done[i], settings, effort)
    return tuple(
        with_spec(done[i], model) for i, model in zip(first, models, strict=True)
    )


def _hopeless(
    done: dict[int, Fit], surveys: dict[int, Survey], space: ModelSpace
) -> set[int]:
    """Return the models that cannot matter, at the upper ends of their estimates.

    Those whose survey cannot stand alone are not counted on, and not given up.
    """
    low = {i: fit.logml for i, fit in done.items()}
    high: dict[int, float] = {}
    for i, found in surveys.items():
        second = found.second
        if second.reliable:
            low[i] = second.logml - _SURE * second.error
            high[i] = second.logml + _SURE * second.error
    weight = _log_prior(space)
    total = np.logaddexp.reduce([low[i] + weight[i] for i in low] or [-np.inf])
    return {i for i in high if high[i] + weight[i] - total < np.log(NEGLIGIBLE)}


def _log_prior(space: ModelSpace) -> dict[int, float]:
    """Return the log prior probability of each distinct model."""
    weight = dict.fromkeys(space.first, -np.inf)
    for p, i in zip(space.log_prior_prob, space.first, strict=True):
        weight[i] = float(np.logaddexp(weight[i], p))
    return weight


def _shares(logml: dict[int, float], space: ModelSpace) -> dict[int, float]:
    """Return each model's largest share of the evidence for any hypothesis.

    The relative error of that evidence, a side of a Bayes factor, is the sum of its
    models' errors weighted by their shares. Models that are not in `logml` count as
    having no evidence.
    """
    first = space.first
    evidence = space.log_prior_prob + [logml.get(i, -np.inf) for i in first]
    sides = [np.ones(len(first), dtype=bool)]
    for component in sorted(set().union(*(m.alternative for m in space.models))):
        side = np.array([component in model.alternative for model in space.models])
        sides += [side, ~side]
    shares = dict.fromkeys(logml, 0.0)
    for side in sides:
        total = np.logaddexp.reduce(evidence[side]) if side.any() else -np.inf
        if total == -np.inf:
            continue
        own = dict.fromkeys(logml, 0.0)  # models with one posterior err together
        for k in np.flatnonzero(side):
            if first[k] in own:
                own[first[k]] += float(np.exp(evidence[k] - total))
        shares = {i: max(share, own[i]) for i, share in shares.items()}
    return shares


def _efforts(
    logml: dict[int, float],
    space: ModelSpace,
    settings: SamplerSettings,
    *,
    few: bool = False,
) -> dict[int, Effort]:
    """Return what is to be done for each model whose evidence is known, roughly.

    The sum over the models of a hypothesis of (share times error)^2 is then about
    ``max_mcse`` squared, or less. `few` says that the first draws go by share too.
    """
    most = settings.draws or 0
    efforts = {}
    for i, share in _shares(logml, space).items():
        part = min(1.0, np.sqrt(share / FULL_SHARE))
        efforts[i] = Effort(
            max(int(most * part), min(_FEWEST_DRAWS, most)) if few else most,
            settings.max_mcse / max(part, _SMALLEST_PART),
        )
    return efforts


def _checked(fits: Sequence[Fit]) -> tuple[Fit, ...]:
    if not isinstance(fits, Iterable):
        raise DataError(
            "fits: expected a sequence of fitted models (Fit); got "
            f"{type(fits).__name__}. Give the `fits` of an error or of an ensemble."
        )
    given = tuple(fits)
    for position, fit in enumerate(given):
        if not isinstance(fit, Fit):
            raise DataError(
                f"fits: expected fitted models (Fit); got {type(fit).__name__} at "
                f"position {position}. Give the `fits` of an error or of an ensemble."
            )
    return given


def _known(
    task: Task,
    space: ModelSpace,
    settings: SamplerSettings,
    distinct: Sequence[int],
    fits: Sequence[Fit],
) -> dict[int, Fit]:
    """Find the fits of these models among those made before."""
    by_print = {fit.fingerprint: fit for fit in fits}
    prints = {i: fingerprint(task, space.models[i], settings) for i in distinct}
    return {
        i: with_spec(by_print[mark], space.models[i])
        for i, mark in prints.items()
        if mark in by_print
    }


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _model_seed(seed: int, index: int) -> int:
    # By position in the space, so that it does not depend on what runs when.
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0])


@contextmanager
def _pool(executor: Executor | None, cores: int) -> Iterator[Executor]:
    # The jobs of another executor belong to no group, if they run here at all.
    group = UNGROUPED if executor is not None else Group()
    threads = None
    if executor is None:
        threads = ThreadPoolExecutor(max_workers=cores, initializer=group.join)
        executor = threads
    with orderly_end():
        try:
            yield executor
        except BaseException as error:
            # Unless it is a failure, jobs are running: they end with their chains,
            # and at the next density if they have none.
            if threads is not None:
                group.stopped = True
                threads.shutdown(wait=False, cancel_futures=True)
            if not isinstance(error, Exception):
                with suppress(KeyboardInterrupt):  # a second one: wait no longer
                    stop_chains(group)
            raise
        if threads is not None:
            threads.shutdown()


def _work(
    task: Task, models: Sequence[ModelSpec], chosen: Sequence[int]
) -> dict[int, Work]:
    """Name models by their number in the summaries and by what is estimated."""
    work = {}
    for i in chosen:
        free = ", ".join(models[i].free)
        label = f"model {i + 1} ({free})" if free else f"model {i + 1}"
        work[i] = Work(label, relative_cost(task, models[i]))
    return work


def relative_cost(task: Task, model: ModelSpec) -> float:
    """Guess how long a model takes, relative to one without selection."""
    if model.selection is None:
        return 1.0
    quadrature = needs_quadrature(task, model)
    return len(model.selection.intervals) * (_QUADRATURE_COST if quadrature else 1.0)


def _run(
    pool: Executor,
    calls: dict[int, tuple[Any, ...]],
    done: dict[int, Fit],
    line: ProgressLine,
    *,
    inside: bool,
    keep: bool = True,
) -> dict[int, Any]:
    """Run jobs, each a function and its arguments, and collect their results.

    `inside` says whether they run in threads of this process, and `keep` whether they
    are fits, which a failure or an interrupt hands over.
    """
    results: dict[int, Any] = {}
    failures: list[Exception] = []
    jobs: dict[int, Any] = {}
    try:
        with line:
            for i, call in calls.items():
                try:
                    work, *arguments = call
                    if inside:
                        work = line.within(i, work)
                    jobs[i] = pool.submit(work, *arguments)
                except Exception as error:  # a broken pool must not lose finished fits
                    failures.append(error)
                else:
                    line.watch(i, jobs[i])
            line.started()
            for i, job in jobs.items():
                try:
                    results[i] = job.result()
                except Exception as error:
                    failures.append(error)
                line.finished(i)
    except KeyboardInterrupt as error:
        finished = results | _stopped(jobs)
        raise FitInterrupted(
            tuple((done | finished if keep else done).values())
        ) from error
    if failures:
        first = failures[0]
        more = f" ({len(failures)} models failed)" if len(failures) > 1 else ""
        fits = tuple((done | results if keep else done).values())
        kept = f"{counted(len(fits), 'other fit')} {'is' if len(fits) == 1 else 'are'}"
        raise FitError(
            f"{first}{more} The {kept} kept in this error's `fits`; give them as "
            "fits=... to go on from there.",
            fits,
        ) from first
    return results


def _stopped(jobs: dict[int, Any]) -> dict[int, Fit]:
    """Cancel the jobs that can be, and return the fits of those that are done."""
    for job in jobs.values():  # all at once, before others start
        if callable(getattr(job, "cancel", None)):
            job.cancel()
    results: dict[int, Fit] = {}
    for i, job in jobs.items():
        if callable(getattr(job, "done", None)) and job.done():
            # A job that was cancelled or interrupted raises a BaseException too.
            with suppress(BaseException):
                results[i] = job.result()
    return results
