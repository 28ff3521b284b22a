"""What the build says on machines that it cannot build on."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[3] / "stan" / "runtime"
CMAKE = shutil.which(
    "cmake", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
)
pytestmark = pytest.mark.skipif(CMAKE is None, reason="there is no CMake")


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def said(tmp_path):
    """What CMake says when it fails, as one line."""

    def configure(*defined: str, path: Path | None = None) -> str:
        # Any program will do: what is asked of the compiler comes later.
        compiler = script(tmp_path / "c++", "exit 1")
        done = subprocess.run(
            [
                str(CMAKE), "-S", str(RUNTIME), "-B", str(tmp_path / "build"),
                f"-DPython_EXECUTABLE={sys.executable}", *defined,
                f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_CXX_COMPILER_WORKS=1",
                "-DCMAKE_CXX_COMPILER_FORCED=1",
            ],
            env=os.environ | ({"PYTHONPATH": str(path)} if path else {}),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode != 0
        return " ".join(done.stderr.split())

    return configure


def other_httpstan(folder: Path, stanc: str) -> Path:
    """A package of that name ahead of the real one."""
    script(folder / "httpstan" / "stanc", stanc)
    (folder / "httpstan" / "__init__.py").touch()
    information = folder / "httpstan-4.13.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: httpstan\nVersion: 4.13.0\n")
    return folder


def test_windows_is_sent_to_its_subsystem_for_linux(said):
    message = said("-DCMAKE_HOST_WIN32=1")
    assert "expected Linux or macOS; found Windows" in message
    assert "wsl --install" in message


def test_a_machine_without_httpstan_is_named_with_what_there_is(said, tmp_path):
    bare = script(tmp_path / "python", f'exec {shlex.quote(sys.executable)} -S "$@"')
    uname = script(tmp_path / "uname", "test $1 = -m && echo riscv64 || echo Linux")
    message = said(f"-DPython_EXECUTABLE={bare}", f"-DCMAKE_UNAME={uname}")
    assert "expected the Python package httpstan 4.13.0" in message
    assert "this is Linux riscv64" in message
    assert "ready-made wheel" in message


def test_apple_silicon_without_rosetta_is_told_of_it(said, tmp_path):
    uname = script(tmp_path / "uname", "test $1 = -m && echo arm64 || echo Linux")
    message = said(
        "-DCMAKE_HOST_APPLE=1",
        f"-DCMAKE_UNAME={uname}",
        path=other_httpstan(tmp_path / "site", "exit 86"),
    )
    assert "softwareupdate --install-rosetta" in message


def test_a_stanc_of_another_version_is_refused(said, tmp_path):
    message = said(
        path=other_httpstan(tmp_path / "site", "echo 'stanc3 v2.36.0 (Unix)'")
    )
    assert "found httpstan 4.13.0 with 'stanc3 v2.36.0 (Unix)'" in message
