"""What figures say, in words: for those who do not see them.

Every number is that of a table of the report, as it is written there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from pyrobma._format import counted
from pyrobma.parameters import Parameter
from pyrobma.summary import Table
from pyrobma.summary.grid import PAD

Tables: TypeAlias = Mapping[str, Table]
Row: TypeAlias = Mapping[str, str]
"""The texts of a row of a table, by column."""

_MOST: Final = 6
"""Rows of a table that a sentence holds."""


def overview(tables: Tables, number: int) -> str:
    """Say how large the effect of so many estimates is, and what is evident."""
    tau = dict(_rows(tables["estimates"]))["tau"]
    return (
        f"{counted(number, 'estimate')}; {_pooled(tables)}; heterogeneity (tau) "
        f"{_interval(tau)}; inclusion Bayes factors: {_factors(tables['components'])}."
    )


def forest(tables: Tables, number: int) -> str:
    """Say what a forest plot of so many estimates ends with."""
    return f"Forest plot of {counted(number, 'estimate')}; {_pooled(tables)}."


def funnel(tables: Tables, number: int) -> str:
    """Say between what the estimates of a funnel plot are."""
    table = tables["true_effects"]
    values, texts = table.frame["Estimate"], table.formatted()["Estimate"]
    low, high = texts.iloc[values.argmin()], texts.iloc[values.argmax()]
    return (
        f"Funnel plot of {counted(number, 'estimate')}, from {low} to {high}; "
        f"{_pooled(tables)}."
    )


def posterior(tables: Tables, unknown: Parameter) -> str:
    """Say where the posterior of an unknown is."""
    row = dict(_rows(tables["estimates"]))[unknown.name]
    return f"Posterior of {unknown.words}: {_interval(row)}."


def weights(tables: Tables) -> str:
    """Say how probable publication is in each interval of p-values."""
    rows = [row for row in _rows(tables["estimates"]) if row[0].startswith("omega[")]
    return _sentence("Relative publication probabilities", _intervals(rows))


def slopes(tables: Tables) -> str:
    """Say what the coefficients of standard errors are, and the effect without them."""
    rows = [row for row in _rows(tables["estimates"]) if row[0] in ("PET", "PEESE")]
    return _sentence("Slopes", [*_intervals(rows), _pooled(tables)])


def terms(tables: Tables) -> str:
    """Say what the evidence for each moderator is."""
    return f"Inclusion Bayes factors: {_factors(tables['components_mods'])}."


def means(tables: Tables, term: str) -> str:
    """Say what the mean effects by a moderator are."""
    rows = _of(term, tables["marginal_means"])
    return _sentence(f"Mean effects by {term}", _intervals(rows))


def coefficients(tables: Tables, term: str) -> str:
    """Say where the posteriors of the coefficients of a moderator are."""
    rows = _of(term, tables["estimates_mods"])
    return _sentence(f"Posterior of {term}", _intervals(rows))


def scale_coefficients(tables: Tables, term: str) -> str:
    """Say where the posteriors of the coefficients of log tau are."""
    rows = _of(term, tables["estimates_scale"])
    return _sentence(f"Posterior of log tau by {term}", _intervals(rows))


def probabilities(tables: Tables) -> str:
    """Say which models are the most probable ones."""
    table = tables["models"]
    order = table.frame["Post. prob."].argsort(kind="stable")[::-1]
    rows = [_rows(table)[i] for i in order]
    found = [f"model {label} {row['Post. prob.']}" for label, row in rows]
    return _sentence("Posterior probabilities", found)


def models(tables: Tables) -> str:
    """Say how many models there are, and what they say together."""
    number = counted(len(tables["models"].frame), "model")
    return f"The effect by {number}; averaged: {_pooled(tables)}."


def chains(tables: Tables, model: int) -> str:
    """Say what the diagnostics of a model are."""
    row = dict(_rows(tables["diagnostics"]))[str(model)]
    return (
        f"Markov chains of model {model}: R-hat at most {row['max(R-hat)']}, effective "
        f"sample size at least {row['min(ESS)']}, {row['Divergences']} divergences."
    )


def sensitivity(tables: Tables, name: str) -> str:
    """Say how the Bayes factor changes with a prior."""
    return f"Inclusion Bayes factors: {_factors(tables[name])}."


def _pooled(tables: Tables) -> str:
    rows = dict(_rows(tables["pooled"]))
    effect = rows.get("adjusted", rows["estimate"])
    low, high = rows["PI"]["0.025"], rows["PI"]["0.975"]
    return f"pooled effect {_interval(effect)}, prediction interval [{low}, {high}]"


def _factors(table: Table) -> str:
    return _joined([f"{label} {row['Inclusion BF']}" for label, row in _rows(table)])


def _of(term: str, table: Table) -> list[tuple[str, Row]]:
    """Return the rows of a term: itself, or each of its levels."""
    return [
        row for row in _rows(table) if row[0] == term or row[0].startswith(f"{term}[")
    ]


def _rows(table: Table) -> list[tuple[str, Row]]:
    """Return the label and the texts of every row."""
    texts = table.formatted()
    records: list[dict[Any, Any]] = texts.to_dict("records")
    return [
        (str(label), {str(name): str(text).strip(PAD) for name, text in row.items()})
        for label, row in zip(texts.index, records, strict=True)
    ]


def _interval(row: Row) -> str:
    return f"{row['Mean']} [{row['0.025']}, {row['0.975']}]"


def _intervals(rows: Sequence[tuple[str, Row]]) -> list[str]:
    return [f"{label} {_interval(row)}" for label, row in rows]


def _sentence(start: str, found: Sequence[str]) -> str:
    return f"{start}: {_joined(found)}." if found else ""


def _joined(found: Sequence[str]) -> str:
    more = len(found) - _MOST
    return ", ".join([*found[:_MOST], *([f"and {more} more"] if more > 0 else [])])
