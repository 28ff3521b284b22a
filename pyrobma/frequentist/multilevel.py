"""Two-level random-effects meta-analysis: estimates within clusters."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import chdtrc

from pyrobma._numerics import typical_variance
from pyrobma._types import FloatArray, IntArray
from pyrobma.errors import DataError
from pyrobma.frequentist import heterogeneity
from pyrobma.frequentist.criteria import information_criteria
from pyrobma.frequentist.intervals import (
    HeterogeneityIntervals,
    Interval,
    around,
    check_level,
    profile_interval,
    wald,
)
from pyrobma.frequentist.likelihood import ClusterLikelihood, maximise, maximum_on_line
from pyrobma.frequentist.report import Report, number, p_value, percent, table
from pyrobma.frequentist.robust import RobustEstimate, cluster_robust

if TYPE_CHECKING:
    from pyrobma.effects.data import EffectSizes

_Profile = Callable[[float], float]


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
        level = check_level(self.level if level is None else level)
        unit = self._likelihood.unit
        total = self.tau2 or 0.1 * unit
        variances = [total * factor for factor in (0.0, 0.1, 0.4, 1.0, 2.5)]
        correlations = [0.0, 0.1, 0.35, 0.65, 0.9, 1.0]
        reml = self.method == "REML"

        def loglik(within: float, between: float) -> float:
            return self._likelihood.evaluate(within, between, reml=reml)[0]

        def at_tau2(tau2: float) -> float:
            return maximum_on_line(
                lambda rho: loglik((1.0 - rho) * tau2, rho * tau2),
                correlations,
                bounded=True,
            )

        def at_rho(rho: float) -> float:
            return maximum_on_line(
                lambda tau2: loglik((1.0 - rho) * tau2, rho * tau2),
                variances,
                bounded=False,
            )

        def at_between(between: float) -> float:
            return maximum_on_line(
                lambda within: loglik(within, between), variances, bounded=False
            )

        def at_within(within: float) -> float:
            return maximum_on_line(
                lambda between: loglik(within, between), variances, bounded=False
            )

        def interval(
            estimate: float, profile: _Profile, upper: float = math.inf
        ) -> Interval:
            return profile_interval(
                profile, estimate, self.loglik, level=level, unit=unit, upper=upper
            )

        rho = 0.5 if math.isnan(self.rho) else self.rho
        tau2 = interval(self.tau2, at_tau2)
        found = {
            "tau2": tau2,
            "tau": Interval(math.sqrt(tau2.lower), math.sqrt(tau2.upper)),
            "rho": interval(rho, at_rho, 1.0),
            "sigma2_between": interval(self.sigma2_between, at_between),
            "sigma2_within": interval(self.sigma2_within, at_within),
        }
        return HeterogeneityIntervals(
            method="profile likelihood",
            level=level,
            estimates={name: getattr(self, name) for name in found},
            intervals=found,
        )

    def robust(
        self, correction: str = "CR1", *, level: float | None = None
    ) -> RobustEstimate:
        """Cluster-robust standard error: valid if the clusters are independent.

        Parameters
        ----------
        correction : {"CR1", "CR2", "CR0"}
            Small-sample correction: see `cluster_robust`.
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


def rma_mv(
    effects: EffectSizes,
    cluster: Collection[Any] | None = None,
    method: str = "REML",
    *,
    level: float = 0.95,
) -> MultilevelFit:
    """Fit the two-level model: true effects of a cluster share a correlation.

    Parameters
    ----------
    effects : EffectSizes
        Estimates, standard errors and clusters.
    cluster : labels, length K (list, array or Series), or None
        Cluster of each estimate; a missing label makes an estimate a cluster of its
        own. None means the clusters of `effects`.
    method : {"REML", "ML"}
        Restricted or full maximum likelihood.
    level : float
        Coverage of the intervals, 0 to 1.

    Returns
    -------
    MultilevelFit
        Estimates, tests, intervals and fit statistics; prints as a table.

    Raises
    ------
    DataError
        If `method` or `level` is not known, `cluster` has the wrong length, there is
        one cluster only, or every cluster has one estimate (use `rma`).

    Notes
    -----
    The true effects have variance tau² and, in one cluster, correlation rho: compound
    symmetry. Equivalently they are the sum of a cluster effect with variance
    ``rho tau²`` and an effect of the estimate with variance ``(1 - rho) tau²``
    (Konstantopoulos, 2011). So rho is 0 to 1, as in the Bayesian models; software that
    parameterises the covariance itself lets it fall to -1 / (n - 1).

    The sampling errors are independent. The likelihood is closed form and costs a time
    linear in K. I² uses the typical sampling variance of Higgins and Thompson (2002).

    References
    ----------
    .. [1] Konstantopoulos (2011). Res. Synth. Methods 2(1), 61-76.
       doi:10.1002/jrsm.35
    """
    check_level(level)
    if method not in ("REML", "ML"):
        raise DataError(
            f"method: expected 'REML' or 'ML'; got {method!r}. Use one of these."
        )
    y, v = effects.y, effects.se**2
    k = y.size
    likelihood = ClusterLikelihood(y, v, _clusters(effects, cluster))
    reml = method == "REML"
    within, between, loglik = _fit(likelihood, reml=reml)
    tau2 = within + between
    estimate, variance = likelihood.mean(within, between)
    se = math.sqrt(variance)
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
        rho=between / tau2 if tau2 > 0.0 else math.nan,
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


def _fit(likelihood: ClusterLikelihood, *, reml: bool) -> tuple[float, float, float]:
    """`within`, `between` and the maximum of the log likelihood."""
    unit = likelihood.unit

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        return likelihood.evaluate(float(x[0]), float(x[1]), reml=reml)

    starts = [
        total * unit * np.array([1.0 - rho, rho])
        for total in (0.05, 0.3, 1.0)
        for rho in (0.05, 0.35, 0.65, 0.95)
    ]
    x, maximum = maximise(objective, starts, unit=unit)
    return float(x[0]), float(x[1]), maximum


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
        codes = pd.factorize(np.asarray(cluster, dtype=object))[0]
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
