"""Stage 5: evidence on sums of coefficients, and on other unknowns, at a value."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pyrobma._mcmc import effective_sample_size
from pyrobma._types import BoolArray
from pyrobma.bridge.diagnostics import pareto_k
from pyrobma.ensemble.conditionals import (
    Known,
    conjugate,
    free_coefficients,
    is_normal,
    log_change_by,
    log_density_at,
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
    (`log_density_at`); no draws are used, of which a tail has few. In other models it
    is importance weighted (`log_ordinate_ratios`), and where few draws carry it, the
    model is fitted again with the sum fixed at the value (`constrained_model`).

    References
    ----------
    .. [1] Dickey J. M., Lientz B. P. (1970). The weighted likelihood ratio, sharp
       hypotheses about chances, the order of a Markov chain. Annals of Mathematical
       Statistics 41(1). doi:10.1214/aoms/1177697203
    """
    priors, posts = ensemble.prior_given(given), ensemble.posterior_given(given)
    specs = ensemble.space.models
    fixed = np.array([fixed_at(quantity, spec) for spec in specs])
    at = given & (np.abs(fixed - value) <= _AT * max(1.0, abs(value)))
    free = given & np.isnan(fixed)
    prior_atom, post_atom = float(priors[at].sum()), float(posts[at].sum())
    nothing = PointEvidence(math.nan, math.nan, prior_atom, post_atom)
    if not free.any():
        return nothing
    log_prior = np.full(len(specs), -np.inf)
    prior_error = np.zeros(len(specs))
    known: dict[object, Known] = {}
    for k in np.flatnonzero(free):
        key = specs[k].likelihood
        if key not in known:
            known[key] = prior_log_density(quantity, specs[k], value, ensemble.seed)
        log_prior[k], prior_error[k] = known[key].log, known[key].error
    group = ensemble.logml_errors.group
    places: dict[int, list[int]] = {}
    for k in np.flatnonzero(free & (posts > _NEGLIGIBLE)):
        places.setdefault(int(group[k]), []).append(int(k))
    found: dict[int, _Ordinate] = {}
    for g, some in places.items():
        one = _ordinate(ensemble, quantity, value, ensemble.fits[some[0]])
        if one is None:
            return nothing
        found[g] = one
    weights = {g: float(posts[some].sum()) for g, some in places.items()}
    _refine(ensemble, quantity, value, places, weights, found)
    logs = {g: math.log(weights[g]) + one.log for g, one in found.items()}
    total = float(np.logaddexp.reduce([*logs.values()]))
    shares = np.zeros(len(specs))
    from_density = 0.0
    for g, some in places.items():
        share = math.exp(logs[g] - total)
        own = found[g]
        from_density += (share * min(own.error, 1.0)) ** 2
        if not own.exact:
            shares[some] = share * posts[some] / weights[g]
    with np.errstate(divide="ignore"):
        before = log_prior + np.log(priors)
    numerator = np.logaddexp.reduce(before[free])
    # Models of one prior have one error; taken as one, all of them.
    from_prior = float((np.exp(before - numerator) * prior_error)[free].sum())
    free_prior, free_post = 1.0 - prior_atom, 1.0 - post_atom
    gradient = shares - posts
    return PointEvidence(
        float(numerator) - total - math.log(free_prior) + math.log(free_post),
        math.hypot(
            ensemble.logml_errors.of(gradient), math.sqrt(from_density), from_prior
        ),
        prior_atom,
        post_atom,
    )


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


def _ordinate(
    ensemble: Ensemble, quantity: Quantity, value: float, fit: Fit
) -> _Ordinate | None:
    task = ensemble.task
    if conjugate(task, fit.spec):
        known = log_density_at(task, fit, quantity, value)
        # Without an answer it is one more that has to be fitted again.
        return (
            _Ordinate(-np.inf, np.inf)
            if known is None
            else _Ordinate(known.log, known.error)
        )
    logs = log_ordinate_ratios(task, fit, dict(quantity.weights), value)
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
    quantity: Quantity,
    value: float,
    places: dict[int, list[int]],
    weights: dict[int, float],
    found: dict[int, _Ordinate],
) -> None:
    """Fit models again at the value, those first that leave the largest error."""
    task = ensemble.task
    names = {
        g: free_coefficients(task, ensemble.space.models[some[0]])
        for g, some in places.items()
    }
    able = {
        g
        for g, some in places.items()
        if all(is_normal(ensemble.space.models[some[0]].prior(n)) for n in names[g])
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
        fit = ensemble.fits[places[worst][0]]
        own = constrained_model(
            task, fit.spec, dict(quantity.weights), value, ensemble.settings, fit.seed
        )
        log = own.log_prior + own.logml - fit.logml
        found[worst] = _Ordinate(log, own.error, exact=True)


def _part(log_share: float, one: _Ordinate) -> float:
    if one.error == np.inf:
        # Few draws say little; a share of a millionth may be a thousandth in truth.
        # Of no draws at all it is 0, or 0 / 0.
        return 0.0 if -np.inf < log_share <= math.log(1e-6) else 1.0
    return math.exp(log_share) * one.error
