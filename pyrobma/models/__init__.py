"""Stage 3: the models, and what they are fitted to."""

from pyrobma.models.space import (
    Choice,
    Hypotheses,
    ModelSpace,
    combine,
    model_space,
)
from pyrobma.models.spec import ABSENT, ModelSpec, model
from pyrobma.models.task import Column, EffectDirection, EffectMapping, Task

__all__ = [
    "ABSENT",
    "Choice",
    "Column",
    "EffectDirection",
    "EffectMapping",
    "Hypotheses",
    "ModelSpace",
    "ModelSpec",
    "Task",
    "combine",
    "model",
    "model_space",
]
