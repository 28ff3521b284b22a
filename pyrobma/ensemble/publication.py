"""Stage 5: normal estimates that are published with a weight for their p-value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import log_ndtr, logsumexp, ndtr

from pyrobma._types import FloatArray, IntArray
from pyrobma.effects.cutoffs import critical_values
from pyrobma.fit.stan_data import ON_CUT
from pyrobma.models import Task
from pyrobma.priors import WeightFunction

ROOM: Final = 2_000_000
"""Numbers in the largest arrays."""

_UNDERFLOW: Final = 1e-280
_SMALLEST: Final = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, slots=True)
class Published:
    """Weights of publication of K estimates, by interval of their values.

    Attributes
    ----------
    cuts : array of shape (K, I - 1)
        Where the weight changes, rising, on the measure of the likelihood.
    log_omega : array of shape (S, I)
        Logs of weights by draw, from the lowest values to the highest.
    log_own : array of shape (K, S)
        Logs of the weights of the estimates that were observed.
    """

    cuts: FloatArray
    log_omega: FloatArray
    log_own: FloatArray

    @classmethod
    def of(cls, task: Task, selection: WeightFunction, omega: FloatArray) -> Published:
        """Return the weights of a model.

        Parameters
        ----------
        task : Task
            The data.
        selection : WeightFunction
            The model's intervals of p-values.
        omega : array of shape (S, J)
            Weights by rising p-value.
        """
        effects = task.effects
        cut = critical_values(effects, selection.steps, selection.sides)
        statistic = task.direction * effects.y
        if selection.sides == 2:
            statistic = np.abs(statistic)
        margin = ON_CUT * effects.se[:, None]
        # The number of the interval by rising p-value, as the Stan program counts.
        own = (statistic[:, None] < cut - margin).sum(axis=1)
        if selection.omega is None:
            # A free weight is positive, even if it is too small for a number.
            omega = np.maximum(omega, _SMALLEST)
        with np.errstate(divide="ignore"):
            logs = np.log(omega)
        falling = logs[:, ::-1]
        if selection.sides == 2:
            return cls(
                np.hstack([-cut[:, ::-1], cut]),
                np.hstack([logs, falling[:, 1:]]),
                logs.T[own],
            )
        if task.direction < 0:
            return cls(-cut[:, ::-1], logs, logs.T[own])
        return cls(cut, falling, logs.T[own])

    def log_chance(
        self, rows: IntArray, mean: FloatArray, sd: FloatArray, draws: slice
    ) -> FloatArray:
        """Return the log of the mean weight of normal estimates.

        Parameters
        ----------
        rows : array of shape (n,)
            The estimates whose cuts hold.
        mean, sd : arrays of shape (n, S)
            Of the estimates before selection.
        draws : slice
            Whose weights hold.

        Returns
        -------
        array of shape (n, S)
        """
        log_omega = self.log_omega[draws]
        logs = np.empty(mean.shape)
        for some in _blocks(len(rows), log_omega.size):
            ends = self._ends(rows[some], mean[some], sd[some])
            chance = np.einsum("nsi,si->ns", _masses(ends), np.exp(log_omega))
            with np.errstate(divide="ignore"):
                found = np.log(chance)
            # Weights of 0 may leave only tails too small for a number.
            far = chance < _UNDERFLOW
            if far.any():
                n, s = np.nonzero(far)
                found[far] = logsumexp(_log_masses(ends[n, s]) + log_omega[s], axis=1)
            logs[some] = found
        return logs

    def predictions(
        self, y: FloatArray, mean: FloatArray, sd: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return moments of all published estimates, and probabilities beyond `y`.

        Parameters
        ----------
        y : array of shape (K,)
            Observed.
        mean, sd : arrays of shape (K, S)
            Of estimates before selection.

        Returns
        -------
        four arrays of shape (K, S)
            As the fields of `Predictions`.
        """
        rows = np.arange(len(y))
        parts = [
            self._predictions(rows[some], y[some], mean[some], sd[some])
            for some in _blocks(len(rows), self.log_omega.size)
        ]
        mean, variance, below, above = map(np.concatenate, zip(*parts, strict=True))
        return mean, variance, below, above

    def _predictions(
        self, rows: IntArray, y: FloatArray, mean: FloatArray, sd: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        ends = self._ends(rows, mean, sd)
        log_chance = self.log_chance(rows, mean, sd, slice(None))
        # Relative to the chance of publication, so that no weight is too small.
        with np.errstate(over="ignore"):
            share = np.exp(self.log_omega[None] - log_chance[:, :, None])
        share = np.where(np.isfinite(share), share, 0.0)

        def total(parts: FloatArray) -> FloatArray:
            return np.asarray(np.einsum("nsi,nsi->ns", parts, share))

        density = np.exp(-0.5 * ends**2) / math.sqrt(2 * math.pi)
        finite = np.where(np.isfinite(ends), ends, 0.0)
        first = total(-np.diff(density, axis=2))
        second = 1 + total(-np.diff(finite * density, axis=2))
        at = ((y[:, None] - mean) / sd)[:, :, None]
        below = total(_masses(np.minimum(ends, at)))
        above = total(_masses(np.maximum(ends, at)))
        # A variance is not negative, whatever is left of the difference.
        variance = sd**2 * np.maximum(second - first**2, 0.0)
        return mean + sd * first, variance, below, above

    def _ends(self, rows: IntArray, mean: FloatArray, sd: FloatArray) -> FloatArray:
        """Return the ends of intervals in standard deviations, (n, S, I + 1)."""
        cuts = self.cuts[rows]
        z = (cuts[:, None] - mean[:, :, None]) / sd[:, :, None]
        end = np.full((*z.shape[:2], 1), np.inf)
        return np.concatenate([-end, z, end], axis=2)


def _blocks(rows: int, each: int) -> Iterator[slice]:
    """Yield parts of so many rows, each of so many numbers, that fit into memory."""
    size = max(1, ROOM // each)
    return (slice(start, start + size) for start in range(0, rows, size))


def _masses(ends: FloatArray) -> FloatArray:
    """Return normal probabilities between neighbouring ends, by their smaller tails."""
    below, above = ndtr(ends), ndtr(-ends)
    return np.asarray(
        np.where(
            ends[:, :, :-1] > 0,
            above[:, :, :-1] - above[:, :, 1:],
            below[:, :, 1:] - below[:, :, :-1],
        )
    )


def _log_masses(ends: FloatArray) -> FloatArray:
    """Return the logs of what `_masses` returns, for shape (n, I + 1)."""
    low, high = ends[:, :-1], ends[:, 1:]
    right = low > 0
    more = log_ndtr(np.where(right, -low, high))
    less = log_ndtr(np.where(right, -high, low))
    with np.errstate(divide="ignore"):
        return np.asarray(more + np.log(-np.expm1(np.minimum(less - more, 0.0))))
