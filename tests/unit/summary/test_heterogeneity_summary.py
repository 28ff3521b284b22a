"""Tables of heterogeneity, pooled and true effects, from made-up fits."""

from __future__ import annotations

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.ensemble import (
    cluster_effects,
    heterogeneity,
    prediction_interval,
    true_effects,
)
from pyrobma.summary import (
    cluster_effects_table,
    heterogeneity_summary,
    pooled_effect,
    true_effects_table,
)

# The same numbers by the same functions.
ROUNDING = 1e-12
LOGML = [-2.0, 0.5, -1.0, 0.9]
ROWS = [
    "PI", "tau", "tau2", "I2", "H2",
    "tau_between", "tau_within", "ICC", "I2_between", "I2_within",
]  # fmt: skip
SPIKE = (rb.prior("spike", location=0),)


@pytest.fixture(scope="module")
def ensemble(made):
    return made.ensemble(made.space(), LOGML, [0.0, 0.01, 0.002, 0.02])


@pytest.fixture(scope="module")
def independent(made):
    effects = rb.effect_sizes(
        d=[0.1, 0.3], se=[0.1, 0.2], study_names=["Bem (2011)", "Bem (2011)"]
    )
    return made.ensemble(made.space(hierarchical=False), LOGML, effects=effects)


@pytest.fixture(scope="module")
def nothing(made):
    space = rb.model_space(effect_null=SPIKE, heterogeneity_null=SPIKE)
    return made.ensemble(space, [0.0])


def expected(mixture, probs):
    low, median, high = mixture.quantiles([probs[0], 0.5, probs[1]])
    worst = mixture.quantile_errors([0.5, *probs]).max()
    return [mixture.mean(), median, low, high, mixture.mcse(), worst]


@pytest.mark.parametrize("scale", [None, "OR"])
def test_the_rows_are_the_prediction_interval_and_the_measures(ensemble, scale):
    probs = (0.1, 0.9)
    shown = heterogeneity_summary(ensemble, output_scale=scale, probs=probs)
    frame = shown.heterogeneity
    assert list(shown.tables) == ["heterogeneity"]
    assert list(frame.index) == ROWS
    assert list(frame.columns) == [
        "Mean",
        "Median",
        "0.1",
        "0.9",
        "error(Mean)",
        "error(Quantiles)",
    ]
    for name, mixture in heterogeneity(ensemble, output_scale=scale).items():
        np.testing.assert_allclose(
            frame.loc[name], expected(mixture, probs), rtol=ROUNDING
        )
    found = prediction_interval(ensemble, output_scale=scale, probs=probs)
    assert frame.loc["PI"].to_dict() == pytest.approx(found, rel=0, nan_ok=True)
    assert ("It has no mean on this scale" in str(shown)) == (scale == "OR")


def test_the_conditional_table_comes_beside_the_averaged_one(ensemble):
    shown = heterogeneity_summary(ensemble, conditional=True)
    assert list(shown.tables) == ["heterogeneity", "heterogeneity_conditional"]
    frame = shown.heterogeneity_conditional
    for name, mixture in heterogeneity(ensemble, conditional=True).items():
        np.testing.assert_allclose(
            frame.loc[name], expected(mixture, (0.025, 0.975)), rtol=ROUNDING
        )
    found = prediction_interval(ensemble, conditional=True)
    assert frame.loc["PI"].to_dict() == found


def test_what_has_no_alternative_is_left_out_of_the_conditional_table(made, nothing):
    space = rb.model_space(
        effect_null=SPIKE, heterogeneity=rb.default_priors("heterogeneity")
    )
    shown = heterogeneity_summary(made.ensemble(space, [0.0]), conditional=True)
    assert list(shown.heterogeneity_conditional.index) == ["tau", "tau2", "I2", "H2"]
    text = str(heterogeneity_summary(nothing, conditional=True))
    assert "Conditional heterogeneity:\nNo model has an alternative prior." in text


def test_every_model_has_a_table_of_its_own(ensemble):
    shown = heterogeneity_summary(ensemble, "individual")
    assert list(shown.tables) == ["model_1", "model_2", "model_3", "model_4"]
    assert list(shown.model_1.index) == ROWS[:5]
    assert list(shown.model_4.index) == ROWS
    tau = ensemble.fits[3].draws("tau")
    assert shown.model_4.loc["tau", "Mean"] == pytest.approx(tau.mean(), rel=ROUNDING)
    assert shown.model_4.loc["tau2", "Mean"] == pytest.approx(
        (tau**2).mean(), rel=ROUNDING
    )
    assert "Model 4: mu ~ Normal(0, 1)" in str(shown)
    assert (shown.model_1.loc["PI"] == 0).all()
    assert str(heterogeneity_summary(ensemble, "i")) == str(shown)


def test_footnotes_say_on_which_scale_each_row_is(ensemble, independent):
    text = str(heterogeneity_summary(ensemble, output_scale="r"))
    assert (
        "Estimates are on the correlation scale (tau, its parts and tau2 on the "
        "Fisher's z scale); priors are on the Cohen's d scale."
    ) in text
    assert "ICC: correlation of two true effects of one cluster, over models" in text
    text = str(heterogeneity_summary(independent, output_scale="OR"))
    assert "(tau and tau2 on the log odds ratio scale)" in text
    assert "ICC" not in text
    text = str(pooled_effect(ensemble, output_scale="OR"))
    assert "Estimates are on the odds ratio scale; priors are on" in text


def test_one_estimate_has_no_i2(made):
    alone = rb.effect_sizes(d=[0.1], se=[0.1])
    found = made.ensemble(made.space(hierarchical=False), LOGML, effects=alone)
    frame = heterogeneity_summary(found).heterogeneity
    assert list(frame.index) == ["PI", "tau", "tau2"]


def test_the_pooled_effect_is_mu_and_the_effect_of_a_new_study(ensemble):
    shown = pooled_effect(ensemble, conditional=True, output_scale="OR")
    assert list(shown.tables) == ["pooled", "pooled_conditional"]
    for frame, conditional in ((shown.pooled, False), (shown.pooled_conditional, True)):
        assert list(frame.index) == ["estimate", "PI"]
        mu = ensemble.mixture("mu", conditional=conditional, output_scale="OR")
        np.testing.assert_allclose(
            frame.loc["estimate"], expected(mu, (0.025, 0.975)), rtol=ROUNDING
        )
        found = prediction_interval(
            ensemble, conditional=conditional, output_scale="OR"
        )
        assert frame.loc["PI"].to_dict() == pytest.approx(found, rel=0, nan_ok=True)


def test_without_a_model_of_an_effect_there_is_no_conditional_one(nothing):
    shown = pooled_effect(nothing, conditional=True)
    assert shown.pooled_conditional.empty
    assert "No model has an effect." in str(shown)


def test_the_table_of_true_effects_names_studies_and_clusters(ensemble):
    table = true_effects_table(ensemble, output_scale="r", probs=[0.25])
    found = true_effects(ensemble, output_scale="r", probs=[0.25])
    assert list(table.frame.columns) == [
        "Cluster", "Estimate", "Mean", "SD", "Median", "0.25",
    ]  # fmt: skip
    assert list(table.frame.index) == list(found["study"])
    np.testing.assert_array_equal(table.frame["Mean"], found["Mean"])
    assert str(table).splitlines()[2].split()[:3] == ["Study", "1", "1"]
    conditional = true_effects_table(ensemble, conditional=True)
    np.testing.assert_array_equal(
        conditional.frame["Mean"], true_effects(ensemble, conditional=True)["Mean"]
    )
    assert conditional.title == "Conditional true effects:"


def test_independent_studies_have_no_column_of_clusters(independent):
    table = true_effects_table(independent)
    assert "Cluster" not in table.frame
    assert list(table.frame.index) == ["Bem (2011)", "Bem (2011)"]
    assert table.to_html().count(">Bem (2011)</th>") == 2


def test_the_table_of_clusters_is_that_of_their_effects(ensemble):
    table = cluster_effects_table(ensemble)
    found = cluster_effects(ensemble)
    assert list(table.frame.index) == ["1", "2"]
    assert list(table.frame["Estimates"]) == [2, 2]
    np.testing.assert_array_equal(table.frame["0.975"], found["0.975"])
    assert "Conditional" in cluster_effects_table(ensemble, conditional=True).title


def test_all_true_effects_have_the_same_decimals(made):
    effects = rb.effect_sizes(y=[5321.4, 3.0, 6000.0], se=[200.0, 300.0, 250.0])
    space = rb.model_space(
        effect=(rb.prior("spike", location=5000),),
        heterogeneity=(rb.prior("spike", location=1000),),
    )
    table = true_effects_table(
        made.ensemble(space, [0.0], effects=effects, prior_scale="none")
    )
    cells = table.formatted().to_numpy().ravel()
    assert {len(cell.partition(".")[2]) for cell in cells} == {1}
    assert "scale of the data" in str(table)


def test_warnings_stand_under_every_summary(made):
    failing = made.ensemble(made.space(), LOGML, reasons={4: ("3 divergences",)})
    for shown in (heterogeneity_summary(failing), pooled_effect(failing)):
        assert "Warning: Model 4" in str(shown)


@pytest.mark.parametrize("type_", ["all", "", None, "models"])
def test_an_unknown_type_is_refused(ensemble, type_):
    with pytest.raises(rb.DataError, match="type: expected one of ensemble, individ"):
        heterogeneity_summary(ensemble, type_)


@pytest.mark.parametrize(
    "function", [heterogeneity_summary, pooled_effect, true_effects_table]
)
def test_scales_and_probabilities_are_checked(ensemble, function):
    with pytest.raises(rb.DataError, match="output_scale: expected one of"):
        function(ensemble, output_scale="z")
    with pytest.raises(rb.DataError, match="probs: expected probabilities"):
        function(ensemble, probs=[1.5])
