"""Where each estimate becomes statistically significant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.effects._columns import Rows
from pyrobma.effects.convert import LETTERS, Measure, transform_effect
from pyrobma.effects.convert_se import implied_n, transform_se
from pyrobma.effects.data import EffectSizes
from pyrobma.effects.pvalues import upper_normal, upper_t
from pyrobma.errors import DataError

_BY_T: Final[tuple[Measure, ...]] = ("cohens_d", "r", "fishers_z")
"""Measures tested by Student's t, with degrees of freedom from the sample size."""


def critical_values(
    effects: EffectSizes, steps: Sequence[float], sides: Literal[1, 2]
) -> FloatArray:
    """Return the smallest estimates that reach p-values, on the data scale.

    Parameters
    ----------
    effects : EffectSizes
        K estimates.
    steps : sequence of float
        p-values in (0, 1), increasing.
    sides : {1, 2}
        Whether they are one-sided p-values of positive effects, or two-sided ones.

    Returns
    -------
    array of shape (K, len(steps))
        Critical values on the scale of `effects`, columns from the highest p-value to
        the lowest, so that each row increases. One-sided: an estimate has a p-value of
        at most the step if it is at least the critical value; that of a step of 0.5 is
        exactly 0, those of higher steps are negative. Two-sided: the same for the
        absolute value of the estimate; all are positive.

    Raises
    ------
    DataError
        If a step or `sides` is not a legal one, or if an estimate of d or r implies a
        total sample size of 2 or less, which leaves its t test no degrees of freedom.

    Notes
    -----
    The test is that of the measure the estimate was given on, whatever the data scale.
    With n the total sample size that the estimate and its standard error imply there,
    and t the upper quantile of Student's t with n − 2 degrees of freedom (standard
    normal for log odds ratios and effects in units of their own) at the one-sided step
    or half the two-sided one, the critical value is 2t/√n for d, t/√(n + t² − 2) for r,
    and t se for z, log odds ratios and effects in units of their own. The result is
    converted to the data scale nonlinearly. For d and r it is where the tests that
    studies report, t = d √n / 2 and t = r √((n − 2) / (1 − r²)), reach the p-value.
    Selection at steps of the p-value is the model of [1]_.

    n depends on an estimate through its square only, and every formula above is odd in
    t. So data whose signs are flipped, as for an expected negative effect, have the
    same critical values: compare them with −y.

    References
    ----------
    .. [1] Vevea, Hedges (1995). A general linear model for estimating effect size in
       the presence of publication bias. Psychometrika 60(3), 419-435.
       doi:10.1007/BF02294384
    """
    if sides not in (1, 2):
        raise DataError(
            f"sides: expected 1 or 2; got {sides!r}. Use 1 for one-sided p-values and "
            "2 for two-sided ones."
        )
    p = _descending(steps) / sides
    values = np.empty((effects.K, p.size))
    original = np.array(effects.original, dtype=object)
    for measure in dict.fromkeys(effects.original):
        rows = original == measure
        _check_original(measure, effects, int(np.argmax(rows)))
        values[rows] = _on_data_scale(effects, rows, measure, p)
    return values


def _descending(steps: Sequence[float]) -> FloatArray:
    try:
        array = np.asarray(steps, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if not (
        array.ndim == 1
        and array.size
        and np.all((array > 0.0) & (array < 1.0))
        and np.all(np.diff(array) > 0.0)
    ):
        raise DataError(
            "steps: expected increasing p-values between 0 and 1, both excluded; got "
            f"{steps!r}. For example (0.025, 0.05)."
        )
    return array[::-1]


def _check_original(measure: Measure, effects: EffectSizes, row: int) -> None:
    alone = (measure == "none") != (effects.measure == "none")
    if alone or measure not in (*_BY_T, "logOR", "none"):
        raise DataError(
            "original: expected measures whose critical values are known on the data "
            f'scale "{effects.measure}"; got {measure!r} at row {row} '
            f'("{effects.names[row]}"). Enter odds ratios with effect_sizes, which '
            "takes their logarithm, and effects in units of their own as y."
        )


def _on_data_scale(
    effects: EffectSizes, rows: Any, measure: Measure, p: FloatArray
) -> FloatArray:
    """Return the critical values of the estimates given on one measure."""
    y, se = effects.y[rows], effects.se[rows]
    se = transform_se(se, y, effects.measure, measure)
    y = transform_effect(y, effects.measure, measure)
    if measure not in _BY_T:
        normal = se[:, None] * upper_normal(p)
        return transform_effect(normal, measure, effects.measure)
    n = implied_n(y, se, measure)[:, None]
    _refuse_without_df(n[:, 0], measure, np.flatnonzero(rows), effects)
    t = upper_t(p, n - 2.0)
    if measure == "cohens_d":
        return transform_effect(2.0 * t / np.sqrt(n), "cohens_d", effects.measure)
    if measure == "r":
        # As d, because a correlation near 1 has lost its digits.
        d = 2.0 * t / np.sqrt(n - 2.0)
        return transform_effect(d, "cohens_d", effects.measure)
    return transform_effect(t * se[:, None], measure, effects.measure)


def _refuse_without_df(
    n: FloatArray, measure: Measure, rows: Any, effects: EffectSizes
) -> None:
    bad = np.zeros(effects.K, dtype=np.bool_)
    bad[rows] = n <= 2.0
    implied = np.zeros(effects.K)
    implied[rows] = n
    Rows(effects.K, names=effects.names).refuse(
        bad,
        "se",
        f"standard errors of {LETTERS[measure]} that imply total sample sizes above 2, "
        "as its t test needs",
        lambda row: f"one that implies {implied[row]:.4g}",
        "Correct the standard error or leave the estimate out.",
    )
