"""Stage 6: tables of the pooled effect and of the studies' true effects."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pyrobma._format import Format
from pyrobma.effects import Measure
from pyrobma.ensemble import (
    Ensemble,
    cluster_effects,
    prediction_interval,
    true_effects,
)
from pyrobma.ensemble.quantiles import check_probs
from pyrobma.ensemble.quantities import (
    adjusted,
    converted,
    intercept,
    pooled,
    posterior,
)
from pyrobma.summary.checks import ensemble_warnings
from pyrobma.summary.estimates import digit_notes, estimate, estimate_formats
from pyrobma.summary.grid import effect_format
from pyrobma.summary.heading import heading
from pyrobma.summary.heterogeneity import prediction_note
from pyrobma.summary.notes import learning_notes, scale_notes, tau_notes
from pyrobma.summary.table import Summary, Table


def pooled_effect(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
) -> Summary:
    """Tabulate the mean effect and the true effect of a new study.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    conditional : bool
        Add a table over the models with an effect only.
    output_scale : str, optional
        Measure of the effects, as in `Ensemble.mixture`. None: the prior scale.
    probs : sequence of float
        Quantiles to show, in [0, 1].

    Returns
    -------
    Summary
        Table ``pooled``, with `conditional` also ``pooled_conditional``. Rows:
        ``estimate``, the mean effect mu, and ``PI``, the true effect of a new study
        (`prediction_interval`). With moderators the estimate is the mean over the rows
        of the data, and ``adjusted`` that at the means of numbers with all levels
        counting the same.

    Raises
    ------
    DataError
        On an unknown scale, or probabilities outside [0, 1].
    """
    levels = tuple(check_probs(probs).values())
    tables = {
        "pooled": _pooled(ensemble, "Pooled effect:", False, output_scale, levels)
    }
    if conditional:
        tables["pooled_conditional"] = _pooled(
            ensemble, "Conditional pooled effect:", True, output_scale, levels
        )
    return Summary(heading(ensemble), tables, ensemble_warnings(ensemble))


def true_effects_table(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
) -> Table:
    """Tabulate every study's estimate and the posterior of its true effect.

    Parameters and errors are those of `pyrobma.ensemble.true_effects`.

    Returns
    -------
    Table
        One row per estimate, named by its study.
    """
    found = true_effects(
        ensemble, conditional=conditional, output_scale=output_scale, probs=probs
    ).set_index("study")
    if not ensemble.task.effects.clustered:
        found = found.drop(columns="cluster")
    title = (
        "Conditional true effects:" if conditional else "True effects of the studies:"
    )
    return _effects_table(ensemble, title, found, output_scale)


def cluster_effects_table(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
) -> Table:
    """Tabulate the posterior of the mean true effect of every cluster.

    Parameters and errors are those of `pyrobma.ensemble.cluster_effects`.

    Returns
    -------
    Table
        One row per cluster of two estimates or more, named by its label.
    """
    found = cluster_effects(
        ensemble, conditional=conditional, output_scale=output_scale, probs=probs
    ).set_index("cluster")
    title = "Mean true effects of the clusters:"
    if conditional:
        title = "Conditional mean true effects of the clusters:"
    return _effects_table(ensemble, title, found, output_scale)


def _pooled(
    ensemble: Ensemble,
    title: str,
    conditional: bool,
    output_scale: Measure | None,
    probs: Sequence[float],
) -> Table:
    if conditional and not ensemble.members("effect").any():
        return Table(title, pd.DataFrame(), notes=("No model has an effect.",))
    given = ensemble.alternatives("effect") if conditional else None
    moderators = ensemble.task.moderators
    effects = {"estimate": intercept()}
    if moderators is not None:
        effects = {"estimate": pooled(moderators), "adjusted": adjusted(moderators)}
    rows = {
        name: estimate(
            converted(ensemble, one, posterior(ensemble, one, given), output_scale),
            probs,
        )
        for name, one in effects.items()
    }
    rows["PI"] = prediction_interval(
        ensemble, conditional=conditional, output_scale=output_scale, probs=probs,
        quantity=effects["estimate"],
    )  # fmt: skip
    frame = pd.DataFrame.from_dict(rows, orient="index")
    notes = (
        prediction_note(rows["PI"]),
        *learning_notes(ensemble),
        *scale_notes(ensemble, output_scale, linear=""),
        *tau_notes(ensemble),
    )
    if moderators is not None:
        notes += (
            "estimate: the mean effect of studies with the moderators of these rows, "
            "and PI the true effect of such a study. adjusted: at the means of "
            "numbers, all levels counting the same.",
        )
    formats = estimate_formats(frame, output_scale)
    return Table(title, frame, formats, notes + digit_notes(frame, formats))


def _effects_table(
    ensemble: Ensemble, title: str, found: pd.DataFrame, output_scale: Measure | None
) -> Table:
    columns = [c for c in found.columns if c not in ("cluster", "estimates")]
    written = effect_format(found[columns].to_numpy().ravel(), output_scale)
    formats: dict[str, Format | tuple[str, ...]] = dict.fromkeys(columns, written)
    shown = found.rename(columns={"estimate": "Estimate", "estimates": "Estimates"})
    formats["Estimate"] = formats.pop("estimate")
    shown = shown.rename(columns={"cluster": "Cluster"})
    notes = (
        "Estimate: as observed. Mean, SD, Median and quantiles: posterior of the true "
        "effect, without publication bias.",
        *scale_notes(ensemble, output_scale, linear=""),
    )
    return Table(title, shown, formats, notes)
