"""Where the compiled Stan programs are, and how to build them otherwise.

This part of the package knows nothing of meta-analysis.
"""

from pyrobma.programs.build import PROGRAMS, build
from pyrobma.programs.paths import (
    executable,
    library,
    runtime_sources,
    stan_file,
    text_hash,
)
from pyrobma.programs.versions import stan_version

__all__ = [
    "PROGRAMS",
    "build",
    "executable",
    "library",
    "runtime_sources",
    "stan_file",
    "stan_version",
    "text_hash",
]
