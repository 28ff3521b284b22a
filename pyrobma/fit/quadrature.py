"""Quadrature of a cluster's common factor in selection models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pyrobma._types import FloatArray

TOLERANCE: Final = 1e-3
"""Largest error of a log likelihood that the quadrature may make at a draw."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Equidistant nodes for the integral of f(g) phi(g) over a standard normal g.

    Attributes
    ----------
    spacing : float
        Distance of the nodes.
    reach : float
        Largest node.

    Notes
    -----
    The trapezoidal rule converges faster than any power of the spacing for smooth
    integrands on the whole line (Trefethen & Weideman 2014). Here f is a product of
    normal distribution functions with slopes r = sqrt(rho tau^2 / (se^2 + (1 - rho)
    tau^2)), and a spacing below about 1.5 / r resolves it.

    References
    ----------
    .. [1] Trefethen L. N., Weideman J. A. C. (2014). The exponentially convergent
       trapezoidal rule. SIAM Review 56(3). doi:10.1137/130932132
    """

    spacing: float
    reach: float

    @property
    def nodes(self) -> FloatArray:
        """Nodes, symmetric about 0, shape (Q,)."""
        half = round(self.reach / self.spacing)
        return np.arange(-half, half + 1, dtype=np.float64) * self.spacing

    @property
    def log_weights(self) -> FloatArray:
        """Logs of weights with phi in them, shape (Q,); the weights sum to one."""
        values = -0.5 * self.nodes**2
        return np.asarray(values - np.logaddexp.reduce(values))

    def refined(self, factor: float) -> Rule:
        """Return the rule with closer nodes that reach further out."""
        return Rule(self.spacing / factor, self.reach + 1.0)


PILOT_RULE: Final = Rule(1.0, 4.0)
"""A coarse rule for chains that only adapt."""

RULES: Final = (
    Rule(0.75, 4.5),
    Rule(0.65, 4.55),
    Rule(0.55, 4.95),
    Rule(0.48, 5.28),
    Rule(0.42, 5.46),
    Rule(0.36, 5.4),
    Rule(0.3, 5.7),
    Rule(0.24, 6.0),
    Rule(0.18, 6.12),
    Rule(0.12, 6.36),
    Rule(0.07, 6.3),
    Rule(0.04, 6.8),
)
"""Rules in the order in which they are tried."""
