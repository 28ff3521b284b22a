"""Priors to look at before anything is fitted."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import pyrobma as rb
from pyrobma import api
from pyrobma.errors import DataError, PriorError

# Sums of a few dozen doubles.
ROUNDING = 1e-12
DRAWS = 4000
# Five standard errors of a share of draws, at most.
SHARE = 5 * math.sqrt(0.25 / DRAWS)
# The chance that correct draws fail: p-values are uniform.
SMALLEST_P = 1e-4

SPIKE = rb.prior("spike", location=0)
EFFECTS = {"d": [0.3, 0.1, 0.4, 0.2], "se": [0.1, 0.2, 0.15, 0.12]}
CLUSTERED = {**EFFECTS, "study_ids": [1, 1, 2, 3]}


@pytest.fixture(autouse=True)
def _nothing_is_fitted(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a model was fitted")

    monkeypatch.setattr(api, "fit_models", refuse)


def plan(**options):
    return rb.robma(**{**EFFECTS, "only_priors": True, **options})


# ---- what it has ------------------------------------------------------------------


def test_a_plan_has_the_models_that_would_be_fitted():
    found = plan(priors_bias=None).models
    assert found["effect"].tolist() == ["Spike(0)"] * 2 + ["Normal(0, 1)"] * 2
    assert found["heterogeneity"].tolist() == ["Spike(0)", "InvGamma(1, 0.15)"] * 2
    np.testing.assert_allclose(found["prior_prob"], 1 / 4, rtol=ROUNDING)
    assert found.index.tolist() == [1, 2, 3, 4]


def test_the_priors_of_a_component_have_a_probability_of_one_together():
    found = plan(**CLUSTERED).priors
    total = found.groupby(level="component")["prior_prob"].sum()
    assert sorted(total.index) == ["bias", "effect", "heterogeneity", "hierarchical"]
    np.testing.assert_allclose(total, 1, rtol=ROUNDING)
    assert (found.groupby(level="component")["models"].sum() == 36).all()


def test_the_default_priors_have_their_published_weights():
    bias = plan().priors.loc["bias"].set_index("prior")["prior_prob"]
    assert bias["none"] == pytest.approx(1 / 2)
    assert bias["PET ~ Cauchy(0, 1)[0, Inf]"] == pytest.approx(1 / 8)
    assert bias["PEESE ~ Cauchy(0, 5)[0, Inf]"] == pytest.approx(1 / 8)
    weights = bias[[name.startswith("omega") for name in bias.index]]
    assert len(weights) == 6
    np.testing.assert_allclose(weights, 1 / 24, rtol=ROUNDING)


def test_a_correlation_is_absent_without_heterogeneity():
    made = plan(**CLUSTERED, priors_bias=None, priors_hierarchical_null=SPIKE)
    found = made.priors.loc["hierarchical"]
    assert found["hypothesis"].tolist() == ["absent", "null", "alternative"]
    assert found["prior"].tolist() == ["none", "Spike(0)", "Beta(1, 1)"]
    np.testing.assert_allclose(found["prior_prob"], [1 / 2, 1 / 4, 1 / 4])


def test_a_factor_has_one_prior_whatever_its_number_of_levels():
    data = pd.DataFrame({"group": list("abcabc"), "d": 0.3, "se": 0.1})
    data["d"] += np.arange(6) / 10
    made = rb.robma(
        data, d="d", se="se", mods="group", priors_bias=None, only_priors=True
    )
    assert made.priors.loc["group", "prior"].tolist() == ["Spike(0)", "Normal(0, 0.25)"]


def test_printing_says_the_models_the_priors_and_the_work():
    text = str(plan())
    assert text.startswith(
        "Robust Bayesian meta-analysis (36 models): 4 estimates, not fitted\n"
    )
    # All but the null model have parameters; 6 of 9 biases are weight functions.
    assert "35 models to sample, 24 of them with a weight function" in text
    # Of 36 models each chain has 12000 / 36 iterations, or 500 at least.
    assert "4 chains each, of 150 and 500 iterations" in text
    assert "Effect         18/36       0.500" in text
    assert (
        "alternative                                           InvGamma(1, 0.15)"
        in text
    )
    assert text.endswith("Priors are in units of Cohen's d.")


def test_the_work_of_models_with_one_posterior_counts_once():
    # Without heterogeneity both hypotheses of rho are one model.
    made = plan(
        **CLUSTERED, priors_bias=None, priors_hierarchical_null=SPIKE,
        priors_effect_null=None, priors_heterogeneity_null=SPIKE,
    )  # fmt: skip
    assert len(made.space) == 4
    assert "3 models to sample." in str(made)


def test_a_plan_renders_in_a_notebook():
    assert "InvGamma(1, 0.15)" in plan()._repr_html_()
    assert list(plan().summary().tables) == ["components", "priors"]


def test_settings_and_seed_are_those_of_the_fit():
    made = plan(chains=2, draws=700, seed=5)
    assert (made.settings.chains, made.settings.draws, made.seed) == (2, 700, 5)


# ---- draws ------------------------------------------------------------------------


def test_draws_come_from_the_averaged_prior():
    found = plan(**CLUSTERED).sample(DRAWS, seed=1)
    assert list(found) == ["model", "mu", "tau", "rho", "PET", "PEESE"]
    for name, probability in [("mu", 1 / 2), ("tau", 1 / 2), ("PET", 1 / 8)]:
        assert (found[name] != 0).mean() == pytest.approx(probability, abs=SHARE)
    free = found.loc[found["mu"] != 0, "mu"]
    assert stats.kstest(free, "norm").pvalue > SMALLEST_P
    assert (found.loc[found["tau"] == 0, "rho"] == 0).all()
    free = found.loc[found["tau"] != 0, "rho"]
    assert stats.kstest(free, "uniform").pvalue > SMALLEST_P


def test_draws_belong_to_their_models():
    made = plan(priors_bias=None)
    found = made.sample(100, seed=1)
    has_effect = made.models["effect"].eq("Normal(0, 1)").loc[found["model"]]
    np.testing.assert_array_equal(has_effect, found["mu"] != 0)


def test_a_seed_makes_draws_reproducible():
    made = plan()
    assert made.sample(20, seed=1).equals(made.sample(20, seed=1))
    assert not made.sample(20, seed=1).equals(made.sample(20, seed=2))


def test_a_number_of_draws_is_positive():
    with pytest.raises(PriorError, match=r"^n: expected a whole number"):
        plan().sample(0)


# ---- refused ----------------------------------------------------------------------


def test_arguments_are_checked_as_for_a_fit():
    with pytest.raises(PriorError, match=r"^priors_effect: "):
        plan(priors_effect=3)
    with pytest.raises(DataError, match=r"^prior_scale: "):
        plan(prior_scale="none")


# ---- figures ----------------------------------------------------------------------


def subtitles(page):
    """Return the descriptions of all panels of a page, whose rows are pages too."""
    found = []
    for one in page:
        found += subtitles(one) if hasattr(one, "items") else [one.labels.subtitle]
    return found


def test_priors_can_be_drawn_without_data():
    figure = rb.plot_priors(
        priors_effect=rb.prior("normal", mean=0, sd=0.5), model_type="PP"
    )
    assert subtitles(figure) == [
        "Normal(0, 0.5), P = 0.500",
        "InvGamma(1, 0.15), P = 0.500",
        "Cauchy(0, 1)[0, Inf], P = 0.250",
        "Cauchy(0, 5)[0, Inf], P = 0.250",
    ]


def test_without_data_a_correlation_is_drawn_if_its_prior_is_given():
    own = rb.prior("beta", alpha=2, beta=3)
    figure = rb.plot_priors(priors_bias=None, priors_hierarchical=own)
    assert subtitles(figure)[2] == "Beta(2, 3), P = 1.000 given heterogeneity"


@pytest.mark.parametrize("scale", ["cohens_d", "fishers_z", "r", "logOR", "none"])
def test_priors_without_data_are_drawn_on_every_measure(scale):
    own = rb.prior("normal", mean=0, sd=0.3, lower=-1, upper=1)
    figure = rb.plot_priors(
        prior_scale=scale, priors_effect=own, priors_bias=None, output_scale=scale
    )
    assert subtitles(figure)[0] == f"{own}, P = 0.500"


def test_what_robma_returned_can_be_drawn():
    made = plan(priors_bias=None)
    expected = ["Normal(0, 1), P = 0.500", "InvGamma(1, 0.15), P = 0.500"]
    assert subtitles(made.plot()) == expected
    assert subtitles(rb.plot_priors(made)) == expected
    assert subtitles(rb.plot_priors(**EFFECTS, priors_bias=None)) == expected


def test_priors_beside_models_are_refused():
    with pytest.raises(PriorError, match=r"^priors_bias: expected nothing beside"):
        rb.plot_priors(plan(), priors_bias=None)
