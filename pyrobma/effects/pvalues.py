"""What p-values say of estimates: quantiles, test statistics, standard errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects._columns import Rows
from pyrobma.effects._numbers import DOMAINS, as_floats, refuse_outside
from pyrobma.errors import DataError

_BELOW: Final = re.compile(r"^\s*p?\s*[<≤]", re.IGNORECASE)
_OTHER: Final = re.compile(r"^\s*(p?\s*[>≥]|n\.?\s?s\.?\s*$)", re.IGNORECASE)

_DF: Final = {"d": 2.0, "r": 0.0, "z": -1.0}
"""t² = scale² (df + this) in the test of each effect, with df = n − 2."""


def upper_normal(p: FloatArray) -> FloatArray:
    """Return upper quantiles of the standard normal distribution."""
    from scipy.special import ndtri

    return _signed(ndtri(np.minimum(p, 1.0 - p)), p)


def upper_t(p: FloatArray, df: FloatArray) -> FloatArray:
    """Return upper quantiles of Student's t, of the normal where df is infinite."""
    from scipy.special import stdtrit

    normal = upper_normal(p)
    finite = np.isfinite(df)
    t = stdtrit(np.where(finite, df, 1.0), np.minimum(p, 1.0 - p))
    return np.where(finite, _signed(t, p), normal)


def _signed(quantile: FloatArray, p: FloatArray) -> FloatArray:
    """Return the upper quantile at p from the quantile in the smaller tail.

    The two sides of 0.5 mirror each other exactly, and 0.5 itself gives exactly 0.
    """
    return np.where(p == 0.5, 0.0, np.copysign(quantile, 0.5 - p))


def as_p_values(values: Any, where: Callable[[int], str]) -> FloatArray:
    """Return p-values as numbers; refuse bounds such as "<.001" in words."""
    for row, value in enumerate(values):
        if not isinstance(value, str):
            continue
        got = f"p: expected p-values as numbers; got {value!r} at {where(row)}."
        if _BELOW.match(value):
            raise DataError(
                f"{got} Give the bound itself, e.g. 0.001 for p < .001: the estimate "
                "is then no larger, or no more precise, than what was found."
            )
        if _OTHER.match(value):
            raise DataError(
                f"{got} A lower bound does not say how small the effect is: find the "
                "exact p-value, or another statistic, or leave the row's p empty."
            )
    return as_floats("p", values, where)


def refuse_p(p: FloatArray, mask: BoolArray, one: BoolArray, rows: Rows) -> None:
    """Refuse p-values outside (0, 1], and 1 where `one` is true."""
    rounded = mask & (p == 0.0)
    rows.refuse(
        rounded,
        "p",
        "p-values above 0",
        p,
        "Give the bound that was rounded, e.g. 0.0005 for p = .000 or 0.001 for "
        "p < .001.",
    )
    rows.refuse(
        mask & (~((p > 0.0) & (p <= 1.0)) | (one & (p == 1.0))),
        "p",
        DOMAINS["p"].text if (mask & one).any() else "p-values up to 1",
        p,
        "Correct it, give another statistic or drop the row.",
    )


def se_from_p(effect: Any, p: Any, df: Any = None) -> Any:
    """Return the standard errors of effects from their two-sided p-values.

    Parameters
    ----------
    effect : float or array of any shape
        Effects on the scale on which their estimates are normal, e.g. the logarithm
        of a ratio; not 0.
    p : float or array
        Two-sided p-values, between 0 and 1, both excluded. Of "p < .001" give the
        bound, 0.001: the standard error is then no smaller than the true one.
    df : float or array, optional
        Degrees of freedom if the effect was tested by a t test, e.g. n − 2. None: a
        z test, as of odds ratios.

    Returns
    -------
    float or array
        A float if every argument is a scalar, else an array.

    Raises
    ------
    DataError
        If a value is missing, infinite or outside its range, or shapes differ.

    Notes
    -----
    se = abs(effect) / q, where q is the upper quantile at p/2 of the standard normal
    distribution, or of Student's t with `df` degrees of freedom.

    References
    ----------
    Altman, Bland (2011). How to obtain the confidence interval from a P value. BMJ
    343, d2090. doi:10.1136/bmj.d2090

    Higgins, Li, Deeks (2019). Choosing effect measures and computing estimates of
    effect. Cochrane Handbook for Systematic Reviews of Interventions, section 6.3.

    Examples
    --------
    >>> round(se_from_p(17, 0.032), 2)
    7.93
    """
    numbers = {"effect": as_floats("effect", effect), "p": as_floats("p", p)}
    if df is not None:
        numbers["df"] = as_floats("df", df)
    for name, array in numbers.items():
        refuse_outside(name, array)
    if np.any(numbers["effect"] == 0.0):
        raise DataError(
            "effect: expected effects other than 0, whose p-value says nothing of the "
            "standard error; got 0.0. Find another statistic, or leave it out."
        )
    try:
        arrays = np.broadcast_arrays(*numbers.values())
    except ValueError as error:
        shapes = " and ".join(str(array.shape) for array in numbers.values())
        raise DataError(
            f"{', '.join(numbers)}: expected arrays of one length, or scalars; got "
            f"shapes {shapes}. Give one value of each per estimate."
        ) from error
    degrees = np.full(arrays[0].shape, np.inf) if df is None else arrays[2]
    se = np.abs(arrays[0]) / upper_t(arrays[1] / 2.0, degrees)
    return float(se) if se.ndim == 0 else se


def n_from_p(kind: str, y: FloatArray, p: FloatArray) -> FloatArray:
    """Return the total sample sizes at which the t tests of effects have p-values.

    Parameters
    ----------
    kind : {"d", "r", "z"}
        Measure of the effects.
    y, p : arrays of shape (K,)
        Effects other than 0, and their two-sided p-values.

    Notes
    -----
    The tests are those of `critical_values`, which then finds the same p-values.
    """
    size = np.abs(y)
    if kind == "d":
        size = size / 2.0
    if kind == "r":
        size = size / np.sqrt((1.0 - y) * (1.0 + y))
    shift = _DF[kind]
    sizes = [_size(a, shift, one) for a, one in zip(size, p, strict=True)]
    return np.array(sizes) + 2.0 - shift


def _size(scale: float, shift: float, p: float) -> float:
    """Return the x at which scale √x is the quantile of t with x − shift df."""
    from scipy.optimize import brentq

    half = np.array(p / 2.0)

    def excess(x: float) -> float:
        return float(scale * np.sqrt(x) - upper_t(half, np.array(x - shift)))

    # Quantiles of t are above those of the normal.
    low = max(float(upper_normal(half) / scale) ** 2, shift + 1e-3)
    high = 2.0 * low
    while excess(high) < 0.0:
        high *= 2.0
    return low if excess(low) >= 0.0 else float(brentq(excess, low, high, xtol=1e-12))
