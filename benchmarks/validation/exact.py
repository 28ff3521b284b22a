"""The same numbers by quadrature, from the oracle of the tests, without the package.

`tests/oracle` restates priors, likelihoods and conversions from the mathematics alone;
only what a model is has to be said here.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax

ORACLE = Path(__file__).resolve().parents[2] / "tests" / "oracle"
POINTS = 60_000_000
"""Largest grid: half a gigabyte. The tests make do with less."""
NODES = 6
"""Of rho, where a grid of all parameters would be too large."""
GRID = (0.0, 0.025, 0.05, 0.5, 0.95, 0.975, 1.0)
"""One-sided p-values between which some weight of the default models may change."""
SUPPORTS = {"mu": "effect", "tau": "heterogeneity", "rho": "hierarchical"}


def oracle(name: str) -> ModuleType:
    """Return a module of the oracle, whatever stands beside this file."""
    if sys.path[0] != str(ORACLE):
        sys.path.insert(0, str(ORACLE))
    return importlib.import_module(name)


@dataclass(frozen=True)
class Row:
    """A number: what it is, as in `cases.ours`, its value and its error."""

    what: str
    name: str
    given: str
    scale: str
    exact: float
    error: float


@dataclass(frozen=True)
class Solved:
    """One model by quadrature.

    Attributes
    ----------
    weight : float
        Prior weight.
    alternative : frozenset of str
        Components that it has.
    logml, error : float
        Log marginal likelihood and its error as the oracle states it.
    means : mapping of str to float
        Posterior means of all parameters of the ensemble, spikes included.
    """

    weight: float
    alternative: frozenset[str]
    logml: float
    error: float
    means: Mapping[str, float]


@dataclass(frozen=True)
class Estimates:
    """Estimates on the data scale, and how p-values become cut-offs there."""

    y: np.ndarray
    se: np.ndarray
    cuts: Callable[[Sequence[float], int], np.ndarray]
    cluster: np.ndarray | None = None
    scale: tuple[str, str] = ("d", "z")


@dataclass(frozen=True)
class Bias:
    """One form of publication bias: weights by steps, a regression, or none."""

    weight: float = 1.0
    sides: int = 1
    steps: tuple[float, ...] = ()
    kind: str | None = None
    omega: tuple[float, ...] | None = None

    @property
    def some(self) -> bool:
        """Whether there is bias."""
        return bool(self.steps) or self.kind is not None


NINE = (
    Bias(),
    Bias(1 / 12, 2, (0.05,)),
    Bias(1 / 12, 2, (0.05, 0.1)),
    Bias(1 / 12, 1, (0.05,)),
    Bias(1 / 12, 1, (0.025, 0.05)),
    Bias(1 / 12, 1, (0.05, 0.5)),
    Bias(1 / 12, 1, (0.025, 0.05, 0.5)),
    Bias(1 / 4, kind="PET"),
    Bias(1 / 4, kind="PEESE"),
)
"""RoBMA-PSMA: no bias and its eight forms, in the order of the models."""


# ------------------------------------------------------------------------ estimates


def bem() -> Estimates:
    """Return the nine experiments as Fisher's z."""
    columns = oracle("regression").table("bem2011")
    return from_d(columns["d"], columns["se"])


def toothpaste() -> Estimates:
    """Return the five trials as Fisher's z."""
    columns = oracle("regression").table("poulsen2006")
    return from_d(columns["d"], columns["se"])


def lui() -> Estimates:
    """Return the eighteen correlations, with sample sizes, as Fisher's z."""
    columns = oracle("regression").table("lui2015")
    r, n = columns["r"], columns["n"]
    s = oracle("selection")
    return Estimates(
        np.arctanh(r),
        (n - 3.0) ** -0.5,
        # Of the standard error only n counts, which is given.
        lambda steps, sides: s.cut_offs(r, r, "r", "z", steps, sides, n=n),
    )


def three(to: str = "z", cluster: Sequence[int] | None = None) -> Estimates:
    """Return RoBMA's three made correlations, entered as Cohen's d."""
    r, n = np.array([0.1, 0.2, 0.3]), np.array([15.0, 20.0, 50.0])
    d = 2.0 * r / np.sqrt(1.0 - r**2)
    labels = None if cluster is None else np.asarray(cluster)
    return from_d(d, np.sqrt(4.0 / n + d**2 / (2.0 * n)), to, labels)


def from_d(
    d: np.ndarray, se: np.ndarray, to: str = "z", cluster: np.ndarray | None = None
) -> Estimates:
    """Return estimates of Cohen's d on another scale."""
    q, s = oracle("quadrature"), oracle("selection")
    if to == "z":
        y, se_y = q.d_to_z(d, se)
    else:
        slope = q.scale_factor("d", to)
        y, se_y = slope * d, slope * se
    return Estimates(
        y,
        se_y,
        lambda steps, sides: s.cut_offs(d, se, "d", to, steps, sides),
        cluster,
        ("d", to),
    )


# ---------------------------------------------------------- models with selection


def solve(
    data: Estimates, mu: Any, tau: Any, bias: Bias, rho: Any = None
) -> tuple[float, float, dict[str, float], tuple[float, ...]]:
    """Return log ML, its error, means, and mean weights from the highest p-value.

    Parameters
    ----------
    data : Estimates
    mu, tau, rho : Prior or None
        None: a spike at 0.
    bias : Bias
    """
    s = oracle("selection")
    priors = {"mu": mu, "tau": tau, "rho": rho if tau is not None else None}
    if bias.kind is not None:
        priors[bias.kind] = {"PET": s.PRIOR_PET, "PEESE": s.PRIOR_PEESE}[bias.kind]
    arguments: dict[str, Any] = {
        "cuts": data.cuts(bias.steps, bias.sides) if bias.steps else None,
        "sides": bias.sides,
        "scale": data.scale,
        "tolerance": 1e-3,
    }
    if bias.omega is not None:
        arguments["omega"] = bias.omega
    elif bias.steps:
        arguments["alpha"] = [1.0] * (len(bias.steps) + 1)
    s._MAX_POINTS = POINTS
    given = {name: prior for name, prior in priors.items() if prior is not None}
    # Six parameters would need too large a grid.
    if len(given) + len(bias.steps) > 5 and "rho" in given:
        return _over_rho(data, given, arguments)
    found = s.log_marginal_selection(data.y, data.se, data.cluster, given, **arguments)
    return found.logml, found.logml_error, dict(found.mean), found.omega_mean


def _over_rho(
    data: Estimates, given: dict[str, Any], arguments: dict[str, Any]
) -> tuple[float, float, dict[str, float], tuple[float, ...]]:
    """Integrate over rho, uniform on 0 to 1, by a rule of its own."""
    q, s = oracle("quadrature"), oracle("selection")
    answers = []
    for nodes in (NODES - 2, NODES):
        x, w = np.polynomial.legendre.leggauss(nodes)
        parts = []
        for rho in 0.5 * (1.0 + x):
            fixed = {**given, "rho": q.Prior("spike", (float(rho),))}
            parts.append(
                s.log_marginal_selection(
                    data.y, data.se, data.cluster, fixed, **arguments
                )
            )
        logs = np.log(0.5 * w) + np.array([part.logml for part in parts])
        share = softmax(logs)
        means = {
            name: float(share @ [part.mean[name] for part in parts])
            for name in parts[0].mean
        }
        means["rho"] = float(share @ (0.5 * (1.0 + x)))
        omega = share @ np.array([part.omega_mean for part in parts])
        error = max(part.logml_error for part in parts)
        answers.append((float(logsumexp(logs)), error, means, tuple(omega)))
    (coarse, *_), (logml, error, means, omega) = answers
    return logml, error + abs(logml - coarse), means, omega


def on_grid(bias: Bias, omega: Sequence[float]) -> dict[str, float]:
    """Return the mean weight between two values of `GRID`, all of them."""
    result = {}
    for low, high in pairwise(GRID):
        p = 0.5 * (low + high)
        if bias.sides == 2:
            p = 2.0 * min(p, 1.0 - p)
        step = sum(p > s for s in bias.steps)
        value = omega[len(bias.steps) - step] if bias.steps else 1.0
        result[f"omega[{low:g},{high:g}]"] = float(value)
    return result


def selection_ensemble(
    data: Estimates,
    effect: Any = None,
    heterogeneity: Any = None,
    biases: Sequence[Bias] = NINE,
) -> list[Solved]:
    """Return the default models, or those with other priors of effect and tau."""
    q = oracle("quadrature")
    effect = effect or q.DEFAULT_EFFECT
    heterogeneity = heterogeneity or q.DEFAULT_HETEROGENEITY
    rho = None if data.cluster is None else q.DEFAULT_HIERARCHICAL
    return [
        one(data, mu, tau, bias, rho)
        for mu, tau, bias in product((None, effect), (None, heterogeneity), biases)
    ]


def one(data: Estimates, mu: Any, tau: Any, bias: Bias, rho: Any = None) -> Solved:
    """Return one model with its means, 0 for what it has not."""
    logml, error, means, omega = solve(data, mu, tau, bias, rho)
    names = {
        "effect": mu is not None,
        "heterogeneity": tau is not None,
        "hierarchical": tau is not None and rho is not None,
        "bias": bias.some,
        "PET": bias.kind == "PET",
        "PEESE": bias.kind == "PEESE",
    }
    zero = dict.fromkeys(("mu", "tau", "rho", "PET", "PEESE"), 0.0)
    return Solved(
        bias.weight,
        frozenset(name for name, has in names.items() if has),
        logml,
        error,
        {**zero, **means, **on_grid(bias, omega)},
    )


def bem_custom() -> list[Solved]:
    """Return the seven models of RoBMA's vignette on custom ensembles."""
    q = oracle("quadrature")
    data, tau = bem(), q.DEFAULT_HETEROGENEITY
    mu = q.Prior("normal", (0.15, 0.1), lower=0.0)
    weights = [Bias(1.0, 1, (0.05,)), Bias(1.0, 1, (0.05, 0.1))]
    forms = [*weights, Bias(kind="PET"), Bias(kind="PEESE")]
    models = [(None, None, Bias()), (mu, None, Bias()), (mu, tau, Bias())]
    models += [(None, None, form) for form in forms]
    return [without_weights(one(data, *model)) for model in models]


def without_weights(solved: Solved) -> Solved:
    """Return a model without the means of its weights, which are not on `GRID`."""
    kept = {name: solved.means[name] for name in ("mu", "tau", "PET", "PEESE")}
    return replace(solved, means=kept)


def averaged(models: Sequence[Solved]) -> Iterator[Row]:
    """Yield log marginal likelihoods, Bayes factors and means of an ensemble."""
    weight = np.array([model.weight for model in models])
    logml = np.array([model.logml for model in models])
    joint = np.log(weight / weight.sum()) + logml
    # Errors of models add up at worst.
    error = max(model.error for model in models)
    for number, model in enumerate(models, start=1):
        yield Row("logml", str(number), "", "", model.logml, model.error)
    for component in ("effect", "heterogeneity", "bias", "hierarchical"):
        has = np.array([component in model.alternative for model in models])
        if has.any() and not has.all():
            odds = logsumexp(joint[has]) - logsumexp(joint[~has])
            odds -= math.log(weight[has].sum() / weight[~has].sum())
            share = float(softmax(joint)[has].sum())
            bf = math.exp(odds)
            yield Row("bf", component, "", "", bf, 2 * error * bf)
            yield Row("probability", component, "", "", share, error / 2)
    for name in models[0].means:
        values = np.array([model.means.get(name, math.nan) for model in models])
        kept = [
            (softmax(joint), values, ""),
        ]
        component = SUPPORTS.get(name, name)
        has = np.array([component in model.alternative for model in models])
        if has.any() and not has.all():
            kept.append((softmax(joint[has]), values[has], "yes"))
        if name in ("rho", "PET", "PEESE") and not has.any():
            continue
        for share, some, given in kept:
            yield Row("mean", name, given, "", float(share @ some), math.nan)


# -------------------------------------------------- normal models, with quantiles


def normal(ensemble: Any) -> Iterator[Row]:
    """Yield what `quadrature.ensemble` says."""
    for number, model in enumerate(ensemble.models, start=1):
        moments = model.moments
        yield Row("logml", str(number), "", "", moments.logml, moments.logml_error)
    for component, bf in ensemble.inclusion_bf.items():
        if 0 < bf < math.inf:
            yield Row("bf", component, "", "", bf, 2e-7 * bf)
            share = ensemble.posterior_probability[component]
            yield Row("probability", component, "", "", share, 1e-7)
    for given in ("", "yes"):
        kind = "conditional_" if given else ""
        means = getattr(ensemble, f"{kind}mean")
        for name, mean in means.items():
            if name == "rho" and "hierarchical" not in {
                c
                for model in ensemble.models
                for c, on in model.alternative.items()
                if on
            }:
                continue
            yield Row("mean", name, given, "", mean, 1e-6)
            quantiles = getattr(ensemble, f"{kind}quantile")[name]
            for what, value in zip(
                ("lower", "median", "upper"), quantiles, strict=True
            ):
                yield Row(what, name, given, "", value, 1e-6)


def schools(**sides: Any) -> Iterator[Row]:
    """Yield the hierarchical models of the 56 schools."""
    q = oracle("quadrature")
    d, se, district = q.schools()
    cluster = None if sides.pop("alone", False) else district
    return normal(q.ensemble(*q.d_to_z(d, se), cluster, **sides))


def toothpaste_normal(to: str) -> Iterator[Row]:
    """Yield the four models of the five trials with informed priors."""
    q = oracle("quadrature")
    columns = oracle("regression").table("poulsen2006")
    d, se = columns["d"], columns["se"]
    y, se_y = q.d_to_z(d, se) if to == "z" else (d, se)
    mu, tau = informed()
    found = q.ensemble(
        y, se_y, None, effect=(mu,), heterogeneity=(tau,), scale=("d", to)
    )
    return normal(found)


def informed() -> tuple[Any, Any]:
    """Return the priors of oral health, Bartos et al. (2021), in the oracle's words."""
    q = oracle("quadrature")
    return (
        q.Prior("student_t", (0.0, 0.51, 5.0)),
        q.Prior("inverse_gamma", (1.79, 0.28)),
    )


# ----------------------------------------------------------------------- regressions


def regression(data: Any, columns: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the models with and without each moderator."""
    g = oracle("regression")
    terms = list(columns)
    made = g.design(columns, terms)
    found = g.ensemble(data, made)
    number = 0
    for switches in product((False, True), repeat=len(terms)):
        # The first term is the fastest.
        on = {t for t, is_in in zip(terms, reversed(switches), strict=True) if is_in}
        for mu, tau in product((False, True), repeat=2):
            number += 1
            has = {"effect"} if mu else set()
            has |= {"heterogeneity"} if tau else set()
            model = found.find(*on, *has).posterior
            yield Row("logml", str(number), "", "", model.logml, model.logml_error)
    for name in ("effect", "heterogeneity", *terms):
        inclusion = found.inclusion(name)
        yield Row("bf", name, "", "", inclusion.bf, 1e-6 * inclusion.bf)
        yield Row("probability", name, "", "", inclusion.posterior, 1e-7)
    names = ["tau"] if data.cluster is None else ["tau", "rho"]
    for name in names:
        yield Row("mean", name, "", "", found.moments(name)[0], 1e-6)
        for what, p in (("lower", 0.025), ("upper", 0.975)):
            yield Row(what, name, "", "", found.quantile(name, p), 1e-6)
    yield from _coefficients(found, made, data)


def _coefficients(found: Any, made: Any, data: Any) -> Iterator[Row]:
    g = oracle("regression")
    base = made.intercept()
    rows: list[tuple[str, str, str, np.ndarray]] = [
        ("coefficient", "intercept", "effect", base)
    ]
    for term in made.terms:
        levels = made.parents[term].rows
        if levels:
            for level in levels:
                c = made.deviation(term, level)
                rows.append(("coefficient", f"{term}[dif: {level}]", term, c))
                rows.append(("marginal", f"{term}[{level}]", term, base + c))
        else:
            c = made.deviation(term, 1.0)
            rows.append(("coefficient", term, term, c))
            rows.append(("marginal", f"{term}[-1SD]", term, base - c))
            rows.append(("marginal", f"{term}[1SD]", term, base + c))
    for kind, name, term, c in rows:
        mixture = found.combination(c)
        means = {"": mixture.mean()}
        # A correlation of every draw of an effect; coefficients are none.
        if kind == "marginal" or name == "intercept":
            means["r"] = mixture.expectation(lambda d: d / np.sqrt(d**2 + 4.0))
        ends = {"lower": mixture.quantile(0.025), "upper": mixture.quantile(0.975)}
        for scale, mean in means.items():
            yield Row(f"{kind} mean", name, "", scale, mean, 1e-6)
            for what, value in ends.items():
                value = value / math.sqrt(value**2 + 4.0) if scale else value
                yield Row(f"{kind} {what}", name, "", scale, value, 1e-6)
        if kind == "coefficient":
            only = found.subset(g.any_of(term)).combination(c)
            yield Row("coefficient mean", name, "yes", "", only.mean(), 1e-6)
        else:
            bf = found.subset(g.any_of("effect", term)).savage_dickey(c).bf
            for scale in means:
                yield Row("marginal bf", name, "", scale, bf, 1e-6 * bf)


def andrews() -> Iterator[Row]:
    """Yield the 16 models of household chaos."""
    data, columns = oracle("regression").andrews()
    return regression(data, {name: columns[name] for name in ("measure", "age")})


def bcg() -> Iterator[Row]:
    """Yield the 16 models of the vaccine trials, log odds ratios as Fisher's z."""
    data, columns = oracle("regression").bcg("logOR")
    return regression(data, {name: columns[name] for name in ("ablat", "alloc")})


def school_years() -> Iterator[Row]:
    """Yield the 8 models of the schools by year, clustered by district."""
    data, columns = oracle("regression").clustered("konstantopoulos2011", "district")
    return regression(data, {"year": columns["year"]})


def staircase() -> Iterator[Row]:
    """Yield the 16 models of RoBMA's made data for regressions."""
    q, g = oracle("quadrature"), oracle("regression")
    d = np.repeat([-1.0, 0.0, 1.0], 5)
    data = g.Data(*q.d_to_z(d, np.full(15, 0.1)))
    kind = np.repeat(["A", "B", "C"], 5)
    return regression(data, {"mod_cat": kind, "mod_con": np.arange(1, 16) / 15})


# ------------------------------------------------------------------------------ all


def _spike() -> tuple[Any, ...]:
    return (oracle("quadrature").SPIKE_0,)


def _fixed_weights() -> Iterator[Row]:
    q = oracle("quadrature")
    bias = Bias(1.0, 1, (0.1,), omega=(0.5, 1.0))
    model = one(three(), q.DEFAULT_EFFECT, q.DEFAULT_HETEROGENEITY, bias)
    return averaged([without_weights(model)])


EXACT: dict[str, Callable[[], Iterator[Row]]] = {
    "schools": schools,
    "schools, test of rho": lambda: schools(
        heterogeneity_null=(), hierarchical_null=_spike()
    ),
    "schools, one model": lambda: schools(effect_null=(), heterogeneity_null=()),
    "schools, one model without clusters": lambda: schools(
        alone=True, effect_null=(), heterogeneity_null=()
    ),
    "schools, year": school_years,
    "toothpaste, d": lambda: toothpaste_normal("d"),
    "toothpaste, z": lambda: toothpaste_normal("z"),
    "toothpaste, 36 models": lambda: averaged(
        selection_ensemble(toothpaste(), *informed())
    ),
    "andrews": andrews,
    "bcg": bcg,
    "staircase": staircase,
    "bem, 36 models": lambda: averaged(selection_ensemble(bem())),
    "bem, 7 models": lambda: averaged(bem_custom()),
    "lui, 36 models": lambda: averaged(selection_ensemble(lui())),
    "three, 36 models": lambda: averaged(selection_ensemble(three())),
    "three in two clusters, 36 models": lambda: averaged(
        selection_ensemble(three(cluster=(1, 1, 2)))
    ),
    "three by log odds ratios, 36 models": lambda: averaged(
        selection_ensemble(three("logOR"))
    ),
    "three, fixed weights": _fixed_weights,
}
"""What is computed for each of the analyses of `cases.CASES`; all but one."""
