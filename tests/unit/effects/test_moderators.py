"""Moderators: columns of a table in every form, coded, or refused with a reason."""

from __future__ import annotations

import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from pyrobma import DataError, DataWarning
from pyrobma.effects import read_moderators

ROUNDING = 1e-12  # of a mean and an sd of a dozen numbers
EPS = np.finfo(float).eps

K = 12
RNG = np.random.default_rng(20)
X = RNG.normal(size=K)
TABLE = pd.DataFrame(
    {
        "x": X,
        "z": RNG.normal(size=K) + X,
        "year": [1999, 2001, 2001, 2004] * 3,
        "g": ["mid", "low", "top"] * 4,
        "h": [True, False, False] * 2 + [False, True, True] * 2,
    },
    index=[f"r{i}" for i in range(K)],
)
CLUSTER = np.repeat([0, 1, 2, 3], [5, 4, 2, 1])


def columns(mods, data=TABLE, **options):
    return read_moderators(mods, data, **options)[0].columns


def levels(column, mods="v"):
    (coding,) = read_moderators(mods, pd.DataFrame({"v": column}))[0].codings
    return coding.levels


def scaled(x):
    return (x - x.mean()) / x.std(ddof=1)


# ---- numbers ---------------------------------------------------------------
def test_numbers_are_centred_and_divided_by_their_standard_deviation():
    (coding,) = read_moderators("x", TABLE)[0].codings
    assert coding.centre[0] == pytest.approx(X.mean(), rel=ROUNDING)
    assert coding.sd[0] == pytest.approx(X.std(ddof=1), rel=ROUNDING)
    np.testing.assert_allclose(columns("x")[:, 0], scaled(X), rtol=ROUNDING)


def test_numbers_stay_as_they_are_without_standardizing():
    np.testing.assert_array_equal(columns("x + z", standardize=False)[:, 0], X)
    product = columns("x * z", standardize=False)[:, 2]
    np.testing.assert_array_equal(product, X * TABLE["z"].to_numpy())


def test_the_centre_can_be_named():
    year = TABLE["year"].to_numpy()
    made = columns("year + x", center={"year": 2000})
    expected = (year - 2000) / year.std(ddof=1)
    np.testing.assert_allclose(made[:, 0], expected, rtol=ROUNDING)
    np.testing.assert_allclose(made[:, 1], scaled(X), rtol=ROUNDING)
    made = columns("year", center={"year": 2000}, standardize=False)
    np.testing.assert_array_equal(made[:, 0], year - 2000)


def test_centring_by_clusters_gives_each_cluster_one_vote():
    means = pd.Series(X).groupby(CLUSTER).mean()
    made = columns("x", center="clusters", cluster=CLUSTER)
    expected = (X - means.mean()) / means.std(ddof=1)
    np.testing.assert_allclose(made[:, 0], expected, rtol=ROUNDING)


def test_a_cluster_whose_rows_are_dropped_has_no_vote():
    lacking = TABLE.assign(x=np.where(CLUSTER == 1, np.nan, X))
    keep = CLUSTER != 1
    with pytest.warns(DataWarning, match="4 of 12 rows are dropped"):
        made = columns("x", lacking, center="clusters", cluster=CLUSTER, missing="drop")
    alone = columns("x", TABLE[keep], center="clusters", cluster=CLUSTER[keep] * 7)
    np.testing.assert_array_equal(made, alone)


@pytest.mark.parametrize(
    ("offset", "factor"),
    [(0, 1e-8), (0, 1e8), (1e8, 1), (1e12, 1), (2000.1, 1e-9), (0, 1e300), (0, 1e-300)],
)
def test_offset_and_unit_of_a_number_change_nothing(offset, factor):
    made = columns("v", pd.DataFrame({"v": offset + factor * X}))
    lost = EPS * offset / factor  # digits of x that the offset takes
    np.testing.assert_allclose(made[:, 0], scaled(X), atol=10 * lost + ROUNDING)


@pytest.mark.parametrize(
    "values",
    [[5] * 8, [0.0] * 8, [0.1] * 7 + [0.1 + 2e-17], [2000.0] * 7 + [2000 + 3e-13], [3]],
)
def test_a_number_that_does_not_vary_is_refused(values):
    table = pd.DataFrame({"v": values})
    with pytest.raises(DataError, match="expected a moderator that varies; got v, whi"):
        read_moderators("v", table)


def test_every_kind_of_number_is_a_number():
    whole = [3, 1, 4, 1, 5, 9, 2, 6]
    kinds = [
        np.array(whole, dtype="float16"),
        np.array(whole, dtype="uint64"),
        pd.array(whole, dtype="Int64"),
        pd.array(whole, dtype="Float64"),
        pd.arrays.SparseArray(whole),
        np.array(whole, dtype=object),
        np.array([np.int32(i) for i in whole], dtype=object),
        np.array([np.float32(i) for i in whole], dtype=object),
        np.array([Decimal(i) for i in whole], dtype=object),
        np.array([3, 1.0, *map(Decimal, whole[2:])], dtype=object),
    ]
    for values in kinds:
        made = columns("v", pd.DataFrame({"v": values}))
        np.testing.assert_allclose(made[:, 0], scaled(np.array(whole)), rtol=ROUNDING)


# ---- factors ---------------------------------------------------------------
def test_order_of_levels():
    assert levels(["b", "a", "C", "b", "a", "C"]) == ("C", "a", "b")
    assert levels([True, False] * 3) == ("False", "True")
    assert levels([10, 9, 2] * 2, "C(v)") == ("2", "9", "10")
    assert levels([2001.0, 1999.0] * 2, "C(v)") == ("1999", "2001")
    assert levels([0.5, 1.0, -1.0] * 2, "C(v)") == ("-1", "0.5", "1")
    own = pd.Categorical(["low", "top", "mid"] * 2, ["low", "mid", "top", "never"])
    assert levels(own) == ("low", "mid", "top")
    assert levels(own, "C(v)") == ("low", "mid", "top")
    # A mapping keeps the order of categories too.
    (coding,) = read_moderators({"v": own})[0].codings
    assert coding.levels == ("low", "mid", "top")
    # Numbers that are categories keep theirs, not that of their texts.
    assert levels(pd.Categorical([2.0, 10.0] * 2)) == ("2", "10")
    assert levels(pd.Categorical([1, "1", "a"] * 2)) == ("1", "a")


def test_every_kind_of_text_and_truth_value_is_a_factor():
    texts = ["b", "a", "b", "a", "c", "c"]
    for values in (
        np.array(texts),
        np.array(texts, dtype=object),
        pd.array(texts, dtype="string"),
        pd.Categorical(texts),
    ):
        assert levels(values) == ("a", "b", "c")
    truth = [True, False, False, True]
    for values in (truth, pd.array(truth, dtype="boolean"), np.array(truth, object)):
        assert levels(values) == ("False", "True")
    assert levels(np.array([1, "a", 2.0] * 2, dtype=object)) == ("1", "2", "a")


@pytest.mark.parametrize("contrasts", ["meandif", "orthonormal"])
def test_names_of_levels_and_their_order_only_rotate_columns(contrasts):
    other = TABLE.assign(g=TABLE["g"].map({"mid": "c", "low": "b", "top": "a"}))
    before, after = (columns("g", t, contrasts=contrasts) for t in (TABLE, other))
    assert not np.allclose(before, after)
    # What a spherical prior implies for the rows.
    np.testing.assert_allclose(before @ before.T, after @ after.T, atol=ROUNDING)


def test_labels_say_what_a_column_is():
    made, _ = read_moderators("g * x + h", TABLE)
    assert made.names == ("g", "x", "h", "g:x")
    assert made.labels == ("g[1]", "g[2]", "x", "h[1]", "g:x[1]", "g:x[2]")
    assert [term.factor for term in made.terms] == [True, False, True, True]
    made, _ = read_moderators("g", TABLE, contrasts="treatment")
    assert made.labels == ("g[dif: mid]", "g[dif: top]")


def test_terms_are_found_with_their_variables_in_any_order():
    made, _ = read_moderators("g * x * z", TABLE)
    assert made.term("x:g").name == "g:x"
    assert set(made.parents(made.term("z:g:x"))) == {"g", "x", "z", "g:x", "g:z", "x:z"}
    assert made.parents(made.term("g")) == ()
    with pytest.raises(
        DataError, match=r"term: expected one of g, x, .*'xx'.*mean 'x'"
    ):
        made.term("xx")
    with pytest.raises(DataError, match="variable: expected one of g, x, z; got 'g:x'"):
        made.coding("g:x")


def test_two_hundred_levels_are_read():
    many = pd.DataFrame(
        {"v": np.repeat(np.arange(200), 2).astype(str), "x": [0, 1] * 200}
    )
    many["v"] = "level " + many["v"]
    made, _ = read_moderators("v", many)
    assert made.columns.shape == (400, 199)
    np.testing.assert_array_equal(made.design(many), made.columns)


# ---- forms -----------------------------------------------------------------
def test_every_form_of_the_same_columns_gives_the_same_moderators():
    expected = columns("x + g")
    own = TABLE[["x", "g"]]
    forms = [
        (["x", "g"], TABLE),
        (("x", "g"), TABLE),
        (np.array(["x", "g"]), TABLE),
        (pd.Index(["x", "g"]), TABLE),
        (own, None),
        (own.reset_index(drop=True), TABLE),
        ({"x": X, "g": list(TABLE["g"])}, None),
        ({"x": TABLE["x"], "g": own["g"].reset_index(drop=True)}, None),
        ("~ x + g", TABLE),
    ]
    for mods, data in forms:
        made, keep = read_moderators(mods, data, K=K)
        assert keep.all()
        np.testing.assert_array_equal(made.columns, expected)
    np.testing.assert_array_equal(columns(TABLE["x"], None), columns("x"))


def test_moderators_that_are_made_come_back():
    made, _ = read_moderators("x", TABLE)
    again, keep = read_moderators(made, K=K)
    assert again is made
    assert keep.tolist() == [True] * K
    with pytest.raises(DataError, match=r"mods: expected 13 rows.*got 12"):
        read_moderators(made, K=K + 1)


def test_names_that_are_no_python_names():
    odd = pd.DataFrame({"a b": X, 5: X**2, "x:y": X**3, "a+b": X**4, "class": X**5})
    made, _ = read_moderators(odd)
    assert made.names == ("a b", "5", "x:y", "a+b", "class")
    np.testing.assert_array_equal(made.design(odd), made.columns)
    np.testing.assert_array_equal(columns("`5` + `a b`", odd), made.columns[:, [1, 0]])


def test_moderators_may_be_called_like_arguments_and_functions():
    table = pd.DataFrame(
        {name: X**i for i, name in enumerate(["d", "se", "log", "C"], 1)}
    )
    made = columns("log + log(C) + C", table.assign(C=np.exp(X)))
    np.testing.assert_allclose(made[:, 1], scaled(X), rtol=1e3 * ROUNDING)
    assert columns("d + se", table).shape == (K, 2)


# ---- missing values --------------------------------------------------------
GAPS = TABLE.assign(
    x=TABLE["x"].where(~TABLE.index.isin(["r2", "r7"])),
    g=TABLE["g"].where(TABLE.index != "r3"),
)
NAMES = tuple(f"Study {i + 1}" for i in range(K))


def test_missing_values_are_refused_with_columns_and_rows():
    with pytest.raises(DataError) as caught:
        read_moderators("x + g + z", GAPS, names=NAMES)
    assert str(caught.value) == (
        "mods: expected a value in every row; 3 of 12 rows lack one, in x (2) and g "
        "(1): row 2 (index 'r2', \"Study 3\"), row 3 (index 'r3', \"Study 4\") and row "
        "7 (index 'r7', \"Study 8\"). Drop them with missing='drop', or "
        "data.dropna(subset=['x', 'g'])."
    )


def test_of_many_rows_with_missing_values_only_some_are_named():
    with pytest.raises(
        DataError, match=r"row 0, row 1, row 2, row 3, row 4 and 4 more\."
    ):
        read_moderators({"x": [None] * 9 + [1.0, 2.0, 3.0]})


def test_dropped_rows_leave_no_trace_in_the_coding():
    gaps = GAPS.assign(g=GAPS["g"].where(GAPS["g"] != "top"))
    with pytest.warns(DataWarning, match=r"are dropped.* in x \(2\) and g \(5\)"):
        made, keep = read_moderators("x * g", gaps, missing="drop")
    alone, _ = read_moderators("x * g", gaps.dropna())
    assert keep.tolist() == gaps[["x", "g"]].notna().all(axis=1).tolist()
    np.testing.assert_array_equal(made.columns, alone.columns)
    assert made.coding("g").levels == ("low", "mid")
    assert made.coding("x").centre == alone.coding("x").centre
    # What else lacks a value is of no concern.
    assert read_moderators("z", GAPS, missing="drop")[1].all()


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", "string", "object"])
def test_every_kind_of_missing_value_is_found(dtype):
    values = {"boolean": [True, None, False] * 2, "string": ["a", None, "b"] * 2}
    column = pd.array(values.get(dtype, [1, None, 2, 3, None, 4]), dtype=dtype)
    table = pd.DataFrame({"v": column})
    with pytest.raises(DataError, match=r"2 of 6 rows lack one, in v \(2\)"):
        read_moderators("v", table)
    with pytest.warns(DataWarning, match="2 of 6 rows are dropped"):
        _, keep = read_moderators("v", table, missing="drop")
    assert keep.tolist() == table["v"].notna().tolist()


def test_a_moderator_without_any_value_is_refused():
    table = pd.DataFrame({"v": [np.nan] * 4})
    with pytest.raises(DataError, match=r"every row lacks one, in v \(4\)"):
        read_moderators("v", table, missing="drop")


# ---- new rows --------------------------------------------------------------
FORMULAS = [
    "x + g",
    "g * x + z",
    "g * h * x",
    "poly(x, 3) * g",
    "bs(x, df=4)",
    "center(x) + scale(z)",
    "log(year) + sqrt(x ** 2)",
    "C(year) + C(x > 0)",
    "C(g, contr.sum) * x",
    "C(year, contr.treatment(2001))",
    "C(g, levels=['top', 'mid', 'low'])",
    "I(x + z)",
    "h + I(year > 2000)",
]


@pytest.mark.filterwarnings("ignore:mods. I.year > 2000. is a number with two values")
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("standardize", [True, False])
def test_new_rows_are_coded_as_those_of_the_fit(formula, standardize):
    made, _ = read_moderators(formula, TABLE, standardize=standardize)
    tolerance = {"rtol": ROUNDING, "atol": ROUNDING}
    np.testing.assert_allclose(made.design(TABLE), made.columns, **tolerance)
    for rows in ([3], [11, 4, 4], list(range(K))[::-1]):
        fresh = TABLE.iloc[rows]
        np.testing.assert_allclose(made.design(fresh), made.columns[rows], **tolerance)
    assert made.design(TABLE.iloc[:0]).shape == (0, made.columns.shape[1])


def test_new_rows_may_hold_values_in_another_form():
    table = TABLE.assign(
        g=pd.Categorical(TABLE["g"], ["low", "mid", "top"], ordered=True)
    )
    made, _ = read_moderators("g + h + C(year)", table)
    fresh = pd.DataFrame(
        {
            "g": np.array(["top", "mid"], dtype=object),
            "h": pd.array([True, False], dtype="boolean"),
            "year": [2004.0, 2001.0],
        }
    )
    np.testing.assert_array_equal(made.design(fresh), made.columns[[11, 9]])


@pytest.mark.parametrize(
    ("newdata", "message"),
    [
        ({"x": [1.0]}, 'newdata: expected columns of the table; got "g"'),
        ({"g": ["mid"], "X": [1.0]}, "got \"x\", which is none. Did you mean 'X'?"),
        (
            {"g": ["zz"], "x": [1.0]},
            "expected one of low, mid, top for g; got 'zz' at ro",
        ),
        (
            {"g": ["mid", None], "x": [1.0, 2.0]},
            "a value of g in every row; got none at",
        ),
        (
            {"g": ["mid"], "x": ["one"]},
            "newdata, x: expected real numbers; got 'one' at",
        ),
        (
            {"g": ["mid"], "x": [np.inf]},
            r"newdata: expected finite values of x; got \[i",
        ),
        ({"g": ["mid"], "x": [pd.NA]}, "expected a value of x in every row; got none"),
    ],
)
def test_new_rows_that_do_not_fit_are_refused(newdata, message):
    made, _ = read_moderators("g + x", TABLE)
    with pytest.raises(DataError, match=message):
        made.design(pd.DataFrame(newdata))


def test_new_levels_of_a_number_are_refused():
    made, _ = read_moderators("C(year)", TABLE)
    message = r"expected levels of C\(year\) among 1999, 2001, 2004; got another one at"
    with pytest.raises(DataError, match=message):
        made.design(pd.DataFrame({"year": [1999, 2000]}))


# ---- refusals --------------------------------------------------------------
@pytest.mark.parametrize(
    ("mods", "data", "options", "message"),
    [
        (
            "yaer",
            TABLE,
            {},
            "got \"yaer\", which is none. Did you mean 'year'. The columns",
        ),
        ("G", TABLE, {}, "got \"G\", which is none. Did you mean 'g'?"),
        ("x", None, {}, "no data was given; got 'x'. Give the DataFrame as the first"),
        (["x"], None, {}, "expected columns, since no data was given"),
        (
            5,
            TABLE,
            {},
            "expected a formula, names of columns, or columns with names; got",
        ),
        (
            TABLE[["x"]].to_numpy(),
            None,
            {},
            r"got an array of shape \(12, 1\). Write mods",
        ),
        (
            pd.Series(X),
            None,
            {},
            "expected columns with names; got a Series without one",
        ),
        ("x", [X], {}, "data: expected a table of pandas, .* or None; got list"),
        (
            [],
            TABLE,
            {},
            "expected a formula or names of columns; got none. Leave mods out",
        ),
        ({}, None, {}, "expected a formula or names of columns; got none"),
        (
            {"x": X, "y": X[:3]},
            None,
            {},
            "expected columns of one length, or single values; got 12 of x, 3 of y",
        ),
        ({"1": X}, None, {}, "expected names that a formula can have; got '1'. Rename"),
        ({"a`b": X}, None, {}, "expected names that a formula can have; got 'a`b'"),
        ({"intercept": X}, None, {}, "expected names other than 'intercept'"),
        ("x", TABLE, {"K": 13}, "mods: expected 13 rows, one per estimate; got 12"),
        ("x", TABLE[:0], {}, "expected at least one estimate; got 0 rows"),
        (TABLE.iloc[::-1], TABLE, {}, "mods: expected rows in the order of data"),
        ("x", TABLE, {"contrasts": "sum"}, "contrasts: expected one of meandif"),
        (
            "x",
            TABLE,
            {"missing": "omit"},
            "missing: expected 'error' or 'drop'; got 'om",
        ),
        ("x", TABLE, {"standardize": "no"}, "standardize: expected True or False; got"),
        (
            "x",
            TABLE,
            {"center": 2000},
            "center: expected 'rows', 'clusters', or a mapp",
        ),
        (
            "g",
            TABLE,
            {"center": "row"},
            "center: expected 'rows', 'clusters', or a mapp",
        ),
        (
            "x",
            TABLE,
            {"center": {"x": np.nan}},
            "expected a finite number for x; got nan",
        ),
        ("x", TABLE, {"center": {"x": "0"}}, "expected a finite number for x; got '0'"),
        (
            "x + g",
            TABLE,
            {"center": {"g": 0}},
            "names of numeric moderators, x; got 'g'",
        ),
        (
            "log(year)",
            TABLE,
            {"center": {"year": 0}},
            r"moderators, log\(year\); got 'ye",
        ),
        (
            "x",
            TABLE,
            {"center": "clusters"},
            "expected 'rows' without clusters.*study_ids",
        ),
        (
            "x",
            TABLE,
            {"center": "clusters", "cluster": CLUSTER, "standardize": False},
            "with standardize=False; got 'clusters'",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(mods, data, options, message):
    with pytest.raises(DataError, match=message):
        read_moderators(mods, data, **options)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            [1.0, np.inf, 2.0, -np.inf],
            r"finite values of v; got \[inf\] at row 1 \(index 'b'",
        ),
        (["a"] * 4, "expected a factor with two levels or more; got v with a only"),
        (
            pd.date_range("2001-01-01", periods=4),
            r"v; got datetime64.*the year of a date",
        ),
        (
            pd.period_range("2001", periods=4, freq="Y"),
            "truth values or categories in v",
        ),
        ([pd.Timestamp("2001").date()] * 4, "or categories in v; got datetime.date"),
        ([1j, 2j, 3j, 4j], "or categories in v; got complex128"),
        ([[1], [2], [1], [2]], r"or categories in v; got \[1\] at row 0 \(index 'a'"),
    ],
)
def test_values_that_are_no_moderator_are_refused(column, message):
    table = pd.DataFrame({"v": column})
    table.index = list("abcd")
    with pytest.raises(DataError, match=message):
        read_moderators("v", table)


def test_a_name_that_several_columns_have_is_refused_where_it_is_needed():
    twice = pd.concat([TABLE, TABLE[["x"]]], axis=1)
    assert columns("g", twice).shape == (K, 2)
    with pytest.raises(DataError, match='name of one column; got "x", which 2 columns'):
        read_moderators("x", twice)
    deep = TABLE[["x"]].set_axis(pd.MultiIndex.from_tuples([("a", "x")]), axis=1)
    with pytest.raises(DataError, match="one name each; got names of 2 levels"):
        read_moderators("x", deep)


def test_a_moderator_that_is_constant_within_the_mean_of_clusters_is_refused():
    table = pd.DataFrame({"v": [1.0, 2.0, 3.0] * 4})
    with pytest.raises(
        DataError, match="center: expected a moderator that varies betw"
    ):
        read_moderators("v", table, center="clusters", cluster=np.arange(K) // 3)


# ---- warnings --------------------------------------------------------------
@pytest.mark.parametrize(
    ("mods", "changes", "message"),
    [
        (
            "g",
            {"g": ["a", "b"] * 5 + ["c", "b"]},
            "g has one estimate only at c; its eff",
        ),
        (
            "g",
            {"g": list("abcdefgh") + ["i"] * 4},
            "only at a, b, c, d, e and 3 more; its",
        ),
        (
            "C(g, levels=['low', 'mid', 'top', 'no'])",
            {},
            "has no estimate at no; its effe",
        ),
        (
            "v",
            {"v": [0, 1, 1] * 4},
            r"v is a number with two values, 0 and 1. .* C\(v\)",
        ),
        ("I(x > 0)", {}, r"I\(x > 0\) is a number with two values"),
        ("v", {"v": ["1", "2.5", "4"] * 4}, "v has numbers that are texts.*to_numeric"),
        (
            "x + v",
            {"v": 3 - 2 * X},
            "v follows from the intercept and the columns before",
        ),
        ("x + z + v", {"v": X + TABLE["z"]}, "v follows from"),
        (
            "g + v",
            {"v": TABLE["g"] + "!"},
            r"v\[1\] and v\[2\] follow from the intercept",
        ),
    ],
)
def test_what_says_little_is_warned_of(mods, changes, message):
    table = TABLE.assign(**changes)
    with pytest.warns(DataWarning) as caught:
        read_moderators(mods, table)
    found = [str(one.message) for one in caught]
    assert any(re.search(message, text) for text in found), found
    assert all(text.startswith("mods: ") for text in found)
    # They point at the call.
    assert {one.filename for one in caught} == {__file__}


def test_numbers_that_are_texts_are_no_surprise_as_a_factor():
    assert levels(["1", "10", "2"] * 2, "C(v)") == ("1", "10", "2")
    assert levels(pd.Categorical(["1", "10", "2"] * 2)) == ("1", "10", "2")


def test_more_columns_than_estimates_are_warned_of():
    wide = pd.DataFrame(RNG.normal(size=(6, 9)), columns=[f"c{j}" for j in range(9)])
    with pytest.warns(DataWarning, match="c5, c6, c7 and c8 follow from .* 6 rows"):
        made, _ = read_moderators(wide)
    assert made.columns.shape == (6, 9)


def test_a_factor_with_a_level_for_each_cluster_is_warned_of():
    clusters = TABLE.assign(v=np.array(list("abcc"))[CLUSTER])
    read_moderators("v", clusters, cluster=CLUSTER)  # two clusters share a level
    for cluster in (CLUSTER, CLUSTER * 3):
        names = TABLE.assign(v=np.repeat(list("abcd"), [5, 4, 2, 1]))
        with pytest.warns(DataWarning) as caught:
            read_moderators("v", names, cluster=cluster)
        assert any("the levels of v are the clusters" in str(c.message) for c in caught)
    pairs = TABLE.assign(v=np.repeat(list("abcdef"), 2))
    read_moderators("v", pairs, cluster=np.arange(K))  # no cluster of two


def test_rows_in_another_order_change_nothing():
    order = RNG.permutation(K)
    made = columns("g * x + h", TABLE.iloc[order])
    np.testing.assert_allclose(
        made, columns("g * x + h")[order], rtol=ROUNDING, atol=ROUNDING
    )
