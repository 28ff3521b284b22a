"""Effect sizes from summary statistics, against figures printed by metafor."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import gamma

from pyrobma.effects import (
    correlation_z,
    effect_sizes,
    load_dataset,
    log_odds_ratio,
    log_risk_ratio,
    mean_difference,
    risk_difference,
    smd,
)
from pyrobma.errors import DataError

PRINTED = 5.1e-5  # metafor prints four decimals
EXACT = 1e-12  # two orders of the same floating-point operations

CELLS = {"a": "tpos", "b": "tneg", "c": "cpos", "d": "cneg"}
# Length of stay of stroke patients, Normand (1999), Statistics in Medicine 18(3);
# the first three of nine studies, with the yi and vi that metafor prints for them.
STROKE = pd.DataFrame(
    {
        "m1": [55, 27, 64],
        "sd1": [47, 7, 17],
        "n1": [155, 31, 75],
        "m2": [75, 29, 119],
        "sd2": [64, 4, 29],
        "n2": [156, 32, 71],
    }
)
GROUPS = {
    "mean1": "m1",
    "sd1": "sd1",
    "n1": "n1",
    "mean2": "m2",
    "sd2": "sd2",
    "n2": "n2",
}


def test_log_risk_ratios_of_the_bcg_trials_equal_metafor():
    made = log_risk_ratio(load_dataset("bcg"), **CELLS)
    np.testing.assert_allclose(made["yi"][:2], [-0.8893, -1.5854], atol=PRINTED, rtol=0)
    np.testing.assert_allclose(made["vi"][:2], [0.3256, 0.1946], atol=PRINTED, rtol=0)


def test_log_odds_ratios_of_the_bcg_trials_equal_metafor():
    made = log_odds_ratio(load_dataset("bcg"), **CELLS)
    np.testing.assert_allclose(made["yi"][:2], [-0.9387, -1.6662], atol=PRINTED, rtol=0)
    np.testing.assert_allclose(made["vi"][:2], [0.3571, 0.2081], atol=PRINTED, rtol=0)


def test_risk_differences_have_binomial_variances():
    bcg = load_dataset("bcg")
    made = risk_difference(bcg, **CELLS)
    n1, n2 = bcg["tpos"] + bcg["tneg"], bcg["cpos"] + bcg["cneg"]
    p1, p2 = bcg["tpos"] / n1, bcg["cpos"] / n2
    np.testing.assert_allclose(made["yi"], p1 - p2, rtol=EXACT)
    expected = p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2
    np.testing.assert_allclose(made["vi"], expected, rtol=EXACT)


def test_standardised_mean_differences_of_the_stroke_trials_equal_metafor():
    made = smd(STROKE, **GROUPS)
    np.testing.assert_allclose(
        made["yi"], [-0.3552, -0.3479, -2.3176], atol=PRINTED, rtol=0
    )
    np.testing.assert_allclose(
        made["vi"], [0.0131, 0.0645, 0.0458], atol=PRINTED, rtol=0
    )


def test_hedges_correction_is_the_exact_one():
    table = {"mean1": 1.0, "sd1": 1.0, "n1": 3, "mean2": 0.0, "sd2": 1.0, "n2": 3}
    d = smd(**table, correct=False)["yi"][0]
    g = smd(**table)["yi"][0]
    assert d == 1.0
    assert g == pytest.approx(gamma(2) / (np.sqrt(2) * gamma(1.5)), rel=EXACT)


def test_mean_differences_have_separate_variances():
    made = mean_difference(STROKE, **GROUPS)
    assert made["yi"].tolist() == [-20, -2, -55]
    assert made["vi"][0] == pytest.approx(47**2 / 155 + 64**2 / 156, rel=EXACT)


def test_fishers_z_of_a_correlation():
    made = correlation_z(r=[0.187], n=[109])
    assert made["yi"][0] == pytest.approx(0.1892, abs=PRINTED)
    assert made["vi"][0] == pytest.approx(0.0094, abs=PRINTED)


def test_the_zero_cell_rule_changes_the_tables_it_names():
    table = pd.DataFrame({"a": [0, 5], "b": [10, 5], "c": [3, 4], "d": [7, 6]})
    cells = {name: name for name in "abcd"}
    raw = np.log(5 * 6 / (5 * 4))
    added = np.log(5.5 * 6.5 / (5.5 * 4.5))
    first = np.log(0.5 * 7.5 / (10.5 * 3.5))
    whole = table.iloc[1:]
    for made, expected in (
        (log_odds_ratio(table, **cells), [first, raw]),
        (log_odds_ratio(table, **cells, to="all"), [first, added]),
        (log_odds_ratio(table, **cells, to="if0all"), [first, added]),
        (log_odds_ratio(whole, **cells, to="if0all"), [raw]),
        (log_odds_ratio(whole, **cells, to="none"), [raw]),
    ):
        np.testing.assert_allclose(made["yi"], expected, rtol=EXACT)
    first = np.log((0.5 / 11) / (3.5 / 11))
    made = log_risk_ratio(table, **cells)
    assert made["yi"][0] == pytest.approx(first, rel=EXACT)
    assert made["vi"][0] == pytest.approx(1 / 0.5 + 1 / 3.5 - 2 / 11, rel=EXACT)
    made = risk_difference(table, **cells)
    assert made["yi"][0] == pytest.approx((0.5 - 3.5) / 11, rel=EXACT)


@pytest.mark.parametrize("measure", [log_odds_ratio, log_risk_ratio, risk_difference])
def test_swapping_the_groups_turns_the_sign(measure):
    one = measure(a=[4], b=[119], c=[11], d=[128])
    other = measure(c=[4], d=[119], a=[11], b=[128])
    assert one["yi"][0] == pytest.approx(-other["yi"][0], rel=EXACT)
    assert one["vi"][0] == pytest.approx(other["vi"][0], rel=EXACT)


def test_the_index_of_the_table_is_kept():
    table = STROKE.set_index(pd.Index(["a", "b", "c"]))
    assert smd(table, **GROUPS).index.tolist() == ["a", "b", "c"]


def test_tables_of_estimates_are_read_by_effect_sizes():
    made = effect_sizes(smd(STROKE, **GROUPS), d="yi", v="vi")
    assert made.measure == "fishers_z"
    bcg = load_dataset("bcg")
    made = effect_sizes(log_risk_ratio(bcg, **CELLS), y="yi", v="vi")
    assert made.measure == "none"


@pytest.mark.parametrize(
    ("measure", "change", "message"),
    [
        (log_odds_ratio, {"a": [-1]}, r"^a: .*at least 0; got -1\.0 at row 0"),
        (log_odds_ratio, {"b": [1.5]}, r"^b: expected whole numbers.*got 1\.5"),
        (log_odds_ratio, {"c": [np.nan]}, r"^c: .*got nan"),
        (log_odds_ratio, {"a": [0], "b": [0]}, r"^a, b: expected a group with members"),
        (log_odds_ratio, {"a": [0], "to": "none"}, r'^to: .*inf.*to="only0"'),
        (log_odds_ratio, {"a": [0], "add": 0.0}, r"^to: .*positive add"),
        (log_odds_ratio, {"add": -1.0}, r"^add: .*got -1\.0"),
        (log_odds_ratio, {"to": "only"}, r'^to: expected one of "only0".*got \'only\''),
        (log_odds_ratio, {"d": None}, r"^d: .*got None"),
        (log_odds_ratio, {"d": [1, 2]}, r"^d: expected 1 values.*got 2"),
        (risk_difference, {"a": [0], "c": [0], "to": "none"}, r"^to: .*vi = 0\.0"),
    ],
)
def test_impossible_tables_are_refused(measure, change, message):
    cells = {"a": [4], "b": [119], "c": [11], "d": [128]}
    with pytest.raises(DataError, match=message):
        measure(**{**cells, **change})


@pytest.mark.parametrize("measure", [smd, mean_difference])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sd1": [0.0]}, r"^sd1: expected positive finite.*got 0\.0"),
        ({"n2": [1]}, r"^n2: expected whole numbers of at least 2; got 1\.0"),
        ({"mean2": [np.nan]}, r"^mean2: expected finite.*got nan"),
    ],
)
def test_impossible_groups_are_refused(measure, change, message):
    groups = {
        "mean1": [1],
        "sd1": [1],
        "n1": [9],
        "mean2": [0],
        "sd2": [1],
        "n2": [9],
    }
    with pytest.raises(DataError, match=message):
        measure(**{**groups, **change})


@pytest.mark.parametrize(
    ("r", "n", "message"),
    [([1.0], [9], r"^r: .*got 1\.0"), ([0.1], [3], r"^n: .*at least 4; got 3\.0")],
)
def test_impossible_correlations_are_refused(r, n, message):
    with pytest.raises(DataError, match=message):
        correlation_z(r=r, n=n)
