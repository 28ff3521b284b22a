"""What shows progress: a line on a terminal, a widget, or lines on a pipe."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from typing import Any, Protocol

QUIET_FOR = 1.0
"""Seconds before a bar appears unasked: short fits need none."""

LINE_EVERY = 30.0
"""Seconds after which a pipe gets a line, the first one too if it was not asked for."""

_WIDE = 100  # characters that a notebook or a file has room for

LINE_SHARE = 0.1
"""Share of the work after which a pipe gets a line sooner."""

_TERMINAL = "{desc} |{bar:10}| {elapsed}<{remaining}{postfix}"
_NOTEBOOK = "{desc} {bar} {elapsed}<{remaining}{postfix}"


class Bar(Protocol):
    """What is needed of a bar; tqdm's have it."""

    def update(self, n: float) -> Any:
        """Add work that was done."""

    def set_description_str(self, desc: str, refresh: bool = True) -> None:
        """Set what stands before the bar."""

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """Set what stands after it."""

    def refresh(self) -> Any:
        """Draw it again."""

    def close(self) -> None:
        """Remove it."""


def make_bar(
    total: float | None, text: str, show: bool | None
) -> tuple[Bar, int] | None:
    """Return a bar for where this runs, and how many characters it has; or None.

    Parameters
    ----------
    total : float or None
        Work to do, in any unit; None: nobody knows.
    text : str
        Before the bar.
    show : bool or None
        None: not for what is done in a moment, nor where there is nobody to see it.
    """
    if show is False:
        return None
    screen = Screen(sys.stderr)
    options: dict[str, Any] = {
        "total": total, "desc": text, "leave": False, "smoothing": 0, "miniters": 0,
        "delay": QUIET_FOR if show is None else 0,
    }  # fmt: skip
    notebook = in_notebook()
    # tqdm's own choice, tqdm.auto, warns where the widgets are missing.
    if notebook and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm_notebook

        class Widget(tqdm_notebook):  # type: ignore[type-arg]
            monitor_interval = 0  # its thread must not be there when pools fork

        widget: Any = Widget(bar_format=_NOTEBOOK, **options)
        return widget, _WIDE
    if notebook or screen.isatty():
        from tqdm.std import tqdm

        class Line(tqdm):  # type: ignore[type-arg]
            monitor_interval = 0

        line = Line(
            bar_format=_TERMINAL, file=screen, dynamic_ncols=not notebook,
            ncols=_WIDE if notebook else None, **options,
        )  # fmt: skip
        return line, int(line.format_dict["ncols"] or 80)
    return Lines(screen, total, text, asked=show is True), _WIDE


def in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return "IPKernelApp" in getattr(shell, "config", {})


class Lines:
    """A bar for pipes and log files: a line now and then, each of which stays.

    Parameters
    ----------
    stream : Screen
    total : float or None
        Work to do; None: nobody knows.
    text : str
        What was counted so far.
    asked : bool
        Whether the first line comes at once.
    """

    def __init__(
        self, stream: Screen, total: float | None, text: str, asked: bool
    ) -> None:
        self._stream, self._total, self._text = stream, total, text
        self._begun = self._shown_at = time.monotonic()
        self._done = self._shown = 0.0
        self._talks = asked
        if asked:
            self._write()

    def update(self, n: float) -> None:
        """Add work that was done."""
        self._done += n
        self.refresh()

    def set_description_str(self, desc: str, refresh: bool = True) -> None:
        """Set what was counted so far."""
        self._text = desc

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """Do nothing: what runs at the moment is soon another."""

    def refresh(self) -> None:
        """Write a line if it is time for one."""
        late = time.monotonic() - self._shown_at >= LINE_EVERY
        step = float("inf") if self._total is None else LINE_SHARE * self._total
        far = self._done - self._shown >= step
        if late or (far and self._talks):
            self._talks = True
            self._write()

    def close(self) -> None:
        """Do nothing: lines stay."""

    def _write(self) -> None:
        from tqdm.std import tqdm

        gone = time.monotonic() - self._begun
        work = left = ""
        if self._total is not None:
            share = min(self._done / self._total, 1.0) if self._total else 1.0
            work = f" {100 * share:.0f} % of the work,"
            if 0 < share < 1:
                left = f", about {tqdm.format_interval(gone * (1 / share - 1))} left"
        self._stream.write(
            f"pyrobma: {self._text.strip()},{work} {tqdm.format_interval(gone)} "
            f"gone{left}\n"
        )
        self._stream.flush()
        self._shown, self._shown_at = self._done, time.monotonic()


class Screen:
    """A stream that falls silent when it breaks: a fit outlives its terminal."""

    def __init__(self, stream: Any) -> None:
        # There is no stderr at all under a windowed interpreter.
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None)

    def write(self, text: str) -> None:
        """Write text, if there is somewhere to write."""
        self._try("write", text)

    def flush(self) -> None:
        """Flush it."""
        self._try("flush")

    def isatty(self) -> bool:
        """Whether somebody may be looking."""
        return bool(self._try("isatty"))

    def fileno(self) -> int:
        """Return the descriptor; OSError without one."""
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
