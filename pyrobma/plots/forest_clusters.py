"""Stage 7: a forest plot with a row per cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from pyrobma.plots.forest_drawing import Look, draw_forest
from pyrobma.plots.forest_text import Texts
from pyrobma.plots.rows import Column


def draw_clusters(frame: pd.DataFrame, look: Look) -> Any:
    """Draw a frame of `forest_frame` with its clusters, a row for each of them.

    Parameters
    ----------
    frame : DataFrame
        With rows of clusters. Independent estimates have rows of their own.
    look : Look

    Returns
    -------
    plotnine.ggplot
        Ticks are the estimates of a cluster, squares their mean, circles its mean true
        effect.
    """
    single = (frame["part"] == "estimate") & frame["cluster"].isna()
    clustered = (frame["part"] == "estimate") & frame["cluster"].notna()
    clusters = frame["part"] == "cluster"
    shown = pd.concat([frame[clusters], frame[single], frame.iloc[-2:]])
    shown = shown.reset_index(drop=True)
    # Below the true effects of clusters are the average and what to expect.
    for name in ("effect", "lower", "upper"):
        source = "estimate" if name == "effect" else name
        last = shown.index[-2:]
        shown.loc[last, f"true_{name}"] = shown.loc[last, source]
    row = {label: i for i, label in enumerate(frame.loc[clusters, "cluster"])}
    members = frame.loc[clustered, ["cluster", "estimate"]]
    members = members.assign(row=members["cluster"].map(row))
    counts = np.bincount(members["row"], minlength=len(row))
    texts = [*map(str, counts), *["1"] * int(single.sum())]
    column = Column("Estimates", texts)
    look = replace(look, texts=Texts(own=("true_effect", "weight"), beside=(column,)))
    return draw_forest(shown, look, members=members)
