"""Stage 3: one model, as a prior for each of its unknowns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from pyrobma.effects import Measure, Moderators
from pyrobma.errors import PriorError
from pyrobma.models.task import moderator_columns
from pyrobma.parameters import SELECTION, UNKNOWNS, Unknowns, prior_text
from pyrobma.priors import (
    PEESE,
    PET,
    BiasPrior,
    NoBias,
    Prior,
    WeightFunction,
    inside_support,
    prior,
)
from pyrobma.priors.checks import positive

Priors: TypeAlias = tuple[tuple[str, Prior], ...]
"""Priors by the name of their unknown, in the order of the table of unknowns."""

Likelihood: TypeAlias = tuple[frozenset[tuple[str, Prior]], WeightFunction | None]
"""What two models with one posterior have in common."""

ABSENT: Final = prior("spike", location=0)
"""The prior of an unknown that a model does not have."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model: a prior for each of its unknowns, and what it stands for.

    Attributes
    ----------
    priors : tuple of (str, Prior)
        The unknowns that the model has, in the order of the table, and their priors,
        on the prior scale. One that is not here is 0: without rho estimates are
        independent, without PET and PEESE there is no small-study effect.
    selection : WeightFunction or None
        Publication by p-value. None: whatever the p-value.
    alternative : frozenset of str
        The components, and kinds of bias, for which this model counts as the
        alternative hypothesis.
    prior_weight : float
        Product of the weights of its priors, or the float next to it.
    log_prior_weight : float or None
        Natural log of that product if it, or a part of it, is too large or too small
        for a float; None: the log of `prior_weight`.

    See Also
    --------
    model : makes one from priors by component.
    """

    priors: Priors
    selection: WeightFunction | None
    alternative: frozenset[str]
    prior_weight: float = 1.0
    log_prior_weight: float | None = None

    @property
    def log_weight(self) -> float:
        """Natural log of the product of the weights of its priors."""
        if self.log_prior_weight is None:
            return math.log(self.prior_weight)
        return self.log_prior_weight

    def has(self, name: str) -> bool:
        """Whether the model has an unknown, free or fixed; "omega" for selection."""
        if name == "omega":
            return self.selection is not None
        return any(own == name for own, _ in self.priors)

    def prior(self, name: str) -> Prior:
        """Return the prior of a scalar unknown; an absent one is a spike at 0."""
        for own, given in self.priors:
            if own == name:
                return given
        return ABSENT

    def is_zero(self, name: str) -> bool:
        """Whether a scalar unknown is absent or fixed at 0."""
        return _is_zero(self.prior(name))

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the parameters that are estimated, "omega" for free weights."""
        names = [name for name, p in self.priors if not p.is_spike]
        if self.selection is not None and not self.selection.is_fixed:
            names.append("omega")
        return tuple(names)

    @property
    def likelihood(self) -> Likelihood:
        """A key that models with one posterior and marginal likelihood share."""
        priors = frozenset(
            (name, replace(p, prior_weight=1.0))
            for name, p in self.priors
            if not _is_zero(p)
        )
        weights = self.selection and replace(self.selection, prior_weight=1.0)
        return priors, weights

    def same_likelihood(self, other: ModelSpec) -> bool:
        """Whether both have one posterior and one marginal likelihood."""
        return self.likelihood == other.likelihood

    def in_unit(self, unit: float, unknowns: Unknowns = UNKNOWNS) -> ModelSpec:
        """Return the model of effects divided by a unit, a positive number.

        Raises
        ------
        PriorError
            If a prior that has to follow the unit is a beta, which has none.
        """
        priors = tuple(
            (name, p if (by := unknowns[name].factor(unit)) == 1 else p.in_unit(by))
            for name, p in self.priors
        )
        return replace(self, priors=priors)

    def __str__(self) -> str:
        """List the priors, as in ``mu ~ Normal(0, 1), tau = 0``."""
        parts = [
            f"{name} = {p.location:g}" if p.is_spike else prior_text(name, p)
            for name, p in self.priors
        ]
        if self.selection is not None:
            parts.append(str(self.selection))
        return ", ".join(parts)


def _is_zero(p: Prior) -> bool:
    return p.is_spike and p.location == 0


def ordered(priors: Mapping[str, Prior], unknowns: Unknowns = UNKNOWNS) -> Priors:
    """Return priors in the order of the table of unknowns.

    Parameters
    ----------
    priors : mapping of str to Prior
        By name of a scalar unknown. One whose `needs` is missing or fixed at 0 is left
        out: it would mean nothing.
    unknowns : Unknowns, optional
        The table.

    Returns
    -------
    tuple of (str, Prior)

    Raises
    ------
    PriorError
        If a name is no scalar unknown.
    """
    unknown = [name for name in priors if name not in unknowns.scalars]
    if unknown:
        raise PriorError(
            f"priors: expected names of {', '.join(unknowns.scalars)}; got "
            f"{', '.join(map(repr, unknown))}."
        )
    return tuple(
        (row.name, priors[row.name])
        for row in unknowns
        if row.name in priors
        and (row.needs is None or not _is_zero(priors.get(row.needs, ABSENT)))
    )


def bias_parts(bias: BiasPrior) -> tuple[dict[str, Prior], WeightFunction | None]:
    """Return the priors by name and the weight function of a prior of bias."""
    if isinstance(bias, WeightFunction):
        return {}, bias
    if isinstance(bias, NoBias):
        return {}, None
    if isinstance(bias, PET | PEESE):
        return {type(bias).__name__: bias.prior}, None
    raise PriorError(
        "bias: expected prior_weightfunction(...), prior_PET(...), prior_PEESE(...) "
        f"or prior_none(); got {bias!r}."
    )


def checked_prior(name: str, given: object) -> Prior:
    """Return a prior; raise PriorError if it is something else."""
    if isinstance(given, Prior):
        return given
    raise PriorError(
        f"{name}: expected a prior made by prior(...); got {given!r}. For a fixed "
        "value write prior('spike', location=...)."
    )


def legal(spec: ModelSpec, unknowns: Unknowns, scale: Measure, where: str) -> ModelSpec:
    """Return a model whose priors stay inside the legal values of their unknowns.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    unknowns : Unknowns
        The table.
    scale : str
        Measure of the priors.
    where : str
        What to call the model in messages.

    Returns
    -------
    ModelSpec
        The same, or with priors truncated.

    Raises
    ------
    PriorError
        If it has another unknown, or stands for another component, than the table
        has, or a prior has no probability among the legal values.

    Warns
    -----
    PriorWarning
        If a prior is truncated.
    """
    given = dict(spec.priors)
    if len(given) < len(spec.priors):
        raise PriorError(f"{where}: expected one prior of each unknown; got {spec}.")
    _ = ordered(given, unknowns)  # refuses names that are not there
    for name in given:
        given[name] = inside_support(
            checked_prior(name, given[name]), unknowns[name], f"{where}, {name}", scale
        )
    known = unknowns.by_component.keys()
    if spec.alternative - known:
        raise PriorError(
            f"{where}, alternative: expected names of {', '.join(sorted(known))}; got "
            f"{', '.join(map(repr, sorted(spec.alternative - known)))}."
        )
    return replace(spec, priors=ordered(given, unknowns))


def model(
    priors: Mapping[str, Prior] | None = None,
    *,
    bias: BiasPrior | None = None,
    alternative: Iterable[str] | None = None,
    prior_weight: float = 1.0,
    scale: Measure = "cohens_d",
    unknowns: Unknowns | Moderators = UNKNOWNS,
    **named: Prior,
) -> ModelSpec:
    """Describe one model by the priors of its unknowns.

    Parameters
    ----------
    priors : mapping of str to Prior, optional
        By name of an unknown: "mu", "tau", "rho", "PET", "PEESE", or the coefficient of
        a column. None: they are given as keywords, ``model(mu=..., tau=...)``.
    bias : prior_weightfunction, prior_PET, prior_PEESE or prior_none, optional
        Publication bias. None: none beside what `priors` has.
    alternative : iterable of str, optional
        Components, and kinds of bias, that the model is the alternative hypothesis of,
        e.g. ``["effect"]``. None: those of unknowns that are not fixed at 0.
    prior_weight : float
        Against other models; positive. Weights of the priors do not count.
    scale : str
        Measure of the priors; an effect on "r" lies between -1 and 1.
    unknowns : Unknowns or Moderators, optional
        The table; `Task.unknowns` where columns came with the data. Moderators stand
        for the table with their coefficients, whose names are their ``labels``.
    **named : Prior
        As `priors`.

    Returns
    -------
    ModelSpec
        Without a prior of mu or tau these are 0. rho is left out where tau is 0.

    Raises
    ------
    PriorError
        On a name that is no unknown or component, or given twice, a prior that
        reaches outside the legal values, or a weight that is not positive.

    Examples
    --------
    >>> print(model(mu=prior("normal", mean=0, sd=1), tau=prior("spike", location=0.1)))
    mu ~ Normal(0, 1), tau = 0.1
    """
    if isinstance(unknowns, Moderators):
        columns = moderator_columns(unknowns)
        unknowns = UNKNOWNS.with_rows(column.parameter for column in columns)
    own, selection = ({}, None) if bias is None else bias_parts(bias)
    given: dict[str, Prior] = {}
    if not isinstance(priors, Mapping | None):
        raise PriorError(f"priors: expected a mapping by name; got {priors!r}.")
    for source in (priors or {}, named, own):
        twice = sorted(given.keys() & source.keys())
        if twice:
            raise PriorError(
                f"{', '.join(twice)}: expected one prior; got two. Give one of them."
            )
        given |= source
    for name, one in given.items():
        checked_prior(name, one)
    fixed = {row.name: ABSENT for row in unknowns if row.always}
    kept = ordered(fixed | given, unknowns)
    if alternative is None:
        found = {unknowns[n].component for n, p in kept if not _is_zero(p)}
        found |= set() if selection is None else {SELECTION}
        alternative = {c.name for c in found} | {
            c.kind_of for c in found if c.kind_of is not None
        }
    if isinstance(alternative, str):
        raise PriorError(
            f"alternative: expected a list of names; got {alternative!r}. Write "
            f"[{alternative!r}]."
        )
    weight = positive("prior_weight", prior_weight, "Leave the model out instead.")
    every = tuple((fixed | given).items())
    made = ModelSpec(every, selection, frozenset(alternative), weight)
    return legal(made, unknowns, scale, "model")
