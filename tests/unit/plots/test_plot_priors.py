"""Figures of priors: one alone, and all of an ensemble."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from plot_ensembles import HALF, NORMAL, SPIKE, drawn, ensemble, moderated
from plotnine.composition import Compose
from scipy import stats

import pyrobma as rb
from pyrobma.errors import DataError
from pyrobma.models import Task
from pyrobma.plots import plot_prior, plot_priors, prior_frame, priors_frame

# Sums and quotients of a few doubles.
ROUNDING = 1e-12
# Trapezoids between 512 points of a curve that is smooth.
TRAPEZOIDS = 1e-3
# Slopes of conversions are differences over 1e-6 of the window, at its ends one-sided.
SLOPE_RTOL = 1e-5
# Means of 20000 draws of sd 0.3 at most, and 95 % bands of them: five errors.
MONTE_CARLO = 0.02

RISING = rb.prior_weightfunction(
    "one.sided", steps=[0.05, 0.95], alpha1=[1, 1], alpha2=[1, 1]
)
KINDS = [
    NORMAL,
    HALF,
    SPIKE,
    rb.prior("cauchy", location=0, scale=1),
    rb.prior("beta", alpha=0.5, beta=0.5),
    rb.prior("inv_gamma", shape=1, scale=0.15),
    rb.prior("uniform", a=-1, b=3),
    rb.prior_PET("cauchy", location=0, scale=1),
    rb.prior_PEESE("cauchy", location=0, scale=5),
    rb.prior_weightfunction("two.sided", steps=[0.05, 0.1], alpha=[1, 1, 1]),
    rb.prior_weightfunction("one.sided.fixed", steps=[0.05], omega=[1, 0.5]),
    RISING,
    rb.prior_none(),
]


def planned(space, effects=None, **task):
    """An ensemble without fits: figures of priors need none."""
    if effects is None:
        effects = rb.effect_sizes(
            d=[0.1, 0.3, 0.2, 0], se=[0.1, 0.2, 0.3, 0.4], study_ids=[1, 1, 2, 2]
        )
    task = {"prior_scale": "cohens_d", **task}
    return rb.RobmaFit(Task(effects, **task), space, (), rb.SamplerSettings(), 3)


def default(**sides):
    return rb.model_space(
        effect=rb.default_priors("effect"),
        effect_null=(SPIKE,),
        heterogeneity=rb.default_priors("heterogeneity"),
        heterogeneity_null=(SPIKE,),
        **sides,
    )


def area(rows):
    return np.trapezoid(rows["density"], rows["x"])


# ---- one prior --------------------------------------------------------------------


@pytest.mark.parametrize("made", KINDS, ids=str)
def test_every_kind_of_prior_can_be_drawn(made):
    assert drawn(made.plot())


@pytest.mark.parametrize("made", [HALF, SPIKE, RISING], ids=str)
def test_a_figure_has_the_width_and_the_title_that_are_asked_for(made):
    figure = made.plot(width=3.5, title="A title")
    assert figure.theme.getp("figure_size")[0] == 3.5
    assert figure.labels.x == "A title"
    assert drawn(figure)


def test_the_density_of_a_figure_is_that_of_the_prior():
    frame = prior_frame(NORMAL)
    expected = stats.norm.pdf(frame["x"])
    np.testing.assert_allclose(frame["density"], expected, rtol=ROUNDING)
    assert set(frame["prior"]) == {"Normal(0, 1)"}
    assert set(frame["kind"]) == {"density"}
    assert (frame["probability"] == 1).all()


@pytest.mark.parametrize(
    "made", [p for p in KINDS if isinstance(p, rb.Prior) and not p.is_spike], ids=str
)
def test_a_figure_shows_the_middle_of_a_prior_at_least(made):
    x = prior_frame(made)["x"]
    low, high = made.quantile([0.1, 0.9])
    assert x.min() <= low
    assert x.max() >= high
    assert made.lower <= x.min()
    assert x.max() <= made.upper


def test_a_figure_starts_at_the_end_of_a_support_nearby():
    assert prior_frame(HALF)["x"].min() == 0
    assert prior_frame(rb.prior("beta", alpha=2, beta=2))["x"].max() == 1


def test_a_narrow_density_is_not_lost_between_wide_tails():
    # The density of a Cauchy is 2 % of its peak at sqrt(49) scales.
    x = prior_frame(rb.prior("cauchy", location=3, scale=2))["x"]
    assert (x.min(), x.max()) == pytest.approx((3 - 14, 3 + 14), abs=0.4)


def test_the_ends_of_a_figure_can_be_chosen():
    assert set(prior_frame(NORMAL, xlim=(1, 2), n=2)["x"]) == {1, 2}
    assert set(prior_frame(HALF, xlim=(-1, 2), n=2)["x"]) == {0, 2}


def test_a_spike_is_a_row_of_its_own():
    (row,) = prior_frame(rb.prior("spike", location=0.3)).to_dict("records")
    assert (row["kind"], row["x"], row["probability"]) == ("spike", 0.3, 1)
    assert math.isnan(row["density"])


def test_weights_have_their_mean_and_the_quantiles_of_their_betas():
    frame = prior_frame(
        rb.prior_weightfunction("one.sided", steps=[0.025, 0.05], alpha=[1, 1, 1]),
        probs=(0.25, 0.75),
    )
    np.testing.assert_allclose(frame["p_to"], [0.025, 0.05, 1])
    np.testing.assert_allclose(frame["x_to"], [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(frame["mean"], [1, 2 / 3, 1 / 3], rtol=ROUNDING)
    # Beta(2, 1) has x**2 below x, Beta(1, 2) has (1 - x)**2 above.
    lower = [1, 0.25**0.5, 1 - 0.75**0.5]
    upper = [1, 0.75**0.5, 1 - 0.25**0.5]
    np.testing.assert_allclose(frame["lower"], lower, rtol=ROUNDING)
    np.testing.assert_allclose(frame["upper"], upper, rtol=ROUNDING)


def test_weights_that_rise_again_are_drawn_from_draws():
    frame = prior_frame(RISING)
    # omega_2 is uniform; omega_3 = omega_2 + (1 - omega_2) V with V uniform.
    np.testing.assert_allclose(frame["mean"], [1, 0.5, 0.75], atol=MONTE_CARLO)
    assert frame["lower"][1] == pytest.approx(0.025, abs=MONTE_CARLO)


def test_a_figure_of_weights_is_the_same_each_time():
    assert prior_frame(RISING).equals(prior_frame(RISING))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"xlim": (2, 1)}, r"^xlim: expected two increasing numbers around values of"),
        ({"xlim": (-math.inf, 1)}, r"^xlim: "),
        ({"n": 1}, r"^n: expected a number of points"),
        ({"probs": (0.9, 0.1)}, r"^probs: "),
    ],
)
def test_options_that_make_no_figure_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        NORMAL.plot(**options)


def test_ends_beyond_the_support_are_refused():
    with pytest.raises(DataError, match=r"^xlim: expected .* values of Normal\(0, 1\)"):
        HALF.plot(xlim=(-2, -1))


def test_something_else_than_a_prior_is_refused():
    with pytest.raises(DataError, match=r"^prior: expected prior\(\.\.\.\)"):
        plot_prior("Normal(0, 1)")


def test_a_size_is_positive():
    with pytest.raises(DataError, match=r"^width: expected a positive number"):
        NORMAL.plot(width=0)


# ---- all priors -------------------------------------------------------------------


def psma():
    return planned(
        default(
            bias=rb.default_bias("PSMA"),
            hierarchical=rb.default_priors("hierarchical"),
        )
    )


def test_every_parameter_has_its_prior_over_all_models():
    frame = priors_frame(psma())
    names = ["mu", "tau", "rho", "PET", "PEESE", "omega"]
    assert list(dict.fromkeys(frame["parameter"])) == names
    spikes = frame[frame["kind"] == "spike"].set_index("parameter")["probability"]
    assert spikes.to_dict() == pytest.approx(
        {"mu": 0.5, "tau": 0.5, "PET": 0.875, "PEESE": 0.875}
    )
    weights = frame[frame["kind"] == "weight"]
    np.testing.assert_allclose(weights["probability"], 0.25)


def test_the_area_of_a_density_is_its_prior_probability():
    frame = priors_frame(psma())
    for name, own, probability in [
        ("mu", NORMAL, 0.5),
        ("tau", rb.prior("inv_gamma", shape=1, scale=0.15), 0.5),
        ("PET", rb.prior("cauchy", location=0, scale=1, lower=0), 0.125),
    ]:
        rows = frame[(frame["parameter"] == name) & (frame["kind"] == "density")]
        shown = np.diff(own.cdf([rows["x"].min(), rows["x"].max()]))[0]
        assert area(rows) == pytest.approx(probability * shown, rel=TRAPEZOIDS)


def test_a_correlation_is_that_of_models_that_have_it():
    rho = priors_frame(psma()).query("parameter == 'rho'")
    assert set(rho["kind"]) == {"density"}
    np.testing.assert_allclose(rho["density"], 1)


def test_weights_are_averaged_over_models_with_selection():
    functions = [
        rb.prior_weightfunction("one.sided.fixed", steps=[0.05], omega=[1, w])
        for w in (0.2, 0.6)
    ]
    frame = priors_frame(planned(default(bias=functions)))
    weights = frame[frame["kind"] == "weight"]
    np.testing.assert_allclose(weights["mean"], [1, 0.4], rtol=ROUNDING)
    np.testing.assert_allclose(weights["lower"], [1, 0.2], rtol=ROUNDING)
    # One of three equally likely biases is none.
    np.testing.assert_allclose(weights["probability"], 2 / 3, rtol=ROUNDING)


def test_several_priors_of_a_parameter_are_told_apart():
    other = rb.prior("cauchy", location=0, scale=0.7, lower=0, prior_weight=2)
    space = rb.model_space(
        effect=(NORMAL, other), effect_null=(SPIKE,), heterogeneity_null=(SPIKE,)
    )
    frame = priors_frame(planned(space)).query("parameter == 'mu'")
    assert frame.groupby("prior")["probability"].first().to_dict() == pytest.approx(
        {"Normal(0, 1)": 1 / 4, str(other): 1 / 2, "Spike(0)": 1 / 4}
    )
    assert frame.loc[frame["prior"] == str(other), "x"].min() == 0
    assert drawn(plot_priors(planned(space)))


def test_densities_follow_the_output_scale():
    frame = priors_frame(psma(), output_scale="OR")
    rows = frame[(frame["parameter"] == "mu") & (frame["kind"] == "density")]
    # logOR = d pi / sqrt(3), so that an odds ratio is lognormal.
    expected = stats.lognorm.pdf(rows["x"], s=math.pi / math.sqrt(3)) / 2
    np.testing.assert_allclose(rows["density"], expected, rtol=SLOPE_RTOL)
    spike = frame[(frame["parameter"] == "mu") & (frame["kind"] == "spike")]
    assert spike["x"].tolist() == [1]


def test_a_correlation_scale_is_left_inside_its_ends():
    effect = rb.prior("normal", mean=0, sd=2, lower=-1, upper=1)
    space = rb.model_space(effect=(effect,), heterogeneity_null=(SPIKE,))
    made = planned(space, rb.effect_sizes(r=[0.1, 0.2], n=[20, 30]), prior_scale="r")
    rows = priors_frame(made, output_scale="fishers_z").query("kind == 'density'")
    assert np.isfinite(rows["x"]).all()


def panels(figure):
    """Return the panels of a page, whose rows are pages too."""
    rows = (panels(one) if isinstance(one, Compose) else [one] for one in figure)
    return [panel for row in rows for panel in row]


def headings(figure):
    return [(one.labels.title, one.labels.subtitle) for one in panels(figure)]


def test_a_panel_says_its_prior_in_words():
    assert headings(plot_priors(psma())) == [
        ("Effect", "Normal(0, 1), P = 0.500"),
        ("Heterogeneity", "InvGamma(1, 0.15), P = 0.500"),
        ("Correlation within clusters", "Beta(1, 1), P = 1.000 given heterogeneity"),
        ("PET coefficient", "Cauchy(0, 1)[0, Inf], P = 0.125"),
        ("PEESE coefficient", "Cauchy(0, 5)[0, Inf], P = 0.125"),
        ("Publication weights", "6 weight functions, P = 0.250"),
    ]


def test_a_panel_says_which_measure_its_prior_is_on():
    found = dict(headings(plot_priors(psma(), output_scale="r")))
    assert found["Effect"] == "Normal(0, 1) on Cohen's d, P = 0.500"
    assert found["PET coefficient"] == "Cauchy(0, 1)[0, Inf], P = 0.125"


@pytest.mark.parametrize("width", [None, 3.5, 7])
def test_a_page_of_priors_can_be_drawn_at_any_width(width):
    assert drawn(plot_priors(psma(), width=width))


def test_an_ensemble_of_one_model_has_a_figure():
    space = rb.model_space(effect=(NORMAL,), heterogeneity_null=(SPIKE,))
    assert drawn(plot_priors(planned(space)))


def test_the_figure_is_the_same_before_and_after_the_fit(made):
    space = rb.model_space(effect=(NORMAL,), heterogeneity_null=(SPIKE,))
    fit = ensemble(made, space, [0.0], {"mu": np.zeros((2, 100))})
    assert priors_frame(fit).equals(priors_frame(planned(space)))
    assert drawn(fit.plot_priors())


# ---- moderators -------------------------------------------------------------------

DATA = pd.DataFrame({"group": list("abcabc"), "age": [1.0, 2, 4, 3, 5, 7]})


def test_a_moderator_has_one_panel_for_equal_priors(made):
    fit = moderated(made, "group + age", DATA)
    frame = priors_frame(fit)
    # Two coefficients of three levels have one panel.
    names = ["mu", "tau", "group[1]", "age"]
    assert list(dict.fromkeys(frame["parameter"])) == names
    assert headings(plot_priors(fit))[2:] == [
        ("group", "Normal(0, 0.25), P = 0.500"),
        ("age", "Normal(0, 0.25), P = 0.500"),
    ]
    assert drawn(plot_priors(fit))


def titles(figure):
    return [one.labels.x for one in panels(figure)]


@pytest.mark.parametrize(
    ("contrasts", "title"),
    [
        ("meandif", "Deviation of group from the mean of its levels (Cohen's d)"),
        ("treatment", "Difference of group from a (Cohen's d)"),
        # A deviation is narrower than a coefficient then.
        ("orthonormal", "Coefficient of group[1] (Cohen's d)"),
    ],
)
def test_the_axis_says_what_has_the_prior_of_a_factor(made, contrasts, title):
    fit = moderated(made, "group", DATA, coding={"contrasts": contrasts})
    assert title in titles(plot_priors(fit))


# ---- refused ----------------------------------------------------------------------


def test_an_unknown_scale_is_refused():
    with pytest.raises(DataError, match=r"^output_scale: "):
        plot_priors(psma(), output_scale="inches")
