"""Posteriors that chains from one place miss: two modes, ridges, units, two scales.

Exact values by quadrature, or conjugate; see each test.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.fit import Fit

SPIKE = rb.prior("spike", location=0)
SPREAD = 0.8 + 0.01 * np.array([-1.3, -0.8, -0.4, -0.1, 0.1, 0.4, 0.8, 1.3])
UNIT_Y = np.array([1.2, 1.35, 0.9, 1.5, 1.1, 1.6])
UNIT_SE = np.array([0.1, 0.12, 0.09, 0.2, 0.15, 0.11])
Z = 4.0
"""Largest distance from an exact value, in stated errors."""


def one(y: Sequence[float], se: Sequence[float], **priors: object) -> Fit:
    """The only model of an analysis without nulls."""
    sides = {
        "priors_effect_null": None,
        "priors_heterogeneity_null": None,
        "priors_bias": None,
        **priors,
    }
    fit = rb.robma(y=np.asarray(y), se=np.asarray(se), seed=1, **sides)
    (found,) = fit.fits
    return found


def close(fit: Fit, logml: float) -> bool:
    assert fit.second is not None
    assert fit.second.logml == pytest.approx(logml, abs=Z * fit.second.error + 2e-5)
    return fit.ok and abs(fit.logml - logml) < Z * fit.logml_mcse + 2e-5


@pytest.mark.parametrize("z", [5.0, 6.0, 8.0, 12.0])
def test_both_modes_of_a_conflict_of_prior_and_data_are_counted(z: float) -> None:
    # mu at the data with tau small, and mu near the prior with tau large.
    y, se, sd = SPREAD - 0.8 + 0.1 * z, np.full(8, 0.01), 0.1
    fit = one(
        y, se,
        priors_effect=rb.prior("normal", mean=0, sd=sd),
        priors_heterogeneity=rb.prior("inv_gamma", shape=1, scale=0.015),
    )  # fmt: skip

    # mu is integrated analytically, log tau on a fine grid.
    log_tau = np.linspace(-14.0, 6.0, 40_001)
    v = se[0] ** 2 + np.exp(2 * log_tau)
    n, mean = len(y), y.mean()
    log_f = (
        -0.5 * n * np.log(2 * np.pi * v)
        - 0.5 * ((y - mean) ** 2).sum() / v
        - 0.5 * np.log1p(n * sd**2 / v)
        - 0.5 * mean**2 / (sd**2 + v / n)
        + np.log(0.015) - log_tau - 0.015 * np.exp(-log_tau)
    )  # fmt: skip
    weights = np.exp(log_f - log_f.max())
    logml = log_f.max() + np.log(weights.sum() * (log_tau[1] - log_tau[0]))
    assert close(fit, logml)
    shrunk = mean * sd**2 / (sd**2 + v / n)
    mu = (weights * shrunk).sum() / weights.sum()
    draws = fit.draws("mu")
    error = draws.std() / np.sqrt(fit.diagnostics.ess_mean[0])
    assert abs(draws.mean() - mu) < Z * error


@pytest.mark.filterwarnings("ignore:effect_direction")
def test_a_ridge_of_mu_and_tiny_weights_is_followed() -> None:
    fit = one(
        [0.2, 0.3, -1.5], [0.05] * 3,
        priors_effect=rb.prior("normal", mean=0, sd=1),
        priors_heterogeneity=None, priors_heterogeneity_null=SPIKE,
        priors_bias=rb.prior_weightfunction("one-sided", steps=[0.05], alpha=[1, 1]),
        priors_bias_null=None,
    )  # fmt: skip
    assert fit.logml == pytest.approx(-352.027, abs=0.01)
    assert fit.second is not None
    assert fit.second.logml == pytest.approx(-352.027, abs=5e-4)
    assert np.log(fit.draws("omega")[:, :, 1]).mean() < -50


@pytest.mark.parametrize("unit", [1e-12, 1e-5, 1e8, 1e12])
def test_bayes_factors_are_the_same_in_every_unit(unit: float) -> None:
    fit = rb.robma(
        y=UNIT_Y * unit, se=UNIT_SE * unit, seed=1, priors_bias=None,
        priors_effect=rb.prior("normal", mean=0, sd=unit),
        priors_heterogeneity=rb.prior("inv_gamma", shape=1, scale=0.15 * unit),
    )  # fmt: skip
    evidence = fit.inclusion
    for component, exact_bf in (("effect", 8.4710), ("heterogeneity", 6.7614)):
        error = evidence.loc[component, "log_bf_mcse"]
        assert abs(evidence.loc[component, "log_bf"] - exact_bf) < Z * error
        assert error < 0.01


def test_an_interval_null_and_a_wide_tau_fit_together() -> None:
    y, se = np.array([0.1, 0.15, 0.3]), np.array([0.1, 0.12, 0.1])
    fit = one(
        y, se,
        priors_effect=rb.prior("normal", mean=0.2, sd=1e-6),
        priors_heterogeneity=rb.prior("inv_gamma", shape=1, scale=0.15),
    )  # fmt: skip
    # mu may as well be 0.2: the rest is an integral over tau.
    t = np.linspace(-12.0, 12.0, 40_001)
    v = se[:, None] ** 2 + np.exp(2 * t)
    log_f = (
        (-0.5 * np.log(2 * np.pi * v) - 0.5 * (y[:, None] - 0.2) ** 2 / v).sum(axis=0)
        + np.log(0.15) - t - 0.15 * np.exp(-t)
    )  # fmt: skip
    logml = np.logaddexp.reduce(log_f) + np.log(t[1] - t[0])
    assert close(fit, logml)
    assert fit.draws("mu").std() == pytest.approx(1e-6, rel=0.1)


def test_a_narrow_cauchy_beside_data_three_errors_away() -> None:
    fit = one(
        [0.3], [0.1],
        priors_effect=rb.prior("cauchy", location=0, scale=0.001),
        priors_heterogeneity=None, priors_heterogeneity_null=SPIKE,
    )  # fmt: skip
    x = np.concatenate(
        [np.linspace(-0.02, 0.02, 400_001), np.linspace(0.02, 1.5, 200_001)]
    )
    x = np.concatenate([np.linspace(-1.5, -0.02, 200_001), x])
    f = np.exp(-0.5 * ((0.3 - x) / 0.1) ** 2) / (0.1 * np.sqrt(2 * np.pi))
    f *= 0.001 / (np.pi * (0.001**2 + x**2))
    assert close(fit, float(np.log(np.trapezoid(f, x))))


def test_mass_heaped_on_the_ends_of_rho_is_sampled() -> None:
    schools = rb.load_dataset("konstantopoulos2011")
    fit = rb.robma(
        schools, d="yi", v="vi", study_ids="district", seed=1, priors_bias=None,
        priors_effect_null=None, priors_heterogeneity_null=None,
        priors_hierarchical=rb.prior("beta", alpha=0.05, beta=0.05),
    )  # fmt: skip
    (found,) = fit.fits
    assert found.ok
    assert abs(found.logml - found.second.logml) < Z * found.logml_mcse
    assert found.second.method == "quadrature"


@pytest.mark.filterwarnings("ignore:effect_direction")
def test_a_model_that_cannot_matter_is_not_sampled_and_says_so() -> None:
    y, n = [0.15, -6.0, 0.4], [1254, 1836, 300]
    fit = rb.robma(d=y, n=n, seed=1)
    hopeless = [f for f in fit.fits if f.rough]
    assert len(hopeless) > 10
    total = np.logaddexp.reduce(fit.logml + np.log(fit.prior_prob))
    sure = [f for f in hopeless if f.logml - total < -20]
    assert len(sure) > 10
    assert "rough" in str(fit.summary("diagnostics"))
    assert fit.inclusion.loc["heterogeneity", "log_bf"] == pytest.approx(
        1030.0, abs=0.5
    )
