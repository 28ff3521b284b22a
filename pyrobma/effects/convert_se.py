"""Conversions between standard errors and sample sizes.

Named and ordered as in RoBMA: the standard error first, then the effect where the
conversion depends on it. n is the total size of two equal groups (d) or the size of
the sample (r, z). Each function takes floats or arrays; a float in gives a float out.

Notes
-----
Between Cohen's d, r and log odds ratio a standard error is multiplied by the slope of
the effect conversion (the delta method). To and from Fisher's z it goes by way of the
sample size, since z has the variance 1/(n − 3) whatever the effect. Borenstein, Hedges,
Higgins, Rothstein (2009), Introduction to Meta-Analysis, chapters 4, 6 and 7,
doi:10.1002/9780470743386.
"""

# NumPy's stubs type a ufunc of a float as Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.effects._numbers import Value, as_floats, conversion, refuse_outside
from pyrobma.effects.convert import (
    LOGISTIC_SD,
    RATIOS,
    Measure,
    check_scales,
    linear_measure,
    logOR2d,
    r2d,
    z2d,
    z2r,
)
from pyrobma.errors import DataError

SMALLEST_N: Final = 3.0
"""Fisher's z has no finite variance at this sample size or below."""


@conversion
def se_d(d: Value, n: Value) -> Value:
    """Return the standard error of Cohen's d: √(4/n + d²/(2n))."""
    return np.sqrt((8.0 + d**2) / (2.0 * n))


@conversion
def n_d(d: Value, se: Value) -> Value:
    """Return the sample size that Cohen's d and its se imply: (d² + 8) / (2 se²)."""
    return (d**2 + 8.0) / (2.0 * se**2)


@conversion
def se_r(r: Value, n: Value) -> Value:
    """Return the standard error of a correlation, by way of that of Cohen's d.

    Not the textbook's (1 − r²)/√(n − 1): this one agrees with the other conversions.
    """
    return se_d2se_r(se_d(r2d(r), n), r2d(r))


@conversion
def n_r(r: Value, se: Value) -> Value:
    """Return the sample size that a correlation and its se imply, by way of d."""
    return n_d(r2d(r), se_r2se_d(se, r))


@conversion
def se_z(n: Value) -> Value:
    """Return the standard error of Fisher's z: 1/√(n − 3), for n above 3."""
    if np.any(n <= SMALLEST_N):
        got = float(np.min(n))
        raise DataError(
            f"n: expected total sample sizes above 3; got {got!r}. Fisher's z has no "
            "standard error with so few; leave the estimate out, or stay with d."
        )
    return 1.0 / np.sqrt(n - SMALLEST_N)


@conversion
def n_z(se: Value) -> Value:
    """Return the sample size that the se of Fisher's z implies: 3 + 1/se²."""
    return SMALLEST_N + 1.0 / se**2


@conversion
def se_d2se_r(se_d: Value, d: Value) -> Value:
    """Convert the se of Cohen's d to that of r: 4 se / (d² + 4)^(3/2)."""
    return 4.0 * se_d / np.hypot(d, 2.0) ** 3


@conversion
def se_d2se_z(se_d: Value, d: Value) -> Value:
    """Convert the se of Cohen's d to that of Fisher's z: 1/√(n_d − 3).

    The implied sample size, n_d = (d² + 8) / (2 se²), must be above 3.
    """
    return _se_z(n_d(d, se_d))


@conversion
def se_d2se_logOR(se_d: Value) -> Value:
    """Convert the se of Cohen's d to that of the log odds ratio: se π/√3."""
    return se_d * LOGISTIC_SD


@conversion
def se_r2se_d(se_r: Value, r: Value) -> Value:
    """Convert the se of a correlation to that of Cohen's d: 2 se / (1 − r²)^(3/2)."""
    return 2.0 * se_r / ((1.0 - r) * (1.0 + r)) ** 1.5


@conversion
def se_r2se_z(se_r: Value, r: Value) -> Value:
    """Convert the se of a correlation to that of Fisher's z: 1/√(n_r − 3).

    The implied sample size, that of `n_r`, must be above 3.
    """
    return _se_z(n_r(r, se_r))


@conversion
def se_r2se_logOR(se_r: Value, r: Value) -> Value:
    """Convert the se of a correlation to that of the log odds ratio, by way of d."""
    return se_d2se_logOR(se_r2se_d(se_r, r))


@conversion
def se_z2se_d(se_z: Value, z: Value) -> Value:
    """Convert the se of Fisher's z to that of Cohen's d, by way of n = 3 + 1/se²."""
    return se_d(z2d(z), n_z(se_z))


@conversion
def se_z2se_r(se_z: Value, z: Value) -> Value:
    """Convert the se of Fisher's z to that of r, by way of n = 3 + 1/se²."""
    return se_r(z2r(z), n_z(se_z))


@conversion
def se_z2se_logOR(se_z: Value, z: Value) -> Value:
    """Convert the se of Fisher's z to that of the log odds ratio, by way of d."""
    return se_d2se_logOR(se_z2se_d(se_z, z))


@conversion
def se_logOR2se_d(se_logOR: Value) -> Value:
    """Convert the se of the log odds ratio to that of Cohen's d: se √3/π."""
    return se_logOR / LOGISTIC_SD


@conversion
def se_logOR2se_r(se_logOR: Value, logOR: Value) -> Value:
    """Convert the se of the log odds ratio to that of r, by way of d."""
    return se_d2se_r(se_logOR2se_d(se_logOR), logOR2d(logOR))


@conversion
def se_logOR2se_z(se_logOR: Value, logOR: Value) -> Value:
    """Convert the se of the log odds ratio to that of Fisher's z, by way of d.

    The sample size that d and its standard error imply must be above 3.
    """
    return se_d2se_z(se_logOR2se_d(se_logOR), logOR2d(logOR))


def _se_z(n: Value) -> Value:
    if np.any(n <= SMALLEST_N):
        raise DataError(
            "se: expected standard errors that imply sample sizes above 3, which "
            f"Fisher's z needs; got one that implies {float(np.min(n)):.4g}. Correct "
            "the standard error, leave the estimate out, or stay with Cohen's d."
        )
    return 1.0 / np.sqrt(n - SMALLEST_N)


# Every function here takes the standard error and the effect that it belongs to.
_ERRORS: Final[dict[tuple[Measure, Measure], Callable[[Any, Any], Any]]] = {
    ("cohens_d", "r"): se_d2se_r,
    ("cohens_d", "fishers_z"): se_d2se_z,
    ("cohens_d", "logOR"): lambda se, d: se_d2se_logOR(se),
    ("r", "cohens_d"): se_r2se_d,
    ("r", "fishers_z"): se_r2se_z,
    ("r", "logOR"): se_r2se_logOR,
    ("fishers_z", "cohens_d"): se_z2se_d,
    ("fishers_z", "r"): se_z2se_r,
    ("fishers_z", "logOR"): se_z2se_logOR,
    ("logOR", "cohens_d"): lambda se, logOR: se_logOR2se_d(se),
    ("logOR", "r"): se_logOR2se_r,
    ("logOR", "fishers_z"): se_logOR2se_z,
}

_SAMPLE_SIZES: Final[dict[Measure, Callable[[Any, Any], Any]]] = {
    "cohens_d": n_d,
    "r": n_r,
    "fishers_z": lambda z, se: n_z(se),
    "logOR": lambda logOR, se: n_d(logOR2d(logOR), se_logOR2se_d(se)),
}


def transform_se(se: Value, x: Value, from_: Measure, to: Measure) -> Value:
    """Convert the standard errors of effects from one measure to another.

    Parameters
    ----------
    se : float or array
        Standard errors on the measure `from_`, positive.
    x : float or array
        The effects they belong to, on the measure `from_`.
    from_, to : {"cohens_d", "fishers_z", "r", "logOR", "logIRR", "none"}
        Measures; "none" (units of its own) and "logIRR" convert to themselves only.

    Returns
    -------
    float or array
        Standard errors of the same estimates on the measure `to`.

    Raises
    ------
    DataError
        If a measure is unknown or has no standard errors (ratios), if only one of them
        is "none", if a value is outside its range, or if Fisher's z is asked for and
        an implied sample size is not above 3.
    """
    start, end = check_scales(from_, to)
    for ratio in RATIOS:
        if ratio in (start, end):
            raise DataError(
                "to: expected a measure whose estimates have standard errors; "
                f'got "{ratio}". Use "{linear_measure(ratio)}".'
            )
    if start == end:
        array = as_floats("se", se)
        refuse_outside("se", array)
        return cast(Value, float(array) if array.ndim == 0 else array)
    return _ERRORS[start, end](se, x)


def implied_n(x: FloatArray, se: FloatArray, measure: Measure) -> FloatArray:
    """Return the total sample sizes that standardised effects and their se imply.

    Parameters
    ----------
    x, se : arrays of shape (K,)
        Effects and standard errors on `measure`.
    measure : {"cohens_d", "fishers_z", "r", "logOR"}
        Their measure.
    """
    return np.asarray(_SAMPLE_SIZES[measure](x, se), dtype=np.float64)
