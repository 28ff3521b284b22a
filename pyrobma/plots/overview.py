"""Stage 7: one page that shows a meta-analysis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.plots.forest import forest_frame
from pyrobma.plots.forest_drawing import Look, draw_forest
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
from pyrobma.plots.theme import INK, MIDDLE, Page, Size, theme_print
from pyrobma.plots.weightfunction import plot_weightfunction

_WIDTH: Final = 8.0  # inches
_HEIGHT: Final = 10.0
_NARROW: Final = 5.0  # inches below which panels do not stand side by side
_ROW: Final = 0.7  # height of such panels over their width
_LINES: Final = 40  # of a forest plot; a funnel plot shows more estimates
_FEW_LINES: Final = 18  # that fit a third of the page
_MANY: Final = 6  # panels below the estimates that take rows of three
_TALL: Final = 13.5  # inches, of a page with three rows
_SIDE: Final = 1.15  # inches that panels below the forest plot take for their axes
_EDGE: Final = 0.064  # inches
_SPIKES: Final = 0.64  # inches: the axis of probabilities
_TITLE: Final = 0.3  # inches
_MODELS: Final = 6
_NAME: Final = {True: 3.1, False: 1.85}  # inches, in rows of two and of three
_PANEL: Final = 1.45  # inches, the narrowest between axes
_FEW_MODELS: Final = 4
_SIZE: Final = 8.5  # points, of titles of axes
_SMALL: Final = 0.8  # of that, other text


@dataclass(frozen=True, slots=True)
class _Sheet:
    """Where panels stand, and how large what is in them is.

    Attributes
    ----------
    page : Page
        With the size of titles of axes.
    panels : int
        Without that of the estimates.
    tested : bool
        Whether one of them shows moderators.
    """

    page: Page
    panels: int
    tested: bool

    @classmethod
    def of(cls, asked: Size, panels: int, tested: bool) -> _Sheet:
        """Return the sheet for so many panels at a size that was asked for."""
        tall = _TALL if tested and panels >= _MANY else _HEIGHT
        page = asked.page(_WIDTH, tall, _SIZE)
        if page.width < _NARROW and asked.height is None:
            page = replace(page, height=_ROW * page.width * (panels + 1))
        return cls(page, panels, tested)

    @property
    def narrow(self) -> bool:
        """Whether panels stand below each other."""
        return self.page.width < _NARROW

    @property
    def many(self) -> bool:
        """Whether panels take three rows: beside two others names lack room."""
        return self.tested and self.panels >= _MANY

    @property
    def rows(self) -> int:
        """Rows of panels, with that of the estimates."""
        if self.narrow:
            return self.panels + 1
        return 4 if self.many else 3

    @property
    def names(self) -> float:
        """Inches for the names of models and moderators."""
        if self.narrow:
            return self.page.width - 2 * _PANEL * self.factor
        wide = _NAME[self.many or self.panels < _MANY]
        return wide * self.page.width / _WIDTH

    @property
    def factor(self) -> float:
        """Size of text over the usual one."""
        return self.page.text / _SIZE

    @property
    def small(self) -> float:
        """Points of text beside titles of axes."""
        return _SMALL * self.page.text

    @property
    def edge(self) -> float:
        """Share of the width at the edges of panels."""
        return _EDGE * self.factor / self.page.width

    @property
    def spikes(self) -> float:
        """Share of the width that an axis of probabilities takes."""
        return _SPIKES * self.factor / self.page.width


def plot_overview(
    ensemble: Ensemble,
    *,
    output_scale: Measure | None = None,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw the data, the averaged posteriors and the models on one page.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    output_scale : str, optional
        Measure of the effects, as in `Ensemble.mixture`. None: the prior scale.
    width, height, text_size : float, optional
        Inches, inches and points. None: 8 by 10 (13.5 with moderators and more than six
        panels) and 8.5, or in proportion. Below 5 inches panels stand below each other,
        and the page is as high as they need.

    Returns
    -------
    plotnine composition
        ``save`` and ``show`` as a ggplot. Panels, lettered: estimates (a forest plot,
        or a funnel plot if it would have more than 40 lines, or 18 on a narrow page),
        the posteriors of mu, tau and, with
        clusters, rho beside their priors, the weight function and the PET-PEESE
        regression if some model has them, the moderators if some models have them and
        others have not, and the most probable models.

    Raises
    ------
    DataError
        On an unknown scale, or a size that is none.
    """
    from plotnine import labs, theme

    check_output_scale(ensemble.task, output_scale)
    posteriors = [
        row
        for row in ensemble.unknowns
        if row.enters in ("intercept", "sd", "correlation")
        and row.name in ensemble.parameters
    ]
    weights = ensemble.p_values is not None
    regression = any(map(ensemble.space.has, ensemble.unknowns.regressions))
    tested = bool(ensemble.tested_terms)
    sheet = _Sheet.of(
        Size(width, height, text_size),
        len(posteriors) + weights + regression + tested + 1,
        tested,
    )
    panels = [
        (row.title, _posterior(ensemble, row.name, output_scale, sheet))
        for row in posteriors
    ]
    if weights:
        title = ensemble.unknowns["omega"].title
        panels.append((title, plot_weightfunction(ensemble)))
    if regression:
        plot = plot_pet_peese(ensemble, output_scale=output_scale)
        panels.append(("Small-study effects", plot))
    if tested:
        panels.append(("Moderators", _terms(ensemble, sheet)))
    panels.append(("Most probable models", _models(ensemble, sheet)))
    estimates, alike = _estimates(ensemble, output_scale, sheet)
    small, heading = _small(sheet)
    below = [
        plot + small + heading + labs(title=f"{letter}  {title}")
        for letter, (title, plot) in zip("BCDEFGH", panels, strict=False)
    ]
    top = (
        estimates
        + labs(title="A  Estimates")
        + heading
        + theme(plot_margin_top=sheet.edge)
    )
    first, *more = _rows(below, sheet)
    page = top / first if alike else first
    for row in more:
        page = page / row
    page = page if alike else top / page
    return page & theme(figure_size=(sheet.page.width, sheet.page.height))


def _small(sheet: _Sheet) -> tuple[Any, Any]:
    """Return the themes of panels and of their titles."""
    from plotnine import element_text, theme

    small = theme(
        axis_title=element_text(size=sheet.page.text),
        axis_text=element_text(size=sheet.small),
        legend_text=element_text(size=sheet.small),
        legend_box_spacing=0.005,
        legend_key_size=9 * sheet.factor,
        plot_margin_left=sheet.edge,
        plot_margin_top=sheet.edge,
        plot_margin_bottom=sheet.edge,
    )
    # Beside each other they are as narrow as the page is, text is not.
    points = 9 * (sheet.factor if sheet.narrow else sheet.page.width / _WIDTH)
    title = element_text(size=min(points, 9.0), weight="bold", ha="left")
    return small, theme(plot_title=title)


def _posterior(
    ensemble: Ensemble, parameter: str, output_scale: Measure | None, sheet: _Sheet
) -> Any:
    """Draw a posterior and its prior; the axis of spikes needs room at the right."""
    from plotnine import theme

    frame = posterior_frame(ensemble, parameter, prior=True, output_scale=output_scale)
    plot = draw_posterior(
        frame,
        symbol=ensemble.unknowns[parameter].symbol,
        title=parameter_title(ensemble, parameter, output_scale),
        size=sheet.page.text,
        panel=_PANEL * (1.0 if sheet.narrow else sheet.page.width / _WIDTH),
    )
    fixed = (frame["kind"] == "spike").any()
    return plot + theme(plot_margin_right=sheet.spikes if fixed else sheet.edge)


def _rows(panels: list[Any], sheet: _Sheet) -> tuple[Any, ...]:
    """Return two rows of panels, or three; on a narrow page one for each."""
    if sheet.narrow:
        return tuple(panels)
    *rest, last = panels
    if len(rest) == 2:
        return rest[0] | rest[1], last
    if len(rest) == 3:
        return rest[0] | rest[1], rest[2] | last
    if len(rest) == 4:
        return rest[0] | rest[1] | rest[2], rest[3] | last
    if not sheet.many:
        return rest[0] | rest[1] | rest[2], rest[3] | rest[4] | last
    if len(rest) == 5:
        return rest[0] | rest[1], rest[2] | rest[3], rest[4] | last
    return rest[0] | rest[1] | rest[2], rest[3] | rest[4], rest[5] | last


def _estimates(
    ensemble: Ensemble, output_scale: Measure | None, sheet: _Sheet
) -> tuple[Any, bool]:
    """Return a forest plot, or a funnel plot, and whether a row of panels holds it."""
    from plotnine import element_text, theme

    effects = ensemble.task.effects
    groups = pd.Series(effects.shared_labels, dtype=object)
    headings = groups.nunique(dropna=False) if effects.clustered else 0
    note = reference_words(ensemble.task.moderators)
    lines = effects.K + int(headings) + 4
    if lines > (_FEW_LINES if sheet.narrow else _LINES):
        frame = funnel_frame(ensemble, output_scale=output_scale)
        small, _ = _small(sheet)
        return draw_funnel(
            frame, ensemble, output_scale, sheet.page
        ) + small, sheet.narrow
    lines += bool(note)
    alike = lines <= _FEW_LINES or sheet.narrow
    high = sheet.page.height / (sheet.rows if alike else 2)
    wide = sheet.page.width - _SIDE * sheet.factor
    plot = draw_forest(
        forest_frame(ensemble, output_scale=output_scale),
        Look(
            check_output_scale(ensemble.task, output_scale),
            note=note,
            asked=Size(wide, high - _TITLE * sheet.factor),
        ),
    )
    text = theme(
        axis_title_x=element_text(size=sheet.page.text),
        axis_text_x=element_text(size=sheet.small),
        legend_text=element_text(size=sheet.small),
        legend_key_size=9 * sheet.factor,
    )
    return plot + text, alike


def _models(ensemble: Ensemble, sheet: _Sheet) -> Any:
    """Draw the most probable models."""
    frame = probabilities_frame(ensemble)
    frame = frame.sort_values("post_prob", ascending=False, kind="stable")
    frame = frame.head(_MODELS)
    # Numbers tell apart what a cut would make equal, and are those of the tables.
    names = [
        f"{number}: {name}"
        for number, name in zip(frame["model"], frame["name"], strict=True)
    ]
    names = fitting(names, ensemble.unknowns, sheet.names, sheet.small)
    labels = [cut(name, sheet.names, sheet.small) for name in names]
    widest = float(frame[["prior_prob", "post_prob"]].to_numpy().max())
    return _bars(frame.assign(label=labels), "Model probability", widest, sheet)


def _terms(ensemble: Ensemble, sheet: _Sheet) -> Any:
    """Draw the moderators, or the most probable ones of many."""
    frame = terms_frame(ensemble)
    if len(frame) > _MODELS:
        frame = frame.sort_values("post_prob", ascending=False, kind="stable")
    frame = frame.head(_MODELS)
    factors = [f" (BF {bayes_factor(log_bf)})" for log_bf in frame["log_bf"]]
    names = short_names(
        frame["term"].tolist(),
        sheet.names - text_width(factors, sheet.small),
        sheet.small,
    )
    labels = [name + factor for name, factor in zip(names, factors, strict=True)]
    return _bars(frame.assign(label=labels), "Inclusion probability", 1.0, sheet)


def _bars(frame: pd.DataFrame, title: str, widest: float, sheet: _Sheet) -> Any:
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
            size=sheet.small,
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
            plot_margin_right=sheet.edge,
        )
    )
