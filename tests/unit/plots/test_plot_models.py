"""Estimates of single models: rows, order, Bayes factors and the page."""

from __future__ import annotations

import numpy as np
import pytest
from plot_ensembles import NORMAL, SPIKE, drawn, ensemble, even, texts
from scipy import stats

import pyrobma as rb
from pyrobma.effects import transform_effect
from pyrobma.plots.models import models_frame, plot_models

# Sums and quotients of a few doubles.
ROUNDING = 1e-12
LOGML = [-2.0, 0.5, -1.0, 0.9]
MU, TAU = stats.norm(0.2, 0.1), stats.lognorm(0.3, scale=0.3)


@pytest.fixture(scope="module")
def four(made):
    draws = {
        i: {"mu": even(stats.norm(0.1 * i, 0.1)), "tau": even(TAU)} for i in range(1, 5)
    }
    return ensemble(made, made.space(hierarchical=False), LOGML, draws)


def test_every_model_has_its_mean_interval_and_probability(four):
    frame = models_frame(four, order_by="model")
    assert list(frame["model"]) == [1, 2, 3, 4, 0]
    assert list(frame["kind"]) == ["spike", "spike", "model", "model", "average"]
    assert list(frame["mean"][:2]) == [0, 0]
    ends = stats.norm(0.3, 0.1).ppf([0.025, 0.975])
    np.testing.assert_allclose(frame.loc[2, ["lower", "upper"]].astype(float), ends,
                               atol=2e-3)  # draws lie this far apart  # fmt: skip
    assert frame["mean"][3] == pytest.approx(0.4, abs=1e-6)
    np.testing.assert_allclose(frame["post_prob"][:4], four.post_prob, rtol=ROUNDING)
    np.testing.assert_allclose(
        frame["inclusion_bf"][:4], four.models["inclusion_bf"], rtol=ROUNDING
    )


def test_models_are_in_the_order_of_their_probability_unless_asked(four):
    frame = models_frame(four)
    assert list(frame["model"]) == [4, 2, 3, 1, 0]
    assert frame["post_prob"][:4].is_monotonic_decreasing


def test_the_last_row_is_the_average(four):
    row = models_frame(four, probs=(0.1, 0.7)).iloc[-1]
    mixture = four.mixture("mu")
    assert row["name"] == "Model average"
    assert row["mean"] == pytest.approx(mixture.mean(), rel=ROUNDING)
    assert [row["lower"], row["upper"]] == list(mixture.quantiles([0.1, 0.7]))


def test_conditional_rows_are_among_the_models_with_the_component(four):
    frame = models_frame(four, conditional=True, order_by="model")
    assert list(frame["model"]) == [3, 4, 0]
    p = np.exp(LOGML[2:]) / np.exp(LOGML[2:]).sum()
    np.testing.assert_allclose(frame["post_prob"][:2], p, rtol=ROUNDING)
    assert list(frame["prior_prob"][:2]) == [0.5, 0.5]
    np.testing.assert_allclose(
        frame["inclusion_bf"][:2], [p[0] / p[1], p[1] / p[0]], rtol=ROUNDING
    )
    average = four.mixture("mu", conditional=True).mean()
    assert frame["mean"].iloc[-1] == pytest.approx(average, rel=ROUNDING)


@pytest.mark.parametrize(
    ("order_by", "column"),
    [
        ("model", "model"),
        ("estimate", "mean"),
        ("probability", "post_prob"),
        ("inclusion_bf", "inclusion_bf"),
    ],
)
def test_rows_are_in_the_order_asked_for(four, order_by, column):
    up = models_frame(four, order="increasing", order_by=order_by)[:-1]
    down = models_frame(four, order="decreasing", order_by=order_by)[:-1]
    assert up[column].is_monotonic_increasing
    assert down[column].is_monotonic_decreasing


def test_bayes_factors_beyond_doubles_are_ordered(made):
    draws = {"mu": even(MU), "tau": even(TAU)}
    # All but the best are at 0 on the scale of the factor.
    logml = [-3000.0, -1000.0, -2000.0, 0.0]
    fit = ensemble(made, made.space(hierarchical=False), logml, draws)
    down = models_frame(fit, order="decreasing", order_by="inclusion_bf")
    assert list(down["inclusion_bf"][1:4]) == [0, 0, 0]
    assert list(down["model"]) == [4, 2, 3, 1, 0]


def test_ends_are_draws_as_those_of_the_average_are(made):
    draws = {"mu": np.arange(40.0).reshape(2, 20), "tau": even(TAU, (2, 20))}
    space = made.space(hierarchical=False, null=False)
    frame = models_frame(ensemble(made, space, [0.0], draws), probs=(0.26, 0.86))
    assert frame["lower"].tolist() == [10, 10]
    assert frame["upper"].tolist() == [34, 34]


def test_means_are_those_of_converted_draws(four):
    frame = models_frame(four, output_scale="OR", order_by="model")
    draws = transform_effect(four.fits[3].draws("mu"), "cohens_d", "OR")
    assert frame["mean"][3] == pytest.approx(draws.mean(), rel=ROUNDING)
    assert list(frame["mean"][:2]) == [1, 1]


def test_a_single_model_has_an_infinite_bayes_factor(made):
    space = made.space(hierarchical=False, null=False)
    fit = ensemble(made, space, [0.0], {"mu": even(MU), "tau": even(TAU)})
    assert np.isinf(models_frame(fit, "tau")["inclusion_bf"][0])
    figure = plot_models(fit, "tau")
    assert "∞" in texts(figure)
    assert drawn(figure)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "up"}, "order: expected one of increasing, decreasing; got 'up'"),
        ({"order_by": "BF"}, "order_by: expected one of model, estimate"),
        ({"parameter": "omega[0,1]"}, "parameter: expected"),
        ({"parameter": "PET"}, "parameter: expected one of mu, tau"),
        ({"probs": (0.9, 0.1)}, "probs: expected two"),
        ({"output_scale": "none"}, "output_scale: expected"),
    ],
)
def test_what_cannot_be_drawn_is_refused(four, options, message):
    with pytest.raises(rb.DataError, match=message):
        models_frame(four, **options)


def test_probabilities_and_bayes_factors_are_written_beside_the_names(four):
    figure = plot_models(four, output_scale="r")
    found = texts(figure)
    assert {"Model", "Post. prob.", "Incl. BF", "Null", "Model average"} <= set(found)
    for value in models_frame(four)["post_prob"][:4]:
        assert f"{value:.3f}" in found
    # e.g. exp(-2) over the mean of exp(.5), exp(-1) and exp(.9)
    assert {"0.0907", "1.67", "0.260", "3.43"} <= set(found)
    assert figure.labels.x == "Effect (correlation)"
    assert drawn(figure)


def test_a_fixed_value_has_a_mark_and_no_interval(four):
    figure = plot_models(four, order_by="model")
    intervals = [x._data for x in figure.layers if x.mapping.get("xend") == "upper"]
    assert list(intervals[0]["model"]) == [3, 4]


def test_marks_grow_in_area_with_the_probability(four):
    figure = plot_models(four)
    (marks,) = (x._data for x in figure.layers if "size" in x.mapping)
    assert marks["size"].rank().tolist() == marks["post_prob"].rank().tolist()


def test_odds_ratios_are_on_a_logarithmic_axis(four):
    figure = plot_models(four, output_scale="OR")
    (scale,) = (s for s in figure.scales if "x" in s.aesthetics)
    assert "1" in scale.labels
    labelled = [10.0**at for at in scale.breaks]
    np.testing.assert_allclose(labelled, [float(x) for x in scale.labels], rtol=1e-3)
    (marks,) = (x._data for x in figure.layers if "size" in x.mapping)
    expected = np.log10(models_frame(four, output_scale="OR")["mean"][:4])
    np.testing.assert_allclose(marks["mean"], expected, rtol=ROUNDING, atol=ROUNDING)
    assert drawn(figure)


def test_improbable_models_do_not_set_the_axis(made):
    space = rb.model_space(
        effect=(NORMAL, rb.prior("normal", mean=0, sd=9)), heterogeneity_null=(SPIKE,)
    )
    wide = {1: {"mu": even(MU)}, 2: {"mu": even(stats.norm(0.2, 9))}}
    fit = ensemble(made, space, [0.0, -20.0], wide)
    figure = plot_models(fit)
    arrows = [x for x in figure.layers if x.mapping.get("x") == "edge"]
    assert len(arrows) == 2
    assert drawn(figure)


def test_the_page_grows_with_the_number_of_models(made, four):
    many = [rb.prior("normal", mean=0, sd=s) for s in range(1, 37)]
    space = rb.model_space(effect=many, heterogeneity_null=(SPIKE,))
    fit = ensemble(made, space, [0.0] * 36, {"mu": even(MU, (1, 20))})
    heights = [plot_models(f).theme.getp("figure_size")[1] for f in (four, fit)]
    assert heights[0] < 2.5 < 7 < heights[1] < 10
    assert drawn(plot_models(fit))


def test_a_bayes_factor_beyond_doubles_is_written_from_its_log(made):
    draws = {"mu": even(MU), "tau": even(TAU)}
    fit = ensemble(made, made.space(hierarchical=False), [-3000.0, 0, 0, 0], draws)
    frame = models_frame(fit, order_by="model")
    assert frame["inclusion_bf"][0] == 0
    # Against three equal models.
    assert frame["log_bf"][0] == pytest.approx(-3000, rel=ROUNDING)
    assert "1.31e−1303" in texts(plot_models(fit))
