"""The C++ for the likelihood of counts against the functions of the Stan source."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import bridgestan
import numpy as np
import pytest
from normal_program import Array
from test_counts_density import Counts

from pyrobma.fit.quadrature import Rule

HERE = Path(__file__).parent
STAN = HERE.parents[1] / "stan"
FUNCTIONS = STAN / "functions"

# The same sums; log likelihoods far out are thousands.
VALUE_RTOL = 1e-12
# Where sd is next to nothing the sum has 12 widths of its mode to cover, exactly, and
# rounding decides whether with 12 steps or 13: they agree as far as the sum is exact.
EDGE_RTOL = 1e-9
# The Stan source differentiates the points of its sums too, the kernel leaves them
# where they are. The difference is what the sums leave out: exp(-18) of the mode of a
# true effect, times its distance, with refinement 1; nodes beyond 4.5, 8 or 15 widths
# of the mode of a common factor; and steps that are a little wide for true effects that
# spread by 50, with refinement 2. Relative to the largest derivative.
ALONE_RTOL = {1: 1e-6, 2: 1e-7, 4: 1e-9}
RULES = {Rule(0.75, 4.5): 3e-4, Rule(0.3, 8.0): 1e-5, Rule(0.1, 15.0, 2): 1e-7}

SIZES = (2, 4)
K = sum(SIZES)
# From before the first knot to far beyond the last one, 300 from the estimates.
MEANS = (-1000.0, -400.0, -5.0, 0.0, 3.0, 400.0, 1000.0)
SDS = (0.0, 1e-8, 0.3, 3.0, 50.0)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One library with the functions of the kernel and those of the Stan source."""
    # Building takes minutes; a directory named here is kept between sessions.
    kept = os.environ.get("PYROBMA_TEST_PROGRAMS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("both")
    made = folder / "counted_functions.so"
    if made.exists():
        return made
    source = tmp_path_factory.mktemp("source") / "stan"
    shutil.copytree(FUNCTIONS, source / "functions")
    shutil.copy(HERE / "counted_functions.stan", source)
    text = (FUNCTIONS / "counted.stanfunctions").read_text()
    own = re.findall(r"^\w+ (\w+)\(", text, flags=re.MULTILINE)
    renamed = re.sub(rf"\b({'|'.join(own)})\(", r"plain_\1(", text)
    (source / "functions" / "plain.stanfunctions").write_text(renamed)
    # The library alone: the executable has three samplers to compile.
    at = source.parent / "build"
    cmake = shutil.which("cmake") or str(Path(sys.executable).parent / "cmake")
    for options in (
        ["-S", STAN / "runtime", "-B", at, f"-DPython_EXECUTABLE={sys.executable}",
         f"-DPYROBMA_STAN_FILES={source / 'counted_functions.stan'}"],
        ["--build", at, "--parallel", "2", "--target", "counted_functions_library"],
    ):  # fmt: skip
        subprocess.run([cmake, *options], check=True, capture_output=True)
    folder.mkdir(exist_ok=True)
    shutil.copy(at / made.name, made)
    return made


def opened(path: Path, plain: bool, clusters: bool, rule: Rule) -> bridgestan.StanModel:
    tables = Counts().data()
    names = ("knots", "N", "knot", "log_h", "slope", "curvature")
    data: dict[str, Any] = {name: tables[name] for name in names} | {
        "plain": int(plain),
        "K": K,
        "refinement": rule.refinement,
        "L": len(SIZES) if clusters else 0,
        "start": [1, 1 + SIZES[0]] if clusters else [],
        "number": list(SIZES) if clusters else [],
        "Q": len(rule.nodes),
        "node": rule.nodes.tolist(),
        "log_weight": rule.log_weights.tolist(),
    }
    return bridgestan.StanModel(path, json.dumps(data), warn=False)


def points(load: float) -> dict[tuple[float, float], Array]:
    """Means, standard deviations and loadings of the studies, by mean and sd."""
    rng = np.random.default_rng(1)
    return {
        (mean, sd): np.r_[
            mean + 0.3 * rng.normal(size=K),
            sd * np.linspace(0.8, 1.2, K),
            load * (1 + 0.1 * rng.normal(size=K)),
        ]
        for mean in MEANS
        for sd in SDS
    }


def compare(
    path: Path, clusters: bool, rule: Rule, load: float, gradient_rtol: float
) -> None:
    kernel, plain = (opened(path, p, clusters, rule) for p in (False, True))
    for (mean, sd), point in points(load).items():
        value, gradient = kernel.log_density_gradient(point)
        expected, slopes = plain.log_density_gradient(point)
        size = max(1.0, abs(expected))
        atol = size * (EDGE_RTOL if sd == 1e-8 else VALUE_RTOL)
        assert value == pytest.approx(expected, rel=0, abs=atol), (mean, sd)
        if sd == 0:  # both take the likelihood itself
            assert np.all(gradient[K : 2 * K] == 0)
        atol = gradient_rtol * max(1.0, np.abs(slopes).max())
        np.testing.assert_allclose(
            gradient, slopes, rtol=0, atol=atol, err_msg=str((mean, sd))
        )


@pytest.mark.parametrize("refinement", ALONE_RTOL)
def test_kernel_sums_studies_alone_as_the_stan_source_does(
    refinement: int, both: Path
) -> None:
    rule = Rule(1.0, 0.0, refinement)
    compare(both, False, rule, 0.0, ALONE_RTOL[refinement])


@pytest.mark.parametrize("load", [0.0, 0.4, 5.0])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_kernel_sums_clusters_as_the_stan_source_does(
    rule: Rule, load: float, both: Path
) -> None:
    compare(both, True, rule, load, RULES[rule])


def test_log_density_without_derivatives_is_the_same(both: Path) -> None:
    for clusters in (False, True):
        model = opened(both, False, clusters, Rule(0.75, 4.5))
        for point in points(0.4).values():
            value, _ = model.log_density_gradient(point)
            assert model.log_density(point) == value
