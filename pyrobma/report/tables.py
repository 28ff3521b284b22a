"""The tables of an ensemble that a report shows and a folder of results keeps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import pandas as pd

from pyrobma.effects import Measure, Moderators
from pyrobma.ensemble import Ensemble, predict
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.report.failures import Failure, attempt, warn_of
from pyrobma.summary import (
    Table,
    bias_table,
    cluster_effects_table,
    coefficients_table,
    components_table,
    contrasts,
    diagnostics_table,
    estimates_table,
    heterogeneity_summary,
    marginal_means,
    models_table,
    pooled_effect,
    terms_table,
    true_effects_table,
)
from pyrobma.summary.evidence import scale_terms_table
from pyrobma.summary.grid import by_row
from pyrobma.summary.notes import scale_notes
from pyrobma.summary.scale import scale_coefficients_table

MANY_PAIRS: Final = 100
"""Pairs of levels above which no table of contrasts is made unasked."""

_PROBS: Final = (0.025, 0.975)
_PLAIN: Final = re.compile(r"(?:_|[^\w.-])+")
_LONGEST: Final = 60  # letters; file systems allow 255 bytes, with the ending

_Maker: TypeAlias = Callable[[], Table | Mapping[str, Table] | None]


def tables(
    ensemble: Ensemble, *, output_scale: Measure | None = None
) -> dict[str, Table]:
    """Return all tables by name, in reading order.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    output_scale : str, optional
        Measure of the estimates. None: the prior scale.

    Returns
    -------
    dict of str to Table
        Names are good for files. With moderators also ``estimates_mods_original``
        (coefficients per unit of numbers), ``marginal_means`` and, for each factor
        with no more than `MANY_PAIRS` pairs of levels, ``contrasts_<factor>``. With
        moderators of heterogeneity ``components_scale``, ``estimates_scale``, ``tau``
        and ``variance_ratios``.

    Raises
    ------
    DataError
        On an unknown scale.

    Warns
    -----
    PyrobmaWarning
        If a table could not be made; it has no rows then, and a note why.
    """
    found, failures = make_tables(ensemble, output_scale)
    warn_of(failures)
    return found


def make_tables(
    ensemble: Ensemble, output_scale: Measure | None
) -> tuple[dict[str, Table], tuple[Failure, ...]]:
    """Return what `tables` does, and what could not be made instead of warnings."""
    check_output_scale(ensemble.task, output_scale)
    found: dict[str, Table] = {}
    failures: list[Failure] = []
    for name, make in _makers(ensemble, output_scale):
        made = attempt(f"The table {name}", partial(_written, name, make))
        if isinstance(made, Failure):
            failures.append(made)
            found[name] = missing_table(name, made)
        else:
            found |= made
    return found, tuple(failures)


def missing_table(name: str, failure: Failure) -> Table:
    """Return what stands in the place of a table that could not be made."""
    title = name.replace("_", " ").capitalize()
    return Table(f"{title}:", pd.DataFrame(), notes=(str(failure),))


def _written(name: str, make: _Maker) -> Mapping[str, Table]:
    made = make()
    if made is None:
        return {}
    several = {name: made} if isinstance(made, Table) else made
    for table in several.values():
        table.formatted()  # which may fail too
    return several


def _makers(
    ensemble: Ensemble, output_scale: Measure | None
) -> Iterator[tuple[str, _Maker]]:
    """Yield every table's name, or that of the first of several, and how to make it."""
    scale: dict[str, Any] = {"output_scale": output_scale}
    estimates = partial(estimates_table, ensemble, output_scale, _PROBS)
    coefficients = partial(coefficients_table, ensemble, output_scale, _PROBS)
    moderated = ensemble.task.moderators is not None
    yield "components", partial(components_table, ensemble)
    yield "components_mods", partial(terms_table, ensemble)
    yield "components_scale", partial(scale_terms_table, ensemble)
    yield "estimates", estimates
    if moderated:
        yield "estimates_mods", coefficients
    if ensemble.bias_components:
        yield "components_bias", partial(bias_table, ensemble)
    yield "estimates_conditional", partial(estimates, conditional=True)
    if moderated:
        yield "estimates_mods_conditional", partial(coefficients, conditional=True)
    if ensemble.task.scale_moderators is not None:
        of_tau = partial(scale_coefficients_table, ensemble, _PROBS)
        yield "estimates_scale", of_tau
        yield "estimates_scale_conditional", partial(of_tau, conditional=True)
    yield from _moderator_makers(ensemble, output_scale)
    yield "pooled", lambda: pooled_effect(ensemble, **scale).tables
    yield "heterogeneity", lambda: heterogeneity_summary(ensemble, **scale).tables
    yield "models", partial(models_table, ensemble)
    yield "true_effects", partial(true_effects_table, ensemble, **scale)
    if ensemble.task.effects.clustered:
        yield "cluster_effects", partial(cluster_effects_table, ensemble, **scale)
    yield "diagnostics", partial(diagnostics_table, ensemble)


def predictions_table(
    ensemble: Ensemble, newdata: pd.DataFrame, *, output_scale: Measure | None = None
) -> Table:
    """Tabulate what the models predict for rows of moderators.

    Parameters
    ----------
    ensemble : Ensemble
        With moderators, of effects or of heterogeneity.
    newdata : DataFrame
        Columns as the formulas need them; others are not looked at.
    output_scale : str, optional
        Measure of the estimates. None: the prior scale.

    Returns
    -------
    Table
        A row for each of `newdata`, named by its moderators. The mean true effect,
        with quantiles, and the ends of the 95 % prediction interval of a true effect.

    Raises
    ------
    DataError
        As `predict`.
    """
    mean = predict(ensemble, newdata, "terms", output_scale=output_scale)
    single = predict(ensemble, newdata, "effect", output_scale=output_scale)
    frame = mean.assign(**{f"PI {q}": single[q] for q in ("0.025", "0.975")})
    both = (ensemble.task.moderators, ensemble.task.scale_moderators)
    known = (source.name for own in both if own is not None for source in own.sources)
    sources = list(dict.fromkeys(known))
    shown = newdata.rename(columns=str)[sources]
    frame.index = pd.Index(
        [
            ", ".join(f"{n} = {v}" for n, v in zip(sources, row, strict=True))
            for row in shown.itertuples(index=False, name=None)
        ]
    )
    return Table(
        "Predicted effects:",
        frame,
        by_row(frame, output_scale),
        (
            *scale_notes(ensemble, output_scale, linear=""),
            "Mean, median and quantiles: of the mean true effect. PI: 95 % prediction "
            "interval of the true effect of one study. Without publication bias.",
        ),
    )


def _moderator_makers(
    ensemble: Ensemble, output_scale: Measure | None
) -> Iterator[tuple[str, _Maker]]:
    """Yield what moderators add to the summary."""
    moderators = ensemble.task.moderators
    if moderators is None:
        return
    if any((c.sd != 1).any() or c.centre.any() for c in moderators.codings):
        yield (
            "estimates_mods_original",
            partial(
                coefficients_table, ensemble, output_scale, _PROBS, standardized=False
            ),
        )
    yield "marginal_means", partial(_means, ensemble, output_scale)
    factors = _factors(moderators)
    names = file_names(f"contrasts_{factor}" for factor in factors)
    for factor, name in zip(factors, names, strict=True):
        yield name, partial(_pairs_of, ensemble, factor, output_scale)


def _means(ensemble: Ensemble, output_scale: Measure | None) -> Mapping[str, Table]:
    found = marginal_means(ensemble, conditional=True, output_scale=output_scale)
    return {f"marginal_{name}": table for name, table in found.tables.items()}


def _pairs_of(ensemble: Ensemble, factor: str, output_scale: Measure | None) -> Table:
    return contrasts(ensemble, factor, output_scale=output_scale).tables["contrasts"]


def _factors(moderators: Moderators) -> list[str]:
    """Return the terms that are factors of not too many levels."""
    codings = {coding.name: coding for coding in moderators.codings}
    factors = [
        t.name for t in moderators.terms if t.factor and t.variables == (t.name,)
    ]
    pairs = {name: _pairs(len(codings[name].levels)) for name in factors}
    return [name for name in factors if pairs[name] <= MANY_PAIRS]


def _pairs(levels: int) -> int:
    return levels * (levels - 1) // 2


def file_names(names: Iterable[str], *, taken: Iterable[str] = ()) -> list[str]:
    """Return names that any file system allows, each once.

    Parameters
    ----------
    names : iterable of str
        Such as those of terms, which have brackets and slashes.
    taken : iterable of str
        Names that there are already.

    Returns
    -------
    list of str
        At most 60 letters, digits and ``_.-``; anything else became an underscore.
    """
    # Some file systems do not tell capitals apart.
    known = {name.casefold() for name in taken}
    found = []
    for name in names:
        plain = _PLAIN.sub("_", name).strip("_.")[:_LONGEST] or "_"
        while plain.casefold() in known:
            plain += "_"
        known.add(plain.casefold())
        found.append(plain)
    return found
