"""Sums of coefficients by quadrature, against dense matrices and SciPy's integrals."""

from __future__ import annotations

import numpy as np
import pytest
from dense_regression import (
    IDS,
    PET,
    RHO,
    SE,
    SLOPE,
    SUM,
    Dense,
    X,
    Y,
    column,
    fitted,
    spec_of,
    task,
)
from scipy import integrate, stats
from scipy.special import log_ndtr

import pyrobma as rb
from pyrobma.ensemble import conditionals
from pyrobma.ensemble.collapsed import Collapsed
from pyrobma.ensemble.conditionals import (
    conjugate,
    log_change_by,
    log_densities_at,
    log_sides_of,
)
from pyrobma.models import ModelSpec, Task

# Both sides are quadrature of eight digits or so in one dimension, and the stated
# error in more.
ONE = 2e-6
MORE = 5e-4
EXACT = 1e-9


def density(value):
    return lambda mean, sd: stats.norm.logpdf(value, mean, sd)


def test_with_a_fixed_heterogeneity_the_density_is_a_normal_one(made):
    spec = spec_of(tau=rb.prior("spike", location=0.2))
    fit = fitted(made, spec)
    _, mean, sd = Dense(SUM).at(0.2)
    (found,) = log_densities_at(task(), fit, [(SUM, 0.4)])
    assert found.error == 0.0
    assert found.log == pytest.approx(stats.norm.logpdf(0.4, mean, sd), abs=EXACT)
    above, below = log_sides_of(task(), fit, SUM, 0.4)
    assert above.log == pytest.approx(stats.norm.logsf(0.4, mean, sd), abs=EXACT)
    assert below.log == pytest.approx(stats.norm.logcdf(0.4, mean, sd), abs=EXACT)


@pytest.mark.parametrize("value", [0.3, 0.0, -1.0, 5.0, -20.0])
def test_densities_far_out_are_as_exact_as_in_the_middle(made, value):
    fit = fitted(made, spec_of())
    dense = Dense(SUM)
    (found,) = log_densities_at(task(), fit, [(SUM, value)])

    def integrand(t, of_sum):
        log, mean, sd = dense.at(np.exp(t))
        log += stats.invgamma.logpdf(np.exp(t), 1, scale=0.15) + t
        return np.exp(log + (stats.norm.logpdf(value, mean, sd) if of_sum else 0.0))

    whole, part = (
        sum(
            integrate.quad(integrand, a, a + 1, args=(of_sum,), epsrel=1e-10)[0]
            for a in range(-8, 10)
        )
        for of_sum in (False, True)
    )
    exact = np.log(part) - np.log(whole)
    assert found.error < 1e-4
    assert found.log == pytest.approx(exact, abs=ONE + found.error)


@pytest.mark.parametrize("quantity", [SUM, SLOPE], ids=["sum", "slope"])
@pytest.mark.parametrize(
    ("priors", "integrated"),
    [
        ({"rho": RHO}, {"rho": True}),
        ({"PET": PET}, {"pet": True}),
        ({"rho": RHO, "PET": PET}, {"rho": True, "pet": True}),
    ],
    ids=["rho", "PET", "both"],
)
def test_correlation_and_bias_are_integrated_too(made, priors, integrated, quantity):
    fit, own = fitted(made, spec_of(**priors)), task("rho" in priors)
    dense = Dense(quantity, clustered="rho" in priors)
    values = (0.1, -0.5)
    for value, found in zip(
        values, log_densities_at(own, fit, [(quantity, v) for v in values]), strict=True
    ):
        exact, _ = dense.log_mean(density(value), **integrated)
        assert found.log == pytest.approx(exact, abs=MORE)
    above, below = log_sides_of(own, fit, quantity, 0.1)
    exact, _ = dense.log_mean(lambda m, s: log_ndtr((m - 0.1) / s), **integrated)
    assert above.log == pytest.approx(exact, abs=MORE)
    assert np.exp(above.log) + np.exp(below.log) == pytest.approx(1.0, abs=MORE)


def test_a_fixed_effect_shifts_the_sum_and_the_estimates(made):
    spec = spec_of(mu=rb.prior("spike", location=0.3))
    dense = Dense(SUM, free=("x",), fixed_mu=0.3)
    (found,) = log_densities_at(task(), fitted(made, spec), [(SUM, 0.2)])
    exact, _ = dense.log_mean(density(0.2))
    assert found.log == pytest.approx(exact, abs=ONE)


@pytest.mark.parametrize(
    ("parameter", "value"), [("tau", 0.3), ("tau", 0.0), ("rho", 0.8), ("PET", 1.0)]
)
def test_fixing_an_unknown_changes_the_marginal_likelihood_by_quadrature(
    made, parameter, value
):
    priors = {"rho": RHO} if parameter == "rho" else {}
    priors |= {"PET": PET} if parameter == "PET" else {}
    own, fit = task("rho" in priors), fitted(made, spec_of(**priors))
    found = log_change_by(own, fit, parameter, value)
    dense = Dense(SUM, clustered="rho" in priors)
    name = parameter.lower()
    _, free = dense.log_mean(density(0.0), **{name: True})
    _, fixed = dense.log_mean(density(0.0), **{name: value})
    assert found.log == pytest.approx(fixed - free, abs=MORE)


def test_a_correlation_of_almost_one_loses_no_digits(made):
    """Where a tiny standard error makes sums of 1e16 cancel."""
    se = np.array([1e-8, 0.2, 1e-8, 0.1, 0.2, 0.3, 0.1])
    effects = rb.effect_sizes(z=Y, se=se, study_ids=IDS)
    own = Task(effects, "cohens_d", columns=(column("x", X),))
    spec = spec_of(
        tau=rb.prior("spike", location=0.5), rho=rb.prior("spike", location=0.999)
    )
    (found,) = log_densities_at(own, fitted(made, spec), [(SUM, 0.4)])
    T2 = 0.25 * 0.25
    same = np.array(IDS)[:, None] == np.array(IDS)
    S = np.diag(se**2 + 0.001 * T2) + 0.999 * T2 * same
    dense = Dense(SUM)
    rest = Y - dense.Z @ dense.a
    gain = np.linalg.solve(S + dense.Z @ dense.D @ dense.Z.T, dense.Z @ dense.D).T
    mean = dense.c @ (dense.a + gain @ rest)
    sd = np.sqrt(dense.c @ (dense.D - gain @ dense.Z @ dense.D) @ dense.c)
    exact = stats.norm.logpdf(0.4, mean, sd)
    assert found.log == pytest.approx(exact, abs=1e-6)  # condition numbers of 1e4


def test_what_takes_too_many_points_is_not_known(made):
    peese = rb.prior("cauchy", [0, 5], lower=0)
    spec = spec_of(rho=RHO, PET=PET, PEESE=peese)
    fit = fitted(made, spec)
    assert log_densities_at(task(True), fit, [(SUM, 0.0)]) == [None]
    assert log_sides_of(task(True), fit, SUM, 0.0) is None
    assert log_change_by(task(True), fit, "rho", 0.5) is None


def test_many_values_are_those_of_one_by_one(made):
    fit = fitted(made, spec_of(rho=RHO))
    asked = [(SUM, 0.1), (SLOPE, 0.3), (SUM, -2.0)]
    together = log_densities_at(task(True), fit, asked)
    alone = [log_densities_at(task(True), fit, [one])[0] for one in asked]
    assert together == alone


def test_points_that_do_not_suit_an_integrand_are_not_used(made, monkeypatch):
    """In the middle no further point is needed, in a tail all are new."""
    fit, calls = fitted(made, spec_of()), []
    integrated = Collapsed.integrated

    def counted(self, log_density):
        calls.append(1)
        return integrated(self, log_density)

    monkeypatch.setattr(conditionals.Collapsed, "integrated", counted)
    log_densities_at(task(), fit, [(SUM, 0.4)])
    assert len(calls) == 1
    log_densities_at(task(), fit, [(SUM, -2.0)])
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("spec", "options", "expected"),
    [
        (spec_of(), {}, True),
        (spec_of(mu=rb.prior("spike", location=0)), {}, True),
        (spec_of(mu=rb.prior("normal", mean=0, sd=1, lower=0)), {}, False),
        (spec_of(x=rb.prior("t", location=0, scale=1, df=3)), {}, False),
        (spec_of(), {"effect_mapping": "exact"}, False),
        (spec_of(PET=PET), {}, True),
    ],
    ids=["normal", "spike", "truncated", "t", "exact", "PET"],
)
def test_which_models_have_normal_coefficients(spec, options, expected):
    assert conjugate(task(**options), spec) is expected


def test_selection_leaves_no_normal_coefficients_and_equal_measures_do():
    step = rb.prior_weightfunction("one-sided", steps=[0.025], alpha=[1, 1])
    selected = ModelSpec(spec_of().priors, step, frozenset())
    assert not conjugate(task(), selected)
    effects = rb.effect_sizes(d=Y, se=SE, transformation="cohens_d")
    same = Task(effects, "cohens_d", "exact", columns=(column("x", X),))
    assert conjugate(same, spec_of())
