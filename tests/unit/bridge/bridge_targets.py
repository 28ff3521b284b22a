"""Densities with a known constant, and exact sampling from each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv, gammaln, logsumexp, ndtr

from pyrobma._types import FloatArray

LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Target:
    """An unnormalised log density, its log constant, and a map from normal draws.

    `from_normals` takes points of shape (n, D) that are standard normal to draws from
    the density, so that chains of any autocorrelation can be made.
    """

    dimension: int
    logml: float
    log_density: Callable[[FloatArray], FloatArray]
    from_normals: Callable[[FloatArray, np.random.Generator], FloatArray]

    def draw(
        self,
        rng: np.random.Generator,
        chains: int,
        draws: int,
        autocorrelation: float = 0.0,
    ) -> FloatArray:
        normals = rng.standard_normal((chains, draws, self.dimension))
        innovation = np.sqrt(1 - autocorrelation**2)
        for t in range(1, draws):
            normals[:, t] *= innovation
            normals[:, t] += autocorrelation * normals[:, t - 1]
        flat = normals.reshape(-1, self.dimension)
        return self.from_normals(flat, rng).reshape(chains, draws, self.dimension)


def normal(dimension: int) -> Target:
    """Correlated normal without its constant."""
    factor = np.tril(np.full((dimension, dimension), 0.3)) + np.diag(
        np.arange(1.0, dimension + 1)
    )
    inverse = np.linalg.inv(factor)
    constant = dimension / 2 * LOG_2PI + np.log(np.diag(factor)).sum()
    return Target(
        dimension,
        float(constant),
        lambda u: -0.5 * ((u @ inverse.T) ** 2).sum(axis=1),
        lambda e, rng: e @ factor.T,
    )


def log_gamma(dimension: int, shape: float = 1.0) -> Target:
    """Logs of gamma variables: skewed."""
    return Target(
        dimension,
        0.0,
        lambda u: (shape * u - np.exp(u) - gammaln(shape)).sum(axis=1),
        lambda e, rng: np.log(gammaincinv(shape, ndtr(e))),
    )


def student_t3(dimension: int) -> Target:
    """Multivariate Student-t with 3 degrees of freedom: heavy tails."""
    constant = (
        gammaln((3 + dimension) / 2) - gammaln(1.5) - dimension / 2 * np.log(3 * np.pi)
    )
    return Target(
        dimension,
        0.0,
        lambda u: constant - (3 + dimension) / 2 * np.log1p((u**2).sum(axis=1) / 3),
        lambda e, rng: e / np.sqrt(rng.chisquare(3, size=(len(e), 1)) / 3),
    )


def two_modes(dimension: int, distance: float, left: float = 0.5) -> Target:
    """Mixture of two normals whose means differ in the first coordinate.

    `left` is the probability of the lower mode.
    """

    def log_density(u: FloatArray) -> FloatArray:
        rest = -0.5 * (u[:, 1:] ** 2).sum(axis=1) - dimension / 2 * LOG_2PI
        lower = np.log(left) - 0.5 * (u[:, 0] + distance / 2) ** 2
        upper = np.log(1 - left) - 0.5 * (u[:, 0] - distance / 2) ** 2
        return np.asarray(rest + np.logaddexp(lower, upper))

    def from_normals(e: FloatArray, rng: np.random.Generator) -> FloatArray:
        moved = e.copy()
        side = np.where(rng.uniform(size=len(e)) < left, -0.5, 0.5)
        moved[:, 0] += side * distance
        return moved

    return Target(dimension, 0.0, log_density, from_normals)


EFFECTS = np.array([0.3, -0.1, 0.25, 0.4, 0.05])
ERRORS = np.array([0.2, 0.15, 0.3, 0.1, 0.25])


def fixed_effect() -> Target:
    """Five estimates, one mean with a standard normal prior; closed form."""
    precision = (1 / ERRORS**2).sum() + 1
    mean = (EFFECTS / ERRORS**2).sum() / precision
    return Target(
        1,
        -3.048797054054,
        lambda u: (
            _log_normal(EFFECTS, u, ERRORS).sum(axis=1) + _log_normal(u[:, 0], 0.0, 1.0)
        ),
        lambda e, rng: mean + e / np.sqrt(precision),
    )


def random_effects() -> Target:
    """The same with heterogeneity, half-normal(0, 0.5); u = (mu, log tau)."""

    def moments(log_tau: FloatArray) -> tuple[FloatArray, FloatArray]:
        weight = 1 / (ERRORS**2 + np.exp(2 * log_tau)[:, None])
        precision = weight.sum(axis=1) + 1
        return (weight * EFFECTS).sum(axis=1) / precision, precision

    def log_density(u: FloatArray) -> FloatArray:
        return (
            _log_normal(u[:, 0], 0.0, 1.0)
            + _log_normal(EFFECTS, u[:, :1], _total_sd(u[:, 1])).sum(axis=1)
            + _log_half_normal(u[:, 1])
        )

    def log_marginal(log_tau: FloatArray) -> FloatArray:
        mean, precision = moments(log_tau)
        peak = log_density(np.column_stack([mean, log_tau]))
        return peak + 0.5 * (LOG_2PI - np.log(precision))

    quantile = _grid_quantile(log_marginal, -14.0, 2.5)

    def from_normals(e: FloatArray, rng: np.random.Generator) -> FloatArray:
        log_tau = quantile(e[:, 1])
        mean, precision = moments(log_tau)
        return np.column_stack([mean + e[:, 0] / np.sqrt(precision), log_tau])

    return Target(2, -2.509015252117, log_density, from_normals)


def null_random_effects() -> Target:
    """Heterogeneity around a mean of zero; u = (log tau,)."""

    def log_density(u: FloatArray) -> FloatArray:
        spread = _log_normal(EFFECTS, 0.0, _total_sd(u[:, 0])).sum(axis=1)
        return np.asarray(spread + _log_half_normal(u[:, 0]))

    quantile = _grid_quantile(lambda g: log_density(g[:, None]), -14.0, 2.5)
    return Target(1, -1.691947102310, log_density, lambda e, rng: quantile(e))


# Data of the Stan vignette of R's bridgesampling (Gronau, Singmann, Wagenmakers 2020).
VIGNETTE = np.array(
    [
        [1.1936533222, 1.9574533145, -0.7216175442, -1.8738083318, -1.1692823880],
        [0.5196085261, -0.0361004054, 0.4250881476, 0.4111922108, -0.8123697990],
        [0.7296735664, 3.4818672160, 2.3112638135, 2.0002942243, -0.2764350700],
        [1.0688236953, -0.9508359926, -1.8965110062, 2.5601973666, 0.2370306021],
    ]
).ravel()


def hierarchical_null() -> Target:
    """Twenty normal means around 0, variance inverse-gamma(1, 1); the means sampled.

    u = (theta_1 .. theta_20, log variance).
    """

    def log_prior(v: FloatArray) -> FloatArray:
        return np.asarray(-v - np.exp(-v))  # inverse-gamma(1, 1) times the Jacobian

    def log_density(u: FloatArray) -> FloatArray:
        theta, v = u[:, :20], u[:, 20]
        return (
            _log_normal(VIGNETTE, theta, 1.0).sum(axis=1)
            + _log_normal(theta, 0.0, np.exp(0.5 * v)[:, None]).sum(axis=1)
            + log_prior(v)
        )

    def log_marginal(v: FloatArray) -> FloatArray:
        sd = np.sqrt(1 + np.exp(v))[:, None]
        return np.asarray(_log_normal(VIGNETTE, 0.0, sd).sum(axis=1) + log_prior(v))

    quantile = _grid_quantile(log_marginal, -4.0, 6.0)

    def from_normals(e: FloatArray, rng: np.random.Generator) -> FloatArray:
        v = quantile(e[:, 20])
        shrink = (1 / (1 + np.exp(-v)))[:, None]
        return np.column_stack([shrink * VIGNETTE + np.sqrt(shrink) * e[:, :20], v])

    return Target(21, -37.53413126, log_density, from_normals)


def _log_normal(
    x: FloatArray, mean: FloatArray | float, sd: FloatArray | float
) -> FloatArray:
    return np.asarray(-0.5 * (LOG_2PI + ((x - mean) / sd) ** 2) - np.log(sd))


def _total_sd(log_tau: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(ERRORS**2 + np.exp(2 * log_tau)[:, None]))


def _log_half_normal(log_tau: FloatArray) -> FloatArray:
    return _log_normal(np.exp(log_tau), 0.0, 0.5) + np.log(2) + log_tau


def _grid_quantile(
    log_marginal: Callable[[FloatArray], FloatArray], low: float, high: float
) -> Callable[[FloatArray], FloatArray]:
    grid = np.linspace(low, high, 20001)
    log_mass = log_marginal(0.5 * (grid[1:] + grid[:-1]))
    mass = np.exp(log_mass - logsumexp(log_mass))
    cumulative = np.concatenate([[0.0], np.cumsum(mass)])
    return lambda e: np.interp(ndtr(e), cumulative, grid)
