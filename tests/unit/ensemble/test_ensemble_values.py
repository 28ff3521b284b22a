"""What an ensemble says, from made-up fits: no sampling."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import pyrobma as rb

# Sums and quotients of a few doubles.
ROUNDING = 1e-12
LOGML = [-2.0, 0.5, -1.0, 0.9]
MCSE = [0.0, 0.01, 0.002, 0.02]


@pytest.fixture
def ensemble(made):
    return made.ensemble(made.space(), LOGML, MCSE)


def test_inclusion_has_a_row_per_component_and_the_promised_columns(ensemble):
    found = ensemble.inclusion
    assert list(found.index) == ["effect", "heterogeneity", "hierarchical"]
    assert list(found.columns) == [
        "models", "prior_prob", "post_prob", "post_prob_mcse", "inclusion_bf",
        "log_bf", "log_bf_mcse",
    ]  # fmt: skip
    weights = np.exp(LOGML)
    odds = weights[[2, 3]].sum() / weights[[0, 1]].sum()
    assert found.loc["effect", "inclusion_bf"] == pytest.approx(odds, rel=ROUNDING)
    assert found.loc["effect", "models"] == 2
    # Without a null for rho, having it and having heterogeneity are one thing.
    assert found.loc["hierarchical"].equals(found.loc["heterogeneity"])


def test_models_are_numbered_from_one_with_their_priors(ensemble):
    found = ensemble.models
    assert list(found.index) == [1, 2, 3, 4]
    assert list(found["effect"]) == ["Spike(0)"] * 2 + ["Normal(0, 1)"] * 2
    assert list(found["hierarchical"]) == ["", "Beta(1, 1)"] * 2
    np.testing.assert_array_equal(found["logml"], LOGML)
    np.testing.assert_array_equal(found["logml_mcse"], MCSE)
    assert found["post_prob"].sum() == pytest.approx(1, rel=ROUNDING)
    p = found["post_prob"][4]
    assert found["inclusion_bf"][4] == pytest.approx(3 * p / (1 - p), rel=ROUNDING)


def test_errors_of_means_cover_what_a_model_misses(ensemble):
    # As if the last model's mean of mu were nine of its Monte Carlo errors off.
    missed = dataclasses.replace(ensemble.fits[3], mean_factors=(("mu", 9.0),))
    off = dataclasses.replace(ensemble, fits=(*ensemble.fits[:3], missed))
    for name, factor in (("mu", 9.0), ("tau", 1.0)):
        sure, found = (one.mixture(name) for one in (ensemble, off))
        assert found.mean() == sure.mean()
        # What its draws add to the error, without the errors of weights.
        alone = np.eye(4)[3]
        own = (
            sure.probabilities[3]
            * dataclasses.replace(sure, probabilities=alone).mcse()
        )
        squares = sure.mcse() ** 2 + (factor**2 - 1) * own**2
        assert found.mcse() == pytest.approx(np.sqrt(squares), rel=ROUNDING)


def test_a_single_model_has_infinite_bayes_factors(made):
    alone = made.ensemble(made.space(null=False), [1.5], [0.01])
    assert np.isinf(alone.inclusion["inclusion_bf"]).all()
    assert (alone.inclusion["post_prob"] == 1).all()
    assert (alone.inclusion["post_prob_mcse"] == 0).all()


def test_a_component_without_an_alternative_has_no_evidence_but_its_parameter(made):
    space = made.space(
        hierarchical=False, hierarchical_null=(rb.prior("spike", location=0.5),)
    )
    found = made.ensemble(space, LOGML)
    assert found.components == ("effect", "heterogeneity")
    assert found.parameters == ("mu", "tau", "rho")
    assert found.mixture("rho").quantiles([0.0, 1.0]).tolist() == [0.0, 0.5]


def test_draws_have_the_models_shares_in_their_order(ensemble):
    draws = ensemble.draws("mu", n=1000)
    assert draws.shape == (1000,)
    without = ensemble.post_prob[:2].sum()
    assert abs((draws == 0).sum() - 1000 * without) < 2
    assert not draws[: int(1000 * without) - 1].any()


def test_draws_of_several_parameters_belong_together_row_by_row(ensemble):
    joined = np.column_stack([ensemble.draws(p, n=2000) for p in ("mu", "tau", "rho")])
    full = ensemble.fits[3]
    rows = joined[joined[:, 0] != 0]
    with_tau = rows[rows[:, 1] != 0]
    sampled = {tuple(row) for row in full.chains.draws.reshape(-1, 3)}
    assert len(with_tau) > 500
    assert all(tuple(row) in sampled for row in with_tau)


def test_draws_use_every_draw_of_a_model_before_any_twice(made):
    alone = made.ensemble(made.space(null=False), [0.0], size=(2, 50))
    assert set(alone.draws("mu", n=100)) == set(alone.fits[0].draws("mu").ravel())


def test_draws_are_the_same_each_time(ensemble):
    np.testing.assert_array_equal(ensemble.draws("tau"), ensemble.draws("tau"))


def test_conditional_draws_come_from_models_with_the_component_only(ensemble):
    draws = ensemble.draws("mu", conditional=True, n=1000)
    assert (draws != 0).all()
    shares = np.exp(LOGML)[2:] / np.exp(LOGML)[2:].sum()
    from_third = np.isin(draws, ensemble.fits[2].draws("mu")).sum()
    assert abs(from_third - 1000 * shares[0]) < 1


def test_a_conditional_mixture_weighs_by_bayes_rule_within_the_component(ensemble):
    mixed = ensemble.mixture("mu", conditional=True)
    weights = np.exp(LOGML)
    weights[:2] = 0
    np.testing.assert_allclose(
        mixed.probabilities, weights / weights.sum(), rtol=ROUNDING
    )


def test_conditional_on_a_component_that_no_model_has_is_refused(made):
    space = rb.model_space(
        effect_null=(rb.prior("spike", location=0),),
        heterogeneity=rb.default_priors("heterogeneity"),
    )
    with pytest.raises(
        rb.DataError, match=r"conditional: expected a model .* effect; there is none\."
    ):
        made.ensemble(space, [0.0]).draws("mu", conditional=True)


def test_conditional_keeps_its_digits_when_the_component_has_no_probability(made):
    far = made.ensemble(made.space(), [2000.0, 2001.0, 0.0, 1.0])
    mixed = far.mixture("mu", conditional=True)
    assert mixed.probabilities[3] == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-9)


def test_output_scale_converts_mu_draw_by_draw_and_tau_linearly(ensemble):
    d = ensemble.draws("mu")
    np.testing.assert_allclose(
        ensemble.draws("mu", output_scale="fishers_z"), np.arcsinh(d / 2), rtol=ROUNDING
    )
    np.testing.assert_allclose(
        ensemble.draws("mu", output_scale="OR"),
        np.exp(d * np.pi / np.sqrt(3)),
        rtol=ROUNDING,
    )
    tau = ensemble.draws("tau")
    for scale, factor in (("r", 0.5), ("fishers_z", 0.5), ("OR", np.pi / np.sqrt(3))):
        np.testing.assert_allclose(
            ensemble.draws("tau", output_scale=scale), factor * tau, rtol=ROUNDING
        )
    np.testing.assert_array_equal(
        ensemble.draws("rho"), ensemble.draws("rho", output_scale="r")
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"parameter": "omega"},
            r"parameter: expected one of mu, tau, rho; got 'omega'",
        ),
        (
            {"parameter": "mu", "n": 0},
            r"n: expected a positive number of draws; got 0\.",
        ),
        (
            {"parameter": "mu", "n": 2.5},
            r"n: expected a positive number .*; got 2\.5\.",
        ),
        (
            {"parameter": "mu", "output_scale": "hedges"},
            r"output_scale: expected one of .*; got 'hedges'\.",
        ),
        (
            {"parameter": "mu", "output_scale": "none"},
            r"output_scale: expected 'none' exactly for effects",
        ),
    ],
)
def test_draws_refuse_what_they_cannot_give(ensemble, arguments, message):
    with pytest.raises(rb.DataError, match=message):
        ensemble.draws(**arguments)


def test_a_mean_correlation_out_of_range_cannot_be_converted(made):
    space = rb.model_space(
        effect=(rb.prior("spike", location=1.2),),
        heterogeneity_null=(rb.prior("spike", location=0),),
    )
    effects = rb.effect_sizes(r=[0.5, 0.6], n=[50, 60])
    outside = made.ensemble(space, [0.0], effects=effects, prior_scale="r")
    assert outside.mixture("mu").mean() == 1.2
    with pytest.raises(
        rb.DataError,
        match=r"output_scale: expected effects between -1 and 1, as a correlation "
        r"is; got 1\.200\. Truncate the priors of mu",
    ):
        outside.mixture("mu", output_scale="cohens_d")


def test_errors_of_models_with_one_fit_are_taken_as_one_error(made):
    normal = rb.default_priors("effect")
    spike = (rb.prior("spike", location=0),)
    space = rb.model_space(effect=normal, effect_null=normal, heterogeneity_null=spike)
    draws = {"mu": np.random.default_rng(1).normal(size=(2, 20))}
    fits = tuple(made.fit(m, 1.0, 0.1, draws, seed=7) for m in space.models)
    ensemble = made.ensemble(space, [1.0, 1.0])
    shared = dataclasses.replace(ensemble, fits=fits)
    assert shared.inclusion.loc["effect", "log_bf_mcse"] == pytest.approx(0, abs=1e-9)


def test_results_cannot_be_changed(ensemble):
    with pytest.raises(dataclasses.FrozenInstanceError):
        ensemble.fits = ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        ensemble.fits[0].logml = 3.0


def test_evidence_outweighs_a_prior_that_is_too_small_for_a_float(made):
    def space(weight, weight_null):
        return rb.model_space(
            effect=(rb.prior("normal", mean=0, sd=1, prior_weight=weight),),
            effect_null=(rb.prior("spike", location=0, prior_weight=weight_null),),
            heterogeneity=rb.default_priors("heterogeneity"),
        )

    odds = 608 * np.log(10)
    found = made.ensemble(space(1e-300, 1e308), [0.0, odds])
    np.testing.assert_allclose(found.post_prob, 0.5, rtol=1e-10)
    even = made.ensemble(space(1e250, 1e250), [0.0, odds])
    np.testing.assert_allclose(even.prior_prob, 0.5, rtol=1e-12)
    for one in (found, even):  # a Bayes factor knows nothing of prior odds
        assert one.inclusion.loc["effect", "log_bf"] == pytest.approx(odds)
        assert np.isfinite(one.draws("mu", conditional=True)).all()
