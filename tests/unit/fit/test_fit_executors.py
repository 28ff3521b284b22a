"""The same fits on real executors, with workers that are killed in the middle."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import pyrobma as rb

TIMEOUT = 120  # seconds for what takes ten on an idle machine
EFFECTS = rb.effect_sizes(d=[0.3, 0.1, 0.45, 0.2], se=[0.1, 0.12, 0.09, 0.2])


def robma(**options):
    few = rb.SamplerSettings(chains=2, draws=200, sampler="independence")
    return rb.robma(
        EFFECTS, priors_bias=None, settings=few, seed=1, progress=False, **options
    )


@pytest.fixture(scope="module")
def here():
    return robma()


def assert_same(found, expected):
    np.testing.assert_array_equal(found.logml, expected.logml)
    for one, other in zip(found.fits, expected.fits, strict=True):
        if other.chains is not None:
            np.testing.assert_array_equal(one.chains.draws, other.chains.draws)


def killed(place, times, work, *arguments):
    """Do the work in a worker that is killed before, the first times."""
    deaths = len(list(Path(place).iterdir()))
    if deaths < times:
        Path(place, str(deaths)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return work(*arguments)


class Killing:
    """An executor that gets the worker of one model killed."""

    def __init__(self, executor, place, times=1):
        self.executor, self.place, self.times = executor, place, times

    def submit(self, function, /, *arguments):
        if arguments[1].free == ("mu", "tau"):
            function, arguments = killed, (self.place, self.times, function, *arguments)
        return self.executor.submit(function, *arguments)


def spawned():
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))


@pytest.fixture
def place(tmp_path):
    return str(tmp_path)


def test_processes_give_the_numbers_of_threads(here):
    with spawned() as executor:
        assert_same(robma(executor=executor), here)


def test_a_killed_process_ends_a_pool_and_keeps_what_was_done(here, place):
    with spawned() as pool, pytest.raises(rb.FitError, match="process died") as caught:
        robma(executor=Killing(pool, place))
    assert "Give a function that makes executors" in str(caught.value)
    assert_same(robma(fits=caught.value.fits), here)


def test_a_killed_process_of_pools_that_are_made_is_no_matter(here, place):
    assert_same(robma(executor=lambda: Killing(spawned(), place)), here)


def test_a_killed_worker_of_loky_is_no_matter(here, place):
    loky = pytest.importorskip("loky")

    def workers():
        return Killing(loky.get_reusable_executor(2), place)

    assert_same(robma(executor=workers), here)
    loky.get_reusable_executor().shutdown()


def test_a_model_that_always_kills_its_worker_is_named_and_the_others_are_kept(
    here, place
):
    match = r"^model 4 \(mu, tau\): executor: its worker process died 3 times"
    with pytest.raises(rb.FitError, match=match) as caught:
        robma(executor=lambda: Killing(spawned(), place, times=9))
    assert len(caught.value.fits) == 3
    assert caught.value.finished is not None


@pytest.fixture(scope="module")
def dask():
    """Return a client of two workers, each a process, and end it."""
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    client = distributed.Client(cluster)
    yield client
    client.close()
    cluster.close()


@pytest.mark.filterwarnings("ignore")  # of Dask itself, about workers that die
def test_dask_gives_the_numbers_of_threads_though_a_worker_is_killed(dask, here, place):
    assert_same(robma(executor=dask), here)
    assert_same(robma(executor=Killing(dask, place)), here)
    assert len(list(Path(place).iterdir())) == 1


MPI = """
from mpi4py.futures import MPIPoolExecutor
import numpy as np
import pyrobma as rb

if __name__ == "__main__":
    few = rb.SamplerSettings(chains=2, draws=200, sampler="independence")
    with MPIPoolExecutor() as executor:
        assert executor.num_workers == 2
        fit = rb.robma(
            d=[0.3, 0.1, 0.45, 0.2], se=[0.1, 0.12, 0.09, 0.2], priors_bias=None,
            settings=few, seed=1, progress=False, executor=executor,
        )
    print(*(value.hex() for value in fit.logml.tolist()))
"""


def test_mpi_gives_the_numbers_of_threads(here, tmp_path):
    pytest.importorskip("mpi4py")
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        pytest.skip("mpi4py is there without mpiexec")
    script = tmp_path / "script.py"
    script.write_text(MPI)
    run = subprocess.run(
        [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures", str(script)],
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [value.hex() for value in here.logml.tolist()]


FORKED = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import polars
import pyrobma as rb

# What polars starts in this process is not there in its forks.
polars.DataFrame({"a": [1.0]}).lazy().select(polars.col("a").sum()).collect()
few = rb.SamplerSettings(chains=2, warmup=150, draws=100, max_draws=100)
with ProcessPoolExecutor(1, mp_context=get_context("fork")) as executor:
    fit = rb.robma(
        d=[0.3, 0.1], se=[0.1, 0.12], priors_bias=None, priors_effect_null=None,
        settings=few, seed=1, progress=False, executor=executor,
    )
print(sum(one.chains is not None for one in fit.fits))
"""


def test_forks_of_a_process_that_used_polars_do_not_wait_for_ever(tmp_path):
    pytest.importorskip("polars")
    script = tmp_path / "script.py"
    script.write_text(FORKED)
    run = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "2\n"), run.stderr
