"""Stage 7: lines that can be told apart, by color-blind readers and in grey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from pyrobma.plots.text import text_width
from pyrobma.plots.theme import Page

Linetype: TypeAlias = "str | tuple[int, tuple[float, ...]]"

COLORS: Final = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
"""Of Okabe and Ito (2008), https://jfly.uni-koeln.de/color/; from dark to light."""
LINETYPES: Final[tuple[Linetype, ...]] = (
    "solid",
    (0, (9.0, 2.0)),
    "dashdot",
    (0, (5.0, 1.5, 1.0, 1.5, 1.0, 1.5)),
    (0, (3.0, 1.2)),
    (0, (9.0, 2.0, 3.0, 2.0)),
)
"""None of them is that of priors."""
SHAPES: Final = ("o", "^", "s", "D", "v", "P")


_MARGIN: Final = 0.3  # inches beside a legend
_KEY: Final = 14.4  # points, as wide as keys usually are
_APART: Final = 0.25  # inches beside the text of a key and its picture


def legend_columns(
    labels: Sequence[str], page: Page | None = None, *, key: float = _KEY
) -> int:
    """Return in how many columns the keys of a legend fit below a figure.

    Parameters
    ----------
    labels : sequence of str
        Beside the keys.
    page : Page, optional
        Size of the figure and its text. None: the usual one.
    key : float
        Width of a key, points.
    """
    page = page or Page()
    each = key_width(labels, page, key)
    return max(1, min(len(labels), int((page.width - _MARGIN) / each)))


def key_width(labels: Sequence[str], page: Page, key: float = _KEY) -> float:
    """Return the inches that the widest key of a legend takes, with its text."""
    return text_width(labels, page.points(8.0)) + key / 72 + _APART
