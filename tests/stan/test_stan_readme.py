"""``stan/README.md`` and ``stan/examples`` say what the programs do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import bridgestan
import httpstan
import numpy as np
import pytest
import quadrature as q
from normal_program import Case

import pyrobma as rb
from pyrobma.effects import effect_sizes
from pyrobma.fit.stan_data import Task, stan_data
from pyrobma.models import ModelSpec
from pyrobma.priors import FAMILIES, prior
from pyrobma.programs import executable, library

STAN = Path(__file__).parents[2] / "stan"
EXAMPLE = STAN / "examples" / "normal"
README = (STAN / "README.md").read_text()
STANC = Path(httpstan.__file__).parent / "stanc"

# The same program on another machine: sums of some hundred terms of size 1.
DENSITY_ATOL = 1e-9
# Conversions of effect sizes on another machine.
DATA_RTOL = 1e-13


def read(name: str) -> dict[str, Any]:
    return dict(json.loads((EXAMPLE / f"{name}.json").read_text()))


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def data_variables() -> dict[str, Any]:
    told = subprocess.run(
        [STANC, "--info", f"--include-paths={STAN}", STAN / "normal.stan"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return dict(json.loads(told)["inputs"])


@pytest.fixture
def model() -> bridgestan.StanModel:
    return bridgestan.StanModel(
        library("normal"), str(EXAMPLE / "data.json"), warn=False
    )


def test_example_density_and_gradient_are_what_the_library_gives(
    model: bridgestan.StanModel,
) -> None:
    point, expected = read("point"), read("expected")
    assert model.param_unc_names() == point["names"]
    value, gradient = model.log_density_gradient(
        np.array(point["unconstrained"]), propto=False, jacobian=True
    )
    assert value == pytest.approx(expected["log_density"], abs=DENSITY_ATOL)
    np.testing.assert_allclose(gradient, expected["gradient"], rtol=0, atol=1e-9)


def test_example_density_is_the_oracles(model: bridgestan.StanModel) -> None:
    point = np.array(read("point")["unconstrained"])
    values = dict(
        zip(("mu", "tau", "rho"), list(model.param_constrain(point)), strict=True)
    )
    d, se_d, district = q.schools()
    y, se = q.d_to_z(d, se_d)
    sizes = np.unique(district, return_counts=True)[1].tolist()
    subject = Case(
        y,
        se,
        sizes,
        {
            "mu": q.DEFAULT_EFFECT,
            "tau": q.DEFAULT_HETEROGENEITY,
            "rho": q.DEFAULT_HIERARCHICAL,
        },
    )
    assert read("expected")["log_density"] == pytest.approx(
        subject.log_density(values, True), abs=DENSITY_ATOL
    )


def test_example_data_are_what_the_package_sends_for_the_default_priors() -> None:
    effects = effect_sizes(
        rb.load_dataset("konstantopoulos2011"), d="yi", v="vi", study_ids="district"
    )
    spec = ModelSpec(
        prior("normal", mean=0, sd=1),
        prior("inv_gamma", shape=1, scale=0.15),
        prior("beta", alpha=1, beta=1),
        frozenset(),
        1.0,
    )
    example = read("data")
    sent = stan_data(Task(effects, "cohens_d"), spec)
    assert set(example) == set(sent) == set(data_variables())
    for name, value in sent.items():
        np.testing.assert_allclose(
            np.array(example[name], dtype=float),
            np.array(value, dtype=float),
            rtol=DATA_RTOL,
            err_msg=name,
        )


@pytest.mark.parametrize("name", sorted(data_variables()))
def test_readme_names_every_data_variable(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_readme_lists_every_family_with_its_code(name: str) -> None:
    assert f"| {FAMILIES[name].code} | {name} |" in README


def test_readme_states_the_example_to_its_last_printed_digit() -> None:
    expected = read("expected")
    gradient = ", ".join(f"{g:.7f}" for g in expected["gradient"])
    assert f"{expected['log_density']:.10f} with gradient ({gradient})" in README
    point = "[" + ", ".join(f"{x:g}" for x in read("point")["unconstrained"]) + "]"
    for language, name in (("python", point), ("julia", point), ("js", point)):
        assert any(name in block for block in blocks(language)), language


def test_python_calls_of_the_readme_run_as_they_stand() -> None:
    sampling, density = blocks("python")
    script = "\n".join(
        [
            "import logging; logging.disable()",
            sampling.replace("fit.draws_pd", "summary = fit.draws_pd"),
            density,
            "print(*summary.loc['mean'], lp, *gradient)",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=STAN,
        check=True,
        capture_output=True,
        text=True,
    )
    mu, tau, rho, lp, *gradient = map(float, done.stdout.split())
    # The posterior means by quadrature, and five Monte Carlo standard errors.
    assert (mu, tau, rho) == pytest.approx((0.180, 0.308, 0.626), abs=0.03)
    assert lp == pytest.approx(read("expected")["log_density"], abs=DENSITY_ATOL)
    assert gradient == pytest.approx(read("expected")["gradient"], abs=1e-9)


def test_command_line_of_the_readme_runs_as_it_stands(tmp_path: Path) -> None:
    command = next(block for block in blocks("sh") if block.startswith("./normal"))
    (tmp_path / "normal").symlink_to(executable("normal"))
    shutil.copytree(STAN / "examples", tmp_path / "examples")
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    lines = (tmp_path / "draws.csv").read_text().splitlines()
    rows = [line for line in lines if line and not line.startswith("#")]
    assert len(rows) == 1 + 1000
    assert {"mu", "tau", "rho", "PET", "PEESE"} <= set(rows[0].split(","))
