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

__all__ = [
    "PROGRAMS",
    "build",
    "executable",
    "library",
    "runtime_sources",
    "stan_file",
    "text_hash",
]
