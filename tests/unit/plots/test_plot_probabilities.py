"""Model probabilities: names, groups, what is summed and what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from plot_ensembles import HALF, NORMAL, SPIKE, drawn, ensemble, even, texts
from scipy import stats

import pyrobma as rb
from pyrobma.plots.labels import model_names
from pyrobma.plots.numbers import bayes_factor
from pyrobma.plots.probabilities import plot_probabilities, probabilities_frame
from pyrobma.priors import default_bias

# Sums and quotients of a few doubles.
ROUNDING = 1e-12
DRAWS = {
    "mu": even(stats.norm(0.2, 0.1), (1, 20)),
    "tau": even(stats.expon(), (1, 20)),
    "rho": even(stats.uniform(), (1, 20)),
    "PET": even(stats.expon(), (1, 20)),
    "PEESE": even(stats.expon(), (1, 20)),
}


def psma(*, clusters=False):
    return rb.model_space(
        effect=(NORMAL,),
        effect_null=(SPIKE,),
        heterogeneity=rb.default_priors("heterogeneity"),
        heterogeneity_null=(SPIKE,),
        bias=default_bias(),
        hierarchical=rb.default_priors("hierarchical") if clusters else (),
        hierarchical_null=(SPIKE,) if clusters else (),
    )


def fitted(made, space):
    logml = 5 * np.random.default_rng(5).normal(size=len(space))
    return ensemble(made, space, logml, DRAWS)


def written(made, space):
    return texts(plot_probabilities(fitted(made, space)))


def test_the_frame_has_every_model_with_its_probabilities(made):
    fit = fitted(made, psma())
    frame = probabilities_frame(fit)
    assert list(frame["model"]) == list(range(1, 37))
    np.testing.assert_array_equal(frame["prior_prob"], fit.prior_prob)
    np.testing.assert_array_equal(frame["post_prob"], fit.post_prob)
    assert frame["name"].is_unique
    row = frame.set_index("model").loc[35]
    assert row["name"] == "Effect + heterogeneity + PET"
    assert row["group"] == "Effect + heterogeneity"
    assert row["bias"] == "PET"
    assert frame["bias"][4] == "one-sided (.025, .05)"


def test_models_are_named_by_what_they_assume(made):
    assert model_names(made.space()) == (
        "Null", "Heterogeneity", "Effect", "Effect + heterogeneity",
    )  # fmt: skip


def test_a_prior_is_named_where_there_are_several(made):
    space = rb.model_space(
        effect=(NORMAL, HALF), effect_null=(SPIKE,), heterogeneity_null=(SPIKE,),
        bias=(rb.prior_PET("cauchy", location=0, scale=1),
              rb.prior_PET("cauchy", location=0, scale=2)), bias_null=(),
    )  # fmt: skip
    assert model_names(space)[1:4] == (
        "PET ~ Cauchy(0, 2)[0, Inf]",
        "Effect Normal(0, 1) + PET ~ Cauchy(0, 1)[0, Inf]",
        "Effect Normal(0, 1) + PET ~ Cauchy(0, 2)[0, Inf]",
    )


def test_clusters_are_named_where_models_differ_in_them(made):
    names = model_names(psma(clusters=True))
    assert "Effect + heterogeneity + clusters + PET" in names
    assert "Effect + heterogeneity + PET" in names
    # Without heterogeneity a prior of rho makes no difference but the number.
    assert "Effect + PET (model 51)" in names
    assert len(set(names)) == len(names)


def test_four_models_are_one_list(made):
    found = written(made, made.space(hierarchical=False))
    assert "Effect + heterogeneity" in found
    assert found.count("0.250") == 4
    assert "no bias" not in found
    assert "Null" in found


def test_thirty_six_models_are_grouped_with_their_sums(made):
    fit = fitted(made, psma())
    found = texts(plot_probabilities(fit))
    for i, group in enumerate(
        ("No effect, no heterogeneity", "Heterogeneity", "Effect")
    ):
        assert group in found
        assert f"{fit.post_prob[9 * i : 9 * i + 9].sum():.3f}" in found
    assert found.count("no bias") == 4
    assert found.count("PEESE") == 4


def test_models_of_a_group_go_from_the_most_probable_down(made):
    figure = plot_probabilities(fitted(made, psma()))
    (bars,) = (x._data for x in figure.layers if "bar" in x._data)
    for _, some in bars.groupby((bars["y"].diff() < -1.01).cumsum()):
        assert some["post_prob"].is_monotonic_decreasing
    assert bars["post_prob"].sum() == pytest.approx(1, rel=ROUNDING)
    assert bars["prior_prob"].sum() == pytest.approx(1, rel=ROUNDING)


def test_many_models_are_summed_and_nothing_is_lost(made):
    figure = plot_probabilities(fitted(made, psma(clusters=True)))
    (bars,) = (x._data for x in figure.layers if "bar" in x._data)
    assert len(bars) <= 40 + 6
    assert bars["post_prob"].sum() == pytest.approx(1, rel=ROUNDING)
    assert bars["prior_prob"].sum() == pytest.approx(1, rel=ROUNDING)
    assert any(label.endswith(("others", "models")) for label in texts(figure))
    assert drawn(figure)


def test_it_draws_one_model_and_thirty_six_on_taller_pages(made):
    alone = made.space(hierarchical=False, null=False)
    figures = [plot_probabilities(fitted(made, s)) for s in (alone, psma())]
    heights = [f.theme.getp("figure_size")[1] for f in figures]
    assert heights[0] < 2 < 6 < heights[1] < 10
    assert all(drawn(figure) for figure in figures)


def test_bayes_factors_are_written_as_in_tables_with_typeset_signs():
    values = (3.0, 1e-3 + ROUNDING, 9.99e-4, 1.1e6, 999999.0, 0.0, np.inf)
    with np.errstate(divide="ignore"):
        found = [bayes_factor(v) for v in (*np.log(values), -1000 * np.log(10))]
    assert found == [
        "3.000", "0.001", "9.990e−04", "1.100e+06", "999999.000", "0.000", "∞",
        "1.000e−1000",
    ]  # fmt: skip
