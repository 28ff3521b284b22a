"""Warp-III against densities whose constant is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from bridge_targets import (
    fixed_effect,
    hierarchical_null,
    log_gamma,
    normal,
    null_random_effects,
    random_effects,
    student_t3,
    two_modes,
)

from pyrobma.bridge import warp3
from pyrobma.errors import BridgeError

Z_LIMIT = 4.0  # standard errors; exceeded once in 16 000 seeds, and seeds are fixed


def run(target, seed=1, chains=4, draws=1000, **options):
    u = target.draw(np.random.default_rng(seed), chains, draws)
    return warp3(target.log_density, u, seed=seed, **options)


@pytest.mark.parametrize(
    ("target", "largest_error"),
    [
        (fixed_effect(), 0.001),
        (null_random_effects(), 0.01),
        (random_effects(), 0.01),
        (hierarchical_null(), 0.02),
    ],
    ids=["fixed effect", "null random effects", "random effects", "21 parameters"],
)
def test_marginal_likelihoods_equal_quadrature_within_their_error(
    target, largest_error
):
    found = run(target)
    assert abs(found.logml - target.logml) < Z_LIMIT * found.mcse
    assert 0 < found.mcse < largest_error
    assert found.reliable


@pytest.mark.parametrize("dimension", [1, 2, 10, 30])
@pytest.mark.parametrize(
    ("family", "largest_error"),
    [(normal, 0.01), (log_gamma, 0.03), (student_t3, 0.05)],
    ids=["normal", "log-gamma", "Student-t"],
)
def test_known_constants_are_found_in_any_dimension(family, largest_error, dimension):
    target = family(dimension)
    found = run(target)
    assert abs(found.logml - target.logml) < Z_LIMIT * found.mcse
    assert found.mcse < largest_error
    assert found.reliable


def test_two_modes_cost_precision():
    one, two = run(two_modes(2, 0.0)), run(two_modes(2, 12.0))
    assert two.mcse > 10 * one.mcse
    assert abs(two.logml) < Z_LIMIT * two.mcse
    assert two.passes[0].overlap < 0.8 < one.passes[0].overlap


def test_large_pareto_k_is_a_reason_only_with_few_effective_draws():
    # Small tau gives log tau a long left tail: k grows with the number of draws,
    # while the terms' bound keeps their mean harmless.
    target = random_effects()
    u = target.draw(np.random.default_rng(12), 2, 100, 0.9)
    few = warp3(target.log_density, u, seed=12)
    assert few.pareto_k_f1 > 0.7
    assert any("Pareto k" in reason for reason in few.reasons)
    many = run(target, draws=2500)
    assert many.pareto_k_f1 > 0.7
    assert many.reliable
    assert abs(many.logml - target.logml) < Z_LIMIT * many.mcse


def test_bounded_support_costs_only_a_count():
    # exp(-u) on u > 0: mirrored and proposal points fall outside
    u = np.random.default_rng(4).exponential(size=(4, 1000, 1))

    def with_nan(points):
        return np.where(points[:, 0] > 0, -points[:, 0], np.nan)

    def with_infinity(points):
        return np.where(points[:, 0] > 0, -points[:, 0], -np.inf)

    found = warp3(with_nan, u, seed=4)
    assert found == warp3(with_infinity, u, seed=4)
    assert found.n_zero_density > 100
    assert abs(found.logml) < Z_LIMIT * found.mcse
    assert run(normal(1)).n_zero_density == 0


@pytest.mark.parametrize(
    ("target", "draws", "autocorrelation"),
    [
        (random_effects(), 100, 0.0),
        (log_gamma(3), 250, 0.8),
        # near a normal the two passes are correlated; adding their variances alone
        # would report 0.76 of the error here
        (normal(10), 50, 0.0),
    ],
    ids=["random effects", "autocorrelated", "correlated passes"],
)
def test_reported_error_is_the_spread_over_repeated_runs(
    target, draws, autocorrelation
):
    rng = np.random.default_rng(6)
    runs = [
        warp3(target.log_density, target.draw(rng, 4, draws, autocorrelation), seed=rng)
        for _ in range(200)
    ]
    error = np.array([r.logml for r in runs]) - target.logml
    mcse = np.array([r.mcse for r in runs])
    # SD of a standard deviation over 200 runs: 5 %; the rest is the estimator's own
    assert np.sqrt((mcse**2).mean()) == pytest.approx(error.std(ddof=1), rel=0.15)
    # binomial SD of the coverage: 1.5 %
    assert 0.90 < (np.abs(error) < 1.96 * mcse).mean() <= 0.99


def test_autocorrelated_draws_count_by_their_effective_size():
    target = log_gamma(1)
    rng = np.random.default_rng(13)
    free = warp3(target.log_density, target.draw(rng, 4, 1000), seed=13)
    slow = warp3(target.log_density, target.draw(rng, 4, 1000, 0.9), seed=13)
    # f2 is a nonlinear function of the draws and mixes somewhat faster than they do,
    # whose effective size is n (1 - 0.9) / (1 + 0.9)
    assert slow.n_eff == pytest.approx(4000 / 19, rel=0.3)
    assert slow.ess_f2 < 4000 / 2
    assert free.ess_f2 > 4000 / 1.5


def test_error_falls_with_the_root_of_the_number_of_draws():
    target = random_effects()
    short = np.mean([run(target, seed, draws=250).mcse for seed in range(10)])
    long = run(target, draws=4000).mcse
    assert short / long == pytest.approx(4, rel=0.15)


def test_crosswise_averages_both_passes_and_uses_every_draw():
    target = random_effects()
    both, one = run(target), run(target, crosswise=False)
    assert both.logml == pytest.approx(np.mean([p.logml for p in both.passes]))
    assert both.passes[0] == one.passes[0]
    assert (both.n_posterior, one.n_posterior) == (4000, 2000)
    assert both.mcse == pytest.approx(one.mcse / np.sqrt(2), rel=0.15)


def test_more_proposal_draws_shrink_the_proposal_part():
    target = random_effects()
    plain, more = run(target), run(target, proposal_ratio=4.0)
    assert more.n_proposal == 4 * plain.n_proposal
    assert more.proposal_variance < plain.proposal_variance
    assert abs(more.logml - target.logml) < Z_LIMIT * more.mcse


def test_one_chain_is_enough():
    target = log_gamma(2)
    found = run(target, chains=1, draws=2000)
    assert abs(found.logml - target.logml) < Z_LIMIT * found.mcse < 0.1


def test_density_is_called_once_and_can_be_told_its_values_at_the_draws():
    target = random_effects()
    sizes = []

    def counted(points):
        sizes.append(len(points))
        return target.log_density(points)

    u = target.draw(np.random.default_rng(7), 4, 101)
    known = target.log_density(u.reshape(-1, 2)).reshape(4, 101)
    plain = warp3(counted, u, seed=7)
    told = warp3(counted, u, seed=7, draws_log_density=known)
    assert sizes == [4 * 404, 3 * 404]
    assert told == plain
    single = warp3(target.log_density, u, seed=7, crosswise=False)
    assert single == warp3(
        target.log_density, u, seed=7, crosswise=False, draws_log_density=known
    )


def test_same_seed_gives_the_same_result_and_another_seed_another_one():
    target = random_effects()
    u = target.draw(np.random.default_rng(8), 2, 200)
    by_int = warp3(target.log_density, u, seed=5)
    assert warp3(target.log_density, u, seed=5) == by_int
    assert warp3(target.log_density, u, seed=6).logml != by_int.logml
    by_sequence = warp3(target.log_density, u, seed=np.random.SeedSequence(5))
    by_generator = warp3(target.log_density, u, seed=np.random.default_rng(5))
    assert by_sequence == by_generator


def test_draws_made_with_the_seed_of_the_proposal_do_no_harm():
    # With one stream for both, this estimate is 11 standard errors off.
    target = normal(30)
    u = target.draw(np.random.default_rng(1), 4, 1000)
    found = warp3(target.log_density, u, seed=1)
    assert abs(found.logml - target.logml) < Z_LIMIT * found.mcse


def test_result_is_frozen():
    found = run(normal(1), draws=20)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.logml = 0.0


def test_parameters_that_are_almost_one_are_still_usable():
    # Correlation 1 - 1e-13: the floor on the eigenvalues makes the fit regular.
    rng = np.random.default_rng(9)
    e = rng.normal(size=(4, 500, 2))
    width = 5e-7
    u = np.stack([e[..., 0], e[..., 0] + width * e[..., 1]], axis=-1)

    def log_density(points):
        other = (points[:, 1] - points[:, 0]) / width
        return -0.5 * (points[:, 0] ** 2 + other**2)

    found = warp3(log_density, u, seed=9)
    assert np.isfinite(found.logml)
    truth = np.log(2 * np.pi) + np.log(width)
    assert abs(found.logml - truth) < Z_LIMIT * found.mcse


U = np.random.default_rng(10).normal(size=(2, 40, 2))


def spoiled(value, place):
    u = U.copy()
    u[place] = value
    return u


@pytest.mark.parametrize(
    ("draws", "options", "message"),
    [
        (U[0], {}, r"draws: expected shape \(chains, draws, D\)"),
        (U[:, :, :0], {}, "D >= 1"),
        (U[:, :15], {}, "at least 16 draws.*got 2 chains of 15"),
        (U[:0], {}, "got 0 chains"),
        (np.tile(U, 50), {}, "more than 101 draws in each half.*got 40"),
        (
            spoiled(np.nan, (1, 3, 1)),
            {"names": ["mu", "log_tau"]},
            'got nan at chain 1, draw 3, "log_tau"',
        ),
        (spoiled(np.inf, (0, 0, 0)), {}, r'got inf at chain 0, draw 0, "u\[0\]"'),
        (
            spoiled(0.3, (slice(None), slice(None), 1)),
            {"names": ["mu", "log_tau"]},
            'constant 0.3 at "log_tau"',
        ),
        (U, {"names": ["mu"]}, "names: expected 2 names; got 1"),
        (U, {"proposal_ratio": 0.0}, "proposal_ratio: expected a positive"),
        (U, {"proposal_ratio": np.nan}, "proposal_ratio: expected a positive"),
        (U, {"draws_log_density": np.zeros((2, 39))}, "draws_log_density: expected"),
    ],
)
def test_unusable_arguments_are_refused_with_their_place(draws, options, message):
    with pytest.raises(BridgeError, match=message):
        warp3(lambda u: -0.5 * (u**2).sum(axis=1), draws, seed=1, **options)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("crosswise", [True, False])
def test_density_that_is_not_finite_at_a_draw_is_named(value, crosswise):
    def log_density(points):
        at_draw = (points == U[1, 33]).all(axis=1)
        return np.where(at_draw, value, -0.5 * (points**2).sum(axis=1))

    with pytest.raises(BridgeError, match=rf"got {value} at chain 1, draw 33"):
        warp3(log_density, U, seed=1, crosswise=crosswise)


def test_infinite_density_away_from_the_draws_is_refused():
    known = -0.5 * (U**2).sum(axis=2)
    with pytest.raises(BridgeError, match="got inf at 120 of 120"):
        warp3(lambda u: np.full(len(u), np.inf), U, seed=1, draws_log_density=known)


def test_density_of_the_wrong_shape_is_refused():
    with pytest.raises(BridgeError, match=r"shape \(320,\); got shape \(320, 2\)"):
        warp3(lambda u: u, U, seed=1)
