"""Densities of single estimates and clusters against the Stan programs and by hand."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

import pyrobma as rb
from pyrobma.ensemble.joint import JointDraws
from pyrobma.ensemble.pointwise import log_densities, predictions
from pyrobma.ensemble.publication import Published
from pyrobma.fit import stan_data
from pyrobma.fit.density import LogDensity
from pyrobma.fit.quadrature import Rule
from pyrobma.fit.stan_data import program, program_names
from pyrobma.models import Column, Task, model
from pyrobma.parameters import REALS, Component, Parameter
from pyrobma.programs import library

# Sums of some hundred terms of doubles; the programs say the same in another order.
ROUNDING = 1e-9
# `quad` of a smooth density with jumps that it is told of.
QUADRATURE = 1e-7

FINE = Rule(0.1, 12.0)
SE = np.array([0.1, 0.3, 0.25, 0.15, 0.2, 0.4])
Y = np.array([0.4, -0.1, 0.9, 0.2, 0.3, -0.6])
IDS = ["b", "a", "b", None, "a", "b"]
ONE = rb.prior_weightfunction("one.sided", steps=[0.025, 0.05, 0.5], alpha=[1, 1, 1, 1])
TWO = rb.prior_weightfunction("two.sided", steps=[0.05, 0.1], alpha=[1, 1, 1])
VALLEY = rb.prior_weightfunction(
    "one.sided", steps=[0.05, 0.5, 0.95], alpha1=[1, 1, 1], alpha2=[1, 1]
)
FIXED = rb.prior_weightfunction(
    "one.sided.fixed", steps=[0.025, 0.95], omega=[1, 0.3, 0]
)
WIDE = rb.prior("normal", mean=0, sd=1)
FREE = {
    "mu": WIDE,
    "tau": rb.prior("invgamma", shape=1, scale=0.15),
    "rho": rb.prior("beta", alpha=1, beta=1),
}
MODERATOR = Parameter(
    "age", Component("age", "age", "age", "age"), "spread", "moderator", REALS,
    "β age", "age", "age", "age",
)  # fmt: skip


def task(ids=IDS, **options):
    effects = rb.effect_sizes(d=Y, se=SE, study_ids=ids)
    return Task(effects.convert("fishers_z"), "cohens_d", **options)


CASES = {
    "normal": ({}, None, {}),
    "PET": ({"PET": WIDE}, None, {"effect_direction": "negative"}),
    "moderator and PEESE": (
        {"PEESE": WIDE, "age": WIDE},
        None,
        {"columns": (Column(MODERATOR, np.arange(6.0) - 2.5),)},
    ),
    "one-sided": ({}, ONE, {}),
    "one-sided, negative": ({"PET": WIDE}, ONE, {"effect_direction": "negative"}),
    "two-sided, exact mapping": ({}, TWO, {"effect_mapping": "exact"}),
    "valley": ({}, VALLEY, {}),
    "weight of 0": ({}, FIXED, {}),
    "selection, independent": ({}, ONE, {"ids": None}),
    "selection, moderator": (
        {"age": WIDE},
        TWO,
        {"columns": (Column(MODERATOR, np.arange(6.0) - 2.5),)},
    ),
}


def log_likelihood(given, spec, points):
    """The program's log density less that of the priors, and what its draws are."""
    data = stan_data(given, spec, FINE if spec.selection else None)
    names = program_names(given, spec)
    values = []
    for only_prior in (0, 1):
        text = json.dumps(data | {"prior_only": only_prior})
        with LogDensity(library(program(given, spec)), text) as density:
            values.append(density(points))
            outputs = density.outputs(points, [*names.outputs.values(), *names.weights])
    scalars, omega = np.split(outputs, [len(names.outputs)], axis=1)
    return (
        values[0] - values[1],
        dict(zip(names.outputs, scalars.T, strict=True)),
        omega,
    )


def drawn(made, given, spec, values, omega):
    """A fit with these draws, and the draws."""
    fit = made.fit(spec, draws={name: v[None] for name, v in values.items()})
    chains = fit.chains
    if spec.selection is not None and not spec.selection.is_fixed:
        chains = dataclasses.replace(chains, omega=omega[None])
    fit = dataclasses.replace(fit, chains=chains, rule=FINE)
    S = len(values["mu"])
    every = {
        name: np.broadcast_to(fit.values(name).ravel(), S)
        for name in given.unknowns.scalars
    }
    return fit, JointDraws(
        np.full(S, 1 / S), np.zeros(S, dtype=int), np.arange(S), every
    )


@pytest.mark.parametrize("name", CASES)
def test_clusters_sum_to_the_log_likelihood_of_the_program(made, name):
    more, bias, options = CASES[name]
    given = task(**options)
    spec = model(FREE | more, bias=bias, unknowns=given.unknowns)
    rng = np.random.default_rng(1)
    size = len(spec.free) - (bias is not None)
    if bias is not None and not bias.is_fixed:
        size += len(bias.intervals) - 1
    if bias is FIXED:
        size += 1
    points = rng.normal(0, 0.7, (20, size))
    wanted, values, omega = log_likelihood(given, spec, points)
    fit, draws = drawn(made, given, spec, values, omega)
    found = log_densities(given, (fit,), draws)
    np.testing.assert_allclose(found.cluster.sum(axis=0), wanted, rtol=ROUNDING)


@pytest.mark.parametrize("name", ["normal", "one-sided", "two-sided, exact mapping"])
def test_removal_is_the_difference_to_the_data_without_the_estimate(made, name):
    more, bias, options = CASES[name]
    given = task(**options)
    spec = model(FREE | more, bias=bias)
    size = 3 + (0 if bias is None else len(bias.intervals) - 1)
    points = np.random.default_rng(2).normal(0, 0.7, (10, size))
    _, values, omega = log_likelihood(given, spec, points)
    fit, draws = drawn(made, given, spec, values, omega)
    found = log_densities(given, (fit,), draws)
    for i in range(6):
        kept = np.arange(6) != i
        less = dataclasses.replace(given, effects=given.effects.kept(kept))
        rest = log_densities(less, (fit,), draws).cluster.sum(axis=0)
        np.testing.assert_allclose(
            found.cluster.sum(axis=0) - rest, found.removal[i], rtol=ROUNDING
        )


def one_cluster(made, bias, omega):
    """Three estimates of one cluster and one more, eight times the same draw."""
    effects = rb.effect_sizes(
        y=[0.5, 0.1, 0.3, 0.2], se=[0.2, 0.25, 0.1, 0.3], study_ids=[1, 1, 1, 2]
    )
    given = Task(effects, "none")
    spec = model(FREE, bias=bias, scale="none")
    values = {n: np.array([x]) for n, x in (("mu", 0.2), ("tau", 0.4), ("rho", 0.6))}
    values = {n: np.repeat(x, 8) for n, x in values.items()}
    omega = np.tile(omega, (8, 1))
    fit, draws = drawn(made, given, spec, values, omega)
    return given, fit, draws


def covariance(se):
    return 0.4**2 * (0.4 * np.eye(3) + 0.6) + np.diag(se**2)


def conditional(given, i):
    """Mean and sd of an estimate given the two others, from the whole matrix."""
    effects = given.effects
    S = covariance(effects.se[:3])
    others = np.arange(3) != i
    slope = np.linalg.solve(S[np.ix_(others, others)], S[others, i])
    mean = 0.2 + slope @ (effects.y[:3][others] - 0.2)
    return mean, np.sqrt(S[i, i] - slope @ S[others, i])


def test_without_selection_an_estimate_is_normal_given_the_others(made):
    given, fit, draws = one_cluster(made, None, np.ones(1))
    found = log_densities(given, (fit,), draws)
    there = predictions(given, (fit,), draws, given_others=True)
    for i in range(3):
        mean, sd = conditional(given, i)
        wanted = norm.logpdf(given.effects.y[i], mean, sd)
        np.testing.assert_allclose(found.given_others[i], wanted, rtol=ROUNDING)
        np.testing.assert_allclose(there.mean[i], mean, rtol=ROUNDING)
        np.testing.assert_allclose(there.variance[i], sd**2, rtol=ROUNDING)
        below = norm.cdf(given.effects.y[i], mean, sd)
        np.testing.assert_allclose(there.below[i], below, rtol=ROUNDING)
    np.testing.assert_array_equal(found.removal, found.given_others)


@pytest.mark.parametrize(
    ("bias", "omega"), [(ONE, [1, 0.5, 0.4, 0.1]), (TWO, [1, 0.6, 0.2])]
)
def test_a_published_estimate_has_a_density_with_these_moments(made, bias, omega):
    given, fit, draws = one_cluster(made, bias, np.array(omega))
    found = log_densities(given, (fit,), draws)
    there = predictions(given, (fit,), draws, given_others=True)
    for i in range(3):
        y, se = given.effects.y[i], given.effects.se[i]
        mean, sd = conditional(given, i)
        z = norm.isf(np.array(bias.steps) / bias.sides)

        def weight(x, z=z, se=se):
            at = abs(x) if bias.sides == 2 else x
            return omega[int((at / se < z).sum())]

        jumps = np.sort([*(z * se), *(-z * se), y])

        def integral(function, low=-6.0, high=6.0, at=(mean, sd), jumps=jumps):
            points = jumps[(jumps > low) & (jumps < high)]
            density = norm(*at).pdf
            return quad(
                lambda x: function(x) * weight(x) * density(x), low, high,
                points=points, limit=200, epsabs=1e-12,
            )[0]  # fmt: skip

        whole = integral(lambda x: 1.0)
        first = integral(lambda x: x) / whole
        second = integral(lambda x, at=first: (x - at) ** 2) / whole
        wanted = weight(y) * norm.pdf(y, mean, sd) / whole
        below = integral(lambda x: 1.0, high=y) / whole
        for value, expected in (
            (np.exp(found.given_others[i]), wanted),
            (there.mean[i], first),
            (there.variance[i], second),
            (there.below[i], below),
            (there.above[i], 1 - below),
        ):
            np.testing.assert_allclose(value, expected, rtol=QUADRATURE)


def test_selection_of_a_cluster_is_not_that_of_its_parts(made):
    given, fit, draws = one_cluster(made, ONE, np.array([1, 0.5, 0.4, 0.1]))
    found = log_densities(given, (fit,), draws)
    assert np.abs(found.removal - found.given_others)[:3].min() > 1e-3


def test_alone_an_estimate_has_all_of_the_heterogeneity(made):
    given, fit, draws = one_cluster(made, None, np.ones(1))
    there = predictions(given, (fit,), draws, given_others=False)
    np.testing.assert_allclose(there.mean, 0.2)
    wanted = given.effects.se[:, None] ** 2 + 0.4**2
    np.testing.assert_allclose(there.variance, np.tile(wanted, 8), rtol=ROUNDING)


def test_a_cluster_is_multivariate_normal(made):
    given, fit, draws = one_cluster(made, None, np.ones(1))
    S = covariance(given.effects.se[:3])
    wanted = multivariate_normal.logpdf(given.effects.y[:3], np.full(3, 0.2), S)
    found = log_densities(given, (fit,), draws)
    np.testing.assert_allclose(found.cluster[0], wanted, rtol=ROUNDING)


def test_tails_too_small_for_a_number_are_added_as_logs():
    cuts = np.array([[50.0]])
    published = Published(cuts, np.log([[1e-300, 1.0]]), np.zeros((1, 1)))
    with np.errstate(divide="ignore"):
        none = Published(cuts, np.log([[0.0, 1.0]]), np.zeros((1, 1)))
    rows, one = np.array([0]), np.ones((1, 1))
    far = none.log_chance(rows, 0 * one, one, slice(None))
    np.testing.assert_allclose(far, norm.logsf(50.0), rtol=ROUNDING)
    near = published.log_chance(rows, 0 * one, one, slice(None))
    np.testing.assert_allclose(near, np.log(1e-300), rtol=ROUNDING)


def test_a_free_weight_that_is_rounded_to_0_is_not_0():
    given = task()
    found = Published.of(given, ONE, np.array([[1.0, 0.5, 0.2, 0.0]]))
    assert np.isfinite(found.log_omega).all()


def test_blocks_of_any_size_give_the_same_numbers(made, monkeypatch):
    given, fit, draws = one_cluster(made, ONE, np.array([1, 0.5, 0.4, 0.1]))
    whole = log_densities(given, (fit,), draws)
    there = predictions(given, (fit,), draws, given_others=True)
    for module in ("pointwise", "publication"):
        monkeypatch.setattr(f"pyrobma.ensemble.{module}.ROOM", 300)
    small = log_densities(given, (fit,), draws)
    np.testing.assert_allclose(small.cluster, whole.cluster, rtol=ROUNDING)
    np.testing.assert_allclose(small.removal, whole.removal, rtol=ROUNDING)
    again = predictions(given, (fit,), draws, given_others=True)
    np.testing.assert_array_equal(again.variance, there.variance)
    np.testing.assert_array_equal(again.below, there.below)
