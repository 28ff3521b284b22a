"""Standardised mean differences of pairs, e.g. before and after."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects._reported import (
    MEANS,
    OF_GROUPS,
    REMEDY,
    Reported,
    check_means,
    hedges_j,
    read_reported,
    sample_sizes,
    t_statistics,
)
from pyrobma.effects._tables import AnyTable
from pyrobma.errors import DataError

Standardizer: TypeAlias = Literal["average", "sd1", "sd2", "difference"]
"""The standard deviation that differences of pairs are divided by."""

STANDARDIZERS: Final[tuple[Standardizer, ...]] = get_args(Standardizer)
"""Every one by name."""


def smd_paired(
    data: AnyTable | None = None,
    *,
    n: Any,
    correlation: Any = None,
    mean1: Any = None,
    sd1: Any = None,
    mean2: Any = None,
    sd2: Any = None,
    t: Any = None,
    F: Any = None,
    p: Any = None,
    sign: Any = None,
    sides: Any = 2,
    standardizer: Standardizer = "average",
    correct: bool = True,
) -> pd.DataFrame:
    """Return standardised mean differences of pairs, as of a paired t test.

    For two measurements of the same people, e.g. before and after, or of matched ones.

    Parameters
    ----------
    data : DataFrame, table, mapping or None
        Table in which a string names a column; any that `effect_sizes` takes.
    n : column name or array of shape (K,)
        Numbers of pairs, whole, at least 3.
    correlation : number, column name or array of shape (K,)
        Correlation of the two measurements, between -1 and 1, taken as known. A row can
        do without it if t or F is given beside means and standard deviations, from
        which it follows, or if differences are standardised and a test is given without
        means. If it is not known otherwise, give an assumed value, such as 0.5, and see
        with others how much depends on it.
    mean1, mean2, sd1, sd2 : column name or array of shape (K,)
        Means and standard deviations of the two measurements; positive effects are
        those with mean1 > mean2.
    t, F, p, sign, sides
        As for `smd`, of the paired t test: t is the mean difference over its standard
        error, F that of a factor with two levels within people.
    standardizer : {"average", "sd1", "sd2", "difference"}
        What the mean difference is divided by. "average" (d_av): the square root of the
        mean of the two variances, which makes estimates comparable to those of two
        independent groups. "sd1", "sd2": the standard deviation of one measurement,
        e.g. the one before a treatment. "difference" (d_z): the standard deviation of
        differences; such estimates grow with the correlation and are comparable to
        each other only.
    correct : bool
        Whether to remove Hedges' small-sample bias.

    Returns
    -------
    DataFrame
        Columns `yi` and `vi`, with the index of a pandas `data`.

    Raises
    ------
    DataError
        If a value is missing or outside its range, lengths differ, or the correlation
        is needed and not known.

    Notes
    -----
    With r the correlation, s² the variance that is standardised with and c = (sd1² +
    sd2² − 2 r sd1 sd2) / s², which is 1 for differences, d = (mean1 − mean2) / s. A
    test gives d = t √(c/n) with c = 2 (1 − r), the two standard deviations taken to be
    equal (d_rm) [1]_, [2]_. g = J(m) d, with J as in `smd` and m = f (n − 1), and the
    variance of either estimate e is c/n + e² / (2 f n) [3]_, [4]_. f is 1, but 4 s⁴ /
    (sd1⁴ + sd2⁴ + 2 r² sd1² sd2²) for the average, which two standard deviations
    estimate.

    Borenstein et al. (2009, chapter 4) multiply the last term by 2 (1 − r) as well,
    which is too small for r above 0.5 and too large below.

    References
    ----------
    .. [1] Morris, DeShon (2002). Combining effect size estimates in meta-analysis with
       repeated measures and independent-groups designs. Psychological Methods 7(1),
       105-125. doi:10.1037/1082-989X.7.1.105
    .. [2] Lakens (2013). Calculating and reporting effect sizes to facilitate
       cumulative science. Frontiers in Psychology 4, 863.
       doi:10.3389/fpsyg.2013.00863
    .. [3] Becker (1988). Synthesizing standardized mean-change measures. British
       Journal of Mathematical and Statistical Psychology 41(2), 257-278.
       doi:10.1111/j.2044-8317.1988.tb00901.x
    .. [4] Bonett (2008). Confidence intervals for standardized linear contrasts of
       means. Psychological Methods 13(2), 99-109. doi:10.1037/1082-989X.13.2.99

    Examples
    --------
    >>> smd_paired(t=[2.5], n=[30], correlation=0.5).round(4)
           yi      vi
    0  0.4445  0.0366
    """
    if standardizer not in STANDARDIZERS:
        listed = ", ".join(f'"{name}"' for name in STANDARDIZERS)
        raise DataError(
            f"standardizer: expected one of {listed}; got {standardizer!r}. Use one of "
            "these."
        )
    reported = read_reported(
        data,
        {
            "mean1": mean1,
            "sd1": sd1,
            "mean2": mean2,
            "sd2": sd2,
            "n": n,
            "correlation": correlation,
            "t": t,
            "F": F,
            "p": p,
            "sign": sign,
            "sides": sides,
        },
        OF_GROUPS,
    )
    own = reported.source == MEANS
    for group in ("1", "2"):
        check_means(reported.x, group, reported.rows, own)
    size = sample_sizes(reported)
    r = _correlations(reported, own, size, needed=own | (standardizer != "difference"))
    c, f = np.ones(size.shape), np.ones(size.shape)
    if standardizer != "difference":
        c = 2.0 * (1.0 - r)
    yi = t_statistics(reported, size - 1.0) * np.sqrt(c / size)
    if own.any():
        v1, v2 = reported.x["sd1"] ** 2, reported.x["sd2"] ** 2
        of_difference = v1 + v2 - 2.0 * r * np.sqrt(v1 * v2)
        square = {
            "average": (v1 + v2) / 2.0,
            "sd1": v1,
            "sd2": v2,
            "difference": of_difference,
        }[standardizer]
        difference = reported.x["mean1"] - reported.x["mean2"]
        yi[own] = (difference / np.sqrt(square))[own]
        c[own] = (of_difference / square)[own]
        if standardizer == "average":
            f[own] = (4.0 * square**2 / (v1**2 + v2**2 + 2.0 * r**2 * v1 * v2))[own]
    if correct:
        yi = hedges_j(f * (size - 1.0)) * yi
    return reported.table(yi, c / size + yi**2 / (2.0 * f * size))


def _correlations(
    reported: Reported, means: BoolArray, n: FloatArray, *, needed: BoolArray
) -> FloatArray:
    """Return correlations of the two measurements, where they are needed."""
    rows = reported.rows
    r = reported.get("correlation")
    rows.refuse(
        needed & (np.abs(r) >= 1.0),
        "correlation",
        "correlations between -1 and 1, both excluded",
        r,
        REMEDY,
    )
    from_t = _implied_correlations(reported, n)
    implied = means & np.isnan(r) & np.isfinite(from_t)
    rows.refuse(
        implied & (np.abs(from_t) >= 1.0),
        "t" if "t" in reported.x else "F",
        "a paired t test that agrees with means, standard deviations and n",
        lambda row: f"one that implies a correlation of {from_t[row]:.4g}",
        "Check them, or give the correlation.",
    )
    r = np.where(implied, from_t, r)
    rows.refuse(
        needed & np.isnan(r),
        "correlation",
        "the correlation of the two measurements, which the estimate and its variance "
        "depend on",
        lambda row: "none",
        "If the paper does not tell, give an assumed value, such as correlation=0.5, "
        "and check with others, such as 0.3 and 0.7, how much depends on it.",
    )
    return r


def _implied_correlations(reported: Reported, n: FloatArray) -> FloatArray:
    """Return the correlations that paired t tests imply beside means and sds.

    The standard deviation of differences is √n (mean1 − mean2) / t; Higgins, Li, Deeks
    (2019), Cochrane Handbook for Systematic Reviews of Interventions, section 6.5.2.8.
    """
    t, F = reported.get("t"), reported.get("F")
    square = np.where(np.isnan(t), F, t**2)
    v1, v2 = reported.get("sd1") ** 2, reported.get("sd2") ** 2
    difference = reported.get("mean1") - reported.get("mean2")
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (v1 + v2 - n * difference**2 / square) / (2.0 * np.sqrt(v1 * v2))
    return np.where(square > 0.0, r, np.nan)
