"""Reading effect sizes in every form, and refusing what cannot be read."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest

from pyrobma.effects import EffectSizes, d2z, effect_sizes, load_dataset, n_d
from pyrobma.errors import DataError, DataWarning

PRINTED = 6e-10  # RoBMA's figures were written down with nine decimals
EXACT = 1e-13  # two orders of the same floating-point operations

NA = np.nan
MIXED = pd.DataFrame(
    {
        "d": [0.5, NA, NA, NA],
        "r": [NA, 0.3, NA, NA],
        "logOR": [NA, NA, 0.7, NA],
        "z": [NA, NA, NA, 0.4],
        "se": [0.2, NA, 0.3, NA],
        "n": [NA, 80, NA, 50],
    }
)
MIXED_COLUMNS = {name: name for name in MIXED.columns}


def test_mixed_measures_equal_those_of_robma_on_fishers_z():
    made = effect_sizes(MIXED, **MIXED_COLUMNS)
    np.testing.assert_allclose(
        made.y, [0.247466462, 0.309519604, 0.191787219, 0.4], atol=PRINTED, rtol=0
    )
    np.testing.assert_allclose(
        made.se,
        [0.099937559, 0.113960576, 0.082778001, 0.145864991],
        atol=PRINTED,
        rtol=0,
    )
    assert made.measure == "fishers_z"
    assert made.original == ("cohens_d", "r", "logOR", "fishers_z")


@pytest.mark.parametrize("form", ["columns", "series", "arrays", "lists", "nullable"])
def test_every_container_gives_the_same_effect_sizes(form):
    expected = effect_sizes(MIXED, **MIXED_COLUMNS)
    parts = {name: MIXED[name] for name in MIXED.columns}
    if form == "columns":
        made = effect_sizes(MIXED, **{**MIXED_COLUMNS, "se": MIXED["se"].to_numpy()})
    elif form == "series":
        made = effect_sizes(**parts)
    elif form == "arrays":
        made = effect_sizes(**{k: x.to_numpy() for k, x in parts.items()})
    elif form == "lists":
        none = {k: [None if np.isnan(a) else a for a in x] for k, x in parts.items()}
        made = effect_sizes(**none)
    else:
        made = effect_sizes(MIXED.convert_dtypes(), **MIXED_COLUMNS)
    assert made == expected


@pytest.mark.parametrize(
    ("arguments", "se"),
    [
        ({"d": 0.5, "t": 2.2}, 0.115903571),
        ({"d": 0.2, "t": 1.0}, 0.101534617),
        ({"r": 0.3, "t": 2.5}, 0.126801445),
        ({"logOR": 0.7, "t": 2.0}, 0.096934789),
        ({"d": 0.5, "lCI": 0.1, "uCI": 0.9}, 0.098489177),
    ],
)
def test_t_statistics_and_intervals_equal_those_of_robma(arguments, se):
    assert effect_sizes(**arguments).se[0] == pytest.approx(se, abs=PRINTED)


@pytest.mark.parametrize(
    ("arguments", "n"),
    [
        ({"d": 0.5, "t": 2.2}, 77.44),
        ({"d": 0.5, "lCI": 0.1, "uCI": 0.9}, 106.09153),
        ({"r": 0.3, "t": 2.5}, 65.194444),
    ],
)
def test_implied_sample_sizes_equal_those_of_robma(arguments, n):
    implied = 3.0 + effect_sizes(**arguments).se[0] ** -2
    assert implied == pytest.approx(n, rel=1e-8)


def test_schools_reach_fishers_z_by_way_of_the_implied_sample_size():
    schools = load_dataset("konstantopoulos2011")
    made = effect_sizes(schools, d="yi", v="vi", study_ids="district")
    d, se = schools["yi"].to_numpy(), np.sqrt(schools["vi"].to_numpy())
    np.testing.assert_allclose(made.y, np.arcsinh(d / 2), rtol=EXACT)
    n = (d**2 + 8) / (2 * se**2)
    np.testing.assert_allclose(made.se, 1 / np.sqrt(n - 3), rtol=EXACT)
    assert (made.K, made.L, made.clustered) == (56, 11, True)


def test_precision_in_every_form_agrees_on_one_estimate():
    d, se = 0.4, 0.2
    n = n_d(d, se)
    reference = effect_sizes(d=d, se=se)
    half = 1.959963984540054 * reference.se[0]
    low, high = (2 * np.sinh(d2z(d) + side * half) for side in (-1, 1))
    for form in (
        {"v": se**2},
        {"t": d * np.sqrt(n) / 2},
        {"lCI": low, "uCI": high},
    ):
        made = effect_sizes(d=d, **form)
        assert made.se[0] == pytest.approx(reference.se[0], rel=EXACT)
    whole = effect_sizes(d=d, n=102)
    assert whole.se[0] == pytest.approx(1 / np.sqrt(99), rel=EXACT)


def test_an_odds_ratio_works_like_its_logarithm():
    log, low, high = 0.7, 0.1, 1.3
    for ratio, logged in (
        ({"se": 0.3}, {"se": 0.3}),
        ({"v": 0.09}, {"v": 0.09}),
        ({"t": 2.0}, {"t": 2.0}),
        ({"lCI": np.exp(low), "uCI": np.exp(high)}, {"lCI": low, "uCI": high}),
    ):
        made = effect_sizes(OR=np.exp(log), **ratio)
        expected = effect_sizes(logOR=log, **logged)
        np.testing.assert_allclose(made.y, expected.y, rtol=EXACT)
        np.testing.assert_allclose(made.se, expected.se, rtol=EXACT)
        assert made.original == expected.original == ("logOR",)


def test_raw_effects_stay_as_they_are():
    made = effect_sizes(y=[10.0, -4.0, 3.0], se=[2.0, 1.0, NA], t=[NA, NA, 1.5])
    np.testing.assert_array_equal(made.y, [10.0, -4.0, 3.0])
    np.testing.assert_array_equal(made.se, [2.0, 1.0, 2.0])
    assert made.measure == "none"
    assert made.original == ("none",) * 3


@pytest.mark.parametrize("target", ["cohens_d", "fishers_z", "r", "logOR"])
def test_transformation_is_the_data_scale(target):
    made = effect_sizes(MIXED, **MIXED_COLUMNS, transformation=target)
    expected = effect_sizes(MIXED, **MIXED_COLUMNS).convert(target)
    assert made.measure == target
    np.testing.assert_allclose(made.y, expected.y, rtol=1e-12)
    np.testing.assert_allclose(made.se, expected.se, rtol=1e-12)


def test_a_measure_on_its_own_scale_is_not_touched():
    made = effect_sizes(d=[0.3, 5.0], se=[0.1, 4.0], transformation="cohens_d")
    np.testing.assert_array_equal(made.y, [0.3, 5.0])
    np.testing.assert_array_equal(made.se, [0.1, 4.0])


def test_effect_sizes_made_before_pass_through():
    made = effect_sizes(d=0.5, se=0.2)
    assert effect_sizes(made) is made
    assert effect_sizes(made, transformation="r") == made.convert("r")
    with pytest.raises(DataError, match="already"):
        effect_sizes(made, d="d")


def test_a_single_study_works_and_has_a_cluster_of_its_own():
    made = effect_sizes(d=[0.5], se=[0.2], study_ids=["A"])
    assert (made.K, made.L, made.clustered) == (1, 1, False)
    assert made.cluster_labels == ("A",)


def test_names_are_given_counted_or_filled_in():
    assert effect_sizes(d=[0.1, 0.2], n=[50, 60]).names == ("Study 1", "Study 2")
    given = effect_sizes(d=[0.1] * 3, n=[50] * 3, study_names=["A", None, 7])
    assert given.names == ("A", "Study 2", "7")


def test_duplicate_index_labels_are_legal():
    frame = pd.DataFrame({"d": [0.1, 0.2], "n": [50, 60]}, index=["x", "x"])
    assert effect_sizes(frame, d="d", n="n").K == 2


def test_all_estimates_in_one_cluster_warn_of_confounding():
    with pytest.warns(DataWarning, match=r'all 3 estimates in "A".*cannot be told'):
        made = effect_sizes(d=[0.1, 0.2, 0.3], n=[50] * 3, study_ids=["A"] * 3)
    assert (made.L, made.clustered) == (1, True)


TWO = {"d": [0.1, 0.2], "se": [0.2, 0.2]}
REFUSED = [
    ({**TWO, "se": [0.2, 0.0]}, "se: expected positive finite", "got 0.0 at row 1"),
    ({**TWO, "se": [-1.0, 0.2]}, "se: expected positive finite", "got -1.0 at row 0"),
    ({**TWO, "se": [0.2, NA]}, "se: expected a value in every row", "or give n there"),
    ({**TWO, "se": [0.2, np.inf]}, "se: expected positive finite", "got inf at row 1"),
    ({"d": [0.1], "v": [0.0]}, "v: expected positive finite", "got 0.0 at row 0"),
    ({"d": [0.1], "v": [-0.1]}, "v: expected positive finite", "got -0.1 at row 0"),
    (
        {**TWO, "se": None, "v": [0.1, NA]},
        "v: expected a value in every row",
        "in v (1",
    ),
    ({"d": [0.1], "v": [np.inf]}, "v: expected positive finite", "got inf at row 0"),
    ({**TWO, "d": [0.1, NA]}, "d: expected a value in", 'in d (1): row 1 ("Study 2")'),
    ({**TWO, "d": [np.inf, 0]}, "d: expected finite", "got inf at row 0"),
    ({"r": [0.1, 1.0], "n": [50, 50]}, "r: expected correlations", "got 1.0 at row 1"),
    ({"OR": [0.0], "se": [0.2]}, "OR: expected positive", "got 0.0 at row 0"),
    ({"OR": [-2.0], "se": [0.2]}, "OR: expected positive", "got -2.0 at row 0"),
    ({**TWO, "se": [0.2]}, "se: expected 2 values", "got 1."),
    ({"d": [], "se": []}, "d: expected at least one estimate", "got 0 rows"),
    ({"d": [0.1], "n": [0]}, "n: expected positive", "got 0.0 at row 0"),
    ({"d": [0.1], "n": [50.5]}, "n: expected whole", "got 50.5 at row 0"),
    ({"d": [0.1], "n": [3]}, "n: expected a sample size above 3", "got 3.0 with d"),
    ({"z": [0.1], "n": [3]}, "n: expected sample sizes above 3", "got 3.0 at row 0"),
    ({"r": [0.1], "n": [2]}, "n: expected a sample size above 3", "got 2.0 with r"),
    ({"d": [0.1], "se": [3.0]}, "se: expected a standard error", "size of 0.445"),
    ({"d": [0.1], "v": [9.0]}, "v: expected a variance that", "size of 0.445"),
    ({"r": [0.1], "se": [0.9]}, "se: expected a standard error", "with r = 0.1"),
    ({"logOR": [0.1], "se": [9.0]}, "se: expected a standard error", "with logOR"),
    ({"y": [1.0], "n": [50]}, "n: expected another measure", "precision with y"),
    ({"logOR": [1.0], "n": [50]}, "n: expected another measure", "with logOR"),
    ({"OR": [1.5], "n": [50]}, "n: expected another measure", "with OR"),
    ({"d": [0.1], "se": [0.2], "v": [0.04]}, "se, v: expected one", "se and v at row"),
    ({**TWO, "se": [0.2, NA], "n": [NA, NA]}, "se, n: expected a value", "1 of 2 rows"),
    ({"d": [0.1], "r": [0.1], "n": [50]}, "d, r: expected one", "d and r at row 0"),
    ({"d": [NA], "r": [NA], "n": [50]}, "d, r: expected a value", "1 of 1 rows"),
    ({"d": [0.5], "lCI": [0.1]}, "uCI: expected both bounds", "lCI alone"),
    ({"d": [0.5], "uCI": [0.9]}, "lCI: expected both bounds", "uCI alone"),
    ({"d": [0.5], "lCI": [0.9], "uCI": [0.1]}, "lCI, uCI: expected a lower", "0.9 to"),
    ({"d": [0.5], "lCI": [0.6], "uCI": [0.9]}, "lCI, uCI: expected an int", "d = 0.5"),
    ({"r": [0.5], "lCI": [0.1], "uCI": [1.0]}, "uCI: expected bounds for r", "1.0"),
    ({"OR": [2.0], "lCI": [0.0], "uCI": [3.0]}, "lCI: expected bounds for OR", "0.0"),
    (
        {"d": [0.5], "se": [NA], "lCI": [0.1], "uCI": [NA]},
        "se, lCI and uCI: expected a value in every row",
        "row 0",
    ),
    ({"d": [0.5], "t": [-2.0]}, "t: expected t with the sign", "t = -2.0"),
    ({"d": [0.0], "t": [1.0]}, "t: expected t and effect other than 0", "effect 0.0"),
    ({"y": [1.0], "t": [0.0]}, "t: expected t and effect other than 0", "t = 0.0"),
    ({"y": [1.0], "d": [0.1], "se": [1.0]}, "y: expected effects in units", "y and d"),
    ({"d": [True, False], "n": [50, 60]}, "d: expected real numbers", "True at row 0"),
    ({**TWO, "d": np.array([True, False])}, "d: expected real numbers", "True at row"),
    ({**TWO, "d": ["0.1", "0.2"]}, "d: expected real numbers", "'0.1' at row 0"),
    ({**TWO, "d": ["0.1", "0.2x"]}, "d: expected real numbers", "'0.2x' at row 1"),
    (
        {**TWO, "d": ["0.1", "−0.2"]},
        "d: expected real numbers",
        "str.replace('−', '-')",
    ),
    ({**TWO, "d": ["0,1", "0.2"]}, "d: expected real numbers", "decimal=','"),
    ({**TWO, "d": [0.1, 1j]}, "d: expected real numbers", "1j at row 1"),
    ({**TWO, "d": np.array([0.1j, 1])}, "d: expected real numbers", "0.1j at row 0"),
    ({**TWO, "d": pd.Series(["a", "b"])}, "d: expected real numbers", "'a' at row 0"),
    ({**TWO, "d": np.zeros((2, 2))}, "d: expected one value", "shape (2, 2)"),
    ({"d": [1e200], "se": [0.1]}, "d: expected an estimate", "1e+200 at row 0"),
    ({"d": "yi", "se": [0.1]}, "d: expected numbers, since no data", '"yi"'),
    ({"se": [0.1]}, "d: expected an effect", "got none"),
    ({"d": [0.1]}, "se: expected a measure of precision", "got none"),
    ({"d": [0.1], "se": [0.2], "transformation": "none"}, "transformation: ", '"none"'),
    ({"y": [0.1], "se": [0.2], "transformation": "r"}, "transformation: ", 'got "r"'),
    ({**TWO, "transformation": "OR"}, "transformation: expected one of", 'Use "logOR"'),
    ({**TWO, "transformation": "Cohens_d"}, "transformation: ", '"cohens_d"?'),
    ({"data": [1, 2], **TWO}, "data: expected a table of pandas, polars", "got list"),
    (
        {"data": "x.csv", **TWO},
        "data: expected a table of pandas, polars",
        "with pandas.read_c",
    ),
]


@pytest.mark.parametrize(("arguments", "start", "part"), REFUSED)
def test_bad_input_is_refused_with_argument_value_and_row(arguments, start, part):
    arguments = dict(arguments)
    with pytest.raises(DataError) as caught:
        effect_sizes(arguments.pop("data", None), **arguments)
    message = str(caught.value)
    assert message.startswith(start)
    assert part in message
    # A remedy, in a sentence of its own, closes each message.
    assert re.search(r"[.?] \"?[A-Z][^.]+", message)
    assert message[-1] in ".?"


FRAME = pd.DataFrame(
    {"d": [0.1, 0.2, 0.3], "se": [0.2, 0.0, -1.0], "who": ["A", "B", "C"]},
    index=["x", "y", "z"],
)


def test_a_bad_row_is_named_by_position_index_label_and_study():
    with pytest.raises(
        DataError, match=r"""got 0\.0 at row 1 \(index 'y', "B"\) and 1 more\. Drop"""
    ):
        effect_sizes(FRAME, d="d", se="se", study_names="who")


def test_an_unknown_column_is_answered_with_the_closest_and_all():
    with pytest.raises(
        DataError, match=r'^se: .*got "SE"\. Did you mean "se"\? .* d, se, who\.$'
    ):
        effect_sizes(FRAME, d="d", se="SE")


def test_columns_called_like_arguments_are_suggested_when_none_is_named():
    with pytest.raises(DataError, match=r'Did you mean d="d", se="se"\?$'):
        effect_sizes(FRAME)


def test_a_column_name_that_two_columns_have_is_refused():
    twice = FRAME[["d", "d", "se"]]
    with pytest.raises(DataError, match=r'^d: .*"d", which 2 columns'):
        effect_sizes(twice, d="d", se="se")


def test_a_table_without_rows_is_refused():
    with pytest.raises(DataError, match=r"^data: expected at least one estimate"):
        effect_sizes(FRAME.iloc[:0], d="d", se="se")


def test_an_array_beside_a_table_must_have_its_length():
    with pytest.raises(DataError, match=r"^se: expected 3 values, as many as data has"):
        effect_sizes(FRAME, d="d", se=[0.1, 0.2])


def test_series_in_different_orders_are_refused():
    d = pd.Series([0.1, 0.2], index=["a", "b"])
    n = pd.Series([50, 60], index=["b", "a"])
    with pytest.raises(DataError, match=r"^n: expected rows in the order of d"):
        effect_sizes(d=d, n=n)


def test_series_from_different_tables_are_matched_by_position():
    d = pd.Series([0.1, 0.2], index=[10, 11])
    n = pd.Series([50, 60], index=[0, 1])
    assert effect_sizes(d=d, n=n) == effect_sizes(d=[0.1, 0.2], n=[50, 60])


def test_missing_effects_of_a_bundled_table_are_counted():
    table = load_dataset("kroupova2021")
    missing = table["r"].isna()
    first, count = int(np.argmax(missing)), int(missing.sum())
    with pytest.raises(
        DataError, match=rf"^r, se: .*; {count} of 881 rows .*: row {first} "
    ):
        effect_sizes(table, r="r", se="se")
    complete = table.dropna(subset=["r", "se"])
    assert effect_sizes(complete, r="r", se="se", study_ids="study").clustered


def test_ten_thousand_rows_are_read_without_a_warning():
    rng = np.random.default_rng(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = effect_sizes(
            d=rng.normal(size=10_000),
            n=rng.integers(20, 500, size=10_000),
            study_ids=rng.integers(0, 2_000, size=10_000),
        )
    assert isinstance(made, EffectSizes)
    assert made.K == 10_000
