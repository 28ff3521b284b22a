"""The forest plot: its numbers against closed forms, and that it is drawn."""

from __future__ import annotations

import itertools
from io import BytesIO

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from plot_ensembles import drawn, even, texts
from plot_ensembles import ensemble as made_up
from scipy.stats import lognorm, norm

import pyrobma as rb
from pyrobma.effects import se_d, transform_effect
from pyrobma.ensemble import new_effect, pooling_weights
from pyrobma.ensemble.scales import data_sd
from pyrobma.errors import DataError
from pyrobma.plots.forest import forest_frame, plot_forest
from pyrobma.plots.forest_drawing import Look, draw_forest
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


def given(made, measure="fishers_z", **values):
    """An ensemble of estimates given on some measure and modelled on another."""
    effects = rb.effect_sizes(**values, transformation=measure)
    return made.ensemble(made.space(hierarchical=False), LOGML, effects=effects)


def ends(fit, output_scale):
    rows = forest_frame(fit, output_scale=output_scale).iloc[: fit.task.effects.K]
    return rows[["lower", "upper"]].to_numpy(float).T


Z = np.array([[-1.0], [1.0]]) * norm.isf(0.025)


@pytest.mark.parametrize("measure", ["fishers_z", "cohens_d", "logOR", "r"])
@pytest.mark.parametrize(
    ("argument", "source"),
    [("d", "cohens_d"), ("z", "fishers_z"), ("logOR", "logOR")],
)
def test_intervals_are_those_of_the_measure_an_estimate_was_given_on(
    made, measure, argument, source
):
    x, se = np.array([-0.18, 0.6]), np.array([0.34, 0.2])
    fit = given(made, measure, **{argument: x}, se=se)
    np.testing.assert_allclose(ends(fit, source), x + Z * se, rtol=ROUNDING)
    wanted = transform_effect(x + Z * se, source, "OR")
    np.testing.assert_allclose(ends(fit, "OR"), wanted, rtol=ROUNDING)


def test_the_interval_of_a_school_is_that_of_its_estimate_and_variance(made):
    fit = given(made, d=[-0.18, 0.2], v=[0.118, 0.1])
    np.testing.assert_allclose(ends(fit, "cohens_d")[:, 0], [-0.853, 0.493], atol=5e-4)


@pytest.mark.parametrize("measure", ["fishers_z", "r"])
def test_intervals_of_correlations_are_those_of_fishers_z(made, measure):
    r, n = np.array([0.1, 0.9]), np.array([30, 12])
    fit = given(made, measure, r=r, n=n)
    wanted = np.tanh(np.arctanh(r) + Z / np.sqrt(n - 3))
    np.testing.assert_allclose(ends(fit, "r"), wanted, rtol=ROUNDING)


def test_correlations_of_samples_too_small_for_fishers_z_have_intervals_of_d(made):
    fit = given(made, "r", r=[0.1, 0.4], n=[3, 20])
    d = transform_effect(0.1, "r", "cohens_d")
    wanted = d + Z[:, 0] * se_d(d, 3)
    np.testing.assert_allclose(ends(fit, "cohens_d")[:, 0], wanted, rtol=ROUNDING)


def wide_correlations(made):
    """An ensemble whose true effects leave the range of correlations."""
    effects = rb.effect_sizes(
        r=[0.1, 0.3, 0.9, -0.4], n=[30, 20, 12, 25], transformation="r"
    )
    draws = {"mu": even(norm(0.1, 0.1)), "tau": even(lognorm(0.2, scale=0.8))}
    return made_up(
        made, made.space(hierarchical=False), LOGML, draws, effects=effects,
        prior_scale="r",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("output_scale", "wanted"),
    [
        ("r", [-1, 1]), ("cohens_d", [-np.inf, np.inf]), ("OR", [0, np.inf]),
        ("fishers_z", [-np.inf, np.inf]),
    ],
)  # fmt: skip
def test_a_prediction_beyond_correlations_of_one_ends_where_the_scale_does(
    made, output_scale, wanted
):
    fit = wide_correlations(made)
    row = forest_frame(fit, output_scale=output_scale).iloc[-1]
    assert [row["lower"], row["upper"]] == wanted
    figure = plot_forest(fit, output_scale=output_scale)
    assert drawn(figure)
    (points,) = (x._data for x in figure.layers if "shape" in x.mapping)
    assert np.isfinite(points["x"]).all()


def test_a_mean_outside_of_its_interval_does_not_set_diamond_or_axis():
    frame = pd.DataFrame(
        {
            "part": ["estimate", "average", "prediction"],
            "study": ["A", None, None],
            "cluster": None,
            "estimate": [1.0, 1e9, 1.0],
            "lower": [0.5, 0.5, 0.2],
            "upper": [2.0, 3.0, 5.0],
            "weight": [100.0, np.nan, np.nan],
            "true_effect": [1e9, np.nan, np.nan],
            "true_lower": [0.5, np.nan, np.nan],
            "true_upper": [2.0, np.nan, np.nan],
        }
    )
    figure = draw_forest(frame, Look("OR"))
    average, _ = (x for x in figure.layers if type(x.geom).__name__ == "geom_polygon")
    assert average._data["x"].max() == pytest.approx(np.log10(3.0))
    (points,) = (x._data for x in figure.layers if "shape" in x.mapping)
    assert list(points["mark"]) == ["estimate"]


def test_line_breaks_and_tabs_of_names_are_drawn_as_spaces(made):
    effects = rb.effect_sizes(
        d=[0.1, 0.3, 0.2], se=[0.1, 0.2, 0.1], study_ids=["a\tb", "a\tb", None],
        study_names=["Smith\n(2001)", "Wu\r\n 2002", "Li"],
    )  # fmt: skip
    fit = made.ensemble(made.space(), LOGML, effects=effects)
    figure = plot_forest(fit)
    assert {"Smith (2001)", "Wu 2002", "a b", "Li"} <= set(texts(figure))
    assert drawn(figure)


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
    shown = [text.get_text() for text in figure.draw().axes[0].texts]
    assert {"a", "b", "Independent estimates", "Model-averaged effect"} <= set(shown)
    assert sum("%" in text for text in shown) == 7  # weights, and the heading


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
    page = figure.draw()
    page.savefig(BytesIO(), format="png")  # places the panel
    renderer = FigureCanvasAgg(page).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in page.axes[0].texts]
    for box in boxes:
        assert page.bbox.x0 <= box.x0
        assert box.x1 <= page.bbox.x1
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)


def inches(figure, dpi=50):
    """The size of a figure as it is saved, silently: warnings are errors."""
    figure.save(buffer := BytesIO(), format="png", dpi=dpi)
    with Image.open(buffer) as image:
        return tuple(pixels / dpi for pixels in image.size)


def many(made, K, *, clusters=None, outlier=False):
    """An ensemble of many estimates, in clusters if their number is given."""
    rng = np.random.default_rng(1)
    se = rng.uniform(0.1, 0.3, K)
    d = 0.2 + rng.normal(0, 0.2, K) + rng.normal(0, se)
    if outlier:
        d[0], se[0] = 9.0, 1.5
    ids = None if clusters is None else np.arange(K) % clusters
    effects = rb.effect_sizes(d=d, se=se, study_ids=ids)
    space = made.space(hierarchical=clusters is not None)
    return made.ensemble(space, LOGML, effects=effects)


@pytest.mark.parametrize("K", [5, 60, 250, 1000])
@pytest.mark.parametrize("clusters", [None, 5])
def test_a_forest_of_any_number_of_estimates_fits_a_page(made, K, clusters):
    if clusters == K:
        clusters = 2
    wide, high = inches(plot_forest(many(made, K, clusters=clusters)))
    assert wide == pytest.approx(7.0, abs=0.02)
    assert high < (10.5 if K > 60 else 13.5)  # beyond 80 rows, the height of a page


def test_many_estimates_are_lines_without_names_under_their_number(made):
    figure = plot_forest(many(made, 250))
    assert {"250 estimates", "by size, downwards"} <= set(texts(figure))
    assert "Study 1" not in texts(figure)
    rows = plot_forest(many(made, 250), style="rows")
    assert {"Study 1", "Study 250"} <= set(texts(rows))


def test_many_estimates_of_few_clusters_have_a_row_for_each_cluster(made):
    figure = plot_forest(many(made, 250, clusters=10))
    assert {f"Cluster {k}" for k in range(10)} <= set(texts(figure))
    assert texts(figure).count("25") == 10  # estimates of each


def test_one_estimate_far_out_does_not_squeeze_the_others(made):
    limits = [
        plot_forest(many(made, 250, outlier=outlier)).coordinates.limits.x
        for outlier in (False, True)
    ]
    np.testing.assert_allclose(limits[0], limits[1], atol=0.2)


def test_the_axis_has_the_ends_that_were_asked_for(ensemble):
    figure = plot_forest(ensemble, xlim=(-2, 3))
    drawn(figure)
    bars = [x._data for x in figure.layers if x.mapping.get("xend") == "upper"]
    assert max(bar["upper"].max() for bar in bars) <= 3
    with pytest.raises(DataError, match=r"^xlim: "):
        plot_forest(ensemble, xlim=(1, 0))


def test_columns_of_a_table_stand_beside_the_names(ensemble):
    table = pd.DataFrame({"year": [1999, 2004, 2010, 2021], "lab": list("wxyz")})
    figure = plot_forest(ensemble, columns=["year", "lab", "weight"], data=table)
    found = texts(figure)
    assert {"year", "1999", "2021", "lab", "w", "z", "Weight"} <= set(found)
    assert not any(text.startswith("Estimate") for text in found)
    with pytest.raises(DataError, match=r"^columns: expected some of .*; got 'n'"):
        plot_forest(ensemble, columns=["n"], data=table)
    with pytest.raises(DataError, match=r"^data: expected 4 rows"):
        plot_forest(ensemble, columns=["year"], data=table.head(2))


def test_columns_of_other_tables_and_of_the_index_stand_there_too(ensemble):
    columns = {"year": [1999, 2004, 2010, 2021], "lab": list("wxyz")}
    expected = texts(plot_forest(ensemble, columns=["year", "lab"], data=columns))
    assert {"year", "1999", "lab", "z"} <= set(expected)
    indexed = pd.DataFrame(columns).set_index("lab")
    for table in (pl.DataFrame(columns), pa.table(columns), indexed):
        figure = plot_forest(ensemble, columns=["year", "lab"], data=table)
        assert texts(figure) == expected


@pytest.mark.parametrize(("width", "text_size"), [(3.5, None), (7.0, 6.0), (5.0, 9.0)])
def test_a_forest_has_the_size_that_was_asked_for(ensemble, width, text_size):
    figure = plot_forest(ensemble, width=width, height=4.0, text_size=text_size)
    assert inches(figure) == pytest.approx((width, 4.0), abs=0.02)


def single(made):
    """Two estimates of one cluster, and independent ones that are called alike."""
    effects = rb.effect_sizes(
        d=[0.1, 0.2, 0.3, 0.4, 0.5], se=[0.1] * 5,
        study_names=["1", "2", "1", "1", "7"],
        study_ids=["Smith", "Smith", "Lee", None, "7"],
    )  # fmt: skip
    return made.ensemble(made.space(), LOGML, effects=effects)


def test_independent_estimates_are_named_by_study_and_clusters_as_asked(made):
    frame = forest_frame(single(made))
    assert frame["study"][:5].tolist() == ["1", "2", "Lee, 1", "1", "7"]
    assert frame["cluster"][:5].tolist() == ["Smith", "Smith", None, None, None]
    found = texts(plot_forest(single(made)))
    assert {"Smith", "Lee, 1", "Cluster 7", "Independent estimates"} <= set(found)
    found = texts(plot_forest(single(made), cluster_name="District"))
    assert {"District Smith", "Lee, 1", "District 7"} <= set(found)
