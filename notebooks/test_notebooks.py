"""Every notebook runs, quietly and soon, and its .ipynb is that of its script."""

from __future__ import annotations

import time
from pathlib import Path

import nbformat
import pytest
from run import FOLDER, SCRIPTS, execute, read_script, sources, stray_outputs

SECONDS = 120
"""Limit of a notebook on two cores; the slowest takes half of it."""

BYTES = 1_000_000
"""Limit of a committed notebook, so that a browser shows it at once."""

each = pytest.mark.parametrize("script", SCRIPTS, ids=[s.stem for s in SCRIPTS])


def test_every_notebook_has_a_script_and_every_script_a_notebook():
    notebooks = {path.stem for path in FOLDER.glob("*.ipynb")}
    assert notebooks == {script.stem for script in SCRIPTS}
    assert len(SCRIPTS) >= 4


@each
def test_cells_are_those_of_the_script(script):
    notebook = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    assert sources(notebook) == sources(read_script(script))


@each
def test_committed_notebook_is_valid_small_clean_and_complete(script):
    file = script.with_suffix(".ipynb")
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    assert file.stat().st_size < BYTES
    assert notebook.metadata == read_script(script).metadata
    assert not any(cell.metadata for cell in notebook.cells)
    assert not stray_outputs(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]


@each
def test_script_runs_quietly_and_soon(script):
    before = {path: path.read_bytes() for path in FOLDER.glob("[0-9][0-9]_*")}
    start = time.monotonic()
    notebook = execute(script)
    seconds = time.monotonic() - start
    assert not stray_outputs(notebook)
    assert seconds < SECONDS
    assert before == {path: path.read_bytes() for path in FOLDER.glob("[0-9][0-9]_*")}


@pytest.mark.parametrize(
    ("code", "stray"),
    [
        ("import warnings; warnings.warn('look')", "UserWarning: look"),
        (f"print({str(Path.home() / 'x')!r})", str(Path.home())),
        ("import pathlib; pathlib.Path.cwd()", "Path"),
    ],
)
def test_stray_outputs_are_found(tmp_path, code, stray):
    script = tmp_path / "01_stray.py"
    script.write_text(f"# %%\n{code}\n")
    assert stray in "\n".join(stray_outputs(execute(script)))


def test_clean_outputs_pass(tmp_path):
    script = tmp_path / "01_clean.py"
    script.write_text("# %% [markdown]\n# Text.\n\n# %%\nprint(1 / 2)\n")
    notebook = execute(script)
    assert not stray_outputs(notebook)
    assert notebook.cells[1].outputs[0].text == "0.5\n"
