"""Sums of others, weighted quantiles and the typical variance."""

from __future__ import annotations

import numpy as np
import pytest

from pyrobma._numerics import (
    log_sums_of_others,
    sums_of_others,
    typical_variance,
    weighted_quantiles,
)

# Sums of a few doubles.
ROUNDING = 1e-14


def test_sums_of_others_keep_what_one_element_outweighs():
    np.testing.assert_allclose(
        sums_of_others(np.array([1e20, 1.0, 2.0])), [3.0, 1e20, 1e20], rtol=ROUNDING
    )
    assert sums_of_others(np.array([5.0])).tolist() == [0.0]


def test_log_sums_of_others_keep_what_one_element_outweighs():
    found = log_sums_of_others(np.array([3000.0, 0.0, np.log(2), -np.inf]))
    np.testing.assert_allclose(found, [np.log(3), 3000, 3000, 3000], rtol=ROUNDING)
    assert log_sums_of_others(np.array([5.0])).tolist() == [-np.inf]


def test_a_weighted_quantile_is_the_first_value_that_reaches_the_probability():
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([0.2, 0.3, 0.5])
    found = weighted_quantiles(values, weights, [0, 0.3, 0.31, 0.5, 0.8, 1])
    np.testing.assert_array_equal(found, [1, 1, 2, 2, 2, 3])
    rows = weighted_quantiles(np.stack([values, -values]), weights, [0.3, 0.9])
    np.testing.assert_array_equal(rows, [[1, 3], [-2, -1]])


def test_only_the_proportions_of_weights_count():
    values, weights = np.arange(7.0), np.arange(1.0, 8.0)
    probs = [0.1, 0.5, 0.9]
    np.testing.assert_array_equal(
        weighted_quantiles(values, weights, probs),
        weighted_quantiles(values, weights / 1e6, probs),
    )


def test_rounded_sums_of_equal_weights_reach_a_simple_fraction():
    # 40 of 400 weights sum to a little less than 0.1.
    values = np.arange(400.0)
    found = weighted_quantiles(values, np.full(400, 1 / 400), [0.025, 0.1, 0.5])
    np.testing.assert_array_equal(found, [9, 39, 199])


def test_the_extremes_are_those_of_values_with_weight():
    values = np.array([-9.0, 1.0, 2.0, 3.0, 9.0])
    weights = np.array([0.0, 0.5, 0.5, 1e-15, 0.0])
    np.testing.assert_array_equal(weighted_quantiles(values, weights, [0, 1]), [1, 3])


def test_the_typical_variance_does_not_depend_on_the_unit():
    v = np.array([0.1, 0.04, 0.2])
    w = 1 / v
    expected = 2 * w.sum() / (w.sum() ** 2 - (w**2).sum())
    assert typical_variance(v) == pytest.approx(expected, rel=ROUNDING)
    assert typical_variance(1e200 * v) == pytest.approx(1e200 * expected, rel=ROUNDING)
    assert np.isnan(typical_variance(v[:1]))
