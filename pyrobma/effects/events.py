"""Stage 1's other door: events of two groups, as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pyrobma._switchers import for_switchers
from pyrobma._types import BoolArray
from pyrobma.effects._columns import read_columns
from pyrobma.effects._missing import Missing, check_missing, kept_rows
from pyrobma.effects._numbers import as_floats
from pyrobma.effects._tables import AnyTable, read_table
from pyrobma.effects.convert import Measure
from pyrobma.effects.counts import checked_groups, crude_log_ratio, event_arguments
from pyrobma.effects.data import EffectSizes
from pyrobma.effects.entry import cluster_numbers, study_labels, texts


@for_switchers("event_counts(data, x1='ai', n1='n1i', x2='ci', n2='n2i')")
def event_counts(
    data: AnyTable | None = None,
    *,
    x1: Any = None,
    n1: Any = None,
    t1: Any = None,
    x2: Any = None,
    n2: Any = None,
    t2: Any = None,
    study_names: Any = None,
    study_ids: Any = None,
    missing: Missing = "error",
) -> EffectSizes:
    """Read the events of two groups, to be modelled as they are.

    No cell is corrected: the likelihood is that of the counts (see `robma`). Every
    argument but the first and the last is the name of a column of `data`, or an array,
    list or Series of length K.

    Parameters
    ----------
    data : DataFrame, table, mapping or None
        Table with one row per study; any that `effect_sizes` takes.
    x1, x2 : column name or array
        Numbers of events in group 1, the treatment, and group 2: whole, not negative,
        0 as it is.
    n1, n2 : column name or array
        Members of the groups, whole and positive. Effects are then log odds ratios,
        positive where events are more frequent in group 1.
    t1, t2 : column name or array
        Person-time of the groups, positive, in any unit, instead of `n1` and `n2`.
        Effects are then log rate ratios.
    study_names, study_ids : column name or array, optional
        Labels; ids of clusters. As in `effect_sizes`.
    missing : {"error", "drop"}
        What to do with rows that lack a number: refuse them, or leave them out with a
        warning that says which.

    Returns
    -------
    EffectSizes
        With `counts`. Its `y` and `se` are crude log ratios, with 1/2 added to the
        cells of studies where one is 0; they are for figures only.

    Raises
    ------
    DataError
        If an argument lacks, or a number is missing, negative, not whole, or more
        events than there are members.

    Warns
    -----
    DataWarning
        If rows are dropped, or all of several studies share one cluster.

    Examples
    --------
    >>> events = event_counts(x1=[4, 0], n1=[40, 35], x2=[7, 0], n2=[41, 38])
    >>> events.counts.x2
    array([7., 0.])
    """
    made, _ = counts_and_rows(
        data, x1=x1, n1=n1, t1=t1, x2=x2, n2=n2, t2=t2, study_names=study_names,
        study_ids=study_ids, missing=missing,
    )  # fmt: skip
    return made


def counts_and_rows(
    data: AnyTable | None,
    *,
    study_names: Any,
    study_ids: Any,
    missing: Missing,
    **events: Any,
) -> tuple[EffectSizes, BoolArray]:
    """Return what `event_counts` does, and which rows of the table these are.

    Parameters
    ----------
    data, study_names, study_ids, missing, **events
        As in `event_counts`.
    """
    check_missing(missing)
    rates = events["t1"] is not None or events["t2"] is not None
    purpose = "of counts over person-time" if rates else "of counts out of totals"
    given = event_arguments(purpose, rates, **events)
    labels = {"study_names": study_names, "study_ids": study_ids}
    values, rows = read_columns(read_table(data), {**given, **labels})
    cluster_ids = texts(values.get("study_ids"), rows.K)
    names = study_labels(texts(values.get("study_names"), rows.K), cluster_ids)
    rows = replace(rows, names=names)
    numbers = {name: as_floats(name, values[name], rows.where) for name in given}
    gone = {name: np.isnan(one) for name, one in numbers.items()}
    keep = kept_rows(
        ", ".join(name for name, mask in gone.items() if mask.any()), gone, rows,
        missing, fill="fill in what is missing",
        useless="Check that these are the right columns, and how they were read.",
    )  # fmt: skip
    rows = rows.kept(keep)
    groups = checked_groups({n: one[keep] for n, one in numbers.items()}, rows)
    y, se = crude_log_ratio(groups)
    cluster, cluster_labels = cluster_numbers(cluster_ids, keep)
    measure: Measure = "logIRR" if rates else "logOR"
    made = EffectSizes(
        y=y,
        se=se,
        measure=measure,
        original=(measure,) * rows.K,
        names=rows.names or (),
        cluster=cluster,
        cluster_labels=cluster_labels,
        counts=groups,
    )
    return made, keep
