"""Integrals over up to three parameters by lattices that find the mass themselves."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pyrobma._types import FloatArray, IntArray
from pyrobma.bridge.modes import Mode, log_t, or_zero

MOST_DIMENSIONS: Final = 3
"""Parameters up to which lattices are affordable."""

_DROP = 17.0  # exp(-17) of the largest density is left out: 1e-7 or so of the mass
_SPACINGS = (0.75, 0.53, 0.37, 0.26, 0.18, 0.09, 0.045, 0.02, 0.01, 0.005)
_BITS = 20
_KERNEL_DF = 3.0


@dataclass(frozen=True, slots=True)
class Part:
    """Points of a lattice with their share of the mass.

    Attributes
    ----------
    origin : array of shape (D,)
        One point.
    factor : array of shape (D, D)
        Its columns lead from one point to the next.
    keys : array of int, shape (n,)
        The points, encoded, sorted.
    probability : array of shape (n,)
        Of the cell around each point; sums to the share of this part.
    """

    origin: FloatArray
    factor: FloatArray
    keys: IntArray
    probability: FloatArray

    @property
    def points(self) -> FloatArray:
        """The points, shape (n, D)."""
        return self.origin + _decode(self.keys, len(self.origin)) @ self.factor.T


@dataclass(frozen=True, slots=True)
class LatticeProposal:
    """The posterior as a histogram on lattices: uniform within each cell.

    Attributes
    ----------
    parts : tuple of Part
        Together they have all the probability.
    """

    parts: tuple[Part, ...]

    def sample(self, rng: np.random.Generator, n: int) -> FloatArray:
        """Return `n` independent draws, shape (n, D)."""
        share = np.array([part.probability.sum() for part in self.parts])
        which = rng.choice(len(self.parts), size=n, p=share / share.sum())
        dimension = len(self.parts[0].origin)
        draws = np.empty((n, dimension))
        for number, part in enumerate(self.parts):
            rows = np.flatnonzero(which == number)
            cell = rng.choice(
                len(part.keys), size=len(rows), p=part.probability / share[number]
            )
            place = _decode(part.keys[cell], dimension)
            place = place + rng.uniform(-0.5, 0.5, size=place.shape)
            draws[rows] = part.origin + place @ part.factor.T
        return draws

    def log_density(self, points: FloatArray) -> FloatArray:
        """Return its log density at points of shape (n, D)."""
        total = np.zeros(len(points))
        for part in self.parts:
            place = np.linalg.solve(part.factor, (points - part.origin).T).T
            near = np.abs(place).max(axis=1) < 2 ** (_BITS - 1) - 2
            key = _encode(np.rint(np.where(near[:, None], place, 0.0)).astype(np.int64))
            at = np.minimum(np.searchsorted(part.keys, key), len(part.keys) - 1)
            found = near & (part.keys[at] == key)
            volume = abs(np.linalg.det(part.factor))
            total += np.where(found, part.probability[at] / volume, 0.0)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(total))


@dataclass(frozen=True, slots=True)
class LatticeResult:
    """An integral over lattices.

    Attributes
    ----------
    logml : float
        Log of the integral.
    error : float
        Half the distance of the estimates from two lattices shifted against each
        other, at least 1e-6: far above the error of their mean.
    points : array of shape (n, D)
        All points that carry mass.
    halves : tuple of two arrays of shape (n,)
        Normalised weights of the points in each of the two lattices; 0 for points of
        the other.
    edge : array of shape (n,)
        Whether a point is among the outermost, three e-folds above what is left out.
    proposal : LatticeProposal
        The posterior as a histogram.
    evaluations : int
        Number of log densities computed.
    """

    logml: float
    error: float
    points: FloatArray
    halves: tuple[FloatArray, FloatArray]
    edge: FloatArray
    proposal: LatticeProposal
    evaluations: int

    @property
    def weights(self) -> FloatArray:
        """Normalised weights of the points, both lattices together."""
        return np.asarray(0.5 * (self.halves[0] + self.halves[1]))

    def mean(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return posterior means of functions of the parameters, and their errors.

        Parameters
        ----------
        values : array of shape (n, M)
            The functions at `points`.

        Returns
        -------
        means, errors : arrays of shape (M,)
            Half the distance of the two lattices' means, and twice what the outermost
            points contribute: the rest of a tail that falls off geometrically. A mean
            that does not exist has a large error.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            first, second = (half @ values for half in self.halves)
            mean = 0.5 * (first + second)
            tail = (self.weights * self.edge) @ np.abs(values - mean)
            error = 0.5 * np.abs(first - second) + 2.0 * tail
        return mean, np.where(np.isfinite(error), error, np.inf)


def integrate(
    log_density: Callable[[FloatArray], FloatArray],
    modes: Sequence[Mode],
    *,
    tolerance: float | None = None,
    most: int = 150_000,
) -> LatticeResult | None:
    """Integrate a density of up to three parameters.

    Parameters
    ----------
    log_density : callable
        Maps points of shape (n, D) to log densities of shape (n,).
    modes : sequence of Mode
        At least one point in every region that counts.
    tolerance : float, optional
        Largest `error` of the result. None: 1e-4, with three parameters 1e-3.
    most : int
        Largest number of evaluations.

    Returns
    -------
    LatticeResult or None
        None if `most` evaluations do not reach the tolerance.

    Notes
    -----
    The trapezoidal rule on a lattice converges faster than any power of the spacing
    for smooth integrands (Trefethen & Weideman 2014). A lattice grows from the modes
    to all its points, connected by neighbours, above exp(-17) of the largest density;
    so it follows ridges of any shape. Each mode has a lattice of its own, oriented and
    spaced like the mass around it, and integrates the density times its share of a
    smooth partition of unity (t densities around the modes).

    References
    ----------
    .. [1] Trefethen L. N., Weideman J. A. C. (2014). The exponentially convergent
       trapezoidal rule. SIAM Review 56(3). doi:10.1137/130932132
    """
    if tolerance is None:
        tolerance = 1e-4 if len(modes[0].point) < MOST_DIMENSIONS else 1e-3
    best = max(mode.log_mass for mode in modes)
    kept = [mode for mode in modes if mode.log_mass > best - 25.0] or [modes[0]]
    counted = _Counted(log_density, most)
    try:
        points = [mode.point for mode in modes]
        around = [_frame(counted, i, kept, points) for i in range(len(kept))]
        frames = [frame for frame in around if frame is not None]
        known = [frame.points for frame in frames]
        for spacing in _SPACINGS:
            result = _two_lattices(counted, frames, kept, points, known, spacing)
            if result is not None and result.error <= tolerance:
                return result
    except _TooMany:
        pass
    return None


class _TooMany(Exception):
    pass


class _Counted:
    def __init__(
        self, log_density: Callable[[FloatArray], FloatArray], most: int
    ) -> None:
        self._log_density = log_density
        self._most = most
        self.count = 0

    def __call__(self, points: FloatArray) -> FloatArray:
        self.count += len(points)
        if self.count > self._most:
            raise _TooMany
        return or_zero(self._log_density(points))


@dataclass(frozen=True, slots=True)
class _Frame:
    number: int
    origin: FloatArray
    factor: FloatArray
    points: FloatArray  # where other lattices may start


def _shared_density(
    counted: _Counted, modes: Sequence[Mode], number: int
) -> Callable[[FloatArray], FloatArray]:
    """Return the density times the share that one mode has of it."""
    if len(modes) == 1:
        return counted

    def value(points: FloatArray) -> FloatArray:
        kernels = np.stack(
            [
                mode.log_mass + log_t(points, mode.point, mode.factor, _KERNEL_DF)
                for mode in modes
            ]
        )
        share = kernels[number] - np.logaddexp.reduce(kernels, axis=0)
        return np.asarray(counted(points) + share)

    return value


def _frame(
    counted: _Counted, number: int, modes: Sequence[Mode], seeds: Sequence[FloatArray]
) -> _Frame | None:
    """Look around with a lattice of the Laplace approximation's shape."""
    mode = modes[number]
    density = _shared_density(counted, modes, number)
    keys, values = _flood(density, mode.point, mode.factor, np.array(seeds))
    if not len(keys):
        return None
    place = _decode(keys, len(mode.point))
    weight = np.exp(values - np.logaddexp.reduce(values))
    centre = weight @ place
    offset = place - centre
    # A lattice that is too coarse sees less spread than there is.
    spread = (weight[:, None] * offset).T @ offset + np.eye(len(centre)) / 12.0
    factor = mode.factor @ np.linalg.cholesky(spread)
    return _Frame(
        number,
        mode.point + mode.factor @ centre,
        factor,
        mode.point + place @ mode.factor.T,
    )


def _two_lattices(
    counted: _Counted,
    frames: Sequence[_Frame],
    kept: Sequence[Mode],
    points: Sequence[FloatArray],
    known: list[FloatArray],
    spacing: float,
) -> LatticeResult | None:
    """Integrate with two lattices per frame, whose points become those known."""
    dimension = len(kept[0].point)
    found: list[tuple[int, FloatArray, FloatArray, IntArray, FloatArray]] = []
    for place, frame in enumerate(frames):
        density = _shared_density(counted, kept, frame.number)
        factor = spacing * frame.factor
        for half, shift in enumerate((0.0, 0.5)):
            origin = frame.origin + factor @ np.full(dimension, shift)
            # From all that is known of the mass there is little left to find.
            seeds = np.concatenate([known[place], points])
            keys, values = _flood(density, origin, factor, seeds)
            if len(keys):
                known[place] = origin + _decode(keys, dimension) @ factor.T
            values = values + np.linalg.slogdet(factor)[1]
            found.append((half, origin, factor, keys, values))
    totals = [
        np.logaddexp.reduce(
            np.concatenate([values for half, *_, values in found if half == which])
        )
        for which in (0, 1)
    ]
    if not np.isfinite(totals).all():
        return None
    logml = float(np.logaddexp(*totals) - np.log(2.0))
    top = max(float(values.max(initial=-np.inf)) for *_, values in found)
    parts, places, edges = [], [], []
    halves: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    for half, origin, factor, keys, values in found:
        part = Part(origin, factor, keys, np.exp(values - logml) / 2.0)
        parts.append(part)
        places.append(part.points)
        own = np.exp(values - totals[half])
        halves[half].append(own)
        halves[1 - half].append(np.zeros(len(own)))
        edges.append(values < top - _DROP + 3.0)
    return LatticeResult(
        logml,
        max(0.5 * abs(float(totals[0] - totals[1])), 1e-6),
        np.concatenate(places),
        (np.concatenate(halves[0]), np.concatenate(halves[1])),
        np.concatenate(edges).astype(np.float64),
        LatticeProposal(tuple(part for part in parts if len(part.keys))),
        counted.count,
    )


def _flood(
    density: Callable[[FloatArray], FloatArray],
    origin: FloatArray,
    factor: FloatArray,
    seeds: FloatArray,
) -> tuple[IntArray, FloatArray]:
    """Return the lattice's points that carry mass, connected to the seeds."""
    dimension = len(origin)
    steps = np.array(
        [s for s in itertools.product((-1, 0, 1), repeat=dimension) if any(s)]
    )
    stride = _encode(steps) - _encode(np.zeros((1, dimension), dtype=np.int64))
    place = np.rint(np.linalg.solve(factor, (seeds - origin).T).T)
    place = place[np.abs(place).max(axis=1) < 2 ** (_BITS - 2)].astype(np.int64)
    if not len(place):
        return np.empty(0, dtype=np.int64), np.empty(0)
    layer = _distinct(_encode(place))
    layer = _distinct(np.concatenate([layer, *(layer + s for s in stride)]))
    before = np.empty(0, dtype=np.int64)
    keys, values = [], []
    top = -np.inf
    while len(layer):
        there = density(origin + _decode(layer, dimension) @ factor.T)
        keys.append(layer)
        values.append(there)
        top = max(top, float(there.max()))
        # exp(-inf - -inf) nowhere: a start in the dark goes nowhere either.
        active = layer[there > top - _DROP]
        inside = np.abs(_decode(active, dimension)).max(axis=1) < 2 ** (_BITS - 2)
        active = active[inside]
        reached = _distinct((active[:, None] + stride[None]).ravel())
        seen = np.sort(np.concatenate([before, layer]))
        at = np.minimum(np.searchsorted(seen, reached), len(seen) - 1)
        before, layer = layer, reached[seen[at] != reached]
    every, first = np.unique(np.concatenate(keys), return_index=True)
    value = np.concatenate(values)[first]
    carrying = value > top - _DROP
    return every[carrying], value[carrying]


def _distinct(keys: IntArray) -> IntArray:
    """Return sorted keys without repetitions, faster than through a hash table."""
    keys = np.sort(keys)
    return np.asarray(keys[np.diff(keys, prepend=-1) != 0])


def _encode(place: IntArray) -> IntArray:
    key = np.zeros(len(place), dtype=np.int64)
    for column in place.T:
        key = (key << _BITS) + (column + 2 ** (_BITS - 1))
    return key


def _decode(keys: IntArray, dimension: int) -> FloatArray:
    place = np.empty((len(keys), dimension))
    rest = keys
    for k in reversed(range(dimension)):
        place[:, k] = (rest & (2**_BITS - 1)) - 2 ** (_BITS - 1)
        rest = rest >> _BITS
    return place
