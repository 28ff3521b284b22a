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
from pyrobma.effects._tables import read_table
from pyrobma.errors import DataError
from pyrobma.simulate import Simulation

Name: TypeAlias = str | int
Dataset: TypeAlias = tuple[Name, Any]

_DEFAULT_NAME = "analysis"  # of the column of names, without `by`


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
        seen: set[Name] = set()
        kind: type[Any] | None = None
        for place, dataset in enumerate(self.datasets, start=1):
            name, data = _pair(dataset, place)
            kind = kind or type(name)
            if type(name) is not kind:
                raise DataError(
                    f"data: expected names that are all texts or all whole numbers; "
                    f"got {name!r} for data set {place}."
                )
            if name in seen:
                raise DataError(
                    f"data: expected names that occur once; got {name!r} again for "
                    f"data set {place}. Give the estimates of an analysis together: a "
                    "file has to be sorted by its names."
                )
            seen.add(name)
            yield name, data


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
        return _of_parquet(Path(data), _given(by))
    if isinstance(data, Mapping) and not _is_columns(data):
        _no_by(by, "a mapping of data sets")
        return Source(data.items(), len(data), _DEFAULT_NAME)
    if isinstance(data, Mapping) or hasattr(data, "columns"):
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
    sets = (EffectSizes, pd.DataFrame, Mapping)
    return not any(isinstance(v, sets) or hasattr(v, "columns") for v in data.values())


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
    names = table[by]
    if names.isna().any():
        row = int(np.flatnonzero(names.isna())[0]) + 1
        raise DataError(
            f"by: expected a name of an analysis in every row; got none in row {row}. "
            "Leave such rows out, or give them a name."
        )
    groups = table.groupby(by, sort=False, observed=True)
    return Source(((_plain(k), frame) for k, frame in groups), groups.ngroups, by)


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
    count = 0
    last: Any = None
    for batch in files.to_batches(columns=[by]):
        for name in batch.column(0).to_pylist():
            count += name != last
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

    return Source(datasets(), count, by)


def _pair(dataset: Any, place: int) -> Dataset:
    try:
        name, data = dataset
    except (TypeError, ValueError) as error:
        raise DataError(
            "data: expected pairs of a name and a table, or EffectSizes; got "
            f"{type(dataset).__name__} at place {place}."
        ) from error
    return _plain(name), data


def _plain(name: Any) -> Name:
    """Return a name as Python's own text or whole number."""
    if isinstance(name, str):
        return str(name)
    number = isinstance(name, (int, np.integer)) and not isinstance(name, bool)
    # A column of numbers that had missing values once holds them as floats.
    if number or (isinstance(name, (float, np.floating)) and float(name).is_integer()):
        return int(name)
    raise DataError(
        "by: expected names of analyses that are texts or whole numbers; got "
        f"{name!r} ({type(name).__name__})."
    )
