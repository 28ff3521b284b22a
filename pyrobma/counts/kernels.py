"""Likelihoods of the events of single studies, given the study's true effect.

Each kernel gives the log likelihood of K studies at true effects theta, shape (K, n),
and, if it has a baseline, at baselines phi, shape (K, 1), with its derivatives: first
ones of shape (q, K, n), second ones of shape (q, q, K, n). The last of the q
coordinates is theta, the first of two phi.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from scipy.special import expit, gammaln, xlogy

from pyrobma._types import FloatArray, IntArray
from pyrobma.effects._columns import Rows
from pyrobma.effects.counts import TwoGroups

NO_BASELINE = np.empty((0, 1))
"""Baselines of studies without any."""

_LARGEST = 200.0
"""Log rates beyond make a likelihood of 0 all the same; squares must not overflow."""

_EXTREME = 50.0
"""Log odds ratios beyond have all events in one group, but for one in 1e20."""

_BLOCK = 4_000_000
"""Numbers that a block of studies may need at once."""


class Derivatives(NamedTuple):
    """Log likelihoods, their gradients and second derivatives."""

    value: FloatArray
    first: FloatArray
    second: FloatArray


class Saturated(NamedTuple):
    """Studies by themselves, shape (K,) each.

    Attributes
    ----------
    loglik : array
        Log likelihoods at their maxima.
    estimate, weight : array
        Where these are, as effects, and their inverse sampling variances; both 0 if
        the effect is not finite.
    """

    loglik: FloatArray
    estimate: FloatArray
    weight: FloatArray


class Kernel(Protocol):
    """Likelihood of K studies."""

    def at(self, theta: FloatArray, phi: FloatArray) -> Derivatives:
        """Return the log likelihoods and their derivatives."""


class Studies(Kernel, Protocol):
    """Likelihood of K studies, each with parameters of its own or with none."""

    def saturated(self) -> Saturated:
        """Fit every study by itself."""

    def start(self) -> FloatArray:
        """Return baselines to begin with, at an effect of 0; empty without any."""


def support(groups: TwoGroups) -> tuple[FloatArray, FloatArray]:
    """Return the fewest and the most events that group 1 can have, given all events."""
    events = groups.x1 + groups.x2
    if groups.rates:
        return np.zeros_like(events), events
    return (
        np.maximum(0.0, events - groups.size2),
        np.minimum(groups.size1, events),
    )


# ---- conditional on the number of events -----------------------------------
@dataclass(frozen=True, slots=True)
class Hypergeometric:
    """Events of group 1 given both margins: Fisher's noncentral hypergeometric.

    Attributes
    ----------
    steps : array of shape (T,)
        Possible events less those observed, for all studies one after the other.
    log_ways : array of shape (T,)
        Log of the number of tables with these, less that with those observed.
    starts : array of int, shape (K,)
        Where each study begins.
    """

    groups: TwoGroups
    steps: FloatArray = field(init=False)
    log_ways: FloatArray = field(init=False)
    starts: IntArray = field(init=False)

    def __post_init__(self) -> None:
        """List the possible numbers of events."""
        g = self.groups
        lower, upper = support(g)
        lengths = (upper - lower).astype(np.int64) + 1
        starts = np.cumsum(lengths) - lengths
        s = np.arange(lengths.sum()) - np.repeat(starts, lengths)
        s = s + np.repeat(lower, lengths)
        x1, x2, n1, n2 = (np.repeat(x, lengths) for x in (g.x1, g.x2, g.size1, g.size2))
        rest = x1 + x2 - s
        log_ways = _log_choose(n1, s) + _log_choose(n2, rest)
        observed = _log_choose(n1, x1) + _log_choose(n2, x2)
        set_ = object.__setattr__
        set_(self, "steps", s - x1)
        set_(self, "log_ways", log_ways - observed)
        set_(self, "starts", starts)

    def at(self, theta: FloatArray, phi: FloatArray = NO_BASELINE) -> Derivatives:
        """Return the log likelihoods and their derivatives; `phi` is not used."""
        value, mean, variance = (np.empty_like(theta) for _ in range(3))
        first, lengths = self._window(theta)
        for studies in _blocks(lengths, _BLOCK // theta.shape[1]):
            count = lengths[studies]
            starts = np.cumsum(count) - count
            terms = np.repeat(first[studies] - starts, count) + np.arange(count.sum())
            steps = self.steps[terms, None]
            logs = self.log_ways[terms, None] + steps * np.repeat(
                theta[studies], count, axis=0
            )
            top = np.maximum.reduceat(logs, starts)
            p = np.exp(logs - np.repeat(top, count, axis=0))
            total = np.add.reduceat(p, starts)
            m = np.add.reduceat(steps * p, starts) / total
            deviation = steps - np.repeat(m, count, axis=0)
            value[studies] = -top - np.log(total)
            mean[studies] = m
            variance[studies] = np.add.reduceat(deviation**2 * p, starts) / total
        return Derivatives(value, -mean[None], -variance[None, None])

    def _window(self, theta: FloatArray) -> tuple[IntArray, IntArray]:
        """First term, and number of terms, that any of a study's effects need.

        Ten standard deviations and 15 events beyond the modes the probabilities are
        below 1e-20, whatever the mode: they fall as those of a Poisson number at least.
        """
        g = self.groups
        events = g.x1 + g.x2
        ends = []
        for side, log_ratio in ((-1.0, theta.min(axis=1)), (1.0, theta.max(axis=1))):
            ratio = np.exp(np.clip(log_ratio, -_EXTREME, _EXTREME))
            mode = expected_events(g, ratio)
            cells = (mode, g.size1 - mode, events - mode, g.size2 - events + mode)
            sd = 1.0 / np.sqrt(sum(1.0 / (cell + 1.0) for cell in cells))
            ends.append(mode + side * (10.0 * sd + 15.0))
        lower, upper = support(g)
        begin = np.clip(np.floor(ends[0]), lower, upper)
        end = np.clip(np.ceil(ends[1]), lower, upper)
        first = self.starts + (begin - lower).astype(np.int64)
        return first, (end - begin).astype(np.int64) + 1

    def saturated(self) -> Saturated:
        """Fit every study by itself."""
        g = self.groups
        lower, upper = support(g)
        inner = (g.x1 > lower) & (g.x1 < upper)
        kernel = Hypergeometric(g.kept(inner))
        a, b = g.x1[inner] + 0.5, g.size1[inner] - g.x1[inner] + 0.5
        c, d = g.x2[inner] + 0.5, g.size2[inner] - g.x2[inner] + 0.5
        theta = (np.log(a) - np.log(b) - np.log(c) + np.log(d))[:, None]
        for _ in range(100):
            here = kernel.at(theta)
            # the likelihood is log-concave: short steps of Newton's reach its maximum
            step = np.clip(-here.first[0] / here.second[0, 0], -2.0, 2.0)
            theta = theta + step
            if not np.abs(step).max(initial=0.0) > 1e-12:
                break
        here = kernel.at(theta)
        loglik, estimate, weight = (np.zeros(g.K) for _ in range(3))
        loglik[inner], estimate[inner] = here.value[:, 0], theta[:, 0]
        weight[inner] = -here.second[0, 0, :, 0]
        return Saturated(loglik, estimate, weight)

    def start(self) -> FloatArray:
        """Return nothing: there are no baselines."""
        return np.empty(0)


@dataclass(frozen=True, slots=True)
class Binomial:
    """Events of group 1 given those of both: ``logit p = theta + log(size1 / size2)``.

    Exact for Poisson numbers, and for rare events out of totals approximate.
    """

    groups: TwoGroups

    def at(self, theta: FloatArray, phi: FloatArray = NO_BASELINE) -> Derivatives:
        """Return the log likelihoods and their derivatives; `phi` is not used."""
        g = self.groups
        x, n = g.x1[:, None], (g.x1 + g.x2)[:, None]
        eta = theta + np.log(g.size1 / g.size2)[:, None]
        p = expit(eta)
        value = _log_choose(n, x) + x * eta - n * np.logaddexp(0.0, eta)
        return Derivatives(value, (x - n * p)[None], (-n * p * expit(-eta))[None, None])

    def saturated(self) -> Saturated:
        """Fit every study by itself."""
        g = self.groups
        n = g.x1 + g.x2
        loglik = _log_choose(n, g.x1) + xlogy(g.x1, g.x1 / n) + xlogy(g.x2, g.x2 / n)
        return Saturated(loglik, *_log_rate_ratio(g))

    def start(self) -> FloatArray:
        """Return nothing: there are no baselines."""
        return np.empty(0)


# ---- with a baseline in each study -----------------------------------------
@dataclass(frozen=True, slots=True)
class TwoBinomials:
    """Events of two groups out of totals: logits ``phi + theta/2, phi - theta/2``."""

    groups: TwoGroups

    def at(self, theta: FloatArray, phi: FloatArray) -> Derivatives:
        """Return the log likelihoods and their derivatives."""
        g, arms = self.groups, []
        for x, n, half in ((g.x1, g.size1, 0.5), (g.x2, g.size2, -0.5)):
            events, members = x[:, None], n[:, None]
            eta = phi + half * theta
            p = expit(eta)
            value = events * eta - members * np.logaddexp(0.0, eta)
            arms.append(
                (
                    _log_choose(members, events) + value,
                    events - members * p,
                    -members * p * expit(-eta),
                )
            )
        return _of_arms(*arms)

    def saturated(self) -> Saturated:
        """Fit every study by itself."""
        g = self.groups
        a, c, b, d = g.x1, g.x2, g.size1 - g.x1, g.size2 - g.x2
        loglik = _log_choose(g.size1, a) + _log_choose(g.size2, c)
        for x, n in ((a, g.size1), (b, g.size1), (c, g.size2), (d, g.size2)):
            loglik = loglik + xlogy(x, x / n)
        full = (a > 0.0) & (b > 0.0) & (c > 0.0) & (d > 0.0)
        estimate, weight = np.zeros(g.K), np.zeros(g.K)
        a, b, c, d = (x[full] for x in (a, b, c, d))
        estimate[full] = np.log(a) - np.log(b) - np.log(c) + np.log(d)
        weight[full] = 1.0 / (1.0 / a + 1.0 / b + 1.0 / c + 1.0 / d)
        return Saturated(loglik, estimate, weight)

    def start(self) -> FloatArray:
        """Return the logits of the shares of events in both groups."""
        g = self.groups
        events = g.x1 + g.x2
        return np.log(events) - np.log(g.size1 + g.size2 - events)


@dataclass(frozen=True, slots=True)
class TwoPoissons:
    """Events over person-time: log rates ``phi + theta/2, phi - theta/2``."""

    groups: TwoGroups

    def at(self, theta: FloatArray, phi: FloatArray) -> Derivatives:
        """Return the log likelihoods and their derivatives."""
        g, arms = self.groups, []
        for x, t, half in ((g.x1, g.size1, 0.5), (g.x2, g.size2, -0.5)):
            events = x[:, None]
            eta = np.minimum(phi + half * theta + np.log(t)[:, None], _LARGEST)
            mean = np.exp(eta)
            value = events * eta - mean - gammaln(events + 1.0)
            arms.append((value, events - mean, -mean))
        return _of_arms(*arms)

    def saturated(self) -> Saturated:
        """Fit every study by itself."""
        g = self.groups
        loglik = sum(xlogy(x, x) - x - gammaln(x + 1.0) for x in (g.x1, g.x2))
        return Saturated(np.asarray(loglik), *_log_rate_ratio(g))

    def start(self) -> FloatArray:
        """Return the logs of the rates of both groups together."""
        g = self.groups
        return np.log(g.x1 + g.x2) - np.log(g.size1 + g.size2)


def expected_events(groups: TwoGroups, odds_ratio: FloatArray | float) -> FloatArray:
    """Return the events of group 1 in tables with these margins and odds ratio.

    It is the root in range of a quadratic equation, without cancellation.
    """
    n1, events = groups.size1, groups.x1 + groups.x2
    linear = odds_ratio * (n1 + events) + (groups.size2 - events)
    product = odds_ratio * n1 * events
    root = np.sqrt(np.maximum(linear**2 - 4.0 * (odds_ratio - 1.0) * product, 0.0))
    falling = linear < 0.0  # then the odds ratio is below 1
    divisor = np.where(falling, 2.0 * (odds_ratio - 1.0), linear + root)
    mean = np.where(falling, linear - root, 2.0 * product) / divisor
    return np.clip(mean, *support(groups))


def _blocks(lengths: IntArray, room: int) -> list[slice]:
    """Slices of studies whose terms fit into memory, one study each at least."""
    ends = np.cumsum(lengths)
    blocks, first, used = [], 0, 0
    while first < ends.size:
        last = int(np.searchsorted(ends, used + room, side="right"))
        last = max(last, first + 1)
        blocks.append(slice(first, last))
        first, used = last, int(ends[last - 1])
    return blocks


def repeated(groups: TwoGroups, times: int) -> TwoGroups:
    """Return every study several times, one after the other."""
    return TwoGroups(
        x1=np.repeat(groups.x1, times),
        x2=np.repeat(groups.x2, times),
        size1=np.repeat(groups.size1, times),
        size2=np.repeat(groups.size2, times),
        rates=groups.rates,
        rows=Rows(groups.K * times),
    )


_Arm = tuple[FloatArray, FloatArray, FloatArray]


def _of_arms(one: _Arm, two: _Arm) -> Derivatives:
    """Add the two groups, of which each has a linear predictor ``phi ± theta/2``."""
    first = np.stack([one[1] + two[1], 0.5 * (one[1] - two[1])])
    both, mixed = one[2] + two[2], 0.5 * (one[2] - two[2])
    second = np.stack([np.stack([both, mixed]), np.stack([mixed, 0.25 * both])])
    return Derivatives(one[0] + two[0], first, second)


def _log_rate_ratio(g: TwoGroups) -> tuple[FloatArray, FloatArray]:
    """Log ratios of rates and their inverse variances; 0 if not finite."""
    full = (g.x1 > 0.0) & (g.x2 > 0.0)
    estimate, weight = np.zeros(g.K), np.zeros(g.K)
    x1, x2 = g.x1[full], g.x2[full]
    ratio = np.log(x1) - np.log(x2) - np.log(g.size1[full] / g.size2[full])
    estimate[full], weight[full] = ratio, 1.0 / (1.0 / x1 + 1.0 / x2)
    return estimate, weight


def _log_choose(n: FloatArray, x: FloatArray) -> FloatArray:
    log_ways = gammaln(n + 1.0) - gammaln(x + 1.0) - gammaln(n - x + 1.0)
    return np.asarray(log_ways, dtype=np.float64)
