"""Posterior densities of sums by the Stan programs, against dense normal formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import pyrobma as rb
from pyrobma.fit import SamplerSettings, fit_model
from pyrobma.fit.ordinates import constrained_model, log_ordinate_ratios
from pyrobma.models import Column, ModelSpec, Task
from pyrobma.parameters import REALS, Component, Parameter

# Sums of squares in double precision.
EXACT = 1e-9
# Quadrature over one parameter, and a grid of it here.
QUADRATURE = 1e-5
# Monte Carlo errors of the mean of ratios that is off.
ERRORS = 4.0

SETTINGS = SamplerSettings(chains=2, draws=500)
NORMAL = rb.prior("normal", mean=0.1, sd=1)
TERM = rb.prior("normal", mean=0, sd=0.25)
TAU = rb.prior("inv_gamma", shape=1, scale=0.15)

_rng = np.random.default_rng(4)
K = 8
SE = _rng.uniform(0.1, 0.3, K)
X = np.column_stack([np.tile([1.0, -1.0], 4), _rng.normal(size=K)])
Y = 0.2 + X @ [0.1, -0.1] + np.hypot(0.1, SE) * _rng.normal(size=K)
IDS = [1, 1, 2, 2, 2, 3, 4, 5]
WEIGHTS = {"mu": 1.0, "a": -0.5, "b": 2.0}
C = np.array([1.0, -0.5, 2.0])
D = np.diag([1.0, 0.25**2, 0.25**2])
A = np.array([0.1, 0.0, 0.0])
Z = 0.5 * np.column_stack([np.ones(K), X])


def column(name, values):
    own = Component(name, name, name, name)
    return Column(
        Parameter(name, own, "spread", "moderator", REALS, name, name, name, name),
        values,
    )


COLUMNS = (column("a", X[:, 0]), column("b", X[:, 1]))


def task(ids=None):
    return Task(rb.effect_sizes(z=Y, se=SE, study_ids=ids), "cohens_d", columns=COLUMNS)


def spec_of(selection=None, **priors):
    given = {"mu": NORMAL, "tau": 0.2, "a": TERM, "b": TERM, **priors}
    order = ("mu", "tau", "rho", "PET", "a", "b")
    return ModelSpec(
        tuple(
            (n, given[n] if isinstance(given[n], rb.Prior) else spike(given[n]))
            for n in order
            if n in given
        ),
        selection,
        frozenset(),
    )


def spike(value):
    return rb.prior("spike", location=value)


def covariance(tau=0.2, rho=0.0, ids=None):
    labels = np.arange(K) if ids is None else np.array(ids)
    same = labels[:, None] == labels
    T2 = 0.25 * tau**2
    return np.diag(SE**2 + (1 - rho) * T2) + rho * T2 * same


def of_sum(S, y=Y):
    """The posterior of the sum, a normal distribution."""
    gain = D @ Z.T @ np.linalg.inv(S + Z @ D @ Z.T)
    mean = C @ (A + gain @ (y - Z @ A))
    return stats.norm(mean, np.sqrt(C @ (D - gain @ Z @ D) @ C))


def log_given_sum(value, S, y=Y):
    """Log density of the estimates given the sum's value."""
    pull = D @ C / (C @ D @ C)
    left = D - np.outer(pull, C @ D)
    mean = Z @ (A + pull * (value - C @ A))
    return stats.multivariate_normal.logpdf(y - mean, cov=S + Z @ left @ Z.T)


@pytest.mark.parametrize("value", [0.1, -0.4, 30.0])
def test_of_a_normal_posterior_every_ratio_is_the_density(value):
    fit = fit_model(task(), spec_of(), SETTINGS, 1)
    logs = log_ordinate_ratios(task(), fit, WEIGHTS, value)
    exact = of_sum(covariance()).logpdf(value)
    if value < 1.0:
        # But for the covariance, which is that of draws.
        ratios = np.exp(logs - exact)
        assert ratios.std() < 0.2
        assert abs(ratios.mean() - 1.0) < 0.02
    else:
        # Their logs do not underflow where a density would.
        assert exact < -1000.0
        assert np.isfinite(logs).all()


def test_ratios_are_for_about_two_thousand_draws():
    fit = fit_model(task(), spec_of(), SamplerSettings(chains=2, draws=3000), 1)
    assert log_ordinate_ratios(task(), fit, WEIGHTS, 0.1).shape == (2, 1000)


def test_ratios_average_to_the_density_under_PET():
    pet = rb.prior("normal", mean=0, sd=1, lower=0)
    spec = spec_of(PET=pet)
    fit = fit_model(task(), spec, SETTINGS, 2)
    S = covariance()
    slopes = np.linspace(0.0, 6.0, 301)
    logs = [
        stats.multivariate_normal.logpdf(Y - s * SE - Z @ A, cov=S + Z @ D @ Z.T)
        + stats.norm.logpdf(s)
        for s in slopes
    ]
    share = np.exp(np.array(logs) - logsumexp(logs))
    for value in (0.1, -0.3):
        exact = share @ [of_sum(S, Y - s * SE).pdf(value) for s in slopes]
        ratios = np.exp(log_ordinate_ratios(task(), fit, WEIGHTS, value))
        error = ratios.std() / np.sqrt(ratios.size / 4)  # draws are not independent
        assert abs(ratios.mean() - exact) < ERRORS * error


@pytest.mark.parametrize("ends", [{"lower": 0.0}, {"upper": 2.0}])
def test_a_coefficient_with_ends_has_no_ratios(ends):
    spec = spec_of(mu=rb.prior("normal", mean=0, sd=1, **ends))
    fit = fit_model(task(), spec, SETTINGS, 1)
    assert log_ordinate_ratios(task(), fit, WEIGHTS, 0.1) is None


def constrained(spec, value, own=None, weights=WEIGHTS):
    own = task() if own is None else own
    return constrained_model(own, spec, weights, value, SETTINGS, 1)


@pytest.mark.parametrize("value", [0.1, -5.0])
def test_a_model_given_a_sum_is_a_normal_one(value):
    found = constrained(spec_of(), value)
    assert found.log_prior == pytest.approx(
        stats.norm.logpdf(value, C @ A, np.sqrt(C @ D @ C))
    )
    exact = log_given_sum(value, covariance())
    assert found.logml == pytest.approx(exact, abs=QUADRATURE + 4 * found.error)


def test_a_model_whose_only_coefficient_is_given_has_nothing_left():
    spec = spec_of(mu=0.3, b=-0.2)
    found = constrained(spec, 0.3 - 0.5 * 0.7 - 0.4)
    rest = Y - 0.5 * (0.3 + 0.7 * X[:, 0] - 0.2 * X[:, 1])
    exact = stats.multivariate_normal.logpdf(rest, cov=covariance())
    assert found.error == 0.0
    assert found.logml == pytest.approx(exact, abs=EXACT)
    assert found.log_prior == pytest.approx(
        stats.norm.logpdf(0.7, 0.0, 0.25) - np.log(0.5)
    )


def test_clusters_bias_and_heterogeneity_stay_in_a_model_given_a_sum():
    spec = spec_of(rho=0.6, PET=0.4, tau=TAU)
    found = constrained(spec, 0.2, task(IDS))
    logs = np.linspace(-7.0, 3.0, 801)
    parts = [
        log_given_sum(0.2, covariance(np.exp(t), 0.6, IDS), Y - 0.4 * SE)
        + stats.invgamma.logpdf(np.exp(t), 1, scale=0.15)
        + t
        for t in logs
    ]
    exact = logsumexp(parts) + np.log(logs[1] - logs[0])
    assert found.logml == pytest.approx(exact, abs=QUADRATURE + 4 * found.error)


def test_selection_stays_in_a_model_given_a_sum():
    """With fixed weights: the density of what is published, over a grid of the rest."""
    weights = rb.prior_weightfunction("one-sided.fixed", steps=[0.025], omega=[1, 0.3])
    effects = rb.effect_sizes(y=Y, se=SE)
    own = Task(effects, "none", columns=(column("a", X[:, 0]),))
    spec = replace(spec_of(weights, b=0.0), priors=spec_of(b=0.0).priors[:3])
    value = 0.25
    found = constrained(spec, value, own, {"mu": 1.0, "a": 1.0})
    slopes = np.linspace(-3.0, 3.0, 4001)
    sd = np.sqrt(SE**2 + 0.2**2)
    mean = (value - slopes)[:, None] + slopes[:, None] * X[:, 0]
    logs = stats.norm.logpdf(Y, mean, sd)
    above = stats.norm.sf(1.959963984540054 * SE, mean, sd)
    published = np.where(Y / SE >= 1.959963984540054, 1.0, 0.3)
    logs = logs + np.log(published) - np.log(above + 0.3 * (1.0 - above))
    # The slope given the sum, by the priors alone.
    total = 1.0 + 0.25**2
    own_mean = 0.25**2 / total * (value - 0.1)
    own_sd = np.sqrt(0.25**2 / total)
    parts = logs.sum(axis=1) + stats.norm.logpdf(slopes, own_mean, own_sd)
    exact = logsumexp(parts) + np.log(slopes[1] - slopes[0])
    assert found.logml == pytest.approx(exact, abs=QUADRATURE + 4 * found.error)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_the_unit_of_raw_effects_changes_both_by_their_dimension(unit):
    def made(u):
        effects = rb.effect_sizes(y=u * Y, se=u * SE)
        own = Task(effects, "none", columns=(column("a", X[:, 0]),))
        priors = (
            ("mu", rb.prior("normal", mean=0.1 * u, sd=u)),
            ("tau", spike(0.2 * u)),
            ("a", rb.prior("normal", mean=0, sd=0.25 * u)),
        )
        return own, ModelSpec(priors, None, frozenset())

    weights = {"mu": 1.0, "a": 0.5}
    one = constrained(made(1.0)[1], 0.3, made(1.0)[0], weights)
    other = constrained(made(unit)[1], 0.3 * unit, made(unit)[0], weights)
    error = QUADRATURE + 4 * (one.error + other.error)
    assert other.logml + K * np.log(unit) == pytest.approx(one.logml, abs=error)
    assert other.log_prior + np.log(unit) == pytest.approx(one.log_prior)
    own, plain = made(unit)[0], made(1.0)[0]
    fit, other_fit = (fit_model(*m, SETTINGS, 1) for m in (made(unit), made(1.0)))
    logs = log_ordinate_ratios(own, fit, weights, 0.3 * unit)
    others = log_ordinate_ratios(plain, other_fit, weights, 0.3)
    assert logs.mean() + np.log(unit) == pytest.approx(others.mean(), abs=0.05)
