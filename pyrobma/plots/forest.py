"""Stage 7: the forest plot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from scipy.special import ndtri

from pyrobma._types import BoolArray, FloatArray, IntArray
from pyrobma.effects import EffectSizes, Measure, transform_effect, transform_se
from pyrobma.effects.convert_se import SMALLEST_N, implied_n
from pyrobma.ensemble import Ensemble, new_effect, predict
from pyrobma.ensemble import true_effects as study_effects
from pyrobma.ensemble.extended import extended_converter
from pyrobma.ensemble.pooling import pooling_weights
from pyrobma.ensemble.quantities import adjusted, posterior
from pyrobma.ensemble.quantities import converted as on_output
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.errors import DataError
from pyrobma.plots.estimates import (
    check_interval,
    converted,
    models_given,
)
from pyrobma.plots.forest_drawing import draw_forest
from pyrobma.plots.labels import reference_words

Order: TypeAlias = Literal["increasing", "decreasing", "alphabetical", "weight"]

_COLUMNS: Final = (
    "part", "study", "cluster", "estimate", "lower", "upper", "weight",
    "true_effect", "true_lower", "true_upper",
)  # fmt: skip
_DIGITS: Final = re.compile(r"(\d+)")


def forest_frame(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    order: Order | None = None,
    true_effects: bool = True,
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
    probs : sequence of two floats
        Ends of every interval, in (0, 1).

    Returns
    -------
    DataFrame
        One row per estimate, then one for the averaged effect and one for the true
        effect of a new study. Columns: ``part`` ("estimate", "average",
        "prediction"), ``study``, ``cluster`` (its label; None if independent),
        ``estimate``, ``lower``, ``upper``, ``weight`` (percent), ``true_effect``,
        ``true_lower``, ``true_upper`` and, with moderators, ``fitted``, the mean effect
        that `predict` has for the study.

    Raises
    ------
    DataError
        On an unknown scale or order, probabilities that make no interval, or if no
        model has an effect and `conditional` asks for one.

    Notes
    -----
    The interval of an estimate is the one that its study reports: y + z_p s with
    normal quantiles z_p on the measure that the estimate was given on, or on Fisher's z
    for a correlation, then converted. The average has its posterior mean and quantiles,
    the prediction its median and quantiles.

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
    if order is not None and order not in get_args(Order):
        raise DataError(
            f"order: expected one of {', '.join(get_args(Order))}, or None; got "
            f"{order!r}."
        )
    ends = check_interval(probs)
    task = ensemble.task
    effects = task.effects
    target = check_output_scale(task, output_scale)
    given = models_given(ensemble, conditional)
    lower, upper = _intervals(effects, target, ends)
    frame = pd.DataFrame(
        {
            "part": "estimate",
            "study": list(effects.names),
            "cluster": pd.Series(effects.shared_labels, dtype=object),
            "estimate": converted(task, output_scale, effects.y),
            "lower": lower,
            "upper": upper,
            "weight": 100 * pooling_weights(ensemble, given),
            **_shrunken(ensemble, conditional, output_scale, ends, true_effects),
            **_fitted(ensemble, conditional, output_scale),
        }
    )
    frame = frame.iloc[_arranged(frame, effects.cluster, order)]
    below = pd.DataFrame(
        [
            _average(ensemble, conditional, output_scale, ends),
            _prediction(ensemble, given, output_scale, ends),
        ]
    )
    rows = [*frame.to_dict("records"), *below.to_dict("records")]
    fitted = [] if task.moderators is None else ["fitted"]
    result = pd.DataFrame(rows, columns=[*_COLUMNS, *fitted])
    for column in ("study", "cluster"):
        # None, not the NaN that a column of text would have.
        values = [row[column] for row in rows]
        result[column] = pd.Series(values, dtype=object)
    return result


def plot_forest(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    order: Order | None = None,
    true_effects: bool = True,
    probs: Sequence[float] = (0.025, 0.975),
) -> Any:
    """Draw estimates with intervals, their true effects and the averaged effect.

    Parameters and errors are those of `forest_frame`, whose rows are drawn.

    Returns
    -------
    plotnine.ggplot
        Squares are estimates, with areas in proportion to their weight; circles beside
        them are the studies' true effects, and ticks, with moderators, the mean effects
        of such studies; the filled diamond spans the interval of the
        averaged effect, the open one below that of the true effect of a new study. The
        dashed line is no effect; odds ratios are on a logarithmic axis. Intervals end
        in arrows where they leave the axis. The figure grows with the estimates;
        beyond 100 there are no numbers.
    """
    frame = forest_frame(
        ensemble,
        conditional=conditional,
        output_scale=output_scale,
        order=order,
        true_effects=true_effects,
        probs=probs,
    )
    return draw_forest(
        frame,
        check_output_scale(ensemble.task, output_scale),
        conditional=conditional,
        coverage=float(probs[1]) - float(probs[0]),
        note=reference_words(ensemble.task.moderators),
    )


def _intervals(
    effects: EffectSizes, target: Measure, ends: tuple[float, float]
) -> FloatArray:
    """Return the ends of the intervals of estimates on a measure, shape (2, K)."""
    sources = np.array(effects.original, dtype=object)
    correlations = sources == "r"
    if correlations.any():
        n = implied_n(effects.y, effects.se, effects.measure)
        # Fisher's z has no standard error in samples this small.
        # A sample of 3 may be implied with a rounding error.
        on_z = n > SMALLEST_N + 1e-9
        sources[correlations] = np.where(on_z, "fishers_z", "cohens_d")[correlations]
    result = np.empty((2, effects.K))
    for source in np.unique(sources).tolist():
        mine = sources == source
        y, se = effects.y[mine], effects.se[mine]
        centre = transform_effect(y, effects.measure, source)
        spread = transform_se(se, y, effects.measure, source)
        for row, z in zip(result, ndtri(ends), strict=True):
            row[mine] = transform_effect(centre + z * spread, source, target)
    return result


def _shrunken(
    ensemble: Ensemble,
    conditional: bool,
    output_scale: Measure | None,
    ends: tuple[float, float],
    wanted: bool,
) -> dict[str, FloatArray | float]:
    if not wanted:
        return dict.fromkeys(("true_effect", "true_lower", "true_upper"), np.nan)
    found = study_effects(
        ensemble, conditional=conditional, output_scale=output_scale, probs=ends
    )
    return {
        "true_effect": found["Mean"].to_numpy(),
        "true_lower": found[f"{ends[0]:g}"].to_numpy(),
        "true_upper": found[f"{ends[1]:g}"].to_numpy(),
    }


def _fitted(
    ensemble: Ensemble, conditional: bool, output_scale: Measure | None
) -> dict[str, FloatArray]:
    """Return the mean effect of studies like every one; nothing without moderators."""
    if ensemble.task.moderators is None:
        return {}
    found = predict(
        ensemble, type="terms", conditional=conditional, output_scale=output_scale
    )
    return {"fitted": found["Mean"].to_numpy()}


def _average(
    ensemble: Ensemble,
    conditional: bool,
    output_scale: Measure | None,
    ends: tuple[float, float],
) -> dict[str, Any]:
    moderators = ensemble.task.moderators
    if moderators is None:
        mixture = ensemble.mixture(
            "mu", conditional=conditional, output_scale=output_scale
        )
    else:
        quantity = adjusted(moderators)
        given = models_given(ensemble, conditional)
        mixture = on_output(
            ensemble, quantity, posterior(ensemble, quantity, given), output_scale
        )
    lower, upper = mixture.quantiles(ends)
    return {
        "part": "average",
        "study": None,
        "cluster": None,
        "estimate": mixture.mean(),
        "lower": lower,
        "upper": upper,
    }


def _prediction(
    ensemble: Ensemble,
    given: BoolArray | None,
    output_scale: Measure | None,
    ends: tuple[float, float],
) -> dict[str, Any]:
    convert = extended_converter(ensemble.task, output_scale)
    moderators = ensemble.task.moderators
    quantity = None if moderators is None else adjusted(moderators)
    effect = new_effect(ensemble, given=given, quantity=quantity)
    # Its mean does not exist on every scale.
    lower, median, upper = convert(effect.quantiles((ends[0], 0.5, ends[1])))
    return {
        "part": "prediction",
        "study": None,
        "cluster": None,
        "estimate": median,
        "lower": lower,
        "upper": upper,
    }


def _arranged(frame: pd.DataFrame, cluster: IntArray, order: Order | None) -> IntArray:
    """Return the rows in order: clusters one by one, independent estimates last."""
    rows = np.arange(len(frame))
    within: Any
    between: dict[int, Any]
    independent = frame["cluster"].isna().to_numpy()
    group = np.where(independent, -1, cluster)
    if order is None:
        within, between = rows, {k: rows[group == k][0] for k in np.unique(group)}
    elif order == "alphabetical":
        within = _places(frame["study"])
        by_label = _places(frame["cluster"].where(~independent, ""))
        between = dict(zip(group, by_label, strict=True))
    else:
        column = "weight" if order == "weight" else "estimate"
        sign = 1.0 if order == "increasing" else -1.0
        values = sign * frame[column].to_numpy()
        within = values
        mean = np.sum if order == "weight" else np.mean
        between = {k: mean(values[group == k]) for k in np.unique(group)}
    first = [between[k] for k in group]
    return np.lexsort((rows, within, group, first, independent))


def _places(names: pd.Series[Any]) -> IntArray:
    """Return the place of every name in the alphabet; numbers in them count as such."""
    keys = [
        [
            (not part.isdigit(), part.zfill(20).casefold())
            for part in _DIGITS.split(name)
        ]
        for name in names
    ]
    places = {repr(key): place for place, key in enumerate(sorted(keys))}
    return np.array([places[repr(key)] for key in keys])
