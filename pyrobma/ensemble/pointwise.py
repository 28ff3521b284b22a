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
from scipy.special import log_ndtr, logsumexp, ndtr

from pyrobma._numerics import normal_log_density
from pyrobma._types import FloatArray, IntArray
from pyrobma.effects.cutoffs import critical_values
from pyrobma.ensemble.joint import JointDraws
from pyrobma.ensemble.predictor import Draws, Predictor
from pyrobma.fit import Fit
from pyrobma.fit.quadrature import Rule
from pyrobma.fit.stan_data import ON_CUT
from pyrobma.models import Task
from pyrobma.priors import WeightFunction

_ROOM: Final = 2_000_000  # numbers in the largest array of the quadrature
_USUAL: Final = Rule(0.18, 11.0)
"""Quadrature of models that have none of their own."""
_UNDERFLOW: Final = 1e-280
_SMALLEST: Final = float(np.finfo(np.float64).tiny)


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


@dataclass(frozen=True, slots=True)
class Published:
    """Weights of publication of K estimates, by interval of their values.

    Attributes
    ----------
    cuts : array of shape (K, I - 1)
        Where the weight changes, rising, on the measure of the likelihood.
    log_omega : array of shape (S, I)
        Logs of weights by draw, from the lowest values to the highest.
    log_own : array of shape (K, S)
        Logs of the weights of the estimates that were observed.
    """

    cuts: FloatArray
    log_omega: FloatArray
    log_own: FloatArray

    @classmethod
    def of(cls, task: Task, selection: WeightFunction, omega: FloatArray) -> Published:
        """Return the weights of a model.

        Parameters
        ----------
        task : Task
            The data.
        selection : WeightFunction
            The model's intervals of p-values.
        omega : array of shape (S, J)
            Weights by rising p-value.
        """
        effects = task.effects
        cut = critical_values(effects, selection.steps, selection.sides)
        statistic = task.direction * effects.y
        if selection.sides == 2:
            statistic = np.abs(statistic)
        margin = ON_CUT * effects.se[:, None]
        # The number of the interval by rising p-value, as the Stan program counts.
        own = (statistic[:, None] < cut - margin).sum(axis=1)
        if selection.omega is None:
            # A free weight is positive, even if it is too small for a number.
            omega = np.maximum(omega, _SMALLEST)
        with np.errstate(divide="ignore"):
            logs = np.log(omega)
        falling = logs[:, ::-1]
        if selection.sides == 2:
            return cls(
                np.hstack([-cut[:, ::-1], cut]),
                np.hstack([logs, falling[:, 1:]]),
                logs.T[own],
            )
        if task.direction < 0:
            return cls(-cut[:, ::-1], logs, logs.T[own])
        return cls(cut, falling, logs.T[own])

    def log_chance(
        self, rows: IntArray, mean: FloatArray, sd: FloatArray, draws: slice
    ) -> FloatArray:
        """Return the log of the mean weight of normal estimates.

        Parameters
        ----------
        rows : array of shape (n,)
            The estimates whose cuts hold.
        mean, sd : arrays of shape (n, S)
            Of the estimates before selection.
        draws : slice
            Whose weights hold.

        Returns
        -------
        array of shape (n, S)
        """
        log_omega = self.log_omega[draws]
        ends = self._ends(rows, mean, sd)
        mass = _masses(ends)
        chance = np.einsum("nsi,si->ns", mass, np.exp(log_omega))
        with np.errstate(divide="ignore"):
            logs = np.log(chance)
        # Weights of 0 may leave only tails too small for a number.
        far = chance < _UNDERFLOW
        if far.any():
            n, s = np.nonzero(far)
            logs[far] = logsumexp(_log_masses(ends[n, s]) + log_omega[s], axis=1)
        return np.asarray(logs)

    def predictions(
        self, y: FloatArray, mean: FloatArray, sd: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return moments of all published estimates, and probabilities beyond `y`.

        Parameters
        ----------
        y : array of shape (K,)
            Observed.
        mean, sd : arrays of shape (K, S)
            Of estimates before selection.

        Returns
        -------
        four arrays of shape (K, S)
            As the fields of `Predictions`.
        """
        every = np.arange(len(y))
        ends = self._ends(every, mean, sd)
        log_chance = self.log_chance(every, mean, sd, slice(None))
        # Relative to the chance of publication, so that no weight is too small.
        with np.errstate(over="ignore"):
            share = np.exp(self.log_omega[None] - log_chance[:, :, None])
        share = np.where(np.isfinite(share), share, 0.0)

        def total(parts: FloatArray) -> FloatArray:
            return np.asarray(np.einsum("nsi,nsi->ns", parts, share))

        density = np.exp(-0.5 * ends**2) / math.sqrt(2 * math.pi)
        finite = np.where(np.isfinite(ends), ends, 0.0)
        first = total(-np.diff(density, axis=2))
        second = 1 + total(-np.diff(finite * density, axis=2))
        at = ((y[:, None] - mean) / sd)[:, :, None]
        below = total(_masses(np.minimum(ends, at)))
        above = total(_masses(np.maximum(ends, at)))
        # A variance is not negative, whatever is left of the difference.
        variance = sd**2 * np.maximum(second - first**2, 0.0)
        return mean + sd * first, variance, below, above

    def _ends(self, rows: IntArray, mean: FloatArray, sd: FloatArray) -> FloatArray:
        """Return the ends of intervals in standard deviations, (n, S, I + 1)."""
        cuts = self.cuts[rows]
        z = (cuts[:, None] - mean[:, :, None]) / sd[:, :, None]
        end = np.full((*z.shape[:2], 1), np.inf)
        return np.concatenate([-end, z, end], axis=2)


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

    References
    ----------
    .. [1] Vevea J. L., Hedges L. V. (1995). A general linear model for estimating
       effect size in the presence of publication bias. Psychometrika 60(3).
       doi:10.1007/BF02294384
    """
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
    """
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
    size = max(1, _ROOM // each)
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


def _masses(ends: FloatArray) -> FloatArray:
    """Return normal probabilities between neighbouring ends, by their smaller tails."""
    below, above = ndtr(ends), ndtr(-ends)
    return np.asarray(
        np.where(
            ends[:, :, :-1] > 0,
            above[:, :, :-1] - above[:, :, 1:],
            below[:, :, 1:] - below[:, :, :-1],
        )
    )


def _log_masses(ends: FloatArray) -> FloatArray:
    """Return the logs of what `_masses` returns, for shape (n, I + 1)."""
    low, high = ends[:, :-1], ends[:, 1:]
    right = low > 0
    more = log_ndtr(np.where(right, -low, high))
    less = log_ndtr(np.where(right, -high, low))
    with np.errstate(divide="ignore"):
        return np.asarray(more + np.log(-np.expm1(np.minimum(less - more, 0.0))))
