"""The table of estimates that the command line is given."""

from __future__ import annotations

import codecs
import hashlib
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import pandas as pd

from pyrobma.errors import DataError

_COMPRESSED: Final[dict[str, Any]] = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".zip": "zip",
    ".xz": "xz",
}
_SEPARATORS: Final = {";": "';'", "\t": "'\\t'", ",": "','", "|": "'|'"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and the SHA-256 of the very bytes that it was read from."""

    frame: pd.DataFrame
    sha256: str


def read_table(
    path: Path,
    *,
    sep: str | None = None,
    decimal: str = ".",
    encoding: str = "utf-8",
) -> Table:
    """Read a file once, which may be a pipe.

    Parameters
    ----------
    path : Path
        Compressed if it ends in .gz, .bz2, .zip or .xz.
    sep : str, optional
        What separates columns, a backslash and t for a tab. None: a tab in .tsv and
        .tab files, a semicolon if the decimal point is a comma, else a comma.
    decimal : {".", ","}
        The decimal point.
    encoding : str
        As Python calls it.

    Raises
    ------
    DataError
        If the file cannot be read, is empty or seems to have other separators.
    """
    _check_encoding(encoding)
    endings = [ending.lower() for ending in path.suffixes]
    compression = _COMPRESSED.get(endings.pop()) if endings else None
    if compression is None:
        endings = [path.suffix.lower()]
    if sep is None:
        is_tsv = endings[-1:] in ([".tsv"], [".tab"])
        sep = "\t" if is_tsv else (";" if decimal == "," else ",")
    sep = sep.replace("\\t", "\t")
    try:
        content = path.read_bytes()
        frame = pd.read_csv(
            io.BytesIO(content), sep=sep, decimal=decimal, encoding=encoding,
            compression=compression,
        )  # fmt: skip
    except pd.errors.EmptyDataError as error:
        raise DataError(f"file: expected a table; {path} is empty.") from error
    except UnicodeError as error:
        raise DataError(
            f"file: expected text in {encoding}; {path} has other bytes: {error}. Give "
            "its encoding, e.g. --encoding latin-1."
        ) from error
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        # pandas' parser errors are ValueErrors.
        raise DataError(f"file: {path} cannot be read as a table: {error}") from error
    _check_columns(path, frame, sep)
    return Table(frame, hashlib.sha256(content).hexdigest())


def _check_encoding(encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise DataError(
            "--encoding: expected the name of a text encoding, e.g. utf-8, latin-1 or "
            f"cp1252; got {encoding!r}."
        ) from error


def _check_columns(path: Path, frame: pd.DataFrame, sep: str) -> None:
    """Refuse one column whose header looks like several: no analysis needs one."""
    if frame.shape[1] != 1:
        return
    header = str(frame.columns[0])
    likely = [s for s in _SEPARATORS if s != sep and s in header]
    if likely:
        raise DataError(
            f"file: expected columns separated by {_SEPARATORS.get(sep, repr(sep))}; "
            f"got the one column {header!r} in {path}. Add --sep "
            f"{_SEPARATORS[max(likely, key=header.count)]}."
        )
