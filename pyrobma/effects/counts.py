"""Events of two groups: counts out of totals, or counts over person-time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pyrobma._types import BoolArray, FloatArray
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

    def kept(self, mask: BoolArray) -> TwoGroups:
        """Return some of the studies."""
        return TwoGroups(
            x1=self.x1[mask],
            x2=self.x2[mask],
            size1=self.size1[mask],
            size2=self.size2[mask],
            rates=self.rates,
            rows=self.rows.kept(mask),
        )


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
    rates = measure in RATES
    totals, times = {"n1": n1, "n2": n2}, {"t1": t1, "t2": t2}
    sizes, others = (times, totals) if rates else (totals, times)
    what = "person-time" if rates else "members of the groups"
    for name, value in others.items():
        if value is not None:
            raise DataError(
                f'{name}: expected None for measure "{measure}", which needs the {what}'
                f"; got a value. Give {' and '.join(sizes)} instead."
            )
    for name, value in {"x1": x1, "x2": x2, **sizes}.items():
        if value is None:
            role = "events" if name.startswith("x") else what
            raise DataError(
                f"{name}: expected a column name or one value per study, the {role}; "
                "got None. Give the numbers."
            )
    numbers, rows = read_numbers(read_table(data), {"x1": x1, "x2": x2, **sizes})
    for name in numbers:
        if name in times:
            time = numbers[name]
            bad = ~(np.isfinite(time) & (time > 0.0))
            rows.refuse(bad, name, "positive finite person-time", time, REMEDY)
        else:
            check_counts(numbers[name], name, int(name in totals), rows)
    if not rates:
        _refuse_more_events_than_members(numbers, rows)
    size1, size2 = (numbers[name] for name in sizes)
    return TwoGroups(numbers["x1"], numbers["x2"], size1, size2, rates, rows)


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
