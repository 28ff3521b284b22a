"""What could not be made, said in its place so that nothing else is lost."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from pyrobma.errors import PyrobmaWarning

_LONGEST: Final = 300

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be made.

    Attributes
    ----------
    what : str
        Begins a sentence, e.g. "The figure forest".
    reason : str
        The error, on one line.
    """

    what: str
    reason: str

    def __str__(self) -> str:
        """Say both in a sentence."""
        return f"{self.what} could not be made: {self.reason}"


def attempt(what: str, make: Callable[[], Made]) -> Made | Failure:
    """Return what a function makes, or why it fails, whatever it raises."""
    try:
        return make()
    # Its cause may be in any library, and the rest of the report is worth having.
    except Exception as error:
        return failure_of(what, error)


def failure_of(what: str, error: Exception) -> Failure:
    """Return the failure that an error was."""
    return Failure(what, _one_line(error))


def failures_of(made: Iterable[object]) -> tuple[Failure, ...]:
    """Return what failed among things that were attempted."""
    return tuple(thing for thing in made if isinstance(thing, Failure))


def warn_of(failures: Iterable[Failure]) -> None:
    """Give a warning for each failure, once everything else is done."""
    for failure in failures:
        # At the line that called who calls this.
        warnings.warn(str(failure), PyrobmaWarning, stacklevel=3)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if len(text) > _LONGEST:
        text = text[:_LONGEST].rstrip() + "…"
    name = type(error).__name__
    return f"{name}: {text}" if text else f"{name}."
