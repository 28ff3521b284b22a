"""Effect sizes and sampling variances of raw differences and 2x2 tables.

Each function returns a table with the columns `yi` (estimate) and `vi` (sampling
variance), the names that the R package metafor gives them, and takes column names of
`data` or arrays. Pass the table on as ``effect_sizes(table, logOR="yi", v="vi")``
for `log_odds_ratio`, and with ``y=`` for the others.

References
----------
Viechtbauer (2010). Conducting Meta-Analyses in R with the metafor Package. Journal of
Statistical Software 36(3). doi:10.18637/jss.v036.i03
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.effects._columns import Rows, read_numbers
from pyrobma.effects._reported import check_counts, check_means
from pyrobma.effects._tables import AnyTable, read_table
from pyrobma.errors import DataError

Correction: TypeAlias = Literal["only0", "all", "if0all", "none"]
"""Which 2x2 tables get `add` to each cell."""

_CORRECTIONS: Final[tuple[str, ...]] = get_args(Correction)


def mean_difference(
    data: AnyTable | None = None,
    *,
    mean1: Any,
    sd1: Any,
    n1: Any,
    mean2: Any,
    sd2: Any,
    n2: Any,
) -> pd.DataFrame:
    """Return raw mean differences of two groups.

    Parameters
    ----------
    data, mean1, sd1, n1, mean2, sd2, n2
        As for `smd`.

    Returns
    -------
    DataFrame
        Columns `yi` = mean1 − mean2 and `vi` = sd1²/n1 + sd2²/n2, in the unit of the
        means and its square, with the index of a pandas `data`.

    Raises
    ------
    DataError
        If a value is missing or outside its range, or lengths differ.
    """
    x, rows, index = _read(
        data,
        {
            "mean1": mean1,
            "sd1": sd1,
            "n1": n1,
            "mean2": mean2,
            "sd2": sd2,
            "n2": n2,
        },
    )
    for group in ("1", "2"):
        check_means(x, group, rows)
        check_counts(x["n" + group], "n" + group, 2, rows)
    vi = x["sd1"] ** 2 / x["n1"] + x["sd2"] ** 2 / x["n2"]
    return _table(x["mean1"] - x["mean2"], vi, index)


def log_odds_ratio(
    data: AnyTable | None = None,
    *,
    a: Any,
    b: Any,
    c: Any,
    d: Any,
    add: float = 0.5,
    to: Correction = "only0",
) -> pd.DataFrame:
    """Return log odds ratios of 2x2 tables.

    Parameters
    ----------
    data : DataFrame, table, mapping or None
        Table in which a string names a column; any that `effect_sizes` takes.
    a, b : column name or array of shape (K,)
        Numbers with and without the event in group 1, whole, not negative.
    c, d : column name or array of shape (K,)
        The same in group 2.
    add : float
        What to add to each of the four cells, not negative.
    to : {"only0", "all", "if0all", "none"}
        The tables that get it: those with an empty cell; all; all if any of them has
        an empty cell; none.

    Returns
    -------
    DataFrame
        Columns `yi` = log(ad / (bc)) and `vi` = 1/a + 1/b + 1/c + 1/d, with the index
        of a pandas `data`.

    Raises
    ------
    DataError
        If a value is missing or outside its range, lengths differ, a group is empty,
        or a table's estimate or variance is not finite and positive because nothing
        was added to an empty cell.
    """
    x, rows, index = _read_tables(data, {"a": a, "b": b, "c": c, "d": d}, add, to)
    with np.errstate(divide="ignore", invalid="ignore"):
        yi = np.log(x["a"]) - np.log(x["b"]) - np.log(x["c"]) + np.log(x["d"])
        vi = 1.0 / x["a"] + 1.0 / x["b"] + 1.0 / x["c"] + 1.0 / x["d"]
    return _table(yi, vi, index, rows)


def log_risk_ratio(
    data: AnyTable | None = None,
    *,
    a: Any,
    b: Any,
    c: Any,
    d: Any,
    add: float = 0.5,
    to: Correction = "only0",
) -> pd.DataFrame:
    """Return log risk ratios of 2x2 tables.

    Parameters
    ----------
    data, a, b, c, d, add, to
        As for `log_odds_ratio`.

    Returns
    -------
    DataFrame
        Columns `yi` = log((a/n1) / (c/n2)) and `vi` = 1/a − 1/n1 + 1/c − 1/n2, where
        n1 = a + b and n2 = c + d, with the index of a pandas `data`.

    Raises
    ------
    DataError
        As for `log_odds_ratio`.

    Examples
    --------
    >>> log_risk_ratio(a=[4], b=[119], c=[11], d=[128]).round(4)
           yi      vi
    0 -0.8893  0.3256
    """
    x, rows, index = _read_tables(data, {"a": a, "b": b, "c": c, "d": d}, add, to)
    n1, n2 = x["a"] + x["b"], x["c"] + x["d"]
    with np.errstate(divide="ignore", invalid="ignore"):
        yi = np.log(x["a"] / n1) - np.log(x["c"] / n2)
        vi = 1.0 / x["a"] - 1.0 / n1 + 1.0 / x["c"] - 1.0 / n2
    return _table(yi, vi, index, rows)


def risk_difference(
    data: AnyTable | None = None,
    *,
    a: Any,
    b: Any,
    c: Any,
    d: Any,
    add: float = 0.5,
    to: Correction = "only0",
) -> pd.DataFrame:
    """Return risk differences of 2x2 tables.

    Parameters
    ----------
    data, a, b, c, d, add, to
        As for `log_odds_ratio`.

    Returns
    -------
    DataFrame
        Columns `yi` = p1 − p2 and `vi` = p1 (1 − p1)/n1 + p2 (1 − p2)/n2, where
        p1 = a/n1, n1 = a + b, p2 = c/n2 and n2 = c + d, with the index of a pandas
        `data`.

    Raises
    ------
    DataError
        As for `log_odds_ratio`.
    """
    x, rows, index = _read_tables(data, {"a": a, "b": b, "c": c, "d": d}, add, to)
    n1, n2 = x["a"] + x["b"], x["c"] + x["d"]
    vi = x["a"] * x["b"] / n1**3 + x["c"] * x["d"] / n2**3
    return _table(x["a"] / n1 - x["c"] / n2, vi, index, rows)


def _read(
    data: Any, arguments: dict[str, Any]
) -> tuple[dict[str, FloatArray], Rows, pd.Index[Any] | None]:
    for name, value in arguments.items():
        if value is None:
            raise DataError(
                f"{name}: expected a column name or one value per estimate; got None. "
                "Give the numbers."
            )
    table = read_table(data)
    numbers, rows = read_numbers(table, arguments)
    return numbers, rows, None if table is None else table.index


def _read_tables(
    data: Any, arguments: dict[str, Any], add: float, to: str
) -> tuple[dict[str, FloatArray], Rows, pd.Index[Any] | None]:
    """Read 2x2 tables and add to their cells what the zero-cell rule says."""
    if to not in _CORRECTIONS:
        listed = ", ".join(f'"{name}"' for name in _CORRECTIONS)
        raise DataError(f"to: expected one of {listed}; got {to!r}. Use one of these.")
    if not 0.0 <= add < np.inf:
        raise DataError(
            f"add: expected a finite number that is not negative; got {add!r}. "
            "The usual one is 0.5."
        )
    x, rows, index = _read(data, arguments)
    for name in arguments:
        check_counts(x[name], name, 0, rows)
    for one, other in (("a", "b"), ("c", "d")):
        empty = x[one] + x[other] == 0.0
        rows.refuse(
            empty, f"{one}, {other}", "a group with members", x[one], "Drop the row."
        )
    zero = np.any([x[name] == 0.0 for name in arguments], axis=0)
    chosen = {
        "only0": zero,
        "all": np.full(rows.K, True),
        "if0all": np.full(rows.K, bool(zero.any())),
        "none": np.full(rows.K, False),
    }[to]
    return {name: x[name] + add * chosen for name in arguments}, rows, index


def _table(
    yi: FloatArray,
    vi: FloatArray,
    index: pd.Index[Any] | None,
    rows: Rows | None = None,
) -> pd.DataFrame:
    if rows is not None:
        rows.refuse(
            ~(np.isfinite(yi) & np.isfinite(vi) & (vi > 0.0)),
            "to",
            "a correction of tables with an empty cell that leaves them a finite "
            "estimate and a positive variance",
            lambda row: f"yi = {float(yi[row])!r}, vi = {float(vi[row])!r}",
            'Use to="only0" and a positive add, or drop the row.',
        )
    return pd.DataFrame({"yi": yi, "vi": vi}, index=index)
