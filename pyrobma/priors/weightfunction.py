"""Stage 2: priors of the probability of publication by p-value."""

from __future__ import annotations

import difflib
import itertools
import math
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from pyrobma._format import p_value, sided
from pyrobma._types import FloatArray
from pyrobma.errors import PriorError
from pyrobma.priors.checks import checked_weight
from pyrobma.priors.density import random_weights
from pyrobma.priors.distributions import Prior, prior
from pyrobma.priors.weights import Weights

Sides: TypeAlias = Literal[1, 2]
Interval: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class WeightFunction(Weights):
    """Relative publication probabilities by p-value: a prior, or fixed weights.

    Build it with `prior_weightfunction`, which checks its arguments. The p-values are
    cut into J = len(steps) + 1 intervals, and omega[j] is the weight of interval j in
    p-value order: omega[0] belongs to the most significant results. A p-value equal to
    a step belongs to the interval below it.

    Attributes
    ----------
    sides : {1, 2}
        Whether `steps` are one-sided p-values (of positive effects) or two-sided ones.
    steps : tuple of float
        Increasing, in (0, 1).
    alpha : tuple of float, length J, or None
        Weights that never increase with p: Dirichlet parameters in p-value order.
    alpha1 : tuple of float or None
        Weights that are lowest around p = 0.5 and may rise again for the wrong
        direction: Dirichlet parameters of the intervals up to the one that holds 0.5
        (that above the last step of at most 0.5), in p-value order.
    alpha2 : tuple of float or None
        The same from the interval of the highest p-values down to the one that holds
        0.5.
    omega : tuple of float, length J, or None
        Fixed weights in [0, 1] in p-value order.
    prior_weight : float
        Weight of models with this prior against models with other bias priors.
    """

    sides: Sides
    steps: tuple[float, ...]
    alpha: tuple[float, ...] | None
    alpha1: tuple[float, ...] | None
    alpha2: tuple[float, ...] | None
    omega: tuple[float, ...] | None
    prior_weight: float = 1.0

    @property
    def is_fixed(self) -> bool:
        """Whether the weights are known."""
        return self.omega is not None

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """Ends of the J intervals of p-values, most significant first."""
        return tuple(itertools.pairwise((0.0, *self.steps, 1.0)))

    @property
    def one_sided_steps(self) -> tuple[float, ...]:
        """Steps as one-sided p-values, increasing; a two-sided s is s/2 and 1 - s/2."""
        if self.sides == 1:
            return self.steps
        low = tuple(step / 2 for step in self.steps)
        return low + tuple(1 - step for step in reversed(low))

    @property
    def marginals(self) -> tuple[Prior, ...]:
        """The prior of the weight of each interval: a spike or a beta.

        Raises
        ------
        PriorError
            For alpha1 and alpha2, whose weights above p = 0.5 have no such prior.
        """
        if self.omega is not None:
            return tuple(prior("spike", location=weight) for weight in self.omega)
        if self.alpha is None:
            raise PriorError(
                "marginals: expected weights that never increase with p; got "
                f"{self}, whose weights above p = .5 have no density in closed form. "
                "Use sample()."
            )
        below = [*itertools.accumulate(self.alpha)][:-1]
        above = [*itertools.accumulate(reversed(self.alpha))][-2::-1]
        betas = (
            prior("beta", alpha=a, beta=b) for a, b in zip(above, below, strict=True)
        )
        return (prior("spike", location=1.0), *betas)

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        return random_weights(self, n, rng)

    def same_density(self, other: object) -> bool:
        """Whether both are one prior, whatever their prior weights."""
        if not isinstance(other, WeightFunction):
            return False
        return replace(self, prior_weight=other.prior_weight) == other

    def __str__(self) -> str:
        """Print as in ``omega[one-sided: .05, .025] ~ CumDirichlet(1, 1, 1)``.

        Everything in brackets goes from the highest p-value to the lowest, weights
        and Dirichlet parameters too; of two Dirichlet distributions both go outward
        from the interval that holds 0.5.
        """
        steps = ", ".join(map(p_value, reversed(self.steps)))
        name = f"omega[{sided(self.sides)}: {steps}]"
        if self.omega is not None:
            return f"{name} = {_listed(self.omega[::-1])}"
        if self.alpha is not None:
            return f"{name} ~ CumDirichlet{_listed(self.alpha[::-1])}"
        one, two = self.alpha1 or (), self.alpha2 or ()
        return (
            f"{name} ~ CumDirichlet{_listed(one[::-1])}, "
            f"revCumDirichlet{_listed(two[::-1])}"
        )


def prior_weightfunction(
    distribution: str,
    parameters: Mapping[str, Sequence[float]] | Sequence[Any] | None = None,
    *,
    steps: Sequence[float] | float | None = None,
    alpha: Sequence[float] | None = None,
    alpha1: Sequence[float] | None = None,
    alpha2: Sequence[float] | None = None,
    omega: Sequence[float] | None = None,
    prior_weight: float = 1.0,
) -> WeightFunction:
    """Describe how the probability of publication depends on the p-value.

    Parameters
    ----------
    distribution : {"one.sided", "two.sided", "one.sided.fixed", "two.sided.fixed"}
        Which p-values select, and whether the weights are known. Case and punctuation
        do not matter ("one-sided" works too).
    parameters : mapping or sequence, optional
        The arguments below by name, as in ``{"steps": [.05], "alpha": [1, 1]}``, or
        in order: steps and alpha (or omega), or steps, alpha1 and alpha2.
    steps : sequence of float
        p-values in (0, 1), increasing, at which the weight changes.
    alpha : sequence of float, length len(steps) + 1
        Positive Dirichlet parameters in p-value order, the most significant interval
        first: weights that never increase with p.
    alpha1, alpha2 : sequences of float
        One-sided weights that may rise again for p above 0.5. alpha1 has one value
        more than there are steps of at most 0.5, the most significant interval first;
        alpha2 has one value more than there are steps above 0.5, the interval of the
        highest p-values first.
    omega : sequence of float, length len(steps) + 1
        Fixed weights in [0, 1], the most significant interval first, one of them 1.
    prior_weight : float, default 1
        Prior weight, positive, relative to the other bias priors.

    Returns
    -------
    WeightFunction
        A frozen value.

    Raises
    ------
    PriorError
        On an unknown distribution, missing, superfluous or wrongly counted parameters,
        or values outside their range.

    Notes
    -----
    With π ~ Dirichlet(alpha), omega[j] = Σ_{k ≥ j} π[k]: the first weight is 1, and
    marginally omega[j] ~ Beta(Σ_{k ≥ j} alpha[k], Σ_{k < j} alpha[k]) [1]_.

    For alpha1 and alpha2, let m be the interval that holds 0.5, π¹ ~ Dirichlet(alpha1)
    and π² ~ Dirichlet(alpha2). Then omega[j] = Σ_{k ≥ j} π¹[k] for j up to m, so that
    omega[m] is the last element of π¹; and for the interval i places from the highest
    p-values, above m, omega = omega[m] + (1 − omega[m]) Σ_{k > i} π²[k], i from 0.

    References
    ----------
    .. [1] Maier, Bartos, Wagenmakers (2023). Robust Bayesian meta-analysis: Addressing
       publication bias with model-averaging. Psychological Methods 28(1), 107-122.
       doi:10.1037/met0000405
    .. [2] Vevea, Hedges (1995). A general linear model for estimating effect size in
       the presence of publication bias. Psychometrika 60(3), 419-435.
       doi:10.1007/BF02294384

    Examples
    --------
    >>> print(prior_weightfunction("one.sided", steps=[.025, .05], alpha=[1, 1, 1]))
    omega[one-sided: .05, .025] ~ CumDirichlet(1, 1, 1)
    """
    sides, fixed = _kind(distribution)
    named = {
        "steps": steps,
        "alpha": alpha,
        "alpha1": alpha1,
        "alpha2": alpha2,
        "omega": omega,
    }
    given = _given(parameters, named, fixed)
    _check_names(given, sides, fixed)
    points = _steps(given["steps"])
    J = len(points) + 1
    values: dict[str, tuple[float, ...] | None] = {
        name: None if given.get(name) is None else _floats(name, given[name])
        for name in ("alpha", "alpha1", "alpha2", "omega")
    }
    low = sum(step <= 0.5 for step in points)
    lengths = {"alpha": J, "omega": J, "alpha1": low + 1, "alpha2": J - low}
    if values["alpha1"] is not None and not 0 < low < len(points):
        raise PriorError(
            "steps: expected steps both up to 0.5 and above it with alpha1 and "
            f"alpha2; got {_listed(points)}. Without both, give alpha instead."
        )
    for name, numbers_ in values.items():
        if numbers_ is not None:
            _check_values(name, numbers_, lengths[name])
    return WeightFunction(
        sides,
        points,
        values["alpha"],
        values["alpha1"],
        values["alpha2"],
        values["omega"],
        checked_weight(prior_weight),
    )


def _listed(values: Iterable[float]) -> str:
    return f"({', '.join(f'{value:.4g}' for value in values)})"


_KINDS: Final[dict[str, tuple[Sides, bool]]] = {
    "onesided": (1, False),
    "twosided": (2, False),
    "onesidedfixed": (1, True),
    "twosidedfixed": (2, True),
}
_SPELLINGS: Final = ("one.sided", "two.sided", "one.sided.fixed", "two.sided.fixed")


def _kind(distribution: object) -> tuple[Sides, bool]:
    text = distribution if isinstance(distribution, str) else ""
    kind = _KINDS.get(re.sub(r"[^a-z0-9]", "", text.lower()))
    if kind is None:
        near = difflib.get_close_matches(text.lower(), _SPELLINGS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "Use one of these."
        raise PriorError(
            f"distribution: expected one of {', '.join(_SPELLINGS)}; got "
            f"{distribution!r}. {hint}"
        )
    return kind


def _given(
    parameters: Mapping[str, Any] | Sequence[Any] | None,
    named: Mapping[str, Any],
    fixed: bool,
) -> dict[str, Any]:
    """Return the arguments that were given, by name."""
    given = {name: value for name, value in named.items() if value is not None}
    if parameters is None:
        return given
    if isinstance(parameters, Mapping):
        listed = {name: x for name, x in parameters.items() if x is not None}
    else:
        orders: dict[int, tuple[str, ...]] = {2: ("steps", "omega")}
        if not fixed:
            orders = {2: ("steps", "alpha"), 3: ("steps", "alpha1", "alpha2")}
        order = None
        if isinstance(parameters, Sequence) and not isinstance(parameters, str):
            order = orders.get(len(parameters))
        if order is None:
            ways = " or ".join(f"({', '.join(names)})" for names in orders.values())
            raise PriorError(
                f"parameters: expected a mapping, or {ways} in this order; got "
                f"{parameters!r}. Naming them is safer."
            )
        listed = dict(zip(order, parameters, strict=True))
    twice = sorted(set(listed) & set(given))
    if twice:
        raise PriorError(
            f"{twice[0]}: expected one value; got it both in parameters and as an "
            "argument. Leave one out."
        )
    return listed | given


def _check_names(given: Mapping[str, Any], sides: Sides, fixed: bool) -> None:
    ways = [{"steps", "omega"}] if fixed else [{"steps", "alpha"}]
    text = "steps and omega" if fixed else "steps and alpha"
    if not fixed and sides == 1:
        ways.append({"steps", "alpha1", "alpha2"})
        text += ", or steps, alpha1 and alpha2"
    if set(given) in ways:
        return
    remedy = "Give exactly these."
    if not fixed and "omega" in given:
        remedy = "Add '.fixed' to the distribution if the weights are known."
    elif fixed and "omega" not in given and given.keys() & {"alpha", "alpha1"}:
        remedy = "Leave '.fixed' out of the distribution if the weights have a prior."
    elif sides == 2 and given.keys() & {"alpha1", "alpha2"}:
        remedy = "Weights that rise again need one-sided p-values."
    raise PriorError(
        f"parameters: expected {text}; got "
        f"{', '.join(map(str, given)) or 'none'}. {remedy}"
    )


def _floats(name: str, values: Any) -> tuple[float, ...]:
    items = [values] if isinstance(values, numbers.Real) else values
    try:
        listed = () if isinstance(items, (str, Mapping)) else tuple(items)
    except TypeError:
        listed = ()
    if not listed or not all(
        isinstance(x, numbers.Real) and not isinstance(x, bool) and math.isfinite(x)
        for x in listed
    ):
        raise PriorError(
            f"{name}: expected finite numbers; got {values!r}. For example (0.05, 0.1) "
            "for steps, (1, 1, 1) for alpha."
        )
    return tuple(float(x) for x in listed)


def _steps(values: Any) -> tuple[float, ...]:
    points = _floats("steps", values)
    increasing = all(a < b for a, b in itertools.pairwise(points))
    if not (increasing and points[0] > 0 and points[-1] < 1):
        raise PriorError(
            "steps: expected increasing p-values between 0 and 1, both excluded; got "
            f"{_listed(points)}. Give the steps inside only, in increasing order."
        )
    return points


def _check_values(name: str, values: tuple[float, ...], length: int) -> None:
    if len(values) != length:
        counted = {
            "alpha1": "one more than there are steps up to 0.5",
            "alpha2": "one more than there are steps above 0.5",
        }.get(name, "one more than there are steps")
        raise PriorError(
            f"{name}: expected {length} values, {counted}; got {len(values)}. Give one "
            "per interval of p-values."
        )
    if name != "omega":
        if min(values) <= 0:
            raise PriorError(
                f"{name}: expected positive Dirichlet parameters; got "
                f"{_listed(values)}. Use 1 for a uniform prior."
            )
    elif min(values) < 0 or max(values) != 1:
        raise PriorError(
            "omega: expected weights from 0 to 1, at least one of them 1; got "
            f"{_listed(values)}. Divide them by the largest."
        )
