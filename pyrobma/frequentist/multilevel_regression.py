"""Meta-regression with clusters: estimates within clusters, moderators of either."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from pyrobma._types import FloatArray, IntArray
from pyrobma.errors import DataError
from pyrobma.frequentist import heterogeneity
from pyrobma.frequentist.coefficients import (
    Coefficients,
    coefficient_lines,
    covariance_table,
    term_tests,
    test_lines,
)
from pyrobma.frequentist.components import (
    component_intervals,
    correlation,
    fit_components,
)
from pyrobma.frequentist.covariance import totals
from pyrobma.frequentist.criteria import information_criteria
from pyrobma.frequentist.design import read_design
from pyrobma.frequentist.independent import share_less
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
class MultilevelRegressionFit(Report):
    """A fitted two-level meta-regression; prints as a table.

    Attributes
    ----------
    method : {"REML", "ML"}
        Likelihood that was maximised.
    measure : str
        Scale of the estimates.
    k, clusters, p : int
        Number of estimates, of clusters, and of coefficients with the intercept.
    level : float
        Coverage of the intervals, 0 to 1.
    QM, QM_df, QM_p : float
        Wald test of all coefficients but the intercept, chi² with `QM_df` degrees of
        freedom.
    tau2, tau : float
        Residual heterogeneity of true effects: variance, standard deviation.
    rho : float
        Its correlation in a cluster, 0 to 1; nan if `tau2` is 0.
    sigma2_between, sigma2_within : float
        The same as nested variances: ``rho tau2`` and ``(1 - rho) tau2``.
    I2, I2_between, I2_within : float
        Share of residual heterogeneity in the variance that the moderators leave, per
        cent, and its two parts.
    R2 : float
        By how many per cent `tau2` is less than without moderators; not below 0.
    QE, QE_df, QE_p : float
        Test of residual heterogeneity.
    loglik, AIC, BIC, AICc : float
        (Restricted) log likelihood and its criteria; p + 2 parameters.
    """

    method: str
    measure: str
    k: int
    clusters: int
    p: int
    level: float
    QM: float
    QM_df: int
    QM_p: float
    tau2: float
    tau: float
    rho: float
    sigma2_between: float
    sigma2_within: float
    I2: float
    I2_between: float
    I2_within: float
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

    @property
    def coefficients(self) -> pd.DataFrame:
        """One row a coefficient, by label, the intercept first.

        Columns estimate, se, statistic (z), df (inf), p, lower, upper.
        """
        return self._coefficients.table()

    @property
    def covariance(self) -> pd.DataFrame:
        """Covariance of the coefficients, labels on both axes."""
        return covariance_table(self._coefficients.design, self._coefficients.factor)

    @property
    def terms(self) -> pd.DataFrame:
        """Wald tests of the coefficients of each term, one row a term.

        Columns statistic (chi²), df, df2 (inf), p.
        """
        return term_tests(self._coefficients.design, self._coefficients.test)

    def predict(self, newdata: AnyTable | ArrayLike | None = None) -> pd.DataFrame:
        """Predict effects from moderators.

        Parameters
        ----------
        newdata : DataFrame, table, mapping, array, or None
            As of `RegressionFit.predict`.

        Returns
        -------
        DataFrame
            One row each: fit (mean effect), se, ci_lower, ci_upper; prediction_lower
            and prediction_upper, where the true effect of a new study in a new cluster
            is expected.

        Raises
        ------
        DataError
            If a moderator lacks, or has a level that the fit does not have.
        """
        return self._coefficients.predict(newdata, self.tau2)

    def intervals(self, *, level: float | None = None) -> HeterogeneityIntervals:
        """Profile-likelihood intervals of the residual heterogeneity parameters.

        Parameters
        ----------
        level : float or None
            Coverage, 0 to 1; None means the level of the fit.

        Returns
        -------
        HeterogeneityIntervals
            Of "tau2", "tau", "rho", "sigma2_between" and "sigma2_within"; ends at a
            bound of the parameter (0, and 1 for rho) if the likelihood allows it.
        """
        return component_intervals(
            self._likelihood,
            self.sigma2_within,
            self.sigma2_between,
            self.loglik,
            reml=self.method == "REML",
            level=check_level(self.level if level is None else level),
        )

    def robust(
        self, correction: str = "CR1", *, level: float | None = None
    ) -> RobustCoefficients:
        """Cluster-robust tests of the coefficients.

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
            self._likelihood,
            self._coefficients.design,
            self.sigma2_within,
            self.sigma2_between,
            correction=correction,
            level=check_level(self.level if level is None else level),
        )

    def __str__(self) -> str:
        """Return the table."""
        rho = "not identified" if math.isnan(self.rho) else number(self.rho)
        overall = WaldTest(self.QM, self.QM_df, math.inf, self.QM_p)
        return "\n".join(
            [
                f"Two-level meta-regression ({self.method}), {self.k} estimates in "
                f"{self.clusters} clusters, measure {self.measure}",
                "",
                coefficient_lines(self.coefficients, self.level, letter="z"),
                "",
                test_lines(overall, self.terms),
                "",
                f"residual tau² {number(self.tau2)}, tau {number(self.tau)}, rho {rho}",
                f"sigma² between clusters {number(self.sigma2_between)}, "
                f"within {number(self.sigma2_within)}",
                f"I² {number(self.I2, 2)} % (between {number(self.I2_between, 2)} %, "
                f"within {number(self.I2_within, 2)} %), R² {number(self.R2, 2)} %",
                f"QE({self.QE_df}) = {number(self.QE)}, p {p_value(self.QE_p)}",
                f"logLik {number(self.loglik)}, AIC {number(self.AIC)}, "
                f"BIC {number(self.BIC)}, AICc {number(self.AICc)}",
            ]
        )


def fit_multilevel_regression(
    effects: EffectSizes,
    cluster: IntArray,
    mods: Mods,
    data: AnyTable | None,
    *,
    method: str,
    level: float,
) -> MultilevelRegressionFit:
    """Fit a two-level meta-regression; arguments as of `rma_mv`, checked already."""
    y, v = effects.y, effects.se**2
    k = y.size
    design = read_design(mods, data, k, spare=1)
    _refuse_confounded(cluster, design.x)
    likelihood = ClusterLikelihood(y, v, cluster, design.x)
    p, reml = likelihood.n_coefficients, method == "REML"
    within, between, loglik = fit_components(likelihood, reml=reml)
    tau2 = within + between
    alone = fit_components(ClusterLikelihood(y, v, cluster), reml=reml)
    estimate, factor = likelihood.coefficients(within, between)
    coefficients = Coefficients(design, estimate, factor, None, level)
    overall = coefficients.test(design.slopes)
    q = heterogeneity.cochran_q(y, v, 0.0, design.x)
    share = 100.0 / (tau2 + heterogeneity.typical_sampling_variance(likelihood))
    aic, bic, aicc = information_criteria(loglik, p + 2, k - p if reml else k)
    return MultilevelRegressionFit(
        method=method,
        measure=effects.measure,
        k=k,
        clusters=likelihood.n_clusters,
        p=p,
        level=level,
        QM=overall.statistic,
        QM_df=overall.df,
        QM_p=overall.p,
        tau2=tau2,
        tau=math.sqrt(tau2),
        rho=correlation(within, between),
        sigma2_between=between,
        sigma2_within=within,
        I2=share * tau2,
        I2_between=share * between,
        I2_within=share * within,
        R2=share_less(alone[0] + alone[1], tau2),
        QE=q,
        QE_df=k - p,
        QE_p=float(chdtrc(k - p, q)),
        loglik=loglik,
        AIC=aic,
        BIC=bic,
        AICc=aicc,
        _coefficients=coefficients,
        _likelihood=likelihood,
    )


def _refuse_confounded(cluster: IntArray, x: FloatArray) -> None:
    """Refuse columns that make up the indicators of all clusters.

    The rank of columns and indicators together is the number of clusters plus the rank
    of the columns less their cluster means.
    """
    n = int(cluster.max()) + 1
    if n > x.shape[1]:
        return
    means = (totals(cluster, x.T) / np.bincount(cluster)).T
    deviations = (x - means[cluster]) / np.linalg.norm(x, axis=0)
    if n + int(np.linalg.matrix_rank(deviations, tol=1e-10)) == x.shape[1]:
        raise DataError(
            f"mods: expected moderators that leave clusters to differ; got {n} "
            f"clusters and {x.shape[1]} coefficients that make up each of them. A "
            "variance between them is not identified: leave moderators out, or use "
            "rma()."
        )
