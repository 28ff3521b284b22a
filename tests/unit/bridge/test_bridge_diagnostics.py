"""Pareto k against their reference implementation."""

from __future__ import annotations

import numpy as np
import pytest
from arviz_stats.base import array_stats

from pyrobma.bridge.diagnostics import pareto_k, pareto_k_limit

SAME_FORMULA = 1e-9  # another order of the same floating-point operations


@pytest.mark.parametrize("size", [25, 100, 225, 226, 3000])
def test_pareto_k_equals_that_of_arviz(size):
    x = np.exp(np.random.default_rng(size).normal(size=size))
    expected = array_stats.pareto_khat(
        x, chain_axis=None, draw_axis=-1, r_eff=1.0, tail="right"
    )
    assert pareto_k(x) == pytest.approx(float(expected), abs=SAME_FORMULA)


@pytest.mark.parametrize("size", [25, 226, 3000])
def test_the_order_of_the_values_does_not_matter(size):
    # Where the tail begins is found by a partition, which leaves the rest in disorder.
    for seed in range(300):
        x = np.exp(np.random.default_rng(seed).normal(size=size))
        assert pareto_k(x) == pytest.approx(pareto_k(np.sort(x)), abs=SAME_FORMULA)


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
