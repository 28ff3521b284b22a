"""Heterogeneity, prediction, true effects and figures against quadrature.

The oracle is written from the model alone. With a normal prior of mu everything is
normal given (tau, rho, PET): mu, the true effects of studies and clusters and the
estimates have a joint normal distribution, conditioned on the estimates with dense
matrices at every node of a quadrature over (tau, rho, PET). A posterior is then a
mixture of normals, whose cdf is exact up to the quadrature. Under selection the
likelihood of a node has the weights over their expectation, and mu needs nodes too;
true effects given the parameters and the estimates are what they are without it.
"""

from __future__ import annotations

import itertools
import math
import re
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import quadrature as q
from scipy import special, stats
from test_logml_and_posteriors import ERRORS

import pyrobma as rb
from pyrobma.ensemble.heterogeneity import typical_variance
from pyrobma.plots import pet_peese_frame, posterior_frame

# Draws that a quantile or mean of 6000 correlated ones is worth, at the least: true
# effects are computed from about 4000 of them.
WORTH = 2000
# Prediction mixes whole normal distributions, one per draw, which is worth far more.
WORTH_OF_NORMALS = 20_000
# Of the posterior sd: an estimate of that sd from heavy-tailed draws.
SD_ERROR = 0.06
# Of a kernel density: integral of its absolute error, and of what its window misses.
KERNEL_L1 = 0.1
KERNEL_AREA = 0.005

A = 0.5  # Cohen's d to Fisher's z
LOGIT = math.pi / math.sqrt(3.0)
STEPS, OMEGA = (0.025, 0.05), (1.0, 0.5, 0.2)
LEVELS = {"0.025": 0.025, "Median": 0.5, "0.975": 0.975}

# From Cohen's d to other scales, and back.
SCALES = {
    None: (lambda d: d, lambda x: x),
    "r": (lambda d: d / np.sqrt(d * d + 4), lambda r: 2 * r / np.sqrt(1 - r * r)),
    "OR": (lambda d: np.exp(LOGIT * d), lambda x: np.log(x) / LOGIT),
}
TAU_SCALES = {None: 1.0, "cohens_d": 1.0, "r": 0.5, "logOR": LOGIT}


# ---------------------------------------------------------------------------- oracle


@dataclass(frozen=True)
class Nodes:
    """Posterior of one model: weighted nodes, and normals (mean, sd) given a node."""

    logml: float
    weights: np.ndarray
    tau: np.ndarray
    rho: np.ndarray
    PET: np.ndarray
    normals: dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Mixed:
    """A mixture of normals; an sd of 0 is a spike."""

    weights: np.ndarray
    means: np.ndarray
    sds: np.ndarray

    def cdf(self, x, strict=False):
        sds = np.where(self.sds > 0, self.sds, 1.0)
        step = (self.means < x) if strict else (self.means <= x)
        below = np.where(self.sds > 0, special.ndtr((x - self.means) / sds), step)
        return float(self.weights @ below)

    def density(self, x):
        m, s = self.means[self.sds > 0], self.sds[self.sds > 0]
        return stats.norm.pdf(x[:, None], m, s) @ self.weights[self.sds > 0]

    def expectation(self, function):
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)
        values = function(self.means[:, None] + self.sds[:, None] * nodes)
        return float(self.weights @ (values @ weights) / weights.sum())


def gauss(low, high, n):
    x, w = np.polynomial.legendre.leggauss(n)
    return low + (high - low) * (x + 1) / 2, (high - low) / 2 * w


def tau_nodes():
    """InvGamma(1, 0.15) on log tau; equal steps converge fast on a smooth bell."""
    t = np.arange(-5.0, 4.0, 0.05)
    return np.exp(t), math.log(0.15 * 0.05) - t - 0.15 * np.exp(-t)


def pet_nodes():
    """Cauchy(0, 1) above 0."""
    edges = [0, 0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256]
    parts = [gauss(a, b, 10) for a, b in itertools.pairwise(edges)]
    x, w = (np.concatenate(part) for part in zip(*parts, strict=True))
    return x, np.log(2 * w / (math.pi * (1 + x * x)))


SPIKE = (np.zeros(1), np.zeros(1))


def normal_model(y, se, cluster, effect, heterogeneity, PET):
    """Data on Fisher's z, mu ~ Normal(0, 1) on Cohen's d."""
    labels = np.arange(y.size) if cluster is None else cluster
    _, index = np.unique(labels, return_inverse=True)
    same = (index[:, None] == index).astype(float)
    member = (np.arange(index.max() + 1)[:, None] == index).astype(float)
    x, w = gauss(0.0, 1.0, 40)
    clustered = cluster is not None and heterogeneity
    axes = (
        tau_nodes() if heterogeneity else SPIKE,
        (x, np.log(w)) if clustered else SPIKE,
        pet_nodes() if PET else SPIKE,
    )
    tau, rho, pet = (
        part.ravel() for part in np.meshgrid(*(a[0] for a in axes), indexing="ij")
    )
    log_weights = sum(np.meshgrid(*(a[1] for a in axes), indexing="ij")).ravel()
    v, t, r = A**2 * effect, (A * tau)[:, None, None], rho[:, None, None]
    among = v + t**2 * ((1 - r) * np.eye(y.size) + r * same)
    factor = np.linalg.cholesky(among + np.diag(se**2))
    white = np.linalg.solve(factor, (y - pet[:, None] * se)[:, :, None])[:, :, 0]
    log_weights = log_weights - 0.5 * (white**2).sum(axis=1)
    log_weights -= np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    log_weights -= 0.5 * y.size * math.log(2 * math.pi)
    logml = float(special.logsumexp(log_weights))
    weights = np.exp(log_weights - logml)
    kept = weights > 1e-13

    def given_estimates(covariance, variance):
        half = np.linalg.solve(factor[kept], np.swapaxes(covariance[kept], 1, 2))
        mean = np.einsum("nkq,nk->nq", half, white[kept])
        left = np.maximum(variance[kept] - (half**2).sum(axis=1), 0.0)
        return mean / A, np.sqrt(left) / A

    size = tau.size
    mu = given_estimates(np.full((size, 1, y.size), v), np.full((size, 1), v))
    theta = given_estimates(among, np.diagonal(among, axis1=1, axis2=2))
    between = v + t**2 * r
    shape = (size, len(member))
    gamma = given_estimates(
        v + t**2 * r * member, np.broadcast_to(between[:, :, 0], shape)
    )
    new = mu[0], np.hypot(mu[1], tau[kept, None])
    normals = {"mu": mu, "theta": theta, "gamma": gamma, "new": new}
    return Nodes(logml, weights[kept], tau[kept], rho[kept], pet[kept], normals)


def selection_model(y, se, effect, heterogeneity):
    """One-sided fixed weights on independent data; mu ~ Normal(0, 1)."""
    step = 0.002
    mu = np.arange(-0.25, 0.45, step) if effect else np.zeros(1)
    tau, log_tau = tau_nodes() if heterogeneity else SPIKE
    log_mu = math.log(step) + stats.norm.logpdf(mu) if effect else np.zeros(1)
    log_weights = (log_mu[:, None] + log_tau).ravel()
    mu, tau = (part.ravel() for part in np.meshgrid(mu, tau, indexing="ij"))
    cuts = stats.norm.isf(STEPS)
    for estimate, error in zip(y, se, strict=True):
        sd = np.hypot(tau, error)
        first, second = (special.ndtr((mu - z * error) / sd) for z in cuts)
        expected = OMEGA[0] * first + OMEGA[1] * (second - first)
        expected += OMEGA[2] * (1 - second)
        weight = OMEGA[int((estimate < cuts * error).sum())]
        log_weights = log_weights + stats.norm.logpdf(estimate, mu, sd)
        log_weights += math.log(weight) - np.log(expected)
    logml = float(special.logsumexp(log_weights))
    weights = np.exp(log_weights - logml)
    kept = weights > 1e-12
    mu, T = mu[kept, None], tau[kept, None]
    own = T**2 / (T**2 + se**2)
    # Nodes of mu stand for the width between them.
    width = step / 2 if effect else 0.0
    theta = own * y + (1 - own) * mu, np.hypot(np.sqrt(own) * se, (1 - own) * width)
    normals = {"theta": theta, "new": (mu, np.hypot(T, width))}
    zero = np.zeros(len(T))
    return Nodes(logml, weights[kept], T[:, 0], zero, zero, normals)


class Exact:
    """Four models (no effect, then effect; no heterogeneity, then it) averaged."""

    def __init__(self, models, size):
        self.models, self.size = models, size
        self.effect = np.array([False, False, True, True])
        self.heterogeneity = np.array([False, True, False, True])

    def probabilities(self, given=None):
        logml = np.array([model.logml for model in self.models])
        kept = np.ones(logml.size, dtype=bool) if given is None else given
        return special.softmax(np.where(kept, logml, -np.inf))

    def _pairs(self, given):
        pairs = zip(self.probabilities(given), self.models, strict=True)
        return [(p, model) for p, model in pairs if p > 0]

    def mixed(self, name, i=0, given=None):
        parts = [
            (p * m.weights, m.normals[name][0][:, i], m.normals[name][1][:, i])
            for p, m in self._pairs(given)
        ]
        return Mixed(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def mean(self, function, given=None):
        """Of a function of (tau, rho)."""
        pairs = self._pairs(given)
        return sum(p * float(m.weights @ function(m.tau, m.rho)) for p, m in pairs)

    def tau_cdf(self, bound, given=None, strict=False):
        """Probability of tau up to a function of rho."""
        total = 0.0
        for p, m in self._pairs(given):
            if m.tau.size == 1:
                limit = float(bound(m.rho)[0])
                total += p * float(m.tau[0] < limit if strict else m.tau[0] <= limit)
                continue
            for rho in np.unique(m.rho):
                here = m.rho == rho
                tau, inverse = np.unique(m.tau[here], return_inverse=True)
                w = np.bincount(inverse, m.weights[here])
                limit = math.log(max(float(bound(np.array([rho]))[0]), 1e-300))
                below = np.cumsum(w) - w / 2
                total += p * np.interp(limit, np.log(tau), below, 0.0, w.sum())
        return total


def estimates(name):
    if name == "schools":
        d, se, district = q.schools()
        return d[:12], se[:12], district[:12]
    data = rb.load_dataset(name)
    return data["d"].to_numpy(), data["se"].to_numpy(), None


CASES = ("schools", "bem2011", "poulsen2006", "PET", "selection")


@cache
def solved(case):
    """A fit of the case and its exact posterior."""
    d, se, cluster = estimates(
        {"PET": "bem2011", "selection": "bem2011"}.get(case, case)
    )
    both = [(e, h) for e in (False, True) for h in (False, True)]
    if case == "selection":
        bias = rb.prior_weightfunction("one.sided.fixed", steps=STEPS, omega=OMEGA)
        fit = rb.robma(y=d, se=se, priors_bias=bias, priors_bias_null=None, seed=1)
        return fit, Exact([selection_model(d, se, *flags) for flags in both], d.size)
    y, s = q.d_to_z(d, se)
    models = [normal_model(y, s, cluster, *flags, case == "PET") for flags in both]
    bias = {"priors_bias": None}
    if case == "PET":
        cauchy = rb.prior_PET("cauchy", location=0, scale=1)
        bias = {"priors_bias": cauchy, "priors_bias_null": None}
    with warnings.catch_warnings():
        # With PET the median of mu given an effect is 0.002: its sign, and so a warning
        # about the direction of effects, is up to the seed.
        warnings.simplefilter("ignore", rb.DataWarning)
        fit = rb.robma(d=d, se=se, study_ids=cluster, seed=1, **bias)
    return fit, Exact(models, d.size)


# ------------------------------------------------------------------------ assertions


def assert_quantile(cdf, found, p, fit, worth=WORTH):
    """The exact probability up to the quantile found is p, give or take its errors."""
    of_models = fit.models["post_prob_mcse"].max()
    slack = math.hypot(math.sqrt(p * (1 - p) / worth), of_models)
    assert cdf(found, strict=True) <= p + ERRORS * slack
    assert cdf(found, strict=False) >= p - ERRORS * slack


def assert_distribution(row, mixed, scale, fit, worth=WORTH):
    """Median and quantiles of a table's row, on any scale."""
    back = SCALES[scale][1]
    for column, p in LEVELS.items():
        assert_quantile(mixed.cdf, back(row[column]), p, fit, worth)


def table(summary, name, conditional):
    return summary.tables[f"{name}_conditional" if conditional else name].frame


# ----------------------------------------------------------------------------- tests


@pytest.mark.parametrize(("effect", "heterogeneity"), [(0, 1), (1, 0), (1, 1)])
def test_two_quadratures_give_one_marginal_likelihood(effect, heterogeneity):
    _, exact = solved("schools")
    d, se, district = estimates("schools")
    priors = {
        "mu": q.DEFAULT_EFFECT if effect else q.SPIKE_0,
        "tau": q.DEFAULT_HETEROGENEITY if heterogeneity else q.SPIKE_0,
        "rho": q.DEFAULT_HIERARCHICAL if heterogeneity else q.SPIKE_0,
    }
    other = q.log_marginal(*q.d_to_z(d, se), district, priors)
    mine = exact.models[2 * effect + heterogeneity]
    assert mine.logml == pytest.approx(other.logml, abs=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_models_have_the_exact_probabilities(case):
    fit, exact = solved(case)
    off = np.abs(fit.post_prob - exact.probabilities())
    assert (off <= ERRORS * fit.models["post_prob_mcse"] + 1e-15).all()


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("case", ["schools", "bem2011", "poulsen2006", "PET"])
def test_heterogeneity_has_the_exact_means(case, conditional):
    fit, exact = solved(case)
    se = fit.task.effects.se
    w = se**-2.0
    v = (w.size - 1) * w.sum() / (w.sum() ** 2 - (w**2).sum())
    assert typical_variance(fit.task.effects) == pytest.approx(v, rel=1e-12)

    def share(tau):
        return 100 * (A * tau) ** 2 / ((A * tau) ** 2 + v)

    for scale, a in TAU_SCALES.items():
        found = table(
            fit.heterogeneity(conditional=conditional, output_scale=scale),
            "heterogeneity", conditional,
        )  # fmt: skip
        functions = {
            "tau": lambda tau, rho, a=a: a * tau,
            "tau2": lambda tau, rho, a=a: (a * tau) ** 2,
            "I2": lambda tau, rho: share(tau),
            "H2": lambda tau, rho: 1 + (A * tau) ** 2 / v,
        }
        if case == "schools":
            functions |= {
                "tau_between": lambda tau, rho, a=a: a * tau * np.sqrt(rho),
                "tau_within": lambda tau, rho, a=a: a * tau * np.sqrt(1 - rho),
                "I2_between": lambda tau, rho: rho * share(tau),
                "I2_within": lambda tau, rho: (1 - rho) * share(tau),
                "ICC": lambda tau, rho: rho,
            }
        assert set(found.index) == {"PI", *functions}
        for name, function in functions.items():
            given = exact.heterogeneity if conditional or name == "ICC" else None
            off = abs(found.loc[name, "Mean"] - exact.mean(function, given))
            assert off < ERRORS * found.loc[name, "error(Mean)"], (name, scale)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("case", ["schools", "bem2011", "poulsen2006"])
def test_heterogeneity_has_the_exact_quantiles(case, conditional):
    fit, exact = solved(case)
    given = exact.heterogeneity if conditional else None
    found = table(
        fit.heterogeneity(conditional=conditional), "heterogeneity", conditional
    )
    v = typical_variance(fit.task.effects)

    # The largest tau, given rho, with which a quantity does not exceed x.
    bounds = {"tau": lambda x, rho: x + 0 * rho}
    if case == "schools":
        bounds |= {
            "tau_between": lambda x, rho: x / np.sqrt(np.maximum(rho, 1e-300)),
            "tau_within": lambda x, rho: x / np.sqrt(1 - rho),
        }
    for name, bound in bounds.items():
        for column, p in LEVELS.items():
            assert_quantile(
                lambda x, strict, bound=bound: exact.tau_cdf(
                    lambda rho: bound(x, rho), given, strict
                ),
                found.loc[name, column], p, fit,
            )  # fmt: skip
    tau = found.loc["tau", list(LEVELS)].to_numpy(dtype=float)
    T2 = (A * tau) ** 2
    for name, values in {"I2": 100 * T2 / (T2 + v), "H2": 1 + T2 / v}.items():
        np.testing.assert_allclose(found.loc[name, list(LEVELS)], values, rtol=1e-12)


@pytest.mark.parametrize(("scale", "factor"), TAU_SCALES.items())
def test_tau2_is_the_square_of_tau_on_every_scale(scale, factor):
    fit, _ = solved("schools")
    found = fit.heterogeneity(output_scale=scale).tables["heterogeneity"].frame
    on_d = fit.heterogeneity().tables["heterogeneity"].frame
    columns = list(LEVELS)
    tau = found.loc["tau", columns].to_numpy(dtype=float)
    np.testing.assert_allclose(tau, factor * on_d.loc["tau", columns], rtol=1e-12)
    np.testing.assert_allclose(found.loc["tau2", columns], tau**2, rtol=1e-12)
    assert found.loc["tau2", "Mean"] == pytest.approx(
        factor**2 * on_d.loc["tau2", "Mean"], rel=1e-12
    )


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_the_prediction_interval_is_exact(case, conditional):
    fit, exact = solved(case)
    mixed = exact.mixed("new", given=exact.effect if conditional else None)
    for scale in [None] if case == "selection" else SCALES:
        found = fit.pooled_effect(conditional=conditional, output_scale=scale)
        row = table(found, "pooled", conditional).loc["PI"]
        assert_distribution(row, mixed, scale, fit, WORTH_OF_NORMALS)
        # The mean of an odds ratio is infinite: tau has a heavier tail than any normal.
        if scale != "OR":
            mean = mixed.expectation(SCALES[scale][0])
            assert abs(row["Mean"] - mean) < ERRORS * row["error(Mean)"]


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize(
    ("case", "name", "scale"),
    [
        *((case, "theta", None) for case in CASES),
        ("schools", "theta", "r"),
        ("poulsen2006", "theta", "OR"),
        ("schools", "gamma", None),
        ("schools", "gamma", "r"),
    ],
)
def test_true_effects_of_studies_and_clusters_are_exact(case, name, scale, conditional):
    fit, exact = solved(case)
    method = fit.true_effects if name == "theta" else fit.cluster_effects
    found = method(conditional=conditional, output_scale=scale)
    # The last district is there with one school only: no cluster.
    rows = range(exact.size) if name == "theta" else range(3)
    assert len(found) == len(rows)
    convert = SCALES[scale][0]
    for i in rows:
        row = found.iloc[i]
        mixed = exact.mixed(name, i, exact.effect if conditional else None)
        assert_distribution(row, mixed, scale, fit)
        mean = mixed.expectation(convert)
        sd = math.sqrt(mixed.expectation(lambda x, m=mean: (convert(x) - m) ** 2))
        assert abs(row["Mean"] - mean) < ERRORS * sd / math.sqrt(WORTH)
        assert row["SD"] == pytest.approx(sd, rel=SD_ERROR)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("case", ["schools", "bem2011", "poulsen2006", "PET"])
def test_averaged_mu_is_exact_as_quantiles_and_as_draws(case, conditional):
    fit, exact = solved(case)
    mixed = exact.mixed("mu", given=exact.effect if conditional else None)
    found = fit.mixture("mu", conditional=conditional)
    draws = fit.draws("mu", conditional=conditional, n=20_000)
    assert abs(found.mean() - mixed.expectation(lambda x: x)) < ERRORS * found.mcse()
    for p, value in zip(
        LEVELS.values(), found.quantiles(list(LEVELS.values())), strict=True
    ):
        assert_quantile(mixed.cdf, value, p, fit)
        assert_quantile(mixed.cdf, np.quantile(draws, p, method="inverted_cdf"), p, fit)
    # Shares of rows are rounded, at most by one row a model.
    assert (draws == 0).mean() == pytest.approx(
        found.probabilities[~exact.effect].sum(), abs=4 / 20_000
    )


@pytest.mark.parametrize("scale", [None, "r"])
@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("case", ["schools", "bem2011", "PET"])
def test_the_density_of_mu_is_the_exact_one_with_its_spike(case, conditional, scale):
    fit, exact = solved(case)
    given = exact.effect if conditional else None
    frame = posterior_frame(fit, "mu", conditional=conditional, output_scale=scale)
    curve = frame[frame["kind"] == "density"]
    x, height = curve["x"].to_numpy(), curve["density"].to_numpy()
    d = SCALES[scale][1](x)
    slope = 1.0 if scale is None else 2.0 / (1.0 - x * x) ** 1.5
    exact_height = exact.mixed("mu", given=given).density(d) * slope
    free = float(exact.probabilities(given)[exact.effect].sum())
    errors = ERRORS * fit.models["post_prob_mcse"].max()
    distance = np.trapezoid(np.abs(height - exact_height), x)
    assert distance < KERNEL_L1 * free
    area = np.trapezoid(height, x)
    assert area == pytest.approx(free, abs=KERNEL_AREA + errors)
    spike = frame.loc[frame["kind"] == "spike", "probability"].sum()
    assert spike == pytest.approx(1 - free, abs=errors)


@pytest.mark.parametrize("scale", [None, "r"])
@pytest.mark.parametrize("case", ["schools", "bem2011"])
def test_the_density_of_tau_is_the_exact_one(case, scale):
    fit, exact = solved(case)
    frame = posterior_frame(fit, "tau", output_scale=scale)
    curve = frame[frame["kind"] == "density"]
    a = TAU_SCALES[scale]
    x, height = curve["x"].to_numpy() / a, curve["density"].to_numpy() * a
    # Equal steps of log tau: the weight of a node over its width is the density.
    expected = np.zeros(x.size)
    for p, model in zip(exact.probabilities(), exact.models, strict=True):
        if model.tau.size > 1:
            tau, inverse = np.unique(model.tau, return_inverse=True)
            density = p * np.bincount(inverse, model.weights) / (0.05 * tau)
            expected += np.interp(x, tau, density, 0.0, 0.0)
    free = float(exact.probabilities()[exact.heterogeneity].sum())
    assert np.trapezoid(np.abs(height - expected), x) < KERNEL_L1 * free
    assert np.trapezoid(height, x) == pytest.approx(free, abs=KERNEL_AREA)


@pytest.mark.parametrize("scale", [None, "r"])
@pytest.mark.parametrize("conditional", [False, True])
def test_the_band_of_the_regression_on_se_is_exact(conditional, scale):
    fit, exact = solved("PET")
    frame = pet_peese_frame(fit, conditional=conditional, output_scale=scale)
    curve = frame[frame["kind"] == "posterior"]
    given = exact.effect if conditional else None
    # Standard errors are on Cohen's d, as mu is, or on Fisher's z.
    unit = 1.0 if scale is None else 1.0 / A
    for row in curve.iloc[[0, 50, 100]].to_dict("records"):
        parts = []
        for p, m in zip(exact.probabilities(given), exact.models, strict=True):
            if p > 0:
                mean, sd = (part[:, 0] for part in m.normals["mu"])
                # Nodes of PET without a spread of mu stand for what is between them.
                width = 1e-3 if row["se"] > 0 else 0.0
                at = mean + m.PET * row["se"] * unit
                parts.append((p * m.weights, at, np.hypot(sd, width)))
        mixed = Mixed(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        for column, p in {"lower": 0.025, "effect": 0.5, "upper": 0.975}.items():
            assert_quantile(mixed.cdf, SCALES[scale][1](row[column]), p, fit)


@pytest.mark.parametrize("scale", [None, "r"])
@pytest.mark.parametrize("case", CASES)
def test_the_numbers_of_the_sentences_are_those_of_the_tables(case, scale):
    if case == "selection":
        scale = None
    fit, _ = solved(case)
    text = fit.interpret(output_scale=scale).replace("\N{MINUS SIGN}", "-")
    pooled = fit.pooled_effect(conditional=True, output_scale=scale)
    spread = fit.heterogeneity(output_scale=scale).tables["heterogeneity"].frame
    number = r"(-?\d+\.\d+)"
    interval = rf"\[{number}, {number}\]"

    def assert_said(pattern, row, columns):
        said = re.search(pattern, text)
        assert said, pattern
        assert len(said.groups()) == len(columns)
        for digits, column in zip(said.groups(), columns, strict=True):
            last = 10.0 ** -len(digits.split(".")[1])
            assert abs(float(digits) - row[column]) <= 0.5001 * last

    three = ("Mean", "0.025", "0.975")
    mean = table(pooled, "pooled", False).loc["estimate"]
    given = table(pooled, "pooled", True).loc["estimate"]
    assert_said(rf"mean effect\D*? was {number}[^\[]*{interval}", mean, three)
    assert_said(rf"\({number} {interval} given that there is", given, three)
    assert_said(rf"\(tau\) was {number}[^\[]*{interval}", spread.loc["tau"], three)
    assert_said(rf"new study was {interval}", spread.loc["PI"], three[1:])
    if case == "schools":
        assert_said(rf"\(rho\) was {number} {interval}", spread.loc["ICC"], three)
    for name, favoured, value in re.findall(
        r"(?:for|against) (an effect|heterogeneity) \((BF\d\d) = ([\d.]+)", text
    ):
        row = fit.inclusion.loc["effect" if "effect" in name else name]
        exact = row["inclusion_bf"] ** (1 if favoured == "BF10" else -1)
        assert float(value) == pytest.approx(exact, rel=0.01)
    assert "BF" in text
