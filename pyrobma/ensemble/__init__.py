"""Stage 5: ensembles."""

from pyrobma.ensemble.ensemble import Ensemble, component_of
from pyrobma.ensemble.mixing import Mixture
from pyrobma.ensemble.probabilities import (
    Inclusion,
    inclusion,
    posterior_probabilities,
    posterior_probability_errors,
)

__all__ = [
    "Ensemble",
    "Inclusion",
    "Mixture",
    "component_of",
    "inclusion",
    "posterior_probabilities",
    "posterior_probability_errors",
]
