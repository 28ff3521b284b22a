"""Modes of a density, found from many points at once."""

from __future__ import annotations

import numpy as np
import pytest

from pyrobma.bridge.modes import find_modes

RTOL = 1e-3
"""Of derivatives by differences over a twentieth of a width."""


def normal(mean, covariance):
    precision = np.linalg.inv(covariance)
    constant = -0.5 * np.linalg.slogdet(2 * np.pi * np.asarray(covariance))[1]

    def value(points):
        z = points - mean
        return constant - 0.5 * np.einsum("ni,ij,nj->n", z, precision, z)

    return value


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_a_normal_density_has_its_mean_and_covariance_in_any_unit(unit):
    covariance = np.array([[4.0, 1.2], [1.2, 0.5]]) * unit**2
    starts = np.array([[0.0, 0.0], [10.0, -3.0]]) * unit
    (mode,) = find_modes(normal(np.array([3.0, -1.0]) * unit, covariance), starts)
    np.testing.assert_allclose(mode.point, [3 * unit, -unit], atol=1e-3 * unit)
    np.testing.assert_allclose(mode.factor @ mode.factor.T, covariance, rtol=RTOL)
    assert mode.log_mass == pytest.approx(0.0, abs=1e-3)


def test_every_mode_near_a_start_is_found():
    left = normal([-5.0, 0.0], 0.01 * np.eye(2))
    right = normal([5.0, 1.0], np.eye(2))
    modes = find_modes(
        lambda p: np.logaddexp(left(p) + np.log(0.3), right(p) + np.log(0.7)),
        np.array([[-5.2, 0.1], [6.0, 0.0], [0.0, 0.5]]),
    )
    found = sorted(float(np.round(m.point[0], 2)) for m in modes)
    assert found == [-5.0, 5.0]
    assert np.exp(modes[0].log_mass) == pytest.approx(0.3, rel=RTOL)


def test_two_scales_in_one_density_are_no_obstacle():
    (mode,) = find_modes(
        normal([0.2, 1.0], np.diag([1e-12, 1.0])), np.array([[0.0, -4.0]])
    )
    np.testing.assert_allclose(mode.point, [0.2, 1.0], atol=1e-3)
    np.testing.assert_allclose(np.diag(mode.factor @ mode.factor.T), [1e-12, 1.0], 0.01)


def test_zero_density_at_a_start_is_left_out_and_everywhere_finds_nothing():
    def half(points):
        return np.where(points[:, 0] > 0, -points[:, 0] - 1 / points[:, 0], -np.inf)

    (mode,) = find_modes(half, np.array([[-1.0], [3.0]]))
    assert mode.point[0] == pytest.approx(1.0, abs=1e-3)
    assert find_modes(half, np.array([[-1.0]])) == ()
