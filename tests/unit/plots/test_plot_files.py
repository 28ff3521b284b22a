"""Figures as files: for print, and the same each time."""

from __future__ import annotations

import re
from io import BytesIO

import pandas as pd
import plotnine as p9
import pytest
from matplotlib.image import imread

from pyrobma.plots.files import render

WIDTH, HEIGHT = 3.0, 30.0  # inches; plotnine alone refuses more than 25
DPI = 100


def plot():
    return (
        p9.ggplot(pd.DataFrame({"x": [0, 1], "y": [1, 2]}), p9.aes("x", "y"))
        + p9.geom_point()
        + p9.theme(figure_size=(WIDTH, HEIGHT))
    )


@pytest.fixture(scope="module")
def files():
    return render(plot(), ("pdf", "png", "svg"), dpi=DPI)


def test_a_tall_figure_is_drawn_at_its_size_in_each_format(files):
    assert imread(BytesIO(files["png"])).shape[:2] == (HEIGHT * DPI, WIDTH * DPI)
    points = rf"{72 * WIDTH:g} {72 * HEIGHT:g}"
    assert re.search(rf"/MediaBox \[ ?0 0 {points} ?\]".encode(), files["pdf"])
    assert f'viewBox="0 0 {points}"' in files["svg"].decode()


def test_a_figure_for_print_has_fonts_that_are_text(files):
    assert b"/Type3" not in files["pdf"]
    assert b"/TrueType" in files["pdf"] or b"/CIDFontType2" in files["pdf"]


def test_equal_figures_are_equal_files(files):
    assert render(plot(), ("pdf", "png", "svg"), dpi=DPI) == files
