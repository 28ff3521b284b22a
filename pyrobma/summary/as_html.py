"""Stage 6: tables as HTML, for notebooks and reports."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterable
from typing import Final

from pyrobma.summary.grid import Grid

_STYLE: Final = [
    # A notebook styles tables too: an id beats its classes.
    (
        "",
        "border-collapse: collapse; border: 0; margin: 0; font-size: 0.95em; "
        "border-top: 1.5px solid currentColor; border-bottom: 1.5px solid currentColor",
    ),
    (
        "caption",
        "caption-side: top; text-align: left; font-weight: bold; color: inherit; "
        "padding: 0 0 0.4em 0; white-space: pre-line",
    ),
    ("thead tr", "border: 0; border-bottom: 0.75px solid currentColor"),
    ("tbody tr", "border: 0; background: none"),
    (
        "th, td",
        "text-align: right; vertical-align: baseline; padding: 0.2em 0.8em; "
        "border: 0; font-variant-numeric: tabular-nums; white-space: nowrap; "
        "background: none; color: inherit; max-width: none",
    ),
    ("th", "font-weight: 600"),
]

_LEFT: Final = "text-align: left"
_NO_MATHS: Final = 'class="tex2jax_ignore mathjax_ignore"'
"""Keeps dollars what they are in notebooks, which look for maths in HTML too."""
_BLOCK: Final = "margin: 0.8em 0 1.2em 0; overflow-x: auto"
_NOTE: Final = "font-size: 0.8em; line-height: 1.4; margin: 0.4em 0 0 0; opacity: 0.75"


def table(grid: Grid, printed: str) -> str:
    """Return a ``<div>`` with its own style, without scripts or links.

    Parameters
    ----------
    grid : Grid
        The table.
    printed : str
        The same table as it prints, of which its id on the page is made.
    """
    notes = "".join(f"<div>{html.escape(note)}</div>" for note in grid.notes)
    if grid.cells.empty:
        title = html.escape(grid.title)
        return (
            f'<div {_NO_MATHS} style="{_BLOCK}"><strong>{title}</strong>{notes}</div>\n'
        )
    digest = hashlib.blake2s(printed.encode(), digest_size=5).hexdigest()
    left = [
        (f"th.col{j}, td.col{j}", _LEFT)
        for j, number in enumerate(grid.numeric)
        if not number
    ]
    styler = (
        grid.styler(html.escape, digest)
        .set_table_styles(
            [{"selector": where, "props": style} for where, style in _STYLE + left]
        )
        .set_caption(html.escape(grid.caption))
    )
    body = styler.to_html()
    note = f'<div style="{_NOTE}">{notes}</div>' if notes else ""
    return f'<div {_NO_MATHS} style="{_BLOCK}">\n{body}{note}</div>\n'


def page(heading: str, tables: Iterable[str], warnings: Iterable[str]) -> str:
    """Return tables, written already, under a heading and above warnings."""
    told = "".join(
        f"<div><em>Warning: {html.escape(text)}</em></div>" for text in warnings
    )
    return (
        f"<div {_NO_MATHS}>\n<div>{html.escape(heading)}</div>\n"
        f"{''.join(tables)}{told}</div>\n"
    )
