"""Build Stan programs with a tool-chain of the user's choice."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pyrobma.errors import ToolchainError
from pyrobma.programs.paths import runtime_sources, stan_file

PROGRAMS = ("normal", "selection", "counts")
"""The Stan programs that come with the package."""


def build(
    into: Path | str,
    toolchain: Literal["bundled", "cmdstan"] = "bundled",
    sources: Sequence[Path | str] | None = None,
) -> list[Path]:
    """Compile Stan programs into executables and shared libraries.

    Parameters
    ----------
    into : path
        Directory for the results, made if it does not exist. Set the environment
        variable ``PYROBMA_PROGRAMS`` to it to use them.
    toolchain : {"bundled", "cmdstan"}
        ``"bundled"``: pyrobma's own runtime; needs a C++ compiler, CMake and the
        Python package httpstan. ``"cmdstan"``: the originals; needs CmdStan, found
        as CmdStanPy finds it, and BridgeStan's sources, found as its client does.
    sources : sequence of path, optional
        Stan files, in any folder; includes are looked up beside each by "bundled"
        and refused by "cmdstan". None: the programs of the package.

    Returns
    -------
    list of Path
        For each program ``<name>``, its executable ``into/<name>`` and its library
        ``into/<name>.so``. Beside them are the source without includes and
        ``<name>.build.json``, which `build_record` reads.

    Raises
    ------
    ToolchainError
        If the tool-chain is missing or a program does not compile.
    """
    target = Path(into).resolve()
    target.mkdir(parents=True, exist_ok=True)
    files = [
        Path(source).resolve()
        for source in (sources or [stan_file(name) for name in PROGRAMS])
    ]
    for file in files:
        if not file.is_file():
            raise ToolchainError(f"sources: expected a Stan file; {file} is none.")
    if toolchain == "cmdstan":
        for file in files:
            _build_with_cmdstan(file, target)
    else:
        _build_bundled(files, target)
    return [target / (file.stem + end) for file in files for end in ("", ".so")]


def _build_bundled(files: Sequence[Path], target: Path) -> None:
    cmake = shutil.which("cmake", path=None) or shutil.which(
        "cmake", path=str(Path(sys.executable).parent)
    )
    if cmake is None:
        raise ToolchainError(
            "toolchain: expected CMake to build with; found none. Run: pip install "
            "cmake httpstan==4.13.0"
        )
    with tempfile.TemporaryDirectory(prefix="pyrobma-") as folder:
        _run(
            [
                cmake, "-S", str(runtime_sources()), "-B", folder,
                f"-DPython_EXECUTABLE={sys.executable}",
                f"-DPYROBMA_STAN_FILES={';'.join(map(str, files))}",
                f"-DCMAKE_INSTALL_PREFIX={target}",
            ]
        )  # fmt: skip
        _run([cmake, "--build", folder, "--parallel", "2", "--target", "install"])


def _build_with_cmdstan(file: Path, target: Path) -> None:
    import bridgestan
    import cmdstanpy

    with tempfile.TemporaryDirectory(prefix="pyrobma-") as folder:
        source = Path(shutil.copy(file, folder))
        try:
            model = cmdstanpy.CmdStanModel(stan_file=source, stanc_options={"O1": True})
            made = bridgestan.compile_model(source, stanc_args=["--O1"])
        except (ValueError, RuntimeError, OSError, subprocess.SubprocessError) as error:
            raise ToolchainError(
                f"toolchain: {file.name} could not be built with CmdStan and "
                f"BridgeStan: {error}"
            ) from error
        shutil.copy(str(model.exe_file), target / file.stem)
        shutil.copy(made, target / f"{file.stem}.so")
        shutil.copy(source, target)
    record = {
        "toolchain": "cmdstan",
        "stan": ".".join(map(str, cmdstanpy.cmdstan_version() or ())) or "unknown",
        "cmdstan": cmdstanpy.cmdstan_path(),
        "bridgestan": importlib.metadata.version("bridgestan"),
        "stanc": "--O1",
    }
    written = target / f"{file.stem}.build.json"
    written.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolchainError(
            f"toolchain: {' '.join(command[:2])} failed with code {done.returncode}.\n"
            f"{done.stdout}\n{done.stderr}"
        )
