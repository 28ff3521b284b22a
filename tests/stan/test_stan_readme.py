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
import selection as s
from normal_program import NO_BIAS, Case
from scipy.special import expit, logit
from selection_program import SelectionCase

import pyrobma as rb
from pyrobma.effects import effect_sizes
from pyrobma.fit.quadrature import Rule
from pyrobma.fit.stan_data import stan_data
from pyrobma.models import Task, model
from pyrobma.priors import FAMILIES, prior, prior_none, prior_weightfunction
from pyrobma.programs import PROGRAMS, executable, library

STAN = Path(__file__).parents[2] / "stan"
EXAMPLES = STAN / "examples"
README = (STAN / "README.md").read_text()
EXAMPLE = "examples/normal/data.json"
STANC = Path(httpstan.__file__).parent / "stanc"

# The same program on another machine: sums of some hundred terms of size 1.
DENSITY_ATOL = 1e-9
# Conversions of effect sizes on another machine.
DATA_RTOL = 1e-13
# Sums over possible counts on another machine: their derivatives cancel far out.
TABLE_ATOL = 1e-11
TABLES = ("log_h", "slope", "curvature")
# The quadrature of the selection example, which is coarse to keep the file short.
RULE_ATOL = 1e-6


# The rule that the example of the selection program carries.
RULE = Rule(0.3, 6.0)
DEFAULTS = {
    "mu": q.DEFAULT_EFFECT,
    "tau": q.DEFAULT_HETEROGENEITY,
    "rho": q.DEFAULT_HIERARCHICAL,
}


def read(program: str, name: str) -> dict[str, Any]:
    return dict(json.loads((EXAMPLES / program / f"{name}.json").read_text()))


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def data_variables(program: str) -> dict[str, Any]:
    told = subprocess.run(
        [STANC, "--info", f"--include-paths={STAN}", STAN / f"{program}.stan"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return dict(json.loads(told)["inputs"])


def model_of(program: str) -> bridgestan.StanModel:
    return bridgestan.StanModel(
        library(program), str(EXAMPLES / program / "data.json"), warn=False
    )


def outputs(model: bridgestan.StanModel, point: Any) -> dict[str, float]:
    """All values by name at a point of the unconstrained parameters."""
    names = model.param_names(include_tp=True)
    return dict(zip(names, model.param_constrain(point, include_tp=True), strict=True))


def test_every_program_has_an_example() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_example_density_and_gradient_are_what_the_library_gives(program: str) -> None:
    model = model_of(program)
    point, expected = read(program, "point"), read(program, "expected")
    assert model.param_unc_names() == point["names"]
    value, gradient = model.log_density_gradient(
        np.array(point["unconstrained"]), propto=False, jacobian=True
    )
    assert value == pytest.approx(expected["log_density"], abs=DENSITY_ATOL)
    np.testing.assert_allclose(gradient, expected["gradient"], rtol=0, atol=1e-9)


def schools_on_z() -> tuple[Any, Any, list[int]]:
    d, se_d, district = q.schools()
    y, se = q.d_to_z(d, se_d)
    return y, se, np.unique(district, return_counts=True)[1].tolist()


def test_example_density_of_the_normal_program_is_the_oracles() -> None:
    model = model_of("normal")
    point = np.array(read("normal", "point")["unconstrained"])
    output = outputs(model, point)
    values = {name: output[name] for name in ("mu", "tau", "rho")}
    subject = Case(*schools_on_z(), DEFAULTS)
    assert read("normal", "expected")["log_density"] == pytest.approx(
        subject.log_density(values, True), abs=DENSITY_ATOL
    )


def test_example_density_of_the_selection_program_is_the_oracles() -> None:
    model = model_of("selection")
    point = np.array(read("selection", "point")["unconstrained"])
    output = outputs(model, point)
    omega = [output[f"omega.{j}"] for j in (1, 2, 3)]
    d, se_d, _ = q.schools()
    cut = s.cut_offs(d, se_d, "d", "z", (0.025, 0.05), 1)[:, ::-1]
    subject = SelectionCase(
        *schools_on_z(),
        {**DEFAULTS, **NO_BIAS},
        z=(1.96, 1.645),
        pi1=-np.diff(omega, append=0.0),
        alpha1=(1.0, 1.0, 1.0),
        changes={"cut": cut.tolist()},
    )
    found = model.log_density(point, propto=False, jacobian=False)
    values = {name: output[name] for name in ("mu", "tau", "rho")}
    assert found == pytest.approx(subject.expected(values), abs=RULE_ATOL)
    np.testing.assert_allclose(read("selection", "data")["cut"], cut, rtol=DATA_RTOL)


def task_of(program: str) -> Task:
    if program == "counts":
        return rb.robma(
            rb.load_dataset("nielweise2007").head(4), x1="x1", n1="n1", x2="x2",
            n2="n2", study_ids="year", only_priors=True,
        ).task  # fmt: skip
    effects = effect_sizes(
        rb.load_dataset("konstantopoulos2011"), d="yi", v="vi", study_ids="district"
    )
    return Task(effects, "cohens_d")


@pytest.mark.parametrize("program", PROGRAMS)
def test_example_data_are_what_the_package_sends_for_the_default_priors(
    program: str,
) -> None:
    selection = prior_weightfunction("one.sided", steps=[0.025, 0.05], alpha=[1, 1, 1])
    spec = model(
        mu=prior("normal", mean=0, sd=1),
        tau=prior("inv_gamma", shape=1, scale=0.15),
        rho=prior("beta", alpha=1, beta=1),
        bias=selection if program == "selection" else prior_none(),
    )
    example = read(program, "data")
    sent = stan_data(task_of(program), spec, RULE)
    assert set(example) == set(sent) == set(data_variables(program))
    for name, value in sent.items():
        np.testing.assert_allclose(
            np.array(example[name], dtype=float),
            np.array(value, dtype=float),
            rtol=DATA_RTOL,
            atol=TABLE_ATOL if name in TABLES else 0,
            err_msg=name,
        )


@pytest.mark.parametrize("program", PROGRAMS)
def test_readme_names_every_data_variable_and_parameter(program: str) -> None:
    told = [*data_variables(program), *model_of(program).param_names(include_tp=True)]
    for name in told:
        assert f"`{name.partition('.')[0]}`" in README, name
    assert f"## {program}.stan" in README


def test_readme_states_how_mu_is_shifted() -> None:
    y, se, sizes = schools_on_z()
    priors = {"PET": q.Prior("cauchy", (0.0, 1.0)), "PEESE": q.Prior("cauchy", (0, 1))}
    model = Case(y, se, sizes, priors, direction=-1).model()
    mu_free, tau, rho_logit, PET, PEESE = 0.3, 0.2, 0.5, 0.7, 1.3
    point = model.param_unconstrain(np.array([PET, mu_free, PEESE, tau, rho_logit]))
    output = outputs(model, point)
    formulas = re.findall(
        r"^    (?:mu_free|centre\(.*?\)|w) = .*$", README, flags=re.MULTILINE
    )
    assert [formula.strip() for formula in formulas] == [
        "mu_free = mu + centre(x)' b + centre(bias)' c / s",
        "centre(z) = sum(w z) / sum(w intercept);   w = intercept / se^2",
    ]
    scale = 0.5
    a, b = (1 / se).sum() / (1 / se**2).sum(), len(se) / (1 / se**2).sum()
    mu = mu_free + (PET * a + PEESE / scale * b) / scale
    assert output["mu"] == pytest.approx(mu, abs=1e-12)


def test_readme_states_how_rho_and_the_weights_follow_from_logits() -> None:
    priors = {"rho": q.Prior("beta", (2.0, 1.0), 0.2, 0.7)}
    model = Case(*schools_on_z(), priors).model()
    output = outputs(model, np.array([0.1, -1.0, 0.4]))
    formula = "    rho = low[3] + (high[3] - low[3]) inv_logit(rho_logit)\n"
    assert formula in README
    assert output["rho"] == pytest.approx(0.2 + 0.5 * expit(0.4), abs=1e-15)

    subject = SelectionCase(
        *schools_on_z(),
        {**DEFAULTS, **NO_BIAS},
        z=(1.96, 1.645, 0.0, -1.0),
        logits=((0.3, -0.4), (0.8, 1.1)),
    )
    output = outputs(subject.model(), np.array([0.1, -1.0, 0.4, 0.3, -0.4, 0.8, 1.1]))
    omega = np.array([output[f"omega.{j}"] for j in range(1, 6)])
    assert "`omega[j + 1] / omega[j]`" in README
    assert omega[0] == 1
    assert logit(omega[1:3] / omega[:2]) == pytest.approx([0.3, -0.4], abs=1e-14)
    v = [1, expit(0.8), expit(0.8) * expit(1.1)]
    assert "`omega[J1] + (1 - omega[J1])` times v[i + 2]" in README
    for i in (0, 1):
        weight = omega[2] + (1 - omega[2]) * v[i + 1]
        assert omega[4 - i] == pytest.approx(weight, abs=1e-14)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_readme_lists_every_family_with_its_code(name: str) -> None:
    assert f"| {FAMILIES[name].code} | {name} |" in README


@pytest.mark.parametrize("program", PROGRAMS)
def test_readme_states_the_example_to_its_last_printed_digit(program: str) -> None:
    expected = read(program, "expected")
    gradient = ", ".join(f"{g:.7f}" for g in expected["gradient"])
    stated = f"{expected['log_density']:.10f} with gradient ({gradient})"
    assert stated in " ".join(README.split())


def test_worked_calls_of_the_readme_are_at_the_point_of_the_example() -> None:
    numbers = read("normal", "point")["unconstrained"]
    point = "[" + ", ".join(f"{x:g}" for x in numbers) + "]"
    words = " ".join(f"{x:g}" for x in numbers)
    for language, name in (
        ("python", point),
        ("julia", point),
        ("r", f"c({point[1:-1]})"),
        ("sh", f"Rscript examples/density.R normal.so {EXAMPLE} {words}"),
        ("sh", f"node examples/density.js normal.so {EXAMPLE} {words}"),
    ):
        assert any(name in block for block in blocks(language)), name


def test_python_calls_of_the_readme_run_as_they_stand() -> None:
    schema, sampling, density, _ = blocks("python")
    script = "\n".join(
        [
            "import logging; logging.disable()",
            schema,
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
    assert lp == pytest.approx(
        read("normal", "expected")["log_density"], abs=DENSITY_ATOL
    )
    assert gradient == pytest.approx(read("normal", "expected")["gradient"], abs=1e-9)


def test_command_line_of_the_readme_runs_as_it_stands(tmp_path: Path) -> None:
    command = next(block for block in blocks("sh") if block.startswith("./normal"))
    (tmp_path / "normal").symlink_to(executable("normal"))
    shutil.copytree(STAN / "examples", tmp_path / "examples")
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    lines = (tmp_path / "draws.csv").read_text().splitlines()
    rows = [line for line in lines if line and not line.startswith("#")]
    assert len(rows) == 1 + 1000
    assert {"mu", "tau", "rho"} <= set(rows[0].split(","))


def test_shell_scripts_of_the_readme_run_as_it_says(tmp_path: Path) -> None:
    (tmp_path / "normal").symlink_to(executable("normal"))
    (tmp_path / "examples").symlink_to(EXAMPLES)
    (commands,) = (b for b in blocks("sh") if b.startswith("sh examples/"))
    for command in commands.splitlines():
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
