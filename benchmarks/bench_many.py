"""Many small meta-analyses: how many a minute, and what a second core adds.

    python benchmarks/bench_many.py [--analyses 1000] [--sampler NUTS]

Analyses have 5 to 40 studies and the four models without publication bias. Parallel
efficiency is what one core does in a second over half of what two cores do.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import pyrobma as rb


def analyses(n: int) -> Iterator[tuple[int, pd.DataFrame]]:
    """Make data sets of standardised mean differences, one by one."""
    for k in range(n):
        rng = np.random.default_rng([1, k])
        K = int(rng.integers(5, 41))
        se = rng.uniform(0.1, 0.4, K)
        mu, tau = rng.choice([0.0, 0.2]), rng.choice([0.0, 0.2])
        d = rng.normal(mu, np.hypot(tau, se))
        yield k, pd.DataFrame({"d": d, "se": se})


def seconds(n: int, cores: int, sampler: str) -> tuple[float, pd.DataFrame]:
    """Return how long some analyses take, workers being started before."""
    settings = rb.SamplerSettings(sampler=sampler)
    options = {"d": "d", "se": "se", "priors_bias": None, "settings": settings}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        found = rb.robma_many(
            analyses(n), seed=1, cores=cores, progress=False,
            results=Path(folder, "results"), **options,
        )  # fmt: skip
        return time.perf_counter() - start, found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--analyses", type=int, default=1000)
    parser.add_argument("--single", type=int, default=200, help="on one core")
    parser.add_argument("--sampler", default="NUTS")
    options = parser.parse_args()
    one, _ = seconds(options.single, 1, options.sampler)
    two, found = seconds(options.analyses, 2, options.sampler)
    rate_one, rate_two = options.single / one, options.analyses / two
    own = found[found["kind"] == "analysis"]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.sampler}: {options.single} analyses on one core, {one:.0f} s")
    print(f"{options.analyses} on two cores, {two:.0f} s")
    print(f"analyses per minute and core: {60 * rate_one:.0f}, {30 * rate_two:.0f}")
    print(f"parallel efficiency: {rate_two / (2 * rate_one):.2f}")
    print(f"failed: {own['error'].notna().sum()}, memory here: {memory:.0f} MB")


if __name__ == "__main__":
    main()
