"""Stage 6: tables of averaged estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from pyrobma._format import Format, error
from pyrobma._types import FloatArray
from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble, Mixture
from pyrobma.models import coded_columns
from pyrobma.summary.grid import PAD, by_row
from pyrobma.summary.notes import (
    count_notes,
    learning_notes,
    scale_notes,
    tau_notes,
    weight_notes,
)
from pyrobma.summary.table import Table

ERRORS: Final = ("error(Mean)", "error(Quantiles)")
"""Monte Carlo standard errors: of the mean, and the largest of the quantiles'."""


def estimates_table(
    ensemble: Ensemble,
    output_scale: Measure | None,
    probs: Sequence[float],
    *,
    conditional: bool = False,
) -> Table:
    """Tabulate averaged (or conditional) estimates of every parameter."""
    # Coefficients of moderators have their own tables.
    task = ensemble.task
    made = coded_columns(task.moderators, task.scale_moderators)
    terms = [column.parameter.name for column in made]
    shown = tuple(name for name in ensemble.parameters if name not in terms)
    if conditional:
        tested = {c for model in ensemble.space.models for c in model.alternative}
        shown = tuple(p for p in shown if ensemble.component_of(p) in tested)
    rows = {
        p: estimate(
            ensemble.mixture(p, conditional=conditional, output_scale=output_scale),
            probs,
        )
        for p in shown
    }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    title = "Conditional estimates:" if conditional else "Model-averaged estimates:"
    if not rows:
        return Table(title, frame, notes=("No model has an alternative prior.",))
    grid = ensemble.p_values
    notes = learning_notes(ensemble)
    notes += scale_notes(ensemble, output_scale, without=terms)
    notes += tau_notes(ensemble) if "tau" in rows else ()
    notes += count_notes(ensemble)
    notes += weight_notes(None if grid is None else grid.sides)
    symbols = ensemble.unknowns.latex
    formats = estimate_formats(frame, output_scale)
    return Table(title, frame, formats, notes + digit_notes(frame, formats), symbols)


def estimate(mixture: Mixture, probs: Sequence[float]) -> dict[str, float]:
    """Return a row of a table of estimates."""
    levels = [0.5, *probs]
    median, *quantiles = mixture.quantiles(levels)
    mean, mcse = mixture.mean(), mixture.mcse()
    errors = mixture.quantile_errors(levels)
    # A parameter that is equal in all draws can differ in their last digits.
    rounding = np.finfo(np.float64).eps * abs(mean)
    return {
        "Mean": mean,
        "Median": float(median),
        **{f"{p:g}": float(q) for p, q in zip(probs, quantiles, strict=True)},
        "error(Mean)": mcse if mcse > rounding else 0.0,
        "error(Quantiles)": float(np.nanmax(np.where(errors > rounding, errors, 0.0))),
    }


def estimate_formats(
    frame: pd.DataFrame, output_scale: Measure | None
) -> dict[str, Format | tuple[str, ...]]:
    """Return how a table of such rows is printed."""
    return {
        **by_row(frame.drop(columns=[*ERRORS]), output_scale),
        **dict.fromkeys(ERRORS, error),
    }


def excess_errors(
    frame: pd.DataFrame, formats: Mapping[str, Format | tuple[str, ...]]
) -> FloatArray:
    """Return each row's Monte Carlo error over what its printed digits leave room for.

    A last digit that may be off by more than two of its units is uncertain: 1 is two
    units. Formats that are not texts have no digits of their own.
    """
    texts = [f for f in formats.values() if isinstance(f, tuple)]
    digits = [
        max(len(t[row].rstrip(PAD).partition(".")[2]) for t in texts)
        for row in range(len(frame))
    ]
    largest = frame[[*ERRORS]].max(axis=1).to_numpy(dtype=np.float64)
    room = 2.0 * 10.0 ** -np.array(digits, dtype=np.float64)
    return np.asarray(np.nan_to_num(largest) / room)


def digit_notes(
    frame: pd.DataFrame, formats: Mapping[str, Format | tuple[str, ...]]
) -> tuple[str, ...]:
    """Say so where more digits are printed than Monte Carlo errors leave certain."""
    uncertain = excess_errors(frame, formats) > 1
    if not uncertain.any():
        return ()
    # What does not exist has no error.
    worst = float(np.nanmax(frame.loc[uncertain, [*ERRORS]].to_numpy()))
    return (
        f"Monte Carlo errors reach {error(worst)}: last digits may be off by as much. "
        'precision="publication" makes three decimals of effects certain.',
    )
