"""Stage 4: jobs on any executor, handed back as they end; workers may die."""

from __future__ import annotations

import queue
from collections import Counter, deque
from collections.abc import Callable, Hashable
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, cast

from pyrobma.errors import SamplingError
from pyrobma.fit.settings import SettingsError

MOST_BREAKS: Final = 3
"""How many times a job may be running when its executor breaks."""


class Executor(Protocol):
    """What is needed of an executor: that of `concurrent.futures`, Dask, loky, MPI."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Start a job and return its future."""


Executors: TypeAlias = Executor | Callable[[], Executor]
"""An executor, or a function that makes one, and another one when it is broken."""


class WorkerError(SamplingError):
    """A worker process died in the middle of a job, and again when it was repeated."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a job.

    Attributes
    ----------
    key : hashable
        Its name.
    value : object
        What it returned; None if it failed.
    error : Exception or None
        What it raised.
    """

    key: Hashable
    value: Any = None
    error: Exception | None = None


class JobPool:
    """Runs jobs and hands them back in the order in which they end.

    Parameters
    ----------
    executor : executor or callable
        One that is given breaks once and for all. A function that makes executors is
        called again when one is broken, e.g. because a worker ran out of memory: the
        jobs that were running are repeated side by side, and those that meet with it
        twice one by one, so that the one behind it is found and the others succeed.
    inside : bool
        Whether jobs run in threads of this process.
    """

    def __init__(self, executor: Executors, *, inside: bool = False) -> None:
        self.inside = inside
        self._executor, self._make = _opened(executor)
        self._calls: dict[Hashable, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
        self._running: dict[Hashable, Any] = {}
        self._ended: queue.SimpleQueue[tuple[Hashable, Any]] = queue.SimpleQueue()
        self._mute: deque[Hashable] = deque()  # futures that do not tell when they end
        self._broken = False
        self._breaks: Counter[Hashable] = Counter()
        self._held: deque[Hashable] = deque()  # until nothing is running

    def __len__(self) -> int:
        """Return how many jobs have not been handed back."""
        return len(self._calls)

    def submit(self, key: Hashable, work: Callable[..., Any], *arguments: Any) -> None:
        """Start a job; one that cannot be started is handed back as failed."""
        self._calls[key] = work, arguments
        if self._broken or self._held:
            self._held.append(key)
        else:
            self._start(key)

    def next(self) -> Ended:
        """Wait for a job to end.

        Raises
        ------
        KeyboardInterrupt
            On an interrupt, here or in the job.
        """
        while True:
            if self._held and not self._running and self._ended.empty():
                self._release()
            key, future = self._take()
            self._running.pop(key, None)
            try:
                ended = Ended(key, future.result())
            except BrokenExecutor as error:
                self._broken = True
                self._breaks[key] += 1
                if self._make is not None and self._breaks[key] < MOST_BREAKS:
                    self._held.append(key)
                    continue
                ended = Ended(key, error=_died(error, self._breaks[key]))
            except Exception as error:
                ended = Ended(key, error=error)
            del self._calls[key]
            return ended

    def stop(self) -> list[Ended]:
        """Cancel the jobs that can be, and return those that are done."""
        running, self._running = self._running, {}
        for future in running.values():  # all at once, before others start
            if callable(getattr(future, "cancel", None)):
                future.cancel()
        done = []
        for key, future in running.items():
            if callable(getattr(future, "done", None)) and future.done():
                # One that was cancelled or interrupted raises a BaseException too.
                with suppress(BaseException):
                    done.append(Ended(key, future.result()))
        self._calls.clear()
        self._held.clear()
        return done

    def _start(self, key: Hashable) -> None:
        work, arguments = self._calls[key]
        try:
            future = self._executor.submit(work, *arguments)
        except Exception as error:  # it is broken, or the job cannot be sent
            self._ended.put((key, _Failed(error)))
            return
        self._running[key] = future
        if callable(getattr(future, "add_done_callback", None)):
            future.add_done_callback(lambda one: self._ended.put((key, one)))
        else:
            self._mute.append(key)

    def _take(self) -> tuple[Hashable, Any]:
        """Wait for a future; those that do not tell are taken in their order."""
        if self._mute and self._ended.empty():
            key = self._mute.popleft()
            return key, self._running[key]
        return self._ended.get()

    def _release(self) -> None:
        """Start what was held; what met with two breaks alone, to find the culprit."""
        if self._broken and self._make is not None:
            try:
                self._executor = _made(self._make)
            except Exception as error:
                for key in self._held:
                    self._ended.put((key, _Failed(error)))
                self._held.clear()
                return
        self._broken = False
        suspect = next((key for key in self._held if self._breaks[key] > 1), None)
        now = [suspect] if suspect is not None else list(self._held)
        self._held = deque(key for key in self._held if suspect not in (None, key))
        for key in now:
            self._start(key)


def _opened(
    executor: Executors,
) -> tuple[Executor, Callable[[], Executor] | None]:
    made = isinstance(executor, type)  # it has submit too, but needs an object
    if _submits(executor) and not made:
        return cast(Executor, executor), None
    if not callable(executor):
        raise SettingsError(
            "executor: expected an object with submit(), such as those of "
            "concurrent.futures, or a function that makes one; got "
            f"{executor!r}."
        )
    return _made(executor), executor


def _made(make: Callable[[], Executor]) -> Executor:
    executor = make()
    if not _submits(executor):
        raise SettingsError(
            "executor: expected a function that returns an object with submit(), such "
            f"as those of concurrent.futures; {make!r} returned {executor!r}."
        )
    return executor


def _submits(executor: object) -> bool:
    return callable(getattr(executor, "submit", None))


class _Failed:
    """A future of a job that could not be started."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def result(self) -> Any:
        raise self._error


def _died(error: BrokenExecutor, times: int) -> WorkerError:
    what = (
        "a worker process died and took the executor with it"
        if times < MOST_BREAKS
        else f"its worker process died {times} times, at last with no other job running"
    )
    advice = (
        " Give a function that makes executors, and a broken one is replaced."
        if times < MOST_BREAKS
        else ""
    )
    died = WorkerError(
        f"executor: {what} ({error}). Most likely it ran out of memory, or something "
        f"stops such processes.{advice}"
    )
    died.__cause__ = error
    return died
