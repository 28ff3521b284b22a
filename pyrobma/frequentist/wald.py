"""Wald tests, intervals and predictions of regression coefficients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import chdtrc, fdtrc

from pyrobma._types import FloatArray, IntArray
from pyrobma.frequentist.intervals import wald

if TYPE_CHECKING:
    import pandas as pd

_SINGULAR = 1e-12
"""What rounding may leave of a column of norm 1 that depends on others."""


class WaldTest(NamedTuple):
    """A test that some coefficients are all zero.

    Attributes
    ----------
    statistic : float
        Chi², or F if `df2` is finite.
    df : int
        How many coefficients.
    df2 : float
        Degrees of freedom of the denominator of F; inf for chi².
    p : float
        Its p-value.
    """

    statistic: float
    df: int
    df2: float
    p: float


def standard_errors(factor: FloatArray) -> FloatArray:
    """Return standard errors from a factor F, shape (P, n), of the covariance F F'."""
    return np.asarray(np.linalg.norm(factor, axis=1))


def quadratic_form(estimate: FloatArray, factor: FloatArray, rows: IntArray) -> float:
    """Return ``b'(F F')⁻¹ b`` for some coefficients; nan if F F' is singular.

    Parameters
    ----------
    estimate : array of shape (P,)
        All coefficients.
    factor : array of shape (P, n)
        Factor F of their covariance.
    rows : array of int, shape (q,)
        Which of them.
    """
    b, f = estimate[rows], factor[rows]
    se = standard_errors(f)
    if f.shape[1] < rows.size or not (se > 0.0).all():
        return math.nan
    # in units of the standard errors: coefficients may differ by orders of magnitude
    _, r = np.linalg.qr((f / se[:, None]).T)
    if np.abs(np.diag(r)).min() < _SINGULAR:
        return math.nan
    z = np.linalg.solve(r.T, b / se)
    return float(z @ z)


def chi2_test(form: float, df: int) -> WaldTest:
    """Test a quadratic form by chi²."""
    return WaldTest(form, df, math.inf, float(chdtrc(df, form)))


def f_test(statistic: float, df: int, df2: float) -> WaldTest:
    """Test a statistic by F; nan if there are no degrees of freedom."""
    if not df2 > 0.0:
        return WaldTest(math.nan, df, df2, math.nan)
    return WaldTest(statistic, df, df2, float(fdtrc(df, df2, statistic)))


def coefficient_table(
    labels: Sequence[str],
    estimate: FloatArray,
    se: FloatArray,
    df: FloatArray | None,
    level: float,
) -> pd.DataFrame:
    """Return tests of zero and intervals, one row a coefficient.

    Parameters
    ----------
    labels : sequence of str, length P
        Index of the rows.
    estimate : array of shape (P,)
        Coefficients.
    se : array of shape (P,)
        Their standard errors.
    df : array of shape (P,), or None
        Degrees of freedom of t; None means the normal.
    level : float
        Coverage, 0 to 1.

    Returns
    -------
    DataFrame
        Columns estimate, se, statistic, df (inf for the normal), p, lower, upper.
    """
    import pandas as pd

    rows = []
    for i, (b, own_se) in enumerate(zip(estimate, se, strict=True)):
        own = None if df is None else float(df[i])
        statistic, p, ci = wald(float(b), float(own_se), level=level, df=own)
        rows.append([b, own_se, statistic, math.inf if own is None else own, p, *ci])
    columns = ["estimate", "se", "statistic", "df", "p", "lower", "upper"]
    return pd.DataFrame(rows, index=list(labels), columns=columns)
