"""Stage 5: priors averaged over models: densities, draws, weights of publication."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.joint import JointDraws
from pyrobma.ensemble.logml_errors import LogmlErrors
from pyrobma.ensemble.mixing import Mixture
from pyrobma.priors import Prior, WeightFunction, on_grid
from pyrobma.priors.density import density, random, random_weights

_DRAWS: Final = 20_000
"""Over all models, or of each weight function: errors below a pixel of a figure."""
_FEWEST: Final = 50  # of one model


def averaged_density(
    priors: Sequence[tuple[float, Prior]], x: FloatArray
) -> FloatArray:
    """Return the density of the part of an averaged prior that is not spikes.

    Parameters
    ----------
    priors : sequence of (float, Prior)
        Probabilities and what has them, as `Ensemble.priors` returns them.
    x : array of shape (n,)

    Returns
    -------
    array of shape (n,)
        Its area is one minus the probability of the spikes.
    """
    total = np.zeros(x.shape)
    for probability, own in priors:
        if not own.is_spike:
            total += probability * density(own, x)
    return total


def prior_draws(
    ensemble: Ensemble, *parameters: str, given: BoolArray | None = None
) -> JointDraws:
    """Return draws of several parameters from the averaged prior.

    Parameters
    ----------
    ensemble : Ensemble
        Its models are averaged; its seed is that of the draws.
    *parameters : str
        Scalar unknowns. None given: all.
    given : array of bool, shape (number of models,), optional
        Only over these models.

    Returns
    -------
    JointDraws
        About 20000, at least 50 of each model.
    """
    rng = np.random.default_rng([ensemble.seed, 3])
    weights, number, row = [], [], []
    names = parameters or ensemble.unknowns.scalars
    values: dict[str, list[FloatArray]] = {name: [] for name in names}
    for k, (probability, model) in enumerate(
        zip(ensemble.prior_given(given), ensemble.space.models, strict=True)
    ):
        if probability == 0:
            continue
        size = max(_FEWEST, round(_DRAWS * probability))
        weights.append(np.full(size, probability / size))
        number.append(np.full(size, k))
        row.append(np.arange(size))
        for name in names:
            values[name].append(random(model.prior(name), size, rng))
    return JointDraws(
        np.concatenate(weights),
        np.concatenate(number),
        np.concatenate(row),
        {name: np.concatenate(parts) for name, parts in values.items()},
    )


def averaged_weights(
    ensemble: Ensemble, given: BoolArray | None = None
) -> tuple[Mixture, ...]:
    """Return the averaged prior of the weight of every interval of p-values.

    Parameters
    ----------
    ensemble : Ensemble
        With a weight function; its seed is that of the draws.
    given : array of bool, shape (number of models,), optional
        Only over these models. The weights of models without selection are 1.

    Returns
    -------
    tuple of Mixture
        One per interval of `Ensemble.p_values`, of 20000 draws from each weight
        function.
    """
    grid = ensemble.p_values
    assert grid is not None
    total: dict[WeightFunction | None, float] = {}
    for probability, model in zip(
        ensemble.prior_given(given), ensemble.space.models, strict=True
    ):
        function = model.selection and replace(model.selection, prior_weight=1.0)
        total[function] = total.get(function, 0.0) + float(probability)
    rng = np.random.default_rng([ensemble.seed, 2])
    draws = [
        np.ones((1, len(grid.intervals)))
        if function is None
        else on_grid(random_weights(function, _DRAWS, rng), function, grid)
        for function in total
    ]
    exact = LogmlErrors.independent(np.zeros(len(total)))
    return tuple(
        Mixture(np.array([*total.values()]), tuple(d[None, :, j] for d in draws), exact)
        for j in range(len(grid.intervals))
    )
