"""`critical_values`: where estimates become statistically significant."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from pyrobma.effects import EffectSizes, effect_sizes, transform_effect, transform_se
from pyrobma.effects.cutoffs import critical_values
from pyrobma.errors import DataError

# Values published to eight decimals.
PUBLISHED = 5e-9
# A few roundings of conversions that go by square roots and hyperbolic functions.
ROUNDING = 1e-12
# A p-value moves by its density times the rounding of the critical value.
P_VALUE = 1e-11

MISSING = np.nan
STANDARDISED = ("fishers_z", "cohens_d", "r", "logOR")
STEPS = (0.001, 0.025, 0.05, 0.3, 0.5, 0.7, 0.95, 0.975, 0.999)


def four(transformation: str = "fishers_z", sign: float = 1.0) -> EffectSizes:
    """One estimate of each standardised measure."""
    return effect_sizes(
        d=[sign * 0.5, MISSING, MISSING, MISSING],
        r=[MISSING, sign * 0.3, MISSING, MISSING],
        logOR=[MISSING, MISSING, sign * 0.7, MISSING],
        z=[MISSING, MISSING, MISSING, sign * 0.4],
        se=[0.2, MISSING, 0.3, MISSING],
        n=[MISSING, 80, MISSING, 50],
        transformation=transformation,
    )


ANCHORS = np.array(
    [
        [0.0, 0.16275211, 0.19411994],
        [0.0, 0.18738312, 0.22355235],
        [0.0, 0.13561225, 0.16138624],
        [0.0, 0.24464829, 0.29328122],
    ]
)


def test_critical_values_are_those_of_robma():
    values = critical_values(four(), (0.025, 0.05, 0.5), 1)
    assert_allclose(values, ANCHORS, rtol=0, atol=PUBLISHED)


def test_two_sided_steps_are_one_sided_steps_of_half():
    two = critical_values(four(), (0.05, 0.1), 2)
    assert_allclose(two, ANCHORS[:, 1:], rtol=0, atol=PUBLISHED)
    assert_array_equal(two, critical_values(four(), (0.025, 0.05), 1))


@pytest.mark.parametrize("measure", STANDARDISED)
def test_an_estimate_at_its_critical_value_has_the_p_value_of_the_step(measure):
    critical = transform_effect(
        critical_values(four(measure), STEPS, 1), measure, "cohens_d"
    )
    d = critical[0]
    r = transform_effect(critical[1], "cohens_d", "r")
    log_odds = transform_effect(critical[2], "cohens_d", "logOR")
    z = transform_effect(critical[3], "cohens_d", "fishers_z")
    # The sample size of d = 0.5 with a standard error of 0.2.
    n_d = (0.5**2 + 8.0) / (2.0 * 0.2**2)
    p_values = [
        stats.t.sf(d * np.sqrt(n_d) / 2.0, n_d - 2.0),
        stats.t.sf(r * np.sqrt(78.0 / (1.0 - r**2)), 78.0),
        stats.norm.sf(log_odds / 0.3),
        stats.t.sf(z * np.sqrt(47.0), 48.0),
    ]
    assert_allclose(p_values, [STEPS[::-1]] * 4, rtol=0, atol=P_VALUE)


@pytest.mark.parametrize("measure", STANDARDISED)
def test_the_data_scale_only_converts_the_critical_values(measure):
    on_z = critical_values(four(), STEPS, 1)
    assert_allclose(
        critical_values(four(measure), STEPS, 1),
        transform_effect(on_z, "fishers_z", measure),
        rtol=ROUNDING,
        atol=ROUNDING,
    )


@pytest.mark.parametrize("measure", STANDARDISED)
def test_critical_values_rise_as_the_p_value_falls(measure):
    values = critical_values(four(measure), STEPS, 1)
    assert np.all(np.diff(values, axis=1) > 0)


@pytest.mark.parametrize("measure", STANDARDISED)
def test_critical_values_mirror_each_other_around_a_half(measure):
    values = critical_values(four(measure), (0.25, 0.5, 0.75), 1)
    assert_array_equal(values[:, 1], 0.0)
    assert_array_equal(values[:, 0], -values[:, 2])
    assert np.all(values[:, 2] > 0)


@pytest.mark.parametrize("measure", STANDARDISED)
def test_data_with_flipped_signs_have_the_same_critical_values(measure):
    assert_allclose(
        critical_values(four(measure, sign=-1.0), STEPS, 1),
        critical_values(four(measure), STEPS, 1),
        rtol=ROUNDING,
        atol=ROUNDING,
    )


def test_effects_in_units_of_their_own_are_tested_by_the_normal_distribution():
    se = np.array([0.5, 2.0, 30.0])
    effects = effect_sizes(y=[1.0, -4.0, 100.0], se=se)
    assert_allclose(
        critical_values(effects, (0.05, 0.1), 2),
        np.outer(se, stats.norm.isf([0.05, 0.025])),
        rtol=ROUNDING,
    )


def test_the_original_measure_and_not_the_data_scale_decides_the_test():
    as_d = four()
    as_z = dataclasses.replace(as_d, original=("fishers_z",) * 4)
    own = critical_values(as_d, (0.05,), 1)
    other = critical_values(as_z, (0.05,), 1)
    assert_array_equal(own[3], other[3])
    # Tests of d, r and log odds ratios differ from z/se by far more than rounding.
    assert np.all(np.abs(own[:3] - other[:3]) > 1e-4)


def test_the_order_of_the_estimates_carries_over():
    effects = four()
    order = [2, 0, 3, 1]
    shuffled = EffectSizes(
        y=effects.y[order],
        se=effects.se[order],
        measure=effects.measure,
        original=tuple(effects.original[i] for i in order),
        names=tuple(effects.names[i] for i in order),
        cluster=effects.cluster,
        cluster_labels=effects.cluster_labels,
    )
    assert_array_equal(
        critical_values(shuffled, STEPS, 1), critical_values(effects, STEPS, 1)[order]
    )


def test_odds_ratios_are_tested_as_log_odds_ratios():
    odds = effect_sizes(OR=[2.0], se=[0.3])
    log_odds = effect_sizes(logOR=[np.log(2.0)], se=[0.3])
    assert_array_equal(
        critical_values(odds, (0.025, 0.05), 1),
        critical_values(log_odds, (0.025, 0.05), 1),
    )


def test_a_critical_correlation_next_to_one_keeps_its_order_on_another_scale():
    # n is about 2.2: the correlation itself would round to 1.
    effects = effect_sizes(r=[0.2], se=[0.64], transformation="cohens_d")
    values = critical_values(effects, (1e-9, 1e-8, 0.05), 1)
    assert np.all(np.isfinite(values))
    assert np.all(np.diff(values) > 0)


@pytest.mark.parametrize("measure", ["cohens_d", "r"])
def test_an_estimate_without_degrees_of_freedom_is_refused_by_row(measure):
    letter = {"cohens_d": "d", "r": "r"}[measure]
    # n of an estimate near zero with se 2 on the scale of d is 1.
    se = transform_se(2.0, 0.1, "cohens_d", measure)
    y = transform_effect(0.1, "cohens_d", measure)
    effects = effect_sizes(
        **{letter: [y, y]},
        se=[se / 10.0, se],
        study_names=["Large", "Tiny"],
        transformation="cohens_d",
    )
    with pytest.raises(DataError, match=r'^se: .* got one .* at row 1 \("Tiny"\)\. '):
        critical_values(effects, (0.05,), 1)


@pytest.mark.parametrize(
    "steps",
    [(), (0.0, 0.5), (0.5, 1.0), (0.1, 0.05), (0.05, 0.05), (np.nan,), "x", 0.05],
)
def test_steps_that_are_not_increasing_p_values_are_refused(steps):
    with pytest.raises(DataError, match=r"^steps: expected increasing p-values"):
        critical_values(four(), steps, 1)


@pytest.mark.parametrize("sides", [0, 3, "two", None])
def test_sides_other_than_one_and_two_are_refused(sides):
    with pytest.raises(DataError, match=r"^sides: expected 1 or 2; got "):
        critical_values(four(), (0.05,), sides)


@pytest.mark.parametrize("original", ["OR", "none", "hedges"])
def test_an_original_measure_without_a_test_is_refused_by_row(original):
    effects = four()
    changed = (*effects.original[:2], original, effects.original[3])
    effects = dataclasses.replace(effects, original=changed)
    with pytest.raises(DataError, match=rf"^original: .* got '{original}' at row 2 "):
        critical_values(effects, (0.05,), 1)
