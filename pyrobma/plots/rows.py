"""Stage 7: figures with a line per model: names, an axis, columns of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.plots.text import cut, text_width
from pyrobma.plots.theme import INK, theme_print

_WIDTH: Final = 7.0  # inches
_PAD: Final = 0.05  # inches at the edges
_GAP: Final = 0.16  # inches between columns
_PLOT: Final = 1.9  # inches for the axis, at least
_INDENT: Final = 0.12  # inches of lines below a heading
_TICKS: Final = 0.36  # inches between the numbers of an axis, at least
_RATIOS: Final = (
    (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
    (0.25, 0.33, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0),
    (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
    (0.25, 0.5, 1.0, 2.0, 4.0),
)
"""Ticks of ratios, from the densest on."""
_UNDER: Final = 0.6  # inches for the axis below
_LEGEND: Final = 0.3  # inches


@dataclass(frozen=True)  # no slots: places are computed once and kept
class Rows:
    """Where text and axis go; columns have the room that their letters take.

    Attributes
    ----------
    y : array of shape (R,)
        Height of each line; the heading of the columns is at 0, others below.
    names : tuple of str, length R
        At the left.
    bold : array of bool, shape (R,)
        Which lines are in bold: headings and totals.
    columns : mapping of str to tuple of str
        Heading and text of each column at the right, from left to right.
    low, high : float
        Ends of the axis.
    title : str
        Of the column of names.
    """

    y: FloatArray
    names: tuple[str, ...]
    bold: Sequence[bool]
    columns: Mapping[str, Sequence[str]]
    low: float
    high: float
    title: str = "Model"

    @property
    def width(self) -> float:
        """Width of the figure, inches."""
        return _WIDTH

    @property
    def size(self) -> float:
        """Size of the text, points."""
        return 8.5 if len(self.y) <= 45 else 7.0

    @property
    def bottom(self) -> float:
        """Height of the axis."""
        return float(self.y[-1]) - 0.8

    def height(self, *, legend: bool = False) -> float:
        """Return the height of the figure in inches."""
        line = self.size * 1.75 / 72
        return (0.9 - self.bottom) * line + _UNDER + (_LEGEND if legend else 0.0)

    def x(self, inches: float) -> float:
        """Return the value on the axis at a distance from the left edge."""
        left, right = self._axis
        return self.low + (inches - left) * (self.high - self.low) / (right - left)

    def breaks(self) -> list[float]:
        """Return values with ticks."""
        from mizani.breaks import breaks_extended

        left, right = self._axis
        n = int(np.clip((right - left) / 0.4, 4, 7))
        found = breaks_extended(n=n)((self.low, self.high))
        return [float(v) for v in found if self.low <= v <= self.high]

    def log10_breaks(self) -> list[float]:
        """Return ratios with ticks for an axis of decimal logarithms."""
        from mizani.breaks import breaks_extended, breaks_log

        left, right = self._axis
        apart = _TICKS * (self.high - self.low) / (right - left)
        ends = (float(10**self.low), float(10**self.high))
        for ratios in _RATIOS:
            found = [v for v in ratios if ends[0] <= v <= ends[1]]
            if len(found) >= 3 and np.diff(np.log10(found)).min() >= apart:
                return found
        rule = breaks_log(n=5) if ends[1] / ends[0] > 10 else breaks_extended(n=4)
        return [float(v) for v in rule(ends) if ends[0] <= v <= ends[1]]

    def layers(self) -> list[Any]:
        """Return the text, the rules and the axis line."""
        from plotnine import aes, geom_segment, geom_text

        layers: list[Any] = []
        for (ha, weight), some in self._texts().groupby(["ha", "weight"], sort=False):
            layers.append(
                geom_text(
                    aes("x", "y", label="text"),
                    some,
                    ha=ha,
                    va="center_baseline",
                    fontweight=weight,
                    size=self.size,
                    color=INK,
                )
            )
        edges = (self.x(0.0), self.x(_WIDTH))
        rules = pd.DataFrame(
            {
                "x": [edges[0], self.low],
                "xend": [edges[1], self.high],
                "y": [-0.5, self.bottom],
                # The lower half of the axis is outside of the panel.
                "size": [0.3, 1.0],
            }
        )
        layers += [
            geom_segment(
                aes("x", "y", xend="xend", yend="y"),
                rules[rules["size"] == size],
                color=INK,
                size=size,
            )
            for size in (0.3, 1.0)
        ]
        return layers

    def frame(self, title: str, *, legend: bool = False) -> list[Any]:
        """Return coordinates, labels and theme.

        Parameters
        ----------
        title : str
            Of the axis.
        legend : bool
            Whether there is one below.
        """
        from plotnine import (
            coord_cartesian,
            element_blank,
            element_text,
            labs,
            scale_y_continuous,
            theme,
        )

        left, right = self._axis
        size = self.size + 0.5
        width = text_width([title], size)
        middle = ((left + right) / 2 - width / 2) / (_WIDTH - width)
        return [
            scale_y_continuous(breaks=[]),
            coord_cartesian(
                xlim=(self.x(0.0), self.x(_WIDTH)),
                ylim=(self.bottom, 0.9),
                expand=False,
            ),
            labs(x=title),
            theme_print(width=_WIDTH, height=self.height(legend=legend), base_size=9),
            theme(
                plot_margin=0,
                axis_line=element_blank(),
                axis_title_y=element_blank(),
                axis_text_x=element_text(size=max(self.size - 0.5, 7)),
                axis_title_x=element_text(size=size, ha=float(np.clip(middle, 0, 1))),
                legend_text=element_text(size=max(self.size - 0.5, 7)),
                legend_margin=0,
                legend_box_margin=0,
                legend_position="bottom" if legend else "none",
            ),
        ]

    @cached_property
    def _axis(self) -> tuple[float, float]:
        """Return the places of the ends of the axis, inches."""
        right = _WIDTH - _PAD - sum(self._column_widths)
        return _PAD + self._room(right) + _GAP, right

    def _room(self, right: float) -> float:
        """Return the width of the names."""
        wanted = max(
            text_width([self.title], self.size, bold=True),
            text_width(
                [n for n, b in zip(self.names, self.bold, strict=True) if b],
                self.size,
                bold=True,
            ),
            text_width(self.names, self.size) + self._indent,
        )
        return min(wanted, right - _PLOT - _GAP)

    @property
    def _indent(self) -> float:
        return _INDENT if self.bold[0] else 0.0

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
            weight = "bold" if bold else "normal"
            found.append((self.x(inches), y, text, ha, weight))

        right = _WIDTH - _PAD - sum(self._column_widths)
        room = self._room(right)
        put(_PAD, 0.0, self.title, "left", True)
        for y, name, bold in zip(self.y, self.names, self.bold, strict=True):
            indent = 0.0 if bold else self._indent
            put(_PAD + indent, y, cut(name, room - indent, self.size), "left", bold)
        at = _WIDTH - _PAD
        widths = self._column_widths
        for (heading, texts), width in reversed(
            list(zip(self.columns.items(), widths, strict=True))
        ):
            put(at, 0.0, heading, "right", True)
            for y, text, bold in zip(self.y, texts, self.bold, strict=True):
                put(at, y, text, "right", bold)
            at -= width
        return pd.DataFrame(found, columns=["x", "y", "text", "ha", "weight"])
