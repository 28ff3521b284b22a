"""Stage 3: the models of a space with other priors of one component."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from pyrobma._format import listed
from pyrobma.effects import Measure
from pyrobma.errors import DataError, PriorError
from pyrobma.models.space import ModelSpace
from pyrobma.models.spec import ModelSpec, checked_prior
from pyrobma.parameters import Parameter, Unknowns, prior_text
from pyrobma.priors import PEESE, PET, Prior, inside_support
from pyrobma.priors.checks import positive
from pyrobma.priors.scaling import scale_of, scaled

_Change: TypeAlias = Callable[[str, Prior], Prior]


@dataclass(frozen=True, slots=True)
class Varied:
    """A model space under one of several priors of a component's alternative.

    Attributes
    ----------
    space : ModelSpace
        The models, with the weights and in the order of the original.
    prior : str
        The priors of the alternative, as text.
    factor : float
        On the scale of the original prior; NaN for another prior.
    scale : float
        Of the prior, in the unit of the parameter; NaN if there are several.
    scale_name : str
        What that is, e.g. "sd"; "" if there are several.
    """

    space: ModelSpace
    prior: str
    factor: float
    scale: float
    scale_name: str


def varied_unknowns(
    space: ModelSpace, component: str, table: Unknowns
) -> tuple[Parameter, ...]:
    """Return the scalar unknowns of a component that some model is alternative for.

    Parameters
    ----------
    space : ModelSpace
        The models.
    component : str
        A component or kind of bias.
    table : Unknowns
        The table.

    Returns
    -------
    tuple of Parameter
        At least one.

    Raises
    ------
    DataError
        If there is none, or no such component or alternative.
    """
    _ = table.component(component)
    scalars = {
        name: tuple(row for row in table.of_component(name) if row.scalar)
        for name in table.by_component
    }
    known = [
        name
        for name, rows in scalars.items()
        if rows and any(name in spec.alternative for spec in space)
    ]
    if component in known:
        return scalars[component]
    if scalars[component]:
        raise DataError(
            "component: expected one that some model is the alternative for; got "
            f"{component!r}. Give robma a prior of its alternative."
        )
    kinds = [kind.name for kind in table.kinds(component) if kind.name in known]
    choice = f"Choose one of its kinds: {', '.join(kinds)}." if kinds else (
        "Compare fits with other priors of it instead."
    )  # fmt: skip
    raise DataError(
        "component: expected one whose priors are distributions of single unknowns; "
        f"got {component!r}. {choice}"
    )


def with_scales(
    space: ModelSpace,
    unknowns: Sequence[Parameter],
    scales: Iterable[float],
    measure: Measure,
) -> tuple[Varied, ...]:
    """Return a space with the alternative's priors of a component wider and narrower.

    Parameters
    ----------
    space : ModelSpace
        The models.
    unknowns : sequence of Parameter
        Scalar unknowns of components that some model is the alternative for.
    scales : iterable of float
        Positive factors, as in `pyrobma.priors.scaling.scaled`.
    measure : str
        Of the priors.

    Returns
    -------
    tuple of Varied
        In increasing order of their factors, each once, and 1 among them: the models as
        they are.

    Raises
    ------
    PriorError
        If a factor is not positive, all priors are spikes, or a prior leaves the legal
        values.
    """
    rows = {row.name: row for row in unknowns}
    own = [p for spec in space for _, p in _own(spec, rows)]
    if all(prior.is_spike for prior in own):
        names = listed(list(dict.fromkeys(row.component.name for row in unknowns)))
        raise PriorError(
            f"component: expected one with a prior that has a scale; got {names!r} "
            f"with {' and '.join(map(str, own))}. Give other priors as priors=[...]."
        )

    def change(factor: float) -> _Change:
        where = f"scales, {factor:g} times the prior"

        def changed(name: str, prior: Prior) -> Prior:
            if prior.is_spike or factor == 1:
                return prior
            return inside_support(scaled(prior, factor), rows[name], where, measure)

        return changed

    return tuple(
        _described(_changed(space, rows, change(f)), rows, f)
        for f in sorted({1.0, *_factors(scales)})
    )


def with_priors(
    space: ModelSpace,
    unknowns: Sequence[Parameter],
    priors: Iterable[Prior | PET | PEESE],
    measure: Measure,
) -> tuple[Varied, ...]:
    """Return a space with other priors in the place of the alternative's.

    Parameters
    ----------
    space, unknowns, measure
        As in `with_scales`.
    priors : iterable of Prior, PET or PEESE
        Each for every unknown of the component; PET and PEESE for their own.

    Returns
    -------
    tuple of Varied
        The space as it is, with the factor 1, then one per prior.

    Raises
    ------
    PriorError
        If something is no prior of an alternative, or has no probability among the
        legal values.

    Warns
    -----
    PriorWarning
        If a prior is truncated to the legal values.
    """
    if isinstance(priors, str | Prior) or not isinstance(priors, Iterable):
        raise PriorError(
            f"priors: expected a list of priors; got {priors!r}. Write "
            "priors=[prior('normal', mean=0, sd=0.5)]."
        )
    rows = {row.name: row for row in unknowns}
    every = [_described(space, rows, 1.0)]
    for place, given in enumerate(priors):
        where = f"priors, position {place}"
        named: object = given
        if isinstance(given, PET | PEESE) and type(given).__name__ in rows:
            named = given.prior
        one = checked_prior(where, named)
        if one.is_spike and one.location == 0:
            raise PriorError(
                f"{where}: expected a prior of an alternative; got {one}, which is a "
                "null. Leave it out."
            )
        new = {n: inside_support(one, row, where, measure) for n, row in rows.items()}

        def changed(name: str, _: Prior, new: dict[str, Prior] = new) -> Prior:
            return new[name]

        every.append(_described(_changed(space, rows, changed), rows, math.nan))
    return tuple(every)


def _factors(scales: Any) -> list[float]:
    if isinstance(scales, str) or not isinstance(scales, Iterable):
        raise PriorError(
            f"scales: expected positive factors; got {scales!r}. Write scales=[0.5, 2]."
        )
    remedy = "1 is the prior as fitted, 2 one that is twice as wide."
    return [positive("scales", one, remedy) for one in scales]


def _own(spec: ModelSpec, rows: Mapping[str, Parameter]) -> list[tuple[str, Prior]]:
    """Return a model's priors of components that it is the alternative for."""
    return [
        (name, prior)
        for name, prior in spec.priors
        if name in rows and rows[name].component.name in spec.alternative
    ]


def _changed(
    space: ModelSpace, rows: Mapping[str, Parameter], change: _Change
) -> ModelSpace:
    """Return the models with other priors where they are the alternative."""

    def changed(spec: ModelSpec) -> ModelSpec:
        new = {name: change(name, p) for name, p in _own(spec, rows)}
        kept = tuple((name, new.get(name, prior)) for name, prior in spec.priors)
        return replace(spec, priors=kept)

    return ModelSpace(tuple(map(changed, space)))


def _described(
    space: ModelSpace, rows: Mapping[str, Parameter], factor: float
) -> Varied:
    """Say what the alternative's priors of a space are."""
    texts, scales = [], []
    for spec in space:
        if own := _own(spec, rows):
            texts.append(_text(own))
            scales += [scale_of(prior) for _, prior in own]
    distinct = set(scales)
    name, scale = distinct.pop() if len(distinct) == 1 else ("", math.nan)
    return Varied(space, listed(list(dict.fromkeys(texts)), "or"), factor, scale, name)


def _text(priors: Sequence[tuple[str, Prior]]) -> str:
    if len({str(prior) for _, prior in priors}) == 1:
        return str(priors[0][1])
    return ", ".join(prior_text(name, prior) for name, prior in priors)
