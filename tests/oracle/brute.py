"""Small regressions without a closed form, by sums over grids of all parameters.

Written from the mathematics alone; nothing here imports or mirrors the package.

The model
---------
Estimates ``y`` with standard errors ``se``, alone or in clusters of two, of mean
``g(mu + b x)`` where g is a linear factor, or the exact conversion of effects, plus
``PET se``; true effects have the standard deviation ``T = a tau`` and within clusters
the correlation rho. With selection, estimates below their ``cut`` are published with
the relative probability omega, so that the density of a cluster is::

    MVN(y; m, S) prod_i w(y_i) / E[prod_i w(Y_i)],   Y ~ MVN(m, S)

whose constant is ``p + omega (1 - p)`` for one estimate with P(Y > cut) = p, and
``P11 + omega (P10 + P01) + omega^2 P00`` for two, from bivariate normal probabilities
by Owen's T.

Priors: mu and b normal, tau inverse gamma, rho and omega uniform on (0, 1), PET half
Cauchy(0, 1).

The method
----------
Trapezoidal sums in mu, b and log tau and log PET, which converge faster than any power
of the spacing where the integrand has died out at both ends (Trefethen & Weideman,
2014), and Gauss-Legendre rules in rho and omega. The grid of mu and b lies around their
conditional mean in the linear model without selection, many conditional standard
deviations wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Array = npt.NDArray[np.float64]

MU_SD, B_SD = 1.0, 0.25
TAU_SHAPE, TAU_SCALE = 1.0, 0.15
_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, slots=True, eq=False)
class Small:
    """Data of a small regression; with ``paired``, rows 2k and 2k + 1 are a cluster.

    ``mapping`` None is the linear one by ``scale``. ``cut`` None: no selection.
    """

    y: Array
    se: Array
    x: Array
    scale: float = 0.5
    paired: bool = False
    mapping: Callable[[Array], Array] | None = None
    cut: Array | None = None
    pet: bool = False


def both_above(h: Array, k: Array, r: Array | float) -> Array:
    """P(X > h, Y > k) of standard normals with correlation r; h and k are not 0."""
    a, b = -h, -k
    root = np.sqrt(1.0 - np.square(r))
    one = special.owens_t(a, (b - r * a) / (a * root))
    other = special.owens_t(b, (a - r * b) / (b * root))
    apart = np.where(a * b > 0, 0.0, 0.5)
    result: Array = 0.5 * (special.ndtr(a) + special.ndtr(b)) - one - other - apart
    return result


def _log_likelihood(
    data: Small, mean: Array, T: float, rho: float, omega: Array
) -> Array:
    """Log density of the data, shape (points, omegas), for means (points, K)."""
    variance = data.se**2 + T**2
    z = data.y - mean
    if not data.paired:
        logs = -0.5 * (z**2 / variance + np.log(variance) + _LOG_2PI)
        total: Array = logs.sum(axis=1)[:, None] + np.zeros(omega.size)
        if data.cut is not None:
            p = special.ndtr((mean - data.cut) / np.sqrt(variance))
            total = total - np.log(p[:, :, None] + omega * (1.0 - p[:, :, None])).sum(1)
    else:
        one, other = variance[::2], variance[1::2]
        shared = rho * T**2
        determinant = one * other - shared**2
        u, v = z[:, ::2], z[:, 1::2]
        square = (other * u**2 - 2.0 * shared * u * v + one * v**2) / determinant
        total = -0.5 * (square + np.log(determinant)).sum(axis=1)[:, None]
        total = total - 0.5 * data.y.size * _LOG_2PI + np.zeros(omega.size)
        if data.cut is not None:
            h = (data.cut - mean) / np.sqrt(variance)
            h, k = h[:, ::2], h[:, 1::2]
            p11 = both_above(h, k, shared / np.sqrt(one * other))[:, :, None]
            p1, p2 = special.ndtr(-h)[:, :, None], special.ndtr(-k)[:, :, None]
            rest = omega * (p1 + p2 - 2.0 * p11) + omega**2 * (1.0 - p1 - p2 + p11)
            total = total - np.log(p11 + rest).sum(axis=1)
    if data.cut is not None:
        total = total + (data.y < data.cut).sum() * np.log(omega)
    return total


def _normal(data: Small, T: float, rho: float, pet: float) -> tuple[Array, Array]:
    """Mean and covariance of (mu, b) in the linear model without selection."""
    K = data.y.size
    S = np.diag(data.se**2 + T**2)
    if data.paired:
        for k in range(0, K, 2):
            S[k, k + 1] = S[k + 1, k] = rho * T**2
    Z = data.scale * np.column_stack([np.ones(K), data.x])
    weighted = np.linalg.solve(S, Z).T
    A = np.diag([MU_SD**-2, B_SD**-2]) + weighted @ Z
    covariance = np.linalg.inv(A)
    return covariance @ (weighted @ (data.y - pet * data.se)), covariance


def log_integral(
    data: Small,
    at: tuple[float, float] | None = None,
    *,
    step: float = 0.6,
    reach: float = 9.0,
    nodes: int = 10,
) -> float:
    """Log marginal likelihood, with ``at`` times a posterior density.

    Parameters
    ----------
    at
        x0 and v: the density of mu + b x0 at v.
    step, reach
        Spacing and half width of the grid of mu and b, in conditional standard
        deviations.
    nodes
        Of the rules of rho and omega.
    """
    grid = np.arange(-reach, reach + step / 2.0, step)
    log_tau = np.arange(math.log(0.004), math.log(8.0), 0.6 * step)
    unit, weight = np.polynomial.legendre.leggauss(nodes)
    unit, weight = 0.5 * (unit + 1.0), 0.5 * weight
    rhos = (unit, weight) if data.paired else (np.zeros(1), np.ones(1))
    # Near omega = 0 the density bends most.
    omegas = (unit**3, 3.0 * unit**2 * weight)
    if data.cut is None:
        omegas = (np.ones(1), np.ones(1))
    log_pet = np.arange(-8.0, 3.0, step / 4.0) if data.pet else np.full(1, -np.inf)
    pets = np.exp(log_pet)
    parts = []
    for tau in np.exp(log_tau):
        prior_tau = stats.invgamma.logpdf(tau, TAU_SHAPE, scale=TAU_SCALE)
        prior_tau += math.log(tau * 0.6 * step)
        T = data.scale * tau
        for rho, share in zip(*rhos, strict=True):
            for pet in pets:
                prior = prior_tau + math.log(share)
                if data.pet:
                    prior += stats.halfcauchy.logpdf(pet) + math.log(pet * step / 4.0)
                mu, b, volume = _points(*_normal(data, T, rho, pet), grid, at)
                prior_b = stats.norm.logpdf(mu, 0.0, MU_SD)
                prior_b = prior_b + stats.norm.logpdf(b, 0.0, B_SD)
                linear = mu[:, None] + b[:, None] * data.x
                g = data.mapping
                mean = data.scale * linear if g is None else g(linear)
                logs = _log_likelihood(data, mean + pet * data.se, T, rho, omegas[0])
                logs = logs + prior_b[:, None] + np.log(omegas[1])
                parts.append(prior + volume + special.logsumexp(logs))
    return float(special.logsumexp(parts))


def _points(
    mean: Array, covariance: Array, grid: Array, at: tuple[float, float] | None
) -> tuple[Array, Array, float]:
    """mu and b on a grid, or on the line mu + b x0 = v, and the log of its spacing."""
    step = grid[1] - grid[0]
    if at is None:
        factor = np.linalg.cholesky(covariance)
        pairs = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
        points = mean + pairs @ factor.T
        volume = 2.0 * math.log(step) + float(np.log(np.diag(factor)).sum())
        return points[:, 0], points[:, 1], volume
    x0, v = at
    # b given the sum, as normal variables.
    c = np.array([1.0, x0])
    pull = covariance @ c / (c @ covariance @ c)
    centre = mean[1] + pull[1] * (v - c @ mean)
    sd = math.sqrt(covariance[1, 1] - pull[1] * (covariance @ c)[1])
    b = centre + sd * grid
    return v - b * x0, b, math.log(step * sd)
