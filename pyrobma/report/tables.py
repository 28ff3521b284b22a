"""The tables of an ensemble that a report shows and a folder of results keeps."""

from __future__ import annotations

from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.summary import (
    Table,
    cluster_effects_table,
    heterogeneity_summary,
    pooled_effect,
    summarise,
    true_effects_table,
)


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
    """
    averaged = summarise(
        ensemble, conditional=True, output_scale=output_scale, bias_components=True
    )
    return {
        **averaged.tables,
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
