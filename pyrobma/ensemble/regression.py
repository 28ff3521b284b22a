"""Stage 5: what the models predict for moderators that a user names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from pyrobma._numerics import weighted_quantiles
from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects import Measure, Moderators
from pyrobma.effects._tables import AnyTable, read_table
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.extended import extended_converter, mean_exists
from pyrobma.ensemble.normal_mixture import NormalMixture, expectation
from pyrobma.ensemble.predictor import Predictor
from pyrobma.ensemble.published import published_at
from pyrobma.ensemble.quantiles import check_probs
from pyrobma.ensemble.quantities import moderators_of
from pyrobma.errors import DataError

Prediction: TypeAlias = Literal["terms", "effect", "response"]
"""What is predicted: the mean true effect, a true effect, or an estimate of one."""

_DRAWS: Final = 4000
_FEW_DRAWS: Final = 500  # for estimates under selection, which take longer


def predict(
    ensemble: Ensemble,
    newdata: AnyTable | None = None,
    type: Prediction = "effect",
    *,
    se: Any = None,
    bias: bool = False,
    conditional: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
) -> pd.DataFrame:
    """Return what the models predict for rows of moderators.

    Parameters
    ----------
    ensemble : Ensemble
        With moderators, of effects or of heterogeneity.
    newdata : DataFrame, table or mapping, optional
        Columns as the formulas need them, in any table that `robma` takes; coded with
        the means, standard deviations and levels of the data. None: the rows of the
        data.
    type : {"terms", "effect", "response"}
        The mean true effect of such studies; the true effect of one, in a cluster of
        its own; or its estimate.
    se : float or array, optional
        Standard errors of the estimates, on the measure of the likelihood; for
        "response", and for `bias`. None: those of the data, with `newdata` None.
    bias : bool
        Add publication bias: PET and PEESE, and the selection of published estimates
        for "response". False: as if all were published.
    conditional : bool
        Only over models with an effect.
    output_scale : str, optional
        Measure of the values, as in `Ensemble.mixture`. None: the prior scale.
    probs : sequence of float
        Quantiles to give, in [0, 1].

    Returns
    -------
    DataFrame
        One row for each of `newdata`, with its index if it is of pandas. Columns:
        ``Mean`` (missing where none exists, as of odds ratios, and for published
        estimates), ``Median`` and one per quantile, named by its probability.

    Raises
    ------
    DataError
        On moderators that are missing or unknown, an unknown type or scale, or
        standard errors that are missing or not positive.

    Notes
    -----
    In every draw a true effect is N(m_i, T²) and an estimate N(m_i + b_i, T² + se²),
    on the measure of the likelihood, with the mean m_i = s (mu + x_i'b) and the bias
    b_i of PET and PEESE; T is that of row i where heterogeneity has moderators.
    Quantiles are those of the mixture over models and draws, then
    converted.
    """
    if type not in get_args(Prediction):
        raise DataError(
            f"type: expected one of {', '.join(get_args(Prediction))}; got {type!r}."
        )
    levels = check_probs(probs)
    task = ensemble.task
    convert = extended_converter(task, output_scale)
    scale = task.scale_moderators
    moderators = task.moderators if scale is not None else moderators_of(ensemble)
    given = ensemble.alternatives("effect") if conditional else None
    index: pd.Index[Any] = pd.RangeIndex(task.effects.K)
    if newdata is None:
        se = task.effects.se if se is None else se
    else:
        newdata = read_table(newdata, "newdata")
        assert newdata is not None
        index = newdata.index
    design = _design(moderators, newdata, len(index))
    errors = None
    if type == "response" or bias:
        errors = _standard_errors(se, len(design))
    selected = bias and type == "response" and ensemble.p_values is not None
    draws = ensemble.joint(given=given, size=_FEW_DRAWS if selected else _DRAWS)
    study = Predictor(task, draws)
    mean = np.tile(study.new_mean, (len(design), 1))
    if moderators is not None:
        mean = study.mean_at(design)
    if bias:
        assert errors is not None
        mean = mean + study.bias_at(errors)
    sd = np.zeros_like(mean)
    if type != "terms":
        sd = sd + (
            study.new_sd
            if scale is None
            else study.sd_at(_design(scale, newdata, len(index)))
        )
    if type == "response":
        assert errors is not None
        sd = np.hypot(sd, errors[:, None])
    wanted = (0.5, *levels.values())
    if selected:
        assert errors is not None
        found = published_at(ensemble, draws, mean, sd, errors, wanted).T
    else:
        found = _quantiles(draws.weights, mean, sd, wanted)
    exists = not selected and (
        type == "terms" or mean_exists(ensemble, output_scale, _all(ensemble, given))
    )
    averages = np.full(len(design), np.nan)
    if exists:
        averages = _means(draws.weights, mean, sd, convert)
    return pd.DataFrame(
        {
            "Mean": averages,
            "Median": convert(found[:, 0]),
            **{name: convert(found[:, j]) for j, name in enumerate(levels, start=1)},
        },
        index=index,
    )


def _design(
    moderators: Moderators | None, newdata: pd.DataFrame | None, size: int
) -> FloatArray:
    """Return the coded columns of new rows, or of those of the data."""
    if moderators is None:
        return np.empty((size, 0))
    return moderators.columns if newdata is None else moderators.design(newdata)


def _all(ensemble: Ensemble, given: BoolArray | None) -> BoolArray:
    return np.ones(len(ensemble.fits), dtype=bool) if given is None else given


def _standard_errors(se: Any, n: int) -> FloatArray:
    if se is None:
        raise DataError(
            "se: expected standard errors of the new estimates; got None. Give one "
            "number, or one for each row."
        )
    errors = np.asarray(se, dtype=float)
    if errors.ndim > 1 or (errors.ndim == 1 and len(errors) != n):
        raise DataError(
            f"se: expected one number, or {n}; got an array of shape {errors.shape}."
        )
    if not (np.isfinite(errors) & (errors > 0)).all():
        raise DataError(f"se: expected positive numbers; got {se!r}.")
    return np.broadcast_to(errors, (n,)).copy()


def _quantiles(
    weights: FloatArray, mean: FloatArray, sd: FloatArray, probs: tuple[float, ...]
) -> FloatArray:
    """Return quantiles of mixtures of normals, shape (rows, len(probs))."""
    if not sd.any():
        return weighted_quantiles(mean, weights, probs)
    return np.array(
        [
            NormalMixture(weights, m, s).quantiles(probs)
            for m, s in zip(mean, sd, strict=True)
        ]
    )


def _means(
    weights: FloatArray, mean: FloatArray, sd: FloatArray, convert: Any
) -> FloatArray:
    if not sd.any():
        return np.asarray(convert(mean) @ weights)
    rows = zip(mean, sd, strict=True)  # one by one, or arrays would be large
    return np.array([expectation(convert, m, s) @ weights for m, s in rows])
