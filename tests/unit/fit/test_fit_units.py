"""The unit that raw effects are fitted in."""

from __future__ import annotations

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.fit import SamplerSettings, fit_model
from pyrobma.fit.units import scaled
from pyrobma.models import Task, model_space
from pyrobma.priors.density import cdf

Y = np.array([0.3, 0.12, -0.1, 0.42])
SE = np.array([0.1, 0.15, 0.08, 0.2])
CLUSTERS = ["a", "a", "b", "c"]


def model(unit=1.0):
    task = Task(rb.effect_sizes(y=Y * unit, se=SE * unit, study_ids=CLUSTERS), "none")
    space = model_space(
        effect=[rb.prior("normal", mean=0.1 * unit, sd=unit, lower=-unit)],
        heterogeneity=[rb.prior("inv_gamma", shape=1, scale=0.15 * unit)],
        hierarchical=[rb.prior("beta", alpha=1, beta=1)],
        bias=[rb.prior_PEESE("cauchy", location=0, scale=5 / unit)],
        bias_null=(),
    )
    return task, space.models[0]


FAMILIES = [
    rb.prior("normal", mean=1, sd=2, lower=-1),
    rb.prior("lognormal", meanlog=0.3, sdlog=0.6),
    rb.prior("student_t", location=1, scale=2, df=3),
    rb.prior("cauchy", location=0, scale=0.2, lower=0),
    rb.prior("gamma", shape=2, rate=3),
    rb.prior("inv_gamma", shape=1, scale=0.15),
    rb.prior("exponential", rate=2),
    rb.prior("uniform", a=-1, b=3),
]


@pytest.mark.parametrize("made", FAMILIES, ids=str)
def test_a_prior_in_another_unit_has_the_same_probabilities(made):
    x = np.array([-0.5, 0.1, 0.7, 2.0])
    np.testing.assert_allclose(cdf(made.in_unit(40.0), x / 40.0), cdf(made, x), 1e-10)


def test_a_beta_has_no_unit_and_keeps_the_datas():
    with pytest.raises(rb.PriorError, match="expected a prior with a unit"):
        rb.prior("beta", alpha=1, beta=1).in_unit(2.0)
    task, _ = model()
    (spec,) = model_space(
        effect=[rb.prior("beta", alpha=2, beta=2)],
        heterogeneity_null=[rb.prior("spike", location=0)],
    ).models
    assert scaled(task, spec).unit == 1.0


def test_measures_with_a_unit_of_their_own_are_left_alone():
    task = Task(rb.effect_sizes(d=Y, se=SE), "cohens_d")
    (spec,) = model_space(
        effect=[rb.prior("normal", mean=0, sd=1)],
        heterogeneity_null=[rb.prior("spike", location=0)],
    ).models
    assert scaled(task, spec).spec is spec


@pytest.mark.parametrize("unit", [1e-12, 1 / 3, 1e12])
def test_draws_are_those_of_another_unit_times_the_unit(unit):
    settings = SamplerSettings(draws=100, max_draws=100)
    one = fit_model(*model(), settings, 5)
    other = fit_model(*model(unit), settings, 5)
    # The same chains but for the rounding of y / se: a leapfrog step of 1e-15 grows.
    for name, power in (("mu", 1), ("tau", 1), ("rho", 0), ("PEESE", -1)):
        np.testing.assert_allclose(
            other.draws(name), one.draws(name) * unit**power, rtol=1e-6
        )
    constant = -len(Y) * np.log(unit)
    assert other.logml == pytest.approx(one.logml + constant, abs=1e-8)
    assert other.second.logml == pytest.approx(one.second.logml + constant, abs=1e-8)
