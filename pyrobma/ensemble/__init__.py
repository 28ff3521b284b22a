"""Stage 5: ensembles."""

from pyrobma.ensemble.ensemble import Ensemble, component_of
from pyrobma.ensemble.joint import JointDraws
from pyrobma.ensemble.mixing import Mixture
from pyrobma.ensemble.normal_mixture import NormalMixture
from pyrobma.ensemble.prediction import new_effect
from pyrobma.ensemble.probabilities import (
    Inclusion,
    inclusion,
    posterior_probabilities,
    posterior_probability_errors,
)

__all__ = [
    "Ensemble",
    "Inclusion",
    "JointDraws",
    "Mixture",
    "NormalMixture",
    "component_of",
    "inclusion",
    "new_effect",
    "posterior_probabilities",
    "posterior_probability_errors",
]
