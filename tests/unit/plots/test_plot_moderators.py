"""What moderators change in figures that there are without them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from plot_ensembles import drawn, moderated, texts

import pyrobma as rb
from pyrobma.ensemble import new_effect, predict
from pyrobma.ensemble.quantities import adjusted, posterior
from pyrobma.plots.forest import forest_frame, plot_forest
from pyrobma.plots.labels import (
    fitting,
    model_names,
    parameter_title,
    reference_words,
)
from pyrobma.plots.models import models_frame, plot_models
from pyrobma.plots.overview import plot_overview
from pyrobma.plots.probabilities import plot_probabilities
from pyrobma.plots.text import text_width
from pyrobma.report import figures

# Sums of products of some thousand doubles.
ROUNDING = 1e-10
TABLE = pd.DataFrame(
    {
        "age": np.array([2, 3, 4, 4, 5, 6, 7, 8, 9, 11, 13, 17.0]),
        "dose": np.tile([1.0, 2.0, 4.0], 4),
        "measure": ["direct", "informant"] * 6,
    }
)
PET = rb.prior_PET("cauchy", location=0, scale=1)
PEESE = rb.prior_PEESE("cauchy", location=0, scale=5)


@pytest.fixture(scope="module")
def fit(made):
    return moderated(made, "measure + age", TABLE)


@pytest.fixture(scope="module")
def many(made):
    """96 models."""
    return moderated(
        made, "measure + age + dose + I(age ** 2)", TABLE, bias=(PET, PEESE),
        size=(1, 20),
    )  # fmt: skip


# ---- forest --------------------------------------------------------------------
@pytest.mark.parametrize("scale", [None, "r", "OR"])
def test_a_forest_has_the_mean_that_is_predicted_for_every_study(fit, scale):
    frame = forest_frame(fit, output_scale=scale)
    wanted = predict(fit, type="terms", output_scale=scale)["Mean"]
    np.testing.assert_array_equal(frame["fitted"][:12], wanted)
    assert frame["fitted"][12:].isna().all()
    assert drawn(plot_forest(fit, output_scale=scale))


def test_the_average_of_a_forest_is_at_the_means_of_moderators(made, fit):
    own = moderated(made, "measure + age", TABLE, coding={"contrasts": "treatment"})
    average, prediction = forest_frame(own).iloc[-2:].itertuples()
    quantity = adjusted(own.task.moderators)
    mixture = posterior(own, quantity)
    assert average.estimate == pytest.approx(mixture.mean(), rel=ROUNDING)
    z = new_effect(own, quantity=quantity).quantiles((0.025, 0.5, 0.975))
    factor = 1 / own.task.scale
    found = [prediction.lower, prediction.estimate, prediction.upper]
    np.testing.assert_allclose(found, factor * z, rtol=ROUNDING)
    # Of deviations from means it is mu itself.
    average = forest_frame(fit).iloc[-2]
    assert average["estimate"] == pytest.approx(fit.mixture("mu").mean(), rel=ROUNDING)
    assert "at the means of the moderators" in texts(plot_forest(fit))


def test_a_forest_without_moderators_has_no_word_of_them(made):
    plain = made.ensemble(made.space(), [0.0] * 4)
    assert "fitted" not in forest_frame(plain)
    assert not any(text.startswith("at the mean") for text in texts(plot_forest(plain)))


def test_fitted_means_are_drawn_without_true_effects(fit):
    (points,) = (
        layer._data
        for layer in plot_forest(fit, true_effects=False).layers
        if "shape" in layer.mapping
    )
    assert set(points["mark"]) == {"estimate", "mean by moderators"}


@pytest.mark.parametrize(
    ("formula", "coding", "words"),
    [
        ("age", {}, "at the mean of age"),
        ("measure", {}, "at the mean of the levels of measure"),
        ("measure + age", {}, "at the means of the moderators"),
        ("measure + age", {"standardize": False}, "at the means of the moderators"),
        ("age", {"center": {"age": 5.0}}, "at age = 5"),
        (
            "age + dose + measure",
            {"center": {"age": 5.0, "dose": 1.5}},
            "at age = 5, dose = 1.5 and the means of others",
        ),
    ],
)
def test_the_reference_is_said_in_words(made, formula, coding, words):
    own = moderated(made, formula, TABLE, coding=coding, test=False)
    assert reference_words(own.task.moderators) == words
    assert reference_words(None) == ""


# ---- names ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("formula", "coding", "name", "title"),
    [
        ("age", {}, "age", "Coefficient of age (Cohen's d per sd)"),
        (
            "age", {"standardize": False}, "age",
            "Coefficient of age (Cohen's d per unit)",
        ),
        (
            "age * dose", {}, "age:dose",
            "Coefficient of age:dose (Cohen's d per sd of each)",
        ),
        ("measure", {}, "measure[1]", "Coefficient of measure[1] (Cohen's d)"),
        ("`$age$`", {}, "$age$", r"Coefficient of \$age\$ (Cohen's d per sd)"),
    ],
)  # fmt: skip
def test_axes_say_what_a_coefficient_is_per(made, formula, coding, name, title):
    own = moderated(
        made, formula, TABLE.rename(columns={"age": "$age$"}) if "$" in formula
        else TABLE, coding=coding, test=False,
    )  # fmt: skip
    assert parameter_title(own, name, None) == title
    on_z = parameter_title(own, name, "r", conditional=True)
    assert on_z.startswith("Conditional coefficient of ")
    assert "(Fisher's z" in on_z
    assert drawn(own.plot(name, prior=True))


def test_names_of_moderators_keep_their_letters(made):
    own = moderated(made, "age + measure", TABLE)
    names = model_names(own.space, own.unknowns)
    assert names == (
        "Heterogeneity", "Effect + heterogeneity", "Heterogeneity + age",
        "Effect + heterogeneity + age", "Heterogeneity + measure",
        "Effect + heterogeneity + measure", "Heterogeneity + age + measure",
        "Effect + heterogeneity + age + measure",
    )  # fmt: skip
    table = TABLE.rename(columns={"age": "hetero"})
    other = moderated(made, "hetero", table, effect_null=())
    assert model_names(other.space, other.unknowns)[0] == "Effect + heterogeneity"


def test_names_of_models_are_shorter_where_they_would_not_fit(made):
    table = TABLE.rename(columns={"age": "age of the child at the first assessment"})
    own = moderated(made, "`age of the child at the first assessment` + dose", table)
    names = model_names(own.space, own.unknowns)
    assert fitting(names, own.unknowns, 9.0, 8.5) == list(names)
    short = fitting(names, own.unknowns, 3.0, 8.5)
    assert short[0] == "Het."
    assert short[-1].startswith("Eff. + het. + age of")
    assert short[-1].endswith("… + dose")
    assert len(set(short)) == len(names)
    assert text_width(short, 8.5) < 3.0


# ---- models --------------------------------------------------------------------
def test_of_many_models_the_most_probable_are_drawn(many):
    frame = models_frame(many)
    assert len(frame) == 97
    figure = plot_models(many)
    found = texts(figure)
    assert "36 less probable models" in found
    (points,) = (
        layer._data for layer in figure.layers
        if layer.geom.__class__.__name__ == "geom_point"
    )  # fmt: skip
    kept = frame[frame["kind"] != "average"].nlargest(60, "post_prob")["post_prob"]
    assert points["post_prob"].min() == kept.min()
    assert points["model"].is_monotonic_increasing
    assert figure.theme.getp("figure_size")[1] < 11
    assert drawn(figure)


def test_groups_of_improbable_models_are_summed_together(many):
    figure = plot_probabilities(many)
    (bars,) = (x._data for x in figure.layers if "bar" in x._data)
    assert bars["post_prob"].sum() == pytest.approx(1, rel=ROUNDING)
    assert bars["prior_prob"].sum() == pytest.approx(1, rel=ROUNDING)
    found = texts(figure)
    assert "Other models" in found
    assert any(text.endswith("less probable models") for text in found)
    assert drawn(figure)


# ---- pages ---------------------------------------------------------------------
def titles(item):
    if hasattr(item, "items"):
        return [title for part in item.items for title in titles(part)]
    return [item.labels.title]


def test_a_page_has_the_moderators_before_the_models(fit):
    page = plot_overview(fit)
    assert titles(page) == [
        "A  Estimates", "B  Effect", "C  Heterogeneity", "D  Moderators",
        "E  Most probable models",
    ]  # fmt: skip
    assert page.items[0].labels.x == "Effect (Cohen's d)"
    assert drawn(page)


def test_a_page_of_moderators_clusters_and_bias_is_taller(made, fit):
    effects = rb.effect_sizes(
        d=np.linspace(-0.2, 0.8, 12), se=np.full(12, 0.2), study_ids=[1, 2, 3] * 4
    )
    own = moderated(
        made, "measure", TABLE, bias=(PET,), effects=effects,
        hierarchical=rb.default_priors("hierarchical"),
    )  # fmt: skip
    page = plot_overview(own)
    assert titles(page)[3:] == [
        "D  Correlation within clusters", "E  Small-study effects", "F  Moderators",
        "G  Most probable models",
    ]  # fmt: skip
    heights = [
        p.theme.getp("figure_size")[1]
        for p in (plot_overview(fit).items[0], page.items[0])
    ]
    assert heights[0] < heights[1]
    assert drawn(page)


def test_terms_that_are_not_tested_have_no_panel(made):
    own = moderated(made, "measure", TABLE, test=False)
    assert "Moderators" not in " ".join(titles(plot_overview(own)))


def test_a_report_has_the_figures_of_every_term(made):
    formula = "measure * log(age) + poly(dose, 2)"
    own = moderated(made, formula, TABLE, test=["measure:log(age)"])
    found = {
        figure.name: figure for figure in figures(own) if figure.topic == "moderators"
    }
    assert list(found) == [
        "terms",
        "regression_measure", "means_measure", "posterior_measure",
        "regression_log(age)", "means_log(age)", "posterior_log(age)",
        "regression_poly(dose, 2)", "posterior_poly(dose, 2)",
        "regression_measure:log(age)", "means_measure:log(age)",
        "posterior_measure:log(age)",
    ]  # fmt: skip
    assert all(drawn(figure.draw()) for figure in found.values())
    every = [figure.name for figure in figures(own)]
    assert len(every) == len(set(every))
    assert "posterior_measure[1]" not in every


def test_a_report_without_moderators_has_none_of_their_figures(made):
    plain = made.ensemble(made.space(), [0.0] * 4)
    assert all(figure.topic != "moderators" for figure in figures(plain))


# ---- the methods of a fit ------------------------------------------------------
def test_plot_takes_terms_and_coefficients(made):
    own = moderated(made, "measure * age", TABLE)
    assert own.plot("measure").labels.x.startswith("Deviation of measure")
    assert own.plot("age:measure", prior=True).labels.x == (
        "Deviation by measure:age (Cohen's d per sd)"
    )
    assert own.plot("age").labels.x == "Coefficient of age (Cohen's d per sd)"
    assert own.plot("measure[1]", conditional=True).labels.x == (
        "Conditional coefficient of measure[1] (Cohen's d)"
    )
    with pytest.raises(
        rb.DataError, match=r"See plot_levels for .* measure and measure:age"
    ):
        own.plot("mesure")
    assert own.plot_regression("age").labels.x == "age"
    assert own.plot_terms().labels.x.startswith("Probability that the moderator")
    assert own.plot_marginal_means("measure").labels.x == "Mean effect (Cohen's d)"
