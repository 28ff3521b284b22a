"""Stage 6: summaries."""

from pyrobma.summary.checks import ensemble_warnings
from pyrobma.summary.compare import compare
from pyrobma.summary.diagnostics import diagnostics_table
from pyrobma.summary.effects import (
    cluster_effects_table,
    pooled_effect,
    true_effects_table,
)
from pyrobma.summary.estimates import estimates_table
from pyrobma.summary.evidence import bias_table, components_table, terms_table
from pyrobma.summary.heterogeneity import heterogeneity_summary
from pyrobma.summary.hypotheses import hypothesis
from pyrobma.summary.individual import individual_table
from pyrobma.summary.interpret import interpret
from pyrobma.summary.models import models_table
from pyrobma.summary.moderators import (
    coefficients_table,
    contrasts,
    marginal_means,
)
from pyrobma.summary.summaries import summarise
from pyrobma.summary.table import Summary, Table

__all__ = [
    "Summary",
    "Table",
    "bias_table",
    "cluster_effects_table",
    "coefficients_table",
    "compare",
    "components_table",
    "contrasts",
    "diagnostics_table",
    "ensemble_warnings",
    "estimates_table",
    "heterogeneity_summary",
    "hypothesis",
    "individual_table",
    "interpret",
    "marginal_means",
    "models_table",
    "pooled_effect",
    "summarise",
    "terms_table",
    "true_effects_table",
]
