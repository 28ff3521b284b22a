"""Stage 2: means and standard deviations of priors."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from pyrobma.priors.density import density, quantile, scipy_distribution

if TYPE_CHECKING:
    from pyrobma.priors.distributions import Prior

_PIECES: Final = (0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0)
"""Probabilities between which integrals are taken, so that none misses the mass."""

_PRECISION: Final = 1e-10  # relative, of each piece
_FAR: Final = 300.0  # log of the distance from which on squares overflow


def mean(prior: Prior) -> float:
    """Return the mean of a prior.

    Parameters
    ----------
    prior : Prior
        Also a spike.

    Returns
    -------
    float
        In the unit of the parameter. ±inf where one tail is too heavy for a mean, NaN
        where both are, as those of a Cauchy.
    """
    if prior.is_spike:
        return prior.location
    low, high = math.isinf(prior.lower), math.isinf(prior.upper)
    if (low or high) and _tail_index(prior) <= 1:
        return math.nan if low and high else math.inf if high else -math.inf
    if (prior.lower, prior.upper) == prior.support:
        return float(scipy_distribution(prior).mean())
    return _expected(prior, lambda x: x)


def sd(prior: Prior) -> float:
    """Return the standard deviation of a prior.

    Parameters
    ----------
    prior : Prior
        A spike has 0.

    Returns
    -------
    float
        In the unit of the parameter. NaN without a finite mean; inf where a tail is too
        heavy for a variance.
    """
    if prior.is_spike:
        return 0.0
    middle = mean(prior)
    if not math.isfinite(middle):
        return math.nan
    unbounded = math.isinf(prior.lower) or math.isinf(prior.upper)
    if unbounded and _tail_index(prior) <= 2:
        return math.inf
    if (prior.lower, prior.upper) == prior.support:
        return float(scipy_distribution(prior).std())
    return math.sqrt(_expected(prior, lambda x: (x - middle) ** 2))


def _tail_index(prior: Prior) -> float:
    """Return the power of x below which its mean is finite if tails are not cut."""
    match prior.family:
        case "student_t":
            return prior.values[2]
        case "cauchy":
            return 1.0
        case "inv_gamma":
            return prior.values[0]
        case _:
            return math.inf


def _expected(prior: Prior, function: Callable[[float], float]) -> float:
    """Return the mean of a function under a prior, by quadrature."""
    from scipy import integrate

    ends = [float(end) for end in quantile(prior, _PIECES)]
    scale = ends[-2] - ends[1]

    def integrand(x: float) -> float:
        return function(x) * float(density(prior, x))

    def in_logs(s: float, end: float, side: float) -> float:
        # Powers of x, as in heavy tails, are exponentials of s.
        if s > _FAR:
            return 0.0
        growth = math.exp(s)
        return scale * growth * integrand(end + side * scale * (growth - 1))

    # With full_output SciPy returns what it would warn of.
    rule: dict[str, Any] = {"epsabs": 0.0, "epsrel": _PRECISION, "full_output": 1}
    pieces = []
    for low, high in pairwise(ends):
        if math.isinf(low) or math.isinf(high):
            start = (low, 1.0) if math.isinf(high) else (high, -1.0)
            found = integrate.quad(in_logs, 0, math.inf, args=start, **rule)
        else:
            found = integrate.quad(integrand, low, high, **rule)
        pieces.append(float(found[0]))
    return math.fsum(pieces)
