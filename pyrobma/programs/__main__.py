"""Command line: ``python -m pyrobma.programs build --into DIR``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pyrobma.errors import ToolchainError
from pyrobma.programs.build import PROGRAMS, build
from pyrobma.programs.paths import executable, library


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pyrobma.programs",
        description="The compiled Stan programs behind pyrobma.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="print where the programs in use are")
    builder = commands.add_parser("build", help="compile programs into a directory")
    builder.add_argument(
        "--toolchain",
        choices=("bundled", "cmdstan"),
        default="bundled",
        help="bundled (default): pyrobma's runtime, with httpstan and CMake; cmdstan: "
        "an installed CmdStan and BridgeStan",
    )
    builder.add_argument("--into", required=True, type=Path, metavar="DIR")
    builder.add_argument(
        "files", nargs="*", type=Path, metavar="FILE.stan",
        help="Stan programs; those of the package if none is given",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        if options.command == "build":
            made = build(options.into, options.toolchain, options.files or None)
        else:
            made = [p for name in PROGRAMS for p in (executable(name), library(name))]
    except ToolchainError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(map(str, made)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
