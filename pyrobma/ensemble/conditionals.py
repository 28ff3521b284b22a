"""Stage 5: models without selection, their coefficients integrated out.

Given tau, rho, PET and PEESE, coefficients with normal priors are normal. What is left
are at most three dimensions, which quadrature integrates without draws.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from scipy.special import expit, log_expit, log_ndtr

from pyrobma._numerics import normal_log_density
from pyrobma._types import FloatArray, IntArray
from pyrobma.bridge.lattice import MOST_DIMENSIONS, integrate
from pyrobma.bridge.modes import find_modes
from pyrobma.ensemble.predictor import Predictor
from pyrobma.ensemble.quantities import Quantity
from pyrobma.fit import Fit
from pyrobma.models import ModelSpec, Task
from pyrobma.priors import Prior
from pyrobma.priors.density import density

_Weight: TypeAlias = Callable[[FloatArray, FloatArray], FloatArray]

_TOGETHER: Final = 500  # points: a few megabytes for a thousand estimates
_LARGEST: Final = 1e100  # of a parameter, whose square is still a number
_STARTS: Final = (0.0, 0.05, 0.5, 0.95, 1.0)  # quantiles of draws


@dataclass(frozen=True, slots=True)
class Known:
    """A number by quadrature.

    Attributes
    ----------
    log : float
        Its natural log.
    error : float
        A bound of the error of the log.
    """

    log: float
    error: float


def is_normal(given: Prior) -> bool:
    """Whether a prior is normal without ends."""
    unbounded = math.isinf(given.lower) and math.isinf(given.upper)
    return given.family == "normal" and unbounded


def free_coefficients(task: Task, spec: ModelSpec) -> tuple[str, ...]:
    """Return mu and the moderators' coefficients that a model estimates."""
    return tuple(
        row.name
        for row in task.unknowns
        if row.enters in ("intercept", "moderator")
        and not spec.prior(row.name).is_spike
    )


def conjugate(task: Task, spec: ModelSpec) -> bool:
    """Whether the coefficients are normal, given tau, rho and publication bias."""
    linear = task.effect_mapping == "linear" or task.prior_scale == task.effects.measure
    return (
        spec.selection is None
        and linear
        and all(is_normal(spec.prior(name)) for name in free_coefficients(task, spec))
    )


def log_density_at(
    task: Task, fit: Fit, quantity: Quantity, value: float
) -> Known | None:
    """Return the log posterior density of a quantity at a value.

    Parameters
    ----------
    task : Task
    fit : Fit
        Of a model for which `conjugate` is true.
    quantity : Quantity
        A combination of which some coefficient is free.
    value : float
        On the prior scale.

    Returns
    -------
    Known or None
        None where quadrature is too costly.

    Notes
    -----
    The integral over tau, rho, PET and PEESE of their posterior times the normal
    density of the quantity given them. Both together are one integrand: far in a tail
    its mass is where the posterior has next to none, and draws do not reach.
    """
    model = _Model.of(task, fit, dict(quantity.weights))
    return _ratio(
        model.log_integral(lambda mean, sd: normal_log_density(value, mean, sd)),
        _whole(task, fit),
    )


def log_sides_of(
    task: Task, fit: Fit, quantity: Quantity, value: float
) -> tuple[Known, Known] | None:
    """Return the log posterior probabilities of a quantity above and below a value.

    Parameters are those of `log_density_at`; None where quadrature is too costly.
    """
    model = _Model.of(task, fit, dict(quantity.weights))
    above = model.log_integral(lambda mean, sd: log_ndtr((mean - value) / sd))
    below = model.log_integral(lambda mean, sd: log_ndtr((value - mean) / sd))
    if above is None or below is None:
        return None
    log_total = float(np.logaddexp(above.log, below.log))
    error = max(above.error, below.error)
    return Known(above.log - log_total, error), Known(below.log - log_total, error)


def log_change_by(task: Task, fit: Fit, parameter: str, value: float) -> Known | None:
    """Return what fixing an unknown adds to the log marginal likelihood.

    Parameters
    ----------
    task : Task
    fit : Fit
        Of a model for which `conjugate` is true.
    parameter : str
        An unknown that the model estimates, no coefficient: tau, rho, PET or PEESE.
    value : float
        Legal, on the prior scale.

    Returns
    -------
    Known or None
        None where quadrature is too costly.
    """
    model = _Model.of(task, fit, {})
    priors = {name: own for name, own in model.priors.items() if name != parameter}
    kept = np.array([name != parameter for name in model.priors])
    there = replace(
        model,
        priors=priors,
        fixed=model.fixed | {parameter: value},
        starts=np.unique(model.starts[:, kept], axis=0),
    )
    return _ratio(there.log_integral(_nothing), _whole(task, fit))


def _nothing(mean: FloatArray, sd: FloatArray) -> FloatArray:
    return np.zeros_like(mean)


def _ratio(one: Known | None, other: Known | None) -> Known | None:
    if one is None or other is None:
        return None
    return Known(one.log - other.log, one.error + other.error)


def _whole(task: Task, fit: Fit) -> Known | None:
    """Return the log integral of the posterior itself."""
    if not fit.fingerprint:
        return _Model.of(task, fit, {}).log_integral(_nothing)
    return _remembered(_Fitted(fit.fingerprint, fit.seed, task, fit))


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A fit, equal to others with the same data, priors and random numbers."""

    fingerprint: str
    seed: int
    task: Task = field(compare=False)
    fit: Fit = field(compare=False)


@lru_cache(maxsize=512)
def _remembered(fitted: _Fitted) -> Known | None:
    """Return the log integral that all quantities of a model are compared with."""
    return _Model.of(fitted.task, fitted.fit, {}).log_integral(_nothing)


@dataclass(frozen=True, slots=True)
class _Model:
    """The joint density of what is left of a model, and a quantity given it.

    With the free columns Z, prior means a and variances D, r what is left of y by a,
    fixed coefficients and bias, and S the covariance of the estimates, the coefficients
    are N(a + h, A⁻¹) with A = D⁻¹ + Z'S⁻¹Z and h = A⁻¹Z'S⁻¹r, and
    -2 log p(y | tau, rho, bias) = log|S| + log|A| + r'S⁻¹r - h'Ah, but for a constant
    (Lindley and Smith, 1972, doi:10.1111/j.2517-6161.1972.tb00885.x). Here every
    coefficient is divided by its prior standard deviation, so that D is I.
    """

    task: Task
    priors: dict[str, Prior]  # of what is left; its spikes are in `fixed`
    fixed: dict[str, float]
    Z: FloatArray
    rest: FloatArray
    slope: FloatArray
    constant: float
    starts: FloatArray

    @classmethod
    def of(cls, task: Task, fit: Fit, weights: Mapping[str, float]) -> _Model:
        """Return a fitted model, and a sum of its coefficients."""
        spec, K = fit.spec, task.effects.K
        free = free_coefficients(task, spec)
        columns = {
            row.name: task.scale
            * (np.ones(K) if row.enters == "intercept" else task.column(row.name))
            for row in task.unknowns
            if row.enters in ("intercept", "moderator")
        }
        # Of a spike the first value is its location.
        centre = {name: spec.prior(name).values[0] for name in columns}
        root = np.array([spec.prior(name).values[1] for name in free])
        others = [
            row.name for row in task.unknowns if row.scalar and row.name not in columns
        ]
        priors = {n: spec.prior(n) for n in others if not spec.prior(n).is_spike}
        return cls(
            task,
            priors,
            {n: spec.prior(n).location for n in others if n not in priors},
            np.reshape([columns[n] for n in free], (len(free), task.effects.K)).T
            * root,
            task.effects.y - sum(centre[name] * columns[name] for name in columns),
            np.array([weights.get(name, 0.0) for name in free]) * root,
            float(sum(weight * centre[name] for name, weight in weights.items())),
            _starts({n: (p, fit.values(n).ravel()) for n, p in priors.items()}),
        )

    def log_integral(self, weight: _Weight) -> Known | None:
        """Integrate the density times the exponential of a function of mean and sd."""

        def value(points: FloatArray) -> FloatArray:
            log, mean, sd = self.at(points)
            return log + weight(mean, sd)

        if not self.priors:
            return Known(float(value(np.empty((1, 0)))[0]), 0.0)
        if len(self.priors) > MOST_DIMENSIONS:
            return None
        modes = find_modes(value, self.starts)
        found = integrate(value, modes) if modes else None
        return None if found is None else Known(found.logml, found.error)

    def at(self, points: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return log density, and the quantity's mean and sd, at points on the line."""
        log, mean = np.full(len(points), -np.inf), np.zeros(len(points))
        sd = np.ones(len(points))
        values = {}
        total = np.zeros(len(points))
        for (name, own), u in zip(self.priors.items(), points.T, strict=True):
            with np.errstate(over="ignore", divide="ignore"):
                values[name], jacobian = _from_line(own, u)
                total = total + np.log(density(own, values[name])) + jacobian
            total[np.abs(values[name]) > _LARGEST] = -np.inf
        inside = np.flatnonzero(np.isfinite(total))
        for first in range(0, len(inside), _TOGETHER):
            some = inside[first : first + _TOGETHER]
            draws = {name: np.full(len(some), x) for name, x in self.fixed.items()}
            draws |= {name: x[some] for name, x in values.items()}
            own_log, mean[some], sd[some] = self._given(draws)
            log[some] = total[some] + own_log
        return log, mean, sd

    def _given(
        self, draws: dict[str, FloatArray]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        M = self.Z.shape[1]
        products, log_determinant = self._products(
            Predictor(self.task, draws | {"mu": np.zeros_like(draws["tau"])})
        )
        precision, pull = products[:, :M, :M] + np.eye(M), products[:, :M, M]
        both = np.stack(np.broadcast_arrays(pull, self.slope), 2)
        solved = np.linalg.solve(precision, both)
        quadratic = products[:, M, M] - (pull * solved[:, :, 0]).sum(axis=1)
        log = log_determinant + np.linalg.slogdet(precision)[1] + quadratic
        return (
            -0.5 * log,
            self.constant + solved[:, :, 0] @ self.slope,
            np.sqrt(solved[:, :, 1] @ self.slope),
        )

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
    with np.errstate(divide="ignore"):
        below, above = np.log(x - low), np.log(high - x)
    ends = math.isfinite(low), math.isfinite(high)
    found = {
        (True, True): below - above,
        (True, False): below,
        (False, True): above,
        (False, False): x,
    }[ends]
    return np.asarray(found[np.isfinite(found)])
