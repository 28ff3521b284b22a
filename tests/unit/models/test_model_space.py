"""The model space: which models, in which order, with which probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pyrobma import PriorError, default_priors, model_space, prior

EFFECT = default_priors("effect")
HETEROGENEITY = default_priors("heterogeneity")
RHO = default_priors("hierarchical")
SPIKE = (prior("spike", location=0),)

# Sums and quotients of a few floats.
ROUNDING = 1e-12


def default_space(**changes):
    sides = {
        "effect": EFFECT,
        "effect_null": SPIKE,
        "heterogeneity": HETEROGENEITY,
        "heterogeneity_null": SPIKE,
        "hierarchical": RHO,
    }
    return model_space(**(sides | changes))


def test_effect_varies_slowest_and_nulls_come_first():
    assert [str(model) for model in default_space().models] == [
        "mu = 0, tau = 0",
        "mu = 0, tau ~ InvGamma(1, 0.15), rho ~ Beta(1, 1)",
        "mu ~ Normal(0, 1), tau = 0",
        "mu ~ Normal(0, 1), tau ~ InvGamma(1, 0.15), rho ~ Beta(1, 1)",
    ]


def test_hierarchical_varies_fastest_and_repeats_models_without_heterogeneity():
    space = default_space(hierarchical_null=SPIKE)
    assert [str(model) for model in space.models] == [
        "mu = 0, tau = 0",
        "mu = 0, tau = 0",
        "mu = 0, tau ~ InvGamma(1, 0.15), rho = 0",
        "mu = 0, tau ~ InvGamma(1, 0.15), rho ~ Beta(1, 1)",
        "mu ~ Normal(0, 1), tau = 0",
        "mu ~ Normal(0, 1), tau = 0",
        "mu ~ Normal(0, 1), tau ~ InvGamma(1, 0.15), rho = 0",
        "mu ~ Normal(0, 1), tau ~ InvGamma(1, 0.15), rho ~ Beta(1, 1)",
    ]
    assert len(space) == 8
    # Duplicates keep the prior probabilities of effect and heterogeneity at 1/2.
    np.testing.assert_allclose(space.prior_prob, 1 / 8, rtol=ROUNDING)
    assert space.models[0].same_likelihood(space.models[1])


def test_a_model_without_heterogeneity_is_null_for_hierarchical():
    members = [model.alternative for model in default_space().models]
    assert members == [
        frozenset(),
        {"heterogeneity", "hierarchical"},
        {"effect"},
        {"effect", "heterogeneity", "hierarchical"},
    ]


def test_the_side_decides_what_a_model_stands_for_and_not_the_shape_of_its_prior():
    space = model_space(effect=SPIKE, effect_null=EFFECT, heterogeneity_null=SPIKE)
    assert [(str(m.prior("mu")), "effect" in m.alternative) for m in space.models] == [
        ("Normal(0, 1)", False),
        ("Spike(0)", True),
    ]


def test_without_priors_of_rho_no_model_has_one():
    space = default_space(hierarchical=())
    assert not space.hierarchical
    assert all(not model.has("rho") for model in space.models)
    assert len(space) == 4
    assert default_space().hierarchical


def test_a_tau_fixed_above_zero_keeps_its_correlation():
    (model,) = model_space(
        effect=EFFECT,
        heterogeneity=(prior("spike", location=0.2),),
        hierarchical=RHO,
    ).models
    assert model.free == ("mu", "rho")
    assert "hierarchical" in model.alternative


def test_prior_probabilities_are_products_of_weights():
    space = model_space(
        effect=(prior("normal", mean=0, sd=1, prior_weight=3),),
        effect_null=SPIKE,
        heterogeneity=(prior("inv_gamma", shape=1, scale=0.15, prior_weight=0.5),),
        heterogeneity_null=(prior("spike", location=0, prior_weight=2),),
        hierarchical=(prior("beta", alpha=1, beta=1, prior_weight=4),),
    )
    weights = np.array([2 * 4, 0.5 * 4, 3 * 2 * 4, 3 * 0.5 * 4])
    np.testing.assert_allclose(space.prior_prob, weights / weights.sum(), rtol=ROUNDING)


def test_equal_densities_on_both_sides_are_one_likelihood():
    space = model_space(
        effect=(prior("normal", mean=0, sd=1, prior_weight=2),),
        effect_null=EFFECT,
        heterogeneity=HETEROGENEITY,
    )
    first, second = space.models
    assert first.same_likelihood(second)
    assert first.alternative != second.alternative


@pytest.mark.parametrize("component", ["effect", "heterogeneity"])
def test_a_component_without_any_prior_is_refused(component):
    with pytest.raises(
        PriorError,
        match=rf"priors_{component}: expected at least one prior, .*; got none on "
        rf"either side\. Give priors_{component} or priors_{component}_null\.",
    ):
        default_space(**{component: (), f"{component}_null": ()})


def weighed(mu=1.0, mu_null=1.0, tau=1.0, rho=1.0):
    return model_space(
        effect=(prior("normal", mean=0, sd=1, prior_weight=mu),),
        effect_null=(prior("spike", location=0, prior_weight=mu_null),),
        heterogeneity=(prior("inv_gamma", shape=1, scale=0.15, prior_weight=tau),),
        hierarchical=(prior("beta", alpha=1, beta=1, prior_weight=rho),),
    )


@pytest.mark.parametrize(
    "weights",
    [
        {"mu": 1e200, "mu_null": 1e200, "tau": 1e200, "rho": 1e200},
        {"mu": 1e-200, "mu_null": 1e-200, "tau": 1e-200, "rho": 1e-200},
        {"mu": 1e308, "mu_null": 1e308},
        {"mu": 1e-310, "mu_null": 1e-310},
        {"mu": 1e-200, "mu_null": 1e-200, "tau": 1e-120, "rho": 1e300},
        {"mu": 1e200, "mu_null": 1e200, "tau": 1e200, "rho": 1e-300},
    ],
)
def test_a_factor_on_all_weights_changes_no_probability(weights):
    space = weighed(**weights)
    np.testing.assert_allclose(space.prior_prob, 0.5, rtol=ROUNDING)
    np.testing.assert_allclose(space.log_prior_prob, math.log(0.5), rtol=1e-12)
    for model in space.models:
        assert 0 < model.prior_weight < math.inf
        assert str(model)


def test_weights_of_any_two_sizes_give_probabilities_that_sum_to_one():
    space = weighed(mu=1e-300, mu_null=1e308, tau=1e200)
    assert space.prior_prob.tolist() == [1.0, 0.0]
    log_odds = np.diff(space.log_prior_prob)
    np.testing.assert_allclose(log_odds, -608 * math.log(10), rtol=1e-12)
    rare = np.array([False, True])
    assert space.prior_prob_given(rare).tolist() == [0.0, 1.0]
    assert space.log_prior_prob_given(rare).tolist() == [-math.inf, 0.0]


def test_ordinary_weights_are_their_product_and_nothing_else():
    space = weighed(mu=3, tau=0.5, rho=4)
    assert [model.prior_weight for model in space.models] == [2.0, 6.0]
    assert {model.log_prior_weight for model in space.models} == {None}
    assert space.prior_prob.tolist() == [0.25, 0.75]
