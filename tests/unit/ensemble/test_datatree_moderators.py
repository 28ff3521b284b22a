"""Moderators in the layout that ArviZ and xarray read."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import pyrobma as rb
from pyrobma.ensemble._term_variables import Names
from pyrobma.ensemble.datatree import to_datatree

# Sums and products of a few doubles, in another order.
ROUNDING = 1e-12
FEW = rb.SamplerSettings(chains=2, warmup=150, draws=100, max_draws=100)


def fitted(data, mods, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rb.ConvergenceWarning)
        return rb.robma(
            data, d="d", se="se", mods=mods, priors_bias=None, priors_effect_null=None,
            priors_heterogeneity_null=None, settings=FEW, seed=1, **options,
        )  # fmt: skip


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "d": rng.normal(0.3, 0.3, 12),
            "se": rng.uniform(0.1, 0.3, 12),
            "g": [*"abcabcabcab", "c"],
            "x/y": rng.uniform(2, 20, 12),
            "chain": rng.uniform(size=12) < 0.5,
        }
    )


@pytest.fixture(scope="module")
def fit(data):
    return fitted(data, "`x/y` * g + chain", test_mods=["g", "x/y:g"])


@pytest.fixture(scope="module")
def tree(fit):
    return to_datatree(fit, n=500)


def with_g(fit):
    """Return the place of a model that has every term."""
    return int(np.flatnonzero(fit.members("x/y:g"))[0])


def test_a_factor_is_the_deviations_of_its_levels(fit, tree):
    place = with_g(fit)
    posterior = tree[f"models/model_{place + 1}/posterior"]
    assert posterior["g"].dims == ("chain", "draw", "g_level")
    assert list(posterior["g_level"].values) == ["a", "b", "c"]
    one, two = (fit.fits[place].draws(f"g[{j}]") for j in (1, 2))
    matrix = rb.effects.contrast_matrix("meandif", 3)
    for level in range(3):
        np.testing.assert_allclose(
            posterior["g"][:, :, level],
            matrix[level, 0] * one + matrix[level, 1] * two,
            atol=ROUNDING,
        )
    np.testing.assert_allclose(posterior["g"].sum("g_level"), 0, atol=ROUNDING)


def test_the_coefficients_that_were_sampled_are_there_by_model(fit, tree):
    place = with_g(fit)
    posterior = tree[f"models/model_{place + 1}/posterior"]
    assert list(posterior["g_column"].values) == ["1", "2"]
    for j in (1, 2):
        np.testing.assert_array_equal(
            posterior["g_coefficients"].sel(g_column=str(j)),
            fit.fits[place].draws(f"g[{j}]"),
        )
    assert "g_coefficients" not in tree["posterior"]


def test_a_slope_is_one_number_and_an_interaction_has_a_cell_for_each_level(fit, tree):
    place = with_g(fit)
    posterior = tree[f"models/model_{place + 1}/posterior"]
    assert posterior["x_y"].dims == ("chain", "draw")
    np.testing.assert_array_equal(posterior["x_y"], fit.fits[place].draws("x/y"))
    assert list(posterior["x_y:g_level"].values) == ["a", "b", "c"]


def test_a_model_without_a_term_has_no_variable_of_it(fit, tree):
    place = int(np.flatnonzero(~fit.members("g"))[0])
    names = set(tree[f"models/model_{place + 1}/posterior"].data_vars)
    assert names == {"mu", "tau", "x_y", "chain_", "chain__coefficients"}


def test_averaged_deviations_are_those_of_the_averaged_coefficients(fit, tree):
    order = np.random.default_rng([fit.seed, 2]).permutation(500)
    one, two = (fit.draws(f"g[{j}]", n=500)[order] for j in (1, 2))
    matrix = rb.effects.contrast_matrix("meandif", 3)
    np.testing.assert_allclose(
        tree["posterior"]["g"][0, :, 2],
        matrix[2, 0] * one + matrix[2, 1] * two,
        atol=ROUNDING,
    )
    without = np.flatnonzero(~fit.members("g")) + 1
    absent = np.isin(tree["sample_stats"]["model"].to_numpy()[0], without)
    assert (tree["posterior"]["g"].to_numpy()[0] == 0).all(axis=1).tolist() == (
        absent.tolist()
    )


def test_marginal_means_are_the_effect_and_the_deviations_of_the_same_draws(tree):
    means, posterior = tree["marginal_means"], tree["posterior"]
    np.testing.assert_allclose(
        means["g"].values,
        (posterior["mu"] + posterior["g"]).values,
        atol=ROUNDING,
    )
    assert list(means["x_y_at"].values) == ["-1SD", "0SD", "1SD"]
    np.testing.assert_allclose(
        means["x_y"].sel(x_y_at="1SD"), posterior["mu"] + posterior["x_y"],
        atol=ROUNDING,
    )  # fmt: skip
    assert means["x_y:g"].sizes["x_y:g_at"] == 9


def test_the_data_have_the_design_and_the_moderators_as_given(fit, tree, data):
    constant = tree["constant_data"]
    np.testing.assert_array_equal(constant["design"], fit.task.moderators.columns)
    assert tuple(constant["column"].values) == fit.task.moderators.labels
    assert tuple(constant["study"].values) == fit.task.effects.names
    np.testing.assert_array_equal(constant["x_y"], data["x/y"])
    assert list(constant["g"].values) == list(data["g"])
    assert list(constant["chain"].values) == [str(value) for value in data["chain"]]
    assert constant["x_y"].attrs["centre"] == pytest.approx(data["x/y"].mean())
    assert constant["x_y"].attrs["sd"] == pytest.approx(data["x/y"].std())
    assert constant["g"].attrs["levels"] == "a, b, c"
    assert constant.attrs["formula"] == "`x/y` * g + chain"
    xr.testing.assert_identical(
        to_datatree(fit, 1)["constant_data"].to_dataset(), constant.to_dataset()
    )
    assert "constant_data" not in tree["models/model_1"]


def test_a_name_that_is_not_legal_or_taken_is_changed_and_kept_as_long_name(tree):
    posterior = tree["posterior"]
    names = {v.attrs["long_name"]: name for name, v in posterior.data_vars.items()
             if "long_name" in v.attrs}  # fmt: skip
    assert names == {"x/y": "x_y", "g": "g", "chain": "chain_", "x/y:g": "x_y:g"}
    assert posterior["chain"].dims == ("chain",)


def test_netcdf_files_give_moderators_back(fit, tree, tmp_path):
    tree.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "fit.nc", engine="h5netcdf") as again:
        xr.testing.assert_identical(again, tree)
        assert "x_y:g" in again["posterior"]


def test_arviz_names_levels_as_the_tables_do(fit, tree):
    from arviz_stats import summary

    table = summary(tree, var_names=["g"], kind="stats", round_to="none")
    assert list(table.index) == ["g[a]", "g[b]", "g[c]"]
    expected = fit.summary().estimates_mods["Mean"]
    for level in "abc":
        # 500 of the draws that the table has: their shares of models are rounded.
        assert table.loc[f"g[{level}]", "mean"] == pytest.approx(
            expected[f"g[dif: {level}]"], abs=0.02
        )


def test_treatment_contrasts_are_differences_and_polynomials_have_columns(data):
    fit = fitted(data, "g + poly(`x/y`, 2)", test_mods=False, contrasts="treatment")
    posterior = to_datatree(fit, 1)["posterior"]
    assert list(posterior["g_level"].values) == ["b", "c"]
    name = next(v for v in posterior.data_vars if v.startswith("poly"))
    assert list(posterior[f"{name}_column"].values) == ["1", "2"]
    assert not any("coefficients" in v for v in posterior.data_vars)
    for j, level in enumerate("bc"):
        np.testing.assert_array_equal(
            posterior["g"][:, :, j], fit.fits[0].draws(f"g[dif: {level}]")
        )
    assert set(to_datatree(fit)["marginal_means"].data_vars) == {"g"}


def test_the_prior_has_the_terms_that_the_posterior_has(fit, tree):
    prior, posterior = tree["prior"], tree["posterior"]
    assert list(prior.data_vars) == list(posterior.data_vars)
    one = to_datatree(fit, with_g(fit) + 1, groups=["prior", "posterior"])
    assert one["prior"].sizes == one["posterior"].sizes
    np.testing.assert_allclose(one["prior"]["g"].sum("g_level"), 0, atol=ROUNDING)
    without = fit.prior_prob[~fit.members("g")].sum()
    assert (prior["g"] == 0).all("g_level").mean() == pytest.approx(without, abs=0.01)


def test_without_moderators_there_are_no_such_groups(made):
    tree = to_datatree(made.ensemble(made.space(), [0.0] * 4))
    assert "marginal_means" not in tree
    assert list(tree["constant_data"].data_vars) == ["se"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("age", "age"),
        ("a/b", "a_b"),
        ("../x", "_.._x"),
        (".", "_."),
        ("(x)", "_(x)"),
        ("tau", "tau_"),
        (" ", "_"),
        ("a\nb\x00", "a_b_"),
        ("größe", "größe"),
        ("2nd", "2nd"),
    ],
)
def test_names_are_as_near_to_the_wanted_as_netcdf_allows(wanted, expected):
    assert Names(["tau"]).new(wanted) == expected


def test_two_names_that_become_one_are_told_apart():
    names = Names([])
    assert [names.new(n) for n in ("a/b", "a_b", "a/b")] == ["a_b", "a_b_", "a_b__"]
