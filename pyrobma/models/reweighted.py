"""Stage 3: the models of a space with other prior probabilities."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.errors import PriorError
from pyrobma.models.scale import heterogeneous
from pyrobma.models.space import ModelSpace
from pyrobma.parameters import Unknowns
from pyrobma.priors.checks import positive

_MOST_ROUNDS: Final = 1000
_MET: Final = 1e-10  # of log odds
_LEAST_LOG: Final = math.log(sys.float_info.min)
_MOST_LOG: Final = math.log(sys.float_info.max)


def with_weights(
    space: ModelSpace,
    weights: Mapping[str, float] | Sequence[float],
    unknowns: Unknowns,
) -> ModelSpace:
    """Return the models of a space with other weights.

    Parameters
    ----------
    space : ModelSpace
        The models.
    weights : mapping or sequence
        Positive numbers: one weight per model, in their order, or by component, or
        kind of bias, the prior odds of the models that are its alternative.
    unknowns : Unknowns
        The table.

    Returns
    -------
    ModelSpace
        Those of a moderator of heterogeneity are among models with heterogeneity. With
        odds, models with the same components keep their weights against each
        other; what several components ask for is met by scaling for each in turn
        (iterative proportional fitting [1]_).

    Raises
    ------
    PriorError
        On a number that is not positive, other than one per model, a component that
        all models or none are the alternative for, or odds that no weights have.

    References
    ----------
    .. [1] Deming W. E., Stephan F. F. (1940). On a least squares adjustment of a
       sampled frequency table when the expected marginal totals are known. Annals of
       Mathematical Statistics 11(4). doi:10.1214/aoms/1177731829
    """
    if isinstance(weights, Mapping):
        logs = _by_component(space, weights, unknowns)
    else:
        logs = _by_model(space, weights)
    return ModelSpace(
        tuple(
            replace(
                spec,
                prior_weight=math.exp(min(max(log, _LEAST_LOG), _MOST_LOG)),
                log_prior_weight=None if _LEAST_LOG < log < _MOST_LOG else log,
            )
            for spec, log in zip(space, logs.tolist(), strict=True)
        )
    )


def _by_model(space: ModelSpace, weights: Any) -> FloatArray:
    try:
        given = [] if isinstance(weights, str) else list(weights)
    except TypeError:
        given = []
    if len(given) != len(space):
        raise PriorError(
            f"prior_weights: expected {len(space)} positive numbers, one per model, or "
            f"a mapping by component; got {weights!r}."
        )
    advice = "Call robma without the model instead."
    return np.log([positive("prior_weights", one, advice) for one in given])


def _by_component(
    space: ModelSpace, weights: Mapping[str, float], unknowns: Unknowns
) -> FloatArray:
    logs = space.log_prior_prob
    asked = []
    for name, value in weights.items():
        member, other = _sides(space, name, unknowns)
        if not (member.any() and other.any()):
            known = [
                one
                for one in unknowns.by_component
                if all(side.any() for side in _sides(space, one, unknowns))
            ]
            raise PriorError(
                "prior_weights: expected components that some models have and others "
                f"have not, {', '.join(known) or 'of which there are none'}; got "
                f"{name!r}."
            )
        advice = "Give the prior odds of models with the component, e.g. 1 or 1/3."
        target = math.log(positive(f"prior_weights, {name}", value, advice))
        asked.append((member, other, target))
    for _ in range(_MOST_ROUNDS):
        missed = 0.0
        for member, other, target in asked:
            before = np.logaddexp.reduce(logs[member | other])
            own = np.logaddexp.reduce(logs[member])
            change = target - own + np.logaddexp.reduce(logs[other])
            logs = logs + np.where(member, change, 0.0)
            # Models that could not have the component keep their share.
            after = np.logaddexp.reduce(logs[member | other])
            logs = logs + np.where(member | other, before - after, 0.0)
            missed = max(missed, abs(float(change)))
        if missed <= _MET:
            return np.asarray(logs - np.logaddexp.reduce(logs))
    raise PriorError(
        "prior_weights: expected odds that models can have together; got "
        f"{dict(weights)!r}, with components whose models are much the same. Give a "
        "weight per model."
    )


def _sides(
    space: ModelSpace, name: str, unknowns: Unknowns
) -> tuple[BoolArray, BoolArray]:
    """Return which models have a component, and which could but have not."""
    member = np.array([name in spec.alternative for spec in space], dtype=bool)
    if name not in unknowns.by_component:
        return np.zeros_like(member), ~member
    if name in {term.name for term in unknowns.scale_terms}:
        return member, heterogeneous(space) & ~member
    return member, ~member
