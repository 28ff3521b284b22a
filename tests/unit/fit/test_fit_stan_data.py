"""The table of unknowns that the Stan programs get, and the names they give back."""

from __future__ import annotations

import json

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.fit import stan_data
from pyrobma.fit.density import LogDensity
from pyrobma.fit.explore import _candidates
from pyrobma.fit.stan_data import column_centres, program, program_names
from pyrobma.models import Task
from pyrobma.programs import library

EFFECTS = rb.effect_sizes(d=[0.1, 0.5, 0.6, 0.3], se=[0.1, 0.2, 0.3, 0.2])
TASK = Task(EFFECTS, "cohens_d")
SPIKE = (rb.prior("spike", location=0),)
HALF = rb.prior("normal", mean=0, sd=1, lower=0)
PET = rb.prior_PET("cauchy", location=0, scale=1)
PEESE = rb.prior_PEESE("cauchy", location=0, scale=5)
STEP = rb.prior_weightfunction("one-sided", steps=[0.025, 0.05], alpha=[1, 1, 1])


def spec(bias=None, effect=None):
    """A model with a free tau."""
    (found,) = rb.model_space(
        effect=(effect or rb.prior("normal", mean=0, sd=1),),
        heterogeneity=(rb.prior("inv_gamma", shape=1, scale=0.15),),
        **({} if bias is None else {"bias": (bias,), "bias_null": ()}),
    ).models
    return found


def opened(model, task=TASK):
    return LogDensity(library(program(task, model)), json.dumps(stan_data(task, model)))


@pytest.mark.parametrize("direction", ["positive", "negative"])
@pytest.mark.parametrize("bias", [PET, PEESE], ids=["PET", "PEESE"])
def test_a_bias_term_is_a_column_in_its_direction(bias, direction):
    data = stan_data(Task(EFFECTS, "cohens_d", "linear", direction), spec(bias))
    sign, scale = (1 if direction == "positive" else -1), 0.5
    se = EFFECTS.se
    column = se if bias is PET else se**2 / scale
    assert (data["P"], data["B"]) == (0, 1)
    np.testing.assert_allclose(data["bias"], sign * column[:, None], rtol=1e-15)
    assert data["family"] == [1, 6, 0, 4]
    assert data["low"][3] == 0.0


def test_a_bias_term_that_a_model_does_not_have_is_no_column():
    for bias in (None, STEP):
        data = stan_data(TASK, spec(bias))
        assert (data["B"], data["bias"]) == (0, [[]] * 4)
        assert len(data["family"]) == len(data["par"]) == len(data["low"]) == 3


def test_a_bias_term_fixed_at_a_number_is_a_column_without_a_free_entry():
    fixed = rb.prior_PET("spike", location=0.4)
    model = spec(fixed)
    data = stan_data(TASK, model)
    assert (data["B"], data["family"][3], data["par"][3][0]) == (1, 0, 0.4)
    names = program_names(TASK, model)
    assert "PET" not in names.outputs
    assert "PET" not in names.own.values()


def test_direction_is_data_of_the_selection_program_alone():
    negative = Task(EFFECTS, "cohens_d", "linear", "negative")
    assert stan_data(negative, spec(STEP))["effect_direction"] == -1
    assert "effect_direction" not in stan_data(negative, spec(PET))


@pytest.mark.parametrize("bias", [None, PET, PEESE, STEP], ids=str)
def test_names_are_those_of_the_program(bias):
    model = spec(bias)
    names = program_names(TASK, model)
    with opened(model) as density:
        assert set(density.own_columns) <= set(names.own)
        assert {names.own[c] for c in density.own_columns} == set(model.free)
        assert {*names.outputs.values(), *names.weights} <= set(density.columns)
    assert tuple(names.outputs) == tuple(n for n in model.free if n != "omega")


def test_draws_of_a_bias_term_are_those_of_its_own_column():
    model = spec(PEESE)
    with opened(model) as density:
        points = np.random.default_rng(1).normal(size=(5, 3))
        own = density.outputs(points, ["last_free[1]"])
        out = density.outputs(points, [program_names(TASK, model).outputs["PEESE"]])
    np.testing.assert_array_equal(own, out)


@pytest.mark.parametrize("bias", [PET, PEESE], ids=["PET", "PEESE"])
def test_the_programs_mu_is_mu_plus_the_bias_of_an_average_estimate(bias):
    model = spec(bias)
    (centre,) = column_centres(TASK, model).values()
    with opened(model) as density:
        points = np.random.default_rng(2).normal(size=(5, 3))
        names = ["mu_free[1]", "mu", "coef[1]"]
        mu_free, mu, coef = density.outputs(points, names).T
    np.testing.assert_allclose(mu_free, mu + centre * coef, rtol=1e-13)


@pytest.mark.parametrize("direction", ["positive", "negative"])
@pytest.mark.parametrize(
    "bias", [PET, PEESE, rb.prior_PET("spike", location=0.9)], ids=str
)
@pytest.mark.parametrize(
    "effect",
    [HALF, rb.prior("normal", mean=0, sd=1, upper=0), rb.prior("uniform", a=0, b=0.4)],
    ids=str,
)
def test_a_search_starts_within_the_ends_of_a_shifted_effect(effect, bias, direction):
    task = Task(EFFECTS, "cohens_d", "linear", direction)
    model = spec(bias, effect)
    with opened(model, task) as density:
        grid = _candidates(task, model, density.own_columns)
        points = density.unconstrain(grid)
        (mu,) = density.outputs(points, ["mu"]).T
        values = density(points)
    assert np.isfinite(points).all()
    assert ((mu >= effect.lower) & (mu <= effect.upper)).all()
    assert np.isfinite(values).all()
