"""Made data and a stopwatch for the benchmarks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

import pyrobma as rb
from pyrobma.models import ModelSpace, Task, model_space
from pyrobma.priors import default_priors


def schools() -> rb.EffectSizes:
    """Return the 56 schools in 11 districts."""
    return rb.effect_sizes(
        rb.load_dataset("konstantopoulos2011"),
        d="yi",
        v="vi",
        study_ids="district",
    )


def made(n_clusters: int, size: int = 5, seed: int = 1) -> rb.EffectSizes:
    """Return clusters with mu = 0.1, tau = 0.3, rho = 0.6 on Fisher's z."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(n_clusters), size)
    se = rng.uniform(0.05, 0.3, cluster.size)
    between = np.sqrt(0.6) * rng.normal(size=n_clusters)[cluster]
    within = np.sqrt(0.4) * rng.normal(size=cluster.size)
    z = 0.1 + 0.3 * (between + within) + se * rng.normal(size=cluster.size)
    return rb.effect_sizes(z=z, se=se, study_ids=cluster)


def task(effects: rb.EffectSizes) -> Task:
    """Return the default task: priors on Cohen's d."""
    return Task(effects, "cohens_d")


def default_space() -> ModelSpace:
    """Return the four models of the hierarchical ensemble."""
    return model_space(
        effect=default_priors("effect"),
        effect_null=default_priors("effect", null=True),
        heterogeneity=default_priors("heterogeneity"),
        heterogeneity_null=default_priors("heterogeneity", null=True),
        hierarchical=default_priors("hierarchical"),
    )


def seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
