"""Results without each study, against exact ones and against models fitted again."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp

import pyrobma as rb
from pyrobma.effects import read_moderators
from pyrobma.ensemble.deletion import thinned, without
from pyrobma.errors import DataError
from pyrobma.fit import SettingsError
from pyrobma.models import Task, moderator_columns

sys.path.insert(0, str(Path(__file__).parent / "ensemble"))

from known_posteriors import CLUSTER, NORMAL
from known_posteriors import SELECTED as UNDER_SELECTION

MODULE = import_module("pyrobma.influence")

# Smoothed weights of 4000 evenly spread draws.
SMOOTHED = 0.01
# Monte Carlo errors that two estimates may be apart; of some dozens, none is beyond.
MOST_ERRORS = 4.0

SETTINGS = rb.SamplerSettings(chains=4, draws=500)
KNOWN = pytest.mark.parametrize("known", [NORMAL, UNDER_SELECTION], ids=str)


def fitted(y, se, ids=None, **options):
    given = {"priors_bias": None, "seed": 1, "settings": SETTINGS}
    return rb.robma(y=y, se=se, study_ids=ids, **(given | options))


def check(known, found, unit, kept):
    """Compare the row of a unit with exact numbers."""
    logml = known.logml(kept)
    chance = np.exp(logml - logsumexp(logml))
    frame = found.frame.set_index(found.by).loc[unit]
    assert frame["mu"] == pytest.approx(known.averaged_mean(kept), abs=SMOOTHED)
    change = known.averaged_mean(kept) - known.averaged_mean(np.ones(6, dtype=bool))
    assert frame["mu_change"] == pytest.approx(change, abs=SMOOTHED)
    models = found.models[found.models[found.by] == unit]
    free = [bool(spec.free) for spec in found.ensemble.space]
    order = np.argsort(free)
    np.testing.assert_allclose(models["logml"].to_numpy()[order], logml, atol=SMOOTHED)
    np.testing.assert_allclose(
        models["post_prob"].to_numpy()[order], chance, atol=SMOOTHED
    )
    components = found.components[found.components[found.by] == unit]
    effect = components.set_index("component").loc["effect"]
    assert effect["log_bf"] == pytest.approx(logml[1] - logml[0], abs=SMOOTHED)
    old = known.logml(np.ones(6, dtype=bool))
    wanted = logml[1] - logml[0] - old[1] + old[0]
    assert effect["log_bf_change"] == pytest.approx(wanted, abs=SMOOTHED)
    assert effect["reliable"]


@KNOWN
def test_results_without_a_study_are_those_of_the_other_data(made, known):
    ensemble = known.ensemble(made)
    found = ensemble.influence(refit=False)
    names = ensemble.task.effects.names
    for i, name in enumerate(names):
        check(known, found, name, np.arange(6) != i)
    assert set(found.frame["how"]) == {"reweighted"}
    assert found.frame["reliable"].all()
    assert found.fits == ()


def test_results_without_a_cluster_are_those_of_the_other_data(made):
    found = NORMAL.ensemble(made).influence("cluster", refit=False)
    assert sorted(found.frame["cluster"]) == ["0", "1", "2"]
    for c in range(3):
        check(NORMAL, found, str(c), c != CLUSTER)


@pytest.fixture(scope="module")
def clustered():
    y = [0.3, 0.5, 0.1, 0.25, 0.4, 0.05, 0.35, 0.6]
    se = [0.2, 0.3, 0.15, 0.25, 0.2, 0.3, 0.15, 0.2]
    return fitted(y, se, [1, 1, 2, 2, 2, 3, 4, 4])


@pytest.mark.parametrize("by", ["study", "cluster"])
def test_reweighted_results_are_those_of_models_fitted_again(clustered, by):
    drawn = clustered.influence(by, refit=False)
    again = clustered.influence(by, refit=True)
    assert set(again.frame["how"]) == {"refitted"}
    assert again.frame["refitted"].eq(len(clustered.fits)).all()
    assert again.frame["pareto_k"].isna().all()
    for one, other, columns in (
        (drawn.frame, again.frame, ["mu", "tau"]),
        (drawn.components, again.components, ["log_bf"]),
    ):
        for column in columns:
            gap = np.abs(one[column] - other[column]).to_numpy()
            errors = np.hypot(one[f"{column}_mcse"], other[f"{column}_mcse"])
            told = one["reliable"].to_numpy()
            assert told.mean() > 0.5
            assert (gap <= MOST_ERRORS * errors)[told].all(), gap / errors


def test_models_are_fitted_again_where_draws_do_not_tell():
    y = [0.1, 0.15, 0.05, 0.1, 0.12, 3.0]
    ensemble = fitted(y, [0.1] * 5 + [0.2], priors_heterogeneity=None)
    found = ensemble.influence()
    # The mean of the others is nowhere near those of the draws.
    assert found.frame["how"].tolist() == ["reweighted"] * 5 + ["refitted"]
    last = found.frame.iloc[-1]
    others = np.array(y[:5])
    precision = 5 / 0.1**2
    mean = others.mean() * precision / (precision + 1)
    logs = [-0.5 * np.log(1 + precision) + 0.5 * mean**2 * (precision + 1), 0.0]
    exact = mean * np.exp(logs[0] - logsumexp(logs))
    assert last["mu"] == pytest.approx(exact, abs=MOST_ERRORS * last["mu_mcse"])
    assert last["mu_change"] < -0.1
    assert last["reliable"]
    same = ensemble.influence(fits=found.fits)
    assert same.fits == found.fits
    kept = ensemble.influence(refit=False)
    assert not kept.frame["reliable"].iloc[-1]
    assert kept.frame["pareto_k"].iloc[-1] > 0.7
    assert "cannot be trusted" in str(kept)


def test_evidence_that_draws_cannot_tell_has_no_error_and_is_marked(made, monkeypatch):
    ensemble = NORMAL.ensemble(made)
    monkeypatch.setattr(MODULE, "can_be_trusted", lambda model: False)
    found = ensemble.influence(refit=False)
    assert not found.components["reliable"].any()
    assert found.components["log_bf_mcse"].isna().all()
    texts = found.summary().formatted()["BF Effect"]
    assert texts.str.startswith("~").all()
    assert "~: of this order" in str(found)


def test_the_table_has_a_row_per_study_and_a_column_per_component(made):
    ensemble = NORMAL.ensemble(made)
    found = ensemble.influence(refit=False)
    table = found.summary()
    assert table.frame.index.tolist() == list(ensemble.task.effects.names)
    assert "BF Effect" in table.frame
    assert str(found).startswith("Results without each study:")
    assert found._repr_html_().startswith("<div")


def test_the_figure_has_the_numbers_of_the_frame(made):
    found = NORMAL.ensemble(made).influence(refit=False)
    figure = found.plot()
    np.testing.assert_allclose(figure.data["influence"], -found.frame["mu_change"])
    figure.draw()


def test_moderators_keep_their_coding_without_a_study():
    data = rb.load_dataset("bcg").iloc[:4]
    moderators, _ = read_moderators("~ ablat", data)
    effects = rb.effect_sizes(y=[0.1, 0.2, 0.3, 0.4], se=[0.1] * 4)
    task = Task(
        effects, "none", columns=moderator_columns(moderators), moderators=moderators
    )
    kept = np.array([True, False, True, True])
    less = without(task, kept)
    np.testing.assert_array_equal(less.column("ablat"), task.column("ablat")[kept])
    assert less.effects.K == 3


def test_fits_are_thinned_evenly(made):
    fit = next(f for f in NORMAL.ensemble(made).fits if f.chains is not None)
    short = thinned(fit, 400)
    assert short.chains.draws.shape == (4, 100, 1)
    assert short.chains.draws[0, 0] == fit.chains.draws[0, 0]
    assert short.chains.draws[0, -1] == fit.chains.draws[0, -1]
    assert thinned(fit, 4000) is fit


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"by": "estimate"}, DataError, "by: expected 'study' or 'cluster'"),
        ({"refit": "never"}, DataError, "refit: expected 'auto', True or False"),
        ({"seed": -1}, SettingsError, "seed: expected a whole number"),
        ({"cores": 0}, SettingsError, "cores: expected a whole number"),
    ],
)
def test_bad_arguments_are_named(made, options, error, message):
    with pytest.raises(error, match=message):
        NORMAL.ensemble(made).influence(**options)


def test_one_estimate_cannot_be_left_out(made):
    effects = rb.effect_sizes(y=[0.1], se=[0.1])
    space = rb.model_space(
        effect=(rb.prior("spike", location=0.1),),
        heterogeneity=(rb.prior("spike", location=0.0),),
    )
    alone = made.ensemble(space, [0.0], effects=effects, prior_scale="none")
    with pytest.raises(DataError, match="expected two or more to leave one out"):
        alone.influence()
