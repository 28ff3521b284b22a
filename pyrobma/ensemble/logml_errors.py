"""Stage 5: the Monte Carlo errors of log marginal likelihoods, and what they do."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np

from pyrobma._numerics import log_sums_of_others, sums_of_others
from pyrobma._types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class LogmlErrors:
    """Errors of the models' log marginal likelihoods.

    Models that share one fit have one error and one set of draws; the errors of all
    others are independent. So the covariance matrix is known by its groups, and
    nothing has to be quadratic in the number of models.

    Attributes
    ----------
    sd : array of shape (M,)
        Standard errors.
    group : array of int, shape (M,)
        Models that share one fit have the same number: the place of the first of them.
    """

    sd: FloatArray
    group: IntArray

    @classmethod
    def independent(cls, sd: FloatArray) -> LogmlErrors:
        """Return the errors of models each of which has a fit of its own."""
        return cls(np.asarray(sd, dtype=np.float64), np.arange(len(sd)))

    @classmethod
    def shared(cls, sd: FloatArray, keys: Iterable[Hashable]) -> LogmlErrors:
        """Return the errors of models that share a fit where they share a key."""
        first: dict[Hashable, int] = {}
        group = [first.setdefault(key, place) for place, key in enumerate(keys)]
        return cls(np.asarray(sd, dtype=np.float64), np.array(group, dtype=np.int64))

    def of(self, gradient: FloatArray) -> float:
        """Return the standard error of a function of the log marginal likelihoods.

        Parameters
        ----------
        gradient : array of shape (M,)
            Its derivatives.

        Returns
        -------
        float
            First order: sqrt(g'Vg), the root of Σ_G (Σ_{k in G} g_k e_k)² over groups.
        """
        sums = np.bincount(self.group, gradient * self.sd)
        return float(np.sqrt(sums @ sums))

    def of_probabilities(self, post_prob: FloatArray) -> FloatArray:
        """Return the standard errors of posterior model probabilities, shape (M,).

        Notes
        -----
        First order: the Jacobian is p_k (δ_kj − p_j).
        """
        parts = post_prob * self.sd
        sums = np.zeros(len(parts))
        np.add.at(sums, self.group, parts)
        own = self.sd - sums[self.group]
        others = sums_of_others(sums**2)[self.group]
        return np.asarray(post_prob * np.sqrt(own**2 + others))

    def of_log_odds(self, log_weights: FloatArray) -> FloatArray:
        """Return the standard errors of the log odds of every model against the rest.

        Parameters
        ----------
        log_weights : array of shape (M,)
            Natural logs of what the models weigh, up to a common constant.

        Returns
        -------
        array of shape (M,)
            NaN where no other model weighs anything.

        Notes
        -----
        The derivatives of model k's log odds are 1 for itself and −w_j / Σ_{i ≠ k} w_i
        for another; their sums by group are taken on the log scale, because one model
        may outweigh all others by more than a float can hold.
        """
        with np.errstate(divide="ignore"):
            parts = log_weights + np.log(self.sd)
        sums = np.full(len(parts), -np.inf)
        np.logaddexp.at(sums, self.group, parts)
        same = np.full(len(parts), -np.inf)
        size = np.bincount(self.group, minlength=len(parts))
        order = np.argsort(self.group, kind="stable")
        ends = np.cumsum(size)
        for first in np.flatnonzero(size > 1):
            some = order[ends[first] - size[first] : ends[first]]
            same[some] = log_sums_of_others(parts[some])
        rest = log_sums_of_others(log_weights)
        others = log_sums_of_others(2 * sums)[self.group]
        with np.errstate(invalid="ignore"):
            own = self.sd - np.exp(same - rest)
            return np.asarray(np.sqrt(own**2 + np.exp(others - 2 * rest)))
