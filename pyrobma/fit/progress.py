"""How far a long fit is, as one line on stderr."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

QUIET_FOR = 1.0
"""Seconds before the line appears unasked: short fits need none."""

TICK = 1.0
"""Seconds between redraws while no job finishes, so that the clock goes on."""

_ROOM_BEFORE_LABEL = 40
_FORMAT = "{desc} |{bar:10}| {elapsed}<{remaining}{postfix}"


@dataclass(frozen=True, slots=True)
class Work:
    """What the line says of one job.

    Attributes
    ----------
    label : str
        Shown while the job is the first unfinished one.
    cost : float
        Expected time in any unit, positive; the time left is estimated with it.
    """

    label: str
    cost: float


class ProgressLine:
    """Counts jobs as they finish; a context manager that leaves nothing behind.

    Parameters
    ----------
    jobs : mapping of int to Work
        By number, in the order in which they are started.
    show : bool or None
        None: only on a terminal, and not for jobs that are done in a second.
    what : str
        What is counted, e.g. ``"models"``.
    """

    def __init__(self, jobs: Mapping[int, Work], show: bool | None, what: str) -> None:
        self._left = dict(jobs)
        self._count = len(jobs)
        self._what = what
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._bar: Any = None
        screen = _Screen(sys.stderr)
        if jobs and (screen.isatty() if show is None else show):
            # Plain text also in notebooks: the widget needs ipywidgets, or warns.
            from tqdm.std import tqdm

            class Bar(tqdm):  # type: ignore[type-arg]
                monitor_interval = 0  # its thread must not be there when pools fork

            self._bar = Bar(
                total=sum(work.cost for work in jobs.values()),
                desc=self._counted(),
                bar_format=_FORMAT,
                file=screen,
                leave=False,
                dynamic_ncols=True,
                smoothing=0,
                miniters=0,
                delay=QUIET_FOR if show is None else 0,
            )

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

    def watch(self, number: int, job: Any) -> None:
        """Count a job when it finishes, if its future can tell; else `finished` must.

        Parameters
        ----------
        number : int
            A key of `jobs`.
        job : future
            With or without the ``add_done_callback`` of `concurrent.futures`.
        """
        if self._bar is not None and callable(getattr(job, "add_done_callback", None)):
            job.add_done_callback(lambda _: self.finished(number))

    def started(self) -> None:
        """Keep the clock going; all jobs have been handed over."""
        if self._bar is not None:
            threading.Thread(target=self._tick, daemon=True).start()

    def finished(self, number: int) -> None:
        """Count a job, from any thread; a second time does nothing."""
        with self._lock:
            if self._bar is None or self._closed.is_set() or number not in self._left:
                return
            work = self._left.pop(number)
            self._label()
            self._bar.update(work.cost)

    def _tick(self) -> None:
        while not self._closed.wait(TICK):
            with self._lock:
                if not self._closed.is_set():
                    self._label()
                    self._bar.refresh()

    def _label(self) -> None:
        label = next((work.label for work in self._left.values()), "")
        room = (self._bar.format_dict["ncols"] or 80) - _ROOM_BEFORE_LABEL
        self._bar.set_description_str(self._counted(), refresh=False)
        self._bar.set_postfix_str(_shortened(label, room), refresh=False)

    def _counted(self) -> str:
        width = len(str(self._count))
        return f"{self._count - len(self._left):{width}}/{self._count} {self._what}"


def _shortened(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    return text[: room - 1] + "…" if room > len("model 12") else ""


class _Screen:
    """A stream that falls silent when it breaks: a fit outlives its terminal."""

    def __init__(self, stream: Any) -> None:
        # There is no stderr at all under a windowed interpreter.
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None)

    def write(self, text: str) -> None:
        self._try("write", text)

    def flush(self) -> None:
        self._try("flush")

    def isatty(self) -> bool:
        return bool(self._try("isatty"))

    def fileno(self) -> int:
        # tqdm asks for it to measure the width, and copes with an OSError.
        if self._stream is None:
            raise OSError("no stream")
        return int(self._stream.fileno())

    def _try(self, method: str, *arguments: str) -> Any:
        if self._stream is None:
            return None
        try:
            return getattr(self._stream, method)(*arguments)
        except (OSError, ValueError):  # ValueError: it was closed
            self._stream = None
            return None
