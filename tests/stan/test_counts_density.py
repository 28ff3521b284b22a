"""Log density and gradient of ``counts.stan`` against quadrature of closed forms."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import bridgestan
import numpy as np
import pytest
from counts_program import INTEGRAL_ATOL, case
from normal_program import FIXED, FREE, PARAMETERS, VALUES, Array, spike
from scipy import special, stats

import pyrobma as rb
from pyrobma.fit.exported import to_json
from pyrobma.fit.quadrature import Rule
from pyrobma.fit.stan_data import stan_data
from pyrobma.programs import library

# Tables are exact to 1e-9 for each unit that a log likelihood has fallen by; it falls
# by some ten at the true effects that matter, and there are six studies.
TABLE_ATOL = 5e-8
# The integrals of the package's first rule end at exp(-18), 1.5e-8, of their mode.
FIRST_RULE_ATOL = 1e-7
# What a common factor beyond 4.5 widths of its mode, and a spacing of 0.75, leave out:
# less than the package allows at a draw.
FIRST_NODES_ATOL = 1e-4
# Points stay where they are in derivatives; and central differences with a step of 1e-4
# lose 1e-12 / 1e-4 of rounding and 1e-8 of curvature.
DIFFERENCE_STEP = 1e-4
GRADIENT_ATOL = 2e-6

# Strong clusters have factors with a narrow mode, and mass ten of its widths away.
FINE = Rule(0.1, 15.0, 2)

LAYOUTS = {"singletons": (1,) * 8, "mixed": (1, 2, 5), "one_cluster": (7,)}


def log_density(subject: Any, values: dict[str, float], jacobian: bool) -> float:
    model = subject.model()
    point = model.param_unconstrain(subject.program_values(values))
    return float(model.log_density(point, propto=False, jacobian=jacobian))


# ---- tables of normal likelihoods: the normal model ---------------------------------
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "free", list(itertools.product((False, True), repeat=len(PARAMETERS)))
)
def test_parabolas_make_the_normal_model_for_every_set_of_free_parameters(
    free: tuple[bool, ...], layout: str
) -> None:
    priors = {
        p: (FREE if is_free else FIXED)[p]
        for p, is_free in zip(PARAMETERS, free, strict=True)
    }
    subject = case(LAYOUTS[layout], priors)
    values = {p: VALUES[p] for p in subject.free}
    for jacobian in (False, True):
        assert log_density(subject, values, jacobian) == pytest.approx(
            subject.log_density(values, jacobian), abs=INTEGRAL_ATOL
        )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("tau", [0.0, 0.2, 3.0])
def test_parabolas_make_the_normal_model_at_every_legal_spike(
    tau: float, rho: float, layout: str
) -> None:
    subject = case(LAYOUTS[layout], {"tau": spike(tau), "rho": spike(rho)})
    values = {p: VALUES[p] for p in subject.free}
    assert log_density(subject, values, True) == pytest.approx(
        subject.log_density(values, True), abs=INTEGRAL_ATOL
    )


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("measures", [("none", "none"), ("logOR", "d"), ("d", "logOR")])
def test_parameters_move_from_their_measure_to_that_of_the_tables(
    measures: tuple[str, str], exact: bool
) -> None:
    subject = case(
        LAYOUTS["mixed"], FREE, data_measure=measures[0], prior_measure=measures[1],
        exact=exact,
    )  # fmt: skip
    assert log_density(subject, VALUES, True) == pytest.approx(
        subject.log_density(VALUES, True), abs=INTEGRAL_ATOL
    )


def test_likelihood_can_be_left_out() -> None:
    subject = case(LAYOUTS["mixed"], FREE, prior_only=True)
    assert log_density(subject, VALUES, True) == pytest.approx(
        subject.log_density(VALUES, True), abs=INTEGRAL_ATOL
    )


# ---- counts --------------------------------------------------------------------------
# No events in one group, in the other, in neither; and nothing but events in a group.
X1, N1 = np.array([0, 3, 12, 1, 7, 0]), np.array([20, 31, 60, 40, 7, 25])
X2, N2 = np.array([2, 5, 0, 4, 4, 0]), np.array([25, 30, 55, 38, 9, 18])
CLUSTERS = [1, 1, 2, 2, 2, 3]
YEAR = [0.0, 1.5, -2.0, 0.3, 1.0, 0.6]


@dataclass(frozen=True)
class Counts:
    """A model of the made-up studies with all its parameters free, and its data.

    `rates`: the sizes are person-time. `clusters`: the first two studies share one, as
    do the next three. `year`: a moderator of the mean and of log tau.
    """

    rates: bool = False
    clusters: bool = False
    year: bool = False
    tau: float | None = None
    rho: float | None = None
    rule: Rule | None = FINE

    def data(self) -> dict[str, Any]:
        size = "t" if self.rates else "n"
        table: dict[str, Any] = {"x1": X1, f"{size}1": N1, "x2": X2, f"{size}2": N2}
        options: dict[str, Any] = {name: name for name in table}
        if self.year:
            table["year"] = YEAR
            options |= {"mods": "~ year", "scale": "~ year"}
        if self.clusters:
            options["study_ids"] = CLUSTERS
        fixed = {
            f"priors_{what}": rb.prior("spike", location=value)
            for what, value in {
                "heterogeneity": self.tau,
                "hierarchical": self.rho,
            }.items()
            if value is not None
        }
        plan = rb.robma(table, **options, **fixed, only_priors=True)
        spec = list(plan.space)[-1]
        rule = self.rule
        if rule is not None and not self.clusters:
            rule = Rule(1.0, 0.0, rule.refinement)
        return dict(json.loads(to_json(stan_data(plan.task, spec, rule))))

    def opened(self) -> bridgestan.StanModel:
        return bridgestan.StanModel(
            library("counts"), json.dumps(self.data()), warn=False
        )


def log_h(subject: Counts, i: int, delta: Array) -> Array:
    """Log probability of the events of group 1 given those of both groups."""
    both = int(X1[i] + X2[i])
    if subject.rates:
        logit = delta + math.log(N1[i] / N2[i])
        p = special.log_expit(logit), special.log_expit(-logit)
        ways = math.log(math.comb(both, int(X1[i])))
        return np.asarray(ways + X1[i] * p[0] + X2[i] * p[1])
    possible = range(max(0, both - int(N2[i])), min(int(N1[i]), both) + 1)

    def one(k: int) -> Array:
        ways = math.comb(int(N1[i]), k) * math.comb(int(N2[i]), both - k)
        return np.asarray(math.log(ways) + k * delta)

    total = one(possible[0])
    for k in possible[1:]:
        total = np.logaddexp(total, one(k))
    return np.asarray(one(int(X1[i])) - total)


def log_mean(subject: Counts, i: int, m: Array, s: float) -> Array:
    """Log of the mean of h over N(m, s^2): the trapezoidal rule.

    Of functions that are analytic up to a / s from the real line its error is
    exp(-2 pi a / (s step)), with a = 2 for the steepest of these studies.
    """
    if s == 0:
        return log_h(subject, i, m)
    step = min(0.1, 0.3 / s)
    z = np.arange(-13.0, 13.0, step)
    logs = log_h(subject, i, m[:, None] + s * z) - 0.5 * z**2
    constant = math.log(step) - 0.5 * math.log(2 * math.pi)
    return np.asarray(special.logsumexp(logs, axis=1) + constant)


def log_likelihood(
    subject: Counts, mean: Array, T: Array, rho: float, groups: list[list[int]]
) -> float:
    total = 0.0
    for rows in groups:
        if len(rows) == 1:
            (i,) = rows
            total += float(log_mean(subject, i, mean[[i]], T[i])[0])
            continue
        step = 0.04
        u = np.arange(-12.0, 12.0, step)
        logs = stats.norm.logpdf(u)
        for i in rows:
            at = mean[i] + math.sqrt(rho) * T[i] * u
            logs = logs + log_mean(subject, i, at, math.sqrt(1 - rho) * T[i])
        total += float(special.logsumexp(logs)) + math.log(step)
    return total


DISTRIBUTIONS = {
    1: lambda p: stats.norm(p[0], p[1]),
    3: lambda p: stats.t(p[2], p[0], p[1]),
    6: lambda p: stats.invgamma(p[0], scale=p[1]),
    7: lambda p: stats.beta(p[0], p[1]),
}


def expected(
    subject: Counts, data: Mapping[str, Any], point: Mapping[str, float]
) -> float:
    """Log density of the unconstrained parameters, by their names."""
    raw = list(point.values())
    values = dict(zip(point, raw, strict=True))
    x, w = (np.reshape(data[name], (len(X1), -1)) for name in ("x", "w"))
    spikes = [p[0] for p in data["par"]]
    b = np.array([values["last_free.1"]] if x.size else [])
    d = np.array([values["tau_coef_free.1"]] if w.size else [])
    log_tau = values.get("tau_free.1", math.log(max(spikes[1], 1e-300)))
    logit = values.get("rho_logit.1")
    rho = spikes[2] if logit is None else float(special.expit(logit))
    weight = np.asarray(data["se"]) ** -2.0
    centre = weight @ x / weight.sum()
    unknowns = {
        0: values["mu_free.1"] - float(centre @ b),
        1: math.exp(log_tau),
        2: rho,
    }
    unknowns |= {3 + j: float(c) for j, c in enumerate([*b, *d])}
    total = sum(
        float(DISTRIBUTIONS[data["family"][row]](data["par"][row]).logpdf(value))
        for row, value in unknowns.items()
        if data["family"][row] > 0
    )
    if "tau_free.1" in values:
        total += log_tau
    if logit is not None:
        total += float(special.log_expit(logit) + special.log_expit(-logit))
    if subject.clusters:
        assert data["cluster_size"] == [CLUSTERS.count(c) for c in (1, 2, 3)]
    first = np.cumsum([0, *data["cluster_size"]])
    groups = [list(range(a, z)) for a, z in itertools.pairwise(first)]
    T = math.exp(log_tau) * np.exp(w @ d)
    return total + log_likelihood(subject, unknowns[0] + x @ b, T, rho, groups)


def compare(subject: Counts, atol: float, **values: float) -> None:
    data = subject.data()
    model = bridgestan.StanModel(library("counts"), json.dumps(data), warn=False)
    standing = {
        "mu_free.1": -0.4, "last_free.1": 0.3, "tau_free.1": math.log(0.6),
        "tau_coef_free.1": -0.25, "rho_logit.1": 0.7,
    } | {f"{name}.1": value for name, value in values.items()}  # fmt: skip
    point = {name: standing[name] for name in model.param_unc_names()}
    found = model.log_density(np.array(list(point.values())), propto=False)
    assert found == pytest.approx(expected(subject, data, point), abs=atol)


@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("tau", [1e-8, 0.3, 3.0, 30.0])
@pytest.mark.parametrize("mu", [-0.4, 6.0])
def test_density_of_studies_alone_is_an_integral_over_true_effects(
    mu: float, tau: float, rates: bool
) -> None:
    compare(Counts(rates), TABLE_ATOL, mu_free=mu, tau_free=math.log(tau))


@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("rho", [0.02, 0.6, 0.97])
@pytest.mark.parametrize("tau", [1e-8, 0.3, 3.0, 30.0])
def test_density_of_clusters_is_an_integral_over_common_factors_too(
    tau: float, rho: float, rates: bool
) -> None:
    subject = Counts(rates, clusters=True)
    logit = float(special.logit(rho))
    compare(subject, TABLE_ATOL, tau_free=math.log(tau), rho_logit=logit)


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("tau", [1e-8, 0.3, 3.0])
def test_density_of_clusters_holds_at_spikes(tau: float, rho: float) -> None:
    compare(Counts(clusters=True, tau=tau, rho=rho), TABLE_ATOL)


@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("clusters", [False, True])
def test_moderators_move_the_mean_and_the_heterogeneity_of_each_study(
    clusters: bool, rates: bool
) -> None:
    compare(Counts(rates, clusters, year=True), TABLE_ATOL)


@pytest.mark.parametrize("tau", [1e-8, 0.3, 3.0, 30.0])
def test_first_rules_of_the_package_are_as_exact_as_they_claim(tau: float) -> None:
    log_tau = math.log(tau)
    compare(Counts(rule=None), FIRST_RULE_ATOL, tau_free=log_tau)
    first = Rule(0.75, 4.5)
    compare(Counts(clusters=True, rule=first), FIRST_NODES_ATOL, tau_free=log_tau)


def test_a_study_that_says_nothing_has_a_flat_table() -> None:
    data = Counts().data()
    assert X1[-1] + X2[-1] == 0
    for name in ("log_h", "slope", "curvature"):
        np.testing.assert_allclose(data[name][-data["knots"][-1] :], 0, atol=1e-12)


# ---- gradient ------------------------------------------------------------------------
def differences(model: bridgestan.StanModel, point: Array) -> Array:
    steps = DIFFERENCE_STEP * np.eye(len(point))
    return np.array(
        [
            (model.log_density(point + e, propto=False)
             - model.log_density(point - e, propto=False)) / (2 * DIFFERENCE_STEP)
            for e in steps
        ]
    )  # fmt: skip


@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("clusters", [False, True])
@pytest.mark.parametrize("log_tau", [-8.0, -1.0, 1.0, 3.0])
def test_gradient_is_that_of_differences(
    log_tau: float, clusters: bool, rates: bool
) -> None:
    model = Counts(rates, clusters, year=True).opened()
    names = model.param_unc_names()
    point = 0.5 * np.random.default_rng(8).normal(size=len(names))
    point[names.index("tau_free.1")] = log_tau
    _, gradient = model.log_density_gradient(point, propto=False)
    np.testing.assert_allclose(
        gradient, differences(model, point), rtol=GRADIENT_ATOL, atol=GRADIENT_ATOL
    )


# Logs of tau. Where it is 20,000 and more, second derivatives of studies' integrals,
# which the modes of clusters' factors are found by, are differences of equal numbers.
FAR = {
    False: (-200.0, -20.0, 2.0, 5.0, 8.0, 12.0, 20.0, 50.0),
    True: (-200.0, -20.0, 2.0, 5.0, 8.0),
}


@pytest.mark.parametrize("clusters", FAR)
def test_density_and_gradient_are_finite_far_from_the_data(clusters: bool) -> None:
    model = Counts(clusters=clusters, year=True).opened()
    names = model.param_unc_names()
    rng = np.random.default_rng(9)
    for log_tau in FAR[clusters]:
        for mu in (-1e4, -30.0, 0.0, 30.0, 1e4):
            point = 0.5 * rng.normal(size=len(names))
            point[names.index("mu_free.1")] = mu
            point[names.index("tau_free.1")] = log_tau
            value, gradient = model.log_density_gradient(point, propto=False)
            assert math.isfinite(value), point
            assert np.isfinite(gradient).all(), point


# ---- refusals ------------------------------------------------------------------------
REFUSED = {
    "knots do not sum up": ({"knots[1]": 8}, "knots: expected a sum of N = 28; got 29"),
    "a knot comes twice": (
        {"knot[2]": 0.0, "knot[3]": 0.0},
        "knot: expected knots of a study that rise; got 0 and 0 for study 1",
    ),
    "a table is infinite": (
        {"log_h[3]": "-Infinity"},
        "knot, log_h, slope, curvature: expected finite numbers; got",
    ),
    "no refinement": ({"refinement": 0}, "refinement is 0, but must be greater than"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_tables_that_are_none_are_refused(what: str) -> None:
    changes, message = REFUSED[what]
    subject = replace(case((1, 2, 1), FREE), changes=changes)
    with pytest.raises(RuntimeError, match=re.escape(message)):
        subject.model()
