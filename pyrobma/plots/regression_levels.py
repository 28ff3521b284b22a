"""Stage 7: estimates by the levels of a factor, with their means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma.effects import Measure
from pyrobma.effects.convert import RATIOS
from pyrobma.plots.intervals import interval_texts
from pyrobma.plots.marks import arrows, clipped
from pyrobma.plots.names import short_names
from pyrobma.plots.rows import Rows
from pyrobma.plots.text import one_line
from pyrobma.plots.theme import INK, MIDDLE, Size, with_unit

_NAMES: Final = 2.5  # inches for the names of levels
_INDENT: Final = 0.12  # inches
_PAGE: Final = 36.0  # lines
_TALL: Final = (1.6, 3.2)  # lines of a level
_ABOVE: Final = 0.27  # of a level's height: its mean, from the middle up
_TWO: Final = (0.36, 0.19)  # two means
_BELOW: Final = 0.22  # its estimates, from the middle down
_SPREAD: Final = 0.36  # the height of all estimates
_GOLDEN: Final = 0.6180339887498949
_LARGEST: Final = 4.5  # of the circles, in the unit of shapes
_SMALLEST: Final = 0.6
_FEW: Final = 40  # estimates, beyond which circles shrink
_REACH: Final = 0.35  # of the range of what matters: how far an interval may go
_MEAN: Final = "mean effect"
_NEW: Final = "true effect of a new study"
_PLAIN: Final = "mean effect, models without bias"
_ESTIMATE: Final = "estimate"
_LOOKS: Final = {
    _MEAN: (INK, 1.7, "solid"),
    _NEW: (INK, 0.45, "solid"),
    _PLAIN: (MIDDLE, 0.7, "dashed"),
}
"""Color, width and type of the lines of intervals."""
_NUMBERS: Final = ["effect", "lower", "upper", "new_lower", "new_upper"]


def draw_level_rows(
    frame: pd.DataFrame,
    measure: Measure,
    *,
    heading: str,
    names: Sequence[tuple[str, ...]],
    conditional: bool,
    coverage: float,
    asked: Size,
) -> Any:
    """Draw a frame of `regression_frame` for a factor.

    Parameters
    ----------
    frame : DataFrame
        From `regression_frame`.
    measure : str
        Its output scale.
    heading : str
        Of the names of levels.
    names : sequence of tuple of str
        The levels of the factors, one for each mean; of several the first is a heading.
    conditional : bool
        Whether only models with the term were averaged.
    coverage : float
        Of the intervals, for the heading of their column.
    asked : Size

    Returns
    -------
    plotnine.ggplot
    """
    means = frame[frame["kind"] == "mean"]
    lines = _lines(means["level"].tolist(), names)
    columns = _columns(frame, measure, coverage, lines["level"].tolist())
    if measure in RATIOS:
        with np.errstate(divide="ignore"):
            frame = frame.assign(**{name: np.log10(frame[name]) for name in _NUMBERS})
    low, high = _range(frame)
    nested = bool(lines["indented"].any())
    rows = Rows(
        y=lines["y"].to_numpy(),
        names=lines["name"].tolist(),
        columns=columns,
        low=low,
        high=high,
        bold=lines["bold"].tolist(),
        indented=lines["indented"].tolist(),
        title=one_line(heading),
        most=_NAMES,
        shorten=lambda names, room, size: short_names(
            names, room - _INDENT * nested, size
        ),
        legend=True,
        asked=asked,
    )
    title = with_unit("Conditional effect" if conditional else "Effect", measure)
    return _figure(frame, lines, rows, title, ratio=measure in RATIOS)


def _lines(levels: list[str], names: Sequence[tuple[str, ...]]) -> pd.DataFrame:
    """Return what is written, from top to bottom.

    Columns: ``level`` ("" for headings), ``y`` (of the middle of a level), ``name``,
    ``bold``, ``indented`` and ``tall`` (the height of a level).
    """
    tall = float(np.clip(_PAGE / len(levels), *_TALL))
    found: list[tuple[str, float, str, bool, bool]] = []
    y, last = -0.6, ""
    nested = len(names[0]) > 1
    for level, own in zip(levels, names, strict=True):
        if nested and (not found or own[0] != last):
            y -= 1.0
            found.append(("", y, own[0], True, False))
            last, y = own[0], y - 0.2
        name = ", ".join(own[1:] if nested else own)
        found.append((level, y - tall / 2, name, False, nested))
        y -= tall
    # Room for the lower half of the last level.
    found.append(("", min(y + 0.5, found[-1][1] - 0.1), "", False, False))
    columns = ["level", "y", "name", "bold", "indented"]
    return pd.DataFrame(found, columns=columns).assign(tall=tall)


def _columns(
    frame: pd.DataFrame, measure: Measure, coverage: float, levels: list[str]
) -> dict[str, list[str]]:
    """Return the numbers beside the rows: of estimates, and means with intervals."""
    means = frame[frame["kind"] == "mean"]
    counts = frame.loc[frame["kind"] == "estimate", "level"].value_counts()
    value, lower, upper = (means[name].to_numpy(float) for name in _NUMBERS[:3])
    texts = dict(
        zip(means["level"], interval_texts(value, lower, upper, measure), strict=True)
    )
    return {
        "Estimates": [str(counts.get(some, 0)) if some else "" for some in levels],
        f"Mean [{100 * coverage:.4g}% CI]": [texts.get(some, "") for some in levels],
    }


def _range(frame: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis, which the intervals of new studies may leave."""
    inner = frame[["effect", "lower", "upper"]].to_numpy(dtype=float)
    inner = inner[np.isfinite(inner)]
    low, high = float(inner.min()), float(inner.max())
    reach = _REACH * (high - low) or 0.5
    outer = frame[["new_lower", "new_upper"]].to_numpy(dtype=float)
    outer = outer[~np.isnan(outer)]
    low = max(low - reach, min(low, float(outer.min())))
    high = min(high + reach, max(high, float(outer.max())))
    nothing = 0.0  # also the logarithm of an odds ratio of 1
    if low - reach <= nothing <= high + reach:
        low, high = min(low, nothing), max(high, nothing)
    margin = 0.02 * (high - low)
    return low - margin, high + margin


def _figure(
    frame: pd.DataFrame, lines: pd.DataFrame, rows: Rows, title: str, *, ratio: bool
) -> Any:
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    own = lines[lines["level"] != ""]
    middle = dict(zip(own["level"], own["y"], strict=True))
    tall = float(lines["tall"].iloc[0])
    marks = _marks(frame, middle, tall, rows)
    points = marks[marks["x"].between(rows.low, rows.high)]
    estimates = _estimates(frame, middle, tall)
    estimates = estimates[estimates["effect"].between(rows.low, rows.high)]
    shown = [mark for mark in _LOOKS if (marks["mark"] == mark).any()]
    colors, sizes, types = zip(*(_LOOKS[mark] for mark in shown), strict=True)
    return (
        Canvas()
        + rows.reference(0.0)  # also the logarithm of an odds ratio of 1
        + rows.layers()
        + p9.geom_point(
            p9.aes("effect", "y", size="size", shape="mark"),
            estimates,
            fill="none",
            color=MIDDLE,
            stroke=0.4,
        )
        + p9.geom_segment(
            p9.aes(
                "lower",
                "y",
                xend="upper",
                yend="y",
                color="mark",
                linetype="mark",
                size="size",
            ),
            marks,
        )
        + [
            arrow
            for mark in shown
            for arrow in arrows(
                marks[marks["mark"] == mark],
                rows.low,
                rows.high,
                color=_LOOKS[mark][0],
                size=1.0,
            )
        ]
        + p9.geom_point(
            p9.aes("x", "y", fill="mark"),
            points[points["mark"] != _NEW],
            shape="o",
            color=INK,
            size=2.4,
            stroke=0.5,
            show_legend=False,
        )
        + p9.scale_color_manual(list(colors), breaks=shown)
        + p9.scale_linetype_manual(list(types), breaks=shown)
        + p9.scale_fill_manual({_MEAN: INK, _PLAIN: "white"})
        + p9.scale_shape_manual({_ESTIMATE: "o"})
        + p9.scale_size_identity()
        + p9.guides(
            color=p9.guide_legend(order=1, override_aes={"size": list(sizes)}),
            linetype=p9.guide_legend(order=1),
            shape=p9.guide_legend(order=2, override_aes={"size": 2.2}),
        )
        + rows.axis(ratio=ratio)
        + rows.frame(title)
        + p9.theme(legend_key_width=22)
    )


def _marks(
    frame: pd.DataFrame, middle: dict[str, float], tall: float, rows: Rows
) -> pd.DataFrame:
    """Return intervals with their means, and how they are drawn.

    Columns: ``y``, ``x``, ``lower``, ``upper``, ``mark``, ``size``, and those of
    `clipped`.
    """
    means, plain = (frame[frame["kind"] == kind] for kind in ("mean", "unadjusted"))
    up, down = _TWO if len(plain) else (_ABOVE, _ABOVE)
    parts = [
        (_NEW, means, "new_lower", "new_upper", up),
        (_MEAN, means, "lower", "upper", up),
        (_PLAIN, plain, "lower", "upper", down),
    ]
    marks = pd.concat(
        [
            pd.DataFrame(
                {
                    "y": some["level"].map(middle).astype(float) + tall * place,
                    "x": some["effect"],
                    "lower": some[first],
                    "upper": some[last],
                    "mark": mark,
                    "size": _LOOKS[mark][1],
                }
            )
            for mark, some, first, last, place in parts
            if len(some)
        ],
        ignore_index=True,
    )
    return clipped(marks, rows.low, rows.high)


def _estimates(
    frame: pd.DataFrame, middle: dict[str, float], tall: float
) -> pd.DataFrame:
    """Return the estimates of a level below its mean, neighbors apart from each other.

    The places are multiples of the golden ratio, so that no two are the same.
    """
    own = frame[frame["kind"] == "estimate"].sort_values("effect", kind="stable")
    place = own.groupby("level", sort=False).cumcount()
    aside = (place * _GOLDEN + 0.5) % 1 - 0.5
    many = min(1.0, (_FEW / len(own)) ** 0.25)
    weight = own["weight"].clip(lower=0)  # a generalised one may be negative
    size = _LARGEST * many * np.sqrt(weight / weight.max())
    return own.assign(
        y=own["level"].map(middle).astype(float) + tall * (_SPREAD * aside - _BELOW),
        size=np.maximum(size, _SMALLEST),
        mark=_ESTIMATE,
    )
