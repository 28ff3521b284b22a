"""Stage 7: all priors of an ensemble on one page, before or after it is fitted."""

from __future__ import annotations

import functools
import math
import operator
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._format import counted
from pyrobma._types import BoolArray
from pyrobma.effects import MEASURE_NAMES, Measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.averaged_priors import averaged_weights
from pyrobma.ensemble.quantities import coefficients
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.parameters import Parameter
from pyrobma.plots.densities import check_points, largest_effect
from pyrobma.plots.labels import parameter_title, term_title
from pyrobma.plots.names import plain
from pyrobma.plots.numbers import number
from pyrobma.plots.prior_curves import CURVE_COLUMNS, draw_curves, prior_curves
from pyrobma.plots.text import cut, one_line
from pyrobma.plots.theme import Page, Size
from pyrobma.plots.weightfunction import draw_weights, interval_rows, p_value_title
from pyrobma.priors import Prior

_ORDER: Final = (
    "intercept", "sd", "correlation", "moderator", "scale", "bias", "weights",
)  # fmt: skip
"""Of panels, by where their parameters enter the model."""
_SYMBOLS: Final = {"moderator": "β", "scale": "δ"}
"""Of coefficients, which have a panel for all of a term."""
_PROBS: Final = (0.025, 0.975)
_WIDTH: Final = 4.0  # inches, of a panel
_HEIGHT: Final = 2.6  # inches, of a panel
_KEY: Final = 0.2  # inches, of each line of a legend beyond the second
_NARROW: Final = 5.0  # inches, of a page with one column
_SIZE: Final = 8.5  # points, of titles of axes
_AXES: Final = 1.6  # inches of both axes beside titles of ten points
_BESIDE: Final = 0.6  # inches beside a heading of ten points


def priors_frame(
    ensemble: Ensemble, *, output_scale: Measure | None = None, n: int = 512
) -> pd.DataFrame:
    """Tabulate the priors of every parameter over all models.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns. Its data and posteriors do not matter.
    output_scale : str, optional
        Measure of the values, as in `Ensemble.mixture`. None: the prior scale.
    n : int
        Number of points of a density, at least 2.

    Returns
    -------
    DataFrame
        Columns ``parameter`` (of coefficients of a moderator with equal priors the
        first), ``prior`` (in words), ``kind`` ("density", "spike" or "weight"), ``x``
        (a value), ``density`` (per unit of ``x``; its area is the probability) and
        ``probability`` (of the prior, over all models; that of rho over models that
        have it). A row of kind "weight" is an interval of p-values with the columns of
        `weightfunction_frame`: mean and 95 % band of its weight over models with
        selection, whose ``probability`` it has. What does not apply is missing.

    Raises
    ------
    DataError
        If there is no such scale.
    """
    check_points(n)
    check_output_scale(ensemble.task, output_scale)
    parts = [
        _scalar_rows(ensemble, row, output_scale, n)
        if row.scalar
        else _weights(ensemble)
        for row in _drawn(ensemble)
    ]
    columns = ["parameter", *CURVE_COLUMNS]
    columns += ["p_from", "p_to", "x_from", "x_to", "mean", "lower", "upper"]
    records = [record for part in parts for record in part.to_dict("records")]
    return pd.DataFrame(records, columns=columns)


def plot_priors(
    ensemble: Ensemble,
    *,
    output_scale: Measure | None = None,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw the priors of every parameter over all models.

    A panel for each parameter: densities, whose areas are prior probabilities, and
    spikes as bars. A moderator has one panel if its coefficients have equal priors. The
    weights of p-values are their mean with a 95 % band, over models with selection.

    Parameters
    ----------
    ensemble, output_scale
        As in `priors_frame`, whose rows are drawn.
    width, height : float, optional
        Of the figure, inches. None: 8 inches wide, each row of two panels 2.6 high. A
        figure of less than 5 inches has one panel in a row.
    text_size : float, optional
        Of titles of axes, points. None: 8.5, or less where panels are narrow.

    Returns
    -------
    plotnine composition
        ``save`` and ``show`` as a ggplot.

    Raises
    ------
    DataError
        As in `priors_frame`, or if a size is no positive number.
    """
    from plotnine import theme

    frame = priors_frame(ensemble, output_scale=output_scale)
    asked = Size(width, height, text_size)
    columns = 1 if width is not None and width < _NARROW else 2
    count = frame["parameter"].nunique()
    curves = frame[frame["kind"] == "density"].groupby("parameter")["prior"].nunique()
    legend = _KEY * max(int(curves.max()) - 2, 0) if len(curves) else 0.0
    high = (_HEIGHT + legend) * math.ceil(count / columns)
    page = asked.page(columns * _WIDTH, high, _SIZE)
    panels = [
        _panel(ensemble, str(name), rows, output_scale, page, columns)
        for name, rows in frame.groupby("parameter", sort=False)
    ]
    lines = [
        functools.reduce(operator.or_, panels[i : i + columns])
        for i in range(0, count, columns)
    ]
    drawn = functools.reduce(operator.truediv, lines)
    return drawn & theme(figure_size=(page.width, page.height))


def _drawn(ensemble: Ensemble) -> list[Parameter]:
    """Return the parameters that have a panel."""
    found: dict[object, Parameter] = {}
    for row in sorted(ensemble.unknowns, key=lambda row: _ORDER.index(row.enters)):
        if not (row.always or ensemble.space.has(row.name)):
            continue
        key: object = row.name
        if row.enters in _SYMBOLS:
            key = row.component.name, *_priors(ensemble, row)
        found.setdefault(key, row)
    return list(found.values())


def _having(ensemble: Ensemble, name: str) -> BoolArray:
    return np.array([model.has(name) for model in ensemble.space])


def _priors(ensemble: Ensemble, row: Parameter) -> tuple[tuple[float, Prior], ...]:
    """Return the priors of a scalar parameter, with their probabilities."""
    # Without what it needs a parameter is not 0 but means nothing.
    given = _having(ensemble, row.name) if row.needs else None
    total: dict[Prior, float] = {}
    for p, model in zip(ensemble.prior_given(given), ensemble.space, strict=True):
        own = replace(model.prior(row.name), prior_weight=1.0)
        total[own] = total.get(own, 0.0) + float(p)
    return tuple((p, own) for own, p in total.items() if p > 0)


def _scalar_rows(
    ensemble: Ensemble, row: Parameter, output_scale: Measure | None, n: int
) -> pd.DataFrame:
    largest = largest_effect(ensemble.task) if row.unit == "effect" else np.inf
    return prior_curves(
        _priors(ensemble, row),
        ensemble.converter(row.name, output_scale),
        n,
        largest=largest,
    ).assign(parameter=row.name)


def _weights(ensemble: Ensemble) -> pd.DataFrame:
    """Return a row for every interval of p-values."""
    grid = ensemble.p_values
    assert grid is not None
    given = _having(ensemble, "omega")
    mixtures = averaged_weights(ensemble, given)
    return interval_rows(
        "prior",
        grid.cuts,
        [mixture.mean() for mixture in mixtures],
        np.array([mixture.quantiles(_PROBS) for mixture in mixtures]),
        rescale_x=True,
    ).assign(
        parameter="omega",
        kind="weight",
        probability=float(ensemble.prior_prob[given].sum()),
    )


def _panel(
    ensemble: Ensemble,
    name: str,
    rows: pd.DataFrame,
    output_scale: Measure | None,
    page: Page,
    columns: int,
) -> Any:
    """Draw a parameter under a heading, in one of some columns of a page."""
    from plotnine import element_text, labs, theme

    row = ensemble.unknowns[name]
    if row.scalar:
        panel = page.width / columns - page.points(_AXES)
        figure = draw_curves(
            rows,
            symbol=_SYMBOLS.get(row.enters, row.symbol),
            title=_axis_title(ensemble, row, output_scale),
            sizes={"size": page.text, "panel": panel, "page": page},
        )
    else:
        grid = ensemble.p_values
        assert grid is not None
        negative = ensemble.task.effect_direction == "negative"
        # Black over grey, as posteriors are: none of those is beside.
        figure = draw_weights(
            rows.assign(which="posterior"),
            x=p_value_title(grid.sides, negative=negative),
            y="Publication weight",
            page=page,
        )
    title = row.component.title if row.enters in _SYMBOLS else row.title
    room, size = page.width / columns - page.points(_BESIDE), page.text
    return (
        figure
        + labs(
            title=plain(cut(one_line(title), room, size, bold=True)),
            subtitle=plain(cut(_words(ensemble, row, rows, output_scale), room, size)),
        )
        + theme(
            plot_title=element_text(size=size, weight="bold", ha="left"),
            plot_subtitle=element_text(size=size, ha="left"),
        )
    )


def _words(
    ensemble: Ensemble,
    row: Parameter,
    rows: pd.DataFrame,
    output_scale: Measure | None,
) -> str:
    """Describe the density or the weights of a panel; several have a legend."""
    scale = ensemble.task.prior_scale
    other = row.unit != "none" and output_scale not in (None, scale)
    measure = f" on {MEASURE_NAMES[scale]}" if other else ""
    if row.scalar:
        words = rows.loc[rows["kind"] == "density", "prior"].unique().tolist()
    else:
        functions = {
            replace(function, prior_weight=1.0)
            for function in ensemble.space.weightfunctions
        }
        words = [counted(len(functions), "weight function")]
    if len(words) != 1:
        return f"Priors{measure}" if words and measure else ""
    chance = rows.loc[rows["kind"] != "spike", "probability"].iloc[0]
    given = ""
    if row.needs is not None:
        given = f" given {ensemble.unknowns[row.needs].component.label}"
    return f"{words[0]}{measure}, P = {number(chance, 3)}{given}"


def _axis_title(
    ensemble: Ensemble, row: Parameter, output_scale: Measure | None
) -> str:
    """Return the title of an axis of values."""
    moderators = ensemble.task.moderators
    if moderators is None or row.enters != "moderator":
        return parameter_title(ensemble, row.name, output_scale)
    term = moderators.term(row.component.name)
    first = next(q for q in coefficients(moderators) if q.term == term.name)
    # A deviation of a level has the prior of a coefficient if their weights say so.
    if np.isclose(sum(weight**2 for _, weight in first.weights), 1.0):
        return term_title(ensemble, term, output_scale)
    return parameter_title(ensemble, row.name, output_scale)
