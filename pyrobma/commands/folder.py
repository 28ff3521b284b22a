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
INNER: Final = ("tables", "figures", "stan")
"""The folders inside."""


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
        If it is a file, has files in it, or cannot be made or written to; with
        `overwrite` also if it, or one of `INNER`, is a link.

    Notes
    -----
    With `overwrite`, files are replaced and deleted, and only in the folder that was
    named: not where a link leads that somebody put in its place. Without, a link to
    an empty folder is as good as that folder. Folders above may be links.
    """
    if overwrite:
        for path in (folder, *(folder / name for name in INNER)):
            if _is_link(path):
                raise DataError(
                    f"--out: expected a folder that is not a link with --overwrite; "
                    f"got the link {path}. Give the folder that it points to, or "
                    "remove the link."
                )
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

    Paths that lead out of the folder are left out, and a link says nothing.
    """
    if _is_link(folder / SETTINGS):
        return frozenset()
    try:
        listed = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))["files"]
        names = {name for name in listed if isinstance(name, str)}
    except (OSError, ValueError, LookupError, TypeError):
        return frozenset()  # none there, or none of ours
    return frozenset(name for name in names if _inside(folder, name))


def new_file(folder: Path, name: str, *, keep: bool = False) -> Path:
    """Return where a file can be written anew.

    Parameters
    ----------
    folder : Path
        The output folder.
    name : str
        A relative path.
    keep : bool
        Leave an old file until the writer replaces it, which must not write into it.

    Raises
    ------
    DataError
        If a folder on the way is a link.

    Notes
    -----
    A file that is a link is removed, and what it points to stays as it is: opening it
    would write there. So would opening one of several hard links, and so every old
    file goes.
    """
    path = folder / name
    if path.parent != folder and _is_link(path.parent):
        raise DataError(
            f"--out: expected a folder that is not a link; got the link {path.parent}. "
            "Remove it."
        )
    path.parent.mkdir(exist_ok=True)
    if _is_link(path) or not keep:
        path.unlink(missing_ok=True)
    return path


def _is_link(path: Path) -> bool:
    # Junctions are the links of Windows; Python knows them from 3.12.
    is_junction = getattr(path, "is_junction", lambda: False)
    return path.is_symlink() or bool(is_junction())


def _inside(folder: Path, name: str) -> bool:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        return False
    # A folder inside may be a link to elsewhere.
    return (folder / path).parent.resolve().is_relative_to(folder.resolve())


def delete_files(folder: Path, names: frozenset[str]) -> None:
    """Delete files of `earlier_files`, and the folders inside that are empty then.

    A file that is a link is deleted, and what it points to stays.
    """
    # Links may have come while models were fitted.
    names = frozenset(name for name in names if _inside(folder, name))
    for name in names:
        path = folder / name
        if path.is_file() or path.is_symlink():
            path.unlink()
    for inner in {(folder / name).parent for name in names} - {folder}:
        with suppress(OSError):
            inner.rmdir()
