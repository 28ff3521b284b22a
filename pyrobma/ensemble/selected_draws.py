"""Stage 5: draws of estimates as selection by p-value lets them be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import log_ndtr, ndtr

from pyrobma._types import BoolArray, FloatArray, IntArray
from pyrobma.effects.cutoffs import critical_values
from pyrobma.errors import DataError
from pyrobma.models import Task
from pyrobma.priors import WeightFunction

_FAR: Final = 10.0**2.0 ** np.arange(1, 8)
_EDGES: Final = np.concatenate([-_FAR[::-1], np.linspace(-38, 38, 153), _FAR])
"""Of the first cells of a common factor. Only what is hardly ever published is far."""


@dataclass(frozen=True, slots=True)
class Selected:
    """Where the weight of publication of each estimate changes, and the weights.

    Attributes
    ----------
    ends : array of shape (K, G + 1)
        Ends of the G intervals of an estimate, increasing, from -inf to inf, on the
        measure of the likelihood.
    log_weights : array of shape (S, G)
        Natural log of the weight of each interval in each of S draws, in the same
        order; -inf where nothing is published.
    """

    ends: FloatArray
    log_weights: FloatArray

    @classmethod
    def of(cls, task: Task, selection: WeightFunction, omega: FloatArray) -> Selected:
        """Return those of a weight function.

        Parameters
        ----------
        task : Task
            The estimates, at whose own critical values the weight changes, and the
            direction that publication favours.
        selection : WeightFunction
            With J intervals of p-values.
        omega : array of shape (S, J)
            Draws of its weights, those of the most significant interval first.
        """
        cuts = critical_values(task.effects, selection.steps, selection.sides)
        if selection.sides == 2:
            cuts = np.hstack([-cuts[:, ::-1], cuts])
            weights = np.hstack([omega, omega[:, -2::-1]])
        elif task.direction > 0:
            weights = omega[:, ::-1]
        else:
            cuts, weights = -cuts[:, ::-1], omega
        beyond = np.full((len(cuts), 1), np.inf)
        with np.errstate(divide="ignore"):
            return cls(np.hstack([-beyond, cuts, beyond]), np.log(weights))


def selected_draws(
    mean: FloatArray,
    sd: FloatArray,
    load: FloatArray,
    cluster: IntArray,
    selected: Selected,
    rng: np.random.Generator,
    *,
    tries: int = 0,
) -> FloatArray:
    """Draw estimates from their density given that their cluster is published.

    Parameters
    ----------
    mean, sd : arrays of shape (S, K)
        Of the estimates before selection, given the common factor of their cluster
        being 0; sd positive.
    load : array of shape (S, K)
        What a unit of the common factor adds, not negative; in a draw and cluster
        either always positive or always 0.
    cluster : array of shape (K,)
        Cluster numbers 0, ..., L - 1.
    selected : Selected
        Weights of publication.
    rng : numpy.random.Generator
    tries : int
        How often common factors are proposed, for all draws at once, before each that
        is still open is drawn for itself. What is drawn has the same distribution,
        and is found sooner for many draws.

    Returns
    -------
    array of shape (S, K)

    Raises
    ------
    DataError
        If all that can be published is too improbable to have a probability.

    Notes
    -----
    The density of a cluster is proportional to MVN(y) prod_i w(y_i), what is seen of
    clusters that are drawn until one is published, with the probability prod_i w(y_i).
    These draws have that density without being repeated, which could take for ever.
    Given the common factor g estimates are independent, so that g has a density
    proportional to phi(g) prod_i A_i(g) with A_i(g) = sum_j w_j P(y_i in j | g), and
    y_i given g is in interval j with probability w_j P(y_i in j | g) / A_i(g), normal
    and truncated. g is drawn by rejection from a bound that is constant on cells: the
    largest phi times prod_i sum_j w_j max P(y_i in j | g), each of these where the
    mean is as near to the middle of j as it gets. A cell of a rejected draw is split.
    `tries` comes before that: g is proposed from phi and accepted with the probability
    prod_i A_i(g) / max_j w_j.
    """
    shared = np.bincount(cluster) > 1
    factors = np.zeros((len(mean), len(shared)))
    open_ = np.asarray((load > 0).any(axis=1))[:, None] & shared
    if tries:
        _propose(factors, open_, mean, sd, load, cluster, selected, rng, tries)
    for s, k in np.argwhere(open_):
        own = cluster == k
        factors[s, k] = _common_factor(
            _Cluster(
                mean[s, own], sd[s, own], load[s, own], selected.ends[own],
                selected.log_weights[s],
            ),
            rng,
        )  # fmt: skip
    from scipy.stats import truncnorm  # slow to import

    # Independent estimates have all of their variance at once.
    spread = np.where(shared[cluster], sd, np.hypot(sd, load))
    centre = mean + load * factors[:, cluster]
    ends = (selected.ends - centre[..., None]) / spread[..., None]
    chance = _log_mass(ends[..., :-1], ends[..., 1:])
    chance = chance + selected.log_weights[:, None]
    _refuse_unpublished(chance.max(axis=-1).min())
    # The largest of logs of chances and Gumbel deviates is each by its chance.
    chosen = np.argmax(chance + rng.gumbel(size=chance.shape), axis=-1)[..., None]
    low = np.take_along_axis(ends, chosen, axis=-1)[..., 0]
    high = np.take_along_axis(ends, chosen + 1, axis=-1)[..., 0]
    unit = truncnorm.ppf(rng.random(low.shape), low, high)
    return np.asarray(centre + spread * unit)


@dataclass(frozen=True, slots=True)
class _Cluster:
    """A cluster of m estimates in one draw; G intervals of p-values."""

    mean: FloatArray
    sd: FloatArray
    load: FloatArray
    ends: FloatArray
    log_weights: FloatArray

    def log_bound(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Return the log of what phi(g) prod A(g) is at most between ends of cells.

        It is the value itself where both ends are one; phi without its constant.
        """
        below, above = self.ends[:, :-1], self.ends[:, 1:]
        load = self.load[:, None]
        best = ((below + above) / 2 - self.mean[:, None]) / load
        g = np.clip(best, low[:, None, None], high[:, None, None])
        centre = self.mean[:, None] + load * g
        sd = self.sd[:, None]
        mass = _log_mass((below - centre) / sd, (above - centre) / sd)
        published = np.logaddexp.reduce(mass + self.log_weights, axis=-1).sum(axis=-1)
        return np.asarray(published - np.clip(0.0, low, high) ** 2 / 2)


def _propose(
    factors: FloatArray,
    open_: BoolArray,
    mean: FloatArray,
    sd: FloatArray,
    load: FloatArray,
    cluster: IntArray,
    selected: Selected,
    rng: np.random.Generator,
    tries: int,
) -> None:
    """Draw common factors by rejection, and close those that are accepted.

    Probabilities are differences of cumulative ones: one that these round to nothing is
    not accepted, and stays open for a way that has its digits.
    """
    top = selected.log_weights.max(axis=1, keepdims=True)
    weights = np.exp(selected.log_weights - top)
    for k in np.flatnonzero(open_.any(axis=0)):
        own = np.flatnonzero(cluster == k)
        cuts, steps = selected.ends[own, 1:-1], -np.diff(weights, axis=1)
        for _ in range(tries):
            left = np.flatnonzero(open_[:, k])
            if not left.size:
                break
            g = rng.standard_normal(left.size)
            at = mean[np.ix_(left, own)] + load[np.ix_(left, own)] * g[:, None]
            z = (cuts - at[..., None]) / sd[np.ix_(left, own)][..., None]
            # Sum of w_j P(j), by parts.
            each = weights[left, -1:] + (ndtr(z) * steps[left, None]).sum(axis=-1)
            accepted = rng.random(left.size) < np.maximum(each, 0.0).prod(axis=1)
            factors[left[accepted], k] = g[accepted]
            open_[left[accepted], k] = False


def _common_factor(cluster: _Cluster, rng: np.random.Generator) -> float:
    """Draw the common factor of a published cluster."""
    low, high = _EDGES[:-1], _EDGES[1:]
    bound = cluster.log_bound(low, high)
    while True:
        _refuse_unpublished(bound.max())
        share = np.exp(bound - bound.max()) * (high - low)
        cell = rng.choice(len(share), p=share / share.sum())
        g = rng.uniform(low[cell], high[cell], 1)
        if np.log(rng.random()) <= (cluster.log_bound(g, g) - bound[cell])[0]:
            return float(g[0])
        ends = np.array([low[cell], (low[cell] + high[cell]) / 2, high[cell]])
        halves = cluster.log_bound(ends[:-1], ends[1:])
        low = np.append(np.delete(low, cell), ends[:-1])
        high = np.append(np.delete(high, cell), ends[1:])
        bound = np.append(np.delete(bound, cell), halves)


def _log_mass(low: FloatArray, high: FloatArray) -> FloatArray:
    """Return log P(low < Z < high) of a standard normal Z, by the smaller tail."""
    flip = low > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    outer, inner = log_ndtr(high), log_ndtr(low)
    with np.errstate(divide="ignore", invalid="ignore"):
        mass = outer + np.log(-np.expm1(inner - outer))
    return np.asarray(np.where(low < high, mass, -np.inf))


def _refuse_unpublished(largest: float) -> None:
    if not np.isfinite(largest):
        raise DataError(
            "source: expected models in which every estimate can be published; got a "
            "draw in which what has a positive weight has no probability that a float "
            "can hold. Give small positive weights instead of 0 in "
            "prior_weightfunction, or priors with less mass on that side."
        )
