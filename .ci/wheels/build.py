"""Build wheels for other machines on one Linux machine, and check each of them.

The compiler is the one inside the PyPI package ziglang, which knows every C library;
stanc is httpstan's and runs here. Usage, from the repository, with five minutes of one
processor for a target:

    pip install -r .ci/wheels/requirements.txt
    python .ci/wheels/build.py --into dist [TAG ...]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import check
import ziglang

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

TARGETS = {
    "manylinux_2_17_x86_64": "x86_64-linux-gnu.2.17",
    "manylinux_2_17_aarch64": "aarch64-linux-gnu.2.17",
    "musllinux_1_2_x86_64": "x86_64-linux-musl",
    "musllinux_1_2_aarch64": "aarch64-linux-musl",
    "macosx_12_0_arm64": "aarch64-macos.12.0",
}
"""What a wheel's name says of its machine, and what zig calls that machine."""


def build(tag: str, into: Path, cache: Path, jobs: int) -> Path:
    """Build one wheel; objects stay in the cache, so that a second time is quick."""
    defined = {
        "CMAKE_TOOLCHAIN_FILE": HERE / "zig.cmake",
        "ZIG": Path(ziglang.__file__).parent / "zig",
        "ZIG_TARGET": TARGETS[tag],
    }
    settings = [f"cmake.define.{name}={value}" for name, value in defined.items()]
    # The linker strips, because this machine's strip knows no other's files.
    settings += [f"build-dir={cache / tag}", "install.strip=false"]
    environment = os.environ | {
        "CMAKE_GENERATOR": "Ninja",
        "CMAKE_BUILD_PARALLEL_LEVEL": str(jobs),
    }
    with tempfile.TemporaryDirectory() as made:
        # Without isolation headers stay where they are, and objects up to date.
        subprocess.run(
            [
                sys.executable, "-m", "pip", "wheel", "--no-deps",
                "--no-build-isolation", "--verbose", "--wheel-dir", made, str(ROOT),
                *(word for setting in settings for word in ("-C", setting)),
            ],
            check=True, env=environment,
        )  # fmt: skip
        (plain,) = Path(made).glob("*.whl")
        subprocess.run(
            [sys.executable, "-m", "wheel", "tags", "--platform-tag", tag, str(plain)],
            check=True,
        )
        (tagged,) = Path(made).glob(f"*-{tag}.whl")
        into.mkdir(parents=True, exist_ok=True)
        return Path(tagged.replace(into / tagged.name))


def main() -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tags", nargs="*", metavar="TAG", help=", ".join(TARGETS))
    parser.add_argument("--into", type=Path, default=Path("dist"), metavar="DIR")
    parser.add_argument(
        "--cache", type=Path, default=Path("build/wheels"), metavar="DIR"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-check", action="store_true")
    options = parser.parse_args()
    for tag in options.tags or TARGETS:
        if tag not in TARGETS:
            parser.error(f"TAG: expected one of {', '.join(TARGETS)}; got {tag}")
    for tag in options.tags or TARGETS:
        wheel = build(tag, options.into, options.cache.resolve(), options.jobs)
        print(wheel)
        if not options.no_check:
            check.check(wheel)
    return 0


if __name__ == "__main__":
    sys.exit(main())
