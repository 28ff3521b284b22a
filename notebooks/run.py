"""Execute the notebooks' scripts and write their .ipynb.

    python notebooks/run.py                   all of them
    python notebooks/run.py 01_hierarchical_bma

`pytest notebooks` checks without writing.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
SCRIPTS = tuple(sorted(FOLDER.glob("[0-9][0-9]_*.py")))

CELL_LIMIT = 120
"""Seconds that one cell may take; the limit of a notebook is in its test."""

_QUIET = {"TQDM_DISABLE": "1"}
"""A reader of a notebook that was run needs no progress bars."""

_OWN_PATHS = (str(FOLDER.parent), sys.prefix, str(Path.home()), tempfile.gettempdir())


def read_script(script: Path) -> NotebookNode:
    """Return a script as a notebook without outputs."""
    notebook = jupytext.read(script, fmt="py:percent")
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number:02d}"  # random ids would change at every writing
        cell.metadata = NotebookNode()
    return _with_plain_metadata(notebook)


def execute(script: Path) -> NotebookNode:
    """Run a script cell by cell, in an empty folder, and return it with outputs."""
    notebook = read_script(script)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=CELL_LIMIT,
            kernel_name="python3",
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": folder}},
        ).execute(env={**os.environ, **_QUIET})
    for output in _outputs(notebook):
        _forget_address(output)
        _shrink_figure(output)
    return _with_plain_metadata(notebook)


def sources(notebook: NotebookNode) -> list[tuple[str, str]]:
    """Return type and text of each cell."""
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def stray_outputs(notebook: NotebookNode) -> list[str]:
    """Return what a reader should not see: stderr, errors, paths of a machine."""
    found = []
    for output in _outputs(notebook):
        text = _text(output)
        if output.output_type == "error" or output.get("name") == "stderr":
            found.append(text)
        found += [
            line for line in text.splitlines() if any(own in line for own in _OWN_PATHS)
        ]
    return found


def _with_plain_metadata(notebook: NotebookNode) -> NotebookNode:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": kernel, "language_info": {"name": "python"}}
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def _forget_address(output: NotebookNode) -> None:
    """Cut the address in memory out of a figure's text, which differs in every run."""
    data = output.get("data", {})
    if "text/plain" in data:
        data["text/plain"] = re.sub(r" at 0x[0-9a-f]+>", ">", data["text/plain"])


def _shrink_figure(output: NotebookNode) -> None:
    """Show a figure of 150 dots per inch at 100, in keeping with the text around it."""
    for size in output.get("metadata", {}).values():
        size.update({side: round(pixels / 1.5) for side, pixels in size.items()})


def _text(output: NotebookNode) -> str:
    shown = [v for k, v in output.get("data", {}).items() if k.startswith("text/")]
    return "\n".join(
        [output.get("text", ""), *shown, *output.get("traceback", [])]
    ).strip()


def _main(names: list[str]) -> None:
    for script in SCRIPTS:
        if not names or script.stem in names:
            notebook = execute(script)
            if stray := stray_outputs(notebook):
                sys.exit(f"{script.name}: " + "\n".join(stray))
            nbformat.write(notebook, script.with_suffix(".ipynb"))


if __name__ == "__main__":
    _main(sys.argv[1:])
