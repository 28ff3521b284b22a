"""Stage 3: models that the user made, held to the data."""

from __future__ import annotations

from collections.abc import Iterable

from pyrobma.errors import PriorError
from pyrobma.models.space import ModelSpace
from pyrobma.models.spec import ModelSpec, legal
from pyrobma.models.task import Task


def given_models(models: ModelSpace | Iterable[ModelSpec], task: Task) -> ModelSpace:
    """Return models as a space, with priors inside what is legal for the data.

    Parameters
    ----------
    models : ModelSpace or iterable of ModelSpec
        At least one.
    task : Task
        The data.

    Returns
    -------
    ModelSpace

    Raises
    ------
    PriorError
        If there is none, something else is among them, or one has unknowns that the
        data have not.

    Warns
    -----
    PriorWarning
        If a prior is truncated.
    """
    space = ModelSpace(models)  # type: ignore[arg-type]
    if not len(space):
        raise PriorError("models: expected at least one model; got none.")
    legal_models = []
    for number, spec in enumerate(space, start=1):
        if spec.has("rho") and not task.effects.clustered:
            raise PriorError(
                f"models: expected unknowns that the data have; model {number} "
                f"({spec}) has rho, but no study id is shared."
            )
        refuse_bias_of_counts(task, spec)
        where = f"models: model {number}"
        legal_models.append(legal(spec, task.unknowns, task.prior_scale, where))
    return ModelSpace(tuple(legal_models))


def refuse_bias_of_counts(task: Task, spec: ModelSpec) -> None:
    """Raise PriorError if a model of counts has publication bias."""
    if task.effects.counts is None:
        return
    if spec.selection is not None or any(
        row.se_power and spec.has(row.name) for row in task.unknowns
    ):
        raise PriorError(
            f"models: expected models without publication bias for counts; got {spec}. "
            "Selection and small-study effects are defined for estimates: give log "
            "odds ratios with standard errors to model them."
        )
