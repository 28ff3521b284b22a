"""`python -m pyrobma`, as a user starts it."""

from __future__ import annotations

import subprocess
import sys

TITLES = (
    "1a. One random-effects model, schools independent",
    "1b. One hierarchical model, schools within districts",
    "2. Hierarchical Bayesian model averaging",
    "3. Test of clustering: rho against rho = 0, heterogeneity given",
)


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


def test_example_prints_the_analyses_of_the_schools_from_any_directory(tmp_path):
    done = run("-m", "pyrobma", "example", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    places = [done.stdout.index(title) for title in TITLES]
    assert places == sorted(places)
    assert done.stdout.count("Components summary:") == len(TITLES)
    assert "Effect           2/4       0.500       0.479" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_command_is_required():
    done = run("-m", "pyrobma")
    assert done.returncode == 2
    assert "usage: python -m pyrobma" in done.stderr
    assert "example" in done.stderr


def test_the_programs_can_be_listed():
    done = run("-m", "pyrobma.programs", "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].endswith("normal")
    assert done.stdout.splitlines()[1].endswith("normal.so")
