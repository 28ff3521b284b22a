"""Stage 6: tables as LaTeX, for manuscripts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from pyrobma.parameters import UNKNOWNS
from pyrobma.summary.grid import CONTROL, PAD, WEIGHT, Grid

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

_SYMBOLS: Final = UNKNOWNS.latex | {
    "tau2": r"$\tau^2$",
    "I2": r"$I^2$",
    "H2": r"$H^2$",
    "tau_between": r"$\tau_\mathrm{between}$",
    "tau_within": r"$\tau_\mathrm{within}$",
    "I2_between": r"$I^2_\mathrm{between}$",
    "I2_within": r"$I^2_\mathrm{within}$",
}

_NUMBER: Final = re.compile(r"(-?)(\d+(?:\.\d+)?|Inf)(?:e([+-]\d+))?$")


def table(grid: Grid) -> str:
    """Return a ``table`` environment; names are text there and never commands."""
    notes = [f"\\par\\smallskip {_latex(note)}" for note in grid.notes]
    title = _latex(". ".join(grid.caption.splitlines()))
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{title}}}"]
    if not grid.cells.empty:
        columns = "".join("r" if number else "l" for number in grid.numeric)
        styler = (
            _typeset(grid)
            .styler(str, "")
            .format_index(lambda name: _first(_latex(name)), axis=1)
        )
        lines.append(styler.to_latex(hrules=True, column_format=columns).rstrip())
    if notes:
        lines.append("\n".join([r"\begin{flushleft}\footnotesize", *notes]))
        lines.append(r"\end{flushleft}")
    return "\n".join([*lines, r"\end{table}", ""])


def page(heading: str, tables: Iterable[str], warnings: Iterable[str]) -> str:
    """Return tables, written already, under a heading and above warnings."""
    told = (f"\\emph{{Warning: {_latex(text)}}}\n" for text in warnings)
    return "\n".join([_latex(heading) + "\n", *tables, *told])


def _typeset(grid: Grid) -> Grid:
    """Return a table whose cells are LaTeX."""
    cells = grid.cells.copy()
    labels = (_symbol(label, grid.latex) for label in cells.iloc[:, 0])
    cells.isetitem(0, [*map(_first, labels)])
    for j in range(1, cells.shape[1]):
        cells.isetitem(j, [_latex_number(text) for text in cells.iloc[:, j]])
    return replace(grid, cells=cells)


def _latex(text: object) -> str:
    # An empty line would be a paragraph, which a caption cannot hold.
    plain = CONTROL.sub(" ", str(text))
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


def _symbol(label: str, known: Mapping[str, str]) -> str:
    weight = WEIGHT.fullmatch(label)
    if weight:
        return rf"$\omega_{{{weight[1]}}}$"
    return known.get(label) or _SYMBOLS.get(label) or _latex(label)
