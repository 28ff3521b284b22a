"""The door for tables: whatever library one is of, it goes on as a pandas DataFrame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pandas as pd

from pyrobma.errors import DataError

if TYPE_CHECKING:
    import narwhals as nw
    from narwhals.typing import IntoDataFrame

AnyTable: TypeAlias = "pd.DataFrame | IntoDataFrame | Mapping[str, Any]"
"""A table of pandas, polars, pyarrow and the like, or columns by name."""

UNITS: Final = ("line", "sheet row")
"""Names of an index that says where in a file each row is, which rows are called by."""

_COLLECT: Final = {
    "polars": "data.collect()",
    "dask": "data.compute()",
    "duckdb": "data.df()",
    "ibis": "data.to_pandas()",
    "pyspark": "data.toPandas()",
}
"""What makes a table of one that is not computed yet, by library."""

_KINDS: Final = "a table of pandas, polars or pyarrow, a dict of columns"


def read_table(data: Any, argument: str = "data") -> pd.DataFrame | None:
    """Return a table as a pandas DataFrame.

    Parameters
    ----------
    data : DataFrame, Table, mapping of str to column, or None
        Of pandas, polars, pyarrow or what else narwhals reads into memory. A mapping
        has columns of one length, matched by position, and single values, which hold
        in every row.
    argument : str
        Name for messages.

    Returns
    -------
    DataFrame or None
        A pandas DataFrame as it is, but for dictionaries of Arrow, which become
        categories. Of others every column by its type: whole numbers, floats and truth
        values without missing values as such; enumerations, and dictionaries of Arrow,
        as categories in their order; everything else as objects, missing values being
        None. Missing values of floats are NaN, as NaN itself is. None: nothing was
        given.

    Raises
    ------
    DataError
        On anything else, a table that is not in memory, two columns of one name, or
        columns of different lengths.
    """
    if data is None:
        return None
    if isinstance(data, pd.DataFrame):
        return _with_categories(data)
    if isinstance(data, Mapping):
        return _of_columns(data, argument)
    import narwhals as nw  # only those need it who have other tables

    if isinstance(names := getattr(data, "column_names", None), list):
        _refuse_namesakes(names, argument)  # of Arrow, which narwhals does not take
    frame = nw.from_native(data, pass_through=True)
    if isinstance(frame, nw.LazyFrame):
        library = frame.implementation.name.lower()
        call = _COLLECT.get(library, "data.collect()").replace("data", argument, 1)
        raise DataError(
            f"{argument}: expected a table in memory; got a {library} "
            f"{type(data).__name__}, which is not computed yet. Give {call}."
        )
    if not isinstance(frame, nw.DataFrame):
        path = isinstance(data, str | PathLike)
        remedy = f"{'Read' if path else 'Convert'} it with pandas."
        remedy += "read_csv" if path else "DataFrame"
        raise DataError(
            f"{argument}: expected {_KINDS}, or None; got {type(data).__name__}. "
            f"{remedy}(...)."
        )
    return pd.DataFrame({name: _as_pandas(frame[name]) for name in frame.columns})


def is_table(value: Any) -> bool:
    """Whether a value is a table, or columns by name, rather than an array."""
    if isinstance(value, pd.DataFrame | Mapping):
        return True
    if isinstance(value, str | list | tuple | np.ndarray | pd.Series):
        return False
    import narwhals as nw

    found = nw.from_native(value, pass_through=True)
    return isinstance(found, nw.DataFrame | nw.LazyFrame)


def read_column(values: Any) -> Any:
    """Return a column of another library as an array of pandas; others as they are."""
    if isinstance(values, str | list | tuple | np.ndarray | pd.Series | pd.Index):
        return values
    if hasattr(values, "to_pylist") and not hasattr(values, "chunks"):
        import pyarrow as pa

        values = pa.chunked_array([values])
    elif not hasattr(values, "to_numpy"):
        return values
    import narwhals as nw

    found = nw.from_native(values, allow_series=True, pass_through=True)
    return _as_pandas(found).array if isinstance(found, nw.Series) else values


def index_level(table: pd.DataFrame, name: str) -> pd.Series[Any] | None:
    """Return a level of the index as a column; None if it has none of this name."""
    for number, own in enumerate(table.index.names):
        if own is not None and str(own) == name:
            level = table.index.get_level_values(number)
            return pd.Series(level, index=table.index, name=name)
    return None


def column_names(table: pd.DataFrame) -> list[str]:
    """Return the names of all columns, and of the levels of an index that has some."""
    levels = [str(n) for n in table.index.names if n is not None and n not in UNITS]
    return [*map(str, table.columns), *levels]


def _of_columns(columns: Mapping[Any, Any], argument: str) -> pd.DataFrame:
    _refuse_namesakes([str(name) for name in columns], argument)
    read = {str(name): read_column(values) for name, values in columns.items()}
    found = {
        name: values.array
        if isinstance(values, pd.Series | pd.Index)
        else values
        if isinstance(values, pd.api.extensions.ExtensionArray)
        else _listed(name, values, argument)
        for name, values in read.items()
    }
    lengths = {
        name: len(values) for name, values in found.items() if values is not None
    }
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{length} of {name}" for name, length in lengths.items())
        raise DataError(
            f"{argument}: expected columns of one length, or single values; got "
            f"{shown}. Give a value for each row."
        )
    size = next(iter(lengths.values()), 1 if found else 0)
    table = pd.DataFrame(
        {
            name: [read[name]] * size if values is None else values
            for name, values in found.items()
        },
        index=_common_index(read.values(), size),
    )
    return _with_categories(table)


def _listed(name: str, values: Any, argument: str) -> Any:
    """Return an array; None of a single value."""
    if isinstance(values, str | bytes) or np.ndim(values) == 0:
        return None
    array = np.asarray(values)
    if isinstance(values, list | tuple) and array.dtype.kind not in "fi":
        # NumPy would make texts of numbers beside a text, and numbers of truth values.
        array = np.empty(len(values), dtype=object)
        array[:] = values
    if array.ndim != 1:
        raise DataError(
            f"{argument}: expected columns of one dimension; got {name} of shape "
            f"{array.shape}. Give one value for each row."
        )
    return array


def _common_index(columns: Any, size: int) -> pd.Index[Any]:
    """Return the index that all Series share; positions if there is none."""
    found = [one.index for one in columns if isinstance(one, pd.Series)]
    if found and all(found[0].equals(other) for other in found[1:]):
        return found[0]
    return pd.RangeIndex(size)


def _refuse_namesakes(names: list[str], argument: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"{argument}: expected columns with a name of their own; got {twice[0]!r} "
            "more than once. Rename them."
        )


def _as_pandas(column: nw.Series[Any]) -> pd.Series[Any]:
    import narwhals as nw

    dtype = column.dtype
    levels = _levels(column)
    if levels is not None:
        values = pd.Categorical(column.to_list(), categories=levels)
        return pd.Series(values, name=column.name)
    plain = (dtype.is_integer() or dtype == nw.Boolean) and not column.null_count()
    if dtype.is_float() or (plain and dtype != nw.Int128 and dtype != nw.UInt128):
        return pd.Series(np.array(column.to_numpy()), name=column.name)
    return pd.Series(column.to_list(), name=column.name, dtype=object)


def _levels(column: nw.Series[Any]) -> list[Any] | None:
    """Return the levels of a column in their order, if it has an order.

    That of a polars Categorical is the order in which the process met its texts, which
    says nothing: it is a column of texts.
    """
    import narwhals as nw

    if column.dtype == nw.Enum:
        return list(column.dtype.categories)  # type: ignore[attr-defined]
    chunks = getattr(column.to_native(), "chunks", None)
    if column.dtype != nw.Categorical or chunks is None:
        return None
    every = [level for chunk in chunks for level in chunk.dictionary.to_pylist()]
    return [level for level in dict.fromkeys(every) if level is not None]


def _with_categories(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose dictionaries of Arrow are categories, in their order."""
    found = {
        number: read_column(table.iloc[:, number].array.__arrow_array__())
        for number, dtype in enumerate(table.dtypes)
        if isinstance(dtype, pd.ArrowDtype) and str(dtype).startswith("dictionary")
    }
    if not found:
        return table
    columns = [
        pd.Series(found[number], index=table.index)
        if number in found
        else table.iloc[:, number]
        for number in range(table.shape[1])
    ]
    made = pd.concat(columns, axis=1)
    made.columns = table.columns
    return made
