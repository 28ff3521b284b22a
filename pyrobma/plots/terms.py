"""Stage 7: which moderators are in the model."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.quantities import moderators_of
from pyrobma.errors import DataError
from pyrobma.plots.names import short_names
from pyrobma.plots.numbers import bayes_factor, number
from pyrobma.plots.rows import Rows
from pyrobma.plots.theme import INK, MIDDLE, Size

_ERRORS: Final = 1.96  # standard errors, for 95 % intervals
_NAMES: Final = 2.5  # inches for the names of terms
_BAR: Final = 0.3  # half of the height of a bar, lines


def terms_frame(ensemble: Ensemble) -> pd.DataFrame:
    """Tabulate the evidence for each moderator that is tested.

    Parameters
    ----------
    ensemble : Ensemble
        With moderators that some models have and others have not.

    Returns
    -------
    DataFrame
        One row per term: ``term``, ``models`` (number with the term), ``prior_prob``,
        ``post_prob`` and its Monte Carlo standard error ``post_prob_mcse``,
        ``inclusion_bf``, its natural logarithm ``log_bf``, finite where the factor is
        too large for a double, and ``log_bf_mcse``.

    Raises
    ------
    DataError
        If there are no moderators, or all of them are in every model.
    """
    moderators = moderators_of(ensemble)
    tested = list(ensemble.tested_terms)
    if not tested:
        raise DataError(
            "ensemble: expected a moderator that some models have and others have "
            f"not; got {', '.join(moderators.names)} in all or in none. Leave "
            "test_mods=True in robma()."
        )
    return ensemble.inclusion.loc[tested].rename_axis("term").reset_index()


def plot_terms(
    ensemble: Ensemble,
    *,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw the probability that each moderator is in the model.

    Parameters
    ----------
    ensemble : Ensemble
        As in `terms_frame`, whose rows are drawn.
    width, height : float, optional
        Of the figure, inches. None: 7, and as high as the lines need.
    text_size : float, optional
        Points. None: as large as fits, at most 8.5.

    Returns
    -------
    plotnine.ggplot
        Posterior probabilities as bars, with 95 % intervals for their Monte Carlo
        errors; prior ones as hollow circles. Inclusion Bayes factors are written at the
        right.

    Raises
    ------
    DataError
        As in `terms_frame`, or on a size that is none.
    """
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    asked = Size(width, height, text_size)
    frame = terms_frame(ensemble)
    frame = frame.assign(
        y=-1.0 - np.arange(len(frame)),
        low=(frame["post_prob"] - _ERRORS * frame["post_prob_mcse"]).clip(0, 1),
        high=(frame["post_prob"] + _ERRORS * frame["post_prob_mcse"]).clip(0, 1),
        bar="posterior probability",
        mark="prior probability",
    )
    rows = Rows(
        y=frame["y"].to_numpy(),
        names=frame["term"].tolist(),
        columns={
            "Prior": [number(p, 3) for p in frame["prior_prob"]],
            "Posterior": [number(p, 3) for p in frame["post_prob"]],
            "Inclusion BF": [bayes_factor(b) for b in frame["log_bf"]],
        },
        low=0.0,
        high=1.02,
        bold=[False] * len(frame),
        indented=[False] * len(frame),
        title="Moderator",
        most=_NAMES,
        shorten=short_names,
        legend=True,
        asked=asked,
    )
    return (
        Canvas()
        + rows.layers()
        + p9.geom_rect(
            p9.aes(xmin=0, xmax="post_prob", ymin="from", ymax="to", fill="bar"),
            frame.assign(**{"from": frame["y"] - _BAR, "to": frame["y"] + _BAR}),
        )
        + p9.geom_segment(
            p9.aes("low", "y", xend="high", yend="y"), frame, color=INK, size=0.6
        )
        + p9.geom_point(
            p9.aes("prior_prob", "y", shape="mark"),
            frame,
            fill="white",
            color=INK,
            size=1.7,
            stroke=0.5,
        )
        + p9.scale_fill_manual({"posterior probability": MIDDLE})
        + p9.scale_shape_manual({"prior probability": "o"})
        + rows.axis()
        + rows.frame("Probability that the moderator is in the model")
    )
