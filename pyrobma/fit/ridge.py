"""Where data want mu and the coefficients to be, heterogeneity by heterogeneity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.fit.stan_data import column_centres, program_names
from pyrobma.models import ModelSpec, Task
from pyrobma.priors import Prior

_TAUS: Final = 24
_LOGITS_OF_RHO: Final = (-3.0, 0.0, 3.0)
_LOGITS_OF_WEIGHTS: Final = (1.5, -3.0)
_SPREAD_OF_LOGITS: Final = 1.5
_DRAWS: Final = 400
_COUNTS: Final = 25.0  # e-folds of mass below the highest peak that make one negligible


@dataclass(frozen=True, slots=True)
class Peak:
    """A maximum of the density of tau along a ridge.

    Attributes
    ----------
    top : array of shape (D,)
        The point there, on the constrained scale.
    draws : array of shape (n, D)
        From about the part of the posterior that belongs to it.
    """

    top: FloatArray
    draws: FloatArray


@dataclass(frozen=True, slots=True)
class Ridge:
    """The ridge of a posterior, from no heterogeneity to much.

    Attributes
    ----------
    task : Task
    spec : ModelSpec
    names : tuple of str
        Which unknown each of the program's own parameters is.
    taus : array of shape (T,)
    logits : array of shape (V, D)
        Choices for rho and weights; 0 for other parameters.
    mean : array of shape (V, T, P)
        Of mu and the free coefficients, given these.
    factor : array of shape (V, T, P, P)
        ``factor @ factor.T`` is their covariance.
    """

    task: Task
    spec: ModelSpec
    names: tuple[str, ...]
    taus: FloatArray
    logits: FloatArray
    mean: FloatArray
    factor: FloatArray

    @property
    def points(self) -> FloatArray:
        """Constrained points along the ridge, shape (V, T, D)."""
        V, T = self.mean.shape[:2]
        logits = np.repeat(self.logits[:, None], T, axis=1)
        return self._placed(logits, np.tile(self.taus, (V, 1)), self.mean)

    def peaks(self, log_density: FloatArray) -> tuple[Peak, ...]:
        """Return the maxima of the density of tau that count, the highest first.

        Parameters
        ----------
        log_density : array of shape (V, T)
            Of the posterior, at `points`.

        Notes
        -----
        The log density at a point and the log root determinant of the covariance
        around it sum to the log density of tau alone, but for a constant. Of the
        choices for rho and weights the best counts.
        """
        values = np.where(np.isfinite(log_density), log_density, -np.inf)
        values = values + np.linalg.slogdet(self.factor)[1]
        best, along = values.argmax(axis=0), values.max(axis=0)
        padded = np.concatenate([[-np.inf], along, [-np.inf]])
        tops = np.flatnonzero((along > padded[:-2]) & (along >= padded[2:]))
        tops = tops[along[tops] > along.max() - _COUNTS]
        # From one valley to the next.
        valleys = [
            one + int(along[one:other].argmin())
            for one, other in itertools.pairwise(tops)
        ]
        rng, points = np.random.default_rng(1), self.points
        found = []
        for top, (low, high) in zip(
            tops, itertools.pairwise([0, *valleys, len(along)]), strict=True
        ):
            share = np.exp(along[low:high] - along[top])
            t = low + rng.choice(high - low, size=_DRAWS, p=share / share.sum())
            found.append(Peak(points[best[top], top], self._drawn(rng, best[t], t)))
        order = np.argsort(-along[tops], kind="stable")
        return tuple(found[i] for i in order)

    def _drawn(
        self, rng: np.random.Generator, v: FloatArray, t: FloatArray
    ) -> FloatArray:
        logits = self.logits[v] + _SPREAD_OF_LOGITS * rng.normal(size=(len(v), 1))
        step = math.log(self.taus[-1] / self.taus[-2]) if len(self.taus) > 1 else 0.0
        tau = self.taus[t] * np.exp(step * rng.uniform(-0.5, 0.5, len(t)))
        normal = rng.normal(size=(len(t), self.mean.shape[2], 1))
        points = self._placed(
            logits, tau, self.mean[v, t] + (self.factor[v, t] @ normal)[:, :, 0]
        )
        for j, name in enumerate(self.names):
            if self.task.unknowns[name].enters == "scale":
                own = self.spec.prior(name)
                centre, sd = _moments(own)
                points[:, j] = _inside(own, centre + sd * rng.normal(size=len(t)))
        return points

    def _placed(
        self, logits: FloatArray, tau: FloatArray, linear: FloatArray
    ) -> FloatArray:
        """Return constrained points; mu is that of the program, which is shifted."""
        points = np.empty(logits.shape)
        coefficients = iter(np.moveaxis(linear, -1, 0))
        for j, name in enumerate(self.names):
            enters = self.task.unknowns[name].enters
            if enters in ("correlation", "weights"):
                points[..., j] = logits[..., j]
            elif enters == "scale":  # as if all estimates had the same heterogeneity
                points[..., j] = _moments(self.spec.prior(name))[0]
            else:
                values = tau if enters == "sd" else next(coefficients)
                points[..., j] = _inside(self.spec.prior(name), values)
        if "mu" in self.names:
            for name, centre in column_centres(self.task, self.spec).items():
                known = self.spec.prior(name)
                value = (
                    points[..., self.names.index(name)]
                    if not known.is_spike
                    else (known.location)
                )
                points[..., self.names.index("mu")] += centre * value
        return points


def ridge(task: Task, spec: ModelSpec, columns: Sequence[str]) -> Ridge | None:
    """Return the ridge of a model's posterior.

    Parameters
    ----------
    task : Task
    spec : ModelSpec
    columns : sequence of str
        The program's own parameters.

    Returns
    -------
    Ridge or None
        None if mu and all coefficients are fixed.

    Notes
    -----
    Given tau and rho, mu and the coefficients have the covariance
    :math:`A^{-1} = (D^{-1} + Z'S^{-1}Z)^{-1}` and the mean
    :math:`a + A^{-1}Z'S^{-1}(y - Za)`, for normal priors (Lindley and Smith, 1972,
    doi:10.1111/j.2517-6161.1972.tb00885.x); for others D is about their variances.
    Where data are far from the priors of several coefficients at once, no point with a
    typical value of each is near a mode, and the posterior can have two parts: large
    coefficients with little heterogeneity, and small ones with much.
    """
    own = program_names(task, spec).own
    names = tuple(own[column] for column in columns)
    enters = {name: task.unknowns[name].enters for name in names}
    free = [n for n in names if task.unknowns[n].in_mean or enters[n] == "bias"]
    if not free:
        return None
    Z, rest, centre, sd = _regression(task, spec, free)
    taus = _taus(task, spec.prior("tau"))
    logits, mean, factor = [], [], []
    for rho, of_rho in _choices_of_rho(spec):
        given = _given(task, Z * sd, rest, taus, rho)
        for of_weights in _LOGITS_OF_WEIGHTS if "omega" in names else (0.0,):
            chosen = {"correlation": of_rho, "weights": of_weights}
            logits.append([chosen.get(enters[name], 0.0) for name in names])
            mean.append(centre + sd * given[0])
            factor.append(sd[:, None] * given[1])
    return Ridge(
        task, spec, names, taus, np.array(logits), np.array(mean), np.array(factor)
    )


def _regression(
    task: Task, spec: ModelSpec, free: Sequence[str]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return columns, what prior means leave of y, and prior means and deviations."""
    columns = {}
    for row in task.unknowns:
        if row.in_mean or row.coefficient:
            unit = task.scale if row.in_mean else 1.0
            columns[row.name] = unit * task.column(row.name)
    moments = {name: _moments(spec.prior(name)) for name in columns}
    rest = task.effects.y - sum(columns[name] * moments[name][0] for name in columns)
    centre, sd = np.array([moments[name] for name in free]).T
    return np.column_stack([columns[name] for name in free]), rest, centre, sd


def _moments(own: Prior) -> tuple[float, float]:
    """Return about the mean and the standard deviation of a prior."""
    if own.is_spike:
        return own.location, 0.0
    if own.family in ("normal", "student_t", "cauchy"):
        return own.values[0], own.values[1]
    if math.isfinite(own.lower) and math.isfinite(own.upper):
        return 0.5 * (own.lower + own.upper), 0.3 * (own.upper - own.lower)
    return 0.0, max(own.values)


def _inside(own: Prior, values: FloatArray) -> FloatArray:
    """Move values that a prior excludes just inside its ends."""
    both = math.isfinite(own.lower) and math.isfinite(own.upper)
    room = own.upper - own.lower if both else max(own.values)
    return np.clip(values, own.lower + 1e-3 * room, own.upper - 1e-3 * room)


def _taus(task: Task, own: Prior) -> FloatArray:
    if own.is_spike:
        return np.array([own.location])
    y, se = task.effects.y / task.scale, task.effects.se / task.scale
    far = 3.0 * float(np.abs(y - np.median(y)).max()) + float(se.max())
    return np.geomspace(float(se.min()) / 10.0, far, _TAUS)


def _choices_of_rho(spec: ModelSpec) -> list[tuple[float, float]]:
    """Return values of rho, and the logits of their place between its ends."""
    rho = spec.prior("rho")
    if rho.is_spike:
        return [(rho.location, 0.0)]
    low, high = max(rho.lower, 0.0), min(rho.upper, 1.0)
    return [(low + (high - low) / (1.0 + math.exp(-u)), u) for u in _LOGITS_OF_RHO]


def _given(
    task: Task, Z: FloatArray, rest: FloatArray, taus: FloatArray, rho: float
) -> tuple[FloatArray, FloatArray]:
    """Return means and factors of coefficients with prior N(0, 1), given each tau."""
    effects = task.effects
    columns = np.column_stack([Z, rest])
    means, factors = [], []
    for T2 in (task.scale * taus) ** 2:
        W = 1.0 / (effects.se**2 + (1.0 - rho) * T2)
        products = (columns * W[:, None]).T @ columns
        if rho * T2 > 0 and effects.clustered:
            size = np.bincount(effects.cluster, W)
            along = [np.bincount(effects.cluster, column * W) for column in columns.T]
            inflation = rho * T2 / (1.0 + rho * T2 * size)
            products = products - (np.array(along) * inflation) @ np.array(along).T
        A, pull = products[:-1, :-1] + np.eye(Z.shape[1]), products[:-1, -1]
        means.append(np.linalg.solve(A, pull))
        values, vectors = np.linalg.eigh(A)
        factors.append(vectors / np.sqrt(np.maximum(values, 1.0)))
    return np.array(means), np.array(factors)
