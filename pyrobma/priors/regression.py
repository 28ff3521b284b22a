"""Stage 2: priors of PET and PEESE, regressions of effects on standard errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyrobma.priors.distributions import Prior, prior
from pyrobma.priors.univariate import Univariate


@dataclass(frozen=True, slots=True)
class Regression(Univariate):
    """A prior of the coefficient of a power of the standard error: `PET` or `PEESE`."""

    prior: Prior

    @property
    def _distribution(self) -> Prior:
        return self.prior

    @property
    def prior_weight(self) -> float:
        """Weight of models with this prior against those with other bias priors."""
        return self.prior.prior_weight

    def same_density(self, other: object) -> bool:
        """Whether both are one prior, whatever their prior weights."""
        return isinstance(other, type(self)) and self.prior.same_density(other.prior)

    def __str__(self) -> str:
        """Print as in ``PET ~ Cauchy(0, 1)[0, Inf]``."""
        return f"{type(self).__name__} ~ {self.prior}"


@dataclass(frozen=True, slots=True)
class PET(Regression):
    """A prior of the coefficient of the standard error; made by `prior_PET`.

    Attributes
    ----------
    prior : Prior
        Of the coefficient, unitless; positive values inflate effects in the expected
        direction.
    """


@dataclass(frozen=True, slots=True)
class PEESE(Regression):
    """A prior of the coefficient of the squared standard error; see `prior_PEESE`.

    Attributes
    ----------
    prior : Prior
        Of the coefficient, per unit of the prior scale; positive values inflate
        effects in the expected direction.
    """


def prior_PET(
    distribution: str,
    parameters: Mapping[str, float] | Sequence[float] | None = None,
    *,
    lower: float | None = 0.0,
    upper: float | None = None,
    truncation: Mapping[str, float] | Sequence[float] | None = None,
    prior_weight: float = 1.0,
    **named: float,
) -> PET:
    """Describe the prior of PET, the coefficient of the standard error.

    The mean of an estimate gets PET se added in the expected direction, so that
    positive values inflate small studies [1]_.

    Parameters
    ----------
    distribution, parameters, upper, truncation, prior_weight, **named
        As in `prior`.
    lower : float or None, default 0
        Truncation, also where `truncation` gives none; has no effect on a
        distribution that lies above it anyway. None: the end of the support.

    Returns
    -------
    PET
        A frozen value.

    Raises
    ------
    PriorError
        As in `prior`.

    References
    ----------
    .. [1] Stanley, Doucouliagos (2014). Meta-regression approximations to reduce
       publication selection bias. Research Synthesis Methods 5(1), 60-78.
       doi:10.1002/jrsm.1095

    Examples
    --------
    >>> print(prior_PET("cauchy", location=0, scale=1))
    PET ~ Cauchy(0, 1)[0, Inf]
    """
    return PET(
        _coefficient(
            distribution, parameters, lower, upper, truncation, prior_weight, named
        )
    )


def prior_PEESE(
    distribution: str,
    parameters: Mapping[str, float] | Sequence[float] | None = None,
    *,
    lower: float | None = 0.0,
    upper: float | None = None,
    truncation: Mapping[str, float] | Sequence[float] | None = None,
    prior_weight: float = 1.0,
    **named: float,
) -> PEESE:
    """Describe the prior of PEESE, the coefficient of the squared standard error.

    The mean of an estimate gets PEESE se² added in the expected direction, so that
    positive values inflate small studies [1]_.

    Parameters
    ----------
    distribution, parameters, lower, upper, truncation, prior_weight, **named
        As in `prior_PET`. The coefficient has the unit of one over an effect on the
        prior scale.

    Returns
    -------
    PEESE
        A frozen value.

    Raises
    ------
    PriorError
        As in `prior`.

    References
    ----------
    .. [1] Stanley, Doucouliagos (2014). Meta-regression approximations to reduce
       publication selection bias. Research Synthesis Methods 5(1), 60-78.
       doi:10.1002/jrsm.1095

    Examples
    --------
    >>> print(prior_PEESE("cauchy", location=0, scale=5))
    PEESE ~ Cauchy(0, 5)[0, Inf]
    """
    return PEESE(
        _coefficient(
            distribution, parameters, lower, upper, truncation, prior_weight, named
        )
    )


def _coefficient(
    distribution: str,
    parameters: Mapping[str, float] | Sequence[float] | None,
    lower: float | None,
    upper: float | None,
    truncation: Mapping[str, float] | Sequence[float] | None,
    prior_weight: float,
    named: Mapping[str, Any],
) -> Prior:
    """Return a prior that is truncated at 0 unless told otherwise."""
    whole = prior(distribution, parameters, prior_weight=prior_weight, **named)
    # Zero is outside the support of Uniform(1, 2), and then cuts nothing off.
    zero: dict[str, float] = {} if whole.lower >= 0 else {"lower": 0.0}
    if lower == 0:
        lower = zero.get("lower") if truncation is None else None
        if isinstance(truncation, Mapping):
            truncation = {**zero, **truncation}
    return prior(
        distribution,
        parameters,
        lower=lower,
        upper=upper,
        truncation=truncation,
        prior_weight=prior_weight,
        **named,
    )
