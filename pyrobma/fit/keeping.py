"""Stage 4: what fits are handed to as they come, so that a killed run loses none."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

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
    """Hands fits to a store as they are finished.

    Parameters
    ----------
    store : FitStore or None
        None: nothing is kept and nothing found.
    """

    def __init__(self, store: FitStore | None) -> None:
        self._store = store
        self._failure: OSError | None = None

    def find(
        self, spec: ModelSpec, fingerprint: str, seed: int, *, after: int = -1
    ) -> Fit | None:
        """Return a stored fit with more draws per chain than `after`, or None."""
        if self._store is None:
            return None
        return self._store.get(spec, fingerprint, seed, after=after)

    def keep(self, fit: Fit) -> None:
        """Store a fit; after a failure store no more."""
        if self._store is None or self._failure:
            return
        try:
            self._store.put(fit)
        except OSError as error:
            self._failure = error

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


def draws_of(fit: Fit) -> int:
    """Return the draws per chain of a fit; 0 without free parameters."""
    return 0 if fit.chains is None else fit.chains.draws.shape[1]
