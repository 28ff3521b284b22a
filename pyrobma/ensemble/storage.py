"""Ensembles in files: JSON and NumPy arrays in one zip archive, nothing executable."""

from __future__ import annotations

import io
import json
import math
import os
import secrets
import zipfile
import zlib
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeVar, overload

import numpy as np

from pyrobma.bridge import BridgeResult
from pyrobma.bridge.iterate import Iteration
from pyrobma.effects import EffectSizes
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.errors import DataError, PyrobmaError
from pyrobma.fit import Chains, Diagnostics, Fit, SamplerSettings, Task
from pyrobma.fit.quadrature import Rule
from pyrobma.models import ModelSpace, ModelSpec
from pyrobma.priors import PEESE, PET, NoBias, Prior, WeightFunction

FORMAT: Final = 1
"""Version of the file format; raised when older releases could misread a file."""

CLASSES: Final[dict[str, type[Any]]] = {
    cls.__name__: cls
    for cls in (
        BridgeResult, Chains, Diagnostics, EffectSizes, Fit, Iteration, ModelSpace,
        ModelSpec, NoBias, PEESE, PET, Prior, Rule, SamplerSettings, Task,
        WeightFunction,
    )
}  # fmt: skip
"""The only classes that a file can hold."""

_CONTENTS: Final = "ensemble.json"
_DAMAGE: Final = (
    ArithmeticError, AttributeError, EOFError, LookupError, PyrobmaError, RuntimeError,
    TypeError, ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What reading a file that was changed or cut off can raise."""

E = TypeVar("E", bound=Ensemble)


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
    target = Path(path).resolve()
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
                encoder = _Encoder(z)
                contents = {
                    "format": FORMAT,
                    "pyrobma": version("pyrobma"),
                    "ensemble": {
                        field.name: encoder.encode(getattr(ensemble, field.name))
                        for field in fields(Ensemble)
                    },
                }
                z.writestr(_CONTENTS, json.dumps(contents, allow_nan=False))
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
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
        If the file was not written by `save`, is damaged or cut off, or was written
        by a release whose files this one cannot read.
    OSError
        If there is no such file, or it cannot be opened.

    Notes
    -----
    Nothing in a file is executed: it names classes of `CLASSES` only, and arrays are
    read without pickle.
    """
    with Path(path).open("rb") as file:
        contents, archive = _open(file, path)
        release = contents.get("pyrobma")
        if contents["format"] > FORMAT:
            raise DataError(
                f"path: expected a file of format {FORMAT} or before; got format "
                f"{contents['format']}, written by pyrobma {release}, in "
                f"{os.fspath(path)!r}. Update pyrobma to that release."
            )
        try:
            decoder = _Decoder(archive)
            return cls(
                **{
                    name: decoder.decode(value)
                    for name, value in contents["ensemble"].items()
                }
            )
        except _DAMAGE as error:
            raise DataError(
                f"path: expected a whole file that pyrobma can read; got one, written "
                f"by pyrobma {release}, with {type(error).__name__}: {error} in "
                f"{os.fspath(path)!r}. Save it again, or use that release."
            ) from error


def _open(
    file: io.BufferedReader, path: str | os.PathLike[str]
) -> tuple[dict[str, Any], zipfile.ZipFile]:
    """Return the contents without the arrays, and the archive that has these."""
    try:
        archive = zipfile.ZipFile(file)
        contents = json.loads(archive.read(_CONTENTS))
        if not isinstance(contents["format"], int) or "ensemble" not in contents:
            raise KeyError("format")
    except (*_DAMAGE, OSError) as error:
        raise DataError(
            "path: expected a file written by save, whole; got another kind of file, "
            f"or a part of one, in {os.fspath(path)!r}. Save the ensemble again."
        ) from error
    return contents, archive


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

    def decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return tuple(self.decode(item) for item in value)
        if not isinstance(value, dict):
            return value
        if "class" in value:
            parts = {name: self.decode(v) for name, v in value["fields"].items()}
            return CLASSES[value["class"]](**parts)
        if "array" in value:
            return self._array(value["array"])
        if "set" in value:
            return frozenset(value["set"])
        return float(value["float"])

    def _array(self, number: int) -> Any:
        if number not in self._arrays:
            # All of it first: the archive's checksum is compared at the end.
            data = io.BytesIO(self._archive.read(_member(number)))
            self._arrays[number] = np.load(data, allow_pickle=False)
        return self._arrays[number]


def _member(number: int) -> str:
    return f"arrays/{number}.npy"
