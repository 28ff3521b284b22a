"""Data sets drawn from the prior of an ensemble."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

import pyrobma as rb
from pyrobma.effects.cutoffs import critical_values
from pyrobma.models import Task

# Seeds are fixed; with others a test fails by chance this rarely.
CHANCE = 1e-6
Z = float(stats.norm.isf(CHANCE / 2))

SE = np.array([0.1, 0.3, 0.2, 0.15, 0.25])
IDS = ["a", "a", "a", None, "b"]
Z_025, Z_05 = stats.norm.isf([0.025, 0.05])


def spike(value):
    return rb.prior("spike", location=value)


def estimates(se=SE, ids=None, measure="z"):
    return rb.effect_sizes(**{measure: np.zeros(len(se))}, se=se, study_ids=ids)


def drawn(effects, n, *, bias=None, mods=None, task=None, **fixed):
    """Estimates of data sets, shape (n, K), with parameters that are known."""
    coded = None if mods is None else rb.read_moderators(mods, K=effects.K)[0]
    unknowns = {} if coded is None else {"unknowns": coded}
    priors = {name: spike(value) for name, value in fixed.items()}
    made = rb.model(priors, bias=bias, **unknowns)
    plan = rb.robma(effects, models=[made], mods=coded, only_priors=True, **task or {})
    found = rb.simulate(plan, n, seed=1)
    return found.estimates["y"].to_numpy().reshape(n, effects.K)


def uniform(values):
    assert stats.kstest(values, "uniform").pvalue > CHANCE


# ---- models and parameters --------------------------------------------------------


@pytest.fixture(scope="module")
def prior_draws():
    plan = rb.robma(estimates(ids=IDS), only_priors=True)
    return plan, rb.simulate(plan, 5000, seed=2)


def test_models_come_as_often_as_their_prior_probabilities_say(prior_draws):
    plan, found = prior_draws
    counts = found.parameters["model"].value_counts().reindex(plan.models.index)
    expected = 5000 * plan.space.prior_prob
    assert stats.chisquare(counts, expected).pvalue > CHANCE


def test_parameters_follow_the_priors_of_their_model(prior_draws):
    plan, found = prior_draws
    for name in ("mu", "tau", "rho", "PET", "PEESE"):
        for number, own in found.parameters.groupby("model"):
            prior = plan.space.models[number - 1].prior(name)
            if prior.is_spike:
                assert (own[name] == prior.location).all()
            else:
                uniform(prior.cdf(own[name]))


def test_weights_are_those_of_the_weight_function_and_1_without_one(prior_draws):
    plan, found = prior_draws
    names = [name for name in found.parameters if name.startswith("omega")]
    assert names[0] == "omega[0,0.025]"
    for number, own in found.parameters.groupby("model"):
        selection = plan.space.models[number - 1].selection
        if selection is None:
            assert (own[names] == 1).all(axis=None)
        elif selection.sides == 1:
            lowest = selection.marginals[-1]
            uniform(lowest.cdf(own["omega[0.975,1]"]))


def test_a_seed_gives_the_same_data_sets_and_is_kept(prior_draws):
    plan, found = prior_draws
    again = rb.simulate(plan, 5000, seed=2)
    pd.testing.assert_frame_equal(found.estimates, again.estimates)
    pd.testing.assert_frame_equal(found.parameters, again.parameters)
    first = rb.simulate(plan, 3)
    second = rb.simulate(plan, 3, seed=first.seed)
    pd.testing.assert_frame_equal(first.estimates, second.estimates)
    assert not first.estimates["y"].equals(rb.simulate(plan, 3).estimates["y"])


def test_models_can_be_those_of_one_hypothesis(prior_draws):
    plan, _ = prior_draws
    null = rb.ModelSpace([m for m in plan.space if "effect" not in m.alternative])
    assert (rb.simulate(plan, 50, space=null).parameters["mu"] == 0).all()
    alone = rb.simulate(Task(estimates(ids=IDS), "cohens_d"), 50, space=null, seed=3)
    same = rb.simulate(plan, 50, space=null, seed=3)
    assert_array_equal(alone.estimates["y"], same.estimates["y"])


# ---- what is returned ------------------------------------------------------------


def test_there_is_a_row_per_estimate_and_a_data_set_for_robma(prior_draws):
    _, found = prior_draws
    frame = found.estimates
    assert list(frame) == ["dataset", "study", "cluster", "y", "se"]
    assert len(frame) == 5000 * 5
    seventh = frame[frame["dataset"] == 7]
    effects = found.effects(7)
    assert_array_equal(effects.y, seventh["y"])
    assert_array_equal(effects.se, seventh["se"])
    assert_array_equal(effects.cluster, seventh["cluster"])
    assert repr(found) == "5000 data sets of 5 estimates from 36 models (seed 2)"


def test_a_fit_will_do_as_a_plan_does(made):
    fit = made.ensemble(made.space(), [0.0] * 4)
    found = rb.simulate(fit, 2, seed=1)
    assert len(found.estimates) == 2 * fit.task.effects.K
    assert list(found.parameters) == ["model", "mu", "tau", "rho"]


# ---- estimates without selection -------------------------------------------------


def test_estimates_have_the_mean_and_covariance_of_the_model():
    n, mu, tau, rho = 20_000, 0.6, 0.8, 0.3
    y = drawn(estimates(ids=IDS), n, mu=mu, tau=tau, rho=rho, PET=0.5)
    T = tau / 2  # from d to Fisher's z
    same = np.zeros((5, 5))
    same[:3, :3] = rho
    np.fill_diagonal(same, 1)
    S = np.diag(SE**2) + T**2 * same
    error = np.sqrt(np.diag(S) / n)
    assert (np.abs(y.mean(0) - mu / 2 - 0.5 * SE) < Z * error).all()
    # The variance of a sample covariance of normal values.
    error = np.sqrt((S**2 + np.outer(np.diag(S), np.diag(S))) / n)
    assert (np.abs(np.cov(y.T) - S) < Z * error).all()


def test_the_mapping_and_the_direction_are_those_of_the_task():
    n = 20_000
    y = drawn(
        estimates(), n, mu=2.0, tau=0.0, PEESE=3.0,
        task={"effect_mapping": "exact", "effect_direction": "negative"},
    )  # fmt: skip
    mean = rb.d2z(2.0) - 3.0 * 2 * SE**2  # PEESE is per unit of d, half of one of z
    assert (np.abs(y.mean(0) - mean) < Z * SE / np.sqrt(n)).all()


def test_moderators_move_the_mean_and_are_in_the_table():
    n, age = 20_000, [1.0, 2.0, 3.0, 4.0, 5.0]
    mods = rb.read_moderators({"age": age}, K=5)[0]
    y = drawn(estimates(), n, mu=0.2, tau=0.0, age=0.4, mods={"age": age})
    mean = (0.2 + 0.4 * mods.columns[:, 0]) / 2
    assert (np.abs(y.mean(0) - mean) < Z * SE / np.sqrt(n)).all()
    plan = rb.robma(estimates(), mods={"age": age}, priors_bias=None, only_priors=True)
    found = rb.simulate(plan, 2, seed=1)
    assert_allclose(found.estimates["age"], np.tile(mods.columns[:, 0], 2))
    assert list(found.parameters) == ["model", "mu", "tau", "age"]


# ---- selection --------------------------------------------------------------------


def weighted_cdf(y, mean, sd, cuts, weights):
    """Distribution function of a normal value times a step function of weights."""
    ends = np.array([-np.inf, *cuts, np.inf])
    mass = weights * np.diff(stats.norm.cdf(ends, mean, sd))
    upto = np.diff(stats.norm.cdf(np.minimum(ends, y[:, None]), mean, sd))
    return (upto @ weights) / mass.sum()


@pytest.mark.parametrize(
    ("direction", "mu"), [("positive", 0.1), ("negative", 0.1), ("positive", -1.0)]
)
def test_independent_published_estimates_have_the_truncated_density(direction, mu):
    omega = np.array([1.0, 0.5, 0.1])
    bias = rb.prior_weightfunction("one.sided.fixed", steps=[0.025, 0.05], omega=omega)
    effects = estimates(measure="logOR")
    y = drawn(
        effects, 4000, mu=mu, tau=0.4, bias=bias, task={"effect_direction": direction}
    )
    scale = rb.scale_factor("cohens_d", "fishers_z")
    se, cut = effects.se, critical_values(effects, (0.025, 0.05), 1)
    for i in range(5):
        sd = np.hypot(se[i], 0.4 * scale)
        cuts, weights = [cut[i, 0], cut[i, 1]], omega[::-1]
        if direction == "negative":
            cuts, weights = [-cut[i, 1], -cut[i, 0]], omega
        uniform(weighted_cdf(y[:, i], mu * scale, sd, np.array(cuts), weights))


def test_two_sided_selection_keeps_both_tails():
    omega = np.array([1.0, 0.2])
    bias = rb.prior_weightfunction("two.sided.fixed", steps=[0.05], omega=omega)
    effects = rb.effect_sizes(y=np.zeros(5), se=SE)
    y = drawn(effects, 4000, mu=-0.2, tau=0.1, bias=bias)
    for i, se in enumerate(SE):
        cuts, weights = Z_025 * se * np.array([-1, 1]), omega[[0, 1, 0]]
        uniform(weighted_cdf(y[:, i], -0.2, np.hypot(se, 0.1), cuts, weights))


def one_cluster(se):
    """Estimates of one cluster, and one more: a cluster alone would give a warning."""
    ids = [*["a"] * len(se), "b"]
    return rb.effect_sizes(y=np.zeros(len(ids)), se=[*se, 0.2], study_ids=ids)


RHO, TAU, MU = 0.6, 0.5, 0.1
OMEGA = np.array([1.0, 0.4, 0.1])


@pytest.fixture(scope="module")
def cluster():
    """A cluster of three in units of their own, and its covariance."""
    effects = one_cluster(SE[:3])
    bias = rb.prior_weightfunction("one.sided.fixed", steps=[0.025, 0.05], omega=OMEGA)
    y = drawn(effects, 4000, mu=MU, tau=TAU, rho=RHO, bias=bias)[:, :3]
    S = np.diag(SE[:3] ** 2) + TAU**2 * ((1 - RHO) * np.eye(3) + RHO)
    return y, S


def test_a_published_cluster_is_in_each_tuple_of_intervals_by_its_weight(cluster):
    y, S = cluster
    cuts = np.outer(SE[:3], [-np.inf, Z_05, Z_025, np.inf])
    normal = stats.multivariate_normal(np.full(3, MU), S)
    chance = {}
    for j in itertools.product(range(3), repeat=3):
        low = cuts[range(3), j]
        high = cuts[range(3), np.add(j, 1)]
        weight = np.prod(OMEGA[::-1][list(j)])
        chance[j] = weight * max(normal.cdf(high, lower_limit=low), 0.0)
    total = sum(chance.values())
    place = [np.searchsorted(cuts[i, 1:3], y[:, i]) for i in range(3)]
    counts = np.zeros((3, 3, 3))
    np.add.at(counts, tuple(place), 1)
    expected = len(y) * np.array([chance[j] / total for j in chance])
    # Cells of fewer than five together, as a chi-square test needs.
    rare = expected < 5
    observed = counts.ravel()
    observed = np.append(observed[~rare], observed[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    expected *= observed.sum() / expected.sum()
    assert stats.chisquare(observed, expected).pvalue > CHANCE


def test_a_published_cluster_is_what_trying_until_one_is_published_gives(cluster):
    y, S = cluster
    rng = np.random.default_rng(5)
    tries = rng.multivariate_normal(np.full(3, MU), S, 200_000)
    weights = OMEGA[::-1][
        (tries >= Z_05 * SE[:3]).astype(int) + (tries >= Z_025 * SE[:3])
    ]
    kept = tries[rng.random(len(tries)) < weights.prod(axis=1)]
    directions = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1], [1, -1, 0], [0, 1, -2]])
    for direction in directions:
        found = stats.ks_2samp(y @ direction, kept @ direction)
        assert found.pvalue > CHANCE, direction


def test_large_clusters_that_are_hardly_ever_published_are_drawn_all_the_same():
    # By trying, a cluster would take 1e30 trials.
    K, rho, tau, low = 30, 0.5, 0.4, 0.01
    se = np.full(K, 0.2)
    effects = one_cluster(se)
    bias = rb.prior_weightfunction("one.sided.fixed", steps=[0.025], omega=[1, low])
    y = drawn(effects, 200, mu=-0.3, tau=tau, rho=rho, bias=bias)[:, :K]
    # The density of the common factor on a fine grid, and of the number beyond.
    g = np.linspace(-12, 12, 4001)
    own = np.hypot(0.2, np.sqrt(1 - rho) * tau)
    beyond = stats.norm.sf((Z_025 * 0.2 + 0.3 - np.sqrt(rho) * tau * g) / own)
    log = K * np.log(beyond + low * (1 - beyond)) - g**2 / 2
    density = np.exp(log - log.max())
    density /= density.sum()
    chance = beyond / (beyond + low * (1 - beyond))
    number = (y >= Z_025 * 0.2).sum(axis=1)
    mean = K * density @ chance
    variance = density @ (K * chance * (1 - chance) + (K * chance - mean) ** 2)
    assert abs(number.mean() - mean) < Z * np.sqrt(variance / len(y))


def test_estimates_far_from_what_is_published_are_just_beyond_the_cut():
    bias = rb.prior_weightfunction("one.sided.fixed", steps=[0.025], omega=[1, 0])
    se, mu, n = np.array([0.1, 0.2]), -8.0, 100
    y = drawn(one_cluster(se), n, mu=mu, tau=0.1, rho=0.5, bias=bias)[:, :2]
    excess = y - Z_025 * se
    assert (excess >= 0).all()
    # So far out a normal density falls exponentially, at this rate in each direction.
    S = np.diag(se**2) + 0.1**2 * np.array([[1, 0.5], [0.5, 1]])
    rate = np.linalg.solve(S, Z_025 * se - mu)
    assert (np.abs((excess * rate).mean(axis=0) - 1) < Z / np.sqrt(n)).all()


# ---- bad input ------------------------------------------------------------------


@pytest.fixture(scope="module")
def plan():
    return rb.robma(estimates(), priors_bias=None, only_priors=True)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("n", {"n": 0}),
        ("n", {"n": 2.5}),
        ("n", {"n": True}),
        ("seed", {"n": 1, "seed": -1}),
        ("seed", {"n": 1, "seed": "one"}),
        ("space", {"n": 1, "space": [rb.model()]}),
        ("space", {"n": 1, "space": rb.ModelSpace(())}),
    ],
)
def test_arguments_that_cannot_be_used_are_named(plan, name, arguments):
    with pytest.raises(rb.DataError, match=f"^{name}: expected"):
        rb.simulate(plan, **arguments)


def test_the_source_is_an_ensemble_or_a_task_with_models(plan):
    with pytest.raises(rb.DataError, match=r"^source: expected what robma"):
        rb.simulate(estimates(), 1)
    with pytest.raises(rb.DataError, match=r"^space: expected a ModelSpace"):
        rb.simulate(plan.task, 1)


def test_models_have_no_unknowns_that_the_source_lacks(plan):
    other = rb.robma(
        estimates(), mods={"age": np.arange(5)}, priors_bias=None, only_priors=True
    )
    with pytest.raises(rb.DataError, match=r"got age in model"):
        rb.simulate(plan, 1, space=other.space)


def test_a_moderator_has_no_name_of_another_column():
    other = rb.robma(
        estimates(), mods={"y": np.arange(5)}, priors_bias=None, only_priors=True
    )
    with pytest.raises(rb.DataError, match="Rename the moderator"):
        rb.simulate(other, 1)


def test_what_cannot_be_published_is_an_error_and_no_endless_search():
    bias = rb.prior_weightfunction("one.sided.fixed", steps=[0.025], omega=[1, 0])
    with pytest.raises(rb.DataError, match="can be published"):
        drawn(estimates(), 1, mu=-1e200, tau=0.0, bias=bias)


@pytest.mark.parametrize("number", [0, 3, 1.0, None])
def test_there_are_no_other_data_sets(plan, number):
    with pytest.raises(rb.DataError, match=r"^dataset: expected a whole"):
        rb.simulate(plan, 2, seed=1).effects(number)


def test_correlations_beyond_1_are_no_data_set():
    effects = rb.effect_sizes(r=np.zeros(2), se=[0.5, 0.5], transformation="r")
    made = rb.model(mu=spike(3.0), tau=spike(0.0))
    found = rb.simulate(Task(effects, "cohens_d"), 1, space=rb.ModelSpace([made]))
    assert np.isfinite(found.estimates["y"]).all()
    with pytest.raises(rb.DataError, match=r"^y: expected"):
        found.effects(1)
