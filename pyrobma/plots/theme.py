"""Stage 7: the look of every figure, made for print and readable in grey."""

from __future__ import annotations

from typing import Any

from pyrobma.effects import MEASURE_NAMES, Measure

INK = "#1a1a1a"
"""Lines and text: posteriors, estimates, axes."""
MIDDLE = "#6e6e6e"
"""Second in rank: prediction intervals, shrunken effects, reference lines."""
SOFT = "#b8b8b8"
"""Background information: priors, prior probabilities."""
FILL = "#dcdcdc"
"""Areas: bands and densities."""


def with_unit(quantity: str, measure: Measure) -> str:
    """Return the label of an axis, e.g. ``Effect (Cohen's d)``."""
    unit = "units of the data" if measure == "none" else MEASURE_NAMES[measure]
    return f"{quantity} ({unit})"


def theme_print(*, width: float = 6.5, height: float = 4.0, base_size: int = 10) -> Any:
    """Return the plotnine theme of the figures.

    Parameters
    ----------
    width, height : float
        Size of the figure, inches.
    base_size : int
        Size of the text, points.
    """
    from plotnine import (
        element_blank,
        element_line,
        element_rect,
        element_text,
        theme,
        theme_classic,
    )

    return theme_classic(base_size=base_size) + theme(
        figure_size=(width, height),
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
