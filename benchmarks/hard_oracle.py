"""Exact marginal likelihoods and means of small meta-analyses, from the mathematics.

Nothing of pyrobma is used. Without selection the coefficients (mu, PET, PEESE) are
integrated out by formula: a normal prior is conjugate, a Cauchy or t prior is a normal
one with a random precision. What is left, and everything under selection, is
integrated by adaptive cubature on log and logit scales, in logs. Run this file to see
known answers beside its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats
from scipy.integrate import dblquad
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, log_ndtr, logsumexp, ndtr
from scipy.stats import qmc

LOG_2PI = math.log(2 * math.pi)
ABSENT = -1e300
"""Log density of what cannot be; finite, so that differences stay numbers."""


# ---- what a problem is made of ---------------------------------------------------
@dataclass(frozen=True)
class Law:
    """A prior: a family, its parameters by name and a truncation."""

    family: str
    values: dict[str, float]
    lower: float = -math.inf
    upper: float = math.inf

    @property
    def fixed(self) -> bool:
        """Whether it is a spike."""
        return self.family == "spike"

    @property
    def at(self) -> float:
        """Where the spike is."""
        return self.values["location"]

    def times(self, unit: float) -> Law:
        """Return the law of the variable times a unit."""
        scaled = {"location", "scale", "mean", "sd"}
        values = {
            name: value * unit if name in scaled else value
            for name, value in self.values.items()
        }
        if self.family == "gamma":
            values["rate"] /= unit
        if self.family == "lognormal":
            values["meanlog"] += math.log(unit)
        return Law(self.family, values, self.lower * unit, self.upper * unit)


@dataclass(frozen=True)
class Bias:
    """No bias, weights of p-values ("weights"), "PET" or "PEESE"."""

    kind: str = "none"
    law: Law | None = None
    sides: int = 1
    steps: tuple[float, ...] = ()
    alpha: tuple[float, ...] = ()


@dataclass(frozen=True)
class Model:
    """Priors of one model; rho is None without clusters."""

    mu: Law
    tau: Law
    rho: Law | None
    bias: Bias


@dataclass(frozen=True)
class Data:
    """Estimates with standard errors, sorted by cluster."""

    y: np.ndarray
    se: np.ndarray
    cluster: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """Where a new cluster begins."""
        return np.flatnonzero(np.r_[True, np.diff(self.cluster) != 0])


@dataclass(frozen=True)
class Exact:
    """Log marginal likelihood and posterior means with how far two rules differ."""

    logml: float
    logml_error: float
    means: dict[str, float]
    mean_errors: dict[str, float]
    evaluations: int = 0


# ---- densities -------------------------------------------------------------------
def log_normal(x: np.ndarray, mean: float, sd: float) -> np.ndarray:
    """Return the log density of a normal variable."""
    return -0.5 * ((x - mean) / sd) ** 2 - math.log(sd) - 0.5 * LOG_2PI


def log_between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return log P(low < Z < high) of a standard normal Z, from the better tail."""
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    upper, lower = log_ndtr(b), log_ndtr(a)
    return upper + np.log(-np.expm1(np.minimum(lower - upper, -1e-300)))


def log_law(law: Law, x: np.ndarray) -> np.ndarray:
    """Return the log density of a law on the real line, truncation included."""
    v = law.values
    if law.family == "normal":
        inside = log_between(
            np.array((law.lower - v["mean"]) / v["sd"]),
            np.array((law.upper - v["mean"]) / v["sd"]),
        )
        result = log_normal(x, v["mean"], v["sd"]) - inside
    elif law.family in ("cauchy", "student_t"):
        df = v.get("df", 1.0)
        z = (x - v["location"]) / v["scale"]
        result = (
            gammaln((df + 1) / 2)
            - gammaln(df / 2)
            - 0.5 * math.log(df * math.pi)
            - math.log(v["scale"])
            - (df + 1) / 2 * np.log1p(z * z / df)
            - math.log(t_mass(law))
        )
    elif law.family == "inv_gamma":
        a, b = v["shape"], v["scale"]
        result = a * math.log(b) - gammaln(a) - (a + 1) * np.log(x) - b / x
    elif law.family == "gamma":
        a, r = v["shape"], v["rate"]
        result = a * math.log(r) - gammaln(a) + (a - 1) * np.log(x) - r * x
    elif law.family == "lognormal":
        result = log_normal(np.log(x), v["meanlog"], v["sdlog"]) - np.log(x)
    else:
        raise ValueError(law.family)
    return np.where((x >= law.lower) & (x <= law.upper), result, ABSENT)


def t_mass(law: Law) -> float:
    """Return the probability of a t law inside its truncation."""
    v = law.values
    t = stats.t(v.get("df", 1.0), v["location"], v["scale"])
    return float(t.cdf(law.upper) - t.cdf(law.lower))


def log_expit(x: np.ndarray) -> np.ndarray:
    """Return log(1 / (1 + exp(-x)))."""
    return -np.logaddexp(0.0, -x)


def log_beta_logit(x: np.ndarray, a: float, b: float) -> np.ndarray:
    """Return the log density of the logit of a beta variable."""
    return a * log_expit(x) + b * log_expit(-x) - betaln(a, b)


# ---- adaptive cubature -----------------------------------------------------------
TOLERANCE = {1: 1e-5, 2: 2e-4, 3: 3e-4, 4: 1e-3}
"""Sum of the estimated relative errors, by dimension; true ones are far smaller."""

Integrand = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Points (n, d) to log densities (n,) and values (n, m) whose means are wanted."""


@dataclass(frozen=True)
class Rule:
    """Nodes in [-1, 1]^d with weights that sum to 1, of high and of lower degree."""

    nodes: np.ndarray
    high: np.ndarray
    low: np.ndarray


def genz_malik(d: int) -> Rule:
    """Return the rules of degree 7 and 5 of Genz and Malik (1980), d > 1."""
    eye = np.eye(d)
    l2, l4, l5 = math.sqrt(9 / 70), math.sqrt(9 / 10), math.sqrt(9 / 19)
    nodes = [np.zeros((1, d))]
    for size in (l2, l4):
        nodes.append(size * np.repeat(eye, 2, axis=0) * np.tile([[1], [-1]], (d, 1)))
    pairs = [
        l4 * (a * eye[i] + b * eye[j])
        for i, j in itertools.combinations(range(d), 2)
        for a in (1, -1)
        for b in (1, -1)
    ]
    nodes.append(np.array(pairs))
    nodes.append(l5 * np.array(list(itertools.product((1, -1), repeat=d))))
    counts = [len(part) for part in nodes]
    high = (
        (12824 - 9120 * d + 400 * d * d) / 19683,
        980 / 6561,
        (1820 - 400 * d) / 19683,
        200 / 19683,
        6859 / 19683 / 2**d,
    )
    low = (
        (729 - 950 * d + 50 * d * d) / 729,
        245 / 486,
        (265 - 100 * d) / 1458,
        25 / 729,
        0.0,
    )
    return Rule(np.concatenate(nodes), np.repeat(high, counts), np.repeat(low, counts))


def gauss(d: int, n: int) -> Rule:
    """Return the product of d Gauss-Legendre rules."""
    x, w = np.polynomial.legendre.leggauss(n)
    nodes = np.array(list(itertools.product(x, repeat=d)))
    weights = np.array([math.prod(p) for p in itertools.product(w / 2, repeat=d)])
    return Rule(nodes, weights, weights)


def two_gauss() -> Rule:
    """Return Gauss-Legendre rules of 10 and 7 nodes as a pair, d = 1."""
    x, w = np.polynomial.legendre.leggauss(10)
    x2, w2 = np.polynomial.legendre.leggauss(7)
    none, none2 = np.zeros_like(w), np.zeros_like(w2)
    return Rule(np.r_[x, x2][:, None], np.r_[w / 2, none2], np.r_[none, w2 / 2])


@dataclass
class Boxes:
    """Boxes with their integrals; row 0 of a sum is the mass, then the values."""

    centre: np.ndarray
    half: np.ndarray
    sums: np.ndarray
    errors: np.ndarray
    axis: np.ndarray

    def joined(self, other: Boxes) -> Boxes:
        """Return both."""
        return Boxes(
            *(np.concatenate([getattr(self, n), getattr(other, n)]) for n in vars(self))
        )

    def kept(self, rows: np.ndarray) -> Boxes:
        """Return some."""
        return Boxes(*(getattr(self, n)[rows] for n in vars(self)))


@dataclass
class Cubature:
    """Integrals of exp(log density) times (1, values), relative to a common peak."""

    f: Integrand
    rule: Rule
    chunk: int = 40_000
    peak: float = -np.inf
    evaluations: int = 0

    def apply(self, centre: np.ndarray, half: np.ndarray, rule: Rule) -> Boxes:
        """Return boxes with their integrals."""
        step = max(1, self.chunk // len(rule.nodes))
        parts = [
            self._apply(centre[i : i + step], half[i : i + step], rule)
            for i in range(0, len(centre), step)
        ]
        peaks = [p for _, p in parts]
        boxes = []
        for box, peak in parts:
            box.sums *= math.exp(peak - peaks[-1])
            box.errors *= math.exp(peak - peaks[-1])
            boxes.append(box)
        result = boxes[0]
        for box in boxes[1:]:
            result = result.joined(box)
        return result

    def _apply(
        self, centre: np.ndarray, half: np.ndarray, rule: Rule
    ) -> tuple[Boxes, float]:
        n, d = centre.shape
        points = centre[:, None] + half[:, None] * rule.nodes
        logs, values = self.f(points.reshape(-1, d))
        self.evaluations += len(logs)
        self.peak = max(self.peak, float(logs.max()))
        mass = np.exp(logs - self.peak).reshape(n, -1)
        full = mass[..., None] * np.concatenate(
            [np.ones((n, mass.shape[1], 1)), values.reshape(n, mass.shape[1], -1)], -1
        )
        volume = np.prod(2 * half, axis=1)[:, None]
        high = np.einsum("nqm,q->nm", full, rule.high) * volume
        low = np.einsum("nqm,q->nm", full, rule.low) * volume
        axis = self._axis(mass, half) if d > 1 else np.zeros(n, int)
        return Boxes(centre, half, high, np.abs(high - low), axis), self.peak

    def _axis(self, mass: np.ndarray, half: np.ndarray) -> np.ndarray:
        """Return along which axis fourth differences are largest."""
        d = half.shape[1]
        if mass.shape[1] < 1 + 4 * d:
            return np.argmax(half, axis=1)
        inner = mass[:, 1 : 1 + 2 * d].reshape(-1, d, 2).sum(-1) - 2 * mass[:, :1]
        outer = mass[:, 1 + 2 * d : 1 + 4 * d].reshape(-1, d, 2).sum(-1)
        outer = outer - 2 * mass[:, :1]
        fourth = np.abs(inner - outer / 7)
        flat = fourth.max(axis=1) <= 1e-12 * mass.max(axis=1)
        return np.where(flat, np.argmax(half, axis=1), np.argmax(fourth, axis=1))

    def refine(
        self, centre: np.ndarray, half: np.ndarray, tolerance: float, most: int
    ) -> Boxes:
        """Halve boxes until their estimated errors are small, or there are many."""
        boxes = self.apply(centre, half, self.rule)
        peak = self.peak
        while True:
            scale = np.abs(boxes.sums).sum(axis=0) + 1e-300
            error = (boxes.errors / scale).sum(axis=1)
            order = np.argsort(-error)
            left = error.sum() - np.cumsum(error[order])
            if error.sum() < tolerance or self.evaluations > most:
                return boxes
            # All boxes whose errors together are too much, but no crowd at once.
            number = int(np.searchsorted(-left, -tolerance / 2)) + 1
            # The worst first: the small errors may vanish with them.
            number = min(number, 1 + len(order) // 3, 3000)
            worst, rest = order[:number], order[number:]
            old = boxes.kept(worst)
            shift = np.zeros_like(old.half)
            rows = np.arange(number)
            shift[rows, old.axis] = old.half[rows, old.axis] / 2
            half = old.half.copy()
            half[rows, old.axis] /= 2
            new = self.apply(
                np.concatenate([old.centre - shift, old.centre + shift]),
                np.concatenate([half, half]),
                self.rule,
            )
            boxes = boxes.kept(rest)
            boxes.sums *= math.exp(peak - self.peak)
            boxes.errors *= math.exp(peak - self.peak)
            peak = self.peak
            boxes = boxes.joined(new)


# ---- where to start --------------------------------------------------------------
def modes(f: Integrand, low: np.ndarray, high: np.ndarray, seeds: np.ndarray,
          seed: int) -> np.ndarray:  # fmt: skip
    """Return the best points of a space-filling set and what a search makes of them."""
    d = len(low)
    cloud = low + (high - low) * qmc.Sobol(d, seed=seed).random(1024)
    points = np.concatenate([seeds, cloud])
    logs = f(points)[0]
    found: list[np.ndarray] = []

    def loss(x: np.ndarray) -> float:
        if np.any(x < low) or np.any(x > high):
            return 1e300
        return -float(f(x[None])[0][0])

    chosen = np.r_[
        np.argsort(-logs[: len(seeds)])[:2],
        len(seeds) + np.argsort(-logs[len(seeds) :])[:1],
    ]
    for start in points[chosen]:
        x = minimize(
            loss, start, method="Nelder-Mead",
            options={"maxfev": 80 * d, "xatol": 1e-3, "fatol": 1e-2},
        ).x  # fmt: skip
        found.append(np.clip(x, low, high))
    return np.array(found)


def widths(f: Integrand, mode: np.ndarray, low: np.ndarray, high: np.ndarray) -> (
    np.ndarray
):  # fmt: skip
    """Return how far along each axis the log density falls by about 1/2."""
    d = len(mode)
    steps = np.geomspace(1e-9, 1, 55)
    result = np.empty(d)
    top = f(mode[None])[0][0]
    for k in range(d):
        span = high[k] - low[k]
        points = np.repeat(mode[None], 2 * len(steps), axis=0)
        points[:, k] += span * np.r_[steps, -steps]
        points[:, k] = np.clip(points[:, k], low[k], high[k])
        fall = top - f(points)[0].reshape(2, -1).max(axis=0)
        hit = np.flatnonzero(fall > 0.5)
        result[k] = span * (steps[hit[0]] if hit.size else 1.0)
    return result


def partition(f: Integrand, low: np.ndarray, high: np.ndarray, found: np.ndarray,
              extra: list[list[float]], factors: tuple[float, ...]
              ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return centres and halves of boxes with edges around the modes."""
    d = len(low)
    tops = f(found)[0]
    # Modes that carry no mass need no edges; equal ones are merged below.
    found = found[tops > tops.max() - 30]
    edges: list[np.ndarray] = []
    each = [widths(f, mode, low, high) for mode in found]
    for k in range(d):
        cuts = [low[k], high[k]]
        resolution = min(w[k] for w in each)
        for mode, width in zip(found, each, strict=True):
            cuts += [mode[k] + s * c * width[k] for c in factors for s in (-1, 1)]
        # In many dimensions edges multiply; refinement then has to find the rest.
        cuts += extra[k][: {1: 99, 2: 99, 3: 2}.get(d, 0)]
        inside = sorted(c for c in cuts if low[k] <= c <= high[k])
        kept = [inside[0]]
        for c in inside[1:]:
            if c - kept[-1] > resolution:
                kept.append(c)
        kept[-1] = high[k]
        edges.append(np.array(kept if len(kept) > 1 else [low[k], high[k]]))
    middles = np.meshgrid(*((e[1:] + e[:-1]) / 2 for e in edges), indexing="ij")
    halves = np.meshgrid(*((e[1:] - e[:-1]) / 2 for e in edges), indexing="ij")
    return (
        np.stack([m.ravel() for m in middles], -1),
        np.stack([h.ravel() for h in halves], -1),
    )


def squeezed(f: Integrand, axes: list[Axis]) -> tuple[Integrand, list[Axis]]:
    """Return the integrand in coordinates without long empty stretches.

    x = origin + scale sinh(v / scale): boxes that reach to the end of the range are
    then small enough not to miss what is in their near corner.
    """
    origin = np.array([a.origin for a in axes])
    scale = np.array([a.scale for a in axes])

    def g(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logs, values = f(origin + scale * np.sinh(v / scale))
        logs = np.where(np.isnan(logs), ABSENT, logs)
        return logs + np.log(np.cosh(v / scale)).sum(axis=1), values

    def to(a: Axis, x: float) -> float:
        return a.scale * math.asinh((x - a.origin) / a.scale)

    moved = [
        Axis(
            a.name, to(a, a.low), to(a, a.high), [to(a, x) for x in a.seeds],
            [to(a, x) for x in a.edges],
        )
        for a in axes
    ]  # fmt: skip
    return g, moved


def integrate(f: Integrand, axes: list[Axis], names: tuple[str, ...],
              ease: float = 1.0, most: int = 600_000) -> Exact:  # fmt: skip
    """Integrate twice: other edges, other rule; the difference is the error."""
    f, axes = squeezed(f, axes)
    low = np.array([a.low for a in axes])
    high = np.array([a.high for a in axes])
    d = len(axes)
    seeds = np.array(list(itertools.product(*(a.seeds for a in axes))))
    seeds = np.clip(seeds, low, high)
    rule = two_gauss() if d == 1 else genz_malik(d)
    tolerance = ease * TOLERANCE[d]
    answers, evaluations = [], 0
    found = modes(f, low, high, seeds, 1)
    around = ((2.0, 7.0), (0.0, 4.0)) if d < 4 else ((2.5,), (0.0, 6.0))
    for number, factors in enumerate(around):
        sides = [[c + number * 0.37 for c in a.edges] for a in axes]
        centre, half = partition(f, low, high, found, sides, factors)
        work = Cubature(f, rule)
        # The second rule is not adaptive; let the boxes suit it.
        boxes = work.refine(centre, half, tolerance, most)
        if number:
            degree = {1: 12, 2: 6, 3: 5, 4: 4}.get(d, 3)
            matters = (boxes.sums[:, 0] > 1e-10 * boxes.sums[:, 0].max()) | (
                boxes.errors[:, 0] > 1e-10 * boxes.sums[:, 0].max()
            )
            boxes = boxes.kept(matters)
            boxes = work.apply(boxes.centre, boxes.half, gauss(d, degree))
        total = boxes.sums.sum(axis=0)
        answers.append((work.peak + math.log(total[0]), total[1:] / total[0]))
        evaluations += work.evaluations
    (first, means), (second, means2) = answers
    return Exact(
        second,
        abs(first - second),
        dict(zip(names, map(float, means2), strict=True)),
        dict(zip(names, map(float, np.abs(means - means2)), strict=True)),
        evaluations,
    )


# ---- coordinates -----------------------------------------------------------------
@dataclass
class Axis:
    """One coordinate: its range, where to look for modes, where boxes may end."""

    name: str
    low: float
    high: float
    seeds: list[float]
    edges: list[float] = field(default_factory=list)
    origin: float = 0.0
    scale: float = 4.0


def tau_axis(law: Law, data: Data) -> Axis:
    """Return log tau, from where the prior starts to where prior and data end."""
    v = law.values
    centre = {
        "inv_gamma": lambda: math.log(v["scale"]),
        "gamma": lambda: math.log(max(v["shape"], 1e-3) / v["rate"]),
        "lognormal": lambda: v["meanlog"],
        "normal": lambda: math.log(v["sd"]),
        "cauchy": lambda: math.log(v["scale"]),
        "student_t": lambda: math.log(v["scale"]),
    }[law.family]()
    spread = math.log(max(float(np.ptp(data.y)), float(data.se.min())))
    far = math.log(float(np.abs(data.y).max() + data.se.max()))
    width = v.get("sdlog", 1.0)
    points = sorted({centre, spread, far, math.log(float(data.se.min()))})
    low, high = points[0] - 45 * width, points[-1] + 45 * width
    if law.family == "gamma":
        low -= 40 / min(v["shape"], 1.0)
    if law.family == "inv_gamma":
        # exp(-scale / tau) ends everything below.
        low = min(points[0], centre - 7) - 1
    edges = [points[0] - 5, points[-1] + 5, points[0] - 20, points[-1] + 20, *points]
    return Axis("tau", low, high, [*points, points[0] - 4], edges, points[1], 3.0)


def rho_axis() -> Axis:
    """Return logit rho."""
    return Axis("rho", -45.0, 45.0, [-2.0, 0.5, 3.0], [-4, 4, -12, 12])


def precision_axis(name: str, law: Law, data: Data, reach: float) -> Axis:
    """Return the log of the random precision that makes a t law of a normal one."""
    df = law.values.get("df", 1.0)
    far = 2 * math.log(max(reach / law.values["scale"], 1.0))
    del data
    edges = [-far - 20, -far - 5, -far / 2, -5, 1]
    return Axis(
        f"precision of {name}",
        -far - 10 - 60 / df,
        math.log(1500 / df + 50),
        [0.0, -far, -far - 2, -far / 2],
        edges,
    )


# ---- the likelihood without selection --------------------------------------------
@dataclass
class Spread:
    """Inverse covariance of all points: diagonal and one number per cluster."""

    data: Data
    diagonal: np.ndarray
    common: np.ndarray

    @classmethod
    def of(cls, data: Data, tau: np.ndarray, rho: np.ndarray) -> Spread:
        """Build from n values of tau and rho."""
        diagonal = data.se**2 + (tau**2 * (1 - rho))[:, None]
        return cls(data, diagonal, tau**2 * rho)

    def _sums(self, x: np.ndarray) -> np.ndarray:
        return np.add.reduceat(x, self.data.starts, axis=1)

    def logdet(self) -> np.ndarray:
        """Return the log determinants."""
        shared = self._sums(1 / self.diagonal) * self.common[:, None]
        return np.log(self.diagonal).sum(1) + np.log1p(shared).sum(1)

    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return a' S^-1 b for rows or one vector each.

        Within clusters and between their weighted means, a sum without cancellation.
        """
        w = 1 / self.diagonal
        total = self._sums(w)
        mean_a, mean_b = self._sums(a * w) / total, self._sums(b * w) / total
        sizes = np.diff(np.r_[self.data.starts, w.shape[1]])
        inner_a = a - np.repeat(mean_a, sizes, axis=1)
        inner_b = b - np.repeat(mean_b, sizes, axis=1)
        between = mean_a * mean_b * total / (1 + total * self.common[:, None])
        return (inner_a * inner_b * w).sum(1) + between.sum(1)


def truncated_mean(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log P(low < Z < high) and the mean of Z given that."""
    mass = log_between(low, high)

    def density(z: np.ndarray) -> np.ndarray:
        return np.exp(
            np.where(np.isfinite(z), -0.5 * (z * z + LOG_2PI) - mass, -np.inf)
        )

    return mass, density(low) - density(high)


@dataclass
class Linear:
    """One free coefficient of the mean: its prior and its column."""

    name: str
    law: Law
    column: np.ndarray

    @property
    def centre(self) -> float:
        """Location of the prior."""
        v = self.law.values
        return v["mean"] if self.law.family == "normal" else v["location"]

    @property
    def scale(self) -> float:
        """Scale of the prior."""
        v = self.law.values
        return v["sd"] if self.law.family == "normal" else v["scale"]

    @property
    def truncated(self) -> bool:
        """Whether the prior ends somewhere."""
        return math.isfinite(self.law.lower) or math.isfinite(self.law.upper)

    def log_mass(self) -> float:
        """Return the log of the untruncated prior's mass inside the truncation."""
        if self.law.family != "normal":
            return math.log(t_mass(self.law))
        ends = (np.array(self.law.lower), np.array(self.law.upper))
        return float(log_between(*((e - self.centre) / self.scale for e in ends)))


def log_linear(
    spread: Spread,
    residual: np.ndarray,
    terms: list[Linear],
    precision: list[np.ndarray],
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return log likelihoods with the coefficients integrated out, and their means.

    `precision` multiplies that of each prior; priors must be normal given it, and at
    most one may be truncated.
    """
    n = len(spread.diagonal)
    logs = -0.5 * (
        spread.logdet() + spread.product(residual[None], residual[None])
        + residual.size * LOG_2PI
    )  # fmt: skip
    if not terms:
        return logs, []
    p = len(terms)
    # In units of the prior scales, so that the matrix is near 1 where data are silent.
    columns = [
        t.column[None] * (t.scale / np.sqrt(w))[:, None]
        for t, w in zip(terms, precision, strict=True)
    ]
    C = np.empty((n, p, p))
    g = np.empty((n, p))
    for i in range(p):
        g[:, i] = spread.product(columns[i], residual[None])
        for j in range(p):
            C[:, i, j] = spread.product(columns[i], columns[j]) + (i == j)
    if p == 1:
        determinant, V = C[:, 0, 0], 1 / C
    else:
        # By elimination; collinear columns leave at least the prior's 1.
        rest = C[:, 1, 1] - C[:, 0, 1] * (C[:, 0, 1] / C[:, 0, 0])
        determinant = C[:, 0, 0] * np.maximum(rest, 1.0)
        V = np.empty_like(C)
        V[:, 0, 0], V[:, 1, 1] = C[:, 1, 1], C[:, 0, 0]
        V[:, 0, 1] = V[:, 1, 0] = -C[:, 0, 1]
        V /= determinant[:, None, None]
    m = np.einsum("nij,nj->ni", V, g)
    logs = logs + 0.5 * (g * m).sum(1) - 0.5 * np.log(determinant)
    for i, term in enumerate(terms):
        if not term.truncated:
            continue
        unit = term.scale / np.sqrt(precision[i])
        sd = np.sqrt(V[:, i, i])
        ends = [
            (((e - term.centre) / unit) - m[:, i]) / sd
            for e in (term.law.lower, term.law.upper)
        ]
        mass, shift = truncated_mean(*ends)
        logs = logs + mass - term.log_mass()
        m = m + V[:, :, i] * (shift / sd)[:, None]
    means = [
        t.centre + m[:, i] * t.scale / np.sqrt(precision[i])
        for i, t in enumerate(terms)
    ]
    return logs, means


def plain(model: Model, data: Data) -> Exact:
    """Return the exact answer of a model without selection."""
    terms: list[Linear] = []
    residual = data.y.copy()
    named = [("mu", model.mu, np.ones_like(data.y))]
    if model.bias.kind in ("PET", "PEESE"):
        power = 1 if model.bias.kind == "PET" else 2
        named.append((model.bias.kind, model.bias.law, data.se**power))
    for name, law, column in named:
        if law.fixed:
            residual = residual - law.at * column
            continue
        term = Linear(name, law, column)
        residual = residual - term.centre * column
        terms.append(term)
    axes: list[Axis] = []
    if not model.tau.fixed:
        axes.append(tau_axis(model.tau, data))
    if model.rho is not None and not model.rho.fixed:
        axes.append(rho_axis())
    heavy = [t for t in terms if t.law.family != "normal"]
    for term in heavy:
        reach = float((np.abs(residual) / term.column).max())
        axes.append(precision_axis(term.name, term.law, data, reach))
    index = {a.name: k for k, a in enumerate(axes)}
    names = tuple([t.name for t in terms] + [n for n in ("tau", "rho") if n in index])

    def f(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = len(x)
        tau, rho, logs = outer(model, index, x)
        precision = []
        for term in terms:
            if term not in heavy:
                precision.append(np.ones(n))
                continue
            log_w = x[:, index[f"precision of {term.name}"]]
            half = term.law.values.get("df", 1.0) / 2
            logs = logs + half * math.log(half) - gammaln(half)
            logs = logs + half * log_w - half * np.exp(log_w)
            precision.append(np.exp(log_w))
        more, means = log_linear(Spread.of(data, tau, rho), residual, terms, precision)
        values = means + [{"tau": tau, "rho": rho}[k] for k in names[len(terms) :]]
        return logs + more, np.stack(values, -1) if values else np.empty((n, 0))

    if not axes:
        logs, values = f(np.zeros((1, 0)))
        means = dict(zip(names, map(float, values[0]), strict=True))
        return Exact(float(logs[0]), 0.0, means, dict.fromkeys(means, 0.0))
    return integrate(f, axes, names)


def outer(
    model: Model, index: dict[str, int], x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return tau, rho and the log prior of their coordinates."""
    n = len(x)
    logs = np.zeros(n)
    if "tau" in index:
        t = x[:, index["tau"]]
        tau = np.exp(t)
        logs = logs + np.maximum(log_law(model.tau, tau), ABSENT) + t
    else:
        tau = np.full(n, model.tau.at)
    if "rho" in index:
        r = x[:, index["rho"]]
        rho = np.exp(log_expit(r))
        v = model.rho.values
        logs = logs + log_beta_logit(r, v["a"], v["b"])
    else:
        rho = np.full(n, 0.0 if model.rho is None else model.rho.at)
    return tau, rho, logs


# ---- selection -------------------------------------------------------------------
def critical(bias: Bias) -> np.ndarray:
    """Return the critical values of the steps, the largest first."""
    p = np.array(bias.steps) / bias.sides
    return stats.norm.isf(p)


def interval(bias: Bias, data: Data) -> np.ndarray:
    """Return in which interval of p-values each estimate lies, 0 the smallest."""
    z = data.y / data.se
    if bias.sides == 2:
        z = np.abs(z)
    return (z[:, None] < critical(bias)).sum(axis=1)


def log_tails(
    bias: Bias, data: Data, mean: np.ndarray, sd: np.ndarray
) -> list[np.ndarray]:
    """Return log P(p < step) of Y ~ N(mean, sd) for each step, shape (n, K)."""
    tails = []
    for c in critical(bias):
        tail = log_ndtr((mean - c * data.se) / sd)
        if bias.sides == 2:
            tail = np.logaddexp(tail, log_ndtr((-mean - c * data.se) / sd))
        tails.append(tail)
    return tails


def log_expected(tails: list[np.ndarray], log_pi: np.ndarray) -> np.ndarray:
    """Return log E[w(Y)], shape (n, K).

    w falls with p, so that E[w] = sum_j pi_j P(p < step_j) with the differences pi_j of
    the weights, whose last "step" is 1: a sum of positive terms.
    """
    total = log_pi[:, -1:]
    for j, tail in enumerate(tails):
        total = np.logaddexp(total, log_pi[:, j : j + 1] + tail)
    return total


def log_expected_cluster(bias: Bias, data: Data, mu: np.ndarray, tau: np.ndarray,
                         rho: np.ndarray, log_pi: np.ndarray
                         ) -> np.ndarray:  # fmt: skip
    """Return the sum over clusters of log E[prod w], by a fine trapezoid."""
    sd = np.sqrt(data.se**2 + (tau**2 * (1 - rho))[:, None])
    loading = tau * np.sqrt(rho)
    # The steepest feature as a function of the common factor sets the step.
    narrow = sd.min(axis=1) / np.maximum(loading, 1e-300)
    pi = np.exp(log_pi)
    result = np.empty(len(mu))
    step = np.minimum(0.5, 0.8 * narrow)
    classes = 2.0 ** np.floor(np.log2(np.maximum(step, 0.04)))
    for h in np.unique(classes):
        rows = classes == h
        nodes = np.arange(-10, 10 + h / 2, h)
        block = max(1, 100_000 // (int(rows.sum()) * data.y.size))
        logs = []
        for start in range(0, len(nodes), block):
            g = nodes[start : start + block, None, None]
            mean = mu[rows, None] + loading[rows, None] * g
            # Not in logs, for speed: weights of 1e-300 have no posterior here.
            each = pi[rows, -1:]
            for j, c in enumerate(critical(bias)):
                tail = ndtr((mean - c * data.se) / sd[rows])
                if bias.sides == 2:
                    tail = tail + ndtr((-mean - c * data.se) / sd[rows])
                each = each + pi[rows, j : j + 1] * tail
            each = np.log(np.maximum(each, 1e-300))
            logs.append(
                np.add.reduceat(each, data.starts, axis=2)
                - 0.5 * g * g
                - 0.5 * LOG_2PI
                + math.log(h)
            )
        result[rows] = logsumexp(np.concatenate(logs), axis=0).sum(axis=1)
    return result


def mu_axis(law: Law, data: Data) -> tuple[Axis, Callable, Callable]:
    """Return a coordinate of mu, the way back and the log of its derivative."""
    v = law.values
    middle = float(np.average(data.y, weights=data.se**-2.0))
    if law.family == "normal":
        low = min(v["mean"], float(data.y.min())) - 40 * v["sd"]
        high = max(v["mean"], float(data.y.max())) + 40 * v["sd"]
        low, high = max(low, law.lower), min(high, law.upper)
        seeds = [v["mean"], middle, (v["mean"] + middle) / 2]
        sides = [v["mean"] + k * v["sd"] for k in (-2, 2, -8, 8)]
        axis = Axis("mu", low, high, seeds, sides, v["mean"], 2 * v["sd"])
        return axis, lambda u: u, np.zeros_like
    to = lambda m: math.asinh((m - v["location"]) / v["scale"])  # noqa: E731
    reach = math.asinh(float(np.abs(data.y - v["location"]).max()) / v["scale"]) + 30
    low = to(law.lower) if math.isfinite(law.lower) else -reach
    high = to(law.upper) if math.isfinite(law.upper) else reach
    seeds = [0.0, to(middle), to(middle) / 2]
    back = lambda u: v["location"] + v["scale"] * np.sinh(u)  # noqa: E731
    slope = lambda u: math.log(v["scale"]) + np.log(np.cosh(u))  # noqa: E731
    return Axis("mu", low, high, seeds, [-3, 3]), back, slope


def weight_axes(bias: Bias, moved: list[bool]) -> list[Axis]:
    """Return logits of the ratios of neighbouring weights, some to be moved."""
    axes = []
    for j in range(len(bias.steps)):
        rest = sum(bias.alpha[j + 1 :])
        right = 3 + 40 / bias.alpha[j] + (2500 if moved[j] else 0)
        left = -60 / rest - (500 if moved[j] else 2500)
        edges = [-6.0, 6.0, -30.0, -100.0, -300.0, -1000.0]
        if moved[j]:
            edges = [-3.0, 20.0, -30.0, 60.0, 200.0, 600.0]
        seeds = [-2.0, 1.0, 30.0 if moved[j] else -30.0]
        axes.append(Axis(f"ratio {j}", left, right, seeds, edges))
    return axes


def shifts(tails: list[np.ndarray]) -> np.ndarray:
    """Return about where weights start to matter, on the scale of the logits.

    A weight does nothing as long as it is far below the probability of significance,
    which changes by orders of magnitude with mu: in the logits less this shift the
    posterior is no narrow oblique ridge.
    """
    means = np.stack([t.mean(axis=1) for t in tails] + [np.zeros(len(tails[0]))], -1)
    return np.maximum(means[:, :-1] - means[:, 1:], -2400)


def log_weights(
    bias: Bias, logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log weights and differences (n, J), and log priors of the logits."""
    n, steps = logits.shape
    log_omega, log_pi, prior = [np.zeros(n)], [], np.zeros(n)
    for j in range(steps):
        rest = sum(bias.alpha[j + 1 :])
        log_pi.append(log_omega[-1] + log_expit(-logits[:, j]))
        log_omega.append(log_omega[-1] + log_expit(logits[:, j]))
        prior = prior + log_beta_logit(logits[:, j], rest, bias.alpha[j])
    log_pi.append(log_omega[-1])
    return np.stack(log_omega, -1), np.stack(log_pi, -1), prior


def selected(model: Model, data: Data) -> Exact:
    """Return the exact answer of a selection model."""
    ratios = len(model.bias.steps)
    counts = np.bincount(interval(model.bias, data), minlength=ratios + 1)
    # Small weights win where more results are significant than the prior outweighs.
    moved = [
        bool(counts[: j + 1].sum() > sum(model.bias.alpha[j + 1 :]))
        for j in range(ratios)
    ]
    axes = weight_axes(model.bias, moved)
    back = slope = None
    if not model.mu.fixed:
        axis, back, slope = mu_axis(model.mu, data)
        axes.append(axis)
    if not model.tau.fixed:
        axes.append(tau_axis(model.tau, data))
    if model.rho is not None and not model.rho.fixed:
        axes.append(rho_axis())
    index = {a.name: k for k, a in enumerate(axes)}
    names = tuple(n for n in ("mu", "tau", "rho") if n in index)
    best = [-np.inf]

    def f(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = len(x)
        tau, rho, logs = outer(model, index, x)
        if back is None:
            mu = np.full(n, model.mu.at)
        else:
            u = x[:, index["mu"]]
            mu = back(u)
            logs = logs + np.maximum(log_law(model.mu, mu), ABSENT) + slope(u)
        spread = Spread.of(data, tau, rho)
        residual = data.y - mu[:, None]
        logs = logs - 0.5 * (
            spread.logdet() + spread.product(residual, residual)
            + data.y.size * LOG_2PI
        )  # fmt: skip
        sd = np.sqrt(data.se**2 + (tau**2)[:, None])
        tails = log_tails(model.bias, data, mu[:, None], sd)
        logits = x[:, :ratios]
        if any(moved):
            logits = logits + moved * shifts(tails)
        log_omega, log_pi, prior = log_weights(model.bias, logits)
        logs = logs + prior + log_omega @ counts
        if model.rho is None:
            logs = logs - log_expected(tails, log_pi).sum(axis=1)
        else:
            # At most this; where it is nothing beside the best, leave it at that.
            logs = logs - data.y.size * log_omega[:, -1]
            rows = np.flatnonzero(logs > best[0] - 40)
            if rows.size:
                logs[rows] += data.y.size * log_omega[rows, -1] - log_expected_cluster(
                    model.bias, data, mu[rows], tau[rows], rho[rows], log_pi[rows]
                )
                best[0] = max(best[0], float(logs[rows].max()))
        values = [{"mu": mu, "tau": tau, "rho": rho}[k] for k in names]
        result = np.maximum(np.nan_to_num(logs, nan=ABSENT), ABSENT)
        return result, np.stack(values, -1) if values else np.empty((n, 0))

    # A point costs a whole quadrature here.
    ease = 1.0 if model.rho is None else 2.0
    return integrate(f, axes, names, ease)


def solve(model: Model, data: Data) -> Exact:
    """Return the exact log marginal likelihood and means of a model."""
    if model.bias.kind == "weights":
        return selected(model, data)
    return plain(model, data)


# ---- ensembles -------------------------------------------------------------------
def log_odds(logml: Iterable[float], prior: Iterable[float], member: np.ndarray) -> (
    float
):  # fmt: skip
    """Return the log Bayes factor of the members against all others."""
    prior = np.asarray(list(prior))
    logs = np.asarray(list(logml)) + np.log(prior)
    gain = logsumexp(logs[member]) - logsumexp(logs[~member])
    return float(gain - math.log(prior[member].sum() / prior[~member].sum()))


# ---- known answers ---------------------------------------------------------------
def known() -> Iterator[tuple[str, float, float]]:
    """Yield answers found before and by other integrators beside ours."""

    def data(y: Iterable[float], se: Iterable[float], cluster: Any = None) -> Data:
        values = np.array(list(y), float)
        ids = np.arange(values.size) if cluster is None else np.array(cluster)
        return Data(values, np.array(list(se), float), ids)

    def normal(sd: float) -> Law:
        return Law("normal", {"mean": 0.0, "sd": sd})

    def inv_gamma(scale: float) -> Law:
        return Law("inv_gamma", {"shape": 1.0, "scale": scale})

    zero = Law("spike", {"location": 0.0})
    close = data(0.8 + 0.01 * np.linspace(-1, 1, 8), [0.01] * 8)
    answer = solve(Model(normal(0.1), inv_gamma(0.015), None, Bias()), close)
    yield "conflict, log ML", -9.532, answer.logml
    yield "conflict, mean of mu", 0.781, answer.means["mu"]
    cut = Bias("weights", None, 1, (0.05,), (1.0, 1.0))
    far = data([0.2, 0.3, -1.5], [0.05] * 3)
    yield (
        "selection 30 se away, log ML", -352.027,
        solve(Model(normal(1.0), zero, None, cut), far).logml,
    )  # fmt: skip
    six = data((1.2, 1.35, 0.9, 1.5, 1.1, 1.6), (0.1, 0.12, 0.09, 0.2, 0.15, 0.11))
    logml = [
        solve(Model(mu, tau, None, Bias()), six).logml
        for mu in (normal(1.0), zero)
        for tau in (inv_gamma(0.15), zero)
    ]
    effect = np.array([True, True, False, False])
    yield "log BF of the effect", 8.4710, log_odds(logml, [0.25] * 4, effect)
    some = np.array([True, False, True, False])
    yield "log BF of heterogeneity", 6.7614, log_odds(logml, [0.25] * 4, some)
    mild = data([0.1, 0.3], [0.1, 0.2])
    ours = solve(Model(normal(1.0), zero, None, cut), mild).logml
    yield "selection, scipy.integrate", plain_selection(mild), ours
    pair = data([0.1, 0.3, -0.2], [0.1, 0.2, 0.1], [0, 0, 1])
    flat = Law("beta", {"a": 1.0, "b": 1.0})
    heavy = Law("cauchy", {"location": 0.0, "scale": 0.3})
    wide = Law("spike", {"location": 0.4})
    ours = solve(Model(heavy, wide, flat, Bias()), pair).logml
    yield "clusters, scipy.integrate", plain_clusters(pair), ours


def plain_selection(data: Data) -> float:
    """Return a log ML by the definition: mu ~ N(0, 1), one step .05, flat weight."""
    c = stats.norm.isf(0.05)

    def f(omega: float, mu: float) -> float:
        p = stats.norm.sf(c, mu / data.se)
        w = np.where(data.y / data.se >= c, 1.0, omega)
        each = w * stats.norm.pdf(data.y, mu, data.se) / (p + omega * (1 - p))
        return float(np.prod(each) * stats.norm.pdf(mu))

    return math.log(dblquad(f, -2, 2, 0, 1, epsabs=1e-7, epsrel=1e-6)[0])


def plain_clusters(data: Data) -> float:
    """Return a log ML by the definition: mu ~ Cauchy(0, .3), tau = .4, rho uniform."""
    same = data.cluster[:, None] == data.cluster

    def f(mu: float, rho: float) -> float:
        S = np.diag(data.se**2) + 0.16 * (rho * same + (1 - rho) * np.eye(len(same)))
        like = stats.multivariate_normal.pdf(data.y, np.full(len(same), mu), S)
        return float(like * stats.cauchy.pdf(mu, 0, 0.3))

    return math.log(dblquad(f, 0, 1, -6, 6, epsabs=1e-6, epsrel=1e-6)[0])


if __name__ == "__main__":
    for name, expected, ours in known():
        print(f"{name:30} {expected:12.5f} {ours:12.5f}")
