"""Stage 5: densities from draws that have bounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from pyrobma._types import FloatArray

TAIL: Final = 5e-4
"""Probability of either tail that a density may leave out."""
REACH: Final = 4.0
"""Bandwidths from the last draw to where a density ends."""
_PER_BANDWIDTH: Final = 48  # bins: their width does not show
_MOST_BINS: Final = 2**18


def smooth(draws: FloatArray, lower: float, upper: float, x: FloatArray) -> FloatArray:
    """Return a kernel estimate of the density of draws between two bounds.

    Parameters
    ----------
    draws : array of shape (S,)
        Between `lower` and `upper`.
    lower, upper : float
        Ends of the support, where kernels are reflected; may be infinite.
    x : array of shape (n,)

    Returns
    -------
    array of shape (n,)
        0 outside the support. The estimate integrates to one up to 0.1 %.
    """
    from scipy.ndimage import gaussian_filter1d

    width = bandwidth(draws)
    low, high = np.quantile(draws, [TAIL, 1 - TAIL])
    start = max(low - 2 * REACH * width, lower)
    stop = min(high + 2 * REACH * width, upper)
    bins = int(np.clip(_PER_BANDWIDTH * (stop - start) / width, 64, _MOST_BINS))
    counts, edges = np.histogram(draws, bins=bins, range=(start, stop))
    step = (stop - start) / bins
    # "reflect" repeats the first and the last bin: exactly the reflected kernels.
    height = gaussian_filter1d(
        counts / (draws.size * step), width / step, mode="reflect", truncate=6.0
    )
    middle = (edges[1:] + edges[:-1]) / 2
    inside = (x >= lower) & (x <= upper) & (x >= start) & (x <= stop)
    return np.where(inside, np.interp(x, middle, height), 0.0)


def averaged_kernel(
    models: Iterable[tuple[float, FloatArray, float, float]], x: FloatArray
) -> FloatArray:
    """Return a kernel estimate of a density averaged over models.

    Parameters
    ----------
    models : iterable of (float, array, float, float)
        Probability, draws and ends of the support of each.
    x : array of shape (n,)

    Returns
    -------
    array of shape (n,)
        The estimates of `smooth`, weighted by the probabilities.
    """
    total = np.zeros(x.shape)
    for probability, draws, lower, upper in models:
        total += probability * smooth(draws, lower, upper, x)
    return total


def bandwidth(draws: FloatArray) -> float:
    """Return Silverman's (1986) 0.9 min(sd, IQR / 1.34) n^(-1/5); never 0."""
    quartiles = np.quantile(draws, [0.25, 0.75])
    spread = min(float(draws.std()), float(np.diff(quartiles)[0]) / 1.34)
    spread = spread or float(draws.std())
    floor = 1e-6 * max(float(np.abs(draws).max()), 1e-6)
    return float(max(0.9 * spread * draws.size**-0.2, floor))
