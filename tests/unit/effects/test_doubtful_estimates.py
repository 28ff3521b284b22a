"""Legal estimates that are probably not meant: what is asked about, and what not."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from pyrobma.effects import datasets, effect_sizes, load_dataset
from pyrobma.errors import DataWarning

SETS = {
    "andrews2021": {"r": "r", "se": "se"},
    "assink2016": {"d": "yi", "v": "vi"},
    "bangertdrowns2004": {"d": "yi", "v": "vi"},
    "bem2011": {"d": "d", "se": "se"},
    "konstantopoulos2011": {"d": "yi", "v": "vi"},
    "kroupova2021": {"r": "r", "se": "se"},
    "lui2015": {"r": "r", "n": "n"},
    "poulsen2006": {"d": "d", "se": "se"},
}


def complete(name):
    arguments = SETS[name]
    return load_dataset(name).dropna(subset=[*arguments.values()]), arguments


def effect_and_se(name):
    """Return the argument of the effects, and effects and standard errors."""
    table, arguments = complete(name)
    (kind, _), _ = arguments.items()
    scale = "cohens_d" if kind == "d" else kind
    made = effect_sizes(table, **arguments, transformation=scale)
    return kind, made.y, made.se


def told(*args, **kwargs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        effect_sizes(*args, **kwargs)
    return [str(one.message) for one in caught if one.category is DataWarning]


@pytest.mark.parametrize("name", SETS)
def test_nothing_is_asked_about_the_bundled_data(name):
    table, arguments = complete(name)
    assert told(table, **arguments) == []
    for label in ("study", "district"):
        if label in table:
            assert told(table, **arguments, study_names=label) == []
            assert told(table, **arguments, study_ids=label) == []


def test_every_bundled_set_with_effects_is_among_them():
    counts = {"bcg", "nielweise2007", "nielweise2008"}
    assert {*SETS, *counts} == set(datasets()["name"])


# ---- standard errors and variances -----------------------------------------
@pytest.mark.parametrize(
    ("name", "column", "other"),
    [
        ("se", "vi", "v"), ("se", "v", "v"), ("se", "Var", "v"),
        ("se", "sampling variance", "v"), ("se", "var_d", "v"), ("v", "sei", "se"),
        ("v", "SE", "se"), ("v", "std.err", "se"), ("v", "Standard Error", "se"),
    ],
)  # fmt: skip
def test_a_column_that_is_called_like_the_other_is_asked_about(name, column, other):
    table = pd.DataFrame({"g": [0.1, 0.2], column: [0.02, 0.03]})
    (text,) = told(table, d="g", **{name: column})
    assert f"since their column is called {column!r}." in text
    assert text.endswith(f"give them as {other}={column!r}.")
    (same,) = told(d=[0.1, 0.2], **{name: table[column]})
    assert same.endswith(f"give them as {other}=....")


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("se", "se"),
        ("se", "sd"),
        ("se", "value"),
        ("se", "seV"),
        ("v", "vi"),
        ("v", "s"),
    ],
)
def test_other_columns_are_not(name, column):
    table = pd.DataFrame({"g": [0.1, 0.2], column: [0.2, 0.3]})
    assert told(table, d="g", **{name: column}) == []


def test_squares_and_roots_of_another_column_are_asked_about():
    table = pd.DataFrame({"g": [0.1, 0.2, 0.3], "a": [0.10, 0.12, 0.20]})
    table["b"] = (table["a"] ** 2).round(3)
    (text,) = told(table, y="g", se="b")
    assert "since they are the squares of column 'a'." in text
    (text,) = told(table, y="g", v="a")
    assert "since they are the roots of column 'b'." in text
    assert told(table, y="g", se="a") == told(table, y="g", v="b") == []


@pytest.mark.parametrize(
    "name", ["andrews2021", "assink2016", "bem2011", "konstantopoulos2011", "lui2015"]
)
def test_variances_given_as_standard_errors_are_asked_about(name):
    kind, y, se = effect_and_se(name)
    (text,) = told(se=se**2, **{kind: y})
    assert text.startswith("se: expected standard errors; got numbers that may be var")
    assert "participants" in text
    assert told(v=se**2, **{kind: y}) == []


@pytest.mark.parametrize("name", ["andrews2021", "bem2011", "kroupova2021", "lui2015"])
def test_standard_errors_given_as_variances_are_asked_about(name):
    kind, y, se = effect_and_se(name)
    (text,) = told(v=se, **{kind: y}, transformation={"d": "cohens_d"}.get(kind, kind))
    assert text.startswith(
        "v: expected variances; got numbers that may be standard err"
    )
    assert told(se=se, **{kind: y}) == []


def test_right_variances_of_usual_studies_are_rarely_asked_about():
    rng = np.random.default_rng(20240501)
    asked = 0
    for _ in range(200):
        k = int(rng.integers(5, 40))
        n = 8 + 60 * rng.lognormal(size=k)
        tau = rng.choice([0.0, 0.1, 0.4])
        v = 4 / n + 0.02 / n
        d = 0.2 + rng.normal(size=k) * np.sqrt(v + tau**2)
        asked += bool(told(d=d, v=v)) + bool(told(d=d, se=np.sqrt(v)))
    assert asked <= 4  # 2 % of 200 data sets


# ---- copies ----------------------------------------------------------------
@pytest.mark.parametrize("ignore_index", [True, False])
@pytest.mark.parametrize(
    "name", ["bem2011", "konstantopoulos2011", "lui2015", "poulsen2006"]
)
def test_copies_among_rows_with_labels_of_their_own_are_named(name, ignore_index):
    table, arguments = complete(name)
    double = pd.concat([table, table.iloc[[1]]], ignore_index=ignore_index)
    (text,) = told(double, **arguments)
    assert text.startswith(
        f"data: 1 of {len(double)} rows is an exact copy of another: "
    )
    assert f"row {len(table)} (" in text
    assert ") of row 1 (" in text


def test_an_index_that_repeats_makes_equal_rows_copies_without_labels():
    table, arguments = complete("kroupova2021")
    table = table.drop_duplicates()
    assert told(table, **arguments) == []
    assert "2 of " in told(pd.concat([table, table.iloc[:2]]), **arguments)[0]


def test_equal_estimates_of_one_study_or_by_rounding_are_no_copies():
    d, se = [0.2, 0.2, 0.3, 0.3, 0.1, 0.4], [0.1, 0.1, 0.1, 0.2, 0.2, 0.1]
    assert told(d=d, se=se) == []
    assert told(d=d, se=se, study_ids=["a", "a", "b", "b", "c", "c"]) == []
    table = pd.DataFrame({"d": d, "se": se, "outcome": range(6)})
    assert told(table, d="d", se="se") == []
    assert told(d=[0.1] * 9, se=[0.2] * 9) == []


def test_several_exact_estimates_twice_are_copies_without_labels():
    d, se = [0.21, 0.43, 0.05, 0.38, 0.11], [0.12, 0.21, 0.17, 0.09, 0.31]
    (text,) = told(d=[*d, *d[:3]], se=[*se, *se[:3]])
    assert text.startswith(
        'd: 3 of 8 rows are copies: row 5 ("Study 6") of row 0 ("Stu'
    )
    assert told(d=[*d, d[0]], se=[*se, se[0]]) == []


def test_of_arrays_their_study_names_are_the_labels():
    d, se, names = [0.2, 0.4, 0.1, 0.2], [0.1, 0.2, 0.1, 0.1], ["A", "B", "C", "A"]
    (text,) = told(d=d, se=se, study_names=names)
    assert 'row 3 ("A") of row 0 ("A")' in text
    assert told(d=d, se=se, study_names=["A", "B", "C", "D"]) == []
    assert told(d=d, se=se, study_names=names, study_ids=["a", "b", "c", "d"]) == []
