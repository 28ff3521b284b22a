"""Stage 6: every model on its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pyrobma._format import Format, error, fixed, integer
from pyrobma._mcmc import effective_sample_size, rank_normalised, rhat
from pyrobma._types import FloatArray
from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.fit import Fit
from pyrobma.parameters import weight_name
from pyrobma.summary.grid import by_row
from pyrobma.summary.models import model_titles
from pyrobma.summary.notes import scale_notes, tau_notes, weight_notes
from pyrobma.summary.table import Table


def individual_table(
    ensemble: Ensemble,
    number: int,
    output_scale: Measure | None,
    probs: Sequence[float],
    *,
    log_bf: bool = False,
    bf01: bool = False,
) -> Table:
    """Tabulate the estimates of one model, numbered from 1."""
    return _table(
        ensemble,
        ensemble.fits[number - 1],
        model_titles(ensemble, log_bf=log_bf, bf01=bf01)[number - 1],
        output_scale,
        probs,
        scale_notes(ensemble, output_scale) + tau_notes(ensemble),
    )


def individual_tables(
    ensemble: Ensemble,
    output_scale: Measure | None,
    probs: Sequence[float],
    *,
    log_bf: bool = False,
    bf01: bool = False,
) -> dict[str, Table]:
    """Return `individual_table` of every model, ``model_1``, ``model_2``, ..."""
    # What they share takes a look at all models, and so is found once.
    titles = model_titles(ensemble, log_bf=log_bf, bf01=bf01)
    notes = scale_notes(ensemble, output_scale) + tau_notes(ensemble)
    return {
        f"model_{i}": _table(ensemble, fit, title, output_scale, probs, notes)
        for i, (fit, title) in enumerate(
            zip(ensemble.fits, titles, strict=True), start=1
        )
    }


def _table(
    ensemble: Ensemble,
    fit: Fit,
    title: str,
    output_scale: Measure | None,
    probs: Sequence[float],
    notes: tuple[str, ...],
) -> Table:
    rows = {
        p: _row(
            ensemble.converter(p, output_scale)(fit.draws(p)),
            probs,
            fit.mean_factor(p),
        )
        for p in fit.names
    }
    selection = fit.spec.selection
    if "omega" in fit.spec.free and selection is not None:
        omega = fit.draws("omega")
        for j, (lo, hi) in enumerate(selection.intervals):
            rows[weight_name(lo, hi)] = _row(
                omega[:, :, j], probs, fit.mean_factor("omega")
            )
    frame = pd.DataFrame.from_dict(rows, orient="index")
    if not rows:
        return Table(title, frame, notes=("No free parameters.",))
    estimates = frame.columns[: frame.columns.get_loc("error(MCMC)")]
    formats: dict[str, Format | tuple[str, ...]] = {
        **by_row(frame[estimates], output_scale),
        "error(MCMC)": error,
        "error(MCMC)/SD": fixed(3),
        "ESS": integer,
        "R-hat": fixed(3),
    }
    sides = None if selection is None else selection.sides
    notes += weight_notes(sides)
    return Table(title, frame, formats, notes, ensemble.unknowns.latex)


def _row(
    values: FloatArray, probs: Sequence[float], factor: float = 1.0
) -> dict[str, float]:
    """Return the estimates of a parameter; `factor` is that of its error."""
    if np.ptp(values) == 0:
        value = float(values.flat[0])
        empty = dict.fromkeys(("error(MCMC)", "error(MCMC)/SD", "ESS", "R-hat"), np.nan)
        same = dict.fromkeys(("Median", *(f"{p:g}" for p in probs)), value)
        return {"Mean": value, "SD": 0.0} | same | empty
    stacked = values[:, :, None]
    sd = float(values.std(ddof=1))
    size = float(effective_sample_size(stacked)[0])
    bulk = rank_normalised(stacked)
    folded = rank_normalised(np.abs(stacked - np.median(stacked)))
    quantiles = np.quantile(values, [0.5, *probs], method="inverted_cdf")
    return {
        "Mean": float(values.mean()),
        "SD": sd,
        "Median": float(quantiles[0]),
        **{f"{p:g}": float(q) for p, q in zip(probs, quantiles[1:], strict=True)},
        "error(MCMC)": factor * sd / np.sqrt(size),
        "error(MCMC)/SD": factor / np.sqrt(size),
        "ESS": float(effective_sample_size(bulk)[0]),
        "R-hat": float(np.maximum(rhat(bulk), rhat(folded))[0]),
    }
