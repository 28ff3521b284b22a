"""Stage 5: the quantiles that a user asks for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
