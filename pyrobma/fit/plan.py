"""Stage 4: what is to be run of an ensemble, given what is done; it runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pyrobma.fit.efforts import hopeless_models, model_efforts, survey_evidence
from pyrobma.fit.jobs import Plan, Wave
from pyrobma.fit.keeping import Keeper, draws_of
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
from pyrobma.fit.progress import Work
from pyrobma.fit.settings import SamplerSettings
from pyrobma.fit.stan_data import needs_quadrature
from pyrobma.models import ModelSpace, ModelSpec, Task

SURVEYED_FROM = 9
"""Models from which on all are surveyed before the chains of any are run, so that
those that cannot matter are known."""

_QUADRATURE_COST = 12.0
_COUNTS_COST = 1.5

_Step: TypeAlias = Generator[Wave, dict[int, Any], dict[int, Fit]]


def fitting_plan(
    task: Task,
    space: ModelSpace,
    settings: SamplerSettings,
    seed: int,
    *,
    fits: Sequence[Fit],
    keeper: Keeper,
    parallel: Callable[[int], int],
) -> Plan:
    """Plan the fit of every model of a space.

    Parameters
    ----------
    task, space, settings, seed, fits
        As in `fit_models`.
    keeper : Keeper
        Where fits of an earlier run may be.
    parallel : callable
        How many chains of a model run at the same time, given the number of models
        that do.

    Returns
    -------
    generator of Wave
        Send it the results of the wave by number; it ends with the fits, in the order
        of the space. Waves wait for each other because what follows must not depend on
        which job ended first.
    """
    own_draws = settings.draws is not None
    settings = settings.resolved(len(space), task.effects.K)
    seeds = {i: model_seed(seed, i) for i in sorted(set(space.first))}
    run = _Run(task, space, settings, seeds, keeper, parallel)
    done = _known(run, fits)
    done = yield from _started(run, done, few=not own_draws)
    done = yield from _refined(run, done)
    return tuple(
        with_spec(done[i], model)
        for i, model in zip(space.first, space.models, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """What the steps of fitting a space share."""

    task: Task
    space: ModelSpace
    settings: SamplerSettings
    seeds: dict[int, int]  # of the distinct models, by their place
    keeper: Keeper
    parallel: Callable[[int], int]

    def missing(self, done: Mapping[int, Fit]) -> list[int]:
        """Return models to fit, those with most parameters first."""
        # The longest jobs must not start last.
        todo = [i for i in self.seeds if i not in done]
        return sorted(todo, key=lambda i: -len(self.space.models[i].free))

    def wave(
        self,
        calls: dict[int, tuple[Any, ...]],
        done: dict[int, Fit],
        what: str,
        *,
        keep: bool = True,
    ) -> Wave:
        """Return jobs of models, by place."""
        work = _work(self.task, self.space.models, list(calls))
        return Wave(calls, work, what, done, keep)


def _started(run: _Run, done: dict[int, Fit], *, few: bool) -> _Step:
    """Fit what is missing for the first time; many are surveyed before."""
    task, models, settings = run.task, run.space.models, run.settings
    # As many whatever is known: what stays rough must not depend on it.
    many = sum(bool(models[i].free) for i in run.seeds) >= SURVEYED_FROM
    free = [i for i in run.missing(done) if models[i].free]
    found: dict[int, Survey] = {}
    efforts: dict[int, Effort] = {}
    if many:
        found = yield run.wave(
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
    made = yield run.wave(
        {
            i: (
                fit_model, task, models[i], settings, run.seeds[i], parallel,
                found.get(i), efforts.get(i),
            )
            for i in todo
        },
        done, "models",
    )  # fmt: skip
    return done | made


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


def _refined(run: _Run, done: dict[int, Fit]) -> _Step:
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
        done = done | (yield run.wave(
            {
                i: (extend, run.task, done[i], settings, parallel, efforts[i])
                for i in todo
            },
            done, "refined",
        ))  # fmt: skip
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


def _known(run: _Run, fits: Sequence[Fit]) -> dict[int, Fit]:
    """Find the fits of these models among those made before."""
    by_print = {fit.fingerprint: fit for fit in fits}
    known = {}
    for i, seed in run.seeds.items():
        spec = run.space.models[i]
        mark = fingerprint(run.task, spec, run.settings)
        fit = by_print.get(mark) or run.keeper.find(spec, mark, seed)
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
    quadrature = needs_quadrature(task, model)
    if task.effects.counts is not None:
        return _COUNTS_COST * (_QUADRATURE_COST if quadrature else 1.0)
    if model.selection is None:
        return 1.0
    return len(model.selection.intervals) * (_QUADRATURE_COST if quadrature else 1.0)
