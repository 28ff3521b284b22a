"""Laws of the effect-size conversions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyrobma.effects import (
    MEASURES,
    OR2logOR,
    effect_sizes,
    logOR2OR,
    n_d,
    n_r,
    n_z,
    scale_factor,
    se_d,
    se_r,
    se_z,
    transform_effect,
    transform_se,
)

# Effects up to |d| = 8 (r up to 0.97): there a correlation next to 1 costs two digits.
ROUND_TRIP = 1e-10
DIFFERENCE = 1e-6  # relative error of a central difference with the step below
STEP = 1e-5

# The same examples at every run, and no time limit: the machine may be busy.
LAW = settings(derandomize=True, deadline=None)

APART = ("OR", "none", "logIRR", "IRR")  # those of rates have no other measure
SCALES = [measure for measure in MEASURES if measure not in APART]
PAIRS = list(itertools.permutations(SCALES, 2))
TRIPLES = list(itertools.permutations(SCALES, 3))

d_values = st.floats(-8.0, 8.0, allow_subnormal=False)
sizes = st.floats(5.0, 1e6)


@pytest.mark.parametrize(("start", "end"), PAIRS)
@LAW
@given(d=d_values)
def test_effects_survive_the_round_trip(start, end, d):
    x = transform_effect(d, "cohens_d", start)
    back = transform_effect(transform_effect(x, start, end), end, start)
    assert back == pytest.approx(x, rel=ROUND_TRIP, abs=1e-300)


@pytest.mark.parametrize(("start", "end"), PAIRS)
@LAW
@given(d=d_values, n=sizes)
def test_standard_errors_survive_the_round_trip(start, end, d, n):
    x = transform_effect(d, "cohens_d", start)
    se = transform_se(se_d(d, n), d, "cohens_d", start)
    there = transform_se(se, x, start, end)
    back = transform_se(there, transform_effect(x, start, end), end, start)
    assert back == pytest.approx(se, rel=ROUND_TRIP)


@pytest.mark.parametrize(("start", "by", "end"), TRIPLES)
@LAW
@given(d=d_values, n=sizes)
def test_both_ways_round_agree(start, by, end, d, n):
    x = transform_effect(d, "cohens_d", start)
    se = transform_se(se_d(d, n), d, "cohens_d", start)
    y = transform_effect(x, start, by)
    se_y = transform_se(se, x, start, by)
    assert transform_effect(y, by, end) == pytest.approx(
        transform_effect(x, start, end), rel=ROUND_TRIP, abs=1e-300
    )
    assert transform_se(se_y, y, by, end) == pytest.approx(
        transform_se(se, x, start, end), rel=ROUND_TRIP
    )


@pytest.mark.parametrize(("start", "end"), PAIRS)
@LAW
@given(d=d_values, gap=st.floats(1e-3, 4.0))
def test_conversions_are_increasing_and_odd(start, end, d, gap):
    low, high = (transform_effect(x, "cohens_d", start) for x in (d, d + gap))
    assert transform_effect(low, start, end) < transform_effect(high, start, end)
    assert transform_effect(-low, start, end) == -transform_effect(low, start, end)


@LAW
@given(a=d_values)
def test_odds_ratios_are_exponentials_of_their_logarithms(a):
    assert OR2logOR(logOR2OR(a)) == pytest.approx(a, rel=ROUND_TRIP, abs=1e-15)
    for scale in SCALES:
        ratio = transform_effect(logOR2OR(a), "OR", scale)
        assert ratio == pytest.approx(
            transform_effect(a, "logOR", scale), rel=ROUND_TRIP, abs=1e-15
        )


@LAW
@given(d=d_values, n=sizes)
def test_standard_errors_and_sample_sizes_are_inverse(d, n):
    assert n_d(d, se_d(d, n)) == pytest.approx(n, rel=ROUND_TRIP)
    assert n_z(se_z(n)) == pytest.approx(n, rel=ROUND_TRIP)
    r = transform_effect(d, "cohens_d", "r")
    assert n_r(r, se_r(r, n)) == pytest.approx(n, rel=ROUND_TRIP)


@pytest.mark.parametrize(
    ("start", "end"), [pair for pair in PAIRS if "fishers_z" not in pair]
)
@LAW
@given(d=st.floats(-4.0, 4.0), n=sizes)
def test_standard_errors_follow_the_slope_of_the_conversion(start, end, d, n):
    x = transform_effect(d, "cohens_d", start)
    # Near r = 1 the step would leave the range.
    assume(start != "r" or abs(x) < 1 - 1e3 * STEP)
    se = transform_se(se_d(d, n), d, "cohens_d", start)
    rise = transform_effect(x + STEP, start, end) - transform_effect(
        x - STEP, start, end
    )
    assert transform_se(se, x, start, end) == pytest.approx(
        se * rise / (2 * STEP), rel=DIFFERENCE
    )


@LAW
@given(d=d_values, n=sizes, factor=st.floats(1.01, 3.0))
def test_less_precision_stays_less_precision_on_every_scale(d, n, factor):
    for scale in SCALES:
        sharp, blunt = (
            transform_se(se_d(d, m), d, "cohens_d", scale) for m in (n * factor, n)
        )
        assert sharp < blunt


@pytest.mark.parametrize(("start", "by", "end"), TRIPLES)
def test_scale_factors_multiply(start, by, end):
    assert scale_factor(start, by) * scale_factor(by, end) == pytest.approx(
        scale_factor(start, end), rel=ROUND_TRIP
    )


@LAW
@given(
    rows=st.lists(
        st.tuples(d_values, st.integers(6, 10_000), st.sampled_from(SCALES)),
        min_size=1,
        max_size=12,
    )
)
def test_the_measure_an_estimate_is_given_on_does_not_change_it(rows):
    arguments = {"cohens_d": "d", "fishers_z": "z", "r": "r", "logOR": "logOR"}
    K = len(rows)
    table = {name: np.full(K, np.nan) for name in (*arguments.values(), "se")}
    for i, (d, n, scale) in enumerate(rows):
        table[arguments[scale]][i] = transform_effect(d, "cohens_d", scale)
        table["se"][i] = transform_se(se_d(d, n), d, "cohens_d", scale)
    made = effect_sizes(**table)
    d, n = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    np.testing.assert_allclose(made.y, np.arcsinh(d / 2), rtol=ROUND_TRIP, atol=1e-300)
    np.testing.assert_allclose(made.se, 1 / np.sqrt(n - 3.0), rtol=ROUND_TRIP)
    assert made.original == tuple(row[2] for row in rows)
