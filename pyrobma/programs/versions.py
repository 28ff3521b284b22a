"""The version of Stan that programs were built with."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

from pyrobma.errors import ToolchainError
from pyrobma.programs.paths import executable

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
