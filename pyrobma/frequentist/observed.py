"""Estimates of single studies, which tests of heterogeneity compare."""

from __future__ import annotations

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.effects import log_odds_ratio, log_risk_ratio, risk_difference
from pyrobma.effects.counts import TwoGroups, crude_log_ratio

_TABLES = {"OR": log_odds_ratio, "RR": log_risk_ratio, "RD": risk_difference}


def observed(groups: TwoGroups, measure: str) -> tuple[FloatArray, FloatArray]:
    """Return estimates and sampling variances of the studies that are not silent.

    Parameters
    ----------
    groups : TwoGroups
        Events of K studies.
    measure : {"OR", "RR", "RD", "IRR", "IRD"}

    Returns
    -------
    yi, vi : array of shape (J,)
        Of the J studies with events in some group, and other than events. Where a
        cell is empty, 1/2 is added to all cells of the study, as metafor does.
    """
    told = groups.kept(~groups.silent)
    if told.K == 0:
        return np.empty(0), np.empty(0)
    if told.rates:
        return _of_rates(told, measure)
    a, c = told.x1, told.x2
    frame = _TABLES[measure](a=a, b=told.size1 - a, c=c, d=told.size2 - c)
    return frame["yi"].to_numpy(), frame["vi"].to_numpy()


def _of_rates(told: TwoGroups, measure: str) -> tuple[FloatArray, FloatArray]:
    if measure == "IRR":
        estimate, se = crude_log_ratio(told)
        return estimate, se**2
    add = 0.5 * ((told.x1 == 0.0) | (told.x2 == 0.0))
    x1, x2, t1, t2 = told.x1 + add, told.x2 + add, told.size1, told.size2
    return x1 / t1 - x2 / t2, x1 / t1**2 + x2 / t2**2
