"""Stage 3: from priors to the models of an ensemble."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.errors import PriorError
from pyrobma.priors import Component, Prior, prior

COMPONENTS: tuple[Component, ...] = ("effect", "heterogeneity", "hierarchical")
_ABSENT = prior("spike", location=0)


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
    alternative : frozenset of str
        The components for which this model counts as the alternative hypothesis.
    prior_weight : float
        Product of the weights of its priors.
    """

    mu: Prior
    tau: Prior
    rho: Prior | None
    alternative: frozenset[Component]
    prior_weight: float

    @property
    def priors(self) -> dict[str, Prior]:
        """The priors by parameter; an absent rho is a spike at 0."""
        return {"mu": self.mu, "tau": self.tau, "rho": self.rho or _ABSENT}

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the parameters that are estimated."""
        return tuple(name for name, p in self.priors.items() if not p.is_spike)

    def same_likelihood(self, other: ModelSpec) -> bool:
        """Whether both have one posterior and one marginal likelihood."""
        theirs = other.priors
        return all(p.same_density(theirs[name]) for name, p in self.priors.items())

    def __str__(self) -> str:
        """List the priors, as in ``mu ~ Normal(0, 1), tau = 0``."""
        return ", ".join(
            f"{name} = {p.location:g}" if p.is_spike else f"{name} ~ {p}"
            for name, p in self.priors.items()
            if name != "rho" or self.rho is not None
        )


@dataclass(frozen=True, slots=True)
class ModelSpace:
    """The models of an ensemble, in order, with their prior probabilities.

    Attributes
    ----------
    models : tuple of ModelSpec
        Effect varies slowest, then heterogeneity, then hierarchical; nulls first.
    """

    models: tuple[ModelSpec, ...]

    @property
    def prior_prob(self) -> FloatArray:
        """Prior model probabilities, shape (number of models,), summing to one."""
        weights = np.array([model.prior_weight for model in self.models])
        return np.asarray(weights / weights.sum())

    @property
    def hierarchical(self) -> bool:
        """Whether any model has a correlation within clusters."""
        return any(model.rho is not None for model in self.models)

    def __len__(self) -> int:
        """Count the models."""
        return len(self.models)


def model_space(
    *,
    effect: Sequence[Prior] = (),
    effect_null: Sequence[Prior] = (),
    heterogeneity: Sequence[Prior] = (),
    heterogeneity_null: Sequence[Prior] = (),
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
        If the effect or the heterogeneity has no prior on either side.

    Notes
    -----
    A prior model probability is the product of the weights of its priors divided by
    the sum of these products. Models with tau fixed at 0 repeat for each prior of
    rho, so that the prior probabilities of the components stay independent.
    """
    for name, sides in (
        ("effect", (*effect, *effect_null)),
        ("heterogeneity", (*heterogeneity, *heterogeneity_null)),
    ):
        if not sides:
            raise PriorError(
                f"priors_{name}: expected at least one prior, as alternative or as "
                f"null; got none on either side. Give priors_{name} or "
                f"priors_{name}_null."
            )

    def both(
        null: Sequence[Prior], alternative: Sequence[Prior]
    ) -> list[tuple[Prior, bool]]:
        return [(p, False) for p in null] + [(p, True) for p in alternative]

    rhos: list[tuple[Prior | None, bool]] = [
        *both(hierarchical_null, hierarchical)
    ] or [(None, False)]
    models = []
    for (mu, has_mu), (tau, has_tau), (rho, has_rho) in itertools.product(
        both(effect_null, effect), both(heterogeneity_null, heterogeneity), rhos
    ):
        homogeneous = tau.is_spike and tau.location == 0
        alternative: dict[Component, bool] = {
            "effect": has_mu,
            "heterogeneity": has_tau,
            "hierarchical": has_rho and not homogeneous,
        }
        weight = mu.prior_weight * tau.prior_weight
        if rho is not None:
            weight *= rho.prior_weight
        models.append(
            ModelSpec(
                mu=mu,
                tau=tau,
                rho=None if homogeneous else rho,
                alternative=frozenset(c for c in COMPONENTS if alternative[c]),
                prior_weight=weight,
            )
        )
    return ModelSpace(tuple(models))
