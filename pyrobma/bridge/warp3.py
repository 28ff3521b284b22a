"""Warp-III bridge sampling from posterior draws and a log density."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pyrobma._mcmc import MIN_DRAWS_PER_CHAIN, effective_sample_size
from pyrobma._types import FloatArray
from pyrobma.bridge.iterate import iterate
from pyrobma.bridge.proposal import Proposal, fit_proposal
from pyrobma.bridge.result import BridgeResult, combine_passes
from pyrobma.errors import BridgeError

_STREAM = (0x77617270,)  # "warp" in ASCII


@dataclass(frozen=True, slots=True)
class _Pass:
    """One fitted proposal, and the points it is compared with the target at."""

    proposal: Proposal
    draws: FloatArray  # (chains, draws, D), not used in the fit
    normals: FloatArray  # (n_proposal, D)

    def new_points(self) -> FloatArray:
        """Return the mirrored draws, then the proposal draws and their mirrors."""
        mean = self.proposal.mean
        flat = self.draws.reshape(-1, mean.size)
        offsets = self.normals @ self.proposal.factor.T
        return np.concatenate([2.0 * mean - flat, mean + offsets, mean - offsets])


def warp3(
    log_density: Callable[[FloatArray], FloatArray],
    draws: FloatArray,
    *,
    seed: int | np.random.Generator | np.random.SeedSequence,
    draws_log_density: FloatArray | None = None,
    proposal_ratio: float = 1.0,
    crosswise: bool = True,
    names: Sequence[str] | None = None,
) -> BridgeResult:
    """Estimate the log normalising constant of a density from its draws.

    Parameters
    ----------
    log_density : callable
        Maps points of shape (n, D) to log densities of shape (n,), with every
        constant. NaN or ``-inf`` means density zero. Called once.
    draws : array of shape (chains, draws, D), D >= 1
        Draws from the normalised density on an unconstrained scale, in the chains'
        order; at least 16 in each chain, better ``100 * D`` in all.
    seed : int, numpy Generator or SeedSequence
        Source of the proposal draws. An int may be one used elsewhere; the other two
        must not have produced `draws`.
    draws_log_density : array of shape (chains, draws), optional
        Log density at `draws` if already known, to full precision; None evaluates it.
    proposal_ratio : float
        Proposal draws per iterated posterior draw, positive.
    crosswise : bool
        Use each half of the chains once to fit the proposal and once to iterate, and
        average. False fits to the first halves and iterates the second ones.
    names : sequence of D str, optional
        Parameter names for messages. None counts from ``u[0]``.

    Returns
    -------
    BridgeResult
        Look at `reasons` before using it; nothing is printed or warned here.

    Raises
    ------
    BridgeError
        If the draws are too few, not finite or constant in a parameter, if a log
        density at a draw is not finite, or is ``+inf`` anywhere.

    Notes
    -----
    With mean ``m`` and Cholesky factor ``L`` of the fitting draws, the target is
    replaced by the density of ``±inverse(L) (u - m)`` with a random sign,

    ``q(eta) <- |L| / 2 * (q(m - L eta) + q(m + L eta))``,

    which has the same constant and, like the standard normal proposal, mean 0,
    covariance I and no odd moments [1]_. The optimal bridge between the two is found
    by `iterate`, with the median effective sample size of the draws in its weights.

    References
    ----------
    .. [1] Meng X.-L., Schilling S. (2002). Warp bridge sampling. Journal of
       Computational and Graphical Statistics 11(3), 552-586.
    .. [2] Gronau Q. F., Wagenmakers E.-J., Heck D. W., Matzke D. (2019). A simple
       method for comparing complex models. Psychometrika 84, 261-284.
    .. [3] Micaletto G., Vehtari A. (2025). Bridge sampling diagnostics.
       arXiv:2508.14487

    Examples
    --------
    >>> import numpy as np
    >>> from pyrobma.bridge import warp3
    >>> draws = np.random.default_rng(1).normal(size=(4, 500, 2))
    >>> found = warp3(lambda u: -0.5 * (u**2).sum(axis=1), draws, seed=2)
    >>> round(found.logml, 2), found.mcse < 0.01, found.reliable  # log(2 pi) = 1.84
    (1.84, True, True)
    """
    draws = np.asarray(draws, dtype=np.float64)
    labels = _check_arguments(draws, proposal_ratio, names)
    half = draws.shape[1] // 2
    halves = [draws[:, :half], draws[:, half:]]
    rng = _generator(seed)
    passes = [_plan_pass(halves[0], halves[1], proposal_ratio, rng, labels)]
    if crosswise:
        passes.append(_plan_pass(halves[1], halves[0], proposal_ratio, rng, labels))

    # The draws' own density comes first; a single pass iterates the second halves only.
    n_skipped = 0 if crosswise else half
    used = draws[:, n_skipped:]
    batches = [p.new_points() for p in passes]
    if draws_log_density is None:
        batches.insert(0, used.reshape(-1, used.shape[2]))
    chunks = _evaluate(log_density, batches)
    if draws_log_density is None:
        at_used = chunks.pop(0).reshape(used.shape[:2])
    else:
        at_used = _check_known(draws_log_density, draws.shape[:2])[:, n_skipped:]
    _check_at_draws(at_used, n_skipped)
    n_zero_density = sum(_replace_zero_density(chunk) for chunk in chunks)

    at_halves = [at_used[:, half - n_skipped :], at_used[:, :half]]
    estimates = tuple(
        iterate(*_log_ratios(p, at_half, chunk), n_eff=_weight_size(p.draws))
        for p, at_half, chunk in zip(passes, at_halves, chunks, strict=False)
    )
    return combine_passes(estimates, draws.shape[2], n_zero_density)


def _evaluate(
    log_density: Callable[[FloatArray], FloatArray], batches: Sequence[FloatArray]
) -> list[FloatArray]:
    """Evaluate all batches of points in one call, and give each its values."""
    points = np.concatenate(batches)
    values = np.array(log_density(points), dtype=np.float64)
    if values.shape != (len(points),):
        raise BridgeError(
            f"log_density: expected values of shape ({len(points)},); got shape "
            f"{values.shape}. Return one log density for each point."
        )
    return np.split(values, np.cumsum([len(b) for b in batches])[:-1])


def _check_arguments(
    draws: FloatArray, proposal_ratio: float, names: Sequence[str] | None
) -> Sequence[str]:
    """Return the parameters' names."""
    if draws.ndim != 3 or draws.shape[2] < 1:
        raise BridgeError(
            "draws: expected shape (chains, draws, D) with D >= 1; got shape "
            f"{draws.shape}. A density without parameters needs no bridge."
        )
    dimension = draws.shape[2]
    labels = [f"u[{k}]" for k in range(dimension)] if names is None else names
    if len(labels) != dimension:
        raise BridgeError(
            f"names: expected {dimension} names; got {len(labels)}. Name every "
            "parameter of the draws, or none."
        )
    if draws.shape[0] < 1 or draws.shape[1] < 2 * MIN_DRAWS_PER_CHAIN:
        raise BridgeError(
            f"draws: expected at least {2 * MIN_DRAWS_PER_CHAIN} draws in at least "
            f"one chain; got {draws.shape[0]} chains of {draws.shape[1]}. Draw more."
        )
    if not 0 < proposal_ratio < math.inf:
        raise BridgeError(
            f"proposal_ratio: expected a positive number; got {proposal_ratio}. "
            "Give the proposal draws per posterior draw, for example 1."
        )
    bad = ~np.isfinite(draws)
    if bad.any():
        chain, draw, column = (int(i) for i in np.argwhere(bad)[0])
        raise BridgeError(
            f"draws: expected finite values; got {draws[chain, draw, column]} at "
            f'chain {chain}, draw {draw}, "{labels[column]}". Unconstrain draws '
            "stored with full precision."
        )
    return labels


def _generator(
    seed: int | np.random.Generator | np.random.SeedSequence,
) -> np.random.Generator:
    if isinstance(seed, (int, np.integer)):
        # A stream of its own: draws simulated with the same number would otherwise
        # be the proposal draws again, which biases the estimate.
        seed = np.random.SeedSequence(int(seed), spawn_key=_STREAM)
    return np.random.default_rng(seed)


def _plan_pass(
    fitting: FloatArray,
    iterated: FloatArray,
    proposal_ratio: float,
    rng: np.random.Generator,
    names: Sequence[str],
) -> _Pass:
    chains, length, dimension = iterated.shape
    proposal = fit_proposal(fitting.reshape(-1, dimension), names)
    size = max(2, round(proposal_ratio * chains * length))
    return _Pass(proposal, iterated, rng.standard_normal((size, dimension)))


def _check_known(values: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    known = np.asarray(values, dtype=np.float64)
    if known.shape != shape:
        raise BridgeError(
            f"draws_log_density: expected shape {shape}; got shape {known.shape}. Give "
            "one log density for each draw."
        )
    return known


def _check_at_draws(values: FloatArray, first_draw: int) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        chain, draw = (int(i) for i in np.argwhere(bad)[0])
        raise BridgeError(
            "log_density: expected finite values at the posterior draws; got "
            f"{values[chain, draw]} at chain {chain}, draw {first_draw + draw}. Check "
            "that the draws come from this density."
        )


def _replace_zero_density(values: FloatArray) -> int:
    """Turn NaN into ``-inf`` in place and return how many of both there are."""
    infinite = np.flatnonzero(values == np.inf)
    if infinite.size:
        raise BridgeError(
            "log_density: expected values below infinity; got inf at "
            f"{infinite.size} of {values.size} mirrored or proposal points. Use a "
            "parametrisation whose density is bounded."
        )
    values[np.isnan(values)] = -np.inf
    return int((values == -np.inf).sum())


def _log_ratios(
    plan: _Pass, at_draws: FloatArray, at_new: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the log ratios of the warped target to the standard normal."""
    proposal = plan.proposal
    dimension = proposal.mean.size
    constant = (
        proposal.log_determinant
        - math.log(2.0)
        + 0.5 * dimension * math.log(2.0 * math.pi)
    )
    eta = proposal.standardise(plan.draws.reshape(-1, dimension))
    at_mirrors, at_plus, at_minus = np.split(
        at_new, [len(eta), len(eta) + len(plan.normals)]
    )
    l1 = constant + np.logaddexp(at_draws.ravel(), at_mirrors)
    l1 += 0.5 * (eta**2).sum(axis=1)
    l2 = constant + np.logaddexp(at_plus, at_minus)
    l2 += 0.5 * (plan.normals**2).sum(axis=1)
    return l1.reshape(at_draws.shape), l2


def _weight_size(draws: FloatArray) -> float:
    """Return the effective number of draws for the bridge's weights."""
    return float(np.median(effective_sample_size(draws)))
