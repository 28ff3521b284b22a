"""Bayes factors by the prior, against integrals in one dimension and closed forms."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import cauchy, multivariate_normal, norm
from scipy.stats import t as student_t

import pyrobma as rb
from pyrobma.fit import fit_models
from pyrobma.models import Column, Task
from pyrobma.parameters import REALS, Component, Parameter
from pyrobma.sensitivity import SCALES, Sensitivity, sensitivity

# The module, not what the package may call by its name.
MODULE = import_module("pyrobma.sensitivity")

# Monte Carlo errors that an estimate may be off; of some dozens, none is beyond.
MOST_ERRORS = 4.0
# Twice `max_mcse` by reweighting, and `max_mcse` of the fit.
LARGEST_ERROR = 0.0225

Y = np.array([0.3, 0.5, 0.1, 0.25, 0.4, 0.05])
SE = np.array([0.2, 0.3, 0.15, 0.25, 0.2, 0.3])
SPIKE = rb.prior("spike", location=0)
SETTINGS = rb.SamplerSettings(chains=4, draws=500)


def normal(sd):
    return rb.prior("normal", mean=0, sd=sd)


def fitted(seed=1, **options):
    given = {"priors_effect": normal(1), "priors_heterogeneity": None,
             "priors_bias": None}  # fmt: skip
    return rb.robma(y=Y, se=SE, seed=seed, settings=SETTINGS, **(given | options))


def log_bf(sd):
    """The Bayes factor of Normal(0, sd) against 0, tau being 0."""
    null = np.diag(SE**2)
    return multivariate_normal.logpdf(Y, cov=null + sd**2) - multivariate_normal.logpdf(
        Y, cov=null
    )


def averaged_mean(sd):
    precision = (SE**-2).sum() + sd**-2
    return (Y / SE**2).sum() / precision / (1 + math.exp(-log_bf(sd)))


def log_bf_of(density, low=-np.inf, x=1.0):
    """The Bayes factor of a prior of the coefficient of a column against 0."""

    def integrand(mu):
        logs = norm.logpdf(Y, mu * x, SE) - norm.logpdf(Y, 0, SE)
        return density(mu) * math.exp(logs.sum())

    middle = 0.25
    parts = [(low, middle), (middle, np.inf)]
    return math.log(sum(quad(integrand, *ends, epsabs=1e-12)[0] for ends in parts))


def rows(found, component=None):
    frame = found.frame
    return frame[frame["component"] == (component or found.component)]


def assert_near(found, expected, error):
    off = np.abs(np.asarray(found) - np.asarray(expected))
    assert (off <= MOST_ERRORS * np.asarray(error)).all(), off / error


@pytest.fixture(scope="module")
def fit():
    return fitted()


@pytest.fixture(scope="module")
def found(fit):
    return sensitivity(fit, "effect")


def test_bayes_factors_of_an_effect_are_those_of_normal_theory(found):
    curve = rows(found)
    assert curve["scale"].tolist() == list(SCALES)
    assert_near(curve["log_bf"], [log_bf(sd) for sd in SCALES], curve["log_bf_mcse"])
    assert (curve["log_bf_mcse"] < LARGEST_ERROR).all()
    np.testing.assert_allclose(np.log(curve["inclusion_bf"]), curve["log_bf"])
    assert set(curve["how"]) == {"as fitted", "reweighted", "refitted"}


def test_averaged_means_are_those_of_normal_theory(found):
    curve = rows(found)
    expected = [averaged_mean(sd) for sd in SCALES]
    assert_near(curve["mean"], expected, curve["mean_mcse"])
    estimates = found.estimates
    own = estimates[estimates["parameter"] == "mu"]
    assert own["mean"].tolist() == curve["mean"].tolist()
    assert (estimates.loc[estimates["parameter"] == "tau", "mean"] == 0).all()


def test_far_scales_are_right(fit):
    scales = [1 / 64, 64]
    curve = rows(sensitivity(fit, "effect", scales=scales))
    expected = [log_bf(sd) for sd in (1 / 64, 1, 64)]
    assert_near(curve["log_bf"], expected, curve["log_bf_mcse"])
    # Under so narrow a prior no draw is typical.
    assert curve["how"].iloc[0] == "refitted"


def test_errors_are_those_of_many_runs():
    scales = [0.21, 0.35, 4]
    z = []
    for seed in range(2, 12):
        curve = rows(sensitivity(fitted(seed), "effect", scales=scales))
        off = curve["log_bf"] - [log_bf(sd) for sd in curve["scale"]]
        z.append(off / curve["log_bf_mcse"])
    z = np.array(z)
    assert np.abs(z).max() < MOST_ERRORS
    # Ten squares of normal numbers have a mean outside of this 1 time in 100.
    assert ((z**2).mean(axis=0) > 0.2).all()
    assert ((z**2).mean(axis=0) < 2.6).all()


def test_the_prior_as_fitted_has_the_results_of_the_ensemble():
    ensemble = fitted(priors_heterogeneity=rb.prior("exp", rate=5))
    found = sensitivity(ensemble, "heterogeneity", scales=[2])
    same = found.frame[found.frame["factor"] == 1]
    assert set(same["how"]) == {"as fitted"}
    assert same["component"].tolist() == ["effect", "heterogeneity"]
    for name in ("prior_prob", "post_prob", "log_bf", "log_bf_mcse"):
        expected = ensemble.inclusion[name].to_numpy()
        np.testing.assert_allclose(same[name], expected, rtol=1e-12)
    mixtures = [ensemble.mixture("mu"), ensemble.mixture("tau")]
    np.testing.assert_allclose(same["mean"], [m.mean() for m in mixtures])
    np.testing.assert_allclose(same["mean_mcse"], [m.mcse() for m in mixtures])
    # The other component's Bayes factor moves too.
    other = rows(found, "effect")["log_bf"]
    assert other.iloc[0] != other.iloc[1]
    assert rows(found)["prior"].tolist() == ["Exponential(5)", "Exponential(2.5)"]
    assert rows(found)["scale"].tolist() == [0.2, 0.4]


@pytest.mark.parametrize(
    ("prior", "density", "low"),
    [
        (
            rb.prior("cauchy", location=0, scale=0.7),
            cauchy(0, 0.7).pdf,
            -np.inf,
        ),
        (
            rb.prior("t", location=0.35, scale=0.1, df=3, lower=0),
            lambda x: student_t.pdf(x, 3, 0.35, 0.1) / student_t.sf(0, 3, 0.35, 0.1),
            0.0,
        ),
        (rb.prior("uniform", a=-2, b=2), lambda x: 0.25 * (abs(x) < 2), -2.0),
    ],
    ids=["cauchy", "half_t", "uniform"],
)
def test_priors_of_other_families_are_right(fit, prior, density, low):
    curve = rows(sensitivity(fit, "effect", priors=[prior]))
    assert curve["prior"].tolist() == ["Normal(0, 1)", str(prior)]
    assert curve["factor"].iloc[0] == 1
    assert math.isnan(curve["factor"].iloc[1])
    row = curve.iloc[1]
    assert_near(row["log_bf"], log_bf_of(density, low), row["log_bf_mcse"])


def test_a_point_and_a_wider_support_are_fitted_again():
    half = rb.prior("normal", mean=0, sd=1, lower=0)
    point = rb.prior("spike", location=0.3)
    found = sensitivity(fitted(priors_effect=half), "effect", priors=[point, normal(1)])
    curve = rows(found)
    assert curve["how"].tolist() == ["as fitted", "refitted", "refitted"]
    exact = (norm.logpdf(Y, 0.3, SE) - norm.logpdf(Y, 0, SE)).sum()
    assert curve["log_bf"].iloc[1] == pytest.approx(exact, abs=1e-9)
    assert_near(curve["log_bf"].iloc[2], log_bf(1), curve["log_bf_mcse"].iloc[2])


def test_a_kind_of_bias_is_scaled_alone():
    ensemble = fitted(
        priors_effect=None,
        priors_bias=[
            rb.prior_PET("cauchy", location=0, scale=1),
            rb.prior_PEESE("cauchy", location=0, scale=5),
        ],
    )
    found = sensitivity(ensemble, "PET", scales=[0.25, 4])
    assert list(dict.fromkeys(found.frame["component"])) == [
        "effect", "heterogeneity", "bias", "PET",
    ]  # fmt: skip
    peese = log_bf_of(lambda x: 2 * cauchy.pdf(x, 0, 5), 0.0, SE**2)
    bias, curve = rows(found, "bias"), rows(found)
    for place, scale in enumerate((0.25, 1, 4)):
        pet = log_bf_of(lambda x, s=scale: 2 * cauchy.pdf(x, 0, s), 0.0, SE)
        one = bias.iloc[place]
        both = np.logaddexp(pet, peese) - math.log(2)
        assert_near(one["log_bf"], both, one["log_bf_mcse"])
        one = curve.iloc[place]
        others = np.logaddexp(0, peese) - math.log(2)  # no bias, and PEESE
        assert_near(one["log_bf"], pet - others, one["log_bf_mcse"])
        assert one["scale"] == scale


def test_unknowns_of_one_component_are_scaled_together():
    x = np.array([-1.5, -0.5, 0.0, 0.2, 0.6, 1.2])
    component = Component("dose", "Dose", "an effect of the dose", "dose")
    columns = tuple(
        Column(
            Parameter(name, component, "spread", "moderator", REALS, name, name, name,
                      name),
            values,
        )
        for name, values in (("linear", x), ("squared", x**2))
    )  # fmt: skip
    task = Task(rb.effect_sizes(y=Y, se=SE), "none", columns=columns)
    priors = (("linear", normal(1)), ("squared", normal(1)))
    term = rb.Hypotheses("dose", (rb.Choice(),), (rb.Choice(priors),))
    space = rb.model_space(
        term, effect_null=[SPIKE], heterogeneity_null=[SPIKE], unknowns=task.unknowns
    )
    fits = fit_models(task, space, settings=SETTINGS, seed=1)
    ensemble = rb.RobmaFit(task, space, fits, SETTINGS, 1)
    curve = rows(found := sensitivity(ensemble, "dose"))
    null = np.diag(SE**2)
    outer = np.outer(x, x) + np.outer(x**2, x**2)
    exact = [
        multivariate_normal.logpdf(Y, cov=null + sd**2 * outer)
        - multivariate_normal.logpdf(Y, cov=null)
        for sd in SCALES
    ]
    assert_near(curve["log_bf"], exact, curve["log_bf_mcse"])
    assert curve["scale"].tolist() == list(SCALES)
    assert curve["mean"].isna().all()
    assert set(found.estimates["parameter"]) == {"mu", "tau", "linear", "squared"}
    assert "Mean" not in found.summary().frame
    assert found.plot().labels.x == "sd of the prior of Dose (units of the data)"


def test_nothing_is_fitted_twice(fit, monkeypatch):
    calls = []

    def recorded(task, space, **options):
        calls.append(space)
        return fit_models(task, space, **options)

    monkeypatch.setattr(MODULE, "fit_models", recorded)
    first = sensitivity(fit, "effect")
    assert len(calls) == 1
    fresh = [spec.likelihood for spec in calls[0]]
    assert len(set(fresh)) == len(fresh) > 0
    assert not set(fresh) & {spec.likelihood for spec in fit.space}
    assert all("effect" in spec.alternative for spec in calls[0])
    again = sensitivity(fit, "effect", fits=first.fits)
    pairs = zip(first.fits, again.fits, strict=True)
    assert all(new.chains is old.chains for old, new in pairs)
    # As fitted, and near it, there is nothing to fit.
    assert sensitivity(fit, "effect", scales=[1, 1.1]).fits == ()
    assert len(calls) == 2


def test_a_prior_that_another_model_has_is_as_fitted():
    ensemble = fitted(priors_effect=[normal(0.5), normal(1)])
    curve = rows(sensitivity(ensemble, "effect", scales=[0.5, 2]))
    assert curve["prior"].tolist() == [
        "Normal(0, 0.25) or Normal(0, 0.5)",
        "Normal(0, 0.5) or Normal(0, 1)",
        "Normal(0, 1) or Normal(0, 2)",
    ]
    exact = [
        np.logaddexp(log_bf(sd / 2), log_bf(sd)) - math.log(2) for sd in (0.5, 1, 2)
    ]
    assert_near(curve["log_bf"], exact, curve["log_bf_mcse"])
    one = rows(sensitivity(ensemble, "effect", priors=[normal(1)])).iloc[1]
    assert one["how"] == "as fitted"
    second = ensemble.fits[2]
    assert one["log_bf"] == pytest.approx(second.logml - ensemble.fits[0].logml)
    assert one["log_bf_mcse"] == pytest.approx(second.logml_mcse)


def test_results_follow_from_the_seed(fit, found):
    same = sensitivity(fit, "effect", cores=1)
    assert same.frame.equals(found.frame)
    other = sensitivity(fit, "effect", seed=5)
    how = found.frame["how"]
    differs = other.frame["log_bf"] != found.frame["log_bf"]
    effect = found.frame["component"] == "effect"
    assert (differs == (effect & (how == "refitted"))).all()


def test_a_refit_that_misses_a_check_is_told(fit, monkeypatch):
    def missing(*given, **options):
        fits = fit_models(*given, **options)
        return tuple(replace(one, reasons=("a made-up reason",)) for one in fits)

    monkeypatch.setattr(MODULE, "fit_models", missing)
    with pytest.warns(rb.ConvergenceWarning, match="Model fitted again .* a made-up"):
        sensitivity(fit, "effect", scales=[1 / 64])


def test_a_component_of_every_model_has_estimates_only(made):
    ensemble = made.ensemble(made.space(hierarchical=False, null=False), [0.0])
    found = sensitivity(ensemble, "effect", scales=[1.01])
    curve = rows(found)
    assert np.isposinf(curve["log_bf"]).all()
    assert curve["mean"].notna().all()
    assert "Inf" in str(found)
    with pytest.raises(rb.DataError, match="expected a finite Bayes factor"):
        found.plot()


def test_it_prints_as_a_table(found):
    table = found.summary()
    assert table.frame.index.tolist()[4] == "Normal(0, 1)"
    assert table.frame.columns.tolist() == [
        "Factor", "Inclusion BF", "error(log BF)", "Mean", "error(mean)", "Models",
    ]  # fmt: skip
    assert str(found) == str(table)
    assert "Effect" in str(found)
    assert found._repr_html_() == found.summary().to_html()
    assert isinstance(found, Sensitivity)


def test_it_is_drawn_for_every_component(found):
    assert found.plot().labels.y == "Inclusion Bayes factor: Effect"
    assert found.plot().labels.x == "sd of the prior of μ (units of the data)"
    with pytest.raises(rb.DataError, match=r"component: expected one of effect, h.*'P"):
        found.plot("PET")


@pytest.mark.parametrize(
    ("component", "options", "error", "message"),
    [
        ("efect", {}, rb.DataError, "component: expected one of effect"),
        ("heterogeneity", {}, rb.DataError, "alternative for; got 'heterogeneity'"),
        ("effect", {"scales": [-1]}, rb.PriorError, "scales: expected a positive"),
        (
            "effect",
            {"scales": [2], "priors": [normal(2)]},
            rb.PriorError,
            "scales: expected None beside priors",
        ),
        ("effect", {"priors": [SPIKE]}, rb.PriorError, "prior of an alternative"),
        ("effect", {"seed": -1}, rb.SettingsError, "seed: expected a whole number"),
        ("effect", {"cores": 0}, rb.SettingsError, "cores: expected a whole number"),
    ],
)
def test_what_cannot_be_asked_is_refused(fit, component, options, error, message):
    with pytest.raises(error, match=message):
        sensitivity(fit, component, **options)
