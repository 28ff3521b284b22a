"""What Python draws of priors is what the Stan programs use."""

from __future__ import annotations

import json
import math

import bridgestan
import numpy as np
import pytest
from selection_program import ratios

import pyrobma as rb
from pyrobma.fit import stan_data
from pyrobma.models import Task
from pyrobma.priors import FAMILIES, Prior, WeightFunction
from pyrobma.priors.density import density, quantile, random_weights
from pyrobma.programs import library

# Two ways to the same log density and tail probability, rounded at most this much.
LOG_ATOL = 1e-10
# Products of at most four ratios, by way of their logs.
WEIGHT_ATOL = 1e-14

SPIKE = (rb.prior("spike", location=0),)
TASK = Task(rb.effect_sizes(d=[0.0, 0.4], se=[1.0, 0.2]), "cohens_d")

PRIORS = [
    rb.prior("normal", mean=0.3, sd=1.2),
    rb.prior("normal", mean=0.3, sd=1.2, lower=0),
    rb.prior("normal", mean=0, sd=1, lower=8, upper=9),
    rb.prior("normal", mean=0, sd=1, upper=-20),
    rb.prior("lognormal", meanlog=-1, sdlog=0.7),
    rb.prior("lognormal", meanlog=0, sdlog=0.5, lower=100),
    rb.prior("t", location=0.35, scale=0.102, df=3, lower=0),
    rb.prior("t", location=0, scale=0.43, df=5),
    rb.prior("t", location=0, scale=1, df=3, lower=-2e6, upper=-1e6),
    rb.prior("cauchy", location=0.1, scale=0.4),
    rb.prior("cauchy", location=0, scale=1, lower=0),
    rb.prior("cauchy", location=0, scale=1, lower=1e9),
    rb.prior("gamma", shape=1.5, rate=2, lower=0.3, upper=2),
    rb.prior("gamma", shape=8, rate=1, lower=1e-4, upper=1e-3),
    rb.prior("invgamma", shape=1, scale=0.15),
    rb.prior("invgamma", shape=1.71, scale=0.4, lower=0.05, upper=0.6),
    rb.prior("invgamma", shape=2, scale=0.15, lower=1e7),
    rb.prior("beta", alpha=2.5, beta=1.5),
    rb.prior("beta", alpha=200, beta=300, lower=0.6, upper=0.7),
    rb.prior("exp", rate=1.7),
    rb.prior("exp", rate=1.7, lower=300, upper=301),
    rb.prior("uniform", a=-1, b=3),
    rb.prior("uniform", a=-1, b=3, lower=0.5, upper=0.75),
]


def opened(program: str, **components: object) -> bridgestan.StanModel:
    """The program at its prior, with mu and tau fixed unless told otherwise."""
    sides = {"effect_null": SPIKE, "heterogeneity_null": SPIKE, **components}
    (spec,) = rb.model_space(**sides).models
    data = stan_data(TASK, spec) | {"prior_only": 1}
    return bridgestan.StanModel(library(program), json.dumps(data), warn=False)


def test_every_family_with_a_density_is_compared() -> None:
    assert {made.family for made in PRIORS} == set(FAMILIES) - {"spike"}


@pytest.mark.parametrize("made", PRIORS, ids=str)
def test_the_drawn_density_is_the_programs(made: Prior) -> None:
    model = opened("normal", effect=(made,), effect_null=())
    for x in quantile(made, [0.01, 0.2, 0.5, 0.9, 0.99]):
        point = model.param_unconstrain(np.array([x]))
        (exact,) = model.param_constrain(point)[:1]
        used = model.log_density(point, propto=False, jacobian=False)
        assert math.log(density(made, exact)) == pytest.approx(
            used, abs=LOG_ATOL, rel=LOG_ATOL
        )


WEIGHT_FUNCTIONS = [
    rb.prior_weightfunction("one.sided", steps=[0.025, 0.05, 0.5], alpha=[1, 2, 3, 4]),
    rb.prior_weightfunction("two.sided", steps=[0.05], alpha=[1, 1]),
    rb.prior_weightfunction(
        "one.sided", steps=[0.05, 0.5, 0.9, 0.95], alpha1=[1, 2, 3], alpha2=[4, 5, 6]
    ),
]


@pytest.mark.parametrize("made", WEIGHT_FUNCTIONS, ids=str)
def test_drawn_weights_are_those_the_program_makes_of_the_same_steps(
    made: WeightFunction,
) -> None:
    model = opened("selection", bias=(made,), bias_null=())
    names = model.param_names(include_tp=True)
    place = [i for i, name in enumerate(names) if name.startswith("omega.")]
    drawn = random_weights(made, 20, np.random.default_rng(6))
    again = np.random.default_rng(6)
    alphas = [alpha for alpha in (made.alpha, made.alpha1, made.alpha2) if alpha]
    steps = [again.dirichlet(alpha, 20) for alpha in alphas]
    for omega, *pis in zip(drawn, *steps, strict=True):
        point = model.param_unconstrain(np.concatenate([ratios(pi) for pi in pis]))
        used = model.param_constrain(point, include_tp=True)[place]
        np.testing.assert_allclose(omega, used, atol=WEIGHT_ATOL)
