"""Moderators: from a formula and a table to coded columns of the mean."""

from __future__ import annotations

import difflib
import itertools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from pyrobma._format import counted, listed
from pyrobma._types import BoolArray, FloatArray, IntArray
from pyrobma.effects._clusters import labels
from pyrobma.effects._columns import Rows
from pyrobma.effects._formula import Expression, parse_formula
from pyrobma.effects.contrasts import check_contrasts, contrast_matrix
from pyrobma.errors import DataError, DataWarning

Mods: TypeAlias = "str | Sequence[str] | pd.DataFrame | Mapping[str, Any] | Moderators"
"""A formula, names of columns, the columns themselves, or what was made of them."""

Missing: TypeAlias = Literal["error", "drop"]

Centre: TypeAlias = "Literal['rows', 'clusters'] | Mapping[str, float]"

_DEPENDENT: Final = 1e-9  # of a column's norm: what others leave of it
_SHOWN: Final = 5
_SPREAD: Final = 1e-12  # of the largest value: below it, a column is constant


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A column of the table that the formula needs, in the rows that are used.

    Attributes
    ----------
    name : str
    values : array of shape (K,)
        Numbers; for a factor the places of its levels, from 0.
    levels : tuple of str
        Of a factor; empty for numbers.
    """

    name: str
    values: FloatArray
    levels: tuple[str, ...] = ()

    @property
    def series(self) -> pd.Series[Any]:
        """The column as it was: numbers, or categories."""
        if not self.levels:
            return pd.Series(self.values, name=self.name)
        found = [self.levels[int(place)] for place in self.values]
        return pd.Series(pd.Categorical(found, categories=list(self.levels)))


@dataclass(frozen=True, slots=True, eq=False)
class Coding:
    """A variable of the formula, e.g. ``log(age)``, and how it becomes columns.

    Attributes
    ----------
    name : str
        As in the formula.
    levels : tuple of str
        Of a factor, in order; empty for numbers.
    contrasts : str
        Of a factor: "meandif", "orthonormal", "treatment", or the formula's own; ""
        for numbers.
    matrix : array of shape (L, n)
        Of a factor: the columns of each level. For numbers of shape (0, n).
    centre, sd : array of shape (n,)
        For numbers: a column is (values - centre) / sd. Zeros and ones for a factor.
    raw : array of shape (K, n)
        Numbers before coding; for a factor of shape (K, 1), the places of its levels.
    """

    name: str
    levels: tuple[str, ...]
    contrasts: str
    matrix: FloatArray
    centre: FloatArray
    sd: FloatArray
    raw: FloatArray

    @property
    def factor(self) -> bool:
        """Whether it has levels."""
        return bool(self.levels)

    @property
    def n(self) -> int:
        """Number of columns."""
        return int(self.matrix.shape[1])

    @property
    def reference(self) -> FloatArray:
        """Coded columns of a typical row, shape (n,): numbers at their mean.

        A factor is at the mean of its levels, or at the first for treatment contrasts.
        """
        if self.factor or (self.sd != 1).any() or (self.centre != 0).any():
            return np.zeros(self.n)
        return self.raw.mean(axis=0)

    @property
    def spread(self) -> FloatArray:
        """One standard deviation of numbers, in coded columns, shape (n,)."""
        if (self.sd != 1).any():
            return np.ones(self.n)
        return self.raw.std(axis=0, ddof=1)

    @property
    def deviations(self) -> bool:
        """Whether levels are deviations from their unweighted mean."""
        sums = np.abs(self.matrix.sum(axis=0))
        return self.factor and bool((sums < _DEPENDENT).all())

    def columns(self, raw: FloatArray) -> FloatArray:
        """Return coded columns of values as `raw` has them."""
        if self.factor:
            return np.asarray(self.matrix[raw[:, 0].astype(int)])
        return np.asarray((raw - self.centre) / self.sd)


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A term of the formula: what is in a model or not, as a whole.

    Attributes
    ----------
    name : str
        As in the formula, e.g. "measure" or "measure:age".
    variables : tuple of str
        Names of its codings, several for an interaction.
    factor : bool
        Whether some variable is a factor.
    labels : tuple of str
        Of its columns, e.g. ("measure[1]", "measure[2]").
    columns : array of shape (K, n)
        Coded: products of the columns of its variables.
    """

    name: str
    variables: tuple[str, ...]
    factor: bool
    labels: tuple[str, ...]
    columns: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Moderators:
    """Moderators of the mean, coded; made by `read_moderators`.

    Attributes
    ----------
    formula : str
        What they were made from.
    sources : tuple of Source
        The columns of the table.
    codings : tuple of Coding
        The variables of the formula.
    terms : tuple of Term
        Main effects first, as in the formula.
    """

    formula: str
    sources: tuple[Source, ...]
    codings: tuple[Coding, ...]
    terms: tuple[Term, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms."""
        return tuple(term.name for term in self.terms)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of all columns, in order."""
        return tuple(label for term in self.terms for label in term.labels)

    @property
    def columns(self) -> FloatArray:
        """All columns, shape (K, P)."""
        return np.column_stack([term.columns for term in self.terms])

    def term(self, name: str) -> Term:
        """Return a term by name; the variables of an interaction in any order.

        Raises
        ------
        DataError
            If there is none.
        """
        for term in self.terms:
            if term.name == name or sorted(term.variables) == sorted(
                str(name).split(":")
            ):
                return term
        raise DataError(
            f"term: expected one of {', '.join(self.names)}; got {name!r}."
            f"{_near(str(name), self.names)}"
        )

    def coding(self, name: str) -> Coding:
        """Return the coding of a variable.

        Raises
        ------
        DataError
            If there is none.
        """
        for coding in self.codings:
            if coding.name == name:
                return coding
        known = [coding.name for coding in self.codings]
        raise DataError(
            f"variable: expected one of {', '.join(known)}; got {name!r}."
            f"{_near(str(name), known)}"
        )

    def parents(self, term: Term) -> tuple[str, ...]:
        """Return the terms that are made of some of a term's variables only."""
        own = set(term.variables)
        return tuple(t.name for t in self.terms if set(t.variables) < own)

    def rows(self, coded: Mapping[str, FloatArray], size: int) -> FloatArray:
        """Return rows of the design for coded columns of some variables.

        Parameters
        ----------
        coded : mapping of str to array of shape (size, n)
            By variable. Others are at their `Coding.reference`.
        size : int
            Number of rows.

        Returns
        -------
        array of shape (size, P)
        """
        every = {c.name: np.tile(c.reference, (size, 1)) for c in self.codings}
        every |= coded
        return np.column_stack(
            [_products([every[name] for name in t.variables]) for t in self.terms]
        )

    def design(self, data: pd.DataFrame) -> FloatArray:
        """Return the columns of new rows, coded as those of the fit.

        Parameters
        ----------
        data : DataFrame
            With the columns that the formula needs.

        Returns
        -------
        array of shape (len(data), P)

        Raises
        ------
        DataError
            If a column is missing, or has missing values or levels that the fit does
            not have.
        """
        where = Rows(len(data), tuple(data.index)).where
        known = pd.DataFrame({s.name: s.series for s in self.sources})
        fresh = {
            s.name: _new_values(s, _named(data, s.name, "newdata"), where)
            for s in self.sources
        }
        coded = {}
        for coding, expression in zip(
            self.codings, parse_formula(self.formula).variables, strict=True
        ):
            raw, _ = expression.evaluated(known, pd.DataFrame(fresh))
            _refuse_infinite("newdata", coding.name, raw, where)
            if coding.factor:
                raw = _level_places(raw, coding, where)
            coded[coding.name] = coding.columns(raw)
        return self.rows(coded, len(data))


def read_moderators(
    mods: Mods,
    data: pd.DataFrame | None = None,
    *,
    K: int | None = None,
    cluster: IntArray | None = None,
    contrasts: str = "meandif",
    standardize: bool = True,
    center: Centre = "rows",
    missing: Missing = "error",
) -> tuple[Moderators, BoolArray]:
    """Read moderators from a formula and a table.

    Parameters
    ----------
    mods : str, sequence of str, DataFrame, mapping or Moderators
        A formula as formulaic reads it: ``"measure + age"``, with transformations
        (``log(age)``), interactions (``measure * age``) and factors
        (``C(year, contr.treatment)``); or names of columns of `data`; or the columns
        themselves, all of which are then terms. The intercept is always there.
    data : DataFrame, optional
        Table with one row per estimate. Texts, categories and truth values are
        factors; levels of texts are sorted.
    K : int, optional
        Number of estimates that there must be rows for. None: any.
    cluster : array of shape (K,), optional
        Cluster of each row, for ``center="clusters"``.
    contrasts : {"meandif", "orthonormal", "treatment"}
        How factors are coded; see `Contrasts`.
    standardize : bool
        Whether numbers are centred, and divided by their standard deviation (n - 1).
    center : {"rows", "clusters"} or mapping of str to float
        Mean and standard deviation over rows, or of the means of clusters; or the
        centre of variables by name, with the standard deviation over rows.
    missing : {"error", "drop"}
        What to do with rows that lack a moderator.

    Returns
    -------
    Moderators
        Of the rows that are kept.
    array of bool, shape (K,)
        Which rows are kept.

    Raises
    ------
    DataError
        On a formula that cannot be read, an unknown column, missing values, a
        constant, a factor with one level, or an interaction without its parents.

    Warns
    -----
    DataWarning
        On a level with one estimate, a number with two values, columns that depend
        on each other, and rows that are dropped.
    """
    if isinstance(mods, Moderators):
        _check_length(len(mods.terms[0].columns), K)
        return mods, np.ones(len(mods.terms[0].columns), dtype=bool)
    check_contrasts(contrasts)
    if missing not in ("error", "drop"):
        raise DataError(f"missing: expected 'error' or 'drop'; got {missing!r}.")
    formula, table = _formula_and_table(mods, data)
    _check_length(len(table), K)
    parsed = parse_formula(formula)
    index = None if isinstance(table.index, pd.RangeIndex) else tuple(table.index)
    columns = {name: _named(table, name, "mods") for name in parsed.sources}
    keep = _present(columns, Rows(len(table), index), missing)
    where = _Kept(Rows(len(table), index), np.flatnonzero(keep)).where
    sources = tuple(_source(name, c[keep]) for name, c in columns.items())
    known = pd.DataFrame({s.name: s.series for s in sources})
    codings = tuple(
        _coding(
            expression, known, contrasts, standardize, center,
            None if cluster is None else cluster[keep], where,
        )
        for expression in parsed.variables
    )  # fmt: skip
    if isinstance(center, Mapping):
        unknown = sorted(set(center) - {c.name for c in codings if not c.factor})
        if unknown:
            raise DataError(
                f"center: expected numeric moderators; got {listed(unknown)}."
            )
    terms = tuple(_term(names, codings) for names in parsed.terms)
    made = Moderators(formula, sources, codings, terms)
    _refuse_orphans(made)
    _warn_of_dependence(made)
    return made, keep


@dataclass(frozen=True, slots=True)
class _Kept:
    """Rows that are used, by their place in the table."""

    rows: Rows
    places: IntArray

    def where(self, row: int) -> str:
        return self.rows.where(int(self.places[row]))


def _formula_and_table(
    mods: str | Sequence[str] | pd.DataFrame | Mapping[str, Any],
    data: pd.DataFrame | None,
) -> tuple[str, pd.DataFrame]:
    if isinstance(mods, Mapping):
        try:
            mods = pd.DataFrame({str(k): np.asarray(v) for k, v in mods.items()})
        except ValueError as error:
            raise DataError(
                f"mods: expected columns of one length; got {error}."
            ) from error
    if isinstance(mods, pd.DataFrame):
        names: Iterable[Any] = mods.columns
        data = mods.rename(columns=str)
    elif data is None:
        raise DataError(
            "mods: expected columns, since no data was given; got "
            f"{mods!r}. Give the DataFrame as the first argument, or mods as a "
            "DataFrame."
        )
    elif isinstance(mods, str):
        return mods, data
    else:
        names = mods
    quoted = [f"`{name}`" for name in names]
    if not quoted:
        raise DataError(
            f"mods: expected a formula or names of columns; got {mods!r}. Leave mods "
            "out to fit without moderators."
        )
    return " + ".join(quoted), data


def _check_length(found: int, K: int | None) -> None:
    if K is not None and found != K:
        raise DataError(
            f"mods: expected {K} rows, one per estimate; got {found}. Give the "
            "moderators of all estimates in their order."
        )


def _named(table: pd.DataFrame, name: str, argument: str) -> pd.Series[Any]:
    if name not in table.columns:
        columns = [str(column) for column in table.columns]
        raise DataError(
            f'{argument}: expected columns of the table; got "{name}", which is none.'
            f"{_near(name, columns)} The columns are {', '.join(columns) or 'none'}."
        )
    column = table[name]
    if isinstance(column, pd.DataFrame):
        raise DataError(
            f'{argument}: expected the name of one column; got "{name}", which '
            f"{column.shape[1]} columns have. Rename them."
        )
    return column


def _near(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=2)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def _present(
    columns: Mapping[str, pd.Series[Any]], rows: Rows, missing: Missing
) -> BoolArray:
    """Return which rows have all moderators; refuse others unless they are dropped."""
    gone = {name: column.isna().to_numpy() for name, column in columns.items()}
    lacking = np.any([*gone.values()], axis=0)
    if not lacking.any():
        return np.ones(rows.K, dtype=bool)
    places = np.flatnonzero(lacking)
    shown = ", ".join(rows.where(int(i)) for i in places[:_SHOWN])
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    by_column = listed([f"{n} ({m.sum()})" for n, m in gone.items() if m.any()])
    if missing == "error":
        names = [name for name, mask in gone.items() if mask.any()]
        raise DataError(
            f"mods: expected a value in every row; {len(places)} of {rows.K} rows lack "
            f"one, in {by_column}: {shown}{more}. Drop them with missing='drop', or "
            f"data.dropna(subset={names})."
        )
    if lacking.all():
        raise DataError(f"mods: every row lacks a moderator, in {by_column}.")
    warnings.warn(
        f"mods: {len(places)} of {rows.K} rows are dropped, which lack a value in "
        f"{by_column}: {shown}{more}.",
        DataWarning,
        stacklevel=4,
    )
    return np.asarray(~lacking)


def _source(name: str, column: pd.Series[Any]) -> Source:
    """Keep a column as numbers, or as places of levels."""
    if _numeric(column):
        return Source(name, column.to_numpy(dtype=float))
    if isinstance(column.dtype, pd.CategoricalDtype):
        used = column.cat.remove_unused_categories().cat.categories
        levels = tuple(map(str, labels(used)))
    else:
        levels = tuple(sorted({str(label) for label in labels(column)}))
    place = {level: i for i, level in enumerate(levels)}
    found = [place[str(label)] for label in labels(column)]
    return Source(name, np.array(found, dtype=float), levels)


def _numeric(column: pd.Series[Any]) -> bool:
    if pd.api.types.is_bool_dtype(column):
        return False
    if pd.api.types.is_numeric_dtype(column):
        return True
    if column.dtype != object:
        return False
    kinds = {type(value) for value in column}
    return kinds <= {int, float, np.float64, np.int64}


def _new_values(source: Source, column: pd.Series[Any], where: Any) -> pd.Series[Any]:
    """Return a column of new rows as the fit has it."""
    lacking = np.flatnonzero(column.isna())
    if lacking.size:
        raise DataError(
            f"newdata: expected a value of {source.name} in every row; got none at "
            f"{where(int(lacking[0]))}. Fill it in, or drop the row."
        )
    if not source.levels:
        try:
            return pd.Series(column.to_numpy(dtype=float))
        except (TypeError, ValueError) as error:
            raise DataError(
                f"newdata: expected numbers for {source.name}; {error}."
            ) from error
    found = [str(label) for label in labels(column)]
    for row, label in enumerate(found):
        if label not in source.levels:
            raise DataError(
                f"newdata: expected one of {', '.join(source.levels)} for "
                f"{source.name}; got {label!r} at {where(row)}."
            )
    return pd.Series(pd.Categorical(found, categories=list(source.levels)))


def _coding(
    expression: Expression,
    known: pd.DataFrame,
    contrasts: str,
    standardize: bool,
    center: Centre,
    cluster: IntArray | None,
    where: Any,
) -> Coding:
    raw, levels = expression.evaluated(known, known)
    name = expression.name
    _refuse_infinite("mods", name, raw, where)
    if levels is None:
        return _number(name, raw, standardize, center, cluster)
    names = tuple(map(str, labels(list(levels))))
    if len(levels) < 2:
        raise DataError(
            f"mods: expected a factor with two levels or more; got {name} with "
            f"{', '.join(names)} only. Leave it out."
        )
    outside = np.flatnonzero(raw.sum(axis=1) != 1)
    if outside.size:
        raise DataError(
            f"mods: expected every row at a level of {name} ({', '.join(names)}); got "
            f"another one at {where(int(outside[0]))}. Name all levels, or drop rows."
        )
    codes = raw.argmax(axis=1)
    counts = np.bincount(codes, minlength=len(levels))
    if (counts == 1).any():
        rare = [n for n, count in zip(names, counts, strict=True) if count == 1]
        warnings.warn(
            f"mods: {name} has one estimate only at {listed(rare)}; its effect there "
            "rests on that estimate and on the prior.",
            DataWarning,
            stacklevel=4,
        )
    own = expression.contrast_matrix(known)
    matrix = contrast_matrix(contrasts, len(levels)) if own is None else own
    n = matrix.shape[1]
    return Coding(
        name,
        names,
        contrasts if own is None else "formula",
        matrix,
        np.zeros(n),
        np.ones(n),
        codes[:, None].astype(float),
    )


def _number(
    name: str,
    raw: FloatArray,
    standardize: bool,
    center: Centre,
    cluster: IntArray | None,
) -> Coding:
    n = raw.shape[1]
    spread = np.ptp(raw, axis=0)
    if (spread <= _SPREAD * np.abs(raw).max(axis=0)).any():
        raise DataError(
            f"mods: expected a moderator that varies; got {name}, which is "
            f"{raw[0, int(spread.argmin())]:g} in all {len(raw)} rows that are used. "
            "Leave it out."
        )
    if n == 1 and len(np.unique(raw)) == 2:
        low, high = np.unique(raw)
        warnings.warn(
            f"mods: {name} is a number with two values, {low:g} and {high:g}. As a "
            f"factor, C({name}), its prior would not depend on how often each occurs.",
            DataWarning,
            stacklevel=5,
        )
    basis = raw
    if isinstance(center, str) and center == "clusters":
        if cluster is None:
            raise DataError(
                "center: expected 'rows' without clusters; got 'clusters'. Give "
                "study_ids."
            )
        sizes = np.bincount(cluster)
        basis = np.column_stack([np.bincount(cluster, x) / sizes for x in raw.T])
    elif isinstance(center, str) and center != "rows":
        raise DataError(
            f"center: expected 'rows', 'clusters', or numbers by name; got {center!r}."
        )
    centre, sd = np.zeros(n), np.ones(n)
    if standardize:
        centre, sd = basis.mean(axis=0), basis.std(axis=0, ddof=1)
        if (sd <= _SPREAD * np.abs(basis).max(axis=0)).any():
            raise DataError(
                f"center: expected a moderator that varies between clusters; got "
                f"{name}. Use center='rows'."
            )
    if isinstance(center, Mapping) and name in center:
        centre = np.full(n, float(center[name]))
    return Coding(name, (), "", np.zeros((0, n)), centre, sd, raw)


def _term(names: Sequence[str], codings: Sequence[Coding]) -> Term:
    by_name = {coding.name: coding for coding in codings}
    own = [by_name[name] for name in names]
    columns = _products([c.columns(c.raw) for c in own])
    name = ":".join(names)
    only = own[0] if len(own) == 1 else None
    if only is not None and only.contrasts == "treatment":
        parts = [f"dif: {level}" for level in only.levels[1:]]
    else:
        parts = [str(j) for j in range(1, columns.shape[1] + 1)]
    factor = any(c.factor for c in own)
    plain = columns.shape[1] == 1 and not factor
    found = (name,) if plain else tuple(f"{name}[{part}]" for part in parts)
    return Term(name, tuple(names), factor, found, columns)


def _products(columns: Sequence[FloatArray]) -> FloatArray:
    """Return all products of one column of each, row by row; the first slowest."""
    made = columns[0]
    for other in columns[1:]:
        pairs = itertools.product(range(made.shape[1]), range(other.shape[1]))
        made = np.column_stack([made[:, i] * other[:, j] for i, j in pairs])
    return made


def _level_places(indicators: FloatArray, coding: Coding, where: Any) -> FloatArray:
    unknown = np.flatnonzero(indicators.sum(axis=1) != 1)
    if unknown.size:
        raise DataError(
            f"newdata: expected levels of {coding.name} among "
            f"{', '.join(coding.levels)}; got another one at "
            f"{where(int(unknown[0]))}."
        )
    return np.asarray(indicators.argmax(axis=1)[:, None], dtype=float)


def _refuse_infinite(argument: str, name: str, raw: FloatArray, where: Any) -> None:
    bad = np.flatnonzero(~np.isfinite(raw).all(axis=1))
    if bad.size:
        raise DataError(
            f"{argument}: expected finite values of {name}; got "
            f"{raw[bad[0]].tolist()} at {where(int(bad[0]))}"
            f"{f' and {bad.size - 1} more' if bad.size > 1 else ''}. Correct the "
            "values, or transform them in another way."
        )


def _refuse_orphans(made: Moderators) -> None:
    """Refuse an interaction without the terms that it is an interaction of."""
    known = {frozenset(term.variables) for term in made.terms}
    for term in made.terms:
        own = term.variables
        for size in range(1, len(own)):
            for part in itertools.combinations(own, size):
                if frozenset(part) not in known:
                    raise DataError(
                        f"mods: expected {':'.join(part)} beside the interaction "
                        f"{term.name}; got it without. Write {' * '.join(own)}, or "
                        "make a column of your own from the product."
                    )


def _warn_of_dependence(made: Moderators) -> None:
    """Name columns that the intercept and the columns before them make up."""
    from scipy.linalg import lstsq

    basis = np.ones((len(made.columns), 1))
    dependent = []
    for label, column in zip(made.labels, made.columns.T, strict=True):
        rest = column - basis @ lstsq(basis, column)[0]
        if np.linalg.norm(rest) <= _DEPENDENT * np.linalg.norm(column):
            dependent.append(label)
        else:
            basis = np.column_stack([basis, column])
    if dependent:
        few = counted(len(basis), "row")
        warnings.warn(
            f"mods: {listed(dependent)} follow{'s' * (len(dependent) == 1)} from the "
            f"intercept and the columns before, in these {few}: the data cannot tell "
            "their coefficients apart, and priors decide. Leave a moderator out.",
            DataWarning,
            stacklevel=3,
        )
