"""Stage 7: the order of the rows of a forest plot."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from pyrobma._types import IntArray

Order: TypeAlias = Literal["increasing", "decreasing", "alphabetical", "weight"]

_DIGITS: Final = re.compile(r"(\d+)")


def arranged(
    frame: pd.DataFrame,
    cluster: IntArray,
    order: Order | None,
    *,
    grouped: bool = True,
) -> IntArray:
    """Return the rows in order: clusters one by one, independent estimates last.

    Parameters
    ----------
    frame : DataFrame
        A row per estimate, in the order of the data.
    cluster : array of int
        Of each estimate.
    order : str, optional
        As in `forest_frame`.
    grouped : bool
        Whether clusters stay together.
    """
    rows = np.arange(len(frame))
    within: Any
    between: dict[int, Any]
    independent = frame["cluster"].isna().to_numpy() | (not grouped)
    group = np.where(independent, -1, cluster)
    if order is None:
        within, between = rows, {k: rows[group == k][0] for k in np.unique(group)}
    elif order == "alphabetical":
        within = _places(frame["study"])
        by_label = _places(frame["cluster"].where(~independent, ""))
        between = dict(zip(group, by_label, strict=True))
    else:
        column = "weight" if order == "weight" else "estimate"
        sign = 1.0 if order == "increasing" else -1.0
        values = sign * frame[column].to_numpy()
        within = values
        mean = np.sum if order == "weight" else np.mean
        between = {k: mean(values[group == k]) for k in np.unique(group)}
    first = [between[k] for k in group]
    return np.lexsort((rows, within, group, first, independent))


def _places(names: pd.Series[Any]) -> IntArray:
    """Return the place of every name in the alphabet; numbers in them count as such."""
    keys = [
        [
            (not part.isdigit(), part.zfill(20).casefold())
            for part in _DIGITS.split(name)
        ]
        for name in names
    ]
    places = {repr(key): place for place, key in enumerate(sorted(keys))}
    return np.array([places[repr(key)] for key in keys])
