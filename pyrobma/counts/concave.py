"""Integrals of functions whose logs are concave, by the trapezoidal rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from pyrobma._types import FloatArray, IntArray

LogFunction: TypeAlias = Callable[
    [FloatArray, slice], tuple[FloatArray, FloatArray, FloatArray]
]
"""Logs of a slice of rows at points of shape (rows, n), with two derivatives."""


def mode_and_ends(
    log_f: LogFunction, start: FloatArray, drop: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return where concave functions have their maxima and where they have fallen.

    Parameters
    ----------
    log_f : callable
        The functions, one a row. Each falls without end on both sides.
    start : array of shape (n,)
        Where to begin.
    drop : float
        By how much they have fallen at the ends.

    Returns
    -------
    mode, low, high : array of shape (n,)
    width : array of shape (n,)
        One over the root of minus the second derivative at the mode.
    """
    every = slice(None)
    at = start[:, None].astype(np.float64)
    value, slope, curvature = log_f(at, every)
    low, high = at.copy(), at.copy()
    step = np.ones_like(at)
    while True:  # a bracket of the mode
        side = np.sign(slope)
        far = at + side * step
        slope_there = log_f(far, every)[1]
        low = np.where(side >= 0, low, np.minimum(low, far))
        high = np.where(side <= 0, high, np.maximum(high, far))
        open_ = side * slope_there > 0
        if not open_.any():
            break
        low = np.where(open_ & (side > 0), far, low)
        high = np.where(open_ & (side < 0), far, high)
        step = np.where(open_, 2.0 * step, step)
    last = high - low
    for _ in range(200):
        next_ = at - slope / np.minimum(curvature, -1e-300)
        poor = ~((next_ > low) & (next_ < high)) | (np.abs(next_ - at) > 0.5 * last)
        next_ = np.where(poor, 0.5 * (low + high), next_)
        last = np.abs(next_ - at)
        at = next_
        value, slope, curvature = log_f(at, every)
        low = np.where(slope > 0, at, low)
        high = np.where(slope > 0, high, at)
        steep = np.sqrt(np.maximum(-curvature, 1e-300))
        near = high - low <= 1e-3 / np.maximum(steep, 1.0)
        if ((np.abs(slope) <= 0.01 * steep) | near).all():
            break
    width = 1.0 / np.sqrt(np.maximum(-curvature, 1e-300))
    floor = value - drop
    ends = []
    for side_ in (-1.0, 1.0):
        reach = np.minimum(width, 1.0)
        end = at + side_ * reach
        while (above := log_f(end, every)[0] > floor).any():
            reach = np.where(above, 2.0 * reach, reach)
            end = at + side_ * reach
        for _ in range(4):  # from outside Newton's method does not pass the root
            there = log_f(end, every)
            end = end - (there[0] - floor) / there[1]
        ends.append(end[:, 0])
    return at[:, 0], ends[0], ends[1], width[:, 0]


def node_counts(
    low: FloatArray, high: FloatArray, width: FloatArray, unit: float | FloatArray
) -> FloatArray:
    """Return how many steps the trapezoidal rule needs between ends, shape (n,).

    Steps are 0.8 widths of the mode where these are small, and never more than `unit`,
    on which the functions change anywhere.
    """
    step = 1.0 / np.sqrt((0.8 * np.minimum(width, 1e6)) ** -2.0 + unit**-2.0)
    return np.asarray(np.ceil((high - low) / step))


def alike(counts: FloatArray, together: int) -> Iterator[tuple[IntArray, int]]:
    """Yield rows that need about as many nodes as each other, and that number.

    Parameters
    ----------
    counts : array of shape (n,)
        Nodes that each row needs.
    together : int
        Nodes of all rows that are yielded at once, if it is not one row alone.
    """
    order = np.argsort(counts)
    first = 0
    while first < counts.size:
        few = counts[order[first]]
        last = int(np.searchsorted(counts[order], max(1.3 * few, few + 20), "right"))
        last = min(last, first + max(1, int(together / counts[order[last - 1]])))
        yield order[first:last], int(counts[order[last - 1]]) + 1
        first = last
