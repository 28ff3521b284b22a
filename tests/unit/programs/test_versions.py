"""What is said of the programs in use and of what is installed."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyrobma as rb
from pyrobma import ToolchainError
from pyrobma.commands import main
from pyrobma.programs import PROGRAMS, build_record, kernel, library, text_hash


@pytest.fixture
def copied(monkeypatch, tmp_path):
    """The programs, in a folder of somebody's own."""
    for name in PROGRAMS:
        for path in library(name).parent.glob(f"{name}*"):
            shutil.copy2(path, tmp_path)
    monkeypatch.setenv("PYROBMA_PROGRAMS", str(tmp_path))
    return tmp_path


def test_versions_name_the_programs_in_use_by_folder_and_hash(copied):
    found = rb.show_versions(as_dict=True)["programs"]
    assert found["folder"] == str(copied)
    for name in PROGRAMS:
        text = (copied / f"{name}.stan").read_bytes()
        assert found[name]["sha256"] == hashlib.sha256(text).hexdigest()
        assert found[name]["sha256"] == text_hash(name)


def test_versions_say_what_the_build_has_written_down(copied):
    record = {"compiler": "Some 1.2", "flags": "-O2", "stan": "2.35.0", "stanc": "v"}
    (copied / "normal.build.json").write_text(json.dumps(record))
    assert build_record("normal") == record
    assert (
        record.items() <= rb.show_versions(as_dict=True)["programs"]["normal"].items()
    )


@pytest.mark.parametrize("text", [None, "", "{", "[1]"])
def test_a_program_without_a_legible_record_has_its_version_of_stan_still(copied, text):
    record = copied / "normal.build.json"
    record.unlink(missing_ok=True)
    if text is not None:
        record.write_text(text)
    assert build_record("normal") == {}
    found = rb.show_versions(as_dict=True)["programs"]["normal"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["stan"])


def test_a_missing_program_is_an_entry_and_no_error(copied):
    (copied / "normal.so").unlink()
    (copied / "normal.stan").unlink()
    found = rb.show_versions(as_dict=True)["programs"]
    assert "expected the compiled program normal.so" in found["normal"]["error"]
    assert "error" not in found["selection"]


def test_versions_of_dependencies_are_those_installed():
    found = rb.show_versions(as_dict=True)["dependencies"]
    for name in ("numpy", "pandas", "cmdstanpy", "bridgestan"):
        assert found[name] == importlib.import_module(name).__version__
    # As many as the metadata asks for, those of extras among them.
    assert len(found) == len(importlib.metadata.requires("pyrobma"))
    assert "openpyxl" in found


def test_versions_of_the_system_are_pythons_own():
    found = rb.show_versions(as_dict=True)["system"]
    assert found["pyrobma"] == rb.__version__
    assert found["python"].startswith(".".join(map(str, sys.version_info[:3])))
    assert found["platform"] == platform.platform()


def test_every_value_is_printed(capsys):
    rb.show_versions()
    shown = capsys.readouterr().out

    def values(part):
        for value in part.values():
            yield from values(value) if isinstance(value, dict) else [str(value)]

    found = rb.show_versions(as_dict=True)
    assert all(value in shown for value in values(found))
    lines = shown.splitlines()
    assert [line for line in lines if line[0] != " "] == list(found)


def test_the_command_prints_the_same_as_text_and_as_json(capsys):
    rb.show_versions()
    text = capsys.readouterr().out
    assert main(["versions"]) == 0
    assert capsys.readouterr().out == text
    assert main(["versions", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rb.show_versions(as_dict=True)


def best_kernel():
    """What the kernel of the operating system says that the processor runs."""
    said = Path("/proc/cpuinfo").read_text(encoding="ascii")
    flags = set(re.search(r"^flags\s*: (.*)$", said, re.MULTILINE)[1].split())
    avx2 = {"avx2", "fma"}
    if flags >= avx2 | {"avx512f", "avx512dq", "avx512vl", "avx512bw"}:
        return "avx512"
    return "avx2" if flags >= avx2 else "generic"


def kernel_in_a_process(asked):
    script = (
        "from pyrobma.errors import ToolchainError\n"
        "from pyrobma.programs import kernel\n"
        "try: print(kernel('selection'))\n"
        "except ToolchainError as error: print(error)"
    )
    environment = os.environ | {"PYROBMA_KERNEL": asked}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64",
    reason="its processors have one kernel",
)
def test_the_kernel_is_the_widest_that_the_processor_runs():
    assert kernel_in_a_process("") == best_kernel()


def test_the_kernel_can_be_chosen_and_programs_without_have_none():
    assert kernel_in_a_process("generic") == "generic"
    assert kernel("normal") is None


def test_a_kernel_that_the_processor_lacks_is_an_error_and_no_crash():
    assert kernel_in_a_process("none").startswith("PYROBMA_KERNEL: expected")


def test_a_library_that_cannot_be_loaded_is_named(copied):
    # Whole by its header's sizes, but with its dynamic section gone.
    path = copied / "normal.so"
    path.write_bytes(path.read_bytes()[:64] + bytes(path.stat().st_size - 64))
    with pytest.raises(ToolchainError, match=r"normal\.so"):
        kernel("normal")
