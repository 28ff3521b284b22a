"""The evidence for each moderator: its numbers, and what is drawn and refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from plot_ensembles import drawn, moderated, texts

import pyrobma as rb
from pyrobma.plots.numbers import bayes_factor
from pyrobma.plots.terms import plot_terms, terms_frame

TABLE = pd.DataFrame(
    {
        "age": np.array([2, 3, 4, 4, 5, 6, 7, 8, 9, 11, 13, 17.0]),
        "measure": ["direct", "informant"] * 6,
    }
)


@pytest.fixture(scope="module")
def fit(made):
    return moderated(made, "measure * age", TABLE)


def test_the_frame_is_the_evidence_for_terms_that_are_tested(fit):
    frame = terms_frame(fit)
    assert frame["term"].tolist() == ["measure", "age", "measure:age"]
    wanted = fit.inclusion.loc[frame["term"]]
    for column in wanted.columns:
        np.testing.assert_array_equal(frame[column], wanted[column])
    # One of the five sets of terms that respect their hierarchy has all of them.
    np.testing.assert_allclose(frame["prior_prob"], [0.6, 0.6, 0.2])


def test_terms_in_every_model_are_left_out(made):
    fit = moderated(made, "measure + age", TABLE, test="age")
    assert terms_frame(fit)["term"].tolist() == ["age"]


def test_bars_and_circles_are_at_their_probabilities(fit):
    figure = plot_terms(fit)
    (bars,) = (layer._data for layer in figure.layers if "xmax" in layer.mapping)
    np.testing.assert_array_equal(bars["post_prob"], terms_frame(fit)["post_prob"])
    found = texts(figure)
    for row in terms_frame(fit).itertuples():
        assert {row.term, f"{row.post_prob:.3f}", bayes_factor(row.log_bf)} <= set(
            found
        )
    assert drawn(figure)


def test_intervals_are_of_the_monte_carlo_error_and_stay_between_0_and_1(made, fit):
    figure = plot_terms(fit)
    (bars,) = (layer._data for layer in figure.layers if "xmax" in layer.mapping)
    wide = 1.96 * bars["post_prob_mcse"]
    np.testing.assert_allclose(bars["high"], np.minimum(bars["post_prob"] + wide, 1))
    np.testing.assert_allclose(bars["low"], np.maximum(bars["post_prob"] - wide, 0))


def test_no_moderator_or_none_that_is_tested_is_refused(made):
    with pytest.raises(rb.DataError, match=r"ensemble: expected one with moderators"):
        plot_terms(made.ensemble(made.space(), [0.0] * 4))
    fit = moderated(made, "measure + age", TABLE, test=False)
    message = r"ensemble: expected a moderator .* got measure, age in all or in none"
    with pytest.raises(rb.DataError, match=message):
        terms_frame(fit)
