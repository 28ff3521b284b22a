"""Stage 2: what can be asked of the prior of one number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pyrobma._types import FloatArray
from pyrobma._validate import is_whole
from pyrobma.errors import PriorError
from pyrobma.priors.density import cdf, log_density, quantile, random
from pyrobma.priors.drawing import Drawn
from pyrobma.priors.moments import mean, sd

if TYPE_CHECKING:
    from pyrobma.priors.distributions import Prior


class Univariate(Drawn):
    """Density, probabilities, quantiles, draws and moments of the prior of one number.

    They are for figures, checks and simulations: in a fit the Stan programs hold the
    densities. A number is answered with a number, an array with one of its shape.
    """

    __slots__ = ()

    @property
    def _distribution(self) -> Prior:
        raise NotImplementedError

    def pdf(self, x: ArrayLike) -> FloatArray:
        """Return the density at values.

        Parameters
        ----------
        x : array_like
            In the unit of the parameter.

        Returns
        -------
        float, or array of the shape of `x`
            Per unit of the parameter, renormalised to the truncation: 0 outside of it,
            NaN at NaN. A spike is inf at its location and 0 elsewhere: its probability
            is no area, see `cdf`.
        """
        return np.asarray(np.exp(self.logpdf(x)))[()]

    def logpdf(self, x: ArrayLike) -> FloatArray:
        """Return the natural log of `pdf`, -inf where that is 0."""
        own = self._distribution
        if not own.is_spike:
            return log_density(own, x)[()]
        points = np.asarray(x, dtype=np.float64)
        at = np.where(points == own.location, np.inf, -np.inf)
        return np.where(np.isnan(points), np.nan, at)[()]

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Return the probability of values up to `x`.

        Parameters
        ----------
        x : array_like
            In the unit of the parameter.

        Returns
        -------
        float, or array of the shape of `x`
            From 0 to 1; NaN at NaN. That of a spike jumps from 0 to 1 at its location.
        """
        return cdf(self._distribution, x)[()]

    def quantile(self, p: ArrayLike) -> FloatArray:
        """Return the values below which there are probabilities.

        Parameters
        ----------
        p : array_like
            From 0 to 1; 0 and 1 are the ends of the truncation.

        Returns
        -------
        float, or array of the shape of `p`
            In the unit of the parameter; all quantiles of a spike are its location.

        Raises
        ------
        PriorError
            If a probability is outside [0, 1], or the truncation lies so far out in a
            tail that it keeps less than 1e-290 of the distribution.
        """
        return quantile(self._distribution, p)[()]

    def sample(self, n: int, *, seed: int | None = None) -> FloatArray:
        """Return independent draws.

        Parameters
        ----------
        n : int
            How many, at least 1.
        seed : int, optional
            Not negative; makes them reproducible. None draws one.

        Returns
        -------
        array of shape (n,)
            In the unit of the parameter.

        Raises
        ------
        PriorError
            If `n` or `seed` is no such number, or as in `quantile`.
        """
        return random(self._distribution, *checked_size(n, seed))

    def mean(self) -> float:
        """Return the mean.

        Returns
        -------
        float
            In the unit of the parameter. ±inf where one tail is too heavy for a mean,
            NaN where both are, as those of a Cauchy that is not truncated.

        Raises
        ------
        PriorError
            Of a truncated prior, as in `quantile`.
        """
        return mean(self._distribution)

    def sd(self) -> float:
        """Return the standard deviation.

        Returns
        -------
        float
            In the unit of the parameter; 0 for a spike. NaN without a finite mean, inf
            where a tail is too heavy for a variance.

        Raises
        ------
        PriorError
            As in `mean`.
        """
        return sd(self._distribution)


def checked_size(n: int, seed: int | None) -> tuple[int, np.random.Generator]:
    """Return a number of draws and where they come from; raise PriorError if wrong."""
    if not is_whole(n, 1):
        raise PriorError(f"n: expected a whole number of at least 1; got {n!r}.")
    if seed is not None and not is_whole(seed, 0):
        raise PriorError(
            f"seed: expected a whole number of at least 0, or None; got {seed!r}."
        )
    return n, np.random.default_rng(seed)
