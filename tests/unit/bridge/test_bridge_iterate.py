"""The iteration on log ratios alone."""

from __future__ import annotations

import numpy as np
import pytest

from pyrobma.bridge import iterate
from pyrobma.errors import BridgeError

EXACT = 1e-12  # reference values are printed with 16 digits
ROUNDING = 1e-9  # two ways to one root, each stopped at about 1e-10

# Log target and log proposal, at the posterior draws and at the proposal draws; the
# values below are asserted in the tests of R's bridgesampling.
L1 = np.array([0.1, 0.2, 0.3, 0.4]) - np.array([0.02, 0.09, 0.10, 0.15])
L2 = np.array([0.05, 0.18, 0.22, 0.28]) - np.array([0.01, 0.07, 0.11, 0.12])


def overlapping_ratios(seed: int, n: int = 500, m: int = 700):
    """Log ratios of N(0, 1) times e^2 to N(0.5, 1.5^2) at draws of either."""
    rng = np.random.default_rng(seed)

    def log_ratio(u):
        return 2 - 0.5 * u**2 + 0.5 * ((u - 0.5) / 1.5) ** 2 + np.log(1.5)

    return log_ratio(rng.normal(size=n)), log_ratio(rng.normal(0.5, 1.5, size=m))


def test_four_element_case_gives_the_published_value_and_error():
    found = iterate(L1, L2, n_eff=4)
    assert found.logml == pytest.approx(0.1324897961820029, abs=EXACT)
    assert found.mcse == pytest.approx(0.0235323328470581, abs=EXACT)


def test_four_fold_repetition_gives_the_published_error():
    found = iterate(np.tile(L1, 4), np.tile(L2, 4), n_eff=16)
    assert found.mcse == pytest.approx(0.0105251448218116, abs=EXACT)


def test_warp_form_of_the_four_element_case_gives_the_reference_value():
    found = iterate(L1 - np.log(2), L2 - np.log(2), n_eff=2)
    assert found.logml == pytest.approx(-0.5692472342839348, abs=EXACT)


def test_solution_satisfies_the_textbook_equation():
    l1, l2 = overlapping_ratios(1)
    found = iterate(l1, l2, n_eff=300.0)
    s1, s2 = 300 / 1000, 700 / 1000
    f1 = 1 / (s1 + s2 * np.exp(found.logml - l2))
    f2 = 1 / (s1 * np.exp(l1 - found.logml) + s2)
    assert f1.mean() == pytest.approx(f2.mean(), rel=ROUNDING)
    assert found.overlap == pytest.approx(f1.mean(), rel=ROUNDING)
    assert found.proposal_variance == pytest.approx(
        f1.var(ddof=1) / f1.mean() ** 2 / 700, rel=ROUNDING
    )
    assert found.posterior_variance == pytest.approx(
        f2.var(ddof=1) / f2.mean() ** 2 / 500, rel=ROUNDING
    )
    assert found.mcse == pytest.approx(
        np.sqrt(np.log1p(found.proposal_variance + found.posterior_variance))
    )


def test_estimate_is_within_its_error_of_the_known_constant():
    found = iterate(*overlapping_ratios(2))
    assert abs(found.logml - 2) < 4 * found.mcse
    assert found.mcse < 0.05


@pytest.mark.parametrize("seed", range(5))
def test_bracketing_finds_the_same_root_as_the_fixed_point_scheme(seed):
    l1, l2 = overlapping_ratios(seed)
    l2[:50] = -np.inf
    stepped = iterate(l1, l2)
    bracketed = iterate(l1, l2, max_iterations=0)
    assert stepped.converged
    assert not bracketed.converged
    assert bracketed.logml == pytest.approx(stepped.logml, abs=ROUNDING)
    assert bracketed.mcse == pytest.approx(stepped.mcse, rel=1e-6)


def test_bracket_widens_when_most_proposal_draws_have_density_zero():
    l1, l2 = np.array([0.0, 0.1, 0.2]), np.full(400, -np.inf)
    l2[0] = 0.05
    bracketed = iterate(l1, l2, max_iterations=0)
    # One draw in 400 on the support: the constant lies far below every ratio.
    assert bracketed.logml < -3
    assert bracketed.logml == pytest.approx(iterate(l1, l2).logml, abs=ROUNDING)


def test_equal_ratios_are_the_constant_without_error():
    found = iterate(np.full(40, -7.5), np.full(40, -7.5))
    assert found.logml == -7.5
    assert found.mcse == 0
    assert found.overlap == pytest.approx(1)


@pytest.mark.parametrize("shift", [-1e6, 1e6])
def test_huge_ratios_neither_overflow_nor_slow_the_scheme(shift):
    l1, l2 = overlapping_ratios(3)
    plain, moved = iterate(l1, l2), iterate(l1 + shift, l2 + shift)
    assert moved.logml - shift == pytest.approx(plain.logml, abs=1e-8)
    assert moved.iterations == plain.iterations


def test_disjoint_ratios_give_a_finite_value_and_a_large_error():
    rng = np.random.default_rng(4)
    found = iterate(2000 + rng.normal(size=50), -2000 + rng.normal(size=50))
    assert np.isfinite(found.logml)
    assert found.overlap < 1e-300


def test_chains_carry_their_autocorrelation_into_the_posterior_part_only():
    l1, l2 = overlapping_ratios(5, n=1000)
    sorted_chains = np.sort(l1).reshape(2, 500)[:, ::-1]
    independent, dependent = iterate(l1, l2), iterate(sorted_chains, l2)
    assert dependent.logml == pytest.approx(independent.logml, abs=ROUNDING)
    assert dependent.proposal_variance == pytest.approx(independent.proposal_variance)
    assert dependent.posterior_variance > 20 * independent.posterior_variance


@pytest.mark.parametrize(
    ("l1", "l2", "message"),
    [
        (np.array([0.0, np.nan]), L2, "l1: expected finite.*nan at posterior draw 1"),
        (np.array([np.inf, 0.0]), L2, "l1: expected finite.*inf at posterior draw 0"),
        (L1, np.array([0.0, np.inf]), "l2: expected log ratios below.*draw 1"),
        (L1, np.array([np.nan, 0.0]), "l2: expected log ratios below.*nan"),
        (L1, np.full(3, -np.inf), "l2: expected a positive density.*all 3"),
        (L1[:1], L2, "l1: expected shape"),
        (L1, L2[:1], "l2: expected shape"),
        (L1.reshape(2, 2), L2, "l1: expected at least 8 draws in each chain"),
        (L1.reshape(1, 2, 2), L2, "l1: expected shape"),
    ],
)
def test_unusable_ratios_are_refused_with_their_place(l1, l2, message):
    with pytest.raises(BridgeError, match=message):
        iterate(l1, l2)
