"""Stage 5: how probable it is that sums of unknowns are larger than some values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.ensemble.conditionals import conjugate, log_sides_of
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.joint import FitDraws
from pyrobma.ensemble.mixing import Mixture
from pyrobma.ensemble.prior_sums import PRIOR_DRAWS, Sides, prior_sides
from pyrobma.ensemble.quantities import Quantity, fixed_at
from pyrobma.priors.density import random


@dataclass(frozen=True, slots=True)
class OrderEvidence:
    """Evidence that sums are larger than some values.

    Attributes
    ----------
    prior, post : float
        Probability before and after the data.
    post_mcse : float
        Monte Carlo standard error of `post`.
    log_bf, log_bf_mcse : float
        Natural log of the posterior odds over the prior odds, and its error; infinite
        and NaN where all draws are on one side.
    """

    prior: float
    post: float
    post_mcse: float
    log_bf: float
    log_bf_mcse: float


def direction_evidence(
    ensemble: Ensemble, quantity: Quantity, value: float, given: BoolArray
) -> OrderEvidence:
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
    OrderEvidence

    Notes
    -----
    In models without selection the probability is an integral over tau, rho, PET and
    PEESE (`log_sides_of`), so that it has an error also where no draw is on one side;
    in others it is the share of draws.
    """
    in_mean = all(ensemble.unknowns[name].in_mean for name, _ in quantity.weights)
    posts = ensemble.posterior_given(given)
    above, below, error = [], [], 0.0
    for fit, share in zip(ensemble.fits, posts, strict=True):
        known = None
        free = share > 0 and math.isnan(fixed_at(quantity, fit.spec))
        if in_mean and free and conjugate(ensemble.task, fit.spec):
            known = log_sides_of(ensemble.task, fit, quantity, value)
        if known is None:
            larger = (quantity.value(FitDraws(fit)) > value).astype(float)
            above.append(larger)
            below.append(1.0 - larger)
        else:
            above.append(np.array([[math.exp(known[0].log)]]))
            below.append(np.array([[math.exp(known[1].log)]]))
            error = max(error, *(side.error for side in known))
    chances = ensemble.prior_given(given)
    prior = _averaged(
        (chance, prior_sides(quantity, spec, value, ensemble.seed))
        for chance, spec in zip(chances, ensemble.space, strict=True)
        if chance > 0
    )
    return _odds(ensemble, posts, above, below, prior, error)


def order_evidence(
    ensemble: Ensemble,
    quantities: Sequence[Quantity],
    values: Sequence[float],
    given: BoolArray,
) -> OrderEvidence:
    """Return how probable it is that several sums are all larger than their values.

    Parameters and return value are as those of `direction_evidence`; posterior draws
    count as 0 or 1, and the prior probability is that of 100000 draws of each model.
    """
    rng = np.random.default_rng([ensemble.seed, 5])
    used = {name for q in quantities for name, _ in q.weights}
    names = [name for name in ensemble.unknowns.names if name in used]
    pairs = list(zip(quantities, values, strict=True))
    above, prior = [], []
    for fit, chance in zip(ensemble.fits, ensemble.prior_given(given), strict=True):
        found = [quantity.value(FitDraws(fit)) > value for quantity, value in pairs]
        above.append(np.logical_and.reduce(np.broadcast_arrays(*found)).astype(float))
        if chance > 0:
            some = {n: random(fit.spec.prior(n), PRIOR_DRAWS, rng) for n in names}
            true = [quantity.value(some) > value for quantity, value in pairs]
            share = float(np.logical_and.reduce(true).mean())
            rest = 1.0 - share
            prior.append(
                (float(chance), Sides(share, rest, share * rest / PRIOR_DRAWS))
            )
    posts = ensemble.posterior_given(given)
    below = [1.0 - some for some in above]
    return _odds(ensemble, posts, above, below, _averaged(prior))


def _averaged(parts: Iterable[tuple[float, Sides]]) -> Sides:
    parts = list(parts)
    return Sides(
        sum(share * one.above for share, one in parts),
        sum(share * one.below for share, one in parts),
        sum(share**2 * one.variance for share, one in parts),
    )


def _odds(
    ensemble: Ensemble,
    posts: FloatArray,
    above: Sequence[FloatArray],
    below: Sequence[FloatArray],
    prior: Sides,
    quadrature_error: float = 0.0,
) -> OrderEvidence:
    sides = [Mixture(posts, tuple(s), ensemble.logml_errors) for s in (above, below)]
    up, down = (side.mean() for side in sides)
    # The smaller one keeps its digits.
    mcse = (sides[0] if up < down else sides[1]).mcse()
    mcse = math.hypot(mcse, quadrature_error * up * down)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_bf = np.log(up) - np.log(down) - np.log(prior.above) + np.log(prior.below)
        error = np.hypot(
            np.divide(mcse, up * down),
            np.divide(math.sqrt(prior.variance), prior.above * prior.below),
        )
    return OrderEvidence(prior.above, up, mcse, float(log_bf), float(error))
