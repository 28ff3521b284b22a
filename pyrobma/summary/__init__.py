"""Stage 6: summaries."""

from pyrobma.summary.compare import compare
from pyrobma.summary.effects import (
    cluster_effects_table,
    pooled_effect,
    true_effects_table,
)
from pyrobma.summary.heterogeneity import heterogeneity_summary
from pyrobma.summary.interpret import interpret
from pyrobma.summary.summaries import (
    bias_table,
    components_table,
    diagnostics_table,
    ensemble_warnings,
    estimates_table,
    individual_table,
    models_table,
    summarise,
)
from pyrobma.summary.table import Summary, Table

__all__ = [
    "Summary",
    "Table",
    "bias_table",
    "cluster_effects_table",
    "compare",
    "components_table",
    "diagnostics_table",
    "ensemble_warnings",
    "estimates_table",
    "heterogeneity_summary",
    "individual_table",
    "interpret",
    "models_table",
    "pooled_effect",
    "summarise",
    "true_effects_table",
]
