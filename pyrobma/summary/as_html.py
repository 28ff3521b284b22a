"""Stage 6: tables as HTML, for notebooks and reports."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from pyrobma.parameters import UNKNOWNS
from pyrobma.summary.grid import WEIGHT, Grid

if TYPE_CHECKING:
    from jinja2 import Template

_STYLE: Final = (
    # A notebook styles tables too: an id beats its classes.
    (
        ("",),
        "border-collapse: collapse; border: 0; margin: 0; font-size: 0.95em; "
        "border-top: 1.5px solid currentColor; border-bottom: 1.5px solid currentColor",
    ),
    (
        (" caption",),
        "caption-side: top; text-align: left; font-weight: bold; color: inherit; "
        "padding: 0 0 0.4em 0; white-space: pre-line",
    ),
    ((" thead tr",), "border: 0; border-bottom: 0.75px solid currentColor"),
    ((" tbody tr",), "border: 0; background: none"),
    (
        (" th", " td"),
        "text-align: right; vertical-align: baseline; padding: 0.2em 0.8em; "
        "border: 0; font-variant-numeric: tabular-nums; white-space: nowrap; "
        "background: none; color: inherit; max-width: none",
    ),
    ((" thead th",), "font-weight: 600"),
    ((" tbody th",), "font-weight: inherit; text-align: left"),
    ((" .text",), "text-align: left"),
    ((" th[colspan]",), "text-align: center"),
)
"""Selectors within the table, and what holds there."""

_NO_MATHS: Final = 'class="tex2jax_ignore mathjax_ignore"'
"""Keeps dollars what they are in notebooks, which look for maths in HTML too."""

_QUANTILE: Final = re.compile(r"(?P<of>|PI )(?P<p>0?\.\d+)")
_SYMBOLS: Final = {row.name: row.symbol for row in UNKNOWNS if row.scalar} | {
    "tau2": "τ<sup>2</sup>",
    "I2": "I<sup>2</sup>",
    "H2": "H<sup>2</sup>",
    "tau_between": "τ<sub>between</sub>",
    "tau_within": "τ<sub>within</sub>",
    "I2_between": "I<sup>2</sup><sub>between</sub>",
    "I2_within": "I<sup>2</sup><sub>within</sub>",
}


@dataclass(frozen=True, slots=True)
class _Header:
    """The heading of a column, or of two."""

    label: str
    numeric: bool
    span: int = 1
    title: str = ""


def table(grid: Grid, printed: str, *, styled: bool = True) -> str:
    """Return a ``<div>`` with its own style, without scripts or links.

    Parameters
    ----------
    grid : Grid
        The table.
    printed : str
        The same table as it prints, of which its id on the page is made.
    styled : bool
        False: the page has a style for its tables. Then they have no id either, as
        one might be there twice.
    """
    digest = hashlib.blake2s(printed.encode(), digest_size=5).hexdigest()
    return _template().render(
        name=digest,
        caption=grid.caption,
        headers=_headers(grid),
        rows=_rows(grid),
        notes=grid.notes,
        style=_STYLE if styled else (),
    )


def page(heading: str, tables: Iterable[str], warnings: Iterable[str]) -> str:
    """Return tables, written already, under a heading and above warnings."""
    told = "".join(
        f"<div><em>Warning: {html.escape(text)}</em></div>" for text in warnings
    )
    return (
        f"<div {_NO_MATHS}>\n<div>{html.escape(heading)}</div>\n"
        f"{''.join(tables)}{told}</div>\n"
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("pyrobma.summary"), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("table.html")


def _headers(grid: Grid) -> list[_Header]:
    """Return headings from left to right; two quantiles are the ends of an interval."""
    names = [str(name) for name in grid.cells.columns]
    found: list[_Header] = []
    j = 0
    while j < len(names):
        pair = _interval(*names[j : j + 2])
        found.append(pair or _Header(names[j], grid.numeric[j]))
        j += found[-1].span
    return found


def _interval(low: str, high: str = "") -> _Header | None:
    """Return the heading of two columns if they are the ends of a central interval."""
    lower, upper = _QUANTILE.fullmatch(low), _QUANTILE.fullmatch(high)
    if lower is None or upper is None or lower["of"] != upper["of"]:
        return None
    p, q = float(lower["p"]), float(upper["p"])
    if p >= q or abs(p + q - 1) > 1e-9:
        return None
    kind = lower["of"].strip() or "CI"
    title = f"from the {p:g} to the {q:g} quantile"
    return _Header(f"{100 * (q - p):.4g}% {kind}", numeric=True, span=2, title=title)


def _rows(grid: Grid) -> list[tuple[Any, list[tuple[str, bool]]]]:
    """Return the label of each row, and its cells with whether they are numbers."""
    if grid.cells.empty:
        return []
    # Rows with a heading are named by the data, where I2 may be a study.
    parameters = not str(grid.cells.columns[0]).strip()
    return [
        (
            _symbol(label) if parameters else label,
            list(zip(cells, grid.numeric[1:], strict=True)),
        )
        for label, *cells in grid.cells.itertuples(index=False, name=None)
    ]


def _symbol(label: str) -> Any:
    from markupsafe import Markup

    weight = WEIGHT.fullmatch(label)
    if weight:
        return Markup("ω<sub>{}</sub>").format(weight[1])
    return Markup(_SYMBOLS[label]) if label in _SYMBOLS else label
