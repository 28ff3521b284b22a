"""One self-contained page about an ensemble."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date as Date
from typing import TYPE_CHECKING, Any, Final

from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.report.drawing import draw, svg_images
from pyrobma.report.failures import Failure, attempt, failures_of, warn_of
from pyrobma.report.figures import Figure, figures
from pyrobma.report.methods import settings_in_words
from pyrobma.report.tables import make_tables
from pyrobma.summary import Table, ensemble_warnings, interpret
from pyrobma.summary.heading import heading

if TYPE_CHECKING:
    from markupsafe import Markup

_POWER: Final = re.compile(r"10\^(\d+)")


@dataclass(frozen=True, slots=True)
class Page:
    """A report, and what is not in it.

    Attributes
    ----------
    html : str
        An HTML document that needs no other file.
    failures : tuple of Failure
        What could not be made for it, each of which it says in its place.
    """

    html: str
    failures: tuple[Failure, ...]


def report_html(ensemble: Ensemble, **options: Any) -> str:
    """Write a report: interpretation, tables, figures, diagnostics and settings.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    **options
        Those of `make_page`.

    Returns
    -------
    str
        An HTML document that needs no other file.

    Raises
    ------
    DataError
        On an unknown scale.

    Warns
    -----
    PyrobmaWarning
        If a figure or a table could not be made; the page says so in its place.
    """
    page = make_page(ensemble, **options)
    warn_of(page.failures)
    return page.html


def make_page(
    ensemble: Ensemble,
    *,
    title: str | None = None,
    output_scale: Measure | None = None,
    remarks: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    images: Mapping[str, str | Failure] | None = None,
    contents: Mapping[str, Table] | None = None,
    more_figures: Sequence[Figure] = (),
    date: Date | None = None,
) -> Page:
    """Make a report, whatever of it cannot be made.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    title : str, optional
        Heading of the page. None: the method.
    output_scale : str, optional
        Measure of the estimates. None: the prior scale.
    remarks : sequence of str
        What a reader must know first, beside the checks that models miss.
    settings : mapping, optional
        Names and values to show at the end, beside those of the ensemble.
    images : mapping of str to str or Failure, optional
        SVG text by figure name, if the figures are drawn already. None: drawn here.
    contents : mapping of str to Table, optional
        What `tables` returned, if that was called already, and more: ``predictions``,
        and any whose name begins with ``sensitivity_``. None: called here.
    more_figures : sequence of Figure
        Figures beside those of `figures`, of its topics or "sensitivity".
    date : datetime.date, optional
        When the report is written. None: today.

    Raises
    ------
    DataError
        On an unknown scale.
    """
    from jinja2 import Environment, PackageLoader

    check_output_scale(ensemble.task, output_scale)
    environment = Environment(
        loader=PackageLoader("pyrobma.report"), autoescape=True, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    catalogue = (*figures(ensemble, output_scale=output_scale), *more_figures)
    failures: tuple[Failure, ...] = ()
    if contents is None:
        contents, failures = make_tables(ensemble, output_scale)
    if images is None:
        drawn = {figure.name: draw(figure, ("svg",)) for figure in catalogue}
        images = svg_images(drawn)
        failures += failures_of(images.values())
    said = attempt(
        "The interpretation", lambda: interpret(ensemble, output_scale=output_scale)
    )
    method, _, data = heading(ensemble).partition(": ")
    moderators, of_tau = ensemble.task.moderators, ensemble.task.scale_moderators
    html = environment.get_template("report.html").render(
        title=title or method,
        heading=f"{method}: {data}" if title else data,
        biased=bool(ensemble.bias_kinds),
        moderated=moderators is not None,
        formula="" if moderators is None else moderators.formula,
        scale_formula="" if of_tau is None else of_tau.formula,
        sensitive=any(name.startswith("sensitivity_") for name in contents),
        remarks=[*remarks, *ensemble_warnings(ensemble)],
        interpretation=_with_powers(str(said)),
        tables={name: table.to_html(styled=False) for name, table in contents.items()},
        figures=_shown(catalogue, images, contents),
        settings=[
            *settings_in_words(ensemble, date or Date.today()),
            *((settings or {}).items()),
        ],
    )
    return Page(html, (*failures, *failures_of([said])))


def _shown(
    catalogue: Sequence[Figure],
    images: Mapping[str, str | Failure],
    contents: Mapping[str, Table],
) -> dict[str, list[dict[str, str]]]:
    """Return what the page has of each figure, by topic."""
    found: dict[str, list[dict[str, str]]] = {}
    for figure in catalogue:
        image = images[figure.name]
        shown = {"caption": figure.caption}
        if isinstance(image, Failure):
            shown |= {"missing": str(image)}
        else:
            shown |= {"source": _data_url(image), "alt": _alternative(figure, contents)}
        found.setdefault(figure.topic, []).append(shown)
    return found


def _alternative(figure: Figure, contents: Mapping[str, Table]) -> str:
    """Return what a figure says; only its caption if a table that it needs is not."""
    numbers = attempt(figure.name, lambda: figure.numbers(contents))
    return figure.caption if isinstance(numbers, Failure) or not numbers else numbers


def _with_powers(text: str) -> Markup:
    from markupsafe import Markup, escape

    return Markup(_POWER.sub(r"10<sup>\1</sup>", str(escape(text))))


def _data_url(svg: str) -> str:
    encoded = base64.b64encode(svg.encode()).decode("ascii")
    return f"data:image/svg+xml;base64,{encoded}"
