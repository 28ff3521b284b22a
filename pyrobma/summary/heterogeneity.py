"""Stage 6: tables of heterogeneity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from pyrobma._types import BoolArray
from pyrobma.effects import Measure
from pyrobma.ensemble import (
    CLUSTER_MEASURES,
    Ensemble,
    heterogeneity,
    prediction_interval,
)
from pyrobma.ensemble.quantiles import check_probs
from pyrobma.summary.checks import ensemble_warnings
from pyrobma.summary.estimates import digit_notes, estimate, estimate_formats
from pyrobma.summary.heading import heading
from pyrobma.summary.models import model_titles
from pyrobma.summary.notes import learning_notes, scale_notes, tau_notes
from pyrobma.summary.scale import tau_table, variance_ratios_table
from pyrobma.summary.summaries import kind_of
from pyrobma.summary.table import Summary, Table

HeterogeneityType: TypeAlias = Literal["ensemble", "individual"]

_PREDICTION = (
    "PI: true effect of a new study; its quantiles bound prediction intervals."
)
_NO_MEAN = "It has no mean on this scale: the tail is too heavy."


def heterogeneity_summary(
    ensemble: Ensemble,
    type: str = "ensemble",
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
) -> Summary:
    """Tabulate how much true effects differ.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    type : {"ensemble", "individual"}
        ``"ensemble"``: averaged over models. ``"individual"``: every model on its own.
        The first letter is enough.
    conditional : bool
        Add a table over the models with heterogeneity only ("ensemble"): the true
        effect of a new study given an effect, ICC given a correlation in clusters.
    output_scale : str, optional
        Measure of the effect and of tau, as in `Ensemble.mixture`. None: the prior
        scale.
    probs : sequence of float
        Quantiles to show, in [0, 1].

    Returns
    -------
    Summary
        Table ``heterogeneity``, with `conditional` also ``heterogeneity_conditional``;
        or ``model_1``, ``model_2``, ... Rows: PI, the true effect of a new study
        (`prediction_interval`), and the measures of `heterogeneity`. With moderators of
        heterogeneity also ``tau``, tau at their values (numbers at their mean and one
        standard deviation to either side, factors at their levels), and
        ``variance_ratios`` between these.

    Raises
    ------
    DataError
        On an unknown type or scale, or probabilities outside [0, 1].
    """
    kind = kind_of(type, get_args(HeterogeneityType))
    levels = tuple(check_probs(probs).values())
    if kind == "individual":
        alone = np.ones(1, dtype=bool)
        tables = {
            f"model_{i}": _table(each, title, output_scale, levels, given=alone)
            for i, (each, title) in enumerate(
                zip(_models(ensemble), model_titles(ensemble), strict=True), start=1
            )
        }
        return Summary(heading(ensemble), tables, ensemble_warnings(ensemble))
    tables = {
        "heterogeneity": _table(
            ensemble, "Model-averaged heterogeneity:", output_scale, levels
        )
    }
    if conditional:
        tables["heterogeneity_conditional"] = _table(
            ensemble, "Conditional heterogeneity:", output_scale, levels, True
        )
    if ensemble.task.scale_moderators is not None:
        tables["tau"] = tau_table(ensemble, output_scale, levels)
        if conditional:
            tables["tau_conditional"] = tau_table(
                ensemble, output_scale, levels, conditional=True
            )
        tables["variance_ratios"] = variance_ratios_table(ensemble, levels)
    return Summary(heading(ensemble), tables, ensemble_warnings(ensemble))


def _models(ensemble: Ensemble) -> Iterator[Ensemble]:
    """Yield every model as an ensemble of its own.

    Selecting it from all would take a look at all of them for each.
    """
    for model, fit in zip(ensemble.space.models, ensemble.fits, strict=True):
        yield replace(
            ensemble, space=replace(ensemble.space, models=(model,)), fits=(fit,)
        )


def _table(
    ensemble: Ensemble,
    title: str,
    output_scale: Measure | None,
    probs: Sequence[float],
    conditional: bool = False,
    given: BoolArray | None = None,
) -> Table:
    rows: dict[str, dict[str, float]] = {}
    if not conditional or ensemble.members("effect").any():
        rows["PI"] = prediction_interval(
            ensemble,
            conditional=conditional,
            output_scale=output_scale,
            probs=probs,
            given=given,
        )
    if not conditional or ensemble.members("heterogeneity").any():
        found = heterogeneity(
            ensemble, conditional=conditional, output_scale=output_scale, given=given
        )
        rows |= {name: estimate(mixed, probs) for name, mixed in found.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index")
    if not rows:
        return Table(title, frame, notes=("No model has an alternative prior.",))
    clustered = set(CLUSTER_MEASURES) <= set(rows)
    linear = "tau, its parts and tau2" if clustered else "tau and tau2"
    notes = learning_notes(ensemble)
    notes += scale_notes(ensemble, output_scale, linear=linear)
    if "PI" in rows:
        notes = (prediction_note(rows["PI"]), *notes)
    notes += tau_notes(ensemble)
    if ensemble.task.scale_moderators is not None:
        notes += (
            "PI and parts of tau are likewise; I2 and H2 have the mean variance of the "
            "rows.",
        )
    if clustered:
        notes = (*notes, _cluster_note(ensemble, conditional, given))
    formats = estimate_formats(frame, output_scale)
    return Table(title, frame, formats, notes + digit_notes(frame, formats))


def _cluster_note(
    ensemble: Ensemble, conditional: bool, given: BoolArray | None
) -> str:
    note = "ICC: correlation of two true effects of one cluster"
    everywhere = ensemble.members("heterogeneity").all()
    if conditional or given is not None or everywhere:
        return note + "."
    return note + ", over models with heterogeneity."


def prediction_note(found: Mapping[str, float]) -> str:
    """Return the footnote of a row that `prediction_interval` returned."""
    return f"{_PREDICTION} {_NO_MEAN}" if np.isnan(found["Mean"]) else _PREDICTION
