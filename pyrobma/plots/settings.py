"""Stage 7: where the lines of a term are drawn, and the rows of the design there."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.effects import Coding, Moderators, Term
from pyrobma.effects._formula import parse_formula
from pyrobma.errors import DataError
from pyrobma.plots.numbers import number

_STEPS: Final = (-1.0, 0.0, 1.0)
"""Where a number is that others interact with, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One line, or one level: other variables of the term are fixed.

    Attributes
    ----------
    level : str
        Levels of factors and values of numbers; "" if there is nothing to fix.
    design : array of shape (n, P)
        Rows of the design along the line.
    coded : mapping of str to array of shape (n, columns)
        The variables of the term there, as they are coded.
    """

    level: str
    design: FloatArray
    coded: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a term along a number.

    Attributes
    ----------
    title : str
        The column of the data, or the variable of the formula, on the axis.
    x : array of shape (n,)
        Its values along the lines, from the smallest to the largest of the data.
    at_rows : array of shape (K,)
        Its values in the rows of the data.
    settings : tuple of Setting
        One for each line.
    levels : tuple of str, length K
        The line that each row belongs to; "" if none, as with values of a number.
    """

    title: str
    x: FloatArray
    at_rows: FloatArray
    settings: tuple[Setting, ...]
    levels: tuple[str, ...]


def has_axis(moderators: Moderators, term: Term) -> bool:
    """Whether `lines_of` does not refuse a term."""
    numbers = [c for c in map(moderators.coding, term.variables) if not c.factor]
    only = _only_source(moderators)
    return not numbers or numbers[0].n == 1 or numbers[0].name in only


def lines_of(moderators: Moderators, term: Term, n: int) -> Lines | None:
    """Return the lines of a term along its first number; None if it has none.

    Parameters
    ----------
    moderators : Moderators
    term : Term
    n : int
        Number of points of a line.

    Returns
    -------
    Lines or None
        Along the column of the data if the number depends on no other one: then all
        variables that depend on this column only follow it, as with ``age +
        I(age ** 2)``. Variables that are not part of the term are at their reference.

    Raises
    ------
    DataError
        If the number has several columns that depend on several columns of the data.
    """
    numbers = [c for c in map(moderators.coding, term.variables) if not c.factor]
    if not numbers:
        return None
    main, *_ = numbers
    source = _only_source(moderators).get(main.name)
    if source is None:
        if main.n > 1:
            raise DataError(
                f"term: expected a function of one number; got {term.name!r}, of "
                "several. Draw predict() for rows of your choice."
            )
        title, values = main.name, main.raw[:, 0]
        x = np.linspace(values.min(), values.max(), n)
        coded = {main.name: main.columns(x[:, None])}
    else:
        title = source
        (column,) = (s for s in moderators.sources if s.name == source)
        values = column.series.to_numpy(dtype=float)
        x = np.linspace(values.min(), values.max(), n)
        coded = _followed(moderators, source, x)
    others = [moderators.coding(name) for name in term.variables if name not in coded]
    settings = tuple(
        _setting(moderators, coded, others, some, n)
        for some in itertools.product(*map(_values, others))
    )
    levels = levels_of_rows(others) if all(c.factor for c in others) else None
    return Lines(title, x, values, settings, levels or ("",) * len(values))


def _setting(
    moderators: Moderators,
    coded: Mapping[str, FloatArray],
    others: Sequence[Coding],
    some: Sequence[tuple[str, FloatArray]],
    n: int,
) -> Setting:
    """Return the line where other variables have some values."""
    fixed = {
        c.name: np.tile(row, (n, 1)) for c, (_, row) in zip(others, some, strict=True)
    }
    every = {**coded, **fixed}
    level = ", ".join(label for label, _ in some)
    return Setting(level, moderators.rows(every, n), every)


def levels_of_rows(factors: Sequence[Coding]) -> tuple[str, ...] | None:
    """Return the levels of some factors in the rows of the data; None without any."""
    if not factors:
        return None
    columns = [[c.levels[int(place)] for place in c.raw[:, 0]] for c in factors]
    return tuple(", ".join(row) for row in zip(*columns, strict=True))


def _values(coding: Coding) -> list[tuple[str, FloatArray]]:
    """Return where another variable of the term is fixed, and its coded columns."""
    if coding.factor:
        return list(zip(coding.levels, coding.matrix, strict=True))
    if coding.n > 1:
        return [("", coding.reference)]
    found = []
    # Two digits of the step from one to the next.
    sd = float(coding.spread[0] * coding.sd[0])
    digits = int(np.clip(1 - np.floor(np.log10(sd)), 0, 9))
    for step in _STEPS:
        row = coding.reference + step * coding.spread
        value = float((row * coding.sd + coding.centre)[0])
        found.append((f"{coding.name} = {number(value, digits)}", row))
    return found


def _only_source(moderators: Moderators) -> dict[str, str]:
    """Return the column of numbers that a variable alone depends on, by variable."""
    levels = {s.name: s.levels for s in moderators.sources}
    return {
        variable.name: source
        for variable in parse_formula(moderators.formula).variables
        for source in variable.sources
        if len(variable.sources) == 1 and not levels[source]
    }


def _followed(
    moderators: Moderators, source: str, x: FloatArray
) -> dict[str, FloatArray]:
    """Return coded columns of the variables that depend on one column only."""
    # Other columns have some value, which these variables do not depend on.
    table = pd.DataFrame(
        {
            s.name: x if s.name == source else [s.series.iloc[0]] * len(x)
            for s in moderators.sources
        }
    )
    design = moderators.design(table)
    columns = dict(zip(moderators.labels, design.T, strict=True))
    only = _only_source(moderators)
    return {
        c.name: np.column_stack([columns[label] for label in term.labels])
        for c in moderators.codings
        for term in moderators.terms
        if term.variables == (c.name,) and not c.factor and only.get(c.name) == source
    }
