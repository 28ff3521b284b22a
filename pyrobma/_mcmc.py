"""Effective sample size and R-hat of Markov chains, many quantities at once.

ArviZ has both, and the tests hold these functions equal to it. They are restated
because importing it takes longer than fitting a whole ensemble of models.
"""

from __future__ import annotations

import math

import numpy as np

from pyrobma._types import FloatArray

MIN_DRAWS_PER_CHAIN = 8
"""Fewest draws per chain for which a split-chain ESS means anything."""


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


def rank_normalised(draws: FloatArray) -> FloatArray:
    """Replace draws by normal scores of their ranks over all chains.

    Parameters
    ----------
    draws : array of shape (chains, draws, K)

    Returns
    -------
    array of the same shape
        Ties share their mean rank; offsets as in Blom (1958).
    """
    from scipy.special import ndtri

    flat = draws.reshape(-1, draws.shape[2])
    ranks = np.empty_like(flat)
    for k in range(flat.shape[1]):
        _, inverse, counts = np.unique(
            flat[:, k], return_inverse=True, return_counts=True
        )
        last = np.cumsum(counts)
        ranks[:, k] = (last - (counts - 1) / 2)[inverse]
    scores: FloatArray = ndtri((ranks - 0.375) / (len(flat) + 0.25))
    return scores.reshape(draws.shape)


def rhat(draws: FloatArray) -> FloatArray:
    """Return split R-hat of each column.

    Parameters
    ----------
    draws : array of shape (chains, draws, K)
        Usually rank-normalised.

    Returns
    -------
    array of shape (K,)
        NaN for a constant column.
    """
    half = draws.shape[1] // 2
    chains = np.concatenate([draws[:, :half], draws[:, -half:]])
    within = chains.var(axis=1, ddof=1).mean(axis=0)
    between = chains.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: FloatArray = np.sqrt((half - 1) / half + between / within)
    return ratio
