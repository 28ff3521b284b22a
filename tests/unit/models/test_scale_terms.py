"""Models with heterogeneity split by its moderators."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pyrobma as rb
from pyrobma.errors import DataError, PriorError
from pyrobma.models import Task, heterogeneous, scale_columns
from pyrobma.models.rebuilt import rebuilt
from pyrobma.models.task import tau_reference

# Sums and quotients of a few weights.
ROUNDING = 1e-12

TABLE = pd.DataFrame(
    {
        "y": [0.1, 0.5, -0.2, 0.3, 0.8, 0.4, 0.0, 0.6],
        "se": [0.1, 0.2, 0.1, 0.2, 0.1, 0.2, 0.15, 0.12],
        "dose": [1.0, 2.0, 4.0, 3.0, 7.0, 5.0, 9.0, 4.5],
        "year": [2001.0, 2004.0, 2003.0, 2010.0, 2008.0, 2009.0, 2002.0, 2005.0],
        "design": list("aaabbbab"),
    }
)


def plan(**options: Any) -> rb.Plan:
    options.setdefault("priors_bias", None)
    return rb.robma(TABLE, y="y", se="se", only_priors=True, **options)


def given_heterogeneity(made: rb.Plan, name: str) -> float:
    """Prior probability of a component among models with heterogeneity."""
    given = heterogeneous(made.space)
    has = np.array([name in spec.alternative for spec in made.space])
    return float(made.space.prior_prob_given(given)[has].sum())


def prior_prob(made: rb.Plan, name: str) -> float:
    has = np.array([name in spec.alternative for spec in made.space])
    return float(made.space.prior_prob[has].sum())


@pytest.mark.parametrize("terms", ["dose", "dose + year", "dose * design"])
@pytest.mark.parametrize("mods_prior", ["independent", "beta-binomial"])
def test_heterogeneity_keeps_its_prior_probability(terms: str, mods_prior: str) -> None:
    made = plan(scale=terms, mods="year", mods_prior=mods_prior)
    for name in ("effect", "heterogeneity", "year"):
        assert prior_prob(made, name) == pytest.approx(0.5, abs=ROUNDING)


def test_each_term_has_half_of_the_models_with_heterogeneity() -> None:
    made = plan(scale="dose + year")
    for name in ("tau ~ dose", "tau ~ year"):
        assert given_heterogeneity(made, name) == pytest.approx(0.5, abs=ROUNDING)
        assert prior_prob(made, name) == pytest.approx(0.25, abs=ROUNDING)
    # Two without heterogeneity, and two times four with.
    assert len(made.space) == 10


def test_models_without_heterogeneity_have_no_moderators_of_it() -> None:
    made = plan(scale="dose", mods="dose")
    for spec, differs in zip(made.space, heterogeneous(made.space), strict=True):
        assert spec.has("tau ~ dose") == differs
        assert spec.has("dose")
    assert len(set(made.space.first)) == len(made.space) == 12


def test_interactions_come_with_their_parts_and_weights_go_to_the_rest() -> None:
    made = plan(scale="dose * year", priors_effect_null=None)
    names = ("tau ~ dose", "tau ~ year", "tau ~ dose:year")
    found = {
        tuple(name in spec.alternative for name in names)
        for spec in made.space
        if not spec.is_zero("tau")
    }
    assert found == {*product((False, True), (False, True), (False,)), (True,) * 3}
    assert given_heterogeneity(made, "tau ~ dose:year") == pytest.approx(1 / 5)
    free = plan(scale="dose * year", heredity=False)
    assert given_heterogeneity(free, "tau ~ dose:year") == pytest.approx(1 / 2)


def test_numbers_of_terms_can_be_equally_probable() -> None:
    made = plan(scale="dose + year", mods_prior="beta-binomial")
    given = made.space.prior_prob_given(heterogeneous(made.space))
    number = np.array(
        [sum(n.startswith("tau ~ ") for n in spec.alternative) for spec in made.space]
    )
    for count in range(3):
        assert given[number == count].sum() == pytest.approx(1 / 3)


def test_priors_and_tests_are_given_by_the_names_of_the_formula() -> None:
    own = rb.prior("normal", mean=0, sd=1)
    made = plan(scale="dose + year", priors_scale={"dose": own}, test_scale=["dose"])
    with_dose = [s for s in made.space if "tau ~ dose" in s.alternative]
    assert {str(s.prior("tau ~ dose")) for s in with_dose} == {"Normal(0, 1)"}
    assert {str(s.prior("tau ~ year")) for s in with_dose} == {"Normal(0, 0.5)"}
    assert given_heterogeneity(made, "tau ~ year") == 1.0
    named = plan(scale="dose", priors_scale={"tau ~ dose": own})
    assert any(s.prior("tau ~ dose") == own for s in named.space)


def test_default_priors_do_not_follow_rescaled_ones() -> None:
    made = plan(scale="dose", mods="dose", rescale_priors=2.0)
    sds = {
        name: {str(s.prior(name)) for s in made.space if not s.prior(name).is_spike}
        for name in ("dose", "tau ~ dose")
    }
    assert set(map(frozenset, sds.values())) == {frozenset({"Normal(0, 0.5)"})}


def test_a_term_of_both_formulas_is_two_components() -> None:
    made = plan(scale="dose", mods="dose")
    assert {"dose", "tau ~ dose"} <= {c.name for c in made.task.unknowns.components}
    assert made.task.column("dose") is not made.task.column("tau ~ dose")
    np.testing.assert_array_equal(
        made.task.column("dose"), made.task.column("tau ~ dose")
    )


def test_terms_need_models_with_heterogeneity() -> None:
    with pytest.raises(PriorError, match="scale: expected models with heterogeneity"):
        plan(scale="dose", priors_heterogeneity=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"priors_scale": {"dose": None}}, "priors_scale: expected defaults without"),
        ({"test_scale": False}, "test_scale: expected defaults without scale"),
        ({"scale": "dose", "test_mods": False}, "test_mods: expected defaults without"),
        (
            {"scale": "dose", "priors_scale": {"size": None}},
            "priors_scale: expected names of terms, dose; got 'size'",
        ),
        (
            {"scale": "design", "priors_scale": {
                "design": rb.prior("normal", mean=0.2, sd=1)}},
            "priors_scale, design: expected a prior that is symmetric around 0",
        ),
    ],
)  # fmt: skip
def test_arguments_that_fit_nothing_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(PriorError, match=message):
        plan(**options)


def test_a_column_with_the_name_of_a_coefficient_is_refused() -> None:
    table = TABLE.rename(columns={"year": "tau ~ dose"})
    with pytest.raises(DataError, match="expected a name of its own"):
        rb.robma(
            table, y="y", se="se", mods=["tau ~ dose"], scale="dose", only_priors=True
        )


def test_spaces_with_moderators_of_heterogeneity_are_rebuilt() -> None:
    for options in ({}, {"mods": "year"}, {"mods_prior": "beta-binomial"}):
        made = plan(scale="dose + design", **options)
        found = rebuilt(made.space, made.task)
        again = found.space(made.task)
        assert [s.priors for s in again] == [s.priors for s in made.space]
        np.testing.assert_allclose(again.prior_prob, made.space.prior_prob)


def test_rows_that_lack_either_kind_of_moderator_are_left_out_of_both() -> None:
    table = TABLE.copy()
    table.loc[0, "dose"] = np.nan
    table.loc[3, "year"] = np.nan
    with pytest.warns(rb.errors.DataWarning):
        made = rb.robma(
            table, y="y", se="se", mods="year", scale="dose", missing="drop",
            only_priors=True,
        )  # fmt: skip
    assert made.task.effects.K == 6
    assert made.task.moderators is not None
    assert made.task.scale_moderators is not None
    for moderators in (made.task.moderators, made.task.scale_moderators):
        assert moderators.columns.mean() == pytest.approx(0.0, abs=1e-9)


def test_centres_go_to_the_formula_that_has_the_variable() -> None:
    made = plan(mods="dose", scale="year", center={"year": 2000, "dose": 1})
    assert made.task.moderators is not None
    assert made.task.scale_moderators is not None
    assert made.task.moderators.coding("dose").centre == [1.0]
    assert made.task.scale_moderators.coding("year").centre == [2000.0]
    with pytest.raises(DataError, match="center: expected names"):
        plan(mods="dose", scale="year", center={"size": 1})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": "dose"}, "at the mean of dose"),
        ({"scale": "design"}, "at the geometric mean over levels of design"),
        ({"scale": "design", "contrasts": "treatment"}, "at design = a"),
        ({"scale": "year", "center": {"year": 2000}}, "at year = 2000"),
        ({"scale": "dose", "standardize": False}, "at dose = 0"),
        (
            {"scale": "dose + design"},
            "at the mean of dose and the geometric mean over levels of design",
        ),
    ],
)
def test_it_is_said_where_tau_is(options: dict[str, Any], words: str) -> None:
    task = plan(**options).task
    assert task.scale_moderators is not None
    assert tau_reference(task.scale_moderators) == words
    assert task.unknowns["tau"].title == f"Heterogeneity {words}"


def test_a_task_refuses_moderators_without_their_columns() -> None:
    task = plan(scale="dose").task
    assert task.scale_moderators is not None
    with pytest.raises(DataError, match="'tau ~ dose'"):
        Task(task.effects, "none", scale_moderators=task.scale_moderators)
    columns = scale_columns(task.scale_moderators)
    Task(task.effects, "none", columns=columns, scale_moderators=task.scale_moderators)


def test_a_change_of_unit_leaves_columns_of_log_tau_alone() -> None:
    task = plan(scale="dose", mods="dose").task
    other = task.in_unit(0.1)
    for name in ("dose", "tau ~ dose"):
        np.testing.assert_array_equal(other.column(name), task.column(name))


def test_odds_of_a_term_are_given_heterogeneity() -> None:
    from pyrobma.models.reweighted import with_weights

    made = plan(scale="dose")
    space = with_weights(made.space, {"tau ~ dose": 1 / 3}, made.task.unknowns)
    other = rb.Plan(made.task, space, made.settings, 1)
    assert given_heterogeneity(other, "tau ~ dose") == pytest.approx(0.25)
    assert prior_prob(other, "heterogeneity") == pytest.approx(0.5)
