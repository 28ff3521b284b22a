"""The folder of results that the command line leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pyrobma.commands.extras import Extra
from pyrobma.commands.folder import (
    FINISHED,
    SETTINGS,
    delete_files,
    earlier_files,
    new_file,
)
from pyrobma.effects import Measure
from pyrobma.report import Figure, figures, report_html, save_figure, tables
from pyrobma.report.tables import file_names
from pyrobma.result import RobmaFit
from pyrobma.summary import Table, ensemble_warnings, interpret

_FORMATS = ("svg", "png")
_FORMULA: Final = re.compile(r"[=+@\t\r\n-]")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def write_results(
    fit: RobmaFit,
    folder: Path,
    *,
    settings: Mapping[str, Any],
    output_scale: Measure | None = None,
    with_figures: bool = True,
    remarks: Sequence[str] = (),
    extras: Iterable[Extra] = (),
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Write tables, figures, draws, settings, the fit and a report.

    Texts of CSV files that a spreadsheet would take for formulas get an apostrophe;
    see `without_formulas`.

    Parameters
    ----------
    fit : RobmaFit
        What `robma` returns.
    folder : Path
        Made if it is not there. What an earlier run wrote into it is replaced, or
        deleted if it has no successor; other files stay. Links among the files are
        replaced too, and what they point to stays as it is.
    settings : mapping
        Goes into settings.json, with the warnings and the names of all files, and
        into the report.
    output_scale : str, optional
        Measure of the estimates. None: the prior scale.
    with_figures : bool
        Draw the figures and write the report, which holds them.
    remarks : sequence of str
        Warnings that were given while the models were fitted.
    extras : iterable of Extra
        More tables and figures. Asked for once the fit is saved.
    say : callable
        Told what is being written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    earlier = earlier_files(folder)
    written: set[str] = set()

    def file(name: str, *, keep: bool = False) -> Path:
        path = new_file(folder, name, keep=keep)
        written.add(name)
        return path

    def write_settings(files: set[str]) -> None:
        contents = {**settings, "warnings": list(remarks), "files": sorted(files)}
        _write(new_file(folder, SETTINGS), json.dumps(contents, indent=2) + "\n")

    def write_table(name: str, table: Table, frame: pd.DataFrame) -> None:
        without_formulas(frame).to_csv(file(f"tables/{name}.csv"))
        _write(file(f"tables/{name}.html"), table.to_html())

    written.add(SETTINGS)
    try:
        # First: all else can be made again from it.
        fit.save(file("fit.pyrobma", keep=True))
        fit.to_datatree().to_netcdf(file("draws.nc"))
        say("Writing tables")
        contents = tables(fit, output_scale=output_scale)
        for name, table in contents.items():
            write_table(name, table, table.frame)
        drawings: list[Figure] = []
        for extra in extras:
            contents[extra.name] = extra.table
            write_table(extra.name, extra.table, extra.frame)
            drawings += [] if extra.figure is None else [extra.figure]
        text = "\n".join(
            [
                interpret(fit, output_scale=output_scale),
                *(f"Warning: {remark}" for remark in remarks),
            ]
        )
        _write(file("interpretation.txt"), text + "\n")
        if with_figures:
            images: dict[str, str] = {}
            catalogue = (*figures(fit, output_scale=output_scale), *drawings)
            names = file_names(figure.name for figure in catalogue)
            for figure, name in zip(catalogue, names, strict=True):
                say(f"Drawing {figure.name}")
                drawn = figure.draw()
                for ending in _FORMATS:
                    save_figure(drawn, file(f"figures/{name}.{ending}"))
                svg = folder / "figures" / f"{name}.svg"
                images[figure.name] = svg.read_text(encoding="utf-8")
            known = ensemble_warnings(fit)  # the report shows these itself
            page = report_html(
                fit,
                output_scale=output_scale,
                settings={
                    **_shown(settings.get("options", {})),
                    **_shown(settings.get("versions", {})),
                },
                images=images,
                contents=contents,
                more_figures=drawings,
                remarks=[remark for remark in remarks if remark not in known],
            )
            _write(file("report.html"), page)
    except BaseException:
        # So that a later run knows all of these as ours.
        write_settings(written | earlier)
        raise
    write_settings(written)
    delete_files(folder, (earlier | {FINISHED}) - written)


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts no spreadsheet takes for formulas.

    Parameters
    ----------
    frame : DataFrame
        Any table.

    Returns
    -------
    DataFrame
        With an apostrophe before each text, in cells, row labels and headers, that
        begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break and is no number
        [1]_. Numbers are as they were.

    References
    ----------
    .. [1] OWASP. CSV injection. https://owasp.org/www-community/attacks/CSV_Injection
    """
    texts = [
        j
        for j, kind in enumerate(frame.dtypes)
        if not pd.api.types.is_numeric_dtype(kind)
    ]
    safe = frame.copy()
    for j in texts:
        safe.isetitem(j, [_no_formula(value) for value in frame.iloc[:, j]])
    safe.index = safe.index.map(_no_formula)
    safe.columns = safe.columns.map(_no_formula)
    safe.index.name = _no_formula(safe.index.name)
    return safe


def _no_formula(value: Any) -> Any:
    if not isinstance(value, str) or not _FORMULA.match(value):
        return value
    return value if _NUMBER.fullmatch(value) else f"'{value}"


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.replace("_", " "): " ".join(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not False
    }


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
