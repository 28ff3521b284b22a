"""Sensitivity to priors of heterogeneity and clustering against quadrature."""

from __future__ import annotations

import numpy as np
import pytest
import quadrature as q
from quadrature import Prior

import pyrobma as rb
from pyrobma.sensitivity import sensitivity

# Monte Carlo errors that an estimate may be off; of some dozens, none is beyond.
ERRORS = 4.0
SCALES = (0.25, 2.0, 8.0)
SETTINGS = rb.SamplerSettings(chains=4, draws=500)
PARAMETERS = {"effect": "mu", "heterogeneity": "tau", "hierarchical": "rho"}


def data():
    """Pairs of estimates with little heterogeneity: the prior matters."""
    return q.made_data(4, (2,) * 6, mean=0.2, sd=0.12)


def fitted(cluster):
    y, se, labels = data()
    return rb.robma(
        y=y, se=se, study_ids=labels if cluster else None, seed=1, settings=SETTINGS,
        priors_bias=None, priors_hierarchical_null=rb.prior("spike", location=0),
    )  # fmt: skip


def exact(component, factor):
    y, se, labels = data()
    if component == "heterogeneity":
        prior = {"heterogeneity": [Prior("inverse_gamma", (1.0, 0.15 * factor))]}
        return q.ensemble(y, se, None, scale=("y", "y"), **prior)
    return q.ensemble(
        y, se, labels, scale=("y", "y"),
        hierarchical=[Prior("beta", (factor, factor))], hierarchical_null=[q.SPIKE_0],
    )  # fmt: skip


@pytest.mark.parametrize("component", ["heterogeneity", "hierarchical"])
def test_bayes_factors_and_means_at_every_scale(component):
    found = sensitivity(fitted(component == "hierarchical"), component, scales=SCALES)
    assert {"reweighted", "refitted"} <= set(found.frame["how"])
    for factor in SCALES:
        answer = exact(component, factor)
        rows = found.frame[found.frame["factor"] == factor].set_index("component")
        for name, row in rows.iterrows():
            off = abs(row["log_bf"] - np.log(answer.inclusion_bf[name]))
            assert off < ERRORS * row["log_bf_mcse"], (name, factor)
            off = abs(row["mean"] - answer.mean[PARAMETERS[name]])
            assert off < ERRORS * row["mean_mcse"], (name, factor)
