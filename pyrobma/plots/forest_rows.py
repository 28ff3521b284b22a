"""Stage 7: the numbers of the rows of a forest plot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects import EffectSizes, Measure, transform_effect, transform_se
from pyrobma.effects.convert_se import SMALLEST_N, implied_n
from pyrobma.ensemble import Ensemble, cluster_effects, new_effect, predict
from pyrobma.ensemble import true_effects as study_effects
from pyrobma.ensemble.extended import extended_converter
from pyrobma.ensemble.quantities import adjusted, posterior
from pyrobma.ensemble.quantities import converted as on_output
from pyrobma.plots.estimates import models_given


def interval_ends(
    effects: EffectSizes, target: Measure, ends: tuple[float, float]
) -> FloatArray:
    """Return the ends of the intervals of estimates on a measure, shape (2, K)."""
    sources = np.array(effects.original, dtype=object)
    correlations = sources == "r"
    if correlations.any():
        n = implied_n(effects.y, effects.se, effects.measure)
        # Fisher's z has no standard error in samples this small.
        # A sample of 3 may be implied with a rounding error.
        on_z = n > SMALLEST_N + 1e-9
        sources[correlations] = np.where(on_z, "fishers_z", "cohens_d")[correlations]
    result = np.empty((2, effects.K))
    for source in np.unique(sources).tolist():
        mine = sources == source
        y, se = effects.y[mine], effects.se[mine]
        centre = transform_effect(y, effects.measure, source)
        spread = transform_se(se, y, effects.measure, source)
        for row, z in zip(result, ndtri(ends), strict=True):
            row[mine] = transform_effect(centre + z * spread, source, target)
    return result


def shrunken_of(
    ensemble: Ensemble,
    conditional: bool,
    output_scale: Measure | None,
    ends: tuple[float, float],
    wanted: bool,
) -> dict[str, FloatArray | float]:
    """Return the true effects of studies with their intervals; NaN if not wanted."""
    if not wanted:
        return dict.fromkeys(("true_effect", "true_lower", "true_upper"), np.nan)
    counts = ensemble.task.effects.counts
    found = study_effects(
        ensemble, conditional=conditional, output_scale=output_scale, probs=ends
    )
    return {
        # Behind counts a mean of ratios need not exist.
        "true_effect": found["Mean" if counts is None else "Median"].to_numpy(),
        "true_lower": found[f"{ends[0]:g}"].to_numpy(),
        "true_upper": found[f"{ends[1]:g}"].to_numpy(),
    }


def fitted_of(
    ensemble: Ensemble, conditional: bool, output_scale: Measure | None
) -> dict[str, FloatArray]:
    """Return the mean effect of studies like every one; nothing without moderators."""
    if ensemble.task.moderators is None:
        return {}
    found = predict(
        ensemble, type="terms", conditional=conditional, output_scale=output_scale
    )
    return {"fitted": found["Mean"].to_numpy()}


def average_of(
    ensemble: Ensemble,
    conditional: bool,
    output_scale: Measure | None,
    ends: tuple[float, float],
) -> dict[str, Any]:
    """Return the row of the averaged effect."""
    moderators = ensemble.task.moderators
    if moderators is None:
        mixture = ensemble.mixture(
            "mu", conditional=conditional, output_scale=output_scale
        )
    else:
        quantity = adjusted(moderators)
        given = models_given(ensemble, conditional)
        mixture = on_output(
            ensemble, quantity, posterior(ensemble, quantity, given), output_scale
        )
    lower, upper = mixture.quantiles(ends)
    return {
        "part": "average",
        "study": None,
        "cluster": None,
        "estimate": mixture.mean(),
        "lower": lower,
        "upper": upper,
    }


def prediction_of(
    ensemble: Ensemble,
    given: BoolArray | None,
    output_scale: Measure | None,
    ends: tuple[float, float],
) -> dict[str, Any]:
    """Return the row of the true effect of a new study."""
    convert = extended_converter(ensemble.task, output_scale)
    moderators = ensemble.task.moderators
    quantity = None if moderators is None else adjusted(moderators)
    effect = new_effect(ensemble, given=given, quantity=quantity)
    # Its mean does not exist on every scale.
    lower, median, upper = convert(effect.quantiles((ends[0], 0.5, ends[1])))
    return {
        "part": "prediction",
        "study": None,
        "cluster": None,
        "estimate": median,
        "lower": lower,
        "upper": upper,
    }


def clusters_of(
    ensemble: Ensemble,
    frame: pd.DataFrame,
    conditional: bool,
    output_scale: Measure | None,
    ends: tuple[float, float],
) -> pd.DataFrame:
    """Return the rows of clusters, in the order of their estimates."""
    found = cluster_effects(
        ensemble, conditional=conditional, output_scale=output_scale, probs=ends
    ).set_index("cluster")
    weights = frame.dropna(subset=["cluster"]).groupby("cluster", sort=False)["weight"]
    total = weights.sum()
    found = found.loc[total.index]
    return pd.DataFrame(
        {
            "part": "cluster",
            "study": None,
            "cluster": list(found.index),
            "estimate": found["estimate"].to_numpy(),
            "weight": total.to_numpy(),
            "true_effect": found["Median"].to_numpy(),
            "true_lower": found[f"{ends[0]:g}"].to_numpy(),
            "true_upper": found[f"{ends[1]:g}"].to_numpy(),
        }
    )
