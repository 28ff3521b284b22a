"""The page of an analysis: which panels it has."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from plot_ensembles import NORMAL, SPIKE, ensemble, even, texts
from scipy import stats

import pyrobma as rb
from pyrobma.errors import DataError
from pyrobma.plots.overview import _models, _Sheet, plot_overview
from pyrobma.plots.theme import Size
from pyrobma.priors import default_bias

LOGML = [-2.0, 0.5, -1.0, 0.9]


def titles(item):
    if hasattr(item, "items"):
        return [title for part in item.items for title in titles(part)]
    return [item.labels.title]


def test_panels_are_lettered_from_the_estimates_to_the_models(made):
    page = plot_overview(made.ensemble(made.space(), LOGML))
    assert titles(page) == [
        "A  Estimates", "B  Effect", "C  Heterogeneity",
        "D  Correlation within clusters", "E  Most probable models",
    ]  # fmt: skip
    page.save(buffer := BytesIO(), format="png")
    assert buffer.getbuffer().nbytes


def test_many_estimates_are_shown_as_a_funnel(made):
    rng = np.random.default_rng(1)
    effects = rb.effect_sizes(d=rng.normal(size=60), se=np.full(60, 0.2))
    many = made.ensemble(made.space(hierarchical=False), LOGML, effects=effects)
    top = plot_overview(many).items[0]
    assert top.labels.y == "Standard error (Cohen's d)"
    few = plot_overview(made.ensemble(made.space(), LOGML)).items[0]
    assert few.labels.x == "Effect (Cohen's d)"


def test_a_regression_that_is_given_as_the_null_has_a_panel(made):
    space = rb.model_space(
        effect=(NORMAL,), effect_null=(), heterogeneity_null=(SPIKE,),
        bias=(), bias_null=(rb.prior_PET("cauchy", location=0, scale=1),),
    )  # fmt: skip
    draws = dict.fromkeys(("mu", "PET"), even(stats.uniform(), (1, 20)))
    page = plot_overview(ensemble(made, space, [0.0], draws))
    assert "D  Small-study effects" in titles(page)


@pytest.mark.parametrize("width", [3.5, 5.0, 7.0])
@pytest.mark.parametrize("height", [None, 9.0])
def test_the_page_has_the_size_that_was_asked_for(made, width, height):
    page = plot_overview(made.ensemble(made.space(), LOGML), width=width, height=height)
    page.save(buffer := BytesIO(), format="png", dpi=50)
    with Image.open(buffer) as image:
        wide, high = (pixels / 50 for pixels in image.size)
    assert wide == pytest.approx(width, abs=0.02)  # a pixel
    if height is not None:
        assert high == pytest.approx(height, abs=0.02)


def test_panels_of_a_narrow_page_stand_below_each_other(made):
    page = plot_overview(made.ensemble(made.space(), LOGML), width=3.5)
    assert len(titles(page)) == 5
    assert type(page).__name__ == "Stack"
    assert not any(hasattr(item, "items") for item in page.items)


@pytest.mark.parametrize("argument", ["width", "height", "text_size"])
def test_a_size_that_is_none_is_named(made, argument):
    with pytest.raises(DataError, match=f"^{argument}: expected a positive number"):
        plot_overview(made.ensemble(made.space(), LOGML), **{argument: 0})


def test_a_wrong_scale_is_named(made):
    with pytest.raises(DataError, match=r"^output_scale: "):
        plot_overview(made.ensemble(made.space(), LOGML), output_scale="d")


@pytest.mark.parametrize(("three", "long"), [(False, "one-sided"), (True, "1-sided")])
def test_names_of_thirty_six_models_are_whole_in_rows_of_two_and_three(
    made, three, long
):
    space = rb.model_space(
        effect=(NORMAL,),
        effect_null=(SPIKE,),
        heterogeneity=rb.default_priors("heterogeneity"),
        heterogeneity_null=(SPIKE,),
        bias=default_bias(),
    )
    draws = dict.fromkeys(
        ("mu", "tau", "rho", "PET", "PEESE"), even(stats.uniform(), (1, 20))
    )
    logml = [9.0 if 28 < i < 34 else 0.0 for i in range(36)]  # the longest names
    # Three panels are a row of two and one of one, five or more take rows of three.
    sheet = _Sheet.of(Size(), 6 if three else 4, tested=False)
    found = texts(_models(ensemble(made, space, logml, draws), sheet))
    assert any(name.endswith(f"+ {long} (.025, .05, .5)") for name in found)
    assert not any("…" in name for name in found)
