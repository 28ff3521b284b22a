"""Fits in a folder, one file each: what a run that was cut off goes on from."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pyrobma.ensemble.storage import PART, load_fit, save_fit
from pyrobma.errors import DataError, DataWarning, warn
from pyrobma.fit import Fit
from pyrobma.fit.keeping import draws_of
from pyrobma.fit.model import with_spec
from pyrobma.models import ModelSpec, Task

_NAME: Final = re.compile(r"([0-9a-f]{16})-(\d{1,40})-(\d{1,9})\.fit")

_ABANDONED: Final = 3600.0
"""Seconds after which an incomplete file is of a process that is gone."""


class _Stored(NamedTuple):
    """What the name of a file says of its fit."""

    path: Path
    fingerprint: str
    seed: int
    draws: int


class FitCache:
    """A folder of fits; what `robma` makes of its ``cache``.

    Parameters
    ----------
    folder : str or path
        Made if it is not there. Several processes may use it at the same time.
    task : Task
        The data that fits are asked for.
    any_seed : bool
        Whether a fit of the model will do whatever its seed; if not, those with the
        model's own seed are found only.

    Raises
    ------
    DataError
        If the folder cannot be made or listed.

    Notes
    -----
    A file ``<fingerprint>-<seed>-<draws>.fit`` has the fit of a model, in the format
    of `save` and read within its bounds: the fingerprint is a hash of data, priors,
    settings and the text of the Stan program, the seed is the model's own, and draws
    are per chain. Files are written under another name and renamed when they are
    complete. Nobody cleans the folder up; it can be deleted at any time.
    """

    def __init__(
        self, folder: str | os.PathLike[str], task: Task, *, any_seed: bool = False
    ) -> None:
        try:
            self._folder = Path(folder)
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
        except (OSError, TypeError) as error:
            raise DataError(
                f"cache: expected a folder for fits; got {folder!r}: {error}. Give the "
                "name of a folder that can be written to, or None."
            ) from error
        self._task = task
        self._any_seed = any_seed
        self._refused: dict[str, list[Path]] = {}

    def get(
        self, spec: ModelSpec, fingerprint: str, seed: int, *, after: int = -1
    ) -> Fit | None:
        """Return a fit of a model, or None.

        Parameters
        ----------
        spec : ModelSpec
            The model.
        fingerprint : str
            As `Fit.fingerprint`.
        seed : int
            The model's own.
        after : int
            Draws per chain that the fit has to have more of.

        Returns
        -------
        Fit or None
            The shortest with this seed, from which a run with that seed went on; with
            `any_seed` the longest of all.

        Warns
        -----
        DataWarning
            If a file is damaged or has something else.
        """
        stored = [
            one
            for one in self._listed(fingerprint)
            if one.draws > after and (self._any_seed or one.seed == seed)
        ]
        stored.sort(key=lambda one: (one.draws, one.seed), reverse=self._any_seed)
        for one in stored:
            fit = self._read(one, spec)
            if fit is not None:
                return fit
        return None

    def put(self, fit: Fit) -> None:
        """Store a fit; raise OSError if it cannot be written."""
        path = self._path(fit)
        save_fit(fit, path)
        # Of the same model with another seed, or with other draws.
        for other in self._refused.pop(fit.fingerprint, []):
            if other != path:
                other.unlink(missing_ok=True)

    def remove(self, fit: Fit) -> None:
        """Delete the file of a fit, if there is one."""
        self._path(fit).unlink(missing_ok=True)

    def _path(self, fit: Fit) -> Path:
        name = f"{fit.fingerprint}-{fit.seed}-{draws_of(fit)}.fit"
        return self._folder / name

    def _listed(self, fingerprint: str) -> Iterator[_Stored]:
        for path in self._folder.glob(f"{fingerprint}-*.fit"):
            parts = _NAME.fullmatch(path.name)
            if parts is not None and parts[1] == fingerprint:
                yield _Stored(path, parts[1], int(parts[2]), int(parts[3]))

    def _read(self, stored: _Stored, spec: ModelSpec) -> Fit | None:
        """Return the fit of a file, or None, with a warning if it is not there."""
        try:
            fit = load_fit(stored.path, self._task)
        except FileNotFoundError:  # another process has a longer one by now
            return None
        except DataError as error:
            cause = error.__cause__
            reason = "another release wrote it" if cause is None else (
                f"it is damaged or another kind of file ({cause})"
            )  # fmt: skip
        except OSError as error:
            reason = f"it cannot be read ({error})"
        else:
            own = fit.fingerprint, fit.seed, draws_of(fit)
            if own == stored[1:] and fit.spec.same_likelihood(spec):
                return with_spec(fit, spec)
            reason = "it has the fit of another model"
        self._refuse(stored, reason)
        return None

    def _refuse(self, stored: _Stored, reason: str) -> None:
        self._refused.setdefault(stored.fingerprint, []).append(stored.path)
        warn(
            f"cache: expected a fit in {stored.path}; {reason}. It is not used: the "
            "model is fitted again and the file replaced.",
            DataWarning,
        )

    def _sweep(self) -> None:
        """Delete what processes that were killed left incomplete."""
        before = time.time() - _ABANDONED
        for path in self._folder.glob(f".*.fit.*{PART}"):
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
            except FileNotFoundError:
                continue
