"""Stage 7: the axis of a forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from pyrobma._numerics import weighted_quantiles
from pyrobma._types import FloatArray
from pyrobma.effects import Measure
from pyrobma.effects.convert import RATIOS
from pyrobma.errors import DataError

EFFECTS: Final = (
    "estimate", "lower", "upper", "true_effect", "true_lower", "true_upper", "fitted",
)  # fmt: skip
"""Columns of a frame of `forest_frame` that have a place on the axis."""

_FAR: Final = 2.0  # spreads from a quartile: estimates beyond do not set the axis
_MARGIN: Final = 0.02  # of the axis, at either end


def on_axis(frame: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return the places of effects: decimal logarithms of odds ratios."""
    if measure not in RATIOS:
        return frame
    with np.errstate(divide="ignore"):
        places = {
            name: np.log10(frame[name].astype(np.float64))
            for name in EFFECTS
            if name in frame
        }
    return frame.assign(**places)


def axis_ends(
    frame: pd.DataFrame,
    measure: Measure,
    xlim: Sequence[float] | None = None,
    *,
    many: bool = False,
) -> tuple[float, float]:
    """Return the ends of the axis, which long intervals and outliers may leave.

    Parameters
    ----------
    frame : DataFrame
        From `on_axis`.
    measure : str
        Of the effects.
    xlim : sequence of two float, optional
        The ends that somebody asks for, on that measure. None: as the estimates need.
    many : bool
        Whether the axis is for the bulk of the estimates.

    Raises
    ------
    DataError
        If `xlim` are no ends of an axis.

    Notes
    -----
    A spread is the interquartile range of the estimates, weighted as in the average, or
    the median width of their intervals, whichever is larger. The axis holds the average
    and the estimates that are within two spreads of the quartiles, or of many the
    central 98 %, and of intervals what is within another spread, of many the central
    90 % of their ends. So an estimate of no weight does not squeeze the others.
    """
    if xlim is not None:
        return _checked(xlim, measure)
    own = frame["part"].isin(["estimate", "cluster"]).to_numpy()
    weight = frame.loc[own, "weight"].to_numpy(dtype=np.float64)
    studies, (average, prediction) = _ends(frame[own]), _ends(frame[~own])[:, :3]
    middle = _inside(studies)
    known = np.isfinite(middle)
    if not known.any():
        known = np.ones_like(known)
        middle = np.zeros_like(middle)
    first, last = weighted_quantiles(middle[known], weight[known], (0.25, 0.75))
    widths = np.where(np.isfinite(studies), studies, np.nan)
    widths = np.fmax(widths[:, 2] - widths[:, 1], widths[:, 4] - widths[:, 3])
    usual = ~np.isnan(widths)
    spread = float(last - first)
    if usual.any():
        (typical,) = weighted_quantiles(widths[usual], weight[usual], (0.5,))
        spread = max(spread, float(typical))
    spread = spread or 1.0
    fence = (first - _FAR * spread, last + _FAR * spread)
    near = middle[known & (middle >= fence[0]) & (middle <= fence[1])]
    core = np.quantile(near, (0.01, 0.99) if many else (0, 1))
    low, high = float(core[0]), float(core[1])
    ends = np.clip(average[1:], *fence)
    low, high = min(low, float(ends[0])), max(high, float(ends[1]))
    nothing = 0.0  # also the logarithm of an odds ratio of 1
    if low - spread <= nothing <= high + spread:
        low, high = min(low, nothing), max(high, nothing)
    lowest, highest = low - spread, high + spread
    starts, stops = studies[:, [1, 3]].ravel(), studies[:, [2, 4]].ravel()
    starts, stops = starts[~np.isnan(starts)], stops[~np.isnan(stops)]
    if many:
        starts = np.quantile(np.clip(starts, lowest, highest), [0.05])
        stops = np.quantile(np.clip(stops, lowest, highest), [0.95])
    low = min(low, max(float(min(*starts, prediction[1])), lowest))
    high = max(high, min(float(max(*stops, prediction[2])), highest))
    margin = _MARGIN * (high - low)
    return low - margin, high + margin


def _ends(frame: pd.DataFrame) -> FloatArray:
    """Return estimates and the ends of their intervals, shape (rows, 5)."""
    columns = ["estimate", "lower", "upper", "true_lower", "true_upper"]
    return frame[columns].to_numpy(dtype=np.float64)


def _inside(ends: FloatArray) -> FloatArray:
    """Return estimates within their intervals: a mean far out in a tail is outside."""
    return np.fmax(np.fmin(ends[:, 0], ends[:, 2]), ends[:, 1])


def _checked(xlim: Sequence[float], measure: Measure) -> tuple[float, float]:
    least = 0.0 if measure in RATIOS else -np.inf
    values = np.asarray(xlim)
    good = values.shape == (2,) and values.dtype.kind in "iuf"
    if not good or not least < values[0] < values[1] < np.inf:
        above = " above 0" if measure in RATIOS else ""
        raise DataError(
            f"xlim: expected two increasing numbers{above}; got {xlim!r}. For example "
            f"{(0.5, 2) if measure == 'OR' else (-1, 1)}."
        )
    low, high = (np.log10(values) if measure in RATIOS else values).tolist()
    return float(low), float(high)
