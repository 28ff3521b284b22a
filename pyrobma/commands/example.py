"""``python -m pyrobma example``."""

from __future__ import annotations

import argparse
import time
from typing import Any

from pyrobma.api import robma
from pyrobma.effects import load_dataset
from pyrobma.priors import prior


def add_to(commands: Any) -> None:
    """Add the command to a parser."""
    text = "fit the 56 schools in 11 districts and print the summaries"
    parser: argparse.ArgumentParser = commands.add_parser(
        "example", help=text, description=f"{text.capitalize()}."
    )
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fit and print the analyses of Konstantopoulos' 56 schools."""
    schools = load_dataset("konstantopoulos2011")
    single: dict[str, Any] = {
        "priors_effect_null": None,
        "priors_heterogeneity_null": None,
    }
    analyses: dict[str, dict[str, Any]] = {
        "1a. One random-effects model, schools independent": {
            **single, "study_ids": None,
        },
        "1b. One hierarchical model, schools within districts": single,
        "2. Hierarchical Bayesian model averaging": {},
        "3. Test of clustering: rho against rho = 0, heterogeneity given": {
            "priors_heterogeneity_null": None,
            "priors_hierarchical_null": prior("spike", location=0),
        },
    }  # fmt: skip
    print(
        "Modified school calendars and achievement: 56 schools in 11 districts "
        "(Konstantopoulos, 2011)."
    )
    for title, given in analyses.items():
        started = time.perf_counter()
        arguments = {"study_ids": "district", **given}
        fit = robma(
            schools, d="yi", v="vi", priors_bias=None, seed=options.seed, **arguments
        )
        seconds = time.perf_counter() - started
        print(f"\n{title} ({seconds:.1f} s)\n{'=' * len(title)}")
        print(fit.summary())
    return 0
