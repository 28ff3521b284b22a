"""Stage 2: checks that several priors share."""

from __future__ import annotations

import math
import numbers

from pyrobma.errors import PriorError


def checked_weight(value: object) -> float:
    """Return a prior weight as a float; raise `PriorError` if it is not positive."""
    remedy = "Leave the prior out instead of giving it no weight."
    return positive("prior_weight", value, remedy)


def positive(name: str, value: object, remedy: str) -> float:
    """Return a positive number as a float.

    Parameters
    ----------
    name : str
        Of the argument, for the message.
    value : object
        What was given.
    remedy : str
        A sentence that says what to do instead, for the message.

    Returns
    -------
    float
        Positive and finite.

    Raises
    ------
    PriorError
        If it is anything else.
    """
    if isinstance(value, numbers.Real) and 0 < float(value) < math.inf:
        return float(value)
    raise PriorError(f"{name}: expected a positive number; got {value!r}. {remedy}")
