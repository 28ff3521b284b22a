"""The unit that a model is fitted in, so that results do not depend on the data's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyrobma.models import ModelSpec, Task


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
        return self.task.unknowns[parameter].factor(self.unit)


def scaled(task: Task, spec: ModelSpec) -> Scaled:
    """Divide data and priors by a typical standard error, if they have no measure."""
    unknowns = task.unknowns
    bound = any(
        p.family == "beta" and unknowns[name].unit != "none" for name, p in spec.priors
    )
    if task.effects.measure != "none" or bound:
        return Scaled(task, spec, 1.0)
    unit = float(np.median(task.effects.se))
    return Scaled(task.in_unit(unit), spec.in_unit(unit, unknowns), unit)
