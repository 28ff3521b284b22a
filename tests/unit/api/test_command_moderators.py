"""``python -m pyrobma fit --mods``: what it passes on, writes, says and refuses."""

from __future__ import annotations

import argparse
import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from command_moderators import READ, SIDES, SMALL, fit

import pyrobma as rb
from pyrobma.commands import fit as command
from pyrobma.commands import main
from pyrobma.commands.moderators import given_moderators
from pyrobma.commands.options import add_options
from pyrobma.commands.words import option_words


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    path = tmp_path_factory.mktemp("new") / "new.csv"
    path.write_text("group,age,note\nx,10,=first\nz,15,second\n")
    return path


@pytest.fixture(scope="module")
def results(table, fresh, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "results"
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # Of few draws, a model that is fitted again may miss a check.
        warnings.simplefilter("ignore", rb.ConvergenceWarning)
        # What is drawn of every fit has tests of its own.
        for place in ("commands.results", "report.page"):
            patch.setattr(f"pyrobma.{place}.figures", lambda *a, **k: ())
        code = fit(
            table, out, *SIDES, "--mods", "group * log(age)", "--missing", "drop",
            "--test-mods", "group", "log(age):group", "--predict", str(fresh),
            "--sensitivity", "group:log(age)", "--output-scale", "r",
        )  # fmt: skip
    return out, code


def test_the_tables_are_those_of_the_saved_fit(results):
    out, code = results
    saved = rb.load(out / "fit.pyrobma")
    assert code == (0 if all(model.ok for model in saved.fits) else 3)
    scaled = saved.summary(output_scale="r", conditional=True)
    original = saved.summary(output_scale="r", standardized=False)
    means = saved.marginal_means(output_scale="r", conditional=True)
    pairs = saved.contrasts("group", output_scale="r")
    expected = {
        "components_mods": scaled.components_mods,
        "estimates_mods": scaled.estimates_mods,
        "estimates_mods_conditional": scaled.estimates_mods_conditional,
        "estimates_mods_original": original.estimates_mods,
        "marginal_means": means.means,
        "marginal_means_conditional": means.means_conditional,
        "contrasts_group": pairs.contrasts,
    }
    for name, frame in expected.items():
        written = pd.read_csv(out / "tables" / f"{name}.csv", index_col=0)
        labels = [label.removeprefix("'") for label in written.index]
        assert labels == [str(label) for label in frame.index]
        numbers = frame.select_dtypes("number")
        np.testing.assert_allclose(written[numbers.columns], numbers, rtol=READ)
        assert (out / "tables" / f"{name}.html").stat().st_size > 100


def test_predictions_are_beside_the_rows_that_they_are_of(results, fresh):
    out, _ = results
    saved, given = rb.load(out / "fit.pyrobma"), pd.read_csv(fresh)
    written = pd.read_csv(out / "tables" / "predictions.csv", index_col="row")
    assert list(written.index) == [1, 2]
    assert list(written["group"]) == ["x", "z"]
    assert list(written["note"]) == ["'=first", "second"]  # no formula
    mean = saved.predict(given, "terms", output_scale="r")
    single = saved.predict(given, "effect", output_scale="r")
    np.testing.assert_allclose(written[mean.columns], mean, rtol=READ)
    for end in ("0.025", "0.975"):
        np.testing.assert_allclose(written[f"PI {end}"], single[end], rtol=READ)


def test_sensitivity_has_a_table_and_a_figure(results):
    out, _ = results
    frame = pd.read_csv(out / "tables" / "sensitivity_group_log_age.csv", index_col=0)
    own = frame[frame["component"] == "group:log(age)"]
    saved = rb.load(out / "fit.pyrobma")
    fitted = saved.inclusion.loc["group:log(age)", "log_bf"]
    assert own.loc[own["factor"] == 1, "log_bf"].item() == pytest.approx(fitted)
    assert own["factor"].is_monotonic_increasing
    for ending in ("svg", "png", "pdf"):
        assert (out / "figures" / f"sensitivity_group_log_age.{ending}").exists()


def test_the_report_shows_what_was_asked_for(results):
    text = (results[0] / "report.html").read_text(encoding="utf-8")
    for title in ("Predicted effects", "Marginal means", "Sensitivity to the prior"):
        assert title in text
    assert text.count("<img") == 1


def test_the_draws_have_the_deviations_of_levels(results):
    with xr.open_datatree(results[0] / "draws.nc", engine="h5netcdf") as tree:
        assert list(tree["posterior"]["group_level"].values) == ["x", "y", "z"]


def test_the_settings_have_every_option_and_file(results, fresh):
    out, _ = results
    settings = json.loads((out / "settings.json").read_text())
    options = settings["options"]
    assert options["mods"] == "group * log(age)"
    assert options["missing"] == "drop"
    assert options["test_mods"] == ["group", "log(age):group"]
    assert options["predict"] == str(fresh)
    assert any("1 of 14 rows" in text for text in settings["warnings"])
    found = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert settings["files"] == sorted(found)


def test_a_saved_fit_is_not_fitted_again(results, table, tmp_path, monkeypatch, capsys):
    def never(*arguments):
        raise AssertionError("a model was fitted")

    monkeypatch.setattr("pyrobma.fit.plan.fit_model", never)
    monkeypatch.setattr("pyrobma.fit.plan.extend", never)
    columns = ["--d", "d", "--se", "se", "--out", str(tmp_path / "again")]
    code = main(
        ["fit", str(table), *columns, *SMALL[:-1], *SIDES, "--no-figures",
         "--mods", "group * log(age)", "--missing", "drop",
         "--test-mods", "group", "log(age):group",
         "--resume", str(results[0] / "fit.pyrobma")]
    )  # fmt: skip
    assert code in (0, 3)
    count = len(rb.load(results[0] / "fit.pyrobma").fits)
    assert f"{count} of {count} models were taken from" in capsys.readouterr().err


# ---- what is passed on ---------------------------------------------------------------
def parsed(*more):
    parser = argparse.ArgumentParser()
    add_options(parser.add_subparsers(), lambda options: 0)
    return parser.parse_args(["fit", "x.csv", "--d", "d", "--out", "o", *more])


def passed(*more):
    return given_moderators(parsed("--mods", "group * age", *more))


def test_without_options_robma_has_its_own_defaults():
    assert given_moderators(parsed()) == {}
    assert passed() == {"mods": "group * age"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--contrasts", "treatment"], {"contrasts": "treatment"}),
        (["--no-standardize"], {"standardize": False}),
        (["--no-heredity"], {"heredity": False}),
        (["--mods-prior", "beta-binomial"], {"mods_prior": "beta-binomial"}),
        (["--center", "clusters"], {"center": "clusters"}),
        (["--center", "Rows"], {"center": "rows"}),
        (
            ["--center", "age=10", "log(x = 2)=-.5"],
            {"center": {"age": 10.0, "log(x = 2)": -0.5}},
        ),
        (["--test-mods", "none"], {"test_mods": False}),
        (["--test-mods", "all"], {"test_mods": True}),
        (["--test-mods", "age", "group"], {"test_mods": ["age", "group"]}),
    ],
)
def test_options_are_passed_on_as_arguments(more, expected):
    assert passed(*more) == {"mods": "group * age", **expected}


NORMAL = rb.prior("normal", mean=0, sd=0.5)
CAUCHY = rb.prior("cauchy", location=0, scale=1)
NARROW = rb.prior("normal", mean=0, sd=0.01)
DEFAULT = rb.prior("normal", mean=0, sd=0.25)
SPIKE = rb.prior("spike", location=0)


@pytest.mark.parametrize(
    ("priors", "null", "expected"),
    [
        (["age: Normal(0, 0.5)"], [], {"age": [NORMAL]}),
        (
            ["age: Normal(0, 0.5)", "age:Cauchy(0, 1)"], [],
            {"age": [NORMAL, CAUCHY]},
        ),
        (
            ["group:age: Normal(0, 0.5)"], ["age:group: Normal(0, 0.01)"],
            {"group:age": {"alternative": [NORMAL], "null": [NARROW]}},
        ),
        (
            [], ["age: Normal(0, 0.01)"],
            {"age": {"alternative": [DEFAULT], "null": [NARROW]}},
        ),
        (
            ["age: Normal(0, 0.5)"], ["age: none"],
            {"age": {"alternative": [NORMAL], "null": ()}},
        ),
        (["age: none"], [], {"age": {"alternative": (), "null": [SPIKE]}}),
    ],
)  # fmt: skip
def test_priors_of_a_term_have_two_sides_of_which_one_may_have_its_default(
    priors, null, expected
):
    more = ["--priors-mods", *priors] if priors else []
    more += ["--priors-mods-null", *null] if null else []
    assert passed(*more)["priors_mods"] == expected


def test_a_default_beside_a_null_is_rescaled_as_others_are():
    found = passed("--priors-mods-null", "age: Spike(0)", "--rescale-priors", "2")
    (default,) = found["priors_mods"]["age"]["alternative"]
    assert default == rb.prior("normal", mean=0, sd=0.5)


def test_what_is_passed_on_reaches_the_models(table, tmp_path):
    out = tmp_path / "own"
    fit(
        table, out, *SIDES, "--no-figures", "--mods", "group + age", "--missing",
        "drop", "--contrasts", "treatment", "--center", "age=10", "--mods-prior",
        "beta-binomial", "--priors-mods", "age: Normal(0, 0.5)",
    )  # fmt: skip
    saved = rb.load(out / "fit.pyrobma")
    moderators = saved.task.moderators
    assert moderators.coding("group").contrasts == "treatment"
    assert moderators.coding("age").centre.tolist() == [10.0]
    # Of two terms: none 1/3, each alone 1/6, both 1/3.
    np.testing.assert_allclose(sorted(saved.prior_prob), [1 / 6, 1 / 6, 1 / 3, 1 / 3])
    given = {str(model.prior("age")) for model in saved.space}
    assert given == {"Spike(0)", "Normal(0, 0.5)"}


# ---- what is refused -----------------------------------------------------------------
@pytest.fixture
def no_fit(monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("a fit was started")

    monkeypatch.setattr("pyrobma.api.fit_models", never)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["--contrasts", "treatment"],
            "--contrasts: expected --mods or --scale beside",
        ),
        (["--no-heredity", "--predict", "x"], "--no-heredity, --predict: expected --m"),
        (
            ["--mods", "grup"],
            r'--mods: expected columns .*"grup".* Did you mean .group',
        ),
        (["--mods", "group +"], "--mods: expected a formula"),
        (["--mods", "open(age)"], "--mods: expected arithmetic and functions"),
        (
            ["--mods", "age"],
            r"--mods: .*1 of 14 rows lacks? .*line 15.*--missing drop\.$",
        ),
        (
            ["--mods", "age", "--missing", "drop", "--center", "middle"],
            "--center: expected rows, clusters, or numbers by name",
        ),
        (
            ["--mods", "age", "--missing", "drop", "--center", "=3"],
            "--center: expected rows, clusters",
        ),
        (["--mods", "group", "--center", "age=3"], "--center: .*age"),
        (["--mods", "group", "--center", "clusters"], None),
        (["--mods", "group", "--test-mods", "age"], "--test-mods: .*'age'"),
        (["--mods", "group", "--priors-mods", "Normal(0, 1)"], "expected a term and a"),
        (["--mods", "group", "--priors-mods", "group: Nrml(0, 1)"], "Nrml"),
        (
            ["--mods", "group", "--priors-mods", "group: Cauchy(0, 1)"],
            "--priors-mods, group: expected a normal prior",
        ),
        (
            ["--mods", "group", "--priors-mods", "group: Normal(1, 1)"],
            r"--priors-mods, group: .*choose --contrasts treatment\.",
        ),
        (["--mods", "group", "--priors-mods", "age: Normal(0, 1)"], "--priors-mods: "),
        (
            ["--mods", "group", "--priors-mods-null", "group: none", "group: Spike(0)"],
            "--priors-mods-null: expected none alone, or priors; got both for group",
        ),
        (["--mods", "group", "--sensitivity", "age"], "--sensitivity: expected some"),
        (["--sensitivity", "group"], "--sensitivity: expected some of effect, het"),
    ],
)
def test_what_cannot_be_done_is_said_in_words_of_options(
    table, tmp_path, capsys, no_fit, more, message
):
    if message is None:  # what is said of clusters concerns numbers only
        with pytest.raises(AssertionError, match="a fit was started"):
            fit(table, tmp_path / "out", *more)
        return
    assert fit(table, tmp_path / "out", *more) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(f"^Error: .*{message}", last)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("group\nw\n", r"--predict: expected one of x, y, z for group; got 'w'"),
        ("age\n3\n", r'--predict: expected columns of the table; got "group"'),
        ("group,age\nx,\n", None),
        ("group,age\n,3\n", r"--predict: expected a value of group .* line 2"),
        ("group\n", r"--predict: expected rows; .* has none"),
        ("", r"--predict: expected a table; .* is empty"),
    ],
)
def test_rows_that_cannot_be_predicted_are_found_before_models_are_fitted(
    table, tmp_path, capsys, no_fit, content, message
):
    path = tmp_path / "new.csv"
    path.write_text(content)
    more = ["--mods", "group", "--predict", str(path)]
    if message is None:  # a column that the formula does not need
        with pytest.raises(AssertionError, match="a fit was started"):
            fit(table, tmp_path / "out", *more)
        return
    assert fit(table, tmp_path / "out", *more) == 1
    assert re.search(f"Error: {message}", capsys.readouterr().err)


def test_a_missing_file_of_rows_is_an_error_not_a_traceback(table, tmp_path, capsys):
    more = ["--mods", "group", "--predict", str(tmp_path / "none.csv")]
    assert fit(table, tmp_path / "out", *more) == 1
    assert re.search(r"Error: --predict: .*none\.csv", capsys.readouterr().err)


def test_the_fit_is_kept_if_what_comes_after_it_fails(
    table, tmp_path, capsys, monkeypatch
):
    def fails(*arguments, **options):
        raise rb.DataError("no more")

    monkeypatch.setattr("pyrobma.commands.extras.sensitivity", fails)
    out = tmp_path / "out"
    more = ["--mods", "group", "--test-mods", "none", "--sensitivity", "effect"]
    assert fit(table, out, *SIDES, "--no-figures", *more) == 1
    assert "Error: --sensitivity: no more" in capsys.readouterr().err
    assert len(rb.load(out / "fit.pyrobma").fits) == 1
    assert (out / "tables" / "estimates_mods.csv").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "mods: 1 row lacks one. Drop them with missing='drop', or "
            "data.dropna(subset=['age', 'g']).",
            "--mods: 1 row lacks one. Drop them with --missing drop.",
        ),
        ("priors_mods, age: got 1.", "--priors-mods, age: got 1."),
        ("newdata: expected rows.", "--predict: expected rows."),
        ("center: no. Use center='rows'.", "--center: no. Use --center rows."),
        ("moderators: expected more.", "moderators: expected more."),
        ("se: expected missing='drop'.", "--se: expected --missing drop."),
    ],
)
def test_messages_about_moderators_name_options(text, expected):
    assert option_words(text) == expected


def test_errors_about_columns_name_options_too(table, tmp_path, capsys, monkeypatch):
    def fails(*arguments, **options):
        raise rb.DataError("d: expected numbers.")

    monkeypatch.setattr(command, "robma", fails)
    assert fit(table, tmp_path / "out", "--mods", "group") == 1
    assert "Error: --d: expected numbers." in capsys.readouterr().err
