"""Stage 4: jobs in waves, and what is kept if they end."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from pyrobma._format import counted
from pyrobma.errors import PyrobmaError
from pyrobma.fit.keeping import Keeper
from pyrobma.fit.model import Fit
from pyrobma.fit.pool import Ended, Executors, JobPool, WorkerError
from pyrobma.fit.processes import UNGROUPED, Group, orderly_end, stop_chains
from pyrobma.fit.progress import ProgressLine, Work
from pyrobma.fit.provenance import provenance


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
def job_pool(executor: Executors | None, cores: int) -> Iterator[JobPool]:
    """Open threads whose chains end with them, unless there is an executor."""
    # The jobs of another executor belong to no group, if they run here at all.
    group = UNGROUPED if executor is not None else Group()
    threads = None
    if executor is None:
        threads = ThreadPoolExecutor(max_workers=cores, initializer=group.join)
        executor = threads
    with orderly_end():
        try:
            yield JobPool(executor, inside=threads is not None)
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


@dataclass(frozen=True, slots=True)
class Wave:
    """Jobs that do not need each other.

    Attributes
    ----------
    calls : mapping of int to tuple
        A function and its arguments, by number.
    work : mapping of int to Work
        What is shown of each.
    what : str
        What they are counted as, e.g. ``"models"``.
    done : mapping of int to Fit
        Fits that were made before.
    keep : bool
        Whether the jobs give fits, which a failure or an interrupt hands over.
    """

    calls: Mapping[int, tuple[Any, ...]]
    work: Mapping[int, Work]
    what: str
    done: Mapping[int, Fit]
    keep: bool = True


Plan: TypeAlias = Generator[Wave, dict[int, Any], tuple[Fit, ...]]
"""What is to be run next, given the results of what it asked for last; fits at the end.
It runs nothing itself."""


def run_plan(
    plan: Plan, pool: JobPool, keeper: Keeper, progress: bool | None
) -> tuple[Fit, ...]:
    """Run the jobs of a plan, with a line of progress for every wave.

    Raises
    ------
    FitError
        If a job fails, when the others of its wave are done.
    FitInterrupted
        On an interrupt.
    """
    try:
        wave = next(plan)
        while True:
            wave = plan.send(run_wave(pool, wave, keeper, progress))
    except StopIteration as end:
        fits: tuple[Fit, ...] = end.value
        return fits


def run_wave(
    pool: JobPool, wave: Wave, keeper: Keeper, progress: bool | None
) -> dict[int, Any]:
    """Run the jobs of a wave and return their results by number."""
    results: dict[int, Any] = {}
    failures: list[Exception] = []
    line = ProgressLine(wave.work, progress, wave.what)
    try:
        with line:
            for i, (work, *arguments) in wave.calls.items():
                work = line.within(i, work) if pool.inside else work
                pool.submit(i, work, *arguments)
            line.started()
            while len(pool):
                ended = pool.next()
                i = cast(int, ended.key)
                try:
                    results[i] = _taken(pool, ended, wave, i, keeper)
                except Exception as error:
                    failures.append(error)
                line.finished(i)
    except KeyboardInterrupt as error:
        results |= {cast(int, one.key): one.value for one in pool.stop()}
        raise FitInterrupted(_fits(wave, results)) from error
    if failures:
        raise fit_error(failures, _fits(wave, results)) from failures[0]
    return results


def run_plans(
    plans: Mapping[int, Plan], pool: JobPool, keeper: Keeper, line: ProgressLine
) -> dict[int, tuple[Fit, ...]]:
    """Run several plans side by side: none waits for the waves of another.

    Parameters
    ----------
    plans : mapping of int to generator of Wave
        By number.
    pool, keeper
        As in `run_plan`.
    line : ProgressLine
        Of the plans.

    Raises
    ------
    FitError
        If jobs fail, when everything else is done.
    FitInterrupted
        On an interrupt.
    """
    waves: dict[int, Wave] = {}
    results: dict[int, dict[int, Any]] = {}
    finished: dict[int, tuple[Fit, ...]] = {}
    failures: list[Exception] = []

    def go_on(k: int, sent: dict[int, Any] | None) -> None:
        try:
            wave = next(plans[k]) if sent is None else plans[k].send(sent)
            while not wave.calls:
                wave = plans[k].send({})
        except StopIteration as end:
            finished[k] = end.value
            waves.pop(k, None)
            line.finished(k)
            return
        waves[k], results[k] = wave, {}
        for i, (work, *arguments) in wave.calls.items():
            pool.submit((k, i), work, *arguments)

    def fits() -> tuple[Fit, ...]:
        parts = [*finished.values(), *(_fits(w, results[k]) for k, w in waves.items())]
        return tuple(fit for part in parts for fit in part)

    try:
        with line:
            line.started()
            for k in plans:
                go_on(k, None)
            while len(pool):
                ended = pool.next()
                k, i = cast(tuple[int, int], ended.key)
                try:
                    results[k][i] = _taken(pool, ended, waves[k], i, keeper)
                except Exception as error:
                    failures.append(error)
                if len(results[k]) == len(waves[k].calls):
                    go_on(k, results[k])
    except KeyboardInterrupt as error:
        for one in pool.stop():
            k, i = cast(tuple[int, int], one.key)
            results[k][i] = one.value
        raise FitInterrupted(fits()) from error
    if failures:
        raise fit_error(failures, fits()) from failures[0]
    return finished


def _taken(pool: JobPool, ended: Ended, wave: Wave, i: int, keeper: Keeper) -> Any:
    """Return the result of a job; raise what it raised."""
    if isinstance(ended.error, WorkerError):  # it knows nothing of the job
        raise WorkerError(f"{wave.work[i].label}: {ended.error}") from ended.error
    if ended.error is not None:
        raise ended.error
    if wave.keep:
        if not pool.inside:
            _check_maker(ended.value)
        keeper.keep(ended.value)
    return ended.value


def _check_maker(fit: Fit) -> None:
    """Refuse a fit of another release or of other Stan programs."""
    made = fit.provenance
    if made is None:
        return
    here = provenance(made.program, made.settings)
    if (made.format, made.program_hash) != (here.format, here.program_hash):
        versions = [dict(one.versions)["pyrobma"] for one in (here, made)]
        raise WorkerError(
            "executor: expected workers with the same pyrobma and Stan programs as "
            f"here ({versions[0]}); got pyrobma {versions[1]} with another "
            f"{made.program!r} program. Install the same package on them; workers use "
            "their own programs."
        )


def _fits(wave: Wave, results: Mapping[int, Any]) -> tuple[Fit, ...]:
    """Return the fits that are there in the middle of a wave."""
    return tuple({**wave.done, **(results if wave.keep else {})}.values())


def fit_error(failures: Sequence[Exception], fits: tuple[Fit, ...]) -> FitError:
    """Return what is raised when jobs failed."""
    more = f" ({len(failures)} models failed)" if len(failures) > 1 else ""
    kept = f"{counted(len(fits), 'other fit')} {'is' if len(fits) == 1 else 'are'}"
    return FitError(
        f"{failures[0]}{more} The {kept} kept in this error's `fits`; give them as "
        "fits=... to go on from there.",
        fits,
    )
