"""Hypotheses that a user writes: how they are read, and what their rows say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import pyrobma as rb
from pyrobma.effects import read_moderators
from pyrobma.ensemble.directions import direction_evidence
from pyrobma.ensemble.hypotheses import fixed_value_evidence, point_evidence
from pyrobma.ensemble.quantities import Quantity, coefficients, marginal
from pyrobma.models import ModelSpace, ModelSpec, Task, moderator_columns
from pyrobma.summary.hypotheses import hypothesis

# Two ways to one sum differ by the rounding of its weights.
ROUNDING = 1e-6

TABLE = pd.DataFrame(
    {"g": list("abcabcab"), "x": [1.0, 2.0, 4.0, 8.0, 3.0, 5.0, 7.0, 6.0]}
)
SPIKE = rb.prior("spike", location=0)
NORMAL = rb.prior("normal", mean=0, sd=1)
TERM = rb.prior("normal", mean=0, sd=0.25)
TAU = rb.prior("inv_gamma", shape=1, scale=0.15)
SHAPE = (2, 200)


@pytest.fixture(scope="module")
def ensemble(made):
    """Models with x; g in one of two, and the effect in one of two."""
    rng = np.random.default_rng(3)
    moderators, _ = read_moderators("g + x", TABLE)
    effects = rb.effect_sizes(z=rng.normal(0.1, 0.2, 8), se=rng.uniform(0.1, 0.3, 8))
    columns = moderator_columns(moderators)
    task = Task(effects, "cohens_d", columns=columns, moderators=moderators)
    draws = {
        "mu": rng.normal(0.2, 0.1, SHAPE),
        "tau": np.exp(rng.normal(-1.5, 0.5, SHAPE)),
        "g[1]": rng.normal(0.1, 0.1, SHAPE),
        "g[2]": rng.normal(-0.1, 0.1, SHAPE),
        "x": rng.normal(0.1, 0.1, SHAPE),
    }
    models = []
    for mu in (SPIKE, NORMAL):
        for g in (SPIKE, TERM):
            priors = (("mu", mu), ("tau", TAU), ("g[1]", g), ("g[2]", g), ("x", TERM))
            on = {"heterogeneity", "x"} | ({"g"} if g is TERM else set())
            on |= {"effect"} if mu is NORMAL else set()
            models.append(ModelSpec(priors, None, frozenset(on)))
    fits = tuple(
        made.fit(spec, float(k), 0.01, {n: draws[n] for n in spec.free}, seed=k)
        for k, spec in enumerate(models)
    )
    return rb.RobmaFit(task, ModelSpace(tuple(models)), fits, rb.SamplerSettings(), 1)


def line(ensemble, text):
    return hypothesis(ensemble, text).hypotheses.loc[text]


def same(one, other):
    np.testing.assert_allclose(
        one.to_numpy(float), other.to_numpy(float), rtol=ROUNDING, equal_nan=True
    )


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("g[a] > g[b]", "g[b] < g[a]"),
        ("g[a] > g[b]", "g[a] - g[b] > 0"),
        ("g[a] > g[b]", "0 < g[dif: a] - g[dif: b]"),
        ("g[a] > 0.1", "intercept + g[dif: a] > 0.1"),
        ("mu > 0.1", "intercept > 0.1"),
        ("x > 0.2", "2 * x > 0.4"),
        ("x > 0.2", "x / 2 - 0.1 > 0"),
        ("x > 0.2", "x >= 0.2"),
        ("x > 0.2", "-x < -(0.2)"),
        ("x[1SD] - x[0SD] > 0", "x > 0"),
        ("x = 0.1", "x == 0.1"),
        ("x = 0.1", "3 * (x - 0.1) = 0"),
        ("tau = 0.2", "2 * tau - 0.4 = 0"),
        ("tau < 0.2", "0.2 > tau"),
        ("g[a] > g[b] > g[c]", "g[c] < g[b] < g[a]"),
    ],
)
def test_two_ways_to_write_one_hypothesis_are_the_same(ensemble, text, other):
    same(line(ensemble, text), line(ensemble, other))


@pytest.mark.parametrize(
    ("text", "opposite"),
    [("x > 0.1", "x < 0.1"), ("x = 0.1", "x != 0.1"), ("tau > 0.3", "tau < 0.3")],
)
def test_the_opposite_has_the_inverse_bayes_factor(ensemble, text, opposite):
    one, other = line(ensemble, text), line(ensemble, opposite)
    assert one["BF"] * other["BF"] == pytest.approx(1.0)
    assert one["error(log BF)"] == pytest.approx(other["error(log BF)"])
    for column in ("Prior prob.", "Post. prob."):
        if not np.isnan(one[column]):
            assert one[column] + other[column] == pytest.approx(1.0)


def test_an_inequality_has_the_evidence_of_its_direction(ensemble):
    moderators = ensemble.task.moderators
    (a, *_) = marginal(moderators, moderators.term("g"))
    found = line(ensemble, "g[a] > 0.1")
    # Only a model without the effect and without g fixes the mean at a.
    given = ensemble.members("effect") | ensemble.members("g")
    exact = direction_evidence(ensemble, a, 0.1, given)
    assert found["Prior prob."] == exact.prior
    assert found["Post. prob."] == exact.post
    assert np.log(found["BF"]) == pytest.approx(exact.log_bf)
    assert found["error(log BF)"] == exact.log_bf_mcse


def test_an_equation_has_the_evidence_of_the_point_and_no_probabilities(ensemble):
    found = line(ensemble, "g[dif: a] = 0.1")
    moderators = ensemble.task.moderators
    a = next(r for r in coefficients(moderators) if r.label == "g[dif: a]")
    exact = point_evidence(ensemble, a, 0.1, ensemble.members("g"))
    assert np.log(found["BF"]) == pytest.approx(-exact.log_bf)
    assert found["error(log BF)"] == pytest.approx(exact.log_bf_mcse)
    assert found[["Prior prob.", "Post. prob."]].isna().all()


def test_an_equation_of_another_unknown_is_one_with_a_number(ensemble):
    found = line(ensemble, "tau = 0.2")
    exact = fixed_value_evidence(ensemble, "tau", 0.2, np.ones(4, dtype=bool))
    assert np.log(found["BF"]) == pytest.approx(-exact.log_bf)


def test_probabilities_of_tau_are_those_of_draws_and_of_its_prior(ensemble):
    found = line(ensemble, "tau > 0.3")
    shares = ensemble.post_prob
    post = sum(
        share * (fit.values("tau") > 0.3).mean()
        for share, fit in zip(shares, ensemble.fits, strict=True)
    )
    assert found["Post. prob."] == pytest.approx(post)
    exact = stats.invgamma.sf(0.3, 1, scale=0.15)
    # Four errors of 100000 draws of the prior.
    assert found["Prior prob."] == pytest.approx(exact, abs=4 * 0.0016)


def test_models_that_fix_every_side_do_not_count(ensemble):
    """Among models with the term a deviation is on either side with probability 1/2."""
    assert line(ensemble, "g[dif: b] > 0")["Prior prob."] == pytest.approx(0.5)
    assert line(ensemble, "mu > 0")["Prior prob."] == pytest.approx(0.5)


def test_a_name_that_is_part_of_another_is_not_mistaken_for_it(ensemble):
    """x, x[1SD] and intercept in one text."""
    slope = Quantity("", "", "coefficient", (("x", 1.0),))
    found = line(ensemble, "x[1SD] - intercept - x + x > 0.05")
    given = ensemble.members("x")
    exact = direction_evidence(ensemble, slope, 0.05, given)
    assert found["Post. prob."] == pytest.approx(exact.post)


def test_several_texts_are_rows_in_their_order(ensemble):
    texts = ("x > 0", "tau = 0.2", "mu < 0.1")
    found = hypothesis(ensemble, *texts).hypotheses
    assert list(found.index) == list(texts)
    for text in texts:
        same(found.loc[text], line(ensemble, text))
    assert "against its opposite" in str(hypothesis(ensemble, *texts))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "expected comparisons with <, > or ="),
        ("x > 0 < 1", "those of a chain all the same"),
        ("x = 0 = mu", "those of a chain all the same"),
        ("y > 0", "expected a linear expression of"),
        ("x * x > 0", "expected a linear expression of"),
        ("x / mu > 0", "expected a linear expression of"),
        ("x / 0 > 1", "expected a linear expression of"),
        ("exp(x) > 1", "expected a linear expression of"),
        ("x + > 1", "expected a linear expression of"),
        ("g[d] > 0", "expected a linear expression of"),
        ("x > ", "expected a linear expression of"),
        ("1 > 0", "whose sides differ by a number only"),
        ("x > x + 1", "whose sides differ by a number only"),
        ("g[a] - mu > g[dif: a]", "whose sides differ by a number only"),
        ("x = tau", "an equation of effects and coefficients, or of one other"),
        ("tau = -0.2", "a value of tau from 0"),
        ("rho > 0.5", "expected a linear expression of"),
    ],
)
def test_what_is_no_hypothesis_is_refused(ensemble, text, message):
    with pytest.raises(rb.DataError, match="texts: ") as caught:
        hypothesis(ensemble, text)
    assert message in str(caught.value)


def test_a_hypothesis_that_all_models_settle_is_refused(made):
    space = ModelSpace((ModelSpec((("mu", SPIKE), ("tau", TAU)), None, frozenset()),))
    fit = made.fit(space.models[0], draws={"tau": np.ones(SHAPE)})
    task = Task(rb.effect_sizes(d=[0.1, 0.2], se=[0.1, 0.1]), "cohens_d")
    ensemble = rb.RobmaFit(task, space, (fit,), rb.SamplerSettings(), 1)
    with pytest.raises(rb.DataError, match="that some model leaves open; all fix mu"):
        hypothesis(ensemble, "mu > 0")


def test_no_text_is_refused(ensemble):
    with pytest.raises(rb.DataError, match="texts: expected a hypothesis"):
        hypothesis(ensemble)
