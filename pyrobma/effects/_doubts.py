"""Estimates that are legal, and probably not what was meant: a word of warning."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects._columns import Rows
from pyrobma.effects._missing import few
from pyrobma.effects.convert import Measure
from pyrobma.effects.convert_se import implied_n
from pyrobma.errors import DataWarning, warn

_OTHER: Final = {"se": "v", "v": "se"}
_NOUNS: Final = {"se": "standard errors", "v": "variances"}
_CALLED: Final = {
    "se": re.compile(r"sei?|se_?[dgrz]|std_?err(or)?|.*standard_?errors?.*"),
    "v": re.compile(r"vi?|v_?[dgrz]|var(_?[dgrz]|_?i)?|.*variances?.*"),
}
"""What columns of each are called."""

_ROUNDED: Final = 0.05
"""Relative difference of a column from the square of another that rounding explains."""

_HUGE_N: Final = 1500.0
"""Median of sample sizes that is unusual enough to ask about `se`."""

_USUAL_N: Final = (8.0, 5000.0)
"""Range of medians of sample sizes that is not."""

_APART: Final = 40.0
"""Dispersion of estimates that leads to a question about `se`: 97.5 % of the variance
would be heterogeneity."""

_USUAL: Final = (0.3, 15.0)
"""Range of dispersion that is not."""

_AGAINST: Final = -1.0
"""Log likelihood ratio of the other reading below which nothing is asked of `se`."""

_FOR: Final = 4.0
"""The same above which `v` is asked about: by chance in less than 2 % of data sets."""

_UNIQUE: Final = 0.8
"""Share of rows with labels of their own from which an equal row is a copy."""

_SHARE: Final = 0.01
"""Share of all rows that fewer equal ones without labels are left alone at: of many
estimates of a study some coincide."""

_BY_CHANCE: Final = 0.01
"""Probability of as many equal rows without labels below which these are copies."""


def doubt_precision(
    table: pd.DataFrame | None,
    given: Mapping[str, Any],
    numbers: Mapping[str, FloatArray],
    y: FloatArray,
    measures: Sequence[Measure],
    source: Any,
) -> None:
    """Warn if standard errors look like variances, or variances like standard errors.

    Parameters
    ----------
    table : DataFrame or None
        The user's table, in the rows that are used.
    given : mapping of str to object
        What the user gave, by argument.
    numbers : mapping of str to array of shape (K,)
        The same as numbers.
    y : array of shape (K,)
        Effects on their own measures.
    measures : sequence of str, length K
        These measures.
    source : object array of shape (K,)
        The argument that each row's precision is from.
    """
    for name in ("se", "v"):
        own = source == name
        if own.any():
            of = {one for one, here in zip(measures, own, strict=True) if here}
            _doubt_one(
                name, given[name], None if table is None else table[own],
                numbers[name][own], y[own], of.pop() if len(of) == 1 else "none",
            )  # fmt: skip


def _doubt_one(
    name: str,
    given: Any,
    table: pd.DataFrame | None,
    x: FloatArray,
    y: FloatArray,
    measure: Measure,
) -> None:
    called = given if isinstance(given, str) else getattr(given, "name", None)
    reason = (
        _by_name(name, called)
        or _by_column(name, table, x)
        or _by_size(name, x, y, measure)
    )
    if reason:
        noun, other = _NOUNS[_OTHER[name]], _OTHER[name]
        value = repr(called) if isinstance(given, str) else "..."
        warn(
            f"{name}: expected {_NOUNS[name]}; got numbers that may be {noun}, since "
            f"{reason}. If they are {noun}, give them as {other}={value}.",
            DataWarning,
        )


def _by_name(name: str, called: object) -> str:
    text = re.sub(r"[\W_]+", "_", str(called)).strip("_").lower()
    if called is None or not _CALLED[_OTHER[name]].fullmatch(text):
        return ""
    return f"their column is called {str(called)!r}"


def _by_column(name: str, table: pd.DataFrame | None, x: FloatArray) -> str:
    """Find a column whose squares (of `se`) or roots (of `v`) the numbers are."""
    if table is None or len(np.unique(x)) < 3:
        return ""
    power = 0.5 if name == "se" else 2.0
    for number, column in enumerate(table.columns):
        values = table.iloc[:, number]
        if not pd.api.types.is_numeric_dtype(values):
            continue
        own = values.to_numpy(dtype=float, na_value=np.nan)
        if np.all(np.abs(own - x**power) <= _ROUNDED * x**power):
            what = "squares" if name == "se" else "roots"
            return f"they are the {what} of column {str(column)!r}"
    return ""


def _by_size(name: str, x: FloatArray, y: FloatArray, measure: Measure) -> str:
    """Compare what both readings say of sample sizes and of the estimates' spread."""
    if measure == "none" or len(x) < 3 or not np.all((x > 0) & (x < 100)):
        return ""
    root = np.sqrt(x)
    with np.errstate(all="ignore"):  # numbers may be absurd
        ratio = _log_likelihood(y, root) - _log_likelihood(y, x)
        n_se, n_v = (float(np.median(implied_n(y, s, measure))) for s in (x, root))
        by_se, by_v = _dispersion(y, x), _dispersion(y, root)
    if name == "v":
        if not (-ratio > _FOR and by_v < 1 and _USUAL_N[0] < n_se < _USUAL_N[1]):
            return ""
        return (
            f"estimates differ {by_v:.2g} times as much as variances so large make "
            f"them differ by chance, and {by_se:.2g} times as much as such standard "
            "errors do"
        )
    huge = n_se > _HUGE_N and _USUAL_N[0] < n_v < _USUAL_N[1]
    apart = by_se > _APART and _USUAL[0] < by_v < _USUAL[1]
    if not (huge and apart and ratio > _AGAINST):
        return ""
    return (
        f"half of them imply more than {n_se:.0f} participants ({n_v:.0f} if they are "
        f"variances), and estimates differ {by_se:.3g} times as much as errors so "
        "small explain"
    )


def _dispersion(y: FloatArray, se: FloatArray) -> float:
    """Return Cochran's Q by its degrees of freedom."""
    w = se**-2.0
    return float((w * (y - np.average(y, weights=w)) ** 2).sum() / (len(y) - 1))


def _log_likelihood(y: FloatArray, se: FloatArray) -> float:
    """Return the largest log likelihood of a random-effects model, on a grid of tau."""
    tau = np.concatenate([[0.0], y.std() * np.geomspace(1e-3, 10.0, 60)])
    variance = se**2 + tau[:, None] ** 2
    mean = (y / variance).sum(axis=1) / (1.0 / variance).sum(axis=1)
    squares = (y - mean[:, None]) ** 2 / variance
    return float(-0.5 * (np.log(variance) + squares).sum(axis=1).min())


def doubt_copies(
    data: pd.DataFrame | None,
    given: Mapping[str, Any],
    numbers: Mapping[str, FloatArray],
    values: Mapping[str, Any],
    keep: BoolArray,
    rows: Rows,
) -> None:
    """Warn about rows that are exact copies of others, if chance hardly makes them so.

    Parameters
    ----------
    data : DataFrame or None
        The user's table.
    given : mapping of str to object
        What the user gave, by argument.
    numbers : mapping of str to array
        Effects, then their precision, by argument, in the rows that are used.
    values : mapping of str to array of shape (K,)
        What was given, read.
    keep : array of bool, shape (K,)
        Rows that are used.
    rows : Rows
        How to name these.

    Notes
    -----
    Equal numbers alone say little: rounded estimates coincide, as do several of one
    study. Rows are copies if they are equal in the whole table and its index repeats,
    or if other rows have labels of their own. Without labels there must be more equal
    rows than values drawn at random, column by column, would give.
    """
    if not pd.DataFrame(numbers).duplicated().any():
        return
    columns = {} if data is None else _texts(data)
    named = {name: value for name, value in given.items() if isinstance(value, str)}
    for name, value in values.items():
        called = named.get(name, f"={name}")
        # A level of the index is no column of the table.
        if called not in columns:
            columns[called] = pd.Series(value).astype(str).to_numpy()
    table = pd.DataFrame(columns)[keep]
    copies = table.duplicated().to_numpy()
    if not copies.any():
        return
    own = {name: named.get(name, f"={name}") for name in values}
    estimate = [own[name] for name in numbers if name in own]
    labels = [c for c in table if c not in (*estimate, own.get("study_ids"))]
    repeated = data is not None and data.index[keep].duplicated()[copies].all()
    if not repeated and not (
        _labelled_apart(table.loc[~copies, labels])
        if labels
        else _more_than_chance(table[estimate])
    ):
        return
    first = table.groupby([*table.columns], sort=False, dropna=False).ngroup()
    place = {group: i for i, group in reversed([*enumerate(first)])}
    shown = few(
        [
            f"{rows.where(int(i))} of {rows.where(place[first.iloc[i]])}"
            for i in np.flatnonzero(copies)
        ]
    )
    one = copies.sum() == 1
    warn(
        f"{'data' if data is not None else next(iter(numbers))}: {copies.sum()} of "
        f"{len(copies)} rows {'is an exact copy of another' if one else 'are copies'}: "
        f"{shown}. Estimates that count twice make results look surer than they are. "
        f"Drop {'it' if one else 'them'}, e.g. with data.drop_duplicates(), unless "
        f"{'it is an estimate' if one else 'they are estimates'} of "
        f"{'its' if one else 'their'} own.",
        DataWarning,
    )


def _texts(data: pd.DataFrame) -> dict[str, Any]:
    """Return the columns of a table as texts, which are equal if values are."""
    return {
        str(name): data.iloc[:, number].astype(str).to_numpy()
        for number, name in enumerate(data.columns)
    }


def _labelled_apart(labels: pd.DataFrame) -> bool:
    """Whether most rows have labels of their own."""
    return len(labels) > 2 and 1 - labels.duplicated(keep=False).mean() >= _UNIQUE


def _more_than_chance(table: pd.DataFrame) -> bool:
    """Whether effects and precisions coincide in more pairs than by chance."""
    from scipy.stats import poisson

    def pairs(columns: Sequence[str]) -> float:
        counts = table.groupby([*columns], dropna=False).size()
        return float((counts * (counts - 1)).sum() / 2)

    first, *others = table.columns
    both, every = pairs([*table.columns]), len(table) * (len(table) - 1) / 2
    by_chance = pairs([first]) * pairs(others or [first]) / every
    enough = both > 1 and both >= _SHARE * len(table)
    return bool(enough and poisson.sf(both - 1, by_chance) < _BY_CHANCE)
