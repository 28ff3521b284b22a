"""Reference answers for selection (weighted normal) models, PET and PEESE.

Written from the mathematics alone; nothing here imports or mirrors the package.

The model
---------
Estimates ``y`` with standard errors ``se`` on the data scale, in independent
clusters. Within cluster k the density of what is observed is ::

    MVN(y; m, S) prod_i w_i(y_i) / E[prod_i w_i(Y_i)],   Y ~ MVN(m, S)
    S = diag(se^2) + T^2 [(1 - rho) I + rho 1 1']
    m_i = a mu + PET se_i + PEESE se_i^2 / a,   T = a tau

with ``a`` the linear factor from the prior scale to the data scale. ``w_i`` is a step
function of ``y_i`` (``sides`` 1) or ``|y_i|`` (``sides`` 2): ``omega[j]`` between the
cut-offs ``cuts[i, j - 1]`` (included) and ``cuts[i, j]`` (excluded), so ``omega`` runs
from the lowest statistic to the highest. For ``direction`` -1, ``y`` and ``a mu``
change sign first.

Three evaluations of the normalising constant
---------------------------------------------
`log_likelihood_rectangles` sums multivariate normal probabilities over all tuples of
intervals, from ``S`` itself. `log_likelihood` integrates over the common factor:
given ``g ~ N(0, 1)`` the estimates of a cluster are independent with means
``m_i + T sqrt(rho) g`` and variances ``se_i^2 + (1 - rho) T^2``.
`log_marginal_selection` uses a trapezoidal rule for the same integral at many
parameter values at once, and is held against `log_likelihood` where the posterior
mass is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
import quadrature as q
from numpy.polynomial import legendre
from quadrature import Prior
from scipy import optimize, special, stats

Array = npt.NDArray[np.float64]

# Absolute accuracy of the probability of one rectangle, its box included.
RECTANGLE_ACCURACY = 1e-12
# Relative accuracy of a cluster's normalising constant in `log_likelihood`, for
# |log constant| up to about 1000 (rounding grows in proportion to it).
NORMALISER_ACCURACY = 1e-10
# Stated absolute accuracy of `log_marginal_selection`.
LOGML_TOLERANCE = 2e-4

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def _clusters(cluster: npt.ArrayLike | None, size: int) -> list[npt.NDArray[np.int64]]:
    """Row numbers of each cluster."""
    labels = np.arange(size) if cluster is None else np.asarray(cluster)
    if labels.shape != (size,):
        raise ValueError(f"cluster: expected {size} labels; got {labels.shape}")
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _checked(
    y: npt.ArrayLike,
    se: npt.ArrayLike,
    mean: npt.ArrayLike,
    cuts: npt.ArrayLike,
    omega: npt.ArrayLike,
    sides: int,
) -> tuple[Array, Array, Array, Array, Array]:
    """Everything as arrays of matching shapes."""
    y, se = np.asarray(y, dtype=float), np.asarray(se, dtype=float)
    cuts, omega = np.asarray(cuts, dtype=float), np.asarray(omega, dtype=float)
    mean = np.array(np.broadcast_to(np.asarray(mean, dtype=float), y.shape))
    if cuts.shape != (y.size, omega.size - 1) or se.shape != y.shape:
        raise ValueError(f"shapes: y {y.shape}, cuts {cuts.shape}, omega {omega.shape}")
    if sides not in (1, 2) or np.any(np.diff(cuts, axis=1) <= 0) or np.any(omega < 0):
        raise ValueError("expected sides 1 or 2, increasing cuts and omega >= 0")
    if sides == 2 and np.any(cuts <= 0):
        raise ValueError("cuts: expected positive values for two-sided weights")
    return y, se, mean, cuts, omega


def interval(y: npt.ArrayLike, cuts: npt.ArrayLike, sides: int) -> npt.NDArray[np.int_]:
    """Number of the interval, from 0 for the lowest statistic, of each estimate."""
    statistic = np.asarray(y, dtype=float)
    statistic = np.abs(statistic) if sides == 2 else statistic
    above = statistic[:, None] >= np.asarray(cuts, dtype=float)
    result: npt.NDArray[np.int_] = above.sum(axis=1)
    return result


def _log_density(y: Array, mean: Array, S: Array) -> float:
    factor = np.linalg.cholesky(S)
    white = np.linalg.solve(factor, y - mean)
    log_determinant = float(np.log(np.diag(factor)).sum())
    return -0.5 * float(white @ white) - log_determinant - y.size * _HALF_LOG_2PI


def _covariance(se: Array, T: float, rho: float) -> Array:
    n = se.size
    shared = (1.0 - rho) * np.eye(n) + rho * np.ones((n, n))
    result: Array = np.diag(se**2) + T**2 * shared
    return result


def _log_likelihood_with(
    log_normaliser: Callable[[Array, Array, float, float, Array, Array, int], float],
    y: npt.ArrayLike,
    se: npt.ArrayLike,
    cluster: npt.ArrayLike | None,
    mean: npt.ArrayLike,
    T: float,
    rho: float,
    cuts: npt.ArrayLike,
    omega: npt.ArrayLike,
    sides: int,
) -> float:
    y, se, mean, cuts, omega = _checked(y, se, mean, cuts, omega, sides)
    with np.errstate(divide="ignore"):
        log_weight = np.log(omega)[interval(y, cuts, sides)]
    total = float(log_weight.sum())
    for rows in _clusters(cluster, y.size):
        S = _covariance(se[rows], T, rho)
        total += _log_density(y[rows], mean[rows], S)
        total -= log_normaliser(mean[rows], se[rows], T, rho, cuts[rows], omega, sides)
    return total


# ----------------------------------------------------------------------- rectangles


@cache
def _rule(nodes: int) -> tuple[Array, Array]:
    x, w = legendre.leggauss(nodes)
    return x, w


def _panel_rule(edges: Array, nodes: int) -> tuple[Array, Array]:
    """Composite Gauss-Legendre nodes and weights, each of shape (panels, nodes)."""
    x, w = _rule(nodes)
    half = 0.5 * np.diff(edges)[:, None]
    middle = 0.5 * (edges[1:] + edges[:-1])[:, None]
    return middle + half * x, half * w


def _conditional_mass(lower: float, upper: float, mean: Array, sd: float) -> Array:
    a, b = (lower - mean) / sd, (upper - mean) / sd
    # From the smaller tail, so that a far interval keeps its digits.
    flip = a > 0
    a, b = np.where(flip, -b, a), np.where(flip, -a, b)
    result: Array = special.ndtr(b) - special.ndtr(a)
    return result


def rectangle_probability(
    lower: Sequence[float] | Array,
    upper: Sequence[float] | Array,
    mean: Array,
    S: Array,
) -> float:
    """P(lower < Y < upper) for Y ~ MVN(mean, S) of one, two or three dimensions.

    The last coordinate is integrated in closed form given the others, the others by
    composite Gauss-Legendre rules on the rectangle cut at 12 standard deviations;
    absolute error below `RECTANGLE_ACCURACY`.
    """
    n = mean.size
    if n > 3:
        raise ValueError("rectangles of at most three dimensions")
    sd = np.sqrt(np.diag(S))
    if n == 1:
        mass = _conditional_mass(lower[0], upper[0], mean, float(sd[0]))
        return float(mass[0])
    conditional_sd = np.diag(np.linalg.inv(S)) ** -0.5
    axes = []
    for i in range(n - 1):
        low = max(lower[i], mean[i] - 12.0 * sd[i])
        high = min(upper[i], mean[i] + 12.0 * sd[i])
        if low >= high:
            return 0.0
        panels = math.ceil((high - low) / (1.5 * conditional_sd[i]))
        t, w = _panel_rule(np.linspace(low, high, panels + 1), 16)
        axes.append((t.ravel(), w.ravel()))
    head, tail = S[:-1, :-1], S[-1, :-1]
    slope = np.linalg.solve(head, tail)
    last_sd = math.sqrt(S[-1, -1] - float(tail @ slope))
    residuals = np.meshgrid(*(t - mean[i] for i, (t, _) in enumerate(axes)))
    weights = np.meshgrid(*(w for _, w in axes))
    r = np.stack([x.ravel() for x in residuals])
    white = np.linalg.solve(np.linalg.cholesky(head), r)
    density = np.exp(-0.5 * (white**2).sum(axis=0))
    density *= (2.0 * math.pi) ** (-0.5 * (n - 1)) / math.sqrt(np.linalg.det(head))
    last = _conditional_mass(lower[-1], upper[-1], mean[-1] + slope @ r, last_sd)
    return float(np.prod([x.ravel() for x in weights], axis=0) @ (density * last))


def _on_the_line(cuts: Array, omega: Array, sides: int) -> tuple[Array, Array]:
    """Edges from -inf to inf, and the weight between them, of one estimate."""
    if sides == 1:
        return np.concatenate([[-np.inf], cuts, [np.inf]]), omega
    edges = np.concatenate([[-np.inf], -cuts[::-1], cuts, [np.inf]])
    return edges, np.concatenate([omega[:0:-1], omega])


def _log_normaliser_rectangles(
    mean: Array,
    se: Array,
    T: float,
    rho: float,
    cuts: Array,
    omega: Array,
    sides: int,
) -> float:
    S = _covariance(se, T, rho)
    lines = [_on_the_line(c, omega, sides) for c in cuts]
    total = 0.0
    for choice in product(*(range(w.size) for _, w in lines)):
        weight = math.prod(w[j] for (_, w), j in zip(lines, choice, strict=True))
        if weight > 0.0:
            lower = [float(e[j]) for (e, _), j in zip(lines, choice, strict=True)]
            upper = [float(e[j + 1]) for (e, _), j in zip(lines, choice, strict=True)]
            total += weight * rectangle_probability(lower, upper, mean, S)
    return math.log(total)


def log_likelihood_rectangles(
    y: npt.ArrayLike,
    se: npt.ArrayLike,
    cluster: npt.ArrayLike | None,
    mean: npt.ArrayLike,
    T: float,
    rho: float,
    cuts: npt.ArrayLike,
    omega: npt.ArrayLike,
    sides: int,
) -> float:
    """Log likelihood by brute force over all tuples of intervals.

    Clusters of at most three. ``mean`` is a number or one per estimate, ``T`` is on
    the data scale, ``cluster`` None makes every estimate its own cluster.

    Notes
    -----
    A cluster's constant is a sum of J^n (one-sided) or (2J - 1)^n (two-sided)
    probabilities, each within `RECTANGLE_ACCURACY`: the log likelihood is off by at
    most about 1e-11 per cluster over the constant itself, so this is no reference for
    constants that are tiny.
    """
    return _log_likelihood_with(
        _log_normaliser_rectangles, y, se, cluster, mean, T, rho, cuts, omega, sides
    )


# -------------------------------------------------------------------- common factor


def _log_mass(a: Array, b: Array) -> Array:
    """log(Phi(b) - Phi(a)) for a < b, from the smaller tail."""
    flip = a > 0
    a, b = np.where(flip, -b, a), np.where(flip, -a, b)
    upper = special.log_ndtr(b)
    with np.errstate(divide="ignore"):
        # a = -b = -inf gives log(1); both infinite of one sign does not occur.
        result: Array = upper + np.log(-np.expm1(special.log_ndtr(a) - upper))
    return result


def _log_expected_weight(
    centre: Array, sd: Array, cuts: Array, omega: Array, sides: int
) -> Array:
    """Log E[w_i(Y_i)] for Y_i ~ N(centre[..., i], sd[i]); the shape of ``centre``."""
    first = np.full((sd.size, 1), -np.inf if sides == 1 else 0.0)
    edges = np.hstack([first, cuts, np.full((sd.size, 1), np.inf)])
    result = np.full(centre.shape, -np.inf)
    for j, weight in enumerate(omega):
        if weight == 0.0:
            continue
        low, high = edges[:, j], edges[:, j + 1]
        if sides == 2 and j == 0:
            low = -high
        mass = _log_mass((low - centre) / sd, (high - centre) / sd)
        if sides == 2 and j > 0:
            mirror = _log_mass((-high - centre) / sd, (-low - centre) / sd)
            mass = np.logaddexp(mass, mirror)
        result = np.logaddexp(result, math.log(weight) + mass)
    return result


def log_normaliser(
    mean: Array,
    se: Array,
    T: float,
    rho: float,
    cuts: Array,
    omega: Array,
    sides: int,
) -> float:
    """Log E[prod w_i(Y_i)] of one cluster of any size; `NORMALISER_ACCURACY`.

    Singletons, ``rho`` 0 and ``T`` 0 in closed form; otherwise adaptive panels of 16
    Gauss-Legendre nodes over the common factor, on a range that provably holds all
    but exp(-50) of the integral.

    Notes
    -----
    As E[w_i] <= max(omega), the integrand beyond |g| = G is at most
    max(omega)^n exp(-G^2 / 2), to be compared with its largest value found.
    """
    loading = T * math.sqrt(rho)
    if mean.size == 1 or loading == 0.0:
        sd = np.sqrt(se**2 + T**2)
        return float(_log_expected_weight(mean, sd, cuts, omega, sides).sum())
    sd = np.sqrt(se**2 + (1.0 - rho) * T**2)

    def log_integrand(g: Array) -> Array:
        result: Array = -0.5 * g**2 - _HALF_LOG_2PI
        flat, shape = g.ravel(), g.shape
        # Blocks bound the memory.
        step = max(1, 200_000 // mean.size)
        sums = [
            _log_expected_weight(
                mean + loading * flat[k : k + step, None], sd, cuts, omega, sides
            ).sum(axis=-1)
            for k in range(0, flat.size, step)
        ]
        result += np.concatenate(sums).reshape(shape)
        return result

    ceiling = mean.size * math.log(omega.max())
    steps = (np.hstack([cuts, -cuts] if sides == 2 else [cuts]) - mean[:, None]).ravel()
    steps = np.unique(steps / loading)
    reach, peak = 12.0, -np.inf
    # The bound on the range tightens as higher values are found.
    for _ in range(4):
        inside = steps[np.abs(steps) < reach]
        scan = np.concatenate([np.linspace(-reach, reach, 1001), inside])
        peak = max(peak, float(log_integrand(scan).max()))
        if not math.isfinite(peak):
            raise ValueError("the weights leave no probability")
        reach = math.sqrt(2.0 * (ceiling - peak + 50.0))
    inside = steps[np.abs(steps) < reach]
    edges = np.unique(
        np.concatenate([np.linspace(-reach, reach, math.ceil(4 * reach) + 1), inside])
    )

    def panels(left: Array, right: Array) -> Array:
        x, w = _rule(16)
        half = 0.5 * (right - left)[:, None]
        values = log_integrand(0.5 * (right + left)[:, None] + half * x)
        result: Array = (half * w * np.exp(values - peak)).sum(axis=1)
        return result

    left, right = edges[:-1], edges[1:]
    whole = panels(left, right)
    done: list[float] = []
    for _ in range(40):
        middle = 0.5 * (left + right)
        first, second = panels(left, middle), panels(middle, right)
        total = math.fsum(done) + float((first + second).sum())
        split = np.abs(first + second - whole) > 1e-12 * total
        done.extend((first + second)[~split])
        if not split.any():
            return peak + math.log(math.fsum(done))
        left, right = (
            np.concatenate([left[split], middle[split]]),
            np.concatenate([middle[split], right[split]]),
        )
        whole = np.concatenate([first[split], second[split]])
    raise q.QuadratureError("panels did not settle after 40 rounds of bisection")


def log_likelihood(
    y: npt.ArrayLike,
    se: npt.ArrayLike,
    cluster: npt.ArrayLike | None,
    mean: npt.ArrayLike,
    T: float,
    rho: float,
    cuts: npt.ArrayLike,
    omega: npt.ArrayLike,
    sides: int,
) -> float:
    """Log likelihood through the common factor; clusters of any size.

    Arguments as in `log_likelihood_rectangles`. Valid for ``rho`` from 0 to 1, for
    ``omega`` near or at 0 and for means and estimates tens of standard errors out.
    """
    return _log_likelihood_with(
        log_normaliser, y, se, cluster, mean, T, rho, cuts, omega, sides
    )


# ----------------------------------------------------------------- cut-offs and omega


def cut_offs(
    effect: npt.ArrayLike,
    se: npt.ArrayLike,
    measure: str,
    data_scale: str,
    steps: Sequence[float],
    sides: int,
    n: npt.ArrayLike | None = None,
) -> Array:
    """Cut-offs on the data scale, increasing along the last axis, from p-value steps.

    ``effect`` and ``se`` are on their original ``measure`` (d, r, z, logOR, or
    ``"none"`` for unstandardised); ``n`` replaces the sample size implied by them.

    Notes
    -----
    The upper quantile t of Student's distribution with n - 2 degrees of freedom
    (normal for logOR and unstandardised effects) at p, or p / 2 if two-sided, becomes
    2 t / sqrt(n) for d, t / sqrt(n + t^2 - 2) for r and t se otherwise, and is then
    converted nonlinearly.
    """
    effect, se = np.asarray(effect, dtype=float), np.asarray(se, dtype=float)
    p = np.sort(np.asarray(steps, dtype=float))[::-1] / sides
    if measure in ("logOR", "none"):
        critical = stats.norm.isf(p) * se[:, None]
    else:
        if n is not None:
            size = np.broadcast_to(np.asarray(n, dtype=float), effect.shape)
        elif measure == "z":
            size = 3.0 + se**-2.0
        elif measure == "d":
            size = (effect**2 + 8.0) / (2.0 * se**2)
        else:
            d = q.convert_effect(effect, "r", "d")
            se_d = 2.0 * se / (1.0 - effect**2) ** 1.5
            size = (d**2 + 8.0) / (2.0 * se_d**2)
        size = size[:, None]
        t = stats.t.isf(p, size - 2.0)
        if measure == "d":
            critical = 2.0 * t / np.sqrt(size)
        elif measure == "r":
            critical = t / np.sqrt(size + t**2 - 2.0)
        else:
            critical = t * se[:, None]
    # The quantile of p = 1/2 may miss 0 by an ulp.
    critical = np.where(p == 0.5, 0.0, critical)
    if measure in (data_scale, "none"):
        return np.asarray(critical)
    return q.convert_effect(critical, measure, data_scale)


def cumulative_weights(pi: npt.ArrayLike) -> Array:
    """``omega``, lowest statistic first, from ``pi``, most significant first."""
    pi = np.asarray(pi, dtype=float)
    return np.cumsum(pi[..., ::-1], axis=-1)


# -------------------------------------------------------------- marginal likelihoods

_MEAN, _SPREAD = ("mu", "PET", "PEESE"), ("tau", "rho")
SPIKE_0 = q.SPIKE_0
PRIOR_PET = Prior("cauchy", (0.0, 1.0), lower=0.0)
PRIOR_PEESE = Prior("cauchy", (0.0, 5.0), lower=0.0)


@dataclass(frozen=True, slots=True)
class SelectionMoments:
    """Log marginal likelihood, its estimated error, posterior means and sds.

    ``logml_error`` is the change under finer rules on all axes. ``mean`` and ``sd``
    have the free parameters; ``omega_mean`` runs from the lowest statistic up and is
    empty without weights. A Cauchy tail may leave a moment without meaning.
    """

    logml: float
    logml_error: float
    mean: dict[str, float]
    sd: dict[str, float]
    omega_mean: tuple[float, ...]
    points: int


@dataclass(frozen=True, slots=True)
class _Line:
    """A parameter as a smooth function of a coordinate t."""

    kind: str
    centre: float
    width: float
    low: float
    high: float
    prior: Prior
    start: float = field(default=0.0)

    @classmethod
    def of(cls, prior: Prior) -> _Line:
        low, high = q.support(prior)
        p = prior.parameters
        if math.isfinite(low) and math.isfinite(high):
            return cls("smooth", low, high - low, 0.0, 1.0, prior, 0.5)
        if prior.family in ("lognormal", "inverse_gamma", "gamma"):
            start = math.log(q.prior_quantile(prior, 0.5))
            left = max(math.log(low) if low > 0 else -np.inf, start - 100.0)
            return cls("log", 0.0, 1.0, left, start + 100.0, prior, start)
        centre, width = (0.0, 1.0 / p[0]) if prior.family == "exponential" else p[:2]
        ends = np.arcsinh((np.array([low, high]) - centre) / width)
        left, right = max(float(ends[0]), -40.0), min(float(ends[1]), 40.0)
        start = float(np.arcsinh((q.prior_quantile(prior, 0.5) - centre) / width))
        return cls("sinh", centre, width, left, right, prior, start)

    def value(self, t: Array) -> Array:
        if self.kind == "smooth":
            # Flat at both ends: powers of the distance to a bound become smoother.
            x: Array = self.centre + self.width * t * t * (3.0 - 2.0 * t)
        elif self.kind == "log":
            x = np.exp(t)
        else:
            x = self.centre + self.width * np.sinh(t)
        return x

    def log_density(self, t: Array) -> Array:
        if self.kind == "smooth":
            jacobian = np.log(self.width * 6.0 * t * (1.0 - t))
        elif self.kind == "log":
            jacobian = t
        else:
            jacobian = np.log(self.width) + np.log(np.cosh(t))
        x = np.clip(self.value(t), *q.support(self.prior))
        return q.log_prior(self.prior, x) + jacobian


class _SelectionPosterior:
    """Log of likelihood times priors on a tensor grid of coordinates."""

    def __init__(
        self,
        y: npt.ArrayLike,
        se: npt.ArrayLike,
        cluster: npt.ArrayLike | None,
        priors: Mapping[str, Prior],
        cuts: npt.ArrayLike | None,
        sides: int,
        alpha: Sequence[float] | None,
        omega: Sequence[float] | None,
        scale: tuple[str, str],
        direction: int,
    ) -> None:
        unknown = set(priors) - {*_MEAN, *_SPREAD}
        if unknown or direction not in (-1, 1) or (alpha and omega):
            raise ValueError(f"unknown priors {unknown} or bad direction or weights")
        y = direction * np.asarray(y, dtype=float)
        if cuts is None:
            cuts, omega, alpha = np.empty((y.size, 0)), (1.0,), None
        self.fixed: dict[str, float] = {}
        self.lines: dict[str, _Line] = {}
        for name in (*_MEAN, *_SPREAD):
            prior = Prior(*priors.get(name, SPIKE_0))
            value = q.spike_value(prior)
            if value is None:
                self.lines[name] = _Line.of(prior)
            else:
                self.fixed[name] = value
        self.sides, self.factor = sides, q.scale_factor(*scale)
        self._omega = None if omega is None else np.asarray(omega, dtype=float)
        sticks = []
        if alpha is not None:
            # A Dirichlet is neutral: the ratios of neighbouring omegas, from the most
            # significant down, are independent.
            a = np.asarray(alpha, dtype=float)
            for j in range(1, a.size):
                name = f"ratio{j}"
                sticks.append(name)
                shape = (float(a[j:].sum()), float(a[j - 1]))
                self.lines[name] = _Line.of(Prior("beta", shape))
        self.names = (*_MEAN, *_SPREAD, *sticks)
        self._sticks = tuple(sticks)
        one = np.ones(len(sticks) + 1) if self._omega is None else self._omega
        self.y, self.se, _, self.cuts, _ = _checked(y, se, 0.0, cuts, one, sides)
        self.cluster = cluster
        self._rows = _clusters(cluster, self.y.size)
        at = interval(self.y, self.cuts, sides)
        self._counts = np.bincount(at, minlength=one.size).astype(float)
        self._design = np.stack(
            [
                np.full(self.y.size, direction * self.factor),
                self.se,
                self.se**2 / self.factor,
            ]
        )

    def omegas(self, values: Sequence[Array]) -> Array:
        """All combinations of stick values as rows of ``omega``, lowest first."""
        if not self._sticks:
            assert self._omega is not None
            return self._omega[None, :]
        mesh = np.meshgrid(*values, indexing="ij")
        ratios = np.stack([m.ravel() for m in mesh], axis=1)
        falling = np.cumprod(ratios, axis=1)
        ones = np.ones((falling.shape[0], 1))
        return np.hstack([falling[:, ::-1], ones])

    def axis_values(self, coordinates: Mapping[str, Array]) -> list[Array]:
        return [
            self.lines[n].value(coordinates[n])
            if n in self.lines
            else np.array([self.fixed[n]])
            for n in self.names
        ]

    def log_values(self, coordinates: Mapping[str, Array]) -> Array:
        """Tensor over `names`, of length 1 where a parameter is fixed."""
        values = self.axis_values(coordinates)
        result = self.log_likelihoods(values)
        for k, name in enumerate(self.names):
            if name in self.lines:
                density = self.lines[name].log_density(coordinates[name])
                shape = [1] * len(self.names)
                shape[k] = density.size
                result += density.reshape(shape)
        return result

    def log_likelihoods(self, values: Sequence[Array]) -> Array:
        mesh = np.meshgrid(*values[:3], indexing="ij")
        theta = np.stack([m.ravel() for m in mesh], axis=1)
        omegas = self.omegas(values[5:])
        with np.errstate(divide="ignore"):
            log_omegas = np.log(omegas)
        # 0 log 0 is a weight that no estimate has.
        log_weight = np.where(self._counts > 0, log_omegas * self._counts, 0.0)
        shape = (theta.shape[0], values[3].size, values[4].size, omegas.shape[0])
        result = np.empty(shape)
        for j, tau in enumerate(values[3]):
            for k, rho in enumerate(values[4]):
                T = float(self.factor * tau)
                normal = self._log_normal(theta, T, float(rho))
                result[:, j, k, :] = normal[:, None] + log_weight.sum(axis=1)
                if omegas.shape[1] > 1:
                    result[:, j, k, :] -= self._log_normalisers(
                        theta @ self._design, T, float(rho), omegas
                    )
        return result.reshape([v.size for v in values])

    def _log_normal(self, theta: Array, T: float, rho: float) -> Array:
        # Residuals are Z v with Z = [y, design], v = (1, -theta): the quadratic form
        # needs Z' S^-1 Z only.
        z = np.vstack([self.y, self._design])
        shared = rho * T**2
        diagonal = self.se**2 + (1.0 - rho) * T**2
        gram = (z / diagonal) @ z.T
        log_determinant = float(np.log(diagonal).sum())
        for rows in self._rows:
            inflation = 1.0 + shared * float((1.0 / diagonal[rows]).sum())
            column = (z[:, rows] / diagonal[rows]).sum(axis=1)
            gram -= np.outer(column, column) * (shared / inflation)
            log_determinant += math.log(inflation)
        v = np.hstack([np.ones((theta.shape[0], 1)), -theta])
        square = np.einsum("mi,ij,mj->m", v, gram, v, optimize=True)
        constant = log_determinant + 2.0 * self.y.size * _HALF_LOG_2PI
        result: Array = -0.5 * (square + constant)
        return result

    def _log_normalisers(
        self, means: Array, T: float, rho: float, omegas: Array
    ) -> Array:
        """Sum over clusters of log E[prod w], shape (means, omegas)."""
        loading = T * math.sqrt(rho)
        total = np.zeros((means.shape[0], omegas.shape[0]))
        alone = [r for r in self._rows if r.size == 1 or loading == 0.0]
        if alone:
            rows = np.concatenate(alone)
            sd = np.sqrt(self.se[rows] ** 2 + T**2)
            for i, s in zip(rows, sd, strict=True):
                total += np.log(self._expected(means[:, i, None], i, s, omegas)[..., 0])
        for rows in self._rows:
            if rows.size == 1 or loading == 0.0:
                continue
            sd = np.sqrt(self.se[rows] ** 2 + (1.0 - rho) * T**2)
            # The rule errs by about exp(-2 pi^2 / (h sharpness)^2), here 1e-5, were all
            # steps of the cluster at one place.
            sharpness = math.sqrt(1.0 + float((loading**2 / sd**2).sum()))
            g = np.linspace(-8.0, 8.0, 1 + 2 * math.ceil(6.0 * max(2.0, sharpness)))
            log_terms = np.zeros((means.shape[0], omegas.shape[0], g.size))
            log_terms -= 0.5 * g**2 + _HALF_LOG_2PI
            part = np.ones_like(log_terms)
            for count, (i, s) in enumerate(zip(rows, sd, strict=True), start=1):
                centre = means[:, i, None] + loading * g
                part *= self._expected(centre, i, s, omegas)
                # Logs of short products: fewer logs, and no underflow.
                if count % 6 == 0 or count == rows.size:
                    with np.errstate(divide="ignore"):
                        log_terms += np.log(part)
                    part[...] = 1.0
            top = log_terms.max(axis=-1)
            log_terms -= top[..., None]
            total += top + np.log(np.exp(log_terms).sum(axis=-1) * (g[1] - g[0]))
        return total

    def _expected(self, centre: Array, i: int, sd: float, omegas: Array) -> Array:
        """E[w_i] as sum of omega increments times P(statistic >= cut-off)."""
        result = np.broadcast_to(
            omegas[None, :, :1], (centre.shape[0], omegas.shape[0], centre.shape[1])
        ).copy()
        for j, cut in enumerate(self.cuts[i]):
            above = special.ndtr((centre - cut) / sd)
            if self.sides == 2:
                above = above + special.ndtr((-cut - centre) / sd)
            increment = omegas[:, j + 1] - omegas[:, j]
            result += increment[None, :, None] * above[:, None, :]
        return result

    def exact_log_likelihood(self, point: Sequence[float]) -> float:
        mean = np.asarray(point[:3]) @ self._design
        omega = self.omegas([np.array([x]) for x in point[5:]])[0]
        T, rho = self.factor * point[3], point[4]
        return log_likelihood(
            self.y, self.se, self.cluster, mean, T, rho, self.cuts, omega, self.sides
        )


def _start(posterior: _SelectionPosterior) -> dict[str, float]:
    """Coordinates of the mode, roughly."""
    names = tuple(posterior.lines)
    lines = posterior.lines

    def negative(t: Array) -> float:
        for x, name in zip(t, names, strict=True):
            if not lines[name].low < x < lines[name].high:
                return math.inf
        grid = {name: np.array([x]) for x, name in zip(t, names, strict=True)}
        return -float(posterior.log_values(grid).item())

    first = []
    for name in names:
        line = lines[name]
        t = line.start + (0.1 if line.kind == "sinh" else 0.0)
        width = line.high - line.low
        first.append(np.clip(t, line.low + 1e-3 * width, line.high - 1e-3 * width))
    found = optimize.minimize(
        negative,
        np.array(first),
        method="Nelder-Mead",
        options={"xatol": 0.03, "fatol": 0.05, "maxfev": 150 * len(names)},
    )
    return {name: float(t) for name, t in zip(names, found.x, strict=True)}


_MAX_POINTS = 12_000_000
_EDGE = 1e-8  # marginal density at an end of the box, relative to its largest value


def _grids(
    box: Mapping[str, tuple[float, float]], nodes: Mapping[str, int]
) -> dict[str, tuple[Array, Array]]:
    result = {}
    for name, (low, high) in box.items():
        t, w = _panel_rule(np.array([low, high]), nodes[name])
        result[name] = (t.ravel(), w.ravel())
    return result


def _sum(
    posterior: _SelectionPosterior,
    box: Mapping[str, tuple[float, float]],
    nodes: Mapping[str, int],
) -> tuple[float, Array, dict[str, tuple[Array, Array]]]:
    """Log integral, and the probability of every grid point."""
    grids = _grids(box, nodes)
    points = math.prod(nodes[name] for name in box)
    if points > _MAX_POINTS:
        raise q.QuadratureError(f"{points} grid points needed")
    values = posterior.log_values({name: t for name, (t, _) in grids.items()})
    for k, name in enumerate(posterior.names):
        if name in grids:
            shape = [1] * values.ndim
            shape[k] = -1
            values += np.log(grids[name][1]).reshape(shape)
    peak = float(values.max())
    np.exp(values - peak, out=values)
    total = float(values.sum())
    return peak + math.log(total), values / total, grids


def _box_of(
    posterior: _SelectionPosterior, mode: Mapping[str, float]
) -> dict[str, tuple[float, float]]:
    """Box outside which every marginal density is negligible."""
    centre = {name: np.array([t]) for name, t in mode.items()}
    top = float(posterior.log_values(centre).item())
    box = {}
    for name, line in posterior.lines.items():
        ends = []
        for limit in (line.low, line.high):
            step = 0.02 if line.kind == "smooth" else 0.05
            while True:
                end = mode[name] + math.copysign(step, limit - mode[name])
                if not line.low < end < line.high:
                    ends.append(limit)
                    break
                here = posterior.log_values({**centre, name: np.array([end])}).item()
                if here < top - 14.0:
                    ends.append(end)
                    break
                step *= 1.5
        box[name] = (ends[0], ends[1])
    nodes = dict.fromkeys(box, {1: 60, 2: 40, 3: 24}.get(len(box), 14))
    for _ in range(30):
        _, mass, grids = _sum(posterior, box, nodes)
        moved = False
        for k, name in enumerate(posterior.names):
            if name not in box:
                continue
            others = tuple(j for j in range(mass.ndim) if j != k)
            t, w = grids[name]
            density = mass.sum(axis=others) / w
            keep = np.flatnonzero(density > _EDGE * density.max())
            low, high = box[name]
            line = posterior.lines[name]
            extra = 0.3 * (high - low)
            new_low = max(low - extra, line.low) if keep[0] == 0 else t[keep[0] - 1]
            new_high = (
                min(high + extra, line.high)
                if keep[-1] == t.size - 1
                else t[keep[-1] + 1]
            )
            widened = new_low < low or new_high > high
            if widened or new_high - new_low < 0.8 * (high - low):
                box[name] = (float(new_low), float(new_high))
                moved = True
        if not moved:
            return box
    raise q.QuadratureError("the box did not settle")


def log_marginal_selection(
    y: npt.ArrayLike,
    se: npt.ArrayLike,
    cluster: npt.ArrayLike | None,
    priors: Mapping[str, Prior],
    cuts: npt.ArrayLike | None = None,
    sides: int = 1,
    alpha: Sequence[float] | None = None,
    omega: Sequence[float] | None = None,
    scale: tuple[str, str] = ("d", "z"),
    direction: int = 1,
    tolerance: float = LOGML_TOLERANCE,
) -> SelectionMoments:
    """Log marginal likelihood of a model with up to four free parameters.

    Parameters
    ----------
    y, se
        Estimates and standard errors on the data scale, in their original direction.
    cluster
        Labels, adjacent or not; None makes every estimate its own cluster.
    priors
        A `Prior` for any of ``"mu"``, ``"tau"``, ``"rho"``, ``"PET"``, ``"PEESE"``, on
        the prior scale; a missing one is a spike at 0.
    cuts
        Cut-offs on the data scale after the flip of ``direction``, shape (K, J - 1),
        increasing; None for no weights.
    sides
        1 for weights of ``y``, 2 for weights of ``|y|``.
    alpha
        Concentrations of the Dirichlet prior, the most significant interval first.
    omega
        Fixed weights instead, the lowest statistic first.
    scale
        Prior scale and data scale.
    direction
        -1 when bias works towards negative estimates.
    tolerance
        Absolute accuracy of the log marginal likelihood.

    Raises
    ------
    QuadratureError
        When finer rules on all axes move the answer by ``tolerance`` or more, or the
        factor rule misses `log_likelihood` by a tenth of it where the posterior mass
        is.

    Notes
    -----
    With pi ~ Dirichlet(alpha), omega of interval j (most significant first) is
    sum_{k >= j} pi_k; the ratios of neighbouring omegas are independent betas, which
    are the axes used. Every axis has one Gauss-Legendre panel, with as many nodes as
    it takes.
    """
    posterior = _SelectionPosterior(
        y, se, cluster, priors, cuts, sides, alpha, omega, scale, direction
    )
    if not posterior.lines:
        logml = float(posterior.log_values({}).item())
        point = [posterior.fixed[name] for name in posterior.names]
        exact = posterior.exact_log_likelihood(point)
        if not abs(logml - exact) < tolerance:
            raise q.QuadratureError(f"log likelihood {logml}, not {exact}")
        omegas = posterior.omegas([])[0]
        weights = tuple(float(x) for x in omegas) if omegas.size > 1 else ()
        return SelectionMoments(exact, 0.0, {}, {}, weights, 1)
    with np.errstate(under="ignore"):
        box = _box_of(posterior, _start(posterior))
        nodes = dict.fromkeys(box, {1: 40, 2: 24, 3: 16}.get(len(box), 12))
        value, _, _ = _sum(posterior, box, nodes)
        unsettled = set(box)
        while unsettled:
            for name in sorted(unsettled):
                more = {**nodes, name: math.ceil(1.5 * nodes[name])}
                changed, _, _ = _sum(posterior, box, more)
                if abs(changed - value) < tolerance / 10.0:
                    unsettled.discard(name)
                else:
                    nodes, value = more, changed
        finer = {name: math.ceil(1.2 * count) + 1 for name, count in nodes.items()}
        logml, mass, grids = _sum(posterior, box, finer)
        error = abs(logml - value)
        if not error < tolerance:
            raise q.QuadratureError(f"finer rules moved logml by {error}")
        values = posterior.axis_values({name: t for name, (t, _) in grids.items()})
        _certify(posterior, values, mass, tolerance / 10.0)
    mean, sd = {}, {}
    for k, name in enumerate(posterior.names):
        if name in posterior.lines and not name.startswith("ratio"):
            share = mass.sum(axis=tuple(j for j in range(mass.ndim) if j != k))
            mean[name] = float(share @ values[k])
            sd[name] = math.sqrt(float(share @ (values[k] - mean[name]) ** 2))
    omegas = posterior.omegas(values[5:])
    share = mass.reshape(-1, omegas.shape[0]).sum(axis=0)
    omega_mean = tuple(float(x) for x in share @ omegas) if omegas.shape[1] > 1 else ()
    return SelectionMoments(logml, error, mean, sd, omega_mean, mass.size)


def _certify(
    posterior: _SelectionPosterior,
    values: Sequence[Array],
    mass: Array,
    tolerance: float,
) -> None:
    """Hold the grid's likelihood against the accurate one where the mass is."""
    flat = mass.ravel()
    rng = np.random.default_rng(20)
    chosen = {int(flat.argmax()), *rng.choice(flat.size, 12, p=flat).tolist()}
    for index in sorted(chosen):
        at = np.unravel_index(index, mass.shape)
        point = [float(v[i]) for v, i in zip(values, at, strict=True)]
        quick = posterior.log_likelihoods([np.array([x]) for x in point]).item()
        exact = posterior.exact_log_likelihood(point)
        if not abs(quick - exact) < tolerance:
            raise q.QuadratureError(f"log likelihood {quick}, not {exact}, at {point}")


# ------------------------------------------------------------------------- made data


def made_selected_data(
    seed: int,
    n_clusters: int,
    size: int,
    mu: float,
    tau: float,
    rho: float,
    se: npt.ArrayLike,
    publish_probability: float = 0.2,
) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """Estimates that survived selection: ``y``, ``se``, ``cluster`` (1, 2, ...).

    Clusters of ``size`` estimates are drawn from the multivariate normal with mean
    ``mu``, heterogeneity ``tau`` and ``rho``, all on the data scale; ``se`` broadcasts
    to (n_clusters, size). A whole cluster is accepted with probability
    prod_i w(y_i), w = 1 for a one-sided normal p < 0.025 and ``publish_probability``
    otherwise, and redrawn as a whole until accepted.

    Notes
    -----
    Accepting and rejecting whole clusters is the process whose density is
    MVN prod w / E[prod w]. Publishing estimate by estimate is another model: if each
    estimate is redrawn given its cluster's effect, the constant is conditional on
    that effect and the effect itself stays unselected; if unpublished estimates are
    left out, the cluster's effect is selected through the number left out too.
    """
    rng = np.random.default_rng(seed)
    table = np.array(np.broadcast_to(np.asarray(se, dtype=float), (n_clusters, size)))
    z = float(stats.norm.isf(0.025))
    y = np.full((n_clusters, size), np.nan)
    for k, errors in enumerate(table):
        # Growing batches: an accepted cluster may take tens of thousands of draws.
        for batch in (64, 1024, *(40_000,) * 2000):
            between = rng.normal(size=(batch, 1))
            within, noise = rng.normal(size=(2, batch, size))
            draws = mu + tau * (
                math.sqrt(rho) * between + math.sqrt(1.0 - rho) * within
            )
            draws = draws + errors * noise
            kept = (draws >= z * errors).sum(axis=1)
            chance = publish_probability ** (size - kept)
            accepted = np.flatnonzero(rng.random(batch) < chance)
            if accepted.size:
                y[k] = draws[accepted[0]]
                break
        else:
            raise RuntimeError("selection leaves hardly any cluster")
    cluster = np.repeat(np.arange(1, n_clusters + 1), size)
    return y.ravel(), table.ravel(), cluster
