"""Stage 5: what counts say of true effects, study by study, given draws.

The counterpart for counts of what the normal distribution gives in closed form for
estimates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pyrobma._types import FloatArray, IntArray
from pyrobma.counts.integrals import Cluster, common_factor, true_effect
from pyrobma.counts.tables import Table, study_tables
from pyrobma.ensemble.joint import JointDraws
from pyrobma.ensemble.predictor import Predictor
from pyrobma.errors import DataError
from pyrobma.models import Task

_OF_FACTORS = 0.7548776662466927
_OF_EFFECTS = 0.5698402909980532
"""Steps of a sequence that fills a square evenly (Roberts, 2018)."""


_NOTHING = 1e-12
"""Information that is none."""


def refuse_counts(task: Task, what: str, instead: str) -> None:
    """Raise DataError for counts, which have no estimates with standard errors.

    Parameters
    ----------
    task : Task
    what : str
        What was asked for, as messages call it.
    instead : str
        What to do, as a sentence.
    """
    if task.effects.counts is not None:
        raise DataError(
            f"{what}: expected estimates with standard errors; got counts, which have "
            f"none. {instead}"
        )


def sampling_variance(task: Task, mean: FloatArray) -> FloatArray:
    """Return sampling variances of estimates, or what stands for them behind counts.

    Parameters
    ----------
    task : Task
    mean : array of shape (K, S) or (1, S)
        Mean true effects by draw, on the measure of the likelihood.

    Returns
    -------
    array of shape (K, S) or (K, 1)
        se², or one over the information on its true effect that a study's counts have
        at the mean: minus the second derivative of their log likelihood. Very large for
        studies that say nothing.
    """
    effects = task.effects
    if effects.counts is None:
        return np.asarray(effects.se[:, None] ** 2)
    at = np.broadcast_to(mean, (effects.K, mean.shape[1]))
    tables = study_tables(effects.counts, task.baseline)
    curvature = [
        table.function()(one)[2] for table, one in zip(tables, at, strict=True)
    ]
    return np.asarray(1.0 / np.maximum(-np.array(curvature), _NOTHING))


@dataclass(frozen=True, slots=True)
class CountedStudies:
    """Studies with counts, given S draws of the parameters.

    Attributes
    ----------
    task : Task
        With counts.
    draws : JointDraws
        Of all scalar unknowns.
    predicted : Predictor
    tables : tuple of Table, length K
    """

    task: Task
    draws: JointDraws
    predicted: Predictor
    tables: tuple[Table, ...]

    @classmethod
    def of(cls, task: Task, draws: JointDraws) -> CountedStudies:
        """Return them for some draws."""
        assert task.effects.counts is not None
        tables = study_tables(task.effects.counts, task.baseline)
        return cls(task, draws, Predictor(task, draws), tables)

    def moments(self, rows: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return mean, sd within clusters and loading of true effects, (rows, S)."""
        shape = len(rows), len(self.draws.weights)
        return (
            np.broadcast_to(self.predicted.mean(rows), shape),
            np.sqrt(np.broadcast_to(self.predicted.within(rows), shape)),
            np.broadcast_to(self.predicted.loading(rows), shape),
        )

    def clusters(self) -> Iterator[tuple[IntArray, Cluster | None]]:
        """Yield the studies of each cluster and, of several ones, their factor."""
        cluster = self.task.effects.cluster
        for number in range(self.task.effects.L):
            rows = np.flatnonzero(cluster == number)
            if len(rows) == 1:
                yield rows, None
            else:
                tables = [self.tables[row] for row in rows]
                yield rows, common_factor(tables, *self.moments(rows))

    def log_densities(self) -> tuple[FloatArray, FloatArray]:
        """Return log densities of clusters, (L, S), and what studies add, (K, S)."""
        effects, S = self.task.effects, len(self.draws.weights)
        together, added = np.empty((effects.L, S)), np.empty((effects.K, S))
        middle = np.full(S, 0.5)
        for number, (rows, factor) in enumerate(self.clusters()):
            if factor is None:
                mean, sd, load = (one[0] for one in self.moments(rows))
                table = self.tables[rows[0]]
                total = true_effect(table, mean, np.hypot(sd, load), middle).log_total
                together[number] = added[rows[0]] = total
            else:
                together[number], added[rows] = factor.log_total, factor.log_removal
        return together, added

    def true_effects(self) -> Iterator[tuple[IntArray, FloatArray, FloatArray]]:
        """Yield draws of the true effects of clusters' studies, and of their mean.

        Yields
        ------
        rows : array of shape (n,)
        effects : array of shape (n, S)
            One draw of each true effect for each draw of the parameters, on the measure
            of the likelihood. Not random: quantiles that fill their range evenly.
        mean : array of shape (S,)
            Of the cluster, m + l g; m of studies alone.
        """
        for rows, factor in self.clusters():
            mean, sd, load = self.moments(rows)
            order = np.lexsort((mean.mean(axis=0), self.draws.model))
            rank = np.empty(len(order))
            rank[order] = np.arange(len(order))
            u = (0.5 + _OF_EFFECTS * rank) % 1.0
            centre = mean
            if factor is None:
                sd = np.hypot(sd, load)
            else:
                g = factor.quantile((0.5 + _OF_FACTORS * rank) % 1.0)
                centre = mean + load * g
            found = [
                true_effect(self.tables[row], m, s, (u + 0.618034 * i) % 1.0).value
                for i, (row, m, s) in enumerate(zip(rows, centre, sd, strict=True))
            ]
            yield rows, np.array(found), centre.mean(axis=0)
