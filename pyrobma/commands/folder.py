"""The output folder of the command line: what may be in it, and whose files go."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Final

from pyrobma.errors import DataError

SETTINGS: Final = "settings.json"
FINISHED: Final = "finished.pyrobma"


@contextmanager
def output_folder(folder: Path, *, overwrite: bool) -> Iterator[None]:
    """Make a folder that can be written to; remove it again if it stays empty.

    Parameters
    ----------
    folder : Path
        New or empty; with `overwrite`, it may have files in it.
    overwrite : bool
        Whether the user allows files there.

    Raises
    ------
    DataError
        If it is a file, has files in it, or cannot be made or written to.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"--out: expected a folder; got the file {folder}.")
    if folder.is_dir() and not overwrite and any(folder.iterdir()):
        raise DataError(
            f"--out: expected a new or empty folder; {folder} has files in it. Choose "
            "another one, or add --overwrite."
        )
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass  # rights and disk decide, and only trying tells
        except OSError as error:
            raise DataError(
                f"--out: expected a folder that can be written to; got {error}. Choose "
                "another one."
            ) from error
        yield
    finally:
        with suppress(OSError):  # one that is not empty stays, and those above it
            for path in made:
                path.rmdir()


def earlier_files(folder: Path) -> frozenset[str]:
    """Return what an earlier run says that it wrote into a folder, as relative paths.

    Paths that lead out of the folder are left out.
    """
    try:
        listed = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))["files"]
        names = {name for name in listed if isinstance(name, str)}
    except (OSError, ValueError, LookupError, TypeError):
        return frozenset()  # none there, or none of ours
    return frozenset(name for name in names if _inside(folder, name))


def _inside(folder: Path, name: str) -> bool:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        return False
    # A folder inside may be a link to elsewhere.
    return (folder / path).parent.resolve().is_relative_to(folder.resolve())


def delete_files(folder: Path, names: frozenset[str]) -> None:
    """Delete files of `earlier_files`, and the folders inside that are empty then."""
    for name in names:
        path = folder / name
        if path.is_file() or path.is_symlink():
            path.unlink()
    for inner in {(folder / name).parent for name in names} - {folder}:
        with suppress(OSError):
            inner.rmdir()
