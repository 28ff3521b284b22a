"""Stage 6: tables as Markdown, as GitHub and Pandoc read it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from pyrobma.summary.grid import CONTROL, PAD, WEIGHT, Grid

# An ampersand counts only if it begins an entity.
_MARKED: Final = re.compile(r"([\\`*_|<\[\]$~^]|&(?=#?\w+;))")
# What begins a heading, a quote or a list where a paragraph begins.
_BLOCK_MARK: Final = re.compile(r"(\d+)(?=[.)](?: |$))|(?=[#>+=-])")


def table(grid: Grid) -> str:
    """Return a bold title, a pipe table and the notes; names are text there."""
    title = ". ".join(grid.caption.splitlines())
    parts = [f"**{_markdown(title)}**"]
    if not grid.cells.empty:
        cells = grid.cells.map(lambda text: _markdown(text.replace(PAD, "")))
        parts.append(
            cells.to_markdown(
                index=False,
                headers=[_markdown(name) for name in cells.columns],
                disable_numparse=True,
                colalign=["right" if number else "left" for number in grid.numeric],
            )
        )
    parts += [_paragraph(note) for note in grid.notes]
    return "\n\n".join(parts) + "\n"


def page(heading: str, tables: Iterable[str], warnings: Iterable[str]) -> str:
    """Return tables, written already, under a heading and above warnings."""
    told = (f"*Warning: {_markdown(text)}*\n" for text in warnings)
    return "\n".join([_paragraph(heading) + "\n", *tables, *told])


def _markdown(text: str) -> str:
    if WEIGHT.fullmatch(text):  # no link: nothing gives it a target
        return text
    # A line break would end the row of a table.
    return _MARKED.sub(r"\\\1", " ".join(CONTROL.sub(" ", text).split()))


def _paragraph(text: str) -> str:
    """Return Markdown that begins no heading, quote or list."""
    marked = _markdown(text)
    found = _BLOCK_MARK.match(marked)
    return marked if found is None else f"{found[0]}\\{marked[found.end() :]}"
