"""Stage 5: model-averaged posteriors as weighted mixtures of draws and spikes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pyrobma._mcmc import effective_sample_size
from pyrobma._types import FloatArray


@dataclass(frozen=True, slots=True)
class Mixture:
    """The posterior of one parameter, averaged over models.

    Attributes
    ----------
    probabilities : array of shape (M,)
        Posterior probability of each model, summing to one.
    draws : tuple of M arrays, each of shape (chains, draws)
        One draw stands for a spike.
    covariance : array of shape (M, M)
        Covariance of the errors of the models' log marginal likelihoods.
    shared : tuple of int, optional
        Models with the same number have the same draws; the number is the place of
        the first of them. None: no two have.
    factors : tuple of float, optional
        What the Monte Carlo errors of the models' means are multiplied by, because a
        mean missed its check (`Fit.mean_factors`). None: all 1.
    """

    probabilities: FloatArray
    draws: tuple[FloatArray, ...]
    covariance: FloatArray
    shared: tuple[int, ...] | None = None
    factors: tuple[float, ...] | None = None

    def mean(self) -> float:
        """Return the mean over models and draws."""
        return float(self.probabilities @ self._means())

    def sd(self) -> float:
        """Return the standard deviation over models and draws."""
        second = np.array([float((d**2).mean()) for d in self.draws])
        return float(np.sqrt(max(self.probabilities @ second - self.mean() ** 2, 0.0)))

    def quantiles(self, probs: Sequence[float]) -> FloatArray:
        """Return quantiles; every draw weighs its model's probability over its number.

        Parameters
        ----------
        probs : sequence of float in [0, 1]

        Returns
        -------
        array of shape (len(probs),)
        """
        kept = [k for k, p in enumerate(self.probabilities) if p > 0]
        values = np.concatenate([self.draws[k].ravel() for k in kept])
        weights = np.concatenate(
            [
                np.full(self.draws[k].size, self.probabilities[k] / self.draws[k].size)
                for k in kept
            ]
        )
        result: FloatArray = np.quantile(
            values, probs, weights=weights, method="inverted_cdf"
        )
        return result

    def mcse(self) -> float:
        """Return the Monte Carlo standard error of the mean.

        Notes
        -----
        The models' probabilities and their means both have errors: p_k (m_k - m) times
        the error of the k-th log marginal likelihood, and p_k times the error of m_k.
        """
        # Relative to one of them: a parameter that is equal everywhere has no error.
        means = self._means() - self.draws[0].flat[0]
        gradient = self.probabilities * (means - self.probabilities @ means)
        from_weights = gradient @ self.covariance @ gradient
        groups = self.shared or tuple(range(len(self.draws)))
        factors = self.factors or (1.0,) * len(self.draws)
        shares = {
            g: float(self.probabilities[np.equal(groups, g)].sum()) for g in set(groups)
        }
        from_draws = math.fsum(
            (share * factors[g] * _mean_error(self.draws[g])) ** 2
            for g, share in sorted(shares.items())
            if share > 0
        )
        return math.sqrt(max(float(from_weights), 0.0) + from_draws)

    def transformed(self, function: Callable[[FloatArray], FloatArray]) -> Mixture:
        """Return the mixture with every draw mapped."""
        return Mixture(
            self.probabilities,
            tuple(function(d) for d in self.draws),
            self.covariance,
            self.shared,
            self.factors,
        )

    def _means(self) -> FloatArray:
        return np.array([float(d.mean()) for d in self.draws])


def _mean_error(draws: FloatArray) -> float:
    if np.ptp(draws) == 0:
        return 0.0
    size = effective_sample_size(draws[:, :, None])[0]
    return float(draws.std(ddof=1) / np.sqrt(size))


def allocate(probabilities: FloatArray, n: int) -> FloatArray:
    """Return how many of `n` equally weighted draws each model gets.

    Largest remainders, so that the counts sum to `n`.
    """
    exact = probabilities * n
    counts = np.floor(exact)
    short = n - int(counts.sum())
    counts[np.argsort(-(exact - counts), kind="stable")[:short]] += 1
    return counts
