"""Stage 2: the hypotheses of publication bias, and the usual sets of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.errors import PriorError
from pyrobma.priors.checks import checked_weight, positive
from pyrobma.priors.distributions import Prior, prior
from pyrobma.priors.regression import PEESE, PET, prior_PEESE, prior_PET
from pyrobma.priors.weightfunction import WeightFunction, prior_weightfunction
from pyrobma.priors.weights import Weights


@dataclass(frozen=True, slots=True)
class NoBias(Weights):
    """No publication bias; made by `prior_none`.

    As a prior of weights it is that of one interval: all p-values have a weight of 1.

    Attributes
    ----------
    prior_weight : float
        Weight of models without bias against those with bias priors.
    """

    prior_weight: float = 1.0

    @property
    def marginals(self) -> tuple[Prior, ...]:
        """The prior of the weight of all p-values: a spike at 1."""
        return (prior("spike", location=1.0),)

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        return np.ones((n, 1))

    def same_density(self, other: object) -> bool:
        """Whether the other is no bias too."""
        return isinstance(other, NoBias)

    def __str__(self) -> str:
        """Print as ``None``."""
        return "None"


BiasPrior: TypeAlias = WeightFunction | PET | PEESE | NoBias
"""Hypotheses of the bias component."""


def prior_none(prior_weight: float = 1.0) -> NoBias:
    """Describe the absence of publication bias.

    Parameters
    ----------
    prior_weight : float, default 1
        Prior weight, positive, relative to the other bias priors.

    Returns
    -------
    NoBias
        A frozen value.

    Raises
    ------
    PriorError
        If the weight is not a positive number.
    """
    return NoBias(checked_weight(prior_weight))


def default_bias(
    model_type: str = "PSMA", rescale: float = 1.0
) -> tuple[BiasPrior, ...]:
    """Return the bias priors of a preset, on Cohen's d; their weights add up to 1.

    Parameters
    ----------
    model_type : {"PSMA", "PP", "2w"}
        Whatever the case. "PSMA": six weight functions, together as likely as PET and
        PEESE together; "PP": PET and PEESE; "2w": two two-sided weight functions.
    rescale : float
        Factor on the scale of effects, positive. The scale of PEESE, in one over that
        unit, is divided by it.

    Returns
    -------
    tuple of WeightFunction, PET and PEESE
        The alternative hypotheses, in the order of RoBMA; `prior_none` is the null.

    Raises
    ------
    PriorError
        On an unknown preset, or a factor that is not positive and finite.

    References
    ----------
    .. [1] Bartos, Maier, Wagenmakers, Doucouliagos, Stanley (2023). Robust Bayesian
       meta-analysis: Model-averaging across complementary publication bias adjustment
       methods. Research Synthesis Methods 14(1), 99-116. doi:10.1002/jrsm.1594
    """
    rescale = positive("rescale", rescale, "The default scales are those of 1.")
    presets = {"psma": "PSMA", "pp": "PP", "2w": "2w"}
    kind = presets.get(model_type.lower()) if isinstance(model_type, str) else None
    if kind is None:
        raise PriorError(
            f"model_type: expected 'PSMA', 'PP' or '2w'; got {model_type!r}. For other "
            "ensembles list the priors of each component."
        )
    each = 1 / 2 if kind == "PP" else 1 / 4
    regressions = (
        prior_PET("cauchy", location=0, scale=1, prior_weight=each),
        prior_PEESE("cauchy", location=0, scale=5 / rescale, prior_weight=each),
    )
    if kind == "PP":
        return regressions
    each = 1 / 2 if kind == "2w" else 1 / 12
    two = tuple(_flat("two.sided", steps, each) for steps in ((0.05,), (0.05, 0.1)))
    if kind == "2w":
        return two
    one = tuple(
        _flat("one.sided", steps, each)
        for steps in ((0.05,), (0.025, 0.05), (0.05, 0.5), (0.025, 0.05, 0.5))
    )
    return (*two, *one, *regressions)


def _flat(distribution: str, steps: tuple[float, ...], weight: float) -> WeightFunction:
    ones = (1.0,) * (len(steps) + 1)
    return prior_weightfunction(
        distribution, steps=steps, alpha=ones, prior_weight=weight
    )
