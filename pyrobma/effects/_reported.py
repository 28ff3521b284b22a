"""Read what papers report of each estimate: means, or a test of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects._columns import Rows, read_columns
from pyrobma.effects._numbers import as_floats
from pyrobma.effects._tables import read_table
from pyrobma.effects.pvalues import as_p_values, refuse_p, upper_t
from pyrobma.errors import DataError

TESTS: Final = ("t", "F", "p")
"""Arguments with the test of an estimate, in the order in which they are used."""

MEANS: Final = "means and standard deviations"
"""The source of a row that has them."""

OF_GROUPS: Final = {
    MEANS: ("mean1", "sd1", "mean2", "sd2"),
    **{name: (name,) for name in TESTS},
}
"""What differences of two groups, or of pairs, are computed from."""

REMEDY: Final = "Correct the value or drop the row."

_FOR_ALL: Final = ("sign", "sides", "correlation", "test_value")
"""Arguments that may be one number for all rows."""


@dataclass(frozen=True, slots=True)
class Reported:
    """Numbers by argument, and which of them each row's estimate comes from.

    Attributes
    ----------
    x : dict of arrays of shape (K,)
        NaN where a row does not have the number.
    source : object array of shape (K,)
        Name of a source.
    rows : Rows
        How to name a row.
    index : Index or None
        Of the table.
    """

    x: dict[str, FloatArray]
    source: Any
    rows: Rows
    index: pd.Index[Any] | None

    def get(self, name: str) -> FloatArray:
        """Return the numbers of an argument, all missing if it was not given."""
        return self.x[name] if name in self.x else np.full(self.rows.K, np.nan)

    def table(self, yi: FloatArray, vi: FloatArray) -> pd.DataFrame:
        """Return estimates and variances as `smd` does."""
        return pd.DataFrame({"yi": yi, "vi": vi}, index=self.index)


def read_reported(
    data: Any,
    arguments: Mapping[str, Any],
    sources: Mapping[str, Sequence[str]],
) -> Reported:
    """Read numbers and choose each row's source: the first that it has all numbers of.

    Parameters
    ----------
    data : table or None
        Any that `read_table` takes, in which a string names a column.
    arguments : mapping of str to object
        Argument names and what the user gave; None: nothing.
    sources : mapping of str to sequence of str
        The arguments that each source needs, the best source first.

    Raises
    ------
    DataError
        If no source is given, one is given in part, values cannot be read, or a row
        has none of several sources.
    """
    given = _given_sources(arguments, sources)
    constant = {
        name: float(value)
        for name, value in arguments.items()
        if name in _FOR_ALL and _is_number(value)
    }
    columns = {n: v for n, v in arguments.items() if n not in constant}
    table = read_table(data)
    values, rows = read_columns(table, columns)
    x = {
        name: as_p_values(value, rows.where)
        if name == "p"
        else as_floats(name, value, rows.where)
        for name, value in values.items()
    }
    x |= {name: np.full(rows.K, value) for name, value in constant.items()}
    present = np.ones((len(given), rows.K), dtype=np.bool_)
    if len(given) > 1:  # of one alone, what is missing is reported as such
        for row, names in zip(present, given.values(), strict=True):
            row &= ~np.isnan([x[name] for name in names]).any(axis=0)
    rows.refuse(
        np.asarray(~present.any(axis=0)),
        ", ".join(name for names in given.values() for name in names),
        f"{_either(given)} in every row",
        lambda row: "none",
        "Fill in one of them or drop the row.",
    )
    source = np.array(list(given), dtype=object)[present.argmax(axis=0)]
    return Reported(x, source, rows, None if table is None else table.index)


def _given_sources(
    arguments: Mapping[str, Any], sources: Mapping[str, Sequence[str]]
) -> dict[str, Sequence[str]]:
    given = {}
    for source, names in sources.items():
        missing = [name for name in names if arguments[name] is None]
        if len(missing) == len(names):
            continue
        if missing:
            raise DataError(
                f"{missing[0]}: expected a column name or one value per estimate; got "
                "None. Give the numbers."
            )
        given[source] = names
    if not given:
        names = [name for names in sources.values() for name in names]
        raise DataError(
            f"{names[0]}: expected {_either(sources)}; got none of them. Name their "
            "columns or give arrays."
        )
    return given


def _either(sources: Iterable[str]) -> str:
    *others, last = sources
    return f"{', '.join(others)} or {last}" if others else last


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def t_statistics(reported: Reported, df: FloatArray) -> FloatArray:
    """Return the t of each row's test, signed; NaN in rows of another source.

    Parameters
    ----------
    reported : Reported
        With the sources of `TESTS`, and `sign` and `sides` for F and p.
    df : array of shape (K,)
        Degrees of freedom of the tests.
    """
    x, rows, source = reported.x, reported.rows, reported.source
    t = np.full(rows.K, np.nan)
    for name in set(source).intersection(TESTS):
        own = source == name
        size = x[name]
        if name == "t":
            rows.refuse(own & ~np.isfinite(size), "t", "finite t", size, REMEDY)
        else:
            size = _size(name, own, df, reported) * _signs(name, own, reported)
        t[own] = size[own]
    return t


def _size(name: str, own: BoolArray, df: FloatArray, reported: Reported) -> FloatArray:
    """Return the t of F or p, of a one-sided p with its sign, where rows have them."""
    value, rows = reported.x[name], reported.rows
    if name == "F":
        rows.refuse(
            own & ~((value >= 0.0) & (value < np.inf)),
            "F",
            "finite F that are not negative",
            value,
            "Give F as it is printed, and the direction of the effect as sign.",
        )
        return np.sqrt(np.where(own, value, 0.0))
    sides = reported.x["sides"]
    rows.refuse(
        own & ~np.isin(sides, (1.0, 2.0)),
        "sides",
        "1 or 2",
        sides,
        "Use 2 for two-sided p-values and 1 for one-sided ones.",
    )
    refuse_p(value, own, sides == 1.0, rows)
    return upper_t(np.where(own, value / sides, 0.5), np.where(own, df, 1.0))


def _signs(name: str, own: BoolArray, reported: Reported) -> FloatArray:
    if "sign" not in reported.x:
        raise DataError(
            f"sign: expected the direction of effects beside {name}, which has none; "
            "got none. Give 1 for positive and -1 for negative effects, or a column "
            "whose sign says it."
        )
    sign = reported.x["sign"]
    reported.rows.refuse(
        own & ~(np.abs(sign) > 0.0),
        "sign",
        f"the direction of effects beside {name}, 1 or -1",
        sign,
        "Fill in the direction or drop the row.",
    )
    return np.sign(sign)


def check_counts(
    values: FloatArray, argument: str, least: int, rows: Rows, mask: Any = True
) -> None:
    """Refuse what is no whole number, or too small, where `mask` is true."""
    whole = np.isfinite(values) & (values == np.round(values)) & (values >= least)
    rows.refuse(
        mask & ~whole, argument, f"whole numbers of at least {least}", values, REMEDY
    )


def check_means(
    x: Mapping[str, FloatArray], group: str, rows: Rows, mask: Any = True
) -> None:
    """Refuse means and standard deviations of a group that are none."""
    mean, sd = f"mean{group}", f"sd{group}"
    if not np.any(mask):
        return
    rows.refuse(mask & ~np.isfinite(x[mean]), mean, "finite means", x[mean], REMEDY)
    rows.refuse(
        mask & ~((x[sd] > 0.0) & (x[sd] < np.inf)),
        sd,
        "positive finite standard deviations",
        x[sd],
        REMEDY,
    )


def sample_sizes(reported: Reported) -> FloatArray:
    """Return the sizes n of single samples, at least 3."""
    if "n" not in reported.x:
        raise DataError(
            "n: expected a column name or one value per estimate; got None. Give the "
            "numbers."
        )
    check_counts(reported.x["n"], "n", 3, reported.rows)
    return reported.x["n"]


def hedges_j(m: FloatArray) -> FloatArray:
    """Return Hedges' correction, exactly: Γ(m/2) / (√(m/2) Γ((m − 1)/2))."""
    from scipy.special import gammaln

    log_j = gammaln(m / 2.0) - gammaln((m - 1.0) / 2.0) - 0.5 * np.log(m / 2.0)
    return np.asarray(np.exp(log_j), dtype=np.float64)
