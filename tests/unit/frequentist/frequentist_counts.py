"""Events of two groups for the tests, and their likelihoods written again, densely."""

import functools
import math

import numpy as np
from scipy.special import logsumexp
from scipy.stats import binom, norm, poisson

from pyrobma.effects import load_dataset

NAMES = {"x1": "x1", "n1": "n1", "x2": "x2", "n2": "n2"}


def printed(value, text):
    """Whether `value` is the printed number, within one unit of its last digit."""
    decimals = len(text.partition(".")[2])
    return abs(value - float(text)) <= 1.0001 * 10.0**-decimals


# ---- data ------------------------------------------------------------------
def bcg():
    """Cases among the vaccinated (group 1) and controls, 13 trials."""
    table = load_dataset("bcg")
    return table.assign(
        x1=table.tpos,
        n1=table.tpos + table.tneg,
        x2=table.cpos,
        n2=table.cpos + table.cneg,
    )


def catheters():
    """Eighteen trials with few events, one of them with none."""
    return load_dataset("nielweise2007")


def catheter_days():
    """Nine trials with person-time."""
    return load_dataset("nielweise2008")


def ulcers():
    """Bleeding of controls (group 1) and treated: Collins and Langman (1985)."""
    treated = [(8, 50), (11, 56), (5, 18), (2, 14), (12, 33), (9, 40), (7, 20), (5, 46),
               (0, 18), (9, 45), (10, 21), (44, 153), (0, 14), (1, 10), (4, 24),
               (14, 78), (50, 259), (3, 10), (6, 31), (16, 51), (16, 106), (6, 33),
               (11, 36), (3, 34), (2, 15)]  # fmt: skip
    control = [(16, 50), (12, 53), (1, 12), (6, 15), (10, 36), (11, 48), (8, 20),
               (12, 47), (3, 19), (3, 43), (8, 19), (30, 132), (0, 14), (4, 9), (5, 24),
               (21, 80), (51, 260), (1, 11), (12, 29), (15, 54), (15, 107), (7, 39),
               (5, 26), (13, 31), (3, 14)]  # fmt: skip
    (x1, n1), (x2, n2) = zip(*control, strict=True), zip(*treated, strict=True)
    return {"x1": x1, "n1": n1, "x2": x2, "n2": n2}


def smokers():
    """Coronary deaths in person-years / 10000, by age: Rothman (2008), table 15-2."""
    return {
        "x1": [32, 104, 206, 186, 102],
        "t1": [5.2407, 4.3248, 2.8612, 1.2663, 0.5317],
        "x2": [2, 12, 28, 28, 31],
        "t2": [1.8790, 1.0673, 0.5710, 0.2585, 0.1462],
    }


def tolbutamide():
    """Deaths by age: Rothman (2008), table 15-1."""
    return {"x1": [8, 22], "n1": [106, 98], "x2": [5, 16], "n2": [120, 85]}


def spermicides():
    """Use by mothers of children with and without Down syndrome: table 15-5."""
    return {"x1": [3, 1], "n1": [12, 4], "x2": [104, 5], "n2": [1163, 91]}


def swapped(data):
    """Arms exchanged."""
    return {
        name: data[name[0] + "21"[int(name[1]) - 1]]
        for name in ("x1", "n1", "x2", "n2", "t1", "t2")
        if name in data
    }


# ---- likelihoods -----------------------------------------------------------
def hypergeometric(x1, n1, x2, n2, theta):
    """Fisher's noncentral hypergeometric, by sums of whole numbers."""
    s, log_ways = tables(x1 + x2, n1, n2)
    observed = log_ways[s == x1] + x1 * theta
    return observed - logsumexp(log_ways[:, None] + np.outer(s, theta), axis=0)


@functools.cache
def tables(events, n1, n2):
    """Possible events of group 1, and the log of the number of tables with each."""
    s = range(max(0, events - n2), min(n1, events) + 1)
    ways = (math.comb(n1, x) * math.comb(n2, events - x) for x in s)
    return np.array(s), np.array([math.log(number) for number in ways])


def conditional_binomial(x1, t1, x2, t2, theta):
    share = 1.0 / (1.0 + np.exp(-theta) * t2 / t1)
    return binom.logpmf(x1, x1 + x2, share)


def two_binomials(x1, n1, x2, n2, theta, phi):
    risks = [1.0 / (1.0 + np.exp(-phi - half)) for half in (theta / 2, -theta / 2)]
    return binom.logpmf(x1, n1, risks[0]) + binom.logpmf(x2, n2, risks[1])


def two_poissons(x1, t1, x2, t2, theta, phi):
    rates = [np.exp(phi + half) for half in (theta / 2, -theta / 2)]
    return poisson.logpmf(x1, t1 * rates[0]) + poisson.logpmf(x2, t2 * rates[1])


def dense(log_likelihood, study, mean, tau, *baseline, points=4001, reach=10.0):
    """Log of the integral over theta ~ Normal(mean, tau²), on one even grid."""
    if tau == 0.0:
        return float(log_likelihood(*study, np.array([mean]), *baseline)[0])
    theta = mean + tau * np.linspace(-reach, reach, points)
    step = theta[1] - theta[0]
    values = log_likelihood(*study, theta, *baseline) + norm.logpdf(theta, mean, tau)
    return float(logsumexp(values) + math.log(step))


def dense_baselines(log_likelihood, study, mean, tau, centre, sigma, points=401):
    """The same over a baseline phi ~ Normal(centre, sigma²) too."""
    u = np.linspace(-9.0, 9.0, points)
    theta, phi = mean + tau * u, centre + sigma * u
    values = log_likelihood(*study, theta[:, None], phi[None, :])
    weight = norm.logpdf(u)[:, None] + norm.logpdf(u)[None, :]
    return float(logsumexp(values + weight) + 2.0 * math.log(u[1] - u[0]))


def hessian(function, at, step):
    """Second derivatives by differences, the step one for all."""
    at = np.asarray(at, dtype=float)
    n = at.size
    unit, found = step * np.eye(n), np.empty((n, n))
    for i in range(n):
        for j in range(n):
            found[i, j] = sum(
                a * b * function(at + a * unit[i] + b * unit[j])
                for a in (1, -1)
                for b in (1, -1)
            )
    return found / (4.0 * step**2)
