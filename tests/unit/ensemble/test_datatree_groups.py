"""Densities, replicates and priors in the layout that ArviZ reads."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import pyrobma as rb
from pyrobma.ensemble.datatree import GROUPS, to_datatree

LOGML = [-2.0, 0.5, -1.0, 0.9]
DENSE = 1e-10  # logs of densities by matrices instead of sums
MC = 5.0  # standard errors of a mean: once in two million by chance
FEW = rb.SamplerSettings(chains=2, warmup=150, draws=100, max_draws=100)
WEIGHTS = rb.prior_weightfunction(
    "one-sided", steps=[0.025, 0.5], alpha=[1, 1, 1]
)  # with means 1, 2/3, 1/3


def fitted(**data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rb.ConvergenceWarning)
        return rb.robma(
            **data, priors_effect_null=None, priors_heterogeneity_null=None,
            priors_bias=[WEIGHTS], settings=FEW, seed=1,
        )  # fmt: skip


@pytest.fixture(scope="module")
def ensemble(made):
    return made.ensemble(made.space(), LOGML, size=(2, 60))


@pytest.fixture(scope="module")
def selection():
    """Clusters of three and one, with selection and without."""
    return fitted(
        d=[0.5, 0.1, 0.4, 0.2], se=[0.2, 0.1, 0.2, 0.15], study_ids=["a", "a", "a", "b"]
    )


def covariance(ensemble, tau, rho):
    """Of all estimates, on Fisher's z: half of tau on Cohen's d."""
    effects = ensemble.task.effects
    same = effects.cluster[:, None] == effects.cluster
    every = np.eye(effects.K)
    between = (tau / 2) ** 2 * (rho * same + (1 - rho) * every)
    return np.diag(effects.se**2) + between


def log_density(y, mean, cov, some):
    if not len(some):
        return 0.0
    return stats.multivariate_normal.logpdf(
        y[some], mean[some], cov[np.ix_(some, some)]
    )


# ---- log likelihood ------------------------------------------------------------------
@pytest.mark.parametrize("model", [None, 4])
def test_log_densities_are_those_of_estimates_given_their_cluster(ensemble, model):
    tree = to_datatree(ensemble, model, n=60)
    found, posterior = tree["log_likelihood"], tree["posterior"]
    y, cluster = ensemble.task.effects.y, ensemble.task.effects.cluster
    assert found["y"].dims == ("chain", "draw", "study")
    assert found["cluster"].dims == ("chain", "draw", "cluster_name")
    assert list(found["cluster_name"].values) == ["1", "2"]
    chains, draws = posterior["mu"].shape
    for at in ({"chain": 0, "draw": 3}, {"chain": chains - 1, "draw": draws - 1}):
        mu, tau, rho = (float(posterior[n].isel(at)) for n in ("mu", "tau", "rho"))
        mean, cov = np.full(4, mu / 2), covariance(ensemble, tau, rho)
        for k in range(2):
            own = np.flatnonzero(cluster == k)
            whole = log_density(y, mean, cov, own)
            assert float(found["cluster"].isel(at)[k]) == pytest.approx(
                whole, abs=DENSE
            )
            for i in own:
                rest = log_density(y, mean, cov, own[own != i])
                assert float(found["y"].isel(at)[i]) == pytest.approx(
                    whole - rest, abs=DENSE
                )


def test_log_densities_under_selection_are_of_published_estimates(selection):
    """The single estimate has the density phi w / E[w], by hand."""
    number = len(selection.fits)
    tree = to_datatree(selection, number)
    at = {"chain": 1, "draw": 7}
    posterior = tree["posterior"].isel(at)
    mu, tau = float(posterior["mu"]) / 2, float(posterior["tau"]) / 2
    omega = posterior["omega"].values[::-1]  # by rising estimates
    effects = selection.task.effects
    se = effects.se[3]
    sd = np.hypot(se, tau)
    ends = [-np.inf, 0.0, stats.norm.isf(0.025) * se, np.inf]
    chance = np.diff(stats.norm.cdf(ends, mu, sd)) @ omega
    own = omega[np.searchsorted(ends, effects.y[3]) - 1]
    expected = stats.norm.logpdf(effects.y[3], mu, sd) + np.log(own / chance)
    found = tree["log_likelihood"].isel(at)
    assert list(found["cluster_name"].values) == ["a", "b"]
    # Cut points of d are exact on Fisher's z up to the small-sample t test.
    for value in (found["y"][3], found["cluster"][1]):
        assert float(value) == pytest.approx(expected, abs=1e-3)


def test_independent_estimates_have_one_kind_of_density():
    fit = fitted(d=[0.5, 0.1, 0.4], se=[0.2, 0.1, 0.2])
    found = to_datatree(fit)["log_likelihood"]
    assert list(found.data_vars) == ["y"]


def test_arviz_leaves_out_what_the_package_leaves_out(made):
    """One model, all of whose draws both use."""
    from arviz_stats import loo

    space = rb.ModelSpace((made.space().models[3],))
    alone = made.ensemble(space, [0.0], size=(4, 1000))
    tree = to_datatree(alone, 1)
    for name, by in (("y", "estimate"), ("cluster", "cluster")):
        found = loo(tree, var_name=name, reff=1.0, pointwise=True)
        ours = alone.loo(by)
        np.testing.assert_allclose(found.elpd_i, ours.frame["elpd"], atol=1e-9)
        np.testing.assert_allclose(found.pareto_k, ours.frame["pareto_k"], atol=1e-9)
        assert found.p == pytest.approx(ours.p_loo, abs=1e-9)


@pytest.mark.parametrize(("name", "by"), [("y", "estimate"), ("cluster", "cluster")])
def test_averaged_draws_leave_out_what_the_package_leaves_out(schools, name, by):
    from arviz_stats import loo

    fit = rb.robma(
        schools.head(20), d="yi", v="vi", study_ids="district", priors_bias=None, seed=1
    )
    found = loo(to_datatree(fit), var_name=name, reff=1.0, pointwise=True)
    ours = fit.loo(by).frame
    sure = (ours["pareto_k"] < 0.5).to_numpy()
    assert sure.mean() > 0.6
    # Both from thousands of draws, of which the package has each with its own weight.
    np.testing.assert_allclose(found.elpd_i[sure], ours["elpd"][sure], atol=0.03)


# ---- replicates ----------------------------------------------------------------------
def close_to(values, expected):
    error = values.std(axis=0) / np.sqrt(len(values))
    np.testing.assert_array_less(np.abs(values.mean(axis=0) - expected), MC * error)


def test_replicates_have_the_mean_and_covariance_of_the_draws(ensemble):
    tree = to_datatree(ensemble, n=40_000)
    y = tree["posterior_predictive"]["y"].values[0]
    posterior = {n: tree["posterior"][n].values[0] for n in ("mu", "tau", "rho")}
    rest = y - posterior["mu"][:, None] / 2
    close_to(rest, np.zeros(4))
    tau2, rho = (posterior["tau"] / 2) ** 2, posterior["rho"]
    close_to(rest[:, 0] * rest[:, 1] - rho * tau2, 0.0)
    close_to(rest[:, 0] * rest[:, 2], 0.0)
    close_to(rest**2 - tau2[:, None], ensemble.task.effects.se**2)


def test_replicates_under_selection_are_published_at_the_rates_of_their_weights(
    selection,
):
    """Of an independent estimate, the chance of each interval, by normal integrals."""
    number = len(selection.fits)
    tree = to_datatree(selection, number)
    y = tree["posterior_predictive"]["y"].values[:, :, 3].ravel()
    posterior = tree["posterior"]
    mu, tau = (posterior[n].values.ravel() / 2 for n in ("mu", "tau"))
    omega = posterior["omega"].values.reshape(-1, 3)
    se = selection.task.effects.se[3]
    sd = np.hypot(se, tau)
    above, half = (stats.norm.sf(c, mu, sd) for c in (stats.norm.isf(0.025) * se, 0.0))
    parts = np.stack([above, half - above, 1 - half], axis=1) * omega
    chance = parts / parts.sum(axis=1, keepdims=True)
    close_to((y > 0) - chance[:, :2].sum(axis=1), 0.0)
    close_to((y > stats.norm.isf(0.025) * se) - chance[:, 0], 0.0)


def test_a_prior_predicts_what_its_normal_says(ensemble):
    """Model 3: mu ~ N(0, 1) on Cohen's d, no heterogeneity."""
    y = to_datatree(ensemble, 3, groups="prior_predictive")["prior_predictive"]["y"]
    assert y.shape == (2, 60, 4)
    values = y.values.reshape(-1, 4)
    close_to(values, np.zeros(4))
    close_to(values**2, ensemble.task.effects.se**2 + 0.25)
    close_to(values[:, 0] * values[:, 3], 0.25)


# ---- priors --------------------------------------------------------------------------
def test_prior_draws_have_the_distributions_of_the_priors(ensemble):
    tree = to_datatree(ensemble, n=8000)
    prior, model = tree["prior"], tree["sample_stats_prior"]["model"].values[0]
    np.testing.assert_array_equal(np.bincount(model), [0, 2000, 2000, 2000, 2000])
    mu, tau, rho = (prior[name].values[0] for name in ("mu", "tau", "rho"))
    np.testing.assert_array_equal(mu == 0, np.isin(model, [1, 2]))
    np.testing.assert_array_equal(tau == 0, np.isin(model, [1, 3]))
    for values, law in (
        (mu[mu != 0], stats.norm(0, 1)),
        (tau[tau > 0], stats.invgamma(1, scale=0.15)),
        (rho[np.isin(model, [2, 4])], stats.beta(1, 1)),
    ):
        assert stats.kstest(values, law.cdf).pvalue > 1e-3
    assert (np.diff(model) != 0).mean() > 0.5  # in no order


def test_prior_weights_have_the_means_of_their_dirichlet(selection):
    number = len(selection.fits)
    omega = to_datatree(selection, number)["prior"]["omega"]
    assert omega.dims == ("chain", "draw", "p_value")
    assert (omega[:, :, 0] == 1).all()
    close_to(omega.values.reshape(-1, 3)[:, 1:], [2 / 3, 1 / 3])
    averaged = to_datatree(selection)["prior"]["omega"].values[0]
    assert (averaged[:, 1] == 1).mean() == 0.5  # models without selection


def test_draws_of_the_prior_and_replicates_are_the_same_again(selection):
    groups = ["prior", "prior_predictive", "posterior_predictive"]
    one, other = (to_datatree(selection, groups=groups, n=50) for _ in range(2))
    xr.testing.assert_identical(one, other)


# ---- which groups --------------------------------------------------------------------
def test_every_group_is_there_but_prior_predictions(ensemble):
    made = {*GROUPS} - {"prior_predictive"}
    assert {*to_datatree(ensemble).children} == made | {"sample_stats_prior", "models"}
    assert {*to_datatree(ensemble, 4).children} == made
    below = {"posterior", "sample_stats", "observed_data"}
    assert {*to_datatree(ensemble)["models/model_4"].children} == below


def test_groups_that_are_named_are_made_of_all_models(ensemble):
    tree = to_datatree(ensemble, groups="log_likelihood")
    assert {*tree.children} == {"log_likelihood", "models"}
    assert {*tree["models/model_4"].children} == {"log_likelihood"}
    assert not tree["models/model_1"].children
    xr.testing.assert_identical(
        tree["models/model_4/log_likelihood"].to_dataset(),
        to_datatree(ensemble, 4)["log_likelihood"].to_dataset(),
    )


@pytest.mark.parametrize("groups", ["prior_predictions", ["posterior", "y"], [1]])
def test_an_unknown_group_is_refused(ensemble, groups):
    with pytest.raises(
        rb.DataError, match=r"^groups: expected some of posterior, .*got"
    ):
        to_datatree(ensemble, groups=groups)


@pytest.mark.parametrize("n", [0, -1, 1.5, None])
def test_a_number_of_draws_that_is_none_is_refused(ensemble, n):
    with pytest.raises(rb.DataError, match=r"^n: expected a positive number of draws"):
        to_datatree(ensemble, n=n, groups="log_likelihood")


def test_netcdf_and_zarr_give_every_group_back(selection, tmp_path):
    tree = to_datatree(selection, groups=GROUPS, n=50)
    tree.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "fit.nc", engine="h5netcdf") as again:
        xr.testing.assert_identical(again, tree)
    # By model, because Zarr writes several files for every variable.
    tree = to_datatree(selection, len(selection.fits), groups=GROUPS)
    tree.to_zarr(tmp_path / "fit.zarr", zarr_format=2)
    with xr.open_datatree(tmp_path / "fit.zarr", engine="zarr") as again:
        xr.testing.assert_identical(again, tree)
