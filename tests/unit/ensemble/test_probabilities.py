"""Model probabilities and Bayes factors from log marginal likelihoods."""

from __future__ import annotations

import numpy as np
import pytest

from pyrobma.ensemble import (
    LogmlErrors,
    inclusion,
    posterior_probabilities,
    posterior_probability_errors,
)

# Sums and quotients of a few doubles, and of exponentials of numbers below 1000.
ROUNDING = 1e-12
# The error of a logml of some hundreds, multiplied by exp, in relative terms.
LOG_ROUNDING = 1e-10
# First-order errors against simulation: 20 000 draws know a standard deviation to
# 0.5 %, and errors of 0.02 on the log scale make the second order 0.02^2.
N_SIMULATED = 20_000
SIMULATED = 0.025

LOGML = np.array([-1.0, 0.5, 0.2, 1.4])
PRIOR = np.array([0.1, 0.2, 0.3, 0.4])
MEMBER = np.array([False, True, False, True])
independent = LogmlErrors.independent
NO_ERROR = independent(np.zeros(4))


def test_posterior_probabilities_follow_bayes_rule():
    weights = PRIOR * np.exp(LOGML)
    np.testing.assert_allclose(
        posterior_probabilities(LOGML, PRIOR), weights / weights.sum(), rtol=ROUNDING
    )


def test_posterior_probabilities_ignore_a_constant_shift_of_logml():
    shifted = posterior_probabilities(LOGML - 5000.0, PRIOR)
    np.testing.assert_allclose(
        shifted, posterior_probabilities(LOGML, PRIOR), rtol=LOG_ROUNDING
    )


def test_a_model_without_prior_probability_has_none_after_the_data():
    prior = np.array([0.0, 0.5, 0.5, 0.0])
    found = posterior_probabilities(np.array([900.0, 0.0, 0.0, 900.0]), prior)
    np.testing.assert_array_equal(found, [0.0, 0.5, 0.5, 0.0])


def test_inclusion_bayes_factor_is_posterior_odds_over_prior_odds():
    found = inclusion(MEMBER, LOGML, PRIOR, NO_ERROR)
    posterior = posterior_probabilities(LOGML, PRIOR)
    p, q = posterior[MEMBER].sum(), PRIOR[MEMBER].sum()
    assert found.n_models == 2
    assert found.prior_prob == pytest.approx(q, rel=ROUNDING)
    assert found.post_prob == pytest.approx(p, rel=ROUNDING)
    assert np.exp(found.log_bf) == pytest.approx(
        p / (1 - p) / (q / (1 - q)), rel=ROUNDING
    )


def test_a_bayes_factor_keeps_its_digits_when_a_probability_rounds_to_one():
    logml = np.array([0.0, 3000.0])
    member = np.array([False, True])
    found = inclusion(member, logml, np.array([0.25, 0.75]), independent([0, 0.01]))
    assert found.post_prob == 1.0
    assert found.log_bf == pytest.approx(3000.0, rel=ROUNDING)
    assert found.log_bf_mcse == pytest.approx(0.01, rel=ROUNDING)


@pytest.mark.parametrize(("member", "log_bf"), [(True, np.inf), (False, -np.inf)])
def test_a_component_of_all_or_no_models_has_an_infinite_log_bayes_factor(
    member, log_bf
):
    found = inclusion(np.full(4, member), LOGML, PRIOR, independent(np.ones(4)))
    assert found.log_bf == log_bf
    assert np.isnan(found.log_bf_mcse)
    assert found.post_prob == pytest.approx(float(member), abs=ROUNDING)
    assert found.post_prob_mcse == pytest.approx(0.0, abs=ROUNDING)


@pytest.mark.parametrize("shared", [False, True])
def test_errors_of_probabilities_and_bayes_factors_agree_with_simulation(shared):
    error = np.array([0.02, 0.01, 0.015, 0.02])
    if shared:
        error[1] = error[0]
    errors = LogmlErrors.shared(error, [0, 0 if shared else 1, 2, 3])
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(N_SIMULATED, 4)) * error
    if shared:
        noise[:, 1] = noise[:, 0]
    simulated = np.array([posterior_probabilities(LOGML + e, PRIOR) for e in noise])
    np.testing.assert_allclose(
        posterior_probability_errors(posterior_probabilities(LOGML, PRIOR), errors),
        simulated.std(axis=0),
        rtol=SIMULATED,
    )
    found = inclusion(MEMBER, LOGML, PRIOR, errors)
    inside = simulated[:, MEMBER].sum(axis=1)
    assert found.post_prob_mcse == pytest.approx(inside.std(), rel=SIMULATED)
    assert found.log_bf_mcse == pytest.approx(
        np.log(inside / (1 - inside)).std(), rel=SIMULATED
    )


def test_models_that_share_one_fit_have_no_error_in_their_bayes_factor():
    # The error is common to both and cancels.
    errors = LogmlErrors.shared(np.full(2, 0.05), ["fit", "fit"])
    found = inclusion(
        np.array([True, False]), np.array([1.0, 1.0]), np.array([0.5, 0.5]), errors
    )
    assert found.log_bf == pytest.approx(0.0, abs=ROUNDING)
    assert found.log_bf_mcse == pytest.approx(0.0, abs=ROUNDING)
