"""Location-scale models of independent estimates: moderators of mu and of tau²."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc, ndtri

from pyrobma._format import counted, listed
from pyrobma._types import FloatArray
from pyrobma.effects._tables import AnyTable, is_table, read_table
from pyrobma.errors import DataError, DataWarning, warn
from pyrobma.frequentist import heterogeneity
from pyrobma.frequentist.coefficients import (
    Coefficients,
    coefficient_lines,
    covariance_table,
    term_tests,
    test_lines,
    wald_lines,
)
from pyrobma.frequentist.criteria import information_criteria
from pyrobma.frequentist.design import Design, dependent, intercept_only, read_design
from pyrobma.frequentist.intervals import HeterogeneityIntervals, around, check_level
from pyrobma.frequentist.likelihood import ClusterLikelihood
from pyrobma.frequentist.report import Report, number, p_value
from pyrobma.frequentist.robust import RobustCoefficients, robust_coefficients
from pyrobma.frequentist.scale_estimate import (
    ScaleEstimate,
    estimate_scale,
    profile_intervals,
)
from pyrobma.frequentist.scale_likelihood import ScaleLikelihood
from pyrobma.frequentist.wald import WaldTest, standard_errors

if TYPE_CHECKING:
    import pandas as pd

    from pyrobma.effects.data import EffectSizes
    from pyrobma.effects.moderators import Mods

_FEW = 3
"""Estimates of a level below which tau² there is hardly known."""

_NAMED = 5
"""How many rows without heterogeneity are named."""

_FITTED = 1e-9
"""What is left of a row's variance, as a share, if moderators fit it exactly."""


@dataclass(frozen=True, slots=True, repr=False)
class LocationScaleFit(Report):
    """A fitted location-scale model of independent estimates; prints as a table.

    Attributes
    ----------
    method : {"REML", "ML"}
        Likelihood that was maximised.
    test : {"z", "knha"}
        Normal and chi² tests; or those of Knapp and Hartung for the mean, and t and F
        for the scale coefficients.
    measure : str
        Scale of the estimates.
    k, p, q : int
        Number of estimates, of coefficients of the mean, and of scale coefficients,
        both with the intercept.
    boundary : int
        Number of rows in which tau² is estimated as 0; see Notes of `rma`.
    level : float
        Coverage of the intervals, 0 to 1.
    QM, QM_df, QM_df2, QM_p : float
        Wald test of all coefficients of the mean but the intercept: chi² with `QM_df`
        degrees of freedom, or for "knha" F with `QM_df` and `QM_df2` (inf for chi²);
        nan without moderators of the mean.
    QS, QS_df, QS_df2, QS_p : float
        The same test of all scale coefficients but the intercept; nan if one of them
        is not finite.
    LRT, LRT_df, LRT_p : float
        Likelihood-ratio test of the same coefficients, chi² with `LRT_df` degrees of
        freedom, against the model with one tau².
    QE, QE_df, QE_p : float
        Test of residual heterogeneity.
    loglik, AIC, BIC, AICc : float
        (Restricted) log likelihood and its criteria; p + q parameters.
    """

    method: str
    test: str
    measure: str
    k: int
    p: int
    q: int
    boundary: int
    level: float
    QM: float
    QM_df: int
    QM_df2: float
    QM_p: float
    QS: float
    QS_df: int
    QS_df2: float
    QS_p: float
    LRT: float
    LRT_df: int
    LRT_p: float
    QE: float
    QE_df: int
    QE_p: float
    loglik: float
    AIC: float
    BIC: float
    AICc: float
    _coefficients: Coefficients = field(compare=False)
    _scale: Coefficients = field(compare=False)
    _likelihood: ScaleLikelihood = field(compare=False)
    _estimate: ScaleEstimate = field(compare=False)
    _clusters: ClusterLikelihood = field(compare=False)

    @property
    def coefficients(self) -> pd.DataFrame:
        """Coefficients of the mean: one row each, by label, the intercept first.

        Columns estimate, se, statistic (z or t), df (inf for z), p, lower, upper.
        """
        return self._coefficients.table()

    @property
    def covariance(self) -> pd.DataFrame:
        """Covariance of the coefficients of the mean, labels on both axes."""
        return covariance_table(self._coefficients.design, self._coefficients.factor)

    @property
    def terms(self) -> pd.DataFrame:
        """Wald tests of the coefficients of each term of the mean, one row a term.

        Columns statistic (chi² or F), df, df2 (inf for chi²), p.
        """
        return term_tests(self._coefficients.design, self._coefficients.test)

    @property
    def scale_coefficients(self) -> pd.DataFrame:
        """Coefficients of log tau², as `coefficients`.

        One that the data drive to -inf or inf, since tau² is 0 in some rows, is that;
        it has no standard error. nan means that any value is as likely.
        """
        return self._scale.table()

    @property
    def scale_covariance(self) -> pd.DataFrame:
        """Covariance of the scale coefficients, labels on both axes."""
        return covariance_table(self._scale.design, self._scale.factor)

    @property
    def scale_terms(self) -> pd.DataFrame:
        """Wald tests of the coefficients of each term of log tau², as `terms`."""
        return term_tests(self._scale.design, self._scale.test)

    @property
    def tau2(self) -> FloatArray:
        """Heterogeneity variance of each estimate, shape (k,)."""
        return np.exp(self._estimate.log_tau2)

    def predict(self, newdata: AnyTable | None = None) -> pd.DataFrame:
        """Predict effects from moderators of the mean and of tau².

        Parameters
        ----------
        newdata : DataFrame, table, mapping, or None
            New values of all moderators by name, coded as those of the fit; a mapping
            may hold single values, e.g. ``{"ni": [50, 200], "subject": "Math"}``. None
            means the rows of the fit.

        Returns
        -------
        DataFrame
            One row each: fit (mean effect), se, ci_lower, ci_upper; prediction_lower
            and prediction_upper, where the true effect of a new study is expected;
            tau2, the heterogeneity that they are made with.

        Raises
        ------
        DataError
            If a moderator lacks, or has a level that the fit does not have.
        """
        rows = _rows(newdata)
        log_tau2, _ = self._estimate.combined(self._scale.design.rows(rows))
        tau2 = np.exp(log_tau2)
        return self._coefficients.predict(rows, tau2).assign(tau2=tau2)

    def heterogeneity(self, newdata: AnyTable | None = None) -> pd.DataFrame:
        """Predict tau² and tau from moderators of tau².

        Parameters
        ----------
        newdata : DataFrame, table, mapping, or None
            As of `predict`; only moderators of tau² are needed.

        Returns
        -------
        DataFrame
            One row each: tau2, tau2_lower, tau2_upper, tau, tau_lower, tau_upper, the
            intervals those of log tau²; nan where tau² is 0.

        Raises
        ------
        DataError
            As of `predict`.
        """
        import pandas as pd

        rows = _rows(newdata)
        log_tau2, factor = self._estimate.combined(self._scale.design.rows(rows))
        quantile = around(0.0, 1.0, level=self.level, df=self._scale.df).upper
        half = quantile * standard_errors(factor)
        ends = {"": log_tau2, "_lower": log_tau2 - half, "_upper": log_tau2 + half}
        with np.errstate(over="ignore"):
            columns = {
                name + end: np.exp(power * value)
                for name, power in (("tau2", 1.0), ("tau", 0.5))
                for end, value in ends.items()
            }
        return pd.DataFrame(columns, index=None if rows is None else rows.index)

    def scale_intervals(self, *, level: float | None = None) -> HeterogeneityIntervals:
        """Profile-likelihood intervals of the scale coefficients.

        Log likelihoods of tau² are often skewed: these intervals are better than
        ``estimate ± quantile · se``, and exist where that does not.

        Parameters
        ----------
        level : float or None
            Coverage, 0 to 1; None means the level of the fit.

        Returns
        -------
        HeterogeneityIntervals
            Of the coefficients, by label; an end that the data do not give is infinite.
        """
        level = check_level(self.level if level is None else level)
        quantile = float(ndtri(0.5 * (1.0 + level)))
        labels = self._scale.design.labels
        ends = profile_intervals(self._likelihood, self._estimate, quantile)
        return HeterogeneityIntervals(
            method="profile likelihood",
            level=level,
            estimates=dict(zip(labels, map(float, self._scale.estimate), strict=True)),
            intervals=dict(zip(labels, ends, strict=True)),
        )

    def robust(
        self, correction: str = "CR1", *, level: float | None = None
    ) -> RobustCoefficients:
        """Cluster-robust tests of the coefficients of the mean.

        The clusters are those of the effects, tau² of the rows as fitted.

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
            0.0,
            0.0,
            correction=correction,
            level=check_level(self.level if level is None else level),
        )

    def __str__(self) -> str:
        """Return the table."""
        knha = self.test == "knha"
        title = f"Location-scale model ({self.method}"
        title += ", Knapp-Hartung test)" if knha else ")"
        letter = "t" if knha else "z"
        lines = [f"{title}, {self.k} estimates, measure {self.measure}", "", "Mean"]
        lines.append(coefficient_lines(self.coefficients, self.level, letter=letter))
        if self.p > 1:
            mean = WaldTest(self.QM, self.QM_df, self.QM_df2, self.QM_p)
            lines += ["", test_lines(mean, self.terms)]
        scale = WaldTest(self.QS, self.QS_df, self.QS_df2, self.QS_p)
        own = self.scale_coefficients
        lines += [
            "",
            "Log tau²",
            coefficient_lines(own, self.level, letter=letter),
            "",
            wald_lines(
                scale, self.scale_terms, statistic="QS", everything="all of scale"
            ),
            "",
            f"against one tau²: LRT({self.LRT_df}) = {number(self.LRT)}, "
            f"p {p_value(self.LRT_p)}",
        ]
        low, high = float(self.tau2.min()), float(self.tau2.max())
        lines.append(
            f"tau² {number(low)} to {number(high)}, "
            f"tau {number(math.sqrt(low))} to {number(math.sqrt(high))}"
        )
        if self.boundary:
            lines.append(_at_boundary(self._estimate, self._scale))
        lines += [
            f"QE({self.QE_df}) = {number(self.QE)}, p {p_value(self.QE_p)}",
            f"logLik {number(self.loglik)}, AIC {number(self.AIC)}, "
            f"BIC {number(self.BIC)}, AICc {number(self.AICc)}",
        ]
        return "\n".join(lines)


def fit_location_scale(
    effects: EffectSizes,
    mods: Mods | None,
    scale: Mods,
    data: AnyTable | None,
    *,
    method: str,
    test: str,
    level: float,
) -> LocationScaleFit:
    """Fit a location-scale model; arguments as of `rma`, its options checked already.

    Warns
    -----
    DataWarning
        If tau² is 0 in some rows, or a level of a factor has fewer than three rows.
    """
    if method not in ("REML", "ML"):
        raise DataError(
            f"method: expected 'REML' or 'ML' with scale; got {method!r}. Leave it out."
        )
    y, v = effects.y, effects.se**2
    k, reml = y.size, method == "REML"
    mean = intercept_only(k) if mods is None else read_design(mods, data, k, spare=1)
    scales = read_design(scale, data, k, spare=1, argument="scale")
    _check(mean, scales, k)
    even = ClusterLikelihood(y, v, np.arange(k), mean.x)
    tau2, _ = heterogeneity.likelihood_tau2(even, reml=reml)
    likelihood = ScaleLikelihood(y, v, mean.x, reml)
    found = estimate_scale(
        likelihood, scales.x, math.log(tau2) if tau2 > 0.0 else -math.inf
    )
    total = v + np.exp(found.log_tau2)
    estimate, factor = ClusterLikelihood(y, total, np.arange(k), mean.x).coefficients(
        0.0, 0.0
    )
    p, q = mean.x.shape[1], scales.x.shape[1]
    df, scale_df = (float(k - p), float(k - q)) if test == "knha" else (None, None)
    if df is not None:
        spread = heterogeneity.cochran_q(y, total, design=mean.x) / df
        factor = factor * math.sqrt(spread)
    coefficients = Coefficients(mean, estimate, factor, df, level)
    scale_coefficients = Coefficients(
        scales, *found.combined(np.eye(q)), scale_df, level
    )
    ratio = max(2.0 * (found.value - even.evaluate(tau2, 0.0, reml=reml)[0]), 0.0)
    qe = heterogeneity.cochran_q(y, v, design=mean.x)
    nothing = WaldTest(math.nan, 0, math.inf if df is None else df, math.nan)
    qm = coefficients.test(mean.slopes) if p > 1 else nothing
    qs = scale_coefficients.test(scales.slopes)
    aic, bic, aicc = information_criteria(found.value, p + q, k - p if reml else k)
    if found.boundary.any():
        warn(
            f"scale: expected heterogeneity in every row; got a likelihood that is "
            f"highest where {_at_boundary(found, scale_coefficients)}. There is no "
            "standard error there: see scale_intervals(), and LRT for a test.",
            DataWarning,
        )
    return LocationScaleFit(
        method=method,
        test=test,
        measure=effects.measure,
        k=k,
        p=p,
        q=q,
        boundary=int(found.boundary.sum()),
        level=level,
        QM=qm.statistic,
        QM_df=qm.df,
        QM_df2=qm.df2,
        QM_p=qm.p,
        QS=qs.statistic,
        QS_df=qs.df,
        QS_df2=qs.df2,
        QS_p=qs.p,
        LRT=ratio,
        LRT_df=q - 1,
        LRT_p=float(chdtrc(q - 1, ratio)),
        QE=qe,
        QE_df=k - p,
        QE_p=float(chdtrc(k - p, qe)),
        loglik=found.value,
        AIC=aic,
        BIC=bic,
        AICc=aicc,
        _coefficients=coefficients,
        _scale=scale_coefficients,
        _likelihood=likelihood,
        _estimate=found,
        _clusters=ClusterLikelihood(y, total, effects.cluster, mean.x),
    )


def _check(mean: Design, scales: Design, k: int) -> None:
    """Refuse scale coefficients that the estimates cannot tell; warn of rare levels."""
    p, q = mean.x.shape[1], scales.x.shape[1]
    if k <= p + q:
        raise DataError(
            f"scale: expected more estimates than coefficients of the mean and of tau² "
            f"together; got {k} estimates for {p} and {q}. Leave moderators out."
        )
    basis, _ = np.linalg.qr(mean.x)
    fitted = 1.0 - (basis**2).sum(axis=1) < _FITTED
    found = dependent(scales.x[~fitted])
    if found is not None:
        raise DataError(
            f"scale: expected tau² of rows that the moderators of the mean leave "
            f"something of; got {scales.labels[found[0]]}, which tells apart only rows "
            f"that these fit exactly, "
            f"{listed([str(i) for i in np.flatnonzero(fitted)])}. Leave it out, or "
            "make the mean depend on less."
        )
    for coding in scales.moderators.codings if scales.moderators else ():
        counts = np.bincount(coding.raw[:, 0].astype(int)) if coding.factor else ()
        few = [
            f"{level} ({n})"
            for level, n in zip(coding.levels, counts, strict=False)
            if n < _FEW
        ]
        if few:
            warn(
                f"scale: expected at least {_FEW} estimates at each level of "
                f"{coding.name}; got fewer at {listed(few)}: tau² is hardly known "
                "there. Merge levels, or leave it out.",
                DataWarning,
            )


def _at_boundary(found: ScaleEstimate, scale: Coefficients) -> str:
    """Say in which rows tau² is 0, and which coefficients that makes infinite."""
    rows = np.flatnonzero(found.boundary)
    where = f"in {rows.size} of {len(found.z)} rows"
    if rows.size == len(found.z):
        where = "in all rows"
    elif rows.size <= _NAMED:
        where = f"in {counted(rows.size, 'row')} ({listed([str(i) for i in rows])})"
    infinite = [
        f"{label} is {'any number' if math.isnan(value) else f'{value:g}'}"
        for label, value in zip(scale.design.labels, scale.estimate, strict=True)
        if not math.isfinite(value)
    ]
    return f"tau² is 0 {where} and {listed(infinite)}"


def _rows(newdata: AnyTable | None) -> pd.DataFrame | None:
    if newdata is not None and not is_table(newdata):
        raise DataError(
            "newdata: expected moderators by name, as those of the mean and of tau² "
            f"may differ; got {type(newdata).__name__}. Give a DataFrame."
        )
    return read_table(newdata, "newdata")
