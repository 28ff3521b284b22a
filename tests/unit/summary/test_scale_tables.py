"""Tables and sentences on moderators of heterogeneity."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

import pyrobma as rb
from pyrobma.models import heterogeneous

# Probabilities that are sums of others.
ROUNDING = 1e-12
WHERE = "at the mean of dose and the geometric mean over levels of design"

TABLE = pd.DataFrame(
    {
        "y": [0.1, 0.5, -0.2, 0.3, 0.8, 0.4, 0.0, 0.6],
        "se": [0.1, 0.2, 0.1, 0.2, 0.1, 0.2, 0.15, 0.12],
        "dose": [1.0, 2.0, 4.0, 3.0, 7.0, 5.0, 9.0, 4.5],
        "design": list("xxxyyyxy"),
    }
)


@cache
def fitted() -> rb.RobmaFit:
    return rb.robma(
        TABLE, y="y", se="se", scale="dose + design", priors_bias=None, seed=1
    )


def test_terms_have_a_table_of_their_own_given_heterogeneity() -> None:
    fit = fitted()
    summary = fit.summary()
    table = summary.tables["components_scale"]
    assert table.title == "Heterogeneity moderators summary:"
    assert list(table.frame.index) == ["dose", "design"]
    assert list(table.frame["Models"]) == ["4/8", "4/8"]
    given = heterogeneous(fit.space)
    posts = fit.posterior_given(given)
    for name in ("dose", "design"):
        row = table.frame.loc[name]
        member = fit.members(f"tau ~ {name}")
        assert row["Prior prob."] == pytest.approx(0.5, abs=ROUNDING)
        assert row["Post. prob."] == pytest.approx(posts[member].sum(), abs=ROUNDING)
        odds = posts[member].sum() / posts[given & ~member].sum()
        assert row["Inclusion BF"] == pytest.approx(odds)
    assert list(summary.components.index) == ["Effect", "Heterogeneity"]
    assert "Among models with heterogeneity" in str(table)


def test_coefficients_of_log_tau_are_averaged_over_models_with_heterogeneity() -> None:
    fit = fitted()
    summary = fit.summary(conditional=True)
    frame = summary.estimates_scale
    assert list(frame.index) == ["dose", "design[dif: x]", "design[dif: y]"]
    assert frame.loc["design[dif: x]", "Mean"] == pytest.approx(
        -frame.loc["design[dif: y]", "Mean"]
    )
    posts = fit.posterior_given(heterogeneous(fit.space))
    absent = posts[~fit.members("tau ~ dose")].sum()
    assert frame.loc["dose", "P(=0)"] == pytest.approx(absent)
    conditional = summary.estimates_scale_conditional
    assert conditional.loc["dose", "Mean"] == pytest.approx(
        fit.mixture("tau ~ dose", conditional=True).mean()
    )
    assert frame.loc["dose", "Mean"] == pytest.approx(
        (1 - absent) * conditional.loc["dose", "Mean"]
    )
    # They are nowhere else.
    assert list(summary.estimates.index) == ["mu", "tau"]


@pytest.mark.parametrize("table", ["summary", "heterogeneity", "pooled_effect"])
def test_it_is_said_where_tau_is_wherever_it_is_printed(table: str) -> None:
    text = str(getattr(fitted(), table)())
    assert f"tau is the heterogeneity {WHERE}." in text


def test_models_one_by_one_and_analyses_side_by_side_say_it_too() -> None:
    fit = fitted()
    text = f"tau is the heterogeneity {WHERE}."
    assert str(fit.summary("individual")).count(text) == sum(
        bool(one.names) for one in fit.fits
    )
    assert f"mine: {text}" in str(rb.compare({"mine": fit}))


def test_odds_ratios_of_rows_with_free_slopes_have_no_mean() -> None:
    own = rb.prior("normal", mean=0, sd=0.3, lower=0, upper=1)
    options = {"priors_bias": None, "priors_heterogeneity": own, "seed": 1}
    one = rb.robma(TABLE, logOR="y", se="se", scale="dose", **options)
    other = rb.robma(TABLE, logOR="y", se="se", **options)
    assert np.isnan(one.predict(output_scale="OR")["Mean"]).all()
    assert np.isfinite(other.pooled_effect(output_scale="OR").pooled["Mean"]).all()


def test_heterogeneity_is_shown_at_the_values_of_its_moderators() -> None:
    tables = fitted().heterogeneity(conditional=True).tables
    rows = ["dose[-1SD]", "dose[0SD]", "dose[1SD]", "design[x]", "design[y]"]
    assert list(tables["tau"].frame.index) == rows
    assert list(tables["tau_conditional"].frame.index) == rows
    assert list(tables["variance_ratios"].frame.index) == [
        "dose[1SD] / dose[-1SD]", "design[x] / design[y]",
    ]  # fmt: skip
    middle = tables["tau"].frame.loc["dose[0SD]"]
    whole = tables["heterogeneity"].frame.loc["tau"]
    assert middle["Mean"] == pytest.approx(whole["Mean"])
    mean, sd = TABLE["dose"].mean(), TABLE["dose"].std()
    assert f"dose {mean:.5g} and {sd:.5g}" in str(tables["tau"])


def test_sentences_name_the_evidence_and_the_size() -> None:
    text = fitted().interpret()
    assert "heterogeneity that depends on dose (BF" in text
    assert "heterogeneity that differs between levels of design (BF" in text
    assert f"The standard deviation of true effects (tau) {WHERE} was" in text
    sd = f"{TABLE['dose'].std():.4g}"
    assert f"times as large for one standard deviation ({sd}) more of dose" in text
    assert "Of the levels of design, given that it differs between them," in text


def test_an_ensemble_that_does_not_test_them_has_no_evidence_to_show() -> None:
    fit = rb.robma(
        TABLE, y="y", se="se", scale="dose", test_scale=False, priors_bias=None,
        priors_effect_null=None, seed=1,
    )  # fmt: skip
    summary = fit.summary()
    assert "components_scale" not in summary.tables
    assert "estimates_scale" in summary.tables
    found = fit.inclusion.loc["tau ~ dose"]
    assert np.isinf(found["log_bf"])
    assert found["post_prob"] == 1.0
    assert "depends on dose (BF" not in fit.interpret()


def test_hypotheses_are_about_coefficients_of_log_tau() -> None:
    fit = fitted()
    found = fit.hypothesis(
        "tau ~ dose > 0", "tau ~ dose = 0", "tau ~ design[dif: x] = 0"
    ).hypotheses
    assert found.loc["tau ~ dose > 0", "Prior prob."] == pytest.approx(0.5)
    for text, name in (
        ("tau ~ dose = 0", "tau ~ dose"),
        ("tau ~ design[dif: x] = 0", "tau ~ design"),
    ):
        row, whole = found.loc[text], fit.inclusion.loc[name]
        error = np.hypot(row["error(log BF)"], whole["log_bf_mcse"])
        assert np.log(row["BF"]) == pytest.approx(-whole["log_bf"], abs=4 * error)


def test_several_levels_are_tested_by_models_fitted_again() -> None:
    table = TABLE.assign(design=list("xyzxyzxz"))
    with pytest.warns(rb.errors.DataWarning, match="fewer than 3"):
        fit = rb.robma(
            table, y="y", se="se", scale="design", priors_bias=None,
            priors_effect_null=None, priors_heterogeneity_null=None, test_scale=False,
            seed=1,
        )  # fmt: skip
    found = fit.hypothesis("tau ~ design[dif: x] = 0").hypotheses.iloc[0]
    # A third level's deviation is N(0, 0.5²) like each coefficient.
    assert found["error(log BF)"] < 0.1
    draws = fit.joint("tau ~ design[1]", "tau ~ design[2]")
    moderators = fit.task.scale_moderators
    assert moderators is not None
    weights = moderators.coding("design").matrix[0]
    slopes = [draws["tau ~ design[1]"], draws["tau ~ design[2]"]]
    value = weights[0] * slopes[0] + weights[1] * slopes[1]
    near = float(draws.weights[np.abs(value) < 0.15].sum())
    prior = 2 * 0.15 / (0.5 * np.sqrt(2 * np.pi))
    # Densities at 0 from a window of draws: a tenth is enough to tell a wrong sum.
    assert np.log(found["BF"]) == pytest.approx(np.log(near / prior), abs=0.15)
