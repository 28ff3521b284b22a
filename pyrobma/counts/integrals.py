"""Integrals over true effects behind counts, given draws of their mean and sd.

What the Stan program of counts integrates, said again: a program returns the sum over
all studies only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import logsumexp

from pyrobma._types import FloatArray
from pyrobma.counts.concave import alike, mode_and_ends, node_counts
from pyrobma.counts.tables import Table

_DROP: Final = 30.0
"""What is less than the mode of an integrand by the exponential of this is left out."""

_UNIT: Final = 0.5
"""Distance of log ratios on which likelihoods of few events change."""

_MANY: Final = 200
"""Points from which they are dense where the likelihood bends, and not elsewhere."""

_TOGETHER: Final = 500_000
"""Points at once: a few megabytes."""

_REACH: Final = 12.0
"""Largest common factor of a cluster, which is standard normal before the counts."""

_SEARCHES: Final = 4
_POINTS: Final = 41
_FINAL: Final = 61

_MEANS: Final = 120
_SDS: Final = 30
"""Values of the mean and the sd between which a study's integral is interpolated."""


@dataclass(frozen=True, slots=True)
class TrueEffect:
    """A study's true effect given its counts and each of S draws.

    Attributes
    ----------
    log_total : array of shape (S,)
        log L(m, s) = log ∫ h(m + s z) φ(z) dz.
    value : array of shape (S,)
        The quantiles that were asked for.
    """

    log_total: FloatArray
    value: FloatArray


def true_effect(
    table: Table, mean: FloatArray, sd: FloatArray, u: FloatArray
) -> TrueEffect:
    """Return the distribution of a study's true effect given its counts and draws.

    Parameters
    ----------
    table : Table
        Of the study.
    mean, sd : array of shape (S,)
        Of true effects before the counts; sd may be 0.
    u : array of shape (S,)
        Probabilities of the quantiles to return, in (0, 1).

    Returns
    -------
    TrueEffect
    """
    h = table.function()

    def log_f(z: FloatArray, rows: slice) -> tuple[FloatArray, FloatArray, FloatArray]:
        s = sd[rows, None]
        value, slope, curvature = h(mean[rows, None] + s * z)
        return value - 0.5 * z**2, s * slope - z, s**2 * curvature - 1.0

    _, low, high, width = mode_and_ends(log_f, np.zeros(mean.size), _DROP)
    counts = node_counts(low, high, width, _UNIT / np.maximum(sd, 1e-300))
    bent = counts > _MANY
    centre, spread = table.bend
    if bent.any():
        # points equidistant in t with true effects centre + sinh(t)
        ends = [mean[bent] + sd[bent] * end[bent] - centre for end in (low, high)]
        far = np.maximum(*np.abs(ends))
        step = np.minimum(1.2 * width[bent] * sd[bent] / far, 0.2)
        step = np.minimum(step, 0.6 / np.hypot(1.0, 2.0 * spread))
        low[bent], high[bent] = np.arcsinh(ends)
        counts[bent] = np.ceil((high[bent] - low[bent]) / step)
    found = TrueEffect(np.empty(mean.size), np.empty(mean.size))
    for rows, n in alike(counts, _TOGETHER):
        # twice as many as the integral needs, for the quantiles
        x = low[rows, None] + (high - low)[rows, None] * np.linspace(0, 1, 2 * n)
        m, s = mean[rows, None], sd[rows, None]
        wide = bent[rows, None]
        sinh = np.sinh(np.where(wide, x, 0.0))
        z = np.where(wide, (centre + sinh - m) / np.maximum(s, 1e-300), x)
        # dz/dx, but for the factor 1/s that is the same at all points
        log_slope = np.where(wide, 0.5 * np.log1p(sinh**2), 0.0)
        log = h(m + s * z)[0] - 0.5 * z**2 + log_slope
        total = _log_integral(x, log) - 0.5 * math.log(2 * math.pi)
        found.log_total[rows] = total - np.where(
            bent[rows], np.log(np.maximum(s[:, 0], 1e-300)), 0.0
        )
        value = _quantile(x, log, u[rows])
        found.value[rows] = np.where(
            bent[rows], centre + np.sinh(value), m[:, 0] + s[:, 0] * value
        )
    return found


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster's common factor g given its counts and each of S draws, by n points.

    Attributes
    ----------
    g : array of shape (S, n)
        Points.
    log_p : array of shape (S, n)
        Log density at the points but for a constant by draw.
    log_total : array of shape (S,)
        Log density of all counts of the cluster.
    log_each : array of shape (members, S, n)
        log L of each study at the points.
    """

    g: FloatArray
    log_p: FloatArray
    log_total: FloatArray
    log_each: FloatArray

    @property
    def log_removal(self) -> FloatArray:
        """What the log density of all loses without each, shape (members, S)."""
        shares = self.log_p - logsumexp(self.log_p, axis=1, keepdims=True)
        return np.asarray(-logsumexp(shares - self.log_each, axis=2))

    def quantile(self, u: FloatArray) -> FloatArray:
        """Return values of g at probabilities of shape (S,)."""
        return _quantile(self.g, self.log_p, u)


def common_factor(
    tables: Sequence[Table], mean: FloatArray, sd: FloatArray, load: FloatArray
) -> Cluster:
    """Return the distribution of a cluster's common factor given counts and draws.

    Parameters
    ----------
    tables : sequence of Table
        Of its studies.
    mean, sd, load : array of shape (members, S)
        Of true effects before the counts: mean, sd within the cluster, and loading on
        the factor, which is standard normal.

    Notes
    -----
    log L of each study is interpolated between values of mean and sd, by bicubic
    splines that err by less than 1e-3 where the factor has its mass.
    """
    S = mean.shape[1]
    each = [
        _Surface(table, *moments)
        for table, *moments in zip(tables, mean, sd, load, strict=True)
    ]

    def log_p(g: FloatArray) -> tuple[FloatArray, FloatArray]:
        logs = np.array(
            [
                one(m[:, None] + slope[:, None] * g, s[:, None])
                for one, m, s, slope in zip(each, mean, sd, load, strict=True)
            ]
        )
        return logs.sum(axis=0) - 0.5 * g**2, logs

    low, high = np.full(S, -_REACH), np.full(S, _REACH)
    for _ in range(_SEARCHES):
        g = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, _POINTS)
        log = log_p(g)[0]
        near = log > log.max(axis=1, keepdims=True) - _DROP
        first, last = near.argmax(axis=1), _POINTS - 1 - near[:, ::-1].argmax(axis=1)
        rows = np.arange(S)
        low = g[rows, np.maximum(first - 1, 0)]
        high = g[rows, np.minimum(last + 1, _POINTS - 1)]
    g = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, _FINAL)
    log, logs = log_p(g)
    return Cluster(g, log, _log_integral(g, log) - 0.5 * math.log(2 * math.pi), logs)


class _Surface:
    """log L of a study as a function of mean and sd."""

    def __init__(
        self, table: Table, mean: FloatArray, sd: FloatArray, load: FloatArray
    ) -> None:
        from scipy.interpolate import RectBivariateSpline

        top = int(np.argmax(table.log_h))
        self.centre = float(table.knot[top])
        self.unit = float(np.clip(-table.curvature[top], 1.0, None) ** -0.5)
        ends = [(mean - _REACH * load).min(), (mean + _REACH * load).max()]
        low, high = self._bent(np.array(ends) - self.centre)
        x = np.linspace(low - 1e-6, high + 1e-6, _MEANS)
        t = np.linspace(0.0, float(self._bent(sd.max())) + 1e-6, _SDS)
        means = self.centre + self.unit * np.sinh(x)
        sds = self.unit * np.sinh(t)
        m, s = (a.ravel() for a in np.meshgrid(means, sds, indexing="ij"))
        found = true_effect(table, m, s, np.full(m.size, 0.5)).log_total
        self.spline = RectBivariateSpline(x, t, found.reshape(_MEANS, _SDS), s=0)

    def _bent(self, values: FloatArray) -> FloatArray:
        return np.asarray(np.arcsinh(values / self.unit))

    def __call__(self, mean: FloatArray, sd: FloatArray) -> FloatArray:
        x, t = np.broadcast_arrays(self._bent(mean - self.centre), self._bent(sd))
        return np.asarray(self.spline.ev(x, t))


def _log_integral(x: FloatArray, log: FloatArray) -> FloatArray:
    step = x[:, 1] - x[:, 0]
    return np.asarray(logsumexp(log, axis=1) + np.log(step))


def _quantile(x: FloatArray, log: FloatArray, u: FloatArray) -> FloatArray:
    """Return quantiles of densities at equidistant points, row by row.

    The distribution function is that of cubic pieces through four points each, and
    between points the cubic that has the density for its slope there.
    """
    f = np.exp(log - log.max(axis=1, keepdims=True))
    wide = np.pad(f, ((0, 0), (1, 1)))
    cells = (13 * (f[:, :-1] + f[:, 1:]) - wide[:, :-3] - wide[:, 3:]) / 24
    F = np.pad(np.cumsum(np.maximum(cells, 0.0), axis=1), ((0, 0), (1, 0)))
    target = u * F[:, -1]
    rows = np.arange(len(x))
    k = np.clip((target[:, None] >= F).sum(axis=1) - 1, 0, x.shape[1] - 2)
    a, c = F[rows, k], F[rows, k + 1]
    left, right = f[rows, k], f[rows, k + 1]
    t = np.where(c > a, (target - a) / np.where(c > a, c - a, 1.0), 0.5)
    rise = c - a
    for _ in range(6):  # of the Hermite cubic, inside its cell
        value = (
            t * left
            + t**2 * (3 * rise - 2 * left - right)
            + t**3 * (left + right - 2 * rise)
        )
        slope = (
            left
            + 2 * t * (3 * rise - 2 * left - right)
            + 3 * t**2 * (left + right - 2 * rise)
        )
        step = np.divide(
            value - (target - a), slope, out=np.zeros_like(t), where=slope > 0
        )
        t = np.clip(t - step, 0.0, 1.0)
    return np.asarray(x[rows, k] + t * (x[:, 1] - x[:, 0]))
