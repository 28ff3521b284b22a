"""Stage 5: true effects on scales that do not hold all of them, or not their mean."""

from __future__ import annotations

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects import RATIOS, Measure, scale_factor
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.scales import (
    Converter,
    check_output_scale,
    true_effect_converter,
)
from pyrobma.models import Task

_ENDS: dict[Measure, tuple[float, float]] = {
    "r": (-1.0, 1.0),
    **dict.fromkeys(RATIOS, (0.0, np.inf)),
}


def extended_converter(task: Task, output_scale: Measure | None) -> Converter:
    """Return `true_effect_converter` continued to where it has no value.

    Parameters
    ----------
    task : Task
        The data and their mapping.
    output_scale : str, optional
        Measure of the values. None: the prior scale.

    Returns
    -------
    callable
        Carries true effects on the measure of the likelihood to the output. Infinite
        effects give the ends of the output scale, and so do normal true effects on the
        correlation scale that lie beyond ±1, so that quantiles keep their order.
    """
    convert = true_effect_converter(task, output_scale)
    target = check_output_scale(task, output_scale)
    source, factor = (
        task.prior_scale,
        scale_factor(task.effects.measure, task.prior_scale),
    )
    if task.effect_mapping == "exact":
        source, factor = task.effects.measure, 1.0
    if source == target == "r":
        return lambda theta: np.clip(theta * factor, -1.0, 1.0)
    if source == target:
        return convert
    bound = 1 / factor if source == "r" else np.inf
    low, high = _ENDS.get(target, (-np.inf, np.inf))

    def extended(theta: FloatArray) -> FloatArray:
        inside = np.abs(theta) < bound
        if inside.all():
            return convert(theta)
        values = np.where(theta > 0, high, low)
        values[inside] = convert(theta[inside])
        return values

    return extended


def mean_exists(
    ensemble: Ensemble, output_scale: Measure | None, given: BoolArray
) -> bool:
    """Whether a true effect with all of the heterogeneity has a mean on the output.

    Parameters
    ----------
    ensemble : Ensemble
        The data, their mapping and the models.
    output_scale : str, optional
        Measure of the effect. None: the prior scale.
    given : array of bool, shape (number of models,)
        The models that count.

    Returns
    -------
    bool
        False where the conversion grows exponentially (to ratios; from Fisher's z
        to Cohen's d or log odds ratios, 2 sinh(z)) and tau is free without an upper
        bound: its posterior falls off as a power, and exp(c T^2 / 2) has no mean. Nor
        has it where T^2 has moderators, with free coefficients in its exponent.
    """
    task = ensemble.task
    target = check_output_scale(task, output_scale)
    exact = task.effect_mapping == "exact"
    source = task.effects.measure if exact else task.prior_scale
    grows = (target in RATIOS and source not in RATIOS) or (
        source == "fishers_z" and target in ("cohens_d", "logOR")
    )
    models = [m for m, is_in in zip(ensemble.space.models, given, strict=True) if is_in]
    scale = [row.name for row in ensemble.unknowns if row.enters == "scale"]
    unbounded = [m.prior(name) for m in models for name in ("tau", *scale)]
    return not (grows and any(not p.is_spike and np.isinf(p.upper) for p in unbounded))
