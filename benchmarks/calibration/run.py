"""Simulation-based calibration: fit data sets drawn from the ensemble's own prior.

    nice -n 10 python benchmarks/calibration/run.py hbma --datasets 1000

A row is added to ``results/<design>.csv`` for every data set that is fitted; a run that
was interrupted goes on where it ended. ``report.py`` makes figures and tables of them.
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from designs import DESIGNS, RANKS, RESULTS, Design
from threadpoolctl import threadpool_limits

import pyrobma as rb


def ranked(draws: np.ndarray, truth: float) -> int:
    """Return how many of some evenly spaced draws are below the truth."""
    flat = draws.ravel()
    chosen = np.linspace(0, flat.size - 1, RANKS).round().astype(int)
    return int((flat[chosen] < truth).sum())


def averaged(fit: rb.RobmaFit, name: str, truth: float, u: float) -> float:
    """Return the probability of values below the truth, and a part `u` of its own."""
    mixed = fit.mixture(name)
    below = np.array([(values < truth).mean() for values in mixed.draws])
    same = np.array([(values == truth).mean() for values in mixed.draws])
    return float(mixed.probabilities @ (below + u * same))


def result(design: Design, found: rb.Simulation, number: int) -> dict[str, Any]:
    """Fit a data set and compare it with its truth."""
    truth = found.parameters.loc[number]
    start = time.perf_counter()
    with warnings.catch_warnings():
        # Failing models are counted; what else is remarked is not what is measured.
        warnings.simplefilter("ignore")
        fit = rb.robma(
            found.effects(number), seed=number, settings=design.settings, cores=1,
            progress=False, **design.options,
        )  # fmt: skip
    seconds = time.perf_counter() - start
    own = int(truth["model"]) - 1
    model = fit.fits[own]
    row: dict[str, Any] = {
        "dataset": number, "model": own + 1, "seconds": round(seconds, 2),
        "failing": sum(not one.ok for one in fit.fits),
        "failing_share": fit.post_prob[[not one.ok for one in fit.fits]].sum(),
        "own_sampler": model.sampler,
        "largest_error": max(
            fit.logml_errors.sd[fit.post_prob > 0.01], default=0.0
        ),
    }  # fmt: skip
    u = np.random.default_rng([design.seed, number]).random()
    for name in ("mu", "tau"):
        row[f"average {name}"] = averaged(fit, name, truth[name], u)
    mixtures = {name: fit.mixture(name) for name in fit.parameters}
    for name in fit.parameters:
        values = mixtures[name].draws[own]
        row[f"rank {name}"] = ranked(values, truth[name]) if np.ptp(values) else ""
    row |= {f"p{k}": p for k, p in enumerate(fit.post_prob, start=1)}
    return row


def texts(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the digits that matter."""
    return {n: f"{v:.6g}" if isinstance(v, float) else v for n, v in row.items()}


def done(path: Path) -> set[int]:
    """Return the data sets that have a row."""
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {int(row["dataset"]) for row in csv.DictReader(file)}


def main() -> None:
    """Fit what is not yet fitted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("design", choices=DESIGNS)
    parser.add_argument("--datasets", type=int, default=500, help="the first so many")
    parser.add_argument("--minutes", type=float, default=np.inf, help="at most")
    options = parser.parse_args()
    design = DESIGNS[options.design]
    found = design.simulation()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{options.design}.csv"
    ready, end = done(path), time.monotonic() + 60 * options.minutes
    for number in range(1, min(options.datasets, design.datasets) + 1):
        if number in ready:
            continue
        if time.monotonic() > end:
            break
        row = texts(result(design, found, number))
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        if number % 50 == 0:
            print(f"{options.design}: {number} data sets", flush=True)


if __name__ == "__main__":
    threadpool_limits(1, user_api="blas")
    main()
