"""Importance sampling from a mixture that grows where it is missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.bridge.diagnostics import pareto_k
from pyrobma.bridge.modes import Mode, log_t, or_zero

_DF = 6.0
_WIDER = 1.3  # Laplace approximations are narrower than most posteriors
_NEIGHBOURS = 0.1
_COUNTS = 1e-16


@dataclass(frozen=True, slots=True)
class MixtureProposal:
    """A mixture of multivariate t distributions.

    Attributes
    ----------
    shares : array of shape (C,)
        Probability of each, summing to one.
    centres : array of shape (C, D)
    factors : array of shape (C, D, D)
        Lower triangular or not; ``factor @ factor.T`` is the scale matrix.
    """

    shares: FloatArray
    centres: FloatArray
    factors: FloatArray

    def sample(self, rng: np.random.Generator, n: int) -> FloatArray:
        """Return `n` independent draws, shape (n, D)."""
        which = rng.choice(len(self.shares), size=n, p=self.shares)
        normal = _standard(rng, n, self.centres.shape[1])
        offset = np.einsum("nij,nj->ni", self.factors[which], normal)
        return np.asarray(self.centres[which] + offset)

    def log_density(self, points: FloatArray) -> FloatArray:
        """Return its log density at points of shape (n, D)."""
        each = np.stack(
            [
                log_t(points, centre, factor, _DF)
                for centre, factor in zip(self.centres, self.factors, strict=True)
            ]
        )
        return np.asarray(
            np.logaddexp.reduce(each + np.log(self.shares)[:, None], axis=0)
        )


@dataclass(frozen=True, slots=True)
class ImportanceResult:
    """A normalising constant by importance sampling.

    Attributes
    ----------
    logml, error : float
        Log of the constant and its Monte Carlo standard error.
    pareto_k : float
        Of the weights; above 0.7 neither can be trusted.
    points : array of shape (n, D)
        All draws.
    weights : array of shape (n,)
        Normalised.
    proposal : MixtureProposal
        Where they came from, all steps together.
    evaluations : int
        Number of log densities computed.
    """

    logml: float
    error: float
    pareto_k: float
    points: FloatArray
    weights: FloatArray
    proposal: MixtureProposal
    evaluations: int

    def mean(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return posterior means of functions at `points`, (n, M), and their errors."""
        # Far draws that count for nothing may be infinite, as exp(800) is.
        counts = self.weights > _COUNTS
        weights, values = self.weights[counts], values[counts]
        mean = weights @ values
        with np.errstate(over="ignore", invalid="ignore"):
            terms = weights[:, None] * (values - mean)
            error = np.sqrt((terms**2).sum(axis=0))
        return mean, np.where(np.isfinite(error), error, np.inf)


def importance(
    log_density: Callable[[FloatArray], FloatArray],
    modes: Sequence[Mode],
    rng: np.random.Generator,
    *,
    enough: float = 1500.0,
    step: int = 400,
    most: int = 12_000,
) -> ImportanceResult:
    """Estimate a normalising constant without Markov chains.

    Parameters
    ----------
    log_density : callable
        Maps points of shape (n, D) to log densities of shape (n,).
    modes : sequence of Mode
        Where to begin.
    rng : numpy Generator
    enough : float
        Effective sample size of the weights at which to stop.
    step : int
        Draws from each new component.
    most : int
        Largest number of evaluations.

    Returns
    -------
    ImportanceResult

    Notes
    -----
    Incremental mixture importance sampling [1]_: begins with t distributions at the
    modes, and adds one at the point of the largest weight, shaped like the posterior
    around it, until the weights are even. All draws are weighted by the whole mixture,
    in proportion to how many came from each component.

    References
    ----------
    .. [1] Raftery A. E., Bao L. (2010). Estimating and projecting trends in HIV/AIDS
       generalized epidemics using incremental mixture importance sampling.
       Biometrics 66(4). doi:10.1111/j.1541-0420.2010.01399.x
    """
    mass = np.array([mode.log_mass for mode in modes])
    share = np.exp(mass - np.logaddexp.reduce(mass))
    # No mode is left out, however little its Laplace approximation gives to it.
    share = 0.9 * share + 0.1 / len(modes)
    counts = np.maximum(np.rint(3 * step * share), 30).astype(int)
    centres = [mode.point for mode in modes]
    factors = [_WIDER * mode.factor for mode in modes]
    scale = modes[int(mass.argmax())].factor
    points = np.concatenate(
        [
            _draw(rng, int(n), c, f)
            for n, c, f in zip(counts, centres, factors, strict=True)
        ]
    )
    sizes = [int(n) for n in counts]
    values = or_zero(log_density(points))
    each = [log_t(points, c, f, _DF) for c, f in zip(centres, factors, strict=True)]
    while True:
        total = np.logaddexp.reduce(
            np.stack(each) + np.log(np.array(sizes) / len(points))[:, None], axis=0
        )
        log_weight = values - total
        top = float(log_weight.max())
        relative = np.exp(log_weight - top)
        weights = relative / relative.sum()
        size = 1.0 / float((weights**2).sum())
        if (size >= enough and pareto_k(relative) < 0.5) or len(points) + step > most:
            break
        centre, factor = _around(points, weights, scale)
        new = _draw(rng, step, centre, factor)
        centres.append(centre)
        factors.append(factor)
        sizes.append(step)
        each = [
            np.concatenate([old, log_t(new, c, f, _DF)])
            for old, c, f in zip(each, centres, factors, strict=False)
        ]
        points = np.concatenate([points, new])
        each.append(log_t(points, centre, factor, _DF))
        values = np.concatenate([values, or_zero(log_density(new))])
    return _result(points, log_weight, centres, factors, sizes)


def _result(
    points: FloatArray,
    log_weight: FloatArray,
    centres: list[FloatArray],
    factors: list[FloatArray],
    sizes: list[int],
) -> ImportanceResult:
    top = float(log_weight.max())
    relative = np.exp(log_weight - top)
    mean = float(relative.mean())
    variance = float(relative.var()) / mean**2 / len(relative)
    return ImportanceResult(
        top + math.log(mean),
        math.sqrt(math.log1p(variance)),
        pareto_k(relative),
        points,
        relative / relative.sum(),
        MixtureProposal(
            np.array(sizes) / sum(sizes), np.array(centres), np.array(factors)
        ),
        len(points),
    )


def _around(
    points: FloatArray, weights: FloatArray, scale: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return a component at the largest weight, shaped like its neighbourhood."""
    best = int(weights.argmax())
    centre = points[best]
    z = np.linalg.solve(scale, (points - centre).T)
    distance = (z**2).sum(axis=0)
    count = max(int(_NEIGHBOURS * len(points)), 5 * len(centre))
    near = np.argpartition(distance, count)[:count]
    local = 0.5 * (weights[near] + 1.0 / len(points))
    offset = z[:, near]
    spread = (local * offset) @ offset.T / local.sum()
    spread += 1e-6 * np.trace(spread) / len(centre) * np.eye(len(centre))
    return centre, scale @ np.linalg.cholesky(spread)


def _standard(rng: np.random.Generator, n: int, dimension: int) -> FloatArray:
    normal = rng.standard_normal((n, dimension))
    return np.asarray(normal / np.sqrt(rng.chisquare(_DF, size=(n, 1)) / _DF))


def _draw(
    rng: np.random.Generator, n: int, centre: FloatArray, factor: FloatArray
) -> FloatArray:
    return centre + _standard(rng, n, len(centre)) @ factor.T
