"""Data shared by the tests of the frequentist companions."""

import numpy as np

from pyrobma.effects import effect_sizes, load_dataset


def schools():
    return effect_sizes(
        load_dataset("konstantopoulos2011"),
        d="yi",
        v="vi",
        study_ids="district",
        transformation="cohens_d",
    )


def bcg():
    """Log risk ratios of the thirteen trials, by hand."""
    t = load_dataset("bcg")
    treated, control = t.tpos + t.tneg, t.cpos + t.cneg
    return effect_sizes(
        y=np.log(t.tpos / treated) - np.log(t.cpos / control),
        v=1 / t.tpos - 1 / treated + 1 / t.cpos - 1 / control,
    )


def bcg_table():
    """Moderators of the thirteen trials."""
    return load_dataset("bcg")


def delinquency():
    """Hundred standardised mean differences in seventeen studies, and their table."""
    table = load_dataset("assink2016")
    effects = effect_sizes(
        table, d="yi", v="vi", study_ids="study", transformation="cohens_d"
    )
    return effects, table


def effects_of(y, v, cluster=None):
    """Effect sizes on a scale of their own."""
    ids = None if cluster is None else [f"c{c}" for c in cluster]
    return effect_sizes(y=np.asarray(y), v=np.asarray(v), study_ids=ids)


def simulated(k, n_clusters, *, within, between, seed):
    """Clustered estimates in random order, sampling variances 0.01 to 0.2."""
    rng = np.random.default_rng(seed)
    cluster = np.concatenate(
        [np.arange(n_clusters), rng.integers(0, n_clusters, k - n_clusters)]
    )
    rng.shuffle(cluster)
    v = rng.uniform(0.01, 0.2, k)
    common = rng.normal(0.0, np.sqrt(between), n_clusters)
    y = 0.2 + common[cluster] + rng.normal(0.0, np.sqrt(within + v))
    return effects_of(y, v, cluster)
