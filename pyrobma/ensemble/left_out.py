"""Stage 5: estimates as the others predict them, from the draws that saw them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy.special import logsumexp, ndtri

from pyrobma._types import BoolArray, FloatArray
from pyrobma.bridge.diagnostics import MIN_VALUES_FOR_K, pareto_k, pareto_k_limit
from pyrobma.effects import EffectSizes
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.joint import JointDraws
from pyrobma.ensemble.pointwise import (
    LogDensities,
    Predictions,
    log_densities,
    predictions,
)
from pyrobma.errors import DataError

By: TypeAlias = Literal["estimate", "cluster"]
"""What is left out: single estimates, or clusters as a whole."""

_POINTS: Final = 4000
_FEWEST_POINTS: Final = 1000
_ALL_POINTS: Final = 4_000_000  # draws times estimates
_EQUAL: Final = 1e-12  # logs of weights that differ by rounding only


@dataclass(frozen=True, slots=True)
class Smoothed:
    """Importance weights of S draws for each of n targets.

    Attributes
    ----------
    log_weights : array of shape (n, S)
        Normalised: their exponentials sum to one.
    log_mean : array of shape (n,)
        Log of the mean of the weights before they were normalised.
    pareto_k : array of shape (n,)
        -inf if the largest weights are equal, or nothing is sampled; NaN for fewer
        draws than tell.
    """

    log_weights: FloatArray
    log_mean: FloatArray
    pareto_k: FloatArray


def smoothed(log_ratios: FloatArray, exact: BoolArray | None = None) -> Smoothed:
    """Return Pareto-smoothed importance weights.

    Parameters
    ----------
    log_ratios : array of shape (n, S)
        Log of the target's density over that of the draws, up to a constant by row.
    exact : array of bool, shape (S,), optional
        Draws that stand for a model without free parameters: all of it, not a sample,
        so that their weights stay as they are. None: no draw does.

    Returns
    -------
    Smoothed
        By `arviz_stats`, as of [1]_.

    References
    ----------
    .. [1] Vehtari A., Simpson D., Gelman A., Yao Y., Gabry J. (2024). Pareto smoothed
       importance sampling. Journal of Machine Learning Research 25(72).
    """
    n, S = log_ratios.shape
    logs, k = log_ratios.copy(), np.full(n, -np.inf)
    sampled = np.flatnonzero(np.ones(S, dtype=bool) if exact is None else ~exact)
    for i in range(n):
        if sampled.size:
            logs[i, sampled], k[i] = _with_smooth_tail(log_ratios[i, sampled])
    total = logsumexp(logs, axis=1)
    return Smoothed(logs - total[:, None], total - np.log(S), k)


def _with_smooth_tail(logs: FloatArray) -> tuple[FloatArray, float]:
    """Return logs of weights whose largest ones are smoothed, and Pareto k."""
    from arviz_stats.base import array_stats

    S = len(logs)
    if S < MIN_VALUES_FOR_K:
        return logs, np.nan
    tail = int(3 * np.sqrt(S)) if S > 225 else S // 5
    order = np.argsort(logs)
    if logs[order[-1]] - logs[order[-tail - 1]] < _EQUAL:
        return logs, -np.inf
    with np.errstate(all="ignore"):
        found, k = array_stats.psislw(-logs)
    if not np.isfinite(found[order]).all():
        # Many of the largest are equal, so that nothing fits them.
        return logs, pareto_k(np.exp(logs - logs[order[-1]]))
    # The middle one stays as it is, and tells by what all were divided.
    middle = order[S // 2]
    return found + (logs[middle] - found[middle]), float(k)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Draws from the averaged posterior, and their weights without each unit.

    Attributes
    ----------
    by : {"estimate", "cluster"}
        What the units are.
    draws : JointDraws
        S of all unknowns, each of about the same weight.
    densities : LogDensities
        Of the data given each draw.
    log_weights : array of shape (n, S)
        Of the draws in the posterior without each unit; normalised.
    pareto_k : array of shape (n,)
        How far these can be trusted: up to `limit`.
    """

    by: By
    draws: JointDraws
    densities: LogDensities
    log_weights: FloatArray
    pareto_k: FloatArray

    @classmethod
    def of(cls, ensemble: Ensemble, by: By) -> LeftOut:
        """Return it for all models of an ensemble.

        Raises
        ------
        DataError
            On an unknown `by`.
        """
        check_by(by)
        draws = even_draws(ensemble)
        densities = log_densities(ensemble.task, ensemble.fits, draws)
        removal = densities.removal if by == "estimate" else densities.cluster
        fixed = np.array([fit.chains is None for fit in ensemble.fits])
        found = smoothed(np.log(draws.weights) - removal, fixed[draws.model])
        return cls(by, draws, densities, found.log_weights, found.pareto_k)

    @property
    def limit(self) -> float:
        """Largest Pareto k of weights that can be trusted."""
        return pareto_k_limit(len(self.draws.weights))

    def mean(self, values: FloatArray) -> FloatArray:
        """Return means without each unit of values of shape (S,) or (n, S)."""
        return np.asarray((np.exp(self.log_weights) * values).sum(axis=1))

    def densities_left_out(self) -> tuple[FloatArray, FloatArray]:
        """Return log densities of the units without them, and with them.

        Returns
        -------
        arrays of shape (n,)
            Expected log pointwise predictive densities, and the same from draws that
            have seen the unit.
        """
        own = self.densities.cluster
        if self.by == "estimate":
            own = self.densities.given_others
        seen = np.log(self.draws.weights)
        return (
            np.asarray(logsumexp(own + self.log_weights, axis=1)),
            np.asarray(logsumexp(own + seen, axis=1)),
        )


def check_by(by: object) -> None:
    """Raise DataError unless it is something to leave out."""
    if by not in ("estimate", "cluster"):
        raise DataError(
            f"by: expected 'estimate' or 'cluster'; got {by!r}. Choose what is left "
            "out at a time."
        )


def by_units(by: object) -> By:
    """Return what is left out if somebody asks for studies or clusters.

    Raises
    ------
    DataError
        On anything else.
    """
    if by == "study":
        return "estimate"
    if by == "cluster":
        return "cluster"
    raise DataError(
        f"by: expected 'study' or 'cluster'; got {by!r}. Choose what is left out at a "
        "time."
    )


def even_draws(ensemble: Ensemble) -> JointDraws:
    """Return joint draws none of which weighs much more than the others."""
    K = ensemble.task.effects.K
    points = int(np.clip(_ALL_POINTS // K, _FEWEST_POINTS, _POINTS))
    joint = ensemble.joint(size=points)
    # A model of few draws, as one without free parameters, has its share all the same.
    copies = np.maximum(np.rint(joint.weights * points), 1).astype(np.int64)
    return joint.repeated(copies)


def unit_names(effects: EffectSizes, by: str) -> list[str]:
    """Return names of estimates, or of clusters: the study's if it is the only one."""
    if by != "cluster":
        return list(effects.names)
    sizes = np.bincount(effects.cluster)
    first = np.unique(effects.cluster, return_index=True)[1]
    return [
        str(label) if label is not None and size > 1 else effects.names[i]
        for label, size, i in zip(effects.cluster_labels, sizes, first, strict=True)
    ]


def loo_frame(ensemble: Ensemble, by: By = "estimate") -> tuple[pd.DataFrame, float]:
    """Return the leave-one-out densities, and the largest Pareto k to be trusted.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    by : {"estimate", "cluster"}
        What is left out.

    Returns
    -------
    DataFrame, float
        Columns as of `pyrobma.checking.Loo.frame`.
    """
    left = LeftOut.of(ensemble, by)
    without, seen = left.densities_left_out()
    effects = ensemble.task.effects
    columns: dict[str, Any] = {by_name(by): unit_names(effects, by)}
    if by == "estimate":
        columns["cluster"] = pd.Series(effects.shared_labels, dtype=object)
    else:
        columns["estimates"] = np.bincount(effects.cluster)
    return (
        pd.DataFrame(
            columns
            | {"elpd": without, "p_loo": seen - without, "pareto_k": left.pareto_k}
        ),
        left.limit,
    )


def by_name(by: str) -> str:
    """Return the heading of a column of units."""
    return "cluster" if by == "cluster" else "study"


def residuals(ensemble: Ensemble) -> pd.DataFrame:
    """Return every estimate beside what the averaged models expect of it.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.

    Returns
    -------
    DataFrame
        One row per estimate, in the order of the data, on the measure of the likelihood
        (``ensemble.task.effects.measure``). Columns:

        ``study``, ``cluster`` (its label; None if independent), ``observed``, ``se``.

        ``fitted``: mean of such an estimate, with moderators and publication bias, and
        nothing known of its cluster; ``residual``, what is observed less that, and
        ``standardised``, the residual over the standard deviation of such estimates.

        ``deleted``: what is observed less the mean that the other estimates predict,
        those of its cluster among them; ``deleted_standardised``, over the standard
        deviation of that prediction; ``pit``, its probability of a smaller estimate,
        even on (0, 1) if the models hold; ``score``, the normal deviate of that;
        ``pareto_k`` of the weights that these four are found with, not to be trusted
        from 0.7 on.

    Notes
    -----
    The prediction of estimate i is the mixture over draws of its density given the
    others of its cluster [1]_, weighted by p(data without i) / p(data) of each draw,
    the largest weights smoothed by a Pareto distribution [2]_. Both are found as
    described at `pyrobma.ensemble.pointwise.log_densities`; models take part with the
    probability that they have without the estimate.

    References
    ----------
    .. [1] Gelfand A. E., Dey D. K., Chang H. (1992). Model determination using
       predictive distributions with implementation via sampling-based methods.
       Bayesian Statistics 4.
    .. [2] Vehtari A., Gelman A., Gabry J. (2017). Practical Bayesian model evaluation
       using leave-one-out cross-validation and WAIC. Statistics and Computing 27(5).
       doi:10.1007/s11222-016-9696-4
    """
    task = ensemble.task
    left = LeftOut.of(ensemble, "estimate")
    alone = predictions(task, ensemble.fits, left.draws, given_others=False)
    given = predictions(task, ensemble.fits, left.draws, given_others=True)
    weights = left.draws.weights[None]
    fitted, sd = _moments(alone, weights)
    without = np.exp(left.log_weights)
    predicted, predicted_sd = _moments(given, without)
    y = task.effects.y
    below, above = ((p * without).sum(axis=1) for p in (given.below, given.above))
    # From the smaller tail, whose digits are all there.
    score = np.where(below < above, ndtri(below), -ndtri(above))
    return pd.DataFrame(
        {
            "study": list(task.effects.names),
            "cluster": pd.Series(task.effects.shared_labels, dtype=object),
            "observed": y.copy(),
            "se": task.effects.se.copy(),
            "fitted": fitted,
            "residual": y - fitted,
            "standardised": (y - fitted) / sd,
            "deleted": y - predicted,
            "deleted_standardised": (y - predicted) / predicted_sd,
            "pit": below / (below + above),
            "score": score,
            "pareto_k": left.pareto_k,
        }
    )


def _moments(given: Predictions, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and sd of mixtures over draws, shape (K,) each."""
    mean = (weights * given.mean).sum(axis=1)
    spread = given.variance + (given.mean - mean[:, None]) ** 2
    return mean, np.sqrt((weights * spread).sum(axis=1))
