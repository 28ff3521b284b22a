"""Stage 4: fits of some settings as fits of others, with more draws where asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pyrobma.fit.jobs import Wave, available_cores, job_pool, run_wave
from pyrobma.fit.keeping import FitStore, Keeper, draws_of
from pyrobma.fit.model import Effort, Fit, extend, fingerprint
from pyrobma.fit.plan import relative_cost
from pyrobma.fit.pool import Executors
from pyrobma.fit.progress import Work
from pyrobma.fit.settings import SamplerSettings
from pyrobma.models import Task

_FREELY = ("draws", "max_draws", "max_mcse", "max_seconds")
"""Settings that can change without making chains that are there others."""

_PRECISION = "error of log(marglik) "  # how the reason begins that is found anew
_ANY_ERROR = 1e-9  # never reached: chains grow to their largest number of draws


def lengthened(
    task: Task,
    fits: Iterable[Fit],
    settings: SamplerSettings,
    *,
    least: int = 0,
    cores: int | None = None,
    executor: Executors | None = None,
    cache: FitStore | None = None,
    progress: bool | None = None,
) -> tuple[Fit, ...]:
    """Return fits as those of other settings, with their chains continued.

    Parameters
    ----------
    task : Task
        The data.
    fits : iterable of Fit
        Of these data.
    settings : SamplerSettings
        The new settings, with numbers of draws.
    least : int
        Draws per chain that each fit gets. Models that are fixed or rough stay.
    cores, executor, cache, progress
        As in `fit_models`.

    Returns
    -------
    tuple of Fit
        For ``fits`` of `fit_models` with `settings`. Those that other settings than
        the draws, ``max_mcse`` and ``max_seconds`` tell apart are left out, and so are
        those of another program, and those to be continued that no chain made.

    Raises
    ------
    FitError, FitInterrupted
        As in `fit_models`.
    """
    keeper = Keeper(cache)
    done: dict[int, Fit] = {}
    short: dict[int, Fit] = {}
    usable = {(f.fingerprint, f.seed): f for f in fits if _is_of(task, f, settings)}
    for i, fit in enumerate(usable.values()):
        if fit.chains is None or fit.rough or draws_of(fit) >= least:
            done[i] = _as_of(task, fit, settings)
            continue
        mark = fingerprint(task, fit.spec, settings)
        stored = keeper.find(fit.spec, mark, fit.seed, after=least - 1)
        if stored is not None:
            done[i] = stored
        elif fit.sampler == "NUTS":
            short[i] = fit
    work = {
        i: Work(f"model with {', '.join(fit.names)}", relative_cost(task, fit.spec))
        for i, fit in short.items()
    }
    cores = cores or available_cores()
    parallel = 1 if executor is not None else max(1, cores // max(1, len(short)))
    calls = {
        i: (_longer, task, fit, settings, least, parallel) for i, fit in short.items()
    }
    with job_pool(executor, cores) as pool:
        wave = Wave(calls, work, "lengthened", done)
        done |= run_wave(pool, wave, keeper, progress)
    keeper.tell()
    return tuple(done.values())


def _longer(
    task: Task, fit: Fit, settings: SamplerSettings, draws: int, parallel: int
) -> Fit:
    until = replace(
        settings, draws=min(settings.draws or draws, draws), max_draws=draws
    )
    longer = extend(task, fit, until, parallel, Effort(draws, _ANY_ERROR))
    return _as_of(task, longer, settings)


def _is_of(task: Task, fit: Fit, settings: SamplerSettings) -> bool:
    """Whether a fit can become one of these settings."""
    if fit.provenance is None:
        return False
    own = fit.provenance.settings
    return (
        replace(own, **{name: getattr(settings, name) for name in _FREELY}) == settings
        and fingerprint(task, fit.spec, own) == fit.fingerprint
    )


def _as_of(task: Task, fit: Fit, settings: SamplerSettings) -> Fit:
    assert fit.provenance is not None
    return replace(
        fit,
        fingerprint=fingerprint(task, fit.spec, settings),
        provenance=replace(fit.provenance, settings=settings),
        reasons=tuple(r for r in fit.reasons if not r.startswith(_PRECISION)),
    )
