"""How numbers and tables are printed."""

from __future__ import annotations

import math
import pickle

import pandas as pd
import pytest

from pyrobma import Summary, Table
from pyrobma._format import (
    bayes_factor,
    bayes_factor_in_text,
    bayes_factor_of_log,
    counted,
    decimals,
    error,
    fixed,
    integer,
    listed,
    p_value,
    sided,
    significant,
)
from pyrobma.summary.grid import by_row


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (fixed(3), 0.12345, "0.123"),
        (fixed(3), -0.0001, "0.000"),
        (fixed(2), -187.6329, "-187.63"),
        (fixed(3), math.nan, ""),
        (fixed(3), math.inf, "Inf"),
        (fixed(3), -math.inf, "-Inf"),
        (bayes_factor, 0.9194, "0.919"),
        (bayes_factor, 4618.8, "4618.800"),
        (bayes_factor, 9.32e92, "9.320e+92"),
        (bayes_factor, 2.5e-97, "2.500e-97"),
        (bayes_factor, 0.0, "0.000"),
        (bayes_factor, math.inf, "Inf"),
        (error, 0.0123, "0.012"),
        (error, 0.00204, "0.0020"),
        (error, 12.3, "12"),
        (error, 0.0, "0"),
        (error, 1.8e-18, "1.8e-18"),
        (error, math.nan, ""),
        (integer, 4119.7, "4120"),
        (integer, math.nan, ""),
    ],
)
def test_numbers_are_printed_to_what_they_are_good_for(write, value, text):
    assert write(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1.0, 3, "1.000"),
        (0.73126, 3, "0.731"),
        (0.0174, 3, "0.0174"),
        (0.00914, 3, "0.00914"),
        (0.00914, 2, "0.0091"),
        (0.5, 2, "0.50"),
        (4992.63, 2, "4993"),
        (4992.63, 3, "4993"),
        (123.456, 3, "123"),
        (0.000012, 3, "1.20e-05"),
        (3.4e7, 2, "3.4e+07"),
        (0.0, 3, "0.000"),
        (math.inf, 3, "Inf"),
        (math.nan, 2, ""),
    ],
)
def test_ratios_have_significant_digits_near_0_and_far_from_it(value, digits, text):
    assert significant(value, digits) == text


def test_rows_of_odds_ratios_show_each_number_whatever_the_others_are():
    frame = pd.DataFrame({"Mean": [1.0], "0.025": [0.0002], "0.975": [4992.63]})
    shown = {name: texts[0] for name, texts in by_row(frame, "OR").items()}
    assert shown == {"Mean": "1.000", "0.025": "0.000200", "0.975": "4993"}


@pytest.mark.parametrize(
    ("log_bf", "text"),
    [
        (math.log(0.9194), "0.919"),
        (math.log(9.32e92), "9.320e+92"),
        (400 * math.log(10), "1.000e+400"),
        (-400 * math.log(10), "1.000e-400"),
        (400 * math.log(10) - 1e-6, "1.000e+400"),  # not 10.000e+399
        (math.log(2.5) + 1000 * math.log(10), "2.500e+1000"),
        (math.inf, "Inf"),
        (-math.inf, "0.000"),
    ],
)
def test_a_bayes_factor_beyond_the_range_of_doubles_is_printed_from_its_log(
    log_bf, text
):
    assert bayes_factor_of_log(log_bf) == text


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.012, 0.3, 99.0], 3),
        ([0.0, 0.0, 0.0], 3),
        ([math.nan, math.inf], 3),
        ([], 3),
        ([0.0004, 0.0003, 0.0], 6),
        ([0.0099], 5),
        ([-321.4], 2),
        ([5321.4, 5000.0], 1),
        ([1e8], 0),
        ([1e-300], 15),
    ],
)
def test_decimals_follow_the_typical_size_of_the_values(values, expected):
    assert decimals(values) == expected


def test_rows_of_other_units_have_decimals_of_their_own_and_points_in_line():
    frame = pd.DataFrame(
        {"Mean": [0.0004, 0.66, 53214.0], "0.975": [0.0007, 0.9, math.inf]},
        index=["mu", "rho", "tau"],
    )
    shown = Table("Raw:", frame, by_row(frame, None))
    assert shown.formatted()["Mean"].to_list() == [
        "0.000400",
        "0.660\u2007\u2007\u2007",
        "53214" + "\u2007" * 7,
    ]
    _, header, *rows = str(shown).splitlines()
    assert header.split() == ["Mean", "0.975"]
    assert rows[0].index(".") == rows[1].index(".")
    assert [row.split() for row in rows] == [
        ["mu", "0.000400", "0.000700"],
        ["rho", "0.660", "0.900"],
        ["tau", "53214", "Inf"],
    ]
    assert "\u2007" not in str(shown)


TABLE = Table(
    "Estimates:",
    pd.DataFrame({"Mean": [0.12345, -0.5], "Note": ["a<b", "c"]}, index=["mu", "tau"]),
    {"Mean": fixed(3)},
    ("A note & more.",),
)
SUMMARY = Summary("Heading", {"estimates": TABLE}, ("Model 1 <x> fails.",))


def test_a_table_prints_title_aligned_columns_and_notes():
    title, *rows, note = str(TABLE).splitlines()
    assert (title, note) == ("Estimates:", "A note & more.")
    assert [row.split() for row in rows] == [
        ["Mean", "Note"],
        ["mu", "0.123", "a<b"],
        ["tau", "-0.500", "c"],
    ]
    assert len({len(row) for row in rows}) == 1


def test_a_summary_prints_heading_tables_and_warnings():
    assert str(SUMMARY) == f"Heading\n\n{TABLE}\n\nWarning: Model 1 <x> fails."
    assert repr(SUMMARY) == str(SUMMARY)


def test_a_notebook_shows_escaped_html():
    html = SUMMARY._repr_html_()
    assert "<caption>Estimates</caption>" in html
    assert ">0.123</td>" in html
    assert "a&lt;b" in html
    assert "A note &amp; more." in html
    assert "Warning: Model 1 &lt;x&gt; fails." in html


def test_a_table_is_an_attribute_with_numbers_in_full_precision():
    assert SUMMARY.estimates.loc["mu", "Mean"] == 0.12345
    assert "estimates" in dir(SUMMARY)


def test_changing_a_table_that_was_read_does_not_change_the_summary():
    frame = SUMMARY.estimates
    frame.loc["mu", "Mean"] = 9.0
    assert SUMMARY.estimates.loc["mu", "Mean"] == 0.12345


def test_a_table_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="this summary has no table 'models'"):
        _ = SUMMARY.models


def test_a_summary_survives_pickling():
    again = pickle.loads(pickle.dumps(SUMMARY))
    assert str(again) == str(SUMMARY)
    assert again.estimates.equals(SUMMARY.estimates)


def test_an_empty_table_prints_its_title_and_notes_only():
    empty = Table("Nothing:", pd.DataFrame(), notes=("Why.",))
    assert str(empty) == "Nothing:\nWhy."
    assert "<table" not in empty._repr_html_()


@pytest.mark.parametrize(
    ("log10_bf", "text"),
    [(0.0, "1.00"), (1.5, "31.6"), (3.0, "1000"), (5.0, "1.0 × 10^5"),
     (5.99, "9.8 × 10^5"), (5.999, "1.0 × 10^6"), (400.5, "3.2 × 10^400")],
)  # fmt: skip
def test_a_bayes_factor_in_a_sentence_has_few_digits(log10_bf, text):
    assert bayes_factor_in_text(log10_bf * math.log(10)) == text


def test_a_mantissa_that_rounds_up_to_ten_raises_the_exponent():
    assert bayes_factor_of_log(999.99999 * math.log(10)) == "1.000e+1000"
    assert bayes_factor_of_log(-999.00001 * math.log(10)) == "1.000e-999"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 cats"), (1, "1 cat"), (2, "2 cats")]
)
def test_nouns_agree_with_their_number(number, text):
    assert counted(number, "cat") == text


def test_one_can_be_a_word():
    assert counted(1, "cat", one="one") == "one cat"


def test_the_last_of_a_list_follows_a_word():
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(["a", "b", "c"], "or") == "a, b or c"


def test_p_values_have_no_leading_zero_and_a_number_of_sides():
    assert [p_value(p) for p in (0, 0.025, 0.5, 1)] == ["0", ".025", ".5", "1"]
    assert [sided(s) for s in (1, 2)] == ["one-sided", "two-sided"]
