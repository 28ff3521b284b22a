"""Publication weights by p-value: averages, bands, grids and labels."""

from __future__ import annotations

import numpy as np
import pytest
from plot_ensembles import NORMAL, SPIKE, drawn, ensemble, even
from scipy import stats

import pyrobma as rb
from pyrobma.plots.weightfunction import plot_weightfunction, weightfunction_frame

# Sums and quotients of a few doubles.
ROUNDING = 1e-12
# Quantiles of 20000 draws from the prior, five standard errors.
MONTE_CARLO = 0.02
LOGML = [0.0, 1.0]


def one_sided(steps=(0.05,), sides="one", **weights):
    weights = weights or {"alpha": [1.0] * (len(steps) + 1)}
    return rb.prior_weightfunction(f"{sides}.sided", steps=list(steps), **weights)


def selected(made, *functions, null=True, **task):
    """An ensemble with weights that are even quantiles of Beta(2, 3) and below."""
    space = rb.model_space(
        effect=(NORMAL,),
        heterogeneity_null=(SPIKE,),
        bias=functions,
        bias_null=(rb.prior_none(),) if null else (),
    )
    weights = even(stats.beta(2, 3))
    omega = {
        i: np.stack(
            [np.ones_like(weights)]
            + [weights ** (j + 1) for j in range(len(model.selection.steps))],
            axis=2,
        )
        for i, model in enumerate(space.models, start=1)
        if model.selection is not None
    }
    logml = LOGML if null else LOGML[1:]
    logml = [*logml, *[1.0] * (len(space) - len(logml))]
    draws = {"mu": even(stats.norm(0.2, 0.1))}
    return ensemble(made, space, logml, draws, omega=omega, **task), weights.ravel()


def test_models_without_selection_count_with_weights_of_one(made):
    fit, weights = selected(made, one_sided())
    frame = weightfunction_frame(fit)
    assert frame[["p_from", "p_to"]].to_numpy().tolist() == [[0, 0.05], [0.05, 1]]
    p = np.e / (1 + np.e)
    assert frame["mean"][0] == pytest.approx(1, rel=ROUNDING)
    expected = (1 - p) + p * weights.mean()
    assert frame["mean"][1] == pytest.approx(expected, rel=ROUNDING)
    below = np.sort(weights)[int(np.ceil(0.025 / p * weights.size)) - 1]
    assert frame["lower"][1] == pytest.approx(below, abs=1e-3)
    assert frame["upper"][1] == 1.0


def test_conditional_weights_are_those_of_selection_models(made):
    fit, weights = selected(made, one_sided())
    frame = weightfunction_frame(fit, conditional=True, probs=(0.1, 0.8))
    row = frame.iloc[1]
    assert row["mean"] == pytest.approx(weights.mean(), rel=ROUNDING)
    np.testing.assert_allclose(
        row[["lower", "upper"]].astype(float),
        stats.beta(2, 3).ppf([0.1, 0.8]),
        atol=2e-3,  # draws lie this far apart
    )


def test_the_prior_is_that_of_the_averaged_weight_functions(made):
    fit, _ = selected(made, one_sided())
    prior = weightfunction_frame(fit, prior=True).query("which == 'prior'")
    # Uniform weights with probability 1/2, else 1.
    assert prior["mean"].iloc[1] == pytest.approx(0.75, abs=MONTE_CARLO)
    assert prior["lower"].iloc[1] == pytest.approx(0.05, abs=MONTE_CARLO)
    given = weightfunction_frame(fit, prior=True, conditional=True)
    given = given[given["which"] == "prior"].iloc[1]
    np.testing.assert_allclose(
        given[["mean", "lower", "upper"]].astype(float),
        [0.5, 0.025, 0.975],
        atol=MONTE_CARLO,
    )


def test_the_prior_on_a_common_grid_has_the_moments_of_each_function(made):
    fit, _ = selected(made, one_sided((0.025, 0.05)), one_sided((0.05,)), null=False)
    prior = weightfunction_frame(fit, prior=True).query("which == 'prior'")
    # Of three uniform shares the first weight is 1, the next 2/3 and 1/3; of two, 1/2.
    expected = [1, (2 / 3 + 1) / 2, (1 / 3 + 1 / 2) / 2]
    np.testing.assert_allclose(prior["mean"], expected, atol=MONTE_CARLO)


def test_fixed_weights_are_their_own_prior(made):
    fixed = rb.prior_weightfunction("one.sided.fixed", steps=[0.05], omega=[1, 0.3])
    space = rb.model_space(
        effect=(NORMAL,), heterogeneity_null=(SPIKE,), bias=(fixed,), bias_null=()
    )
    fit = ensemble(made, space, [0.0], {"mu": even(stats.norm())})
    frame = weightfunction_frame(fit, prior=True)
    columns = ["mean", "lower", "upper"]
    np.testing.assert_allclose(frame[columns].iloc[[1, 3]], 0.3, rtol=ROUNDING)


def test_cut_points_are_at_equal_distances_or_where_they_are(made):
    fit, _ = selected(made, one_sided((0.025, 0.05)))
    spaced = weightfunction_frame(fit)
    np.testing.assert_allclose(spaced["x_to"], [1 / 3, 2 / 3, 1], rtol=ROUNDING)
    plain = weightfunction_frame(fit, rescale_x=False)
    assert plain["x_to"].tolist() == plain["p_to"].tolist() == [0.025, 0.05, 1.0]


def scale_of(figure):
    (scale,) = (s for s in figure.scales if "x" in s.aesthetics)
    return scale


def test_labels_that_would_touch_are_left_out(made):
    fit, _ = selected(made, one_sided((0.025, 0.05)))
    crowded = scale_of(plot_weightfunction(fit, rescale_x=False))
    assert crowded.labels == ["0", "", ".05", "1"]
    assert scale_of(plot_weightfunction(fit)).labels == ["0", ".025", ".05", "1"]


def test_the_axis_names_the_kind_of_p_value(made):
    positive, _ = selected(made, one_sided())
    negative, _ = selected(made, one_sided(), effect_direction="negative")
    two, _ = selected(made, one_sided(sides="two"))
    titles = [plot_weightfunction(fit).labels.x for fit in (positive, negative, two)]
    assert titles == [
        "One-sided p-value", "One-sided p-value for negative effects",
        "Two-sided p-value",
    ]  # fmt: skip


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("prior", [False, True])
def test_it_draws(made, conditional, prior):
    fit, _ = selected(made, one_sided((0.025, 0.05, 0.5)))
    figure = plot_weightfunction(
        fit, conditional=conditional, prior=prior, rescale_x=not prior
    )
    assert drawn(figure)


def test_an_ensemble_without_weight_functions_is_refused(made):
    fit = ensemble(
        made,
        made.space(hierarchical=False, null=False),
        [0.0],
        {"mu": even(stats.norm()), "tau": even(stats.expon())},
    )
    with pytest.raises(rb.DataError, match=r"ensemble: expected .* weight function"):
        weightfunction_frame(fit)


def test_a_band_needs_two_levels(made):
    fit, _ = selected(made, one_sided())
    with pytest.raises(rb.DataError, match="probs: expected two"):
        plot_weightfunction(fit, probs=(0.5,))
