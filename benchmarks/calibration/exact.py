"""Exact marginal likelihoods of the meta-regression, by another way.

Normal priors of the mean's coefficients integrate in closed form and tau on a grid, so
that posterior probabilities are known: those of the fits are compared with them, and
the simulation is checked with far more data sets than could be fitted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import pyrobma as rb

# The trapezoidal rule on log tau; the integrand is smooth and 0 at both ends.
LOG_TAU = np.linspace(np.log(1e-4), np.log(1e7), 500)


def probabilities(found: rb.Simulation) -> NDArray[np.float64]:
    """Return the posterior probability of each model for each data set.

    Parameters
    ----------
    found : Simulation
        Of models with mu ~ N(0, sd²), tau ~ InvGamma or a spike, coefficients of
        moderators ~ N(0, sd²), and no more.
    """
    task, K = found.task, found.task.effects.K
    y = found.estimates["y"].to_numpy().reshape(-1, K)
    logml = np.empty((len(y), len(found.space)))
    for k, model in enumerate(found.space):
        S = np.zeros((K, K))
        for name, prior in model.priors:
            if name != "tau" and not prior.is_spike:
                column = task.scale * task.column(name)
                S += prior.values[1] ** 2 * np.outer(column, column)
        prior = model.prior("tau")
        if prior.is_spike:
            tau, log_weight = np.array([prior.location]), np.zeros(1)
        else:
            tau = np.exp(LOG_TAU)
            shape, scale = prior.values[:2]
            density = stats.invgamma(shape, scale=scale).logpdf(tau)
            log_weight = density + LOG_TAU + np.log(LOG_TAU[1] - LOG_TAU[0])
        logml[:, k] = -np.inf
        for t, weight in zip(tau, log_weight, strict=True):
            V = S + np.diag(task.effects.se**2 + (task.scale * t) ** 2)
            root = np.linalg.cholesky(V)
            z = np.linalg.solve(root, y.T)
            log = -0.5 * (z**2).sum(axis=0) - np.log(np.diag(root)).sum()
            logml[:, k] = np.logaddexp(logml[:, k], log + weight)
    log = logml + np.log(found.space.prior_prob)
    return np.exp(log - np.logaddexp.reduce(log, axis=1, keepdims=True))
