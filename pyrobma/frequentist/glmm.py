"""Generalised linear mixed models of events in two groups."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np
from scipy.special import chdtrc

from pyrobma._format import listed
from pyrobma._switchers import for_switchers
from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects.counts import TwoGroups, read_groups
from pyrobma.errors import DataError
from pyrobma.frequentist.coefficients import Coefficients
from pyrobma.frequentist.count_estimate import CountEstimate, fit_counts
from pyrobma.frequentist.count_model import MODELS, CountModel
from pyrobma.frequentist.criteria import information_criteria
from pyrobma.frequentist.design import Design, dependent, intercept_only, read_design
from pyrobma.frequentist.glmm_fits import GlmmFit, GlmmRegressionFit
from pyrobma.frequentist.heterogeneity import COMMON
from pyrobma.frequentist.intervals import Interval, around, check_level, wald
from pyrobma.frequentist.observed import observed

if TYPE_CHECKING:
    from pyrobma.effects._tables import AnyTable
    from pyrobma.effects.moderators import Mods

MEASURES: Final = ("OR", "IRR")


@overload
def rma_glmm(
    data: AnyTable | None = None,
    *,
    x1: Any = None,
    n1: Any = None,
    x2: Any = None,
    n2: Any = None,
    t1: Any = None,
    t2: Any = None,
    measure: str = "OR",
    model: str = "UM.FS",
    mods: None = None,
    method: str = "ML",
    test: str = "z",
    level: float = 0.95,
) -> GlmmFit: ...


@overload
def rma_glmm(
    data: AnyTable | None = None,
    *,
    x1: Any = None,
    n1: Any = None,
    x2: Any = None,
    n2: Any = None,
    t1: Any = None,
    t2: Any = None,
    measure: str = "OR",
    model: str = "UM.FS",
    mods: Mods,
    method: str = "ML",
    test: str = "z",
    level: float = 0.95,
) -> GlmmRegressionFit: ...


@for_switchers("rma_glmm(data, x1='x1', n1='n1', x2='x2', n2='n2')")
def rma_glmm(
    data: AnyTable | None = None,
    *,
    x1: Any = None,
    n1: Any = None,
    x2: Any = None,
    n2: Any = None,
    t1: Any = None,
    t2: Any = None,
    measure: str = "OR",
    model: str = "UM.FS",
    mods: Mods | None = None,
    method: str = "ML",
    test: str = "z",
    level: float = 0.95,
) -> GlmmFit | GlmmRegressionFit:
    """Fit events of two groups by a generalised linear mixed model.

    It takes counts as they are: no correction of empty cells, no normal approximation
    in small studies.

    Parameters
    ----------
    data : DataFrame, table, mapping or None
        Table in which a string names a column.
    x1, x2 : column name or array of shape (K,)
        Numbers of events in group 1 (treatment) and group 2 (control), whole.
    n1, n2 : column name or array of shape (K,)
        Members of the groups, with and without event, for "OR".
    t1, t2 : column name or array of shape (K,)
        Person-time of the groups, positive, for "IRR".
    measure : {"OR", "IRR"}
        Log odds ratio, or log ratio of incidence rates. Positive if group 1 has more
        events.
    model : {"UM.FS", "UM.RS", "CM.EL", "CM.AL"}
        What is assumed of the studies' baselines. Unconditional models of both groups:
        a free baseline in each study, "UM.FS" (default), or normally distributed
        baselines, "UM.RS". Conditional models of the events of group 1, given those of
        both, do not need baselines: exactly, "CM.EL", or for "OR" by the binomial that
        holds if events are rare, "CM.AL".
    mods : str, sequence of str, table, mapping, Moderators, or None
        Moderators of the mean, as of `rma`; names are of columns of `data`. None means
        no moderators.
    method : {"ML", "EE", "FE"}
        Maximum likelihood with heterogeneity, or without (the other two, which are the
        same).
    test : {"z", "t"}
        Normal tests and intervals, or those of t with K - P degrees of freedom, P the
        number of coefficients.
    level : float
        Coverage of the intervals, 0 to 1.

    Returns
    -------
    GlmmFit or GlmmRegressionFit
        Estimates, tests, intervals and fit statistics; prints as a table. The second
        with moderators. `ratio()` of the first, and `ratios()` of the second, are on
        the ratio's scale.

    Raises
    ------
    DataError
        If a number is missing, negative, not whole, or above its total; if no study
        has both events and something else, or events are such that an effect or a
        coefficient is infinite; or if moderators cannot be read, depend on each other,
        or are too many.

    Notes
    -----
    Effects of studies are ``theta_i ~ Normal(x_i'b, tau²)``. In unconditional models
    the logits of the risks, or the logs of the rates, are ``phi_i + theta_i / 2`` and
    ``phi_i - theta_i / 2``. "UM.RS" has ``phi_i ~ Normal(alpha + x_i'b / 2, sigma²)``,
    so that alpha is the mean baseline of group 2. Given ``x1 + x2`` (and n1, n2), x1
    has the noncentral hypergeometric distribution of Fisher for "OR", and for "IRR"
    the binomial one with logit ``theta_i + log(t1/t2)``; "CM.AL" is that with n for t
    (Stijnen, Hamza & Özdemir, 2010).

    Integrals over theta (and phi) are trapezoidal sums, doubled until the log
    likelihood changes by less than 1e-9; the likelihood is climbed from several starts
    with its exact gradient and Hessian. metafor uses 7 nodes, or Laplace's
    approximation for "UM.RS", so that its third digits can differ where events are
    few. Standard errors are from the observed information, that of tau included.

    Studies without events in both groups, or with nothing but events, are left out, as
    in metafor: they say nothing about a ratio, but for "UM.RS".

    Tests of heterogeneity compare the common effect with an effect of its own in each
    study (the saturated model), by Wald's statistic or by the likelihood ratio. An
    infinite effect, of a study with an empty cell, has no weight in the first. Both
    count K - P degrees of freedom. They are not computed for "UM.RS". I² and H² use
    the typical sampling variance of log ratios, 1/2 added to the cells of studies
    with an empty one, as in metafor. Information criteria count 2K observations for
    unconditional models, K for conditional ones.

    References
    ----------
    .. [1] Stijnen, Hamza, Özdemir (2010). Stat. Med. 29(29), 3046-3067.
       doi:10.1002/sim.4040
    .. [2] Jackson, Law, Stijnen, Viechtbauer, White (2018). Stat. Med. 37(7),
       1059-1085. doi:10.1002/sim.7588
    .. [3] van Houwelingen, Zwinderman, Stijnen (1993). Stat. Med. 12(24), 2273-2284.
       doi:10.1002/sim.4780122405
    """
    check_level(level)
    _check_options(measure, model, method, test)
    groups = read_groups(
        data, x1=x1, x2=x2, n1=n1, n2=n2, t1=t1, t2=t2, measure=measure,
        measures=MEASURES,
    )  # fmt: skip
    common = method in COMMON
    told = ~groups.silent
    used = groups.kept(told)
    _refuse_few(groups, used, common and test == "z")
    design = intercept_only(groups.K)
    if mods is not None:
        design = read_design(mods, data, groups.K, spare=0)
    design = _of_rows(design, told, spare=0 if common and test == "z" else 1)
    fit = fit_counts(model, used, design.x, design.labels, common=common)
    factor = np.asarray(np.linalg.cholesky(fit.covariance), dtype=np.float64)
    df = float(used.K - design.x.shape[1]) if test == "t" else None
    coefficients = Coefficients(design, fit.estimate, factor, df, level)
    shared: dict[str, Any] = {
        "model": model,
        "method": method,
        "test": test,
        "measure": measure,
        "k": used.K,
        "k_silent": groups.K - used.K,
        "level": level,
        "tau2": fit.tau2,
        "se_tau2": fit.se_tau2,
        "tau": math.sqrt(fit.tau2),
        "sigma2": fit.sigma2,
        **_shares(used, measure, design.x, fit.tau2),
        **_criteria(fit),
        "_fit": fit,
    }
    tests = _heterogeneity(model, used, design, fit, common)
    if mods is None:
        return _without_moderators(coefficients, tests, shared)
    overall = coefficients.test(design.slopes)
    return GlmmRegressionFit(
        **shared,
        p=design.x.shape[1],
        QM=overall.statistic,
        QM_df=overall.df,
        QM_df2=overall.df2,
        QM_p=overall.p,
        **{f"QE_{name}": value for name, value in tests.items()},
        _coefficients=coefficients,
    )


def _without_moderators(
    coefficients: Coefficients, tests: dict[str, Any], shared: dict[str, Any]
) -> GlmmFit:
    estimate, se = coefficients.estimate.item(), coefficients.factor.item()
    df, level = coefficients.df, coefficients.level
    statistic, p, ci = wald(estimate, se, level=level, df=df)
    prediction = around(estimate, math.hypot(se, shared["tau"]), level=level, df=df)
    common = shared["method"] in COMMON
    return GlmmFit(
        **shared,
        estimate=estimate,
        se=se,
        statistic=statistic,
        p=p,
        ci=ci,
        prediction=Interval(math.nan, math.nan) if common else prediction,
        **{f"Q_{name}": value for name, value in tests.items()},
    )


# ---- checks ----------------------------------------------------------------
def _check_options(measure: str, model: str, method: str, test: str) -> None:
    if model not in MODELS:
        raise DataError(
            f"model: expected one of {', '.join(MODELS)}; got {model!r}. Use one of "
            "these."
        )
    if measure == "IRR" and model == "CM.AL":
        raise DataError(
            'model: expected another model for measure "IRR"; got "CM.AL". Use '
            '"CM.EL", which is this binomial likelihood, and exact for rates.'
        )
    if method not in ("ML", *COMMON):
        raise DataError(
            f"method: expected one of ML, {', '.join(COMMON)}; got {method!r}. Use one "
            "of these."
        )
    if test not in ("z", "t"):
        raise DataError(f"test: expected 'z' or 't'; got {test!r}. Use one of these.")


def _refuse_few(groups: TwoGroups, used: TwoGroups, one_is_enough: bool) -> None:
    if used.K == 0:
        raise DataError(
            "x1, x2: expected a study with events and with something else; got none "
            f"among {groups.K}. There is no ratio to estimate."
        )
    if used.K == 1 and not one_is_enough:
        raise DataError(
            "x1, x2: expected at least two studies with events; got one. Use "
            "method='EE' with test='z'."
        )


def _of_rows(design: Design, mask: BoolArray, spare: int) -> Design:
    """Leave studies out of a design, and refuse one that they leave too little of."""
    x = design.x[mask]
    k, p = x.shape
    if p > 1 and k < p + spare:
        more = "more studies with events than" if spare else "at least as many studies"
        raise DataError(
            f"mods: expected {more}{'' if spare else ' with events as'} coefficients; "
            f"got {p} coefficients, with the intercept, for {k} studies. Leave "
            "moderators out."
        )
    found = dependent(x)
    if found is not None:
        column, places = found
        others = [design.labels[i] for i in places]
        raise DataError(
            f"mods: expected linearly independent columns; got {design.labels[column]},"
            f" which is a combination of {listed(others) if others else 'nothing'} in "
            "the studies with events. Leave one of them out."
        )
    return replace(design, x=x)


# ---- statistics ------------------------------------------------------------
def _heterogeneity(
    model: str, groups: TwoGroups, design: Design, fit: CountEstimate, common: bool
) -> dict[str, Any]:
    """Test the common effect against the saturated model."""
    df = groups.K - design.x.shape[1]
    if model == "UM.RS":
        missing = math.nan
        return {"Wald": missing, "Wald_p": missing, "LRT": missing, "LRT_p": missing,
                "df": df}  # fmt: skip
    least = fit
    if not common:
        least = fit_counts(model, groups, design.x, design.labels, common=True)
    own = CountModel(model, groups, design.x).studies.saturated()
    root = np.sqrt(own.weight)
    y, x = root * own.estimate, root[:, None] * design.x
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    values = {
        "Wald": float(residual @ residual),
        "LRT": max(2.0 * (float(own.loglik.sum()) - least.loglik), 0.0),
    }
    p = {
        f"{name}_p": float(chdtrc(df, value)) if df > 0 else 1.0
        for name, value in values.items()
    }
    return {**values, **p, "df": df}


def _shares(
    groups: TwoGroups, measure: str, x: FloatArray, tau2: float
) -> dict[str, float]:
    """I² and H² by the typical sampling variance, (K - P) / tr(projection)."""
    _, v = observed(groups, measure)
    k, p = x.shape
    if k == p:
        return {"I2": 0.0, "H2": 1.0}
    q, _ = np.linalg.qr(x / np.sqrt(v)[:, None])
    typical = (k - p) / float(np.sum((1.0 - np.sum(q**2, axis=1)) / v))
    return {"I2": 100.0 * tau2 / (tau2 + typical), "H2": tau2 / typical + 1.0}


def _criteria(fit: CountEstimate) -> dict[str, float]:
    names = ("AIC", "BIC", "AICc")
    values = information_criteria(fit.loglik, fit.parameters, fit.observations)
    return {"loglik": fit.loglik, **dict(zip(names, values, strict=True))}
