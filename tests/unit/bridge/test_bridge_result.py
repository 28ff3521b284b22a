"""Combining the passes, and what makes a result unreliable."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pyrobma.bridge.iterate import Iteration
from pyrobma.bridge.result import combine_passes

GOOD = Iteration(
    logml=-10.0,
    proposal_variance=1e-4,
    posterior_variance=3e-4,
    n_posterior=2000,
    n_proposal=2000,
    n_eff=2000.0,
    ess_f2=1500.0,
    overlap=0.9,
    pareto_k_f1=0.2,
    pareto_k_f2=0.1,
    iterations=5,
    converged=True,
)


def changed(**fields):
    return dataclasses.replace(GOOD, **fields)


def test_one_pass_is_reported_as_it_is():
    found = combine_passes((GOOD,), 3, 7)
    assert found.logml == GOOD.logml
    assert found.mcse == GOOD.mcse == pytest.approx(np.sqrt(np.log1p(4e-4)))
    assert found.n_zero_density == 7
    assert found.reliable


def test_two_passes_average_and_halve_the_variance():
    found = combine_passes((GOOD, changed(logml=-10.02, pareto_k_f1=0.4)), 1, 0)
    # s1 = s1' = 1/2 and D (D + 1) / 2 = 1: covariance 1 / (4 * 2000^2)
    covariance = 1 / 4 / 2000**2
    assert found.logml == pytest.approx(-10.01)
    assert found.proposal_variance == pytest.approx(0.5e-4)
    assert found.posterior_variance == pytest.approx(1.5e-4 + covariance / 2, rel=1e-12)
    assert (found.n_posterior, found.n_proposal) == (4000, 4000)
    assert (found.n_eff, found.ess_f2, found.pareto_k_f1) == (4000, 3000, 0.4)
    assert found.reliable


def test_posterior_parts_are_at_most_perfectly_correlated():
    passes = (changed(n_eff=20.0, n_proposal=20),) * 2
    found = combine_passes(passes, 30, 0)
    assert found.posterior_variance == pytest.approx(GOOD.posterior_variance)


def test_large_error_is_a_reason():
    found = combine_passes((changed(posterior_variance=0.02),), 3, 0)
    assert found.reasons == ("Monte Carlo error 0.141 above 0.1",)


def test_infinite_error_is_a_reason():
    assert not combine_passes((changed(posterior_variance=np.inf),), 3, 0).reliable


def test_passes_further_apart_than_their_errors_are_a_reason():
    # standard error of the difference: 0.028
    assert combine_passes((GOOD, changed(logml=-10.11)), 3, 0).reliable
    found = combine_passes((GOOD, changed(logml=-10.12)), 3, 0)
    assert found.reasons == (
        "the two halves of the chains differ by 0.12 in logml, "
        "expected standard deviation 0.028",
    )


def test_negligible_distance_of_almost_exact_passes_is_no_reason():
    exact = {"proposal_variance": 1e-16, "posterior_variance": 1e-16}
    passes = (changed(**exact), changed(logml=-10.0005, **exact))
    assert combine_passes(passes, 3, 0).reliable


@pytest.mark.parametrize("k", [0.75, np.inf, np.nan])
@pytest.mark.parametrize("which", ["pareto_k_f1", "pareto_k_f2"])
def test_large_or_unknown_pareto_k_is_a_reason_with_few_effective_draws(which, k):
    many = changed(**{which: k})
    few = changed(n_eff=20.0, **{which: k})
    assert many.unseen_error == pytest.approx(3 * 2 / 2000 / 0.9)
    assert combine_passes((many,), 3, 0).reliable
    (reason,) = combine_passes((few,), 3, 0).reasons
    assert reason.startswith("Pareto k")


def test_the_larger_or_unknown_pareto_k_of_the_passes_is_reported():
    assert combine_passes((GOOD, changed(pareto_k_f1=0.5)), 3, 0).pareto_k_f1 == 0.5
    unknown = changed(pareto_k_f1=np.nan)
    assert np.isnan(combine_passes((GOOD, unknown), 3, 0).pareto_k_f1)
    assert np.isnan(combine_passes((unknown, GOOD), 3, 0).pareto_k_f1)


def test_small_pareto_k_is_no_reason_however_few_the_draws():
    assert combine_passes((changed(n_eff=20.0, n_posterior=20),), 3, 0).reliable


@pytest.mark.parametrize("order", [1, -1])
def test_a_large_k_of_either_pass_matters_where_few_draws_bound_nothing(order):
    # 3 (1 / 2000 + 1 / 2000) / 0.9 is below the error allowed, a large k harmless.
    few = changed(n_eff=10.0, pareto_k_f1=0.9)
    assert GOOD.unseen_error < 0.1 < few.unseen_error
    found = combine_passes((GOOD, few)[::order], 3, 0)
    assert any("Pareto k 0.90 of the proposal" in reason for reason in found.reasons)
    bounded = combine_passes((GOOD, changed(pareto_k_f1=0.9))[::order], 3, 0)
    assert bounded.reliable
