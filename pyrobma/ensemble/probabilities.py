"""Stage 5: from log marginal likelihoods to probabilities and Bayes factors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyrobma._numerics import log_sums_of_others
from pyrobma._types import BoolArray, FloatArray
from pyrobma.ensemble.logml_errors import LogmlErrors


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Evidence for the models of a component against those without it.

    Attributes
    ----------
    n_models : int
        Number of models with the component.
    prior_prob, post_prob : float
        Their summed probability before and after the data.
    post_prob_mcse : float
        Monte Carlo standard error of `post_prob`.
    log_bf : float
        Natural log of the inclusion Bayes factor; inf if every model has the
        component, -inf if none has.
    log_bf_mcse : float
        Its Monte Carlo standard error; NaN where `log_bf` is infinite.
    """

    n_models: int
    prior_prob: float
    post_prob: float
    post_prob_mcse: float
    log_bf: float
    log_bf_mcse: float


@dataclass(frozen=True, slots=True)
class ModelInclusion:
    """Evidence for each model against all others.

    Attributes
    ----------
    log_bf : array of shape (M,)
        Natural logs of the inclusion Bayes factors; inf for the only model there is,
        NaN for one that is left out.
    log_bf_mcse : array of shape (M,)
        Their Monte Carlo standard errors; NaN where `log_bf` is inf or NaN.
    """

    log_bf: FloatArray
    log_bf_mcse: FloatArray


def posterior_probabilities(
    logml: FloatArray, prior_prob: FloatArray, *, log_prior: FloatArray | None = None
) -> FloatArray:
    """Return posterior model probabilities.

    Parameters
    ----------
    logml : array of shape (M,)
        Log marginal likelihoods.
    prior_prob : array of shape (M,)
        Prior model probabilities; 0 leaves a model out.
    log_prior : array of shape (M,), optional
        Natural logs of `prior_prob` where some are too small for a float. None:
        computed.

    Returns
    -------
    array of shape (M,)
        Summing to one.
    """
    log_weights = logml + (_log(prior_prob) if log_prior is None else log_prior)
    probabilities: FloatArray = np.exp(log_weights - np.logaddexp.reduce(log_weights))
    return probabilities


def posterior_probability_errors(
    post_prob: FloatArray, errors: LogmlErrors
) -> FloatArray:
    """Return Monte Carlo standard errors of posterior model probabilities.

    Parameters
    ----------
    post_prob : array of shape (M,)
        Posterior model probabilities.
    errors : LogmlErrors
        Of the M log marginal likelihoods.

    Returns
    -------
    array of shape (M,)

    Notes
    -----
    First-order error propagation with the Jacobian p_k (delta_kj - p_j).
    """
    return errors.of_probabilities(post_prob)


def inclusion(
    member: BoolArray,
    logml: FloatArray,
    prior_prob: FloatArray,
    errors: LogmlErrors,
    *,
    log_prior: FloatArray | None = None,
    given: BoolArray | None = None,
) -> Inclusion:
    """Compare the models of a component with all others.

    Parameters
    ----------
    member : array of shape (M,)
        Whether a model has the component.
    logml, prior_prob : array of shape (M,)
        Log marginal likelihoods and prior model probabilities.
    errors : LogmlErrors
        Of `logml`.
    log_prior : array of shape (M,), optional
        As in `posterior_probabilities`.
    given : array of bool, shape (M,), optional
        Only among these models, to which `prior_prob` gives all probability. None: all.

    Returns
    -------
    Inclusion

    Notes
    -----
    BF = [sum_with p_m e^l_m / sum_without p_m e^l_m] / [sum_with p_m / sum_without
    p_m], on the log scale throughout (Hinne et al. 2020).

    References
    ----------
    .. [1] Hinne M., Gronau Q. F., van den Bergh D., Wagenmakers E.-J. (2020). A
       conceptual introduction to Bayesian model averaging. AMPPS 3(2).
       doi:10.1177/2515245919898657
    """
    log_prior = _log(prior_prob) if log_prior is None else log_prior
    log_weights = logml + log_prior
    post_prob = np.exp(log_weights - np.logaddexp.reduce(log_weights))
    prior_in = float(prior_prob[member].sum())
    post_in = float(post_prob[member].sum())
    gradient = post_prob * (member - post_in)
    post_mcse = errors.of(gradient)
    among = np.ones(len(member), dtype=bool) if given is None else given
    other = among & ~member
    if not other.any() or not member.any():
        log_bf = -np.inf if other.any() else np.inf
        return Inclusion(
            int(member.sum()), prior_in, post_in, post_mcse, log_bf, np.nan
        )
    log_in, log_out = (
        np.logaddexp.reduce(log_weights[member]),
        np.logaddexp.reduce(log_weights[other]),
    )
    log_prior_odds = np.logaddexp.reduce(log_prior[member]) - np.logaddexp.reduce(
        log_prior[other]
    )
    # Masked before exp: the other side may be larger by more than exp can hold.
    share = np.exp(np.where(member, log_weights, -np.inf) - log_in) - np.exp(
        np.where(other, log_weights, -np.inf) - log_out
    )
    return Inclusion(
        n_models=int(member.sum()),
        prior_prob=prior_in,
        post_prob=post_in,
        post_prob_mcse=post_mcse,
        log_bf=float(log_in - log_out - log_prior_odds),
        log_bf_mcse=errors.of(share),
    )


def model_inclusion(
    logml: FloatArray,
    prior_prob: FloatArray,
    errors: LogmlErrors,
    *,
    log_prior: FloatArray | None = None,
) -> ModelInclusion:
    """Compare each model with all others.

    Parameters
    ----------
    logml, prior_prob, errors, log_prior
        As in `inclusion`; a prior probability of 0 leaves a model out.

    Returns
    -------
    ModelInclusion
        What `inclusion` says of each model alone, found for all of them together in
        linear time: what the others sum to is accumulated from either side, on the log
        scale.
    """
    log_prior = _log(prior_prob) if log_prior is None else log_prior
    log_weights = logml + log_prior
    others = log_sums_of_others(log_prior)
    with np.errstate(invalid="ignore"):  # where there are no others
        log_bf = logml - (log_sums_of_others(log_weights) - others)
    # Models that say the same have the same Bayes factor, to the last digit.
    pairs = np.stack([logml, log_prior], axis=1)
    _, first, like = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
    log_bf = log_bf[first[like]]
    mcse = errors.of_log_odds(log_weights)
    alone = np.isneginf(others) & ~np.isneginf(log_prior)
    missing = np.isneginf(log_prior)
    return ModelInclusion(
        np.where(alone, np.inf, np.where(missing, np.nan, log_bf)),
        np.where(alone | missing, np.nan, mcse),
    )


def _log(prior_prob: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(prior_prob))
