"""The normal likelihood of clustered estimates, in closed form and linear time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field

import numpy as np

from pyrobma._types import FloatArray, IntArray
from pyrobma.frequentist.covariance import ClusterCovariance

Objective = Callable[[FloatArray], tuple[float, FloatArray]]

_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, slots=True)
class ClusterLikelihood:
    """Log likelihood of two variance components, the coefficients profiled out.

    Parameters
    ----------
    y : array of shape (K,)
        Estimates.
    v : array of shape (K,)
        Their sampling variances, positive.
    cluster : array of int, shape (K,)
        Cluster of each estimate, 0 .. L - 1, each one used.
    design : array of shape (K, P), or None
        Columns X of the mean, linearly independent. None means the intercept only.

    Attributes
    ----------
    x : array of shape (K, P)
        The columns.
    unit : float
        A variance of the data's order of magnitude, for starts and steps.

    Notes
    -----
    The estimates have mean X b and, in a cluster, covariance ``diag(v + within) +
    between``, together S. `ClusterCovariance` has a root R of its inverse in linear
    time, so that b comes from the ordinary least squares of R y on R X, whose residuals
    e give

        -2 l = K log 2π + log|S| + e'e,

    to which the restricted likelihood adds ``log|X'S⁻¹X| - log|X'X| - P log 2π``
    (Harville, 1974; the term in X'X makes it a density of error contrasts, as metafor
    has it). With `between` 0 this is the univariate model, tau² = `within`.

    With a derivative S' of S (the identity for `within`, the indicator of a common
    cluster for `between`) the slope of -2 l is ``tr(S⁻¹S') - u'S'u``, ``u = S⁻¹(y - Xb)
    = R'e``; that of the restricted one is less by ``tr((X'S⁻¹X)⁻¹ G'S'G)``, ``G = S⁻¹X
    = R'(R X)``.

    References
    ----------
    .. [1] Harville (1974). Biometrika 61(2), 383-385. doi:10.1093/biomet/61.2.383
    .. [2] Konstantopoulos (2011). Res. Synth. Methods 2(1). doi:10.1002/jrsm.35
    """

    y: FloatArray
    v: FloatArray
    cluster: IntArray
    design: InitVar[FloatArray | None] = None
    x: FloatArray = field(init=False)
    unit: float = field(init=False)
    _rows: FloatArray = field(init=False)

    def __post_init__(self, design: FloatArray | None) -> None:
        """Derive what does not depend on the variance components."""
        x = np.ones((self.y.size, 1)) if design is None else design
        # with orthonormal columns log|X'X| is 0, and X'S⁻¹X as well conditioned as S
        basis = np.ascontiguousarray(np.linalg.qr(x)[0].T)
        residual = self.y - (basis @ self.y) @ basis
        set_ = object.__setattr__
        set_(self, "x", x)
        set_(self, "unit", float(np.mean(self.v) + np.mean(residual**2)))
        set_(self, "_rows", np.vstack([basis, self.y]))

    @property
    def n_estimates(self) -> int:
        """Number of estimates, K."""
        return self.y.size

    @property
    def n_clusters(self) -> int:
        """Number of clusters, L."""
        return int(self.cluster.max()) + 1

    @property
    def n_coefficients(self) -> int:
        """Number of coefficients of the mean, P."""
        return int(self.x.shape[1])

    def covariance(self, within: float, between: float) -> ClusterCovariance:
        """Covariance of the estimates with these variance components."""
        return ClusterCovariance(self.v + within, between, self.cluster)

    def coefficients(
        self, within: float, between: float
    ) -> tuple[FloatArray, FloatArray]:
        """Generalised least squares estimates, and a factor of their covariance.

        Returns
        -------
        array of shape (P,)
            The estimates b.
        array of shape (P, P)
            A matrix F with ``F F' = (X'S⁻¹X)⁻¹``: tests and predictions lose fewer
            digits with it than with the covariance.
        """
        root = self.covariance(within, between)
        q, r = np.linalg.qr(root.whitened(self.x.T).T)
        factor = np.linalg.inv(r)
        return factor @ (q.T @ root.whitened(self.y)), factor

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
            Log likelihood at the best coefficients.
        array of shape (2,)
            Derivatives with respect to `within` and `between`.
        """
        root = self.covariance(within, between)
        rows = root.whitened(self._rows)
        x, z = rows[:-1], rows[-1]
        information = x @ x.T
        inverse = np.linalg.inv(information)
        z -= (inverse @ (x @ z)) @ x
        entries, sums = root.unwhitened(rows if reml else rows[-1:])

        deviance = self.n_estimates * _LOG_2PI + root.log_determinant + z @ z
        slopes = np.array(root.inverse_traces)
        slopes -= entries[-1] @ entries[-1], sums[-1] @ sums[-1]
        if reml:
            g, g_sums = entries[:-1], sums[:-1]
            deviance += np.linalg.slogdet(information)[1]
            deviance -= self.n_coefficients * _LOG_2PI
            slopes -= np.vdot(inverse, g @ g.T), np.vdot(inverse, g_sums @ g_sums.T)
        return float(-0.5 * deviance), -0.5 * slopes


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
