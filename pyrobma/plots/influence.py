"""Stage 7: which studies make for heterogeneity, and which move the effect."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.counted import sampling_variance
from pyrobma.ensemble.left_out import LeftOut, by_units, unit_names
from pyrobma.ensemble.pointwise import predictions
from pyrobma.ensemble.predictor import Predictor
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.models import Task
from pyrobma.plots.numbers import plain_labels
from pyrobma.plots.point_labels import Ends, named_points
from pyrobma.plots.theme import INK, SOFT, Page, Size, theme_print, with_unit

_HEIGHT: Final = 4.2  # inches
_MANY: Final = 100
_NAMED: Final = 8
_SPARE: Final = 0.08  # of an axis


def influence_frame(
    ensemble: Ensemble,
    *,
    by: str = "study",
    output_scale: Measure | None = None,
) -> pd.DataFrame:
    """Return what every study adds to Cochran's Q, and to the mean effect.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    by : {"study", "cluster"}
        What is left out at a time: an estimate, or all estimates of a cluster.
    output_scale : str, optional
        Measure of the effect, as in `Ensemble.mixture`. None: the prior scale.

    Returns
    -------
    DataFrame
        One row per study or cluster. Columns: ``study`` or ``cluster``;
        ``contribution``, its part of Σ (y − fitted)² / se², with the fitted values of
        `residuals`; ``influence``, the averaged mean effect less what it is without the
        study; ``pareto_k`` of the weights that this is found with, and ``reliable``,
        whether that is small enough.

    Raises
    ------
    DataError
        On an unknown `by` or scale.

    Notes
    -----
    Effects without a study are found from draws weighted as those of `residuals` are.
    `influence` fits models again where that is not enough.

    References
    ----------
    .. [1] Baujat B., Mahé C., Pignon J.-P., Hill C. (2002). A graphical method for
       exploring heterogeneity in meta-analyses. Statistics in Medicine 21(18).
       doi:10.1002/sim.1221
    """
    units = by_units(by)
    task = ensemble.task
    left = LeftOut.of(ensemble, units)
    values = ensemble.converter("mu", output_scale)(left.draws["mu"])
    whole = float(left.draws.weights @ values)
    return pd.DataFrame(
        {
            by: unit_names(task.effects, by),
            "contribution": contributions(ensemble, left, by),
            "influence": whole - left.mean(values),
            "pareto_k": left.pareto_k,
            "reliable": ~(left.pareto_k > left.limit),
        }
    )


def contributions(ensemble: Ensemble, left: LeftOut, by: str) -> FloatArray:
    """Return what studies or clusters add to Q about the fitted values."""
    task, draws = ensemble.task, left.draws
    if task.effects.counts is not None:
        centre = (Predictor(task, draws).mean(slice(None)) @ draws.weights)[:, None]
        variance = sampling_variance(task, centre)[:, 0]
        return _by(by, task, (task.effects.y - centre[:, 0]) ** 2 / variance)
    alone = predictions(task, ensemble.fits, draws, given_others=False)
    parts = ((task.effects.y - alone.mean @ draws.weights) / task.effects.se) ** 2
    return _by(by, task, parts)


def _by(by: str, task: Task, parts: FloatArray) -> FloatArray:
    if by == "cluster":
        return np.bincount(task.effects.cluster, parts).astype(np.float64)
    return parts


def plot_influence(
    ensemble: Ensemble,
    *,
    by: str = "study",
    output_scale: Measure | None = None,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw what studies do to the mean effect against what they add to heterogeneity.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    by, output_scale
        As in `influence_frame`, whose rows are drawn.
    width, height, text_size : float, optional
        Inches, inches and points. None: 6.5 by 4.2 and 10, or in proportion.

    Returns
    -------
    plotnine.ggplot
        Studies to the right are far from what is fitted, in standard errors; those
        above 0 make the effect larger. The most extreme are named where there is room;
        hollow points are studies whose influence draws cannot tell.

    Raises
    ------
    DataError
        As in `influence_frame`, or on a size that is none.
    """
    page = Size(width, height, text_size).page(height=_HEIGHT)
    frame = influence_frame(ensemble, by=by, output_scale=output_scale)
    measure = check_output_scale(ensemble.task, output_scale)
    return draw_influence(frame, by, measure, page)


def draw_influence(frame: pd.DataFrame, by: str, measure: Measure, page: Page) -> Any:
    """Draw a frame of `influence_frame` on a page."""
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    x, y = frame["contribution"].to_numpy(), frame["influence"].to_numpy()
    right = float(x.max()) * (1 + _SPARE) or 1.0
    reach = float(np.abs(y).max()) or 1.0
    low, high = min(float(y.min()), -0.3 * reach), max(float(y.max()), 0.3 * reach)
    spare = _SPARE * (high - low)
    ends = Ends((-0.02 * right, right), (low - spare, high + spare))
    far = np.maximum(x / right, np.abs(y) / reach)
    named = np.argsort(-far)[:_NAMED]
    hollow = [] if frame["reliable"].all() else [
        p9.labs(
            caption="Hollow: draws cannot tell the influence of this "
            f"{by}; influence() fits the models again."
        )
    ]  # fmt: skip
    return (
        Canvas(
            frame.assign(look=np.where(frame["reliable"], "reliable", "hollow")),
            p9.aes("contribution", "influence"),
        )
        + p9.geom_hline(yintercept=0, color=SOFT, size=0.45)
        + p9.geom_point(
            p9.aes(fill="look"),
            color=INK,
            shape="o",
            size=2.2 if len(frame) <= _MANY else 1.4,
            stroke=0.45,
            show_legend=False,
        )
        + p9.scale_fill_manual({"reliable": INK, "hollow": "white"})
        + named_points(x, y, frame[by].tolist(), named, ends, page)
        + p9.scale_x_continuous(limits=ends.x, expand=(0, 0), labels=plain_labels)
        + p9.scale_y_continuous(limits=ends.y, expand=(0, 0), labels=plain_labels)
        + p9.labs(
            x=f"Contribution of the {by} to Q, Σ (y − fitted)² / se²",
            y=with_unit("Influence on the effect", measure),
        )
        + hollow
        + theme_print(page)
        + p9.theme(plot_caption=p9.element_text(size=page.points(8.0), ha="left"))
    )
