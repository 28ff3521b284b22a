"""Stage 7: which numbers an axis has, at its length."""

from __future__ import annotations

from typing import Final

import numpy as np

_APART: Final = 0.36  # inches between the numbers of ratios, at least
_EACH: Final = 0.45  # inches for a number
_RATIOS: Final = (
    (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
    (0.25, 0.33, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0),
    (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
    (0.25, 0.5, 1.0, 2.0, 4.0),
)
"""Ticks of ratios, from the densest on."""


def value_ticks(low: float, high: float, inches: float) -> list[float]:
    """Return round numbers between the ends of an axis that is so long."""
    from mizani.breaks import breaks_extended

    n = int(np.clip(inches / _EACH, 3, 7))
    found = breaks_extended(n=n)((low, high))
    return [float(v) for v in found if low <= v <= high]


def ratio_ticks(low: float, high: float, inches: float) -> list[float]:
    """Return ratios between ends that are decimal logarithms."""
    from mizani.breaks import breaks_extended, breaks_log

    apart = _APART * (high - low) / inches
    ends = (float(10**low), float(10**high))
    for ratios in _RATIOS:
        found = [v for v in ratios if ends[0] <= v <= ends[1]]
        if len(found) >= 3 and np.diff(np.log10(found)).min() >= apart:
            return found
    rule = breaks_log(n=5) if ends[1] / ends[0] > 10 else breaks_extended(n=4)
    return [float(v) for v in rule(ends) if ends[0] <= v <= ends[1]]
