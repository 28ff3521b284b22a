"""Stage 7: densities of several levels, over each other or a row each."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.effects import Measure
from pyrobma.effects.convert import RATIOS
from pyrobma.plots.intervals import interval_texts
from pyrobma.plots.marks import arrows, clipped
from pyrobma.plots.names import plain, short_names
from pyrobma.plots.numbers import number, short
from pyrobma.plots.palette import COLORS, LINETYPES, legend_columns
from pyrobma.plots.posterior_drawing import alone, density_figure, density_top
from pyrobma.plots.rows import Rows
from pyrobma.plots.text import one_line
from pyrobma.plots.theme import FILL, INK, MIDDLE, Page, Size

_MOST: Final = len(COLORS)
_SAME: Final = 1e-3  # of the peak: two curves that look equal
_NAMES: Final = 2.5  # inches for the names of levels in rows
_BESIDE: Final = 0.9  # inches beside a name in a legend
_LINES: Final = (1.3, 2.4)  # of text that a row with a density takes
_FOOT: Final = 1e-2  # of a peak: where a posterior ends
_BEYOND: Final = 0.3  # of the width of the posteriors: how far priors go beyond
_PAGE: Final = 36.0  # lines
_CURVE: Final = 0.92  # of a row, the highest of the curves
_BAR: Final = 0.04  # inches, the width of a bar
_BELOW: Final = 0.35  # lines from a name to the foot of its curve


def draw_levels(
    frame: pd.DataFrame,
    *,
    symbol: str,
    title: str,
    heading: str,
    measure: Measure,
    asked: Size,
) -> Any:
    """Draw densities of several levels.

    Parameters
    ----------
    frame : DataFrame
        From `quantities_frame`.
    symbol : str
        Of a value, for the labels of spikes.
    title : str
        Of the horizontal axis.
    heading : str
        Of the names of levels.
    measure : str
        Of the values.
    asked : Size

    Returns
    -------
    plotnine.ggplot
        Up to six levels are curves in one panel if their spikes are equal; else each
        level is a row.
    """
    names = list(dict.fromkeys(frame["level"]))
    frame = _worth_drawing(frame)
    if len(names) > _MOST or not _equal_spikes(frame):
        return _by_rows(frame, names, title, heading, measure, asked)
    return _together(frame, names, symbol, title, asked.page())


def draw_intervals(
    frame: pd.DataFrame,
    *,
    title: str,
    heading: str,
    measure: Measure,
    coverage: float,
    reference: float,
    asked: Size,
) -> Any:
    """Draw means of several levels with intervals, a line each.

    Parameters
    ----------
    frame : DataFrame
        From `quantities_frame`, of which intervals are drawn.
    title, heading, measure, asked
        As in `draw_levels`; odds ratios are on a logarithmic axis.
    coverage : float
        Of the intervals, for the heading of their column.
    reference : float
        Where a dashed line is.
    """
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    ratio = measure in RATIOS
    place = np.log10 if ratio else np.asarray
    shown = frame[frame["kind"] == "interval"].reset_index(drop=True)
    texts = interval_texts(*_interval(shown), measure)
    shown = shown.assign(
        y=-1.0 - np.arange(len(shown)),
        **{name: place(shown[name].to_numpy()) for name in ("x", "lower", "upper")},
    )
    at = float(place(reference))
    low, high = _range(shown, at)
    rows = Rows(
        y=shown["y"].to_numpy(),
        names=shown["level"].tolist(),
        columns={f"Mean [{100 * coverage:.4g}% CI]": texts},
        low=low,
        high=high,
        bold=[False] * len(shown),
        indented=[False] * len(shown),
        title=one_line(heading),
        most=_NAMES,
        shorten=short_names,
        asked=asked,
    )
    marks = clipped(shown, low, high)
    return (
        Canvas()
        + rows.reference(at)
        + rows.layers()
        + p9.geom_segment(
            p9.aes("lower", "y", xend="upper", yend="y"),
            marks,
            color=INK,
            size=rows.stroke,
        )
        + arrows(marks, low, high, color=INK, size=1.0)
        + p9.geom_point(
            p9.aes("x", "y"),
            marks[marks["x"].between(low, high)],
            shape="s",
            color=INK,
            size=1.6,
        )
        + rows.axis(ratio=ratio)
        + rows.frame(title)
    )


def _range(shown: pd.DataFrame, reference: float) -> tuple[float, float]:
    """Return the ends of the axis, which long intervals may leave."""
    values = shown[["x", "lower", "upper"]].to_numpy(dtype=float)
    values = np.where(np.isfinite(values), values, np.nan)
    middle = values[:, 0]
    reach = float(np.nanmax(middle) - np.nanmin(middle))
    reach = max(reach, 2 * float(np.nanmedian(values[:, 2] - values[:, 1]))) or 1.0
    low = max(float(np.nanmin(values)), float(np.nanmin(middle)) - reach)
    high = min(float(np.nanmax(values)), float(np.nanmax(middle)) + reach)
    if low - reach <= reference <= high + reach:
        low, high = min(low, reference), max(high, reference)
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _worth_drawing(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame without the ends of curves far from all posteriors."""
    is_curve = frame["kind"] == "density"
    posterior = frame[is_curve & (frame["which"] == "posterior")]
    if posterior.empty:
        return frame
    peaks = posterior.groupby("level")["density"].transform("max")
    x = posterior.loc[posterior["density"] > _FOOT * peaks, "x"]
    reach = _BEYOND * float(np.ptp(x))
    near = frame["x"].between(x.min() - reach, x.max() + reach)
    return frame[near | ~is_curve]


def _equal_spikes(frame: pd.DataFrame) -> bool:
    """Whether the models fix all levels at one value with one probability."""
    spikes = frame[frame["kind"] == "spike"]
    if spikes.empty:
        return True
    for _, some in spikes.groupby("which"):
        every = some.groupby("level")["probability"].count()
        if len(every) < frame["level"].nunique() or (every != 1).any():
            return False
        if np.ptp(some["x"]) > 0 or not np.allclose(
            some["probability"], some["probability"].iloc[0], atol=1e-9
        ):
            return False
    return True


def _together(
    frame: pd.DataFrame, names: list[str], symbol: str, title: str, page: Page
) -> Any:
    import plotnine as p9

    # A level may be called as the prior is: keys are numbers.
    keys = {name: str(i) for i, name in enumerate(names)}
    curves = frame[frame["kind"] == "density"]
    posterior = curves[curves["which"] == "posterior"]
    posterior = posterior.assign(key=posterior["level"].map(keys))
    prior = _distinct(curves[curves["which"] == "prior"]).assign(key="prior")
    shown = [*keys.values(), *(["prior"] if len(prior) else [])]
    short = short_names(names, page.width - _BESIDE, page.points(8.0))
    labels = [plain(name) for name in short]
    labels += ["prior"] if len(prior) else []
    colors = dict(zip(keys.values(), COLORS, strict=False))
    types = dict(zip(keys.values(), LINETYPES, strict=False))
    spikes = frame[(frame["kind"] == "spike") & (frame["level"] == names[0])]
    # One layer: of two, a legend would draw the dashes over each other.
    layers = [
        p9.geom_path(
            p9.aes("x", "density", color="key", linetype="key", group="level + key"),
            pd.concat([prior, posterior]),
            size=0.8,
        )
    ]
    layers += [
        p9.scale_color_manual(
            {**colors, "posterior": INK, "prior": MIDDLE}, breaks=shown, labels=labels
        ),
        p9.scale_linetype_manual(
            {**types, "prior": "dashed"}, breaks=shown, labels=labels
        ),
    ]
    columns = legend_columns(labels, page, key=34)
    return (
        density_figure(
            layers, curves, spikes, symbol=symbol, title=title, **alone(page)
        )
        + p9.guides(
            color=p9.guide_legend(ncol=columns), linetype=p9.guide_legend(ncol=columns)
        )
        + p9.theme(
            legend_key_width=34,
            legend_box_spacing=0.02,
            legend_position="bottom" if len(shown) > 1 else "none",
        )
    )


def _distinct(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of which there is no equal one; equal dashes would fill up."""
    kept: list[pd.DataFrame] = []
    for _, curve in curves.groupby("level", sort=False):
        if not any(_look_equal(curve, other) for other in kept):
            kept.append(curve)
    return pd.concat(kept) if kept else curves


def _look_equal(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    heights = np.interp(other["x"], one["x"], one["density"])
    gap = np.abs(heights - other["density"]).max()
    return bool(gap <= _SAME * other["density"].max())


def _by_rows(
    frame: pd.DataFrame,
    names: list[str],
    title: str,
    heading: str,
    measure: Measure,
    asked: Size,
) -> Any:
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    tall = float(np.clip(_PAGE / len(names), *_LINES))
    curves, spikes = (frame[frame["kind"] == kind] for kind in ("density", "spike"))
    foot = {name: -tall * (i + 1.0) - _BELOW for i, name in enumerate(names)}
    top = (
        max(
            density_top(some, spikes[spikes["level"] == level])
            for level, some in curves.groupby("level", sort=False)
        )
        if len(curves)
        else 1.0
    )
    unit = _CURVE * tall / top
    low, high = float(frame["x"].min()), float(frame["x"].max())
    margin = 0.02 * (high - low) or 0.5
    rows = Rows(
        y=np.array([foot[name] + _BELOW for name in names]),
        names=names,
        columns=_columns(frame, names, measure),
        low=low - margin,
        high=high + margin,
        bold=[False] * len(names),
        indented=[False] * len(names),
        title=one_line(heading),
        most=_NAMES,
        shorten=short_names,
        asked=asked,
        legend=bool((curves["which"] == "prior").any()),
    )
    curves = curves.assign(
        foot=curves["level"].map(foot),
        y=curves["level"].map(foot) + unit * curves["density"],
        group=curves["level"] + curves["which"],
    )
    bars = spikes.assign(
        foot=spikes["level"].map(foot),
        top=spikes["level"].map(foot) + _CURVE * tall * spikes["probability"],
        **_sides(spikes, rows.x(_BAR) - rows.x(0.0)),
    )
    posterior = curves[curves["which"] == "posterior"]
    feet = pd.DataFrame({"y": list(foot.values())}).assign(x=rows.low, to=rows.high)
    return (
        Canvas()
        + p9.geom_segment(
            p9.aes("x", "y", xend="to", yend="y"), feet, color=FILL, size=0.4
        )
        + p9.geom_ribbon(
            p9.aes("x", ymin="foot", ymax="y", group="group"),
            posterior,
            fill=FILL,
            color="none",
        )
        + p9.geom_path(
            p9.aes("x", "y", group="group", linetype="which", color="which"),
            curves,
            size=0.6,
        )
        + [
            p9.geom_rect(
                p9.aes(xmin="start", xmax="end", ymin="foot", ymax="top"),
                some,
                fill=INK if which == "posterior" else MIDDLE,
            )
            for which, some in bars.groupby("which")
        ]
        + p9.scale_linetype_manual({"posterior": "solid", "prior": "dashed"})
        + p9.scale_color_manual({"posterior": INK, "prior": MIDDLE})
        + rows.layers()
        + rows.axis()
        + rows.frame(title)
    )


def _sides(spikes: pd.DataFrame, wide: float) -> dict[str, pd.Series[float]]:
    """Return the ends of bars: of posterior and prior beside each other."""
    beside = (spikes["which"] == "prior").any()
    start = np.where(spikes["which"] == "prior", 0.0, -wide if beside else -wide / 2)
    return {"start": spikes["x"] + start, "end": spikes["x"] + start + wide}


def _columns(
    frame: pd.DataFrame, names: list[str], measure: Measure
) -> dict[str, list[str]]:
    """Return what is written beside the rows: intervals, and the spikes if simple."""
    intervals = frame[frame["kind"] == "interval"].set_index("level").loc[names]
    found = {"Mean [95% CI]": [*interval_texts(*_interval(intervals), measure)]}
    spikes = frame[(frame["kind"] == "spike") & (frame["which"] == "posterior")]
    values = spikes["x"].unique()
    if len(values) == 1 and not spikes["level"].duplicated().any():
        chance = spikes.set_index("level")["probability"].reindex(names)
        found[f"P(= {short(values[0])})"] = [number(p, 3) for p in chance]
    return found


def _interval(rows: pd.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray]:
    x, lower, upper = (rows[name].to_numpy(float) for name in ("x", "lower", "upper"))
    return x, lower, upper
