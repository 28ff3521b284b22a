"""Tables of the studies' log likelihoods, which the Stan program of counts reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.counts.baseline import Baseline
from pyrobma.counts.likelihood import log_likelihood
from pyrobma.effects._columns import Rows
from pyrobma.effects.counts import TwoGroups, crude_log_ratio

if TYPE_CHECKING:
    from scipy.interpolate import PPoly

TOLERANCE: Final = 1e-9
"""Largest error of a log likelihood between knots, for each unit that it has fallen
below its top and one more."""

_FIRST = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 300.0)
"""First knots, on both sides of the estimate. Beyond, log likelihoods are straight."""

_INSIDE = np.array([0.25, 0.5, 0.75])
"""Where the pieces are compared with what they stand for, between their knots."""

_Function = Callable[[FloatArray], tuple[FloatArray, FloatArray, FloatArray]]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The log likelihood of one study, by values at knots.

    Attributes
    ----------
    knot : array of shape (n,)
        True effects, rising: log odds ratios or log rate ratios.
    log_h, slope, curvature : array of shape (n,)
        Log likelihood there and its first two derivatives. Between knots it is the
        polynomial of degree five with these, beyond them a straight line.
    """

    knot: FloatArray
    log_h: FloatArray
    slope: FloatArray
    curvature: FloatArray

    @property
    def pieces(self) -> PPoly:
        """The polynomials between knots: as the Stan program has them."""
        from scipy.interpolate import PPoly

        width = np.diff(self.knot)
        half = 0.5 * self.curvature[:-1]
        # what the values at the next knot have beyond those of a parabola
        value = np.diff(self.log_h) / width - self.slope[:-1] - half * width
        rise = np.diff(self.slope) - self.curvature[:-1] * width
        bend = width * np.diff(self.curvature)
        powers = [
            (6.0 * value - 3.0 * rise + 0.5 * bend) / width**4,
            (-15.0 * value + 7.0 * rise - bend) / width**3,
            (10.0 * value - 4.0 * rise + 0.5 * bend) / width**2,
            half,
            self.slope[:-1],
            self.log_h[:-1],
        ]
        return PPoly(np.array(powers), self.knot)

    @property
    def bend(self) -> tuple[float, float]:
        """Where the log likelihood bends, and over which distance.

        Mean and standard deviation of true effects, weighted by minus its second
        derivative; 0 if it is straight.
        """
        weight, middle = -np.diff(self.slope), 0.5 * (self.knot[:-1] + self.knot[1:])
        total = float(weight.sum())
        if not total > 0.0:
            return 0.0, 0.0
        centre = float(weight @ middle) / total
        variance = float(weight @ (middle - centre) ** 2) / total
        return centre, float(np.sqrt(max(variance, 0.0)))

    def function(
        self,
    ) -> Callable[[FloatArray], tuple[FloatArray, FloatArray, FloatArray]]:
        """Return the function of true effects: log likelihood and two derivatives."""
        value = self.pieces
        slope, curvature = value.derivative(1), value.derivative(2)

        def at(delta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
            inside = np.clip(delta, self.knot[0], self.knot[-1])
            first = slope(inside)
            return (
                value(inside) + (delta - inside) * first,
                first,
                np.where(inside == delta, curvature(inside), 0.0),
            )

        return at


def study_table(study: TwoGroups, baseline: Baseline) -> Table:
    """Return the table of one study.

    Parameters
    ----------
    study : TwoGroups
        With one study.
    baseline : Baseline
        What is assumed of its baseline.

    Returns
    -------
    Table
        Kept for the next call with the same counts.

    Notes
    -----
    Cells are divided until the polynomials agree with the log likelihood itself to
    `TOLERANCE` at three points inside each of them.
    """
    return _table(
        float(study.x1[0]), float(study.size1[0]), float(study.x2[0]),
        float(study.size2[0]), study.rates, baseline,
    )  # fmt: skip


def study_tables(studies: TwoGroups, baseline: Baseline) -> tuple[Table, ...]:
    """Return the tables of several studies; see `study_table`."""
    alone = (studies.kept_at(np.array([row])) for row in range(studies.K))
    return tuple(study_table(study, baseline) for study in alone)


@lru_cache(4096)
def _table(
    x1: float, size1: float, x2: float, size2: float, rates: bool, baseline: Baseline
) -> Table:
    a, b, size_a, size_b = (np.array([value]) for value in (x1, x2, size1, size2))
    study = TwoGroups(a, b, size_a, size_b, rates, Rows(1))
    centre = float(crude_log_ratio(study)[0][0])
    sides = np.array(_FIRST)
    start = centre + np.concatenate([-sides[::-1], [0.0], sides])
    return _divided(lambda delta: log_likelihood(study, baseline, delta), start)


def _divided(log_h: _Function, knot: FloatArray) -> Table:
    """Add knots until the pieces between them are exact enough."""
    table = Table(knot, *log_h(knot))
    fresh = np.ones(knot.size - 1, dtype=bool)  # cells that were not looked at
    while fresh.any():
        left, width = table.knot[:-1][fresh], np.diff(table.knot)[fresh]
        inside = left[:, None] + width[:, None] * _INSIDE
        found = log_h(inside.ravel())[0].reshape(inside.shape)
        there = table.pieces(inside)
        fallen = np.abs(found - table.log_h.max())
        error = (np.abs(there - found) / (TOLERANCE * (1.0 + fallen))).max(axis=1)
        # the error of a piece falls with the sixth power of its width
        parts = np.clip(np.ceil(error ** (1.0 / 6.0)), 1, 8).astype(np.int64)
        parts[width < 1e-3] = 1  # rounding errors alone are left
        new = [
            a + b * np.arange(1, n) / n
            for a, b, n in zip(left, width, parts, strict=True)
        ]
        added = np.concatenate(new)
        if not added.size:
            break
        values = [
            np.concatenate([old, one])
            for old, one in zip(
                (table.log_h, table.slope, table.curvature), log_h(added), strict=True
            )
        ]
        every = np.concatenate([table.knot, added])
        order = np.argsort(every)
        is_new = np.r_[np.zeros(table.knot.size, bool), np.ones(added.size, bool)][
            order
        ]
        table = Table(every[order], *(value[order] for value in values))
        fresh = is_new[:-1] | is_new[1:]
    return table
