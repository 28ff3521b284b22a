"""The figure of Bayes factors by the prior."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from plot_ensembles import drawn, texts

import pyrobma as rb
from pyrobma.plots.sensitivity import plot_sensitivity

FACTORS = [0.25, 0.5, 1.0, 2.0, 4.0]


def frame(log_bf, **columns):
    n = len(log_bf)
    factors = FACTORS[:n]
    given = {
        "factor": factors,
        "scale": factors,
        "prior": [f"Normal(0, {factor:g})" for factor in factors],
        "log_bf": log_bf,
        "log_bf_mcse": 0.02,
        "how": ["refitted", "reweighted", "as fitted", "reweighted", "reweighted"][:n],
    }
    return pd.DataFrame(given | columns)


CURVE = frame(np.log([2.0, 4.0, 3.0, 1.5, 0.8]))


def axis(figure, which):
    (scale,) = (s for s in figure.scales if which in s.aesthetics)
    return dict(zip(scale.labels, scale.breaks, strict=True))


def test_bayes_factors_are_on_a_logarithmic_axis_over_the_scale():
    figure = plot_sensitivity(CURVE, title="Effect", axis="sd of the prior of μ")
    assert figure.labels.x == "sd of the prior of μ"
    assert figure.labels.y == "Inclusion Bayes factor: Effect"
    np.testing.assert_allclose(figure.data["x"], np.log10(FACTORS))
    np.testing.assert_allclose(figure.data["y"], np.log10([2, 4, 3, 1.5, 0.8]))
    half = 1.96 * 0.02 / math.log(10)
    np.testing.assert_allclose(figure.data["high"] - figure.data["y"], half)
    np.testing.assert_allclose(figure.data["y"] - figure.data["low"], half)
    assert axis(figure, "x") == pytest.approx(
        {"0.5": math.log10(0.5), "1": 0.0, "2": math.log10(2)}
    )
    assert axis(figure, "y") == pytest.approx(
        {"1/3": -math.log10(3), "1": 0.0, "3": math.log10(3)}
    )
    assert drawn(figure)


def test_words_say_what_the_evidence_between_the_lines_is_called():
    figure = plot_sensitivity(CURVE)
    assert {"weak for", "weak against", "Normal(0, 1)"} <= {
        text.strip() for text in texts(figure)
    }
    wide = plot_sensitivity(frame(np.log([0.004, 0.05, 0.3, 5, 40])))
    assert {"extreme against", "strong against", "moderate for", "strong for"} <= set(
        texts(wide)
    )
    assert "extreme for" not in texts(wide)
    lines = [float(x._data["yintercept"].iloc[0]) for x in wide.layers
             if x._data is not None and "yintercept" in x._data]  # fmt: skip
    np.testing.assert_allclose(sorted(lines), np.log10([0.1, 1 / 3, 1, 3, 10]))
    assert drawn(wide)


def test_the_prior_as_fitted_is_marked():
    figure = plot_sensitivity(CURVE)
    (line,) = (x for x in figure.layers if "xintercept" in x.mapping)
    assert line._data["factor"].tolist() == [1.0]
    shapes = {s.aesthetics[0]: s for s in figure.scales}["shape"]
    assert list(shapes.breaks) == ["as fitted", "reweighted", "refitted"]


def test_several_scales_are_drawn_by_their_factor():
    figure = plot_sensitivity(CURVE.assign(scale=np.nan))
    np.testing.assert_allclose(figure.data["x"], np.log10(FACTORS))
    assert figure.labels.x == "Scale of the prior, times that fitted"
    tenfold = plot_sensitivity(CURVE.assign(scale=10 * np.array(FACTORS)))
    np.testing.assert_allclose(tenfold.data["x"], 1 + np.log10(FACTORS))


@pytest.mark.parametrize(
    ("log_bf", "labels"),
    [
        (np.log(10) * np.linspace(91.5, 92.5, 5), ["10⁹¹", "10⁹²", "10⁹³"]),
        (-np.log(10) * np.linspace(91.5, 92.5, 5), ["10⁻⁹³", "10⁻⁹²", "10⁻⁹¹"]),
        (np.log(10) * np.linspace(0, 3, 5), ["1", "10", "100", "1000"]),
        (
            np.log(10) * np.linspace(0, 400, 5),
            ["1", "10¹⁰⁰", "10²⁰⁰", "10³⁰⁰", "10⁴⁰⁰"],
        ),
    ],
)
def test_the_axis_is_where_the_bayes_factors_are(log_bf, labels):
    figure = plot_sensitivity(frame(log_bf))
    assert list(axis(figure, "y")) == labels
    assert drawn(figure)


def test_priors_that_were_given_are_rows():
    given = CURVE.assign(factor=[1.0] + 4 * [math.nan])
    figure = plot_sensitivity(given)
    assert axis(figure, "x") == {
        text: -float(place) for place, text in enumerate(given["prior"])
    }
    assert "weak for" in texts(figure)
    assert drawn(figure)
    heights = [
        plot_sensitivity(some).theme.getp("figure_size")[1]
        for some in (given, pd.concat(4 * [given]))
    ]
    assert heights[0] < heights[1]


def test_one_prior_is_drawn_and_what_is_infinite_is_not():
    assert drawn(plot_sensitivity(frame([0.5])))
    some = plot_sensitivity(frame([math.inf, 0.3, 0.2]))
    assert len(some.data) == 2
    with pytest.raises(rb.DataError, match="frame: expected a finite Bayes factor"):
        plot_sensitivity(frame([math.inf, -math.inf]))
