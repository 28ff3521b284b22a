"""How numbers, counts and lists are written, in tables, figures and sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

Format: TypeAlias = Callable[[float], str]
"""How a number is written."""

_LARGEST_LOG = 700.0  # beyond it exp() overflows or loses digits


# ---- numbers ---------------------------------------------------------------
def decimal(value: float, digits: int) -> str:
    """Write a number with this many decimals; a missing value is blank."""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    # Adding 0 turns a rounded -0.000 into 0.000.
    return f"{round(value, digits) + 0.0:.{digits}f}"


def fixed(digits: int) -> Format:
    """Return a format with this many decimals; missing values are blank."""
    # Not a closure: a table must survive pickling.
    return partial(decimal, digits=digits)


def integer(value: float) -> str:
    """Write a count; missing values are blank."""
    return decimal(value, 0)


def error(value: float) -> str:
    """Write a Monte Carlo standard error with two significant digits."""
    if value == 0 or not math.isfinite(value):
        return decimal(value, 0)
    digits = max(0, 1 - math.floor(math.log10(value)))
    return f"{value:.{digits}f}" if digits <= 6 else f"{value:.1e}"


def decimals(values: Iterable[float]) -> int:
    """Return how many decimals suit values of one unit.

    Three between 0.01 and 100, as is usual for effect sizes; otherwise as many as show
    three significant digits of the typical value (the median of those that are neither
    0 nor infinite) if it is small, and five if it is large.
    """
    sizes = np.abs(np.asarray(list(values), dtype=np.float64))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not sizes.size:
        return 3
    typical = float(np.median(sizes))
    if 0.01 <= typical < 100:
        return 3
    order = math.floor(math.log10(typical))
    return min(2 - order, 15) if order < 0 else max(4 - order, 0)


def significant(value: float, digits: int) -> str:
    """Write a ratio, which says as much near 0 as far from it.

    This many decimals between 0.1 and 100; elsewhere this many significant digits
    (from 100 on all whole ones), with a power of ten below 1e-4 and from 1e5 on.
    """
    size = abs(value)
    if value == 0 or not math.isfinite(value) or 0.1 <= size < 100:
        return decimal(value, digits)
    if not 1e-4 <= size < 1e5:
        return f"{value:.{digits - 1}e}"
    return decimal(value, max(digits - 1 - math.floor(math.log10(size)), 0))


def p_value(value: float) -> str:
    """Write a p-value without the leading zero, as in ``.05``."""
    text = f"{value:.4g}"
    return text.lstrip("0") if 0 < value < 1 else text


def true_minus(text: str) -> str:
    """Write a minus sign of the width of a plus."""
    return text.replace("-", "−")


# ---- Bayes factors ---------------------------------------------------------
def bayes_factor(value: float) -> str:
    """Write a Bayes factor: three decimals, or an exponent where these say little."""
    if math.isfinite(value) and value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3e}"
    return decimal(value, 3)


def bayes_factor_of_log(log_bf: float, mcse: float = 0.0) -> str:
    """Write a Bayes factor from its natural log, which may be too large for exp().

    As `bayes_factor` does, but without digits that `mcse`, the Monte Carlo standard
    error of the log, makes uncertain by more than two of their units.
    """
    if not math.isfinite(log_bf) or (not mcse and abs(log_bf) < _LARGEST_LOG):
        return bayes_factor(math.exp(log_bf))
    power = log_bf / math.log(10)
    # Of the mantissa; the first digit is always written.
    digits = 3 if not mcse else max(0, math.floor(-math.log10(mcse / 2) - power % 1))
    if -3 <= power < 6:
        digits = min(3, digits - math.floor(power))
        text = decimal(math.exp(log_bf), max(digits, 0))
        return text if digits >= 0 else f"{round(math.exp(log_bf), digits):.0f}"
    mantissa, exponent = _power_of_ten(log_bf, min(3, digits))
    return f"{mantissa}e{exponent:+03d}"


def certain_decimals(mcse: float) -> int:
    """Return how many decimals an error leaves certain within two units, at most 3."""
    return max(0, min(3, math.floor(-math.log10(mcse / 2)))) if mcse > 0 else 3


def short_bayes_factor(log_bf: float) -> str:
    """Write a Bayes factor from its natural log with three digits, for a column."""
    if not math.isfinite(log_bf):
        return bayes_factor_of_log(log_bf)
    power = log_bf / math.log(10)
    if not -3 <= power < 4:
        mantissa, exponent = _power_of_ten(log_bf, 2)
        return f"{mantissa}e{exponent:+d}"
    return decimal(math.exp(log_bf), max(0, 2 - math.floor(power)))


def bayes_factor_in_text(log_bf: float) -> str:
    """Write a Bayes factor above 1 with three digits, as a power of ten if huge."""
    power = log_bf / math.log(10)
    if power >= 5:
        mantissa, exponent = _power_of_ten(log_bf, 1)
        return f"{mantissa} × 10^{exponent}"
    digits = max(0, 2 - max(math.floor(power), 0))
    return f"{math.exp(log_bf):.{digits}f}"


def _power_of_ten(log_value: float, digits: int) -> tuple[str, int]:
    """Return the mantissa, with this many decimals, and the exponent of a number."""
    exponent, rest = divmod(log_value / math.log(10), 1)
    mantissa = f"{10**rest:.{digits}f}"
    if mantissa.startswith("10."):  # rounded up
        return f"{1:.{digits}f}", int(exponent) + 1
    return mantissa, int(exponent)


# ---- words -----------------------------------------------------------------
def counted(number: int, noun: str, *, one: str = "1") -> str:
    """Write how many there are, as in ``1 cluster`` and ``2 clusters``.

    Parameters
    ----------
    number : int
        Not negative.
    noun : str
        In the singular; its plural ends in s.
    one : str
        What stands for 1, e.g. "one" in a sentence.
    """
    return f"{one} {noun}" if number == 1 else f"{number} {noun}s"


def listed(items: Sequence[str], last: str = "and") -> str:
    """Join texts with commas, and the last one with a word."""
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def sided(sides: int) -> str:
    """Say whether p-values are one- or two-sided."""
    return "one-sided" if sides == 1 else "two-sided"
