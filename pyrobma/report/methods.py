"""What was done, with what and when, in words."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from pyrobma._format import counted, listed
from pyrobma.effects import MEASURE_NAMES, Measure
from pyrobma.ensemble import Ensemble
from pyrobma.summary.heading import heading

_TITLES: Final = {
    "pyrobma": "pyrobma",
    "stan": "Stan",
    "cmdstanpy": "CmdStanPy",
    "bridgestan": "BridgeStan",
    "numpy": "NumPy",
    "scipy": "SciPy",
    "pandas": "pandas",
    "plotnine": "plotnine",
    "python": "Python",
}
"""Software as it is called, in the order in which it is named."""


def settings_in_words(ensemble: Ensemble, day: date) -> Iterator[tuple[str, str]]:
    """Yield what a reader needs to judge the analysis, or to run it again.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    day : date
        On which the report is written.

    Yields
    ------
    tuple of str and str
        Name and words of each setting.
    """
    task = ensemble.task
    yield "Data", _data(ensemble)
    yield "Scale of the likelihood", _measure(task.effects.measure)
    if task.effects.counts is not None:
        yield "Baselines of the studies", str(task.baseline)
    yield "Scale of the priors", _prior_scale(ensemble)
    if ensemble.bias_kinds:
        yield (
            "Direction of publication bias",
            f"favours {task.effect_direction} effects",
        )
    yield "Markov chains", _chains(ensemble)
    yield "Checks of each model", _checks(ensemble)
    yield "Seed", str(ensemble.seed)
    yield "Models fitted with", _software(_fitted_with(ensemble))
    yield "Report written with", _software(_here())
    yield "Date of the report", day.isoformat()


def _data(ensemble: Ensemble) -> str:
    _, _, what = heading(ensemble).partition(": ")
    if ensemble.task.effects.counts is not None:
        return what
    given = dict.fromkeys(map(_measure, ensemble.task.effects.original))
    return f"{what}, given as {listed(list(given))}"


def _measure(measure: Measure) -> str:
    return "units of the data" if measure == "none" else MEASURE_NAMES[measure]


def _prior_scale(ensemble: Ensemble) -> str:
    task = ensemble.task
    text = _measure(task.prior_scale)
    if task.prior_scale == task.effects.measure:
        return text
    how = "exactly" if task.effect_mapping == "exact" else "by the linear rule"
    return f"{text}; the effect is converted to that of the likelihood {how}"


def _chains(ensemble: Ensemble) -> str:
    settings = ensemble.settings.resolved(len(ensemble.fits), ensemble.task.effects.K)
    text = (
        f"{settings.chains} chains per model of {settings.draws:,} draws each, after "
        f"{settings.warmup:,} iterations of warm-up; a model that missed a check was "
        f"extended until it passed or had {settings.max_draws:,} draws per chain"
    )
    extended = sum(fit.round > 0 for fit in ensemble.fits)
    return f"{text} ({extended} of {counted(len(ensemble.fits), 'model')})"


def _checks(ensemble: Ensemble) -> str:
    limits = ensemble.settings
    return (
        f"R-hat at most {limits.max_rhat:g}; bulk and tail effective sample size at "
        f"least {limits.min_ess:g}; Monte Carlo standard error of the log evidence for "
        f"each hypothesis about {limits.max_mcse:g}"
    )


def _fitted_with(ensemble: Ensemble) -> dict[str, str]:
    """Return versions by software; several if models were fitted with several."""
    found: dict[str, list[str]] = {}
    for fit in ensemble.fits:
        made = () if fit.provenance is None else fit.provenance.versions
        for name, number in made:
            known = found.setdefault(name, [])
            known += [] if number in known else [number]
    return {name: " and ".join(numbers) for name, numbers in found.items()}


def _here() -> dict[str, str]:
    packages = ("pyrobma", "pandas", "plotnine")
    return {name: _version(name) for name in packages} | {
        "python": platform.python_version()
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # run from its sources
        return "unknown"


def _software(versions: dict[str, str]) -> str:
    names = [name for name in _TITLES if name in versions]
    return ", ".join(f"{_TITLES[n]} {versions[n]}" for n in names) or "unknown"
