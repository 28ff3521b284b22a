"""Read named columns or arrays of one length, and say where a value is."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects._numbers import as_floats
from pyrobma.errors import DataError


@dataclass(frozen=True, slots=True)
class Rows:
    """What rows are called in messages: position, index label, study name."""

    K: int
    index: tuple[Any, ...] | None = None
    names: tuple[str, ...] | None = None

    def where(self, row: int) -> str:
        """Return e.g. ``row 7 (index 'x7', "Study 8")``."""
        labels = [] if self.index is None else [f"index {self.index[row]!r}"]
        if self.names is not None:
            labels.append(f'"{self.names[row]}"')
        return f"row {row} ({', '.join(labels)})" if labels else f"row {row}"

    def refuse(
        self,
        bad: BoolArray,
        argument: str,
        expected: str,
        got: FloatArray | Callable[[int], str],
        remedy: str,
    ) -> None:
        """Raise a `DataError` about the first row where `bad` is true, if any."""
        rows = np.flatnonzero(bad)
        if not rows.size:
            return
        first = int(rows[0])
        value = got(first) if callable(got) else repr(float(got[first]))
        others = "" if rows.size == 1 else f" and {rows.size - 1} more"
        raise DataError(
            f"{argument}: expected {expected}; got {value} at "
            f"{self.where(first)}{others}. {remedy}"
        )


def read_columns(
    data: pd.DataFrame | None, arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], Rows]:
    """Return the given arguments as one-dimensional arrays of one length.

    Parameters
    ----------
    data : DataFrame or None
        Table in which a string names a column.
    arguments : mapping of str to object
        Argument names and what the user gave: a column name, an array, a list, a
        Series, a scalar (one row) or None (not given; left out of the result).

    Returns
    -------
    dict, Rows
        Unconverted values by argument, and how to name a row.

    Raises
    ------
    DataError
        If data is no DataFrame, a column is unknown or ambiguous, lengths differ, or
        there is no row.
    """
    if data is not None and not isinstance(data, pd.DataFrame):
        raise DataError(
            f"data: expected a pandas DataFrame or None; got {type(data).__name__}. "
            "Convert it with pandas.DataFrame(...)."
        )
    given = {name: value for name, value in arguments.items() if value is not None}
    values = {name: _column(data, name, value) for name, value in given.items()}
    indexes = {n: v.index for n, v in values.items() if isinstance(v, pd.Series)}
    _refuse_shuffled(indexes)
    rows = _rows(data, values, indexes)
    for name, value in values.items():
        if len(value) != rows.K:
            like = "data" if data is not None else next(iter(values))
            raise DataError(
                f"{name}: expected {rows.K} values, as many as {like} has; "
                f"got {len(value)}. Give one value per estimate."
            )
    return values, rows


def read_numbers(
    data: pd.DataFrame | None, arguments: Mapping[str, Any]
) -> tuple[dict[str, FloatArray], Rows]:
    """Return the given arguments as float arrays of one length; see `read_columns`."""
    values, rows = read_columns(data, arguments)
    numbers = {n: as_floats(n, value, rows.where) for n, value in values.items()}
    return numbers, rows


def _column(data: pd.DataFrame | None, argument: str, value: Any) -> Any:
    if isinstance(value, str):
        return _named_column(data, argument, value)
    if not isinstance(value, (pd.Series, pd.Categorical, pd.Index)):
        # An object array keeps None, text and numbers apart until they are judged.
        listed = isinstance(value, (list, tuple))
        value = np.asarray(value, dtype=object) if listed else np.asarray(value)
        if value.ndim == 0:
            value = value.reshape(1)
        if value.ndim != 1:
            raise DataError(
                f"{argument}: expected one value per estimate; got an array of shape "
                f"{value.shape}. Give a one-dimensional array or a column name."
            )
    return value


def _named_column(data: pd.DataFrame | None, argument: str, name: str) -> Any:
    if data is None:
        raise DataError(
            f"{argument}: expected numbers, since no data was given; got the text "
            f'"{name}". To name a column, give the DataFrame as the first argument.'
        )
    columns = [str(column) for column in data.columns]
    if name not in data.columns:
        lower = {column.lower(): column for column in reversed(columns)}
        close = difflib.get_close_matches(name.lower(), lower, n=1)
        hint = f'Did you mean "{lower[close[0]]}"? ' if close else ""
        raise DataError(
            f'{argument}: expected the name of a column of data; got "{name}". '
            f"{hint}The columns are {', '.join(columns) or 'none'}."
        )
    column = data[name]
    if isinstance(column, pd.DataFrame):
        raise DataError(
            f'{argument}: expected the name of one column; got "{name}", which '
            f"{column.shape[1]} columns of data have. Rename them."
        )
    return column


def _refuse_shuffled(indexes: Mapping[str, pd.Index[Any]]) -> None:
    """Refuse Series with the same labels in different orders.

    Rows are matched by position, so one of two such Series would be misread.
    """
    items = list(indexes.items())
    for name, index in items[1:]:
        first, reference = items[0]
        if (
            len(index) == len(reference)
            and not index.equals(reference)
            and index.is_unique
            and index.isin(reference).all()
        ):
            raise DataError(
                f"{name}: expected rows in the order of {first}; got the same index "
                "labels in another order. Put the Series into one DataFrame, or align "
                "them with reindex."
            )


def _rows(
    data: pd.DataFrame | None,
    values: Mapping[str, Any],
    indexes: Mapping[str, pd.Index[Any]],
) -> Rows:
    if data is not None:
        K, index = len(data), data.index
    elif values:
        first = next(iter(values))
        K, index = len(values[first]), indexes.get(first, pd.RangeIndex(0))
    else:
        return Rows(0)
    if K == 0:
        name = "data" if data is not None else next(iter(values))
        raise DataError(
            f"{name}: expected at least one estimate; got 0 rows. Check how the table "
            "was read or filtered."
        )
    telling = len(index) == K and not index.equals(pd.RangeIndex(K))
    return Rows(K, tuple(index) if telling else None)
