"""Stage 6: what was fitted to what, in a few words."""

from __future__ import annotations

import numpy as np

from pyrobma._format import counted
from pyrobma.effects import EffectSizes
from pyrobma.ensemble import Ensemble


def heading(ensemble: Ensemble) -> str:
    """Say what was fitted to what, in a few words."""
    effects = ensemble.task.effects
    shared, alone = cluster_counts(effects)
    clusters = f" in {counted(shared, 'cluster')}" if shared else ""
    if shared and alone:
        clusters += f" and {alone} independent"
    count, kind = len(ensemble.space), method_name(ensemble)
    if count == 1:
        method = f"Bayesian {kind} (one model)"
    elif "bias" in ensemble.components:
        method = f"Robust Bayesian {kind} ({count} models)"
    else:
        method = f"Bayesian model-averaged {kind} ({count} models)"
    return f"{method}: {effects.words}{clusters}"


def method_name(ensemble: Ensemble) -> str:
    """Return "meta-regression" if there are moderators, else "meta-analysis"."""
    return "meta-regression" if ensemble.unknowns.terms else "meta-analysis"


def cluster_counts(effects: EffectSizes) -> tuple[int, int]:
    """Count the clusters of two estimates or more, and the estimates that are alone."""
    shared = int((np.bincount(effects.cluster) > 1).sum())
    return shared, effects.L - shared
