"""Moderators in the report and among its tables."""

from __future__ import annotations

import importlib
import re
import warnings

import numpy as np
import pandas as pd
import pytest

import pyrobma as rb
from pyrobma.report import Figure, figures, report_html, tables
from pyrobma.report.tables import MANY_PAIRS, file_names, predictions_table

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    return pd.DataFrame(
        {
            "d": rng.normal(0.3, 0.3, 12),
            "se": rng.uniform(0.1, 0.3, 12),
            EVIL: [EVIL, "b", "c"] * 4,
            "a/b": rng.uniform(2, 20, 12),
        }
    )


@pytest.fixture(scope="module")
def fit(data):
    few = rb.SamplerSettings(chains=2, warmup=150, draws=100, max_draws=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rb.ConvergenceWarning)
        return rb.robma(
            data, d="d", se="se", mods=[EVIL, "a/b"], test_mods=[EVIL],
            priors_bias=None, priors_effect_null=None, priors_heterogeneity_null=None,
            settings=few, seed=1,
        )  # fmt: skip


@pytest.fixture(scope="module")
def contents(fit):
    return tables(fit, output_scale="r")


@pytest.fixture(scope="module")
def page(fit, contents):
    return report_html(fit, images=_images(fit), contents=contents)


def _images(fit):
    return {figure.name: "<svg></svg>" for figure in figures(fit)}


def section(page, name):
    start = page.index(f'<h2 id="{name}"')
    return page[start : page.find("<h2", start + 1)]


def test_every_table_of_moderators_is_there_in_reading_order(contents):
    names = [
        "components", "components_mods", "estimates", "estimates_mods",
        "estimates_conditional", "estimates_mods_conditional",
        "estimates_mods_original", "marginal_means", "marginal_means_conditional",
        "contrasts_script_alert_1_script", "pooled",
    ]  # fmt: skip
    assert [name for name in contents if name in names] == names


def test_the_tables_are_those_of_the_fit(fit, contents):
    means = fit.marginal_means(output_scale="r").means
    pd.testing.assert_frame_equal(contents["marginal_means"].frame, means)
    pairs = fit.contrasts(EVIL, output_scale="r").contrasts
    pd.testing.assert_frame_equal(
        contents["contrasts_script_alert_1_script"].frame, pairs
    )
    original = fit.summary(output_scale="r", standardized=False).estimates_mods
    pd.testing.assert_frame_equal(contents["estimates_mods_original"].frame, original)


def test_the_page_shows_each_table_once_and_moderators_in_a_section(
    page, contents, fit
):
    assert page.count("<table") == len(contents)
    assert page.count("<img") == len(figures(fit))
    part = section(page, "moderators")
    for title in (
        "Model-averaged meta-regression estimates", "Conditional meta-regression",
        "Marginal means", "Conditional marginal means", "Differences between levels",
    ):  # fmt: skip
        found = re.findall(f"<caption>{title}", part)
        assert len(found) == (2 if title.startswith("Model") else 1)
    assert "Meta-regression components" in section(page, "evidence")
    # Where the intercept is, and what slopes are per.
    centre = fit.task.moderators.coding("a/b").centre[0]
    assert f"a/b (mean {centre:.5g}, sd" in part
    assert 'href="#moderators"' in page


def test_names_of_moderators_and_levels_are_never_markup(page):
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 10


def test_a_fit_without_moderators_has_no_such_section(made):
    small = made.ensemble(made.space(), [0.0] * 4)
    text = report_html(small, images=_images(small))
    assert "moderators" not in text
    assert not any("mods" in name or "marginal" in name for name in tables(small))


def test_more_tables_and_figures_have_their_place(fit, contents, data):
    more = {
        "predictions": predictions_table(fit, data.iloc[:2]),
        "sensitivity_effect": rb.Table("Sensitivity: effect", pd.DataFrame({"a": [1]})),
    }
    drawn = Figure("../sensitivity", "sensitivity", "By the prior.", lambda: None)
    images = _images(fit) | {drawn.name: "<svg></svg>"}
    text = report_html(
        fit, images=images, contents=contents | more, more_figures=[drawn]
    )
    assert "Predicted effects" in section(text, "moderators")
    part = section(text, "sensitivity")
    assert "Sensitivity: effect" in part
    assert part.count("By the prior.") == 2  # for those who see the figure, and not
    assert 'href="#sensitivity"' in text


def test_figures_with_names_that_are_no_files_are_drawn(fit, contents, monkeypatch):
    from plotnine import ggplot

    evil = (Figure("../../a/b", "overview", "Here.", ggplot),)
    monkeypatch.setattr("pyrobma.report.page.figures", lambda *a, **k: evil)
    assert len(re.findall("<img", report_html(fit, contents=contents))) == 1


def test_predictions_are_named_by_their_moderators(fit, data):
    rows = data.iloc[[5, 1]]
    found = predictions_table(fit, rows, output_scale="r")
    numbers = [f"{value}" for value in rows["a/b"]]
    assert list(found.frame.index) == [
        f"{EVIL} = c, a/b = {numbers[0]}", f"{EVIL} = b, a/b = {numbers[1]}",
    ]  # fmt: skip
    mean = fit.predict(rows, "terms", output_scale="r")
    single = fit.predict(rows, "effect", output_scale="r")
    np.testing.assert_array_equal(found.frame["Mean"], mean["Mean"])
    np.testing.assert_array_equal(found.frame["PI 0.975"], single["0.975"])
    assert (found.frame["PI 0.025"] < found.frame["0.025"]).all()
    assert "<script" not in found.to_html()


def test_a_factor_of_very_many_levels_has_no_table_of_pairs(fit, monkeypatch):
    levels = next(n for n in range(99) if n * (n - 1) / 2 > MANY_PAIRS)
    assert levels == 15
    module = importlib.import_module("pyrobma.report.tables")
    monkeypatch.setattr(module, "MANY_PAIRS", 2)  # three levels have 3
    assert not any(name.startswith("contrasts") for name in tables(fit))


def test_numbers_as_they_are_have_no_second_table_of_coefficients(data):
    few = rb.SamplerSettings(chains=2, warmup=150, draws=100, max_draws=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rb.ConvergenceWarning)
        plain = rb.robma(
            data, d="d", se="se", mods=["a/b"], test_mods=False, standardize=False,
            priors_bias=None, priors_effect_null=None, priors_heterogeneity_null=None,
            settings=few, seed=1,
        )  # fmt: skip
    assert "estimates_mods_original" not in tables(plain)


def test_names_of_files_are_plain_and_differ():
    assert file_names(["contrasts_measure", "a/b", "a b", "A_B", "../x", "..", ""]) == [
        "contrasts_measure", "a_b", "a_b_", "A_B__", "x", "_", "__",
    ]  # fmt: skip
    assert file_names(["größe", "x:y"], taken=["x_y"]) == ["größe", "x_y_"]
    long = file_names(["x" * 300, "x" * 301])
    assert long == ["x" * 60, "x" * 60 + "_"]
