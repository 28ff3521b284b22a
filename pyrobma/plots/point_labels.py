"""Stage 7: names beside points, where there is room for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray, IntArray
from pyrobma.plots.names import plain
from pyrobma.plots.text import cut, text_width
from pyrobma.plots.theme import MIDDLE, Page

_POINTS: Final = 7.0  # size of the text
_WIDEST: Final = 1.5  # inches
_AWAY: Final = 0.06  # inches between a point and its name
_RADIUS: Final = 0.03  # inches, of a point
_LINE: Final = 1.3  # of the size of the text
_MARGINS: Final = (0.75, 0.65)  # inches that axes take


@dataclass(frozen=True, slots=True)
class Ends:
    """Ends of the axes of a panel."""

    x: tuple[float, float]
    y: tuple[float, float]


def named_points(
    x: FloatArray,
    y: FloatArray,
    names: Sequence[str],
    chosen: IntArray,
    ends: Ends,
    page: Page,
    *,
    right: float | None = None,
) -> list[Any]:
    """Return layers with the names of some points.

    Parameters
    ----------
    x, y : arrays of shape (n,)
        All points.
    names : sequence of n str
    chosen : array of int
        Which points to name, the most important first. One that has no room to either
        side keeps its name to itself.
    ends : Ends
        Of the axes.
    page : Page
        The figure.
    right : float, optional
        Where on the horizontal axis names have to end. None: at its end.
    """
    from plotnine import aes, geom_text

    size = page.points(_POINTS)
    inches = np.array([page.width - _MARGINS[0], page.height - _MARGINS[1]])
    low = np.array([ends.x[0], ends.y[0]])
    unit = inches / (np.array([ends.x[1], ends.y[1]]) - low)
    places = (np.column_stack([x, y]) - low) * unit
    last = inches[0] if right is None else (right - low[0]) * unit[0]
    half = _LINE * size / 72 / 2
    taken: list[tuple[float, float, float, float]] = []
    rows = []
    for i in chosen.tolist():
        text = cut(names[i], _WIDEST, size)
        wide = text_width([text], size)
        at, up = places[i]
        for side, left in (("left", at + _AWAY), ("right", at - _AWAY - wide)):
            box = (left - _AWAY / 2, up - half, left + wide + _AWAY / 2, up + half)
            inside = box[0] > 0 and box[2] < last
            covered = (
                (places[:, 0] > box[0] - _RADIUS)
                & (places[:, 0] < box[2] + _RADIUS)
                & (abs(places[:, 1] - up) < half)
            )
            covered[i] = False
            if not inside or covered.any() or any(_overlap(box, t) for t in taken):
                continue
            taken.append(box)
            shift = (_AWAY if side == "left" else -_AWAY) / unit[0]
            rows.append({"x": x[i] + shift, "y": y[i], "text": plain(text), "ha": side})
            break
    frame = pd.DataFrame(rows, columns=["x", "y", "text", "ha"])
    return [
        geom_text(
            aes("x", "y", label="text"),
            some,
            ha=side,
            va="center",
            size=size,
            color=MIDDLE,
            inherit_aes=False,
        )
        for side, some in frame.groupby("ha")
    ]


def _overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    return (
        one[0] < other[2]
        and other[0] < one[2]
        and one[1] < other[3]
        and other[1] < one[3]
    )
