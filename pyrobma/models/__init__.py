"""Stage 3: the model space."""

from pyrobma.models.space import (
    BIAS_COMPONENTS,
    COMPONENTS,
    Hypothesis,
    ModelSpace,
    ModelSpec,
    model_space,
)

__all__ = [
    "BIAS_COMPONENTS",
    "COMPONENTS",
    "Hypothesis",
    "ModelSpace",
    "ModelSpec",
    "model_space",
]
