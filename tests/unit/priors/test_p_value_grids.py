"""Grids of p-values that several weight functions share."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pyrobma.errors import PriorError
from pyrobma.priors import (
    PValueGrid,
    WeightFunction,
    common_grid,
    default_bias,
    on_grid,
    prior_none,
    prior_weightfunction,
)


def one(*steps: float) -> WeightFunction:
    return prior_weightfunction("one.sided", steps=steps, alpha=[1] * (len(steps) + 1))


def two(*steps: float) -> WeightFunction:
    return prior_weightfunction("two.sided", steps=steps, alpha=[1] * (len(steps) + 1))


RISING = prior_weightfunction(
    "one.sided", steps=[0.05, 0.5, 0.95], alpha1=[1, 2, 3], alpha2=[4, 5]
)


def test_the_grid_of_the_defaults_is_robmas():
    functions = [x for x in default_bias() if isinstance(x, WeightFunction)]
    assert common_grid(functions) == PValueGrid(
        1, (0.0, 0.025, 0.05, 0.5, 0.95, 0.975, 1.0)
    )


def test_two_sided_functions_alone_keep_two_sided_steps():
    grid = common_grid([two(0.05, 0.1), two(0.01)])
    assert grid == PValueGrid(2, (0.0, 0.01, 0.05, 0.1, 1.0))
    assert grid.intervals[-1] == (0.1, 1.0)


def test_steps_that_differ_by_rounding_only_are_one():
    assert 1 - 0.14 / 2 != 0.93
    functions = [two(0.14), one(0.93)]
    grid = common_grid(functions)
    assert len(grid.intervals) == 3
    omega = np.array([[1.0, 0.5]])
    assert_array_equal(on_grid(omega, functions[0], grid), [[1.0, 0.5, 1.0]])
    assert_array_equal(on_grid(omega, functions[1], grid), [[1.0, 1.0, 0.5]])


def test_weights_are_copied_to_the_finer_grid():
    functions = [one(0.05, 0.5), one(0.025, 0.5)]
    grid = common_grid(functions)
    draws = np.array([[1.0, 0.5, 0.25], [1.0, 0.75, 0.0]])
    assert_array_equal(
        on_grid(draws, functions[0], grid),
        [[1.0, 1.0, 0.5, 0.25], [1.0, 1.0, 0.75, 0.0]],
    )
    assert_array_equal(
        on_grid(draws, functions[1], grid),
        [[1.0, 0.5, 0.5, 0.25], [1.0, 0.75, 0.75, 0.0]],
    )


def test_two_sided_weights_stand_on_both_sides_of_a_one_sided_grid():
    wf = two(0.05, 0.1)
    grid = common_grid([wf, one(0.5)])
    assert_array_equal(
        on_grid(np.array([[1.0, 0.5, 0.25]]), wf, grid),
        [[1.0, 0.5, 0.25, 0.25, 0.5, 1.0]],
    )


def test_a_function_on_its_own_grid_keeps_its_weights():
    draws = np.array([[1.0, 0.5, 0.25]])
    for wf in (one(0.05, 0.5), two(0.05, 0.5)):
        assert_array_equal(on_grid(draws, wf, common_grid([wf])), draws)


def test_a_two_sided_grid_is_not_mistaken_for_a_one_sided_one():
    # The cuts hold 0.05 as well as 0.025 and 0.975, its one-sided images.
    functions = [two(0.05), two(0.025, 0.975)]
    assert_array_equal(
        on_grid(np.array([[1.0, 0.5]]), functions[0], common_grid(functions)),
        [[1.0, 1.0, 0.5, 0.5]],
    )


def test_copied_weights_agree_with_the_function_at_any_p_value():
    rng = np.random.default_rng(20110407)
    functions = [two(0.05), two(0.01, 0.3), one(0.02, 0.6), RISING]
    grid = common_grid(functions)
    p = rng.uniform(size=500)
    cell = np.searchsorted(grid.cuts, p) - 1
    for wf in functions:
        omega = rng.uniform(size=(1, len(wf.steps) + 1))
        own = p if wf.sides == 1 else 2 * np.minimum(p, 1 - p)
        expected = [
            omega[0, j]
            for x in own
            for j, (low, high) in enumerate(wf.intervals)
            if low < x <= high
        ]
        assert_array_equal(on_grid(omega, wf, grid)[0, cell], expected)


@pytest.mark.parametrize("functions", [[], [one(0.05), prior_none()]])
def test_anything_but_weight_functions_is_refused(functions):
    with pytest.raises(PriorError, match=r"^weightfunctions: expected at least"):
        common_grid(functions)


@pytest.mark.parametrize("shape", [(3,), (4, 2), (2, 3, 1)])
def test_draws_of_another_shape_are_refused(shape):
    wf = one(0.05, 0.5)
    with pytest.raises(PriorError, match=r"^omega_draws: expected .*\(S, 3\)"):
        on_grid(np.ones(shape), wf, common_grid([wf]))


@pytest.mark.parametrize(
    ("wf", "grid"),
    [
        (one(0.05), common_grid([one(0.1)])),
        (two(0.05), common_grid([one(0.05)])),
        (one(0.05), common_grid([two(0.05)])),
    ],
)
def test_a_grid_without_the_steps_is_refused(wf, grid):
    with pytest.raises(PriorError, match=r"^grid: expected a .-sided grid with "):
        on_grid(np.ones((1, 2)), wf, grid)
