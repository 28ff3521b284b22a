"""Stage 7: the columns of text in a forest plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._format import listed
from pyrobma._types import IntArray
from pyrobma.effects import Measure
from pyrobma.effects._tables import column_names, index_level
from pyrobma.effects.counts import TwoGroups
from pyrobma.errors import DataError
from pyrobma.plots.intervals import interval_texts
from pyrobma.plots.numbers import short
from pyrobma.plots.rows import Column

OWN: Final[Mapping[str, tuple[str, str]]] = {
    "estimate": ("Estimate", "CI"),
    "true_effect": ("True effect", "CI"),
    "weight": ("Weight", ""),
    "fitted": ("Mean by moderators", ""),
}
"""What the columns of a frame of `forest_frame` are called; those with intervals."""
_LEADING: Final = ("estimate", "weight")
"""Without a wish, the first of these that fit."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What is written beside the rows, but for their names.

    Attributes
    ----------
    own : tuple of str
        Columns of the frame, at the right.
    beside : tuple of Column
        Columns of other data, at the left, a text per estimate.
    chosen : bool
        Whether somebody asked for them; else those without room are left out.
    """

    own: tuple[str, ...] = _LEADING
    beside: tuple[Column, ...] = ()
    chosen: bool = False


def chosen_texts(
    columns: Sequence[str] | None,
    data: pd.DataFrame | None,
    known: Sequence[str],
    places: IntArray,
    counts: TwoGroups | None = None,
) -> Texts:
    """Return the columns that somebody asks for.

    Parameters
    ----------
    columns : sequence of str, optional
        Names of columns of the frame or of `data`. None: those that have room.
    data : DataFrame, optional
        A row per estimate.
    known : sequence of str
        Columns of the frame.
    places : array of int
        The row of `data` that each row of the figure is.
    counts : TwoGroups, optional
        Events that are known as "events", and shown without a wish too.

    Raises
    ------
    DataError
        If there is no such column, or `data` has another number of rows.
    """
    if data is not None and len(data) != len(places):
        raise DataError(
            f"data: expected {len(places)} rows, one per estimate in their order; got "
            f"{len(data)}. Leave out the rows that the fit has left out."
        )
    events = () if counts is None else event_columns(counts.kept_at(places))
    if columns is None:
        return Texts(beside=events)
    wanted = [columns] if isinstance(columns, str) else list(columns)
    own = [name for name in OWN if name in known] + ["events"] * bool(events)
    others = [] if data is None else column_names(data)
    beside: list[Column] = []
    for name in wanted:
        if name == "events" and events:
            beside += events
        if name in own:
            continue
        if data is None or name not in others:
            hint = "Give a table with it as data." if data is None else ""
            raise DataError(
                f"columns: expected some of {listed([*own, *others])}; got {name!r}. "
                f"{hint}".rstrip()
            )
        level = None if name in data.columns else index_level(data, name)
        values = data[name] if level is None else level
        beside.append(_column(name, values.iloc[places]))
    return Texts(
        tuple(name for name in wanted if name in OWN and name in own),
        tuple(beside),
        chosen=True,
    )


def event_columns(counts: TwoGroups) -> tuple[Column, ...]:
    """Write the events of both groups out of their members, or over their time."""
    groups = ((counts.x1, counts.size1), (counts.x2, counts.size2))
    return tuple(
        Column(
            f"Group {number}",
            [f"{x:.0f}/{f'{n:.6g}'}" for x, n in zip(events, sizes, strict=True)],
            ragged=False,
        )
        for number, (events, sizes) in enumerate(groups, start=1)
    )


def own_columns(
    frame: pd.DataFrame, names: Sequence[str], measure: Measure, coverage: float
) -> dict[str, list[str]]:
    """Write columns of a frame of `forest_frame`, by their heading.

    Parameters
    ----------
    frame : DataFrame
        On its own measure.
    names : sequence of str
        Keys of `OWN`.
    measure : str
        Of the effects.
    coverage : float
        Of the intervals.
    """
    found = {}
    for name in names:
        title, interval = OWN[name]
        heading = f"{title} [{100 * coverage:.4g}% {interval}]" if interval else title
        values = frame[name].to_numpy(dtype=np.float64)
        if name == "weight":
            texts = ["" if np.isnan(w) else _percent(w) for w in values]
        elif interval:
            prefix = "true_" if name == "true_effect" else ""
            ends = (frame[f"{prefix}{end}"] for end in ("lower", "upper"))
            lower, upper = (end.to_numpy(dtype=np.float64) for end in ends)
            written = interval_texts(values, lower, upper, measure)
            texts = [
                "" if np.isnan(value) else text
                for value, text in zip(values, written, strict=True)
            ]
        else:
            nothing = np.full_like(values, np.nan)
            written = interval_texts(values, nothing, nothing, measure)
            texts = [text.split(" [")[0] for text in written]
        found[heading] = texts
    return found


def _percent(weight: float) -> str:
    return f"{weight:.1f}%" if weight >= 0.05 else "<0.1%"


def _column(name: str, values: pd.Series[Any]) -> Column:
    """Write a column of other data; missing values are blank."""
    kind = values.dtype
    numbers = pd.api.types.is_numeric_dtype(kind) and not (
        pd.api.types.is_bool_dtype(kind)
    )
    write: Callable[[Any], str] = str
    if numbers:
        whole = bool((values.dropna() % 1 == 0).all())
        write = "{:.0f}".format if whole else short
    return Column(
        name,
        ["" if pd.isna(value) else write(value) for value in values],
        ragged=not numbers,
    )
