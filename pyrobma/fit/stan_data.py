"""From effect sizes and a model to the data of a Stan program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from pyrobma.effects import EffectSizes, Measure
from pyrobma.models import ModelSpec
from pyrobma.priors import FAMILIES, Prior, prior

EffectMapping: TypeAlias = Literal["linear", "exact"]

MEASURE_CODES: dict[Measure, int] = {
    "none": 0,
    "cohens_d": 1,
    "fishers_z": 2,
    "r": 3,
    "logOR": 4,
}
"""The numbers of ``stan/functions/measures.stanfunctions``."""

_NO_BIAS = prior("spike", location=0)


@dataclass(frozen=True, slots=True)
class Task:
    """What is fitted: the data, and how parameters are mapped to their measure.

    Attributes
    ----------
    effects : EffectSizes
        Estimates on the measure of the likelihood.
    prior_scale : str
        Measure of mu and tau.
    effect_mapping : {"linear", "exact"}
        How mu is carried from the prior scale to the measure of the likelihood.
    """

    effects: EffectSizes
    prior_scale: Measure
    effect_mapping: EffectMapping = "linear"

    @property
    def program(self) -> str:
        """Name of the Stan program with this likelihood."""
        return "normal"


def stan_data(task: Task, spec: ModelSpec) -> dict[str, object]:
    """Return the data block of the Stan program for one model.

    Parameters
    ----------
    task : Task
        The estimates and the mapping.
    spec : ModelSpec
        The priors.

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
        "effect_direction": 1,
        "prior_only": 0,
    }
    priors = {**spec.priors, "PET": _NO_BIAS, "PEESE": _NO_BIAS}
    for name, chosen in priors.items():
        data |= _prior_data(name, chosen)
    return data


def _prior_data(name: str, chosen: Prior) -> dict[str, object]:
    lower, upper = chosen.lower, chosen.upper
    if chosen.is_spike:
        # The program declares legal ends even for a parameter that is not there.
        lower, upper = {"tau": (0.0, np.inf), "rho": (0.0, 1.0)}.get(
            name, (-np.inf, np.inf)
        )
    return {
        f"{name}_family": FAMILIES[chosen.family].code,
        f"{name}_par": [*chosen.values, 0.0, 0.0, 0.0][:3],
        f"{name}_lower": lower,
        f"{name}_upper": upper,
    }
