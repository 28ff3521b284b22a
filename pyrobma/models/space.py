"""Stage 3: from priors to the models of an ensemble."""

from __future__ import annotations

import itertools
import math
import operator
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeVar

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.errors import PriorError
from pyrobma.priors import (
    PEESE,
    PET,
    BiasPrior,
    NoBias,
    Prior,
    WeightFunction,
    prior,
    prior_none,
)

Hypothesis: TypeAlias = Literal[
    "effect", "heterogeneity", "bias", "hierarchical", "selection", "PET", "PEESE"
]
"""What a model can be the alternative of; the last three are kinds of bias."""

COMPONENTS: Final[tuple[Hypothesis, ...]] = (
    "effect",
    "heterogeneity",
    "bias",
    "hierarchical",
)
"""Components of a model, in the order in which they are combined."""

BIAS_COMPONENTS: Final[tuple[Hypothesis, ...]] = ("selection", "PET", "PEESE")
"""Kinds of publication bias."""

P = TypeVar("P")

_ABSENT = prior("spike", location=0)
_NO_BIAS = prior_none()


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model: a prior for each parameter, and what it stands for.

    Attributes
    ----------
    mu, tau : Prior
        Effect and heterogeneity, on the prior scale.
    rho : Prior or None
        Correlation of true effects within a cluster, in [0, 1]. None: the model has
        none (no clusters, or tau is a spike at 0), and estimates are independent.
    bias : NoBias, WeightFunction, PET or PEESE
        Publication bias.
    alternative : frozenset of str
        The components, and kinds of bias, for which this model counts as the
        alternative hypothesis.
    prior_weight : float
        Product of the weights of its priors, or the float next to it.
    log_prior_weight : float or None
        Natural log of that product if it, or a part of it, is too large or too small
        for a float; None: the log of `prior_weight`.
    """

    mu: Prior
    tau: Prior
    rho: Prior | None
    bias: BiasPrior
    alternative: frozenset[Hypothesis]
    prior_weight: float
    log_prior_weight: float | None = None

    @property
    def log_weight(self) -> float:
        """Natural log of the product of the weights of its priors."""
        if self.log_prior_weight is None:
            return math.log(self.prior_weight)
        return self.log_prior_weight

    @property
    def priors(self) -> dict[str, Prior]:
        """The priors by scalar parameter; an absent one is a spike at 0."""
        bias = self.bias
        return {
            "mu": self.mu,
            "tau": self.tau,
            "rho": self.rho or _ABSENT,
            "PET": bias.prior if isinstance(bias, PET) else _ABSENT,
            "PEESE": bias.prior if isinstance(bias, PEESE) else _ABSENT,
        }

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the parameters that are estimated, "omega" for free weights."""
        names = [name for name, p in self.priors.items() if not p.is_spike]
        if isinstance(self.bias, WeightFunction) and not self.bias.is_fixed:
            names.append("omega")
        return tuple(names)

    def same_likelihood(self, other: ModelSpec) -> bool:
        """Whether both have one posterior and one marginal likelihood."""
        theirs = other.priors
        return self.bias.same_density(other.bias) and all(
            p.same_density(theirs[name]) for name, p in self.priors.items()
        )

    def __str__(self) -> str:
        """List the priors, as in ``mu ~ Normal(0, 1), tau = 0``."""
        shown = ["mu", "tau"] if self.rho is None else ["mu", "tau", "rho"]
        parts = [
            f"{name} = {p.location:g}" if p.is_spike else f"{name} ~ {p}"
            for name, p in self.priors.items()
            if name in shown
        ]
        if not isinstance(self.bias, NoBias):
            parts.append(str(self.bias))
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class ModelSpace:
    """The models of an ensemble, in order, with their prior probabilities.

    Attributes
    ----------
    models : tuple of ModelSpec
        Effect varies slowest, then heterogeneity, bias and hierarchical; nulls first.
    """

    models: tuple[ModelSpec, ...]

    @property
    def prior_prob(self) -> FloatArray:
        """Prior model probabilities, shape (number of models,), summing to one."""
        return self.prior_prob_given(np.ones(len(self.models), dtype=bool))

    @property
    def log_prior_prob(self) -> FloatArray:
        """Natural logs of `prior_prob`, finite where that is too small for a float."""
        return self.log_prior_prob_given(np.ones(len(self.models), dtype=bool))

    def prior_prob_given(self, given: BoolArray) -> FloatArray:
        """Return prior probabilities given that a model is one of some.

        Parameters
        ----------
        given : array of shape (number of models,)
            Which models; at least one.

        Returns
        -------
        array of shape (number of models,)
            Summing to one; 0 for the others.
        """
        weights = np.where(given, [model.prior_weight for model in self.models], 0.0)
        with np.errstate(over="ignore"):
            total = weights.sum()
        plain = all(model.log_prior_weight is None for model in self.models)
        if plain and math.isfinite(total):
            return np.asarray(weights / total)
        chance = np.exp(self.log_prior_prob_given(given))
        return np.asarray(chance / chance.sum())

    def log_prior_prob_given(self, given: BoolArray) -> FloatArray:
        """Return natural logs of `prior_prob_given`, -inf for the other models."""
        logs = np.where(given, [model.log_weight for model in self.models], -np.inf)
        return np.asarray(logs - np.logaddexp.reduce(logs))

    @property
    def hierarchical(self) -> bool:
        """Whether any model has a correlation within clusters."""
        return any(model.rho is not None for model in self.models)

    @property
    def weightfunctions(self) -> tuple[WeightFunction, ...]:
        """The weight functions of its models, in order, with repetitions."""
        return tuple(
            model.bias
            for model in self.models
            if isinstance(model.bias, WeightFunction)
        )

    def __len__(self) -> int:
        """Count the models."""
        return len(self.models)


def model_space(
    *,
    effect: Sequence[Prior] = (),
    effect_null: Sequence[Prior] = (),
    heterogeneity: Sequence[Prior] = (),
    heterogeneity_null: Sequence[Prior] = (),
    bias: Sequence[BiasPrior] = (),
    bias_null: Sequence[BiasPrior] = (_NO_BIAS,),
    hierarchical: Sequence[Prior] = (),
    hierarchical_null: Sequence[Prior] = (),
) -> ModelSpace:
    """Combine every prior of every component.

    Parameters
    ----------
    effect, effect_null : sequence of Prior
        Priors of mu under the alternative and the null; one of them may be empty.
    heterogeneity, heterogeneity_null : sequence of Prior
        The same for tau.
    bias, bias_null : sequence of WeightFunction, PET, PEESE and NoBias
        The same for publication bias.
    hierarchical, hierarchical_null : sequence of Prior
        The same for rho. Both empty: no model has rho (no clusters in the data).

    Returns
    -------
    ModelSpace
        A model counts as alternative for a component if its prior was given on that
        side; for "hierarchical" it must have heterogeneity too, since without any
        there is nothing to be clustered.

    Raises
    ------
    PriorError
        If effect, heterogeneity or bias has no prior on either side.

    Notes
    -----
    A prior model probability is the product of the weights of its priors divided by
    the sum of these products. Models with tau fixed at 0 repeat for each prior of
    rho, so that the prior probabilities of the components stay independent.
    """
    for name, sides in (
        ("effect", (*effect, *effect_null)),
        ("heterogeneity", (*heterogeneity, *heterogeneity_null)),
        ("bias", (*bias, *bias_null)),
    ):
        if not sides:
            raise PriorError(
                f"priors_{name}: expected at least one prior, as alternative or as "
                f"null; got none on either side. Give priors_{name} or "
                f"priors_{name}_null."
            )

    def both(null: Sequence[P], alternative: Sequence[P]) -> list[tuple[P, bool]]:
        return [(p, False) for p in null] + [(p, True) for p in alternative]

    rhos: list[tuple[Prior | None, bool]] = [
        *both(hierarchical_null, hierarchical)
    ] or [(None, False)]
    models = []
    for (mu, has_mu), (tau, has_tau), (bias_prior, has_bias), (
        rho,
        has_rho,
    ) in itertools.product(
        both(effect_null, effect),
        both(heterogeneity_null, heterogeneity),
        both(bias_null, bias),
        rhos,
    ):
        homogeneous = tau.is_spike and tau.location == 0
        alternative: dict[Hypothesis, bool] = {
            "effect": has_mu,
            "heterogeneity": has_tau,
            "bias": has_bias,
            "hierarchical": has_rho and not homogeneous,
            "selection": has_bias and isinstance(bias_prior, WeightFunction),
            "PET": has_bias and isinstance(bias_prior, PET),
            "PEESE": has_bias and isinstance(bias_prior, PEESE),
        }
        weights = [mu.prior_weight, tau.prior_weight, bias_prior.prior_weight]
        if rho is not None:
            weights.append(rho.prior_weight)
        weight, log_weight = _product(weights)
        models.append(
            ModelSpec(
                mu=mu,
                tau=tau,
                rho=None if homogeneous else rho,
                bias=bias_prior,
                alternative=frozenset(c for c, is_in in alternative.items() if is_in),
                prior_weight=weight,
                log_prior_weight=log_weight,
            )
        )
    return ModelSpace(tuple(models))


def _product(weights: Sequence[float]) -> tuple[float, float | None]:
    """Return the product of positive numbers; its log too if floats cannot hold it."""
    least, most = sys.float_info.min, sys.float_info.max
    *_, whole = steps = list(itertools.accumulate(weights, operator.mul))
    # A step below `least` has lost digits, which a later factor would not bring back.
    if all(least <= step <= most for step in (*weights, *steps)):
        return whole, None
    logs = math.fsum(map(math.log, weights))
    inside = min(max(logs, math.log(least)), math.log(most))
    return min(math.exp(inside), most), logs
