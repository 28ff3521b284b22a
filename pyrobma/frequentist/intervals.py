"""Intervals and tests: normal and t, profile likelihood, Q-profile."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from scipy.special import ndtr, ndtri, stdtr, stdtrit

from pyrobma.errors import DataError
from pyrobma.frequentist.report import Report, percent, table

if TYPE_CHECKING:
    import pandas as pd


class Interval(NamedTuple):
    """Two ends of an interval."""

    lower: float
    upper: float


@dataclass(frozen=True, slots=True, repr=False)
class HeterogeneityIntervals(Report):
    """Confidence intervals of heterogeneity parameters.

    Attributes
    ----------
    method : str
        How they were found.
    level : float
        Coverage, 0 to 1.
    estimates : dict of str to float
        Estimate of each parameter.
    intervals : dict of str to Interval
        Interval of each parameter, under the same names; also by ``[name]``.
    """

    method: str
    level: float
    estimates: dict[str, float]
    intervals: dict[str, Interval]

    def __getitem__(self, name: str) -> Interval:
        """Interval of one parameter."""
        return self.intervals[name]

    def to_frame(self) -> pd.DataFrame:
        """One row a parameter: estimate, lower, upper."""
        import pandas as pd

        rows = {
            name: (self.estimates[name], *interval)
            for name, interval in self.intervals.items()
        }
        return pd.DataFrame.from_dict(
            rows, orient="index", columns=["estimate", "lower", "upper"]
        )

    def __str__(self) -> str:
        """Return the table."""
        rows: list[list[str | float]] = [
            [name, self.estimates[name], interval.lower, interval.upper]
            for name, interval in self.intervals.items()
        ]
        title = f"{percent(self.level)} confidence intervals ({self.method})"
        return f"{title}\n\n{table(['', 'estimate', 'lower', 'upper'], rows)}"


def check_level(level: float) -> float:
    """Return `level` if it is a coverage, else raise DataError."""
    if not 0.0 < level < 1.0:
        raise DataError(
            f"level: expected a number between 0 and 1; got {level!r}. "
            "Give 0.95 for 95 % intervals."
        )
    return level


def wald(
    estimate: float, se: float, *, level: float, df: float | None = None
) -> tuple[float, float, Interval]:
    """Test of zero and interval, normal or t.

    Parameters
    ----------
    estimate, se : float
        Estimate and standard error.
    level : float
        Coverage, 0 to 1.
    df : float or None
        Degrees of freedom of t; None means the normal.

    Returns
    -------
    float
        z or t; nan if `se` is 0.
    float
        Two-sided p-value.
    Interval
        Confidence interval.
    """
    statistic = estimate / se if se > 0.0 else math.nan
    tail = ndtr(-abs(statistic)) if df is None else stdtr(df, -abs(statistic))
    return statistic, float(2.0 * tail), around(estimate, se, level=level, df=df)


def around(
    estimate: float, sd: float, *, level: float, df: float | None = None
) -> Interval:
    """Interval of normal or t quantiles, `estimate` ± quantile · `sd`."""
    upper_tail = 0.5 * (1.0 + level)
    quantile = ndtri(upper_tail) if df is None else stdtrit(df, upper_tail)
    half = float(quantile) * sd
    return Interval(estimate - half, estimate + half)


def profile_interval(
    profile: Callable[[float], float],
    estimate: float,
    maximum: float,
    *,
    level: float,
    unit: float,
    upper: float = math.inf,
) -> Interval:
    """Profile-likelihood interval of a parameter that is not negative.

    Parameters
    ----------
    profile : callable
        Log likelihood at a value of the parameter, maximised over all others.
    estimate, maximum : float
        Where `profile` has its maximum, and the maximum.
    level : float
        Coverage, 0 to 1.
    unit : float
        First step upwards, if there is no upper bound.
    upper : float
        Largest legal value; inf means none.

    Returns
    -------
    Interval
        Values where twice the drop of the log likelihood is below the chi² quantile
        (one degree of freedom); cut at 0 and at `upper`.
    """
    quantile = float(ndtri(0.5 * (1.0 + level)))

    # the square root of the deviance is nearly straight: few steps to its root
    def excess(x: float) -> float:
        return math.sqrt(max(2.0 * (maximum - profile(x)), 0.0)) - quantile

    top = upper if math.isfinite(upper) else above(excess, estimate, unit)
    return Interval(
        0.0 if excess(0.0) <= 0.0 else crossing(excess, 0.0, estimate),
        top if excess(top) <= 0.0 else crossing(excess, estimate, top),
    )


def above(excess: Callable[[float], float], start: float, step: float) -> float:
    """Return a point over `start` where `excess`, rising in the end, is positive."""
    while excess(start + step) <= 0.0:
        step *= 2.0
    return start + step


def crossing(excess: Callable[[float], float], lower: float, upper: float) -> float:
    """Root of `excess` between two points where it has different signs."""
    from scipy.optimize import brentq

    return float(brentq(excess, lower, upper, xtol=1e-10 * upper))
