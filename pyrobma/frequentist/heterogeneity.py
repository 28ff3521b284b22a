"""Estimators of tau² for independent estimates, and what is derived from tau²."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from pyrobma._types import FloatArray
from pyrobma.frequentist.intervals import Interval, above, crossing
from pyrobma.frequentist.likelihood import ClusterLikelihood, maximise


@dataclass(frozen=True, slots=True)
class Quadratic:
    """The form y'Ay with ``A = diag(w) - w w' / Σw``, its mean and variance.

    Parameters
    ----------
    v : array of shape (K,)
        Sampling variances.
    w : array of shape (K,)
        Weights, positive.
    """

    v: FloatArray
    w: FloatArray

    def of(self, y: FloatArray) -> float:
        """Weighted sum of squares of `y`, shape (K,), around its weighted mean."""
        return float(self.w @ (y - np.average(y, weights=self.w)) ** 2)

    @property
    def trace(self) -> float:
        """Trace of A: the slope of the mean in tau²."""
        return float(self.w.sum() - self.w @ self.w / self.w.sum())

    def mean(self, tau2: float) -> float:
        """Return the expectation if the estimates have variances ``v + tau2``."""
        return self.trace * tau2 + float(
            self.w @ self.v - self.w**2 @ self.v / self.w.sum()
        )

    def sd(self, tau2: float) -> float:
        """Return the standard deviation, ``sqrt(2 tr(AΣAΣ))``."""
        s, w, w_sum = self.v + tau2, self.w, self.w.sum()
        ws = w * s
        trace = ws @ ws - 2.0 * (w @ ws**2) / w_sum + (w @ ws / w_sum) ** 2
        return math.sqrt(2.0 * trace)


def cochran_q(y: FloatArray, v: FloatArray, tau2: float = 0.0) -> float:
    """Return the generalised Q statistic, with weights ``1 / (v + tau2)``."""
    return Quadratic(v, 1.0 / (v + tau2)).of(y)


def i_squared(tau2: float, typical: float) -> float:
    """Share of heterogeneity in the total variance, per cent."""
    return 100.0 * tau2 / (tau2 + typical)


def h_squared(tau2: float, typical: float) -> float:
    """Total variance over sampling variance."""
    return 1.0 + tau2 / typical


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
    information = w @ w
    if reml:
        information += -2.0 * (w @ w**2) / w.sum() + (w @ w / w.sum()) ** 2
    return float(x[0]), math.sqrt(2.0 / information)


def dersimonian_laird(y: FloatArray, v: FloatArray) -> tuple[float, float]:
    """DerSimonian & Laird (1986): tau² and its standard error."""
    return _moment(y, Quadratic(v, 1.0 / v))


def hedges(y: FloatArray, v: FloatArray) -> tuple[float, float]:
    """Hedges & Olkin (1985), unweighted: tau² and its standard error."""
    return _moment(y, Quadratic(v, np.ones_like(v)))


def _moment(y: FloatArray, form: Quadratic) -> tuple[float, float]:
    tau2 = max((form.of(y) - form.mean(0.0)) / form.trace, 0.0)
    return tau2, form.sd(tau2) / form.trace


def sidik_jonkman(y: FloatArray, v: FloatArray) -> tuple[float, float]:
    """Sidik & Jonkman (2005), two steps from the variance of `y`."""
    crude = float(np.var(y))
    form = Quadratic(v, 1.0 / (v + crude))
    share = crude / (y.size - 1)
    tau2 = share * form.of(y)
    return tau2, share * form.sd(tau2)


def paule_mandel(y: FloatArray, v: FloatArray) -> tuple[float, float]:
    """Paule & Mandel (1982), the same as empirical Bayes: tau², standard error."""
    df = y.size - 1
    tau2 = _solve_q(y, v, float(df))
    return tau2, y.size * math.sqrt(2.0 / df) / float((1.0 / (v + tau2)).sum())


def q_profile(y: FloatArray, v: FloatArray, level: float) -> Interval:
    """Q-profile interval of tau² (Viechtbauer, 2007, doi:10.1002/sim.2514).

    The generalised Q falls with tau² and has a chi² distribution with K - 1 degrees
    of freedom at the true one. Ends below 0 are 0.
    """
    df, tail = y.size - 1, 0.5 * (1.0 - level)
    return Interval(
        _solve_q(y, v, float(chdtri(df, tail))),
        _solve_q(y, v, float(chdtri(df, 1.0 - tail))),
    )


def _solve_q(y: FloatArray, v: FloatArray, target: float) -> float:
    def excess(tau2: float) -> float:
        return target - cochran_q(y, v, tau2)

    if excess(0.0) >= 0.0:
        return 0.0
    return crossing(excess, 0.0, above(excess, 0.0, float(np.mean(v))))
