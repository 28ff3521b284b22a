"""Conversions against published figures and against their definitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pyrobma import effects
from pyrobma.effects import (
    MEASURES,
    d2OR,
    d2r,
    d2z,
    n_d,
    r2d,
    scale_factor,
    se_d2se_z,
    se_z,
    transform_effect,
    transform_se,
)
from pyrobma.errors import DataError

PRINTED = 6e-9  # RoBMA's figures were written down with nine digits
STEP = 1e-6  # central differences at this step are good to about 1e-10
SLOPE = 1e-8

STANDARDISED = [m for m in MEASURES if m not in ("none", "logIRR", "IRR")]

ROBMA_3_6_1 = [
    ("d2r", (0.5,), 0.24253563),
    ("d2z", (0.5,), 0.24746646),
    ("d2logOR", (0.5,), 0.90689968),
    ("d2OR", (0.5,), 2.47663227),
    ("r2d", (0.3,), 0.62897090),
    ("r2z", (0.3,), 0.30951960),
    ("z2d", (0.3,), 0.60904059),
    ("logOR2z", (0.7,), 0.19178722),
    ("z2logOR", (0.3,), 1.10467743),
    ("se_d", (0.5, 80), 0.227073777),
    ("n_d", (0.5, 0.2), 103.125),
    ("se_r", (0.3, 80), 0.099425569),
    ("n_r", (0.3, 0.1), 79.08355),
    ("se_z", (80,), 0.113960576),
    ("n_z", (0.1,), 103.0),
    ("se_d2se_z", (0.2, 0.5), 0.099937559),
    ("se_d2se_r", (0.2, 0.5), 0.091307529),
    ("se_d2se_logOR", (0.2,), 0.362759873),
    ("se_r2se_d", (0.1, 0.3), 0.230392272),
    ("se_r2se_z", (0.1, 0.3), 0.114644867),
    ("se_r2se_logOR", (0.1, 0.3), 0.417885356),
    ("se_z2se_d", (0.1, 0.3), 0.201582699),
    ("se_z2se_r", (0.1, 0.3), 0.088237340),
    ("se_z2se_logOR", (0.1, 0.3), 0.365630572),
    ("se_logOR2se_d", (0.3,), 0.165398669),
    ("se_logOR2se_z", (0.3, 0.7), 0.082778001),
    ("se_logOR2se_r", (0.3, 0.7), 0.078286330),
]


@pytest.mark.parametrize(("name", "arguments", "value"), ROBMA_3_6_1)
def test_conversions_equal_those_of_robma(name, arguments, value):
    assert getattr(effects, name)(*arguments) == pytest.approx(value, abs=PRINTED)


@pytest.mark.parametrize("d", [-1.3, 0.0, 0.5])
def test_every_conversion_is_that_of_the_definitions(d):
    # d = 2 r / sqrt(1 - r^2) = 2 sinh(z) = logOR sqrt(3) / pi.
    same = {
        "cohens_d": d,
        "r": d / np.sqrt(d**2 + 4),
        "fishers_z": np.arcsinh(d / 2),
        "logOR": d * np.pi / np.sqrt(3),
        "OR": np.exp(d * np.pi / np.sqrt(3)),
    }
    assert set(same) == set(STANDARDISED)
    for start, x in same.items():
        for end, expected in same.items():
            found = transform_effect(x, start, end)
            assert type(found) is float
            assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", [name for name, _, _ in ROBMA_3_6_1])
def test_scalars_give_floats_and_arrays_give_arrays(name):
    _, arguments, _ = next(case for case in ROBMA_3_6_1 if case[0] == name)
    function = getattr(effects, name)
    scalar = function(*arguments)
    array = function(*(np.repeat(x, 3) for x in arguments))
    assert type(scalar) is float
    assert array.shape == (3,)
    assert array.dtype == np.float64
    assert (array == scalar).all()


def test_arrays_broadcast_with_scalars_and_series_are_read():
    np.testing.assert_array_equal(
        se_d2se_z(pd.Series([0.2, 0.3], index=["a", "b"]), 0.5),
        [se_d2se_z(0.2, 0.5), se_d2se_z(0.3, 0.5)],
    )


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (d2r, (np.nan,), r"^d: .*finite.*nan at position 0"),
        (d2z, ([0.1, np.inf],), r"^d: .*inf at position 1"),
        (r2d, (1.0,), r"^r: .*between -1 and 1.*1\.0"),
        (effects.OR2d, (0.0,), r"^OR: .*positive.*0\.0"),
        (n_d, (0.1, 0.0), r"^se: .*positive finite.*0\.0"),
        (se_z, (3,), r"^n: .*above 3; got 3\.0"),
        (se_d2se_z, (3.0, 0.1), r"^se: .*sample sizes above 3.*implies 0\.445"),
        (d2r, (True,), r"^d: .*real numbers; got True"),
        (d2r, ("0.5",), r"^d: .*real numbers; got '0\.5'"),
        (d2r, ([0.1, 1j],), r"^d: .*real numbers; got 1j at row 1"),
        (n_d, ([0.1, 0.2], [0.1, 0.2, 0.3]), r"^d, se: .*shapes \(2,\) and \(3,\)"),
    ],
)
def test_values_outside_the_domain_are_refused_by_name(function, arguments, message):
    with pytest.raises(DataError, match=message):
        function(*arguments)


def test_an_odds_ratio_beyond_the_floating_point_range_is_infinite():
    assert d2OR(1000.0) == np.inf


@pytest.mark.parametrize("start", STANDARDISED)
@pytest.mark.parametrize("end", STANDARDISED)
def test_scale_factor_is_the_slope_of_the_conversion_at_no_effect(start, end):
    # An odds ratio's linear scale is its logarithm.
    low, high = ("logOR" if m == "OR" else m for m in (start, end))
    slope = (transform_effect(STEP, low, high) - transform_effect(-STEP, low, high)) / (
        2 * STEP
    )
    assert scale_factor(start, end) == pytest.approx(slope, rel=SLOPE)


def test_scale_factor_from_the_default_prior_scale_to_the_default_data_scale():
    assert scale_factor("cohens_d", "fishers_z") == 0.5
    assert scale_factor("fishers_z", "logOR") == pytest.approx(2 * np.pi / np.sqrt(3))


def test_effects_in_units_of_their_own_convert_to_nothing_else():
    assert transform_effect(7.0, "none", "none") == 7.0
    assert scale_factor("none", "none") == 1.0
    for start, end in (("none", "r"), ("r", "none")):
        with pytest.raises(DataError, match='"none" for both scales or for neither'):
            transform_effect(0.1, start, end)
        with pytest.raises(DataError, match='"none" for both scales or for neither'):
            scale_factor(start, end)


def test_an_unknown_measure_is_answered_with_the_list_and_the_closest():
    with pytest.raises(
        DataError, match=r'^to: .*"cohens_d", "fishers_z".*Did you mean "cohens_d"\?'
    ):
        scale_factor("r", "Cohens_D")


def test_the_identity_still_checks_the_domain_and_copies():
    x = np.array([0.1, 0.2])
    y = transform_effect(x, "r", "r")
    assert y is not x
    np.testing.assert_array_equal(x, y)
    with pytest.raises(DataError, match="correlations"):
        transform_effect(1.5, "r", "r")


def test_odds_ratios_have_no_standard_errors():
    with pytest.raises(DataError, match='Use "logOR"'):
        transform_se(0.1, 0.5, "logOR", "OR")


def test_help_names_the_parameters_and_their_ranges():
    text = se_d2se_z.__doc__
    assert "se_d : float or array" in text
    assert "Positive finite standard errors." in text
    assert "Raises" in text
