"""What CITATION.cff says of the package is what pyproject.toml says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_citation_has_the_version_and_the_licence_of_the_package():
    found = dict(re.findall(r"^(version|license): (.*)$", CITATION, re.MULTILINE))
    assert found == {"version": PROJECT["version"], "license": PROJECT["license"]}


def test_the_citation_names_the_papers_of_the_methods():
    dois = set(re.findall(r"^    doi: (.*)$", CITATION, re.MULTILINE))
    assert dois == {"10.1002/jrsm.1594", "10.1177/25152459211031256"}
