"""Stage 5: which estimates of new studies would be seen, given what is published."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from pyrobma._numerics import weighted_quantiles
from pyrobma._types import BoolArray, FloatArray
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.joint import JointDraws
from pyrobma.ensemble.predictor import Predictor, of_the_mean
from pyrobma.models import Task
from pyrobma.priors import PValueGrid, on_grid

_DRAWS: Final = 500
_BISECTIONS: Final = 40  # of some 20 sd: to 1e-11 of an sd
_REACH: Final = 9.0  # sd beyond which a normal density has no mass to speak of


def averaged_mean(ensemble: Ensemble, given: BoolArray | None = None) -> float:
    """Return the mean of new studies' true effects, on the measure of the likelihood.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    given : array of bool, shape (number of models,), optional
        Only over these models.
    """
    draws = ensemble.joint(*of_the_mean(ensemble.unknowns), given=given)
    return float(draws.weights @ Predictor(ensemble.task, draws).new_mean)


def adjusted_estimates(
    ensemble: Ensemble, given: BoolArray | None = None
) -> FloatArray:
    """Return estimates as they would be at the reference of all moderators.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    given : array of bool, shape (number of models,), optional
        Only over these models.

    Returns
    -------
    array of shape (K,)
        y_i less what the moderators add to its mean, on the measure of the likelihood;
        the estimates themselves without moderators.
    """
    y = ensemble.task.effects.y
    if not ensemble.unknowns.terms:
        return y
    draws = ensemble.joint(*of_the_mean(ensemble.unknowns), given=given)
    study = Predictor(ensemble.task, draws)
    added = study.mean(slice(None)) - study.new_mean
    return np.asarray(y - added @ draws.weights)


def regression_quantiles(
    task: Task, draws: JointDraws, se: FloatArray, probs: tuple[float, ...]
) -> FloatArray:
    """Return quantiles of the mean of estimates by their standard error.

    Parameters
    ----------
    task : Task
        The data and their mapping.
    draws : JointDraws
        Of those unknowns that `of_the_mean` names, from the posterior or the prior.
    se : array of shape (n,)
        Standard errors, on the measure of the likelihood.
    probs : tuple of float in [0, 1]

    Returns
    -------
    array of shape (n, len(probs))
        On the measure of the likelihood: the mean of a new study's true effects, and
        what PET and PEESE add.
    """
    study = Predictor(task, draws)
    mean = study.new_mean
    # One by one: an array of all standard errors by all draws would be large.
    return np.array(
        [
            weighted_quantiles(mean + study.bias_at(at)[0], draws.weights, probs)
            for at in se[:, None]
        ]
    )


def predicted_quantiles(
    ensemble: Ensemble,
    se: FloatArray,
    probs: tuple[float, ...],
    *,
    heterogeneity: bool,
    bias: bool,
    given: BoolArray | None = None,
) -> FloatArray:
    """Return quantiles of the estimates of new studies.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    se : array of shape (n,)
        Standard errors of the studies, on the measure of the likelihood.
    probs : tuple of float in (0, 1)
    heterogeneity, bias : bool
        Whether true effects differ; whether estimates are those that are published.
    given : array of bool, shape (number of models,), optional
        Only over these models.

    Returns
    -------
    array of shape (len(probs), n)
        On the measure of the likelihood.
    """
    draws = ensemble.joint(given=given, size=_DRAWS)
    study = Predictor(ensemble.task, draws)
    mean = np.tile(study.new_mean, (len(se), 1))
    sd = np.hypot(se[:, None], study.new_sd * heterogeneity)
    if bias:
        return published_at(ensemble, draws, mean + study.bias_at(se), sd, se, probs)
    cuts, omega = np.empty((len(se), 0)), np.ones((len(draws.weights), 1))
    return published_quantiles(draws.weights, mean, sd, cuts, omega, probs)


def published_at(
    ensemble: Ensemble,
    draws: JointDraws,
    mean: FloatArray,
    sd: FloatArray,
    se: FloatArray,
    probs: tuple[float, ...],
) -> FloatArray:
    """Return quantiles of estimates that are published as the models of each draw say.

    Parameters
    ----------
    ensemble : Ensemble
    draws : JointDraws
        S of all unknowns.
    mean, sd : arrays of shape (G, S)
        Of estimates before selection.
    se : array of shape (G,)
        Their standard errors.
    probs : tuple of float in (0, 1)

    Returns
    -------
    array of shape (len(probs), G)
        On the measure of the likelihood.
    """
    cuts, omega = np.empty((len(se), 0)), np.ones((len(draws.weights), 1))
    if ensemble.p_values is not None:
        z, omega = _selection(ensemble, ensemble.p_values, draws)
        cuts = np.outer(se, z)
    return published_quantiles(draws.weights, mean, sd, cuts, omega, probs)


def _selection(
    ensemble: Ensemble, grid: PValueGrid, draws: JointDraws
) -> tuple[FloatArray, FloatArray]:
    """Return z values at which the weight changes, and the weights of each draw.

    Both from the lowest estimates to the highest; weights of shape (S, J).
    """
    steps = np.array(grid.cuts[1:-1])
    weights = np.ones((len(draws.model), len(grid.intervals)))
    for k in np.unique(draws.model):
        fit = ensemble.fits[k]
        selection = fit.spec.selection
        if selection is None:
            continue
        mine = draws.model == k
        omega = fit.draws("omega").reshape(-1, len(selection.intervals))
        # Fixed weights are one row, whatever else is drawn.
        chosen = draws.row[mine] if len(omega) > 1 else np.zeros(mine.sum(), int)
        weights[mine] = on_grid(omega[chosen], selection, grid)
    if grid.sides == 2:
        z = -ndtri(steps / 2)
        middle = weights[:, ::-1]
        return np.concatenate([-z, z[::-1]]), np.hstack([weights, middle[:, 1:]])
    if ensemble.task.effect_direction == "negative":
        return ndtri(steps), weights
    return -ndtri(steps[::-1]), weights[:, ::-1]


def published_quantiles(
    weights: FloatArray,
    mean: FloatArray,
    sd: FloatArray,
    cuts: FloatArray,
    omega: FloatArray,
    probs: tuple[float, ...],
) -> FloatArray:
    """Return quantiles of a mixture of selected normal distributions.

    Parameters
    ----------
    weights : array of shape (S,)
        Of the components, summing to one.
    mean, sd : arrays of shape (G, S)
        Before selection, for each of G distributions; sd positive.
    cuts : array of shape (G, J - 1)
        Where the weight of publication changes, increasing along rows.
    omega : array of shape (S, J)
        Weights of publication from the lowest values to the highest.
    probs : tuple of float in (0, 1)

    Returns
    -------
    array of shape (len(probs), G)
    """
    flat = (*mean.shape, 1)
    below = ndtr((cuts[:, None] - mean[:, :, None]) / sd[:, :, None])
    ends = np.concatenate([np.zeros(flat), below, np.ones(flat)], axis=2)
    published = np.einsum("gsj,sj->gs", np.diff(ends, axis=2), omega)
    # A draw that lets nothing be published at some standard error tells nothing there.
    shares = np.where(published > 0, weights, 0.0)
    shares /= shares.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(published > 0, shares / published, 0.0)

    def cdf(x: FloatArray) -> FloatArray:
        upto = ndtr((x[:, None] - mean) / sd)
        parts = np.diff(np.minimum(ends, upto[:, :, None]), axis=2)
        return np.asarray(np.einsum("gsj,sj,gs->g", parts, omega, shares))

    found = np.empty((len(probs), len(mean)))
    for i, p in enumerate(probs):
        low = (mean - _REACH * sd).min(axis=1)
        high = (mean + _REACH * sd).max(axis=1)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            reached = cdf(middle) >= p
            high = np.where(reached, middle, high)
            low = np.where(reached, low, middle)
        found[i] = high
    return found
