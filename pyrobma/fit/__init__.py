"""Stage 4: fits."""

from pyrobma.fit.diagnostics import Diagnostics
from pyrobma.fit.explore import Second
from pyrobma.fit.exported import StanData
from pyrobma.fit.jobs import FitError, FitInterrupted
from pyrobma.fit.model import Fit, extend, fit_model
from pyrobma.fit.pool import Executor, Executors, WorkerError
from pyrobma.fit.provenance import Provenance
from pyrobma.fit.sample import Chains
from pyrobma.fit.schedule import fit_models
from pyrobma.fit.settings import SamplerSettings, SettingsError
from pyrobma.fit.stan_data import stan_data

__all__ = [
    "Chains",
    "Diagnostics",
    "Executor",
    "Executors",
    "Fit",
    "FitError",
    "FitInterrupted",
    "Provenance",
    "SamplerSettings",
    "Second",
    "SettingsError",
    "StanData",
    "WorkerError",
    "extend",
    "fit_model",
    "fit_models",
    "stan_data",
]
