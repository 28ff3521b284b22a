"""Events of two groups: counts out of totals, or counts over person-time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from pyrobma._types import BoolArray, FloatArray, IntArray
from pyrobma.effects._columns import Rows, read_numbers
from pyrobma.effects._reported import REMEDY, check_counts
from pyrobma.effects._tables import AnyTable, read_table
from pyrobma.errors import DataError

RATES: Final = ("IRR", "IRD")
"""Measures of counts over person-time; all others are of counts out of totals."""


@dataclass(frozen=True, slots=True, eq=False)
class TwoGroups:
    """Events in group 1 and group 2 of K studies.

    Attributes
    ----------
    x1, x2 : array of shape (K,)
        Numbers of events, whole and not negative.
    size1, size2 : array of shape (K,)
        Members of the groups, or person-time; positive.
    rates : bool
        Whether the sizes are person-time.
    rows : Rows
        What messages call the studies.
    """

    x1: FloatArray
    x2: FloatArray
    size1: FloatArray
    size2: FloatArray
    rates: bool
    rows: Rows

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for name in ("x1", "x2", "size1", "size2"):
            array = np.array(getattr(self, name), dtype=np.float64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def K(self) -> int:
        """Number of studies."""
        return self.rows.K

    @property
    def silent(self) -> BoolArray:
        """Studies that say nothing about a ratio: no events, or nothing but events."""
        none = self.x1 + self.x2 == 0.0
        if self.rates:
            return np.asarray(none)
        return np.asarray(none | (self.x1 + self.x2 == self.size1 + self.size2))

    @property
    def columns(self) -> dict[str, FloatArray]:
        """The numbers by what they are called in calls and tables."""
        size = "t" if self.rates else "n"
        return {
            "x1": self.x1, f"{size}1": self.size1,
            "x2": self.x2, f"{size}2": self.size2,
        }  # fmt: skip

    def __eq__(self, other: object) -> bool:
        """Tell whether both have the same numbers, whatever their rows are called."""
        if not isinstance(other, TwoGroups):
            return NotImplemented
        mine, theirs = self.columns, other.columns
        return mine.keys() == theirs.keys() and all(
            np.array_equal(values, theirs[name]) for name, values in mine.items()
        )

    def __reduce__(self) -> tuple[type[TwoGroups], tuple[Any, ...]]:
        """Rebuild through the constructor: pickled arrays come back writeable."""
        return TwoGroups, (
            self.x1, self.x2, self.size1, self.size2, self.rates, self.rows,
        )  # fmt: skip

    def kept(self, mask: BoolArray) -> TwoGroups:
        """Return some of the studies."""
        return replace(self.kept_at(np.flatnonzero(mask)), rows=self.rows.kept(mask))

    def kept_at(self, places: IntArray) -> TwoGroups:
        """Return the numbers of studies in another order."""
        x1, x2 = self.x1[places], self.x2[places]
        size1, size2 = self.size1[places], self.size2[places]
        return TwoGroups(x1, x2, size1, size2, self.rates, Rows(len(places)))


def read_groups(
    data: AnyTable | None,
    *,
    x1: Any,
    x2: Any,
    n1: Any,
    n2: Any,
    t1: Any,
    t2: Any,
    measure: str,
    measures: Sequence[str],
) -> TwoGroups:
    """Read and check the events of two groups.

    Parameters
    ----------
    data : DataFrame, table, mapping or None
        Table in which a string names a column.
    x1, x2 : column name or array of shape (K,)
        Numbers of events.
    n1, n2 : column name, array of shape (K,), or None
        Members of the groups, for all measures but rates.
    t1, t2 : column name, array of shape (K,), or None
        Person-time, for rates.
    measure : str
        What is to be estimated.
    measures : sequence of str
        What may be.

    Returns
    -------
    TwoGroups

    Raises
    ------
    DataError
        If an argument lacks, is of no use for the measure, or has a value that cannot
        be: missing, negative, not whole, events above their total.
    """
    if measure not in measures:
        listed = ", ".join(f'"{name}"' for name in measures)
        raise DataError(
            f"measure: expected one of {listed}; got {measure!r}. Use one of these."
        )
    given = event_arguments(
        f'for measure "{measure}"', measure in RATES,
        x1=x1, x2=x2, n1=n1, n2=n2, t1=t1, t2=t2,
    )  # fmt: skip
    numbers, rows = read_numbers(read_table(data), given)
    return checked_groups(numbers, rows)


def event_arguments(
    purpose: str, rates: bool, *, x1: Any, x2: Any, n1: Any, n2: Any, t1: Any, t2: Any
) -> dict[str, Any]:
    """Return the arguments that counts need, all of which are given, and no others.

    Parameters
    ----------
    purpose : str
        What they are for, in messages.
    rates : bool
        Whether the sizes are person-time.
    x1, x2, n1, n2, t1, t2 : column name, array or None
        As in `read_groups`.

    Raises
    ------
    DataError
        If one lacks, or is of no use.
    """
    totals, times = {"n1": n1, "n2": n2}, {"t1": t1, "t2": t2}
    sizes, others = (times, totals) if rates else (totals, times)
    what = "person-time" if rates else "members of the groups"
    for name, value in others.items():
        if value is not None:
            raise DataError(
                f"{name}: expected None {purpose}, which needs the {what}"
                f"; got a value. Give {' and '.join(sizes)} instead."
            )
    for name, value in {"x1": x1, "x2": x2, **sizes}.items():
        if value is None:
            role = "events" if name.startswith("x") else what
            raise DataError(
                f"{name}: expected a column name or one value per study, the {role}; "
                "got None. Give the numbers."
            )
    return {"x1": x1, "x2": x2, **sizes}


def checked_groups(numbers: dict[str, FloatArray], rows: Rows) -> TwoGroups:
    """Return the events of two groups, after checking each number.

    Parameters
    ----------
    numbers : dict of str to array of shape (K,)
        By argument: ``"x1"``, ``"x2"``, and ``"n1"``, ``"n2"`` or ``"t1"``, ``"t2"``.
    rows : Rows
        What messages call the studies.

    Raises
    ------
    DataError
        If a value cannot be: missing, negative, not whole, events above their total.
    """
    rates = "t1" in numbers
    for name, values in numbers.items():
        if name.startswith("t"):
            bad = ~(np.isfinite(values) & (values > 0.0))
            rows.refuse(bad, name, "positive finite person-time", values, REMEDY)
        else:
            check_counts(values, name, int(name.startswith("n")), rows)
    if not rates:
        _refuse_more_events_than_members(numbers, rows)
    size = "t" if rates else "n"
    return TwoGroups(
        numbers["x1"], numbers["x2"], numbers[f"{size}1"], numbers[f"{size}2"],
        rates, rows,
    )  # fmt: skip


def crude_log_ratio(groups: TwoGroups) -> tuple[FloatArray, FloatArray]:
    """Return log odds or rate ratios with 1/2 added to cells where one is 0.

    Parameters
    ----------
    groups : TwoGroups
        Events of K studies.

    Returns
    -------
    estimate, se : array of shape (K,)
        For figures, and to begin computations with; no likelihood uses them.
    """
    cells = [groups.x1, groups.x2]
    if not groups.rates:
        cells += [groups.size1 - groups.x1, groups.size2 - groups.x2]
    some_zero = np.min(cells, axis=0) == 0.0
    a, b, *others = (cell + 0.5 * some_zero for cell in cells)
    c, d = others or (groups.size1, groups.size2)
    variance = 1.0 / a + 1.0 / b
    if others:
        variance = variance + 1.0 / c + 1.0 / d
    return np.log(a / c) - np.log(b / d), np.sqrt(variance)


def _refuse_more_events_than_members(x: dict[str, FloatArray], rows: Rows) -> None:
    for events, total in (("x1", "n1"), ("x2", "n2")):

        def got(row: int, events: str = events, total: str = total) -> str:
            return f"{x[events][row]:g} events of {x[total][row]:g}"

        rows.refuse(
            x[events] > x[total],
            events,
            f"no more events than {total} has members",
            got,
            f"If {total} has those without the event, give the sum. {REMEDY}",
        )
