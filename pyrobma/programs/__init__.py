"""Where the compiled Stan programs are, and how to build them otherwise.

This part of the package knows nothing of meta-analysis.
"""

from pyrobma.programs.build import PROGRAMS, build
from pyrobma.programs.paths import (
    executable,
    folder,
    library,
    runtime_sources,
    schema_file,
    stan_file,
    text_hash,
)
from pyrobma.programs.versions import build_record, kernel, stan_version

__all__ = [
    "PROGRAMS",
    "build",
    "build_record",
    "executable",
    "folder",
    "kernel",
    "library",
    "runtime_sources",
    "schema_file",
    "stan_file",
    "stan_version",
    "text_hash",
]
