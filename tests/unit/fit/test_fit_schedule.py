"""Scheduling of the models, with an executor that returns made-up fits."""

from __future__ import annotations

import pickle
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.fit import FitInterrupted, fit_models, plan, schedule
from pyrobma.fit.model import fingerprint
from pyrobma.models import Task

SPIKE = (rb.prior("spike", location=0),)
TASK = Task(rb.effect_sizes(d=[0.1, 0.2], se=[0.1, 0.1]), "cohens_d")


class Stub:
    """An executor whose jobs give made-up fits at once, and count."""

    def __init__(self, made, failing=(), mcse=0.001):
        self.made, self.failing, self.mcse = made, failing, mcse
        self.jobs = []

    def submit(self, function, /, *arguments):
        job = Future()
        spec = arguments[1] if function.__name__ == "fit_model" else arguments[1].spec
        self.jobs.append((function.__name__, str(spec)))
        if str(spec) in self.failing:
            job.set_exception(rb.SamplingError(f"model with {spec}: made to fail"))
            return job
        draws = 20 * (1 + sum(j == ("extend", str(spec)) for j in self.jobs))
        rng = np.random.default_rng(1)
        mcse = self.mcse if function.__name__ == "fit_model" else self.mcse / 2
        job.set_result(
            self.made.fit(
                spec,
                logml=1.0,
                mcse=mcse if spec.free else 0.0,
                draws={n: rng.normal(0.5, 0.1, (2, draws)) for n in spec.free},
                seed=arguments[3] if function.__name__ == "fit_model" else 0,
                fingerprint=fingerprint(arguments[0], spec, arguments[2]),
            )
        )
        return job


@pytest.fixture
def space(made):
    return made.space(hierarchical_null=SPIKE)


def test_models_with_one_posterior_are_fitted_once(made, space):
    stub = Stub(made)
    fits = fit_models(TASK, space, seed=1, executor=stub)
    assert len(space) == len(fits) == 8
    assert len(stub.jobs) == 6
    assert fits[0].seed == fits[1].seed
    assert [fit.spec for fit in fits] == list(space.models)


def test_the_models_with_most_parameters_start_first(made, space):
    stub = Stub(made)
    fit_models(TASK, space, seed=1, executor=stub)
    assert stub.jobs[0][1].count("~") == 3
    assert stub.jobs[-1][1] == "mu = 0, tau = 0"


def test_seeds_depend_on_the_seed_and_the_model_only(made, space):
    def seeds(seed):
        found = fit_models(TASK, space, seed=seed, executor=Stub(made))
        return [fit.seed for fit in found]

    assert seeds(1) == seeds(1)
    assert not set(seeds(1)) & set(seeds(2))


def test_every_posterior_has_a_seed_of_its_own(made, space):
    fits = fit_models(TASK, space, seed=1, executor=Stub(made))
    # Six posteriors; equal seeds would give models errors that are alike.
    assert len({fit.seed for fit in fits}) == len(set(space.first)) == 6


def test_an_imprecise_model_that_matters_is_extended(made, space):
    stub = Stub(made, mcse=0.015)
    fits = fit_models(TASK, space, seed=1, executor=stub)
    assert sum(name == "extend" for name, _ in stub.jobs) == 5
    assert max(fit.logml_mcse for fit in fits) < 0.01


def test_a_failure_keeps_the_other_fits_and_they_are_not_fitted_again(made, space):
    bad = str(space.models[3])
    with pytest.raises(rb.FitError, match="made to fail") as caught:
        fit_models(TASK, space, seed=1, executor=Stub(made, failing=(bad,)))
    assert bad in str(caught.value)
    assert "The 5 other fits are kept in this error's `fits`" in str(caught.value)
    assert isinstance(caught.value.__cause__, rb.SamplingError)
    stub = Stub(made)
    resumed = fit_models(TASK, space, seed=1, executor=stub, fits=caught.value.fits)
    assert stub.jobs == [("fit_model", bad)]
    whole = fit_models(TASK, space, seed=1, executor=Stub(made))
    assert [f.seed for f in resumed] == [f.seed for f in whole]


def test_several_failures_are_counted(made, space):
    bad = (str(space.models[3]), str(space.models[7]))
    with pytest.raises(rb.FitError, match=r"\(2 models failed\)") as caught:
        fit_models(TASK, space, seed=1, executor=Stub(made, failing=bad))
    assert len(caught.value.fits) == 4


def test_fits_of_other_data_or_settings_are_fitted_again(made, space):
    known = fit_models(TASK, space, seed=1, executor=Stub(made))
    other = Task(rb.effect_sizes(d=[0.1, 0.3], se=[0.1, 0.1]), "cohens_d")
    for task, settings in ((other, None), (TASK, rb.SamplerSettings(chains=3))):
        stub = Stub(made)
        fit_models(task, space, settings=settings, seed=1, executor=stub, fits=known)
        assert len(stub.jobs) == 6


def test_a_failure_and_its_fits_survive_another_process(made, space):
    fits = fit_models(TASK, space, seed=1, executor=Stub(made))
    error = pickle.loads(pickle.dumps(rb.FitError("it failed", fits)))
    assert str(error) == "it failed"
    assert [fit.spec for fit in error.fits] == list(space.models)


class Interrupts(Stub):
    """An executor where the user interrupts while one model runs; two come later."""

    def __init__(self, made, space, when):
        super().__init__(made)
        self.space, self.when, self.futures = space, when, []

    def submit(self, function, /, *arguments):
        job = super().submit(function, *arguments)
        number = len(self.futures)
        if number == self.when:
            job = Future()
            job.set_running_or_notify_cancel()
            job.set_exception(KeyboardInterrupt())
        elif number == self.when + 1:
            job = Future()  # waits, and can be cancelled
        self.futures.append(job)
        return job


@pytest.mark.parametrize("when", [0, 2])
def test_an_interrupt_keeps_every_model_that_is_done_and_cancels_the_rest(
    made, space, when
):
    stub = Interrupts(made, space, when)
    with pytest.raises(FitInterrupted) as caught:
        fit_models(TASK, space, seed=1, executor=stub)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value.finished is None
    assert len(caught.value.fits) == 4  # later ones too: they were done
    assert stub.futures[when + 1].cancelled()
    again = Stub(made)
    fit_models(TASK, space, seed=1, executor=again, fits=caught.value.fits)
    assert len(again.jobs) == 2


def test_an_interrupt_while_models_are_refined_keeps_their_first_fits(made, space):
    stub = Interrupts(made, space, when=6)
    stub.mcse = 0.015
    with pytest.raises(FitInterrupted) as caught:
        fit_models(TASK, space, seed=1, executor=stub)
    assert len(caught.value.fits) == 6
    extended = {len(fit.chains.draws[0]) for fit in caught.value.fits if fit.chains}
    assert extended == {20, 40}  # those that were done already count as well


def test_an_interrupt_needs_no_more_of_a_future_than_its_result(made, space):
    class Plain:
        def __init__(self, job):
            self.result = job.result

    class Bare(Interrupts):
        def submit(self, function, /, *arguments):
            return Plain(super().submit(function, *arguments))

    with pytest.raises(FitInterrupted) as caught:
        fit_models(TASK, space, seed=1, executor=Bare(made, space, when=2))
    assert len(caught.value.fits) == 2


def test_an_interrupt_waits_for_no_model_that_has_not_started(made, space, monkeypatch):
    started, first = [], threading.Event()

    def fit_model(task, spec, settings, *rest):
        started.append(spec)
        if len(started) == 1:
            return made.fit(spec, fingerprint=fingerprint(task, spec, settings))
        if len(started) == 2:
            first.set()
            raise KeyboardInterrupt
        time.sleep(0.2)
        raise AssertionError("stopped")

    monkeypatch.setattr(plan, "fit_model", fit_model)
    began = time.monotonic()
    with pytest.raises(FitInterrupted) as caught:
        fit_models(TASK, space, seed=1, cores=1)
    assert first.is_set()
    assert len(caught.value.fits) == 1
    # The third may run by then, for 0.2 s; all six would take a second.
    assert len(started) <= 3
    assert time.monotonic() - began < 0.8


def test_an_interrupt_and_its_fits_survive_another_process(made, space):
    fits = fit_models(TASK, space, seed=1, executor=Stub(made))
    error = pickle.loads(pickle.dumps(FitInterrupted(fits)))
    assert [fit.spec for fit in error.fits] == list(space.models)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ([{}], "dict at position 0"),
        ("abc", "str at position 0"),
        (None, "NoneType"),
        (3, "int"),
    ],
)
def test_fits_that_are_none_are_named_with_their_position(made, space, wrong, what):
    with pytest.raises(rb.DataError, match=rf"^fits: expected .*; got {what}\. Give"):
        fit_models(TASK, space, seed=1, executor=Stub(made), fits=wrong)


def test_the_position_is_that_of_the_first_wrong_fit(made, space):
    fits = fit_models(TASK, space, seed=1, executor=Stub(made))
    with pytest.raises(rb.DataError, match="got ModelSpec at position 2"):
        fit_models(TASK, space, executor=Stub(made), fits=[*fits[:2], space.models[0]])


def test_fits_of_a_generator_are_used(made, space):
    fits = fit_models(TASK, space, seed=1, executor=Stub(made))
    stub = Stub(made)
    fit_models(TASK, space, seed=1, executor=stub, fits=(fit for fit in fits))
    assert not stub.jobs


class ByHand:
    """An executor whose jobs end when they are told to."""

    def __init__(self):
        self.jobs = []

    def submit(self, function, /, *arguments):
        job = Future()
        self.jobs.append((arguments, job))
        return job


def test_no_analysis_waits_for_the_wave_of_another(made):
    space = made.space()
    by_hand, seen, waiting = ByHand(), [], []
    analyses = [schedule.Analysis(TASK, space, seed, f"{seed}") for seed in (1, 2)]
    stub = Stub(made, mcse=0.015)  # models are extended in a second wave

    def answer(k):
        """End the jobs of an analysis that are there."""
        seeds = {plan.model_seed(k, i) for i in range(len(space))}
        own = [(a, job) for a, job in by_hand.jobs if _seed_of(a) in seeds]
        by_hand.jobs = [(a, job) for a, job in by_hand.jobs if (a, job) not in own]
        waiting.append(len(by_hand.jobs))  # those of the other
        for arguments, job in own:
            name = plan.extend if len(arguments) == 5 else plan.fit_model
            seen.append((k, name.__name__))
            job.set_result(stub.submit(name, *arguments).result())

    def answers():
        for k in (1, 1, 2, 2):
            time.sleep(0.1)
            answer(k)

    threading.Thread(target=answers).start()
    settings = rb.SamplerSettings()
    schedule.fit_analyses(analyses, settings=settings, executor=by_hand)
    order = list(dict.fromkeys(seen))
    assert order == [(1, "fit_model"), (1, "extend"), (2, "fit_model"), (2, "extend")]
    assert waiting == [4, 4, 0, 0]


def _seed_of(arguments):
    return arguments[1].seed if len(arguments) == 5 else arguments[3]


def test_analyses_side_by_side_are_what_each_is_alone():
    few = rb.SamplerSettings(chains=2, warmup=150, draws=100, max_draws=100)
    space = rb.model_space(
        effect=rb.default_priors("effect"), heterogeneity_null=SPIKE, effect_null=SPIKE
    )
    other = Task(rb.effect_sizes(d=[0.3, 0.2, 0.5], se=[0.1, 0.1, 0.2]), "cohens_d")
    analyses = [
        schedule.Analysis(TASK, space, 1, "one"),
        schedule.Analysis(other, space, 2, "other"),
    ]
    found = schedule.fit_analyses(analyses, settings=few, cores=2)
    for one, fits in zip(analyses, found, strict=True):
        alone = fit_models(one.task, one.space, settings=few, seed=one.seed)
        for a, b in zip(fits, alone, strict=True):
            assert a.logml == b.logml
            assert (a.chains is None) == (b.chains is None)
            if a.chains is not None:
                np.testing.assert_array_equal(a.chains.draws, b.chains.draws)


def test_a_failing_analysis_lets_the_others_finish(made):
    space = made.space()
    bad = str(space.models[3])
    other = Task(rb.effect_sizes(d=[0.3, 0.2], se=[0.1, 0.1]), "cohens_d")

    class Fails(Stub):
        def submit(self, function, /, *arguments):
            self.failing = (bad,) if arguments[0] is other else ()
            return super().submit(function, *arguments)

    analyses = [schedule.Analysis(task, space, 1, "one") for task in (other, TASK)]
    with pytest.raises(rb.FitError, match="made to fail") as caught:
        schedule.fit_analyses(
            analyses, settings=rb.SamplerSettings(), executor=Fails(made)
        )
    assert len(caught.value.fits) == 2 * len(set(space.first)) - 1
