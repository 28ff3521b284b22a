"""Stage 5: every model without some of the data, from the draws that it has."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from pyrobma._mcmc import MIN_DRAWS_PER_CHAIN, effective_sample_size
from pyrobma._types import BoolArray, FloatArray
from pyrobma.bridge.diagnostics import pareto_k_limit
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.joint import JointDraws
from pyrobma.ensemble.left_out import By, smoothed
from pyrobma.ensemble.pointwise import log_densities
from pyrobma.ensemble.reweighting import Reweighted
from pyrobma.fit import Fit
from pyrobma.models import Task

_ROOM: Final = 40_000_000  # weights of all models and units
_FEWEST: Final = 400
_MOST: Final = 16_000
_MATTERS: Final = 1e-6  # posterior probability


def without(task: Task, kept: BoolArray) -> Task:
    """Return the task of some of the estimates.

    Parameters
    ----------
    task : Task
        All of them.
    kept : array of bool, shape (K,)
        Which stay. Moderators keep their coding, so that priors mean the same.
    """
    return replace(
        task,
        effects=task.effects.kept(kept),
        columns=tuple(replace(c, values=c.values[kept]) for c in task.columns),
        moderators=None,
        scale_moderators=None,
    )


def deleted(ensemble: Ensemble, by: By) -> list[tuple[Reweighted, ...]]:
    """Return all models without each unit of the data.

    Parameters
    ----------
    ensemble : Ensemble
        Its models.
    by : {"estimate", "cluster"}
        What the units are.

    Returns
    -------
    list of tuple of Reweighted
        By model, then by unit.

    Notes
    -----
    With f the density of the data and f' that without the unit, given parameters,

        p(data without it | M) = p(data | M) E[f' / f],

    the mean over the posterior of the model with all data, whose draws weigh f' / f in
    the posterior without the unit. The largest weights are smoothed by a Pareto
    distribution. The error of the log of their mean is sd / (mean √ESS), with the
    effective sample size of the weights themselves, plus the share of the largest in
    their sum.
    """
    task = ensemble.task
    units = task.effects.K if by == "estimate" else task.effects.L
    size = int(np.clip(_ROOM // (units * len(ensemble.fits)), _FEWEST, _MOST))
    known: dict[object, tuple[Reweighted, ...]] = {}
    found = []
    for fit, spec, p in zip(
        ensemble.fits, ensemble.space, ensemble.post_prob, strict=True
    ):
        key = fit.fingerprint and (fit.fingerprint, fit.seed)
        if not key or key not in known:
            short = thinned(fit, size if p > _MATTERS else _FEWEST)
            known[key] = _without_each(task, short, by)
        found.append(tuple(replace(one, spec=spec) for one in known[key]))
    return found


def can_be_trusted(model: Reweighted) -> bool:
    """Whether smoothed weights of a model's draws are good enough."""
    if model.how != "reweighted" or model.fit.chains is None:
        return True
    return bool(model.pareto_k <= pareto_k_limit(model.weights.size))


def thinned(fit: Fit, size: int) -> Fit:
    """Return a fit with about so many of its draws, evenly from every chain."""
    chains = fit.chains
    if chains is None or chains.size <= size:
        return fit
    n_chains, n_draws = chains.draws.shape[:2]
    each = max(size // n_chains, MIN_DRAWS_PER_CHAIN)
    rows = np.linspace(0, n_draws - 1, min(each, n_draws)).round().astype(np.int64)
    omega = None if chains.omega is None else chains.omega[:, rows]
    return replace(
        fit,
        chains=replace(
            chains,
            draws=chains.draws[:, rows],
            divergent=chains.divergent[:, rows],
            deep=chains.deep[:, rows],
            constrained=chains.constrained[:, rows],
            lp=chains.lp[:, rows],
            omega=omega,
        ),
    )


def _without_each(task: Task, fit: Fit, by: By) -> tuple[Reweighted, ...]:
    shape = (1, 1) if fit.chains is None else fit.chains.draws.shape[:2]
    size = shape[0] * shape[1]
    draws = JointDraws(
        np.full(size, 1 / size),
        np.zeros(size, dtype=np.int64),
        np.arange(size),
        {
            name: np.broadcast_to(fit.values(name), shape).ravel()
            for name in task.unknowns.scalars
        },
    )
    densities = log_densities(task, (fit,), draws)
    removal = densities.removal if by == "estimate" else densities.cluster
    exact = np.full(size, fit.chains is None)
    found = smoothed(-removal, exact)
    weights = size * np.exp(found.log_weights).reshape(len(removal), *shape)
    errors = _mean_errors(weights)
    return tuple(
        Reweighted(
            fit,
            fit.spec,
            "reweighted",
            fit.logml + float(found.log_mean[i]),
            ratio_error=float(errors[i]),
            pareto_k=float(found.pareto_k[i]),
            weights=weights[i],
        )
        for i in range(len(removal))
    )


def _mean_errors(weights: FloatArray) -> FloatArray:
    """Return Monte Carlo errors of means, shape (n,), of weights (n, chains, draws)."""
    if weights[0].size == 1:
        return np.zeros(len(weights))
    size = effective_sample_size(weights.transpose(1, 2, 0))
    errors = weights.std(axis=(1, 2), ddof=1) / np.sqrt(size)
    # A draw like the largest may be missing.
    return np.asarray(errors + weights.max(axis=(1, 2)) / weights[0].size)
