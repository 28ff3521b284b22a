"""Random numbers of a model: every round of its chains has some of its own."""

from __future__ import annotations

import numpy as np

import pyrobma as rb
from pyrobma.fit import SamplerSettings, extend, fit_model
from pyrobma.fit import model as fitting
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
