"""``python -m pyrobma fit`` with what papers report in place of effect sizes."""

from __future__ import annotations

import argparse
import json
import re

import numpy as np
import pandas as pd
import pytest

import pyrobma as rb
from pyrobma.commands import fit as command
from pyrobma.commands import main
from pyrobma.commands.options import add_options
from pyrobma.commands.reported import reported_estimates

NAN = np.nan
TABLE = pd.DataFrame(
    {
        "study": [*"ABCDE"],
        "m1": [10.0, NAN, NAN, NAN, NAN], "s1": [2.0, NAN, NAN, NAN, NAN],
        "m2": [9.0, NAN, NAN, NAN, NAN], "s2": [2.2, NAN, NAN, NAN, NAN],
        "n1": [30, 20, 40, 25, 60], "n2": [28, 22, 40, 25, 55],
        "t": [NAN, 2.4, NAN, NAN, 1.1], "F": [NAN, NAN, 3.9, NAN, NAN],
        "p": [NAN, NAN, NAN, 0.04, 0.27], "way": [1, 1, 1, -1, 1],
        "r": [0.5, 0.7, 0.6, 0.5, 0.5], "m": [0.3, 0.1, 0.5, 0.2, 0.4],
    }
)  # fmt: skip
MEANS = ["--mean1", "m1", "--sd1", "s1", "--mean2", "m2", "--sd2", "s2"]
SIZES = ["--n1", "n1", "--n2", "n2"]
TESTS = ["--t", "t", "--F", "F", "--p", "p", "--sign", "way"]
ONE_SIDED = ["--design", "two-groups", "--p", "r", "--sign", "1", "--sides", "1"]
SAMPLE = ["--design", "one-sample", "--mean", "m", "--sd", "r"]
PAIRED = ["--design", "paired", "--t", "m", "--n", "n1"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.csv"
    TABLE.to_csv(path, index=False)
    return path


def parsed(*more):
    parser = argparse.ArgumentParser()
    add_options(parser.add_subparsers(), lambda options: 0)
    return parser.parse_args(["fit", "x.csv", "--out", "o", *more])


def passed(*more):
    """Return what `robma` gets, without what was read and is gone."""
    found = reported_estimates(parsed(*more), TABLE)
    return {name: value for name, value in found.items() if value is not None}


def check(found, measure, expected):
    assert set(found) == {measure, "v"}
    assert found[measure].equals(expected["yi"])
    assert found["v"].equals(expected["vi"])


def test_columns_with_effects_are_left_to_robma():
    for more in (["--d", "m", "--se", "s1"], ["--y", "m", "--p", "p", "--n", "n1"]):
        assert reported_estimates(parsed(*more), TABLE) == {}


def test_two_groups_need_no_design():
    expected = rb.smd(
        TABLE, mean1="m1", sd1="s1", mean2="m2", sd2="s2", n1="n1", n2="n2", t="t",
        F="F", p="p", sign="way",
    )  # fmt: skip
    check(passed(*MEANS, *SIZES, *TESTS), "d", expected)
    check(passed("--design", "two-groups", *MEANS, *SIZES, *TESTS), "d", expected)


@pytest.mark.parametrize(
    ("more", "function", "arguments"),
    [
        (["--design", "two-groups", "--t", "m", "--n", "n1"], rb.smd, {"t": "m"}),
        (
            ["--design", "two-groups", "--F", "m", "--n", "n1", "--sign", "-1"],
            rb.smd,
            {"F": "m", "sign": -1},
        ),
        (
            [*ONE_SIDED, "--n", "n1", "--no-correction"],
            rb.smd,
            {"p": "r", "sign": 1, "sides": 1, "correct": False},
        ),
        (
            [*PAIRED, "--correlation", "0.5"],
            rb.smd_paired,
            {"t": "m", "correlation": 0.5},
        ),
        (
            [*PAIRED, "--correlation", "r", "--standardizer", "sd2"],
            rb.smd_paired,
            {"t": "m", "correlation": "r", "standardizer": "sd2"},
        ),
        (
            [*SAMPLE, "--n", "n1", "--test-value", "0.2"],
            rb.smd_one_sample,
            {"mean": "m", "sd": "r", "test_value": 0.2},
        ),
    ],
)
def test_each_design_is_computed_by_its_function(more, function, arguments):
    check(passed(*more), "d", function(TABLE, n="n1", **arguments))


def test_correlations_are_on_fishers_z():
    found = passed("--design", "correlation", "--r", "r", "--n", "n1")
    check(found, "z", rb.correlation_z(TABLE, r="r", n="n1"))
    found = passed("--design", "correlation", "--t", "m", "--df", "n2")
    check(found, "z", rb.correlation_z(TABLE, t="m", df="n2"))


def test_columns_that_were_read_do_not_reach_robma_again():
    found = reported_estimates(parsed(*PAIRED, "--correlation", "0.5"), TABLE)
    assert {n for n, value in found.items() if value is None} == {"r", "n", "t", "p"}


def test_a_file_of_tests_is_fitted(table, tmp_path):
    out = tmp_path / "out"
    code = main(
        [
            "fit", str(table), "--out", str(out), *MEANS, *SIZES, *TESTS,
            "--study-names", "study", "--quiet", "--no-figures", "--no-bias",
            "--seed", "1", "--draws", "250", "--chains", "2",
            "--priors-effect-null", "none", "--priors-heterogeneity-null", "none",
        ]
    )  # fmt: skip
    assert code in (0, 3)  # 3: short chains may miss a check
    effects = rb.load(out / "fit.pyrobma").task.effects
    expected = passed(*MEANS, *SIZES, *TESTS)
    assert effects == rb.effect_sizes(TABLE, **expected, study_names="study")
    settings = json.loads((out / "settings.json").read_text())["options"]
    assert (settings["F"], settings["sign"]) == ("F", "way")


def test_p_beside_an_effect_is_passed_on(table, tmp_path, monkeypatch):
    class Enough(rb.DataError):
        pass

    def robma(data, **arguments):
        assert (arguments["d"], arguments["p"], arguments["v"]) == ("m", "p", None)
        raise Enough("that is all")

    monkeypatch.setattr(command, "robma", robma)
    arguments = ["--d", "m", "--p", "p", "--out", str(tmp_path / "out")]
    assert main(["fit", str(table), *arguments]) == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--t", "t", "--n", "n1"], "--t: expected an effect or a --design beside it"),
        (["--F", "F", "--sign", "1"], "--F, --sign: expected a --design beside it"),
        (["--no-correction"], "--no-correction: expected a --design beside it"),
        (
            ["--d", "m", "--se", "r", "--t", "t", *SIZES],
            "--d, --se: expected none beside --design two-groups",
        ),
        (
            [*PAIRED, "--n1", "n1", "--sd", "r", "--correlation", "1"],
            "--n1, --sd: expected options of --design paired; got others",
        ),
        (
            ["--design", "correlation", "--r", "r", "--correlation", "r"],
            "--correlation: expected options of --design correlation",
        ),
        (PAIRED, "--correlation: expected .* such as --correlation 0.5, and check"),
        (
            [*PAIRED, "--correlation", "rho"],
            '--correlation: expected the name of a column of data; got "rho"',
        ),
        ([*SIZES, "--t", "t"], "--t: expected finite t; got nan at row 0 and 2 more"),
        (
            [*SIZES, "--t", "t", *MEANS],
            "--mean1, --sd1, --mean2, --sd2, --t: expected .* got none at row 2",
        ),
        ([*SIZES, "--p", "r"], "--sign: expected the direction of effects beside p"),
        (["--design", "one-sample", "--t", "m"], "--n: expected a column name"),
        (["--design", "two-groups"], "--mean1: expected means and standard dev"),
    ],
)
def test_what_cannot_be_computed_is_said_in_options(more, message):
    with pytest.raises(rb.DataError, match=f"^{message}"):
        passed(*more)


def test_bad_reports_end_the_run_before_anything_is_fitted(
    table, tmp_path, monkeypatch, capsys
):
    def never(*arguments, **options):
        raise AssertionError("a fit was started")

    monkeypatch.setattr(command, "robma", never)
    assert main(["fit", str(table), "--out", str(tmp_path / "out"), *PAIRED]) == 1
    text = capsys.readouterr().err
    assert re.search(r"^Error: --correlation: expected the corr", text, re.MULTILINE)
