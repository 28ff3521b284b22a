"""Stage 7: how numbers are written in figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pyrobma._format import (
    bayes_factor_of_log,
    decimal,
    p_value,
    short_bayes_factor,
    significant,
    true_minus,
)

__all__ = [
    "bayes_factor",
    "number",
    "p_value",
    "plain_labels",
    "power",
    "ratio",
    "short",
    "short_factor",
]


def number(value: float, digits: int = 2) -> str:
    """Write a number with a minus sign of the width of a plus; blank if missing."""
    return _typeset(decimal(value, digits))


def ratio(value: float) -> str:
    """Write an odds ratio with two digits; blank if missing."""
    return _typeset(significant(value, 2))


def power(value: float) -> str:
    """Write a number with three digits and a power of ten; blank if missing."""
    return _typeset(f"{value + 0.0:.2e}") if math.isfinite(value) else number(value)


def bayes_factor(log_bf: float) -> str:
    """Write a Bayes factor from its natural log, as tables do."""
    return _typeset(bayes_factor_of_log(log_bf))


def short_factor(log_bf: float) -> str:
    """Write a Bayes factor from its natural log with three digits."""
    return _typeset(short_bayes_factor(log_bf))


def short(value: float) -> str:
    """Write a value with as few digits as it needs, at most four."""
    return _typeset(f"{value + 0.0:.4g}")


def plain_labels(values: Sequence[float]) -> list[str]:
    """Write the numbers of an axis as short as they are."""
    return [_typeset(f"{float(v):.10g}") for v in values]


def _typeset(text: str) -> str:
    return true_minus(text).replace("Inf", "∞")
