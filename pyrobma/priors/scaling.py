"""Stage 2: the same prior, wider or narrower."""

from __future__ import annotations

import math

from pyrobma.errors import PriorError
from pyrobma.priors.checks import positive
from pyrobma.priors.distributions import Prior
from pyrobma.priors.distributions import prior as make


def scaled(prior: Prior, factor: float) -> Prior:
    """Return a prior with its scale multiplied.

    Parameters
    ----------
    prior : Prior
        Not a spike, which has no scale.
    factor : float
        Positive.

    Returns
    -------
    Prior
        Of the same family and weight.

    Raises
    ------
    PriorError
        If the prior is a spike, the factor is not positive, the new parameters are
        beyond doubles, or a uniform prior leaves its truncation.

    Notes
    -----
    Normal, Student's t and Cauchy priors keep their location: sd or scale is
    multiplied. So are the scale of an inverse gamma, 1 / rate of a gamma or an
    exponential, exp(meanlog) of a lognormal and both ends of a uniform. A beta has no
    scale; its concentration alpha + beta is multiplied, so that its mean stays and a
    larger factor makes it *narrower*. Truncations stay.

    Examples
    --------
    >>> from pyrobma.priors import prior
    >>> print(scaled(prior("normal", mean=0.2, sd=1, lower=0), 2))
    Normal(0.2, 2)[0, Inf]
    """
    f = positive("factor", factor, "2 makes a prior twice as wide, 0.5 half as wide.")
    lower, upper = prior.lower, prior.upper
    first, *rest = prior.values
    match prior.family:
        case "spike":
            raise PriorError(
                f"prior: expected one with a scale; got {prior}. Give a prior with a "
                "density."
            )
        case "normal" | "cauchy" | "student_t":
            values = (first, rest[0] * f, *rest[1:])
        case "lognormal":
            values = (first + math.log(f), *rest)
        case "inv_gamma":
            values = (first, rest[0] * f)
        case "gamma":
            values = (first, rest[0] / f)
        case "exponential":
            values = (first / f,)
        case _:  # the two ends of a uniform, the two shapes of a beta
            values = (first * f, rest[0] * f)
    if prior.family == "uniform":  # ends that are no truncation move
        start, end = values
        lower = start if lower == prior.values[0] else max(lower, start)
        upper = end if upper == prior.values[1] else min(upper, end)
    return make(
        prior.family,
        values,
        lower=lower,
        upper=upper,
        prior_weight=prior.prior_weight,
    )


def scale_of(prior: Prior) -> tuple[str, float]:
    """Return what `scaled` multiplies, its name and its value.

    Parameters
    ----------
    prior : Prior
        Also a spike, which has none.

    Returns
    -------
    str, float
        "sd" of a normal; "scale" of a Student's t, a Cauchy or an inverse gamma, and
        1 / rate of a gamma or an exponential; "median" of a lognormal; "width" of a
        uniform; "concentration", alpha + beta, of a beta. They are those of the prior
        without its truncation, in the unit of the parameter, but for the concentration,
        which has none. "" and NaN for a spike.
    """
    values = prior.values
    match prior.family:
        case "spike":
            return "", math.nan
        case "normal":
            return "sd", values[1]
        case "lognormal":
            return "median", math.exp(values[0])
        case "gamma":
            return "scale", 1 / values[1]
        case "exponential":
            return "scale", 1 / values[0]
        case "beta":
            return "concentration", sum(values)
        case "uniform":
            return "width", values[1] - values[0]
        case _:
            return "scale", values[1]
