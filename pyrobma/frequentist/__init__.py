"""Frequentist companions: what a reader compares the Bayesian answer with.

`rma` fits the common-effect and random-effects models, `rma_mv` the two-level model
with clusters; both take the same `EffectSizes` as the Bayesian models, and moderators,
`rma` those of tau² too.
"""

from __future__ import annotations

from pyrobma.frequentist.intervals import HeterogeneityIntervals, Interval
from pyrobma.frequentist.location_scale import LocationScaleFit
from pyrobma.frequentist.multilevel import MultilevelFit, rma_mv
from pyrobma.frequentist.multilevel_regression import MultilevelRegressionFit
from pyrobma.frequentist.regression import RegressionFit
from pyrobma.frequentist.robust import RobustCoefficients, RobustEstimate
from pyrobma.frequentist.univariate import RandomEffectsFit, rma

__all__ = [
    "HeterogeneityIntervals",
    "Interval",
    "LocationScaleFit",
    "MultilevelFit",
    "MultilevelRegressionFit",
    "RandomEffectsFit",
    "RegressionFit",
    "RobustCoefficients",
    "RobustEstimate",
    "rma",
    "rma_mv",
]
