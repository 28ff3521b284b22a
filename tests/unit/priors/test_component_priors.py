"""`component_priors` and the defaults: what each side of a component accepts."""

from __future__ import annotations

import math

import pytest

from pyrobma import DEFAULT, PriorError, PriorWarning, default_priors, prior
from pyrobma.priors import component_priors

NORMAL = prior("normal", mean=0, sd=1)
SPIKE = prior("spike", location=0)


@pytest.mark.parametrize(
    ("component", "null", "text"),
    [
        ("effect", False, ["Normal(0, 1)"]),
        ("effect", True, ["Spike(0)"]),
        ("heterogeneity", False, ["InvGamma(1, 0.15)"]),
        ("heterogeneity", True, ["Spike(0)"]),
        ("hierarchical", False, ["Beta(1, 1)"]),
        ("hierarchical", True, []),
    ],
)
def test_the_defaults_are_those_of_the_reference(component, null, text):
    assert [str(p) for p in component_priors(DEFAULT, component, null=null)] == text
    assert component_priors(DEFAULT, component, null=null) == default_priors(
        component, null=null
    )


def test_rescaling_widens_effect_and_heterogeneity_but_not_rho():
    assert str(default_priors("effect", rescale=2)[0]) == "Normal(0, 2)"
    assert str(default_priors("heterogeneity", rescale=2)[0]) == "InvGamma(1, 0.3)"
    assert default_priors("hierarchical", rescale=2) == default_priors("hierarchical")
    assert default_priors("effect", null=True, rescale=2) == (SPIKE,)


def test_rescaling_leaves_priors_of_ones_own_alone():
    assert component_priors(NORMAL, "effect", rescale=2) == (NORMAL,)


@pytest.mark.parametrize("nothing", [None, [], ()])
def test_none_and_an_empty_list_leave_the_side_out(nothing):
    assert component_priors(nothing, "effect") == ()


def test_one_prior_a_list_a_tuple_and_a_generator_are_read():
    assert component_priors(NORMAL, "effect") == (NORMAL,)
    assert component_priors([SPIKE, NORMAL], "effect") == (SPIKE, NORMAL)
    assert component_priors((p for p in (SPIKE, NORMAL)), "effect") == (SPIKE, NORMAL)


def test_the_sentinel_prints_as_users_write_it():
    assert repr(DEFAULT) == "DEFAULT"


@pytest.mark.parametrize(
    ("component", "low", "high"),
    [("heterogeneity", 0.0, math.inf), ("hierarchical", 0.0, 1.0)],
)
def test_a_prior_that_reaches_outside_is_truncated_with_a_warning(component, low, high):
    with pytest.warns(PriorWarning, match=f"priors_{component}: Normal.* truncated to"):
        (inside,) = component_priors(NORMAL, component)
    assert (inside.lower, inside.upper) == (low, high)
    assert inside.values == NORMAL.values


def test_the_weight_survives_truncation():
    heavy = prior("normal", mean=0, sd=1, prior_weight=3)
    with pytest.warns(PriorWarning):
        (inside,) = component_priors(heavy, "heterogeneity")
    assert inside.prior_weight == 3


@pytest.mark.parametrize("location", [0.0, 0.4, 1.0])
def test_spikes_at_any_legal_value_are_accepted(location):
    spike = prior("spike", location=location)
    for component in ("effect", "heterogeneity", "hierarchical"):
        assert component_priors(spike, component) == (spike,)


@pytest.mark.parametrize(
    ("component", "made", "message"),
    [
        (
            "heterogeneity",
            prior("spike", location=-0.1),
            r"priors_heterogeneity: expected a spike in \[0, inf\] for tau; got "
            r"Spike\(-0\.1\)\.",
        ),
        (
            "hierarchical",
            prior("spike", location=1.1),
            r"priors_hierarchical: expected a spike in \[0, 1\] for rho; got",
        ),
        (
            "heterogeneity",
            prior("normal", mean=0, sd=1, upper=0),
            r"priors_heterogeneity: expected a prior on \[0, inf\] for tau; got "
            r"Normal\(0, 1\)\[-Inf, 0\], which has no probability there\.",
        ),
        (
            "hierarchical",
            prior("normal", mean=2, sd=1, lower=1),
            r"priors_hierarchical: expected a prior on \[0, 1\] for rho; got",
        ),
        (
            "heterogeneity",
            prior("uniform", a=-1, b=1),
            r"priors_heterogeneity: expected a and b in \[0, inf\] for tau; got "
            r"Uniform\(-1, 1\)\.",
        ),
        (
            "hierarchical",
            prior("uniform", a=0, b=2),
            r"priors_hierarchical: expected a and b in \[0, 1\] for rho; got",
        ),
    ],
)
def test_a_prior_outside_the_support_is_refused(component, made, message):
    with pytest.raises(PriorError, match=message):
        component_priors(made, component)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("normal", r"priors_effect_null: expected a prior, a list .*; got 'normal'\."),
        (3, r"priors_effect_null: expected a prior, a list of priors, .*; got 3\."),
        ([NORMAL, 3], r"priors_effect_null: expected priors made by prior\(.*got 3\."),
        ([None], r"priors_effect_null: expected priors made by prior\(.*; got None\."),
    ],
)
def test_anything_that_is_no_prior_is_refused_by_the_name_of_its_argument(
    argument, message
):
    with pytest.raises(PriorError, match=message):
        component_priors(argument, "effect", null=True)


@pytest.mark.parametrize(
    ("heaped", "component"),
    [
        (prior("gamma", shape=1e-3, rate=1), "heterogeneity"),
        (prior("lognormal", meanlog=0, sdlog=200), "heterogeneity"),
        (prior("beta", alpha=1e-3, beta=1), "heterogeneity"),
        (prior("gamma", shape=1e-3, rate=1, upper=1), "hierarchical"),
    ],
)
def test_mass_that_doubles_cannot_tell_from_0_is_refused_with_a_way_out(
    heaped, component
):
    with pytest.raises(PriorError, match=r"below 1e-300; got .* give prior\('spike'"):
        component_priors(heaped, component)


def test_mass_heaped_on_an_end_is_accepted_where_it_can_be_seen():
    for made in (
        prior("gamma", shape=0.05, rate=1),
        prior("gamma", shape=1e-3, rate=1, lower=1e-6),
    ):
        assert component_priors(made, "heterogeneity") == (made,)
    heaped = prior("beta", alpha=1e-3, beta=1e-3)
    assert component_priors(heaped, "hierarchical") == (heaped,)
