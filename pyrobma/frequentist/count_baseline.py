"""Likelihoods of the events of studies whose baselines are drawn from a normal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.counts.kernels import (
    NO_BASELINE,
    Derivatives,
    TwoBinomials,
    TwoPoissons,
    repeated,
)
from pyrobma.effects.counts import TwoGroups
from pyrobma.frequentist.count_integral import marginal


@dataclass(frozen=True, slots=True)
class RandomBaseline:
    """Events of two groups, baselines ``phi ~ Normal(centre, spread²)`` integrated.

    The coordinates of its derivatives are centre, spread and theta.

    Attributes
    ----------
    groups : TwoGroups
        Events of K studies.
    centre : array of shape (K,)
        Means of the baselines.
    spread : float
        Their standard deviation; its sign does not matter.
    nodes : int
        Number of points of the trapezoidal rule.
    """

    groups: TwoGroups
    centre: FloatArray
    spread: float
    nodes: int

    def at(self, theta: FloatArray, phi: FloatArray = NO_BASELINE) -> Derivatives:
        """Return the log likelihoods and their derivatives; `phi` is not used."""
        K, n = theta.shape
        given = _GivenEffect(repeated(self.groups, n))
        here = marginal(
            given, np.repeat(self.centre, n), self.spread, theta.ravel(), self.nodes
        )
        order = np.array([1, 2, 0])  # theta comes first there
        first, second = here.first[order], here.second[np.ix_(order, order)]
        return Derivatives(
            here.value.reshape(K, n),
            first.reshape(3, K, n),
            second.reshape(3, 3, K, n),
        )


@dataclass(frozen=True, slots=True)
class _GivenEffect:
    """The other way round: what kernels call theta is the baseline, and phi theta."""

    groups: TwoGroups

    def at(self, theta: FloatArray, phi: FloatArray) -> Derivatives:
        """Return the log likelihoods and their derivatives, in effect and baseline."""
        kernel = TwoPoissons if self.groups.rates else TwoBinomials
        here = kernel(self.groups).at(phi, theta)
        return Derivatives(here.value, here.first[::-1], here.second[::-1, ::-1])
