"""Estimates against a moderator: numbers against predictions, and what is drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from plot_ensembles import drawn, moderated, texts

import pyrobma as rb
from pyrobma.ensemble import pooling_weights, predict
from pyrobma.ensemble.quantities import marginal, posterior
from pyrobma.plots.regression import plot_regression, regression_frame
from pyrobma.plots.settings import lines_of

# Sums of products of some thousand doubles.
ROUNDING = 1e-10
K = 12
TABLE = pd.DataFrame(
    {
        "age": np.array([2, 3, 4, 4, 5, 6, 7, 8, 9, 11, 13, 17.0]),
        "dose": np.tile([1.0, 2.0, 4.0], 4),
        "measure": ["direct", "informant"] * 6,
        "place": ["home", "home", "lab", "lab", "school", "school"] * 2,
    }
)
PET = rb.prior_PET("cauchy", location=0, scale=1)


@pytest.fixture(scope="module")
def both(made):
    return moderated(made, "measure + age", TABLE)


@pytest.fixture(scope="module")
def biased(made):
    return moderated(made, "measure + age", TABLE, bias=(PET,), test="measure")


def rows(frame, kind="mean"):
    return frame[frame["kind"] == kind].reset_index(drop=True)


def predicted(fit, newdata, kind="terms", **options):
    found = predict(fit, newdata, kind, **options)
    return found[["Mean", "0.025", "0.975"]].to_numpy()


@pytest.mark.parametrize("scale", [None, "r", "OR"])
@pytest.mark.parametrize(
    ("formula", "source"),
    [("age", "age"), ("log(age)", "age"), ("poly(age, 2)", "age")],
)
def test_the_line_and_its_bands_are_what_is_predicted(made, formula, source, scale):
    fit = moderated(made, formula, TABLE)
    frame = rows(regression_frame(fit, formula, output_scale=scale, n=5))
    np.testing.assert_allclose(frame["x"], np.linspace(2, 17, 5), rtol=ROUNDING)
    data = pd.DataFrame({source: frame["x"]})
    wanted = predicted(fit, data, output_scale=scale)
    np.testing.assert_allclose(
        frame[["effect", "lower", "upper"]], wanted, rtol=ROUNDING
    )
    new = predict(fit, data, "effect", output_scale=scale)
    np.testing.assert_allclose(
        frame[["new_lower", "new_upper"]], new[["0.025", "0.975"]], rtol=ROUNDING
    )


def test_all_functions_of_a_column_follow_it(made):
    fit = moderated(made, "age + I(age ** 2) + dose", TABLE, test=False)
    frame = rows(regression_frame(fit, "age", n=4))
    data = pd.DataFrame({"age": frame["x"], "dose": TABLE["dose"].mean()})
    np.testing.assert_allclose(
        frame[["effect", "lower", "upper"]], predicted(fit, data), rtol=ROUNDING
    )
    other = rows(regression_frame(fit, "I(age ** 2)", n=4))
    np.testing.assert_array_equal(frame["effect"], other["effect"])


def test_other_factors_are_at_the_mean_of_their_levels(both):
    frame = rows(regression_frame(both, "age", n=3))
    levels = [
        predicted(both, pd.DataFrame({"age": frame["x"], "measure": level}))[:, 0]
        for level in ("direct", "informant")
    ]
    np.testing.assert_allclose(frame["effect"], np.mean(levels, axis=0), rtol=ROUNDING)


@pytest.mark.parametrize("scale", [None, "OR"])
def test_levels_have_the_posterior_of_their_mean(both, scale):
    frame = rows(regression_frame(both, "measure", output_scale=scale))
    assert frame["level"].tolist() == ["direct", "informant"]
    assert frame["x"].isna().all()
    data = pd.DataFrame({"measure": frame["level"], "age": TABLE["age"].mean()})
    np.testing.assert_allclose(
        frame[["effect", "lower", "upper"]],
        predicted(both, data, output_scale=scale),
        rtol=ROUNDING,
    )
    new = predict(both, data, "effect", output_scale=scale)
    np.testing.assert_allclose(
        frame[["new_lower", "new_upper"]], new[["0.025", "0.975"]], rtol=ROUNDING
    )


def test_an_interaction_has_a_line_for_each_level(made):
    fit = moderated(made, "measure * age", TABLE, test=False)
    frame = rows(regression_frame(fit, "age:measure", n=3))
    assert frame["level"].tolist() == ["direct"] * 3 + ["informant"] * 3
    data = pd.DataFrame({"measure": frame["level"], "age": frame["x"]})
    np.testing.assert_allclose(
        frame[["effect", "lower", "upper"]], predicted(fit, data), rtol=ROUNDING
    )
    estimates = rows(regression_frame(fit, "measure:age"), "estimate")
    assert estimates["level"].tolist() == TABLE["measure"].tolist()


def test_of_two_numbers_the_second_is_at_its_mean_and_a_deviation_around(made):
    fit = moderated(made, "age * dose", TABLE, test=False)
    frame = rows(regression_frame(fit, "age:dose", n=2))
    mean, sd = TABLE["dose"].mean(), TABLE["dose"].std()
    wanted = [mean - sd, mean, mean + sd]
    assert frame["level"].unique().tolist() == [f"dose = {x:.1f}" for x in wanted]
    data = pd.DataFrame({"age": frame["x"], "dose": np.repeat(wanted, 2)})
    np.testing.assert_allclose(
        frame["effect"], predicted(fit, data)[:, 0], rtol=ROUNDING
    )
    assert set(rows(regression_frame(fit, "age:dose"), "estimate")["level"]) == {""}


def test_cells_of_two_factors_are_in_the_order_of_their_levels(made):
    fit = moderated(made, "measure * place", TABLE, test=False)
    frame = regression_frame(fit, "measure:place")
    levels = rows(frame)["level"].tolist()
    assert levels == [f"{m}, {p}" for m in ("direct", "informant")
                      for p in ("home", "lab", "school")]  # fmt: skip
    data = pd.DataFrame([level.split(", ") for level in levels]).set_axis(
        ["measure", "place"], axis=1
    )
    np.testing.assert_allclose(
        rows(frame)["effect"], predicted(fit, data)[:, 0], rtol=ROUNDING
    )
    estimates = rows(frame, "estimate")["level"]
    assert estimates.tolist() == (TABLE["measure"] + ", " + TABLE["place"]).tolist()
    found = texts(plot_regression(fit, "measure:place"))
    assert [text for text in found if text in ("direct", "informant")] == [
        "direct", "informant",
    ]  # fmt: skip
    assert found.count("2") == 6


def test_treatment_contrasts_hold_other_factors_at_the_first_level(made):
    coding = {"contrasts": "treatment"}
    fit = moderated(made, "measure + age", TABLE, coding=coding, test=False)
    frame = rows(regression_frame(fit, "age", n=3))
    data = pd.DataFrame({"age": frame["x"], "measure": "direct"})
    np.testing.assert_allclose(
        frame["effect"], predicted(fit, data)[:, 0], rtol=ROUNDING
    )


def test_without_bias_the_average_is_over_models_that_have_none(biased):
    for term in ("measure", "age"):
        frame = regression_frame(biased, term, n=3)
        plain = rows(frame, "unadjusted")
        assert plain["new_lower"].isna().all()
        assert len(plain) == len(rows(frame))
    plain = rows(regression_frame(biased, "measure"), "unadjusted")
    without = ~biased.members("bias")
    moderators = biased.task.moderators
    for mean, quantity in zip(
        plain["effect"], marginal(moderators, moderators.terms[0]), strict=True
    ):
        values = [
            float(
                np.mean(quantity.value({n: f.values(n) for n, _ in quantity.weights}))
            )
            for f in biased.fits
        ]
        assert mean == pytest.approx(np.mean(np.array(values)[without]), rel=ROUNDING)


def test_nothing_is_unadjusted_if_no_model_or_every_one_has_bias(made, both):
    assert "unadjusted" not in set(regression_frame(both, "age", n=2)["kind"])
    always = moderated(made, "age", TABLE, bias=(PET,))
    always = always.__class__(
        always.task,
        rb.ModelSpace(tuple(m for m in always.space if "bias" in m.alternative)),
        tuple(f for f in always.fits if "bias" in f.spec.alternative),
        always.settings,
        always.seed,
    )
    assert "unadjusted" not in set(regression_frame(always, "age", n=2)["kind"])


def test_conditional_means_are_over_the_models_with_the_term(both):
    frame = rows(regression_frame(both, "measure", conditional=True))
    moderators = both.task.moderators
    given = both.members("measure")
    for row, quantity in zip(
        frame.itertuples(),
        marginal(moderators, moderators.term("measure")),
        strict=True,
    ):
        mixture = posterior(both, quantity, given)
        assert row.effect == pytest.approx(mixture.mean(), rel=ROUNDING)
        assert [row.lower, row.upper] == pytest.approx(
            mixture.quantiles((0.025, 0.975)), rel=ROUNDING
        )
    line = rows(regression_frame(both, "age", n=3, conditional=True))
    assert np.ptp(line["effect"]) > np.ptp(
        rows(regression_frame(both, "age"))["effect"]
    )


def test_estimates_are_those_of_the_data_with_their_weights(both):
    frame = rows(regression_frame(both, "age", output_scale="r"), "estimate")
    np.testing.assert_array_equal(frame["x"], TABLE["age"])
    np.testing.assert_allclose(
        frame["effect"], np.tanh(both.task.effects.y), rtol=ROUNDING
    )
    np.testing.assert_allclose(frame["weight"], 100 * pooling_weights(both))
    assert frame["name"].tolist() == list(both.task.effects.names)


def test_a_number_of_several_columns_is_along_itself(made):
    fit = moderated(made, "I(age * dose)", TABLE, test=False)
    own = fit.task.moderators
    lines = lines_of(own, own.terms[0], 3)
    assert lines.title == "I(age * dose)"
    np.testing.assert_allclose(lines.at_rows, TABLE["age"] * TABLE["dose"])
    frame = rows(regression_frame(fit, "I(age * dose)", n=3))
    data = pd.DataFrame({"age": frame["x"], "dose": 1.0})
    np.testing.assert_allclose(
        frame["effect"], predicted(fit, data)[:, 0], rtol=ROUNDING
    )


@pytest.mark.parametrize(
    ("term", "options", "message"),
    [
        ("agee", {}, r"term: expected one of measure, age; got 'agee'. Did you mean"),
        ("age", {"n": 1}, r"n: expected a number of points from 2 up"),
        ("age", {"probs": (0.9, 0.1)}, r"probs: expected two increasing"),
        ("age", {"output_scale": "none"}, r"output_scale: expected"),
    ],
)
def test_what_cannot_be_drawn_is_refused(both, term, options, message):
    with pytest.raises(rb.DataError, match=message):
        regression_frame(both, term, **options)


def test_a_curve_over_two_columns_is_refused(made):
    fit = moderated(made, "poly(age * dose, 2)", TABLE)
    with pytest.raises(rb.DataError, match=r"term: expected a function of one number"):
        plot_regression(fit, fit.task.moderators.names[0])


def test_an_ensemble_without_moderators_is_refused(made):
    with pytest.raises(rb.DataError, match=r"ensemble: expected one with moderators"):
        plot_regression(made.ensemble(made.space(), [0.0] * 4), "age")


def test_conditional_on_a_term_that_no_model_has_is_refused(made):
    priors = {"age": {"null": rb.prior("spike", location=0)}}
    fit = moderated(made, "measure + age", TABLE, priors=priors)
    with pytest.raises(rb.DataError, match=r"conditional: expected"):
        regression_frame(fit, "age", conditional=True)


def labels(figure):
    return figure.labels.x, figure.labels.y


def test_a_number_is_drawn_with_its_column_and_measure_on_the_axes(made, both, biased):
    assert labels(plot_regression(both, "age")) == ("age", "Effect (Cohen's d)")
    fit = moderated(made, "log(age)", TABLE)
    figure = plot_regression(fit, "log(age)", output_scale="OR", conditional=True)
    assert labels(figure) == ("age", "Conditional effect (odds ratio)")
    (axis,) = [axis for axis in figure.draw().axes if axis.get_ylabel() == ""]
    low, high = axis.get_ylim()  # decimal logarithms of the odds ratios
    effects = rows(regression_frame(fit, "log(age)", output_scale="OR"), "estimate")
    assert low < np.log10(effects["effect"].min())
    assert np.log10(effects["effect"].max()) < high
    assert drawn(plot_regression(biased, "age"))


def test_areas_of_bubbles_are_in_proportion_to_weights(both):
    figure = plot_regression(both, "age")
    (bubbles,) = (layer._data for layer in figure.layers if "size" in layer.mapping)
    ratio = bubbles["size"] ** 2 / bubbles["weight"]
    np.testing.assert_allclose(ratio, ratio.iloc[0], rtol=ROUNDING)


@pytest.mark.parametrize("term", ["age", "measure"])
def test_an_estimate_of_negative_weight_is_drawn_as_the_smallest(
    both, monkeypatch, term
):
    # So it may be in a cluster whose heterogeneity has moderators.
    weights = np.linspace(-0.1, 0.3, K)
    monkeypatch.setattr(
        "pyrobma.plots.regression.pooling_weights", lambda *a, **k: weights
    )
    figure = plot_regression(both, term)
    estimates = next(
        layer._data for layer in figure.layers
        if "size" in layer.mapping and layer._data["weight"].notna().all()
    )  # fmt: skip
    sizes = estimates.sort_values("weight")["size"]
    assert len(sizes) == K
    assert sizes.iloc[0] == sizes.min() > 0
    assert drawn(figure)  # where warnings are errors


@pytest.mark.parametrize("scale", ["cohens_d", "OR"])
def test_means_beyond_correlations_of_one_do_not_stretch_the_axis(made, scale):
    effects = rb.effect_sizes(
        r=np.linspace(0.1, 0.95, 12), n=np.full(12, 40), transformation="r"
    )
    fit = moderated(
        made, "age", TABLE, effects=effects, prior_scale="r", test=False, spread=0.5
    )
    frame = regression_frame(fit, "age", output_scale=scale)
    assert np.isinf(frame["new_upper"]).any()
    assert drawn(plot_regression(fit, "age", output_scale=scale))


def test_five_levels_have_a_panel_each_and_four_share_one(made):
    table = pd.DataFrame(
        {"x": np.arange(20.0), "g": [f"level ${i % 5}$" for i in range(20)]}
    )
    fit = moderated(made, "g * x", table, test=False)
    figure = plot_regression(fit, "g:x")
    assert len(figure.draw().axes) == 5
    four = moderated(made, "g * x", table[table["g"] != "level $4$"], test=False)
    figure = plot_regression(four, "g:x")
    assert len(figure.draw().axes) == 1
    assert drawn(figure)


def test_a_figure_of_levels_has_counts_and_means_in_words(biased):
    figure = plot_regression(biased, "measure", output_scale="r")
    mean = rows(regression_frame(biased, "measure", output_scale="r"))
    found = texts(figure)
    assert found.count("6") == 2
    assert any(text.startswith(f"{mean['effect'][0]:.2f} [") for text in found)
    assert figure.labels.x == "Effect (correlation)"
    assert drawn(figure)


def test_estimates_of_a_level_never_hide_each_other(made):
    # All of them are equal: only their height tells them apart.
    table = pd.DataFrame({"g": ["a"] * 30 + ["b"] * 2})
    effects = rb.effect_sizes(d=np.full(32, 0.2), se=np.full(32, 0.1))
    fit = moderated(made, "g", table, effects=effects)
    figure = plot_regression(fit, "g")
    (points,) = (
        layer._data for layer in figure.layers
        if "mark" in layer._data and (layer._data["mark"] == "estimate").all()
    )  # fmt: skip
    assert points["y"].is_unique
    again = plot_regression(fit, "g")
    (same,) = (
        layer._data for layer in again.layers
        if "mark" in layer._data and (layer._data["mark"] == "estimate").all()
    )  # fmt: skip
    np.testing.assert_array_equal(points["y"], same["y"])


@pytest.mark.parametrize("count", [2, 12, 30])
def test_levels_with_long_names_fit_on_a_page(made, count):
    names = [f"a level with a very long name that begins as others do, {i}"
             for i in range(count)]  # fmt: skip
    fit = moderated(made, "g", pd.DataFrame({"g": names * 2}), test=False)
    figure = plot_regression(fit, "g", output_scale="OR")
    width, height = figure.theme.getp("figure_size")
    assert width == 7
    assert height < 11
    assert drawn(figure)
    # What is cut is still told apart.
    shown = [text for text in texts(figure) if "…" in text]
    assert len(shown) == len(set(shown)) == count
