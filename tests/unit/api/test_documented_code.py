"""The code of the README and of the guide runs, and prints what is said below it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "docs"))
from paste import PAGES, examples, printed  # noqa: E402 - not a package

NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?(?:e[+-]\d+)?")
RELATIVE = 0.05
"""Numbers are drawn: another compiler gives other draws, with errors below 2 %."""
ABSOLUTE = 0.02
"""The same of means near 0. Monte Carlo errors are smaller, so any of them passes."""
BYTES = 150_000
"""Limit of an image, so that a page shows at once."""


def words(text: str) -> str:
    """Return a text without its numbers, and blanks as wide as one."""
    return " ".join(NUMBER.sub("#", text).split())


def numbers(text: str) -> list[float]:
    return [float(one.replace("−", "-")) for one in NUMBER.findall(text)]


@pytest.mark.parametrize(
    "page", [p for p in PAGES if examples(p)], ids=lambda page: page.stem
)
def test_code_prints_what_stands_below_it(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # figures and reports are written there
    for (code, text), found in zip(examples(page), printed(page), strict=True):
        assert words(found) == words(text), code
        assert numbers(found) == pytest.approx(
            numbers(text), rel=RELATIVE, abs=ABSOLUTE
        ), code


def test_pages_with_code_are_found():
    assert {page.stem for page in PAGES if examples(page)} >= {"README", "priors"}


def test_images_are_there_and_small():
    images = {
        (page.parent / path).resolve()
        for page in PAGES
        for path in re.findall(r"\]\(([^)]*\.png)\)", page.read_text(encoding="utf-8"))
    }
    assert {path.stem for path in images} >= {"overview", "forest", "bias", "report"}
    assert [path for path in images if not path.exists()] == []
    assert max(path.stat().st_size for path in images) < BYTES
