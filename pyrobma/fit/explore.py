"""Where a posterior has its mass, and what its integral is, before any chain runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.bridge.importance import ImportanceResult, importance
from pyrobma.bridge.independence import Proposal
from pyrobma.bridge.lattice import MOST_DIMENSIONS, LatticeResult, integrate
from pyrobma.bridge.modes import Mode, find_modes
from pyrobma.errors import BridgeError
from pyrobma.fit.density import LogDensity
from pyrobma.fit.quadrature import Rule
from pyrobma.fit.ridge import Peak, ridge
from pyrobma.fit.stan_data import column_centres, program_names
from pyrobma.models import ModelSpec, Task
from pyrobma.priors import Prior

MAX_PARETO_K: Final = 0.7
"""Pareto k of importance weights above which their mean cannot be trusted."""

_STARTS = 40
_DRAWS = 2000
_SEARCH_SECONDS = 0.5
_QUADRATURE_SECONDS = 2.0
_MOST_CANDIDATES = 3000
_MOST_POINTS = 60_000
_LOGITS = (1.5, -3.0, -30.0, -300.0)

_EFFECTS = 25  # points of the integral over a true effect behind counts


@dataclass(frozen=True, slots=True)
class Second:
    """A second estimate of a model's results, made without its Markov chains.

    Attributes
    ----------
    method : {"quadrature", "importance"}
        Deterministic quadrature, for up to three free parameters, or importance
        sampling from a mixture around the posterior's modes.
    logml, error : float
        Log marginal likelihood, and its error: a bound for quadrature, a Monte Carlo
        standard error for importance sampling.
    pareto_k : float
        Of the importance weights; NaN for quadrature.
    modes : int
        Number of modes found.
    evaluations : int
        Number of log densities computed.
    names : tuple of str
        Parameters and weights whose means follow.
    means, errors : tuple of float
        Posterior means in the data's unit, and their errors.
    """

    method: Literal["quadrature", "importance"]
    logml: float
    error: float
    pareto_k: float
    modes: int
    evaluations: int
    names: tuple[str, ...]
    means: tuple[float, ...]
    errors: tuple[float, ...]

    @property
    def reliable(self) -> bool:
        """Whether it can stand alone."""
        return self.method == "quadrature" or self.pareto_k <= MAX_PARETO_K


@dataclass(frozen=True, slots=True)
class Exploration:
    """What is known of a posterior before any chain runs.

    Attributes
    ----------
    second : Second
        The estimates.
    starts : array of shape (n, D)
        Draws from the posterior, nearly, on the unconstrained scale.
    covariance : array of shape (D, D)
        Of the posterior, unconstrained scale.
    proposal : Proposal
        A distribution like the posterior that can be drawn from.
    highest : float
        Log density at the highest mode.
    """

    second: Second
    starts: FloatArray
    covariance: FloatArray
    proposal: Proposal
    highest: float


def seconds_each(task: Task, spec: ModelSpec, rule: Rule | None) -> float:
    """Return about how long one log density takes.

    Not measured, because results must not depend on how busy the machine is.
    """
    terms = len(task.effects.y)
    if spec.selection is not None:
        terms *= len(spec.selection.intervals)
    if rule is not None:
        terms *= len(rule.nodes)
    if task.effects.counts is not None:
        terms *= _EFFECTS
    return 1e-6 + 2e-8 * terms


def posterior_modes(
    task: Task, spec: ModelSpec, density: LogDensity, each: float
) -> tuple[Mode, ...]:
    """Find modes from points where data and priors may want the parameters to be.

    `each` is what one log density takes, in seconds.

    Raises
    ------
    BridgeError
        If the density is zero everywhere.
    """
    points = density.unconstrain(_candidates(task, spec, density.own_columns))
    # Costly densities are looked at more sparingly.
    affordable = max(50, int(_SEARCH_SECONDS / each))
    if len(points) > affordable:
        points = np.random.default_rng(1).permutation(points)[:affordable]
    tops = np.array([peak.top for peak in _peaks(task, spec, density)])
    if len(tops):
        points = np.concatenate([points, density.unconstrain(tops)])
    modes = find_modes(density, points, most=int(np.clip(affordable / 1000, 2, 6)))
    if len(tops) > 1:
        # The highest points may all be of one mode, which need not have the most mass.
        found = [*modes, *find_modes(density, density.unconstrain(tops))]
        starts = np.array([mode.point for mode in found])
        modes = find_modes(density, starts, most=len(found))
    if not modes:
        raise BridgeError(
            "the posterior density is zero wherever the data and the priors point to. "
            "Check that the priors allow what the data show."
        )
    return modes


def explore(
    density: LogDensity,
    modes: Sequence[Mode],
    task: Task,
    spec: ModelSpec,
    seed: np.random.SeedSequence,
    *,
    each: float,
) -> Exploration:
    """Integrate a posterior without Markov chains.

    Parameters
    ----------
    density : LogDensity
    modes : sequence of Mode
    task : Task
    spec : ModelSpec
    seed : SeedSequence
    each : float
        What one log density takes, in seconds, roughly.

    Returns
    -------
    Exploration
        In the unit of `density`.
    """
    rng = np.random.default_rng(seed)
    program = program_names(task, spec)
    columns = list(program.outputs.values())
    names = list(program.outputs)
    if "omega" in spec.free:
        columns += program.weights
        names += program.weights
    found: LatticeResult | ImportanceResult | None = None
    if len(density.names) <= MOST_DIMENSIONS:
        most = int(np.clip(_QUADRATURE_SECONDS / each, 4000, _MOST_POINTS))
        found = integrate(density, modes, most=most)
    if found is None:
        found = importance(density, (*modes, *_broad(task, spec, density)), rng)
    points, weights = found.points, found.weights
    means, errors = found.mean(density.outputs(points, columns))
    k = found.pareto_k if isinstance(found, ImportanceResult) else None
    second = Second(
        method="quadrature" if k is None else "importance",
        logml=found.logml,
        error=found.error,
        pareto_k=math.nan if k is None else k,
        modes=len(modes),
        evaluations=found.evaluations,
        names=tuple(names),
        means=tuple(means.tolist()),
        errors=tuple(errors.tolist()),
    )
    # From draws, because far points of no weight would rule a covariance of all.
    chosen = rng.choice(len(points), size=_DRAWS, p=weights / weights.sum())
    covariance = np.cov(points[chosen], rowvar=False).reshape(points.shape[1], -1)
    # Few points with weight span no volume; the best mode's factor does.
    covariance = covariance + 1e-3 * modes[0].factor @ modes[0].factor.T
    highest = max(mode.value for mode in modes)
    return Exploration(
        second, points[chosen[:_STARTS]], covariance, found.proposal, highest
    )


def _peaks(task: Task, spec: ModelSpec, density: LogDensity) -> tuple[Peak, ...]:
    """Return where the density of tau has its maxima, roughly."""
    found = ridge(task, spec, density.own_columns)
    if found is None:
        return ()
    points = found.points
    values = density(density.unconstrain(points.reshape(-1, points.shape[2])))
    return found.peaks(values.reshape(points.shape[:2]))


def _broad(task: Task, spec: ModelSpec, density: LogDensity) -> tuple[Mode, ...]:
    """Return parts of a posterior that may have mass, but no mode.

    Where much heterogeneity leaves coefficients much room there can be as much mass as
    around a mode with little of both, whose density is higher all the way.
    """
    peaks = _peaks(task, spec, density)
    if len(peaks) < 2:
        return ()
    parts = []
    for peak in peaks:
        draws = density.unconstrain(peak.draws)
        centre, spread = draws.mean(axis=0), np.cov(draws, rowvar=False)
        # A coefficient that was moved inside its ends in every draw has no variance.
        variance = np.diag(spread)
        spread = spread + np.diag(np.where(variance > 0, 1e-9 * variance, 1.0))
        value = float(density(centre[None])[0])
        if math.isfinite(value):
            factor = np.asarray(np.linalg.cholesky(spread))
            parts.append(Mode(centre, value, factor))
    return tuple(parts)


def _candidates(task: Task, spec: ModelSpec, columns: Sequence[str]) -> FloatArray:
    """Return constrained points to look from, shape (n, len(columns))."""
    y, se = task.effects.y / task.scale, task.effects.se / task.scale
    weighted = float((y / se**2).sum() / (1 / se**2).sum())
    spread = float(np.sqrt(np.mean((y - np.median(y)) ** 2)))
    own = program_names(task, spec).own
    names = [own[column] for column in columns]
    places = [task.unknowns[name].enters for name in names]
    choices: list[list[float]] = []
    for name, place in zip(names, places, strict=True):
        if place == "correlation":
            choices.append([-1.5, 1.5])
            continue
        if place == "weights":
            choices.append(list(_LOGITS))
            continue
        prior, data = spec.prior(name), []
        if place == "intercept":
            data = [weighted, float(np.median(y)), float(y.min()), float(y.max())]
        elif place == "sd":
            far = abs(weighted - _typical(spec.prior("mu"))[0])
            data = [spread, far, float(se.min()) / 3, float(se.max())]
        choices.append(_inside(prior, _typical(prior) + data))
    grid = _crossed(choices)
    if "intercept" in places:
        at = places.index("intercept")
        _move_inside(grid, at, task, spec, names)
    return grid


def _crossed(choices: Sequence[Sequence[float]]) -> FloatArray:
    """Return all combinations of choices, or as many at random as are looked at."""
    sizes = [len(some) for some in choices]
    if math.prod(sizes) <= _MOST_CANDIDATES:
        places = np.unravel_index(np.arange(math.prod(sizes)), sizes)
    else:  # of very many: one that comes twice does not matter
        rng = np.random.default_rng(1)
        places = tuple(rng.integers(n, size=_MOST_CANDIDATES) for n in sizes)
    return np.column_stack(
        [np.asarray(some)[at] for some, at in zip(choices, places, strict=True)]
    )


def _move_inside(
    grid: FloatArray, at: int, task: Task, spec: ModelSpec, names: Sequence[str]
) -> None:
    """Move the program's shifted mu just inside its ends, which the terms move too."""
    prior, shift = spec.prior(names[at]), np.zeros(len(grid))
    for name, centre in column_centres(task, spec).items():
        known = spec.prior(name)
        shift += centre * (
            known.location if known.is_spike else grid[:, names.index(name)]
        )
    mu = grid[:, at]
    room = _room(prior, mu.tolist())
    np.clip(mu, prior.lower + room + shift, prior.upper - room + shift, out=mu)


def _typical(prior: Prior) -> list[float]:
    """Return a central value of a prior, a smaller and a larger one, roughly."""
    values = prior.values
    if prior.family == "spike":
        return [values[0]]
    if prior.family in ("normal", "student_t", "cauchy"):
        return [values[0] + step * values[1] for step in (0.0, -1.6, 1.6)]
    if prior.family == "lognormal":
        return [math.exp(values[0] + step * values[1]) for step in (0.0, -1.6, 1.6)]
    if prior.family == "gamma":
        return [step * values[0] / values[1] for step in (0.7, 0.1, 2.0)]
    if prior.family == "inv_gamma":
        return [step * values[1] / (values[0] + 1.0) for step in (1.5, 0.6, 6.0)]
    if prior.family == "exponential":
        return [step / values[0] for step in (0.7, 0.1, 2.0)]
    low, high = prior.support  # beta, uniform
    return [low + step * (high - low) for step in (0.5, 0.1, 0.9)]


def _inside(prior: Prior, values: Sequence[float]) -> list[float]:
    """Move values that a prior excludes just inside its ends."""
    low, high, room = prior.lower, prior.upper, _room(prior, values)
    return sorted({min(max(v, low + room), high - room) for v in values})


def _room(prior: Prior, values: Sequence[float]) -> float:
    if math.isfinite(prior.lower) and math.isfinite(prior.upper):
        return 1e-3 * (prior.upper - prior.lower)
    return 1e-3 * (max(abs(v) for v in values) or 1.0)
