"""Leave-one-out predictions against posteriors that are known without draws."""

from __future__ import annotations

import numpy as np
import pytest
from arviz_stats.base import array_stats
from known_posteriors import CLUSTER, GRID, NORMAL, NULL, RHO, SE, TAU, Y
from known_posteriors import SELECTED as UNDER_SELECTION
from scipy.special import logsumexp
from scipy.stats import norm

import pyrobma as rb
from pyrobma.ensemble.left_out import smoothed
from pyrobma.errors import DataError

# Weights smoothed in their tail, of 4000 draws of which the models have their shares.
SMOOTHED = 0.01
ROUNDING = 1e-12

KNOWN = pytest.mark.parametrize("known", [NORMAL, UNDER_SELECTION], ids=str)


def log_evidence(known, rows):
    return logsumexp(known.logml(rows)) - np.log(2)


@KNOWN
def test_densities_of_estimates_are_ratios_of_marginal_likelihoods(made, known):
    found = known.ensemble(made).loo()
    every = np.ones(6, dtype=bool)
    wanted = [
        log_evidence(known, every) - log_evidence(known, np.arange(6) != i)
        for i in range(6)
    ]
    np.testing.assert_allclose(found.frame["elpd"], wanted, atol=SMOOTHED)
    assert found.elpd == pytest.approx(sum(wanted), abs=6 * SMOOTHED)
    assert found.se == pytest.approx(np.sqrt(6) * np.std(wanted, ddof=1), abs=SMOOTHED)
    assert found.unreliable.empty


def test_densities_of_clusters_are_ratios_of_marginal_likelihoods(made):
    frame = NORMAL.ensemble(made).loo("cluster").frame.set_index("cluster")
    every = log_evidence(NORMAL, np.ones(6, dtype=bool))
    for c, name in enumerate(["0", "1", "2"]):
        wanted = every - log_evidence(NORMAL, c != CLUSTER)
        assert frame.loc[name, "elpd"] == pytest.approx(wanted, abs=SMOOTHED)
        assert frame.loc[name, "estimates"] == (c == CLUSTER).sum()


def exact_prediction(i):
    """Mean, sd and probability of less than was observed, given all others."""
    others = np.arange(6) != i
    logs = NORMAL.logml(others)
    chance = np.exp(logs - logsumexp(logs))
    mu = np.concatenate([NULL, GRID])
    weight = np.concatenate([chance[:1], chance[1] * NORMAL.weights(others)])
    mates = others & (CLUSTER[i] == CLUSTER)
    S = TAU**2 * RHO + np.diag(SE[mates] ** 2 + TAU**2 * (1 - RHO))
    slope = np.linalg.solve(S, np.full(mates.sum(), TAU**2 * RHO))
    mean = mu + slope @ (Y[mates] - mu[:, None]).T
    sd = np.sqrt(SE[i] ** 2 + TAU**2 - slope.sum() * TAU**2 * RHO)
    whole = weight @ mean
    spread = np.sqrt(sd**2 + weight @ (mean - whole) ** 2)
    return whole, spread, weight @ norm.cdf(Y[i], mean, sd)


def test_deleted_residuals_are_those_of_the_exact_predictions(made):
    found = NORMAL.ensemble(made).residuals()
    for i, row in found.iterrows():
        mean, sd, below = exact_prediction(i)
        assert row["deleted"] == pytest.approx(Y[i] - mean, abs=SMOOTHED * sd)
        scaled = row["deleted_standardised"]
        assert scaled == pytest.approx((Y[i] - mean) / sd, abs=2 * SMOOTHED)
        assert row["pit"] == pytest.approx(below, abs=SMOOTHED)
        assert row["score"] == pytest.approx(norm.ppf(below), abs=2 * SMOOTHED)


def test_residuals_are_from_the_averaged_mean(made):
    ensemble = NORMAL.ensemble(made)
    found = ensemble.residuals()
    every = np.ones(6, dtype=bool)
    mean = NORMAL.averaged_mean(every)
    np.testing.assert_allclose(found["fitted"], mean, atol=SMOOTHED)
    np.testing.assert_allclose(found["observed"] - found["fitted"], found["residual"])
    chance = ensemble.post_prob[[f.chains is not None for f in ensemble.fits]][0]
    second = chance * (NORMAL.weights(every) @ GRID**2) - mean**2
    sd = np.sqrt(SE**2 + TAU**2 + second)
    np.testing.assert_allclose(
        found["standardised"], found["residual"] / sd, atol=SMOOTHED
    )
    assert found["cluster"].tolist() == ["0", "0", None, "2", "2", "2"]


def test_published_estimates_are_expected_to_be_larger(made):
    found = UNDER_SELECTION.ensemble(made).residuals()
    assert (found["fitted"] > UNDER_SELECTION.averaged_mean(slice(None)) + 0.05).all()
    assert found["fitted"].nunique() == len(set(SE))
    assert found["pit"].between(0, 1).all()


def test_moderators_and_bias_are_part_of_the_fitted_mean(made):
    effects = rb.effect_sizes(y=Y, se=SE)
    space = rb.model_space(
        effect=(rb.prior("spike", location=0.1),),
        heterogeneity=(rb.prior("spike", location=0.3),),
        bias_null=(rb.prior_PET("spike", location=2.0),),
    )
    ensemble = made.ensemble(space, [0.0], effects=effects, prior_scale="none")
    found = ensemble.residuals()
    np.testing.assert_allclose(found["fitted"], 0.1 + 2 * SE)
    wanted = (Y - 0.1 - 2 * SE) / np.hypot(SE, 0.3)
    # With nothing to estimate, leaving an estimate out changes nothing.
    for column in ("standardised", "deleted_standardised", "score"):
        np.testing.assert_allclose(found[column], wanted, atol=ROUNDING)
    assert (found["pareto_k"] == -np.inf).all()


def test_smoothed_weights_are_those_of_arviz():
    ratios = np.random.default_rng(1).normal(0, 1.5, (3, 1000))
    found = smoothed(ratios)
    logs, k = array_stats.psislw(-ratios)
    np.testing.assert_allclose(found.log_weights, logs)
    np.testing.assert_allclose(found.pareto_k, k)
    # Lognormal: the mean is known, and smoothing brings the average near it.
    assert found.log_mean == pytest.approx(np.full(3, 1.5**2 / 2), abs=0.3)


def test_equal_weights_need_no_smoothing():
    found = smoothed(np.full((2, 500), -3.0))
    assert (found.pareto_k == -np.inf).all()
    np.testing.assert_allclose(found.log_mean, -3.0)
    np.testing.assert_allclose(np.exp(found.log_weights), 1 / 500)


def test_few_draws_have_weights_and_no_pareto_k():
    found = smoothed(np.log([[1.0, 2.0, 3.0]]))
    assert np.isnan(found.pareto_k).all()
    np.testing.assert_allclose(np.exp(found.log_mean), 2.0)


def test_far_estimates_are_marked(made):
    ensemble = NORMAL.ensemble(made)
    found = ensemble.loo()
    frame = found.frame.assign(pareto_k=[0.1, 0.8, 0.2, 0.9, 0.3, 0.1])
    marked = type(found)(found.by, frame, found.limit)
    assert marked.unreliable["study"].tolist() == ["Study 2", "Study 4"]
    assert "2 studys" not in str(marked)
    assert "Pareto k above 0.70" in str(marked)


def test_the_sum_prints_as_a_table_with_its_error(made):
    found = NORMAL.ensemble(made).loo()
    text = str(found)
    assert f"Sum: {found.elpd:.2f}, standard error {found.se:.2f}" in text
    assert found._repr_html_().startswith("<div")
    assert found.p_loo > 0


def test_nothing_else_can_be_left_out(made):
    with pytest.raises(DataError, match="by: expected 'estimate' or 'cluster'"):
        NORMAL.ensemble(made).loo("study")
