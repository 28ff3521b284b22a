"""Formulas: formulaic reads and evaluates them; what they may call is listed here."""

from __future__ import annotations

import ast
import keyword
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
        "C", "I", "log", "log10", "log2", "exp", "exp2", "sqrt", "abs",
        "poly", "bs", "cr", "cs", "cc", "center", "scale",
    )
)  # fmt: skip
_OWN: Final = {"sqrt": np.sqrt}  # formulaic has the others
_NUMPY: Final = frozenset(
    (
        "log", "log10", "log2", "log1p", "exp", "expm1", "sqrt", "square", "abs",
        "sin", "cos", "tan", "arctan", "arcsinh", "tanh", "maximum", "minimum",
        "clip", "sign", "where", "power", "cbrt",
    )
)  # fmt: skip
_CONTRASTS: Final = frozenset(("treatment", "sum", "helmert", "diff", "poly", "SAS"))
_NODES: Final = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.List,
    ast.Tuple, ast.BinOp, ast.UnaryOp, ast.Compare, ast.operator, ast.unaryop,
    ast.cmpop, ast.Attribute,
)  # fmt: skip


# As formulaic finds names between backticks: not within texts. That both find the same
# ones is why `_tree` refuses what could be read in two ways.
_PIECES: Final = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")


@dataclass(frozen=True, slots=True)
class Expression:
    """A variable of a formula: a column, or a function of columns.

    Attributes
    ----------
    name : str
        As it is printed.
    sources : tuple of str
        Columns of the table that it needs.
    factor : object
        What formulaic made of it.
    """

    name: str
    sources: tuple[str, ...]
    factor: Any

    @property
    def column(self) -> bool:
        """Whether it is a column as it is."""
        return bool(self.factor.eval_method.value == "lookup")

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
                own = fresh[list(self.sources)]
                made = spec.get_model_matrix(own, context=_OWN)
                values = np.asarray(made, dtype=float)
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
                    Formula([Term([self.factor])]), known[list(self.sources)],
                    na_action="ignore", context=_OWN,
                )  # fmt: skip
        except Exception as error:
            raise _failed(self.name, error) from error
        return made.model_spec

    def contrast_matrix(self, known: pd.DataFrame) -> FloatArray | None:
        """Return the contrasts that ``C(x, contr...)`` asks for; None if it does not.

        Of shape (levels, columns).
        """
        if self.column:
            return None
        tree, _ = _tree(self.factor.expr)
        if not any(
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "contr"
            for node in ast.walk(tree)
        ):
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

    if "`1`" in formula:
        raise DataError(
            f"mods: expected names other than 1, which is the intercept; got "
            f"{formula!r}. Rename the column."
        )
    try:
        parsed = Formula(formula)
    except Exception as error:  # not only errors of its own
        hint = " Give clusters as study_ids." if "|" in formula else ""
        # Its message goes on with hints, the formula, and the place in colours.
        first = (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0]
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
    variables = tuple(
        Expression(name, tuple(dict.fromkeys(_names(factor))), factor)
        for name, factor in factors.items()
    )
    for variable in variables:
        if not variable.sources:
            raise DataError(
                f"mods: expected columns of the table; got {variable.name} in "
                f"{formula!r}, which needs none. Leave it out."
            )
    return ParsedFormula(
        tuple(tuple(f.expr for f in term.factors) for term in terms),
        variables,
        tuple(dict.fromkeys(name for v in variables for name in v.sources)),
    )


def _names(factor: Any) -> list[str]:
    """Return the columns that a variable needs."""
    if factor.eval_method.value == "lookup":
        return [factor.expr]
    if factor.eval_method.value == "literal":
        return []
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
        piece = match.group()
        if piece[0] != "`":
            return piece
        name = f"quoted_{len(quoted)}_"
        quoted[name] = piece[1:-1]
        return name

    texts = [piece for piece in _PIECES.findall(expression) if piece[0] != "`"]
    names = [piece[1:-1] for piece in _PIECES.findall(expression) if piece[0] == "`"]
    if (
        "\\" in expression
        or "\n" in expression
        or any("`" in text for text in texts)
        or any("'" in name or '"' in name or keyword.iskeyword(name) for name in names)
    ):
        raise DataError(
            "mods: expected calls without backslashes, names with quotes, texts with "
            f"backticks, and words of Python as names; got {expression!r}. Rename the "
            "column or level."
        )
    try:
        return ast.parse(_PIECES.sub(plain, expression), mode="eval"), quoted
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
        if isinstance(node, ast.BinOp):
            legal = legal and not _endless(node)
        if not legal:
            raise DataError(
                f"mods: expected arithmetic and functions among "
                f"{', '.join(sorted(_CALLS))}, np.log and the like; got "
                f"{ast.unparse(node)!r} in {formula!r}. Make a column of the data from "
                "it."
            )


def _endless(node: ast.BinOp) -> bool:
    """Whether a sum of constants alone, or of texts, could fill the memory."""
    parts = [*ast.walk(node.left), *ast.walk(node.right)]
    texts = any(isinstance(p, ast.Constant) and isinstance(p.value, str) for p in parts)
    power = isinstance(node.op, ast.Pow | ast.LShift)
    return texts or (power and not any(isinstance(p, ast.Name) for p in parts))


def _failed(name: str, error: Exception) -> DataError:
    first = (str(error) or type(error).__name__).splitlines()[0]
    return DataError(
        f"mods: {name} cannot be evaluated: {first} Make a column of the data from it."
    )
