"""Frequentist companions: what a reader compares the Bayesian answer with.

`rma` fits the common-effect and random-effects models, `rma_mv` the two-level model
with clusters; both take the same `EffectSizes` as the Bayesian models, and moderators,
`rma` those of tau² too. `rma_mh`, `rma_peto` and `rma_glmm` take events of two groups
as they were counted.
"""

from __future__ import annotations

from pyrobma.frequentist.glmm import rma_glmm
from pyrobma.frequentist.glmm_fits import GlmmFit, GlmmRegressionFit
from pyrobma.frequentist.intervals import HeterogeneityIntervals, Interval
from pyrobma.frequentist.location_scale import LocationScaleFit
from pyrobma.frequentist.multilevel import MultilevelFit, rma_mv
from pyrobma.frequentist.multilevel_regression import MultilevelRegressionFit
from pyrobma.frequentist.ratio import RatioEstimate
from pyrobma.frequentist.regression import RegressionFit
from pyrobma.frequentist.robust import RobustCoefficients, RobustEstimate
from pyrobma.frequentist.stratified import rma_mh, rma_peto
from pyrobma.frequentist.stratified_fits import MantelHaenszelFit, PetoFit
from pyrobma.frequentist.univariate import RandomEffectsFit, rma

__all__ = [
    "GlmmFit",
    "GlmmRegressionFit",
    "HeterogeneityIntervals",
    "Interval",
    "LocationScaleFit",
    "MantelHaenszelFit",
    "MultilevelFit",
    "MultilevelRegressionFit",
    "PetoFit",
    "RandomEffectsFit",
    "RatioEstimate",
    "RegressionFit",
    "RobustCoefficients",
    "RobustEstimate",
    "rma",
    "rma_glmm",
    "rma_mh",
    "rma_mv",
    "rma_peto",
]
