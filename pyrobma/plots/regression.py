"""Stage 7: effects against a moderator."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._numerics import weighted_quantiles
from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects import Measure, Term
from pyrobma.ensemble import Ensemble, new_effect, pooling_weights
from pyrobma.ensemble.extended import extended_converter
from pyrobma.ensemble.normal_mixture import NormalMixture
from pyrobma.ensemble.predictor import Predictor
from pyrobma.ensemble.quantities import (
    converted as on_output,
)
from pyrobma.ensemble.quantities import (
    marginal,
    moderators_of,
    posterior,
)
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.ensemble.spread import scale_design, scale_settings
from pyrobma.plots.densities import check_points
from pyrobma.plots.estimates import check_interval, converted
from pyrobma.plots.regression_drawing import draw_lines
from pyrobma.plots.regression_levels import draw_level_rows
from pyrobma.plots.settings import Lines, Setting, levels_of_rows, lines_of
from pyrobma.plots.theme import Size

_COLUMNS: Final = (
    "kind", "name", "level", "x", "effect", "lower", "upper", "new_lower", "new_upper",
    "weight",
)  # fmt: skip
_DRAWS: Final = 20_000
_FEW_DRAWS: Final = 2000  # of the true effect of a new study, whose spread is wide


def regression_frame(
    ensemble: Ensemble,
    term: str,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
    n: int = 51,
) -> pd.DataFrame:
    """Tabulate estimates and their mean by the values of a moderator.

    Parameters
    ----------
    ensemble : Ensemble
        With moderators.
    term : str
        Name of a term: a number, a factor, or an interaction.
    conditional : bool
        Only over models that have the term.
    output_scale : str, optional
        Measure of the effects, as in `Ensemble.mixture`. None: the prior scale.
    probs : sequence of two float
        Levels of the intervals, increasing, inside (0, 1).
    n : int
        Number of points of a line, at least 2.

    Returns
    -------
    DataFrame
        Columns ``kind``, ``name`` (of the study; empty for others), ``level`` (of
        factors, as "direct", or the value of another number in an interaction, as
        "dose = 1.2"; empty if there is none), ``x`` (of a number, in the unit of the
        data; NaN for factors), ``effect``, ``lower``, ``upper``, ``new_lower``,
        ``new_upper`` and ``weight`` (percent). Rows of the kind "mean" are the mean
        effect with its interval, and the interval of the true effect of a new study;
        those of the kind "unadjusted" the mean over models without publication bias
        only, with its interval, if some models have bias and others have not. Rows of
        the kind "estimate" are the estimates, with the weights of `forest_frame`.

    Raises
    ------
    DataError
        If there are no moderators, no such term or scale, or with `conditional` no
        model that has it.

    Notes
    -----
    The mean is that of `predict` with the type "terms", the interval of a new study
    that of the type "effect": without publication bias, whatever the models say of it.
    Moderators that are not in the term are at their reference: numbers at their mean,
    factors at the unweighted mean of their levels, or at the first for treatment
    contrasts. Heterogeneity is that at the same values where its moderators are those
    of the term, so that the interval of a new study widens with it. Estimates are as
    they were given, not adjusted for other moderators.
    """
    moderators = moderators_of(ensemble)
    own = moderators.term(term)
    check_points(n)
    ends = check_interval(probs)
    check_output_scale(ensemble.task, output_scale)
    given = ensemble.alternatives(own.name) if conditional else None
    lines = lines_of(moderators, own, n)
    parts = []
    for kind, some in _kinds(ensemble, given):
        if lines is None:
            found = _at_levels(ensemble, own, some, output_scale, ends)
        else:
            found = _along(ensemble, lines, some, output_scale, ends)
        if kind == "mean":
            new = _new_studies(ensemble, own, lines, some, output_scale, ends)
            found = found.assign(new_lower=new[:, 0], new_upper=new[:, 1])
        parts.append(found.assign(kind=kind, name=""))
    parts.append(_estimates(ensemble, own, lines, given, output_scale))
    rows = [row for part in parts for row in part.to_dict("records")]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def plot_regression(
    ensemble: Ensemble,
    term: str,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
    n: int = 51,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw estimates against a moderator, with their mean.

    Parameters
    ----------
    ensemble, term, conditional, output_scale, probs, n
        As in `regression_frame`, whose rows are drawn.
    width, height, text_size : float, optional
        Inches, inches and points. None: 6.5 by 4 and 10, or in proportion; rows take
        7 inches, the height that they need and text of at most 8.5 points.

    Returns
    -------
    plotnine.ggplot
        Of a number the mean as a line, with its interval as a dark band and that of
        the true effect of a new study as a light one; circles are estimates, with areas
        in proportion to their weight. An interaction with a factor has a line for each
        level, without the light band; more than four have a panel each. Of a factor a
        row for each level: the mean with its interval as a thick line and that of a new
        study as a thin one, above the estimates. Where some models have publication
        bias, the average over those without is dashed, or hollow. Odds ratios are on a
        logarithmic axis.

    Raises
    ------
    DataError
        As in `regression_frame`, or on a size that is none.
    """
    asked = Size(width, height, text_size)
    frame = regression_frame(
        ensemble,
        term,
        conditional=conditional,
        output_scale=output_scale,
        probs=probs,
        n=n,
    )
    measure = check_output_scale(ensemble.task, output_scale)
    low, high = check_interval(probs)
    moderators = moderators_of(ensemble)
    own = moderators.term(term)
    lines = lines_of(moderators, own, 2)
    if lines is None:
        return draw_level_rows(
            frame,
            measure,
            heading=own.name,
            names=list(
                itertools.product(
                    *(moderators.coding(name).levels for name in own.variables)
                )
            ),
            conditional=conditional,
            coverage=high - low,
            asked=asked,
        )
    return draw_lines(
        frame,
        measure,
        x=lines.title,
        conditional=conditional,
        coverage=high - low,
        asked=asked,
    )


def _kinds(
    ensemble: Ensemble, given: BoolArray | None
) -> Iterator[tuple[str, BoolArray | None]]:
    """Yield the models to average over, and then those without publication bias."""
    yield "mean", given
    known = ensemble.prior_given(given) > 0
    plain = known & ~ensemble.members("bias")
    if plain.any() and (plain != known).any():
        yield "unadjusted", plain


def _along(
    ensemble: Ensemble,
    lines: Lines,
    given: BoolArray | None,
    output_scale: Measure | None,
    ends: tuple[float, float],
) -> pd.DataFrame:
    """Return the mean effect along lines."""
    task = ensemble.task
    convert = extended_converter(task, output_scale)
    draws = ensemble.joint(given=given, size=_DRAWS)
    study = Predictor(task, draws)
    parts = []
    for setting in lines.settings:
        mean = study.mean_at(setting.design)
        band = convert(weighted_quantiles(mean, draws.weights, ends))
        with np.errstate(invalid="ignore"):
            # No mean, where draws beyond correlations of 1 and -1 are infinite.
            average = convert(mean) @ draws.weights
        found = {
            "level": setting.level,
            "x": lines.x,
            "effect": average,
            "lower": band[:, 0],
            "upper": band[:, 1],
        }
        parts.append(pd.DataFrame(found))
    return pd.concat(parts, ignore_index=True)


def _at_levels(
    ensemble: Ensemble,
    term: Term,
    given: BoolArray | None,
    output_scale: Measure | None,
    ends: tuple[float, float],
) -> pd.DataFrame:
    """Return the mean effect at every level."""
    rows = []
    for quantity in marginal(moderators_of(ensemble), term):
        mixture = on_output(
            ensemble, quantity, posterior(ensemble, quantity, given), output_scale
        )
        lower, upper = mixture.quantiles(ends)
        rows.append(
            {
                "level": quantity.label.removeprefix(term.name)[1:-1],
                "effect": mixture.mean(),
                "lower": lower,
                "upper": upper,
            }
        )
    return pd.DataFrame(rows)


def _new_studies(
    ensemble: Ensemble,
    term: Term,
    lines: Lines | None,
    given: BoolArray | None,
    output_scale: Measure | None,
    ends: tuple[float, float],
) -> FloatArray:
    """Return the intervals of true effects of new studies, shape (rows, 2)."""
    if lines is None:
        quantities = marginal(moderators_of(ensemble), term)
        ratios = scale_settings(ensemble.task, term) or (None,) * len(quantities)
        found = [
            new_effect(ensemble, given=given, quantity=q, log_ratio=ratio)
            for q, ratio in zip(quantities, ratios, strict=True)
        ]
    else:
        draws = ensemble.joint(given=given, size=_FEW_DRAWS)
        study = Predictor(ensemble.task, draws)
        found = [
            NormalMixture(draws.weights, mean, sd)
            for setting in lines.settings
            for mean, sd in zip(
                *np.broadcast_arrays(
                    study.mean_at(setting.design), _spread(study, setting)
                ),
                strict=True,
            )
        ]
    convert = extended_converter(ensemble.task, output_scale)
    return convert(np.array([effect.quantiles(ends) for effect in found]))


def _spread(study: Predictor, setting: Setting) -> FloatArray:
    """Return the standard deviation of true effects along a line."""
    design = scale_design(study.task, setting.coded, len(setting.design))
    return study.new_sd[None] if design is None else study.sd_at(design)


def _estimates(
    ensemble: Ensemble,
    term: Term,
    lines: Lines | None,
    given: BoolArray | None,
    output_scale: Measure | None,
) -> pd.DataFrame:
    task = ensemble.task
    if lines is None:
        moderators = moderators_of(ensemble)
        levels = levels_of_rows([moderators.coding(name) for name in term.variables])
        x: FloatArray | float = np.nan
    else:
        levels, x = lines.levels, lines.at_rows
    return pd.DataFrame(
        {
            "kind": "estimate",
            "name": task.effects.names,
            "level": levels,
            "x": x,
            "effect": converted(task, output_scale, task.effects.y),
            "weight": 100 * pooling_weights(ensemble, given),
        }
    )
