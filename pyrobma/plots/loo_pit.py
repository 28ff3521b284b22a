"""Stage 7: whether the probabilities that are predicted come true."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.left_out import residuals
from pyrobma.errors import DataError
from pyrobma.plots.numbers import plain_labels
from pyrobma.plots.theme import FILL, INK, MIDDLE, Page, Size, theme_print

_COVERAGE: Final = 0.95
_SAMPLES: Final = 2000
_HEIGHT: Final = 3.6  # inches
_FEWEST: Final = 3


def loo_pit_frame(ensemble: Ensemble) -> pd.DataFrame:
    """Return how many left-out estimates are below each predicted probability.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.

    Returns
    -------
    DataFrame
        By rising ``probability``, at multiples of 1/K: ``share``, that of estimates to
        which the others give at most this probability of a smaller one (`residuals`,
        ``pit``), and ``lower`` and ``upper``: ends of a band that holds the shares at
        all probabilities 95 % of the time if the models hold [1]_, by `arviz_stats`.

    Raises
    ------
    DataError
        On fewer than three estimates.

    References
    ----------
    .. [1] Säilynoja T., Bürkner P.-C., Vehtari A. (2022). Graphical test for discrete
       uniformity and its applications in goodness-of-fit evaluation and multiple
       sample comparison. Statistics and Computing 32. doi:10.1007/s11222-022-10090-6
    """
    from arviz_stats.ecdf_utils import ecdf_pit

    K = ensemble.task.effects.K
    if K < _FEWEST:
        raise DataError(
            f"ensemble: expected at least {_FEWEST} estimates to see a distribution; "
            f"got {K}. See residuals()."
        )
    pit: FloatArray = residuals(ensemble)["pit"].to_numpy()
    found = ecdf_pit(pit, _COVERAGE, _SAMPLES, rng=np.random.default_rng(2022))
    names = ("probability", "share", "lower", "upper")
    return pd.DataFrame(dict(zip(names, found, strict=True)))


def plot_loo_pit(
    ensemble: Ensemble,
    *,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw how often predicted probabilities come true, less what they should.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    width, height, text_size : float, optional
        Inches, inches and points. None: 6.5 by 3.6 and 10, or in proportion.

    Returns
    -------
    plotnine.ggplot
        The share of estimates below each predicted probability, less the probability:
        0 if the models hold, and then in the band 95 % of the time. A line that falls
        below the band and then rises above it is of predictions that are too wide; the
        other way round, too narrow.

    Raises
    ------
    DataError
        On fewer than three estimates, or a size that is none.
    """
    page = Size(width, height, text_size).page(height=_HEIGHT)
    return draw_loo_pit(loo_pit_frame(ensemble), page)


def draw_loo_pit(frame: pd.DataFrame, page: Page) -> Any:
    """Draw a frame of `loo_pit_frame` on a page."""
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    ends = {"share": [0.0, 1.0], "lower": [0.0, 1.0], "upper": [0.0, 1.0]}
    whole = pd.concat(
        [frame, pd.DataFrame({"probability": [0.0, 1.0], **ends})]
    ).sort_values("probability")
    shifted = whole.assign(
        **{name: whole[name] - whole["probability"] for name in ends}
    )
    return (
        Canvas(shifted, p9.aes("probability", "share"))
        + p9.geom_ribbon(p9.aes(ymin="lower", ymax="upper"), fill=FILL)
        + p9.geom_hline(yintercept=0, color=MIDDLE, size=0.45)
        + p9.geom_line(color=INK, size=0.8)
        + p9.scale_x_continuous(
            breaks=[0, 0.25, 0.5, 0.75, 1],
            labels=["0", ".25", ".5", ".75", "1"],
            expand=(0.02, 0),
        )
        + p9.scale_y_continuous(labels=plain_labels)
        + p9.labs(
            x="Predicted probability of a smaller estimate",
            y="Observed share − probability",
        )
        + theme_print(page)
    )
