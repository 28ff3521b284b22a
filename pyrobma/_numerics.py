"""Small numerical helpers that several stages share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrobma._types import FloatArray

_TIE = 1e-12
"""Sums of many weights miss a simple fraction by their rounding, less than this."""


def normal_log_density(
    x: FloatArray | float, mean: FloatArray | float, sd: FloatArray | float
) -> FloatArray:
    """Return log densities of normal distributions; scipy.stats is slow to import."""
    z = (x - np.asarray(mean)) / sd
    return np.asarray(-0.5 * z**2 - np.log(sd) - 0.5 * np.log(2 * np.pi))


def weighted_quantiles(
    values: FloatArray, weights: FloatArray, probs: Sequence[float] | FloatArray
) -> FloatArray:
    """Return the smallest values at which a weighted cdf reaches probabilities.

    Parameters
    ----------
    values : array of shape (S,) or (N, S)
        One sample, or N of them.
    weights : array of shape (S,)
        Of the columns: not negative, of whatever sum.
    probs : sequence of float in [0, 1]
        0 and 1 give the extremes of the values that have weight.

    Returns
    -------
    array of shape (len(probs),) or (N, len(probs))
    """
    levels = np.asarray(probs, dtype=np.float64)
    rows = np.atleast_2d(values)
    order = np.argsort(rows, axis=1)
    total = np.cumsum(weights[order], axis=1)
    whole = total[:, -1:]
    # The first and the last value with any weight, however little that is.
    first, last = (total <= 0.0).sum(axis=1), (total < whole).sum(axis=1)
    place = np.empty((len(rows), levels.size), dtype=np.int64)
    for j, level in enumerate(levels):
        reached = (total < level * (1 - _TIE) * whole).sum(axis=1)
        place[:, j] = last if level == 1 else np.clip(reached, first, last)
    chosen = np.take_along_axis(order, place, axis=1)
    found = np.take_along_axis(rows, chosen, axis=1)
    return np.asarray(found[0] if values.ndim == 1 else found)


def sums_of_others(values: FloatArray) -> FloatArray:
    """Return for every element the sum of all others, without subtraction.

    Parameters
    ----------
    values : array of shape (n,)

    Returns
    -------
    array of shape (n,)
        Elements of one sign: every sum is exact to rounding, even where one element
        outweighs all others.
    """
    up, down = np.cumsum(values), np.cumsum(values[::-1])[::-1]
    return np.asarray(np.append(0.0, up[:-1]) + np.append(down[1:], 0.0))


def log_sums_of_others(logs: FloatArray) -> FloatArray:
    """Return for every element the log of the sum of exponentials of all others.

    Parameters
    ----------
    logs : array of shape (n,)
        Natural logs; -inf stands for 0.

    Returns
    -------
    array of shape (n,)
        -inf where all others are.
    """
    up = np.logaddexp.accumulate(logs)
    down = np.logaddexp.accumulate(logs[::-1])[::-1]
    found: FloatArray = np.logaddexp(
        np.append(-np.inf, up[:-1]), np.append(down[1:], -np.inf)
    )
    return found


def typical_variance(v: FloatArray) -> float:
    """Return the sampling variance of a typical estimate.

    Parameters
    ----------
    v : array of shape (K,)
        Sampling variances, positive.

    Returns
    -------
    float
        ``(K − 1) Σw / ((Σw)² − Σw²)`` with w = 1/v, in units of v; NaN for one
        estimate.

    Notes
    -----
    It is the s² of Higgins & Thompson (2002, equation 9), doi:10.1002/sim.1186.
    """
    if v.size < 2:
        return float("nan")
    least = float(v.min())
    w = least / v
    # The denominator is Σ w_i (Σw − w_i), the bracket as a sum: nothing cancels.
    return float((v.size - 1) * w.sum() / (w @ sums_of_others(w)) * least)
