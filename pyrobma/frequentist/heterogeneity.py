"""Estimators of tau² for independent estimates, and what is derived from tau²."""

from __future__ import annotations

import math
from dataclasses import InitVar, dataclass, field

import numpy as np
from scipy.special import chdtri

from pyrobma._numerics import typical_variance
from pyrobma._types import FloatArray
from pyrobma.errors import DataError
from pyrobma.frequentist.intervals import (
    HeterogeneityIntervals,
    Interval,
    above,
    crossing,
    profile_interval,
)
from pyrobma.frequentist.likelihood import ClusterLikelihood, maximise

METHODS = ("REML", "ML", "DL", "HE", "SJ", "PM", "EB", "FE", "EE")
"""Estimators of tau²; "FE" and "EE" both mean the common-effect model."""

COMMON = ("FE", "EE")
"""Those without tau²."""

_ROUNDING = 1e-14
"""Residuals below this share of the data are 0: the fit is exact."""


@dataclass(frozen=True, slots=True)
class Quadratic:
    """The form y'Ay with ``A = W - W X (X'W X)⁻¹ X'W``, its mean and variance.

    Parameters
    ----------
    v : array of shape (K,)
        Sampling variances.
    w : array of shape (K,)
        Weights, positive, the diagonal of W.
    design : array of shape (K, P), or None
        Columns X of the mean; None means the intercept only.

    Notes
    -----
    With an orthonormal basis Q of the columns of ``W^(1/2) X``, A is
    ``W^(1/2) (I - QQ') W^(1/2)``; the squared norms of the rows of Q are leverages.
    """

    v: FloatArray
    w: FloatArray
    design: InitVar[FloatArray | None] = None
    _basis: FloatArray = field(init=False)

    def __post_init__(self, design: FloatArray | None) -> None:
        """Find the basis."""
        x = np.ones((self.w.size, 1)) if design is None else design
        q, _ = np.linalg.qr(np.sqrt(self.w)[:, None] * x)
        object.__setattr__(self, "_basis", q)

    def of(self, y: FloatArray) -> float:
        """Weighted sum of squares of `y`, shape (K,), around its weighted fit."""
        z = np.sqrt(self.w) * y
        residual = z - self._basis @ (self._basis.T @ z)
        form, largest = float(residual @ residual), float(z @ z)
        return form if form > _ROUNDING**2 * largest else 0.0

    @property
    def df(self) -> int:
        """Rank of A, K - P."""
        k, p = self._basis.shape
        return int(k - p)

    @property
    def trace(self) -> float:
        """Trace of A: the slope of the mean in tau²."""
        return float(self.w @ (1.0 - self._leverage))

    def mean(self, tau2: float) -> float:
        """Return the expectation if the estimates have variances ``v + tau2``."""
        return float((self.w * (self.v + tau2)) @ (1.0 - self._leverage))

    def sd(self, tau2: float) -> float:
        """Return the standard deviation, ``sqrt(2 tr(AΣAΣ))``."""
        return math.sqrt(2.0 * self.trace_of_square(self.v + tau2))

    def trace_of_square(self, variance: FloatArray) -> float:
        """Return ``tr(AΣAΣ)`` for Σ diagonal with `variance`, shape (K,)."""
        m = self.w * variance
        inner = self._basis.T @ (m[:, None] * self._basis)
        return float(m @ m - 2.0 * (m**2 @ self._leverage) + np.sum(inner**2))

    @property
    def _leverage(self) -> FloatArray:
        return np.asarray((self._basis**2).sum(axis=1))


def cochran_q(
    y: FloatArray, v: FloatArray, tau2: float = 0.0, design: FloatArray | None = None
) -> float:
    """Return the generalised Q statistic, with weights ``1 / (v + tau2)``."""
    return Quadratic(v, 1.0 / (v + tau2), design).of(y)


def typical_sampling_variance(likelihood: ClusterLikelihood) -> float:
    """Return the sampling variance of a typical estimate, given the moderators.

    It is ``(K - P) / tr(A)``, A as of `Quadratic` with weights 1 / v; for the intercept
    only that of Higgins and Thompson (2002). NaN without degrees of freedom.
    """
    v = likelihood.v
    if likelihood.n_coefficients == 1:
        return typical_variance(v)
    form = Quadratic(v, 1.0 / v, likelihood.x)
    return form.df / form.trace if form.df else math.nan


def i_squared(tau2: float, typical: float) -> float:
    """Share of heterogeneity in the total variance, per cent."""
    return 100.0 * tau2 / (tau2 + typical)


def h_squared(tau2: float, typical: float) -> float:
    """Total variance over sampling variance."""
    return 1.0 + tau2 / typical


# ---- estimators ------------------------------------------------------------
def estimate_tau2(likelihood: ClusterLikelihood, method: str) -> tuple[float, float]:
    """Estimate tau² of independent estimates, and its standard error.

    Parameters
    ----------
    likelihood : ClusterLikelihood
        Each estimate a cluster of its own.
    method : str
        One of `METHODS`; those of `COMMON` give 0 and nan.
    """
    if method in COMMON:
        return 0.0, math.nan
    if method in ("REML", "ML"):
        return likelihood_tau2(likelihood, reml=method == "REML")
    moment = {
        "DL": dersimonian_laird,
        "HE": hedges,
        "SJ": sidik_jonkman,
        "PM": paule_mandel,
        "EB": paule_mandel,
    }[method]
    return moment(likelihood.y, likelihood.v, likelihood.x)


def likelihood_tau2(
    likelihood: ClusterLikelihood, *, reml: bool
) -> tuple[float, float]:
    """Maximum (restricted) likelihood: tau² and its standard error.

    The standard error is that of the expected information (Viechtbauer, 2005).
    """
    unit = likelihood.unit

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = likelihood.evaluate(float(x[0]), 0.0, reml=reml)
        return value, gradient[:1]

    x, _ = maximise(
        objective,
        [np.array([start * unit]) for start in (0.01, 0.1, 0.3, 1.0)],
        unit=unit,
    )
    w = 1.0 / (likelihood.v + x[0])
    if reml:
        form = Quadratic(likelihood.v, w, likelihood.x)
        information = form.trace_of_square(np.ones_like(w))
    else:
        information = float(w @ w)
    return float(x[0]), math.sqrt(2.0 / information)


def dersimonian_laird(
    y: FloatArray, v: FloatArray, design: FloatArray
) -> tuple[float, float]:
    """DerSimonian & Laird (1986): tau² and its standard error."""
    return _moment(y, Quadratic(v, 1.0 / v, design))


def hedges(y: FloatArray, v: FloatArray, design: FloatArray) -> tuple[float, float]:
    """Hedges & Olkin (1985), unweighted: tau² and its standard error."""
    return _moment(y, Quadratic(v, np.ones_like(v), design))


def _moment(y: FloatArray, form: Quadratic) -> tuple[float, float]:
    tau2 = max((form.of(y) - form.mean(0.0)) / form.trace, 0.0)
    return tau2, form.sd(tau2) / form.trace


def sidik_jonkman(
    y: FloatArray, v: FloatArray, design: FloatArray
) -> tuple[float, float]:
    """Sidik & Jonkman (2005), two steps from the variance of `y`."""
    crude = float(np.var(y))
    form = Quadratic(v, 1.0 / (v + crude), design)
    share = crude / form.df
    tau2 = share * form.of(y)
    return tau2, share * form.sd(tau2)


def paule_mandel(
    y: FloatArray, v: FloatArray, design: FloatArray
) -> tuple[float, float]:
    """Paule & Mandel (1982), the same as empirical Bayes: tau², standard error."""
    df = design.shape[0] - design.shape[1]
    tau2 = _solve_q(y, v, design, float(df))
    return tau2, y.size * math.sqrt(2.0 / df) / float((1.0 / (v + tau2)).sum())


def _solve_q(y: FloatArray, v: FloatArray, design: FloatArray, target: float) -> float:
    def excess(tau2: float) -> float:
        return target - cochran_q(y, v, tau2, design)

    if excess(0.0) >= 0.0:
        return 0.0
    return crossing(excess, 0.0, above(excess, 0.0, float(np.mean(v))))


# ---- intervals -------------------------------------------------------------
def tau2_intervals(
    likelihood: ClusterLikelihood,
    tau2: float,
    *,
    estimator: str,
    method: str,
    level: float,
) -> HeterogeneityIntervals:
    """Confidence intervals of tau² and, by transformation, tau, I² and H².

    Parameters
    ----------
    likelihood : ClusterLikelihood
        Each estimate a cluster of its own.
    tau2 : float
        The estimate.
    estimator : str
        That it is of, one of `METHODS`.
    method : {"QP", "PL"}
        Q-profile, or profile likelihood, for "ML" and "REML" only.
    level : float
        Coverage, 0 to 1.

    Raises
    ------
    DataError
        If the model has no tau², or the method does not fit the estimator.
    """
    if estimator in COMMON:
        raise DataError(
            f"method: expected a random-effects model; got {estimator!r}. "
            "Fit with method='REML' to have an interval of tau2."
        )
    if method == "QP":
        interval = q_profile(likelihood, level)
    elif method == "PL" and estimator in ("ML", "REML"):
        interval = _profile(likelihood, tau2, level, reml=estimator == "REML")
    else:
        raise DataError(
            "method: expected 'QP', or 'PL' with tau2 by ML or REML; "
            f"got {method!r} with tau2 by {estimator}. Use 'QP'."
        )
    typical = typical_sampling_variance(likelihood)

    def derived(tau2: float) -> tuple[float, float, float, float]:
        return (
            tau2,
            math.sqrt(tau2),
            i_squared(tau2, typical),
            h_squared(tau2, typical),
        )

    names = ("tau2", "tau", "I2", "H2")
    ends = map(Interval, derived(interval.lower), derived(interval.upper))
    return HeterogeneityIntervals(
        method={"QP": "Q-profile", "PL": "profile likelihood"}[method],
        level=level,
        estimates=dict(zip(names, derived(tau2), strict=True)),
        intervals=dict(zip(names, ends, strict=True)),
    )


def q_profile(likelihood: ClusterLikelihood, level: float) -> Interval:
    """Q-profile interval of tau² (Viechtbauer, 2007, doi:10.1002/sim.2514).

    The generalised Q falls with tau² and has a chi² distribution with K - P degrees
    of freedom at the true one. Ends below 0 are 0.
    """
    y, v, x = likelihood.y, likelihood.v, likelihood.x
    df, tail = x.shape[0] - x.shape[1], 0.5 * (1.0 - level)
    return Interval(
        _solve_q(y, v, x, float(chdtri(df, tail))),
        _solve_q(y, v, x, float(chdtri(df, 1.0 - tail))),
    )


def _profile(
    likelihood: ClusterLikelihood, tau2: float, level: float, *, reml: bool
) -> Interval:
    def loglik(tau2: float) -> float:
        return likelihood.evaluate(tau2, 0.0, reml=reml)[0]

    return profile_interval(
        loglik, tau2, loglik(tau2), level=level, unit=likelihood.unit
    )
