"""Stage 3: from priors to the models of an ensemble."""

from __future__ import annotations

import itertools
import math
import operator
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.errors import PriorError
from pyrobma.models.spec import ModelSpec, bias_parts, checked_prior, ordered
from pyrobma.parameters import (
    BIAS,
    EFFECT,
    HETEROGENEITY,
    HIERARCHICAL,
    SELECTION,
    UNKNOWNS,
    Component,
    Unknowns,
)
from pyrobma.priors import BiasPrior, Prior, WeightFunction, prior_none
from pyrobma.priors.checks import checked_weight

_NO_BIAS: Final = prior_none()


@dataclass(frozen=True, slots=True)
class Choice:
    """One side of one hypothesis: what a model has if it takes this side.

    Attributes
    ----------
    priors : tuple of (str, Prior)
        Of scalar unknowns, by name; may be empty.
    selection : WeightFunction or None
        Publication by p-value.
    prior_weight : float
        Of models with this choice against those with others of the component.

    Raises
    ------
    PriorError
        If something else is given. A mapping of names to priors will do.
    """

    priors: tuple[tuple[str, Prior], ...] = ()
    selection: WeightFunction | None = None
    prior_weight: float = 1.0

    def __post_init__(self) -> None:
        """Take a mapping, and refuse what is no prior."""
        given: Any = self.priors
        pairs = tuple(given.items() if isinstance(given, Mapping) else given)
        for pair in pairs:
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise PriorError(
                    f"priors: expected pairs of a name and a prior; got {pair!r}."
                )
            checked_prior(*pair)
        if len(dict(pairs)) < len(pairs):
            raise PriorError(f"priors: expected one of each unknown; got {pairs!r}.")
        if not isinstance(self.selection, WeightFunction | None):
            raise PriorError(
                "selection: expected prior_weightfunction(...) or None; got "
                f"{self.selection!r}."
            )
        object.__setattr__(self, "priors", pairs)
        object.__setattr__(self, "prior_weight", checked_weight(self.prior_weight))


@dataclass(frozen=True, slots=True)
class Hypotheses:
    """A component of the models, with what its null and its alternative can be.

    Attributes
    ----------
    component : str
        Name of a component in the table of unknowns, e.g. "effect".
    null, alternative : tuple of Choice
        At least one of the two is not empty.

    Raises
    ------
    PriorError
        If both are empty.
    """

    component: str
    null: tuple[Choice, ...] = ()
    alternative: tuple[Choice, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a component without any choice."""
        if not self.null and not self.alternative:
            name = self.component
            raise PriorError(
                f"priors_{name}: expected at least one prior, as alternative or as "
                f"null; got none on either side. Give priors_{name} or "
                f"priors_{name}_null."
            )

    @classmethod
    def of(
        cls,
        component: str,
        parameter: str,
        *,
        null: Prior | Iterable[Prior] = (),
        alternative: Prior | Iterable[Prior] = (),
    ) -> Hypotheses:
        """Return the hypotheses of a component with one scalar unknown.

        Parameters
        ----------
        component, parameter : str
            Their names in the table of unknowns.
        null, alternative : Prior, or iterable of Prior
            One choice each, with the weight of the prior.
        """

        def choices(priors: Prior | Iterable[Prior]) -> tuple[Choice, ...]:
            several = (priors,) if isinstance(priors, Prior) else priors
            return tuple(
                Choice(
                    ((parameter, p),),
                    prior_weight=checked_prior(parameter, p).prior_weight,
                )
                for p in several
            )

        return cls(component, choices(null), choices(alternative))

    @property
    def sides(self) -> tuple[tuple[Choice, bool], ...]:
        """Every choice, and whether it is of the alternative; nulls first."""
        return (
            *((choice, False) for choice in self.null),
            *((choice, True) for choice in self.alternative),
        )


@dataclass(frozen=True, slots=True)
class ModelSpace:
    """The models of an ensemble, in order, with their prior probabilities.

    Attributes
    ----------
    models : tuple of ModelSpec
        Any; those of `model_space` are a full cross of priors. Two spaces can be
        added: the models of the first, then those of the second.

    Raises
    ------
    PriorError
        If something else is among them.
    """

    models: tuple[ModelSpec, ...]

    def __post_init__(self) -> None:
        """Take any iterable of models."""
        given: Any = self.models
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise PriorError(
                f"models: expected a ModelSpace or a list of models; got {given!r}."
            )
        models = tuple(given)
        for place, spec in enumerate(models):
            if not isinstance(spec, ModelSpec):
                raise PriorError(
                    f"models: expected models made by model(...); got {spec!r} at "
                    f"position {place}."
                )
        object.__setattr__(self, "models", models)

    def __add__(self, other: object) -> ModelSpace:
        """Return the models of both, with the weights that they have."""
        if not isinstance(other, ModelSpace):
            return NotImplemented
        return ModelSpace((*self.models, *other.models))

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
        weights = np.where(given, [spec.prior_weight for spec in self.models], 0.0)
        with np.errstate(over="ignore"):
            total = weights.sum()
        plain = all(spec.log_prior_weight is None for spec in self.models)
        if plain and math.isfinite(total):
            return np.asarray(weights / total)
        chance = np.exp(self.log_prior_prob_given(given))
        return np.asarray(chance / chance.sum())

    def log_prior_prob_given(self, given: BoolArray) -> FloatArray:
        """Return natural logs of `prior_prob_given`, -inf for the other models."""
        logs = np.where(given, [spec.log_weight for spec in self.models], -np.inf)
        return np.asarray(logs - np.logaddexp.reduce(logs))

    def has(self, name: str) -> bool:
        """Whether some model has an unknown; "omega" for selection."""
        return any(spec.has(name) for spec in self.models)

    @property
    def hierarchical(self) -> bool:
        """Whether any model has a correlation within clusters."""
        return self.has("rho")

    @property
    def weightfunctions(self) -> tuple[WeightFunction, ...]:
        """The weight functions of its models, in order, with repetitions."""
        return tuple(
            spec.selection for spec in self.models if spec.selection is not None
        )

    @property
    def first(self) -> tuple[int, ...]:
        """For every model the place of the first with the same posterior, from 0."""
        places: dict[object, int] = {}
        return tuple(
            places.setdefault(spec.likelihood, i) for i, spec in enumerate(self.models)
        )

    def __len__(self) -> int:
        """Count the models."""
        return len(self.models)

    def __iter__(self) -> Iterator[ModelSpec]:
        """Go through the models."""
        return iter(self.models)


def model_space(
    *hypotheses: Hypotheses,
    effect: Sequence[Prior] = (),
    effect_null: Sequence[Prior] = (),
    heterogeneity: Sequence[Prior] = (),
    heterogeneity_null: Sequence[Prior] = (),
    bias: Sequence[BiasPrior] = (),
    bias_null: Sequence[BiasPrior] = (_NO_BIAS,),
    hierarchical: Sequence[Prior] = (),
    hierarchical_null: Sequence[Prior] = (),
    unknowns: Unknowns = UNKNOWNS,
) -> ModelSpace:
    """Combine every prior of every component.

    Parameters
    ----------
    *hypotheses : Hypotheses
        Components beyond those of the keywords, any number: each choice of each is
        combined with all others.
    effect, effect_null : sequence of Prior
        Priors of mu under the alternative and the null; one of them may be empty.
    heterogeneity, heterogeneity_null : sequence of Prior
        The same for tau.
    bias, bias_null : sequence of WeightFunction, PET, PEESE and NoBias
        The same for publication bias.
    hierarchical, hierarchical_null : sequence of Prior
        The same for rho. Both empty: no model has rho (no clusters in the data).
    unknowns : Unknowns, optional
        The table; `Task.unknowns` where columns came with the data.

    Returns
    -------
    ModelSpace
        Nulls first; of the keywords' components the effect varies slowest, then
        heterogeneity, bias and hierarchical. Further hypotheses vary slower than these,
        the last one slowest. A model counts as alternative for a component if its
        choice was given on that side; one whose choice means nothing in the model
        ("hierarchical" without heterogeneity: there is nothing to be clustered) does
        not.

    Raises
    ------
    PriorError
        If effect, heterogeneity or bias has no prior on either side, or a component
        is given twice or unknown.

    Notes
    -----
    A prior model probability is the product of the weights of its priors divided by
    the sum of these products. Models with tau fixed at 0 repeat for each prior of
    rho, so that the prior probabilities of the components stay independent.
    """
    own = [
        Hypotheses.of(
            EFFECT.name, "mu", null=effect_null, alternative=effect
        ),
        Hypotheses.of(
            HETEROGENEITY.name, "tau",
            null=heterogeneity_null, alternative=heterogeneity,
        ),
        Hypotheses(
            BIAS.name,
            tuple(map(_bias_choice, bias_null)),
            tuple(map(_bias_choice, bias)),
        ),
    ]  # fmt: skip
    if hierarchical or hierarchical_null:
        own.append(
            Hypotheses.of(
                HIERARCHICAL.name, "rho",
                null=hierarchical_null, alternative=hierarchical,
            )
        )  # fmt: skip
    return combine((*reversed(hypotheses), *own), unknowns)


def combine(
    hypotheses: Sequence[Hypotheses], unknowns: Unknowns = UNKNOWNS
) -> ModelSpace:
    """Combine every choice of every component, the first of them varying slowest.

    Parameters
    ----------
    hypotheses : sequence of Hypotheses
        Each component once.
    unknowns : Unknowns, optional
        The table.

    Returns
    -------
    ModelSpace

    Raises
    ------
    PriorError
        If a component is given twice or is not in the table, or has priors of unknowns
        of another one.
    """
    names = [one.component for one in hypotheses]
    known = {component.name for component in unknowns.components}
    for one in hypotheses:
        name = one.component
        if name not in known:
            raise PriorError(
                f"hypotheses: expected components among {', '.join(sorted(known))}; "
                f"got {name!r}."
            )
        if names.count(name) > 1:
            raise PriorError(
                f"hypotheses: expected each component once; got {name!r} "
                f"{names.count(name)} times. model_space has keywords of its own for "
                "effect, heterogeneity, bias and hierarchical; combine has none."
            )
        for choice, _ in one.sides:
            _check_component(choice, name, unknowns)
    return ModelSpace(
        tuple(
            _model(names, sides, unknowns)
            for sides in itertools.product(*(one.sides for one in hypotheses))
        )
    )


def _model(
    names: Sequence[str],
    sides: Sequence[tuple[Choice, bool]],
    unknowns: Unknowns,
) -> ModelSpec:
    given: dict[str, Prior] = {}
    selection = None
    for choice, _ in sides:
        given |= dict(choice.priors)
        selection = selection or choice.selection
    priors = ordered(given, unknowns)
    kept = {name for name, _ in priors}
    alternative: set[str] = set()
    for component, (choice, is_alternative) in zip(names, sides, strict=True):
        own = [name for name, _ in choice.priors]
        # A choice all of whose unknowns mean nothing here is none.
        if is_alternative and (choice.selection or not own or kept & set(own)):
            kinds = (own.name for own in _components(choice, unknowns).values())
            alternative |= {component, *kinds}
    weight, log_weight = _product([choice.prior_weight for choice, _ in sides])
    return ModelSpec(priors, selection, frozenset(alternative), weight, log_weight)


def _check_component(choice: Choice, component: str, unknowns: Unknowns) -> None:
    """Refuse unknowns, and selection, that belong to another component."""
    _ = ordered(dict(choice.priors), unknowns)  # refuses names that are not there
    for name, own in _components(choice, unknowns).items():
        if component not in (own.name, own.kind_of):
            raise PriorError(
                f"hypotheses: expected priors of unknowns of {component}; got one of "
                f"{name}, which is of {own.kind_of or own.name}."
            )


def _components(choice: Choice, unknowns: Unknowns) -> dict[str, Component]:
    """Return the component, or kind of one, of every unknown of a choice."""
    found = {name: unknowns[name].component for name, _ in choice.priors}
    return found if choice.selection is None else {**found, "omega": SELECTION}


def _bias_choice(bias: BiasPrior) -> Choice:
    priors, selection = bias_parts(bias)
    return Choice(tuple(priors.items()), selection, bias.prior_weight)


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
