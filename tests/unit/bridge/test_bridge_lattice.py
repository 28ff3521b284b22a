"""Integrals by lattices, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from pyrobma.bridge.lattice import integrate
from pyrobma.bridge.modes import Mode, find_modes

LEFT_OUT = 3e-6
"""Mass below exp(-17) of the largest density, and rounding."""


def found(density, starts, **options):
    modes = find_modes(density, np.atleast_2d(starts))
    return integrate(density, modes, **options)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_a_normal_density_integrates_to_one(dimension):
    rng = np.random.default_rng(dimension)
    root = rng.normal(size=(dimension, dimension))
    law = stats.multivariate_normal(np.ones(dimension), root @ root.T)
    result = found(lambda p: np.atleast_1d(law.logpdf(p)), np.zeros(dimension))
    assert result.logml == pytest.approx(0.0, abs=LEFT_OUT * 10**dimension)
    mean, error = result.mean(result.points)
    np.testing.assert_allclose(mean, 1.0, atol=1e-4)
    assert (error < 1e-3).all()


def test_modes_of_different_width_far_apart_are_added():
    def density(p):
        narrow = stats.norm.logpdf(p, [-3.0, 0.0], 1e-3).sum(axis=1)
        wide = stats.norm.logpdf(p, [3.0, 1.0], 1.0).sum(axis=1)
        return np.logaddexp(narrow + np.log(0.2), wide + np.log(0.8))

    result = found(density, [[-3.002, 0.001], [2.0, 0.0]])
    assert result.logml == pytest.approx(0.0, abs=max(1e-4, result.error))
    mean, _ = result.mean(result.points)
    np.testing.assert_allclose(mean, [0.2 * -3 + 0.8 * 3, 0.8], atol=1e-3)


def test_a_curved_ridge_is_followed():
    def density(p):
        y = p[:, 1] - p[:, 0] ** 2
        return stats.norm.logpdf(p[:, 0], 0, 2.0) + stats.norm.logpdf(y, 0, 0.2)

    assert found(density, [0.0, 0.0]).logml == pytest.approx(0.0, abs=1e-3)


def test_a_slow_tail_is_followed_to_its_end_and_its_mean_has_an_error():
    # t = log of a half-Cauchy: its mean does not exist, its integral does.
    def density(p):
        t = p[:, 0]
        return np.log(2 / np.pi) + t - np.logaddexp(0.0, 2 * t)

    result = found(density, [0.0])
    assert result.logml == pytest.approx(0.0, abs=1e-5)
    mean, error = result.mean(np.exp(result.points))
    assert error[0] > 0.1 * mean[0]
    log_mean, log_error = result.mean(result.points)
    assert log_mean[0] == pytest.approx(0.0, abs=max(log_error[0], 1e-5))


def test_the_error_of_a_mean_does_not_depend_on_where_zero_is():
    result = found(lambda p: stats.t.logpdf(p[:, 0], 4), [0.0])
    mean, error = result.mean(result.points)
    moved, same = result.mean(result.points + 1000.0)
    assert moved - mean == pytest.approx(1000.0, rel=1e-9)
    # 1000 has thirteen digits left behind the point.
    np.testing.assert_allclose(same, error, rtol=1e-6, atol=1e-9)
    assert error > 0


def test_the_histogram_is_a_distribution_like_the_density():
    # Its integral is exp(-30), as far from one as those of posteriors are.
    log_integral = -30.0
    constant = log_integral - special.gammaln(3.0)

    def density(p):
        return 3.0 * p[:, 0] - np.exp(np.minimum(p[:, 0], 50.0)) + constant

    result = found(density, [0.0])
    assert result.logml == pytest.approx(log_integral, abs=1e-5)
    assert result.weights.sum() == pytest.approx(1.0, rel=1e-12)
    rng = np.random.default_rng(1)
    points = result.proposal.sample(rng, 20_000)
    ratio = density(points) - result.proposal.log_density(points) - log_integral
    assert np.exp(ratio).mean() == pytest.approx(1.0, abs=0.01)
    assert points.mean() == pytest.approx(special.digamma(3.0), abs=0.02)
    outside = result.proposal.log_density(np.array([[1e30], [-1e6]]))
    assert (outside == -np.inf).all()


def test_too_many_points_give_nothing_rather_than_something_wrong():
    mode = Mode(np.zeros(3), 0.0, 1e-3 * np.eye(3))
    assert integrate(lambda p: -0.5 * (p**2).sum(axis=1), [mode], most=5000) is None
