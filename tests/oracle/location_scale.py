"""Reference answers by quadrature for models whose heterogeneity has moderators.

Written from the mathematics alone; nothing here imports or mirrors the package.

The model
---------
Estimates ``y`` with standard errors ``se``, in independent clusters::

    y ~ MVN(X b, diag(se^2) + C),   C_ij = tau_i tau_j [rho + (1 - rho) 1(i = j)]
    log tau_i = log tau + w_i' d

for i and j of one cluster, ``b_j ~ N(0, sd_j^2)``, ``d_s ~ N(0, d_sd_s^2)``, and any
proper prior of tau and of rho.

The method
----------
``b`` is integrated in closed form by adding ``X diag(sd^2) X'`` to the covariance, all
matrices dense. What is left, log tau, d and the logit of rho, is summed over equally
spaced nodes: of densities that are analytic and fall off at both ends, the error of
that falls faster than any power of the spacing. `log_marginal` with half the spacing is
the check.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import quadrature as q
from quadrature import Prior
from scipy import special

Array = npt.NDArray[np.float64]

_TOGETHER = 20_000
_D_REACH = 9.0  # prior standard deviations
_LOGIT_REACH = 36.0


@dataclass(frozen=True)
class Model:
    """Data and priors; ``tau`` None is no heterogeneity, ``rho`` None no clusters.

    ``X`` of shape (K, P) with prior standard deviations ``sd``; ``w`` of shape (K, S)
    with ``d_sd``.
    """

    y: Array
    se: Array
    X: Array
    sd: Sequence[float]
    tau: Prior | None
    w: Array
    d_sd: Sequence[float]
    cluster: npt.NDArray[np.int64] | None = None
    rho: Prior | None = None


@dataclass(frozen=True)
class Answer:
    """Log marginal likelihood, and nodes with their posterior probabilities.

    ``tau`` of shape (n,), ``d`` of shape (n, S), ``rho`` of shape (n,); ``mean`` and
    ``spread`` are those of b given each, shapes (n, P) and (n, P, P).
    """

    logml: float
    probability: Array
    tau: Array
    d: Array
    rho: Array
    mean: Array
    spread: Array

    def average(self, values: Array) -> float:
        return float(self.probability @ values)


def log_marginal(
    model: Model,
    steps: tuple[float, float, float] = (0.1, 0.2, 0.5),
    reach: tuple[float, float] = (-42.0, 9.0),
) -> Answer:
    """Sum over nodes.

    ``steps`` are those of log tau, of d in prior standard deviations, and of the logit
    of rho; ``reach`` are the ends of log tau.
    """
    axes: list[tuple[Array, Array]] = []  # values and log prior masses of each
    if model.tau is not None:
        u = np.arange(reach[0], reach[1], steps[0])
        inside = q.log_prior(model.tau, np.exp(u)) + u + math.log(steps[0])
        axes.append((np.exp(u), inside))
    for sd in model.d_sd:
        z = np.arange(-_D_REACH, _D_REACH + steps[1] / 2, steps[1])
        log = -0.5 * z**2 - 0.5 * math.log(2 * math.pi) + math.log(steps[1])
        axes.append((sd * z, log))
    if model.rho is not None:
        v = np.arange(-_LOGIT_REACH, _LOGIT_REACH, steps[2])
        rho = special.expit(v)
        jacobian = special.log_expit(v) + special.log_expit(-v) + math.log(steps[2])
        axes.append((rho, q.log_prior(model.rho, rho) + jacobian))
    points, prior = np.zeros((1, 0)), np.zeros(1)
    if axes:
        grids = np.meshgrid(*(values for values, _ in axes), indexing="ij")
        logs = np.meshgrid(*(log for _, log in axes), indexing="ij")
        points = np.column_stack([grid.ravel() for grid in grids])
        prior = np.sum([log.ravel() for log in logs], axis=0)
    kept = np.isfinite(prior) & (prior > -745.0)
    points, prior = points[kept], prior[kept]
    n, S = len(points), len(model.d_sd)
    tau = points[:, 0] if model.tau is not None else np.zeros(n)
    first = 0 if model.tau is None else 1
    d = points[:, first : first + S]
    rho = points[:, -1] if model.rho is not None else np.zeros(n)
    log = np.empty(n)
    P = model.X.shape[1]
    mean, spread = np.empty((n, P)), np.empty((n, P, P))
    for start in range(0, n, _TOGETHER):
        some = slice(start, start + _TOGETHER)
        log[some], mean[some], spread[some] = _given(
            model, tau[some], d[some], rho[some]
        )
    total = prior + log
    logml = float(special.logsumexp(total))
    return Answer(logml, np.exp(total - logml), tau, d, rho, mean, spread)


def covariance(model: Model, tau: Array, d: Array, rho: Array) -> Array:
    """Covariance matrices of the estimates given b, shape (n, K, K)."""
    K = len(model.y)
    T = tau[:, None] * np.exp(d @ model.w.T)
    labels = np.arange(K) if model.cluster is None else model.cluster
    same = (labels[:, None] == labels[None, :]).astype(float)
    correlation = rho[:, None, None] * same + (1 - rho)[:, None, None] * np.eye(K)
    return np.diag(model.se**2) + T[:, :, None] * correlation * T[:, None, :]


def _given(
    model: Model, tau: Array, d: Array, rho: Array
) -> tuple[Array, Array, Array]:
    """Log likelihood without b, and the mean and covariance of b."""
    S = covariance(model, tau, d, rho)
    D = np.diag(np.square(model.sd))
    V = S + model.X @ D @ model.X.T
    y = np.broadcast_to(model.y[:, None], (len(V), len(model.y), 1))
    solved = np.linalg.solve(V, y)[:, :, 0]
    log = -0.5 * (
        len(model.y) * math.log(2 * math.pi)
        + np.linalg.slogdet(V)[1]
        + solved @ model.y
    )
    gain = D @ model.X.T
    mean = solved @ gain.T
    wide = np.broadcast_to(gain.T, (len(V), *gain.T.shape))
    spread = D - gain @ np.linalg.solve(V, wide)
    return log, mean, spread
