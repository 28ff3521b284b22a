"""Stage 7: lines that can be told apart, by color-blind readers and in grey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from pyrobma.plots.text import text_width

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


_LEGEND: Final = (6.2, 8.0)  # inches for a legend, points of its text
_BESIDE: Final = 0.65  # inches beside the text of a key


def legend_columns(labels: Sequence[str]) -> int:
    """Return in how many columns the keys of a legend fit below a figure."""
    room, size = _LEGEND
    return max(1, min(len(labels), int(room / (text_width(labels, size) + _BESIDE))))
