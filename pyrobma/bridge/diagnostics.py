"""Pareto k: whether the mean of a few values rests on fewer still.

``arviz_stats`` has it, and the tests hold this function equal to it. It is restated
because importing that takes longer than a whole ensemble of bridge runs.
"""

from __future__ import annotations

import math

import numpy as np

from pyrobma._types import FloatArray

MIN_VALUES_FOR_K = 25
"""Fewest values whose largest fifth can be fitted by a Pareto distribution."""


def pareto_k(values: FloatArray) -> float:
    """Return the shape of the Pareto distribution fitted to the right tail.

    Parameters
    ----------
    values : array of shape (S,)
        Positive terms of a sum.

    Returns
    -------
    float
        Estimate shrunk towards 0.5; large values mean that few terms dominate the
        mean. ``-inf`` if the largest values are all equal, ``inf`` if they are
        mostly zero excess with a few large ones, NaN below `MIN_VALUES_FOR_K`.

    References
    ----------
    .. [1] Zhang J., Stephens M. A. (2009). A new and efficient estimation method for
       the generalized Pareto distribution. Technometrics 51, 316-325.
    .. [2] Vehtari A., Simpson D., Gelman A., Yao Y., Gabry J. (2024). Pareto smoothed
       importance sampling. Journal of Machine Learning Research 25(72).
    """
    n = values.size
    if n < MIN_VALUES_FOR_K:
        return math.nan
    n_tail = int(3 * math.sqrt(n)) if n > 225 else n // 5
    largest = np.sort(np.partition(values, n - n_tail - 1)[n - n_tail - 1 :])
    excess = largest[1:] - largest[0]
    if excess[-1] <= 1e-13 * abs(largest[-1]):
        return -math.inf
    quartile = float(excess[int(n_tail / 4 + 0.5) - 1])
    if quartile <= 0:
        return math.inf
    n_grid = 30 + int(math.sqrt(n_tail))
    t = np.arange(1, n_grid + 1) - 0.5
    b = 1.0 / excess[-1] + (1.0 - np.sqrt(n_grid / t)) / (3.0 * quartile)
    kappa = np.log1p(-b[:, None] * excess).mean(axis=1)
    profile = n_tail * (np.log(-b / kappa) - kappa - 1.0)
    weights = np.exp(profile - profile.max())
    b_mean = float(b @ weights / weights.sum())
    k = float(np.log1p(-b_mean * excess).mean())
    return (n_tail * k + 5.0) / (n_tail + 10.0)


def pareto_k_limit(n: int) -> float:
    """Return the largest k at which a mean of `n` terms can be trusted.

    Notes
    -----
    ``min(1 - 1 / log10(n), 0.7)`` (Vehtari et al. 2024).
    """
    return min(1.0 - 1.0 / math.log10(n), 0.7)
