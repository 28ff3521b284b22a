"""Stage 7: the radial plot, in which effects are slopes."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.special import ndtri

from pyrobma._types import FloatArray
from pyrobma.effects import Measure, transform_effect
from pyrobma.effects.convert import RATIOS
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.published import adjusted_estimates, averaged_mean
from pyrobma.ensemble.scales import check_output_scale, data_sd
from pyrobma.plots.numbers import plain_labels
from pyrobma.plots.palette import legend_columns
from pyrobma.plots.point_labels import Ends, named_points
from pyrobma.plots.text import text_width
from pyrobma.plots.theme import (
    FILL,
    INK,
    MIDDLE,
    Page,
    Size,
    theme_print,
    with_unit,
)
from pyrobma.plots.ticks import ratio_ticks, value_ticks

ESTIMATE: Final = "estimate"
SAMPLING: Final = "sampling error"
HETEROGENEITY: Final = "heterogeneity"

_Z: Final = float(ndtri(0.975))
_LINES: Final = 61
_HEIGHT: Final = 4.6  # inches
_EDGE: Final = 0.02  # of the axis of effects
_MANY: Final = 100
_NAMED: Final = 6
_LEGEND: Final = {
    SAMPLING: "95% with sampling error",
    HETEROGENEITY: "95% with heterogeneity",
}


def radial_frame(ensemble: Ensemble) -> pd.DataFrame:
    """Return the coordinates of a radial plot.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.

    Returns
    -------
    DataFrame
        Columns ``part``, ``study``, ``precision`` (1 / se), ``z``, ``lower``,
        ``upper``, on the measure of the likelihood. Rows with the part "estimate":
        ``z`` is the estimate over its standard error, less what moderators add to its
        mean. "sampling error" and "heterogeneity": along the precision the averaged
        mean μ over the standard error, and where 95 % of estimates are expected:
        ``z ± 1.96`` with sampling error only, ``z ± 1.96 √(1 + τ²/se²)`` with the
        posterior median τ of the heterogeneity.

    References
    ----------
    .. [1] Galbraith R. F. (1988). Graphical display of estimates having differing
       standard errors. Technometrics 30(3). doi:10.1080/00401706.1988.10488400
    """
    effects = ensemble.task.effects
    mean = averaged_mean(ensemble)
    tau = ensemble.mixture("tau").quantiles([0.5])[0]
    spread = float(data_sd(ensemble.task, np.asarray(tau)))
    x = np.linspace(0.0, 1.04 * float((1 / effects.se).max()), _LINES)
    parts = [
        pd.DataFrame(
            {
                "part": ESTIMATE,
                "study": list(effects.names),
                "precision": 1 / effects.se,
                "z": adjusted_estimates(ensemble) / effects.se,
            }
        )
    ]
    for name, sd in ((SAMPLING, np.ones(_LINES)), (HETEROGENEITY, None)):
        half = _Z * (np.hypot(1.0, spread * x) if sd is None else sd)
        parts.append(
            pd.DataFrame(
                {
                    "part": name,
                    "precision": x,
                    "z": mean * x,
                    "lower": mean * x - half,
                    "upper": mean * x + half,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def plot_radial(
    ensemble: Ensemble,
    *,
    output_scale: Measure | None = None,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw estimates over their standard errors against their precision.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    output_scale : str, optional
        Measure of the effects on the axis to the right, as in `Ensemble.mixture`. None:
        the prior scale.
    width, height, text_size : float, optional
        Inches, inches and points. None: 6.5 by 4.6 and 10, or in proportion.

    Returns
    -------
    plotnine.ggplot
        The effect of an estimate is where a line from the origin through its point
        meets the axis to the right: precise studies are far from the origin, and
        vertical distances are in standard errors. With moderators, estimates are as
        they would be at their reference.

    Raises
    ------
    DataError
        On an unknown scale or a size that is none.
    """
    page = Size(width, height, text_size).page(height=_HEIGHT)
    check_output_scale(ensemble.task, output_scale)
    return draw_radial(radial_frame(ensemble), ensemble, output_scale, page)


def draw_radial(
    frame: pd.DataFrame,
    ensemble: Ensemble,
    output_scale: Measure | None,
    page: Page,
) -> Any:
    """Draw a frame of `radial_frame` on a page."""
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    measure = check_output_scale(ensemble.task, output_scale)
    points = frame[frame["part"] == ESTIMATE]
    sampling, spread = (
        frame[frame["part"] == name] for name in (SAMPLING, HETEROGENEITY)
    )
    right = float(frame["precision"].max())
    values = frame[["z", "lower", "upper"]].to_numpy(dtype=float)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    spare = 0.04 * (high - low)
    low, high = low - spare, high + spare
    size = page.points(8.0)
    ticks = _effect_ticks(ensemble, measure, low, high, right, page)
    title = with_unit("Effect", measure)
    room = 0.12 + text_width([*ticks["text"], "0"], size) + 1.6 * page.text / 72
    unit = right / (page.width - 0.75 - room)
    ends = Ends((0.0, right + room * unit), (low, high))
    far = (points["z"] - np.interp(
        points["precision"], sampling["precision"], sampling["z"]
    )).abs().to_numpy()  # fmt: skip
    named = np.argsort(-far)[:_NAMED]
    named = named[far[named] > _Z]
    outline = pd.concat(
        [
            spread.assign(edge=spread[side], side=side, region=_LEGEND[HETEROGENEITY])
            for side in ("lower", "upper")
        ]
    )
    labels = list(_LEGEND.values())
    estimate = "Adjusted estimate" if ensemble.unknowns.terms else "Estimate"
    return (
        Canvas(points, p9.aes("precision", "z"))
        + p9.geom_ribbon(
            p9.aes(ymin="lower", ymax="upper", fill="region"),
            sampling.assign(region=_LEGEND[SAMPLING]),
        )
        + p9.geom_line(
            p9.aes(y="edge", group="side", linetype="region"), outline, color=MIDDLE,
            size=0.5,
        )
        + p9.geom_line(data=sampling, color=INK, size=0.5)
        + p9.geom_point(
            fill="white", color=INK, shape="o", stroke=0.45,
            size=2.2 if len(points) <= _MANY else 1.4,
        )
        + named_points(
            points["precision"].to_numpy(), points["z"].to_numpy(),
            points["study"].tolist(), named, ends, page, right=right,
        )
        + p9.geom_segment(
            p9.aes(x="x", y="y", xend="x", yend="end"),
            pd.DataFrame({"x": [right], "y": [low], "end": [high]}),
            color=INK, size=0.5,
        )
        + p9.geom_segment(
            p9.aes(x="x", y="y", xend="end", yend="y"),
            ticks.assign(x=right, end=right + 0.05 * unit),
            color=INK, size=0.5,
        )
        + p9.geom_text(
            p9.aes(x="x", y="y", label="text"),
            ticks.assign(x=right + 0.1 * unit),
            ha="left", size=size, color=INK,
        )
        + p9.annotate(
            "text", x=ends.x[1] - 0.5 * page.text / 72 * unit, y=(low + high) / 2,
            label=title, angle=270, size=page.text, color=INK,
        )
        + p9.scale_fill_manual({_LEGEND[SAMPLING]: FILL})
        + p9.scale_linetype_manual({_LEGEND[HETEROGENEITY]: "dashed"})
        + p9.guides(
            fill=p9.guide_legend(ncol=legend_columns(labels, page), order=1),
            linetype=p9.guide_legend(ncol=legend_columns(labels, page), order=2),
        )
        + p9.scale_x_continuous(
            limits=ends.x, expand=(0, 0), labels=plain_labels,
            breaks=value_ticks(0.0, right, page.width - 1.5),
        )
        + p9.scale_y_continuous(limits=ends.y, expand=(0, 0), labels=plain_labels)
        + p9.labs(x="Precision (1 / standard error)", y=f"{estimate} / standard error")
        + theme_print(page)
        + p9.theme(legend_box_spacing=0.02)
    )  # fmt: skip


def _effect_ticks(
    ensemble: Ensemble,
    measure: Measure,
    low: float,
    high: float,
    right: float,
    page: Page,
) -> pd.DataFrame:
    """Return places and texts of effects on the axis to the right."""
    own = ensemble.task.effects.measure
    slopes = np.array([low, high]) / right
    if own == "r":
        slopes = np.clip(slopes, -0.999, 0.999)

    def converted(values: FloatArray, source: Measure, to: Measure) -> FloatArray:
        return values if source == to else transform_effect(values, source, to)

    first, last = (float(v) for v in converted(slopes, own, measure))
    inches = page.height - 1.0
    if measure in RATIOS:
        ticks = ratio_ticks(math.log10(first), math.log10(last), inches)
    else:
        ticks = value_ticks(first, last, inches)
    y = right * converted(np.array(ticks), measure, own)
    # A number at the very end would be cut in halves.
    inside = abs(2 * y - low - high) < (1 - 2 * _EDGE) * (high - low)
    texts = np.array(plain_labels(ticks), dtype=object)
    return pd.DataFrame({"y": y[inside], "text": texts[inside]})
