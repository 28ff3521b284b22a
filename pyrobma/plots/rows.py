"""Stage 7: figures with a line per study or model: names, an axis, numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.plots.numbers import plain_labels
from pyrobma.plots.text import cut, one_line, text_width
from pyrobma.plots.theme import INK, MIDDLE, Page, Size, text_factor, theme_print
from pyrobma.plots.ticks import ratio_ticks, value_ticks

_PAD: Final = 0.05  # inches at the edges
_GAP: Final = 0.15  # inches between columns
_AXIS: Final = (1.1, 1.8)  # inches for the axis, at least, in narrow and wide figures
_WIDTH: Final = 7.0  # inches
_NARROWEST: Final = 0.78  # of the usual text, in narrow figures
_NAME: Final = 0.8  # inches that names have, at least, if they need them
_OWN: Final = 1.6  # inches for a column beside the names, at most
_INDENT: Final = 0.12  # inches
_PAGE: Final = 9.9  # inches that a figure fits if its text stays legible
_LINES: Final = (0.11, 0.235)  # inches from a line to the next, unless room is given
_SIZES: Final = (4.0, 8.5)  # points
_PER_LINE: Final = 0.75 * 72  # points of text per inch of a line
_UNDER: Final = 0.6  # inches for the axis below
_LEGEND: Final = 0.25  # inches
_EDGE: Final = 0.75  # lines above the first and below the last
_RULE: Final = -0.45  # height of the rule below the heading


@dataclass(frozen=True, slots=True)
class Column:
    """A column of text beside the names.

    Attributes
    ----------
    heading : str
    texts : sequence of str
    ragged : bool
        Whether it is text that starts at the left, not numbers that end at the right.
    """

    heading: str
    texts: Sequence[str]
    ragged: bool = False


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
        Inches for the names, at most, in a figure of the usual width; in proportion in
        others.
    shorten : callable, optional
        Given the names, inches and points, returns names that fit better. None: they
        are cut.
    legend : bool
        Whether there is one below.
    asked : Size
        Else the figure is 7 inches wide and as high as the lines need, with text of up
        to 8.5 points, less in a narrow figure.
    beside : sequence of Column
        Between the names and the axis.
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
    shorten: Callable[[Sequence[str], float, float], list[str]] | None = None
    legend: bool = False
    asked: Size = field(default_factory=Size)
    beside: Sequence[Column] = ()

    @property
    def width(self) -> float:
        """Width of the figure, inches."""
        return self.asked.width or _WIDTH

    @property
    def line(self) -> float:
        """Distance of lines, inches."""
        line = ((self.asked.height or _PAGE) - self._under) / self._lines
        if self.asked.height:
            return line
        least = max(_LINES[0], (self.asked.text or 0.0) / _PER_LINE)
        return max(min(line, _LINES[1] * self._largest / _SIZES[1]), least)

    @property
    def size(self) -> float:
        """Size of the text, points."""
        return min(max(_PER_LINE * self.line, _SIZES[0]), self._largest)

    @property
    def _largest(self) -> float:
        narrow = max(text_factor(self.width / _WIDTH), _NARROWEST)
        return self.asked.text or _SIZES[1] * narrow

    @property
    def fits(self) -> bool:
        """Whether the columns leave room for the names."""
        return self._room >= min(self._wanted, _NAME)

    @property
    def height(self) -> float:
        """Height of the figure, inches."""
        return self.asked.height or self._lines * self.line + self._under

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

        left, right = self._ends
        ticks = ratio_ticks if ratio else value_ticks
        values = ticks(self.low, self.high, right - left)
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
            theme_print(Page(self.width, self.height, min(9.0, self.size + 0.5))),
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

    def _line(self, left: float, right: float, y: float, size: float) -> Any:
        from plotnine import aes, geom_segment

        line = pd.DataFrame({"x": [left], "xend": [right], "y": [y]})
        place = aes("x", "y", xend="xend", yend="y")
        return geom_segment(place, line, color=INK, size=size)

    @cached_property
    def _names(self) -> list[str]:
        # A font has no sign for the line breaks and tabs of a study's name.
        lines = [one_line(name) for name in self.names]
        if self.shorten is None:
            return lines
        return self.shorten(lines, self._free, self.size)

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """Return the places of the ends of the axis, inches."""
        right = self.width - _PAD - sum(self._column_widths)
        return _PAD + self._room + sum(self._beside_widths) + _GAP, right

    @cached_property
    def _room(self) -> float:
        """Return the width of the names."""
        return min(self._wanted, self._free)

    @cached_property
    def _free(self) -> float:
        """Return the width that names may take."""
        right = self.width - _PAD - sum(self._column_widths)
        axis = float(np.clip(_AXIS[1] * self.width / _WIDTH, *_AXIS))
        free = right - axis - _GAP - sum(self._beside_widths)
        return min(free, self.most * self.width / _WIDTH)

    @cached_property
    def _wanted(self) -> float:
        """Return the width that the names would need."""
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
        return wanted

    @cached_property
    def _beside_widths(self) -> list[float]:
        return [
            _GAP
            + max(
                text_width([column.heading], self.size, bold=True),
                min(text_width(column.texts, self.size), _OWN),
            )
            for column in self.beside
        ]

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
        at = _PAD + self._room
        for column, width in zip(self.beside, self._beside_widths, strict=True):
            ha = "left" if column.ragged else "right"
            place = at + (_GAP if column.ragged else width)
            put(place, 0.0, column.heading, ha, True)
            for y, text in zip(self.y, column.texts, strict=True):
                put(place, y, cut(text, width - _GAP, self.size), ha, False)
            at += width
        at = self.width - _PAD
        columns = zip(self.columns.items(), self._column_widths, strict=True)
        for (heading, texts), width in reversed(list(columns)):
            put(at, 0.0, heading, "right", True)
            for y, text, bold in zip(self.y, texts, self.bold, strict=True):
                put(at, y, text, "right", bold)
            at -= width
        return pd.DataFrame(found, columns=["x", "y", "text", "ha", "weight"])
