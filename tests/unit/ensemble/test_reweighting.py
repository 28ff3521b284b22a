"""Models under other priors, from made-up draws."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import pyrobma as rb
from pyrobma._mcmc import effective_sample_size
from pyrobma.ensemble.reweighting import Reweighted, averaged, reweighted

# Sums of a few thousand doubles.
ROUNDING = 1e-10

MU = rb.prior("normal", mean=0, sd=1)
TAU = rb.prior("inv_gamma", shape=1, scale=0.15)
SPEC = rb.model(mu=MU, tau=TAU)
WIDER = rb.model(mu=rb.prior("normal", mean=0, sd=2), tau=TAU)


@pytest.fixture
def fit(made):
    rng = np.random.default_rng(1)
    draws = {
        "mu": rng.normal(0.4, 0.2, (4, 500)),
        "tau": np.exp(rng.normal(-1.5, 0.2, (4, 500))),
    }
    return made.fit(SPEC, -3.0, 0.01, draws)


def test_the_marginal_likelihood_changes_by_the_mean_ratio_of_the_priors(fit):
    mu = fit.draws("mu")
    ratio = stats.norm(0, 2).pdf(mu) / stats.norm(0, 1).pdf(mu)
    found = reweighted(fit, WIDER)
    assert found.logml == pytest.approx(-3 + math.log(ratio.mean()), rel=ROUNDING)
    np.testing.assert_allclose(found.weights, ratio / ratio.mean(), rtol=ROUNDING)
    size = effective_sample_size(ratio[:, :, None])[0]
    relative = ratio.std(ddof=1) / ratio.mean() / math.sqrt(size)
    largest = ratio.max() / ratio.sum()
    assert found.ratio_error == pytest.approx(relative + largest, rel=ROUNDING)
    assert found.error == pytest.approx(math.hypot(0.01, found.ratio_error))
    assert (found.how, found.reliable) == ("reweighted", True)


def test_priors_of_several_unknowns_change_by_their_product(fit):
    both = replace(
        SPEC, priors=(("mu", WIDER.prior("mu")), ("tau", rb.prior("exp", rate=4)))
    )
    mu, tau = fit.draws("mu"), fit.draws("tau")
    ratio = stats.norm(0, 2).pdf(mu) / stats.norm(0, 1).pdf(mu)
    ratio *= stats.expon(scale=1 / 4).pdf(tau) / stats.invgamma(1, scale=0.15).pdf(tau)
    assert reweighted(fit, both).logml == pytest.approx(
        -3 + math.log(ratio.mean()), rel=ROUNDING
    )


def test_a_prior_weight_changes_nothing(fit):
    heavier = replace(MU, prior_weight=5)
    same = reweighted(fit, replace(SPEC, priors=(("mu", heavier), ("tau", TAU))))
    assert same.logml == -3.0
    assert same.weights.tolist() == np.ones((4, 500)).tolist()


def test_draws_that_repeat_count_once(made, fit):
    values = {name: np.repeat(fit.draws(name), 10, axis=1) for name in ("mu", "tau")}
    slow, fast = (
        reweighted(made.fit(SPEC, -3.0, 0.0, values), WIDER),
        reweighted(fit, WIDER),
    )
    # Of ten times as many draws the largest has a tenth of the share.
    least = fast.weights.max() / fast.weights.size
    # Two estimates of one autocorrelation time, from 2000 independent draws.
    assert slow.ratio_error == pytest.approx(fast.ratio_error - 0.9 * least, rel=0.15)


def test_weights_of_infinite_variance_are_not_reliable(made):
    # Draws of the old prior itself: p_new / p_old is exp(x²/2 (1 - 1/25)), k = 0.96.
    rng = np.random.default_rng(2)
    draws = {"mu": rng.normal(0, 1, (4, 500)), "tau": rng.exponential(1, (4, 500))}
    wide = replace(
        SPEC, priors=(("mu", rb.prior("normal", mean=0, sd=5)), ("tau", TAU))
    )
    found = reweighted(made.fit(SPEC, draws=draws), wide)
    assert found.pareto_k > 0.5
    assert not found.reliable


@pytest.mark.parametrize(
    "prior",
    [
        rb.prior("spike", location=0.4),
        rb.prior("normal", mean=0, sd=1),  # reaches below the old one's 0
        rb.prior("normal", mean=500, sd=1, lower=0),  # no density at any draw
    ],
    ids=str,
)
def test_draws_say_nothing_of_where_they_cannot_be(made, prior):
    half = rb.model(mu=rb.prior("normal", mean=0, sd=1, lower=0))
    draws = np.abs(np.random.default_rng(3).normal(0.4, 0.1, (4, 500)))
    fit = made.fit(half, draws={"mu": draws})
    assert reweighted(fit, rb.model(mu=prior)) is None


def test_a_model_without_draws_or_with_other_selection_is_left_alone(made, fit):
    fixed = rb.model(mu=rb.prior("spike", location=0.2))
    assert reweighted(made.fit(fixed), rb.model(mu=MU)) is None
    selection = rb.prior_weightfunction("two.sided", steps=[0.05], alpha=[1, 1])
    assert reweighted(fit, replace(WIDER, selection=selection)) is None


def test_a_fit_as_it_is_has_even_weights(fit):
    same = Reweighted.of(fit)
    assert (same.how, same.logml, same.error) == ("as fitted", -3.0, 0.01)
    assert same.reliable
    assert math.isnan(same.pareto_k)
    assert same.weights.mean() == 1


@pytest.mark.parametrize("parameter", ["mu", "tau"])
def test_the_average_is_that_of_weighted_draws_and_spikes(made, fit, parameter):
    null = made.fit(rb.model(tau=rb.prior("spike", location=0.1)), seed=2)
    models = [Reweighted.of(null), reweighted(fit, WIDER)]
    mean, error = averaged(models, np.array([0.3, 0.7]), parameter)
    weights, draws = models[1].weights, fit.draws(parameter)
    own = np.average(draws, weights=weights)
    spike = {"mu": 0.0, "tau": 0.1}[parameter]
    assert mean == pytest.approx(0.3 * spike + 0.7 * own, rel=ROUNDING)
    assert error > 0


def test_without_weights_the_average_and_its_error_are_those_of_the_mixture(made):
    space = made.space(hierarchical=False)
    ensemble = made.ensemble(space, [0, 1, 2, 1.5], [0.01, 0.02, 0.03, 0.0])
    models = [Reweighted.of(fit) for fit in ensemble.fits]
    for parameter in ("mu", "tau"):
        mixture = ensemble.mixture(parameter)
        mean, error = averaged(models, ensemble.post_prob, parameter)
        assert mean == pytest.approx(mixture.mean(), rel=ROUNDING)
        assert error == pytest.approx(mixture.mcse(), rel=ROUNDING)


def test_models_with_one_fit_have_one_error(made, fit):
    twice = [Reweighted.of(fit), Reweighted.of(fit)]
    once = averaged(twice[:1], np.array([1.0]), "mu")
    assert averaged(twice, np.array([0.4, 0.6]), "mu") == pytest.approx(once)


def test_the_error_of_the_average_is_its_spread_over_many_runs(made):
    # A normal posterior and a spike: exact in the limit, Monte Carlo errors only.
    null = made.fit(rb.model(tau=rb.prior("spike", location=0.1)), logml=0.3, seed=2)
    spec = rb.model(mu=MU)
    wide = rb.model(mu=rb.prior("normal", mean=0, sd=0.5))
    means, errors = [], []
    rng = np.random.default_rng(5)
    for _ in range(300):
        fit = made.fit(spec, 0.5, draws={"mu": rng.normal(0.5, 0.3, (4, 100))})
        models = [Reweighted.of(null), reweighted(fit, wide)]
        chance = np.exp([one.logml for one in models])
        mean, error = averaged(models, chance / chance.sum(), "mu")
        means.append(mean)
        errors.append(error)
    # The spread of 300 is known to 4 %.
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.15)
