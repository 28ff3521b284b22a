"""Draws of several parameters, functions of them, and priors, over models."""

from __future__ import annotations

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.ensemble import Predictor, new_effect
from pyrobma.ensemble.scales import (
    data_mean,
    data_sd,
    estimate_converter,
    true_effect_converter,
)
from pyrobma.models import Task

LOGML = [0.0, 0.5, -0.5, 1.0]


@pytest.fixture(scope="module")
def ensemble(made):
    return made.ensemble(made.space(), LOGML, size=(2, 200))


def _task(measure="fishers_z", prior_scale="cohens_d", **options):
    effects = rb.effect_sizes(d=[0.1, 0.3], se=[0.1, 0.2], transformation=measure)
    return Task(effects, prior_scale, **options)


def test_a_derived_identity_is_the_parameter_itself(ensemble):
    derived = ensemble.derived(lambda tau: tau, "tau")
    assert derived.mean() == ensemble.mixture("tau").mean()
    assert derived.mcse() == ensemble.mixture("tau").mcse()


def test_derived_values_average_over_the_given_models_only(ensemble):
    member = ensemble.members("heterogeneity")
    derived = ensemble.derived(lambda tau: tau, "tau", given=member)
    assert derived.mean() == ensemble.mixture("tau", conditional=True).mean()
    assert derived.probabilities[~member].tolist() == [0.0, 0.0]


def test_a_product_of_parameters_keeps_their_draws_together(ensemble):
    product = ensemble.derived(lambda tau, rho: rho * tau**2, "tau", "rho")
    by_hand = sum(
        p * (fit.draws("rho") * fit.draws("tau") ** 2).mean()
        for p, fit in zip(ensemble.post_prob, ensemble.fits, strict=True)
    )
    assert product.mean() == pytest.approx(by_hand, rel=1e-14)


def test_joint_draws_weigh_models_by_their_probability(ensemble):
    joint = ensemble.joint("mu", "tau", "rho", size=300)
    assert joint.weights.sum() == pytest.approx(1, abs=1e-12)
    for k, probability in enumerate(ensemble.post_prob):
        of_model = joint.weights[joint.model == k]
        assert of_model.sum() == pytest.approx(probability, abs=1e-12)
    assert (joint["mu"][joint.model == 0] == 0).all()


def test_rows_of_joint_draws_belong_together(ensemble):
    joint = ensemble.joint("tau", "rho", size=10_000)
    last = ensemble.fits[3]
    rows = joint.model == 3
    assert joint["tau"][rows].tolist() == last.draws("tau").ravel().tolist()
    assert joint["rho"][rows].tolist() == last.draws("rho").ravel().tolist()
    few = ensemble.joint("tau", size=50)
    rows = few.model == 3
    flat = last.draws("tau").ravel()
    assert few["tau"][rows].tolist() == flat[few.row[rows]].tolist()


def test_priors_are_averaged_and_equal_ones_merged(ensemble):
    assert [(p, str(prior)) for p, prior in ensemble.priors("tau")] == [
        (0.5, "Spike(0)"),
        (0.5, "InvGamma(1, 0.15)"),
    ]
    assert [(p, str(prior)) for p, prior in ensemble.priors("rho", conditional=True)] \
        == [(1.0, "Beta(1, 1)")]  # fmt: skip


def test_a_new_effect_has_the_mean_and_the_heterogeneity_of_the_ensemble(ensemble):
    new = new_effect(ensemble)
    # The made-up draws are all used; d / 2 is Fisher's z.
    assert new.weights @ new.mean == pytest.approx(ensemble.mixture("mu").mean() / 2)
    second = ensemble.derived(lambda m, t: (m**2 + t**2) / 4, "mu", "tau").mean()
    assert new.weights @ (new.mean**2 + new.sd**2) == pytest.approx(second)


def test_the_mapping_of_the_mean_is_linear_or_exact():
    mu = np.array([0.0, 2.0])
    assert data_mean(_task(), mu).tolist() == [0.0, 1.0]
    exact = data_mean(_task(effect_mapping="exact"), mu)
    np.testing.assert_allclose(exact, np.arcsinh(mu / 2))
    assert data_sd(_task(), mu).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("mapping", ["linear", "exact"])
@pytest.mark.parametrize("scale", ["cohens_d", "fishers_z", "r", "logOR", "OR"])
def test_true_effects_are_reported_on_the_footing_of_their_mean(mapping, scale, made):
    task = _task(effect_mapping=mapping)
    mu = np.array([-0.4, 0.0, 0.7])
    back = true_effect_converter(task, scale)(data_mean(task, mu))
    ensemble = made.ensemble(made.space(hierarchical=False), LOGML)
    np.testing.assert_allclose(back, ensemble.converter("mu", scale)(mu), atol=1e-12)


def test_estimates_come_back_on_the_measure_they_were_given_on():
    task = _task()
    given = estimate_converter(task, "cohens_d")(task.effects.y)
    np.testing.assert_allclose(given, [0.1, 0.3], atol=1e-12)


def _bias(task, se):
    """Bias at standard errors of a PET of 0.5 and a PEESE of 0.25."""
    draws = {name: np.zeros(1) for name in task.unknowns.scalars}
    draws |= {"PET": np.array([0.5]), "PEESE": np.array([0.25])}
    return Predictor(task, draws).bias_at(se)[:, 0]


def test_bias_shifts_the_mean_in_the_expected_direction():
    se = np.array([0.1, 0.2])
    shift = _bias(_task(), se)
    # PEESE is a coefficient of se^2 on Cohen's d: half the effect, twice per se^2
    np.testing.assert_allclose(shift, 0.5 * se + 2 * 0.25 * se**2)
    other = _bias(_task(effect_direction="negative"), se)
    np.testing.assert_allclose(other, -shift)
