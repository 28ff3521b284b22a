"""Two-level random-effects meta-analysis: estimates within clusters."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from scipy.special import chdtrc

from pyrobma._numerics import typical_variance
from pyrobma._switchers import for_switchers
from pyrobma._types import IntArray
from pyrobma.effects._tables import read_column
from pyrobma.errors import DataError
from pyrobma.frequentist import heterogeneity
from pyrobma.frequentist.components import (
    component_intervals,
    correlation,
    fit_components,
)
from pyrobma.frequentist.criteria import information_criteria
from pyrobma.frequentist.independent import check_estimates
from pyrobma.frequentist.intervals import (
    HeterogeneityIntervals,
    Interval,
    around,
    check_level,
    wald,
)
from pyrobma.frequentist.likelihood import ClusterLikelihood
from pyrobma.frequentist.multilevel_regression import (
    MultilevelRegressionFit,
    fit_multilevel_regression,
)
from pyrobma.frequentist.report import Report, number, p_value, percent, table
from pyrobma.frequentist.robust import RobustEstimate, cluster_robust

if TYPE_CHECKING:
    from pyrobma.effects._tables import AnyTable
    from pyrobma.effects.data import EffectSizes
    from pyrobma.effects.moderators import Mods


@dataclass(frozen=True, slots=True, repr=False)
class MultilevelFit(Report):
    """A fitted two-level random-effects model; prints as a table.

    Attributes
    ----------
    method : {"REML", "ML"}
        Likelihood that was maximised.
    measure : str
        Scale of the estimates.
    k, clusters : int
        Number of estimates and of clusters.
    level : float
        Coverage of the intervals, 0 to 1.
    estimate, se, statistic, p : float
        Mean effect mu, standard error, z and its two-sided p-value.
    ci : Interval
        Confidence interval of mu.
    prediction : Interval
        Where the true effect of a new study in a new cluster is expected.
    tau2, tau : float
        Heterogeneity of true effects: variance, standard deviation.
    rho : float
        Correlation of true effects in a cluster, 0 to 1; nan if `tau2` is 0.
    sigma2_between, sigma2_within : float
        The same as nested variances: ``rho tau2`` and ``(1 - rho) tau2``.
    I2, I2_between, I2_within : float
        Share of heterogeneity in the total variance, per cent, and its two parts.
    Q, Q_df, Q_p : float
        Cochran's test of heterogeneity.
    loglik, AIC, BIC, AICc : float
        (Restricted) log likelihood and its criteria; three parameters.
    """

    method: str
    measure: str
    k: int
    clusters: int
    level: float
    estimate: float
    se: float
    statistic: float
    p: float
    ci: Interval
    prediction: Interval
    tau2: float
    tau: float
    rho: float
    sigma2_between: float
    sigma2_within: float
    I2: float
    I2_between: float
    I2_within: float
    Q: float
    Q_df: int
    Q_p: float
    loglik: float
    AIC: float
    BIC: float
    AICc: float
    _likelihood: ClusterLikelihood = field(compare=False)

    def intervals(self, *, level: float | None = None) -> HeterogeneityIntervals:
        """Profile-likelihood intervals of the heterogeneity parameters.

        Parameters
        ----------
        level : float or None
            Coverage, 0 to 1; None means the level of the fit.

        Returns
        -------
        HeterogeneityIntervals
            Of "tau2", "tau", "rho", "sigma2_between" and "sigma2_within"; ends at a
            bound of the parameter (0, and 1 for rho) if the likelihood allows it.

        Notes
        -----
        Ends are solved for to about ten digits; metafor stops its root finder at
        1.2e-4 by default, so that the last digits of its intervals can differ.
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
    ) -> RobustEstimate:
        """Cluster-robust standard error: valid if the clusters are independent.

        Parameters
        ----------
        correction : {"CR1", "CR2", "CR0"}
            Small-sample correction: see `sandwich`.
        level : float or None
            Coverage, 0 to 1; None means the level of the fit.

        Returns
        -------
        RobustEstimate
            Same mean effect; robust standard error, t test and interval.
        """
        return cluster_robust(
            self._likelihood,
            self.sigma2_within,
            self.sigma2_between,
            correction=correction,
            level=check_level(self.level if level is None else level),
        )

    def __str__(self) -> str:
        """Return the table."""
        lower, upper = (f"{percent(self.level)} {end}" for end in ("lower", "upper"))
        rho = "not identified" if math.isnan(self.rho) else number(self.rho)
        p = p_value(self.p)
        rows: list[list[str | float]] = [
            ["mu", self.estimate, self.se, self.statistic, p, *self.ci],
            ["prediction", "", "", "", "", *self.prediction],
        ]
        effect = table(["", "estimate", "se", "z", "p", lower, upper], rows)
        return "\n".join(
            [
                f"Two-level random-effects model ({self.method}), {self.k} estimates "
                f"in {self.clusters} clusters, measure {self.measure}",
                "",
                effect,
                "",
                f"tau² {number(self.tau2)}, tau {number(self.tau)}, rho {rho}",
                f"sigma² between clusters {number(self.sigma2_between)}, "
                f"within {number(self.sigma2_within)}",
                f"I² {number(self.I2, 2)} % (between {number(self.I2_between, 2)} %, "
                f"within {number(self.I2_within, 2)} %)",
                f"Q({self.Q_df}) = {number(self.Q)}, p {p_value(self.Q_p)}",
                f"logLik {number(self.loglik)}, AIC {number(self.AIC)}, "
                f"BIC {number(self.BIC)}, AICc {number(self.AICc)}",
            ]
        )


@overload
def rma_mv(
    effects: EffectSizes,
    cluster: Collection[Any] | None = None,
    method: str = "REML",
    *,
    mods: None = None,
    data: None = None,
    level: float = 0.95,
) -> MultilevelFit: ...


@overload
def rma_mv(
    effects: EffectSizes,
    cluster: Collection[Any] | None = None,
    method: str = "REML",
    *,
    mods: Mods,
    data: AnyTable | None = None,
    level: float = 0.95,
) -> MultilevelRegressionFit: ...


@for_switchers("rma_mv(effect_sizes(data, d='yi', v='vi', study_ids='study'))")
def rma_mv(
    effects: EffectSizes,
    cluster: Collection[Any] | None = None,
    method: str = "REML",
    *,
    mods: Mods | None = None,
    data: AnyTable | None = None,
    level: float = 0.95,
) -> MultilevelFit | MultilevelRegressionFit:
    """Fit the two-level model: true effects of a cluster share a correlation.

    With moderators, the two-level meta-regression.

    Parameters
    ----------
    effects : EffectSizes
        Estimates, standard errors and clusters.
    cluster : labels, length K (list, array or Series), or None
        Cluster of each estimate; a missing label makes an estimate a cluster of its
        own. None means the clusters of `effects`.
    method : {"REML", "ML"}
        Restricted or full maximum likelihood.
    mods : str, sequence of str, table, mapping, Moderators, or None
        Moderators of the mean, of estimates or of clusters, as of `rma`.
    data : DataFrame, table, mapping or None
        Table of the moderators, one row an estimate in the order of `effects`.
    level : float
        Coverage of the intervals, 0 to 1.

    Returns
    -------
    MultilevelFit or MultilevelRegressionFit
        Estimates, tests, intervals and fit statistics; prints as a table. The latter
        with moderators.

    Raises
    ------
    DataError
        If `method` or `level` is not known, `cluster` has the wrong length, there is
        one cluster only, every cluster has one estimate (use `rma`), or moderators
        cannot be read, depend on each other, are as many as the estimates, or leave
        nothing to differ between clusters.

    Notes
    -----
    The true effects have variance tau² and, in one cluster, correlation rho: compound
    symmetry. Equivalently they are the sum of a cluster effect with variance
    ``rho tau²`` and an effect of the estimate with variance ``(1 - rho) tau²``
    (Konstantopoulos, 2011). So rho is 0 to 1, as in the Bayesian models; software that
    parameterises the covariance itself lets it fall to -1 / (n - 1).

    The sampling errors are independent. The likelihood is closed form and costs a time
    linear in K. I² uses the typical sampling variance of Higgins and Thompson (2002),
    and with moderators that of `rma`.

    References
    ----------
    .. [1] Konstantopoulos (2011). Res. Synth. Methods 2(1), 61-76.
       doi:10.1002/jrsm.35
    """
    check_estimates(effects)
    check_level(level)
    if method not in ("REML", "ML"):
        raise DataError(
            f"method: expected 'REML' or 'ML'; got {method!r}. Use one of these."
        )
    codes = _clusters(effects, cluster)
    if mods is not None:
        return fit_multilevel_regression(
            effects, codes, mods, data, method=method, level=level
        )
    if data is not None:
        raise DataError(
            "mods: expected moderators, since data was given; got None. Name the "
            "columns of data that are moderators."
        )
    y, v = effects.y, effects.se**2
    k = y.size
    likelihood = ClusterLikelihood(y, v, codes)
    reml = method == "REML"
    within, between, loglik = fit_components(likelihood, reml=reml)
    tau2 = within + between
    estimate, se = (part.item() for part in likelihood.coefficients(within, between))
    se = abs(se)
    statistic, p, ci = wald(estimate, se, level=level)
    q = heterogeneity.cochran_q(y, v)
    share = 100.0 / (tau2 + typical_variance(v))
    aic, bic, aicc = information_criteria(loglik, 3, k - reml)
    return MultilevelFit(
        method=method,
        measure=effects.measure,
        k=k,
        clusters=likelihood.n_clusters,
        level=level,
        estimate=estimate,
        se=se,
        statistic=statistic,
        p=p,
        ci=ci,
        prediction=around(estimate, math.hypot(se, math.sqrt(tau2)), level=level),
        tau2=tau2,
        tau=math.sqrt(tau2),
        rho=correlation(within, between),
        sigma2_between=between,
        sigma2_within=within,
        I2=share * tau2,
        I2_between=share * between,
        I2_within=share * within,
        Q=q,
        Q_df=k - 1,
        Q_p=float(chdtrc(k - 1, q)),
        loglik=loglik,
        AIC=aic,
        BIC=bic,
        AICc=aicc,
        _likelihood=likelihood,
    )


def _clusters(effects: EffectSizes, cluster: Collection[Any] | None) -> IntArray:
    """Cluster numbers 0 .. L - 1, from labels or from the effect sizes."""
    k = effects.y.size
    codes = effects.cluster
    if cluster is not None:
        import pandas as pd

        if len(cluster) != k:
            raise DataError(
                f"cluster: expected {k} labels, one for each estimate; "
                f"got {len(cluster)}. Give a label or a missing value for each."
            )
        labels = np.asarray(read_column(cluster), dtype=object)
        codes = pd.factorize(labels)[0]
        codes[codes < 0] = codes.max() + 1 + np.arange((codes < 0).sum())
    n = int(codes.max()) + 1
    if n == 1:
        raise DataError(
            f"cluster: expected at least two clusters; got one with {k} estimates. "
            "Its common effect cannot be told from mu: use rma()."
        )
    if n == k:
        raise DataError(
            f"cluster: expected a cluster with at least two estimates; got {k} "
            "clusters of one. rho is not identified: use rma()."
        )
    return codes.astype(np.int64)
