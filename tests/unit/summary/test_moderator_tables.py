"""Tables of marginal means, contrasts and coefficients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pyrobma as rb
from pyrobma.effects import read_moderators
from pyrobma.ensemble.hypotheses import point_evidence
from pyrobma.ensemble.quantities import coefficients, marginal, posterior
from pyrobma.models import ModelSpace, ModelSpec, Task, moderator_columns
from pyrobma.summary.moderators import contrasts, marginal_means

# What a table says, and what the functions behind it return.
SAME = 1e-9

TABLE = pd.DataFrame(
    {"g": list("abcabcab"), "x": [1.0, 2.0, 4.0, 8.0, 3.0, 5.0, 7.0, 6.0]}
)
SPIKE = rb.prior("spike", location=0)
NORMAL = rb.prior("normal", mean=0, sd=1)
TERM = rb.prior("normal", mean=0, sd=0.25)
TAU = rb.prior("inv_gamma", shape=1, scale=0.15)
SHAPE = (2, 200)


def ensemble_of(made, formula="g + x", contrasts="meandif", effect=(SPIKE, NORMAL)):
    """Every combination of the effect and of the terms."""
    rng = np.random.default_rng(3)
    moderators, _ = read_moderators(formula, TABLE, contrasts=contrasts)
    effects = rb.effect_sizes(z=rng.normal(0.1, 0.2, 8), se=rng.uniform(0.1, 0.3, 8))
    columns = moderator_columns(moderators)
    task = Task(effects, "cohens_d", columns=columns, moderators=moderators)
    models = []
    for number in range(2 ** len(moderators.terms)):
        for mu in effect:
            on = {"heterogeneity"} | ({"effect"} if mu is NORMAL else set())
            priors = [("mu", mu), ("tau", TAU)]
            for place, term in enumerate(moderators.terms):
                is_in = number >> place & 1
                on |= {term.name} if is_in else set()
                own = TERM if is_in else SPIKE
                priors += [(label, own) for label in term.labels]
            models.append(ModelSpec(tuple(priors), None, frozenset(on)))
    fits = tuple(
        made.fit(
            spec,
            0.3 * k,
            0.01,
            {
                name: np.exp(rng.normal(-1.5, 0.5, SHAPE))
                if name == "tau"
                else rng.normal(0.1, 0.1, SHAPE)
                for name in spec.free
            },
            seed=k,
        )
        for k, spec in enumerate(models)
    )
    return rb.RobmaFit(task, ModelSpace(tuple(models)), fits, rb.SamplerSettings(), 1)


@pytest.fixture(scope="module")
def ensemble(made):
    return ensemble_of(made)


def test_rows_are_the_intercept_levels_and_values_of_numbers(ensemble):
    found = marginal_means(ensemble).means
    rows = ["intercept", "g[a]", "g[b]", "g[c]", "x[-1SD]", "x[0SD]", "x[1SD]"]
    assert list(found.index) == rows
    assert list(marginal_means(ensemble, "x").means.index) == [rows[0], *rows[4:]]


def test_every_row_has_the_evidence_of_its_own_mean(ensemble):
    moderators = ensemble.task.moderators
    found = marginal_means(ensemble, log_bf=True).means
    effect = ensemble.evidence("effect")
    for term in moderators.terms:
        given = ensemble.members("effect") | ensemble.members(term.name)
        for row in marginal(moderators, term):
            line = found.loc[row.label]
            if dict(row.weights) == {"mu": 1.0}:
                exact = effect
            else:
                exact = point_evidence(ensemble, row, 0.0, given)
            assert line["log(Inclusion BF)"] == pytest.approx(exact.log_bf, rel=SAME)
            assert line["error(log BF)"] == pytest.approx(exact.log_bf_mcse, rel=SAME)
            mixture = posterior(ensemble, row)
            assert line["Mean"] == pytest.approx(mixture.mean())
            assert line["error(Mean)"] == pytest.approx(mixture.mcse())
    assert found.loc["intercept", "log(Inclusion BF)"] == effect.log_bf
    assert found.loc["x[0SD]", "log(Inclusion BF)"] == effect.log_bf
    # None of them is like another, so that none is in another's place.
    assert found["log(Inclusion BF)"].round(9).nunique() == 6


def test_conditional_means_are_of_models_with_the_effect_or_the_term(ensemble):
    found = marginal_means(ensemble, conditional=True)
    row = marginal(ensemble.task.moderators, ensemble.task.moderators.term("g"))[1]
    given = ensemble.members("effect") | ensemble.members("g")
    exact = posterior(ensemble, row, given)
    assert found.means_conditional.loc["g[b]", "Mean"] == pytest.approx(exact.mean())
    pd.testing.assert_series_equal(
        found.means_conditional["Inclusion BF"], found.means["Inclusion BF"]
    )


def test_bayes_factors_are_shown_as_asked(ensemble):
    plain = marginal_means(ensemble, "g").means["Inclusion BF"]
    logs = marginal_means(ensemble, "g", log_bf=True).means["log(Inclusion BF)"]
    inverse = marginal_means(ensemble, "g", bf01=True).means["Exclusion BF"]
    np.testing.assert_allclose(np.log(plain), logs)
    np.testing.assert_allclose(1 / plain, inverse)


def test_where_all_models_have_an_effect_the_mean_is_compared_with_zero(made):
    ensemble = ensemble_of(made, effect=(NORMAL,))
    found = marginal_means(ensemble, log_bf=True).means
    row = marginal(ensemble.task.moderators, ensemble.task.moderators.term("x"))[1]
    exact = point_evidence(ensemble, row, 0.0, np.ones(4, dtype=bool))
    assert found.loc["x[0SD]", "log(Inclusion BF)"] == pytest.approx(exact.log_bf)


def test_differences_are_those_of_pairs_of_levels(ensemble):
    found = contrasts(ensemble, "g", log_bf=True).contrasts
    assert list(found.index) == ["a - b", "a - c", "b - c"]
    rows = marginal(ensemble.task.moderators, ensemble.task.moderators.term("g"))
    with_term = ensemble.members("g")
    for label, (i, j) in zip(found.index, [(0, 1), (0, 2), (1, 2)], strict=True):
        row = rows[i].minus(rows[j])
        exact = point_evidence(ensemble, row, 0.0, with_term)
        line = found.loc[label]
        assert line["log(Inclusion BF)"] == pytest.approx(exact.log_bf, rel=SAME)
        assert line["error(log BF)"] == pytest.approx(exact.log_bf_mcse, rel=SAME)
        mixture = posterior(ensemble, row, with_term)
        assert line["Mean"] == pytest.approx(mixture.mean())
    total = found.loc["a - b", "Mean"] + found.loc["b - c", "Mean"]
    assert total == pytest.approx(found.loc["a - c", "Mean"])
    averaged = contrasts(ensemble, "g", conditional=False).contrasts
    share = ensemble.posterior_given(None)[with_term].sum()
    np.testing.assert_allclose(averaged["Mean"], share * found["Mean"])


def test_differences_of_cells_of_an_interaction_have_its_levels(made):
    ensemble = ensemble_of(made, "g * x")
    found = contrasts(ensemble, "g:x").contrasts
    assert len(found) == 9 * 8 / 2
    assert "a, -1SD - a, 0SD" in found.index


@pytest.mark.parametrize(("scale", "factor"), [("fishers_z", 0.5), ("r", 0.5)])
def test_differences_are_converted_linearly(ensemble, scale, factor):
    plain = contrasts(ensemble, "g").contrasts
    found = contrasts(ensemble, "g", output_scale=scale).contrasts
    np.testing.assert_allclose(found["Mean"], factor * plain["Mean"])


def test_means_are_converted_draw_by_draw(ensemble):
    found = marginal_means(ensemble, "g", output_scale="r").means
    row = marginal(ensemble.task.moderators, ensemble.task.moderators.term("g"))[0]
    exact = posterior(ensemble, row).transformed(lambda d: d / np.sqrt(d**2 + 4))
    assert found.loc["g[a]", "Mean"] == pytest.approx(exact.mean())


def test_what_has_no_levels_or_is_no_term_is_refused(ensemble):
    with pytest.raises(rb.DataError, match="expected a factor among g; got 'x'"):
        contrasts(ensemble, "x")
    for function in (contrasts, marginal_means):
        with pytest.raises(rb.DataError, match="h"):
            function(ensemble, "h")


def test_without_moderators_there_are_no_such_tables(made):
    plain = made.ensemble(made.space(), np.zeros(4))
    for function, names in ((marginal_means, ()), (contrasts, ("g",))):
        with pytest.raises(rb.DataError, match="one with moderators; got none"):
            function(plain, *names)


def test_coefficients_say_how_probable_it_is_that_they_are_zero(ensemble):
    found = ensemble.summary(conditional=True)
    without = 1.0 - ensemble.evidence("g").post_prob
    for row in coefficients(ensemble.task.moderators):
        if row.term == "g":
            line = found.estimates_mods.loc[row.label]
            assert line["P(=0)"] == pytest.approx(without)
            conditional = found.estimates_mods_conditional.loc[row.label, "Mean"]
            assert line["Mean"] == pytest.approx((1 - without) * conditional)
    assert "P(=0)" not in found.estimates_mods_conditional


def test_coefficients_per_unit_are_those_per_deviation_over_it(ensemble):
    per_sd = ensemble.summary().estimates_mods
    per_unit = ensemble.summary(standardized=False).estimates_mods
    mean, sd = TABLE["x"].mean(), TABLE["x"].std()
    slope = per_sd.loc["x", "Mean"] / sd
    assert per_unit.loc["x", "Mean"] == pytest.approx(slope)
    at_zero = per_sd.loc["intercept", "Mean"] - slope * mean
    assert per_unit.loc["intercept", "Mean"] == pytest.approx(at_zero)


@pytest.mark.parametrize(
    ("options", "notes"),
    [
        ({}, ["per standard deviation of x (mean 4.5, sd 2.4495)",
              "deviation of a level from the unweighted mean"]),
        ({"contrasts": "treatment"}, ["difference from a, where the intercept is"]),
    ],
)  # fmt: skip
def test_notes_say_what_coefficients_are(made, options, notes):
    text = str(ensemble_of(made, **options).summary())
    for note in notes:
        assert note in " ".join(text.split())
