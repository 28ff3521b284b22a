"""Stage 7: the estimates of the single models and their average."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble, component_of, inclusion, posterior_probabilities
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.errors import DataError
from pyrobma.plots.estimates import check_interval, no_effect, number, plain_labels
from pyrobma.plots.labels import (
    bayes_factor,
    model_names,
    parameter_title,
    scalar,
)
from pyrobma.plots.rows import Rows
from pyrobma.plots.theme import INK, MIDDLE

Order: TypeAlias = Literal["increasing", "decreasing"]
OrderBy: TypeAlias = Literal["model", "estimate", "probability", "inclusion_bf"]

_COLUMNS: Final[dict[OrderBy, str]] = {
    "model": "model",
    "estimate": "mean",
    "probability": "post_prob",
    "inclusion_bf": "inclusion_bf",
}
_MATTERS: Final = 0.01
"""Posterior probability of models whose intervals the axis must hold."""


def models_frame(
    ensemble: Ensemble,
    parameter: str = "mu",
    *,
    output_scale: Measure | None = None,
    order: Order = "increasing",
    order_by: OrderBy = "model",
    probs: Sequence[float] = (0.025, 0.975),
    conditional: bool = False,
) -> pd.DataFrame:
    """Tabulate the estimates of a parameter by every model, and their average.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    parameter : {"mu", "tau", "rho", "PET", "PEESE"}
        One that the ensemble has.
    output_scale : str, optional
        Measure of the values, as in `Ensemble.mixture`. None: the prior scale.
    order : {"increasing", "decreasing"}
        From the top down.
    order_by : {"model", "estimate", "probability", "inclusion_bf"}
        The number of the model, the mean, the posterior probability or the Bayes
        factor.
    probs : sequence of two float
        Levels of the interval, increasing, inside (0, 1).
    conditional : bool
        Only models that count as alternative for the parameter's component;
        probabilities and Bayes factors are among these.

    Returns
    -------
    DataFrame
        A row per model and one for the average, the last: ``kind`` ("model", "spike",
        a model that fixes the parameter, or "average"), ``model`` (its number from 1,
        0 for the average), ``name``, ``mean``, ``lower``, ``upper``, ``prior_prob``,
        ``post_prob`` and ``inclusion_bf`` (of the model against all others; missing
        for the average).

    Raises
    ------
    DataError
        On an unknown parameter, scale or order, or if no model is left.
    """
    levels = check_interval(probs)
    _check("order", order, get_args(Order))
    _check("order_by", order_by, get_args(OrderBy))
    mixture = ensemble.mixture(
        scalar(parameter), conditional=conditional, output_scale=output_scale
    )
    chance = ensemble.prior_prob
    if conditional:
        chance = np.where(ensemble.members(component_of(parameter)), chance, 0.0)
    chance = chance / chance.sum()
    names = model_names(ensemble.space)
    factors = _inclusion_bfs(ensemble.logml, chance)
    post_prob = posterior_probabilities(ensemble.logml, chance)
    rows = []
    for k in np.flatnonzero(chance):
        draws = mixture.draws[k]
        lower, upper = np.quantile(draws, levels)
        fixed = ensemble.space.models[k].priors[parameter].is_spike
        rows.append(
            {
                "kind": "spike" if fixed else "model",
                "model": k + 1,
                "name": names[k],
                "mean": float(draws.mean()),
                "lower": float(lower),
                "upper": float(upper),
                "prior_prob": float(chance[k]),
                "post_prob": float(post_prob[k]),
                "inclusion_bf": float(factors[k]),
            }
        )
    frame = pd.DataFrame(rows).sort_values(
        _COLUMNS[order_by], ascending=order == "increasing", kind="stable"
    )
    lower, upper = mixture.quantiles(levels)
    average = {
        "kind": "average",
        "model": 0,
        "name": "Conditional average" if conditional else "Model average",
        "mean": mixture.mean(),
        "lower": float(lower),
        "upper": float(upper),
        "prior_prob": 1.0,
        "post_prob": 1.0,
        "inclusion_bf": np.nan,
    }
    return pd.concat([frame, pd.DataFrame([average])], ignore_index=True)


def _check(argument: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise DataError(
            f"{argument}: expected one of {', '.join(known)}; got {value!r}."
        )


def _inclusion_bfs(logml: FloatArray, chance: FloatArray) -> FloatArray:
    """Return the Bayes factor of each model against all others."""
    exact = np.zeros((logml.size, logml.size))
    used = np.flatnonzero(chance)
    factors = np.full(logml.size, np.nan)
    for k in used:
        alone = np.zeros(used.size, dtype=bool)
        alone[used == k] = True
        found = inclusion(alone, logml[used], chance[used], exact[np.ix_(used, used)])
        with np.errstate(over="ignore"):
            factors[k] = np.exp(found.log_bf)
    return factors


def plot_models(
    ensemble: Ensemble,
    parameter: str = "mu",
    *,
    output_scale: Measure | None = None,
    order: Order = "increasing",
    order_by: OrderBy = "model",
    probs: Sequence[float] = (0.025, 0.975),
    conditional: bool = False,
) -> Any:
    """Draw the estimates of a parameter by every model, and their average.

    Parameters
    ----------
    ensemble, parameter, output_scale, order, order_by, probs, conditional
        As in `models_frame`, whose rows are drawn.

    Returns
    -------
    plotnine.ggplot
        Means as squares whose area grows with the posterior probability, intervals as
        lines; a hollow square is a value that the model fixes. Posterior probabilities
        and inclusion Bayes factors are written at the right; the average is the
        diamond at the bottom. Odds ratios are on a logarithmic axis.

    Raises
    ------
    DataError
        As in `models_frame`.
    """
    frame = models_frame(
        ensemble,
        parameter,
        output_scale=output_scale,
        order=order,
        order_by=order_by,
        probs=probs,
        conditional=conditional,
    )
    measure = check_output_scale(ensemble.task, output_scale)
    odds = parameter == "mu" and measure == "OR"
    none = no_effect(measure) if parameter == "mu" else 0.0
    return _draw(
        frame,
        title=parameter_title(
            ensemble, parameter, output_scale, conditional=conditional
        ),
        reference=none,
        odds=odds,
    )


def _draw(frame: pd.DataFrame, *, title: str, reference: float, odds: bool) -> Any:
    import plotnine as p9

    place = np.log10 if odds else np.asarray
    columns = ["mean", "lower", "upper"]
    frame = frame.assign(
        y=-1.0 - np.arange(len(frame)) - 0.5 * (frame["kind"] == "average"),
        size=0.6 + 3.6 * np.sqrt(frame["post_prob"]),
        **{column: place(frame[column].to_numpy()) for column in columns},
    )
    reference = float(place(reference))
    low, high = _range(frame, reference)
    cut = {
        "before": frame["lower"] < low,
        "beyond": frame["upper"] > high,
        **{column: frame[column].clip(low, high) for column in columns},
    }
    frame = frame.assign(**cut)
    models = frame[frame["kind"] != "average"]
    average = frame.iloc[-1]
    rows = Rows(
        y=frame["y"].to_numpy(),
        names=tuple(frame["name"]),
        bold=(frame["kind"] == "average").tolist(),
        columns={
            "Post. prob.": [*(number(p, 3) for p in models["post_prob"]), ""],
            "Incl. BF": [*(bayes_factor(b) for b in models["inclusion_bf"]), ""],
        },
        low=low,
        high=high,
    )
    diamond = pd.DataFrame(
        {
            "x": [average[end] for end in ("lower", "mean", "upper", "mean")],
            "y": average["y"] + np.array([0.0, 0.34, 0.0, -0.34]),
        }
    )
    vertical = pd.DataFrame({"x": [reference], "y": [rows.bottom], "yend": [-0.5]})
    rule = float(average["y"]) + 0.75
    above = pd.DataFrame({"x": [rows.x(0)], "xend": [rows.x(rows.width)], "y": [rule]})
    figure = (
        p9.ggplot()
        + rows.layers()
        + p9.geom_segment(
            p9.aes("x", "y", xend="xend", yend="y"), above, color=INK, size=0.3
        )
        + p9.geom_segment(
            p9.aes("x", "y", xend="x", yend="yend"),
            vertical,
            color=MIDDLE,
            linetype="dashed",
            size=0.5,
        )
        + p9.geom_segment(
            p9.aes("lower", "y", xend="upper", yend="y"),
            models[models["kind"] == "model"],
            color=INK,
            size=0.5,
        )
    )
    for side, shape, edge in (("before", "<", low), ("beyond", ">", high)):
        arrows = models[models[side]].assign(edge=edge)
        if len(arrows):
            figure += p9.geom_point(
                p9.aes("edge", "y"), arrows, shape=shape, color=INK, fill=INK, size=1
            )
    return (
        figure
        + p9.geom_point(
            p9.aes("mean", "y", size="size", fill="kind"),
            models,
            shape="s",
            color=INK,
            stroke=0.5,
        )
        + p9.geom_polygon(p9.aes("x", "y"), diamond, fill=INK, color=INK, size=0.5)
        + p9.scale_size_identity()
        + p9.scale_fill_manual({"model": INK, "spike": "white"})
        + _axis(rows, odds)
        + rows.frame(title)
    )


def _range(frame: pd.DataFrame, reference: float) -> tuple[float, float]:
    """Return the ends of the axis, which intervals of improbable models may leave."""
    matters = frame["post_prob"] >= _MATTERS
    low = min(reference, float(frame.loc[matters, "lower"].min()))
    high = max(reference, float(frame.loc[matters, "upper"].max()))
    low = min(low, float(frame["mean"].min()))
    high = max(high, float(frame["mean"].max()))
    reach = 0.25 * (high - low)
    low = max(low - reach, min(low, float(frame["lower"].min())))
    high = min(high + reach, max(high, float(frame["upper"].max())))
    margin = 0.03 * (high - low) or 0.5
    return low - margin, high + margin


def _axis(rows: Rows, odds: bool) -> Any:
    from plotnine import scale_x_continuous

    if not odds:
        values = rows.breaks()
        return scale_x_continuous(
            breaks=values, minor_breaks=[], labels=plain_labels(values)
        )
    ratios = rows.log10_breaks()
    return scale_x_continuous(
        breaks=[math.log10(v) for v in ratios],
        minor_breaks=[],
        labels=plain_labels(ratios),
    )
