"""Posterior densities with spikes: areas, bounds, scales and what is written."""

from __future__ import annotations

import numpy as np
import pytest
from plot_ensembles import HALF, NORMAL, SPIKE, drawn, ensemble, even, texts
from scipy import stats

import pyrobma as rb
from pyrobma.effects import transform_effect
from pyrobma.ensemble.kernel import bandwidth, smooth
from pyrobma.plots.labels import parameter_title
from pyrobma.plots.posterior import plot_posterior, posterior_frame
from pyrobma.plots.posterior_drawing import draw_posterior

# Sums and quotients of a few doubles.
ROUNDING = 1e-12
# Tails that are left out, and trapezoids between 512 points.
AREA = 2e-3
# Of the peak: the kernel widens a normal density of 2000 draws by some 2.5 percent.
KERNEL = 0.04
# Central differences of g, and the rounding in them.
JACOBIAN = 1e-6
MU = stats.norm(0.2, 0.1)
TAU = stats.lognorm(0.3, scale=0.3)
LOGML = [-2.0, 0.5, -1.0, 0.9]


@pytest.fixture(scope="module")
def four(made):
    return ensemble(
        made, made.space(hierarchical=False), LOGML, {"mu": even(MU), "tau": even(TAU)}
    )


def parts(frame, which="posterior"):
    rows = frame[frame["which"] == which]
    curve = rows[rows["kind"] == "density"]
    return (
        curve["x"].to_numpy(),
        curve["density"].to_numpy(),
        rows[rows["kind"] == "spike"].set_index("x")["probability"],
    )


@pytest.mark.parametrize("scale", [None, "r", "OR", "logOR", "fishers_z"])
def test_area_and_spikes_share_the_probability_on_every_scale(four, scale):
    x, height, spikes = parts(posterior_frame(four, "mu", output_scale=scale))
    at_zero = four.post_prob[:2].sum()
    assert spikes.tolist() == [pytest.approx(at_zero, rel=ROUNDING)]
    assert spikes.index.tolist() == [1.0 if scale == "OR" else 0.0]
    assert np.trapezoid(height, x) == pytest.approx(1 - at_zero, abs=AREA)


def test_density_is_that_of_the_draws(four):
    x, height, _ = parts(posterior_frame(four, "mu", conditional=True))
    assert np.abs(height - MU.pdf(x)).max() < KERNEL * MU.pdf(0.2)


def test_density_on_an_output_scale_is_that_of_transformed_draws(four):
    x, height, _ = parts(
        posterior_frame(four, "mu", conditional=True, output_scale="logOR")
    )
    factor = np.pi / np.sqrt(3)
    expected = stats.norm(0.2 * factor, 0.1 * factor).pdf(x)
    assert np.abs(height - expected).max() < KERNEL * expected.max()
    x, height, _ = parts(
        posterior_frame(four, "mu", conditional=True, output_scale="OR")
    )
    expected = stats.lognorm(0.1 * factor, scale=np.exp(0.2 * factor)).pdf(x)
    assert np.abs(height - expected).max() < KERNEL * expected.max()


@pytest.mark.parametrize("scale", ["r", "OR", "fishers_z"])
def test_prior_has_its_exact_density_and_spikes(four, scale):
    frame = posterior_frame(four, "mu", prior=True, output_scale=scale)
    x, height, spikes = parts(frame, "prior")
    d = transform_effect(x, scale, "cohens_d")
    step = 1e-5
    slope = (
        transform_effect(d + step, "cohens_d", scale)
        - transform_effect(d - step, "cohens_d", scale)
    ) / (2 * step)
    expected = 0.5 * stats.norm.pdf(d) / slope
    # The ends of the window have differences of one side only.
    np.testing.assert_allclose(height[1:-1], expected[1:-1], rtol=10 * JACOBIAN)
    assert spikes.tolist() == [0.5]


def test_reported_probability_is_averaged_with_posterior_model_probabilities(made):
    space = rb.model_space(
        effect=(NORMAL, rb.prior("normal", mean=0, sd=2)), heterogeneity_null=(SPIKE,)
    )
    one, two = stats.norm(-1, 0.2), stats.norm(1, 0.1)
    fit = ensemble(
        made, space, [0.0, 1.0], {1: {"mu": even(one)}, 2: {"mu": even(two)}}
    )
    x, height, spikes = parts(posterior_frame(fit, "mu"))
    p = 1 / (1 + np.exp(1))
    expected = p * one.pdf(x) + (1 - p) * two.pdf(x)
    assert np.abs(height - expected).max() < KERNEL * expected.max()
    assert spikes.empty


def test_nothing_is_drawn_below_zero_and_nothing_dips_there():
    x = np.linspace(-0.5, 3, 400)
    height = smooth(even(stats.expon()).ravel(), 0.0, np.inf, x)
    assert not height[x < 0].any()
    near = x[(x >= 0) & (x < 0.02)]
    # A reflected kernel is flat at the end: it falls short by half a bandwidth.
    np.testing.assert_allclose(
        smooth(even(stats.expon()).ravel(), 0, np.inf, near), 1.0, atol=0.2
    )
    assert height.argmax() == np.searchsorted(x, 0.0)


def test_a_density_with_two_bounds_is_flat_up_to_both():
    x = np.linspace(0, 1, 101)
    height = smooth(even(stats.uniform()).ravel(), 0.0, 1.0, x)
    # Binning of evenly spaced draws.
    np.testing.assert_allclose(height, 1.0, atol=0.03)
    assert not smooth(
        even(stats.uniform()).ravel(), 0.0, 1.0, np.array([-0.01, 1.01])
    ).any()


def test_far_tails_do_not_coarsen_the_bulk():
    draws = np.abs(even(stats.cauchy())).ravel()
    x = np.linspace(0, 3, 50)
    kernel = stats.norm(scale=bandwidth(draws))
    reflected = kernel.pdf(x[:, None] - draws) + kernel.pdf(x[:, None] + draws)
    found = smooth(draws, 0.0, np.inf, x)
    # 48 bins a bandwidth.
    np.testing.assert_allclose(found, reflected.mean(axis=1), rtol=2e-3)


def test_the_density_of_a_truncated_prior_ends_at_its_bound(made):
    space = rb.model_space(effect=(NORMAL, HALF), heterogeneity_null=(SPIKE,))
    half = even(stats.halfnorm(scale=0.2))
    fit = ensemble(made, space, [0, 0], {1: {"mu": even(MU) - 0.2}, 2: {"mu": half}})
    x, height, _ = parts(posterior_frame(fit, "mu", prior=True))
    assert (x == 0).any()
    at = int(np.flatnonzero(x == 0)[0])
    # The half-normal model begins at 0 with half of 2 phi(0) / 0.2.
    jump = 0.5 * stats.halfnorm(scale=0.2).pdf(0)
    assert height[at] - height[at - 1] == pytest.approx(jump, rel=0.05)
    x, height, _ = parts(posterior_frame(fit, "mu", prior=True), "prior")
    expected = 0.5 * stats.norm.pdf(x) + np.where(x >= 0, stats.norm.pdf(x), 0)
    np.testing.assert_allclose(height, expected, rtol=10 * JACOBIAN)


def test_a_conditional_posterior_has_no_spike(four):
    frame = posterior_frame(four, "tau", conditional=True, prior=True)
    assert set(frame["kind"]) == {"density"}
    assert (frame["x"] >= 0).all()
    x, height, _ = parts(frame)
    assert np.trapezoid(height, x) == pytest.approx(1, abs=AREA)


def test_an_ensemble_of_constants_has_spikes_only(made):
    other = rb.prior("spike", location=0.5)
    space = rb.model_space(
        effect=(other,), effect_null=(SPIKE,), heterogeneity_null=(SPIKE,)
    )
    fit = ensemble(made, space, [0.0, 1.0], {})
    frame = posterior_frame(fit, "mu", prior=True)
    assert set(frame["kind"]) == {"spike"}
    p = 1 / (1 + np.exp(1))
    np.testing.assert_allclose(parts(frame)[2], [p, 1 - p], rtol=ROUNDING)
    figure = plot_posterior(fit, "mu", prior=True)
    assert figure.labels.y == "Probability"
    assert drawn(figure)


def test_a_spike_that_the_data_exclude_keeps_its_row(made):
    space = made.space(hierarchical=False)
    draws = {"mu": even(MU), "tau": even(TAU)}
    fit = ensemble(made, space, [-2000, -2000, -2000, 0], draws)
    spikes = parts(posterior_frame(fit, "mu"))[2]
    assert spikes.tolist() == [0.0]


def test_tau_and_the_coefficients_of_bias_are_carried_linearly(made):
    space = rb.model_space(
        effect=(NORMAL,), heterogeneity=rb.default_priors("heterogeneity"),
        bias=(rb.prior_PEESE("cauchy", location=0, scale=5),), bias_null=(),
    )  # fmt: skip
    draws = {
        "mu": even(MU),
        "tau": even(TAU),
        "PEESE": even(stats.lognorm(0.3, scale=5)),
    }
    fit = ensemble(made, space, [0.0], draws)
    ours, theirs = (
        posterior_frame(fit, "PEESE", output_scale=scale) for scale in (None, "logOR")
    )
    factor = np.pi / np.sqrt(3)
    np.testing.assert_allclose(theirs["x"] * factor, ours["x"], rtol=1e-9)
    np.testing.assert_allclose(
        theirs["density"], ours["density"] * factor, rtol=JACOBIAN, atol=1e-12
    )
    x, height, _ = parts(posterior_frame(fit, "tau", output_scale="r"))
    assert np.trapezoid(height * x, x) == pytest.approx(TAU.mean() / 2, rel=0.01)


def test_a_prior_does_not_push_the_posterior_into_a_corner(four):
    alone, both = (posterior_frame(four, "mu", prior=p)["x"] for p in (False, True))
    assert np.ptp(both) <= 3.01 * np.ptp(alone)


def test_a_prior_far_from_the_posterior_leaves_it_its_window(made):
    far = rb.prior("normal", mean=0, sd=0.1)
    space = rb.model_space(effect=(far,), heterogeneity_null=(SPIKE,))
    fit = ensemble(made, space, [0.0], {"mu": even(stats.norm(9, 0.1))})
    alone, both = (posterior_frame(fit, "mu", prior=p)["x"] for p in (False, True))
    assert both.min() <= alone.min() < alone.max() <= both.max()
    assert np.ptp(both) <= 3.01 * np.ptp(alone)


def test_a_prior_scale_with_ends_keeps_to_its_inside(made):
    bounded = rb.prior("normal", mean=0, sd=0.5, lower=-1, upper=1)
    space = rb.model_space(effect=(bounded,), heterogeneity_null=(SPIKE,))
    draws = {"mu": even(stats.uniform(-0.95, 1.9))}
    fit = ensemble(made, space, [0.0], draws, prior_scale="r")
    for scale in (None, "cohens_d"):
        frame = posterior_frame(fit, "mu", prior=True, output_scale=scale)
        assert np.isfinite(frame[["x", "density"]].to_numpy()).all()
    assert drawn(plot_posterior(fit, "mu", prior=True, output_scale="cohens_d"))


@pytest.mark.parametrize(
    ("parameter", "options", "message"),
    [
        ("omega[0,0.025]", {}, r"parameter: .* See plot_weightfunction"),
        ("theta", {}, r"parameter: expected one of mu, tau"),
        ("rho", {}, r"parameter: expected one of mu, tau; got 'rho'"),
        ("mu", {"n": 1}, r"n: expected"),
        ("mu", {"output_scale": "none"}, r"output_scale: expected"),
    ],
)
def test_what_cannot_be_drawn_is_refused(four, parameter, options, message):
    with pytest.raises(rb.DataError, match=message):
        posterior_frame(four, parameter, **options)


def test_conditional_on_what_no_model_has_is_refused(made):
    space = rb.model_space(effect_null=(SPIKE,), heterogeneity_null=(SPIKE,))
    with pytest.raises(rb.DataError, match="conditional: expected"):
        plot_posterior(ensemble(made, space, [0.0], {}), "mu", conditional=True)


def test_probabilities_of_spikes_are_written(four):
    figure = plot_posterior(four, "mu", prior=True, output_scale="OR")
    p = four.post_prob[:2].sum()
    assert texts(figure) == [f"P(μ = 1) = {p:.3f}", "prior 0.500"]
    assert figure.labels.x == "Effect (odds ratio)"
    assert drawn(figure)


def test_a_second_axis_shows_probabilities_at_the_height_of_the_bars(four):
    figure = plot_posterior(four, "tau")
    canvas = figure.draw()
    canvas.draw_without_rendering()
    panel = canvas.axes[0]
    (axis,) = panel.child_axes
    assert axis.get_ylabel() == "Probability"
    low, high = panel.get_ylim()
    bar = next(layer._data for layer in figure.layers if "height" in layer._data)[
        "height"
    ].iloc[0]
    top = bar / four.post_prob[[0, 2]].sum()
    np.testing.assert_allclose(axis.get_ylim(), [low / top, high / top], rtol=ROUNDING)


def test_the_second_axis_has_text_of_the_size_of_the_first(four):
    frame = posterior_frame(four, "mu")
    canvas = draw_posterior(frame, symbol="μ", title="Effect", size=7).draw()
    (axis,) = canvas.axes[0].child_axes
    assert axis.yaxis.label.get_size() == 7
    (tick, *_) = axis.get_yticklabels()
    assert tick.get_size() == pytest.approx(5.6, rel=ROUNDING)


def test_captions_of_neighbouring_spikes_are_on_different_lines(made):
    near = [rb.prior("spike", location=x) for x in (0.3, 0.31, 5.0)]
    space = rb.model_space(
        effect=near, effect_null=(SPIKE,), heterogeneity_null=(SPIKE,)
    )
    figure = plot_posterior(ensemble(made, space, [0.0] * 4, {}), "mu")
    rows = [x._data for x in figure.layers if "label" in x.mapping]
    height = {row["label"]: row["y"] for some in rows for _, row in some.iterrows()}
    heights = [height[f"P(μ = {x}) = 0.250"] for x in ("0", "0.3", "0.31", "5")]
    assert len(set(heights[:3])) == 3
    assert heights[3] == heights[0]


def test_a_small_chance_does_not_fill_the_figure(made):
    space = made.space(hierarchical=False)
    draws = {"mu": even(MU), "tau": even(TAU)}
    rare = ensemble(made, space, [0, 0, -5, -5], draws)
    _, high = plot_posterior(rare, "mu").coordinates.limits.y
    share = rare.post_prob[2:].sum()
    peak = posterior_frame(rare, "mu")["density"].max()
    assert peak / high < share / 0.1
    assert drawn(plot_posterior(rare, "mu", prior=True))


def test_a_single_model_without_spikes_has_one_axis(made):
    space = made.space(hierarchical=False, null=False)
    fit = ensemble(made, space, [0.0], {"mu": even(MU), "tau": even(TAU)})
    figure = plot_posterior(fit, "mu", output_scale="r")
    assert not figure.draw().axes[0].child_axes
    assert texts(figure) == []
    assert figure.labels.y == "Density"
    conditional = plot_posterior(fit, "tau", conditional=True, output_scale="r")
    assert conditional.labels.x == "Conditional heterogeneity (Fisher's z)"


@pytest.mark.parametrize(
    ("prior_scale", "parameter", "output_scale", "title"),
    [
        ("r", "tau", None, "Heterogeneity (correlation)"),
        ("r", "tau", "r", "Heterogeneity (correlation)"),
        ("cohens_d", "tau", "r", "Heterogeneity (Fisher's z)"),
        ("r", "tau", "OR", "Heterogeneity (log odds ratio)"),
        ("r", "PEESE", None, "PEESE coefficient (per unit of correlation)"),
        ("none", "PEESE", None, "PEESE coefficient (per unit of the data)"),
        ("none", "tau", None, "Heterogeneity (units of the data)"),
    ],
)
def test_axes_name_the_measure_that_values_are_on(
    made, prior_scale, parameter, output_scale, title
):
    effects = (
        rb.effect_sizes(y=[1.0, 2.0], se=[0.1, 0.2])
        if prior_scale == "none"
        else rb.effect_sizes(r=[0.1, 0.2], n=[20, 30], transformation="r")
    )
    fit = made.ensemble(
        made.space(), [0.0] * 4, effects=effects, prior_scale=prior_scale
    )
    assert parameter_title(fit, parameter, output_scale) == title
