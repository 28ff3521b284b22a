"""Priors made wider and narrower."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import pyrobma as rb
from pyrobma.priors.density import density
from pyrobma.priors.scaling import scale_of, scaled

# Densities of two routes through SciPy.
ROUNDING = 1e-12
X = np.array([0.05, 0.3, 0.7, 1.9])

POSITIVE = [
    rb.prior("lognormal", meanlog=-1, sdlog=0.5),
    rb.prior("gamma", shape=2, rate=3),
    rb.prior("exponential", rate=3),
    rb.prior("inv_gamma", shape=1, scale=0.15),
    rb.prior("uniform", a=0, b=2),
]


@pytest.mark.parametrize("prior", POSITIVE, ids=str)
@pytest.mark.parametrize("factor", [0.25, 3.0])
def test_without_a_location_it_is_the_prior_of_the_value_times_the_factor(
    prior, factor
):
    wider = scaled(prior, factor)
    expected = density(prior, X / factor) / factor
    np.testing.assert_allclose(density(wider, X), expected, rtol=ROUNDING)
    assert scale_of(wider)[1] == pytest.approx(factor * scale_of(prior)[1])


@pytest.mark.parametrize(
    ("prior", "wider"),
    [
        (rb.prior("normal", mean=0.3, sd=0.2), stats.norm(0.3, 0.6)),
        (rb.prior("cauchy", location=0.3, scale=0.2), stats.cauchy(0.3, 0.6)),
        (
            rb.prior("student_t", location=0.3, scale=0.2, df=4),
            stats.t(4, loc=0.3, scale=0.6),
        ),
    ],
    ids=["normal", "cauchy", "student_t"],
)
def test_a_location_stays(prior, wider):
    np.testing.assert_allclose(
        density(scaled(prior, 3), X), wider.pdf(X), rtol=ROUNDING
    )


def test_a_beta_keeps_its_mean_and_becomes_more_concentrated():
    narrow = scaled(rb.prior("beta", alpha=1, beta=3), 4)
    distribution = stats.beta(*narrow.values)
    assert distribution.mean() == pytest.approx(0.25)
    assert narrow.values == (4, 12)
    assert scale_of(narrow) == ("concentration", 16)


def test_a_truncation_and_a_weight_stay():
    prior = rb.prior("normal", mean=0, sd=1, lower=0, upper=2, prior_weight=3)
    assert scaled(prior, 2) == rb.prior(
        "normal", mean=0, sd=2, lower=0, upper=2, prior_weight=3
    )
    # The end of a uniform is its scale; one that was cut off is a truncation.
    cut = rb.prior("uniform", a=0, b=2, upper=1.5)
    assert scaled(cut, 2) == rb.prior("uniform", a=0, b=4, upper=1.5)
    assert scaled(cut, 0.5) == rb.prior("uniform", a=0, b=1)


@pytest.mark.parametrize(
    ("prior", "name", "value"),
    [
        (rb.prior("normal", mean=1, sd=2, lower=0), "sd", 2),
        (rb.prior("t", location=0, scale=2, df=3), "scale", 2),
        (rb.prior("lognormal", meanlog=math.log(2), sdlog=1), "median", 2),
        (rb.prior("gamma", shape=3, rate=0.5), "scale", 2),
        (rb.prior("exponential", rate=0.5), "scale", 2),
        (rb.prior("uniform", a=-1, b=1), "width", 2),
    ],
    ids=str,
)
def test_what_is_multiplied_has_a_name_and_a_value(prior, name, value):
    found, scale = scale_of(prior)
    assert found == name
    assert scale == pytest.approx(value)


def test_a_spike_has_no_scale():
    spike = rb.prior("spike", location=0.2)
    assert scale_of(spike)[0] == ""
    assert math.isnan(scale_of(spike)[1])
    with pytest.raises(rb.PriorError, match=r"prior: expected one with a scale; got S"):
        scaled(spike, 2)


@pytest.mark.parametrize("factor", [0, -1, math.inf, math.nan, "2", None])
def test_a_factor_is_a_positive_number(factor):
    with pytest.raises(rb.PriorError, match="factor: expected a positive number"):
        scaled(POSITIVE[0], factor)


def test_a_scale_beyond_doubles_is_refused():
    with pytest.raises(rb.PriorError, match="sd: expected a finite number"):
        scaled(rb.prior("normal", mean=0, sd=1e200), 1e200)
