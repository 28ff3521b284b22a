"""Stage 5: the distribution of a normal variable whose mean and sd have draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from pyrobma._types import FloatArray

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(20)
# Nodes in pairs of opposite sign: the mean of a symmetric distribution is exact.
_NODES, _WEIGHTS = _NODES[10:], _WEIGHTS[10:] / (2 * _WEIGHTS[10:].sum())
_BISECTIONS = 60  # of an interval of about 20 sd: far below double precision


def expectation(
    function: Callable[[FloatArray], FloatArray], mean: FloatArray, sd: FloatArray
) -> FloatArray:
    """Return the mean of a function of normal variables, by Gauss-Hermite quadrature.

    Parameters
    ----------
    function : callable
        Takes and returns arrays of one shape.
    mean, sd : arrays of one shape
        Of the variables.

    Returns
    -------
    array of that shape
        NaN where the function has infinite values of both signs.
    """
    centre, away = mean[..., None], sd[..., None] * _NODES
    with np.errstate(invalid="ignore"):
        pairs = function(centre + away) + function(centre - away)
        return np.asarray(pairs @ _WEIGHTS)


def normal_cdf(x: FloatArray, mean: FloatArray, sd: FloatArray) -> FloatArray:
    """Return P(X <= x) of normal variables, of points where the sd is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        # inf for a point below x, -inf above; at it 0/0, which belongs to the cdf
        z = (x - mean) / sd
    return np.asarray(np.where(np.isnan(z), 1.0, ndtr(z)))


@dataclass(frozen=True, slots=True)
class NormalMixture:
    """A weighted mixture of normal distributions and points.

    Attributes
    ----------
    weights : array of shape (S,)
        Not negative, summing to one.
    mean, sd : arrays of shape (S,)
        Of the components; an sd of 0 makes a point.
    """

    weights: FloatArray
    mean: FloatArray
    sd: FloatArray

    def cdf(self, x: FloatArray) -> FloatArray:
        """Return the probability of values up to `x`, for every `x`."""
        points = np.atleast_1d(np.asarray(x, dtype=np.float64))
        below = normal_cdf(points[..., None], self.mean, self.sd)
        return np.asarray(below @ self.weights)

    def quantiles(self, probs: Sequence[float] | FloatArray) -> FloatArray:
        """Return the smallest values whose cdf reaches `probs`, exact to rounding.

        Parameters
        ----------
        probs : sequence of float in [0, 1]
            0 and 1 give the ends of a point mass, or minus and plus infinity.

        Returns
        -------
        array of shape (len(probs),)
        """
        levels = np.asarray(probs, dtype=np.float64)
        used = self.weights > 0
        low = np.full(levels.shape, np.min((self.mean - 40 * self.sd)[used]))
        high = np.full(levels.shape, np.max((self.mean + 40 * self.sd)[used]))
        # A point at the end itself: the search keeps cdf(low) < p <= cdf(high).
        width = np.maximum(high - low, np.finfo(np.float64).tiny)
        low = low - 1e-9 * width
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            reached = self.cdf(middle) >= levels
            high = np.where(reached, middle, high)
            low = np.where(reached, low, middle)
        # A quantile in a point mass is that point, without the search's rounding.
        points = np.unique(self.mean[used & (self.sd == 0)])
        if points.size:
            near = points[np.abs(points[:, None] - high).argmin(axis=0)]
            high = np.where(np.abs(near - high) <= 1e-12 * (1 + width), near, high)
        spread = bool((self.sd[used] > 0).any())
        ends = (-np.inf, np.inf) if spread else (points.min(), points.max())
        high = np.where(levels == 0, ends[0], high)
        return np.where(levels == 1, ends[1], high)
