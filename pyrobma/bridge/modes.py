"""Modes of a density, and how far it reaches around each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pyrobma._types import FloatArray, IntArray

_SHARES = np.array([1.0, 0.5, 0.2, 0.05])  # of a Newton step
_LENGTHS = np.array([0.1, 0.5, 2.0, 8.0, 30.0])  # in widths, along it
_DIFFERENCE = 0.05
_IMPROVEMENT = 1e-4
_SAME = 0.3
_COARSE = 7  # of the distances that are tried, those looked at first
_NOTHING = -1e299  # stands for the log of zero, and can be subtracted


@dataclass(frozen=True, slots=True)
class Mode:
    """A local maximum of a log density, with its Laplace approximation.

    Attributes
    ----------
    point : array of shape (D,)
        Where it is.
    value : float
        Log density there.
    factor : array of shape (D, D)
        ``factor @ factor.T`` is the covariance: the negative inverse Hessian, with
        directions that hardly bend kept to seven widths.
    """

    point: FloatArray
    value: float
    factor: FloatArray

    @property
    def log_mass(self) -> float:
        """Log of the mass that the Laplace approximation gives to it."""
        half = 0.5 * len(self.point) * np.log(2 * np.pi)
        return float(self.value + half + np.linalg.slogdet(self.factor)[1])


def find_modes(
    log_density: Callable[[FloatArray], FloatArray],
    starts: FloatArray,
    *,
    most: int = 6,
    iterations: int = 30,
) -> tuple[Mode, ...]:
    """Climb from the best of many points, all of them at once.

    Parameters
    ----------
    log_density : callable
        Maps points of shape (n, D) to log densities of shape (n,); ``-inf`` or NaN
        means density zero.
    starts : array of shape (n, D)
        Where to look; the best, and the best apart from them, are climbed from.
    most : int
        Largest number of climbs.
    iterations : int
        Newton steps of each.

    Returns
    -------
    tuple of Mode
        Different ones by falling log density; empty if the density is zero at all
        starts.

    Notes
    -----
    Newton's method with derivatives from differences of log densities, in units in
    which the density varies along each axis: points are cheap by the hundred, and
    nothing depends on the parameters' units. Directions of positive curvature are
    climbed too, and the step is the best of several lengths.
    """
    values = _finite(log_density(starts))
    chosen = _spread_out(starts, values, most)
    if not len(chosen):
        return ()
    x, f = starts[chosen], values[chosen]
    width = _widths(log_density, x, f)
    hessian = np.zeros((*x.shape, x.shape[1]))
    active = np.ones(len(x), dtype=bool)
    for _ in range(iterations):
        rows = np.flatnonzero(active)
        g, h = _derivatives(log_density, x[rows], f[rows], width[rows])
        hessian[rows] = h
        step, gain = _newton(g, h)
        length = np.linalg.norm(step, axis=1, keepdims=True)
        shares = np.concatenate(
            [np.tile(_SHARES, (len(rows), 1)), _LENGTHS / np.maximum(length, 1e-300)],
            axis=1,
        )
        trials = x[rows, None] + shares[:, :, None] * step[:, None] * width[rows, None]
        there = _finite(log_density(trials.reshape(-1, x.shape[1])))
        there = there.reshape(len(rows), -1)
        best = there.argmax(axis=1)
        better = there[np.arange(len(rows)), best] > f[rows]
        moved = rows[better]
        x[moved] = trials[np.flatnonzero(better), best[better]]
        f[moved] = there[np.flatnonzero(better), best[better]]
        active[rows[(gain < _IMPROVEMENT) | ~better]] = False
        if not active.any():
            break
        bend = np.clip(-np.diagonal(h, axis1=1, axis2=2), 0.05, 100.0)
        width[rows] /= np.sqrt(bend)
        hessian[rows] = 0.0  # in units that are gone
    for row in range(len(x)):
        at = slice(row, row + 1)
        width[at] = _widths(log_density, x[at], f[at])
        _, hessian[at] = _derivatives(log_density, x[at], f[at], width[at])
    modes = [
        Mode(x[row], float(f[row]), _factor(hessian[row], width[row]))
        for row in np.argsort(-f, kind="stable")
    ]
    return _different(modes)


def or_zero(values: FloatArray) -> FloatArray:
    """Return log densities with ``-inf`` wherever they are not finite."""
    return np.where(np.isfinite(values), values, -np.inf)


def log_t(
    points: FloatArray, centre: FloatArray, factor: FloatArray, df: float
) -> FloatArray:
    """Return log densities of a multivariate t distribution.

    Parameters
    ----------
    points : array of shape (n, D)
    centre : array of shape (D,)
    factor : array of shape (D, D)
        ``factor @ factor.T`` is the scale matrix.
    df : float
        Degrees of freedom.

    Returns
    -------
    array of shape (n,)
    """
    d = len(centre)
    z = np.linalg.solve(factor, (points - centre).T)
    constant = (
        math.lgamma(0.5 * (df + d))
        - math.lgamma(0.5 * df)
        - 0.5 * d * math.log(df * math.pi)
        - float(np.linalg.slogdet(factor)[1])
    )
    return np.asarray(constant - 0.5 * (df + d) * np.log1p((z**2).sum(axis=0) / df))


def _finite(values: FloatArray) -> FloatArray:
    return np.maximum(or_zero(values), 10 * _NOTHING)


def _spread_out(points: FloatArray, values: FloatArray, most: int) -> list[int]:
    """Choose the best point, then the best that share no coordinate with those."""
    order = [i for i in np.argsort(-values, kind="stable") if values[i] > _NOTHING]
    chosen: list[int] = []
    for needed in range(points.shape[1], 0, -1):
        for i in order:
            if len(chosen) >= most:
                return chosen
            apart = [(points[i] != points[j]).sum() >= needed for j in chosen]
            if i not in chosen and all(apart):
                chosen.append(int(i))
    return chosen


def _widths(
    log_density: Callable[[FloatArray], FloatArray], x: FloatArray, f: FloatArray
) -> FloatArray:
    """Return, for each point and axis, how far away the log density bends by 1.

    That of a normal is its standard deviation, from wherever one looks.
    """
    distance = np.geomspace(1e-14, 1e14, 57)
    coarse = np.arange(0, len(distance), _COARSE)
    last = _first_bend(
        log_density, x, f, np.broadcast_to(distance[coarse], (*x.shape, len(coarse)))
    )
    # Between the last one that was too near and the first that was not.
    near = np.maximum(coarse[last] - np.arange(_COARSE - 1, -1, -1)[:, None, None], 0)
    near = np.moveaxis(near, 0, -1)
    first = _first_bend(log_density, x, f, distance[near])
    chosen = np.take_along_axis(near, first[:, :, None], axis=2)[:, :, 0]
    width: FloatArray = distance[chosen] * (1.0 + np.abs(x))
    return width


def _first_bend(
    log_density: Callable[[FloatArray], FloatArray],
    x: FloatArray,
    f: FloatArray,
    distance: FloatArray,
) -> IntArray:
    """Return the first distance at which it bends by 1, or the last one, shape (n, D).

    `distance` has the shape (n, D, M).
    """
    n, dimension, M = distance.shape
    points = np.broadcast_to(x[:, None, None], (n, dimension, 2 * M, dimension)).copy()
    signed = np.concatenate([distance, -distance], axis=2)
    for k in range(dimension):
        points[:, k, :, k] += signed[:, k] * (1.0 + np.abs(x[:, k, None]))
    there = _finite(log_density(points.reshape(-1, dimension)))
    sides = there.reshape(n, dimension, 2, M)
    bend = np.abs(sides.sum(axis=2) - 2.0 * f[:, None, None])
    # Far from a mode the rounding of large values looks like bending.
    beyond = bend > 1.0 + 1e-14 * np.abs(f[:, None, None])
    first: IntArray = np.where(beyond.any(axis=2), beyond.argmax(axis=2), M - 1)
    return first


def _derivatives(
    log_density: Callable[[FloatArray], FloatArray],
    x: FloatArray,
    f: FloatArray,
    width: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return gradients and Hessians in units of `width`, by central differences."""
    n, dimension = x.shape
    pairs = list(itertools.combinations(range(dimension), 2))
    offsets = [
        sign * np.eye(dimension)[k] for k in range(dimension) for sign in (1, -1)
    ]
    for i, j in pairs:
        for a, b in ((1, 1), (-1, -1), (1, -1), (-1, 1)):
            offset = np.zeros(dimension)
            offset[i], offset[j] = a, b
            offsets.append(offset)
    steps = _DIFFERENCE * np.array(offsets)
    points = x[:, None] + steps[None] * width[:, None]
    values = _finite(log_density(points.reshape(-1, dimension))).reshape(n, -1)
    values = np.where(values > _NOTHING, values, f[:, None] - 1e3)
    axis = values[:, : 2 * dimension].reshape(n, dimension, 2)
    gradient = (axis[:, :, 0] - axis[:, :, 1]) / (2 * _DIFFERENCE)
    hessian = np.zeros((n, dimension, dimension))
    diagonal = np.arange(dimension)
    hessian[:, diagonal, diagonal] = (
        axis.sum(axis=2) - 2 * f[:, None]
    ) / _DIFFERENCE**2
    for place, (i, j) in enumerate(pairs):
        four = values[:, 2 * dimension + 4 * place :][:, :4]
        hessian[:, i, j] = hessian[:, j, i] = (
            four[:, 0] + four[:, 1] - four[:, 2] - four[:, 3]
        ) / (4 * _DIFFERENCE**2)
    return gradient, hessian


def _newton(gradient: FloatArray, hessian: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ascent steps, and what they promise."""
    values, vectors = np.linalg.eigh(-hessian)
    along = np.einsum("nij,ni->nj", vectors, gradient)
    scaled = along / np.maximum(np.abs(values), 1e-3)
    step = np.einsum("nij,nj->ni", vectors, scaled)
    gain = (along * scaled).sum(axis=1)
    return step, gain


def _factor(hessian: FloatArray, width: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(-hessian)
    root = vectors / np.sqrt(np.maximum(values, 0.02))
    return np.asarray(width[:, None] * root)


def _different(modes: list[Mode]) -> tuple[Mode, ...]:
    kept: list[Mode] = []
    for mode in modes:
        apart = [
            np.abs(np.linalg.solve(k.factor, mode.point - k.point)).max() > _SAME
            for k in kept
        ]
        if all(apart):
            kept.append(mode)
    return tuple(kept)
