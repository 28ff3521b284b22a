"""The clients in ``stan/examples``, from a shell, R and Node.js, find its numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import bridgestan
import numpy as np
import pytest

from pyrobma.programs import PROGRAMS, executable, library

STAN = Path(__file__).parents[2] / "stan"

# The same program on another machine: sums of some hundred terms of size 1.
DENSITY_ATOL = 1e-9
# Four chains of 1000 draws: four Monte Carlo standard errors of rho, more of others.
MEAN_ATOL = 0.02
# Posterior means of the example by quadrature.
MEANS = {"mu": 0.180, "tau": 0.308, "rho": 0.626}


def read(program: str, name: str) -> dict[str, Any]:
    return dict(json.loads((STAN / "examples" / program / name).read_text()))


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )


def numbers(command: list[str], folder: Path) -> dict[str, list[str]]:
    """What a client prints: a name and values in each line."""
    done = run(command, folder)
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}


@pytest.fixture
def stan(tmp_path: Path) -> Path:
    """A folder like ``stan/``, with the programs in it."""
    (tmp_path / "examples").symlink_to(STAN / "examples")
    for program in PROGRAMS:
        (tmp_path / program).symlink_to(executable(program))
        (tmp_path / f"{program}.so").symlink_to(library(program))
    return tmp_path


@pytest.fixture(scope="module")
def koffi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Node.js finds the package that the client needs."""
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text("{}")
    # Once, and not for minutes, where there is no network.
    options = ["--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=20000"]
    done = run(["npm", "install", *options, "koffi@3"], folder)
    if done.returncode != 0:
        pytest.skip(f"npm cannot install koffi: {done.stderr.strip()[-200:]}")
    return folder


def check(program: str, found: dict[str, list[str]]) -> None:
    point, expected = read(program, "point.json"), read(program, "expected.json")
    assert found["parameters"] == [",".join(point["names"])]
    assert [float(x) for x in found["log_density"]] == pytest.approx(
        [expected["log_density"]], abs=DENSITY_ATOL
    )
    assert [float(x) for x in found["gradient"]] == pytest.approx(
        expected["gradient"], abs=DENSITY_ATOL
    )


def arguments(program: str) -> list[str]:
    point = read(program, "point.json")["unconstrained"]
    data = f"examples/{program}/data.json"
    return [f"{program}.so", data, *map(str, point)]


@pytest.mark.parametrize("program", PROGRAMS)
def test_inits_of_the_examples_are_their_points(program: str) -> None:
    folder = STAN / "examples" / program
    model = bridgestan.StanModel(
        library(program), str(folder / "data.json"), warn=False
    )
    found = model.param_unconstrain_json((folder / "inits.json").read_text())
    expected = read(program, "point.json")["unconstrained"]
    np.testing.assert_allclose(found, expected, rtol=1e-15)


@pytest.mark.parametrize("program", PROGRAMS)
def test_shell_finds_the_density(program: str, stan: Path) -> None:
    files = [f"examples/{program}/{name}.json" for name in ("data", "inits")]
    found = numbers(["sh", "examples/density.sh", f"./{program}", *files], stan)
    expected = read(program, "expected.json")["log_density"]
    assert float(*found["log_density"]) == pytest.approx(expected, abs=DENSITY_ATOL)


def test_shell_draws_from_the_posterior(stan: Path) -> None:
    command = ["sh", "examples/sample.sh", "./normal", "examples/normal/data.json"]
    found = numbers([*command, "draws"], stan)
    assert {name: float(*found[name]) for name in MEANS} == pytest.approx(
        MEANS, abs=MEAN_ATOL
    )
    assert len(list((stan / "draws").glob("chain_?.csv"))) == 4


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
@pytest.mark.parametrize("program", PROGRAMS)
def test_r_without_packages_finds_density_and_gradient(
    program: str, stan: Path
) -> None:
    check(
        program, numbers(["Rscript", "examples/density.R", *arguments(program)], stan)
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_node_finds_density_and_gradient(
    program: str, stan: Path, koffi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_PATH", str(koffi / "node_modules"))
    check(program, numbers(["node", "examples/density.js", *arguments(program)], stan))


@pytest.mark.parametrize("script", ["density.sh", "sample.sh"])
def test_shell_tells_what_the_program_says_of_wrong_data(
    script: str, stan: Path
) -> None:
    (stan / "wrong.json").write_text('{"K": 0}')
    last = "examples/normal/inits.json" if script == "density.sh" else "draws"
    done = run(["sh", f"examples/{script}", "./normal", "wrong.json", last], stan)
    assert done.returncode != 0
    assert "K is 0" in done.stderr


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_r_tells_what_the_program_says_of_wrong_data(stan: Path) -> None:
    (stan / "wrong.json").write_text('{"K": 0}')
    done = run(["Rscript", "examples/density.R", "normal.so", "wrong.json", "1"], stan)
    assert done.returncode != 0
    assert "K is 0" in done.stderr
