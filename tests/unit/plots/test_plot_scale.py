"""Figures of moderators of heterogeneity: coefficients of log tau."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from plot_ensembles import drawn
from scipy import stats

import pyrobma as rb
from pyrobma.models import heterogeneous
from pyrobma.plots import levels_frame, plot_levels, posterior_frame
from pyrobma.report import figures, tables

# Sums of products of some thousand doubles.
ROUNDING = 1e-9
# Tails that are left out, and trapezoids between 512 points.
AREA = 2e-3
TABLE = pd.DataFrame(
    {
        "y": [0.1, 0.5, -0.2, 0.3, 0.8, 0.4, 0.0, 0.6, 0.9],
        "se": [0.1, 0.2, 0.1, 0.2, 0.1, 0.2, 0.15, 0.12, 0.3],
        "dose": [1.0, 2.0, 4.0, 3.0, 7.0, 5.0, 9.0, 4.5, 2.5],
        "design": list("xxxyyyzzz"),
    }
)


@cache
def fitted() -> rb.RobmaFit:
    few = rb.SamplerSettings(chains=2, warmup=150, draws=250)
    return rb.robma(
        TABLE, y="y", se="se", scale="dose + design", priors_bias=None, settings=few,
        seed=1,
    )  # fmt: skip


def part(frame, which, kind, level=None):
    found = frame[(frame["which"] == which) & (frame["kind"] == kind)]
    return found if level is None else found[found["level"] == level]


def absent(fit, term):
    """Return the probability that a term is not there, given heterogeneity."""
    given = heterogeneous(fit.space)
    out = given & ~fit.members(term)
    return fit.post_prob[out].sum() / fit.post_prob[given].sum()


def test_levels_are_those_of_the_table_given_heterogeneity():
    fit = fitted()
    frame = levels_frame(fit, "tau ~ design", prior=True)
    table = fit.summary().estimates_scale
    for level in "xyz":
        (interval,) = part(frame, "posterior", "interval", level).itertuples()
        row = table.loc[f"design[dif: {level}]"]
        assert interval.x == pytest.approx(row["Mean"], abs=ROUNDING)
        assert interval.upper == pytest.approx(row["0.975"], abs=ROUNDING)
        (spike,) = part(frame, "posterior", "spike", level).itertuples()
        chance = absent(fit, "tau ~ design")
        assert (spike.x, spike.probability) == (0.0, pytest.approx(chance))
        curve = part(frame, "posterior", "density", level)
        area = np.trapezoid(curve["density"], curve["x"])
        assert area == pytest.approx(1 - chance, abs=AREA)
        # Rows of mean-difference contrasts have a norm of 1.
        prior = part(frame, "prior", "density", level)
        np.testing.assert_allclose(
            prior["density"], 0.5 * stats.norm(0, 0.5).pdf(prior["x"]), rtol=1e-6
        )


def test_ratios_have_no_measure():
    fit = rb.robma(
        d=TABLE["y"], se=TABLE["se"], scale=TABLE[["design"]], priors_bias=None,
        priors_effect_null=None, priors_heterogeneity_null=None, test_scale=False,
        seed=1,
    )  # fmt: skip
    own = levels_frame(fit, "tau ~ design")
    pd.testing.assert_frame_equal(
        own, levels_frame(fit, "tau ~ design", output_scale="r")
    )


def test_a_number_is_averaged_over_models_with_heterogeneity_too():
    fit = fitted()
    frame = posterior_frame(fit, "tau ~ dose", prior=True)
    (spike,) = part(frame, "posterior", "spike").itertuples()
    assert spike.probability == pytest.approx(absent(fit, "tau ~ dose"))
    assert part(frame, "prior", "spike")["probability"].tolist() == [pytest.approx(0.5)]
    conditional = posterior_frame(fit, "tau ~ dose", prior=True, conditional=True)
    assert part(conditional, "prior", "spike").empty


def test_figures_say_what_is_drawn():
    fit = fitted()
    levels = fit.plot("tau ~ design", prior=True)
    assert levels.labels.x == "Deviation of log τ by design from the mean of its levels"
    assert fit.plot("tau ~ design", conditional=True).labels.x.startswith(
        "Conditional deviation of log τ by design"
    )
    number = fit.plot("tau ~ dose", prior=True)
    assert number.labels.x == "Coefficient of log τ, dose (per sd)"
    assert drawn(levels)
    assert drawn(number)


def test_unknown_terms_are_refused():
    fit = fitted()
    with pytest.raises(rb.DataError, match="expected one of dose, design; got 'year'"):
        plot_levels(fit, "tau ~ year")
    with pytest.raises(rb.DataError, match="expected one with moderators; got none"):
        plot_levels(fit, "design")
    with pytest.raises(rb.DataError, match=r"See plot_levels .* of tau ~ design"):
        fit.plot("design")


def test_a_report_has_one_figure_for_each_term():
    fit = fitted()
    found = {figure.name: figure for figure in figures(fit)}
    own = [name for name in found if "tau ~" in name]
    assert own == ["posterior_tau ~ dose", "posterior_tau ~ design"]
    contents = tables(fit)
    shown = contents["estimates_scale"].formatted()["Mean"]
    words = found["posterior_tau ~ design"].numbers(contents)
    assert words.startswith("Posterior of log tau by design: design[dif: x] ")
    for label in ("design[dif: x]", "design[dif: y]", "design[dif: z]"):
        assert f"{label} {shown[label].strip()} [" in words
    dose = found["posterior_tau ~ dose"].numbers(contents)
    assert f"dose {shown['dose'].strip()} [" in dose
