"""The regions of the funnel plot against quadrature and simulation."""

from __future__ import annotations

import itertools
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from plot_ensembles import drawn, even, moderated
from plot_ensembles import ensemble as made_up
from scipy.integrate import quad
from scipy.stats import norm

import pyrobma as rb
from pyrobma.effects import transform_effect
from pyrobma.ensemble import NormalMixture
from pyrobma.ensemble.published import published_quantiles
from pyrobma.ensemble.scales import data_mean, data_sd
from pyrobma.errors import DataError
from pyrobma.plots.funnel import funnel_frame, plot_funnel

# Both sides search to far less than this.
BISECTION = 1e-8
# Four standard errors of a simulated 0.025 quantile: sqrt(.025 .975 / 4e5) / density.
SIMULATED = 0.02
LOGML = [-2.0, 0.5, -1.0, 0.9]
PROBS = (0.025, 0.5, 0.975)


@pytest.fixture
def ensemble(made):
    return made.ensemble(made.space(), LOGML)


def biased(made, bias, *, direction="positive", null=False):
    """An ensemble of one model of no effect and no heterogeneity under this bias."""
    spike = (rb.prior("spike", location=0),)
    space = rb.model_space(
        effect=(), effect_null=spike, heterogeneity=(), heterogeneity_null=spike,
        bias=() if null else (bias,), bias_null=(bias,) if null else (),
    )  # fmt: skip
    effects = rb.effect_sizes(d=[0.1, 0.3, 0.5], se=[0.1, 0.2, 0.4])
    fit = made.ensemble(space, [0.0], effects=effects)
    task = type(fit.task)(effects, "cohens_d", "linear", direction)
    return rb.RobmaFit(task, space, fit.fits, fit.settings, fit.seed)


def test_without_bias_the_region_is_the_mixture_of_normals(ensemble):
    frame = funnel_frame(ensemble, output_scale="fishers_z")
    region = frame[frame["part"] == "heterogeneity"]
    draws = ensemble.joint("mu", "tau", size=500)
    mean = data_mean(ensemble.task, draws["mu"])
    for row in region.iloc[[0, 20, 40]].itertuples():
        spread = np.hypot(data_sd(ensemble.task, draws["tau"]), row.se)
        wanted = NormalMixture(draws.weights, mean, spread).quantiles(PROBS)
        found = [row.lower, row.value, row.upper]
        np.testing.assert_allclose(found, wanted, atol=BISECTION)


def test_weights_of_one_select_nothing():
    rng = np.random.default_rng(1)
    weights, mean, sd = np.full(4, 0.25), rng.normal(size=(3, 4)), np.ones((3, 4))
    cuts = np.tile([-1.0, 0.3, 2.0], (3, 1))
    found = published_quantiles(weights, mean, sd, cuts, np.ones((4, 4)), PROBS)
    plain = [
        NormalMixture(weights, m, s).quantiles(PROBS)
        for m, s in zip(mean, sd, strict=True)
    ]
    np.testing.assert_allclose(found, np.transpose(plain), atol=BISECTION)


def test_a_fixed_weight_function_gives_the_integral_of_its_density(made):
    bias = rb.prior_weightfunction(
        "one.sided.fixed", steps=[0.025, 0.5], omega=[1, 0.4, 0.1]
    )
    frame = funnel_frame(biased(made, bias), output_scale="fishers_z")
    row = frame[frame["part"] == "publication bias"].iloc[30]
    cuts = [-np.inf, 0.0, norm.isf(0.025) * row["se"], np.inf]

    def mass(low, high):
        return quad(norm.pdf, low, high, args=(0, row["se"]), epsabs=1e-13)[0]

    pieces = list(zip((0.1, 0.4, 1.0), itertools.pairwise(cuts), strict=True))
    parts = [w * mass(low, high) for w, (low, high) in pieces]
    below = [
        w * mass(low, min(high, row["upper"]))
        for w, (low, high) in pieces
        if low < row["upper"]
    ]
    assert sum(below) / sum(parts) == pytest.approx(0.975, abs=BISECTION)


@pytest.mark.parametrize(("direction", "sign"), [("positive", 1), ("negative", -1)])
def test_regions_agree_with_simulated_selection(made, direction, sign):
    bias = rb.prior_weightfunction("one.sided.fixed", steps=[0.05], omega=[1, 0.2])
    frame = funnel_frame(
        biased(made, bias, direction=direction), output_scale="fishers_z"
    )
    row = frame[frame["part"] == "publication bias"].iloc[-1]
    rng = np.random.default_rng(2)
    y = rng.normal(0, row["se"], 1_000_000)
    p = norm.sf(sign * y / row["se"])
    y = y[rng.random(y.size) < np.where(p <= 0.05, 1.0, 0.2)]
    found = row[["lower", "value", "upper"]].to_numpy(float)
    np.testing.assert_allclose(
        found / row["se"], np.quantile(y, PROBS) / row["se"], atol=SIMULATED
    )


def test_two_sided_selection_is_symmetric_and_wider(made):
    bias = rb.prior_weightfunction("two.sided.fixed", steps=[0.05], omega=[1, 0.1])
    frame = funnel_frame(biased(made, bias), output_scale="fishers_z")
    chosen = frame[frame["part"] == "publication bias"]
    plain = frame[frame["part"] == "sampling error"]
    np.testing.assert_allclose(chosen["lower"], -chosen["upper"], atol=BISECTION)
    assert (chosen["upper"].to_numpy() > 1.1 * plain["upper"].to_numpy()).all()


def test_PET_moves_the_region_by_its_coefficient_times_the_se(made):
    bias = rb.prior_PET("spike", location=0.7)
    frame = funnel_frame(biased(made, bias), output_scale="fishers_z")
    row = frame[frame["part"] == "publication bias"].iloc[25]
    assert row["value"] == pytest.approx(0.7 * row["se"], abs=BISECTION)
    half = norm.isf(0.025) * row["se"]
    assert row["upper"] == pytest.approx(0.7 * row["se"] + half, abs=BISECTION)


def test_sampling_error_surrounds_the_averaged_mean(ensemble):
    frame = funnel_frame(ensemble, output_scale="fishers_z", n=5)
    region = frame[frame["part"] == "sampling error"]
    width = region["upper"] - region["lower"]
    np.testing.assert_allclose(width, 2 * norm.isf(0.025) * region["se"])
    draws = ensemble.joint("mu")
    mean = draws.weights @ data_mean(ensemble.task, draws["mu"])
    np.testing.assert_allclose(region["value"], mean)


def test_regions_can_be_left_out_and_bad_arguments_are_named(ensemble):
    frame = funnel_frame(ensemble, incorporate_heterogeneity=False)
    assert list(frame["part"].unique()) == ["estimate", "sampling error"]
    with pytest.raises(DataError, match=r"^n: "):
        funnel_frame(ensemble, n=1)
    with pytest.raises(DataError, match=r"^output_scale: "):
        funnel_frame(ensemble, output_scale="none")


@pytest.mark.parametrize(
    ("output_scale", "factor", "name"),
    [
        (None, 2.0, "Cohen's d"),  # d is twice Fisher's z at no effect
        ("r", 1.0, "Fisher's z"),
        ("OR", 2 * np.pi / np.sqrt(3), "log odds ratio"),
    ],
)
def test_standard_errors_are_on_the_scale_of_the_effects(
    ensemble, output_scale, factor, name
):
    frame = funnel_frame(ensemble, output_scale=output_scale)
    points = frame[frame["part"] == "estimate"]
    np.testing.assert_allclose(points["se"], factor * ensemble.task.effects.se)
    figure = plot_funnel(ensemble, output_scale=output_scale)
    assert figure.labels.y == f"Standard error ({name})"
    figure.save(buffer := BytesIO(), format="png")  # silently: warnings are errors
    assert buffer.getbuffer().nbytes


def shares_of(weights, omega, cuts, mean, n, rng):
    """Simulate estimates of N(mean, 1) that are published with their interval's omega.

    Returned with the weight of each: that of its component, over those published.
    """
    values, share = [], []
    for w, o, m in zip(weights, omega, mean, strict=True):
        y = rng.normal(m, 1.0, n)
        y = y[rng.random(n) < o[np.searchsorted(cuts, y)]]
        values.append(y)
        share.append(np.full(y.size, w / y.size))
    return np.concatenate(values), np.concatenate(share)


def test_draws_that_publish_little_count_as_much_as_others():
    # One publishes all, the other 2 % of what is not significant; their shares of the
    # published estimates are those of the draws, not of what they let through.
    weights = np.array([0.5, 0.5])
    omega = np.array([[1.0, 1.0], [0.02, 1.0]])
    mean, cuts = np.array([[-1.0, 1.0]]), np.array([[1.96]])
    found = published_quantiles(weights, mean, np.ones((1, 2)), cuts, omega, PROBS)
    rng = np.random.default_rng(3)
    y, share = shares_of(weights, omega, cuts[0], mean[0], 2_000_000, rng)
    wanted = np.quantile(y, PROBS, weights=share, method="inverted_cdf")
    np.testing.assert_allclose(found[:, 0], wanted, atol=SIMULATED)


@pytest.mark.parametrize(
    "bias",
    [
        rb.prior_PET("spike", location=0.7),
        rb.prior_weightfunction("one.sided.fixed", steps=[0.05], omega=[1, 0.2]),
    ],
)
def test_bias_that_is_given_as_the_null_has_a_region(made, bias):
    found = funnel_frame(biased(made, bias, null=True))
    assert "publication bias" in set(found["part"])
    pd.testing.assert_frame_equal(found, funnel_frame(biased(made, bias)))


@pytest.mark.parametrize("output_scale", [None, "cohens_d", "fishers_z", "OR"])
def test_regions_beyond_correlations_of_one_are_cut(made, output_scale):
    effects = rb.effect_sizes(
        r=[0.1, 0.3, 0.5, -0.4], n=[30, 20, 12, 25], transformation="r"
    )
    draws = {"mu": even(norm(0.1, 0.1)), "tau": even(norm(0.9, 0.05))}
    fit = made_up(
        made, made.space(hierarchical=False), LOGML, draws, effects=effects,
        prior_scale="r",
    )  # fmt: skip
    target = output_scale or "r"
    frame = funnel_frame(fit, output_scale=output_scale)
    lowest = {"r": -1.0, "OR": 0.0}.get(target, -np.inf)
    assert frame["lower"].min() == lowest
    figure = plot_funnel(fit, output_scale=output_scale)
    bound = 1.0 if target == "r" else transform_effect(0.9, "r", target)
    assert figure.data["value"].max() == pytest.approx(bound)
    least = 1 / bound if target == "OR" else -bound
    assert figure.data["value"].min() == pytest.approx(least)
    assert drawn(figure)


def test_estimates_are_taken_to_the_reference_of_the_moderators(made):
    data = pd.DataFrame({"x": np.linspace(0.0, 1.0, 8)})
    fit = moderated(made, "x", data, seed=1)
    frame = funnel_frame(fit)
    slope = fit.mixture("x").mean()
    column = fit.task.column("x")
    on_z = fit.task.effects.y - slope * column * rb.scale_factor(
        "cohens_d", "fishers_z"
    )
    wanted = transform_effect(on_z, "fishers_z", "cohens_d")
    # The figure thins its draws.
    np.testing.assert_allclose(frame["value"][:8], wanted, atol=0.02)
    assert abs(slope) * np.ptp(column) > 0.2
