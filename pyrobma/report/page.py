"""One self-contained page about an ensemble."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.report.figures import Figure, figures, save_figure
from pyrobma.report.tables import tables
from pyrobma.summary import Table, ensemble_warnings, interpret
from pyrobma.summary.heading import heading


def report_html(
    ensemble: Ensemble,
    *,
    title: str | None = None,
    output_scale: Measure | None = None,
    remarks: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    images: Mapping[str, str] | None = None,
    contents: Mapping[str, Table] | None = None,
    more_figures: Sequence[Figure] = (),
) -> str:
    """Write a report: interpretation, tables, figures, diagnostics and settings.

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
    images : mapping of str to str, optional
        SVG text by figure name, if the figures are drawn already. None: drawn here.
    contents : mapping of str to Table, optional
        What `tables` returned, if that was called already, and more: ``predictions``,
        and any whose name begins with ``sensitivity_``. None: called here.
    more_figures : sequence of Figure
        Figures beside those of `figures`, of its topics or "sensitivity".

    Returns
    -------
    str
        An HTML document that needs no other file.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("pyrobma.report"), autoescape=True, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    catalogue = (*figures(ensemble, output_scale=output_scale), *more_figures)
    drawn = svg_images(catalogue) if images is None else images
    if contents is None:
        contents = tables(ensemble, output_scale=output_scale)
    shown: dict[str, list[dict[str, str]]] = {}
    for figure in catalogue:
        shown.setdefault(figure.topic, []).append(
            {"caption": figure.caption, "source": _data_url(drawn[figure.name])}
        )
    method, _, data = heading(ensemble).partition(": ")
    moderators = ensemble.task.moderators
    return environment.get_template("report.html").render(
        title=title or method,
        heading=f"{method}: {data}" if title else data,
        biased=bool(ensemble.bias_kinds),
        moderated=moderators is not None,
        formula="" if moderators is None else moderators.formula,
        sensitive=any(name.startswith("sensitivity_") for name in contents),
        remarks=[*remarks, *ensemble_warnings(ensemble)],
        interpretation=interpret(ensemble, output_scale=output_scale),
        tables={name: table.to_html() for name, table in contents.items()},
        figures=shown,
        settings=_settings(ensemble, settings or {}),
    )


def svg_images(catalogue: Sequence[Figure]) -> dict[str, str]:
    """Draw figures; return SVG text by name."""
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, figure in enumerate(catalogue):
            # Not its name, which may be no legal one of a file.
            path = Path(folder, f"{number}.svg")
            save_figure(figure.draw(), path)
            found[figure.name] = path.read_text(encoding="utf-8")
    return found


def _data_url(svg: str) -> str:
    encoded = base64.b64encode(svg.encode()).decode("ascii")
    return f"data:image/svg+xml;base64,{encoded}"


def _settings(ensemble: Ensemble, more: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    task, chosen = ensemble.task, ensemble.settings
    own = {
        "measure of the likelihood": task.effects.measure,
        "prior scale": task.prior_scale,
        "mapping of the effect": task.effect_mapping,
        "effect direction": task.effect_direction,
        "chains": chosen.chains,
        "warm-up iterations per chain": chosen.warmup,
        "iterations per chain, at least": chosen.draws,
        "seed": ensemble.seed,
    }
    return [(name, str(value)) for name, value in {**own, **more}.items()]
