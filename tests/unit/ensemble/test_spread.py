"""Heterogeneity by its moderators: what the models predict row by row."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import pyrobma as rb
from pyrobma.ensemble import Predictor
from pyrobma.ensemble.joint import FitDraws
from pyrobma.ensemble.selected_draws import Selected, selected_draws
from pyrobma.ensemble.spread import log_ratios, scale_design, tau_at, variance_ratio
from pyrobma.errors import DataError
from pyrobma.models import heterogeneous
from pyrobma.plots import regression_frame

# Sums and products of doubles.
ROUNDING = 1e-12
# Four standard errors of a share of 4000 draws.
SHARE = 0.032

TABLE = pd.DataFrame(
    {
        "y": [0.1, 0.5, -0.2, 0.3, 0.8, 0.4, 0.0, 0.6],
        "se": [0.1, 0.2, 0.1, 0.2, 0.1, 0.2, 0.15, 0.12],
        "lab": ["a", "a", "b", "b", "c", "d", "e", "f"],
        "dose": [1.0, 2.0, 4.0, 3.0, 7.0, 5.0, 9.0, 4.5],
        "design": list("xxxyyyxy"),
    }
)
DRAWS = {
    "mu": np.array([0.1, -0.3, 0.8]),
    "tau": np.array([0.0, 0.4, 1.5]),
    "rho": np.array([0.5, 0.0, 0.9]),
    "PET": np.zeros(3),
    "PEESE": np.zeros(3),
    "dose": np.array([0.2, 0.0, -0.1]),
    "tau ~ dose": np.array([0.3, -0.5, 0.0]),
    "tau ~ design[1]": np.array([0.1, 0.2, -0.4]),
}


def task(**options: object) -> rb.models.Task:
    return rb.robma(
        TABLE, y="y", se="se", study_ids="lab", mods="dose", scale="dose + design",
        only_priors=True, **options,
    ).task  # fmt: skip


@cache
def fitted() -> rb.RobmaFit:
    return rb.robma(
        TABLE, y="y", se="se", mods="dose", scale="dose + design", priors_bias=None,
        priors_effect_null=None, test_mods=False, seed=1,
    )  # fmt: skip


def test_each_row_has_its_own_standard_deviation() -> None:
    given = task()
    study = Predictor(given, DRAWS)
    z, sign = given.column("tau ~ dose"), given.column("tau ~ design[1]")
    log_ratio = np.outer(z, DRAWS["tau ~ dose"])
    log_ratio = log_ratio + np.outer(sign, DRAWS["tau ~ design[1]"])
    expected = DRAWS["tau"] * np.exp(log_ratio)
    rows = np.array([5, 0, 2])
    np.testing.assert_allclose(study.sd(rows), expected[rows], rtol=ROUNDING)
    np.testing.assert_allclose(
        study.within(rows), (1 - DRAWS["rho"]) * expected[rows] ** 2, rtol=ROUNDING
    )
    np.testing.assert_allclose(
        study.loading(rows), np.sqrt(DRAWS["rho"]) * expected[rows], rtol=ROUNDING
    )
    np.testing.assert_array_equal(study.new_sd, DRAWS["tau"])
    assert given.scale_moderators is not None
    np.testing.assert_allclose(
        study.sd_at(given.scale_moderators.columns), expected, rtol=ROUNDING
    )


def test_draws_without_any_slope_are_one_row() -> None:
    none = {n: x * (not n.startswith("tau ~")) for n, x in DRAWS.items()}
    assert Predictor(task(), none).within(slice(None)).shape == (1, 3)


def test_values_of_a_moderator_of_the_mean_are_coded_as_the_other_formula_does() -> (
    None
):
    given = task(center={"dose": 4.0})
    assert given.moderators is not None
    assert given.scale_moderators is not None
    other = replace(
        given,
        moderators=None,
        columns=tuple(c for c in given.columns if c.parameter.enters == "scale"),
    )
    coded = given.moderators.coding("dose").columns(np.array([[1.0], [9.0]]))
    found = scale_design(given, {"dose": coded}, 2)
    assert found is not None
    scale = given.scale_moderators.coding("dose")
    np.testing.assert_allclose(
        found[:, 0], scale.columns(np.array([[1.0], [9.0]]))[:, 0]
    )
    # Design is at the mean of its levels, and without mods everything is.
    np.testing.assert_array_equal(found[:, 1], 0.0)
    assert scale_design(other, {"dose": coded}, 2) is not None
    np.testing.assert_array_equal(scale_design(other, {}, 2), 0.0)


def test_tau_at_levels_and_their_ratio_are_of_one_draw() -> None:
    fit = fitted()
    moderators = fit.task.scale_moderators
    assert moderators is not None
    x, y = log_ratios(moderators, moderators.term("design"))
    taus = [tau_at(fit, row).draws for row in (x, y)]
    ratio = variance_ratio(fit, x.minus(y)).draws
    for spec, one, other, both in zip(fit.space, *taus, ratio, strict=True):
        if not spec.is_zero("tau"):
            np.testing.assert_allclose((one / other) ** 2, both, rtol=1e-9)


def test_ratios_are_of_models_with_heterogeneity_only() -> None:
    fit = fitted()
    moderators = fit.task.scale_moderators
    assert moderators is not None
    low, _, high = log_ratios(moderators, moderators.term("dose"))
    found = variance_ratio(fit, high.minus(low))
    assert (found.probabilities[~heterogeneous(fit.space)] == 0).all()


def test_i_squared_has_the_mean_variance_of_the_rows() -> None:
    fit = fitted()
    found = rb.ensemble.heterogeneity(fit)["I2"]
    typical = rb.ensemble.typical_variance(fit.task.effects)
    for k, one in enumerate(fit.fits):
        sd = Predictor(fit.task, FitDraws(one)).sd(slice(None))
        T2 = (sd**2).mean(axis=0)
        np.testing.assert_allclose(found.draws[k], 100 * T2 / (T2 + typical))


def test_intervals_of_new_studies_widen_where_heterogeneity_does() -> None:
    fit = fitted()
    both = {"tau ~ dose", "tau ~ design"}
    k = [both <= spec.alternative for spec in fit.space].index(True)
    one = fit.fits[k]
    chains = one.chains
    assert chains is not None
    slopes = chains.draws.copy()
    slopes[:, :, chains.names.index("tau ~ dose")] = 0.8
    slopes[:, :, chains.names.index("tau ~ design[1]")] = 0.0
    wide = replace(
        fit,
        space=rb.ModelSpace((fit.space.models[k],)),
        fits=(replace(one, chains=replace(chains, draws=slopes)),),
    )
    frame = regression_frame(wide, "dose", n=5)
    means = frame[frame["kind"] == "mean"]
    widths = (means["new_upper"] - means["new_lower"]).to_numpy()
    assert (np.diff(widths) > 0).all()
    rows = pd.DataFrame({"dose": means["x"], "design": "x"})
    levels = wide.predict(rows)
    predicted = (levels["0.975"] - levels["0.025"]).to_numpy()
    np.testing.assert_allclose(predicted, widths, rtol=0.02)
    sd = np.exp(0.8 * (9.0 - 1.0) / TABLE["dose"].std())
    # Heterogeneity is nearly all of the widest interval, and little of the narrowest.
    assert 1.5 < widths[-1] / widths[0] < sd


def test_predictions_need_both_kinds_of_moderators() -> None:
    fit = fitted()
    rows = pd.DataFrame({"dose": [1.0]})
    assert len(fit.predict(rows, "terms")) == 1
    with pytest.raises(DataError, match="design"):
        fit.predict(rows)


def test_moderators_of_heterogeneity_alone_predict_too() -> None:
    fit = rb.robma(
        TABLE, y="y", se="se", scale="dose", priors_bias=None, priors_effect_null=None,
        priors_heterogeneity_null=None, test_scale=False, seed=1,
    )  # fmt: skip
    found = fit.predict(pd.DataFrame({"dose": [1.0, 4.4, 9.0]}))
    assert len(set(found["Mean"])) == 1
    assert fit.predict().shape == (8, 4)


def test_a_saved_fit_keeps_moderators_of_heterogeneity(tmp_path: Path) -> None:
    fit = fitted()
    fit.save(tmp_path / "fit.pyrobma")
    other = rb.load(tmp_path / "fit.pyrobma")
    assert other.task.same_as(fit.task)
    assert other.task.scale_moderators is not None
    assert other.task.scale_moderators.formula == "dose + design"
    pd.testing.assert_frame_equal(other.inclusion, fit.inclusion)
    rows = pd.DataFrame({"dose": [1.0, 9.0], "design": ["x", "y"]})
    pd.testing.assert_frame_equal(other.predict(rows), fit.predict(rows))


def test_leaving_an_estimate_out_keeps_the_rows_of_log_tau() -> None:
    frame = fitted().influence().components
    rows = frame[frame["component"] == "tau ~ dose"]
    assert len(rows) == len(TABLE)
    assert np.isfinite(rows["log_bf"]).all()


def test_simulated_rows_have_their_own_heterogeneity() -> None:
    spike = rb.prior("spike", location=0.0)
    model = rb.model(
        {"mu": spike, "tau": rb.prior("spike", location=1.0),
         "tau ~ dose": rb.prior("spike", location=1.0), "dose": spike,
         "tau ~ design[1]": spike},
        unknowns=task().unknowns, scale="none",
    )  # fmt: skip
    found = rb.simulate(task(), 4000, seed=1, space=rb.ModelSpace((model,)))
    y = found.estimates["y"].to_numpy().reshape(4000, -1)
    sd = np.hypot(np.exp(task().column("tau ~ dose")), TABLE["se"])
    for column, own in zip(y.T, sd, strict=True):
        assert stats.kstest(column / own, "norm").statistic < SHARE


def test_selected_clusters_are_drawn_with_the_loading_of_each_row() -> None:
    # Nothing is selected: what is drawn has the covariance of the model.
    load = np.tile([0.2, 1.5, 0.7], (4000, 1))
    ends = np.tile([-np.inf, 0.0, np.inf], (3, 1))
    drawn = selected_draws(
        np.zeros((4000, 3)), np.full((4000, 3), 0.5), load, np.array([0, 0, 1]),
        Selected(ends, np.zeros((4000, 2))), np.random.default_rng(1),
    )  # fmt: skip
    expected = np.diag(np.full(3, 0.25)) + np.outer(load[0], load[0])
    expected[:2, 2] = expected[2, :2] = 0.0
    found = np.cov(drawn, rowvar=False)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    # Standard errors of correlations and relative variances of 4000 draws.
    assert (np.abs(found - expected) / scale < 4 * np.sqrt(2 / 4000)).all()
