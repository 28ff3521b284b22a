"""Programs that are not whole, or not for this machine, are refused unopened."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pyrobma as rb
from pyrobma.fit.density import LogDensity
from pyrobma.programs import elf, executable, library

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="looks into ELF files"
)


@pytest.fixture
def programs(monkeypatch, tmp_path):
    """Copies of the programs that may be damaged."""
    for real in (executable("normal"), library("normal")):
        shutil.copy(real, tmp_path)
    monkeypatch.setenv("PYROBMA_PROGRAMS", str(tmp_path))
    return tmp_path


def damaged(path, change):
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def test_programs_that_are_whole_are_accepted(programs):
    assert executable("normal") == programs / "normal"
    assert library("normal") == programs / "normal.so"
    elf.check(Path(sys.executable))


@pytest.mark.parametrize("name", ["normal", "normal.so"])
@pytest.mark.parametrize("part", [0.001, 0.5, 0.999])
def test_a_truncated_program_is_refused_with_a_remedy(programs, name, part):
    path = programs / name
    size = int(path.stat().st_size * part)
    os.truncate(path, size)
    find = library if name.endswith("so") else executable
    with pytest.raises(
        rb.ToolchainError,
        match=rf"{name}; got a truncated file of {size} bytes, not \d+\. Build it",
    ):
        find("normal")


def test_a_fit_with_a_truncated_library_is_an_error_and_not_the_end_of_python(programs):
    os.truncate(programs / "normal.so", (programs / "normal.so").stat().st_size // 2)
    run = subprocess.run(
        [sys.executable, "-c", "import pyrobma as rb\n"
         "try: rb.robma(d=[0.1, 0.2], se=[0.1, 0.1], priors_bias=None)\n"
         "except rb.ToolchainError as error: print(error)"],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "got a truncated file" in run.stdout


@pytest.mark.parametrize(("at", "value"), [(4, 1), (5, 2), (18, 243)])
def test_a_program_of_another_machine_is_refused(programs, at, value):
    def change(content):
        content[at] = value

    damaged(programs / "normal.so", change)
    with pytest.raises(rb.ToolchainError, match="one for another kind of machine"):
        library("normal")


def test_a_header_of_nonsense_is_refused(programs):
    def change(content):
        content[20:64] = b"\xff" * 44

    damaged(programs / "normal.so", change)
    with pytest.raises(rb.ToolchainError, match=r"normal\.so; got a truncated file"):
        library("normal")


def test_a_script_may_stand_for_an_executable_but_not_for_a_library(programs):
    for name in ("normal", "normal.so"):
        (programs / name).write_text("#!/bin/sh\n")
    assert executable("normal") == programs / "normal"
    with pytest.raises(rb.ToolchainError, match="got a file that is none"):
        library("normal")


def test_a_program_that_is_built_again_is_looked_at_again(programs):
    path = programs / "normal.so"
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    with pytest.raises(rb.ToolchainError, match="truncated"):
        library("normal")
    path.write_bytes(whole)
    assert library("normal") == path


def test_looking_at_a_program_costs_next_to_nothing(programs):
    library("normal")
    began = time.perf_counter()
    for _ in range(100):
        library("normal")
    assert time.perf_counter() - began < 0.1


def test_a_library_of_something_else_is_a_toolchain_error(tmp_path):
    found = [
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "/libm.so" in line or "/libm-" in line
    ]
    if not found:
        pytest.skip("no other library is known")
    other = tmp_path / "normal.so"
    shutil.copy(found[0], other)
    with pytest.raises(rb.ToolchainError, match=r"^normal\.so: "):
        LogDensity(other, "{}")
