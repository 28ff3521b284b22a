"""Stage 6: tables of moderators: their evidence, coefficients, means and contrasts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from pyrobma._format import Format, decimal, error, fixed, listed
from pyrobma.effects import Measure, Moderators, Term
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.hypotheses import PointEvidence, points_evidence
from pyrobma.ensemble.quantiles import check_probs
from pyrobma.ensemble.quantities import (
    Quantity,
    coefficients,
    converted,
    fixed_at,
    intercept,
    marginal,
    moderators_of,
    original,
    posterior,
)
from pyrobma.errors import DataError
from pyrobma.summary.checks import ensemble_warnings
from pyrobma.summary.estimates import ERRORS, digit_notes, estimate, estimate_formats
from pyrobma.summary.evidence import bayes_factors
from pyrobma.summary.heading import heading
from pyrobma.summary.notes import scale_notes
from pyrobma.summary.table import Summary, Table


def coefficients_table(
    ensemble: Ensemble,
    output_scale: Measure | None,
    probs: Sequence[float],
    *,
    conditional: bool = False,
    standardized: bool = True,
) -> Table:
    """Tabulate the intercept and what the terms add, averaged or conditional.

    Parameters
    ----------
    ensemble : Ensemble
        With moderators.
    output_scale, probs
        As in `summarise`.
    conditional : bool
        Each coefficient over the models that have its term, the intercept over those
        with an effect.
    standardized : bool
        Per standard deviation of numbers, and the intercept at their means; else per
        unit of numbers, and the intercept where they are 0.
    """
    moderators = moderators_of(ensemble)
    rows = (intercept(), *coefficients(moderators))
    if not standardized:
        rows = original(moderators)
    found = {}
    for row in rows:
        given = None
        if conditional and ensemble.members(row.term).any():
            given = ensemble.alternatives(row.term)
        mixed = converted(ensemble, row, posterior(ensemble, row, given), output_scale)
        found[row.label] = estimate(mixed, probs)
        if not conditional:
            found[row.label]["P(=0)"] = absent(ensemble, row)
    frame = pd.DataFrame.from_dict(found, orient="index")
    if not conditional:  # beside the estimates, before their error
        frame.insert(len(frame.columns) - 1 - len(ERRORS), "P(=0)", frame.pop("P(=0)"))
    kind = "Conditional" if conditional else "Model-averaged"
    notes = scale_notes(ensemble, output_scale, linear="coefficients")
    notes += coding_notes(moderators, standardized)
    formats = estimate_formats(
        frame.drop(columns="P(=0)", errors="ignore"), output_scale
    )
    return Table(
        f"{kind} meta-regression estimates:",
        frame,
        {**formats, "P(=0)": fixed(3)},
        notes + digit_notes(frame, formats),
    )


def absent(ensemble: Ensemble, row: Quantity) -> float:
    """Return the posterior probability of models that fix a quantity at 0."""
    fixed = np.array([fixed_at(row, spec) for spec in ensemble.space])
    return float(ensemble.post_prob[fixed == 0].sum())


def coding_notes(
    moderators: Moderators, standardized: bool, where: str = "the intercept"
) -> tuple[str, ...]:
    """Say what a unit of coefficients is, and what is at the reference."""
    notes = []
    own = "the effect at" if where == "the intercept" else "at"
    numbers = [c for c in moderators.codings if not c.factor and c.n == 1]
    scaled = [c for c in numbers if c.sd[0] != 1]
    if scaled and standardized:
        parts = [f"{c.name} (mean {c.centre[0]:.5g}, sd {c.sd[0]:.5g})" for c in scaled]
        notes.append(
            f"Coefficients are per standard deviation of {listed(parts)}; {where} is "
            f"{own} the means."
        )
    elif numbers:
        which = listed([c.name for c in numbers])
        at = "0" if not standardized or not any(c.centre[0] for c in numbers) else ""
        at = at or listed([f"{c.name} = {c.centre[0]:.5g}" for c in numbers])
        notes.append(f"Coefficients are per unit of {which}; {where} is {own} {at}.")
    if any(c.deviations for c in moderators.codings):
        notes.append(
            "[dif: level] is the deviation of a level from the unweighted mean of all "
            f"levels, where {where} is."
        )
    for coding in moderators.codings:
        if coding.contrasts == "treatment":
            notes.append(
                f"[dif: level] of {coding.name} is the difference from "
                f"{coding.levels[0]}, where {where} is."
            )
    return tuple(notes)


def marginal_means(
    ensemble: Ensemble,
    *terms: str,
    conditional: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
    log_bf: bool = False,
    bf01: bool = False,
) -> Summary:
    """Tabulate mean effects by moderator, each with its evidence against no effect.

    Parameters
    ----------
    ensemble : Ensemble
        With moderators.
    *terms : str
        Names of terms. None: all.
    conditional : bool
        Add means over the models with an effect or the row's term only.
    output_scale : str, optional
        Measure of the effects, as in `Ensemble.mixture`; converted draw by draw. None:
        the prior scale.
    probs : sequence of float
        Quantiles to show, in [0, 1].
    log_bf, bf01 : bool
        Show natural logs of Bayes factors; show evidence for no effect.

    Returns
    -------
    Summary
        Table ``means`` and, with `conditional`, ``means_conditional``. Rows: the
        intercept; every level of a factor; a number at its mean and one standard
        deviation to either side; every combination for an interaction. Other numbers
        are at their mean and other factors at the mean of their levels, or at the
        first one for treatment contrasts. Publication bias is not part of them.

    Raises
    ------
    DataError
        If there are no moderators or no such term, or on an unknown scale.

    Notes
    -----
    The Bayes factor is that of the models with an effect or the term, averaged,
    against the same given that the mean is 0: a ratio of densities at 0, prior over
    posterior, which are not smoothed from draws (`point_evidence`). For mu itself it is
    the inclusion Bayes factor of the effect.
    """
    moderators = moderators_of(ensemble)
    levels = tuple(check_probs(probs).values())
    chosen = _chosen(moderators, terms)
    rows = [row for term in chosen for row in marginal(moderators, term)]
    evidence = _against_zero(ensemble, (intercept(), *rows))
    tables = {}
    for name, only in (("means", False), ("means_conditional", True)):
        if only and not conditional:
            continue
        found = {}
        for row in (intercept(), *rows):
            given = _with_effect_or_term(ensemble, row.term) if only else None
            mixed = posterior(ensemble, row, given)
            found[row.label] = estimate(
                converted(ensemble, row, mixed, output_scale), levels
            )
        title = "Conditional marginal means:" if only else "Marginal means:"
        tables[name] = _with_evidence(
            title, found, evidence, log_bf, bf01, output_scale,
            (
                *scale_notes(ensemble, output_scale, linear=""),
                "Bayes factors: against a mean of 0, among models with an effect or "
                "the term.",
                *setting_notes(moderators, chosen),
            ),
        )  # fmt: skip
    return Summary(heading(ensemble), tables, ensemble_warnings(ensemble))


def contrasts(
    ensemble: Ensemble,
    term: str,
    *,
    conditional: bool = True,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
    log_bf: bool = False,
    bf01: bool = False,
) -> Summary:
    """Tabulate the differences between the levels of a factor, pair by pair.

    Parameters
    ----------
    ensemble : Ensemble
        With moderators.
    term : str
        A factor, or an interaction with one.
    conditional : bool
        Estimates over the models that have the term; else over all.
    output_scale, probs, log_bf, bf01
        As in `marginal_means`; differences are converted linearly, as tau is.

    Returns
    -------
    Summary
        Table ``contrasts``, a row for each pair. Bayes factors are of the models with
        the term against the same given that the two are equal; for a factor with two
        levels that is the inclusion Bayes factor of the term.

    Raises
    ------
    DataError
        If the term is not there, or has no levels.
    """
    moderators = moderators_of(ensemble)
    levels = tuple(check_probs(probs).values())
    own = moderators.term(term)
    rows = marginal(moderators, own) if own.factor else ()
    if not rows:
        factors = [t.name for t in moderators.terms if t.factor]
        raise DataError(
            f"term: expected a factor among {', '.join(factors) or 'none'}; got "
            f"{term!r}."
        )
    with_term = ensemble.alternatives(own.name)
    found, differences = {}, {}
    for one, other in itertools.combinations(rows, 2):
        row = one.minus(other)
        label = f"{_level(one)} - {_level(other)}"
        mixed = posterior(ensemble, row, with_term if conditional else None)
        found[label] = estimate(converted(ensemble, row, mixed, output_scale), levels)
        differences[label] = row
    asked = [(row, 0.0, with_term) for row in differences.values()]
    evidence = dict(zip(differences, points_evidence(ensemble, asked), strict=True))
    which = "models with the term" if conditional else "all models"
    table = _with_evidence(
        f"Differences between levels of {own.name}:",
        found,
        evidence,
        log_bf,
        bf01,
        output_scale,
        (
            f"Estimates are averaged over {which}; Bayes factors are against a "
            "difference of 0, among models with the term.",
            *scale_notes(ensemble, output_scale, linear="differences"),
        ),
    )
    return Summary(heading(ensemble), {"contrasts": table}, ensemble_warnings(ensemble))


def _level(row: Quantity) -> str:
    return row.label.removeprefix(row.term)[1:-1]


def _chosen(moderators: Moderators, terms: Iterable[str]) -> tuple[Term, ...]:
    return tuple(moderators.term(name) for name in terms) or moderators.terms


def _with_effect_or_term(ensemble: Ensemble, term: str) -> np.ndarray:
    found = ensemble.members("effect") | ensemble.members(term)
    return found if found.any() else np.ones_like(found)


def _against_zero(
    ensemble: Ensemble, rows: Sequence[Quantity]
) -> dict[str, PointEvidence]:
    """Return the evidence against means of 0; that of the effect for mu itself."""
    effect = ensemble.members("effect")
    found, asked = {}, []
    for row in rows:
        given = _with_effect_or_term(ensemble, row.term)
        if dict(row.weights) == {"mu": 1.0}:
            fixed = np.array([fixed_at(row, spec) for spec in ensemble.space])
            if effect.any() and not effect.all() and np.all(effect | (fixed == 0)):
                own = ensemble.evidence("effect")
                found[row.label] = PointEvidence(own.log_bf, own.log_bf_mcse, 0.0, 0.0)
                continue
            given = effect if effect.any() else given
        asked.append((row, given))
    others = points_evidence(ensemble, [(row, 0.0, given) for row, given in asked])
    found |= {row.label: one for (row, _), one in zip(asked, others, strict=True)}
    return {row.label: found[row.label] for row in rows}


def _with_evidence(
    title: str,
    found: dict[str, dict[str, float]],
    evidence: dict[str, PointEvidence],
    log_bf: bool,
    bf01: bool,
    output_scale: Measure | None,
    notes: tuple[str, ...],
) -> Table:
    frame = pd.DataFrame.from_dict(found, orient="index")
    logs = pd.Series({name: one.log_bf for name, one in evidence.items()})
    errors = pd.Series({name: one.log_bf_mcse for name, one in evidence.items()})
    name, values, texts = bayes_factors(logs, log_bf, bf01, errors)
    formats: dict[str, Format | tuple[str, ...]] = {
        **estimate_formats(frame, output_scale),
        name: texts,
        "error(log BF)": _error,
    }
    frame[name] = values
    frame["error(log BF)"] = errors
    atoms = [one.prior_atom for one in evidence.values()]
    if any(atoms):
        frame["P(=0) prior"] = atoms
        frame["P(=0)"] = [one.post_atom for one in evidence.values()]
        formats |= {"P(=0) prior": fixed(3), "P(=0)": fixed(3)}
        notes += (
            "P(=0): probability of models that fix the mean at 0, before and after the "
            "data, which the Bayes factor leaves out.",
        )
    return Table(title, frame, formats, notes)


def _error(value: float) -> str:
    return decimal(value, 0) if np.isnan(value) else error(value)


def setting_notes(moderators: Moderators, terms: Sequence[Term]) -> tuple[str, ...]:
    """Say which values of numbers tables show."""
    shown = {name for term in terms for name in term.variables}
    numbers = [
        c for c in moderators.codings if not c.factor and c.n == 1 and c.name in shown
    ]
    if not numbers:
        return ()
    parts = []
    for c in numbers:
        middle = float(c.centre[0] + c.reference[0] * c.sd[0])
        parts.append(f"{c.name} {middle:.5g} and {float(c.spread[0] * c.sd[0]):.5g}")
    return (f"0SD and 1SD: {listed(parts)}.",)
