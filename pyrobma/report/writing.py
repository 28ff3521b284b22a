"""A report as a file, and its figures as files beside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

from pyrobma.ensemble import Ensemble
from pyrobma.errors import DataError
from pyrobma.plots.files import FileFormat
from pyrobma.report.drawing import draw, svg_images
from pyrobma.report.failures import Failure, failures_of, warn_of
from pyrobma.report.figures import figures as figures_of
from pyrobma.report.page import make_page
from pyrobma.report.tables import file_names

_PRINT: Final[tuple[FileFormat, ...]] = ("pdf", "png")


def write_report(
    ensemble: Ensemble,
    path: str | Path,
    *,
    figures: str | Path | None = None,
    dpi: float = 300,
    **options: Any,
) -> None:
    """Write a self-contained HTML report, and its figures for print.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    path : str or Path
        A name that ends in .html.
    figures : str or Path, optional
        A folder, made if it is not there, that gets every figure as PDF and PNG. None:
        figures are in the page only.
    dpi : float
        Dots per inch of a PNG, positive. The page has vector graphics.
    **options
        Those of `make_page`: ``title``, ``output_scale``, ``date``, ...

    Raises
    ------
    DataError
        If the name has another ending, or `dpi` is not positive, or on an unknown
        scale.

    Warns
    -----
    PyrobmaWarning
        If a figure or a table could not be made; the page says so in its place. All
        the rest is written before.
    """
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise DataError(
            f"path: expected a name that ends in .html; got {target.name!r}. A "
            "browser prints the page to PDF."
        )
    if not (math.isfinite(dpi) and dpi > 0):
        raise DataError(f"dpi: expected a positive number; got {dpi!r}.")
    failures: tuple[Failure, ...] = ()
    files: dict[str, bytes] = {}
    if figures is not None:
        scale = options.get("output_scale")
        catalogue = (
            *figures_of(ensemble, output_scale=scale),
            *options.get("more_figures", ()),
        )
        drawings = {f.name: draw(f, ("svg", *_PRINT), dpi=dpi) for f in catalogue}
        options["images"] = svg_images(drawings)
        failures = failures_of(drawings.values())
        for name, drawing in zip(file_names(drawings), drawings.values(), strict=True):
            if not isinstance(drawing, Failure):
                files |= {f"{name}.{kind}": drawing[kind] for kind in _PRINT}
    page = make_page(ensemble, **options)
    target.write_text(page.html, encoding="utf-8")
    if figures is not None:
        folder = Path(figures)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    warn_of((*failures, *page.failures))
