"""Mixtures of draws and spikes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal, stats

from pyrobma.ensemble import LogmlErrors, Mixture
from pyrobma.ensemble.mixing import allocate

# Sums of some thousand doubles.
ROUNDING = 1e-12
# A standard deviation of 2000 replicates is known to 1.6 %; ESS estimates of 500
# independent draws scatter by some per cent around the truth.
N_REPLICATES = 2000
BRUTE_FORCE = 0.08
# The error of an estimated ESS of some hundred independent draws, and so half of its
# relative error in the error of a mean.
CORRELATED = 0.15

SPIKE = np.array([[0.0]])


def mixture(probabilities, draws, error=None, fits=None, factors=None):
    p = np.array(probabilities, dtype=float)
    error = np.zeros(p.size) if error is None else error
    fits = range(p.size) if fits is None else fits
    return Mixture(p, tuple(draws), LogmlErrors.shared(error, fits), factors)


def test_mean_and_sd_are_those_of_the_weighted_draws():
    rng = np.random.default_rng(1)
    a, b = rng.normal(1, 2, (2, 300)), rng.normal(-1, 1, (2, 700))
    mixed = mixture([0.2, 0.5, 0.3], [SPIKE, a, b])
    values = np.concatenate([[0.0], a.ravel(), b.ravel()])
    weights = np.concatenate(
        [[0.2], np.full(600, 0.5 / 600), np.full(1400, 0.3 / 1400)]
    )
    mean = weights @ values
    assert mixed.mean() == pytest.approx(mean, rel=ROUNDING)
    assert mixed.sd() == pytest.approx(
        np.sqrt(weights @ (values - mean) ** 2), rel=ROUNDING
    )


def test_quantiles_are_the_smallest_values_whose_weight_reaches_the_probability():
    draws = np.array([[-2.0, -1.0], [1.0, 2.0]])
    mixed = mixture([0.5, 0.5], [SPIKE, draws])
    # Cumulative weights: -2: 1/8, -1: 2/8, 0: 6/8, 1: 7/8, 2: 1.
    probs = [0.0, 0.1, 0.125, 0.2, 0.26, 0.5, 0.74, 0.8, 0.9, 1.0]
    np.testing.assert_array_equal(
        mixed.quantiles(probs), [-2, -2, -2, -1, 0, 0, 0, 1, 2, 2]
    )


def test_the_number_of_draws_of_a_model_does_not_change_its_weight():
    draws = np.linspace(-1, 1, 101)[None]
    once = mixture([0.4, 0.6], [SPIKE + 0.3, draws])
    often = mixture([0.4, 0.6], [SPIKE + 0.3, np.repeat(draws, 7, axis=1)])
    probs = [0.025, 0.25, 0.5, 0.9]
    np.testing.assert_array_equal(once.quantiles(probs), often.quantiles(probs))


def test_a_model_without_probability_does_not_reach_the_extreme_quantiles():
    mixed = mixture([1.0, 0.0], [np.array([[1.0, 2.0]]), np.array([[-9.0, 9.0]])])
    np.testing.assert_array_equal(mixed.quantiles([0.0, 1.0]), [1.0, 2.0])


def test_spikes_alone_have_no_spread_and_no_error():
    mixed = mixture([0.3, 0.7], [SPIKE + 0.5, SPIKE + 0.5], np.ones(2))
    assert mixed.mean() == 0.5
    assert mixed.sd() == 0.0
    assert mixed.mcse() == pytest.approx(0.0, abs=ROUNDING)


def test_the_error_of_a_mean_agrees_with_brute_force():
    # Independent draws and independent errors of two logml; both sources matter.
    logml, error = np.array([0.0, 0.3, -0.2]), np.array([0.0, 0.1, 0.08])
    rng = np.random.default_rng(2)

    def replicate():
        weights = np.exp(logml + rng.normal(size=3) * error)
        draws = [SPIKE, rng.normal(1, 1, (4, 125)), rng.normal(-1, 2, (4, 125))]
        return mixture(weights / weights.sum(), draws, error)

    replicates = [replicate() for _ in range(N_REPLICATES)]
    spread = np.std([m.mean() for m in replicates])
    stated = np.mean([m.mcse() for m in replicates[:50]])
    assert stated == pytest.approx(spread, rel=BRUTE_FORCE)


def test_the_error_of_a_mean_of_spikes_is_that_of_their_weights():
    # The derivative of p by a log marginal likelihood is p (1 - p), for either one.
    mixed = mixture([0.3, 0.7], [SPIKE + 5, SPIKE + 7], np.array([0.3, 0.4]))
    assert mixed.mcse() == pytest.approx(0.3 * 0.7 * 0.5 * 2, rel=ROUNDING)
    one = mixture([0.3, 0.7], [SPIKE + 5, SPIKE + 7], np.array([0.3, 0.3]), [0, 0])
    assert one.mcse() == pytest.approx(0.0, abs=ROUNDING)


def test_errors_of_weights_and_of_draws_add_as_squares():
    rng = np.random.default_rng(5)
    draws = [rng.normal(1, 1, (4, 100)), rng.normal(-1, 2, (4, 150))]
    p, error = np.array([0.4, 0.6]), np.array([0.1, 0.05])
    alone = [mixture([1.0], [d]).mcse() for d in draws]
    of_draws = np.linalg.norm(p * alone)
    assert mixture(p, draws).mcse() == pytest.approx(of_draws, rel=ROUNDING)
    gap = draws[0].mean() - draws[1].mean()
    of_weights = np.prod(p) * abs(gap) * np.linalg.norm(error)
    assert mixture(p, draws, error).mcse() == pytest.approx(
        np.hypot(of_draws, of_weights), rel=ROUNDING
    )


def test_the_factor_of_a_missed_mean_is_of_its_own_models_draws_only():
    rng = np.random.default_rng(6)
    draws = [SPIKE, rng.normal(1, 1, (4, 100)), rng.normal(-1, 2, (4, 150))]
    p, error = np.array([0.2, 0.3, 0.5]), np.array([0.0, 0.1, 0.05])
    own = [0.0, *(mixture([1.0], [d]).mcse() for d in draws[1:])]
    of_draws = mixture(p, draws).mcse()
    of_weights = np.sqrt(mixture(p, draws, error).mcse() ** 2 - of_draws**2)
    missed = mixture(p, draws, error, factors=(1.0, 7.0, 1.0))
    parts = [of_weights, 7 * p[1] * own[1], p[2] * own[2]]
    assert missed.mcse() == pytest.approx(np.linalg.norm(parts), rel=1e-9)
    # Also of what is made of the draws, as tables on other scales are.
    tripled = missed.transformed(lambda x: 3 * x)
    assert tripled.mcse() == pytest.approx(3 * missed.mcse(), rel=1e-9)


def test_a_mapping_of_the_draws_leaves_the_probabilities():
    mixed = mixture([0.4, 0.6], [SPIKE, np.array([[1.0, 3.0]])])
    doubled = mixed.transformed(lambda x: 2 * x)
    assert doubled.mean() == 2 * mixed.mean()
    np.testing.assert_array_equal(doubled.probabilities, mixed.probabilities)


@pytest.mark.parametrize("n", [1, 7, 100, 9999])
def test_shares_of_draws_sum_to_their_number_and_are_never_off_by_one(n):
    probabilities = np.array([0.3333, 0.3333, 0.3333, 0.0001])
    counts = allocate(probabilities, n)
    assert counts.sum() == n
    assert np.abs(counts - probabilities * n).max() < 1


def test_models_that_share_their_draws_share_their_error():
    draws = np.random.default_rng(7).normal(size=(4, 200))
    alone = mixture([1.0], [draws])
    twice = mixture([0.5, 0.5], [draws, draws], fits=[0, 0])
    assert twice.mcse() == pytest.approx(alone.mcse(), rel=ROUNDING)


def test_a_parameter_that_is_the_same_everywhere_has_no_error():
    one = np.full((2, 100), 0.1)
    mixed = mixture([0.3, 0.7], [one, np.array([[0.1]])], np.ones(2))
    assert mixed.mcse() == 0.0


def autoregressive(rng, chains, draws, phi):
    """Chains with sd 1 and autocorrelations phi^k."""
    noise = rng.normal(size=(chains, draws)) * np.sqrt(1 - phi**2)
    values = np.empty((chains, draws))
    values[:, 0] = rng.normal(size=chains)
    for t in range(1, draws):
        values[:, t] = phi * values[:, t - 1] + noise[:, t]
    return values


def test_the_error_of_a_mean_counts_effective_draws_not_raw_ones():
    # n draws with autocorrelations phi^k are worth n (1 - phi) / (1 + phi): here a
    # nineteenth, so that an error by raw draws would be 4.4 times too small.
    phi, n = 0.9, 4 * 5000
    rng = np.random.default_rng(4)
    chains = autoregressive(rng, 4, 5000, phi)
    exact = np.sqrt((1 + phi) / (1 - phi) / n)
    assert mixture([1.0], [chains]).mcse() == pytest.approx(exact, rel=CORRELATED)
    half = mixture([0.5, 0.5], [SPIKE, chains])
    assert half.mcse() == pytest.approx(exact / 2, rel=CORRELATED)
    # Several models of one shape, and of different ones.
    other = [autoregressive(rng, 4, 5000, 0.0), 3 * autoregressive(rng, 2, 4000, phi)]
    three = mixture([0.5, 0.2, 0.3], [chains, *other])
    parts = [0.5 * exact, 0.2 / np.sqrt(n), 0.9 * np.sqrt(19 / 8000)]
    assert three.mcse() == pytest.approx(np.linalg.norm(parts), rel=CORRELATED)


def test_the_error_of_a_quantile_is_that_of_independent_draws():
    # Of N(0, 1) and 4 x 5,000 draws: sqrt(p (1 - p) / n) / density.
    draws = np.random.default_rng(1).normal(size=(4, 5000))
    mixed = mixture([1.0], [draws], np.zeros(1))
    probs = np.array([0.025, 0.5, 0.9])
    expected = np.sqrt(probs * (1 - probs) / draws.size) / stats.norm.pdf(
        stats.norm.ppf(probs)
    )
    # Estimated from as many draws: the density between two ends varies by 5 %.
    np.testing.assert_allclose(mixed.quantile_errors(probs), expected, rtol=0.2)


def test_errors_of_quantiles_are_what_seeds_show():
    probs, seeds = [0.025, 0.5, 0.975], 200
    rng = np.random.default_rng(2)
    z = []
    for _ in range(seeds):
        # An autoregression of correlation .7: 1,000 draws are worth 176.
        noise = rng.normal(size=(4, 1000)) * np.sqrt(1 - 0.7**2)
        noise[:, 0] = rng.normal(size=4)
        draws = signal.lfilter([1.0], [1.0, -0.7], noise, axis=1)
        mixed = mixture([1.0], [draws], np.zeros(1))
        exact = stats.norm.ppf(probs)
        z.append((mixed.quantiles(probs) - exact) / mixed.quantile_errors(probs))
    # The sd of 200 standard normals is within .15 of 1 at three errors.
    np.testing.assert_allclose(np.std(z, axis=0), 1.0, atol=0.2)


def test_a_quantile_within_a_spike_has_no_error_and_the_extremes_have_none_known():
    draws = np.random.default_rng(3).normal(5.0, 1.0, size=(4, 500))
    mixed = mixture([0.6, 0.4], [SPIKE, draws], np.array([0.0, 0.02]))
    errors = mixed.quantile_errors([0.0, 0.5, 0.9, 1.0])
    assert np.isnan(errors[[0, 3]]).all()
    assert errors[1] == 0
    # Three quarters up the normal: .4 sqrt(.19 / 2000) and .06 x .02, over .4 x .318.
    assert errors[2] == pytest.approx(0.032, rel=0.25)
