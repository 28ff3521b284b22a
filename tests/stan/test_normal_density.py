"""Log density and gradient of ``normal.stan`` against dense matrices and SciPy."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import quadrature as q
from normal_program import (
    FAMILIES,
    FIXED,
    FREE,
    NO_BIAS,
    PARAMETERS,
    VALUES,
    Array,
    Case,
    case,
    log_jacobian,
    made,
    spike,
)
from quadrature import Prior
from scipy import special, stats

# The same sums in another order, matrices of up to 25 rows; the values are near 100.
DENSITY_ATOL = 1e-9
# 10,000 terms, some of them cancelling.
LARGE_RTOL = 1e-12
# Two ways to the same tail probability; scipy's own error is of this size.
PRIOR_ATOL = 2e-11
# The trapezoidal rule on the real line, cut off where 1e-12 is left out.
INTEGRAL_ATOL = 1e-10
# Central differences with a step of 1e-5 lose about 1e-10 / 1e-5 to rounding.
DIFFERENCE_STEP = 1e-5
DIFFERENCE_RTOL = 1e-6
DIFFERENCE_ATOL = 2e-5

LAYOUTS = {
    "singletons": (1,) * 24,
    "mixed": (1, 2, 5, 17),
    "singletons_among_clusters": (3, 1, 1, 4, 1, 2),
    "one_cluster": (20,),
    "pairs": (2,) * 12,
}


def log_density(subject: Case, values: dict[str, float], jacobian: bool) -> float:
    model = subject.model()
    point = model.param_unconstrain(subject.program_values(values))
    return float(model.log_density(point, propto=False, jacobian=jacobian))


def assert_density_is_the_oracles(subject: Case, atol: float = DENSITY_ATOL) -> None:
    values = {p: VALUES[p] for p in subject.free}
    for jacobian in (False, True):
        assert log_density(subject, values, jacobian) == pytest.approx(
            subject.log_density(values, jacobian), abs=atol
        )


# ---- likelihood -------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "free", list(itertools.product((False, True), repeat=len(PARAMETERS)))
)
def test_density_is_that_of_dense_matrices_for_every_set_of_free_parameters(
    free: tuple[bool, ...], layout: str
) -> None:
    priors = {
        p: (FREE if is_free else FIXED)[p]
        for p, is_free in zip(PARAMETERS, free, strict=True)
    }
    assert_density_is_the_oracles(case(LAYOUTS[layout], priors))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("tau", [0.0, 0.2, 3.0, None])
def test_density_holds_at_every_legal_spike(
    tau: float | None, rho: float, layout: str
) -> None:
    priors = {
        "tau": FREE["tau"] if tau is None else spike(tau),
        "rho": spike(rho),
    }
    assert_density_is_the_oracles(case(LAYOUTS[layout], priors))


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    "measures",
    [*itertools.product(("d", "z", "r", "logOR"), repeat=2), ("none", "none")],
)
def test_parameters_move_from_every_measure_to_every_other(
    measures: tuple[str, str], exact: bool
) -> None:
    priors = {**FREE, "PET": FIXED["PET"]}
    subject = case(
        LAYOUTS["mixed"],
        priors,
        prior_measure=measures[0],
        data_measure=measures[1],
        exact=exact,
    )
    assert_density_is_the_oracles(subject)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("bias", ["PET", "PEESE"])
@pytest.mark.parametrize("is_free", [False, True])
def test_bias_terms_push_in_the_given_direction(
    bias: str, is_free: bool, direction: int
) -> None:
    priors = {**NO_BIAS, bias: (FREE if is_free else FIXED)[bias]}
    assert_density_is_the_oracles(
        case(LAYOUTS["mixed"], priors, direction=direction, data_measure="logOR")
    )


def test_mean_grows_by_the_slope_times_the_standard_error_and_its_square() -> None:
    # One estimate, tau = 0: the mean is read off a normal density.
    y, se, half = np.array([0.3]), np.array([0.2]), 0.5
    priors = {
        "mu": spike(0.1),
        "tau": spike(0.0),
        "rho": spike(0.0),
        "PET": spike(0.7),
        "PEESE": spike(1.1),
    }
    mean = half * 0.1 - (0.7 * 0.2 + 1.1 / half * 0.2**2)
    subject = Case(y, se, (1,), priors, direction=-1)
    assert log_density(subject, {}, True) == pytest.approx(
        stats.norm.logpdf(0.3, mean, 0.2), abs=DENSITY_ATOL
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_order_of_clusters_and_of_their_estimates_does_not_matter(layout: str) -> None:
    sizes = np.array(LAYOUTS[layout])
    subject = case(LAYOUTS[layout], FREE)
    rng = np.random.default_rng(3)
    blocks = np.split(np.arange(sizes.sum()), np.cumsum(sizes)[:-1])
    chosen = rng.permutation(len(blocks))
    rows = np.concatenate([rng.permutation(blocks[k]) for k in chosen])
    shuffled = Case(subject.y[rows], subject.se[rows], sizes[chosen].tolist(), FREE)
    assert log_density(shuffled, VALUES, True) == pytest.approx(
        log_density(subject, VALUES, True), abs=DENSITY_ATOL
    )


def test_prior_only_leaves_the_likelihood_out() -> None:
    subject = case(LAYOUTS["mixed"], FREE, prior_only=True)
    assert_density_is_the_oracles(subject)
    other_data = Case(subject.y + 9, subject.se, subject.sizes, FREE, prior_only=True)
    assert log_density(other_data, VALUES, True) == log_density(subject, VALUES, True)


def test_no_constant_is_dropped_even_when_asked_to() -> None:
    model = case(LAYOUTS["mixed"], FREE).model()
    point = np.full(len(FREE), 0.3)
    assert model.log_density(point, propto=True) == pytest.approx(
        model.log_density(point, propto=False), abs=DENSITY_ATOL
    )


@pytest.mark.parametrize("rho", [0.3, 1.0, None])
def test_ten_thousand_estimates_in_two_thousand_clusters(rho: float | None) -> None:
    sizes = np.random.default_rng(4).multinomial(8_000, np.full(2_000, 1 / 2_000)) + 1
    priors = FREE if rho is None else {**FREE, "rho": spike(rho)}
    subject = case(sizes.tolist(), priors)
    values = {p: VALUES[p] for p in subject.free}
    expected = subject.log_density(values, True)
    assert log_density(subject, values, True) == pytest.approx(expected, rel=LARGE_RTOL)


def test_precise_estimates_far_from_the_mean_keep_their_digits() -> None:
    # The quadratic form is the difference of two sums of 1e8.
    y, se = np.array([9.9, 10.0, 10.1]), np.full(3, 1e-3)
    priors = {"mu": spike(0.0), "tau": spike(20.0), "rho": spike(1.0)}
    subject = Case(y, se, (3,), priors)
    # Exact: the mean of the cluster, and the spread around it.
    T = 10.0
    spread = np.sum((y - 10) ** 2) / se[0] ** 2
    total = se[0] ** 2 / 3 + T**2
    expected = -0.5 * (
        3 * np.log(2 * np.pi) + 4 * np.log(se[0]) + np.log(3) + np.log(total)
    ) - 0.5 * (spread + 100 / total)
    assert log_density(subject, {}, True) == pytest.approx(expected, abs=1e-6)


# ---- gradient ---------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("spikes", [{}, {"rho": 0.0}, {"rho": 1.0}, {"tau": 0.0}])
def test_gradient_is_that_of_differences(
    spikes: dict[str, float], exact: bool, layout: str
) -> None:
    priors = {**FREE, **{name: spike(value) for name, value in spikes.items()}}
    model = case(LAYOUTS[layout], priors, exact=exact).model()
    rng = np.random.default_rng(5)
    for point in rng.normal(scale=0.7, size=(3, model.param_unc_num())):
        value, gradient = model.log_density_gradient(point, propto=False)
        assert value == pytest.approx(
            model.log_density(point, propto=False), abs=DENSITY_ATOL
        )
        steps = DIFFERENCE_STEP * np.eye(point.size)
        differences = [
            (
                model.log_density(point + step, propto=False)
                - model.log_density(point - step, propto=False)
            )
            / (2 * DIFFERENCE_STEP)
            for step in steps
        ]
        np.testing.assert_allclose(
            gradient, differences, rtol=DIFFERENCE_RTOL, atol=DIFFERENCE_ATOL
        )


# ---- priors -----------------------------------------------------------------------

INF = math.inf
PRIORS = [
    Prior("normal", (0.3, 1.2)),
    Prior("normal", (0.3, 1.2), lower=0.0),
    Prior("normal", (0.3, 1.2), upper=-0.5),
    Prior("normal", (0.3, 1.2), -0.4, 0.9),
    Prior("normal", (0.0, 1.0), lower=6.0),
    Prior("normal", (0.0, 1.0), lower=9.0),
    Prior("normal", (0.0, 1.0), upper=-20.0),
    Prior("normal", (0.0, 1.0), 8.0, 9.0),
    Prior("normal", (0.0, 1.0), -9.0, -8.0),
    Prior("lognormal", (-1.0, 0.7)),
    Prior("lognormal", (-1.0, 0.7), lower=0.2),
    Prior("lognormal", (-1.0, 0.7), upper=0.2),
    Prior("lognormal", (-1.0, 0.7), 0.2, 1.5),
    Prior("lognormal", (0.0, 0.5), lower=100.0),
    Prior("lognormal", (0.0, 0.5), 0.001, 0.02),
    Prior("student_t", (0.2, 0.5, 3.0)),
    Prior("student_t", (0.2, 0.5, 3.0), lower=0.0),
    Prior("student_t", (0.2, 0.5, 3.0), upper=0.1),
    Prior("student_t", (0.2, 0.5, 3.0), -0.3, 0.8),
    Prior("student_t", (0.0, 1.0, 3.0), lower=100.0),
    Prior("student_t", (0.0, 1.0, 3.0), lower=1e7),
    Prior("student_t", (0.0, 1.0, 3.0), -2e6, -1e6),
    Prior("student_t", (0.0, 1.0, 40.0), lower=30.0),
    Prior("cauchy", (0.1, 0.4)),
    Prior("cauchy", (0.1, 0.4), lower=0.0),
    Prior("cauchy", (0.1, 0.4), upper=0.0),
    Prior("cauchy", (0.1, 0.4), -1.0, 2.0),
    Prior("cauchy", (0.0, 1.0), lower=1e9),
    Prior("cauchy", (0.0, 1.0), 1e6, 3e6),
    Prior("gamma", (1.5, 2.0)),
    Prior("gamma", (1.5, 2.0), lower=0.3),
    Prior("gamma", (1.5, 2.0), upper=0.3),
    Prior("gamma", (1.5, 2.0), 0.3, 2.0),
    Prior("gamma", (1.5, 2.0), lower=40.0),
    Prior("gamma", (8.0, 1.0), 1e-4, 1e-3),
    Prior("inverse_gamma", (1.0, 0.15)),
    Prior("inverse_gamma", (1.0, 0.15), lower=0.1),
    Prior("inverse_gamma", (1.0, 0.15), upper=0.1),
    Prior("inverse_gamma", (1.0, 0.15), 0.05, 0.6),
    Prior("inverse_gamma", (1.0, 0.15), upper=0.003),
    Prior("inverse_gamma", (2.0, 0.15), lower=1e7),
    Prior("beta", (1.0, 1.0)),
    Prior("beta", (2.5, 1.5)),
    Prior("beta", (2.5, 1.5), lower=0.3),
    Prior("beta", (2.5, 1.5), upper=0.6),
    Prior("beta", (2.5, 1.5), 0.3, 0.6),
    Prior("beta", (200.0, 300.0)),
    Prior("beta", (200.0, 300.0), 0.6, 0.7),
    Prior("beta", (6.0, 2.0), upper=1e-3),
    Prior("exponential", (1.7,)),
    Prior("exponential", (1.7,), lower=0.4),
    Prior("exponential", (1.7,), upper=0.4),
    Prior("exponential", (1.7,), 0.4, 2.0),
    Prior("exponential", (1.7,), 300.0, 301.0),
    Prior("uniform", (-1.0, 3.0)),
    Prior("uniform", (-1.0, 3.0), lower=0.5),
    Prior("uniform", (-1.0, 3.0), upper=0.5),
    Prior("uniform", (-1.0, 3.0), 0.5, 0.75),
]


def label(prior: Prior) -> str:
    numbers = ",".join(f"{value:g}" for value in prior.parameters)
    return f"{prior.family}({numbers})[{prior.lower:g},{prior.upper:g}]"


def prior_case(prior: Prior) -> Case:
    """The prior alone, as that of mu."""
    priors = {"mu": prior, "tau": spike(0.0), "rho": spike(0.0)}
    return Case(np.array([0.0]), np.array([1.0]), (1,), priors, prior_only=True)


def density_on_the_line(subject: Case, points: Array) -> Array:
    model = subject.model()
    return np.array(
        [model.log_density(np.array([u]), propto=False, jacobian=True) for u in points]
    )


@pytest.mark.parametrize("prior", PRIORS, ids=label)
def test_prior_density_is_scipys_renormalised_one(prior: Prior) -> None:
    subject = prior_case(prior)
    for probability in (0.01, 0.3, 0.9):
        value = q.prior_quantile(prior, probability)
        assert log_density(subject, {"mu": value}, False) == pytest.approx(
            float(q.log_prior(prior, value)), abs=PRIOR_ATOL, rel=PRIOR_ATOL
        )


@pytest.mark.parametrize("prior", PRIORS, ids=label)
def test_prior_density_integrates_to_one(prior: Prior) -> None:
    low, high = q.support(prior)
    if math.isinf(low) and math.isinf(high):
        s = np.linspace(-30.0, 30.0, 6001)
        points, slope = np.sinh(s), np.cosh(s)
    else:
        # Past 36 an inverse logit is 1 to the last bit.
        both = math.isfinite(low) and math.isfinite(high)
        s = points = np.linspace(-60.0, 36.0 if both else 60.0, 12001)
        slope = np.ones_like(s)
    density = np.exp(density_on_the_line(prior_case(prior), points)) * slope
    assert np.sum(density) * (s[1] - s[0]) == pytest.approx(1.0, abs=INTEGRAL_ATOL)


def test_a_tail_below_the_smallest_number_is_still_normalised() -> None:
    # P(X > 45) = exp(-1017) is 0 as a number, but not on the log scale.
    subject = prior_case(Prior("normal", (0.0, 1.0), lower=45.0))
    expected = stats.norm.logpdf(45.01) - stats.norm.logsf(45.0)
    assert log_density(subject, {"mu": 45.01}, False) == pytest.approx(
        expected, abs=1e-9
    )


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_has_its_own_prior(name: str) -> None:
    prior = Prior("gamma", (2.0, 5.0), 0.1, 0.9)
    priors = {**FIXED, name: prior}
    subject = case(LAYOUTS["mixed"], priors, prior_only=True)
    value = 0.4
    expected = float(q.log_prior(prior, value))
    slope = log_jacobian(value, 0.1, 0.9)
    # rho is a logit in the program, whether a Jacobian is asked for or not.
    without = expected + slope * (name == "rho")
    assert log_density(subject, {name: value}, False) == pytest.approx(
        without, abs=PRIOR_ATOL
    )
    assert log_density(subject, {name: value}, True) == pytest.approx(
        expected + slope, abs=PRIOR_ATOL
    )


HEAPED = (0.05, 0.05)
RHO_PRIORS = [
    Prior("beta", HEAPED),
    Prior("beta", HEAPED, upper=0.5),
    Prior("beta", HEAPED, lower=0.2),
    Prior("beta", HEAPED, 0.3, 0.6),
    Prior("beta", (0.05, 3.0)),
    Prior("beta", (3.0, 0.05), lower=0.9),
    Prior("normal", (0.5, 0.2), 0.0, 1.0),
    Prior("gamma", (2.0, 5.0), 0.1, 1.0),
    Prior("uniform", (0.0, 0.75)),
]


def rho_case(prior: Prior) -> Case:
    """The prior alone, as that of rho."""
    priors = {"mu": spike(0.0), "tau": spike(0.1), "rho": prior}
    return Case(np.array([0.0]), np.array([1.0]), (1,), priors, prior_only=True)


@pytest.mark.parametrize("prior", RHO_PRIORS, ids=label)
def test_prior_density_of_the_logit_of_rho(prior: Prior) -> None:
    subject = rho_case(prior)
    low, high = q.support(prior)
    low, high = max(low, 0.0), min(high, 1.0)
    for place in (0.001, 0.2, 0.5, 0.9):
        value = low + place * (high - low)
        expected = float(q.log_prior(prior, value)) + log_jacobian(value, low, high)
        for jacobian in (False, True):
            assert log_density(subject, {"rho": value}, jacobian) == pytest.approx(
                expected, abs=PRIOR_ATOL, rel=PRIOR_ATOL
            )


@pytest.mark.parametrize("prior", RHO_PRIORS, ids=label)
def test_prior_density_of_the_logit_of_rho_integrates_to_one(prior: Prior) -> None:
    points = np.linspace(-700.0, 700.0, 14001)
    density = np.exp(density_on_the_line(rho_case(prior), points))
    assert np.sum(density) * (points[1] - points[0]) == pytest.approx(
        1.0, abs=INTEGRAL_ATOL
    )


@pytest.mark.parametrize("logit", [-300.0, -60.0, 60.0, 300.0])
def test_correlations_heaped_on_their_ends(logit: float) -> None:
    free = case(LAYOUTS["mixed"], {**FREE, "rho": Prior("beta", HEAPED)})
    at_end = case(LAYOUTS["mixed"], {**FREE, "rho": spike(float(logit > 0))})
    values = {p: VALUES[p] for p in at_end.free}
    end_model = at_end.model()
    end_point = end_model.param_unconstrain(at_end.program_values(values))
    place = free.own.index("rho")
    value, gradient = free.model().log_density_gradient(
        np.insert(end_point, place, logit), propto=False
    )
    prior = 0.05 * (special.log_expit(logit) + special.log_expit(-logit))
    prior -= float(special.betaln(*HEAPED))
    expected = at_end.log_density(values, True) + prior
    assert value == pytest.approx(expected, abs=DENSITY_ATOL)
    others = end_model.log_density_gradient(end_point, propto=False)[1]
    slope = 0.05 * (special.expit(-logit) - special.expit(logit))
    np.testing.assert_allclose(
        gradient, np.insert(others, place, slope), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("upper", [1.0, 0.999])
def test_what_a_correlation_near_one_leaves_within_clusters_keeps_its_digits(
    upper: float,
) -> None:
    # rho is 1 to the last bit, yet (1 - rho) T^2 is not: 1 if the end is 1.
    y, se = np.array([9.7, 10.0, 10.4]), np.array([0.1, 0.2, 0.3])
    logit, T = 60.0, math.exp(30.0)
    prior = Prior("beta", HEAPED, upper=upper)
    priors = {"mu": spike(0.0), "tau": spike(2.0 * T), "rho": prior}
    subject = Case(y, se, (3,), priors)
    found, gradient = subject.model().log_density_gradient(
        np.array([logit]), propto=False
    )
    down = math.exp(-logit) / (1 + math.exp(-logit))
    within = (1 - upper + upper * down) * T**2
    rho = upper * (1 - down)
    d = se**2 + within
    precision = (1 / d).sum()
    mean = (y / d).sum() / precision
    total = 1 / precision + rho * T**2
    expected = -0.5 * (
        3 * math.log(2 * math.pi)
        + np.log(d).sum()
        + math.log(precision * total)
        + ((y - mean) ** 2 / d).sum()
        + mean**2 / total
    )
    only = replace(subject, prior_only=True).model()
    prior_value, prior_slope = only.log_density_gradient(np.array([logit]))
    assert found - prior_value == pytest.approx(expected, abs=1e-9)
    # Of the variances within, by the logit; what is shared does not change.
    slope = -0.5 * (1 / d - 1 / d**2 / precision - ((y - mean) / d) ** 2).sum()
    change = -slope * upper * down * T**2
    assert gradient[0] - prior_slope[0] == pytest.approx(change, rel=1e-6, abs=1e-12)


# ---- bad data ---------------------------------------------------------------------

ONE_MODERATOR: dict[str, Any] = {
    "P": 1,
    "family": [1, 6, 7, 1],
    "par": [[0.1, 0.8, 0.0], [1.0, 0.15, 0.0], [2.0, 3.0, 0.0], [0.0, 1.0, 0.0]],
    "low": [-INF, 0.0, 0.0, -INF],
    "high": [INF, INF, 1.0, INF],
}
BAD_DATA: dict[str, tuple[dict[str, Any], str]] = {
    "zero_se": (
        {"se": [0.1, 0.0, 0.2]},
        "se: expected positive finite standard errors; got 0 at 2",
    ),
    "infinite_se": (
        {"se": [0.1, INF, 0.2]},
        "se: expected positive finite standard errors; got inf at 2",
    ),
    "negative_se": ({"se": [0.1, -0.1, 0.2]}, "se[2] is -0.1"),
    "missing_y": (
        {"y": [0.1, 0.2, math.nan]},
        "y: expected finite estimates; got nan at 3",
    ),
    "short_y": ({"y": [0.1, 0.2]}, "mismatch in dimension declared and found"),
    "clusters_not_sorted": (
        {"cluster_start": [3, 1], "cluster_size": [1, 2]},
        "cluster_start: expected 1 for cluster 1; got 3. Sort the estimates by",
    ),
    "sizes_that_overlap": (
        {"cluster_size": [3, 1]},
        "cluster_start: expected 4 for cluster 2; got 3",
    ),
    "sizes_that_do_not_sum_to_K": (
        {"cluster_size": [2, 2]},
        "cluster_size: expected a sum of K = 3; got 4",
    ),
    "missing_intercept": (
        {"intercept": [1.0, math.nan, 1.0]},
        "intercept: expected finite numbers; got nan at 2",
    ),
    "effect_in_no_estimate": (
        {"intercept": [0.0, 0.0, 0.0]},
        "intercept: expected a number other than 0; got zeros only",
    ),
    "infinite_loading": (
        {"loading": [1.0, 1.0, INF]},
        "loading: expected finite numbers; got inf at 3",
    ),
    "missing_moderator": (
        {"x": [[1.0], [math.nan], [0.0]], **ONE_MODERATOR},
        "x: expected finite columns",
    ),
    "moderator_of_another_length": (
        {"x": [[1.0], [0.0]], **ONE_MODERATOR},
        "mismatch in dimension declared and found",
    ),
    "infinite_bias_term": (
        {"bias": [[1.0], [INF], [0.0]], **ONE_MODERATOR, "P": 0, "B": 1},
        "bias: expected finite columns",
    ),
    "table_too_short": (
        {"P": 1, "x": [[1.0], [0.0], [1.0]]},
        "mismatch in dimension declared and found",
    ),
    "unknown_measure": ({"data_measure": 5}, "data_measure is 5"),
    "raw_and_standardised": (
        {"data_measure": 0},
        "prior_measure: expected 0 exactly when data_measure is 0; got 1",
    ),
    "unknown_family": ({"family[1]": 12}, "family[1] is 12"),
    "negative_tau_spike": (
        {"family[2]": 0, "par[2]": [-0.1, 0, 0]},
        "par[2]: expected a spike of tau at 0 or above; got -0.1",
    ),
    "rho_spike_above_one": (
        {"family[3]": 0, "par[3]": [1.2, 0, 0]},
        "par[3]: expected a spike of rho in [0, 1]; got 1.2",
    ),
    "rho_spike_below_zero": (
        {"family[3]": 0, "par[3]": [-0.2, 0, 0]},
        "par[3]: expected a spike of rho in [0, 1]; got -0.2",
    ),
    "negative_tau": (
        {"low[2]": -1.0},
        "low[2]: expected an end of tau at 0 or above; got -1",
    ),
    "rho_above_one": (
        {"high[3]": 2.0},
        "high[3]: expected an end of rho in [0, 1]; got 2",
    ),
    "ends_equal": (
        {"low[1]": 1.0, "high[1]": 1.0},
        "low[1], high[1]: expected low < high with a probability above 0 under a "
        "normal; got [1, 1]",
    ),
    "ends_reversed": (
        {"low[1]": 1.0, "high[1]": 0.0},
        "low[1], high[1]: expected low < high with a probability above 0 under a "
        "normal; got [1, 0]",
    ),
    "ends_outside_the_support": (
        {"family[1]": 9, "par[1]": [0.0, 1.0, 0.0], "low[1]": -1, "high[1]": 1},
        "low[1], high[1]: expected low < high within the uniform's own ends 0 and 1; "
        "got [-1, 1]",
    ),
    "no_probability_between_the_ends": (
        {"high[2]": 1e-5},
        "low[2], high[2]: expected 0 <= low < high with a probability above 0 under "
        "an inv_gamma; got [0, 1e-05]",
    ),
    "sd_of_zero": (
        {"par[1]": [0.0, 0.0, 0.0]},
        "par[1]: expected a finite mean and sd > 0 of a normal; got [0,0,0]",
    ),
    "uniform_reversed": (
        {"family[1]": 9, "par[1]": [1.0, 0.0, 0.0]},
        "par[1]: expected finite lower < upper of a uniform; got [1,0,0]",
    ),
    "spike_at_nan": (
        {"family[1]": 0, "par[1]": [math.nan, 0.0, 0.0]},
        "par[1]: expected a finite location of a spike; got [nan,0,0]",
    ),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_are_refused_with_a_sentence(name: str) -> None:
    changes, sentence = BAD_DATA[name]
    y, se = made((2, 1))
    subject = Case(y, se, (2, 1), {**FREE, **NO_BIAS}, changes=changes)
    with pytest.raises(RuntimeError) as caught:
        subject.model()
    assert sentence in str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_wrong_prior_is_refused_by_its_name(family: str) -> None:
    # The first two places of every family but the spike and the uniform are numbers,
    # or have to be positive; one that is infinite suits none.
    wrong = {
        "a wrong parameter": {"par[2]": [math.inf, math.inf, math.inf]},
        "wrong ends": {"par[2]": [0.5, 1.5, 2.0], "low[2]": 0.9, "high[2]": 0.8},
    }
    if family == "spike":  # its ends do not count
        del wrong["wrong ends"]
    y, se = made((2, 1))
    for changes in wrong.values():
        changes = {"family[2]": FAMILIES[family], **changes}
        with pytest.raises(RuntimeError) as caught:
            Case(y, se, (2, 1), {**FREE, **NO_BIAS}, changes=changes).model()
        (sentence,) = re.findall(r"(?:par|low)\[2\].*", str(caught.value))
        assert family.replace("inverse_gamma", "inv_gamma") in sentence
        assert "family" not in sentence
