"""Stage 7: one page that shows a meta-analysis."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.plots.estimates import plain_labels
from pyrobma.plots.forest import forest_frame
from pyrobma.plots.forest_drawing import draw_forest
from pyrobma.plots.funnel import draw_funnel, funnel_frame
from pyrobma.plots.pet_peese import plot_pet_peese
from pyrobma.plots.posterior import plot_posterior
from pyrobma.plots.probabilities import probabilities_frame
from pyrobma.plots.text import cut
from pyrobma.plots.theme import INK, MIDDLE, theme_print
from pyrobma.plots.weightfunction import plot_weightfunction

_WIDTH: Final = 8.0  # inches
_HEIGHT: Final = 10.0
_LINES: Final = 40  # of a forest plot; a funnel plot shows more estimates
_FEW_LINES: Final = 18  # that fit a third of the page
_SIDE: Final = 1.15  # inches that panels below the forest plot take for their axes
_EDGE: Final = 0.008  # of the width of the page
_SPIKES: Final = 0.08  # of the width of the page: the axis of probabilities
_TITLE: Final = 0.3  # inches
_MODELS: Final = 8
_NAME: Final = 1.75  # inches
_SMALL: Final = 7.0  # points


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
        8 by 10 inches; ``save`` and ``show`` as a ggplot. Panels, lettered: estimates
        (a forest plot, or a funnel plot if it would have more than 40 lines), the
        posteriors of mu, tau and, with clusters, rho beside their priors, the weight
        function and the PET-PEESE regression if some model has them, and the most
        probable models.

    Raises
    ------
    DataError
        On an unknown scale.
    """
    from plotnine import element_text, labs, theme

    check_output_scale(ensemble.task, output_scale)
    estimates, lines = _estimates(ensemble, output_scale)
    parameters = [("mu", "Effect"), ("tau", "Heterogeneity")]
    if "rho" in ensemble.parameters:
        parameters.append(("rho", "Correlation within clusters"))
    panels = [
        (title, _posterior(ensemble, name, output_scale)) for name, title in parameters
    ]
    if ensemble.p_values is not None:
        panels.append(("Publication weights", plot_weightfunction(ensemble)))
    if {"PET", "PEESE"} & set(ensemble.bias_components):
        regression = plot_pet_peese(ensemble, output_scale=output_scale)
        panels.append(("Small-study effects", regression))
    # Beside two others the names have less room.
    room = _NAME if len(panels) < 5 else _NAME / 2
    panels.append(("Most probable models", _models(ensemble, room)))
    small = theme(
        axis_title=element_text(size=_SMALL + 0.5),
        axis_text=element_text(size=_SMALL),
        legend_text=element_text(size=_SMALL),
        legend_box_spacing=0.005,
        legend_key_size=9,
        plot_margin_left=_EDGE,
        plot_margin_top=_EDGE,
        plot_margin_bottom=_EDGE,
    )
    heading = theme(plot_title=element_text(size=9, weight="bold", ha="left"))
    below = [
        plot + small + heading + labs(title=f"{letter}  {title}")
        for letter, (title, plot) in zip("BCDEFGH", panels, strict=False)
    ]
    top = (
        estimates + labs(title="A  Estimates") + heading + theme(plot_margin_top=_EDGE)
    )
    first, second = _rows(below)
    page = top / first / second if lines <= _FEW_LINES else top / (first / second)
    return page & theme(figure_size=(_WIDTH, _HEIGHT))


def _posterior(ensemble: Ensemble, parameter: str, output_scale: Measure | None) -> Any:
    """Draw a posterior and its prior; the axis of spikes needs room at the right."""
    from plotnine import theme

    plot = plot_posterior(ensemble, parameter, prior=True, output_scale=output_scale)
    fixed = any(prior.is_spike for _, prior in ensemble.priors(parameter))
    return plot + theme(plot_margin_right=_SPIKES if fixed else _EDGE)


def _rows(panels: list[Any]) -> tuple[Any, Any]:
    """Return two rows of panels."""
    *rest, last = panels
    if len(rest) == 2:
        return rest[0] | rest[1], last
    if len(rest) == 3:
        return rest[0] | rest[1], rest[2] | last
    if len(rest) == 4:
        return rest[0] | rest[1] | rest[2], rest[3] | last
    return rest[0] | rest[1] | rest[2], rest[3] | rest[4] | last


def _estimates(ensemble: Ensemble, output_scale: Measure | None) -> tuple[Any, int]:
    """Return a forest plot, or a funnel plot, and the number of its lines."""
    effects = ensemble.task.effects
    groups = pd.Series([effects.cluster_labels[k] for k in effects.cluster])
    headings = groups.nunique(dropna=False) if effects.clustered else 0
    lines = effects.K + int(headings) + 4
    if lines > _LINES:
        frame = funnel_frame(ensemble, output_scale=output_scale)
        return draw_funnel(frame, ensemble, output_scale, base_size=9), lines
    share = 3 if lines <= _FEW_LINES else 2
    return (
        draw_forest(
            forest_frame(ensemble, output_scale=output_scale),
            check_output_scale(ensemble.task, output_scale),
            width=_WIDTH - _SIDE,
            height=_HEIGHT / share - _TITLE,
        ),
        lines,
    )


def _models(ensemble: Ensemble, room: float) -> Any:
    """Draw the most probable models, with names of at most so many inches."""
    from plotnine import (
        aes,
        element_blank,
        geom_point,
        geom_rect,
        ggplot,
        labs,
        scale_fill_manual,
        scale_shape_manual,
        scale_x_continuous,
        scale_y_continuous,
        theme,
    )

    frame = probabilities_frame(ensemble)
    frame = frame.sort_values("post_prob", ascending=False, kind="stable")
    frame = frame.head(_MODELS).assign(bar="posterior", mark="prior")
    # Numbers tell apart what the cut makes equal, and are those of the tables.
    labels = [
        f"{cut(name, room, _SMALL)}  {number}"
        for name, number in zip(frame["name"], frame["model"], strict=True)
    ]
    frame["y"] = -np.arange(len(frame), dtype=np.float64)
    return (
        ggplot(frame)
        + geom_rect(
            aes(xmin=0, xmax="post_prob", ymin="y - 0.33", ymax="y + 0.33", fill="bar")
        )
        + geom_point(
            aes("prior_prob", "y", shape="mark"), fill="white", color=INK, size=1.5
        )
        + scale_fill_manual({"posterior": MIDDLE})
        + scale_shape_manual({"prior": "o"})
        + scale_x_continuous(labels=plain_labels, expand=(0, 0, 0.05, 0))
        + scale_y_continuous(breaks=frame["y"].tolist(), labels=labels)
        + labs(x="Model probability", y="")
        + theme_print()
        + theme(axis_ticks_major_y=element_blank(), axis_title_y=element_blank())
    )
