"""Whether stated Monte Carlo errors are those that seeds show: z over many seeds."""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd
from common import schools

import pyrobma as rb


def data_sets() -> dict[str, rb.EffectSizes]:
    """Return data with and without clusters."""
    bem = rb.effect_sizes(rb.load_dataset("bem2011"), d="d", se="se")
    return {"bem2011": bem, "schools": schools()}


def runs(effects: rb.EffectSizes, seeds: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return log marginal likelihoods and sums over models, a row for each seed."""
    models, sums = [], []
    for seed in range(1, seeds + 1):
        with warnings.catch_warnings():
            # A direction or a convergence remark is not what is measured.
            warnings.simplefilter("ignore")
            fit = rb.robma(effects, seed=seed, progress=False)
        for number, one in enumerate(fit.fits):
            second = one.second
            models.append(
                {
                    "seed": seed, "model": number, "value": one.logml,
                    "error": one.logml_mcse, "rough": one.rough,
                    "exact": second.logml
                    if second is not None and second.method == "quadrature"
                    else np.nan,
                }
            )  # fmt: skip
        for name, row in fit.inclusion.iterrows():
            sums.append(
                {
                    "seed": seed, "what": f"log BF of {name}",
                    "value": row["log_bf"], "error": row["log_bf_mcse"],
                }
            )  # fmt: skip
        for name in ("mu", "tau"):
            mixture = fit.mixture(name)
            sums.append(
                {
                    "seed": seed, "what": f"mean of {name}",
                    "value": mixture.mean(), "error": mixture.mcse(),
                }
            )  # fmt: skip
    return pd.DataFrame(models), pd.DataFrame(sums)


def main() -> None:
    """Print standard deviations of z, which are 1 if errors are right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--data", nargs="*", default=list(data_sets()))
    options = parser.parse_args()
    seeds = options.seeds
    for label in options.data:
        effects = data_sets()[label]
        models, sums = runs(effects, seeds)
        drawn = models[(models["error"] > 0) & ~models["rough"]]
        exact = drawn.dropna()
        z = (exact["value"] - exact["exact"]) / exact["error"]
        print(
            f"{label}, {seeds} seeds; log marginal likelihoods of "
            f"{exact['model'].nunique()} models against quadrature: sd of z "
            f"{z.std():.2f}, mean {z.mean():.2f}, largest {z.abs().max():.1f}"
        )
        rough = models[models["rough"]]
        print(f"  models that stay rough: {rough['model'].nunique()}")
        # Without exact values: how far seeds are from their mean.
        others = drawn[drawn["exact"].isna()].rename(columns={"model": "what"})
        frames = {"log marginal likelihoods of the other models": others}
        frames |= {str(name): part for name, part in sums.groupby("what")}
        for name, frame in frames.items():
            groups = frame.groupby("what")
            gap = frame["value"] - groups["value"].transform("mean")
            n = groups["value"].transform("size")
            z = gap / frame["error"] * np.sqrt(n / (n - 1.0))
            z = z[frame["error"] > 0]
            print(
                f"  {name}: sd of z {z.std():.2f}, median error "
                f"{frame['error'].median():.4f}"
            )


if __name__ == "__main__":
    main()
