"""Stage 7: a frame of estimates as a forest plot, a row for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma.effects import Measure
from pyrobma.effects.convert import RATIOS
from pyrobma.plots.forest_axis import axis_ends, on_axis
from pyrobma.plots.forest_text import Texts, own_columns
from pyrobma.plots.marks import arrows, clipped, diamond
from pyrobma.plots.rows import Rows
from pyrobma.plots.theme import INK, MIDDLE, SOFT, Size, with_unit

_NAMES: Final = 2.7  # inches for the names of the studies, at most
POINT: Final = 1.77  # points per unit of size, as plotnine draws shapes and lines
_AVERAGE: Final = {False: "Model-averaged effect", True: "Conditional effect"}
_PREDICTION: Final = "Prediction interval"
_BESIDE: Final = 0.17  # lines between an estimate, or its true effect, and the middle


@dataclass(frozen=True, slots=True)
class Mark:
    """How a mark of a forest plot looks."""

    shape: str
    color: str
    fill: str


MARKS: Final = {
    "estimate": Mark("s", INK, INK),
    "true effect": Mark("o", MIDDLE, "white"),
    "mean by moderators": Mark("|", INK, INK),
    "estimates": Mark("|", SOFT, SOFT),
    "their mean": Mark("s", INK, INK),
    "mean true effect": Mark("o", MIDDLE, "white"),
}
"""In a legend from left to right; the last three are of clusters."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a forest plot shows besides its frame, and at which size.

    Attributes
    ----------
    measure : str
        The output scale of the frame.
    conditional : bool
        Whether the average is over the models with an effect.
    coverage : float
        Of the intervals, for the heading of their column.
    note : str
        Below the name of the average: what it is at.
    xlim : sequence of two float, optional
        Ends of the axis. None: as the estimates need.
    cluster_name : str, optional
        What stands before the ids of clusters. None: "Cluster", before numbers only.
    texts : Texts
        Columns of text.
    asked : Size
        Of the figure.
    """

    measure: Measure
    conditional: bool = False
    coverage: float = 0.95
    note: str = ""
    xlim: Sequence[float] | None = None
    cluster_name: str | None = None
    texts: Texts = field(default_factory=Texts)
    asked: Size = field(default_factory=Size)


def draw_forest(
    frame: pd.DataFrame, look: Look, *, members: pd.DataFrame | None = None
) -> Any:
    """Draw a frame of `forest_frame`, a row for each estimate or cluster.

    Parameters
    ----------
    frame : DataFrame
        From `forest_frame`.
    look : Look
    members : DataFrame, optional
        Columns ``row`` (of the frame) and ``estimate``: the single estimates of rows
        that are clusters. None: no row is.

    Returns
    -------
    plotnine.ggplot
    """
    lines = _lines(frame, look)
    places = on_axis(frame, look.measure)
    low, high = axis_ends(places, look.measure, look.xlim)
    own = frame["part"].isin(["estimate", "cluster"])
    legend = bool(frame.loc[own, "true_effect"].notna().all()) or "fitted" in frame
    rows = fitting_rows(
        Rows(
            y=lines["y"].to_numpy(),
            names=lines["name"].tolist(),
            columns={},
            low=low,
            high=high,
            bold=lines["bold"].tolist(),
            indented=lines["indented"].tolist(),
            title="Study" if members is None else "Cluster",
            most=_NAMES,
            legend=legend,
            asked=look.asked,
        ),
        frame,
        look,
        lines["row"].tolist(),
    )
    places = places.assign(y=lines.loc[lines["row"] >= 0, "y"].to_numpy())
    if members is not None:
        at = places.loc[members["row"], "y"].to_numpy() + _BESIDE
        members = on_axis(members, look.measure).assign(y=at)
    return _figure(places, rows, look, members)


def fitting_rows(
    rows: Rows, frame: pd.DataFrame, look: Look, places: Sequence[int]
) -> Rows:
    """Return rows with their columns: without a wish, with as many as have room.

    Parameters
    ----------
    rows : Rows
        Without columns.
    frame : DataFrame
        From `forest_frame`.
    look : Look
    places : sequence of int
        Row of the frame on each line, or -1 for text alone.
    """

    def spread(texts: Sequence[str]) -> list[str]:
        return [texts[i] if 0 <= i < len(texts) else "" for i in places]

    texts = look.texts
    written = own_columns(frame, texts.own, look.measure, look.coverage)
    beside = [replace(c, texts=spread(c.texts)) for c in texts.beside]
    columns = {heading: spread(texts) for heading, texts in written.items()}
    found = replace(rows, columns=columns, beside=beside)
    while not (found.fits or texts.chosen) and (columns or beside):
        if len(columns) > 1 or not beside:
            columns.popitem()
        else:
            beside = []
        found = replace(rows, columns=dict(columns), beside=beside)
    return found


def pooled_lines(look: Look, y: float) -> list[tuple[str, float, str, bool, bool]]:
    """Return the part of a frame, place, name, and style of lines below the rule."""
    average = ("average", y - 1.5, _AVERAGE[look.conditional], True, False)
    lines = [average]
    if look.note:
        lines.append(("", y - 2.4, look.note, False, True))
    lines.append(("prediction", lines[-1][1] - 1.0, _PREDICTION, False, False))
    return lines


def pooled_marks(frame: pd.DataFrame, rows: Rows) -> list[Any]:
    """Return the diamonds, and the rule above them.

    Parameters
    ----------
    frame : DataFrame
        From `on_axis`, with the column ``y``.
    rows : Rows
    """
    below = clipped(frame.iloc[-2:], rows.low, rows.high)
    average, prediction = below.iloc[0], below.iloc[1]
    return [
        rows.rule(average["y"] + 0.75),
        diamond(average, "estimate", fill=INK, size=rows.stroke),
        diamond(prediction, "estimate", fill="white", size=rows.stroke),
        *arrows(below, rows.low, rows.high, color=INK, size=arrow_size(rows)),
    ]


def arrow_size(rows: Rows) -> float:
    """Return the size of arrows at the ends of the axis."""
    return 0.1 * rows.line * 72 / POINT + 0.4


def mark_scales(shown: Sequence[str]) -> list[Any]:
    """Return the scales of marks, whose legend has those that are shown."""
    import plotnine as p9

    return [
        p9.scale_shape_manual([MARKS[m].shape for m in shown], breaks=[*shown]),
        p9.scale_color_manual([MARKS[m].color for m in shown], breaks=[*shown]),
        p9.scale_fill_manual([MARKS[m].fill for m in shown], breaks=[*shown]),
        p9.scale_size_identity(),
        p9.guides(shape=p9.guide_legend(override_aes={"size": 2.2, "stroke": 0.45})),
    ]


def _lines(frame: pd.DataFrame, look: Look) -> pd.DataFrame:
    """Return what is written, from top to bottom.

    Columns: ``row`` (of the frame; -1 for text alone), ``y``, ``name``, ``bold``,
    ``indented``.
    """
    headed = frame["part"] == "estimate"
    clustered = bool(frame["cluster"].notna().any())
    lines: list[tuple[int, float, str, bool, bool]] = []
    y, last = 0.0, object()
    for i, (own, cluster, study) in enumerate(
        zip(headed, frame["cluster"], frame["study"], strict=True)
    ):
        if i == len(frame) - 2:
            break
        if own and clustered and cluster != last:
            y -= 1
            lines.append((-1, y, _heading(cluster, look), True, False))
            last = cluster
        y -= 1
        name = study if own else _heading(cluster, look)
        if own and clustered and study.isdigit() and cluster is None:
            name = _heading(study, look)  # the id of an independent estimate
        lines.append((i, y, name, False, own and clustered))
    for part, place, name, bold, indented in pooled_lines(look, y):
        row = {"average": len(frame) - 2, "prediction": len(frame) - 1}.get(part, -1)
        lines.append((row, place, name, bold, indented))
    return pd.DataFrame(lines, columns=["row", "y", "name", "bold", "indented"])


def _heading(cluster: str | None, look: Look) -> str:
    if cluster is None:
        return "Independent estimates"
    if look.cluster_name is not None:
        return f"{look.cluster_name} {cluster}".strip()
    return f"Cluster {cluster}" if cluster.isdigit() else cluster


def _marks(
    frame: pd.DataFrame, rows: Rows, members: pd.DataFrame | None
) -> pd.DataFrame:
    """Return estimates and true effects with their intervals, and how they are drawn.

    Columns: ``y``, ``x``, ``lower``, ``upper``, ``mark``, ``size``.
    """
    own = frame[frame["part"].isin(["estimate", "cluster"])]
    both = rows.legend
    largest = 0.5 * rows.line * 72 / POINT
    area = own["weight"].clip(lower=0) / own["weight"].max()
    clusters = members is not None
    found = [
        pd.DataFrame(
            {
                "y": own["y"] + (_BESIDE if both else 0.0),
                "x": own["estimate"],
                "lower": own["lower"],
                "upper": own["upper"],
                "mark": "their mean" if clusters else "estimate",
                "size": np.maximum(largest * np.sqrt(area), 0.15 * largest),
            }
        )
    ]
    if own["true_effect"].notna().all():
        found.append(
            pd.DataFrame(
                {
                    "y": own["y"] - 1.3 * _BESIDE,
                    "x": own["true_effect"],
                    "lower": own["true_lower"],
                    "upper": own["true_upper"],
                    "mark": "mean true effect" if clusters else "true effect",
                    "size": 0.32 * largest,
                }
            )
        )
    if members is not None:
        found.insert(0, _ticks(members, "estimates", 0.45 * largest))
    elif "fitted" in own:
        fitted = own.assign(y=own["y"] - 1.3 * _BESIDE, estimate=own["fitted"])
        found.append(_ticks(fitted, "mean by moderators", 0.4 * largest))
    return pd.concat(found, ignore_index=True)


def _ticks(frame: pd.DataFrame, mark: str, size: float) -> pd.DataFrame:
    x = frame["estimate"]
    places = {"y": frame["y"], "x": x, "lower": x, "upper": x}
    return pd.DataFrame({**places, "mark": mark, "size": size})


def _figure(
    frame: pd.DataFrame, rows: Rows, look: Look, members: pd.DataFrame | None
) -> Any:
    from plotnine import aes, geom_point, geom_segment

    from pyrobma.plots.canvas import Canvas

    marks = clipped(_marks(frame, rows, members), rows.low, rows.high)
    shown = [m for m in MARKS if (marks["mark"] == m).any()]
    points = marks[marks["x"].between(rows.low, rows.high)]  # a mean may be infinite
    return (
        Canvas()
        + rows.reference(0.0)  # also the logarithm of an odds ratio of 1
        + rows.layers()
        + geom_segment(
            aes("lower", "y", xend="upper", yend="y", color="mark"),
            marks.dropna(subset=["lower", "upper"]),
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
                color=MARKS[mark].color,
                size=arrow_size(rows),
            )
        ]
        + pooled_marks(frame, rows)
        + mark_scales(shown)
        + rows.axis(ratio=look.measure in RATIOS)
        + rows.frame(with_unit("Effect", look.measure))
    )
