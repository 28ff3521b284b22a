"""Stage 5: what priors say of sums of coefficients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr

from pyrobma._numerics import normal_log_density
from pyrobma._types import FloatArray
from pyrobma.ensemble.conditionals import Known, is_normal
from pyrobma.ensemble.quantities import Quantity
from pyrobma.models import ModelSpec
from pyrobma.priors.density import density, random

PRIOR_DRAWS: Final = 100_000
"""Draws of a prior of which nothing is known in closed form."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Probabilities of two sides of a value.

    Attributes
    ----------
    above, below : float
    variance : float
        Monte Carlo variance of each; 0 if they are exact.
    """

    above: float
    below: float
    variance: float


def prior_log_density(
    quantity: Quantity, spec: ModelSpec, value: float, seed: int
) -> Known:
    """Return the log prior density of a sum at a value.

    Parameters
    ----------
    quantity : Quantity
        The sum, some part of which is free.
    spec : ModelSpec
        The priors.
    value : float
        On the prior scale.
    seed : int
        Of the draws.

    Returns
    -------
    Known
        What is normal in it is in closed form; of the rest there are 100000 draws,
        and the error is that of their mean.
    """
    mean, sd = normal_part(quantity, spec)
    rest = _draws(quantity, spec, seed)
    if sd > 0:
        logs: FloatArray = normal_log_density(value - mean, rest, sd)
    else:
        # One of those that are not normal has its density, and the others draws.
        name, weight = next(
            (n, w) for n, w in quantity.weights if not spec.prior(n).is_spike
        )
        rest = _draws(quantity, spec, seed, without=name)
        with np.errstate(divide="ignore"):
            at = density(spec.prior(name), (value - mean - rest) / weight)
            logs = np.asarray(np.log(at / abs(weight)))
    highest = float(logs.max())
    if highest == -np.inf:
        return Known(-np.inf, 0.0)
    ratios = np.exp(logs - highest)
    share = float(ratios.mean())
    error = 0.0
    if len(ratios) > 1:
        error = float(ratios.std()) / math.sqrt(len(ratios)) / share
    return Known(highest + math.log(share), error)


def prior_sides(quantity: Quantity, spec: ModelSpec, value: float, seed: int) -> Sides:
    """Return the prior probabilities of a sum above and below a value.

    Parameters are those of `prior_log_density`.
    """
    mean, sd = normal_part(quantity, spec)
    rest = mean + _draws(quantity, spec, seed) - value
    if sd > 0:
        above, below = np.asarray(ndtr(rest / sd)), np.asarray(ndtr(-rest / sd))
    else:
        above, below = np.asarray(1.0 * (rest > 0)), np.asarray(1.0 * (rest <= 0))
    return Sides(
        float(above.mean()), float(below.mean()), float(above.var()) / len(rest)
    )


def normal_part(quantity: Quantity, spec: ModelSpec) -> tuple[float, float]:
    """Return mean and sd of the part of a sum that is normal or fixed."""
    mean, variance = 0.0, 0.0
    for name, weight in quantity.weights:
        own = spec.prior(name)
        if own.is_spike:
            mean += weight * own.location
        elif is_normal(own):
            mean += weight * own.values[0]
            variance += (weight * own.values[1]) ** 2
    return mean, math.sqrt(variance)


def _draws(
    quantity: Quantity, spec: ModelSpec, seed: int, without: str = ""
) -> FloatArray:
    """Return draws of the part of a sum that is neither; one 0 if there is none."""
    rng = np.random.default_rng([seed, 4])
    total = np.zeros(1)
    for name, weight in quantity.weights:
        own = spec.prior(name)
        if not (own.is_spike or is_normal(own) or name == without):
            total = total + weight * random(own, PRIOR_DRAWS, rng)
    return total
