"""Stage 2: grids of p-values that several weight functions share."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.errors import PriorError
from pyrobma.priors.weightfunction import Interval, Sides, WeightFunction

_SAME_STEP: Final = 1e-12
"""p-values closer than this are one step: 1 - s/2 of a two-sided step is rounded."""


@dataclass(frozen=True, slots=True)
class PValueGrid:
    """Intervals of p-values fine enough for every weight function of an ensemble.

    Attributes
    ----------
    sides : {1, 2}
        Whether the p-values are one- or two-sided.
    cuts : tuple of float
        Ends of the intervals, increasing, from 0 to 1.
    """

    sides: Sides
    cuts: tuple[float, ...]

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """The G = len(cuts) - 1 intervals, most significant first."""
        return tuple(itertools.pairwise(self.cuts))


def common_grid(weightfunctions: Iterable[WeightFunction]) -> PValueGrid:
    """Return the coarsest intervals on which every weight function is constant.

    Parameters
    ----------
    weightfunctions : iterable of WeightFunction
        At least one.

    Returns
    -------
    PValueGrid
        Two-sided p-values if all weight functions are two-sided; else one-sided ones,
        a two-sided step s standing at s/2 and 1 - s/2.

    Raises
    ------
    PriorError
        If there is no weight function, or something else among them.
    """
    functions = tuple(weightfunctions)
    others = [item for item in functions if not isinstance(item, WeightFunction)]
    if others or not functions:
        raise PriorError(
            "weightfunctions: expected at least one weight function and nothing else; "
            f"got {others[0] if others else 'none'}. Leave out other bias priors."
        )
    sides: Sides = 2 if all(function.sides == 2 for function in functions) else 1
    cuts = [0.0]
    for step in sorted(s for function in functions for s in _steps_on(function, sides)):
        if step - cuts[-1] > _SAME_STEP or len(cuts) == 1:
            cuts.append(step)
    return PValueGrid(sides, (*cuts, 1.0))


def on_grid(
    omega_draws: FloatArray, weightfunction: WeightFunction, grid: PValueGrid
) -> FloatArray:
    """Copy weights to a finer grid of p-values.

    Parameters
    ----------
    omega_draws : array of shape (S, J)
        Weights in p-value order, J = len(weightfunction.steps) + 1.
    weightfunction : WeightFunction
        The one they belong to.
    grid : PValueGrid
        From `common_grid`.

    Returns
    -------
    array of shape (S, G)
        Weights of the G intervals of the grid, most significant first.

    Raises
    ------
    PriorError
        If the number of weights is wrong, or a step lies inside an interval of the
        grid.
    """
    draws = np.asarray(omega_draws, dtype=np.float64)
    J = len(weightfunction.steps) + 1
    if draws.ndim != 2 or draws.shape[1] != J:
        raise PriorError(
            f"omega_draws: expected an array of shape (S, {J}) for {weightfunction}; "
            f"got {draws.shape}. Give one row of weights per draw."
        )
    cuts = np.array(grid.cuts)
    fits = weightfunction.sides == 2 or grid.sides == 1
    for step in _steps_on(weightfunction, grid.sides) if fits else ():
        fits = fits and bool(np.min(np.abs(cuts - step)) <= _SAME_STEP)
    if not fits:
        listed = ", ".join(f"{cut:.4g}" for cut in grid.cuts)
        raise PriorError(
            f"grid: expected a {grid.sides}-sided grid with the steps of "
            f"{weightfunction}; got the cuts ({listed}). Make it with common_grid of "
            "all weight functions."
        )
    p = (cuts[:-1] + cuts[1:]) / 2
    if weightfunction.sides == 2 and grid.sides == 1:
        p = 2 * np.minimum(p, 1 - p)
    return draws[:, np.searchsorted(weightfunction.steps, p)]


def _steps_on(function: WeightFunction, sides: Sides) -> tuple[float, ...]:
    return function.one_sided_steps if sides == 1 else function.steps
