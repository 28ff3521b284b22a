"""Stage 7: one page that shows a meta-analysis."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.plots.forest import forest_frame
from pyrobma.plots.forest_drawing import draw_forest
from pyrobma.plots.funnel import draw_funnel, funnel_frame
from pyrobma.plots.labels import fitting, parameter_title, reference_words
from pyrobma.plots.names import plain, short_names
from pyrobma.plots.numbers import bayes_factor, plain_labels
from pyrobma.plots.pet_peese import plot_pet_peese
from pyrobma.plots.posterior import posterior_frame
from pyrobma.plots.posterior_drawing import draw_posterior
from pyrobma.plots.probabilities import probabilities_frame
from pyrobma.plots.terms import terms_frame
from pyrobma.plots.text import cut, text_width
from pyrobma.plots.theme import INK, MIDDLE, theme_print
from pyrobma.plots.weightfunction import plot_weightfunction

_WIDTH: Final = 8.0  # inches
_HEIGHT: Final = 10.0
_LINES: Final = 40  # of a forest plot; a funnel plot shows more estimates
_FEW_LINES: Final = 18  # that fit a third of the page
_MANY: Final = 6  # panels below the estimates that take rows of three
_TALL: Final = 13.5  # inches, of a page with three rows
_SIDE: Final = 1.15  # inches that panels below the forest plot take for their axes
_EDGE: Final = 0.008  # of the width of the page
_SPIKES: Final = 0.08  # of the width of the page: the axis of probabilities
_TITLE: Final = 0.3  # inches
_MODELS: Final = 6
_NAME: Final = {True: 3.1, False: 1.85}  # inches, in rows of two and of three
_PANEL: Final = 1.45  # inches, the narrowest between axes
_FEW_MODELS: Final = 4
_SIZE: Final = 8.5  # points, of titles of axes
_SMALL: Final = 0.8 * _SIZE  # of other text


def plot_overview(ensemble: Ensemble, *, output_scale: Measure | None = None) -> Any:
    """Draw the data, the averaged posteriors and the models on one page.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    output_scale : str, optional
        Measure of the effects, as in `Ensemble.mixture`. None: the prior scale.

    Returns
    -------
    plotnine composition
        8 by 10 inches, or 13.5 with moderators and more than six panels; ``save`` and
        ``show`` as a ggplot. Panels, lettered: estimates (a forest plot, or a funnel
        plot if it would have more than 40 lines), the posteriors of mu, tau and, with
        clusters, rho beside their priors, the weight function and the PET-PEESE
        regression if some model has them, the moderators if some models have them and
        others have not, and the most probable models.

    Raises
    ------
    DataError
        On an unknown scale.
    """
    from plotnine import labs, theme

    check_output_scale(ensemble.task, output_scale)
    panels = [
        (row.title, _posterior(ensemble, row.name, output_scale))
        for row in ensemble.unknowns
        if row.enters in ("intercept", "sd", "correlation")
        and row.name in ensemble.parameters
    ]
    if ensemble.p_values is not None:
        weights = ensemble.unknowns["omega"].title
        panels.append((weights, plot_weightfunction(ensemble)))
    if any(map(ensemble.space.has, ensemble.unknowns.regressions)):
        regression = plot_pet_peese(ensemble, output_scale=output_scale)
        panels.append(("Small-study effects", regression))
    tested = bool(ensemble.tested_terms)
    size = len(panels) + 1 + tested
    # Beside two others names have less room: too little if they have moderators.
    many = tested and size >= _MANY
    room = _NAME[many or size < _MANY]
    if tested:
        panels.append(("Moderators", _terms(ensemble, room)))
    panels.append(("Most probable models", _models(ensemble, room)))
    height = _TALL if many else _HEIGHT
    estimates, lines = _estimates(
        ensemble, output_scale, height=height, rows=4 if many else 3
    )
    small, heading = _small()
    below = [
        plot + small + heading + labs(title=f"{letter}  {title}")
        for letter, (title, plot) in zip("BCDEFGH", panels, strict=False)
    ]
    top = (
        estimates + labs(title="A  Estimates") + heading + theme(plot_margin_top=_EDGE)
    )
    first, *more = _rows(below, many)
    page = top / first if lines <= _FEW_LINES else first
    for row in more:
        page = page / row
    page = page if lines <= _FEW_LINES else top / page
    return page & theme(figure_size=(_WIDTH, height))


def _small() -> tuple[Any, Any]:
    """Return the themes of panels and of their titles."""
    from plotnine import element_text, theme

    small = theme(
        axis_title=element_text(size=_SIZE),
        axis_text=element_text(size=_SMALL),
        legend_text=element_text(size=_SMALL),
        legend_box_spacing=0.005,
        legend_key_size=9,
        plot_margin_left=_EDGE,
        plot_margin_top=_EDGE,
        plot_margin_bottom=_EDGE,
    )
    return small, theme(plot_title=element_text(size=9, weight="bold", ha="left"))


def _posterior(ensemble: Ensemble, parameter: str, output_scale: Measure | None) -> Any:
    """Draw a posterior and its prior; the axis of spikes needs room at the right."""
    from plotnine import theme

    frame = posterior_frame(ensemble, parameter, prior=True, output_scale=output_scale)
    plot = draw_posterior(
        frame,
        symbol=ensemble.unknowns[parameter].symbol,
        title=parameter_title(ensemble, parameter, output_scale),
        size=_SIZE,
        panel=_PANEL,
    )
    fixed = (frame["kind"] == "spike").any()
    return plot + theme(plot_margin_right=_SPIKES if fixed else _EDGE)


def _rows(panels: list[Any], many: bool) -> tuple[Any, ...]:
    """Return two rows of panels, or three."""
    *rest, last = panels
    if len(rest) == 2:
        return rest[0] | rest[1], last
    if len(rest) == 3:
        return rest[0] | rest[1], rest[2] | last
    if len(rest) == 4:
        return rest[0] | rest[1] | rest[2], rest[3] | last
    if not many:
        return rest[0] | rest[1] | rest[2], rest[3] | rest[4] | last
    if len(rest) == 5:
        return rest[0] | rest[1], rest[2] | rest[3], rest[4] | last
    return rest[0] | rest[1] | rest[2], rest[3] | rest[4], rest[5] | last


def _estimates(
    ensemble: Ensemble, output_scale: Measure | None, *, height: float, rows: int
) -> tuple[Any, int]:
    """Return a forest plot, or a funnel plot, and the number of its lines."""
    effects = ensemble.task.effects
    groups = pd.Series(effects.shared_labels, dtype=object)
    headings = groups.nunique(dropna=False) if effects.clustered else 0
    note = reference_words(ensemble.task.moderators)
    lines = effects.K + int(headings) + 4
    if lines > _LINES:
        frame = funnel_frame(ensemble, output_scale=output_scale)
        small, _ = _small()
        return draw_funnel(frame, ensemble, output_scale, base_size=9) + small, lines
    lines += bool(note)
    share = rows if lines <= _FEW_LINES else 2
    return (
        draw_forest(
            forest_frame(ensemble, output_scale=output_scale),
            check_output_scale(ensemble.task, output_scale),
            note=note,
            width=_WIDTH - _SIDE,
            height=height / share - _TITLE,
        ),
        lines,
    )


def _models(ensemble: Ensemble, room: float) -> Any:
    """Draw the most probable models, their names so many inches wide."""
    frame = probabilities_frame(ensemble)
    frame = frame.sort_values("post_prob", ascending=False, kind="stable")
    frame = frame.head(_MODELS)
    # Numbers tell apart what a cut would make equal, and are those of the tables.
    names = [
        f"{number}: {name}"
        for number, name in zip(frame["model"], frame["name"], strict=True)
    ]
    names = fitting(names, ensemble.unknowns, room, _SMALL)
    labels = [cut(name, room, _SMALL) for name in names]
    widest = float(frame[["prior_prob", "post_prob"]].to_numpy().max())
    return _bars(frame.assign(label=labels), "Model probability", widest)


def _terms(ensemble: Ensemble, room: float) -> Any:
    """Draw the moderators, or the most probable ones of many."""
    frame = terms_frame(ensemble)
    if len(frame) > _MODELS:
        frame = frame.sort_values("post_prob", ascending=False, kind="stable")
    frame = frame.head(_MODELS)
    factors = [f" (BF {bayes_factor(log_bf)})" for log_bf in frame["log_bf"]]
    names = short_names(
        frame["term"].tolist(), room - text_width(factors, _SMALL), _SMALL
    )
    labels = [name + factor for name, factor in zip(names, factors, strict=True)]
    return _bars(frame.assign(label=labels), "Inclusion probability", 1.0)


def _bars(frame: pd.DataFrame, title: str, widest: float) -> Any:
    """Draw posterior probabilities as bars and prior ones as circles, names above."""
    import plotnine as p9

    frame = frame.assign(
        bar="posterior",
        mark="prior",
        label=[plain(label) for label in frame["label"]],
        y=-np.arange(len(frame), dtype=np.float64),
    )
    # A few should not become blocks.
    bottom = min(float(frame["y"].iloc[-1]), 1.0 - _FEW_MODELS) - 0.5
    return (
        p9.ggplot(frame)
        + p9.geom_rect(
            p9.aes(
                xmin=0, xmax="post_prob", ymin="y - 0.4", ymax="y - 0.04", fill="bar"
            )
        )
        + p9.geom_point(
            p9.aes("prior_prob", "y - 0.22", shape="mark"),
            fill="white",
            color=INK,
            size=1.5,
        )
        + p9.geom_text(
            p9.aes(0.008 * widest, "y + 0.24", label="label"),
            frame,
            ha="left",
            va="center_baseline",
            size=_SMALL,
            color=INK,
        )
        + p9.scale_fill_manual({"posterior": MIDDLE})
        + p9.scale_shape_manual({"prior": "o"})
        + p9.scale_x_continuous(labels=plain_labels)
        + p9.scale_y_continuous(breaks=[])
        + p9.coord_cartesian(xlim=(0, 1.04 * widest), ylim=(bottom, 0.55), expand=False)
        + p9.labs(x=title, y="")
        + theme_print()
        + p9.theme(
            axis_title_y=p9.element_blank(),
            axis_text_y=p9.element_blank(),
            plot_margin_right=_EDGE,
        )
    )
