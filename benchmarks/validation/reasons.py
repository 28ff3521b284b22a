"""Why some numbers differ: each named reason, computed.

Every part recomputes what the other program does, or would have to do, to print what it
prints, next to the exact number. It takes some minutes.
"""

from __future__ import annotations

import argparse
import math

import cases
import comparison
import exact
import metafor
import numpy as np
import pandas as pd
import robma
from scipy import stats
from scipy.special import logsumexp, ndtr

DRAWS = 10_000
"""Of the averaged posterior in RoBMA."""
SEEDS = 200


def fixed_weights() -> list[tuple[str, float]]:
    """Return log MLs: exact, ours, and of the prior by draws of the posterior.

    RoBMA's bridge has a log likelihood of 0 for fixed weights. What it then estimates
    is the integral of the prior, which is 1, from draws of the posterior: neither.
    """
    fitted = cases.fit("three, fixed weights").fits[0]
    mu, tau = (fitted.draws(name).ravel() for name in ("mu", "tau"))
    # As RoBMA samples it: mu and 1 / tau ~ Gamma(1, rate 0.15), here its logarithm.
    points = np.stack([mu, -np.log(tau)], axis=1)

    def log_prior(x: np.ndarray) -> np.ndarray:
        inverse = np.exp(x[:, 1])
        gamma = stats.gamma.logpdf(inverse, 1, scale=1 / 0.15)
        return stats.norm.logpdf(x[:, 0]) + gamma + x[:, 1]

    return [
        ("exact", float(robma.exact()["three, fixed weights|logml|1||"])),
        ("pyrobma", fitted.logml),
        ("without the likelihood", bridged(points, log_prior)),
        ("RoBMA prints", -1.04),
    ]


def bridged(points: np.ndarray, log_density: object, seed: int = 1) -> float:
    """Return a log integral by bridge sampling with a normal proposal."""
    rng = np.random.default_rng(seed)
    points = rng.permutation(points)
    half = len(points) // 2
    fitted, rest = points[:half], points[half : 2 * half]
    proposal = stats.multivariate_normal(fitted.mean(0), np.cov(fitted.T))
    new = proposal.rvs(half, random_state=rng)
    old_ratio, new_ratio = (
        log_density(x) - proposal.logpdf(x)  # type: ignore[operator]
        for x in (rest, new)
    )
    value = 0.0
    for _ in range(1000):
        above = logsumexp(new_ratio - np.logaddexp(new_ratio, value))
        below = logsumexp(-np.logaddexp(old_ratio, value))
        value, before = above - below, value
        if abs(value - before) < 1e-10:
            break
    return float(value)


def clustered_regression() -> list[tuple[str, float]]:
    """Return Bayes factors of all 8 models, and of the 4 without heterogeneity.

    RoBMA's bridge drops the others, which fail in JAGS.
    """
    known = robma.exact()
    logml = [float(known[f"schools, year|logml|{i}||"]) for i in range(1, 9)]
    # Order: no effect, tau, effect, both; then the same with year.
    kept = {"effect": ([2, 6], [0, 4]), "year": ([4, 6], [0, 2])}
    rows = []
    for name, (with_it, without) in kept.items():
        some = logsumexp([logml[i] for i in with_it])
        some -= logsumexp([logml[i] for i in without])
        rows.append((f"{name}, exact", float(known[f"schools, year|bf|{name}||"])))
        rows.append((f"{name}, pyrobma", cases.ours("schools, year", "bf", name).value))
        rows.append((f"{name}, the 4 models that are left, exact", math.exp(some)))
    rows.insert(3, ("effect, RoBMA prints", 1014583849.0))
    rows.append(("year, RoBMA prints", 112837.0))
    return rows


def kernel_density() -> list[tuple[str, float]]:
    """Return a Bayes factor of a marginal mean, exact and from kernels over seeds."""
    g = exact.oracle("regression")
    data, columns = g.andrews()
    made = g.design(
        {name: columns[name] for name in ("measure", "age")}, ["measure", "age"]
    )
    some = g.ensemble(data, made).subset(g.any_of("effect", "measure"))
    c = made.intercept() + made.deviation("measure", "direct")
    rng = np.random.default_rng(1)
    found = []
    for _ in range(SEEDS):
        heights = []
        for mixture in (some.prior_combination(c), some.combination(c)):
            share = mixture.weight / mixture.weight.sum()
            part = rng.choice(share.size, DRAWS, p=share)
            draws = rng.normal(mixture.centre[part], mixture.sd[part])
            heights.append(height_at_zero(draws))
        found.append(heights[0] / heights[1] if heights[1] > 0 else math.inf)
    low, high = np.quantile(found, [0.025, 0.975], method="inverted_cdf")
    return [
        ("exact", some.savage_dickey(c).bf),
        ("pyrobma", cases.ours("andrews", "marginal bf", "measure[direct]").value),
        (f"kernels on {DRAWS} draws, 2.5 % of seeds", float(low)),
        (f"kernels on {DRAWS} draws, 97.5 % of seeds", float(high)),
        ("RoBMA prints", 62.803),
    ]


def left_out() -> list[tuple[str, float]]:
    """Return Bayes factors of marginal means with and without models left out.

    Before version 3.3 RoBMA omitted models with more than one predictor from the
    conditional marginal summary (its NEWS). Here: of the models without an effect,
    those with both moderators.
    """
    g = exact.oracle("regression")
    data, columns = g.andrews()
    terms = ["measure", "age"]
    made = g.design({name: columns[name] for name in terms}, terms)

    def kept(on: frozenset[str]) -> bool:
        return "effect" in on or ("measure" in on and "age" not in on)

    rows = []
    for words, bias in (("no bias", g.NO_BIAS), ("PET and PEESE", g.PET_PEESE)):
        ensemble = g.ensemble(data, made, bias=bias)
        for level in ("direct", "informant"):
            c = made.intercept() + made.deviation("measure", level)
            for some, which in (
                ("all models", g.any_of("effect", "measure")), ("left out", kept)
            ):  # fmt: skip
                bf = ensemble.subset(which).savage_dickey(c).bf
                rows.append((f"{level}, {words}, {some}", bf))
    case = "andrews, 144 models"
    for level, printed in (("direct", 0.58), ("informant", 7.64)):
        own = cases.ours(case, "marginal bf", f"measure[{level}]", scale="r").value
        rows.append((f"{level}, all forms of bias, pyrobma", own))
        rows.append((f"{level}, all forms of bias, vignette's text", printed))
    return rows


def height_at_zero(draws: np.ndarray) -> float:
    """Return a Gaussian kernel density at 0 with R's default bandwidth."""
    spread = min(draws.std(ddof=1), stats.iqr(draws) / 1.34)
    width = 0.9 * spread * draws.size**-0.2
    return float(stats.norm.pdf(draws / width).mean() / width)


def clusters_under_selection() -> list[tuple[str, float]]:
    """Return log ML of the schools, one-sided .05, under two processes of selection.

    Published clusters are a sample from all clusters (pyrobma, RoBMA's bridge), or
    estimates are selected within clusters whose effects are not (RoBMA's ss).
    """
    q, s = exact.oracle("quadrature"), exact.oracle("selection")
    d, se, cluster = q.schools()
    y, se_y = q.d_to_z(d, se)
    cuts = s.cut_offs(d, se, "d", "z", [0.05], 1)[:, 0]
    logs = {"exact": [], "given the cluster": []}
    mu, w_mu = rule(-0.9, 1.3, 28)
    t, w_t = rule(math.log(0.08), math.log(1.6), 28)
    rho, w_rho = rule(0.0, 1.0, 24)
    omega, w_omega = rule(0.0, 1.0, 12)
    factor = np.linspace(-7.0, 7.0, 57)
    log_factor = stats.norm.logpdf(factor) + math.log(factor[1] - factor[0])
    starts = np.unique(cluster, return_index=True)[1]
    assert (np.diff(cluster) >= 0).all()
    below = np.add.reduceat((y < cuts).astype(float), starts)
    for tau, weight_t in zip(np.exp(t), w_t, strict=True):
        for r, weight_r in zip(rho, w_rho, strict=True):
            total = tau / 2
            sd = np.sqrt(se_y**2 + (1 - r) * total**2)
            # Mean by estimate, common factor and mu.
            mean = mu[:, None, None] / 2 + math.sqrt(r) * total * factor[:, None]
            mean = np.broadcast_to(mean, (mu.size, factor.size, y.size))
            normal = np.add.reduceat(stats.norm.logpdf(y, mean, sd), starts, axis=2)
            passed = ndtr((mean - cuts) / sd)
            prior = weights_of(q, mu, w_mu, tau, weight_t, weight_r)
            for o, weight_o in zip(omega, w_omega, strict=True):
                chance = np.log(o + (1 - o) * passed)
                chance = np.add.reduceat(chance, starts, axis=2)
                lift = log_factor[:, None]
                joint = logsumexp(normal + lift, axis=1) - logsumexp(
                    chance + lift, axis=1
                )
                local = logsumexp(normal - chance + lift, axis=1)
                both = below.sum() * math.log(o) + math.log(weight_o) + prior
                logs["exact"].append(joint.sum(axis=1) + both)
                logs["given the cluster"].append(local.sum(axis=1) + both)
    found = {name: float(logsumexp(parts)) for name, parts in logs.items()}
    return [
        ("clusters selected as they are seen", found["exact"]),
        ("the same by tests/oracle", 23.183959),
        ("estimates selected given their cluster", found["given the cluster"]),
    ]


def rule(low: float, high: float, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Gauss-Legendre nodes and weights."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return low + 0.5 * (high - low) * (x + 1), 0.5 * (high - low) * w


def weights_of(
    q: object, mu: np.ndarray, w_mu: np.ndarray, tau: float, w_t: float, w_rho: float
) -> np.ndarray:
    """Return log of prior times weights, by mu; tau's rule is on its logarithm."""
    log_prior = q.log_prior  # type: ignore[attr-defined]
    at_tau = log_prior(q.DEFAULT_HETEROGENEITY, np.array([tau]))[0]  # type: ignore[attr-defined]
    at_mu = log_prior(q.DEFAULT_EFFECT, mu)  # type: ignore[attr-defined]
    return at_mu + np.log(w_mu) + at_tau + math.log(tau * w_t * w_rho)


def names_of_variances() -> list[tuple[str, float]]:
    """Return the variances of the schools, and rho by both formulas."""
    fitted = metafor.fit("schools, districts")
    between, within = fitted.sigma2_between, fitted.sigma2_within
    return [
        ("between districts (metafor 0.065062)", between),
        ("within districts (metafor 0.032737)", within),
        ("rho (metafor 0.665266)", fitted.rho),
        ("between / (between + within)", between / (between + within)),
        (
            "within / (between + within), the vignette's formula",
            within / (between + within),
        ),
    ]


def large_effects() -> list[tuple[str, float]]:
    """Return the mean of eight estimates of 2 under both rules, and by quadrature."""
    q = exact.oracle("quadrature")
    d, se = np.full(8, 2.0), np.full(8, 0.3)
    rows = []
    for mapping in ("linear", "exact"):
        ensemble = q.ensemble(*q.d_to_z(d, se), None, mapping=mapping)
        fitted = cases._robma(d=d, se=se, priors_bias=None, effect_mapping=mapping)
        rows.append((f"{mapping}, exact", ensemble.mean["mu"]))
        rows.append((f"{mapping}, pyrobma", fitted.mixture("mu").mean()))
    return rows


PARTS = {
    "Fixed weights, log marginal likelihood": fixed_weights,
    "Clusters with moderators, Bayes factors": clustered_regression,
    "Kernel densities, Bayes factor of the marginal mean of direct": kernel_density,
    "Models left out before RoBMA 3.3, Bayes factors of marginal means": left_out,
    "Selection in clusters, log marginal likelihood": clusters_under_selection,
    "Names of the variances": names_of_variances,
    "Effects of 2, mean of mu": large_effects,
}


def main() -> None:
    """Print the parts and write them."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    blocks = ["# Why numbers differ", "Made by `reasons.py`."]
    for heading, part in PARTS.items():
        rows = pd.DataFrame(part(), columns=["", "value"])
        rows["value"] = [f"{value:.7g}" for value in rows["value"]]
        blocks += [
            f"## {heading}",
            rows.to_markdown(index=False, disable_numparse=True),
        ]
        print(f"\n{blocks[-2]}\n\n{blocks[-1]}", flush=True)
    text = "\n\n".join(blocks) + "\n"
    (comparison.RESULTS / "reasons.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
