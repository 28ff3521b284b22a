"""The results of many analyses in a folder of Parquet files, written as they come."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any, Final, Protocol

import pandas as pd

from pyrobma.errors import DataError
from pyrobma.many.rows import joined
from pyrobma.many.sources import Name

# Readers of a folder of Parquet files leave out names that begin like these.
_ARGUMENTS: Final = "_arguments.json"
_LOCK: Final = "_lock"

_FULL: Final = 256
"""Single files that become one: thousands of small ones are slow to read."""


class Results(Protocol):
    """Where results are put."""

    def known(self) -> dict[Name, str]:
        """Return the analyses that are there already, with the hash of their data."""

    def add(self, name: Name, frame: pd.DataFrame) -> None:
        """Add the rows of an analysis."""

    def frame(self) -> pd.DataFrame:
        """Return all rows."""


class InMemory:
    """Results that are only returned.

    Parameters
    ----------
    label : str
        Column of the names of analyses.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._frames: dict[Name, pd.DataFrame] = {}

    def known(self) -> dict[Name, str]:
        """Return nothing: every analysis has to be done."""
        return {}

    def add(self, name: Name, frame: pd.DataFrame) -> None:
        """Add the rows of an analysis."""
        self._frames[name] = frame

    def frame(self) -> pd.DataFrame:
        """Return all rows."""
        return joined(self._label, list(self._frames.values()))


class InFolder:
    """Results in a folder; what is in it is not done again.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    label : str
        Column of the names of analyses.

    Notes
    -----
    An analysis is a file as soon as it is done, written under another name and renamed;
    256 of them become one. A file of many takes the place of those of the analyses in
    it, so that a process that dies between writing and deleting leaves no row twice.
    """

    def __init__(self, folder: Path, label: str) -> None:
        self._folder, self._label = folder, label
        self._single: list[Path] = []

    @property
    def seed(self) -> int | None:
        """The seed of the results that are there."""
        there = self._arguments()
        return None if there is None else there.get("seed")

    @contextlib.contextmanager
    def opened(self, arguments: dict[str, Any], *, retry: bool) -> Iterator[InFolder]:
        """Hold the folder for this process, and tidy up after one that was killed.

        Parameters
        ----------
        arguments : dict
            What results depend on beside the data; those of the folder must be equal.
        retry : bool
            Whether analyses that failed are to be done again.

        Raises
        ------
        DataError
            If the folder has results of other arguments, another process uses it, or
            a file cannot be read or written.
        """
        if find_spec("pyarrow") is None:
            raise DataError(
                "results: Parquet files are written by pyarrow, which is not "
                "installed. Run: pip install pyarrow"
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise DataError(
                f"results: expected a folder that can be written to; got "
                f"{str(self._folder)!r}: {error}."
            ) from error
        try:
            self._lock(lock)
            self._check(arguments)
            self._tidy()
            if retry:
                self._forget_failures()
            yield self
            self._merge()
        finally:
            with contextlib.suppress(OSError):
                # Processes that an executor forked meanwhile have the lock as well.
                fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)

    def _lock(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"results: another process writes to {self._folder}, or one that was "
                "killed left workers behind that still run. Wait for it, or give "
                "another folder."
            ) from error
        except OSError:  # this file system has no locks
            pass

    def known(self) -> dict[Name, str]:
        """Return the analyses that are there, with the hash of their data."""
        found: dict[Name, str] = {}
        for path in self._files():
            columns = [self._label, "kind", "data_hash"]
            frame = _read(path, columns)
            own = frame[frame["kind"] == "analysis"]
            names = own[self._label].tolist()
            found |= dict(zip(names, own["data_hash"], strict=True))
        return found

    def add(self, name: Name, frame: pd.DataFrame) -> None:
        """Add the rows of an analysis."""
        path = self._folder / f"one-{_digest(name)}.parquet"
        _write_table(frame, path)
        self._single.append(path)
        if len(self._single) >= _FULL:
            self._merge()

    def frame(self) -> pd.DataFrame:
        """Return all rows."""
        return joined(self._label, [*map(_read, self._files())])

    def _files(self) -> list[Path]:
        kinds = ("many-*.parquet", "one-*.parquet")  # others are the user's
        return sorted(chain(*map(self._folder.glob, kinds)))

    def _arguments(self) -> dict[str, Any] | None:
        """Return the arguments of the results that are there; None without any."""
        path = self._folder / _ARGUMENTS
        try:
            return dict(json.loads(path.read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, TypeError) as error:
            raise DataError(
                f"results: {path} cannot be read: {error}. Give another folder."
            ) from error

    def _check(self, arguments: dict[str, Any]) -> None:
        now = json.loads(json.dumps(arguments))
        there = self._arguments()
        if there is None:
            if any(self._folder.glob("*.parquet")):
                raise DataError(
                    f"results: expected an empty folder, or one of robma_many; got "
                    f"{str(self._folder)!r} with other Parquet files."
                )
            text = json.dumps(now, indent=2) + "\n"
            _write(lambda part: part.write_text(text), self._folder / _ARGUMENTS)
            return
        other = [key for key in now | there if now.get(key) != there.get(key)]
        if other:
            raise DataError(
                f"results: the folder {self._folder} has results of other arguments: "
                f"{', '.join(other)}. Give another folder, or the same arguments."
            )

    def _tidy(self) -> None:
        """Delete what a process that was killed left half done."""
        for path in self._folder.glob(".*.parquet.part"):
            path.unlink(missing_ok=True)
        merged: set[str] = set()
        for path in self._folder.glob("many-*.parquet"):
            merged.update(map(_digest, self._names(path)))
        for path in self._folder.glob("one-*.parquet"):
            if path.stem.removeprefix("one-") in merged:
                path.unlink()
            else:
                self._single.append(path)

    def _names(self, path: Path) -> list[Name]:
        frame = _read(path, [self._label])
        return list(dict.fromkeys(frame[self._label].tolist()))

    def _merge(self) -> None:
        """Make one file of single ones."""
        if len(self._single) < 2:
            return
        frame = pd.concat(map(_read, self._single), ignore_index=True)
        digests = "".join(path.stem for path in sorted(self._single))
        _write_table(frame, self._folder / f"many-{_digest(digests)}.parquet")
        for path in self._single:
            path.unlink()
        self._single = []

    def _forget_failures(self) -> None:
        for path in self._files():
            frame = _read(path)
            failed = frame["error"].notna()
            if failed.all():
                path.unlink()
            elif failed.any():
                _write_table(frame[~failed], path)
        self._single = [path for path in self._single if path.exists()]


def _read(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, columns=columns)
    except (OSError, ValueError) as error:
        raise DataError(
            f"results: {path} cannot be read: {str(error).rstrip('.')}. Delete it, and "
            "what was in it is done again."
        ) from error


def _write_table(frame: pd.DataFrame, path: Path) -> None:
    _write(lambda part: frame.to_parquet(part, index=False), path)


def _write(write: Callable[[Path], object], path: Path) -> None:
    """Write a file that is there as a whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"results: {path} cannot be written: {error}. What is in the folder is "
            "whole; the same call goes on from there."
        ) from error


def _digest(name: Name) -> str:
    return hashlib.sha256(repr(name).encode()).hexdigest()[:24]
