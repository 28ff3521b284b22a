"""Stage 5: the quantiles that a user asks for, and their errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


def errors_of_quantiles(
    levels: FloatArray,
    errors: FloatArray,
    quantiles: Callable[[FloatArray], FloatArray],
) -> FloatArray:
    """Return Monte Carlo standard errors of quantiles.

    Parameters
    ----------
    levels, errors : arrays of shape (n,)
        Probabilities, and the errors of the distribution function at their quantiles.
    quantiles : callable
        Maps probabilities of shape (m,) to quantiles.

    Returns
    -------
    array of shape (n,)
        Half the distance of the quantiles of p - e and p + e; NaN for p = 0 and 1.
    """
    ends = np.clip(np.concatenate([levels - errors, levels + errors]), 0.0, 1.0)
    low, high = np.split(quantiles(ends), 2)
    with np.errstate(invalid="ignore"):  # both ends may be infinite
        gap = np.where(low == high, 0.0, high - low)
    return np.where((levels > 0) & (levels < 1), 0.5 * gap, np.nan)
