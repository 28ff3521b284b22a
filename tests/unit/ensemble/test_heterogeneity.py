"""Measures of heterogeneity and the effect of a new study, from made-up fits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.ensemble import (
    CLUSTER_MEASURES,
    cluster_effects,
    heterogeneity,
    new_effect,
    prediction_interval,
    true_effects,
    typical_variance,
)
from pyrobma.models import Task

# Sums and quotients of a few hundred doubles.
ROUNDING = 1e-10
LOGML = [-2.0, 0.5, -1.0, 0.9]
MCSE = [0.0, 0.01, 0.002, 0.02]


@pytest.fixture(scope="module")
def ensemble(made):
    return made.ensemble(made.space(), LOGML, MCSE)


def spike(location):
    return rb.prior("spike", location=location)


def test_the_typical_variance_of_equal_studies_is_their_variance():
    equal = rb.effect_sizes(z=[0.1, 0.2, 0.3], se=[0.2, 0.2, 0.2])
    assert typical_variance(equal) == pytest.approx(0.04, rel=ROUNDING)


def test_the_typical_variance_is_that_of_higgins_and_thompson():
    effects = rb.effect_sizes(z=[0.1, 0.2, 0.3, 0.0], se=[0.1, 0.2, 0.3, 0.5])
    w = effects.se**-2.0
    expected = 3 * w.sum() / (w.sum() ** 2 - (w**2).sum())
    assert typical_variance(effects) == pytest.approx(expected, rel=ROUNDING)


def test_a_study_that_outweighs_all_others_leaves_the_typical_variance_its_digits():
    """Two studies: (w1 + w2) / (2 w1 w2), the mean of the variances."""
    effects = rb.effect_sizes(y=[0.0, 1.0], se=[1e-9, 1.0])
    assert typical_variance(effects) == pytest.approx(0.5, rel=ROUNDING)


def test_one_study_has_no_typical_variance_and_no_i2(made):
    alone = rb.effect_sizes(d=[0.1], se=[0.1])
    assert np.isnan(typical_variance(alone))
    found = heterogeneity(
        made.ensemble(made.space(hierarchical=False), LOGML, effects=alone)
    )
    assert list(found) == ["tau", "tau2"]


@pytest.mark.parametrize("scale", ["cohens_d", "fishers_z", "r", "logOR", "OR"])
def test_tau2_is_the_square_of_tau_on_every_scale(ensemble, scale):
    found = heterogeneity(ensemble, output_scale=scale)
    factor = rb.scale_factor("cohens_d", scale)
    for tau, tau2, fit in zip(
        found["tau"].draws, found["tau2"].draws, ensemble.fits, strict=True
    ):
        np.testing.assert_allclose(tau, factor * fit.draws("tau"), rtol=ROUNDING)
        np.testing.assert_allclose(tau2, tau**2, rtol=ROUNDING)


@pytest.mark.parametrize("scale", [None, "OR"])
def test_i2_and_h2_compare_variances_on_the_measure_of_the_likelihood(ensemble, scale):
    found = heterogeneity(ensemble, output_scale=scale)
    typical = typical_variance(ensemble.task.effects)
    variance = (ensemble.fits[3].draws("tau") / 2) ** 2  # Cohen's d to Fisher's z
    np.testing.assert_allclose(
        found["I2"].draws[3], 100 * variance / (variance + typical), rtol=ROUNDING
    )
    np.testing.assert_allclose(
        found["H2"].draws[3], (variance + typical) / typical, rtol=ROUNDING
    )


def test_the_parts_of_the_heterogeneity_sum_to_the_whole(ensemble):
    found = heterogeneity(ensemble, output_scale="logOR")
    assert tuple(found)[-5:] == CLUSTER_MEASURES
    for k in range(4):
        np.testing.assert_allclose(
            found["tau_between"].draws[k] ** 2 + found["tau_within"].draws[k] ** 2,
            found["tau2"].draws[k],
            rtol=ROUNDING,
        )
        np.testing.assert_allclose(
            found["I2_between"].draws[k] + found["I2_within"].draws[k],
            found["I2"].draws[k],
            rtol=ROUNDING,
        )
    rho, tau = ensemble.fits[3].draws("rho"), found["tau"].draws[3]
    np.testing.assert_allclose(found["tau_between"].draws[3], np.sqrt(rho) * tau)
    share = found["I2_between"].mean() / found["I2"].mean()
    assert 0 < share < 1


def test_independent_true_effects_are_all_within_clusters(made):
    space = made.space(hierarchical_null=(spike(0),), null=False)
    found = heterogeneity(made.ensemble(space, [0.0, 0.0]))
    assert (found["tau_between"].draws[0] == 0).all()
    np.testing.assert_array_equal(found["tau_within"].draws[0], found["tau"].draws[0])
    assert (found["ICC"].draws[0] == 0).all()
    assert found["ICC"].probabilities[0] == 0.5


def test_equal_true_effects_have_no_correlation(ensemble):
    """The averaged ICC leaves out the models without heterogeneity; rho does not."""
    found = heterogeneity(ensemble)
    np.testing.assert_array_equal(found["ICC"].probabilities[[0, 2]], 0)
    np.testing.assert_allclose(
        found["ICC"].mean(), ensemble.mixture("rho", conditional=True).mean()
    )
    assert found["tau_between"].probabilities[0] > 0


def test_without_clusters_there_is_nothing_between_them(made):
    effects = rb.effect_sizes(d=[0.1, 0.3], se=[0.1, 0.2])
    found = heterogeneity(
        made.ensemble(made.space(hierarchical=False), LOGML, effects=effects)
    )
    assert list(found) == ["tau", "tau2", "I2", "H2"]


def test_conditional_measures_are_those_given_heterogeneity(made):
    space = made.space(hierarchical_null=(spike(0),))
    ensemble = made.ensemble(space, np.linspace(-1, 1, len(space)))
    found = heterogeneity(ensemble, conditional=True)
    given = ensemble.members("heterogeneity")
    for name, mixture in found.items():
        member = ensemble.members("hierarchical") if name == "ICC" else given
        np.testing.assert_array_equal(mixture.probabilities > 0, member)


def test_one_model_can_be_asked_for(ensemble):
    for k in range(4):
        found = heterogeneity(ensemble, given=np.eye(4, dtype=bool)[k])
        assert found["tau"].mean() == ensemble.fits[k].draws("tau").mean()
        assert ("ICC" in found) == (k in (1, 3))


@pytest.mark.parametrize("scale", [None, "fishers_z", "OR"])
def test_the_prediction_interval_is_that_of_simulated_new_studies(ensemble, scale):
    rng = np.random.default_rng(8)
    found = prediction_interval(ensemble, output_scale=scale, probs=[0.1, 0.9])
    draws = ensemble.joint("mu", "tau", size=10_000)
    repeats = 400
    theta = draws["mu"][:, None] / 2 + draws["tau"][:, None] / 2 * rng.normal(
        size=(len(draws.weights), repeats)
    )
    convert = ensemble.converter("mu", scale)
    values, weights = convert(2 * theta).ravel(), np.repeat(draws.weights, repeats)
    mean = weights @ (values / repeats)
    sd = np.sqrt(weights @ ((values - mean) ** 2 / repeats))
    error = 4 / np.sqrt(len(values) / 10)  # few draws weigh most
    if scale == "OR":  # exp(theta) has no mean if tau is not bounded
        assert np.isnan([found["Mean"], found["error(Mean)"]]).all()
    else:
        assert found["Mean"] == pytest.approx(mean, abs=error * sd)
    expected = np.quantile(
        values, [0.5, 0.1, 0.9], weights=weights, method="inverted_cdf"
    )
    np.testing.assert_allclose(
        [found["Median"], found["0.1"], found["0.9"]], expected, atol=3 * error * sd
    )


def test_the_mean_of_a_new_study_and_its_error_are_those_of_the_effect(ensemble):
    found, mu = prediction_interval(ensemble), ensemble.mixture("mu")
    assert found["Mean"] == pytest.approx(mu.mean(), rel=ROUNDING)
    assert found["error(Mean)"] == pytest.approx(mu.mcse(), rel=ROUNDING)


@pytest.mark.parametrize(
    ("mapping", "scale", "upper", "exists"),
    [
        ("linear", "OR", None, False),
        ("linear", "OR", 1.0, True),
        ("linear", "logOR", None, True),
        ("exact", "cohens_d", None, False),
        ("exact", "logOR", None, False),
        ("exact", "logOR", 1.0, True),
        ("exact", "fishers_z", None, True),
        ("exact", "r", None, True),
    ],
)
def test_a_mean_that_does_not_exist_is_missing(made, mapping, scale, upper, exists):
    tau = rb.prior("inv_gamma", shape=1, scale=0.15, upper=upper)
    space = rb.model_space(effect=(rb.prior("normal", mean=0, sd=1),),
                           heterogeneity=(tau,))  # fmt: skip
    plain = made.ensemble(space, [0.0])
    mapped = replace(plain, task=replace(plain.task, effect_mapping=mapping))
    found = prediction_interval(mapped, output_scale=scale)
    assert np.isfinite(found["Mean"]) == exists
    assert np.isfinite([found["Median"], found["0.975"]]).all()
    assert np.isnan(cluster_effects(mapped, output_scale=scale)["SD"]).all() != exists
    assert np.isfinite(true_effects(mapped, output_scale=scale)["Mean"]).all()


def test_the_prediction_interval_is_wider_than_that_of_the_mean(ensemble):
    found = prediction_interval(ensemble, conditional=True)
    low, high = ensemble.mixture("mu", conditional=True).quantiles([0.025, 0.975])
    assert found["0.025"] < low
    assert found["0.975"] > high


def test_conditional_prediction_is_over_the_models_with_an_effect(ensemble):
    given = ensemble.members("effect")
    expected = 2 * new_effect(ensemble, given=given).quantiles([0.5])[0]
    found = prediction_interval(ensemble, conditional=True)
    assert found["Median"] == pytest.approx(expected, rel=ROUNDING)
    assert found["Mean"] == pytest.approx(
        ensemble.mixture("mu", conditional=True).mean(), rel=ROUNDING
    )


def test_fixed_values_predict_a_point_or_a_normal_distribution(made):
    for tau, quantile in ((0.0, 0.3), (0.5, 0.3 + 0.5 * 1.959963984540054)):
        space = rb.model_space(effect=(spike(0.3),), heterogeneity=(spike(tau),))
        effects = rb.effect_sizes(z=[0.1, 0.2], se=[0.1, 0.2])
        found = prediction_interval(made.ensemble(space, [0.0], effects=effects))
        assert found["0.975"] == pytest.approx(quantile, rel=ROUNDING)
        assert found["error(Mean)"] == 0


def test_the_ends_of_a_scale_are_the_first_and_last_quantile(ensemble):
    ends = {"r": (-1, 1), "OR": (0, np.inf), "cohens_d": (-np.inf, np.inf)}
    for scale, expected in ends.items():
        found = prediction_interval(ensemble, output_scale=scale, probs=[0, 1])
        assert (found["0"], found["1"]) == expected


def test_effects_beyond_a_correlation_of_one_have_quantiles_but_no_mean(made):
    effects = rb.effect_sizes(r=[0.3], n=[60], transformation="r")
    space = rb.model_space(effect=(spike(0.5),), heterogeneity=(spike(0.4),))
    ensemble = made.ensemble(space, [0.0], effects=effects)
    found = prediction_interval(
        replace(ensemble, task=Task(effects, "r")), output_scale="fishers_z"
    )
    assert found["Median"] == pytest.approx(np.arctanh(0.5), rel=ROUNDING)
    assert found["0.975"] == np.inf
    assert np.isnan(found["Mean"])
    assert np.isnan(found["error(Mean)"])


@pytest.fixture
def correlations(made):
    """Two models of a correlation: within its ends, and with a part beyond one."""

    def build(logml):
        effects = rb.effect_sizes(r=[0.3], n=[60], transformation="r")
        space = rb.model_space(
            effect=(spike(0.8),), heterogeneity_null=(spike(0),),
            heterogeneity=(spike(0.1),),
        )  # fmt: skip
        assert [m.is_zero("tau") for m in space] == [True, False]
        ensemble = made.ensemble(space, logml, effects=effects)
        return replace(ensemble, task=Task(effects, "r"))

    return build


def test_one_model_with_effects_beyond_one_leaves_no_mean(correlations):
    found = prediction_interval(correlations([0.0, 0.0]), output_scale="fishers_z")
    assert np.isnan([found["Mean"], found["error(Mean)"]]).all()
    assert found["Median"] == pytest.approx(np.arctanh(0.8), rel=ROUNDING)


@pytest.mark.parametrize(
    ("logml", "given"), [([0.0, -2000.0], None), ([0.0, 0.0], [True, False])]
)
def test_models_that_do_not_count_take_no_mean_away(correlations, logml, given):
    found = prediction_interval(
        correlations(logml), output_scale="fishers_z",
        given=None if given is None else np.array(given),
    )  # fmt: skip
    assert found["Mean"] == pytest.approx(np.arctanh(0.8), rel=ROUNDING)
    assert found["error(Mean)"] == 0


def test_what_no_model_has_cannot_be_a_condition(made):
    space = rb.model_space(effect_null=(spike(0),), heterogeneity_null=(spike(0),))
    ensemble = made.ensemble(space, [0.0])
    with pytest.raises(
        rb.DataError, match=r"conditional: expected .* for heterogeneity"
    ):
        heterogeneity(ensemble, conditional=True)
    with pytest.raises(rb.DataError, match=r"conditional: expected .* for effect"):
        prediction_interval(ensemble, conditional=True)
    with pytest.raises(rb.DataError, match="output_scale: expected one of"):
        heterogeneity(ensemble, output_scale="z")
