"""Random numbers of a model: every round of its chains has some of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.fit import SamplerSettings, extend, fit_model
from pyrobma.fit import model as fitting
from pyrobma.fit.model import survey
from pyrobma.fit.plan import model_seed
from pyrobma.models import Task

TASK = Task(rb.effect_sizes(d=[0.1, 0.4, 0.2], se=[0.1, 0.2, 0.1]), "cohens_d")
SPEC = rb.model(
    mu=rb.prior("normal", mean=0, sd=1), tau=rb.prior("inv_gamma", shape=1, scale=0.15)
)
SETTINGS = SamplerSettings(chains=4, draws=1000, max_draws=9000)


def test_every_round_draws_from_seeds_of_its_own(monkeypatch):
    chains, bridges = [], []
    run, bridge = fitting.run_chains, fitting.warp3

    def run_chains(*arguments, seed, **options):
        chains.append(seed)
        return run(*arguments, seed=seed, **options)

    def warp3(*arguments, seed, **options):
        bridges.append(tuple(np.random.default_rng(seed).integers(2**62, size=4)))
        return bridge(*arguments, seed=seed, **options)

    monkeypatch.setattr(fitting, "run_chains", run_chains)
    monkeypatch.setattr(fitting, "warp3", warp3)
    fit = fit_model(TASK, SPEC, SETTINGS, 7)
    for _ in range(2):
        fit = extend(TASK, fit, SETTINGS)
    assert fit.round >= 2
    assert len(chains) == len(set(chains)) == fit.round + 1
    assert len(bridges) == len(set(bridges)) == fit.round + 1
    # Equal seeds would repeat the first draws after those of the warm-up.
    draws = fit.draws("mu")
    assert len(np.unique(draws)) > 0.5 * draws.size


def first_numbers(seed):
    return tuple(np.random.default_rng(seed).integers(2**62, size=4).tolist())


@pytest.fixture(scope="module")
def found():
    return survey(TASK, SPEC, SETTINGS, 7)


def test_survey_bridge_and_independent_draws_have_streams_of_their_own(monkeypatch):
    streams = []
    explore, bridge = fitting.explore, fitting.warp3
    independent = fitting.independence_chains

    def explored(*arguments, **options):
        streams.append(("survey", first_numbers(arguments[4])))
        return explore(*arguments, **options)

    def bridged(*arguments, seed, **options):
        streams.append(("bridge", first_numbers(seed)))
        return bridge(*arguments, seed=seed, **options)

    def drawn(density, proposal, seed, chains, draws):
        streams.append((f"{draws} independent draws", first_numbers(seed)))
        return independent(density, proposal, seed, chains, draws)

    monkeypatch.setattr(fitting, "explore", explored)
    monkeypatch.setattr(fitting, "warp3", bridged)
    monkeypatch.setattr(fitting, "independence_chains", drawn)
    for seed in (7, 8):
        fit = fit_model(TASK, SPEC, replace(SETTINGS, draws=200), seed)
        extend(TASK, fit, SETTINGS)
        for draws in (100, 200):
            other = replace(SETTINGS, sampler="independence", draws=draws, max_mcse=1)
            fit_model(TASK, SPEC, other, seed)
    # Surveys of one seed are the same, whatever comes after them.
    different = dict.fromkeys(streams)
    assert [what for what, _ in streams].count("bridge") >= 4
    assert len({numbers for _, numbers in different}) == len(different)
    assert sum(what == "survey" for what, _ in different) == 2


def test_a_seed_makes_the_draws_and_another_one_makes_others(found):
    settings = SamplerSettings(chains=2, draws=200, max_draws=200)
    fits = [fit_model(TASK, SPEC, settings, seed, 1, found) for seed in (7, 7, 8)]
    np.testing.assert_array_equal(fits[0].draws("mu"), fits[1].draws("mu"))
    assert fits[0].logml == fits[1].logml
    assert not np.isin(fits[0].draws("mu"), fits[2].draws("mu")).any()
    assert fits[0].logml != fits[2].logml


def test_chains_of_one_model_share_no_draws(found):
    settings = SamplerSettings(chains=4, draws=200, max_draws=200)
    draws = fit_model(TASK, SPEC, settings, 7, 1, found).draws("mu")
    for first in range(4):
        for second in range(first):
            assert not np.isin(draws[first], draws[second]).any()


def test_errors_of_two_models_of_one_ensemble_are_independent(found):
    # The same posterior at two places of a space; their errors are told apart by the
    # second estimate, which is exact to 1e-4.
    settings = SamplerSettings(
        chains=2, draws=100, max_draws=100, sampler="independence"
    )
    ensembles = 50
    z = np.empty((ensembles, 2))
    for seed in range(ensembles):
        for place in range(2):
            own = model_seed(seed, place)
            fit = fit_model(TASK, SPEC, settings, own, 1, found)
            z[seed, place] = (fit.logml - found.second.logml) / fit.bridge.mcse
    # Three standard errors of a correlation, and of a standard deviation.
    assert abs(np.corrcoef(z.T)[0, 1]) < 3 / np.sqrt(ensembles)
    assert abs(np.log(z.std())) < 3 / np.sqrt(2 * z.size)
