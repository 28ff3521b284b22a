"""Stage 7: a frame of estimates as a forest plot that fits its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.effects import Measure
from pyrobma.plots.estimates import effect_axis, no_effect, number
from pyrobma.plots.text import cut, text_width
from pyrobma.plots.theme import INK, MIDDLE, theme_print, with_unit

_GAP: Final = 0.14  # inches between columns
_INDENT: Final = 0.12  # inches of estimates below the heading of their cluster
_NAMES: Final = 2.7  # inches for the names of the studies, at most
_PLOT: Final = 1.9  # inches for the intervals, at least
_DECADE: Final = 8.0  # ratio of odds ratios from which ticks are 1, 2, 5, 10
_PAGE: Final = 10.0  # inches that a figure fits if its text stays legible
_UNDER: Final = 0.8  # inches for axis and legend
_NUMBERED: Final = 100  # estimates, beyond which there are no numbers
_PAD: Final = 0.05  # inches at the edges
_POINT: Final = 1.77  # points per unit of size, as plotnine draws shapes
_WEIGHT: Final = "Weight"
_AVERAGE: Final = {False: "Model-averaged effect", True: "Conditional effect"}
_PREDICTION: Final = "Prediction interval"
_MARKS: Final = {"estimate": "s", "true effect": "o"}
_BESIDE: Final = 0.17  # lines between an estimate, or its true effect, and the middle


def draw_forest(
    frame: pd.DataFrame,
    measure: Measure,
    *,
    conditional: bool = False,
    coverage: float = 0.95,
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
    width : float
        Inches.
    height : float, optional
        Inches, axis and legend included. None: as much as the rows need.

    Returns
    -------
    plotnine.ggplot
    """
    interval = f"Estimate [{100 * coverage:.4g}% CI]"
    page = _Page.of(frame, measure, width, height, interval)
    return _figure(frame, page, _texts(page, _AVERAGE[conditional], interval))


@dataclass(frozen=True, slots=True)
class _Page:
    """Where everything goes: lines downwards, inches across.

    The panel is as wide as the figure, and columns of text have the room that their
    letters take, so that nothing is cut off or printed over something else.

    Attributes
    ----------
    y : array
        Height of each row of the frame; lines are 1 apart and the heading is at 0.
    headings : tuple of (float, str)
        Heights and names of the clusters.
    low, high : float
        Ends of the axis, linear (logarithms of odds ratios).
    left, right : float
        Their places, inches from the left.
    """

    measure: Measure
    y: FloatArray
    headings: tuple[tuple[float, str], ...]
    names: tuple[str, ...]
    numbers: tuple[str, ...]
    weights: tuple[str, ...]
    text: float
    line: float
    low: float
    high: float
    left: float
    right: float
    width: float
    height: float

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame,
        measure: Measure,
        width: float,
        height: float | None,
        interval: str,
    ) -> _Page:
        y, headings = _lines(frame)
        lines = 1.5 - float(y[-1])
        line, text = _line_and_text(lines, height)
        numbered = int((frame["part"] == "estimate").sum()) <= _NUMBERED
        numbers, weights = _numbers(frame, measure) if numbered else ((), ())
        right = width - _PAD
        for column, heading in ((weights, _WEIGHT), (numbers, interval)):
            if column:
                texts = text_width(column, text), text_width([heading], text, bold=True)
                right -= max(texts) + _GAP
        indent = _INDENT if headings else 0.0
        wanted = max(
            text_width(frame["study"].dropna(), text) + indent,
            text_width([*_AVERAGE.values(), _PREDICTION], text, bold=True),
            text_width([name for _, name in headings], text, bold=True),
        )
        room = min(wanted, _NAMES, right - _PLOT - _GAP)
        names = tuple(
            "" if pd.isna(name) else cut(name, room - indent, text)
            for name in frame["study"]
        )
        headings = tuple((at, cut(name, room, text)) for at, name in headings)
        low, high = _range(frame, measure)
        return cls(
            measure, y, headings, names, numbers, weights, text, line, low, high,
            _PAD + room + _GAP, right, width,
            lines * line + _UNDER if height is None else height,
        )  # fmt: skip

    def x(self, inches: float) -> float:
        """Return the value on the axis at a distance from the left edge."""
        scale = (self.high - self.low) / (self.right - self.left)
        return float(self.value(self.low + (inches - self.left) * scale))

    def value(self, linear: float | FloatArray) -> Any:
        """Return effects from their place on the linear axis."""
        return np.power(10.0, linear) if self.measure == "OR" else linear

    @property
    def bottom(self) -> float:
        """Height of the axis."""
        return float(self.y[-1]) - 0.75

    @property
    def breaks(self) -> FloatArray:
        """Values with ticks."""
        ends = self.value(np.array([self.low, self.high]))
        # About one per half inch keeps their numbers apart.
        n = int(np.clip((self.right - self.left) / 0.5, 3, 6))
        if self.measure == "OR" and ends[1] / ends[0] > _DECADE:
            return _log_breaks(float(ends[0]), float(ends[1]), 2 * n - 1)
        from mizani.breaks import breaks_extended

        values = np.asarray(breaks_extended(n=n)(tuple(ends)), dtype=np.float64)
        return np.asarray(values[(values >= ends[0]) & (values <= ends[1])])

    @property
    def title_place(self) -> float:
        """Justification of the axis title that puts it below the middle of the axis."""
        title = text_width([with_unit("Effect", self.measure)], self.text + 1)
        middle = (self.left + self.right) / 2
        return float(np.clip((middle - title / 2) / (self.width - title), 0, 1))


def _log_breaks(low: float, high: float, n: int) -> FloatArray:
    """Return at most `n` round values on a logarithmic axis, 1 among them."""
    powers = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for digits in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        values = np.sort(np.outer(10**powers, digits).ravel())
        values = values[(values >= low) & (values <= high)]
        if len(values) <= n:
            return values
    zero = int(np.argmin(np.abs(np.log10(values))))
    step = -(-len(values) // n)
    return values[zero % step :: step]


def _line_and_text(lines: float, height: float | None) -> tuple[float, float]:
    """Return the height of a line in inches and the size of its text in points."""
    line = ((height or _PAGE) - _UNDER) / lines
    if height is None:
        line = float(np.clip(line, 0.11, 0.235))
    return line, float(np.clip(0.75 * 72 * line, 4.0, 9.0))


def _lines(frame: pd.DataFrame) -> tuple[FloatArray, tuple[tuple[float, str], ...]]:
    """Return the height of each row, and of the headings of clusters."""
    clustered = frame["cluster"].notna().any()
    y, headings = [], []
    line, last = 0.0, object()
    for part, cluster in zip(frame["part"], frame["cluster"], strict=True):
        if part == "estimate" and clustered and cluster != last:
            line -= 1
            headings.append((line, _heading(cluster)))
            last = cluster
        line -= 1.5 if part == "average" else 1
        y.append(line)
    return np.array(y), tuple(headings)


def _heading(cluster: str | None) -> str:
    if cluster is None:
        return "Independent estimates"
    return f"Cluster {cluster}" if cluster.isdigit() else cluster


def _numbers(
    frame: pd.DataFrame, measure: Measure
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return estimates with their intervals, and weights, in words."""
    widths = (frame["upper"] - frame["lower"]).replace(np.inf, np.nan)
    own = measure == "none" and widths.median() > 0
    digits = int(np.clip(1 - np.floor(np.log10(widths.median())), 0, 6)) if own else 2
    intervals = tuple(
        f"{number(e, digits)} [{number(lo, digits)}, {number(hi, digits)}]"
        for e, lo, hi in zip(
            frame["estimate"], frame["lower"], frame["upper"], strict=True
        )
    )
    weights = tuple("" if np.isnan(w) else f"{w:.1f}%" for w in frame["weight"])
    return intervals, weights


def _range(frame: pd.DataFrame, measure: Measure) -> tuple[float, float]:
    """Return the ends of the axis, which long intervals may leave."""
    columns = ["estimate", "lower", "upper", "true_lower", "true_upper"]
    values = frame[columns].to_numpy(dtype=np.float64)
    with np.errstate(divide="ignore"):
        linear = np.log10(values) if measure == "OR" else values
    linear = np.where(np.isfinite(linear), linear, np.nan)
    middle = linear[:, 0]
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


def _texts(page: _Page, average: str, interval: str) -> pd.DataFrame:
    """Return all text: where it is and how it is set."""
    rows: list[tuple[float, float, str, str, str]] = []

    def put(inches: float, y: float, text: str, ha: str, bold: bool = False) -> None:
        # Dollar signs would start a formula.
        shown, weight = text.replace("$", r"\$"), "bold" if bold else "normal"
        rows.append((page.x(inches), y, shown, ha, weight))

    put(_PAD, 0, "Study", "left", True)
    for y, heading in page.headings:
        put(_PAD, y, heading, "left", True)
    indent = _INDENT if page.headings else 0.0
    for y, name in zip(page.y[:-2], page.names, strict=False):
        put(_PAD + indent, y, name, "left")
    put(_PAD, page.y[-2], average, "left", True)
    put(_PAD, page.y[-1], _PREDICTION, "left")
    right = page.width - _PAD
    for heading, column in ((_WEIGHT, page.weights), (interval, page.numbers)):
        if not column:
            continue
        put(right, 0, heading, "right", True)
        for y, text in zip(page.y, column, strict=True):
            put(right, y, text, "right", y == page.y[-2])
        used = (
            text_width(column, page.text),
            text_width([heading], page.text, bold=True),
        )
        right -= max(used) + _GAP
    return pd.DataFrame(rows, columns=["x", "y", "text", "ha", "weight"])


def _intervals(frame: pd.DataFrame, page: _Page) -> pd.DataFrame:
    """Return the lines of estimates and true effects, with arrows where they are cut.

    Columns: ``y``, ``x``, ``from``, ``to``, ``mark``, ``size`` and ``arrow`` ("", "<",
    ">" or "<>").
    """
    studies = frame["part"] == "estimate"
    rows = frame[studies]
    y = page.y[studies.to_numpy()]
    both = rows["true_effect"].notna().all()
    largest = 0.5 * page.line * 72 / _POINT
    area = rows["weight"] / rows["weight"].max()
    marks = [
        pd.DataFrame(
            {
                "y": y + (_BESIDE if both else 0.0),
                "x": rows["estimate"],
                "lower": rows["lower"],
                "upper": rows["upper"],
                "mark": "estimate",
                "size": np.maximum(largest * np.sqrt(area), 0.15 * largest),
            }
        )
    ]
    if both:
        marks.append(
            pd.DataFrame(
                {
                    "y": y - 1.3 * _BESIDE,
                    "x": rows["true_effect"],
                    "lower": rows["true_lower"],
                    "upper": rows["true_upper"],
                    "mark": "true effect",
                    "size": 0.32 * largest,
                }
            )
        )
    found = pd.concat(marks, ignore_index=True)
    low, high = (float(page.value(end)) for end in (page.low, page.high))
    found["from"] = found["lower"].clip(low, high)
    found["to"] = found["upper"].clip(low, high)
    found["before"] = found["lower"] < low
    found["beyond"] = found["upper"] > high
    return found


def _figure(frame: pd.DataFrame, page: _Page, texts: pd.DataFrame) -> Any:
    from plotnine import (
        aes,
        coord_cartesian,
        element_blank,
        element_text,
        geom_point,
        geom_polygon,
        geom_segment,
        geom_text,
        ggplot,
        guide_legend,
        guides,
        labs,
        scale_color_manual,
        scale_fill_manual,
        scale_shape_manual,
        scale_size_identity,
        scale_y_continuous,
        theme,
    )

    studies = _intervals(frame, page)
    low, high = (float(page.value(end)) for end in (page.low, page.high))
    centre, lower, upper = frame[["estimate", "lower", "upper"]].iloc[-2].to_numpy()
    at = float(page.y[-2])
    diamond = pd.DataFrame(
        {
            "x": np.clip([lower, centre, upper, centre], low, high),
            "y": at + np.array([0.0, 0.34, 0.0, -0.34]),
        }
    )
    ends = np.clip(frame[["lower", "upper"]].iloc[-1].to_numpy(float), low, high)
    at = float(page.y[-1])
    bar = pd.DataFrame(
        {
            "x": [ends[0], ends[0], ends[1]],
            "xend": [ends[1], ends[0], ends[1]],
            "y": [at, at - 0.22, at - 0.22],
            "yend": [at, at + 0.22, at + 0.22],
        }
    )
    axis = pd.DataFrame(
        {"x": [low], "xend": [high], "y": [page.bottom], "yend": [page.bottom]}
    )
    nothing = no_effect(page.measure)
    top = -0.42
    reference = pd.DataFrame(
        {"x": [nothing], "xend": [nothing], "y": [page.bottom], "yend": [top]}
    )
    edges = (page.x(0.0), page.x(page.width))
    rules = pd.DataFrame(
        {
            "x": edges[0],
            "xend": edges[1],
            "y": [top, float(page.y[-3]) - 0.75],
            "yend": [top, float(page.y[-3]) - 0.75],
        }
    )
    line = aes("x", "y", xend="xend", yend="yend")
    thin = 0.5 if page.text >= 7 else 0.35
    plot = ggplot()
    if low <= nothing <= high:
        plot += geom_segment(
            line, reference, color=MIDDLE, linetype="dashed", size=thin
        )
    plot = (
        plot
        + geom_segment(line, rules, color=INK, size=0.3)
        + geom_segment(line, axis, color=INK, size=0.5)
        + geom_segment(
            aes("from", "y", xend="to", yend="y", color="mark"),
            studies,
            size=thin,
            show_legend=False,
        )
        + geom_point(
            aes("x", "y", shape="mark", size="size", color="mark", fill="mark"),
            studies,
            stroke=thin,
        )
    )
    for side, shape, edge in (("before", "<", low), ("beyond", ">", high)):
        arrows = studies[studies[side]].assign(edge=edge)
        if len(arrows):
            plot += geom_point(
                aes("edge", "y", color="mark"),
                arrows,
                shape=shape,
                size=0.1 * page.line * 72 / _POINT + 0.4,
                show_legend=False,
            )
    for (ha, weight), some in texts.groupby(["ha", "weight"], sort=False):
        plot += geom_text(
            aes("x", "y", label="text"),
            some,
            ha=ha,
            va="center_baseline",
            fontweight=weight,
            size=page.text,
            color=INK,
        )
    shown = [m for m in _MARKS if (studies["mark"] == m).any()]
    colors = {"estimate": INK, "true effect": MIDDLE}
    fills = {"estimate": INK, "true effect": "white"}
    plot = (
        plot
        + geom_polygon(aes("x", "y"), diamond, fill=INK, color=INK, size=thin)
        + geom_segment(line, bar, color=INK, size=2 * thin)
        + scale_shape_manual([_MARKS[m] for m in shown], breaks=shown)
        + scale_color_manual([colors[m] for m in shown], breaks=shown)
        + scale_fill_manual([fills[m] for m in shown], breaks=shown)
        + scale_size_identity()
        + guides(shape=guide_legend(override_aes={"size": 2.2}))
        + effect_axis(page.measure, breaks=page.breaks, minor_breaks=[])
        + scale_y_continuous(breaks=[])
        + coord_cartesian(xlim=edges, ylim=(page.bottom, 0.75), expand=False)
        + labs(x=with_unit("Effect", page.measure))
        + theme_print(width=page.width, height=page.height, base_size=9)
        + theme(
            plot_margin=0,
            axis_line=element_blank(),
            axis_title_y=element_blank(),
            axis_text_x=element_text(size=max(page.text, 7)),
            axis_title_x=element_text(size=page.text + 1, ha=page.title_place),
            legend_text=element_text(size=max(page.text, 7)),
            legend_margin=0,
            legend_box_margin=0,
            legend_box_spacing=0.06 / max(page.height, page.width),
        )
    )
    if len(shown) < 2:
        plot += theme(legend_position="none")
    return plot
