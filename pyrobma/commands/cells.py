"""The cells of a file: fields of a text with separators, or a sheet of a workbook."""

from __future__ import annotations

import bz2
import codecs
import csv
import difflib
import gzip
import io
import lzma
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pyrobma.errors import DataError, DataWarning, warn

WORKBOOKS: Final = (".xlsx", ".xlsm")

_DECOMPRESS: Final[dict[str, Callable[[bytes], bytes]]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
}
_FOREIGN: Final = {
    ".xls": "an old Excel workbook", ".xlsb": "a binary Excel workbook",
    ".ods": "an OpenDocument sheet", ".numbers": "a Numbers sheet",
    ".sav": "an SPSS file", ".zsav": "an SPSS file", ".dta": "a Stata file",
    ".sas7bdat": "a SAS file", ".rds": "an R file", ".rda": "an R file",
    ".rdata": "an R file", ".jasp": "a JASP file", ".omv": "a jamovi file",
    ".parquet": "a Parquet file", ".feather": "a Feather file", ".pdf": "a PDF file",
    ".docx": "a Word file", ".doc": "a Word file", ".rm5": "a RevMan file",
}  # fmt: skip
"""Formats of other programs by the ending of a file."""

_OLD_OFFICE: Final = b"\xd0\xcf\x11\xe0"
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, which say more than an option; those of UTF-16 begin UTF-32's."""

_NAMES: Final = {
    "tab": "\t", "comma": ",", "semicolon": ";", "space": " ", "pipe": "|",
    "\\s+": " ",
}  # fmt: skip
_SEPARATORS: Final = {";": "';'", "\t": "'\\t'", ",": "','", "|": "'|'"}
_DIRECTIVE: Final = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
_COMMA: Final = re.compile(r"[+-−–]?[0-9]*,[0-9]+")


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows of a file, the first of which has the names of columns.

    Attributes
    ----------
    rows : list of list
        Values as they are in the file, none of them empty throughout.
    places : list of int
        The line of the file, or the row of the sheet, where each begins, from 1.
    unit : {"line", "sheet row"}
        What places are.
    """

    rows: list[list[Any]]
    places: list[int]
    unit: str


def read_cells(
    path: Path, content: bytes, *, sep: str | None, decimal: str, encoding: str,
    sheet: str | None,
) -> Cells:  # fmt: skip
    """Split the content of a file into cells; see `read_table` for the arguments."""
    ending = path.suffix.lower()
    if ending in _FOREIGN or content.startswith(_OLD_OFFICE):
        what = _FOREIGN.get(ending, "an old workbook, or one with a password")
        raise DataError(
            f"file: expected a CSV file or an .xlsx workbook; {path} is {what}. "
            "Save the table as .xlsx or CSV."
        )
    if ending in WORKBOOKS or _is_workbook(content):
        cells = _of_workbook(path, content, sheet)
    elif sheet is not None:
        raise DataError(f"--sheet: expected an .xlsx workbook; got {path}.")
    else:
        cells = _of_text(path, content, sep, decimal, encoding)
    if not cells.rows:
        raise DataError(f"file: expected a table; {path} is empty.")
    return cells


def _is_workbook(content: bytes) -> bool:
    if not content.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except zipfile.BadZipFile:
        return False


# ---- workbooks -------------------------------------------------------------
def _of_workbook(path: Path, content: bytes, sheet: str | None) -> Cells:
    try:
        import openpyxl
    except ImportError as error:
        raise DataError(
            f"file: expected the package openpyxl to read the workbook {path}; it is "
            "not installed. Run 'pip install openpyxl', or save the sheet as CSV."
        ) from error
    try:
        with warnings.catch_warnings():  # about styles and the like
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(content), data_only=True)
    except Exception as error:  # of many kinds, as parts of the file may be damaged
        raise DataError(
            f"file: {path} cannot be read as a workbook: {error}. Save it again as "
            ".xlsx or CSV."
        ) from error
    sheets = {one.title: _of_sheet(one) for one in book.worksheets}
    if sheet is not None:
        if sheet not in sheets:
            raise DataError(
                f"--sheet: expected one of {', '.join(map(repr, sheets))}; got "
                f"{sheet!r}."
            )
        return sheets[sheet]
    filled = {title: cells for title, cells in sheets.items() if cells.rows}
    if len(filled) > 1:
        first, *others = map(repr, filled)
        warn(
            f"--sheet: {path} has several sheets; {first} is read, and not "
            f"{', '.join(others)}.",
            DataWarning,
        )
    return next(iter(filled.values()), Cells([], [], "sheet row"))


def _of_sheet(sheet: Any) -> Cells:
    numbered = enumerate(sheet.iter_rows(values_only=True), start=1)
    filled = [(n, list(row)) for n, row in numbered if not _is_empty(row)]
    return Cells([row for _, row in filled], [n for n, _ in filled], "sheet row")


def _is_empty(row: Any) -> bool:
    return all(cell is None or not str(cell).strip() for cell in row)


# ---- texts -----------------------------------------------------------------
def _of_text(
    path: Path, content: bytes, sep: str | None, decimal: str, encoding: str
) -> Cells:
    endings = [ending.lower() for ending in path.suffixes]
    if endings and endings[-1] in (*_DECOMPRESS, ".zip"):
        content = _decompressed(path, content, endings.pop())
    text = _decoded(path, content, encoding)
    first, _, rest = text.partition("\n")
    lines = 1
    if (directive := _DIRECTIVE.fullmatch(first)) is not None:
        sep, text, lines = sep or directive[1], rest, 2
    if sep is None:
        is_tsv = endings[-1:] in ([".tsv"], [".tab"])
        sep = "\t" if is_tsv else (";" if decimal == "," else ",")
    sep = _separator(sep)
    numbered = [*_records(path, text, sep, lines)]
    filled = [(n, row) for n, row in numbered if not _is_empty(row)]
    cells = Cells([row for _, row in filled], [n for n, _ in filled], "line")
    _check_separator(path, cells, sep)
    return cells


def _decompressed(path: Path, content: bytes, ending: str) -> bytes:
    try:
        if ending != ".zip":
            return _DECOMPRESS[ending](content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/")]
            if len(names) != 1:
                raise DataError(
                    f"file: expected one file in {path}; got {len(names)}. Unpack it, "
                    "and give one of them."
                )
            return archive.read(names[0])
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"file: {path} cannot be read as a table: {error}") from error


def _decoded(path: Path, content: bytes, encoding: str) -> str:
    for mark, marked in _MARKS:
        if content.startswith(mark):
            encoding = marked
            break
    try:
        text = content.decode(encoding)
    except UnicodeError as error:
        raise DataError(
            f"file: expected text in {encoding}; {path} has other bytes: {error}. Give "
            "its encoding, e.g. --encoding latin-1."
        ) from error
    if "\0" in text:
        raise DataError(
            f"file: expected text in {encoding}; {path} has bytes of 0 in it. Give its "
            "encoding, e.g. --encoding utf-16-le, or save the table as CSV if this is "
            "the file of another program."
        )
    return text


def _separator(sep: str) -> str:
    """Return the character that a separator, or its name, stands for."""
    # A shell leaves a backslash and t as they are.
    sep = re.sub(r"\\+t", "\t", _NAMES.get(sep.strip().lower() or " ", sep))
    if len(sep) != 1 or sep in '\r\n"':
        raise DataError(
            "--sep: expected one character, or tab, comma, semicolon or space; got "
            f"{sep!r}."
        )
    return sep


def _records(
    path: Path, text: str, sep: str, line: int
) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each record, and the line where it begins."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=sep, skipinitialspace=True,
        strict=True,
    )  # fmt: skip
    begins = 0
    try:
        for row in reader:
            yield line + begins, row
            begins = reader.line_num
    except csv.Error as error:
        raise DataError(
            f"file: {path} cannot be read as a table: line {line + begins}, {error}. "
            "Check the quotation marks there."
        ) from error


def _check_separator(path: Path, cells: Cells, sep: str) -> None:
    """Refuse one column whose header looks like several: no analysis needs one."""
    if not cells.rows or len(cells.rows[0]) != 1:
        return
    header = str(cells.rows[0][0])
    likely = [s for s in _SEPARATORS if s != sep and s in header]
    if not likely:
        return
    found = max(likely, key=header.count)
    # A comma in a field must be the decimal point where something else separates.
    fields = (f for row in cells.rows[1:] for f in sep.join(row).split(found))
    commas = found != "," and any(_COMMA.fullmatch(field.strip()) for field in fields)
    decimal = " --decimal ','" if commas else ""
    raise DataError(
        f"file: expected columns separated by {_SEPARATORS.get(sep, repr(sep))}; got "
        f"the one column {header!r} in {path}. Add --sep {_SEPARATORS[found]}{decimal}."
    )


# ---- files -----------------------------------------------------------------
def content_of(path: Path) -> bytes:
    """Return what is in a file.

    Raises
    ------
    DataError
        If there is none, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        names = [one.name for one in beside if one.is_file()]
        close = difflib.get_close_matches(path.name, names, n=1)
        hint = f" Did you mean {path.with_name(close[0])}?" if close else ""
        raise DataError(
            f"file: expected a file; {path} does not exist.{hint}"
        ) from error
    except IsADirectoryError as error:
        raise DataError(
            f"file: expected a file; {path} is a folder. Give a file in it."
        ) from error
    except OSError as error:
        raise DataError(f"file: {path} cannot be read as a table: {error}") from error
