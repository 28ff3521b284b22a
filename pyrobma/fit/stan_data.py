"""From effect sizes and a model to the data of a Stan program."""

from __future__ import annotations

import numpy as np

from pyrobma._types import FloatArray, IntArray
from pyrobma.effects import Measure
from pyrobma.effects.cutoffs import critical_values
from pyrobma.errors import PriorError
from pyrobma.fit.quadrature import Rule
from pyrobma.models import ModelSpec, Task
from pyrobma.priors import FAMILIES, Prior, WeightFunction

MEASURE_CODES: dict[Measure, int] = {
    "none": 0,
    "cohens_d": 1,
    "fishers_z": 2,
    "r": 3,
    "logOR": 4,
}
"""The numbers of ``stan/functions/measures.stanfunctions``."""

ON_CUT = 1e-8
"""Standard errors within which an estimate is on a critical value, whatever rounding
has done to either: it counts as significant there, as in the Stan program."""

_LEGAL = {"tau": (0.0, np.inf), "rho": (0.0, 1.0)}


def program(spec: ModelSpec) -> str:
    """Return the name of the Stan program with the likelihood of a model."""
    return "selection" if spec.selection is not None else "normal"


def needs_quadrature(task: Task, spec: ModelSpec) -> bool:
    """Whether the likelihood of a model integrates over clusters' common factors."""
    rho = spec.prior("rho")
    dependent = not rho.is_spike or rho.location > 0
    return program(spec) == "selection" and task.effects.clustered and dependent


def refuse_impossible(task: Task, spec: ModelSpec) -> None:
    """Raise PriorError if an estimate has a fixed weight of 0."""
    weights = spec.selection
    if weights is None or weights.omega is None:
        return
    statistic = task.direction * task.effects.y
    if weights.sides == 2:
        statistic = np.abs(statistic)
    cut = critical_values(task.effects, weights.steps, weights.sides)[:, ::-1]
    margin = ON_CUT * task.effects.se[:, None]
    interval = (statistic[:, None] < cut - margin).sum(axis=1)
    for row, j in enumerate(interval):
        if weights.omega[j] == 0:
            lo, hi = weights.intervals[j]
            raise PriorError(
                f"omega: expected a positive weight for every interval that holds an "
                f"estimate; got 0 for p-values from {lo:g} to {hi:g} in {weights}, "
                f'where row {row} ("{task.effects.names[row]}") is. Give it a small '
                "positive weight."
            )


def stan_data(
    task: Task, spec: ModelSpec, rule: Rule | None = None
) -> dict[str, object]:
    """Return the data block of the Stan program for one model.

    Parameters
    ----------
    task : Task
        The estimates and the mapping.
    spec : ModelSpec
        The priors.
    rule : Rule, optional
        Quadrature of the common factor, if the model needs one.

    Returns
    -------
    dict
        As described in ``stan/README.md``; estimates sorted by cluster.
    """
    effects = task.effects
    order = np.argsort(effects.cluster, kind="stable")
    size = np.bincount(effects.cluster)
    data: dict[str, object] = {
        "K": len(effects.y),
        "y": effects.y[order].tolist(),
        "se": effects.se[order].tolist(),
        "L": len(size),
        "cluster_start": (np.cumsum(size) - size + 1).tolist(),
        "cluster_size": size.tolist(),
        "data_measure": MEASURE_CODES[effects.measure],
        "prior_measure": MEASURE_CODES[task.prior_scale],
        "exact_mapping": int(task.effect_mapping == "exact"),
        "effect_direction": task.direction,
        "prior_only": 0,
    }
    for name in ("mu", "tau", "rho", "PET", "PEESE"):
        data |= _prior_data(name, spec.prior(name))
    if spec.selection is not None:
        data |= _selection_data(task, spec.selection, order)
        data |= _quadrature_data(rule)
    return data


def _prior_data(name: str, chosen: Prior) -> dict[str, object]:
    lower, upper = chosen.lower, chosen.upper
    if chosen.is_spike:
        # The program declares legal ends even for a parameter that is not there.
        lower, upper = _LEGAL.get(name, (-np.inf, np.inf))
    return {
        f"{name}_family": FAMILIES[chosen.family].code,
        f"{name}_par": [*chosen.values, 0.0, 0.0, 0.0][:3],
        f"{name}_lower": lower,
        f"{name}_upper": upper,
    }


def _selection_data(
    task: Task, weights: WeightFunction, order: IntArray
) -> dict[str, object]:
    # The program numbers p-value intervals from the most significant one.
    cut: FloatArray = critical_values(task.effects, weights.steps, weights.sides)
    alpha1 = weights.alpha or weights.alpha1 or ()
    return {
        "J": len(weights.steps) + 1,
        "sides": weights.sides,
        "cut": cut[order][:, ::-1].tolist(),
        "omega_family": 0 if weights.is_fixed else 1 if weights.alpha else 2,
        "omega_fixed": list(weights.omega or ()),
        "J1": len(alpha1),
        "alpha1": list(alpha1),
        "alpha2": list(weights.alpha2 or ()),
    }


def _quadrature_data(rule: Rule | None) -> dict[str, object]:
    nodes = np.zeros(1) if rule is None else rule.nodes
    log_weights = np.zeros(1) if rule is None else rule.log_weights
    return {
        "Q": len(nodes),
        "node": nodes.tolist(),
        "log_weight": log_weights.tolist(),
    }
