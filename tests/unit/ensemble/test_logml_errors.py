"""Errors of log marginal likelihoods by group, against dense covariance matrices."""

from __future__ import annotations

import numpy as np
import pytest

from pyrobma.ensemble import LogmlErrors, inclusion, posterior_probabilities
from pyrobma.ensemble.probabilities import model_inclusion

# Sums of products of some tens of doubles.
ROUNDING = 1e-12
M = 40


@pytest.fixture
def models():
    """Log marginal likelihoods, prior probabilities, errors and their covariance."""
    rng = np.random.default_rng(1)
    fit = np.where(rng.random(M) < 0.5, rng.integers(0, 6, M), np.arange(M) + M)
    sd = rng.uniform(0.01, 0.1, 2 * M)[fit]
    covariance = np.outer(sd, sd) * (fit[:, None] == fit)
    prior = rng.dirichlet(np.ones(M))
    return rng.normal(0, 2, M), prior, LogmlErrors.shared(sd, fit), covariance


def test_models_that_share_a_fit_have_the_place_of_the_first():
    errors = LogmlErrors.shared(np.ones(5), ["a", "b", "a", "c", "b"])
    assert errors.group.tolist() == [0, 1, 0, 3, 1]
    assert LogmlErrors.independent(np.ones(3)).group.tolist() == [0, 1, 2]


def test_errors_by_group_are_those_of_the_covariance_matrix(models):
    logml, prior, errors, covariance = models
    gradient = np.random.default_rng(2).normal(size=M)
    dense = np.sqrt(gradient @ covariance @ gradient)
    assert errors.of(gradient) == pytest.approx(dense, rel=ROUNDING)
    p = posterior_probabilities(logml, prior)
    jacobian = np.diag(p) - np.outer(p, p)
    np.testing.assert_allclose(
        errors.of_probabilities(p),
        np.sqrt(np.diag(jacobian @ covariance @ jacobian.T)),
        rtol=ROUNDING,
    )


def test_every_model_is_compared_with_all_others_as_if_it_were_alone(models):
    logml, prior, errors, _ = models
    found = model_inclusion(logml, prior, errors)
    each = [inclusion(member, logml, prior, errors) for member in np.eye(M, dtype=bool)]
    np.testing.assert_allclose(found.log_bf, [e.log_bf for e in each], rtol=ROUNDING)
    np.testing.assert_allclose(
        found.log_bf_mcse, [e.log_bf_mcse for e in each], rtol=ROUNDING
    )


def test_a_model_that_outweighs_all_others_by_more_than_a_float_has_its_bayes_factor():
    logml, sd = np.array([0.0, 3000.0, 0.0]), np.array([0.03, 0.02, 0.04])
    found = model_inclusion(logml, np.full(3, 1 / 3), LogmlErrors.independent(sd))
    np.testing.assert_allclose(
        found.log_bf, [np.log(2) - 3000, 3000, np.log(2) - 3000], rtol=ROUNDING
    )
    # The others count half each; against the first, they count for nothing.
    np.testing.assert_allclose(
        found.log_bf_mcse,
        [np.hypot(0.03, 0.02), np.sqrt(0.02**2 + 0.025**2), np.hypot(0.04, 0.02)],
        rtol=ROUNDING,
    )


def test_models_that_say_the_same_have_one_bayes_factor_to_the_last_digit(models):
    logml, prior, errors, _ = models
    logml[17], prior[17] = logml[3], prior[3]
    found = model_inclusion(logml, prior, errors)
    assert found.log_bf[17] == found.log_bf[3]


def test_what_is_left_out_has_no_bayes_factor_and_the_only_model_an_infinite_one():
    prior = np.array([0.0, 0.4, 0.6])
    found = model_inclusion(np.zeros(3), prior, LogmlErrors.independent(np.ones(3)))
    np.testing.assert_allclose(found.log_bf, [np.nan, 0, 0], atol=ROUNDING)
    np.testing.assert_allclose(found.log_bf_mcse, [np.nan, *[np.sqrt(2)] * 2])
    alone = model_inclusion(
        np.zeros(2), np.array([1.0, 0.0]), LogmlErrors.independent(np.ones(2))
    )
    np.testing.assert_array_equal(alone.log_bf, [np.inf, np.nan])
    assert np.isnan(alone.log_bf_mcse).all()
