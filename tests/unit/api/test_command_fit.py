"""``python -m pyrobma fit``: what it writes, says and refuses."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
import xarray as xr

import pyrobma as rb
from pyrobma.commands import main

SMALL = ["--no-bias", "--seed", "1", "--draws", "250", "--chains", "2"]


@pytest.fixture(scope="module")
def table(tmp_path_factory, schools):
    """Twelve schools in four districts, as a file."""
    path = tmp_path_factory.mktemp("data") / "schools.csv"
    schools.iloc[:12].to_csv(path, index=False)
    return path


def fit(table, out, *more):
    columns = ["--d", "yi", "--v", "vi", "--study-ids", "district"]
    return main(["fit", str(table), *columns, "--out", str(out), *SMALL, *more])


@pytest.fixture(scope="module")
def results(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "results"
    code = fit(table, out, "--quiet", "--output-scale", "r")
    return out, code


def test_a_run_leaves_every_part_of_the_results(results):
    out, code = results
    assert code in (0, 3)  # 3: short chains may miss a check
    names = {path.name for path in out.iterdir()}
    assert names == {
        "draws.nc", "figures", "fit.pyrobma", "interpretation.txt", "report.html",
        "settings.json", "tables",
    }  # fmt: skip
    figures = {path.name for path in (out / "figures").iterdir()}
    for name in ("overview", "forest", "posterior_mu", "posterior_rho", "models"):
        assert {f"{name}.png", f"{name}.svg"} <= figures
    assert not any("weightfunction" in name for name in figures)


def test_the_tables_are_those_of_the_saved_fit(results):
    out, _ = results
    saved = rb.load(out / "fit.pyrobma")
    written = pd.read_csv(out / "tables" / "estimates.csv", index_col=0)
    pd.testing.assert_frame_equal(
        written, saved.summary(output_scale="r").estimates, check_names=False
    )
    for name in ("components", "models", "diagnostics", "heterogeneity"):
        assert (out / "tables" / f"{name}.html").stat().st_size > 100


def test_the_exit_code_tells_whether_every_model_passed(results):
    out, code = results
    saved = rb.load(out / "fit.pyrobma")
    assert code == (0 if all(model.ok for model in saved.fits) else 3)


def test_the_draws_open_in_xarray(results):
    out, _ = results
    with xr.open_datatree(out / "draws.nc") as tree:
        assert tree["models/model_4/posterior"]["mu"].dims == ("chain", "draw")


def test_the_settings_are_enough_to_run_again(results, table):
    out, _ = results
    settings = json.loads((out / "settings.json").read_text())
    assert settings["options"]["d"] == "yi"
    assert settings["options"]["study_ids"] == "district"
    assert settings["seed"] == 1
    assert settings["models"] == 4
    assert len(settings["data_sha256"]) == 64


def test_the_report_needs_nothing_from_elsewhere(results):
    text = (results[0] / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources
    assert all(s.startswith(("data:", "#")) for s in sources)
    assert "@import" not in text
    assert "url(http" not in text
    assert text.count("<img") == text.count("<figcaption") >= 8


def test_results_are_not_overwritten_unasked(results, table, capsys):
    out, _ = results
    before = (out / "settings.json").stat().st_mtime_ns
    assert fit(table, out) == 1
    assert "has files in it. Choose another one, or add --overwrite" in (
        capsys.readouterr().err
    )
    assert (out / "settings.json").stat().st_mtime_ns == before


def test_a_saved_fit_is_not_fitted_again(results, table, tmp_path, monkeypatch):
    out, _ = results

    def never(*arguments):
        raise AssertionError("a model was fitted")

    monkeypatch.setattr("pyrobma.fit.schedule.fit_model", never)
    monkeypatch.setattr("pyrobma.fit.schedule.extend", never)
    code = fit(
        table, tmp_path / "again", "--quiet", "--no-figures", "--resume",
        str(out / "fit.pyrobma"),
    )  # fmt: skip
    assert code in (0, 3)


def test_priors_can_be_written_on_the_command_line(table, tmp_path):
    out = tmp_path / "own"
    fit(
        table, out, "--quiet", "--no-figures",
        "--priors-effect", "Normal(0, 0.5)[0, Inf]", "--priors-effect-null", "none",
        "--priors-heterogeneity-null", "None",
    )  # fmt: skip
    saved = rb.load(out / "fit.pyrobma")
    assert [str(model.mu) for model in saved.space.models] == ["Normal(0, 0.5)[0, Inf]"]
    assert len(saved.fits) == 1
    assert not (out / "report.html").exists()


def test_informed_priors_are_of_the_measure_of_the_priors(table, tmp_path):
    out = tmp_path / "informed"
    fit(
        table, out, "--quiet", "--no-figures", "--informed", "cochrane",
        "--priors-effect-null", "none", "--priors-heterogeneity-null", "none",
    )  # fmt: skip
    model = rb.load(out / "fit.pyrobma").space.models[0]
    assert str(model.mu) == "Student-t(0, 0.43, 5)"
    assert str(model.tau) == "InvGamma(1.71, 0.4)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--priors-effect", "Normal(0)"], "--priors-effect: parameters: expected 2"),
        (["--output-scale", "inches"], "output_scale: expected one of"),
        (["--prior-scale", "inches"], "prior_scale: expected one of"),
        (["--informed", "Dentistry"], "Dentistry"),
        (["--sep", ";"], "d: .*yi"),
        (["--resume", "nowhere.pyrobma"], "nowhere.pyrobma"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    table, tmp_path, capsys, arguments, message
):
    out = tmp_path / "nothing"
    assert fit(table, out, *arguments) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert re.search(f"^Error: .*{message}", lines[-1])
    assert not out.exists()


def test_a_missing_file_is_an_error_not_a_traceback(tmp_path, capsys):
    assert fit(tmp_path / "none.csv", tmp_path / "out") == 1
    assert "Error: file: " in capsys.readouterr().err


def test_a_missing_row_is_named_with_its_column(tmp_path, capsys):
    path = tmp_path / "bad.csv"
    path.write_text("yi,vi,district\n0.1,0.1,1\n0.2,-0.1,1\n")
    assert fit(path, tmp_path / "out") == 1
    assert re.search(r"Error: v: .*-0\.1 at row 1", capsys.readouterr().err)


def test_models_finished_before_a_failure_are_kept(
    table, tmp_path, capsys, monkeypatch
):
    from pyrobma.fit import schedule

    real = schedule.fit_model

    def sometimes(task, spec, *rest):
        if spec.free == ("mu", "tau", "rho"):
            raise rb.SamplingError("the disk is full")
        return real(task, spec, *rest)

    out = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(schedule, "fit_model", sometimes)
        assert fit(table, out, "--quiet") == 1
    assert "the disk is full" in capsys.readouterr().err
    kept = rb.load(out / "finished.pyrobma")
    assert len(kept.fits) == 3
    code = fit(
        table, out, "--quiet", "--no-figures", "--overwrite", "--resume",
        str(out / "finished.pyrobma"),
    )  # fmt: skip
    assert code in (0, 3)
    assert len(rb.load(out / "fit.pyrobma").fits) == 4


@pytest.mark.parametrize(
    "arguments", [["fit"], ["fit", "x.csv"], ["fit", "--nonsense"]]
)
def test_wrong_usage_exits_with_2(arguments):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2


def test_help_shows_an_example_and_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["fit", "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert "--study-ids district --out results" in text
    assert "exit codes:" in text
    assert "95 % confidence intervals" in text
