"""Fit random small meta-analyses with exact answers, to find silent errors.

Problem i is made from its number alone. Its exact answer is that of hard_oracle.py,
which knows nothing of the package; the package then has a limited time. A number that
is more than 4 stated errors off is silent unless the fit says that it failed.

    python benchmarks/hard_problems.py --range 0 60 --cores 2 --out results.csv
    python benchmarks/hard_problems.py --only 6
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import multiprocessing
import os
import queue
import signal
import threading
import time
import traceback
import warnings
from collections import defaultdict
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from hard_oracle import Bias, Data, Exact, Law, Model, log_odds, solve

PROBLEMS = 400
CPU_SECONDS = 30.0
WALL_SECONDS = 90.0
"""Limits of one model; an ensemble gets as many times as much as it has models."""

LIMIT = 4.0
"""Stated errors from which on a number is wrong."""

UNSURE = 1e-4
"""Difference of the oracle's two rules from which on it has no answer."""

EXACT = 1e-8
"""Agreement of models without free parameters, relative from 1 on."""


# ---- problems --------------------------------------------------------------------
@dataclass(frozen=True)
class Problem:
    """Data and priors without unit; the package gets everything times `unit`."""

    regime: str
    data: Data
    mu: tuple[Law, ...]
    tau: tuple[Law, ...]
    mu_null: tuple[Law, ...] = ()
    tau_null: tuple[Law, ...] = ()
    rho: Law | None = None
    bias: tuple[Bias, ...] = ()
    unbiased: bool = True
    unit: float = 1.0

    @property
    def models(self) -> list[Model]:
        """Every combination of priors; rho has no meaning without heterogeneity."""
        biases = (*self.bias, *([Bias()] if self.unbiased else []))
        return [
            Model(mu, tau, None if tau.fixed and tau.at == 0 else self.rho, bias)
            for mu, tau, bias in itertools.product(
                self.mu + self.mu_null, self.tau + self.tau_null, biases
            )
        ]


def spike(at: float = 0.0) -> Law:
    """Return a fixed value."""
    return Law("spike", {"location": at})


def normal(mean: float, sd: float, lower: float = -math.inf) -> Law:
    """Return a normal law."""
    return Law("normal", {"mean": mean, "sd": sd}, lower)


def cauchy(location: float, scale: float, lower: float = -math.inf) -> Law:
    """Return a Cauchy law."""
    return Law("cauchy", {"location": location, "scale": scale}, lower)


def inv_gamma(shape: float, scale: float) -> Law:
    """Return an inverse gamma law."""
    return Law("inv_gamma", {"shape": shape, "scale": scale})


def some_tau(rng: np.random.Generator, size: float = 1.0) -> Law:
    """Return a prior of tau of any family, of about this size."""
    return [
        inv_gamma(1.0, 0.15 * size),
        inv_gamma(float(rng.choice([0.5, 2.0])), 0.3 * size),
        normal(0.0, 0.5 * size, 0.0),
        cauchy(0.0, 0.3 * size, 0.0),
        Law("gamma", {"shape": 2.0, "rate": 6.0 / size}),
        Law("lognormal", {"meanlog": math.log(0.2 * size), "sdlog": 1.0}),
    ][int(rng.integers(6))]


def some_mu(rng: np.random.Generator) -> Law:
    """Return a prior of mu of any family."""
    return [
        normal(0.0, 1.0),
        cauchy(0.0, 0.707),
        Law("student_t", {"location": 0.35, "scale": 0.1, "df": 3.0}),
        normal(0.0, 1.0, 0.0),
    ][int(rng.integers(4))]


def made(rng: np.random.Generator, K: int, mu: float = 0.2, tau: float = 0.2,
         low: float = 0.05, high: float = 0.4) -> Data:  # fmt: skip
    """Return independent estimates."""
    se = rng.uniform(low, high, K)
    y = mu + tau * rng.normal(size=K) + se * rng.normal(size=K)
    return Data(y, se, np.arange(K))


def clustered(rng: np.random.Generator, sizes: list[int], tau: float) -> Data:
    """Return estimates in clusters."""
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    K, rho = cluster.size, rng.uniform()
    se = rng.uniform(0.05, 0.3, K)
    common = np.sqrt(rho) * rng.normal(size=len(sizes))[cluster]
    own = np.sqrt(1 - rho) * rng.normal(size=K)
    y = rng.normal(0, 0.3) + tau * (common + own) + se * rng.normal(size=K)
    return Data(y, se, cluster)


def ordinary_ensemble(rng: np.random.Generator) -> Problem:
    """Mu and tau free or 0."""
    data = made(rng, int(rng.integers(1, 41)), rng.normal(0, 0.3), rng.uniform(0, 0.4))
    return Problem(
        "ordinary, ensemble", data, (some_mu(rng),), (some_tau(rng),), (spike(),),
        (spike(),),
    )  # fmt: skip


def ordinary(rng: np.random.Generator) -> Problem:
    """One model, any priors."""
    data = made(rng, int(rng.integers(1, 41)), rng.normal(0, 0.3), rng.uniform(0, 0.4))
    return Problem("ordinary", data, (some_mu(rng),), (some_tau(rng),))


def far(rng: np.random.Generator, size: float) -> Problem:
    """Prior of mu up to 60 of its sds from the data."""
    data = made(rng, int(rng.integers(2, 21)), 0.0, rng.uniform(0, 0.2))
    sd = float(10 ** rng.uniform(-2, 0))
    away = rng.uniform(5, 60) * max(sd, float(data.se.min()))
    name = "far prior of mu, small tau" if size < 1 else "far prior of mu, wide tau"
    data = Data(data.y + away, data.se, data.cluster)
    null = (spike(),) if rng.uniform() < 0.4 else ()
    return Problem(name, data, (normal(0.0, sd),), (some_tau(rng, size),), null)


def far_small(rng: np.random.Generator) -> Problem:
    """Far, with a prior that says tau is small."""
    return far(rng, float(10 ** rng.uniform(-2.5, -0.5)))


def far_wide(rng: np.random.Generator) -> Problem:
    """Far, with a prior that lets tau be large."""
    return far(rng, float(10 ** rng.uniform(0, 2)))


def interval_null(rng: np.random.Generator) -> Problem:
    """Return one with a prior of mu down to a millionth of a standard error wide."""
    data = made(rng, int(rng.integers(2, 31)), rng.normal(0, 0.3), rng.uniform(0, 0.3))
    width = float(10 ** rng.uniform(-6, -1) * data.se.min())
    return Problem(
        "interval null", data, (normal(0.0, 1.0),), (some_tau(rng),),
        (normal(0.0, width),),
    )  # fmt: skip


def narrow_cauchy(rng: np.random.Generator) -> Problem:
    """Return one with a heavy-tailed prior with a narrow middle."""
    data = made(rng, int(rng.integers(1, 31)), rng.normal(0, 0.5), rng.uniform(0, 0.2))
    tau = (some_tau(rng),) if rng.uniform() < 0.7 else (spike(),)
    return Problem("narrow Cauchy of mu", data, (cauchy(0.0, 0.001),), tau)


def conflict(rng: np.random.Generator) -> Problem:
    """Estimates that agree, far from a prior that tau could bridge."""
    # Either mu leaves its prior for the data or tau grows: two modes, far apart, of
    # which the better one is narrow. K = 8, 0.8, 0.01, 0.1 and 0.015 are a known case.
    K = int(rng.integers(4, 13))
    centre = rng.uniform(0.5, 1.5)
    se = np.full(K, centre / rng.uniform(20, 150))
    y = centre + rng.choice([0.0, 0.5, 1.0]) * se[0] * np.linspace(-1, 1, K)
    sd = centre / float(rng.uniform(4, 10))
    tau = inv_gamma(1.0, float(rng.choice([0.015, 0.05, 0.15])))
    return Problem(
        "precise, prior in conflict", Data(y, se, np.arange(K)), (normal(0.0, sd),),
        (tau,),
    )  # fmt: skip


def outliers(rng: np.random.Generator) -> Problem:
    """One or two estimates far from the others."""
    data = made(rng, int(rng.integers(4, 31)), rng.normal(0, 0.2), 0.1)
    y = data.y.copy()
    y[: int(rng.integers(1, 3))] += rng.choice([-1, 1]) * rng.uniform(2, 20)
    return Problem(
        "outliers", Data(y, data.se, data.cluster), (some_mu(rng),), (some_tau(rng),)
    )


def heavy_tau(rng: np.random.Generator) -> Problem:
    """Few estimates and a prior of tau without moments."""
    data = made(rng, int(rng.integers(2, 4)), rng.normal(0, 0.5), rng.uniform(0, 1))
    scale = float(10 ** rng.uniform(-2.5, -0.5))
    null = (spike(),) if rng.uniform() < 0.5 else ()
    return Problem(
        "heavy-tailed tau", data, (some_mu(rng),), (cauchy(0.0, scale, 0.0),), (), null
    )


def beta(rng: np.random.Generator) -> Law:
    """Return a prior of rho."""
    a, b = rng.choice([1.0, 2.0, 0.5], 2)
    return Law("beta", {"a": float(a), "b": float(b)})


def sizes(rng: np.random.Generator, K: int) -> list[int]:
    """Return sizes of clusters of up to 10 that sum to at most K, the first shared."""
    result = [int(rng.integers(2, 11))]
    while sum(result) < K:
        result.append(int(rng.integers(1, 11)))
    return result


def clusters_ensemble(rng: np.random.Generator) -> Problem:
    """Rho free in an ensemble."""
    data = clustered(rng, sizes(rng, int(rng.integers(4, 26))), rng.uniform(0, 0.5))
    return Problem(
        "clusters, ensemble", data, (normal(0.0, 1.0),), (some_tau(rng),), (spike(),),
        (spike(),), beta(rng),
    )  # fmt: skip


def clusters(rng: np.random.Generator) -> Problem:
    """Rho free or fixed in one model, sometimes with very precise estimates."""
    data = clustered(rng, sizes(rng, int(rng.integers(4, 26))), rng.uniform(0, 0.5))
    factor = float(rng.choice([1.0, 1.0, 0.05]))
    data = Data(data.y, data.se * factor, data.cluster)
    rho = beta(rng) if rng.uniform() < 0.8 else spike(0.5)
    return Problem("clusters", data, (some_mu(rng),), (some_tau(rng),), rho=rho)


def regression(rng: np.random.Generator, kind: str) -> Problem:
    """PET or PEESE, alone or averaged with no bias."""
    data = made(rng, int(rng.integers(3, 31)), rng.normal(0, 0.3), rng.uniform(0, 0.2))
    steep = rng.uniform(0, 3)
    data = Data(data.y + steep * data.se, data.se, data.cluster)
    scale = 1.0 if kind == "PET" else 5.0
    law = [cauchy(0.0, scale, 0.0), normal(0.0, scale, 0.0), normal(0.0, scale)]
    tau = (some_tau(rng),) if rng.uniform() < 0.7 else (spike(),)
    mu = (normal(0.0, float(rng.choice([1.0, 0.01]))),)
    bias = (Bias(kind, law[int(rng.integers(3))]),)
    return Problem(kind, data, mu, tau, bias=bias, unbiased=bool(rng.uniform() < 0.4))


def pet(rng: np.random.Generator) -> Problem:
    """Regression on the standard error."""
    return regression(rng, "PET")


def peese(rng: np.random.Generator) -> Problem:
    """Regression on the variance."""
    return regression(rng, "PEESE")


def weights(rng: np.random.Generator, sides: int, *steps: float) -> Bias:
    """Return a weight function."""
    flat = rng.uniform() < 0.7
    alpha = [1.0 if flat else float(rng.uniform(0.5, 3)) for _ in range(len(steps) + 1)]
    return Bias("weights", None, sides, steps, tuple(alpha))


def selection_fixed(rng: np.random.Generator) -> Problem:
    """One cut-off, no heterogeneity."""
    data = made(rng, int(rng.integers(1, 31)), rng.normal(0, 0.3), rng.uniform(0, 0.2))
    bias = weights(rng, 1, float(rng.choice([0.05, 0.025])))
    return Problem(
        "selection, tau = 0", data, (some_mu(rng),), (spike(),), bias=(bias,),
        unbiased=bool(rng.uniform() < 0.5),
    )  # fmt: skip


def selection(rng: np.random.Generator) -> Problem:
    """One cut-off, mu and tau free."""
    data = made(rng, int(rng.integers(2, 16)), rng.normal(0, 0.3), rng.uniform(0, 0.3))
    return Problem(
        "selection, one cut-off", data, (normal(0.0, 1.0),), (some_tau(rng),),
        bias=(weights(rng, 1, 0.05),), unbiased=False,
    )  # fmt: skip


def selection_two_sided(rng: np.random.Generator) -> Problem:
    """One two-sided cut-off, mu or tau fixed."""
    data = made(rng, int(rng.integers(2, 16)), rng.normal(0, 0.3), rng.uniform(0, 0.3))
    null = rng.uniform() < 0.5
    return Problem(
        "selection, two-sided", data, (spike() if null else normal(0.0, 1.0),),
        (some_tau(rng) if null else spike(0.1),), bias=(weights(rng, 2, 0.05),),
        unbiased=False,
    )  # fmt: skip


def selection_cuts(rng: np.random.Generator) -> Problem:
    """Two cut-offs, sometimes three, no heterogeneity."""
    data = made(rng, int(rng.integers(2, 13)), rng.normal(0, 0.3), rng.uniform(0, 0.2))
    three = rng.uniform() < 0.3
    steps = (0.025, 0.05, 0.5) if three else (0.025, 0.05)
    mu = spike() if three else normal(0.0, 1.0)
    return Problem(
        "selection, several cut-offs", data, (mu,), (spike(),),
        bias=(weights(rng, 1, *steps),), unbiased=False,
    )  # fmt: skip


def selection_far(rng: np.random.Generator) -> Problem:
    """Estimates up to 60 standard errors from 0 or from each other."""
    K = int(rng.integers(2, 7))
    se = np.full(K, float(rng.choice([0.02, 0.05])))
    z = rng.uniform(-8, 8, K)
    z[: int(rng.integers(1, 3))] += rng.choice([-1, 1]) * rng.uniform(5, 52)
    tau = spike() if rng.uniform() < 0.6 else inv_gamma(1.0, 0.15)
    return Problem(
        "selection, far", Data(z * se, se, np.arange(K)), (normal(0.0, 1.0),), (tau,),
        bias=(weights(rng, 1, 0.05),), unbiased=False,
    )  # fmt: skip


def selection_clusters(rng: np.random.Generator) -> Problem:
    """Select clusters; one or two of mu, tau and rho are fixed."""
    data = clustered(rng, [int(rng.integers(2, 5)), 2, 1], rng.uniform(0, 0.3))
    which = int(rng.integers(3))
    return Problem(
        "selection, clusters", data, (spike() if which == 1 else normal(0.0, 1.0),),
        (inv_gamma(1.0, 0.15) if which == 1 else spike(0.2),),
        rho=spike(0.5) if which == 2 else beta(rng), bias=(weights(rng, 1, 0.05),),
        unbiased=False,
    )  # fmt: skip


def fixed(rng: np.random.Generator) -> Problem:
    """No free parameter, or one."""
    data = clustered(rng, sizes(rng, int(rng.integers(2, 30))), 0.2)
    return Problem(
        "fixed", data, (spike(0.1),), (spike(0.3),), (spike(), normal(0.0, 1.0)),
        (spike(),), spike(float(rng.choice([0.0, 0.5, 1.0]))),
    )  # fmt: skip


REGIMES = (
    ordinary_ensemble, ordinary, far_small, far_wide, interval_null, narrow_cauchy,
    conflict, outliers, heavy_tau, clusters_ensemble, clusters, pet, peese,
    selection_fixed, selection, selection_two_sided, selection_cuts, selection_far,
    selection_clusters, fixed,
)  # fmt: skip


def problem(index: int) -> Problem:
    """Return a problem from its number; regimes take turns."""
    rng = np.random.default_rng([7, index])
    made_ = REGIMES[index % len(REGIMES)](rng)
    unit = 1.0 if rng.uniform() < 0.4 else float(10 ** rng.uniform(-9, 9))
    return Problem(**{**vars(made_), "unit": unit})


# ---- exact answers ---------------------------------------------------------------
@dataclass
class Answer:
    """What is compared: a name, a value with its error, and where it may fail."""

    name: str
    value: float
    error: float
    kind: str
    free: bool = True


def component(models: list[Model], name: str) -> np.ndarray:
    """Return which models are alternatives: not the null given to the package."""
    return np.array([getattr(m, name) for m in models], dtype=bool)


def exact(job: Problem) -> tuple[list[Answer], list[Exact]]:
    """Return all answers in the unit of the data, and those of the models."""
    models = job.models
    solved = [solve(m, job.data) for m in models]
    K, n = job.data.y.size, len(models)
    answers = [
        Answer(
            f"logml {k}", e.logml - K * math.log(job.unit), e.logml_error, "logml",
            e.evaluations > 0 or bool(e.means),
        )
        for k, e in enumerate(solved)
    ]  # fmt: skip
    logml = np.array([e.logml for e in solved])
    errors = np.array([e.logml_error for e in solved])
    groups = {
        "effect": [m.mu in job.mu for m in models] if job.mu_null else None,
        "heterogeneity": [m.tau in job.tau for m in models] if job.tau_null else None,
        "bias": [m.bias in job.bias for m in models]
        if job.bias and job.unbiased
        else None,
    }
    for name, member in groups.items():
        if member is not None:
            value = log_odds(logml, [1 / n] * n, np.array(member))
            answers.append(Answer(f"log_bf {name}", value, float(errors.max()), "BF"))
    shares = np.exp(logml - np.logaddexp.reduce(logml))
    for name in ("mu", "tau", "rho", "PET", "PEESE"):
        answer = averaged(job, models, solved, shares, errors, name)
        if answer is not None:
            answers.append(answer)
    return answers, solved


def averaged(job: Problem, models: list[Model], solved: list[Exact],
             shares: np.ndarray, errors: np.ndarray, name: str
             ) -> Answer | None:  # fmt: skip
    """Return the mean of a parameter over the models; absent ones are 0."""
    if not any(name in e.means for e in solved):
        return None
    if name == "rho" and len(models) > 1:
        return None
    unit = {"mu": job.unit, "tau": job.unit, "PEESE": 1 / job.unit}.get(name, 1.0)

    def of(model: Model, e: Exact) -> float:
        if name in ("mu", "tau", "rho") and name not in e.means:
            law: Law | None = getattr(model, name)
            return 0.0 if law is None else law.at
        return e.means.get(name, 0.0)

    values = np.array([of(m, e) for m, e in zip(models, solved, strict=True)])
    own = np.array([e.mean_errors.get(name, 0.0) for e in solved])
    mean = float(shares @ values)
    error = float(shares @ own + shares @ (np.abs(values - mean) * errors))
    kind = "mean"
    if name == "tau":
        moments = min(tail(law) for law in job.tau if not law.fixed) + job.data.y.size
        # Without a mean nothing to compare; without a variance no standard error.
        # Without a fourth moment the standard error is itself an infinite-variance one.
        limits = ((1, "no mean"), (2, "no variance"), (4, "heavy mean"))
        kind = next((k for least, k in limits if moments <= least), "mean")
    return Answer(f"mean {name}", mean * unit, error * unit, kind)


def tail(law: Law) -> float:
    """Return how many powers of tau its prior's tail falls by, less one."""
    if law.family == "inv_gamma":
        return law.values["shape"]
    return 1.0 if law.family == "cauchy" else math.inf


# ---- the package -----------------------------------------------------------------
def given(law: Law, unit: float) -> Any:
    """Return a prior of the package."""
    import pyrobma as rb

    scaled = law if law.family == "beta" else law.times(unit)
    values = dict(scaled.values)
    if law.family == "beta":
        values = {"alpha": values["a"], "beta": values["b"]}
    ends = {
        name: end
        for name, end in (("lower", scaled.lower), ("upper", scaled.upper))
        if math.isfinite(end)
    }
    return rb.prior(law.family, **values, **ends)


def given_bias(bias: Bias, unit: float) -> Any:
    """Return a bias prior of the package."""
    import pyrobma as rb

    if bias.kind == "none":
        return rb.prior_none()
    if bias.kind == "weights":
        return rb.prior_weightfunction(
            {1: "one.sided", 2: "two.sided"}[bias.sides],
            steps=list(bias.steps), alpha=list(bias.alpha),
        )  # fmt: skip
    law = bias.law if bias.kind == "PET" else bias.law.times(1 / unit)
    make = rb.prior_PET if bias.kind == "PET" else rb.prior_PEESE
    lower = law.lower if math.isfinite(law.lower) else None
    return make(law.family, **law.values, lower=lower)


def fitted(job: Problem) -> Any:
    """Fit a problem."""
    import pyrobma as rb

    def listed(laws: tuple[Law, ...], unit: float) -> Any:
        return [given(law, unit) for law in laws] or None

    shared = job.rho is not None
    return rb.robma(
        y=job.data.y * job.unit, se=job.data.se * job.unit,
        study_ids=job.data.cluster if shared else None,
        priors_effect=listed(job.mu, job.unit),
        priors_effect_null=listed(job.mu_null, job.unit),
        priors_heterogeneity=listed(job.tau, job.unit),
        priors_heterogeneity_null=listed(job.tau_null, job.unit),
        priors_hierarchical=given(job.rho, 1.0) if shared else None,
        priors_hierarchical_null=None,
        priors_bias=[given_bias(b, job.unit) for b in job.bias] or None,
        priors_bias_null=rb.prior_none() if job.unbiased else None,
        seed=1, cores=1, progress=False,
    )  # fmt: skip


def row_of(job: Problem, fit: Any, model: Model) -> int:
    """Return which of the fits is this model."""
    import pyrobma as rb

    mu, tau = given(model.mu, job.unit), given(model.tau, job.unit)
    rho = None if model.rho is None else given(model.rho, 1.0)
    bias = given_bias(model.bias, job.unit)
    for k, f in enumerate(fit.fits):
        found = {"mu": mu, "tau": tau} | ({} if rho is None else {"rho": rho})
        if f.spec.same_likelihood(rb.model(found, bias=bias)):
            return k
    raise LookupError(f"no fit of {model}")


@dataclass
class Found:
    """What the package says of a problem."""

    values: dict[str, tuple[float, float]] = field(default_factory=dict)
    marked: dict[str, str] = field(default_factory=dict)
    failure: str = ""


def found(job: Problem, answers: list[Answer]) -> Found:
    """Fit a problem and read off every answer."""
    result = Found()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fit = fitted(job)
        except Exception as error:
            result.failure = f"{type(error).__name__}: {error}"
            return result
        models = job.models
        rows = [row_of(job, fit, m) for m in models]
        marks = {k: "; ".join(fit.fits[r].reasons) for k, r in enumerate(rows)}
        for answer in answers:
            kind, _, name = answer.name.partition(" ")
            if kind == "logml":
                one = fit.fits[rows[int(name)]]
                result.values[answer.name] = (one.logml, one.logml_mcse)
                result.marked[answer.name] = marks[int(name)]
                continue
            result.marked[answer.name] = "; ".join(m for m in marks.values() if m)
            if kind == "log_bf":
                row = fit.inclusion.loc[name]
                value = (float(row["log_bf"]), float(row["log_bf_mcse"]))
            else:
                mixed = fit.mixture(name)
                value = (mixed.mean(), mixed.mcse())
            result.values[answer.name] = value
    loud = [w for w in caught if w.category.__name__ == "ConvergenceWarning"]
    for name in result.values if loud else ():
        result.marked[name] = result.marked[name] or "ConvergenceWarning"
    return result


# ---- running in time -------------------------------------------------------------
def serve(pipe: Connection) -> None:
    """Solve problems by number; tells when the package starts."""
    os.setsid()
    threading.Thread(target=follow, args=(os.getppid(),), daemon=True).start()
    while True:
        index = pipe.recv()
        if index is None:
            return
        try:
            job = problem(index)
            start = time.process_time()
            answers, _ = exact(job)
            pipe.send((answers, time.process_time() - start))
            pipe.send(found(job, answers))
        except Exception:
            pipe.send(traceback.format_exc())


def follow(parent: int) -> None:
    """End the group when the parent is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)


def group_cpu(group: int) -> float:
    """Return the processor time of a process group, dead children included."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue
        rest = text.rpartition(")")[2].split()
        if int(rest[2]) == group:
            ticks += sum(map(int, rest[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


class Worker:
    """A process that is replaced when it takes too long."""

    def __init__(self, cpu: float) -> None:
        """Start it; `cpu` is the limit of one model in processor seconds."""
        self.cpu = cpu
        self.start()

    def start(self) -> None:
        """Start a new process."""
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other,), daemon=True)
        self.process.start()
        other.close()

    def kill(self) -> None:
        """End it and everything it started, which is all in its own group."""
        try:
            group = os.getpgid(self.process.pid)
            # Before setsid the group is ours.
            if group == self.process.pid:
                os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.kill()
        self.process.join()

    def receive(self, cpu: float, wall: float) -> tuple[Any, float]:
        """Return an answer, or None at a limit or a crash, and processor seconds."""
        start, before = time.monotonic(), group_cpu(self.process.pid)
        used = 0.0
        while not self.pipe.poll(0.1):
            used = group_cpu(self.process.pid) - before
            late = time.monotonic() - start > wall
            if used > cpu or late or not self.process.is_alive():
                self.kill()
                self.start()
                return None, used
        try:
            answer = self.pipe.recv()
        except EOFError:
            self.kill()
            self.start()
            return None, used
        return answer, group_cpu(self.process.pid) - before

    def run(self, index: int) -> Outcome:
        """Run one problem."""
        job = problem(index)
        self.pipe.send(index)
        first, _ = self.receive(600, 900)
        if first is None or isinstance(first, str):
            trouble = first or "no exact answer"
            return Outcome(index, job.regime, job.unit, trouble=trouble)
        answers, seconds = first
        models = len(job.models)
        wall = WALL_SECONDS * self.cpu / CPU_SECONDS
        got, cpu = self.receive(self.cpu * models, wall * models)
        outcome = Outcome(index, job.regime, job.unit, answers, None, cpu, seconds)
        if isinstance(got, str):
            outcome.trouble = got
        outcome.found = got if isinstance(got, Found) else None
        return outcome


# ---- comparing -------------------------------------------------------------------
@dataclass
class Outcome:
    """Exact answers of a problem beside those of the package."""

    index: int
    regime: str
    unit: float = 1.0
    answers: list[Answer] = field(default_factory=list)
    found: Found | None = None
    cpu: float = 0.0
    oracle_cpu: float = 0.0
    trouble: str = ""

    @property
    def state(self) -> str:
        """How it ended."""
        if self.trouble:
            return "harness"
        if self.found is None:
            return "unfinished"
        if self.found.failure:
            return "failed"
        return "marked" if any(self.found.marked.values()) else "ok"

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per comparison."""
        rows = []
        for answer in self.answers:
            row: dict[str, Any] = {
                "problem": self.index, "regime": self.regime,
                "unit": f"{self.unit:.3g}",
                "state": self.state,
                "quantity": answer.name, "kind": answer.kind, "exact": answer.value,
                "oracle_error": answer.error, "cpu": round(self.cpu, 2),
                "oracle_cpu": round(self.oracle_cpu, 2),
            }  # fmt: skip
            if self.found and answer.name in self.found.values:
                value, mcse = self.found.values[answer.name]
                mark = self.found.marked[answer.name]
                z, verdict = judged(answer, value, mcse, mark)
                row |= {
                    "pyrobma": value, "mcse": mcse, "mark": mark, "z": z,
                    "verdict": verdict,
                }  # fmt: skip
            rows.append(row)
        return rows


def judged(answer: Answer, value: float, mcse: float, mark: str) -> tuple[float, str]:
    """Return the stated errors between two values, and what to make of it."""
    off = value - answer.value
    scale = max(abs(answer.value), 1e-300)
    if not answer.free:
        good = abs(off) <= EXACT * max(1.0, scale)
        return (0.0 if good else math.inf), "ok" if good else "silent"
    # Rounding of a number this large.
    error = math.hypot(mcse, answer.error, 1e-13 * scale)
    z = off / error if error > 0 else math.inf * off if off else 0.0
    unsure = answer.kind in ("logml", "BF") and answer.error > UNSURE
    unsure |= "mean" in answer.kind and answer.error > max(mcse, 1e-4 * scale)
    if answer.kind in ("no mean", "no variance"):
        return z, answer.kind
    if not math.isfinite(z):
        return z, "marked" if mark else "silent"
    if abs(z) <= LIMIT:
        return z, "unsure" if unsure else "ok"
    return z, "marked" if mark else "unsure" if unsure else "silent"


def table(outcomes: list[Outcome]) -> None:
    """Print a row per regime, then every silent error."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in sorted(outcomes, key=lambda o: o.index):
        groups[outcome.regime].append(outcome)
    head = (
        "n",
        "done",
        "unfin",
        "failed",
        "marked",
        "unsure",
        "logml",
        "BF",
        "mean",
        "heavy",
    )
    print(
        f"\n{'':29}{'problems':^42}{'silently wrong':^28}{'sd of z':^18}{'CPU s':^14}"
    )
    print(
        f"{'regime':29}" + "".join(f"{h:>7}" for h in head)
        + f"{'logml':>9}{'mean':>9}{'package':>8}{'oracle':>7}"
    )  # fmt: skip
    for regime, members in (*groups.items(), ("all", outcomes)):
        rows = [row for o in members for row in o.rows() if "z" in row]
        states = [o.state for o in members]

        def wrong(kind: str, rows: list[dict[str, Any]] = rows) -> int:
            each = {r["problem"] for r in rows if r["kind"] == kind}
            bad = [r for r in rows if r["kind"] == kind and r["verdict"] == "silent"]
            return len({r["problem"] for r in bad} & each)

        unsure = len({r["problem"] for r in rows if r["verdict"] == "unsure"})
        counts = (
            len(members), states.count("ok") + states.count("marked"),
            states.count("unfinished"), states.count("failed"), states.count("marked"),
            unsure, wrong("logml"), wrong("BF"), wrong("mean"),
            wrong("heavy mean"),
        )  # fmt: skip
        print(
            f"{regime:29}" + "".join(f"{c:7d}" for c in counts)
            + f"{spread(rows, 'logml'):9.2f}{spread(rows, 'mean'):9.2f}"
            + f"{max(o.cpu for o in members):8.1f}"
            + f"{max(o.oracle_cpu for o in members):7.1f}"
        )  # fmt: skip
    details(outcomes)


def spread(rows: list[dict[str, Any]], kind: str) -> float:
    """Return the sd of z about 0 of unmarked numbers that are not wrong by far."""
    z = [
        r["z"]
        for r in rows
        if r["kind"] == kind and not r["mark"] and r["mcse"] > 0
        and r["verdict"] == "ok"
    ]  # fmt: skip
    return float(np.sqrt(np.mean(np.square(z)))) if z else math.nan


def details(outcomes: list[Outcome]) -> None:
    """Print silent errors and what did not finish, by problem."""
    for outcome in sorted(outcomes, key=lambda o: o.index):
        label = f"{outcome.index:4d} {outcome.regime} (unit {outcome.unit:.1g})"
        if outcome.state in ("harness", "unfinished", "failed"):
            why = outcome.trouble or (outcome.found.failure if outcome.found else "")
            print(f"{label}: {outcome.state} {why.strip()[-400:]}")
        for row in outcome.rows():
            if row.get("verdict") in ("silent", "unsure"):
                print(
                    f"{label}: {row['verdict']}: {row['quantity']} "
                    f"{row['pyrobma']:.6g} +- {row['mcse']:.2g}, exact "
                    f"{row['exact']:.6g} +- {row['oracle_error']:.1g}, "
                    f"z {row['z']:.1f}"
                )


def save(outcomes: list[Outcome], path: str) -> None:
    """Write every comparison."""
    columns = (
        "problem", "regime", "unit", "state", "quantity", "kind", "exact",
        "oracle_error",
        "pyrobma", "mcse", "z", "verdict", "mark", "cpu", "oracle_cpu",
    )  # fmt: skip
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for outcome in sorted(outcomes, key=lambda o: o.index):
            writer.writerows(outcome.rows() or [
                {"problem": outcome.index, "regime": outcome.regime,
                 "state": outcome.state}
            ])  # fmt: skip


def run(
    indices: list[int], cores: int, out: str | None, cpu: float = CPU_SECONDS
) -> list[Outcome]:
    """Run problems in as many workers as there are cores."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in indices:
        waiting.put(index)
    outcomes: list[Outcome] = []
    lock = threading.Lock()

    def lane() -> None:
        worker = Worker(cpu)
        while True:
            try:
                index = waiting.get_nowait()
            except queue.Empty:
                worker.kill()
                return
            outcome = worker.run(index)
            with lock:
                outcomes.append(outcome)
                worst = max(
                    (abs(r["z"]) for r in outcome.rows() if "z" in r), default=math.nan
                )
                print(
                    f"{index:4d} {outcome.regime:29} {outcome.state:10} max |z| "
                    f"{worst:9.2f}  CPU {outcome.cpu:6.1f} s, oracle "
                    f"{outcome.oracle_cpu:5.1f} s",
                    flush=True,
                )
                if out:
                    save(outcomes, out)

    lanes = [threading.Thread(target=lane, daemon=True) for _ in range(cores)]
    for one in lanes:
        one.start()
    for one in lanes:
        one.join()
    return outcomes


def oracle_only(indices: list[int]) -> None:
    """Print the exact answers and how sure they are, without the package."""
    for index in indices:
        job = problem(index)
        start = time.process_time()
        answers, solved = exact(job)
        print(
            f"{index:4d} {job.regime:29} {len(solved)} models, "
            f"{time.process_time() - start:5.1f} s, logml error "
            f"{max(e.logml_error for e in solved):.1e}, "
            f"{max(e.evaluations for e in solved)} evaluations",
            flush=True,
        )
        if len(indices) == 1:
            for a in answers:
                print(f"     {a.name:24} {a.value:.10g} +- {a.error:.1g}")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", type=int, nargs="+", metavar="I")
    parser.add_argument("--range", type=int, nargs=2, metavar=("A", "B"))
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--out", help="CSV file of all comparisons")
    parser.add_argument(
        "--cpu", type=float, default=CPU_SECONDS, help="limit per model in seconds"
    )
    parser.add_argument("--oracle", action="store_true", help="exact answers only")
    options = parser.parse_args()
    # One thread each, in the workers that are started from here.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    indices = options.only or list(range(*(options.range or (0, PROBLEMS))))
    if options.oracle:
        oracle_only(indices)
        return
    table(run(indices, options.cores, options.out, options.cpu))


if __name__ == "__main__":
    main()
