"""Stage 2: priors."""

from pyrobma.priors.bias import BiasPrior, NoBias, default_bias, prior_none
from pyrobma.priors.defaults import (
    DEFAULT,
    BiasArgument,
    Component,
    Default,
    PriorArgument,
    bias_priors,
    component_priors,
    default_priors,
    inside_support,
)
from pyrobma.priors.distributions import FAMILIES, Family, Prior, prior
from pyrobma.priors.grid import PValueGrid, common_grid, on_grid
from pyrobma.priors.informed import informed_priors, prior_informed
from pyrobma.priors.regression import PEESE, PET, prior_PEESE, prior_PET
from pyrobma.priors.text import prior_from_text
from pyrobma.priors.weightfunction import WeightFunction, prior_weightfunction

__all__ = [
    "DEFAULT",
    "FAMILIES",
    "PEESE",
    "PET",
    "BiasArgument",
    "BiasPrior",
    "Component",
    "Default",
    "Family",
    "NoBias",
    "PValueGrid",
    "Prior",
    "PriorArgument",
    "WeightFunction",
    "bias_priors",
    "common_grid",
    "component_priors",
    "default_bias",
    "default_priors",
    "informed_priors",
    "inside_support",
    "on_grid",
    "prior",
    "prior_PEESE",
    "prior_PET",
    "prior_from_text",
    "prior_informed",
    "prior_none",
    "prior_weightfunction",
]
