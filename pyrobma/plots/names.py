"""Stage 7: names from the data: kept short, told apart, and never a formula."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from pyrobma.plots.text import cut, one_line


def plain(name: str) -> str:
    """Return a name on one line, whose dollar signs start no formula."""
    return one_line(name).replace("$", r"\$")


def short_names(names: Sequence[str], width: float, size: float) -> list[str]:
    """Return names that are at most so many inches wide, and differ if they did.

    Parameters
    ----------
    names : sequence of str
    width : float
        Inches.
    size : float
        Points.

    Returns
    -------
    list of str
        Cut at their end; if that makes some equal, all without the words that they
        begin with in common; if that is not enough, with their number.
    """
    lines = [one_line(name) for name in names]
    found = [cut(name, width, size) for name in lines]
    if len(set(found)) < len(set(lines)):
        # What the first and the last in order have in common, all have.
        pairs = zip(min(lines), max(lines), strict=False)
        common = len([*itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)])
        start = lines[0][:common].rfind(" ")
        found = [cut(f"…{name[max(start, 0) :]}", width, size) for name in lines]
    if len(set(found)) < len(set(lines)):
        found = [
            cut(f"{i}: {name}", width, size) for i, name in enumerate(lines, start=1)
        ]
    return found
