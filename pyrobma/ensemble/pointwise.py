"""Stage 5: how probable estimates are given draws, one by one and by cluster.

The densities are those of the Stan programs, said again because a program returns the
sum over all estimates only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import logsumexp, ndtr

from pyrobma._numerics import normal_log_density
from pyrobma._types import FloatArray, IntArray
from pyrobma.ensemble.counted import CountedStudies, refuse_counts
from pyrobma.ensemble.joint import JointDraws
from pyrobma.ensemble.predictor import Draws, Predictor
from pyrobma.ensemble.publication import ROOM, Published
from pyrobma.fit import Fit
from pyrobma.fit.quadrature import Rule
from pyrobma.models import Task

_USUAL: Final = Rule(0.18, 11.0)
"""Quadrature of models that have none of their own."""


@dataclass(frozen=True, slots=True)
class LogDensities:
    """Log densities of the data given each of S draws, on the likelihood's measure.

    Attributes
    ----------
    cluster : array of shape (L, S)
        Of all estimates of a cluster together; their sum over clusters is the log
        likelihood.
    removal : array of shape (K, S)
        Of an estimate's cluster, less that of the cluster without the estimate: what
        the log likelihood loses if the estimate had not been there.
    given_others : array of shape (K, S)
        Of an estimate given the others of its cluster, as a density of the estimate.
        Equal to `removal` but for selection within clusters of several estimates.
    """

    cluster: FloatArray
    removal: FloatArray
    given_others: FloatArray


@dataclass(frozen=True, slots=True)
class Predictions:
    """What each of S draws says of every estimate before it is seen.

    Attributes
    ----------
    mean, variance : arrays of shape (K, S)
        Of the estimate if it is published.
    below, above : arrays of shape (K, S)
        Probabilities of a smaller and of a larger one than was observed.
    """

    mean: FloatArray
    variance: FloatArray
    below: FloatArray
    above: FloatArray


def log_densities(task: Task, fits: Sequence[Fit], draws: JointDraws) -> LogDensities:
    """Return log densities of all estimates and clusters given draws.

    Parameters
    ----------
    task : Task
        The data.
    fits : sequence of Fit
        The models of the ensemble.
    draws : JointDraws
        S of all scalar unknowns, as `Ensemble.joint` returns them.

    Returns
    -------
    LogDensities

    Notes
    -----
    The estimates of a cluster are y_i = c_i + l_i g + u_i with the mean c_i, PET and
    PEESE included, g ~ N(0, 1) and independent u_i ~ N(0, D_i) (`Predictor`). With
    r = y − c, P = Σ l²/D and R = Σ l r/D over the cluster, and P', R' the same sums
    without estimate i,

        −2 log p(y) = n log 2π + Σ log D + log(1 + P) + Σ r²/D − R²/(1 + P),
        y_i | others ~ N(c_i + l_i R'/(1 + P'), D_i + l_i²/(1 + P')).

    Under selection a cluster has the density p(y) Π w(y_i) / E[Π w(Y_i)] [1]_. Given g
    estimates are independent, so that the expectation is an integral over g of
    Π C_i(g), C_i(g) = E[w(Y_i) | g], found with the nodes that the model was fitted
    with. A published estimate has the density p(y_i | others) w(y_i) /
    E[w(Y_i) | others] given the others of its cluster (`given_others`). This is not the
    ratio of the cluster's density to that of a cluster without the estimate
    (`removal`), because a cluster of two is not what is seen of a selected cluster of
    three.

    Of counts the densities are those of `pyrobma.ensemble.counted`: probabilities of
    the events, given those of both groups if the likelihood is conditional.

    References
    ----------
    .. [1] Vevea J. L., Hedges L. V. (1995). A general linear model for estimating
       effect size in the presence of publication bias. Psychometrika 60(3).
       doi:10.1007/BF02294384
    """
    if task.effects.counts is not None:
        together, added = CountedStudies.of(task, draws).log_densities()
        return LogDensities(together, added, added)
    normal = Normal.of(task, draws)
    given = normal.given_others()
    y = task.effects.y[:, None]
    alone = normal_log_density(y, given.mean, np.sqrt(given.variance))
    found = LogDensities(normal.log_density(), alone, alone.copy())
    for k, mine, published in selected(task, fits, draws):
        own = normal.part(mine)
        rule = fits[k].rule or _USUAL
        every, removed = _log_normalisers(own, published, rule)
        conditional = given.part(mine)
        chance = published.log_chance(
            np.arange(task.effects.K),
            conditional.mean,
            np.sqrt(conditional.variance),
            slice(None),
        )
        weights = published.log_own
        found.cluster[:, mine] += own.sums(weights) - every
        found.removal[:, mine] += weights - every[own.cluster] + removed
        found.given_others[:, mine] += weights - chance
    return found


def predictions(
    task: Task, fits: Sequence[Fit], draws: JointDraws, *, given_others: bool
) -> Predictions:
    """Return what draws say of all estimates before these are seen.

    Parameters
    ----------
    task, fits, draws
        As in `log_densities`.
    given_others : bool
        Whether the other estimates of its cluster are known.

    Returns
    -------
    Predictions
        Of published estimates, under the selection of each draw's model.

    Raises
    ------
    DataError
        If the data are counts.
    """
    refuse_counts(task, "residuals", "See loo() and influence() instead.")
    normal = Normal.of(task, draws)
    before = normal.given_others() if given_others else normal.alone()
    sd = np.sqrt(before.variance)
    z = (task.effects.y[:, None] - before.mean) / sd
    found = Predictions(before.mean.copy(), before.variance.copy(), ndtr(z), ndtr(-z))
    for _, mine, published in selected(task, fits, draws):
        parts = published.predictions(task.effects.y, before.mean[:, mine], sd[:, mine])
        arrays = (found.mean, found.variance, found.below, found.above)
        for whole, part in zip(arrays, parts, strict=True):
            whole[:, mine] = part
    return found


# ---- before selection ----------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Moments:
    """Means and variances of estimates by draw, shape (K, S) each."""

    mean: FloatArray
    variance: FloatArray

    def part(self, draws: IntArray) -> Moments:
        """Return those of some draws."""
        return Moments(self.mean[:, draws], self.variance[:, draws])


@dataclass(frozen=True, slots=True)
class Normal:
    """The normal distribution of clustered estimates given each of S draws.

    Attributes
    ----------
    cluster : array of shape (K,)
        Number of each estimate's cluster.
    y : array of shape (K,)
        Estimates.
    centre, own, load : arrays of shape (K, S)
        Their means, their variances given the common factor, and their loadings on it.
    """

    cluster: IntArray
    y: FloatArray
    centre: FloatArray
    own: FloatArray
    load: FloatArray

    @classmethod
    def of(cls, task: Task, draws: Draws) -> Normal:
        """Return it for draws by parameter, each of shape (S,)."""
        effects, study = task.effects, Predictor(task, draws)
        every, shape = np.arange(effects.K), (effects.K, len(draws["mu"]))
        return cls(
            effects.cluster,
            effects.y,
            np.broadcast_to(study.mean(every) + study.bias(every), shape),
            effects.se[:, None] ** 2 + np.broadcast_to(study.within(every), shape),
            np.broadcast_to(study.loading(every), shape),
        )

    def part(self, draws: IntArray) -> Normal:
        """Return that of some draws."""
        return Normal(
            self.cluster,
            self.y,
            self.centre[:, draws],
            self.own[:, draws],
            self.load[:, draws],
        )

    def sums(self, values: FloatArray) -> FloatArray:
        """Return sums over clusters, shape (L, S), of values of shape (K, S)."""
        order = np.argsort(self.cluster, kind="stable")
        starts = np.searchsorted(self.cluster[order], np.unique(self.cluster))
        return np.asarray(np.add.reduceat(values[order], starts, axis=0))

    def log_density(self) -> FloatArray:
        """Return the log density of every cluster, shape (L, S)."""
        r = self.y[:, None] - self.centre
        P, R = self._sums_of_loads(r)
        terms = math.log(2 * math.pi) + np.log(self.own) + r**2 / self.own
        return np.asarray(-0.5 * (self.sums(terms) + np.log1p(P) - R**2 / (1 + P)))

    def given_others(self) -> Moments:
        """Return the moments of estimates given the others of their cluster."""
        r = self.y[:, None] - self.centre
        per = self.load / self.own
        P, R = (some[self.cluster] for some in self._sums_of_loads(r))
        # Rounding leaves less than nothing where one estimate is all of the sum.
        rest = 1 + np.maximum(P - per * self.load, 0.0)
        shared = np.bincount(self.cluster)[self.cluster] > 1
        known = np.where(shared[:, None], R - per * r, 0.0)
        return Moments(
            self.centre + self.load * known / rest, self.own + self.load**2 / rest
        )

    def alone(self) -> Moments:
        """Return the moments of estimates of whose clusters nothing is known."""
        return Moments(self.centre, self.own + self.load**2)

    def _sums_of_loads(self, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        per = self.load / self.own
        return self.sums(per * self.load), self.sums(per * r)


# ---- selection -----------------------------------------------------------------------
def selected(
    task: Task, fits: Sequence[Fit], draws: JointDraws
) -> Iterator[tuple[int, IntArray, Published]]:
    """Yield models with selection, the places of their draws, and their weights."""
    for k in np.unique(draws.model).tolist():
        selection = fits[k].spec.selection
        if selection is None:
            continue
        mine = np.flatnonzero(draws.model == k)
        omega = fits[k].draws("omega")
        omega = omega.reshape(-1, omega.shape[2])
        # Fixed weights are one row, whatever else is drawn.
        rows = draws.row[mine] if len(omega) > 1 else np.zeros(len(mine), dtype=int)
        yield k, mine, Published.of(task, selection, omega[rows])


def _log_normalisers(
    normal: Normal, published: Published, rule: Rule
) -> tuple[FloatArray, FloatArray]:
    """Return log E[Π w] of clusters, (L, S), and without each estimate, (K, S)."""
    K, every = len(normal.cluster), slice(None)
    alone = normal.alone()
    own = published.log_chance(np.arange(K), alone.mean, np.sqrt(alone.variance), every)
    whole = normal.sums(own)
    without = whole[normal.cluster] - own
    sizes = np.bincount(normal.cluster)
    without[sizes[normal.cluster] == 1] = 0.0
    # Without a common factor estimates are independent: that is all.
    correlated = normal.load.any(axis=0)
    if not correlated.any():
        return whole, without
    for c in np.flatnonzero(sizes > 1).tolist():
        rows = np.flatnonzero(normal.cluster == c)
        for some in _blocks(rows, published, rule, normal.load.shape[1]):
            logs = _log_chances(normal, published, rule, rows, some)
            nodes = rule.log_weights[:, None]
            whole[c, some] = logsumexp(logs.sum(axis=0) + nodes, axis=0)
            for i, row in enumerate(rows.tolist()):
                # Not the difference of sums: one of them may be infinite.
                others = np.delete(logs, i, axis=0).sum(axis=0)
                without[row, some] = logsumexp(others + nodes, axis=0)
    return whole, without


def _blocks(
    rows: IntArray, published: Published, rule: Rule, draws: int
) -> Iterator[slice]:
    """Yield parts of the draws for which the arrays of the quadrature are small."""
    each = len(rows) * len(rule.nodes) * published.log_omega.shape[1]
    size = max(1, ROOM // each)
    return (slice(start, start + size) for start in range(0, draws, size))


def _log_chances(
    normal: Normal, published: Published, rule: Rule, rows: IntArray, some: slice
) -> FloatArray:
    """Return log C of a cluster's estimates at every node, shape (n, nodes, S)."""
    n, nodes = len(rows), rule.nodes[:, None]
    mean = normal.centre[rows, None, some] + normal.load[rows, None, some] * nodes
    sd = np.broadcast_to(np.sqrt(normal.own[rows, None, some]), mean.shape)
    flat = (n * len(nodes), mean.shape[2])
    logs = published.log_chance(
        np.repeat(rows, len(nodes)), mean.reshape(flat), sd.reshape(flat), some
    )
    return logs.reshape(mean.shape)
