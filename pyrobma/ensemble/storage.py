"""Ensembles in files: JSON and NumPy arrays in one zip archive, nothing executable.

Single fits too, for `pyrobma.ensemble.cache`.
"""

from __future__ import annotations

import io
import json
import math
import os
import secrets
import types
import zipfile
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import (
    Any,
    Final,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

import numpy as np

from pyrobma.bridge import BridgeResult
from pyrobma.bridge.iterate import Iteration
from pyrobma.counts.baseline import Baseline
from pyrobma.effects import Coding, EffectSizes, Moderators, Source, Term
from pyrobma.effects._columns import Rows
from pyrobma.effects.counts import TwoGroups
from pyrobma.ensemble._archive import Damage, check_members, read_array, read_json
from pyrobma.ensemble._values import check_fits, check_task, check_values
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.errors import DataError, PyrobmaError
from pyrobma.fit import Chains, Diagnostics, Fit, SamplerSettings
from pyrobma.fit.explore import Second
from pyrobma.fit.provenance import Provenance
from pyrobma.fit.quadrature import Rule
from pyrobma.models import Column, ModelSpace, ModelSpec, Task
from pyrobma.parameters import Component, Parameter
from pyrobma.priors import Prior, WeightFunction

FORMAT: Final = 3
"""Version of the file format; raised when older releases could misread a file."""

CLASSES: Final[dict[str, type[Any]]] = {
    cls.__name__: cls
    for cls in (
        Baseline, BridgeResult, Chains, Coding, Column, Component, Diagnostics,
        EffectSizes, Fit, Iteration, ModelSpace, ModelSpec, Moderators, Parameter,
        Prior, Provenance, Rows, Rule, SamplerSettings, Second, Source, Task, Term,
        TwoGroups, WeightFunction,
    )
}  # fmt: skip
"""The only classes that a file can hold."""

_HINTS: Final = {cls: get_type_hints(cls) for cls in (Ensemble, *CLASSES.values())}
E = TypeVar("E", bound=Ensemble)
V = TypeVar("V")

PART: Final = ".part"
"""How the name of a file ends that is not complete yet."""


def save(ensemble: Ensemble, path: str | os.PathLike[str]) -> None:
    """Write an ensemble to a file.

    Parameters
    ----------
    ensemble : Ensemble
        With its data, priors, settings, draws and diagnostics.
    path : str or path
        The file, e.g. ``"fit.pyrobma"``. One that exists is replaced, and only once
        the new one is complete.

    Raises
    ------
    OSError
        If the file cannot be written; an old one is untouched then.

    Notes
    -----
    A zip archive of ``ensemble.json`` (strict JSON) and ``arrays/<n>.npy`` [1]_. In
    the JSON text a list is a tuple, and an object is one of
    ``{"class": name, "fields": {...}}``, ``{"array": n}``, ``{"set": [...]}`` and
    ``{"float": "inf"}``.

    References
    ----------
    .. [1] NumPy enhancement proposal 1 (2007). A simple file format for NumPy arrays.
    """
    # A link stays one; the file that it points to is replaced.
    _write(
        Path(path).resolve(),
        "ensemble",
        lambda encode: {
            field.name: encode(getattr(ensemble, field.name))
            for field in fields(Ensemble)
        },
    )


def save_fit(fit: Fit, path: Path) -> None:
    """Write a single fit to a file, as `save` does an ensemble."""
    _write(path, "fit", lambda encode: encode(fit))


def _write(path: Path, name: str, make: Callable[[Callable[[Any], Any]], Any]) -> None:
    """Write what `make` returns with the encoder that it is given; replace a file."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    try:
        with part.open("xb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
                contents = {
                    "format": FORMAT,
                    "pyrobma": version("pyrobma"),
                    name: make(_Encoder(z).encode),
                }
                z.writestr(f"{name}.json", json.dumps(contents, allow_nan=False))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@overload
def load(path: str | os.PathLike[str]) -> Ensemble: ...
@overload
def load(path: str | os.PathLike[str], cls: type[E]) -> E: ...
def load(path: str | os.PathLike[str], cls: type[Ensemble] = Ensemble) -> Ensemble:
    """Read an ensemble from a file that `save` wrote.

    Parameters
    ----------
    path : str or path
        The file.
    cls : type
        `Ensemble`, or the subclass of it to build.

    Returns
    -------
    Ensemble
        Of type `cls`, equal to the saved one in every number. Its fits can be given
        to `robma` as ``fits`` to go on from there.

    Raises
    ------
    DataError
        If the file was not written by `save`, is damaged, cut off or changed, or was
        written by a release whose files this one cannot read.
    OSError
        If there is no such file, or it cannot be opened.

    Notes
    -----
    Nothing in a file is executed: it names classes of `CLASSES` only, and arrays are
    read without pickle. Neither is it believed: sizes are compared before memory is
    taken for them (all parts together may have 64 MiB and 20 times the size of the
    file, the JSON text 32 MiB of it), and values that no ensemble has, such as a
    negative standard error, are refused. Formulas of moderators are parsed, not
    evaluated, and those that call anything but known functions are refused.
    """

    def made(decoder: _Decoder, value: Any) -> Any:
        parts = {name: decoder.decode(one, name) for name, one in value.items()}
        _check_types(Ensemble, parts)
        ensemble = cls(**parts)
        check_task(ensemble.task)
        check_fits(ensemble.task, ensemble.space, ensemble.fits)
        return ensemble

    ensemble: Ensemble = _read(path, "ensemble", made)
    return ensemble


def load_fit(path: Path, task: Task) -> Fit:
    """Read a fit that `save_fit` wrote, with the bounds and the errors of `load`.

    Parameters
    ----------
    path : path
        The file.
    task : Task
        The data that it is of, whose unknowns its model has.
    """

    def made(decoder: _Decoder, value: Any) -> Fit:
        fit = decoder.decode(value, "fit")
        if not isinstance(fit, Fit):
            raise Damage(f"fit: expected a fit; got {type(fit).__name__}")
        check_fits(task, ModelSpace((fit.spec,)), (fit,))
        return fit

    return _read(path, "fit", made)


def _read(
    path: str | os.PathLike[str], name: str, make: Callable[[_Decoder, Any], V]
) -> V:
    """Return what `make` makes of a file, which may be damaged in any way."""
    with Path(path).open("rb") as file:
        contents, archive = _open(file, path, name)
        release = str(contents.get("pyrobma"))[:40]
        if contents["format"] > FORMAT:
            raise DataError(
                f"path: expected a file of format {FORMAT} or before; got format "
                f"{contents['format']}, written by pyrobma {release}, in "
                f"{os.fspath(path)!r}. Update pyrobma to that release."
            )
        if contents["format"] < FORMAT:
            raise DataError(
                f"path: expected a file of format {FORMAT}; got format "
                f"{contents['format']}, written by pyrobma {release}, in "
                f"{os.fspath(path)!r}. Fit the models again, or use that release."
            )
        try:
            return make(_Decoder(archive), contents[name])
        except Exception as error:  # damage can surface as any of them
            raise _refusal(error, path, f", written by pyrobma {release},") from error


def _open(
    file: io.BufferedReader, path: str | os.PathLike[str], name: str
) -> tuple[dict[str, Any], zipfile.ZipFile]:
    """Return the contents without the arrays, and the archive that has these."""
    try:
        archive = zipfile.ZipFile(file)
        check_members(archive, os.fstat(file.fileno()).st_size)
        contents = read_json(archive, f"{name}.json")
        if not isinstance(contents["format"], int) or name not in contents:
            raise KeyError("format")
    except Damage as error:
        raise _refusal(error, path, "") from error
    except Exception as error:  # damage can surface as any of them
        raise DataError(
            "path: expected a file written by save, whole; got another kind of file, "
            f"or a part of one, in {os.fspath(path)!r}. Save the ensemble again."
        ) from error
    return contents, archive


def _refusal(error: Exception, path: str | os.PathLike[str], written: str) -> DataError:
    kind = "" if isinstance(error, Damage) else f"{type(error).__name__}: "
    return DataError(
        f"path: expected a whole file that pyrobma can read; got one{written} with "
        f"{kind}{str(error).rstrip('.')}, in {os.fspath(path)!r}. It is damaged or was "
        "changed after it was saved: save the ensemble again, or use the release that "
        "wrote it."
    )


class _Encoder:
    """Turns values into what JSON can hold, and writes arrays beside it."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        # Models with one posterior share arrays, which are written once. The arrays
        # are kept, because the id of one that is gone can be given to another.
        self._written: dict[int, tuple[int, Any]] = {}

    def encode(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, tuple):
            return [self.encode(item) for item in value]
        if isinstance(value, frozenset):
            return {"set": sorted(value)}
        if isinstance(value, np.ndarray):
            return {"array": self._array(value)}
        name = type(value).__name__
        if not is_dataclass(value) or CLASSES.get(name) is not type(value):
            raise TypeError(f"{name} is not one of the classes that a file can hold")
        return {
            "class": name,
            "fields": {
                f.name: self.encode(getattr(value, f.name)) for f in fields(value)
            },
        }

    def _array(self, value: Any) -> int:
        if id(value) not in self._written:
            number = len(self._written)
            self._written[id(value)] = number, value
            with self._archive.open(_member(number), "w", force_zip64=True) as file:
                np.save(file, value, allow_pickle=False)
        return self._written[id(value)][0]


class _Decoder:
    """Turns what `_Encoder` made back into values."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._arrays: dict[int, Any] = {}

    def decode(self, value: Any, where: str) -> Any:
        """Return a value; `where` it is in the ensemble is for messages."""
        if isinstance(value, list):
            return tuple(
                self.decode(item, f"{where}[{i}]") for i, item in enumerate(value)
            )
        if not isinstance(value, dict):
            return value
        if "class" in value:
            return self._object(value["class"], value["fields"], where)
        if "array" in value:
            return self._array(value["array"])
        if "set" in value:
            return frozenset(value["set"])
        return float(value["float"])

    def _object(self, name: str, fields: dict[str, Any], where: str) -> Any:
        parts = {
            field: self.decode(value, f"{where}.{field}")
            for field, value in fields.items()
        }
        cls = CLASSES[name]
        _check_types(cls, parts)
        check_values(name, parts, where)
        try:
            return cls(**parts)
        except PyrobmaError as error:  # it checks its fields itself
            raise Damage(f"{where}.{error}") from error

    def _array(self, number: int) -> Any:
        if number not in self._arrays:
            self._arrays[number] = read_array(self._archive, _member(number))
        return self._arrays[number]


def _check_types(cls: type[Any], parts: dict[str, Any]) -> None:
    """Compare fields with the annotations of their class."""
    for name, hint in _HINTS[cls].items():
        if name in parts and not _is_a(parts[name], hint):
            kind = type(parts[name]).__name__
            raise TypeError(f"{kind} as {name} of {cls.__name__}")


def _is_a(value: Any, hint: Any) -> bool:
    """Whether a value is of a type, looking into tuples, sets and arrays."""
    hint = _without_alias(hint)
    origin, inner = get_origin(hint), get_args(hint)
    if hint is None or hint is Any:
        return hint is Any or value is None
    if origin is Literal:
        return type(value) in map(type, inner) and value in inner
    if origin in (Union, types.UnionType):
        return any(_is_a(value, one) for one in inner)
    if origin is np.ndarray:
        (dtype,) = get_args(inner[1])
        # The width of integers is the platform's.
        return (
            isinstance(value, np.ndarray) and value.dtype.kind == np.dtype(dtype).kind
        )
    if origin is frozenset:
        return isinstance(value, frozenset) and all(_is_a(v, inner[0]) for v in value)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if inner[-1] is Ellipsis:
            return all(_is_a(item, inner[0]) for item in value)
        return len(value) == len(inner) and all(map(_is_a, value, inner))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _without_alias(hint: Any) -> Any:
    """Return what an alias of Python 3.12's type statement stands for."""
    # From NumPy 2.5 on NDArray is one, which get_origin() does not look through.
    alias = get_origin(hint) or hint
    if not hasattr(alias, "__value__"):
        return hint
    arguments = get_args(hint)
    return alias.__value__[arguments] if arguments else alias.__value__


def _member(number: int) -> str:
    return f"arrays/{number}.npy"
