"""Moderators: from a formula and a table to coded columns of the mean."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from pyrobma._format import counted
from pyrobma._types import BoolArray, FloatArray, IntArray
from pyrobma.effects._clusters import labels
from pyrobma.effects._columns import Rows
from pyrobma.effects._formula import Expression, parse_formula
from pyrobma.effects._missing import Missing, check_missing, few
from pyrobma.effects._sources import (
    Source,
    Where,
    formula_and_table,
    holds_numerals,
    named,
    near,
    new_values,
    present,
    read_source,
)
from pyrobma.effects._tables import AnyTable, read_table
from pyrobma.effects.contrasts import check_contrasts, contrast_matrix
from pyrobma.errors import DataError, DataWarning, warn

__all__ = [
    "Centre",
    "Coding",
    "Missing",
    "Moderators",
    "Mods",
    "Source",
    "Target",
    "Term",
    "read_moderators",
]

Mods: TypeAlias = "str | Sequence[str] | AnyTable | Moderators"
"""A formula, names of columns, the columns themselves, or what was made of them."""

Centre: TypeAlias = "Literal['rows', 'clusters'] | Mapping[str, float]"

Target: TypeAlias = Literal["mean", "heterogeneity"]
"""What moderators move: the mean of true effects, or the log of their sd."""

_DEPENDENT: Final = 1e-9  # of a column's norm: what others leave of it
_SPREAD: Final = 1e-12  # of the largest value: below it, a column is constant
_FEWEST_FOR_AN_SD: Final = 3
"""Estimates at a level below which they say next to nothing about its heterogeneity."""


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
        return np.asarray(self.raw.mean(axis=0))

    @property
    def spread(self) -> FloatArray:
        """One standard deviation of numbers, in coded columns, shape (n,)."""
        if (self.sd != 1).any():
            return np.ones(self.n)
        return np.asarray(self.raw.std(axis=0, ddof=1))

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
    """Moderators of the mean or of heterogeneity, coded; made by `read_moderators`.

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

    def find(self, name: object) -> Term | None:
        """Return a term by name, the variables of an interaction in any order."""
        variables = sorted(str(name).split(":"))
        for term in self.terms:
            if term.name == name or sorted(term.variables) == variables:
                return term
        return None

    def term(self, name: str) -> Term:
        """Return what `find` finds.

        Raises
        ------
        DataError
            If there is none.
        """
        found = self.find(name)
        if found is not None:
            return found
        raise DataError(
            f"term: expected one of {', '.join(self.names)}; got {name!r}."
            f"{near(str(name), self.names)}"
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
            f"{near(str(name), known)}"
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

    def design(self, data: AnyTable) -> FloatArray:
        """Return the columns of new rows, coded as those of the fit.

        Parameters
        ----------
        data : DataFrame, table or mapping
            With the columns that the formula needs.

        Returns
        -------
        array of shape (number of rows, P)

        Raises
        ------
        DataError
            If a column is missing, or has missing values or levels that the fit does
            not have.
        """
        found = read_table(data, "newdata")
        if found is None:
            raise DataError("newdata: expected a table of new rows; got None.")
        table = found.rename(columns=str)
        where = Rows.of(table.index, len(table)).where
        known = pd.DataFrame({s.name: s.series for s in self.sources})
        fresh = {
            s.name: new_values(s, named(table, s.name, "newdata"), where)
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
        return self.rows(coded, len(table))


def read_moderators(
    mods: Mods,
    data: AnyTable | None = None,
    *,
    K: int | None = None,
    cluster: IntArray | None = None,
    names: tuple[str, ...] | None = None,
    among: BoolArray | None = None,
    contrasts: str = "meandif",
    standardize: bool = True,
    center: Centre = "rows",
    missing: Missing = "error",
    of: Target = "mean",
) -> tuple[Moderators, BoolArray]:
    """Read moderators from a formula and a table.

    Parameters
    ----------
    mods : str, sequence of str, table, mapping or Moderators
        A formula as formulaic reads it: ``"measure + age"``, with transformations
        (``log(age)``), interactions (``measure * age``) and factors
        (``C(year, contr.treatment)``); or names of columns of `data`; or the columns
        themselves, all of which are then terms, in the order of the estimates. The
        intercept is always there.
    data : DataFrame, table or mapping, optional
        Table with one row per estimate, as in `effect_sizes`. Texts, categories and
        truth values are factors; levels of texts are sorted, those of categories, of a
        polars Enum and of a dictionary of Arrow stay in their order.
    K : int, optional
        Number of estimates that there must be rows for. None: any.
    cluster : array of shape (K,), optional
        Cluster of each row, for ``center="clusters"``.
    names : tuple of str, length K, optional
        Of the studies, for messages.
    among : array of bool, shape (K,), optional
        Rows with an estimate; others are left out, whatever they have. None: all.
    contrasts : {"meandif", "orthonormal", "treatment"}
        How factors are coded; see `Contrasts`.
    standardize : bool
        Whether numbers are centred, and divided by their standard deviation (n - 1).
    center : {"rows", "clusters"} or mapping of str to float
        Mean and standard deviation over rows, or of the means of clusters; or the
        centre of variables by name, with the standard deviation over rows.
    missing : {"error", "drop"}
        What to do with rows that lack a moderator.
    of : {"mean", "heterogeneity"}
        What they are moderators of. Those of heterogeneity are called ``scale`` in
        messages, as in `robma`.

    Returns
    -------
    Moderators
        Of the rows that are kept.
    array of bool, shape (K,)
        Which rows are kept.

    Raises
    ------
    DataError
        On a formula that cannot be read, an unknown column, missing or infinite
        values, dates, a constant, a factor with one level, an interaction without its
        parents, or names that are not unique. Of heterogeneity also on columns that
        depend on each other.

    Warns
    -----
    DataWarning
        On a level with one estimate or none (of heterogeneity: fewer than three),
        levels that are the clusters, a number with two values, numbers that are texts,
        columns that depend on each other, and rows that are dropped.
    """
    given = (
        mods, data, K, cluster, names, among, contrasts, standardize, center, missing,
        of,
    )  # fmt: skip
    return _read_scale(*given) if of == "heterogeneity" else _read(*given)


def centres_of(
    formulas: Mapping[Target, Mods], data: AnyTable | None, center: Centre
) -> dict[Target, Centre]:
    """Return what the numbers of several formulas are centred at.

    Parameters
    ----------
    formulas : mapping of {"mean", "heterogeneity"} to what `read_moderators` takes
    data : DataFrame, optional
    center : {"rows", "clusters"} or mapping of str to float
        Of a mapping each formula gets what it has a variable for. A name that none of
        them has goes to all, to be refused.
    """
    if len(formulas) < 2 or not isinstance(center, Mapping):
        return dict.fromkeys(formulas, center)
    own = {
        of: {
            variable.name
            for variable in parse_formula(
                mods.formula
                if isinstance(mods, Moderators)
                else formula_and_table(mods, data)[0]
            ).variables
        }
        for of, mods in formulas.items()
    }
    known = set().union(*own.values())
    return {
        of: {n: x for n, x in center.items() if n in names or n not in known}
        for of, names in own.items()
    }


def _read_scale(*given: Any) -> tuple[Moderators, BoolArray]:
    """Read moderators of heterogeneity, which messages call ``scale``."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = _read(*given)
    except DataError as error:
        raise DataError(_renamed(error)) from error
    for one in caught:
        if issubclass(one.category, DataWarning):
            warn(_renamed(one.message), DataWarning)
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return found


def _renamed(text: object) -> str:
    return re.sub(r"\bmods\b", "scale", str(text))


def _read(
    mods: Mods,
    data: AnyTable | None,
    K: int | None,
    cluster: IntArray | None,
    names: tuple[str, ...] | None,
    among: BoolArray | None,
    contrasts: str,
    standardize: bool,
    center: Centre,
    missing: Missing,
    of: Target,
) -> tuple[Moderators, BoolArray]:
    if isinstance(mods, Moderators):
        # They were read from the rows that are left.
        size = len(mods.terms[0].columns)
        _check_length(size, K if among is None else int(among.sum()))
        return mods, np.ones(size, dtype=bool) if among is None else among
    check_contrasts(contrasts)
    _check_options(standardize, center, missing)
    formula, table = formula_and_table(mods, data)
    _check_length(len(table), K)
    parsed = parse_formula(formula)
    rows = Rows.of(table.index, len(table), names)
    columns = {name: named(table, name, "mods") for name in parsed.sources}
    every = np.ones(rows.K, dtype=bool)
    keep = present(columns, rows, missing, every if among is None else among)
    where = rows.kept(keep).where
    sources = tuple(read_source(n, c[keep], where) for n, c in columns.items())
    for variable in parsed.variables:
        if variable.column and holds_numerals(columns[variable.name][keep]):
            warn(
                f"mods: {variable.name} has numbers that are texts, and is read as a "
                "factor. Convert it with pandas.to_numeric, or write "
                f"C({variable.name}).",
                DataWarning,
            )
    known = pd.DataFrame({s.name: s.series for s in sources})
    groups = None
    if cluster is not None:
        _, groups = np.unique(cluster[keep], return_inverse=True)
    codings = tuple(
        _coding(expression, known, contrasts, standardize, center, groups, where, of)
        for expression in parsed.variables
    )
    if isinstance(center, Mapping):
        _check_centred(center, codings)
    terms = tuple(_term(names, codings) for names in parsed.terms)
    made = Moderators(formula, sources, codings, terms)
    _refuse_orphans(made)
    _refuse_namesakes(made)
    _judge_dependence(made, of)
    return made, keep


def _check_options(standardize: object, center: Any, missing: object) -> None:
    check_missing(missing)
    if not isinstance(standardize, bool | np.bool_):
        raise DataError(f"standardize: expected True or False; got {standardize!r}.")
    if isinstance(center, Mapping):
        for name, value in center.items():
            if not (isinstance(value, Real) and np.isfinite(float(value))):
                raise DataError(
                    f"center: expected a finite number for {name}; got {value!r}."
                )
    elif not isinstance(center, str) or center not in ("rows", "clusters"):
        raise DataError(
            "center: expected 'rows', 'clusters', or a mapping of moderators to "
            f"numbers; got {center!r}. Write center={{'year': 2000}}."
        )
    elif center == "clusters" and not standardize:
        raise DataError(
            "center: expected 'rows', or numbers by name, with standardize=False; got "
            "'clusters', which has nothing to do."
        )


def _check_centred(center: Mapping[str, float], codings: Sequence[Coding]) -> None:
    numbers = [c.name for c in codings if not c.factor and c.n == 1]
    for name in center:
        if name not in numbers:
            raise DataError(
                f"center: expected names of numeric moderators, "
                f"{', '.join(numbers) or 'of which there is none'}; got {name!r}."
                f"{near(str(name), numbers)}"
            )


def _check_length(found: int, K: int | None) -> None:
    if not found:
        raise DataError(
            "mods: expected at least one estimate; got 0 rows. Check how the table was "
            "read or filtered."
        )
    if K is not None and found != K:
        raise DataError(
            f"mods: expected {K} rows, one per estimate; got {found}. Give the "
            "moderators of all estimates in their order."
        )


def _coding(
    expression: Expression,
    known: pd.DataFrame,
    contrasts: str,
    standardize: bool,
    center: Centre,
    cluster: IntArray | None,
    where: Where,
    of: Target,
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
    if of == "heterogeneity":
        _warn_of_few(name, names, codes)
    else:
        _warn_of_rare(name, names, codes)
        if cluster is not None:
            _warn_of_confounding(name, codes, cluster)
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


def _warn_of_rare(name: str, levels: Sequence[str], codes: IntArray) -> None:
    counts = np.bincount(codes, minlength=len(levels))
    for count, words in ((0, "no estimate"), (1, "one estimate only")):
        rare = [n for n, own in zip(levels, counts, strict=True) if own == count]
        if rare:
            rests = "that estimate and on the prior" if count else "the prior only"
            warn(
                f"mods: {name} has {words} at {few(rare)}; its effect there rests on "
                f"{rests}.",
                DataWarning,
            )


def _warn_of_few(name: str, levels: Sequence[str], codes: IntArray) -> None:
    counts = np.bincount(codes, minlength=len(levels))
    few_at = [
        f"{level} ({counted(int(count), 'estimate')})"
        for level, count in zip(levels, counts, strict=True)
        if count < _FEWEST_FOR_AN_SD
    ]
    if few_at:
        warn(
            f"mods: {name} has fewer than {_FEWEST_FOR_AN_SD} estimates at "
            f"{few(few_at)}. So few say next to nothing about how much true effects "
            "differ there: its heterogeneity rests on the prior, and a Bayes factor "
            "near 1 is no evidence that levels are alike.",
            DataWarning,
        )


def _warn_of_confounding(name: str, codes: IntArray, cluster: IntArray) -> None:
    """Say that a factor has one level for each cluster, and one cluster for each."""
    pairs = {*zip(codes.tolist(), cluster.tolist(), strict=True)}
    if len(pairs) == len(set(codes)) == len(set(cluster)) < len(codes):
        warn(
            f"mods: the levels of {name} are the clusters; the data cannot tell them "
            "from the clusters' own effects, and priors decide. Leave it out.",
            DataWarning,
        )


def _number(
    name: str,
    raw: FloatArray,
    standardize: bool,
    center: Centre,
    cluster: IntArray | None,
) -> Coding:
    n = raw.shape[1]
    constant = _constant(raw)
    if not n or constant.any():
        found = f"{raw[0, int(constant.argmax())]:g} in every row" if n else "no column"
        raise DataError(
            f"mods: expected a moderator that varies; got {name}, which has {found}"
            f"{' that is used' if n else ''}. Leave it out."
        )
    if n == 1 and len(np.unique(raw)) == 2:
        low, high = np.unique(raw)
        warn(
            f"mods: {name} is a number with two values, {low:g} and {high:g}. As a "
            f"factor, C({name}), its prior would not depend on how often each occurs.",
            DataWarning,
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
        if _constant(basis).any():
            raise DataError(
                f"center: expected a moderator that varies between clusters; got "
                f"{name}. Use center='rows'."
            )
    centre, sd = np.zeros(n), np.ones(n)
    if standardize:
        centre = basis.mean(axis=0)
        # In a unit of their own, so that squares neither overflow nor vanish.
        unit = np.abs(basis - centre).max(axis=0)
        sd = unit * ((basis - centre) / unit).std(axis=0, ddof=1)
    if isinstance(center, Mapping) and name in center:
        centre = np.full(n, float(center[name]))
    return Coding(name, (), "", np.zeros((0, n)), centre, sd, raw)


def _constant(columns: FloatArray) -> BoolArray:
    return np.asarray(np.ptp(columns, axis=0) <= _SPREAD * np.abs(columns).max(axis=0))


def _term(names: Sequence[str], codings: Sequence[Coding]) -> Term:
    by_name = {coding.name: coding for coding in codings}
    own = [by_name[name] for name in names]
    columns = _products([c.columns(c.raw) for c in own])
    name = ":".join(names)
    factors = [c for c in own if c.factor]
    parts = [str(j) for j in range(1, columns.shape[1] + 1)]
    treated = all(c.contrasts == "treatment" for c in factors)
    if factors and treated and all(c.factor or c.n == 1 for c in own):
        cells = itertools.product(*(c.levels[1:] for c in factors))
        parts = [f"dif: {', '.join(levels)}" for levels in cells]
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


def _level_places(indicators: FloatArray, coding: Coding, where: Where) -> FloatArray:
    unknown = np.flatnonzero(indicators.sum(axis=1) != 1)
    if unknown.size:
        raise DataError(
            f"newdata: expected levels of {coding.name} among "
            f"{', '.join(coding.levels)}; got another one at "
            f"{where(int(unknown[0]))}."
        )
    return np.asarray(indicators.argmax(axis=1)[:, None], dtype=float)


def _refuse_infinite(argument: str, name: str, raw: FloatArray, where: Where) -> None:
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


def _refuse_namesakes(made: Moderators) -> None:
    """Refuse a column with the name that an interaction or a level's column has."""
    if "intercept" in made.names:
        raise DataError(
            "mods: expected names other than 'intercept', which tables have for the "
            "effect; got a column of that name. Rename it."
        )
    for names in (made.names, made.labels):
        for name in names:
            if names.count(name) > 1:
                raise DataError(
                    f"mods: expected names that differ; got {name!r} both as a column "
                    "and as what the formula makes of others. Rename the column."
                )


def _judge_dependence(made: Moderators, of: Target) -> None:
    """Name columns that the intercept and the columns before them make up."""
    size = len(made.columns)
    basis = np.full((size, 1), size**-0.5)  # orthonormal
    dependent = []
    for label, column in zip(made.labels, made.columns.T, strict=True):
        own = column / (np.abs(column).max() or 1.0)
        rest = own - basis @ (basis.T @ own)
        rest -= basis @ (basis.T @ rest)  # what rounding left
        norm = float(np.linalg.norm(rest))
        if norm <= _DEPENDENT * np.linalg.norm(own):
            dependent.append(label)
        else:
            basis = np.column_stack([basis, rest / norm])
    if dependent and of == "heterogeneity":
        raise DataError(
            "mods: expected columns that neither tau nor the columns before make up; "
            f"got {few(dependent)}, which follow{'s' * (len(dependent) == 1)} from "
            f"them in these {counted(size, 'row')}. Leave a moderator out."
        )
    if dependent:
        warn(
            f"mods: {few(dependent)} follow{'s' * (len(dependent) == 1)} from the "
            f"intercept and the columns before, in these {counted(size, 'row')}: the "
            "data cannot tell their coefficients apart, and priors decide. Leave a "
            "moderator out.",
            DataWarning,
        )
