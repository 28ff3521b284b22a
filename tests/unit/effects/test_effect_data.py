"""The frozen value that stage 1 hands on, and its clusters."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest

from pyrobma.effects import EffectSizes, effect_sizes, load_dataset
from pyrobma.errors import DataError

ROUND_TRIP = 1e-12  # a few floating-point operations there and back


def made(ids=None, K=4):
    return effect_sizes(
        d=np.linspace(0.1, 0.4, K), n=np.arange(50, 50 + K), study_ids=ids
    )


def schools():
    table = load_dataset("konstantopoulos2011")
    return effect_sizes(table, d="yi", v="vi", study_ids="district")


def test_without_ids_every_estimate_is_its_own_cluster():
    sizes = made()
    np.testing.assert_array_equal(sizes.cluster, [0, 1, 2, 3])
    assert sizes.cluster_labels == (None,) * 4
    assert not sizes.clustered
    assert sizes.L == sizes.K == len(sizes) == 4


def test_single_and_missing_ids_are_independent():
    sizes = made(["B", None, "A", "B", "C", np.nan, "A"], K=7)
    np.testing.assert_array_equal(sizes.cluster, [1, 2, 0, 1, 3, 4, 0])
    assert sizes.cluster_labels == ("A", "B", None, "C", None)
    assert sizes.shared_labels == ("B", None, "A", "B", None, None, "A")


def test_an_independent_estimate_is_named_by_its_id_unless_it_has_a_name():
    ids = ["B", None, "B", "C", "D"]
    assert made(ids, K=5).names == ("Study 1", "Study 2", "Study 3", "C", "D")
    named = effect_sizes(
        y=[0.1] * 5, se=[0.2] * 5, study_ids=ids,
        study_names=["x", None, "y", "z", None],
    )  # fmt: skip
    assert named.names == ("x", "Study 2", "y", "z", "D")


@pytest.mark.parametrize(
    "ids",
    [
        [108, 9, 108, 9],
        [108.0, 9.0, 108.0, 9.0],
        ["108", "9", "108", "9"],
        pd.Categorical([108, 9, 108, 9]),
        pd.Series([108, 9, 108, 9], dtype="Int64"),
        np.array([108, 9, 108, 9]),
        [108, 9.0, "108", "9"],
    ],
)
def test_ids_of_any_type_number_clusters_in_sorted_order(ids):
    sizes = made(ids)
    np.testing.assert_array_equal(sizes.cluster, [1, 0, 1, 0])
    assert sizes.cluster_labels == ("9", "108")


def test_missing_ids_of_a_nullable_column_are_independent():
    sizes = made(pd.Series([1, 1, pd.NA, pd.NA], dtype="Int64"))
    assert sizes.cluster_labels == ("1", None, None)


def test_cluster_numbers_ignore_the_order_of_rows():
    table = load_dataset("konstantopoulos2011")
    shuffled = table.sample(frac=1, random_state=np.random.default_rng(3))
    sizes = effect_sizes(shuffled, d="yi", v="vi", study_ids="district")
    assert sizes.cluster_labels == schools().cluster_labels
    back = np.argsort(shuffled.index)
    np.testing.assert_array_equal(sizes.cluster[back], schools().cluster)


@pytest.mark.parametrize("target", ["cohens_d", "r", "logOR"])
def test_converting_there_and_back_changes_nothing(target):
    there = schools().convert(target)
    assert there.measure == target
    back = there.convert("fishers_z")
    np.testing.assert_allclose(back.y, schools().y, rtol=ROUND_TRIP)
    np.testing.assert_allclose(back.se, schools().se, rtol=ROUND_TRIP)
    assert back.original == schools().original


def test_converting_to_the_data_scale_itself_returns_the_same_object():
    sizes = schools()
    assert sizes.convert("fishers_z") is sizes


@pytest.mark.parametrize("target", ["OR", "none", "Fishers_z"])
def test_scales_without_a_conversion_are_refused(target):
    with pytest.raises(DataError):
        schools().convert(target)


def test_fields_and_arrays_are_frozen():
    sizes = made()
    with pytest.raises(dataclasses.FrozenInstanceError):
        sizes.measure = "r"
    for array in (sizes.y, sizes.se, sizes.cluster):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_arrays_given_to_the_constructor_are_copied():
    y = np.array([0.1])
    sizes = EffectSizes(
        y, np.array([0.2]), "none", ("none",), ("A",), np.array([0]), (None,)
    )
    y[0] = 5.0
    assert sizes.y[0] == 0.1


def test_copies_are_equal_and_frozen_and_others_differ():
    sizes = schools()
    for twin in (pickle.loads(pickle.dumps(sizes)), copy.deepcopy(sizes)):
        assert twin == sizes
        assert not twin.y.flags.writeable
    assert sizes != sizes.convert("r")
    assert sizes != "schools"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("y", np.array([0.1, np.nan]), r"^y: .*got nan at row 1"),
        ("y", np.zeros((2, 1)), r"^y: .*shape \(2, 1\)"),
        ("y", np.array([]), r"^y: .*at least one"),
        ("se", np.array([0.1, 0.0]), r"^se: .*got 0\.0 at row 1"),
        ("se", np.array([0.1]), r"^se: expected 2 values"),
        ("names", ("A",), r"^names: expected 2 values"),
        ("measure", "OR", r"^measure: .*got \'OR\'"),
        ("cluster", np.array([0, 2]), r"^cluster: .*got \[0, 2\]"),
        ("cluster", np.array([0.0, 1.0]), r"^cluster: .*float64"),
    ],
)
def test_inconsistent_parts_are_refused(field, value, message):
    parts = {
        "y": np.array([0.1, 0.2]),
        "se": np.array([0.1, 0.1]),
        "measure": "fishers_z",
        "original": ("r", "r"),
        "names": ("A", "B"),
        "cluster": np.array([0, 1]),
        "cluster_labels": (None, None),
    }
    EffectSizes(**parts)
    with pytest.raises(DataError, match=message):
        EffectSizes(**{**parts, field: value})


def test_frame_has_a_row_per_estimate_and_is_a_copy():
    sizes = made(["B", "B", None, "A"])
    frame = sizes.to_frame()
    assert list(frame.columns) == [
        "study",
        "y",
        "se",
        "original",
        "cluster",
        "cluster_label",
    ]
    assert frame["cluster_label"].tolist() == ["B", "B", None, "A"]
    frame.loc[0, "y"] = 9.0
    assert sizes.y[0] != 9.0


def test_repr_fits_one_screen_and_says_what_it_holds():
    lines = repr(schools()).splitlines()
    assert lines[0] == ("EffectSizes: 56 estimates, Fisher's z, 11 clusters of 3 to 11")
    assert len(lines) <= 12
    assert lines[-1] == "... and 48 more"
    assert repr(made(K=1)).startswith(
        "EffectSizes: 1 estimate, Fisher's z, independent"
    )
    assert "1 cluster of 2, 2 independent" in repr(made(["A", "A", "B", None]))
