"""Other models, weights or draws: ensembles of which only what is new is fitted."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from pyrobma.ensemble.cache import FitCache
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.fit import (
    Executors,
    Fit,
    FitError,
    FitInterrupted,
    SamplerSettings,
    SettingsError,
    fit_models,
)
from pyrobma.fit.lengthen import lengthened
from pyrobma.fit.plan import model_seed
from pyrobma.models import ModelSpace, ModelSpec
from pyrobma.models.given import given_models
from pyrobma.models.rebuilt import rebuilt, with_sides
from pyrobma.models.reweighted import with_weights

E = TypeVar("E", bound=Ensemble)


def updated(
    ensemble: E,
    *,
    priors: Mapping[str, Any] | None = None,
    models: ModelSpace | Iterable[ModelSpec] | None = None,
    prior_weights: Mapping[str, float] | Sequence[float] | None = None,
    draws: int | None = None,
    settings: SamplerSettings | None = None,
    seed: int | None = None,
    cores: int | None = None,
    executor: Executors | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> E:
    """Return an ensemble with other models, weights or draws; see `RobmaFit.update`."""
    task = ensemble.task
    if seed is not None and seed != ensemble.seed:
        raise SettingsError(
            f"seed: expected None or {ensemble.seed}, that of the fit; got {seed!r}. "
            "With another seed every model is fitted again: call robma."
        )
    chosen, least = _settings(ensemble, draws, settings)
    space = ensemble.space
    if priors is not None:
        space = with_sides(rebuilt(space, task), task, priors).space(task)
    if models is not None:
        space = space + given_models(models, task)
    if prior_weights is not None:
        space = with_weights(space, prior_weights, task.unknowns)
    computation: dict[str, Any] = {
        "cores": cores, "executor": executor, "progress": progress,
        "cache": None if cache is None else FitCache(cache, task),
    }  # fmt: skip
    # Models that are there no more need no more draws.
    wanted = {spec.likelihood for spec in space}
    known = [fit for fit in ensemble.fits if fit.spec.likelihood in wanted]
    try:
        usable = lengthened(task, known, chosen, least=least, **computation)
        fits = fit_models(
            task, space, settings=chosen, seed=_seed(ensemble.seed, space, usable),
            fits=usable, **computation,
        )  # fmt: skip
    except (FitError, FitInterrupted) as error:
        if error.fits:
            finished = ModelSpace(tuple(fit.spec for fit in error.fits))
            error.finished = replace(
                ensemble, space=finished, fits=error.fits, settings=chosen
            )
        raise
    return replace(ensemble, space=space, fits=fits, settings=chosen)


def _seed(seed: int, space: ModelSpace, fits: Sequence[Fit]) -> int:
    """Return a seed that gives no new model that of a fit, else that of the ensemble.

    The seed of a model follows from its place, and fits may have moved. Errors of
    models with one seed would be alike.
    """
    taken = {fit.spec.likelihood: fit.seed for fit in fits}
    new = [i for i in set(space.first) if space.models[i].likelihood not in taken]
    found = seed
    for number in itertools.count():
        if not {model_seed(found, i) for i in new} & set(taken.values()):
            break
        sequence = np.random.SeedSequence([seed, 3, number])
        found = int(sequence.generate_state(1)[0])
    return found


def _settings(
    ensemble: Ensemble, draws: int | None, given: SamplerSettings | None
) -> tuple[SamplerSettings, int]:
    """Return the new settings, and the draws that every chain gets to have."""
    old = ensemble.settings.resolved(len(ensemble.space), ensemble.task.effects.K)
    assert old.draws is not None
    assert old.max_draws is not None
    if given is None:
        if draws is None:
            return old, 0
        # It refuses what is no number of draws.
        given = replace(old, draws=draws, max_draws=None)
        given = replace(given, max_draws=max(old.max_draws, draws))
    elif not isinstance(given, SamplerSettings):
        raise SettingsError(
            f"settings: expected SamplerSettings or None; got {given!r}. Write "
            "settings=SamplerSettings(draws=4000)."
        )
    elif draws is not None:
        raise SettingsError(
            f"draws: expected None beside settings; got {draws!r}. Give one or the "
            "other."
        )
    new = given if given.draws is not None else replace(
        given, draws=old.draws, max_draws=given.max_draws or old.max_draws
    )  # fmt: skip
    new = new.resolved(1)
    assert new.draws is not None
    if new.draws < old.draws:
        raise SettingsError(
            f"draws: expected at least the {old.draws} of the fit; got {new.draws}. "
            "For fewer call robma."
        )
    return new, new.draws if new.draws > old.draws else 0
