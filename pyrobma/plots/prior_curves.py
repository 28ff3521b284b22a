"""Stage 7: densities and spikes of priors, and how they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma.ensemble.scales import Converter
from pyrobma.plots.densities import Densities, Known, density_frame
from pyrobma.plots.numbers import number
from pyrobma.plots.palette import COLORS, LINETYPES, legend_columns
from pyrobma.plots.posterior_drawing import density_figure
from pyrobma.plots.theme import FILL, INK, Page
from pyrobma.priors import Prior
from pyrobma.priors.density import quantile

CURVE_COLUMNS: Final = ("prior", "kind", "x", "density", "probability")

_LEVELS: Final = np.linspace(0.001, 0.999, 999)
"""Probabilities between which a figure ends."""
_FOOT: Final = 0.02  # of the peak: a density that is worth drawing
_LEAST: Final = 0.1  # of either tail: a figure shows the rest in any case
_KEY: Final = 34.0  # points, a key of a legend
_NEAR: Final = 0.25  # of the width: how near an end of the support is drawn


def prior_curves(
    priors: Sequence[tuple[float, Prior]],
    convert: Converter,
    n: int,
    *,
    largest: float = np.inf,
    window: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Tabulate densities and spikes of priors of one parameter.

    Parameters
    ----------
    priors : sequence of (float, Prior)
        Probabilities, and what has them.
    convert : callable
        From the prior scale to the output scale, monotonous.
    n : int
        Number of points of a density.
    largest : float
        Values on the prior scale are smaller in size.
    window : tuple of two float, optional
        What the points are between, on the prior scale. None: what is worth drawing.

    Returns
    -------
    DataFrame
        Columns ``prior`` (in words), ``kind`` ("density" or "spike"), ``x`` (on the
        output scale), ``density`` (per unit of ``x``, times the probability; missing
        for spikes) and ``probability`` (of the prior).
    """
    free = [own for _, own in priors if not own.is_spike]
    ends = [end for own in free for end in window or _window(own, convert, largest)]
    parts = []
    for p, own in priors:
        if own.is_spike:
            alone, inside = Densities((), {}, (), {own.location: p}), None
        else:
            alone = Densities((), {}, (Known(p, own),), {})
            inside = max(min(ends), own.lower), min(max(ends), own.upper)
        rows = density_frame(alone, convert, n, window=inside, largest=largest)
        parts.append(rows.assign(prior=str(own), probability=p))
    return pd.concat(parts, ignore_index=True)[list(CURVE_COLUMNS)]


def _window(own: Prior, convert: Converter, largest: float) -> tuple[float, float]:
    """Return the ends, on the prior scale, of where a density is worth drawing."""
    x = quantile(own, _LEVELS)
    x = x[np.abs(x) < largest]
    # Between equally likely values the density is inverse to their distance.
    with np.errstate(divide="ignore"):
        height = 1 / np.abs(np.diff(convert(x)))
    low, high = quantile(own, [_LEAST, 1 - _LEAST])
    inside = (x[:-1] >= low) & (x[1:] <= high)
    shown = np.flatnonzero(height >= _FOOT * height[inside].max())
    # A pole, as that of the exponential of a Cauchy at 0, would dwarf the rest.
    if height.argmax() > 0:
        low = min(x[shown[0]], low)
    if height.argmax() < height.size - 1:
        high = max(x[shown[-1] + 1], high)
    near = _NEAR * (high - low)
    # A curve should not hang in the air.
    return (
        float(own.lower if low - own.lower < near else low),
        float(own.upper if own.upper - high < near else high),
    )


def draw_curves(
    frame: pd.DataFrame, *, symbol: str, title: str, sizes: Mapping[str, Any]
) -> Any:
    """Draw a frame of `prior_curves`.

    Parameters
    ----------
    frame : DataFrame
        From `prior_curves`.
    symbol : str
        Of the parameter, for the labels of spikes.
    title : str
        Of the horizontal axis.
    sizes : mapping
        What `density_figure` has to know of the page.

    Returns
    -------
    plotnine.ggplot
        One density is a line over a grey area, several are lines with a legend; bars
        are spikes, on the axis of probabilities at the right.
    """
    import plotnine as p9

    # Solid and black, as posteriors are: none of those is beside.
    frame = frame.assign(which="posterior")
    curves, spikes = (frame[frame["kind"] == kind] for kind in ("density", "spike"))
    names = list(dict.fromkeys(curves["prior"]))
    if len(names) > 1:
        room = replace(sizes["page"], width=sizes["panel"])
        layers = _lines(curves, names, room)
    else:
        layers = [
            p9.geom_area(
                p9.aes("x", "density"),
                curves,
                fill=FILL,
                color="none",
                position="identity",  # stacking a single curve takes seconds
            ),
            p9.geom_path(p9.aes("x", "density"), curves, size=0.8, color=INK),
            p9.scale_color_manual({"posterior": INK}, guide=None),
        ]
    figure = density_figure(layers, curves, spikes, symbol=symbol, title=title, **sizes)
    # The theme of the figure would undo what is among its layers.
    return figure + p9.theme(legend_key_width=_KEY, legend_box_spacing=0.02)


def _lines(curves: pd.DataFrame, names: list[str], room: Page) -> list[Any]:
    """Return several densities, told apart by a legend; beyond six, looks repeat."""
    import plotnine as p9

    chances = curves.groupby("prior")["probability"].first()
    labels = [f"{name}, P = {number(chances[name], 3)}" for name in names]
    colors = dict(zip(names, cycle(COLORS), strict=False))
    types = dict(zip(names, cycle(LINETYPES), strict=False))
    columns = legend_columns(labels, room, key=_KEY)
    return [
        p9.geom_path(
            p9.aes("x", "density", color="prior", linetype="prior"), curves, size=0.8
        ),
        p9.scale_color_manual(
            {**colors, "posterior": INK}, breaks=names, labels=labels
        ),
        p9.scale_linetype_manual(types, breaks=names, labels=labels),
        p9.guides(
            color=p9.guide_legend(ncol=columns), linetype=p9.guide_legend(ncol=columns)
        ),
    ]
