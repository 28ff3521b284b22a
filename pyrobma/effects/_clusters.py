"""Turn study names and ids, of any type, into labels and cluster numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from pyrobma._types import IntArray


def labels(values: Any) -> list[str | None]:
    """Return ids or names as text, missing ones as None.

    Whole numbers that a column with missing values holds as floats read as whole
    numbers: 11.0 is "11".
    """
    return [_label(value) for value in pd.Series(values).astype(object)]


def _label(value: Any) -> str | None:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, (float, np.floating)):
        if np.isnan(value):
            return None
        return str(int(value)) if float(value).is_integer() else str(value)
    return str(value)


def number_clusters(
    ids: list[str | None],
) -> tuple[IntArray, tuple[str | None, ...]]:
    """Return cluster numbers and the label of each cluster.

    Ids that occur twice or more make clusters, numbered first and in sorted order.
    Ids that occur once, and missing ones, are independent estimates; they follow in
    row order with a number each, and their id, if any, for a label.
    """
    counts = Counter(label for label in ids if label is not None)
    shared = sorted((x for x, count in counts.items() if count > 1), key=_sort_key)
    numbers = {label: number for number, label in enumerate(shared)}
    cluster = np.empty(len(ids), dtype=np.int64)
    alone: list[str | None] = []
    for row, label in enumerate(ids):
        if label in numbers:
            cluster[row] = numbers[label]
        else:
            cluster[row] = len(shared) + len(alone)
            alone.append(label)
    return cluster, (*shared, *alone)


def _sort_key(label: str) -> tuple[int, float, str]:
    """Sort numbers by value and before text, text by itself."""
    try:
        number = float(label)
    except ValueError:
        return 1, 0.0, label
    return (0, number, label) if np.isfinite(number) else (1, 0.0, label)
