"""Properties of model averaging that hold whatever the numbers are."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pyrobma as rb
from pyrobma.ensemble import (
    LogmlErrors,
    Mixture,
    inclusion,
    posterior_probabilities,
    posterior_probability_errors,
)
from pyrobma.ensemble.mixing import allocate

robma = partial(rb.robma, priors_bias=None)
independent = LogmlErrors.independent

# Sums of a few doubles.
ROUNDING = 1e-12
# exp of the rounding error of numbers up to 1e4: 1e4 * 2e-16 * a few.
LOG_ROUNDING = 1e-10

counts = st.integers(2, 8)


def logmls(n):
    return hnp.arrays(float, n, elements=st.floats(-1e4, 1e4))


def weights(n):
    return hnp.arrays(float, n, elements=st.floats(0.01, 100.0)).map(
        lambda w: w / w.sum()
    )


@st.composite
def ensembles(draw):
    n = draw(counts)
    member = draw(hnp.arrays(bool, n))
    error = draw(hnp.arrays(float, n, elements=st.floats(0.0, 0.1)))
    return draw(logmls(n)), draw(weights(n)), member, independent(error)


@given(ensembles())
def test_posterior_probabilities_sum_to_one(ensemble):
    logml, prior, _, _ = ensemble
    posterior = posterior_probabilities(logml, prior)
    assert (posterior >= 0).all()
    assert posterior.sum() == pytest.approx(1.0, abs=LOG_ROUNDING)


@given(ensembles(), st.floats(-1e4, 1e4))
def test_a_constant_shift_of_logml_changes_nothing(ensemble, shift):
    logml, prior, member, errors = ensemble
    np.testing.assert_allclose(
        posterior_probabilities(logml + shift, prior),
        posterior_probabilities(logml, prior),
        atol=LOG_ROUNDING,
    )
    before = inclusion(member, logml, prior, errors)
    after = inclusion(member, logml + shift, prior, errors)
    if np.isfinite(before.log_bf):
        # Absolute: the rounding of logml itself.
        assert after.log_bf == pytest.approx(before.log_bf, abs=1e-8)


@given(ensembles())
def test_evidence_for_and_against_are_reciprocal(ensemble):
    logml, prior, member, errors = ensemble
    with_it = inclusion(member, logml, prior, errors)
    without = inclusion(~member, logml, prior, errors)
    assert with_it.log_bf == pytest.approx(-without.log_bf, abs=1e-8)
    assert with_it.n_models + without.n_models == len(logml)
    assert with_it.post_prob + without.post_prob == pytest.approx(1.0, abs=1e-9)
    assert with_it.log_bf_mcse == pytest.approx(
        without.log_bf_mcse, rel=1e-6, abs=1e-9, nan_ok=True
    )


@given(st.data())
def test_a_bayes_factor_of_two_models_ignores_their_prior_probabilities(data):
    logml, prior = data.draw(logmls(2)), data.draw(weights(2))
    found = inclusion(np.array([False, True]), logml, prior, independent(np.zeros(2)))
    assert found.log_bf == pytest.approx(logml[1] - logml[0], abs=1e-8)


@given(ensembles(), st.randoms())
def test_the_order_of_the_models_does_not_matter(ensemble, random):
    logml, prior, member, errors = ensemble
    order = np.array(random.sample(range(len(logml)), len(logml)))
    one = inclusion(member, logml, prior, errors)
    other = inclusion(
        member[order], logml[order], prior[order], independent(errors.sd[order])
    )
    assert other.log_bf == pytest.approx(one.log_bf, abs=1e-8)
    assert other.log_bf_mcse == pytest.approx(
        one.log_bf_mcse, rel=1e-6, abs=1e-9, nan_ok=True
    )


@given(ensembles())
def test_errors_of_probabilities_are_finite_and_bounded_by_those_of_logml(ensemble):
    logml, prior, _, of_logml = ensemble
    posterior = posterior_probabilities(logml, prior)
    errors = posterior_probability_errors(posterior, of_logml)
    # p_k (1 - p_k) and p_k p_j are at most 1/4 and the p_j sum to one.
    assert (errors >= 0).all()
    assert (errors <= 0.5 * of_logml.sd.max() + ROUNDING).all()


@st.composite
def mixtures(draw):
    n = draw(st.integers(1, 4))
    sizes = [draw(st.sampled_from([(1, 1), (2, 10), (1, 25)])) for _ in range(n)]
    values = st.floats(-100, 100)
    draws = tuple(draw(hnp.arrays(float, size, elements=values)) for size in sizes)
    return Mixture(draw(weights(n)), draws, independent(np.zeros(n)))


@given(mixtures(), st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_quantiles_are_draws_in_order_and_between_the_extremes(mixture, probs):
    found = mixture.quantiles(sorted(probs))
    assert (np.diff(found) >= 0).all()
    assert np.isin(found, np.concatenate([d.ravel() for d in mixture.draws])).all()


@given(mixtures(), st.floats(0.01, 0.99))
def test_a_quantile_has_its_probability_below_it(mixture, p):
    (found,) = mixture.quantiles([p])
    below = sum(
        w * (d < found).mean()
        for w, d in zip(mixture.probabilities, mixture.draws, strict=True)
    )
    up_to = sum(
        w * (d <= found).mean()
        for w, d in zip(mixture.probabilities, mixture.draws, strict=True)
    )
    assert below - 1e-9 <= p <= up_to + 1e-9


@given(mixtures(), st.floats(-10, 10), st.floats(0.1, 10))
def test_moments_follow_a_change_of_scale(mixture, shift, factor):
    moved = mixture.transformed(lambda x: shift + factor * x)
    # The standard deviation comes from a difference of squares up to 1e6.
    assert moved.mean() == pytest.approx(shift + factor * mixture.mean(), abs=1e-8)
    assert moved.sd() == pytest.approx(factor * mixture.sd(), abs=1e-3, rel=1e-6)


@given(st.data(), st.integers(1, 20_000))
def test_shares_of_draws_are_whole_sum_and_keep_proportion(data, n):
    probabilities = data.draw(counts.flatmap(weights))
    found = allocate(probabilities, n)
    assert found.sum() == n
    assert (np.abs(found - n * probabilities) < 1 + 1e-9).all()


sides = st.lists(st.floats(0.1, 10.0), min_size=1, max_size=3)


@given(sides, sides, sides, sides, st.booleans())
def test_prior_probabilities_of_components_are_independent(
    effect, effect_null, heterogeneity, heterogeneity_null, clustered
):
    def priors(component, side, null=False):
        first = rb.default_priors(component)[0]
        return tuple(
            rb.prior("spike", location=0, prior_weight=w)
            if null
            else rb.prior(first.family, first.values, prior_weight=w)
            for w in side
        )

    space = rb.model_space(
        effect=priors("effect", effect),
        effect_null=priors("effect", effect_null, null=True),
        heterogeneity=priors("heterogeneity", heterogeneity),
        heterogeneity_null=priors("heterogeneity", heterogeneity_null, null=True),
        hierarchical=rb.default_priors("hierarchical") if clustered else (),
        hierarchical_null=(rb.prior("spike", location=0),) if clustered else (),
    )
    p = space.prior_prob
    assert p.sum() == pytest.approx(1.0, rel=ROUNDING)
    has = {
        c: np.array([c in m.alternative for m in space.models])
        for c in ("effect", "heterogeneity")
    }
    share = sum(effect) / sum(effect + effect_null)
    assert p[has["effect"]].sum() == pytest.approx(share, rel=1e-9)
    both = p[has["effect"] & has["heterogeneity"]].sum()
    assert both == pytest.approx(share * p[has["heterogeneity"]].sum(), rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(float, st.integers(2, 12), elements=st.floats(-1, 1)),
    st.floats(-2, 2),
    st.randoms(),
)
def test_exact_models_are_equivariant_to_shift_and_order_of_studies(y, shift, random):
    assume(np.ptp(y) > 0)
    se = np.linspace(0.1, 0.4, y.size)
    spike = {
        "priors_effect": None,
        "priors_heterogeneity": rb.prior("spike", location=0.2),
        "priors_heterogeneity_null": None,
        "seed": 1,
    }

    def logml(y, se, location):
        null = rb.prior("spike", location=location)
        return robma(y=y, se=se, priors_effect_null=null, **spike).fits[0].logml

    before = logml(y, se, 0.1)
    order = np.array(random.sample(range(y.size), y.size))
    assert logml(y + shift, se, 0.1 + shift) == pytest.approx(before, abs=1e-9)
    assert logml(y[order], se[order], 0.1) == pytest.approx(before, abs=1e-9)
