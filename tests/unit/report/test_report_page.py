"""The report: what it shows, and that text in it stays text."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import pyrobma as rb
from pyrobma.plots.mcmc import most_probable
from pyrobma.report import figures, report_html, tables

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def small(made):
    effects = rb.effect_sizes(
        d=[0.1, 0.3, -0.1], se=[0.1, 0.2, 0.1], study_names=[EVIL, "a & b", "$c$"]
    )
    return made.ensemble(
        made.space(hierarchical=False), [0.0, 0.5, -0.5, 1.0], effects=effects,
        reasons={4: ("R-hat 1.200 above 1.01",)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(small):
    images = {figure.name: f"<svg>{figure.name}</svg>" for figure in figures(small)}
    return report_html(
        small, title=f"Title {EVIL}", remarks=["units of y"],
        settings={"file": f"{EVIL}.csv"}, images=images,
    )  # fmt: skip


def test_text_from_outside_is_never_markup(page):
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 3  # title, settings, name of a study


def test_quotes_in_captions_and_settings_do_not_end_an_attribute(small):
    quote = '" onerror="alert(1)'
    evil = tuple(
        replace(
            figure, caption=f"{figure.caption}{quote}", numbers=lambda tables: quote
        )
        for figure in figures(small)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyrobma.report.page.figures", lambda *a, **k: evil)
        text = report_html(
            small, title=quote, remarks=[EVIL, quote], settings={quote: quote},
            images={figure.name: f"<svg>{EVIL}</svg>" for figure in evil},
        )  # fmt: skip
    assert quote not in text
    assert "<script" not in text
    assert text.count("onerror=&#34;alert(1)") >= 2 * len(evil) + 4


def test_what_a_reader_must_know_is_said_first(page):
    box = page[page.index('role="alert"') : page.index('id="evidence"')]
    assert "units of y" in box
    assert "R-hat 1.200 above 1.01" in box


def test_every_figure_and_table_is_there_with_its_caption(page, small):
    assert page.count("<img") == len(figures(small)) == page.count("<figcaption")
    assert page.count("<table") == len(tables(small))


def test_a_fit_without_bias_says_so(page, made):
    assert "No model of publication bias was fitted." in page
    space = rb.model_space(
        effect=rb.default_priors("effect"),
        heterogeneity_null=(rb.prior("spike", location=0),),
        bias_null=(rb.prior_PET("spike", location=0.5),),
    )
    # Bias in every model is bias, whichever side its prior was given on.
    assert made.ensemble(space, [0.0]).bias_kinds == ("PET",)
    assert made.ensemble(space, [0.0]).parameters == ("mu", "tau", "PET")
    assert made.ensemble(space, [0.0]).bias_components == ()


def test_diagnostics_are_of_the_most_probable_sampled_model(small, made):
    assert most_probable(small) == 4
    other = made.ensemble(made.space(hierarchical=False), [9.0, 3.0, 0.0, 2.0])
    assert most_probable(other) == 2  # model 1 has no chains
    spikes = rb.model_space(
        effect_null=(rb.prior("spike", location=0),),
        heterogeneity_null=(rb.prior("spike", location=0),),
    )
    assert most_probable(made.ensemble(spikes, [0.0])) is None


def test_a_report_is_written_with_its_figures_and_only_as_html(small, tmp_path):
    with pytest.raises(rb.DataError, match=r"ends in \.html; got 'report\.pdf'"):
        small.report(tmp_path / "report.pdf")
    small.report(tmp_path / "report.html", output_scale="r")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'<img src="([^"]{40})', text)
    assert len(sources) == len(figures(small))
    assert all(s.startswith("data:image/svg+xml;base64,") for s in sources)
