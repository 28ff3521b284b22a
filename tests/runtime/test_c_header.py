"""The C header that comes with the programs, and the example in C."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pyrobma.programs import PROGRAMS, library

STAN = Path(__file__).parents[2] / "stan"
EXAMPLES = STAN / "examples"
HEADER = "bridge.h"


def compiled(source: Path, program: str, folder: Path) -> Path:
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    assert compiler, "a C compiler comes with the C++ compiler of the programs"
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"]
    path = folder / "call"
    beside = library(program).parent
    subprocess.run(
        [compiler, *strict, f"-I{beside}", source, library(program), "-lm", "-o", path],
        check=True,
    )
    return path


@pytest.mark.parametrize("program", PROGRAMS)
def test_c_gets_what_the_examples_expect(program: str, tmp_path: Path) -> None:
    call = compiled(EXAMPLES / "call.c", program, tmp_path)
    done = subprocess.run(
        [call, EXAMPLES / program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{program}_model\nBridgeStan version: 2.")
    others = tmp_path / "others"
    shutil.copytree(EXAMPLES / program, others)
    expected = (others / "expected.json").read_text()
    changed = re.sub(r'"gradient": \[(-?)', r'"gradient": [\g<1>1', expected)
    (others / "expected.json").write_text(changed)
    done = subprocess.run([call, others], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "not as in expected.json" in done.stderr
    (others / "data.json").write_text("{}")
    done = subprocess.run([call, others], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "model_construct() failed with exception" in done.stderr


def test_every_function_of_the_header_is_in_the_library(tmp_path: Path) -> None:
    header = (library("normal").parent / HEADER).read_text()
    names = sorted(set(re.findall(r"\b(bs_\w+)\(", header)))
    assert len(names) > 20
    source = tmp_path / "all.c"
    addresses = "".join(f"  (void (*)(void)){name},\n" for name in names)
    source.write_text(
        f'#include "{HEADER}"\n'
        f"static void (*const all[])(void) = {{\n{addresses}}};\n"
        "int main(void) {\n"
        "  for (unsigned i = 0; i < sizeof all / sizeof *all; ++i)\n"
        "    if (all[i] == NULL) return 1;\n"
        "  return bs_major_version != 2;\n"
        "}\n"
    )
    call = compiled(source, "normal", tmp_path)
    assert subprocess.run([call], check=False).returncode == 0


def test_commands_of_the_readme_run_as_they_stand(tmp_path: Path) -> None:
    found = re.search(
        r"```sh\n(gcc .*?)```", (STAN / "README.md").read_text(), re.DOTALL
    )
    assert found
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    commands = found[1].replace("DIR", str(library("normal").parent))
    done = subprocess.run(
        ["sh", "-ec", commands],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "log density 27.90888" in done.stdout
