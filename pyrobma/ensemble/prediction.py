"""Stage 5: where the true effect of a new study lies."""

from __future__ import annotations

from pyrobma._types import BoolArray
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.normal_mixture import NormalMixture
from pyrobma.ensemble.predictor import Predictor


def new_effect(ensemble: Ensemble, *, given: BoolArray | None = None) -> NormalMixture:
    """Return the predictive distribution of the true effect of a new study.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    given : array of bool, shape (number of models,), optional
        Only over these models.

    Returns
    -------
    NormalMixture
        On the measure of the likelihood; `true_effect_converter` carries its values
        to an output scale. The study is in a cluster of its own: both parts of the
        heterogeneity count, and rho does not matter.
    """
    draws = ensemble.joint(given=given, size=20_000)
    study = Predictor(ensemble.task, draws)
    return NormalMixture(draws.weights, study.new_mean, study.new_sd)
