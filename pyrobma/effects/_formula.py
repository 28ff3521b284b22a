"""Formulas: formulaic reads and evaluates them; what they may call is listed here."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.errors import DataError

_CALLS: Final = frozenset(
    (
        "C", "I", "log", "log10", "log2", "exp", "exp10", "exp2", "sqrt", "abs",
        "poly", "bs", "cr", "cs", "cc", "center", "scale",
    )
)  # fmt: skip
_NUMPY: Final = frozenset(
    (
        "log", "log10", "log2", "log1p", "exp", "expm1", "sqrt", "square", "abs",
        "sin", "cos", "tan", "arctan", "arcsinh", "tanh", "maximum", "minimum",
        "clip", "sign", "where", "power", "cbrt",
    )
)  # fmt: skip
_CONTRASTS: Final = frozenset(
    ("treatment", "sum", "helmert", "diff", "poly", "SAS", "simple")
)
_NODES: Final = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.List,
    ast.Tuple, ast.BinOp, ast.UnaryOp, ast.Compare, ast.operator, ast.unaryop,
    ast.cmpop, ast.Attribute,
)  # fmt: skip


_QUOTED: Final = re.compile(r"`([^`]*)`")


@dataclass(frozen=True, slots=True)
class Expression:
    """A variable of a formula: a column, or a function of columns.

    Attributes
    ----------
    name : str
        As it is printed.
    factor : object
        What formulaic made of it.
    """

    name: str
    factor: Any

    def evaluated(
        self, known: pd.DataFrame, fresh: pd.DataFrame
    ) -> tuple[FloatArray, Sequence[Hashable] | None]:
        """Return its values in a table, with what it learnt from another one.

        Parameters
        ----------
        known : DataFrame
            Where levels, and the centre of ``center(x)`` and the like, come from.
        fresh : DataFrame
            Where the values come from.

        Returns
        -------
        array of shape (len(fresh), n)
            Numbers, or an indicator of each level.
        sequence or None
            The levels of a factor; None for numbers.

        Raises
        ------
        DataError
            If it cannot be evaluated.
        """
        spec = self._spec(known)
        try:
            # Levels that are new are found by their caller.
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                values = np.asarray(spec.get_model_matrix(fresh), dtype=float)
        except Exception as error:  # whatever the functions in it raise
            raise _failed(self.name, error) from error
        state = spec.encoder_state.get(self.factor.expr, (None, {}))[1]
        return values, state.get("categories")

    def _spec(self, known: pd.DataFrame) -> Any:
        from formulaic import Formula, model_matrix
        from formulaic.parser.types import Term

        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                made = model_matrix(
                    Formula([Term([self.factor])]), known, na_action="ignore",
                    context={},
                )  # fmt: skip
        except Exception as error:
            raise _failed(self.name, error) from error
        return made.model_spec

    def contrast_matrix(self, known: pd.DataFrame) -> FloatArray | None:
        """Return the contrasts that ``C(x, contr...)`` asks for; None if it does not.

        Of shape (levels, columns).
        """
        if "contr." not in self.factor.expr:
            return None
        spec = self._spec(known)
        (state,) = spec.factor_contrasts.values()
        made = state.contrasts.get_coding_matrix(state.levels, reduced_rank=True)
        return np.asarray(made, dtype=float)


@dataclass(frozen=True, slots=True)
class ParsedFormula:
    """A formula in parts.

    Attributes
    ----------
    terms : tuple of tuple of str
        Names of the variables of each term, main effects first.
    variables : tuple of Expression
        Each once, in the order of their first use.
    sources : tuple of str
        Columns of the table that it needs.
    """

    terms: tuple[tuple[str, ...], ...]
    variables: tuple[Expression, ...]
    sources: tuple[str, ...]


def parse_formula(formula: str) -> ParsedFormula:
    """Read a formula of moderators.

    Parameters
    ----------
    formula : str
        The right-hand side, with or without ``~``.

    Returns
    -------
    ParsedFormula

    Raises
    ------
    DataError
        If it cannot be read, has a left-hand side, no term, or no intercept, or calls
        what it must not.
    """
    from formulaic import Formula, SimpleFormula
    from formulaic.errors import FormulaParsingError

    try:
        parsed = Formula(formula)
    except FormulaParsingError as error:
        hint = " Give clusters as study_ids." if "|" in formula else ""
        # Its message goes on with the formula and marks the place in colours.
        first = str(error).splitlines()[0]
        raise DataError(
            f"mods: expected a formula such as 'measure + age'; got {formula!r}: "
            f"{first}{hint}"
        ) from error
    if not isinstance(parsed, SimpleFormula):
        raise DataError(
            f"mods: expected the right-hand side of a formula; got {formula!r}. "
            "Effects are given as d, r, z, logOR, OR or y."
        )
    terms = [term for term in parsed if str(term) != "1"]
    if len(terms) == len(parsed):
        raise DataError(
            f"mods: expected a formula with its intercept, which is the effect; got "
            f"{formula!r}. For models without an effect give priors_effect=None."
        )
    if not terms:
        raise DataError(
            f"mods: expected a moderator; got {formula!r}. Leave mods out to fit "
            "without any."
        )
    factors = {f.expr: f for term in terms for f in term.factors}
    for factor in factors.values():
        if factor.eval_method.value != "lookup":
            _check(factor.expr, formula)
    sources = dict.fromkeys(name for f in factors.values() for name in _names(f))
    return ParsedFormula(
        tuple(tuple(f.expr for f in term.factors) for term in terms),
        tuple(Expression(name, factor) for name, factor in factors.items()),
        tuple(sources),
    )


def _names(factor: Any) -> list[str]:
    """Return the columns that a variable needs."""
    if factor.eval_method.value == "lookup":
        return [factor.expr]
    tree, quoted = _tree(factor.expr)
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    owners = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    return [
        quoted.get(node.id, node.id)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and id(node) not in functions | owners
    ]


def _tree(expression: str) -> tuple[ast.AST, Mapping[str, str]]:
    """Return the syntax tree, and what its names for quoted columns stand for."""
    quoted: dict[str, str] = {}

    def plain(match: re.Match[str]) -> str:
        name = f"quoted_{len(quoted)}_"
        quoted[name] = match.group(1)
        return name

    try:
        return ast.parse(_QUOTED.sub(plain, expression), mode="eval"), quoted
    except SyntaxError as error:
        raise DataError(
            f"mods: expected a formula such as 'measure + age'; got {expression!r}, "
            "which cannot be read."
        ) from error


def _check(expression: str, formula: str) -> None:
    """Refuse calls of anything but known functions.

    A formula comes back from a file, and what is in a file must not be able to do
    more than arithmetic.
    """
    tree, _ = _tree(expression)
    for node in ast.walk(tree):
        legal = isinstance(node, _NODES)
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            known = {"np": _NUMPY, "contr": _CONTRASTS}.get(owner, frozenset())
            legal = node.attr in known
        if isinstance(node, ast.Call):
            function = node.func
            legal = isinstance(function, ast.Attribute) or (
                isinstance(function, ast.Name) and function.id in _CALLS
            )
        if not legal:
            raise DataError(
                f"mods: expected arithmetic and functions among "
                f"{', '.join(sorted(_CALLS))}, np.log and the like; got "
                f"{ast.unparse(node)!r} in {formula!r}. Make a column of the data from "
                "it."
            )


def _failed(name: str, error: Exception) -> DataError:
    first = (str(error) or type(error).__name__).splitlines()[0]
    return DataError(
        f"mods: {name} cannot be evaluated: {first} Make a column of the data from it."
    )
