"""What a bridge-sampling run returns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pyrobma.bridge.diagnostics import pareto_k_limit
from pyrobma.bridge.iterate import Iteration, log_scale_error

MAX_MCSE = 0.1
"""Error of a log marginal likelihood above which it must not be trusted."""

MAX_Z = 4.0
"""Largest credible distance of the two passes, in standard errors."""

NEGLIGIBLE_GAP = 1e-3
"""Distance of the two passes too small to matter, whatever their errors."""


@dataclass(frozen=True, slots=True)
class BridgeResult:
    """A log marginal likelihood with its Monte Carlo error and diagnostics.

    Attributes
    ----------
    logml : float
        Log marginal likelihood (natural log), mean over the passes.
    mcse : float
        Monte Carlo standard error of `logml`.
    proposal_variance, posterior_variance : float
        The two parts of the relative variance of ``exp(logml)``;
        ``mcse = sqrt(log(1 + their sum))``.
    n_posterior, n_proposal : int
        Number of posterior draws iterated and of proposal draws, all passes.
    n_eff : float
        Effective number of posterior draws in the bridge's weights, all passes.
    ess_f2 : float
        Effective sample size of the posterior draws' terms, all passes.
    pareto_k_f1, pareto_k_f2 : float
        Largest Pareto k over the passes, of the proposal draws' terms and of the
        posterior draws' terms.
    iterations : int
        Most fixed-point steps any pass took.
    n_zero_density : int
        Number of evaluations, away from the draws, that gave NaN or ``-inf``.
    passes : tuple of Iteration
        One estimate per pass; in the second the halves of the chains change roles.
    reasons : tuple of str
        Why the estimate should not be trusted; empty if nothing speaks against it.
    """

    logml: float
    mcse: float
    proposal_variance: float
    posterior_variance: float
    n_posterior: int
    n_proposal: int
    n_eff: float
    ess_f2: float
    pareto_k_f1: float
    pareto_k_f2: float
    iterations: int
    n_zero_density: int
    passes: tuple[Iteration, ...]
    reasons: tuple[str, ...]

    @property
    def reliable(self) -> bool:
        """Whether no diagnostic speaks against the estimate."""
        return not self.reasons


def combine_passes(
    passes: tuple[Iteration, ...], dimension: int, n_zero_density: int
) -> BridgeResult:
    """Average the passes' log constants, with the error of that average.

    Parameters
    ----------
    passes : tuple of Iteration
        One, or two in which the halves of the chains change roles.
    dimension : int
        Number of parameters, D.
    n_zero_density : int
        Number of evaluations away from the draws that found density zero.

    Returns
    -------
    BridgeResult

    Notes
    -----
    Two passes share no proposal draws, and no draw serves both to iterate, but each
    half's sampling error in the covariance enters one pass through the fit and the
    other through the iteration. The posterior parts therefore have the covariance

    ``s1 s1' D (D + 1) / (2 n_eff n_eff')``,

    exact to this order for a normal target, where it is all of the posterior part.
    It is of second order otherwise: 1 % of the variance for D = 2 and 2000 draws,
    half of it for a normal with D = 30 and 400.
    """
    count = len(passes)
    proposal = sum(p.proposal_variance for p in passes) / count**2
    posterior = sum(p.posterior_variance for p in passes) / count**2
    if count == 2:
        posterior += 0.5 * _covariance(passes[0], passes[1], dimension)
    mcse = log_scale_error(proposal + posterior)
    return BridgeResult(
        logml=sum(p.logml for p in passes) / count,
        mcse=mcse,
        proposal_variance=proposal,
        posterior_variance=posterior,
        n_posterior=sum(p.n_posterior for p in passes),
        n_proposal=sum(p.n_proposal for p in passes),
        n_eff=sum(p.n_eff for p in passes),
        ess_f2=sum(p.ess_f2 for p in passes),
        pareto_k_f1=_worst([p.pareto_k_f1 for p in passes]),
        pareto_k_f2=_worst([p.pareto_k_f2 for p in passes]),
        iterations=max(p.iterations for p in passes),
        n_zero_density=n_zero_density,
        passes=passes,
        reasons=(*_error_reasons(passes, mcse), *_gap_reasons(passes)),
    )


def _covariance(first: Iteration, second: Iteration, dimension: int) -> float:
    shared = 0.5 * dimension * (dimension + 1) / (first.n_eff * second.n_eff)
    shared *= first.posterior_weight * second.posterior_weight
    bound = math.sqrt(first.posterior_variance * second.posterior_variance)
    return min(shared, bound)


def _worst(ks: list[float]) -> float:
    # Unlike max(), this is NaN whenever one of them is.
    return float(np.max(ks))


def _error_reasons(passes: tuple[Iteration, ...], mcse: float) -> list[str]:
    found = []
    if not mcse <= MAX_MCSE:
        found.append(f"Monte Carlo error {mcse:.3g} above {MAX_MCSE}")
    if max(p.unseen_error for p in passes) <= MAX_MCSE:
        # The terms are bounded. A large k alone is common (small tau, many draws) and
        # harmless: it matters if the draws it warns of could still move logml.
        return found
    for source, ks, size in (
        ("proposal", [p.pareto_k_f1 for p in passes], passes[0].n_proposal),
        ("posterior", [p.pareto_k_f2 for p in passes], passes[0].n_posterior),
    ):
        k, limit = _worst(ks), pareto_k_limit(size)
        if not k <= limit:
            found.append(
                f"Pareto k {k:.2f} of the {source} draws' terms above {limit:.2f}, "
                "with few effective draws"
            )
    return found


def _gap_reasons(passes: tuple[Iteration, ...]) -> list[str]:
    if len(passes) < 2:
        return []
    gap = abs(passes[0].logml - passes[1].logml)
    error = math.hypot(passes[0].mcse, passes[1].mcse)
    if gap <= max(MAX_Z * error, NEGLIGIBLE_GAP):
        return []
    return [
        f"the two halves of the chains differ by {gap:.3g} in logml, expected "
        f"standard deviation {error:.2g}"
    ]
