"""The model said again in Python: what it predicts of every study."""

from __future__ import annotations

import numpy as np
import pytest
from restated import data_bias

import pyrobma as rb
from pyrobma.ensemble import Predictor, cluster_effects, pooling_weights, true_effects
from pyrobma.ensemble.scales import data_mean, data_sd
from pyrobma.models import Task

# A few sums and products of doubles.
ROUNDING = 1e-12
# 20 000 evenly spread normal deviates in place of a normal distribution, in sd.
DEVIATES = 0.004

SE = np.array([0.1, 0.3, 0.25, 0.15, 0.2, 0.4])
Y = np.array([0.4, -0.1, 0.9, 0.2, 0.3, -0.6])
IDS = ["b", "a", "b", None, "a", "b"]
DRAWS = {
    "mu": np.array([0.1, -0.3, 0.8]),
    "tau": np.array([0.0, 0.4, 1.5]),
    "rho": np.array([0.5, 0.0, 0.9]),
    "PET": np.array([0.0, 0.7, 0.0]),
    "PEESE": np.array([0.0, 0.0, 1.2]),
}


def task(**options):
    effects = rb.effect_sizes(z=SE, se=SE, study_ids=IDS)
    return Task(effects, "cohens_d", **options)


@pytest.mark.parametrize("mapping", ["linear", "exact"])
def test_means_and_bias_are_those_of_the_mappings(mapping):
    given = task(effect_mapping=mapping, effect_direction="negative")
    study, rows = Predictor(given, DRAWS), np.array([4, 1])
    np.testing.assert_array_equal(study.new_mean, data_mean(given, DRAWS["mu"]))
    np.testing.assert_array_equal(study.new_sd, data_sd(given, DRAWS["tau"]))
    np.testing.assert_array_equal(study.mean(rows), study.new_mean[None])
    wanted = data_bias(given, SE[rows][:, None], DRAWS["PET"], DRAWS["PEESE"])
    np.testing.assert_allclose(study.bias(rows), wanted, rtol=ROUNDING)
    assert (study.bias(rows)[:, 1] < 0).all()


def test_the_heterogeneity_is_what_is_common_and_what_is_not():
    study = Predictor(task(), DRAWS)
    loading, within = study.loading(slice(None)), study.within(slice(None))
    np.testing.assert_allclose(loading**2 + within, study.new_sd[None] ** 2)
    np.testing.assert_allclose(
        loading**2, (DRAWS["rho"] * study.new_sd**2)[None], rtol=ROUNDING
    )


def test_draws_keep_their_shape_and_no_bias_is_one_row_of_zeros():
    chains = {name: values[:, None] for name, values in DRAWS.items()}
    study = Predictor(task(), chains)
    assert study.bias(np.arange(6)).shape == (6, 3, 1)
    assert study.within(np.arange(6)).shape == (1, 3, 1)
    without = chains | {"PET": np.zeros((3, 1)), "PEESE": np.zeros((3, 1))}
    np.testing.assert_array_equal(
        Predictor(task(), without).bias(np.arange(6)), np.zeros((1, 3, 1))
    )


@pytest.fixture
def uneven(made, monkeypatch):
    """An ensemble whose studies differ in their mean and their heterogeneity."""
    mean = np.array([0.3, -0.2, 0.1, 0.5, 0.0, 0.2])
    loading = np.array([0.5, 0.1, 0.9, 0.4, 0.3, 0.2])
    within = np.array([0.1, 0.3, 0.02, 0.2, 0.05, 0.4])
    for name, values in (("mean", mean), ("loading", loading), ("within", within)):
        monkeypatch.setattr(
            Predictor,
            name,
            lambda self, rows, values=values: np.tile(
                values[rows, None], self.draws["mu"].shape
            ),
        )
    spike = rb.prior("spike", location=0.2)
    space = rb.model_space(
        effect=(spike,), heterogeneity=(spike,), hierarchical=(spike,)
    )
    effects = rb.effect_sizes(z=Y, se=SE, study_ids=IDS)
    ensemble = made.ensemble(space, [0.0], effects=effects, prior_scale="fishers_z")
    same = np.equal.outer(effects.cluster, effects.cluster)
    true = np.outer(loading, loading) * same + np.diag(within)
    return ensemble, mean, true, loading


def test_true_effects_need_no_common_mean_or_heterogeneity(uneven):
    ensemble, mean, true, loading = uneven
    observed = true + np.diag(SE**2)
    found = true_effects(ensemble)
    wanted = mean + true @ np.linalg.solve(observed, Y - mean)
    sd = np.sqrt(np.diag(true - true @ np.linalg.solve(observed, true)))
    np.testing.assert_allclose(found["Mean"], wanted, atol=DEVIATES)
    np.testing.assert_allclose(found["SD"], sd, atol=DEVIATES)
    groups = cluster_effects(ensemble)
    cluster = ensemble.task.effects.cluster
    for k, row in groups.iterrows():
        mine = cluster == k
        common = loading[mine].mean() * np.where(mine, loading, 0.0)
        at = mean[mine].mean() + common @ np.linalg.solve(observed, Y - mean)
        left = loading[mine].mean() ** 2 - common @ np.linalg.solve(observed, common)
        assert row["Mean"] == pytest.approx(at, abs=DEVIATES)
        assert row["SD"] == pytest.approx(np.sqrt(left), abs=DEVIATES)


def test_pooling_weights_need_no_common_heterogeneity(uneven):
    ensemble, _, true, _ = uneven
    wanted = np.linalg.solve(true + np.diag(SE**2), np.ones(6))
    np.testing.assert_allclose(
        pooling_weights(ensemble), wanted / wanted.sum(), rtol=1e-9
    )
