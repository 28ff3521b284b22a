"""The tables of an ensemble that a report shows and a folder of results keeps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import pandas as pd

from pyrobma.effects import Measure, Moderators
from pyrobma.ensemble import Ensemble, predict
from pyrobma.ensemble.quantities import moderators_of
from pyrobma.summary import (
    Table,
    cluster_effects_table,
    coefficients_table,
    contrasts,
    heterogeneity_summary,
    marginal_means,
    pooled_effect,
    summarise,
    true_effects_table,
)
from pyrobma.summary.grid import by_row
from pyrobma.summary.notes import scale_notes

MANY_PAIRS: Final = 100
"""Pairs of levels above which no table of contrasts is made unasked."""

_PLAIN: Final = re.compile(r"(?:_|[^\w.-])+")
_LONGEST: Final = 60  # letters; file systems allow 255 bytes, with the ending


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
        with no more than `MANY_PAIRS` pairs of levels, ``contrasts_<factor>``.
    """
    averaged = summarise(
        ensemble, conditional=True, output_scale=output_scale, bias_components=True
    )
    return {
        **averaged.tables,
        **_moderator_tables(ensemble, output_scale),
        **pooled_effect(ensemble, output_scale=output_scale).tables,
        **heterogeneity_summary(ensemble, output_scale=output_scale).tables,
        **summarise(ensemble, "models").tables,
        "true_effects": true_effects_table(ensemble, output_scale=output_scale),
        **(
            {
                "cluster_effects": cluster_effects_table(
                    ensemble, output_scale=output_scale
                )
            }
            if ensemble.task.effects.clustered
            else {}
        ),
        **summarise(ensemble, "diagnostics").tables,
    }


def predictions_table(
    ensemble: Ensemble, newdata: pd.DataFrame, *, output_scale: Measure | None = None
) -> Table:
    """Tabulate what the models predict for rows of moderators.

    Parameters
    ----------
    ensemble : Ensemble
        With moderators.
    newdata : DataFrame
        Columns as the formula needs them; others are not looked at.
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
    sources = [source.name for source in moderators_of(ensemble).sources]
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


def _moderator_tables(
    ensemble: Ensemble, output_scale: Measure | None
) -> dict[str, Table]:
    """Return what moderators add to the summary."""
    moderators = ensemble.task.moderators
    if moderators is None:
        return {}
    found: dict[str, Table] = {}
    if any((c.sd != 1).any() or c.centre.any() for c in moderators.codings):
        found["estimates_mods_original"] = coefficients_table(
            ensemble, output_scale, (0.025, 0.975), standardized=False
        )
    means = marginal_means(ensemble, conditional=True, output_scale=output_scale)
    found |= {f"marginal_{name}": table for name, table in means.tables.items()}
    factors = _factors(moderators)
    names = file_names((f"contrasts_{factor}" for factor in factors), taken=found)
    for factor, name in zip(factors, names, strict=True):
        pairs = contrasts(ensemble, factor, output_scale=output_scale)
        found[name] = pairs.tables["contrasts"]
    return found


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
