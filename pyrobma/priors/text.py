"""Stage 2: priors written as text, as they are printed."""

from __future__ import annotations

import re

from pyrobma.errors import PriorError
from pyrobma.priors.distributions import FAMILIES, Prior, prior

_FORM = re.compile(
    r"\s*(?P<name>[A-Za-z][\w\s.-]*?)\s*"
    r"\((?P<values>[^()]*)\)\s*"
    r"(?:\[(?P<lower>[^,\[\]]+),(?P<upper>[^,\[\]]+)\])?\s*"
)


def prior_from_text(text: str) -> Prior:
    """Read a prior in the form in which priors are printed.

    Parameters
    ----------
    text : str
        Name, parameters in the order of `prior`, and a truncation if there is one:
        ``"Normal(0, 1)"``, ``"Cauchy(0, 0.7)[0, Inf]"``, ``"Spike(0)"``.

    Returns
    -------
    Prior

    Raises
    ------
    PriorError
        If the text has another form, or `prior` refuses what it says.

    Examples
    --------
    >>> print(prior_from_text("normal(0, 0.5)[0, inf]"))
    Normal(0, 0.5)[0, Inf]
    """
    match = _FORM.fullmatch(text)
    if match is None:
        known = ", ".join(
            f"{family.label}({', '.join(family.parameters)})"
            for family in FAMILIES.values()
        )
        raise PriorError(
            f"prior: expected text like 'Normal(0, 1)' or 'Cauchy(0, 1)[0, Inf]'; got "
            f"{text!r}. Known are {known}."
        )
    values = [_number(part, text) for part in match["values"].split(",")]
    lower, upper = (
        None if match[side] is None else _number(match[side], text)
        for side in ("lower", "upper")
    )
    return prior(match["name"], values, lower=lower, upper=upper)


def _number(part: str, text: str) -> float:
    try:
        return float(part)
    except ValueError:
        raise PriorError(
            f"prior: expected numbers in {text!r}; got {part.strip()!r}."
        ) from None
