"""Stage 4: all models of a space, as independent jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyrobma.errors import DataError
from pyrobma.fit.efforts import hopeless_models, model_efforts, survey_evidence
from pyrobma.fit.jobs import Executor, available_cores, job_pool, run_jobs
from pyrobma.fit.keeping import FitStore, Keeper, draws_of
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
from pyrobma.fit.progress import ProgressLine, Work
from pyrobma.fit.settings import SamplerSettings
from pyrobma.fit.stan_data import needs_quadrature, program, refuse_impossible
from pyrobma.models import ModelSpace, ModelSpec, Task
from pyrobma.programs import executable, library

SURVEYED_FROM = 9
"""Models from which on all are surveyed before the chains of any are run, so that
those that cannot matter are known."""

_QUADRATURE_COST = 12.0


def fit_models(
    task: Task,
    space: ModelSpace,
    *,
    settings: SamplerSettings | None = None,
    seed: int | None = None,
    cores: int | None = None,
    executor: Executor | None = None,
    fits: Sequence[Fit] = (),
    cache: FitStore | None = None,
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
        fitted again; others are ignored. One that stayed rough is fitted again where
        it can matter.
    cache : FitStore, optional
        Where to look for models that are not among `fits`, and where they are put as
        they are finished. A run with it that was cut off goes on to the same results.
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
    cores = cores or available_cores()
    models = space.models
    fits = _checked(fits)
    for model in models:
        refuse_impossible(task, model)
    if executor is None:
        for name in {program(model) for model in models}:
            executable(name), library(name)  # a missing one is one error, not many
    first = space.first
    keeper = Keeper(cache)
    seeds = {i: model_seed(seed, i) for i in sorted(set(first))}
    done = _known(task, space, settings, seeds, fits, keeper)
    with job_pool(executor, cores) as pool:
        run = _Run(
            task, space, settings, seeds, keeper, pool,
            None if executor is not None else cores, progress,
        )  # fmt: skip
        done = _started(run, done, few=not own_draws)
        done = _refined(run, done)
    keeper.tell()
    return tuple(
        with_spec(done[i], model) for i, model in zip(first, models, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """What the steps of fitting a space share."""

    task: Task
    space: ModelSpace
    settings: SamplerSettings
    seeds: dict[int, int]  # of the distinct models, by their place
    keeper: Keeper
    pool: Executor
    cores: int | None  # None: jobs run elsewhere
    progress: bool | None

    def missing(self, done: Mapping[int, Fit]) -> list[int]:
        """Return models to fit, those with most parameters first."""
        # The longest jobs must not start last.
        todo = [i for i in self.seeds if i not in done]
        return sorted(todo, key=lambda i: -len(self.space.models[i].free))

    def parallel(self, count: int) -> int:
        """Return how many chains of a model run at the same time."""
        return 1 if self.cores is None else max(1, self.cores // max(1, count))

    def jobs(
        self,
        calls: dict[int, tuple[Any, ...]],
        done: dict[int, Fit],
        what: str,
        *,
        keep: bool = True,
    ) -> dict[int, Any]:
        """Run jobs of models, by place."""
        work = _work(self.task, self.space.models, list(calls))
        return run_jobs(
            self.pool, calls, done, ProgressLine(work, self.progress, what),
            inside=self.cores is not None, keep=keep,
            keeper=self.keeper if keep else None,
        )  # fmt: skip


def _started(run: _Run, done: dict[int, Fit], *, few: bool) -> dict[int, Fit]:
    """Fit what is missing for the first time; many are surveyed before."""
    task, models, settings = run.task, run.space.models, run.settings
    # As many whatever is known: what stays rough must not depend on it.
    many = sum(bool(models[i].free) for i in run.seeds) >= SURVEYED_FROM
    free = [i for i in run.missing(done) if models[i].free]
    found: dict[int, Survey] = {}
    efforts: dict[int, Effort] = {}
    if many:
        found = run.jobs(
            {i: (survey, task, models[i], settings, run.seeds[i]) for i in free},
            done, "surveyed", keep=False,
        )  # fmt: skip
        before = {i: fit for i, fit in done.items() if models[i].free}
        firm = {i: fit for i, fit in before.items() if fit.second is None}
        surveyed = found | {i: f for i, f in before.items() if i not in firm}
        efforts = model_efforts(
            survey_evidence(firm, surveyed), run.space, settings, few=few
        )
        for i in hopeless_models(firm, surveyed, run.space):
            efforts[i] = Effort(0, np.inf)
    hopeless = {i for i, effort in efforts.items() if not effort.draws}
    done = _without_rough(run, done, hopeless)
    todo = run.missing(done)
    parallel = run.parallel(len(set(todo) - hopeless))
    return done | run.jobs(
        {
            i: (
                fit_model, task, models[i], settings, run.seeds[i], parallel,
                found.get(i), efforts.get(i),
            )
            for i in todo
        },
        done, "models",
    )  # fmt: skip


def _without_rough(
    run: _Run, done: dict[int, Fit], hopeless: set[int]
) -> dict[int, Fit]:
    """Leave out fits that stayed rough in an ensemble where they could not matter."""
    kept = dict(done)
    for i, fit in done.items():
        if not fit.rough or i in hopeless:
            continue
        del kept[i]
        full = run.keeper.find(
            fit.spec, fit.fingerprint, run.seeds[i], after=draws_of(fit)
        )
        if full is not None:
            kept[i] = full
    return kept


def _refined(run: _Run, done: dict[int, Fit]) -> dict[int, Fit]:
    """Extend models until they have the precision that their share asks for."""
    settings, keeper = run.settings, run.keeper
    while True:
        known = {i: fit.logml for i, fit in done.items()}
        efforts = model_efforts(known, run.space, settings)
        shorter = {
            i: done[i]
            for i, effort in efforts.items()
            if needs_precision(done[i], settings, effort)
        }
        if not shorter:
            break
        done = done | _longer(shorter, keeper)
        todo = [i for i, fit in shorter.items() if done[i] is fit]
        parallel = run.parallel(len(todo))
        done = done | run.jobs(
            {
                i: (extend, run.task, done[i], settings, parallel, efforts[i])
                for i in todo
            },
            done, "refined",
        )  # fmt: skip
        # Only now: until all are extended, a run that is cut off starts from these.
        for i, fit in shorter.items():
            if draws_of(done[i]) > draws_of(fit):
                keeper.forget(fit)
    return {
        i: with_precision_checked(done[i], settings, effort)
        for i, effort in efforts.items()
    }


def _longer(fits: Mapping[int, Fit], keeper: Keeper) -> dict[int, Fit]:
    """Return stored fits that are these with more draws."""
    longer = {
        i: keeper.find(fit.spec, fit.fingerprint, fit.seed, after=draws_of(fit))
        for i, fit in fits.items()
    }
    return {
        i: with_spec(fit, fits[i].spec) for i, fit in longer.items() if fit is not None
    }


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
    seeds: Mapping[int, int],
    fits: Sequence[Fit],
    keeper: Keeper,
) -> dict[int, Fit]:
    """Find the fits of these models among those made before."""
    by_print = {fit.fingerprint: fit for fit in fits}
    known = {}
    for i, seed in seeds.items():
        spec = space.models[i]
        mark = fingerprint(task, spec, settings)
        fit = by_print.get(mark) or keeper.find(spec, mark, seed)
        if fit is not None:
            known[i] = with_spec(fit, spec)
    return known


def model_seed(seed: int, index: int) -> int:
    """Return the seed of the model at a place, from that of the ensemble."""
    # By position in the space, so that it does not depend on what runs when.
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0])


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
