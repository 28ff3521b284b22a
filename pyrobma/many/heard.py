"""Warnings of one thread among others."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

_lock = threading.Lock()
_lists: dict[int, list[str]] = {}  # by thread
_restored = ExitStack()


@contextmanager
def heard() -> Iterator[list[str]]:
    """Keep the warnings of this thread, as texts, instead of showing them.

    `warnings.catch_warnings` is for the whole process: of threads that enter and leave
    it in turn one would get the warnings of another, and the last one to leave would
    put back what an earlier one had put in, for good. So it is entered once for all.
    """
    thread, own = threading.get_ident(), list[str]()
    with _lock:
        if not _lists:
            _restored.enter_context(warnings.catch_warnings())
            warnings.simplefilter("always")
            warnings.showwarning = _sorted_by_thread(warnings.showwarning)
        before = _lists.get(thread)  # of an analysis that this one is a part of
        _lists[thread] = own
    try:
        yield own
    finally:
        with _lock:
            if before is not None:
                _lists[thread] = before
            else:
                del _lists[thread]
            if not _lists:
                _restored.close()


def _sorted_by_thread(show: Any) -> Any:
    def sort(message: Warning | str, category: type[Warning], *where: Any) -> None:
        own = _lists.get(threading.get_ident())
        if own is None:
            show(message, category, *where)
        else:
            own.append(f"{category.__name__}: {message}")

    return sort
