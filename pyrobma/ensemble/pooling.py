"""Stage 5: how much every estimate counts in the pooled mean."""

from __future__ import annotations

from typing import Final

import numpy as np

from pyrobma._types import BoolArray, FloatArray, IntArray
from pyrobma.ensemble.counted import sampling_variance
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.predictor import Predictor

_DRAWS: Final = 2000
_ELEMENTS: Final = 2_000_000  # of an array of estimates by draws: some megabytes


def pooling_weights(ensemble: Ensemble, given: BoolArray | None = None) -> FloatArray:
    """Return the share of every estimate in the pooled mean.

    Parameters
    ----------
    ensemble : Ensemble
        Its draws of tau and rho are averaged over.
    given : array of bool, shape (number of models,), optional
        Only over these models.

    Returns
    -------
    array of shape (K,)
        Positive, summing to one, where the loadings of a cluster are equal.

    Notes
    -----
    The share in the mean by generalised least squares, 1'S⁻¹/(1'S⁻¹1) with
    S = diag(s² + w) + l l' in each cluster (`Predictor`), averaged over models and
    draws. Publication bias does not enter it. Of counts s² is one over the information
    that a study has on its true effect at the mean of such studies.
    """
    effects = ensemble.task.effects
    draws = ensemble.joint(given=given, size=_DRAWS)
    total = np.zeros(effects.K)
    step = max(_ELEMENTS // effects.K, 1)
    for start in range(0, len(draws.weights), step):
        some = draws.part(slice(start, start + step))
        shares = _shares(Predictor(ensemble.task, some), effects.cluster)
        total += shares / shares.sum(axis=0) @ some.weights
    return total


def _shares(study: Predictor, cluster: IntArray) -> FloatArray:
    """Return S⁻¹1 of every draw, shape (K, S).

    With a = 1/(s² + w), Sherman & Morrison give a_i (1 + Σ l_j² a_j − l_i Σ l_j a_j) /
    (1 + Σ l_j² a_j). Written by the distances d of the loadings from one of them, the
    numerator is 1 + Σ l_j d_j a_j − d_i Σ l_j a_j: nothing cancels if they are equal.
    """
    everything = slice(None)
    loading = study.loading(everything)
    away = loading - loading[:1]
    variance = sampling_variance(study.task, study.mean(everything))
    precision = 1 / (variance + study.within(everything))

    def by_cluster(values: FloatArray) -> FloatArray:
        sums = np.zeros((study.task.effects.L, values.shape[1]))
        np.add.at(sums, cluster, values)
        return sums[cluster]

    loaded = loading * precision
    shares = precision / (1 + by_cluster(loading * loaded))
    if away.any():
        shares *= 1 + by_cluster(away * loaded) - away * by_cluster(loaded)
    return np.asarray(shares)
