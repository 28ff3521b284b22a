"""Stage 6: tables that print in a terminal and render in a notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd

Format = Callable[[float], str]


def fixed(digits: int) -> Format:
    """Return a format with this many decimals; missing values are blank."""
    # Not a closure: a table must survive pickling.
    return partial(_fixed, digits)


def _fixed(digits: int, value: float) -> str:
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    # Adding 0 turns a rounded -0.000 into 0.000.
    return f"{round(value, digits) + 0.0:.{digits}f}"


def bayes_factor(value: float) -> str:
    """Write a Bayes factor: three decimals, or an exponent where these say little."""
    if math.isfinite(value) and value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3e}"
    return fixed(3)(value)


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
        How each numeric column is printed; others are printed as they are.
    notes : tuple of str
        Printed below.
    """

    title: str
    frame: pd.DataFrame
    formats: Mapping[str, Format] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def formatted(self) -> pd.DataFrame:
        """Return the table with every number as printed text."""
        columns = {
            name: [
                self.formats[name](float(value)) if name in self.formats else str(value)
                for value in column
            ]
            for name, column in self._columns()
        }
        return pd.DataFrame(columns, index=self.frame.index)

    def _columns(self) -> list[tuple[str, pd.Series[Any]]]:
        return [(str(name), self.frame[name]) for name in self.frame.columns]

    def __str__(self) -> str:
        """Return the table as aligned text."""
        shown = self.formatted()
        shown.index.name = None
        shown.columns.name = None
        body = [] if shown.empty else [shown.to_string()]
        return "\n".join([self.title, *body, *self.notes])

    def _repr_html_(self) -> str:
        shown = self.formatted()
        shown.index.name = None
        notes = "".join(
            f"<div><small>{html.escape(n)}</small></div>" for n in self.notes
        )
        heading = f"<div><strong>{html.escape(self.title)}</strong></div>"
        body = "" if shown.empty else shown.to_html(border=0)
        return heading + body + notes


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

    def _repr_html_(self) -> str:
        body = "".join(table._repr_html_() for table in self.tables.values())
        notes = "".join(
            f"<div><em>Warning: {html.escape(text)}</em></div>"
            for text in self.warnings
        )
        return f"<div>{html.escape(self.heading)}</div>{body}{notes}"
