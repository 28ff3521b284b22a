"""Programs built once a session with the runtime under test."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyrobma.programs import build

HERE = Path(__file__).parent
SOURCES = (HERE / "reference" / "hierarchical_reference.stan", HERE / "talking.stan")


@dataclass(frozen=True)
class Program:
    executable: Path
    library: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    # Building takes minutes; a directory named here is kept between sessions.
    kept = os.environ.get("PYROBMA_TEST_PROGRAMS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("programs")
    if not all((folder / f"{source.stem}.so").exists() for source in SOURCES):
        build(folder, sources=SOURCES)
    return folder


@pytest.fixture(scope="session")
def reference_program(built):
    return Program(
        built / "hierarchical_reference", built / "hierarchical_reference.so"
    )


@pytest.fixture(scope="session")
def talking_program(built):
    return Program(built / "talking", built / "talking.so")
