"""Stage 7: the estimates of the single models and their average."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from pyrobma.effects import Measure
from pyrobma.effects.convert import RATIOS
from pyrobma.ensemble import Ensemble, posterior_probabilities
from pyrobma.ensemble.probabilities import model_inclusion
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.errors import DataError
from pyrobma.parameters import Unknowns
from pyrobma.plots.estimates import check_interval, no_effect
from pyrobma.plots.labels import fitting, model_names, parameter_title, scalar
from pyrobma.plots.marks import arrows, clipped, diamond
from pyrobma.plots.numbers import number, short_factor
from pyrobma.plots.rows import Rows
from pyrobma.plots.theme import INK, Size

Order: TypeAlias = Literal["increasing", "decreasing"]
OrderBy: TypeAlias = Literal["model", "estimate", "probability", "inclusion_bf"]

_COLUMNS: Final[dict[OrderBy, str]] = {
    "model": "model",
    "estimate": "mean",
    "probability": "post_prob",
    "inclusion_bf": "log_bf",  # the factor may be too large for a double
}
_RISING: Final = ("model", "estimate")
_MOST: Final = 60
"""Models that are drawn one by one; of more, the least probable ones are left out."""
_NAMES: Final = 3.2  # inches for the names of models, beyond which they are shorter
_MATTERS: Final = 0.01
"""Posterior probability of models whose intervals the axis must hold."""


def models_frame(
    ensemble: Ensemble,
    parameter: str = "mu",
    *,
    output_scale: Measure | None = None,
    order: Order | None = None,
    order_by: OrderBy = "probability",
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
    order : {"increasing", "decreasing"}, optional
        From the top down. None: probabilities and Bayes factors decrease, numbers and
        estimates increase.
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
        ``post_prob``, ``inclusion_bf`` (of the model against all others; missing for
        the average) and ``log_bf``, its natural logarithm, finite where the factor is
        too large for a double.

    Raises
    ------
    DataError
        On an unknown parameter, scale or order, or if no model is left.
    """
    levels = check_interval(probs)
    if order is not None:
        _check("order", order, get_args(Order))
    _check("order_by", order_by, get_args(OrderBy))
    rising = order == "increasing" or (order is None and order_by in _RISING)
    mixture = ensemble.mixture(
        scalar(ensemble, parameter), conditional=conditional, output_scale=output_scale
    )
    given = ensemble.members(ensemble.component_of(parameter)) if conditional else None
    chance = ensemble.prior_given(given)
    names = model_names(ensemble.space, ensemble.unknowns)
    log_bf = model_inclusion(ensemble.logml, chance, ensemble.logml_errors).log_bf
    with np.errstate(over="ignore"):
        factors = np.exp(log_bf)
    post_prob = posterior_probabilities(ensemble.logml, chance)
    used = np.flatnonzero(chance)
    draws = [mixture.draws[k] for k in used]
    fixed = [ensemble.space.models[k].prior(parameter).is_spike for k in used]
    ends = np.array(
        [np.quantile(some, levels, method="inverted_cdf") for some in draws]
    )
    frame = pd.DataFrame(
        {
            "kind": np.where(fixed, "spike", "model"),
            "model": used + 1,
            "name": [names[k] for k in used],
            "mean": [float(some.mean()) for some in draws],
            "lower": ends[:, 0],
            "upper": ends[:, 1],
            "prior_prob": chance[used],
            "post_prob": post_prob[used],
            "inclusion_bf": factors[used],
            "log_bf": log_bf[used],
        }
    ).sort_values(_COLUMNS[order_by], ascending=rising, kind="stable")
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
        "log_bf": np.nan,
    }
    return pd.concat([frame, pd.DataFrame([average])], ignore_index=True)


def _check(argument: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise DataError(
            f"{argument}: expected one of {', '.join(known)}; got {value!r}."
        )


def plot_models(
    ensemble: Ensemble,
    parameter: str = "mu",
    *,
    output_scale: Measure | None = None,
    order: Order | None = None,
    order_by: OrderBy = "probability",
    probs: Sequence[float] = (0.025, 0.975),
    conditional: bool = False,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw the estimates of a parameter by every model, and their average.

    Parameters
    ----------
    ensemble, parameter, output_scale, order, order_by, probs, conditional
        As in `models_frame`, whose rows are drawn.
    width, height : float, optional
        Of the figure, inches. None: 7, and as high as the lines need.
    text_size : float, optional
        Points. None: as large as fits, at most 8.5.

    Returns
    -------
    plotnine.ggplot
        Means as squares whose area grows with the posterior probability, intervals as
        lines; a hollow square is a value that the model fixes. Posterior probabilities
        and inclusion Bayes factors are written at the right; the average is the
        diamond at the bottom. Of more than 60 models the least probable ones are left
        out, but for the sum of their probabilities. Odds ratios are on a logarithmic
        axis. Where names have too little room they begin with the number that the model
        has in the tables.

    Raises
    ------
    DataError
        As in `models_frame`, or on a size that is none.
    """
    asked = Size(width, height, text_size)
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
    is_effect = ensemble.unknowns[parameter].unit == "effect"
    odds = is_effect and measure in RATIOS
    none = no_effect(measure) if is_effect else 0.0
    return _draw(
        frame,
        title=parameter_title(
            ensemble, parameter, output_scale, conditional=conditional
        ),
        reference=none,
        odds=odds,
        unknowns=ensemble.unknowns,
        asked=asked,
    )


def _draw(
    frame: pd.DataFrame,
    *,
    title: str,
    reference: float,
    odds: bool,
    unknowns: Unknowns,
    asked: Size,
) -> Any:
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    place = np.log10 if odds else np.asarray
    columns = ["mean", "lower", "upper"]
    frame, rest = _most_probable(frame)
    frame = frame.assign(
        y=-1.0
        - np.arange(len(frame))
        - (0.5 + len(rest)) * (frame["kind"] == "average"),
        size=0.6 + 3.6 * np.sqrt(frame["post_prob"]),
        **{column: place(frame[column].to_numpy()) for column in columns},
    )
    reference = float(place(reference))
    low, high = _range(frame, reference)
    frame = clipped(frame, low, high).assign(mean=frame["mean"].clip(low, high))
    models = frame[frame["kind"] != "average"]
    average = frame.iloc[-1]
    others = [f"{rest['models'].iloc[0]} less probable models"] if len(rest) else []
    numbers = [*models["model"].tolist(), *(None for _ in others), None]
    rows = Rows(
        y=np.concatenate(
            [models["y"], models["y"].iloc[-1:] - 1 if others else [], [average["y"]]]
        ),
        names=[*models["name"], *others, average["name"]],
        columns={
            "Post. prob.": [
                *(number(p, 3) for p in [*models["post_prob"], *rest["post_prob"]]),
                "",
            ],
            "Incl. BF": [
                *(short_factor(b) for b in models["log_bf"]),
                *("" for _ in others),
                "",
            ],
        },
        low=low,
        high=high,
        bold=[*(False for _ in models["name"]), *(False for _ in others), True],
        indented=[False] * (len(frame) + len(others)),
        shorten=lambda names, room, size: fitting(
            names, unknowns, min(room, _NAMES), size, numbers
        ),
        asked=asked,
    )
    return (
        Canvas()
        + rows.layers()
        + rows.rule(average["y"] + 0.75)
        + rows.reference(reference)
        + p9.geom_segment(
            p9.aes("lower", "y", xend="upper", yend="y"),
            models[models["kind"] == "model"],
            color=INK,
            size=0.5,
        )
        + arrows(models, low, high, color=INK, size=1.0)
        + p9.geom_point(
            p9.aes("mean", "y", size="size", fill="kind"),
            models,
            shape="s",
            color=INK,
            stroke=0.5,
        )
        + diamond(average, "mean", fill=INK)
        + p9.scale_size_identity()
        + p9.scale_fill_manual({"model": INK, "spike": "white"})
        + rows.axis(ratio=odds)
        + rows.frame(title)
    )


def _most_probable(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows to draw, and the number and probability of the others, if any."""
    models = frame[frame["kind"] != "average"]
    if len(models) <= _MOST:
        return frame, pd.DataFrame({"models": [], "post_prob": []})
    ranked = models["post_prob"].rank(method="first", ascending=False)
    rest = models[ranked > _MOST]
    summed = {"models": [len(rest)], "post_prob": [rest["post_prob"].sum()]}
    return frame.drop(rest.index), pd.DataFrame(summed)


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
