"""What can be asked of a prior: densities, probabilities, quantiles, draws, moments."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate

import pyrobma as rb
from pyrobma.errors import PriorError
from pyrobma.priors import prior

INF = math.inf

# Each of at most seven quadratures is good to 1e-10 of itself.
QUADRATURE_RTOL = 1e-8
# Probabilities are rounded, and quantiles of a heavy tail magnify it.
INVERSE_ATOL = 1e-12
# Closed forms and sums of a few rounded numbers.
ROUNDING = 1e-12
# Moments of tails as x**-1.1 converge slowly.
HEAVY_RTOL = 1e-7

DRAWS = 4000
# Dvoretzky, Kiefer and Wolfowitz with Massart's constant (1990): the largest distance
# of the empirical from the true probabilities is beyond it once in a million samples.
FARTHEST = math.sqrt(math.log(2 / 1e-6) / (2 * DRAWS))

PRIORS = [
    prior("normal", mean=0.3, sd=1.2),
    prior("normal", mean=0.3, sd=1.2, lower=0),
    prior("normal", mean=0, sd=1, lower=8, upper=9),
    prior("lognormal", meanlog=-1, sdlog=0.7),
    prior("lognormal", meanlog=-1, sdlog=0.7, upper=1.5),
    prior("t", location=0.2, scale=0.5, df=5),
    prior("t", location=0.2, scale=0.5, df=5, lower=-0.3, upper=0.8),
    prior("cauchy", location=0.1, scale=0.4),
    prior("cauchy", location=0, scale=1, lower=0, upper=20),
    prior("gamma", shape=1.5, rate=2),
    prior("gamma", shape=1.5, rate=2, lower=0.3),
    prior("invgamma", shape=3, scale=0.15),
    prior("invgamma", shape=1, scale=0.15, upper=2),
    prior("beta", alpha=2.5, beta=1.5),
    prior("beta", alpha=2.5, beta=1.5, lower=0.3),
    prior("exp", rate=1.7),
    prior("exp", rate=1.7, upper=0.4),
    prior("uniform", a=-1, b=3),
    prior("uniform", a=-1, b=3, lower=0.5, upper=0.75),
]
SPIKE = prior("spike", location=0.3)


def integral(function, low, high, made):
    """Integrate piece by piece, so that no rule misses where the probability is."""
    inner = [q for q in made.quantile([0.01, 0.1, 0.5, 0.9, 0.99]) if low < q < high]
    pieces = [
        integrate.quad(function, *ends, epsabs=0, epsrel=1e-10, full_output=1)[0]
        for ends in pairwise([low, *inner, high])
    ]
    return math.fsum(pieces)


# ---- a number ---------------------------------------------------------------------


@pytest.mark.parametrize("made", PRIORS, ids=str)
def test_the_density_has_an_area_of_one(made):
    area = integral(made.pdf, made.lower, made.upper, made)
    assert area == pytest.approx(1, rel=QUADRATURE_RTOL)


@pytest.mark.parametrize("made", PRIORS, ids=str)
def test_the_probability_is_the_area_to_the_left(made):
    for x in made.quantile([0.02, 0.4, 0.95]):
        area = integral(made.pdf, made.lower, x, made)
        assert made.cdf(x) == pytest.approx(area, rel=QUADRATURE_RTOL)


@pytest.mark.parametrize("made", PRIORS, ids=str)
def test_quantiles_undo_probabilities(made):
    p = np.linspace(0, 1, 41)
    np.testing.assert_allclose(made.cdf(made.quantile(p)), p, atol=INVERSE_ATOL)


@pytest.mark.parametrize("made", PRIORS, ids=str)
def test_draws_are_distributed_as_the_prior_says(made):
    expected = made.cdf(np.sort(made.sample(DRAWS, seed=1)))
    steps = np.arange(DRAWS + 1) / DRAWS
    above, below = steps[1:] - expected, expected - steps[:-1]
    assert max(above.max(), below.max()) < FARTHEST


@pytest.mark.parametrize(
    "made", [p for p in PRIORS if not math.isnan(p.mean())], ids=str
)
def test_mean_and_sd_are_integrals_of_the_density(made):
    ends = (made.lower, made.upper)
    mean = integral(lambda x: x * made.pdf(x), *ends, made)
    variance = integral(lambda x: (x - mean) ** 2 * made.pdf(x), *ends, made)
    assert made.mean() == pytest.approx(mean, rel=HEAVY_RTOL)
    assert made.sd() == pytest.approx(math.sqrt(variance), rel=HEAVY_RTOL)


@pytest.mark.parametrize("made", PRIORS, ids=str)
def test_the_log_density_is_minus_infinity_outside(made):
    x = [-100.0, made.quantile(0.3), 100.0]
    inside = [made.lower <= value <= made.upper for value in x]
    logs = made.logpdf(x)
    np.testing.assert_allclose(np.exp(logs), made.pdf(x), rtol=ROUNDING)
    assert [math.isfinite(value) for value in logs] == inside


def test_the_mean_of_a_half_normal_is_that_of_the_textbook():
    made = prior("normal", mean=0, sd=2, lower=0)
    assert made.mean() == pytest.approx(2 * math.sqrt(2 / math.pi), rel=ROUNDING)
    assert made.sd() == pytest.approx(2 * math.sqrt(1 - 2 / math.pi), rel=ROUNDING)


def test_the_mean_of_a_half_t_holds_where_its_variance_hardly_exists():
    # E X = 2 s sqrt(df) / ((df - 1) B(df / 2, 1 / 2)), E X**2 = s**2 df / (df - 2).
    df, s = 2.1, 1e-6
    beta = math.gamma(df / 2) * math.gamma(0.5) / math.gamma((df + 1) / 2)
    mean = 2 * s * math.sqrt(df) / ((df - 1) * beta)
    made = prior("t", location=0, scale=s, df=df, lower=0)
    assert made.mean() == pytest.approx(mean, rel=HEAVY_RTOL)
    assert made.sd() == pytest.approx(
        math.sqrt(s**2 * df / (df - 2) - mean**2), rel=HEAVY_RTOL
    )


@pytest.mark.parametrize(
    ("made", "mean", "sd"),
    [
        (prior("cauchy", location=0, scale=1), math.nan, math.nan),
        (prior("cauchy", location=0, scale=1, lower=0), INF, math.nan),
        (prior("cauchy", location=0, scale=1, upper=0), -INF, math.nan),
        (prior("t", location=2, scale=1, df=1), math.nan, math.nan),
        (prior("t", location=2, scale=1, df=2), 2, INF),
        (prior("invgamma", shape=1, scale=0.15), INF, math.nan),
        (prior("invgamma", shape=2, scale=0.15), 0.15, INF),
        (prior("invgamma", shape=3, scale=0.15), 0.075, 0.075),
        (SPIKE, 0.3, 0),
    ],
    ids=str,
)
def test_moments_that_do_not_exist_are_said(made, mean, sd):
    assert made.mean() == pytest.approx(mean, rel=ROUNDING, nan_ok=True)
    assert made.sd() == pytest.approx(sd, rel=ROUNDING, nan_ok=True)


def test_a_spike_is_infinitely_dense_at_its_location_and_jumps_there():
    x = [0.2, 0.3, 0.4, math.nan]
    np.testing.assert_array_equal(SPIKE.pdf(x), [0, INF, 0, math.nan])
    np.testing.assert_array_equal(SPIKE.logpdf(x), [-INF, INF, -INF, math.nan])
    np.testing.assert_array_equal(SPIKE.cdf(x), [0, 1, 1, math.nan])
    np.testing.assert_array_equal(SPIKE.quantile([0, 0.5, 1]), 0.3)
    np.testing.assert_array_equal(SPIKE.sample(3), 0.3)


@pytest.mark.parametrize("made", [PRIORS[0], SPIKE], ids=str)
@pytest.mark.parametrize("name", ["pdf", "logpdf", "cdf", "quantile"])
def test_a_number_is_answered_with_a_number_and_an_array_with_its_shape(made, name):
    function = getattr(made, name)
    assert isinstance(function(0.3), float)
    values = function([[0.1, 0.3], [0.5, 0.7]])
    assert values.shape == (2, 2)
    assert values[0, 1] == function(0.3)


def test_a_seed_makes_draws_reproducible():
    made = PRIORS[0]
    one, other, third = (made.sample(5, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, other)
    assert (one != third).all()


@pytest.mark.parametrize("n", [0, 1.5, True, "ten"])
def test_a_number_of_draws_is_whole_and_positive(n):
    with pytest.raises(PriorError, match=r"^n: expected a whole number of at least 1"):
        PRIORS[0].sample(n)


def test_a_seed_is_not_negative():
    with pytest.raises(PriorError, match=r"^seed: expected a whole number"):
        PRIORS[0].sample(1, seed=-1)


@pytest.mark.parametrize("make", [rb.prior_PET, rb.prior_PEESE])
def test_a_regression_answers_for_the_prior_of_its_coefficient(make):
    made = make("cauchy", location=0, scale=2)
    # A half-Cauchy: 2 / (pi s (1 + (x / s)**2)), median s.
    assert made.pdf(2.0) == pytest.approx(1 / (2 * math.pi), rel=ROUNDING)
    assert made.cdf(2.0) == pytest.approx(0.5, rel=ROUNDING)
    assert made.quantile(0.5) == pytest.approx(2, rel=ROUNDING)
    assert made.mean() == INF
    np.testing.assert_array_equal(made.sample(3, seed=1), made.prior.sample(3, seed=1))


# ---- weights ----------------------------------------------------------------------

WEIGHTS = rb.prior_weightfunction("one.sided", steps=[0.025, 0.05], alpha=[1, 1, 1])
UNEVEN = rb.prior_weightfunction("two.sided", steps=[0.05, 0.1], alpha=[2, 0.5, 3])
RISING = rb.prior_weightfunction(
    "one.sided", steps=[0.05, 0.95], alpha1=[1, 1], alpha2=[1, 1]
)
FIXED = rb.prior_weightfunction("one.sided.fixed", steps=[0.05], omega=[1, 0.4])


def test_the_weights_of_a_flat_prior_are_betas():
    # Beta(2, 1) has the density 2 x, Beta(1, 2) has 2 (1 - x).
    x = np.array([0.1, 0.6])
    np.testing.assert_allclose(WEIGHTS.pdf(x)[:, 1], 2 * x, rtol=ROUNDING)
    np.testing.assert_allclose(WEIGHTS.pdf(x)[:, 2], 2 * (1 - x), rtol=ROUNDING)
    np.testing.assert_allclose(WEIGHTS.cdf(x)[:, 1], x**2, rtol=ROUNDING)
    np.testing.assert_allclose(WEIGHTS.quantile(0.25), [1, 0.5, 1 - 0.75**0.5])
    np.testing.assert_allclose(WEIGHTS.mean(), [1, 2 / 3, 1 / 3], rtol=ROUNDING)
    expected = [0, math.sqrt(1 / 18), math.sqrt(1 / 18)]
    np.testing.assert_allclose(WEIGHTS.sd(), expected, rtol=ROUNDING)


def test_the_first_weight_is_a_spike_at_one():
    np.testing.assert_array_equal(WEIGHTS.pdf([0.5, 1])[:, 0], [0, INF])
    np.testing.assert_array_equal(WEIGHTS.cdf([0.5, 1])[:, 0], [0, 1])


@pytest.mark.parametrize("made", [WEIGHTS, UNEVEN], ids=str)
def test_draws_of_weights_have_their_marginal_distributions(made):
    draws = np.sort(made.sample(DRAWS, seed=2), axis=0)
    assert draws.shape == (DRAWS, 3)
    steps = np.arange(DRAWS + 1) / DRAWS
    for j in (1, 2):
        expected = made.cdf(draws[:, j])[:, j]
        above, below = steps[1:] - expected, expected - steps[:-1]
        assert max(above.max(), below.max()) < FARTHEST


def test_known_weights_are_spikes():
    np.testing.assert_array_equal(FIXED.mean(), [1, 0.4])
    np.testing.assert_array_equal(FIXED.sd(), [0, 0])
    np.testing.assert_array_equal(FIXED.cdf(0.4), [0, 1])
    np.testing.assert_array_equal(FIXED.sample(2), [[1, 0.4], [1, 0.4]])


def test_weights_that_rise_again_can_be_drawn_only():
    draws = RISING.sample(100, seed=1)
    assert draws.shape == (100, 3)
    assert (draws[:, 2] >= draws[:, 1]).all()
    for name in ("pdf", "cdf", "quantile"):
        with pytest.raises(PriorError, match=r"^marginals: .*Use sample\(\)"):
            getattr(RISING, name)(0.5)
    with pytest.raises(PriorError, match=r"^marginals: "):
        RISING.mean()


def test_no_bias_is_a_weight_of_one_whatever_the_p_value():
    made = rb.prior_none()
    np.testing.assert_array_equal(made.mean(), [1])
    np.testing.assert_array_equal(made.cdf([0.5, 1]), [[0], [1]])
    np.testing.assert_array_equal(made.sample(2), [[1], [1]])
