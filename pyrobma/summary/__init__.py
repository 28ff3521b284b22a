"""Stage 6: summaries."""

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
    "components_table",
    "diagnostics_table",
    "ensemble_warnings",
    "estimates_table",
    "individual_table",
    "models_table",
    "summarise",
]
