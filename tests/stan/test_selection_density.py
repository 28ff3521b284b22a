"""Log density and gradient of ``selection.stan`` against the selection oracle."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import bridgestan
import numpy as np
import pytest
import quadrature as q
import selection as s
from normal_program import FIXED, FREE, NO_BIAS, VALUES, Array, Case, bounds, spike
from quadrature import Prior
from scipy import special, stats
from selection_program import SelectionCase, case

from pyrobma.fit.quadrature import SPACINGS, TOLERANCE, Rule

# Rectangles of absolute error 1e-12 over constants above 1e-3; values near 10.
RECTANGLES_ATOL = 1e-8
# The oracle's 1e-10 per cluster, and sums of some hundred terms.
DENSITY_ATOL = 1e-8
# Terms of one size in another order.
ROUNDING = 1e-10
# A step of 1e-8 standard errors changes each of a few normal densities by 1e-7.
NEAR_A_CUT = 1e-6
# Central differences with a step of 1e-5 lose about 1e-10 / 1e-5 to rounding.
DIFFERENCE_STEP = 1e-5
DIFFERENCE_RTOL = 1e-6
DIFFERENCE_ATOL = 2e-5
# With tiny weights the terms are near 1,000, and so are the sums' rounding errors.
TINY_RTOL = 1e-11
TINY_STEP = 1e-4
TINY_DIFFERENCE_ATOL = 1e-4
# Half the distance of two points between which the program changes its formula.
SWITCH_STEP = 1e-9
SWITCH_ATOL = 1e-9
# Sums of a few terms of the size of the result.
ROUNDED = 1e-14

RHOS = (0.0, 0.5, 0.95, 0.99, 1.0)
MIXED = (1, 3, 2, 1, 5)
# With mu, tau, rho free, mu not bounded.
PLAIN: dict[str, Prior] = {p: FREE[p] for p in ("mu", "tau", "rho")}

RULES = tuple(Rule(spacing, 8.0) for spacing in SPACINGS)


def assert_density_is_the_oracles(
    subject: SelectionCase, atol: float = DENSITY_ATOL, **values: float
) -> None:
    point = {**VALUES, **values}
    assert subject.found(point) == pytest.approx(subject.expected(point), abs=atol)


def bridgestan_name(column: str) -> str:
    """BridgeStan's ``coef.1`` for CmdStan's ``coef[1]``."""
    return column.replace("[", ".").removesuffix("]")


# ---- likelihood -------------------------------------------------------------------


@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize(
    ("sizes", "J"),
    [((1, 2), 2), ((1, 2), 3), ((2, 1), 4), ((3,), 2), ((3,), 3)],
)
@pytest.mark.parametrize("sides", [1, 2])
def test_small_clusters_are_sums_over_rectangles(
    sides: int, sizes: tuple[int, ...], J: int, rho: float
) -> None:
    subject = case(sizes, {**PLAIN, "rho": spike(rho)}, J, sides)
    brute = subject.expected(VALUES, s.log_likelihood_rectangles)
    assert subject.found(VALUES) == pytest.approx(brute, abs=RECTANGLES_ATOL)


@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("J", [2, 3, 4])
@pytest.mark.parametrize("sides", [1, 2])
def test_cluster_of_fifty_is_an_integral_over_the_common_factor(
    sides: int, J: int, rho: float
) -> None:
    priors = {"rho": spike(rho), "PET": FREE["PET"], "PEESE": FREE["PEESE"]}
    assert_density_is_the_oracles(case((1, 50), priors, J, sides), tau=0.5)


@pytest.mark.parametrize("tau", [0.0, 0.2, 2.0])
@pytest.mark.parametrize("rho", [0.0, 0.6, 1.0, None])
@pytest.mark.parametrize("sides", [1, 2])
def test_density_holds_at_spikes(sides: int, rho: float | None, tau: float) -> None:
    priors = {"tau": spike(tau), "rho": FREE["rho"] if rho is None else spike(rho)}
    assert_density_is_the_oracles(case(MIXED, priors, 4, sides))


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("bias", [(), ("PET",), ("PEESE",), ("PET", "PEESE")])
@pytest.mark.parametrize("source", [FREE, FIXED])
def test_selection_joins_regression_on_the_standard_error(
    source: dict[str, Prior], bias: tuple[str, ...], sides: int, direction: int
) -> None:
    priors = {**PLAIN, **{name: source[name] for name in bias}}
    subject = case(MIXED, priors, 3, sides, direction=direction, data_measure="logOR")
    assert_density_is_the_oracles(subject)


def test_direction_is_a_change_of_sign_of_estimates_and_effect() -> None:
    priors = {"mu": Prior("normal", (0.0, 0.8)), "PET": FREE["PET"]}
    plus = case(MIXED, priors)
    minus = replace(plus, y=-plus.y, direction=-1)
    assert minus.found({**VALUES, "mu": -VALUES["mu"]}) == pytest.approx(
        plus.found(VALUES), abs=ROUNDING
    )


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("measures", [("d", "z"), ("z", "logOR"), ("none", "none")])
def test_parameters_are_carried_to_the_measure_of_the_data(
    measures: tuple[str, str], exact: bool
) -> None:
    subject = case(
        MIXED,
        FREE,
        prior_measure=measures[0],
        data_measure=measures[1],
        exact=exact,
    )
    assert_density_is_the_oracles(subject)


def test_bounded_effect_is_shifted_like_any_other() -> None:
    priors = {**FREE, "mu": Prior("normal", (0.0, 1.0), 0.0)}
    subject = case(MIXED, priors)
    place = subject.own.index("mu")
    own = subject.constrained(VALUES)[place]
    assert own == case(MIXED, FREE).constrained(VALUES)[place]
    assert own > VALUES["mu"] + 0.1
    assert_density_is_the_oracles(subject)


def test_output_holds_the_effect_itself_and_the_weights() -> None:
    subject = case(MIXED, FREE, 4)
    model = subject.model()
    point = model.param_unconstrain(subject.constrained(VALUES))
    names = model.param_names(include_tp=True)
    values = dict(
        zip(names, model.param_constrain(point, include_tp=True), strict=True)
    )
    for name, value in VALUES.items():
        found = values[bridgestan_name(subject.output(name))]
        assert found == pytest.approx(value, abs=ROUNDING)
    omega = [values[f"omega.{j}"] for j in range(1, 5)]
    assert omega == pytest.approx([1.0, 0.7, 0.35, 0.15], abs=ROUNDING)


def test_order_of_clusters_and_of_their_estimates_does_not_matter() -> None:
    subject = case(MIXED, FREE)
    rng = np.random.default_rng(3)
    blocks = np.split(np.arange(sum(MIXED)), np.cumsum(MIXED)[:-1])
    chosen = rng.permutation(len(blocks))
    rows = np.concatenate([rng.permutation(blocks[k]) for k in chosen])
    shuffled = replace(
        subject,
        y=subject.y[rows],
        se=subject.se[rows],
        sizes=[MIXED[k] for k in chosen],
    )
    assert shuffled.found(VALUES) == pytest.approx(subject.found(VALUES), abs=ROUNDING)


def test_thousand_estimates_in_two_hundred_clusters() -> None:
    sizes = (np.random.default_rng(4).multinomial(800, [1 / 200] * 200) + 1).tolist()
    subject = case(sizes, PLAIN, 3, rule=Rule(0.1, 9.0))
    # The oracle's 1e-10 for each of 200 clusters.
    assert_density_is_the_oracles(subject, atol=1e-7)


@pytest.mark.parametrize("sides", [1, 2])
def test_estimate_on_a_critical_value_is_on_its_significant_side(sides: int) -> None:
    subject = case((2, 1), PLAIN, 3, sides)
    on = replace(subject, y=subject.cut[:, 1].copy())
    below = replace(subject, y=on.y - 2e-8 * on.se)
    step = 3 * math.log(on.weights[1] / on.weights[2])
    # To either side of the cut, within 1e-8 standard errors of it.
    for y in (np.nextafter(on.y, 0.0), np.nextafter(on.y, 1.0), on.y - 9e-9 * on.se):
        near = replace(subject, y=y)
        assert near.found(VALUES) == pytest.approx(on.found(VALUES), abs=NEAR_A_CUT)
    assert on.found(VALUES) - below.found(VALUES) == pytest.approx(step, abs=NEAR_A_CUT)
    assert_density_is_the_oracles(on)
    assert_density_is_the_oracles(below)


@pytest.mark.parametrize("unit", [1e-9, 1 / 3, 1e7])
@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("sides", [1, 2])
def test_estimates_on_critical_values_stay_there_in_every_unit(
    sides: int, direction: int, unit: float
) -> None:
    # Without heterogeneity, on raw estimates: a unit is only a Jacobian.
    priors = {"mu": spike(0.0), "tau": spike(0.0), "rho": spike(0.0)}
    subject = case(
        (1,) * 400, priors, 4, sides, direction=direction, data_measure="none",
        prior_measure="none",
    )  # fmt: skip
    column = np.arange(400) % 3
    on = replace(subject, y=direction * subject.cut[np.arange(400), column])
    # Another rounding of both, as a division or a conversion of measures makes.
    scaled = replace(on, y=on.y * unit, se=on.se * unit)
    shift = len(on.y) * math.log(unit)
    assert scaled.found({}) + shift == pytest.approx(on.found({}), abs=1e-8)
    assert_density_is_the_oracles(on)
    just_below = replace(scaled, y=(on.y - direction * 1e-6 * on.se) * unit)
    steps = np.log(on.weights[:3] / on.weights[1:])[column].sum()
    assert scaled.found({}) - just_below.found({}) == pytest.approx(steps, abs=1e-3)


def test_a_cut_in_another_rounding_than_the_estimate_is_still_met() -> None:
    subject = case((1,) * 400, {"mu": spike(0.0), "tau": spike(0.0), "rho": spike(0.0)})
    on = replace(subject, y=subject.cut[:, 0].copy())
    for unit in (1 + 1e-12, 1 - 1e-12):
        moved = replace(on, changes={"cut": (on.cut * unit).tolist()})
        assert moved.found({}) == pytest.approx(on.found({}), abs=1e-7)


def test_prior_only_leaves_the_likelihood_out() -> None:
    assert_density_is_the_oracles(case(MIXED, FREE, prior_only=True), ROUNDING)


# ---- weights ----------------------------------------------------------------------


@pytest.mark.parametrize("sides", [1, 2])
def test_dirichlet_prior_has_its_own_parameter_for_every_interval(sides: int) -> None:
    subject = case(MIXED, PLAIN, 3, sides, alpha1=(0.7, 2.0, 5.0))
    assert_density_is_the_oracles(subject)


VALLEYS: dict[str, dict[str, Any]] = {
    "one_step_each": {"z": (1.96, -1.96), "pi1": (0.8, 0.2), "pi2": (0.4, 0.6)},
    "two_and_one": {
        "z": (1.96, 1.645, -1.0),
        "pi1": (0.5, 0.3, 0.2),
        "pi2": (0.3, 0.7),
        "alpha1": (1.0, 2.0, 3.0),
        "alpha2": (2.0, 0.5),
    },
    "one_and_two": {
        "z": (1.0, -0.5, -1.0),
        "pi1": (0.9, 0.1),
        "pi2": (0.3, 0.2, 0.5),
        "alpha2": (2.0, 0.5, 1.0),
    },
    "three_and_two": {
        "z": (1.96, 1.645, 0.0, -0.5, -1.0),
        "pi1": (0.4, 0.2, 0.3, 0.1),
        "pi2": (0.25, 0.15, 0.6),
    },
}


@pytest.mark.parametrize("rho", [0.0, 0.6])
@pytest.mark.parametrize("name", VALLEYS)
def test_valley_of_weights(name: str, rho: float) -> None:
    subject = case((3, 2, 1, 4), {**PLAIN, "rho": spike(rho)}, **VALLEYS[name])
    low = int(subject.weights.argmin())
    assert low == len(VALLEYS[name]["pi1"]) - 1
    assert_density_is_the_oracles(subject)


FIXED_WEIGHTS = {
    "falling": (1.0, 0.4, 0.1),
    "rising": (0.1, 0.4, 1.0),
    "peaked": (0.3, 1.0, 0.2),
    "valley": (1.0, 0.05, 0.6),
    "level": (1.0, 1.0, 0.3),
    "below_one": (0.5, 0.2, 0.1),
}


@pytest.mark.parametrize("rho", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("shape", FIXED_WEIGHTS)
def test_fixed_weights_of_any_shape(shape: str, sides: int, rho: float) -> None:
    subject = case(
        MIXED, {**PLAIN, "rho": spike(rho)}, 3, sides, omega=FIXED_WEIGHTS[shape]
    )
    assert_density_is_the_oracles(subject)


# Where the zero is, there is no estimate.
ZEROS = {
    "least_significant": ((1.0, 0.4, 0.0), (2.5, 1.7, 3.0)),
    "most_significant": ((0.0, 0.4, 1.0), (1.8, 0.4, 1.7)),
    "middle": ((1.0, 0.0, 0.5), (2.5, 0.4, 3.0)),
    "only_the_middle": ((0.0, 1.0, 0.0), (1.7, 1.8, 1.9)),
    "only_significant": ((1.0, 0.0, 0.0), (2.5, 2.1, 3.0)),
}


@pytest.mark.parametrize("rho", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("where", ZEROS)
@pytest.mark.parametrize("mu", [0.2, 3.0, -6.0])
def test_weights_of_zero(mu: float, where: str, sides: int, rho: float) -> None:
    omega, z_of_y = ZEROS[where]
    # Three in a cluster, and three alone.
    subject = case((3, 1, 1, 1), {"rho": spike(rho)}, 3, sides, omega=omega)
    subject = replace(
        subject, y=subject.se * np.array(2 * z_of_y), rule=Rule(0.05, 25.0)
    )
    assert_density_is_the_oracles(subject, 1e-7, mu=mu)


def test_estimate_where_the_weight_is_zero_is_impossible() -> None:
    subject = case((2, 1), {}, 2, omega=(1.0, 0.0))
    impossible = replace(subject, y=-subject.se)
    assert impossible.found(VALUES) == -math.inf


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("weight", [1.0, 0.3])
@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("rho", [0.0, 0.7, 1.0, None])
def test_equal_weights_are_the_normal_program(
    rho: float | None, sides: int, weight: float, direction: int
) -> None:
    priors = {**FREE, "rho": FREE["rho"] if rho is None else spike(rho)}
    subject = case(
        (1, 4, 12), priors, 4, sides, omega=(weight,) * 4, direction=direction
    )
    normal = Case(
        subject.y, subject.se, subject.sizes, subject.priors, direction=direction
    )
    for seed in range(3):
        point = np.random.default_rng(seed).normal(size=len(subject.free))
        values = [
            model.log_density_gradient(point, propto=False)
            for model in (subject.model(), normal.model())
        ]
        assert values[0][0] == pytest.approx(values[1][0], abs=ROUNDING)
        np.testing.assert_allclose(values[0][1], values[1][1], rtol=0, atol=1e-8)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("J", [2, 4])
def test_without_correlation_clusters_are_products_of_estimates(
    J: int, sides: int
) -> None:
    clustered = case((2, 5), {"rho": spike(0.0)}, J, sides)
    alone = replace(clustered, sizes=(1,) * 7)
    total = clustered.log_prior(VALUES)
    for i in range(7):
        one = replace(
            clustered,
            y=clustered.y[[i]],
            se=clustered.se[[i]],
            sizes=(1,),
            priors={**NO_BIAS, "mu": spike(VALUES["mu"]), "tau": spike(VALUES["tau"]),
                    "rho": spike(0.0)},
            omega=clustered.weights,
            pi1=None,
        )  # fmt: skip
        total += one.found({})
    assert clustered.found(VALUES) == pytest.approx(total, abs=ROUNDING)
    assert alone.found(VALUES) == pytest.approx(total, abs=ROUNDING)
    almost = replace(clustered, priors={**NO_BIAS, "rho": spike(1e-14)})
    assert almost.found(VALUES) == pytest.approx(total, abs=1e-6)


# ---- tails ------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [1e-12, 1e-3])
@pytest.mark.parametrize("far", [40.0, -40.0])
@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_means_forty_standard_errors_from_the_cut_offs(
    rho: float, sides: int, far: float, weight: float
) -> None:
    # tau is small beside se = 0.1, so that the mean stays where it is.
    priors = {"mu": spike(2 * 0.1 * far), "tau": spike(0.02), "rho": spike(rho)}
    subject = case((2, 1), priors, 2, sides, pi1=(1 - weight, weight))
    se = np.full(3, 0.1)
    for y in (0.1 * far + np.array([0.1, 0.0, -0.1]), np.array([0.1, 0.3, -0.2])):
        assert_density_is_the_oracles(replace(subject, y=y, se=se))


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_critical_values_of_forty(rho: float, sides: int) -> None:
    subject = case(
        (3, 1), {"rho": spike(rho)}, 3, sides, z=(40.0, 39.0), pi1=(0.9, 0.05, 0.05)
    )
    assert_density_is_the_oracles(subject)
    above = replace(subject, y=41 * subject.se)
    assert_density_is_the_oracles(above, 1e-7)


@pytest.mark.parametrize("mu", [-3.0, 0.2, 4.0])
@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.99])
def test_weights_of_a_millionth_of_a_millionth(
    rho: float, sides: int, mu: float
) -> None:
    pi = (0.5 - 1e-12, 0.5, 1e-12)
    subject = case((1, 6), {"rho": spike(rho)}, 3, sides, pi1=pi, rule=Rule(0.01, 25.0))
    assert_density_is_the_oracles(subject, 1e-7, mu=mu)


@pytest.mark.parametrize("options", [{"J": 3}, {"J": 4, **VALLEYS["two_and_one"]}])
def test_weight_function_that_falls_to_rounding_has_a_finite_gradient(
    options: dict[str, Any],
) -> None:
    model = case(MIXED, PLAIN, **options).model()
    free = model.param_unc_num() - 3
    for size in (5.0, 20.0, 30.0, 100.0, 700.0):
        for sign in np.array(np.meshgrid(*[[-1.0, 1.0]] * free)).reshape(free, -1).T:
            point = np.concatenate([[0.2, -1.0, 0.3], size * sign])
            value, gradient = model.log_density_gradient(point, propto=False)
            assert math.isfinite(value)
            assert np.isfinite(gradient).all()


# ---- beyond the smallest double ---------------------------------------------------

TINY: dict[str, dict[str, Any]] = {
    "two": {"z": (1.96,), "logits": ((math.nan,),)},
    "three": {"z": (1.96, 1.645), "logits": ((0.4, math.nan),)},
    "first_step": {"z": (1.96, 1.645), "logits": ((math.nan, 0.4),)},
    "valley": {
        "z": (1.96, 1.645, 0.0, -1.0),
        "logits": ((-0.3, math.nan), (0.7, 0.2)),
        "alpha1": (1.0, 2.0, 3.0),
        "alpha2": (0.5, 2.0, 0.7),
    },
}
"""Weights by the logits of their ratios, one of which is left open."""
TINY_CASES = [(name, sides) for name in TINY for sides in (1, 2)][:-1]


def with_tiny_weight(
    name: str, log_weight: float, sides: int, **options: Any
) -> SelectionCase:
    """The logit left open in TINY set to what makes exp(log_weight) the lowest."""
    falling, *back = TINY[name]["logits"]
    log_ratio = log_weight - sum(special.log_expit(x) for x in falling if x == x)
    logit = log_ratio - math.log(-math.expm1(log_ratio))
    logits = (tuple(x if x == x else logit for x in falling), *back)
    chosen = {**TINY[name], "logits": logits, **options}
    return case((1, 3, 1, 2), PLAIN, sides=sides, **chosen)


def slopes_of(subject: SelectionCase, values: dict[str, float]) -> Array:
    """Derivatives of `expected` by mu, log tau, logit rho and the weights' logits."""
    ends = np.cumsum([x.size for x in subject.ratio_logits])[:-1]

    def at(point: Array) -> float:
        scalars = {
            "mu": point[0],
            "tau": math.exp(point[1]),
            "rho": float(special.expit(point[2])),
        }
        logits = [tuple(x) for x in np.split(point[3:], ends)]
        return replace(subject, logits=logits).expected({**values, **scalars})

    start = [values["mu"], math.log(values["tau"]), special.logit(values["rho"])]
    point = np.concatenate([start, *subject.ratio_logits])
    steps = TINY_STEP * np.eye(point.size)
    differences = [at(point + step) - at(point - step) for step in steps]
    return np.array(differences) / (2 * TINY_STEP)


def point_of(
    subject: SelectionCase, values: dict[str, float]
) -> tuple[bridgestan.StanModel, Array]:
    """The opened program, and the place of `values` in it."""
    model = subject.model()
    constrained = subject.constrained({**values, **NO_BIAS_VALUES})
    return model, model.param_unconstrain(constrained)


@pytest.mark.parametrize("log_weight", [-500.0, -900.0])
@pytest.mark.parametrize(("name", "sides"), TINY_CASES)
@pytest.mark.parametrize("mu", [0.3, -20.0])
def test_weights_below_the_smallest_double(
    mu: float, name: str, sides: int, log_weight: float
) -> None:
    # At mu = -20 some estimates get more from the tiny weight than from the others.
    subject = with_tiny_weight(name, log_weight, sides, rule=Rule(0.05, 60.0))
    values = {**VALUES, "mu": mu}
    model, point = point_of(subject, values)
    found, gradient = model.log_density_gradient(point, propto=False, jacobian=False)
    assert found == pytest.approx(
        subject.expected(values), abs=DENSITY_ATOL, rel=TINY_RTOL
    )
    np.testing.assert_allclose(
        gradient,
        slopes_of(subject, values),
        rtol=DIFFERENCE_RTOL,
        atol=TINY_DIFFERENCE_ATOL,
    )


def test_logs_of_tiny_weights_are_in_the_output() -> None:
    subject = with_tiny_weight("valley", -900.0, 1)
    model, point = point_of(subject, VALUES)
    names = model.param_names(include_tp=True)
    output = model.param_constrain(point, include_tp=True)
    values = dict(zip(names, output, strict=True))
    logs = [values[f"log_omega.{j}"] for j in range(1, 6)]
    np.testing.assert_allclose(logs, subject.log_weights, rtol=1e-13, atol=1e-15)
    assert logs[2] == pytest.approx(-900.0, rel=1e-13)
    assert 0 <= values["omega.3"] < 1e-300  # a vector's exp may stop above 0


@pytest.mark.parametrize(("name", "sides"), TINY_CASES)
@pytest.mark.parametrize("mu", [0.3, -20.0])
def test_the_log_scale_takes_over_without_a_step(
    mu: float, name: str, sides: int
) -> None:
    points, values, gradients = [], [], []
    for log_weight in (-600.0 + SWITCH_STEP, -600.0 - SWITCH_STEP):
        subject = with_tiny_weight(name, log_weight, sides, rule=Rule(0.1, 60.0))
        model, point = point_of(subject, {**VALUES, "mu": mu})
        output = model.param_constrain(point, include_tp=True)
        names = model.param_names(include_tp=True)
        logs = [output[i] for i, n in enumerate(names) if n.startswith("log_omega.")]
        assert (min(logs) < -600.0) == (log_weight < -600.0)
        value, gradient = model.log_density_gradient(point, propto=False)
        points.append(point)
        values.append(value)
        gradients.append(gradient)
    expected = gradients[0] @ (points[0] - points[1])
    assert values[0] - values[1] == pytest.approx(
        expected, abs=max(SWITCH_ATOL, ROUNDED * abs(values[0]))
    )
    np.testing.assert_allclose(*gradients, rtol=1e-8, atol=1e-9)


# ---- correlations at their ends ---------------------------------------------------


@pytest.mark.parametrize("logit", [-300.0, -60.0, 60.0, 300.0])
@pytest.mark.parametrize("log_weight", [-1.0, -900.0])
@pytest.mark.parametrize(("name", "sides"), TINY_CASES)
def test_correlations_heaped_on_their_ends(
    name: str, sides: int, log_weight: float, logit: float
) -> None:
    heap = Prior("beta", (0.05, 0.05))
    options = {"rule": Rule(0.05, 14.0)}
    free = with_tiny_weight(name, log_weight, sides, **options)
    free = replace(free, priors={**free.priors, "rho": heap})
    at_end = replace(free, priors={**free.priors, "rho": spike(float(logit > 0))})
    end_model, end_point = point_of(at_end, VALUES)
    point = np.insert(end_point, 2, logit)
    value, gradient = free.model().log_density_gradient(
        point, propto=False, jacobian=False
    )
    prior = 0.05 * (special.log_expit(logit) + special.log_expit(-logit))
    prior -= float(special.betaln(0.05, 0.05))
    assert value == pytest.approx(at_end.expected(VALUES) + prior, abs=DENSITY_ATOL)
    others = end_model.log_density_gradient(end_point, propto=False, jacobian=False)[1]
    slope = 0.05 * (special.expit(-logit) - special.expit(logit))
    np.testing.assert_allclose(
        gradient, np.insert(others, 2, slope), rtol=1e-8, atol=1e-8
    )


# ---- quadrature -------------------------------------------------------------------


@cache
def schools_draws() -> list[tuple[dict[str, float], tuple[float, float]]]:
    """Points as a posterior of the schools has them, and wider; mu, tau, rho, pi."""
    rng = np.random.default_rng(8)
    result = []
    for _ in range(12):
        values = {
            "mu": float(rng.normal(0.1, 0.15)),
            "tau": float(np.exp(rng.normal(-1.1, 0.3))),
            "rho": float(rng.beta(4.0, 2.5)),
        }
        weight = float(rng.beta(2.0, 2.0))
        result.append(({**VALUES, **values}, (1 - weight, weight)))
    # Nearly one effect per district: the sharpest integrands.
    result.append(({**VALUES, "mu": 0.1, "tau": 0.4, "rho": 0.97}, (0.8, 0.2)))
    result.append(({**VALUES, "mu": 0.1, "tau": 0.05, "rho": 0.3}, (0.8, 0.2)))
    return result


@cache
def schools_case(sides: int) -> SelectionCase:
    d, se_d, district = q.schools()
    y, se = q.d_to_z(d, se_d)
    sizes = tuple(np.unique(district, return_counts=True)[1].tolist())
    return SelectionCase(
        y, se, sizes, NO_BIAS, z=(1.96,) if sides == 2 else (1.645,), sides=sides,
        pi1=(0.5, 0.5),
    )  # fmt: skip


@cache
def schools_densities(sides: int, rule: Rule) -> Array:
    subject = replace(schools_case(sides), rule=rule)
    model = subject.model()
    return np.array(
        [
            model.log_density(
                model.param_unconstrain(
                    replace(subject, pi1=pi).constrained(values | NO_BIAS_VALUES)
                ),
                propto=False,
                jacobian=False,
            )
            for values, pi in schools_draws()
        ]
    )


NO_BIAS_VALUES = {"PET": 0.0, "PEESE": 0.0}


@cache
def schools_exact(sides: int) -> Array:
    subject = schools_case(sides)
    return np.array(
        [replace(subject, pi1=pi).expected(values) for values, pi in schools_draws()]
    )


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.spacing:g}")
def test_rule_that_agrees_with_a_finer_one_is_as_exact_as_certified(
    rule: Rule, sides: int
) -> None:
    found = schools_densities(sides, rule)
    finer = schools_densities(sides, Rule(rule.spacing / 3, rule.reach + 3))
    certified = np.abs(found - finer) <= TOLERANCE
    # There is something to hold the rule to.
    assert certified.any()
    error = np.abs(found - schools_exact(sides))
    # What the finer rule may still miss is far below what it tells apart.
    assert (error[certified] <= 1.05 * TOLERANCE).all()


@pytest.mark.parametrize("sides", [1, 2])
def test_finest_rule_is_exact_for_every_draw(sides: int) -> None:
    error = np.abs(schools_densities(sides, RULES[-1]) - schools_exact(sides))
    assert error.max() < 1e-8


def test_rules_come_from_coarse_to_fine() -> None:
    errors = [
        np.abs(schools_densities(1, rule) - schools_exact(1)).max() for rule in RULES
    ]
    assert errors[0] > 10 * TOLERANCE
    assert errors[0] > errors[4] > errors[8]
    assert [rule.nodes.size for rule in RULES] == sorted(
        rule.nodes.size for rule in RULES
    )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.spacing:g}")
def test_weights_of_a_rule_sum_to_one_and_give_the_variance_of_the_factor(
    rule: Rule,
) -> None:
    weights = np.exp(rule.log_weights)
    assert weights.sum() == pytest.approx(1.0, abs=1e-14)
    # Cut off at 4.5 and more, where 4e-5 of the variance lies beyond.
    assert (weights * rule.nodes**2).sum() == pytest.approx(1.0, abs=1.5e-4)


# ---- gradient and Jacobian --------------------------------------------------------


def differences(model: bridgestan.StanModel, point: Array) -> Array:
    steps = DIFFERENCE_STEP * np.eye(point.size)
    return np.array(
        [
            model.log_density(point + step, propto=False)
            - model.log_density(point - step, propto=False)
            for step in steps
        ]
    ) / (2 * DIFFERENCE_STEP)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize(
    "spikes", [{}, {"rho": 0.0}, {"rho": 1.0}, {"tau": 0.0}, {"tau": 0.3, "rho": 0.5}]
)
@pytest.mark.parametrize("weights", ["falling", "valley", "peaked", "zero"])
def test_gradient_is_that_of_differences(
    weights: str, spikes: dict[str, float], sides: int
) -> None:
    priors = {**FREE, **{name: spike(value) for name, value in spikes.items()}}
    options: dict[str, Any] = {
        "falling": {},
        "valley": {**VALLEYS["two_and_one"], "J": 4},
        "peaked": {"omega": FIXED_WEIGHTS["peaked"]},
        "zero": {"omega": (1.0, 0.4, 0.0)},
    }[weights]
    if weights == "valley":
        sides = 1
    subject = case(MIXED, priors, sides=sides, rule=Rule(0.2, 7.0), **options)
    if weights == "zero":
        subject = replace(subject, y=2.0 * subject.se)
    model = subject.model()
    rng = np.random.default_rng(5)
    for point in rng.normal(scale=0.7, size=(2, model.param_unc_num())):
        value, gradient = model.log_density_gradient(point, propto=False)
        assert value == pytest.approx(
            model.log_density(point, propto=False), abs=ROUNDING
        )
        np.testing.assert_allclose(
            gradient,
            differences(model, point),
            rtol=DIFFERENCE_RTOL,
            atol=DIFFERENCE_ATOL,
        )


def numeric_jacobian(function: Callable[[Array], Array], point: Array) -> float:
    """Log determinant of the derivative, by central differences."""
    columns = [
        (function(point + step) - function(point - step)) / (2 * DIFFERENCE_STEP)
        for step in DIFFERENCE_STEP * np.eye(point.size)
    ]
    return float(np.linalg.slogdet(np.array(columns))[1])


@pytest.mark.parametrize("options", [{}, VALLEYS["two_and_one"]])
def test_jacobian_is_that_of_the_constraining_transform(
    options: dict[str, Any],
) -> None:
    model = case(MIXED, FREE, **options).model()
    point = np.random.default_rng(6).normal(scale=0.5, size=model.param_unc_num())
    found = model.log_density(point, propto=False) - model.log_density(
        point, propto=False, jacobian=False
    )
    expected = numeric_jacobian(model.param_constrain, point)
    assert found == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("options", [{}, VALLEYS["two_and_one"]])
def test_density_is_that_of_the_parameters_and_the_steps_of_the_weights(
    options: dict[str, Any],
) -> None:
    subject = case(MIXED, FREE, prior_only=True, **options)
    model = subject.model()
    point = np.random.default_rng(7).normal(scale=0.5, size=model.param_unc_num())
    names = model.param_names(include_tp=True)
    at = [names.index(bridgestan_name(subject.output(name))) for name in VALUES]
    weights = [i for i, name in enumerate(names) if name.startswith("omega.")]
    J1 = len(subject.alphas[0])

    def steps(unconstrained: Array) -> tuple[Array, list[Array]]:
        output = model.param_constrain(unconstrained, include_tp=True)
        omega = output[weights]
        pis = [-np.diff(omega[:J1], append=0.0)]
        if len(subject.alphas) == 2:
            low = omega[J1 - 1]
            back = (omega[: J1 - 1 : -1] - low) / (1 - low)
            pis.append(-np.diff(np.append(back, 0.0), prepend=1.0))
        return output[at], pis

    def free(unconstrained: Array) -> Array:
        scalars, pis = steps(unconstrained)
        return np.concatenate([scalars, *(pi[:-1] for pi in pis)])

    scalars, pis = steps(point)
    expected = numeric_jacobian(free, point)
    for name, value in zip(VALUES, scalars, strict=True):
        low, high = bounds(name, FREE[name])
        prior = FREE[name]._replace(lower=low, upper=high)
        expected += float(q.log_prior(prior, value))
    for pi, alpha in zip(pis, subject.alphas, strict=True):
        expected += float(stats.dirichlet(alpha).logpdf(pi))
    assert model.log_density(point, propto=False) == pytest.approx(expected, abs=1e-7)


def test_no_constant_is_dropped_even_when_asked_to() -> None:
    model = case(MIXED, FREE).model()
    point = np.full(model.param_unc_num(), 0.3)
    assert model.log_density(point, propto=True) == pytest.approx(
        model.log_density(point, propto=False), abs=ROUNDING
    )


# ---- bad data ---------------------------------------------------------------------

CUT = [[0.4, 0.3]] * 3
BAD_DATA: dict[str, tuple[dict[str, Any], str]] = {
    "cut_rises": (
        {"cut": [*CUT[:2], [0.3, 0.4]]},
        "cut: expected critical values that fall with j; got [0.3,0.4] for estimate 3",
    ),
    "cuts_equal": (
        {"cut": [[0.4, 0.4], *CUT[:2]]},
        "cut: expected critical values that fall with j; got [0.4,0.4] for estimate 1",
    ),
    "cut_missing": (
        {"cut": [CUT[0], [0.4, math.nan], CUT[2]]},
        "cut: expected critical values that fall with j; got [0.4,nan] for estimate 2",
    ),
    "cut_of_another_shape": (
        {"cut": CUT[:2]},
        "mismatch in dimension declared and found",
    ),
    "one_interval": ({"J": 1}, "J is 1, but must be greater than or equal to 2"),
    "three_sides": ({"sides": 3}, "sides is 3"),
    "unknown_weights": ({"omega_family": 3}, "omega_family is 3"),
    "J1_too_small": (
        {"J1": 2, "alpha1": [1.0, 1.0]},
        "J1: expected 0 for fixed weights, J for falling ones and the number of "
        "intervals up to that of p = .5 for a one-sided valley; got 2",
    ),
    "J1_of_fixed_weights": (
        {"omega_family": 0, "omega_fixed": [1.0, 0.5, 0.2]},
        "J1: expected 0 for fixed weights",
    ),
    "two_sided_valley": (
        {"omega_family": 2, "sides": 2, "J1": 2, "alpha1": [1, 1], "alpha2": [1, 1]},
        "for a one-sided valley; got 2",
    ),
    "valley_without_its_first_slope": (
        {"omega_family": 2, "J1": 0, "alpha1": [], "alpha2": [1, 1, 1, 1]},
        "for a one-sided valley; got 0",
    ),
    "weights_all_zero": (
        {"omega_family": 0, "omega_fixed": [0.0] * 3, "J1": 0, "alpha1": []},
        "omega_fixed: expected a positive weight; got zeros only",
    ),
    "weight_above_one": (
        {"omega_family": 0, "omega_fixed": [1.0, 1.1, 0], "J1": 0, "alpha1": []},
        "omega_fixed[2] is 1.1",
    ),
    "negative_weight": (
        {"omega_family": 0, "omega_fixed": [1.0, -0.1, 0], "J1": 0, "alpha1": []},
        "omega_fixed[2] is -0.1",
    ),
    "negative_dirichlet_parameter": ({"alpha1": [1, -1, 1]}, "alpha1[2] is -1"),
    "no_node": ({"Q": 0, "node": [], "log_weight": []}, "Q is 0"),
    "nodes_without_weights": (
        {"Q": 2, "node": [-1.0, 1.0], "log_weight": [0.0]},
        "mismatch in dimension declared and found",
    ),
    "zero_se": (
        {"se": [0.1, 0.0, 0.2]},
        "se: expected positive finite standard errors; got 0 at 2",
    ),
    "no_direction": ({"effect_direction": 0}, "effect_direction: expected 1 or -1"),
    "clusters_not_sorted": (
        {"cluster_start": [3, 1], "cluster_size": [1, 2]},
        "cluster_start: expected 1 for cluster 1; got 3. Sort the estimates by",
    ),
    "rho_spike_above_one": (
        {"family[3]": 0, "par[3]": [1.2, 0, 0]},
        "par[3]: expected a spike of rho in [0, 1]; got 1.2",
    ),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_are_refused_with_a_sentence(name: str) -> None:
    changes, sentence = BAD_DATA[name]
    subject = case((2, 1), PLAIN, 3, changes={"cut": CUT, **changes})
    with pytest.raises(RuntimeError) as caught:
        subject.model()
    assert sentence in str(caught.value)


def test_the_good_data_beside_the_bad_ones_are_accepted() -> None:
    subject = case((2, 1), PLAIN, 3, changes={"cut": CUT})
    assert_density_is_the_oracles(subject)
