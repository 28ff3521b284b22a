"""Stage 4: all models of a space, or of several, fitted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pyrobma.errors import DataError
from pyrobma.fit.jobs import available_cores, job_pool, run_plan, run_plans
from pyrobma.fit.keeping import FitStore, Keeper
from pyrobma.fit.model import Fit
from pyrobma.fit.plan import fitting_plan, relative_cost
from pyrobma.fit.pool import Executors, JobPool
from pyrobma.fit.progress import ProgressLine, Work
from pyrobma.fit.settings import SamplerSettings
from pyrobma.fit.stan_data import program, refuse_impossible
from pyrobma.models import ModelSpace, Task
from pyrobma.programs import executable, library


def fit_models(
    task: Task,
    space: ModelSpace,
    *,
    settings: SamplerSettings | None = None,
    seed: int | None = None,
    cores: int | None = None,
    executor: Executors | None = None,
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
    executor : executor or callable, optional
        Runs whole models as jobs, instead of threads here: anything with the
        ``submit`` of `concurrent.futures`, or a function that makes such executors,
        which is called again when one is broken; see `JobPool`. Each job runs its
        chains one by one, with the Stan programs of the worker's own package.
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
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    cores = cores or available_cores()
    fits = _checked(fits)
    _check_programs(task, space, executor)
    keeper = Keeper(cache)
    with job_pool(executor, cores) as pool:
        plan = fitting_plan(
            task, space, settings, seed, fits=fits, keeper=keeper,
            parallel=lambda count: _chains(pool, cores, count),
        )  # fmt: skip
        made = run_plan(plan, pool, keeper, progress)
    keeper.tell()
    return made


@dataclass(frozen=True, slots=True)
class Analysis:
    """Models of one data set, among others.

    Attributes
    ----------
    task : Task
        The data.
    space : ModelSpace
        The models.
    seed : int
        Not negative.
    label : str
        Shown while it is the first unfinished one.
    """

    task: Task
    space: ModelSpace
    seed: int
    label: str


def fit_analyses(
    analyses: Sequence[Analysis],
    *,
    settings: SamplerSettings,
    cores: int | None = None,
    executor: Executors | None = None,
    fits: Sequence[Fit] = (),
    progress: bool | None = None,
    what: str = "analyses",
) -> list[tuple[Fit, ...]]:
    """Fit the models of several data sets; no data set waits for another.

    Parameters
    ----------
    analyses : sequence of Analysis
    settings, cores, executor, fits, progress
        As in `fit_models`.
    what : str
        What the analyses are counted as.

    Returns
    -------
    list of tuples of Fit
        What `fit_models` returns for each, to the last bit.

    Raises
    ------
    DataError, PriorError, FitError, FitInterrupted
        As in `fit_models`.
    """
    cores = cores or available_cores()
    fits = _checked(fits)
    for one in analyses:
        _check_programs(one.task, one.space, executor)
    keeper = Keeper(None)
    work = {
        k: Work(one.label, sum(relative_cost(one.task, m) for m in one.space))
        for k, one in enumerate(analyses)
    }
    each = max(1, cores // max(1, len(analyses)))
    with job_pool(executor, cores) as pool:
        plans = {
            k: fitting_plan(
                one.task, one.space, settings, one.seed, fits=fits, keeper=keeper,
                parallel=lambda count: _chains(pool, each, count),
            )
            for k, one in enumerate(analyses)
        }  # fmt: skip
        found = run_plans(plans, pool, keeper, ProgressLine(work, progress, what))
    return [found[k] for k in plans]


def _chains(pool: JobPool, cores: int, models: int) -> int:
    """Return how many chains of a model run at the same time."""
    return max(1, cores // max(1, models)) if pool.inside else 1


def _check_programs(task: Task, space: ModelSpace, executor: Executors | None) -> None:
    """Refuse what cannot be fitted, before anything is."""
    for model in space.models:
        refuse_impossible(task, model)
    if executor is None:
        for name in {program(task, model) for model in space.models}:
            executable(name), library(name)  # a missing one is one error, not many


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
