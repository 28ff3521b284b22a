"""Analyses side by side."""

from __future__ import annotations

import numpy as np
import pytest

import pyrobma as rb


@pytest.fixture(scope="module")
def analyses(made):
    one = made.ensemble(made.space(hierarchical=False), [0.0, 0.5, -0.5, 1.0])
    other = made.ensemble(made.space(null=False), [0.0], mcse=[0.01])
    return {"averaged": one, "one model": other}


def test_every_number_is_that_of_its_analysis(analyses):
    frame = rb.compare(analyses, probs=(0.1,), output_scale="r").frame
    one = analyses["averaged"]
    row = frame.loc["averaged"]
    assert row["Models"] == 4
    assert row["BF Effect"] == one.inclusion.loc["effect", "inclusion_bf"]
    mu = one.mixture("mu", output_scale="r")
    assert row["mu"] == mu.mean()
    assert row["0.1"] == mu.quantiles([0.1])[0]
    assert row["tau"] == one.mixture("tau", output_scale="r").mean()


def test_estimates_can_be_given_the_component(analyses):
    table = rb.compare(analyses, conditional=True)
    expected = analyses["averaged"].mixture("mu", conditional=True).mean()
    assert table.frame.loc["averaged", "mu"] == expected
    assert "mu is given an effect" in str(table)


def test_what_an_analysis_does_not_test_is_missing(analyses):
    frame = rb.compare(analyses).frame
    assert np.isnan(frame.loc["one model", "BF Effect"])
    assert np.isnan(frame.loc["one model", "error(log BF)"])
    assert "BF Bias" not in frame
    # The one model is hierarchical, but nothing is compared with it.
    assert "BF Hierarchical" not in frame


def test_a_bayes_factor_beyond_doubles_is_written_from_its_log(made):
    huge = made.ensemble(made.space(hierarchical=False), [0.0, 0.0, 2000.0, 2000.0])
    assert "e+868" in str(rb.compare({"huge": huge}))


def test_the_largest_error_is_shown(made):
    space = made.space(hierarchical=False)
    fit = made.ensemble(space, [0.0, 1.0, 0.0, 2.0], mcse=[0.1, 0.0, 0.0, 0.3])
    expected = fit.inclusion["log_bf_mcse"]
    assert expected.min() < expected.max()
    assert rb.compare({"a": fit}).frame.loc["a", "error(log BF)"] == expected.max()


def test_conditional_estimates_without_the_component_are_missing(analyses, made):
    space = rb.model_space(
        effect_null=(rb.prior("spike", location=0),),
        heterogeneity=rb.default_priors("heterogeneity"),
    )
    frame = rb.compare({**analyses, "null": made.ensemble(space, [0])},
                       conditional=True).frame  # fmt: skip
    assert np.isnan(frame.loc["null", "mu"])
    assert frame.loc["null", "tau"] > 0


def test_it_prints_with_its_scale(analyses):
    text = str(rb.compare(analyses))
    assert text.startswith("Comparison of analyses:")
    assert "Estimates are on the Cohen's d scale" in text
    assert repr(rb.compare(analyses)) == text


def test_no_analyses_and_mixed_scales_are_refused(analyses, made):
    with pytest.raises(rb.DataError, match="expected at least one analysis"):
        rb.compare({})
    z = made.ensemble(
        made.space(hierarchical=False), [0.0] * 4, prior_scale="fishers_z"
    )
    with pytest.raises(rb.DataError, match="one prior scale; got cohens_d, fishers_z"):
        rb.compare({**analyses, "z": z})
    assert len(rb.compare({**analyses, "z": z}, output_scale="r").frame) == 3
