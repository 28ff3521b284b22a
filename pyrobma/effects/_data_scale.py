"""Bring estimates from their own measures to one data scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects._columns import Rows
from pyrobma.effects.convert import LETTERS, Measure, transform_effect
from pyrobma.effects.convert_se import SMALLEST_N, implied_n, transform_se


def on_data_scale(
    y: FloatArray,
    se: FloatArray,
    kinds: Any,
    measures: Sequence[Measure],
    source: Any,
    target: Measure,
    numbers: Mapping[str, FloatArray],
    rows: Rows,
) -> tuple[FloatArray, FloatArray]:
    """Convert each row from its own measure to the data scale.

    Parameters
    ----------
    y, se : arrays of shape (K,)
        Effects and standard errors on the rows' own measures.
    kinds, source : object arrays of shape (K,)
        Arguments of each effect and of its precision.
    measures : sequence of str, length K
        The rows' own measures.
    target : str
        The data scale.
    numbers : mapping of str to array of shape (K,)
        What was given, by argument, for messages.
    rows : Rows
        How to name a row.

    Raises
    ------
    DataError
        If an estimate cannot be on the scale.
    """
    y_data, se_data = y.copy(), se.copy()
    for own in dict.fromkeys(measures):
        if own == target:
            continue
        mask = np.array([measure == own for measure in measures])
        if target == "fishers_z":
            _refuse_small(y, se, mask, own, source, numbers, rows)
        y_data[mask] = transform_effect(y[mask], own, target)
        se_data[mask] = transform_se(se[mask], y[mask], own, target)
    # Numbers near the end of the floating-point range can leave it here.
    bad = ~(np.isfinite(y_data) & np.isfinite(se_data) & (se_data > 0.0))
    rows.refuse(
        bad,
        ", ".join(dict.fromkeys(kinds[bad])),
        f'an estimate that "{target}" can hold',
        y,
        "Check its unit, or choose another transformation.",
    )
    return y_data, se_data


def _refuse_small(
    y: FloatArray,
    se: FloatArray,
    mask: BoolArray,
    own: Measure,
    source: Any,
    numbers: Mapping[str, FloatArray],
    rows: Rows,
) -> None:
    n = np.full(rows.K, np.inf)
    n[mask] = implied_n(y[mask], se[mask], own)
    # A given n of 3 comes back as 3 up to rounding.
    small = n <= SMALLEST_N * (1.0 + 1e-12)
    if not small.any():
        return
    name, letter = str(source[np.argmax(small)]), LETTERS[own]
    noun = {
        "se": "a standard error that implies a sample size",
        "v": "a variance that implies a sample size",
        "n": "a sample size",
        "t": "a t statistic that implies a sample size",
        "p": "a p-value that implies a sample size",
        "lCI": "an interval that implies a sample size",
    }[name]

    def got(row: int) -> str:
        size = "" if name == "n" else f", a sample size of {n[row]:.4g},"
        return f"{float(numbers[name][row])!r} with {letter} = {float(y[row])!r}{size}"

    rows.refuse(
        small,
        name,
        f"{noun} above {SMALLEST_N:g}, as Fisher's z needs",
        got,
        f'Correct it, drop the row, or choose transformation="{own}".',
    )
