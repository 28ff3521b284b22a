"""Formulas of the model, written again for the tests of what uses them."""

from __future__ import annotations

import pyrobma as rb


def data_bias(task, se, PET, PEESE):
    """What PET and PEESE add on the measure of the data, at standard errors on it."""
    sign = {"positive": 1, "negative": -1}[task.effect_direction]
    # PEESE is a coefficient of se^2: its product is an effect on the prior scale if
    # both are there, and se^2 has the square of the unit.
    scale = rb.scale_factor(task.prior_scale, task.effects.measure)
    return sign * (PET * se + PEESE / scale * se**2)
