"""Standardised mean differences of two groups and of one sample.

Each function takes means and standard deviations, or the test that a paper reports, and
rows may differ in what they have. It returns a table with the columns `yi` (estimate)
and `vi` (sampling variance). Add it to the table that it was made from to go on:
``robma(table.assign(**smd(table, ...)), d="yi", v="vi")``.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.effects._reported import (
    MEANS,
    OF_GROUPS,
    REMEDY,
    Reported,
    check_counts,
    check_means,
    hedges_j,
    read_reported,
    sample_sizes,
    t_statistics,
)
from pyrobma.effects._tables import AnyTable
from pyrobma.errors import DataError

_OF_ONE: Final = {**OF_GROUPS, MEANS: ("mean", "sd")}


def smd(
    data: AnyTable | None = None,
    *,
    mean1: Any = None,
    sd1: Any = None,
    n1: Any = None,
    mean2: Any = None,
    sd2: Any = None,
    n2: Any = None,
    n: Any = None,
    t: Any = None,
    F: Any = None,
    p: Any = None,
    sign: Any = None,
    sides: Any = 2,
    correct: bool = True,
) -> pd.DataFrame:
    """Return standardised mean differences (Hedges' g, or Cohen's d) of two groups.

    Each row needs the group sizes, and its means and standard deviations or a test of
    their difference. Of several, the first of means, t, F and p is used.

    Parameters
    ----------
    data : DataFrame, table, mapping or None
        Table in which a string names a column; any that `effect_sizes` takes.
    mean1, mean2 : column name or array of shape (K,)
        Group means; positive effects are those with mean1 > mean2.
    sd1, sd2 : column name or array of shape (K,)
        Standard deviations in the groups, positive.
    n1, n2 : column name or array of shape (K,)
        Group sizes, whole, at least 2.
    n : column name or array of shape (K,)
        Total sizes where n1 and n2 are not known, whole, at least 4; the groups are
        then taken to be of equal size.
    t : column name or array of shape (K,)
        Student's t of two independent groups (pooled variance), positive if mean1 >
        mean2.
    F : column name or array of shape (K,)
        F of the two groups, with one degree of freedom in the numerator, from an
        analysis without other factors or covariates: F = t².
    p : column name or array of shape (K,)
        p-values of t. Of "p < .001" give the bound, 0.001: d is then not overstated.
    sign : number, column name or array of shape (K,)
        Direction of the effect, which F and p do not have: any number of its sign. Of
        a one-sided p-value, the direction that was tested.
    sides : {2, 1}, column name or array of shape (K,)
        Whether p-values are two-sided or one-sided.
    correct : bool
        Whether to remove Hedges' small-sample bias. False gives Cohen's d.

    Returns
    -------
    DataFrame
        Columns `yi` and `vi`, with the index of a pandas `data`:
        ``robma(data.assign(**smd(data, ...)), d="yi", v="vi")`` has them beside the
        other columns.

    Raises
    ------
    DataError
        If a value is missing or outside its range, or lengths differ.

    Notes
    -----
    d is the difference over the pooled standard deviation with m = n1 + n2 − 2 degrees
    of freedom, which is t √(1/n1 + 1/n2) [1]_. g = J(m) d with the exact J(m) = Γ(m/2)
    / (√(m/2) Γ((m − 1)/2)) [2]_, and the variance of either estimate e is 1/n1 + 1/n2
    + e² / (2 (n1 + n2)). A p-value gives t as the quantile of Student's t.

    References
    ----------
    .. [1] Borenstein (2009). Effect sizes for continuous data. In Cooper, Hedges,
       Valentine (eds.), The Handbook of Research Synthesis and Meta-Analysis, 2nd ed.,
       221-235.
    .. [2] Hedges (1981). Distribution theory for Glass's estimator of effect size and
       related estimators. Journal of Educational Statistics 6(2), 107-128.
       doi:10.3102/10769986006002107

    Examples
    --------
    >>> smd(t=[2.5, None], p=[None, 0.03], sign=1, n1=[20, 30], n2=[20, 28]).round(4)
           yi      vi
    0  0.7748  0.1075
    1  0.5773  0.0719
    """
    reported = read_reported(
        data,
        {
            "mean1": mean1,
            "sd1": sd1,
            "n1": n1,
            "mean2": mean2,
            "sd2": sd2,
            "n2": n2,
            "n": n,
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
    size1, size2 = _group_sizes(reported)
    m = size1 + size2 - 2.0
    yi = t_statistics(reported, m) * np.sqrt(1.0 / size1 + 1.0 / size2)
    squares = (size1 - 1.0) * reported.get("sd1") ** 2
    squares += (size2 - 1.0) * reported.get("sd2") ** 2
    difference = reported.get("mean1") - reported.get("mean2")
    yi[own] = (difference / np.sqrt(squares / m))[own]
    if correct:
        yi = hedges_j(m) * yi
    vi = 1.0 / size1 + 1.0 / size2 + yi**2 / (2.0 * (size1 + size2))
    return reported.table(yi, vi)


def smd_one_sample(
    data: AnyTable | None = None,
    *,
    n: Any,
    mean: Any = None,
    sd: Any = None,
    t: Any = None,
    F: Any = None,
    p: Any = None,
    sign: Any = None,
    sides: Any = 2,
    test_value: Any = 0.0,
    correct: bool = True,
) -> pd.DataFrame:
    """Return standardised differences of means from a value, as of a one-sample t test.

    They are in standard deviations of the sample, as those of two groups are, but from
    another comparison: think of what they have in common before they are pooled.

    Parameters
    ----------
    data : DataFrame, table, mapping or None
        Table in which a string names a column; any that `effect_sizes` takes.
    n : column name or array of shape (K,)
        Sample sizes, whole, at least 3.
    mean, sd : column name or array of shape (K,)
        Means and standard deviations.
    t, F, p, sign, sides
        As for `smd`, of the one-sample t test.
    test_value : number, column name or array of shape (K,)
        What means are compared with, e.g. 0.5 for proportions of correct guesses.
    correct : bool
        Whether to remove Hedges' small-sample bias.

    Returns
    -------
    DataFrame
        Columns `yi` and `vi`, with the index of a pandas `data`.

    Raises
    ------
    DataError
        If a value is missing or outside its range, or lengths differ.

    Notes
    -----
    d = (mean − test_value) / sd = t / √n, g = J(n − 1) d with J as in `smd` [1]_, and
    the variance of either estimate e is 1/n + e² / (2n) [2]_.

    References
    ----------
    .. [1] Lakens (2013). Calculating and reporting effect sizes to facilitate
       cumulative science. Frontiers in Psychology 4, 863.
       doi:10.3389/fpsyg.2013.00863
    .. [2] Gibbons, Hedeker, Davis (1993). Estimation of effect size from a series of
       experiments involving paired comparisons. Journal of Educational Statistics
       18(3), 271-279. doi:10.3102/10769986018003271
    """
    reported = read_reported(
        data,
        {
            "mean": mean,
            "sd": sd,
            "n": n,
            "t": t,
            "F": F,
            "p": p,
            "sign": sign,
            "sides": sides,
            "test_value": test_value,
        },
        _OF_ONE,
    )
    own = reported.source == MEANS
    check_means(reported.x, "", reported.rows, own)
    value, rows = reported.get("test_value"), reported.rows
    rows.refuse(
        own & ~np.isfinite(value), "test_value", "finite numbers", value, REMEDY
    )
    size = sample_sizes(reported)
    yi = t_statistics(reported, size - 1.0) / np.sqrt(size)
    yi[own] = ((reported.get("mean") - value) / reported.get("sd"))[own]
    if correct:
        yi = hedges_j(size - 1.0) * yi
    return reported.table(yi, 1.0 / size + yi**2 / (2.0 * size))


def _group_sizes(reported: Reported) -> tuple[FloatArray, FloatArray]:
    x, rows = reported.x, reported.rows
    if "n" not in x:
        for name in ("n1", "n2"):
            if name not in x:
                raise DataError(
                    f"{name}: expected both group sizes, n1 and n2, or the total size "
                    "n; got None. Give the numbers."
                )
    n1, n2, n = (reported.get(name) for name in ("n1", "n2", "n"))
    total = np.isnan(n1) & np.isnan(n2) & ("n" in x)
    check_counts(n1, "n1", 2, rows, ~total)
    check_counts(n2, "n2", 2, rows, ~total)
    check_counts(n, "n", 4, rows, total)
    return np.where(total, n / 2.0, n1), np.where(total, n / 2.0, n2)
