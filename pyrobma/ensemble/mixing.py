"""Stage 5: model-averaged posteriors as weighted mixtures of draws and spikes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pyrobma._mcmc import effective_sample_size
from pyrobma._numerics import weighted_quantiles
from pyrobma._types import FloatArray
from pyrobma.ensemble.logml_errors import LogmlErrors
from pyrobma.ensemble.quantiles import errors_of_quantiles

_TOGETHER = 64  # models: a few megabytes of their draws


@dataclass(frozen=True)  # no slots: the means are found once and kept
class Mixture:
    """The posterior of one parameter, averaged over models.

    Attributes
    ----------
    probabilities : array of shape (M,)
        Posterior probability of each model, summing to one.
    draws : tuple of M arrays, each of shape (chains, draws)
        One draw stands for a spike.
    errors : LogmlErrors
        Of the models' log marginal likelihoods; models of one group have the same
        draws.
    factors : tuple of M floats, optional
        What the Monte Carlo errors of the models' means are multiplied by, because a
        mean missed its check (`Fit.mean_factors`). None: all 1.
    """

    probabilities: FloatArray
    draws: tuple[FloatArray, ...]
    errors: LogmlErrors
    factors: tuple[float, ...] | None = None

    def mean(self) -> float:
        """Return the mean over models and draws."""
        return float(self.probabilities @ self._means)

    def sd(self) -> float:
        """Return the standard deviation over models and draws."""
        second = math.fsum(
            p * float((d**2).mean())
            for p, d in zip(self.probabilities.tolist(), self.draws, strict=True)
            if p > 0
        )
        return math.sqrt(max(second - self.mean() ** 2, 0.0))

    def quantiles(self, probs: Sequence[float] | FloatArray) -> FloatArray:
        """Return quantiles; every draw weighs its model's probability over its number.

        Parameters
        ----------
        probs : sequence of float in [0, 1]

        Returns
        -------
        array of shape (len(probs),)
        """
        kept = np.flatnonzero(self.probabilities > 0)
        some = [self.draws[k].ravel() for k in kept]
        sizes = np.array([draws.size for draws in some])
        shares = self.probabilities[kept] / sizes
        return weighted_quantiles(np.concatenate(some), np.repeat(shares, sizes), probs)

    def quantile_errors(self, probs: Sequence[float]) -> FloatArray:
        """Return the Monte Carlo standard errors of quantiles.

        Parameters
        ----------
        probs : sequence of float in [0, 1]

        Returns
        -------
        array of shape (len(probs),)
            0 where the quantile is an atom, a spike of some models, that no error of
            its probability moves it from; NaN for the extremes, 0 and 1.

        Notes
        -----
        A quantile x of probability p errs as much as the distribution function there:
        with its Monte Carlo standard error e at x, half the distance of the quantiles
        of p - e and p + e (Vehtari et al. 2021, doi:10.1214/20-BA1221, for draws of
        one posterior).
        """
        levels = np.asarray(probs, dtype=np.float64)
        errors = np.array(
            [self.probability_error(x) for x in self.quantiles(levels).tolist()]
        )
        return errors_of_quantiles(levels, errors, self.quantiles)

    def probability_error(self, value: float) -> float:
        """Return the Monte Carlo standard error of P(parameter <= value)."""
        below = self.transformed(lambda draws: (draws <= value).astype(np.float64))
        return below.mcse()

    def mcse(self) -> float:
        """Return the Monte Carlo standard error of the mean.

        Notes
        -----
        The models' probabilities and their means both have errors: p_k (m_k - m) times
        the error of the k-th log marginal likelihood, and p_k times the error of m_k.
        """
        # Relative to one of them: a parameter that is equal everywhere has no error.
        counts = int(np.argmax(self.probabilities > 0))
        means = self._means - self.draws[counts].flat[0]
        gradient = self.probabilities * (means - self.probabilities @ means)
        from_weights = self.errors.of(gradient)
        group = self.errors.group
        shares = np.bincount(group, self.probabilities)
        used = np.flatnonzero(shares)
        factors = np.ones(len(self.draws)) if self.factors is None else self.factors
        from_draws = (
            shares[used]
            * np.asarray(factors)[used]
            * _mean_errors([self.draws[k] for k in used])
        )
        return math.sqrt(from_weights**2 + math.fsum(from_draws**2))

    def transformed(self, function: Callable[[FloatArray], FloatArray]) -> Mixture:
        """Return the mixture with every draw mapped."""
        return Mixture(
            self.probabilities,
            tuple(function(d) for d in self.draws),
            self.errors,
            self.factors,
        )

    @cached_property
    def _means(self) -> FloatArray:
        # What ndarray.mean does, without its overhead of some microseconds a model.
        # That of a model without probability does not count, even if it is infinite.
        return np.array(
            [
                np.add.reduce(d, axis=None) / d.size if p > 0 else 0.0
                for p, d in zip(self.probabilities, self.draws, strict=True)
            ]
        )


def _mean_errors(draws: Sequence[FloatArray]) -> FloatArray:
    """Return the Monte Carlo standard errors of the means of chains, one per model."""
    errors = np.zeros(len(draws))
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for k, some in enumerate(draws):
        if some.size > 1:
            by_shape.setdefault(some.shape, []).append(k)
    for places in by_shape.values():
        # Chains of one length together: a Fourier transform each would be slower.
        for start in range(0, len(places), _TOGETHER):
            block = np.array(places[start : start + _TOGETHER])
            stacked = np.stack([draws[k] for k in block], axis=2)
            vary = np.ptp(stacked, axis=(0, 1)) > 0
            if vary.any():
                stacked = stacked[:, :, vary]
                size = effective_sample_size(stacked)
                errors[block[vary]] = stacked.std(axis=(0, 1), ddof=1) / np.sqrt(size)
    return errors


def allocate(probabilities: FloatArray, n: int) -> FloatArray:
    """Return how many of `n` equally weighted draws each model gets.

    Largest remainders, so that the counts sum to `n`.
    """
    exact = probabilities * n
    counts = np.floor(exact)
    short = n - int(counts.sum())
    counts[np.argsort(-(exact - counts), kind="stable")[:short]] += 1
    return counts
