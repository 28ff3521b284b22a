"""A report of which something cannot be made: the rest is there, and it says so."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace

import pytest
from plotnine import ggplot
from plotnine.options import get_option

import pyrobma as rb
from pyrobma.commands.extras import Planned
from pyrobma.commands.results import write_results
from pyrobma.report import Figure, figures, make_page, report_html, tables
from pyrobma.report.failures import attempt
from pyrobma.report.writing import write_report

REASON = "ValueError: 251 <inches> are too many"
SAID = "The figure forest could not be made: " + REASON
ESCAPED = SAID.replace("<", "&lt;").replace(">", "&gt;")


def fails(*arguments, **options):
    raise ValueError("251 <inches>\n  are too many")


@pytest.fixture(scope="module")
def small(made):
    return made.ensemble(
        made.space(hierarchical=False), [0.0, 0.5, -0.5, 1.0], size=(2, 40)
    )


@pytest.fixture
def one_fails(monkeypatch):
    """Of two figures, the second cannot be drawn."""
    two = (
        Figure("overview", "overview", "All.", ggplot),
        Figure("forest", "estimates", "Each.", fails),
    )
    for place in ("report.page", "report.writing", "commands.results"):
        name = "figures_of" if place == "report.writing" else "figures"
        monkeypatch.setattr(f"pyrobma.{place}.{name}", lambda *a, **k: two)


def test_a_figure_that_cannot_be_drawn_is_named_in_its_place(small, one_fails):
    with pytest.warns(rb.PyrobmaWarning) as told:
        page = report_html(small)
    assert [str(warning.message) for warning in told] == [SAID]
    assert page.count("<img") == 1
    assert page.index('id="estimates"') < page.index(ESCAPED) < page.index('id="bias"')
    assert page.count("<figcaption>") == 2  # of what is missing too
    assert page.count("<table") == len(tables(small))


def test_files_of_figures_are_written_for_print_but_for_those_that_fail(
    small, one_fails, tmp_path
):
    with pytest.warns(rb.PyrobmaWarning) as told:
        write_report(small, tmp_path / "report.html", figures=tmp_path / "figures")
    assert [str(warning.message) for warning in told] == [SAID]
    assert ESCAPED in (tmp_path / "report.html").read_text(encoding="utf-8")
    found = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert found == ["overview.pdf", "overview.png"]


def test_the_folder_of_results_has_all_but_the_figure_that_fails(
    small, one_fails, tmp_path
):
    with pytest.warns(rb.PyrobmaWarning) as told:
        write_results(small, tmp_path, settings={})
    assert [str(warning.message) for warning in told] == [SAID]
    assert ESCAPED in (tmp_path / "report.html").read_text(encoding="utf-8")
    found = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert found == ["overview.pdf", "overview.png", "overview.svg"]
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["warnings"] == [SAID]
    assert {f"tables/{name}.csv" for name in tables(small)} <= set(settings["files"])


def test_a_table_that_fails_is_a_note_and_the_other_tables_are_there(
    small, monkeypatch
):
    names = list(tables(small))
    module = importlib.import_module("pyrobma.report.tables")
    monkeypatch.setattr(module, "models_table", fails)
    said = SAID.replace("figure forest", "table models")
    with pytest.warns(rb.PyrobmaWarning) as told:
        found = tables(small)
    assert [str(warning.message) for warning in told] == [said]
    assert list(found) == names
    assert found["models"].notes == (said,)
    images = {figure.name: "<svg></svg>" for figure in figures(small)}
    page = make_page(small, images=images)
    assert list(map(str, page.failures)) == [said]
    assert page.html.count("<table") == len(names) - 1
    shown = said.replace("<", "&lt;").replace(">", "&gt;")
    assert page.html.index('id="models"') < page.html.index(shown)
    # What a figure says needs the table: its caption stands in.
    caption = next(f.caption for f in figures(small) if f.name == "probabilities")
    assert f'alt="{caption}"' in page.html


def test_sentences_that_fail_are_told_once(small, one_fails, tmp_path, monkeypatch):
    for place in ("report.page", "commands.results"):
        monkeypatch.setattr(f"pyrobma.{place}.interpret", fails)
    said = SAID.replace("figure forest", "interpretation")
    with pytest.warns(rb.PyrobmaWarning) as told:
        write_results(small, tmp_path, settings={})
    assert [str(warning.message) for warning in told] == [said, SAID]
    assert said in (tmp_path / "interpretation.txt").read_text()


def test_the_first_extra_that_fails_is_the_error_when_all_is_written(
    small, tmp_path, monkeypatch
):
    monkeypatch.setattr("pyrobma.commands.results.figures", lambda *a, **k: ())
    monkeypatch.setattr("pyrobma.report.page.figures", lambda *a, **k: ())
    planned = [Planned(f"sensitivity_{name}", fails) for name in ("effect", "bias")]
    with (
        pytest.warns(rb.PyrobmaWarning, match="sensitivity_bias could not be made"),
        pytest.raises(ValueError, match="too many"),
    ):
        write_results(small, tmp_path, settings={}, extras=planned)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("The table sensitivity_") == 2
    assert page.count(REASON.replace("<", "&lt;").replace(">", "&gt;")) == 2


def test_an_interruption_is_no_failure():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt("The figure forest", interrupted)


def test_a_wrong_scale_is_an_error_before_anything_is_drawn(small, one_fails):
    with pytest.raises(rb.DataError, match="output_scale: expected"):
        report_html(small, output_scale="inches")


def test_a_report_of_many_estimates_has_every_figure(made):
    count = 260  # rows of a plot that was once too tall to be drawn
    effects = rb.effect_sizes(
        d=[0.001 * i for i in range(count)], se=[0.1 + 0.001 * i for i in range(count)]
    )
    ensemble = made.ensemble(
        made.space(hierarchical=False), [0.0, 0.5, -0.5, 1.0], effects=effects,
        size=(2, 40),
    )  # fmt: skip
    page = make_page(ensemble)
    assert page.failures == ()
    assert page.html.count("<img") == len(figures(ensemble))
    assert f"Forest plot of {count} estimates; pooled effect" in page.html


def test_a_figure_without_words_of_its_own_has_its_caption(small):
    plain = tuple(
        replace(figure, numbers=lambda tables: "") for figure in figures(small)
    )
    images = {figure.name: "<svg></svg>" for figure in plain}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyrobma.report.page.figures", lambda *a, **k: plain)
        page = make_page(small, images=images).html
    assert 'alt="The analysis at a glance."' in page


@pytest.mark.parametrize("dpi", [0, -300, float("nan"), float("inf")])
def test_dots_per_inch_are_positive(small, tmp_path, dpi):
    with pytest.raises(rb.DataError, match="dpi: expected a positive number"):
        write_report(small, tmp_path / "report.html", dpi=dpi)
    assert not (tmp_path / "report.html").exists()


def test_figures_for_print_have_three_hundred_dots_per_inch(small, one_fails, tmp_path):
    with pytest.warns(rb.PyrobmaWarning):
        write_report(small, tmp_path / "report.html", figures=tmp_path)
    header = (tmp_path / "overview.png").read_bytes()[:24]
    wide = int.from_bytes(header[16:20], "big")
    assert wide == 300 * get_option("figure_size")[0]
