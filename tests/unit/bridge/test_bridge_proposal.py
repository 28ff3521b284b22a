"""The fitted proposal."""

from __future__ import annotations

import numpy as np
import pytest

from pyrobma.bridge.proposal import EIGENVALUE_FLOOR, fit_proposal

ROUNDING = 1e-10


def correlated_draws(dimension=3, n=200):
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, dimension)) @ rng.normal(size=(dimension, dimension)) + 5


def test_proposal_has_the_moments_of_the_draws():
    draws = correlated_draws()
    fitted = fit_proposal(draws, "abc")
    covariance = np.cov(draws.T)
    np.testing.assert_allclose(fitted.mean, draws.mean(axis=0))
    np.testing.assert_allclose(fitted.factor @ fitted.factor.T, covariance)
    assert np.all(np.triu(fitted.factor, 1) == 0)
    assert fitted.log_determinant == pytest.approx(
        0.5 * np.linalg.slogdet(covariance)[1]
    )


def test_standardised_draws_have_mean_zero_and_covariance_one():
    draws = correlated_draws()
    eta = fit_proposal(draws, "abc").standardise(draws)
    np.testing.assert_allclose(eta.mean(axis=0), 0, atol=ROUNDING)
    np.testing.assert_allclose(np.cov(eta.T), np.eye(3), atol=ROUNDING)


def test_one_parameter_is_scaled_by_its_standard_deviation():
    draws = correlated_draws(1)
    fitted = fit_proposal(draws, "a")
    assert fitted.factor == pytest.approx(draws.std(ddof=1))


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_linearly_dependent_parameters_keep_a_regular_factor(scale):
    draws = correlated_draws(2)
    dependent = np.column_stack([draws, scale * draws.sum(axis=1)])
    fitted = fit_proposal(dependent, "abc")
    sd = dependent.std(axis=0, ddof=1)
    correlation = (fitted.factor @ fitted.factor.T) / np.outer(sd, sd)
    values = np.linalg.eigvalsh(correlation)
    # rounding of a correlation is 1e-16, that of its small eigenvalues 1e-6 of them
    assert values[0] == pytest.approx(EIGENVALUE_FLOOR * values[-1], rel=1e-4)
    assert np.isfinite(fitted.log_determinant)
