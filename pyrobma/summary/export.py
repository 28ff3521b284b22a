"""Stage 6: tables for reports, manuscripts and notebooks."""

from __future__ import annotations

import hashlib
import html
import re
from typing import TYPE_CHECKING, Final

import pandas as pd

from pyrobma.summary.table import PAD, Summary, Table

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

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

_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "²": r"\textsuperscript{2}",
    "−": r"$-$",
    "×": r"$\times$",
    "π": r"$\pi$",
    "μ": r"$\mu$",
    "ρ": r"$\rho$",
    "τ": r"$\tau$",
    "ω": r"$\omega$",
    PAD: r"\phantom{0}",
}

_SYMBOLS: Final = {
    "mu": r"$\mu$",
    "tau": r"$\tau$",
    "tau2": r"$\tau^2$",
    "rho": r"$\rho$",
    "I2": r"$I^2$",
    "H2": r"$H^2$",
    "tau_between": r"$\tau_\mathrm{between}$",
    "tau_within": r"$\tau_\mathrm{within}$",
    "I2_between": r"$I^2_\mathrm{between}$",
    "I2_within": r"$I^2_\mathrm{within}$",
}

_NUMBER: Final = re.compile(r"(-?)(\d+(?:\.\d+)?|Inf)(?:e([+-]\d+))?$")
_DIGITS: Final = r"\d+(?:\.\d+)?(?:e[+-]\d+)?"
_WEIGHT: Final = re.compile(rf"omega(\[{_DIGITS},{_DIGITS}\])")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# An ampersand counts only if it begins an entity.
_MARKED: Final = re.compile(r"([\\`*_|<\[\]$~^]|&(?=#?\w+;))")
# What begins a heading, a quote or a list where a paragraph begins.
_BLOCK_MARK: Final = re.compile(r"(\d+)(?=[.)](?: |$))|(?=[#>+=-])")


def table_to_html(table: Table) -> str:
    """Return a table as a ``<div>`` with its own style; see `Table.to_html`."""
    notes = "".join(f"<div>{html.escape(note)}</div>" for note in table.notes)
    if table.frame.empty:
        title = html.escape(table.title)
        return (
            f'<div {_NO_MATHS} style="{_BLOCK}"><strong>{title}</strong>{notes}</div>\n'
        )
    grid, numeric = _grid(table)
    digest = hashlib.blake2s(f"{table}".encode(), digest_size=5).hexdigest()
    left = [
        (f"th.col{j}, td.col{j}", _LEFT)
        for j, number in enumerate(numeric)
        if not number
    ]
    styler = (
        _styler(grid, html.escape, digest)
        .set_table_styles(
            [{"selector": where, "props": style} for where, style in _STYLE + left]
        )
        .set_caption(html.escape(table.title.rstrip(":")))
    )
    body = styler.to_html()
    note = f'<div style="{_NOTE}">{notes}</div>' if notes else ""
    return f'<div {_NO_MATHS} style="{_BLOCK}">\n{body}{note}</div>\n'


def summary_to_html(summary: Summary) -> str:
    """Return a summary as a fragment of HTML; see `Summary.to_html`."""
    warnings = "".join(
        f"<div><em>Warning: {html.escape(text)}</em></div>" for text in summary.warnings
    )
    tables = "".join(map(table_to_html, summary.tables.values()))
    return (
        f"<div {_NO_MATHS}>\n<div>{html.escape(summary.heading)}</div>\n"
        f"{tables}{warnings}</div>\n"
    )


def table_to_latex(table: Table) -> str:
    """Return a table as a LaTeX environment; see `Table.to_latex`."""
    notes = [f"\\par\\smallskip {_latex(note)}" for note in table.notes]
    title = _latex(". ".join(table.title.rstrip(":").splitlines()))
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{title}}}"]
    if not table.frame.empty:
        grid, numeric = _grid(table)
        grid.iloc[:, 0] = [_first(_symbol(label)) for label in grid.iloc[:, 0]]
        for j in range(1, grid.shape[1]):
            grid.isetitem(j, [_latex_number(text) for text in grid.iloc[:, j]])
        columns = "".join("r" if number else "l" for number in numeric)
        styler = _styler(grid, str, "").format_index(
            lambda name: _first(_latex(name)), axis=1
        )
        lines.append(styler.to_latex(hrules=True, column_format=columns).rstrip())
    if notes:
        lines.append("\n".join([r"\begin{flushleft}\footnotesize", *notes]))
        lines.append(r"\end{flushleft}")
    return "\n".join([*lines, r"\end{table}", ""])


def summary_to_latex(summary: Summary) -> str:
    """Return a summary as LaTeX; see `Summary.to_latex`."""
    parts = [_latex(summary.heading) + "\n"]
    parts += [table_to_latex(table) for table in summary.tables.values()]
    parts += [f"\\emph{{Warning: {_latex(text)}}}\n" for text in summary.warnings]
    return "\n".join(parts)


def table_to_markdown(table: Table) -> str:
    """Return a table as Markdown; see `Table.to_markdown`."""
    title = ". ".join(table.title.rstrip(":").splitlines())
    parts = [f"**{_markdown(title)}**"]
    if not table.frame.empty:
        grid, numeric = _grid(table)
        grid = grid.map(lambda text: _markdown(text.replace(PAD, "")))
        parts.append(
            grid.to_markdown(
                index=False,
                headers=[_markdown(name) for name in grid.columns],
                disable_numparse=True,
                colalign=["right" if number else "left" for number in numeric],
            )
        )
    parts += [_paragraph(note) for note in table.notes]
    return "\n\n".join(parts) + "\n"


def summary_to_markdown(summary: Summary) -> str:
    """Return a summary as Markdown; see `Summary.to_markdown`."""
    parts = [_paragraph(summary.heading) + "\n"]
    parts += map(table_to_markdown, summary.tables.values())
    parts += [f"*Warning: {_markdown(text)}*\n" for text in summary.warnings]
    return "\n".join(parts)


def _grid(table: Table) -> tuple[pd.DataFrame, list[bool]]:
    """Return all cells as text, row labels first, and which columns hold numbers."""
    shown = table.formatted()
    labels = [str(label) for label in shown.index]
    heading = str(shown.index.name or "").capitalize()
    shown = shown.reset_index(drop=True)  # a label may occur twice, a row may not
    shown.insert(0, " " if heading in shown.columns else heading, labels)
    numeric = [False] + [
        name in table.formats or pd.api.types.is_numeric_dtype(table.frame[name])
        for name in table.frame.columns
    ]
    return shown.astype(object), numeric


def _styler(grid: pd.DataFrame, escape: object, uuid: str) -> Styler:
    from pandas.io.formats.style import Styler

    styler = Styler(grid, uuid=uuid, cell_ids=False).hide(axis="index")
    styler = styler.format(escape)  # type: ignore[arg-type]
    return styler.format_index(escape, axis=1)  # type: ignore[arg-type]


def _latex(text: object) -> str:
    # An empty line would be a paragraph, which a caption cannot hold.
    plain = _CONTROL.sub(" ", str(text))
    return "".join(_LATEX.get(character, character) for character in plain)


def _first(cell: str) -> str:
    """Return a cell that can follow the end of a row, which takes arguments."""
    return "{}" + cell if cell.startswith(("[", "*")) else cell


def _latex_number(text: str) -> str:
    found = _NUMBER.fullmatch(text.rstrip(PAD))
    if found is None:
        return _latex(text)
    sign, digits, exponent = found.groups()
    digits = digits.replace("Inf", r"\infty")
    if exponent:
        digits += rf" \times 10^{{{int(exponent)}}}"
    padding = _latex(text[len(text.rstrip(PAD)) :])
    plain = not (sign or exponent or "infty" in digits)
    return (digits if plain else f"${sign}{digits}$") + padding


def _symbol(label: str) -> str:
    weight = _WEIGHT.fullmatch(label)
    if weight:
        return rf"$\omega_{{{weight[1]}}}$"
    return _SYMBOLS.get(label) or _latex(label)


def _markdown(text: str) -> str:
    if _WEIGHT.fullmatch(text):  # no link: nothing gives it a target
        return text
    # A line break would end the row of a table.
    return _MARKED.sub(r"\\\1", " ".join(_CONTROL.sub(" ", text).split()))


def _paragraph(text: str) -> str:
    """Return Markdown that begins no heading, quote or list."""
    marked = _markdown(text)
    found = _BLOCK_MARK.match(marked)
    return marked if found is None else f"{found[0]}\\{marked[found.end() :]}"
