"""The command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from pyrobma.commands import example, fit, versions
from pyrobma.commands.words import advised


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        None: those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m pyrobma",
        description="Hierarchical, robust Bayesian model-averaged meta-analysis.",
    )
    parser.add_argument(
        "--version", action="version", version=f"pyrobma {version('pyrobma')}"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for module in (fit, example, versions):
        module.add_to(commands)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        text = f"unrecognized arguments: {' '.join(unknown)}"
        hints = advised(unknown)
        parser.error(f"{text}.{hints}" if hints else text)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
