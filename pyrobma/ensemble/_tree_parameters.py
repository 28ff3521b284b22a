"""Groups of a tree that have parameters and what the sampler says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.ensemble._term_variables import SAMPLE, TermVariable, Variables
from pyrobma.ensemble._tree_layout import Layout, dataset, library
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.replicated import Sample
from pyrobma.fit import Chains
from pyrobma.models import ModelSpec
from pyrobma.priors import on_grid

if TYPE_CHECKING:
    from xarray import Dataset

_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Draws:
    """Draws by variable, of shape (chains, draws), and weights with their intervals."""

    values: Mapping[str, FloatArray]
    omega: FloatArray | None
    intervals: tuple[tuple[float, float], ...]


def averaged_draws(
    ensemble: Ensemble,
    sample: Sample,
    layout: Layout,
    terms: Sequence[TermVariable],
) -> Draws:
    """Return draws of all parameters of an ensemble; absent ones are 0, weights 1."""
    # An ensemble of models of one's own may leave a term out altogether.
    names = [name for name in ensemble.parameters if not name.startswith("omega[")]
    names += [n for term in terms for n in term.labels if n not in names]
    values = {name: layout.shaped(sample.values[name]) for name in names}
    grid = ensemble.p_values
    if grid is None:
        return Draws(values, None, ())
    omega = np.ones((len(sample.model), len(grid.intervals)))
    for k, own in sample.omega.items():
        selection = ensemble.space.models[k].selection
        assert selection is not None
        omega[sample.model == k] = on_grid(own, selection, grid)
    return Draws(values, layout.shaped(omega), grid.intervals)


def own_draws(
    spec: ModelSpec,
    names: Sequence[str],
    sample: Sample,
    layout: Layout,
    terms: Sequence[TermVariable],
) -> Draws:
    """Return draws of the free parameters of a model."""
    kept = [
        *names,
        # What a term is needs all of its coefficients, fixed ones too.
        *(n for t in terms if set(t.labels).intersection(names) for n in t.labels),
    ]
    values = {n: layout.shaped(sample.values[n]) for n in dict.fromkeys(kept)}
    selection = spec.selection
    if selection is None or selection.is_fixed:
        return Draws(values, None, ())
    omega = next(iter(sample.omega.values()))
    return Draws(values, layout.shaped(omega), selection.intervals)


def parameters_group(
    draws: Draws,
    layout: Layout,
    terms: Sequence[TermVariable],
    *,
    with_columns: bool,
) -> Dataset:
    """Return a group of parameters, terms and weights.

    Parameters
    ----------
    draws : Draws
    layout : Layout
    terms : sequence of TermVariable
        Those whose coefficients are among the draws are there.
    with_columns : bool
        As in `TermVariable.variables`.
    """
    labels = {label for term in terms for label in term.labels}
    variables: Variables = {
        name: (SAMPLE, values)
        for name, values in draws.values.items()
        if name not in labels
    }
    coords = layout.coords
    for term in terms:
        if draws.values.keys() & set(term.labels):
            own, levels = term.variables(draws.values, with_columns=with_columns)
            variables |= own
            coords |= levels
    if draws.omega is not None:
        variables["omega"] = (*SAMPLE, "p_value"), _exactly_one(draws.omega)
        coords["p_value"] = _labels(draws.intervals)
    return dataset(variables, coords, library())


def numbers(sample: Sample, layout: Layout) -> Dataset:
    """Return the number of the model that each averaged draw is from."""
    number = sample.model[layout.order].reshape(layout.size) + 1
    stats: Variables = {"model": (SAMPLE, number)}
    return dataset(stats, layout.coords, library())


def sampler(chains: Chains, layout: Layout) -> Dataset:
    """Return what the sampler says of every draw."""
    step = np.repeat(chains.step_size[:, None], layout.size[1], axis=1)
    stats: Variables = {
        "lp": (SAMPLE, chains.lp),
        "diverging": (SAMPLE, chains.divergent),
        "reached_max_treedepth": (SAMPLE, chains.deep),
        "step_size": (SAMPLE, step),
    }
    return dataset(stats, layout.coords, library())


def _exactly_one(omega: FloatArray) -> FloatArray:
    # The first weight is a sum that rounds; densities of the rounding cannot be drawn.
    return np.where(np.abs(omega - 1.0) < _ROUNDING, 1.0, omega)


def _labels(intervals: tuple[tuple[float, float], ...]) -> list[str]:
    # ArviZ prints omega[0,0.025] then, the name that the summaries use.
    return [f"{low:g},{high:g}" for low, high in intervals]
