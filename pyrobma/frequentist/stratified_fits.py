"""Results of the methods of Mantel and Haenszel, and of Peto."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pyrobma._types import FloatArray
from pyrobma.frequentist.intervals import Interval
from pyrobma.frequentist.ratio import RatioEstimate, as_ratio, words
from pyrobma.frequentist.report import Report, number, p_value, percent, table


@dataclass(frozen=True, slots=True, repr=False)
class MantelHaenszelFit(Report):
    """A common effect by the method of Mantel and Haenszel; prints as a table.

    Attributes
    ----------
    measure : {"OR", "RR", "RD", "IRR", "IRD"}
        Odds, risk or rate ratio (estimates are logs), risk or rate difference.
    k, k_silent : int
        Number of studies; how many of them have no events in either group, or nothing
        but events.
    level : float
        Coverage of the interval, 0 to 1.
    estimate, se : float
        Common effect of group 1 over, or minus, group 2, and its standard error.
    statistic, p : float
        z and its two-sided p-value.
    ci : Interval
        Confidence interval.
    I2, H2 : float
        From Q: share of heterogeneity in the total variance, per cent; total variance
        over sampling variance.
    Q, Q_df, Q_p : float
        Cochran's test of heterogeneity, by inverse variances around the estimate,
        with 1/2 added to the cells of studies that have an empty one.
    CMH, CMH_p : float
        Test of Cochran, Mantel and Haenszel that there is no effect ("OR"), or of
        Mantel and Haenszel ("IRR"), chi² with one degree of freedom; else nan.
    tarone, tarone_df, tarone_p : float
        Tarone's test of heterogeneity, for "OR"; else nan.
    """

    measure: str
    k: int
    k_silent: int
    level: float
    estimate: float
    se: float
    statistic: float
    p: float
    ci: Interval
    I2: float
    H2: float
    Q: float
    Q_df: int
    Q_p: float
    CMH: float
    CMH_p: float
    tarone: float
    tarone_df: int
    tarone_p: float
    _weights: FloatArray = field(compare=False)

    @property
    def weights(self) -> FloatArray:
        """Weights of the K studies' effects, per cent; of ratios, not of their logs."""
        return self._weights

    def ratio(self) -> RatioEstimate:
        """Return estimate and interval as a ratio.

        Raises
        ------
        DataError
            If the measure is a difference.
        """
        return as_ratio(self.measure, self.level, self.estimate, self.ci)

    def __str__(self) -> str:
        """Return the table."""
        lines = _common_lines(self, "Mantel-Haenszel method")
        if not math.isnan(self.CMH):
            name = "Mantel-Haenszel" if self.measure == "IRR" else "CMH"
            lines.append(
                f"{name} test of no effect: X²(1) = {number(self.CMH)}, "
                f"p {p_value(self.CMH_p)}"
            )
        if not math.isnan(self.tarone_p):
            lines.append(
                f"Tarone's test of heterogeneity: X²({self.tarone_df}) = "
                f"{number(self.tarone)}, p {p_value(self.tarone_p)}"
            )
        return "\n".join(lines + silent_lines(self.k_silent))


@dataclass(frozen=True, slots=True, repr=False)
class PetoFit(Report):
    """A common odds ratio by Peto's one-step method; prints as a table.

    Attributes
    ----------
    measure : str
        "OR"; the estimate is a log.
    k, k_silent : int
        Number of studies; how many of them have no events in either group, or nothing
        but events, and no weight.
    level : float
        Coverage of the interval, 0 to 1.
    estimate, se : float
        Common log odds ratio and its standard error.
    statistic, p : float
        z and its two-sided p-value.
    ci : Interval
        Confidence interval.
    I2, H2 : float
        From Q, as of `MantelHaenszelFit`.
    Q, Q_df, Q_p : float
        Peto's test of heterogeneity.
    """

    measure: str
    k: int
    k_silent: int
    level: float
    estimate: float
    se: float
    statistic: float
    p: float
    ci: Interval
    I2: float
    H2: float
    Q: float
    Q_df: int
    Q_p: float
    _weights: FloatArray = field(compare=False)

    @property
    def weights(self) -> FloatArray:
        """Weights of the K studies' one-step log odds ratios, per cent."""
        return self._weights

    def ratio(self) -> RatioEstimate:
        """Return estimate and interval as an odds ratio."""
        return as_ratio(self.measure, self.level, self.estimate, self.ci)

    def __str__(self) -> str:
        """Return the table."""
        return "\n".join(
            _common_lines(self, "Peto's method") + silent_lines(self.k_silent)
        )


# ---- as text ---------------------------------------------------------------
def _common_lines(fit: MantelHaenszelFit | PetoFit, method: str) -> list[str]:
    ends = (f"{percent(fit.level)} {end}" for end in ("lower", "upper"))
    row: list[str | float] = [
        "theta", fit.estimate, fit.se, fit.statistic, p_value(fit.p), *fit.ci
    ]  # fmt: skip
    return [
        f"Common-effect model ({method}), {fit.k} studies, {words(fit.measure)}",
        "",
        table(["", "estimate", "se", "z", "p", *ends], [row]),
        "",
        f"I² {number(fit.I2, 2)} %, H² {number(fit.H2, 2)}",
        f"Q({fit.Q_df}) = {number(fit.Q)}, p {p_value(fit.Q_p)}",
    ]


def silent_lines(k_silent: int) -> list[str]:
    """Return what is said of studies without events, or with nothing but events."""
    if not k_silent:
        return []
    have = "studies have" if k_silent > 1 else "study has"
    return [f"{k_silent} {have} no events in either group, or nothing but events"]
