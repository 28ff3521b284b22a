"""A program's shared library, through the unmodified BridgeStan client and ctypes."""

from __future__ import annotations

import contextlib
import ctypes
import io
import itertools
import json
import resource
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import bridgestan
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

REFERENCE = Path(__file__).parent / "reference"
DATA = REFERENCE / "data.json"
DATA_WITHOUT_PARAMETERS = REFERENCE / "data_no_parameters.json"

# The same sums in another order; the values are near 30.
DENSITY_ATOL = 1e-10
# exp and log, or a logistic and its inverse, one after the other.
ROUND_TRIP_ATOL = 1e-12
# Central differences with a step of 1e-5 lose about 1e-10 / 1e-5 to rounding.
DIFFERENCE_STEP = 1e-5
DIFFERENCE_RTOL = 1e-6
DIFFERENCE_ATOL = 1e-6
# 18 printed digits hold a double; unconstraining rho near 1 loses a few of them.
CSV_ATOL = 1e-9
# What a leak of every message or model would far exceed.
LEAK_LIMIT_KB = 4_000

BOTH = (False, True)
FLAGS = list(itertools.product(BOTH, BOTH))
POINTS = [
    np.array([0.2, -1.0, 0.5]),
    np.array([-0.4, 0.3, -2.0]),
    np.array([0.0, 0.0, 0.0]),
    np.array([1.5, -3.0, 3.0]),
]

FloatArray = NDArray[np.float64]


class Program(Protocol):
    library: Path


def open_model(
    program: Program, data: Path | str | dict[str, Any] | None, **kwargs: Any
) -> bridgestan.StanModel:
    # The client warns at every second opening of one file, whatever the library.
    return bridgestan.StanModel(program.library, data, warn=False, **kwargs)


@pytest.fixture
def model(reference_program: Program) -> bridgestan.StanModel:
    return open_model(reference_program, DATA)


@pytest.fixture
def empty_model(reference_program: Program) -> bridgestan.StanModel:
    return open_model(reference_program, DATA_WITHOUT_PARAMETERS)


@pytest.fixture
def talking(talking_program: Program) -> bridgestan.StanModel:
    return open_model(talking_program, {"K": 2})


@pytest.fixture
def raw(reference_program: Program) -> ctypes.CDLL:
    return ctypes.CDLL(str(reference_program.library))


def reference_density(
    mu: float, tau: float, rho: float, free: bool, propto: bool, jacobian: bool
) -> float:
    """Log density of the reference program, cluster by cluster with matrices."""
    data = json.loads(DATA.read_text())
    y, se = np.array(data["y"]), np.array(data["se"])
    centre = np.arctanh(mu / np.sqrt(mu**2 + 4))
    total = 0.0
    for start, size in zip(data["start"], data["len"], strict=True):
        rows = slice(start - 1, start - 1 + size)
        covariance = (tau / 2) ** 2 * (
            rho * np.ones((size, size)) + (1 - rho) * np.eye(size)
        ) + np.diag(se[rows] ** 2)
        r = y[rows] - centre
        total -= 0.5 * (
            size * np.log(2 * np.pi)
            + np.linalg.slogdet(covariance)[1]
            + r @ np.linalg.solve(covariance, r)
        )
    if not free:
        return float(total)
    total += -0.5 * mu**2 - (0 if propto else 0.5 * np.log(2 * np.pi))
    total += np.log(0.15) - 2 * np.log(tau) - 0.15 / tau
    if jacobian:
        total += np.log(tau) + np.log(rho) + np.log1p(-rho)
    return float(total)


def central_differences(
    f: Callable[[FloatArray], Any], x: FloatArray
) -> NDArray[np.float64]:
    steps = DIFFERENCE_STEP * np.eye(x.size)
    return np.array([(f(x + h) - f(x - h)) / (2 * DIFFERENCE_STEP) for h in steps])


def pointer(array: NDArray[np.float64]) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_double))


def take_message(library: ctypes.CDLL, err: ctypes.c_void_p) -> str:
    assert err.value, "no message was set"
    text = ctypes.string_at(err.value).decode()
    library.bs_free_error_msg(err)
    return text


# ---- identity ---------------------------------------------------------------------


def test_client_opens_the_library_without_a_warning(
    reference_program: Program, tmp_path: Path
) -> None:
    fresh = shutil.copy(reference_program.library, tmp_path / "fresh.so")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = bridgestan.StanModel(fresh, DATA)
    assert model.model_version() == (2, 9, 0)


def test_model_tells_its_name_and_how_it_was_built(
    model: bridgestan.StanModel,
) -> None:
    assert model.name() == "hierarchical_reference_model"
    info = model.model_info()
    # What BridgeStan's own tests of a library look for.
    assert info.startswith("BridgeStan version: 2.9.0")
    assert "pyrobma" in info
    assert "STAN_THREADS=false" in info
    assert "Stan version: 2.35.0" in info
    assert "stanc_version = stanc3 v2.35.0" in info


def test_only_the_interface_is_exported(reference_program: Program) -> None:
    nm = shutil.which("nm")
    assert nm is not None, "nm comes with g++"
    listing = subprocess.run(
        [nm, "-D", "--defined-only", str(reference_program.library)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = {line.split()[-1] for line in listing.splitlines()}
    functions = {
        "model_construct",
        "model_destruct",
        "free_error_msg",
        "name",
        "model_info",
        "param_num",
        "param_unc_num",
        "param_names",
        "param_unc_names",
        "param_constrain",
        "param_unconstrain",
        "param_unconstrain_json",
        "log_density",
        "log_density_gradient",
        "log_density_hessian",
        "log_density_hessian_vector_product",
        "rng_construct",
        "rng_destruct",
    }
    expected = {f"bs_{name}" for name in functions}
    expected |= {f"bs_{name}_R" for name in functions | {"version"}}
    expected |= {"bs_set_print_callback", "bs_param_initialize"}
    expected |= {f"bs_{part}_version" for part in ("major", "minor", "patch")}
    expected |= {
        "bs_x_pyrobma_log_density_many",
        "bs_x_pyrobma_param_constrain_many",
        "bs_x_pyrobma_param_unconstrain_many",
    }
    assert names == expected


def test_library_needs_nothing_but_the_system(reference_program: Program) -> None:
    nm, readelf = shutil.which("nm"), shutil.which("readelf")
    assert nm is not None, "nm comes with g++"
    assert readelf is not None, "readelf comes with g++"
    path = str(reference_program.library)
    undefined = subprocess.run(
        [nm, "-D", "-C", "--undefined-only", path],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "tbb::" not in undefined
    dynamic = subprocess.run(
        [readelf, "-d", path], check=True, capture_output=True, text=True
    ).stdout
    needed = {
        line.split("[")[1].rstrip("]").split(".so")[0]
        for line in dynamic.splitlines()
        if "(NEEDED)" in line
    }
    assert "libstdc++" in needed
    assert needed <= {"libstdc++", "libm", "libgcc_s", "libc", "ld-linux-x86-64"}


# ---- names and numbers ------------------------------------------------------------


def test_names_and_numbers_of_a_program_without_generated_quantities(
    model: bridgestan.StanModel,
) -> None:
    parameters = ["mu_.1", "tau_.1", "rho_.1"]
    assert model.param_unc_num() == 3
    assert model.param_unc_names() == parameters
    for tp, gq in FLAGS:
        expected = parameters + (["mu", "tau", "rho"] if tp else [])
        assert model.param_names(include_tp=tp, include_gq=gq) == expected
        assert model.param_num(include_tp=tp, include_gq=gq) == len(expected)


def test_names_and_numbers_of_a_program_with_every_block(
    talking: bridgestan.StanModel,
) -> None:
    parameters = ["a.1", "a.2", "b", "p.1", "p.2", "p.3"]
    assert talking.param_unc_num() == 5
    assert talking.param_unc_names() == ["a.1", "a.2", "b", "p.1", "p.2"]
    for tp, gq in FLAGS:
        expected = parameters + ["ab"] * tp + ["z", "seen"] * gq
        assert talking.param_names(include_tp=tp, include_gq=gq) == expected
        assert talking.param_num(include_tp=tp, include_gq=gq) == len(expected)


# ---- transforms -------------------------------------------------------------------


@pytest.mark.parametrize("unc", POINTS)
def test_constraining_is_the_declared_transform(
    model: bridgestan.StanModel, unc: FloatArray
) -> None:
    constrained = [unc[0], np.exp(unc[1]), expit(unc[2])]
    np.testing.assert_allclose(
        model.param_constrain(unc), constrained, atol=ROUND_TRIP_ATOL
    )
    np.testing.assert_allclose(
        model.param_constrain(unc, include_tp=True),
        constrained * 2,
        atol=ROUND_TRIP_ATOL,
    )


@pytest.mark.parametrize("unc", POINTS)
def test_unconstraining_inverts_constraining(
    model: bridgestan.StanModel, unc: FloatArray
) -> None:
    mu, tau, rho = constrained = model.param_constrain(unc)
    by_name = {"mu_": [mu], "tau_": [tau], "rho_": [rho]}
    for back in (
        model.param_unconstrain(constrained),
        model.param_unconstrain_json(by_name),
        model.param_unconstrain_json(json.dumps(by_name)),
    ):
        np.testing.assert_allclose(back, unc, atol=ROUND_TRIP_ATOL)


def test_a_simplex_makes_the_round_trip(talking: bridgestan.StanModel) -> None:
    unc = np.array([0.3, -0.7, 0.2, 1.0, -0.5])
    constrained = talking.param_constrain(unc)
    assert constrained.size == 6
    assert constrained[3:].sum() == pytest.approx(1)
    np.testing.assert_allclose(
        talking.param_unconstrain(constrained), unc, atol=ROUND_TRIP_ATOL
    )


# ---- densities and derivatives ----------------------------------------------------


@pytest.mark.parametrize("unc", POINTS)
@pytest.mark.parametrize(("propto", "jacobian"), FLAGS)
def test_log_density_is_that_of_the_formula(
    model: bridgestan.StanModel, unc: FloatArray, propto: bool, jacobian: bool
) -> None:
    expected = reference_density(
        unc[0], np.exp(unc[1]), expit(unc[2]), True, propto, jacobian
    )
    flags = {"propto": propto, "jacobian": jacobian}
    v = np.array([1.0, -2.0, 0.5])
    for value in (
        model.log_density(unc, **flags),
        model.log_density_gradient(unc, **flags)[0],
        model.log_density_hessian(unc, **flags)[0],
        model.log_density_hessian_vector_product(unc, v, **flags)[0],
        model.log_density_hessian_vector_product(unc, 0 * v, **flags)[0],
    ):
        assert value == pytest.approx(expected, abs=DENSITY_ATOL, rel=0)


@pytest.mark.parametrize("unc", POINTS)
@pytest.mark.parametrize(("propto", "jacobian"), FLAGS)
def test_derivatives_agree_with_central_differences(
    model: bridgestan.StanModel, unc: FloatArray, propto: bool, jacobian: bool
) -> None:
    flags = {"propto": propto, "jacobian": jacobian}
    tolerance = {"rtol": DIFFERENCE_RTOL, "atol": DIFFERENCE_ATOL}
    gradient = model.log_density_gradient(unc, **flags)[1]
    np.testing.assert_allclose(
        gradient,
        central_differences(lambda x: model.log_density(x, **flags), unc),
        **tolerance,
    )
    _, gradient_again, hessian = model.log_density_hessian(unc, **flags)
    np.testing.assert_array_equal(gradient_again, gradient)
    np.testing.assert_array_equal(hessian, hessian.T)
    np.testing.assert_allclose(
        hessian,
        central_differences(
            lambda x: model.log_density_gradient(x, **flags)[1].copy(), unc
        ),
        **tolerance,
    )
    for v in (np.array([1.0, -2.0, 0.5]), np.array([0.0, 0.0, 1e-3])):
        product = model.log_density_hessian_vector_product(unc, v, **flags)[1]
        np.testing.assert_allclose(product, hessian @ v, **tolerance)


def test_hessian_times_the_zero_vector_is_zero(model: bridgestan.StanModel) -> None:
    product = model.log_density_hessian_vector_product(POINTS[0], np.zeros(3))[1]
    np.testing.assert_array_equal(product, np.zeros(3))


def test_density_at_every_stored_draw_is_its_lp(model: bridgestan.StanModel) -> None:
    # The original's file; its one `~` statement drops its constant from lp__.
    lines = [
        line
        for line in (REFERENCE / "default.csv").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    header = lines[0].split(",")
    draws = np.array([[float(x) for x in line.split(",")] for line in lines[1:]])
    assert len(draws) == 200
    columns = [header.index(name) for name in model.param_names()]
    for row in draws:
        constrained = np.ascontiguousarray(row[columns])
        unc = model.param_unconstrain(constrained)
        np.testing.assert_allclose(
            model.param_constrain(unc), constrained, atol=ROUND_TRIP_ATOL
        )
        assert model.log_density(unc, propto=True, jacobian=True) == pytest.approx(
            row[header.index("lp__")], abs=CSV_ATOL, rel=0
        )


# ---- no parameters ----------------------------------------------------------------


def test_a_program_without_parameters_works_in_every_call(
    empty_model: bridgestan.StanModel,
) -> None:
    none = np.empty(0)
    assert empty_model.param_unc_num() == 0
    assert empty_model.param_num() == 0
    assert empty_model.param_names() == [""]
    assert empty_model.param_unc_names() == [""]
    assert empty_model.param_constrain(none).size == 0
    np.testing.assert_array_equal(
        empty_model.param_constrain(none, include_tp=True), np.zeros(3)
    )
    assert empty_model.param_unconstrain(none).size == 0
    json_values = {"mu_": [], "tau_": [], "rho_": []}
    assert empty_model.param_unconstrain_json(json_values).size == 0
    assert empty_model.param_initialize(empty_model.new_rng(1)).size == 0
    expected = reference_density(0, 0, 0, False, False, False)
    lp, gradient, hessian = empty_model.log_density_hessian(none, propto=False)
    assert lp == pytest.approx(expected, abs=DENSITY_ATOL, rel=0)
    assert gradient.shape == (0,)
    assert hessian.shape == (0, 0)
    assert empty_model.log_density(none, propto=False) == lp
    assert empty_model.log_density_gradient(none, propto=False)[0] == lp
    lp, product = empty_model.log_density_hessian_vector_product(
        none, none, propto=False
    )
    assert lp == pytest.approx(expected, abs=DENSITY_ATOL, rel=0)
    assert product.shape == (0,)


# ---- errors -----------------------------------------------------------------------


def test_broken_data_raise_with_the_reason(reference_program: Program) -> None:
    complete = json.loads(DATA.read_text())
    incomplete = {key: value for key, value in complete.items() if key != "se"}
    wrong_size = complete | {"y": complete["y"][:-1]}
    out_of_bounds = complete | {"has_rho": 2}
    for data, text in (
        ('{"N": ', "JSON"),
        ("this is not JSON", "JSON"),
        (None, "variable name=N"),
        (incomplete, "variable name=se"),
        (wrong_size, "variable name=y"),
        (out_of_bounds, "has_rho is 2, but must be less than or equal to 1"),
    ):
        with pytest.raises(RuntimeError, match=text):
            open_model(reference_program, data)


def test_construction_reads_a_file_named_json(raw: ctypes.CDLL, tmp_path: Path) -> None:
    raw.bs_model_construct.restype = ctypes.c_void_p
    err = ctypes.c_void_p()
    path = str(DATA).encode()
    handle = ctypes.c_void_p(raw.bs_model_construct(path, 1, ctypes.byref(err)))
    assert handle.value
    assert raw.bs_param_unc_num(handle) == 3
    raw.bs_model_destruct(handle)
    missing = str(tmp_path / "missing.json").encode()
    assert not raw.bs_model_construct(missing, 1, ctypes.byref(err))
    assert "missing.json" in take_message(raw, err)


def test_bad_parameters_raise_with_the_reason(model: bridgestan.StanModel) -> None:
    with pytest.raises(RuntimeError, match="greater than or equal to 0"):
        model.param_unconstrain(np.array([0.1, -0.2, 0.5]))
    with pytest.raises(RuntimeError, match="variable name=tau_"):
        model.param_unconstrain_json({"mu_": [0.1]})
    with pytest.raises(RuntimeError, match="JSON"):
        model.param_unconstrain_json("{")


def test_rejections_raise_in_every_block(talking: bridgestan.StanModel) -> None:
    too_large = np.array([0.0, 0.0, np.log(101.0), 0.0, 0.0])
    no_prediction = np.array([0.0, 0.0, np.log(51.0), 0.0, 0.0])
    for call in (
        talking.log_density,
        lambda x: talking.log_density(x, propto=False),
        talking.log_density_gradient,
        talking.log_density_hessian,
        lambda x: talking.log_density_hessian_vector_product(x, x),
        lambda x: talking.param_constrain(x, include_tp=True),
    ):
        with pytest.raises(RuntimeError, match="b is too large: 101"):
            call(too_large)
        call(no_prediction)
    rng = talking.new_rng(1)
    with pytest.raises(RuntimeError, match="no prediction for 51"):
        talking.param_constrain(no_prediction, include_gq=True, rng=rng)


def test_derivatives_are_right_after_a_rejection(
    talking: bridgestan.StanModel,
) -> None:
    good = np.array([0.3, -0.7, 0.2, 1.0, -0.5])
    before = talking.log_density_gradient(good)
    with pytest.raises(RuntimeError, match="too large"):
        talking.log_density_gradient(np.full(5, 9.0))
    after = talking.log_density_gradient(good)
    assert after[0] == before[0]
    np.testing.assert_array_equal(after[1], before[1])


def test_generated_quantities_without_a_generator_are_an_error(
    raw: ctypes.CDLL, model: bridgestan.StanModel
) -> None:
    err = ctypes.c_void_p()
    room = np.zeros(6)
    arguments = [pointer(POINTS[0]), pointer(room), None, ctypes.byref(err)]
    handle = ctypes.c_void_p(model.model)
    plain = (ctypes.c_bool(True), ctypes.c_bool(False))
    assert raw.bs_param_constrain(handle, *plain, *arguments) == 0
    with_gq = (ctypes.c_bool(True), ctypes.c_bool(True))
    assert raw.bs_param_constrain(handle, *with_gq, *arguments) == -1
    assert "rng" in take_message(raw, err)


def test_a_caller_may_decline_the_message(
    raw: ctypes.CDLL, model: bridgestan.StanModel
) -> None:
    bad, room = np.array([0.1, -0.2, 0.5]), np.zeros(3)
    handle = ctypes.c_void_p(model.model)
    assert raw.bs_param_unconstrain(handle, pointer(bad), pointer(room), None) == -1
    raw.bs_free_error_msg(None)


def memory_kb() -> int:
    # Not the peak: an earlier test may have set it higher than a leak would reach.
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def test_failing_calls_do_not_leak(model: bridgestan.StanModel) -> None:
    bad = np.array([0.1, -0.2, 0.5])

    def fail(times: int) -> None:
        for _ in range(times):
            with pytest.raises(RuntimeError):
                model.param_unconstrain(bad)

    fail(1_000)
    before = memory_kb()
    fail(40_000)
    assert memory_kb() - before < LEAK_LIMIT_KB


def test_models_and_failed_models_do_not_leak(reference_program: Program) -> None:
    data = DATA.read_text()
    bad = data.replace('"has_rho": 1', '"has_rho": 2')

    def build(times: int) -> None:
        for _ in range(times):
            model = open_model(reference_program, data)
            model.log_density_gradient(POINTS[0])
            with pytest.raises(RuntimeError, match="has_rho"):
                open_model(reference_program, bad)

    build(100)
    before = memory_kb()
    build(2_000)
    assert memory_kb() - before < LEAK_LIMIT_KB


# ---- initial values ---------------------------------------------------------------


def test_initial_values_are_drawn_within_the_radius(
    model: bridgestan.StanModel,
) -> None:
    points = np.array(
        [
            model.param_initialize(model.new_rng(seed), init_radius=0.5)
            for seed in range(50)
        ]
    )
    assert np.abs(points).max() < 0.5
    assert np.abs(points).max() > 0.4
    assert len(np.unique(points)) == points.size
    again = model.param_initialize(model.new_rng(7), init_radius=0.5)
    np.testing.assert_array_equal(again, points[7])


def test_initial_values_keep_what_is_given(model: bridgestan.StanModel) -> None:
    given = {"tau_": [0.25]}
    first = model.param_initialize(model.new_rng(1), given)
    second = model.param_initialize(model.new_rng(2), json.dumps(given))
    assert first[1] == pytest.approx(np.log(0.25), abs=ROUND_TRIP_ATOL)
    assert second[1] == first[1]
    assert np.all(first[[0, 2]] != second[[0, 2]])
    at_zero = model.param_initialize(model.new_rng(1), given, init_radius=0)
    np.testing.assert_allclose(at_zero, [0, np.log(0.25), 0], atol=ROUND_TRIP_ATOL)
    np.testing.assert_array_equal(
        model.param_initialize(model.new_rng(1), init_radius=0), np.zeros(3)
    )


def test_initial_values_are_drawn_again_until_the_density_is_finite(
    talking: bridgestan.StanModel,
) -> None:
    # About half of all points within this radius have b > 100 and are rejected.
    def succeeds(seed: int, max_tries: int) -> bool:
        try:
            talking.param_initialize(
                talking.new_rng(seed), init_radius=100, max_tries=max_tries
            )
        except RuntimeError:
            return False
        return True

    once = [succeeds(seed, 1) for seed in range(40)]
    assert any(once)
    assert not all(once)
    assert all(succeeds(seed, 60) for seed in range(40))


def test_failed_initialization_tells_attempts_and_reason(
    talking: bridgestan.StanModel, model: bridgestan.StanModel
) -> None:
    with pytest.raises(RuntimeError, match=r"after 7 attempts.*b is too large: 200"):
        talking.param_initialize(talking.new_rng(1), {"b": 200.0}, max_tries=7)
    everything = {"mu_": [0.1], "tau_": [-1.0], "rho_": [0.5]}
    with pytest.raises(RuntimeError, match=r"after 1 attempt.*Lower bounded"):
        model.param_initialize(model.new_rng(1), everything, max_tries=7)


def test_initialization_checks_its_arguments(model: bridgestan.StanModel) -> None:
    rng = model.new_rng(1)
    for radius in (-1.0, float("nan"), float("inf")):
        with pytest.raises(RuntimeError, match="init_radius"):
            model.param_initialize(rng, init_radius=radius)
    with pytest.raises(RuntimeError, match="max_tries"):
        model.param_initialize(rng, max_tries=0)
    with pytest.raises(RuntimeError, match="variable name=mu_"):
        model.param_initialize(rng, {"mu_": [0.1, 0.2]})
    with pytest.raises(RuntimeError, match="JSON"):
        model.param_initialize(rng, "{")


# ---- random numbers ---------------------------------------------------------------


def test_generators_with_one_seed_give_one_sequence(
    talking: bridgestan.StanModel,
) -> None:
    unc = np.array([0.3, -0.7, 0.2, 1.0, -0.5])

    def sequence(seed: int) -> FloatArray:
        rng = talking.new_rng(seed)
        return np.array(
            [
                talking.param_constrain(unc, include_gq=True, rng=rng)[6]
                for _ in range(2_000)
            ]
        )

    first = sequence(1)
    np.testing.assert_array_equal(sequence(1), first)
    assert not np.any(sequence(2) == first)
    ab = talking.param_constrain(unc, include_tp=True)[6]
    # Five standard errors of a mean of 2,000 standard normal numbers.
    assert first.mean() == pytest.approx(ab, abs=5 / np.sqrt(2_000))


def test_seed_of_the_model_drives_transformed_data(talking_program: Program) -> None:
    unc = np.zeros(5)

    def noise(seed: int) -> float:
        model = open_model(talking_program, {"K": 2}, seed=seed)
        rng = model.new_rng(1)
        return float(model.param_constrain(unc, include_gq=True, rng=rng)[7])

    assert noise(1) == noise(1)
    assert noise(1) != noise(2)


# ---- printed text -----------------------------------------------------------------


def test_prints_reach_python(
    talking_program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    model = open_model(talking_program, {"K": 2})
    assert capsys.readouterr().out == "data of size 2\n"
    unc = np.array([0.5, 0.25, 0.0, 0.0, 0.0])
    for call in (
        model.log_density,
        lambda x: model.log_density(x, propto=False),
        model.log_density_gradient,
    ):
        call(unc)
        assert capsys.readouterr().out == "evaluated at 1.75\n"
    model.log_density_hessian(unc)
    assert capsys.readouterr().out.count("evaluated at") == 11


def test_prints_go_to_standard_output_without_a_receiver(
    talking_program: Program, capfd: pytest.CaptureFixture[str]
) -> None:
    model = open_model(talking_program, {"K": 2})
    raw = ctypes.CDLL(str(talking_program.library))
    capfd.readouterr()
    assert raw.bs_set_print_callback(None, None) == 0
    # Takes what the client's receiver would print, so that only the library's own
    # writing is left to be seen.
    with contextlib.redirect_stdout(io.StringIO()):
        model.log_density(np.zeros(5))
    assert capfd.readouterr().out == "evaluated at 1\n"


def test_a_receiver_may_use_the_model(
    talking_program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    model = open_model(talking_program, {"K": 2})
    texts: list[bytes] = []

    @ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)
    def receive(text: Any, size: int) -> None:
        texts.append(ctypes.string_at(text, size))
        if len(texts) < 3:
            model.log_density_gradient(np.zeros(5))

    raw = ctypes.CDLL(str(talking_program.library))
    raw.bs_set_print_callback(receive, None)
    try:
        model.log_density_gradient(np.zeros(5))
    finally:
        raw.bs_set_print_callback(None, None)
    assert texts == [b"evaluated at 1\n"] * 3


def test_prints_of_several_threads_do_not_mix(talking_program: Program) -> None:
    model = open_model(talking_program, {"K": 2})
    texts: list[bytes] = []

    @ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)
    def receive(text: Any, size: int) -> None:
        texts.append(ctypes.string_at(text, size))

    def work(value: float) -> None:
        unc = np.array([value, 0.0, 0.0, 0.0, 0.0])
        for _ in range(100):
            model.log_density(unc, propto=False)
            model.log_density_gradient(unc)

    raw = ctypes.CDLL(str(talking_program.library))
    raw.bs_set_print_callback(receive, None)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, [1.0, 2.0, 3.0, 4.0]))
    finally:
        raw.bs_set_print_callback(None, None)
    expected = [f"evaluated at {value}\n".encode() for value in (2, 3, 4, 5)]
    assert {text: texts.count(text) for text in expected} == dict.fromkeys(
        expected, 200
    )
    assert len(texts) == 800


# ---- several libraries, several threads -------------------------------------------


def everything(model: bridgestan.StanModel, unc: FloatArray, seed: int) -> bytes:
    """Bytes of the results of all calls, to be compared bit by bit."""
    parts: list[Any] = []
    v = np.arange(1.0, unc.size + 1)
    for propto, jacobian in FLAGS:
        flags = {"propto": propto, "jacobian": jacobian}
        parts.append(model.log_density(unc, **flags))
        parts.extend(model.log_density_gradient(unc, **flags))
        parts.extend(model.log_density_hessian(unc, **flags))
        parts.extend(model.log_density_hessian_vector_product(unc, v, **flags))
    rng = model.new_rng(seed)
    constrained = model.param_constrain(unc)
    parts.append(model.param_constrain(unc, include_tp=True, include_gq=True, rng=rng))
    parts.append(model.param_unconstrain(constrained))
    parts.append(model.param_initialize(rng, init_radius=0.5))
    with pytest.raises(RuntimeError, match="JSON"):
        model.param_unconstrain_json("{")
    return b"".join(np.asarray(part, dtype=float).tobytes() for part in parts)


def test_two_libraries_in_one_process_are_independent(
    reference_program: Program, tmp_path: Path
) -> None:
    copy = shutil.copy(reference_program.library, tmp_path / "copy.so")
    first = open_model(reference_program, DATA)
    second = bridgestan.StanModel(copy, DATA_WITHOUT_PARAMETERS, warn=False)
    third = bridgestan.StanModel(copy, DATA, warn=False)
    expected = everything(first, POINTS[0], 1)
    assert everything(third, POINTS[0], 1) == expected
    assert second.param_unc_num() == 0
    # Two tapes: one lock each would not do if the libraries shared one.
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(
            lambda m: [everything(m, POINTS[0], 1) for _ in range(100)], [first, third]
        )
        assert all(got == expected for row in results for got in row)


def test_four_threads_get_the_results_of_one(
    reference_program: Program, talking_program: Program
) -> None:
    models = [
        open_model(reference_program, DATA),
        open_model(reference_program, DATA_WITHOUT_PARAMETERS),
        open_model(talking_program, {"K": 2}),
    ]
    raw = ctypes.CDLL(str(talking_program.library))

    @ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)
    def ignore(text: Any, size: int) -> None:
        pass

    raw.bs_set_print_callback(ignore, None)
    generator = np.random.default_rng(1)
    jobs = [
        (model, generator.normal(size=model.param_unc_num()), seed)
        for seed in range(8)
        for model in models
    ]
    expected = [everything(*job) for job in jobs]
    data = DATA.read_text()

    def work(offset: int) -> bool:
        order = jobs[offset:] + jobs[:offset]
        right = expected[offset:] + expected[:offset]
        for _ in range(20):
            if [everything(*job) for job in order] != right:
                return False
            built = open_model(reference_program, data)
            if built.param_unc_num() != 3:
                return False
        return True

    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, [0, 5, 11, 17]))
    finally:
        raw.bs_set_print_callback(None, None)


# ---- many points at once ----------------------------------------------------------


def log_density_many(
    model: bridgestan.StanModel, unc: FloatArray, propto: bool, jacobian: bool
) -> tuple[int, FloatArray, str]:
    library = model.stanlib
    lp = np.zeros(len(unc))
    err = ctypes.c_void_p()
    failures = library.bs_x_pyrobma_log_density_many(
        ctypes.c_void_p(model.model),
        ctypes.c_bool(propto),
        ctypes.c_bool(jacobian),
        len(unc),
        pointer(np.ascontiguousarray(unc)),
        pointer(lp),
        ctypes.byref(err),
    )
    text = ctypes.string_at(err.value).decode() if err.value else ""
    raw = ctypes.CDLL(model.lib_path)
    raw.bs_free_error_msg(err)
    return failures, lp, text


@pytest.mark.parametrize(("propto", "jacobian"), FLAGS)
def test_batch_density_equals_single_calls(
    model: bridgestan.StanModel, propto: bool, jacobian: bool
) -> None:
    unc = np.random.default_rng(2).normal(size=(50, 3))
    failures, lp, text = log_density_many(model, unc, propto, jacobian)
    single = [model.log_density(x, propto=propto, jacobian=jacobian) for x in unc]
    assert failures == 0
    assert text == ""
    np.testing.assert_array_equal(lp, single)


@pytest.mark.parametrize("propto", BOTH)
def test_batch_density_is_nan_where_the_program_rejects(
    talking: bridgestan.StanModel, propto: bool
) -> None:
    unc = np.zeros((5, 5))
    unc[[1, 3], 2] = np.log([101.0, 102.0])
    failures, lp, text = log_density_many(talking, unc, propto, True)
    assert failures == 2
    np.testing.assert_array_equal(np.isnan(lp), [False, True, False, True, False])
    assert lp[0] == talking.log_density(unc[0], propto=propto)
    assert "row 1" in text
    assert "b is too large: 101" in text


def test_batch_transforms_equal_single_calls(model: bridgestan.StanModel) -> None:
    library, handle = model.stanlib, ctypes.c_void_p(model.model)
    unc = np.random.default_rng(3).normal(size=(50, 3))
    for tp in BOTH:
        con = np.zeros((50, model.param_num(include_tp=tp)))
        assert (
            library.bs_x_pyrobma_param_constrain_many(
                handle, ctypes.c_bool(tp), 50, pointer(unc), pointer(con), None
            )
            == 0
        )
        single = [model.param_constrain(x, include_tp=tp) for x in unc]
        np.testing.assert_array_equal(con, single)
    con = np.array([model.param_constrain(x) for x in unc])
    back = np.zeros((50, 3))
    assert (
        library.bs_x_pyrobma_param_unconstrain_many(
            handle, 50, pointer(con), pointer(back), None
        )
        == 0
    )
    np.testing.assert_array_equal(back, [model.param_unconstrain(x) for x in con])


def test_batch_calls_name_the_failing_row(
    raw: ctypes.CDLL, model: bridgestan.StanModel, talking: bridgestan.StanModel
) -> None:
    err = ctypes.c_void_p()
    con = np.full((4, 3), 0.5)
    con[2, 1] = -1.0
    room = np.zeros((4, 3))
    code = raw.bs_x_pyrobma_param_unconstrain_many(
        ctypes.c_void_p(model.model),
        4,
        pointer(con),
        pointer(room),
        ctypes.byref(err),
    )
    assert code == -1
    message = take_message(raw, err)
    assert "row 2" in message
    assert "greater than or equal to 0" in message
    unc = np.zeros((4, 5))
    unc[3, 2] = np.log(101.0)
    code = talking.stanlib.bs_x_pyrobma_param_constrain_many(
        ctypes.c_void_p(talking.model),
        ctypes.c_bool(True),
        4,
        pointer(unc),
        pointer(np.zeros((4, 7))),
        ctypes.byref(err),
    )
    assert code == -1
    assert "row 3" in take_message(raw, err)


def test_batch_calls_refuse_wrong_arguments(
    raw: ctypes.CDLL, model: bridgestan.StanModel
) -> None:
    err = ctypes.c_void_p()
    handle, room = ctypes.c_void_p(model.model), np.zeros((1, 3))
    flags = (ctypes.c_bool(False), ctypes.c_bool(True))
    call = raw.bs_x_pyrobma_log_density_many
    for n, unc, text in ((-1, pointer(room), "n: "), (1, None, "NULL")):
        code = call(handle, *flags, n, unc, pointer(room), ctypes.byref(err))
        assert code == -1
        assert text in take_message(raw, err)
    assert call(None, *flags, 1, pointer(room), pointer(room), ctypes.byref(err)) == -1
    assert "model" in take_message(raw, err)
    assert call(handle, *flags, 0, None, None, None) == 0


# ---- the entry points for R -------------------------------------------------------


class R:
    """Calls `bs_<name>_R` with every argument by reference, as R's `.C` does."""

    def __init__(self, path: Path) -> None:
        self.library = ctypes.CDLL(str(path))

    def __call__(self, name: str, *arguments: Any) -> None:
        function = getattr(self.library, f"bs_{name}_R")
        function.restype = None
        function(
            *[
                pointer(argument)
                if isinstance(argument, np.ndarray)
                else ctypes.byref(argument)
                for argument in arguments
            ]
        )

    def text(self, name: str, *arguments: Any) -> str:
        text = ctypes.c_char_p()
        self(name, *arguments, text)
        assert text.value is not None
        return text.value.decode()


@pytest.fixture
def r_model(talking_program: Program) -> Iterator[tuple[R, ctypes.c_void_p]]:
    call, handle = R(talking_program.library), ctypes.c_void_p()
    message, freed = ctypes.c_char_p(), ctypes.c_void_p()
    data = ctypes.c_char_p(b'{"K": 2}')
    call("model_construct", data, ctypes.c_int(1), handle, message, freed)
    assert handle.value
    yield call, handle
    call("model_destruct", handle)


def test_r_functions_tell_names_and_numbers(
    r_model: tuple[R, ctypes.c_void_p], talking: bridgestan.StanModel
) -> None:
    call, handle = r_model
    version = [ctypes.c_int() for _ in range(3)]
    call("version", *version)
    assert tuple(part.value for part in version) == (2, 9, 0)
    assert call.text("name", handle) == talking.name()
    assert call.text("model_info", handle) == talking.model_info()
    unc_names = ",".join(talking.param_unc_names())
    assert call.text("param_unc_names", handle) == unc_names
    number = ctypes.c_int()
    call("param_unc_num", handle, number)
    assert number.value == 5
    for tp, gq in FLAGS:
        flags = ctypes.c_int(tp), ctypes.c_int(gq)
        names = talking.param_names(include_tp=tp, include_gq=gq)
        assert call.text("param_names", handle, *flags) == ",".join(names)
        call("param_num", handle, *flags, number)
        assert number.value == len(names)


def test_r_functions_compute_what_the_others_do(
    r_model: tuple[R, ctypes.c_void_p], talking: bridgestan.StanModel
) -> None:
    call, handle = r_model
    unc = np.array([0.3, -0.7, 0.2, 1.0, -0.5])
    v = np.array([1.0, 0.0, -1.0, 2.0, 0.5])
    one, zero = ctypes.c_int(1), ctypes.c_int(0)
    code = ctypes.c_int(99)
    end = (code, ctypes.c_char_p(), ctypes.c_void_p())

    rng = ctypes.c_void_p()
    call("rng_construct", ctypes.c_int(4), rng, *end[1:])
    constrained = np.zeros(9)
    call("param_constrain", handle, one, one, unc, constrained, rng, *end)
    assert code.value == 0
    np.testing.assert_array_equal(
        constrained[:8],
        talking.param_constrain(
            unc, include_tp=True, include_gq=True, rng=talking.new_rng(4)
        )[:8],
    )
    call("rng_destruct", rng)

    # R has no generator to pass here and sends a short integer instead.
    call("param_constrain", handle, zero, zero, unc, constrained, zero, *end)
    assert code.value == 0
    back = np.zeros(5)
    call("param_unconstrain", handle, constrained, back, *end)
    np.testing.assert_array_equal(back, talking.param_unconstrain(constrained[:6]))
    by_name = {"a": [0.3, -0.7], "b": 1.5, "p": [0.2, 0.3, 0.5]}
    text = ctypes.c_char_p(json.dumps(by_name).encode())
    call("param_unconstrain_json", handle, text, back, *end)
    np.testing.assert_array_equal(back, talking.param_unconstrain_json(by_name))

    lp, grad, hess = np.zeros(1), np.zeros(5), np.zeros((5, 5))
    for propto, jacobian in FLAGS:
        # Any non-zero number is true, as in R.
        flags = ctypes.c_int(2 * propto), ctypes.c_int(-3 * jacobian)
        expected = {"propto": propto, "jacobian": jacobian}
        call("log_density", handle, *flags, unc, lp, *end)
        assert lp[0] == talking.log_density(unc, **expected)
        call("log_density_gradient", handle, *flags, unc, lp, grad, *end)
        value, gradient = talking.log_density_gradient(unc, **expected)
        assert lp[0] == value
        np.testing.assert_array_equal(grad, gradient)
        call("log_density_hessian", handle, *flags, unc, lp, grad, hess, *end)
        np.testing.assert_array_equal(
            hess, talking.log_density_hessian(unc, **expected)[2]
        )
        call(
            "log_density_hessian_vector_product",
            handle,
            *flags,
            unc,
            v,
            lp,
            grad,
            *end,
        )
        value, product = talking.log_density_hessian_vector_product(unc, v, **expected)
        assert lp[0] == value
        np.testing.assert_array_equal(grad, product)
        assert code.value == 0


def test_r_functions_hand_over_messages(talking_program: Program) -> None:
    call, handle = R(talking_program.library), ctypes.c_void_p(1)
    message, to_free = ctypes.c_char_p(), ctypes.c_void_p()
    call(
        "model_construct",
        ctypes.c_char_p(b"{"),
        ctypes.c_int(1),
        handle,
        message,
        to_free,
    )
    assert handle.value is None
    assert message.value is not None
    assert b"JSON" in message.value
    assert to_free.value == ctypes.cast(message, ctypes.c_void_p).value
    call("free_error_msg", to_free)
