"""Stage 7: a forest plot of more estimates than have a row each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma.effects.convert import RATIOS
from pyrobma.plots.forest_axis import axis_ends, on_axis
from pyrobma.plots.forest_drawing import (
    MARKS,
    POINT,
    Look,
    arrow_size,
    fitting_rows,
    mark_scales,
    pooled_lines,
    pooled_marks,
)
from pyrobma.plots.forest_text import Texts
from pyrobma.plots.marks import arrows, clipped
from pyrobma.plots.rows import Rows
from pyrobma.plots.theme import INK, MIDDLE, SOFT, with_unit

_LINES: Final = (18.0, 30.0)  # of text that the estimates take
_EACH: Final = 0.2  # lines for an estimate
_LINE: Final = 0.2  # inches
_AROUND: Final = 7.0  # lines above and below the estimates, and the axis
_TOP: Final = -0.75  # lines, the place of the first estimate
_STROKES: Final = (0.1, 0.6)  # of the intervals
_POINTS: Final = (0.15, 1.3)  # sizes of the estimates
_DRAWN: Final = (
    ("estimate", ("estimate", "lower", "upper"), SOFT),
    ("true effect", ("true_effect", "true_lower", "true_upper"), MIDDLE),
)
_BELOW: Final = ("", "average", "prediction")
_RASTER: Final = 2000  # estimates, whose lines would make a large file


def draw_caterpillar(frame: pd.DataFrame, look: Look, *, sorting: str) -> Any:
    """Draw a frame of `forest_frame` with its estimates as thin lines without names.

    Parameters
    ----------
    frame : DataFrame
        From `forest_frame`.
    look : Look
    sorting : str
        In which order estimates are, in words.

    Returns
    -------
    plotnine.ggplot
        Grey lines are the intervals of estimates, dark ones those of the true effects.
    """
    estimates = (frame["part"] == "estimate").sum()
    tall = float(np.clip(_EACH * estimates, *_LINES))
    if look.asked.height is not None:
        tall = max(look.asked.height / _LINE - _AROUND, 2.0)
    below = pooled_lines(look, _TOP - tall)
    places = on_axis(frame, look.measure)
    low, high = axis_ends(places, look.measure, look.xlim, many=True)
    own = frame["part"] == "estimate"
    both = bool(frame.loc[own, "true_effect"].notna().all())
    told = [f"{estimates:,} estimates", sorting]
    told += ["light: estimates", "dark: true effects"] if both else []
    rows = fitting_rows(
        Rows(
            y=np.array([*-np.arange(1.0, len(told) + 1), *(line[1] for line in below)]),
            names=[*told, *(line[2] for line in below)],
            columns={},
            low=low,
            high=high,
            bold=[False] * len(told) + [line[3] for line in below],
            indented=[False] * len(told) + [line[4] for line in below],
            title="Studies",
            legend=both,
            asked=look.asked,
        ),
        frame.iloc[-2:].reset_index(drop=True),
        replace(look, texts=Texts(own=("estimate",))),
        [-1] * len(told) + [_BELOW.index(part) - 1 for part, *_ in below],
    )
    step = tall / estimates
    y = np.full(len(frame), np.nan)
    y[own.to_numpy()] = _TOP - step * (np.arange(estimates) + 0.5)
    y[-2:] = [place for part, place, *_ in below if part]
    return _figure(places.assign(y=y), rows, look, step * rows.line * 72)


def _figure(frame: pd.DataFrame, rows: Rows, look: Look, pitch: float) -> Any:
    """Draw estimates that are so many points apart."""
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    own = frame[frame["part"] == "estimate"]
    stroke = float(np.clip(0.5 * pitch / POINT, *_STROKES))
    size = float(np.clip(0.45 * pitch / POINT, *_POINTS))
    raster = len(own) > _RASTER
    layers: list[Any] = []
    points = []
    for mark, columns, color in _DRAWN:
        some = own[[*columns]].set_axis(["x", "lower", "upper"], axis=1).astype(float)
        some = some.assign(y=own["y"], mark=mark, size=size)
        if some["x"].isna().all():
            continue
        lines = clipped(some, rows.low, rows.high)
        # Nothing of some is on the axis.
        lines = lines[lines["lower"] < lines["upper"]]
        layers.append(
            p9.geom_segment(
                p9.aes("lower", "y", xend="upper", yend="y"),
                lines,
                color=color,
                size=stroke,
                raster=raster,
            )
        )
        points.append(some)
    marks = pd.concat(points, ignore_index=True)
    away = marks[marks["mark"] == "estimate"]
    away = away.assign(lower=away["x"], upper=away["x"])
    shown = [mark for mark in MARKS if (marks["mark"] == mark).any()]
    return (
        Canvas()
        + rows.layers()
        + layers
        + rows.reference(0.0)
        + p9.geom_point(
            p9.aes("x", "y", shape="mark", size="size", color="mark", fill="mark"),
            marks[marks["x"].between(rows.low, rows.high)],
            stroke=0.3 * size,
            raster=raster,
        )
        + arrows(
            clipped(away, rows.low, rows.high),
            rows.low,
            rows.high,
            color=INK,
            size=min(arrow_size(rows), 2 * size),
        )
        + pooled_marks(frame, rows)
        + mark_scales(shown)
        + rows.axis(ratio=look.measure in RATIOS)
        + rows.frame(with_unit("Effect", look.measure))
    )
