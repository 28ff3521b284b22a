"""Events with which a likelihood has no maximum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.counts.kernels import support
from pyrobma.effects.counts import TwoGroups
from pyrobma.errors import DataError


def refuse_separation(groups: TwoGroups, x: FloatArray, labels: Sequence[str]) -> None:
    """Refuse events with which the likelihood rises as coefficients go to infinity.

    It does in a direction d if x'd is 0 in all studies but those whose events of group
    1 are the fewest (or the most) that there could be, and not positive (negative) in
    these.
    """
    from scipy.optimize import linprog

    lower, upper = support(groups)
    side = np.where(groups.x1 <= lower, -1.0, 1.0)
    inner = (groups.x1 > lower) & (groups.x1 < upper)
    outer: BoolArray = ~inner
    if not outer.any():
        return
    rises = side[outer, None] * x[outer]
    # with all rises at most 1, their sum is positive if there is such a direction
    found = linprog(
        -rises.sum(axis=0),
        A_ub=np.vstack([rises, -rises]),
        b_ub=np.concatenate([np.ones(len(rises)), np.zeros(len(rises))]),
        A_eq=x[inner] if inner.any() else None,
        b_eq=np.zeros(int(inner.sum())) if inner.any() else None,
        bounds=(None, None),
    )
    if found.x is None or found.fun is None or found.fun > -1e-6:
        return
    moved = np.abs(found.x) * np.abs(x).max(axis=0) > 1e-6
    names = [label for label, one in zip(labels, moved, strict=True) if one]
    if x.shape[1] == 1:
        raise DataError(
            "x1, x2: expected events that give a finite effect; got a likelihood that "
            "rises without end, since in every study one group has no events, or "
            "nothing but events, and all in favour of the same group. Use rma_mh with "
            'measure="RD" or "IRD", or a Bayesian model.'
        )
    raise DataError(
        "mods: expected events that give finite coefficients; got a likelihood that "
        f"rises without end in {', '.join(names)}, since no events tell how far. "
        "Leave out moderators or join levels with few events."
    )
