"""``python -m pyrobma fit``: from a table in a file to a folder of results."""

from __future__ import annotations

import argparse
import platform
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd

from pyrobma.api import robma
from pyrobma.commands.columns import check_numbers
from pyrobma.commands.extras import (
    Planned,
    check_components,
    predictions,
    read_newdata,
    sensitivities,
)
from pyrobma.commands.folder import FINISHED, new_file, output_folder
from pyrobma.commands.moderators import components_of, given_moderators, read_terms
from pyrobma.commands.options import COLUMNS, add_options
from pyrobma.commands.priors import check_output_scale, given_priors
from pyrobma.commands.reported import reported_estimates
from pyrobma.commands.results import write_results
from pyrobma.commands.table import Table, read_table
from pyrobma.commands.words import in_options, option_words
from pyrobma.errors import DataError, PyrobmaError
from pyrobma.fit import FitError, FitInterrupted
from pyrobma.programs import stan_version
from pyrobma.result import RobmaFit, load

_PASSED_ON = (
    "transformation", "prior_scale", "effect_mapping", "effect_direction",
    "rescale_priors", "model_type", "chains", "warmup", "draws", "seed", "cores",
    "cache",
)  # fmt: skip


def add_to(commands: Any) -> None:
    """Add the command to a parser."""
    add_options(commands, run)


def run(options: argparse.Namespace) -> int:
    """Fit what the options say and write the results; return the exit code."""
    say = _silent if options.quiet else _say
    try:
        check_output_scale(options)
        with output_folder(options.out, overwrite=options.overwrite):
            return _run(options, say)
    except (PyrobmaError, OSError) as error:
        _say(f"Error: {error}")
        return 1


def _run(options: argparse.Namespace, say: Callable[[str], None]) -> int:
    with _told_warnings() as remarks:
        table = read_table(
            options.file,
            sep=options.sep,
            decimal=options.decimal,
            encoding=options.encoding,
            sheet=options.sheet,
        )
        say(f"{options.file}: {len(table.frame)} rows")
        check_numbers(options, table.frame)
        with in_options():
            moderators = given_moderators(options)
            newdata = _checked_newdata(options, table, moderators)
        told_to_end: list[int] = []
        try:
            with _end_as_interrupt(told_to_end), in_options():
                fit = _fit(options, table, moderators, say)
        except FitError as error:
            _say(f"Error: {error}")
            _keep(error.finished, options.out)
            return 1
        except FitInterrupted as interrupt:
            _say("Interrupted.")
            _keep(interrupt.finished, options.out)
            return 128 + (told_to_end or [signal.SIGINT])[0]
    with _told_warnings():
        write_results(
            fit,
            options.out,
            settings=_settings(options, fit, table),
            output_scale=options.output_scale,
            with_figures=not options.no_figures,
            with_stan=options.stan,
            remarks=remarks,
            extras=_extras(options, fit, newdata, say),
            say=say,
        )
    say(f"Done: {options.out}")
    return 0 if all(model.ok for model in fit.fits) else 3


def _checked_newdata(
    options: argparse.Namespace, table: Table, moderators: Mapping[str, Any]
) -> pd.DataFrame | None:
    """Read new rows; refuse, before anything is fitted, what would fail after it."""
    newdata = read_newdata(options)
    terms = {}
    if moderators and (newdata is not None or options.sensitivity):
        terms = read_terms(table.frame, moderators, options.missing)
    if newdata is not None:
        for of_formula in terms.values():
            of_formula.design(newdata)
    check_components(options.sensitivity or (), components_of(terms))
    return newdata


def _extras(
    options: argparse.Namespace,
    fit: RobmaFit,
    newdata: pd.DataFrame | None,
    say: Callable[[str], None],
) -> Iterator[Planned]:
    if newdata is not None:
        say(f"Predicting {len(newdata)} rows")
        make = partial(predictions, fit, newdata, options.output_scale)
        yield Planned("predictions", make)
    if options.sensitivity:
        say("Finding how results change with priors")
        yield from sensitivities(
            fit, options.sensitivity, cores=options.cores, quiet=options.quiet
        )


def _fit(
    options: argparse.Namespace,
    table: Table,
    moderators: Mapping[str, Any],
    say: Callable[[str], None],
) -> RobmaFit:
    arguments: dict[str, Any] = {
        name: getattr(options, name) for name in (*COLUMNS, *_PASSED_ON)
    }
    arguments |= reported_estimates(options, table.frame)
    arguments |= given_priors(options) | dict(moderators)
    arguments["missing"] = options.missing
    if options.no_bias:
        arguments["priors_bias"] = None
    if options.resume is not None:
        arguments["fits"] = _resumed(options.resume).fits
    started = time.perf_counter()
    progress = False if options.quiet else None
    fit: RobmaFit = robma(table.frame, progress=progress, **arguments)
    seconds = time.perf_counter() - started
    say(f"{len(fit.fits)} models in {seconds:.1f} s")
    if options.resume is not None:
        known = {model.fingerprint for model in arguments["fits"]}
        reused = sum(model.fingerprint in known for model in fit.fits)
        text = f"{reused} of {len(fit.fits)} models were taken from {options.resume}"
        if reused:
            say(f"{text}.")
        else:
            warnings.warn(
                f"--resume: {text}, which has other data, priors or settings.",
                UserWarning,
                stacklevel=2,
            )
    return fit


def _resumed(path: Path) -> RobmaFit:
    try:
        return load(path)
    except OSError as error:
        raise DataError(f"--resume: {path} cannot be read: {error}") from error
    except DataError as error:
        text = str(error).removeprefix("path: ")
        raise DataError(f"--resume: {text}") from error


def _keep(finished: RobmaFit | None, folder: Path) -> None:
    """Save the models that were finished before a failure or an interruption."""
    if finished is None:
        return
    path = new_file(folder, FINISHED, keep=True)
    finished.save(path)
    _say(
        f"Finished models ({len(finished.fits)}) are kept in {path}: give it to "
        "--resume."
    )


@contextmanager
def _end_as_interrupt(received: list[int]) -> Iterator[None]:
    """Let SIGTERM, as of a batch system, keep what is finished, as Ctrl-C does."""

    def end(number: int, _: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _told_warnings() -> Iterator[list[str]]:
    """Print each warning once, when it is given, and collect their texts."""
    texts: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        others = warnings.showwarning

        def tell(
            message: Warning | str, category: type[Warning], *rest: Any, **more: Any
        ) -> None:
            text = option_words(str(message))
            if not issubclass(category, UserWarning):
                others(message, category, *rest, **more)
            elif text not in texts:
                texts.append(text)
                _say(f"Warning: {text}")

        warnings.showwarning = tell
        yield texts


def _settings(
    options: argparse.Namespace, fit: RobmaFit, table: Table
) -> dict[str, Any]:
    """Return what is needed to run the analysis again, and to know what it was."""
    given = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(options).items()
        if name not in ("run", "command", "overwrite", "quiet") and value is not None
    }
    return {
        "options": given,
        "seed": fit.seed,
        "data_sha256": table.sha256,
        "models": len(fit.fits),
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": {
            "pyrobma": version("pyrobma"),
            "cmdstanpy": version("cmdstanpy"),
            "bridgestan": version("bridgestan"),
            "stan": stan_version("normal"),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _say(text: str) -> None:
    # A terminal that is gone must not stop a fit; print would take stdout for None.
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)


def _silent(text: str) -> None:
    pass
