"""Stage 7: densities with spikes, on an axis each."""

from __future__ import annotations

import functools
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.plots.marks import posterior_and_prior
from pyrobma.plots.numbers import number, plain_labels, short
from pyrobma.plots.text import text_width
from pyrobma.plots.theme import FILL, INK, MIDDLE, Page, theme_print

_FULL_HEIGHT: Final = 0.1
"""Continuous probability below which the density no longer fills the figure."""
_SMALLEST: Final = 1e-6  # continuous probability: keeps the axis finite
_PROBABILITIES: Final = [0.0, 0.25, 0.5, 0.75, 1.0]
_LINE: Final = 0.075  # height of a line of text, of that of probability one
_CAPTION: Final = 0.85  # size of captions, of that of titles
_SPARE: Final = 0.06  # inches beside a caption
_BAR: Final = 0.06  # inches, the width of a bar beside titles of ten points
_AXES: Final = 1.3  # inches of both axes beside titles of ten points
_RIGHT: Final = 0.7  # inches of the right one


def draw_posterior(
    frame: pd.DataFrame,
    *,
    symbol: str,
    title: str,
    size: float = 10.0,
    panel: float = 5.2,
    page: Page | None = None,
) -> Any:
    """Draw a frame of `posterior_frame`.

    Parameters
    ----------
    frame : DataFrame
        From `posterior_frame`.
    symbol : str
        Of the parameter, for the labels of spikes.
    title : str
        Of the horizontal axis.
    size : float
        Of titles of axes, points; other text is smaller in proportion.
    panel : float
        Width between the axes, inches, at least: captions are kept inside.
    page : Page, optional
        Size of the figure. None: the usual one.

    Returns
    -------
    plotnine.ggplot
    """
    import plotnine as p9

    curves = frame[frame["kind"] == "density"]
    area = p9.geom_area(
        p9.aes("x", "density"),
        curves[curves["which"] == "posterior"],
        fill=FILL,
        color="none",
        position="identity",  # stacking a single curve takes seconds
    )
    return density_figure(
        [area, *posterior_and_prior(curves, "x", "density", "which")],
        curves,
        frame[frame["kind"] == "spike"],
        symbol=symbol,
        title=title,
        size=size,
        panel=panel,
        page=page,
    )


def alone(page: Page) -> dict[str, Any]:
    """Return the sizes of a figure that is no panel of another one."""
    panel = page.width - page.points(_AXES)
    return {"size": page.text, "panel": max(panel, 0.3 * page.width), "page": page}


def density_figure(
    layers: list[Any],
    curves: pd.DataFrame,
    spikes: pd.DataFrame,
    *,
    symbol: str,
    title: str,
    size: float = 10.0,
    panel: float = 5.2,
    page: Page | None = None,
) -> Any:
    """Draw densities and the bars of spikes, on an axis each.

    Parameters
    ----------
    layers : list
        Of the curves, with scales of colors and linetypes; "posterior" and "prior" are
        colors too.
    curves, spikes : DataFrame
        Rows of these kinds, with the columns of `posterior_frame`.
    symbol, title, size, panel, page
        As in `draw_posterior`.

    Returns
    -------
    plotnine.ggplot
    """
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    top = density_top(curves, spikes)
    bar = _BAR * size / 10.0 / panel  # of the panel
    left, right = _x_range(pd.concat([curves["x"], spikes["x"]]), bar)
    captions, lines = _captions(spikes, symbol, (left, right), size, panel)
    wide = bar * (right - left)
    # Beside each other, not one over the other.
    beside = bool((spikes["which"] == "prior").any())
    start = np.where(spikes["which"] == "prior", 0.0, -wide if beside else -wide / 2)
    bars = spikes.assign(
        height=spikes["probability"] * top,
        start=spikes["x"] + start,
        end=spikes["x"] + start + wide,
    )
    captions["y"] = top * (1 + _LINE * (lines - captions["line"] - 0.3))
    figure = (
        Canvas()
        + layers
        + [
            p9.geom_rect(
                p9.aes(xmin="start", xmax="end", ymin=0, ymax="height"),
                some,
                fill=INK if which == "posterior" else MIDDLE,
            )
            for which, some in bars.groupby("which")
        ]
        + p9.coord_cartesian(
            xlim=(left, right), ylim=(0, top * (1.04 + _LINE * lines)), expand=False
        )
        + p9.scale_x_continuous(labels=plain_labels)
        + p9.labs(x=title, y="Density" if len(curves) else "Probability")
        + theme_print(page or Page(text=size))
        + [
            p9.geom_text(
                p9.aes("x", "y", label="label", color="which"),
                some,
                ha=ha,
                va="center",
                size=_CAPTION * size,
                show_legend=False,
            )
            for ha, some in captions.groupby("ha")
        ]
    )
    return figure + _axes(
        top, size, page or Page(), bool(len(curves)), bool(len(spikes))
    )


def _axes(top: float, size: float, page: Page, curves: bool, spikes: bool) -> list[Any]:
    """Return the vertical axes: of densities, of probabilities or both."""
    from plotnine import scale_y_continuous, theme

    if not curves:
        return [scale_y_continuous(breaks=_PROBABILITIES, labels=plain_labels)]
    densities = scale_y_continuous(breaks=_below(top), labels=plain_labels)
    if not spikes:
        return [densities]
    right = theme(plot_margin_right=_RIGHT * size / 10.0 / page.width)
    return [densities, _probability_axis()(top, size), right]


def _below(top: float) -> Any:
    """Return a rule for breaks that leaves out the room of the captions."""

    def breaks(limits: tuple[float, float]) -> FloatArray:
        from mizani.breaks import breaks_extended

        found = np.asarray(breaks_extended(n=5)((0.0, top)), dtype=np.float64)
        return found[found <= top]

    return breaks


def density_top(curves: pd.DataFrame, spikes: pd.DataFrame) -> float:
    """Return the density at the height of probability one."""
    tops = []
    for which, curve in curves.groupby("which"):
        fixed = spikes.loc[spikes["which"] == which, "probability"].sum()
        share = min(1.0, max(1 - fixed, _SMALLEST) / _FULL_HEIGHT)
        tops.append(float(curve["density"].max()) / share)
    return 1.05 * max(tops) if tops else 1.0


def _x_range(x: pd.Series[float], bar: float) -> tuple[float, float]:
    low, high = float(x.min()), float(x.max())
    # A bar at the end is inside.
    spare = max(0.02, 1.2 * bar) * (high - low) or 0.5 * max(abs(low), 1.0)
    return low - spare, high + spare


def _captions(
    spikes: pd.DataFrame,
    symbol: str,
    ends: tuple[float, float],
    size: float,
    panel: float,
) -> tuple[pd.DataFrame, int]:
    """Write the probabilities above their bars, side by side where there is room.

    Returns
    -------
    DataFrame
        Columns ``x``, ``label``, ``which``, ``ha`` and ``line``, from 0 at the top.
    int
        Number of lines.
    """
    left, right = ends
    rows: list[dict[str, object]] = []
    taken: list[float] = []  # where the last caption on each level ends
    per_spike = 2 if (spikes["which"] == "prior").any() else 1
    for value in sorted(set(spikes["x"].tolist())):
        chances = spikes[spikes["x"] == value].set_index("which")["probability"]
        text = f"P({symbol} = {short(value)})"
        labels = {"posterior": f"{text} = {number(chances['posterior'], 3)}"}
        if "prior" in chances:
            labels["prior"] = f"prior {number(chances['prior'], 3)}"
        inches = text_width([*labels.values(), ""], _CAPTION * size) + _SPARE
        width = inches / panel * (right - left)
        ha, start = "center", value - width / 2
        if start < left:
            ha, start = "left", value - 0.01 * (right - left)
        elif start + width > right:
            ha, start = "right", value - width
        level = next((i for i, end in enumerate(taken) if end < start), len(taken))
        taken[level : level + 1] = [start + width]
        at = {"left": start, "center": value, "right": start + width}[ha]
        for i, (which, label) in enumerate(labels.items()):
            line = level * per_spike + i
            rows.append(
                {"x": at, "label": label, "which": which, "ha": ha, "line": line}
            )
    columns = ["x", "label", "which", "ha", "line"]
    return pd.DataFrame(rows, columns=columns), len(taken) * per_spike


@functools.cache
def _probability_axis() -> Any:
    """Return a layer that draws an axis of probabilities at the right."""
    from plotnine.geoms.geom_blank import geom_blank

    class geom_probability_axis(geom_blank):  # type: ignore[misc]
        # plotnine has neither types nor a second axis.
        DEFAULT_PARAMS: Final = geom_blank.DEFAULT_PARAMS | {
            "top": 1.0,
            "text_size": 10.0,
        }

        def draw_panel(self, data: Any, panel_params: Any, coord: Any, ax: Any) -> None:
            top, size = self.params["top"], self.params["text_size"]
            axis = ax.secondary_yaxis(
                "right", functions=(lambda y: y / top, lambda p: p * top)
            )
            axis.set_yticks(_PROBABILITIES, plain_labels(_PROBABILITIES))
            axis.set_ylabel("Probability", color=INK, size=size)
            axis.tick_params(labelsize=0.8 * size, color=INK, labelcolor=INK, width=0.5)
            axis.spines["right"].set(color=INK, linewidth=0.5)

    return lambda top, size: geom_probability_axis(
        data=pd.DataFrame({"x": [0.0]}), inherit_aes=False, top=top, text_size=size
    )
