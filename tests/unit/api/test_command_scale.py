"""``python -m pyrobma fit --scale``: what it passes on, writes, says and refuses."""

from __future__ import annotations

import argparse
import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from command_moderators import READ, SIDES, fit

import pyrobma as rb
from pyrobma.commands.moderators import given_moderators
from pyrobma.commands.options import add_options
from pyrobma.commands.words import advised, option_words


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    path = tmp_path_factory.mktemp("new") / "new.csv"
    path.write_text("group,age\nx,10\nz,15\n")
    return path


@pytest.fixture(scope="module")
def results(table, fresh, tmp_path_factory):
    """With moderators of heterogeneity only, of which one is tested."""
    out = tmp_path_factory.mktemp("run") / "results"
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # Of few draws, a model that is fitted again may miss a check.
        warnings.simplefilter("ignore", rb.ConvergenceWarning)
        # What is drawn of every fit has tests of its own.
        for place in ("commands.results", "report.page"):
            patch.setattr(f"pyrobma.{place}.figures", lambda *a, **k: ())
        code = fit(
            table, out, *SIDES, "--scale", "group + age", "--missing", "drop",
            "--test-scale", "age", "--priors-scale", "age: Normal(0, 0.3)",
            "--center", "age=10", "--predict", str(fresh), "--sensitivity",
            "tau ~ age", "--output-scale", "r",
        )  # fmt: skip
    return out, code


def test_the_tables_are_those_of_the_saved_fit(results):
    out, code = results
    saved = rb.load(out / "fit.pyrobma")
    assert code == (0 if all(model.ok for model in saved.fits) else 3)
    summary = saved.summary(output_scale="r", conditional=True)
    heterogeneity = saved.heterogeneity(output_scale="r")
    expected = {
        "components_scale": summary.components_scale,
        "estimates_scale": summary.estimates_scale,
        "estimates_scale_conditional": summary.estimates_scale_conditional,
        "tau": heterogeneity.tau,
        "variance_ratios": heterogeneity.variance_ratios,
    }
    for name, frame in expected.items():
        written = pd.read_csv(out / "tables" / f"{name}.csv", index_col=0)
        assert list(written.index) == [str(label) for label in frame.index]
        numbers = frame.select_dtypes("number")
        np.testing.assert_allclose(written[numbers.columns], numbers, rtol=READ)
        assert (out / "tables" / f"{name}.html").stat().st_size > 100


def test_what_is_passed_on_reaches_the_models(results):
    saved = rb.load(results[0] / "fit.pyrobma")
    assert saved.task.moderators is None
    assert saved.task.effects.K == 13  # one lacks its age
    assert saved.task.scale_moderators.formula == "group + age"
    assert saved.task.scale_moderators.coding("age").centre.tolist() == [10.0]
    given = {str(model.prior("tau ~ age")) for model in saved.space}
    assert given == {"Spike(0)", "Normal(0, 0.3)"}
    assert {str(model.prior("tau ~ group[1]")) for model in saved.space} == {
        "Normal(0, 0.5)"
    }


def test_new_studies_scatter_by_their_moderators(results, fresh):
    out, _ = results
    saved, given = rb.load(out / "fit.pyrobma"), pd.read_csv(fresh)
    written = pd.read_csv(out / "tables" / "predictions.csv", index_col="row")
    assert list(written["group"]) == ["x", "z"]
    mean = saved.predict(given, "terms", output_scale="r")
    single = saved.predict(given, "effect", output_scale="r")
    np.testing.assert_allclose(written[mean.columns], mean, rtol=READ)
    for end in ("0.025", "0.975"):
        np.testing.assert_allclose(written[f"PI {end}"], single[end], rtol=READ)
    # One mean for all, and no two heterogeneities.
    assert len(set(written["Mean"])) == 1
    assert len(set(written["PI 0.975"])) == 2


def test_sensitivity_has_a_table_and_a_figure(results):
    out, _ = results
    frame = pd.read_csv(out / "tables" / "sensitivity_tau_age.csv", index_col=0)
    own = frame[frame["component"] == "tau ~ age"]
    saved = rb.load(out / "fit.pyrobma")
    fitted = saved.inclusion.loc["tau ~ age", "log_bf"]
    assert own.loc[own["factor"] == 1, "log_bf"].item() == pytest.approx(fitted)
    assert own.loc[own["factor"] == 1, "prior"].item() == "Normal(0, 0.3)"
    for ending in ("svg", "png", "pdf"):
        assert (out / "figures" / f"sensitivity_tau_age.{ending}").exists()


def test_the_report_has_a_section_of_moderators_of_heterogeneity(results):
    text = (results[0] / "report.html").read_text(encoding="utf-8")
    start = text.index('<h2 id="moderators"')
    part = text[start : text.index("<h2", start + 1)]
    assert "Moderators of heterogeneity: <code>group + age</code>" in part
    for title in (
        "Heterogeneity (tau) by its moderators", "Ratios of variances",
        "Model-averaged estimates of heterogeneity moderators", "Predicted effects",
    ):  # fmt: skip
        # There, and nowhere else.
        assert part.count(f"<caption>{title}") == 1
        assert text.count(f"<caption>{title}") == 1
    assert 'href="#moderators"' in text


def test_the_settings_have_every_option(results):
    settings = json.loads((results[0] / "settings.json").read_text())
    options = settings["options"]
    assert options["scale"] == "group + age"
    assert options["test_scale"] == ["age"]
    assert options["priors_scale"] == ["age: Normal(0, 0.3)"]
    assert any("1 of 14 rows" in text for text in settings["warnings"])


# ---- what is passed on ---------------------------------------------------------------
def passed(*more):
    parser = argparse.ArgumentParser()
    add_options(parser.add_subparsers(), lambda options: 0)
    columns = ["fit", "x.csv", "--d", "d", "--out", "o"]
    return given_moderators(parser.parse_args([*columns, *more]))


NARROW = rb.prior("normal", mean=0, sd=0.3)
SLAB = rb.prior("normal", mean=0, sd=0.01)
SPIKE = rb.prior("spike", location=0)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], {}),
        (["--test-scale", "none"], {"test_scale": False}),
        (["--test-scale", "age", "group"], {"test_scale": ["age", "group"]}),
        (["--contrasts", "treatment"], {"contrasts": "treatment"}),
        (["--mods-prior", "beta-binomial"], {"mods_prior": "beta-binomial"}),
        (["--no-heredity"], {"heredity": False}),
        (
            ["--priors-scale", "age: Normal(0, 0.3)"],
            {"priors_scale": {"age": [NARROW]}},
        ),
        (
            ["--priors-scale", "a:b: Normal(0, 0.3)", "--priors-scale-null",
             "tau ~ b:a: Normal(0, 0.01)"],
            {"priors_scale": {"a:b": {"alternative": [NARROW], "null": [SLAB]}}},
        ),
        (
            ["--priors-scale", "age: none"],
            {"priors_scale": {"age": {"alternative": (), "null": [SPIKE]}}},
        ),
        (["--mods", "age"], {"mods": "age"}),
        (
            ["--mods", "age", "--priors-mods", "age: Normal(0, 0.01)", "--test-mods",
             "none", "--priors-scale", "age: Normal(0, 0.3)"],
            {
                "mods": "age", "priors_mods": {"age": [SLAB]}, "test_mods": False,
                "priors_scale": {"age": [NARROW]},
            },
        ),
    ],
)  # fmt: skip
def test_options_are_passed_on_as_arguments(more, expected):
    assert passed("--scale", "group * age", *more) == {
        "scale": "group * age", **expected,
    }  # fmt: skip


def test_the_default_beside_a_null_is_that_of_ratios_which_no_unit_concerns():
    more = ["--priors-scale-null", "age: Normal(0, 0.01)", "--rescale-priors", "2"]
    (default,) = passed("--scale", "age", *more)["priors_scale"]["age"]["alternative"]
    assert default == rb.prior("normal", mean=0, sd=0.5)


# ---- what is refused -----------------------------------------------------------------
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--test-scale", "age"], "--test-scale: expected --scale beside it; got none"),
        (
            ["--mods", "group", "--priors-scale", "group: Normal(0, 1)"],
            "--priors-scale: expected --scale beside it; got none. Add --scale.",
        ),
        (
            ["--scale", "group", "--test-mods", "group"],
            "--test-mods: expected --mods beside it; got none. Add --mods.",
        ),
        (
            ["--contrasts", "treatment"],
            "--contrasts: expected --mods or --scale beside it; got none. Add",
        ),
        (
            ["--scale", "grup"],
            r'--scale: expected columns .*"grup".* Did you mean .group',
        ),
        (["--scale", "group +"], "--scale: expected a formula"),
        (
            ["--scale", "age"],
            r"--scale: .*1 of 14 rows lacks? .*line 15.*--missing drop\.$",
        ),
        (
            ["--scale", "group", "--priors-heterogeneity", "none"],
            "--scale: expected models with heterogeneity, .* Give "
            "--priors-heterogeneity, or leave --scale out.",
        ),
        (["--scale", "group", "--test-scale", "age"], "--test-scale: .*'age'"),
        (
            ["--scale", "group", "--priors-scale", "age: Normal(0, 1)"],
            "--priors-scale: expected names of terms, group; got 'age'",
        ),
        (
            ["--scale", "group", "--priors-scale", "group: Cauchy(0, 1)"],
            "--priors-scale, group: expected a normal prior",
        ),
        (
            ["--scale", "group", "--priors-scale", "group: Cauchy(0, -1)"],
            "--priors-scale, group: scale: expected a positive value",
        ),
        (
            ["--scale", "group", "--priors-scale", "cohens_d"],
            "--priors-scale: expected a term and a prior, .*is --prior-scale.",
        ),
        (
            ["--priors-effect", "Cauchy(0, -1)"],
            "--priors-effect: scale: expected a positive value for Cauchy",
        ),
        (
            ["--scale", "group", "--sensitivity", "group"],
            "--sensitivity: expected some of effect, .*group, baseline; got 'group'",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_words_of_options(
    table, tmp_path, capsys, monkeypatch, more, message
):
    def never(*arguments, **options):
        raise AssertionError("a fit was started")

    monkeypatch.setattr("pyrobma.api.fit_models", never)
    assert fit(table, tmp_path / "out", *more) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(f"^Error: .*{message}", last)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("formulas", "content", "message"),
    [
        (["--scale", "group"], "group\nw\n", "expected one of x, y, z for group"),
        (
            ["--mods", "group", "--scale", "age", "--missing", "drop"], "group\nx\n",
            'expected columns of the table; got "age"',
        ),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_predicted_are_found_before_models_are_fitted(
    table, tmp_path, capsys, monkeypatch, formulas, content, message
):
    def never(*arguments, **options):
        raise AssertionError("a fit was started")

    monkeypatch.setattr("pyrobma.api.fit_models", never)
    path = tmp_path / "new.csv"
    path.write_text(content)
    assert fit(table, tmp_path / "out", *formulas, "--predict", str(path)) == 1
    assert re.search(f"Error: --predict: {message}", capsys.readouterr().err)


def test_a_level_that_the_other_formula_drops_cannot_be_predicted(
    tmp_path, capsys, monkeypatch
):
    def never(*arguments, **options):
        raise AssertionError("a fit was started")

    monkeypatch.setattr("pyrobma.api.fit_models", never)
    data, new = tmp_path / "data.csv", tmp_path / "new.csv"
    rows = [f"0.{i},0.2,{'xy'[i % 2]},{i}" for i in range(1, 9)]
    # All of z lack an age.
    data.write_text("\n".join(["d,se,group,age", *rows, "0.3,0.2,z,", "0.4,0.2,z,"]))
    new.write_text("group,age\nz,3\n")
    more = ["--mods", "group", "--scale", "age", "--missing", "drop"]
    assert fit(data, tmp_path / "out", *more, "--predict", str(new)) == 1
    error = capsys.readouterr().err
    assert "Error: --predict: expected one of x, y for group; got 'z'" in error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scale: 1 row lacks one.", "--scale: 1 row lacks one."),
        (
            "scale: group has fewer than 3 estimates at z.",
            "--scale: group has fewer than 3 estimates at z.",
        ),
        ("priors_scale, age: got 1.", "--priors-scale, age: got 1."),
        ("prior_scale: expected one.", "--prior-scale: expected one."),
        ("output_scale: expected one.", "--output-scale: expected one."),
        ("Leave it out of priors_scale.", "Leave it out of --priors-scale."),
        # What priors and measures are called stays.
        *(
            (text, text)
            for text in (
                "scale: expected a positive value for Cauchy; got 0.0.",
                "scale: expected a finite number for InvGamma; got 'a'.",
                "Write prior('cauchy', location=0, scale=1).",
                "prior('cauchy', location=0, scale=None)",
                "parameters: expected location, scale for Cauchy; got scale.",
                "Estimates are on the correlation scale; scale is a measure.",
            )
        ),
    ],
)
def test_only_the_argument_is_called_an_option(text, expected):
    assert option_words(text) == expected


def test_a_slip_of_the_option_is_told():
    assert advised(["--scales", "age"]) == " For --scales, did you mean --scale?"
