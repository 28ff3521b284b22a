"""Stage 6: tables that print in a terminal and render in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from pyrobma._format import Format
from pyrobma.summary import as_html, as_latex, as_markdown
from pyrobma.summary.grid import PAD, Grid


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
    latex : mapping of str to str
        Row labels that LaTeX has symbols for, beyond those of every table.
    """

    title: str
    frame: pd.DataFrame
    formats: Mapping[str, Format | tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    latex: Mapping[str, str] = field(default_factory=dict)

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
        shown = self.formatted().rename_axis(index=None, columns=None)
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
        return as_markdown.table(self._grid())

    def to_html(self, *, styled: bool = True) -> str:
        """Return the table as a fragment of HTML.

        Parameters
        ----------
        styled : bool
            Whether it carries its own style; False for a page that has one.

        Returns
        -------
        str
            A ``<div>`` for a notebook or a report, without scripts or links. Two
            quantiles as far from 0 as from 1 are one heading, such as "95% CI".
        """
        return as_html.table(self._grid(), str(self), styled=styled)

    def to_latex(self) -> str:
        r"""Return the table as LaTeX.

        Returns
        -------
        str
            A ``table`` environment; the document needs ``\usepackage{booktabs}``.
            Names of studies and the like are text there and never commands.
        """
        return as_latex.table(self._grid())

    def _repr_html_(self) -> str:
        return self.to_html()

    def _grid(self) -> Grid:
        """Return all cells as text, row labels first, and which columns are numbers."""
        shown = self.formatted()
        labels = [str(label) for label in shown.index]
        heading = str(shown.index.name or "").capitalize()
        shown = shown.reset_index(drop=True)  # a label may occur twice, a row may not
        shown.insert(0, " " if heading in shown.columns else heading, labels)
        numeric = (
            name in self.formats or pd.api.types.is_numeric_dtype(self.frame[name])
            for name in self.frame.columns
        )
        cells = pd.DataFrame() if self.frame.empty else shown.astype(object)
        return Grid(self.title, cells, (False, *numeric), self.notes, self.latex)


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
        tables = (table.to_markdown() for table in self.tables.values())
        return as_markdown.page(self.heading, tables, self.warnings)

    def to_html(self) -> str:
        """Return heading, tables and warnings as a fragment of HTML."""
        tables = (table.to_html() for table in self.tables.values())
        return as_html.page(self.heading, tables, self.warnings)

    def to_latex(self) -> str:
        """Return heading, tables and warnings as LaTeX, as `Table.to_latex` does."""
        tables = (table.to_latex() for table in self.tables.values())
        return as_latex.page(self.heading, tables, self.warnings)

    def _repr_html_(self) -> str:
        return self.to_html()
