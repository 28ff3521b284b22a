"""Stage 5: models without selection, their coefficients integrated out.

Given tau, rho, PET and PEESE, coefficients with normal priors are normal. What is left
are at most three dimensions, which quadrature integrates without draws.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.special import expit, log_expit

from pyrobma._types import FloatArray, IntArray
from pyrobma.bridge.lattice import MOST_DIMENSIONS, LatticeResult, integrate
from pyrobma.bridge.modes import find_modes
from pyrobma.ensemble.predictor import Predictor
from pyrobma.fit import Fit
from pyrobma.models import ModelSpec, Task
from pyrobma.priors import Prior
from pyrobma.priors.density import density

_TOGETHER: Final = 500  # points: a few megabytes for a thousand estimates
_LARGEST: Final = 1e100  # of a parameter, whose square is still a number
_CLIMBS: Final = 3
_STARTS: Final = (0.0, 0.05, 0.5, 0.95, 1.0)  # quantiles of draws


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The normal distribution of a model's coefficients at each of some points.

    Attributes
    ----------
    mean : array of shape (n, M)
        In prior standard deviations from the prior means.
    precision : array of shape (n, M, M)
        In the same unit.
    """

    mean: FloatArray
    precision: FloatArray

    def total(self, slope: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of a sum, shape (n,) each."""
        wide = np.broadcast_to(slope[:, None], (len(self.mean), len(slope), 1))
        solved = np.linalg.solve(self.precision, wide)[:, :, 0]
        return self.mean @ slope, np.sqrt(solved @ slope)


@dataclass(frozen=True, slots=True)
class Collapsed:
    """The posterior of tau, rho, PET and PEESE alone, and of coefficients given these.

    Attributes
    ----------
    task : Task
    priors : mapping of str to Prior
        Of those of them that are free; the dimensions of points, which are on the real
        line.
    fixed : mapping of str to float
        The others.
    free : tuple of str
        The free coefficients.
    Z : array of shape (K, M)
        Their columns, times their prior standard deviations.
    rest : array of shape (K,)
        What prior means and fixed coefficients leave of the estimates.
    starts : array of shape (n, D)
        Points to look from.

    Notes
    -----
    With r what the bias leaves of `rest`, and S the covariance of the estimates,
    coefficients are N(h, A⁻¹) with A = I + Z'S⁻¹Z and h = A⁻¹Z'S⁻¹r, and
    -2 log p(y | tau, rho, bias) = log|S| + log|A| + r'S⁻¹r - h'Ah, but for a constant
    (Lindley and Smith, 1972, doi:10.1111/j.2517-6161.1972.tb00885.x).
    """

    task: Task
    priors: Mapping[str, Prior]
    fixed: Mapping[str, float]
    free: tuple[str, ...]
    Z: FloatArray
    rest: FloatArray
    starts: FloatArray

    @classmethod
    def of(cls, task: Task, fit: Fit) -> Collapsed:
        """Return that of a fitted model, which has no selection."""
        spec, K = fit.spec, task.effects.K
        free = free_coefficients(task, spec)
        columns = {
            row.name: task.scale * task.column(row.name)
            for row in task.unknowns
            if row.in_mean
        }
        # Of a spike the first value is its location.
        known = sum(columns[name] * spec.prior(name).values[0] for name in columns)
        scaled = [columns[name] * spec.prior(name).values[1] for name in free]
        others = [
            row.name for row in task.unknowns if row.scalar and row.name not in columns
        ]
        priors = {n: spec.prior(n) for n in others if not spec.prior(n).is_spike}
        return cls(
            task,
            priors,
            {n: spec.prior(n).location for n in others if n not in priors},
            free,
            np.reshape(scaled, (len(free), K)).T,
            task.effects.y - known,
            _starts({n: (p, fit.values(n).ravel()) for n, p in priors.items()}),
        )

    def given(self, parameter: str, value: float) -> Collapsed:
        """Return that of the model in which one of them is fixed."""
        kept = np.array([name != parameter for name in self.priors])
        return replace(
            self,
            priors={n: p for n, p in self.priors.items() if n != parameter},
            fixed={**self.fixed, parameter: value},
            starts=np.unique(self.starts[:, kept], axis=0),
        )

    def integrated(
        self, log_density: Callable[[FloatArray], FloatArray]
    ) -> LatticeResult | None:
        """Integrate a density of the points; None if that is too costly."""
        if len(self.priors) > MOST_DIMENSIONS:
            return None
        modes = find_modes(log_density, self.starts, most=_CLIMBS)
        return integrate(log_density, modes) if modes else None

    def at(self, points: FloatArray) -> tuple[FloatArray, Coefficients]:
        """Return log densities at points of shape (n, D), and coefficients given them.

        Both are without meaning where the density is 0.
        """
        n, M = len(points), len(self.free)
        log, total, values = np.full(n, -np.inf), np.zeros(n), {}
        for (name, own), u in zip(self.priors.items(), points.T, strict=True):
            with np.errstate(over="ignore", divide="ignore"):
                values[name], jacobian = _from_line(own, u)
                total = total + np.log(density(own, values[name])) + jacobian
            total[np.abs(values[name]) > _LARGEST] = -np.inf
        found = Coefficients(np.zeros((n, M)), np.tile(np.eye(M), (n, 1, 1)))
        inside = np.flatnonzero(np.isfinite(total))
        for first in range(0, len(inside), _TOGETHER):
            some = inside[first : first + _TOGETHER]
            draws = {name: np.full(len(some), x) for name, x in self.fixed.items()}
            draws |= {name: x[some] for name, x in values.items()}
            own_log, found.mean[some], found.precision[some] = self._given(draws)
            log[some] = total[some] + own_log
        return log, found

    def _given(
        self, draws: dict[str, FloatArray]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        M = len(self.free)
        products, log_determinant = self._products(
            Predictor(self.task, draws | {"mu": np.zeros_like(draws["tau"])})
        )
        precision, pull = products[:, :M, :M] + np.eye(M), products[:, :M, M]
        mean = np.asarray(np.linalg.solve(precision, pull[:, :, None])[:, :, 0])
        quadratic = products[:, M, M] - (pull * mean).sum(axis=1)
        log = log_determinant + np.linalg.slogdet(precision)[1] + quadratic
        return -0.5 * log, mean, precision

    def _products(self, study: Predictor) -> tuple[FloatArray, FloatArray]:
        """Return [Z r]'S⁻¹[Z r], shape (S, M + 1, M + 1), and log|S|, shape (S,).

        S is diagonal plus rank one in every cluster. What columns have along the common
        factor of a cluster is taken apart from the rest: the difference of large sums
        would lose digits where rho is near 1.
        """
        effects, (K, M) = self.task.effects, self.Z.shape
        every, S = np.arange(K), len(study.draws["tau"])
        variance = effects.se[:, None] ** 2 + study.within(every)
        residual = np.broadcast_to(self.rest[:, None] - study.bias(every), (K, S))
        columns = np.concatenate(
            [np.broadcast_to(self.Z[:, :, None], (K, M, S)), residual[:, None]], axis=1
        )
        W = 1.0 / variance
        log_determinant = np.log(variance).sum(axis=0)
        load = np.broadcast_to(study.loading(every), (K, S))
        if not load.any():
            return _crossed(columns * np.sqrt(W)[:, None]), log_determinant
        order = np.argsort(effects.cluster, kind="stable")
        starts = np.searchsorted(effects.cluster[order], np.arange(effects.L))
        size = _sums((W * load**2)[order], starts)
        along = _sums((columns * (W * load)[:, None])[order], starts)
        along = along / np.where(size > 0, size, 1.0)[:, None]
        left = columns - load[:, None] * along[effects.cluster]
        rows = [left * np.sqrt(W)[:, None], along * np.sqrt(size / (1 + size))[:, None]]
        return (
            _crossed(np.concatenate(rows)),
            log_determinant + np.log1p(size).sum(axis=0),
        )


def free_coefficients(task: Task, spec: ModelSpec) -> tuple[str, ...]:
    """Return mu and the moderators' coefficients that a model estimates."""
    return tuple(
        row.name
        for row in task.unknowns
        if row.in_mean and not spec.prior(row.name).is_spike
    )


def _sums(rows: FloatArray, starts: IntArray) -> FloatArray:
    return np.asarray(np.add.reduceat(rows, starts, axis=0))


def _crossed(rows: FloatArray) -> FloatArray:
    """Return sums over rows of products of columns, for shape (rows, columns, S)."""
    return np.asarray(rows.transpose(2, 1, 0) @ rows.transpose(2, 0, 1))


def _starts(draws: dict[str, tuple[Prior, FloatArray]]) -> FloatArray:
    """Return points among draws and as far again to either side, shape (n, D)."""
    choices = []
    for own, values in draws.values():
        found = np.quantile(_to_line(own, values), _STARTS)
        reach = found[-1] - found[0] + 1.0
        choices.append([found[0] - reach, *found, found[-1] + reach])
    points = [*itertools.product(*choices)]
    return np.array(points).reshape(len(points), len(draws))


def _from_line(own: Prior, u: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return values between a prior's ends from the real line, and log dx/du."""
    low, high = own.lower, own.upper
    if math.isfinite(low) and math.isfinite(high):
        width = high - low
        return low + width * expit(u), math.log(width) + log_expit(u) + log_expit(-u)
    if math.isfinite(low):
        return low + np.exp(u), u
    if math.isfinite(high):
        return high - np.exp(u), u
    return u, np.zeros_like(u)


def _to_line(own: Prior, x: FloatArray) -> FloatArray:
    low, high = own.lower, own.upper
    if not (math.isfinite(low) or math.isfinite(high)):
        return x
    found = np.zeros_like(x)
    # A draw may have been rounded to an end.
    with np.errstate(divide="ignore"):
        if math.isfinite(low):
            found = found + np.log(x - low)
        if math.isfinite(high):
            sign = -1.0 if math.isfinite(low) else 1.0
            found = found + sign * np.log(high - x)
    return found[np.isfinite(found)]
