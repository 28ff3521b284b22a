"""Conversions between effect-size measures, nonlinear and linear.

Five measures are convertible: Cohen's d, correlation r, Fisher's z, log odds ratio and
odds ratio; ratios of rates and their logs are to each other only. The functions are
named and ordered as in RoBMA. Each takes floats or arrays; a float gives a float.

Notes
-----
d is that of two groups of equal size; the log odds ratio is that of a logistic latent
variable, so that logOR = d π/√3. See Borenstein, Hedges, Higgins, Rothstein (2009),
Introduction to Meta-Analysis, chapter 7, doi:10.1002/9780470743386.
"""

# NumPy's stubs type a ufunc of a float as Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import numpy as np

from pyrobma.effects._numbers import Value, as_floats, conversion, refuse_outside
from pyrobma.errors import DataError

Measure: TypeAlias = Literal[
    "cohens_d", "fishers_z", "r", "logOR", "OR", "logIRR", "IRR", "none"
]
"""Effect-size measures; "none" is an effect in units of its own."""

MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
"""Every measure by name."""

MEASURE_NAMES: Final[dict[Measure, str]] = {
    "cohens_d": "Cohen's d",
    "fishers_z": "Fisher's z",
    "r": "correlation",
    "logOR": "log odds ratio",
    "OR": "odds ratio",
    "logIRR": "log rate ratio",
    "IRR": "rate ratio",
    "none": "the data",
}
"""What each measure is called in tables, figures and sentences."""

_LINEAR: Final[dict[Measure, Measure]] = {
    "r": "fishers_z",
    "OR": "logOR",
    "IRR": "logIRR",
}

RATIOS: Final[tuple[Measure, ...]] = ("OR", "IRR")
"""Measures that multiply: 1 is no effect, and axes are logarithmic."""

RATES: Final[tuple[Measure, ...]] = ("logIRR", "IRR")
"""Measures of counts over person-time, which convert to each other only."""

LOGISTIC_SD: Final = float(np.pi / np.sqrt(3.0))
"""Standard deviation of the standard logistic distribution: logOR = d π/√3."""


@conversion
def d2r(d: Value) -> Value:
    """Convert Cohen's d to a correlation: d / √(d² + 4)."""
    return d / np.hypot(d, 2.0)


@conversion
def d2z(d: Value) -> Value:
    """Convert Cohen's d to Fisher's z: asinh(d / 2)."""
    return np.arcsinh(d / 2.0)


@conversion
def d2logOR(d: Value) -> Value:
    """Convert Cohen's d to a log odds ratio: d π/√3."""
    return d * LOGISTIC_SD


@conversion
def d2OR(d: Value) -> Value:
    """Convert Cohen's d to an odds ratio: exp(d π/√3)."""
    return np.exp(d * LOGISTIC_SD)


@conversion
def r2d(r: Value) -> Value:
    """Convert a correlation to Cohen's d: 2r / √(1 − r²)."""
    # The product of the two factors keeps its digits where 1 - r**2 loses them.
    return 2.0 * r / np.sqrt((1.0 - r) * (1.0 + r))


@conversion
def r2z(r: Value) -> Value:
    """Convert a correlation to Fisher's z: atanh(r)."""
    return np.arctanh(r)


@conversion
def r2logOR(r: Value) -> Value:
    """Convert a correlation to a log odds ratio, by way of Cohen's d."""
    return d2logOR(r2d(r))


@conversion
def r2OR(r: Value) -> Value:
    """Convert a correlation to an odds ratio, by way of Cohen's d."""
    return d2OR(r2d(r))


@conversion
def z2d(z: Value) -> Value:
    """Convert Fisher's z to Cohen's d: 2 sinh(z)."""
    return 2.0 * np.sinh(z)


@conversion
def z2r(z: Value) -> Value:
    """Convert Fisher's z to a correlation: tanh(z)."""
    return np.tanh(z)


@conversion
def z2logOR(z: Value) -> Value:
    """Convert Fisher's z to a log odds ratio: 2 sinh(z) π/√3."""
    return 2.0 * np.sinh(z) * LOGISTIC_SD


@conversion
def z2OR(z: Value) -> Value:
    """Convert Fisher's z to an odds ratio: exp(2 sinh(z) π/√3)."""
    return np.exp(2.0 * np.sinh(z) * LOGISTIC_SD)


@conversion
def logOR2d(logOR: Value) -> Value:
    """Convert a log odds ratio to Cohen's d: logOR √3/π."""
    return logOR / LOGISTIC_SD


@conversion
def logOR2r(logOR: Value) -> Value:
    """Convert a log odds ratio to a correlation, by way of Cohen's d."""
    return d2r(logOR2d(logOR))


@conversion
def logOR2z(logOR: Value) -> Value:
    """Convert a log odds ratio to Fisher's z, by way of Cohen's d."""
    return d2z(logOR2d(logOR))


@conversion
def logOR2OR(logOR: Value) -> Value:
    """Convert a log odds ratio to an odds ratio: exp(logOR)."""
    return np.exp(logOR)


@conversion
def OR2d(OR: Value) -> Value:
    """Convert an odds ratio to Cohen's d: log(OR) √3/π."""
    return np.log(OR) / LOGISTIC_SD


@conversion
def OR2r(OR: Value) -> Value:
    """Convert an odds ratio to a correlation, by way of Cohen's d."""
    return d2r(OR2d(OR))


@conversion
def OR2z(OR: Value) -> Value:
    """Convert an odds ratio to Fisher's z, by way of Cohen's d."""
    return d2z(OR2d(OR))


@conversion
def OR2logOR(OR: Value) -> Value:
    """Convert an odds ratio to a log odds ratio: log(OR)."""
    return np.log(OR)


@conversion
def logIRR2IRR(logIRR: Value) -> Value:
    """Convert a log rate ratio to a rate ratio: exp(logIRR)."""
    return np.exp(logIRR)


@conversion
def IRR2logIRR(IRR: Value) -> Value:
    """Convert a rate ratio to a log rate ratio: log(IRR)."""
    return np.log(IRR)


LETTERS: Final[dict[Measure, str]] = {
    "cohens_d": "d",
    "fishers_z": "z",
    "r": "r",
    "logOR": "logOR",
    "OR": "OR",
    "logIRR": "logIRR",
    "IRR": "IRR",
    "none": "y",
}
"""The argument name that each measure has in conversions and in `effect_sizes`."""

_EFFECTS: Final[dict[tuple[Measure, Measure], Callable[[Any], Any]]] = {
    ("cohens_d", "r"): d2r,
    ("cohens_d", "fishers_z"): d2z,
    ("cohens_d", "logOR"): d2logOR,
    ("cohens_d", "OR"): d2OR,
    ("r", "cohens_d"): r2d,
    ("r", "fishers_z"): r2z,
    ("r", "logOR"): r2logOR,
    ("r", "OR"): r2OR,
    ("fishers_z", "cohens_d"): z2d,
    ("fishers_z", "r"): z2r,
    ("fishers_z", "logOR"): z2logOR,
    ("fishers_z", "OR"): z2OR,
    ("logOR", "cohens_d"): logOR2d,
    ("logOR", "r"): logOR2r,
    ("logOR", "fishers_z"): logOR2z,
    ("logOR", "OR"): logOR2OR,
    ("OR", "cohens_d"): OR2d,
    ("OR", "r"): OR2r,
    ("OR", "fishers_z"): OR2z,
    ("OR", "logOR"): OR2logOR,
    ("logIRR", "IRR"): logIRR2IRR,
    ("IRR", "logIRR"): IRR2logIRR,
}

# Cohen's d per unit of the measure, at no effect.
_SLOPES: Final[dict[Measure, float]] = {
    "cohens_d": 1.0,
    "fishers_z": 2.0,
    "r": 2.0,
    "logOR": 1.0 / LOGISTIC_SD,
    "OR": 1.0 / LOGISTIC_SD,
    "logIRR": 1.0,
    "IRR": 1.0,
}


def check_measure(
    argument: str, value: object, allowed: tuple[Measure, ...] = MEASURES
) -> Measure:
    """Return value as a measure, or raise with the list of allowed ones."""
    for measure in allowed:
        if value == measure:
            return measure
    listed = ", ".join(f'"{measure}"' for measure in allowed)
    lower = {measure.lower(): measure for measure in allowed}
    close = difflib.get_close_matches(str(value).lower(), lower, n=1)
    hint = f'Did you mean "{lower[close[0]]}"?' if close else "Use one of these."
    if value == "OR":
        hint = 'Use "logOR": odds ratios have standard errors on the log scale only.'
    raise DataError(f"{argument}: expected one of {listed}; got {value!r}. {hint}")


def check_scales(from_: object, to: object) -> tuple[Measure, Measure]:
    """Return two measures between which effects can be converted."""
    start, end = check_measure("from_", from_), check_measure("to", to)
    if start != end and "none" in (start, end):
        raise DataError(
            'to: expected "none" for both scales or for neither; '
            f'got "{start}" to "{end}". Effects in units of their own cannot be '
            "converted."
        )
    if (start in RATES) != (end in RATES):
        raise DataError(
            f'to: expected "logIRR" or "IRR" for both scales or for neither; got '
            f'"{start}" to "{end}". Ratios of rates have no other measure.'
        )
    return start, end


def transform_effect(x: Value, from_: Measure, to: Measure) -> Value:
    """Convert effects from one measure to another, nonlinearly.

    Parameters
    ----------
    x : float or array of any shape
        Effects on the measure `from_`, finite and inside its range.
    from_, to : {"cohens_d", "fishers_z", "r", "logOR", "OR", "logIRR", "IRR", "none"}
        Measures; "none" (units of its own) converts to itself only, ratios of rates to
        each other.

    Returns
    -------
    float or array
        The same effects on the measure `to`.

    Raises
    ------
    DataError
        If a measure is unknown, if only one of them is "none", or if a value is
        outside the range of its measure.

    Examples
    --------
    >>> round(transform_effect(0.5, "cohens_d", "fishers_z"), 4)
    0.2475
    """
    start, end = check_scales(from_, to)
    if start == end:
        array = as_floats(LETTERS[start], x)
        refuse_outside(LETTERS[start], array)
        return cast(Value, float(array) if array.ndim == 0 else array)
    return _EFFECTS[start, end](x)


def linear_measure(measure: Measure) -> Measure:
    """Return the measure on which differences of effects are reported.

    A standard deviation or a slope has no value on correlations, whose range is
    bounded, nor on odds ratios, which multiply: it is on Fisher's z there, and on the
    log odds ratio.
    """
    return _LINEAR.get(measure, measure)


def scale_factor(from_: Measure, to: Measure) -> float:
    """Return the linear factor from one effect scale to another.

    The factor is the derivative of the conversion at no effect. RoBMA's likelihood
    carries mu and tau from the prior scale to the data scale with it, and every
    summary of tau uses it.

    Parameters
    ----------
    from_, to : {"cohens_d", "fishers_z", "r", "logOR", "OR", "logIRR", "IRR", "none"}
        Measures. "OR" counts as "logOR"; "none" goes with "none" only, and ratios of
        rates with each other.

    Returns
    -------
    float
        Positive; 1/2 from Cohen's d to Fisher's z, π/√3 from Cohen's d to log odds
        ratio.

    Raises
    ------
    DataError
        If a measure is unknown or only one of them is "none".

    Notes
    -----
    A coefficient of se² (PEESE) goes by the inverse, `scale_factor(to, from_)`: the
    term is an effect, se² has the square of its unit. A coefficient of se (PET) and a
    correlation (rho) have no unit and stay as they are.
    """
    start, end = check_scales(from_, to)
    return 1.0 if start == end else _SLOPES[start] / _SLOPES[end]
