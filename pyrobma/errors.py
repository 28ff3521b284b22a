"""Exceptions and warnings of the package.

Every message reads: ``<argument>: expected <what>; got <what> at <where>.
<What to do.>``
"""

from __future__ import annotations

import inspect
import warnings


class PyrobmaError(Exception):
    """Base class of all errors raised by pyrobma."""


class DataError(PyrobmaError, ValueError):
    """A table, an effect size or a standard error cannot be used."""


class PriorError(PyrobmaError, ValueError):
    """A prior, or a set of priors, is not a legal one."""


class ArgumentError(PyrobmaError, TypeError):
    """A function was called with arguments that it does not have."""


class ToolchainError(PyrobmaError, RuntimeError):
    """A compiled Stan program cannot be found, started or built."""


class SamplingError(PyrobmaError, RuntimeError):
    """A Markov chain failed; the message holds Stan's own sentence."""


class ChainsTimeout(SamplingError):
    """Markov chains took longer than they may and were stopped."""


class BridgeError(PyrobmaError, RuntimeError):
    """A marginal likelihood could not be estimated."""


class PyrobmaWarning(UserWarning):
    """Base class of all warnings given by pyrobma."""


class DataWarning(PyrobmaWarning):
    """The data are legal but deserve a second look."""


class PriorWarning(PyrobmaWarning):
    """A prior was changed to fit its parameter."""


class ConvergenceWarning(PyrobmaWarning):
    """The Markov chains of a model did not pass every check."""


def warn(text: str, category: type[PyrobmaWarning]) -> None:
    """Warn about the line outside the package that called into it."""
    package, level = __name__.partition(".")[0], 1
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] != package:
            break
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)
