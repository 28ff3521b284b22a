"""The affine map that carries posterior draws to mean 0 and covariance I."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.errors import BridgeError

EIGENVALUE_FLOOR = 1e-10
"""Smallest eigenvalue of a correlation matrix, relative to its largest."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Location and scale of the proposal normal.

    Attributes
    ----------
    mean : array of shape (D,)
        Mean of the fitting draws.
    factor : array of shape (D, D)
        Lower Cholesky factor of their covariance.
    """

    mean: FloatArray
    factor: FloatArray

    @property
    def log_determinant(self) -> float:
        """Log determinant of the factor."""
        return float(np.log(np.diagonal(self.factor)).sum())

    def standardise(self, points: FloatArray) -> FloatArray:
        """Map points of shape (n, D) to mean 0 and covariance I."""
        return np.linalg.solve(self.factor, (points - self.mean).T).T.astype(np.float64)


def fit_proposal(draws: FloatArray, names: Sequence[str]) -> Proposal:
    """Fit the proposal to draws.

    Parameters
    ----------
    draws : array of shape (n, D), n > D + 1
        Finite posterior draws.
    names : sequence of D str
        Parameter names for messages.

    Returns
    -------
    Proposal

    Raises
    ------
    BridgeError
        If a parameter does not vary, or the draws are too few.

    Notes
    -----
    Eigenvalues of the correlation matrix are kept above `EIGENVALUE_FLOOR` of the
    largest. Any regular factor gives a consistent estimate; a singular one none.
    """
    n, dimension = draws.shape
    if n <= dimension + 1:
        raise BridgeError(
            f"draws: expected more than {dimension + 1} draws in each half to fit "
            f"{dimension} parameters; got {n}. Draw more."
        )
    mean = draws.mean(axis=0)
    centred = draws - mean
    sd = np.sqrt((centred**2).sum(axis=0) / (n - 1))
    rounding = 8 * np.finfo(np.float64).eps * np.abs(draws).max(axis=0)
    constant = np.flatnonzero(sd <= rounding)
    if constant.size:
        column = int(constant[0])
        raise BridgeError(
            "draws: expected every parameter to vary; got the constant "
            f'{float(draws[0, column])!r} at "{names[column]}". It is not estimated: '
            "leave it out, or check that the chains move."
        )
    centred /= sd
    correlation = centred.T @ centred / (n - 1)
    values, vectors = np.linalg.eigh(correlation)
    floor = EIGENVALUE_FLOOR * values[-1]
    if values[0] < floor:
        correlation = (vectors * np.maximum(values, floor)) @ vectors.T
    return Proposal(mean, sd[:, None] * np.linalg.cholesky(correlation))
