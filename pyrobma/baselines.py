"""How results from counts change with what is assumed of the studies' baselines."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pyrobma._format import Format, bayes_factor_of_log, decimals, fixed, listed
from pyrobma.counts.baseline import Baseline
from pyrobma.ensemble import Ensemble
from pyrobma.errors import ConvergenceWarning, DataError
from pyrobma.fit import Executors, fit_models
from pyrobma.fit.settings import check_run
from pyrobma.models import BaselineArgument, read_baseline
from pyrobma.priors import prior
from pyrobma.summary import Table


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BaselineSensitivity:
    """What `baseline_sensitivity` returns.

    Attributes
    ----------
    ensembles : tuple of Ensemble
        One for each assumption; the first is the one that was given.
    frame : DataFrame
        One row per assumption and component: ``baseline`` as text; ``component``;
        ``prior_prob``, ``post_prob``, ``inclusion_bf``, ``log_bf`` and its Monte Carlo
        standard error ``log_bf_mcse``.
    estimates : DataFrame
        One row per assumption and scalar unknown: ``baseline``, ``parameter``, and of
        its averaged posterior ``mean``, ``sd``, ``mean_mcse``, ``lower`` and ``upper``
        (0.025 and 0.975 quantiles).
    """

    ensembles: tuple[Ensemble, ...]
    frame: pd.DataFrame
    estimates: pd.DataFrame

    def summary(self) -> Table:
        """Tabulate Bayes factors and averaged means by assumption.

        Returns
        -------
        Table
            One row per assumption. Marginal likelihoods are not compared: those of
            different assumptions are of different data.
        """
        first = self.ensembles[0]
        rows: dict[str, dict[str, Any]] = {}
        texts: dict[str, list[str]] = {}
        shown = [c for c in first.components if self._varies(c)]
        for ensemble in self.ensembles:
            row: dict[str, Any] = {}
            for component in shown:
                title = f"BF {first.unknowns.component(component).title}"
                found = ensemble.evidence(component)
                row[title] = float(np.exp(found.log_bf))
                texts.setdefault(title, []).append(bayes_factor_of_log(found.log_bf))
            for name in first.parameters:
                row[name] = ensemble.mixture(name).mean()
            rows[str(ensemble.task.baseline)] = row
        frame = pd.DataFrame.from_dict(rows, orient="index")
        formats: dict[str, Format | tuple[str, ...]] = {
            title: tuple(written) for title, written in texts.items()
        }
        for name in first.parameters:
            formats[name] = fixed(decimals(frame[name]))
        note = f"{listed(list(first.parameters))}: averaged over all models."
        return Table("Sensitivity to the baseline:", frame, formats, (note,))

    def _varies(self, component: str) -> bool:
        members = self.ensembles[0].members(component)
        return bool(members.any() and not members.all())

    def __repr__(self) -> str:
        """Return the table."""
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().to_html()


def baseline_sensitivity(
    ensemble: Ensemble,
    baselines: Iterable[BaselineArgument] | None = None,
    *,
    seed: int | None = None,
    cores: int | None = None,
    executor: Executors | None = None,
    progress: bool | None = None,
) -> BaselineSensitivity:
    """Find how results from counts change with the baselines' treatment.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns for counts.
    baselines : iterable, optional
        Other assumptions, each as `robma` takes ``baseline``. None: of risks the
        conditional likelihood, Beta(1, 1) and Beta(1/2, 1/2); of rates the conditional
        likelihood, "unit information" and the same with twice the standard deviation.
    seed : int, optional
        None: that of the ensemble.
    cores, executor, progress
        As in `robma`.

    Returns
    -------
    BaselineSensitivity
        Print it, or see ``frame``, ``estimates`` and ``ensembles``. The assumption of
        the ensemble comes first, and none twice.

    Raises
    ------
    DataError
        If the ensemble is none of counts, or an assumption does not suit these.
    SettingsError
        If `seed` or `cores` cannot be used.
    FitError, FitInterrupted
        As in `robma`.

    Warns
    -----
    ConvergenceWarning
        If a model misses a check.

    Notes
    -----
    All models are fitted again for each assumption. With ample events Bayes factors
    move by a few per cent; where events are rare a prior of baselines is informative,
    because it makes a study without events speak for no effect, and they can move by
    much more.

    Examples
    --------
    >>> import pyrobma as rb
    >>> fit = rb.robma(x1=[5, 2], n1=[35, 40], x2=[0, 0], n2=[39, 40], seed=1)
    >>> found = rb.baseline_sensitivity(fit, [rb.prior("beta", alpha=1, beta=1)])
    >>> found.summary().frame.index.tolist()
    ['conditional likelihood', 'midpoint risk ~ Beta(1, 1)']
    """
    check_run(seed, cores)
    task = ensemble.task
    if task.effects.counts is None:
        raise DataError(
            "ensemble: expected one of counts; got one of estimates, whose likelihood "
            "has no baselines. Give events to robma() as x1, n1, x2, n2."
        )
    asked = _usual(ensemble) if baselines is None else tuple(baselines)
    wanted = [read_baseline(one, task.effects) for one in asked]
    others = dict.fromkeys(one for one in wanted if one != task.baseline)
    ensembles = [ensemble]
    for baseline in others:
        fits = fit_models(
            replace(task, baseline=baseline), ensemble.space,
            settings=ensemble.settings, seed=ensemble.seed if seed is None else seed,
            cores=cores, executor=executor, progress=progress,
        )  # fmt: skip
        for fit in fits:
            if not fit.ok:
                warnings.warn(
                    f"Model fitted with {baseline} ({fit.spec}): "
                    f"{'; '.join(fit.reasons)}.",
                    ConvergenceWarning,
                    stacklevel=2,
                )
        new = replace(ensemble, task=replace(task, baseline=baseline), fits=fits)
        ensembles.append(new)
    return BaselineSensitivity(
        tuple(ensembles),
        pd.DataFrame([row for one in ensembles for row in _evidence(one)]),
        pd.DataFrame([row for one in ensembles for row in _estimates(one)]),
    )


def _usual(ensemble: Ensemble) -> tuple[BaselineArgument, ...]:
    counts = ensemble.task.effects.counts
    assert counts is not None
    if not counts.rates:
        flat, half = (prior("beta", alpha=a, beta=a) for a in (1.0, 0.5))
        return "conditional", flat, half
    unit = read_baseline("unit information", ensemble.task.effects)
    return "conditional", unit, Baseline("normal", unit.first, 2.0)


def _evidence(ensemble: Ensemble) -> list[dict[str, Any]]:
    names = ["prior_prob", "post_prob", "inclusion_bf", "log_bf", "log_bf_mcse"]
    inclusion = ensemble.inclusion
    return [
        {
            "baseline": str(ensemble.task.baseline),
            "component": component,
            **inclusion.loc[component, names].to_dict(),
        }
        for component in inclusion.index
    ]


def _estimates(ensemble: Ensemble) -> list[dict[str, Any]]:
    rows = []
    for name in ensemble.parameters:
        mixture = ensemble.mixture(name)
        lower, upper = mixture.quantiles([0.025, 0.975])
        rows.append(
            {
                "baseline": str(ensemble.task.baseline),
                "parameter": name,
                "mean": mixture.mean(),
                "sd": mixture.sd(),
                "mean_mcse": mixture.mcse(),
                "lower": float(lower),
                "upper": float(upper),
            }
        )
    return rows
