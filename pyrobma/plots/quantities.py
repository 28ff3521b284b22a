"""Stage 7: posteriors and priors of sums of coefficients, as rows of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from pyrobma._types import BoolArray
from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.quantities import Quantity, converted, converter, posterior
from pyrobma.plots.densities import (
    DENSITY_COLUMNS,
    common_window,
    density_frame,
    largest_effect,
)
from pyrobma.plots.sums import averaged_sum

QUANTITY_COLUMNS: Final = (
    "level", *DENSITY_COLUMNS[:3], "lower", "upper", *DENSITY_COLUMNS[3:]
)  # fmt: skip


def quantities_frame(
    ensemble: Ensemble,
    quantities: Sequence[tuple[str, Quantity]],
    given: BoolArray | None,
    *,
    prior: bool,
    output_scale: Measure | None,
    probs: tuple[float, float],
    n: int,
) -> pd.DataFrame:
    """Return densities, spikes and intervals of some sums of coefficients.

    Parameters
    ----------
    ensemble : Ensemble
    quantities : sequence of (str, Quantity)
        What they are called, and what they are.
    given : array of bool, shape (number of models,), optional
        Only over these models.
    prior : bool
        Add the priors, over the same models.
    output_scale, n
        As in `posterior_frame`.
    probs : tuple of two float
        Levels of the intervals.

    Returns
    -------
    DataFrame
        Columns ``level``, and those of `posterior_frame` with ``lower`` and ``upper``:
        a row of kind "interval" has the posterior mean as its ``x``.
    """
    known = ensemble.prior_given(given)
    mixtures = [posterior(ensemble, quantity, given) for _, quantity in quantities]
    found = [
        averaged_sum(ensemble, quantity, mixture, known, with_prior=prior)
        for (_, quantity), mixture in zip(quantities, mixtures, strict=True)
    ]
    window = common_window(found)
    parts = []
    for (level, quantity), mixture, own in zip(
        quantities, mixtures, found, strict=True
    ):
        mean = quantity.kind == "mean"
        curves = density_frame(
            own,
            converter(ensemble, quantity, output_scale),
            n,
            window=window,
            largest=largest_effect(ensemble.task) if mean else np.inf,
        )
        carried = converted(ensemble, quantity, mixture, output_scale)
        lower, upper = carried.quantiles(probs)
        interval = pd.DataFrame(
            {
                "which": ["posterior"],
                "kind": ["interval"],
                "x": [carried.mean()],
                "lower": [lower],
                "upper": [upper],
            }
        )
        parts += [some.assign(level=level) for some in (curves, interval)]
    rows = [row for part in parts for row in part.to_dict("records")]
    return pd.DataFrame(rows, columns=list(QUANTITY_COLUMNS))
