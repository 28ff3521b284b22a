"""How numbers are written, in tables and in figures."""

from __future__ import annotations

import math

_LARGEST_LOG = 700.0  # beyond it exp() overflows or loses digits


def decimal(value: float, digits: int) -> str:
    """Write a number with this many decimals; a missing value is blank."""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    # Adding 0 turns a rounded -0.000 into 0.000.
    return f"{round(value, digits) + 0.0:.{digits}f}"


def bayes_factor(value: float) -> str:
    """Write a Bayes factor: three decimals, or an exponent where these say little."""
    if math.isfinite(value) and value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3e}"
    return decimal(value, 3)


def bayes_factor_of_log(log_bf: float) -> str:
    """Write a Bayes factor from its natural log, which may be too large for exp()."""
    if not math.isfinite(log_bf) or abs(log_bf) < _LARGEST_LOG:
        return bayes_factor(math.exp(log_bf))
    exponent, rest = divmod(log_bf / math.log(10), 1)
    mantissa = f"{10**rest:.3f}"
    if mantissa == "10.000":
        mantissa, exponent = "1.000", exponent + 1
    return f"{mantissa}e{int(exponent):+d}"
