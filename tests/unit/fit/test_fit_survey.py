"""What a model's survey decides: the second estimate, hopeless models, stuck chains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.errors import ChainsTimeout
from pyrobma.fit import (
    Fit,
    SamplerSettings,
    efforts,
    extend,
    fit_model,
    fit_models,
    model,
    plan,
)
from pyrobma.fit.model import Effort, Survey, survey
from pyrobma.models import Task

SPIKE = (rb.prior("spike", location=0),)
SETTINGS = SamplerSettings(chains=2, draws=400)
TASK = Task(
    rb.effect_sizes(d=[0.3, 0.1, 0.4, 0.2], se=[0.1, 0.12, 0.09, 0.2]), "cohens_d"
)


@pytest.fixture(scope="module")
def spec():
    (found,) = rb.model_space(
        effect=[rb.prior("normal", mean=0, sd=1)],
        heterogeneity=[rb.prior("inv_gamma", shape=1, scale=0.15)],
    ).models
    return found


@pytest.fixture(scope="module")
def found(spec) -> Survey:
    return survey(TASK, spec, SETTINGS, 1)


def shifted(found: Survey, **changes: object) -> Survey:
    second = replace(found.second, **changes)
    return replace(found, exploration=replace(found.exploration, second=second))


@pytest.fixture
def shifted_logml(found):
    return lambda logml, error: shifted(found, logml=logml, error=error)


def test_a_fit_carries_both_numbers_and_they_agree(spec, found):
    fit = fit_model(TASK, spec, SETTINGS, 1, 1, found)
    assert fit.second == found.second
    assert fit.second.method == "quadrature"
    assert fit.sampler == "NUTS"
    assert fit.ok
    assert abs(fit.logml - fit.second.logml) < 4 * fit.logml_mcse


def test_what_differs_from_the_second_estimate_is_marked_and_covered(spec, found):
    wrong = shifted(found, logml=found.second.logml + 0.7)
    fit = fit_model(TASK, spec, replace(SETTINGS, max_draws=800), 1, 1, wrong)
    assert not fit.ok
    assert any("from the second estimate" in reason for reason in fit.reasons)
    assert fit.logml_mcse == pytest.approx(0.7, rel=0.05)


def test_a_mean_that_differs_is_marked_and_its_error_covers_it(spec, found):
    place = found.second.names.index("mu")
    means = list(found.second.means)
    means[place] += 0.5
    fit = fit_model(
        TASK,
        spec,
        replace(SETTINGS, max_draws=800),
        1,
        1,
        shifted(found, means=tuple(means)),
    )
    assert any(reason.startswith("mean of mu") for reason in fit.reasons)
    draws = fit.draws("mu")
    error = draws.std() / np.sqrt(fit.diagnostics.ess_mean[0])
    assert fit.mean_factor("mu") * error == pytest.approx(0.5, rel=0.15)
    assert fit.mean_factor("tau") == 1.0


def test_a_model_that_cannot_matter_runs_no_chain(spec, found, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("a chain was run")

    monkeypatch.setattr(model, "run_chains", never)
    fit = fit_model(TASK, spec, SETTINGS, 1, 1, found, Effort(0, np.inf))
    assert fit.rough
    assert fit.ok
    assert fit.logml == found.second.logml
    assert fit.logml_mcse == found.second.error
    assert fit.draws("mu").shape == (2, 100)


def test_an_independence_sampler_that_was_asked_for_runs_no_chain(
    spec, found, monkeypatch
):
    def never(*arguments, **options):
        raise AssertionError("a chain was run")

    monkeypatch.setattr(model, "run_chains", never)
    settings = replace(SETTINGS, sampler="independence")
    fit = fit_model(TASK, spec, settings, 1, 1, found)
    assert fit.sampler == "independence"
    assert fit.ok
    assert 0 < fit.logml_mcse < 0.01
    assert abs(fit.logml - found.second.logml) < 4 * fit.logml_mcse
    shaky = shifted(found, method="importance", pareto_k=0.9, error=0.5)
    with pytest.raises(AssertionError, match="a chain was run"):
        fit_model(TASK, spec, settings, 1, 1, shaky)


def space_of(*components: str) -> rb.ModelSpace:
    """Spikes and normals of mu and tau: no model is fitted."""
    sides = {
        "effect": (rb.prior("normal", mean=0, sd=1),),
        "heterogeneity": (rb.prior("inv_gamma", shape=1, scale=0.15),),
    }
    return rb.model_space(
        **{c: sides[c] for c in components},
        **{f"{c}_null": SPIKE for c in ("effect", "heterogeneity")},
    )


def test_a_share_is_of_the_hypothesis_in_which_it_is_largest():
    space = space_of("effect", "heterogeneity")
    names = [m.alternative for m in space.models]
    logml = dict(enumerate(np.log([0.1, 0.2, 0.3, 0.4])))
    shares = efforts.model_shares(logml, space)
    given = dict(zip(names, np.exp(list(logml.values())), strict=True))
    for i, name in enumerate(names):
        sums = []
        for component in ("effect", "heterogeneity"):
            sums.append(
                sum(
                    p
                    for n, p in given.items()
                    if (component in n) == (component in name)
                )
            )
        assert shares[i] == pytest.approx(given[name] / min(sums))


def test_errors_asked_for_keep_that_of_the_evidence_for_a_hypothesis():
    rng = np.random.default_rng(1)
    space = rb.model_space(
        effect=[rb.prior("normal", mean=0, sd=s) for s in np.linspace(0.1, 2, 25)],
        effect_null=[rb.prior("normal", mean=0, sd=s) for s in (0.001, 0.002)],
        heterogeneity_null=SPIKE,
    )
    for spread in (0.0, 1.0, 5.0):
        logml = dict(enumerate(spread * rng.normal(size=len(space))))
        asked = efforts.model_efforts(logml, space, SETTINGS.resolved(1), few=True)
        p = np.exp(list(logml.values()))
        side = np.array(["effect" in m.alternative for m in space.models])
        for half in (side, ~side):
            share = p[half] / p[half].sum()
            error = np.array([asked[i].error for i in np.flatnonzero(half)])
            assert np.sqrt((share**2 * error**2).sum()) <= 1.12 * SETTINGS.max_mcse
        assert all(300 <= effort.draws <= 400 for effort in asked.values())


def test_what_is_negligible_by_less_than_five_errors_is_run(shifted_logml):
    space = space_of("effect")
    far = {
        error: shifted_logml(-20.0, error) for error in (1.0, 1.5)
    }  # log(1e-6) is -13.8
    for error, survey_of in far.items():
        found = efforts.hopeless_models(
            {}, {0: shifted_logml(0.0, 0.001), 1: survey_of}, space
        )
        assert found == ({1} if error == 1.0 else set())


def test_a_model_is_given_up_below_a_millionth_of_the_evidence(shifted_logml):
    space = space_of("effect")
    for ratio, hopeless in ((0.8e-6, {1}), (1.25e-6, set())):
        surveyed = {
            0: shifted_logml(0.0, 0.0), 1: shifted_logml(float(np.log(ratio)), 0.0)
        }  # fmt: skip
        assert efforts.hopeless_models({}, surveyed, space) == hopeless


def test_a_model_without_a_number_has_no_share():
    space = space_of("effect", "heterogeneity")
    known = dict(zip((0, 1, 3), np.log([0.1, 0.2, 0.4]), strict=True))
    zero = efforts.model_shares(known | {2: -np.inf}, space)
    assert efforts.model_shares(known, space) == {i: zero[i] for i in known}
    assert zero[2] == 0.0
    assert all(0.1 < share <= 1.0 for i, share in zero.items() if i != 2)


def test_no_model_may_err_by_more_than_ten_times_what_matters():
    logml = {0: 0.0, 1: -9.0, 2: -40.0, 3: 0.0}
    asked = efforts.model_efforts(
        logml, space_of("effect", "heterogeneity"), SETTINGS.resolved(1), few=True
    )
    most = SETTINGS.resolved(1).max_mcse
    assert asked[0].error == most
    assert asked[2].error == pytest.approx(10 * most)


def test_chains_are_extended_to_what_their_error_asks_for(spec, found):
    settings = replace(SETTINGS, max_draws=4000)
    fit = fit_model(TASK, spec, settings, 1, 1, found)
    have = fit.chains.draws.shape[1]
    # A half of the error needs four times the draws; a fifth more, to be sure of it.
    for ratio, draws in ((1.1, 2 * have), (2.0, int(4.8 * have)), (9.0, 4000)):
        asked = Effort(have, fit.bridge.mcse / ratio)
        longer = extend(TASK, fit, settings, 1, asked)
        assert abs(longer.chains.draws.shape[1] - draws) <= 1
        assert longer.round == fit.round + 1


def test_chains_that_take_too_long_are_replaced_and_named(spec, found, monkeypatch):
    def slow(*arguments, timeout, **options):
        raise ChainsTimeout(f"stopped after {timeout}")

    monkeypatch.setattr(model, "run_chains", slow)
    fit = fit_model(TASK, spec, replace(SETTINGS, max_seconds=7.0), 1, 1, found)
    assert fit.reasons[0] == "chains stopped after 7 seconds"
    assert fit.sampler == "independence"
    assert abs(fit.logml - found.second.logml) < 4 * fit.logml_mcse


def test_results_do_not_depend_on_how_busy_the_machine_is(spec, found):
    again = survey(TASK, spec, SETTINGS, 1)
    assert again.second == found.second
    np.testing.assert_array_equal(again.exploration.starts, found.exploration.starts)


def test_large_ensembles_sample_only_what_matters(monkeypatch):
    far = Task(rb.effect_sizes(d=[0.0, 3.0, -3.0], se=[0.05, 0.05, 0.05]), "cohens_d")
    space = rb.model_space(
        effect=[rb.prior("normal", mean=0, sd=sd) for sd in (0.5, 1.0, 2.0)],
        effect_null=[rb.prior("normal", mean=0, sd=0.1)],
        heterogeneity=[
            rb.prior("inv_gamma", shape=1, scale=scale) for scale in (0.15, 0.3)
        ],
        heterogeneity_null=SPIKE,
    )
    sampled = []
    real = plan.fit_model

    def spy(*arguments: object) -> Fit:
        sampled.append(arguments[-1])
        return real(*arguments)

    monkeypatch.setattr(plan, "fit_model", spy)
    fits = fit_models(far, space, settings=SETTINGS, seed=1)
    assert len(space) == 12
    assert sum(effort.draws == 0 for effort in sampled) == 4
    without = [f for f in fits if "heterogeneity" not in f.spec.alternative]
    assert all(f.rough for f in without)
    assert all(f.sampler == "NUTS" for f in fits if f not in without)


def test_a_second_estimate_that_cannot_stand_alone_is_said_and_costs_no_draws(
    spec, found
):
    shaky = shifted(found, method="importance", pareto_k=0.9, error=0.5)
    fit = fit_model(TASK, spec, replace(SETTINGS, draws=1500), 1, 1, shaky)
    assert fit.reasons == (
        "no second estimate to rely on (Pareto k 0.90 of its weights above 0.7)",
    )
    assert fit.sampler == "NUTS"
    assert fit.round == 0
