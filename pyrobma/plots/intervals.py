"""Stage 7: estimates with their intervals, in words."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.effects import Measure
from pyrobma.effects.convert import RATIOS
from pyrobma.plots.numbers import number, power, ratio

_MOST_DIGITS = 6


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
    Two decimals; odds ratios have two significant digits, and units of the data as many
    decimals as the intervals need.
    """
    write: Callable[[float], str] = number
    if measure in RATIOS:
        write = ratio
    elif measure == "none":
        write = _own(upper - lower)
    return tuple(
        f"{write(value)} [{write(low)}, {write(high)}]"
        for value, low, high in zip(values, lower, upper, strict=True)
    )


def _own(widths: FloatArray) -> Callable[[float], str]:
    """Return how effects in units of their own are written."""
    widths = widths[np.isfinite(widths)]
    middle = float(np.median(widths)) if widths.size else 0.0
    if middle <= 0:
        return number
    digits = int(1 - np.floor(np.log10(middle)))
    if digits > _MOST_DIGITS or digits < 1 - _MOST_DIGITS:
        return power
    return partial(number, digits=max(digits, 0))
