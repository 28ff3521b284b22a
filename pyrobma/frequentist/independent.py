"""The model of independent estimates: coefficients, tau² and fit statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import chdtrc

from pyrobma._types import FloatArray
from pyrobma.effects import EffectSizes
from pyrobma.errors import DataError
from pyrobma.frequentist import heterogeneity
from pyrobma.frequentist.criteria import information_criteria
from pyrobma.frequentist.heterogeneity import COMMON, METHODS
from pyrobma.frequentist.likelihood import ClusterLikelihood


@dataclass(frozen=True, slots=True)
class Independent:
    """A common-effect or random-effects model, with any design.

    Attributes
    ----------
    estimate : array of shape (P,)
        Coefficients.
    factor : array of shape (P, P)
        Factor F of their covariance F F'; for the Knapp-Hartung test times the root of
        the mean weighted squared residual.
    df : float or None
        Degrees of freedom of t; None means the normal.
    tau2, se_tau2 : float
        (Residual) heterogeneity and its standard error.
    I2, H2 : float
        Per cent, and a ratio of variances.
    Q, Q_df, Q_p : float
        Test of (residual) heterogeneity.
    loglik, AIC, BIC, AICc : float
        (Restricted) log likelihood and its criteria.
    """

    estimate: FloatArray
    factor: FloatArray
    df: float | None
    tau2: float
    se_tau2: float
    I2: float
    H2: float
    Q: float
    Q_df: int
    Q_p: float
    loglik: float
    AIC: float
    BIC: float
    AICc: float


def check_estimates(effects: object) -> None:
    """Refuse what are no estimates, such as the table that they are in."""
    if not isinstance(effects, EffectSizes):
        raise DataError(
            f"effects: expected estimates; got {type(effects).__name__}. Write "
            "rma(effect_sizes(data, d='yi', v='vi'))."
        )
    if effects.counts is not None:
        raise DataError(
            "effects: expected estimates with standard errors; got counts, which have "
            "none. Use rma_glmm, rma_mh or rma_peto, or log_odds_ratio for estimates."
        )


def check_options(method: str, test: str) -> None:
    """Refuse an estimator of tau², or a test, that there is not."""
    if method not in METHODS:
        raise DataError(
            f"method: expected one of {', '.join(METHODS)}; got {method!r}. "
            "Use one of these."
        )
    if test not in ("z", "knha"):
        raise DataError(
            f"test: expected 'z' or 'knha'; got {test!r}. Use one of these."
        )


def fit_independent(
    likelihood: ClusterLikelihood, method: str, test: str
) -> Independent:
    """Fit the model; `likelihood` has each estimate in a cluster of its own."""
    y, v, x = likelihood.y, likelihood.v, likelihood.x
    k, p = x.shape
    reml = method == "REML"
    common = method in COMMON
    tau2, se_tau2 = heterogeneity.estimate_tau2(likelihood, method)
    loglik = likelihood.evaluate(tau2, 0.0, reml=reml)[0]
    estimate, factor = likelihood.coefficients(tau2, 0.0)
    df = None
    if test == "knha":
        df = float(k - p)
        factor = factor * math.sqrt(heterogeneity.cochran_q(y, v, tau2, x) / df)
    q = heterogeneity.cochran_q(y, v, 0.0, x)
    i2, h2 = _inconsistency(likelihood, tau2, q, common=common)
    aic, bic, aicc = information_criteria(
        loglik, p + (not common), k - p if reml else k
    )
    return Independent(
        estimate=estimate,
        factor=factor,
        df=df,
        tau2=tau2,
        se_tau2=se_tau2,
        I2=i2,
        H2=h2,
        Q=q,
        Q_df=k - p,
        Q_p=float(chdtrc(k - p, q)) if k > p else 1.0,
        loglik=loglik,
        AIC=aic,
        BIC=bic,
        AICc=aicc,
    )


def _inconsistency(
    likelihood: ClusterLikelihood, tau2: float, q: float, *, common: bool
) -> tuple[float, float]:
    """I² (per cent) and H²."""
    df = likelihood.n_estimates - likelihood.n_coefficients
    if df == 0:
        return 0.0, 1.0
    if common:
        return (100.0 * max(1.0 - df / q, 0.0) if q > 0.0 else 0.0), q / df
    typical = heterogeneity.typical_sampling_variance(likelihood)
    return (
        heterogeneity.i_squared(tau2, typical),
        heterogeneity.h_squared(tau2, typical),
    )


def explained(likelihood: ClusterLikelihood, fit: Independent, method: str) -> float:
    """Return the pseudo R² of the moderators, per cent.

    The share of tau² of the model without moderators, by the same estimator, that is
    gone; for a common-effect model the adjusted R² of the weighted least squares, nan
    without degrees of freedom. Below 0 it is 0.
    """
    y, v = likelihood.y, likelihood.v
    if method in COMMON:
        if fit.Q_df == 0:
            return math.nan
        total = heterogeneity.cochran_q(y, v) / (y.size - 1)
        return share_less(total, fit.Q / fit.Q_df)
    alone = ClusterLikelihood(y, v, likelihood.cluster)
    return share_less(heterogeneity.estimate_tau2(alone, method)[0], fit.tau2)


def share_less(without: float, remaining: float) -> float:
    """Return by how many per cent a variance is less than without moderators."""
    return 100.0 * max(1.0 - remaining / without, 0.0) if without > 0.0 else 0.0
