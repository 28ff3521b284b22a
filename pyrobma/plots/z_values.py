"""Stage 7: z-values that were published, and those expected without selection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._numerics import weighted_quantiles
from pyrobma._types import FloatArray
from pyrobma._validate import is_whole
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.counted import refuse_counts
from pyrobma.ensemble.z_values import SIGNIFICANT, z_cuts, z_densities
from pyrobma.errors import DataError
from pyrobma.plots.numbers import number, plain_labels
from pyrobma.plots.palette import legend_columns
from pyrobma.plots.theme import FILL, INK, MIDDLE, SOFT, Page, Size, theme_print

ESTIMATES: Final = "estimates"
PUBLISHED: Final = "published"
FREE: Final = "without bias"
CUT: Final = "cut"
DISCOVERY: Final = "discovery"

_LEGEND: Final = {
    PUBLISHED: "expected of published estimates",
    FREE: "without publication bias",
}
_PLAIN: Final = {PUBLISHED: "expected by the models"}
_HEIGHT: Final = 4.2  # inches
_LARGEST: Final = 10.0
_LEAST: Final = 3.5  # ends of the axis, at least
_PER_CUT: Final = (1, 2, 4, 8)  # bars from 0 to 1.96
_KEY: Final = 26.0  # points
_POINTS: Final = 401


@dataclass(frozen=True, slots=True)
class Discovery:
    """How often studies like these find ``|z| > 1.96``.

    Attributes
    ----------
    observed : float
        Share of the estimates of the data.
    expected, lower, upper : float
        Chance without publication bias: posterior mean, 0.025 and 0.975 quantiles.
    """

    observed: float
    expected: float
    lower: float
    upper: float


def z_frame(ensemble: Ensemble, *, bins: int | None = None) -> pd.DataFrame:
    """Return the histogram of z-values and their expected densities.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    bins : int, optional
        Bars between 0 and 1.96, which is always an end of one. None: 1, 2, 4 or 8, by
        the number of estimates and their spread.

    Returns
    -------
    DataFrame
        Columns ``part``, ``z``, ``value``, ``lower``, ``upper``. Rows with the part
        "estimates" are bars: from ``lower`` to ``upper`` the density of the observed z,
        estimates over standard errors on the measure of the likelihood. "published":
        the density that the averaged models expect of published estimates, by z;
        "without bias": that of all estimates, without selection, PET and PEESE (absent
        if no model has them). Both are averages over the studies of the data with
        their standard errors and moderators. "cut": where weights of publication
        change (medians over studies, whose critical values differ a little).
        "discovery": one row, the expected discovery rate, P(abs(z) > 1.96) without
        bias, posterior mean (``value``) and central 95 % interval.

    Raises
    ------
    DataError
        If `bins` is not a positive whole number.

    Notes
    -----
    The discovery rate is the average power of the studies that were published, in the
    direction of the mean or against it [1]_, had they been drawn without selection.

    References
    ----------
    .. [1] Bartoš F., Schimmack U. (2022). Z-curve 2.0: estimating replication rates and
       discovery rates. Meta-Psychology 6. doi:10.15626/MP.2021.2720
    """
    if bins is not None and not is_whole(bins, 1):
        raise DataError(f"bins: expected a positive whole number; got {bins!r}.")
    refuse_counts(ensemble.task, "plot_z", "plot_forest() draws the studies.")
    effects = ensemble.task.effects
    z = effects.y / effects.se
    low, high = _ends(z)
    width = SIGNIFICANT / (bins or _bins(z))
    edges = width * np.arange(np.floor(low / width), np.ceil(high / width) + 1)
    count, _ = np.histogram(z, edges)
    at = np.linspace(edges[0], edges[-1], _POINTS)
    cuts = z_cuts(ensemble)
    # A jump is drawn as one.
    steps = np.concatenate([cuts - 1e-9, cuts])
    steps = steps[(steps > at[0]) & (steps < at[-1])]
    at = np.unique(np.concatenate([at, steps]))
    found = z_densities(ensemble, at)
    bars = {"lower": edges[:-1], "upper": edges[1:]}
    rate = weighted_quantiles(found.discovery, found.weights, (0.025, 0.975))
    parts: list[dict[str, Any]] = [
        {
            "part": ESTIMATES,
            "z": (edges[:-1] + edges[1:]) / 2,
            "value": count / (len(z) * width),
            **bars,
        },
        {"part": PUBLISHED, "z": at, "value": found.published},
    ]
    if ensemble.bias_kinds:
        parts.append({"part": FREE, "z": at, "value": found.free})
    if cuts.size:
        parts.append({"part": CUT, "z": cuts})
    parts.append(
        {
            "part": DISCOVERY,
            "value": [float(found.weights @ found.discovery)],
            "lower": rate[:1],
            "upper": rate[1:],
        }
    )
    return pd.concat(map(pd.DataFrame, parts), ignore_index=True)[
        ["part", "z", "value", "lower", "upper"]
    ]


def discovery(ensemble: Ensemble, frame: pd.DataFrame) -> Discovery:
    """Return the observed and the expected discovery rate of a frame of `z_frame`."""
    effects = ensemble.task.effects
    row = frame[frame["part"] == DISCOVERY].iloc[0]
    return Discovery(
        float(np.mean(np.abs(effects.y / effects.se) > SIGNIFICANT)),
        float(row["value"]),
        float(row["lower"]),
        float(row["upper"]),
    )


def plot_z(
    ensemble: Ensemble,
    *,
    bins: int | None = None,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw the z-values of the estimates beside what the models expect.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    bins : int, optional
        As in `z_frame`, whose rows are drawn.
    width, height, text_size : float, optional
        Inches, inches and points. None: 6.5 by 4.2 and 10, or in proportion.

    Returns
    -------
    plotnine.ggplot
        Bars are observed; lines are densities, each of area one. Dotted lines are
        where weights of publication change. The caption has the share of estimates
        with ``|z| > 1.96``, and the share expected without publication bias.

    Raises
    ------
    DataError
        As in `z_frame`, or on a size that is none.
    """
    page = Size(width, height, text_size).page(height=_HEIGHT)
    return draw_z(z_frame(ensemble, bins=bins), ensemble, page)


def draw_z(frame: pd.DataFrame, ensemble: Ensemble, page: Page) -> Any:
    """Draw a frame of `z_frame` on a page."""
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    bars = frame[frame["part"] == ESTIMATES]
    names = _LEGEND if (frame["part"] == FREE).any() else _PLAIN
    lines = frame[frame["part"].isin(names)]
    lines = lines.assign(
        line=pd.Categorical(lines["part"].map(names), [*names.values()])
    )
    low, high = float(bars["lower"].min()), float(bars["upper"].max())
    cuts = frame[(frame["part"] == CUT) & frame["z"].between(low, high)]
    columns = legend_columns([*names.values()], page, key=_KEY)
    z = ensemble.task.effects.y / ensemble.task.effects.se
    beyond = int(((z < low) | (z > high)).sum())
    return (
        Canvas(lines, p9.aes("z", "value"))
        + p9.geom_rect(
            p9.aes(xmin="lower", xmax="upper", ymin=0, ymax="value"),
            bars[bars["value"] > 0],
            fill=FILL,
            color=SOFT,
            size=0.3,
            inherit_aes=False,
        )
        + p9.geom_vline(
            p9.aes(xintercept="z"), cuts, linetype="dotted", color=MIDDLE, size=0.5
        )
        + p9.geom_line(p9.aes(linetype="line"), color=INK, size=0.8)
        + p9.scale_linetype_manual(
            dict(zip(names.values(), ("solid", "dashed"), strict=False))
        )
        + p9.guides(linetype=p9.guide_legend(ncol=columns))
        + p9.scale_x_continuous(labels=plain_labels, expand=(0.01, 0))
        + p9.scale_y_continuous(labels=plain_labels, expand=(0, 0, 0.05, 0))
        + p9.labs(
            x="z (estimate / standard error)",
            y="Density",
            caption=_caption(discovery(ensemble, frame), beyond, FREE in names),
        )
        + theme_print(page)
        + p9.theme(
            legend_key_width=_KEY,
            legend_box_spacing=0.02,
            plot_caption=p9.element_text(size=page.points(8.0), ha="left"),
        )
    )


def _caption(found: Discovery, beyond: int, biased: bool) -> str:
    without = " without publication bias" if biased else ""
    ends = f"{number(found.lower)} to {number(found.upper)}"
    text = (
        f"|z| > 1.96: observed {number(found.observed)}; expected{without} "
        f"{number(found.expected)} (95% CI {ends})."
    )
    return f"{text}\nNot shown: {beyond} beyond the axis." if beyond else text


def _ends(z: FloatArray) -> tuple[float, float]:
    """Return the ends of the axis."""
    low, high = float(z.min()) - 0.5, float(z.max()) + 0.5
    if low + high > 0:
        low, high = min(low, -1.0), max(high, _LEAST)
    else:
        low, high = min(low, -_LEAST), max(high, 1.0)
    return max(low, -_LARGEST), min(high, _LARGEST)


def _bins(z: FloatArray) -> int:
    """Return bars up to 1.96 by the rule of Freedman and Diaconis."""
    first, third = np.quantile(z, (0.25, 0.75))
    width = 2 * (third - first) * len(z) ** (-1 / 3)
    wanted = SIGNIFICANT / max(float(width), 1e-3)
    return min(_PER_CUT, key=lambda n: abs(np.log(n / wanted)))
