"""Many meta-analyses in one call."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pandas as pd

from pyrobma import programs
from pyrobma.api import robma
from pyrobma.errors import ArgumentError, ConvergenceWarning, DataError, warn
from pyrobma.fit.jobs import available_cores
from pyrobma.fit.pool import Executors, JobPool
from pyrobma.fit.progress import CountLine
from pyrobma.fit.provenance import FORMAT
from pyrobma.fit.settings import SettingsError, check_run
from pyrobma.many.folder import InFolder, InMemory, Results
from pyrobma.many.rows import COLUMNS, Extract, analysed, as_frame, failed, hash_of
from pyrobma.many.sources import Name, Source, read_source

_AHEAD: Final = 2
"""Analyses per worker that are handed over: the next one is there when one ends."""

_IDLE: Final = 60  # seconds after which a process that has nothing to do ends
_WORKER: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
_ESTIMATES: Final = (
    "d", "r", "z", "logOR", "OR", "y", "se", "v", "n", "t", "p", "lCI", "uCI",
    "x1", "n1", "t1", "x2", "n2", "t2", "study_names", "study_ids",
)  # fmt: skip


class ManyInterrupted(KeyboardInterrupt):
    """The user stopped `robma_many`.

    Attributes
    ----------
    results : DataFrame
        Of the analyses that were finished.
    """

    def __init__(self, results: pd.DataFrame) -> None:
        super().__init__()
        self.results = results

    def __reduce__(self) -> tuple[type[ManyInterrupted], tuple[pd.DataFrame]]:
        """Let the interrupt, with its results, come back from another process."""
        return ManyInterrupted, (self.results,)


def robma_many(
    data: Any,
    by: str | None = None,
    *,
    results: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    cores: int | None = None,
    executor: Executors | None = None,
    progress: bool | None = None,
    interval: float = 0.95,
    extract: Extract | None = None,
    retry: bool = False,
    **options: Any,
) -> pd.DataFrame:
    """Fit many meta-analyses and return their results in one table.

    Parameters
    ----------
    data : table, path, mapping, iterable or Simulation
        A long table with one row per estimate, as `robma` takes; the path of a Parquet
        file, or a folder of them, with the estimates of an analysis together, which is
        read piece by piece; a mapping of names to tables or `EffectSizes`; an iterable
        of such pairs, read as they are needed; or what `simulate` returns.
    by : str, optional
        Column of a table or a file that says which analysis an estimate belongs to:
        texts or whole numbers. Its name is none of the columns of the results. None
        for everything else.
    results : path, optional
        A folder where results are written, as Parquet files, as they come. The same
        call goes on from there after whatever ended it, and does nothing twice. Needs
        pyarrow. None: results are kept in memory.
    seed : int, optional
        Not negative. It fixes every number, whatever else is analysed in the call,
        where and in which order. None draws one, or takes that of the folder.
    cores : int, optional
        Analyses at the same time: processes here, or workers that `executor` has.
        None: as many as this process may use.
    executor : executor or callable, optional
        Runs whole analyses as jobs: anything with the ``submit`` of
        `concurrent.futures`, e.g. a Dask client, or a function that makes one, which
        is called again when a worker died. None: processes here, by loky.
    progress : bool, optional
        As in `robma`, counting analyses.
    interval : float
        Probability of the central intervals, in (0, 1).
    extract : callable, optional
        Takes the fit of an analysis, on its worker, and returns a mapping of names to
        numbers, which become rows too. Executors other than the default need one that
        can be imported.
    retry : bool
        Whether analyses that failed when they were written to `results` are done again.
    **options
        Arguments of `robma`, the same for all analyses: columns by name, priors,
        ``settings``, ``cache``, ...

    Returns
    -------
    DataFrame
        Several rows per analysis, in the order of the data. Columns: `by` (or
        ``analysis``, or ``dataset`` of a simulation), ``kind``, ``name``, and numbers
        that are missing where they mean nothing:

        - ``"analysis"``, one row each, without name: ``K`` estimates in ``clusters``,
          ``models``, those of them that ``missed`` a check, ``seconds``, ``seed``,
          ``data_hash``, the ``warnings`` that were given, and the ``error`` if the
          analysis failed, which then has no other rows;
        - ``"component"``, a row for each of `Ensemble.inclusion`: ``prior_prob``,
          ``post_prob``, ``inclusion_bf``, ``log_bf``, ``log_bf_mcse``;
        - ``"estimate"``, a row for each averaged parameter, on the prior scale:
          ``mean``, ``sd``, ``median``, ``lower``, ``upper``, ``mean_mcse`` and
          ``quantile_mcse``, the largest of the three quantiles';
        - ``"extracted"``, what `extract` returned: ``value``.

    Raises
    ------
    DataError
        If `data` or `by` cannot be used, a name occurs again, or the folder holds
        results of other data or arguments, is used by another process, or cannot be
        read or written.
    SettingsError, ArgumentError
        If another argument cannot be used.
    ManyInterrupted
        On an interrupt from the keyboard; finished analyses are in its ``results``.

    Warns
    -----
    ConvergenceWarning
        If analyses of the table failed. Warnings of single analyses are in the table.

    Notes
    -----
    An analysis is a job, so that only its data and its rows move between processes; it
    runs its models one after the other. Memory does not grow with the number of
    analyses but for the table at the end. The seed of an analysis is made of `seed` and
    its name.

    Examples
    --------
    >>> import pyrobma as rb
    >>> plan = rb.robma(d=[0.3, 0.5, 0.2], se=[0.2, 0.3, 0.25], priors_bias=None,
    ...                 only_priors=True)
    >>> found = rb.robma_many(rb.simulate(plan, 2, seed=1), priors_bias=None, seed=1)
    >>> found[found["name"] == "mu"]["dataset"].tolist()
    [1, 2]
    """
    _check(seed, cores, interval, extract, options)
    source = read_source(data, by)
    _check_label(source.label)
    cores = cores or available_cores()
    # Absolute, because the working directory may change meanwhile.
    folder = (
        None if results is None else InFolder(Path(results).absolute(), source.label)
    )
    if seed is None and folder is not None:
        seed = folder.seed
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    job = _Job(source.label, options, interval, extract, seed)
    store = (
        nullcontext(InMemory(source.label))
        if folder is None
        else folder.opened(job.arguments(), retry=retry)
    )
    with store as found, _pool(executor, cores) as pool:
        names = _fill(found, source, job, pool, cores * _AHEAD, progress)
    table = _in_order(found.frame(), source.label, names)
    _tell_failures(table, source.label)
    return table


@dataclass(frozen=True, slots=True)
class _Job:
    """What all analyses have in common."""

    label: str
    options: Mapping[str, Any]
    interval: float
    extract: Extract | None
    seed: int

    def seed_of(self, name: Name) -> int:
        digest = hashlib.sha256(repr(name).encode()).digest()
        own = int.from_bytes(digest[:8], "little")
        sequence = np.random.SeedSequence([self.seed, own])
        return int(sequence.generate_state(1, np.uint64)[0])

    def arguments(self) -> dict[str, Any]:
        """Return what results depend on beside the data, as JSON has it."""
        told = {
            name: _ADDRESS.sub("", repr(value))
            for name, value in sorted({**self.options, "extract": self.extract}.items())
        }
        told.pop("cache", None)  # where fits are kept is no matter
        return {
            "by": self.label,
            "seed": self.seed,
            "interval": self.interval,
            "programs": [programs.text_hash(name) for name in programs.PROGRAMS],
            "format": FORMAT,
            **told,
        }


def _fill(
    found: Results,
    source: Source,
    job: _Job,
    pool: JobPool,
    ahead: int,
    progress: bool | None,
) -> list[Name]:
    """Do what is not there yet, and return the names in the order of the data."""
    known = found.known()
    names: list[Name] = []
    running: dict[Name, str] = {}

    def collect() -> None:
        ended = pool.next()
        name = cast(Name, ended.key)
        own = running.pop(name), job.seed_of(name)
        rows = ended.value
        if ended.error is not None:
            rows = failed(ended.error, own[1], own[0])
        found.add(name, as_frame(source.label, name, rows))
        line.add()

    try:
        with closing(CountLine(source.count, progress, "analyses")) as line:
            for name, data in source:
                names.append(name)
                _check_kind(name, known)
                mark = hash_of(data)
                if name in known:
                    _check_data(name, known[name], mark)
                    line.add()
                    continue
                running[name] = mark
                pool.submit(
                    name, analysed, data, job.seed_of(name), mark, job.options,
                    job.interval, job.extract,
                )  # fmt: skip
                while len(pool) >= ahead:
                    collect()
            while len(pool):
                collect()
    except KeyboardInterrupt as error:
        for one in pool.stop():
            name = cast(Name, one.key)
            found.add(name, as_frame(source.label, name, one.value))
        raise ManyInterrupted(_in_order(found.frame(), source.label, names)) from error
    return names


@contextmanager
def _pool(executor: Executors | None, cores: int) -> Iterator[JobPool]:
    """Open processes here, unless there is an executor."""
    if executor is not None:
        yield JobPool(executor)
        return
    from loky import ProcessPoolExecutor

    # Processes, because half of the work on small data is Python's own, and loky's,
    # because they need no guard in the script and take functions of a notebook.
    made: list[Any] = []

    def workers() -> Any:
        made[:] = [
            ProcessPoolExecutor(
                cores, timeout=_IDLE, env=dict(_WORKER),
                initializer=_end_with, initargs=(os.getpid(),),
            )
        ]  # fmt: skip
        return made[0]

    try:
        yield JobPool(workers)
    except BaseException:
        for one in made:
            one.shutdown(wait=False, kill_workers=True)
        raise
    made[0].shutdown()


def _end_with(parent: int) -> None:
    """Let this process, and with it its chains, end when the one that made it does.

    One that is told to end, or killed, has no time to end others, and they would go on
    with what they were given.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _tell_failures(table: pd.DataFrame, label: str) -> None:
    """Warn if analyses of a table failed."""
    own = table[table["kind"] == "analysis"]
    bad = own[own["error"].notna()]
    if bad.empty:
        return
    counts = bad["error"].value_counts()
    error, count = counts.index[0], counts.iloc[0]
    first = bad.loc[bad["error"] == error, label].tolist()[0]
    times = f" ({count} times)" if count > 1 else ""
    warn(
        f"{len(bad)} of {len(own)} analyses failed; see the column 'error'. Analysis "
        f"{first!r}{times}: {error}",
        ConvergenceWarning,
    )


def _check(
    seed: int | None,
    cores: int | None,
    interval: float,
    extract: Extract | None,
    options: Mapping[str, Any],
) -> None:
    check_run(seed, cores)
    if not (isinstance(interval, Real) and 0 < float(interval) < 1):
        raise SettingsError(
            f"interval: expected a probability between 0 and 1; got {interval!r}."
        )
    if extract is not None and not callable(extract):
        raise SettingsError(
            f"extract: expected a function of a fit, or None; got {extract!r}."
        )
    senseless = [name for name in ("fits", "only_priors") if name in options]
    if senseless:
        raise SettingsError(
            f"{', '.join(senseless)}: not for many analyses. Use robma for one."
        )
    known = set(inspect.signature(robma).parameters)
    unknown = [name for name in options if name not in known]
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ArgumentError(
            f"{unknown[0]}: neither an argument of robma_many nor of robma.{hint}"
        )
    arrays = [
        name
        for name in _ESTIMATES
        if options.get(name) is not None and not isinstance(options[name], str)
    ]
    if arrays:
        raise DataError(
            f"{', '.join(arrays)}: expected the name of a column of every data set; "
            "arrays cannot be told apart. Put them into the table."
        )


def _check_label(label: str) -> None:
    if label in COLUMNS:
        raise DataError(
            f"by: expected a column whose name is none of the results', "
            f"{', '.join(COLUMNS)}; got {label!r}. Rename it."
        )


def _check_kind(name: Name, known: Mapping[Name, str]) -> None:
    other = next(iter(known), name)
    if type(name) is not type(other):
        raise DataError(
            f"results: the folder has analyses of names like {other!r}; got {name!r}. "
            "Give another folder, or names that are all texts or all whole numbers."
        )


def _check_data(name: Name, there: str, now: str) -> None:
    if there != now:
        raise DataError(
            f"results: the folder has analysis {name!r} of other data. Give another "
            "folder, or the same data."
        )


def _in_order(frame: pd.DataFrame, label: str, names: list[Name]) -> pd.DataFrame:
    """Return the rows of some analyses, analysis by analysis."""
    place = pd.Series(np.arange(len(names)), index=pd.Index(names, dtype=object))
    own = frame[label].map(place)
    order = own.dropna().sort_values(kind="stable").index
    return frame.loc[order].reset_index(drop=True)
