"""Stage 6: the four summaries of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.quantiles import check_probs
from pyrobma.errors import DataError
from pyrobma.summary.checks import ensemble_warnings
from pyrobma.summary.diagnostics import diagnostics_table
from pyrobma.summary.estimates import estimates_table
from pyrobma.summary.evidence import (
    bias_table,
    components_table,
    scale_terms_table,
    terms_table,
)
from pyrobma.summary.heading import heading
from pyrobma.summary.individual import individual_tables
from pyrobma.summary.models import models_table
from pyrobma.summary.moderators import coefficients_table
from pyrobma.summary.scale import scale_coefficients_table
from pyrobma.summary.table import Summary, Table

SummaryType: TypeAlias = Literal["ensemble", "models", "diagnostics", "individual"]


def summarise(
    ensemble: Ensemble,
    type: str = "ensemble",
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
    log_bf: bool = False,
    bf01: bool = False,
    bias_components: bool = False,
    standardized: bool = True,
) -> Summary:
    """Tabulate an ensemble.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    type : {"ensemble", "models", "diagnostics", "individual"}
        ``"ensemble"``: evidence for each component and model-averaged estimates.
        ``"models"``: priors, marginal likelihood and probability of each model.
        ``"diagnostics"``: convergence and Monte Carlo errors of each model.
        ``"individual"``: every model on its own. The first letter is enough.
    conditional : bool
        Add estimates averaged over the models with the component only ("ensemble").
    output_scale : str, optional
        Measure of the estimates, as in `Ensemble.mixture`. None: the prior scale.
    probs : sequence of float
        Quantiles to show, in [0, 1].
    log_bf, bf01 : bool
        Show natural logs of Bayes factors; show evidence for the absence.
    bias_components : bool
        Add the evidence for each kind of publication bias ("ensemble").
    standardized : bool
        Show coefficients of numeric moderators per standard deviation and the
        intercept at their means; else per unit, and where they are 0 ("ensemble").

    Returns
    -------
    Summary
        Printable; each table is also a DataFrame attribute, e.g. ``.components`` and
        ``.estimates``. With moderators also ``.components_mods``, ``.estimates_mods``
        and, with `conditional`, ``.estimates_mods_conditional``; with moderators of
        heterogeneity the same with ``scale`` in the place of ``mods``.

    Raises
    ------
    DataError
        On an unknown type or scale, or probabilities outside [0, 1].
    """
    kind = kind_of(type, get_args(SummaryType))
    levels = tuple(check_probs(probs).values())
    ensemble.converter("mu", output_scale)  # refuses an unknown scale before any work
    tables: dict[str, Table]
    if kind == "ensemble":
        with_mods = ensemble.task.moderators is not None
        with_scale = ensemble.task.scale_moderators is not None
        tables = {"components": components_table(ensemble, log_bf=log_bf, bf01=bf01)}
        terms = terms_table(ensemble, log_bf=log_bf, bf01=bf01)
        if terms is not None:
            tables["components_mods"] = terms
        of_tau = scale_terms_table(ensemble, log_bf=log_bf, bf01=bf01)
        if of_tau is not None:
            tables["components_scale"] = of_tau
        tables["estimates"] = estimates_table(ensemble, output_scale, levels)
        if with_mods:
            tables["estimates_mods"] = coefficients_table(
                ensemble, output_scale, levels, standardized=standardized
            )
        if with_scale:
            tables["estimates_scale"] = scale_coefficients_table(ensemble, levels)
        if bias_components and ensemble.bias_components:
            tables["components_bias"] = bias_table(ensemble, log_bf=log_bf, bf01=bf01)
        if conditional:
            tables["estimates_conditional"] = estimates_table(
                ensemble, output_scale, levels, conditional=True
            )
            if with_mods:
                tables["estimates_mods_conditional"] = coefficients_table(
                    ensemble, output_scale, levels, conditional=True,
                    standardized=standardized,
                )  # fmt: skip
            if with_scale:
                tables["estimates_scale_conditional"] = scale_coefficients_table(
                    ensemble, levels, conditional=True
                )
    elif kind == "models":
        tables = {"models": models_table(ensemble, log_bf=log_bf, bf01=bf01)}
    elif kind == "diagnostics":
        tables = {"diagnostics": diagnostics_table(ensemble)}
    else:
        tables = individual_tables(
            ensemble, output_scale, levels, log_bf=log_bf, bf01=bf01
        )
    return Summary(heading(ensemble), tables, ensemble_warnings(ensemble))


def kind_of(type: str, kinds: Sequence[str]) -> str:
    """Return the kind of summary that a name, or the start of one, stands for."""
    found = [kind for kind in kinds if kind.startswith(str(type))]
    if len(found) != 1:  # the first letters differ, and "" is a start of all
        raise DataError(
            f"type: expected one of {', '.join(kinds)}, or its first letter; got "
            f"{type!r}."
        )
    return found[0]
