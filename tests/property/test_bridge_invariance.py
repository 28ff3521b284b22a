"""What must not change a bridge estimate, for any density and any map."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaincinv, ndtr

from pyrobma.bridge import warp3

ROUNDING = 1e-8  # only the order of floating-point operations differs

seeds = st.integers(0, 2**32 - 1)
dimensions = st.integers(1, 4)
cheap = settings(max_examples=25, deadline=None, derandomize=True)


def log_density(u):
    """Log-gamma(2) coordinates: skewed, so that mirroring matters; log constant 0."""
    return (2 * u - np.exp(u)).sum(axis=1)


def make_draws(seed, dimension, draws=60):
    e = np.random.default_rng(seed).standard_normal((3, draws, dimension))
    return np.log(gammaincinv(2.0, ndtr(e)))


def same(first, second, shift=0.0):
    assert abs(first.logml + shift - second.logml) < ROUNDING * max(1.0, abs(shift))
    assert abs(first.mcse - second.mcse) < ROUNDING


@cheap
@given(seeds, dimensions, st.floats(-1e4, 1e4))
def test_a_constant_in_the_density_moves_the_estimate_by_itself(seed, dim, shift):
    u = make_draws(seed, dim)
    plain = warp3(log_density, u, seed=seed)
    same(plain, warp3(lambda x: log_density(x) + shift, u, seed=seed), shift)


def mapped(factor, offset):
    """Return the density and the draws' map for v = factor u + offset."""
    log_jacobian = np.linalg.slogdet(factor)[1]

    def density(v):
        return log_density(np.linalg.solve(factor, (v - offset).T).T) - log_jacobian

    return density, lambda u: u @ factor.T + offset


@cheap
@given(seeds, dimensions)
def test_scaling_and_moving_parameters_leaves_the_estimate_as_it_is(seed, dim):
    rng = np.random.default_rng([seed, 1])
    factor = np.diag(np.exp(rng.normal(size=dim)))
    density, to_new = mapped(factor, 10 * rng.normal(size=dim))
    u = make_draws(seed, dim)
    plain = warp3(log_density, u, seed=seed)
    same(plain, warp3(density, to_new(u), seed=seed))


@cheap
@given(seeds, st.integers(2, 4))
def test_linear_maps_change_the_estimate_by_no_more_than_its_error(seed, dim):
    # They turn the Cholesky factor and change the effective sample sizes in the
    # weights: another estimate of the same constant.
    rng = np.random.default_rng([seed, 2])
    density, to_new = mapped(rng.normal(size=(dim, dim)), rng.normal(size=dim))
    u = make_draws(seed, dim)
    plain = warp3(log_density, u, seed=seed)
    turned = warp3(density, to_new(u), seed=seed)
    error = np.hypot(plain.mcse, turned.mcse)
    assert abs(plain.logml - turned.logml) < 4 * error


@cheap
@given(seeds, dimensions, st.permutations([0, 1, 2]))
def test_the_order_of_the_chains_does_not_matter(seed, dim, order):
    u = make_draws(seed, dim)
    plain = warp3(log_density, u, seed=seed)
    same(plain, warp3(log_density, u[order], seed=seed))


@cheap
@given(seeds, dimensions)
def test_the_same_seed_repeats_the_result_exactly(seed, dim):
    u = make_draws(seed, dim)
    assert warp3(log_density, u, seed=seed) == warp3(log_density, u, seed=seed)
