"""Stage 5: draws of parameters, and estimates as they are published given these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pyrobma._types import FloatArray, IntArray
from pyrobma.counts.drawing import draw_events
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.joint import JointDraws
from pyrobma.ensemble.predictor import Predictor
from pyrobma.ensemble.selected_draws import Selected, selected_draws
from pyrobma.models import ModelSpec, Task
from pyrobma.priors.density import random, random_weights

_ROOM: Final = 2_000_000  # numbers in an array
_TRIES: Final = 100
"""A factor that is published with probability 0.1 is found by these but in 3e-5."""


@dataclass(frozen=True, slots=True)
class Sample:
    """S draws from the prior or the posterior of one model or several.

    Attributes
    ----------
    model : array of shape (S,)
        Position in the model space of the model that a draw is from, from 0.
    row : array of shape (S,)
        Its place among the draws of that model; all of one model are in their order.
    values : mapping of str to array of shape (S,)
        Scalar unknowns, on the prior scale.
    omega : mapping of int to array of shape (n, J)
        Weights of publication by model, in its own intervals, a row for each draw that
        the sample has of it; none of a model without selection.
    """

    model: IntArray
    row: IntArray
    values: Mapping[str, FloatArray]
    omega: Mapping[int, FloatArray]

    @classmethod
    def of_model(cls, ensemble: Ensemble, number: int) -> Sample:
        """Return all posterior draws of a model, all chains one after another.

        Parameters
        ----------
        ensemble : Ensemble
        number : int
            Position of the model, which has chains.
        """
        chains = ensemble.fits[number].chains
        assert chains is not None
        return cls._of_rows(ensemble, {number: np.arange(chains.size)})

    @classmethod
    def averaged(cls, ensemble: Ensemble, n: int) -> Sample:
        """Return n draws of the averaged posterior, those of `Ensemble.draws`."""
        rows = ensemble.rows(ensemble.post_prob, n)
        return cls._of_rows(ensemble, dict(enumerate(rows)))

    @classmethod
    def _of_rows(cls, ensemble: Ensemble, rows: Mapping[int, IntArray]) -> Sample:
        def chosen(values: FloatArray, own: IntArray) -> FloatArray:
            # What is fixed is one number, whatever else is drawn.
            return values[own] if len(values) > 1 else np.repeat(values, len(own), 0)

        omega = {
            k: chosen(_flat(ensemble.fits[k].draws("omega")), own)
            for k, own in rows.items()
            if ensemble.fits[k].spec.selection is not None
        }
        values = {
            name: np.concatenate(
                [
                    chosen(ensemble.fits[k].values(name).ravel(), own)
                    for k, own in rows.items()
                ]
            )
            for name in ensemble.unknowns.scalars
        }
        model = np.repeat([*rows], [len(own) for own in rows.values()])
        return cls(model, np.concatenate([*rows.values()]), values, omega)

    @classmethod
    def of_prior(
        cls,
        task: Task,
        models: Sequence[ModelSpec],
        counts: Mapping[int, int],
        rng: np.random.Generator,
    ) -> Sample:
        """Return draws from the priors of models.

        Parameters
        ----------
        task : Task
            Whose unknowns are drawn.
        models : sequence of ModelSpec
        counts : mapping of int to int
            How many of each model, by position.
        rng : numpy.random.Generator
        """
        values: dict[str, list[FloatArray]] = {n: [] for n in task.unknowns.scalars}
        omega = {}
        for k, count in counts.items():
            spec = models[k]
            for name, drawn in values.items():
                drawn.append(random(spec.prior(name), count, rng))
            if spec.selection is not None:
                omega[k] = random_weights(spec.selection, count, rng)
        return cls(
            np.repeat([*counts], [*counts.values()]),
            np.concatenate([np.arange(count) for count in counts.values()]),
            {name: np.concatenate(drawn) for name, drawn in values.items()},
            omega,
        )

    @property
    def joint(self) -> JointDraws:
        """The same as draws of equal weight."""
        size = len(self.model)
        return JointDraws(np.full(size, 1 / size), self.model, self.row, self.values)


def replicates(
    task: Task,
    models: Sequence[ModelSpec],
    sample: Sample,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw estimates like those that there are for each draw of a sample.

    Parameters
    ----------
    task : Task
        Estimates with standard errors, clusters and moderators.
    models : sequence of ModelSpec
        Those that positions in the sample are of.
    sample : Sample
        S draws.
    rng : numpy.random.Generator

    Returns
    -------
    array of shape (S, K)
        Estimates on the measure of the likelihood, with true effects of their own: as
        published in models with selection, in clusters that are published as a whole.

    Raises
    ------
    DataError
        If a draw leaves nothing that could be published.
    """
    y = np.empty((len(sample.model), task.effects.K))
    for k in np.unique(sample.model).tolist():
        mine = np.flatnonzero(sample.model == k)
        weights = sample.omega.get(k)
        step = max(1, _ROOM // (task.effects.K * (_intervals(weights) + 1)))
        for start in range(0, len(mine), step):
            some = slice(start, start + step)
            own = {name: drawn[mine[some]] for name, drawn in sample.values.items()}
            omega = None if weights is None else weights[some]
            y[mine[some]] = estimates(task, models[k], own, omega, rng, tries=_TRIES)
    return y


def events(
    task: Task, draws: Mapping[str, FloatArray], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return counts like those that there are for each of S draws of parameters.

    Parameters
    ----------
    task : Task
        Of counts. Where the likelihood is conditional on the events of both groups,
        their sum stays.
    draws : mapping of str to array of shape (S,)
        Scalar unknowns.
    rng : numpy.random.Generator

    Returns
    -------
    x1, x2 : array of shape (S, K)
        Events of group 1 and group 2, with true effects of their own.
    """
    effects, predicted = task.effects, Predictor(task, draws)
    assert effects.counts is not None
    S = len(draws["mu"])
    factors = rng.standard_normal((effects.L, S))
    x1, x2 = np.empty((S, effects.K)), np.empty((S, effects.K))
    for row in range(effects.K):
        place = np.array([row])
        delta = predicted.mean(place)[0] + np.zeros(S)
        delta += predicted.loading(place)[0] * factors[effects.cluster[row]]
        delta += np.sqrt(predicted.within(place)[0]) * rng.standard_normal(S)
        study = effects.counts.kept_at(place)
        x1[:, row], x2[:, row] = draw_events(study, task.baseline, delta, rng)
    return x1, x2


def estimates(
    task: Task,
    spec: ModelSpec,
    draws: Mapping[str, FloatArray],
    omega: FloatArray | None,
    rng: np.random.Generator,
    *,
    tries: int = 0,
) -> FloatArray:
    """Return a data set for each draw of the parameters of a model.

    Parameters
    ----------
    task : Task
    spec : ModelSpec
    draws : mapping of str to array of shape (S,)
        Scalar unknowns.
    omega : array of shape (S, J) or None
        Weights of publication; None without selection.
    rng : numpy.random.Generator
    tries : int
        As in `selected_draws`.

    Returns
    -------
    array of shape (S, K)
    """
    effects, every = task.effects, slice(None)
    predicted = Predictor(task, draws)
    shape = (effects.K, len(draws["mu"]))
    mean = np.broadcast_to(predicted.mean(every) + predicted.bias(every), shape).T
    variance = effects.se[:, None] ** 2 + predicted.within(every)
    sd = np.sqrt(np.broadcast_to(variance, shape)).T
    load = np.broadcast_to(predicted.loading(every), shape).T
    if spec.selection is not None and omega is not None:
        weights = Selected.of(task, spec.selection, omega)
        return selected_draws(
            mean, sd, load, effects.cluster, weights, rng, tries=tries
        )
    factors = rng.standard_normal((shape[1], effects.L))
    common = load * factors[:, effects.cluster]
    return np.asarray(mean + common + sd * rng.standard_normal(sd.shape))


def _intervals(omega: FloatArray | None) -> int:
    """Return how many intervals of estimates there are at most."""
    return 0 if omega is None else 2 * omega.shape[1]


def _flat(values: FloatArray) -> FloatArray:
    """Return draws without their chains."""
    return values.reshape(-1, *values.shape[2:])
