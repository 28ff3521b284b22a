"""The normal likelihood of independent estimates, each with a tau² of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from pyrobma._types import FloatArray

_LOG_2PI = math.log(2.0 * math.pi)


class Evaluation(NamedTuple):
    """A log likelihood with its derivatives in q coefficients of log tau²."""

    value: float
    gradient: FloatArray
    hessian: FloatArray


@dataclass(frozen=True, slots=True)
class ScaleLikelihood:
    """Log likelihood of tau² of each row, the coefficients of the mean profiled out.

    Parameters
    ----------
    y : array of shape (K,)
        Estimates.
    v : array of shape (K,)
        Their sampling variances, positive.
    x : array of shape (K, P)
        Columns of the mean, linearly independent.
    reml : bool
        Restricted likelihood.

    Attributes
    ----------
    log_unit : float
        Log of a variance of the data's order of magnitude, for starts.

    Notes
    -----
    With variances ``v + t``, weights w their inverses and P the projection ``W - W X
    (X'W X)⁻¹ X'W``, -2 l is as in `ClusterLikelihood`. With u = P y the slope of l in
    t_i is ``(u_i² - w_i) / 2``, of the restricted one ``(u_i² - P_ii) / 2``; the second
    derivative in t_i and t_j is ``w_i² / 2`` on the diagonal, or ``P_ij² / 2``, less
    ``u_i P_ij u_j``. They are taken in log t, where shares ``s = t / (v + t)`` keep
    them between what large and small t can overflow to.
    """

    y: FloatArray
    v: FloatArray
    x: FloatArray
    reml: bool
    log_unit: float = field(init=False)
    _basis: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        """Derive what does not depend on tau²."""
        # with orthonormal columns log|X'X| is 0
        basis, _ = np.linalg.qr(self.x)
        residual = self.y - basis @ (basis.T @ self.y)
        unit = float(np.mean(self.v) + np.mean(residual**2))
        object.__setattr__(self, "_basis", basis)
        object.__setattr__(self, "log_unit", math.log(unit))

    def share(self, log_tau2: FloatArray) -> FloatArray:
        """Return the share of tau² in the variance of each row, 0 to 1."""
        return np.asarray(expit(log_tau2 - np.log(self.v)))

    def evaluate(self, log_tau2: FloatArray, z: FloatArray) -> Evaluation:
        """Log likelihood, with derivatives in coefficients that log tau² is linear in.

        Parameters
        ----------
        log_tau2 : array of shape (K,)
            -inf where tau² is 0.
        z : array of shape (K, q)
            Derivatives of `log_tau2`.
        """
        log_variance = np.logaddexp(np.log(self.v), log_tau2)
        root = np.exp(-0.5 * log_variance)
        u, r = np.linalg.qr(root[:, None] * self._basis)
        response = root * self.y
        e = response - u @ (u.T @ response)  # residuals in units of their deviations
        share = self.share(log_tau2)
        own = share * e**2  # t u²
        deviance = self.y.size * _LOG_2PI + log_variance.sum() + e @ e
        slope = own - share
        diagonal = share**2 * (1.0 - 2.0 * e**2)  # of the second derivative, doubled
        cross = 2.0 * z.T @ ((share * e)[:, None] * u)
        hessian = 0.5 * cross @ cross.T
        if self.reml:
            deviance += 2.0 * np.log(np.abs(np.diag(r))).sum() - u.shape[1] * _LOG_2PI
            leverage = (u**2).sum(axis=1)
            slope += share * leverage
            diagonal -= 2.0 * share**2 * leverage
            # z'(P∘P)z without the K x K matrix: traces of products of P x P matrices
            pairs = (u[:, :, None] * u[:, None, :]).reshape(len(u), -1)
            products = (share[:, None] * z).T @ pairs
            hessian += products @ products.T
        hessian += z.T @ ((diagonal + slope)[:, None] * z)
        return Evaluation(
            float(-0.5 * deviance), 0.5 * z.T @ slope, 0.25 * (hessian + hessian.T)
        )
