"""Common-effect and random-effects meta-analysis of independent estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from pyrobma._switchers import for_switchers
from pyrobma.errors import DataError
from pyrobma.frequentist.heterogeneity import COMMON, METHODS, tau2_intervals
from pyrobma.frequentist.independent import (
    check_estimates,
    check_options,
    fit_independent,
)
from pyrobma.frequentist.intervals import (
    HeterogeneityIntervals,
    Interval,
    around,
    check_level,
    wald,
)
from pyrobma.frequentist.likelihood import ClusterLikelihood
from pyrobma.frequentist.location_scale import LocationScaleFit, fit_location_scale
from pyrobma.frequentist.regression import RegressionFit, fit_regression
from pyrobma.frequentist.report import Report, number, p_value, percent, table
from pyrobma.frequentist.robust import RobustEstimate, cluster_robust

if TYPE_CHECKING:
    from pyrobma.effects._tables import AnyTable
    from pyrobma.effects.data import EffectSizes
    from pyrobma.effects.moderators import Mods

__all__ = ["METHODS", "RandomEffectsFit", "rma"]


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
        return tau2_intervals(
            self._likelihood,
            self.tau2,
            estimator=self.method,
            method=method,
            level=check_level(self.level if level is None else level),
        )

    def robust(
        self, correction: str = "CR1", *, level: float | None = None
    ) -> RobustEstimate:
        """Cluster-robust standard error, by the clusters of the effect sizes.

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
            self._clusters,
            self.tau2,
            0.0,
            correction=correction,
            level=check_level(self.level if level is None else level),
        )

    def __str__(self) -> str:
        """Return the table."""
        common = self.method in COMMON
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


@overload
def rma(
    effects: EffectSizes,
    method: str = "REML",
    *,
    mods: None = None,
    scale: None = None,
    data: None = None,
    test: str = "z",
    level: float = 0.95,
) -> RandomEffectsFit: ...


@overload
def rma(
    effects: EffectSizes,
    method: str = "REML",
    *,
    mods: Mods,
    scale: None = None,
    data: AnyTable | None = None,
    test: str = "z",
    level: float = 0.95,
) -> RegressionFit: ...


@overload
def rma(
    effects: EffectSizes,
    method: str = "REML",
    *,
    mods: Mods | None = None,
    scale: Mods,
    data: AnyTable | None = None,
    test: str = "z",
    level: float = 0.95,
) -> LocationScaleFit: ...


@for_switchers("rma(effect_sizes(data, d='yi', v='vi'))")
def rma(
    effects: EffectSizes,
    method: str = "REML",
    *,
    mods: Mods | None = None,
    scale: Mods | None = None,
    data: AnyTable | None = None,
    test: str = "z",
    level: float = 0.95,
) -> RandomEffectsFit | RegressionFit | LocationScaleFit:
    """Fit the common-effect or random-effects model, ignoring clusters.

    With moderators of the mean, the meta-regression; with moderators of tau², the
    location-scale model.

    Parameters
    ----------
    effects : EffectSizes
        Estimates and standard errors. Only `RandomEffectsFit.robust` uses its clusters.
    method : str
        Estimator of tau²: "REML" (default), "ML", "DL" (DerSimonian-Laird), "HE"
        (Hedges), "SJ" (Sidik-Jonkman), "PM" (Paule-Mandel), "EB" (empirical Bayes, the
        same as "PM"); "FE" or "EE" for the common-effect model, tau² = 0.
    mods : str, sequence of str, table, mapping, Moderators, or None
        Moderators of the mean: a formula over the columns of `data` ("ablat + alloc"),
        names of its columns, or the columns themselves. Numbers stay as they are;
        factors are coded by treatment contrasts, differences from the first level. A
        `Moderators` keeps its own coding. None means no moderators.
    scale : str, sequence of str, table, mapping, Moderators, or None
        Moderators of tau², as of `mods`, for method "REML" or "ML": a formula
        ("subject"), of which coefficients are differences of log tau². None means one
        tau² for all.
    data : DataFrame, table, mapping or None
        Table of the moderators, one row an estimate in the order of `effects`.
    test : {"z", "knha"}
        Normal test and intervals, or those of Knapp and Hartung (2003): standard error
        from the weighted residuals, t with K - P degrees of freedom, P the number of
        coefficients.
    level : float
        Coverage of the intervals, 0 to 1.

    Returns
    -------
    RandomEffectsFit, RegressionFit or LocationScaleFit
        Estimates, tests, intervals and fit statistics; prints as a table. The second
        with moderators of the mean, the third with moderators of tau².

    Raises
    ------
    DataError
        If `method`, `test` or `level` is not known, one estimate is to give tau² or
        a Knapp-Hartung test, or moderators cannot be read, depend on each other, or
        are as many as the estimates.

    Warns
    -----
    DataWarning
        With `scale`, if tau² is estimated as 0 in some rows, or if a level of a factor
        has fewer than three estimates.

    Notes
    -----
    ``y ~ Normal(mu, v + tau²)``, mu estimated with weights ``1 / (v + tau²)``. The
    prediction interval is ``mu ± q sqrt(se² + tau²)``, q a normal or t quantile as for
    the test. ``I² = tau² / (tau² + s²)`` with the typical sampling variance s² of
    Higgins and Thompson (2002); for the common-effect model I² and H² are from Q.
    Standard errors of tau² are of the expected information (ML, REML) or of the
    quadratic form in y that defines the estimator. The restricted likelihood counts
    K - P observations in BIC and AICc.

    With moderators mu is X b, X the intercept and their columns; s² is (K - P) over the
    trace of the residual projection W - W X (X'W X)⁻¹ X'W with weights 1 / v; R² is the
    share of the tau² of the model without moderators, by the same estimator, that is
    gone (for the common-effect model the adjusted R² of weighted least squares).

    With `scale` each estimate has its own tau², ``log tau_i² = z_i' a`` (Viechtbauer &
    López-López, 2022), z the intercept and the columns of `scale`; as in metafor, and
    twice what coefficients of log tau are. Coefficients a maximise the likelihood with
    b profiled out, found from several starts; their covariance is from the observed
    information. "knha" has one scaling factor for the mean, and t and F with K - Q
    degrees of freedom for the Q scale coefficients. The likelihood may be highest with
    tau² = 0 in all rows, or in those of a level, which log tau² only approaches: then
    the coefficients that go to -inf or inf are reported as such, without standard
    errors, all others as of the limit.

    References
    ----------
    .. [1] Viechtbauer (2005). J. Educ. Behav. Stat. 30(3), 261-293.
       doi:10.3102/10769986030003261
    .. [2] Knapp, Hartung (2003). Stat. Med. 22(17), 2693-2710. doi:10.1002/sim.1482
    .. [3] Higgins, Thompson (2002). Stat. Med. 21(11), 1539-1558. doi:10.1002/sim.1186
    .. [4] Viechtbauer, López-López (2022). Res. Synth. Methods 13(6), 697-715.
       doi:10.1002/jrsm.1562
    """
    check_estimates(effects)
    check_level(level)
    check_options(method, test)
    if scale is not None:
        return fit_location_scale(
            effects, mods, scale, data, method=method, test=test, level=level
        )
    if mods is not None:
        return fit_regression(
            effects, mods, data, method=method, test=test, level=level
        )
    if data is not None:
        raise DataError(
            "mods: expected moderators, since data was given; got None. Name the "
            "columns of data that are moderators."
        )
    y, v = effects.y, effects.se**2
    k = y.size
    common = method in COMMON
    if k < 2 and (not common or test == "knha"):
        raise DataError(
            "effects: expected at least two estimates; got one. "
            "Use method='FE' with test='z'."
        )
    likelihood = ClusterLikelihood(y, v, np.arange(k))
    fit = fit_independent(likelihood, method, test)
    estimate, se = fit.estimate.item(), abs(fit.factor.item())
    statistic, p, ci = wald(estimate, se, level=level, df=fit.df)
    prediction = around(
        estimate, math.hypot(se, math.sqrt(fit.tau2)), level=level, df=fit.df
    )
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
        tau2=fit.tau2,
        se_tau2=fit.se_tau2,
        tau=math.sqrt(fit.tau2),
        I2=fit.I2,
        H2=fit.H2,
        Q=fit.Q,
        Q_df=fit.Q_df,
        Q_p=fit.Q_p,
        loglik=fit.loglik,
        AIC=fit.AIC,
        BIC=fit.BIC,
        AICc=fit.AICc,
        _likelihood=likelihood,
        _clusters=ClusterLikelihood(y, v, effects.cluster),
    )
