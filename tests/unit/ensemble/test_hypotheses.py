"""Evidence on sums and unknowns: made-up marginal likelihoods, exact densities."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from dense_regression import (
    NORMAL,
    RHO,
    SLOPE,
    SUM,
    TAU,
    TERM,
    Dense,
    fitted,
    spec_of,
    task,
)
from scipy import stats
from scipy.special import logsumexp

import pyrobma as rb
from pyrobma.ensemble import hypotheses
from pyrobma.ensemble.conditionals import Known
from pyrobma.ensemble.directions import direction_evidence, order_evidence
from pyrobma.ensemble.hypotheses import (
    fixed_value_evidence,
    point_evidence,
    points_evidence,
)
from pyrobma.ensemble.prior_sums import PRIOR_DRAWS, prior_log_density, prior_sides
from pyrobma.ensemble.quantities import Quantity
from pyrobma.models import ModelSpace, ModelSpec

EXACT = 1e-9
ONE = 3e-6  # of quadrature in one dimension
DIFFERENCE = 1e-5  # step of derivatives by differences, whose error is its square
ERRORS = 4.0

SPIKE = rb.prior("spike", location=0)
KNOWN_TAU = rb.prior("spike", location=0.2)
LOGML = np.array([0.3, 1.1, -0.4, 0.8])
MCSE = np.array([0.0, 0.02, 0.05, 0.03])
EVERY = np.ones(4, dtype=bool)


def specs(tau=KNOWN_TAU):
    """Without and with the slope, without and with the effect."""
    return tuple(
        replace(
            spec_of(mu=mu, tau=tau, x=x),
            alternative=frozenset(
                name for name, p in (("effect", mu), ("x", x)) if not p.is_spike
            ),
        )
        for x in (SPIKE, TERM)
        for mu in (SPIKE, NORMAL)
    )


def ensemble_of(made, models, logml=LOGML, mcse=MCSE, own=None, seed=3):
    fits = tuple(
        replace(fitted(made, spec), logml=float(log), logml_mcse=float(e), seed=k)
        if spec.free
        else made.fit(spec, float(log), float(e), seed=k)
        for k, (spec, log, e) in enumerate(zip(models, logml, mcse, strict=True))
    )
    own = task() if own is None else own
    return rb.RobmaFit(own, ModelSpace(models), fits, rb.SamplerSettings(), seed)


@pytest.fixture
def ensemble(made):
    return ensemble_of(made, specs())


def free_of(spec):
    return tuple(n for n in ("mu", "x") if not spec.prior(n).is_spike)


def exact_log_bf(ensemble, quantity, value, given):
    """Prior over posterior density of the mixture of models that leave it free."""
    weights, before, after = dict(quantity.weights), [], []
    for spec, fit, is_in in zip(ensemble.space, ensemble.fits, given, strict=True):
        names = [n for n in free_of(spec) if n in weights]
        if not (is_in and names):
            continue
        mean = sum(weights[n] * spec.prior(n).values[0] for n in names)
        sd = math.hypot(*(weights[n] * spec.prior(n).values[1] for n in names))
        before.append(stats.norm.logpdf(value, mean, sd))
        _, mean, sd = Dense(quantity, free_of(spec)).at(0.2)
        after.append((fit.logml, stats.norm.logpdf(value, mean, sd)))
    logml, density = np.array(after).T
    # All models are as probable before the data.
    return (
        logsumexp(before) - np.log(len(before))
        - (logsumexp(logml + density) - logsumexp(logml))
    )  # fmt: skip


@pytest.mark.parametrize("quantity", [SUM, SLOPE], ids=["sum", "slope"])
@pytest.mark.parametrize("value", [0.0, 0.4])
def test_a_value_of_a_sum_has_the_ratio_of_densities(ensemble, quantity, value):
    for given in (EVERY, ensemble.members("x"), ensemble.members("effect")):
        found = point_evidence(ensemble, quantity, value, given)
        exact = exact_log_bf(ensemble, quantity, value, given)
        assert found.log_bf == pytest.approx(exact, abs=EXACT)


def test_the_error_of_a_bayes_factor_is_first_order_in_the_marginal_likelihoods(made):
    given = EVERY
    found = point_evidence(ensemble_of(made, specs()), SUM, 0.1, given)

    def at(k, step):
        moved = LOGML + step * (np.arange(4) == k)
        return exact_log_bf(ensemble_of(made, specs(), moved), SUM, 0.1, given)

    slopes = [(at(k, DIFFERENCE) - at(k, -DIFFERENCE)) / (2 * DIFFERENCE)
              for k in range(4)]  # fmt: skip
    exact = math.hypot(*(np.array(slopes) * MCSE))
    assert found.log_bf_mcse == pytest.approx(exact, rel=1e-4)


def test_models_that_fix_the_sum_at_the_value_are_told_apart(ensemble):
    prior, post = ensemble.prior_prob, ensemble.post_prob
    found = point_evidence(ensemble, SUM, 0.0, EVERY)
    assert found.prior_atom == pytest.approx(prior[0])
    assert found.post_atom == pytest.approx(post[0])
    elsewhere = point_evidence(ensemble, SUM, 0.1, EVERY)
    assert (elsewhere.prior_atom, elsewhere.post_atom) == (0.0, 0.0)


def test_of_mu_over_all_models_the_ratio_is_that_of_the_effect(made):
    """Which a model's density times its marginal likelihood makes so."""
    models = specs()
    logml = [
        Dense(SUM, free_of(spec)).at(0.2)[0] if free_of(spec) else bare_logml()
        for spec in models
    ]
    ensemble = ensemble_of(made, models, logml, np.zeros(4))
    mu = Quantity("", "", "mean", (("mu", 1.0),))
    found = point_evidence(ensemble, mu, 0.0, EVERY)
    assert found.log_bf == pytest.approx(ensemble.evidence("effect").log_bf, abs=EXACT)
    slope = point_evidence(ensemble, SLOPE, 0.0, EVERY)
    assert slope.log_bf == pytest.approx(ensemble.evidence("x").log_bf, abs=EXACT)


def bare_logml():
    dense = Dense(SUM)
    S = np.diag(task().effects.se ** 2 + 0.25 * 0.2**2)
    return stats.multivariate_normal.logpdf(dense.y, cov=S)


def test_many_sums_are_those_of_one_by_one(ensemble):
    asked = [
        (SUM, 0.0, EVERY), (SLOPE, 0.2, ensemble.members("x")), (SUM, 0.3, EVERY),
    ]  # fmt: skip
    together = points_evidence(ensemble, asked)
    assert together == [point_evidence(ensemble, *one) for one in asked]
    assert points_evidence(ensemble, []) == []


def test_without_a_model_that_leaves_it_free_there_is_nothing(ensemble):
    found = point_evidence(ensemble, SLOPE, 0.0, ~ensemble.members("x"))
    assert math.isnan(found.log_bf)
    assert found.prior_atom == found.post_atom == 1.0


def test_free_models_of_no_probability_beside_an_atom_still_have_a_ratio(made):
    """Even where the atom has all of the posterior that a float can tell."""
    ensemble = ensemble_of(made, specs(), [900.0, 0.0, 1.0, 0.0])
    found = point_evidence(ensemble, SLOPE, 0.0, EVERY)
    assert found.post_atom == pytest.approx(1.0)
    exact = exact_log_bf(ensemble, SLOPE, 0.0, EVERY)
    assert found.log_bf == pytest.approx(exact, abs=EXACT)


def sides(value, mean, sd):
    return stats.norm.sf(value, mean, sd), stats.norm.cdf(value, mean, sd)


@pytest.mark.parametrize("value", [0.0, 0.3, -2.0, 4.0])
def test_a_side_has_the_probability_of_normal_distributions(ensemble, value):
    given = ensemble.members("effect") | ensemble.members("x")
    found = direction_evidence(ensemble, SUM, value, given)
    before, after, logml = [], [], []
    for spec, fit in zip(ensemble.space, ensemble.fits, strict=True):
        if free_of(spec):
            names = free_of(spec)
            weights = dict(SUM.weights)
            mean = sum(weights[n] * spec.prior(n).values[0] for n in names)
            sd = math.hypot(*(weights[n] * spec.prior(n).values[1] for n in names))
            before.append(
                (stats.norm.sf(value, mean, sd), stats.norm.cdf(value, mean, sd))
            )
            _, mean, sd = Dense(SUM, names).at(0.2)
            after.append(
                (stats.norm.sf(value, mean, sd), stats.norm.cdf(value, mean, sd))
            )
            logml.append(fit.logml)
    share = np.exp(np.array(logml) - logsumexp(logml))
    up, down = share @ np.array(after)
    high, low = np.mean(before, axis=0)
    assert found.prior == pytest.approx(high, rel=EXACT)
    assert found.post == pytest.approx(up, rel=EXACT)
    # Both sides keep their digits, so that odds of 1e-50 have a Bayes factor.
    exact = np.log(up) - np.log(down) - np.log(high) + np.log(low)
    assert found.log_bf == pytest.approx(exact, abs=EXACT)
    assert 0.0 < found.log_bf_mcse < 0.1


def test_a_fixed_sum_is_on_one_side_with_all_it_has(ensemble):
    found = direction_evidence(ensemble, SLOPE, -0.1, ~ensemble.members("x"))
    assert (found.prior, found.post) == (1.0, 1.0)
    assert math.isnan(found.log_bf)


def test_an_order_of_sums_counts_draws(made, ensemble):
    given = ensemble.members("effect") & ensemble.members("x")
    (place,) = np.flatnonzero(given)
    fit = ensemble.fits[place]
    quantities = [SLOPE, Quantity("", "", "mean", (("mu", 1.0),))]
    found = order_evidence(ensemble, quantities, [0.1, 0.3], given)
    true = (fit.values("x") > 0.1) & (fit.values("mu") > 0.3)
    assert found.post == pytest.approx(true.mean())
    exact = stats.norm.sf(0.1, 0, 0.25) * stats.norm.sf(0.3, 0.1, 1.0)
    error = math.sqrt(exact * (1 - exact) / PRIOR_DRAWS)
    assert abs(found.prior - exact) < ERRORS * error
    # The error of the prior probability is one of the Bayes factor.
    assert found.log_bf_mcse > error / (exact * (1 - exact))


def test_a_fixed_heterogeneity_is_compared_with_a_free_one(made):
    models = specs(tau=TAU)
    ensemble = ensemble_of(made, models)
    value = 0.3
    found = fixed_value_evidence(ensemble, "tau", value, EVERY)
    fixed, free = [], []
    for spec, logml in zip(models, LOGML, strict=True):
        dense = Dense(SUM, free_of(spec))
        _, whole = dense.log_mean(lambda m, s: 0.0 * m)
        fixed.append(logml + dense.at(value)[0] - whole)
        free.append(logml)
    exact = logsumexp(free) - logsumexp(fixed)
    assert found.log_bf == pytest.approx(exact, abs=ONE)
    shares = np.exp(np.array(fixed) - logsumexp(fixed)) - ensemble.post_prob
    assert found.log_bf_mcse == pytest.approx(math.hypot(*(shares * MCSE)), rel=1e-3)


def test_a_model_with_selection_is_fitted_again_with_the_value(made, monkeypatch):
    step = rb.prior_weightfunction("one-sided", steps=[0.025], alpha=[1, 1])
    spec = replace(spec_of(tau=TAU), selection=step)
    fit = replace(fitted(made, spec_of(tau=TAU)), spec=spec, logml=1.0, logml_mcse=0.1)
    ensemble = rb.RobmaFit(task(), ModelSpace((spec,)), (fit,), rb.SamplerSettings(), 3)

    def again(own, space, **options):
        (model,) = space.models
        assert model.prior("tau").location == 0.5
        return (replace(fit, spec=model, logml=0.25, logml_mcse=0.03),)

    monkeypatch.setattr(hypotheses, "fit_models", again)
    found = fixed_value_evidence(ensemble, "tau", 0.5, np.ones(1, dtype=bool))
    assert found.log_bf == pytest.approx(0.75)
    assert found.log_bf_mcse == pytest.approx(math.hypot(0.1, 0.03))


def test_an_illegal_value_is_refused(ensemble):
    for parameter, value in (("tau", -0.1), ("rho", 1.5)):
        with pytest.raises(rb.DataError, match=f"a value of {parameter} from 0"):
            fixed_value_evidence(ensemble, parameter, value, EVERY)


# ------------------------------------------------------------------------------ priors

T = rb.prior("t", location=0.1, scale=0.5, df=4)
HALF = rb.prior("normal", mean=0, sd=1, lower=0)


def spec(**priors):
    return ModelSpec(tuple(priors.items()), None, frozenset())


def test_the_prior_density_of_normal_coefficients_is_in_closed_form():
    found = prior_log_density(SUM, spec(mu=NORMAL, x=TERM), 0.4, seed=1)
    exact = stats.norm.logpdf(0.4, 0.1, math.hypot(1.0, 0.7 * 0.25))
    assert found == Known(pytest.approx(exact), 0.0)


@pytest.mark.parametrize("value", [0.3, -0.8])
def test_the_prior_density_of_one_coefficient_is_its_own(value):
    found = prior_log_density(SLOPE, spec(mu=NORMAL, x=T), value, seed=1)
    assert found.log == pytest.approx(stats.t.logpdf(value, 4, 0.1, 0.5))
    assert found.error == 0.0


@pytest.mark.parametrize("priors", [{"mu": T, "x": TERM}, {"mu": HALF, "x": T}])
def test_the_prior_density_of_other_sums_has_the_error_that_is_stated(priors):
    grid = np.linspace(-60, 60, 480_001)

    def density(prior, x):
        if prior is T:
            return stats.t.pdf(x, 4, 0.1, 0.5)
        if prior is HALF:
            return 2 * stats.norm.pdf(x) * (x > 0)
        return stats.norm.pdf(x, 0, 0.25)

    for value in (0.4, -1.0):
        found = prior_log_density(SUM, spec(**priors), value, seed=1)
        of_mu = density(priors["mu"], value + 0.7 * grid)
        exact = np.log(np.trapezoid(of_mu * density(priors["x"], grid), grid))
        assert 0.0 < found.error < 0.02
        assert abs(found.log - exact) < ERRORS * found.error + 1e-4


def test_prior_sides_are_those_of_the_distribution():
    normal = prior_sides(SUM, spec(mu=NORMAL, x=TERM), 0.4, seed=1)
    sd = math.hypot(1.0, 0.7 * 0.25)
    assert normal.above == pytest.approx(stats.norm.sf(0.4, 0.1, sd))
    assert normal.above + normal.below == pytest.approx(1.0)
    assert normal.variance == 0.0
    drawn = prior_sides(SLOPE, spec(x=T), 0.4, seed=1)
    error = math.sqrt(drawn.variance)
    assert abs(drawn.above - stats.t.sf(0.4, 4, 0.1, 0.5)) < ERRORS * error
    assert 0.0 < error < 0.003


def test_a_truncated_effect_leaves_no_way_to_a_density(made):
    half = rb.prior("normal", mean=0, sd=1, lower=0)
    ensemble = ensemble_of(made, (spec_of(mu=half),), [0.0], [0.0])
    found = point_evidence(ensemble, SUM, 0.1, np.ones(1, dtype=bool))
    assert math.isnan(found.log_bf)


def test_clusters_do_not_change_what_is_asked(made):
    """A correlation that is known to be 0 is none."""
    models = (spec_of(rho=RHO),)
    zero = (spec_of(rho=SPIKE),)
    with_rho = ensemble_of(made, models, [0.0], [0.0], task(True))
    without = ensemble_of(made, zero, [0.0], [0.0], task(True))
    one = np.ones(1, dtype=bool)
    exact, _ = Dense(SUM).log_mean(lambda m, s: stats.norm.logpdf(0.1, m, s))
    found = point_evidence(without, SUM, 0.1, one)
    prior = stats.norm.logpdf(0.1, 0.1, math.hypot(1.0, 0.7 * 0.25))
    assert found.log_bf == pytest.approx(prior - exact, abs=ONE)
    assert point_evidence(with_rho, SUM, 0.1, one).log_bf != found.log_bf
