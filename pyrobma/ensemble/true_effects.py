"""Stage 5: the true effects of the studies and of their clusters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from pyrobma._numerics import weighted_quantiles
from pyrobma._types import BoolArray, FloatArray, IntArray
from pyrobma.counts.tables import study_tables
from pyrobma.effects import Measure
from pyrobma.ensemble.counted import CountedStudies
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.extended import extended_converter, mean_exists
from pyrobma.ensemble.joint import JointDraws
from pyrobma.ensemble.predictor import Predictor
from pyrobma.ensemble.quantiles import check_probs
from pyrobma.ensemble.scales import Converter, estimate_converter
from pyrobma.errors import DataError
from pyrobma.models import Task

_POINTS = 20_000
"""Draws, each with its normal deviate."""
_FEWEST_POINTS = 1000
"""The same for many studies, which leave little doubt of what the draws are of."""
_ALL_POINTS = 10_000_000  # for all studies together
_POINTS_OF_COUNTS = 4000
"""Draws where the true effect behind counts is no normal one."""
_ROOM = 1_000_000  # studies at a time times points: a few arrays of it in memory
_GOLDEN = 0.6180339887498949


def true_effects(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
) -> pd.DataFrame:
    """Return the posterior of every study's true effect.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    conditional : bool
        Only over models with an effect.
    output_scale : str, optional
        Measure of the effects, as in `Ensemble.mixture`. None: the prior scale.
    probs : sequence of float
        Quantiles to give, in [0, 1].

    Returns
    -------
    DataFrame
        One row per estimate, in the order of the data. Columns: ``study``, ``cluster``
        (its label; None if independent), ``estimate`` (the observed effect),
        ``Mean``, ``SD``, ``Median`` and one per quantile, named by its probability.
        Of counts ``estimate`` is the crude ratio, with 1/2 added to the cells of
        studies where one is 0.

    Raises
    ------
    DataError
        On an unknown scale, probabilities outside [0, 1], or if no model has an
        effect and `conditional` asks for one.

    Notes
    -----
    The estimates of a cluster are y_i = m_i + b_i + l_i g + v_i + e_i with the mean m,
    the bias b of PET or PEESE, and independent g ~ N(0, 1), v_i ~ N(0, w_i),
    e_i ~ N(0, s_i²), all on the measure of the likelihood (`Predictor`); here
    l² = ρT² and w = (1 − ρ)T². Given the parameters the true effect
    θ_i = m_i + l_i g + v_i is normal. With r_i = y_i − m_i − b_i, D_i = s_i² + w_i and
    λ_i = w_i/D_i,

        E(g) = V Σ l_i r_i/D_i,  V = Var(g) = 1/(1 + Σ l_i²/D_i),
        E(θ_i) = m_i + λ_i r_i + (1 − λ_i) l_i E(g),
        Var(θ_i) = λ_i s_i² + (1 − λ_i)² l_i² V,

    the best linear unbiased predictor and its variance [1]_; what is returned is the
    mixture of these normal distributions over models and draws. Selection does not
    change it: the chance of publication depends on θ only through y, so that it
    cancels once y is given. A quantile comes from normal deviates, spread evenly over
    the draws instead of drawn at random, so that the result is reproducible and the
    error is that of the draws. Mean and SD are infinite or NaN where they do not
    exist, as for normal true effects on the correlation scale that another scale
    cannot hold.

    Behind counts θ_i is not normal: given the parameters it has the density
    h_i(θ) N(θ; m_i + l_i g, w_i), but for a constant, with the likelihood h_i of the
    study's counts. Mean and SD on a ratio are NaN where h_i leaves large ratios so
    probable that these do not exist.

    References
    ----------
    .. [1] Robinson G. K. (1991). That BLUP is a good thing. Statistical Science 6(1).
       doi:10.1214/ss/1177011926
    """
    levels = check_probs(probs)
    effects = ensemble.task.effects
    convert = extended_converter(ensemble.task, output_scale)
    studies = _Studies.of(ensemble, conditional)
    found = np.empty((effects.K, 3 + len(levels)))
    for rows, values, _ in studies.counted():
        found[rows] = studies.summarised(convert(values), tuple(levels.values()))
    _without_moments(found, ensemble, output_scale, conditional)
    for common in studies.common_parts():
        for some in studies.slices(len(common.rows)):
            found[common.rows[some]] = studies.summary(
                *studies.effects(common, some), convert, tuple(levels.values())
            )
    return pd.DataFrame(
        {
            "study": list(effects.names),
            "cluster": _labels(effects.cluster_labels, effects.cluster),
            "estimate": estimate_converter(ensemble.task, output_scale)(effects.y),
            **_columns(found, tuple(levels)),
        }
    )


def cluster_effects(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
) -> pd.DataFrame:
    """Return the posterior of the mean true effect of every cluster.

    Parameters
    ----------
    ensemble, conditional, output_scale, probs
        As in `true_effects`.

    Returns
    -------
    DataFrame
        One row per cluster of two estimates or more, in their order. Columns:
        ``cluster`` (its label), ``estimates`` (their number), ``estimate`` (their mean,
        weighted by 1/s_i² on the measure of the likelihood), ``Mean``, ``SD``,
        ``Median`` and one per quantile.

    Raises
    ------
    DataError
        If there is no such cluster, and as in `true_effects`.

    Notes
    -----
    The mean true effect is m + l g in the notation of `true_effects`: what the studies
    that the cluster could have had average to, not only those that it has. In models
    without a correlation within clusters (ρ = 0, or τ = 0) it is m. Mean and SD are
    NaN where they do not exist, as on odds ratios; see `prediction_interval`.
    """
    levels = check_probs(probs)
    effects = ensemble.task.effects
    sizes = np.bincount(effects.cluster)
    shared = np.flatnonzero(sizes > 1)
    if not shared.size:
        raise DataError(
            "cluster_effects: expected estimates that share clusters; got "
            f"{effects.K} independent ones. Give study_ids in robma()."
        )
    convert = extended_converter(ensemble.task, output_scale)
    studies = _Studies.of(ensemble, conditional)
    found = np.empty((effects.L, 3 + len(levels)))
    for common in studies.common_parts():
        found[common.clusters] = studies.summary(
            *studies.cluster_means(common), convert, tuple(levels.values())
        )
    for rows, _, means in studies.counted():
        found[effects.cluster[rows[0]]] = studies.summarised(
            convert(means)[None], tuple(levels.values())
        )[0]
    if not mean_exists(ensemble, output_scale, _given(ensemble, conditional)):
        found[:, :2] = np.nan
    precision = effects.se**-2.0
    means = np.bincount(effects.cluster, precision * effects.y) / np.bincount(
        effects.cluster, precision
    )
    return pd.DataFrame(
        {
            "cluster": _labels(effects.cluster_labels, shared),
            "estimates": sizes[shared],
            "estimate": estimate_converter(ensemble.task, output_scale)(means[shared]),
            **_columns(found[shared], tuple(levels)),
        }
    )


def _given(ensemble: Ensemble, conditional: bool) -> BoolArray:
    if conditional:
        return ensemble.alternatives("effect")
    return np.ones(len(ensemble.fits), dtype=bool)


def _without_moments(
    found: FloatArray,
    ensemble: Ensemble,
    output_scale: Measure | None,
    conditional: bool,
) -> None:
    """Take out mean and sd of ratios that do not exist.

    log h falls off as a straight line; where tau has no upper end the posterior of a
    ratio r falls off as r to the power of its slope, less one.
    """
    task, given = ensemble.task, _given(ensemble, conditional)
    if task.effects.counts is None or mean_exists(ensemble, output_scale, given):
        return
    for row, table in enumerate(study_tables(task.effects.counts, task.baseline)):
        found[row, :2][-table.slope[-1] <= np.array([1.0, 2.0])] = np.nan


@dataclass(frozen=True, slots=True)
class _Studies:
    """What the models predict of the studies, by S weighted draws."""

    task: Task
    draws: JointDraws
    predicted: Predictor

    @classmethod
    def of(cls, ensemble: Ensemble, conditional: bool) -> _Studies:
        given = ensemble.alternatives("effect") if conditional else None
        K = ensemble.task.effects.K
        most = _POINTS if ensemble.task.effects.counts is None else _POINTS_OF_COUNTS
        points = int(np.clip(_ALL_POINTS // K, _FEWEST_POINTS, most))
        joint = ensemble.joint(given=given, size=points)
        # A draw that stands for many, as a model without free parameters has, needs
        # as many normal deviates as those would have.
        copies = np.maximum(np.ceil(joint.weights * points), 1).astype(np.int64)
        draws = joint.repeated(copies)
        return cls(ensemble.task, draws, Predictor(ensemble.task, draws))

    @property
    def block(self) -> int:
        """Estimates at a time."""
        return max(1, _ROOM // len(self.draws.weights))

    def slices(self, length: int) -> Iterator[slice]:
        """Yield parts of so many estimates, a block at a time."""
        return (
            slice(start, start + self.block) for start in range(0, length, self.block)
        )

    def residuals(self, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return r and D of some estimates, each of shape (rows, S)."""
        effects, predicted = self.task.effects, self.predicted
        residual = effects.y[rows, None] - predicted.mean(rows) - predicted.bias(rows)
        return residual, effects.se[rows, None] ** 2 + predicted.within(rows)

    def counted(self) -> Iterator[tuple[IntArray, FloatArray, FloatArray]]:
        """Yield draws of true effects behind counts, as `CountedStudies` does."""
        if self.task.effects.counts is not None:
            yield from CountedStudies.of(self.task, self.draws).true_effects()

    def common_parts(self) -> Iterator[_Common]:
        """Yield what clusters have in common, for some clusters at a time.

        Nothing if the data are counts.
        """
        if self.task.effects.counts is not None:
            return
        cluster = self.task.effects.cluster
        order = np.argsort(cluster, kind="stable")
        ends = np.cumsum(np.bincount(cluster))
        first = 0
        while first < len(ends):
            start = int(ends[first - 1]) if first else 0
            # As many whole clusters as fit into a block, or one that does not.
            beyond = int(np.searchsorted(ends, start + self.block, side="right"))
            beyond = max(beyond, first + 1)
            rows = order[start : int(ends[beyond - 1])]
            yield self._common(np.arange(first, beyond), rows, cluster[rows] - first)
            first = beyond

    def _common(self, clusters: IntArray, rows: IntArray, place: IntArray) -> _Common:
        loaded = np.zeros((len(clusters), len(self.draws.weights)))
        precision = np.ones_like(loaded)
        for some in self.slices(len(rows)):
            r, D = self.residuals(rows[some])
            per = self.predicted.loading(rows[some]) / D
            present, starts = np.unique(place[some], return_index=True)
            loaded[present] += np.add.reduceat(per * r, starts, axis=0)
            per *= self.predicted.loading(rows[some])
            precision[present] += np.add.reduceat(per, starts, axis=0)
        return _Common(clusters, rows, place, loaded / precision, 1 / precision)

    def effects(self, common: _Common, some: slice) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of some true effects given each draw."""
        rows, place = common.rows[some], common.place[some]
        r, D = self.residuals(rows)
        own = self.predicted.within(rows) / D
        rest = (1 - own) * self.predicted.loading(rows)
        mean = self.predicted.mean(rows) + own * r + rest * common.mean[place]
        variance = (
            own * self.task.effects.se[rows, None] ** 2
            + rest**2 * common.variance[place]
        )
        return mean, variance

    def cluster_means(self, common: _Common) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of clusters' mean true effects given each draw."""
        loading = common.averaged(self.predicted.loading(common.rows))
        mean = common.averaged(self.predicted.mean(common.rows))
        return mean + loading * common.mean, loading**2 * common.variance

    def summary(
        self,
        mean: FloatArray,
        variance: FloatArray,
        convert: Converter,
        probs: Sequence[float],
    ) -> FloatArray:
        """Return mean, sd, median and quantiles of mixtures of normals, row by row."""
        low = mean.min(axis=1, keepdims=True)
        width = np.ptp(mean, axis=1, keepdims=True)
        # Deviates by model, and in it by rank, fill both dimensions evenly.
        rank = self.draws.model + 0.999 * (mean - low) / np.where(width > 0, width, 1.0)
        deviates = np.empty_like(mean)
        even = ndtri((0.5 + _GOLDEN * np.arange(mean.shape[1])) % 1)
        np.put_along_axis(deviates, np.argsort(rank, axis=1), even[None], axis=1)
        return self.summarised(convert(mean + np.sqrt(variance) * deviates), probs)

    def summarised(self, values: FloatArray, probs: Sequence[float]) -> FloatArray:
        """Return mean, sd, median and quantiles of draws, row by row."""
        with np.errstate(invalid="ignore", over="ignore"):
            first = values @ self.draws.weights
            second = (values - first[:, None]) ** 2 @ self.draws.weights
        quantiles = weighted_quantiles(values, self.draws.weights, [0.5, *probs])
        return np.column_stack([first, np.sqrt(second), quantiles])


@dataclass(frozen=True, slots=True)
class _Common:
    """The common factors g of some clusters, given each draw.

    ``rows`` are their estimates, those of one cluster together; ``place`` tells which
    of ``clusters`` a row is in; ``mean`` and ``variance`` of g have a row per cluster
    and a column per draw.
    """

    clusters: IntArray
    rows: IntArray
    place: IntArray
    mean: FloatArray
    variance: FloatArray

    def averaged(self, values: FloatArray) -> FloatArray:
        """Return clusters' averages of what has a row per estimate, or one for all."""
        if len(values) == 1:
            return values
        _, starts, sizes = np.unique(self.place, return_index=True, return_counts=True)
        return np.asarray(np.add.reduceat(values, starts, axis=0) / sizes[:, None])


def _labels(labels: Sequence[str | None], numbers: IntArray) -> pd.Series[Any]:
    return pd.Series([labels[number] for number in numbers], dtype=object)


def _columns(found: FloatArray, levels: Sequence[str]) -> dict[str, FloatArray]:
    names = ("Mean", "SD", "Median", *levels)
    return {name: found[:, j] for j, name in enumerate(names)}
