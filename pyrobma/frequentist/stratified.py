"""Common effects of two groups by Mantel and Haenszel, and by Peto."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from scipy.special import chdtrc

from pyrobma._switchers import for_switchers
from pyrobma._types import FloatArray
from pyrobma.counts.kernels import expected_events
from pyrobma.effects.counts import TwoGroups, read_groups
from pyrobma.errors import DataError
from pyrobma.frequentist.intervals import check_level, wald
from pyrobma.frequentist.observed import observed
from pyrobma.frequentist.stratified_fits import MantelHaenszelFit, PetoFit

if TYPE_CHECKING:
    from pyrobma.effects._tables import AnyTable

MEASURES: Final = ("OR", "RR", "RD", "IRR", "IRD")
"""What `rma_mh` estimates."""


class Chi2(NamedTuple):
    """A chi² test: statistic, degrees of freedom and p-value; nan if not defined."""

    statistic: float
    df: int
    p: float


@for_switchers("rma_mh(data, x1='x1', n1='n1', x2='x2', n2='n2')")
def rma_mh(
    data: AnyTable | None = None,
    *,
    x1: Any = None,
    n1: Any = None,
    x2: Any = None,
    n2: Any = None,
    t1: Any = None,
    t2: Any = None,
    measure: str = "OR",
    correct: bool = True,
    level: float = 0.95,
) -> MantelHaenszelFit:
    """Fit the common-effect model by the method of Mantel and Haenszel.

    Parameters
    ----------
    data : DataFrame, table, mapping or None
        Table in which a string names a column.
    x1, x2 : column name or array of shape (K,)
        Numbers of events in group 1 (treatment) and group 2 (control), whole.
    n1, n2 : column name or array of shape (K,)
        Members of the groups, with and without event, for "OR", "RR" and "RD".
    t1, t2 : column name or array of shape (K,)
        Person-time of the groups, positive, for "IRR" and "IRD".
    measure : {"OR", "RR", "RD", "IRR", "IRD"}
        Log odds ratio, log risk ratio, risk difference; log ratio, or difference, of
        incidence rates. Positive if group 1 has more events.
    correct : bool
        Whether the test of no effect has a continuity correction of 1/2.
    level : float
        Coverage of the interval, 0 to 1.

    Returns
    -------
    MantelHaenszelFit
        Estimate, tests and interval; prints as a table, `ratio()` on the ratio's scale.

    Raises
    ------
    DataError
        If a number is missing, negative, not whole, or above its total; or if the
        ratio is 0 or infinite, or not defined.

    Notes
    -----
    Nothing is added to empty cells, as in metafor. With ``a = x1, b = n1 - x1, c = x2,
    d = n2 - x2, N = n1 + n2`` and ``T = t1 + t2``, sums over studies:

    ======= ============================================== =================
    measure estimate                                       standard error
    ======= ============================================== =================
    OR      log of Σ ad/N over Σ bc/N                      [2]_
    RR      log of Σ a n2/N over Σ c n1/N                  [3]_
    RD      Σ (a n2 - c n1)/N over Σ n1 n2/N               [4]_
    IRR     log of Σ x1 t2/T over Σ x2 t1/T                [3]_
    IRD     Σ (x1 t2 - x2 t1)/T over Σ t1 t2/T             [5]_
    ======= ============================================== =================

    Studies without events in both groups, or with nothing but events, have no weight in
    a ratio; in differences they count. The continuity correction is not larger than
    the difference that it corrects.

    References
    ----------
    .. [1] Mantel, Haenszel (1959). J. Natl. Cancer Inst. 22(4), 719-748.
       doi:10.1093/jnci/22.4.719
    .. [2] Robins, Breslow, Greenland (1986). Biometrics 42(2), 311-323.
       doi:10.2307/2531052
    .. [3] Greenland, Robins (1985). Biometrics 41(1), 55-68. doi:10.2307/2530643
    .. [4] Sato, Greenland, Robins (1989). Biometrics 45(4), 1323-1324. It corrects the
       variance of [3]_.
    .. [5] Rothman, Greenland, Lash (2008). Modern Epidemiology, 3rd ed., chapter 15.
    .. [6] Tarone (1985). Biometrika 72(1), 91-95. doi:10.1093/biomet/72.1.91
    """
    check_level(level)
    groups = read_groups(
        data, x1=x1, x2=x2, n1=n1, n2=n2, t1=t1, t2=t2, measure=measure,
        measures=MEASURES,
    )  # fmt: skip
    pooled = _POOLED[measure](groups)
    statistic, p, ci = wald(pooled.estimate, pooled.se, level=level)
    yi, vi = observed(groups, measure)
    q = float(np.sum((yi - pooled.estimate) ** 2 / vi)) if yi.size > 1 else 0.0
    heterogeneity = _heterogeneity(q, yi.size)
    none = Chi2(math.nan, 0, math.nan)
    no_effect = _no_effect(groups, correct) if measure in ("OR", "IRR") else none
    tarone = _tarone(groups, pooled.estimate) if measure == "OR" else none
    return MantelHaenszelFit(
        measure=measure,
        k=groups.K,
        k_silent=int(groups.silent.sum()),
        level=level,
        estimate=pooled.estimate,
        se=pooled.se,
        statistic=statistic,
        p=p,
        ci=ci,
        **heterogeneity,
        CMH=no_effect.statistic,
        CMH_p=no_effect.p,
        tarone=tarone.statistic,
        tarone_df=tarone.df,
        tarone_p=tarone.p,
        _weights=100.0 * pooled.weights / pooled.weights.sum(),
    )


@for_switchers("rma_peto(data, x1='x1', n1='n1', x2='x2', n2='n2')")
def rma_peto(
    data: AnyTable | None = None,
    *,
    x1: Any = None,
    n1: Any = None,
    x2: Any = None,
    n2: Any = None,
    level: float = 0.95,
) -> PetoFit:
    """Fit a common odds ratio by Peto's one-step method.

    Good for rare events, small effects and groups of about the same size; with large
    effects or unequal groups it is biased.

    Parameters
    ----------
    data, x1, n1, x2, n2, level
        As for `rma_mh`.

    Returns
    -------
    PetoFit
        Estimate, tests and interval; prints as a table, `ratio()` as an odds ratio.

    Raises
    ------
    DataError
        If a number is missing, negative, not whole, or above its total; or if no study
        has both events and members without.

    Notes
    -----
    Given its margins, and no effect, the number of events x1 of a study has the
    hypergeometric mean E and variance V. The log odds ratio is Σ (x1 - E) over Σ V,
    its standard error ``1 / sqrt(Σ V)``, and Q is Σ (x1 - E)²/V less (Σ (x1 - E))² over
    Σ V. Nothing is added to empty cells. Studies without events in both groups, or with
    nothing but events, have V = 0 and no weight.

    References
    ----------
    .. [1] Yusuf, Peto, Lewis, Collins, Sleight (1985). Prog. Cardiovasc. Dis. 27(5),
       335-371. doi:10.1016/s0033-0620(85)80003-7
    """
    check_level(level)
    groups = read_groups(
        data, x1=x1, x2=x2, n1=n1, n2=n2, t1=None, t2=None, measure="OR",
        measures=("OR",),
    )  # fmt: skip
    excess, variance = _hypergeometric(groups)
    told = variance > 0.0
    total = float(variance.sum())
    if total == 0.0:
        raise DataError(
            "x1, x2: expected a study with events and with members that have none; got "
            f"none among {groups.K}. There is no odds ratio to estimate."
        )
    estimate, se = float(excess.sum()) / total, math.sqrt(1.0 / total)
    statistic, p, ci = wald(estimate, se, level=level)
    q = float(np.sum(excess[told] ** 2 / variance[told])) - estimate**2 * total
    return PetoFit(
        measure="OR",
        k=groups.K,
        k_silent=int(groups.silent.sum()),
        level=level,
        estimate=estimate,
        se=se,
        statistic=statistic,
        p=p,
        ci=ci,
        **_heterogeneity(max(q, 0.0), int(told.sum())),
        _weights=100.0 * variance / total,
    )


# ---- estimates -------------------------------------------------------------
class _Pooled(NamedTuple):
    """A common effect, its standard error, and what each study adds to its weight."""

    estimate: float
    se: float
    weights: FloatArray


def _odds_ratio(groups: TwoGroups) -> _Pooled:
    a, c, n = groups.x1, groups.x2, groups.size1 + groups.size2
    b, d = groups.size1 - a, groups.size2 - c
    r, s, match, differ = a * d / n, b * c / n, (a + d) / n, (b + c) / n
    big_r, big_s = float(r.sum()), float(s.sum())
    estimate = _log_ratio(big_r, big_s, "OR")
    variance = 0.5 * (
        (match @ r) / big_r**2
        + (match @ s + differ @ r) / (big_r * big_s)
        + (differ @ s) / big_s**2
    )
    return _Pooled(estimate, math.sqrt(variance), s)


def _risk_ratio(groups: TwoGroups) -> _Pooled:
    a, c, n1, n2 = groups.x1, groups.x2, groups.size1, groups.size2
    n = n1 + n2
    r, s = a * n2 / n, c * n1 / n
    estimate = _log_ratio(r.sum(), s.sum(), "RR")
    spread = np.sum(n1 * n2 * (a + c) / n**2 - a * c / n)
    return _Pooled(estimate, math.sqrt(max(spread, 0.0) / (r.sum() * s.sum())), s)


def _risk_difference(groups: TwoGroups) -> _Pooled:
    a, c, n1, n2 = groups.x1, groups.x2, groups.size1, groups.size2
    n = n1 + n2
    weights = n1 * n2 / n
    total = weights.sum()
    estimate = float(np.sum((a * n2 - c * n1) / n) / total)
    first = np.sum((c * n1**2 - a * n2**2 + 0.5 * n1 * n2 * (n2 - n1)) / n**2)
    second = 0.5 * np.sum((a * (n2 - c) + c * (n1 - a)) / n)
    # rounding may leave a negative number where all is the same in both groups
    variance = max(estimate * first + second, 0.0) / total**2
    return _Pooled(estimate, math.sqrt(variance), weights)


def _rate_ratio(groups: TwoGroups) -> _Pooled:
    x1, x2, t1, t2 = groups.x1, groups.x2, groups.size1, groups.size2
    t = t1 + t2
    r, s = x1 * (t2 / t), x2 * (t1 / t)
    estimate = _log_ratio(r.sum(), s.sum(), "IRR")
    spread = np.sum((t1 / t) * (t2 / t) * (x1 + x2))
    return _Pooled(estimate, math.sqrt(spread / (r.sum() * s.sum())), s)


def _rate_difference(groups: TwoGroups) -> _Pooled:
    x1, x2, t1, t2 = groups.x1, groups.x2, groups.size1, groups.size2
    t = t1 + t2
    weights = t1 * (t2 / t)
    total = weights.sum()
    estimate = float(np.sum(x1 * (t2 / t) - x2 * (t1 / t)) / total)
    variance = np.sum(weights**2 * (x1 / t1**2 + x2 / t2**2))
    return _Pooled(estimate, float(np.sqrt(variance) / total), weights)


_POOLED: Final[dict[str, Callable[[TwoGroups], _Pooled]]] = {
    "OR": _odds_ratio,
    "RR": _risk_ratio,
    "RD": _risk_difference,
    "IRR": _rate_ratio,
    "IRD": _rate_difference,
}


def _log_ratio(numerator: float, denominator: float, measure: str) -> float:
    if numerator > 0.0 and denominator > 0.0:
        return math.log(numerator) - math.log(denominator)
    group, other = (2, 1) if denominator == 0.0 < numerator else (1, 2)
    value = "infinity" if group == 2 else "0" if denominator > 0.0 else "0 / 0"
    reason = f"group {group} has no event in any study"
    if measure == "OR":
        reason = f"no study has an event in group {group} and none in a member of "
        reason += f"group {other}"
    difference = "IRD" if measure == "IRR" else "RD"
    raise DataError(
        f"x1, x2: expected events that give a positive finite ratio; got {value}, since"
        f' {reason}. Use measure="{difference}", or a Bayesian model.'
    )


# ---- tests -----------------------------------------------------------------
def _hypergeometric(groups: TwoGroups) -> tuple[FloatArray, FloatArray]:
    """Events of group 1 over what no effect leads to expect, and their variance."""
    events, n = groups.x1 + groups.x2, groups.size1 + groups.size2
    share1, share2 = groups.size1 / n, groups.size2 / n
    variance = share1 * share2 * events * ((n - events) / (n - 1.0))
    return groups.x1 - events * share1, variance


def _no_effect(groups: TwoGroups, correct: bool) -> Chi2:
    """Test of Cochran, Mantel and Haenszel, or for rates of Mantel and Haenszel."""
    if groups.rates:
        events, t = groups.x1 + groups.x2, groups.size1 + groups.size2
        excess = groups.x1 - events * (groups.size1 / t)
        variance = events * (groups.size1 / t) * (groups.size2 / t)
    else:
        excess, variance = _hypergeometric(groups)
    distance = max(abs(float(excess.sum())) - (0.5 if correct else 0.0), 0.0)
    statistic = distance**2 / float(variance.sum())
    return Chi2(statistic, 1, float(chdtrc(1, statistic)))


def _tarone(groups: TwoGroups, log_odds_ratio: float) -> Chi2:
    """Breslow and Day's test of equal odds ratios with Tarone's correction."""
    told = groups.kept(~groups.silent)
    n1, n2, events = told.size1, told.size2, told.x1 + told.x2
    expected = expected_events(told, math.exp(log_odds_ratio))
    cells = np.array(
        [expected, n1 - expected, events - expected, n2 - events + expected]
    )
    variance = 1.0 / np.sum(1.0 / cells, axis=0)
    excess = told.x1 - expected
    statistic = np.sum(excess**2 / variance) - np.sum(excess) ** 2 / np.sum(variance)
    df = told.K - 1
    if df < 1:
        return Chi2(math.nan, df, math.nan)
    statistic = max(float(statistic), 0.0)
    return Chi2(statistic, df, float(chdtrc(df, statistic)))


def _heterogeneity(q: float, k: int) -> dict[str, Any]:
    df = k - 1
    if df < 1:
        return {"I2": 0.0, "H2": 1.0, "Q": 0.0, "Q_df": 0, "Q_p": 1.0}
    return {
        "I2": max(0.0, 100.0 * (q - df) / q) if q > 0.0 else 0.0,
        "H2": q / df,
        "Q": q,
        "Q_df": df,
        "Q_p": float(chdtrc(df, q)),
    }
