"""Time of whole ensembles, and where it goes."""

from __future__ import annotations

import cProfile
import json
import pstats
import subprocess
import time

from common import default_space, made, schools, seconds, task

import pyrobma as rb
from pyrobma.ensemble import Ensemble
from pyrobma.fit import SamplerSettings, fit_models, stan_data
from pyrobma.fit.density import LogDensity
from pyrobma.fit.sample import run_chains
from pyrobma.programs import executable, library

ROBMA_SECONDS = 104.0  # RoBMA 3.6.1, the same four models, a two-core machine


def stages() -> None:
    """Print the share of each stage in the fit of the three-parameter model."""
    job, spec = task(schools()), default_space().models[-1]
    settings = SamplerSettings().resolved(4)
    data = json.dumps(stan_data(job, spec))
    start = seconds(
        lambda: subprocess.run(
            [executable("normal"), "info"], check=True, capture_output=True
        )
    )

    def sample() -> rb.fit.Chains:
        return run_chains(
            "normal",
            data,
            settings=settings,
            warmup=settings.warmup,
            draws=settings.draws,
            seed=1,
            parallel=1,
        )

    sample()
    total = seconds(sample, 3)
    profile = cProfile.Profile()
    chains = profile.runcall(sample)
    waited = sum(
        row[3]
        for key, row in pstats.Stats(profile).stats.items()
        if key[2] in {"_assemble_draws", "_validate_csv_files"}
    )
    shape = chains.draws.shape
    density = LogDensity(library("normal"), data)
    points = density.unconstrain(chains.constrained.reshape(-1, 3)).reshape(shape)
    bridge = seconds(
        lambda: rb.bridge.warp3(density, points, seed=1, draws_log_density=chains.lp)
    )
    diagnose = seconds(lambda: rb.fit.diagnostics.diagnose(chains))
    ess = rb.fit.diagnostics.diagnose(chains).ess_bulk.min()
    whole = total + bridge + diagnose
    print(f"\nOne model with mu, tau, rho on one core: {1e3 * whole:.0f} ms")
    for name, part in (
        ("process starts (5)", 5 * start),
        ("reading CSV files", waited),
        ("chains and the rest of CmdStanPy", total - waited - 5 * start),
        ("bridge sampling", bridge),
        ("diagnostics", diagnose),
    ):
        print(f"  {name:34} {1e3 * part:7.1f} ms {100 * part / whole:5.1f} %")
    print(
        f"  effective draws per second {ess / total:.0f} (smallest of the parameters)"
    )


def ensembles() -> None:
    """Print times of four-model ensembles and the errors they reach."""
    space = default_space()
    print(f"\n{'estimates':>10} {'seconds':>8} {'mixing ms':>10} {'max mcse':>9}")
    for name, effects, repeats in (
        ("schools", schools(), 5),
        ("1000", made(200), 1),
        ("10000", made(2000), 1),
    ):
        fits: list[tuple[rb.Fit, ...]] = []

        def run(e=effects, into=fits) -> None:
            into.append(fit_models(task(e), space, seed=len(into)))

        time_taken = seconds(run, repeats)
        ensemble = Ensemble(task(effects), space, fits[-1], SamplerSettings(), 1)
        began = time.perf_counter()
        for parameter in ensemble.parameters:
            mixed = ensemble.mixture(parameter)
            mixed.mean(), mixed.mcse(), mixed.quantiles([0.025, 0.5, 0.975])
        mixing = time.perf_counter() - began
        error = max(fit.logml_mcse for fit in fits[-1])
        print(f"{name:>10} {time_taken:8.2f} {1e3 * mixing:10.1f} {error:9.4f}")
        if name == "schools":
            print(f"{'':>10} {ROBMA_SECONDS / time_taken:8.0f} times RoBMA's speed")


if __name__ == "__main__":
    stages()
    ensembles()
