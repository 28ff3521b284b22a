"""True effects on scales that do not hold all of them."""

from __future__ import annotations

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.ensemble.extended import extended_converter
from pyrobma.ensemble.scales import effect_converter
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


def test_an_exact_mapping_has_the_bound_where_the_data_have_it():
    task = _task("cohens_d", "r", effect_mapping="exact")
    theta = np.array([-1.1, 0.9, 1.1])
    assert extended_converter(task, "r")(theta).tolist() == [-1.0, 0.9, 1.0]
    found = extended_converter(task, "fishers_z")(theta)
    np.testing.assert_allclose(found, [-np.inf, np.arctanh(0.9), np.inf])


def test_inside_it_is_the_plain_conversion():
    convert = extended_converter(_task("cohens_d", "fishers_z"), "OR")
    theta = np.array([-0.5, 0.0, 0.7])
    np.testing.assert_allclose(convert(theta), np.exp(2 * theta * np.pi / np.sqrt(3)))


@pytest.mark.parametrize("beyond", [-1.0, 1.0, 1.5])
def test_a_mean_correlation_of_one_or_more_has_no_other_scale(beyond):
    convert = effect_converter(_task("r", "r"), "fishers_z")
    within = np.array([0.2, 0.99 * np.sign(beyond)])
    np.testing.assert_allclose(convert(within), np.arctanh(within))
    assert convert(np.array([])).size == 0
    with pytest.raises(rb.DataError, match=rf"between -1 and 1.*got {beyond:.3f}"):
        convert(np.array([0.2, beyond]))
    # Of d there are larger values.
    assert effect_converter(_task("cohens_d", "r"), "r")(np.array([9.0]))[0] < 1
