"""Ensembles that are no full cross, and priors as one value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pyrobma as rb

TABLE = pd.DataFrame({"d": [0.1, 0.4, 0.2, 0.6], "se": [0.1, 0.2, 0.1, 0.3]})
NORMAL = rb.prior("normal", mean=0, sd=1)
TAU = rb.prior("inv_gamma", shape=1, scale=0.15)
SPIKE = rb.prior("spike", location=0)
SETTINGS = rb.SamplerSettings(chains=2, draws=200)


def robma(data=TABLE, **options):
    return rb.robma(
        data, d="d", se="se", **({"settings": SETTINGS, "seed": 1} | options)
    )


@pytest.fixture(scope="module")
def three():
    models = [rb.model(), rb.model(mu=NORMAL), rb.model(mu=NORMAL, tau=TAU)]
    return robma(models=models)


@pytest.fixture(scope="module")
def pet():
    return robma(models=[rb.model(bias=rb.prior_PET("cauchy", [0, 1]))], seed=2)


def test_models_of_ones_own_are_an_ensemble_with_everything(three):
    assert [str(m) for m in three.space] == [
        "mu = 0, tau = 0",
        "mu ~ Normal(0, 1), tau = 0",
        "mu ~ Normal(0, 1), tau ~ InvGamma(1, 0.15)",
    ]
    np.testing.assert_allclose(three.prior_prob, 1 / 3, rtol=1e-12)
    inclusion = three.inclusion
    assert inclusion.loc["effect", "models"] == 2
    assert inclusion.loc["effect", "prior_prob"] == pytest.approx(2 / 3)
    for kind in ("ensemble", "models", "diagnostics", "individual"):
        assert three.summary(kind).tables
    assert len(three.true_effects()) == 4
    assert three.interpret()


def test_a_space_is_fitted_as_the_cross_that_made_it():
    space = rb.model_space(
        effect=[NORMAL], effect_null=[SPIKE], heterogeneity_null=[SPIKE]
    )
    own = robma(models=space)
    crossed = robma(priors_bias=None, priors_effect=NORMAL, priors_heterogeneity=None)
    assert own.space == crossed.space
    assert own.logml.tolist() == crossed.logml.tolist()


def test_fits_add_up_to_the_ensemble_of_all_their_models(three, pet):
    both = three + pet
    assert isinstance(both, rb.RobmaFit)
    assert len(both.fits) == 4
    assert both.fits[3] is pet.fits[0]
    np.testing.assert_allclose(both.prior_prob, 1 / 4, rtol=1e-12)
    weights = np.exp(both.logml - both.logml.max())
    np.testing.assert_allclose(both.post_prob, weights / weights.sum(), rtol=1e-12)
    assert both.parameters == ("mu", "tau", "PET")
    assert both.inclusion.index.tolist() == ["effect", "heterogeneity", "bias"]
    assert "PET" in str(both.summary())


def test_fits_of_other_data_do_not_add_up(three):
    other = robma(TABLE.assign(se=0.1), models=[rb.model()])
    with pytest.raises(rb.DataError, match="expected two of the same data, scales"):
        three + other
    negative = robma(models=[rb.model()], effect_direction="negative")
    with pytest.raises(rb.DataError, match="expected two of the same data, scales"):
        three + negative


def test_priors_as_one_value_are_the_long_names():
    spike = rb.prior("spike", location=0.1)
    one = robma(
        priors={
            "effect": {"null": spike, "alternative": [NORMAL]},
            "heterogeneity": None,
            "bias": None,
        }
    )
    other = robma(
        priors_effect=NORMAL,
        priors_effect_null=spike,
        priors_heterogeneity=None,
        priors_bias=None,
    )
    assert one.space == other.space
    assert len(one.space) == 2


def test_priors_of_ones_own_models_are_truncated_like_those_of_a_cross():
    table = pd.DataFrame({"r": [0.1, 0.3, 0.2], "n": [40, 60, 50]})
    given = {"r": "r", "n": "n", "prior_scale": "r", "settings": SETTINGS, "seed": 1}
    with pytest.warns(rb.PriorWarning, match="model 1, mu: .* outside"):
        own = rb.robma(table, models=[rb.model(mu=NORMAL)], **given)
    assert str(own.space.models[0].prior("mu")) == "Normal(0, 1)[-1, 1]"
    crossed = rb.model_space(effect=[NORMAL], heterogeneity=[NORMAL])
    with pytest.warns(rb.PriorWarning, match="model 1, tau: .* outside"):
        fit = robma(models=crossed)
    assert fit.space.models[0].prior("tau").lower == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"priors": NORMAL}, "priors: expected a mapping by component"),
        ({"priors": {"mu": NORMAL}}, "priors: expected some of effect, .*; got 'mu'"),
        (
            {"priors": {"effect": {"alt": NORMAL}}},
            """expected "alternative" and "null" for effect; got 'alt'""",
        ),
        (
            {"priors": {"effect": NORMAL}, "priors_effect": NORMAL},
            "priors_effect: expected DEFAULT beside priors",
        ),
        (
            {"models": [rb.model()], "priors_bias": None},
            "priors_bias: expected defaults beside models",
        ),
        ({"models": [rb.model()], "model_type": "PP"}, "model_type: expected defaults"),
        ({"models": []}, "models: expected at least one model; got none"),
        ({"models": 3}, "models: expected a ModelSpace or a list of models; got 3"),
        ({"models": "PSMA"}, "expected a ModelSpace or a list of models; got 'PSMA'"),
        (
            {"models": [rb.ModelSpec((("omega", NORMAL),), None, frozenset())]},
            "priors: expected names of mu, .*; got 'omega'",
        ),
        (
            {"models": [rb.ModelSpec((("mu", NORMAL),), None, frozenset({"efect"}))]},
            "model 1, alternative: expected names of .*; got 'efect'",
        ),
        (
            {"models": [rb.model(tau=TAU, rho=rb.prior("beta", alpha=1, beta=1))]},
            "model 1 .* has rho, but no study id is shared",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(options, message):
    with pytest.raises(rb.PriorError, match=message):
        robma(**options)
