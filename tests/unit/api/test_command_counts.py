"""``python -m pyrobma fit`` with events of two groups."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import pyrobma as rb
from pyrobma.__main__ import main

COLUMNS = ["--x1", "x1", "--n1", "n1", "--x2", "x2", "--n2", "n2"]
QUICK = ["--seed", "1", "--no-figures", "--quiet"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("counts") / "trials.csv"
    path.write_text(
        "study,x1,n1,x2,n2,t1,t2\nA,4,40,9,41,80.5,79\nB,0,35,3,38,60,71\n"
        "C,6,60,14,55,99,101\n"
    )
    return path


def test_results_are_those_of_robma(file, tmp_path):
    more = ["--output-scale", "OR", "--sensitivity", "baseline"]
    arguments = ["fit", str(file), *COLUMNS, *more, *QUICK]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    fit = rb.load(tmp_path / "out" / "fit.pyrobma")
    own = rb.robma(
        pd.read_csv(file), x1="x1", n1="n1", x2="x2", n2="n2", seed=1, progress=False
    )
    assert fit.logml.tolist() == own.logml.tolist()
    table = pd.read_csv(tmp_path / "out" / "tables" / "sensitivity_baseline.csv")
    assert table["baseline"].nunique() == 3
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings["options"]["x1"] == "x1"


def test_rates_take_a_prior_of_rates(file, tmp_path):
    rates = ["--x1", "x1", "--t1", "t1", "--x2", "x2", "--t2", "t2"]
    more = ["--baseline", "Lognormal(-2, 1)", "--output-scale", "IRR"]
    arguments = ["fit", str(file), *rates, *more, *QUICK]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    fit = rb.load(tmp_path / "out" / "fit.pyrobma")
    assert str(fit.task.baseline) == "midpoint log rate ~ Normal(-2, 1)"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([*COLUMNS[:6]], "Error: --n2: expected a column name or one value per study"),
        ([*COLUMNS, "--model-type", "PP"], "Error: --model-type: expected None with"),
        ([*COLUMNS, "--baseline", "Normal(0, 1)"], "Error: --baseline: expected 'cond"),
        ([*COLUMNS, "--baseline", "flat"], "Error: --baseline: "),
        ([*COLUMNS, "--design", "paired"], "Error: --design: expected none beside ev"),
        ([*COLUMNS, "--mean1", "x1"], "Error: --mean1: expected none beside events"),
        ([*COLUMNS, "--d", "x1"], "got d too. Give one of the two."),
        ([*COLUMNS, "--output-scale", "IRR"], "expected logIRR or IRR exactly for rat"),
        (["--x1", "n1", "--n1", "x1", *COLUMNS[4:]],
         "Error: --n1: expected whole numbers of at least 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_words_of_options(
    file, tmp_path, capsys, more, message
):
    out = ["--out", str(tmp_path / "out"), "--quiet"]
    assert main(["fit", str(file), *more, *out]) == 1
    assert message in capsys.readouterr().err
