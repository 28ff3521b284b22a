"""Plain-text tables in a statistician's layout."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Cell = str | float


class Report:
    """Base of result dataclasses: printed as a table, exported as a row."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the printed table."""
        return str(self)

    def to_frame(self) -> pd.DataFrame:
        """One row with every figure; concatenate several to compare fits.

        Columns are the attributes; an interval ``name`` gives ``name_lower`` and
        ``name_upper``.
        """
        import pandas as pd

        row: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                row[f"{field.name}_lower"], row[f"{field.name}_upper"] = value
            elif not field.name.startswith("_"):
                row[field.name] = value
        return pd.DataFrame([row])

    def _repr_html_(self) -> str:
        # Some notebook styles set preformatted text in a proportional font.
        style = "font-family: monospace"
        return f'<pre style="{style}">{html.escape(str(self))}</pre>'


def number(x: float, digits: int = 4) -> str:
    """Write with fixed decimals; nan as an empty cell."""
    # adding 0 turns a rounded -0.0000 into 0.0000
    return "" if math.isnan(x) else f"{round(x, digits) + 0.0:.{digits}f}"


def p_value(p: float) -> str:
    """Four decimals, or ``<.0001``."""
    return "<.0001" if p < 1e-4 else number(p)


def percent(level: float) -> str:
    """Write a coverage as ``95 %``."""
    return f"{100.0 * level:g} %"


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Columns aligned to the right, the first one to the left."""
    cells = [list(header)] + [
        [x if isinstance(x, str) else number(x) for x in row] for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    return "\n".join(lines)
