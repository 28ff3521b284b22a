"""The table of estimates that the command line is given."""

from __future__ import annotations

import codecs
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pyrobma._format import listed
from pyrobma.commands.cells import Cells, content_of, read_cells
from pyrobma.errors import DataError

_MISSING: Final = frozenset(
    ("", "na", "n/a", "#n/a", "#na", "<na>", "nan", "null", ".")
)
"""Texts that stand for no value, whatever the case."""

_NO_NUMBER: Final = _MISSING | frozenset(
    ("-", "--", "−", "–", "—", "none", "?", "missing", "-nan", "#value!", "#div/0!",
     "#num!", "#ref!", "#name?", "#null!")
)  # fmt: skip
"""The same among numbers; among texts they may be levels of a factor."""

_MINUS: Final = re.compile(r"^[−–‐‑‒﹣－]\s*|^-\s+")
"""Signs that printed tables have for a minus, or a minus that stands apart."""

_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WHOLE: Final = re.compile(r"[+-]?[0-9]+")
_EXACT: Final = 2**53  # whole numbers above are no doubles: they are ids


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and the SHA-256 of the very bytes that it was read from.

    Its index has the numbers of lines in the file, or of rows in the sheet, and says
    by its name which of them.
    """

    frame: pd.DataFrame
    sha256: str


def read_table(
    path: Path,
    *,
    sep: str | None = None,
    decimal: str = ".",
    encoding: str = "utf-8",
    sheet: str | None = None,
) -> Table:
    """Read a file once, which may be a pipe.

    Parameters
    ----------
    path : Path
        An .xlsx workbook, or a text with separators, compressed if it ends in .gz,
        .bz2, .zip or .xz.
    sep : str, optional
        What separates columns: a character, tab, or a backslash and t. None: a tab in
        .tsv and .tab files, a semicolon if the decimal point is a comma, else a comma.
    decimal : {".", ","}
        The decimal point.
    encoding : str
        As Python calls it. A byte order mark says more.
    sheet : str, optional
        Of a workbook. None: the first one with anything in it.

    Raises
    ------
    DataError
        If the file cannot be read, is empty or seems to have other separators, two
        columns have one name, or a row has more fields than the header.

    Notes
    -----
    Rows and columns without anything in them are left out. A column has numbers if
    all its values are, but for what stands for a missing one. A minus may be a
    typographic one. Nothing is taken for a thousands separator.
    """
    _check_encoding(encoding)
    content = content_of(path)
    cells = read_cells(
        path, content, sep=sep, decimal=decimal, encoding=encoding, sheet=sheet
    )
    names, rows = _columns(path, cells)
    if not rows:
        raise DataError(f"file: expected rows; {path} has none below its header.")
    columns = zip(*rows, strict=True)
    data = {n: _values(c, decimal) for n, c in zip(names, columns, strict=True)}
    frame = pd.DataFrame(data, index=pd.Index(cells.places[1:], name=cells.unit))
    return Table(frame, hashlib.sha256(content).hexdigest())


def _check_encoding(encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise DataError(
            "--encoding: expected the name of a text encoding, e.g. utf-8, latin-1 or "
            f"cp1252; got {encoding!r}."
        ) from error


def _columns(path: Path, cells: Cells) -> tuple[list[str], list[list[Any]]]:
    """Return the names of columns, and rows of as many values."""
    names = ["" if name is None else _text(name) for name in cells.rows[0]]
    rows = cells.rows[1:]
    widest = max((_width(row) for row in rows), default=0)
    while names and not names[-1] and len(names) > widest:
        names.pop()
    for row, place in zip(rows, cells.places[1:], strict=True):
        if _width(row) > len(names):
            raise DataError(
                f"file: expected rows with up to {len(names)} fields, as many as the "
                f"header in {cells.unit} {cells.places[0]} has; got {_width(row)} in "
                f"{cells.unit} {place} of {path}. Give every column a name, and put "
                "fields that have the separator in them in quotation marks."
            )
        row[len(names) :] = [None] * (len(names) - len(row))
    empty = [not name and all(_is_missing(row[i], ("",)) for row in rows)
             for i, name in enumerate(names)]  # fmt: skip
    kept = [i for i, nothing in enumerate(empty) if not nothing]
    chosen = [names[i] or f"column {i + 1}" for i in kept]
    for name in chosen:
        same = [str(i + 1) for i, one in zip(kept, chosen, strict=True) if one == name]
        if len(same) > 1:
            raise DataError(
                f"file: expected columns with names of their own; got {name!r} as "
                f"columns {listed(same)} in {cells.unit} {cells.places[0]} of {path}. "
                "Rename them."
            )
    return chosen, [[row[i] for i in kept] for row in rows]


def _width(row: Sequence[Any]) -> int:
    """Return the number of fields, those at the end without anything left out."""
    filled = [i for i, cell in enumerate(row, start=1) if not _is_missing(cell, ("",))]
    return filled[-1] if filled else 0


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip().lstrip("\ufeff")


def _is_missing(cell: Any, texts: Any) -> bool:
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in texts)


def _values(cells: Sequence[Any], decimal: str) -> Any:
    """Return a column: numbers, dates of a workbook, or texts."""
    numbers = [
        math.nan if _is_missing(cell, _NO_NUMBER) else as_number(cell, decimal)
        for cell in cells
    ]
    if None not in numbers:
        whole = all(
            isinstance(cell, int) or bool(_WHOLE.fullmatch(str(cell).strip()))
            for cell in cells
        )
        if not whole:
            return pd.array(numbers, dtype="float64").to_numpy()
        exact = [int(str(cell).strip()) for cell in cells]
        if max(map(abs, exact)) < _EXACT:
            return exact
    texts = [
        None if _is_missing(cell, _MISSING)
        else cell if _is_object(cell) else _text(cell)
        for cell in cells
    ]  # fmt: skip
    return pd.Series(texts, dtype=object).to_numpy()


def _is_object(cell: Any) -> bool:
    """Whether a cell is a date or a time, which is neither a number nor a text."""
    return not isinstance(cell, str | int | float)


def as_number(cell: Any, decimal: str = ".") -> float | None:
    """Return the number in a cell, None if it is no number.

    Parameters
    ----------
    cell : object
        A text, or a number of a workbook.
    decimal : {".", ","}
        The decimal point of texts.
    """
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return float(cell)
    if not isinstance(cell, str):
        return None
    text = _MINUS.sub("-", cell.strip())
    if decimal == ",":
        if "." in text:
            return None
        text = text.replace(",", ".")
    return float(text) if _NUMBER.fullmatch(text) else None
