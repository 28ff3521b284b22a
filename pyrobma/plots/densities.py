"""Stage 7: densities with spikes, averaged over models, as rows of a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import pandas as pd

from pyrobma._numerics import weighted_quantiles
from pyrobma._types import FloatArray
from pyrobma._validate import is_whole
from pyrobma.ensemble.averaged_priors import averaged_density
from pyrobma.ensemble.kernel import REACH, TAIL, averaged_kernel, bandwidth
from pyrobma.ensemble.scales import Converter
from pyrobma.errors import DataError
from pyrobma.models import Task
from pyrobma.priors import Prior
from pyrobma.priors.density import quantile

DENSITY_COLUMNS: Final = ("which", "kind", "x", "density", "probability")

_PRIOR_TAIL: Final = 0.1
"""Probability of either tail of a prior that a figure may leave out: some are wide."""
_HEAVY: Final = 1.5
"""Where heavy tails are cut, of the central 90 % and from its ends."""
_STEP: Final = 1e-6  # of the window: central differences of a smooth function


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a model has draws of.

    Attributes
    ----------
    probability : float
        Of the model.
    draws : array of shape (S,)
    lower, upper : float
        Ends of their support.
    """

    probability: float
    draws: FloatArray
    lower: float
    upper: float

    def density(self, x: FloatArray) -> FloatArray:
        """Return a kernel estimate times the probability."""
        return averaged_kernel(
            [(self.probability, self.draws, self.lower, self.upper)], x
        )

    def tails(self) -> FloatArray:
        """Return the ends of what a figure must show."""
        return np.quantile(self.draws, [_PRIOR_TAIL, 1 - _PRIOR_TAIL])


@dataclass(frozen=True, slots=True)
class Known:
    """A prior with a density, and its probability."""

    probability: float
    prior: Prior

    @property
    def lower(self) -> float:
        """The end of its support."""
        return self.prior.lower

    @property
    def upper(self) -> float:
        """The other end."""
        return self.prior.upper

    def density(self, x: FloatArray) -> FloatArray:
        """Return the density times the probability."""
        return averaged_density([(self.probability, self.prior)], x)

    def tails(self) -> FloatArray:
        """Return the ends of what a figure must show."""
        return quantile(self.prior, [_PRIOR_TAIL, 1 - _PRIOR_TAIL])


PriorPart: TypeAlias = Known | Sampled
Spikes: TypeAlias = Mapping[float, float]
"""Probability by value."""


@dataclass(frozen=True, slots=True)
class Densities:
    """A posterior and its prior, each a density in some models and spikes in others.

    Attributes
    ----------
    free : sequence of Sampled
        The posterior of models that leave it free.
    spikes : mapping of float to float
        Posterior probability of the values that others fix.
    priors : sequence of Known or Sampled
        Empty if the prior is not asked for.
    prior_spikes : mapping of float to float
        As `spikes`.
    """

    free: Sequence[Sampled]
    spikes: Spikes
    priors: Sequence[PriorPart]
    prior_spikes: Spikes


def density_frame(
    found: Densities,
    convert: Converter,
    n: int,
    *,
    window: tuple[float, float] | None = None,
    largest: float = np.inf,
) -> pd.DataFrame:
    """Return the rows of a density and its spikes, and those of its prior.

    Parameters
    ----------
    found : Densities
        On the prior scale.
    convert : callable
        From the prior scale to the output scale, monotonous.
    n : int
        Number of points of a density.
    window : tuple of two float, optional
        What the points are between. None: what is worth drawing.
    largest : float
        Values on the prior scale are smaller in size.

    Returns
    -------
    DataFrame
        Columns `DENSITY_COLUMNS`; see `posterior_frame`.
    """
    x = _points(found, _ends(found) if window is None else window, n)
    x = x[np.abs(x) < largest]
    parts = []
    for which, some, fixed in (
        ("posterior", found.free, found.spikes),
        ("prior", found.priors, found.prior_spikes),
    ):
        height = np.zeros(x.shape)
        for part in some:
            height += part.density(x)
        parts += _rows(which, x, height, fixed, convert)
    return pd.concat(parts, ignore_index=True)


def common_window(several: Sequence[Densities]) -> tuple[float, float] | None:
    """Return what is worth drawing of several densities; None if all are spikes."""
    ends = [end for found in several for end in _ends(found) or ()]
    return (min(ends), max(ends)) if ends else None


def check_points(n: object) -> None:
    """Refuse a number of points that makes no curve."""
    if not is_whole(n, 2):
        raise DataError(f"n: expected a number of points from 2 up; got {n!r}.")


def largest_effect(task: Task) -> float:
    """Return what effects on the prior scale must stay below."""
    # The linear mapping lets a mean correlation come close to 1.
    return 1.0 if task.prior_scale == "r" else np.inf


def _rows(
    which: str, x: FloatArray, height: FloatArray, spikes: Spikes, convert: Converter
) -> list[pd.DataFrame]:
    parts = []
    if height.any():
        y, slope = convert(x), _slope(convert, x)
        parts.append(
            pd.DataFrame({"kind": "density", "x": y, "density": height / slope})
        )
        # A pole of a prior, as that of Beta(0.5, 0.5) at 0, cannot be drawn.
        parts[0] = parts[0][np.isfinite(parts[0]["density"])]
    if spikes:
        at = np.array(sorted(spikes))
        chance = [spikes[value] for value in at.tolist()]
        parts.append(
            pd.DataFrame({"kind": "spike", "x": convert(at), "probability": chance})
        )
    columns = list(DENSITY_COLUMNS)
    return [part.assign(which=which).reindex(columns=columns) for part in parts]


def _ends(found: Densities) -> tuple[float, float] | None:
    """Return the ends of what is worth drawing; None without a density."""
    free, ends = found.free, []
    if free:
        values = np.concatenate([own.draws for own in free])
        share = np.concatenate(
            [np.full(own.draws.size, own.probability / own.draws.size) for own in free]
        )
        low, first, last, high = weighted_quantiles(
            values, share, [TAIL, 0.05, 0.95, 1 - TAIL]
        )
        wide = REACH * max(
            (bandwidth(own.draws) for own in free if own.probability > TAIL),
            default=0.0,
        )
        far = _HEAVY * (last - first)
        ends += [
            max(low - wide, first - far, min(own.lower for own in free)),
            min(high + wide, last + far, max(own.upper for own in free)),
        ]
    # At most as much on either side as the posterior takes: it should stay legible.
    reach = ends[1] - ends[0] if ends else np.inf
    low, high = (ends[0] - reach, ends[1] + reach) if ends else (-np.inf, np.inf)
    for part in found.priors:
        tail = part.tails()
        # Up to the end of the support if it is near: a curve should not hang.
        near = float(np.diff(tail)[0]) / 2
        first = part.lower if tail[0] - part.lower < near else float(tail[0])
        last = part.upper if part.upper - tail[1] < near else float(tail[1])
        ends += [min(max(end, low), high) for end in (first, last)]
    return (float(min(ends)), float(max(ends))) if ends else None


def _points(found: Densities, ends: tuple[float, float] | None, n: int) -> FloatArray:
    """Return points between two ends, with the ends of priors among them."""
    if ends is None:
        return np.empty(0)
    x = np.linspace(*ends, n)
    parts = (*found.priors, *found.free)
    bounds = {end for part in parts for end in (part.lower, part.upper)}
    inside = [end for end in bounds if x[0] < end < x[-1]]
    # A density may jump at the end of a prior: a point on either side of it.
    around = [np.nextafter(end, side) for end in inside for side in (-np.inf, np.inf)]
    return np.unique(np.concatenate([x, inside, around]))


def _slope(convert: Converter, x: FloatArray) -> FloatArray:
    """Return abs(g'(x)) by central differences that stay inside the window."""
    step = _STEP * (x[-1] - x[0])
    low, high = np.clip(x - step, x[0], x[-1]), np.clip(x + step, x[0], x[-1])
    return np.asarray(np.abs(convert(high) - convert(low)) / (high - low))
