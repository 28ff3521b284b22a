"""Stage 7: what the figures of estimates share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects import Measure, linear_measure, scale_factor
from pyrobma.effects.convert import RATIOS
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.extended import extended_converter
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.errors import DataError
from pyrobma.models import Task
from pyrobma.plots.numbers import plain_labels


def models_given(ensemble: Ensemble, conditional: bool) -> BoolArray | None:
    """Return the models to average over: those with an effect, or None for all."""
    return ensemble.alternatives("effect") if conditional else None


def check_interval(probs: Sequence[float]) -> tuple[float, float]:
    """Return the two probabilities of an interval's ends."""
    levels = np.asarray(probs, dtype=np.float64)
    if levels.shape != (2,) or not 0 < levels[0] < levels[1] < 1:
        raise DataError(
            "probs: expected two increasing probabilities between 0 and 1, both "
            f"excluded; got {probs!r}. For example (0.025, 0.975)."
        )
    return float(levels[0]), float(levels[1])


def converted(task: Task, output_scale: Measure | None, y: FloatArray) -> FloatArray:
    """Return estimates, observed or expected, on the output scale.

    Exactly, whatever the mapping of the parameters. An estimate beyond a correlation of
    1 or -1 becomes what that converts to, which may be infinite.
    """
    # Moderators would refuse the exact mapping of a mean; an estimate needs none.
    plain = replace(
        task, effect_mapping="exact", columns=(), moderators=None, scale_moderators=None
    )
    return extended_converter(plain, output_scale)(y)


def error_unit(task: Task, output_scale: Measure | None) -> float:
    """Return by what a standard error of the data is multiplied for the output scale.

    By the derivative of the conversion at no effect, as tau is, so that standard errors
    and distances between effects keep their proportion.
    """
    measure = linear_measure(check_output_scale(task, output_scale))
    return scale_factor(task.effects.measure, measure)


def no_effect(measure: Measure) -> float:
    """Return the value that stands for no effect."""
    return 1.0 if measure in RATIOS else 0.0


def effect_axis(measure: Measure, **options: Any) -> Any:
    """Return the horizontal axis of effects: logarithmic for odds ratios."""
    from plotnine import scale_x_continuous, scale_x_log10

    options.setdefault("labels", plain_labels)
    if measure in RATIOS:
        return scale_x_log10(**options)
    return scale_x_continuous(**options)
