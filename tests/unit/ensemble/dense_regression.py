"""A small regression with dense matrices: data, models, and their densities."""

from __future__ import annotations

import numpy as np
from scipy import stats
from scipy.special import logsumexp

import pyrobma as rb
from pyrobma.ensemble.quantities import Quantity
from pyrobma.models import Column, ModelSpec, Task
from pyrobma.parameters import REALS, Component, Parameter

NORMAL = rb.prior("normal", mean=0.1, sd=1)
TERM = rb.prior("normal", mean=0, sd=0.25)
TAU = rb.prior("inv_gamma", shape=1, scale=0.15)
RHO = rb.prior("beta", alpha=1, beta=1)
PET = rb.prior("normal", mean=0, sd=1, lower=0)

_rng = np.random.default_rng(8)
K = 7
SE = _rng.uniform(0.1, 0.3, K)
X = _rng.normal(size=K)
Y = 0.2 + 0.15 * X + 0.1 * _rng.normal(size=K) + SE * _rng.normal(size=K)
IDS = [4, 2, 4, 9, 2, 4, 7]
SUM = Quantity("", "", "mean", (("mu", 1.0), ("x", -0.7)))
SLOPE = Quantity("", "", "coefficient", (("x", 1.0),))


def column(name, values):
    own = Component(name, name, name, name)
    return Column(
        Parameter(name, own, "spread", "moderator", REALS, name, name, name, name),
        values,
    )


def task(clustered=False, **options):
    effects = rb.effect_sizes(z=Y, se=SE, study_ids=IDS if clustered else None)
    return Task(effects, "cohens_d", columns=(column("x", X),), **options)


def spec_of(**priors):
    given = {"mu": NORMAL, "tau": TAU, **priors}
    order = ("mu", "tau", "rho", "PET", "PEESE", "x")
    given.setdefault("x", TERM)
    return ModelSpec(
        tuple((name, given[name]) for name in order if name in given), None, frozenset()
    )


def fitted(made, spec, size=(2, 300)):
    """A fit whose draws only say roughly where the posterior is."""
    rng = np.random.default_rng(1)
    draws = {
        "tau": np.exp(rng.normal(-1.5, 0.5, size)),
        "rho": rng.beta(2, 2, size),
        "PET": np.abs(rng.normal(0, 0.5, size)),
        "PEESE": np.abs(rng.normal(0, 0.5, size)),
        "mu": rng.normal(0.3, 0.1, size),
        "x": rng.normal(0.1, 0.1, size),
    }
    return made.fit(spec, draws={name: draws[name] for name in spec.free})


class Dense:
    """log p(y | tau, rho, PET), and the sum's normal distribution given these."""

    def __init__(self, quantity, free=("mu", "x"), clustered=False, fixed_mu=0.0):
        columns = {"mu": np.ones(K), "x": X}
        prior = {"mu": (0.1, 1.0), "x": (0.0, 0.25)}
        self.Z = 0.5 * np.array([columns[n] for n in free]).reshape(-1, K).T
        self.a = np.array([prior[n][0] for n in free])
        self.D = np.diag(np.array([prior[n][1] ** 2 for n in free]))
        weights = dict(quantity.weights)
        self.c = np.array([weights.get(n, 0.0) for n in free])
        self.fixed = 0.0 if "mu" in free else weights.get("mu", 0.0) * fixed_mu
        self.y = Y if "mu" in free else Y - 0.5 * fixed_mu
        ids = np.array(IDS) if clustered else np.arange(K)
        self.same = ids[:, None] == ids

    def at(self, tau, rho=0.0, pet=0.0):
        """At arrays of them; one number each for numbers."""
        tau, rho, pet = (np.asarray(v, dtype=float)[..., None, None]
                         for v in (tau, rho, pet))  # fmt: skip
        T2 = 0.25 * tau**2
        S = np.diag(SE**2) + T2 * ((1 - rho) * np.eye(K) + rho * self.same)
        rest = (self.y - self.Z @ self.a)[:, None] - pet * SE[:, None]
        marginal = S + self.Z @ self.D @ self.Z.T
        solved = np.linalg.solve(marginal, rest)
        square = (rest * solved).sum(axis=(-2, -1))
        log = -0.5 * (square + np.linalg.slogdet(2 * np.pi * marginal)[1])
        gain = self.D @ self.Z.T @ np.linalg.inv(marginal)
        shift = (self.c @ gain * rest[..., 0]).sum(axis=-1)
        mean = self.fixed + self.c @ self.a + shift
        left = self.D - gain @ self.Z @ self.D
        return log, mean, np.sqrt(self.c @ left @ self.c)

    def log_mean(self, function, **given):
        """Log of a mean over what is not fixed, and of what it is divided by.

        ``given`` has tau, rho or PET as a number, or True to integrate it; without
        them tau is integrated and the others are 0.
        """
        rules = {
            "tau": rule(-7.0, 4.0, 12),
            "rho": rule(0.0, 1.0, 2),
            "pet": rule(0.0, 6.0, 3),
        }
        log_prior = {
            "tau": lambda t: stats.invgamma.logpdf(np.exp(t), 1, scale=0.15) + t,
            "rho": lambda r: 0.0 * r,
            "pet": lambda p: stats.norm.logpdf(p) + np.log(2),
        }
        values, weight = {}, 0.0
        for axis, name in enumerate(rules):
            own = given.get(name, True if name == "tau" else 0.0)
            x, w = rules[name] if own is True else (np.array([own]), np.ones(1))
            shape = [-1 if j == axis else 1 for j in range(3)]
            if own is True:
                weight = weight + (log_prior[name](x) + np.log(w)).reshape(shape)
            x = np.exp(x) if name == "tau" and own is True else x
            values[name] = x.reshape(shape)
        log, mean, sd = self.at(*np.broadcast_arrays(*values.values()))
        whole = logsumexp(log + weight)
        return logsumexp(log + weight + function(mean, sd)) - whole, whole


def rule(low, high, panels):
    """Composite Gauss-Legendre."""
    x, w = np.polynomial.legendre.leggauss(10)
    edges = np.linspace(low, high, panels + 1)
    half = 0.5 * np.diff(edges)[:, None]
    return (edges[:-1, None] + half * (x + 1)).ravel(), (half * w).ravel()
