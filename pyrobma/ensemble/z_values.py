"""Stage 5: the z-values of estimates, published and not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from pyrobma._types import FloatArray
from pyrobma.effects.cutoffs import critical_values
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.pointwise import Normal, selected
from pyrobma.ensemble.predictor import Predictor

_DRAWS: Final = 400
SIGNIFICANT: Final = float(-ndtri(0.025))
"""z-value of a two-sided p-value of .05."""


@dataclass(frozen=True, slots=True)
class ZDensities:
    """Densities of z = y / se in studies like those of the data.

    Attributes
    ----------
    published : array of shape (G,)
        Of estimates as they are published.
    free : array of shape (G,)
        Of estimates without publication bias.
    discovery : array of shape (S,)
        Chance that |z| exceeds 1.96 without publication bias, by draw.
    weights : array of shape (S,)
        Of the draws.
    """

    published: FloatArray
    free: FloatArray
    discovery: FloatArray
    weights: FloatArray


def z_densities(ensemble: Ensemble, z: FloatArray) -> ZDensities:
    """Return model-averaged densities of z-values.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    z : array of shape (G,)
        Where.

    Returns
    -------
    ZDensities
        Averaged over the studies, each with its standard error and moderators.
    """
    task = ensemble.task
    effects = task.effects
    draws = ensemble.joint(size=_DRAWS)
    normal = Normal.of(task, draws)
    moments = normal.alone()
    se = effects.se[:, None]
    # Of z: means with bias and without, and standard deviations.
    mean, sd = moments.mean / se, np.sqrt(moments.variance) / se
    study = Predictor(task, draws)
    free = np.broadcast_to(study.mean(np.arange(effects.K)), mean.shape) / se
    published, plain = np.zeros(len(z)), np.zeros(len(z))
    plain_draws = np.ones(len(draws.weights), dtype=bool)
    for _, mine, weights in selected(task, ensemble.fits, draws):
        plain_draws[mine] = False
        chance = weights.log_chance(
            np.arange(effects.K),
            moments.mean[:, mine],
            np.sqrt(moments.variance[:, mine]),
            slice(None),
        )
        omega = np.exp(weights.log_omega)
        for i in range(effects.K):
            where = np.searchsorted(weights.cuts[i] / effects.se[i], z, side="right")
            share = draws.weights[mine] * np.exp(-chance[i])
            density = _normal(z, mean[i, mine], sd[i, mine])
            published += (density * omega.T[where]) @ share
    rest = np.flatnonzero(plain_draws)
    for i in range(effects.K):
        published += _normal(z, mean[i, rest], sd[i, rest]) @ draws.weights[rest]
        plain += _normal(z, free[i], sd[i]) @ draws.weights
    beyond = ndtr((-SIGNIFICANT - free) / sd) + ndtr((free - SIGNIFICANT) / sd)
    K = effects.K
    return ZDensities(published / K, plain / K, beyond.mean(axis=0), draws.weights)


def z_cuts(ensemble: Ensemble) -> FloatArray:
    """Return where weights of publication change, as z-values, rising.

    Returns
    -------
    array of shape (J,)
        Medians over the studies, whose critical values differ with their sizes; empty
        without selection.
    """
    grid = ensemble.p_values
    if grid is None:
        return np.empty(0)
    effects = ensemble.task.effects
    cuts = critical_values(effects, grid.cuts[1:-1], grid.sides) / effects.se[:, None]
    middle = np.median(cuts, axis=0)
    if grid.sides == 2:
        return np.concatenate([-middle[::-1], middle])
    return np.sort(ensemble.task.direction * middle)


def _normal(z: FloatArray, mean: FloatArray, sd: FloatArray) -> FloatArray:
    """Return normal densities, shape (G, S)."""
    at = (z[:, None] - mean) / sd
    return np.asarray(np.exp(-0.5 * at**2) / (np.sqrt(2 * np.pi) * sd))
