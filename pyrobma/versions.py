"""What an analysis ran on: versions, processor, programs. For reports of problems."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from typing import Any, Literal, overload

from pyrobma import programs
from pyrobma.errors import ToolchainError


@overload
def show_versions(as_dict: Literal[False] = False) -> None: ...
@overload
def show_versions(as_dict: Literal[True]) -> dict[str, dict[str, Any]]: ...


def show_versions(as_dict: bool = False) -> dict[str, dict[str, Any]] | None:
    """Print versions, the machine, and the compiled programs that are in use.

    Paste the output into a report of a problem. It has nothing of the data; it names
    the folder of the programs, in which a user's name may stand.

    Parameters
    ----------
    as_dict : bool
        Whether to return the information instead of printing it.

    Returns
    -------
    dict or None
        With `as_dict`: ``"system"`` (versions of pyrobma and Python, platform,
        processor), ``"programs"`` (their ``"folder"``, and by each program's name its
        ``"sha256"`` as of `~pyrobma.programs.text_hash`, the ``"kernel"`` that this
        processor runs, and what `~pyrobma.programs.build_record` says: compiler, flags,
        Stan, stanc) and ``"dependencies"`` (installed versions by name, None where
        there is none). A program that is missing or damaged has an ``"error"``.

    Examples
    --------
    >>> import pyrobma as rb
    >>> sorted(rb.show_versions(as_dict=True))
    ['dependencies', 'programs', 'system']
    """
    found = {
        "system": _system(),
        "programs": {
            "folder": str(programs.folder()),
            **{name: _program(name) for name in programs.PROGRAMS},
        },
        "dependencies": _dependencies(),
    }
    if as_dict:
        return found
    sys.stdout.write(_text(found))
    return None


def _system() -> dict[str, Any]:
    return {
        "pyrobma": importlib.metadata.version("pyrobma"),
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "platform": platform.platform(),
        "processor": platform.machine(),
    }


def _program(name: str) -> dict[str, Any]:
    try:
        return {
            "sha256": programs.text_hash(name),
            "kernel": programs.kernel(name),
            "stan": programs.stan_version(name),
            **programs.build_record(name),
        }
    except ToolchainError as error:
        return {"error": str(error)}


def _dependencies() -> dict[str, Any]:
    """Return installed versions of what the package's metadata asks for."""
    versions: dict[str, Any] = {}
    for requirement in importlib.metadata.requires("pyrobma") or ():
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        if match is None:
            continue
        try:
            versions[match[0]] = importlib.metadata.version(match[0])
        except importlib.metadata.PackageNotFoundError:
            versions[match[0]] = None
    return versions


def _text(found: dict[str, dict[str, Any]]) -> str:
    """Return one line for each value, names in a column, indented by depth."""
    lines: list[str] = []

    def add(values: dict[str, Any], depth: int) -> None:
        margin = "  " * depth
        width = max(len(name) for name in values)
        for name, value in values.items():
            if isinstance(value, dict):
                lines.append(f"{margin}{name}")
                add(value, depth + 1)
            else:
                lines.append(f"{margin}{name:<{width}}  {value}")

    add(found, 0)
    return "\n".join(lines) + "\n"
