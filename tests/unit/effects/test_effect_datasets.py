"""The bundled meta-analyses."""

from __future__ import annotations

import pytest

from pyrobma.effects import datasets, effect_sizes, load_dataset, log_risk_ratio
from pyrobma.errors import DataError

SCHOOLS = {"d": "yi", "v": "vi", "study_ids": "district"}
CELLS = {"a": "tpos", "b": "tneg", "c": "cpos", "d": "cneg"}


def test_the_list_has_a_row_for_every_file_and_tells_its_size():
    listed = datasets()
    assert listed.columns.tolist() == ["name", "rows", "what", "citation"]
    assert len(listed) == 11
    for name, rows in zip(listed["name"], listed["rows"], strict=True):
        assert len(load_dataset(name)) == rows


@pytest.mark.parametrize("name", datasets()["name"])
def test_every_data_set_carries_its_citation(name):
    attrs = load_dataset(name).attrs
    assert attrs["name"] == name
    assert "doi:" in attrs["citation"]


def test_each_call_gives_a_table_of_its_own():
    first = load_dataset("bem2011")
    first.loc[0, "d"] = 9.0
    assert load_dataset("bem2011").loc[0, "d"] == 0.25


@pytest.mark.parametrize(
    ("name", "columns", "K", "L"),
    [
        ("andrews2021", {"r": "r", "se": "se"}, 36, 36),
        ("assink2016", {"d": "yi", "v": "vi", "study_ids": "study"}, 100, 17),
        ("bangertdrowns2004", {"d": "yi", "v": "vi"}, 48, 48),
        ("bem2011", {"d": "d", "se": "se", "study_names": "study"}, 9, 9),
        (
            "konstantopoulos2011",
            {"d": "yi", "v": "vi", "study_ids": "district"},
            56,
            11,
        ),
        ("lui2015", {"r": "r", "n": "n", "study_names": "study"}, 18, 18),
        ("poulsen2006", {"d": "d", "se": "se", "study_names": "study"}, 5, 5),
    ],
)
def test_every_data_set_is_readable_as_effect_sizes(name, columns, K, L):
    made = effect_sizes(load_dataset(name), **columns)
    assert (made.K, made.L) == (K, L)


def test_the_bcg_trials_are_readable_through_a_measure():
    made = effect_sizes(log_risk_ratio(load_dataset("bcg"), **CELLS), y="yi", v="vi")
    assert made.K == 13


def test_an_unknown_name_is_answered_with_all_names_and_the_closest():
    with pytest.raises(
        DataError, match=r"^name: .*andrews2021, .*poulsen2006.*\"bem2011\"\?$"
    ):
        load_dataset("Bem2010")
