"""Selection models, PET and PEESE through `robma` against quadrature."""

from __future__ import annotations

import json
import warnings
from functools import partial

import numpy as np
import pytest
import selection as s
from quadrature import DEFAULT_EFFECT, DEFAULT_HETEROGENEITY, SPIKE_0, d_to_z

import pyrobma as rb
from pyrobma.fit.density import LogDensity
from pyrobma.fit.efforts import model_shares
from pyrobma.fit.quadrature import TOLERANCE, Rule
from pyrobma.fit.stan_data import program, stan_data
from pyrobma.programs import library

# How many Monte Carlo standard errors a single number may be away: 6e-5 of normal
# errors are further.
ERRORS = 4.0
# What a log marginal likelihood is promised to be known to, for models that matter.
LOGML_MCSE = 0.01
NEGLIGIBLE = 1e-4
# The last digit of the constants, and the oracle's own error.
CONSTANTS = 2e-5
# A model without free parameters is computed, not estimated.
EXACT = 1e-9
# RoBMA 3.6.1 has a Monte Carlo error of 1 to 2 % in these figures.
ROBMA = 0.02

# Log marginal likelihoods of Bem (2011) by adaptive quadrature; models by number.
BEM = {
    1: -3.284634,
    2: 6.212845,
    4: 13.702090,
    8: 15.749350,
    9: 15.6497284,
    10: 5.330449,
    19: 12.652054,
    22: 14.6038222,
    28: 10.657639,
    31: 12.814228,
    33: 12.428519,
    35: 11.498752,
    36: 11.487835,
}
# The schools by district, all of mu, tau and rho free.
SCHOOLS = {"one-sided": 23.183959, "two-sided": 23.152688, "PET": 24.282022}

ONE_SIDED = partial(rb.prior_weightfunction, "one.sided")
TWO_SIDED = partial(rb.prior_weightfunction, "two.sided")
ONES = rb.prior_weightfunction("one.sided.fixed", steps=[0.05], omega=[1, 1])
ONLY_ALTERNATIVES = {
    "priors_effect_null": None,
    "priors_heterogeneity_null": None,
}


@pytest.fixture(scope="module")
def bem():
    return rb.load_dataset("bem2011")


@pytest.fixture(scope="module")
def psma(bem):
    """The default ensemble of 36 models."""
    return rb.robma(bem, d="d", se="se", seed=1)


@pytest.fixture(scope="module")
def hierarchical(schools):
    """Five models of the schools that differ in the bias."""
    return rb.robma(
        schools, d="yi", v="vi", study_ids="district", seed=1, **ONLY_ALTERNATIVES,
        priors_bias=[
            ONE_SIDED(steps=[0.05], alpha=[1, 1]),
            TWO_SIDED(steps=[0.05], alpha=[1, 1]),
            rb.prior_PET("cauchy", location=0, scale=1),
            ONES,
        ],
    )  # fmt: skip


def of_bias(ensemble: rb.RobmaFit, kind: str) -> rb.Fit:
    """The one fit whose bias prior starts with these letters when printed."""

    def bias(spec: rb.ModelSpec) -> str:
        if spec.selection is not None:
            return str(spec.selection)
        return next((n for n, _ in spec.priors if n in ("PET", "PEESE")), "None")

    [found] = [fit for fit in ensemble.fits if bias(fit.spec).startswith(kind)]
    return found


def assert_logml(fit: rb.Fit, exact: float) -> None:
    assert abs(fit.logml - exact) < ERRORS * fit.logml_mcse + CONSTANTS


# ---- Bem (2011), the default ensemble ---------------------------------------------


@pytest.mark.parametrize("number", BEM)
def test_log_marginal_likelihood_of_a_default_model(psma, number):
    assert_logml(psma.fits[number - 1], BEM[number])


def test_default_ensemble_has_its_36_models_and_their_prior_probabilities(psma):
    nine = [1 / 8, *[1 / 96] * 6, *[1 / 32] * 2]
    np.testing.assert_allclose(psma.models["prior_prob"], 4 * nine, rtol=1e-12)
    bias = psma.models["bias"]
    assert bias.tolist() == 4 * bias.tolist()[:9]
    assert bias[1] == ""
    assert bias[4] == "omega[one-sided: .05] ~ CumDirichlet(1, 1)"
    assert bias[9] == "PEESE ~ Cauchy(0, 5)[0, Inf]"
    spike = psma.models["effect"].str.startswith("Spike")
    assert spike.tolist() == 18 * [True] + 18 * [False]


def test_log_evidence_is_as_precise_as_asked_for_by_the_share_of_each_model(psma):
    models = psma.models
    matters = models["post_prob"] > NEGLIGIBLE
    assert matters.sum() > 30
    shares = model_shares(dict(enumerate(psma.logml)), psma.space)
    asked = LOGML_MCSE / np.sqrt(np.clip(4 * np.array(list(shares.values())), 0.01, 1))
    assert (models["logml_mcse"] <= asked).all()
    # Both sides of a Bayes factor.
    assert (psma.inclusion["log_bf_mcse"] < np.sqrt(2.5) * LOGML_MCSE).all()
    assert all(fit.ok for fit in psma.fits)


def test_inclusion_bayes_factors_are_those_of_robma(psma):
    expected = {"effect": 0.478, "heterogeneity": 0.143, "bias": 16.3}
    found = psma.inclusion["inclusion_bf"]
    assert list(found.index) == list(expected)
    for component, bf in expected.items():
        assert found[component] == pytest.approx(bf, rel=ROBMA)
    assert psma.inclusion["models"].tolist() == [18, 18, 32]
    assert psma.inclusion["prior_prob"].to_numpy() == pytest.approx(0.5)


def test_averaged_means_are_those_of_robma(psma):
    # Half a unit of the last printed place, and its Monte Carlo error.
    printed = {"mu": 5e-4, "tau": 5e-4, "PET": 5e-4, "PEESE": 5e-3}
    expected = {"mu": 0.038, "tau": 0.010, "PET": 0.751, "PEESE": 6.17}
    for name, mean in expected.items():
        mixed = psma.mixture(name)
        allowed = ROBMA * mean + printed[name] + ERRORS * mixed.mcse()
        assert abs(mixed.mean() - mean) < allowed, name


def test_independent_estimates_need_no_quadrature(psma):
    assert {fit.rule for fit in psma.fits} == {None}


# ---- the schools, with correlated estimates ---------------------------------------


@pytest.mark.parametrize(
    ("kind", "exact"),
    [
        ("omega[one-sided: .05] ~", SCHOOLS["one-sided"]),
        ("omega[two-sided: .05] ~", SCHOOLS["two-sided"]),
        ("PET", SCHOOLS["PET"]),
    ],
)
def test_log_marginal_likelihood_with_clusters(hierarchical, kind, exact):
    fit = of_bias(hierarchical, kind)
    assert fit.names[:3] == ("mu", "tau", "rho")
    assert_logml(fit, exact)
    assert fit.logml_mcse < LOGML_MCSE
    assert fit.ok


def test_weights_of_one_leave_the_normal_model(hierarchical):
    normal = of_bias(hierarchical, "None")
    weighted = of_bias(hierarchical, "omega[one-sided: .05] =")
    error = np.hypot(normal.logml_mcse, weighted.logml_mcse)
    assert 0 < error < 2 * LOGML_MCSE
    assert abs(normal.logml - weighted.logml) < ERRORS * error
    points = np.random.default_rng(2).normal(scale=0.7, size=(50, 3))
    np.testing.assert_allclose(
        log_density(hierarchical.task, weighted, weighted.rule, points),
        log_density(hierarchical.task, normal, None, points),
        rtol=0,
        atol=EXACT,
    )


def log_density(task, fit, rule, points):
    data = json.dumps(stan_data(task, fit.spec, rule))
    with LogDensity(library(program(task, fit.spec)), data) as density:
        return density(points)


@pytest.mark.parametrize("sides", ["one", "two"])
def test_quadrature_over_clusters_is_certified_at_the_draws(hierarchical, sides):
    fit = of_bias(hierarchical, f"omega[{sides}-sided: .05] ~")
    assert fit.rule is not None
    constrained = fit.chains.constrained
    flat = constrained.reshape(-1, constrained.shape[2])[::7]
    assert len(flat) > 500
    data = json.dumps(stan_data(hierarchical.task, fit.spec, fit.rule))
    with LogDensity(library("selection"), data) as density:
        points = density.unconstrain(flat)
        found = density(points)
    wider = Rule(fit.rule.spacing / 3, fit.rule.reach + 3)
    finer = log_density(hierarchical.task, fit, wider, points)
    gap = np.abs(found - finer)
    # The draws that are not those of the certificate lie further out now and then.
    assert np.mean(gap <= TOLERANCE) > 0.995
    assert gap.mean() < TOLERANCE / 5
    assert gap.max() < 5 * TOLERANCE


def test_regression_on_the_standard_error_needs_no_quadrature(hierarchical):
    assert of_bias(hierarchical, "PET").rule is None
    assert of_bias(hierarchical, "None").rule is None


# ---- fixed weights ----------------------------------------------------------------

FALLING = rb.prior_weightfunction(
    "one.sided.fixed", steps=[0.025, 0.05], omega=[1, 0.6, 0.2]
)


def test_fixed_weights_and_parameters_have_a_computed_likelihood(schools):
    fit = rb.robma(
        schools, d="yi", v="vi", study_ids="district", seed=1, **ONLY_ALTERNATIVES,
        priors_effect=rb.prior("spike", location=0.1),
        priors_heterogeneity=rb.prior("spike", location=0.2),
        priors_hierarchical=rb.prior("spike", location=0.6),
        priors_bias=FALLING, priors_bias_null=None,
    ).fits[0]  # fmt: skip
    d, se = schools["yi"].to_numpy(), np.sqrt(schools["vi"].to_numpy())
    y, se_y = d_to_z(d, se)
    cuts = s.cut_offs(d, se, "d", "z", [0.025, 0.05], 1)
    exact = s.log_likelihood(
        y, se_y, schools["district"], 0.05, 0.1, 0.6, cuts, [0.2, 0.6, 1.0], 1
    )
    assert fit.logml == pytest.approx(exact, abs=1e-7)
    assert fit.logml_mcse == 0.0


@pytest.mark.parametrize("tau", [SPIKE_0, DEFAULT_HETEROGENEITY])
def test_fixed_weights_have_a_proper_marginal_likelihood(bem, tau):
    null = "priors_heterogeneity" if tau is SPIKE_0 else "priors_heterogeneity_null"
    fit = rb.robma(
        bem, d="d", se="se", seed=1, priors_effect_null=None, **{null: None},
        priors_bias=FALLING, priors_bias_null=None,
    ).fits[0]  # fmt: skip
    y, se = d_to_z(bem["d"], bem["se"])
    exact = s.log_marginal_selection(
        y, se, None, {"mu": DEFAULT_EFFECT, "tau": tau},
        s.cut_offs(bem["d"], bem["se"], "d", "z", [0.025, 0.05], 1),
        omega=[0.2, 0.6, 1.0],
    )  # fmt: skip
    assert abs(fit.logml - exact.logml) < ERRORS * fit.logml_mcse + 1e-4


# ---- direction --------------------------------------------------------------------

TWO_BIASES = [
    ONE_SIDED(steps=[0.05], alpha=[1, 1]),
    rb.prior_PET("cauchy", location=0, scale=1),
]


def test_negative_direction_is_the_mirror_image(bem):
    fit = rb.robma(
        bem.assign(d=-bem["d"]), d="d", se="se", seed=1, effect_direction="negative",
        priors_heterogeneity_null=None, priors_bias=TWO_BIASES, priors_bias_null=None,
    )  # fmt: skip
    same = rb.robma(
        bem, d="d", se="se", seed=2,
        priors_heterogeneity_null=None, priors_bias=TWO_BIASES, priors_bias_null=None,
    )  # fmt: skip
    assert_logml(fit.fits[2], BEM[31])
    assert_logml(fit.fits[3], BEM[35])
    for left, right in zip(fit.fits, same.fits, strict=True):
        error = np.hypot(left.logml_mcse, right.logml_mcse)
        assert abs(left.logml - right.logml) < ERRORS * error
    mirrored, plain = (f.mixture("mu", conditional=True) for f in (fit, same))
    assert plain.mean() > 0.01
    error = np.hypot(mirrored.mcse(), plain.mcse())
    assert abs(mirrored.mean() + plain.mean()) < ERRORS * error
    # Bias itself has no direction: its coefficients stay positive.
    assert fit.mixture("PET").quantiles([0.0])[0] >= 0


@pytest.mark.parametrize(
    "bias", [None, TWO_SIDED(steps=[0.05], alpha=[1, 1])], ids=["none", "two-sided"]
)
def test_effect_on_the_other_side_does_not_matter_without_a_direction(bem, bias):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = rb.robma(
            bem.assign(d=-bem["d"]), d="d", se="se", seed=1,
            priors_effect_null=None, priors_heterogeneity=None, priors_bias=bias,
        )  # fmt: skip
    assert fit.mixture("mu").quantiles([0.5])[0] < 0


# ---- presets ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "numbers", "share"),
    [
        ("PP", (1, 8, 9, 10, 17, 18, 19, 26, 27, 28, 35, 36), 1 / 16),
        ("2w", (1, 2, 3, 10, 11, 12, 19, 20, 21, 28, 29, 30), 1 / 16),
    ],
)
def test_preset_is_a_part_of_the_default_models(bem, psma, preset, numbers, share):
    fit = rb.robma(bem, d="d", se="se", seed=3, model_type=preset)
    part = psma.models.loc[list(numbers)]
    assert fit.models["bias"].tolist() == part["bias"].tolist()
    assert fit.models["effect"].tolist() == part["effect"].tolist()
    np.testing.assert_allclose(fit.prior_prob, 4 * [1 / 8, share, share], rtol=1e-12)
    for number, found in zip(numbers, fit.fits, strict=True):
        default = psma.fits[number - 1]
        error = np.hypot(found.logml_mcse, default.logml_mcse)
        assert abs(found.logml - default.logml) < ERRORS * error + EXACT
        if number in BEM:
            assert_logml(found, BEM[number])
