"""Ridges of posteriors: where mu and coefficients are, one heterogeneity at a time."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import invgamma, multivariate_normal

import pyrobma as rb
from pyrobma.fit import explore, stan_data
from pyrobma.fit.density import LogDensity
from pyrobma.fit.explore import posterior_modes
from pyrobma.fit.ridge import ridge
from pyrobma.fit.stan_data import program
from pyrobma.models import Column, ModelSpec, Task
from pyrobma.parameters import REALS, Component, Parameter
from pyrobma.programs import library

# Log densities by Stan and by SciPy.
SAME = 1e-9

NORMAL = rb.prior("normal", mean=0, sd=1)
TERM = rb.prior("normal", mean=0, sd=0.25)
TAU = rb.prior("inv_gamma", shape=1, scale=0.15)
RHO = rb.prior("beta", alpha=1, beta=1)
SPIKE = rb.prior("spike", location=0)
PET = rb.prior("cauchy", [0, 1], lower=0)


def column(name, values):
    own = Component(name, name, name, name)
    return Column(
        Parameter(name, own, "spread", "moderator", REALS, name, name, name, name),
        values,
    )


def task_of(y, se, X, ids=None):
    """Data on Fisher's z with priors on Cohen's d: the factor is a half."""
    effects = rb.effect_sizes(z=y, se=se, study_ids=ids)
    columns = tuple(column(f"x{j}", values) for j, values in enumerate(X.T))
    return Task(effects, "cohens_d", columns=columns)


def drawn(seed, K, slopes, tau=0.1, se=(0.05, 0.15)):
    rng = np.random.default_rng(seed)
    X, errors = rng.normal(size=(K, len(slopes))), rng.uniform(*se, K)
    mean = 0.5 * (0.2 + X @ np.array(slopes))
    return mean + np.hypot(0.5 * tau, errors) * rng.normal(size=K), errors, X


def spec_of(P, **others):
    priors = {"mu": NORMAL, "tau": TAU, **others, **{f"x{j}": TERM for j in range(P)}}
    return ModelSpec(tuple(priors.items()), None, frozenset())


def opened(task, spec):
    return LogDensity(library(program(task, spec)), json.dumps(stan_data(task, spec)))


@pytest.mark.parametrize("ids", [None, [1, 1, 2, 2, 2, 3, 4, 4, 5]])
def test_no_step_in_mu_or_a_coefficient_leads_higher(ids):
    y, se, X = drawn(1, 9, [1.0, -2.0])
    rho = {} if ids is None else {"rho": RHO}
    task, spec = task_of(y, se, X, ids), spec_of(2, **rho)
    with opened(task, spec) as density:
        found = ridge(task, spec, density.own_columns)
        points = found.points.reshape(-1, found.points.shape[2])
        top = density(density.unconstrain(points))
        own = [found.names.index(name) for name in ("mu", "x0", "x1")]
        for step in np.vstack([np.eye(3), -np.eye(3), [[1, -1, 1]]]):
            moved = points.copy()
            moved[:, own] += 1e-3 * step
            assert (density(density.unconstrain(moved)) < top).all()


def test_the_height_of_the_ridge_and_its_volume_are_the_density_of_tau():
    y, se, X = drawn(2, 8, [0.5])
    task, spec = task_of(y, se, X), spec_of(1)
    with opened(task, spec) as density:
        found = ridge(task, spec, density.own_columns)
        heights = density(density.unconstrain(found.points[0]))
    heights = heights + np.linalg.slogdet(found.factor[0])[1]
    Z = 0.5 * np.column_stack([np.ones(8), X])
    exact = [
        multivariate_normal.logpdf(
            y,
            cov=np.diag(se**2 + 0.25 * tau**2) + Z @ np.diag([1.0, 0.25**2]) @ Z.T,
        )
        + invgamma.logpdf(tau, 1, scale=0.15)
        + np.log(tau)
        for tau in found.taus
    ]
    np.testing.assert_allclose(
        heights - heights[0], np.array(exact) - exact[0], atol=SAME
    )


def test_a_coefficient_with_ends_stays_inside_them():
    y, se, X = drawn(3, 8, [0.5])
    for sign in (1.0, -1.0):  # so that the data want one of the two to be negative
        task, spec = task_of(y + sign * 4.0 * se, se, X), spec_of(1, PET=PET)
        with opened(task, spec) as density:
            found = ridge(task, spec, density.own_columns)
            assert (found.points[..., found.names.index("PET")] > 0).all()
            flat = found.points.reshape(-1, found.points.shape[2])
            assert np.isfinite(density(density.unconstrain(flat))).all()


def test_weights_and_correlations_have_several_choices():
    y, se, X = drawn(4, 6, [0.5])
    step = rb.prior_weightfunction("one-sided", steps=[0.025], alpha=[1, 1])
    task = task_of(y, se, X, [1, 1, 2, 2, 3, 3])
    spec = ModelSpec(spec_of(1, rho=RHO).priors, step, frozenset())
    names = (
        "mu_free[1]",
        "tau_free[1]",
        "rho_logit[1]",
        "last_free[1]",
        "fall_logit[1]",
    )
    found = ridge(task, spec, names)
    assert found.points.shape == (6, len(found.taus), 5)
    assert len(np.unique(found.points[:, :, [2, 4]].reshape(-1, 2), axis=0)) == 6


def test_a_model_without_free_coefficients_has_none():
    y, se, X = drawn(5, 6, [0.5])
    priors = (("mu", SPIKE), ("tau", TAU))
    spec = ModelSpec(priors, None, frozenset())
    assert ridge(task_of(y, se, X), spec, ("tau_free[1]",)) is None


def bimodal():
    """Slopes of four prior deviations: large ones, or much heterogeneity."""
    rng = np.random.default_rng(3)
    X, se = rng.normal(size=(12, 4)), rng.uniform(0.02, 0.1, 12)
    noise = 0.02 * rng.normal(size=12) + se * rng.normal(size=12)
    y = 0.2 + X @ np.array([1.0, -1.0, 1.0, -1.0]) + noise
    return task_of(0.5 * y, 0.5 * se, X), spec_of(4)


def test_peaks_are_where_the_density_of_tau_is_highest_on_either_side():
    task, spec = bimodal()
    with opened(task, spec) as density:
        found = ridge(task, spec, density.own_columns)
        values = density(density.unconstrain(found.points[0]))[None]
        peaks = found.peaks(values)
        tau = found.names.index("tau")
        assert len(peaks) == 2
        low, high = sorted(peak.top[tau] for peak in peaks)
        assert low < 0.1 < 0.8 < high
        for peak in peaks:
            # Each has the draws of its own side.
            near = np.abs(np.log(peak.draws[:, tau] / peak.top[tau]))
            assert np.median(near) < 0.5
            assert np.isfinite(density(density.unconstrain(peak.draws))).all()


def test_one_of_two_peaks_may_be_no_mode():
    task, spec = bimodal()
    with opened(task, spec) as density:
        modes = posterior_modes(task, spec, density, 1e-6)
    assert len(modes) == 1


def test_parts_without_a_mode_have_the_shape_of_their_draws(monkeypatch):
    """Also where a coefficient is at the same end in all of them."""
    task, spec = bimodal()
    with opened(task, spec) as density:
        plain = explore._broad(task, spec, density)
        peaks = explore._peaks(task, spec, density)
        points = np.array([peaks[0].top, peaks[1].top])
        assert len(plain) == 2
        for part, peak in zip(plain, peaks, strict=True):
            draws = density.unconstrain(peak.draws)
            np.testing.assert_allclose(part.point, draws.mean(axis=0))
            np.testing.assert_allclose(
                part.factor @ part.factor.T, np.cov(draws, rowvar=False), rtol=1e-6
            )
            assert part.value == density(part.point[None])[0]
        stuck = [replace(peak, draws=peak.draws.copy()) for peak in peaks]
        for peak in stuck:
            peak.draws[:, 2] = points[0, 2]
        monkeypatch.setattr(explore, "_peaks", lambda *given: tuple(stuck))
        for part in explore._broad(task, spec, density):
            assert np.isfinite(part.log_mass)


def test_an_ordinary_posterior_has_one_peak():
    y, se, X = drawn(6, 20, [0.2, -0.1])
    task, spec = task_of(y, se, X), spec_of(2)
    with opened(task, spec) as density:
        found = ridge(task, spec, density.own_columns)
        points = found.points.reshape(-1, found.points.shape[2])
        values = density(density.unconstrain(points)).reshape(found.points.shape[:2])
    assert len(found.peaks(values)) == 1


def test_a_fixed_heterogeneity_is_one_point():
    y, se, X = drawn(7, 8, [0.5])
    spec = ModelSpec(
        (("mu", NORMAL), ("tau", rb.prior("spike", location=0.3)), ("x0", TERM)),
        None,
        frozenset(),
    )
    found = ridge(task_of(y, se, X), spec, ("mu_free[1]", "last_free[1]"))
    assert found.taus.tolist() == [0.3]
    assert len(found.peaks(np.zeros((1, 1)))) == 1
