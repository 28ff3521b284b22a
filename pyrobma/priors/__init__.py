"""Stage 2: priors."""

from pyrobma.priors.defaults import (
    DEFAULT,
    SUPPORT,
    Component,
    Default,
    PriorArgument,
    component_priors,
    default_priors,
)
from pyrobma.priors.distributions import FAMILIES, Family, Prior, prior

__all__ = [
    "DEFAULT",
    "FAMILIES",
    "SUPPORT",
    "Component",
    "Default",
    "Family",
    "Prior",
    "PriorArgument",
    "component_priors",
    "default_priors",
    "prior",
]
