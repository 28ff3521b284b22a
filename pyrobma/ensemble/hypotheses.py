"""Stage 5: evidence on sums of coefficients, and on other unknowns, at a value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pyrobma._mcmc import effective_sample_size
from pyrobma._types import BoolArray
from pyrobma.bridge.diagnostics import pareto_k
from pyrobma.ensemble.collapsed import free_coefficients
from pyrobma.ensemble.conditionals import (
    Known,
    conjugate,
    is_normal,
    log_change_by,
    log_densities_at,
)
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.logml_errors import LogmlErrors
from pyrobma.ensemble.prior_sums import prior_log_density
from pyrobma.ensemble.quantities import Quantity, fixed_at
from pyrobma.errors import DataError
from pyrobma.fit import Fit, fit_models
from pyrobma.fit.ordinates import constrained_model, log_ordinate_ratios
from pyrobma.models import ModelSpace, ModelSpec
from pyrobma.models.spec import ordered
from pyrobma.priors import prior

_WANTED: Final = 0.02
"""Relative error of a density above which models are fitted again at the value."""
_FEWEST: Final = 1000.0
"""Draws that must carry a density for its error to be believed."""
_MOST_PARETO_K: Final = 0.25
"""Tail of what is averaged beyond which its error is not believed: at 0.5 the variance
is infinite."""
_NEGLIGIBLE: Final = 1e-15
"""Posterior probability of a model below which no density makes it count."""
_RARE: Final = 1e-6
"""The same for models that are fitted again with another prior."""
_AT: Final = 1e-12


@dataclass(frozen=True, slots=True)
class PointEvidence:
    """Evidence against a sum having exactly some value.

    Attributes
    ----------
    log_bf : float
        Natural log of its prior density there over its posterior density; NaN where a
        prior with ends leaves no way to it.
    log_bf_mcse : float
        Monte Carlo standard error.
    prior_atom, post_atom : float
        Probability, before and after the data, of models that fix the sum at the
        value: the densities are of the others.
    """

    log_bf: float
    log_bf_mcse: float
    prior_atom: float
    post_atom: float


@dataclass(frozen=True, slots=True)
class _Ordinate:
    """A model's posterior density at a value, and its relative error.

    ``exact`` says that it is a ratio of marginal likelihoods, that of the model in the
    denominator.
    """

    log: float
    error: float
    exact: bool = False


def point_evidence(
    ensemble: Ensemble, quantity: Quantity, value: float, given: BoolArray
) -> PointEvidence:
    """Compare a mixture of models with the same one given a value of a sum.

    Parameters
    ----------
    ensemble : Ensemble
    quantity : Quantity
    value : float
        On the prior scale.
    given : array of bool, shape (number of models,)
        The models of the mixture; some leave the sum free.

    Returns
    -------
    PointEvidence

    Notes
    -----
    The Savage-Dickey ratio [1]_ of densities of the sum, under the mixture of models
    before and after the data. Given tau, rho, PET and PEESE the sum is normal in models
    without selection, and its posterior density an integral over these by quadrature
    (`log_densities_at`); no draws are used, of which a tail has few. In other models it
    is importance weighted (`log_ordinate_ratios`), and where few draws carry it, the
    model is fitted again with the sum fixed at the value (`constrained_model`), as it
    always is for coefficients of log tau.

    References
    ----------
    .. [1] Dickey J. M., Lientz B. P. (1970). The weighted likelihood ratio, sharp
       hypotheses about chances, the order of a Markov chain. Annals of Mathematical
       Statistics 41(1). doi:10.1214/aoms/1177697203
    """
    return points_evidence(ensemble, [(quantity, value, given)])[0]


def points_evidence(
    ensemble: Ensemble, asked: Sequence[tuple[Quantity, float, BoolArray]]
) -> list[PointEvidence]:
    """Return `point_evidence` of many sums, faster than one by one.

    Parameters
    ----------
    ensemble : Ensemble
    asked : sequence of (Quantity, float, array of bool)
        Sums, values and models.
    """
    every = [_Asked.of(ensemble, *one) for one in asked]
    found: list[dict[int, _Ordinate | None]] = [{} for _ in every]
    for g in sorted({g for one in every for g in one.places}):
        some = [j for j, one in enumerate(every) if g in one.places]
        ordinates = _ordinates(ensemble, [every[j] for j in some], g)
        for j, ordinate in zip(some, ordinates, strict=True):
            found[j][g] = ordinate
    return [
        _evidence(ensemble, one, ordinates)
        for one, ordinates in zip(every, found, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A sum, a value, and the models of some that leave the sum free.

    ``places`` has the models with posterior probability by the first of them that
    shares their fit.
    """

    quantity: Quantity
    value: float
    free: BoolArray
    prior_atom: float
    post_atom: float
    places: dict[int, list[int]]

    @classmethod
    def of(
        cls, ensemble: Ensemble, quantity: Quantity, value: float, given: BoolArray
    ) -> _Asked:
        fixed = np.array([fixed_at(quantity, spec) for spec in ensemble.space])
        at = given & (np.abs(fixed - value) <= _AT * max(1.0, abs(value)))
        free = given & np.isnan(fixed)
        places: dict[int, list[int]] = {}
        if free.any():
            posts = ensemble.posterior_given(free)
            for k in np.flatnonzero(free & (posts > _NEGLIGIBLE)):
                places.setdefault(int(ensemble.logml_errors.group[k]), []).append(
                    int(k)
                )
        return cls(
            quantity,
            value,
            free,
            float(ensemble.prior_given(given)[at].sum()),
            float(ensemble.posterior_given(given)[at].sum()),
            places,
        )


def _evidence(
    ensemble: Ensemble, asked: _Asked, ordinates: dict[int, _Ordinate | None]
) -> PointEvidence:
    found = {g: one for g, one in ordinates.items() if one is not None}
    if not found or len(found) < len(ordinates):
        return PointEvidence(math.nan, math.nan, asked.prior_atom, asked.post_atom)
    posts = ensemble.posterior_given(asked.free)
    weights = {g: float(posts[some].sum()) for g, some in asked.places.items()}
    _refine(ensemble, asked, weights, found)
    logs = {g: math.log(weights[g]) + one.log for g, one in found.items()}
    total = float(np.logaddexp.reduce([*logs.values()]))
    shares = np.zeros(len(posts))
    variance = 0.0
    for g, some in asked.places.items():
        share = math.exp(logs[g] - total)
        variance += (share * min(found[g].error, 1.0)) ** 2
        if not found[g].exact:
            shares[some] = share * posts[some] / weights[g]
    before = _prior_density(ensemble, asked)
    return PointEvidence(
        before.log - total,
        math.hypot(
            ensemble.logml_errors.of(shares - posts), math.sqrt(variance), before.error
        ),
        asked.prior_atom,
        asked.post_atom,
    )


def _prior_density(ensemble: Ensemble, asked: _Asked) -> Known:
    """Return the log prior density at the value, over the models that leave it free."""
    priors = ensemble.prior_given(asked.free)
    known: dict[object, Known] = {}
    logs, errors = [], []
    for k in np.flatnonzero(asked.free):
        spec = ensemble.space.models[k]
        if spec.likelihood not in known:
            known[spec.likelihood] = prior_log_density(
                asked.quantity, spec, asked.value, ensemble.seed
            )
        with np.errstate(divide="ignore"):
            logs.append(known[spec.likelihood].log + np.log(priors[k]))
        errors.append(known[spec.likelihood].error)
    total = float(np.logaddexp.reduce(logs))
    # Models of one prior have one error; taken as one, all of them.
    return Known(total, float(np.exp(np.array(logs) - total) @ errors))


def fixed_value_evidence(
    ensemble: Ensemble, parameter: str, value: float, given: BoolArray
) -> PointEvidence:
    """Compare models with the same ones in which an unknown is fixed at a value.

    Parameters
    ----------
    ensemble : Ensemble
    parameter : str
        A scalar unknown that is no coefficient of the mean, such as "tau".
    value : float
        Legal, on the prior scale.
    given : array of bool, shape (number of models,)
        The models; those that fix the unknown at another value do not count.

    Returns
    -------
    PointEvidence
        For other values against this one: marginal likelihoods averaged with the
        prior probabilities of the models. In models without selection the value is
        put into the integral over the others (`log_change_by`); other models are
        fitted again with it. For a value where a prior has a density, this is the
        Savage-Dickey ratio.

    Raises
    ------
    DataError
        If the value is not a legal one.
    """
    row = ensemble.unknowns[parameter]
    if not row.support[0] <= value <= row.support[1]:
        raise DataError(
            f"texts: expected a value of {parameter} from {row.support[0]:g} to "
            f"{row.support[1]:g}; got {value:g}."
        )
    specs = ensemble.space.models
    free = given & np.array([not m.prior(parameter).is_spike for m in specs])
    posts = ensemble.posterior_given(free)
    # What fixing the unknown adds to the log marginal likelihood, and its error.
    change = np.full(len(specs), -np.inf)
    known: dict[int, Known] = {}
    again: dict[int, ModelSpec] = {}
    spike = prior("spike", location=value)
    for k in np.flatnonzero(free & (posts > _NEGLIGIBLE)):
        group = int(ensemble.logml_errors.group[k])
        if group not in known and conjugate(ensemble.task, specs[k]):
            found = log_change_by(ensemble.task, ensemble.fits[k], parameter, value)
            if found is not None:
                known[group] = found
        if group in known:
            change[k] = known[group].log
        elif posts[k] > _RARE:
            given_value = dict(specs[k].priors) | {parameter: spike}
            again[int(k)] = replace(
                specs[k], priors=ordered(given_value, ensemble.unknowns)
            )
    fits = fit_models(
        ensemble.task, ModelSpace(tuple(again.values())), settings=ensemble.settings,
        seed=ensemble.seed, progress=False,
    ) if again else ()  # fmt: skip
    own_error = np.zeros(len(specs))
    for place, fit in zip(again, fits, strict=True):
        change[place] = fit.logml - ensemble.fits[place].logml
        own_error[place] = fit.logml_mcse
    with np.errstate(divide="ignore"):
        log_share = np.log(posts) + change
    total = np.logaddexp.reduce(log_share)
    shares = np.exp(log_share - total)
    refitted = own_error > 0
    from_fits = LogmlErrors.shared(own_error, ensemble.logml_errors.group.tolist())
    gradient = np.where(refitted, 0.0, shares) - posts
    return PointEvidence(
        float(-total),
        math.hypot(from_fits.of(shares), ensemble.logml_errors.of(gradient)),
        0.0,
        0.0,
    )


def _ordinates(
    ensemble: Ensemble, asked: Sequence[_Asked], group: int
) -> list[_Ordinate | None]:
    """Return a model's densities of several sums at their values."""
    task, fit = ensemble.task, ensemble.fits[group]
    if any(
        ensemble.unknowns[n].enters == "scale" for n, _ in asked[0].quantity.weights
    ):
        return [_of_log_tau(ensemble, one, group) for one in asked]
    if conjugate(task, fit.spec):
        pairs = [(one.quantity, one.value) for one in asked]
        # Without an answer it is one more that has to be fitted again.
        known = [
            one or Known(-np.inf, np.inf) for one in log_densities_at(task, fit, pairs)
        ]
        return [_Ordinate(one.log, one.error) for one in known]
    return [_from_draws(ensemble, one, fit) for one in asked]


def _of_log_tau(ensemble: Ensemble, asked: _Asked, group: int) -> _Ordinate | None:
    """Return a density of a sum of coefficients of log tau, by another fit.

    Given tau they are not normal, and no draws tell of a tail.
    """
    fit = ensemble.fits[group]
    scale = [row.name for row in ensemble.unknowns if row.enters == "scale"]
    priors = [fit.spec.prior(name) for name in scale]
    if not all(own.is_spike or is_normal(own) for own in priors):
        return None
    share = ensemble.posterior_given(asked.free)[asked.places[group]].sum()
    if share <= _RARE:
        return _Ordinate(-np.inf, 0.0)
    own = constrained_model(
        ensemble.task, fit.spec, dict(asked.quantity.weights), asked.value,
        ensemble.settings, fit.seed,
    )  # fmt: skip
    log = own.log_prior + own.logml - fit.logml
    return _Ordinate(log, own.error, exact=True)


def _from_draws(ensemble: Ensemble, asked: _Asked, fit: Fit) -> _Ordinate | None:
    weights = dict(asked.quantity.weights)
    logs = log_ordinate_ratios(ensemble.task, fit, weights, asked.value)
    if logs is None:
        return None
    highest = float(logs.max())
    if highest == -np.inf:
        return _Ordinate(-np.inf, np.inf)
    ratios = np.exp(logs - highest)
    mean = float(ratios.mean())
    log = highest + math.log(mean)
    if np.ptp(ratios) == 0:
        return _Ordinate(log, 0.0)
    carrying = float(ratios.sum() ** 2 / (ratios**2).sum())
    if carrying < _FEWEST or pareto_k(ratios.ravel()) > _MOST_PARETO_K:
        return _Ordinate(log, np.inf)
    size = float(effective_sample_size(ratios[:, :, None])[0])
    return _Ordinate(log, float(ratios.std(ddof=1)) / math.sqrt(size) / mean)


def _refine(
    ensemble: Ensemble,
    asked: _Asked,
    weights: dict[int, float],
    found: dict[int, _Ordinate],
) -> None:
    """Fit models again at the value, those first that leave the largest error."""
    task = ensemble.task
    able = {
        g
        for g in found
        if all(
            is_normal(ensemble.fits[g].spec.prior(name))
            for name in free_coefficients(task, ensemble.fits[g].spec)
        )
    }
    while able:
        logs = {g: math.log(weights[g]) + one.log for g, one in found.items()}
        total = np.logaddexp.reduce([*logs.values()])
        parts = {g: _part(logs[g] - total, one) for g, one in found.items()}
        if math.sqrt(sum(part**2 for part in parts.values())) <= _WANTED:
            return
        worst = max(able, key=lambda g: parts[g])
        if parts[worst] == 0.0:
            return
        able.remove(worst)
        fit = ensemble.fits[worst]
        own = constrained_model(
            task, fit.spec, dict(asked.quantity.weights), asked.value,
            ensemble.settings, fit.seed,
        )  # fmt: skip
        log = own.log_prior + own.logml - fit.logml
        found[worst] = _Ordinate(log, own.error, exact=True)


def _part(log_share: float, one: _Ordinate) -> float:
    if one.error == np.inf:
        # Few draws say little; a share of a millionth may be a thousandth in truth.
        # Of no draws at all it is 0, or 0 / 0.
        return 0.0 if -np.inf < log_share <= math.log(1e-6) else 1.0
    return math.exp(log_share) * one.error
