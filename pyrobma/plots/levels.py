"""Stage 7: how the levels of a factor differ, and the mean effects by moderator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from pyrobma._types import BoolArray
from pyrobma.effects import Measure, Moderators, Term
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.quantities import (
    Quantity,
    coefficients,
    intercept,
    marginal,
    moderators_of,
)
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.ensemble.spread import scale_coefficients, scale_moderators_of
from pyrobma.errors import DataError
from pyrobma.models import heterogeneous, is_scale_name, plain_name, scale_name
from pyrobma.plots.densities import check_points
from pyrobma.plots.estimates import check_interval, no_effect
from pyrobma.plots.labels import term_title
from pyrobma.plots.levels_drawing import draw_intervals, draw_levels
from pyrobma.plots.quantities import quantities_frame
from pyrobma.plots.theme import Size, with_unit

_MOST: Final = 6
"""Marginal means that have a density each; of more, there are intervals."""


def levels_frame(
    ensemble: Ensemble,
    term: str,
    *,
    conditional: bool = False,
    prior: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
    n: int = 512,
) -> pd.DataFrame:
    """Tabulate the posteriors of what a term adds to the effect, level by level.

    Parameters
    ----------
    ensemble : Ensemble
        With moderators.
    term : str
        Name of a term; "tau ~ design" is that of a moderator of heterogeneity, and what
        is tabulated is added to log tau.
    conditional : bool
        Only over models that have the term.
    prior : bool
        Add the priors, averaged over the same models.
    output_scale : str, optional
        Measure of the values, carried linearly as tau is: Fisher's z for "r", the log
        odds ratio for "OR". None: the prior scale. log tau has none.
    probs : sequence of two float
        Levels of the intervals, increasing, inside (0, 1).
    n : int
        Number of points of a density, at least 2.

    Returns
    -------
    DataFrame
        Columns ``level`` (of a factor, "direct, old" for a cell of an interaction; else
        the coefficient), ``which`` ("posterior" or "prior"), ``kind`` ("density",
        "spike" or "interval"), ``x`` (a value; of an interval its mean), ``lower`` and
        ``upper`` (of an interval), ``density`` and ``probability`` as in
        `posterior_frame`. What is missing is NaN.

    Raises
    ------
    DataError
        If there are no moderators, no such term or scale, or with `conditional` no
        model that has it.

    Notes
    -----
    Values are those of the table of coefficients of `summary`: the deviation of a level
    from the unweighted mean of all, or the difference from the first level for
    treatment contrasts. Those of heterogeneity are averaged over the models that have
    any.
    """
    moderators, own = _term(ensemble, term)
    check_points(n)
    levels = check_interval(probs)
    check_output_scale(ensemble.task, output_scale)
    name, every, given = own.name, coefficients(moderators), None
    if is_scale_name(term):
        name, every = scale_name(name), scale_coefficients(moderators)
        given, output_scale = heterogeneous(ensemble.space), None
    return quantities_frame(
        ensemble,
        [(_level(row), row) for row in every if row.term == name],
        ensemble.alternatives(name) if conditional else given,
        prior=prior,
        output_scale=output_scale,
        probs=levels,
        n=n,
    )


def _term(ensemble: Ensemble, name: str) -> tuple[Moderators, Term]:
    """Return the moderators that a term is of, and the term."""
    of_tau = is_scale_name(name)
    moderators = (scale_moderators_of if of_tau else moderators_of)(ensemble)
    return moderators, moderators.term(plain_name(name))


def plot_levels(
    ensemble: Ensemble,
    term: str,
    *,
    conditional: bool = False,
    prior: bool = False,
    output_scale: Measure | None = None,
    n: int = 512,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw the posteriors of what a term adds to the effect, level by level.

    Parameters
    ----------
    ensemble, term, conditional, prior, output_scale, n
        As in `levels_frame`, whose rows are drawn.
    width, height, text_size : float, optional
        Inches, inches and points. None: 6.5 by 4 and 10, or in proportion; rows take
        7 inches, the height that they need and text of at most 8.5 points.

    Returns
    -------
    plotnine.ggplot
        A curve for each level, and the spike of models without the term as a bar. More
        than six levels have a row each, with the probability of the spike at the right.
        Priors are dashed and grey.

    Raises
    ------
    DataError
        As in `levels_frame`, or on a size that is none.
    """
    asked = Size(width, height, text_size)
    frame = levels_frame(
        ensemble,
        term,
        conditional=conditional,
        prior=prior,
        output_scale=output_scale,
        n=n,
    )
    return draw_levels(
        frame,
        symbol="δ",
        title=term_title(
            ensemble,
            _term(ensemble, term)[1],
            output_scale,
            conditional=conditional,
            of_tau=is_scale_name(term),
        ),
        heading=term,
        measure=check_output_scale(ensemble.task, output_scale),
        asked=asked,
    )


def marginal_means_frame(
    ensemble: Ensemble,
    term: str | None = None,
    *,
    conditional: bool = False,
    prior: bool = True,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
    n: int = 512,
) -> pd.DataFrame:
    """Tabulate the posteriors of mean effects by the values of a moderator.

    Parameters
    ----------
    ensemble : Ensemble
        With moderators.
    term : str, optional
        Name of a term. None: all terms, and the intercept before them.
    conditional : bool
        Only over models that have an effect or the term; for the intercept, an effect.
    prior : bool
        Add the priors, averaged over the same models.
    output_scale : str, optional
        Measure of the effects, as in `Ensemble.mixture`. None: the prior scale.
    probs : sequence of two float
        Levels of the intervals, increasing, inside (0, 1).
    n : int
        Number of points of a density, at least 2.

    Returns
    -------
    DataFrame
        Columns as in `levels_frame`; ``level`` is "direct" or "1SD", or with all terms
        the label in the table of `marginal_means`, as "measure[direct]".

    Raises
    ------
    DataError
        If there are no moderators, no such term or scale, or the term is a function
        of several columns, such as a polynomial.

    Notes
    -----
    The means are those of `marginal_means`: at every level of a factor, and at the mean
    of a number and one standard deviation to either side, with other moderators at
    their reference. Publication bias is not part of them.
    """
    moderators = moderators_of(ensemble)
    check_points(n)
    levels = check_interval(probs)
    check_output_scale(ensemble.task, output_scale)
    parts = [
        quantities_frame(
            ensemble,
            rows,
            _with_effect_or(ensemble, name) if conditional else None,
            prior=prior,
            output_scale=output_scale,
            probs=levels,
            n=n,
        )
        for name, rows in _means(moderators, term)
    ]
    return pd.concat(parts, ignore_index=True)


def plot_marginal_means(
    ensemble: Ensemble,
    term: str | None = None,
    *,
    conditional: bool = False,
    prior: bool = True,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
    n: int = 512,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw the posteriors of mean effects by the values of a moderator.

    Parameters
    ----------
    ensemble, term, conditional, prior, output_scale, probs, n
        As in `marginal_means_frame`, whose rows are drawn.
    width, height, text_size : float, optional
        Inches, inches and points. None: 6.5 by 4 and 10, or in proportion; rows take
        7 inches, the height that they need and text of at most 8.5 points.

    Returns
    -------
    plotnine.ggplot
        A curve for each mean, with its prior dashed and grey. Means that models fix
        with different probabilities have a row each, and more than six means an
        interval each, without priors; odds ratios are then on a logarithmic axis.

    Raises
    ------
    DataError
        As in `marginal_means_frame`, or on a size that is none.
    """
    asked = Size(width, height, text_size)
    moderators = moderators_of(ensemble)
    many = sum(len(rows) for _, rows in _means(moderators, term)) > _MOST
    frame = marginal_means_frame(
        ensemble,
        term,
        conditional=conditional,
        prior=prior and not many,
        output_scale=output_scale,
        probs=probs,
        n=n,
    )
    measure = check_output_scale(ensemble.task, output_scale)
    kind = "Conditional mean effect" if conditional else "Mean effect"
    title, heading = with_unit(kind, measure), term or "Mean effect"
    if not many:
        return draw_levels(
            frame,
            symbol="mean",
            title=title,
            heading=heading,
            measure=measure,
            asked=asked,
        )
    low, high = check_interval(probs)
    return draw_intervals(
        frame,
        title=title,
        heading=heading,
        measure=measure,
        coverage=high - low,
        reference=no_effect(measure),
        asked=asked,
    )


def _means(
    moderators: Moderators, term: str | None
) -> list[tuple[str, list[tuple[str, Quantity]]]]:
    """Return means with what to call them, by the term that they are of."""
    if term is not None:
        own = moderators.term(term)
        rows = marginal(moderators, own)
        if not rows:
            named = [t.name for t in moderators.terms if has_means(moderators, t)]
            raise DataError(
                f"term: expected one of {', '.join(named) or 'none'}; got "
                f"{term!r}, which has several columns for one number. See "
                "plot_regression for its curve."
            )
        return [(own.name, [(_level(row), row) for row in rows])]
    found = [("effect", [("intercept", intercept())])]
    for own in moderators.terms:
        found.append(
            (own.name, [(row.label, row) for row in marginal(moderators, own)])
        )
    return [(name, rows) for name, rows in found if rows]


def has_means(moderators: Moderators, term: Term) -> bool:
    """Whether a term has values to give mean effects at."""
    return bool(marginal(moderators, term))


def _with_effect_or(ensemble: Ensemble, term: str) -> BoolArray | None:
    found = ensemble.members("effect") | ensemble.members(term)
    return found if found.any() else None


def _level(row: Quantity) -> str:
    """Return the level in a label such as ``measure[dif: direct]``; else the label."""
    inside = row.label.removeprefix(plain_name(row.term))
    dif = "[dif: "
    if row.kind == "mean":
        return inside[1:-1]
    return inside.removeprefix(dif)[:-1] if inside.startswith(dif) else row.label


def is_levels(ensemble: Ensemble, name: str) -> bool:
    """Whether a name is that of a term whose coefficients have other names."""
    task, of_tau = ensemble.task, is_scale_name(str(name))
    moderators = task.scale_moderators if of_tau else task.moderators
    if moderators is None or name in ensemble.unknowns:
        return False
    return moderators.find(plain_name(str(name))) is not None
