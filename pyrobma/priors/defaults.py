"""Stage 2: default priors, and what each component accepts."""

from __future__ import annotations

import enum
import math
import warnings
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from pyrobma.effects import Measure
from pyrobma.errors import PriorError, PriorWarning
from pyrobma.parameters import UNKNOWNS, Parameter
from pyrobma.priors.bias import BiasPrior, NoBias, default_bias, prior_none
from pyrobma.priors.distributions import Prior, prior
from pyrobma.priors.regression import PEESE, PET
from pyrobma.priors.weightfunction import WeightFunction


class Default(enum.Enum):
    """The type of `DEFAULT`."""

    DEFAULT = "DEFAULT"

    def __repr__(self) -> str:
        """Print as the name users write."""
        return "DEFAULT"


DEFAULT: Final = Default.DEFAULT
"""Use the default prior of a component (None leaves that side out instead)."""

Component: TypeAlias = Literal["effect", "heterogeneity", "hierarchical"]
"""Components that have a prior of one parameter."""

PriorArgument: TypeAlias = Prior | Iterable[Prior] | Default | None
"""What `robma` accepts for a component: None leaves that side out."""

BiasArgument: TypeAlias = BiasPrior | Iterable[BiasPrior] | Default | None
"""What `robma` accepts for publication bias: None leaves that side out."""

_SMALLEST: Final = 1e-300
"""About the smallest number that doubles keep their digits for."""

_MOST_LOST: Final = 1e-6
"""Largest prior probability below it, which no computation could see."""


def default_priors(
    component: Component,
    *,
    null: bool = False,
    rescale: float = 1.0,
    counts: bool = False,
) -> tuple[Prior, ...]:
    """Return the default priors of a component, on Cohen's d; of counts on log ratios.

    Parameters
    ----------
    component : {"effect", "heterogeneity", "hierarchical"}
        Which part of the model.
    null : bool
        Those of the null hypothesis instead of the alternative.
    rescale : float
        Factor on the scale of the effect and heterogeneity priors, positive.
    counts : bool
        Those of log odds ratios and log rate ratios of counts.

    Returns
    -------
    tuple of Prior
        Effect: Normal(0, 1) against a spike at 0; of counts Student-t(0, 0.58, 4).
        Heterogeneity: InvGamma(1, 0.15) against a spike at 0; of counts
        InvGamma(1.77, 0.55). Hierarchical (rho): Beta(1, 1), no null. Those of counts
        were estimated from the log odds ratios of all fields of the Cochrane Database
        of Systematic Reviews [3]_; ratios of rare events' rates are close to these.

    References
    ----------
    .. [1] Bartos, Maier, Quintana, Wagenmakers (2022). Adjusting for publication
       bias in JASP and R. AMPPS 5(3). doi:10.1177/25152459221109259
    .. [2] van Erp, Verhagen, Grasman, Wagenmakers (2017). Estimates of
       between-study heterogeneity for 705 meta-analyses. J. Open Psychol. Data
       5(1). doi:10.5334/jopd.33 (the InvGamma(1, 0.15)).
    .. [3] Bartoš, Otte, Gronau, Timmers, Ly, Wagenmakers (2023). Empirical prior
       distributions for Bayesian meta-analyses of binary and time-to-event outcomes.
       arXiv:2306.11468
    """
    if null:
        return () if component == "hierarchical" else (prior("spike", location=0),)
    if counts and component == "effect":
        return (prior("student_t", location=0, scale=0.58 * rescale, df=4),)
    if counts and component == "heterogeneity":
        return (prior("inv_gamma", shape=1.77, scale=0.55 * rescale),)
    if component == "effect":
        return (prior("normal", mean=0, sd=rescale),)
    if component == "heterogeneity":
        return (prior("inv_gamma", shape=1, scale=0.15 * rescale),)
    return (prior("beta", alpha=1, beta=1),)


def component_priors(
    argument: PriorArgument,
    component: Component,
    *,
    null: bool = False,
    rescale: float = 1.0,
    scale: Measure = "cohens_d",
    counts: bool = False,
) -> tuple[Prior, ...]:
    """Read a prior argument of `robma`: one prior, several, None or `DEFAULT`.

    Parameters
    ----------
    argument : Prior, iterable of Prior, None or DEFAULT
        None or an empty list leaves this side of the component out, and so does
        `prior_none` alone as the alternative.
    component, null, rescale, counts
        As in `default_priors`.
    scale : str
        Measure of the priors; an effect on "r" lies between -1 and 1.

    Returns
    -------
    tuple of Prior
        Each inside the support of the component's parameter.

    Raises
    ------
    PriorError
        On anything that is not a prior, or a prior outside the support.

    Warns
    -----
    PriorWarning
        If a prior reaches outside the support and is truncated to it.
    """
    name = f"priors_{component}{'_null' if null else ''}"
    if isinstance(argument, Default):
        defaults = default_priors(component, null=null, rescale=rescale, counts=counts)
        (parameter,) = UNKNOWNS.of_component(component)
        ends = _legal(parameter, scale)
        return tuple(p if p.is_spike else p.truncated(*ends) for p in defaults)
    if argument is None:
        return ()
    items = (argument,) if isinstance(argument, Prior) else argument
    if isinstance(items, str) or not isinstance(items, Iterable):
        meant = "spike', location=0" if null else "normal', mean=0, sd=1"
        raise PriorError(
            f"{name}: expected a prior, a list of priors, None or DEFAULT; got "
            f"{argument!r}. Write prior('{meant})."
        )
    (parameter,) = UNKNOWNS.of_component(component)
    given = tuple(items)
    for item in given:
        if not isinstance(item, Prior):
            raise PriorError(
                f"{name}: expected priors made by prior(...); got {item!r}."
            )
    return tuple(inside_support(item, parameter, name, scale) for item in given)


def bias_priors(
    argument: BiasArgument,
    *,
    null: bool = False,
    rescale: float = 1.0,
    model_type: str = "PSMA",
) -> tuple[BiasPrior, ...]:
    """Read a bias argument of `robma`: one prior, several, None or `DEFAULT`.

    Parameters
    ----------
    argument : bias prior, iterable of bias priors, None or DEFAULT
        None or an empty list leaves this side of the component out.
    null : bool
        The null hypothesis, whose default is `prior_none`.
    rescale, model_type
        As in `default_bias`.

    Returns
    -------
    tuple of WeightFunction, PET, PEESE and NoBias

    Raises
    ------
    PriorError
        On anything else.
    """
    if isinstance(argument, Default):
        return (prior_none(),) if null else default_bias(model_type, rescale)
    if argument is None:
        return ()
    name = f"priors_bias{'_null' if null else ''}"
    kinds = (WeightFunction, PET, PEESE, NoBias)
    items = tuple(argument) if isinstance(argument, Iterable) else (argument,)
    if not null and any(isinstance(item, NoBias) for item in items):
        if len(items) == 1:
            return ()
        raise PriorError(
            f"{name}: expected priors of publication bias; got prior_none() among "
            "them. Give it as priors_bias_null, or leave it out."
        )
    for item in items:
        if not isinstance(item, kinds):
            raise PriorError(
                f"{name}: expected priors made by prior_weightfunction(...), "
                f"prior_PET(...), prior_PEESE(...) or prior_none(); got {item!r}."
            )
    return items


def inside_support(
    item: Prior, parameter: Parameter, argument: str, scale: Measure = "cohens_d"
) -> Prior:
    """Return a prior that stays inside the legal values of an unknown.

    Parameters
    ----------
    item : Prior
        The prior.
    parameter : Parameter
        The unknown.
    argument : str
        What the user calls it, for messages.
    scale : str
        Measure of the priors; an effect on "r" lies between -1 and 1.

    Returns
    -------
    Prior
        The same, or truncated.

    Raises
    ------
    PriorError
        If it has no probability there, is a uniform that reaches outside, or has mass
        so near to 0 that doubles cannot tell it from 0.

    Warns
    -----
    PriorWarning
        If it is truncated.
    """
    low, high = _legal(parameter, scale)
    if item.is_spike:
        if not low <= item.location <= high:
            raise PriorError(
                f"{argument}: expected a spike in [{low:g}, {high:g}] for "
                f"{parameter.name}; got {item}."
            )
        return item
    if item.upper <= low or item.lower >= high:
        raise PriorError(
            f"{argument}: expected a prior on [{low:g}, {high:g}] for "
            f"{parameter.name}; "
            f"got {item}, which has no probability there."
        )
    _refuse_heaped(item, parameter, argument)
    if item.lower >= low and item.upper <= high:
        return item
    if item.family == "uniform":
        raise PriorError(
            f"{argument}: expected a and b in [{low:g}, {high:g}] for "
            f"{parameter.name}; "
            f"got {item}."
        )
    inside = item.truncated(low, high)
    warnings.warn(
        f"{argument}: {item} reaches outside [{low:g}, {high:g}], the legal values "
        f"of {parameter.name}; it is truncated to {inside}.",
        PriorWarning,
        stacklevel=2,
    )
    return inside


def _legal(parameter: Parameter, scale: Measure) -> tuple[float, float]:
    """Return the ends of an unknown's legal values on a measure."""
    low, high = parameter.support
    if parameter.unit == "effect" and scale == "r":
        return max(low, -1.0), min(high, 1.0)
    return low, high


def _refuse_heaped(item: Prior, parameter: Parameter, argument: str) -> None:
    """Refuse a prior with mass so near to 0 that doubles cannot tell it from 0."""
    from scipy import special

    first, second = (*item.values, 0.0)[:2]
    lost = 0.0
    if item.lower > 0:
        return
    if item.family == "gamma":
        lost = float(special.gammainc(first, second * _SMALLEST))
    elif item.family == "lognormal":
        lost = float(special.ndtr((math.log(_SMALLEST) - first) / second))
    elif item.family == "beta" and parameter.enters != "correlation":
        # A correlation within clusters is sampled on the logit scale, in logs.
        lost = float(special.betainc(first, second, _SMALLEST))
    if lost > _MOST_LOST:
        raise PriorError(
            f"{argument}: expected a prior with less than {_MOST_LOST:g} of its "
            f"probability below {_SMALLEST:g}; got {item}, which has {lost:.2g} there. "
            "It stands for a parameter that may as well be 0: give prior('spike', "
            "location=0) with that prior_weight beside a prior of larger shape, or a "
            "truncation such as lower=1e-6."
        )
