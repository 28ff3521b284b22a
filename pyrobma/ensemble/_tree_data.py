"""Groups of a tree along estimates: data, their densities and replicates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pyrobma.ensemble._term_variables import SAMPLE, Variables, constant_data
from pyrobma.ensemble._tree_layout import Layout, dataset, library
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.left_out import unit_names
from pyrobma.ensemble.pointwise import log_densities
from pyrobma.ensemble.replicated import Sample, events, replicates

if TYPE_CHECKING:
    from xarray import Dataset

_ROOM: Final = 1_000_000  # numbers in an array


@dataclass(frozen=True, slots=True)
class Fixed:
    """What is the same in every model: two groups, and names of studies."""

    observed: Dataset
    constant: Dataset
    studies: Any


def fixed_of(ensemble: Ensemble) -> Fixed:
    """Return what is the same in every model.

    Only the estimates are observed: to ArviZ, whatever else stands there would be
    something that has a density and is replicated.
    """
    task = ensemble.task
    frame = task.effects.to_frame()
    about: dict[str, Any] = {
        "study": ("study", frame["study"].to_numpy(dtype=str)),
        "cluster": ("study", frame["cluster"].to_numpy()),
        "cluster_label": (
            "study",
            frame["cluster_label"].fillna("").to_numpy(dtype=str),
        ),
    }
    variables, coords = constant_data(task)
    attributes = dict(library())
    if task.moderators is not None:
        attributes["formula"] = task.moderators.formula
    if task.scale_moderators is not None:
        attributes["scale_formula"] = task.scale_moderators.formula
    counts = task.effects.counts
    observed: Variables = {"y": (("study",), task.effects.y)}
    if counts is not None:
        attributes["baseline"] = str(task.baseline)
        observed = {
            "x1": (("study",), counts.x1, {"long_name": "events in group 1"}),
            "x2": (("study",), counts.x2, {"long_name": "events in group 2"}),
        }
    return Fixed(
        dataset(observed, about, library()),
        dataset(variables, coords | about, attributes),
        frame["study"].to_numpy(dtype=str),
    )


def log_likelihood(
    ensemble: Ensemble, sample: Sample, layout: Layout, fixed: Fixed
) -> Dataset:
    """Return the log densities of estimates and, if there are any, of clusters."""
    effects, joint = ensemble.task.effects, sample.joint
    alone = np.empty((len(joint.model), effects.K))
    together = np.empty((len(joint.model), effects.L))
    step = max(1, _ROOM // effects.K)
    for start in range(0, len(joint.model), step):
        some = slice(start, start + step)
        found = log_densities(ensemble.task, ensemble.fits, joint.part(some))
        alone[some], together[some] = found.given_others.T, found.cluster.T
    about = {"long_name": "log density of an estimate given others of its cluster"}
    name = "y"
    if effects.counts is not None:
        name, about = "events", {"long_name": "log probability of a study's events"}
    variables: Variables = {name: ((*SAMPLE, "study"), layout.shaped(alone), about)}
    coords = layout.coords | {"study": fixed.studies}
    if effects.clustered:
        about = {"long_name": "log density of all estimates of a cluster"}
        values = layout.shaped(together)
        variables["cluster"] = (*SAMPLE, "cluster_name"), values, about
        coords["cluster_name"] = unit_names(effects, "cluster")
    return dataset(variables, coords, library())


def predictive(
    ensemble: Ensemble, sample: Sample, layout: Layout, fixed: Fixed, *, prior: bool
) -> Dataset:
    """Return a replicate of the data for each draw, of the posterior or the prior."""
    seeds = [ensemble.seed, 6 if prior else 5, layout.number]
    rng = np.random.default_rng(seeds)
    if ensemble.task.effects.counts is not None:
        drawn = dict(
            zip(("x1", "x2"), events(ensemble.task, sample.values, rng), strict=True)
        )
    else:
        drawn = {"y": replicates(ensemble.task, ensemble.space.models, sample, rng)}
    variables: Variables = {
        name: ((*SAMPLE, "study"), layout.shaped(values))
        for name, values in drawn.items()
    }
    return dataset(variables, layout.coords | {"study": fixed.studies}, library())
