"""Model spaces with other priors of one component."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

import pyrobma as rb
from pyrobma.models.varied import varied_unknowns, with_priors, with_scales
from pyrobma.parameters import REALS, UNKNOWNS, Component, Parameter

SPIKE = rb.prior("spike", location=0)
HALF = rb.prior("normal", mean=0, sd=0.1, lower=0)
NARROW = rb.prior("normal", mean=0, sd=0.1)
EFFECTS = (
    rb.prior("normal", mean=0, sd=1, prior_weight=2),
    rb.prior("cauchy", location=0, scale=1),
)


def dose(name):
    component = Component("dose", "Dose", "an effect of the dose", "dose")
    return Parameter(
        name, component, "spread", "moderator", REALS, name, name, name, name
    )


TABLE = UNKNOWNS.with_rows([dose("linear"), dose("squared")])


def space(**sides):
    given = {"effect": EFFECTS, "effect_null": [NARROW], "heterogeneity_null": [SPIKE]}
    return rb.model_space(**(given | sides))


def of(models, component, call, given):
    rows = varied_unknowns(models, component, TABLE)
    return call(models, rows, given, "cohens_d")


def test_only_priors_of_the_alternative_change():
    models = space()
    wide, same, _ = of(models, "effect", with_scales, [4, 1, 2])[::-1]
    assert (wide.factor, same.factor) == (4, 2)
    null, first, second = wide.space
    assert null == models.models[0]
    assert first == replace(
        models.models[1],
        priors=(("mu", replace(EFFECTS[0], values=(0.0, 4.0))), ("tau", SPIKE)),
    )
    assert str(second.prior("mu")) == "Cauchy(0, 4)"
    assert wide.space.prior_prob.tolist() == models.prior_prob.tolist()


def test_factors_are_in_order_once_each_with_the_prior_as_it_is():
    models = space()
    found = of(models, "effect", with_scales, [2, 0.5, 2])
    assert [case.factor for case in found] == [0.5, 1, 2]
    assert found[1].space.models == models.models


def test_the_prior_is_described():
    one = of(space(effect=[EFFECTS[0]]), "effect", with_scales, [0.25])[0]
    assert (one.prior, one.scale_name, one.scale) == ("Normal(0, 0.25)", "sd", 0.25)
    two = of(space(), "effect", with_scales, [0.25])[0]
    assert two.prior == "Normal(0, 0.25) or Cauchy(0, 0.25)"
    assert two.scale_name == ""
    assert math.isnan(two.scale)


def terms(first, second):
    own = rb.Hypotheses(
        "dose",
        null=(rb.Choice(),),
        alternative=(rb.Choice((("linear", first), ("squared", second))),),
    )
    return rb.model_space(
        own, effect=[EFFECTS[0]], heterogeneity_null=[SPIKE], unknowns=TABLE
    )


def test_all_unknowns_of_a_component_change_together():
    alike = of(terms(EFFECTS[0], EFFECTS[0]), "dose", with_scales, [2])[1]
    assert (alike.prior, alike.scale) == ("Normal(0, 2)", 2)
    assert [str(p) for n, p in alike.space.models[1].priors if n != "tau"] == [
        "Normal(0, 1)", "Normal(0, 2)", "Normal(0, 2)",
    ]  # fmt: skip
    differ = of(terms(EFFECTS[0], NARROW), "dose", with_scales, [2])[1]
    assert differ.prior == "linear ~ Normal(0, 2), squared ~ Normal(0, 0.2)"
    assert math.isnan(differ.scale)
    given = of(terms(EFFECTS[0], NARROW), "dose", with_priors, [EFFECTS[1]])[1]
    assert given.prior == "Cauchy(0, 1)"
    assert given.space.models[1].prior("squared") == EFFECTS[1]


def test_given_priors_take_the_place_of_all_alternatives():
    models = space()
    as_fitted, new = of(models, "effect", with_priors, [NARROW])
    assert as_fitted.space.models == models.models
    assert as_fitted.prior == "Normal(0, 1) or Cauchy(0, 1)"
    assert (as_fitted.factor, new.prior) == (1, "Normal(0, 0.1)")
    assert math.isnan(new.factor)
    assert [spec.prior("mu") for spec in new.space] == 3 * [NARROW]
    assert new.space.prior_prob.tolist() == models.prior_prob.tolist()


def test_a_kind_of_bias_takes_its_own_priors():
    bias = [rb.prior_PET("cauchy", location=0, scale=1),
            rb.prior_PEESE("cauchy", location=0, scale=5)]  # fmt: skip
    models = space(bias=bias)
    half = rb.prior_PET("normal", mean=0, sd=1)
    changed = of(models, "PET", with_priors, [half])[1]
    assert changed.prior == "Normal(0, 1)[0, Inf]"
    assert [spec.prior("PEESE") for spec in changed.space] == [
        spec.prior("PEESE") for spec in models
    ]
    with pytest.raises(rb.PriorError, match="priors, position 0: expected a prior"):
        of(models, "PEESE", with_priors, [half])


def test_a_point_of_the_alternative_stays_where_it_is():
    point = rb.prior("spike", location=0.2)
    found = of(space(effect=[point, EFFECTS[0]]), "effect", with_scales, [2])[1]
    assert found.prior == "Spike(0.2) or Normal(0, 2)"
    with pytest.raises(rb.PriorError, match=r"prior that has a scale; got 'effect'"):
        of(space(effect=[point]), "effect", with_scales, [2])


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ("efect", "component: expected one of effect, heterogeneity"),
        ("hierarchical", "some model is the alternative for; got 'hierarchical'"),
        ("PEESE", "some model is the alternative for; got 'PEESE'"),
        ("bias", "got 'bias'. Choose one of its kinds: PET."),
        ("selection", "got 'selection'. Compare fits"),
    ],
)
def test_a_component_without_a_prior_to_change_is_refused(component, message):
    selection = rb.prior_weightfunction("two.sided", steps=[0.05], alpha=[1, 1])
    pet = rb.prior_PET("cauchy", location=0, scale=1)
    with pytest.raises(rb.DataError, match=message):
        varied_unknowns(space(bias=[selection, pet]), component, TABLE)


@pytest.mark.parametrize("scales", [[0], [1, -2], [math.inf], ["2"], 2, "12", [None]])
def test_scales_are_positive_numbers(scales):
    with pytest.raises(rb.PriorError, match=r"scales: expected (a )?positive"):
        of(space(), "effect", with_scales, scales)


def test_a_prior_that_is_scaled_out_of_the_legal_values_is_refused():
    rho = rb.prior("uniform", a=0, b=0.9)
    models = rb.model_space(
        effect=[EFFECTS[0]], heterogeneity=[rb.prior("exp", rate=1)], hierarchical=[rho]
    )
    with pytest.raises(rb.PriorError, match=r"scales, 2 times the prior: expected a a"):
        of(models, "hierarchical", with_scales, [2])


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ([SPIKE], "priors, position 0: expected a prior of an alternative; got Spike"),
        ([HALF, 1.0], "priors, position 1: expected a prior made by prior"),
        (NARROW, "priors: expected a list of priors; got"),
        ("normal", "priors: expected a list of priors; got"),
        ([rb.prior("normal", mean=0, sd=1, upper=-1)], "has no probability there"),
    ],
)
def test_what_is_no_prior_of_an_alternative_is_refused(priors, message):
    models = space(heterogeneity=[rb.prior("exp", rate=1)])
    with pytest.raises(rb.PriorError, match=message):
        of(models, "heterogeneity", with_priors, priors)


def test_a_prior_that_reaches_outside_is_truncated():
    models = space(heterogeneity=[rb.prior("exp", rate=1)])
    with pytest.warns(rb.PriorWarning, match="priors, position 0: Normal"):
        found = of(models, "heterogeneity", with_priors, [NARROW])
    assert found[1].prior == "Normal(0, 0.1)[0, Inf]"


def test_several_components_change_together():
    models = rb.model_space(
        effect=EFFECTS[:1], heterogeneity=[rb.prior("inv_gamma", shape=1, scale=0.15)]
    )
    rows = [
        row
        for name in ("effect", "heterogeneity")
        for row in varied_unknowns(models, name, TABLE)
    ]
    _, wide = with_scales(models, rows, [2], "cohens_d")
    assert str(wide.space.models[0].prior("mu")) == "Normal(0, 2)"
    assert str(wide.space.models[0].prior("tau")) == "InvGamma(1, 0.3)"
    assert math.isnan(wide.scale)
