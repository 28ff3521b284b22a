"""Predictions for moderators that a user names, from made-up draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import pyrobma as rb
from pyrobma.effects import read_moderators
from pyrobma.ensemble.regression import predict
from pyrobma.models import ModelSpace, ModelSpec, Task, moderator_columns

# Sums and products of doubles, and roots found by bisection.
ROUNDING = 1e-9
# 20 nodes of Gauss-Hermite for a smooth function of a normal variable.
NODES = 1e-8

K = 8
TABLE = pd.DataFrame(
    {
        "g": ["a", "b", "a", "b", "b", "a", "b", "a"],
        "x": [1.0, 2.0, 4.0, 8.0, 3.0, 5.0, 7.0, 6.0],
    }
)
SE = np.linspace(0.1, 0.4, K)
SPIKE = rb.prior("spike", location=0)
NORMAL = rb.prior("normal", mean=0, sd=1)
TERM = rb.prior("normal", mean=0, sd=0.25)
TAU = rb.prior("inv_gamma", shape=1, scale=0.15)
PET = rb.prior("cauchy", [0, 1], lower=0)
SHAPE = (2, 20)


@pytest.fixture
def ensemble(made):
    """Without and with an effect; the second has everything, and 3/4 of the weight."""
    moderators, _ = read_moderators("g + x", TABLE)
    effects = rb.effect_sizes(z=np.zeros(K), se=SE)
    task = Task(
        effects,
        "cohens_d",
        columns=moderator_columns(moderators),
        moderators=moderators,
    )
    bare = ModelSpec(
        (("mu", SPIKE), ("tau", SPIKE), ("g[1]", TERM)), None, frozenset({"g"})
    )
    full = ModelSpec(
        (("mu", NORMAL), ("tau", TAU), ("PET", PET), ("g[1]", TERM), ("x", TERM)),
        None,
        frozenset({"effect", "heterogeneity", "bias", "PET", "g", "x"}),
    )
    rng = np.random.default_rng(2)
    draws = {
        "mu": rng.normal(0.3, 0.1, SHAPE),
        "tau": np.exp(rng.normal(-1.5, 0.3, SHAPE)),
        "PET": np.abs(rng.normal(0.0, 0.5, SHAPE)),
        "g[1]": rng.normal(0.2, 0.1, SHAPE),
        "x": rng.normal(-0.1, 0.1, SHAPE),
    }
    fits = (
        made.fit(bare, 0.0, draws={"g[1]": rng.normal(0.0, 0.1, SHAPE)}, seed=1),
        made.fit(full, np.log(3.0), draws=draws, seed=2),
    )
    return rb.RobmaFit(task, ModelSpace((bare, full)), fits, rb.SamplerSettings(), 1)


NEW = pd.DataFrame({"g": ["b", "a"], "x": [10.0, 0.5]}, index=["one", "other"])


def parts(ensemble, new=NEW, se=0.2, bias=False):
    """Weights, means and standard deviations of heterogeneity of all draws."""
    sign = np.where(new["g"] == "a", 1.0, -1.0)[:, None]  # of two levels, in order
    x = ((new["x"] - TABLE["x"].mean()) / TABLE["x"].std()).to_numpy()[:, None]
    weights, means, taus = [], [], []
    for share, fit in zip((0.25, 0.75), ensemble.fits, strict=True):
        size = SHAPE[0] * SHAPE[1]
        mu, tau, pet, g, slope = (
            np.broadcast_to(fit.values(name), SHAPE).ravel()
            for name in ("mu", "tau", "PET", "g[1]", "x")
        )
        mean = 0.5 * (mu + sign * g + x * slope)
        if bias:
            mean = mean + np.broadcast_to(se, len(new))[:, None] * pet
        weights.append(np.full(size, share / size))
        means.append(mean)
        taus.append(0.5 * tau)
    return np.concatenate(weights), np.hstack(means), np.concatenate(taus)


def cdf(weights, mean, sd, x):
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (x - mean) / sd
    return float(weights @ np.where(np.isnan(z), 1.0, stats.norm.cdf(z)))


def assert_quantiles(row, weights, mean, sd):
    """Of a mixture of normal distributions on the likelihood's measure: z = d / 2."""
    for p, name in ((0.025, "0.025"), (0.5, "Median"), (0.975, "0.975")):
        exact = optimize.brentq(lambda x, p=p: cdf(weights, mean, sd, x) - p, -5, 5)
        assert row[name] == pytest.approx(2 * exact, abs=1e-6)


def test_the_signs_of_two_levels_are_those_of_their_order(ensemble):
    moderators = ensemble.task.moderators
    column = moderators.columns[:, list(moderators.labels).index("g[1]")]
    expected = np.where(TABLE["g"] == "a", 1.0, -1.0)
    np.testing.assert_allclose(column, expected, rtol=1e-12)


def test_mean_effects_are_sums_of_draws(ensemble):
    found = predict(ensemble, NEW, "terms")
    weights, means, _ = parts(ensemble)
    np.testing.assert_allclose(found["Mean"], 2 * means @ weights, rtol=ROUNDING)
    for row, mean in zip(found.to_dict("records"), 2 * means, strict=True):
        order = np.argsort(mean)
        reached = np.cumsum(weights[order]) >= 0.5 - 1e-12
        assert row["Median"] == pytest.approx(mean[order][reached][0])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", ["effect", "response"])
def test_new_effects_and_estimates_are_mixtures_of_normals(ensemble, kind, bias):
    found = predict(ensemble, NEW, kind, se=0.2, bias=bias)
    weights, means, tau = parts(ensemble, bias=bias)
    sd = np.hypot(tau, 0.2) if kind == "response" else tau
    np.testing.assert_allclose(found["Mean"], 2 * means @ weights, rtol=ROUNDING)
    for row, mean in zip(found.to_dict("records"), means, strict=True):
        assert_quantiles(row, weights, mean, sd)


def test_standard_errors_are_one_or_one_for_each_row(ensemble):
    both = predict(ensemble, NEW, "response", se=[0.1, 0.5], bias=True)
    for k, se in enumerate((0.1, 0.5)):
        alone = predict(ensemble, NEW.iloc[[k]], "response", se=se, bias=True)
        pd.testing.assert_frame_equal(alone, both.iloc[[k]])


def test_rows_keep_their_index_and_do_not_depend_on_each_other(ensemble):
    found = predict(ensemble, NEW)
    assert list(found.index) == ["one", "other"]
    assert list(found.columns) == ["Mean", "Median", "0.025", "0.975"]
    pd.testing.assert_frame_equal(predict(ensemble, NEW.iloc[::-1]).iloc[::-1], found)


def test_without_new_rows_those_of_the_data_are_predicted(ensemble):
    pd.testing.assert_frame_equal(
        predict(ensemble, None, "response").reset_index(drop=True),
        predict(ensemble, TABLE, "response", se=SE).reset_index(drop=True),
    )
    assert len(predict(ensemble)) == K


def test_other_columns_of_new_rows_do_not_matter(ensemble):
    wide = NEW.assign(z=[1, 2])[["z", "x", "g"]]
    pd.testing.assert_frame_equal(predict(ensemble, wide), predict(ensemble, NEW))


def test_conditional_predictions_are_of_models_with_an_effect(ensemble):
    found = predict(ensemble, NEW, "terms", conditional=True)
    _, means, _ = parts(ensemble)
    of_full = slice(SHAPE[0] * SHAPE[1], None)
    exact = 2 * means[:, of_full].mean(axis=1)
    np.testing.assert_allclose(found["Mean"], exact, rtol=ROUNDING)


def test_probabilities_name_the_columns(ensemble):
    found = predict(ensemble, NEW, probs=(0.1, 0.5, 0.9))
    assert list(found.columns) == ["Mean", "Median", "0.1", "0.5", "0.9"]
    np.testing.assert_array_equal(found["0.5"], found["Median"])
    assert (found["0.1"] < found["0.9"]).all()


@pytest.mark.parametrize("kind", ["terms", "effect", "response"])
def test_quantiles_are_converted_and_means_averaged_on_the_output_scale(ensemble, kind):
    plain = predict(ensemble, NEW, kind, se=0.2)
    found = predict(ensemble, NEW, kind, se=0.2, output_scale="r")

    def to_r(d):
        return d / np.sqrt(d**2 + 4)

    for name in ("Median", "0.025", "0.975"):
        np.testing.assert_allclose(found[name], to_r(plain[name]), rtol=1e-6)
    weights, means, tau = parts(ensemble)
    sd = {"terms": 0 * tau, "effect": tau, "response": np.hypot(tau, 0.2)}[kind]
    x, w = np.polynomial.hermite_e.hermegauss(60)
    values = to_r(2 * (means[:, :, None] + sd[:, None] * x)) @ w / w.sum()
    np.testing.assert_allclose(found["Mean"], values @ weights, rtol=NODES)


def test_odds_ratios_of_new_effects_have_no_mean(ensemble):
    found = predict(ensemble, NEW, output_scale="OR")
    assert found["Mean"].isna().all()
    plain = predict(ensemble, NEW, output_scale="logOR")
    np.testing.assert_allclose(found["Median"], np.exp(plain["Median"]))


@pytest.mark.parametrize("direction", ["positive", "negative"])
def test_published_estimates_are_drawn_towards_significance(made, direction):
    """All is known here: the density is a normal one times a step."""
    moderators, _ = read_moderators("g + x", TABLE)
    effects = rb.effect_sizes(y=np.zeros(K), se=SE)
    columns = moderator_columns(moderators)
    task = Task(
        effects, "none", effect_direction=direction, columns=columns,
        moderators=moderators,
    )  # fmt: skip
    step = rb.prior_weightfunction("one-sided.fixed", steps=[0.025], omega=[1, 0.2])
    fixed = {"mu": 0.1, "tau": 0.3, "g[1]": -0.2, "x": 0.0}
    spikes = tuple((n, rb.prior("spike", location=v)) for n, v in fixed.items())
    spec = ModelSpec(spikes, step, frozenset({"bias"}))
    ensemble = rb.RobmaFit(
        task, ModelSpace((spec,)), (made.fit(spec),), rb.SamplerSettings(), 1
    )
    found = predict(ensemble, NEW, "response", se=0.25, bias=True)
    assert found["Mean"].isna().all()
    sign = 1.0 if direction == "positive" else -1.0
    grid = np.linspace(-4.0, 4.0, 800_001)
    for mean, row in zip((0.3, -0.1), found.to_dict("records"), strict=True):
        weight = np.where(sign * grid >= 1.959963984540054 * 0.25, 1.0, 0.2)
        share = weight * stats.norm.pdf(grid, mean, np.hypot(0.3, 0.25))
        below = np.cumsum(share) / share.sum()
        for p, name in ((0.025, "0.025"), (0.5, "Median"), (0.975, "0.975")):
            exact = grid[np.searchsorted(below, p)]
            assert row[name] == pytest.approx(exact, abs=1e-4)
    plain = predict(ensemble, NEW, "response", se=0.25)
    assert (sign * (found["Median"] - plain["Median"]) > 0).all()


def test_no_heterogeneity_and_no_error_leave_points(made, ensemble):
    """Quantiles of an effect without heterogeneity are those of its mean."""
    first = rb.RobmaFit(
        ensemble.task, ModelSpace((ensemble.fits[0].spec,)), ensemble.fits[:1],
        ensemble.settings, 1,
    )  # fmt: skip
    pd.testing.assert_frame_equal(
        predict(first, NEW, "effect"), predict(first, NEW, "terms")
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "mean"}, "type: expected one of terms, effect, response"),
        ({"type": "response"}, "se: expected standard errors of the new estimates"),
        ({"bias": True}, "se: expected standard errors of the new estimates"),
        ({"type": "response", "se": [0.1, 0.2, 0.3]}, "se: expected one number, or 2"),
        ({"type": "response", "se": -0.1}, "se: expected positive numbers"),
        ({"type": "response", "se": np.nan}, "se: expected positive numbers"),
        ({"newdata": NEW[["x"]]}, "g"),
        ({"newdata": NEW.assign(g="c")}, "c"),
        ({"probs": (0.5, 1.5)}, "probs"),
        ({"output_scale": "none"}, "output_scale"),
    ],
)
def test_what_cannot_be_predicted_is_refused(ensemble, options, message):
    with pytest.raises(rb.DataError, match=message):
        predict(ensemble, **{"newdata": NEW, **options})


def test_an_ensemble_without_moderators_predicts_nothing(made):
    plain = made.ensemble(made.space(), np.zeros(4))
    with pytest.raises(rb.DataError, match="one with moderators; got none"):
        predict(plain, NEW)
