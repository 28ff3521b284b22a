"""Seconds for every table and property of an ensemble of thousands of made fits."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import pyrobma as rb
from pyrobma.fit import Chains, Fit
from pyrobma.models import ModelSpace, ModelSpec, Task, model_space
from pyrobma.plots import models_frame, probabilities_frame

CHAINS, DRAWS = 2, 50
"""Few: what is measured is the cost of a model, not of a draw."""


def space(effects: int) -> ModelSpace:
    """Return 200 models for every prior of the effect."""
    spike = rb.prior("spike", location=0)
    return model_space(
        effect=[rb.prior("normal", mean=0, sd=0.1 * i) for i in range(1, effects)],
        effect_null=[spike],
        heterogeneity=[
            rb.prior("inv_gamma", shape=1, scale=0.05 * i) for i in range(1, 10)
        ],
        heterogeneity_null=[spike],
        bias=[
            rb.prior_weightfunction("two-sided", steps=[0.05], alpha=[1, 1]),
            rb.prior_weightfunction("one-sided", steps=[0.025, 0.05], alpha=[1, 1, 1]),
            rb.prior_PET("cauchy", location=0, scale=1, lower=0),
            rb.prior_PEESE("cauchy", location=0, scale=5, lower=0),
        ],
        hierarchical=[rb.prior("beta", alpha=a, beta=1) for a in (1, 2, 3)],
        hierarchical_null=[spike],
    )


def made_fit(spec: ModelSpec, seed: int) -> Fit:
    """Return a fit of made-up numbers; there is no sampling."""
    rng = np.random.default_rng(seed)
    size = (CHAINS, DRAWS)
    names = tuple(name for name in spec.free if name != "omega")
    draws = rng.beta(2, 3, (*size, len(names)))
    omega = None
    if "omega" in spec.free and spec.selection is not None:
        rest = rng.uniform(size=(*size, len(spec.selection.steps)))
        omega = np.concatenate([np.ones((*size, 1)), -np.sort(-rest)], axis=2)
    chains = Chains(
        names=names,
        draws=draws,
        divergent=np.zeros(size, dtype=bool),
        deep=np.zeros(size, dtype=bool),
        step_size=np.ones(CHAINS),
        inverse_metric=np.tile(np.eye(len(names)), (CHAINS, 1, 1)),
        columns=names,
        constrained=draws,
        lp=np.zeros(size),
        omega=omega,
    )
    free = bool(spec.free)
    return Fit(
        spec=spec,
        logml=float(rng.normal(0, 3)),
        logml_mcse=0.01 * free,
        chains=chains if free else None,
        diagnostics=None,
        bridge=None,
        seed=seed,
        round=0,
        reasons=(),
        fingerprint=str(seed),
    )


def made_ensemble(effects: int = 10) -> rb.RobmaFit:
    """Return an ensemble of 200 models for every prior of the effect."""
    models = space(effects)
    data = rb.effect_sizes(
        d=[0.1, 0.3, -0.1, 0.5], se=[0.1, 0.2, 0.1, 0.2], study_ids=[1, 1, 2, 2]
    )
    fits = tuple(made_fit(spec, i) for i, spec in enumerate(models.models))
    return rb.RobmaFit(Task(data, "cohens_d"), models, fits, rb.SamplerSettings(), 1)


def tables() -> dict[str, Callable[[rb.RobmaFit], object]]:
    """Return what is timed, by name."""

    def mixtures(fit: rb.RobmaFit) -> None:
        for parameter in fit.parameters:
            mixed = fit.mixture(parameter)
            mixed.mean(), mixed.mcse(), mixed.quantiles([0.025, 0.5, 0.975])

    return {
        "properties": lambda fit: [
            getattr(fit, name)
            for name in (
                "logml", "prior_prob", "post_prob", "components", "bias_kinds",
                "bias_components", "parameters", "p_values",
            )
        ],
        "inclusion": lambda fit: (fit.inclusion, fit.bias_inclusion),
        "models": lambda fit: fit.models,
        "mixtures": mixtures,
        "draws": lambda fit: fit.draws("mu"),
        "priors": lambda fit: [fit.priors(name) for name in ("mu", "tau", "rho")],
        "summary": lambda fit: fit.summary(),
        "summary, models": lambda fit: fit.summary("models"),
        "summary, diagnostics": lambda fit: fit.summary("diagnostics"),
        "heterogeneity": lambda fit: fit.heterogeneity(),
        "pooled effect": lambda fit: fit.pooled_effect(),
        "interpretation": lambda fit: fit.interpret(),
        "frame of probabilities": probabilities_frame,
        "frame of models": models_frame,
    }  # fmt: skip


def main() -> None:
    """Print the times for 1,000 and 2,000 models: what doubles is linear."""
    for effects in (5, 10):
        fit = made_ensemble(effects)
        print(f"{len(fit.fits)} models")
        total = 0.0
        for name, table in tables().items():
            start = time.perf_counter()
            table(fit)
            taken = time.perf_counter() - start
            total += taken
            print(f"  {name:24} {taken:.3f} s")
        print(f"  {'in all':24} {total:.2f} s")


if __name__ == "__main__":
    main()
