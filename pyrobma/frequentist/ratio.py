"""Results of log odds, risk and rate ratios, on the scale of the ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from pyrobma.errors import DataError
from pyrobma.frequentist.intervals import Interval
from pyrobma.frequentist.report import Report, percent, table

RATIOS: Final = {"OR": "odds ratio", "RR": "risk ratio", "IRR": "rate ratio"}
"""Measures whose estimates are logs, and what they are logs of."""

_OTHERS: Final = {"RD": "risk difference", "IRD": "rate difference"}


@dataclass(frozen=True, slots=True, repr=False)
class RatioEstimate(Report):
    """An odds, risk or rate ratio of group 1 over group 2; prints as a table.

    Attributes
    ----------
    measure : {"OR", "RR", "IRR"}
        Which ratio.
    level : float
        Coverage of the intervals, 0 to 1.
    estimate : float
        The ratio, positive.
    ci : Interval
        Its confidence interval.
    prediction : Interval
        Where the ratio of a new study is expected; nan without heterogeneity.
    """

    measure: str
    level: float
    estimate: float
    ci: Interval
    prediction: Interval

    def __str__(self) -> str:
        """Return the table."""
        ends = (f"{percent(self.level)} {end}" for end in ("lower", "upper"))
        rows: list[list[str | float]] = [
            [RATIOS[self.measure], self.estimate, *self.ci]
        ]
        if not math.isnan(self.prediction.lower):
            rows.append(["prediction", "", *self.prediction])
        return table(["", "estimate", *ends], rows)


def as_ratio(
    measure: str,
    level: float,
    estimate: float,
    ci: Interval,
    prediction: Interval | None = None,
) -> RatioEstimate:
    """Return a log ratio and its intervals on the scale of the ratio."""
    if measure not in RATIOS:
        raise DataError(
            f'measure: expected a ratio; got "{measure}", a {words(measure)}. The '
            "estimate is on its scale already."
        )
    none = Interval(math.nan, math.nan)
    return RatioEstimate(
        measure=measure,
        level=level,
        estimate=math.exp(estimate),
        ci=Interval(*map(math.exp, ci)),
        prediction=Interval(*map(math.exp, none if prediction is None else prediction)),
    )


def words(measure: str) -> str:
    """Write out a measure, as "log odds ratio"."""
    return f"log {RATIOS[measure]}" if measure in RATIOS else _OTHERS[measure]
