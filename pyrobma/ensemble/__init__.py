"""Stage 5: ensembles."""

from pyrobma.ensemble.cache import FitCache
from pyrobma.ensemble.datatree import to_datatree
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.heterogeneity import (
    CLUSTER_MEASURES,
    heterogeneity,
    prediction_interval,
    typical_variance,
)
from pyrobma.ensemble.joint import JointDraws
from pyrobma.ensemble.logml_errors import LogmlErrors
from pyrobma.ensemble.mixing import Mixture
from pyrobma.ensemble.normal_mixture import NormalMixture
from pyrobma.ensemble.pooling import pooling_weights
from pyrobma.ensemble.prediction import new_effect
from pyrobma.ensemble.predictor import Predictor
from pyrobma.ensemble.probabilities import (
    Inclusion,
    inclusion,
    posterior_probabilities,
    posterior_probability_errors,
)
from pyrobma.ensemble.regression import predict
from pyrobma.ensemble.stan_files import write_stan_json
from pyrobma.ensemble.storage import load, save
from pyrobma.ensemble.true_effects import cluster_effects, true_effects

__all__ = [
    "CLUSTER_MEASURES",
    "Ensemble",
    "FitCache",
    "Inclusion",
    "JointDraws",
    "LogmlErrors",
    "Mixture",
    "NormalMixture",
    "Predictor",
    "cluster_effects",
    "heterogeneity",
    "inclusion",
    "load",
    "new_effect",
    "pooling_weights",
    "posterior_probabilities",
    "posterior_probability_errors",
    "predict",
    "prediction_interval",
    "save",
    "to_datatree",
    "true_effects",
    "typical_variance",
    "write_stan_json",
]
