"""Command line: ``python -m pyrobma example``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import pyrobma as rb


def example(seed: int) -> None:
    """Fit and print the analyses of Konstantopoulos' 56 schools."""
    schools = rb.load_dataset("konstantopoulos2011")
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
            "priors_hierarchical_null": rb.prior("spike", location=0),
        },
    }  # fmt: skip
    print(
        "Modified school calendars and achievement: 56 schools in 11 districts "
        "(Konstantopoulos, 2011)."
    )
    for title, options in analyses.items():
        started = time.perf_counter()
        arguments = {"study_ids": "district", **options}
        fit = rb.robma(
            schools, d="yi", v="vi", priors_bias=None, seed=seed, **arguments
        )
        seconds = time.perf_counter() - started
        print(f"\n{title} ({seconds:.1f} s)\n{'=' * len(title)}")
        print(fit.summary())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pyrobma", description="Bayesian model-averaged meta-analysis."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shown = commands.add_parser(
        "example", help="fit the 56 schools in 11 districts and print the summaries"
    )
    shown.add_argument("--seed", type=int, default=1, help="default: 1")
    options = parser.parse_args(arguments)
    example(options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
