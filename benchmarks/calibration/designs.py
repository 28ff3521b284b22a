"""The ensembles whose calibration is checked, and what they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import pyrobma as rb

RESULTS = Path(__file__).parent / "results"
RANKS = 63
"""Draws that a parameter is ranked among: ranks are 0, ..., 63."""

SETTINGS = rb.SamplerSettings(sampler="independence", draws=250)
LARGE = rb.SamplerSettings(sampler="independence", draws=250, max_mcse=0.03)
"""For ensembles with selection, whose models cost ten times as much."""


@dataclass(frozen=True)
class Design:
    """Standard errors, clusters and priors; estimates are simulated.

    Attributes
    ----------
    title : str
        In the report.
    se : array of shape (K,)
        On Fisher's z, which the likelihood is on.
    clusters : list or None
        Ids of clusters, one per estimate.
    datasets : int
        How many data sets are simulated, whether they are all fitted or not.
    seed : int
        Of the simulation. The i-th data set is fitted with the seed i.
    settings : SamplerSettings
        Of the fits.
    options : dict
        Further arguments of `robma`.
    """

    title: str
    se: np.ndarray
    clusters: list[int] | None
    datasets: int
    seed: int
    settings: rb.SamplerSettings = SETTINGS
    options: dict[str, Any] = field(default_factory=dict)

    def simulation(self) -> rb.Simulation:
        """Return the data sets, the same ones each time."""
        # Estimates are not used; standard errors and clusters are.
        effects = rb.effect_sizes(
            z=np.zeros(len(self.se)), se=self.se, study_ids=self.clusters
        )
        plan = rb.robma(effects, only_priors=True, **self.options)
        return rb.simulate(plan, self.datasets, seed=self.seed)


def _errors(K: int) -> np.ndarray:
    """Return standard errors of studies of some 12 to 150 participants, mixed."""
    se = np.geomspace(0.08, 0.33, K)
    return np.random.default_rng(1).permutation(se).round(3)


DESIGNS = {
    "hbma": Design(
        "Hierarchical ensemble: 12 estimates in 4 clusters, 8 models",
        _errors(12), [k for k in range(4) for _ in range(3)], 2000, 101,
        options={
            "priors_bias": None,
            "priors_hierarchical_null": rb.prior("spike", location=0),
        },
    ),
    "regression": Design(
        "Meta-regression: 10 independent estimates, one moderator, 8 models",
        _errors(10), None, 1000, 102,
        options={
            "priors_bias": None,
            "mods": {"age": [3, 7, 1, 9, 4, 8, 2, 6, 10, 5]},
        },
    ),
    "psma": Design(
        "PSMA: 9 independent estimates, 36 models", _errors(9), None, 1000, 103, LARGE
    ),
    "selection": Design(
        "Selection only: 9 independent estimates, 6 weight functions, mu and tau",
        _errors(9), None, 2000, 105,
        options={
            "priors_bias": rb.default_bias()[:6],
            "priors_bias_null": None,
            "priors_effect_null": None,
            "priors_heterogeneity_null": None,
        },
    ),
    "clustered": Design(
        "Clustered PSMA: 8 estimates in 4 clusters, 36 models",
        _errors(8), [k for k in range(4) for _ in range(2)], 1000, 104, LARGE,
    ),
}  # fmt: skip
