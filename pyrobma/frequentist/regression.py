"""Meta-regression of independent estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from pyrobma.frequentist.coefficients import (
    Coefficients,
    coefficient_lines,
    covariance_table,
    term_tests,
    test_lines,
)
from pyrobma.frequentist.design import read_design
from pyrobma.frequentist.heterogeneity import COMMON, tau2_intervals
from pyrobma.frequentist.independent import explained, fit_independent
from pyrobma.frequentist.intervals import HeterogeneityIntervals, check_level
from pyrobma.frequentist.likelihood import ClusterLikelihood
from pyrobma.frequentist.report import Report, number, p_value
from pyrobma.frequentist.robust import RobustCoefficients, robust_coefficients
from pyrobma.frequentist.wald import WaldTest

if TYPE_CHECKING:
    import pandas as pd

    from pyrobma.effects._tables import AnyTable
    from pyrobma.effects.data import EffectSizes
    from pyrobma.effects.moderators import Mods


@dataclass(frozen=True, slots=True, repr=False)
class RegressionFit(Report):
    """A fitted meta-regression of independent estimates; prints as a table.

    Attributes
    ----------
    method : str
        Estimator of tau², as of `rma`.
    test : {"z", "knha"}
        Normal and chi² tests, or those of Knapp and Hartung with t and F.
    measure : str
        Scale of the estimates.
    k, p : int
        Number of estimates, and of coefficients with the intercept.
    level : float
        Coverage of the intervals, 0 to 1.
    QM, QM_df, QM_df2, QM_p : float
        Wald test of all coefficients but the intercept: chi² with `QM_df` degrees of
        freedom, or for "knha" F with `QM_df` and `QM_df2` (inf for chi²).
    tau2, se_tau2, tau : float
        Residual heterogeneity: variance, its standard error (nan for "FE" and "EE"),
        standard deviation.
    I2, H2 : float
        Share of residual heterogeneity in the variance that the moderators leave, per
        cent; that variance over sampling variance.
    R2 : float
        Share of heterogeneity that the moderators account for, per cent.
    QE, QE_df, QE_p : float
        Test of residual heterogeneity.
    loglik, AIC, BIC, AICc : float
        Restricted log likelihood and its criteria for "REML", else not restricted.
    """

    method: str
    test: str
    measure: str
    k: int
    p: int
    level: float
    QM: float
    QM_df: int
    QM_df2: float
    QM_p: float
    tau2: float
    se_tau2: float
    tau: float
    I2: float
    H2: float
    R2: float
    QE: float
    QE_df: int
    QE_p: float
    loglik: float
    AIC: float
    BIC: float
    AICc: float
    _coefficients: Coefficients = field(compare=False)
    _likelihood: ClusterLikelihood = field(compare=False)
    _clusters: ClusterLikelihood = field(compare=False)

    @property
    def coefficients(self) -> pd.DataFrame:
        """One row a coefficient, by label, the intercept first.

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

    def predict(self, newdata: AnyTable | ArrayLike | None = None) -> pd.DataFrame:
        """Predict effects from moderators.

        Parameters
        ----------
        newdata : DataFrame, table, mapping, array, or None
            New values of the moderators by name, coded as those of the fit; a mapping
            may hold single values, e.g. ``{"ablat": [20, 40], "alloc": "random"}``. An
            array of shape (n, p - 1) holds columns in the order of `coefficients`,
            without the intercept. None means the rows of the fit.

        Returns
        -------
        DataFrame
            One row each: fit (mean effect), se, ci_lower, ci_upper; prediction_lower
            and prediction_upper, where the true effect of a new study is expected (nan
            for "FE" and "EE").

        Raises
        ------
        DataError
            If a moderator lacks, or has a level that the fit does not have.
        """
        tau2 = math.nan if self.method in COMMON else self.tau2
        return self._coefficients.predict(newdata, tau2)

    def tau2_interval(
        self, method: Literal["QP", "PL"] = "QP", *, level: float | None = None
    ) -> HeterogeneityIntervals:
        """Confidence intervals of residual tau² and of tau, I² and H².

        Parameters
        ----------
        method : {"QP", "PL"}
            Q-profile (Viechtbauer, 2007), for every estimator of tau²; or profile
            likelihood, for "ML" and "REML".
        level : float or None
            Coverage, 0 to 1; None means the level of the fit.

        Returns
        -------
        HeterogeneityIntervals
            Of "tau2", "tau", "I2" (per cent) and "H2".

        Raises
        ------
        DataError
            If the model has no tau², or the method does not fit the estimator.
        """
        return tau2_intervals(
            self._likelihood,
            self.tau2,
            estimator=self.method,
            method=method,
            level=check_level(self.level if level is None else level),
        )

    def robust(
        self, correction: str = "CR1", *, level: float | None = None
    ) -> RobustCoefficients:
        """Cluster-robust tests of the coefficients, by the clusters of the effects.

        Parameters
        ----------
        correction : {"CR1", "CR2", "CR0"}
            Small-sample correction: see `sandwich`.
        level : float or None
            Coverage, 0 to 1; None means the level of the fit.

        Returns
        -------
        RobustCoefficients
            Same coefficients; robust standard errors, t and F tests, intervals.
        """
        return robust_coefficients(
            self._clusters,
            self._coefficients.design,
            self.tau2,
            0.0,
            correction=correction,
            level=check_level(self.level if level is None else level),
        )

    def __str__(self) -> str:
        """Return the table."""
        common = self.method in COMMON
        model = "Common-effect" if common else "Mixed-effects"
        knha = self.test == "knha"
        test = ", Knapp-Hartung test" if knha else ""
        letter = "t" if knha else "z"
        overall = WaldTest(self.QM, self.QM_df, self.QM_df2, self.QM_p)
        lines = [
            f"{model} meta-regression ({self.method}{test}), {self.k} estimates, "
            f"measure {self.measure}",
            "",
            coefficient_lines(self.coefficients, self.level, letter=letter),
            "",
            test_lines(overall, self.terms),
            "",
        ]
        if not common:
            lines.append(
                f"residual tau² {number(self.tau2)} (se {number(self.se_tau2)}), "
                f"tau {number(self.tau)}"
            )
        lines += [
            f"I² {number(self.I2, 2)} %, H² {number(self.H2, 2)}, "
            f"R² {number(self.R2, 2)} %",
            f"QE({self.QE_df}) = {number(self.QE)}, p {p_value(self.QE_p)}",
            f"logLik {number(self.loglik)}, AIC {number(self.AIC)}, "
            f"BIC {number(self.BIC)}, AICc {number(self.AICc)}",
        ]
        return "\n".join(lines)


def fit_regression(
    effects: EffectSizes,
    mods: Mods,
    data: AnyTable | None,
    *,
    method: str,
    test: str,
    level: float,
) -> RegressionFit:
    """Fit a meta-regression; arguments as of `rma`, its options checked already."""
    y, v = effects.y, effects.se**2
    k = y.size
    common = method in COMMON
    design = read_design(mods, data, k, spare=0 if common and test == "z" else 1)
    likelihood = ClusterLikelihood(y, v, np.arange(k), design.x)
    fit = fit_independent(likelihood, method, test)
    coefficients = Coefficients(design, fit.estimate, fit.factor, fit.df, level)
    overall = coefficients.test(design.slopes)
    return RegressionFit(
        method=method,
        test=test,
        measure=effects.measure,
        k=k,
        p=likelihood.n_coefficients,
        level=level,
        QM=overall.statistic,
        QM_df=overall.df,
        QM_df2=overall.df2,
        QM_p=overall.p,
        tau2=fit.tau2,
        se_tau2=fit.se_tau2,
        tau=math.sqrt(fit.tau2),
        I2=fit.I2,
        H2=fit.H2,
        R2=explained(likelihood, fit, method),
        QE=fit.Q,
        QE_df=fit.Q_df,
        QE_p=fit.Q_p,
        loglik=fit.loglik,
        AIC=fit.AIC,
        BIC=fit.BIC,
        AICc=fit.AICc,
        _coefficients=coefficients,
        _likelihood=likelihood,
        _clusters=ClusterLikelihood(y, v, effects.cluster, design.x),
    )
