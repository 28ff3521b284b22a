"""Cost of selection models: gradients, densities, nodes and whole ensembles."""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections import Counter
from collections.abc import Iterator

import bridgestan
import numpy as np
from common import schools, seconds, task

import pyrobma as rb
from pyrobma._types import FloatArray
from pyrobma.fit import stan_data
from pyrobma.fit.density import LogDensity
from pyrobma.fit.quadrature import Rule
from pyrobma.models import ModelSpec, Task, model_space
from pyrobma.priors import BiasPrior, default_priors
from pyrobma.programs import library

POINTS = 50
REPEATS = 15
NODES = 27
"""Size of the rule that is timed; the cost is proportional to it."""

ROBMA_BEM_SECONDS = 15 * 60.0  # RoBMA 3.6.1, a two-core machine

STEPS = {
    "one-sided .05": ("one.sided", (0.05,)),
    "one-sided .025,.05": ("one.sided", (0.025, 0.05)),
    "one-sided .025,.05,.5": ("one.sided", (0.025, 0.05, 0.5)),
    "two-sided .05": ("two.sided", (0.05,)),
    "two-sided .05,.10": ("two.sided", (0.05, 0.10)),
}


def assink() -> rb.EffectSizes:
    """Return 100 estimates in 17 studies of up to 22."""
    return rb.effect_sizes(
        rb.load_dataset("assink2016"), d="yi", v="vi", study_ids="study"
    )


def full_model(bias: BiasPrior) -> ModelSpec:
    """Return the model with mu, tau and rho free under one bias prior."""
    space = model_space(
        effect=default_priors("effect"),
        heterogeneity=default_priors("heterogeneity"),
        hierarchical=default_priors("hierarchical"),
        bias=(bias,),
        bias_null=(),
    )
    return space.models[-1]


def biases() -> Iterator[tuple[str, BiasPrior]]:
    """Yield the weight functions with flat Dirichlet priors."""
    for name, (kind, steps) in STEPS.items():
        alpha = [1.0] * (len(steps) + 1)
        yield name, rb.prior_weightfunction(kind, steps=list(steps), alpha=alpha)


def costs(job: Task, spec: ModelSpec) -> tuple[float, float]:
    """Return the seconds of a gradient and of a density."""
    rule = Rule(0.4, 0.2 * (NODES - 1))
    data = json.dumps(stan_data(job, spec, rule))
    model = bridgestan.StanModel(library("selection"), data, warn=False)
    rng = np.random.default_rng(1)
    points: FloatArray = rng.normal(0, 0.3, (POINTS, model.param_unc_num()))

    def gradients() -> None:
        for point in points:
            model.log_density_gradient(point, propto=False)

    gradients()
    with LogDensity(library("selection"), data) as density:
        density(points)
        each = seconds(lambda: density(points), REPEATS) / POINTS
    return seconds(gradients, REPEATS) / POINTS, each


def evaluations(sets: dict[str, rb.EffectSizes]) -> None:
    """Print the cost per estimate, node and cut-off."""
    print(f"mu, tau, rho, omega free; {NODES} nodes; median of {REPEATS}")
    print(f"{'':33} {'microseconds':>19} {'per estimate-node-cut':>23}")
    print(f"{'':33}" + 2 * f" {'gradient':>10} {'density':>10}")
    for label, effects in sets.items():
        for name, bias in biases():
            gradient, density = costs(task(effects), full_model(bias))
            # Two-sided weights need the probability beyond either critical value.
            kind, steps = STEPS[name]
            terms = len(steps) * (2 if kind == "two.sided" else 1)
            unit = effects.K * NODES * terms
            print(
                f"{label:10} {name:22} {1e6 * gradient:10.0f} {1e6 * density:10.0f}"
                f" {1e6 * gradient / unit:10.4f} {1e6 * density / unit:10.4f}"
            )


def node_shares(fit: rb.RobmaFit) -> str:
    """Return which rules were certified, and for what share of the models."""
    counts = Counter(len(f.rule.nodes) for f in fit.fits if f.rule is not None)
    return ", ".join(
        f"{nodes} nodes {100 * n / counts.total():.0f} %"
        for nodes, n in sorted(counts.items())
    )


def ensembles() -> None:
    """Print the time of whole default ensembles and the errors they reach."""
    print(f"\n{'36 models':10} {'seconds':>8} {'max mcse':>9}  RoBMA")
    bem = rb.effect_sizes(rb.load_dataset("bem2011"), d="d", se="se")
    for label, effects in (
        ("bem2011", bem),
        ("schools", schools()),
        ("assink2016", assink()),
    ):
        start = time.perf_counter()
        with warnings.catch_warnings():
            # A direction or a convergence remark is not what is measured.
            warnings.simplefilter("ignore")
            fit = rb.robma(effects, seed=1)
        taken = time.perf_counter() - start
        error = max(f.logml_mcse for f in fit.fits)
        other = {
            "bem2011": f"{ROBMA_BEM_SECONDS / taken:.0f} times as long",
            "schools": "never finishes",
        }.get(label, "not run")
        print(f"{label:10} {taken:8.1f} {error:9.4f}  {other}", flush=True)
        print(f"{'':10} {node_shares(fit) or 'no clusters, no quadrature'}")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--ensembles", action="store_true", help="whole ensembles too; minutes"
    )
    options = parser.parse_args()
    evaluations({"schools": schools(), "assink2016": assink()})
    if options.ensembles:
        ensembles()


if __name__ == "__main__":
    main()
