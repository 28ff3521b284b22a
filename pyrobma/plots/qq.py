"""Stage 7: residuals of left-out estimates against a normal distribution."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.special import betainc, betaincinv, ndtri

from pyrobma._types import FloatArray
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.left_out import residuals
from pyrobma.plots.numbers import plain_labels
from pyrobma.plots.point_labels import Ends, named_points
from pyrobma.plots.theme import FILL, INK, MIDDLE, Page, Size, theme_print

_COVERAGE: Final = 0.95
_SAMPLES: Final = 2000
_HEIGHT: Final = 4.6  # inches
_MANY: Final = 100
_NAMED: Final = 8
_SPARE: Final = 0.06  # of an axis


def qq_frame(ensemble: Ensemble) -> pd.DataFrame:
    """Return ordered residuals of left-out estimates beside normal quantiles.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.

    Returns
    -------
    DataFrame
        One row per estimate, by rising residual: ``study``, ``expected`` (normal
        quantile), ``score`` (the residual: normal deviate of the probability that the
        other estimates give to a smaller one, as of `residuals`), ``lower`` and
        ``upper``: ends of a band that holds all of the residuals with a probability of
        95 % if the models hold.

    Notes
    -----
    The band holds ordered estimate i between two quantiles of its Beta(i, K + 1 − i)
    distribution, at the one level, found by simulation, at which all are inside 95 %
    of the time [1]_. Residuals are taken as independent, which those of left-out
    estimates nearly are.

    References
    ----------
    .. [1] Aldor-Noiman S., Brown L. D., Buja A., Rolke W., Stine R. A. (2013). The
       power to see: a new graphical test of normality. The American Statistician
       67(4). doi:10.1080/00031305.2013.847865
    """
    found = residuals(ensemble).sort_values("score", kind="stable")
    K = len(found)
    lower, upper = simultaneous_band(K)
    return pd.DataFrame(
        {
            "study": found["study"].to_numpy(),
            "expected": ndtri((np.arange(1, K + 1) - 0.375) / (K + 0.25)),
            "score": found["score"].to_numpy(),
            "lower": lower,
            "upper": upper,
        }
    )


def simultaneous_band(n: int) -> tuple[FloatArray, FloatArray]:
    """Return ends of a band for n ordered standard normal values, shape (n,) each."""
    i = np.arange(1.0, n + 1)
    uniform = np.sort(np.random.default_rng(2013).uniform(size=(_SAMPLES, n)), axis=1)
    reached = betainc(i, n + 1 - i, uniform)
    level = np.quantile(2 * np.minimum(reached, 1 - reached).min(axis=1), 1 - _COVERAGE)
    ends = (betaincinv(i, n + 1 - i, p) for p in (level / 2, 1 - level / 2))
    lower, upper = (np.asarray(ndtri(end), dtype=np.float64) for end in ends)
    return lower, upper


def plot_qq(
    ensemble: Ensemble,
    *,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw residuals of left-out estimates against normal quantiles.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    width, height, text_size : float, optional
        Inches, inches and points. None: 4.8 by 4.6 and 10, or in proportion.

    Returns
    -------
    plotnine.ggplot
        If the models hold, all points are in the band with a probability of 95 %.
        Those outside are filled, and named where there is room.

    Raises
    ------
    DataError
        On a size that is none.
    """
    page = Size(width, height, text_size).page(width=4.8, height=_HEIGHT)
    return draw_qq(qq_frame(ensemble), page)


def draw_qq(frame: pd.DataFrame, page: Page) -> Any:
    """Draw a frame of `qq_frame` on a page."""
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    outside = (frame["score"] < frame["lower"]) | (frame["score"] > frame["upper"])
    points = frame.assign(outside=np.where(outside, "outside", "inside"))
    ends = Ends(
        _spared(frame["expected"].to_numpy()),
        _spared(frame[["score", "lower", "upper"]].to_numpy()),
    )
    size = 2.2 if len(frame) <= _MANY else 1.4
    extreme = np.flatnonzero(outside)
    far = (frame["score"] - frame["expected"]).abs().to_numpy()
    named = extreme[np.argsort(-far[extreme])][:_NAMED]
    return (
        Canvas(points, p9.aes("expected", "score"))
        + p9.geom_ribbon(p9.aes(ymin="lower", ymax="upper"), fill=FILL)
        + p9.geom_abline(intercept=0, slope=1, color=MIDDLE, size=0.45)
        + p9.geom_point(
            p9.aes(fill="outside"), color=INK, shape="o", size=size, stroke=0.45,
            show_legend=False,
        )
        + p9.scale_fill_manual({"inside": "white", "outside": INK})
        + named_points(
            frame["expected"].to_numpy(),
            frame["score"].to_numpy(),
            frame["study"].tolist(),
            named,
            ends,
            page,
        )
        + p9.scale_x_continuous(limits=ends.x, expand=(0, 0), labels=plain_labels)
        + p9.scale_y_continuous(limits=ends.y, expand=(0, 0), labels=plain_labels)
        + p9.labs(x="Normal quantile", y="Residual given all other estimates")
        + theme_print(page)
    )  # fmt: skip


def _spared(values: FloatArray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    spare = _SPARE * (high - low) or 1.0
    return low - spare, high + spare
