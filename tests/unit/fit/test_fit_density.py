"""Log densities of many points through the compiled program."""

from __future__ import annotations

import json

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.fit import stan_data
from pyrobma.fit.density import LogDensity
from pyrobma.models import Task
from pyrobma.programs import library

TASK = Task(
    rb.effect_sizes(d=[0.1, 0.2, 0.6], se=[0.1, 0.1, 0.2], study_ids=[1, 1, 2]),
    "cohens_d",
)


def opened(made):
    data = json.dumps(stan_data(TASK, made.space().models[3]))
    return LogDensity(library("normal"), data)


def test_many_points_at_once_and_one_by_one_are_the_same_numbers(made):
    points = np.random.default_rng(1).normal(size=(50, 3))
    constrained = np.column_stack(
        [points[:, 0], np.exp(points[:, 1]), points[:, 2]]  # rho is a logit
    )
    with opened(made) as density:
        at_once = density(points), density.unconstrain(constrained)
        density._many = density._unconstrain = None  # as with BridgeStan's own library
        one_by_one = density(points), density.unconstrain(constrained)
    np.testing.assert_array_equal(at_once[0], one_by_one[0])
    np.testing.assert_array_equal(at_once[1], one_by_one[1])
    np.testing.assert_allclose(at_once[1], points, atol=1e-12)


def test_the_names_are_those_of_the_free_parameters(made):
    with opened(made) as density:
        assert density.names == ["mu_free.1", "tau_free.1", "rho_logit.1"]


def test_data_that_the_program_refuses_are_a_toolchain_error_with_its_sentence(made):
    data = stan_data(TASK, made.space().models[3]) | {"se": [0.1, 0.0, 0.2]}
    with pytest.raises(rb.ToolchainError, match=r"normal\.so: .*standard errors"):
        LogDensity(library("normal"), json.dumps(data))


def test_blocks_of_any_size_give_the_same_numbers(made, monkeypatch):
    points = np.random.default_rng(1).normal(size=(300, 3))
    with opened(made) as density:
        usual = density(points)
        monkeypatch.setattr("pyrobma.fit.density._FIRST_BLOCK", 7)
        np.testing.assert_array_equal(density(points), usual)
        monkeypatch.setattr("pyrobma.fit.density._SHORT", 0.0)
        np.testing.assert_array_equal(density(points), usual)
        assert density(points[:0]).shape == (0,)
