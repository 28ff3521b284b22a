"""Effective sample size and R-hat against their reference implementation."""

from __future__ import annotations

import numpy as np
import pytest
from arviz_stats.base import array_stats

from pyrobma._mcmc import effective_sample_size, rank_normalised, rhat

SAME_FORMULA = 1e-9  # another order of the same floating-point operations


def ar1(rng, chains, draws, columns, rho):
    x = rng.normal(size=(chains, draws, columns))
    for t in range(1, draws):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * x[:, t]
    return x


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.5, 0.95])
@pytest.mark.parametrize(("chains", "draws"), [(4, 500), (1, 333), (3, 40), (4, 8)])
def test_effective_sample_size_equals_that_of_arviz(rho, chains, draws):
    x = ar1(np.random.default_rng(draws), chains, draws, 5, rho)
    expected = array_stats.ess(x, chain_axis=0, draw_axis=1, method="mean")
    np.testing.assert_allclose(effective_sample_size(x), expected, rtol=SAME_FORMULA)


def test_effective_sample_size_of_a_long_chain_approaches_theory():
    x = ar1(np.random.default_rng(1), 4, 20000, 1, 0.5)
    # n (1 - rho) / (1 + rho); the estimate of 80 000 draws is good to a few percent
    assert effective_sample_size(x)[0] == pytest.approx(80000 / 3, rel=0.08)


def test_chains_that_disagree_have_almost_no_effective_draws():
    x = np.random.default_rng(2).normal(size=(4, 250, 1))
    x[0] += 5
    assert effective_sample_size(x)[0] < 10


def test_constant_column_counts_every_draw_and_leaves_the_others_alone():
    x = np.random.default_rng(3).normal(size=(2, 100, 2))
    alone = effective_sample_size(x[:, :, :1])[0]
    x[:, :, 1] = 4.0
    found = effective_sample_size(x)
    assert found[1] == 200
    assert found[0] == pytest.approx(alone)


@pytest.mark.parametrize("rho", [0.0, 0.9])
@pytest.mark.parametrize(("chains", "draws"), [(4, 500), (2, 42)])
def test_bulk_effective_sample_size_equals_that_of_arviz(rho, chains, draws):
    x = np.exp(ar1(np.random.default_rng(draws), chains, draws, 3, rho))
    expected = array_stats.ess(x, chain_axis=0, draw_axis=1, method="bulk")
    found = effective_sample_size(rank_normalised(x))
    np.testing.assert_allclose(found, expected, rtol=SAME_FORMULA)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_rhat_equals_that_of_arviz(shift):
    x = ar1(np.random.default_rng(5), 4, 400, 3, 0.3)
    x[0] += shift
    folded = np.abs(x - np.median(x, axis=(0, 1)))
    found = np.maximum(rhat(rank_normalised(x)), rhat(rank_normalised(folded)))
    expected = array_stats.rhat(x, chain_axis=0, draw_axis=1, method="rank")
    np.testing.assert_allclose(found, expected, rtol=SAME_FORMULA)


def test_tied_draws_share_their_rank():
    x = np.array([[1.0, 2.0, 2.0, 3.0]])[:, :, None]
    scores = rank_normalised(x)[0, :, 0]
    assert scores[1] == scores[2] == pytest.approx(0.0, abs=1e-15)
    assert scores[0] == pytest.approx(-scores[3])
