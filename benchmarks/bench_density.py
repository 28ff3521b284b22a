"""Cost of a log density and of a gradient, and how it grows with the data."""

from __future__ import annotations

import json

import bridgestan
import numpy as np
from common import default_space, made, schools, seconds, task

from pyrobma.fit.density import LogDensity
from pyrobma.fit.stan_data import stan_data
from pyrobma.programs import library

POINTS = 200


def main() -> None:
    """Print microseconds per evaluation and nanoseconds per estimate."""
    full = default_space().models[-1]
    print("mu, tau, rho free; median of 5")
    print(
        f"{'estimates':>10} {'density us':>11} {'gradient us':>12} {'ns/estimate':>12}"
    )
    for label, effects in (
        ("schools", schools()),
        *((n, made(n)) for n in (20, 200, 2000)),
    ):
        data = json.dumps(stan_data(task(effects), full))
        model = bridgestan.StanModel(library("normal"), data, warn=False)
        rng = np.random.default_rng(1)
        points = rng.normal(0, 0.3, (POINTS, 3))
        with LogDensity(library("normal"), data) as density:
            one = seconds(lambda d=density, p=points: d(p)) / POINTS
        point = points[0]
        repeats = range(POINTS)

        def gradients(m=model, x=point, r=repeats) -> None:
            for _ in r:
                m.log_density_gradient(x, propto=False)

        slope = seconds(gradients) / POINTS
        per = 1e9 * slope / effects.K
        name = label if isinstance(label, str) else str(effects.K)
        print(f"{name:>10} {1e6 * one:11.2f} {1e6 * slope:12.2f} {per:12.1f}")


if __name__ == "__main__":
    main()
