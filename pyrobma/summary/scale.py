"""Stage 6: tables of moderators of heterogeneity."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from pyrobma._format import fixed
from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.quantities import Quantity, fixed_at, posterior
from pyrobma.ensemble.spread import (
    log_ratios,
    scale_coefficients,
    scale_moderators_of,
    tau_at,
    variance_ratio,
)
from pyrobma.models import heterogeneous
from pyrobma.summary.estimates import ERRORS, digit_notes, estimate, estimate_formats
from pyrobma.summary.moderators import coding_notes, setting_notes
from pyrobma.summary.notes import scale_notes
from pyrobma.summary.table import Table


def scale_coefficients_table(
    ensemble: Ensemble, probs: Sequence[float], *, conditional: bool = False
) -> Table:
    """Tabulate the coefficients of log tau, averaged or conditional.

    Parameters
    ----------
    ensemble : Ensemble
        With moderators of heterogeneity.
    probs
        As in `summarise`.
    conditional : bool
        Each coefficient over the models that have its term; else over those with
        heterogeneity.
    """
    moderators = scale_moderators_of(ensemble)
    among = heterogeneous(ensemble.space)
    found = {}
    for row in scale_coefficients(moderators):
        given = among
        if conditional and ensemble.members(row.term).any():
            given = ensemble.alternatives(row.term)
        found[row.label] = estimate(posterior(ensemble, row, given), probs)
        if not conditional:
            found[row.label]["P(=0)"] = _absent(ensemble, row)
    frame = pd.DataFrame.from_dict(found, orient="index")
    if not conditional:  # beside the estimates, before their error
        frame.insert(len(frame.columns) - 1 - len(ERRORS), "P(=0)", frame.pop("P(=0)"))
    kind = "Conditional" if conditional else "Model-averaged"
    models = "models with the term" if conditional else "models with heterogeneity"
    notes = (
        f"Of log tau, averaged over {models}: exp of a coefficient is the ratio of "
        "standard deviations of true effects.",
        *coding_notes(moderators, standardized=True, where="tau"),
    )
    formats = estimate_formats(frame.drop(columns="P(=0)", errors="ignore"), None)
    return Table(
        f"{kind} estimates of heterogeneity moderators:",
        frame,
        {**formats, "P(=0)": fixed(3)},
        notes + digit_notes(frame, formats),
    )


def _absent(ensemble: Ensemble, row: Quantity) -> float:
    """Return the probability that a coefficient is 0, given heterogeneity."""
    posts = ensemble.posterior_given(heterogeneous(ensemble.space))
    return float(
        sum(
            p
            for p, spec in zip(posts, ensemble.space, strict=True)
            if fixed_at(row, spec) == 0
        )
    )


def tau_table(
    ensemble: Ensemble,
    output_scale: Measure | None,
    probs: Sequence[float],
    *,
    conditional: bool = False,
) -> Table:
    """Tabulate tau by the values of its moderators.

    Parameters
    ----------
    ensemble : Ensemble
        With moderators of heterogeneity.
    output_scale, probs
        As in `summarise`.
    conditional : bool
        Over models with heterogeneity only.
    """
    moderators = scale_moderators_of(ensemble)
    given = heterogeneous(ensemble.space) if conditional else None
    found = {
        row.label: estimate(
            tau_at(ensemble, row, given=given, output_scale=output_scale), probs
        )
        for term in moderators.terms
        for row in log_ratios(moderators, term)
    }
    frame = pd.DataFrame.from_dict(found, orient="index")
    title = "Heterogeneity (tau) by its moderators:"
    if conditional:
        title = "Conditional heterogeneity (tau) by its moderators:"
    if not found:
        return Table(title, frame, notes=("No moderator has values to show.",))
    notes = (
        *scale_notes(ensemble, output_scale, linear="tau"),
        *setting_notes(moderators, moderators.terms),
    )
    formats = estimate_formats(frame, output_scale)
    return Table(title, frame, formats, notes + digit_notes(frame, formats))


def variance_ratios_table(ensemble: Ensemble, probs: Sequence[float]) -> Table:
    """Tabulate ratios of variances of true effects.

    Parameters
    ----------
    ensemble : Ensemble
        With moderators of heterogeneity.
    probs
        As in `summarise`.

    Returns
    -------
    Table
        Of a number the variance one standard deviation above its mean over that one
        below; of a factor a row for each pair of levels.
    """
    moderators = scale_moderators_of(ensemble)
    found = {}
    for term in moderators.terms:
        rows = log_ratios(moderators, term)
        pairs = [*itertools.combinations(rows, 2)]
        if not term.factor and len(rows) == 3:  # -1, 0 and 1 SD
            pairs = [(rows[2], rows[0])]
        for one, other in pairs:
            label = f"{one.label} / {other.label}"
            ratio = replace(one.minus(other), label=label)
            found[label] = estimate(variance_ratio(ensemble, ratio), probs)
    frame = pd.DataFrame.from_dict(found, orient="index")
    title = "Ratios of variances of true effects:"
    if not found:
        return Table(title, frame, notes=("No moderator has values to show.",))
    notes = ("Averaged over models with heterogeneity; 1: they do not differ.",)
    formats = estimate_formats(frame, None)
    return Table(title, frame, formats, notes + digit_notes(frame, formats))
