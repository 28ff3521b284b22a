"""Stage 5: heterogeneity by its moderators."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects import Coding, Measure, Moderators, Term
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.mixing import Mixture
from pyrobma.ensemble.quantities import (
    Quantity,
    coefficients,
    marginal,
    settings_of,
)
from pyrobma.errors import DataError
from pyrobma.models import Task, heterogeneous, scale_name


def scale_moderators_of(ensemble: Ensemble) -> Moderators:
    """Return the moderators of heterogeneity of an ensemble.

    Raises
    ------
    DataError
        If it has none.
    """
    found = ensemble.task.scale_moderators
    if found is None:
        raise DataError(
            "ensemble: expected one with moderators of heterogeneity; got none. Give "
            "scale in robma()."
        )
    return found


def scale_coefficients(moderators: Moderators) -> tuple[Quantity, ...]:
    """Return what the table of coefficients of log tau has, term by term.

    Parameters
    ----------
    moderators : Moderators
        Of heterogeneity.

    Returns
    -------
    tuple of Quantity
        As `coefficients`, labels those of the formula.
    """
    return tuple(map(_of_tau, coefficients(moderators)))


def log_ratios(moderators: Moderators, term: Term) -> tuple[Quantity, ...]:
    """Return logs of tau over tau at the reference, by the values of a term.

    Parameters
    ----------
    moderators : Moderators
        Of heterogeneity.
    term : Term
        One of its terms.

    Returns
    -------
    tuple of Quantity
        At the settings of `marginal`.
    """
    return tuple(map(_of_tau, marginal(moderators, term)))


def _of_tau(row: Quantity) -> Quantity:
    weights = tuple((scale_name(n), w) for n, w in row.weights if n != "mu")
    return replace(row, term=scale_name(row.term), kind="coefficient", weights=weights)


def tau_at(
    ensemble: Ensemble,
    log_ratio: Quantity,
    *,
    given: BoolArray | None = None,
    output_scale: Measure | None = None,
) -> Mixture:
    """Return the posterior of tau at some values of its moderators.

    Parameters
    ----------
    ensemble : Ensemble
    log_ratio : Quantity
        One of `log_ratios`.
    given : array of bool, shape (number of models,), optional
        Only over these models.
    output_scale : str, optional
        As of tau in `Ensemble.mixture`.
    """
    convert = ensemble.converter("tau", output_scale)
    return ensemble.predicted(
        lambda study: convert(
            study.draws["tau"] * np.exp(log_ratio.value(study.draws))
        ),
        given=given,
    )


def variance_ratio(
    ensemble: Ensemble, log_ratio: Quantity, given: BoolArray | None = None
) -> Mixture:
    """Return the posterior of a ratio of variances of true effects.

    Parameters
    ----------
    ensemble : Ensemble
        With heterogeneity in some model; others have no ratio.
    log_ratio : Quantity
        The log of the ratio of standard deviations.
    given : array of bool, shape (number of models,), optional
        Only over these models. None: over those with heterogeneity.
    """
    given = heterogeneous(ensemble.space) if given is None else given
    return ensemble.predicted(
        lambda study: np.broadcast_to(
            np.exp(2 * log_ratio.value(study.draws)), study.draws["tau"].shape
        ),
        given=given,
    )


def scale_design(
    task: Task, coded: Mapping[str, FloatArray], size: int
) -> FloatArray | None:
    """Return columns of log tau where variables of the mean have some values.

    Parameters
    ----------
    task : Task
    coded : mapping of str to array of shape (size, n)
        By variable of the formula of the mean, as it is coded there.
    size : int
        Number of rows.

    Returns
    -------
    array of shape (size, S), or None
        Variables of the formula of heterogeneity that are not among these are at their
        reference. None without moderators of heterogeneity.
    """
    scale, moderators = task.scale_moderators, task.moderators
    if scale is None:
        return None
    own: dict[str, FloatArray] = {}
    if moderators is not None:
        by_name = {coding.name: coding for coding in moderators.codings}
        for coding in scale.codings:
            if coding.name in coded and coding.name in by_name:
                other = by_name[coding.name]
                own[coding.name] = _recoded(coded[coding.name], other, coding)
    return scale.rows(own, size)


def _recoded(columns: FloatArray, source: Coding, target: Coding) -> FloatArray:
    """Return a variable's columns as another formula codes it."""
    if source.factor:
        away = np.abs(columns[:, None] - source.matrix[None]).sum(axis=2)
        return np.asarray(target.matrix[away.argmin(axis=1)])
    return target.columns(columns * source.sd + source.centre)


def scale_settings(task: Task, term: Term) -> tuple[Quantity, ...] | None:
    """Return logs of tau over tau at the reference at the settings of `marginal`.

    Parameters
    ----------
    task : Task
        With moderators of the mean.
    term : Term
        One of theirs.

    Returns
    -------
    tuple of Quantity, or None
        None without moderators of heterogeneity.
    """
    scale, moderators = task.scale_moderators, task.moderators
    if scale is None or moderators is None:
        return None
    found = []
    own = [moderators.coding(name) for name in term.variables]
    for settings in itertools.product(*map(settings_of, own)):
        coded = {c.name: row[None] for c, (_, row) in zip(own, settings, strict=True)}
        design = scale_design(task, coded, 1)
        assert design is not None
        names = map(scale_name, scale.labels)
        weights = tuple(zip(names, design[0].tolist(), strict=True))
        found.append(Quantity("", "", "coefficient", weights))
    return tuple(found)
