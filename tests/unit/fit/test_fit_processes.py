"""The ends of chains: signals, limits, and folders of processes that are gone."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.errors import ChainsTimeout
from pyrobma.fit import FitInterrupted, fit_models, plan, processes, stan_data
from pyrobma.fit.density import LogDensity
from pyrobma.fit.sample import run_chains
from pyrobma.fit.stan_data import program_names
from pyrobma.models import Task
from pyrobma.programs import executable, library

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="looks at processes in /proc"
)

# Four models at the same time: one is done at once, the others take minutes.
LONG = """
import signal
import sys
import numpy as np
import pyrobma as rb

signal.signal(signal.SIGINT, signal.default_int_handler)
executor = None
SETUP
rng = np.random.default_rng(1)
n = 400
try:
    rb.robma(
        d=rng.normal(0.2, 0.3, n), se=np.full(n, 0.1), study_ids=np.arange(n) // 4,
        priors_bias=None, seed=1, cores=4, progress=False, executor=executor,
        settings=rb.SamplerSettings(
            chains=2, warmup=1000, draws=200_000, max_draws=200_000
        ),
    )
except rb.FitInterrupted as interrupt:
    print("kept", len(interrupt.fits), len(interrupt.finished.fits), flush=True)
    if executor is not None:
        executor.shutdown()
"""


def until(condition, seconds):
    """Wait for a condition; return how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "took too long"
        time.sleep(0.02)
    return time.monotonic() - began


def parent(number):
    """Number of a process's parent; 0 if there is no such process."""
    try:
        status = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return 0
    return int(status.rpartition(")")[2].split()[1])


class Session:
    """A Python process with chains that take long, and a TMPDIR of its own."""

    def __init__(self, folder, script=LONG, setup=""):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", script.replace("SETUP", setup)],
            env=os.environ | {"TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def chains(self):
        """Numbers of the chains that run, whoever their parent is."""
        return [
            number
            for number, arguments in processes._processes()
            if f"file={self.folder}/".encode() in arguments and b"output" in arguments
        ]

    def folders(self):
        return list(self.folder.glob("pyrobma-*"))

    def started(self, count=3):
        until(lambda: len(self.chains()) >= count, 30)
        time.sleep(0.5)
        return self

    def ends(self, seconds):
        """Wait for the end; return what was printed and the time it took."""
        began = time.monotonic()
        out, err = self.process.communicate(timeout=seconds)
        return out, err, time.monotonic() - began


@pytest.fixture
def session(tmp_path):
    sessions = []

    def start(**options):
        sessions.append(Session(tmp_path, **options))
        return sessions[-1]

    yield start
    for each in sessions:
        each.process.kill()
        each.process.communicate()
        for number in each.chains():
            os.kill(number, signal.SIGKILL)


def test_an_interrupt_of_python_alone_ends_the_chains_and_keeps_what_is_done(session):
    run = session().started()
    run.process.send_signal(signal.SIGINT)
    out, err, seconds = run.ends(20)
    assert out == "kept 1 1\n", err
    assert seconds < 3
    assert run.process.returncode == 0
    assert not run.chains()
    assert not run.folders()


def test_two_interrupts_in_a_row_leave_no_chain(session):
    run = session().started()
    for _ in range(2):
        run.process.send_signal(signal.SIGINT)
        time.sleep(0.03)
    _, _, seconds = run.ends(20)
    assert seconds < 3
    assert not run.chains()
    assert not run.folders()


def test_an_interrupt_also_ends_the_chains_of_an_executor_with_threads(session):
    setup = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "executor = ThreadPoolExecutor(4)"
    )
    run = session(setup=setup).started()
    run.process.send_signal(signal.SIGINT)
    out, err, seconds = run.ends(20)
    assert out == "kept 1 1\n", err
    assert seconds < 3
    assert not run.chains()
    assert not run.folders()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_obeyed_without_anything_left(session, number):
    # Under nohup a hangup is ignored, here too.
    run = session(setup=f"signal.signal({number:d}, signal.SIG_DFL)").started()
    run.process.send_signal(number)
    _, err, seconds = run.ends(20)
    assert run.process.returncode == -number, err
    assert seconds < 3
    assert not run.chains()
    assert not run.folders()


def test_a_handler_of_the_users_is_the_one_that_is_called(session):
    setup = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))"
    run = session(setup=setup).started()
    run.process.terminate()
    _, err, seconds = run.ends(20)
    assert run.process.returncode == 7, err
    assert seconds < 3
    assert not run.chains()
    assert not run.folders()


def test_chains_die_with_python_and_the_next_run_removes_their_folders(
    session, made, monkeypatch
):
    killed, alive = session().started(), session().started(6)
    killed.process.kill()
    killed.process.communicate()

    def orphans():
        return [
            number for number in killed.chains() if parent(number) != alive.process.pid
        ]

    until(lambda: not orphans(), 5)
    before = len(killed.folders())

    monkeypatch.setattr("tempfile.tempdir", str(killed.folder))
    monkeypatch.setattr(processes, "_swept", set())
    chains(made)
    left = killed.folders()
    assert before == 6
    assert len(left) == 3
    running = b" ".join(
        Path(f"/proc/{n}/cmdline").read_bytes() for n in killed.chains()
    )
    assert all(folder.name.encode() in running for folder in left)


def test_only_folders_of_chains_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_swept", set())
    kept = [tmp_path / "pyrobma-results", tmp_path / "pyrobma-chains-file"]
    kept[0].mkdir()
    kept[1].touch()
    target = tmp_path / "elsewhere"
    (target / "inside").mkdir(parents=True)
    link = tmp_path / "pyrobma-chains-link"
    link.symlink_to(target)
    left = tmp_path / "pyrobma-chains-left"
    left.mkdir()
    processes._sweep(tmp_path)
    assert not left.exists()
    assert all(path.exists() for path in [*kept, link, target / "inside"])


def test_folders_of_other_users_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_swept", set())
    other = tmp_path / "pyrobma-chains-other"
    other.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: other.stat().st_uid + 1)
    processes._sweep(tmp_path)
    assert other.exists()


def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    real, swept = processes._lock, []

    def lock(descriptor):
        if not swept:
            swept.append(next(tmp_path.iterdir()))
            swept[0].rmdir()
        return real(descriptor)

    monkeypatch.setattr(processes, "_lock", lock)
    folder, descriptor = processes._locked_folder()
    os.close(descriptor)
    assert folder.is_dir()
    assert folder != swept[0]


def test_a_second_interrupt_waits_no_longer(made, monkeypatch):
    release = threading.Event()

    def fit_model(task, spec, *rest):
        with processes.run_folder("normal"):
            release.wait(10)

    monkeypatch.setattr(plan, "fit_model", fit_model)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident
    timers = [
        threading.Timer(t, signal.pthread_kill, [main, signal.SIGINT])
        for t in (0.3, 0.6)
    ]
    began = time.monotonic()
    try:
        for timer in timers:
            timer.start()
        with pytest.raises(FitInterrupted):
            fit_models(TASK, made.space(), seed=1, cores=2)
        assert 0.6 <= time.monotonic() - began < 1.5
    finally:
        release.set()
        for timer in timers:
            timer.join()
        signal.signal(signal.SIGINT, before)


def test_handlers_are_as_before_after_a_fit(made, monkeypatch):
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)]
    chains(made)
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)] == before


def test_threads_of_a_stopped_fit_compute_no_densities(made):
    group, found = processes.Group(), []

    def thread():
        group.join()
        with LogDensity(library("normal"), data(made)) as density:
            group.stopped = True
            with pytest.raises(rb.SamplingError, match="stopped"):
                density(np.zeros((1, 3)))
            with (
                pytest.raises(rb.SamplingError, match="stopped"),
                processes.run_folder("normal"),
            ):
                pass
        found.append(True)

    other = threading.Thread(target=thread)
    other.start()
    other.join()
    assert found
    processes.give_up_if_stopped()  # this one belongs to no group


# One run of chains, in this process.

TASK = Task(
    rb.effect_sizes(d=[0.1, 0.2, 0.6], se=[0.1, 0.1, 0.2], study_ids=[1, 1, 2]),
    "cohens_d",
)


def data(made):
    return json.dumps(stan_data(TASK, made.space().models[3]))


def chains(made, draws=50, **options):
    settings = rb.SamplerSettings(chains=2)
    names = program_names(TASK, made.space().models[3])
    return run_chains(
        "normal", data(made), names, settings=settings, warmup=100, draws=draws,
        seed=1, parallel=1, **options,
    )  # fmt: skip


def test_the_time_of_a_run_is_limited_and_nothing_is_left(made, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    began = time.monotonic()
    with pytest.raises(ChainsTimeout, match=r"normal: .* longer than 0\.5 s"):
        chains(made, draws=3_000_000, timeout=0.5)
    assert time.monotonic() - began < 2
    assert not list(tmp_path.glob("pyrobma-*"))
    mark = str(tmp_path).encode()
    assert not [n for n, arguments in processes._processes() if mark in arguments]


def test_a_run_that_is_short_enough_gives_the_same_draws(made):
    np.testing.assert_array_equal(chains(made).draws, chains(made, timeout=60).draws)


def test_all_chains_of_the_process_can_be_stopped(made):
    stopped = []

    def stop():
        until(lambda: processes._running, 10)
        time.sleep(0.3)
        stopped.append(time.monotonic())
        processes.stop_chains()
        assert not processes._running

    other = threading.Thread(target=stop)
    other.start()
    with pytest.raises(rb.SamplingError, match=r"^normal: the chains were stopped"):
        chains(made, draws=3_000_000)
    assert time.monotonic() - stopped[0] < 2
    other.join()


def test_an_interrupt_ends_a_run_in_the_main_thread(made, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident
    sent = []

    def interrupt():
        until(lambda: processes._running, 10)
        time.sleep(0.3)
        sent.append(time.monotonic())
        signal.pthread_kill(main, signal.SIGINT)

    other = threading.Thread(target=interrupt)
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            chains(made, draws=3_000_000)
    finally:
        signal.signal(signal.SIGINT, before)
        other.join()
    assert time.monotonic() - sent[0] < 2
    assert not list(tmp_path.glob("pyrobma-*"))


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Use a script, or other bytes, in place of the executable."""
    real = executable("normal")
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "normal.so").symlink_to(library("normal"))

    def use(body):
        if isinstance(body, str):
            body = body.replace("REAL", shlex.quote(str(real)))
            body = f"#!/bin/sh\n{body}\n".encode()
        (folder / "normal").write_bytes(body)
        (folder / "normal").chmod(0o755)
        monkeypatch.setenv("PYROBMA_PROGRAMS", str(folder))

    return use


RUNS_ONLY = 'case "$1" in info) exec REAL "$@" ;; esac\n'
OUTPUT = (
    "out=$(printf '%s\\n' \"$@\" | sed -n 's/^file=\\(.*\\.csv\\)$/\\1/p')\n"
    'REAL "$@" || exit\n'
)


@pytest.mark.parametrize(
    ("death", "reason"),
    [
        ("kill -KILL $$", r"SIGKILL: the system killed it, most often for lack of mem"),
        ("kill -SEGV $$", r"SIGSEGV: the program is damaged"),
        ("kill -TERM $$", r"SIGTERM: another process asked it to end"),
        ("kill -USR1 $$", r"SIGUSR1: no cause is known"),
    ],
)
def test_the_signal_that_ended_a_chain_is_named_with_its_cause(
    program, made, death, reason
):
    program(RUNS_ONLY + death)
    with pytest.raises(
        rb.SamplingError, match=f"(?s)^normal: .*A chain was ended by {reason}"
    ):
        chains(made)


def test_a_chain_killed_from_outside_is_an_error(made):
    def kill():
        mark = f"/{processes.PREFIX}".encode()
        found = []

        def chain():
            found[:] = [
                number
                for number, arguments in processes._processes()
                if mark in arguments and parent(number) == os.getpid()
            ]
            return found

        until(chain, 10)
        os.kill(found[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(rb.SamplingError, match="SIGKILL"):
        chains(made, draws=5000)
    killer.join()


@pytest.mark.parametrize(
    "cut",
    [
        'lines=$(wc -l < "$out"); head -n $((lines - 9)) "$out" > "$out.short"',
        'head -c -120 "$out" > "$out.short"',  # amid the comments at the end
        'head -c -300 "$out" > "$out.short"',  # amid a number
        ': > "$out.short"',
    ],
)
def test_a_file_of_draws_that_ends_early_is_an_error(program, made, cut):
    program(RUNS_ONLY + OUTPUT + cut + '\nmv "$out.short" "$out"')
    with pytest.raises(
        rb.SamplingError, match=r"(?s)^normal: .* draws is missing or ends early"
    ):
        chains(made)


@pytest.mark.parametrize(
    "body",
    ["exit 0", "echo hello; exit 0", RUNS_ONLY + "exit 0", b"", b"none", b"\x7fELF"],
)
def test_an_executable_of_something_else_is_an_error(program, made, body):
    program(body)
    with pytest.raises((rb.SamplingError, rb.ToolchainError), match="normal"):
        chains(made)


def test_a_truncated_executable_is_an_error(program, made):
    program(executable("normal").read_bytes()[:100_000])
    with pytest.raises(rb.ToolchainError, match="truncated file of 100000 bytes"):
        chains(made)


def test_a_full_disk_is_named_with_a_remedy(program, made):
    program(RUNS_ONLY + 'echo "Error: No space left on device"; exit 1')
    with pytest.raises(rb.SamplingError, match=r"no space left in .*set TMPDIR"):
        chains(made)


LIMITED = """
import resource
import numpy as np
import pyrobma as rb

resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, BYTES))
settings = rb.SamplerSettings(chains=2, warmup=200, draws=4000)
try:
    rb.robma(
        d=[0.1, 0.3, -0.1, 0.5, 0.2], se=[0.1, 0.2, 0.1, 0.2, 0.15],
        priors_bias=None, seed=1, settings=settings,
    )
except rb.FitError as error:
    print(len(error.fits), len(error.finished.fits), error)
"""


@pytest.mark.parametrize("limit", [200_000, 1000, 100])
def test_a_limit_on_the_size_of_files_is_named_and_loses_nothing(session, limit):
    run = session(script=LIMITED.replace("BYTES", str(limit)))
    out, err, _ = run.ends(60)
    assert out.startswith("1 1 model with mu"), err
    assert "the limit on the size of files. Raise it: ulimit -f" in out
    assert not run.folders()


def test_a_full_file_system_is_named_and_loses_nothing(tmp_path):
    script = LIMITED.replace("resource.setrlimit", "0 and resource.setrlimit")
    script = script.replace("BYTES", "1")
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    mount = f"mount -t tmpfs -o size=256k none {shlex.quote(str(tiny))}"
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            ["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no file system can be mounted here")
    out = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable,
         "-c", script],
        env=os.environ | {"TMPDIR": str(tiny)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert out.stdout.startswith("1 1 model with mu"), out.stderr
    assert f"no space left in {tiny}. Free some, or set TMPDIR" in out.stdout


def test_processes_are_found_without_proc_as_well(monkeypatch):
    with subprocess.Popen(
        [sys.executable, "-c", "input('file=/x/y')"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as child:
        monkeypatch.setattr(Path, "exists", lambda path: False)
        if shutil.which("ps") is None:
            pytest.skip("no ps here")
        found = dict(processes._processes())
        child.communicate(b"\n")
    assert b"file=/x/y" in found[child.pid]
    assert os.getpid() not in found


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_leaves_the_runs_of_its_parent_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with processes.run_folder("normal") as folder:
        child = os.fork()
        if child == 0:
            processes.stop_chains(patience=0)
            os._exit(len(processes._running))
        assert os.waitpid(child, 0)[1] == 0
        assert folder in processes._running
        # The lock is the parent's still.
        monkeypatch.setattr(processes, "_swept", set())
        processes._sweep(tmp_path)
        assert folder.is_dir()
    assert not folder.exists()


COMMAND = """
import sys
from pyrobma.commands import main
sys.exit(main([
    "fit", TABLE, "--d", "d", "--se", "se", "--no-bias", "--out", OUT, "--chains", "2",
    "--warmup", "1000", "--draws", "400000", "--cores", "4", "--no-figures",
]))
"""


def test_the_command_keeps_what_is_finished_when_told_to_end(session, tmp_path):
    rng = np.random.default_rng(1)
    table, out = tmp_path / "table.csv", tmp_path / "out"
    rows = "\n".join(f"{d},0.1" for d in rng.normal(0.2, 0.3, 300))
    table.write_text(f"d,se\n{rows}\n")
    script = COMMAND.replace("TABLE", repr(str(table))).replace("OUT", repr(str(out)))
    run = session(script=script).started()
    run.process.terminate()
    _, err, seconds = run.ends(20)
    assert run.process.returncode == 128 + signal.SIGTERM, err
    assert "Finished models (1) are kept in" in err
    assert seconds < 3
    assert not run.chains()
    assert not run.folders()
