"""Mixtures of normal distributions and points."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from pyrobma.ensemble import NormalMixture

ROUNDING = 1e-12


@pytest.fixture
def spike_and_slab():
    """Half a point at 0, half a normal distribution around 1."""
    return NormalMixture(np.array([0.5, 0.5]), np.array([0.0, 1.0]), np.array([0, 1.0]))


def test_one_component_has_the_quantiles_of_its_normal():
    one = NormalMixture(np.array([1.0]), np.array([0.3]), np.array([2.0]))
    probs = [1e-6, 0.025, 0.5, 0.9, 1 - 1e-6]
    np.testing.assert_allclose(
        one.quantiles(probs), norm.ppf(probs, 0.3, 2.0), rtol=1e-9, atol=ROUNDING
    )


def test_a_point_mass_jumps_in_the_cdf_and_holds_its_quantiles(spike_and_slab):
    below = 0.5 * norm.cdf(0, 1, 1)
    np.testing.assert_allclose(
        spike_and_slab.cdf(np.array([-1e-12, 0.0])), [below, below + 0.5], atol=1e-12
    )
    inside = [below + 1e-6, 0.3, 0.5, below + 0.5 - 1e-6]
    assert (spike_and_slab.quantiles(inside) == 0).all()
    above = spike_and_slab.quantiles([0.975])[0]
    assert above == pytest.approx(norm.ppf(2 * 0.975 - 1, 1, 1), rel=1e-9)
    lower = spike_and_slab.quantiles([below / 2])[0]
    assert lower == pytest.approx(norm.ppf(below, 1, 1), rel=1e-9)


def test_quantiles_at_the_ends_are_infinite_or_points(spike_and_slab):
    assert spike_and_slab.quantiles([0, 1]).tolist() == [-np.inf, np.inf]
    points = NormalMixture(np.array([0.4, 0.6]), np.array([2.0, -1.0]), np.zeros(2))
    assert points.quantiles([0, 0.6, 0.61, 1]).tolist() == [-1.0, -1.0, 2.0, 2.0]


def test_components_without_weight_do_not_matter(spike_and_slab):
    more = NormalMixture(
        np.array([0.5, 0.5, 0.0]), np.array([0.0, 1.0, 1e9]), np.array([0.0, 1.0, 1.0])
    )
    probs = [0.01, 0.4, 0.99]
    np.testing.assert_allclose(
        more.quantiles(probs), spike_and_slab.quantiles(probs), atol=1e-10
    )
