"""Markov chains of a Stan program through CmdStanPy."""

from __future__ import annotations

import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.errors import PyrobmaError, SamplingError
from pyrobma.fit.processes import (
    read_without_lost_polars,
    run_folder,
    supervised,
    why_ended,
)
from pyrobma.fit.progress import part_of_job
from pyrobma.fit.settings import SamplerSettings
from pyrobma.fit.stan_data import ProgramNames
from pyrobma.programs import executable

# 17 significant digits bring every double back from the CSV file unchanged.
_SIG_FIGS = 17

_SHARE = 0.7  # of the work on a model, roughly; the rest is its marginal likelihood
_TAIL = 200  # bytes, which hold the last line that tells of an iteration

_IMPORTING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Chains:
    """Draws of the free parameters and how the sampler fared.

    Attributes
    ----------
    names : tuple of str
        Free parameters, e.g. ``("mu", "tau")``.
    draws : array of shape (chains, draws, P)
        On the prior scale.
    divergent : array of shape (chains, draws)
        Whether the transition diverged.
    deep : array of shape (chains, draws)
        Whether the trajectory reached the largest tree depth.
    step_size : array of shape (chains,)
        Adapted step sizes.
    inverse_metric : array of shape (chains, P, P)
        Adapted inverse mass matrices, unconstrained scale.
    columns : tuple of str
        Names of the program's own parameters, e.g. ``"mu_free[1]"``.
    constrained : array of shape (chains, draws, len(columns))
        Their draws: the shifted mu, and logits of rho and of ratios of the weights.
    lp : array of shape (chains, draws)
        Log posterior density on the unconstrained scale, with every constant.
    omega : array of shape (chains, draws, J) or None
        Weights by rising p-value; None in models without selection.
    """

    names: tuple[str, ...]
    draws: FloatArray
    divergent: BoolArray
    deep: BoolArray
    step_size: FloatArray
    inverse_metric: FloatArray
    columns: tuple[str, ...]
    constrained: FloatArray
    lp: FloatArray
    omega: FloatArray | None = None

    def followed_by(self, later: Chains) -> Chains:
        """Return the chains with a continuation of each appended."""
        return Chains(
            self.names,
            np.concatenate([self.draws, later.draws], axis=1),
            np.concatenate([self.divergent, later.divergent], axis=1),
            np.concatenate([self.deep, later.deep], axis=1),
            self.step_size,
            self.inverse_metric,
            self.columns,
            np.concatenate([self.constrained, later.constrained], axis=1),
            np.concatenate([self.lp, later.lp], axis=1),
            None
            if self.omega is None or later.omega is None
            else np.concatenate([self.omega, later.omega], axis=1),
        )

    @property
    def size(self) -> int:
        """Number of draws, all chains together."""
        return self.divergent.size

    @property
    def checked(self) -> FloatArray:
        """Scalar parameters and the weights that vary: what has to converge."""
        if self.omega is None:
            return self.draws
        return np.concatenate([self.draws, self.omega[:, :, self._moving()]], axis=2)

    @property
    def checked_names(self) -> tuple[str, ...]:
        """Names of the columns of `checked`; a weight is ``"omega[2]"``."""
        if self.omega is None:
            return self.names
        weights = (f"omega[{j + 1}]" for j in np.flatnonzero(self._moving()))
        return (*self.names, *weights)

    def _moving(self) -> BoolArray:
        # The first weight is 1 in every draw, up to the rounding of a sum.
        assert self.omega is not None
        return np.asarray(np.ptp(self.omega, axis=(0, 1)) > 1e-12)


@dataclass(frozen=True, slots=True)
class Begin:
    """Where chains start, and how their parameters vary.

    Attributes
    ----------
    columns : tuple of str
        Names of the program's own parameters, e.g. ``"mu_free[1]"``.
    values : array of shape (chains, len(columns))
        Their values.
    inverse_metric : array of shape (P, P)
        Covariance of the unconstrained parameters.
    """

    columns: tuple[str, ...]
    values: FloatArray
    inverse_metric: FloatArray


def _cmdstanpy() -> ModuleType:
    """Import CmdStanPy, whose progress bars warn of missing widgets in Jupyter."""
    with _IMPORTING:
        if "cmdstanpy" not in sys.modules:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="IProgress not found")
                import_module("cmdstanpy")
    return sys.modules["cmdstanpy"]


def run_chains(
    program: str,
    data: str,
    names: ProgramNames,
    *,
    settings: SamplerSettings,
    warmup: int,
    draws: int,
    seed: int,
    parallel: int,
    begin: Begin | None = None,
    after: Chains | None = None,
    timeout: float | None = None,
) -> Chains:
    """Run the chains of one model.

    Parameters
    ----------
    program : str
        Name of the Stan program.
    data : str
        Its data as JSON text.
    names : ProgramNames
        What the program calls the model's unknowns.
    settings : SamplerSettings
        Number of chains and how they move.
    warmup : int
        Adaptation iterations per chain; 0, after other chains, keeps their state.
    draws : int
        Kept iterations per chain.
    seed : int
        Stan's seed, in [0, 2^32).
    parallel : int
        Chains run at the same time.
    begin : Begin, optional
        Where to start, and the metric to keep. None: Stan's own.
    after : Chains, optional
        Start from their last draws, step sizes and metrics. None: start anew.
    timeout : float, optional
        Seconds until chains that still run are killed. None: no limit.

    Returns
    -------
    Chains

    Raises
    ------
    SamplingError
        If a chain fails; the message holds Stan's own sentence.
    ChainsTimeout
        If the time is over; a `SamplingError` as well.
    """
    cmdstanpy = _cmdstanpy()
    read_without_lost_polars()
    how: dict[str, Any] = {"iter_warmup": warmup, "adapt_engaged": warmup > 0}
    if warmup > 0:
        how["adapt_delta"] = settings.adapt_delta
    if begin is not None:
        columns, values = begin.columns, begin.values
        metric = [begin.inverse_metric.tolist()] * settings.chains
        # The metric is known better than a warm-up could learn it: all of the
        # warm-up tunes the step size.
        how |= {
            "adapt_init_phase": 0,
            "adapt_metric_window": 0,
            "adapt_step_size": warmup,
        }
    elif after is not None:
        columns, values = after.columns, after.constrained[:, -1]
        metric = after.inverse_metric.tolist()
        how["step_size"] = after.step_size.tolist()
    if begin is not None or after is not None:
        how |= {
            "inits": [_inits(columns, row) for row in values],
            "inv_metric": [{"inv_metric": m} for m in metric],
        }
    with (
        run_folder(program) as folder,
        part_of_job(_SHARE, lambda: _done(folder, settings.chains)),
        _quiet_cmdstanpy(),
    ):
        file = folder / "data.json"
        try:
            file.write_text(data)
            model = cmdstanpy.CmdStanModel(exe_file=executable(program))
            fit = supervised(model.sample, program, folder, timeout)(
                data=str(file),
                chains=settings.chains,
                parallel_chains=parallel,
                seed=seed,
                iter_sampling=draws,
                max_treedepth=settings.max_treedepth,
                # tau and rho are correlated: half again as many effective draws as
                # with a diagonal metric, at the same cost for so few parameters.
                metric="dense_e",
                sig_figs=_SIG_FIGS,
                output_dir=str(folder),
                show_progress=False,
                # A chain whose parent was killed dies when it next prints, of SIGPIPE.
                refresh=max(1, min(100, (warmup + draws) // 10)),
                **how,
            )
            array = fit.draws()
            columns = fit.column_names
            step_size = np.array(fit.step_size)
            inverse_metric = np.array(fit.inv_metric)
        except PyrobmaError:
            raise
        # CmdStanPy trusts files of chains that ended well: anything may be raised.
        except Exception as error:
            raise SamplingError(_why(program, error, folder)) from error
    array = array.transpose(1, 0, 2)

    def pick(chosen: Sequence[str]) -> FloatArray:
        return np.ascontiguousarray(array[:, :, [columns.index(c) for c in chosen]])

    own = tuple(c for c in columns if c in names.own)
    return Chains(
        names=tuple(names.outputs),
        draws=pick(list(names.outputs.values())),
        divergent=array[:, :, columns.index("divergent__")] > 0,
        deep=array[:, :, columns.index("treedepth__")] >= settings.max_treedepth,
        step_size=step_size,
        inverse_metric=inverse_metric,
        columns=own,
        constrained=pick(own),
        lp=np.ascontiguousarray(array[:, :, columns.index("lp__")]),
        omega=pick(names.weights) if names.weights else None,
    )


def _inits(columns: Sequence[str], values: FloatArray) -> dict[str, list[float]]:
    inits: dict[str, list[float]] = {}
    for column, value in zip(columns, values.tolist(), strict=True):
        inits.setdefault(column.partition("[")[0], []).append(value)
    return inits


def _why(program: str, error: Exception, folder: Path) -> str:
    """Return what happened, with the last words of chains that died."""
    words = [
        line
        for console in sorted(folder.glob("*-stdout.txt"))
        for line in _said(console)[-3:]
        if line.strip() not in str(error)
    ]
    # CmdStanPy points to its files, which are gone when the error is read.
    told = str(error).partition("Command and output files:")[0].strip()
    told = told or type(error).__name__  # a MemoryError says nothing
    causes = why_ended("\n".join([str(error), *words]), folder)
    return "\n".join([f"{program}: {told}", *dict.fromkeys(words), *causes])


_ITERATION = re.compile(rb"^Iteration: +(\d+) / (\d+)", re.MULTILINE)


def _done(folder: Path, chains: int) -> float:
    """Return the share of all iterations that the chains have told of."""
    total = 0.0
    with suppress(OSError):  # the chains may end, and their folder go, meanwhile
        for console in folder.glob("*-stdout.txt"):
            with console.open("rb") as file:
                file.seek(max(file.seek(0, 2) - _TAIL, 0))
                if found := _ITERATION.findall(file.read()):
                    number, of = map(int, found[-1])
                    total += number / of
    return total / chains


_PROGRESS = re.compile(r"^Iteration:|seconds \((Warm-up|Sampling|Total)\)$")


def _said(console: Path) -> list[str]:
    lines = console.read_text(errors="replace").splitlines()
    if lines and lines[0].startswith("method = "):
        # The settings, which come first, end in an empty line.
        lines = lines[lines.index("") :] if "" in lines else []
    return [line for line in lines if line.strip() and not _PROGRESS.search(line)]


_quiet_lock = threading.Lock()
_quiet_users = 0
_quiet_before = False


@contextmanager
def _quiet_cmdstanpy() -> Iterator[None]:
    """Keep CmdStanPy's log of every chain's start and end off the screen.

    Its logger is shared by all threads: the last one out restores it.
    """
    global _quiet_users, _quiet_before
    logger = logging.getLogger("cmdstanpy")
    with _quiet_lock:
        if _quiet_users == 0:
            _quiet_before = logger.disabled
            logger.disabled = True
        _quiet_users += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_users -= 1
            if _quiet_users == 0:
                logger.disabled = _quiet_before
