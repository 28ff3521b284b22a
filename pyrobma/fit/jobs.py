"""Stage 4: independent jobs on threads or an executor, and what is kept if they end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from pyrobma._format import counted
from pyrobma.errors import PyrobmaError
from pyrobma.fit.keeping import Keeper
from pyrobma.fit.model import Fit
from pyrobma.fit.processes import UNGROUPED, Group, orderly_end, stop_chains
from pyrobma.fit.progress import ProgressLine


class Executor(Protocol):
    """What is needed of an executor: that of `concurrent.futures`, Dask, loky, MPI."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Start a job and return its future."""


class FitError(PyrobmaError, RuntimeError):
    """A model could not be fitted; the others are in `fits`.

    Attributes
    ----------
    fits : tuple of Fit
        What was computed before. Give it to `fit_models` or `robma` as ``fits`` to
        go on from there.
    finished : RobmaFit or None
        The same as an ensemble, which can be saved; set by `robma`.
    """

    finished: Any = None

    def __init__(self, message: str, fits: tuple[Fit, ...]) -> None:
        super().__init__(message)
        self.fits = fits

    def __reduce__(self) -> tuple[type[FitError], tuple[str, tuple[Fit, ...]]]:
        """Let the error, with its fits, come back from another process."""
        return FitError, (str(self), self.fits)


class FitInterrupted(KeyboardInterrupt):
    """The user stopped the fit; the models that were finished are in `fits`.

    Attributes
    ----------
    fits : tuple of Fit
        What was computed before. Give it to `fit_models` or `robma` as ``fits`` to
        go on from there.
    finished : RobmaFit or None
        The same as an ensemble, which can be saved; set by `robma`.
    """

    finished: Any = None

    def __init__(self, fits: tuple[Fit, ...]) -> None:
        super().__init__()
        self.fits = fits

    def __reduce__(self) -> tuple[type[FitInterrupted], tuple[tuple[Fit, ...]]]:
        """Let the interrupt, with its fits, come back from another process."""
        return FitInterrupted, (self.fits,)


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def job_pool(executor: Executor | None, cores: int) -> Iterator[Executor]:
    """Open threads whose chains end with them, unless there is an executor."""
    # The jobs of another executor belong to no group, if they run here at all.
    group = UNGROUPED if executor is not None else Group()
    threads = None
    if executor is None:
        threads = ThreadPoolExecutor(max_workers=cores, initializer=group.join)
        executor = threads
    with orderly_end():
        try:
            yield executor
        except BaseException as error:
            # Unless it is a failure, jobs are running: they end with their chains,
            # and at the next density if they have none.
            if threads is not None:
                group.stopped = True
                threads.shutdown(wait=False, cancel_futures=True)
            if not isinstance(error, Exception):
                with suppress(KeyboardInterrupt):  # a second one: wait no longer
                    stop_chains(group)
            raise
        if threads is not None:
            threads.shutdown()


def run_jobs(
    pool: Executor,
    calls: dict[int, tuple[Any, ...]],
    done: dict[int, Fit],
    line: ProgressLine,
    *,
    inside: bool,
    keep: bool = True,
    keeper: Keeper | None = None,
) -> dict[int, Any]:
    """Run jobs, each a function and its arguments, and collect their results.

    `inside` says whether they run in threads of this process, and `keep` whether they
    are fits, which a failure or an interrupt hands over, and the `keeper` stores.
    """
    results: dict[int, Any] = {}
    failures: list[Exception] = []
    jobs: dict[int, Any] = {}
    try:
        with line:
            for i, call in calls.items():
                try:
                    work, *arguments = call
                    if inside:
                        work = line.within(i, work)
                    jobs[i] = pool.submit(work, *arguments)
                except Exception as error:  # a broken pool must not lose finished fits
                    failures.append(error)
                else:
                    line.watch(i, jobs[i])
                    if keeper is not None:
                        keeper.watch(jobs[i])
            line.started()
            for i, job in jobs.items():
                try:
                    results[i] = job.result()
                except Exception as error:
                    failures.append(error)
                else:
                    if keeper is not None:
                        keeper.keep(results[i])
                line.finished(i)
    except KeyboardInterrupt as error:
        finished = results | _stopped(jobs)
        raise FitInterrupted(
            tuple((done | finished if keep else done).values())
        ) from error
    if failures:
        first = failures[0]
        more = f" ({len(failures)} models failed)" if len(failures) > 1 else ""
        fits = tuple((done | results if keep else done).values())
        kept = f"{counted(len(fits), 'other fit')} {'is' if len(fits) == 1 else 'are'}"
        raise FitError(
            f"{first}{more} The {kept} kept in this error's `fits`; give them as "
            "fits=... to go on from there.",
            fits,
        ) from first
    return results


def _stopped(jobs: dict[int, Any]) -> dict[int, Fit]:
    """Cancel the jobs that can be, and return the fits of those that are done."""
    for job in jobs.values():  # all at once, before others start
        if callable(getattr(job, "cancel", None)):
            job.cancel()
    results: dict[int, Fit] = {}
    for i, job in jobs.items():
        if callable(getattr(job, "done", None)) and job.done():
            # A job that was cancelled or interrupted raises a BaseException too.
            with suppress(BaseException):
                results[i] = job.result()
    return results
