"""Chains continued until printed digits are certain."""

from __future__ import annotations

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.precision import LOG_BF_ERROR, excess

DATA = {"d": [0.3, 0.1, 0.4, 0.2], "se": [0.1, 0.12, 0.09, 0.2]}


@pytest.fixture(scope="module")
def fits():
    short = rb.SamplerSettings(draws=300)
    options = {**DATA, "priors_bias": None, "seed": 1, "settings": short}
    return rb.robma(**options), rb.robma(**options, precision="publication")


def test_no_printed_digit_is_uncertain_any_more(fits):
    short, precise = fits
    assert excess(short) > 1
    assert excess(precise) <= 1
    assert "last digits" in str(short.summary())
    assert "last digits" not in str(precise.summary())
    estimates = precise.summary().estimates
    assert (estimates[["error(Mean)", "error(Quantiles)"]] <= 0.002).all(axis=None)
    assert (precise.inclusion["log_bf_mcse"] <= LOG_BF_ERROR).all()


def test_only_what_adds_to_errors_is_continued_and_the_rest_stays(fits):
    short, precise = fits
    for one, other, p in zip(short.fits, precise.fits, short.post_prob, strict=True):
        if one.chains is None or p < 0.01:
            assert other.logml == one.logml
        else:
            n = one.chains.draws.shape[1]
            assert other.chains.draws.shape[1] > n
            np.testing.assert_array_equal(other.chains.draws[:, :n], one.chains.draws)


def test_estimates_agree_within_their_errors(fits):
    short, precise = (f.summary().estimates for f in fits)
    gap = (short["Mean"] - precise["Mean"]).abs()
    assert (gap < 4 * np.hypot(short["error(Mean)"], precise["error(Mean)"])).all()


def test_what_it_takes_is_said(capsys):
    rb.robma(
        **DATA, priors_bias=None, priors_effect_null=None, seed=1,
        priors_heterogeneity_null=None, settings=rb.SamplerSettings(draws=300),
        precision="publication",
    )  # fmt: skip
    assert "1 model to be continued to " in capsys.readouterr().err


def test_another_word_is_refused():
    with pytest.raises(rb.SettingsError, match="expected 'publication' or None; got"):
        rb.robma(**DATA, precision="high")
