"""Log likelihoods of single studies' counts as functions of their true effects."""

from __future__ import annotations

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.counts.baseline import Baseline
from pyrobma.counts.concave import alike, mode_and_ends, node_counts
from pyrobma.counts.kernels import (
    Binomial,
    Hypergeometric,
    TwoBinomials,
    TwoPoissons,
    repeated,
    support,
)
from pyrobma.effects.counts import TwoGroups

_DROP = 37.0
"""What is smaller than the largest value by the exponential of this is left out."""

_UNIT = 0.33
"""Steps on the scale of log odds and log rates that any integrand is smooth on."""

_MANY = 2000
"""Possible numbers of events from which each effect has its own window of them."""

_TOGETHER = 2_000_000
"""Numbers that an integral over baselines may need at once."""


def log_likelihood(
    study: TwoGroups, baseline: Baseline, delta: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return log h(delta) of one study, and its first two derivatives.

    Parameters
    ----------
    study : TwoGroups
        With one study.
    baseline : Baseline
        How the baseline is integrated, or conditioned away.
    delta : array of shape (n,)
        True effects: log odds ratios, or log rate ratios.

    Returns
    -------
    tuple of array
        Three of shape (n,). Every constant is there: binomial coefficients, or
        factorials and times.

    Notes
    -----
    Binomial: ``h = ∫ Bin(x1 | n1, expit(phi + delta/2)) Bin(x2 | n2, expit(phi -
    delta/2)) p(phi) dphi`` (model 4 of Jackson et al. 2018); Poisson: rates
    ``exp(phi ± delta/2)`` times the person-time. Conditional: the noncentral
    hypergeometric distribution of x1 given both margins, or the binomial one of x1
    given x1 + x2. log h is concave in each case (Prékopa 1973).

    References
    ----------
    .. [1] Jackson D., Law M., Stijnen T., Viechtbauer W., White I. R. (2018). A
       comparison of seven random-effects models for meta-analyses that estimate the
       summary odds ratio. Statistics in Medicine 37(7). doi:10.1002/sim.7588
    .. [2] Prékopa A. (1973). On logarithmic concave measures and functions. Acta
       Scientiarum Mathematicarum 34.
    """
    if baseline.kind == "conditional":
        kernel = (Binomial if study.rates else Hypergeometric)(study)
        few, most = support(study)
        apart = not study.rates and most[0] - few[0] > _MANY
        parts = np.array_split(delta, max(1, delta.size if apart else 1))
        here = [kernel.at(part[None, :]) for part in parts]
        return (
            np.concatenate([one.value[0] for one in here]),
            np.concatenate([one.first[0, 0] for one in here]),
            np.concatenate([one.second[0, 0, 0] for one in here]),
        )
    return _integrated(study, baseline, delta)


def _integrated(
    study: TwoGroups, baseline: Baseline, delta: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    kernel = TwoPoissons if study.rates else TwoBinomials

    def log_f(
        phi: FloatArray, rows: slice
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        chosen = kernel(repeated(study, phi.shape[0]))
        here = chosen.at(delta[rows, None], phi)
        prior = baseline.log_density(phi)
        return (
            here.value + prior[0],
            here.first[0] + prior[1],
            here.second[0, 0] + prior[2],
        )

    start = np.zeros(delta.size)
    if study.rates:
        events = study.x1 + study.x2
        start += float(np.log((events[0] + 0.5) / (study.size1 + study.size2)[0]))
    _, low, high, width = mode_and_ends(log_f, start, _DROP)
    counts = node_counts(low, high, width, _UNIT)
    out = [np.empty(delta.size) for _ in range(3)]
    for rows, n in alike(counts, _TOGETHER):
        share = np.linspace(0.0, 1.0, n)
        phi = low[rows, None] + (high - low)[rows, None] * share
        some = kernel(repeated(study, rows.size)).at(delta[rows, None], phi)
        logs = some.value + baseline.log_density(phi)[0]
        top = logs.max(axis=1, keepdims=True)
        p = np.exp(logs - top)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        step = (high - low)[rows] / (n - 1)
        slope = (some.first[1] * p).sum(axis=1)
        spread = (some.first[1] - slope[:, None]) ** 2 + some.second[1, 1]
        out[0][rows] = (top + np.log(total))[:, 0] + np.log(step)
        out[1][rows] = slope
        out[2][rows] = (spread * p).sum(axis=1)
    return out[0], out[1], out[2]
