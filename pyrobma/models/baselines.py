"""Stage 3: what is assumed of the baselines of counts, as users say it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from pyrobma.counts.baseline import CONDITIONAL, Baseline
from pyrobma.effects import EffectSizes
from pyrobma.errors import DataError
from pyrobma.priors import Prior

BaselineArgument: TypeAlias = (
    Literal["conditional", "unit information"] | Prior | Baseline | None
)
"""What `robma` accepts for the baselines of counts."""


def read_baseline(argument: BaselineArgument, effects: EffectSizes) -> Baseline:
    """Return what is assumed of the baselines of these data.

    Parameters
    ----------
    argument : {"conditional", "unit information"}, Prior, Baseline or None
        None and "conditional": the likelihood of the events of group 1 given those of
        both groups. A beta prior is one of the risk midway (on logits) between the
        groups of each study, a lognormal prior one of the rate, a normal prior of its
        log. "unit information", of rates: Normal(log pooled crude rate, 1).
    effects : EffectSizes
        The data.

    Returns
    -------
    Baseline

    Raises
    ------
    DataError
        If the data are no counts, or the argument is nothing that suits them.
    """
    counts = effects.counts
    if counts is None:
        if argument is None or argument == "conditional":
            return CONDITIONAL
        raise DataError(
            f"baseline: expected None for estimates, which have none; got {argument!r}."
            " Give events as x1, n1, x2, n2, or leave it out."
        )
    if isinstance(argument, Baseline):
        return argument  # a task holds it to the data
    if argument is None or argument == "conditional":
        return CONDITIONAL
    if counts.rates:
        if argument == "unit information":
            events = float(counts.x1.sum() + counts.x2.sum())
            time = float(counts.size1.sum() + counts.size2.sum())
            if events == 0.0:
                raise DataError(
                    "baseline: expected some event for 'unit information', which "
                    "centres the prior at the pooled rate; got none in any study. "
                    "Give a lognormal prior of the rate."
                )
            return Baseline("normal", float(np.log(events / time)), 1.0)
        if isinstance(argument, Prior) and argument.family in ("normal", "lognormal"):
            whole = (-np.inf, np.inf) if argument.family == "normal" else (0.0, np.inf)
            if (argument.lower, argument.upper) == whole:
                return Baseline("normal", argument.values[0], argument.values[1])
        expected = (
            "'conditional', 'unit information', or a lognormal prior of the rate "
            "without truncation, as in prior('lognormal', meanlog=-5, sdlog=1)"
        )
    else:
        if isinstance(argument, Prior) and (argument.lower, argument.upper) == (0, 1):
            if argument.family == "beta":
                return Baseline("beta", argument.values[0], argument.values[1])
            if argument.family == "uniform":
                return Baseline("beta", 1.0, 1.0)
        expected = (
            "'conditional', or a beta prior of the risk without truncation, as in "
            "prior('beta', alpha=1, beta=1)"
        )
    got = argument if isinstance(argument, Prior) else repr(argument)
    raise DataError(f"baseline: expected {expected}; got {got}.")
