"""Ensembles in the layout of ArviZ, for its plots and statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from pyrobma._validate import is_whole
from pyrobma.ensemble._term_variables import (
    TermVariable,
    mean_variables,
    term_variables,
)
from pyrobma.ensemble._tree_data import (
    Fixed,
    fixed_of,
    log_likelihood,
    predictive,
)
from pyrobma.ensemble._tree_layout import Layout, dataset, library
from pyrobma.ensemble._tree_parameters import (
    averaged_draws,
    numbers,
    own_draws,
    parameters_group,
    sampler,
)
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.mixing import allocate
from pyrobma.ensemble.replicated import Sample
from pyrobma.errors import DataError

if TYPE_CHECKING:
    from xarray import Dataset, DataTree

GROUPS: Final = (
    "posterior", "sample_stats", "log_likelihood", "posterior_predictive", "prior",
    "prior_predictive", "observed_data", "constant_data",
)  # fmt: skip
"""Names that `to_datatree` knows."""

_MADE: Final = frozenset(GROUPS) - {"prior_predictive"}
_OF_MODELS: Final = frozenset({"posterior", "sample_stats", "observed_data"})
_OF_DRAWS: Final = frozenset(GROUPS[:4])
_OF_PRIORS: Final = frozenset({"prior", "prior_predictive"})


def to_datatree(
    ensemble: Ensemble,
    model: int | None = None,
    *,
    n: int = 10_000,
    groups: str | Iterable[str] | None = None,
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
    groups : str or iterable of str, optional
        Which of the groups below to make, of the averaged posterior and of every model.
        None: all but ``prior_predictive``; below ``/models``, where all of them would
        be large, only ``posterior``, ``sample_stats`` and ``observed_data``.

    Returns
    -------
    xarray.DataTree
        Of one model:

        ``posterior``: its free parameters on the prior scale, and ``omega``, the
        weights by interval of p-values; dimensions chain and draw.

        ``sample_stats``: ``lp``, ``diverging``, ``reached_max_treedepth``,
        ``step_size``.

        ``log_likelihood``: ``y``, the log density of each estimate given the others of
        its cluster, along study; if there are clusters, ``cluster``, the log density of
        all estimates of a cluster, or of an independent one, along cluster_name.

        ``posterior_predictive``: ``y``, estimates of studies like these, with true
        effects of their own, as they are published.

        ``prior`` and ``prior_predictive``: the same as of the posterior, from as many
        independent draws of the priors.

        ``observed_data``: the estimates ``y`` on the measure of the likelihood;
        coordinates ``study``, ``cluster``, ``cluster_label``, which is empty for an
        estimate without id. ``constant_data``: their standard errors ``se``.

        A model without free parameters has only the last two. Attributes: its priors,
        probabilities, log marginal likelihood and missed checks.

        With moderators: in ``posterior`` and ``prior`` a variable for each term that
        the model has, as tables show it: the slope of a number; the deviations of the
        levels of a factor along a dimension such as ``measure_level``, with the
        coefficients that were sampled beside them (``measure_coefficients``).
        ``constant_data`` has ``design`` too, the coded columns of the mean, and the
        moderators as they were given, with the mean and standard deviation of their
        coding as attributes.

        Of all models: ``posterior`` holds equally weighted averaged draws of every
        parameter (absent ones are 0, absent weights 1) as one chain, and
        ``sample_stats`` the number of the model that each comes from; so do ``prior``
        and ``sample_stats_prior``. Model 3 is at ``/models/model_3``. With moderators,
        ``marginal_means``, made with ``posterior``, has the mean effects by moderator,
        on the prior scale, for the same draws.

    Raises
    ------
    DataError
        If there is no such model or group, `n` is not positive, or nothing could be
        published in a draw from the priors.
    ImportError
        If xarray is not installed.

    Notes
    -----
    Averaged draws are in random order. They are not a Markov chain: R-hat and
    effective sample sizes mean something for single models only.

    Nothing is thinned. Of K estimates in L clusters, ``log_likelihood`` takes 8 (K + L)
    bytes a draw and a predictive group 8 K.

    ``arviz.loo`` with the variable ``cluster`` leaves clusters out, as ``fit.loo(by=
    "cluster")`` does; with ``y`` it leaves single estimates out, as ``fit.loo()`` does,
    which goes on from thinned draws and is equal up to Monte Carlo error. The sum of
    ``cluster``, not that of ``y``, is the log likelihood. Where clusters of several
    estimates are selected, a posterior without one of them is that of a smaller cluster
    that was published, whose density is not the one by which ``y`` is predicted
    (`pyrobma.ensemble.pointwise.log_densities`): ``fit.loo()`` knows both, and ArviZ
    takes one for the other. Leave clusters out there.

    Where a term has a name that netCDF does not allow, or that something else has, its
    variable has another one, with underscores: ``I(a / b)`` is ``I(a _ b)``. The
    attribute ``long_name`` has the term's own.

    The result can be written with ``to_netcdf(path, engine="h5netcdf")`` and read with
    ``xarray.open_datatree(path, engine="h5netcdf")``.
    """
    from xarray import DataTree

    chosen = _chosen(groups)
    if not is_whole(n, 1):
        raise DataError(f"n: expected a positive number of draws; got {n!r}.")
    terms, fixed = _terms(ensemble), fixed_of(ensemble)
    if model is not None:
        count = len(ensemble.fits)
        if not is_whole(model, 1) or model > count:
            raise DataError(
                f"model: expected the number of a model, 1 to {count}, or None; got "
                f"{model!r}."
            )
        made = chosen or _MADE
        parts = _model_groups(ensemble, int(model), terms, fixed, made)
        return DataTree.from_dict(parts | _constant(fixed, made))
    parts = _averaged_groups(ensemble, n, terms, fixed, chosen or _MADE)
    for number in range(1, len(ensemble.fits) + 1):
        own = _model_groups(ensemble, number, terms, fixed, chosen or _OF_MODELS)
        parts |= {f"/models/model_{number}{name}": one for name, one in own.items()}
    # Once, not by model: every group takes some time to write.
    return DataTree.from_dict(parts | _constant(fixed, chosen or _MADE))


def _constant(fixed: Fixed, chosen: frozenset[str]) -> dict[str, Dataset]:
    return {"/constant_data": fixed.constant} if "constant_data" in chosen else {}


def _chosen(groups: str | Iterable[str] | None) -> frozenset[str] | None:
    if groups is None:
        return None
    found = [groups] if isinstance(groups, str) else [*groups]
    for name in found:
        if name not in GROUPS:
            raise DataError(
                f"groups: expected some of {', '.join(GROUPS)}, or None; got {name!r}."
            )
    return frozenset(found)


def _averaged_groups(
    ensemble: Ensemble,
    n: int,
    terms: Sequence[TermVariable],
    fixed: Fixed,
    chosen: frozenset[str],
) -> dict[str, Dataset]:
    groups = {"/": dataset({}, {}, _ensemble_attributes(ensemble))}
    # In the order of the models they would look like a chain that never mixed.
    order = np.random.default_rng([ensemble.seed, 2]).permutation(n)
    layout = Layout(0, order, (1, n))
    if chosen & _OF_DRAWS:
        sample = Sample.averaged(ensemble, n)
        if "posterior" in chosen:
            draws = averaged_draws(ensemble, sample, layout, terms)
            groups["/posterior"] = parameters_group(
                draws, layout, terms, with_columns=False
            )
            if ensemble.task.moderators is not None:
                means, settings = mean_variables(ensemble.task.moderators, draws.values)
                groups["/marginal_means"] = dataset(
                    means, settings | layout.coords, library()
                )
        if "sample_stats" in chosen:
            groups["/sample_stats"] = numbers(sample, layout)
        groups |= _pointwise_groups(ensemble, sample, layout, fixed, chosen)
    if chosen & _OF_PRIORS:
        counts = allocate(ensemble.prior_prob, n).astype(np.int64).tolist()
        sample = _from_priors(ensemble, dict(enumerate(counts)), layout)
        if "prior" in chosen:
            draws = averaged_draws(ensemble, sample, layout, terms)
            groups["/prior"] = parameters_group(
                draws, layout, terms, with_columns=False
            )
            groups["/sample_stats_prior"] = numbers(sample, layout)
        if "prior_predictive" in chosen:
            groups["/prior_predictive"] = predictive(
                ensemble, sample, layout, fixed, prior=True
            )
    if "observed_data" in chosen:
        groups["/observed_data"] = fixed.observed
    return groups


def _model_groups(
    ensemble: Ensemble,
    number: int,
    terms: Sequence[TermVariable],
    fixed: Fixed,
    chosen: frozenset[str],
) -> dict[str, Dataset]:
    fit = ensemble.fits[number - 1]
    groups = {"/": dataset({}, {}, _model_attributes(ensemble, number))}
    if fit.chains is not None:
        chains, draws = fit.chains.divergent.shape
        layout = Layout(number, np.arange(fit.chains.size), (chains, draws))

        def parameters(sample: Sample) -> Dataset:
            own = own_draws(fit.spec, fit.names, sample, layout, terms)
            return parameters_group(own, layout, terms, with_columns=True)

        if chosen & _OF_DRAWS:
            sample = Sample.of_model(ensemble, number - 1)
            if "posterior" in chosen:
                groups["/posterior"] = parameters(sample)
            if "sample_stats" in chosen:
                groups["/sample_stats"] = sampler(fit.chains, layout)
            groups |= _pointwise_groups(ensemble, sample, layout, fixed, chosen)
        if chosen & _OF_PRIORS:
            counts = {number - 1: fit.chains.size}
            sample = _from_priors(ensemble, counts, layout)
            if "prior" in chosen:
                groups["/prior"] = parameters(sample)
            if "prior_predictive" in chosen:
                groups["/prior_predictive"] = predictive(
                    ensemble, sample, layout, fixed, prior=True
                )
    if "observed_data" in chosen:
        groups["/observed_data"] = fixed.observed
    return groups


def _pointwise_groups(
    ensemble: Ensemble,
    sample: Sample,
    layout: Layout,
    fixed: Fixed,
    chosen: frozenset[str],
) -> dict[str, Dataset]:
    groups = {}
    if "log_likelihood" in chosen:
        groups["/log_likelihood"] = log_likelihood(ensemble, sample, layout, fixed)
    if "posterior_predictive" in chosen:
        groups["/posterior_predictive"] = predictive(
            ensemble, sample, layout, fixed, prior=False
        )
    return groups


def _from_priors(
    ensemble: Ensemble, counts: Mapping[int, int], layout: Layout
) -> Sample:
    rng = np.random.default_rng([ensemble.seed, 4, layout.number])
    return Sample.of_prior(ensemble.task, ensemble.space.models, counts, rng)


def _terms(ensemble: Ensemble) -> tuple[TermVariable, ...]:
    moderators = ensemble.task.moderators
    if moderators is None:
        return ()
    others = {row.name for row in ensemble.unknowns}.difference(moderators.labels)
    return term_variables(moderators, (*others, "p_value"))


def _ensemble_attributes(ensemble: Ensemble) -> dict[str, str | int | float]:
    task = ensemble.task
    return {
        **library(),
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
