"""Effective sample size and Pareto k, for a few arrays at a time.

``arviz_stats`` has both, and the tests hold these functions equal to it. They are
restated because importing it takes longer than a whole ensemble of bridge runs.
"""

from __future__ import annotations

import math

import numpy as np

from pyrobma._types import FloatArray

MIN_DRAWS_PER_CHAIN = 8
"""Fewest draws per chain for which a split-chain ESS means anything."""

MIN_VALUES_FOR_K = 25
"""Fewest values whose largest fifth can be fitted by a Pareto distribution."""


def effective_sample_size(draws: FloatArray) -> FloatArray:
    """Return the effective sample size for the mean of each column.

    Parameters
    ----------
    draws : array of shape (chains, draws, K)
        Markov chains of K quantities, at least `MIN_DRAWS_PER_CHAIN` draws each.

    Returns
    -------
    array of shape (K,)
        Number of independent draws worth the same for the mean, all chains
        together. It may exceed ``chains * draws`` for antithetic chains; a constant
        column counts every draw.

    Notes
    -----
    Chains are split in halves, autocovariances averaged over them, and the sum over
    lags cut by Geyer's initial monotone sequence of pairs [1]_, with the
    between-chain variance added to the denominator [2]_.

    References
    ----------
    .. [1] Geyer C. J. (1992). Practical Markov chain Monte Carlo. Statistical
       Science 7(4). doi:10.1214/ss/1177011137
    .. [2] Vehtari A., Gelman A., Simpson D., Carpenter B., Bürkner P.-C. (2021).
       Rank-normalization, folding, and localization. Bayesian Analysis 16(2).
       doi:10.1214/20-BA1221
    """
    half = draws.shape[1] // 2
    chains = np.concatenate([draws[:, :half], draws[:, -half:]]).transpose(2, 0, 1)
    n_total = chains.shape[1] * half
    means = chains.mean(axis=2)
    autocovariance = _mean_autocovariance(chains - means[:, :, None])
    within = autocovariance[:, 0] * half / (half - 1)
    variance = autocovariance[:, 0] + means.var(axis=1, ddof=1)
    varies = variance > 0
    variance = np.where(varies, variance, 1.0)
    rho = 1.0 - (within[:, None] - autocovariance) / variance[:, None]
    rho[:, 0] = 1.0
    time = np.maximum(_geyer_sum(rho), 1.0 / math.log10(n_total))
    size: FloatArray = np.where(varies, n_total / time, float(n_total))
    return size


def _mean_autocovariance(centred: FloatArray) -> FloatArray:
    """Average over chains the (biased) autocovariances of shape (K, lag)."""
    n = centred.shape[2]
    length = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(centred, n=length, axis=2)
    # The inverse transform is linear: one per quantity instead of one per chain.
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
    autocovariance: FloatArray = np.fft.irfft(power, n=length, axis=1)[:, :n] / n
    return autocovariance


def _geyer_sum(rho: FloatArray) -> FloatArray:
    """Sum autocorrelations over lags, cut where a pair of them turns negative."""
    n_pairs = (rho.shape[1] - 1) // 2
    even = rho[:, : 2 * n_pairs : 2]
    pairs = even + rho[:, 1 : 2 * n_pairs : 2]
    positive = np.logical_and.accumulate(pairs >= 0, axis=1)
    positive[:, -1] = False  # the chain ends there: the sequence is cut at the latest
    monotone = np.minimum.accumulate(pairs, axis=1)
    total = np.where(positive, monotone, 0.0).sum(axis=1)
    cut = positive.sum(axis=1)
    # A positive even lag just past the cut is half a pair that is still signal.
    rest = np.maximum(np.take_along_axis(even, cut[:, None], axis=1)[:, 0], 0.0)
    time: FloatArray = -1.0 + 2.0 * total + rest
    return time


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
