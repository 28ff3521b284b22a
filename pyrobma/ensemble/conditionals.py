"""Stage 5: coefficients of the mean, given everything else, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pyrobma._types import FloatArray, IntArray
from pyrobma.ensemble.joint import FitDraws
from pyrobma.ensemble.predictor import Predictor
from pyrobma.ensemble.quantities import Quantity
from pyrobma.fit import Fit
from pyrobma.models import ModelSpec, Task
from pyrobma.priors import Prior

_TOGETHER = 500  # draws: a few megabytes for a thousand estimates


@dataclass(frozen=True, slots=True)
class Conditional:
    """A quantity's normal distribution in every draw of the other unknowns.

    Attributes
    ----------
    mean, sd : array of shape (chains, draws)
    """

    mean: FloatArray
    sd: FloatArray


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


def conditional(task: Task, fit: Fit, quantity: Quantity) -> Conditional:
    r"""Return the distribution of a quantity given tau, rho, PET and PEESE.

    Parameters
    ----------
    task : Task
    fit : Fit
        Of a model for which `conjugate` is true.
    quantity : Quantity
        A combination of which some coefficient is free.

    Returns
    -------
    Conditional

    Notes
    -----
    With the free columns Z and prior means a and variances D, r what is left of y by
    a, fixed coefficients and bias, and S the covariance of the estimates,
    b | y ~ N(a + h, A⁻¹) with :math:`A = D^{-1} + Z'S^{-1}Z` and
    :math:`h = A^{-1}Z'S^{-1}r` (Lindley and Smith, 1972, doi:10.1111/
    j.2517-6161.1972.tb00885.x). S is diagonal plus rank one in every cluster, so that
    its inverse is in closed form.
    """
    spec, effects = fit.spec, task.effects
    free = free_coefficients(task, spec)
    unit = np.ones(effects.K)
    Z = task.scale * np.column_stack(
        [unit if name == "mu" else task.column(name) for name in free]
    )
    a = np.array([spec.prior(name).values[0] for name in free])
    D = np.array([spec.prior(name).values[1] ** 2 for name in free])
    weights = dict(quantity.weights)
    c = np.array([weights.get(name, 0.0) for name in free])
    fixed = sum(
        weight * spec.prior(name).location
        for name, weight in quantity.weights
        if name not in free
    )
    known = np.zeros(effects.K)
    for row in task.unknowns:
        if row.enters in ("intercept", "moderator") and row.name not in free:
            column = unit if row.name == "mu" else task.column(row.name)
            known = known + task.scale * column * spec.prior(row.name).location
    rest = effects.y - known - Z @ a
    draws = FitDraws(fit)
    shape = np.broadcast_shapes(
        *(draws[row.name].shape for row in task.unknowns if row.scalar)
    )
    flat = {
        row.name: np.broadcast_to(draws[row.name], shape).ravel()
        for row in task.unknowns
        if row.scalar
    }
    size = int(np.prod(shape))
    mean, sd = np.empty(size), np.empty(size)
    order = np.argsort(effects.cluster, kind="stable")
    starts = np.searchsorted(effects.cluster[order], np.arange(effects.L))
    for first in range(0, size, _TOGETHER):
        some = slice(first, first + _TOGETHER)
        study = Predictor(task, {name: x[some] for name, x in flat.items()})
        precision, h = _normal_equations(study, order, starts, Z, rest)
        precision = precision + np.diag(1 / D)
        solved = np.linalg.solve(precision, np.stack(np.broadcast_arrays(h, c), 2))
        mean[some] = fixed + c @ a + solved[:, :, 0] @ c
        sd[some] = np.sqrt(solved[:, :, 1] @ c)
    return Conditional(mean.reshape(shape), sd.reshape(shape))


def _normal_equations(
    study: Predictor, order: IntArray, starts: IntArray, Z: FloatArray, rest: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return Z'S⁻¹Z of shape (S, M, M) and Z'S⁻¹r of shape (S, M)."""
    S, (K, M) = len(study.draws["tau"]), Z.shape
    every = np.arange(K)
    variance = study.task.effects.se[:, None] ** 2 + study.within(every)
    load = np.broadcast_to(study.loading(every), (K, S))
    residual = rest[:, None] - study.bias(every)
    W = 1 / variance
    columns = np.concatenate(
        [np.broadcast_to(Z[:, :, None], (K, M, S)), residual[:, None]], axis=1
    )
    weighted = columns * W[:, None]
    products = np.einsum("kms,kns->smn", columns[:, :M], weighted)
    # What the common factor of a cluster takes away: a matrix of rank one for each.
    u = np.add.reduceat((weighted * load[:, None])[order], starts, axis=0)
    total = 1 + np.add.reduceat((W * load**2)[order], starts, axis=0)
    products -= np.einsum("lms,lns,ls->smn", u[:, :M], u, 1 / total)
    return products[:, :, :M], products[:, :, M]
