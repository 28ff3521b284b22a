"""What a fit, its chains and its Stan data hold; no sampling."""

from __future__ import annotations

import json

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.fit import stan_data
from pyrobma.models import Task


def test_draws_of_a_free_parameter_are_chains_by_draws(made):
    spec = made.space().models[3]
    values = {n: np.full((2, 20), i) + np.arange(20) for i, n in enumerate(spec.free)}
    fit = made.fit(spec, draws=values)
    assert fit.names == ("mu", "tau", "rho")
    np.testing.assert_array_equal(fit.draws("tau"), values["tau"])


def test_a_spike_is_one_draw_of_its_value_and_an_absent_rho_is_zero(made):
    (spec,) = rb.model_space(
        effect=(rb.prior("spike", location=0.3),),
        heterogeneity_null=(rb.prior("spike", location=0),),
    ).models
    fit = made.fit(spec)
    assert fit.names == ()
    np.testing.assert_array_equal(fit.draws("mu"), [[0.3]])
    np.testing.assert_array_equal(fit.draws("rho"), [[0.0]])


def test_a_fit_with_a_reason_is_not_ok(made):
    spec = made.space().models[0]
    assert made.fit(spec).ok
    assert not made.fit(spec, reasons=("R-hat 1.1 above 1.01",)).ok


def test_a_continuation_lengthens_every_chain(made):
    spec = made.space(hierarchical=False).models[2]
    first = made.fit(spec, draws={"mu": np.arange(40.0).reshape(2, 20)}).chains
    later = made.fit(spec, draws={"mu": -np.arange(20.0).reshape(2, 10)}).chains
    both = first.followed_by(later)
    assert both.draws.shape == (2, 30, 1)
    np.testing.assert_array_equal(both.draws[1, 20:, 0], -np.arange(10.0, 20.0))
    assert both.divergent.shape == both.deep.shape == (2, 30)


def test_stan_data_sorts_the_estimates_by_cluster(made):
    effects = rb.effect_sizes(
        d=[0.1, 0.2, 0.3, 0.4], se=[0.1, 0.2, 0.3, 0.4], study_ids=["b", "a", "b", "c"],
        transformation="cohens_d",
    )  # fmt: skip
    data = stan_data(Task(effects, "cohens_d"), made.space().models[3])
    assert data["y"] == [0.1, 0.3, 0.2, 0.4]
    assert data["se"] == [0.1, 0.3, 0.2, 0.4]
    assert data["cluster_start"] == [1, 3, 4]
    assert data["cluster_size"] == [2, 1, 1]
    assert data["par"][1] == [1.0, 0.15, 0.0]
    json.dumps(data)


@pytest.mark.parametrize(("mapping", "flag"), [("linear", 0), ("exact", 1)])
def test_stan_data_names_the_measures_and_the_mapping(made, mapping, flag):
    effects = rb.effect_sizes(d=[0.1], se=[0.1])
    data = stan_data(Task(effects, "cohens_d", mapping), made.space().models[0])
    assert (data["prior_measure"], data["data_measure"]) == (1, 2)
    assert data["exact_mapping"] == flag
