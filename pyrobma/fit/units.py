"""The unit that a model is fitted in, so that results do not depend on the data's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pyrobma.fit.stan_data import Task
from pyrobma.models import ModelSpec
from pyrobma.priors import PEESE

# Powers of the unit that parameters are measured in.
_POWERS = {"mu": 1, "tau": 1, "PEESE": -1}


@dataclass(frozen=True, slots=True)
class Scaled:
    """A model whose data and priors are divided by a unit.

    Attributes
    ----------
    task : Task
        Estimates and standard errors in the unit.
    spec : ModelSpec
        Priors in the unit.
    unit : float
        Median standard error of raw effects; 1 for measures with a unit of their own
        (d, z, r, log odds ratios), and where a prior has none (a beta).
    """

    task: Task
    spec: ModelSpec
    unit: float

    @property
    def log_constant(self) -> float:
        """What to add to the log marginal likelihood for that of the data given."""
        return float(-len(self.task.effects.y) * np.log(self.unit))

    def factor(self, parameter: str) -> float:
        """Return what a parameter's draws are multiplied by for the data's unit."""
        return float(self.unit ** _POWERS.get(parameter, 0))


def scaled(task: Task, spec: ModelSpec) -> Scaled:
    """Divide data and priors by a typical standard error, if they have no measure."""
    measured = [p for name, p in spec.priors.items() if name in _POWERS]
    if task.effects.measure != "none" or any(p.family == "beta" for p in measured):
        return Scaled(task, spec, 1.0)
    unit = float(np.median(task.effects.se))
    effects = replace(task.effects, y=task.effects.y / unit, se=task.effects.se / unit)
    bias = spec.bias
    if isinstance(bias, PEESE):
        bias = replace(bias, prior=bias.prior.in_unit(1.0 / unit))
    return Scaled(
        replace(task, effects=effects),
        replace(spec, mu=spec.mu.in_unit(unit), tau=spec.tau.in_unit(unit), bias=bias),
        unit,
    )
