"""The advice to turn the direction that publication bias is assumed to have."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import pyrobma as rb
from pyrobma import api
from pyrobma.models import Task

ONE_SIDED = rb.prior_weightfunction("one-sided", steps=[0.05], alpha=[1, 1])
TWO_SIDED = rb.prior_weightfunction("two-sided", steps=[0.05], alpha=[1, 1])
SPIKE = rb.prior("spike", location=0)
# Seven of eight are positive; one is far on the other side, and precise.
OUTLIER = ([0.31, 0.24, 0.42, 0.35, 0.28, 0.52, 0.18, -1.1],
           [0.08, 0.07, 0.12, 0.09, 0.10, 0.20, 0.06, 0.08])  # fmt: skip


def advice(d, se, direction="positive", bias=(ONE_SIDED,)):
    """What is warned of, or nothing; no model is fitted."""
    task = Task(rb.effect_sizes(d=d, se=se), "cohens_d", effect_direction=direction)
    space = rb.model_space(
        effect=rb.default_priors("effect"),
        heterogeneity_null=SPIKE,
        bias=bias,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        api._check_direction(task, space)
    return "".join(str(one.message) for one in caught)


def test_one_outlier_does_not_turn_the_direction_of_seven():
    assert advice(*OUTLIER) == ""


def test_many_estimates_on_the_other_side_give_advice_with_their_number():
    text = advice([-0.3, -0.2, -0.4, 0.1], [0.1] * 4)
    assert text == (
        "effect_direction: 3 of 4 estimates are negative, and so is their mean; "
        "models of publication bias assume that positive ones are favoured. Consider "
        "effect_direction='negative'."
    )
    turned = advice([0.3, 0.2, 0.4, -0.1], [0.1] * 4, "negative")
    assert "3 of 4 estimates are positive" in turned
    assert turned.endswith("effect_direction='positive'.")


def test_no_advice_if_the_direction_is_that_of_the_data():
    assert advice([-0.3, -0.2, -0.4, 0.1], [0.1] * 4, "negative") == ""
    assert advice([0.3, 0.2, 0.4, -0.1], [0.1] * 4) == ""


def test_no_advice_from_estimates_that_have_no_direction():
    y = np.array([-0.05, 0.04, -0.02, 0.03, -0.01])
    assert advice(y, [0.1] * 5) == ""


def test_no_advice_where_no_model_has_a_direction():
    d, se = [-0.3, -0.2, -0.4], [0.1] * 3
    assert advice(d, se, bias=(TWO_SIDED,)) == ""
    assert advice(d, se, bias=()) == ""
    assert advice(d, se, bias=(rb.prior_PET("normal", mean=0, sd=1),)) != ""


@pytest.mark.parametrize(("direction", "side"), [("positive", -1), ("negative", 1)])
def test_the_mean_has_to_be_a_standard_error_on_the_other_side(direction, side):
    # Estimates that agree are pooled without heterogeneity: se / 2 of four.
    se = np.full(4, 0.2)
    for z, told in ((0.98, False), (1.02, True)):
        text = advice(side * z * se / 2, se, direction)
        assert (text != "") == told
        assert advice(-side * z * se / 2, se, direction) == ""


def test_heterogeneity_counts_in_the_error_of_the_mean():
    # Without it the mean is 2.3 of its standard errors below 0, with it 0.5.
    y, se = np.array([-0.9, -0.8, 0.9]), np.full(3, 0.2)
    assert y.mean() < -2 * se[0] / np.sqrt(3)
    assert advice(y, se) == ""


def test_half_of_the_estimates_on_the_other_side_are_not_most():
    half = np.array([-0.9, -0.8, 0.1, 0.2])
    assert advice(half, [0.05, 0.05, 0.3, 0.3]) == ""
    # Those that are 0 are on neither side.
    assert "2 of 4 estimates are" in advice([-0.9, -0.8, 0.1, 0.0], [0.1] * 4)


def test_one_negative_study_is_told_of():
    assert advice([-0.5], [0.1]).startswith("effect_direction: 1 of 1 estimate is neg")


def test_the_advice_comes_before_anything_is_fitted(monkeypatch):
    monkeypatch.setattr(api, "fit_models", None)  # calling it fails
    with (
        pytest.warns(rb.DataWarning, match="effect_direction: 3 of 3"),
        pytest.raises(TypeError),
    ):
        rb.robma(d=[-0.3, -0.2, -0.4], se=[0.1] * 3, seed=1)
