"""Settings of the sampler and the checks."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from pyrobma import SamplerSettings, SettingsError, robma


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chains": 1}, r"chains: expected a whole number of at least 2; got 1\."),
        ({"chains": 2.0}, r"chains: expected a whole number of at least 2; got 2\.0\."),
        (
            {"chains": True},
            r"chains: expected a whole number of at least 2; got True\.",
        ),
        ({"warmup": 10}, r"warmup: expected a whole number of at least 150; got 10\."),
        ({"draws": 0}, r"draws: expected a whole number of at least 100; got 0\."),
        ({"max_treedepth": 0}, r"max_treedepth: expected a whole number of at least 1"),
        (
            {"draws": 1000, "max_draws": 999},
            r"max_draws: expected a whole number of at least 1000; got 999\.",
        ),
        (
            {"adapt_delta": 1.0},
            r"adapt_delta: expected a number in \[0\.1, 1\); got 1\.0\.",
        ),
        (
            {"sampler": "nuts"},
            r"sampler: expected 'NUTS' or 'independence'; got 'nuts'",
        ),
        ({"max_rhat": -1.0}, r"max_rhat: expected a positive number; got -1\.0\."),
        ({"min_ess": 0.0}, r"min_ess: expected a positive number; got 0\.0\."),
        ({"max_mcse": 0.0}, r"max_mcse: expected a positive number; got 0\.0\."),
        (
            {"max_mcse": float("nan")},
            r"max_mcse: expected a positive number; got nan\.",
        ),
    ],
)
def test_a_setting_out_of_range_is_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        SamplerSettings(**changes)


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SamplerSettings().chains = 8


def test_robma_leaves_what_is_not_given_to_the_settings():
    parameters = inspect.signature(robma).parameters
    for name in ("chains", "warmup", "draws"):
        assert parameters[name].default is None


def test_settings_and_single_options_cannot_be_mixed():
    with pytest.raises(SettingsError, match=r"draws: expected None beside settings"):
        robma(d=[0.1], se=[0.1], draws=500, settings=SamplerSettings())


def test_large_ensembles_start_with_fewer_draws_per_model():
    drawn = [SamplerSettings().resolved(n).draws for n in (1, 8, 12, 36)]
    assert drawn == [1500, 1500, 1000, 500]
    assert SamplerSettings(draws=700).resolved(36).draws == 700


def test_many_estimates_start_with_fewer_draws_too():
    drawn = [SamplerSettings().resolved(4, K).draws for K in (100, 3000, 10_000)]
    assert drawn == [1500, 1000, 500]


def test_more_draws_than_the_default_limit_raise_the_limit():
    settings = SamplerSettings(draws=40_000).resolved(4)
    assert settings.max_draws == 40_000
    assert SamplerSettings(max_draws=300).resolved(4).draws == 300
