"""Where the compiled programs are, and what is said if they are not."""

from __future__ import annotations

import os

import pytest

from pyrobma import ToolchainError
from pyrobma.programs import PROGRAMS, executable, library, stan_file
from pyrobma.programs.__main__ import main


@pytest.fixture
def shipped(monkeypatch):
    monkeypatch.delenv("PYROBMA_PROGRAMS", raising=False)


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_package_carries_an_executable_a_library_and_the_source(program):
    assert os.access(executable(program), os.X_OK)
    assert library(program).name == f"{program}.so"
    assert "#include" not in stan_file(program).read_text()


@pytest.mark.usefixtures("shipped")
def test_list_prints_where_the_programs_are(capsys):
    assert main(["list"]) == 0
    expected = [str(f(p)) for p in PROGRAMS for f in (executable, library)]
    assert capsys.readouterr().out.split() == expected


def test_the_environment_variable_chooses_the_directory(monkeypatch, tmp_path):
    (tmp_path / "normal").symlink_to(executable("normal"))
    (tmp_path / "normal.so").symlink_to(library("normal"))
    monkeypatch.setenv("PYROBMA_PROGRAMS", str(tmp_path))
    assert executable("normal") == tmp_path / "normal"
    assert library("normal") == tmp_path / "normal.so"


@pytest.mark.parametrize("find", [executable, library])
def test_a_directory_without_the_program_is_named_with_a_remedy(
    monkeypatch, tmp_path, find
):
    monkeypatch.setenv("PYROBMA_PROGRAMS", str(tmp_path / "nowhere"))
    with pytest.raises(
        ToolchainError,
        match=r"^PYROBMA_PROGRAMS: expected the compiled program normal.* in "
        r".*nowhere; found none\. Build it with: python -m pyrobma\.programs build "
        r"--into .*nowhere, or unset PYROBMA_PROGRAMS\.$",
    ):
        find("normal")


def test_a_program_that_may_not_be_executed_is_named_with_a_remedy(
    monkeypatch, tmp_path
):
    (tmp_path / "normal").touch(mode=0o644)
    monkeypatch.setenv("PYROBMA_PROGRAMS", str(tmp_path))
    with pytest.raises(
        ToolchainError,
        match=r"^programs: expected the right to execute .*normal; it is missing\. "
        r"Run: chmod \+x ",
    ):
        executable("normal")


@pytest.mark.usefixtures("shipped")
def test_a_program_that_is_not_of_the_package_is_refused():
    with pytest.raises(
        ToolchainError, match=r"^programs: expected the compiled program .*; found none"
    ):
        executable("no_such_program")


def test_list_without_programs_fails_with_the_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PYROBMA_PROGRAMS", str(tmp_path))
    assert main(["list"]) == 1
    shown = capsys.readouterr()
    assert "expected the compiled program normal" in shown.err
    assert shown.out == ""
