"""Stage 7: estimates with their intervals, in words."""

from __future__ import annotations

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.effects import Measure
from pyrobma.plots.numbers import number


def interval_texts(
    values: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    measure: Measure,
) -> tuple[str, ...]:
    """Write estimates with their intervals, as in ``0.31 [0.12, 0.50]``.

    Parameters
    ----------
    values, lower, upper : array of shape (n,)
    measure : str
        Of all of them.

    Notes
    -----
    Two digits, or in units of the data as many as the intervals need.
    """
    widths = upper - lower
    widths = widths[np.isfinite(widths)]
    middle = float(np.median(widths)) if widths.size else 0.0
    own = measure == "none" and middle > 0
    digits = int(np.clip(1 - np.floor(np.log10(middle)), 0, 6)) if own else 2
    return tuple(
        f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"
        for value, low, high in zip(values, lower, upper, strict=True)
    )
