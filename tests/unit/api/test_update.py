"""fit.update: other weights, priors, models and draws, against a fresh call."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import pyrobma as rb
from pyrobma.fit import lengthen, plan

D = [0.3, 0.1, 0.45, 0.2, 0.6, -0.1]
SE = [0.1, 0.12, 0.09, 0.2, 0.15, 0.11]
IDS = [1, 1, 2, 2, 3, 4]
SETTINGS = rb.SamplerSettings(chains=2, draws=400)
SPIKE = rb.prior("spike", location=0)
NORMAL = rb.prior("normal", mean=0, sd=0.5)
ERRORS = 5.0
"""Monte Carlo errors within which two runs with other random numbers agree."""


@pytest.fixture
def counted(monkeypatch):
    """Count what is fitted and extended."""
    counts = Counter()
    for module, name in (
        (plan, "fit_model"), (plan, "extend"), (lengthen, "extend"),
    ):  # fmt: skip
        real = getattr(module, name)

        def spy(*arguments, real=real, name=name):
            counts[name] += 1
            return real(*arguments)

        monkeypatch.setattr(module, name, spy)
    return counts


def robma(**changes):
    arguments = {
        "d": D, "se": SE, "settings": SETTINGS, "seed": 1, "priors_bias": None,
        "progress": False,
    }  # fmt: skip
    return rb.robma(**arguments | changes)


@pytest.fixture(scope="module")
def fit():
    return robma()


@pytest.fixture(scope="module")
def clustered():
    return robma(study_ids=IDS)


def assert_same(one, other):
    """The same models, probabilities and numbers."""
    assert [m.priors for m in one.space] == [m.priors for m in other.space]
    assert [m.alternative for m in one.space] == [m.alternative for m in other.space]
    np.testing.assert_allclose(one.prior_prob, other.prior_prob, rtol=1e-12)
    np.testing.assert_array_equal(one.logml, other.logml)
    np.testing.assert_array_equal(one.draws("mu"), other.draws("mu"))


def test_nothing_asked_for_gives_the_same_and_fits_nothing(fit, counted):
    assert_same(fit.update(), fit)
    assert type(fit.update()) is rb.RobmaFit
    assert not counted


# ---- weights


def test_odds_by_component_are_those_of_priors_with_weights(fit, counted):
    weighed = fit.update(prior_weights={"effect": 3.0, "heterogeneity": 0.5})
    assert not counted
    fresh = robma(
        priors_effect=rb.prior("normal", mean=0, sd=1, prior_weight=3),
        priors_heterogeneity=rb.prior(
            "inv_gamma", shape=1, scale=0.15, prior_weight=0.5
        ),
    )
    np.testing.assert_allclose(weighed.prior_prob, fresh.prior_prob, rtol=1e-12)
    np.testing.assert_array_equal(weighed.logml, fresh.logml)
    np.testing.assert_allclose(weighed.post_prob, fresh.post_prob, rtol=1e-12)
    assert weighed.inclusion.loc["effect", "prior_prob"] == pytest.approx(0.75)
    # A Bayes factor of a component does not depend on its own odds.
    own = fit.update(prior_weights={"effect": 3.0})
    for one, other in ((own, fit),):
        assert one.inclusion.loc["effect", "inclusion_bf"] == pytest.approx(
            other.inclusion.loc["effect", "inclusion_bf"]
        )


def test_a_weight_per_model_is_that_of_the_model(fit, counted):
    weighed = fit.update(prior_weights=[1, 2, 3, 4])
    np.testing.assert_allclose(weighed.prior_prob, [0.1, 0.2, 0.3, 0.4])
    assert not counted
    assert fit.prior_prob[0] == 0.25  # this one stays as it is


def test_a_kind_of_bias_has_odds_too(made):
    from pyrobma.models.reweighted import with_weights
    from pyrobma.parameters import UNKNOWNS

    space = rb.robma(d=D, se=SE, only_priors=True).space
    weighed = with_weights(space, {"PET": 1.0, "effect": 0.25}, UNKNOWNS)
    pet = np.array(["PET" in m.alternative for m in weighed])
    effect = np.array(["effect" in m.alternative for m in weighed])
    assert weighed.prior_prob[pet].sum() == pytest.approx(0.5)
    assert weighed.prior_prob[effect].sum() == pytest.approx(0.2)


def test_extreme_weights_keep_their_logs():
    from pyrobma.models.reweighted import with_weights
    from pyrobma.parameters import UNKNOWNS

    space = rb.robma(d=D, se=SE, priors_bias=None, only_priors=True).space
    odds = {"effect": 1e-300, "heterogeneity": 1e-300}
    weighed = with_weights(space, odds, UNKNOWNS)
    both = next(
        p
        for m, p in zip(weighed, weighed.log_prior_prob, strict=True)
        if {"effect", "heterogeneity"} <= m.alternative
    )
    assert both == pytest.approx(-600 * np.log(10))


@pytest.mark.parametrize(
    ("weights", "what"),
    [
        ([1, 2, 3], "expected 4 positive numbers, one per model"),
        (3.0, "expected 4 positive numbers"),
        ("abcd", "expected 4 positive numbers"),
        ([1, 2, 3, 0], "expected a positive number; got 0"),
        ({"effect": -1}, ", effect: expected a positive number; got -1"),
        ({"bias": 1}, "effect, heterogeneity; got 'bias'"),
        ({"beta": 1}, "got 'beta'"),
    ],
)
def test_weights_that_are_none_are_refused(fit, weights, what):
    with pytest.raises(rb.PriorError, match=rf"^prior_weights.*{what}"):
        fit.update(prior_weights=weights)


def test_odds_that_no_weights_have_are_refused():
    from pyrobma.models.reweighted import with_weights
    from pyrobma.parameters import UNKNOWNS

    alike = [
        rb.model(mu=NORMAL, tau=rb.prior("inv_gamma", shape=1, scale=0.15)),
        rb.model(),
    ]
    odds = {"effect": 1.0, "heterogeneity": 2.0}
    with pytest.raises(rb.PriorError, match="odds that models can have together"):
        with_weights(rb.ModelSpace(alike), odds, UNKNOWNS)


def test_a_rough_model_that_matters_under_new_weights_is_fitted(counted):
    effects = [rb.prior("normal", mean=0, sd=sd) for sd in (0.2, 0.4, 0.6, 0.8, 1)]
    far = robma(d=[0.0, 1.2, -1.2, 0.6, -0.8, 1.0], se=[0.1] * 6, priors_effect=effects)
    rough = [i for i, one in enumerate(far.fits) if one.rough]
    assert rough
    counted.clear()
    weighed = far.update(prior_weights={"heterogeneity": 1e-300})
    assert not any(weighed.fits[i].rough for i in rough)
    assert counted["fit_model"] == len(rough)
    kept = [i for i in range(len(far.fits)) if i not in rough]
    np.testing.assert_array_equal(weighed.logml[kept], far.logml[kept])


# ---- priors


@pytest.mark.parametrize(
    ("priors", "arguments", "new"),
    [
        ({"effect": NORMAL}, {"priors_effect": NORMAL}, 2),
        (
            {"effect": {"null": rb.prior("normal", mean=0, sd=0.05)}},
            {"priors_effect_null": rb.prior("normal", mean=0, sd=0.05)},
            2,
        ),
        ({"heterogeneity": {"null": None}}, {"priors_heterogeneity_null": None}, 0),
        ({"bias": rb.prior_PET("cauchy", location=0, scale=1, prior_weight=2)},
         {"priors_bias": rb.prior_PET("cauchy", location=0, scale=1, prior_weight=2)},
         4),
    ],
    ids=["alternative", "null", "a side less", "bias"],
)  # fmt: skip
def test_other_priors_are_those_of_a_fresh_call_and_only_they_are_fitted(
    fit, counted, priors, arguments, new
):
    updated = fit.update(priors=priors)
    assert counted["fit_model"] == new
    fresh = robma(**arguments)
    assert [m.priors for m in updated.space] == [m.priors for m in fresh.space]
    np.testing.assert_allclose(updated.prior_prob, fresh.prior_prob)
    error = np.hypot(
        [f.logml_mcse for f in updated.fits], [f.logml_mcse for f in fresh.fits]
    )
    gap = np.abs(updated.logml - fresh.logml)
    assert (gap <= ERRORS * error + 1e-9).all()


def test_priors_that_keep_their_places_give_the_very_numbers(fit):
    # Seeds of models follow from their places.
    updated = fit.update(priors={"effect": NORMAL})
    assert_same(updated, robma(priors_effect=NORMAL))


def test_several_priors_share_their_side_by_weight(clustered, counted):
    several = [NORMAL, rb.prior("normal", mean=0, sd=1, prior_weight=2)]
    updated = clustered.update(priors={"effect": several, "hierarchical": {
        "null": SPIKE}})  # fmt: skip
    plan = robma(
        study_ids=IDS, priors_effect=several, priors_hierarchical_null=SPIKE,
        only_priors=True,
    )  # fmt: skip
    np.testing.assert_allclose(updated.prior_prob, plan.space.prior_prob)
    assert [m.priors for m in updated.space] == [m.priors for m in plan.space]
    # Of 9 posteriors those with Normal(0, 1) or a spike for mu, and rho free or none,
    # were there.
    assert counted["fit_model"] == 5
    # Fits that moved have the seeds of other places, which new ones must not have too.
    seeds = {(one.fingerprint, one.seed) for one in updated.fits}
    assert len({seed for _, seed in seeds}) == len(seeds) == 9


def test_priors_of_a_term_change_its_models_only(counted):
    table = pd.DataFrame({"d": D, "se": SE, "age": [1.0, 2, 4, 3, 5, 7]})
    arguments = {"data": table, "d": "d", "se": "se", "mods": "age"}
    fit = robma(**arguments, mods_prior="beta-binomial")
    counted.clear()
    wide = rb.prior("normal", mean=0, sd=0.7)
    updated = fit.update(priors={"age": wide})
    assert counted["fit_model"] == 4
    fresh = robma(**arguments, mods_prior="beta-binomial", priors_mods={
        "age": {"alternative": wide, "null": SPIKE}})  # fmt: skip
    assert_same(updated, fresh)
    # And without the models that do not have the term.
    tested = updated.update(priors={"age": {"null": None}})
    assert len(tested.space) == 4


@pytest.mark.parametrize(
    ("priors", "what"),
    [
        (3, "expected a mapping by component"),
        ({"beta": NORMAL}, "expected some of effect, heterogeneity, bias; got 'beta'"),
        ({"hierarchical": NORMAL}, "expected some of .*; got 'hierarchical'"),
        ({"effect": {"both": NORMAL}}, "for effect; got 'both'"),
        ({"effect": 3}, "priors_effect: expected a prior"),
        ({"effect": {"alternative": None, "null": None}}, "at least one prior"),
    ],
)
def test_priors_that_are_none_are_refused(fit, priors, what):
    with pytest.raises(rb.PriorError, match=what):
        fit.update(priors=priors)


def test_priors_of_models_given_one_by_one_cannot_be_changed(fit):
    own = fit.update(prior_weights=[1, 2, 3, 5])
    with pytest.raises(rb.PriorError, match=r"change priors before weights\.$"):
        own.update(priors={"effect": NORMAL})


def test_priors_come_before_weights_in_one_call(fit):
    both = fit.update(priors={"effect": NORMAL}, prior_weights={"effect": 1 / 3})
    assert both.inclusion.loc["effect", "prior_prob"] == pytest.approx(0.25)
    assert both.space.models[3].prior("mu") == NORMAL


# ---- models


def test_more_models_come_after_those_that_there_are(fit, counted):
    more = [rb.model(mu=NORMAL), rb.model(mu=NORMAL, tau=NORMAL.truncated(0, np.inf))]
    updated = fit.update(models=more)
    assert counted["fit_model"] == 2
    assert_same(updated, robma(models=[*fit.space, *more], priors_bias=rb.DEFAULT))
    np.testing.assert_array_equal(updated.logml[:4], fit.logml)


@pytest.mark.parametrize(
    ("models", "what"),
    [
        ([], "at least one model"),
        ([NORMAL], r"expected models made by model"),
        ([rb.model(mu=NORMAL, tau=NORMAL.truncated(0, 1),
                   rho=rb.prior("beta", alpha=1, beta=1))], "has rho"),
    ],
)  # fmt: skip
def test_models_that_the_data_cannot_have_are_refused(fit, models, what):
    with pytest.raises(rb.PriorError, match=rf"^models: .*{what}"):
        fit.update(models=models)


# ---- draws and settings


def test_more_draws_continue_the_chains(fit, counted):
    longer = fit.update(draws=1000)
    assert counted == {"extend": 3}  # one model has no free parameter
    for one, other in zip(longer.fits, fit.fits, strict=True):
        if one.chains is None:
            continue
        assert one.chains.draws.shape[1] == 1000
        had = other.chains.draws.shape[1]
        np.testing.assert_array_equal(one.chains.draws[:, :had], other.chains.draws)
    assert longer.settings.draws == 1000
    gap = np.abs(longer.logml - fit.logml)
    error = np.array([f.logml_mcse for f in fit.fits])
    assert (gap <= ERRORS * error).all()
    # They are fits of the new settings from then on.
    again = robma(
        settings=replace(longer.settings), fits=longer.fits, seed=1,
    )  # fmt: skip
    assert counted == {"extend": 3}
    assert_same(again, longer)


def test_a_smaller_error_extends_what_needs_it(fit, counted):
    exact = fit.update(settings=replace(fit.settings, max_mcse=0.003))
    assert counted["fit_model"] == 0
    assert counted["extend"]
    # The most probable model has the largest share of the evidence, above a quarter.
    assert exact.fits[int(np.argmax(exact.post_prob))].bridge.mcse <= 0.003


def test_other_settings_of_the_chains_fit_all_models_again(fit, counted):
    other = fit.update(settings=replace(SETTINGS, adapt_delta=0.9))
    assert counted["fit_model"] == 4
    assert_same(other, robma(settings=replace(SETTINGS, adapt_delta=0.9)))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"draws": 300}, "draws: expected at least the 400 of the fit; got 300"),
        ({"draws": "many"}, "draws: expected a whole number"),
        ({"draws": 500, "settings": SETTINGS}, "draws: expected None beside settings"),
        ({"settings": 3}, "settings: expected SamplerSettings or None; got 3"),
        ({"seed": 2}, "seed: expected None or 1, that of the fit; got 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(fit, options, what):
    with pytest.raises(rb.SettingsError, match=f"^{what}"):
        fit.update(**options)


def test_the_seed_of_the_fit_may_be_said(fit):
    assert_same(fit.update(seed=1), fit)


# ---- what comes with them


def test_an_update_goes_on_from_a_cache(fit, counted, tmp_path):
    first = fit.update(priors={"effect": NORMAL}, draws=1000, cache=tmp_path)
    assert counted["fit_model"] == 2
    assert counted["extend"] == 1  # of the models that are left; one is fixed
    counted.clear()
    assert_same(
        fit.update(priors={"effect": NORMAL}, draws=1000, cache=tmp_path), first
    )
    assert not counted


def test_a_saved_fit_can_be_updated(fit, counted, tmp_path):
    fit.save(tmp_path / "fit.pyrobma")
    loaded = rb.load(tmp_path / "fit.pyrobma")
    updated = loaded.update(prior_weights={"effect": 2.0}, priors={"effect": NORMAL})
    assert counted["fit_model"] == 2
    assert len(updated.fits) == 4


def test_fits_that_were_added_up_are_not_fitted_again(fit, counted):
    other = robma(
        models=[rb.model(mu=NORMAL)], priors_bias=rb.DEFAULT,
        settings=replace(SETTINGS, draws=500),
    )  # fmt: skip
    counted.clear()
    both = (fit + other).update(prior_weights=[1, 1, 1, 1, 4])
    assert not counted
    assert both.prior_prob[-1] == 0.5


def test_a_failure_keeps_the_models_that_are_done(fit, monkeypatch):
    def fit_model(*arguments):
        raise rb.SamplingError("made to fail")

    monkeypatch.setattr(plan, "fit_model", fit_model)
    with pytest.raises(rb.FitError, match="made to fail") as caught:
        fit.update(priors={"effect": NORMAL})
    assert isinstance(caught.value.finished, rb.RobmaFit)
    assert len(caught.value.fits) == 2


def test_a_check_that_is_missed_is_a_warning(fit):
    tight = replace(fit.settings, max_mcse=1e-5, max_draws=400)
    with pytest.warns(rb.ConvergenceWarning, match="error of log"):
        missed = fit.update(settings=tight)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = missed.update(settings=fit.settings)
    assert all(one.ok for one in back.fits)
