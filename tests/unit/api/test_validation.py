"""Printed numbers of other software, read from `benchmarks/validation`, are ours."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

FOLDER = Path(__file__).parents[3] / "benchmarks" / "validation"
PAGE = Path(__file__).parents[3] / "docs" / "guide" / "validation.md"
THEIRS = {
    name: pd.read_csv(FOLDER / f"{name}.csv", dtype=str, keep_default_na=False)
    for name in ("metafor", "robma")
}
# Four models or fewer each; a second or two.
FAST = [
    "schools",
    "schools, test of rho",
    "schools, one model",
    "schools, one model without clusters",
    "toothpaste, d",
    "toothpaste, z",
    "three, fixed weights",
]


@pytest.fixture(scope="module")
def scripts():
    """The scripts, which import each other from their folder."""
    sys.path.insert(0, str(FOLDER))
    try:
        names = ("comparison", "cases", "metafor", "robma")
        yield SimpleNamespace(**{n: importlib.import_module(n) for n in names})
    finally:
        sys.path.remove(str(FOLDER))


def unexplained(table):
    return table[table["verdict"] == "not explained"].to_string()


@pytest.mark.parametrize("name", THEIRS)
def test_every_number_of_others_is_a_number_with_a_source(name):
    table = THEIRS[name]
    assert len(table) > 200
    assert (table["source"].str.len() > 10).all()
    assert table["theirs"].astype(float).notna().all()
    assert not table.drop(columns="source").duplicated().any()


def test_every_number_of_others_belongs_to_an_analysis(scripts):
    known = {*scripts.metafor.MODELS, *scripts.metafor.EFFECT_SIZES}
    assert set(THEIRS["metafor"]["model"]) == known
    assert set(THEIRS["robma"]["case"]) == set(scripts.cases.CASES)


def test_metafors_numbers_are_found_or_a_computation_says_why_not(scripts):
    table = scripts.metafor.compare(THEIRS["metafor"])
    assert unexplained(table) == unexplained(table[:0])
    equal = table["verdict"] == scripts.comparison.EQUAL
    assert equal.mean() > 0.9


@pytest.mark.parametrize("case", FAST)
def test_robmas_numbers_are_found_within_monte_carlo_error(scripts, case):
    table = scripts.robma.compare(THEIRS["robma"].query("case == @case"))
    assert unexplained(table) == unexplained(table[:0])
    if case != "three, fixed weights":
        named = {scripts.comparison.EQUAL, scripts.comparison.WITHIN}
        assert set(table["verdict"]) <= {*named, scripts.comparison.THEIRS}


def test_a_number_that_is_off_is_not_explained_by_a_reason_alone(scripts):
    one = scripts.comparison.Comparison(
        what="mean", theirs="0.50", ours=0.7, error=0.01, exact=0.5,
        reason="kernel density", source="",
    )  # fmt: skip
    assert one.verdict == scripts.comparison.UNEXPLAINED


@pytest.mark.parametrize(
    ("theirs", "ours", "error", "exact", "verdict"),
    [
        ("0.50", 0.504, 0.0, float("nan"), "equal to printed digits"),
        ("0.50", 0.52, 0.004, float("nan"), "within Monte Carlo error"),
        ("0.50", 0.53, 0.004, float("nan"), "not explained"),
        ("0.50", 0.53, 0.004, 0.532, "their Monte Carlo error"),
        ("9.3e92", 9.34e92, 0.0, float("nan"), "equal to printed digits"),
    ],
)
def test_verdicts(scripts, theirs, ours, error, exact, verdict):
    one = scripts.comparison.Comparison("", theirs, ours, error, exact, "", "")
    assert one.verdict == verdict


def test_the_committed_tables_explain_every_difference():
    for name in THEIRS:
        table = pd.read_csv(FOLDER / "results" / f"{name}.csv")
        assert len(table) == len(THEIRS[name])
        assert "not explained" not in set(table["verdict"])


def test_tables_of_the_page_are_those_of_the_scripts():
    page = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line for line in page if line.startswith("|")]
    made = {
        line
        for path in (FOLDER / "results").glob("*.md")
        for line in path.read_text(encoding="utf-8").splitlines()
    }
    assert len(rows) > 100
    assert [line for line in rows if line not in made] == []
