"""Stage 5: from log marginal likelihoods to probabilities and Bayes factors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyrobma._types import BoolArray, FloatArray


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
    post_prob: FloatArray, variance: FloatArray
) -> FloatArray:
    """Return Monte Carlo standard errors of posterior model probabilities.

    Parameters
    ----------
    post_prob : array of shape (M,)
        Posterior model probabilities.
    variance : array of shape (M, M)
        Covariance of the log marginal likelihoods' errors; models that share one
        estimate are perfectly correlated.

    Returns
    -------
    array of shape (M,)

    Notes
    -----
    First-order error propagation with the Jacobian p_k (delta_kj - p_j).
    """
    jacobian = np.diag(post_prob) - np.outer(post_prob, post_prob)
    return _errors(jacobian, variance)


def inclusion(
    member: BoolArray,
    logml: FloatArray,
    prior_prob: FloatArray,
    variance: FloatArray,
    *,
    log_prior: FloatArray | None = None,
) -> Inclusion:
    """Compare the models of a component with all others.

    Parameters
    ----------
    member : array of shape (M,)
        Whether a model has the component.
    logml, prior_prob : array of shape (M,)
        Log marginal likelihoods and prior model probabilities.
    variance : array of shape (M, M)
        Covariance of the errors of `logml`.
    log_prior : array of shape (M,), optional
        As in `posterior_probabilities`.

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
    post_mcse = float(_errors(gradient[None], variance)[0])
    if member.all() or not member.any():
        log_bf = np.inf if member.all() else -np.inf
        return Inclusion(
            int(member.sum()), prior_in, post_in, post_mcse, log_bf, np.nan
        )
    log_in, log_out = (
        np.logaddexp.reduce(log_weights[member]),
        np.logaddexp.reduce(log_weights[~member]),
    )
    log_prior_odds = np.logaddexp.reduce(log_prior[member]) - np.logaddexp.reduce(
        log_prior[~member]
    )
    # Masked before exp: the other side may be larger by more than exp can hold.
    share = np.exp(np.where(member, log_weights, -np.inf) - log_in) - np.exp(
        np.where(member, -np.inf, log_weights) - log_out
    )
    return Inclusion(
        n_models=int(member.sum()),
        prior_prob=prior_in,
        post_prob=post_in,
        post_prob_mcse=post_mcse,
        log_bf=float(log_in - log_out - log_prior_odds),
        log_bf_mcse=float(_errors(share[None], variance)[0]),
    )


def _log(prior_prob: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(prior_prob))


def _errors(jacobian: FloatArray, variance: FloatArray) -> FloatArray:
    square = np.einsum("ij,jk,ik->i", jacobian, variance, jacobian)
    # Errors that cancel can leave a negative rounding error.
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))
