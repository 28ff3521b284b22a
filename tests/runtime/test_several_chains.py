"""One process for several chains: the draws and files of as many processes."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import cmdstanpy
import numpy as np
import pytest

from pyrobma.programs import executable

STAN = Path(__file__).parents[2] / "stan"
REFERENCE = Path(__file__).parent / "reference"
COMMANDS = dict(
    line.split(": ", 1)
    for line in (REFERENCE / "commands.txt").read_text().splitlines()
)
SHORT = "sample num_samples=60 num_warmup=80"
DIGITS = "sig_figs=17"
START = {"mu_": [0.2], "tau_": [0.4], "rho_": [0.5]}
INVERSE_METRIC = [0.01, 0.03, 0.4]

# At a time: after each other, all, and the second where the first has ended.
AT_ONCE = (1, 2, 3)


class Program(Protocol):
    executable: Path
    library: Path


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def sampled(path: Path) -> list[str]:
    """Return the lines of a chain: names, adapted values and draws."""
    lines = path.read_text().splitlines()
    header = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return [line for line in lines[header:] if " seconds (" not in line]


def settings(path: Path) -> dict[str, str]:
    lines = [line[1:] for line in path.read_text().splitlines() if line[:1] == "#"]
    pairs = [line.split(" = ", 1) for line in lines if " = " in line]
    return {key.strip(): value for key, value in pairs}


def run_well(run: Run, command: str, **environment: str) -> str:
    result = run(command, **environment)
    assert result.returncode == 0, result.stdout
    return str(result.stdout)


# --- draws ---------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", AT_ONCE)
def test_chains_are_those_of_cmdstan(at_once: int, run: Run, tmp_path: Path) -> None:
    # The references of CmdStan with ids 1 and 3 differ in nothing else.
    assert COMMANDS["chain3"] == (
        COMMANDS["default"].replace("id=1", "id=3").replace("default.csv", "chain3.csv")
    )
    command = COMMANDS["default"].replace("default.csv", "o.csv")
    command = command.replace(" algorithm", " num_chains=3 algorithm")
    run_well(run, f"num_threads={at_once} {command}")
    assert sampled(tmp_path / "o_1.csv") == sampled(REFERENCE / "default.csv")
    assert sampled(tmp_path / "o_3.csv") == sampled(REFERENCE / "chain3.csv")
    assert sampled(tmp_path / "o_2.csv") not in (
        sampled(tmp_path / "o_1.csv"),
        sampled(tmp_path / "o_3.csv"),
    )
    assert not (tmp_path / "o.csv").exists()


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize(
    "how",
    [
        "algorithm=hmc metric=dense_e",
        "algorithm=hmc metric=unit_e",
        "adapt engaged=0 algorithm=hmc stepsize=0.3",
        "save_warmup=1 thin=3",
        "algorithm=fixed_param",
    ],
)
def test_a_chain_is_that_of_a_process_with_its_id(
    how: str, at_once: int, run: Run, tmp_path: Path
) -> None:
    common = f"random seed=5 data file=data.json {SHORT} {how}"
    several = f"{common} num_chains=3 num_threads={at_once} id=4"
    run_well(run, f"{several} output file=o.csv {DIGITS}")
    for chain in (4, 5, 6):
        run_well(run, f"{common} id={chain} output file=alone.csv {DIGITS}")
        assert sampled(tmp_path / f"o_{chain}.csv") == sampled(tmp_path / "alone.csv")


def test_programs_without_parameters_have_chains_too(run: Run, tmp_path: Path) -> None:
    data = "data file=data_no_parameters.json"
    said = run_well(run, f"{data} output file=o.csv sample num_chains=2 num_samples=5")
    assert said.count("running fixed_param sampler") == 1
    assert sampled(tmp_path / "o_1.csv") == sampled(tmp_path / "o_2.csv")


def test_random_numbers_of_a_program_are_those_of_its_chain(
    talking_program: Any, tmp_path: Path
) -> None:
    # This program draws random numbers and rejects points.
    (tmp_path / "data.json").write_text('{"K": 3}')
    common = f"random seed=9 data file=data.json {SHORT}"
    several = f"{common} num_chains=3 output file=o.csv {DIGITS}"
    done = talking_program.run(several, tmp_path)
    assert done.returncode == 0, done.stdout
    for chain in (1, 2, 3):
        alone = f"{common} id={chain} output file=alone.csv {DIGITS}"
        assert talking_program.run(alone, tmp_path).returncode == 0
        assert sampled(tmp_path / f"o_{chain}.csv") == sampled(tmp_path / "alone.csv")


def test_command_of_the_readme_runs_as_it_stands(tmp_path: Path) -> None:
    readme = (STAN / "README.md").read_text()
    found = re.search(r"```sh\n\./normal (.* num_chains=4)\n```", readme)
    assert found
    shutil.copytree(STAN / "examples", tmp_path / "examples")
    subprocess.run([executable("normal"), *found[1].split()], cwd=tmp_path, check=True)
    assert len({len(sampled(tmp_path / f"draws_{i}.csv")) for i in range(1, 5)}) == 1


# --- files ---------------------------------------------------------------------------


def test_files_of_a_chain_have_its_id_before_the_suffix(
    run: Run, tmp_path: Path
) -> None:
    before = set(tmp_path.iterdir())
    run_well(
        run,
        f"id=7 data file=data.json output file=o.txt diagnostic_file=d {DIGITS} "
        f"{SHORT} num_chains=2 adapt save_metric=1",
    )
    names = {path.name for path in set(tmp_path.iterdir()) - before}
    assert names == {
        *("o_7.txt", "o_8.txt"),
        *("d_7.csv", "d_8.csv"),
        *("o_metric_7.json", "o_metric_8.json"),
    }
    for chain in (7, 8):
        # As CmdStan writes it: the settings are those of the command.
        said = settings(tmp_path / f"o_{chain}.txt")
        assert said["num_chains"] == "2"
        assert (said["id"], said["file"]) == ("7", "o.txt")
        adapted = next(
            line
            for line in sampled(tmp_path / f"o_{chain}.txt")
            if line.startswith("# ") and line.count(",") == 2
        )
        saved = json.loads((tmp_path / f"o_metric_{chain}.json").read_text())
        # The adaptation block has six digits.
        np.testing.assert_allclose(
            saved["inv_metric"],
            np.array(adapted.removeprefix("# ").split(","), float),
            rtol=1e-5,
        )


def test_chains_have_inits_and_metrics_of_their_own_or_share_one(
    run: Run, tmp_path: Path
) -> None:
    for chain in (3, 4):
        start = {**START, "mu_": [chain / 10]}
        (tmp_path / f"start_{chain}.json").write_text(json.dumps(start))
        metric = {"inv_metric": [m * chain for m in INVERSE_METRIC]}
        (tmp_path / f"m_{chain}.json").write_text(json.dumps(metric))
    (tmp_path / "start.json").write_text(json.dumps({**START, "mu_": [-1]}))
    common = (
        f"id=3 random seed=2 data file=data.json init=start.json {SHORT} num_chains=2 "
        "adapt engaged=0"
    )
    hmc = "algorithm=hmc stepsize=0.25 metric_file=m.json"
    said = run_well(run, f"{common} {hmc} output file=o.csv")
    assert "All chains" not in said
    for chain in (3, 4):
        lines = sampled(tmp_path / f"o_{chain}.csv")
        assert f"# {', '.join(f'{m * chain:g}' for m in INVERSE_METRIC)}" in lines

    fixed = common.replace("adapt engaged=0", "algorithm=fixed_param")
    run_well(run, f"{fixed} output file=f.csv")
    at = sampled(tmp_path / "f_3.csv")[0].split(",").index("mu_.1")
    for chain in (3, 4):
        first = sampled(tmp_path / f"f_{chain}.csv")[1].split(",")
        assert float(first[at]) == chain / 10

    (tmp_path / "start_4.json").unlink()
    said = run_well(run, f"{fixed} output file=f.csv")
    assert 'All chains use the init file "start.json"' in said
    for chain in (3, 4):
        assert float(sampled(tmp_path / f"f_{chain}.csv")[1].split(",")[at]) == -1


# --- console -------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 2])
def test_progress_names_the_chain(at_once: int, run: Run) -> None:
    said = run_well(
        run,
        f"num_threads={at_once} id=2 data file=data.json output file=o.csv refresh=100 "
        "sample num_chains=2 num_samples=100 num_warmup=100",
    )
    progress = [line for line in said.splitlines() if "Iteration" in line]
    for chain in (2, 3):
        assert [line for line in progress if f"[{chain}]" in line] == [
            f"Chain [{chain}] Iteration:   1 / 200 [  0%]  (Warmup)",
            f"Chain [{chain}] Iteration: 100 / 200 [ 50%]  (Warmup)",
            f"Chain [{chain}] Iteration: 101 / 200 [ 50%]  (Sampling)",
            f"Chain [{chain}] Iteration: 200 / 200 [100%]  (Sampling)",
        ]
    assert len(progress) == 8


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_chain_that_fails_is_named_and_fails_the_run(
    at_once: int, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "s_1.json").write_text(json.dumps(START))
    (tmp_path / "s_2.json").write_text(json.dumps({**START, "tau_": [-1]}))
    (tmp_path / "s_3.json").write_text(json.dumps(START))
    result = run(
        f"num_threads={at_once} data file=data.json init=s.json output file=o.csv "
        f"{SHORT} num_chains=3"
    )
    assert result.returncode == 1
    shown = [line for line in result.stdout.splitlines() if line[:2] in ("Er", "Ex")]
    assert len(shown) == 1
    assert shown[0].startswith("Error: Chain [2]: Initialization ")
    assert 'init file "s_2.json"' in shown[0]
    first = [line for line in sampled(tmp_path / "o_1.csv") if line[0] != "#"]
    assert len(first) == 1 + 60
    if at_once == 1:
        assert not (tmp_path / "o_3.csv").exists()


# --- processes -----------------------------------------------------------------------


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def has_adapted(path: Path) -> bool:
    return path.exists() and "# Step size" in path.read_text()


@pytest.fixture
def endless(reference_program: Program, run: Run, tmp_path: Path) -> Any:
    """Two chains at a time that would sample for an hour, after their warmup."""
    command = (
        "num_threads=2 data file=data.json output file=o.csv refresh=0 sample "
        "num_chains=2 num_samples=100000000"
    )
    with subprocess.Popen(
        [reference_program.executable, *command.split()],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        wait_for(lambda: all(has_adapted(tmp_path / f"o_{i}.csv") for i in (1, 2)))
        yield process
        process.kill()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_chains_end_with_their_command(
    how: signal.Signals, endless: subprocess.Popen[str]
) -> None:
    endless.send_signal(how)
    # The end of its output: no process has it open any more.
    endless.communicate(timeout=10)
    assert endless.returncode == -how


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_chain_that_is_killed_fails_the_run(endless: subprocess.Popen[str]) -> None:
    def parent(process: Path) -> int:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])

    chains = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may have ended
            if parent(process) == endless.pid:
                chains.append(int(process.name))
    assert len(chains) == 2
    for chain in chains:
        os.kill(chain, signal.SIGKILL)
    said, _ = endless.communicate(timeout=10)
    assert endless.returncode == 1
    assert said.count("Error: the process of a chain was ended by signal 9") == 2


@pytest.mark.parametrize("threads", ["0", "many", "-2"])
def test_a_bad_number_of_threads_in_the_environment_is_named(
    threads: str, run: Run
) -> None:
    command = f"data file=data.json output file=o.csv {SHORT}"
    result = run(f"{command} num_chains=2", STAN_NUM_THREADS=threads)
    assert result.returncode == 1
    assert f'{threads} is not a valid value for "STAN_NUM_THREADS"' in result.stdout
    # It is nothing to a chain that is alone.
    run_well(run, command, STAN_NUM_THREADS=threads)


# --- through CmdStanPy ---------------------------------------------------------------


@pytest.mark.parametrize("parallel_chains", [1, 3])
@pytest.mark.parametrize("given", [False, True])
def test_cmdstanpy_may_run_all_chains_in_one_process(
    parallel_chains: int,
    given: bool,
    reference_program: Program,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = cmdstanpy.CmdStanModel(exe_file=str(reference_program.executable))
    how: dict[str, Any] = {
        "chains": 3,
        "chain_ids": [2, 3, 4],
        "seed": 3,
        "iter_warmup": 80,
        "iter_sampling": 40,
        "sig_figs": 17,
        "show_progress": False,
        "save_diagnostics": True,
    }
    if given:
        how["inits"] = [{**START, "mu_": [i / 10]} for i in range(3)]
        how["inv_metric"] = [
            {"inv_metric": [m * (i + 1) for m in INVERSE_METRIC]} for i in range(3)
        ]
    data = str(REFERENCE / "data.json")
    with caplog.at_level(logging.ERROR):
        apart = model.sample(data, parallel_chains=1, **how)
        together = model.sample(
            data,
            parallel_chains=parallel_chains,
            force_one_process_per_chain=False,
            **how,
        )
    assert together.runset.num_procs == 1
    np.testing.assert_array_equal(together.draws(), apart.draws())
    np.testing.assert_array_equal(together.inv_metric, apart.inv_metric)
    for one, other in zip(
        together.runset.diagnostic_files, apart.runset.diagnostic_files, strict=True
    ):
        assert sampled(Path(one)) == sampled(Path(other))


def test_a_copied_executable_needs_nothing_beside_it(
    reference_program: Program, run: Run, tmp_path: Path
) -> None:
    shutil.copy(reference_program.executable, tmp_path / "alone")
    command = f"data file=data.json output file=o.csv {SHORT} num_chains=2"
    done = subprocess.run(
        [tmp_path / "alone", *command.split(), "num_threads=-1"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert (tmp_path / "o_2.csv").exists()
