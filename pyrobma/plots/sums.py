"""Stage 7: densities and spikes of sums of coefficients, over models."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.conditionals import is_normal
from pyrobma.ensemble.mixing import Mixture
from pyrobma.ensemble.prior_sums import normal_part
from pyrobma.ensemble.quantities import Quantity, fixed_at
from pyrobma.models import ModelSpec
from pyrobma.plots.densities import Densities, Known, PriorPart, Sampled
from pyrobma.priors import prior
from pyrobma.priors.density import random

_DRAWS: Final = 20_000  # of a prior without a density of its own
_DIGITS: Final = 12  # of the places of spikes, which are sums


def averaged_sum(
    ensemble: Ensemble,
    quantity: Quantity,
    mixture: Mixture,
    known: FloatArray,
    *,
    with_prior: bool,
) -> Densities:
    """Return the posterior of a sum over models, and its prior.

    Parameters
    ----------
    ensemble : Ensemble
    quantity : Quantity
    mixture : Mixture
        Its posterior, on the prior scale.
    known : array of shape (number of models,)
        Prior probabilities, 0 for models that do not count.
    with_prior : bool
        Whether the prior is wanted.

    Notes
    -----
    The prior of a sum of normal coefficients is normal, that of a single one is its
    own; others have 20000 draws.
    """
    priors: tuple[list[PriorPart], dict[float, float]] = ([], {})
    if with_prior:
        priors = _prior(ensemble, quantity, known)
    return Densities(*_posterior(ensemble, quantity, mixture, known), *priors)


def _posterior(
    ensemble: Ensemble, quantity: Quantity, mixture: Mixture, known: FloatArray
) -> tuple[list[Sampled], dict[float, float]]:
    free: list[Sampled] = []
    spikes: dict[float, float] = {}
    for p, draws, spec, before in zip(
        mixture.probabilities.tolist(),
        mixture.draws,
        ensemble.space,
        known,
        strict=True,
    ):
        at = round(fixed_at(quantity, spec), _DIGITS)
        if not math.isnan(at) and before > 0:
            # A spike that the data exclude keeps its row, with a probability of 0.
            spikes[at] = spikes.get(at, 0.0) + p
        elif p > 0:
            free.append(Sampled(p, draws.ravel(), *_support(quantity, spec)))
    return free, spikes


def _prior(
    ensemble: Ensemble, quantity: Quantity, known: FloatArray
) -> tuple[list[PriorPart], dict[float, float]]:
    """Return the averaged prior of a sum; equal ones of several models are merged."""
    spikes: dict[float, float] = {}
    total: dict[object, float] = {}
    where: dict[object, ModelSpec] = {}
    for p, spec in zip(known.tolist(), ensemble.space, strict=True):
        if p == 0:
            continue
        at = round(fixed_at(quantity, spec), _DIGITS)
        if not math.isnan(at):
            spikes[at] = spikes.get(at, 0.0) + p
            continue
        key = tuple(
            replace(spec.prior(name), prior_weight=1.0) for name, _ in quantity.weights
        )
        total[key] = total.get(key, 0.0) + p
        where.setdefault(key, spec)
    rng = np.random.default_rng([ensemble.seed, 6])
    parts = [_of_sum(p, quantity, where[key], rng) for key, p in total.items()]
    return parts, spikes


def _of_sum(
    probability: float, quantity: Quantity, spec: ModelSpec, rng: np.random.Generator
) -> PriorPart:
    """Return the prior of a sum, exactly if it is normal or of one unknown."""
    weights = dict(quantity.weights)
    free = [name for name in weights if not spec.prior(name).is_spike]
    at = sum(w * spec.prior(n).location for n, w in weights.items() if n not in free)
    if all(is_normal(spec.prior(name)) for name in free):
        mean, sd = normal_part(quantity, spec)
        return Known(probability, prior("normal", mean=mean, sd=sd))
    if len(free) == 1 and weights[free[0]] == 1.0 and at == 0.0:
        return Known(probability, spec.prior(free[0]))
    draws: FloatArray = np.full(_DRAWS, at)
    for name in free:
        draws = draws + weights[name] * random(spec.prior(name), _DRAWS, rng)
    return Sampled(probability, draws, *_support(quantity, spec))


def _support(quantity: Quantity, spec: ModelSpec) -> tuple[float, float]:
    """Return the ends of what a sum can be in a model."""
    lower = upper = 0.0
    for name, weight in quantity.weights:
        own = spec.prior(name)
        low, high = own.lower, own.upper
        if own.is_spike:
            low = high = own.location
        ends = sorted((weight * low, weight * high))
        lower, upper = lower + ends[0], upper + ends[1]
    return lower, upper
