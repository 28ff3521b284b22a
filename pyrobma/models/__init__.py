"""Stage 3: the models, and what they are fitted to."""

from pyrobma.models.baselines import BaselineArgument, read_baseline
from pyrobma.models.scale import heterogeneous, with_scale_terms
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
    coded_columns,
    is_scale_name,
    moderator_columns,
    plain_name,
    scale_columns,
    scale_name,
)
from pyrobma.models.terms import (
    ModsPrior,
    beta_binomial,
    check_mods_prior,
    default_scale_prior,
    default_term_prior,
    term_hypotheses,
    with_heredity,
)

__all__ = [
    "ABSENT",
    "BaselineArgument",
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
    "coded_columns",
    "combine",
    "default_scale_prior",
    "default_term_prior",
    "heterogeneous",
    "is_scale_name",
    "model",
    "model_space",
    "moderator_columns",
    "plain_name",
    "read_baseline",
    "scale_columns",
    "scale_name",
    "term_hypotheses",
    "with_heredity",
    "with_scale_terms",
]
