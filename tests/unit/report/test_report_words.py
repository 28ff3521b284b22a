"""What a report says of its figures, its settings and its versions."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import pytest

import pyrobma as rb
from pyrobma.fit.provenance import Provenance
from pyrobma.report import figures, report_html, tables
from pyrobma.report.methods import settings_in_words

DAY = date(2024, 2, 29)
SINGLE = {"meta", "img", "colgroup", "col", "br", "hr", "link"}


@pytest.fixture(scope="module")
def small(made):
    return made.ensemble(made.space(), [0.0, 0.5, -0.5, 1.0])


@pytest.fixture(scope="module")
def biased(made):
    space = rb.model_space(
        effect=rb.default_priors("effect"),
        heterogeneity_null=(rb.prior("spike", location=0),),
        bias=(rb.prior_PET("spike", location=0.5),),
        bias_null=(rb.prior_none(),),
    )
    return made.ensemble(space, [0.0, 0.3])


def page_of(ensemble, **options):
    images = {figure.name: "<svg></svg>" for figure in figures(ensemble)}
    return report_html(ensemble, images=images, date=DAY, **options)


@pytest.fixture(scope="module")
def page(small):
    return page_of(small)


def section(page, name):
    start = page.index(f'<h2 id="{name}"')
    return page[start : page.find("<h2", start + 1)]


def said_of(page):
    """Return the alternative text of each image, in order."""
    return re.findall(r'<img src="[^"]*" alt="([^"]*)"', page)


# ---- figures -----------------------------------------------------------------------
def test_the_words_for_a_figure_hold_the_numbers_of_the_tables(page, small):
    made = tables(small)
    row = made["estimates"].formatted().loc["mu"].str.strip("\u2007")
    interval = f"{row['Mean']} [{row['0.025']}, {row['0.975']}]"
    factor = made["components"].formatted().loc["Effect", "Inclusion BF"]
    overview, forest, effect = said_of(page)[:3]
    assert overview.startswith(f"4 estimates; pooled effect {interval}, prediction")
    assert f"Effect {factor}" in overview
    assert forest.startswith(f"Forest plot of 4 estimates; pooled effect {interval}")
    assert effect == f"Posterior of the effect (mu): {interval}."


def test_the_words_for_models_begin_with_the_most_probable(page, small):
    found = next(text for text in said_of(page) if text.startswith("Posterior prob"))
    best = int(small.post_prob.argmax()) + 1
    assert best == 4  # it has the largest marginal likelihood, and equal priors
    assert f": model 4 {small.post_prob[3]:.3f}, model 2 " in found


def test_the_words_for_chains_are_their_diagnostics(page, small):
    found = next(text for text in said_of(page) if text.startswith("Markov chains"))
    worst = small.fits[3].diagnostics
    assert f"R-hat at most {worst.rhat.max():.3f}" in found
    assert "0 divergences" in found


def test_no_figure_says_only_its_caption(page):
    captions = re.findall(r"<figcaption>([^<]*)", page)
    assert len(captions) == len(said_of(page))
    assert not set(captions) & set(said_of(page))


def test_a_funnel_is_about_bias_only_if_bias_was_modelled(page, small, biased):
    topics = {figure.name: figure.topic for figure in figures(small)}
    assert topics["funnel"] == "estimates"
    assert "bias" not in topics.values()
    assert "Funnel plot of 4 estimates" in section(page, "estimates")
    assert "<img" not in section(page, "bias")
    assert "Estimates are not adjusted for it" in section(page, "bias")
    assert {f.name: f.topic for f in figures(biased)}["funnel"] == "bias"
    assert "Funnel plot" in section(page_of(biased), "bias")


# ---- settings ------------------------------------------------------------------------
def test_settings_are_told_in_words(small):
    words = dict(settings_in_words(small, DAY))
    assert words["Data"] == "4 estimates in 2 clusters, given as Cohen's d"
    assert words["Scale of the priors"].startswith("Cohen's d; the effect is converted")
    assert words["Scale of the likelihood"] == "Fisher's z"
    assert words["Seed"] == "3"
    assert words["Date of the report"] == "2024-02-29"
    limits = rb.SamplerSettings()
    assert f"R-hat at most {limits.max_rhat:g}" in words["Checks of each model"]
    assert words["Markov chains"].startswith(f"{limits.chains} chains per model")
    assert words["Markov chains"].endswith("(0 of 4 models)")
    assert "Direction of publication bias" not in words


def test_direction_is_told_where_it_matters(biased):
    words = dict(settings_in_words(biased, DAY))
    assert words["Direction of publication bias"] == "favours positive effects"


def test_software_is_that_which_fitted_the_models_and_that_of_the_page(small):
    words = dict(settings_in_words(small, DAY))
    assert words["Models fitted with"] == "unknown"  # made-up fits
    assert re.search(r"pyrobma \S+, pandas \S+, plotnine \S+, Python 3\.\d",
                     words["Report written with"])  # fmt: skip
    old, new = (
        Provenance(
            "program", "hash", 1, (("stan", "2.37"), ("pyrobma", number)),
            rb.SamplerSettings(),
        )
        for number in ("0.1", "0.2")
    )  # fmt: skip
    fits = tuple(
        replace(fit, provenance=made)
        for fit, made in zip(small.fits, (old, new, old, None), strict=True)
    )
    words = dict(settings_in_words(replace(small, fits=fits), DAY))
    assert words["Models fitted with"] == "pyrobma 0.1 and 0.2, Stan 2.37"


def test_the_page_shows_settings_and_date(page):
    part = section(page, "methods")
    assert "<dt>Seed</dt><dd>3</dd>" in part
    assert "<dt>Date of the report</dt><dd>2024-02-29</dd>" in part


# ---- the page ----------------------------------------------------------------------
class Structure(HTMLParser):
    """Levels of headings, ids, and whether every tag is closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.levels, self.ids, self.links = [], [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        if re.fullmatch(r"h\d", tag):
            self.levels.append(int(tag[1]))
        if tag not in SINGLE:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in SINGLE:
            assert self.open.pop() == tag


def test_the_page_is_well_formed_with_headings_in_order(page):
    found = Structure()
    found.feed(page)
    assert found.open == []
    assert found.levels[0] == 1
    assert found.levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(found.levels, found.levels[1:], strict=False))
    assert len(found.ids) == len(set(found.ids))
    assert {link[1:] for link in found.links} <= set(found.ids)
    assert page.lstrip().startswith('<!DOCTYPE html>\n<html lang="en">')


def test_every_table_scrolls_by_itself_and_names_its_rows(page):
    assert page.count("<table") == page.count('<div class="scroll" role="region"')
    assert page.count("<table") == page.count("<caption>")
    rows = re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
    body = [row for row in rows if "<td" in row and 'scope="col' not in row]
    assert body
    assert all(row.startswith('<tr><th scope="row">') for row in body)


def test_tables_have_symbols_and_intervals_for_people(page):
    part = section(page, "estimates")
    assert '<th scope="row">μ</th>' in part
    assert "τ<sup>2</sup>" in part
    assert "τ<sub>between</sub>" in part
    assert '<th scope="colgroup" colspan="2"' in part
    assert ">95% CI</th>" in part
    assert ">0.975</th>" not in page


def test_powers_of_ten_are_raised(made):
    sure = made.ensemble(made.space(), [-99.0, 0.0, -99.0, 0.0])
    assert re.search(r"\d × 10<sup>\d+</sup>", page_of(sure))
