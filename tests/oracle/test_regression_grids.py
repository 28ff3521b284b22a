"""Regressions without a closed form against sums over grids of all parameters."""

from __future__ import annotations

import math
from functools import cache

import brute
import numpy as np
import pandas as pd
import pytest
import quadrature as q
import regression as g
import selection
from scipy import stats
from test_logml_and_posteriors import ERRORS

import pyrobma as rb
from pyrobma._mcmc import effective_sample_size
from pyrobma.ensemble.hypotheses import point_evidence
from pyrobma.ensemble.quantities import Quantity
from pyrobma.fit.ordinates import constrained_model, log_ordinate_ratios

# `brute` at its default spacing against finer ones, and against quadrature.
BRUTE = 5e-4

_rng = np.random.default_rng(5)
K = 10
SE = _rng.uniform(0.1, 0.3, K)
X = _rng.normal(size=K).round(2)
X = (X - X.mean()) / X.std(ddof=1)
Y = 0.5 * (0.5 + 0.3 * X + 0.3 * _rng.normal(size=K)) + SE * _rng.normal(size=K)
PAIRS = np.repeat(np.arange(K // 2), 2)
CUT = selection.cut_offs(Y, SE, "z", "z", [0.025], 1)[:, 0]
ONE_SIDED = rb.prior_weightfunction("one.sided", steps=[0.025], alpha=[1, 1])
PET = rb.prior_PET("cauchy", [0, 1], lower=0)


def exactly(d):
    return np.arcsinh(d / 2.0)


CASES = {
    "selection": ({"cut": CUT}, {"priors_bias": [ONE_SIDED]}),
    "selection_of_pairs": (
        {"cut": CUT, "paired": True},
        {"priors_bias": [ONE_SIDED], "study_ids": PAIRS},
    ),
    "exact": ({"mapping": exactly}, {"effect_mapping": "exact", "priors_bias": None}),
    "exact_pairs": (
        {"mapping": exactly, "paired": True},
        {"effect_mapping": "exact", "priors_bias": None, "study_ids": PAIRS},
    ),
    "exact_and_PET": (
        {"mapping": exactly, "pet": True},
        {"effect_mapping": "exact", "priors_bias": [PET]},
    ),
}
# Values of mu + b, by how far out in the posterior they are.
VALUES = {"in the middle": 0.3, "at an end": 0.0, "far out": -0.4}
MEAN = Quantity("", "", "mean", (("mu", 1.0), ("x", 1.0)))

every = pytest.mark.parametrize("name", CASES)


@cache
def fitted(name):
    options = dict(CASES[name][1])
    if options["priors_bias"] is not None:
        options["priors_bias_null"] = None
    return rb.robma(
        z=Y, se=SE, mods=pd.DataFrame({"x": X}), standardize=False, test_mods=False,
        priors_effect_null=None, priors_heterogeneity_null=None, seed=1, **options,
    )  # fmt: skip


@cache
def log_integral(name, value=None):
    at = None if value is None else (1.0, value)
    return brute.log_integral(brute.Small(Y, SE, X, **CASES[name][0]), at)


def log_density(name, value):
    return log_integral(name, value) - log_integral(name)


@pytest.mark.parametrize(
    ("options", "exact"),
    [
        ({}, {}),
        ({"paired": True}, {"rho": q.DEFAULT_HIERARCHICAL}),
        ({"pet": True}, {"bias": g.Bias("PET", g.HALF_CAUCHY_PET)}),
    ],
    ids=["alone", "paired", "PET"],
)
def test_grids_agree_with_quadrature(options, exact):
    """Where coefficients can be integrated analytically."""
    data = g.Data(Y, SE, PAIRS if "paired" in options else None)
    design = np.column_stack([np.ones(K), X])
    sd = np.array([brute.MU_SD, brute.B_SD])
    model = g.posterior(data, design, np.zeros(2), sd, q.DEFAULT_HETEROGENEITY, **exact)
    small = brute.Small(Y, SE, X, **options)
    whole = brute.log_integral(small)
    assert whole == pytest.approx(model.logml, abs=BRUTE)
    for value in VALUES.values():
        found = brute.log_integral(small, (1.0, value)) - whole
        density = model.combination([1.0, 1.0]).density(value)
        assert found == pytest.approx(math.log(density), abs=BRUTE)


def test_a_pair_is_above_two_cuts_as_often_as_by_another_algorithm():
    for h, k, r in ((0.3, -1.2, 0.6), (-0.7, -0.2, 0.99), (2.0, 1.0, 0.0)):
        exact = stats.multivariate_normal.cdf([-h, -k], cov=[[1, r], [r, 1]])
        found = brute.both_above(np.array(h), np.array(k), r)
        assert found == pytest.approx(exact, abs=1e-7)  # that of the other algorithm


@every
def test_the_marginal_likelihood_is_that_of_the_grid(name):
    fit = fitted(name).fits[0]
    assert fit.logml_mcse < 0.01
    assert abs(fit.logml - log_integral(name)) < ERRORS * fit.logml_mcse + BRUTE


@every
@pytest.mark.parametrize("place", VALUES)
def test_a_fit_given_the_value_has_the_posterior_density(name, place):
    ensemble, value = fitted(name), VALUES[place]
    fit = ensemble.fits[0]
    found = constrained_model(
        ensemble.task, fit.spec, dict(MEAN.weights), value, ensemble.settings, seed=2
    )
    error = ERRORS * found.error + BRUTE
    assert abs(found.log_prior + found.logml - log_integral(name, value)) < error
    prior = stats.norm.logpdf(value, 0.0, math.hypot(brute.MU_SD, brute.B_SD))
    assert found.log_prior == pytest.approx(prior)


@every
@pytest.mark.parametrize("place", ["in the middle", "at an end"])
def test_ratios_of_draws_have_the_posterior_density_as_their_mean(name, place):
    ensemble, value = fitted(name), VALUES[place]
    fit = ensemble.fits[0]
    logs = log_ordinate_ratios(ensemble.task, fit, dict(MEAN.weights), value)
    ratios = np.exp(logs)
    size = float(effective_sample_size(ratios[:, :, None])[0])
    error = ratios.std(ddof=1) / math.sqrt(size)
    # Long tails of the ratios: twice the error of a normal variable.
    assert abs(ratios.mean() - math.exp(log_density(name, value))) < 2 * ERRORS * error
    assert error < 0.1 * ratios.mean()


@every
@pytest.mark.parametrize("place", VALUES)
def test_a_mean_has_the_bayes_factor_of_the_grid(name, place):
    ensemble, value = fitted(name), VALUES[place]
    found = point_evidence(ensemble, MEAN, value, np.ones(1, dtype=bool))
    prior = stats.norm.logpdf(value, 0.0, math.hypot(brute.MU_SD, brute.B_SD))
    exact = prior - log_density(name, value)
    assert found.log_bf_mcse < 0.03
    assert abs(found.log_bf - exact) < ERRORS * found.log_bf_mcse + BRUTE
