"""The executables speak CmdStan's protocol: CmdStan's files, CmdStanPy's calls."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import cmdstanpy
import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

REFERENCE = Path(__file__).parent / "reference"
COMMANDS = dict(
    line.split(": ", 1)
    for line in (REFERENCE / "commands.txt").read_text().splitlines()
)

COMMON = "data file=data.json output file=o.csv"

# Lines that tell of the build and of the moment, not of the run.
CIRCUMSTANCES = ("# start_datetime", "# model", "# stancflags", "# stanc_version")

# Both optimizers stop at a gradient of about 1e-5 around a curvature of about 10.
OPTIMUM_TOLERANCE = 1e-4
# The density is a sum of some hundred terms of size 1, in two orders of summation.
DENSITY_TOLERANCE = 1e-10

FINITE_FIT: dict[str, Any] = {
    "chains": 1,
    "seed": 11,
    "iter_warmup": 100,
    "iter_sampling": 50,
    "show_progress": False,
    "sig_figs": 17,
}


class Program(Protocol):
    executable: Path
    library: Path


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return dict(json.loads((REFERENCE / "data.json").read_text()))


@pytest.fixture(scope="module")
def model(reference_program: Program) -> cmdstanpy.CmdStanModel:
    return cmdstanpy.CmdStanModel(exe_file=str(reference_program.executable))


def fit_sample(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any], **settings: Any
) -> cmdstanpy.CmdStanMCMC:
    return model.sample(data, **{**FINITE_FIT, **settings})


def read_rows(path: Path) -> npt.NDArray[np.float64]:
    lines = [line for line in path.read_text().splitlines() if line[:1] != "#"]
    return np.array([line.split(",") for line in lines[1:]], dtype=np.float64)


def names_of(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    return next(line for line in lines if not line.startswith("#")).split(",")


def log_density(
    unconstrained: npt.NDArray[np.float64], data: dict[str, Any], *, jacobian: bool
) -> float:
    """The density of hierarchical_reference.stan, from its covariance matrices."""
    mu, tau = unconstrained[0], np.exp(unconstrained[1])
    rho = 1 / (1 + np.exp(-unconstrained[2]))
    total = -0.5 * mu**2 - 0.5 * np.log(2 * np.pi)
    total += np.log(0.15) - 2 * np.log(tau) - 0.15 / tau
    if jacobian:
        total += np.log(tau) + np.log(rho) + np.log1p(-rho)
    mean = np.arctanh(mu / np.sqrt(mu**2 + 4))
    y, v = np.array(data["y"]), np.square(data["se"])
    variance = (tau / 2) ** 2
    for start, length in zip(data["start"], data["len"], strict=True):
        rows = slice(start - 1, start - 1 + length)
        covariance = np.diag(v[rows] + variance * (1 - rho)) + variance * rho
        residual = y[rows] - mean
        total -= 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]
        total -= 0.5 * residual @ np.linalg.solve(covariance, residual)
    return float(total)


# --- what CmdStan writes -------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_csv_equals_that_of_cmdstan_byte_for_byte(
    name: str, run: Run, tmp_path: Path
) -> None:
    def lines(path: Path) -> list[str]:
        return [
            line
            for line in path.read_text().splitlines()
            if not line.startswith(CIRCUMSTANCES) and " seconds (" not in line
        ]

    result = run(COMMANDS[name])
    assert result.returncode == 0, result.stdout
    assert lines(tmp_path / f"{name}.csv") == lines(REFERENCE / f"{name}.csv")


def test_csv_names_the_program_and_its_compiler(run: Run, tmp_path: Path) -> None:
    run(COMMANDS["no_parameters"])
    lines = (tmp_path / "no_parameters.csv").read_text().splitlines()
    keys = [line.split(" = ")[0] for line in lines]
    reference = (REFERENCE / "no_parameters.csv").read_text().splitlines()
    assert keys[3:5] == ["# model", "# start_datetime"]
    assert lines[3].endswith("_model")
    assert keys.index("# stancflags") == [
        line.split(" = ")[0] for line in reference
    ].index("# stancflags")
    assert "# stanc_version = stanc3 v2.35.0" in lines


def test_timing_block_keeps_its_blanks(run: Run, tmp_path: Path) -> None:
    run(COMMANDS["fixed_param"])
    block = (tmp_path / "fixed_param.csv").read_text().splitlines()[-5:]
    assert block[0] == block[4] == "# "
    assert block[1].startswith("#  Elapsed Time: ")
    assert [line.split("(")[-1] for line in block[1:4]] == [
        "Warm-up)",
        "Sampling)",
        "Total)",
    ]


def test_config_after_optimize_without_defaults(run: Run, tmp_path: Path) -> None:
    run(
        f"{COMMON} method=optimize algorithm=bfgs init_alpha=0.002 tol_obj=1e-11 "
        "jacobian=0 iter=500"
    )
    text = (tmp_path / "o.csv").read_text()
    expected = """\
# method = optimize
#   optimize
#     algorithm = bfgs
#       bfgs
#         init_alpha = 0.002
#         tol_obj = 1e-11
#         tol_rel_obj = 10000 (Default)
#         tol_grad = 1e-08 (Default)
#         tol_rel_grad = 1e+07 (Default)
#         tol_param = 1e-08 (Default)
#     jacobian = false (Default)
#     iter = 500
#     save_iterations = false (Default)
# id = 1 (Default)
"""
    assert expected in text


def test_console_begins_with_the_settings_of_the_csv(run: Run, tmp_path: Path) -> None:
    result = run(f"{COMMON} sample num_samples=5 num_warmup=5")
    settings, _ = result.stdout.split("\n\n", 1)
    written = (tmp_path / "o.csv").read_text().split("stanc_version")[0].splitlines()
    first = next(i for i, line in enumerate(written) if "method = " in line)
    assert settings.splitlines() == [
        line.removeprefix("# ") for line in written[first:-1]
    ]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("noext", "noext.csv"),
        ("a.b/noext", "a.b/noext.csv"),
        ("o.txt", "o.txt"),
        ("o.", "o..csv"),
        (".hidden", ".hidden.csv"),
    ],
)
def test_an_output_without_suffix_gets_that_of_cmdstan(
    given: str, written: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "a.b").mkdir()
    assert run(f"data file=data.json output file={given} optimize").returncode == 0
    assert (tmp_path / written).read_text().startswith("# stan_version_major")
    assert written == given or not (tmp_path / given).exists()


def test_a_device_keeps_its_name(run: Run) -> None:
    result = run("data file=data.json output file=/dev/stdout optimize")
    assert result.returncode == 0
    assert "\nlp__,mu_.1," in result.stdout


@pytest.mark.parametrize(
    ("command", "first", "present", "absent"),
    [
        ("sample help", "sample", "max_depth=10", "sig_figs"),
        ("method=sample help-all", "sample", "delta=0.8", "sig_figs"),
        ("sample adapt help", "adapt", "delta=0.8", "thin"),
        ("sample algorithm=hmc help", "hmc", "max_depth=10", "thin"),
        ("sample algorithm help", "algorithm=hmc", "fixed_param", "thin"),
        ("sample thin help", "thin=1", "at least 1", "delta"),
        ("output help", "output", "sig_figs=-1", "thin"),
        ("data file=no.json optimize iter=5 help", "optimize", "tol_grad", "thin"),
        ("id=2 help", "method=sample", "sig_figs", "no such argument"),
    ],
)
def test_help_tells_of_the_argument_before_it(
    command: str, first: str, present: str, absent: str, run: Run
) -> None:
    result = run(command)
    assert result.returncode == 0
    assert result.stdout.startswith(first)
    assert present in result.stdout
    assert absent not in result.stdout


# --- through CmdStanPy ---------------------------------------------------------------


def test_info_needs_no_cmdstan(model: cmdstanpy.CmdStanModel, run: Run) -> None:
    info = model.exe_info()
    assert (info["stan_version_major"], info["stan_version_minor"]) == ("2", "35")
    assert info["STAN_THREADS"] == "false"
    assert run("info").returncode == 0
    assert run("version").stdout.startswith("stan_version_major = 2\n")
    assert "num_samples=1000" in run("help").stdout


def test_chains_run_in_processes_of_their_own(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    fit = fit_sample(model, data, chains=3, seed=20231)
    draws = fit.draws()
    assert draws.shape == (50, 3, 13)
    assert not np.array_equal(draws[:, 0], draws[:, 1])
    alone = fit_sample(model, data, chain_ids=3, seed=20231)
    np.testing.assert_array_equal(alone.draws()[:, 0], draws[:, 2])


def test_seed_decides_the_draws(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    first, again, other = (
        fit_sample(model, data, seed=seed).draws() for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_fits_can_be_read_back(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    fit = fit_sample(model, data, chains=2, thin=2, save_warmup=True)
    back = cmdstanpy.from_csv(fit.runset.csv_files)
    assert isinstance(back, cmdstanpy.CmdStanMCMC)
    np.testing.assert_array_equal(
        back.draws(inc_warmup=True), fit.draws(inc_warmup=True)
    )
    assert fit.draws(inc_warmup=True).shape[0] == 50 + 25
    np.testing.assert_array_equal(back.step_size, fit.step_size)
    assert list(back.draws_pd().columns)[-6:] == [
        "mu_[1]",
        "tau_[1]",
        "rho_[1]",
        "mu",
        "tau",
        "rho",
    ]


def test_thinning_keeps_every_third_draw(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    # This program draws nothing in generated quantities, so the chain stays the same.
    all_draws = fit_sample(model, data, save_warmup=True).draws(inc_warmup=True)
    thinned = fit_sample(model, data, save_warmup=True, thin=3)
    warmup, sample = all_draws[:100:3], all_draws[100::3]
    np.testing.assert_array_equal(
        thinned.draws(inc_warmup=True), np.concatenate([warmup, sample])
    )


def test_zero_parameters_switch_to_fixed_param(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    null = {**data, "has_mu": 0, "has_tau": 0, "has_rho": 0}
    fit = fit_sample(model, null, chains=2)
    assert fit.draws_pd(["mu", "tau", "rho"]).shape == (100, 3)
    assert not fit.draws_pd(["mu", "tau", "rho"]).to_numpy().any()
    assert "mu_[1]" not in fit.column_names


def test_zero_length_parameters_have_no_column(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    fit = fit_sample(model, {**data, "has_mu": 0})
    assert fit.column_names[7:] == ("tau_[1]", "rho_[1]", "mu", "tau", "rho")


@pytest.mark.parametrize("as_file", [False, True])
def test_inits_are_where_the_chain_starts(
    as_file: bool, model: cmdstanpy.CmdStanModel, data: dict[str, Any], tmp_path: Path
) -> None:
    values = {"mu_": [0.25], "tau_": [0.5], "rho_": [0.125]}
    path = tmp_path / "start.json"
    path.write_text(json.dumps(values))
    inits: Any = str(path) if as_file else values
    fit = fit_sample(model, data, fixed_param=True, inits=inits)
    np.testing.assert_allclose(
        fit.draws_pd(["mu", "tau", "rho"]).iloc[0], [0.25, 0.5, 0.125], rtol=1e-15
    )


def test_inits_may_differ_between_chains_and_leave_parameters_out(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    inits = [{"mu_": [0.5]}, {"mu_": [-0.5], "no_parameter": 3}]
    fit = fit_sample(model, data, chains=2, fixed_param=True, inits=inits)
    np.testing.assert_array_equal(fit.stan_variable("mu")[[0, -1]], [0.5, -0.5])
    tau = fit.stan_variable("tau")
    assert tau[0] != tau[-1]


def test_init_radius_bounds_the_start_and_zero_is_the_centre(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    centre = fit_sample(model, data, fixed_param=True, inits=0)
    assert centre.draws_pd(["mu", "tau", "rho"]).iloc[0].tolist() == [0, 1, 0.5]
    near = fit_sample(model, data, chains=8, fixed_param=True, inits=0.25)
    mu = near.stan_variable("mu")
    assert np.abs(mu).max() <= 0.25
    assert np.abs(mu).max() > 0.1  # eight draws of a uniform variable


@pytest.mark.parametrize("metric", ["diag_e", "dense_e", "unit_e"])
@pytest.mark.parametrize("adapt_engaged", [True, False])
def test_every_metric_samples_the_posterior(
    metric: str,
    adapt_engaged: bool,
    model: cmdstanpy.CmdStanModel,
    data: dict[str, Any],
) -> None:
    fit = fit_sample(
        model,
        data,
        metric=metric,
        adapt_engaged=adapt_engaged,
        step_size=0.1,
        iter_warmup=300,
        iter_sampling=1500,
    )
    # Quadrature gives 0.180 (SD 0.084), 0.308 (0.056), 0.626 (0.141); the
    # limits are a third of an SD, five standard errors of 200 effective draws.
    means = fit.draws_pd(["mu", "tau", "rho"]).mean()
    assert abs(means["mu"] - 0.180) < 0.03
    assert abs(means["tau"] - 0.308) < 0.02
    assert abs(means["rho"] - 0.626) < 0.05
    assert fit.metric_type == metric
    if not adapt_engaged:
        assert fit.step_size[0] == 0.1
        if metric != "unit_e":
            expected = np.eye(3) if metric == "dense_e" else np.ones(3)
            np.testing.assert_array_equal(fit.inv_metric[0], expected)


@pytest.mark.parametrize(
    "inv_metric",
    [
        np.array([0.25, 0.5, 0.75]),
        np.array([[0.25, 0.125, 0], [0.125, 0.5, 0.0625], [0, 0.0625, 0.75]]),
    ],
    ids=["diag_e", "dense_e"],
)
def test_a_given_metric_is_used(
    inv_metric: npt.NDArray[np.float64],
    model: cmdstanpy.CmdStanModel,
    data: dict[str, Any],
) -> None:
    fit = fit_sample(
        model, data, inv_metric=inv_metric, adapt_engaged=False, step_size=0.25
    )
    np.testing.assert_array_equal(fit.inv_metric[0], inv_metric)
    unit = fit_sample(
        model, data, metric=fit.metric_type, adapt_engaged=False, step_size=0.25
    )
    assert not np.array_equal(fit.draws(), unit.draws())


@pytest.mark.parametrize("metric", ["diag_e", "dense_e"])
def test_adapted_metric_can_be_saved(metric: str, run: Run, tmp_path: Path) -> None:
    common = f"{COMMON} sig_figs=17 sample num_samples=10"
    hmc = f"algorithm=hmc metric={metric}"
    assert run(f"{common} adapt save_metric=1 {hmc}").returncode == 0
    saved = json.loads((tmp_path / "o_metric.json").read_text())
    assert saved["metric_type"] == metric
    inv_metric = saved["inv_metric"]
    assert np.array(inv_metric).shape == ((3, 3) if metric == "dense_e" else (3,))
    # Stan reads no strings, so the file as it stands is no metric file.
    (tmp_path / "given.json").write_text(json.dumps({"inv_metric": inv_metric}))
    again = f"adapt engaged=0 {hmc} metric_file=given.json stepsize=0.5"
    assert run(f"{common} {again}").returncode == 0
    lines = (tmp_path / "o.csv").read_text().splitlines()
    first = lines[lines.index("# Step size = 0.5") + 2].removeprefix("# ")
    row = np.atleast_2d(inv_metric)[0]
    # The adaptation block has six digits.
    np.testing.assert_allclose(np.array(first.split(","), float), row, rtol=1e-5)


@pytest.mark.parametrize(
    "command",
    [
        "data file=data.json output file=o.csv sample algorithm=fixed_param",
        "data file=data_no_parameters.json output file=o.csv sample",
    ],
)
def test_a_metric_that_is_not_there_is_not_saved_in_silence(
    command: str, run: Run, tmp_path: Path
) -> None:
    result = run(f"{command} num_samples=5 adapt save_metric=1")
    assert result.returncode == 0
    assert "save_metric=1: no metric file is written" in result.stdout
    assert not list(tmp_path.glob("*_metric*"))


def test_tree_depth_is_limited(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    fit = fit_sample(model, data, max_treedepth=2)
    assert fit.draws_pd("treedepth__")["treedepth__"].max() == 2


def test_step_size_jitters_between_its_limits(run: Run, tmp_path: Path) -> None:
    hmc = "adapt engaged=0 algorithm=hmc stepsize=0.5 stepsize_jitter=0.5"
    assert run(f"{COMMON} sample num_samples=100 {hmc}").returncode == 0
    step_size = read_rows(tmp_path / "o.csv")[:, 2]
    assert 0.25 <= step_size.min() < 0.35
    assert 0.65 < step_size.max() <= 0.75


def test_diagnostic_file_has_the_unconstrained_draws(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    fit = fit_sample(model, data, save_diagnostics=True, sig_figs=17)
    path = Path(fit.runset.diagnostic_files[0])
    draws = fit.draws()[:, 0]
    unconstrained = read_rows(path)
    np.testing.assert_array_equal(unconstrained[:, :7], draws[:, :7])
    position = unconstrained[:, 7:10]
    np.testing.assert_array_equal(position[:, 0], draws[:, 7])
    np.testing.assert_allclose(np.exp(position[:, 1]), draws[:, 8], rtol=1e-14)
    inverse_logit = 1 / (1 + np.exp(-position[:, 2]))
    np.testing.assert_allclose(inverse_logit, draws[:, 9], rtol=1e-14)
    names = ["mu_.1", "tau_.1", "rho_.1"]
    assert names_of(path)[7:] == names + [f"{p}_{n}" for p in "pg" for n in names]
    # lp__ leaves out the constant of the normal prior, which is written with `~`.
    expected = [log_density(row, data, jacobian=True) for row in position]
    np.testing.assert_allclose(
        draws[:, 0] - 0.5 * np.log(2 * np.pi), expected, rtol=0, atol=DENSITY_TOLERANCE
    )


def test_profile_file_is_accepted(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    assert fit_sample(model, data, save_profile=True).draws().shape[0] == 50


def test_progress_is_reported_line_by_line(run: Run) -> None:
    result = run(f"{COMMON} refresh=500 sample num_samples=1000 num_warmup=1000")
    progress = [line for line in result.stdout.splitlines() if "Iteration: " in line]
    assert progress == [
        "Iteration:    1 / 2000 [  0%]  (Warmup)",
        "Iteration:  500 / 2000 [ 25%]  (Warmup)",
        "Iteration: 1000 / 2000 [ 50%]  (Warmup)",
        "Iteration: 1001 / 2000 [ 50%]  (Sampling)",
        "Iteration: 1500 / 2000 [ 75%]  (Sampling)",
        "Iteration: 2000 / 2000 [100%]  (Sampling)",
    ]


def test_digits_round_trip(model: cmdstanpy.CmdStanModel, data: dict[str, Any]) -> None:
    full = fit_sample(model, data, sig_figs=17).draws()
    short = fit_sample(model, data, sig_figs=3).draws()
    exact = fit_sample(model, data, sig_figs=18).draws()
    np.testing.assert_array_equal(full, exact)
    np.testing.assert_allclose(short, full, rtol=5.1e-3)
    assert not np.array_equal(short, full)


def test_interrupted_run_leaves_its_draws(
    reference_program: Program, run: Run, tmp_path: Path
) -> None:
    arguments = f"{COMMON} sample num_samples=100000000"
    with subprocess.Popen(
        [reference_program.executable, *arguments.split()],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 10
        path = tmp_path / "o.csv"
        while time.monotonic() < deadline:
            if path.exists() and "# Step size" in path.read_text():
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == -signal.SIGTERM
    assert "# Step size" in path.read_text()


# --- optimize ------------------------------------------------------------------------


@pytest.mark.parametrize("jacobian", [False, True])
@pytest.mark.parametrize("algorithm", ["lbfgs", "bfgs", "newton"])
def test_optimum_is_that_of_the_density(
    algorithm: str,
    jacobian: bool,
    model: cmdstanpy.CmdStanModel,
    data: dict[str, Any],
) -> None:
    start = np.array([0.1, np.log(0.3), 0.0])
    inits = {"mu_": [0.1], "tau_": [0.3], "rho_": [0.5]}
    fit = model.optimize(
        data,
        algorithm=algorithm,
        jacobian=jacobian,
        inits=inits,
        seed=3,
        sig_figs=17,
    )
    best = minimize(lambda u: -log_density(u, data, jacobian=jacobian), start, tol=1e-8)
    tau, rho = np.exp(best.x[1]), 1 / (1 + np.exp(-best.x[2]))
    estimate = [fit.optimized_params_dict[name] for name in ("mu", "tau", "rho")]
    np.testing.assert_allclose(estimate, [best.x[0], tau, rho], atol=OPTIMUM_TOLERANCE)
    unconstrained = np.array(
        [estimate[0], np.log(estimate[1]), np.log(estimate[2] / (1 - estimate[2]))]
    )
    # lp__ leaves out the constant of the normal prior, which is written with `~`.
    assert fit.optimized_params_dict["lp__"] == pytest.approx(
        log_density(unconstrained, data, jacobian=jacobian) + 0.5 * np.log(2 * np.pi),
        abs=DENSITY_TOLERANCE,
    )


@pytest.mark.parametrize("algorithm", ["lbfgs", "bfgs", "newton"])
def test_without_parameters_the_optimum_is_the_only_point(
    algorithm: str, run: Run, tmp_path: Path
) -> None:
    result = run(
        "data file=data_no_parameters.json output file=o.csv sig_figs=17 "
        f"optimize algorithm={algorithm}"
    )
    assert result.returncode == 0, result.stdout
    # The effects are 0, and so is their spread: independent normal estimates.
    data = json.loads((REFERENCE / "data_no_parameters.json").read_text())
    y, se = np.array(data["y"]), np.array(data["se"])
    expected = norm.logpdf(y, 0, se).sum()
    assert names_of(tmp_path / "o.csv") == ["lp__", "mu", "tau", "rho"]
    np.testing.assert_allclose(
        read_rows(tmp_path / "o.csv"), [[expected, 0, 0, 0]], atol=DENSITY_TOLERANCE
    )


def test_jacobian_moves_the_optimum(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    modes = [
        model.optimize(data, seed=1, jacobian=jacobian).optimized_params_dict["tau"]
        for jacobian in (False, True)
    ]
    assert modes[1] > modes[0] + 0.001


def test_iterations_of_the_optimizer_can_be_saved(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    fit = model.optimize(
        data,
        seed=1,
        save_iterations=True,
        algorithm="lbfgs",
        iter=7,
        tol_obj=1e-10,
        tol_rel_obj=1.5,
        tol_grad=1e-9,
        tol_rel_grad=2.5,
        tol_param=1e-9,
        init_alpha=0.01,
        history_size=3,
        sig_figs=17,
    )
    rows = fit.optimized_iterations_np
    assert rows.shape == (8, 7)
    assert np.all(np.diff(rows[:, 0]) > 0)
    back = cmdstanpy.from_csv(fit.runset.csv_files)
    assert isinstance(back, cmdstanpy.CmdStanMLE)
    np.testing.assert_array_equal(back.optimized_params_np, fit.optimized_params_np)


# --- failures ------------------------------------------------------------------------


def assert_user_sees(
    model: cmdstanpy.CmdStanModel, data: Any, sentences: Sequence[str], **settings: Any
) -> None:
    with pytest.raises(RuntimeError) as failure:
        fit_sample(model, data, **settings)
    text = str(failure.value)
    for sentence in sentences:
        assert sentence in text


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        ({"K": None}, ["Exception: variable does not exist", "variable name=K"]),
        ({"K": 0}, ["Exception: ", "K is 0, but must be greater than or equal to 1"]),
        ({"K": 11.0}, ["Exception: int variable contained non-int values", "name=K"]),
        ({"K": 10}, ["Exception: mismatch in dimension declared", "name=start"]),
        ({"y": 3.0}, ["Exception: mismatch in number dimensions", "name=y"]),
        ({"has_mu": 2}, ["has_mu is 2, but must be less than or equal to 1"]),
    ],
    ids=["missing", "bound", "float", "size", "scalar", "upper"],
)
def test_bad_data_show_stans_own_sentence(
    change: dict[str, Any],
    sentences: list[str],
    model: cmdstanpy.CmdStanModel,
    data: dict[str, Any],
    tmp_path: Path,
) -> None:
    merged = {**data, **change}
    changed = {key: value for key, value in merged.items() if value is not None}
    path = tmp_path / "data.json"
    path.write_text(json.dumps(changed))
    assert_user_sees(model, str(path), sentences)


def test_malformed_json_is_one_line_with_file_offset_and_reason(
    model: cmdstanpy.CmdStanModel, tmp_path: Path
) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"N": 5, "K" 3}')
    assert_user_sees(
        model, str(path), ["broken.json", "Error in JSON parsing at offset 13: Missing"]
    )
    path.write_text("[1, 2]")
    assert_user_sees(model, str(path), ["broken.json", "Expecting JSON object"])
    path.write_text("")
    assert_user_sees(model, str(path), ["broken.json", "Error in JSON parsing"])


def test_bad_init_shows_the_last_rejection(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    sentences = ["Initialization failed", "Lower bounded variable is -1", "init file"]
    partial = {"tau_": [-1.0]}
    assert_user_sees(model, data, sentences, inits=partial)
    complete = {"tau_": [-1.0], "mu_": [0.0], "rho_": [0.5]}
    assert_user_sees(model, data, sentences, inits=complete)
    infinite = {"tau_": [1e200], "mu_": [0.0], "rho_": [0.5]}
    assert_user_sees(model, data, ["Initialization failed"], inits=infinite)


def test_init_of_wrong_dimensions_shows_stans_own_sentence(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    assert_user_sees(
        model,
        data,
        ["Exception: mismatch in number dimensions", "variable name=tau_"],
        inits={"tau_": 1.0},
    )


@pytest.mark.parametrize(
    ("metric", "inv_metric", "sentences"),
    [
        ("diag_e", [1, 1], ["mismatch in dimension", "name=inv_metric"]),
        ("diag_e", [1, 1, -1], ["not positive definite"]),
        ("diag_e", None, ["variable name=inv_metric"]),
        ("dense_e", [[1, 2, 0], [2, 1, 0], [0, 0, 1]], ["not positive definite"]),
        ("dense_e", [1, 1, 1], ["mismatch in number dimensions"]),
        # A metric this small leaves the chain where it is, however large the step.
        ("diag_e", [1e-300] * 3, ["Exception initializing step size", "improper"]),
    ],
)
def test_bad_metric_is_explained(
    metric: str, inv_metric: Any, sentences: list[str], run: Run, tmp_path: Path
) -> None:
    content = {} if inv_metric is None else {"inv_metric": inv_metric}
    (tmp_path / "bad_metric.json").write_text(json.dumps(content))
    hmc = f"algorithm=hmc metric={metric} metric_file=bad_metric.json"
    result = run(f"{COMMON} sample {hmc}")
    assert_failure(result, sentences)


def assert_failure(
    result: subprocess.CompletedProcess[str], sentences: Sequence[str]
) -> None:
    assert result.returncode == 1
    shown = [
        line for line in result.stdout.splitlines() if line.startswith(("Er", "Ex"))
    ]
    assert len(shown) == 1, result.stdout
    for sentence in sentences:
        assert sentence in shown[0]


@pytest.mark.parametrize(
    ("command", "sentences"),
    [
        ("", ["no arguments"]),
        ("nonsense", ['"nonsense" is not an argument']),
        (f"{COMMON} method=sample nonsense=1", ['"nonsense=1" is not an argument']),
        (f"{COMMON} method=sampling", ['"method"', "sample, optimize"]),
        (f"{COMMON} sample thin=1 thin=2", ["thin=2", "given twice"]),
        (f"{COMMON} sample thin=0", ['0 is not a valid value for "thin"']),
        (f"{COMMON} sample num_samples=1.5", ["1.5", '"num_samples"']),
        (f"{COMMON} sample num_samples=", ['"num_samples"', "integer"]),
        (f"{COMMON} sample num_samples=99999999999", ['"num_samples"']),
        (f"{COMMON} sample adapt delta=1", ['1 is not a valid value for "delta"']),
        (f"{COMMON} sample algorithm=hmc stepsize=nan", ["nan is not a valid value"]),
        (f"{COMMON} sample save_warmup=2", ['"save_warmup"', "0 or 1"]),
        (f"{COMMON} random seed=4294967296", ['"seed"', "4294967295"]),
        (f"{COMMON} sig_figs=19", ['"sig_figs"', "18"]),
        (f"{COMMON} sample num_warmup=0", ["num_warmup=0", "adaptation is engaged"]),
        (f"{COMMON} sample num_chains=0", ['"num_chains"', "at least 1"]),
        (f"{COMMON} id=4294967295 sample num_chains=2", ["num_chains=2", "ids"]),
        (f"{COMMON} num_threads=0", ['"num_threads"', "-1 for one per processor"]),
        (
            f"{COMMON} sample adapt engaged=0 save_metric=1",
            ["save_metric=1", "engaged=1"],
        ),
        ("data file=data.json output file=no/", ['"no/"', "path of a file"]),
        (f"{COMMON} init=-1", ['-1 is not a valid value for "init"', "radius"]),
        (f"{COMMON} init=nan", ['nan is not a valid value for "init"']),
        (f"{COMMON} init=inf", ['inf is not a valid value for "init"']),
        (f"{COMMON} init=1e3.json", ['init file "1e3.json"', "No such file"]),
        ("data file=none.json output file=o.csv", ['"none.json"', "No such file"]),
        ("data file=. output file=o.csv", ['data file "."', "Is a directory"]),
        ("output file=o.csv", ["Exception: ", "variable name=N"]),
        ("data file=data.json output file=no/o.csv", ['"no/o.csv"', "No such file"]),
        ("data file=data.json output file=/dev/full", ["/dev/full", "No space left"]),
        (
            "data file=data.json output file=/dev/full sig_figs=18 "
            "method=sample num_samples=5 num_warmup=5",
            ["/dev/full", "No space left"],
        ),
        (f"{COMMON} diagnostic_file=no/d.csv", ['"no/d.csv"', "No such file"]),
        (f"{COMMON} method=laplace mode=m.csv", ['"laplace"', '"optimize"']),
        (f"{COMMON} method=pathfinder", ['"pathfinder"', '"sample"']),
        (f"{COMMON} method=variational", ['"variational"']),
        (f"{COMMON} generate_quantities", ["fitted_params", "empty value"]),
        (f"{COMMON} log_prob jacobian=1", ['"log_prob"']),
        (f"{COMMON} diagnose", ['"diagnose"']),
        (f"{COMMON} sample algorithm=hmc engine=static", ['"static"', '"nuts"']),
    ],
)
def test_failure_ends_in_one_line_that_explains_it(
    command: str, sentences: list[str], run: Run
) -> None:
    started = time.monotonic()
    result = run(command)
    assert time.monotonic() - started < 5
    assert_failure(result, sentences)


def test_failed_line_search_is_named(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any]
) -> None:
    tolerances = ("tol_obj", "tol_rel_obj", "tol_grad", "tol_rel_grad", "tol_param")
    settings: dict[str, Any] = dict.fromkeys(tolerances, 1e-300)
    settings |= {"algorithm": "lbfgs", "seed": 1}
    with pytest.raises(RuntimeError, match=r"Error: .*Line search failed"):
        model.optimize(data, **settings)
    fit = model.optimize(data, **settings, require_converged=False)
    assert fit.optimized_params_dict["tau"] == pytest.approx(0.28, abs=0.05)


def test_a_message_of_several_lines_reaches_the_user_on_one(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "broken.json").write_text("{")
    result = run("data file=broken.json output file=o.csv")
    _, message = result.stdout.split("\n\n")
    assert message.count("\n") == 1


def test_paths_may_have_blanks_and_equals_signs(
    model: cmdstanpy.CmdStanModel, data: dict[str, Any], tmp_path: Path
) -> None:
    directory = tmp_path / "a = b"
    directory.mkdir()
    path = directory / "my data.json"
    path.write_text(json.dumps(data))
    fit = model.sample(str(path), output_dir=str(directory), **FINITE_FIT)
    assert Path(fit.runset.csv_files[0]).parent == directory
    assert fit.draws().shape[0] == 50


@pytest.mark.parametrize("in_warmup", [True, False])
def test_rejections_are_a_warning_only_after_warmup(
    in_warmup: bool,
    model: cmdstanpy.CmdStanModel,
    data: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    # A step this long has an infinite momentum, and the product with this metric is the
    # difference of two infinities: a position that the program rejects.
    inv_metric = np.array([[1.0, -0.4, 0.4], [-0.4, 1.0, -0.4], [0.4, -0.4, 1.0]])
    phase: dict[str, Any] = (
        {"iter_warmup": 1, "iter_sampling": 0}
        if in_warmup
        else {"iter_warmup": 0, "adapt_engaged": False}
    )
    fit = fit_sample(model, data, step_size=1e308, inv_metric=inv_metric, **phase)
    console = Path(fit.runset.stdout_files[0]).read_text()
    assert "Informational Message" in console
    assert "Exception: normal_lpdf: Random variable is" in console
    assert ("Exception" in caplog.text) is not in_warmup
