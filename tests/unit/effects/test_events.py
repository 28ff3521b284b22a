"""Events of two groups: read as they are, or refused by name."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

import pyrobma as rb
from pyrobma.errors import ArgumentError, DataError, DataWarning

TABLE = pd.DataFrame(
    {
        "trial": ["A", "B", "C", "D"],
        "x1": [4, 0, 0, 12],
        "n1": [40, 35, 20, 12],
        "x2": [7, 3, 0, 10],
        "n2": [41, 38, 22, 10],
        "lab": ["u", "u", "v", None],
    }
)
COLUMNS = {name: name for name in ("x1", "n1", "x2", "n2")}


def test_counts_are_kept_as_they_are():
    made = rb.event_counts(TABLE, **COLUMNS, study_names="trial")
    assert made.measure == "logOR"
    assert made.names == ("A", "B", "C", "D")
    for name in COLUMNS:
        assert made.counts.columns[name].tolist() == TABLE[name].tolist()
    assert made.counts.silent.tolist() == [False, False, True, True]


def test_crude_ratios_have_a_half_in_the_cells_of_studies_with_an_empty_one():
    made = rb.event_counts(TABLE, **COLUMNS)
    expected = rb.log_odds_ratio(
        a=TABLE.x1, b=TABLE.n1 - TABLE.x1, c=TABLE.x2, d=TABLE.n2 - TABLE.x2
    )
    np.testing.assert_allclose(made.y, expected["yi"], atol=1e-14)
    np.testing.assert_allclose(made.se**2, expected["vi"], rtol=1e-14)


def test_crude_rate_ratios_are_those_of_the_counts():
    made = rb.event_counts(x1=[6, 0], t1=[120.5, 80], x2=[3, 4], t2=[100, 90])
    assert made.measure == "logIRR"
    expected = [np.log(6 / 120.5 / (3 / 100)), np.log(0.5 / 80 / (4.5 / 90))]
    np.testing.assert_allclose(made.y, expected, rtol=1e-14)
    np.testing.assert_allclose(made.se**2, [1 / 6 + 1 / 3, 1 / 0.5 + 1 / 4.5])


def test_ids_make_clusters():
    made = rb.event_counts(TABLE, **COLUMNS, study_ids="lab")
    assert made.clustered
    assert made.shared_labels == ("u", "u", None, None)


def test_some_of_the_studies_keep_their_counts():
    made = rb.event_counts(TABLE, **COLUMNS, study_ids="lab")
    some = made.kept(np.array([True, False, True, True]))
    assert some.counts.x2.tolist() == [7, 0, 10]
    assert not some.clustered


def test_pickled_counts_are_equal_and_read_only():
    made = rb.event_counts(TABLE, **COLUMNS)
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    with pytest.raises(ValueError, match="read-only"):
        again.counts.x1[0] = 3


def test_other_counts_are_not_equal():
    made = rb.event_counts(TABLE, **COLUMNS)
    other = rb.event_counts(TABLE.assign(x2=[7, 3, 0, 9]), **COLUMNS)
    estimates = rb.effect_sizes(logOR=made.y, se=made.se, transformation="logOR")
    assert made != other
    assert made != estimates


def test_counts_have_no_other_measure():
    made = rb.event_counts(TABLE, **COLUMNS)
    with pytest.raises(DataError, match='only measure of counts; got "cohens_d"'):
        made.convert("cohens_d")
    assert made.convert("logOR") is made


def test_text_shows_counts():
    text = repr(rb.event_counts(TABLE, **COLUMNS, study_names="trial"))
    assert "counts of 4 studies" in text
    assert "A   4  40   7  41" in text


def test_frame_has_counts():
    frame = rb.event_counts(TABLE, **COLUMNS).to_frame()
    assert frame[["x1", "n1", "x2", "n2"]].astype(int).equals(TABLE[[*COLUMNS]])


def test_rows_that_lack_a_number_are_refused_or_dropped_by_name():
    table = TABLE.assign(x2=[7, np.nan, 0, 10])
    with pytest.raises(DataError, match=r"x2: expected a value in every row; 1 of 4"):
        rb.event_counts(table, **COLUMNS, study_names="trial")
    with pytest.warns(DataWarning, match=r"row 1 \(\"B\"\)"):
        made = rb.event_counts(table, **COLUMNS, study_names="trial", missing="drop")
    assert made.names == ("A", "C", "D")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x1": [4, -1, 0, 12]}, r"x1: expected whole numbers of at least 0; got -1"),
        ({"x1": [4, 0.5, 0, 12]}, r"x1: expected whole numbers.* at row 1 \(\"B\"\)"),
        ({"n2": [41, 0, 22, 10]}, r"n2: expected whole numbers of at least 1; got 0"),
        ({"x2": [7, 39, 0, 10]}, r"x2: expected no more events than n2 has members; "
         r"got 39 events of 38 at row 1 \(\"B\"\)"),
        ({"x1": [4, np.inf, 0, 12]}, r"x1: expected whole numbers"),
    ],
)  # fmt: skip
def test_counts_that_cannot_be_are_refused_by_row(change, message):
    with pytest.raises(DataError, match=message):
        rb.event_counts(TABLE.assign(**change), **COLUMNS, study_names="trial")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x1": "x1", "x2": "x2"}, "n1: expected a column name or one value per study"),
        ({"x1": "x1", "n1": "n1", "x2": "x2"}, "n2: expected a column name"),
        ({**COLUMNS, "t1": "n1"}, "n1: expected None of counts over person-time"),
        ({**COLUMNS, "x1": "xx"}, "x1: expected the name of a column of data"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        rb.event_counts(TABLE, **arguments)


def test_person_time_must_be_positive():
    with pytest.raises(DataError, match="t2: expected positive finite person-time"):
        rb.event_counts(x1=[1], t1=[3.0], x2=[0], t2=[0.0])


def test_names_of_other_packages_get_advice():
    with pytest.raises(ArgumentError, match="For ai=, write x1="):
        rb.event_counts(TABLE, ai="x1")


def test_frequentist_models_of_estimates_refuse_counts():
    made = rb.event_counts(TABLE, **COLUMNS)
    with pytest.raises(DataError, match="Use rma_glmm, rma_mh or rma_peto"):
        rb.rma(made)
    with pytest.raises(DataError, match="Use rma_glmm, rma_mh or rma_peto"):
        rb.rma_mv(made)


def test_ratios_of_rates_convert_to_their_logs_alone():
    assert rb.IRR2logIRR(2.0) == np.log(2.0)
    assert rb.logIRR2IRR(0.0) == 1.0
    assert rb.transform_effect(0.5, "logIRR", "IRR") == np.exp(0.5)
    with pytest.raises(DataError, match='expected "logIRR" or "IRR" for both scales'):
        rb.transform_effect(0.5, "logIRR", "OR")
    with pytest.raises(DataError, match=r'got "IRR"\. Use "logIRR"'):
        rb.transform_se(0.1, 2.0, "IRR", "logIRR")
