"""Reference answers by quadrature for meta-regression and its ensembles.

Written from the mathematics alone; nothing here imports or mirrors the package.

The model
---------
Estimates ``y`` with standard errors ``se`` on the data scale, in independent
clusters. Within cluster k::

    y_k ~ MVN(m_k, S_k),   S_k = diag(se_k^2) + T^2 [(1 - rho) I + rho 1 1']
    m = a X b + direction * (PET se  or  PEESE se^2 / a),   T = a tau

with ``a`` the linear factor from the prior scale to the data scale, and the columns
of ``X`` the intercept and the coded predictors. The coefficients are independent,
``b_j ~ N(prior_mean_j, prior_sd_j^2)``; a standard deviation of 0 fixes one. Tau, rho
and the coefficient of the bias have any proper prior, or are fixed.

The method
----------
Given tau, rho and the bias, everything is normal: with ``Z = a X`` (free columns),
``D`` the prior variances, ``r`` the residual at the prior mean and
``A = D^-1 + Z' S^-1 Z``, ``h = A^-1 Z' S^-1 r``, ::

    -2 log p = K log 2 pi + log|S| + log|D| + log|A| + r' S^-1 r - h' A h
    b | y ~ N(prior_mean + h, A^-1)

(Lindley & Smith, 1972). ``S`` is a diagonal plus a rank one matrix per cluster, and
``r`` is linear in the bias. So at most three dimensions are left, for which composite
Gauss-Legendre rules are refined by bisection and then checked by doubling the nodes in
a wider box; a difference of `LOGML_TOLERANCE` raises `q.QuadratureError`. The
posterior of a linear combination of coefficients is a mixture of normals over the
nodes, and stays one when models are averaged, with an atom for each fixed value.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import quadrature as q
from numpy.polynomial import hermite_e, legendre
from quadrature import Prior
from scipy import optimize, special

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Stated absolute accuracy of a log marginal likelihood, as found by doubling the rule.
LOGML_TOLERANCE = 1e-8

HALF_CAUCHY_PET = Prior("cauchy", (0.0, 1.0), lower=0.0)
HALF_CAUCHY_PEESE = Prior("cauchy", (0.0, 5.0), lower=0.0)

_ORDER = ("tau", "rho", "bias")
_NODES = 16
_NEGLIGIBLE = 36.0  # nats below the maximum, where an axis ends
_REACH = 45.0  # ends of an unbounded axis: exp or sinh of it
_NO_NODE = 1e-15  # share of the mass below which a node is left out of a mixture
_NO_PARTS = 1e-13  # mass of all parts that a quantile does without


# --------------------------------------------------------------------------- priors


@dataclass(frozen=True, slots=True)
class Density:
    """A proper prior as its normalised log density, and the ends of its support."""

    log: Callable[[Array], Array]
    low: float
    high: float


def density(prior: Prior) -> Density:
    """A prior of `quadrature` as a `Density`."""
    return Density(lambda x: q.log_prior(prior, x), *q.support(prior))


class Bias(NamedTuple):
    """``kind`` is ``"PET"`` or ``"PEESE"``; ``prior`` that of its coefficient."""

    kind: str
    prior: Prior | Density | float


@dataclass(frozen=True, slots=True)
class _Axis:
    """A coordinate t on which a parameter's density is smooth up to its ends.

    tau = exp(t); rho = sin(t)^2, which takes away the singular ends of a Beta whose
    parameters are multiples of 1/2; the bias is sinh(t).
    """

    name: str
    prior: Density

    def value(self, t: Array) -> Array:
        if self.name == "tau":
            x: Array = np.exp(t)
        else:
            x = np.sin(t) ** 2 if self.name == "rho" else np.sinh(t)
        return np.clip(x, self.prior.low, self.prior.high)

    def coordinate(self, x: float) -> float:
        if self.name == "tau":
            return math.log(x) if x > 0.0 else -math.inf
        return math.asin(math.sqrt(x)) if self.name == "rho" else math.asinh(x)

    def log_density(self, t: Array) -> Array:
        """Log prior density with respect to t."""
        if self.name == "tau":
            jacobian = t
        elif self.name == "rho":
            jacobian = np.log(np.abs(np.sin(2.0 * t)))
        else:
            jacobian = np.logaddexp(t, -t) - math.log(2.0)
        return self.prior.log(self.value(t)) + jacobian

    def ends(self) -> tuple[float, float]:
        low, high = self.coordinate(self.prior.low), self.coordinate(self.prior.high)
        return max(low, -_REACH), min(high, _REACH)


@dataclass(frozen=True, slots=True)
class Curve:
    """Posterior of tau, rho or the bias: panels of Legendre series on its axis."""

    axis: _Axis
    edges: Array
    series: Array  # antiderivative of the density per panel, 0 at the left edge
    below: Array  # probability below each edge

    @classmethod
    def through(cls, axis: _Axis, edges: Array, values: Array) -> Curve:
        """From a density's values at the nodes of all panels, up to a factor."""
        _, _, to_series = q._rule(values.size // (edges.size - 1))
        table = values.reshape(edges.size - 1, -1).T
        series = legendre.legint(to_series @ table, lbnd=-1.0, axis=0)
        series = series * (0.5 * np.diff(edges))
        below = np.concatenate([[0.0], np.cumsum(legendre.legval(1.0, series))])
        return cls(axis, edges, series / below[-1], below / below[-1])

    def cdf(self, x: float) -> float:
        """Posterior probability of a value at most x."""
        if not self.axis.prior.low < x < self.axis.prior.high:
            return float(x >= self.axis.prior.high)
        t = self.axis.coordinate(x)
        if not self.edges[0] < t < self.edges[-1]:
            return float(t >= self.edges[-1])
        k = int(np.searchsorted(self.edges, t, side="right")) - 1
        left, right = self.edges[k], self.edges[k + 1]
        u = (2.0 * t - left - right) / (right - left)
        return float(self.below[k] + legendre.legval(u, self.series[:, k]))

    def ends(self) -> tuple[float, float]:
        low, high = self.axis.value(self.edges[[0, -1]])
        return float(low), float(high)


# -------------------------------------------------------------------------- mixtures


def _root(
    cdf: Callable[[float], float],
    probability: float,
    low: float,
    high: float,
    atoms: Iterable[float],
) -> float:
    """Smallest x at which a distribution function with jumps reaches a probability."""
    for atom in sorted(atoms):
        if cdf(atom) >= probability > cdf(float(np.nextafter(atom, -np.inf))):
            return atom
    if cdf(low) >= probability:
        return low
    return float(optimize.brentq(lambda x: cdf(x) - probability, low, high, xtol=1e-13))


@dataclass(frozen=True, slots=True)
class Mixture:
    """Finite mixture of normals N(centre, sd^2); an sd of 0 is an atom.

    ``weight``, ``centre`` and ``sd`` have one entry per part; the weights sum to 1.
    """

    weight: Array
    centre: Array
    sd: Array

    @classmethod
    def of(cls, parts: Iterable[tuple[float, Mixture]]) -> Mixture:
        """Mixture of mixtures; the weights are normalised."""
        parts = list(parts)
        total = sum(share for share, _ in parts)
        return cls(
            np.concatenate([share / total * part.weight for share, part in parts]),
            np.concatenate([part.centre for _, part in parts]),
            np.concatenate([part.sd for _, part in parts]),
        )

    def mean(self) -> float:
        return float(self.weight @ self.centre)

    def deviation(self) -> float:
        """Standard deviation, atoms included."""
        spread = (self.centre - self.mean()) ** 2 + self.sd**2
        return math.sqrt(float(self.weight @ spread))

    def density(self, x: float) -> float:
        """Density at x of the continuous part, which integrates to 1 - atoms."""
        free = self.sd > 0.0
        sd = self.sd[free]
        log_normal = -0.5 * ((x - self.centre[free]) / sd) ** 2 - np.log(sd)
        total = float(self.weight[free] @ np.exp(log_normal))
        return total / math.sqrt(2.0 * math.pi)

    def atom(self, x: float) -> float:
        """Probability of exactly x."""
        return float(self.weight[(self.sd == 0.0) & (self.centre == x)].sum())

    def above(self, x: float) -> float:
        """Probability of a value above x; an atom at x does not count."""
        free = self.sd > 0.0
        normal = special.ndtr((self.centre[free] - x) / self.sd[free])
        atoms = self.weight[~free] @ (self.centre[~free] > x)
        return float(self.weight[free] @ normal + atoms)

    def below(self, x: float) -> float:
        """Probability of a value below x; an atom at x does not count."""
        return Mixture(self.weight, -self.centre, self.sd).above(-x)

    def cdf(self, x: float) -> float:
        return self.below(x) + self.atom(x)

    def quantile(self, probability: float) -> float:
        order = np.argsort(self.weight)
        keep = order[np.cumsum(self.weight[order]) > _NO_PARTS]
        part = Mixture(self.weight[keep], self.centre[keep], self.sd[keep])
        reach = 12.0 * part.sd
        return _root(
            lambda x: part.cdf(x) / part.weight.sum(),
            probability,
            float((part.centre - reach).min()),
            float((part.centre + reach).max()),
            np.unique(part.centre[part.sd == 0.0]).tolist(),
        )

    def expectation(self, f: Callable[[Array], Array], nodes: int = 30) -> float:
        """Mean of a smooth function, by Gauss-Hermite in each part."""
        t, w = hermite_e.hermegauss(nodes)
        values = f(self.centre[:, None] + self.sd[:, None] * t)
        return float(self.weight @ (values @ w)) / math.sqrt(2.0 * math.pi)


# ----------------------------------------------------------------------- data, models


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Estimates on the data scale.

    ``cluster`` None makes every estimate its own cluster. ``scale`` is the linear
    factor from the prior scale to the data scale (1/2 from Cohen's d to Fisher's z).
    ``direction`` is the sign of the effects that the bias favours.
    """

    y: Array
    se: Array
    cluster: Ints | None = None
    scale: float = 0.5
    direction: int = 1

    def bias_column(self, kind: str) -> Array:
        """What one unit of PET or PEESE adds to the mean."""
        column = {"PET": self.se, "PEESE": self.se**2 / self.scale}[kind]
        return self.direction * column


def covariance(data: Data, tau: float, rho: float) -> Array:
    """Dense covariance matrix of all estimates given tau and rho."""
    return np.diag(data.se**2) + true_covariance(data, tau, rho)


def true_covariance(data: Data, tau: float, rho: float) -> Array:
    """Dense covariance matrix of all true effects given their means."""
    size = data.y.size
    labels = np.arange(size) if data.cluster is None else data.cluster
    together = (labels[:, None] == labels[None, :]).astype(float)
    T = data.scale * tau
    result: Array = T**2 * ((1.0 - rho) * np.eye(size) + rho * together)
    return result


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Log marginal likelihood and posterior of one model.

    ``weight``, ``tau``, ``rho``, ``bias`` of shape (nodes,) and ``centre`` of shape
    (nodes, columns): the mixture over the nodes, with the conditional means of all
    coefficients. Their conditional covariance is ``spread[place]`` of shape
    (columns, columns). ``curves`` has a key for each of tau, rho, bias that is free.
    """

    data: Data
    X: Array
    bias_kind: str | None
    logml: float
    logml_error: float
    prior_mean: Array
    prior_sd: Array
    weight: Array
    tau: Array
    rho: Array
    bias: Array
    centre: Array
    spread: Array
    place: Ints
    curves: dict[str, Curve]

    def combination(self, c: npt.ArrayLike, tau: bool = False) -> Mixture:
        """Posterior of c'b; with ``tau``, of c'b plus a N(0, tau^2) of its own."""
        c = _row(c)
        variance = np.einsum("i,nij,j->n", c, self.spread, c)[self.place]
        if tau:
            variance = variance + self.tau**2
        return Mixture(self.weight, self.centre @ c, np.sqrt(variance))

    def prior_combination(self, c: npt.ArrayLike) -> Mixture:
        """Prior of c'b: one normal, or one atom."""
        c = _row(c)
        sd = float(np.sqrt(np.sum((c * self.prior_sd) ** 2)))
        return Mixture(np.ones(1), np.array([c @ self.prior_mean]), np.array([sd]))

    def estimate(
        self, c: npt.ArrayLike, se: float, bias: bool = True, noise: bool = True
    ) -> Mixture:
        """Posterior predictive of a new estimate, on the data scale.

        ``bias`` False leaves out PET or PEESE, ``noise`` False the sampling error.
        """
        true = self.combination(c, tau=True)
        centre, spread = self.data.scale * true.centre, self.data.scale * true.sd
        if bias and self.bias_kind is not None:
            new = replace(self.data, se=np.array([se]))
            centre = centre + self.bias * new.bias_column(self.bias_kind)
        sd = np.hypot(spread, se if noise else 0.0)
        return Mixture(self.weight, centre, sd)

    def true_effect(self, row: int) -> Mixture:
        """Posterior of the true effect of one estimate, on the data scale.

        Given the parameters, theta_k ~ N(m_k + T_k S_k^-1 (y_k - m_k - bias),
        T_k - T_k S_k^-1 T_k), where m_k holds no bias; then over b.
        """
        data = self.data
        labels = np.arange(data.y.size) if data.cluster is None else data.cluster
        rows = np.flatnonzero(labels == labels[row])
        own = int(np.flatnonzero(rows == row)[0])
        tau, rho = np.empty((2, self.spread.shape[0]))
        tau[self.place], rho[self.place] = self.tau, self.rho
        shared = rho[:, None, None] + (1.0 - rho)[:, None, None] * np.eye(rows.size)
        shared = (data.scale * tau)[:, None, None] ** 2 * shared
        S = shared + np.diag(data.se[rows] ** 2)
        pull = np.linalg.solve(S, shared[:, :, [own]])[:, :, 0]
        rest = shared[:, own, own] - (pull * shared[:, :, own]).sum(axis=1)
        c = data.scale * (self.X[row] - pull @ self.X[rows])
        rest = rest + np.einsum("ni,nij,nj->n", c, self.spread, c)
        column = np.zeros(rows.size)
        if self.bias_kind is not None:
            column = data.bias_column(self.bias_kind)[rows]
        centre = (pull @ data.y[rows])[self.place]
        centre = centre - (pull @ column)[self.place] * self.bias
        centre = centre + (c[self.place] * self.centre).sum(axis=1)
        sd = np.sqrt(np.maximum(rest, 0.0))[self.place]
        return Mixture(self.weight, centre, sd)

    def moments(self, name: str) -> tuple[float, float]:
        """Mean and standard deviation of tau, rho or bias."""
        values = {"tau": self.tau, "rho": self.rho, "bias": self.bias}[name]
        mean = float(self.weight @ values)
        return mean, math.sqrt(float(self.weight @ (values - mean) ** 2))


def _row(c: npt.ArrayLike) -> Array:
    """A linear combination without what is only rounding.

    The mean of a standardised column is 0 and not 1e-17; as a coefficient, 1e-17
    would make a sharp peak of what is an atom.
    """
    c = np.asarray(c, dtype=float)
    return np.where(np.abs(c) > 1e-12 * np.abs(c).max(), c, 0.0)


class _Joint:
    """Log of likelihood times priors on tensor grids of tau, rho and the bias."""

    def __init__(
        self,
        data: Data,
        X: Array,
        prior_mean: Array,
        prior_sd: Array,
        tau: Prior | Density | float,
        rho: Prior | Density | float,
        bias: Bias | None,
    ) -> None:
        self.scale, self.size = data.scale, data.y.size
        self.free = np.flatnonzero(prior_sd > 0.0)
        self.precision = prior_sd[self.free] ** -2.0
        column = np.zeros(self.size) if bias is None else data.bias_column(bias.kind)
        residual = data.y - data.scale * (X @ prior_mean)
        V = np.column_stack([data.scale * X[:, self.free], residual, column])
        labels = np.arange(self.size) if data.cluster is None else data.cluster
        self.rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self.variance, self.columns = data.se**2, V.shape[1]
        self.products = (V[:, :, None] * V[:, None, :]).reshape(self.size, -1)
        self.with_ones = np.column_stack([V, np.ones(self.size)])
        self.clustered = data.cluster is not None
        self.axes: dict[str, _Axis] = {}
        self.fixed: dict[str, float] = {}
        given = {"tau": tau, "rho": rho, "bias": 0.0 if bias is None else bias.prior}
        for name, prior in given.items():
            if isinstance(prior, int | float):
                self.fixed[name] = float(prior)
            else:
                prior = density(prior) if isinstance(prior, Prior) else prior
                self.axes[name] = _Axis(name, prior)

    def inner(self, T: Array, rho: Array) -> tuple[Array, Array]:
        """V' S^-1 V and log|S|, for pairs of T and rho, by Woodbury per cluster."""
        w = 1.0 / (self.variance + ((1.0 - rho) * T**2)[:, None])
        shape = (T.size, self.columns, self.columns)
        inner = (w @ self.products).reshape(shape)
        log_determinant = -np.log(w).sum(axis=1)
        if self.clustered:
            shared = (rho * T**2)[:, None]
            sums = np.stack([w[:, k] @ self.with_ones[k] for k in self.rows], axis=1)
            inflation = 1.0 + shared * sums[:, :, -1]
            sums = sums[:, :, :-1] * np.sqrt(shared / inflation)[:, :, None]
            inner = inner - np.swapaxes(sums, 1, 2) @ sums
            log_determinant = log_determinant + np.log(inflation).sum(axis=1)
        return inner, log_determinant

    def given(self, tau: Array, rho: Array) -> tuple[Array, Array, Array]:
        """What is normal, for pairs of tau and rho.

        The coefficients (a, b, c) of log p(y | tau, rho, bias) = a + b bias + c bias^2
        as (3, pairs); the conditional means' (constant, slope in the bias) of the free
        coefficients as (pairs, 2, free); their covariances.
        """
        parts: list[list[Array]] = [[], [], []]
        for start in range(0, tau.size, 2000):
            block = slice(start, start + 2000)
            inner, log_s = self.inner(self.scale * tau[block], rho[block])
            p = self.free.size
            A = inner[:, :p, :p] + np.diag(self.precision)
            cross, rest = inner[:, :p, p:], inner[:, p:, p:]
            covariance = np.linalg.inv(A)
            h = covariance @ cross
            quadratic = rest - np.swapaxes(cross, 1, 2) @ h
            log_a = 2.0 * np.log(
                np.diagonal(np.linalg.cholesky(A), axis1=1, axis2=2)
            ).sum(axis=1)
            constant = self.size * math.log(2.0 * math.pi)
            constant = constant - np.log(self.precision).sum() + log_s + log_a
            polynomial = np.stack(
                [
                    -0.5 * (constant + quadratic[:, 0, 0]),
                    quadratic[:, 0, 1],
                    -0.5 * quadratic[:, 1, 1],
                ]
            )
            means = np.stack([h[:, :, 0], -h[:, :, 1]], axis=1)
            for part, value in zip(parts, (polynomial, means, covariance), strict=True):
                part.append(value)
        polynomial = np.concatenate(parts[0], axis=1)
        return polynomial, np.concatenate(parts[1]), np.concatenate(parts[2])

    def values(self, grids: Mapping[str, Array]) -> tuple[Array, Array, Array]:
        """tau, rho, bias at the coordinates, or where they are fixed."""
        tau, rho, bias = (
            self.axes[name].value(grids[name])
            if name in self.axes
            else np.array([self.fixed[name]])
            for name in _ORDER
        )
        return tau, rho, bias

    def on(self, grids: Mapping[str, Array]) -> tuple[Array, Array, Array]:
        """Log density, of shape (tau, rho, bias), with length 1 where one is fixed.

        With the means and covariances that `given` has for all pairs of tau and rho.
        """
        tau, rho, bias = self.values(grids)
        pairs = np.repeat(tau, rho.size), np.tile(rho, tau.size)
        polynomial, means, spread = self.given(*pairs)
        a, b, c = polynomial.reshape(3, tau.size, rho.size, 1)
        result: Array = a + b * bias + c * bias**2
        for k, name in enumerate(_ORDER):
            if name in self.axes:
                shape = [-1 if j == k else 1 for j in range(3)]
                log_prior = self.axes[name].log_density(grids[name])
                result = result + log_prior.reshape(shape)
        return np.where(np.isnan(result), -np.inf, result), means, spread


def _bend(values: Array) -> float:
    """Sum over the axes of the second differences at the largest value, negated."""
    top = np.unravel_index(int(values.argmax()), values.shape)
    total = 0.0
    for k, size in enumerate(values.shape):
        if size > 1:
            middle = min(max(int(top[k]), 1), size - 2)
            line = np.moveaxis(values, k, -1)[tuple(np.delete(top, k))]
            left, centre, right = line[middle - 1 : middle + 2]
            bend = 2.0 * centre - left - right
            total += max(0.0, float(bend)) if np.isfinite(bend) else 0.0
    return total


def _box(joint: _Joint) -> dict[str, tuple[float, float]]:
    """Range of each axis that holds the mass."""
    box = {name: axis.ends() for name, axis in joint.axes.items()}
    points = {1: (201, 201, 201), 2: (41, 17, 41), 3: (41, 17, 41)}[max(1, len(box))]
    for _ in range(12):
        grids = {}
        for name, size in zip(_ORDER, points, strict=True):
            if name in box:
                low, high = box[name]
                # Ends can be at a singularity of the density; step inside.
                margin = 1e-9 * (high - low)
                grids[name] = np.linspace(low + margin, high - margin, size)
        values, _, _ = joint.on(grids)
        # Between the points of a coarse grid the density may be higher than on them.
        near = values >= values.max() - _NEGLIGIBLE - 0.5 * _bend(values)
        near &= np.isfinite(values)
        if not near.any():
            raise q.QuadratureError("the density is a positive number nowhere")
        shrunk = False
        for k, name in enumerate(_ORDER):
            if name not in box:
                continue
            keep = near.any(axis=tuple({0, 1, 2} - {k}))
            first, last = np.flatnonzero(keep)[[0, -1]]
            grid, (low, high) = grids[name], box[name]
            new_low = low if first == 0 else float(grid[first - 1])
            new_high = high if last == grid.size - 1 else float(grid[last + 1])
            shrunk = shrunk or new_high - new_low < 0.8 * (high - low)
            box[name] = (new_low, new_high)
        if not shrunk:
            break
    return box


@dataclass(frozen=True, slots=True)
class _Rule:
    """The joint density on a composite rule, with what `_Joint.on` says of it."""

    grids: dict[str, Array]
    weights: tuple[Array, Array, Array]
    log_values: Array
    means: Array
    spread: Array

    @classmethod
    def on(cls, joint: _Joint, edges: Mapping[str, Array], nodes: int) -> _Rule:
        rules = {name: q._grid(e, nodes) for name, e in edges.items()}
        grids = {name: t for name, (t, _) in rules.items()}
        weights = [rules[n][1] if n in rules else np.ones(1) for n in _ORDER]
        return cls(grids, tuple(weights), *joint.on(grids))

    def masses(self) -> tuple[float, Array]:
        """Log integral, and the shares of the nodes in it."""
        peak = float(self.log_values.max())
        u, v, w = self.weights
        mass = np.exp(np.maximum(self.log_values - peak, -700.0))
        mass = mass * u[:, None, None] * v[:, None] * w
        total = float(mass.sum())
        return peak + math.log(total), mass / total


def _bisected(
    joint: _Joint, edges: dict[str, Array], tolerance: float
) -> tuple[dict[str, Array], float]:
    """Panels on which Legendre series of `_NODES` terms resolve the density.

    With the log integral by this rule.
    """
    _, _, to_series = q._rule(_NODES)
    for _ in range(40):
        rule = _Rule.on(joint, edges, _NODES)
        logml, mass = rule.masses()
        new = {}
        for k, name in enumerate(_ORDER):
            if name not in edges:
                continue
            # The density over this axis at each point of the other axes.
            table = np.moveaxis(mass, k, -1) / rule.weights[k]
            table = table.reshape(-1, edges[name].size - 1, _NODES)
            tails = np.abs(table @ to_series[-2:].T).sum(axis=(0, 2))
            bad = tails * np.diff(edges[name]) > tolerance
            if bad.any():
                middles = 0.5 * (edges[name][1:] + edges[name][:-1])[bad]
                new[name] = np.sort(np.concatenate([edges[name], middles]))
        if not new:
            return edges, logml
        edges = {**edges, **new}
    raise q.QuadratureError("panels did not settle after 40 rounds of bisection")


def _widened(joint: _Joint, edges: Mapping[str, Array]) -> dict[str, Array]:
    """The same panels, the outer ones longer, where the axis has room for it.

    Doubled nodes alone would not notice mass outside the box.
    """
    result = {}
    for name, e in edges.items():
        (low, high), margin = joint.axes[name].ends(), 0.1 * (e[-1] - e[0])
        ends = [max(e[0] - margin, low)], [min(e[-1] + margin, high)]
        result[name] = np.concatenate([ends[0], e[1:-1], ends[1]])
    return result


def posterior(
    data: Data,
    X: npt.ArrayLike,
    prior_mean: npt.ArrayLike,
    prior_sd: npt.ArrayLike,
    tau: Prior | Density | float,
    rho: Prior | Density | float = 0.0,
    bias: Bias | None = None,
) -> Posterior:
    """Log marginal likelihood and posterior of one model.

    Parameters
    ----------
    data
        The estimates.
    X
        Intercept and coded predictors, of shape (estimates, columns).
    prior_mean, prior_sd
        Of each coefficient's normal prior; a standard deviation of 0 fixes it.
    tau, rho
        Prior on the prior scale, or a fixed value.
    bias
        PET or PEESE and the prior of its coefficient; None for neither.

    Raises
    ------
    q.QuadratureError
        When doubling the nodes in a wider box moves the log marginal likelihood by
        `LOGML_TOLERANCE` or more.
    """
    X = np.asarray(X, dtype=float)
    prior_mean = np.asarray(prior_mean, dtype=float)
    prior_sd = np.asarray(prior_sd, dtype=float)
    joint = _Joint(data, X, prior_mean, prior_sd, tau, rho, bias)
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        box = _box(joint)
        for tolerance in (1e-3, 1e-5, 1e-7):
            edges = {name: np.linspace(*ends, 4) for name, ends in box.items()}
            edges, coarse = _bisected(joint, edges, tolerance)
            wide = _widened(joint, edges)
            rule = _Rule.on(joint, wide, 2 * _NODES)
            logml, mass = rule.masses()
            if abs(logml - coarse) < LOGML_TOLERANCE:
                break
        else:
            raise q.QuadratureError(f"doubling moved logml from {coarse} to {logml}")
    curves = {}
    for k, name in enumerate(_ORDER):
        if name in wide:
            along = mass.sum(axis=tuple({0, 1, 2} - {k})) / rule.weights[k]
            curves[name] = Curve.through(joint.axes[name], wide[name], along)
    values = joint.values(rule.grids)
    i, j, k = np.nonzero(mass > _NO_NODE)
    weight = mass[i, j, k]
    pairs, place = np.unique(i * mass.shape[1] + j, return_inverse=True)
    means = rule.means[pairs]
    centre = np.tile(prior_mean, (weight.size, 1))
    of_bias = values[2][k][:, None]
    centre[:, joint.free] += means[place, 0] + of_bias * means[place, 1]
    full = np.zeros((pairs.size, prior_sd.size, prior_sd.size))
    full[np.ix_(np.arange(pairs.size), joint.free, joint.free)] = rule.spread[pairs]
    return Posterior(
        data=data,
        X=X,
        bias_kind=None if bias is None else bias.kind,
        logml=logml,
        logml_error=abs(logml - coarse),
        prior_mean=prior_mean,
        prior_sd=prior_sd,
        weight=weight / weight.sum(),
        tau=values[0][i],
        rho=values[1][j],
        bias=values[2][k],
        centre=centre,
        spread=full,
        place=place,
        curves=curves,
    )


# ------------------------------------------------------------------------- ensembles


class Side(NamedTuple):
    """One choice for the effect, the heterogeneity or the bias."""

    prior: Prior | Density | float | Bias | None
    alternative: bool
    weight: float = 1.0


EFFECT = (Side(q.SPIKE_0, False), Side(q.DEFAULT_EFFECT, True))
HETEROGENEITY = (Side(0.0, False), Side(q.DEFAULT_HETEROGENEITY, True))
NO_BIAS = (Side(None, False),)
PET_PEESE = (
    Side(None, False, 0.5),
    Side(Bias("PET", HALF_CAUCHY_PET), True, 0.25),
    Side(Bias("PEESE", HALF_CAUCHY_PEESE), True, 0.25),
)

On = frozenset[str]
Which = Callable[[On], bool]


def any_of(*names: str) -> Which:
    """Models with at least one of these components or terms."""
    return lambda on: not on.isdisjoint(names)


def none_of(*names: str) -> Which:
    return lambda on: on.isdisjoint(names)


def all_of(*names: str) -> Which:
    return lambda on: on.issuperset(names)


def respects_marginality(on: On) -> bool:
    """Whether every interaction comes with all terms that it is made of."""
    return all(
        ":".join(part) in on
        for name in on
        if ":" in name
        for size in range(1, name.count(":") + 1)
        for part in combinations(name.split(":"), size)
    )


@dataclass(frozen=True, slots=True)
class Member:
    """One model of an ensemble.

    ``on`` holds "effect", "heterogeneity", "bias" where the model is on the
    alternative side, and the terms that it has.
    """

    on: On
    bias_kind: str | None
    prior_probability: float
    posterior: Posterior


class Inclusion(NamedTuple):
    """Prior and posterior probability of a set of models, and its Bayes factor."""

    prior: float
    posterior: float
    log_bf: float

    @property
    def bf(self) -> float:
        return math.exp(self.log_bf) if self.log_bf < 709.0 else math.inf


class Ordinate(NamedTuple):
    """Savage-Dickey ratio of a linear combination at a value, with the atoms there.

    The densities are those of the continuous parts, which integrate to one minus the
    probability of all atoms.
    """

    bf: float
    prior_atom: float
    posterior_atom: float


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Models with prior probabilities that sum to 1, averaged."""

    members: tuple[Member, ...]

    def log_joint(self) -> Array:
        return np.array(
            [math.log(m.prior_probability) + m.posterior.logml for m in self.members]
        )

    def probabilities(self) -> Array:
        """Posterior model probabilities."""
        result: Array = special.softmax(self.log_joint())
        return result

    def find(self, *on: str, bias: str | None = None) -> Member:
        """The one model with exactly these components and terms."""
        (member,) = [
            m for m in self.members if m.on == frozenset(on) and m.bias_kind == bias
        ]
        return member

    def subset(self, which: Which) -> Ensemble:
        """Only these models, their prior probabilities renormalised."""
        return self.weighted(lambda on: float(which(on)))

    def weighted(self, weight: Callable[[On], float]) -> Ensemble:
        """Prior probabilities times a weight, renormalised; without those of 0."""
        new = [m.prior_probability * weight(m.on) for m in self.members]
        return Ensemble(
            tuple(
                replace(m, prior_probability=p / sum(new))
                for m, p in zip(self.members, new, strict=True)
                if p > 0.0
            )
        )

    def compare(self, yes: Which, no: Which) -> Inclusion:
        """Bayes factor of one set of models against another.

        The odds of the posterior over those of the prior; the probabilities are
        those of ``yes`` in the ensemble.
        """
        log_joint = self.log_joint()
        prior = np.array([m.prior_probability for m in self.members])
        sides = [np.array([f(m.on) for m in self.members]) for f in (yes, no)]
        log_odds, odds = (
            special.logsumexp(log_joint[sides[0]])
            - special.logsumexp(log_joint[sides[1]]),
            prior[sides[0]].sum() / prior[sides[1]].sum(),
        )
        return Inclusion(
            float(prior[sides[0]].sum()),
            float(self.probabilities()[sides[0]].sum()),
            float(log_odds - math.log(odds)),
        )

    def inclusion(self, name: str) -> Inclusion:
        """Of a component or a term, against all models without it."""
        return self.compare(any_of(name), none_of(name))

    def mix(self, part: Callable[[Posterior], Mixture]) -> Mixture:
        """Posterior of what ``part`` takes from each model."""
        shares = self.probabilities()
        return Mixture.of(
            (float(share), part(m.posterior))
            for share, m in zip(shares, self.members, strict=True)
            if share > _NO_NODE
        )

    def combination(self, c: npt.ArrayLike, tau: bool = False) -> Mixture:
        """Posterior of c'b; with ``tau``, of a new true effect of that mean."""
        return self.mix(lambda model: model.combination(c, tau))

    def prior_combination(self, c: npt.ArrayLike) -> Mixture:
        return Mixture.of(
            (m.prior_probability, m.posterior.prior_combination(c))
            for m in self.members
        )

    def savage_dickey(self, c: npt.ArrayLike, at: float = 0.0) -> Ordinate:
        """Prior density of c'b over its posterior density, both of the mixtures."""
        prior, after = self.prior_combination(c), self.combination(c)
        return Ordinate(
            prior.density(at) / after.density(at), prior.atom(at), after.atom(at)
        )

    def direction(self, c: npt.ArrayLike) -> tuple[float, float]:
        """Posterior and prior probability of c'b > 0."""
        return self.combination(c).above(0.0), self.prior_combination(c).above(0.0)

    def moments(self, name: str) -> tuple[float, float]:
        """Mean and standard deviation of tau, rho or bias, fixed values included."""
        shares = self.probabilities()
        parts = np.array([m.posterior.moments(name) for m in self.members])
        mean = float(shares @ parts[:, 0])
        second = float(shares @ (parts[:, 1] ** 2 + (parts[:, 0] - mean) ** 2))
        return mean, math.sqrt(second)

    def quantile(self, name: str, probability: float) -> float:
        """Of tau, rho or bias."""
        parts = [
            (float(share), m.posterior)
            for share, m in zip(self.probabilities(), self.members, strict=True)
            if share > _NO_PARTS
        ]
        total = sum(share for share, _ in parts)
        fixed = [
            (share / total, float(getattr(model, name)[0]))
            for share, model in parts
            if name not in model.curves
        ]
        curves = [
            (share / total, model.curves[name])
            for share, model in parts
            if name in model.curves
        ]

        def cdf(x: float) -> float:
            atoms = sum(share * (x >= value) for share, value in fixed)
            return atoms + sum(share * curve.cdf(x) for share, curve in curves)

        ends = [curve.ends() for _, curve in curves]
        low = min([low for low, _ in ends] + [value for _, value in fixed])
        high = max([high for _, high in ends] + [value for _, value in fixed])
        return _root(cdf, probability, low, high, {value for _, value in fixed})


def _normal(prior: Prior) -> tuple[float, float]:
    """Mean and standard deviation of a normal prior or a spike."""
    if prior.family == "spike":
        return prior.parameters[0], 0.0
    if prior.family != "normal" or prior.lower > -math.inf or prior.upper < math.inf:
        raise ValueError(f"effect: expected a spike or a whole normal; got {prior}")
    return prior.parameters[0], prior.parameters[1]


def ensemble(
    data: Data,
    design: Design,
    *,
    effect: Sequence[Side] = EFFECT,
    heterogeneity: Sequence[Side] = HETEROGENEITY,
    bias: Sequence[Side] = NO_BIAS,
    rho: Prior | Density | float | None = None,
    sd: float | Mapping[str, float] = 0.25,
    tested: Sequence[str] | None = None,
    which: Which = lambda on: True,
) -> Ensemble:
    """All combinations of the sides and of the tested terms.

    Parameters
    ----------
    data, design
        Estimates and coded predictors, in the same order.
    effect
        Normal priors or spikes of the intercept.
    heterogeneity, bias
        Priors of tau (0.0: fixed effects) and of PET or PEESE (None: neither).
    rho
        Prior in models with heterogeneity. None: uniform with clusters, else 0.
    sd
        Prior standard deviation of each column of a term; one number for all terms,
        or by name.
    tested
        Terms that are in half of the models; the others are in all. None: every term.
    which
        Models to make, by their alternative components and terms.
    """
    if rho is None:
        rho = 0.0 if data.cluster is None else q.DEFAULT_HIERARCHICAL
    names = list(design.terms)
    tested = names if tested is None else list(tested)
    switches = product(*[(False, True) if n in tested else (True,) for n in names])
    drafts = []
    for terms, mu, tau, shift in product(switches, effect, heterogeneity, bias):
        on = {name for name, is_in in zip(names, terms, strict=True) if is_in}
        flags = (("effect", mu), ("heterogeneity", tau), ("bias", shift))
        components = {name for name, side in flags if side.alternative}
        if not which(frozenset(on | components)):
            continue
        prior_mean, prior_sd = np.zeros((2, design.X.shape[1]))
        prior_mean[0], prior_sd[0] = _normal(mu.prior)
        for name in on:
            scale = sd if isinstance(sd, float | int) else sd[name]
            prior_sd[design.place[name]] = scale
        model = posterior(
            data,
            design.X,
            prior_mean,
            prior_sd,
            tau.prior,
            0.0 if tau.prior == 0.0 else rho,
            shift.prior,
        )
        weight = mu.weight * tau.weight * shift.weight
        kept = frozenset(on | components)
        drafts.append(Member(kept, model.bias_kind, weight, model))
    return Ensemble(tuple(drafts)).weighted(lambda _: 1.0)


# --------------------------------------------------------------------------- designs


def contrast_rows(contrast: str, levels: int) -> Array:
    """Design row of each level, of shape (levels, columns).

    Orthonormal contrasts are Helmert's: column j is 1/sqrt(j(j+1)) in rows 1 to j and
    -j/sqrt(j(j+1)) in row j + 1; meandif scales its rows to norm 1.
    """
    if contrast == "treatment":
        return np.eye(levels)[:, 1:]
    if contrast == "independent":
        return np.eye(levels)
    if contrast not in ("orthonormal", "meandif"):
        raise ValueError(f"contrast: {contrast!r}")
    rows = np.zeros((levels, levels - 1))
    for j in range(1, levels):
        rows[:j, j - 1] = 1.0
        rows[j, j - 1] = -j
        rows[:, j - 1] /= math.sqrt(j * (j + 1.0))
    return rows / math.sqrt(1.0 - 1.0 / levels) if contrast == "meandif" else rows


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A coded predictor.

    ``columns`` of shape (estimates, p); ``rows`` the coded row of each level of a
    factor, empty for a continuous predictor, whose ``columns`` are
    (x - centre) / spread.
    """

    name: str
    columns: Array
    rows: dict[str, Array]
    centre: float = 0.0
    spread: float = 1.0

    def row(self, value: str | float) -> Array:
        """Coded row of a level, or of a number of spreads from the centre."""
        return self.rows[value] if isinstance(value, str) else np.array([float(value)])


def continuous(
    name: str,
    x: npt.ArrayLike,
    centre: float | None = None,
    spread: float | None = None,
) -> Term:
    """Standardised by mean and n - 1 standard deviation of the rows, unless given."""
    x = np.asarray(x, dtype=float)
    centre = float(x.mean()) if centre is None else centre
    spread = float(x.std(ddof=1)) if spread is None else spread
    return Term(name, ((x - centre) / spread)[:, None], {}, centre, spread)


def factor(name: str, labels: npt.ArrayLike, contrast: str = "meandif") -> Term:
    """Levels in sorted order."""
    levels, index = np.unique(np.asarray(labels).astype(str), return_inverse=True)
    rows = contrast_rows(contrast, levels.size)
    by_level = {str(level): row for level, row in zip(levels, rows, strict=True)}
    return Term(name, rows[index], by_level)


def _times(a: Array, b: Array) -> Array:
    """Products of all columns of one matrix with all of another, row by row."""
    return np.asarray((a[:, :, None] * b[:, None, :]).reshape(a.shape[0], -1))


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Columns of all terms, the intercept first.

    ``parents`` holds every predictor by its own name, also for interactions;
    ``place`` the columns of each term in ``X``.
    """

    X: Array
    terms: dict[str, tuple[str, ...]]
    place: dict[str, slice]
    parents: dict[str, Term]

    def cell(self, **values: str | float) -> Array:
        """Row c of the mean where these predictors have these values.

        The columns of the others are 0, which is the mean of a continuous predictor,
        the unweighted mean over the levels of a meandif or orthonormal factor, and
        the first level of a treatment one.
        """
        c = np.zeros(self.X.shape[1])
        c[0] = 1.0
        for name in self.terms:
            if all(parent in values for parent in self.terms[name]):
                c += self.deviation(name, *(values[p] for p in self.terms[name]))
        return c

    def deviation(self, name: str, *values: str | float) -> Array:
        """Row c of one term alone: its value at these values of its predictors."""
        parents = [self.parents[parent] for parent in self.terms[name]]
        rows = [p.row(v)[None, :] for p, v in zip(parents, values, strict=True)]
        c = np.zeros(self.X.shape[1])
        c[self.place[name]] = reduce(_times, rows)[0]
        return c

    def intercept(self) -> Array:
        return self.cell()

    def sample(self) -> Array:
        """Row c of the mean over the observed rows."""
        result: Array = self.X.mean(axis=0)
        return result


def design(
    columns: Mapping[str, npt.ArrayLike | Term],
    terms: Sequence[str],
    contrast: str = "meandif",
) -> Design:
    """Code predictors and their products.

    Parameters
    ----------
    columns
        Raw predictors by name: numbers are continuous, anything else is a factor. A
        `Term` is taken as it is coded.
    terms
        Names, and interactions as ``"a:b"``.
    contrast
        ``"meandif"``, ``"orthonormal"``, ``"treatment"`` or ``"independent"``.
    """
    parents: dict[str, Term] = {}
    for name, values in columns.items():
        if isinstance(values, Term):
            parents[name] = values
        elif np.issubdtype(np.asarray(values).dtype, np.number):
            parents[name] = continuous(name, values)
        else:
            parents[name] = factor(name, values, contrast)
    made = {name: tuple(name.split(":")) for name in terms}
    size = next(iter(parents.values())).columns.shape[0] if parents else 0
    blocks, place, start = [np.ones((size, 1))], {}, 1
    for name, of in made.items():
        block = reduce(_times, [parents[parent].columns for parent in of])
        place[name] = slice(start, start + block.shape[1])
        start += block.shape[1]
        blocks.append(block)
    return Design(np.hstack(blocks), made, place, parents)


# ------------------------------------------------------------------------- data sets

_DATASETS = Path(__file__).resolve().parents[2] / "pyrobma" / "effects" / "datasets"


def table(name: str) -> dict[str, npt.NDArray[np.generic]]:
    """Columns of an example data set, by name: numbers where all entries are."""
    with (_DATASETS / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns: dict[str, npt.NDArray[np.generic]] = {}
    for column in rows[0]:
        text = [row[column] for row in rows]
        try:
            columns[column] = np.array([float(entry) for entry in text])
        except ValueError:
            columns[column] = np.array(text)
    return columns


def r_to_z(r: Array, se: Array) -> tuple[Array, Array]:
    """Fisher's z of a correlation; its standard error through Cohen's d."""
    rest = 1.0 - r**2
    return q.d_to_z(2.0 * r / np.sqrt(rest), 2.0 * se / rest**1.5)


def andrews() -> tuple[Data, dict[str, npt.NDArray[np.generic]]]:
    """Andrews et al. (2021): 36 correlations as Fisher's z, and all columns."""
    columns = table("andrews2021")
    return Data(*r_to_z(columns["r"], columns["se"])), columns


def bcg(measure: str) -> tuple[Data, dict[str, npt.NDArray[np.generic]]]:
    """BCG (Colditz et al., 1994): 13 trials, and all columns.

    ``measure`` "logOR": as Fisher's z with priors on Cohen's d. "logRR": as it is.
    """
    columns = table("bcg")
    a, b, c, d = (columns[name] for name in ("tpos", "tneg", "cpos", "cneg"))
    if measure == "logOR":
        log_ratio, variance = np.log(a * d / (b * c)), 1 / a + 1 / b + 1 / c + 1 / d
        slope = q.scale_factor("d", "logOR")
        return Data(*q.d_to_z(log_ratio / slope, np.sqrt(variance) / slope)), columns
    log_ratio = np.log(a / (a + b)) - np.log(c / (c + d))
    variance = 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)
    return Data(log_ratio, np.sqrt(variance), scale=1.0), columns


def clustered(name: str, label: str) -> tuple[Data, dict[str, npt.NDArray[np.generic]]]:
    """Cohen's d (``yi``, ``vi``) as Fisher's z in clusters, and all columns."""
    columns = table(name)
    y, se = q.d_to_z(columns["yi"], np.sqrt(columns["vi"]))
    return Data(y, se, columns[label].astype(np.int64)), columns


# ------------------------------------------------------------------------ made designs


@dataclass(frozen=True, slots=True, eq=False)
class MadeDesign:
    """Seeded data for a hard design.

    ``data`` are Fisher's z with priors on Cohen's d; ``columns`` the raw predictors;
    ``terms`` names and interactions ``"a:b"``.
    """

    data: Data
    columns: dict[str, npt.NDArray[np.generic]]
    terms: tuple[str, ...]

    def design(self, contrast: str = "meandif") -> Design:
        return design(self.columns, self.terms, contrast)


def _made(
    seed: int,
    columns: Mapping[str, Sequence[str] | Array],
    terms: Sequence[str],
    sizes: Sequence[int] | None = None,
    tau: float = 0.25,
    rho: float = 0.6,
) -> MadeDesign:
    """Estimates drawn from the model with coefficients of 0.3 and -0.3 in turn."""
    rng = np.random.default_rng(seed)
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    X = design(arrays, terms).X
    size = X.shape[0]
    labels = (
        np.arange(size) if sizes is None else np.repeat(np.arange(len(sizes)), sizes)
    )
    b = 0.3 * (-1.0) ** np.arange(X.shape[1])
    between = math.sqrt(rho) * rng.normal(size=size)[labels]
    within = math.sqrt(1.0 - rho) * rng.normal(size=size)
    se = rng.uniform(0.06, 0.3, size)
    y = 0.5 * (X @ b + tau * (between + within)) + se * rng.normal(size=size)
    # Clusters are not adjacent and not numbered from 0.
    order = rng.permutation(size)
    cluster = None if sizes is None else 3 * labels[order] + 7
    shuffled = {name: values[order] for name, values in arrays.items()}
    return MadeDesign(Data(y[order], se[order], cluster), shuffled, tuple(terms))


def made_designs() -> dict[str, MadeDesign]:
    """Small designs that are hard in one way each, with 8 to 20 rows.

    ``lonely_level``: an unbalanced factor with a level that occurs once.
    ``three_levels``: a factor alone, 9 rows. ``nearly_collinear``: two continuous
    columns with a correlation above .999. ``duplicated``: the same column twice.
    ``factor_by_factor`` (one combination never occurs), ``factor_by_continuous``,
    ``continuous_by_continuous``: with both parents. ``unequal_clusters``: clusters of
    1, 2, 4 and 9, a predictor of clusters and one within them.
    """
    rng = np.random.default_rng(20)
    x = {size: rng.normal(3.0, 2.0, size).round(2) for size in (8, 10, 12, 14, 16, 20)}
    near = x[12] + rng.normal(0.0, 0.05, 12).round(3)
    return {
        "lonely_level": _made(1, {"g": list("aaaaabbbbc")}, ["g"]),
        "three_levels": _made(2, {"g": ["low", "mid", "high"] * 3}, ["g"]),
        "nearly_collinear": _made(3, {"x": x[12], "w": 10.0 * near}, ["x", "w"]),
        "duplicated": _made(4, {"x": x[8], "w": x[8]}, ["x", "w"]),
        "factor_by_factor": _made(
            5,
            {
                "g": list("aaaaabbbbbcccc"),
                "h": list("uuvvvuuuuvvvvv"),
            },
            ["g", "h", "g:h"],
        ),
        "factor_by_continuous": _made(
            6,
            {"g": ["a", "b", "b", "c"] * 5, "x": x[20]},
            ["g", "x", "g:x"],
            sizes=(1, 1, 2, 3, 5, 8),
        ),
        "continuous_by_continuous": _made(
            7, {"x": x[10], "w": x[20][:10] ** 2}, ["x", "w", "x:w"]
        ),
        "unequal_clusters": _made(
            8,
            {"g": ["u"] * 3 + ["v"] * 13, "x": x[16]},
            ["g", "x"],
            sizes=(1, 2, 4, 9),
        ),
    }
