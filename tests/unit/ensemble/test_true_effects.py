"""True effects of studies and clusters, against dense matrices and quadrature."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest
from restated import data_bias
from scipy import stats

import pyrobma as rb
from pyrobma._numerics import weighted_quantiles
from pyrobma.ensemble import NormalMixture, cluster_effects, true_effects
from pyrobma.ensemble.quantiles import check_probs
from pyrobma.ensemble.scales import data_mean, data_sd
from pyrobma.models import Task

# A few sums and products of doubles.
ROUNDING = 1e-12
# 20 000 evenly spread normal deviates in place of the normal distributions: in sd.
DEVIATES = 0.004
# The same at quantiles in the tails of a mixture, where few deviates are.
TAILS = 0.02
PROBS = (0.025, 0.975)

# Not sorted by cluster; one estimate is independent.
Y = np.array([0.4, -0.1, 0.9, 0.2, 0.3, -0.6])
SE = np.array([0.1, 0.3, 0.25, 0.15, 0.2, 0.4])
IDS = ["b", "a", "b", None, "a", "b"]


def spike(location):
    return rb.prior("spike", location=location)


def fixed(made, mu, tau, rho, bias=None, **task):
    """An ensemble of one model without free parameters."""
    space = rb.model_space(
        effect=(spike(mu),),
        heterogeneity=(spike(tau),),
        hierarchical=() if rho is None else (spike(rho),),
        **({} if bias is None else {"bias": (bias,), "bias_null": ()}),
    )
    effects = rb.effect_sizes(z=Y, se=SE, study_ids=IDS)
    found = made.ensemble(space, [0.0], effects=effects)
    return replace(found, task=Task(effects, **({"prior_scale": "fishers_z"} | task)))


def dense(y, se, cluster, mean, sd, rho, bias=0.0):
    """Moments of the true effects and cluster means given y, by dense matrices."""
    same = np.equal.outer(cluster, cluster)
    heterogeneity = sd**2 * np.where(same, rho, 0.0)
    np.fill_diagonal(heterogeneity, sd**2)
    observed = heterogeneity + np.diag(se**2)
    residual = y - mean - bias
    mean_true = mean + heterogeneity @ np.linalg.solve(observed, residual)
    var_true = np.diag(
        heterogeneity - heterogeneity @ np.linalg.solve(observed, heterogeneity)
    )
    member = np.equal.outer(np.unique(cluster), cluster) * rho * sd**2
    mean_common = mean + member @ np.linalg.solve(observed, residual)
    var_common = rho * sd**2 - np.diag(member @ np.linalg.solve(observed, member.T))
    return mean_true, var_true, mean_common, var_common


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("tau", [0.0, 0.02, 0.5])
def test_moments_are_those_of_the_dense_covariance_matrix(made, tau, rho):
    found = true_effects(fixed(made, 0.2, tau, rho))
    cluster = np.array([1, 0, 1, 2, 0, 1])
    mean, variance, common, common_variance = dense(Y, SE, cluster, 0.2, tau, rho)
    sd = np.sqrt(variance.clip(0))
    assert list(found["study"]) == [f"Study {i}" for i in range(1, 7)]
    assert list(found["cluster"]) == IDS
    np.testing.assert_array_equal(found["estimate"], Y)
    np.testing.assert_allclose(found["Mean"], mean, atol=DEVIATES * sd.max() + ROUNDING)
    np.testing.assert_allclose(found["SD"], sd, atol=DEVIATES * sd.max() + 1e-8)
    np.testing.assert_allclose(
        found["0.975"], mean + 1.959964 * sd, atol=TAILS * sd.max() + 1e-8
    )
    groups = cluster_effects(fixed(made, 0.2, tau, rho))
    assert list(groups["cluster"]) == ["a", "b"]
    assert list(groups["estimates"]) == [2, 3]
    sd = np.sqrt(common_variance.clip(0))[:2]
    np.testing.assert_allclose(
        groups["Mean"], common[:2], atol=DEVIATES * sd.max() + ROUNDING
    )
    np.testing.assert_allclose(groups["SD"], sd, atol=DEVIATES * sd.max() + 1e-8)


def test_the_observed_effect_of_a_cluster_is_its_weighted_mean(made):
    found = cluster_effects(fixed(made, 0.2, 0.5, 0.3)).set_index("cluster")
    weights = SE[[1, 4]] ** -2
    assert found.loc["a", "estimate"] == pytest.approx(
        (weights @ Y[[1, 4]]) / weights.sum(), rel=ROUNDING
    )


def test_without_heterogeneity_every_true_effect_is_the_mean_effect(made):
    found = true_effects(fixed(made, 0.2, 0.0, None))
    assert (found[["Median", "0.025", "0.975"]] == 0.2).all().all()
    np.testing.assert_allclose(found["Mean"], 0.2, rtol=ROUNDING)
    np.testing.assert_allclose(found["SD"], 0, atol=ROUNDING)


@pytest.mark.parametrize("direction", ["positive", "negative"])
def test_what_publication_bias_adds_is_taken_off_the_estimates(made, direction):
    for bias, add in (
        (rb.prior_PET("spike", location=0.7), 0.7 * SE),
        (rb.prior_PEESE("spike", location=0.7), 0.7 * SE**2),
    ):
        found = true_effects(
            fixed(made, 0.2, 0.5, 0.3, bias, effect_direction=direction)
        )
        sign = 1 if direction == "positive" else -1
        cluster = np.array([1, 0, 1, 2, 0, 1])
        mean, variance, *_ = dense(Y, SE, cluster, 0.2, 0.5, 0.3, sign * add)
        sd = np.sqrt(variance)
        np.testing.assert_allclose(found["Mean"], mean, atol=DEVIATES * sd.max())


@pytest.mark.parametrize("mapping", ["linear", "exact"])
def test_parameters_are_carried_to_the_likelihood_and_true_effects_back(made, mapping):
    """Priors on Cohen's d, a likelihood on Fisher's z, output as odds ratios."""
    ensemble = fixed(
        made, 0.8, 0.5, None, prior_scale="cohens_d", effect_mapping=mapping
    )
    found = true_effects(ensemble, output_scale="OR")
    mean = 0.4 if mapping == "linear" else rb.d2z(0.8)
    own = 0.25**2 / (0.25**2 + SE**2)
    centre, sd = mean + own * (Y - mean), np.sqrt(own) * SE

    def carry(theta):
        return rb.d2OR(2 * theta) if mapping == "linear" else rb.z2OR(theta)

    np.testing.assert_allclose(found["Median"], carry(centre), rtol=TAILS)
    np.testing.assert_allclose(
        found["0.025"], carry(centre - 1.959964 * sd), rtol=TAILS
    )
    np.testing.assert_allclose(found["estimate"], rb.z2OR(Y), rtol=ROUNDING)


def test_the_posterior_of_a_free_mean_is_that_of_quadrature(made):
    """Two studies, mu ~ N(0, 1), tau = 0.4: the joint of both effects on a grid."""
    y, se, tau = np.array([0.1, 0.9]), np.array([0.2, 0.3]), 0.4
    grid = np.linspace(-2.5, 3.0, 1101)
    first, second = np.meshgrid(grid, grid, indexing="ij")
    # mu integrated out: both have variance 1 + tau^2 and covariance 1
    prior = stats.multivariate_normal([0, 0], [[1 + tau**2, 1], [1, 1 + tau**2]])
    density = prior.pdf(np.dstack([first, second]))
    density *= stats.norm.pdf(y[0], first, se[0]) * stats.norm.pdf(y[1], second, se[1])
    marginal = density.sum(axis=1) / density.sum()
    mean = marginal @ grid
    sd = np.sqrt(marginal @ (grid - mean) ** 2)

    space = rb.model_space(
        effect=(rb.prior("normal", mean=0, sd=1),), heterogeneity=(spike(tau),)
    )
    precision = 1 / (se**2 + tau**2)
    variance = 1 / (1 + precision.sum())
    even = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    mu = variance * precision @ y + np.sqrt(variance) * even
    effects = rb.effect_sizes(z=y, se=se)
    draws = np.random.default_rng(1).permutation(mu).reshape(2, 2000)
    fit = made.fit(space.models[0], draws={"mu": draws})
    ensemble = rb.RobmaFit(
        Task(effects, "fishers_z"), space, (fit,), rb.SamplerSettings(), 1
    )
    found = true_effects(ensemble).loc[0]
    assert found["Mean"] == pytest.approx(mean, abs=DEVIATES * sd)
    assert found["SD"] == pytest.approx(sd, rel=2 * DEVIATES)
    for p in PROBS:
        expected = np.interp(p, np.cumsum(marginal), grid)
        assert found[f"{p:g}"] == pytest.approx(expected, abs=TAILS * sd)


@pytest.fixture(scope="module")
def averaged(made):
    """Four models, one without free parameters, of very different probability."""
    effects = rb.effect_sizes(z=Y, se=SE, study_ids=IDS)
    return made.ensemble(
        made.space(), [-1.0, 0.5, -0.5, 1.0], effects=effects, size=(4, 500)
    )


def exact(ensemble, study, given=None):
    """The same mixture of normal distributions, with exact quantiles."""
    task = ensemble.task
    draws = ensemble.joint("mu", "tau", "rho", "PET", "PEESE", given=given, size=4000)
    y, se, cluster = task.effects.y, task.effects.se, task.effects.cluster
    moments = []
    for mu, tau, rho, PET, PEESE in zip(
        *(draws[name] for name in ("mu", "tau", "rho", "PET", "PEESE")), strict=True
    ):
        bias = data_bias(task, se, PET, PEESE)
        mean, variance, *_ = dense(
            y, se, cluster, data_mean(task, mu), data_sd(task, tau), rho, bias
        )
        moments.append((mean[study], variance[study]))
    mean, variance = np.array(moments).T
    return NormalMixture(draws.weights, mean, np.sqrt(variance.clip(0)))


@pytest.mark.parametrize("conditional", [False, True])
def test_averaged_true_effects_are_a_mixture_over_models_and_draws(
    averaged, conditional
):
    given = averaged.members("effect") if conditional else None
    found = true_effects(averaged, conditional=conditional, output_scale="fishers_z")
    # From the linear mapping of d to the exact one of z.
    convert = averaged.converter("mu", "fishers_z")
    for study in (0, 3):
        mixed = exact(averaged, study, given)
        mean = mixed.weights @ mixed.mean
        sd = np.sqrt(mixed.weights @ (mixed.mean**2 + mixed.sd**2) - mean**2)
        nodes, weights = np.polynomial.hermite_e.hermegauss(21)
        values = convert(2 * (mixed.mean[:, None] + mixed.sd[:, None] * nodes))
        row = found.loc[study]
        assert row["Mean"] == pytest.approx(
            mixed.weights @ values @ weights / weights.sum(), abs=DEVIATES * sd
        )
        quantiles = convert(2 * mixed.quantiles([0.5, *PROBS]))
        np.testing.assert_allclose(
            row[["Median", "0.025", "0.975"]].astype(float), quantiles, atol=TAILS * sd
        )


def test_a_true_effect_varies_more_than_its_best_predictor(averaged):
    """The plug-in of each draw's mean, which some software takes, is too narrow."""
    found = true_effects(averaged, output_scale="cohens_d")
    mixed = exact(averaged, 5)
    plug_in = 2 * np.sqrt(
        mixed.weights @ (mixed.mean - mixed.weights @ mixed.mean) ** 2
    )
    assert found.loc[5, "SD"] > 1.2 * plug_in


def test_the_result_is_the_same_each_time_and_for_each_number_at_once(
    averaged, monkeypatch
):
    first = true_effects(averaged), cluster_effects(averaged)
    # The package exports a function of the module's name.
    module = importlib.import_module("pyrobma.ensemble.true_effects")
    monkeypatch.setattr(module, "_ROOM", 40_000)  # two studies at a time
    again = true_effects(averaged), cluster_effects(averaged)
    for one, other in zip(first, again, strict=True):
        numbers = one.select_dtypes("number").columns
        np.testing.assert_allclose(one[numbers], other[numbers], atol=ROUNDING)


def test_effects_beyond_a_correlation_of_one_keep_the_order_of_quantiles(made):
    effects = rb.effect_sizes(r=[0.3], n=[6], transformation="r")
    space = rb.model_space(effect=(spike(0.8),), heterogeneity=(spike(0.6),))
    ensemble = made.ensemble(space, [0.0], effects=effects)
    wild = replace(ensemble, task=Task(effects, "r"))
    found = true_effects(wild, output_scale="cohens_d", probs=(0.025, 0.999)).loc[0]
    assert found["0.025"] < found["Median"] < np.inf
    assert found["0.999"] == np.inf
    assert not np.isfinite(found["Mean"])


@pytest.mark.parametrize("function", [true_effects, cluster_effects])
def test_what_cannot_be_given_is_refused(made, averaged, function):
    with pytest.raises(rb.DataError, match=r"probs: expected probabilities in \[0, 1"):
        function(averaged, probs=[2.0])
    with pytest.raises(rb.DataError, match="output_scale: expected one of"):
        function(averaged, output_scale="z")
    null = rb.model_space(effect_null=(spike(0),), heterogeneity=(spike(0.1),))
    effects = rb.effect_sizes(z=Y, se=SE, study_ids=IDS)
    with pytest.raises(rb.DataError, match="conditional: expected a model with an alt"):
        function(made.ensemble(null, [0.0], effects=effects), conditional=True)


def test_independent_estimates_have_no_clusters(made):
    effects = rb.effect_sizes(z=Y, se=SE)
    ensemble = made.ensemble(
        made.space(hierarchical=False), [0, 0, 0, 0], effects=effects
    )
    with pytest.raises(rb.DataError, match="cluster_effects: expected estimates that"):
        cluster_effects(ensemble)
    assert true_effects(ensemble)["cluster"].isna().all()


def test_weighted_quantiles_are_the_first_values_that_reach_the_probability():
    values = np.array([[3.0, 1.0, 2.0], [5.0, 5.0, 4.0]])
    weights = np.array([0.2, 0.3, 0.5])
    found = weighted_quantiles(values, weights, [0, 0.3, 0.31, 0.5, 0.8, 1])
    np.testing.assert_array_equal(found[0], [1, 1, 2, 2, 2, 3])
    np.testing.assert_array_equal(found[1], [4, 4, 4, 4, 5, 5])


@pytest.mark.parametrize("probs", [[-0.1], [1.1], [np.nan], [0.5, 0.5]])
def test_probabilities_are_checked(probs):
    with pytest.raises(rb.DataError, match="probs: expected probabilities in"):
        check_probs(probs)
    assert check_probs([0.1, 0.5]) == {"0.1": 0.1, "0.5": 0.5}


def test_clusters_average_what_their_estimates_have():
    Common = importlib.import_module("pyrobma.ensemble.true_effects")._Common
    common = Common(
        np.arange(2), np.array([4, 1, 7]), np.array([0, 0, 1]), np.ones(2), np.ones(2)
    )
    values = np.array([[1.0, 10.0], [3.0, 30.0], [5.0, 50.0]])
    assert common.averaged(values).tolist() == [[2.0, 20.0], [5.0, 50.0]]
    assert common.averaged(values[:1]).tolist() == [[1.0, 10.0]]
