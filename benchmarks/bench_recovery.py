"""Recovery of effect and heterogeneity from estimates selected within clusters.

Clusters of 8 are drawn from the model and published as a whole with probability
prod w(p): 1 for one-sided p < .025, 0.2 otherwise, which is the process that the
selection likelihood describes. The unadjusted hierarchical model is biased upward.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

import pyrobma as rb

SIZE = 8
OTHERS = 0.2
Z = float(norm.isf(0.025))


def selected(
    seed: int, clusters: int, mu: float, tau: float, rho: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return published estimates, standard errors and clusters."""
    rng = np.random.default_rng(seed)
    se = rng.uniform(0.1, 0.3, (clusters, SIZE))
    y = np.empty_like(se)
    for k in range(clusters):
        while True:
            draws = 4000
            between = np.sqrt(rho) * rng.normal(size=(draws, 1))
            within = np.sqrt(1 - rho) * rng.normal(size=(draws, SIZE))
            trial = (
                mu + tau * (between + within) + se[k] * rng.normal(size=within.shape)
            )
            missed = (trial < Z * se[k]).sum(axis=1)
            kept = np.flatnonzero(rng.random(draws) < OTHERS**missed)
            if kept.size:
                y[k] = trial[kept[0]]
                break
    return y.ravel(), se.ravel(), np.repeat(np.arange(clusters), SIZE)


def main() -> None:
    """Print bias, error and coverage of both models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--clusters", type=int, default=20)
    parser.add_argument("--mu", type=float, default=0.1)
    parser.add_argument("--tau", type=float, default=0.2)
    parser.add_argument("--rho", type=float, default=0.5)
    options = parser.parse_args()
    weights = rb.prior_weightfunction("one.sided", steps=[0.025], alpha=[1, 1])
    truth = {"mu": options.mu, "tau": options.tau}
    found: dict[str, list[list[float]]] = {
        f"{model} {name}": [] for model in ("unadjusted", "selection") for name in truth
    }
    for r in range(options.replications):
        y, se, cluster = selected(
            options.first_seed + r, options.clusters, options.mu, options.tau,
            options.rho,
        )  # fmt: skip
        for model, bias, null in (
            ("unadjusted", None, rb.prior_none()),
            ("selection", weights, None),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fit = rb.robma(
                    y=y, se=se, study_ids=cluster, priors_effect_null=None,
                    priors_heterogeneity_null=None, priors_bias=bias,
                    priors_bias_null=null, draws=500, seed=r,
                )  # fmt: skip
            for name in truth:
                draws = fit.mixture(name)
                low, high = draws.quantiles([0.025, 0.975])
                found[f"{model} {name}"].append([draws.mean(), low, high])
    print(f"{options.replications} data sets of {options.clusters} clusters of {SIZE}")
    print(f"{'':16} {'truth':>6} {'bias':>7} {'its se':>7} {'RMSE':>6} {'cover':>6}")
    for label, rows in found.items():
        mean, low, high = np.array(rows).T
        true = truth[label.split()[1]]
        cover = np.mean((low <= true) & (true <= high))
        off = mean - true
        error = off.std(ddof=1) / np.sqrt(len(off))
        print(
            f"{label:16} {true:6.2f} {off.mean():7.3f} {error:7.3f} "
            f"{np.sqrt((off**2).mean()):6.3f} {cover:6.2f}"
        )


if __name__ == "__main__":
    main()
