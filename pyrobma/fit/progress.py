"""How far a long fit is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from pyrobma.fit.bars import make_bar

TICK = 1.0
"""Seconds between redraws while no job finishes."""

_ROOM_BEFORE_LABEL = 40

_here = threading.local()


@dataclass(frozen=True, slots=True)
class Work:
    """What the bar says of one job.

    Attributes
    ----------
    label : str
        Shown while the job is the first unfinished one.
    cost : float
        Expected time in any unit, positive; the time left is estimated with it.
    """

    label: str
    cost: float


class Stage:
    """How far one job is; written by its thread, read by that of the clock."""

    def __init__(self) -> None:
        self._part: tuple[float, float, Callable[[], float] | None] = (0.0, 0.0, None)

    def begin(self, share: float, gauge: Callable[[], float] | None) -> None:
        """Begin a part that is this share of what is left."""
        start = self._part[1]
        self._part = (start, start + share * (1.0 - start), gauge)

    def end(self) -> None:
        """End it."""
        self._part = (self._part[1], self._part[1], None)

    @property
    def done(self) -> float:
        """Share of the job that is done."""
        start, end, gauge = self._part
        return start if gauge is None else start + (end - start) * gauge()


@contextmanager
def part_of_job(
    share: float, gauge: Callable[[], float] | None = None
) -> Iterator[None]:
    """Say that what runs inside is a part of the job of this thread.

    Parameters
    ----------
    share : float
        Of what is left of the job: nobody knows how often it will be extended.
    gauge : callable, optional
        Returns how much of the part is done, 0 to 1; another thread asks it.
    """
    stage: Stage | None = getattr(_here, "stage", None)
    if stage is None:
        yield
        return
    stage.begin(share, gauge)
    try:
        yield
    finally:
        stage.end()


class ProgressLine:
    """Counts jobs as they finish; a context manager that leaves nothing behind.

    Parameters
    ----------
    jobs : mapping of int to Work
        By number, in the order in which they are started.
    show : bool or None
        None: not for jobs that are done in a second, nor, before half a minute is over,
        on a pipe.
    what : str
        What is counted, e.g. ``"models"``.
    """

    def __init__(self, jobs: Mapping[int, Work], show: bool | None, what: str) -> None:
        self._left = dict(jobs)
        self._count = len(jobs)
        self._total = sum(work.cost for work in jobs.values())
        self._what = what
        self._stages: dict[int, Stage] = {}
        self._shown = 0.0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        made = make_bar(self._total, self._counted(), show) if jobs else None
        self._bar = None if made is None else made[0]
        self._width = 0 if made is None else made[1]

    def __enter__(self) -> ProgressLine:
        """Return the line itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the line, whatever happened."""
        with self._lock:
            self._closed.set()
            if self._bar is not None:
                self._bar.close()

    def within(self, number: int, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return the work of a job as one that also tells of its parts.

        For threads of this process: it cannot be sent to another one.
        """

        def run(*arguments: Any) -> Any:
            _here.stage = self._stages[number] = Stage()
            try:
                return work(*arguments)
            finally:
                del _here.stage

        return work if self._bar is None else run

    def started(self) -> None:
        """Keep the clock going; all jobs have been handed over."""
        if self._bar is not None:
            threading.Thread(target=self._tick, daemon=True).start()

    def finished(self, number: int) -> None:
        """Count a job."""
        with self._lock:
            if self._bar is None:
                return
            del self._left[number]
            self._advance()

    def _tick(self) -> None:
        while not self._closed.wait(TICK):
            with self._lock:
                if self._bar is not None and not self._closed.is_set():
                    self._advance()
                    self._bar.refresh()

    def _advance(self) -> None:
        """Add what was done since the last time."""
        assert self._bar is not None
        label = next((work.label for work in self._left.values()), "")
        room = self._width - _ROOM_BEFORE_LABEL
        self._bar.set_description_str(self._counted(), refresh=False)
        self._bar.set_postfix_str(_shortened(label, room), refresh=False)
        left = sum(
            work.cost * (1.0 - self._stages[number].done)
            if number in self._stages
            else work.cost
            for number, work in self._left.items()
        )
        now = max(self._total - left, self._shown)
        self._bar.update(now - self._shown)
        self._shown = now

    def _counted(self) -> str:
        width = len(str(self._count))
        return f"{self._count - len(self._left):{width}}/{self._count} {self._what}"


class CountLine:
    """Counts what is done of many things of one kind, until it is closed.

    Parameters
    ----------
    total : int or None
        How many there are; None: nobody knows.
    show : bool or None
        As in `ProgressLine`.
    what : str
        What is counted.
    """

    def __init__(self, total: int | None, show: bool | None, what: str) -> None:
        self._done, self._total, self._what = 0, total, what
        made = make_bar(total, self._counted(), show)
        self._bar = None if made is None else made[0]

    def close(self) -> None:
        """Remove the line."""
        if self._bar is not None:
            self._bar.close()

    def add(self) -> None:
        """Count one more."""
        self._done += 1
        if self._bar is not None:
            self._bar.set_description_str(self._counted(), refresh=False)
            self._bar.update(1)

    def _counted(self) -> str:
        total = "" if self._total is None else f"/{self._total}"
        return f"{self._done}{total} {self._what}"


def _shortened(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    return text[: room - 1] + "…" if room > len("model 12") else ""
