"""Stage 7: the forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from pyrobma._types import IntArray
from pyrobma.effects import EffectSizes, Measure
from pyrobma.effects._tables import AnyTable, read_table
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.pooling import pooling_weights
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.errors import DataError
from pyrobma.plots.estimates import check_interval, converted, models_given
from pyrobma.plots.forest_caterpillar import draw_caterpillar
from pyrobma.plots.forest_clusters import draw_clusters
from pyrobma.plots.forest_drawing import Look, draw_forest
from pyrobma.plots.forest_order import Order, arranged
from pyrobma.plots.forest_rows import (
    average_of,
    clusters_of,
    fitted_of,
    interval_ends,
    prediction_of,
    shrunken_of,
)
from pyrobma.plots.forest_text import chosen_texts
from pyrobma.plots.labels import reference_words
from pyrobma.plots.theme import Size

Style: TypeAlias = Literal["rows", "clusters", "caterpillar"]

_COLUMNS: Final = (
    "part", "study", "cluster", "estimate", "lower", "upper", "weight",
    "true_effect", "true_lower", "true_upper",
)  # fmt: skip
_MOST: Final = 80  # rows that can be read on one page
_SORTED: Final[dict[Order, str]] = {
    "increasing": "by size, upwards",
    "decreasing": "by size, downwards",
    "alphabetical": "by name",
    "weight": "by weight",
}


def forest_frame(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    order: Order | None = None,
    true_effects: bool = True,
    clusters: bool = False,
    probs: Sequence[float] = (0.025, 0.975),
) -> pd.DataFrame:
    """Return estimates, weights, true effects, their average and what to expect next.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    conditional : bool
        Only over models with an effect.
    output_scale : str, optional
        Measure of all effects, as in `Ensemble.mixture`. None: the prior scale.
    order : {"increasing", "decreasing", "alphabetical", "weight"}, optional
        Of the estimates within their cluster, and of the clusters: by the mean of
        their estimates, by name, or the heaviest first. Independent estimates come
        last, together. None: the order of the data.
    true_effects : bool
        Whether to find the true effect of each study; else they are NaN.
    clusters : bool
        Whether to add a row for every cluster of two estimates or more.
    probs : sequence of two floats
        Ends of every interval, in (0, 1).

    Returns
    -------
    DataFrame
        One row per estimate, then one for the averaged effect and one for the true
        effect of a new study. Columns: ``part`` ("estimate", "average",
        "prediction"), ``study`` (with the id of an independent one, if its name does
        not have it), ``cluster`` (its label; None if independent),
        ``estimate``, ``lower``, ``upper``, ``weight`` (percent), ``true_effect``,
        ``true_lower``, ``true_upper`` and, with moderators, ``fitted``, the mean effect
        that `predict` has for the study. Rows with the part "cluster" are between the
        estimates and the average: the mean of its estimates, weighted by 1/s_i², the
        sum of their weights, and the median and the interval of its mean true effect,
        as `cluster_effects` has them.

    Raises
    ------
    DataError
        On an unknown scale or order, probabilities that make no interval, or if no
        model has an effect and `conditional` asks for one.

    Notes
    -----
    The interval of an estimate is the one that its study reports: y + z_p s with
    normal quantiles z_p on the measure that the estimate was given on, or on Fisher's z
    for a correlation, then converted. Of counts y and s are crude, with 1/2 added to
    the cells of studies where one is 0. The average has its posterior mean and
    quantiles, the prediction its median and quantiles.

    With moderators, the average and the prediction are for studies at the reference of
    all numbers, which is their mean unless `center` says otherwise, averaged over the
    levels of factors, each with the same weight.

    The weight of an estimate is its share in the pooled mean by generalised least
    squares, 1'S⁻¹/(1'S⁻¹1) with S = diag(s²) + T²[(1 − ρ)I + ρ11'] in each cluster
    [1]_, averaged over models and draws of T and ρ. In a cluster it is proportional to
    a_i / (1 + ρT² Σ a_j) with a_i = 1 / (s_i² + (1 − ρ)T²). Publication bias does not
    enter it.

    References
    ----------
    .. [1] Konstantopoulos S. (2011). Fixed effects and variance components estimation
       in three-level meta-analysis. Research Synthesis Methods 2(1), 61-76.
       doi:10.1002/jrsm.35
    """
    frame, _ = _frame(
        ensemble,
        conditional=conditional,
        output_scale=output_scale,
        order=order,
        true_effects=true_effects,
        clusters=clusters,
        probs=probs,
    )
    return frame


def _frame(
    ensemble: Ensemble,
    *,
    conditional: bool,
    output_scale: Measure | None,
    order: Order | None,
    true_effects: bool,
    clusters: bool,
    probs: Sequence[float],
    grouped: bool = True,
) -> tuple[pd.DataFrame, IntArray]:
    """Return the frame, and which row of the data each estimate is."""
    _check("order", order, Order)
    ends = check_interval(probs)
    task = ensemble.task
    effects = task.effects
    target = check_output_scale(task, output_scale)
    given = models_given(ensemble, conditional)
    lower, upper = interval_ends(effects, target, ends)
    frame = pd.DataFrame(
        {
            "part": "estimate",
            "study": _names(effects),
            "cluster": pd.Series(effects.shared_labels, dtype=object),
            "estimate": converted(task, output_scale, effects.y),
            "lower": lower,
            "upper": upper,
            "weight": 100 * pooling_weights(ensemble, given),
            **shrunken_of(ensemble, conditional, output_scale, ends, true_effects),
            **fitted_of(ensemble, conditional, output_scale),
        }
    )
    places = arranged(frame, effects.cluster, order, grouped=grouped)
    frame = frame.iloc[places]
    below = pd.DataFrame(
        [
            average_of(ensemble, conditional, output_scale, ends),
            prediction_of(ensemble, given, output_scale, ends),
        ]
    )
    parts = [frame, below]
    if clusters:
        parts.insert(1, clusters_of(ensemble, frame, conditional, output_scale, ends))
    rows = [row for part in parts for row in part.to_dict("records")]
    fitted = [] if task.moderators is None else ["fitted"]
    result = pd.DataFrame(rows, columns=[*_COLUMNS, *fitted])
    for column in ("study", "cluster"):
        # None, not the NaN that a column of text would have.
        values = [row[column] for row in rows]
        result[column] = pd.Series(values, dtype=object)
    return result, places


def plot_forest(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    order: Order | None = None,
    true_effects: bool = True,
    probs: Sequence[float] = (0.025, 0.975),
    style: Style | None = None,
    columns: Sequence[str] | None = None,
    data: AnyTable | None = None,
    xlim: Sequence[float] | None = None,
    cluster_name: str | None = None,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw estimates with intervals, their true effects and the averaged effect.

    Parameters
    ----------
    ensemble, conditional, output_scale, order, true_effects, probs
        As in `forest_frame`, whose rows are drawn.
    style : {"rows", "clusters", "caterpillar"}, optional
        A row for each estimate, a row for each cluster, or thin lines without names,
        decreasing unless `order` says otherwise. None: the first of these that takes no
        more than 80 rows.
    columns : sequence of str, optional
        Text beside the rows of estimates, in this order: columns of `data` between the
        names and the axis, and of "estimate", "true_effect" (each with its interval),
        "weight" and, with moderators, "fitted" at the right. Of counts also "events",
        those of both groups. None: these, "estimate" and "weight" as there is room.
    data : DataFrame, table or mapping, optional
        A row per estimate, in the order of the fit: the table that was analysed, or any
        other with what `columns` names.
    xlim : sequence of two float, optional
        Ends of the axis, on the output scale. None: those that the bulk of the
        estimates needs. What goes beyond ends in arrows.
    cluster_name : str, optional
        What ids are of, written before them, e.g. "District". None: "Cluster" before
        ids that are numbers, and nothing before others.
    width, height : float, optional
        Of the figure, inches. None: 7, and as high as the rows need, at most 10 inches
        in a style that was not asked for.
    text_size : float, optional
        Points. None: as large as fits, at most 8.5.

    Returns
    -------
    plotnine.ggplot
        Squares are estimates, with areas in proportion to their weight; circles beside
        them are the studies' true effects, and ticks, with moderators, the mean effects
        of such studies; the filled diamond spans the interval of the averaged effect,
        the open one below that of the true effect of a new study. The dashed line is no
        effect; odds ratios are on a logarithmic axis. In a row for a cluster, ticks are
        its estimates, the square their mean and the circle its mean true effect.

    Raises
    ------
    DataError
        As in `forest_frame`; on an unknown style or column, on `columns` without rows
        of estimates, and on a size or ends of an axis that are none.

    Examples
    --------
    >>> fit.plot_forest(columns=["year", "estimate"], data=schools)  # doctest: +SKIP
    """
    asked = Size(width, height, text_size)
    _check("style", style, Style)
    effects = ensemble.task.effects
    style = style or _style(effects)
    if style == "clusters" and not effects.clustered:
        raise DataError(
            "style: expected 'rows' or 'caterpillar' for independent estimates; got "
            "'clusters'. Give study_ids in robma()."
        )
    if columns is not None and style != "rows":
        raise DataError(
            f"columns: expected None in the style {style!r}, of {effects.K} estimates; "
            f"got {columns!r}. Add style='rows' for a row for each of them."
        )
    many = style == "caterpillar"
    frame, places = _frame(
        ensemble,
        conditional=conditional,
        output_scale=output_scale,
        order="decreasing" if order is None and many else order,
        true_effects=true_effects or style == "clusters",
        clusters=style == "clusters",
        probs=probs,
        grouped=not many,
    )
    look = Look(
        check_output_scale(ensemble.task, output_scale),
        conditional=conditional,
        coverage=float(probs[1]) - float(probs[0]),
        note=reference_words(ensemble.task.moderators),
        xlim=xlim,
        cluster_name=cluster_name,
        texts=chosen_texts(
            columns,
            read_table(data),
            [str(name) for name in frame],
            places,
            effects.counts,
        ),
        asked=asked,
    )
    if style == "clusters":
        return draw_clusters(frame, look)
    if many:
        return draw_caterpillar(frame, look, sorting=_SORTED[order or "decreasing"])
    return draw_forest(frame, look)


def _names(effects: EffectSizes) -> list[str]:
    """Return names of studies, of independent ones with what says which they are.

    A name such as "1" tells an estimate from others of its cluster, not of others.
    """
    if not effects.clustered:
        return list(effects.names)
    ids = (effects.cluster_labels[k] for k in effects.cluster)
    return [
        name if shared or label is None or label in name else f"{label}, {name}"
        for name, label, shared in zip(
            effects.names, ids, effects.shared_labels, strict=True
        )
    ]


def _check(argument: str, value: str | None, known: Any) -> None:
    names = get_args(known)
    if value is not None and value not in names:
        raise DataError(
            f"{argument}: expected one of {', '.join(names)}, or None; got {value!r}."
        )


def _style(effects: EffectSizes) -> Style:
    """Return the first style that can be read on one page."""
    sizes = np.bincount(effects.cluster)
    clusters, single = int((sizes > 1).sum()), int((sizes == 1).sum())
    if effects.K + effects.clustered * (clusters + (single > 0)) <= _MOST:
        return "rows"
    if effects.clustered and clusters + single + (single > 0) <= _MOST:
        return "clusters"
    return "caterpillar"
