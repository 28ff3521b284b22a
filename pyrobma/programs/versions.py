"""What programs were built with, and what they compute with on this machine."""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
from functools import cache
from pathlib import Path

from pyrobma.errors import ToolchainError
from pyrobma.programs.paths import executable, library

_SECONDS = 5.0


def stan_version(program: str) -> str:
    """Return the version of Stan in a program, e.g. "2.35.0".

    Parameters
    ----------
    program : str
        Name of a Stan program, e.g. ``"normal"``.

    Returns
    -------
    str
        As the executable's command ``info`` says; "unknown" if it does not.
    """
    try:
        path = executable(program)
        return _version(path, path.stat().st_mtime_ns)
    except (ToolchainError, OSError):
        return "unknown"


@cache
def _version(path: Path, changed: int) -> str:
    try:
        said = subprocess.run(
            [path, "info"], capture_output=True, text=True, check=False,
            timeout=_SECONDS,
        ).stdout  # fmt: skip
    except (OSError, ValueError, subprocess.SubprocessError):
        return "unknown"
    parts = dict(re.findall(r"^stan_version_(\w+) = (\d+)$", said, re.MULTILINE))
    names = ("major", "minor", "patch")
    if any(name not in parts for name in names):
        return "unknown"
    return ".".join(parts[name] for name in names)


def build_record(program: str) -> dict[str, str]:
    """Return how a program was built, as the build itself has written it down.

    Parameters
    ----------
    program : str
        Name of a Stan program, e.g. ``"normal"``.

    Returns
    -------
    dict
        Texts by name: ``toolchain``, ``compiler``, ``machine``, ``flags``, ``stan``,
        ``stanc`` and what else the tool-chain has. Empty if there is no record beside
        the program, or none that can be read.

    Raises
    ------
    ToolchainError
        If there is no such program.
    """
    try:
        text = library(program).with_suffix(".build.json").read_text(encoding="utf-8")
        record = json.loads(text)
    except (OSError, ValueError):
        return {}
    if not isinstance(record, dict):
        return {}
    return {str(name): str(value) for name, value in record.items()}


def kernel(program: str) -> str | None:
    """Return which variant of the faster likelihood a program computes with.

    Parameters
    ----------
    program : str
        Name of a Stan program, e.g. ``"selection"``.

    Returns
    -------
    str or None
        ``"generic"``, ``"avx2"`` or ``"avx512"``, by the processor and the environment
        variable ``PYROBMA_KERNEL``; None if the program has the Stan file's likelihood
        alone.

    Raises
    ------
    ToolchainError
        If there is no such program, it cannot be loaded, or ``PYROBMA_KERNEL`` names a
        variant that this processor does not run.
    """
    path = library(program)
    try:
        name = ctypes.CDLL(str(path)).bs_x_pyrobma_kernel
    except AttributeError:
        return None
    except OSError as error:
        raise ToolchainError(f"programs: {path} cannot be loaded: {error}") from error
    name.argtypes = []
    name.restype = ctypes.c_char_p
    found: bytes | None = name()
    if found is None:
        raise ToolchainError(
            "PYROBMA_KERNEL: expected a variant that this processor runs; got another. "
            "Unset it."
        )
    return found.decode()
