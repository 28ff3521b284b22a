"""What is said in words, from made-up fits."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.ensemble import prediction_interval
from pyrobma.summary import interpret

SPIKE = (rb.prior("spike", location=0),)
EFFECT_ONLY = {
    "effect": rb.default_priors("effect"),
    "effect_null": SPIKE,
    "heterogeneity": rb.default_priors("heterogeneity"),
}


def effect_test(made, log_bf, mcse=(0.0, 0.01)):
    """Two models that differ in the effect."""
    space = rb.model_space(**EFFECT_ONLY)
    effects = rb.effect_sizes(d=[0.1, 0.3, 0.2], se=[0.1, 0.2, 0.1])
    return made.ensemble(space, [0.0, log_bf], mcse, effects=effects)


def numbers(mean, low, high):
    return f"{mean:.3f}", f"[{low:.3f}, {high:.3f}]".replace("-", "−")


WHOLE = """\
A Bayesian model-averaged meta-analysis of 4 estimates in 2 clusters combined 4 \
models. There was moderate evidence for heterogeneity (BF10 = 8.17). \
The data did not discriminate between models with and models without an effect \
(BF10 = 1.05). \
Every model with heterogeneity let true effects correlate within clusters, so that \
this correlation was not tested on its own. \
The model-averaged mean effect was {mu[0]} on the Cohen's d scale, 95 % credible \
interval {mu[1]} ({given[0]} {given[1]} given that there is an effect). \
The standard deviation of true effects (tau) was {tau[0]} {tau[1]}, and their \
correlation within clusters (rho) was {rho[0]} {rho[1]} in the models with \
heterogeneity. \
The 95 % prediction interval for the true effect of a new study was {new}. \
Monte Carlo standard errors were at most {largest} for the log Bayes factors and \
{error} for the mean effect. \
All models passed the checks of convergence and precision."""


def test_the_whole_paragraph(made):
    logml = [0.0, 2.1, 0.05, 2.15]
    ensemble = made.ensemble(made.space(), logml, [0.0, 0.014, 0.0, 0.014])
    rows = {}
    for name, conditional in (("mu", False), ("tau", False), ("rho", True)):
        mixed = ensemble.mixture(name, conditional=conditional)
        rows[name] = numbers(mixed.mean(), *mixed.quantiles([0.025, 0.975]))
    mixed = ensemble.mixture("mu", conditional=True)
    new = prediction_interval(ensemble)
    assert interpret(ensemble) == WHOLE.format(
        **rows,
        given=numbers(mixed.mean(), *mixed.quantiles([0.025, 0.975])),
        new=numbers(0, new["0.025"], new["0.975"])[1],
        largest=f"{ensemble.inclusion['log_bf_mcse'].max():.3f}",
        error=f"{ensemble.mixture('mu').mcse():.2g}",
    )


@pytest.mark.parametrize(
    ("bf", "words"),
    [
        (1.5, "weak evidence for an effect (BF10 = 1.50)"),
        (1 / 1.5, "weak evidence against an effect (BF01 = 1.50)"),
        (3.5, "moderate evidence for an effect (BF10 = 3.50)"),
        (0.2, "moderate evidence against an effect (BF01 = 5.00)"),
        (16.357, "strong evidence for an effect (BF10 = 16.4)"),
        (1 / 163.4, "extreme evidence against an effect (BF01 = 163)"),
        (8103.0, "extreme evidence for an effect (BF10 = 8103)"),
        (9.337e92, "extreme evidence for an effect (BF10 = 9.3 × 10^92)"),
        (9.996e6, "extreme evidence for an effect (BF10 = 1.0 × 10^7)"),
    ],
)
def test_evidence_has_a_strength_a_direction_and_sensible_digits(made, bf, words):
    assert f"There was {words}." in interpret(effect_test(made, math.log(bf)))


@pytest.mark.parametrize("bf", [1.0, 0.92, 1.09])
def test_a_bayes_factor_of_about_one_is_no_evidence(made, bf):
    text = interpret(effect_test(made, math.log(bf)))
    assert (
        "The data did not discriminate between models with and models without an "
        f"effect (BF10 = {bf:.2f})."
    ) in text
    assert "evidence" not in text


def test_a_bayes_factor_beyond_doubles_is_written_from_its_log(made):
    text = interpret(effect_test(made, 1000 * math.log(10)))
    assert "(BF10 = 1.0 × 10^1000)" in text


def test_one_model_has_estimates_but_no_evidence(made):
    text = interpret(made.ensemble(made.space(null=False), [0.0]))
    assert text.startswith(
        "A Bayesian meta-analysis of 4 estimates in 2 clusters was fitted with one "
        "model: mu ~ Normal(0, 1), tau ~ InvGamma(1, 0.15), rho ~ Beta(1, 1). The mean "
        "effect was 0.194 on the"
    )
    assert "BF" not in text
    assert "averaged" not in text
    assert "given that" not in text
    assert "The Monte Carlo standard error was" in text
    assert text.endswith("The model passed the checks of convergence and precision.")


def test_clusters_can_be_all_that_is_tested(made):
    space = made.space(null=False, hierarchical_null=SPIKE)
    text = interpret(made.ensemble(space, [0.0, 9.0], [0.01, 0.02]))
    assert (
        "There was extreme evidence for a correlation of true effects within clusters "
        "(BF10 = 8103)."
    ) in text
    assert "evidence for an effect" not in text
    assert "discriminate" not in text
    assert "for the log Bayes factor and" in text
    assert "in the models with heterogeneity" not in text


def test_without_clusters_there_is_no_word_of_them(made):
    text = interpret(effect_test(made, 1.0))
    assert "of 3 estimates combined" in text
    assert "cluster" not in text
    assert "rho" not in text


def test_models_of_publication_bias_are_counted_by_kind(made):
    space = rb.model_space(
        **EFFECT_ONLY,
        bias=(
            rb.prior_weightfunction("one.sided.fixed", steps=[0.05], omega=[1, 0.5]),
            rb.prior_weightfunction("two.sided.fixed", steps=[0.05], omega=[1, 0.5]),
            rb.prior_PET("spike", location=0.5),
        ),
    )
    effects = rb.effect_sizes(d=[0.1, 0.3], se=[0.1, 0.2])
    logml = np.repeat([0.0, 0.5], 4) + np.tile([0.0, 2.0, 2.0, 2.0], 2)
    text = interpret(made.ensemble(space, logml, effects=effects))
    assert text.startswith(
        "A robust Bayesian model-averaged meta-analysis of 2 estimates combined 8 "
        "models, 6 of which allowed for publication bias (4 selection models and 2 PET "
        "models). There was weak evidence for an effect (BF10 = 1.65) and moderate "
        "evidence for publication bias (BF10 = 7.39)."
    )
    assert "mean effect, adjusted for publication bias, was" in text


def test_fixed_values_are_called_fixed(made):
    space = rb.model_space(
        effect=(rb.prior("spike", location=0.2),), heterogeneity=SPIKE
    )
    assert interpret(made.ensemble(space, [0.0])) == (
        "A Bayesian meta-analysis of 4 estimates in 2 clusters was fitted with one "
        "model: mu = 0.2, tau = 0. The mean effect was fixed at 0.200 on the Cohen's d "
        "scale. True effects were taken as equal. The model passed the checks of "
        "convergence and precision."
    )
    point = (rb.prior("spike", location=0.3),)
    space = rb.model_space(effect=point, heterogeneity=point, hierarchical=point)
    text = interpret(made.ensemble(space, [0.0]))
    assert (
        "(tau) was fixed at 0.300, and their correlation within clusters (rho) was "
        "fixed at 0.300." in text
    )
    assert "[−0.288, 0.888]" in text  # 0.3 ± 1.96 × 0.3


def test_estimates_can_be_on_another_scale(made):
    ensemble = effect_test(made, 1.0)
    text = interpret(ensemble, output_scale="OR")
    mu = ensemble.mixture("mu", output_scale="OR")
    assert f"was {mu.mean():.3f} on the odds ratio scale" in text
    tau = ensemble.mixture("tau", output_scale="OR")
    assert f"(tau) was {tau.mean():.3f} on the log odds ratio scale" in text
    with pytest.raises(rb.DataError, match="output_scale: expected one of"):
        interpret(ensemble, output_scale="z")


def test_effects_in_units_of_their_own_have_decimals_of_their_own(made):
    space = rb.model_space(
        effect=(rb.prior("spike", location=5321.44),), heterogeneity=SPIKE
    )
    effects = rb.effect_sizes(y=[5000.0, 6000.0], se=[200.0, 300.0])
    text = interpret(made.ensemble(space, [0.0], effects=effects, prior_scale="none"))
    assert "fixed at 5321.4 in units of the data." in text


def test_clustered_and_independent_estimates_are_counted(made):
    effects = rb.effect_sizes(
        d=[0.1, 0.2, 0.3], se=[0.1, 0.1, 0.1], study_ids=["a", "a", None]
    )
    text = interpret(made.ensemble(made.space(), [0, 1, 0, 1], effects=effects))
    assert "of 3 estimates (one cluster and one independent estimate) combined" in text
    alone = rb.effect_sizes(d=[0.1], se=[0.1])
    text = interpret(
        made.ensemble(made.space(hierarchical=False), [0, 1, 0, 1], effects=alone)
    )
    assert "meta-analysis of one estimate combined" in text


def test_a_model_that_missed_a_check_is_named_with_its_weight(made):
    reasons = {4: ("R-hat 1.100 above 1.01",)}
    text = interpret(made.ensemble(made.space(), [0, 2, 0, 2], reasons=reasons))
    assert text.endswith(
        "Model 4 of 4, with a posterior probability of 0.44, missed a check, so that "
        "the results need care."
    )
    reasons = dict.fromkeys((1, 3), ("3 divergences",))
    text = interpret(made.ensemble(made.space(), [-90, 2, -90, 2], reasons=reasons))
    assert (
        "Models 1 and 3 of 4, with a joint posterior probability of 1.1e-40, missed a "
        "check; unless their marginal likelihoods are far off, this hardly matters."
    ) in text
    text = interpret(
        made.ensemble(made.space(null=False), [0.0], reasons={1: ("3 divergences",)})
    )
    assert text.endswith("so that the results need care: 3 divergences.")


def test_many_models_that_missed_a_check_are_counted(made):
    space = made.space(hierarchical_null=SPIKE)
    reasons = dict.fromkeys(range(1, len(space) + 1), ("3 divergences",))
    text = interpret(made.ensemble(space, np.zeros(len(space)), reasons=reasons))
    assert f"{len(space)} of the {len(space)} models, with a joint posterior" in text


def test_an_uncertain_bayes_factor_is_not_to_be_relied_on(made):
    text = interpret(effect_test(made, 2.0, mcse=(0.0, 0.3)))
    assert (
        "The Bayes factor for an effect is too uncertain to rely on; more draws would "
        "help."
    ) in text
    assert "too uncertain" not in interpret(effect_test(made, 2.0, mcse=(0.0, 0.05)))
