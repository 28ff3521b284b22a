"""Markov chains whose proposals do not depend on where they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.bridge.iterate import iterate
from pyrobma.bridge.modes import or_zero
from pyrobma.bridge.result import BridgeResult, combine_passes

_THIN = 2
_START = 64


class Proposal(Protocol):
    """A distribution with a known density that resembles the target."""

    def sample(self, rng: np.random.Generator, n: int) -> FloatArray:
        """Return `n` independent draws, shape (n, D)."""

    def log_density(self, points: FloatArray) -> FloatArray:
        """Return its log density at points of shape (n, D)."""


@dataclass(frozen=True, slots=True)
class IndependentChains:
    """Draws by an independence sampler, and the bridge between both distributions.

    Attributes
    ----------
    points : array of shape (chains, draws, D)
    log_density : array of shape (chains, draws)
        Of the target, at the points.
    bridge : BridgeResult
        The target's normalising constant.
    """

    points: FloatArray
    log_density: FloatArray
    bridge: BridgeResult


def independence_chains(
    log_density: Callable[[FloatArray], FloatArray],
    proposal: Proposal,
    seed: np.random.SeedSequence,
    chains: int,
    draws: int,
) -> IndependentChains:
    """Draw from a density by proposals from a good approximation to it.

    Parameters
    ----------
    log_density : callable
        Maps points of shape (n, D) to log densities of shape (n,).
    proposal : Proposal
        Wherever the target has mass, so has it.
    seed : SeedSequence
    chains, draws : int
        Size of the result.

    Returns
    -------
    IndependentChains

    Notes
    -----
    Metropolis-Hastings with independent proposals jumps between modes as easily as
    within them [1]_. Fresh proposals are the second sample of the optimal bridge; the
    draws are a Markov chain, and their error counts as such.

    References
    ----------
    .. [1] Tierney L. (1994). Markov chains for exploring posterior distributions.
       Annals of Statistics 22(4). doi:10.1214/aos/1176325750
    """
    rng = np.random.default_rng(seed)
    steps = draws * _THIN + _START
    points = proposal.sample(rng, chains * steps)
    value = or_zero(log_density(points))
    ratio = value - proposal.log_density(points)
    ratios = ratio.reshape(chains, steps)
    # The best of the first proposals: a chain must not begin where nothing is.
    noise = rng.gumbel(size=(chains, _START))
    state = np.argmax(ratios[:, :_START] + noise, axis=1)
    uniform = np.log(rng.uniform(size=(chains, steps)))
    every = np.arange(chains)
    chosen = np.empty((chains, draws), dtype=np.int64)
    for step in range(_START, steps):
        accepted = uniform[:, step] < ratios[:, step] - ratios[every, state]
        state = np.where(accepted, step, state)
        if (step - _START) % _THIN == _THIN - 1:
            chosen[:, (step - _START) // _THIN] = state
    flat = every[:, None] * steps + chosen
    # The bridge wants two independent samples: fresh proposals for its other side.
    fresh = proposal.sample(rng, chains * draws)
    at_fresh = or_zero(log_density(fresh))
    l2 = at_fresh - proposal.log_density(fresh)
    l1 = np.take_along_axis(ratios, chosen, axis=1)
    one = iterate(l1, l2)
    n_zero = int((~np.isfinite(at_fresh)).sum())
    bridge = combine_passes((one,), points.shape[1], n_zero)
    return IndependentChains(points[flat], value[flat], bridge)
