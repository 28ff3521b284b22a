"""Ensembles in the layout of ArviZ, for its plots and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from pyrobma._types import FloatArray
from pyrobma._validate import is_whole
from pyrobma.ensemble._term_variables import (
    SAMPLE,
    TermVariable,
    Variables,
    constant_data,
    mean_variables,
    term_variables,
)
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.mixing import allocate
from pyrobma.errors import DataError
from pyrobma.fit import Fit

if TYPE_CHECKING:
    from xarray import Dataset, DataTree

_ROUNDING = 1e-12


def to_datatree(
    ensemble: Ensemble, model: int | None = None, *, n: int = 10_000
) -> DataTree:
    """Return the draws in the layout that ArviZ reads.

    Parameters
    ----------
    ensemble : Ensemble
        Fitted models.
    model : int, optional
        Number of one model, from 1, as in the summaries. None: the averaged posterior
        and, below ``/models``, every model.
    n : int
        Number of averaged draws, positive.

    Returns
    -------
    xarray.DataTree
        Of one model: groups ``posterior`` (its free parameters on the prior scale,
        and ``omega``, the weights by interval of p-values; dimensions chain and draw),
        ``sample_stats`` (``lp``, ``diverging``, ``reached_max_treedepth``,
        ``step_size``) and ``observed_data`` (``y`` and ``se`` on the measure of the
        likelihood; coordinates ``study``, ``cluster``, ``cluster_label``, which is
        empty for an estimate without id). A model without free parameters has only
        the last. Attributes: its priors, probabilities, log marginal likelihood and
        missed checks.

        With moderators: in ``posterior`` a variable for each term that the model has,
        as tables show it: the slope of a number; the deviations of the levels of a
        factor along a dimension such as ``measure_level``, with the coefficients that
        were sampled beside them (``measure_coefficients``). ``constant_data`` has
        ``design``, the coded columns of the mean, and the moderators as they were
        given, with the mean and standard deviation of their coding as attributes.

        Of all models: ``posterior`` holds equally weighted averaged draws of every
        parameter (absent ones are 0, absent weights 1) as one chain, and
        ``sample_stats`` the number of the model that each comes from; model 3 is at
        ``/models/model_3``. With moderators, ``marginal_means`` has the mean effects
        by moderator, on the prior scale, for the same draws.

    Raises
    ------
    DataError
        If there is no such model, or `n` is not positive.
    ImportError
        If xarray is not installed.

    Notes
    -----
    Averaged draws are in random order. They are not a Markov chain: R-hat and
    effective sample sizes mean something for single models only.

    Where a term has a name that netCDF does not allow, or that something else has, its
    variable has another one, with underscores: ``I(a / b)`` is ``I(a _ b)``. The
    attribute ``long_name`` has the term's own.

    The result can be written with ``to_netcdf(path, engine="h5netcdf")`` and read with
    ``xarray.open_datatree(path, engine="h5netcdf")``.
    """
    from xarray import DataTree

    if model is not None:
        count = len(ensemble.fits)
        if not is_whole(model, 1) or model > count:
            raise DataError(
                f"model: expected the number of a model, 1 to {count}, or None; got "
                f"{model!r}."
            )
        own = _model_groups(ensemble, int(model), _terms(ensemble), _observed(ensemble))
        return DataTree.from_dict(own | _constant(ensemble))
    terms = _terms(ensemble)
    groups = _averaged_groups(ensemble, n, terms)
    observed = groups["/observed_data"]
    for number in range(1, len(ensemble.fits) + 1):
        for group, dataset in _model_groups(ensemble, number, terms, observed).items():
            groups[f"/models/model_{number}{group}"] = dataset
    # Once, not by model: every group takes some time to write.
    return DataTree.from_dict(groups | _constant(ensemble))


def _averaged_groups(
    ensemble: Ensemble, n: int, terms: Sequence[TermVariable]
) -> dict[str, Dataset]:
    # In the order of the models they would look like a chain that never mixed.
    order = np.random.default_rng([ensemble.seed, 2]).permutation(n)
    draws = {
        name: ensemble.draws(name, n=n)[None, order] for name in _parameters(ensemble)
    }
    labels = {label for term in terms for label in term.labels}
    posterior: Variables = {
        name: (SAMPLE, values) for name, values in draws.items() if name not in labels
    }
    coords = _sample_coords(1, n)
    # An ensemble of models of one's own may leave a term out altogether.
    draws = {label: np.zeros((1, n)) for label in labels} | draws
    for term in terms:
        variables, levels = term.variables(draws, with_columns=False)
        posterior |= variables
        coords |= levels
    if ensemble.p_values is not None:
        posterior["omega"] = (
            (*SAMPLE, "p_value"),
            _exactly_one(ensemble.draws("omega", n=n)[None, order]),
        )
        coords["p_value"] = _labels(ensemble.p_values.intervals)
    shares = allocate(ensemble.post_prob, n).astype(np.int64)
    number = np.repeat(np.arange(1, len(shares) + 1), shares)
    stats: Variables = {"model": (SAMPLE, number[None, order])}
    groups = {
        "/": _dataset({}, {}, _ensemble_attributes(ensemble)),
        "/posterior": _dataset(posterior, coords, _library()),
        "/sample_stats": _dataset(stats, _sample_coords(1, n), _library()),
        "/observed_data": _observed(ensemble),
    }
    if ensemble.task.moderators is not None:
        means, settings = mean_variables(ensemble.task.moderators, draws)
        settings |= _sample_coords(1, n)
        groups["/marginal_means"] = _dataset(means, settings, _library())
    return groups


def _model_groups(
    ensemble: Ensemble,
    number: int,
    terms: Sequence[TermVariable],
    observed: Dataset,
) -> dict[str, Dataset]:
    fit = ensemble.fits[number - 1]
    groups = {"/": _dataset({}, {}, _model_attributes(ensemble, number))}
    chains = fit.chains
    if chains is not None:
        size = chains.divergent.shape
        stats: Variables = {
            "lp": (SAMPLE, chains.lp),
            "diverging": (SAMPLE, chains.divergent),
            "reached_max_treedepth": (SAMPLE, chains.deep),
            "step_size": (
                SAMPLE,
                np.repeat(chains.step_size[:, None], size[1], axis=1),
            ),
        }
        groups["/posterior"] = _posterior(fit, terms)
        groups["/sample_stats"] = _dataset(stats, _sample_coords(*size), _library())
    groups["/observed_data"] = observed
    return groups


def _posterior(fit: Fit, terms: Sequence[TermVariable]) -> Dataset:
    assert fit.chains is not None
    size = fit.chains.divergent.shape
    labels = {label for term in terms for label in term.labels}
    variables: Variables = {
        name: (SAMPLE, fit.draws(name)) for name in fit.names if name not in labels
    }
    coords = _sample_coords(*size)
    for term in terms:
        if set(term.labels).intersection(fit.names):
            draws = {
                label: np.broadcast_to(fit.values(label), size) for label in term.labels
            }
            own, levels = term.variables(draws, with_columns=True)
            variables |= own
            coords |= levels
    selection = fit.spec.selection
    if selection is not None and not selection.is_fixed:
        variables["omega"] = (*SAMPLE, "p_value"), _exactly_one(fit.draws("omega"))
        coords["p_value"] = _labels(selection.intervals)
    return _dataset(variables, coords, _library())


def _terms(ensemble: Ensemble) -> tuple[TermVariable, ...]:
    moderators = ensemble.task.moderators
    if moderators is None:
        return ()
    others = {row.name for row in ensemble.unknowns}.difference(moderators.labels)
    return term_variables(moderators, (*others, "p_value"))


def _constant(ensemble: Ensemble) -> dict[str, Dataset]:
    """Return the group of moderators, if there are any."""
    task = ensemble.task
    if not task.columns:
        return {}
    variables, coords = constant_data(task)
    coords |= {str(n): values for n, values in _observed(ensemble).coords.items()}
    attributes = dict(_library())
    if task.moderators is not None:
        attributes["formula"] = task.moderators.formula
    if task.scale_moderators is not None:
        attributes["scale_formula"] = task.scale_moderators.formula
    return {"/constant_data": _dataset(variables, coords, attributes)}


def _observed(ensemble: Ensemble) -> Dataset:
    frame = ensemble.task.effects.to_frame()
    coords = {
        "study": ("study", frame["study"].to_numpy(dtype=str)),
        "cluster": ("study", frame["cluster"].to_numpy()),
        "cluster_label": (
            "study",
            frame["cluster_label"].fillna("").to_numpy(dtype=str),
        ),
    }
    variables: Variables = {
        name: (("study",), frame[name].to_numpy()) for name in ("y", "se")
    }
    return _dataset(variables, coords, _library())


def _ensemble_attributes(ensemble: Ensemble) -> dict[str, str | int | float]:
    task = ensemble.task
    return {
        **_library(),
        "prior_scale": task.prior_scale,
        "measure": task.effects.measure,
        "effect_mapping": task.effect_mapping,
        "effect_direction": task.effect_direction,
        # Text, because a seed may be larger than the integers of a file.
        "seed": str(ensemble.seed),
    }


def _model_attributes(ensemble: Ensemble, number: int) -> dict[str, str | int | float]:
    fit = ensemble.fits[number - 1]
    return {
        **_ensemble_attributes(ensemble),
        "model": number,
        "priors": str(fit.spec),
        "alternative": ", ".join(sorted(fit.spec.alternative)),
        "logml": float(fit.logml),
        "logml_mcse": float(fit.logml_mcse),
        "prior_prob": float(ensemble.prior_prob[number - 1]),
        "post_prob": float(ensemble.post_prob[number - 1]),
        "missed_checks": "; ".join(fit.reasons),
        "sampler": fit.sampler,
        **(
            {}
            if fit.second is None
            else {
                "second_logml": float(fit.second.logml),
                "second_logml_error": float(fit.second.error),
                "second_method": fit.second.method,
            }
        ),
    }


def _parameters(ensemble: Ensemble) -> list[str]:
    return [name for name in ensemble.parameters if not name.startswith("omega[")]


def _exactly_one(omega: FloatArray) -> FloatArray:
    # The first weight is a sum that rounds; densities of the rounding cannot be drawn.
    return np.where(np.abs(omega - 1.0) < _ROUNDING, 1.0, omega)


def _labels(intervals: tuple[tuple[float, float], ...]) -> list[str]:
    # ArviZ prints omega[0,0.025] then, the name that the summaries use.
    return [f"{low:g},{high:g}" for low, high in intervals]


def _sample_coords(chains: int, draws: int) -> dict[str, Any]:
    return {"chain": np.arange(chains), "draw": np.arange(draws)}


@cache  # the version is read from a file
def _library() -> dict[str, str | int | float]:
    return {
        "inference_library": "pyrobma",
        "inference_library_version": version("pyrobma"),
    }


def _dataset(
    variables: Variables,
    coords: dict[str, Any],
    attributes: dict[str, str | int | float],
) -> Dataset:
    from xarray import Dataset

    return Dataset(variables, coords, attributes)
