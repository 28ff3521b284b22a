"""Read named columns or arrays of one length, and say where a value is."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects._numbers import as_floats
from pyrobma.effects._tables import UNITS, column_names, index_level, read_column
from pyrobma.errors import DataError


@dataclass(frozen=True, slots=True)
class Rows:
    """What rows are called in messages: position, index label, study name.

    Attributes
    ----------
    K : int
        Number of rows.
    index : tuple or None
        Labels of a table's index, if they say more than the position.
    names : tuple of str or None
        Of studies.
    places : tuple of int or None
        Positions in the table, if some of its rows were left out.
    unit : str or None
        One of `UNITS`, if `index` has the numbers of such.
    """

    K: int
    index: tuple[Any, ...] | None = None
    names: tuple[str, ...] | None = None
    places: tuple[int, ...] | None = None
    unit: str | None = None

    @classmethod
    def of(
        cls, index: pd.Index[Any], K: int, names: tuple[str, ...] | None = None
    ) -> Rows:
        """Name K rows by the index of their table, if it says more than a position."""
        if len(index) != K or index.equals(pd.RangeIndex(K)):
            return cls(K, names=names)
        unit = str(index.name) if index.name in UNITS else None
        return cls(K, tuple(index), names, unit=unit)

    def kept(self, mask: BoolArray) -> Rows:
        """Return some of the rows, which keep what they are called."""
        chosen = [int(row) for row in np.flatnonzero(mask)]

        def some(values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
            return None if values is None else tuple(values[row] for row in chosen)

        places = tuple(range(self.K)) if self.places is None else self.places
        return Rows(
            len(chosen), some(self.index), some(self.names), some(places), self.unit
        )

    def number(self, row: int) -> int:
        """Return the position in the table, or the line in a file."""
        if self.unit is not None and self.index is not None:
            return int(self.index[row])
        return row if self.places is None else self.places[row]

    def where(self, row: int) -> str:
        """Return e.g. ``row 7 (index 'x7', "Study 8")`` or ``line 9 ("Study 8")``."""
        labels = []
        if self.index is not None and self.unit is None:
            labels.append(f"index {self.index[row]!r}")
        if self.names is not None:
            labels.append(f'"{self.names[row]}"')
        text = f"{self.unit or 'row'} {self.number(row)}"
        return f"{text} ({', '.join(labels)})" if labels else text

    def numbered(self, rows: Sequence[int]) -> str:
        """Return the numbers of rows in order, as in ``rows 0, 3-7, 9``."""
        runs: list[list[int]] = []
        for number in map(self.number, rows):
            if runs and number == runs[-1][-1] + 1:
                runs[-1][1:] = [number]
            else:
                runs.append([number])
        shown = ", ".join("-".join(map(str, run)) for run in runs)
        return f"{self.unit or 'row'}s {shown}"

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
        If a column is unknown or ambiguous, lengths differ, or there is no row.
    """
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
    value = read_column(value)
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
    if name not in data.columns:
        level = index_level(data, name)
        if level is not None:
            return level
        columns = column_names(data)
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
    return Rows.of(index, K)
