"""The analyses that are compared, by name, and the numbers that are read off them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import pyrobma as rb

SEED = 1
SPIKE = rb.prior("spike", location=0)
TESTED_R, TESTED_N = np.array([0.1, 0.2, 0.3]), np.array([15, 20, 50])
"""Three made correlations and their sample sizes, the data of RoBMA's own tests."""


class Number(NamedTuple):
    """A number and its Monte Carlo standard error; of a Bayes factor, its own."""

    value: float
    error: float


def tested() -> dict[str, np.ndarray]:
    """Return RoBMA's made data as Cohen's d, which is how most of its tests have it."""
    d = rb.r2d(TESTED_R)
    return {"d": d, "se": rb.se_d(d, TESTED_N)}


def staircase() -> pd.DataFrame:
    """Return RoBMA's made data for regressions: -1, 0 and 1, five times each."""
    return pd.DataFrame(
        {
            "d": np.repeat([-1.0, 0.0, 1.0], 5),
            "se": 0.1,
            "mod_cat": np.repeat(["A", "B", "C"], 5),
            "mod_con": np.arange(1, 16) / 15,
        }
    )


def risk() -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """Return the BCG trials with their log odds ratios and variances."""
    trials = rb.load_dataset("bcg")
    odds = rb.log_odds_ratio(trials, a="tpos", b="tneg", c="cpos", d="cneg")
    return trials, odds["yi"], odds["vi"]


def _schools(**options: Any) -> rb.RobmaFit:
    data = rb.load_dataset("konstantopoulos2011")
    options.setdefault("study_ids", "district")
    return _robma(data, d="yi", v="vi", priors_bias=None, **options)


def _toothpaste(**options: Any) -> rb.RobmaFit:
    priors = {
        f"priors_{what}": rb.prior_informed("Oral Health", parameter=what)
        for what in ("effect", "heterogeneity")
    }
    return _robma(rb.load_dataset("poulsen2006"), d="d", se="se", **priors, **options)


def _andrews(**options: Any) -> rb.RobmaFit:
    data = rb.load_dataset("andrews2021")
    return _robma(data, r="r", se="se", mods="measure + age", **options)


def _bem_custom() -> rb.RobmaFit:
    mu = rb.prior("normal", mean=0.15, sd=0.1, lower=0)
    tau = rb.prior("inv_gamma", shape=1, scale=0.15)
    weights = [([0.05], [1, 1]), ([0.05, 0.1], [1, 1, 1])]
    biases = [
        rb.prior_weightfunction("one-sided", steps=steps, alpha=alpha)
        for steps, alpha in weights
    ]
    biases.append(rb.prior_PET("cauchy", location=0, scale=1, lower=0))
    biases.append(rb.prior_PEESE("cauchy", location=0, scale=5, lower=0))
    models = [rb.model(), rb.model(mu=mu), rb.model(mu=mu, tau=tau)]
    models += [rb.model(bias=bias) for bias in biases]
    return _robma(rb.load_dataset("bem2011"), d="d", se="se", models=models)


def _bcg() -> rb.RobmaFit:
    trials, log_odds, variance = risk()
    return _robma(
        trials, logOR=log_odds, v=variance, mods="ablat + alloc", priors_bias=None
    )


def _fixed_weights() -> rb.RobmaFit:
    weights = rb.prior_weightfunction("one-sided-fixed", steps=[0.1], omega=[1, 0.5])
    return _robma(
        **tested(), priors_bias=weights, priors_bias_null=None,
        priors_effect_null=None, priors_heterogeneity_null=None,
    )  # fmt: skip


def _robma(*data: Any, **options: Any) -> rb.RobmaFit:
    with warnings.catch_warnings():
        # Small data, large effects and unexpected directions are those of the source.
        warnings.simplefilter("ignore", rb.PyrobmaWarning)
        return rb.robma(*data, **{"seed": SEED, "progress": False, **options})


ALONE = {"priors_effect_null": None, "priors_heterogeneity_null": None}
CASES: dict[str, Callable[[], rb.RobmaFit]] = {
    "schools": _schools,
    "schools, test of rho": lambda: _schools(
        priors_heterogeneity_null=None, priors_hierarchical_null=SPIKE
    ),
    "schools, one model": lambda: _schools(**ALONE),
    "schools, one model without clusters": lambda: _schools(study_ids=None, **ALONE),
    "schools, year": lambda: _schools(mods="year"),
    "toothpaste, d": lambda: _toothpaste(priors_bias=None, transformation="cohens_d"),
    "toothpaste, z": lambda: _toothpaste(priors_bias=None),
    "toothpaste, 36 models": _toothpaste,
    "andrews": lambda: _andrews(priors_bias=None),
    "andrews, 144 models": _andrews,
    "bcg": _bcg,
    "staircase": lambda: _robma(
        staircase(), d="d", se="se", mods="mod_cat + mod_con", priors_bias=None
    ),
    "bem, 36 models": lambda: _robma(rb.load_dataset("bem2011"), d="d", se="se"),
    "bem, 7 models": _bem_custom,
    "lui, 36 models": lambda: _robma(rb.load_dataset("lui2015"), r="r", n="n"),
    "three, 36 models": lambda: _robma(**tested()),
    "three in two clusters, 36 models": lambda: _robma(**tested(), study_ids=[1, 1, 2]),
    "three by log odds ratios, 36 models": lambda: _robma(
        **tested(), transformation="logOR"
    ),
    "three, fixed weights": _fixed_weights,
}
"""Every analysis that somebody else's numbers are compared with."""


@cache
def fit(case: str) -> rb.RobmaFit:
    """Return an analysis; it is done once."""
    return CASES[case]()


@cache
def marginal_means(case: str, term: str, scale: str | None) -> pd.DataFrame:
    """Return the table of marginal means of a term."""
    return fit(case).marginal_means(term, output_scale=scale).means


@cache
def coefficients(case: str, scale: str | None, conditional: bool) -> pd.DataFrame:
    """Return the table of the estimates of a regression, intercept first."""
    summary = fit(case).summary(output_scale=scale, conditional=conditional)
    if conditional:
        return summary.estimates_mods_conditional
    return summary.estimates_mods


COLUMNS = {"mean": "Mean", "lower": "0.025", "median": "Median", "upper": "0.975"}
PROBS = {"lower": 0.025, "median": 0.5, "upper": 0.975}


def ours(case: str, what: str, name: str, given: str = "", scale: str = "") -> Number:
    """Return one of our numbers.

    Parameters
    ----------
    case : str
        A key of `CASES`.
    what : str
        "logml" of a model by number, "bf" or "probability" of a component; "mean",
        "lower" (2.5 %), "median" or "upper" of a parameter; of a coefficient, with
        "coefficient " before; "marginal mean", "marginal lower", "marginal upper" or
        "marginal bf" of a level of a moderator.
    name : str
        Number of the model, component, parameter, or level as ``measure[direct]``.
    given : str
        "yes" for means over the models with the component only.
    scale : str
        Output scale. Empty: the scale of the priors.

    Returns
    -------
    Number
    """
    kind, _, rest = what.rpartition(" ")
    if kind:
        if kind == "marginal":
            table = marginal_means(case, name.partition("[")[0], scale or None)
        else:
            table = coefficients(case, scale or None, bool(given))
        row = table.loc[name]
        if rest == "bf":
            bf = float(row["Inclusion BF"])
            return Number(bf, bf * float(row["error(log BF)"]))
        error = "error(Mean)" if rest == "mean" else "error(Quantiles)"
        return Number(float(row[COLUMNS[rest]]), float(row[error]))
    return _of_fit(fit(case), what, name, bool(given), scale)


def _of_fit(
    fitted: rb.RobmaFit, what: str, name: str, conditional: bool, scale: str
) -> Number:
    if what == "logml":
        row = fitted.models.loc[int(name)]
        return Number(float(row["logml"]), float(row["logml_mcse"]))
    if what == "bf":
        row = fitted.inclusion.loc[name]
        bf = float(row["inclusion_bf"])
        return Number(bf, bf * float(row["log_bf_mcse"]))
    if what == "probability":
        row = fitted.inclusion.loc[name]
        return Number(float(row["post_prob"]), float(row["post_prob_mcse"]))
    mixture = fitted.mixture(name, conditional=conditional)
    if scale == "fishers_z":
        # What RoBMA does with tau: it is scaled, not converted.
        mixture = mixture.transformed(lambda draws: draws / 2)
    elif scale:
        mixture = mixture.transformed(
            lambda draws: rb.transform_effect(draws, "cohens_d", scale)
        )
    if what == "mean":
        return Number(mixture.mean(), mixture.mcse())
    probs = [PROBS[what]]
    return Number(
        float(mixture.quantiles(probs)[0]), float(mixture.quantile_errors(probs)[0])
    )
