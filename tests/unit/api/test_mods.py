"""Moderators in `robma`: from its arguments to the models that are fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

import pyrobma as rb
from pyrobma.effects import read_moderators
from pyrobma.ensemble.quantities import coefficients, converted, marginal, posterior
from pyrobma.models import Task, moderator_columns

ROUNDING = 1e-12  # sums of a few products

K = 10
RNG = np.random.default_rng(3)
TABLE = pd.DataFrame(
    {
        "d": RNG.normal(0.2, 0.3, K),
        "se": RNG.uniform(0.1, 0.3, K),
        "x": RNG.normal(size=K),
        "year": RNG.integers(1990, 2020, K),
        "g": list("ab") * 5,
        "lab": [1, 1, 2, 2, 3, 3, 4, 4, 5, 6],
        "author": [f"Author {i}" for i in range(K)],
    },
    index=[f"r{i}" for i in range(K)],
)
GAPS = TABLE.assign(
    x=TABLE["x"].where(~TABLE.index.isin(["r0", "r9"])),
    g=TABLE["g"].where(TABLE.index != "r3"),
)
NORMAL = rb.prior("normal", mean=0, sd=1)
TAU = rb.prior("inv_gamma", shape=1, scale=0.15)
SPIKE = rb.prior("spike", location=0)
WIDE = rb.prior("normal", mean=0, sd=0.8)
FEW = {"priors_effect_null": None, "priors_heterogeneity_null": None}


def robma(data=TABLE, **options):
    given = {"d": "d", "se": "se", "chains": 4, "draws": 200, "seed": 1}
    if "models" not in options:
        given["priors_bias"] = None
    return rb.robma(data, **(given | options))


@dataclass
class Asked(Exception):
    """What would have been fitted."""

    task: Task
    space: rb.ModelSpace


@pytest.fixture
def asked(monkeypatch):
    """Return the task and the space of a call, without fitting."""

    def stop(task, space, **_):
        raise Asked(task, space)

    monkeypatch.setattr("pyrobma.api.fit_models", stop)

    def call(*arguments, **options):
        with pytest.raises(Asked) as caught:
            robma(*arguments, **options)
        return caught.value.task, caught.value.space

    return call


def priors_of(space, name):
    return {str(model.prior(name)) for model in space}


# ---- from arguments to models ----------------------------------------------
def test_every_model_is_there_with_and_without_each_term(asked):
    task, space = asked(mods="x + g")
    assert len(space) == 4 * 4
    np.testing.assert_allclose(space.prior_prob, 1 / 16, rtol=ROUNDING)
    made, _ = read_moderators("x + g", TABLE)
    np.testing.assert_array_equal(task.moderators.columns, made.columns)
    assert task.unknowns.names[-2:] == ("x", "g[1]")


def test_arguments_reach_the_coding(asked):
    task, _ = asked(
        mods="year + g", contrasts="treatment", center={"year": 2000}, study_ids="lab"
    )
    options = {"contrasts": "treatment", "center": {"year": 2000}}
    made, _ = read_moderators("year + g", TABLE, **options)
    np.testing.assert_array_equal(task.moderators.columns, made.columns)
    task, _ = asked(mods="x", standardize=False)
    np.testing.assert_array_equal(task.moderators.columns[:, 0], TABLE["x"])
    task, _ = asked(mods="x", center="clusters", study_ids="lab")
    means = TABLE["x"].groupby(TABLE["lab"]).mean()
    assert task.moderators.coding("x").centre[0] == pytest.approx(means.mean())


def test_arguments_reach_the_space(asked):
    assert len(asked(mods="x + g", test_mods=["g"], **FEW)[1]) == 2
    assert len(asked(mods="x + g", test_mods=False, **FEW)[1]) == 1
    assert len(asked(mods="x * g", **FEW)[1]) == 5
    assert len(asked(mods="x * g", heredity=False, **FEW)[1]) == 8
    _, space = asked(mods="x + g", mods_prior="beta-binomial", **FEW)
    expected = [1 / 3, 1 / 6, 1 / 6, 1 / 3]
    np.testing.assert_allclose(space.prior_prob, expected, rtol=ROUNDING)
    assert len(asked(mods="x", priors_bias=rb.prior_PET("cauchy", [0, 1]))[1]) == 16


def test_priors_by_term(asked):
    own = {"g": WIDE, "x": {"null": rb.prior("spike", location=0.1)}}
    _, space = asked(mods="x + g", priors_mods=own, **FEW)
    assert priors_of(space, "x") == {"Spike(0.1)"}
    assert priors_of(space, "g[1]") == {"Spike(0)", "Normal(0, 0.8)"}
    _, space = asked(mods="x + g", priors_mods=own, rescale_priors=2, **FEW)
    assert priors_of(space, "mu") == {"Normal(0, 2)"}
    assert priors_of(space, "g[1]") == {"Spike(0)", "Normal(0, 0.8)"}
    _, space = asked(mods="x", rescale_priors=2, **FEW)
    assert priors_of(space, "x") == {"Spike(0)", "Normal(0, 0.5)"}


@pytest.mark.parametrize("form", ["effects", "arrays", "series", "moderators"])
def test_moderators_go_with_estimates_in_every_form(asked, form):
    expected, _ = asked(mods="x + g")
    own = TABLE[["x", "g"]]
    none = {"d": None, "se": None}
    if form == "effects":
        task, _ = asked(rb.effect_sizes(TABLE, d="d", se="se"), mods=own, **none)
    elif form == "arrays":
        arrays = {"d": TABLE["d"].to_numpy(), "se": TABLE["se"].to_numpy()}
        mods = {"x": TABLE["x"].to_numpy(), "g": list(TABLE["g"])}
        task, _ = asked(None, mods=mods, **arrays)
    elif form == "series":
        task, _ = asked(None, mods=own, d=TABLE["d"], se=TABLE["se"])
    else:
        task, _ = asked(mods=read_moderators("x + g", TABLE)[0])
    np.testing.assert_array_equal(task.moderators.columns, expected.moderators.columns)


def test_rows_that_lack_a_moderator_leave_with_their_names_and_clusters(asked):
    message = r"3 of 10 rows are dropped, .* in x \(2\) and g \(1\)"
    with pytest.warns(rb.DataWarning, match=message):
        task, _ = asked(
            GAPS, mods="x + g", missing="drop", study_ids="lab", study_names="author"
        )
    kept = [1, 2, 4, 5, 6, 7, 8]
    assert task.effects.names == tuple(f"Author {i}" for i in kept)
    whole = rb.effect_sizes(TABLE, d="d", se="se")
    np.testing.assert_array_equal(task.effects.y, whole.y[kept])
    np.testing.assert_array_equal(task.effects.se, whole.se[kept])
    # The others of labs 1 and 2 are gone, so these are independent.
    assert task.effects.shared_labels == (None, None, "3", "3", "4", "4", None)
    alone, _ = read_moderators("x + g", TABLE.iloc[kept])
    np.testing.assert_array_equal(task.moderators.columns, alone.columns)


def test_without_moderators_nothing_changes(asked):
    task, space = asked()
    assert task.moderators is None
    assert task.columns == ()
    assert len(space) == 4


# ---- refusals --------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mods": "xx"}, rb.DataError, "got \"xx\", which is none. Did you mean 'x'"),
        ({"mods": "x - 1"}, rb.DataError, "priors_effect=None"),
        ({"mods": "x:g"}, rb.DataError, "expected x beside the interaction x:g"),
        (
            {"mods": {"x": [1.0, 2.0]}},
            rb.DataError,
            "expected 10 rows, one per estimate",
        ),
        ({"mods": "x", "contrasts": "sum"}, rb.DataError, "contrasts: expected one"),
        (
            {"mods": "x", "mods_prior": "flat"},
            rb.PriorError,
            "mods_prior: expected one",
        ),
        (
            {"mods": "x", "test_mods": ["g"]},
            rb.PriorError,
            "names of terms, x; got 'g'",
        ),
        (
            {"mods": "x * g", "test_mods": ["x"]},
            rb.PriorError,
            "heredity: expected models",
        ),
        ({"mods": "x", "priors_mods": {"g": WIDE}}, rb.PriorError, "terms, x; got 'g'"),
        (
            {"mods": "g", "priors_mods": {"g": rb.prior("normal", mean=1, sd=1)}},
            rb.PriorError,
            "priors_mods, g: expected a prior that is symmetric around 0",
        ),
        (
            {"priors_mods": {"x": WIDE}},
            rb.PriorError,
            "priors_mods: expected defaults wi",
        ),
        (
            {"test_mods": ["x"]},
            rb.PriorError,
            "test_mods: expected defaults without mods",
        ),
        (
            {"mods_prior": "beta-binomial"},
            rb.PriorError,
            "expected defaults without mods",
        ),
        (
            {"mods": "x", "models": [rb.model(mu=NORMAL)], "test_mods": False},
            rb.PriorError,
            "test_mods: expected defaults beside models",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(asked, options, error, message):
    with pytest.raises(error, match=message):
        robma(**options)


def test_missing_moderators_are_refused_with_their_rows(asked):
    with pytest.raises(rb.DataError, match=r"3 of 10 rows lack one, in x \(2\) and g"):
        robma(GAPS, mods="x + g")


@pytest.mark.parametrize(
    "name",
    ["mu", "tau", "rho", "PET", "omega", "omega[0,1]", "effect", "heterogeneity",
     "bias", "selection", "prior_prob", "post_prob", "inclusion_bf", "logml",
     "intercept"],
)  # fmt: skip
def test_names_that_results_have_are_refused(asked, name):
    table = TABLE.rename(columns={"x": name})
    with pytest.raises(rb.DataError, match=r"expected .*name.*; got .*Rename"):
        robma(table, mods=[name])


@pytest.mark.parametrize(
    "name", ["d", "se", "r", "v", "y", "n", "models", "mu[1]", "theta"]
)
def test_names_of_arguments_and_other_things_are_free(asked, name):
    task, _ = asked(mods={name: TABLE["x"]})
    assert task.unknowns.terms[0].name == name


# ---- fits ------------------------------------------------------------------
@pytest.fixture(scope="module")
def fit():
    return robma(mods="x + g", priors_mods={"x": WIDE}, **FEW)


def test_terms_are_components_of_the_results(fit):
    assert fit.inclusion.index.tolist() == ["effect", "heterogeneity", "x", "g"]
    assert fit.inclusion["models"].tolist() == [4, 4, 2, 2]
    np.testing.assert_allclose(fit.inclusion["prior_prob"], [1, 1, 0.5, 0.5])
    assert fit.parameters == ("mu", "tau", "x", "g[1]")


def test_the_posterior_of_a_quantity_is_that_of_its_sum_in_every_model(fit):
    made = fit.task.moderators
    for row in (*coefficients(made), *marginal(made, made.term("g"))):
        found = posterior(fit, row)
        for one, draws in zip(fit.fits, found.draws, strict=True):
            own = np.moveaxis(one.chains.draws, 2, 0)
            values = dict(zip(one.chains.names, own, strict=True))
            expected = sum(w * values.get(name, 0.0) for name, w in row.weights)
            np.testing.assert_allclose(
                draws, np.broadcast_to(expected, draws.shape), atol=ROUNDING
            )
        np.testing.assert_array_equal(found.probabilities, fit.post_prob)


def test_means_are_converted_as_effects_and_coefficients_by_a_factor(fit):
    made = fit.task.moderators
    mean, *_ = marginal(made, made.term("g"))
    for row in (mean, *coefficients(made)):
        before = posterior(fit, row)
        after = converted(fit, row, before, "logOR")
        for old, new in zip(before.draws, after.draws, strict=True):
            np.testing.assert_allclose(new, old * np.pi / np.sqrt(3), rtol=ROUNDING)
    after = converted(fit, mean, posterior(fit, mean), "r")
    for old, new in zip(posterior(fit, mean).draws, after.draws, strict=True):
        np.testing.assert_allclose(new, old / np.sqrt(old**2 + 4), rtol=ROUNDING)


def test_models_of_ones_own_have_moderators():
    made, _ = read_moderators("x", TABLE)
    effects = rb.effect_sizes(TABLE, d="d", se="se")
    task = Task(effects, "cohens_d", columns=moderator_columns(made), moderators=made)
    base = {"mu": NORMAL, "tau": TAU}
    models = [
        rb.model(base, unknowns=task.unknowns),
        rb.model(base, x=WIDE, unknowns=task.unknowns, prior_weight=3),
    ]
    own = robma(mods="x", models=models)
    assert own.inclusion.loc["x", ["models", "prior_prob"]].tolist() == [1, 0.75]
    crossed = robma(mods="x", priors_mods={"x": WIDE}, **FEW)
    assert own.logml.tolist() == crossed.logml.tolist()
    with pytest.raises(rb.PriorError, match=r"expected names of mu, .*; got 'x'"):
        robma(models=models)
