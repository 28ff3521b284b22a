"""Stage 4: fits."""

from pyrobma.fit.diagnostics import Diagnostics
from pyrobma.fit.explore import Second
from pyrobma.fit.model import Fit, extend, fit_model
from pyrobma.fit.sample import Chains
from pyrobma.fit.schedule import Executor, FitError, FitInterrupted, fit_models
from pyrobma.fit.settings import SamplerSettings, SettingsError
from pyrobma.fit.stan_data import stan_data
from pyrobma.models import EffectDirection, EffectMapping, Task

__all__ = [
    "Chains",
    "Diagnostics",
    "EffectDirection",
    "EffectMapping",
    "Executor",
    "Fit",
    "FitError",
    "FitInterrupted",
    "SamplerSettings",
    "Second",
    "SettingsError",
    "Task",
    "extend",
    "fit_model",
    "fit_models",
    "stan_data",
]
