"""Rows that lack a value: refused by name, or left out by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

import numpy as np

from pyrobma._format import listed
from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects._columns import Rows
from pyrobma.errors import DataError, DataWarning, warn

Missing: TypeAlias = Literal["error", "drop"]

_NAMED: Final = 10
"""Rows that are dropped are named up to this many; of more there are the numbers."""

_SHOWN: Final = 5


def check_missing(missing: object) -> None:
    """Refuse what is no way to treat missing values."""
    if missing not in ("error", "drop"):
        raise DataError(f"missing: expected 'error' or 'drop'; got {missing!r}.")


def few(names: Sequence[str]) -> str:
    """Join names with commas; of many only the first ones."""
    if len(names) <= _SHOWN:
        return listed(names)
    return f"{', '.join(names[:_SHOWN])} and {len(names) - _SHOWN} more"


def kept_rows(
    argument: str,
    gone: Mapping[str, BoolArray],
    rows: Rows,
    missing: Missing,
    *,
    fill: str,
    useless: str,
) -> BoolArray:
    """Return which rows have all values; refuse others unless they are dropped.

    Parameters
    ----------
    argument : str
        What messages are about.
    gone : mapping of str to array of shape (K,)
        Which rows lack a value, by what it is a value of.
    rows : Rows
        How to name a row.
    missing : {"error", "drop"}
        What to do with them.
    fill : str
        What else can be done about rows that lack a value, as in ``fill them in``.
    useless : str
        What to do if no row is left.

    Raises
    ------
    DataError
        If a row lacks a value and is not to be dropped, or all of them do.

    Warns
    -----
    DataWarning
        On rows that are dropped.
    """
    lacking = np.any([*gone.values()], axis=0)
    if not lacking.any():
        return np.ones(rows.K, dtype=bool)
    places = [int(place) for place in np.flatnonzero(lacking)]
    by_name = listed([f"{n} ({m.sum()})" for n, m in gone.items() if m.any()])
    one = len(places) == 1
    if missing == "error":
        shown = few([rows.where(i) for i in places])
        raise DataError(
            f"{argument}: expected a value in every row; {len(places)} of {rows.K} "
            f"rows lack{'s' * one} one, in {by_name}: {shown}. Drop "
            f"{'it' if one else 'them'} with missing='drop', or {fill}."
        )
    if lacking.all():
        raise DataError(
            f"{argument}: expected rows with all values; every row lacks one, in "
            f"{by_name}. {useless}"
        )
    named = listed([rows.where(i) for i in places])
    warn(
        f"{argument}: {len(places)} of {rows.K} rows {'is' if one else 'are'} dropped, "
        f"which lack{'s' * one} a value in {by_name}: "
        f"{named if len(places) <= _NAMED else rows.numbered(places)}.",
        DataWarning,
    )
    return np.asarray(~lacking)


def rows_with_estimates(
    numbers: Mapping[str, FloatArray],
    effects: Sequence[str],
    spreads: Sequence[str],
    rows: Rows,
    missing: Missing,
) -> BoolArray:
    """Return which rows have an effect and a measure of precision.

    Parameters
    ----------
    numbers : mapping of str to array of shape (K,)
        What was given, by argument; NaN where it is missing.
    effects, spreads : sequence of str
        Arguments that are effects, and those that are measures of precision.
    rows, missing
        As in `kept_rows`.
    """
    gone: dict[str, BoolArray] = {}
    lacking: list[str] = []
    for names in (effects, spreads):
        given = {name: np.isnan(numbers[name]) for name in names if name in numbers}
        if "lCI" in given and "uCI" in given:
            bounds = given.pop("lCI") | given.pop("uCI")
            given["lCI and uCI"] = bounds
        if given:
            mask = np.all([*given.values()], axis=0)
            gone[listed([*given], "or")] = mask
            lacking += [*given] if mask.any() else []
    fill = "fill in what is missing"
    by_n = [name for name in lacking if name in ("se", "v")]
    if by_n and not {"logOR", "OR", "y"}.intersection(numbers):
        fill = f"give n there so that {by_n[0]} can be computed"
    return kept_rows(
        ", ".join(lacking), gone, rows, missing, fill=fill,
        useless="Check that these are the right columns, and how they were read.",
    )  # fmt: skip
