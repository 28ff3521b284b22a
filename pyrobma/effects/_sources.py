"""Columns that moderators are made of: found in a table, and kept as they were."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd

from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects._clusters import labels
from pyrobma.effects._columns import Rows, _refuse_shuffled
from pyrobma.effects._missing import Missing, kept_rows
from pyrobma.effects._numbers import as_floats
from pyrobma.effects._tables import (
    column_names,
    index_level,
    is_table,
    read_column,
    read_table,
)
from pyrobma.errors import DataError

Where: TypeAlias = Callable[[int], str]
"""What a row is called in messages."""

_NO_CATEGORIES: Final = (
    datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64,
    complex, list, dict, set, np.ndarray,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A column of the table that the formula needs, in the rows that are used.

    Attributes
    ----------
    name : str
    values : array of shape (K,)
        Numbers; for a factor the places of its levels, from 0.
    levels : tuple of str
        Of a factor; empty for numbers.
    """

    name: str
    values: FloatArray
    levels: tuple[str, ...] = ()

    @property
    def series(self) -> pd.Series[Any]:
        """The column as it was: numbers, or categories."""
        if not self.levels:
            return pd.Series(self.values, name=self.name)
        found = [self.levels[int(place)] for place in self.values]
        return pd.Series(pd.Categorical(found, categories=list(self.levels)))


def formula_and_table(mods: Any, data: Any) -> tuple[str, pd.DataFrame]:
    """Return a formula, and the table that has its columns."""
    data = read_table(data)
    table = _own_table(mods)
    if table is not None:
        if data is not None and isinstance(mods, pd.DataFrame | pd.Series):
            _refuse_shuffled({"data": data.index, "mods": mods.index})
        return _of_names(table.columns), _named_by_text(table, "mods")
    if data is None:
        raise DataError(
            "mods: expected columns, since no data was given; got "
            f"{mods!r}. Give the DataFrame as the first argument, or mods as a "
            "DataFrame."
        )
    table = _named_by_text(data, "data")
    return (mods if isinstance(mods, str) else _of_names(mods)), table


def _own_table(mods: Any) -> pd.DataFrame | None:
    """Return the table that moderators are given as; None for names of columns."""
    if isinstance(mods, pd.Series):
        if mods.name is None:
            raise DataError(
                "mods: expected columns with names; got a Series without one. Write "
                "mods={'age': ...}."
            )
        return mods.to_frame()
    if is_table(mods):
        return read_table(mods, "mods")
    column = read_column(mods)
    if column is not mods:
        name = getattr(mods, "name", "")
        if not name:
            raise DataError(
                f"mods: expected columns with names; got a {type(mods).__name__} "
                "without one. Write mods={'age': ...}."
            )
        return pd.DataFrame({name: column})
    array = isinstance(mods, np.ndarray)
    if (array and (mods.ndim != 1 or mods.dtype.kind not in "OUT")) or not isinstance(
        mods, str | Iterable
    ):
        shape = f"an array of shape {mods.shape}" if array else repr(mods)
        raise DataError(
            f"mods: expected a formula, names of columns, or columns with names; got "
            f"{shape}. Write mods=pandas.DataFrame(..., columns=[...])."
        )
    return None


def _of_names(names: Iterable[Any]) -> str:
    """Return the formula that adds columns."""
    found = [str(name) for name in names]
    if not found:
        raise DataError(
            "mods: expected a formula or names of columns; got none. Leave mods out to "
            "fit without moderators."
        )
    for name in found:
        if name in ("", "1") or "`" in name or "\\" in name:
            raise DataError(
                f"mods: expected names that a formula can have; got {name!r}. Rename "
                "the column."
            )
    return " + ".join(f"`{name}`" for name in found)


def _named_by_text(table: pd.DataFrame, argument: str) -> pd.DataFrame:
    if table.columns.nlevels > 1:
        raise DataError(
            f"{argument}: expected columns with one name each; got names of "
            f"{table.columns.nlevels} levels. Write data.columns = "
            "data.columns.map('_'.join)."
        )
    return table.rename(columns=str)


def named(table: pd.DataFrame, name: str, argument: str) -> pd.Series[Any]:
    """Return a column by name."""
    if name not in table.columns:
        level = index_level(table, name)
        if level is not None:
            return level
        columns = column_names(table)
        raise DataError(
            f'{argument}: expected columns of the table; got "{name}", which is none.'
            f"{near(name, columns)} The columns are {', '.join(columns) or 'none'}."
        )
    column = table[name]
    if isinstance(column, pd.DataFrame):
        raise DataError(
            f'{argument}: expected the name of one column; got "{name}", which '
            f"{column.shape[1]} columns have. Rename them."
        )
    return column


def near(name: str, known: Sequence[str]) -> str:
    """Return a question for what could be meant; empty if nothing is close."""
    lower = {own.lower(): own for own in known}
    close = difflib.get_close_matches(name.lower(), lower, n=2)
    found = " or ".join(repr(lower[one]) for one in close)
    return f" Did you mean {found}?" if found else ""


def present(
    columns: Mapping[str, pd.Series[Any]],
    rows: Rows,
    missing: Missing,
    among: BoolArray,
) -> BoolArray:
    """Return which rows have all moderators; refuse others unless they are dropped.

    Rows that are not `among` those with an estimate are left out without a word.
    """
    gone = {name: column.isna().to_numpy()[among] for name, column in columns.items()}
    names = [name for name, mask in gone.items() if mask.any()]
    kept = among.copy()
    kept[among] = kept_rows(
        "mods", gone, rows.kept(among), missing, fill=f"data.dropna(subset={names})",
        useless="Leave a moderator out.",
    )  # fmt: skip
    return kept


def read_source(name: str, column: pd.Series[Any], where: Where) -> Source:
    """Keep a column without missing values as numbers, or as places of levels."""
    _refuse_no_categories(name, column, where)
    if _numeric(column):
        return Source(name, as_floats(f"mods, {name}", column, where))
    if isinstance(column.dtype, pd.CategoricalDtype):
        used = column.cat.remove_unused_categories().cat.categories
        levels = tuple(dict.fromkeys(map(str, labels(used))))
    else:
        levels = tuple(sorted({str(label) for label in labels(column)}))
    place = {level: i for i, level in enumerate(levels)}
    found = [place[str(label)] for label in labels(column)]
    return Source(name, np.array(found, dtype=float), levels)


def new_values(source: Source, column: pd.Series[Any], where: Where) -> pd.Series[Any]:
    """Return a column of new rows as the fit has it."""
    lacking = np.flatnonzero(column.isna())
    if lacking.size:
        raise DataError(
            f"newdata: expected a value of {source.name} in every row; got none at "
            f"{where(int(lacking[0]))}. Fill it in, or drop the row."
        )
    if not source.levels:
        return pd.Series(as_floats(f"newdata, {source.name}", column, where))
    found = [str(label) for label in labels(column)]
    for row, label in enumerate(found):
        if label not in source.levels:
            raise DataError(
                f"newdata: expected one of {', '.join(source.levels)} for "
                f"{source.name}; got {label!r} at {where(row)}."
            )
    return pd.Series(pd.Categorical(found, categories=list(source.levels)))


def holds_numerals(column: pd.Series[Any]) -> bool:
    """Whether all values are texts that are numbers, as in a column misread."""
    values = list(column)
    text = any(isinstance(value, str) for value in values)
    if isinstance(column.dtype, pd.CategoricalDtype) or not text:
        return False
    try:
        return bool(np.isfinite([float(value) for value in values]).all())
    except (TypeError, ValueError, OverflowError):
        return False


def _numeric(column: pd.Series[Any]) -> bool:
    if pd.api.types.is_bool_dtype(column):
        return False
    if pd.api.types.is_numeric_dtype(column):
        return True
    return column.dtype == object and all(
        isinstance(value, Real | Decimal) and not isinstance(value, bool)
        for value in column
    )


def _refuse_no_categories(name: str, column: pd.Series[Any], where: Where) -> None:
    periods = isinstance(column.dtype, pd.PeriodDtype)
    values = list(column) if column.dtype == object else []
    bad = [row for row, one in enumerate(values) if isinstance(one, _NO_CATEGORIES)]
    if periods or column.dtype.kind in "mMc" or bad:
        found = f"{values[bad[0]]!r} at {where(bad[0])}" if bad else column.dtype
        raise DataError(
            f"mods: expected numbers, texts, truth values or categories in {name}; got "
            f"{found}. Make a column of numbers from it, such as the year of a date."
        )
