"""Stage 5: draws of several parameters that belong together, over all models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pyrobma._types import FloatArray, IntArray
from pyrobma.fit import Fit

_FEWEST = 20
"""Draws of a model that hardly counts: enough for its share of a mixture."""


@dataclass(frozen=True, slots=True)
class JointDraws:
    """Weighted draws from the model-averaged joint posterior.

    Attributes
    ----------
    weights : array of shape (S,)
        Sum to one; a draw weighs its model's probability over the draws of it.
    model : array of shape (S,)
        Position in the model space of the model a draw is from, from 0.
    row : array of shape (S,)
        Its place among the draws of that model, all chains one after another.
    values : mapping of str to array of shape (S,)
        By parameter, on the prior scale. Draws of one row belong together.
    """

    weights: FloatArray
    model: IntArray
    row: IntArray
    values: Mapping[str, FloatArray]

    def __getitem__(self, parameter: str) -> FloatArray:
        """Return the draws of one parameter."""
        return self.values[parameter]

    def repeated(self, copies: IntArray) -> JointDraws:
        """Return every draw so many times, each time with its share of the weight."""
        return JointDraws(
            np.repeat(self.weights / copies, copies),
            np.repeat(self.model, copies),
            np.repeat(self.row, copies),
            {name: np.repeat(some, copies) for name, some in self.values.items()},
        )

    def part(self, some: slice) -> JointDraws:
        """Return some of the draws, with the weights that they have."""
        return JointDraws(
            self.weights[some],
            self.model[some],
            self.row[some],
            {name: values[some] for name, values in self.values.items()},
        )


@dataclass(frozen=True, slots=True)
class FitDraws:
    """All draws of one model, by parameter, as its chains have them.

    Attributes
    ----------
    fit : Fit
        The model.
    """

    fit: Fit

    def __getitem__(self, parameter: str) -> FloatArray:
        """Return the draws of one parameter, of shape (chains, draws) or (1, 1)."""
        return self.fit.values(parameter)


def joint_draws(
    fits: tuple[Fit, ...],
    probabilities: FloatArray,
    parameters: tuple[str, ...],
    size: int,
) -> JointDraws:
    """Thin every model to about its share of `size` draws, evenly over its chains."""
    weights, model, row = [], [], []
    values: dict[str, list[FloatArray]] = {name: [] for name in parameters}
    for k, (fit, probability) in enumerate(zip(fits, probabilities, strict=True)):
        if probability == 0:
            continue
        available = 1 if fit.chains is None else fit.chains.size
        count = min(available, max(_FEWEST, math.ceil(size * probability)))
        rows = np.linspace(0, available - 1, count).round().astype(np.int64)
        weights.append(np.full(count, probability / count))
        model.append(np.full(count, k))
        row.append(rows)
        for name in parameters:
            flat = fit.values(name).ravel()
            values[name].append(flat[rows] if flat.size > 1 else np.repeat(flat, count))
    return JointDraws(
        np.concatenate(weights),
        np.concatenate(model),
        np.concatenate(row),
        {name: np.concatenate(parts) for name, parts in values.items()},
    )
