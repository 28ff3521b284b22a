"""Columns of the mean, rotated data, and the shift of mu, in every program."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import bridgestan
import numpy as np
import pytest
import quadrature as q
from counts_program import case as counts_case
from counts_program import normal_tables
from normal_program import FREE, VALUES, Array, Case, case, changed
from quadrature import Prior
from scipy import stats
from selection_program import case as selection_case

from pyrobma.programs import PROGRAMS, library

# The same sums in another order; the values are near 100.
DENSITY_ATOL = 1e-9
# The oracle's own error in selection models, and those sums.
SELECTION_ATOL = 1e-8
# Two ways to the same shift, and an end that is added to it.
SHIFT_ATOL = 1e-12

SIZES = (1, 2, 5, 17, 1)
K = sum(SIZES)
SLOPES = np.array([0.4, -0.3])
SLOPE_PRIORS = (Prior("normal", (0.1, 0.5)), Prior("cauchy", (0.0, 0.3), -1.0, 2.0))
BOUNDED: dict[str, tuple[float, float]] = {
    "below": (0.0, math.inf),
    "above": (-math.inf, 0.6),
    "both": (0.0, 0.6),
}


def moderators(seed: int = 11) -> Array:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.normal(size=K), rng.integers(0, 2, K)])


def make(program: str, priors: dict[str, Prior], **options: Any) -> Case:
    if program != "selection":
        return {"normal": case, "counts": counts_case}[program](
            SIZES, priors, **options
        )
    return selection_case(SIZES, priors, omega=(1.0, 0.5, 0.2), **options)


def with_moderators(subject: Case, x: Array, free: bool = True) -> dict[str, Any]:
    """Data with columns of x; their coefficients free, or fixed at SLOPES."""
    data = subject.data()
    family = {"normal": 1, "cauchy": 4}
    for row, (slope, prior) in enumerate(zip(SLOPES, SLOPE_PRIORS, strict=True)):
        at = 3 + row
        par = [*prior.parameters, 0.0] if free else [slope, 0.0, 0.0]
        data["family"] = insert(data["family"], at, family[prior.family] * free)
        data["par"] = insert(data["par"], at, par)
        data["low"] = insert(data["low"], at, prior.lower)
        data["high"] = insert(data["high"], at, prior.upper)
    return data | {"P": x.shape[1], "x": x.tolist()}


def insert(values: list[Any], at: int, value: Any) -> list[Any]:
    return [*values[:at], value, *values[at:]]


def opened(program: str, data: dict[str, Any]) -> bridgestan.StanModel:
    return bridgestan.StanModel(library(program), json.dumps(data), warn=False)


def density(model: bridgestan.StanModel, own: Array) -> float:
    point = model.param_unconstrain(own)
    return float(model.log_density(point, propto=False, jacobian=False))


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("direction", [1, -1])
def test_moderators_move_the_mean_of_each_estimate(
    direction: int, exact: bool, free: bool, program: str
) -> None:
    # Estimates are moved instead: what remains has a mean without moderators.
    subject = make(program, FREE, exact=exact, direction=direction)
    x = moderators()
    model = opened(program, with_moderators(subject, x, free))
    effects = VALUES["mu"] + x @ SLOPES
    scale = q.scale_factor("d", "z")
    at = q.convert_effect(effects, "d", "z") if exact else scale * effects
    alone = q.convert_effect(VALUES["mu"], "d", "z") if exact else scale * VALUES["mu"]
    changes: dict[str, Any] = {"y": (subject.y - at + alone).tolist()}
    if program == "selection":  # cuts move with them
        cut = np.asarray(subject.data()["cut"])
        moved = cut - direction * np.reshape(at - alone, (-1, 1))
        changes["cut"] = moved.tolist()
    if program == "counts":  # and tables
        changes |= normal_tables(changes["y"], subject.se)
    plain = opened(program, changed(subject.data(), changes))
    own = subject.program_values(VALUES)
    weight = subject.se**-2 / np.sum(subject.se**-2)
    shift = (weight @ x) @ SLOPES
    place = subject.own.index("mu")
    whole = own.copy()
    whole[place] += shift
    if free:
        # The last free coefficient comes after mu, here one of the bias terms.
        whole = np.concatenate([SLOPES, whole])
    prior = sum(
        float(q.log_prior(p, b)) for p, b in zip(SLOPE_PRIORS, SLOPES, strict=True)
    )
    assert density(model, whole) == pytest.approx(
        density(plain, own) + free * prior, abs=DENSITY_ATOL
    )


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("rho", [0.0, 0.45, 1.0])
def test_rotated_data_are_a_known_covariance_of_sampling_errors(
    rho: float, exact: bool
) -> None:
    # V = Q diag(lambda) Q' within a cluster, and tau common to it.
    rng = np.random.default_rng(4)
    sizes, scale, columns = (4, 1, 3), 0.5, []
    rows: list[tuple[Array, Array, Array, Array]] = []
    expected = 0.0
    values = {**VALUES, "rho": rho, "PET": 0.0, "PEESE": 0.0}
    for n in sizes:
        root = rng.normal(size=(n, n))
        V = 0.02 * (root @ root.T + n * np.eye(n))
        y, x = rng.normal(0.2, 0.4, n), rng.normal(size=n)
        lam, Q = np.linalg.eigh(V)
        rows.append((Q.T @ y, np.sqrt(lam), Q.T @ np.ones(n), Q.T @ x))
        T = scale * values["tau"]
        within = T**2 * ((1 - rho) * np.eye(n) + rho * np.ones((n, n)))
        mean = scale * (values["mu"] + 0.3 * x)
        expected += stats.multivariate_normal.logpdf(y, mean, V + within)
        columns.append(x)
    y, se, ones, x = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    priors = {name: Prior("spike", (values[name],)) for name in VALUES}
    subject = Case(y, se, sizes, priors)
    data = subject.data() | {"intercept": ones.tolist(), "loading": ones.tolist()}
    data |= {"P": 1, "x": x[:, None].tolist()}
    data["family"] = [*data["family"], 0]
    data["par"] = [*data["par"], [0.3, 0.0, 0.0]]
    data["low"], data["high"] = [*data["low"], -math.inf], [*data["high"], math.inf]
    if exact:  # the identity, on raw data
        data |= {"exact_mapping": 1, "data_measure": 1, "prior_measure": 1}
        data["par"][0] = [scale * values["mu"], 0.0, 0.0]
        data["par"][1] = [scale * values["tau"], 0.0, 0.0]
        data["par"][3] = [scale * 0.3, 0.0, 0.0]
    found = opened("normal", data).log_density(np.zeros(0), propto=False)
    assert found == pytest.approx(expected, abs=DENSITY_ATOL)


@pytest.mark.parametrize("logit", [-2000.0, -60.0, 0.4, 60.0, 800.0])
@pytest.mark.parametrize("program", PROGRAMS)
def test_gradient_is_finite_wherever_the_correlation_is(
    program: str, logit: float
) -> None:
    heap = {**FREE, "rho": Prior("beta", (0.05, 0.05))}
    subject = make(program, heap)
    point = np.full(len(subject.own), 0.1)
    point[subject.own.index("rho")] = logit
    value, gradient = subject.model().log_density_gradient(point, propto=False)
    assert math.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("ends", BOUNDED)
def test_a_bounded_effect_shares_its_total_with_the_last_coefficient(
    ends: str, program: str
) -> None:
    low, high = BOUNDED[ends]
    priors = {**FREE, "mu": Prior("normal", (0.1, 0.8), low, high)}
    subject = make(program, priors)
    model = subject.model()
    own = subject.program_values(VALUES)
    point = model.param_unconstrain(own)
    # The unconstrained values are those of the distances to the ends.
    for name, (start, stop) in subject.own_ends(VALUES).items():
        at, x = point[subject.own.index(name)], own[subject.own.index(name)]
        if math.isfinite(start) and math.isfinite(stop):
            expected = math.log((x - start) / (stop - x))
        elif math.isfinite(start):
            expected = math.log(x - start)
        else:
            expected = math.log(stop - x) if math.isfinite(stop) else x
        assert at == pytest.approx(expected, abs=SHIFT_ATOL), name
    jacobian = model.log_density(point, propto=False) - density(model, own)
    assert jacobian == pytest.approx(subject.log_jacobian(VALUES), abs=SHIFT_ATOL * 100)
    # Both ends of the last coefficient are ends of mu, or its own.
    names = model.param_names(include_tp=True)
    for far in (-30.0, 30.0):
        point[subject.own.index(subject.last)] = far
        mu = model.param_constrain(point, include_tp=True)[names.index("mu")]
        assert low <= mu <= high


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("ends", BOUNDED)
def test_a_bounded_effect_stays_within_its_ends_in_spite_of_rounding(
    ends: str, program: str
) -> None:
    low, high = BOUNDED[ends]
    subject = make(program, {**FREE, "mu": Prior("normal", (0.1, 0.8), low, high)})
    model = subject.model()
    names = model.param_names(include_tp=True)
    point = np.full(len(subject.own), 0.3)
    for far, PET in itertools.product((-50.0, -37.0, 37.0), (-1.0, 2.0, 5.0)):
        point[subject.own.index("mu")] = far
        point[subject.own.index("PET")] = PET
        mu = model.param_constrain(point, include_tp=True)[names.index("mu")]
        assert low <= mu <= high


@pytest.mark.parametrize("program", PROGRAMS)
def test_columns_without_entries_can_be_left_empty(program: str) -> None:
    subject = make(program, {n: FREE[n] for n in ("mu", "tau", "rho")})
    assert subject.data()["x"] == [[]] * K
    own = subject.program_values(VALUES)
    short = subject.data() | {"x": [], "bias": []}
    assert density(opened(program, short), own) == density(subject.model(), own)
