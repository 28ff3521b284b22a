"""Stage 5: densities and probabilities of sums of coefficients, by quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import numpy as np
from scipy.special import log_ndtr

from pyrobma._numerics import normal_log_density
from pyrobma._types import FloatArray
from pyrobma.bridge.lattice import MOST_DIMENSIONS, LatticeResult
from pyrobma.ensemble.collapsed import Coefficients, Collapsed, free_coefficients
from pyrobma.ensemble.quantities import Quantity
from pyrobma.fit import Fit
from pyrobma.models import ModelSpec, Task
from pyrobma.priors import Prior

_Weight: TypeAlias = Callable[[FloatArray, FloatArray], FloatArray]

_WANTED: Final = 5e-4
"""Relative error of an integral over the posterior's points above which it gets points
of its own."""
_MOST_AT_THE_EDGE: Final = 1e-5
"""Share of such an integral in the outermost points above which much of it may be
beyond them."""
_FEWEST_CARRYING: Final = 0.5
"""Number of points that carry such an integral, over that of those that carry the
posterior, below which they may be too far apart."""
_LEAST_ERROR: Final = (0.0, 2e-6, 5e-4, 5e-4)
"""By number of dimensions: two lattices may agree by chance."""


@dataclass(frozen=True, slots=True)
class Known:
    """A number that is known but for a small error.

    Attributes
    ----------
    log : float
        Its natural log.
    error : float
        Of the log.
    """

    log: float
    error: float


def is_normal(given: Prior) -> bool:
    """Whether a prior is normal without ends."""
    unbounded = math.isinf(given.lower) and math.isinf(given.upper)
    return given.family == "normal" and unbounded


def conjugate(task: Task, spec: ModelSpec) -> bool:
    """Whether the coefficients are normal, given tau, rho and publication bias.

    They are not if the data are counts.
    """
    linear = task.effect_mapping == "linear" or task.prior_scale == task.effects.measure
    return (
        spec.selection is None
        and task.effects.counts is None
        and linear
        and all(is_normal(spec.prior(name)) for name in free_coefficients(task, spec))
    )


def log_densities_at(
    task: Task, fit: Fit, asked: Sequence[tuple[Quantity, float]]
) -> list[Known | None]:
    """Return log posterior densities of quantities at values.

    Parameters
    ----------
    task : Task
    fit : Fit
        Of a model for which `conjugate` is true.
    asked : sequence of (Quantity, float)
        Combinations of which some coefficient is free, and values on the prior scale.

    Returns
    -------
    list of Known or None
        None where quadrature is too costly.

    Notes
    -----
    The integral over tau, rho, PET and PEESE of their posterior times the normal
    density of the quantity given them: a mean over the points that integrate the
    posterior, or an integral of its own far in a tail, where the mass of the integrand
    is where the posterior has next to none.
    """
    model = _Integrals.of(task, fit)
    return [
        model.log_mean(dict(quantity.weights), partial(normal_log_density, value))
        for quantity, value in asked
    ]


def log_sides_of(
    task: Task, fit: Fit, quantity: Quantity, value: float
) -> tuple[Known, Known] | None:
    """Return log posterior probabilities of a quantity above and below a value.

    Parameters are as those of `log_densities_at`; None where quadrature is too costly.
    """
    model = _Integrals.of(task, fit)
    weights = dict(quantity.weights)
    above = model.log_mean(weights, lambda mean, sd: log_ndtr((mean - value) / sd))
    below = model.log_mean(weights, lambda mean, sd: log_ndtr((value - mean) / sd))
    return None if above is None or below is None else (above, below)


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
    model = Collapsed.of(task, fit)
    free = _integral(model, lambda points: model.at(points)[0])
    fixed = model.given(parameter, value)
    there = _integral(fixed, lambda points: fixed.at(points)[0])
    return _ratio(there, free)


def _integral(
    model: Collapsed, log_density: Callable[[FloatArray], FloatArray]
) -> Known | None:
    if not model.priors:
        return Known(float(log_density(np.empty((1, 0)))[0]), 0.0)
    return _known(model, model.integrated(log_density))


def _known(model: Collapsed, found: LatticeResult | None) -> Known | None:
    if found is None:
        return None
    return Known(found.logml, max(found.error, _LEAST_ERROR[len(model.priors)]))


def _ratio(one: Known | None, other: Known | None) -> Known | None:
    if one is None or other is None:
        return None
    return Known(one.log - other.log, one.error + other.error)


@dataclass(frozen=True, slots=True)
class _Integrals:
    """A model with points that integrate its posterior; None if they are too many."""

    model: Collapsed
    centre: Mapping[str, float]
    root: FloatArray
    points: LatticeResult | None
    there: Coefficients | None

    @classmethod
    def of(cls, task: Task, fit: Fit) -> _Integrals:
        model, spec = Collapsed.of(task, fit), fit.spec
        points, there = None, None
        if not model.priors:
            there = model.at(np.empty((1, 0)))[1]
        elif len(model.priors) <= MOST_DIMENSIONS:
            points = model.integrated(lambda points: model.at(points)[0])
            there = None if points is None else model.at(points.points)[1]
        return cls(
            model,
            {name: p.values[0] for name, p in spec.priors},
            np.array([spec.prior(name).values[1] for name in model.free]),
            points,
            there,
        )

    def log_mean(self, sums: Mapping[str, float], weight: _Weight) -> Known | None:
        """Return the log posterior mean of the exponential of a function.

        Of mean and standard deviation of a sum with these weights.
        """
        if self.there is None:
            return None
        slope = self.root * [sums.get(name, 0.0) for name in self.model.free]
        constant = sum(w * self.centre.get(name, 0.0) for name, w in sums.items())
        mean, sd = self.there.total(slope)
        logs = weight(constant + mean, sd)
        if self.points is None:
            return Known(float(logs[0]), 0.0)
        over_points = _mean_over(self.points, logs, len(self.model.priors))
        if over_points is not None:
            return over_points

        def value(points: FloatArray) -> FloatArray:
            log, given = self.model.at(points)
            mean, sd = given.total(slope)
            return log + weight(constant + mean, sd)

        return _ratio(_integral(self.model, value), _known(self.model, self.points))


def _mean_over(points: LatticeResult, logs: FloatArray, dimension: int) -> Known | None:
    """Return the log mean of exponentials over points; None if they do not suit it."""
    highest = float(logs.max())
    ratios = np.exp(logs - highest)
    mean, error = (float(x[0]) for x in points.mean(ratios[:, None]))
    weights = points.weights * ratios
    at_the_edge = float(weights @ points.edge) / mean
    carrying = mean**2 / float(weights @ weights)
    carrying *= float(points.weights @ points.weights)
    if (
        error > _WANTED * mean
        or at_the_edge > _MOST_AT_THE_EDGE
        or carrying < _FEWEST_CARRYING
    ):
        return None
    return Known(highest + math.log(mean), max(error / mean, _LEAST_ERROR[dimension]))
