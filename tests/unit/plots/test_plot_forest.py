"""The forest plot: its numbers against closed forms, and that it is drawn."""

from __future__ import annotations

import itertools
from io import BytesIO

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy.stats import norm

import pyrobma as rb
from pyrobma.effects import transform_effect
from pyrobma.ensemble import new_effect
from pyrobma.ensemble.scales import data_sd
from pyrobma.errors import DataError
from pyrobma.plots.forest import forest_frame, plot_forest, pooling_weights
from pyrobma.plots.text import cut, text_width

# Sums of products of a few thousand doubles.
ROUNDING = 1e-10
LOGML = [-2.0, 0.5, -1.0, 0.9]


@pytest.fixture
def ensemble(made):
    return made.ensemble(made.space(), LOGML)


def test_weights_are_those_of_generalised_least_squares(ensemble):
    effects = ensemble.task.effects
    draws = ensemble.joint("tau", "rho", size=2000)
    same = effects.cluster[:, None] == effects.cluster
    wanted = np.zeros(effects.K)
    for weight, tau, rho in zip(draws.weights, draws["tau"], draws["rho"], strict=True):
        T2 = data_sd(ensemble.task, tau) ** 2
        S = np.diag(effects.se**2) + T2 * ((1 - rho) * np.eye(4) + rho * same)
        row = np.linalg.solve(S, np.ones(effects.K))
        wanted += weight * row / row.sum()
    np.testing.assert_allclose(pooling_weights(ensemble), wanted, rtol=ROUNDING)
    frame = forest_frame(ensemble)
    assert frame["weight"].sum() == pytest.approx(100, rel=ROUNDING)


def test_intervals_are_formed_on_the_measure_of_the_likelihood(ensemble):
    effects = ensemble.task.effects
    rows = forest_frame(ensemble, output_scale="OR").iloc[: effects.K]
    for column, z in (("lower", -norm.isf(0.025)), ("upper", norm.isf(0.025))):
        wanted = transform_effect(effects.y + z * effects.se, "fishers_z", "OR")
        np.testing.assert_allclose(rows[column], wanted)


def test_last_rows_are_the_average_and_the_prediction(ensemble):
    frame = forest_frame(ensemble, probs=(0.1, 0.9))
    average, prediction = frame.iloc[-2], frame.iloc[-1]
    mixture = ensemble.mixture("mu")
    assert average["estimate"] == pytest.approx(mixture.mean())
    np.testing.assert_allclose(
        average[["lower", "upper"]].to_numpy(float), mixture.quantiles((0.1, 0.9))
    )
    wanted = 2 * new_effect(ensemble).quantiles((0.1, 0.9))  # d is twice Fisher's z
    np.testing.assert_allclose(prediction[["lower", "upper"]].to_numpy(float), wanted)
    assert list(frame["part"].iloc[-2:]) == ["average", "prediction"]


def test_true_effects_are_those_of_the_same_studies(ensemble):
    found = forest_frame(ensemble, order="decreasing").iloc[:4].set_index("study")
    wanted = rb.ensemble.true_effects(ensemble).set_index("study")
    for name in wanted.index:
        assert found.loc[name, "true_effect"] == wanted.loc[name, "Mean"]
        assert found.loc[name, "true_upper"] == wanted.loc[name, "0.975"]
    assert forest_frame(ensemble, true_effects=False)["true_effect"].isna().all()


@pytest.fixture
def mixed(made):
    effects = rb.effect_sizes(
        d=[0.5, 0.1, 0.9, -0.2, 0.3, 0.7],
        se=[0.1, 0.2, 0.1, 0.3, 0.2, 0.1],
        study_names=["S 10", "S 2", "S 1", "S 4", "S 3", "S 5"],
        study_ids=["b", "a", None, "a", "b", None],
    )
    return made.ensemble(made.space(), LOGML, effects=effects)


@pytest.mark.parametrize(
    ("order", "studies"),
    [
        (None, ["S 10", "S 3", "S 2", "S 4", "S 1", "S 5"]),
        ("increasing", ["S 4", "S 2", "S 3", "S 10", "S 5", "S 1"]),
        ("decreasing", ["S 10", "S 3", "S 2", "S 4", "S 1", "S 5"]),
        ("alphabetical", ["S 2", "S 4", "S 3", "S 10", "S 1", "S 5"]),
    ],
)
def test_clusters_stay_together_in_every_order(mixed, order, studies):
    found = forest_frame(mixed, order=order)
    assert list(found["study"].iloc[:6]) == studies
    assert list(found["cluster"].iloc[4:6]) == [None, None]


def test_the_heaviest_come_first_within_clusters(mixed):
    found = forest_frame(mixed, order="weight").iloc[:6]
    for _, rows in found.groupby("cluster", dropna=False):
        assert (np.diff(rows["weight"]) <= 0).all()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"order": "up"}, "order"),
        ({"probs": (0.9, 0.1)}, "probs"),
        ({"probs": (0.0, 0.5)}, "probs"),
        ({"output_scale": "none"}, "output_scale"),
    ],
)
def test_bad_arguments_are_named(ensemble, arguments, named):
    with pytest.raises(DataError, match=f"^{named}: "):
        forest_frame(ensemble, **arguments)


def test_a_condition_that_no_model_meets_is_refused(made):
    spike = (rb.prior("spike", location=0),)
    space = rb.model_space(effect=(), effect_null=spike, heterogeneity=(),
                           heterogeneity_null=spike)  # fmt: skip
    with pytest.raises(DataError, match=r"^conditional: "):
        forest_frame(made.ensemble(space, [0.0]), conditional=True)


@pytest.mark.parametrize("output_scale", [None, "OR"])
def test_the_figure_shows_headings_numbers_and_no_effect(mixed, output_scale):
    figure = plot_forest(mixed, output_scale=output_scale)
    drawn = figure.draw()
    texts = [text.get_text() for text in drawn.axes[0].texts]
    assert {"a", "b", "Independent estimates", "Model-averaged effect"} <= set(texts)
    assert sum("%" in text for text in texts) == 7  # weights, and the heading


def test_diamonds_are_filled_for_the_average_and_open_for_the_prediction(ensemble):
    figure = plot_forest(ensemble)
    diamonds = [x for x in figure.layers if type(x.geom).__name__ == "geom_polygon"]
    frame = forest_frame(ensemble)
    fills = [x.geom.aes_params["fill"] for x in diamonds]
    assert fills == ["#1a1a1a", "white"]
    for layer, (_, row) in zip(diamonds, frame.iloc[-2:].iterrows(), strict=True):
        corners = [row["lower"], row["estimate"], row["upper"], row["estimate"]]
        np.testing.assert_allclose(layer._data["x"], corners, rtol=ROUNDING)
    assert diamonds[1]._data["y"].max() < diamonds[0]._data["y"].min()


def test_long_names_are_cut_to_their_room():
    name = "A study with a name that nobody will ever read to its very end"
    short = cut(name, 1.5, 9)
    assert short.endswith("…")
    assert name.startswith(short[:-1])
    assert text_width([short], 9) <= 1.5 < text_width([name], 9)


def test_no_text_overlaps_another_or_leaves_the_page(mixed):
    figure = plot_forest(mixed)
    figure.save(buffer := BytesIO(), format="png", verbose=False)
    assert buffer.getbuffer().nbytes
    drawn = figure.draw()
    drawn.savefig(BytesIO(), format="png")  # places the panel
    renderer = FigureCanvasAgg(drawn).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in drawn.axes[0].texts]
    for box in boxes:
        assert drawn.bbox.x0 <= box.x0
        assert box.x1 <= drawn.bbox.x1
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
