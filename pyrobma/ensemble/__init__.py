"""Stage 5: ensembles."""

from pyrobma.ensemble.ensemble import COMPONENT_OF, Ensemble
from pyrobma.ensemble.mixing import Mixture
from pyrobma.ensemble.probabilities import (
    Inclusion,
    inclusion,
    posterior_probabilities,
    posterior_probability_errors,
)

__all__ = [
    "COMPONENT_OF",
    "Ensemble",
    "Inclusion",
    "Mixture",
    "inclusion",
    "posterior_probabilities",
    "posterior_probability_errors",
]
