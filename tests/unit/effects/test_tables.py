"""Tables of other libraries give the numbers that those of pandas give."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import pyrobma as rb
from pyrobma.effects._tables import read_column, read_table

COLUMNS = {
    "d": [0.31, 0.42, 0.12, 0.25, 0.52, 0.05, 0.38, 0.21],
    "se": [0.12, 0.15, 0.10, 0.14, 0.20, 0.11, 0.16, 0.09],
    "lab": ["a", "a", "b", "b", None, "d", "e", "f"],
    "age": [8, 9, 11, 12, 8, 14, 10, 13],
    "dose": ["mid", "low", "high", "low", "mid", "high", "low", "mid"],
    "name": [f"S{i}" for i in range(8)],
}
LEVELS = ["low", "mid", "high"]  # no alphabetic order
FEW = rb.SamplerSettings(chains=2, warmup=150, draws=100, max_draws=100)
BIG = 2**60 + 1  # no float has it


def as_pandas():
    levels = pd.Categorical(COLUMNS["dose"], categories=LEVELS)
    return pd.DataFrame(COLUMNS).assign(dose=levels)


def as_polars():
    return pl.DataFrame(COLUMNS, schema_overrides={"dose": pl.Enum(LEVELS)})


def dictionary(values):
    places = [None if value is None else LEVELS.index(value) for value in values]
    return pa.DictionaryArray.from_arrays(pa.array(places, pa.int8()), LEVELS)


def as_pyarrow():
    """A table of two chunks, as it comes from a file of several parts."""
    table = pa.table({**COLUMNS, "dose": dictionary(COLUMNS["dose"])})
    return pa.concat_tables([table.slice(0, 3), table.slice(3)])


def as_dict():
    return {**COLUMNS, "dose": pd.Categorical(COLUMNS["dose"], categories=LEVELS)}


def as_nullable():
    return as_pandas().convert_dtypes()


def as_arrow_in_pandas():
    return as_pyarrow().to_pandas(types_mapper=pd.ArrowDtype)


def indexed_by_names():
    return as_pandas().set_index("name")


TABLES = [
    as_polars, as_pyarrow, as_dict, as_nullable, as_arrow_in_pandas, indexed_by_names,
]  # fmt: skip


def plan(data):
    return rb.robma(
        data, d="d", se="se", study_ids="lab", study_names="name", mods="age + dose",
        contrasts="treatment", priors_bias=None, only_priors=True,
    )  # fmt: skip


@pytest.mark.parametrize("make", TABLES, ids=lambda make: make.__name__)
def test_every_table_is_the_analysis_that_the_one_of_pandas_is(make):
    expected, found = plan(as_pandas()), plan(make())
    assert found.task.same_as(expected.task)
    assert found.task.effects.names == tuple(COLUMNS["name"])
    np.testing.assert_array_equal(
        found.task.moderators.columns, expected.task.moderators.columns
    )
    assert found.task.moderators.coding("dose").levels == tuple(LEVELS)
    assert found.space == expected.space


def test_a_polars_table_gives_the_numbers_of_a_fit():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rb.ConvergenceWarning)
        one, other = (
            rb.robma(
                data, d="d", se="se", priors_bias=None, priors_effect_null=None,
                priors_heterogeneity_null=None, settings=FEW, seed=1,
            )
            for data in (as_pandas(), as_polars())
        )  # fmt: skip
    np.testing.assert_array_equal(one.draws("mu"), other.draws("mu"))
    np.testing.assert_array_equal(one.logml, other.logml)


@pytest.mark.parametrize("make", TABLES, ids=lambda make: make.__name__)
def test_frequentist_regressions_and_predictions_take_every_table(make):
    effects = rb.effect_sizes(make(), d="d", se="se", study_ids="lab")
    expected = rb.effect_sizes(as_pandas(), d="d", se="se", study_ids="lab")
    np.testing.assert_array_equal(effects.y, expected.y)
    for fit in (rb.rma, rb.rma_mv):
        with_table, with_pandas = (
            fit(effects, mods="age + dose", data=data) for data in (make(), as_pandas())
        )
        pd.testing.assert_frame_equal(with_table.coefficients, with_pandas.coefficients)
        np.testing.assert_array_equal(
            with_table.predict(make()), with_pandas.predict(as_pandas())
        )


@pytest.mark.parametrize("make", [as_polars, as_pyarrow])
def test_moderators_can_be_a_table_of_their_own(make):
    expected, _ = rb.read_moderators("age + dose", as_pandas())
    table = make().select(["age", "dose"])
    found, rows = rb.read_moderators(table)
    assert rows.all()
    assert found.labels == expected.labels
    np.testing.assert_array_equal(found.columns, expected.columns)
    np.testing.assert_array_equal(expected.design(table), expected.columns)


def test_moderators_can_be_columns_of_other_libraries_by_name():
    mods = {"age": pl.Series(COLUMNS["age"]), "dose": dictionary(COLUMNS["dose"])}
    found, _ = rb.read_moderators(mods)
    expected, _ = rb.read_moderators("age + dose", as_pandas())
    np.testing.assert_array_equal(found.columns, expected.columns)
    single, _ = rb.read_moderators(pl.Series("age", COLUMNS["age"]))
    assert single.names == ("age",)


GROUPS = {"m1": [0.5, 0.1], "m2": [0.2, 0.0], "s": [1.0, 2.0], "n": [20, 30],
          "r": [0.2, 0.4], "a": [3, 5], "b": [20, 30]}  # fmt: skip


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table, dict])
@pytest.mark.parametrize(
    ("function", "columns"),
    [
        (rb.smd, dict(zip(("mean1", "sd1", "n1", "mean2", "sd2", "n2"),
                          ("m1", "s", "n", "m2", "s", "n"), strict=True))),
        (rb.mean_difference, dict(zip(("mean1", "sd1", "n1", "mean2", "sd2", "n2"),
                                      ("m1", "s", "n", "m2", "s", "n"), strict=True))),
        (rb.smd_one_sample, {"n": "n", "mean": "m1", "sd": "s"}),
        (rb.smd_paired, {"n": "n", "mean1": "m1", "sd1": "s", "mean2": "m2",
                         "sd2": "s", "correlation": "r"}),
        (rb.correlation_z, {"r": "r", "n": "n"}),
        (rb.log_odds_ratio, {"a": "a", "b": "b", "c": "b", "d": "n"}),
        (rb.log_risk_ratio, {"a": "a", "b": "b", "c": "b", "d": "n"}),
        (rb.risk_difference, {"a": "a", "b": "b", "c": "b", "d": "n"}),
    ],
)  # fmt: skip
def test_effect_sizes_of_every_kind_are_those_of_pandas(make, function, columns):
    found = function(make(GROUPS), **columns)
    pd.testing.assert_frame_equal(found, function(pd.DataFrame(GROUPS), **columns))


@pytest.mark.parametrize(
    "column",
    [pl.Series, pa.array, lambda values: pa.chunked_array([values[:1], values[1:]])],
)
def test_columns_of_other_libraries_are_arrays(column):
    found = rb.effect_sizes(
        d=column(COLUMNS["d"]),
        se=column(COLUMNS["se"]),
        study_ids=column(COLUMNS["lab"]),
    )
    expected = rb.effect_sizes(
        d=COLUMNS["d"], se=COLUMNS["se"], study_ids=COLUMNS["lab"]
    )
    np.testing.assert_array_equal(found.y, expected.y)
    np.testing.assert_array_equal(found.cluster, expected.cluster)
    np.testing.assert_array_equal(
        rb.d2r(column(COLUMNS["d"])), rb.d2r(np.array(COLUMNS["d"]))
    )
    mv = rb.rma_mv(expected, cluster=column(COLUMNS["lab"]))
    assert mv.clusters == rb.rma_mv(expected).clusters


@pytest.fixture(scope="module")
def fit():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rb.ConvergenceWarning)
        return rb.robma(
            as_polars(), d="d", se="se", study_ids="lab", mods="age + dose",
            test_mods=False, priors_bias=None, priors_effect_null=None,
            priors_heterogeneity_null=None, settings=FEW, seed=1,
        )  # fmt: skip


@pytest.mark.parametrize("make", TABLES, ids=lambda make: make.__name__)
def test_predictions_of_new_rows_take_every_table(fit, make):
    expected = fit.predict(as_pandas())
    found = fit.predict(make())
    np.testing.assert_array_equal(found, expected)
    index = make().index if make is indexed_by_names else expected.index
    assert found.index.equals(index)


def test_priors_of_moderators_are_drawn_for_every_table():
    options = {"d": "d", "se": "se", "mods": "age + dose", "priors_bias": None}
    assert rb.plot_priors(as_polars(), **options) is not None


# ---- types of columns ----------------------------------------------------------------
@pytest.mark.parametrize("table", [pl.DataFrame, pa.table])
def test_null_and_nan_are_both_missing(table):
    data = table(
        {"d": [0.1, None, 0.3], "se": [0.1, 0.1, float("nan")], "v": [None] * 3}
    )
    with pytest.warns(rb.DataWarning, match=r"2 of 3 rows are dropped"):
        effects = rb.effect_sizes(data, d="d", se="se", missing="drop")
    assert effects.names == ("Study 1",)
    found = read_table(data)
    np.testing.assert_array_equal(found["d"], [0.1, np.nan, 0.3])
    assert found["v"].isna().all()


@pytest.mark.parametrize("column", [pl.Series, pa.array])
def test_whole_numbers_beside_missing_ones_keep_all_digits(column):
    effects = rb.effect_sizes(
        d=[0.1, 0.2, 0.3, 0.4], se=[0.1] * 4,
        study_ids=column([BIG, BIG, BIG + 1, None]),
    )  # fmt: skip
    assert effects.cluster_labels[0] == str(BIG)
    assert effects.cluster.tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pl.Series([1, 2], dtype=pl.UInt8), np.array([1, 2], dtype=np.uint8)),
        (pl.Series([1.5, None], dtype=pl.Float32), np.array([1.5, np.nan], np.float32)),
        (pl.Series([True, False]), np.array([True, False])),
        (pl.Series([True, None]), np.array([True, None], dtype=object)),
        (pl.Series(["x", None]), np.array(["x", None], dtype=object)),
        (pl.Series([2**100], dtype=pl.Int128), np.array([2**100], dtype=object)),
        (pa.array(["x", None], pa.large_string()), np.array(["x", None], object)),
        (pa.array(["x"], pa.string_view()), np.array(["x"], object)),
        (pa.array([1.5, None], pa.float32()), np.array([1.5, np.nan], np.float32)),
    ],
)
def test_columns_have_the_type_that_pandas_has_for_them(column, expected):
    found = np.asarray(read_column(column))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_decimals_are_numbers():
    data = pl.DataFrame({"d": ["0.1", "0.3"], "se": ["0.2", "0.2"]}).cast(
        pl.Decimal(4, 2)
    )
    np.testing.assert_array_equal(
        rb.effect_sizes(data, d="d", se="se", transformation="cohens_d").y, [0.1, 0.3]
    )


def test_dictionaries_of_several_chunks_are_one_factor():
    parts = [
        pa.array(part).dictionary_encode() for part in (["y", "x"], ["z", None, "x"])
    ]
    found = read_column(pa.chunked_array(parts))
    assert list(found.categories) == ["y", "x", "z"]
    assert found.tolist()[:3] == ["y", "x", "z"]
    assert pd.isna(found[3])


def test_levels_of_a_polars_categorical_are_sorted_whatever_came_before():
    # It keeps texts in the order in which the process met them.
    pl.Series(["mid", "low", "high"], dtype=pl.Categorical)
    data = as_polars().with_columns(pl.col("dose").cast(pl.String).cast(pl.Categorical))
    found, _ = rb.read_moderators("dose", data)
    assert found.coding("dose").levels == ("high", "low", "mid")


def test_levels_that_no_row_has_are_no_levels():
    data = as_polars().with_columns(
        pl.col("dose").cast(pl.String).cast(pl.Enum(["none", *LEVELS]))
    )
    found, _ = rb.read_moderators("dose", data)
    assert found.coding("dose").levels == tuple(LEVELS)


def test_dates_are_refused_as_moderators_with_what_to_do():
    data = as_polars().with_columns(when=pl.date(2020, pl.col("age") - 7, 1))
    with pytest.raises(rb.DataError, match=r"^mods: expected numbers, texts, .*when"):
        rb.read_moderators("when", data)


# ---- what comes out ------------------------------------------------------------------
def test_an_index_of_pandas_comes_back_and_other_tables_are_numbered():
    table = pd.DataFrame(GROUPS, index=pd.Index(["p", "q"], name="paper"))
    columns = {"r": "r", "n": "n"}
    assert rb.correlation_z(table, **columns).index.equals(table.index)
    found = rb.correlation_z(pl.from_dict(GROUPS), **columns)
    assert found.index.equals(pd.RangeIndex(2))
    again = pl.from_dict(GROUPS).with_columns(
        **{k: v.to_numpy() for k, v in found.items()}
    )
    assert rb.effect_sizes(again, z="yi", v="vi").K == 2


def test_a_pandas_table_is_taken_as_it_is():
    table = as_pandas()
    assert read_table(table) is table
    assert read_table(None) is None


def test_every_named_level_of_an_index_is_a_column():
    table = as_pandas().set_index(["lab", "name"])
    effects = rb.effect_sizes(
        table, d="d", se="se", study_ids="lab", study_names="name"
    )
    assert effects.names == tuple(COLUMNS["name"])
    assert effects.L == 6
    found, _ = rb.read_moderators("age + lab", table.iloc[:4])
    assert found.coding("lab").levels == ("a", "b")
    columns = {"study": table.index.get_level_values("name")}
    assert list(read_table(columns)["study"]) == COLUMNS["name"]


def test_a_column_goes_before_a_level_of_the_index_of_its_name():
    table = as_pandas()
    table.index = pd.Index(["other"] * 8, name="name")
    effects = rb.effect_sizes(table, d="d", se="se", study_names="name")
    assert effects.names == tuple(COLUMNS["name"])


def test_rows_that_differ_in_a_level_of_the_index_are_no_copies():
    pairs = np.repeat(np.arange(10) / 10, 2)
    index = pd.Index([f"S{i}" for i in range(20)], name="who")
    table = pd.DataFrame({"d": pairs, "se": 0.2 + pairs}, index=index)
    with pytest.warns(rb.DataWarning, match="10 of 20 rows are copies"):
        rb.effect_sizes(table, d="d", se="se")
    assert rb.effect_sizes(table, d="d", se="se", study_names="who").K == 20


def test_single_values_of_a_mapping_hold_in_every_row():
    found = read_table({"d": [0.1, 0.2], "se": 0.1, "lab": "x"})
    assert found["se"].tolist() == [0.1, 0.1]
    assert found["lab"].tolist() == ["x", "x"]


def test_series_of_a_mapping_are_matched_by_position_and_keep_a_common_index():
    one = pd.Series([1, 2], index=["p", "q"])
    other = pd.Series([3, 4], index=["q", "p"])
    assert read_table({"x": one, "y": one}).index.tolist() == ["p", "q"]
    found = read_table({"x": one, "y": other})
    assert found.to_numpy().tolist() == [[1, 3], [2, 4]]


# ---- what is refused -----------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (as_polars().lazy(),
         r"data: expected a table in memory; got a polars LazyFrame, which is not "
         r"computed yet. Give data.collect\(\)"),
        (pl.Series("d", [0.1]), "data: expected a table of pandas, .*; got Series"),
        (pa.array([0.1]), "data: expected a table of pandas, .*; got DoubleArray"),
        (pa.RecordBatch.from_pydict({"d": [0.1]}), "got RecordBatch"),
        (pa.Table.from_arrays([pa.array([0.1])] * 2, names=["d", "d"]),
         "data: expected columns with a name of their own; got 'd' more than once"),
        ({"d": [0.1, 0.2], "se": [0.1]}, "got 2 of d, 1 of se. Give a value for each"),
        ({"d": [[0.1]], "se": [0.1]}, r"one dimension; got d of shape \(1, 1\)"),
        (as_polars().head(0), "data: expected at least one estimate; got 0 rows"),
        ({}, 'expected the name of a column of data; got "d". The columns are none'),
        (as_polars().rename({"d": "D"}), 'got "d". Did you mean "D"'),
        (indexed_by_names().rename_axis("d2"), 'got "nome".*name, d2|The columns are'),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_with_what_to_do(data, message):
    more = {"study_names": "nome"} if isinstance(data, pd.DataFrame) else {}
    with pytest.raises(rb.DataError, match=message):
        rb.effect_sizes(data, d="d", se="se", **more)


@pytest.mark.parametrize("argument", ["mods", "newdata"])
def test_lazy_tables_of_moderators_are_refused_by_the_name_of_their_argument(argument):
    lazy = as_polars().lazy()
    moderators, _ = rb.read_moderators("age", as_polars())
    read = {"mods": rb.read_moderators, "newdata": moderators.design}[argument]
    with pytest.raises(rb.DataError, match=rf"^{argument}: .*Give {argument}\.collect"):
        read(lazy)


def test_other_libraries_are_imported_only_for_their_tables():
    code = (
        "import sys, pyrobma as rb; rb.effect_sizes(d=[0.1], se=[0.1]);"
        "print([m for m in ('narwhals', 'polars') if m in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"
