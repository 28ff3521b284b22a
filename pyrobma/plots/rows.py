"""Stage 7: figures with a line per study or model: names, an axis, numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.plots.numbers import plain_labels
from pyrobma.plots.text import cut, one_line, text_width
from pyrobma.plots.theme import INK, MIDDLE, theme_print

_PAD: Final = 0.05  # inches at the edges
_GAP: Final = 0.15  # inches between columns
_AXIS: Final = 1.8  # inches for the axis, at least
_INDENT: Final = 0.12  # inches
_TICKS: Final = 0.36  # inches between the numbers of an axis, at least
_RATIOS: Final = (
    (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
    (0.25, 0.33, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0),
    (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
    (0.25, 0.5, 1.0, 2.0, 4.0),
)
"""Ticks of ratios, from the densest on."""
_PAGE: Final = 9.9  # inches that a figure fits if its text stays legible
_LINES: Final = (0.11, 0.235)  # inches from a line to the next, unless room is given
_SIZES: Final = (4.0, 8.5)  # points
_UNDER: Final = 0.6  # inches for the axis below
_LEGEND: Final = 0.25  # inches
_EDGE: Final = 0.75  # lines above the first and below the last
_RULE: Final = -0.45  # height of the rule below the heading


@dataclass(frozen=True)  # no slots: places are computed once and kept
class Rows:
    """Where text and axis go; columns have the room that their letters take.

    Attributes
    ----------
    y : array of shape (R,)
        Height of each line; the heading of the columns is at 0, others below.
    names : sequence of str, length R
        At the left.
    columns : mapping of str to sequence of str, length R
        Heading and text of each column at the right, from left to right.
    low, high : float
        Ends of the axis; of odds ratios, decimal logarithms.
    bold : sequence of bool, length R
        Which lines are in bold: headings and totals.
    indented : sequence of bool, length R
        Which lines are below a heading.
    title : str
        Of the column of names.
    most : float
        Inches for the names, at most.
    legend : bool
        Whether there is one below.
    width : float
        Of the figure, inches.
    tall : float, optional
        Height of the figure, inches. None: as much as the lines need.
    """

    y: FloatArray
    names: Sequence[str]
    columns: Mapping[str, Sequence[str]]
    low: float
    high: float
    bold: Sequence[bool]
    indented: Sequence[bool]
    title: str = "Model"
    most: float = math.inf
    legend: bool = False
    width: float = 7.0
    tall: float | None = None

    @property
    def line(self) -> float:
        """Distance of lines, inches."""
        line = ((self.tall or _PAGE) - self._under) / self._lines
        return line if self.tall else min(max(line, _LINES[0]), _LINES[1])

    @property
    def size(self) -> float:
        """Size of the text, points."""
        return min(max(0.75 * 72 * self.line, _SIZES[0]), _SIZES[1])

    @property
    def height(self) -> float:
        """Height of the figure, inches."""
        return self.tall or self._lines * self.line + self._under

    @property
    def bottom(self) -> float:
        """Height of the axis."""
        return float(self.y[-1]) - _EDGE

    @property
    def stroke(self) -> float:
        """Width of lines, thinner where they are dense."""
        return 0.5 if self.size >= 7 else 0.35

    @property
    def _lines(self) -> float:
        return _EDGE - self.bottom

    @property
    def _under(self) -> float:
        return _UNDER + (_LEGEND if self.legend else 0.0)

    def x(self, inches: float) -> float:
        """Return the value on the axis at a distance from the left edge."""
        left, right = self._ends
        return self.low + (inches - left) * (self.high - self.low) / (right - left)

    def axis(self, *, ratio: bool = False) -> Any:
        """Return the axis of values, or of ratios from their decimal logarithms."""
        from plotnine import scale_x_continuous

        values = self._ratios() if ratio else self._values()
        return scale_x_continuous(
            breaks=[math.log10(v) for v in values] if ratio else values,
            minor_breaks=[],
            labels=plain_labels(values),
        )

    def reference(self, value: float) -> list[Any]:
        """Return a dashed line at a value, if it is on the axis."""
        from plotnine import aes, geom_segment

        if not self.low <= value <= self.high:
            return []
        line = pd.DataFrame({"x": [value], "y": [self.bottom], "yend": [_RULE]})
        place = aes("x", "y", xend="x", yend="yend")
        look = {"color": MIDDLE, "linetype": "dashed", "size": self.stroke}
        return [geom_segment(place, line, **look)]

    def rule(self, y: float) -> Any:
        """Return a thin line over the whole width."""
        return self._line(self.x(0.0), self.x(self.width), y, 0.3)

    def layers(self) -> list[Any]:
        """Return the text, the rule below the heading and the axis line."""
        from plotnine import aes, geom_text

        texts = [
            geom_text(
                aes("x", "y", label="text"),
                some,
                ha=ha,
                va="center_baseline",
                fontweight=weight,
                size=self.size,
                color=INK,
            )
            for (ha, weight), some in self._texts().groupby(["ha", "weight"])
        ]
        # The lower half of the axis is outside of the panel.
        axis = self._line(self.low, self.high, self.bottom, 1.0)
        return [*texts, self.rule(_RULE), axis]

    def frame(self, title: str) -> list[Any]:
        """Return coordinates, labels and theme; the title is that of the axis."""
        from plotnine import (
            coord_cartesian,
            element_blank,
            element_text,
            labs,
            scale_y_continuous,
            theme,
        )

        left, right = self._ends
        size = self.size + 0.5
        small = element_text(size=max(self.size - 0.5, 7))
        width = text_width([title], size)
        middle = ((left + right) / 2 - width / 2) / (self.width - width)
        return [
            scale_y_continuous(breaks=[]),
            coord_cartesian(
                xlim=(self.x(0.0), self.x(self.width)),
                ylim=(self.bottom, _EDGE),
                expand=False,
            ),
            labs(x=title),
            theme_print(width=self.width, height=self.height, base_size=9),
            theme(
                plot_margin=0,
                axis_line=element_blank(),
                axis_title_y=element_blank(),
                axis_text_x=small,
                axis_title_x=element_text(size=size, ha=float(np.clip(middle, 0, 1))),
                legend_text=small,
                legend_margin=0,
                legend_box_margin=0,
                legend_box_spacing=0.06 / max(self.height, self.width),
                legend_position="bottom" if self.legend else "none",
            ),
        ]

    def _values(self) -> list[float]:
        from mizani.breaks import breaks_extended

        left, right = self._ends
        n = int(np.clip((right - left) / 0.45, 4, 7))
        found = breaks_extended(n=n)((self.low, self.high))
        return [float(v) for v in found if self.low <= v <= self.high]

    def _ratios(self) -> list[float]:
        from mizani.breaks import breaks_extended, breaks_log

        left, right = self._ends
        apart = _TICKS * (self.high - self.low) / (right - left)
        ends = (float(10**self.low), float(10**self.high))
        for ratios in _RATIOS:
            found = [v for v in ratios if ends[0] <= v <= ends[1]]
            if len(found) >= 3 and np.diff(np.log10(found)).min() >= apart:
                return found
        rule = breaks_log(n=5) if ends[1] / ends[0] > 10 else breaks_extended(n=4)
        return [float(v) for v in rule(ends) if ends[0] <= v <= ends[1]]

    def _line(self, left: float, right: float, y: float, size: float) -> Any:
        from plotnine import aes, geom_segment

        line = pd.DataFrame({"x": [left], "xend": [right], "y": [y]})
        place = aes("x", "y", xend="xend", yend="y")
        return geom_segment(place, line, color=INK, size=size)

    @cached_property
    def _names(self) -> list[str]:
        # A font has no sign for the line breaks and tabs of a study's name.
        return [one_line(name) for name in self.names]

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """Return the places of the ends of the axis, inches."""
        right = self.width - _PAD - sum(self._column_widths)
        return _PAD + self._room + _GAP, right

    @cached_property
    def _room(self) -> float:
        """Return the width of the names."""
        right = self.width - _PAD - sum(self._column_widths)
        wanted = text_width([self.title], self.size, bold=True)
        for bold in (False, True):
            for indent in (False, True):
                some = [
                    name
                    for name, b, i in zip(
                        self._names, self.bold, self.indented, strict=True
                    )
                    if (b, i) == (bold, indent)
                ]
                taken = text_width(some, self.size, bold=bold) + _INDENT * indent
                wanted = max(wanted, taken)
        return min(wanted, self.most, right - _AXIS - _GAP)

    @cached_property
    def _column_widths(self) -> list[float]:
        return [
            max(
                text_width([heading], self.size, bold=True),
                text_width(texts, self.size, bold=any(self.bold)),
            )
            + _GAP
            for heading, texts in self.columns.items()
        ]

    def _texts(self) -> pd.DataFrame:
        found: list[tuple[float, float, str, str, str]] = []

        def put(inches: float, y: float, text: str, ha: str, bold: bool) -> None:
            # Dollar signs would start a formula.
            shown, weight = text.replace("$", r"\$"), "bold" if bold else "normal"
            found.append((self.x(inches), y, shown, ha, weight))

        put(_PAD, 0.0, self.title, "left", True)
        lines = zip(self.y, self._names, self.bold, self.indented, strict=True)
        for y, name, bold, indented in lines:
            indent = _INDENT if indented else 0.0
            shown = cut(name, self._room - indent, self.size, bold=bold)
            put(_PAD + indent, y, shown, "left", bold)
        at = self.width - _PAD
        columns = zip(self.columns.items(), self._column_widths, strict=True)
        for (heading, texts), width in reversed(list(columns)):
            put(at, 0.0, heading, "right", True)
            for y, text, bold in zip(self.y, texts, self.bold, strict=True):
                put(at, y, text, "right", bold)
            at -= width
        return pd.DataFrame(found, columns=["x", "y", "text", "ha", "weight"])
