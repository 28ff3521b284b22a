"""What every folder of tests may use."""

from __future__ import annotations

from types import SimpleNamespace

import hypothesis
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import pyrobma as rb
from pyrobma.fit import Chains
from pyrobma.fit.diagnostics import diagnose
from pyrobma.models import Task

# The same examples everywhere, and no failure because a machine is busy.
hypothesis.settings.register_profile("seeded", derandomize=True, deadline=None)
hypothesis.settings.load_profile("seeded")


# Matrices are small: threads would wait for each other more than they compute.
threadpool_limits(1, user_api="blas")


@pytest.fixture(scope="session")
def schools():
    """The 56 schools in 11 districts."""
    return rb.load_dataset("konstantopoulos2011")


def _fit(spec, logml=0.0, mcse=0.0, draws=None, seed=1, reasons=(), fingerprint=""):
    """A fit of made-up numbers; draws by parameter, each of shape (chains, draws)."""
    chains = None
    if draws:
        values = np.stack([np.asarray(d, dtype=float) for d in draws.values()], axis=2)
        size = len(draws)
        chains = Chains(
            names=tuple(draws),
            draws=values,
            divergent=np.zeros(values.shape[:2], dtype=bool),
            deep=np.zeros(values.shape[:2], dtype=bool),
            step_size=np.ones(len(values)),
            inverse_metric=np.tile(np.eye(size), (len(values), 1, 1)),
            columns=tuple(f"{name}_free[1]" for name in draws),
            constrained=values,
            lp=np.zeros(values.shape[:2]),
        )
    return rb.Fit(
        spec=spec,
        logml=logml,
        logml_mcse=mcse,
        chains=chains,
        diagnostics=None if chains is None else diagnose(chains),
        bridge=None,
        seed=seed,
        round=0,
        reasons=tuple(reasons),
        fingerprint=fingerprint,
    )


def _draws(parameter, spec, size, rng):
    """Made-up posterior draws inside the support of a parameter."""
    centre, spread = {"mu": (0.2, 0.1), "tau": (-1.2, 0.2), "rho": (0.5, 0.6)}[
        parameter
    ]
    values = rng.normal(centre, spread, size)
    if parameter == "tau":
        return np.exp(values)
    return 1 / (1 + np.exp(-values)) if parameter == "rho" else values


def _ensemble(
    space, logml, mcse=None, *, size=(2, 50), seed=3, reasons=None, effects=None,
    prior_scale="cohens_d",
):  # fmt: skip
    """An ensemble of made-up fits, one per model of the space; no sampling."""
    if effects is None:
        effects = rb.effect_sizes(
            d=[0.1, 0.3, -0.1, 0.5], se=[0.1, 0.2, 0.1, 0.2], study_ids=[1, 1, 2, 2]
        )
    rng = np.random.default_rng(seed)
    mcse = np.zeros(len(space)) if mcse is None else mcse
    fits = tuple(
        _fit(
            model,
            float(logml[i]),
            float(mcse[i]),
            {name: _draws(name, model, size, rng) for name in model.free},
            seed=i,
            reasons=(reasons or {}).get(i + 1, ()),
        )
        for i, model in enumerate(space.models)
    )
    return rb.RobmaFit(
        Task(effects, prior_scale), space, fits, rb.SamplerSettings(), seed
    )


def _space(*, hierarchical=True, hierarchical_null=None, null=True):
    """The default model space."""
    spike = (rb.prior("spike", location=0),) if null else ()
    return rb.model_space(
        effect=rb.default_priors("effect"),
        effect_null=spike,
        heterogeneity=rb.default_priors("heterogeneity"),
        heterogeneity_null=spike,
        hierarchical=rb.default_priors("hierarchical") if hierarchical else (),
        hierarchical_null=hierarchical_null or (),
    )


@pytest.fixture(scope="session")
def made():
    """Fits, ensembles and model spaces of made-up numbers."""
    return SimpleNamespace(fit=_fit, ensemble=_ensemble, space=_space)
