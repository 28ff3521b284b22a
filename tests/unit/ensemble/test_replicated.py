"""Replicates of estimates: published clusters, in whatever way they are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pyrobma.ensemble.selected_draws import Selected, selected_draws

CUT, MEAN, SD, LOAD, RARE = 0.2, 0.1, 0.2, 0.3, 0.1
MC = 5.0  # standard errors of a share: once in two million by chance


def shares():
    """Of clusters with none, one and both above the cut, by bivariate integrals."""
    cov = [[SD**2 + LOAD**2, LOAD**2], [LOAD**2, SD**2 + LOAD**2]]
    both = stats.multivariate_normal.cdf([MEAN - CUT] * 2, [0, 0], cov)
    above = stats.norm.sf(CUT, MEAN, np.sqrt(cov[0][0]))
    masses = np.array([1 - 2 * above + both, 2 * (above - both), both])
    published = masses * [RARE**2, RARE, 1]
    return published / published.sum()


@pytest.mark.parametrize(("tries", "size"), [(0, 400), (1, 1500), (100, 40_000)])
def test_a_published_cluster_has_its_density_however_it_is_proposed(tries, size):
    ends = np.tile([-np.inf, CUT, np.inf], (2, 1))
    weights = np.tile(np.log([RARE, 1.0]), (size, 1))
    y = selected_draws(
        np.full((size, 2), MEAN), np.full((size, 2), SD), np.full((size, 2), LOAD),
        np.zeros(2, dtype=int), Selected(ends, weights), np.random.default_rng(3),
        tries=tries,
    )  # fmt: skip
    found = np.bincount((y > CUT).sum(axis=1), minlength=3) / size
    expected = shares()
    error = np.sqrt(expected * (1 - expected) / size)
    np.testing.assert_array_less(np.abs(found - expected), MC * error)


def test_what_is_hardly_ever_published_is_drawn_all_the_same():
    """Weights of 0 below a cut 30 standard deviations away."""
    ends = np.tile([-np.inf, 15.0, np.inf], (2, 1))
    weights = np.tile([-np.inf, 0.0], (3, 1))
    y = selected_draws(
        np.zeros((3, 2)), np.full((3, 2), SD), np.full((3, 2), LOAD),
        np.zeros(2, dtype=int), Selected(ends, weights), np.random.default_rng(1),
        tries=10,
    )  # fmt: skip
    assert (y > 15.0).all()
    assert (y < 16.0).all()
