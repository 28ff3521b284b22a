"""What `robma` returns, by the names that the design promises."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest

import pyrobma as rb

robma = partial(rb.robma, priors_bias=None)


@pytest.fixture(scope="module")
def fit(schools):
    return robma(schools, d="yi", v="vi", study_ids="district", seed=1)


def test_the_promised_names_are_there(fit):
    assert isinstance(fit, rb.Ensemble)
    assert isinstance(fit.inclusion, pd.DataFrame)
    assert isinstance(fit.models, pd.DataFrame)
    assert fit.fits[3].logml == pytest.approx(25.70102, abs=0.04)
    assert 0 < fit.fits[3].logml_mcse < 0.01
    for kind in ("ensemble", "models", "diagnostics", "individual"):
        assert fit.summary(type=kind).tables
    assert isinstance(fit.summary().estimates, pd.DataFrame)
    assert "estimates_conditional" in fit.summary(conditional=True).tables


def test_every_model_of_the_schools_passes_its_checks(fit):
    assert all(model.ok for model in fit.fits)
    assert not fit.summary().warnings


def test_draws_have_the_averaged_and_conditional_mean(fit):
    averaged, conditional = fit.draws("mu"), fit.draws("mu", conditional=True)
    assert averaged.shape == conditional.shape == (10_000,)
    # Rounded shares of 10 000 draws, and more draws in a model than rows: 2 %.
    assert averaged.mean() == pytest.approx(fit.mixture("mu").mean(), rel=0.02)
    assert conditional.mean() == pytest.approx(
        fit.mixture("mu", conditional=True).mean(), rel=0.02
    )
    assert (averaged == 0).mean() == pytest.approx(fit.post_prob[:2].sum(), abs=1e-4)
    assert (conditional != 0).all()


def test_variances_and_standard_errors_are_one_analysis(schools, fit):
    by_se = robma(
        schools.assign(se=np.sqrt(schools["vi"])), d="yi", se="se",
        study_ids="district", seed=1, fits=fit.fits,
    )  # fmt: skip
    np.testing.assert_allclose(by_se.task.effects.se, fit.task.effects.se, rtol=1e-14)


def test_effect_sizes_made_before_are_one_analysis_with_the_table():
    table = pd.DataFrame({"d": [0.1, 0.4, 0.2], "se": [0.1, 0.2, 0.1]})
    few = rb.SamplerSettings(chains=2, warmup=200, draws=200)
    made = rb.effect_sizes(table, d="d", se="se")
    one = robma(table, d="d", se="se", settings=few, seed=4)
    other = robma(made, settings=few, seed=4)
    np.testing.assert_array_equal(one.logml, other.logml)


def test_without_a_seed_one_is_drawn_and_kept():
    few = rb.SamplerSettings(chains=2, warmup=200, draws=200)
    data = {"d": [0.1, 0.4, 0.2], "se": [0.1, 0.2, 0.1], "settings": few}
    first, second = robma(**data), robma(**data)
    assert first.seed != second.seed
    again = robma(**data, seed=first.seed)
    np.testing.assert_array_equal(first.logml, again.logml)


LARGE = {"d": [2.0] * 8, "se": [0.3] * 8, "priors_effect_null": None,
         "priors_heterogeneity_null": None}  # fmt: skip


def test_large_effects_under_the_linear_mapping_are_mentioned():
    with pytest.warns(
        rb.DataWarning,
        match=r"^effect_mapping: the linear mapping gives a mean effect of 1\.7\d\d, "
        r"which converts to .* use effect_mapping='exact'\.",
    ):
        linear = robma(**LARGE, seed=1)
    # asinh(d / 2) as if it were d / 2: eight studies with d = 2 give 1.76.
    assert linear.mixture("mu").mean() == pytest.approx(1.75, abs=0.04)


def test_the_exact_mapping_keeps_large_effects_and_says_nothing():
    exact = robma(**LARGE, effect_mapping="exact", seed=1)
    assert exact.mixture("mu").mean() == pytest.approx(1.98, abs=0.05)


def test_an_effect_that_the_linear_mapping_takes_out_of_range_is_only_mentioned():
    # d = 5 is r = 0.93; the linear rule makes a prior near d = 5 a correlation of 2.5.
    with pytest.warns(rb.DataWarning, match=r"which converts to inf as the data do"):
        robma(
            d=[5.0], se=[3.0], transformation="r", seed=1, priors_effect_null=None,
            priors_effect=rb.prior("normal", mean=5, sd=0.01),
            priors_heterogeneity=None,
        )  # fmt: skip


def test_a_model_that_misses_a_check_warns_and_is_reported():
    strict = rb.SamplerSettings(
        chains=2, warmup=150, draws=100, max_draws=100, min_ess=1e6
    )
    with pytest.warns(
        rb.ConvergenceWarning,
        match=r"^Model 2 \(mu = 0, tau ~ InvGamma\(1, 0\.15\)\): .*effective sample "
        r"size \d+ below 1e\+06",
    ):
        fit = robma(
            d=[0.1, 0.4, 0.2], se=[0.1, 0.2, 0.1], settings=strict, seed=1,
            priors_effect=None,
        )  # fmt: skip
    assert not fit.fits[1].ok
    assert fit.fits[0].ok
    assert "Warning: Model 2" in str(fit)


def test_rescaled_priors_reach_the_models():
    few = rb.SamplerSettings(chains=2, warmup=200, draws=200)
    fit = robma(
        d=[0.1, 0.4, 0.2], se=[0.1, 0.2, 0.1], settings=few, seed=1, rescale_priors=0.5
    )
    assert str(fit.space.models[3]) == "mu ~ Normal(0, 0.5), tau ~ InvGamma(1, 0.075)"


def test_nothing_is_printed_while_fitting(capfd):
    few = rb.SamplerSettings(chains=2, warmup=200, draws=200)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        robma(d=[0.1, 0.4, 0.2], se=[0.1, 0.2, 0.1], settings=few, seed=1)
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_a_scale_that_there_is_not_is_refused_for_every_figure(fit):
    for parameter in ("mu", "omega", "PET-PEESE"):
        with pytest.raises(rb.DataError, match="output_scale: expected one of"):
            fit.plot(parameter, output_scale="inches")


def test_units_are_doubted_only_while_nothing_was_done_about_them():
    data = {"y": [4.0, 5.0, 6.0, 7.0], "se": [1.0, 2.0, 2.0, 1.0]}
    short = rb.SamplerSettings(chains=2, draws=200, max_draws=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rb.ConvergenceWarning)
        with pytest.warns(rb.DataWarning, match="default priors are made for"):
            robma(**data, settings=short, seed=1)
        warnings.simplefilter("error", rb.DataWarning)
        robma(**data, settings=short, seed=1, rescale_priors=10)
