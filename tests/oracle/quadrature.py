"""Reference answers by quadrature for the normal model with clustered estimates.

Written from the mathematics alone; nothing here imports or mirrors the package, so
an agreement between the two is evidence and not an echo.

The model
---------
Estimates ``y`` with standard errors ``se`` on the data scale, in independent
clusters; within cluster k::

    y_k ~ MVN(m 1, S_k),   S_k = diag(se_k^2) + T^2 [(1 - rho) I + rho 1 1']

``mu``, ``tau`` and ``rho`` live on the prior scale. ``T = a tau`` always; ``m = a mu``
under the linear mapping and ``m = g(mu)`` under the exact one, with ``a`` the linear
factor and ``g`` the nonlinear conversion between the two effect measures (for Cohen's
d to Fisher's z: ``a = 1/2`` and ``g(mu) = asinh(mu / 2)``). The log marginal likelihood
is that of ``y`` on the data scale, all normalising constants kept.

The method
----------
Each free parameter gets an axis on which its density is smooth up to its bounds
(sinh, log or logit). A scan finds the box outside which the joint density is below
``exp(-36)`` of its maximum; every axis is cut into panels with a Gauss-Legendre rule,
and panels whose last Legendre coefficients are not negligible are bisected. The
answer is that of twice the nodes on every axis of a wider box, and the difference of
the two is reported as ``logml_error``; above `LOGML_TOLERANCE` a `QuadratureError` is
raised instead of returning a number. No parameter is integrated analytically.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.polynomial import legendre
from scipy import optimize, special, stats

Array = npt.NDArray[np.float64]

PARAMETERS = ("mu", "tau", "rho")
PROBABILITIES = (0.025, 0.5, 0.975)

# Stated absolute accuracy of a log marginal likelihood; the difference between the
# rule and the rule with doubled nodes must be below it. It bounds the error of the
# coarser rule, so the returned value is far better.
LOGML_TOLERANCE = 1e-7

_NODES = 10
_NEGLIGIBLE = 36.0  # nats below the maximum: 2e-16
_REACH = 60.0  # how far, in nats of a unit-exponent tail, an unbounded axis extends
_MAX_GRID = 40_000_000
_LOGIT_SLOPE = math.pi / math.sqrt(3.0)


class QuadratureError(RuntimeError):
    """The integral could not be computed to the stated accuracy."""


# --------------------------------------------------------------------------- priors


class Prior(NamedTuple):
    """A prior as plain values.

    ``family`` and ``parameters`` (in this order): normal (mean, sd); lognormal
    (meanlog, sdlog); student_t (location, scale, df); cauchy (location, scale);
    gamma (shape, rate); inverse_gamma (shape, scale); beta (alpha, beta);
    exponential (rate,); uniform (lower, upper); spike (location,). ``lower`` and
    ``upper`` truncate, and the density is renormalised. ``weight`` is the prior model
    weight that `ensemble` uses.
    """

    family: str
    parameters: tuple[float, ...]
    lower: float = -math.inf
    upper: float = math.inf
    weight: float = 1.0


_POSITIVE = ("lognormal", "gamma", "inverse_gamma", "exponential")


@cache
def distribution(prior: Prior) -> Any:
    """The untruncated prior as a frozen scipy distribution."""
    p = prior.parameters
    families: dict[str, Callable[[], Any]] = {
        "normal": lambda: stats.norm(p[0], p[1]),
        "lognormal": lambda: stats.lognorm(p[1], scale=math.exp(p[0])),
        "student_t": lambda: stats.t(p[2], loc=p[0], scale=p[1]),
        "cauchy": lambda: stats.cauchy(p[0], p[1]),
        "gamma": lambda: stats.gamma(p[0], scale=1.0 / p[1]),
        "inverse_gamma": lambda: stats.invgamma(p[0], scale=p[1]),
        "beta": lambda: stats.beta(p[0], p[1]),
        "exponential": lambda: stats.expon(scale=1.0 / p[0]),
        "uniform": lambda: stats.uniform(p[0], p[1] - p[0]),
    }
    return families[prior.family]()


@cache
def support(prior: Prior) -> tuple[float, float]:
    """Interval on which the truncated prior has density."""
    low, high = distribution(prior).support()
    return max(float(low), prior.lower), min(float(high), prior.upper)


@cache
def log_mass(prior: Prior) -> float:
    """Log probability that the untruncated prior gives to its truncation interval."""
    low, high = support(prior)
    if not low < high:
        raise ValueError(f"empty support {low}, {high} of {prior}")
    d = distribution(prior)
    # The smaller tail keeps its digits when the interval lies far out.
    if d.cdf(low) > 0.5:
        return float(np.log(d.sf(low) - d.sf(high)))
    return float(np.log(d.cdf(high) - d.cdf(low)))


def log_prior(prior: Prior, x: npt.ArrayLike) -> Array:
    """Normalised log density of a truncated prior; -inf outside its support."""
    x = np.asarray(x, dtype=float)
    low, high = support(prior)
    with np.errstate(all="ignore"):
        value = distribution(prior).logpdf(x) - log_mass(prior)
    return np.where((x >= low) & (x <= high), value, -np.inf)


def prior_quantile(prior: Prior, probability: float) -> float:
    """Quantile of the truncated prior."""
    d = distribution(prior)
    low, high = support(prior)
    if d.cdf(low) > 0.5:
        upper = d.sf(low) + probability * (d.sf(high) - d.sf(low))
        return float(d.isf(upper))
    return float(d.ppf(d.cdf(low) + probability * (d.cdf(high) - d.cdf(low))))


def spike_value(prior: Prior) -> float | None:
    """Location of a spike; None for a prior with a density."""
    return float(prior.parameters[0]) if prior.family == "spike" else None


# ---------------------------------------------------------------------- scales, data


def scale_factor(prior_scale: str, data_scale: str) -> float:
    """Linear factor from one measure (d, z, r, logOR) to another; 1 if equal."""
    if prior_scale == data_scale:
        return 1.0
    per_d = {"d": 1.0, "z": 0.5, "r": 0.5, "logOR": _LOGIT_SLOPE}
    return per_d[data_scale] / per_d[prior_scale]


def convert_effect(x: npt.ArrayLike, source: str, target: str) -> Array:
    """Nonlinear effect-size conversion between d, z, r and logOR."""
    x = np.asarray(x, dtype=float)
    if source == target:
        return x
    with np.errstate(all="ignore"):
        d = {
            "d": lambda v: v,
            "z": lambda v: 2.0 * np.sinh(v),
            "r": lambda v: 2.0 * v / np.sqrt(1.0 - v * v),
            "logOR": lambda v: v / _LOGIT_SLOPE,
        }[source](x)
        result: Array = {
            "d": lambda v: v,
            "z": lambda v: np.arcsinh(v / 2.0),
            "r": lambda v: np.tanh(np.arcsinh(v / 2.0)),
            "logOR": lambda v: v * _LOGIT_SLOPE,
        }[target](d)
    return result


def d_to_z(d: npt.ArrayLike, se_d: npt.ArrayLike) -> tuple[Array, Array]:
    """Fisher's z and its standard error from Cohen's d and its standard error."""
    d, se_d = np.asarray(d, dtype=float), np.asarray(se_d, dtype=float)
    n = (d**2 + 8.0) / (2.0 * se_d**2)
    return np.arcsinh(d / 2.0), 1.0 / np.sqrt(n - 3.0)


# Konstantopoulos (2011), Research Synthesis Methods 2, 61-76: (d, v) of the schools
# of each district.
_SCHOOLS = {
    11: "-0.18 0.118  -0.22 0.118  0.23 0.144  -0.3 0.144",
    12: "0.13 0.014  -0.26 0.014  0.19 0.015  0.32 0.024",
    18: "0.45 0.023  0.38 0.043  0.29 0.012",
    27: "0.16 0.02  0.65 0.004  0.36 0.004  0.6 0.007",
    56: "0.08 0.019  0.04 0.007  0.19 0.005  -0.06 0.004",
    58: (
        "-0.18 0.02  0.0 0.018  0.0 0.019  -0.28 0.022  -0.04 0.02  "
        "-0.3 0.021  0.07 0.006  0.0 0.007  0.05 0.007  -0.08 0.007  "
        "-0.09 0.007"
    ),
    71: "0.3 0.015  0.98 0.011  1.19 0.01",
    86: (
        "-0.07 0.001  -0.05 0.001  -0.01 0.001  0.02 0.001  -0.03 0.001  "
        "0.0 0.001  0.01 0.001  -0.1 0.001"
    ),
    91: "0.5 0.01  0.66 0.011  0.2 0.01  0.0 0.009  0.05 0.013  0.07 0.013",
    108: "-0.52 0.031  0.7 0.031  -0.03 0.03  0.27 0.03  -0.34 0.03",
    644: "0.12 0.087  0.61 0.082  0.04 0.067  -0.05 0.067",
}


def schools() -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """The 56 schools in 11 districts: Cohen's d, its standard error, district."""
    tables = {k: np.array(text.split(), dtype=float) for k, text in _SCHOOLS.items()}
    d = np.concatenate([table[0::2] for table in tables.values()])
    v = np.concatenate([table[1::2] for table in tables.values()])
    district = np.repeat(list(tables), [table.size // 2 for table in tables.values()])
    return d, np.sqrt(v), district


LAYOUTS: dict[str, tuple[int, ...]] = {
    "singletons": (1,) * 24,
    "mixed": (1, 2, 5, 17),
    "one_cluster": (20,),
    "pairs": (2,) * 20,
}


def made_data(
    seed: int,
    cluster_sizes: Sequence[int] = LAYOUTS["mixed"],
    mean: float = 0.2,
    sd: float = 0.15,
    rho: float = 0.5,
) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """Seeded made data on the data scale: ``y``, ``se``, ``cluster``.

    Drawn from the model with ``m = mean``, ``T = sd``, ``rho``; ``se`` uniform on
    (0.05, 0.35). Cluster labels are 1, 2, ...; the rows are shuffled so that a
    cluster's estimates are not adjacent.
    """
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(1, len(cluster_sizes) + 1), cluster_sizes)
    size = cluster.size
    se = rng.uniform(0.05, 0.35, size)
    between = rng.normal(size=len(cluster_sizes))[cluster - 1]
    within, noise = rng.normal(size=(2, size))
    effect = mean + sd * (math.sqrt(rho) * between + math.sqrt(1.0 - rho) * within)
    order = rng.permutation(size)
    return (effect + se * noise)[order], se[order], cluster[order]


# ------------------------------------------------------------------------ likelihood


def log_likelihood(
    y: npt.ArrayLike,
    se: npt.ArrayLike,
    cluster: npt.ArrayLike | None,
    m: float,
    T: float,
    rho: float,
) -> float:
    """Log likelihood by dense multivariate normals; ``m``, ``T`` on the data scale.

    ``cluster`` None makes every estimate its own cluster.
    """
    y, se = np.asarray(y, dtype=float), np.asarray(se, dtype=float)
    labels = np.arange(y.size) if cluster is None else np.asarray(cluster)
    total = 0.0
    for label in np.unique(labels):
        rows = labels == label
        size = int(rows.sum())
        shared = (1.0 - rho) * np.eye(size) + rho * np.ones((size, size))
        covariance = np.diag(se[rows] ** 2) + T**2 * shared
        residual = y[rows] - m
        factor = np.linalg.cholesky(covariance)
        white = np.linalg.solve(factor, residual)
        total -= 0.5 * float(white @ white) + float(np.log(np.diag(factor)).sum())
        total -= 0.5 * size * math.log(2.0 * math.pi)
    return total


class _FastLikelihood:
    """The same likelihood as a parabola in m, at many (T, rho) at once.

    Woodbury: with ``D_i = se_i^2 + (1-rho) T^2``, ``w = 1/D``, ``g = rho T^2``,
    ``1' S^-1 1 = W / (1 + g W)`` and so on, ``W`` the cluster's sum of ``w``.
    """

    def __init__(
        self, y: npt.ArrayLike, se: npt.ArrayLike, cluster: npt.ArrayLike | None
    ) -> None:
        y, se = np.asarray(y, dtype=float), np.asarray(se, dtype=float)
        labels = np.arange(y.size) if cluster is None else np.asarray(cluster)
        _, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        order = np.argsort(index, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        # Centred, so that the parabola's height does not lose digits.
        self._centre = float(np.average(y, weights=se**-2.0))
        self._y = y[order] - self._centre
        self._variance = se[order] ** 2
        self.size = y.size

    def parabola(self, T: Array, rho: Array) -> tuple[Array, Array, Array]:
        """Precision, top and height of the log likelihood in m, for each (T, rho)."""
        T, rho = np.broadcast_arrays(np.atleast_1d(T), np.atleast_1d(rho))
        shape, T, rho = T.shape, T.ravel(), rho.ravel()
        parts = [np.empty(T.size) for _ in range(3)]
        step = max(1, 200_000 // self.size)
        for start in range(0, T.size, step):
            block = slice(start, start + step)
            for part, value in zip(
                parts, self._block(T[block], rho[block]), strict=True
            ):
                part[block] = value
        precision, top, height = (part.reshape(shape) for part in parts)
        return precision, top + self._centre, height

    def _block(self, T: Array, rho: Array) -> tuple[Array, Array, Array]:
        # Estimates along the rows: the sums over a cluster then run over whole rows.
        shared = rho * T**2
        diagonal = self._variance[:, None] + (1.0 - rho) * T**2
        w = 1.0 / diagonal
        sum_w = np.add.reduceat(w, self._starts, axis=0)
        sum_wy = np.add.reduceat(w * self._y[:, None], self._starts, axis=0)
        inflation = 1.0 + shared * sum_w
        a = (sum_w / inflation).sum(axis=0)
        b = (sum_wy / inflation).sum(axis=0)
        c = self._y**2 @ w - shared * (sum_wy**2 / inflation).sum(axis=0)
        log_det = np.log(diagonal).sum(axis=0) + np.log(inflation).sum(axis=0)
        constant = self.size * math.log(2.0 * math.pi)
        return a, b / a, -0.5 * (c - b * b / a + log_det + constant)


def fast_log_likelihood(
    y: npt.ArrayLike,
    se: npt.ArrayLike,
    cluster: npt.ArrayLike | None,
    m: float,
    T: float,
    rho: float,
) -> float:
    """`log_likelihood` in the closed form that the quadrature uses."""
    fast = _FastLikelihood(y, se, cluster)
    precision, top, height = fast.parabola(np.array([T]), np.array([rho]))
    return float(height[0] - 0.5 * precision[0] * (m - top[0]) ** 2)


# ------------------------------------------------------------------------------ axes


@dataclass(frozen=True, slots=True)
class _Axis:
    """A coordinate t on which a parameter's density can be integrated by panels."""

    kind: str
    centre: float
    width: float
    low: float
    high: float
    prior: Prior

    def value(self, t: npt.ArrayLike) -> Array:
        t = np.asarray(t, dtype=float)
        if self.kind == "sinh":
            x: Array = self.centre + self.width * np.sinh(t)
        else:
            x = np.exp(t) if self.kind == "log" else special.expit(t)
        return x

    def coordinate(self, x: npt.ArrayLike) -> Array:
        x = np.asarray(x, dtype=float)
        with np.errstate(all="ignore"):
            if self.kind == "sinh":
                t: Array = np.arcsinh((x - self.centre) / self.width)
            else:
                t = np.log(x) if self.kind == "log" else special.logit(x)
        return t

    def log_density(self, t: Array) -> Array:
        """Log prior density with respect to t."""
        prior = self.prior
        if self.kind == "sinh":
            jacobian = math.log(self.width) + np.logaddexp(t, -t) - math.log(2.0)
        elif self.kind == "log":
            jacobian = t
        else:
            jacobian = special.log_expit(t) + special.log_expit(-t)
        if self.kind == "logit" and prior.family == "beta":
            # From the coordinate: 1 - x has no digits left as x nears 1.
            alpha, beta = prior.parameters
            inside = (t >= self.low) & (t <= self.high)
            value = alpha * special.log_expit(t) + beta * special.log_expit(-t)
            value = value - special.betaln(alpha, beta) - log_mass(prior)
            return np.where(inside, value, -np.inf)
        # Nodes are inside the bounds; the round trip through t may miss by an ulp.
        x = np.clip(self.value(t), *support(prior))
        return log_prior(prior, x) + jacobian


def _axis(name: str, prior: Prior) -> _Axis:
    low, high = support(prior)
    p = prior.parameters
    if name == "tau" and low < 0:
        raise ValueError(f"tau: prior {prior} reaches below 0")
    if name == "rho" and (low < 0 or high > 1):
        raise ValueError(f"rho: prior {prior} reaches outside [0, 1]")
    if prior.family == "beta" or name == "rho":
        alpha, beta = p if prior.family == "beta" else (1.0, 1.0)
        kind, centre, width = "logit", 0.0, 1.0
        left, right = -_REACH / min(1.0, alpha), _REACH / min(1.0, beta)
    elif prior.family in _POSITIVE or name == "tau":
        kind, centre, width = "log", 0.0, 1.0
        head = p[0] if prior.family == "gamma" else 1.0
        tail = p[0] if prior.family == "inverse_gamma" else 1.0
        middle = math.log(prior_quantile(prior, 0.5))
        left = max(middle - _REACH / min(1.0, head), -690.0)
        right = min(middle + _REACH / min(1.0, tail), 300.0)
    else:
        kind = "sinh"
        if prior.family == "uniform":
            centre, width = 0.5 * (low + high), 0.5 * (high - low)
        else:
            centre, width = p[0], p[1]
        left, right = -_REACH, _REACH
    axis = _Axis(kind, centre, width, left, right, prior)
    bounds = axis.coordinate([low, high])
    if np.isfinite(bounds[0]):
        left = float(bounds[0])
    if np.isfinite(bounds[1]):
        right = float(bounds[1])
    return _Axis(kind, centre, width, left, right, prior)


@cache
def _rule(nodes: int) -> tuple[Array, Array, Array]:
    """Gauss-Legendre nodes, weights and the map to Legendre coefficients."""
    x, w = legendre.leggauss(nodes)
    vander = legendre.legvander(x, nodes - 1)
    coefficients = (vander * w[:, None]).T * (np.arange(nodes) + 0.5)[:, None]
    return x, w, coefficients


def _grid(edges: Array, nodes: int) -> tuple[Array, Array]:
    """Nodes and weights of the composite rule, both of shape (panels * nodes,)."""
    x, w, _ = _rule(nodes)
    half = 0.5 * np.diff(edges)[:, None]
    middle = 0.5 * (edges[1:] + edges[:-1])[:, None]
    return (middle + half * x).ravel(), (half * w).ravel()


@dataclass(frozen=True, slots=True)
class Marginal:
    """Posterior distribution of one parameter as panels of Legendre series."""

    axis: _Axis
    edges: Array
    series: Array  # antiderivative of the density per panel, zero at the left edge
    cumulative: Array

    @classmethod
    def _from_nodes(cls, axis: _Axis, edges: Array, values: Array) -> Marginal:
        panels = edges.size - 1
        _, _, to_series = _rule(values.size // panels)
        series = legendre.legint(
            to_series @ values.reshape(panels, -1).T, lbnd=-1.0, axis=0
        )
        series = series * (0.5 * np.diff(edges))
        steps = legendre.legval(1.0, series)
        cumulative = np.concatenate([[0.0], np.cumsum(steps)])
        return cls(axis, edges, series / cumulative[-1], cumulative / cumulative[-1])

    def _cdf_at(self, t: float) -> float:
        if t <= self.edges[0]:
            return 0.0
        if t >= self.edges[-1]:
            return 1.0
        k = int(np.searchsorted(self.edges, t, side="right")) - 1
        left, right = self.edges[k], self.edges[k + 1]
        u = (2.0 * t - left - right) / (right - left)
        return float(self.cumulative[k] + legendre.legval(u, self.series[:, k]))

    def cdf(self, x: float) -> float:
        """Posterior probability of a value at most x."""
        low, high = support(self.axis.prior)
        if x <= low:
            return 0.0
        return 1.0 if x >= high else self._cdf_at(float(self.axis.coordinate(x)))

    def quantile(self, probability: float) -> float:
        """Value below which the posterior has this probability."""
        t = optimize.brentq(
            lambda t: self._cdf_at(t) - probability,
            self.edges[0],
            self.edges[-1],
            xtol=1e-13,
        )
        return float(self.axis.value(t))


@dataclass(frozen=True, slots=True)
class Moments:
    """What the quadrature says of one model.

    ``mean``, ``sd``, ``quantile`` (at `PROBABILITIES`) and ``marginal`` have a key for
    each free parameter, in the order mu, tau, rho; ``fixed`` for each spike. A moment
    that does not exist is NaN (mean) or infinite (sd).
    """

    logml: float
    logml_error: float
    mean: dict[str, float]
    sd: dict[str, float]
    quantile: dict[str, tuple[float, float, float]]
    marginal: dict[str, Marginal]
    fixed: dict[str, float]


class _Joint:
    """Log of likelihood times priors on a tensor grid of axis coordinates."""

    def __init__(
        self,
        likelihood: _FastLikelihood,
        priors: Mapping[str, Prior],
        scale: tuple[str, str],
        mapping: str,
    ) -> None:
        self.likelihood = likelihood
        self.fixed: dict[str, float] = {}
        self.axes: dict[str, _Axis] = {}
        for name in PARAMETERS:
            value = spike_value(priors[name])
            if value is None:
                self.axes[name] = _axis(name, priors[name])
            else:
                self.fixed[name] = value
        self._scale, self._exact = scale, mapping == "exact"
        self._factor = scale_factor(*scale)

    def mean(self, mu: Array) -> Array:
        """The likelihood's mean m."""
        if self._exact:
            return convert_effect(mu, *self._scale)
        return self._factor * mu

    def mean_inverse(self, m: Array) -> Array:
        if self._exact:
            return convert_effect(m, *reversed(self._scale))
        return m / self._factor

    def parts(
        self, coordinates: Mapping[str, Array]
    ) -> tuple[Array, Array, Array, Array, Array]:
        """m and log prior of mu; precision, top, height with priors over (tau, rho)."""
        values, densities = {}, {}
        for name in PARAMETERS:
            if name in self.axes:
                t = coordinates[name]
                values[name] = self.axes[name].value(t)
                densities[name] = self.axes[name].log_density(t)
            else:
                values[name], densities[name] = (
                    np.array([self.fixed[name]]),
                    np.zeros(1),
                )
        precision, top, height = self.likelihood.parabola(
            self._factor * values["tau"][:, None], values["rho"][None, :]
        )
        height = height + densities["tau"][:, None] + densities["rho"][None, :]
        return self.mean(values["mu"]), densities["mu"], precision, top, height

    def log_values(self, coordinates: Mapping[str, Array]) -> Array:
        """Array of shape (mu, tau, rho), length 1 where the parameter is fixed."""
        m, log_mu, precision, top, height = self.parts(coordinates)
        result: Array = m[:, None, None] - top
        np.multiply(result, result, out=result)
        result *= -0.5 * precision
        result += height
        result += log_mu[:, None, None]
        return result

    def likely_mu(
        self, coordinates: Mapping[str, Array], low: float, high: float
    ) -> Array:
        """Coordinates of mu around the tops of the likelihoods that matter."""
        _, _, precision, top, height = self.parts(
            {**coordinates, "mu": np.array([0.5 * (low + high)])}
        )
        keep = np.flatnonzero(height.ravel() > height.max() - 2.0 * _NEGLIGIBLE)
        keep = keep[:: max(1, keep.size // 40)]
        sd = precision.ravel()[keep] ** -0.5
        m = top.ravel()[keep] + np.array([-5.0, -1.5, 0.0, 1.5, 5.0])[:, None] * sd
        t = self.axes["mu"].coordinate(self.mean_inverse(m.ravel()))
        return t[np.isfinite(t) & (t > low) & (t < high)]


def _box(joint: _Joint) -> tuple[dict[str, tuple[float, float]], dict[str, list[bool]]]:
    """Range of each axis that holds the mass and the second moments.

    Also says, per axis, whether the density times |x| and times x^2 dies out before
    the end of an unbounded axis, i.e. whether mean and variance exist.
    """
    points = {"mu": 61, "tau": 81, "rho": 51}
    box = {name: (axis.low, axis.high) for name, axis in joint.axes.items()}
    exists = {name: [True, True] for name in joint.axes}
    for step in range(8):
        grids = {
            name: np.linspace(low, high, points[name])
            for name, (low, high) in box.items()
        }
        # End points can be at a singularity of the density; step inside.
        for grid in grids.values():
            grid[[0, -1]] += np.array([1e-9, -1e-9]) * (grid[-1] - grid[0])
        if "mu" in grids:
            extra = joint.likely_mu(grids, *box["mu"])
            grids["mu"] = np.unique(np.concatenate([grids["mu"], extra]))
        values = np.nan_to_num(joint.log_values(grids), nan=-np.inf, posinf=np.inf)
        shrunk = False
        for k, name in enumerate(PARAMETERS):
            if name not in box:
                continue
            axis, grid = joint.axes[name], grids[name]
            profile = values.max(axis=tuple({0, 1, 2} - {k}))
            with np.errstate(divide="ignore"):
                log_x = np.log(np.abs(axis.value(grid)))
            keep = np.zeros(grid.size, dtype=bool)
            for power in (0, 1, 2):
                weighted = profile + power * log_x if power else profile
                near = weighted > weighted.max() - _NEGLIGIBLE
                if power and step == 0 and axis.kind != "logit":
                    low, high = support(axis.prior)
                    escapes = (high == math.inf and near[-1]) or (
                        low == -math.inf and near[0]
                    )
                    if escapes:
                        exists[name][power - 1] = False
                if power == 0 or exists[name][power - 1]:
                    keep |= near
            first, last = np.flatnonzero(keep)[[0, -1]]
            low = box[name][0] if first == 0 else float(grid[first - 1])
            high = box[name][1] if last == grid.size - 1 else float(grid[last + 1])
            if high - low < 0.8 * (box[name][1] - box[name][0]):
                shrunk = True
            box[name] = (low, high)
        if not shrunk:
            break
    return box, exists


def _panels(
    joint: _Joint, box: Mapping[str, tuple[float, float]], tolerance: float
) -> tuple[dict[str, Array], float]:
    """Panel edges that resolve the joint density on every axis; its log maximum."""
    _, _, to_series = _rule(_NODES)
    edges = {name: np.linspace(low, high, 6) for name, (low, high) in box.items()}
    for _ in range(40):
        grids = {name: _grid(e, _NODES) for name, e in edges.items()}
        if math.prod(t.size for t, _ in grids.values()) > _MAX_GRID:
            raise QuadratureError("the joint density is too narrow for a tensor grid")
        log_values = joint.log_values({name: g[0] for name, g in grids.items()})
        peak = float(log_values.max())
        values = np.exp(np.maximum(log_values - peak, -600.0))
        weights = [
            grids[name][1] if name in grids else np.ones(1) for name in PARAMETERS
        ]
        total = np.einsum("ijk,i,j,k", values, *weights, optimize=True)
        split = False
        for k, name in enumerate(PARAMETERS):
            if name not in edges:
                continue
            panels = edges[name].size - 1
            others = np.multiply.outer(*(w for j, w in enumerate(weights) if j != k))
            table = np.moveaxis(values, k, -1).reshape(-1, panels, _NODES)
            tails = np.abs(np.einsum("xpn,cn->xpc", table, to_series[-2:]))
            error = np.einsum("x,xpc->p", others.ravel(), tails)
            error *= np.diff(edges[name]) / total
            bad = error > tolerance
            if bad.any():
                split = True
                middles = 0.5 * (edges[name][1:] + edges[name][:-1])[bad]
                edges[name] = np.sort(np.concatenate([edges[name], middles]))
        if not split:
            return edges, peak
    raise QuadratureError("panels did not settle after 40 rounds of bisection")


def _integrate(
    joint: _Joint, edges: Mapping[str, Array], peak: float, nodes: int
) -> tuple[float, dict[str, tuple[Array, Array, Array]]]:
    """Log integral; per axis the nodes, weights and unnormalised marginal density."""
    grids = {name: _grid(e, nodes) for name, e in edges.items()}
    m, log_mu, precision, top, height = joint.parts(
        {name: g[0] for name, g in grids.items()}
    )
    weights = [grids[name][1] if name in grids else np.ones(1) for name in PARAMETERS]
    rest = weights[1][:, None] * weights[2][None, :]
    marginal_mu = np.empty(m.size)
    collapsed = np.zeros_like(height)
    step = max(1, 300_000 // height.size)
    for start in range(0, m.size, step):
        block = slice(start, start + step)
        values = m[block, None, None] - top
        np.multiply(values, values, out=values)
        values *= -0.5 * precision
        values += height - peak
        values += log_mu[block, None, None]
        # Subnormal numbers are slow and far below anything that counts.
        np.maximum(values, -600.0, out=values)
        np.exp(values, out=values)
        marginal_mu[block] = np.tensordot(values, rest, axes=2)
        collapsed += np.tensordot(weights[0][block], values, axes=1)
    marginals = (marginal_mu, collapsed @ weights[2], weights[1] @ collapsed)
    total = float(weights[0] @ marginal_mu)
    result = {
        name: (*grids[name], marginals[k])
        for k, name in enumerate(PARAMETERS)
        if name in grids
    }
    return peak + math.log(total), result


def _widened(joint: _Joint, edges: Mapping[str, Array]) -> dict[str, Array]:
    """Panels with one more at either end, where the axis has room for it.

    Doubled nodes alone would not notice mass outside the box.
    """
    result = {}
    for name, e in edges.items():
        axis, margin = joint.axes[name], 0.1 * (e[-1] - e[0])
        ends = max(e[0] - margin, axis.low), min(e[-1] + margin, axis.high)
        result[name] = np.unique(np.concatenate([e, ends]))
    return result


def log_marginal(
    y: npt.ArrayLike,
    se: npt.ArrayLike,
    cluster: npt.ArrayLike | None,
    priors: Mapping[str, Prior],
    scale: tuple[str, str] = ("d", "z"),
    mapping: str = "linear",
) -> Moments:
    """Log marginal likelihood and posterior of one model.

    Parameters
    ----------
    y, se
        Estimates and standard errors on the data scale.
    cluster
        Labels, adjacent or not; None makes every estimate its own cluster.
    priors
        A `Prior` for each of ``"mu"``, ``"tau"``, ``"rho"``, on the prior scale;
        tau within [0, inf), rho within [0, 1].
    scale
        Prior scale and data scale, each of ``"d"``, ``"z"``, ``"r"``, ``"logOR"``;
        two equal strings of any kind leave the parameters as they are.
    mapping
        ``"linear"`` or ``"exact"`` (nonlinear for mu only).

    Raises
    ------
    QuadratureError
        When doubling the nodes and widening the box move the log marginal likelihood
        by `LOGML_TOLERANCE` or more.
    """
    if mapping not in ("linear", "exact"):
        raise ValueError(f"mapping: expected linear or exact; got {mapping!r}")
    priors = {name: Prior(*priors[name]) for name in PARAMETERS}
    joint = _Joint(_FastLikelihood(y, se, cluster), priors, scale, mapping)
    if not joint.axes:
        logml = float(joint.log_values({})[0, 0, 0])
        return Moments(logml, 0.0, {}, {}, {}, {}, joint.fixed)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        box, exists = _box(joint)
        for tolerance in (3e-5, 1e-8):
            edges, peak = _panels(joint, box, tolerance)
            coarse, _ = _integrate(joint, edges, peak, _NODES)
            edges = _widened(joint, edges)
            logml, marginals = _integrate(joint, edges, peak, 2 * _NODES)
            error = abs(logml - coarse)
            if not math.isfinite(error):
                raise QuadratureError(f"not a number: {logml} and {coarse}")
            if error < LOGML_TOLERANCE:
                break
        else:
            raise QuadratureError(f"doubling and widening moved logml by {error}")
    mean, sd, quantile, marginal = {}, {}, {}, {}
    for name, (t, w, density) in marginals.items():
        axis = joint.axes[name]
        x = axis.value(t)
        mass = w * density
        mass /= mass.sum()
        centre = float(mass @ x)
        spread = math.sqrt(float(mass @ (x - centre) ** 2))
        mean[name] = centre if exists[name][0] else math.nan
        sd[name] = spread if exists[name][1] else math.inf
        marginal[name] = Marginal._from_nodes(axis, edges[name], density)
        low, middle, high = (marginal[name].quantile(p) for p in PROBABILITIES)
        quantile[name] = (low, middle, high)
    return Moments(logml, error, mean, sd, quantile, marginal, joint.fixed)


# -------------------------------------------------------------------------- ensemble


@dataclass(frozen=True, slots=True)
class Model:
    """One model of an ensemble: its priors, probabilities and posterior.

    ``alternative`` says per component (effect, heterogeneity, hierarchical) whether
    the model counts on the alternative side.
    """

    priors: dict[str, Prior]
    alternative: dict[str, bool]
    prior_probability: float
    posterior_probability: float
    moments: Moments


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Model-averaged answers.

    ``inclusion_bf`` is inf when no model is null for a component and 0 when none is
    alternative. ``mean``, ``sd``, ``quantile`` average over all models, with spikes;
    ``conditional_*`` over the models that are alternative for the parameter's
    component, and hold no key for a component without any.
    """

    models: tuple[Model, ...]
    prior_probability: dict[str, float]
    posterior_probability: dict[str, float]
    inclusion_bf: dict[str, float]
    mean: dict[str, float]
    sd: dict[str, float]
    quantile: dict[str, tuple[float, float, float]]
    conditional_mean: dict[str, float]
    conditional_sd: dict[str, float]
    conditional_quantile: dict[str, tuple[float, float, float]]


COMPONENTS = {"mu": "effect", "tau": "heterogeneity", "rho": "hierarchical"}

SPIKE_0 = Prior("spike", (0.0,))
DEFAULT_EFFECT = Prior("normal", (0.0, 1.0))
DEFAULT_HETEROGENEITY = Prior("inverse_gamma", (1.0, 0.15))
DEFAULT_HIERARCHICAL = Prior("beta", (1.0, 1.0))


def _mixture_quantile(
    name: str, weighted: Sequence[tuple[float, Moments]], probability: float
) -> float:
    """Smallest x whose cumulative probability in the mixture reaches this one."""
    weighted = [(w, moments) for w, moments in weighted if w > 1e-14]

    def cdf(x: float) -> float:
        total = 0.0
        for w, moments in weighted:
            if name in moments.fixed:
                total += w * float(x >= moments.fixed[name])
            else:
                total += w * moments.marginal[name].cdf(x)
        return total

    ends = [
        moments.fixed[name]
        if name in moments.fixed
        else moments.marginal[name].quantile(probability)
        for _, moments in weighted
    ]
    low, high = min(ends), max(ends)
    spikes = sorted({m.fixed[name] for _, m in weighted if name in m.fixed})
    for spike in spikes:
        if cdf(spike) >= probability > cdf(float(np.nextafter(spike, -np.inf))):
            return spike
    # Past the spikes the mixture is continuous; halve until the digits run out.
    while low < (middle := 0.5 * (low + high)) < high:
        if cdf(middle) >= probability:
            high = middle
        else:
            low = middle
        if high - low < 1e-13 * max(1.0, abs(high)):
            break
    return high


def _mix(
    name: str, weighted: Sequence[tuple[float, Moments]]
) -> tuple[float, float, tuple[float, float, float]]:
    """Mean, sd and quantiles of one parameter over weighted models."""
    total = sum(w for w, _ in weighted)
    weighted = [(w / total, moments) for w, moments in weighted]
    mean = second = 0.0
    for w, moments in weighted:
        centre = moments.fixed.get(name, moments.mean.get(name, math.nan))
        mean += w * centre
        second += w * (moments.sd.get(name, 0.0) ** 2 + centre**2)
    low, middle, high = (_mixture_quantile(name, weighted, p) for p in PROBABILITIES)
    return mean, math.sqrt(max(0.0, second - mean**2)), (low, middle, high)


def ensemble(
    y: npt.ArrayLike,
    se: npt.ArrayLike,
    cluster: npt.ArrayLike | None,
    effect: Sequence[Prior] = (DEFAULT_EFFECT,),
    effect_null: Sequence[Prior] = (SPIKE_0,),
    heterogeneity: Sequence[Prior] = (DEFAULT_HETEROGENEITY,),
    heterogeneity_null: Sequence[Prior] = (SPIKE_0,),
    hierarchical: Sequence[Prior] = (DEFAULT_HIERARCHICAL,),
    hierarchical_null: Sequence[Prior] = (),
    scale: tuple[str, str] = ("d", "z"),
    mapping: str = "linear",
) -> Ensemble:
    """All combinations of the priors, averaged.

    Nulls come before alternatives in each component; effect varies slowest and
    hierarchical fastest. A model whose tau is a spike at 0, or data without clusters
    (``cluster`` None or no label twice), has no rho: it is a spike at 0 and the model
    is null for the hierarchical component. Without any hierarchical prior rho is 0
    everywhere.

    Notes
    -----
    Inclusion Bayes factor: posterior odds of the alternative models over their prior
    odds. Prior model probabilities are proportional to the product of the weights.
    """
    sides = [
        [(p, False) for p in null] + [(p, True) for p in alternative]
        for null, alternative in (
            (effect_null, effect),
            (heterogeneity_null, heterogeneity),
            (hierarchical_null, hierarchical),
        )
    ]
    labels = np.arange(0) if cluster is None else np.asarray(cluster)
    if np.unique(labels).size == labels.size or not sides[2]:
        sides[2] = [(SPIKE_0, False)]
    cache: dict[tuple[Prior, ...], Moments] = {}
    drafts = []
    for (mu, is_effect), (tau, is_heterogeneity), (rho, is_clustered) in product(
        *sides
    ):
        weight = mu.weight * tau.weight * rho.weight
        if spike_value(tau) == 0.0:
            rho, is_clustered = SPIKE_0, False
        key = (mu, tau, rho)
        if key not in cache:
            priors = dict(zip(PARAMETERS, key, strict=True))
            cache[key] = log_marginal(y, se, cluster, priors, scale, mapping)
        flags = (is_effect, is_heterogeneity, is_clustered)
        drafts.append((key, flags, weight, cache[key]))
    prior = np.array([draft[2] for draft in drafts])
    prior = prior / prior.sum()
    log_posterior = np.log(prior) + np.array([d[3].logml for d in drafts])
    # Unnormalised and in logs, so that a side with hardly any mass keeps its digits.
    posterior = special.softmax(log_posterior)
    models = tuple(
        Model(
            dict(zip(PARAMETERS, key, strict=True)),
            dict(zip(COMPONENTS.values(), flags, strict=True)),
            float(prior[i]),
            float(posterior[i]),
            moments,
        )
        for i, (key, flags, _, moments) in enumerate(drafts)
    )
    prior_side, posterior_side, inclusion = {}, {}, {}
    for component in COMPONENTS.values():
        is_in = np.array([model.alternative[component] for model in models])
        prior_side[component] = float(prior[is_in].sum())
        posterior_side[component] = float(posterior[is_in].sum())
        if is_in.all():
            inclusion[component] = math.inf
        elif not is_in.any():
            inclusion[component] = 0.0
        else:
            log_odds = special.logsumexp(log_posterior[is_in]) - special.logsumexp(
                log_posterior[~is_in]
            )
            log_odds -= math.log(prior[is_in].sum() / prior[~is_in].sum())
            inclusion[component] = (
                float(np.exp(log_odds)) if log_odds < 709 else math.inf
            )
    mixed, conditional = {}, {}
    for name, component in COMPONENTS.items():
        mixed[name] = _mix(name, [(m.posterior_probability, m.moments) for m in models])
        # Renormalised in logs: the alternatives may have no mass next to the nulls.
        members = [i for i, m in enumerate(models) if m.alternative[component]]
        if members:
            share = special.softmax(log_posterior[members])
            conditional[name] = _mix(
                name,
                [
                    (float(s), models[i].moments)
                    for s, i in zip(share, members, strict=True)
                ],
            )
    return Ensemble(
        models,
        prior_side,
        posterior_side,
        inclusion,
        {name: v[0] for name, v in mixed.items()},
        {name: v[1] for name, v in mixed.items()},
        {name: v[2] for name, v in mixed.items()},
        {name: v[0] for name, v in conditional.items()},
        {name: v[1] for name, v in conditional.items()},
        {name: v[2] for name, v in conditional.items()},
    )
