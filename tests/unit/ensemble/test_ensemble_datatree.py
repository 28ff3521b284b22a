"""The layout that ArviZ and xarray read."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import xarray as xr

import pyrobma as rb
from pyrobma.ensemble.datatree import to_datatree

LOGML = [-2.0, 0.5, -1.0, 0.9]
# ArviZ's figures are computed the same way in another order.
ROUNDING = 1e-10


@pytest.fixture(scope="module")
def ensemble(made):
    return made.ensemble(made.space(), LOGML, [0.0, 0.01, 0.002, 0.02], size=(4, 60))


@pytest.fixture(scope="module")
def selection():
    """Two-sided selection against none, sampled: its first weight rounds to one."""
    few = rb.SamplerSettings(chains=2, warmup=150, draws=100, max_draws=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rb.ConvergenceWarning)
        return rb.robma(
            d=[0.1, 0.4, 0.2],
            se=[0.1, 0.2, 0.1],
            priors_effect_null=None,
            priors_heterogeneity=None,
            priors_bias=[
                rb.prior_weightfunction(
                    "two.sided", steps=[0.05, 0.1], alpha=[1, 1, 1]
                ),
            ],
            settings=few,
            seed=2**70,
        )


def test_a_model_has_its_free_parameters_by_chain_and_draw(ensemble):
    posterior = to_datatree(ensemble, 4)["posterior"]
    assert list(posterior.data_vars) == ["mu", "tau", "rho"]
    for name, values in posterior.data_vars.items():
        assert values.dims == ("chain", "draw")
        np.testing.assert_array_equal(values, ensemble.fits[3].draws(name))
    assert list(to_datatree(ensemble, 2)["posterior"].data_vars) == ["tau", "rho"]


def test_a_model_without_free_parameters_has_data_and_attributes_only(ensemble):
    tree = to_datatree(ensemble, 1)
    assert list(tree.children) == ["observed_data", "constant_data"]
    assert tree.attrs["logml"] == -2.0


def test_sampler_statistics_have_the_names_of_arviz(ensemble):
    stats = to_datatree(ensemble, 4)["sample_stats"]
    chains = ensemble.fits[3].chains
    assert set(stats.data_vars) == {
        "lp", "diverging", "reached_max_treedepth", "step_size",
    }  # fmt: skip
    assert all(v.dims == ("chain", "draw") for v in stats.data_vars.values())
    assert stats["diverging"].dtype == bool
    np.testing.assert_array_equal(stats["step_size"][:, 5], chains.step_size)


def test_observed_data_have_studies_and_clusters(ensemble):
    tree = to_datatree(ensemble)
    observed = tree["observed_data"]
    effects = ensemble.task.effects
    np.testing.assert_array_equal(observed["y"], effects.y)
    np.testing.assert_array_equal(tree["constant_data"]["se"], effects.se)
    # ArviZ wants densities and replicates of all that is there.
    assert list(observed.data_vars) == ["y"]
    assert tuple(observed["study"].values) == effects.names
    np.testing.assert_array_equal(observed["cluster"], effects.cluster)
    assert list(observed["cluster_label"].values) == ["1", "1", "2", "2"]


def test_an_independent_estimate_has_an_empty_label(made):
    effects = rb.effect_sizes(
        d=[0.1, 0.3, 0.2], se=[0.1] * 3, study_ids=["x", "x", None]
    )
    tree = to_datatree(made.ensemble(made.space(), LOGML, effects=effects))
    assert list(tree["observed_data"]["cluster_label"].values) == ["x", "x", ""]


def test_attributes_say_which_model_and_how_probable(ensemble):
    attributes = to_datatree(ensemble, 4).attrs
    row = ensemble.models.loc[4]
    assert attributes["model"] == 4
    assert attributes["priors"] == str(ensemble.space.models[3])
    for name in ("logml", "logml_mcse", "prior_prob", "post_prob"):
        assert attributes[name] == row[name]
    assert attributes["measure"] == "fishers_z"
    assert attributes["prior_scale"] == "cohens_d"
    assert attributes["inference_library_version"] == rb.__version__


def test_averaged_draws_belong_together_and_to_their_model(ensemble):
    tree = to_datatree(ensemble, n=1000)
    posterior, model = tree["posterior"], tree["sample_stats"]["model"][0]
    assert posterior["mu"].shape == (1, 1000)
    np.testing.assert_array_equal(
        np.sort(posterior["mu"][0]), np.sort(ensemble.draws("mu", n=1000))
    )
    shares = np.bincount(model, minlength=5)[1:] / 1000
    np.testing.assert_allclose(shares, ensemble.post_prob, atol=1 / 1000)
    np.testing.assert_array_equal(posterior["mu"][0] == 0, np.isin(model, [1, 2]))
    rows = np.column_stack([posterior[p][0] for p in ("mu", "tau", "rho")])
    sampled = {tuple(row) for row in ensemble.fits[3].chains.draws.reshape(-1, 3)}
    assert {tuple(row) for row in rows[model == 4]} <= sampled


def test_averaged_draws_are_not_in_the_order_of_the_models(ensemble):
    model = to_datatree(ensemble)["sample_stats"]["model"].values[0]
    # Independent draws from about 2 likely models change model often.
    assert (np.diff(model) != 0).mean() > 0.2


def test_every_model_is_below_models(ensemble):
    tree = to_datatree(ensemble)
    assert list(tree["models"].children) == [f"model_{i}" for i in (1, 2, 3, 4)]
    part = xr.DataTree(
        tree["models/model_4"].to_dataset(), tree["models/model_4"].children
    )
    groups = ["posterior", "sample_stats", "observed_data"]
    xr.testing.assert_identical(part, to_datatree(ensemble, 4, groups=groups))


def test_weights_have_their_intervals_and_the_first_is_exactly_one(selection):
    number = len(selection.fits)
    omega = to_datatree(selection, number)["posterior"]["omega"]
    assert omega.dims == ("chain", "draw", "p_value")
    assert list(omega["p_value"].values) == ["0,0.05", "0.05,0.1", "0.1,1"]
    assert (omega[:, :, 0] == 1).all()
    np.testing.assert_array_equal(
        omega[:, :, 1:], selection.fits[-1].draws("omega")[:, :, 1:]
    )
    averaged = to_datatree(selection)["posterior"]["omega"]
    names = [name for name in selection.parameters if name.startswith("omega")]
    assert [f"omega[{label}]" for label in averaged["p_value"].values] == names


@pytest.mark.parametrize("model", [0, 5, -1, 1.5, "mu", True])
def test_a_model_that_is_not_there_is_refused(ensemble, model):
    with pytest.raises(
        rb.DataError, match=r"^model: expected the number of a model, 1 to 4, or None"
    ):
        to_datatree(ensemble, model)


def test_arviz_gives_the_diagnostics_of_the_package(ensemble):
    from arviz_stats import ess, summary

    tree = to_datatree(ensemble)["models"]["model_4"]
    table = summary(tree, kind="diagnostics", round_to="none")
    # The summary has tails of another probability than Vehtari et al. (2021).
    tails = ess(tree, method="tail", prob=(0.05, 0.95))
    ours = ensemble.fits[3].diagnostics
    assert list(table.index) == ["mu", "tau", "rho"]
    for found, expected in (
        (table["r_hat"], ours.rhat),
        (table["ess_bulk"], ours.ess_bulk),
        ([float(tails[name]) for name in table.index], ours.ess_tail),
    ):
        np.testing.assert_allclose(found, expected, rtol=ROUNDING)


def test_arviz_names_the_weights_as_the_package_does(selection):
    from arviz_stats import summary

    table = summary(
        to_datatree(selection), var_names="omega", kind="stats", round_to="none"
    )
    names = [name for name in selection.parameters if name.startswith("omega")]
    assert list(table.index) == names
    for name in names:
        assert table.loc[name, "mean"] == pytest.approx(selection.draws(name).mean())


@pytest.mark.parametrize("which", ["ensemble", "selection"])
def test_netcdf_files_give_the_same_tree_back(which, tmp_path, request):
    tree = to_datatree(request.getfixturevalue(which), n=100)
    tree.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "fit.nc", engine="h5netcdf") as again:
        xr.testing.assert_identical(again, tree)
        stats = again["models/model_2/sample_stats"]
        assert stats["diverging"].dtype == bool


def test_importing_the_package_imports_neither_xarray_nor_arviz_nor_tqdm():
    code = (
        "import sys, pyrobma, pyrobma.ensemble.datatree, pyrobma.fit.progress;"
        "print([m for m in ('xarray', 'arviz_base', 'tqdm') if m in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"
