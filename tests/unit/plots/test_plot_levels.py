"""Densities of levels and of marginal means: areas, priors, spikes and layouts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from plot_ensembles import HALF, SPIKE, drawn, moderated, texts
from scipy import stats

import pyrobma as rb
from pyrobma.effects import scale_factor
from pyrobma.ensemble.quantities import coefficients, marginal, posterior
from pyrobma.plots.levels import (
    levels_frame,
    marginal_means_frame,
    plot_levels,
    plot_marginal_means,
)

# Sums of products of some thousand doubles.
ROUNDING = 1e-9
# Tails that are left out, and trapezoids between 512 points.
AREA = 2e-3
# Of the peak: kernels widen what is seen of few draws.
KERNEL = 0.1
TABLE = pd.DataFrame(
    {
        "age": np.array([2, 3, 4, 4, 5, 6, 7, 8, 9, 11, 13, 17.0]),
        "measure": ["direct", "informant"] * 6,
        "place": ["home", "home", "lab", "lab", "school", "school"] * 2,
    }
)


@pytest.fixture(scope="module")
def fit(made):
    return moderated(made, "place + age", TABLE, size=(2, 500))


def part(frame, level, which="posterior", kind="density"):
    return frame[
        (frame["level"] == level) & (frame["which"] == which) & (frame["kind"] == kind)
    ]


def area(curve):
    return np.trapezoid(curve["density"], curve["x"])


@pytest.mark.parametrize("scale", [None, "r"])
def test_every_level_has_a_density_a_spike_and_an_interval(fit, scale):
    frame = levels_frame(fit, "place", output_scale=scale)
    absent = 1 - fit.post_prob[fit.members("place")].sum()
    own = [q for q in coefficients(fit.task.moderators) if q.term == "place"]
    factor = 1.0 if scale is None else scale_factor("cohens_d", "fishers_z")
    for quantity, level in zip(own, ("home", "lab", "school"), strict=True):
        assert area(part(frame, level)) == pytest.approx(1 - absent, abs=AREA)
        (spike,) = part(frame, level, kind="spike").itertuples()
        assert (spike.x, spike.probability) == (0.0, pytest.approx(absent))
        (interval,) = part(frame, level, kind="interval").itertuples()
        mixture = posterior(fit, quantity)
        assert interval.x == pytest.approx(factor * mixture.mean(), rel=ROUNDING)
        assert [interval.lower, interval.upper] == pytest.approx(
            factor * mixture.quantiles((0.025, 0.975)), rel=ROUNDING
        )
    # Deviations from their unweighted mean.
    assert frame.loc[frame["kind"] == "interval", "x"].sum() == pytest.approx(
        0, abs=1e-9
    )


def test_the_density_is_that_of_the_draws(fit):
    frame = levels_frame(fit, "place", conditional=True, probs=(0.25, 0.75))
    own = next(q for q in coefficients(fit.task.moderators) if q.term == "place")
    given = fit.members("place")
    draws = np.concatenate(
        [
            own.value({name: one.values(name) for name, _ in own.weights}).ravel()
            for one, is_in in zip(fit.fits, given, strict=True)
            if is_in
        ]
    )
    curve = part(frame, "home")
    wanted = stats.norm(draws.mean(), draws.std()).pdf(curve["x"])
    assert np.abs(curve["density"] - wanted).max() < KERNEL * wanted.max()
    assert part(frame, "home", kind="spike").empty
    (interval,) = part(frame, "home", kind="interval").itertuples()
    assert interval.lower == pytest.approx(np.quantile(draws, 0.25), abs=0.01)


def test_every_deviation_has_the_prior_of_a_coefficient(fit):
    # Rows of mean-difference contrasts have a norm of 1.
    frame = levels_frame(fit, "place", prior=True)
    for level in ("home", "lab", "school"):
        curve = part(frame, level, "prior")
        np.testing.assert_allclose(
            curve["density"], 0.5 * stats.norm(0, 0.25).pdf(curve["x"]), rtol=1e-6
        )
        assert part(frame, level, "prior", "spike")["probability"].tolist() == [0.5]


def test_the_prior_of_a_mean_is_that_of_the_sum(fit):
    frame = marginal_means_frame(fit, "place")
    curve = part(frame, "lab", "prior")
    x = curve["x"]
    both = np.hypot(1, 0.25)
    wanted = sum(stats.norm(0, sd).pdf(x) for sd in (0.25, 1.0, both)) / 4
    np.testing.assert_allclose(curve["density"], wanted, rtol=1e-6)
    assert part(frame, "lab", "prior", "spike")["probability"].tolist() == [0.25]


@pytest.mark.parametrize("scale", [None, "r", "OR"])
def test_marginal_means_have_the_posterior_of_their_sum(fit, scale):
    frame = marginal_means_frame(fit, "age", output_scale=scale, prior=False)
    convert = fit.converter("mu", scale)
    age = fit.task.moderators.term("age")
    quantities = marginal(fit.task.moderators, age)
    for level, quantity in zip(("-1SD", "0SD", "1SD"), quantities, strict=True):
        mixture = posterior(fit, quantity).transformed(convert)
        (interval,) = part(frame, level, kind="interval").itertuples()
        assert interval.x == pytest.approx(mixture.mean(), rel=ROUNDING)
        (spike,) = part(frame, level, kind="spike").itertuples()
        without = ~fit.members("effect")
        if level != "0SD":
            without &= ~fit.members("age")
        assert spike.probability == pytest.approx(fit.post_prob[without].sum())
        assert spike.x == (1.0 if scale == "OR" else 0.0)
        assert area(part(frame, level)) == pytest.approx(
            1 - spike.probability, abs=AREA
        )


def test_conditional_means_are_over_models_with_an_effect_or_the_term(fit):
    frame = marginal_means_frame(fit, "place", conditional=True)
    given = fit.members("effect") | fit.members("place")
    own = marginal(fit.task.moderators, fit.task.moderators.term("place"))[0]
    (interval,) = part(frame, "home", kind="interval").itertuples()
    assert interval.x == pytest.approx(posterior(fit, own, given).mean(), rel=ROUNDING)
    assert (frame["kind"] != "spike").all()


def test_all_means_are_named_as_in_their_table(fit):
    frame = marginal_means_frame(fit, prior=False)
    assert frame["level"].unique().tolist() == [
        "intercept", "place[home]", "place[lab]", "place[school]", "age[-1SD]",
        "age[0SD]", "age[1SD]",
    ]  # fmt: skip
    (row,) = part(frame, "intercept", kind="interval").itertuples()
    assert row.x == pytest.approx(fit.mixture("mu").mean(), rel=ROUNDING)


def test_the_prior_of_a_coefficient_alone_is_its_own(made):
    priors = {"measure": rb.prior("cauchy", location=0, scale=0.3)}
    own = moderated(
        made, "measure", TABLE, priors=priors, coding={"contrasts": "treatment"}
    )
    curve = part(levels_frame(own, "measure", prior=True), "informant", "prior")
    np.testing.assert_allclose(
        curve["density"], 0.5 * stats.cauchy(0, 0.3).pdf(curve["x"]), rtol=1e-6
    )


def test_the_prior_of_a_sum_with_a_bounded_part_is_that_of_draws(made):
    own = moderated(made, "measure", TABLE, effect_null=(HALF,))
    curve = part(marginal_means_frame(own, "measure"), "direct", "prior")
    x, sd = curve["x"].to_numpy(), np.hypot(1, 0.25)
    parts = (
        stats.halfnorm, stats.norm, stats.norm(0, sd),
        stats.skewnorm(4, scale=sd),  # |Z| + W / 4 (Azzalini, 1985)
    )  # fmt: skip
    wanted = sum(own.pdf(x) for own in parts) / 4
    # Of one of four parts: the kernel of 20000 draws.
    np.testing.assert_allclose(curve["density"], wanted, atol=0.02 * wanted.max())


def test_treatment_contrasts_are_named_by_what_differs(made):
    coding = {"contrasts": "treatment"}
    own = moderated(made, "place", TABLE, coding=coding)
    assert levels_frame(own, "place")["level"].unique().tolist() == ["lab", "school"]
    assert plot_levels(own, "place").labels.x == (
        "Difference of place from home (Cohen's d)"
    )


def test_columns_of_one_number_are_named_by_their_coefficients(made):
    own = moderated(made, "poly(age, 2)", TABLE)
    name = own.task.moderators.names[0]
    frame = levels_frame(own, name)
    assert frame["level"].unique().tolist() == [f"{name}[1]", f"{name}[2]"]
    with pytest.raises(rb.DataError, match=r"term: expected one of none; got"):
        marginal_means_frame(own, name)


def curves(figure):
    """Return how many lines with a key of their own there are."""
    return {
        key
        for layer in figure.layers
        if "key" in layer._data
        for key in layer._data["key"].unique()
    }


def test_up_to_six_levels_share_a_panel_with_one_bar_and_one_prior(fit):
    figure = plot_levels(fit, "place", prior=True)
    assert curves(figure) == {"0", "1", "2", "prior"}
    absent = 1 - fit.post_prob[fit.members("place")].sum()
    assert texts(figure) == [f"P(δ = 0) = {absent:.3f}", "prior 0.500"]
    (prior,) = (
        some
        for layer in figure.layers
        if "key" in layer._data
        for key, some in layer._data.groupby("key")
        if key == "prior"
    )
    assert len(set(prior["level"])) == 1
    assert (
        figure.labels.x == "Deviation of place from the mean of its levels (Cohen's d)"
    )
    assert drawn(figure)


def test_levels_called_prior_and_posterior_are_levels(made):
    table = pd.DataFrame({"phase": ["prior", "posterior"] * 6})
    figure = plot_levels(moderated(made, "phase", table), "phase", prior=True)
    assert curves(figure) == {"0", "1", "prior"}
    assert drawn(figure)


def test_seven_levels_have_a_row_each_with_the_probability_of_none(made):
    table = pd.DataFrame({"g": [f"${i}$" for i in range(7)] * 2})
    own = moderated(made, "g", table)
    figure = plot_levels(own, "g", prior=True)
    found = texts(figure)
    assert [text for text in found if text.startswith(r"\$")] == [
        rf"\${i}\$" for i in range(7)
    ]
    absent = 1 - own.post_prob[own.members("g")].sum()
    assert found.count(f"{absent:.3f}") == 7
    assert "P(= 0)" in found
    assert drawn(figure)


def test_means_with_different_spikes_have_a_row_each(fit):
    figure = plot_marginal_means(fit, "age")
    assert not curves(figure)
    assert {"-1SD", "0SD", "1SD"} <= set(texts(figure))
    assert drawn(figure)


def test_more_than_six_means_are_intervals(fit):
    figure = plot_marginal_means(fit, output_scale="OR")
    frame = marginal_means_frame(fit, prior=False, output_scale="OR")
    intervals = frame[frame["kind"] == "interval"]
    (marks,) = (
        layer._data for layer in figure.layers
        if layer.geom.__class__.__name__ == "geom_point"
    )  # fmt: skip
    np.testing.assert_allclose(marks["x"], np.log10(intervals["x"]), rtol=ROUNDING)
    assert "Mean [95% CI]" in texts(figure)
    assert figure.labels.x == "Mean effect (odds ratio)"
    assert drawn(figure)


def test_a_term_that_all_models_fix_is_drawn_as_bars(made):
    priors = {"measure": {"alternative": rb.prior("spike", location=0), "null": SPIKE}}
    own = moderated(made, "measure", TABLE, priors=priors)
    frame = levels_frame(own, "measure", prior=True)
    assert set(frame["kind"]) == {"spike", "interval"}
    figure = plot_levels(own, "measure", prior=True)
    assert figure.labels.y == "Probability"
    assert drawn(figure)


@pytest.mark.parametrize("scale", ["r", "OR", "logOR"])
def test_it_is_drawn_on_every_scale(fit, scale):
    assert drawn(plot_marginal_means(fit, "place", output_scale=scale))
    title = plot_levels(fit, "place", conditional=True, output_scale=scale).labels.x
    unit = "Fisher's z" if scale == "r" else "log odds ratio"
    assert (
        title == f"Conditional deviation of place from the mean of its levels ({unit})"
    )


@pytest.mark.parametrize("frame", [levels_frame, marginal_means_frame])
@pytest.mark.parametrize(
    ("term", "options", "message"),
    [
        ("plac", {}, r"term: expected one of place, age; got 'plac'. Did you mean"),
        ("age", {"n": 1}, r"n: expected a number of points from 2 up"),
        ("age", {"probs": (0.5,)}, r"probs: expected two increasing"),
        ("age", {"output_scale": "d"}, r"output_scale: expected"),
    ],
)
def test_what_cannot_be_drawn_is_refused(fit, frame, term, options, message):
    with pytest.raises(rb.DataError, match=message):
        frame(fit, term, **options)


def test_an_ensemble_without_moderators_is_refused(made):
    plain = made.ensemble(made.space(), [0.0] * 4)
    for draw in (plot_levels, plot_marginal_means):
        with pytest.raises(rb.DataError, match=r"ensemble: expected one with moder"):
            draw(plain, "age")
