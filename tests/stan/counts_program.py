"""Data for ``counts.stan``: tables that stand for estimates with normal errors.

The log likelihood of such an estimate is a parabola, which tables have exactly. With
them the program of counts is the normal one, whose density is written again in
`normal_program`, true effects and clusters' common factors integrated in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import bridgestan
import numpy as np
from normal_program import Array, Case, changed, made
from quadrature import Prior

from pyrobma.fit.quadrature import Rule
from pyrobma.programs import library

# Standard errors from the estimate: beyond the last one log likelihoods are straight.
SPREAD = np.array([-80.0, -20.0, -5.0, 0.0, 5.0, 20.0, 80.0])

# Integrals over true effects cut off at exp(-36) of their mode; nodes at exp(-32).
REFINEMENT = 2
RULE = Rule(0.3, 8.0)

# What rounding leaves of such integrals, for some twenty studies.
INTEGRAL_ATOL = 1e-9


def normal_tables(y: Array, se: Array) -> dict[str, Any]:
    """Tables of log N(y; delta, se^2) as functions of delta."""
    z = np.tile(SPREAD, (len(y), 1))
    width = np.asarray(se)[:, None]
    log_h = -0.5 * z**2 - np.log(width) - 0.5 * math.log(2 * math.pi)
    return {
        "knots": [len(SPREAD)] * len(y),
        "N": z.size,
        "knot": (np.asarray(y)[:, None] + width * z).ravel().tolist(),
        "log_h": log_h.ravel().tolist(),
        "slope": (-z / width).ravel().tolist(),
        "curvature": (-np.ones_like(z) / width**2).ravel().tolist(),
    }


@dataclass(frozen=True)
class CountsCase(Case):
    """A `Case` whose studies come as tables."""

    refinement: int = REFINEMENT
    rule: Rule = RULE

    def data(self) -> dict[str, Any]:
        own = normal_tables(self.y, self.se) | {
            "refinement": self.refinement,
            "Q": len(self.rule.nodes),
            "node": self.rule.nodes.tolist(),
            "log_weight": self.rule.log_weights.tolist(),
        }
        # those of tables are changed too, which the other data lack
        return changed(Case.data(replace(self, changes={})) | own, self.changes)

    def model(self) -> bridgestan.StanModel:
        return bridgestan.StanModel(library("counts"), self.json(), warn=False)


def case(
    sizes: Sequence[int], priors: Mapping[str, Prior], **options: Any
) -> CountsCase:
    return CountsCase(*made(sizes), sizes, priors, **options)
