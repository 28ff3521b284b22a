"""The regression of effects on standard errors, against draws and closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from plot_ensembles import NORMAL, SPIKE, drawn, ensemble, even
from scipy import stats

import pyrobma as rb
from pyrobma.effects import transform_effect
from pyrobma.plots.pet_peese import pet_peese_frame, plot_pet_peese

# Sums and quotients of a few doubles.
ROUNDING = 1e-12
# Quantiles in the tails of 10000 draws and more, five standard errors.
MONTE_CARLO = 0.15
MU, PET, PEESE = stats.norm(0.2, 0.1), stats.halfnorm(scale=1), stats.halfnorm(scale=3)
D = [0.1, 0.3, -0.1, 0.5]
LEVELS = (0.025, 0.5, 0.975)


def regression(made, *bias, effect=(NORMAL,), effect_null=(), null=False, **task):
    space = rb.model_space(
        effect=effect,
        effect_null=effect_null,
        heterogeneity_null=(SPIKE,),
        bias=bias,
        bias_null=(rb.prior_none(),) if null else (),
    )
    rng = np.random.default_rng(2)
    draws = {"mu": even(MU), "PET": even(PET), "PEESE": even(PEESE)}
    draws = {k: rng.permutation(v.ravel()).reshape(v.shape) for k, v in draws.items()}
    logml = np.linspace(0, 1, len(space))
    return ensemble(made, space, logml, draws, **task), draws


def curve(frame, kind="posterior"):
    rows = frame[frame["kind"] == kind]
    return rows["se"].to_numpy(), rows[["lower", "effect", "upper"]].to_numpy()


PET_PRIOR = rb.prior_PET("cauchy", location=0, scale=1)
PEESE_PRIOR = rb.prior_PEESE("cauchy", location=0, scale=5)


@pytest.mark.parametrize("direction", ["positive", "negative"])
def test_the_line_and_the_band_are_quantiles_over_draws(made, direction):
    fit, draws = regression(made, PET_PRIOR, effect_direction=direction)
    se, found = curve(pet_peese_frame(fit, n=5))
    assert se[0] == 0
    # Half of Cohen's d is Fisher's z at no effect, and so are their standard errors.
    assert se[-1] == pytest.approx(2.1 * fit.task.effects.se.max(), rel=ROUNDING)
    sign = 1 if direction == "positive" else -1
    each = draws["mu"].ravel() + sign * se[:, None] * draws["PET"].ravel()
    expected = np.quantile(each, LEVELS, axis=1, method="inverted_cdf").T
    np.testing.assert_allclose(found, expected, rtol=ROUNDING)


def test_peese_is_a_coefficient_per_unit_of_the_prior_scale(made):
    fit, draws = regression(made, PEESE_PRIOR)
    se, found = curve(pet_peese_frame(fit, n=4))
    each = draws["mu"].ravel() + draws["PEESE"].ravel() * se[:, None] ** 2
    expected = np.quantile(each, LEVELS, axis=1, method="inverted_cdf").T
    np.testing.assert_allclose(found, expected, rtol=ROUNDING)


def test_at_a_standard_error_of_zero_the_line_is_the_effect(made):
    fit, _ = regression(made, PET_PRIOR, PEESE_PRIOR, effect_null=(SPIKE,), null=True)
    for scale in (None, "OR", "r"):
        _, found = curve(pet_peese_frame(fit, output_scale=scale))
        expected = fit.mixture("mu", output_scale=scale).quantiles(LEVELS)
        # The joint draws are a thinned selection of the mixture's.
        np.testing.assert_allclose(found[0], expected, atol=0.02)


def test_output_scales_are_carried_point_by_point(made):
    fit, _ = regression(made, PET_PRIOR)
    on_d, on_r = (
        curve(pet_peese_frame(fit, output_scale=s, n=7))[1] for s in (None, "r")
    )
    np.testing.assert_allclose(
        on_r, transform_effect(on_d, "cohens_d", "r"), rtol=ROUNDING
    )


def test_estimates_are_shown_with_their_standard_errors(made):
    fit, _ = regression(made, PET_PRIOR)
    points = pet_peese_frame(fit).query("kind == 'estimate'")
    np.testing.assert_allclose(points["effect"], D, rtol=ROUNDING)
    np.testing.assert_allclose(points["se"], 2 * fit.task.effects.se, rtol=ROUNDING)
    on_r = pet_peese_frame(fit, output_scale="r").query("kind == 'estimate'")
    np.testing.assert_array_equal(on_r["se"], fit.task.effects.se)
    assert points["lower"].isna().all()
    assert list(points["name"]) == list(fit.task.effects.names)


def test_conditional_is_over_models_with_an_effect_and_a_regression(made):
    fit, draws = regression(made, PET_PRIOR, effect_null=(SPIKE,), null=True)
    se, found = curve(pet_peese_frame(fit, conditional=True, n=3))
    each = draws["mu"].ravel() + se[:, None] * draws["PET"].ravel()
    expected = np.quantile(each, LEVELS, axis=1, method="inverted_cdf").T
    np.testing.assert_allclose(found, expected, rtol=ROUNDING)


def test_the_prior_has_quantiles_of_its_distributions(made):
    fit, _ = regression(made, PET_PRIOR)
    se, found = curve(pet_peese_frame(fit, prior=True, n=3), "prior")
    np.testing.assert_allclose(found[0], stats.norm.ppf(LEVELS), atol=MONTE_CARLO)
    # Far out PET is all: the median of the half-Cauchy distribution is 1.
    x = np.linspace(0, 50, 2001)
    shares = 2 * stats.cauchy.pdf(x) * (x[1] - x[0])

    def cdf(value):
        inside = stats.norm.cdf(value - se[-1] * x) * shares
        return inside.sum() - (inside[0] + inside[-1]) / 2

    assert cdf(found[-1, 1]) == pytest.approx(0.5, abs=0.02)


def test_the_conditional_prior_is_that_of_models_with_effect_and_regression(made):
    shifted = rb.prior("normal", mean=3, sd=1)
    fit, _ = regression(
        made, PET_PRIOR, effect=(shifted,), effect_null=(SPIKE,), null=True
    )
    _, found = curve(pet_peese_frame(fit, prior=True, conditional=True, n=3), "prior")
    wanted = 3 + stats.norm.ppf(LEVELS)
    np.testing.assert_allclose(found[0], wanted, atol=MONTE_CARLO)
    # Of all models, half say that there is no effect.
    _, averaged = curve(pet_peese_frame(fit, prior=True, n=3), "prior")
    half = 3 + stats.norm.ppf(2 * 0.975 - 1)
    assert averaged[0, 0] == pytest.approx(0, abs=MONTE_CARLO)
    assert averaged[0, 2] == pytest.approx(half, abs=MONTE_CARLO)
    # All of the conditional models have PET, and only half of all with an effect.
    fit, _ = regression(made, PET_PRIOR, null=True)
    _, found = curve(pet_peese_frame(fit, prior=True, conditional=True, n=3), "prior")
    _, averaged = curve(pet_peese_frame(fit, prior=True, n=3), "prior")
    alone, _ = regression(made, PET_PRIOR)
    _, wanted = curve(pet_peese_frame(alone, prior=True, n=3), "prior")
    np.testing.assert_allclose(found[-1, :2], wanted[-1, :2], atol=MONTE_CARLO)
    assert averaged[-1, 1] < wanted[-1, 1] / 1.5


def test_a_regression_that_is_given_as_the_null_is_drawn(made):
    draws = {"mu": even(MU), "PET": even(PET)}
    as_null, as_alternative = (
        ensemble(
            made,
            rb.model_space(
                effect=(NORMAL,),
                effect_null=(),
                heterogeneity_null=(SPIKE,),
                bias=bias,
                bias_null=null,
            ),
            [0.0],
            draws,
        )
        for bias, null in (((), (PET_PRIOR,)), ((PET_PRIOR,), ()))
    )
    pd.testing.assert_frame_equal(
        pet_peese_frame(as_null, n=3), pet_peese_frame(as_alternative, n=3)
    )
    assert drawn(plot_pet_peese(as_null))


@pytest.mark.parametrize(
    ("scale", "highest"), [("r", 1), ("cohens_d", np.inf), ("OR", np.inf)]
)
def test_curves_beyond_correlations_of_one_end_where_the_scale_does(
    made, scale, highest
):
    effects = rb.effect_sizes(r=D, n=[30, 20, 12, 25], transformation="r")
    fit, _ = regression(
        made,
        rb.prior_PET("cauchy", location=0, scale=5),
        effect=(rb.prior("normal", mean=0, sd=0.5, lower=-1, upper=1),),
        effects=effects,
        prior_scale="r",
    )
    frame = pet_peese_frame(fit, prior=True, output_scale=scale)
    assert frame.loc[frame["kind"] == "prior", "upper"].max() == highest
    assert drawn(plot_pet_peese(fit, prior=True, output_scale=scale))


def test_conditional_without_an_effect_is_refused(made):
    fit, _ = regression(made, PET_PRIOR, effect=(), effect_null=(SPIKE,))
    with pytest.raises(rb.DataError, match=r"conditional: .* effect, and PET or PEESE"):
        plot_pet_peese(fit, conditional=True)


def test_without_pet_or_peese_there_is_no_regression(made):
    fit, _ = regression(made, null=True)
    with pytest.raises(rb.DataError, match=r"ensemble: expected .* PET or PEESE"):
        plot_pet_peese(fit)


def test_one_standard_error_is_no_curve(made):
    fit, _ = regression(made, PET_PRIOR)
    with pytest.raises(rb.DataError, match="n: expected"):
        pet_peese_frame(fit, n=1)


def test_axes_name_the_measures_and_the_prior_does_not_set_the_range(made):
    fit, _ = regression(made, PET_PRIOR)
    figure = plot_pet_peese(fit, prior=True, conditional=True, output_scale="r")
    assert figure.labels.x == "Standard error (Fisher's z)"
    assert figure.labels.y == "Conditional effect (correlation)"
    low, high = figure.coordinates.limits.y
    frame = pet_peese_frame(fit, prior=True, conditional=True, output_scale="r")
    assert frame.loc[frame["kind"] == "prior", "upper"].max() > high
    inside = frame[frame["kind"] != "prior"]
    assert low < inside[["lower", "effect"]].min().min()
    assert high > inside[["upper", "effect"]].max().max()
    assert drawn(figure)


def test_raw_units_are_drawn_as_they_are(made):
    raw = rb.effect_sizes(y=[-10.0, -30.0, -12.0], se=[10.0, 20.0, 10.0])
    prior = rb.prior_PET("cauchy", location=0, scale=1)
    fit, _ = regression(
        made, prior, effects=raw, prior_scale="none", effect_direction="negative"
    )
    frame = pet_peese_frame(fit)
    assert list(frame.query("kind == 'estimate'")["effect"]) == [-10, -30, -12]
    figure = plot_pet_peese(fit)
    assert figure.labels.x == "Standard error (units of the data)"
    assert drawn(figure)
