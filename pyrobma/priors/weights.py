"""Stage 2: what can be asked of the prior of publication probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyrobma._types import FloatArray
from pyrobma.priors.distributions import Prior
from pyrobma.priors.drawing import Drawn
from pyrobma.priors.univariate import checked_size


class Weights(Drawn):
    """Density, probabilities, draws and moments of the weight of every interval.

    The last dimension of what they return has the J intervals of p-values, the most
    significant first; each is a marginal distribution, without the other weights.
    """

    __slots__ = ()

    @property
    def marginals(self) -> tuple[Prior, ...]:
        """The prior of the weight of each interval."""
        raise NotImplementedError

    def pdf(self, x: ArrayLike) -> FloatArray:
        """Return the density of every weight at values.

        Parameters
        ----------
        x : array_like
            Relative publication probabilities.

        Returns
        -------
        array of the shape of `x` and a last dimension of J
            Weights that are known, such as the first one, are spikes: inf at their
            location and 0 elsewhere.

        Raises
        ------
        PriorError
            As in `marginals`.
        """
        return self._each(lambda own: own.pdf(x))

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Return the probabilities that weights are at most `x`; else as `pdf`."""
        return self._each(lambda own: own.cdf(x))

    def quantile(self, p: ArrayLike) -> FloatArray:
        """Return quantiles of every weight.

        Parameters
        ----------
        p : array_like
            Probabilities from 0 to 1.

        Returns
        -------
        array of the shape of `p` and a last dimension of J

        Raises
        ------
        PriorError
            If a probability is outside [0, 1], or as in `marginals`.
        """
        return self._each(lambda own: own.quantile(p))

    def mean(self) -> FloatArray:
        """Return the mean weight of every interval, shape (J,); raises as `pdf`."""
        return self._each(lambda own: own.mean())

    def sd(self) -> FloatArray:
        """Return their standard deviations, shape (J,); raises as `pdf`."""
        return self._each(lambda own: own.sd())

    def sample(self, n: int, *, seed: int | None = None) -> FloatArray:
        """Return independent draws of all weights together.

        Parameters
        ----------
        n : int
            How many, at least 1.
        seed : int, optional
            Not negative; makes them reproducible. None draws one.

        Returns
        -------
        array of shape (n, J)
            Relative publication probabilities.

        Raises
        ------
        PriorError
            If `n` or `seed` is no such number.
        """
        return self._sample(*checked_size(n, seed))

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        raise NotImplementedError

    def _each(self, function: Callable[[Prior], Any]) -> FloatArray:
        return np.stack([np.asarray(function(own)) for own in self.marginals], axis=-1)
