"""Names from the data: short, told apart, and never a formula."""

from __future__ import annotations

import pytest

from pyrobma.plots.names import plain, short_names
from pyrobma.plots.text import text_width

SIZE = 8.0


def test_short_names_stay_as_they_are():
    assert short_names(["a", "b c"], 2.0, SIZE) == ["a", "b c"]
    assert short_names([], 2.0, SIZE) == []


@pytest.mark.parametrize(
    "names",
    [
        [f"studies of the kind that everybody does, {i}" for i in range(3)],
        [f"{'same ' * 12}{i} {'end ' * 12}" for i in range(12)],
        [f"{i} {'w' * 60}" for i in range(3)],
        ["x" * 60 + c for c in "abc"],
    ],
)
def test_names_that_are_cut_fit_and_still_differ(names):
    found = short_names(names, 1.2, SIZE)
    assert len(set(found)) == len(names)
    assert text_width(found, SIZE) <= 1.2 + 1e-6
    assert all("…" in name for name in found)


def test_equal_names_stay_equal():
    assert short_names(["a" * 90, "a" * 90], 1.0, SIZE)[0].endswith("…")
    assert len(set(short_names(["a" * 90, "a" * 90], 1.0, SIZE))) == 1


def test_names_are_on_one_line_and_no_formula():
    assert plain("cost\n($)\t2") == r"cost (\$) 2"
