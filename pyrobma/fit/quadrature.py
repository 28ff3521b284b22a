"""Quadrature of clusters' common factors, and of the true effects behind counts."""

from __future__ import annotations

from collections.abc import Callable
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
        Largest node; 0 for the one node of likelihoods without common factors.
    refinement : int
        Of the integrals over true effects behind counts, which the program of counts
        has besides: 1, or a power of 2 by which their points are closer and further
        out.

    Notes
    -----
    The trapezoidal rule converges faster than any power of the spacing for smooth
    integrands on the whole line (Trefethen & Weideman 2014). Here f is a product of
    normal distribution functions with slopes r = sqrt(rho tau^2 / (se^2 + (1 - rho)
    tau^2)), and a spacing below about 1.5 / r resolves it. For counts the nodes are
    about the mode of the integrand, in units of its width there.

    References
    ----------
    .. [1] Trefethen L. N., Weideman J. A. C. (2014). The exponentially convergent
       trapezoidal rule. SIAM Review 56(3). doi:10.1137/130932132
    """

    spacing: float
    reach: float
    refinement: int = 1

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


SPACINGS: Final = (
    0.75, 0.65, 0.55, 0.48, 0.42, 0.36, 0.3, 0.24, 0.18, 0.12, 0.07, 0.04, 0.02,
)  # fmt: skip
"""Spacings in the order in which they are tried."""

REACHES: Final = (4.5, 6.0, 8.0, 11.0, 15.0, 20.0)
"""Reaches in the order in which they are tried. Strong selection of estimates far
above their mean moves the mass of the integrand many standard deviations out."""

COARSEST: Final = Rule(SPACINGS[0], REACHES[0])

ALONE: Final = Rule(1.0, 0.0)
"""Of counts without clusters: no common factor."""

REFINEMENTS: Final = (1, 2, 4)
"""Refinements in the order in which they are tried."""

PILOTS: Final = (Rule(1.0, 8.0), Rule(0.4, 11.0), Rule(0.15, 15.0))
"""Wide rules to find the first modes with: the cheapest whose modes are real. Nodes
that miss a narrow integrand make a density too large, a mode where there is none."""


def first_exact(
    values: Callable[[Rule], FloatArray], start: Rule, tolerance: float
) -> Rule | None:
    """Return the coarsest rule, from one on, that is exact enough.

    Parameters
    ----------
    values : callable
        Maps a rule to log densities at some points.
    start : Rule
        Where to begin: neither spacing nor reach is made coarser.
    tolerance : float
        Largest difference to the values of a wider rule, and of a three times finer
        one; for a rule of one node, to those of the next refinement.

    Returns
    -------
    Rule or None
        None if even the last ones differ by more.
    """
    if start.reach == 0:
        return next(
            (
                rule
                for n in REFINEMENTS
                if n >= start.refinement
                and _gap(values, rule := Rule(1.0, 0.0, n), Rule(1.0, 0.0, 2 * n))
                <= tolerance
            ),
            None,
        )

    def at(spacing: float, reach: float) -> Rule:
        return Rule(spacing, reach, start.refinement)

    reach = next(
        (
            r
            for r in REACHES
            if r >= start.reach
            and _gap(values, at(start.spacing, r), at(start.spacing, r + 3.0))
            <= tolerance
        ),
        None,
    )
    if reach is None:
        return None
    for spacing in SPACINGS:
        if spacing > start.spacing:
            continue
        rule = at(spacing, reach)
        finer = Rule(spacing / 3.0, reach, 2 * start.refinement)
        if _gap(values, rule, finer) <= tolerance:
            return rule
    return None


def _gap(values: Callable[[Rule], FloatArray], one: Rule, other: Rule) -> float:
    return float(np.abs(values(one) - values(other)).max())
