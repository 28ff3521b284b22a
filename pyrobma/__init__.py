"""Hierarchical, robust Bayesian model-averaged meta-analysis, backed by Stan.

>>> import pyrobma as rb
>>> schools = rb.load_dataset("konstantopoulos2011")
>>> fit = rb.robma(schools, d="yi", v="vi", study_ids="district",
...                priors_bias=None, seed=1)
>>> table = fit.summary()
"""

from importlib.metadata import version as _version

from pyrobma.api import RobmaFit, robma
from pyrobma.effects import (
    EffectSizes,
    datasets,
    effect_sizes,
    load_dataset,
)
from pyrobma.ensemble import Ensemble
from pyrobma.errors import (
    BridgeError,
    BridgeWarning,
    ConvergenceWarning,
    DataError,
    DataWarning,
    PriorError,
    PriorWarning,
    PyrobmaError,
    PyrobmaWarning,
    SamplingError,
    ToolchainError,
)
from pyrobma.fit import Fit, FitError, SamplerSettings, SettingsError
from pyrobma.models import ModelSpace, ModelSpec, model_space
from pyrobma.priors import (
    DEFAULT,
    Prior,
    default_bias,
    default_priors,
    prior,
    prior_none,
    prior_PEESE,
    prior_PET,
    prior_weightfunction,
)
from pyrobma.summary import Summary, Table

__version__ = _version("pyrobma")

__all__ = [
    "DEFAULT",
    "BridgeError",
    "BridgeWarning",
    "ConvergenceWarning",
    "DataError",
    "DataWarning",
    "EffectSizes",
    "Ensemble",
    "Fit",
    "FitError",
    "ModelSpace",
    "ModelSpec",
    "Prior",
    "PriorError",
    "PriorWarning",
    "PyrobmaError",
    "PyrobmaWarning",
    "RobmaFit",
    "SamplerSettings",
    "SamplingError",
    "SettingsError",
    "Summary",
    "Table",
    "ToolchainError",
    "__version__",
    "datasets",
    "default_bias",
    "default_priors",
    "effect_sizes",
    "load_dataset",
    "model_space",
    "prior",
    "prior_PEESE",
    "prior_PET",
    "prior_none",
    "prior_weightfunction",
    "robma",
]
