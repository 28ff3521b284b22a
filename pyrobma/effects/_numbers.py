"""Turn what a user calls numbers into checked float arrays."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.errors import DataError

Value = TypeVar("Value", float, FloatArray)
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Domain:
    """An open interval of legal values and its name in errors and docstrings."""

    noun: str
    low: float = -np.inf
    high: float = np.inf

    @property
    def text(self) -> str:
        """The domain in words."""
        if self.low == 0.0 and np.isinf(self.high):
            return f"positive finite {self.noun}"
        if np.isinf(self.low):
            return f"finite {self.noun}"
        return f"{self.noun} between {self.low:g} and {self.high:g}, both excluded"

    def excludes(self, values: FloatArray) -> Any:
        """Return where values lie outside; NaN and infinities always do."""
        return ~((values > self.low) & (values < self.high))


_STANDARD_ERROR: Final = Domain("standard errors", low=0.0)

DOMAINS: Final[dict[str, Domain]] = {
    "d": Domain("values of Cohen's d"),
    "r": Domain("correlations", low=-1.0, high=1.0),
    "z": Domain("values of Fisher's z"),
    "logOR": Domain("log odds ratios"),
    "OR": Domain("odds ratios", low=0.0),
    "logIRR": Domain("log rate ratios"),
    "IRR": Domain("rate ratios", low=0.0),
    "y": Domain("effects"),
    "se": _STANDARD_ERROR,
    "se_d": _STANDARD_ERROR,
    "se_r": _STANDARD_ERROR,
    "se_z": _STANDARD_ERROR,
    "se_logOR": _STANDARD_ERROR,
    "v": Domain("variances", low=0.0),
    "n": Domain("total sample sizes", low=0.0),
    "t": Domain("t statistics"),
    "p": Domain("p-values", low=0.0, high=1.0),
    "df": Domain("degrees of freedom", low=0.0),
    "effect": Domain("effects"),
    "lCI": Domain("interval bounds"),
    "uCI": Domain("interval bounds"),
}


def _plain(row: int) -> str:
    return f"row {row}"


def as_floats(
    argument: str, values: Any, where: Callable[[int], str] = _plain
) -> FloatArray:
    """Return values as float64, missing ones (None, NaN, pandas.NA) as NaN.

    Parameters
    ----------
    argument : str
        Name for the error message.
    values : number, sequence, array or Series
        Real numbers of any shape.
    where : callable
        What to call a row in the error message.

    Raises
    ------
    DataError
        If a value is a truth value, complex, text, a date or any other non-number.
    """
    # NumPy would read a truth value among the numbers of a list as 0 or 1.
    listed = isinstance(values, (list, tuple))
    array = np.asarray(values, dtype=object) if listed else np.asarray(values)
    if array.dtype.kind in "fiu":
        return array.astype(np.float64)
    if array.dtype.kind == "O":
        flat = [_as_float(x) for x in array.ravel()]
        if None not in flat:
            return np.array(flat, dtype=np.float64).reshape(array.shape)
    plain = array.ravel().tolist()
    got = f"an empty {array.dtype} array"
    if plain:
        row = _first_bad(plain)
        got = f"{plain[row]!r} at {where(row)}"
    remedy = _remedy(plain[row]) if plain else _CONVERT
    raise DataError(f"{argument}: expected real numbers; got {got}. {remedy}")


_CONVERT: Final = "Convert the values to numbers first, e.g. with pandas.to_numeric."
_SIGNS: Final = "−–‐‑‒﹣－"
"""What printed tables have for a minus."""


def _remedy(value: Any) -> str:
    """Say how a column becomes numbers that has a text like this one."""
    text = value.strip() if isinstance(value, str) else ""
    if text[:1] and text[0] in _SIGNS:
        return (
            f"Its minus is not that of a keyboard: write x.str.replace({text[0]!r}, "
            "'-').astype(float) for the column x."
        )
    if re.fullmatch(r"[+-]?[0-9]*,[0-9]+", text):
        return (
            "If the comma is the decimal point, read the file with "
            "pandas.read_csv(..., decimal=',')."
        )
    return _CONVERT


def _as_float(value: Any) -> float | None:
    """Return a number, NaN if it is missing, None if it is something else."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return np.nan
    if isinstance(value, (bool, np.bool_, str, bytes, complex)):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _first_bad(values: Sequence[Any]) -> int:
    """Return the first row to name: in a column read as text, one that is no number."""
    bad = [row for row, value in enumerate(values) if _as_float(value) is None]

    def is_numeral(row: int) -> bool:
        try:
            return isinstance(values[row], str) and np.isfinite(float(values[row]))
        except ValueError:
            return False

    return next((row for row in bad if not is_numeral(row)), bad[0] if bad else 0)


def refuse_outside(argument: str, values: FloatArray) -> None:
    """Raise if a value lies outside the domain that the argument's name has."""
    domain = DOMAINS[argument]
    bad = np.atleast_1d(domain.excludes(values))
    if bad.any():
        position = int(np.argmax(bad.ravel()))
        got = float(np.atleast_1d(values).ravel()[position])
        raise DataError(
            f"{argument}: expected {domain.text}; got {got!r} at position {position}. "
            "Leave out or correct the value."
        )


def conversion(function: Function) -> Function:
    """Make an array formula a public function of scalars and arrays.

    Arguments are checked against the domain that their name has in `DOMAINS` and
    broadcast. All scalars in gives a float out; anything else gives an array. The
    sections on parameters and errors are added to the docstring.
    """
    signature = inspect.signature(function)
    names = tuple(signature.parameters)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        arrays = [as_floats(name, bound.arguments[name]) for name in names]
        for name, array in zip(names, arrays, strict=True):
            refuse_outside(name, array)
        try:
            shape = np.broadcast_shapes(*(array.shape for array in arrays))
        except ValueError as error:
            shapes = " and ".join(str(array.shape) for array in arrays)
            raise DataError(
                f"{', '.join(names)}: expected arrays of one length, or scalars; "
                f"got shapes {shapes}. Give one value of each per estimate."
            ) from error
        # A finite effect can have an infinite odds ratio; that is the right answer.
        with np.errstate(over="ignore"):
            # NumPy's scalar power rounds differently from its array power.
            result = function(*(np.atleast_1d(array) for array in arrays))
        return float(result[0]) if shape == () else np.asarray(result)

    wrapper.__doc__ = _document(function.__doc__ or "", names)
    return cast(Function, wrapper)


def _document(summary: str, names: tuple[str, ...]) -> str:
    lines = [inspect.cleandoc(summary), "", "Parameters", "----------"]
    for name in names:
        lines += [f"{name} : float or array of any shape", f"    {_sentence(name)}"]
    lines += ["", "Returns", "-------", "float or array"]
    lines += ["    A float if every argument is a scalar, else an array."]
    lines += ["", "Raises", "------", "DataError"]
    lines += ["    If a value is missing, infinite or outside its range."]
    return "\n".join(lines)


def _sentence(name: str) -> str:
    text = DOMAINS[name].text
    return text[0].upper() + text[1:] + "."
