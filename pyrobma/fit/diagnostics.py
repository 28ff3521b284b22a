"""Whether the chains of a model have converged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyrobma._format import counted
from pyrobma._mcmc import effective_sample_size, rank_normalised, rhat
from pyrobma._types import FloatArray
from pyrobma.fit.sample import Chains
from pyrobma.fit.settings import SamplerSettings


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Convergence diagnostics of one model, one value per free parameter and weight.

    Attributes
    ----------
    rhat : array of shape (P,)
        Rank-normalised split R-hat, the larger of its bulk and tail (folded) forms.
    ess_bulk, ess_tail : array of shape (P,)
        Effective sample sizes, all chains together.
    ess_mean : array of shape (P,)
        Effective sample size for the mean.
    divergences, deep : int
        Transitions that diverged or reached the largest tree depth.

    References
    ----------
    .. [1] Vehtari A., Gelman A., Simpson D., Carpenter B., Bürkner P.-C. (2021).
       Rank-normalization, folding, and localization. Bayesian Analysis 16(2).
       doi:10.1214/20-BA1221
    """

    rhat: FloatArray
    ess_bulk: FloatArray
    ess_tail: FloatArray
    ess_mean: FloatArray
    divergences: int
    deep: int

    def complaints(self, settings: SamplerSettings) -> tuple[str, ...]:
        """Return what misses the checks, in words; empty if nothing does."""
        found = []
        # `not <=` instead of `>`: NaN, from a chain that never moved, must not pass.
        if not self.rhat.max(initial=1.0) <= settings.max_rhat:
            found.append(f"R-hat {self.rhat.max():.3f} above {settings.max_rhat}")
        ess = min(self.ess_bulk.min(initial=np.inf), self.ess_tail.min(initial=np.inf))
        if not ess >= settings.min_ess:
            found.append(f"effective sample size {ess:.0f} below {settings.min_ess:g}")
        return tuple(found)

    def remarks(self) -> tuple[str, ...]:
        """Return what more draws would not mend, in words."""
        found = []
        if self.divergences:
            found.append(
                f"{counted(self.divergences, 'divergent transition')} (raise "
                "adapt_delta in settings)"
            )
        if self.deep:
            found.append(
                f"{counted(self.deep, 'transition')} at the largest tree depth (raise "
                "max_treedepth in settings)"
            )
        return tuple(found)


def diagnose(chains: Chains) -> Diagnostics:
    """Compute the diagnostics of the chains of one model."""
    draws = chains.checked
    median = np.median(draws, axis=(0, 1))
    bulk = rank_normalised(draws)
    low, high = np.quantile(draws, [0.05, 0.95], axis=(0, 1))
    tails = np.concatenate([draws <= low, draws <= high], axis=2).astype(np.float64)
    ess = effective_sample_size(np.concatenate([bulk, tails, draws], axis=2))
    bulk_size, low_size, high_size, mean_size = ess.reshape(4, -1)
    folded = rank_normalised(np.abs(draws - median))
    return Diagnostics(
        rhat=np.maximum(rhat(bulk), rhat(folded)),
        ess_bulk=bulk_size,
        ess_tail=np.minimum(low_size, high_size),
        ess_mean=mean_size,
        divergences=int(chains.divergent.sum()),
        deep=int(chains.deep.sum()),
    )
