"""The two variance components of clustered estimates: estimates and intervals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.frequentist.intervals import (
    HeterogeneityIntervals,
    Interval,
    profile_interval,
)
from pyrobma.frequentist.likelihood import ClusterLikelihood, maximise, maximum_on_line

_Profile = Callable[[float], float]


def fit_components(
    likelihood: ClusterLikelihood, *, reml: bool
) -> tuple[float, float, float]:
    """`within`, `between` and the maximum of the log likelihood."""
    unit = likelihood.unit

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        return likelihood.evaluate(float(x[0]), float(x[1]), reml=reml)

    starts = [
        total * unit * np.array([1.0 - rho, rho])
        for total in (0.05, 0.3, 1.0)
        for rho in (0.05, 0.35, 0.65, 0.95)
    ]
    x, maximum = maximise(objective, starts, unit=unit)
    return float(x[0]), float(x[1]), maximum


def correlation(within: float, between: float) -> float:
    """Correlation of two true effects of a cluster; nan without heterogeneity."""
    total = within + between
    return between / total if total > 0.0 else math.nan


def component_intervals(
    likelihood: ClusterLikelihood,
    within: float,
    between: float,
    maximum: float,
    *,
    reml: bool,
    level: float,
) -> HeterogeneityIntervals:
    """Profile-likelihood intervals of the heterogeneity parameters.

    Parameters
    ----------
    likelihood : ClusterLikelihood
        Data and clusters.
    within, between : float
        Estimates of the variance components.
    maximum : float
        The log likelihood there.
    reml : bool
        Restricted likelihood.
    level : float
        Coverage, 0 to 1.

    Returns
    -------
    HeterogeneityIntervals
        Of "tau2", "tau", "rho", "sigma2_between" and "sigma2_within"; ends at a
        bound of the parameter (0, and 1 for rho) if the likelihood allows it.
    """
    unit = likelihood.unit
    total = within + between
    variances = [(total or 0.1 * unit) * f for f in (0.0, 0.1, 0.4, 1.0, 2.5)]
    correlations = [0.0, 0.1, 0.35, 0.65, 0.9, 1.0]

    def loglik(within: float, between: float) -> float:
        return likelihood.evaluate(within, between, reml=reml)[0]

    def at_tau2(tau2: float) -> float:
        return maximum_on_line(
            lambda rho: loglik((1.0 - rho) * tau2, rho * tau2),
            correlations,
            bounded=True,
        )

    def at_rho(rho: float) -> float:
        return maximum_on_line(
            lambda tau2: loglik((1.0 - rho) * tau2, rho * tau2),
            variances,
            bounded=False,
        )

    def at_between(between: float) -> float:
        return maximum_on_line(
            lambda within: loglik(within, between), variances, bounded=False
        )

    def at_within(within: float) -> float:
        return maximum_on_line(
            lambda between: loglik(within, between), variances, bounded=False
        )

    def interval(
        estimate: float, profile: _Profile, upper: float = math.inf
    ) -> Interval:
        return profile_interval(
            profile, estimate, maximum, level=level, unit=unit, upper=upper
        )

    rho = correlation(within, between)
    tau2 = interval(total, at_tau2)
    estimates = {
        "tau2": total,
        "tau": math.sqrt(total),
        "rho": rho,
        "sigma2_between": between,
        "sigma2_within": within,
    }
    intervals = {
        "tau2": tau2,
        "tau": Interval(math.sqrt(tau2.lower), math.sqrt(tau2.upper)),
        "rho": interval(0.5 if math.isnan(rho) else rho, at_rho, 1.0),
        "sigma2_between": interval(between, at_between),
        "sigma2_within": interval(within, at_within),
    }
    return HeterogeneityIntervals(
        method="profile likelihood",
        level=level,
        estimates=estimates,
        intervals=intervals,
    )
