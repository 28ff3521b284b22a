"""The bridge iteration on log ratios, and the error of its fixed point."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pyrobma._mcmc import MIN_DRAWS_PER_CHAIN, effective_sample_size
from pyrobma._types import FloatArray
from pyrobma.bridge.diagnostics import pareto_k
from pyrobma.errors import BridgeError


@dataclass(frozen=True, slots=True)
class Iteration:
    """One bridge estimate from one set of posterior and proposal draws.

    Attributes
    ----------
    logml : float
        Log normalising constant (natural log).
    proposal_variance, posterior_variance : float
        The two parts of the relative variance of ``exp(logml)``: from the proposal
        draws and from the posterior draws.
    n_posterior, n_proposal : int
        Number of posterior and of proposal draws.
    n_eff : float
        Effective number of posterior draws that set the bridge's weights.
    ess_f2 : float
        Effective sample size of the posterior draws' terms.
    overlap : float
        Mean of the terms: 1 if proposal and target coincide, 0 if they are disjoint.
    pareto_k_f1, pareto_k_f2 : float
        Pareto k of the proposal draws' and of the posterior draws' terms.
    iterations : int
        Steps of the fixed-point scheme.
    converged : bool
        False if the fixed-point scheme hit its cap and the root was bracketed
        instead; the value is as good.
    """

    logml: float
    proposal_variance: float
    posterior_variance: float
    n_posterior: int
    n_proposal: int
    n_eff: float
    ess_f2: float
    overlap: float
    pareto_k_f1: float
    pareto_k_f2: float
    iterations: int
    converged: bool

    @property
    def mcse(self) -> float:
        """Monte Carlo standard error of `logml`."""
        return log_scale_error(self.proposal_variance + self.posterior_variance)

    @property
    def posterior_weight(self) -> float:
        """Weight s1 of the target in the bridge, in (0, 1)."""
        return self.n_eff / (self.n_eff + self.n_proposal)

    @property
    def unseen_error(self) -> float:
        """Largest credible change of `logml` by regions that no draw has visited.

        Notes
        -----
        A region of probability p under the proposal adds at most ``p / s1`` to the
        mean of the terms, one of probability p under the target ``p / s2``. A region
        without any of n independent draws has p below ``3 / n`` with 95 % confidence,
        so that both come to ``3 (1 / n_eff + 1 / n_proposal) / overlap``.
        """
        return 3.0 * (1.0 / self.n_eff + 1.0 / self.n_proposal) / self.overlap


def log_scale_error(relative_variance: float) -> float:
    """Return the standard error of a log, by matching a log-normal.

    Notes
    -----
    ``sqrt(log(1 + RE^2))`` (Micaletto & Vehtari 2025).
    """
    return math.sqrt(math.log1p(relative_variance))


def iterate(
    l1: FloatArray,
    l2: FloatArray,
    *,
    n_eff: float | None = None,
    tolerance: float = 1e-10,
    max_iterations: int = 1000,
) -> Iteration:
    """Estimate a log normalising constant by the optimal bridge.

    Parameters
    ----------
    l1 : array of shape (n,) or (chains, draws)
        Log of target over proposal density at the posterior draws, finite. One
        dimension means independent draws; two mean Markov chains, whose
        autocorrelation then enters the error.
    l2 : array of shape (m,)
        The same log ratio at independent proposal draws; ``-inf`` where the target
        is zero.
    n_eff : float, optional
        Effective number of posterior draws in the bridge's weights, positive. None
        takes the number of draws. It affects efficiency only.
    tolerance : float
        Stop when the normalising constant changes by less than this, relatively.
    max_iterations : int
        Steps after which the root is bracketed instead. 0 brackets at once.

    Returns
    -------
    Iteration

    Raises
    ------
    BridgeError
        If an array is empty, `l1` is not finite, or `l2` holds NaN, ``+inf`` or
        nothing but ``-inf``.

    Notes
    -----
    With ``s1 = n_eff / (n_eff + m)``, ``s2 = 1 - s1`` and ``lam`` the log constant,

    ``f1_j = 1 / (s1 + s2 exp(lam - l2_j))``,
    ``f2_i = 1 / (s1 exp(l1_i - lam) + s2)``,
    ``lam <- lam + log mean(f1) - log mean(f2)`` [1]_.

    The increment falls strictly in ``lam``, so its root is unique. Relative variance
    at the root (delta method):
    ``var(f1) / mean(f1)^2 / m + var(f2) / mean(f2)^2 / ESS(f2)`` [2]_.

    References
    ----------
    .. [1] Meng X.-L., Wong W. H. (1996). Simulating ratios of normalizing constants
       via a simple identity. Statistica Sinica 6, 831-860.
    .. [2] Frühwirth-Schnatter S. (2004). Estimating marginal likelihoods for mixture
       and Markov switching models. Econometrics Journal 7, 143-167.
    """
    _check_ratios(l1, l2)
    # Ratios relative to a typical one: steps then resolve to rounding at any scale.
    offset = float(np.median(l1))
    posterior, proposal = l1.ravel() - offset, l2 - offset
    size = float(posterior.size) if n_eff is None else n_eff
    # With the weights' log odds added to lam, both terms are logistic functions,
    # which cannot overflow.
    log_odds = math.log(l2.size / size)
    root = log_odds - math.log(2.0)
    iterations, converged = 0, False
    while iterations < max_iterations and not converged:
        iterations += 1
        step = _increment(root, posterior, proposal, log_odds)
        root += step
        converged = abs(step) <= tolerance
    if not converged:
        root = _bracketed_root(posterior, proposal, log_odds)

    log_f1 = _log_expit(proposal - root)
    f1 = _relative_terms(log_f1)
    f2 = _relative_terms(_log_expit(root - posterior)).reshape(l1.shape)
    ess_f2 = (
        float(posterior.size)
        if l1.ndim == 1
        else float(effective_sample_size(f2[:, :, None])[0])
    )
    return Iteration(
        logml=offset + root - log_odds,
        proposal_variance=float(f1.var(ddof=1)) / l2.size,
        posterior_variance=float(f2.var(ddof=1)) / ess_f2,
        n_posterior=posterior.size,
        n_proposal=l2.size,
        n_eff=size,
        ess_f2=ess_f2,
        overlap=math.exp(_log_mean(log_f1)) * (1.0 + l2.size / size),
        pareto_k_f1=pareto_k(f1),
        pareto_k_f2=pareto_k(f2.ravel()),
        iterations=iterations,
        converged=converged,
    )


def _check_ratios(l1: FloatArray, l2: FloatArray) -> None:
    if l1.ndim not in (1, 2) or l1.size < 2:
        raise BridgeError(
            "l1: expected shape (n,) or (chains, draws) with at least 2 values; got "
            f"shape {l1.shape}. Give the log ratios at the posterior draws."
        )
    if l1.ndim == 2 and l1.shape[1] < MIN_DRAWS_PER_CHAIN:
        raise BridgeError(
            f"l1: expected at least {MIN_DRAWS_PER_CHAIN} draws in each chain; got "
            f"{l1.shape[1]}. Draw more, or give one dimension if they are independent."
        )
    if l2.ndim != 1 or l2.size < 2:
        raise BridgeError(
            "l2: expected shape (m,) with at least 2 values; got shape "
            f"{l2.shape}. Give the log ratios at the proposal draws."
        )
    if not np.isfinite(l1).all():
        where = int(np.flatnonzero(~np.isfinite(l1.ravel()))[0])
        raise BridgeError(
            f"l1: expected finite log ratios; got {l1.ravel()[where]} at posterior "
            f"draw {where}. Check that the draws come from this density."
        )
    unusable = np.isnan(l2) | (l2 == np.inf)
    if unusable.any():
        where = int(np.flatnonzero(unusable)[0])
        raise BridgeError(
            f"l2: expected log ratios below infinity; got {l2[where]} at proposal "
            f"draw {where}. Give -inf where the density is zero."
        )
    if not np.isfinite(l2).any():
        raise BridgeError(
            "l2: expected a positive density at some proposal draw; got zero at all "
            f"{l2.size}. Check that the draws come from this density."
        )


def _increment(root: float, l1: FloatArray, l2: FloatArray, log_odds: float) -> float:
    """Return log mean(f1) - log mean(f2) where lam is ``root - log_odds``."""
    return (
        _log_mean(_log_expit(l2 - root)) - _log_mean(_log_expit(root - l1)) + log_odds
    )


def _log_expit(x: FloatArray) -> FloatArray:
    """Return the log of the logistic function."""
    value: FloatArray = -np.logaddexp(0.0, -x)
    return value


def _log_mean(log_values: FloatArray) -> float:
    top = float(log_values.max())
    return top + math.log(float(np.exp(log_values - top).mean()))


def _relative_terms(log_values: FloatArray) -> FloatArray:
    """Return the terms divided by their mean."""
    values = np.exp(log_values - log_values.max())
    relative: FloatArray = values / values.mean()
    return relative


def _bracketed_root(l1: FloatArray, l2: FloatArray, log_odds: float) -> float:
    from scipy.optimize import brentq

    finite = np.concatenate([l1, l2[np.isfinite(l2)]])
    low, high = float(finite.min()) + log_odds, float(finite.max()) + log_odds
    # Without zero densities the extreme ratios bracket the root already.
    width = max(high - low, 1.0)
    while _increment(low, l1, l2, log_odds) < 0:
        low -= width
        width *= 2.0
    while _increment(high, l1, l2, log_odds) > 0:
        high += width
        width *= 2.0
    return float(
        brentq(_increment, low, high, args=(l1, l2, log_odds), xtol=1e-12, rtol=1e-15)
    )
