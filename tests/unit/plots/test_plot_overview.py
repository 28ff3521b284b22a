"""The page of an analysis: which panels it has."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from plot_ensembles import NORMAL, SPIKE, ensemble, even, texts
from scipy import stats

import pyrobma as rb
from pyrobma.errors import DataError
from pyrobma.plots.overview import _NAME, _models, plot_overview
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
    assert top.labels.y == "Standard error (Fisher's z)"
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
    found = texts(_models(ensemble(made, space, logml, draws), _NAME[not three]))
    assert any(name.endswith(f"+ {long} (.025, .05, .5)") for name in found)
    assert not any("…" in name for name in found)
