"""Stage 3: the models, and what they are fitted to."""

from pyrobma.models.space import (
    Choice,
    Hypotheses,
    ModelSpace,
    combine,
    model_space,
)
from pyrobma.models.spec import ABSENT, ModelSpec, model
from pyrobma.models.task import (
    Column,
    EffectDirection,
    EffectMapping,
    Task,
    moderator_columns,
)
from pyrobma.models.terms import (
    ModsPrior,
    beta_binomial,
    check_mods_prior,
    default_term_prior,
    term_hypotheses,
    with_heredity,
)

__all__ = [
    "ABSENT",
    "Choice",
    "Column",
    "EffectDirection",
    "EffectMapping",
    "Hypotheses",
    "ModelSpace",
    "ModelSpec",
    "ModsPrior",
    "Task",
    "beta_binomial",
    "check_mods_prior",
    "combine",
    "default_term_prior",
    "model",
    "model_space",
    "moderator_columns",
    "term_hypotheses",
    "with_heredity",
]
