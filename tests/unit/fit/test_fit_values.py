"""What a fit, its chains and its Stan data hold; no sampling."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from arviz_stats.base import array_stats

import pyrobma as rb
from pyrobma.fit import stan_data
from pyrobma.fit.diagnostics import Diagnostics, diagnose
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


# Two parameters; the second or the first may be the worse one.
GOOD = Diagnostics(
    rhat=np.array([1.0, 1.001]),
    ess_bulk=np.array([900.0, 800.0]),
    ess_tail=np.array([700.0, 850.0]),
    ess_mean=np.array([900.0, 900.0]),
    divergences=0,
    deep=0,
)
CHECKS = rb.SamplerSettings(max_rhat=1.01, min_ess=400)


def test_the_worst_of_all_parameters_is_held_to_the_checks():
    assert GOOD.complaints(CHECKS) == ()
    for place in ([0, 1], [1, 0]):
        bad = replace(GOOD, rhat=np.array([1.0, 1.02])[place])
        assert bad.complaints(CHECKS) == ("R-hat 1.020 above 1.01",)
        for name in ("ess_bulk", "ess_tail"):
            bad = replace(GOOD, **{name: np.array([399.0, 900.0])[place]})
            said = bad.complaints(CHECKS)
            assert said == ("effective sample size 399 below 400",)


def test_a_parameter_that_never_moved_passes_no_check():
    still = replace(
        GOOD, rhat=np.array([1.0, np.nan]), ess_bulk=np.array([900.0, np.nan])
    )
    assert len(still.complaints(CHECKS)) == 2


def test_what_more_draws_would_not_mend_is_counted():
    assert GOOD.remarks() == ()
    found = replace(GOOD, divergences=1, deep=2).remarks()
    assert [text.partition(" (")[0] for text in found] == [
        "1 divergent transition", "2 transitions at the largest tree depth",
    ]  # fmt: skip


def test_diagnostics_of_every_parameter_are_those_of_arviz(made):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(4, 200, 2))
    mixed = noise + 0.5 * np.roll(noise, 1, axis=1)
    mixed[..., 0] += [[0.0], [0.0], [0.4], [0.0]]  # a chain elsewhere: bulk R-hat
    mixed[1, :, 1] *= 3.0  # one that is wider: folded R-hat, and the tails
    spec = made.space(hierarchical=False).models[3]
    chains = made.fit(
        spec, draws={"mu": mixed[..., 0], "tau": np.exp(mixed[..., 1])}
    ).chains
    chains = replace(chains, divergent=mixed[..., 0] > 3, deep=mixed[..., 1] > 4)
    found = diagnose(chains)
    for k in range(2):
        draws = chains.draws[:, :, k]
        for name, expected in (
            ("rhat", array_stats.rhat(draws, chain_axis=0, draw_axis=1)),
            *(
                (f"ess_{method}", array_stats.ess(
                    draws, chain_axis=0, draw_axis=1, method=method, prob=prob
                ))
                for method, prob in (
                    ("bulk", None), ("tail", (0.05, 0.95)), ("mean", None),
                )
            ),
        ):  # fmt: skip
            # Another order of the same operations, and of a quantile of 800 draws.
            assert getattr(found, name)[k] == pytest.approx(float(expected), rel=1e-6)
    assert found.divergences == (mixed[..., 0] > 3).sum() > 0
    assert found.deep == (mixed[..., 1] > 4).sum() > 0
    assert found.rhat.min() > 1.02
