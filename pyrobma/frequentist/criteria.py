"""Information criteria."""

from __future__ import annotations

import math


def information_criteria(
    loglik: float, parameters: int, n: int
) -> tuple[float, float, float]:
    """AIC, BIC and AICc.

    Parameters
    ----------
    loglik : float
        Maximised log likelihood.
    parameters : int
        Number of parameters, coefficients and variance components.
    n : int
        Number of observations: K, or K less the coefficients for a restricted
        likelihood.

    Notes
    -----
    AICc is ``-2 loglik + 2 p n / (n - p - 1)``, with n not below p + 2.
    """
    deviance = -2.0 * loglik
    size = max(n, parameters + 2)
    return (
        deviance + 2.0 * parameters,
        deviance + math.log(n) * parameters,
        deviance + 2.0 * parameters * size / (size - parameters - 1),
    )
