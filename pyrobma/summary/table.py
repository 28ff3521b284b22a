"""Stage 6: tables that print in a terminal and render in a notebook."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from pyrobma._format import decimal
from pyrobma._types import FloatArray

Format = Callable[[float], str]


PAD = "\u2007"
"""Stands for a digit that is not there, so that decimal points stay in line."""


def fixed(digits: int) -> Format:
    """Return a format with this many decimals; missing values are blank."""
    # Not a closure: a table must survive pickling.
    return partial(decimal, digits=digits)


def decimals(values: Iterable[float]) -> int:
    """Return how many decimals suit values of one unit.

    Three between 0.01 and 100, as is usual for effect sizes; otherwise as many as show
    three significant digits of the typical value (the median of those that are neither
    0 nor infinite) if it is small, and five if it is large.
    """
    sizes = np.abs(np.asarray(list(values), dtype=np.float64))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not sizes.size:
        return 3
    typical = float(np.median(sizes))
    if 0.01 <= typical < 100:
        return 3
    order = math.floor(math.log10(typical))
    return min(2 - order, 15) if order < 0 else max(4 - order, 0)


def by_row(frame: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Write numbers with the decimals that suit each row: one quantity, one unit.

    Returns
    -------
    dict of str to tuple of str
        Texts by column, padded so that decimal points are in line.
    """
    values: FloatArray = frame.to_numpy(dtype=np.float64)
    digits = [decimals(row) for row in values]
    most = max(digits, default=0)
    texts = [
        [_padded(decimal(value, few), most - few, few) for value in row]
        for row, few in zip(values, digits, strict=True)
    ]
    return {
        str(name): tuple(row[j] for row in texts)
        for j, name in enumerate(frame.columns)
    }


def _padded(text: str, missing: int, digits: int) -> str:
    if not text or text.endswith("Inf"):
        return text
    point = 1 if missing and not digits else 0
    return text + PAD * (missing + point)


def error(value: float) -> str:
    """Write a Monte Carlo standard error with two significant digits."""
    if math.isnan(value):
        return ""
    if value == 0 or not math.isfinite(value):
        return fixed(0)(value)
    digits = max(0, 1 - math.floor(math.log10(value)))
    return f"{value:.{digits}f}" if digits <= 6 else f"{value:.1e}"


def integer(value: float) -> str:
    """Write a count; missing values are blank."""
    return fixed(0)(value)


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table with footnotes.

    Attributes
    ----------
    title : str
        Printed above.
    frame : DataFrame
        Numbers in full precision; what a program should use.
    formats : mapping
        How each numeric column is printed: a function of a number, or the texts of the
        column. Others are printed as they are.
    notes : tuple of str
        Printed below.
    """

    title: str
    frame: pd.DataFrame
    formats: Mapping[str, Format | tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def formatted(self) -> pd.DataFrame:
        """Return the table with every number as printed text."""
        columns = {str(name): self._texts(str(name)) for name in self.frame.columns}
        return pd.DataFrame(columns, index=self.frame.index)

    def _texts(self, name: str) -> list[str]:
        written = self.formats.get(name, str)
        if isinstance(written, tuple):
            return list(written)
        if name not in self.formats:
            return ["" if value is None else str(value) for value in self.frame[name]]
        return [written(float(value)) for value in self.frame[name]]

    def __str__(self) -> str:
        """Return the table as aligned text."""
        shown = self.formatted()
        shown.index.name = None
        shown.columns.name = None
        text = "" if shown.empty else shown.to_string().replace(PAD, " ")
        body = [line.rstrip() for line in text.splitlines()]
        return "\n".join([self.title, *body, *self.notes])

    def __repr__(self) -> str:
        """Print as `str`: a table is looked at, not evaluated."""
        return str(self)

    def to_markdown(self) -> str:
        """Return the table as Markdown: a bold title, a pipe table and the notes.

        Returns
        -------
        str
            As GitHub and Pandoc read it; names of studies and the like are text there,
            whatever characters they have.
        """
        from pyrobma.summary.export import table_to_markdown

        return table_to_markdown(self)

    def to_html(self) -> str:
        """Return the table as a fragment of HTML that carries its own style.

        Returns
        -------
        str
            A ``<div>`` for a notebook or a report, without scripts or links.
        """
        from pyrobma.summary.export import table_to_html

        return table_to_html(self)

    def to_latex(self) -> str:
        r"""Return the table as LaTeX.

        Returns
        -------
        str
            A ``table`` environment; the document needs ``\usepackage{booktabs}``.
            Names of studies and the like are text there and never commands.
        """
        from pyrobma.summary.export import table_to_latex

        return table_to_latex(self)

    def _repr_html_(self) -> str:
        return self.to_html()


@dataclass(frozen=True, slots=True)
class Summary:
    """Tables under one heading, and warnings about the fit.

    Attributes
    ----------
    heading : str
        Method, with the number of models and estimates.
    tables : mapping of str to Table
        By name; each table's numbers are also there as an attribute, e.g.
        ``summary.components`` is a DataFrame.
    warnings : tuple of str
        What a reader must know before trusting the numbers.
    """

    heading: str
    tables: Mapping[str, Table]
    warnings: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> pd.DataFrame:
        """Return the numbers of the table of this name."""
        try:
            tables: Mapping[str, Table] = object.__getattribute__(self, "tables")
            return tables[name].frame.copy()
        except (AttributeError, KeyError):
            raise AttributeError(f"this summary has no table {name!r}") from None

    def __dir__(self) -> list[str]:
        """List the tables too."""
        return [*object.__dir__(self), *self.tables]

    def __str__(self) -> str:
        """Return all tables as text."""
        parts = [self.heading, *map(str, self.tables.values())]
        if self.warnings:
            parts.append("\n".join(f"Warning: {text}" for text in self.warnings))
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        """Print as `str`: a summary is looked at, not evaluated."""
        return str(self)

    def to_markdown(self) -> str:
        """Return heading, tables and warnings as Markdown."""
        from pyrobma.summary.export import summary_to_markdown

        return summary_to_markdown(self)

    def to_html(self) -> str:
        """Return heading, tables and warnings as a fragment of HTML."""
        from pyrobma.summary.export import summary_to_html

        return summary_to_html(self)

    def to_latex(self) -> str:
        """Return heading, tables and warnings as LaTeX, as `Table.to_latex` does."""
        from pyrobma.summary.export import summary_to_latex

        return summary_to_latex(self)

    def _repr_html_(self) -> str:
        return self.to_html()
