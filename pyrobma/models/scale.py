"""Stage 3: moderators of heterogeneity as hypotheses within heterogeneous models."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from pyrobma._types import BoolArray
from pyrobma.effects import Moderators
from pyrobma.errors import PriorError
from pyrobma.models.space import Choice, Hypotheses, ModelSpace
from pyrobma.models.spec import ModelSpec, ordered
from pyrobma.models.task import scale_name
from pyrobma.models.terms import ModsPrior, beta_binomial, with_heredity
from pyrobma.parameters import Unknowns
from pyrobma.priors import Prior

_LEAST: Final = sys.float_info.min


def heterogeneous(space: ModelSpace) -> BoolArray:
    """Return which models have heterogeneity that moderators could move.

    Parameters
    ----------
    space : ModelSpace

    Returns
    -------
    array of bool, shape (number of models,)
        False where tau is 0.
    """
    return np.array([not spec.is_zero("tau") for spec in space], dtype=bool)


def with_scale_terms(
    space: ModelSpace,
    hypotheses: Sequence[Hypotheses],
    moderators: Moderators,
    unknowns: Unknowns,
    *,
    heredity: bool = True,
    prior: ModsPrior = "independent",
) -> ModelSpace:
    """Split models with heterogeneity by what it depends on.

    Parameters
    ----------
    space : ModelSpace
        The models without moderators of heterogeneity.
    hypotheses : sequence of Hypotheses
        Of every term, as `term_hypotheses` returns them; none leaves the space as it
        is.
    moderators : Moderators
        The terms.
    unknowns : Unknowns
        The table, with their coefficients.
    heredity : bool
        Whether an interaction is only beside what it is made of.
    prior : {"independent", "beta-binomial"}
        How probable numbers of terms are, given heterogeneity.

    Returns
    -------
    ModelSpace
        A model with heterogeneity becomes one for every combination of the choices,
        which share its weight; one without stays as it is. So prior probabilities of
        other components do not depend on the number of terms, and those of terms are
        probabilities given heterogeneity.

    Raises
    ------
    PriorError
        If no model has heterogeneity, or as `with_heredity`.
    """
    if not hypotheses:
        return space
    if not heterogeneous(space).any():
        raise PriorError(
            "scale: expected models with heterogeneity, whose size moderators could "
            "change; got none. Give priors_heterogeneity, or leave scale out."
        )
    choices = ModelSpace(
        tuple(
            _choice([one.component for one in hypotheses], sides)
            for sides in itertools.product(*(one.sides for one in hypotheses))
        )
    )
    if heredity:
        choices = with_heredity(choices, moderators, named=scale_name)
    if prior == "beta-binomial":
        tested = [one.component for one in hypotheses if one.null and one.alternative]
        choices = beta_binomial(choices, tested)
    shares = [*zip(choices, choices.prior_prob, choices.log_prior_prob, strict=True)]
    found: list[ModelSpec] = []
    for spec, differs in zip(space, heterogeneous(space), strict=True):
        if not differs:
            found.append(spec)
            continue
        for choice, share, log_share in shares:
            weight = spec.prior_weight * float(share)
            plain = spec.log_prior_weight is None and weight > _LEAST
            log = spec.log_weight + float(log_share)
            found.append(
                replace(
                    spec,
                    priors=ordered(dict(spec.priors) | dict(choice.priors), unknowns),
                    alternative=spec.alternative | choice.alternative,
                    prior_weight=weight if plain else max(math.exp(log), _LEAST),
                    log_prior_weight=None if plain else log,
                )
            )
    return ModelSpace(tuple(found))


def _choice(names: Sequence[str], sides: Sequence[tuple[Choice, bool]]) -> ModelSpec:
    """Return one choice of every term, as if it were a model of its own."""
    priors: dict[str, Prior] = {}
    alternative: set[str] = set()
    weight = 1.0
    for name, (choice, is_alternative) in zip(names, sides, strict=True):
        priors |= dict(choice.priors)
        weight *= choice.prior_weight
        if is_alternative:
            alternative.add(name)
    return ModelSpec(tuple(priors.items()), None, frozenset(alternative), weight)
