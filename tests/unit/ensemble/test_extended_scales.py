"""True effects on scales that do not hold all of them."""

from __future__ import annotations

import numpy as np

import pyrobma as rb
from pyrobma.ensemble.extended import extended_converter
from pyrobma.models import Task


def _task(prior_scale, measure, **options):
    effects = rb.effect_sizes(d=[0.1, 0.3], se=[0.1, 0.2], transformation=measure)
    return Task(effects, prior_scale, **options)


def test_correlations_beyond_one_are_its_ends_on_their_own_scale():
    convert = extended_converter(_task("r", "r"), None)
    assert convert(np.array([-2.0, 0.3, 1.5])).tolist() == [-1.0, 0.3, 1.0]


def test_a_linear_mapping_moves_the_bound_of_a_correlation():
    # r is d / 2 under the linear mapping: d of 1.9 is .95, d of 2.1 beyond 1.
    convert = extended_converter(_task("r", "cohens_d"), "fishers_z")
    assert np.isclose(convert(np.array([1.9]))[0], np.arctanh(0.95))
    assert convert(np.array([-2.1, 2.1])).tolist() == [-np.inf, np.inf]


def test_inside_it_is_the_plain_conversion():
    convert = extended_converter(_task("cohens_d", "fishers_z"), "OR")
    theta = np.array([-0.5, 0.0, 0.7])
    np.testing.assert_allclose(convert(theta), np.exp(2 * theta * np.pi / np.sqrt(3)))
