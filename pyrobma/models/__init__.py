"""Stage 3: the model space."""

from pyrobma.models.space import COMPONENTS, ModelSpace, ModelSpec, model_space

__all__ = ["COMPONENTS", "ModelSpace", "ModelSpec", "model_space"]
