"""Stage 7: a frame of estimates as a forest plot that fits its page."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma.effects import Measure
from pyrobma.plots.intervals import interval_texts
from pyrobma.plots.marks import arrows, clipped, diamond
from pyrobma.plots.rows import Rows
from pyrobma.plots.theme import INK, MIDDLE, with_unit

_NAMES: Final = 2.7  # inches for the names of the studies, at most
_NUMBERED: Final = 100  # estimates, beyond which there are no numbers
_POINT: Final = 1.77  # points per unit of size, as plotnine draws shapes
_AVERAGE: Final = {False: "Model-averaged effect", True: "Conditional effect"}
_PREDICTION: Final = "Prediction interval"
_MARKS: Final = {"estimate": "s", "true effect": "o", "mean by moderators": "|"}
_COLORS: Final = {"estimate": INK, "true effect": MIDDLE, "mean by moderators": INK}
_FILLS: Final = {"estimate": INK, "true effect": "white", "mean by moderators": INK}
_BESIDE: Final = 0.17  # lines between an estimate, or its true effect, and the middle
_EFFECTS: Final = [
    "estimate", "lower", "upper", "true_effect", "true_lower", "true_upper", "fitted"
]  # fmt: skip


def draw_forest(
    frame: pd.DataFrame,
    measure: Measure,
    *,
    conditional: bool = False,
    coverage: float = 0.95,
    note: str = "",
    width: float = 7.0,
    height: float | None = None,
) -> Any:
    """Draw a frame of `forest_frame`.

    Parameters
    ----------
    frame : DataFrame
        From `forest_frame`.
    measure : str
        Its output scale.
    conditional : bool
        Whether the average is over the models with an effect.
    coverage : float
        Of the intervals, for the heading of their column.
    note : str
        Below the name of the average: what it is at.
    width : float
        Inches.
    height : float, optional
        Inches, axis and legend included. None: as much as the rows need.

    Returns
    -------
    plotnine.ggplot
    """
    interval = f"Estimate [{100 * coverage:.4g}% CI]"
    lines = _lines(frame, measure, conditional, note).rename(
        columns={"interval": interval, "weight": "Weight"}
    )
    if measure == "OR":
        # Places on the axis; text has the ratios.
        with np.errstate(divide="ignore"):
            frame = frame.assign(
                **{
                    name: np.log10(frame[name].astype(np.float64))
                    for name in _EFFECTS
                    if name in frame
                }
            )
    low, high = _range(frame)
    both = bool(frame.loc[frame["part"] == "estimate", "true_effect"].notna().all())
    both |= "fitted" in frame
    numbered = int((frame["part"] == "estimate").sum()) <= _NUMBERED
    headings = (interval, "Weight") if numbered else ()
    rows = Rows(
        y=lines["y"].to_numpy(),
        names=lines["name"].tolist(),
        columns={heading: lines[heading].tolist() for heading in headings},
        low=low,
        high=high,
        bold=lines["bold"].tolist(),
        indented=lines["indented"].tolist(),
        title="Study",
        most=_NAMES,
        legend=both,
        width=width,
        tall=height,
    )
    frame = frame.assign(y=lines.loc[lines["row"] >= 0, "y"].to_numpy())
    return _figure(frame, rows, measure)


def _lines(
    frame: pd.DataFrame, measure: Measure, conditional: bool, note: str
) -> pd.DataFrame:
    """Return what is written, from top to bottom.

    Columns: ``row`` (of the frame; -1 for text alone), ``y``, ``name``,
    ``interval``, ``weight``, ``bold``, ``indented``.
    """
    clustered = bool(frame["cluster"].notna().any())
    intervals, weights = _numbers(frame, measure)
    names = {"average": _AVERAGE[conditional], "prediction": _PREDICTION}
    lines: list[tuple[int, float, str, str, str, bool, bool]] = []
    y, last = 0.0, object()
    for i, (part, cluster, study) in enumerate(
        zip(frame["part"], frame["cluster"], frame["study"], strict=True)
    ):
        study_row = part == "estimate"
        if study_row and clustered and cluster != last:
            y -= 1
            lines.append((-1, y, _heading(cluster), "", "", True, False))
            last = cluster
        y -= 1.5 if part == "average" else 1
        name = study if study_row else names[part]
        bold, indented = part == "average", study_row and clustered
        lines.append((i, y, name, intervals[i], weights[i], bold, indented))
        if note and part == "average":
            y -= 0.9
            lines.append((-1, y, note, "", "", False, True))
    return pd.DataFrame(
        lines,
        columns=["row", "y", "name", "interval", "weight", "bold", "indented"],
    )


def _heading(cluster: str | None) -> str:
    if cluster is None:
        return "Independent estimates"
    return f"Cluster {cluster}" if cluster.isdigit() else cluster


def _numbers(
    frame: pd.DataFrame, measure: Measure
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return estimates with their intervals, and weights, in words."""
    value, lower, upper = (frame[name].to_numpy(np.float64) for name in _EFFECTS[:3])
    intervals = interval_texts(value, lower, upper, measure)
    weights = tuple("" if np.isnan(w) else f"{w:.1f}%" for w in frame["weight"])
    return intervals, weights


def _range(frame: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis, which long intervals may leave."""
    columns = ["estimate", "lower", "upper", "true_lower", "true_upper"]
    linear = frame[columns].to_numpy(dtype=np.float64)
    linear = np.where(np.isfinite(linear), linear, np.nan)
    # A mean far out in a tail is outside of its interval.
    middle = np.fmax(np.fmin(linear[:, 0], linear[:, 2]), linear[:, 1])
    core = [*middle, *linear[-2:, 1:3].ravel()]
    low, high = float(np.nanmin(core)), float(np.nanmax(core))
    typical = linear[:, 2] - linear[:, 1]
    typical = typical[np.isfinite(typical)]
    reach = max(high - low, float(np.median(typical)) if typical.size else 0.0)
    reach = reach if reach > 0 else 1.0
    nothing = 0.0  # also the logarithm of an odds ratio of 1
    if low - reach <= nothing <= high + reach:
        low, high = min(low, nothing), max(high, nothing)
    ends = linear[:, 1:]
    low = min(low, max(float(np.nanmin(ends)), low - reach))
    high = max(high, min(float(np.nanmax(ends)), high + reach))
    margin = 0.02 * (high - low)
    return low - margin, high + margin


def _marks(frame: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    """Return estimates and true effects with their intervals, and how they are drawn.

    Columns: ``y``, ``x``, ``lower``, ``upper``, ``mark``, ``size``.
    """
    studies = frame[frame["part"] == "estimate"]
    both = rows.legend
    largest = 0.5 * rows.line * 72 / _POINT
    area = studies["weight"] / studies["weight"].max()
    marks = [
        pd.DataFrame(
            {
                "y": studies["y"] + (_BESIDE if both else 0.0),
                "x": studies["estimate"],
                "lower": studies["lower"],
                "upper": studies["upper"],
                "mark": "estimate",
                "size": np.maximum(largest * np.sqrt(area), 0.15 * largest),
            }
        )
    ]
    if studies["true_effect"].notna().all():
        marks.append(
            pd.DataFrame(
                {
                    "y": studies["y"] - 1.3 * _BESIDE,
                    "x": studies["true_effect"],
                    "lower": studies["true_lower"],
                    "upper": studies["true_upper"],
                    "mark": "true effect",
                    "size": 0.32 * largest,
                }
            )
        )
    if "fitted" in studies:
        marks.append(
            pd.DataFrame(
                {
                    "y": studies["y"] - 1.3 * _BESIDE,
                    "x": studies["fitted"],
                    "lower": studies["fitted"],
                    "upper": studies["fitted"],
                    "mark": "mean by moderators",
                    "size": 0.4 * largest,
                }
            )
        )
    return pd.concat(marks, ignore_index=True)


def _figure(frame: pd.DataFrame, rows: Rows, measure: Measure) -> Any:
    from plotnine import (
        aes,
        geom_point,
        geom_segment,
        ggplot,
        guide_legend,
        guides,
        scale_color_manual,
        scale_fill_manual,
        scale_shape_manual,
        scale_size_identity,
    )

    marks = clipped(_marks(frame, rows), rows.low, rows.high)
    shown = [m for m in _MARKS if (marks["mark"] == m).any()]
    points = marks[marks["x"].between(rows.low, rows.high)]  # a mean may be infinite
    pooled = clipped(frame.iloc[-2:], rows.low, rows.high)
    average, prediction = pooled.iloc[0], pooled.iloc[1]
    return (
        ggplot()
        + rows.reference(0.0)  # also the logarithm of an odds ratio of 1
        + rows.layers()
        + rows.rule(average["y"] + 0.75)
        + geom_segment(
            aes("lower", "y", xend="upper", yend="y", color="mark"),
            marks,
            size=rows.stroke,
            show_legend=False,
        )
        + geom_point(
            aes("x", "y", shape="mark", size="size", color="mark", fill="mark"),
            points,
            stroke=rows.stroke,
        )
        + [
            arrow
            for mark in shown
            for arrow in arrows(
                marks[marks["mark"] == mark],
                rows.low,
                rows.high,
                color=_COLORS[mark],
                size=0.1 * rows.line * 72 / _POINT + 0.4,
            )
        ]
        + diamond(average, "estimate", fill=INK, size=rows.stroke)
        + diamond(prediction, "estimate", fill="white", size=rows.stroke)
        + scale_shape_manual([_MARKS[m] for m in shown], breaks=shown)
        + scale_color_manual([_COLORS[m] for m in shown], breaks=shown)
        + scale_fill_manual([_FILLS[m] for m in shown], breaks=shown)
        + scale_size_identity()
        + guides(shape=guide_legend(override_aes={"size": 2.2}))
        + rows.axis(ratio=measure == "OR")
        + rows.frame(with_unit("Effect", measure))
    )
