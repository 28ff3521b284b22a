"""Models, hypotheses and spaces that are not the default cross."""

from __future__ import annotations

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.parameters import REALS, UNKNOWNS, Component, Parameter

NORMAL = rb.prior("normal", mean=0, sd=1)
TAU = rb.prior("inv_gamma", shape=1, scale=0.15)
RHO = rb.prior("beta", alpha=1, beta=1)
SPIKE = rb.prior("spike", location=0)
WEIGHTS = rb.prior_weightfunction("one.sided", steps=[0.05], alpha=[1, 1])

DOSE = Parameter(
    "dose", Component("dose", "Dose", "an effect of the dose", "dose"), "spread",
    "moderator", REALS, "β", "Slope of the dose", "the slope of the dose", r"$\beta$",
)  # fmt: skip
TABLE = UNKNOWNS.with_rows([DOSE])


def test_an_unknown_that_is_not_named_is_zero():
    model = rb.model()
    assert str(model) == "mu = 0, tau = 0"
    assert model.free == ()
    assert model.alternative == frozenset()
    assert not model.has("rho")
    assert model.is_zero("rho")
    assert str(model.prior("PET")) == "Spike(0)"


def test_a_model_stands_for_what_it_does_not_fix_at_zero():
    model = rb.model(mu=NORMAL, tau=rb.prior("spike", location=0.2), rho=RHO)
    assert model.alternative == {"effect", "heterogeneity", "hierarchical"}
    assert rb.model(bias=WEIGHTS).alternative == {"bias", "selection"}
    assert rb.model(bias=rb.prior_PET("cauchy", [0, 1])).alternative == {"bias", "PET"}
    assert rb.model(mu=NORMAL, alternative=[]).alternative == frozenset()


def test_a_correlation_means_nothing_without_heterogeneity():
    model = rb.model(mu=NORMAL, rho=RHO)
    assert not model.has("rho")
    assert model.alternative == {"effect"}


def test_one_model_can_have_several_kinds_of_bias():
    model = rb.model({"PET": NORMAL, "PEESE": NORMAL}, bias=WEIGHTS)
    assert model.free == ("PET", "PEESE", "omega")
    assert model.alternative == {"bias", "selection", "PET", "PEESE"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nu": NORMAL}, "priors: expected names of mu, tau, .*; got 'nu'"),
        ({"omega": NORMAL}, "priors: expected names of .*; got 'omega'"),
        ({"priors": {"mu": NORMAL}, "mu": NORMAL}, "mu: expected one prior; got two"),
        ({"rho": rb.prior("spike", location=2)}, r"rho: expected a spike in \[0, 1\]"),
        ({"alternative": ["efect"]}, "alternative: expected names of .*; got 'efect'"),
        ({"alternative": "effect"}, r"a list of names; got 'effect'. Write \['effect'"),
        ({"prior_weight": 0}, "prior_weight: expected a positive number; got 0"),
        ({"mu": 0}, r"mu: expected a prior made by prior\(...\); got 0"),
        ({"mu": [NORMAL]}, "mu: expected a prior made by"),
        ({"bias": "PET"}, r"bias: expected prior_weightfunction\(...\), .*; got 'PET'"),
        ({"bias": NORMAL}, "bias: expected prior_weightfunction"),
        ({"priors": [("mu", NORMAL)]}, "priors: expected a mapping by name"),
    ],
)
def test_models_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(rb.PriorError, match=message):
        rb.model(**arguments)


def test_a_prior_that_reaches_outside_its_unknown_is_truncated():
    with pytest.warns(rb.PriorWarning, match=r"tau: Normal.* truncated to"):
        assert rb.model(tau=NORMAL).prior("tau").lower == 0


def test_a_space_is_any_list_of_models_and_two_can_be_added():
    one, other = rb.model(), rb.model(mu=NORMAL, prior_weight=3)
    space = rb.ModelSpace([one]) + rb.ModelSpace([other])
    assert space.models == (one, other)
    np.testing.assert_allclose(space.prior_prob, [0.25, 0.75], rtol=1e-15)
    with pytest.raises(rb.PriorError, match=r"models: .* got 'mu = 0' at position 1"):
        rb.ModelSpace([one, "mu = 0"])
    for wrong in (one, 5, "PSMA"):
        with pytest.raises(rb.PriorError, match="models: expected a ModelSpace or a"):
            rb.ModelSpace(wrong)


def test_models_of_one_posterior_are_found_in_one_pass():
    light = rb.prior("normal", mean=0, sd=1, prior_weight=0.5)
    space = rb.ModelSpace(
        [
            rb.model(mu=NORMAL),
            rb.model(mu=light),
            rb.model(tau=TAU),
            # A correlation of 0 is none.
            rb.model(tau=TAU, rho=SPIKE),
            rb.model(tau=TAU, bias=WEIGHTS),
        ]
    )
    assert space.first == (0, 0, 2, 2, 4)


def test_any_number_of_components_is_crossed():
    dose = rb.Hypotheses.of("dose", "dose", null=[SPIKE], alternative=[NORMAL])
    space = rb.model_space(
        dose,
        effect=[NORMAL],
        effect_null=[SPIKE],
        heterogeneity=[TAU],
        unknowns=TABLE,
    )
    assert [str(model) for model in space] == [
        "mu = 0, tau ~ InvGamma(1, 0.15), dose = 0",
        "mu ~ Normal(0, 1), tau ~ InvGamma(1, 0.15), dose = 0",
        "mu = 0, tau ~ InvGamma(1, 0.15), dose ~ Normal(0, 1)",
        "mu ~ Normal(0, 1), tau ~ InvGamma(1, 0.15), dose ~ Normal(0, 1)",
    ]
    assert ["dose" in model.alternative for model in space] == [0, 0, 1, 1]


def test_a_side_can_bring_several_unknowns_or_none():
    both = rb.Choice((("PET", NORMAL), ("PEESE", NORMAL)))
    tested = rb.Hypotheses("bias", null=(rb.Choice(),), alternative=(both,))
    space = rb.models.combine([tested])
    assert [model.free for model in space] == [(), ("PET", "PEESE")]
    assert space.models[1].alternative == {"bias", "PET", "PEESE"}


def test_the_weight_of_a_choice_is_that_of_its_prior():
    heavy = rb.prior("normal", mean=0, sd=1, prior_weight=3)
    sides = rb.Hypotheses.of("effect", "mu", null=[SPIKE], alternative=[heavy])
    assert rb.models.combine([sides]).prior_prob.tolist() == [0.25, 0.75]


@pytest.mark.parametrize(
    ("hypotheses", "message"),
    [
        (
            [rb.Hypotheses.of("efect", "mu", null=[SPIKE])],
            "expected components among bias, .*; got 'efect'",
        ),
        (2 * [rb.Hypotheses.of("effect", "mu", null=[SPIKE])], "got 'effect' 2 times"),
        (
            [
                rb.Hypotheses.of("effect", "mu", null=[SPIKE]),
                rb.Hypotheses.of("heterogeneity", "mu", null=[SPIKE]),
            ],
            "priors of unknowns of heterogeneity; got one of mu, which is of effect",
        ),
        (
            [
                rb.Hypotheses("effect", (rb.Choice({"mu": SPIKE}, selection=WEIGHTS),)),
                rb.Hypotheses("bias", (rb.Choice(),)),
            ],
            "priors of unknowns of effect; got one of omega, which is of bias",
        ),
        (
            [rb.Hypotheses("effect", (rb.Choice({"mean": SPIKE}),))],
            "priors: expected names of mu, tau, .*; got 'mean'",
        ),
    ],
)
def test_components_that_cannot_be_crossed_are_refused(hypotheses, message):
    with pytest.raises(rb.PriorError, match=message):
        rb.models.combine(hypotheses)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"priors": ["mu"]}, "priors: expected pairs of a name and a prior; got 'mu'"),
        ({"priors": {"mu": 0}}, "mu: expected a prior made by"),
        ({"priors": 2 * (("mu", NORMAL),)}, "priors: expected one of each unknown"),
        ({"selection": "PET"}, "selection: expected prior_weightfunction"),
        ({"prior_weight": -1}, "prior_weight: expected a positive number; got -1"),
    ],
)
def test_choices_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(rb.PriorError, match=message):
        rb.Choice(**arguments)


def test_a_choice_can_be_a_mapping_and_a_side_a_single_prior():
    assert rb.Choice({"mu": NORMAL}) == rb.Choice((("mu", NORMAL),))
    one = rb.Hypotheses.of("effect", "mu", null=SPIKE, alternative=NORMAL)
    several = rb.Hypotheses.of("effect", "mu", null=[SPIKE], alternative=[NORMAL])
    assert one == several
    space = rb.models.combine([one])
    assert [m.alternative for m in space] == [frozenset(), {"effect"}]


def test_a_component_without_any_choice_is_refused():
    with pytest.raises(rb.PriorError, match="priors_dose: expected at least one"):
        rb.Hypotheses("dose")
