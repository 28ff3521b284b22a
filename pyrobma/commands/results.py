"""The folder of results that the command line leaves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pyrobma.api import RobmaFit
from pyrobma.effects import Measure
from pyrobma.report import figures, report_html, save_figure, tables
from pyrobma.summary import interpret

_FORMATS = ("svg", "png")


def write_results(
    fit: RobmaFit,
    folder: Path,
    *,
    settings: Mapping[str, Any],
    output_scale: Measure | None = None,
    with_figures: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Write tables, figures, draws, settings, the fit and a report.

    Parameters
    ----------
    fit : RobmaFit
        What `robma` returns.
    folder : Path
        Made if it is not there. Its tables/ and figures/ are replaced.
    settings : mapping
        Goes into settings.json and the report.
    output_scale : str, optional
        Measure of the estimates. None: the prior scale.
    with_figures : bool
        Draw the figures and write the report, which holds them.
    say : callable
        Told what is being written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fit.save(folder / "fit.pyrobma")  # first: all else can be made again from it
    _write(folder / "settings.json", json.dumps(settings, indent=2) + "\n")
    fit.to_datatree().to_netcdf(folder / "draws.nc")

    say("Writing tables")
    own = _emptied(folder / "tables")
    for name, table in tables(fit, output_scale=output_scale).items():
        table.frame.to_csv(own / f"{name}.csv")
        _write(own / f"{name}.html", table.to_html())
    _write(
        folder / "interpretation.txt", interpret(fit, output_scale=output_scale) + "\n"
    )

    if not with_figures:
        return
    own = _emptied(folder / "figures")
    images: dict[str, str] = {}
    for figure in figures(fit, output_scale=output_scale):
        say(f"Drawing {figure.name}")
        drawn = figure.draw()
        for ending in _FORMATS:
            save_figure(drawn, own / f"{figure.name}.{ending}")
        images[figure.name] = (own / f"{figure.name}.svg").read_text(encoding="utf-8")

    options = settings.get("options", {})
    versions = settings.get("versions", {})
    _write(
        folder / "report.html",
        report_html(
            fit,
            output_scale=output_scale,
            settings={**_shown(options), **_shown(versions)},
            images=images,
        ),
    )


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.replace("_", " "): " ".join(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not False
    }


def _emptied(folder: Path) -> Path:
    """Return the folder without what an earlier run left there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
