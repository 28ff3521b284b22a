"""What ArviZ 1 makes of a tree: tables, comparisons, figures and files."""

from __future__ import annotations

import itertools
import sys
import warnings

import numpy as np
import pytest
import xarray as xr

import pyrobma as rb

if sys.version_info < (3, 12):
    pytest.skip("ArviZ 1 needs Python 3.12 or newer.", allow_module_level=True)

import arviz as az
import matplotlib as mpl

mpl.use("agg")

MC = 4.0  # standard errors between two means of the same draws, one of them of all
PAPER = 250  # from here on, a pixel is paper


@pytest.fixture(scope="module")
def fit():
    """Clusters, selection and PET: twelve models."""
    schools = rb.load_dataset("konstantopoulos2011").head(16)
    return rb.robma(
        schools, d="yi", v="vi", study_ids="district",
        priors_bias=[
            rb.prior_PET("cauchy", location=0, scale=1, lower=0),
            rb.prior_weightfunction("one-sided", steps=[0.05], alpha=[1, 1]),
        ],
        seed=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tree(fit):
    return fit.to_datatree()


@pytest.fixture(scope="module")
def best(fit):
    """The number of the most probable model."""
    return int(np.argmax(fit.post_prob)) + 1


def test_the_means_of_the_summary_are_those_of_the_package(fit, tree):
    table = az.summary(tree, kind="stats", round_to="none")
    ours = fit.summary().estimates
    assert {*table.index} == {*fit.parameters}
    for name in fit.parameters:
        error = MC * fit.draws(name).std() / np.sqrt(4000)
        assert table.loc[name, "mean"] == pytest.approx(
            ours.loc[name, "Mean"], abs=error + 1e-12
        )


def test_the_diagnostics_of_a_model_are_those_of_the_package(fit, best):
    one = fit.fits[best - 1]
    table = az.summary(
        fit.to_datatree(best), var_names=list(one.names), kind="diagnostics",
        round_to="none",
    )  # fmt: skip
    assert list(table.index) == list(one.names) != []
    places = [one.chains.names.index(name) for name in one.names]
    for column, ours in (
        ("r_hat", one.diagnostics.rhat), ("ess_bulk", one.diagnostics.ess_bulk)
    ):  # fmt: skip
        expected = np.asarray(ours)[places]
        np.testing.assert_allclose(table[column], expected, rtol=1e-10)


def test_leaving_clusters_out_gives_what_the_package_gives(fit, tree):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a cluster of five is much
        found = az.loo(tree, var_name="cluster", pointwise=True)
    ours = fit.loo("cluster").frame
    assert list(found.elpd_i["cluster_name"].values) == list(ours["cluster"])
    sure = (ours["pareto_k"] < 0.5).to_numpy()
    assert sure.any()
    np.testing.assert_allclose(
        found.elpd_i.values[sure], ours["elpd"].to_numpy()[sure], atol=0.03
    )


def test_models_are_ranked_as_the_package_ranks_them(fit):
    numbers = [n for n, one in enumerate(fit.fits, start=1) if one.chains is not None]
    trees = {str(n): fit.to_datatree(n) for n in numbers}
    alone = {
        str(n): rb.RobmaFit(
            fit.task, rb.ModelSpace((fit.space.models[n - 1],)), (fit.fits[n - 1],),
            fit.settings, fit.seed,
        )
        for n in numbers
    }  # fmt: skip
    ours = {name: one.loo("cluster").elpd for name, one in alone.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        table = az.compare(trees, var_name="cluster", round_to="none")
    ranked = [ours[name] for name in table.index]
    # Ties within Monte Carlo error may stand in either order.
    assert all(a > b - 0.3 for a, b in itertools.pairwise(ranked))
    assert ranked[0] - ranked[-1] > 3


def drawn(plots, path):
    """Return how much of a figure is not paper."""
    plots.savefig(path)
    image = mpl.image.imread(path)[:, :, :3] * 255
    return float((image < PAPER).any(axis=2).mean())


def test_figures_show_what_they_are_of(fit, tree, best, tmp_path):
    one = fit.to_datatree(best)
    figures = {
        "predictive": lambda: az.plot_ppc_dist(tree, num_samples=20),
        "pit": lambda: az.plot_ppc_pit(tree),
        "prior": lambda: az.plot_prior_posterior(one, var_names=["rho"]),
        "ranks": lambda: az.plot_rank_dist(one, var_names=["tau"]),
        "forest": lambda: az.plot_forest(tree, var_names=["mu", "tau", "rho"]),
    }
    for name, figure in figures.items():
        with warnings.catch_warnings():
            # Of plots' own, and of densities of draws half of which are 0.
            warnings.simplefilter("ignore")
            assert drawn(figure(), tmp_path / f"{name}.png") > 0.01, name


def test_files_are_read_back_by_arviz(tree, tmp_path):
    tree.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    with az.from_netcdf(tmp_path / "fit.nc", engine="h5netcdf") as again:
        xr.testing.assert_identical(again, tree)
    small = tree.copy()
    del small["models"]
    small.to_zarr(tmp_path / "fit.zarr", zarr_format=2)
    with az.from_zarr(tmp_path / "fit.zarr") as again:
        xr.testing.assert_identical(again, small)
