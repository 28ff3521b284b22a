"""Rows that lack an effect or its precision: refused, or left out by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pyrobma as rb
from pyrobma.effects import effect_sizes
from pyrobma.effects._columns import Rows

NA = np.nan
TABLE = pd.DataFrame(
    {
        "d": [0.1, NA, 0.3, 0.4, 0.5, 0.6],
        "se": [0.1, 0.2, NA, 0.2, 0.1, 0.3],
        "study": ["A", "B", "C", "D", "E", "F"],
        "lab": ["x", "x", "y", "y", "z", "z"],
        "age": [1.0, 2.0, NA, NA, 5.0, 7.0],
    }
)


def test_rows_without_a_value_are_counted_named_and_can_be_dropped():
    with pytest.raises(rb.DataError) as caught:
        effect_sizes(TABLE, d="d", se="se", study_names="study")
    assert str(caught.value) == (
        "d, se: expected a value in every row; 2 of 6 rows lack one, in d (1) and se "
        '(1): row 1 ("B") and row 2 ("C"). Drop them with missing=\'drop\', or give n '
        "there so that se can be computed."
    )


def test_what_is_left_is_what_the_complete_rows_give():
    with pytest.warns(rb.DataWarning) as told:
        made = effect_sizes(
            TABLE, d="d", se="se", study_names="study", study_ids="lab", missing="drop"
        )
    assert [str(one.message) for one in told] == [
        "d, se: 2 of 6 rows are dropped, which lack a value in d (1) and se (1): row 1 "
        '("B") and row 2 ("C").'
    ]
    complete = TABLE.dropna(subset=["d", "se"])
    assert made == effect_sizes(
        complete, d="d", se="se", study_names="study", study_ids="lab"
    )
    assert made.names == ("A", "D", "E", "F")


def test_rows_keep_the_names_that_they_have_in_the_whole_table():
    with pytest.warns(rb.DataWarning, match="dropped"):
        made = effect_sizes(d=[NA, 0.1, 0.2], se=[0.1] * 3, missing="drop")
    assert made.names == ("Study 2", "Study 3")
    with (
        pytest.warns(rb.DataWarning, match="dropped"),
        pytest.raises(rb.DataError, match=r'got -0\.2 at row 2 \("Study 3"\)'),
    ):
        effect_sizes(d=[NA, 0.1, 0.2], se=[0.1, 0.1, -0.2], missing="drop")


def test_a_row_that_uses_another_column_lacks_nothing():
    made = effect_sizes(
        d=[0.1, NA, 0.2], r=[NA, 0.3, NA], se=[0.1, NA, 0.1], n=[NA, 50, NA],
        missing="drop",
    )  # fmt: skip
    assert made.K == 3


def test_half_an_interval_is_no_measure_of_precision():
    with pytest.warns(rb.DataWarning, match=r"in lCI and uCI \(1\): row 1 "):
        made = effect_sizes(
            d=[0.1, 0.2], lCI=[-0.1, 0.1], uCI=[0.3, NA], missing="drop"
        )
    assert made.K == 1


def test_of_many_dropped_rows_there_are_all_numbers():
    d = np.where(np.isin(np.arange(40), [3, *range(7, 18), 30]), NA, 0.1)
    with pytest.warns(rb.DataWarning, match=r"13 of 40 rows.*: rows 3, 7-17, 30\.$"):
        effect_sizes(d=d, se=np.linspace(0.1, 0.2, 40), missing="drop")


def test_nothing_left_is_refused():
    with pytest.raises(rb.DataError, match=r"^d: .*every row lacks one, in d \(2\)"):
        effect_sizes(d=[NA, NA], se=[0.1, 0.1], missing="drop")
    with pytest.raises(rb.DataError, match=r"^missing: expected 'error' or 'drop'"):
        effect_sizes(d=[0.1], se=[0.1], missing="omit")


def test_an_infinite_value_is_not_missing():
    with pytest.raises(rb.DataError, match=r"^d: expected finite .*; got inf at row 0"):
        effect_sizes(d=[np.inf, 0.1], se=[0.1, 0.1], missing="drop")


# ---- robma -----------------------------------------------------------------
def planned(table=TABLE, **options):
    return rb.robma(
        table, d="d", se="se", study_ids="lab", priors_bias=None, only_priors=True,
        **options,
    ).task  # fmt: skip


def test_robma_drops_rows_without_moderators_too():
    with pytest.warns(rb.DataWarning, match=r"^d, se: 2 of 6 rows are dropped"):
        task = planned(missing="drop")
    complete = TABLE.dropna(subset=["d", "se"])
    assert task.effects.y.tolist() == planned(complete).effects.y.tolist()


@pytest.mark.parametrize("form", ["formula", "frame", "mapping"])
@pytest.mark.parametrize("center", ["rows", "clusters"])
def test_rows_without_an_estimate_leave_no_trace_in_the_moderators(form, center):
    mods = {
        "formula": "age", "frame": TABLE[["age"]],
        "mapping": {"age": TABLE["age"].to_numpy()},
    }[form]  # fmt: skip
    with pytest.warns(rb.DataWarning) as told:
        task = planned(mods=mods, center=center, missing="drop")
    texts = [str(one.message) for one in told]
    assert texts[0].startswith("d, se: 2 of 6 rows are dropped")
    # Row 2 lacks both, and is not told twice.
    assert texts[1].startswith(
        "mods: 1 of 4 rows is dropped, which lacks a value in age"
    )
    assert 'row 3 ("Study 4")' in texts[1]
    complete = TABLE.dropna()
    alone = planned(complete, mods="age", center=center)
    assert task.effects.y.tolist() == alone.effects.y.tolist()
    assert task.moderators.columns.tolist() == alone.moderators.columns.tolist()


def test_moderators_that_were_read_before_are_of_the_rows_that_are_left():
    complete = TABLE.dropna(subset=["d", "se"]).assign(age=[1.0, 2.0, 4.0, 7.0])
    own, _ = rb.read_moderators("age", complete)
    with pytest.warns(rb.DataWarning, match="dropped"):
        task = planned(mods=own, missing="drop")
    assert task.moderators.columns.tolist() == own.columns.tolist()
    every, _ = rb.read_moderators("age", TABLE.assign(age=range(6)))
    with (
        pytest.warns(rb.DataWarning, match="dropped"),
        pytest.raises(rb.DataError, match=r"^mods: expected 4 rows, .*; got 6"),
    ):
        planned(mods=every, missing="drop")


# ---- what rows are called --------------------------------------------------
def test_lines_of_a_file_are_what_its_rows_are_called():
    index = pd.Index([2, 3, 5], name="line")
    rows = Rows.of(index, 3, ("A", "B", "C"))
    assert rows.where(2) == 'line 5 ("C")'
    assert rows.kept(np.array([False, True, True])).where(1) == 'line 5 ("C")'
    assert rows.numbered([0, 1, 2]) == "lines 2-3, 5"
    plain = Rows.of(pd.RangeIndex(3), 3)
    assert plain.kept(np.array([False, True, True])).where(1) == "row 2"
    named = Rows.of(pd.Index(["a", "b", "c"], name="line of work"), 3)
    assert named.where(1) == "row 1 (index 'b')"
