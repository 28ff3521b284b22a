"""Reference answers by quadrature for Bayesian meta-analysis of counts.

Written from the mathematics alone; nothing here imports or mirrors the package.

The model
---------
Study i has two arms, and delta_i is its log odds ratio or its log rate ratio::

    x1 ~ Bin(n1, expit(theta_i + delta_i / 2))
    x2 ~ Bin(n2, expit(theta_i - delta_i / 2))
    x1 ~ Poisson(n1 exp(phi_i + delta_i / 2))
    x2 ~ Poisson(n2 exp(phi_i - delta_i / 2))

where n1 and n2 of rates are person-times. The baseline is integrated study by study:
``expit(theta_i) ~ Beta(a, b)``, ``theta_i ~ N(m, sd^2)``, ``phi_i ~ N(m, sd^2)``; or
conditioned out, which leaves the noncentral hypergeometric distribution of x1 given
x1 + x2, or for rates a binomial one. Across studies::

    delta_i = mu + x_i beta + u_c(i) + e_i,   log tau_i = log tau + w_i d
    u_c ~ N(0, rho tau^2),   e_i ~ N(0, (1 - rho) tau_i^2)

The method
----------
Three layers, all constants kept.

1. ``log h_i(delta)``: composite Gauss-Legendre over the stretch of the baseline in
   which the integrand is within 40 nats of its top; or a closed form. It is tabulated
   as a piecewise polynomial on +-300, where it has long become a straight line.
2. ``log L_i(m, s)``, the log of the mean of h_i over N(m, s^2): composite
   Gauss-Legendre, again over the stretch that matters at each (m, s).
3. mu, beta, log tau, d (and the logs of the two standard deviations, of clusters and
   of estimates, in place of tau and rho) are summed over equally spaced nodes, on
   every node whose density is within 40 (of three dimensions, 30) nats of the highest:
   of densities that are analytic and fall off at all ends, the error falls faster than
   any power of the spacing. The nodes are found by spreading from the mode.

Both stretches are intervals because every integrand is log-concave: h_i is the
integral of a jointly log-concave function, and so is L_i. `log_marginal` with a higher
``fineness`` is the check of the third layer; the first two have closed forms and other
integrators to compare with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import quadrature as q
from numpy.polynomial import legendre
from quadrature import Prior
from scipy import special
from scipy.interpolate import PPoly

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# From positions of shape (n, k) in the rows given by the second argument.
Rows = Callable[[Array, Integers], Array]

# Conditioning on the total leaves no baseline to integrate.
CONDITIONAL = Prior("conditional", ())

_NEGLIGIBLE = 40.0  # nats below the top: 4e-18
_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)
_TOGETHER = 400_000  # values held at once


class Studies(NamedTuple):
    """Counts ``x1`` of ``n1`` and ``x2`` of ``n2``, one entry a study.

    With ``rates`` the ``n1`` and ``n2`` are person-times. Tuples, so that tables can be
    remembered by study.
    """

    x1: tuple[int, ...]
    n1: tuple[float, ...]
    x2: tuple[int, ...]
    n2: tuple[float, ...]
    rates: bool = False

    def one(self, i: int) -> Studies:
        """Study i alone."""
        return Studies(
            (self.x1[i],), (self.n1[i],), (self.x2[i],), (self.n2[i],), self.rates
        )

    def swapped_arms(self) -> Studies:
        return Studies(self.x2, self.n2, self.x1, self.n1, self.rates)

    def swapped_events(self) -> Studies:
        """Non-events in place of events."""
        x1 = tuple(int(n) - x for x, n in zip(self.x1, self.n1, strict=True))
        x2 = tuple(int(n) - x for x, n in zip(self.x2, self.n2, strict=True))
        return Studies(x1, self.n1, x2, self.n2)


def studies(
    x1: Sequence[float] | npt.NDArray[np.generic],
    n1: Sequence[float] | npt.NDArray[np.generic],
    x2: Sequence[float] | npt.NDArray[np.generic],
    n2: Sequence[float] | npt.NDArray[np.generic],
    rates: bool = False,
) -> Studies:
    """`Studies` from anything that has elements."""
    counts = [tuple(int(x) for x in values) for values in (x1, x2)]
    sizes = [tuple(float(n) for n in values) for values in (n1, n2)]
    return Studies(counts[0], sizes[0], counts[1], sizes[1], rates)


def pooled_log_rate(data: Studies) -> float:
    """Log of all events over all person-time."""
    return math.log((sum(data.x1) + sum(data.x2)) / (sum(data.n1) + sum(data.n2)))


# ------------------------------------------------- integrals of log-concave functions


@lru_cache
def _legendre(n: int) -> tuple[Array, Array]:
    nodes, weights = legendre.leggauss(n)
    return nodes, weights


def _stretch(f: Rows, low: Array, high: Array) -> tuple[Array, Array]:
    """Narrow intervals to what is within 40 nats of the top of concave functions.

    Of nine points the highest has the top next to it; what lies beyond a point that is
    40 nats lower is lower still.
    """
    low, high = low.copy(), high.copy()
    points = np.arange(9)
    rows = np.arange(low.size)
    while rows.size:
        width = high[rows] - low[rows]
        x = low[rows, None] + width[:, None] * (points / 8.0)
        value = f(x, rows)
        best = value.argmax(axis=1)[:, None]
        under = value < value.max(axis=1)[:, None] - _NEGLIGIBLE
        left = np.where(under & (points < best), points, 0).max(axis=1)
        right = np.where(under & (points > best), points, 8).min(axis=1)
        high[rows] = low[rows] + width * right / 8.0
        low[rows] = low[rows] + width * left / 8.0
        rows = rows[right - left < 6]
    return low, high


def _integral(
    f: Rows,
    low: Array,
    high: Array,
    panels: int,
    nodes: int,
    cuts: Callable[[Integers], Array] | None = None,
) -> tuple[Array, Array]:
    """Log integrals of ``exp(f)``, ``f`` concave, and means under it, row by row.

    ``low`` and ``high`` must enclose all that matters; ``panels`` equal panels of the
    stretch that does, and further edges at ``cuts``, shape (n, c).
    """
    low, high = _stretch(f, low, high)
    t, w = _legendre(nodes)
    result, mean = np.empty(low.size), np.empty(low.size)
    extra = 0 if cuts is None else cuts(np.arange(1)).shape[1]
    step = max(1, _TOGETHER // ((panels + extra) * nodes))
    for start in range(0, low.size, step):
        rows = np.arange(start, min(start + step, low.size))
        a, b = low[rows, None], high[rows, None]
        edges = a + (b - a) * np.linspace(0.0, 1.0, panels + 1)
        if cuts is not None:
            edges = np.sort(np.hstack([edges, np.clip(cuts(rows), a, b)]), axis=1)
        half = 0.5 * np.diff(edges)[:, :, None]
        x = (edges[:, :-1, None] + half * (1.0 + t)).reshape(rows.size, -1)
        value = f(x, rows)
        top = value.max(axis=1)
        mass = np.exp(value - top[:, None]) * (half * w).reshape(rows.size, -1)
        total = mass.sum(axis=1)
        result[rows] = top + np.log(total)
        mean[rows] = (mass * x).sum(axis=1) / total
    return result, mean


# ----------------------------------------------------- one study given its own effect


def _log_choose(n: float, x: int) -> float:
    # Of integers: the log gamma function of a large n has lost ten digits.
    return math.log(math.comb(int(n), x))


def log_h(study: Studies, delta: npt.ArrayLike, baseline: Prior) -> Array:
    """Log likelihood of a single study at each ``delta``, shape (n,).

    ``baseline``: a beta prior of the midpoint on the probability scale (counts only), a
    normal prior of the midpoint on the scale of delta, or `CONDITIONAL`.
    """
    d = np.atleast_1d(np.asarray(delta, dtype=float))
    (x1,), (n1,), (x2,), (n2,) = study[:4]
    if baseline == CONDITIONAL:
        return _log_conditional(study, d)
    if study.rates:
        constant = x1 * math.log(n1) + x2 * math.log(n2)
        constant -= math.lgamma(x1 + 1) + math.lgamma(x2 + 1)
    else:
        constant = _log_choose(n1, x1) + _log_choose(n2, x2)

    def log_likelihood(theta: Array, half: Array) -> Array:
        first, second = theta + half, theta - half
        if study.rates:
            with np.errstate(over="ignore"):
                expected = n1 * np.exp(first) + n2 * np.exp(second)
            return x1 * first + x2 * second - expected
        value: Array = (
            x1 * special.log_expit(first)
            + (n1 - x1) * special.log_expit(-first)
            + x2 * special.log_expit(second)
            + (n2 - x2) * special.log_expit(-second)
        )
        return value

    def f(theta: Array, rows: Integers) -> Array:
        value = log_likelihood(theta, 0.5 * d[rows, None])
        if baseline.family == "beta":
            a, b = baseline.parameters
            return value + a * special.log_expit(theta) + b * special.log_expit(-theta)
        mean, sd = baseline.parameters
        return value - 0.5 * ((theta - mean) / sd) ** 2

    if baseline.family == "beta":
        if study.rates:
            raise ValueError("rates have no probability to put a beta prior on")
        a, b = baseline.parameters
        constant -= float(special.betaln(a, b))
        # The mode is no further out than the two arms' logits, and the prior falls by
        # the smaller of a and b a unit beyond.
        reach = 0.5 * np.abs(d) + math.log(4.0 * max(n1, n2, 1.0))
        reach = reach + 5.0 + _NEGLIGIBLE / min(a, b)
        low, high = -reach, reach
    else:
        mean, sd = baseline.parameters
        constant -= math.log(sd) + _LOG_ROOT_2PI
        # The mode lies between the prior's and the likelihood's, or near the former.
        reach = 0.5 * np.abs(d) + math.log(4.0 * max(n1, n2, 1.0)) + 5.0 + 10.0 * sd
        low, high = min(mean, 0.0) - reach, max(mean, 0.0) + reach
    # Tails of a beta prior make long stretches, and large counts bend sharply in them.
    panels = 24
    if baseline.family == "beta":
        panels = math.ceil(12.0 / min(*baseline.parameters, 0.5))
    return constant + _integral(f, low, high, panels, nodes=16)[0]


def _log_conditional(study: Studies, d: Array) -> Array:
    """Log probability of x1 given x1 + x2."""
    (x1,), (n1,), (x2,), (n2,) = study[:4]
    total = x1 + x2
    if study.rates:
        logit = math.log(n1) - math.log(n2) + d
        value: Array = x1 * special.log_expit(logit) + x2 * special.log_expit(-logit)
        return value + _log_choose(total, x1)
    k = np.arange(max(0, total - int(n2)), min(total, int(n1)) + 1)
    ways = np.array(
        [_log_choose(n1, int(j)) + _log_choose(n2, total - int(j)) for j in k]
    )
    here = int(np.flatnonzero(k == x1)[0])
    result = np.empty(d.size)
    step = max(1, _TOGETHER // k.size)
    for start in range(0, d.size, step):
        some = slice(start, start + step)
        # Relative to the observed count, so that large multiples of d do not cancel.
        term = (ways - ways[here]) + (k - x1) * d[some, None]
        result[some] = -special.logsumexp(term, axis=1)
    return result


_DEGREE = 7
_EDGES = np.unique(
    np.concatenate(
        [
            np.arange(0.0, 24.0, 0.25),
            np.arange(24.0, 60.0, 0.5),
            np.arange(60.0, 120.0, 4.0),
            np.arange(120.0, 301.0, 30.0),
        ]
    )
)
_EDGES = np.unique(np.concatenate([-_EDGES, _EDGES]))


def _piecewise(edges: Array, f: Callable[[Array], Array]) -> PPoly:
    """Polynomial interpolants of ``f`` between ``edges``, straight lines outside."""
    nodes = np.polynomial.chebyshev.chebpts1(_DEGREE + 1)
    half = 0.5 * np.diff(edges)
    x = edges[:-1] + half * (1.0 + nodes[:, None])
    value = f(x.ravel()).reshape(x.shape)
    powers = (0.5 * (1.0 + nodes))[:, None] ** np.arange(_DEGREE, -1, -1)
    # Less a panel's first value, so that the powers do not cost it digits.
    c = np.linalg.solve(powers, value - value[0])
    c[-1] += value[0]
    c /= (2.0 * half) ** np.arange(_DEGREE, -1, -1)[:, None]
    inside = PPoly(c, edges)
    ends = edges[[0, -1]]
    line = np.zeros((_DEGREE + 1, 2))
    line[-2] = inside(ends, nu=1)
    line[-1] = inside(ends) - line[-2] * np.array([1.0, 0.0])
    c = np.hstack([line[:, :1], c, line[:, 1:]])
    return PPoly(c, np.concatenate([[ends[0] - 1.0], edges, [ends[1] + 1.0]]))


@lru_cache(maxsize=512)
def table(study: Studies, baseline: Prior) -> PPoly:
    """`log_h` of a single study as a function of delta."""
    return _piecewise(_EDGES, lambda d: log_h(study, d, baseline))


# ------------------------------------------------- one study given mean and spread


_OFFSETS = np.array([3.0, 6.0, 9.0, 12.0, 16.0, 20.0, 25.0, 32.0, 42.0, 60.0])
_OFFSETS = np.concatenate([-_OFFSETS[::-1], [0.0], _OFFSETS])
_WIDE = 10.0


def log_smoothed(
    log_h_of: PPoly, m: npt.ArrayLike, s: npt.ArrayLike, fineness: float = 1.0
) -> Array:
    """Log of the mean of ``exp(log_h_of)`` over N(m, s^2), element by element.

    ``s`` of 0 is the value at ``m``. Where the stretch of delta that matters is wide,
    further panels resolve the bend of the function.
    """
    return _smoothed(log_h_of, m, s, fineness)[0]


def true_effect(
    log_h_of: PPoly, m: npt.ArrayLike, s: npt.ArrayLike, fineness: float = 1.0
) -> Array:
    """Mean of delta under ``exp(log_h_of)`` times N(m, s^2), element by element."""
    return _smoothed(log_h_of, m, s, fineness)[1]


def _smoothed(
    log_h_of: PPoly, m: npt.ArrayLike, s: npt.ArrayLike, fineness: float
) -> tuple[Array, Array]:
    m, s = np.broadcast_arrays(np.asarray(m, dtype=float), np.asarray(s, dtype=float))
    shape, m, s = m.shape, m.ravel(), s.ravel()
    slope = s * log_h_of(m, nu=1)
    # The slope of a concave function falls, so the mode of it less z^2 / 2 lies
    # between 0 and the slope at 0.
    low, high = np.minimum(slope, 0.0) - 9.0, np.maximum(slope, 0.0) + 9.0
    result, mean = np.empty(m.size), np.zeros(m.size)
    nodes = round(14 * fineness)

    def integrate(rows: Integers, spread: bool) -> None:
        centre, scale = m[rows], s[rows]

        def f(z: Array, some: Integers) -> Array:
            value: Array = log_h_of(centre[some, None] + scale[some, None] * z)
            value -= 0.5 * z**2
            return value

        def cuts(some: Integers) -> Array:
            value: Array = (_OFFSETS - centre[some, None]) / scale[some, None]
            return value

        result[rows], mean[rows] = _integral(
            f, low[rows], high[rows], 6, nodes, cuts if spread else None
        )

    zero = s == 0.0
    result[zero] = log_h_of(m[zero]) + _LOG_ROOT_2PI
    wide = ~zero & (s * (high - low) > _WIDE)
    narrow = ~zero & ~wide
    if narrow.any():
        integrate(np.flatnonzero(narrow), False)
    if wide.any():
        rows = np.flatnonzero(wide)
        # Many are wide only before they are narrowed.
        a, b = _stretch(
            lambda z, some: (
                log_h_of(m[rows[some], None] + s[rows[some], None] * z) - 0.5 * z**2
            ),
            low[rows],
            high[rows],
        )
        low[rows], high[rows] = a, b
        still = s[rows] * (b - a) > _WIDE
        if not still.all():
            integrate(rows[~still], False)
        if still.any():
            integrate(rows[still], True)
    return (result - _LOG_ROOT_2PI).reshape(shape), (m + s * mean).reshape(shape)


# ---------------------------------------------------------------------- all studies


@dataclass(frozen=True)
class Answer:
    """Log marginal likelihood, and nodes with their posterior probabilities.

    ``values`` holds the nodes of mu, tau, beta, d and rho, those that the model has.
    """

    logml: float
    probability: Array
    values: dict[str, Array]

    def mean(self, name: str) -> float:
        """Posterior mean; 0 of a parameter that the model has not."""
        if name not in self.values:
            return 0.0
        return float(self.probability @ self.values[name])

    def sd(self, name: str) -> float:
        """Posterior standard deviation."""
        if name not in self.values:
            return 0.0
        away = self.values[name] - self.mean(name)
        return math.sqrt(float(self.probability @ away**2))


@dataclass(frozen=True)
class _Axis:
    """Value ``centre + width sinh(t)``, or ``exp(t)`` with ``width`` 0."""

    centre: float
    width: float

    def value(self, t: Array) -> Array:
        if self.width == 0.0:
            return np.exp(t)
        return self.centre + self.width * np.sinh(t)

    def log_slope(self, t: Array) -> Array:
        if self.width == 0.0:
            return t
        result: Array = np.logaddexp(t, -t) + math.log(0.5 * self.width)
        return result


def log_marginal(
    data: Studies,
    baseline: Prior,
    *,
    mu: Prior | None = None,
    tau: Prior | None = None,
    beta: Prior | None = None,
    x: npt.ArrayLike | None = None,
    d: Prior | None = None,
    w: npt.ArrayLike | None = None,
    cluster: Sequence[int] | None = None,
    rho: Prior | None = None,
    fineness: float = 1.0,
) -> Answer:
    """Log marginal likelihood and posterior of one model.

    A prior of None leaves its parameter out (mu, beta, d, rho and tau at 0). ``x`` is
    the covariate of beta, ``w`` that of log tau; ``cluster`` labels the studies, and
    goes with ``rho``. Clusters and moderators of log tau do not go together here.
    ``fineness`` divides the spacing of the nodes and multiplies their number within
    studies.
    """
    K = len(data.x1)
    tables = [table(data.one(i), baseline) for i in range(K)]
    xs = np.zeros(K) if x is None else np.asarray(x, dtype=float)
    ws = np.zeros(K) if w is None else np.asarray(w, dtype=float)
    if (d is not None or rho is not None) and tau is None:
        raise ValueError("d and rho need tau")
    if d is not None and rho is not None:
        raise ValueError("clusters and moderators of log tau do not go together")
    locations = {"mu": mu, "beta": beta, "d": d}
    priors = {name: prior for name, prior in locations.items() if prior is not None}
    names = [*priors, *(() if tau is None else ("tau",))]
    prior_of: dict[str, Prior] = priors if tau is None else {**priors, "tau": tau}

    def log_likelihood(value: Mapping[str, Array], n: int) -> Array:
        zero = np.zeros(n)
        total = zero.copy()
        for i in range(K):
            m = value.get("mu", zero) + xs[i] * value.get("beta", zero)
            s = value.get("tau", zero) * np.exp(ws[i] * value.get("d", zero))
            total += log_smoothed(tables[i], m, s, fineness)
        return total

    def log_density(points: Array, axes: Mapping[str, _Axis]) -> Array:
        """Log of likelihood, priors and slopes of the axes at ``points``, (n, D)."""
        value, total = {}, np.zeros(len(points))
        for j, name in enumerate(names):
            axis, t = axes[name], points[:, j]
            value[name] = axis.value(t)
            total += q.log_prior(prior_of[name], value[name]) + axis.log_slope(t)
        # Far out in the prior of tau there is nothing to look for.
        inside = np.isfinite(total)
        some = {name: v[inside] for name, v in value.items()}
        total[inside] += log_likelihood(some, int(inside.sum()))
        return total

    if not names:
        return Answer(float(log_likelihood({}, 1)[0]), np.ones(1), {})
    # sinh(t) is t near the start, whatever the units.
    axes = {name: _Axis(0.0, 1.0) for name in priors} | {"tau": _Axis(0.0, 0.0)}
    start = np.array([math.log(0.5) if name == "tau" else 0.0 for name in names])
    mode, spread = _mode(lambda points: log_density(points, axes), start)
    step = np.empty(len(names))
    for j, name in enumerate(names):
        if name == "tau":
            step[j] = min(0.3, 0.55 * spread[j])
            continue
        at = axes[name].value(mode[j : j + 1])
        width = 3.0 * spread[j] * math.cosh(mode[j])
        axes[name] = _Axis(float(at[0]), width)
        mode[j] = 0.0
        # Where d makes some studies alike, mu and beta are narrower than overall.
        most = 0.15 if d is None or name == "d" else 0.1
        step[j] = min(most, 0.2 * _smooth(prior_of[name]) / width)
    if rho is not None:
        if tau is None or cluster is None:
            raise ValueError("rho needs tau and clusters")
        return _clustered(
            tables, np.asarray(cluster), prior_of, rho, xs, axes, mode, step, fineness
        )
    points, log = _spread_out(
        lambda points: log_density(points, axes), mode, step / fineness
    )
    log = log + np.log(step / fineness).sum()
    logml = float(special.logsumexp(log))
    values = {name: axes[name].value(points[:, j]) for j, name in enumerate(names)}
    return Answer(logml, np.exp(log - logml), values)


def true_effects(
    data: Studies,
    baseline: Prior,
    answer: Answer,
    *,
    x: npt.ArrayLike | None = None,
    w: npt.ArrayLike | None = None,
    fineness: float = 1.0,
) -> Array:
    """Posterior mean of each study's delta in the model of ``answer``.

    ``data``, ``baseline``, ``x`` and ``w`` as `log_marginal` had them for ``answer``.
    Not for clusters, whose studies inform each other given mu and tau.
    """
    if "rho" in answer.values:
        raise ValueError("true effects of clustered studies are not here")
    K, zero = len(data.x1), np.zeros(answer.probability.size)
    xs = np.zeros(K) if x is None else np.asarray(x, dtype=float)
    ws = np.zeros(K) if w is None else np.asarray(w, dtype=float)
    value, means = answer.values, np.empty(K)
    for i in range(K):
        m = value.get("mu", zero) + xs[i] * value.get("beta", zero)
        s = value.get("tau", zero) * np.exp(ws[i] * value.get("d", zero))
        given = true_effect(table(data.one(i), baseline), m, s, fineness)
        means[i] = answer.probability @ given
    return means


def _smooth(prior: Prior) -> float:
    """Distance from the real line within which prior and likelihood are analytic."""
    if prior.family == "student_t":
        return min(math.pi, prior.parameters[1] * math.sqrt(prior.parameters[2]))
    return math.pi


def _mode(f: Callable[[Array], Array], start: Array) -> tuple[Array, Array]:
    """Mode by pattern search, and half-widths half a nat below it along each axis."""
    D = start.size
    pattern = np.array(np.meshgrid(*[[-1.0, 0.0, 1.0]] * D)).reshape(D, -1).T
    at, step = start, 1.0
    while step > 0.01:
        value = f(at + step * pattern)
        best = at + step * pattern[int(value.argmax())]
        if np.array_equal(best, at):
            step *= 0.5
        at = best
    top = float(f(at[None, :])[0])
    width = np.full(D, 1.0 / 64.0)
    for j in range(D):
        while True:
            ends = np.tile(at, (2, 1))
            ends[:, j] += (-width[j], width[j])
            drop = top - float(f(ends).mean())
            if drop > 0.5 or width[j] > 4.0:
                break
            width[j] *= 2.0
        if math.isfinite(drop) and drop > 0.5:
            width[j] *= math.sqrt(0.5 / drop)
    return at, width


def _spread_out(
    f: Callable[[Array], Array], start: Array, step: Array
) -> tuple[Array, Array]:
    """Nodes ``start + k step``, k integers, that are not negligible, and ``f`` there.

    Three dimensions get a lower bar: 30 nats, 1e-13.
    """
    D = start.size
    reach = np.array(np.meshgrid(*[np.arange(-2, 3)] * D)).reshape(D, -1).T
    depth = 30.0 if D > 2 else _NEGLIGIBLE
    if D > 2:
        reach = reach[np.abs(reach).sum(axis=1) <= 2]
    base = 8192
    powers = base ** np.arange(D)
    zero = int((base // 2 * powers).sum())
    seen: Integers = np.array([zero])
    new = seen
    points, values = [], []
    top = -math.inf
    while new.size:
        k = new[:, None] // powers % base - base // 2
        at = start + k * step
        value = f(at)
        top = max(top, float(value.max()))
        points.append(at)
        values.append(value)
        near = new[value > top - depth]
        new = np.unique((near[:, None] + reach @ powers).ravel())
        new = np.setdiff1d(new, seen, assume_unique=True)
        seen = np.union1d(seen, new)
    return np.vstack(points), np.concatenate(values)


# --------------------------------------------------------------------------- clusters


def _clustered(
    tables: Sequence[PPoly],
    labels: npt.NDArray[np.generic],
    priors: Mapping[str, Prior],
    rho: Prior,
    xs: Array,
    axes: Mapping[str, _Axis],
    mode: Array,
    step: Array,
    fineness: float,
) -> Answer:
    """`log_marginal` with the effects of clusters.

    In place of tau and rho: the log standard deviations s of estimates and b of
    clusters, ``s^2 = (1 - rho) tau^2`` and ``b^2 = rho tau^2``. A study's smoothed
    likelihood then depends on one of the two, and is a table for each value on the
    nodes of log s.
    """
    names = [name for name in priors if name != "tau"]
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    start = np.append(mode[:-1], [mode[-1] - 0.5 * math.log(2.0)] * 2)
    steps = np.append(step[:-1], [min(0.3, 1.3 * step[-1])] * 2) / fineness
    smoothed: dict[int, list[PPoly]] = {}

    def smoother(one: PPoly, s: float) -> Callable[[Array], Array]:
        return lambda m: log_smoothed(one, m, s, fineness)

    def tables_at(k: int) -> list[PPoly]:
        if k not in smoothed:
            s = math.exp(start[-2] + k * steps[-2])
            # Twenty units of s are more than the clusters' effects reach.
            edges = np.linspace(-1.0, 1.0, 161) * (20.0 + 10.0 * s)
            smoothed[k] = [_piecewise(edges, smoother(one, s)) for one in tables]
        return smoothed[k]

    def log_density(points: Array) -> Array:
        s, b = points[:, -2], points[:, -1]
        log_tau = 0.5 * np.logaddexp(2.0 * s, 2.0 * b)
        log_rho, log_rest = 2.0 * (b - log_tau), 2.0 * (s - log_tau)
        total = q.log_prior(priors["tau"], np.exp(log_tau)) + log_tau
        # 2 d(log s) d(log b) = d(log tau) d(logit rho); rho from its logs, which keep
        # the digits of both ends.
        alpha, beta = rho.parameters
        total += alpha * log_rho + beta * log_rest - special.betaln(alpha, beta)
        total += math.log(2.0)
        for j, name in enumerate(names):
            axis, t = axes[name], points[:, j]
            total += q.log_prior(priors[name], axis.value(t)) + axis.log_slope(t)
        inside = np.flatnonzero(np.isfinite(total))
        which = np.rint((s[inside] - start[-2]) / steps[-2]).astype(int)
        for k in np.unique(which):
            rows = inside[which == k]
            value = {
                name: axes[name].value(points[rows, j]) for j, name in enumerate(names)
            }
            zero = np.zeros(rows.size)
            mean, slope = value.get("mu", zero), value.get("beta", zero)
            m = mean[:, None] + slope[:, None] * xs
            for group in groups:
                chosen = [tables_at(int(k))[i] for i in group]
                total[rows] += _log_cluster(
                    chosen, m[:, group], np.exp(b[rows]), fineness
                )
        return total

    points, log = _spread_out(log_density, start, steps)
    log = log + np.log(steps).sum()
    logml = float(special.logsumexp(log))
    values = {name: axes[name].value(points[:, j]) for j, name in enumerate(names)}
    values["tau"] = np.exp(0.5 * np.logaddexp(2.0 * points[:, -2], 2.0 * points[:, -1]))
    values["rho"] = special.expit(2.0 * (points[:, -1] - points[:, -2]))
    return Answer(logml, np.exp(log - logml), values)


def _log_cluster(
    smoothed: Sequence[PPoly], m: Array, b: Array, fineness: float
) -> Array:
    """Log likelihood of a cluster, its effect integrated; ``m`` of shape (n, size)."""

    def f(z: Array, rows: Integers) -> Array:
        value = -0.5 * z**2
        for j, one in enumerate(smoothed):
            value += one(m[rows, j, None] + b[rows, None] * z)
        return value

    slope = sum(b * one(m[:, j], nu=1) for j, one in enumerate(smoothed))
    low, high = np.minimum(slope, 0.0) - 9.0, np.maximum(slope, 0.0) + 9.0
    result, _ = _integral(f, low, high, 6, round(10 * fineness))
    return result - _LOG_ROOT_2PI


# -------------------------------------------------------------------------- ensembles


@dataclass(frozen=True)
class Ensemble:
    """Models with equal prior probabilities, by which parameters each has."""

    models: dict[tuple[str, ...], Answer]

    def probability(self) -> dict[tuple[str, ...], float]:
        logml = np.array([model.logml for model in self.models.values()])
        return dict(zip(self.models, special.softmax(logml).tolist(), strict=True))

    def inclusion_bf(self, name: str) -> float:
        """Posterior odds of having a parameter over the prior odds."""
        has = np.array([name in key for key in self.models])
        logml = np.array([model.logml for model in self.models.values()])
        odds = special.logsumexp(logml[has]) - special.logsumexp(logml[~has])
        return math.exp(odds) * int((~has).sum()) / int(has.sum())

    def mean(self, name: str) -> float:
        """Mean over all models, 0 in those without the parameter."""
        return sum(
            p * self.models[key].mean(name) for key, p in self.probability().items()
        )


def ensemble(
    data: Studies,
    baseline: Prior,
    *,
    mu: Prior,
    tau: Prior,
    beta: Prior | None = None,
    x: npt.ArrayLike | None = None,
    fineness: float = 1.0,
) -> Ensemble:
    """All models with and without mu, tau and, if it has a prior, beta.

    Keys are the names of the parameters that a model has, in the order mu, tau, beta.
    """
    models = {}
    for has_mu in (False, True):
        for has_tau in (False, True):
            for has_beta in (False, True) if beta is not None else (False,):
                flags = {"mu": has_mu, "tau": has_tau, "beta": has_beta}
                key = tuple(name for name, has in flags.items() if has)
                models[key] = log_marginal(
                    data,
                    baseline,
                    mu=mu if has_mu else None,
                    tau=tau if has_tau else None,
                    beta=beta if has_beta else None,
                    x=x,
                    fineness=fineness,
                )
    return Ensemble(models)
