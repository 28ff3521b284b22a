"""Stage 6: the cells of a table as text, which writers of formats arrange."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import pandas as pd

from pyrobma._format import Format, decimal, decimals, fixed, significant
from pyrobma._types import FloatArray
from pyrobma.effects import RATIOS, Measure

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

PAD: Final = "\u2007"
"""Stands for a digit that is not there, so that decimal points stay in line."""

_DIGITS: Final = r"\d+(?:\.\d+)?(?:e[+-]\d+)?"
WEIGHT: Final = re.compile(rf"omega(\[{_DIGITS},{_DIGITS}\])")
"""Label of the weight of an interval of p-values."""

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
"""Characters that end a line, or show nothing."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table as text, ready for a writer of some format.

    Attributes
    ----------
    title : str
        Printed above.
    cells : DataFrame of str
        Row labels in the first column. Empty: the table has nothing to show.
    numeric : tuple of bool
        Which columns hold numbers, the first never.
    notes : tuple of str
        Printed below.
    latex : mapping of str to str
        Row labels that LaTeX has symbols for.
    """

    title: str
    cells: pd.DataFrame
    numeric: tuple[bool, ...]
    notes: tuple[str, ...]
    latex: Mapping[str, str]

    @property
    def caption(self) -> str:
        """The title without the colon that ends it in print."""
        return self.title.rstrip(":")

    def styler(self, escape: Callable[[str], str], name: str) -> Styler:
        """Return the cells as pandas styles them.

        Parameters
        ----------
        escape : callable
            Makes text of a cell or a column's name harmless in the format.
        name : str
            What tells the table from others of a page.
        """
        from pandas.io.formats.style import Styler

        styler = Styler(self.cells, uuid=name, cell_ids=False).hide(axis="index")
        # pandas declares that it calls with any object; these are all texts.
        write = cast("Callable[[object], str]", escape)
        return styler.format(write).format_index(write, axis=1)


def effect_format(values: Iterable[float], measure: Measure | None) -> Format:
    """Return how effects of one measure are written.

    Parameters
    ----------
    values : iterable of float
        All of them, of which the decimals depend.
    measure : str or None
        Odds ratios need significant digits, each of them; others have one number of
        decimals, which keeps them comparable.
    """
    if measure in RATIOS:
        return partial(significant, digits=3)
    return fixed(decimals(values))


def by_row(frame: pd.DataFrame, measure: Measure | None) -> dict[str, tuple[str, ...]]:
    """Write numbers with the decimals that suit each row: one quantity, one unit.

    Parameters
    ----------
    frame : DataFrame
        Of numbers.
    measure : str or None
        Of the effects. Odds ratios need significant digits, each of them.

    Returns
    -------
    dict of str to tuple of str
        Texts by column, padded so that decimal points are in line.
    """
    values: FloatArray = frame.to_numpy(dtype=np.float64)
    if measure in RATIOS:
        write = effect_format((), measure)
        return _columns(frame, [[write(value) for value in row] for row in values])
    digits = [decimals(row) for row in values]
    most = max(digits, default=0)
    texts = [
        [_padded(decimal(value, few), most - few, few) for value in row]
        for row, few in zip(values, digits, strict=True)
    ]
    return _columns(frame, texts)


def _columns(
    frame: pd.DataFrame, texts: Sequence[Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    return {
        str(name): tuple(row[j] for row in texts)
        for j, name in enumerate(frame.columns)
    }


def _padded(text: str, missing: int, digits: int) -> str:
    if not text or text.endswith("Inf"):
        return text
    point = 1 if missing and not digits else 0
    return text + PAD * (missing + point)
