"""Costs of counts: of a gradient by study, of tables, of ensembles and their tables."""

from __future__ import annotations

import json
import time

import numpy as np
from bench_regression import timed
from common import seconds

import pyrobma as rb
from pyrobma.counts.tables import _table, study_tables
from pyrobma.fit.density import LogDensity
from pyrobma.fit.quadrature import ALONE, Rule
from pyrobma.fit.stan_data import stan_data
from pyrobma.programs import library

BETA = rb.prior("beta", alpha=1, beta=1)


def made(K: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Return events of K trials, about 8 per cent of some hundred patients."""
    rng = np.random.default_rng(seed)
    n1, n2 = rng.integers(30, 400, (2, K))
    base, x = rng.normal(-2.5, 0.8, K), rng.normal(size=K)
    delta = -0.3 + 0.15 * x + 0.3 * rng.normal(size=K)

    def risk(logit: np.ndarray) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(-logit))

    x1 = rng.binomial(n1, risk(base + delta / 2))
    x2 = rng.binomial(n2, risk(base - delta / 2))
    return {"x1": x1, "n1": n1, "x2": x2, "n2": n2, "age": x}


def gradients(K: int) -> None:
    """Print what a log density costs, and a gradient, per study."""
    data = made(K)
    columns = {name: data[name] for name in ("x1", "n1", "x2", "n2")}
    ids = np.arange(K) // 5
    for label, more, rule in (
        ("alone", {}, ALONE),
        ("clusters of 5, 9 nodes", {"study_ids": ids}, Rule(1.0, 4.0)),
    ):
        plan = rb.robma(**columns, **more, only_priors=True)
        spec = plan.space.models[-1]
        text = json.dumps(stan_data(plan.task, spec, rule))
        with LogDensity(library("counts"), text) as density:
            points = np.full((2000, len(density.names)), -0.5)
            each = seconds(lambda points=points, d=density: d(points)) / 2000
        print(f"  {label:40} {each / K * 1e6:6.2f} µs per study and log density")


def main() -> None:
    """Run all of it."""
    print("100 made trials")
    gradients(100)
    data = made(100)
    columns = {name: data[name] for name in ("x1", "n1", "x2", "n2")}
    for baseline in ("conditional", BETA):
        plan = rb.robma(**columns, baseline=baseline, only_priors=True)
        _table.cache_clear()
        start = time.perf_counter()
        study_tables(plan.task.effects.counts, plan.task.baseline)
        each = (time.perf_counter() - start) / 100
        print(f"  table, {plan.task.baseline!s:40} {each * 1e3:6.1f} ms per study")
    mods = {"age": data["age"]}
    fit = timed(
        "8 models", lambda: rb.robma(**columns, mods=mods, seed=1, progress=False)
    )
    timed("true effects", fit.true_effects)
    timed("leave one out", fit.loo)
    bcg = rb.load_dataset("bcg")
    events = {
        "x1": bcg.tpos, "n1": bcg.tpos + bcg.tneg,
        "x2": bcg.cpos, "n2": bcg.cpos + bcg.cneg,
    }  # fmt: skip
    print("BCG, 13 trials")
    for baseline in ("conditional", BETA):
        timed(
            f"4 models, {baseline}",
            lambda b=baseline: rb.robma(**events, baseline=b, seed=1, progress=False),
        )


if __name__ == "__main__":
    main()
