"""The folder of results that the command line leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pyrobma.commands.extras import Planned
from pyrobma.commands.folder import (
    FINISHED,
    SETTINGS,
    delete_files,
    earlier_files,
    new_file,
)
from pyrobma.effects import Measure
from pyrobma.ensemble.stan_files import stan_files
from pyrobma.plots.files import FileFormat
from pyrobma.report import Failure, Figure, figures, make_page
from pyrobma.report.drawing import Drawing, draw, svg_images
from pyrobma.report.failures import attempt, failure_of, failures_of, warn_of
from pyrobma.report.tables import file_names, make_tables, missing_table
from pyrobma.result import RobmaFit
from pyrobma.summary import Table, ensemble_warnings, interpret

_FORMATS: Final[tuple[FileFormat, ...]] = ("svg", "png", "pdf")
_DPI: Final = 300
_FORMULA: Final = re.compile(r"[=+@\t\r\n-]")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_DRAWS: Final = ("posterior", "sample_stats", "observed_data", "constant_data")
"""Groups of the file of draws."""


def write_results(
    fit: RobmaFit,
    folder: Path,
    *,
    settings: Mapping[str, Any],
    output_scale: Measure | None = None,
    with_figures: bool = True,
    with_stan: bool = False,
    remarks: Sequence[str] = (),
    extras: Iterable[Planned] = (),
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
        Goes into settings.json, with the warnings and the names of all files; its
        "options" also into the report.
    output_scale : str, optional
        Measure of the estimates. None: the prior scale.
    with_figures : bool
        Draw the figures and write the report, which holds them.
    with_stan : bool
        Write the files of `write_stan_json`.
    remarks : sequence of str
        Warnings that were given while the models were fitted.
    extras : iterable of Planned
        More tables and figures. Made once the fit is saved.
    say : callable
        Told what is being written.

    Raises
    ------
    Exception
        The first that one of the extras raised, once everything else is written.

    Warns
    -----
    PyrobmaWarning
        If something else could not be made, once the rest is written. The report says
        so in its place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = _Results(fit, folder, output_scale, list(remarks), say)
    earlier = earlier_files(folder)
    try:
        results.write_fit()
        if with_stan:
            results.write_stan()
        results.write_tables(extras)
        results.write_interpretation()
        if with_figures:
            results.write_report(_shown(settings.get("options", {})))
    except BaseException:
        # So that a later run knows all of these as ours.
        results.write_settings(settings, earlier)
        raise
    results.write_settings(settings)
    delete_files(folder, (earlier | {FINISHED}) - results.written)
    warn_of(results.failures)
    if results.error is not None:
        raise results.error


@dataclass
class _Results:
    """What is written one after the other, and what could not be."""

    fit: RobmaFit
    folder: Path
    output_scale: Measure | None
    remarks: list[str]
    say: Callable[[str], None]
    written: set[str] = field(default_factory=lambda: {SETTINGS})
    contents: dict[str, Table] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    error: Exception | None = None

    def write_fit(self) -> None:
        """Save the fit, of which all else can be made again, and its draws."""
        self.fit.save(self._file("fit.pyrobma", keep=True))
        # What else a tree may have, the saved fit makes again, and it may be large.
        tree = self.fit.to_datatree(groups=_DRAWS)
        tree.to_netcdf(self._file("draws.nc"), engine="h5netcdf")

    def write_stan(self) -> None:
        """Write the models for other interfaces of Stan."""
        self.say("Writing data of the Stan programs")
        for name, text in stan_files(self.fit):
            self._write(f"stan/{name}", text)

    def write_tables(self, extras: Iterable[Planned]) -> None:
        """Write all tables, and make the extras."""
        self.say("Writing tables")
        self.contents, failures = make_tables(self.fit, self.output_scale)
        self.failures += failures
        for name, table in self.contents.items():
            self._write_table(name, table, table.frame)
        for planned in extras:
            try:
                extra = planned.make()
            except Exception as error:
                failure = failure_of(f"The table {planned.name}", error)
                self.contents[planned.name] = missing_table(planned.name, failure)
                # A user asked for it: the first one is raised in the end.
                self.failures += [] if self.error is None else [failure]
                self.error = self.error or error
                continue
            self.contents[extra.name] = extra.table
            self._write_table(extra.name, extra.table, extra.frame)
            self.figures += [] if extra.figure is None else [extra.figure]

    def write_interpretation(self) -> None:
        """Write the sentences, and the warnings."""
        said = attempt(
            "The interpretation",
            lambda: interpret(self.fit, output_scale=self.output_scale),
        )
        self.failures += failures_of([said])
        lines = [str(said), *(f"Warning: {remark}" for remark in self.remarks)]
        self._write("interpretation.txt", "\n".join(lines) + "\n")

    def write_report(self, options: Mapping[str, Any]) -> None:
        """Draw every figure, and write the page that holds them all."""
        own = figures(self.fit, output_scale=self.output_scale)
        catalogue = (*own, *self.figures)
        drawings: dict[str, Drawing] = {}
        names = file_names(figure.name for figure in catalogue)
        for figure, name in zip(catalogue, names, strict=True):
            self.say(f"Drawing {figure.name}")
            drawing = drawings[figure.name] = draw(figure, _FORMATS, dpi=_DPI)
            if isinstance(drawing, Failure):
                self.failures.append(drawing)
                continue
            for kind, content in drawing.items():
                self._file(f"figures/{name}.{kind}").write_bytes(content)
        known = ensemble_warnings(self.fit)  # the report shows these itself
        page = make_page(
            self.fit,
            output_scale=self.output_scale,
            settings=options,
            images=svg_images(drawings),
            contents=self.contents,
            more_figures=self.figures,
            remarks=[remark for remark in self.remarks if remark not in known],
        )
        self.failures += [made for made in page.failures if made not in self.failures]
        self._write("report.html", page.html)

    def write_settings(
        self, settings: Mapping[str, Any], earlier: Iterable[str] = ()
    ) -> None:
        """Write what the results are of, and which files there are."""
        warnings = [*self.remarks, *map(str, self.failures)]
        files = sorted(self.written.union(earlier))
        contents = {**settings, "warnings": warnings, "files": files}
        self._write(SETTINGS, json.dumps(contents, indent=2) + "\n")

    def _write_table(self, name: str, table: Table, frame: pd.DataFrame) -> None:
        without_formulas(frame).to_csv(self._file(f"tables/{name}.csv"))
        self._write(f"tables/{name}.html", table.to_html())

    def _write(self, name: str, text: str) -> None:
        self._file(name).write_text(text, encoding="utf-8")

    def _file(self, name: str, *, keep: bool = False) -> Path:
        path = new_file(self.folder, name, keep=keep)
        self.written.add(name)
        return path


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
