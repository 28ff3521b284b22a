"""The normal likelihood of clustered estimates, in closed form and linear time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pyrobma._types import FloatArray, IntArray

Objective = Callable[[FloatArray], tuple[float, FloatArray]]


@dataclass(frozen=True, slots=True)
class ClusterLikelihood:
    """Log likelihood of two variance components, the mean profiled out.

    Parameters
    ----------
    y : array of shape (K,)
        Estimates.
    v : array of shape (K,)
        Their sampling variances, positive.
    cluster : array of int, shape (K,)
        Cluster of each estimate, 0 .. L - 1, each one used.

    Notes
    -----
    The estimates of a cluster have covariance ``diag(v + within) + between``. Its
    inverse and determinant follow from those of the diagonal. With
    ``d = 1 / (v + within)``, ``D`` the sum of d over a cluster and ``m`` the cluster's
    mean weighted by d, a cluster informs about mu only through m, which has variance
    ``1 / t = 1 / D + between``. So

        -2 l = K log 2π + Σ log(v + within) + Σ_c log(1 + between D)
               + Σ d (y - m)² + Σ_c t (m - mu)²,   mu = Σ t m / Σ t,

    to which the restricted likelihood adds ``log Σ t - log K - log 2π`` (Harville,
    1974; the term log K makes it a density of error contrasts, as metafor has it).
    With `between` 0 this is the univariate random-effects model, tau² = `within`.

    References
    ----------
    .. [1] Harville (1974). Biometrika 61(2), 383-385. doi:10.1093/biomet/61.2.383
    .. [2] Konstantopoulos (2011). Res. Synth. Methods 2(1). doi:10.1002/jrsm.35
    """

    y: FloatArray
    v: FloatArray
    cluster: IntArray

    @property
    def n_estimates(self) -> int:
        """Number of estimates, K."""
        return self.y.size

    @property
    def n_clusters(self) -> int:
        """Number of clusters, L."""
        return int(self.cluster.max()) + 1

    @property
    def unit(self) -> float:
        """A variance of the data's order of magnitude, for starts and steps."""
        return float(np.mean(self.v) + np.var(self.y))

    def total(self, x: FloatArray) -> FloatArray:
        """Sum `x`, shape (K,), over each cluster: shape (L,)."""
        return np.asarray(np.bincount(self.cluster, weights=x), float)

    def mean(self, within: float, between: float) -> tuple[float, float]:
        """Generalised least squares estimate of mu and its variance."""
        d = 1.0 / (self.v + within)
        precision = self.total(d)
        m = self.total(d * self.y) / precision
        t = precision / (1.0 + between * precision)
        return float(t @ m / t.sum()), float(1.0 / t.sum())

    def evaluate(
        self, within: float, between: float, *, reml: bool
    ) -> tuple[float, FloatArray]:
        """Log likelihood and its gradient.

        Parameters
        ----------
        within, between : float
            Variance components, not negative.
        reml : bool
            Restricted likelihood.

        Returns
        -------
        float
            Log likelihood at the best mu.
        array of shape (2,)
            Derivatives with respect to `within` and `between`.
        """
        variance = self.v + within
        d = 1.0 / variance
        precision = self.total(d)
        shrink = 1.0 / (1.0 + between * precision)
        m = self.total(d * self.y) / precision
        t = precision * shrink
        t_sum = float(t.sum())
        offset = m - float(t @ m) / t_sum
        deviation = self.y - m[self.cluster]

        deviance = (
            self.n_estimates * math.log(2.0 * math.pi)
            + np.log(variance).sum()
            + np.log1p(between * precision).sum()
            + d @ deviation**2
            + t @ offset**2
        )
        # inverse covariance times residuals, entry by entry
        u = d * (deviation + (shrink * offset)[self.cluster])
        d2 = self.total(d**2)
        slope_within = d.sum() - between * (d2 @ shrink) - u @ u
        slope_between = t.sum() - t**2 @ offset**2
        if reml:
            deviance += math.log(t_sum / self.n_estimates / (2.0 * math.pi))
            slope_within -= d2 @ shrink**2 / t_sum
            slope_between -= t @ t / t_sum
        gradient = np.array([-0.5 * slope_within, -0.5 * slope_between])
        return float(-0.5 * deviance), gradient


def maximise(
    objective: Objective,
    starts: Sequence[FloatArray],
    *,
    unit: float,
) -> tuple[FloatArray, float]:
    """Maximise over variances, not negative, from the best of several starts.

    Parameters
    ----------
    objective : callable
        Returns value and gradient at an array of shape (P,).
    starts : sequence of arrays of shape (P,)
        Likelihoods of variance components can have two peaks: a grid finds the higher.
    unit : float
        The order of magnitude of the variances, so that tolerances have a meaning.

    Returns
    -------
    array of shape (P,)
        Where the maximum is.
    float
        The maximum.
    """
    from scipy.optimize import minimize

    def scaled(x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = objective(x * unit)
        return -value, -gradient * unit

    start = max(starts, key=lambda x: objective(x)[0])
    best = minimize(
        scaled,
        start / unit,
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * start.size,
        options={"ftol": 1e-13, "gtol": 1e-8, "maxiter": 500},
    )
    return np.asarray(best.x, float) * unit, -float(best.fun)


def maximum_on_line(
    value: Callable[[float], float], grid: Sequence[float], *, bounded: bool
) -> float:
    """Return the maximum of `value` from the first point of a grid upwards.

    Parameters
    ----------
    value : callable
        A log likelihood along a line.
    grid : sequence of float
        Rising points to search from: two peaks are told apart if they are.
    bounded : bool
        Whether the last point is an upper bound; if not, the grid goes on as needed.
    """
    from scipy.optimize import minimize_scalar

    points = list(grid)
    values = [value(x) for x in points]
    while not bounded and values[-1] >= max(values[:-1]):
        points.append(4.0 * points[-1])
        values.append(value(points[-1]))
    peak = int(np.argmax(values))
    ends = points[max(peak - 1, 0)], points[min(peak + 1, len(points) - 1)]
    run = minimize_scalar(
        lambda x: -value(float(x)),
        bounds=ends,
        method="bounded",
        options={"xatol": 1e-7 * ends[1]},
    )
    return max(values[peak], -float(run.fun))
