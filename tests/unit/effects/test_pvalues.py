"""Standard errors from p-values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pyrobma.effects import effect_sizes, n_d, n_r, se_from_p
from pyrobma.effects.cutoffs import critical_values
from pyrobma.effects.pvalues import upper_t
from pyrobma.errors import DataError

EXACT = 1e-12  # two orders of the same floating-point operations
ROOT = 1e-8  # a sample size found by root finding, through two conversions


def test_a_published_example_is_met_up_to_its_approximation():
    # Altman, Bland (2011): a difference of 17 with p = 0.032 has se 7.940, by their
    # approximation of the normal quantile, which is good to 0.5 %.
    assert se_from_p(17, 0.032) == pytest.approx(7.940, rel=5e-3)


def test_the_standard_error_of_a_test_comes_back():
    se = np.array([0.1, 0.4, 2.0])
    effect = np.array([0.3, -0.2, 5.0])
    z = np.abs(effect) / se
    back = se_from_p(effect, 2 * stats.norm.sf(z))
    np.testing.assert_allclose(back, se, rtol=EXACT)
    back = se_from_p(effect, 2 * stats.t.sf(z, 7), df=7)
    np.testing.assert_allclose(back, se, rtol=EXACT)
    assert isinstance(se_from_p(0.3, 0.2, 9), float)


def test_quantiles_far_out_and_without_limit_are_those_of_scipy():
    p = np.array([1e-300, 1e-12, 0.025, 0.5, 0.8])
    for df in (1.0, 30.0):
        expected = stats.t.isf(p, df)
        np.testing.assert_allclose(upper_t(p, np.array(df)), expected, rtol=1e-9)
    expected = stats.norm.isf(p)
    np.testing.assert_allclose(upper_t(p, np.array(np.inf)), expected, rtol=EXACT)


def test_p_beside_d_is_that_of_a_t_test_of_two_groups():
    d, n = 0.45, 64
    p = 2 * stats.t.sf(d * np.sqrt(n) / 2, n - 2)
    made = effect_sizes(d=d, p=p, transformation="cohens_d")
    assert n_d(d, made.se[0]) == pytest.approx(n, rel=ROOT)
    assert effect_sizes(d=-d, p=p).se[0] == effect_sizes(d=d, p=p).se[0]


def test_p_beside_r_is_that_of_the_correlation():
    r, n = 0.3, 40
    p = 2 * stats.t.sf(r * np.sqrt((n - 2) / (1 - r**2)), n - 2)
    made = effect_sizes(r=r, p=p, transformation="r")
    assert n_r(r, made.se[0]) == pytest.approx(n, rel=ROOT)


@pytest.mark.parametrize("p", [1e-12, 0.01, 0.05, 0.6])
@pytest.mark.parametrize(
    "effect", [{"d": 0.5}, {"r": 0.3}, {"z": 0.4}, {"logOR": 0.7}, {"OR": 2.0}]
)
def test_models_of_selection_see_the_p_value_that_was_given(effect, p):
    made = effect_sizes(**effect, p=p)
    assert critical_values(made, [p], 2)[0, 0] == pytest.approx(made.y[0], rel=1e-7)


def test_an_odds_ratio_is_tested_on_the_log_scale():
    made = effect_sizes(OR=0.4, p=0.03, transformation="logOR")
    expected = abs(np.log(0.4)) / stats.norm.isf(0.015)
    assert made.se[0] == pytest.approx(expected, rel=EXACT)
    assert made == effect_sizes(logOR=np.log(0.4), p=0.03, transformation="logOR")


def test_n_beside_p_of_raw_effects_makes_it_that_of_a_t_test():
    made = effect_sizes(
        y=[3.0, 3.0, 3.0], p=[0.04, 0.04, np.nan], n=[20, np.nan, np.nan],
        se=[np.nan, np.nan, 1.0],
    )  # fmt: skip
    expected = [3 / stats.t.isf(0.02, 18), 3 / stats.norm.isf(0.02), 1.0]
    np.testing.assert_allclose(made.se, expected, rtol=EXACT)


def test_a_bound_in_place_of_a_p_value_is_conservative():
    assert se_from_p(0.5, 0.001) > se_from_p(0.5, 0.0004)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d": [0.1, 0.2], "p": [0.5, "<.001"]}, r"'<\.001' at row 1.*0\.001 for p <"),
        ({"d": [0.1], "p": ["p < 0.05"]}, r"^p: .*Give the bound itself"),
        ({"d": [0.1], "p": ["≤ .05"]}, r"^p: .*Give the bound itself"),
        ({"d": [0.1], "p": ["> .05"]}, r"^p: .*find the exact p-value"),
        ({"d": [0.1], "p": ["n.s."]}, r"^p: .*'n\.s\.' at row 0.*find the exact"),
        ({"d": [0.1], "p": ["ns"]}, r"^p: .*find the exact"),
        ({"d": [0.1], "p": ["0.05"]}, r"^p: expected real numbers.*pandas"),
        ({"d": [0.1], "p": [0]}, r"^p: .*above 0; got 0\.0 at row 0.*0\.0005 for p = "),
        ({"d": [0.1], "p": [1]}, r"^p: .*between 0 and 1.*got 1\.0 at row 0"),
        ({"d": [0.1], "p": [5]}, r"^p: .*got 5\.0 at row 0"),
        (
            {"p": [0.1], "n": [50]},
            r"^d: expected an effect.*Of t or p alone, smd, smd_p",
        ),
        ({"d": [0], "p": [0.5]}, r"^p: expected an effect other than 0.*Give se"),
        ({"d": [5], "p": [0.9]}, r"^p: .*sample size above 3.*0\.9 with d = 5"),
        ({"d": [0.1], "p": [0.2], "n": [50]}, r"^n, p: expected one measure of prec"),
        ({"d": [0.1], "p": [0.2], "se": [1]}, r"^se, p: .*got se and p at row 0"),
        ({"y": [0.1], "p": [0.2], "n": [3]}, r"^n: .*above 3 beside p; got 3\.0"),
    ],
)
def test_p_values_that_say_nothing_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        effect_sizes(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0.2), r"^effect: expected effects other than 0"),
        ((np.nan, 0.2), r"^effect: expected finite"),
        ((1, 0), r"^p: expected p-values between 0 and 1"),
        ((1, 0.2, 0), r"^df: expected positive finite degrees"),
        (([1, 2], [0.1, 0.2, 0.3]), r"^effect, p: .*shapes \(2,\) and \(3,\)"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        se_from_p(*arguments)
