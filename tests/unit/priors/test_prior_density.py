"""Densities, quantiles and draws of priors, against 40-digit arithmetic and by laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pyrobma.errors import PriorError
from pyrobma.priors import prior, prior_weightfunction
from pyrobma.priors.density import cdf, density, quantile, random, random_weights

# Rounding in a tail probability of e^-200 and in its ratio.
RTOL = 1e-12
# A probability up to x, where x itself is rounded.
PROBABILITY_ATOL = 1e-9
# The chance that a correct sampler fails: p-values are uniform.
SMALLEST_P = 1e-4

INF = math.inf

# Density and probability up to x of truncated priors, integrated with mpmath from the
# formulas of the untruncated densities at 40 digits.
REFERENCE = [
    (prior("normal", mean=0, sd=1, lower=8, upper=9), 8.1,
     3.6316244687755264, 0.55837540142012459),
    (prior("normal", mean=0, sd=1, upper=-20), -20.05,
     7.3666778495476753, 0.36650812842188918),
    (prior("t", location=0, scale=1, df=3, lower=1e7), 1.5e7,
     5.9259259259259812e-8, 0.70370370370369778),
    (prior("t", location=0.35, scale=0.102, df=3, lower=0), 0.3,
     3.154271778488825, 0.31458242404146887),
    (prior("cauchy", location=0, scale=1, lower=1e6, upper=3e6), 1.7e6,
     5.1903114186858242e-7, 0.61764705882342857),
    (prior("gamma", shape=1.5, rate=2, lower=40), 40.3,
     1.094930348710078, 0.44915932742470592),
    (prior("gamma", shape=8, rate=1, lower=1e-4, upper=1e-3), 9e-4,
     3826.3327043537842, 0.43050546934920031),
    (prior("invgamma", shape=1, scale=0.15, lower=0.001, upper=0.003), 0.0029,
     3180.6191817387599, 0.17832671545615314),
    (prior("invgamma", shape=2, scale=0.15, lower=1e7), 1.2e7,
     1.1574074045138889e-7, 0.30555555439814815),
    (prior("beta", alpha=200, beta=300, lower=0.6, upper=0.7), 0.605,
     51.127879807066022, 0.88210655347282842),
    (prior("lognormal", meanlog=0, sdlog=0.5, lower=100, upper=200), 101,
     0.15355814682034914, 0.1693945707897251),
    (prior("exp", rate=1.7, lower=300, upper=301), 300.4,
     1.053752019404193, 0.60366213352387541),
]  # fmt: skip

ORDINARY = [
    prior("normal", mean=0.3, sd=1.2),
    prior("normal", mean=0.3, sd=1.2, lower=0),
    prior("lognormal", meanlog=-1, sdlog=0.7, upper=1.5),
    prior("t", location=0.2, scale=0.5, df=3, lower=-0.3, upper=0.8),
    prior("cauchy", location=0.1, scale=0.4),
    prior("cauchy", location=0, scale=1, lower=0),
    prior("gamma", shape=1.5, rate=2, lower=0.3),
    prior("gamma", shape=0.5, rate=2),
    prior("invgamma", shape=1, scale=0.15),
    prior("beta", alpha=2.5, beta=1.5, lower=0.3),
    prior("beta", alpha=0.5, beta=0.5),
    prior("exp", rate=1.7, upper=0.4),
    prior("uniform", a=-1, b=3),
    prior("uniform", a=-1, b=3, lower=0.5, upper=0.75),
]
PRIORS = [*ORDINARY, *(case[0] for case in REFERENCE)]
SPIKE = prior("spike", location=0.3)


# ---- densities --------------------------------------------------------------------


@pytest.mark.parametrize(("made", "x", "height", "_"), REFERENCE, ids=str)
def test_a_truncated_density_keeps_its_digits_in_the_tails(made, x, height, _):
    assert density(made, x) == pytest.approx(height, rel=RTOL)


@pytest.mark.parametrize(("made", "x", "_", "below"), REFERENCE, ids=str)
def test_a_truncated_probability_keeps_its_digits_in_the_tails(made, x, _, below):
    assert cdf(made, x) == pytest.approx(below, rel=RTOL, abs=RTOL)


@pytest.mark.parametrize("made", PRIORS, ids=str)
def test_the_density_is_the_slope_of_the_probability(made):
    low, high = quantile(made, [0.2, 0.7])
    step = (high - low) / 2000
    x = np.linspace(low, high, 20)
    slope = (cdf(made, x + step) - cdf(made, x - step)) / (2 * step)
    np.testing.assert_allclose(density(made, x), slope, rtol=1e-4)


@pytest.mark.parametrize("made", PRIORS, ids=str)
def test_the_density_is_zero_outside_the_truncation(made):
    outside = [-INF, made.lower - 1, made.upper + 1, INF]
    np.testing.assert_array_equal(density(made, outside), 0)
    np.testing.assert_array_equal(cdf(made, outside), [0, 0, 1, 1])


@pytest.mark.parametrize("made", [ORDINARY[8], ORDINARY[2]], ids=str)
def test_a_density_that_vanishes_at_zero_is_zero_there(made):
    assert density(made, 0.0) == 0


def test_a_pole_is_infinite():
    assert density(prior("gamma", shape=0.5, rate=2), 0.0) == INF


def test_a_density_holds_where_the_tail_is_below_the_smallest_number():
    # P(X > 45) = exp(-1017); the conditional density is nearly exponential there.
    made = prior("normal", mean=0, sd=1, lower=45)
    expected = np.exp(stats.norm.logpdf(45.01) - stats.norm.logsf(45))
    assert density(made, 45.01) == pytest.approx(expected, rel=RTOL)
    with pytest.raises(PriorError, match=r"^prior: expected a truncation that keeps"):
        quantile(made, 0.5)


def test_the_shape_of_x_is_kept_and_what_is_missing_stays_missing():
    made = prior("normal", mean=0, sd=1)
    x = np.array([[0.0, 1.0, np.nan]])
    for function in (density, cdf):
        assert function(made, x).shape == (1, 3)
        np.testing.assert_array_equal(np.isnan(function(made, x)), np.isnan(x))
    assert density(made, 0.0).shape == ()


# ---- quantiles and draws ----------------------------------------------------------


@pytest.mark.parametrize("made", PRIORS, ids=str)
def test_quantiles_have_their_probabilities(made):
    p = np.array([0.001, 0.02, 0.3, 0.5, 0.9, 0.9999])
    np.testing.assert_allclose(cdf(made, quantile(made, p)), p, atol=PROBABILITY_ATOL)


@pytest.mark.parametrize("made", PRIORS, ids=str)
def test_the_outermost_quantiles_are_the_ends_of_the_truncation(made):
    ends = quantile(made, [0, 1])
    np.testing.assert_array_equal(ends, [made.lower, made.upper])


@pytest.mark.parametrize("p", [-0.01, 1.01, 50, np.nan, [0.5, 2]])
def test_only_probabilities_have_quantiles(p):
    with pytest.raises(PriorError, match=r"^p: expected probabilities from 0 to 1"):
        quantile(ORDINARY[0], p)


@pytest.mark.parametrize("made", PRIORS, ids=str)
def test_draws_follow_the_prior_inside_its_truncation(made):
    draws = random(made, 2000, np.random.default_rng(5))
    assert draws.min() >= made.lower
    assert draws.max() <= made.upper
    result = stats.kstest(draws, lambda x: cdf(made, x))
    assert result.pvalue > SMALLEST_P


def test_draws_have_the_asked_shape_and_repeat_with_the_seed():
    first, again = (
        random(ORDINARY[0], (3, 4), np.random.default_rng(1)) for _ in range(2)
    )
    assert first.shape == (3, 4)
    np.testing.assert_array_equal(first, again)


def test_a_uniform_number_of_zero_gives_a_finite_draw():
    class Zeros:
        def random(self, size):
            return np.zeros(size)

    assert np.isfinite(random(prior("normal", mean=0, sd=1), 3, Zeros())).all()


# ---- spikes -----------------------------------------------------------------------


def test_a_spike_has_no_density():
    with pytest.raises(
        PriorError, match=r"^prior: expected a prior with a density; got Spike\(0\.3\)"
    ):
        density(SPIKE, 0.3)


def test_a_spike_is_all_at_its_location():
    np.testing.assert_array_equal(cdf(SPIKE, [0.29, 0.3, 0.31]), [0, 1, 1])
    np.testing.assert_array_equal(quantile(SPIKE, [0, 0.5, 1]), 0.3)
    np.testing.assert_array_equal(random(SPIKE, (2, 2), np.random.default_rng(1)), 0.3)


# ---- weights ----------------------------------------------------------------------

FALLING = prior_weightfunction(
    "one.sided", steps=[0.025, 0.05, 0.5], alpha=[1, 2, 3, 4]
)
VALLEY = prior_weightfunction(
    "one.sided", steps=[0.05, 0.5, 0.9, 0.95], alpha1=[1, 2, 3], alpha2=[4, 5, 6]
)
FIXED = prior_weightfunction("two.sided.fixed", steps=[0.05], omega=[1, 0.25])


def test_falling_weights_have_beta_margins_that_sum_over_less_significant_intervals():
    omega = random_weights(FALLING, 4000, np.random.default_rng(2))
    assert omega.shape == (4000, 4)
    np.testing.assert_array_equal(omega[:, 0], 1)
    assert (np.diff(omega, axis=1) <= 0).all()
    for j, (above, below) in enumerate([(9, 1), (7, 3), (4, 6)], start=1):
        result = stats.kstest(omega[:, j], stats.beta(above, below).cdf)
        assert result.pvalue > SMALLEST_P


def test_weights_of_a_valley_fall_to_the_middle_and_rise_again():
    omega = random_weights(VALLEY, 4000, np.random.default_rng(3))
    assert omega.shape == (4000, 5)
    np.testing.assert_array_equal(omega[:, 0], 1)
    assert (np.diff(omega[:, :3], axis=1) <= 0).all()
    assert (np.diff(omega[:, 2:], axis=1) >= 0).all()
    # Up to p = 0.5, sums of Dirichlet(1, 2, 3). Above, shares of what is left to 1:
    # sums of Dirichlet(4, 5, 6) without its first element, or its first two.
    for values, shape in [
        (omega[:, 1], (5, 1)),
        (omega[:, 2], (3, 3)),
        ((omega[:, 3] - omega[:, 2]) / (1 - omega[:, 2]), (6, 9)),
        ((omega[:, 4] - omega[:, 2]) / (1 - omega[:, 2]), (11, 4)),
    ]:
        assert stats.kstest(values, stats.beta(*shape).cdf).pvalue > SMALLEST_P


def test_fixed_weights_are_repeated():
    omega = random_weights(FIXED, 3, np.random.default_rng(4))
    np.testing.assert_array_equal(omega, [[1, 0.25]] * 3)
