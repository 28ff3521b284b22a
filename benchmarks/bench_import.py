"""Time of ``import pyrobma`` in a fresh interpreter, against that of pandas."""

from __future__ import annotations

import subprocess
import sys

from common import seconds


def fresh(statement: str) -> float:
    """Return the median time of a new interpreter running a statement."""
    return seconds(
        lambda: subprocess.run([sys.executable, "-c", statement], check=True)
    )


def main() -> None:
    """Print the times."""
    bare = fresh("pass")
    for name in ("numpy", "pandas", "cmdstanpy", "pyrobma"):
        taken = fresh(f"import {name}") - bare
        print(f"import {name:10} {taken:.2f} s")


if __name__ == "__main__":
    main()
