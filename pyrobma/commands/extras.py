"""What a folder of results has only if it is asked for: predictions, sensitivity."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from pyrobma.baselines import baseline_sensitivity
from pyrobma.commands.table import read_table
from pyrobma.effects import Measure
from pyrobma.errors import DataError
from pyrobma.parameters import UNKNOWNS
from pyrobma.report import Figure, alternatives
from pyrobma.report.tables import file_names, predictions_table
from pyrobma.result import RobmaFit
from pyrobma.sensitivity import sensitivity
from pyrobma.summary import Table

BASELINE = "baseline"
"""What ``--sensitivity`` calls the baselines of counts."""


@dataclass(frozen=True, slots=True)
class Extra:
    """A table of results, and its figure.

    Attributes
    ----------
    name : str
        Of its files.
    table : Table
        As it is shown.
    frame : DataFrame
        What the CSV file has.
    figure : Figure or None
        Of the same name.
    """

    name: str
    table: Table
    frame: pd.DataFrame
    figure: Figure | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """An extra that is made when it is asked for.

    Attributes
    ----------
    name : str
        Of the extra.
    make : callable
        Returns it, or raises what a user is told.
    """

    name: str
    make: Callable[[], Extra]


def read_newdata(options: argparse.Namespace) -> pd.DataFrame | None:
    """Read the table of ``--predict``; None without."""
    if options.predict is None:
        return None
    try:
        table = read_table(
            options.predict,
            sep=options.sep,
            decimal=options.decimal,
            encoding=options.encoding,
        )
    except DataError as error:
        text = str(error).removeprefix("file: ")
        raise DataError(f"--predict: {text}") from error
    return table.frame


def check_components(names: Sequence[str], terms: Sequence[str]) -> None:
    """Refuse components of ``--sensitivity`` that no model could have.

    Those that this analysis happens not to have are found by `sensitivity`.
    """
    known = [
        name for name in UNKNOWNS.by_component if name not in ("bias", "selection")
    ]
    known += [*terms, BASELINE]
    for name in names:
        if name not in known:
            raise DataError(
                f"--sensitivity: expected some of {', '.join(known)}; got {name!r}."
            )


def predictions(
    fit: RobmaFit, newdata: pd.DataFrame, output_scale: Measure | None
) -> Extra:
    """Return what the models predict for the rows of a table."""
    table = predictions_table(fit, newdata, output_scale=output_scale)
    found = table.frame.set_axis(newdata.index)
    frame = pd.concat([newdata, found], axis=1)
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    return Extra("predictions", table, frame)


def sensitivities(
    fit: RobmaFit, components: Sequence[str], *, cores: int | None, quiet: bool
) -> list[Planned]:
    """Plan to find how results change with the prior of each component."""
    names = file_names(f"sensitivity_{component}" for component in components)
    how = {"cores": cores, "progress": False if quiet else None}
    return [
        Planned(name, partial(_sensitivity, fit, name, component, how))
        for name, component in zip(names, components, strict=True)
    ]


def _sensitivity(
    fit: RobmaFit, name: str, component: str, how: Mapping[str, Any]
) -> Extra:
    if component == BASELINE and fit.task.effects.counts is not None:
        others = baseline_sensitivity(fit, **how)
        return Extra(name, others.summary(), others.frame)
    try:
        found = sensitivity(fit, component, **how)
    except DataError as error:
        raise DataError(f"--sensitivity: {error}") from error
    title = fit.unknowns.component(component).title
    figure = Figure(
        name, "sensitivity", f"Bayes factor of {title} by the scale of its prior.",
        found.plot, partial(alternatives.sensitivity, name=name),
    )  # fmt: skip
    return Extra(name, found.summary(), found.frame, figure)
