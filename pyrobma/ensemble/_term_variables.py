"""Moderators as variables in the layout of ArviZ, under names that netCDF allows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.effects import Moderators
from pyrobma.ensemble.quantities import Quantity, coefficients, marginal
from pyrobma.models import Task

Variables: TypeAlias = dict[
    str, tuple[tuple[str, ...], Any] | tuple[tuple[str, ...], Any, dict[str, Any]]
]
"""By name: dimensions, values and, if there are any, attributes."""

SAMPLE: Final = ("chain", "draw")
_ILLEGAL: Final = re.compile(r"[\x00-\x1f\x7f/]")
_LEVEL: Final = "dif: "


class Names:
    """Names that netCDF allows, each given once.

    Parameters
    ----------
    taken : iterable of str
        Names that are in use already.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def new(self, wanted: str) -> str:
        """Return a name, as near to what is wanted as can be.

        Slashes and control characters become underscores, a name that begins with
        neither letter, digit nor underscore gets an underscore before it, and one that
        is taken gets one after it.
        """
        name = _ILLEGAL.sub("_", wanted).strip()
        if not name or not (name[0].isalnum() or name[0] == "_"):
            name = f"_{name}"
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


@dataclass(frozen=True, slots=True)
class TermVariable:
    """What a term is in a tree.

    Attributes
    ----------
    term : str
        Its name in tables.
    labels : tuple of str
        Of its coefficients.
    name : str
        Of its variable.
    rows : tuple of Quantity
        What the variable holds: one slope, or the deviations of levels.
    dimension : str or None
        That of `rows`; None for a term that is one number.
    columns : str or None
        The variable of its coefficients; None if they are `rows` already.
    column_dimension : str
        That of the coefficients.
    """

    term: str
    labels: tuple[str, ...]
    name: str
    rows: tuple[Quantity, ...]
    dimension: str | None
    columns: str | None
    column_dimension: str

    def variables(
        self, draws: Mapping[str, FloatArray], *, with_columns: bool
    ) -> tuple[Variables, dict[str, Any]]:
        """Return variables and coordinates for draws of the coefficients.

        Parameters
        ----------
        draws : mapping of str to array of shape (chains, draws)
            By label.
        with_columns : bool
            Add the coefficients, where they are others than what tables show.
        """
        about = {"long_name": self.term}
        if self.dimension is None:
            return {self.name: (SAMPLE, self.rows[0].value(draws), about)}, {}
        values = np.stack([row.value(draws) for row in self.rows], axis=-1)
        found: Variables = {self.name: ((*SAMPLE, self.dimension), values, about)}
        coords = {self.dimension: [_inside(row.label, self.term) for row in self.rows]}
        if with_columns and self.columns is not None:
            values = np.stack([draws[label] for label in self.labels], axis=-1)
            about = {"long_name": f"{self.term}, coefficients of its columns"}
            found[self.columns] = ((*SAMPLE, self.column_dimension), values, about)
            names = [_inside(label, self.term) for label in self.labels]
            coords[self.column_dimension] = names
        return found, coords


def term_variables(
    moderators: Moderators, taken: Iterable[str]
) -> tuple[TermVariable, ...]:
    """Return what every term is in a tree.

    Parameters
    ----------
    moderators : Moderators
    taken : iterable of str
        Names of other variables and dimensions.
    """
    names = Names((*SAMPLE, *taken))
    # All variables first, so that no dimension takes the name of one.
    own = {term.name: names.new(term.name) for term in moderators.terms}
    found = []
    for term in moderators.terms:
        name = own[term.name]
        rows = tuple(r for r in coefficients(moderators) if r.term == term.name)
        single = len(rows) == 1 and rows[0].label == term.name
        levels = any(_LEVEL in row.label for row in rows)
        as_columns = tuple(row.label for row in rows) == term.labels
        end = "level" if levels else "column"
        found.append(
            TermVariable(
                term=term.name,
                labels=term.labels,
                name=name,
                rows=rows,
                dimension=None if single else names.new(f"{name}_{end}"),
                columns=None if as_columns else names.new(f"{name}_coefficients"),
                column_dimension=names.new(f"{name}_column"),
            )
        )
    return tuple(found)


def mean_variables(
    moderators: Moderators, draws: Mapping[str, FloatArray]
) -> tuple[Variables, dict[str, Any]]:
    """Return mean effects by moderator, as variables and coordinates.

    Parameters
    ----------
    moderators : Moderators
    draws : mapping of str to array of shape (chains, draws)
        Of mu and of all coefficients.
    """
    names = Names(SAMPLE)
    own = {term.name: names.new(term.name) for term in moderators.terms}
    variables: Variables = {}
    coords: dict[str, Any] = {}
    for term in moderators.terms:
        rows = marginal(moderators, term)
        if not rows:
            continue
        name = own[term.name]
        dimension = names.new(f"{name}_at")
        values = np.stack([row.value(draws) for row in rows], axis=-1)
        about = {"long_name": f"mean effect by {term.name}"}
        variables[name] = ((*SAMPLE, dimension), values, about)
        coords[dimension] = [_inside(row.label, term.name) for row in rows]
    return variables, coords


def constant_data(task: Task) -> tuple[Variables, dict[str, Any]]:
    """Return what was known of every estimate before it was one.

    Parameters
    ----------
    task : Task
        The data.

    Returns
    -------
    variables, coords
        ``se``; of counts sizes of the groups; with columns of the mean or of log tau,
        ``design`` of shape (study, column), and every moderator as it was given.
    """
    variables: Variables = {"se": (("study",), task.effects.se)}
    counts = task.effects.counts
    if counts is not None:
        what = "person-time" if counts.rates else "members"
        variables = {
            name: (("study",), values, {"long_name": f"{what} of group {name[1]}"})
            for name, values in counts.columns.items()
            if not name.startswith("x")
        }
    if not task.columns:
        return variables, {}
    design = np.column_stack([column.values for column in task.columns])
    variables["design"] = ("study", "column"), design
    coords = {"column": [column.parameter.name for column in task.columns]}
    names = Names((*variables, "study", "column", "cluster", "cluster_label"))
    both = (task.moderators, task.scale_moderators)
    made = [moderators for moderators in both if moderators is not None]
    codings = {c.name: c for moderators in made[::-1] for c in moderators.codings}
    sources = {s.name: s for moderators in made for s in moderators.sources}
    for source in sources.values():
        values: Any = source.values
        about: dict[str, Any] = {"long_name": source.name}
        if source.levels:
            values = np.array(source.levels)[source.values.astype(int)]
            about["levels"] = ", ".join(source.levels)
        coding = codings.get(source.name)
        if coding is not None and coding.factor:
            about["contrasts"] = coding.contrasts
        elif coding is not None:
            about |= {"centre": float(coding.centre[0]), "sd": float(coding.sd[0])}
        variables[names.new(source.name)] = (("study",), values, about)
    return variables, coords


def _inside(label: str, term: str) -> str:
    """Return what a label has in its brackets."""
    return label.removeprefix(term)[1:-1].removeprefix(_LEVEL)
