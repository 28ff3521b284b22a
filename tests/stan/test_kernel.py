"""The C++ for the likelihood under selection against the Stan sources alone."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bridgestan
import numpy as np
import pytest
from normal_program import FREE, Array, spike
from selection_program import SelectionCase, case

from pyrobma.fit.quadrature import Rule
from pyrobma.programs import build, library, stan_file

# Sums of a thousand terms in another order, and other roundings of erfc: 1e-13.
RTOL = 1e-11
POINTS = 6


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that the installed Stan file gives without the kernel."""
    # Building takes minutes; a directory named here is kept between sessions.
    kept = os.environ.get("PYROBMA_TEST_PROGRAMS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("plain")
    if not (folder / "selection.so").exists():
        build(folder, sources=[stan_file("selection")])
    return folder / "selection.so"


def cases() -> Iterator[tuple[str, SelectionCase]]:
    """Every way through the program, and sizes that do not fill registers."""
    rule = Rule(0.4, 7.0)
    sizes = {
        "one": (1,), "alone": (1,) * 9, "pairs": (2, 2), "mixed": (1, 3, 2, 1, 5),
        "large": (22, 1, 7),
    }  # fmt: skip
    free = {p: FREE[p] for p in ("mu", "tau", "rho")}
    for label, each in sizes.items():
        for J in (2, 3, 4):
            for sides in (1, 2):
                yield f"{label} {J} {sides}", case(each, free, J, sides, rule=rule)
    mixed = sizes["mixed"]
    yield (
        "valley",
        case(
            mixed, free, z=(1.96, 0.0, -1.64), pi1=(0.4, 0.3, 0.3), pi2=(0.5, 0.5),
            rule=rule,
        ),
    )  # fmt: skip
    yield (
        "fixed weights that rise and fall",
        case(mixed, free, J=4, omega=(1.0, 0.3, 0.6, 0.2), rule=rule),
    )
    yield (
        "two-sided ones",
        case(mixed, free, J=4, sides=2, omega=(0.4, 1.0, 0.1, 0.7), rule=rule),
    )
    yield "few nodes", case(mixed, free, rule=Rule(0.75, 0.75))
    yield "rho 1", case(mixed, free | {"rho": spike(1.0)}, rule=rule)
    yield "tau 0", case(mixed, free | {"tau": spike(0.0)}, rule=rule)
    yield "the other direction", case(mixed, free, direction=-1, rule=rule)
    bias = free | {"PET": FREE["PET"], "PEESE": FREE["PEESE"]}
    for data in ("d", "z", "r", "logOR"):
        for prior in ("d", "z", "r", "logOR"):
            for exact in (False, True):
                yield (
                    f"{prior} for {data}, {exact}",
                    case(
                        mixed, bias, data_measure=data, prior_measure=prior,
                        exact=exact, rule=rule,
                        changes=moderated(mixed),
                    ),
                )  # fmt: skip
    for label in ("large", "mixed", "alone"):
        for sides in (1, 2):
            each = sizes[label]
            yield (
                f"heterogeneity of each row, {label} {sides}",
                case(each, free, sides=sides, rule=rule, changes=scaled(each)),
            )
    yield (
        "and correlations for it",
        case(
            mixed, bias, data_measure="logOR", prior_measure="d", rule=rule,
            changes=moderated(mixed) | scaled(mixed) | {
                "intercept": np.linspace(0.5, 1.5, sum(mixed)).tolist(),
                "loading": np.linspace(-1.0, 1.2, sum(mixed)).tolist(),
            },
        ),
    )  # fmt: skip
    yield (
        "loadings and intercepts",
        case(
            mixed, free, rule=rule,
            changes={
                "intercept": np.linspace(0.5, 1.5, sum(mixed)).tolist(),
                "loading": np.linspace(-1.0, 1.2, sum(mixed)).tolist(),
            },
        ),
    )  # fmt: skip


def moderated(sizes: tuple[int, ...]) -> dict[str, Any]:
    """Two moderators, one of them fixed, before PET and PEESE."""
    rng = np.random.default_rng(5)
    return {"P": 2, "x": (0.3 * rng.normal(size=(sum(sizes), 2))).tolist()}


def scaled(sizes: tuple[int, ...]) -> dict[str, Any]:
    """Two moderators of heterogeneity, the second of them fixed."""
    rng = np.random.default_rng(6)
    return {"S": 2, "w": (0.5 * rng.normal(size=(sum(sizes), 2))).tolist()}


def data(subject: SelectionCase) -> str:
    found = subject.data()
    P, S = found["P"], found["S"]
    for name, mine in {
        "family": [1, 0], "par": [[0.0, 1.0, 0.0], [0.2, 0.0, 0.0]],
        "low": ["-Infinity"] * 2, "high": ["Infinity"] * 2,
    }.items():  # fmt: skip
        old = found[name]
        found[name] = [*old[:3], *mine[:P], *old[3:], *mine[:S]]
    return (
        json.dumps(found)
        .replace('"Infinity"', "Infinity")
        .replace('"-Infinity"', "-Infinity")
    )


def evaluate(model: bridgestan.StanModel, points: Array) -> Array:
    """Log densities and gradients, NaN where the program refuses."""
    rows = np.full((len(points), 1 + points.shape[1]), np.nan)
    for row, point in zip(rows, points, strict=True):
        try:
            row[0], row[1:] = model.log_density_gradient(point, propto=False)
        except RuntimeError:
            continue
    return rows


def points(dimension: int) -> Array:
    """From the middle to far out in the tails, where weights are 1e-9 and less."""
    rng = np.random.default_rng(11)
    spread = np.repeat([0.5, 1.5, 6.0], POINTS // 3)[:, None]
    return np.asarray(spread * rng.normal(size=(POINTS, dimension)))


NAMED = dict(cases())


def everything(path: Path) -> dict[str, Array]:
    found = {}
    for label, subject in NAMED.items():
        model = bridgestan.StanModel(path, data(subject), warn=False)
        found[label] = evaluate(model, points(model.param_unc_num()))
    return found


def assert_equal(found: dict[str, Array], expected: dict[str, Array]) -> None:
    """Each relative to the largest number of its row: the terms cancel to less."""
    finite = 0
    for label, rows in expected.items():
        known = np.isfinite(rows).all(axis=1)
        finite += int(known.sum())
        mine = found[label]
        assert np.array_equal(np.isfinite(mine).all(axis=1), known), label
        size = np.maximum(np.abs(rows[known]).max(axis=1, keepdims=True), 1.0)
        assert np.all(np.abs(mine[known] - rows[known]) <= RTOL * size), label
    assert finite > 300


def test_the_kernel_gives_the_densities_and_gradients_of_the_stan_file(plain):
    assert_equal(everything(library("selection")), everything(plain))


def kernel(path: Path) -> str | None:
    handle = ctypes.CDLL(str(path))
    if not hasattr(handle, "bs_x_pyrobma_kernel"):
        return None
    handle.bs_x_pyrobma_kernel.restype = ctypes.c_char_p
    return str(handle.bs_x_pyrobma_kernel().decode())


def test_the_plain_program_has_no_kernel_and_the_packages_has(plain):
    assert kernel(plain) is None
    assert kernel(library("selection")) in ("generic", "avx2", "avx512")


SCRIPT = """
import pickle, sys
from pathlib import Path
sys.path[:0] = {path!r}
import test_kernel as t
sys.stdout.buffer.write(pickle.dumps(t.everything(Path({library!r}))))
"""


UNKNOWN = """
import bridgestan, numpy as np
import sys
from pathlib import Path
sys.path[:0] = {path!r}
import test_kernel as t
model = bridgestan.StanModel(Path({library!r}), t.data(t.NAMED["one 2 1"]), warn=False)
try:
    model.log_density(np.zeros(model.param_unc_num()))
except RuntimeError as error:
    print(error)
"""


def processors() -> set[str]:
    """What this processor runs, from the kernel's own list."""
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            UNKNOWN.format(path=sys.path, library=str(library("selection"))),
        ],
        env=os.environ | {"PYROBMA_KERNEL": "none"},
        capture_output=True,
        text=True,
        check=True,
    )
    _, _, listed = run.stdout.partition("runs ")
    return set(listed.partition(";")[0].split(", "))


@pytest.mark.parametrize("name", ["generic", "avx2", "avx512"])
def test_every_processors_kernel_gives_the_same(name, plain):
    if name not in processors():
        pytest.skip(f"this processor has no {name}")
    script = SCRIPT.format(path=sys.path, library=str(library("selection")))
    run = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYROBMA_KERNEL": name},
        capture_output=True,
        check=True,
    )
    assert_equal(pickle.loads(run.stdout), everything(plain))


def test_an_unknown_kernel_is_refused_with_those_there_are(plain):
    assert processors() >= {"generic"}
