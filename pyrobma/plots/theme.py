"""Stage 7: the look of every figure, made for print and readable in grey."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final

from pyrobma.effects import MEASURE_NAMES, Measure
from pyrobma.errors import DataError

INK = "#1a1a1a"
"""Lines and text: posteriors, estimates, axes."""
MIDDLE = "#6e6e6e"
"""Second in rank: prediction intervals, shrunken effects, reference lines."""
SOFT = "#b8b8b8"
"""Background information: priors, prior probabilities."""
FILL = "#dcdcdc"
"""Areas: bands and densities."""

_USUAL: Final = (6.5, 4.0)  # inches
_TEXT: Final = 10.0  # points
_SMALLEST_TEXT: Final = 0.7  # of the usual, in narrow figures
_KEPT: Final = 0.35  # of the usual height, whatever the width: axis and legend


@dataclass(frozen=True, slots=True)
class Page:
    """Size of a figure, and of its text.

    Attributes
    ----------
    width, height : float
        Inches.
    text : float
        Of titles of axes, points; numbers and legends are smaller in proportion.
    """

    width: float = _USUAL[0]
    height: float = _USUAL[1]
    text: float = _TEXT

    def points(self, usual: float) -> float:
        """Return the size of text that has so many points beside titles of ten."""
        return usual * self.text / _TEXT


@dataclass(frozen=True, slots=True)
class Size:
    """What somebody asks of the size of a figure; None is for us to choose.

    Attributes
    ----------
    width, height : float, optional
        Inches.
    text : float, optional
        Points.

    Raises
    ------
    DataError
        If one of them is not a positive number.
    """

    width: float | None = None
    height: float | None = None
    text: float | None = None

    def __post_init__(self) -> None:
        """Check what was given."""
        for argument, unit, value in (
            ("width", "inches", self.width),
            ("height", "inches", self.height),
            ("text_size", "points", self.text),
        ):
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 < value < math.inf):
                raise DataError(
                    f"{argument}: expected a positive number of {unit}, or None; got "
                    f"{value!r}."
                )

    def page(
        self, width: float = _USUAL[0], height: float = _USUAL[1], text: float = _TEXT
    ) -> Page:
        """Return the size of a figure that usually has this one.

        What was not asked for follows the width: text less than in proportion, and the
        height but for axis and legend.
        """
        wide = self.width or width
        ratio = wide / width
        return Page(
            wide,
            self.height or height * (_KEPT + (1 - _KEPT) * ratio),
            self.text or text * text_factor(ratio),
        )


def text_factor(ratio: float) -> float:
    """Return the size of text over the usual one, at a width over the usual one."""
    return min(max(math.sqrt(ratio), _SMALLEST_TEXT), 1.0)


def with_unit(quantity: str, measure: Measure) -> str:
    """Return the label of an axis, e.g. ``Effect (Cohen's d)``."""
    unit = "units of the data" if measure == "none" else MEASURE_NAMES[measure]
    return f"{quantity} ({unit})"


def theme_print(page: Page | None = None) -> Any:
    """Return the plotnine theme of the figures.

    Parameters
    ----------
    page : Page, optional
        Size of the figure and of its text.
    """
    from plotnine import (
        element_blank,
        element_line,
        element_rect,
        element_text,
        theme,
        theme_classic,
    )

    page = page or Page()
    return theme_classic(base_size=page.text) + theme(
        figure_size=(page.width, page.height),
        dpi=150,
        text=element_text(color=INK),
        axis_text=element_text(color=INK),
        axis_line=element_line(color=INK, size=0.5),
        axis_ticks=element_line(color=INK, size=0.5),
        panel_background=element_rect(fill="white"),
        plot_background=element_rect(fill="white", color="white"),
        strip_background=element_blank(),
        strip_text=element_text(color=INK, weight="bold"),
        legend_position="bottom",
        legend_title=element_blank(),
        legend_key=element_blank(),
    )
