"""Figures that hold the models against the estimates: what their frames say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from plot_ensembles import drawn, texts
from scipy.stats import beta, norm

import pyrobma as rb
from pyrobma.effects import transform_effect
from pyrobma.ensemble.published import averaged_mean
from pyrobma.errors import DataError
from pyrobma.plots import (
    influence_frame,
    loo_pit_frame,
    plot_influence,
    plot_loo_pit,
    plot_qq,
    plot_radial,
    plot_z,
    qq_frame,
    radial_frame,
    z_frame,
)
from pyrobma.plots.point_labels import Ends, named_points
from pyrobma.plots.qq import simultaneous_band
from pyrobma.plots.theme import Page

# Sums of doubles.
ROUNDING = 1e-9
# Four standard errors of a share of 0.05 in 2000 samples, as found and as tried.
SIMULATED = 0.03

PLOTS = [plot_qq, plot_radial, plot_influence, plot_loo_pit, plot_z]
SE = np.array([0.1, 0.2, 0.15, 0.3, 0.25, 0.12])
Y = np.array([0.25, 0.1, 0.4, 0.7, -0.2, 0.3])


def fixed(made, *, bias=None, mu=0.2, tau=0.1, y=Y, se=SE, direction="positive", **ids):
    """One model without anything to estimate."""
    space = rb.model_space(
        effect=(rb.prior("spike", location=mu),),
        heterogeneity=(rb.prior("spike", location=tau),),
        bias_null=(bias or rb.prior_none(),),
    )
    effects = rb.effect_sizes(y=y, se=se, **ids)
    fit = made.ensemble(space, [0.0], effects=effects, prior_scale="none")
    task = dataclasses.replace(fit.task, effect_direction=direction)
    return dataclasses.replace(fit, task=task)


@pytest.fixture(scope="module")
def clustered(made):
    return made.ensemble(made.space(), [-2.0, 0.5, -1.0, 0.9], size=(4, 100))


WEIGHTS = rb.prior_weightfunction(
    "one.sided.fixed", steps=[0.025, 0.5], omega=[1, 0.5, 0.1]
)


@pytest.mark.parametrize("plot", PLOTS)
def test_every_figure_is_drawn(plot, clustered, made):
    assert drawn(plot(clustered)).startswith(b"\x89PNG")
    assert drawn(plot(fixed(made, bias=WEIGHTS), width=4)).startswith(b"\x89PNG")


@pytest.mark.parametrize("plot", PLOTS)
def test_sizes_are_checked(plot, clustered):
    with pytest.raises(DataError, match="width: expected a positive number"):
        plot(clustered, width=-1)


# ---- residuals --------------------------------------------------------------
def test_scores_of_a_known_model_are_its_residuals(made):
    frame = qq_frame(fixed(made))
    wanted = np.sort((Y - 0.2) / np.hypot(SE, 0.1))
    np.testing.assert_allclose(frame["score"], wanted, atol=ROUNDING)
    assert frame["study"].iloc[0] == "Study 5"
    assert (frame["expected"].diff()[1:] > 0).all()
    np.testing.assert_allclose(frame["expected"], -frame["expected"][::-1])


@pytest.mark.parametrize("n", [1, 6, 100])
def test_the_band_holds_all_points_95_percent_of_the_time(n):
    lower, upper = simultaneous_band(n)
    other = np.sort(np.random.default_rng(8).normal(size=(2000, n)), axis=1)
    inside = ((other >= lower) & (other <= upper)).all(axis=1).mean()
    assert inside == pytest.approx(0.95, abs=SIMULATED)
    # All points have the same chance to be outside.
    i = np.arange(1, n + 1)
    level = beta.cdf(norm.cdf(lower), i, n + 1 - i)
    np.testing.assert_allclose(level, level[0])
    np.testing.assert_allclose(lower, -upper[::-1], atol=1e-6)


def test_estimates_outside_the_band_are_named(made):
    far = fixed(made, y=[0.25, 0.1, 0.4, 2.9, -0.2, 0.3])
    assert texts(plot_qq(far)) == ["Study 4"]
    assert texts(plot_qq(fixed(made))) == []


def test_the_shares_are_those_of_probabilities_of_the_model(made):
    frame = loo_pit_frame(fixed(made))
    pit = norm.cdf(Y, 0.2, np.hypot(SE, 0.1))
    for row in frame.itertuples():
        assert row.share == (pit <= row.probability).mean()
    assert (frame["lower"] <= frame["upper"]).all()
    assert frame["probability"].tolist() == [k / 6 for k in range(1, 6)]


def test_two_estimates_have_no_distribution(made):
    few = fixed(made, y=[0.1, 0.2], se=[0.1, 0.1])
    with pytest.raises(DataError, match="at least 3 estimates"):
        plot_loo_pit(few)


# ---- radial -----------------------------------------------------------------
def test_slopes_of_the_radial_plot_are_effects(clustered):
    frame = radial_frame(clustered)
    effects = clustered.task.effects
    points = frame[frame["part"] == "estimate"]
    np.testing.assert_allclose(points["z"] / points["precision"], effects.y)
    line = frame[frame["part"] == "sampling error"].iloc[-1]
    mean = averaged_mean(clustered)
    assert line["z"] / line["precision"] == pytest.approx(mean)
    assert line["upper"] - line["z"] == pytest.approx(norm.ppf(0.975))


def test_heterogeneity_widens_the_radial_band_as_it_does_intervals(made):
    frame = radial_frame(fixed(made, tau=0.3))
    row = frame[frame["part"] == "heterogeneity"].iloc[-1]
    se = 1 / row["precision"]
    half = norm.ppf(0.975) * np.hypot(se, 0.3) / se
    assert row["upper"] - row["z"] == pytest.approx(half)


@pytest.mark.parametrize("scale", ["cohens_d", "OR", "r"])
def test_the_axis_of_effects_is_converted(made, clustered, scale):
    figure = plot_radial(clustered, output_scale=scale)
    drawn(figure)
    # Names of points have a side, numbers of the axis have none.
    (frame,) = (
        layer._data
        for layer in figure.layers
        if "label" in layer.mapping and {*layer._data} == {"x", "y", "text"}
    )
    values = np.array([float(t.replace("−", "-")) for t in frame["text"]])
    slope = transform_effect(values, scale, "fishers_z")
    right = radial_frame(clustered)["precision"].max()
    np.testing.assert_allclose(frame["y"] / right, slope)


# ---- influence --------------------------------------------------------------
def test_contributions_add_up_to_q(made):
    frame = influence_frame(fixed(made))
    np.testing.assert_allclose(frame["contribution"], ((Y - 0.2) / SE) ** 2)
    # Nothing is estimated.
    np.testing.assert_allclose(frame["influence"], 0, atol=ROUNDING)
    assert frame["reliable"].all()


def test_clusters_have_the_contributions_of_their_estimates(clustered):
    single = influence_frame(clustered)["contribution"]
    frame = influence_frame(clustered, by="cluster")
    assert frame["cluster"].tolist() == ["1", "2"]
    wanted = [single[:2].sum(), single[2:].sum()]
    np.testing.assert_allclose(frame["contribution"], wanted)


def test_influence_is_of_studies_or_clusters(clustered):
    with pytest.raises(DataError, match="by: expected 'study' or 'cluster'"):
        plot_influence(clustered, by="estimate")


# ---- z-values ---------------------------------------------------------------
def test_densities_of_z_are_those_of_the_model(made):
    frame = z_frame(fixed(made, bias=WEIGHTS, mu=0.2, tau=0.1))
    free = frame[frame["part"] == "without bias"]
    published = frame[frame["part"] == "published"]
    mean, sd = 0.2 / SE, np.hypot(SE, 0.1) / SE
    each = norm.pdf(free["z"].to_numpy()[:, None], mean, sd)
    np.testing.assert_allclose(free["value"], each.mean(axis=1), rtol=ROUNDING)
    cuts = np.array([0.0, norm.isf(0.025)])
    above = norm.sf(cuts[:, None], mean, sd)
    chance = (
        np.array([0.1, 0.5, 1.0])
        @ np.diff(np.vstack([np.ones(6), above, np.zeros(6)])[::-1], axis=0)[::-1]
    )
    weight = np.array([0.1, 0.5, 1.0])[np.searchsorted(cuts, free["z"], side="right")]
    wanted = (each / chance).mean(axis=1) * weight
    np.testing.assert_allclose(published["value"], wanted, rtol=ROUNDING)
    assert frame.loc[frame["part"] == "cut", "z"].tolist() == pytest.approx(cuts)


def test_the_discovery_rate_is_the_power_without_bias(made):
    frame = z_frame(fixed(made, bias=WEIGHTS))
    row = frame[frame["part"] == "discovery"].iloc[0]
    mean, sd = 0.2 / SE, np.hypot(SE, 0.1) / SE
    z = norm.isf(0.025)
    power = (norm.sf(z, mean, sd) + norm.cdf(-z, mean, sd)).mean()
    assert row[["value", "lower", "upper"]].tolist() == pytest.approx([power] * 3)


def test_pet_is_bias_too(made):
    frame = z_frame(fixed(made, bias=rb.prior_PET("spike", location=1.0)))
    published, free = (
        frame[frame["part"] == part] for part in ("published", "without bias")
    )
    sd = np.hypot(SE, 0.1) / SE
    z = free["z"].to_numpy()[:, None]
    wanted = norm.pdf(z, 0.2 / SE + 1, sd).mean(axis=1)
    np.testing.assert_allclose(published["value"], wanted, rtol=ROUNDING)
    plain = norm.pdf(z, 0.2 / SE, sd).mean(axis=1)
    np.testing.assert_allclose(free["value"], plain, rtol=ROUNDING)


@pytest.mark.parametrize(
    ("kind", "direction", "sign"),
    [("one.sided.fixed", "negative", -1), ("two.sided.fixed", "positive", 1)],
)
def test_cuts_are_in_the_direction_of_selection(made, kind, direction, sign):
    weights = rb.prior_weightfunction(kind, steps=[0.05], omega=[1, 0.5])
    frame = z_frame(fixed(made, bias=weights, direction=direction))
    cuts = frame.loc[frame["part"] == "cut", "z"].tolist()
    if kind.startswith("two"):
        assert cuts == pytest.approx([-norm.isf(0.025), norm.isf(0.025)])
    else:
        assert cuts == pytest.approx([sign * norm.isf(0.05)])


def test_bars_have_the_share_of_estimates_and_an_end_at_significance(made):
    frame = z_frame(fixed(made))
    bars = frame[frame["part"] == "estimates"]
    widths = bars["upper"] - bars["lower"]
    assert (bars["value"] * widths).sum() == pytest.approx(1)
    assert np.abs(bars["lower"] - norm.isf(0.025)).min() < 1e-9
    above = bars[bars["lower"] > 1.9]
    share = (above["value"] * widths[above.index]).sum()
    assert share == pytest.approx((norm.isf(0.025) < Y / SE).mean())
    assert "without bias" not in set(frame["part"])
    assert len(z_frame(fixed(made), bins=3)) != len(frame)


def test_far_estimates_are_counted_and_not_drawn(made):
    figure = plot_z(fixed(made, y=[9.0, 0.1, 0.4, 0.7, -0.2, 0.3]))
    assert "1 beyond the axis" in figure.labels.caption
    drawn(figure)


def test_the_caption_has_the_rates(made):
    figure = plot_z(fixed(made, bias=WEIGHTS))
    assert figure.labels.caption.startswith("|z| > 1.96: observed 0.67; expected")


def test_bins_are_a_number(made):
    with pytest.raises(DataError, match="bins: expected a positive whole number"):
        plot_z(fixed(made), bins=0)


# ---- names ------------------------------------------------------------------
def test_names_do_not_cover_points_or_each_other():
    x = np.array([1.0, 1.05, 5.0, 9.9])
    y = np.array([1.0, 1.0, 5.0, 9.0])
    layers = named_points(
        x, y, ["first", "second", "a$b", "last"], np.arange(4),
        Ends((0.0, 10.0), (0.0, 10.0)), Page(),
    )  # fmt: skip
    sides = {
        text: layer.aes_params["ha"] for layer in layers for text in layer.data["text"]
    }
    assert sides == {
        "first": "right", "second": "left", r"a\$b": "left", "last": "right",
    }  # fmt: skip
