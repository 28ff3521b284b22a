"""Stage 5: conversion of true effects that includes the ends of every scale."""

from __future__ import annotations

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.effects import Measure, scale_factor
from pyrobma.ensemble.scales import (
    Converter,
    check_output_scale,
    true_effect_converter,
)
from pyrobma.fit import Task

_ENDS: dict[Measure, tuple[float, float]] = {"r": (-1.0, 1.0), "OR": (0.0, np.inf)}


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
