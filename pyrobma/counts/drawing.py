"""Draw events of two groups given true effects."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from pyrobma._types import FloatArray
from pyrobma.counts.baseline import Baseline
from pyrobma.counts.kernels import Hypergeometric
from pyrobma.effects.counts import TwoGroups

_TOGETHER = 2_000_000
"""Numbers that are needed at once."""


def draw_events(
    study: TwoGroups,
    baseline: Baseline,
    delta: FloatArray,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Draw the events of one study for each of some true effects.

    Parameters
    ----------
    study : TwoGroups
        With one study, of which the sizes are used and, where the likelihood is
        conditional on it, the number of events in both groups.
    baseline : Baseline
        What is assumed of its baseline.
    delta : array of shape (S,)
        True effects.
    rng : numpy.random.Generator

    Returns
    -------
    x1, x2 : array of shape (S,)
    """
    n1, n2 = float(study.size1[0]), float(study.size2[0])
    if baseline.kind == "normal":
        phi = rng.normal(baseline.first, baseline.second, delta.shape)
        return (
            rng.poisson(n1 * np.exp(phi + 0.5 * delta)).astype(np.float64),
            rng.poisson(n2 * np.exp(phi - 0.5 * delta)).astype(np.float64),
        )
    if baseline.kind == "beta":
        p = rng.beta(baseline.first, baseline.second, delta.shape)
        phi = np.log(p) - np.log1p(-p)
        return (
            rng.binomial(int(n1), expit(phi + 0.5 * delta)).astype(np.float64),
            rng.binomial(int(n2), expit(phi - 0.5 * delta)).astype(np.float64),
        )
    events = float(study.x1[0] + study.x2[0])
    if study.rates:
        x1 = rng.binomial(int(events), expit(np.log(n1 / n2) + delta))
        return x1.astype(np.float64), events - x1
    kernel = Hypergeometric(study)
    x1 = np.empty(delta.shape)
    u = rng.uniform(size=delta.shape)
    step = max(1, _TOGETHER // kernel.steps.size)
    for start in range(0, delta.size, step):
        some = slice(start, start + step)
        logs = kernel.log_ways + delta[some, None] * kernel.steps
        p = np.cumsum(np.exp(logs - logs.max(axis=1, keepdims=True)), axis=1)
        below = (p < u[some, None] * p[:, -1:]).sum(axis=1)
        x1[some] = study.x1 + kernel.steps[np.minimum(below, kernel.steps.size - 1)]
    return x1, events - x1
