"""Stage 5: a model under other priors, from the draws that it has."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np

from pyrobma._mcmc import effective_sample_size
from pyrobma._types import FloatArray
from pyrobma.bridge.diagnostics import pareto_k
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.logml_errors import LogmlErrors
from pyrobma.ensemble.probabilities import (
    Inclusion,
    inclusion,
    posterior_probabilities,
)
from pyrobma.fit import Fit
from pyrobma.models import ModelSpec
from pyrobma.priors import Prior
from pyrobma.priors.density import density

How: TypeAlias = Literal["as fitted", "reweighted", "refitted"]
"""Where the results of a model come from."""

MAX_PARETO_K: Final = 0.5
"""Pareto k of weights from which on their variance may be infinite."""


@dataclass(frozen=True, slots=True, eq=False)
class Reweighted:
    """A model with priors that may not be those of the fit whose draws it uses.

    Attributes
    ----------
    fit : Fit
        Where the draws come from.
    spec : ModelSpec
        The priors that hold.
    how : {"as fitted", "reweighted", "refitted"}
        Where the results come from.
    logml : float
        Log marginal likelihood.
    ratio_error : float
        Monte Carlo error of the change in `logml`; 0 without reweighting.
    pareto_k : float
        Of the weights; NaN without reweighting.
    weights : array of shape (chains, draws) or (1, 1)
        Importance weights of the draws, with mean 1.
    """

    fit: Fit
    spec: ModelSpec
    how: How
    logml: float
    ratio_error: float = 0.0
    pareto_k: float = math.nan
    weights: FloatArray = field(default_factory=lambda: np.ones((1, 1)))

    @classmethod
    def of(cls, fit: Fit, how: How = "as fitted") -> Reweighted:
        """Return a fit as it is."""
        return cls(fit, fit.spec, how, fit.logml)

    @property
    def error(self) -> float:
        """Monte Carlo standard error of `logml`."""
        return math.hypot(self.fit.logml_mcse, self.ratio_error)

    @property
    def reliable(self) -> bool:
        """Whether the mean of the weights has an error that can be stated.

        Their variance is finite for a Pareto k below 0.5 (Vehtari et al. 2024).
        """
        return self.how != "reweighted" or self.pareto_k < MAX_PARETO_K

    @property
    def key(self) -> Hashable:
        """What those have in common that are one: the fit and the priors."""
        return self.fit.fingerprint, self.fit.seed, self.spec.likelihood


def reweighted(fit: Fit, spec: ModelSpec) -> Reweighted | None:
    """Return a model with other priors than those of its fit.

    Parameters
    ----------
    fit : Fit
        Of a model that differs in some priors.
    spec : ModelSpec
        The model wanted.

    Returns
    -------
    Reweighted or None
        None if the draws cannot say anything of it: a prior is a spike, or reaches
        where the old one has no density.

    Notes
    -----
    The marginal likelihood is the old one times the posterior mean, under the old
    priors, of w = Π p_new(θ) / p_old(θ) over the unknowns whose priors differ. The
    error of the log of that mean is sd(w) / (mean(w) √ESS), with the effective sample
    size of w itself, because the draws are chains, plus the share of the largest weight
    in their sum: where weights have a long tail, a draw like that one may be missing,
    and then sd(w) is too small. It is taken as independent of the error of the old
    marginal likelihood.
    """
    if spec.selection != fit.spec.selection or fit.chains is None:
        return None
    names = dict.fromkeys(name for name, _ in (*fit.spec.priors, *spec.priors))
    total = np.zeros(fit.chains.draws.shape[:2])
    for name in names:
        old, new = fit.spec.prior(name), spec.prior(name)
        if old.same_density(new):
            continue
        if not _covers(old, new):
            return None
        draws = fit.values(name)
        with np.errstate(divide="ignore", invalid="ignore"):
            total += np.log(density(new, draws)) - np.log(density(old, draws))
    # A density of 0, or a pole, at a draw leaves nothing to divide by; NaN is neither.
    highest = float(total.max())
    if not math.isfinite(highest):
        return None
    weights = np.exp(total - highest)
    mean = float(weights.mean())
    weights = weights / mean
    return Reweighted(
        fit,
        spec,
        "reweighted",
        fit.logml + highest + math.log(mean),
        ratio_error=_mean_error(weights) + float(weights.max()) / weights.size,
        pareto_k=pareto_k(weights.ravel()),
        weights=weights,
    )


def averaged(
    models: Sequence[Reweighted], probabilities: FloatArray, parameter: str
) -> tuple[float, float]:
    """Return the mean of a scalar unknown over all models, and its error.

    Parameters
    ----------
    models : sequence of Reweighted
        All models of an ensemble.
    probabilities : array of shape (number of models,)
        Posterior ones, summing to one.
    parameter : str
        E.g. "mu".

    Returns
    -------
    float, float
        On the prior scale; the Monte Carlo standard error.

    Notes
    -----
    First order in all that is estimated: with M = Σ p_k m_k, a draw of model k adds
    p_k w (θ − M) to the error, which covers both its mean and its weight, and the old
    log marginal likelihood p_k (m_k − M) times its error.
    """
    draws = [one.fit.values(parameter) for one in models]
    means = np.array(
        [float((one.weights * d).mean()) for one, d in zip(models, draws, strict=True)]
    )
    mean = float(probabilities @ means)
    errors = LogmlErrors.shared(
        np.array([one.fit.logml_mcse for one in models]), [one.key for one in models]
    )
    variance = errors.of(probabilities * (means - mean)) ** 2
    shares = np.bincount(errors.group, probabilities)
    for k in np.flatnonzero(shares).tolist():
        terms = shares[k] * models[k].weights * (draws[k] - mean)
        variance += (models[k].fit.mean_factor(parameter) * _mean_error(terms)) ** 2
    return mean, math.sqrt(variance)


def probabilities(ensemble: Ensemble, logml: FloatArray) -> FloatArray:
    """Return posterior probabilities of the models with other marginal likelihoods.

    Parameters
    ----------
    ensemble : Ensemble
        Whose prior probabilities hold.
    logml : array of shape (M,)
        Natural logs.

    Returns
    -------
    array of shape (M,)
    """
    return posterior_probabilities(
        logml, ensemble.prior_prob, log_prior=ensemble.space.log_prior_prob
    )


def component_evidence(
    ensemble: Ensemble, component: str, models: Sequence[Reweighted]
) -> Inclusion:
    """Return probabilities and Bayes factor of a component among such models."""
    errors = LogmlErrors.shared(
        np.array([one.error for one in models]), [one.key for one in models]
    )
    given = ensemble.possible(component)
    space = ensemble.space
    log_prior = (
        space.log_prior_prob if given is None else space.log_prior_prob_given(given)
    )
    return inclusion(
        ensemble.members(component),
        np.array([one.logml for one in models]),
        ensemble.prior_given(given),
        errors,
        log_prior=log_prior,
        given=given,
    )


def _covers(old: Prior, new: Prior) -> bool:
    """Whether a prior has density wherever another one has."""
    if old.is_spike or new.is_spike:
        return False
    return old.lower <= new.lower and new.upper <= old.upper


def _mean_error(draws: FloatArray) -> float:
    """Return the Monte Carlo standard error of the mean of chains."""
    if draws.size == 1 or np.ptp(draws) == 0:
        return 0.0
    size = float(effective_sample_size(draws[:, :, None])[0])
    return float(draws.std(ddof=1)) / math.sqrt(size)
