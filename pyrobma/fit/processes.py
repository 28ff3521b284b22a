"""The processes behind the chains: their folders, their end, and why they died.

CmdStanPy starts the processes in threads of its own and waits for them there, whatever
happens to its caller. So a run is a folder with a name that no other has: every chain
of the run has it among its arguments, and that is how it is found to be killed. This
needs neither another executable nor another CmdStanPy, and also finds chains that a
queue starts while the others are being killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TypeVar

from pyrobma.errors import ChainsTimeout, SamplingError

T = TypeVar("T")

PREFIX = "pyrobma-chains-"
PATIENCE = 2.0
"""Seconds to wait until killed chains are gone and their folders removed."""

_TICK = 0.02

_changed = threading.Condition()
_running: dict[Path, Run] = {}
_here = threading.local()
_swept: set[str] = set()
_lost_polars = False  # this process was forked from one that had it


class Run:
    """What is kept of a run that goes on."""

    def __init__(self, group: Group, lock: int) -> None:
        self.group = group
        self.lock = lock
        self.stopped = False
        self.changed = threading.Event()  # stopped, or done

    def stop(self) -> None:
        """Let the thread of the run kill its chains."""
        self.stopped = True
        self.changed.set()


class Group:
    """Runs that are stopped together, as those of one call of `fit_models`.

    Attributes
    ----------
    stopped : bool
        Whether the threads of the group must give up what they do.
    """

    def __init__(self) -> None:
        self.stopped = False

    def join(self) -> None:
        """Let the runs of this thread belong to the group."""
        _here.group = self


UNGROUPED = Group()


def _forget() -> None:
    """Leave the runs of the parent alone, in a process that was just forked."""
    global _lost_polars
    _lost_polars = "polars" in sys.modules
    global _changed
    _changed = threading.Condition()  # another thread may have held it
    for run in _running.values():
        with suppress(OSError):
            os.close(run.lock)  # it would outlive the parent
    _running.clear()


os.register_at_fork(after_in_child=_forget)


def read_without_lost_polars() -> None:
    """Let CmdStanPy read its files without polars where polars would wait for ever.

    The threads of polars do not survive a fork, and CmdStanPy takes it if it is there.
    """
    if _lost_polars:
        sys.modules["polars"] = None  # type: ignore[assignment]


def _group() -> Group:
    group: Group = getattr(_here, "group", UNGROUPED)
    return group


def give_up_if_stopped() -> None:
    """Raise a SamplingError in a thread whose group was stopped.

    A thread cannot be killed: it asks before everything that takes long.
    """
    if _group().stopped:
        raise SamplingError("the fit was stopped.")


def stop_chains(group: Group | None = None, *, patience: float = PATIENCE) -> None:
    """Kill running chains and wait until they are gone.

    Parameters
    ----------
    group : Group, optional
        Whose chains. None: all of this process.
    patience : float
        Longest time to wait, in seconds, until the folders are removed too. Without
        waiting the same happens, a little later.
    """
    deadline = time.monotonic() + patience
    with _changed:
        while True:
            runs = {f: r for f, r in _running.items() if group in (None, r.group)}
            for run in runs.values():
                run.stop()
            left = deadline - time.monotonic()
            if not runs or left <= 0:
                return
            _changed.wait(left)


@contextmanager
def run_folder(program: str) -> Iterator[Path]:
    """Make a folder for the files of one run; at the end nothing is left of it.

    Parameters
    ----------
    program : str
        Named in errors.

    Yields
    ------
    Path

    Raises
    ------
    SamplingError
        If the folder cannot be made, or the group of this thread was stopped.
    """
    give_up_if_stopped()
    with orderly_end():
        try:
            _sweep(Path(tempfile.gettempdir()))
            folder, lock = _locked_folder()
        except OSError as error:
            raise SamplingError(f"{program}: {_of_files(error)}") from error
        with _changed:
            _running[folder] = Run(_group(), lock)
        try:
            give_up_if_stopped()  # stop_chains may have looked just before
            yield folder
        except BaseException:
            # CmdStanPy leaves a chain alone if it cannot write down what it prints.
            _kill([folder])
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
            with _changed:
                del _running[folder]
                _changed.notify_all()


def supervised(
    sample: Callable[..., T], program: str, folder: Path, timeout: float | None
) -> Callable[..., T]:
    """Return CmdStanPy's method as one that can be interrupted and takes no longer.

    The ``timeout`` of CmdStanPy counts for each chain from its own start, so that
    chains in a queue have more time together, and only asks chains to end.

    Parameters
    ----------
    sample : callable
        Starts chains with files in the folder, and waits.
    program : str
        Named in errors.
    folder : Path
        From `run_folder`.
    timeout : float or None
        Seconds until the chains are killed and `ChainsTimeout` is raised.
    """

    def call(**arguments: object) -> T:
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(sample(**arguments))
            except BaseException as error:
                future.set_exception(error)

        run = _running[folder]
        future.add_done_callback(lambda _: run.changed.set())
        # In a thread, because CmdStanPy waits for its chains even if interrupted.
        threading.Thread(target=work, name=folder.name, daemon=True).start()
        try:
            run.changed.wait(timeout)
            if future.done():
                return future.result()
            if run.stopped:
                raise SamplingError(f"{program}: the chains were stopped.")
            raise ChainsTimeout(
                f"{program}: the chains took longer than {timeout:g} s and were "
                "stopped. Allow more time, or use fewer draws."
            )
        finally:
            deadline = time.monotonic() + PATIENCE
            while not future.done() and time.monotonic() < deadline:
                _kill([folder])  # again: CmdStanPy starts those that wait
                with suppress(Exception):
                    future.exception(_TICK)

    return call


class _Ended(BaseException):
    """A signal that ends the process, once its chains are gone."""


@contextmanager
def orderly_end() -> Iterator[None]:
    """Kill chains and remove folders before SIGTERM or SIGHUP ends the process.

    The default would end it at once. A handler of the user's, or that the signal is
    ignored, is left as it is; Python allows handlers in the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:  # asked again: now
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        raise _Ended

    numbers = (signal.SIGTERM, signal.SIGHUP)
    ours = [n for n in numbers if signal.getsignal(n) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            if signal.getsignal(number) is end:
                signal.signal(number, signal.SIG_DFL)
        if received:
            signal.raise_signal(received[0])


def why_ended(told: str, folder: Path) -> list[str]:
    """Return likely causes of a run's failure, as sentences.

    Parameters
    ----------
    told : str
        What CmdStanPy and the chains said.
    folder : Path
        Of the run.
    """
    codes = re.search(r"retcodes=\[([-\d, ]*)\]", told)
    # CmdStanPy writes -1 for a chain that it lost; a hangup would be the same.
    numbers = {int(c) for c in codes[1].split(",") if c.strip()} if codes else set()
    sentences = [_of_signal(-n) for n in sorted(numbers, reverse=True) if n < -1]
    full = _full(told, folder)
    if full is not None:
        sentences.append(_of_files(full))
    elif 1 in numbers and not _ERROR_LINE.search(told):
        # Runs that ended meanwhile may have freed the space by now.
        sentences.append(
            "A chain failed and could not write why: most likely there was "
            f"{_no_space()}"
        )
    if not codes and not sentences and _ends_early(folder):
        sentences.append(
            "The chains told of no error, but a file of draws is missing or ends "
            "early: the program is another than this one, or the disk fails."
        )
    return sentences


_SIGNALS = {
    "SIGKILL": "the system killed it, most often for lack of memory. Use fewer cores, "
    "or a machine with more memory",
    "SIGTERM": "another process asked it to end",
    "SIGINT": "the keyboard interrupted it",
    "SIGXFSZ": "its files grew beyond the limit on the size of files. Raise it: "
    "ulimit -f unlimited",
    "SIGXCPU": "it used up the processor time it was allowed. Raise the limit: "
    "ulimit -t unlimited",
    "SIGBUS": "the program is damaged, or the disk that holds it fails. Build it again",
    "SIGSEGV": "the program is damaged, or too little stack is left. Build it again, "
    "or raise the limit: ulimit -s unlimited",
    "SIGILL": "the program was built for another processor. Build it again here",
    "SIGABRT": "the program gave up, most often for lack of memory",
}


def _of_signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    reason = _SIGNALS.get(name, "no cause is known")
    return f"A chain was ended by {name}: {reason}."


# What the programs end with when they fail.
_ERROR_LINE = re.compile(r"^\s*(Er|Ex)(?!ror during sampling)", re.MULTILINE)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _full(told: str, folder: Path) -> OSError | None:
    """Return the error of a full disk, from what was said or from a try."""
    for code in _FULL:
        if os.strerror(code) in told:
            return OSError(code, os.strerror(code))
    try:  # what chains printed may have been lost for the same reason
        (folder / "space").write_bytes(bytes(1 << 16))
    except OSError as error:
        return error if error.errno in _FULL else None
    return None


def _ends_early(folder: Path) -> bool:
    files = list(folder.glob("*.csv"))
    # Stan ends each with how long it took.
    return not files or any(b"seconds (Total)" not in _tail(f) for f in files)


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 200))
        return file.read()


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        return "the folder of temporary files"


def _no_space() -> str:
    return (
        f"no space left in {_temporary()}. Free some, or set TMPDIR to a folder with "
        "more."
    )


def _of_files(error: OSError) -> str:
    where = _temporary()
    if error.errno == errno.EFBIG:
        return (
            f"A file in {where} grew beyond the limit on the size of files. Raise it: "
            "ulimit -f unlimited."
        )
    if error.errno in _FULL:
        return f"There is {_no_space()}"
    return f"files cannot be written in {where}: {error}. Set TMPDIR to another folder."


def _locked_folder() -> tuple[Path, int]:
    """Make a folder that is locked as long as this process lives.

    The kernel frees the lock of a process that dies. Unlike a process id it means the
    same in a container, and it is not given to another process later.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # swept before it was locked
            continue
        if _lock(lock) is not False and folder.is_dir():
            return folder, lock
        os.close(lock)


def _lock(descriptor: int) -> bool | None:
    """Lock a folder: whether it was free; None if this file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _sweep(temporary: Path) -> None:
    """Remove what processes of this user left that were killed; once is enough."""
    with _changed:
        if str(temporary) in _swept:
            return
        _swept.add(str(temporary))
    for folder in temporary.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if _lock(lock):
                    _kill([folder])
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _kill(folders: Collection[Path]) -> None:
    """Kill the chains that write into these folders."""
    marks = [f"/{folder.name}/".encode() for folder in folders]
    for number, arguments in _processes():
        if b"file=" in arguments and any(mark in arguments for mark in marks):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)


def _processes() -> Iterator[tuple[int, bytes]]:
    """Yield the numbers and arguments of all other processes."""
    if Path("/proc/self/cmdline").exists():
        for name in os.listdir("/proc"):  # noqa: PTH208 - not paths, but numbers
            if name.isdigit() and int(name) != os.getpid():
                with suppress(OSError):
                    yield int(name), Path("/proc", name, "cmdline").read_bytes()
        return
    try:
        listed = subprocess.check_output(["ps", "-axww", "-o", "pid=,args="])
    except (OSError, subprocess.CalledProcessError):
        return
    for line in listed.splitlines():
        number, _, arguments = line.strip().partition(b" ")
        if number.isdigit() and int(number) != os.getpid():
            yield int(number), arguments
