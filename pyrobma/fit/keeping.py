"""Stage 4: what fits are handed to as they come, so that a killed run loses none."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any, Protocol

from pyrobma.errors import DataWarning, warn
from pyrobma.fit.model import Fit
from pyrobma.models import ModelSpec


class FitStore(Protocol):
    """What is needed of a store of fits; `pyrobma.ensemble.FitCache` is one."""

    def get(
        self, spec: ModelSpec, fingerprint: str, seed: int, *, after: int = -1
    ) -> Fit | None:
        """Return a fit with more draws per chain than `after`, or None."""

    def put(self, fit: Fit) -> None:
        """Store a fit; raise OSError if that cannot be done."""

    def remove(self, fit: Fit) -> None:
        """Forget a fit, if it is there."""


class Keeper:
    """Hands fits to a store from the threads in which they finish.

    Parameters
    ----------
    store : FitStore or None
        None: nothing is kept and nothing found.
    """

    def __init__(self, store: FitStore | None) -> None:
        self._store = store
        self._kept: set[tuple[str, int, int]] = set()
        self._failure: OSError | None = None
        self._lock = threading.Lock()

    def find(
        self, spec: ModelSpec, fingerprint: str, seed: int, *, after: int = -1
    ) -> Fit | None:
        """Return a stored fit with more draws per chain than `after`, or None."""
        if self._store is None:
            return None
        return self._store.get(spec, fingerprint, seed, after=after)

    def watch(self, job: Any) -> None:
        """Keep what a job returns when it does, if its future can tell."""
        # The main thread collects jobs in their order, and the first can take longest.
        if self._store is not None and callable(
            getattr(job, "add_done_callback", None)
        ):
            job.add_done_callback(self._finished)

    def keep(self, fit: Fit) -> None:
        """Store a fit, unless it was; after a failure store no more."""
        key = fit.fingerprint, fit.seed, draws_of(fit)
        with self._lock:
            if self._store is None or self._failure or key in self._kept:
                return
            try:
                self._store.put(fit)
            except OSError as error:
                self._failure = error
            else:
                self._kept.add(key)

    def forget(self, fit: Fit) -> None:
        """Remove a fit that a longer one took the place of."""
        if self._store is not None and not self._failure:
            with suppress(OSError):
                self._store.remove(fit)

    def tell(self) -> None:
        """Warn if fits could not be stored."""
        if self._failure is not None:
            warn(
                f"cache: fits could not be stored: {self._failure}. The results are "
                "not affected, but these models would be fitted again.",
                DataWarning,
            )

    def _finished(self, job: Any) -> None:
        # A job that failed or was cancelled raises; whoever collects it will see.
        with suppress(BaseException):
            self.keep(job.result())


def draws_of(fit: Fit) -> int:
    """Return the draws per chain of a fit; 0 without free parameters."""
    return 0 if fit.chains is None else fit.chains.draws.shape[1]
