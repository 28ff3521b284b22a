"""``normal.stan`` through unmodified CmdStanPy: draws, columns, optima."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cmdstanpy
import numpy as np
import pytest
from normal_program import (
    COEFFICIENTS,
    FIXED,
    FREE,
    NO_BIAS,
    PARAMETERS,
    Array,
    Case,
    case,
    spike,
)
from quadrature import Prior
from scipy import optimize
from scipy.special import expit

from pyrobma.programs import executable

# 18 digits hold a double; unconstraining a draw of rho near 1 loses a few of them.
LP_ATOL = 1e-9
# A CSV file with 17 digits gives every double back; the shift is added again here.
CSV_ATOL = 1e-12
# The optimizer stops at a gradient of about 1e-5 and a curvature of about 10; the
# simplex search at steps of 1e-8.
OPTIMUM_ATOL = 2e-4
OPTIMUM_DENSITY_ATOL = 1e-6

SIZES = (1, 2, 5, 17)
CLUSTERED: dict[str, Prior] = {
    **NO_BIAS,
    "mu": Prior("normal", (0.0, 1.0)),
    "tau": Prior("inverse_gamma", (1.0, 0.15)),
    "rho": Prior("beta", (1.0, 1.0)),
}
MODELS: dict[str, Case] = {
    "all_free": case(SIZES, FREE),
    "clustered": case(SIZES, CLUSTERED),
    "clustered_exact": case(SIZES, CLUSTERED, exact=True),
    "truncated": case(
        SIZES,
        {**CLUSTERED, "mu": Prior("cauchy", (0.0, 0.7), 0.0, 0.5), "rho": spike(1.0)},
    ),
    "only_bias": case(SIZES, {**FIXED, "PET": FREE["PET"]}),
    "prior_only": case(SIZES, CLUSTERED, prior_only=True),
}
NO_PARAMETERS = case(SIZES, FIXED)

Sample = Callable[..., cmdstanpy.CmdStanMCMC]


@pytest.fixture(scope="module")
def program() -> cmdstanpy.CmdStanModel:
    return cmdstanpy.CmdStanModel(exe_file=str(executable("normal")))


@pytest.fixture
def sample(program: cmdstanpy.CmdStanModel, tmp_path: Path) -> Sample:
    def sample(subject: Case, **options: Any) -> cmdstanpy.CmdStanMCMC:
        file = tmp_path / "data.json"
        file.write_text(subject.json())
        settings: dict[str, Any] = {
            "chains": 2,
            "seed": 7,
            "iter_warmup": 300,
            "iter_sampling": 150,
            "sig_figs": 18,
            "show_progress": False,
            **options,
        }
        return program.sample(str(file), **settings)

    return sample


@pytest.mark.parametrize("name", MODELS)
def test_lp_of_every_draw_is_the_log_density_with_all_constants(
    name: str, sample: Sample
) -> None:
    subject = MODELS[name]
    draws = sample(subject).draws_pd()
    columns = [subject.column(p) for p in subject.own]
    model = subject.model()
    densities = [
        model.log_density(model.param_unconstrain(row), propto=False, jacobian=True)
        for row in np.ascontiguousarray(draws[columns].to_numpy())
    ]
    assert len(densities) == 300
    np.testing.assert_allclose(draws["lp__"], densities, rtol=0, atol=LP_ATOL)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_scalar_column_for_every_parameter(
    name: str, sample: Sample
) -> None:
    subject = MODELS[name]
    draws = sample(subject, chains=1, iter_sampling=20).draws_pd()
    bias = dict.fromkeys(COEFFICIENTS, 0.0)
    bias |= {p: draws[subject.output(p)] for p in subject.terms}
    for parameter in (*PARAMETERS[:3], *subject.terms):
        if parameter in subject.free:
            expected = draws[subject.column(parameter)]
            if parameter == "rho":
                expected = expit(expected)
            if parameter == "mu":
                expected = expected - subject.shift(**bias)
        else:
            expected = np.full(20, subject.all_priors[parameter].parameters[0])
        found = draws[subject.output(parameter)]
        np.testing.assert_allclose(found, expected, atol=CSV_ATOL)
    free = [c for c in draws if c.endswith(("_free[1]", "_free[2]", "_logit[1]"))]
    assert free == [subject.column(p) for p in subject.own]


def test_model_without_parameters_runs_and_reports_its_spikes(sample: Sample) -> None:
    draws = sample(NO_PARAMETERS, chains=1, iter_sampling=10).draws_pd()
    assert len(draws) == 10
    for parameter in PARAMETERS:
        column = NO_PARAMETERS.output(parameter)
        assert set(draws[column]) == {FIXED[parameter].parameters[0]}
    model = NO_PARAMETERS.model()
    assert model.param_unc_num() == 0
    assert model.log_density(np.zeros(0), propto=False) == pytest.approx(
        NO_PARAMETERS.log_density({}, True), abs=LP_ATOL
    )


def test_same_seed_gives_the_same_draws_and_another_seed_others(
    sample: Sample,
) -> None:
    first, again, other = (
        sample(MODELS["clustered"], seed=seed).draws() for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == other, axis=(0, 1))[0]


def test_prior_only_draws_are_those_of_the_prior(sample: Sample) -> None:
    draws = sample(MODELS["prior_only"], chains=4, iter_sampling=1000).draws_pd()
    # Standard errors at some 1,500 effective draws are below 0.03; four of them.
    assert draws["mu"].mean() == pytest.approx(0.0, abs=0.12)
    assert draws["mu"].std() == pytest.approx(1.0, abs=0.12)
    assert draws["rho"].mean() == pytest.approx(0.5, abs=0.05)
    assert (draws["tau"] < 0.15 / np.log(2)).mean() == pytest.approx(0.5, abs=0.08)


def constrained(point: Array) -> Mapping[str, float]:
    mu, log_tau, logit_rho = (float(value) for value in point)
    return {"mu": mu, "tau": float(np.exp(log_tau)), "rho": float(expit(logit_rho))}


@pytest.mark.parametrize("jacobian", [False, True])
def test_optimum_is_that_of_a_simplex_search_on_the_oracle(
    jacobian: bool, program: cmdstanpy.CmdStanModel, tmp_path: Path
) -> None:
    subject = case(SIZES, {**CLUSTERED, "rho": Prior("beta", (3.0, 2.0))})
    file = tmp_path / "data.json"
    file.write_text(json.dumps(subject.data()))
    fit = program.optimize(
        str(file), seed=3, jacobian=jacobian, sig_figs=18, show_console=False
    )
    found = fit.optimized_params_dict
    best = optimize.minimize(
        lambda point: -subject.log_density(constrained(point), jacobian),
        [0.2, -1.0, 0.5],
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-11, "maxiter": 2000},
    )
    assert best.success
    for name, value in constrained(best.x).items():
        assert found[name] == pytest.approx(value, abs=OPTIMUM_ATOL)
    assert found["lp__"] == pytest.approx(-best.fun, abs=OPTIMUM_DENSITY_ATOL)
