"""Stage 7: prior and posterior probabilities of the models."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma.ensemble import Ensemble
from pyrobma.plots.labels import fitting, group_names, model_names
from pyrobma.plots.numbers import number
from pyrobma.plots.rows import Rows
from pyrobma.plots.theme import INK, MIDDLE, Size

_NAMES: Final = 3.2  # inches for the names of models, beyond which they are shorter
_MOST: Final = 40
"""Rows that are drawn one by one; of more, the less probable ones are summed."""


def probabilities_frame(ensemble: Ensemble) -> pd.DataFrame:
    """Tabulate the probabilities of the models before and after the data.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.

    Returns
    -------
    DataFrame
        One row per model: ``model`` (its number, from 1), ``name`` (short, as in
        ``Effect + heterogeneity + PET``), ``group`` (what it says of effect,
        heterogeneity and clusters), ``bias`` (what it says of publication bias; empty
        if no model has any), ``prior_prob`` and ``post_prob`` (each summing to one).
    """
    groups = group_names(ensemble.space, ensemble.unknowns)
    return pd.DataFrame(
        {
            "model": np.arange(1, len(groups) + 1),
            "name": model_names(ensemble.space, ensemble.unknowns),
            "group": [group for group, _ in groups],
            "bias": [bias for _, bias in groups],
            "prior_prob": ensemble.prior_prob,
            "post_prob": ensemble.post_prob,
        }
    )


def plot_probabilities(
    ensemble: Ensemble,
    *,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw the probabilities of the models, in groups of one view of the effects.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns. `probabilities_frame` has the numbers.
    width, height : float, optional
        Of the figure, inches. None: 7, and as high as the lines need.
    text_size : float, optional
        Points. None: as large as fits, at most 8.5.

    Returns
    -------
    plotnine.ggplot
        Posterior probabilities as bars, with their numbers; prior ones as hollow
        circles. In a group, models go from the most to the least probable. Models that
        differ only in the prior of a correlation that they do not have are summed; of
        more than 40 rows the least probable are summed by group, or together if no
        other one of their group is left.
    """
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    asked = Size(width, height, text_size)
    lines = _lines(probabilities_frame(ensemble))
    models = lines[~lines["heading"]]
    widest = float(models[["prior_prob", "post_prob"]].to_numpy().max())
    rows = Rows(
        y=lines["y"].to_numpy(),
        names=lines["label"].tolist(),
        columns={
            "Prior": [number(p, 3) for p in lines["prior_prob"]],
            "Posterior": [number(p, 3) for p in lines["post_prob"]],
        },
        low=0.0,
        high=1.02 * widest,
        bold=lines["heading"].tolist(),
        indented=(~lines["heading"] & bool(lines["heading"].any())).tolist(),
        shorten=lambda names, room, size: fitting(
            names, ensemble.unknowns, min(room, _NAMES), size
        ),
        legend=True,
        asked=asked,
    )
    return (
        Canvas()
        + rows.layers()
        + p9.geom_rect(
            p9.aes(xmin=0, xmax="post_prob", ymin="from", ymax="to", fill="bar"),
            models.assign(
                **{"from": models["y"] - 0.3, "to": models["y"] + 0.3},
                bar="posterior probability",
            ),
        )
        + p9.geom_point(
            p9.aes("prior_prob", "y", shape="mark"),
            models.assign(mark="prior probability"),
            fill="white",
            color=INK,
            size=1.7,
            stroke=0.5,
        )
        + p9.scale_fill_manual({"posterior probability": MIDDLE})
        + p9.scale_shape_manual({"prior probability": "o"})
        + rows.axis()
        + rows.frame("Model probability")
    )


def _lines(frame: pd.DataFrame) -> pd.DataFrame:
    """Return headings and models from top to bottom, with what is written there."""
    single = not frame["bias"].any()
    frame = frame.groupby(["group", "bias"], sort=False, as_index=False).agg(
        {"model": "first", "prior_prob": "sum", "post_prob": "sum"}
    )
    frame = frame.sort_values("post_prob", ascending=False, kind="stable")
    shown = frame["model"].iloc[:_MOST]
    columns = ["label", "heading", "prior_prob", "post_prob"]
    parts, gone = [], []
    for group in frame.sort_values("model")["group"].unique():
        some = frame[frame["group"] == group]
        kept = some[some["model"].isin(shown)]
        rest = some[~some["model"].isin(shown)]
        if kept.empty:
            gone.append(rest)
            continue
        if not single:
            parts.append(_total(some, group, heading=True))
        parts.append(
            kept.assign(label=kept["group" if single else "bias"], heading=False)
        )
        if len(rest):
            parts.append(_total(rest, f"{len(rest)} others", heading=False))
    if gone:
        rest = pd.concat(gone)
        if not single:
            parts.append(_total(rest, "Other models", heading=True))
        parts.append(_total(rest, f"{len(rest)} less probable models", heading=False))
    lines = pd.concat([part[columns] for part in parts], ignore_index=True)
    above = lines["heading"].cumsum() if not single else 0
    return lines.assign(y=-1.0 - np.arange(len(lines)) - 0.35 * above)


def _total(models: pd.DataFrame, label: str, *, heading: bool) -> pd.DataFrame:
    sums = models[["prior_prob", "post_prob"]].sum()
    return pd.DataFrame({**sums, "label": label, "heading": heading}, index=[0])
