"""Moderators of heterogeneity in every program, against densities written again."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import quadrature as q
from counts_program import case as counts_case
from normal_program import FREE, VALUES, Array, Case, case, spike
from quadrature import Prior
from scipy import integrate, special, stats
from selection_program import PI, SelectionCase
from selection_program import case as selection_case
from test_stan_terms import density, insert, opened

from pyrobma.programs import PROGRAMS

# The same sums in another order; the values are near 100.
DENSITY_ATOL = 1e-9
# An adaptive integral over the common factor, cluster by cluster.
INTEGRAL_ATOL = 1e-7
# Differences of log densities with steps of 1e-5.
GRADIENT_RTOL = 1e-6

SIZES = (1, 2, 3, 5, 1)
K = sum(SIZES)
CLUSTER = np.repeat(np.arange(len(SIZES)), SIZES)
SLOPES = np.array([0.4, -0.7])
SLOPE_PRIORS = (Prior("normal", (0.0, 0.5)), Prior("student_t", (0.1, 0.6, 4.0)))
FAMILY = {"normal": 1, "student_t": 3}
VALUE = {name: VALUES[name] for name in ("mu", "tau", "rho")}
PRIORS = {name: FREE[name] for name in VALUE}


def columns(seed: int = 3) -> Array:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.normal(size=K), rng.integers(0, 2, K) - 0.5])


def make(program: str, priors: dict[str, Prior] = PRIORS, **options: Any) -> Case:
    if program != "selection":
        return {"normal": case, "counts": counts_case}[program](
            SIZES, priors, **options
        )
    return selection_case(SIZES, priors, omega=(1.0, 0.5, 0.2), **options)


def with_scale(subject: Case, w: Array, free: bool = True) -> dict[str, Any]:
    """Data with columns of log tau; coefficients free, or fixed at SLOPES."""
    data = subject.data()
    for j in range(w.shape[1]):
        slope, prior = SLOPES[j], SLOPE_PRIORS[j]
        at = len(data["family"])
        par = [*prior.parameters, 0.0][:3] if free else [slope, 0.0, 0.0]
        data["family"] = insert(data["family"], at, FAMILY[prior.family] * free)
        data["par"] = insert(data["par"], at, par)
        data["low"] = insert(data["low"], at, -math.inf)
        data["high"] = insert(data["high"], at, math.inf)
    return data | {"S": w.shape[1], "w": w.tolist()}


def log_prior(subject: Case, free: bool) -> float:
    """Of mu, tau and the logit of rho, and of the coefficients."""
    total = sum(float(q.log_prior(subject.all_priors[n], VALUE[n])) for n in VALUE)
    total += math.log(VALUE["rho"]) + math.log1p(-VALUE["rho"])
    return total + free * sum(
        float(q.log_prior(p, b)) for p, b in zip(SLOPE_PRIORS, SLOPES, strict=True)
    )


def own(model: Any, values: dict[str, float], slopes: Array | None = SLOPES) -> Array:
    """The program's own parameters by name, weights left out."""
    logit = math.log(values["rho"] / (1 - values["rho"]))
    known = {"mu_free.1": values["mu"], "tau_free.1": values["tau"]} | {
        "rho_logit.1": logit
    }
    if slopes is not None:
        known |= {f"tau_coef_free.{j}": b for j, b in enumerate(slopes, start=1)}
    return np.array([known[name] for name in model.param_names()])


def row_T(subject: Case, w: Array) -> Array:
    scale = q.scale_factor(subject.prior_measure, subject.data_measure)
    return np.asarray(scale * VALUE["tau"] * np.exp(w @ SLOPES[: w.shape[1]]))


def dense(subject: Case, T: Array) -> tuple[Array, Array]:
    """Mean and covariance of all estimates: Cov(i, j) = rho T_i T_j in a cluster."""
    same = (CLUSTER[:, None] == CLUSTER[None, :]).astype(float)
    rho = VALUE["rho"]
    correlation = rho * same + (1 - rho) * np.eye(K)
    scale = q.scale_factor(subject.prior_measure, subject.data_measure)
    S = np.diag(subject.se**2) + T[:, None] * correlation * T[None, :]
    return np.full(K, scale * VALUE["mu"]), S


@pytest.mark.parametrize("free", [True, False])
def test_normal_density_has_the_heterogeneity_of_each_row(free: bool) -> None:
    subject, w = make("normal"), columns()
    mean, S = dense(subject, row_T(subject, w))
    model = opened("normal", with_scale(subject, w, free))
    found = density(model, own(model, VALUE, SLOPES if free else None))
    expected = stats.multivariate_normal.logpdf(subject.y, mean, S)
    assert found == pytest.approx(expected + log_prior(subject, free), abs=DENSITY_ATOL)


@pytest.mark.parametrize("program", PROGRAMS)
def test_columns_of_zeros_are_the_model_without_them(program: str) -> None:
    subject = make(program)
    plain = subject.model()
    model = opened(program, with_scale(subject, np.zeros((K, 2))))
    expected = density(plain, own(plain, VALUE, None))
    prior = log_prior(subject, True) - log_prior(subject, False)
    assert density(model, own(model, VALUE)) == pytest.approx(
        expected + prior, abs=DENSITY_ATOL
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_columns_of_the_other_sign_turn_the_coefficients_round(program: str) -> None:
    subject, w = make(program), columns()
    models = [opened(program, with_scale(subject, sign * w[:, :1])) for sign in (1, -1)]
    found = [
        density(model, own(model, VALUE, slope * np.ones(1)))
        for model, slope in zip(models, (0.4, -0.4), strict=True)
    ]
    assert found[0] == pytest.approx(found[1], abs=DENSITY_ATOL)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_constant_column_is_another_tau(program: str) -> None:
    subject = make(program)
    model = opened(program, with_scale(subject, np.ones((K, 1)), free=False))
    other = VALUE | {"tau": VALUE["tau"] * math.exp(SLOPES[0])}
    plain = subject.model()
    priors = [
        float(q.log_prior(subject.all_priors["tau"], v["tau"])) for v in (VALUE, other)
    ]
    assert density(model, own(model, VALUE, None)) - priors[0] == pytest.approx(
        density(plain, own(plain, other, None)) - priors[1], abs=DENSITY_ATOL
    )


@pytest.mark.parametrize("sides", [1, 2])
def test_selected_clusters_are_integrals_with_the_loading_of_each_row(
    sides: int,
) -> None:
    subject, w = make("selection", sides=sides), columns()
    assert isinstance(subject, SelectionCase)
    model = opened("selection", with_scale(subject, w))
    found = density(model, own(model, VALUE))
    T = row_T(subject, w)
    mean, S = dense(subject, T)
    expected = stats.multivariate_normal.logpdf(subject.y, mean, S)
    expected += log_prior(subject, True)
    expected += log_weights(subject) - log_expected(subject, mean, T)
    assert found == pytest.approx(expected, abs=INTEGRAL_ATOL)


def test_estimates_alone_are_selected_with_the_variance_of_their_row() -> None:
    subject, w = make("selection", PRIORS | {"rho": spike(0.0)}), columns()
    assert isinstance(subject, SelectionCase)
    model = opened("selection", with_scale(subject, w, free=False))
    values = np.array([VALUE["mu"], VALUE["tau"]])
    T = row_T(subject, w)
    mean = np.full(K, 0.5 * VALUE["mu"])
    sd = np.hypot(subject.se, T)
    expected = stats.norm.logpdf(subject.y, mean, sd).sum() + log_weights(subject)
    chances = weighted_chance(subject, mean, sd, range(K))
    expected += sum(
        float(q.log_prior(subject.all_priors[n], VALUE[n])) for n in ("mu", "tau")
    )
    assert density(model, values) == pytest.approx(
        expected - np.log(chances).sum(), abs=DENSITY_ATOL
    )


def log_weights(subject: SelectionCase) -> float:
    statistic = np.abs(subject.y) if subject.sides == 2 else subject.y
    place = (statistic[:, None] < subject.cut).sum(axis=1)
    return float(np.log(subject.weights[place]).sum())


def weighted_chance(subject: SelectionCase, mean: Array, sd: Array, rows: Any) -> Array:
    """C of some rows: the expected weight of a normal estimate."""
    cut, rows = subject.cut, list(rows)
    total = np.zeros(len(rows))
    for place, row in enumerate(rows):
        ends = [math.inf, *cut[row], 0.0 if subject.sides == 2 else -math.inf]
        for j, (high, low) in enumerate(itertools.pairwise(ends)):
            mass = special.ndtr((high - mean[place]) / sd[place])
            mass -= special.ndtr((low - mean[place]) / sd[place])
            if subject.sides == 2:
                mass += special.ndtr((-low - mean[place]) / sd[place])
                mass -= special.ndtr((-high - mean[place]) / sd[place])
            total[place] += subject.weights[j] * mass
    return total


def log_expected(subject: SelectionCase, mean: Array, T: Array) -> float:
    total, rho = 0.0, VALUE["rho"]
    sd = np.sqrt(subject.se**2 + (1 - rho) * T**2)
    load = math.sqrt(rho) * T
    for k in range(len(SIZES)):
        rows = np.flatnonzero(k == CLUSTER)

        def integrand(g: float, rows: Array = rows) -> float:
            moved = mean[rows] + load[rows] * g
            chances = weighted_chance(subject, moved, sd[rows], rows)
            return float(np.prod(chances) * stats.norm.pdf(g))

        value, _ = integrate.quad(integrand, -12, 12, epsabs=1e-12, epsrel=1e-10)
        total += math.log(value)
    return total


@pytest.mark.parametrize("free_weights", [False, True])
@pytest.mark.parametrize("program", PROGRAMS)
def test_gradient_is_that_of_differences(program: str, free_weights: bool) -> None:
    if free_weights and program != "selection":
        pytest.skip(f"the program {program} has no weights")
    subject = make(program)
    if free_weights:
        subject = replace(subject, omega=None, pi1=PI[3])
    model = opened(program, with_scale(subject, columns()))
    point = 0.3 * np.random.default_rng(2).normal(size=model.param_unc_num())
    _, gradient = model.log_density_gradient(point, propto=False)
    steps = 1e-5 * np.eye(len(point))
    differences = [
        (model.log_density(point + e, propto=False)
         - model.log_density(point - e, propto=False)) / 2e-5
        for e in steps
    ]  # fmt: skip
    np.testing.assert_allclose(
        gradient, differences, rtol=GRADIENT_RTOL, atol=GRADIENT_RTOL * 100
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_output_holds_all_coefficients_of_log_tau(program: str) -> None:
    subject = make(program)
    data = with_scale(subject, columns())
    data["family"][-1], data["par"][-1] = 0, [0.3, 0.0, 0.0]
    model = opened(program, data)
    point = model.param_unconstrain(own(model, VALUE, SLOPES[:1]))
    names = model.param_names(include_tp=True)
    output = dict(
        zip(names, model.param_constrain(point, include_tp=True), strict=True)
    )
    assert output["tau_coef.1"] == pytest.approx(SLOPES[0], abs=1e-15)
    assert output["tau_coef.2"] == 0.3
    assert output["tau"] == pytest.approx(VALUE["tau"], abs=1e-15)


@pytest.mark.parametrize("program", PROGRAMS)
def test_columns_that_are_not_finite_are_refused(program: str) -> None:
    w = columns()
    w[2, 1] = math.nan
    data = with_scale(make(program), w)
    with pytest.raises(RuntimeError, match="w: expected finite columns"):
        opened(program, data)
