"""Stage 7: marks of estimates with intervals; posteriors beside their priors."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma.plots.theme import INK, MIDDLE

_HALF: Final = 0.34  # of the height of a diamond, lines


def clipped(frame: pd.DataFrame, low: float, high: float) -> pd.DataFrame:
    """Return intervals within the ends of an axis, and which went beyond.

    Parameters
    ----------
    frame : DataFrame
        With columns ``lower`` and ``upper``.
    low, high : float
        Ends of the axis.

    Returns
    -------
    DataFrame
        The frame with its intervals cut, and the columns ``before`` and ``beyond``.
    """
    return frame.assign(
        before=frame["lower"] < low,
        beyond=frame["upper"] > high,
        lower=frame["lower"].clip(low, high),
        upper=frame["upper"].clip(low, high),
    )


def arrows(
    frame: pd.DataFrame, low: float, high: float, *, color: str, size: float
) -> list[Any]:
    """Return arrows where `clipped` intervals leave the axis."""
    from plotnine import aes, geom_point

    look = {"color": color, "fill": color, "size": size}
    return [
        geom_point(aes("edge", "y"), some, shape=shape, show_legend=False, **look)
        for side, shape, edge in (("before", "<", low), ("beyond", ">", high))
        if len(some := frame[frame[side]].assign(edge=edge))
    ]


def diamond(row: pd.Series[Any], middle: str, *, fill: str, size: float = 0.5) -> Any:
    """Return a diamond over an interval, highest at its middle, or the end next to it.

    Parameters
    ----------
    row : Series
        With its ends ``lower`` and ``upper``, and its height ``y``.
    middle : str
        Which entry is the middle.
    fill : str
        Color inside.
    size : float
        Width of the line around it.
    """
    from plotnine import aes, geom_polygon

    # A mean far out in a tail is outside of its interval.
    tip = float(np.clip(row[middle], row["lower"], row["upper"]))
    corners = pd.DataFrame(
        {
            "x": [row["lower"], tip, row["upper"], tip],
            "y": row["y"] + _HALF * np.array([0, 1, 0, -1]),
        }
    ).astype(np.float64)
    return geom_polygon(aes("x", "y"), corners, fill=fill, color=INK, size=size)


def posterior_and_prior(frame: pd.DataFrame, x: str, y: str, which: str) -> list[Any]:
    """Return posterior and prior as lines, with a legend if there is a prior.

    Parameters
    ----------
    frame : DataFrame
        With points from left to right.
    x, y : str
        Columns of a point.
    which : str
        Column of "posterior" or "prior".
    """
    import plotnine as p9

    legend = bool((frame[which] == "prior").any())
    return [
        p9.geom_path(
            p9.aes(x, y, linetype=which, color=which),
            frame,
            size=0.8,
            show_legend=legend,
        ),
        p9.scale_linetype_manual({"posterior": "solid", "prior": "dashed"}),
        p9.scale_color_manual({"posterior": INK, "prior": MIDDLE}),
    ]


def edges_of_prior(frame: pd.DataFrame, x: str, y: str) -> list[Any]:
    """Return the ends of a prior's band, told apart by the column ``end``, if any."""
    from plotnine import aes, geom_path

    look = {"color": MIDDLE, "linetype": "dotted", "size": 0.6}
    return [geom_path(aes(x, y, group="end"), frame, **look)] if len(frame) else []
