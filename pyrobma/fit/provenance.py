"""Stage 4: what made a fit."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass
from functools import cache
from typing import Final

from pyrobma import programs
from pyrobma.fit.settings import SamplerSettings

FORMAT: Final = 1
"""Version of how a model's numbers are made from a program and its data; raised when
fits of an older one must not be taken for those of this one."""

_PACKAGES: Final = ("pyrobma", "cmdstanpy", "bridgestan", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a fit.

    Attributes
    ----------
    program : str
        Name of the Stan program.
    program_hash : str
        SHA-256 of its text without includes (of its library where there is no text).
    format : int
        `FORMAT` of the package.
    versions : tuple of (str, str)
        Of packages, of Stan in the program, and of Python.
    settings : SamplerSettings
        Of the chains and the checks.
    """

    program: str
    program_hash: str
    format: int
    versions: tuple[tuple[str, str], ...]
    settings: SamplerSettings


def provenance(program: str, settings: SamplerSettings) -> Provenance:
    """Return what makes fits here and now.

    Parameters
    ----------
    program : str
        Name of the Stan program.
    settings : SamplerSettings
        Resolved.
    """
    return Provenance(
        program, programs.text_hash(program), FORMAT, _versions(program), settings
    )


def _versions(program: str) -> tuple[tuple[str, str], ...]:
    return (
        *_packages(),
        ("stan", programs.stan_version(program)),
        ("python", platform.python_version()),
    )


@cache
def _packages() -> tuple[tuple[str, str], ...]:
    return tuple((name, _version(name)) for name in _PACKAGES)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # run from its sources
        return "unknown"
