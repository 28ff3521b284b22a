"""From a table to every kind of result: what other versions of libraries may break."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray

import pyrobma as rb

TABLE = pd.DataFrame(
    {
        "study": ["a", "a", "b", "b", "c", "d", "e", "f"],
        "d": [0.31, 0.42, 0.12, 0.25, 0.52, 0.05, 0.38, 0.21],
        "se": [0.12, 0.15, 0.10, 0.14, 0.20, 0.11, 0.16, 0.09],
        "age": [8.0, 9.5, 11.0, 12.5, 8.5, 14.0, 10.0, 13.0],
        "kind": ["x", "y", "x", "y", "x", "y", "x", "y"],
    }
)


@pytest.fixture(scope="module")
def fit():
    return rb.robma(
        TABLE, d="d", se="se", study_ids="study", mods="age + kind", test_mods=["kind"],
        priors_bias=[
            rb.prior_PET("normal", mean=0, sd=1),
            rb.prior_weightfunction("one-sided", steps=[0.05], alpha=[1, 1]),
        ],
        priors_effect_null=None, priors_heterogeneity_null=None,
        settings=rb.SamplerSettings(chains=2, warmup=300, draws=500, max_mcse=0.05),
        seed=1,
    )  # fmt: skip


def test_a_saved_fit_is_read_back_as_it_was(fit, tmp_path):
    fit.save(tmp_path / "fit.pyrobma")
    again = rb.load(tmp_path / "fit.pyrobma")
    pd.testing.assert_frame_equal(again.inclusion, fit.inclusion)
    np.testing.assert_array_equal(again.draws("mu"), fit.draws("mu"))
    assert str(again.summary()) == str(fit.summary())


def test_every_table_is_printed_in_every_format(fit):
    for table in (
        *(fit.summary(kind) for kind in ("ensemble", "models", "diagnostics")),
        fit.heterogeneity(), fit.pooled_effect(), fit.marginal_means(),
        fit.contrasts("kind"), rb.compare({"one": fit}),
    ):  # fmt: skip
        texts = [str(table), table.to_html(), table.to_latex(), table.to_markdown()]
        assert all("nan" not in text.lower() for text in texts)
    assert "kind" in fit.interpret()
    assert len(fit.predict(TABLE.head(2))) == 2


def test_every_figure_is_drawn(fit, tmp_path):
    figures = {
        "forest": fit.plot_forest(), "funnel": fit.plot_funnel(),
        "models": fit.plot_models(), "probabilities": fit.plot_probabilities(),
        "mu": fit.plot("mu", prior=True), "omega": fit.plot("omega"),
        "PET": fit.plot("PET-PEESE"), "age": fit.plot_regression("age"),
        "kind": fit.plot_regression("kind"), "means": fit.plot_marginal_means(),
        "terms": fit.plot_terms(), "mcmc": fit.plot_mcmc(),
        "overview": fit.plot_overview(),
    }  # fmt: skip
    for name, figure in figures.items():
        file = tmp_path / f"{name}.png"
        figure.save(file, dpi=40, verbose=False)
        assert file.stat().st_size > 1000


def test_the_draws_go_through_arviz_and_a_netcdf_file(fit, tmp_path):
    tree = fit.to_datatree()
    tree.to_netcdf(tmp_path / "draws.nc", engine="h5netcdf")
    with xarray.open_datatree(tmp_path / "draws.nc", engine="h5netcdf") as again:
        assert again["posterior"]["mu"].shape == tree["posterior"]["mu"].shape


def test_the_report_is_one_whole_page(fit, tmp_path):
    fit.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")


def test_the_frequentist_answer_is_near_and_has_its_digits():
    effects = rb.effect_sizes(TABLE, d="d", se="se", transformation="cohens_d")
    found = rb.rma(effects, mods="age", data=TABLE)
    design = np.column_stack([np.ones(8), TABLE["age"]])
    weights = 1 / (TABLE["se"].to_numpy() ** 2 + found.tau2)
    information = (design.T * weights) @ design
    expected = np.linalg.solve(information, design.T @ (weights * effects.y))
    np.testing.assert_allclose(found.coefficients["estimate"], expected, rtol=1e-9)


def test_the_command_line_writes_its_folder(tmp_path):
    TABLE.to_csv(tmp_path / "table.csv", index=False)
    command = [sys.executable, "-m", "pyrobma", "fit", "table.csv", "--d", "d",
               "--se", "se", "--no-bias", "--no-figures", "--seed", "1", "--quiet",
               "--out", "results"]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = {path.name for path in Path(tmp_path / "results").iterdir()}
    assert found >= {"draws.nc", "fit.pyrobma", "interpretation.txt", "tables"}


def test_many_analyses_run_in_processes_of_their_own(tmp_path):
    found = rb.robma_many(
        TABLE.rename(columns={"kind": "meta"}), by="meta", d="d", se="se", cores=2,
        priors_bias=None, seed=1,
        settings=rb.SamplerSettings(chains=2, draws=200, sampler="independence"),
        results=tmp_path, progress=False,
    )  # fmt: skip
    assert found.loc[found["kind"] == "analysis", "error"].isna().all()
    assert pd.read_parquet(tmp_path).shape == found.shape
