"""Estimates from what papers report, as it is named on the command line."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import pandas as pd

from pyrobma.effects import correlation_z, smd, smd_one_sample, smd_paired
from pyrobma.effects.paired import STANDARDIZERS
from pyrobma.errors import DataError

_DESIGNS: Final[dict[str, Callable[..., pd.DataFrame]]] = {
    "two-groups": smd,
    "paired": smd_paired,
    "one-sample": smd_one_sample,
    "correlation": correlation_z,
}

_DESCRIPTION: Final = """\
Effects, and how precise they are, are computed from means and standard
deviations, or from --t, --F or --p, with --n1 and --n2 or --n (the total; groups
are then taken to be of equal size). Rows may differ in what they have."""

_COLUMNS: Final = {
    "mean1": "means of the first group or measurement",
    "sd1": "their standard deviations",
    "n1": "sizes of the first group, with --x1 too",
    "mean2": "means of the second group or measurement",
    "sd2": "their standard deviations",
    "n2": "sizes of the second group, with --x2 too",
    "mean": "means of single samples",
    "sd": "their standard deviations",
    "F": "F with one degree of freedom in the numerator, i.e. t²",
    "df": "degrees of freedom of a correlation, instead of --n",
}

_NUMBERS: Final = {
    "sign": "direction of effects with --F or --p, which have none: 1 or -1",
    "correlation": "of the two measurements of a pair, e.g. 0.5; see how much depends "
    "on it if you assume it",
    "test_value": "what means of single samples are compared with (default: 0)",
}
"""Columns that may be one number for all rows."""

NUMERIC: Final = (*_COLUMNS, *_NUMBERS)
"""Options whose columns have numbers."""

_SHARED: Final = ("r", "n", "t", "p")
"""Options that have a meaning without ``--design``, too."""

_SOURCES: Final = (
    ("mean1", "sd1", "mean2", "sd2"), ("mean", "sd"), ("t",), ("F",), ("p",), ("r",),
)  # fmt: skip
"""What an estimate is computed from, one of them."""

_EFFECTS: Final = ("d", "r", "z", "logOR", "OR", "y")

_ARGUMENTS: Final = (
    *_COLUMNS, *_NUMBERS, *_SHARED, "sides", "standardizer", "correct",
)  # fmt: skip
_OWN: Final = tuple(name for name in _ARGUMENTS if name not in _SHARED)

_OF_COUNTS: Final = ("x1", "x2", "t1", "t2")
"""Options that say that --n1 and --n2 are sizes of groups with events."""

_LEADING: Final = re.compile(rf"^((?:{'|'.join(_ARGUMENTS)})(?:, )?)+(?=:)")
_WRITTEN: Final = re.compile(rf'\b({"|".join(_OWN)})=("?)([\w.-]*\w)\2')


def add_reported(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser of a command."""
    group = parser.add_argument_group(
        "columns of the file: what papers report",
        _DESCRIPTION,
    )
    group.add_argument(
        "--design", choices=tuple(_DESIGNS),
        help="of the studies (default: two-groups with --n1): Hedges' g of two-groups, "
        "paired or one-sample, or Fisher's z of --r, --t, --F or --p",
    )  # fmt: skip
    for name, help_ in _COLUMNS.items():
        group.add_argument(f"--{name}", metavar="COLUMN", help=help_)
    for name, help_ in _NUMBERS.items():
        group.add_argument(_option(name), metavar="COLUMN_OR_NUMBER", help=help_)
    group.add_argument(
        "--sides", choices=("1", "2"), help="of p-values with a --design (default: 2)"
    )
    group.add_argument(
        "--standardizer", choices=STANDARDIZERS,
        help="what differences of pairs are divided by (default: average, comparable "
        "with two groups)",
    )  # fmt: skip
    group.add_argument(
        "--no-correction", dest="correct", action="store_false", default=None,
        help="Cohen's d, without Hedges' correction",
    )  # fmt: skip


def reported_estimates(
    options: argparse.Namespace, table: pd.DataFrame
) -> dict[str, Any]:
    """Return the estimates as arguments of `robma`; none if columns have them.

    Parameters
    ----------
    options : Namespace
        Of the command.
    table : DataFrame
        The estimates' file.

    Returns
    -------
    dict
        The measure's argument and `v`, and None for columns that were read for them.

    Raises
    ------
    DataError
        If options contradict each other, or the estimates cannot be computed.
    """
    own = {n: getattr(options, n) for n in _OWN if getattr(options, n) is not None}
    if any(getattr(options, name) is not None for name in _OF_COUNTS):
        return _sizes(options, own)
    design = options.design or ("two-groups" if "n1" in own else None)
    if design is None:
        tests = [n for n in ("t", "p") if getattr(options, n) is not None]
        effect = any(getattr(options, n) is not None for n in _EFFECTS)
        if own or (tests and not effect):
            beside = "a --design" if own else "an effect or a --design"
            raise DataError(
                f"{_options(own or tests)}: expected {beside} beside it; got none. Add "
                f"--design, one of {', '.join(_DESIGNS)}."
            )
        return {}
    function = _DESIGNS[design]
    known = inspect.signature(function).parameters
    _refuse_others(options, design, own, known)
    given = own | {n: getattr(options, n) for n in _SHARED if n in known}
    for name in ("sides", *_NUMBERS):
        if name in given:
            given[name] = _number_or_column(given[name], table)
    used = _with_estimates(table, given) if options.missing == "drop" else table
    with _in_options():
        # Rows that are left out have no effect for robma, which says so.
        made = function(used, **given).reindex(table.index)
    measure = "z" if function is correlation_z else "d"
    return dict.fromkeys(_SHARED) | {measure: made["yi"], "v": made["vi"]}


def _sizes(options: argparse.Namespace, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes of groups with events; refuse what else papers report."""
    beside = [name for name in own if name not in ("n1", "n2")]
    if beside or options.design is not None:
        raise DataError(
            f"{_options(beside or ['design'])}: expected none beside events (--x1, "
            "--x2); got some. Leave one or the other out."
        )
    return {"n1": options.n1, "n2": options.n2}


def _with_estimates(table: pd.DataFrame, given: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows that have a sample size, and means or a test."""

    def lacks(*names: str) -> Any:
        columns = [given[name] for name in names if given.get(name) in table.columns]
        return table[columns].isna() if columns else None

    sources = [lacks(*names) for names in _SOURCES]
    gone = [one.any(axis=1) for one in sources if one is not None]
    kept = (
        ~pd.concat(gone, axis=1).all(axis=1) if gone else pd.Series(True, table.index)
    )
    for sizes, every in ((lacks("n1", "n2"), False), (lacks("n", "df"), True)):
        if sizes is not None:
            kept &= ~(sizes.all(axis=1) if every else sizes.any(axis=1))
    return table[kept] if kept.any() else table


def _refuse_others(
    options: argparse.Namespace, design: str, own: dict[str, Any], known: Any
) -> None:
    foreign = [n for n in own if n not in known]
    if foreign:
        raise DataError(
            f"{_options(foreign)}: expected options of --design {design}; got others. "
            "Leave them out, or choose another design."
        )
    names = (*_EFFECTS, "se", "v", "lCI", "uCI")
    effects = [n for n in names if getattr(options, n) is not None and n not in known]
    if effects:
        raise DataError(
            f"{_options(effects)}: expected none beside --design {design}, which "
            "computes effects and how precise they are; got some. Leave one or the "
            "other out."
        )


def _number_or_column(text: str, table: pd.DataFrame) -> float | str:
    if text in table.columns:
        return text
    try:
        return float(text)
    except ValueError:
        return text


def _option(name: str) -> str:
    return "--no-correction" if name == "correct" else f"--{name.replace('_', '-')}"


def _options(names: Any) -> str:
    return ", ".join(map(_option, names))


@contextmanager
def _in_options() -> Iterator[None]:
    """Let errors name options instead of arguments."""
    try:
        yield
    except DataError as error:
        text = _LEADING.sub(
            lambda match: _options(match[0].split(", ")), str(error), count=1
        )
        text = _WRITTEN.sub(lambda match: f"{_option(match[1])} {match[3]}", text)
        raise DataError(text) from error
