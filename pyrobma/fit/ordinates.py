"""Stage 4: the posterior density of a sum of coefficients at a value.

Both ways ask the Stan program: no density is smoothed from draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pyrobma._numerics import normal_log_density
from pyrobma._types import FloatArray
from pyrobma.fit.model import Fit, fit_model, job_of, survey
from pyrobma.fit.settings import SamplerSettings
from pyrobma.fit.stan_data import column_centres, program_names
from pyrobma.models import ABSENT, Column, ModelSpec, Task
from pyrobma.parameters import REALS, Component, Enters, Parameter, Unit
from pyrobma.priors import prior

_RELIABLE_ERROR = 0.03
_ADAPTED = 1.3
"""What the error of importance sampling is multiplied by: its components are put where
weights are large, after which these look more even than they are. Against quadrature
over many seeds the root mean square of true errors is 1.3 of those stated."""
_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class ConstrainedModel:
    """The log marginal likelihood of a model in which a sum has a fixed value.

    Attributes
    ----------
    log_prior : float
        Natural log of the prior density of the sum at the value.
    logml, error : float
        Of the data given that the sum has the value, and its Monte Carlo error.
    """

    log_prior: float
    logml: float
    error: float


def log_ordinate_ratios(
    task: Task, fit: Fit, weights: Mapping[str, float], value: float
) -> FloatArray | None:
    """Return logs of numbers, one per draw, whose mean is a sum's posterior density.

    Parameters
    ----------
    task : Task
        The data.
    fit : Fit
        A model with draws.
    weights : mapping of str to float
        What mu and coefficients of moderators are multiplied by; some is free.
    value : float
        Where the density is wanted, on the prior scale.

    Returns
    -------
    array of shape (chains, n), or None
        Of about 2000 of the draws. None where a coefficient's prior has ends, so that
        the program's own parameters are no linear functions of it.

    Notes
    -----
    With θ the sum, ψ what is left of the program's parameters, and w a density,
    f(v | y) = E[w(θ | ψ) p(v, ψ | y) / p(θ, ψ | y)], the importance-weighted marginal
    density estimate [1]_. Draws are moved along the direction in which the posterior
    leaves ψ independent of θ, given PET and PEESE and as far as it is normal, and w is
    normal: of a normal posterior every ratio is the density itself.

    References
    ----------
    .. [1] Chen M.-H. (1994). Importance-weighted marginal Bayesian posterior density
       estimation. JASA 89(427). doi:10.1080/01621459.1994.10476815
    """
    job = job_of(task, fit)
    chains = fit.chains
    assert chains is not None
    own_task, own_spec = job.scaled.task, job.scaled.spec
    names = program_names(own_task, own_spec)
    mean = {row.name for row in own_task.unknowns if row.in_mean}
    if any(
        math.isfinite(p.lower) or math.isfinite(p.upper)
        for name, p in own_spec.priors
        if name in mean and not p.is_spike
    ):
        return None
    # Evenly spaced draws: a selection model takes long for all of them.
    step = max(1, chains.size // _DRAWS)
    constrained, lp = chains.constrained[:, ::step], chains.lp[:, ::step]
    # The program's own mu is mu plus what the terms add.
    slopes = dict(weights)
    for name, centre in column_centres(own_task, own_spec).items():
        if weights.get("mu") and not own_spec.prior("mu").is_spike:
            slopes[name] = slopes.get(name, 0.0) - weights["mu"] * centre
    unit = job.scaled.unit
    values: FloatArray = sum(
        (weight * fit.values(name) for name, weight in weights.items()),
        np.zeros(chains.lp.shape),
    )
    theta = values[:, ::step].ravel() / unit
    with job.density(fit.rule, float(chains.lp.max())) as density:
        points = density.unconstrain(constrained.reshape(-1, constrained.shape[2]))
        own = [names.own[column] for column in density.own_columns]
        # PET and PEESE, which may have ends, stay: what they share with the others is
        # taken away.
        moves = np.array([own_task.unknowns[n].enters != "bias" for n in own])
        slope = np.array([slopes.get(name, 0.0) for name in own])[moves]
        others = np.column_stack([np.ones(len(points)), points[:, ~moves]])
        left = points[:, moves] - others @ np.linalg.lstsq(others, points[:, moves])[0]
        covariance = np.atleast_2d(left.T @ left / len(left))
        spread = math.sqrt(slope @ covariance @ slope)
        expected = others @ np.linalg.lstsq(others, theta)[0]
        moved = points.copy()
        direction = covariance @ slope / spread**2
        moved[:, moves] += np.outer(value / unit - theta, direction)
        there = density(moved)
    logs = normal_log_density(theta, expected, spread) + there - lp.ravel()
    logs = logs - math.log(unit)
    return np.where(np.isnan(logs), -np.inf, logs).reshape(lp.shape)


def constrained_model(
    task: Task,
    spec: ModelSpec,
    weights: Mapping[str, float],
    value: float,
    settings: SamplerSettings,
    seed: int,
) -> ConstrainedModel:
    """Fit a model given that a sum of its coefficients has a value.

    Parameters
    ----------
    task : Task
        The data.
    spec : ModelSpec
        A model whose mu and coefficients are fixed or normal without ends.
    weights : mapping of str to float
        What mu and the coefficients are multiplied by; some is free. Or coefficients of
        log tau alone.
    value : float
        Of the sum, on the prior scale.
    settings : SamplerSettings
        The checks.
    seed : int
        Not negative.

    Returns
    -------
    ConstrainedModel
        The posterior density of the sum at the value is its prior density times this
        marginal likelihood, over that of the model itself.

    Notes
    -----
    The coefficients b = a + D^½ u, u ~ N(0, I), lie in a plane: u = u0 + N v with N an
    orthonormal basis of what is orthogonal to D^½ c, and v ~ N(0, I). These v take the
    place of the coefficients, in the same Stan program.
    """
    of_tau = any(task.unknowns[name].enters == "scale" for name in weights)
    columns = {
        row.name: task.column(row.name)
        for row in task.unknowns
        if (row.enters == "scale" if of_tau else row.in_mean)
    }
    free = [name for name in columns if not spec.prior(name).is_spike]
    fixed = {n: spec.prior(n).location for n in columns if n not in free}
    a = np.array([spec.prior(n).values[0] for n in free])
    root = np.array([spec.prior(n).values[1] for n in free])
    c = np.array([weights.get(n, 0.0) for n in free])
    away = value - c @ a - sum(weights.get(n, 0.0) * x for n, x in fixed.items())
    steep = root * c
    length = float(np.linalg.norm(steep))
    u0 = steep * away / length**2
    basis = np.linalg.svd(steep[None])[2][1:].T
    X = np.column_stack([columns[n] for n in free])
    offset = X @ (a + root * u0) + sum(
        (columns[n] * x for n, x in fixed.items()), np.zeros(task.effects.K)
    )
    enters: Enters = "scale" if of_tau else "moderator"
    kept = [col for col in task.columns if col.parameter.enters != enters]
    made = [_column("offset", offset, enters)]
    priors = {"offset": prior("spike", location=1)}
    for j, column in enumerate((X * root @ basis).T):
        made.append(_column(f"free_{j}", column, enters))
        priors[f"free_{j}"] = prior("normal", mean=0, sd=1)
    others = {n: p for n, p in spec.priors if n not in columns}
    own = replace(task, columns=(*kept, *made), moderators=None, scale_moderators=None)
    given = {"mu": ABSENT, **others, **priors}
    ordered = tuple((n, given[n]) for n in own.unknowns.names if n in given)
    model = replace(spec, priors=ordered, alternative=frozenset())
    log_prior = float(normal_log_density(away, 0.0, length))
    if not model.free:
        found = fit_model(own, model, settings, seed)
        return ConstrainedModel(log_prior, found.logml, found.logml_mcse)
    seen = survey(own, model, settings, seed)
    if seen.second.reliable and seen.second.error < _RELIABLE_ERROR:
        factor = _ADAPTED if seen.second.method == "importance" else 1.0
        error = factor * seen.second.error
        return ConstrainedModel(log_prior, seen.second.logml, error)
    found = fit_model(own, model, settings, seed, found=seen)
    return ConstrainedModel(log_prior, found.logml, found.logml_mcse)


def _column(name: str, values: FloatArray, enters: Enters) -> Column:
    component = Component(name, name, name, name)
    unit: Unit = "none" if enters == "scale" else "spread"
    return Column(
        Parameter(name, component, unit, enters, REALS, name, name, name, name), values
    )
