"""Importance sampling from a growing mixture, and chains with its proposals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pyrobma._mcmc import effective_sample_size
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


def test_it_goes_on_until_so_many_draws_are_effective_and_no_further(modes):
    def effective(result):
        return 1.0 / (result.weights**2).sum() * result.weights.sum() ** 2

    result = importance(two_modes, modes, np.random.default_rng(8), enough=3000.0)
    assert 3000.0 <= effective(result) < 4500.0
    few = importance(two_modes, modes, np.random.default_rng(8), enough=500.0)
    assert len(few.points) < len(result.points) < 11_600
    # A banana is never covered as well: the most is the end.
    (mode,) = find_modes(banana, np.full((1, D), 0.3))
    short = importance(banana, [mode], np.random.default_rng(8), enough=1e9, most=3000)
    assert 2600 < len(short.points) <= 3000


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


class Wide:
    """A normal proposal in one dimension, away from its target and wider."""

    centre, spread = 0.7, 1.6

    def sample(self, rng, n):
        return rng.normal(self.centre, self.spread, (n, 1))

    def log_density(self, points):
        return stats.norm.logpdf(points[:, 0], self.centre, self.spread)


def test_independence_chains_are_from_the_target_not_the_proposal():
    chains = independence_chains(
        lambda p: stats.norm.logpdf(p[:, 0]), Wide(), np.random.SeedSequence(6), 4, 5000
    )
    draws = chains.points[:, :, 0]
    # Half of the proposals are refused: 20,000 draws are worth 5,000 or more, which
    # know a mean to .014 and a standard deviation to .010; here four times that.
    assert draws.mean() == pytest.approx(0.0, abs=0.06)
    assert draws.std() == pytest.approx(1.0, abs=0.04)
    assert effective_sample_size(chains.points)[0] > 5000
    # Its own chain each: a draw comes again within a chain only.
    for first in range(4):
        for second in range(first):
            assert not np.isin(draws[first], draws[second]).any()
    assert abs(chains.bridge.logml) < 4 * chains.bridge.mcse < 0.1


def test_no_independence_chain_begins_where_the_density_is_zero():
    # A fifth of the proposals are in a strip: one of the first 64 is, but for 1 in a
    # million, and none of the two after them in two chains of three.
    def strip(points):
        return np.where(np.abs(points[:, 0]) < 0.45, -np.log(0.9), -np.inf)

    chains = independence_chains(strip, Wide(), np.random.SeedSequence(7), 100, 8)
    assert np.isfinite(chains.log_density).all()
