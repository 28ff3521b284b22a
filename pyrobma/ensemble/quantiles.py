"""Stage 5: quantiles that a user asks for, of many weighted samples at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.errors import DataError


def check_probs(probs: float | Sequence[float]) -> dict[str, float]:
    """Return the probabilities of quantiles by the name of their column.

    Parameters
    ----------
    probs : float or sequence of float
        In [0, 1], each once.

    Returns
    -------
    dict of str to float
        E.g. ``{"0.025": 0.025, "0.975": 0.975}``, in the order given.

    Raises
    ------
    DataError
        On probabilities outside [0, 1], or two of one name.
    """
    try:
        levels = np.atleast_1d(np.asarray(probs, dtype=np.float64)).tolist()
    except (TypeError, ValueError):
        raise DataError(
            f"probs: expected probabilities in [0, 1]; got {probs!r}."
        ) from None
    named = {f"{p:g}": p for p in levels}
    if not all(0 <= p <= 1 for p in levels) or len(named) < len(levels):
        raise DataError(
            f"probs: expected probabilities in [0, 1]; got {levels}. Give each once."
        )
    return named


def weighted_quantiles(
    values: FloatArray, weights: FloatArray, probs: Sequence[float]
) -> FloatArray:
    """Return quantiles of every row of `values`.

    Parameters
    ----------
    values : array of shape (N, S)
        N samples.
    weights : array of shape (S,)
        Of the columns: not negative, summing to one.
    probs : sequence of float in [0, 1]

    Returns
    -------
    array of shape (N, len(probs))
        The smallest values at which the weighted cdf reaches `probs`.
    """
    order = np.argsort(values, axis=1)
    total = np.cumsum(weights[order], axis=1)
    found = np.empty((len(values), len(probs)))
    for i, (row, sums) in enumerate(zip(order, total, strict=True)):
        # Sums of many weights miss a simple fraction by their rounding.
        place = np.searchsorted(sums, np.asarray(probs) * (1 - 1e-12))
        found[i] = values[i, row[np.minimum(place, len(row) - 1)]]
    return found
