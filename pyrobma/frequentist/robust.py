"""Cluster-robust results: the mean effect, or coefficients of a meta-regression."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyrobma.frequentist.coefficients import (
    coefficient_lines,
    covariance_table,
    term_tests,
    test_lines,
)
from pyrobma.frequentist.design import Design
from pyrobma.frequentist.intervals import Interval, wald
from pyrobma.frequentist.likelihood import ClusterLikelihood
from pyrobma.frequentist.report import Report, p_value, percent, table
from pyrobma.frequentist.sandwich import Correction, Sandwich, sandwich
from pyrobma.frequentist.wald import WaldTest, coefficient_table, standard_errors

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False)
class RobustEstimate(Report):
    """The mean effect with a cluster-robust standard error.

    Attributes
    ----------
    correction : {"CR1", "CR2", "CR0"}
        Small-sample correction.
    clusters : int
        Number of clusters.
    estimate, se : float
        Mean effect and robust standard error.
    statistic, df, p : float
        t test of zero.
    level : float
        Coverage of `ci`, 0 to 1.
    ci : Interval
        Confidence interval of the mean effect.
    """

    correction: Correction
    clusters: int
    estimate: float
    se: float
    statistic: float
    df: float
    p: float
    level: float
    ci: Interval

    def __str__(self) -> str:
        """Return the table."""
        lower, upper = (f"{percent(self.level)} {end}" for end in ("lower", "upper"))
        body = table(
            ["", "estimate", "se", "t", "df", "p", lower, upper],
            [
                [
                    "mu",
                    self.estimate,
                    self.se,
                    self.statistic,
                    f"{self.df:.2f}",
                    p_value(self.p),
                    *self.ci,
                ]
            ],
        )
        return f"Cluster-robust {self.correction}, {self.clusters} clusters\n\n{body}"


@dataclass(frozen=True, slots=True, repr=False)
class RobustCoefficients(Report):
    """Coefficients of a meta-regression with cluster-robust tests.

    Attributes
    ----------
    correction : {"CR1", "CR2", "CR0"}
        Small-sample correction.
    clusters : int
        Number of clusters.
    level : float
        Coverage of the intervals, 0 to 1.
    QM, QM_df, QM_df2, QM_p : float
        F test of all coefficients but the intercept, with `QM_df` and `QM_df2` degrees
        of freedom; nan if there are too few clusters for it.
    """

    correction: Correction
    clusters: int
    level: float
    QM: float
    QM_df: int
    QM_df2: float
    QM_p: float
    _design: Design = field(compare=False)
    _sandwich: Sandwich = field(compare=False)

    @property
    def coefficients(self) -> pd.DataFrame:
        """One row a coefficient: estimate, se, statistic (t), df, p, lower, upper."""
        found = self._sandwich
        return coefficient_table(
            self._design.labels,
            found.estimate,
            standard_errors(found.factor),
            found.df,
            self.level,
        )

    @property
    def covariance(self) -> pd.DataFrame:
        """Robust covariance of the coefficients, labels on both axes."""
        return covariance_table(self._design, self._sandwich.factor)

    @property
    def terms(self) -> pd.DataFrame:
        """F tests of the coefficients of each term: statistic, df, df2, p."""
        return term_tests(self._design, self._sandwich.test)

    def __str__(self) -> str:
        """Return the table."""
        overall = WaldTest(self.QM, self.QM_df, self.QM_df2, self.QM_p)
        return "\n".join(
            [
                f"Cluster-robust {self.correction}, {self.clusters} clusters",
                "",
                coefficient_lines(self.coefficients, self.level, letter="t", df=True),
                "",
                test_lines(overall, self.terms),
            ]
        )


def cluster_robust(
    likelihood: ClusterLikelihood,
    within: float,
    between: float,
    *,
    correction: str,
    level: float,
) -> RobustEstimate:
    """Sandwich standard error of mu; arguments and errors as of `sandwich`.

    `level` is the coverage of the interval, 0 to 1.
    """
    found = sandwich(likelihood, within, between, correction=correction)
    mu, df = found.estimate.item(), found.df.item()
    se = standard_errors(found.factor).item()
    statistic, p, ci = wald(mu, se, level=level, df=df)
    return RobustEstimate(
        correction=found.correction,
        clusters=found.clusters,
        estimate=mu,
        se=se,
        statistic=statistic,
        df=df,
        p=p,
        level=level,
        ci=ci,
    )


def robust_coefficients(
    likelihood: ClusterLikelihood,
    design: Design,
    within: float,
    between: float,
    *,
    correction: str,
    level: float,
) -> RobustCoefficients:
    """Sandwich tests of all coefficients; the same for a `design`."""
    found = sandwich(likelihood, within, between, correction=correction)
    overall = found.test(design.slopes)
    return RobustCoefficients(
        correction=found.correction,
        clusters=found.clusters,
        level=level,
        QM=overall.statistic,
        QM_df=overall.df,
        QM_df2=overall.df2,
        QM_p=overall.p,
        _design=design,
        _sandwich=found,
    )
