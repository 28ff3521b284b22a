"""Stage 5: evidence on sums of coefficients: at a value, and to either side of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.special import ndtr

from pyrobma._mcmc import effective_sample_size
from pyrobma._numerics import normal_log_density
from pyrobma._types import BoolArray, FloatArray
from pyrobma.bridge.diagnostics import pareto_k
from pyrobma.ensemble.conditionals import (
    conditional,
    conjugate,
    free_coefficients,
    is_normal,
)
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.joint import FitDraws
from pyrobma.ensemble.logml_errors import LogmlErrors
from pyrobma.ensemble.mixing import Mixture
from pyrobma.ensemble.quantities import Quantity, fixed_at
from pyrobma.errors import DataError
from pyrobma.fit import Fit, fit_models
from pyrobma.fit.ordinates import constrained_model, ordinate_ratios
from pyrobma.models import ModelSpace, ModelSpec
from pyrobma.models.spec import ordered
from pyrobma.priors import prior
from pyrobma.priors.density import density, random

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
_PRIOR_DRAWS: Final = 100_000
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
    without selection, so that its posterior density is a mean of normal densities over
    draws; in others it is importance weighted (`ordinate_ratios`). Where few draws
    carry the density, as far in a tail, the model is fitted again with the sum fixed
    at the value (`constrained_model`).

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
    known: dict[object, float] = {}
    for k in np.flatnonzero(free):
        key = specs[k].likelihood
        if key not in known:
            known[key] = prior_log_density(ensemble, quantity, specs[k], value)
        log_prior[k] = known[key]
    group = ensemble.logml_errors.group
    places: dict[int, list[int]] = {}
    for k in np.flatnonzero(free & (posts > _NEGLIGIBLE)):
        places.setdefault(int(group[k]), []).append(int(k))
    found: dict[int, _Ordinate] = {}
    for g, some in places.items():
        one = _from_draws(ensemble, quantity, value, ensemble.fits[some[0]])
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
        numerator = np.logaddexp.reduce((log_prior + np.log(priors))[free])
    free_prior, free_post = 1.0 - prior_atom, 1.0 - post_atom
    gradient = shares - posts
    return PointEvidence(
        float(numerator) - total - math.log(free_prior) + math.log(free_post),
        math.hypot(ensemble.logml_errors.of(gradient), math.sqrt(from_density)),
        prior_atom,
        post_atom,
    )


def direction_evidence(
    ensemble: Ensemble, quantity: Quantity, value: float, given: BoolArray
) -> tuple[Mixture, float]:
    """Return how probable it is that a sum is larger than a value.

    Parameters
    ----------
    ensemble : Ensemble
    quantity : Quantity
    value : float
        On the prior scale.
    given : array of bool, shape (number of models,)
        Only over these models.

    Returns
    -------
    Mixture
        Its mean is the posterior probability. In models without selection a draw has
        the probability given tau, rho, PET and PEESE; in others it is 0 or 1.
    float
        The prior probability.
    """
    task, draws = ensemble.task, []
    places = {ensemble.unknowns[name].enters for name, _ in quantity.weights}
    in_mean = places <= {"intercept", "moderator"}
    prior = 0.0
    chances = ensemble.prior_given(given)
    for fit, chance in zip(ensemble.fits, chances, strict=True):
        fixed = fixed_at(quantity, fit.spec)
        if not math.isnan(fixed):
            draws.append(np.array([[float(fixed > value)]]))
            prior += float(chance) * (fixed > value)
            continue
        if in_mean and conjugate(task, fit.spec):
            own = conditional(task, fit, quantity)
            draws.append(ndtr((own.mean - value) / own.sd))
        else:
            draws.append((quantity.value(FitDraws(fit)) > value).astype(float))
        if chance > 0:
            prior += float(chance) * _prior_above(ensemble, quantity, fit.spec, value)
    posts = ensemble.posterior_given(given)
    return Mixture(posts, tuple(draws), ensemble.logml_errors), prior


def order_evidence(
    ensemble: Ensemble,
    quantities: Sequence[Quantity],
    values: Sequence[float],
    given: BoolArray,
) -> tuple[Mixture, float]:
    """Return how probable it is that several sums are all larger than their values.

    Parameters and return value are as those of `direction_evidence`; posterior draws
    count as 0 or 1, and the prior probability is that of 100000 draws of each model.
    """
    rng = np.random.default_rng([ensemble.seed, 5])
    names = dict.fromkeys(name for q in quantities for name, _ in q.weights)
    draws, prior = [], 0.0
    for fit, chance in zip(ensemble.fits, ensemble.prior_given(given), strict=True):
        pairs = list(zip(quantities, values, strict=True))
        found = [quantity.value(FitDraws(fit)) > value for quantity, value in pairs]
        draws.append(np.logical_and.reduce(np.broadcast_arrays(*found)).astype(float))
        if chance > 0:
            some = {n: random(fit.spec.prior(n), _PRIOR_DRAWS, rng) for n in names}
            true = [quantity.value(some) > value for quantity, value in pairs]
            prior += float(chance) * float(np.logical_and.reduce(true).mean())
    posts = ensemble.posterior_given(given)
    return Mixture(posts, tuple(draws), ensemble.logml_errors), prior


def fixed_value_evidence(
    ensemble: Ensemble, parameter: str, value: float, given: BoolArray
) -> PointEvidence:
    """Compare models with the same ones in which an unknown is fixed at a value.

    Parameters
    ----------
    ensemble : Ensemble
    parameter : str
        A scalar unknown, such as "tau".
    value : float
        Legal, on the prior scale.
    given : array of bool, shape (number of models,)
        The models; those that fix the unknown at another value do not count.

    Returns
    -------
    PointEvidence
        Of its free values against this one: marginal likelihoods averaged with the
        prior probabilities of the models. Models are fitted again with the value; for
        one where a prior has a density, this is the Savage-Dickey ratio.

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
    counted = np.flatnonzero(free & (posts > _RARE))
    spike = prior("spike", location=value)
    fixed = [
        replace(
            specs[k],
            priors=ordered(
                dict(specs[k].priors) | {parameter: spike}, ensemble.unknowns
            ),
        )
        for k in counted
    ]
    fits = fit_models(
        ensemble.task, ModelSpace(tuple(fixed)), settings=ensemble.settings,
        seed=ensemble.seed, progress=False,
    )  # fmt: skip
    logs = np.log(ensemble.prior_given(free)[counted])
    below = logs + [fit.logml for fit in fits]
    own = LogmlErrors.independent(np.array([fit.logml_mcse for fit in fits]))
    total = np.logaddexp.reduce(below)
    above = np.logaddexp.reduce(
        (np.log(np.maximum(ensemble.prior_given(free), 1e-300)) + ensemble.logml)[free]
    )
    return PointEvidence(
        float(above - total),
        math.hypot(own.of(np.exp(below - total)), ensemble.logml_errors.of(posts)),
        0.0,
        0.0,
    )


def prior_log_density(
    ensemble: Ensemble, quantity: Quantity, spec: ModelSpec, value: float
) -> float:
    """Return the log prior density of a sum that is free in a model."""
    mean, sd = _prior_moments(quantity, spec)
    if not math.isnan(sd):
        return float(normal_log_density(value, mean, sd))
    free = [(n, w) for n, w in quantity.weights if not spec.prior(n).is_spike]
    (name, weight), *others = free
    rest = _prior_draws(ensemble, quantity, spec, [n for n, _ in others])
    at = density(spec.prior(name), (value - rest) / weight) / abs(weight)
    return float(np.log(at.mean()))


def _prior_above(
    ensemble: Ensemble, quantity: Quantity, spec: ModelSpec, value: float
) -> float:
    mean, sd = _prior_moments(quantity, spec)
    if not math.isnan(sd):
        return float(ndtr((mean - value) / sd))
    names = [n for n, _ in quantity.weights if not spec.prior(n).is_spike]
    return float((_prior_draws(ensemble, quantity, spec, names) > value).mean())


def _prior_moments(quantity: Quantity, spec: ModelSpec) -> tuple[float, float]:
    """Return mean and sd of a sum with normal priors; NaN for others."""
    mean, variance = 0.0, 0.0
    for name, weight in quantity.weights:
        own = spec.prior(name)
        if own.is_spike:
            mean += weight * own.location
        elif is_normal(own):
            mean += weight * own.values[0]
            variance += (weight * own.values[1]) ** 2
        else:
            return math.nan, math.nan
    return mean, math.sqrt(variance)


def _prior_draws(
    ensemble: Ensemble, quantity: Quantity, spec: ModelSpec, names: Sequence[str]
) -> FloatArray:
    """Return draws of the part of a sum that is of some names, and what is fixed."""
    rng = np.random.default_rng([ensemble.seed, 4])
    weights = dict(quantity.weights)
    total = np.full(
        _PRIOR_DRAWS if names else 1,
        sum(
            w * spec.prior(n).location
            for n, w in quantity.weights
            if spec.prior(n).is_spike
        ),
    )
    for name in names:
        total = total + weights[name] * random(spec.prior(name), len(total), rng)
    return total


def _from_draws(
    ensemble: Ensemble, quantity: Quantity, value: float, fit: Fit
) -> _Ordinate | None:
    task = ensemble.task
    if conjugate(task, fit.spec):
        own = conditional(task, fit, quantity)
        logs = normal_log_density(value, own.mean, own.sd)
    else:
        ratios = ordinate_ratios(task, fit, dict(quantity.weights), value)
        if ratios is None:
            return None
        with np.errstate(divide="ignore"):
            logs = np.log(ratios)
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
        return 1.0 if log_share > math.log(1e-6) or log_share == -np.inf else 0.0
    return math.exp(log_share) * one.error
