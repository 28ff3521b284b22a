"""Stage 7: the funnel plot, with the regions where estimates are expected."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.special import ndtri

from pyrobma._types import BoolArray, FloatArray
from pyrobma._validate import is_whole
from pyrobma.effects import Measure, linear_measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.published import (
    adjusted_estimates,
    averaged_mean,
    predicted_quantiles,
)
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.errors import DataError
from pyrobma.plots.estimates import converted, effect_axis, error_unit, models_given
from pyrobma.plots.palette import key_width, legend_columns
from pyrobma.plots.text import text_width
from pyrobma.plots.theme import FILL, INK, SOFT, Page, Size, theme_print, with_unit

SAMPLING: Final = "sampling error"
HETEROGENEITY: Final = "heterogeneity"
BIAS: Final = "publication bias"

_LOOKS: Final = {
    SAMPLING: ("sampling error", SOFT, "solid"),
    HETEROGENEITY: ("+ heterogeneity", FILL, "dashed"),
    BIAS: ("+ publication bias", "none", "dotted"),
}
"""Name in the legend, shade and line of each region, the narrowest first."""

_TITLE: Final = "95% of estimates:"
_AFTER_TITLE: Final[dict[Any, Any]] = {"r": 8, "unit": "pt"}
_COVERAGE: Final = (0.025, 0.975)
_WIDEST: Final = 1.05  # the largest se of the regions over that of the estimates
_HEIGHT: Final = 4.6  # inches
_KEY: Final = 26.0  # points, width of a key
_MANY: Final = 100  # estimates, drawn as smaller points
_CORRELATION: Final = 0.9  # beyond which other measures take all of the axis
_SMALLEST: Final = 1e-3  # their smallest se over the largest: p-values need one


def funnel_frame(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    incorporate_heterogeneity: bool = True,
    incorporate_publication_bias: bool = True,
    n: int = 41,
) -> pd.DataFrame:
    """Return estimates, their standard errors and the regions that hold 95 % of them.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    conditional : bool
        Only over models with an effect.
    output_scale : str, optional
        Measure of the estimates, as in `Ensemble.mixture`. None: the prior scale.
        Standard errors are multiplied by the derivative of the conversion at no effect,
        as those of tau are, so that distances up and across keep their proportion; they
        are of Fisher's z for "r" and of the log odds ratio for "OR".
    incorporate_heterogeneity, incorporate_publication_bias : bool
        Whether regions account for the spread of true effects and for the models of
        publication bias.
    n : int
        Number of standard errors at which the regions are evaluated, at least 2.

    Returns
    -------
    DataFrame
        Columns ``part``, ``study``, ``se``, ``value``, ``lower``, ``upper``. Rows with
        the part "estimate" have a study, its standard error and estimate; with
        moderators the estimate less what they add to its mean. Regions have
        `n` rows each, by rising standard error, with median (``value``) and 0.025 and
        0.975 quantiles: "sampling error", "heterogeneity" (and sampling error) and
        "publication bias" (and all before), which is absent if no model has it.

    Raises
    ------
    DataError
        On an unknown scale, too small an `n`, or if no model has an effect and
        `conditional` asks for one.

    Notes
    -----
    Everything is computed on the measure of the likelihood and then converted as
    estimates are. The first region is m ± 1.96 s around the averaged mean m. The
    second is the predictive distribution of an unselected estimate: the mixture over
    models and draws of N(m, s² + T²). The third is that of a published estimate: PET
    and PEESE add their part to the mean, and under a weight function the density is

        ω(y) φ(y; m, s² + T²) / Σ_j ω_j P_j,

    with P_j the probability of the p-values of interval j before selection [1]_. Each
    region is a mixture over about 500 draws; quantiles are found by bisection of its
    cdf. p-values are those of a normal test of y / s: a t test of a small study has a
    slightly higher critical value. An estimate is taken as the only one of its cluster.

    References
    ----------
    .. [1] Vevea J. L., Hedges L. V. (1995). A general linear model for estimating
       effect size in the presence of publication bias. Psychometrika 60(3).
       doi:10.1007/BF02294384
    """
    if not is_whole(n, 2):
        raise DataError(f"n: expected a whole number of at least 2; got {n!r}.")
    task = ensemble.task
    effects = task.effects
    check_output_scale(task, output_scale)
    given = models_given(ensemble, conditional)
    unit = error_unit(task, output_scale)
    se = effects.se.max() * np.linspace(_SMALLEST, _WIDEST, n)
    regions = {SAMPLING: _sampling_error(ensemble, given, se)}
    if incorporate_heterogeneity:
        regions[HETEROGENEITY] = _predicted(ensemble, given, se, True, False)
    if incorporate_publication_bias and ensemble.bias_kinds:
        regions[BIAS] = _predicted(ensemble, given, se, incorporate_heterogeneity, True)
    estimates = pd.DataFrame(
        {
            "part": "estimate",
            "study": list(effects.names),
            "se": unit * effects.se,
            "value": converted(task, output_scale, adjusted_estimates(ensemble, given)),
        }
    )
    parts = [estimates]
    for name, quantiles in regions.items():
        value, lower, upper = converted(task, output_scale, quantiles)
        parts.append(
            pd.DataFrame(
                {
                    "part": name,
                    "se": unit * se,
                    "value": value,
                    "lower": lower,
                    "upper": upper,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)[
        ["part", "study", "se", "value", "lower", "upper"]
    ]


def plot_funnel(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    incorporate_heterogeneity: bool = True,
    incorporate_publication_bias: bool = True,
    n: int = 41,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw the estimates against their standard errors, with what is expected there.

    Parameters
    ----------
    ensemble, conditional, output_scale, incorporate_heterogeneity,
    incorporate_publication_bias, n
        As in `funnel_frame`, whose rows are drawn.
    width, height, text_size : float, optional
        Inches, inches and points. None: 6.5 by 4.6 and 10, or in proportion.

    Returns
    -------
    plotnine.ggplot
        Standard errors fall upwards. The vertical line is the averaged mean; each
        region holds 95 % of the estimates that a study of that standard error gives.
        If correlations were modelled and another measure is drawn, regions are cut at
        correlations of ±0.9, or the largest estimate.

    Raises
    ------
    DataError
        As in `funnel_frame`, or on a size that is none.
    """
    page = Size(width, height, text_size).page(height=_HEIGHT)
    frame = funnel_frame(
        ensemble,
        conditional=conditional,
        output_scale=output_scale,
        incorporate_heterogeneity=incorporate_heterogeneity,
        incorporate_publication_bias=incorporate_publication_bias,
        n=n,
    )
    return draw_funnel(frame, ensemble, output_scale, page)


def draw_funnel(
    frame: pd.DataFrame,
    ensemble: Ensemble,
    output_scale: Measure | None,
    page: Page,
) -> Any:
    """Draw a frame of `funnel_frame` on a page."""
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    measure = check_output_scale(ensemble.task, output_scale)
    estimates = frame[frame["part"] == "estimate"]
    names = [n for n in _LOOKS if (frame["part"] == n).any()]
    low, high = _limits(frame, ensemble, output_scale)
    regions = _outlines(frame, names, low, high)
    centre = frame[frame["part"] == SAMPLING].iloc[[0, -1]]
    line = pd.DataFrame(
        {
            "x": centre["value"].iloc[:1].clip(low, high),
            "se": centre["se"].iloc[0],
            "to": centre["se"].iloc[1],
        }
    )
    legend = [_LOOKS[name][0] for name in names]
    columns = legend_columns(legend, page, key=_KEY)
    # The title stands beside the keys if there is room for all of them in a row.
    written = sum(key_width([text], page, _KEY) for text in legend)
    beside = written + text_width([_TITLE], page.points(8.0)) < page.width
    return (
        Canvas(regions, p9.aes("value", "se"))
        + p9.geom_polygon(p9.aes(fill="part"), color="none")
        + p9.geom_path(p9.aes(linetype="part", group="side"), color=INK, size=0.45)
        + p9.geom_segment(
            p9.aes("x", "se", xend="x", yend="to"), line, color=INK, size=0.45
        )
        + p9.geom_point(
            data=estimates,
            fill="white",
            color=INK,
            shape="o",
            size=2.2 if len(estimates) <= _MANY else 1.4,
            stroke=0.45,
        )
        + p9.scale_fill_manual([_LOOKS[n][1] for n in names], labels=legend)
        + p9.scale_linetype_manual([_LOOKS[n][2] for n in names], labels=legend)
        + p9.guides(
            fill=p9.guide_legend(ncol=columns), linetype=p9.guide_legend(ncol=columns)
        )
        + effect_axis(measure)
        + p9.scale_y_reverse(expand=(0.02, 0, 0.02, 0))
        + p9.labs(
            x=with_unit(
                "Effect at the reference of the moderators"
                if ensemble.unknowns.terms
                else "Effect",
                measure,
            ),
            y=with_unit("Standard error", linear_measure(measure)),
            fill=_TITLE,
            linetype=_TITLE,
        )
        + theme_print(page)
        + p9.theme(
            legend_title=p9.element_text(size=page.points(8.0), margin=_AFTER_TITLE),
            legend_title_position="left" if beside else "top",
            legend_box_spacing=0.02,
        )
    )


def _limits(
    frame: pd.DataFrame, ensemble: Ensemble, output_scale: Measure | None
) -> tuple[float, float]:
    """Return where regions are cut: none, or correlations that convert to too much."""
    task = ensemble.task
    if task.effects.measure != "r":
        ends = frame[["value", "lower", "upper"]].to_numpy()
        return float(np.nanmin(ends)), float(np.nanmax(ends))
    bound = max(_CORRELATION, float(np.abs(task.effects.y).max()))
    if check_output_scale(task, output_scale) == "r":
        bound = 1.0
    low, high = converted(task, output_scale, bound * np.array([-1.0, 1.0]))
    return float(low), float(high)


def _outlines(
    frame: pd.DataFrame, names: list[str], low: float, high: float
) -> pd.DataFrame:
    """Return the regions as closed lines, the widest first: it is drawn behind."""
    regions = frame[frame["part"].isin(names)]
    lines = []
    for name in reversed(names):
        region = regions[regions["part"] == name]
        back = region.iloc[::-1]
        lines.append(
            pd.DataFrame(
                {
                    "part": name,
                    "side": [f"{name} {s}" for s in "lu" for _ in region.index],
                    "se": [*region["se"], *back["se"]],
                    "value": np.clip([*region["lower"], *back["upper"]], low, high),
                }
            )
        )
    outline = pd.concat(lines, ignore_index=True)
    outline["part"] = pd.Categorical(outline["part"], names)
    return outline


def _sampling_error(
    ensemble: Ensemble, given: BoolArray | None, se: FloatArray
) -> FloatArray:
    """Return median and quantiles, shape (3, G), of estimates of the averaged mean."""
    return averaged_mean(ensemble, given) + np.outer([0.0, *ndtri(_COVERAGE)], se)


def _predicted(
    ensemble: Ensemble,
    given: BoolArray | None,
    se: FloatArray,
    heterogeneity: bool,
    bias: bool,
) -> FloatArray:
    """Return median and quantiles, shape (3, G), of the estimates of new studies."""
    return predicted_quantiles(
        ensemble,
        se,
        (0.5, *_COVERAGE),
        heterogeneity=heterogeneity,
        bias=bias,
        given=given,
    )
