"""Ensembles whose posteriors and marginal likelihoods are known without chains.

The heterogeneity is fixed, so that a mean with a normal prior is normal a posteriori;
with fixed weights of publication it has one dimension, and a fine grid knows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

import pyrobma as rb
from pyrobma.models import Task

Y = np.array([0.5, 0.1, 0.3, -0.4, 0.9, 0.2])
SE = np.array([0.2, 0.25, 0.1, 0.3, 0.2, 0.15])
CLUSTER = np.array([0, 0, 1, 2, 2, 2])
PRIOR_SD, TAU, RHO = 0.5, 0.2, 0.6
STEPS, OMEGA = (0.025, 0.5), (1.0, 0.5, 0.2)
GRID = np.linspace(-1.5, 2.0, 40_001)
NULL = np.array([0.0])


@dataclass(frozen=True)
class Known:
    """The two models of no mean and of one, under selection or without."""

    selection: bool

    def log_likelihood(self, rows, mu):
        """By value of mu, of some estimates, as if there were no others."""
        if not self.selection:
            same = np.equal.outer(CLUSTER[rows], CLUSTER[rows])
            S = TAU**2 * RHO * same + np.diag(SE[rows] ** 2 + TAU**2 * (1 - RHO))
            residual = Y[rows] - mu[:, None]
            zero = np.zeros(len(Y[rows]))
            return np.atleast_1d(multivariate_normal.logpdf(residual, zero, S))
        total = np.zeros(len(mu))
        for y, se in zip(Y[rows], SE[rows], strict=True):
            sd = np.hypot(se, TAU)
            cuts = norm.isf(np.array(STEPS)) * se
            above = norm.sf(cuts[:, None], mu, sd)
            mass = np.diff(above, axis=0, prepend=0, append=1)
            weight = OMEGA[int((y < cuts).sum())]
            total += norm.logpdf(y, mu, sd) + np.log(weight) - np.log(OMEGA @ mass)
        return total

    def logml(self, rows):
        """Of both models."""
        logs = self.log_likelihood(rows, GRID) + norm.logpdf(GRID, 0, PRIOR_SD)
        step = GRID[1] - GRID[0]
        null = self.log_likelihood(rows, NULL)[0]
        return np.array([null, logsumexp(logs) + np.log(step)])

    def weights(self, rows):
        """Posterior probabilities on the grid, given the second model."""
        logs = self.log_likelihood(rows, GRID) + norm.logpdf(GRID, 0, PRIOR_SD)
        return np.exp(logs - logsumexp(logs))

    def averaged_mean(self, rows):
        logs = self.logml(rows)
        return np.exp(logs - logsumexp(logs))[1] * (self.weights(rows) @ GRID)

    def ensemble(self, made, size=(4, 1000)):
        """Of the quantiles of the posterior, in random order."""
        every = np.ones(6, dtype=bool)
        cdf = np.cumsum(self.weights(every))
        n = size[0] * size[1]
        values = np.interp((np.arange(n) + 0.5) / n, cdf, GRID)
        values = np.random.default_rng(1).permutation(values).reshape(size)
        bias = rb.prior_weightfunction("one.sided.fixed", steps=STEPS, omega=OMEGA)
        space = rb.model_space(
            effect=(rb.prior("normal", mean=0, sd=PRIOR_SD),),
            effect_null=(rb.prior("spike", location=0),),
            heterogeneity=(rb.prior("spike", location=TAU),),
            hierarchical=() if self.selection else (rb.prior("spike", location=RHO),),
            bias_null=(bias if self.selection else rb.prior_none(),),
        )
        ids = None if self.selection else CLUSTER
        effects = rb.effect_sizes(y=Y, se=SE, study_ids=ids)
        logml = dict(zip((False, True), self.logml(every), strict=True))
        fits = tuple(
            made.fit(
                spec,
                logml[bool(spec.free)],
                draws={"mu": values} if spec.free else None,
                seed=i,
                fingerprint=str(i),
            )
            for i, spec in enumerate(space)
        )
        return rb.RobmaFit(Task(effects, "none"), space, fits, rb.SamplerSettings(), 1)


NORMAL, SELECTED = Known(False), Known(True)
