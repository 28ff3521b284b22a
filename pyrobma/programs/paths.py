"""Where the compiled Stan programs are."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from functools import cache
from pathlib import Path

from pyrobma.errors import ToolchainError
from pyrobma.programs import elf

VARIABLE = "PYROBMA_PROGRAMS"


def executable(program: str) -> Path:
    """Return the path of a program's executable (CmdStan's protocol).

    Parameters
    ----------
    program : str
        Name of a Stan program, e.g. ``"normal"``.

    Returns
    -------
    Path
        In the directory named by the environment variable ``PYROBMA_PROGRAMS``, if
        it is set; otherwise inside the installed package.

    Raises
    ------
    ToolchainError
        If there is no such file, or it may not be executed, or it is damaged.
    """
    path = folder() / program
    if not path.is_file():
        raise ToolchainError(_missing(path))
    if not os.access(path, os.X_OK):
        raise ToolchainError(
            f"programs: expected the right to execute {path}; it is missing. Run: "
            f"chmod +x {path}"
        )
    elf.check(path, script=True)
    return path


def library(program: str) -> Path:
    """Return the path of a program's shared library (BridgeStan's ABI).

    Parameters and errors are those of `executable`.
    """
    path = folder() / f"{program}.so"
    if not path.is_file():
        raise ToolchainError(_missing(path))
    elf.check(path)
    return path


def stan_file(program: str) -> Path:
    """Return the path of a program's Stan source, in one file without includes.

    Parameters and errors are those of `executable`.
    """
    path = _shipped() / f"{program}.stan"
    if not path.is_file():
        raise ToolchainError(_missing(path))
    return path


def schema_file(program: str) -> Path:
    """Return the path of the JSON schema (draft 2020-12) of a program's data.

    Parameters and errors are those of `executable`. The schema says types, ranges,
    meanings and units of all variables, but not the sizes that depend on other values.
    """
    path = _shipped() / f"{program}.schema.json"
    if not path.is_file():
        raise ToolchainError(_missing(path))
    return path


def text_hash(program: str) -> str:
    """Return the SHA-256 of the text of the program that is in use.

    Of the file without includes beside its library; of the library itself where
    somebody's own ``PYROBMA_PROGRAMS`` has no such file. Parameters and errors are
    those of `executable`.
    """
    text = folder() / f"{program}.stan"
    path = text if text.is_file() else library(program)
    return _hash(path, path.stat().st_mtime_ns)


@cache
def _hash(path: Path, changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def runtime_sources() -> Path:
    """Return the folder with the C++ sources and CMakeLists.txt of the runtime."""
    installed = _shipped().parent / "runtime"
    if (installed / "CMakeLists.txt").is_file():
        return installed
    raise ToolchainError(_missing(installed / "CMakeLists.txt"))


def folder() -> Path:
    """Return the directory of the programs in use.

    The one named by the environment variable ``PYROBMA_PROGRAMS``, if it is set;
    otherwise the one inside the installed package. It need not exist.
    """
    chosen = os.environ.get(VARIABLE)
    return Path(chosen) if chosen else _shipped()


@cache
def _shipped() -> Path:
    beside = Path(__file__).parent / "compiled"
    if beside.is_dir():
        return beside
    # An editable install keeps the Python files here and the built ones there.
    try:
        distribution = importlib.metadata.distribution("pyrobma")
    except importlib.metadata.PackageNotFoundError:
        return beside
    return Path(str(distribution.locate_file("pyrobma/programs/compiled")))


def _missing(path: Path) -> str:
    if os.environ.get(VARIABLE):
        return (
            f"{VARIABLE}: expected the compiled program {path.name} in {path.parent}; "
            "found none. Build it with: python -m pyrobma.programs build --into "
            f"{path.parent}, or unset {VARIABLE}."
        )
    return (
        f"programs: expected the compiled program {path}; found none. Install "
        "pyrobma with pip, which builds its Stan programs."
    )
