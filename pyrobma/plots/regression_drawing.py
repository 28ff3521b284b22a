"""Stage 7: estimates against a number, with lines."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.effects import Measure
from pyrobma.effects.convert import RATIOS
from pyrobma.plots.names import plain, short_names
from pyrobma.plots.numbers import plain_labels
from pyrobma.plots.palette import COLORS, LINETYPES, SHAPES, legend_columns
from pyrobma.plots.theme import FILL, INK, MIDDLE, Page, Size, theme_print, with_unit

_TOGETHER: Final = 4  # lines in one panel; more have a panel each
_ACROSS: Final = 3  # panels
_WIDE: Final = 5.0  # inches for so many
_LARGEST: Final = 6.5  # of the bubbles, in the unit of shapes
_SMALLEST: Final = 0.8
_FEW: Final = 40  # estimates, beyond which bubbles shrink
_REACH: Final = 0.35  # of the range of what matters: how far a wide band may go
_THIN: Final = "Thin lines: mean effect over models without publication bias."
_EDGE: Final = 0.03  # of the range of the number, to either side
_LIGHT: Final = "#efefef"
_AXIS: Final = 0.7  # inches beside all panels
_BESIDE: Final = 0.9  # inches beside a name in a legend


def draw_lines(
    frame: pd.DataFrame,
    measure: Measure,
    *,
    x: str,
    conditional: bool,
    coverage: float,
    asked: Size,
) -> Any:
    """Draw a frame of `regression_frame` for a number.

    Parameters
    ----------
    frame : DataFrame
        From `regression_frame`.
    measure : str
        Its output scale.
    x : str
        Title of the horizontal axis.
    conditional : bool
        Whether only models with the term were averaged.
    coverage : float
        Of the bands, for the legend.
    asked : Size

    Returns
    -------
    plotnine.ggplot
    """
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    levels = list(dict.fromkeys(frame.loc[frame["kind"] == "mean", "level"]))
    frame = frame.assign(
        level=pd.Categorical(frame["level"], list(dict.fromkeys([*levels, ""])))
    )
    low, high = _limits(frame, measure)
    left, right = float(frame["x"].min()), float(frame["x"].max())
    spare = _EDGE * (right - left)
    frame = _inside(frame, measure, low, high)
    names = _Names(f"{100 * coverage:.4g} %")
    together = 1 < len(levels) <= _TOGETHER
    panels = len(levels) > _TOGETHER
    across = _ACROSS if (asked.width or 6.5) >= _WIDE else 2
    rows = -(-len(levels) // across)
    page = asked.page(height=1.2 + 2.0 * rows if panels else 4.2)
    parts = _colored(frame, levels, page) if together else _grey(frame, names, page)
    scale = p9.scale_y_log10 if measure in RATIOS else p9.scale_y_continuous
    title = with_unit("Conditional effect" if conditional else "Effect", measure)
    return (
        Canvas()
        # First: a whole theme replaces the parts of it that came before.
        + theme_print(page)
        + p9.theme(legend_box_spacing=0.02, legend_key_width=26)
        + parts
        + (_panels(levels, across, page) if panels else [])
        + scale(labels=plain_labels)
        + p9.scale_x_continuous(labels=plain_labels)
        + p9.scale_size_identity()
        + p9.coord_cartesian(
            xlim=(left - spare, right + spare), ylim=(low, high), expand=False
        )
        + p9.labs(x=plain(x), y=title)
    )


class _Names:
    """Keys of the legend."""

    def __init__(self, coverage: str) -> None:
        self.mean = f"mean effect, {coverage} interval"
        self.new = f"true effect of a new study, {coverage} interval"
        self.adjusted = "mean effect, all models"
        self.plain = "mean effect, models without bias"


def _grey(frame: pd.DataFrame, names: _Names, page: Page) -> list[Any]:
    """Return bands, estimates and lines of one level, or of a panel for each."""
    import plotnine as p9

    mean, unbiased = (frame[frame["kind"] == kind] for kind in ("mean", "unadjusted"))
    fills = {names.new: _LIGHT, names.mean: FILL}
    bands = pd.concat(
        [
            mean.assign(low=mean["new_lower"], high=mean["new_upper"], band=names.new),
            mean.assign(low=mean["lower"], high=mean["upper"], band=names.mean),
        ]
    )
    bands["band"] = pd.Categorical(bands["band"], list(fills))
    lines = pd.concat(
        [mean.assign(line=names.adjusted), unbiased.assign(line=names.plain)]
    )
    return [
        p9.geom_ribbon(
            p9.aes("x", ymin="low", ymax="high", fill="band"), bands, color="none"
        ),
        _bubbles(frame),
        p9.geom_line(
            p9.aes("x", "effect", linetype="line"),
            lines.dropna(subset=["effect"]),
            size=0.8,
            color=INK,
            show_legend=bool(len(unbiased)),
        ),
        p9.scale_fill_manual(fills, breaks=[names.mean, names.new]),
        p9.scale_linetype_manual({names.adjusted: "solid", names.plain: "dashed"}),
        p9.guides(
            fill=p9.guide_legend(order=2, ncol=legend_columns([*fills], page, key=26)),
            linetype=p9.guide_legend(
                order=1,
                ncol=legend_columns([names.adjusted, names.plain], page, key=26),
            ),
        ),
        p9.theme(legend_box="vertical", legend_direction="horizontal"),
    ]


def _colored(frame: pd.DataFrame, levels: list[str], page: Page) -> list[Any]:
    """Return bands, estimates and lines of a few levels in one panel."""
    import plotnine as p9

    other = frame[(frame["kind"] == "estimate") & ~frame["level"].isin(levels)]
    some = frame.drop(other.index)
    some["level"] = some["level"].cat.set_categories(levels)
    mean, unbiased, own = (
        some[some["kind"] == kind] for kind in ("mean", "unadjusted", "estimate")
    )
    short = short_names(levels, page.width - _BESIDE, page.points(8.0))
    labels = [plain(name) for name in short]

    def scale(make: Any, values: Any) -> Any:
        shown = dict(zip(levels, values, strict=False))
        return make(shown, breaks=levels, labels=labels)

    columns = legend_columns(labels, page, key=26)
    return [
        p9.geom_ribbon(
            p9.aes("x", ymin="lower", ymax="upper", fill="level"),
            mean,
            color="none",
            alpha=0.15,
        ),
        _bubbles(other),
        p9.geom_point(
            p9.aes("x", "effect", size="size", color="level", shape="level"),
            own,
            fill="none",
            stroke=0.5,
            show_legend=False,
        ),
        *(
            p9.geom_line(
                p9.aes("x", "effect", color="level", linetype="level"),
                lines.dropna(subset=["effect"]),
                size=size,
                show_legend=shown,
            )
            for lines, size, shown in ((unbiased, 0.35, False), (mean, 0.9, True))
            if len(lines)
        ),
        scale(p9.scale_color_manual, COLORS),
        scale(p9.scale_fill_manual, COLORS),
        scale(p9.scale_linetype_manual, LINETYPES),
        scale(p9.scale_shape_manual, SHAPES),
        p9.guides(
            **{
                name: p9.guide_legend(ncol=columns)
                for name in ("color", "fill", "linetype")
            }
        ),
        *([p9.labs(caption=_THIN)] if len(unbiased) else []),
        p9.theme(plot_caption=p9.element_text(size=page.points(8.0), ha="left")),
    ]


def _bubbles(frame: pd.DataFrame) -> Any:
    import plotnine as p9

    return p9.geom_point(
        p9.aes("x", "effect", size="size"),
        frame[frame["kind"] == "estimate"],
        shape="o",
        fill="none",
        color=MIDDLE,
        stroke=0.5,
        show_legend=False,
    )


def _panels(levels: list[str], across: int, page: Page) -> list[Any]:
    import plotnine as p9

    room = (page.width - _AXIS) / across
    short = [plain(name) for name in short_names(levels, room, page.points(8.0))]
    texts = dict(zip(levels, short, strict=True))
    return [
        p9.facet_wrap("level", ncol=across, labeller=p9.labeller(level=texts.get)),
        p9.theme(
            strip_text=p9.element_text(
                color=INK, size=page.points(8.0), weight="normal"
            ),
            panel_spacing=0.02,
        ),
    ]


def _limits(frame: pd.DataFrame, measure: Measure) -> tuple[float, float]:
    """Return the ends of the axis, which the band of a new study may leave."""
    inner = _places(frame[["effect", "lower", "upper"]].to_numpy(float), measure)
    inner = inner[np.isfinite(inner)]
    low, high = float(inner.min()), float(inner.max())
    reach = _REACH * (high - low) or 0.5
    outer = _places(frame[["new_lower", "new_upper"]].to_numpy(float), measure)
    outer = outer[~np.isnan(outer)]
    low = max(low - reach, min(low, float(outer.min())))
    high = min(high + reach, max(high, float(outer.max())))
    spare = 0.04 * (high - low)
    if measure in RATIOS:
        return float(10 ** (low - spare)), float(10 ** (high + spare))
    return low - spare, high + spare


def _places(values: FloatArray, measure: Measure) -> FloatArray:
    """Return places on the axis."""
    if measure not in RATIOS:
        return values
    with np.errstate(divide="ignore"):
        return np.log10(values)


def _inside(
    frame: pd.DataFrame, measure: Measure, low: float, high: float
) -> pd.DataFrame:
    """Return what is inside of the axis, cut at its ends, and sizes of bubbles."""
    columns = ["effect", "lower", "upper", "new_lower", "new_upper"]
    cut_off = {name: frame[name].clip(low, high) for name in columns}
    weight = frame["weight"].clip(lower=0)  # a generalised one may be negative
    n = int(weight.notna().sum())
    largest = _LARGEST * min(1.0, (_FEW / n) ** 0.25)
    size = np.maximum(largest * np.sqrt(weight / weight.max()), _SMALLEST)
    # A correlation of 1 or -1 may convert to infinity.
    effect = _places(frame["effect"].to_numpy(dtype=float), measure)
    shown = (frame["kind"] != "estimate") | np.isfinite(effect)
    return frame.assign(size=size, **cut_off)[shown]
