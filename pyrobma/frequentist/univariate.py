"""Common-effect and random-effects meta-analysis of independent estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import chdtrc

from pyrobma._numerics import typical_variance
from pyrobma._types import FloatArray
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
from pyrobma.frequentist.likelihood import ClusterLikelihood
from pyrobma.frequentist.report import Report, number, p_value, percent, table
from pyrobma.frequentist.robust import RobustEstimate, cluster_robust

if TYPE_CHECKING:
    from pyrobma.effects.data import EffectSizes

METHODS = ("REML", "ML", "DL", "HE", "SJ", "PM", "EB", "FE", "EE")
"""Estimators of tau²; "FE" and "EE" both mean the common-effect model."""

_MOMENT = {
    "DL": heterogeneity.dersimonian_laird,
    "HE": heterogeneity.hedges,
    "SJ": heterogeneity.sidik_jonkman,
    "PM": heterogeneity.paule_mandel,
    "EB": heterogeneity.paule_mandel,
}


@dataclass(frozen=True, slots=True, repr=False)
class RandomEffectsFit(Report):
    """A fitted common-effect or random-effects model; prints as a table.

    Attributes
    ----------
    method : str
        Estimator of tau², one of `METHODS`.
    test : {"z", "knha"}
        Normal test, or Knapp-Hartung with t.
    measure : str
        Scale of the estimates.
    k : int
        Number of estimates.
    level : float
        Coverage of the intervals, 0 to 1.
    estimate, se : float
        Mean effect mu and its standard error, effect-size unit.
    statistic, p : float
        z (or t with k - 1 degrees of freedom) and its two-sided p-value.
    ci : Interval
        Confidence interval of mu.
    prediction : Interval
        Where the true effect of a new study is expected; nan for "FE" and "EE".
    tau2, se_tau2, tau : float
        Heterogeneity: variance, its standard error (nan for "FE" and "EE"), standard
        deviation.
    I2, H2 : float
        Share of heterogeneity in the total variance, per cent; total variance over
        sampling variance.
    Q, Q_df, Q_p : float
        Cochran's test of heterogeneity.
    loglik, AIC, BIC, AICc : float
        Restricted log likelihood and its criteria for "REML", else not restricted.
    """

    method: str
    test: str
    measure: str
    k: int
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
    I2: float
    H2: float
    Q: float
    Q_df: int
    Q_p: float
    loglik: float
    AIC: float
    BIC: float
    AICc: float
    _likelihood: ClusterLikelihood = field(compare=False)
    _clusters: ClusterLikelihood = field(compare=False)

    def tau2_interval(
        self, method: Literal["QP", "PL"] = "QP", *, level: float | None = None
    ) -> HeterogeneityIntervals:
        """Confidence intervals of tau² and, by transformation, tau, I² and H².

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

        Notes
        -----
        Ends are solved for to about ten digits; metafor stops its root finder at
        1.2e-4 by default, so that the last digits of its intervals can differ.
        """
        level = check_level(self.level if level is None else level)
        if self.method in ("FE", "EE"):
            raise DataError(
                f"method: expected a random-effects model; got {self.method!r}. "
                "Fit with method='REML' to have an interval of tau2."
            )
        y, v = self._likelihood.y, self._likelihood.v
        if method == "QP":
            interval = heterogeneity.q_profile(y, v, level)
        elif method == "PL" and self.method in ("ML", "REML"):
            interval = self._profile(level)
        else:
            raise DataError(
                "method: expected 'QP', or 'PL' with tau2 by ML or REML; "
                f"got {method!r} with tau2 by {self.method}. Use 'QP'."
            )
        typical = typical_variance(v)

        def derived(tau2: float) -> tuple[float, float, float, float]:
            return (
                tau2,
                math.sqrt(tau2),
                heterogeneity.i_squared(tau2, typical),
                heterogeneity.h_squared(tau2, typical),
            )

        names = ("tau2", "tau", "I2", "H2")
        ends = map(Interval, derived(interval.lower), derived(interval.upper))
        return HeterogeneityIntervals(
            method={"QP": "Q-profile", "PL": "profile likelihood"}[method],
            level=level,
            estimates=dict(zip(names, derived(self.tau2), strict=True)),
            intervals=dict(zip(names, ends, strict=True)),
        )

    def _profile(self, level: float) -> Interval:
        reml = self.method == "REML"
        return profile_interval(
            lambda tau2: self._likelihood.evaluate(tau2, 0.0, reml=reml)[0],
            self.tau2,
            self.loglik,
            level=level,
            unit=self._likelihood.unit,
        )

    def robust(
        self, correction: str = "CR1", *, level: float | None = None
    ) -> RobustEstimate:
        """Cluster-robust standard error, by the clusters of the effect sizes.

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
            self._clusters,
            self.tau2,
            0.0,
            correction=correction,
            level=check_level(self.level if level is None else level),
        )

    def __str__(self) -> str:
        """Return the table."""
        common = self.method in ("FE", "EE")
        model = "Common-effect" if common else "Random-effects"
        knha = ", Knapp-Hartung test" if self.test == "knha" else ""
        title = f"{model} model ({self.method}{knha}), {self.k} estimates"
        lower, upper = (f"{percent(self.level)} {end}" for end in ("lower", "upper"))
        rows: list[list[str | float]] = [
            ["mu", self.estimate, self.se, self.statistic, p_value(self.p), *self.ci]
        ]
        if not common:
            rows.append(["prediction", "", "", "", "", *self.prediction])
        statistic = "t" if self.test == "knha" else "z"
        lines = [
            f"{title}, measure {self.measure}",
            "",
            table(["", "estimate", "se", statistic, "p", lower, upper], rows),
            "",
        ]
        if not common:
            lines.append(
                f"tau² {number(self.tau2)} (se {number(self.se_tau2)}), "
                f"tau {number(self.tau)}"
            )
        lines += [
            f"I² {number(self.I2, 2)} %, H² {number(self.H2, 2)}",
            f"Q({self.Q_df}) = {number(self.Q)}, p {p_value(self.Q_p)}",
            f"logLik {number(self.loglik)}, AIC {number(self.AIC)}, "
            f"BIC {number(self.BIC)}, AICc {number(self.AICc)}",
        ]
        return "\n".join(lines)


def rma(
    effects: EffectSizes,
    method: str = "REML",
    *,
    test: str = "z",
    level: float = 0.95,
) -> RandomEffectsFit:
    """Fit the common-effect or random-effects model, ignoring clusters.

    Parameters
    ----------
    effects : EffectSizes
        Estimates and standard errors. Only `RandomEffectsFit.robust` uses its clusters.
    method : str
        Estimator of tau²: "REML" (default), "ML", "DL" (DerSimonian-Laird), "HE"
        (Hedges), "SJ" (Sidik-Jonkman), "PM" (Paule-Mandel), "EB" (empirical Bayes, the
        same as "PM"); "FE" or "EE" for the common-effect model, tau² = 0.
    test : {"z", "knha"}
        Normal test and intervals, or those of Knapp and Hartung (2003): standard error
        from the weighted residuals, t with K - 1 degrees of freedom.
    level : float
        Coverage of the intervals, 0 to 1.

    Returns
    -------
    RandomEffectsFit
        Estimates, tests, intervals and fit statistics; prints as a table.

    Raises
    ------
    DataError
        If `method`, `test` or `level` is not known, or one estimate is to give tau² or
        a Knapp-Hartung test.

    Notes
    -----
    ``y ~ Normal(mu, v + tau²)``, mu estimated with weights ``1 / (v + tau²)``. The
    prediction interval is ``mu ± q sqrt(se² + tau²)``, q a normal or t quantile as for
    the test. ``I² = tau² / (tau² + s²)`` with the typical sampling variance s² of
    Higgins and Thompson (2002); for the common-effect model I² and H² are from Q.
    Standard errors of tau² are of the expected information (ML, REML) or of the
    quadratic form in y that defines the estimator. The restricted likelihood counts
    K - 1 observations in BIC and AICc.

    References
    ----------
    .. [1] Viechtbauer (2005). J. Educ. Behav. Stat. 30(3), 261-293.
       doi:10.3102/10769986030003261
    .. [2] Knapp, Hartung (2003). Stat. Med. 22(17), 2693-2710. doi:10.1002/sim.1482
    .. [3] Higgins, Thompson (2002). Stat. Med. 21(11), 1539-1558. doi:10.1002/sim.1186
    """
    y, v = effects.y, effects.se**2
    k = y.size
    check_level(level)
    _check(method, test, k)
    likelihood = ClusterLikelihood(y, v, np.arange(k))
    reml = method == "REML"
    common = method in ("FE", "EE")
    if common:
        tau2, se_tau2 = 0.0, math.nan
    elif method in _MOMENT:
        tau2, se_tau2 = _MOMENT[method](y, v)
    else:
        tau2, se_tau2 = heterogeneity.likelihood_tau2(likelihood, reml=reml)
    loglik = likelihood.evaluate(tau2, 0.0, reml=reml)[0]
    estimate, variance = likelihood.mean(tau2, 0.0)
    df = None
    if test == "knha":
        df = float(k - 1)
        variance *= heterogeneity.cochran_q(y, v, tau2) / df
    se = math.sqrt(variance)
    statistic, p, ci = wald(estimate, se, level=level, df=df)
    prediction = around(estimate, math.hypot(se, math.sqrt(tau2)), level=level, df=df)
    q = heterogeneity.cochran_q(y, v)
    i2, h2 = _inconsistency(tau2, v, q, common=common)
    aic, bic, aicc = information_criteria(loglik, 1 if common else 2, k - reml)
    return RandomEffectsFit(
        method=method,
        test=test,
        measure=effects.measure,
        k=k,
        level=level,
        estimate=estimate,
        se=se,
        statistic=statistic,
        p=p,
        ci=ci,
        prediction=Interval(math.nan, math.nan) if common else prediction,
        tau2=tau2,
        se_tau2=se_tau2,
        tau=math.sqrt(tau2),
        I2=i2,
        H2=h2,
        Q=q,
        Q_df=k - 1,
        Q_p=float(chdtrc(k - 1, q)) if k > 1 else 1.0,
        loglik=loglik,
        AIC=aic,
        BIC=bic,
        AICc=aicc,
        _likelihood=likelihood,
        _clusters=ClusterLikelihood(y, v, effects.cluster),
    )


def _check(method: str, test: str, k: int) -> None:
    if method not in METHODS:
        raise DataError(
            f"method: expected one of {', '.join(METHODS)}; got {method!r}. "
            "Use one of these."
        )
    if test not in ("z", "knha"):
        raise DataError(
            f"test: expected 'z' or 'knha'; got {test!r}. Use one of these."
        )
    if k < 2 and (method not in ("FE", "EE") or test == "knha"):
        raise DataError(
            "effects: expected at least two estimates; got one. "
            "Use method='FE' with test='z'."
        )


def _inconsistency(
    tau2: float, v: FloatArray, q: float, *, common: bool
) -> tuple[float, float]:
    """I² (per cent) and H²."""
    df = v.size - 1
    if df == 0:
        return 0.0, 1.0
    if common:
        return (100.0 * max(1.0 - df / q, 0.0) if q > 0.0 else 0.0), q / df
    typical = typical_variance(v)
    return (
        heterogeneity.i_squared(tau2, typical),
        heterogeneity.h_squared(tau2, typical),
    )
