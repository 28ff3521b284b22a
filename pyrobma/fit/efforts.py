"""Stage 4: which models deserve how many draws, by what they add to the evidence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyrobma.fit.model import Effort, Fit, Survey
from pyrobma.fit.settings import SamplerSettings
from pyrobma.models import ModelSpace

NEGLIGIBLE = 1e-6
"""Posterior probability below which a model stays rough: its chains are not run."""

FULL_SHARE = 0.25
"""Share of a hypothesis's evidence from which a model gets all draws and has to reach
the error asked for; the others in proportion to what they add to errors."""

_SURE = 5.0  # errors of a survey that have to speak against a model
_FEWEST_DRAWS = 300
_SMALLEST_PART = 0.1


def survey_evidence(
    firm: Mapping[int, Fit], surveyed: Mapping[int, Survey | Fit]
) -> dict[int, float]:
    """Return log marginal likelihoods as they are before any chain is run.

    Not those of fits that have a second estimate: a run that goes on from them has to
    decide as one that starts.
    """
    known = {i: fit.logml for i, fit in firm.items()}
    return known | {
        i: one.second.logml for i, one in surveyed.items() if one.second is not None
    }


def hopeless_models(
    firm: Mapping[int, Fit], surveyed: Mapping[int, Survey | Fit], space: ModelSpace
) -> set[int]:
    """Return the models that cannot matter, at the upper ends of their estimates.

    Those whose survey cannot stand alone are not counted on, and not given up.
    """
    low = {i: fit.logml for i, fit in firm.items()}
    high: dict[int, float] = {}
    for i, found in surveyed.items():
        second = found.second
        if second is not None and second.reliable:
            low[i] = second.logml - _SURE * second.error
            high[i] = second.logml + _SURE * second.error
    weight = _log_prior(space)
    total = np.logaddexp.reduce([low[i] + weight[i] for i in low] or [-np.inf])
    return {i for i in high if high[i] + weight[i] - total < np.log(NEGLIGIBLE)}


def _log_prior(space: ModelSpace) -> dict[int, float]:
    """Return the log prior probability of each distinct model."""
    weight = dict.fromkeys(space.first, -np.inf)
    for p, i in zip(space.log_prior_prob, space.first, strict=True):
        weight[i] = float(np.logaddexp(weight[i], p))
    return weight


def model_shares(logml: dict[int, float], space: ModelSpace) -> dict[int, float]:
    """Return each model's largest share of the evidence for any hypothesis.

    The relative error of that evidence, a side of a Bayes factor, is the sum of its
    models' errors weighted by their shares. Models that are not in `logml` count as
    having no evidence.
    """
    first = space.first
    evidence = space.log_prior_prob + [logml.get(i, -np.inf) for i in first]
    sides = [np.ones(len(first), dtype=bool)]
    for component in sorted(set().union(*(m.alternative for m in space.models))):
        side = np.array([component in model.alternative for model in space.models])
        sides += [side, ~side]
    shares = dict.fromkeys(logml, 0.0)
    for side in sides:
        total = np.logaddexp.reduce(evidence[side]) if side.any() else -np.inf
        if total == -np.inf:
            continue
        own = dict.fromkeys(logml, 0.0)  # models with one posterior err together
        for k in np.flatnonzero(side):
            if first[k] in own:
                own[first[k]] += float(np.exp(evidence[k] - total))
        shares = {i: max(share, own[i]) for i, share in shares.items()}
    return shares


def model_efforts(
    logml: dict[int, float],
    space: ModelSpace,
    settings: SamplerSettings,
    *,
    few: bool = False,
) -> dict[int, Effort]:
    """Return what is to be done for each model whose evidence is known, roughly.

    The sum over the models of a hypothesis of (share times error)^2 is then about
    ``max_mcse`` squared, or less. `few` says that the first draws go by share too.
    """
    most = settings.draws or 0
    efforts = {}
    for i, share in model_shares(logml, space).items():
        part = min(1.0, np.sqrt(share / FULL_SHARE))
        efforts[i] = Effort(
            max(int(most * part), min(_FEWEST_DRAWS, most)) if few else most,
            settings.max_mcse / max(part, _SMALLEST_PART),
        )
    return efforts
