"""Results of generalised linear mixed models of events in two groups."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from numpy.typing import ArrayLike

from pyrobma.errors import DataError
from pyrobma.frequentist.coefficients import (
    Coefficients,
    coefficient_lines,
    covariance_table,
    term_tests,
    test_lines,
)
from pyrobma.frequentist.count_estimate import CountEstimate
from pyrobma.frequentist.count_model import MODELS
from pyrobma.frequentist.heterogeneity import COMMON
from pyrobma.frequentist.intervals import (
    HeterogeneityIntervals,
    Interval,
    check_level,
    profile_interval,
)
from pyrobma.frequentist.ratio import RatioEstimate, as_ratio, words
from pyrobma.frequentist.report import Report, number, p_value, percent, table
from pyrobma.frequentist.stratified_fits import silent_lines
from pyrobma.frequentist.wald import WaldTest

if TYPE_CHECKING:
    import pandas as pd

    from pyrobma.effects._tables import AnyTable


_MOST: Final = 100.0
"""Values of tau² beyond say that odds differ by factors of e^20: they count as inf."""


@dataclass(frozen=True, slots=True, repr=False)
class GlmmFit(Report):
    """A generalised linear mixed model of events in two groups; prints as a table.

    Attributes
    ----------
    model : {"UM.FS", "UM.RS", "CM.EL", "CM.AL"}
        What is assumed of the studies' baselines: see `rma_glmm`.
    method : {"ML", "EE", "FE"}
        With heterogeneity, or without.
    test : {"z", "t"}
        Normal test, or t with k - 1 degrees of freedom.
    measure : {"OR", "IRR"}
        Odds or rate ratio of group 1 over group 2; estimates are logs.
    k, k_silent : int
        Number of studies; of those that were left out, since they have no events in
        either group, or nothing but events.
    level : float
        Coverage of the intervals, 0 to 1.
    estimate, se : float
        Mean effect mu, log scale, and its standard error.
    statistic, p : float
        z or t, and its two-sided p-value.
    ci : Interval
        Confidence interval of mu.
    prediction : Interval
        Where the true effect of a new study is expected; nan for "EE" and "FE".
    tau2, se_tau2, tau : float
        Heterogeneity: variance, its standard error (nan for "EE" and "FE", and if tau²
        is 0), standard deviation.
    sigma2 : float
        Variance of the baselines for "UM.RS", else nan.
    I2, H2 : float
        Share of heterogeneity in the total variance, per cent; total variance over the
        sampling variance of a typical study.
    Q_Wald, Q_Wald_p, Q_LRT, Q_LRT_p : float
        Tests of heterogeneity, Wald's and by the likelihood ratio, chi² with `Q_df`
        degrees of freedom; nan for "UM.RS".
    Q_df : int
        Their degrees of freedom.
    loglik, AIC, BIC, AICc : float
        Log likelihood of the fit with all constants, and its criteria.
    """

    model: str
    method: str
    test: str
    measure: str
    k: int
    k_silent: int
    level: float
    estimate: float
    se: float
    statistic: float
    p: float
    ci: Interval
    prediction: Interval
    tau2: float
    se_tau2: float
    tau: float
    sigma2: float
    I2: float
    H2: float
    Q_Wald: float
    Q_Wald_p: float
    Q_LRT: float
    Q_LRT_p: float
    Q_df: int
    loglik: float
    AIC: float
    BIC: float
    AICc: float
    _fit: CountEstimate = field(compare=False)

    def tau2_interval(self, *, level: float | None = None) -> HeterogeneityIntervals:
        """Profile-likelihood intervals of tau² and of tau.

        Parameters
        ----------
        level : float or None
            Coverage, 0 to 1; None means the level of the fit.

        Returns
        -------
        HeterogeneityIntervals
            Of "tau2" and "tau". An upper end is inf if a tau of 10 is in the interval.

        Raises
        ------
        DataError
            If the model has no tau².

        Notes
        -----
        metafor has no intervals of tau² for these models.
        """
        return _tau2_intervals(self, self.level if level is None else level)

    def ratio(self) -> RatioEstimate:
        """Return mean effect and intervals as an odds or rate ratio."""
        return as_ratio(
            self.measure, self.level, self.estimate, self.ci, self.prediction
        )

    def __str__(self) -> str:
        """Return the table."""
        common = self.method in COMMON
        ends = (f"{percent(self.level)} {end}" for end in ("lower", "upper"))
        rows: list[list[str | float]] = [
            ["mu", self.estimate, self.se, self.statistic, p_value(self.p), *self.ci]
        ]
        if not common:
            rows.append(["prediction", "", "", "", "", *self.prediction])
        kind = "Common-effect" if common else "Random-effects"
        lines = [
            f"{kind} model ({self.method}), {self.k} studies, {words(self.measure)}",
            f"{self.model}: {MODELS[self.model]}",
            "",
            table(["", "estimate", "se", self.test, "p", *ends], rows),
            "",
            *_variance_lines(self, "tau²"),
            *_test_lines(
                self.Q_Wald, self.Q_Wald_p, self.Q_LRT, self.Q_LRT_p, self.Q_df
            ),
            *_end_lines(self),
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, repr=False)
class GlmmRegressionFit(Report):
    """A generalised linear mixed model with moderators; prints as a table.

    Attributes
    ----------
    model, method, measure, k, k_silent, level
        As of `GlmmFit`.
    test : {"z", "t"}
        Normal and chi² tests, or t and F with k - p degrees of freedom.
    p : int
        Number of coefficients, with the intercept.
    QM, QM_df, QM_df2, QM_p : float
        Wald test of all coefficients but the intercept: chi² with `QM_df` degrees of
        freedom, or for "t" F with `QM_df` and `QM_df2` (inf for chi²).
    tau2, se_tau2, tau, sigma2, I2, H2 : float
        Residual heterogeneity; as of `GlmmFit`.
    QE_Wald, QE_Wald_p, QE_LRT, QE_LRT_p : float
        Tests of residual heterogeneity, with `QE_df` degrees of freedom.
    QE_df : int
        Their degrees of freedom.
    loglik, AIC, BIC, AICc : float
        Log likelihood with all constants, and its criteria.
    """

    model: str
    method: str
    test: str
    measure: str
    k: int
    k_silent: int
    p: int
    level: float
    QM: float
    QM_df: int
    QM_df2: float
    QM_p: float
    tau2: float
    se_tau2: float
    tau: float
    sigma2: float
    I2: float
    H2: float
    QE_Wald: float
    QE_Wald_p: float
    QE_LRT: float
    QE_LRT_p: float
    QE_df: int
    loglik: float
    AIC: float
    BIC: float
    AICc: float
    _coefficients: Coefficients = field(compare=False)
    _fit: CountEstimate = field(compare=False)

    @property
    def coefficients(self) -> pd.DataFrame:
        """One row a coefficient, by label, the intercept first; logs of ratios.

        Columns estimate, se, statistic (z or t), df (inf for z), p, lower, upper.
        """
        return self._coefficients.table()

    @property
    def covariance(self) -> pd.DataFrame:
        """Covariance of the coefficients, labels on both axes."""
        return covariance_table(self._coefficients.design, self._coefficients.factor)

    @property
    def terms(self) -> pd.DataFrame:
        """Wald tests of the coefficients of each term, one row a term.

        Columns statistic (chi² or F), df, df2 (inf for chi²), p.
        """
        return term_tests(self._coefficients.design, self._coefficients.test)

    def ratios(self) -> pd.DataFrame:
        """Coefficients as ratios: columns estimate, lower, upper.

        The first is the ratio where all moderators are 0, the others what it is
        multiplied with for each 1 of their column.
        """
        return self.coefficients[["estimate", "lower", "upper"]].map(math.exp)

    def tau2_interval(self, *, level: float | None = None) -> HeterogeneityIntervals:
        """Profile-likelihood intervals of residual tau² and tau, as of `GlmmFit`."""
        return _tau2_intervals(self, self.level if level is None else level)

    def predict(self, newdata: AnyTable | ArrayLike | None = None) -> pd.DataFrame:
        """Predict log ratios from moderators.

        Parameters
        ----------
        newdata : DataFrame, table, mapping, array, or None
            New values of the moderators by name, coded as those of the fit, or coded
            columns without the intercept. None means the studies of the fit.

        Returns
        -------
        DataFrame
            One row each: fit (mean effect), se, ci_lower, ci_upper; prediction_lower
            and prediction_upper, where the true effect of a new study is expected (nan
            for "EE" and "FE").

        Raises
        ------
        DataError
            If a moderator lacks, or has a level that the fit does not have.
        """
        tau2 = math.nan if self.method in COMMON else self.tau2
        return self._coefficients.predict(newdata, tau2)

    def __str__(self) -> str:
        """Return the table."""
        kind = "Common-effect" if self.method in COMMON else "Mixed-effects"
        overall = WaldTest(self.QM, self.QM_df, self.QM_df2, self.QM_p)
        lines = [
            f"{kind} meta-regression ({self.method}), {self.k} studies, "
            f"{words(self.measure)}",
            f"{self.model}: {MODELS[self.model]}",
            "",
            coefficient_lines(self.coefficients, self.level, letter=self.test),
            "",
            test_lines(overall, self.terms),
            "",
            *_variance_lines(self, "residual tau²"),
            *_test_lines(
                self.QE_Wald, self.QE_Wald_p, self.QE_LRT, self.QE_LRT_p, self.QE_df
            ),
            *_end_lines(self),
        ]
        return "\n".join(lines)


def _tau2_intervals(
    fit: GlmmFit | GlmmRegressionFit, level: float
) -> HeterogeneityIntervals:
    if fit.method in COMMON:
        raise DataError(
            f'method: expected "ML" for an interval of tau²; got "{fit.method}", which '
            "has none. Fit the model with heterogeneity."
        )
    found = profile_interval(
        fit._fit.profile,
        fit.tau2,
        fit.loglik,
        level=check_level(level),
        unit=0.1,
        upper=_MOST,
    )
    upper = found.upper if found.upper < _MOST else math.inf
    tau2 = Interval(found.lower, upper)
    return HeterogeneityIntervals(
        "PL",
        level,
        {"tau2": fit.tau2, "tau": fit.tau},
        {"tau2": tau2, "tau": Interval(*map(math.sqrt, tau2))},
    )


def _variance_lines(fit: GlmmFit | GlmmRegressionFit, name: str) -> list[str]:
    if fit.method in COMMON:
        lines = []
    else:
        se = "" if math.isnan(fit.se_tau2) else f" (se {number(fit.se_tau2)})"
        lines = [
            f"{name} {number(fit.tau2)}{se}, tau {number(fit.tau)}",
            f"I² {number(fit.I2, 2)} %, H² {number(fit.H2, 2)}",
        ]
    if not math.isnan(fit.sigma2):
        lines.append(f"sigma² of baselines {number(fit.sigma2)}")
    return lines


def _test_lines(
    wald: float, wald_p: float, lrt: float, lrt_p: float, df: int
) -> list[str]:
    if math.isnan(lrt):
        return []
    return [
        f"Wald test of heterogeneity: X²({df}) = {number(wald)}, p {p_value(wald_p)}",
        f"Likelihood ratio test: X²({df}) = {number(lrt)}, p {p_value(lrt_p)}",
    ]


def _end_lines(fit: GlmmFit | GlmmRegressionFit) -> list[str]:
    left_out = [f"left out: {line}" for line in silent_lines(fit.k_silent)]
    return [
        f"logLik {number(fit.loglik)}, AIC {number(fit.AIC)}, "
        f"BIC {number(fit.BIC)}, AICc {number(fit.AICc)}",
        *left_out,
    ]
