"""Importance sampling from a growing mixture, and chains with its proposals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pyrobma.bridge.importance import importance
from pyrobma.bridge.independence import independence_chains
from pyrobma.bridge.modes import find_modes

D = 5
NARROW, WIDE = np.full(D, -2.0), np.full(D, 2.0)


def two_modes(points):
    narrow = stats.norm.logpdf(points, NARROW, 0.1).sum(axis=1)
    wide = stats.norm.logpdf(points, WIDE, 1.0).sum(axis=1)
    return np.logaddexp(narrow + np.log(0.3), wide + np.log(0.7))


def banana(points):
    y = points.copy()
    y[:, 1] -= 1.5 * points[:, 0] ** 2
    return stats.norm.logpdf(y).sum(axis=1)


@pytest.fixture(scope="module")
def modes():
    return find_modes(two_modes, np.stack([NARROW + 0.1, WIDE - 0.3]))


def test_z_of_the_estimate_over_seeds_is_standard_normal(modes):
    z = []
    for seed in range(40):
        result = importance(two_modes, modes, np.random.default_rng(seed))
        z.append(result.logml / result.error)
    # 40 values: four standard errors of mean and sd.
    assert abs(np.mean(z)) < 4 / np.sqrt(40)
    assert 0.6 < np.std(z) < 1.45


def test_a_banana_is_covered():
    modes = find_modes(banana, np.full((1, D), 0.3))
    result = importance(banana, modes, np.random.default_rng(2))
    assert result.pareto_k < 0.7
    assert abs(result.logml) < 4 * result.error < 0.2


def test_means_have_errors(modes):
    result = importance(two_modes, modes, np.random.default_rng(3))
    mean, error = result.mean(result.points)
    assert (np.abs(mean - 0.8) < 4 * error).all()
    assert (error < 0.1).all()


def test_independence_chains_jump_between_modes_and_state_their_error(modes):
    result = importance(two_modes, modes, np.random.default_rng(4))
    chains = independence_chains(
        two_modes, result.proposal, np.random.SeedSequence(5), 4, 1000
    )
    share = (chains.points[:, :, 0] < 0).mean(axis=1)
    np.testing.assert_allclose(share, 0.3, atol=0.1)
    np.testing.assert_allclose(
        chains.log_density, two_modes(chains.points.reshape(-1, D)).reshape(4, -1)
    )
    assert abs(chains.bridge.logml) < 4 * chains.bridge.mcse < 0.1
