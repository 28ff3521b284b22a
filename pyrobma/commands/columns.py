"""Columns that must be numbers: what is none is named by its line in the file."""

from __future__ import annotations

import argparse
import re
from typing import Final

import pandas as pd

from pyrobma.commands.options import COLUMNS
from pyrobma.commands.reported import NUMERIC
from pyrobma.commands.table import as_number
from pyrobma.errors import DataError

_LABELS: Final = ("study_names", "study_ids")
_NUMBERS: Final = tuple(n for n in (*COLUMNS, *NUMERIC) if n not in _LABELS)

_THOUSANDS: Final = re.compile(r"[+-]?[0-9]{1,3}([., '’\u00a0\u202f][0-9]{3})+")
_COMMA: Final = re.compile(r"[+−–-]?[0-9]*,[0-9]+")
_BOUND: Final = re.compile(r"\s*(p\b|[<>≤≥]|n\.?\s?s)", re.IGNORECASE)
"""P-values that are refused in words of their own later."""


def check_numbers(options: argparse.Namespace, table: pd.DataFrame) -> None:
    """Refuse columns with effects, or their precision, that are not numbers.

    Raises
    ------
    DataError
        If a cell is no number. Columns that there are not are found later.
    """
    for name in _NUMBERS:
        column = getattr(options, name)
        if column not in table.columns:
            continue
        if pd.api.types.is_numeric_dtype(table[column]):
            continue
        cells = table[column].dropna()
        bad = [
            (place, cell)
            for place, cell in cells.items()
            if as_number(cell, options.decimal) is None
            and not (name == "p" and _BOUND.match(str(cell)))
        ]
        if bad:
            place, cell = bad[0]
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            option = f"--{name.replace('_', '-')}"
            raise DataError(
                f"{option}: expected numbers in {column!r}; got {str(cell)!r} at "
                f"{table.index.name} {place}{more}. "
                f"{_remedy(str(cell), options, table)}"
            )


def _remedy(cell: str, options: argparse.Namespace, table: pd.DataFrame) -> str:
    point = "Remove what separates thousands" if _THOUSANDS.fullmatch(cell) else ""
    if options.decimal == "." and _COMMA.fullmatch(cell):
        # With --decimal ',' columns are separated by semicolons unless told.
        sep = options.sep or ("," if table.index.name == "line" else None)
        add = "--decimal ','" + (f" --sep '{sep}'" if sep not in (None, ";") else "")
        comma = f"dd {add} if the comma is the decimal point."
        return f"{point}, or a{comma}" if point else f"A{comma}"
    if point:
        return f"{point}."
    if options.decimal == "," and "." in cell:
        return (
            "The decimal point is a comma, as --decimal says: write it so everywhere."
        )
    if "%" in cell:
        return "Write proportions, such as 0.12 for 12%."
    return "Leave only the number in a cell, and nothing where there is none."
