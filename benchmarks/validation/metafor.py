"""What metafor and clubSandwich print beside what `rma` and `rma_mv` find.

Theirs are in ``metafor.csv``, a source with each. It takes a second.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import comparison
import numpy as np
import pandas as pd
from scipy import stats

import pyrobma as rb

TEXT = (
    "Made by `metafor.py` from `metafor.csv`. There is no Monte Carlo error here. "
    "Where metafor stops Fisher scoring (at a step of tau² below 1e-5, its default) is "
    "computed in NumPy; that verdict is given only if the numbers there are those "
    "printed. The optimiser's is given only if no likelihood of theirs is higher."
)
SCORING = "metafor stops Fisher scoring early"
OPTIMISER = "metafor's optimiser stops early"
ROOT = "metafor's root finder stops early"
STEP = 1e-5
"""Change of tau² at which metafor stops Fisher scoring."""
UNIROOT = 2.0**-13
"""R's uniroot stops at steps of eps^(1/4) = 1.2e-4."""


def schools() -> rb.EffectSizes:
    """Return the 56 schools, on Cohen's d as in metafor."""
    return rb.effect_sizes(
        rb.load_dataset("konstantopoulos2011"),
        d="yi", v="vi", study_ids="district", transformation="cohens_d",
    )  # fmt: skip


def bcg(smoothed: bool = False) -> rb.EffectSizes:
    """Return log risk ratios, also with the variances of Berkey et al. (1995)."""
    trials = rb.load_dataset("bcg")
    risk = rb.log_risk_ratio(trials, a="tpos", b="tneg", c="cpos", d="cneg")
    variance = risk["vi"]
    if smoothed:
        treated, control = trials.tpos + trials.tneg, trials.cpos + trials.cneg
        variance = (trials.tneg / trials.tpos).sum() / (13 * treated)
        variance = variance + (trials.cneg / trials.cpos).sum() / (13 * control)
    return rb.effect_sizes(y=risk["yi"], v=variance)


def delinquency() -> rb.EffectSizes:
    """Return the hundred estimates in seventeen studies."""
    return rb.effect_sizes(
        rb.load_dataset("assink2016"),
        d="yi", v="vi", study_ids="study", transformation="cohens_d",
    )  # fmt: skip


@dataclass(frozen=True)
class Model:
    """One call: the data, the options, and what is done with the fit."""

    effects: Callable[[], rb.EffectSizes]
    table: str
    method: str = "REML"
    mods: str | None = None
    test: str = "z"
    clusters: bool = False
    correction: str | None = None

    def fit(self) -> Any:
        """Return the fit of `rma` or `rma_mv`."""
        options: dict[str, Any] = {"method": self.method}
        if self.mods is not None:
            options |= {"mods": self.mods, "data": rb.load_dataset(self.table)}
        if self.clusters:
            return rb.rma_mv(self.effects(), **options)
        return rb.rma(self.effects(), **options, test=self.test)

    def design(self) -> np.ndarray:
        """Return the columns of the mean, treatment contrasts, made by hand."""
        data = rb.load_dataset(self.table)
        columns = [np.ones(len(data))]
        for term in (self.mods or "").split(" + "):
            if term == "I(ablat - 33.46)":
                columns.append(data["ablat"] - 33.46)
            elif term == "center(year)":
                columns.append(data["year"] - data["year"].mean())
            elif term and pd.api.types.is_numeric_dtype(data[term]):
                columns.append(data[term])
            elif term:
                levels = sorted(data[term].unique())[1:]
                columns += [data[term] == level for level in levels]
        return np.column_stack(columns).astype(float)


SCHOOLS, BCG = (schools, "konstantopoulos2011"), (bcg, "bcg")
DELINQUENCY = (delinquency, "assink2016")
SMOOTHED = (lambda: bcg(smoothed=True), "bcg")
MODELS = {
    "schools": Model(*SCHOOLS),
    "schools, year": Model(*SCHOOLS, mods="center(year)"),
    "schools, districts": Model(*SCHOOLS, clusters=True),
    "schools, districts, ML": Model(*SCHOOLS, "ML", clusters=True),
    "schools, districts, year, ML": Model(
        *SCHOOLS, "ML", mods="center(year)", clusters=True
    ),
    "bcg": Model(*BCG),
    "bcg, DL": Model(*BCG, "DL"),
    "bcg, PM": Model(*BCG, "PM"),
    "bcg, ML": Model(*BCG, "ML"),
    "bcg, CR0": Model(*BCG, correction="CR0"),
    "bcg, CR1": Model(*BCG, correction="CR1"),
    "bcg, CR2": Model(*BCG, correction="CR2"),
    "bcg ~ ablat": Model(*BCG, mods="ablat"),
    "bcg ~ ablat, knha": Model(*BCG, mods="ablat", test="knha"),
    "bcg ~ ablat, ML": Model(*BCG, "ML", mods="ablat"),
    "bcg ~ ablat + year": Model(*BCG, mods="ablat + year"),
    "bcg ~ ablat + alloc": Model(*BCG, mods="ablat + alloc"),
    "bcg ~ ablat + alloc, knha": Model(*BCG, mods="ablat + alloc", test="knha"),
    "bcg ~ alloc + year + ablat": Model(*BCG, mods="alloc + year + ablat"),
    "bcg, smoothed, EB": Model(*SMOOTHED, "EB", mods="I(ablat - 33.46)"),
    "bcg, smoothed, FE": Model(*SMOOTHED, "FE", mods="I(ablat - 33.46)"),
    "delinquency": Model(*DELINQUENCY, mods="year + deltype"),
    "delinquency, CR2": Model(*DELINQUENCY, mods="year + deltype", correction="CR2"),
    "delinquency, studies": Model(*DELINQUENCY, mods="year + deltype", clusters=True),
    "delinquency, studies, CR2": Model(
        *DELINQUENCY, mods="year + deltype", clusters=True, correction="CR2"
    ),
}
EFFECT_SIZES: dict[str, Callable[[], pd.DataFrame]] = {
    "effect sizes, log risk ratios": lambda: rb.log_risk_ratio(
        rb.load_dataset("bcg"), a="tpos", b="tneg", c="cpos", d="cneg"
    ),
    "effect sizes, log odds ratios": lambda: rb.log_odds_ratio(
        rb.load_dataset("bcg"), a="tpos", b="tneg", c="cpos", d="cneg"
    ),
    # Length of stay of stroke patients, Normand (1999), the first three studies.
    "effect sizes, standardised mean differences": lambda: rb.smd(
        mean1=[55, 27, 64], sd1=[47, 7, 17], n1=[155, 31, 75],
        mean2=[75, 29, 119], sd2=[64, 4, 29], n2=[156, 32, 71],
    ),
}  # fmt: skip


@cache
def fit(model: str) -> Any:
    """Return a fit; it is done once."""
    return MODELS[model].fit()


def ours(model: str, term: str, what: str) -> float:
    """Return one of our numbers.

    Parameters
    ----------
    model : str
        A key of `MODELS` or `EFFECT_SIZES`.
    term : str
        A coefficient, "test of" a term, "interval" with the name of a component or
        nothing, the number of a row of `EFFECT_SIZES`, or empty for the whole fit.
    what : str
        Name of the number there.
    """
    if model in EFFECT_SIZES:
        return float(EFFECT_SIZES[model]()[what].iloc[int(term) - 1])
    fitted, correction = fit(model), MODELS[model].correction
    if correction is not None:
        fitted = fitted.robust(correction)
        if what == "variance":
            return float(fitted.se) ** 2
    kind, _, name = term.partition(" ")
    if kind == "interval":
        intervals = fitted.intervals() if name else fitted.tau2_interval()
        return float(getattr(intervals[name or "tau2"], what))
    if kind == "test":
        return float(fitted.terms.loc[term.removeprefix("test of ")][what])
    if term:
        return float(fitted.coefficients.loc[term, what])
    return float(fitted.to_frame()[what].iloc[0])


# ------------------------------------------------------------ where metafor stops


def _projection(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return P = W - W X (X' W X)^-1 X' W for diagonal weights."""
    wx = w[:, None] * x
    return np.diag(w) - wx @ np.linalg.solve(x.T @ wx, wx.T)


def scored(y: np.ndarray, v: np.ndarray, x: np.ndarray, method: str) -> float:
    """Return tau² where Fisher scoring from Hedges' estimate stops."""
    k, p = x.shape
    plain = _projection(x, np.ones(k))
    tau2 = max(0.0, (y @ plain @ y - np.trace(plain @ np.diag(v))) / (k - p))
    step = math.inf
    while abs(step) > STEP:
        w = 1.0 / (v + tau2)
        form = _projection(x, w)
        square = y @ form @ form @ y
        if method == "REML":
            step = (square - np.trace(form)) / np.trace(form @ form)
        elif method == "ML":
            step = (square - w.sum()) / (w**2).sum()
        else:  # EB
            step = (k / (k - p) * (y @ form @ y) - k) / w.sum()
        tau2 = max(0.0, tau2 + step)
    return tau2


@cache
def stopped(model: Model) -> dict[tuple[str, str], float]:
    """Return what metafor prints of a model without clusters, at its tau²."""
    effects, x = model.effects(), model.design()
    y, v, (k, p) = effects.y, effects.se**2, x.shape
    tau2 = scored(y, v, x, model.method)
    w = 1.0 / (v + tau2)
    covariance = np.linalg.inv(x.T @ (w[:, None] * x))
    b = covariance @ x.T @ (w * y)
    form, fixed = _projection(x, w), _projection(x, 1.0 / v)
    quantile, tail = stats.norm.ppf(0.975), stats.norm.sf
    if model.test == "knha":
        covariance = covariance * (y @ form @ y) / (k - p)
        quantile, tail = stats.t.ppf(0.975, k - p), lambda z: stats.t.sf(z, k - p)
    se = np.sqrt(np.diag(covariance))
    typical = (k - p) / np.trace(fixed)
    information = np.trace(form @ form) if model.method == "REML" else (w**2).sum()
    found = {
        "tau2": tau2, "tau": math.sqrt(tau2), "se_tau2": math.sqrt(2.0 / information),
        "I2": 100.0 * tau2 / (tau2 + typical), "H2": 1.0 + tau2 / typical,
    }  # fmt: skip
    if p > 1:
        without = scored(y, v, np.ones((k, 1)), model.method)
        found["R2"] = max(0.0, 100.0 * (without - tau2) / without)
        form = b[1:] @ np.linalg.solve(covariance[1:, 1:], b[1:])
        found["QM"] = form / (p - 1 if model.test == "knha" else 1)
    else:
        spread = quantile * math.sqrt(se[0] ** 2 + tau2)
        scores = w * (y - b[0])
        robust = (scores**2).sum() / w.sum() ** 2
        if model.correction == "CR1":
            robust *= k / (k - 1)
        elif model.correction == "CR2":
            robust = (scores**2 / (1.0 - w / w.sum())).sum() / w.sum() ** 2
        found |= {
            "prediction_lower": b[0] - spread, "prediction_upper": b[0] + spread,
            "variance": robust,
        }  # fmt: skip
        if model.correction is not None:
            return {("", "variance"): robust, ("", "statistic"): b[0] / robust**0.5}
    result = {("", what): float(value) for what, value in found.items()}
    names = ["intercept"] if p == 1 else list(model.fit().coefficients.index)
    for i, name in enumerate(names):
        z = b[i] / se[i]
        row = {
            "estimate": b[i], "se": se[i], "statistic": z, "p": 2.0 * tail(abs(z)),
            "lower": b[i] - quantile * se[i], "upper": b[i] + quantile * se[i],
        }  # fmt: skip
        result |= {(name, what): float(value) for what, value in row.items()}
        if p == 1:
            ends = {"lower": "ci_lower", "upper": "ci_upper"}
            result |= {("", ends.get(what, what)): float(v) for what, v in row.items()}
    rows = [i for i, name in enumerate(names) if name.startswith("alloc")]
    if rows:
        form = b[rows] @ np.linalg.solve(covariance[np.ix_(rows, rows)], b[rows])
        if model.test == "knha":
            result["test of alloc", "statistic"] = form / 2
            result["test of alloc", "p"] = stats.f.sf(form / 2, 2, k - p)
        else:
            result["test of alloc", "statistic"] = form
            result["test of alloc", "p"] = stats.chi2.sf(form, 2)
    return result


def restricted(model: Model, within: float, between: float) -> float:
    """Return the log likelihood of a model with clusters, by dense matrices."""
    effects, x = model.effects(), model.design()
    if model.mods is None:
        x = x[:, :1]
    same = effects.cluster[:, None] == effects.cluster
    sigma = np.diag(effects.se**2 + within) + between * same
    inverse = np.linalg.inv(sigma)
    information = x.T @ inverse @ x
    b = np.linalg.solve(information, x.T @ inverse @ effects.y)
    residual = effects.y - x @ b
    value = np.linalg.slogdet(sigma)[1] + residual @ inverse @ residual
    n = effects.y.size
    if model.method == "REML":
        n -= x.shape[1]
        value += np.linalg.slogdet(information)[1] - np.linalg.slogdet(x.T @ x)[1]
    return float(-0.5 * (value + n * math.log(2.0 * math.pi)))


def reason(model: str, term: str, what: str, theirs: str, own: float) -> str:
    """Return why a number of theirs may differ, if a computation says so."""
    half = comparison.half_unit(theirs) * (1 + 1e-9)
    if model in EFFECT_SIZES or abs(own - float(theirs)) <= half:
        return ""
    one = MODELS[model]
    if term.startswith("interval"):
        return ROOT if abs(own - float(theirs)) <= UNIROOT + half else ""
    if not one.clusters and one.method in ("REML", "ML", "EB"):
        at_stop = stopped(one).get((term, what), math.nan)
        return SCORING if abs(at_stop - float(theirs)) <= half else ""
    if one.clusters and one.correction is None and term == "" and one.mods is None:
        printed = {
            row.what: float(row.theirs)
            for row in theirs_of(model).itertuples()
            if row.term == ""
        }
        best = fit(model)
        places = {"within": best.sigma2_within, "between": best.sigma2_between}
        there = restricted(one, printed["sigma2_within"], printed["sigma2_between"])
        close = abs(own - float(theirs)) <= 4 * half
        return OPTIMISER if close and restricted(one, **places) >= there else ""
    return ""


@cache
def theirs() -> pd.DataFrame:
    """Return the numbers of others, every column as text."""
    return pd.read_csv(
        comparison.HERE / "metafor.csv", dtype=str, keep_default_na=False
    )


def theirs_of(model: str) -> pd.DataFrame:
    """Return the numbers of one model."""
    return theirs().query("model == @model")


def compare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return our numbers beside theirs."""
    made = []
    for row in rows.itertuples():
        own = ours(row.model, row.term, row.what)
        why = reason(row.model, row.term, row.what, row.theirs, own)
        words = f"{row.what} of {row.term}" if row.term else row.what
        made.append(
            comparison.Comparison(
                words, row.theirs, own, 0.0, math.nan, why, row.source
            )
        )
    return comparison.frame(made)


def main() -> None:
    """Print the tables and write them."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    parts = {
        str(model): compare(rows)
        for model, rows in theirs().groupby("model", sort=False)
    }
    print(comparison.write("metafor", "metafor's printed numbers", parts, TEXT))


if __name__ == "__main__":
    main()
