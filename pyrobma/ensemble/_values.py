"""Which values the parts of a saved ensemble can have; others mean damage."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from pyrobma._format import sided
from pyrobma.ensemble._archive import Damage
from pyrobma.errors import PriorError
from pyrobma.models import ModelSpace, Task
from pyrobma.priors import prior_weightfunction
from pyrobma.priors.distributions import FAMILIES, prior

_MOST_NODES: Final = 100_000
"""Nodes of a quadrature, each way; rules that are ever chosen have hundreds."""

Parts = Mapping[str, Any]
Complaints = Iterator[tuple[str, str, Any]]
"""A field, what was expected there, and what there is."""


def check_values(name: str, parts: Parts, where: str) -> None:
    """Refuse values of a class that no ensemble has.

    Parameters
    ----------
    name : str
        Of the class.
    parts : mapping
        Its fields, of the right types already. Fields that are not known here pass,
        and those that are missing too: the class itself knows its defaults.
    where : str
        The object's place in the ensemble.
    """
    found = _single(name, parts)
    if name in _TOGETHER:
        found = itertools.chain(found, _TOGETHER[name](parts))
    for field, expected, got in found:
        raise Damage(f"{where}.{field}: expected {expected}; got {got}")


def check_fits(task: Task, space: ModelSpace, fits: tuple[Any, ...]) -> None:
    """Refuse models of other unknowns, and fits that are not those of the models."""
    models = space.models
    scalars = set(task.unknowns.scalars)
    for number, model in enumerate(models):
        given = [name for name, _ in model.priors]
        if len(set(given)) < len(given) or not scalars.issuperset(given):
            raise Damage(
                f"space.models[{number}].priors: expected some of {sorted(scalars)}, "
                f"each once; got {given}"
            )
    if len(fits) != len(models):
        raise Damage(f"{len(fits)} fits of {len(models)} models")
    for number, (fit, model) in enumerate(zip(fits, models, strict=True)):
        if fit.spec != model:
            raise Damage(
                f"fits[{number}]: a fit of another model in the place of model "
                f"{number + 1}"
            )
        if fit.chains is None:
            continue
        where = f"fits[{number}].chains"
        names = set(fit.chains.names)
        free = set(model.free) - {"omega"}
        if names != free:
            raise Damage(
                f"{where}.names: expected {sorted(free)}, the free parameters of its "
                f"model; got {sorted(names)}"
            )
        omega, selection = fit.chains.omega, model.selection
        if omega is not None and selection is not None:
            weights = len(selection.intervals)
            if omega.shape[2] != weights:
                raise Damage(
                    f"{where}.omega: expected {weights} weights, one per interval of "
                    f"its model; got {omega.shape[2]}"
                )


def _positive(value: float) -> bool:
    return 0 < value < math.inf


def _log_or_none(value: float | None) -> bool:
    return value is None or math.isfinite(value)


def _steps_of_sampler(values: Any) -> bool:
    # NaN: draws that no sampler made have none.
    return bool(np.all(np.isnan(values) | ((values > 0) & (values < np.inf))))


def _finite(values: Any) -> bool:
    return values is None or bool(np.isfinite(values).all())


_POSITIVE = ("a positive number", _positive)

_SINGLE: Final[dict[str, dict[str, tuple[str, Callable[[Any], bool]]]]] = {
    "BridgeResult": {"mcse": ("no negative number", lambda value: not value < 0)},
    "Chains": {
        "step_size": ("positive numbers", _steps_of_sampler),
        "draws": ("finite numbers", _finite),
        "omega": ("finite numbers", _finite),
    },
    "Fit": {
        "logml": ("a number below infinity", lambda value: value < math.inf),
        "logml_mcse": ("a number of at least 0", lambda value: value >= 0),
        "round": ("a number of at least 0", lambda value: value >= 0),
    },
    "ModelSpace": {"models": ("at least one model", bool)},
    "ModelSpec": {
        "prior_weight": _POSITIVE,
        "log_prior_weight": ("a finite number", _log_or_none),
    },
    "Rule": {"spacing": _POSITIVE, "reach": _POSITIVE},
    "Second": {
        "logml": ("a number below infinity", lambda value: value < math.inf),
        "error": ("a number of at least 0", lambda value: value >= 0),
    },
    "WeightFunction": {"prior_weight": _POSITIVE},
}  # NaN is in no order with any number, and so none of these but a step size.


def _single(name: str, parts: Parts) -> Complaints:
    """Look at fields one by one."""
    for field, (expected, is_legal) in _SINGLE.get(name, {}).items():
        if field in parts and not is_legal(parts[field]):
            value = parts[field]
            yield field, expected, _first_bad(value, is_legal)


def _first_bad(value: Any, is_legal: Callable[[Any], bool]) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return next(one for one in value.ravel().tolist() if not is_legal(np.asarray(one)))


def _chains(parts: Parts) -> Complaints:
    """Compare shapes with names, columns and each other."""
    draws = parts.get("draws")
    if draws is None:
        return
    size = draws.shape[:2]
    known: dict[str, tuple[int | None, ...]] = {
        "draws": (*size, len(parts.get("names", ()))),
        "divergent": size,
        "deep": size,
        "lp": size,
        "step_size": size[:1],
        "inverse_metric": (*size[:1], None, None),
        "constrained": (*size, len(parts.get("columns", ()))),
        "omega": (*size, None),
    }
    if len(size) != 2 or 0 in size:
        yield "draws", "a shape of (chains, draws, parameters)", draws.shape
    for field, expected in known.items():
        value = parts.get(field)
        if value is None:
            continue
        shape = value.shape
        if len(shape) != len(expected) or any(
            length not in (None, other)
            for length, other in zip(expected, shape, strict=True)
        ):
            text = ", ".join("any" if n is None else str(n) for n in expected)
            yield field, f"an array of shape ({text})", f"shape {shape}"


def _prior(parts: Parts) -> Complaints:
    """Let the function that makes priors look at one."""
    if parts["family"] not in FAMILIES:
        yield "family", f"one of {', '.join(FAMILIES)}", repr(parts["family"])
    try:
        prior(
            parts["family"],
            parts["values"],
            lower=parts["lower"],
            upper=parts["upper"],
            prior_weight=parts.get("prior_weight", 1.0),
        )
    except PriorError as error:
        yield "values", "those of a legal prior", f"one with {error}"


def _rule(parts: Parts) -> Complaints:
    nodes = parts["reach"] / parts["spacing"]
    if not nodes <= _MOST_NODES:
        yield "spacing", f"at least a {_MOST_NODES}th of the reach", parts["spacing"]


def _weightfunction(parts: Parts) -> Complaints:
    """Let the function that makes weight functions look at one."""
    fixed = "" if parts["omega"] is None else ".fixed"
    try:
        prior_weightfunction(
            f"{sided(parts['sides'])}{fixed}",
            steps=parts["steps"],
            alpha=parts["alpha"],
            alpha1=parts["alpha1"],
            alpha2=parts["alpha2"],
            omega=parts["omega"],
        )
    except PriorError as error:
        yield "steps", "those of a legal weight function", f"one with {error}"


_TOGETHER: Final[dict[str, Callable[[Parts], Complaints]]] = {
    "Chains": _chains,
    "Prior": _prior,
    "Rule": _rule,
    "WeightFunction": _weightfunction,
}
