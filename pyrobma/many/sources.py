"""Where data sets come from, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from pyrobma.effects import EffectSizes
from pyrobma.effects._tables import is_table, read_table
from pyrobma.errors import DataError
from pyrobma.simulate import Simulation

Name: TypeAlias = str | int
Dataset: TypeAlias = tuple[Name, Any]

_DEFAULT_NAME = "analysis"  # of the column of names, without `by`
_LARGEST = 2**63 - 1  # whole number of a column of the results


@dataclass(frozen=True, slots=True)
class Source:
    """Data sets with their names.

    Attributes
    ----------
    datasets : iterable of (str or int, table or EffectSizes)
        Read while analyses run.
    count : int or None
        How many; None where nobody knows before the end.
    label : str
        Column that names have in the results.
    """

    datasets: Iterable[Dataset]
    count: int | None
    label: str

    def __iter__(self) -> Iterator[Dataset]:
        """Return the data sets; raise DataError for a second one of a name."""
        names = _Names()
        for place, dataset in enumerate(self.datasets, start=1):
            name, data = _pair(dataset, place)
            yield names.add(name), data


class _Names:
    """Names that were met, all of one kind, each once."""

    def __init__(self) -> None:
        self._seen: set[Name] = set()
        self._kind: type[Any] | None = None

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, given: Any) -> Name:
        """Return one more as Python's own; raise DataError if it cannot be one."""
        name = _plain(given)
        place = len(self._seen) + 1
        self._kind = self._kind or type(name)
        if type(name) is not self._kind:
            raise DataError(
                f"data: expected names that are all texts or all whole numbers; "
                f"got {name!r} for data set {place}."
            )
        if name in self._seen:
            raise DataError(
                f"data: expected names that occur once; got {name!r} again for "
                f"data set {place}. Give the estimates of an analysis together: a "
                "file has to be sorted by its names."
            )
        self._seen.add(name)
        return name


def read_source(data: Any, by: str | None) -> Source:
    """Return the data sets of a table, a file, a simulation, a mapping or an iterable.

    Parameters
    ----------
    data, by
        As in `robma_many`.

    Raises
    ------
    DataError
        If `data` is none of these, `by` is no column of it, or an estimate has no name.
    """
    if isinstance(data, Simulation):
        _no_by(by, "a Simulation")
        numbers = range(1, len(data.parameters) + 1)
        return Source(((i, data.effects(i)) for i in numbers), len(numbers), "dataset")
    if isinstance(data, str | os.PathLike):
        # It is read later, perhaps from another working directory.
        return _of_parquet(Path(data).absolute(), _given(by))
    if isinstance(data, Mapping) and not _is_columns(data):
        _no_by(by, "a mapping of data sets")
        return Source(data.items(), len(data), _DEFAULT_NAME)
    if is_table(data):
        table = read_table(data)
        assert table is not None
        return _of_table(table, _given(by))
    if isinstance(data, Iterable):
        _no_by(by, "an iterable of data sets")
        count = len(data) if isinstance(data, Sized) else None
        return Source(data, count, _DEFAULT_NAME)
    raise DataError(
        "data: expected a table, the path of a Parquet file, a Simulation, a mapping "
        f"of names to data sets, or an iterable of such pairs; got {data!r}."
    )


def _is_columns(data: Mapping[Any, Any]) -> bool:
    """Whether a mapping is one of columns, rather than one of data sets."""
    values = data.values()
    return bool(data) and not any(
        isinstance(v, EffectSizes) or is_table(v) for v in values
    )


def _given(by: str | None) -> str:
    if not isinstance(by, str):
        raise DataError(
            "by: expected the name of the column that says which analysis an estimate "
            f"belongs to; got {by!r}."
        )
    return by


def _no_by(by: str | None, what: str) -> None:
    if by is not None:
        raise DataError(f"by: expected None beside {what}; got {by!r}.")


def _of_table(table: pd.DataFrame, by: str) -> Source:
    if by not in table.columns:
        raise DataError(
            f"by: expected a column of data, one of {', '.join(map(str, table))}; got "
            f"{by!r}."
        )
    if (count := list(table.columns).count(by)) > 1:
        raise DataError(
            f"by: expected the name of one column; got {by!r}, which {count} columns "
            "of data have. Rename them."
        )
    column = table[by]
    if column.isna().any():
        raise _without_name(int(np.flatnonzero(column.isna())[0]) + 1)
    names = _Names()
    for name in column.unique().tolist():  # before anything runs
        names.add(name)
    # By the column itself: a level of the index may have its name too.
    groups = table.groupby(column, sort=False, observed=True)
    return Source(groups, len(names), by)


def _without_name(row: int) -> DataError:
    return DataError(
        f"by: expected a name of an analysis in every row; got none in row {row}. "
        "Leave such rows out, or give them a name."
    )


def _of_parquet(path: Path, by: str) -> Source:
    try:
        from pyarrow.dataset import dataset
    except ImportError as error:
        raise DataError(
            "data: Parquet files are read by pyarrow, which is not installed. Run: pip "
            "install pyarrow"
        ) from error
    try:
        files = dataset(path, format="parquet")
    except (OSError, ValueError) as error:
        raise DataError(
            f"data: expected a Parquet file, or a folder of them; got {str(path)!r}: "
            f"{error}."
        ) from error
    if by not in files.schema.names:
        raise DataError(
            f"by: expected a column of {path}, one of {', '.join(files.schema.names)}; "
            f"got {by!r}."
        )
    names = _Names()
    rows, last = 0, None
    for batch in files.to_batches(columns=[by]):
        for name in batch.column(0).to_pylist():
            rows += 1
            if name is None or name != name:  # NaN
                raise _without_name(rows)
            if name != last:
                names.add(name)
            last = name

    def datasets() -> Iterator[Dataset]:
        """Read batch by batch, so that the file may be larger than the memory."""
        rest: pd.DataFrame | None = None
        for batch in files.to_batches():
            table = batch.to_pandas()
            if rest is not None:
                table = pd.concat([rest, table], ignore_index=True)
            if table.empty:
                continue
            # The last analysis may go on in the next batch.
            last = table[by].iloc[-1]
            own = table[by] == last
            yield from _of_table(table[~own], by).datasets
            rest = table[own]
        if rest is not None:
            yield from _of_table(rest, by).datasets

    return Source(datasets(), len(names), by)


def _pair(dataset: Any, place: int) -> tuple[Any, Any]:
    try:
        name, data = dataset
    except (TypeError, ValueError) as error:
        raise DataError(
            "data: expected pairs of a name and a table, or EffectSizes; got "
            f"{type(dataset).__name__} at place {place}."
        ) from error
    return name, data


def _plain(name: Any) -> Name:
    """Return a name as Python's own text or whole number."""
    if isinstance(name, str):
        return str(name)
    number = isinstance(name, (int, np.integer)) and not isinstance(name, bool)
    # A column of numbers that had missing values once holds them as floats.
    if number or (isinstance(name, (float, np.floating)) and float(name).is_integer()):
        if abs(name) > _LARGEST:
            raise DataError(
                f"by: expected whole numbers of at most {_LARGEST} as names of "
                f"analyses; got {int(name)}. Give them as texts."
            )
        return int(name)
    raise DataError(
        "by: expected names of analyses that are texts or whole numbers; got "
        f"{name!r} ({type(name).__name__})."
    )
