"""Simulation-based calibration of a small ensemble, from its own prior.

``benchmarks/calibration`` does the same with many more data sets and larger ensembles.
Given the data, and if posterior probabilities are right, the true hypotheses are
independent draws with these probabilities, and ranks of true parameters are uniform
(Cook, Gelman and Rubin, 2006; Talts et al., 2018): distributions are known, and a test
is exact but for the autocorrelation of chains. So few data sets with so few false
alarms show errors of log Bayes factors of 2 and more; the benchmark those of 0.5.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

import pyrobma as rb

N = 60
# Of each of the seven tests: with other seeds fewer than 1 in 10 000 runs fail.
FALSE_ALARM = 1e-5
RANKS = 63
SETTINGS = rb.SamplerSettings(sampler="independence", draws=250)
COMPONENTS = ("effect", "heterogeneity")
PARAMETERS = ("mu", "tau", "rho")


@pytest.fixture(scope="module")
def calibration():
    """True hypotheses and their probabilities, and ranks of true parameters."""
    se = [0.1, 0.3, 0.2, 0.15, 0.25, 0.12]
    empty = rb.effect_sizes(z=np.zeros(6), se=se, study_ids=[1, 1, 1, 2, 2, 2])
    plan = rb.robma(empty, priors_bias=None, only_priors=True)
    found = rb.simulate(plan, N, seed=1)
    rng = np.random.default_rng(2)
    true = {name: [] for name in COMPONENTS}
    stated = {name: [] for name in COMPONENTS}
    ranks = {name: [] for name in PARAMETERS}
    for number, truth in found.parameters.iterrows():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rb.PyrobmaWarning)
            fit = rb.robma(
                found.effects(number), priors_bias=None, settings=SETTINGS,
                seed=number, cores=1, progress=False,
            )  # fmt: skip
        own = int(truth["model"]) - 1
        for name in COMPONENTS:
            true[name].append(name in fit.space.models[own].alternative)
            stated[name].append(fit.inclusion.loc[name, "post_prob"])
        for name in fit.space.models[own].free:
            draws = fit.fits[own].draws(name).ravel()
            chosen = draws[np.linspace(0, draws.size - 1, RANKS).astype(int)]
            below = (chosen < truth[name]).sum()
            ranks[name].append((below + rng.random()) / (RANKS + 1))
    return true, stated, ranks


def count_distribution(p):
    """Probabilities of 0, ..., N successes of trials with probabilities p."""
    found = np.ones(1)
    for one in p:
        found = np.convolve(found, [1 - one, one])
    return found


@pytest.mark.parametrize("name", COMPONENTS)
def test_hypotheses_are_true_as_often_as_their_probabilities_add_up_to(
    calibration, name
):
    true, stated, _ = calibration
    chance = count_distribution(stated[name])
    count = sum(true[name])
    assert chance[: count + 1].sum() > FALSE_ALARM / 2
    assert chance[count:].sum() > FALSE_ALARM / 2


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_mean_posterior_probability_is_the_prior_one(calibration, name):
    _, stated, _ = calibration
    assert stats.ttest_1samp(stated[name], 0.5).pvalue > FALSE_ALARM


@pytest.mark.parametrize("name", PARAMETERS)
def test_ranks_of_true_parameters_are_uniform(calibration, name):
    _, _, ranks = calibration
    assert len(ranks[name]) > N / 8
    assert stats.kstest(ranks[name], "uniform").pvalue > FALSE_ALARM
