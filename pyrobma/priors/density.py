"""Stage 2: densities, quantiles and draws of priors, to plot them and to simulate.

Inference does not pass through here: the Stan programs hold the densities it uses.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike

from pyrobma._types import FloatArray
from pyrobma.errors import PriorError

if TYPE_CHECKING:
    from pyrobma.priors.distributions import Prior
    from pyrobma.priors.weightfunction import WeightFunction

_SMALLEST_MASS: Final = 1e-290
"""Below, tail probabilities lose digits to underflow and cannot be inverted."""

_HALF_STEP: Final = 2.0**-54
"""Half the distance between uniform numbers of a generator, one of which is 0."""


def density(prior: Prior, x: ArrayLike) -> FloatArray:
    """Return the density of a prior, renormalised to its truncation.

    Parameters
    ----------
    prior : Prior
        Not a spike.
    x : array_like
        Values in the unit of the parameter.

    Returns
    -------
    array of the shape of `x`
        Per unit of the parameter; 0 outside the truncation, inf at a pole, NaN at NaN.

    Raises
    ------
    PriorError
        For a spike, which has no density.

    Notes
    -----
    f(x) / P(lower < X < upper) on [lower, upper], with the probability taken from the
    smaller tail, so that a normal prior on [8, 9] keeps its digits.
    """
    return np.asarray(np.exp(log_density(prior, x)))


def log_density(prior: Prior, x: ArrayLike) -> FloatArray:
    """Return the natural log of `density`, -inf where that is 0."""
    if prior.is_spike:
        raise PriorError(
            f"prior: expected a prior with a density; got {prior}. Draw its "
            "probability at its location instead."
        )
    points = np.asarray(x, dtype=np.float64)
    distribution = scipy_distribution(prior)
    inside = (points >= prior.lower) & (points <= prior.upper) & np.isfinite(points)
    # SciPy gives NaN for the limit at 0, which is a density of 0.
    if prior.family in ("inv_gamma", "lognormal"):
        inside &= points > 0
    result = np.array(np.where(np.isnan(points), np.nan, -np.inf))
    result[inside] = distribution.logpdf(points[inside]) - _kept_mass(prior)
    return result


def cdf(prior: Prior, x: ArrayLike) -> FloatArray:
    """Return the probability that a prior gives to values up to `x`.

    Parameters
    ----------
    prior : Prior
        Also a spike.
    x : array_like
        Values in the unit of the parameter.

    Returns
    -------
    array of the shape of `x`
        From 0 to 1.
    """
    points = np.asarray(x, dtype=np.float64)
    if prior.is_spike:
        return np.where(np.isnan(points), np.nan, 1.0 * (points >= prior.location))
    distribution = scipy_distribution(prior)
    lower, upper = np.array(prior.lower), np.array(prior.upper)
    cut = np.clip(points, lower, upper)
    below = _log_mass(distribution, lower, cut)
    return np.exp(below - _log_mass(distribution, lower, upper))


def quantile(prior: Prior, p: ArrayLike) -> FloatArray:
    """Return the values below which a prior has the probabilities `p`.

    Parameters
    ----------
    prior : Prior
        Also a spike, all of whose quantiles are its location.
    p : array_like
        Probabilities from 0 to 1; 0 and 1 are the ends of the truncation.

    Returns
    -------
    array of the shape of `p`
        In the unit of the parameter.

    Raises
    ------
    PriorError
        If a probability is outside [0, 1], or the truncation lies so far out in a tail
        that it keeps less than 1e-290 of the distribution.

    Notes
    -----
    F⁻¹((1 − p) F(lower) + p F(upper)), by the upper tail above the median of F.
    """
    probability = np.asarray(p, dtype=np.float64)
    if not np.all((probability >= 0) & (probability <= 1)):
        raise PriorError(
            f"p: expected probabilities from 0 to 1; got {p!r}. Divide percentages by "
            "100."
        )
    if prior.is_spike:
        return np.full(probability.shape, prior.location)
    distribution = scipy_distribution(prior)
    lower, upper = np.array(prior.lower), np.array(prior.upper)
    if _log_mass(distribution, lower, upper) < np.log(_SMALLEST_MASS):
        raise PriorError(
            f"prior: expected a truncation that keeps at least {_SMALLEST_MASS:g} of "
            f"the distribution; got {prior}. Give a prior that lies in its truncation."
        )
    rest = 1 - probability
    below = rest * distribution.cdf(lower) + probability * distribution.cdf(upper)
    above = rest * distribution.sf(lower) + probability * distribution.sf(upper)
    by_upper_tail = above < below
    value = np.where(
        by_upper_tail,
        distribution.isf(np.where(by_upper_tail, above, 0.5)),
        distribution.ppf(np.where(by_upper_tail, 0.5, below)),
    )
    # Rounding must not move the ends.
    value = np.where(probability == 0, lower, np.where(probability == 1, upper, value))
    return np.asarray(np.clip(value, lower, upper), dtype=np.float64)


def random(
    prior: Prior, size: int | tuple[int, ...], rng: np.random.Generator
) -> FloatArray:
    """Return independent draws from a prior, by its quantiles.

    Parameters
    ----------
    prior : Prior
        Also a spike, all of whose draws are its location.
    size : int or tuple of int
        Shape of the result.
    rng : numpy.random.Generator
        Where the uniform numbers come from, one per draw.

    Returns
    -------
    array of shape `size`
        In the unit of the parameter; finite.

    Raises
    ------
    PriorError
        As in `quantile`.
    """
    return quantile(prior, np.maximum(rng.random(size), _HALF_STEP))


def random_weights(
    weightfunction: WeightFunction, size: int, rng: np.random.Generator
) -> FloatArray:
    """Return independent draws of relative publication probabilities.

    Parameters
    ----------
    weightfunction : WeightFunction
        With J intervals of p-values.
    size : int
        Number of draws.
    rng : numpy.random.Generator
        Where the random numbers come from.

    Returns
    -------
    array of shape (size, J)
        Weights in [0, 1] in p-value order, the most significant interval first; all
        rows are the same if the weights are fixed.

    Notes
    -----
    As in `prior_weightfunction`: ω_j = Σ_{k ≥ j} π_k with π ~ Dirichlet(alpha). With
    alpha1 and alpha2 this holds up to the interval of p = 0.5, with the weight ω_m; for
    the interval i places from the highest p-values above it,
    ω = ω_m + (1 − ω_m) Σ_{k > i} π²_k, i from 0.
    """
    if weightfunction.omega is not None:
        return np.tile(np.array(weightfunction.omega), (size, 1))
    if weightfunction.alpha is not None:
        return _falling(rng.dirichlet(weightfunction.alpha, size))
    first = _falling(rng.dirichlet(weightfunction.alpha1 or (), size))
    second = _falling(rng.dirichlet(weightfunction.alpha2 or (), size))
    lowest = first[:, -1:]
    # The first sum of all is not used: no weight above p = 0.5 need be 1.
    return np.hstack([first, lowest + (1 - lowest) * second[:, :0:-1]])


def _falling(pi: FloatArray) -> FloatArray:
    """Return sums of each row from every element to the last; the first is 1."""
    omega: FloatArray = np.cumsum(pi[:, ::-1], axis=1)[:, ::-1]
    # Rounding may take a sum beyond 1.
    omega = np.minimum(omega, 1.0)
    omega[:, 0] = 1.0
    return omega


@lru_cache(256)  # SciPy takes a millisecond to make one, and quadratures ask often
def scipy_distribution(prior: Prior) -> Any:
    """Return the untruncated distribution of SciPy."""
    from scipy import stats

    values = prior.values
    match prior.family:
        case "normal":
            return stats.norm(*values)
        case "lognormal":
            return stats.lognorm(values[1], scale=np.exp(values[0]))
        case "student_t":
            return stats.t(values[2], loc=values[0], scale=values[1])
        case "cauchy":
            # SciPy's own Cauchy loses its tails to subtraction in older versions.
            return stats.t(1, loc=values[0], scale=values[1])
        case "gamma":
            return stats.gamma(values[0], scale=1 / values[1])
        case "inv_gamma":
            return stats.invgamma(values[0], scale=values[1])
        case "beta":
            return stats.beta(*values)
        case "exponential":
            return stats.expon(scale=1 / values[0])
        case _:
            return stats.uniform(values[0], values[1] - values[0])


@lru_cache(256)
def _kept_mass(prior: Prior) -> float:
    """Return the log probability that a prior has before it is truncated."""
    lower, upper = np.array(prior.lower), np.array(prior.upper)
    return float(_log_mass(scipy_distribution(prior), lower, upper))


def _log_mass(distribution: Any, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return log P(low < X <= high) by the smaller tail; -inf for an empty interval."""
    below, above = distribution.logcdf(high), distribution.logsf(low)
    by_lower_tail = below < above
    outer = np.where(by_lower_tail, below, above)
    inner = np.where(by_lower_tail, distribution.logcdf(low), distribution.logsf(high))
    with np.errstate(divide="ignore", invalid="ignore"):
        mass: FloatArray = outer + np.log(-np.expm1(inner - outer))
    return np.where(np.isneginf(outer) | (inner >= outer), -np.inf, mass)
