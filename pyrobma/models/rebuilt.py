"""Stage 3: the priors that a model space was made of, and what others would make."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np

from pyrobma.effects import Target
from pyrobma.errors import PriorError
from pyrobma.models.scale import with_scale_terms
from pyrobma.models.space import Hypotheses, ModelSpace, model_space
from pyrobma.models.spec import ModelSpec
from pyrobma.models.task import Task, scale_name
from pyrobma.models.terms import beta_binomial, term_hypotheses, with_heredity
from pyrobma.parameters import BIAS, EFFECT, HETEROGENEITY, HIERARCHICAL, Component
from pyrobma.priors import (
    PEESE,
    PET,
    BiasPrior,
    Prior,
    bias_priors,
    component_priors,
    prior_none,
)

Sides: TypeAlias = tuple[tuple[Any, ...], tuple[Any, ...]]
"""Priors of a component under the alternative and under the null."""

_SINGLE: Final = (EFFECT, HETEROGENEITY, HIERARCHICAL)
_SAME: Final = 1e-9  # of log probabilities, which were multiplied in another order


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The priors that all combinations of make up a space.

    Attributes
    ----------
    sides : mapping of str to (tuple, tuple)
        By component and term: the priors of its alternative and of its null.
    heredity, by_number : bool
        Whether models with an interaction beside less than its parts are left out, and
        whether every number of tested terms is as probable as any other.
    """

    sides: Mapping[str, Sides]
    heredity: bool = False
    by_number: bool = False

    def space(self, task: Task) -> ModelSpace:
        """Return all combinations of the priors."""
        given: dict[str, Any] = {}
        for name in (EFFECT.name, HETEROGENEITY.name, BIAS.name, HIERARCHICAL.name):
            given[name], given[f"{name}_null"] = self.sides.get(name, ((), ()))
        terms = self._terms(task, "mean")
        space = model_space(*terms, **given, unknowns=task.unknowns)
        if task.moderators is not None and self.heredity:
            space = with_heredity(space, task.moderators)
        if self.by_number and terms:
            tested = [one.component for one in terms if one.null and one.alternative]
            space = beta_binomial(space, tested)
        if task.scale_moderators is None:
            return space
        return with_scale_terms(
            space, self._terms(task, "heterogeneity"), task.scale_moderators,
            task.unknowns, heredity=self.heredity,
            prior="beta-binomial" if self.by_number else "independent",
        )  # fmt: skip

    def _terms(self, task: Task, of: Target) -> tuple[Hypotheses, ...]:
        moderators = task.moderators if of == "mean" else task.scale_moderators
        if moderators is None:
            return ()
        named = str if of == "mean" else scale_name
        priors = {
            name: {"alternative": list(sides[0]), "null": list(sides[1])}
            for name in moderators.names
            for sides in [self.sides[named(name)]]
        }
        return term_hypotheses(
            moderators, task.unknowns, priors=priors, test=False,
            scale=task.prior_scale, of=of,
        )  # fmt: skip


def rebuilt(space: ModelSpace, task: Task) -> Rebuilt:
    """Find the priors that all combinations of make up a space.

    Parameters
    ----------
    space : ModelSpace
        The models.
    task : Task
        The data.

    Returns
    -------
    Rebuilt
        Whose ``space(task)`` has the same models, in the same order and with the same
        prior probabilities.

    Raises
    ------
    PriorError
        If there are none: models were given one by one, or weighed anew.
    """
    names = [component.name for component in task.unknowns.components]
    sides = {name: _sides(space, name, task) for name in names}
    for component in task.unknowns.components:
        if component.name == BIAS.name:
            sides[BIAS.name] = _weighed(space, sides[BIAS.name], task)
    moderated = task.moderators is not None or task.scale_moderators is not None
    switches = (False, True) if moderated else (False,)
    for heredity, by_number in itertools.product(switches, switches):
        found = Rebuilt(sides, heredity, by_number)
        try:
            made = found.space(task)
        except PriorError:
            continue
        if _same(made, space):
            return found
    raise PriorError(
        "priors: expected a fit of all combinations of some priors, with the weights "
        "of these; got one of models that were given one by one or weighed anew. Call "
        "robma with models=... and fits=fit.fits, or change priors before weights."
    )


def with_sides(found: Rebuilt, task: Task, priors: Mapping[str, Any]) -> Rebuilt:
    """Return other priors of some components.

    Parameters
    ----------
    found : Rebuilt
        The priors so far.
    task : Task
        The data.
    priors : mapping
        By component or term: a prior or a list of them for the alternative, or a
        mapping with "alternative" and "null", of which a side that is not there stays.

    Returns
    -------
    Rebuilt

    Raises
    ------
    PriorError
        On a name that is no component, or what is no prior of it.
    """
    if not isinstance(priors, Mapping):
        raise PriorError(
            f"priors: expected a mapping by component, or None; got {priors!r}. Write "
            'priors={"effect": prior("normal", mean=0, sd=1)}.'
        )
    sides = dict(found.sides)
    known = {c.name: c for c in task.unknowns.components}
    if not task.effects.clustered:
        del known[HIERARCHICAL.name]
    for name, value in priors.items():
        if name not in known:
            raise PriorError(
                f"priors: expected some of {', '.join(known)}; got {name!r}."
            )
        own = value if isinstance(value, Mapping) else {"alternative": value}
        if not {"alternative", "null"}.issuperset(own):
            raise PriorError(
                f'priors: expected "alternative" and "null" for {name}; got '
                f"{', '.join(map(repr, own))}."
            )
        alternative, null = sides[name]
        read = _reader(known[name], task)
        if "alternative" in own:
            alternative = read(own["alternative"], null=False)
        if "null" in own:
            null = read(own["null"], null=True)
        sides[name] = alternative, null
    return Rebuilt(sides, found.heredity, found.by_number)


def _reader(component: Component, task: Task) -> Callable[..., tuple[Any, ...]]:
    if component == BIAS:
        return bias_priors
    single: Any = component.name
    if component in _SINGLE:
        return partial(component_priors, component=single, scale=task.prior_scale)

    def listed(value: Any, *, null: bool) -> tuple[Any, ...]:
        # What is no prior is refused where the hypotheses of terms are made.
        if value is None:
            return ()
        return (value,) if isinstance(value, Prior) else tuple(value)

    return listed


def _sides(space: ModelSpace, name: str, task: Task) -> Sides:
    """Return the priors of a component, in the order in which models have them."""
    found: dict[bool, dict[Any, None]] = {True: {}, False: {}}
    for spec in space:
        one = _choice(spec, name, task)
        if one is not None:
            found[name in spec.alternative][one] = None
    return tuple(found[True]), tuple(found[False])


def _choice(spec: ModelSpec, name: str, task: Task) -> Any:
    """Return the prior that a model has of a component, or None."""
    if name == BIAS.name:
        return _bias(spec, task)
    own = [row.name for row in task.unknowns.of_component(name)]
    return next((p for unknown, p in spec.priors if unknown in own), None)


def _bias(spec: ModelSpec, task: Task) -> BiasPrior:
    if spec.selection is not None:
        return spec.selection
    for name, made in (("PET", PET), ("PEESE", PEESE)):
        if spec.has(name):
            return made(spec.prior(name))
    return prior_none()


def _weighed(space: ModelSpace, sides: Sides, task: Task) -> Sides:
    """Give `prior_none`, which models do not keep, the weight that it had."""
    none = prior_none()
    others = [one for side in sides for one in side if one != none]
    if not others or len(others) == sum(map(len, sides)):
        return sides

    def rest(spec: ModelSpec) -> Any:
        alternative = spec.alternative - {BIAS.name, "selection", "PET", "PEESE"}
        own = tuple(
            (name, p) for name, p in spec.priors if name not in ("PET", "PEESE")
        )
        return own, alternative

    weight = {
        rest(spec): spec.log_weight for spec in space if _bias(spec, task) == others[0]
    }
    for spec in space:
        if _bias(spec, task) == none and rest(spec) in weight:
            ratio = float(np.exp(spec.log_weight - weight[rest(spec)]))
            own = prior_none(ratio * others[0].prior_weight)
            return (
                tuple(own if one == none else one for one in sides[0]),
                tuple(own if one == none else one for one in sides[1]),
            )
    return sides


def _same(one: ModelSpace, other: ModelSpace) -> bool:
    return (
        len(one) == len(other)
        and all(
            (a.priors, a.selection, a.alternative)
            == (b.priors, b.selection, b.alternative)
            for a, b in zip(one, other, strict=True)
        )
        and bool(
            np.allclose(one.log_prior_prob, other.log_prior_prob, rtol=0, atol=_SAME)
        )
    )
