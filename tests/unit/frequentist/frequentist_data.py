"""Data shared by the tests of the frequentist companions."""

import numpy as np
import pandas as pd

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


def writing():
    """Standardised mean differences of 48 writing programmes, and their table.

    Sample sizes are in hundreds, and subjects in three groups, as in Viechtbauer and
    López-López (2022).
    """
    table = load_dataset("bangertdrowns2004")
    groups = {
        "Math": ["Algebra", "Calculus", "Math", "Math in Science", "Statistics"],
        "Sci": ["Chemistry", "Comp Science and Chemistry", "Biology", "Earth Science",
                "Natural Resources", "Nursing", "Science"],
    }  # fmt: skip
    group = {subject: name for name, own in groups.items() for subject in own}
    table["ni100"] = table["ni"] / 100
    table["area"] = table["subject"].map(group).fillna("Soc")
    return effects_of(table["yi"], table["vi"]), table


def expectancy():
    """Nineteen studies of teachers' expectations, Raudenbush (1985), and their table.

    Weeks of contact before the expectations were raised; how they were tested.
    """
    weeks = [2, 21, 19, 0, 0, 3, 17, 24, 0, 1, 0, 0, 1, 2, 17, 5, 1, 2, 7]
    y = [0.03, 0.12, -0.14, 1.18, 0.26, -0.06, -0.02, -0.32, 0.27, 0.80, 0.54, 0.18,
         -0.02, 0.23, -0.18, -0.06, 0.30, 0.07, -0.07]  # fmt: skip
    v = [0.0156, 0.0216, 0.0279, 0.1391, 0.1362, 0.0106, 0.0106, 0.0484, 0.0269, 0.0630,
         0.0912, 0.0497, 0.0835, 0.0841, 0.0253, 0.0279, 0.0193, 0.0088,
         0.0303]  # fmt: skip
    blind = [4, 6, 9, 10, 11, 12, 13, 15, 17]
    table = pd.DataFrame(
        {
            "weeks": np.array(weeks, dtype=float),
            "tester": ["blind" if i in blind else "aware" for i in range(19)],
            "setting": ["indiv" if i in (9, 12, 13) else "group" for i in range(19)],
        }
    )
    return effects_of(y, v), table
