"""Stage 5: between the prior scale, the measure of the likelihood and the output."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.effects import MEASURES, RATES, Measure, scale_factor, transform_effect
from pyrobma.errors import DataError
from pyrobma.models import Task

Converter = Callable[[FloatArray], FloatArray]


def data_mean(task: Task, mu: FloatArray) -> FloatArray:
    """Return the mean of true effects on the measure of the likelihood.

    Parameters
    ----------
    task : Task
        Its mapping, linear or exact, is that of the Stan programs.
    mu : array
        Effects on the prior scale.
    """
    prior_scale, measure = task.prior_scale, task.effects.measure
    if task.effect_mapping == "exact":
        return transform_effect(mu, prior_scale, measure)
    return mu * task.scale


def data_sd(task: Task, tau: FloatArray) -> FloatArray:
    """Return the sd of true effects on the measure of the likelihood, from tau."""
    return tau * task.scale


def check_output_scale(task: Task, output_scale: Measure | None) -> Measure:
    """Return the measure to report on; None means the prior scale."""
    prior_scale = task.prior_scale
    target = prior_scale if output_scale is None else output_scale
    if target not in MEASURES:
        raise DataError(
            f"output_scale: expected one of {', '.join(MEASURES)}; got {target!r}."
        )
    if (target == "none") != (prior_scale == "none"):
        raise DataError(
            "output_scale: expected 'none' exactly for effects in units of their "
            f"own; got {target!r} with priors on {prior_scale!r}."
        )
    if (target in RATES) != (prior_scale in RATES):
        raise DataError(
            f"output_scale: expected {' or '.join(map(repr, RATES))} exactly for "
            f"counts over person-time; got {target!r} with priors on {prior_scale!r}."
        )
    return target


def effect_converter(task: Task, output_scale: Measure | None) -> Converter:
    """Return the function that carries effects from the prior scale to the output."""
    target = check_output_scale(task, output_scale)
    return _from(task.prior_scale, target)


def true_effect_converter(task: Task, output_scale: Measure | None) -> Converter:
    """Return the function that carries true effects from the likelihood to the output.

    Back to the prior scale by the task's own mapping, then as mu is converted, so that
    true effects are reported on the same footing as their mean.
    """
    target = check_output_scale(task, output_scale)
    if task.effect_mapping == "exact":
        return _from(task.effects.measure, target)
    factor = scale_factor(task.effects.measure, task.prior_scale)
    convert = _from(task.prior_scale, target)
    return lambda theta: convert(theta * factor)


def estimate_converter(task: Task, output_scale: Measure | None) -> Converter:
    """Return the exact conversion of estimates from the likelihood to the output."""
    return _from(task.effects.measure, check_output_scale(task, output_scale))


def _from(source: Measure, target: Measure) -> Converter:
    if target == source:
        return lambda x: x

    def convert(x: FloatArray) -> FloatArray:
        # The linear mapping lets a mean correlation leave its range.
        if source == "r" and x.size and np.abs(x).max() >= 1:
            raise DataError(
                "output_scale: expected effects between -1 and 1, as a correlation "
                f"is; got {float(x.flat[np.abs(x).argmax()]):.3f}. Truncate the priors "
                "of mu to (-1, 1)."
            )
        return transform_effect(x, source, target)

    return convert
