"""``python -m pyrobma versions``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pyrobma.versions import show_versions


def add_to(commands: Any) -> None:
    """Add the command to a parser."""
    text = "print versions, machine and programs, for reports of problems"
    parser: argparse.ArgumentParser = commands.add_parser(
        "versions", help=text, description=f"{text.capitalize()}."
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what `pyrobma.show_versions` finds."""
    if options.json:
        print(json.dumps(show_versions(as_dict=True), indent=2))
    else:
        show_versions()
    return 0
