"""Stage 5: where the true effect of a new study lies."""

from __future__ import annotations

import numpy as np

from pyrobma._types import BoolArray
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.normal_mixture import NormalMixture
from pyrobma.ensemble.predictor import Predictor
from pyrobma.ensemble.quantities import Quantity
from pyrobma.ensemble.scales import data_mean


def new_effect(
    ensemble: Ensemble,
    *,
    given: BoolArray | None = None,
    quantity: Quantity | None = None,
    log_ratio: Quantity | None = None,
) -> NormalMixture:
    """Return the predictive distribution of the true effect of a new study.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    given : array of bool, shape (number of models,), optional
        Only over these models.
    quantity : Quantity, optional
        The mean effect of the population that the study is from. None: mu.
    log_ratio : Quantity, optional
        Log of its heterogeneity over that at the reference of its moderators. None:
        there.

    Returns
    -------
    NormalMixture
        On the measure of the likelihood; `true_effect_converter` carries its values
        to an output scale. The study is in a cluster of its own: both parts of the
        heterogeneity count, and rho does not matter.
    """
    draws = ensemble.joint(given=given, size=20_000)
    study = Predictor(ensemble.task, draws)
    mean = study.new_mean
    if quantity is not None:
        values = np.broadcast_to(quantity.value(draws), (1, len(mean)))[0]
        mean = data_mean(ensemble.task, values)
    sd = study.new_sd
    if log_ratio is not None:
        sd = sd * np.exp(np.broadcast_to(log_ratio.value(draws), (1, len(sd)))[0])
    return NormalMixture(draws.weights, mean, sd)
