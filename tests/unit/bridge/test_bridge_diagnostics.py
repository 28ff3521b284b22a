"""Effective sample size and Pareto k against their reference implementation."""

from __future__ import annotations

import numpy as np
import pytest
from arviz_stats.base import array_stats

from pyrobma.bridge.diagnostics import (
    effective_sample_size,
    pareto_k,
    pareto_k_limit,
)

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


@pytest.mark.parametrize("size", [25, 100, 225, 226, 3000])
def test_pareto_k_equals_that_of_arviz(size):
    x = np.exp(np.random.default_rng(size).normal(size=size))
    expected = array_stats.pareto_khat(
        x, chain_axis=None, draw_axis=-1, r_eff=1.0, tail="right"
    )
    assert pareto_k(x) == pytest.approx(float(expected), abs=SAME_FORMULA)


@pytest.mark.parametrize("k", [0.2, 0.6, 1.0])
def test_pareto_k_recovers_the_shape_of_a_pareto_tail(k):
    u = np.random.default_rng(9).uniform(size=200_000)
    # 1341 tail values: standard deviation of the estimate about (1 + k) / 37
    assert pareto_k(u**-k) == pytest.approx(k, abs=0.15)


def test_pareto_k_names_its_degenerate_cases():
    lonely = np.zeros(1000)
    lonely[:5] = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert pareto_k(np.ones(1000)) == -np.inf
    assert pareto_k(lonely) == np.inf
    assert np.isnan(pareto_k(np.arange(1.0, 25.0)))


def test_pareto_k_limit_grows_with_the_sample_up_to_seven_tenths():
    assert pareto_k_limit(100) == pytest.approx(0.5)
    assert pareto_k_limit(10**6) == 0.7
