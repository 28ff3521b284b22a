"""``python -m pyrobma fit``: what it writes, says and refuses."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import warnings

import pandas as pd
import pytest
import xarray as xr

import pyrobma as rb
from pyrobma.commands import fit as command
from pyrobma.commands import main
from pyrobma.commands.folder import delete_files, earlier_files, output_folder
from pyrobma.commands.results import without_formulas, write_results
from pyrobma.commands.table import read_table

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
        assert {f"{name}.png", f"{name}.svg", f"{name}.pdf"} <= figures
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
    assert settings["data_sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()


def test_the_settings_list_every_file_that_was_written(results):
    out, _ = results
    found = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert json.loads((out / "settings.json").read_text())["files"] == sorted(found)


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


def test_a_saved_fit_is_not_fitted_again(results, table, tmp_path, monkeypatch, capsys):
    out, _ = results

    def never(*arguments):
        raise AssertionError("a model was fitted")

    monkeypatch.setattr("pyrobma.fit.plan.fit_model", never)
    monkeypatch.setattr("pyrobma.fit.plan.extend", never)
    code = fit(
        table, tmp_path / "again", "--no-figures", "--resume", str(out / "fit.pyrobma")
    )
    assert code in (0, 3)
    assert re.search(
        r"^4 of 4 models were taken from .*fit\.pyrobma\.$",
        capsys.readouterr().err,
        re.MULTILINE,
    )


def test_a_file_with_nothing_to_resume_is_a_warning(results, table, tmp_path, capsys):
    fit(
        table, tmp_path / "other", "--quiet", "--no-figures", "--warmup", "200",
        "--resume", str(results[0] / "fit.pyrobma"),
    )  # fmt: skip
    text = capsys.readouterr().err
    assert "Warning: --resume: 0 of 4 models were taken from" in text


def test_priors_can_be_written_on_the_command_line(table, tmp_path):
    out = tmp_path / "own"
    fit(
        table, out, "--quiet", "--no-figures",
        "--priors-effect", "Normal(0, 0.5)[0, Inf]", "--priors-effect-null", "none",
        "--priors-heterogeneity-null", "None",
    )  # fmt: skip
    saved = rb.load(out / "fit.pyrobma")
    assert [str(model.prior("mu")) for model in saved.space.models] == [
        "Normal(0, 0.5)[0, Inf]"
    ]
    assert len(saved.fits) == 1
    assert not (out / "report.html").exists()


def test_informed_priors_are_of_the_measure_of_the_priors(table, tmp_path):
    out = tmp_path / "informed"
    fit(
        table, out, "--quiet", "--no-figures", "--informed", "cochrane",
        "--priors-effect-null", "none", "--priors-heterogeneity-null", "none",
    )  # fmt: skip
    model = rb.load(out / "fit.pyrobma").space.models[0]
    assert str(model.prior("mu")) == "Student-t(0, 0.43, 5)"
    assert str(model.prior("tau")) == "InvGamma(1.71, 0.4)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--priors-effect", "Normal(0)"], "--priors-effect: parameters: expected 2"),
        (["--output-scale", "inches"], "--output-scale: expected one of"),
        (["--output-scale", "none"], "got 'none' with priors on 'cohens_d'"),
        (["--output-scale", "r", "--prior-scale", "none"], "got 'r' with priors on"),
        (["--prior-scale", "inches"], "--prior-scale: expected one of"),
        (["--informed", "Dentistry"], "Dentistry"),
        (["--sep", ";"], "expected columns separated by ';'; .*Add --sep ','"),
        (["--encoding", "latin-99"], "--encoding: .*'latin-99'"),
        (["--resume", "nowhere.pyrobma"], "--resume: nowhere.pyrobma cannot be read"),
        (["--resume", __file__], "--resume: expected a file written by save"),
        (["--informed-type", "smd"], "--informed-type: .* Add --informed"),
        (["--informed", "Stroke", "--informed-type", "logOR"], "--prior-scale logOR"),
        (["--informed", "Stroke", "--informed-type", "RD"], "such effects as --y"),
        (
            [
                "--informed",
                "Stroke",
                "--informed-type",
                "smd",
                "--prior-scale",
                "logOR",
            ],
            "expected logOR .* Add --prior-scale cohens_d",
        ),
        (
            ["--informed", "Stroke", "--prior-scale", "r"],
            "--informed: .*Use --prior-scale cohens_d",
        ),
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
    assert re.search(r"Error: --v: .*-0\.1 at line 3 ", capsys.readouterr().err)


def test_models_finished_before_a_failure_are_kept(
    table, tmp_path, capsys, monkeypatch
):
    from pyrobma.fit import plan

    real = plan.fit_model

    def sometimes(task, spec, *rest):
        if spec.free == ("mu", "tau", "rho"):
            raise rb.SamplingError("the disk is full")
        return real(task, spec, *rest)

    out = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(plan, "fit_model", sometimes)
        assert fit(table, out, "--quiet") == 1
    text = capsys.readouterr().err
    assert "the disk is full" in text
    assert f"Finished models (3) are kept in {out / 'finished.pyrobma'}" in text
    kept = rb.load(out / "finished.pyrobma")
    assert len(kept.fits) == 3
    code = fit(
        table, out, "--quiet", "--no-figures", "--overwrite", "--resume",
        str(out / "finished.pyrobma"),
    )  # fmt: skip
    assert code in (0, 3)
    assert len(rb.load(out / "fit.pyrobma").fits) == 4
    assert not (out / "finished.pyrobma").exists()  # it has done its duty


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
    assert "before a failure or an interruption (Ctrl-C) are kept" in text


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"pyrobma {rb.__version__}\n"


# ---- interruption ------------------------------------------------------------------
def _interrupted_at(number, monkeypatch):
    """Let the user press Ctrl-C while that model, counted from 0, is fitted."""
    from pyrobma.fit import plan

    real, lock, count = plan.fit_model, threading.Lock(), iter(range(100))

    def fit_model(*arguments):
        with lock:
            now = next(count)
        if now >= number:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(plan, "fit_model", fit_model)


def test_an_interruption_keeps_what_is_finished(table, tmp_path, capsys, monkeypatch):
    out = tmp_path / "stopped"
    _interrupted_at(2, monkeypatch)
    assert fit(table, out, "--quiet", "--cores", "1") == 130
    assert [path.name for path in out.iterdir()] == ["finished.pyrobma"]
    assert len(rb.load(out / "finished.pyrobma").fits) == 2
    assert capsys.readouterr().err.splitlines() == [
        "Interrupted.",
        f"Finished models (2) are kept in {out / 'finished.pyrobma'}: give it to "
        "--resume.",
    ]


def test_an_interruption_before_any_model_leaves_nothing(
    table, tmp_path, capsys, monkeypatch
):
    _interrupted_at(0, monkeypatch)
    assert fit(table, tmp_path / "a" / "b", "--quiet", "--cores", "1") == 130
    assert capsys.readouterr().err == "Interrupted.\n"
    assert not (tmp_path / "a").exists()


# ---- refused before anything is fitted ---------------------------------------------
@pytest.fixture
def no_fit(monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("a fit was started")

    monkeypatch.setattr(command, "robma", never)


@pytest.mark.parametrize(
    "arguments", [["--output-scale", "inches"], ["--output-scale", "none"]]
)
def test_the_output_scale_is_checked_first(table, tmp_path, no_fit, arguments):
    assert fit(table, tmp_path / "out", *arguments) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_found_out_first(
    table, tmp_path, no_fit, capsys
):
    (tmp_path / "file").write_text("mine")
    assert fit(table, tmp_path / "file" / "out") == 1
    assert "Error: --out: expected a folder that can be" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_of_the_user_stays_after_an_error(tmp_path, no_fit):
    (tmp_path / "out").mkdir()
    assert fit(tmp_path / "none.csv", tmp_path / "out" / "new") == 1
    assert list(tmp_path.rglob("*")) == [tmp_path / "out"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--d", "yi"], {"smd"}),
        (["--d", "yi", "--prior-scale", "logOR"], {"logOR"}),
        (["--y", "yi", "--informed-type", "logHR"], {"logHR"}),
        (["--y", "yi", "--informed-type", "smd"], {"smd"}),
        (["--y", "yi"], None),
        (["--y", "yi", "--prior-scale", "none"], None),
    ],
)
def test_informed_priors_have_the_type_of_the_prior_scale(
    table, tmp_path, monkeypatch, capsys, more, expected
):
    asked = set()

    def informed(name, *, parameter, type):
        asked.add(type)
        raise rb.PriorError("enough")

    monkeypatch.setattr("pyrobma.commands.priors.prior_informed", informed)
    arguments = ["--v", "vi", "--informed", "Stroke", "--out", str(tmp_path / "out")]
    assert main(["fit", str(table), *arguments, *more]) == 1
    assert asked == (expected or set())
    text = "enough" if expected else "Add --informed-type smd, logOR, logRR, RD or"
    assert text in capsys.readouterr().err


# ---- the table ---------------------------------------------------------------------
def test_a_table_of_europe_is_read(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes("Größe;se\n0,5;0,1\n-0,2;0,3\n".encode("latin-1"))
    read = read_table(path, decimal=",", encoding="latin-1")
    assert read.frame.to_dict("list") == {"Größe": [0.5, -0.2], "se": [0.1, 0.3]}
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_compressed_table_with_tabs_is_read(tmp_path):
    path = tmp_path / "data.tsv.gz"
    pd.DataFrame({"d": [0.5], "se": [0.1]}).to_csv(path, sep="\t", index=False)
    assert read_table(path).frame.to_dict("list") == {"d": [0.5], "se": [0.1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"^file: expected a table; .*data\.csv is empty\."),
        (
            b"d;se\n0.5;0.1\n",
            r"separated by ','; got the one column 'd;se' .*--sep ';'",
        ),
        (b"d\tse\n0.5\t0.1\n", r"got the one column .*--sep '\\t'\.$"),
        (
            "é,se\n1,1\n".encode("latin-1"),
            r"expected text in utf-8; .*--encoding latin",
        ),
        (b"a,b\n1,2\n1,2,3\n", r"up to 2 fields, .*; got 3 in line 3 of"),
    ],
)
def test_a_table_that_cannot_be_used_says_what_to_do(tmp_path, content, message):
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(rb.DataError, match=message):
        read_table(path)


def test_a_table_is_read_once_and_its_hash_is_of_the_same_bytes(tmp_path, monkeypatch):
    path, content = tmp_path / "pipe", b"d,se\n0.5,0.1\n"
    path.write_bytes(content)
    real, read = type(path).read_bytes, []
    monkeypatch.setattr(
        type(path), "read_bytes", lambda self: read.append(self) or real(self)
    )
    assert read_table(path).sha256 == hashlib.sha256(content).hexdigest()
    assert read == [path]


# ---- warnings ----------------------------------------------------------------------
def test_warnings_are_told_at_once_and_only_once(capsys):
    with command._told_warnings() as texts:
        for text in ("look here", "look here", "and there"):
            warnings.warn(text, rb.DataWarning, stacklevel=1)
        assert capsys.readouterr().err == "Warning: look here\nWarning: and there\n"
    assert texts == ["look here", "and there"]
    with pytest.raises(rb.DataWarning):  # as it was before
        warnings.warn("again", rb.DataWarning, stacklevel=1)


def test_warnings_before_an_error_are_told(table, tmp_path, capsys, monkeypatch):
    def fails(*arguments, **options):
        warnings.warn("one cluster only", rb.DataWarning, stacklevel=1)
        raise rb.DataError("no more")

    monkeypatch.setattr(command, "robma", fails)
    assert fit(table, tmp_path / "out", "--quiet") == 1
    assert capsys.readouterr().err.splitlines() == [
        "Warning: one cluster only",
        "Error: no more",
    ]


def test_warnings_are_in_every_file_that_people_read(table, tmp_path, capsys):
    out = tmp_path / "out"
    fit(
        table, out, "--quiet", "--priors-hierarchical", "none",
        "--priors-effect-null", "none", "--priors-heterogeneity-null", "none",
    )  # fmt: skip
    text = "--study-ids: the clusters are not used"
    assert f"Warning: {text}" in capsys.readouterr().err
    assert any(
        w.startswith(text)
        for w in json.loads((out / "settings.json").read_text())["warnings"]
    )
    assert f"\nWarning: {text}" in (out / "interpretation.txt").read_text("utf-8")
    assert (out / "report.html").read_text("utf-8").count(text) == 1


def test_a_stderr_that_is_gone_does_not_stop_a_run(monkeypatch, capsys):
    class Gone:
        def write(self, text):
            raise BrokenPipeError

        flush = write

    for stderr in (Gone(), None):
        monkeypatch.setattr(sys, "stderr", stderr)
        command._say("anyone there?")
    assert capsys.readouterr().out == ""


# ---- overwriting -------------------------------------------------------------------
def test_only_files_of_the_earlier_run_are_deleted(made, tmp_path, monkeypatch):
    saved = made.ensemble(made.space(), [-2.0, 0.5, -1.0, 0.9], size=(2, 40))
    out = tmp_path / "out"
    small = {"with_figures": False, "settings": {}}
    monkeypatch.setattr("pyrobma.commands.results.figures", lambda *a, **k: ())
    write_results(saved, out, **small)
    before = earlier_files(out)
    assert "tables/models.csv" in before
    (tmp_path / "outside.txt").write_text("mine")
    own = {"figures/mine.png", "tables/mine.csv", "notes.txt"}
    theirs = {"report.html", "figures/forest.png", "old/only.svg"}
    for name in (*own, *theirs, "finished.pyrobma"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("text")
    settings = json.loads((out / "settings.json").read_text())
    outside = ["../outside.txt", str(tmp_path / "outside.txt"), "", ".", 7]
    settings["files"] = [*before, *theirs, *outside]
    (out / "settings.json").write_text(json.dumps(settings))

    write_results(saved, out, **small)
    assert earlier_files(out) == before
    found = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert found == before | own
    assert not (out / "old").exists()
    assert (tmp_path / "outside.txt").read_text() == "mine"


def test_files_behind_a_link_to_another_folder_stay(tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    out.mkdir()
    other.mkdir()
    (out / "tables").symlink_to(other)
    names = ["tables/models.csv", "fit.pyrobma"]
    (out / "settings.json").write_text(json.dumps({"files": names}))
    assert earlier_files(out) == {"fit.pyrobma"}


def _saved(made):
    return made.ensemble(made.space(), [-2.0, 0.5, -1.0, 0.9], size=(2, 40))


def test_links_to_files_are_replaced_and_what_they_point_to_stays(
    made, tmp_path, monkeypatch
):
    monkeypatch.setattr("pyrobma.commands.results.figures", lambda *a, **k: ())
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    small = {"with_figures": False, "settings": {}}
    write_results(_saved(made), out, **small)
    names = sorted(earlier_files(out))
    for name in (*names, "finished.pyrobma", "old.txt"):
        precious = other / name.replace("/", "_")
        precious.write_text("mine")
        (out / name).unlink(missing_ok=True)
        if name == "settings.json":
            precious.write_text(json.dumps({"files": ["tables/mine.csv"]}))
        if name == "interpretation.txt":
            (out / name).hardlink_to(precious)
        else:
            (out / name).symlink_to(precious)
    (out / "tables" / "mine.csv").write_text("mine")
    before = {path: path.read_bytes() for path in other.iterdir()}

    write_results(_saved(made), out, **small)
    assert {path: path.read_bytes() for path in other.iterdir()} == before
    for name in names:
        assert not (out / name).is_symlink()
        assert (out / name).stat().st_nlink == 1
    assert not (out / "finished.pyrobma").is_symlink()
    assert (out / "old.txt").is_symlink()  # of the user, and only read
    # Settings elsewhere do not say what is ours.
    assert (out / "tables" / "mine.csv").read_text() == "mine"


def test_finished_models_are_not_saved_through_a_link(made, tmp_path, capsys):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "finished.pyrobma").symlink_to(tmp_path / "precious")
    command._keep(_saved(made), tmp_path)
    assert (tmp_path / "precious").read_text() == "mine"
    assert len(rb.load(tmp_path / "finished.pyrobma").fits) == 4
    assert "are kept in" in capsys.readouterr().err


@pytest.mark.parametrize("inner", ["", "tables", "figures"])
def test_a_link_in_place_of_a_folder_is_refused_first(
    table, tmp_path, no_fit, capsys, inner
):
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    (other / "models.csv").write_text("mine")
    (out / inner).parent.mkdir(exist_ok=True)
    (out / inner).symlink_to(other)
    assert fit(table, out, "--overwrite") == 1
    assert (
        "Error: --out: expected a folder that is not a link with --overwrite; got the "
        f"link {out / inner}. Give the folder that it points to"
        in capsys.readouterr().err
    )
    assert [path.name for path in other.iterdir()] == ["models.csv"]


def test_a_link_to_an_empty_folder_is_as_good_as_it_without_overwrite(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "scratch")
    with output_folder(tmp_path / "out", overwrite=False):
        (tmp_path / "out" / "fit.pyrobma").write_text("text")
    assert (tmp_path / "scratch" / "fit.pyrobma").exists()


def test_a_link_that_came_while_models_were_fitted_is_not_followed(made, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    for folder in (out, other):
        folder.mkdir()
    (other / "models.csv").write_text("mine")
    (out / "tables").symlink_to(other)
    with pytest.raises(
        rb.DataError, match=r"expected a folder that is not a link; .*tab"
    ):
        write_results(_saved(made), out, settings={}, with_figures=False)
    delete_files(out, frozenset({"tables/models.csv"}))
    assert [path.name for path in other.iterdir()] == ["models.csv"]
    assert (other / "models.csv").read_text() == "mine"
    assert len(rb.load(out / "fit.pyrobma").fits) == 4  # saved first


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": 3}', '{"files": null}'])
def test_settings_of_another_program_name_no_files(tmp_path, content):
    (tmp_path / "settings.json").write_text(content)
    assert earlier_files(tmp_path) == frozenset()


def test_what_a_broken_run_wrote_is_known_as_ours(made, tmp_path, monkeypatch):
    def fails(*arguments, **options):
        raise OSError("No space left on device")

    saved = made.ensemble(made.space(), [-2.0, 0.5, -1.0, 0.9], size=(2, 40))
    monkeypatch.setattr("pyrobma.commands.results.make_page", fails)
    monkeypatch.setattr("pyrobma.commands.results.figures", lambda *a, **k: ())
    with pytest.raises(OSError, match="No space"):
        write_results(saved, tmp_path, settings={})
    found = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert found <= earlier_files(tmp_path)
    assert "tables/models.csv" in found


# ---- spreadsheets ------------------------------------------------------------------
def test_texts_that_a_spreadsheet_takes_for_formulas_get_an_apostrophe():
    evil = ["=1+1", "+cmd", "-x", "@SUM(A1)", "\t=1", "\r=1", "\n=1"]
    fine = ["Smith - 2", "a=b", "'=1", "", "-1.5", "+2e3", ".5"]
    texts = [*evil, *fine]
    numbers = [-float(i) for i in range(len(texts))]
    frame = pd.DataFrame(
        {"=study": texts, "Mean": numbers}, index=pd.Index(texts, name="@id")
    )
    before = frame.copy()
    safe = without_formulas(frame)
    expected = [f"'{text}" for text in evil] + fine
    assert safe.iloc[:, 0].tolist() == expected
    assert safe.index.tolist() == expected
    assert list(safe.columns) == ["'=study", "Mean"]
    assert safe.index.name == "'@id"
    assert safe["Mean"].tolist() == numbers
    pd.testing.assert_frame_equal(frame, before)
    missing = pd.DataFrame({"cluster": ["=x", None]})
    assert without_formulas(missing).to_csv(index=False) == 'cluster\n\'=x\n""\n'


def test_names_of_studies_are_no_formulas_in_the_tables(made, tmp_path):
    effects = rb.effect_sizes(
        d=[0.1, 0.3, -0.1], se=[0.1, 0.2, 0.1],
        study_names=["=HYPERLINK(A1)", "@b", "c"], study_ids=["-x", "-x", "y"],
    )  # fmt: skip
    saved = made.ensemble(
        made.space(), [-2.0, 0.5, -1.0, 0.9], size=(2, 40), effects=effects
    )
    write_results(saved, tmp_path, settings={}, with_figures=False)
    text = "".join(
        (tmp_path / "tables" / name).read_text()
        for name in ("true_effects.csv", "cluster_effects.csv")
    )
    for name in ("=HYPERLINK(A1)", "@b", "-x"):
        assert f"'{name}" in text
        assert not re.search(rf'(^|[,"]){re.escape(name)}', text, re.MULTILINE)
