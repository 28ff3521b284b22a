"""Programs built once a session with the runtime under test."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyrobma.programs import build

HERE = Path(__file__).parent
REFERENCE = HERE / "reference"
SOURCES = (REFERENCE / "hierarchical_reference.stan", HERE / "talking.stan")


@dataclass(frozen=True)
class Program:
    executable: Path
    library: Path

    def run(self, command: str, folder: Path, **environment: str):
        """Run a command line in a folder; errors are in its stdout too."""
        return subprocess.run(
            [self.executable, *command.split()],
            cwd=folder,
            env={**os.environ, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=20,
            check=False,
        )


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


@pytest.fixture
def run(reference_program, tmp_path):
    """Runs the reference program in a directory that holds the reference's inputs."""
    for path in REFERENCE.glob("*.json"):
        shutil.copy(path, tmp_path)
    return lambda command, **environment: reference_program.run(
        command, tmp_path, **environment
    )


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    # CmdStanPy leaves it in the environment of the test process.
    monkeypatch.setenv("STAN_NUM_THREADS", "1")
