"""Data sets as an ensemble expects them before it sees any."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pyrobma._format import counted
from pyrobma._types import FloatArray
from pyrobma._validate import is_whole
from pyrobma.effects import EffectSizes
from pyrobma.effects.counts import crude_log_ratio
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.replicated import estimates, events
from pyrobma.errors import DataError
from pyrobma.fit import SamplerSettings
from pyrobma.models import ModelSpace, Task
from pyrobma.planned import Plan
from pyrobma.priors import on_grid
from pyrobma.priors.density import random, random_weights

_COLUMNS = ("dataset", "study", "cluster", "y", "se")
_OF_COUNTS = ("dataset", "study", "cluster", "x1", "n1", "t1", "x2", "n2", "t2")


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Simulation:
    """Data sets with the model and the parameters behind each; made by `simulate`.

    Attributes
    ----------
    task : Task
        The studies that were simulated. Its estimates are those of the source and not
        simulated.
    space : ModelSpace
        The models that data sets came from.
    seed : int
        Makes the same data sets again.
    estimates : DataFrame
        One row per estimate of every data set: ``dataset``, numbered from 1; ``study``,
        its name; ``cluster``, its number from 0, one of its own for an independent
        estimate; the estimate ``y`` and its standard error ``se`` on the measure of the
        likelihood; and the coded columns of moderators. Of counts ``x1``, ``n1`` or
        ``t1``, ``x2``, ``n2`` or ``t2`` instead of ``y`` and ``se``.
    parameters : DataFrame
        One row per data set, by its number. Columns: ``model``, numbered from 1, and
        the parameters of the ensemble on the prior scale: 0 where the model lacks
        them, 1 for weights ``omega[lo,hi]``.
    """

    task: Task
    space: ModelSpace
    seed: int
    estimates: pd.DataFrame
    parameters: pd.DataFrame

    def effects(self, dataset: int) -> EffectSizes:
        """Return a data set as `robma` takes it.

        Parameters
        ----------
        dataset : int
            Its number, from 1.

        Returns
        -------
        EffectSizes
            That of the source with other estimates. Moderators are still those of
            ``task.moderators``, for ``mods``.

        Raises
        ------
        DataError
            If there is no such data set, or an estimate is none of its measure, as a
            normal one beyond correlations of 1.
        """
        n = len(self.parameters)
        if not (is_whole(dataset, 1) and dataset <= n):
            raise DataError(
                f"dataset: expected a whole number from 1 to {n}; got {dataset!r}."
            )
        effects = self.task.effects
        rows = slice((dataset - 1) * effects.K, dataset * effects.K)
        if effects.counts is not None:
            x1, x2 = (self.estimates[name].to_numpy()[rows] for name in ("x1", "x2"))
            counts = replace(effects.counts, x1=x1, x2=x2)
            y, se = crude_log_ratio(counts)
            return replace(effects, y=y, se=se, counts=counts)
        return replace(effects, y=self.estimates["y"].to_numpy()[rows])

    def __repr__(self) -> str:
        """Say how many there are, of what."""
        return (
            f"{counted(len(self.parameters), 'data set')} of "
            f"{counted(self.task.effects.K, 'estimate')} from "
            f"{counted(len(self.space), 'model')} (seed {self.seed})"
        )


def simulate(
    source: Ensemble | Plan | Task,
    n: int,
    *,
    seed: int | None = None,
    space: ModelSpace | None = None,
) -> Simulation:
    """Draw data sets from the prior of an ensemble.

    A model is drawn by the prior model probabilities, its parameters from their priors,
    and estimates given these, for the standard errors, clusters and moderators that the
    source has. This is what an ensemble says of data before it sees any: to check it
    (simulation-based calibration), to plan a study, or to see what priors imply.

    Parameters
    ----------
    source : RobmaFit, Plan or Task
        What `robma` returns, with ``only_priors=True`` too; its estimates do not
        matter, but for the last note. A task needs `space`.
    n : int
        How many data sets, at least 1.
    seed : int, optional
        Not negative; makes them reproducible. None draws one.
    space : ModelSpace, optional
        Models to draw from, e.g. those of one hypothesis. None: those of the source.

    Returns
    -------
    Simulation
        Its ``estimates`` and ``parameters`` are DataFrames; ``effects(i)`` is the i-th
        data set for `robma`.

    Raises
    ------
    DataError
        If an argument cannot be used, a moderator has the name of another column, a
        model has unknowns that the source does not have, or a draw leaves nothing that
        could be published.

    Notes
    -----
    In cluster k, y_k ~ MVN(m + b, diag(se²) + T² [(1 − ρ) I + ρ 11']) with the mean m
    of true effects, mu and moderators on the measure of the likelihood by the task's
    mapping, T = tau on that measure, and b = PET se or PEESE se². Where heterogeneity
    has moderators z, T is T_i = tau exp(z_i'd). Under selection a cluster is published
    with the probability prod_i w(p_i), and what is drawn are published ones: their
    density is the one of the Stan programs.

    Weights change at the critical values of the source's estimates. These depend on
    standard errors only for estimates on Fisher's z or in units of their own, and for
    log odds ratios that were given as such. On other measures of the likelihood the
    sample size, and with it the critical value, that an estimate of d or r implies
    depends on the estimate too. The likelihood takes no account of that, so that a
    simulated data set has slightly other critical values when it is fitted.

    Counts are drawn from the likelihood that they are fitted with: given the events of
    both groups where it is conditional on these, which every data set then shares with
    the source, or else with a baseline from its prior.

    References
    ----------
    .. [1] Talts S., Betancourt M., Simpson D., Vehtari A., Gelman A. (2018). Validating
       Bayesian inference algorithms with simulation-based calibration.
       arXiv:1804.06788
    .. [2] Hedges L. V. (1992). Modeling publication selection effects in meta-analysis.
       Statistical Science 7(2). doi:10.1214/ss/1177011364

    Examples
    --------
    >>> import pyrobma as rb
    >>> plan = rb.robma(d=[0.3, 0.5, 0.2], se=[0.2, 0.3, 0.25], only_priors=True)
    >>> found = rb.simulate(plan, 100, seed=1)
    >>> found
    100 data sets of 3 estimates from 36 models (seed 1)
    >>> effects = found.effects(1)
    """
    task, models = _source(source, space)
    for name, value, least in (("n", n, 1), ("seed", seed, 0)):
        if not (is_whole(value, least) or (value is None and name == "seed")):
            raise DataError(
                f"{name}: expected a whole number of at least {least}; got {value!r}."
            )
    _check_models(task, models)
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    rng = np.random.default_rng(seed)
    number = rng.choice(len(models), size=n, p=models.prior_prob)
    # Without fits an ensemble knows the parameters of its models.
    ensemble = Ensemble(task, models, (), SamplerSettings(), seed)
    parameters = {name: np.zeros(n) for name in ensemble.parameters}
    grid = ensemble.p_values
    weights = np.ones((n, 0 if grid is None else len(grid.intervals)))
    drawn = {name: np.empty((n, task.effects.K)) for name in _drawn(task)}
    for k in np.unique(number):
        spec, own = models.models[k], np.flatnonzero(number == k)
        draws = {
            name: random(spec.prior(name), own.size, rng)
            for name in task.unknowns.scalars
        }
        omega = None
        if spec.selection is not None:
            assert grid is not None
            omega = random_weights(spec.selection, own.size, rng)
            weights[own] = on_grid(omega, spec.selection, grid)
        for name in draws.keys() & parameters.keys():
            parameters[name][own] = draws[name]
        if task.effects.counts is not None:
            drawn["x1"][own], drawn["x2"][own] = events(task, draws, rng)
        else:
            drawn["y"][own] = estimates(task, spec, draws, omega, rng)
    names = [name for name in parameters if name not in task.unknowns.scalars]
    parameters |= dict(zip(names, weights.T, strict=True))
    truth = pd.DataFrame(
        {"model": number + 1, **parameters},
        index=pd.RangeIndex(1, n + 1, name="dataset"),
    )
    return Simulation(task, models, seed, _long(task, drawn), truth)


def _drawn(task: Task) -> tuple[str, ...]:
    """Return the columns that are drawn."""
    return ("y",) if task.effects.counts is None else ("x1", "x2")


def _long(task: Task, drawn: dict[str, FloatArray]) -> pd.DataFrame:
    """Return the estimates or counts of all data sets below each other."""
    n, effects = len(next(iter(drawn.values()))), task.effects
    known = {"se": effects.se}
    if effects.counts is not None:
        known = effects.counts.columns
    same: dict[str, Any] = {"study": effects.names, "cluster": effects.cluster, **known}
    same |= {c.parameter.name: task.column(c.parameter.name) for c in task.columns}
    frame = pd.DataFrame({name: np.tile(values, n) for name, values in same.items()})
    frame["dataset"] = np.repeat(np.arange(1, n + 1), effects.K)
    for name, values in drawn.items():
        frame[name] = values.ravel()
    own = [name for name in dict.fromkeys((*_COLUMNS, *_OF_COUNTS)) if name in frame]
    return frame[[*own, *(c.parameter.name for c in task.columns)]]


def _source(source: Any, space: Any) -> tuple[Task, ModelSpace]:
    if not isinstance(source, Ensemble | Plan | Task):
        raise DataError(
            "source: expected what robma() returns, or a Task; got "
            f"{source!r}. Give robma(..., only_priors=True) to simulate without a fit."
        )
    task = source if isinstance(source, Task) else source.task
    if space is None:
        if isinstance(source, Task):
            raise DataError(
                "space: expected a ModelSpace beside a Task; got None. Make one with "
                "model_space(), or give what robma() returns."
            )
        space = source.space
    if not isinstance(space, ModelSpace) or not len(space):
        raise DataError(
            "space: expected a ModelSpace with at least one model, or None; got "
            f"{space!r}. Use ModelSpace([...])."
        )
    return task, space


def _check_models(task: Task, space: ModelSpace) -> None:
    """Refuse models and columns that the estimates cannot be drawn or shown with."""
    names = _COLUMNS if task.effects.counts is None else _OF_COUNTS
    for column in task.columns:
        if column.parameter.name in names:
            raise DataError(
                "source: expected moderators whose names are not those of other "
                f"columns, {', '.join(names)}; got {column.parameter.name!r}. "
                "Rename the moderator."
            )
    known = task.unknowns.scalars
    for place, spec in enumerate(space, start=1):
        missing = [name for name, _ in spec.priors if name not in known]
        if missing:
            raise DataError(
                f"space: expected unknowns of the source, {', '.join(known)}; got "
                f"{', '.join(missing)} in model {place}. Use models of these data."
            )
