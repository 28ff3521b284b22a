"""Stage 2: univariate priors by name, checked once."""

from __future__ import annotations

import difflib
import math
import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyrobma._format import listed
from pyrobma._switchers import for_switchers
from pyrobma.errors import PriorError
from pyrobma.priors.checks import checked_weight
from pyrobma.priors.univariate import Univariate


@dataclass(frozen=True, slots=True)
class Family:
    """What pyrobma knows of a distribution.

    Attributes
    ----------
    name : str
        The one spelling used inside the package.
    code : int
        The family's number in ``stan/functions/priors.stanfunctions``.
    label : str
        Name in printed tables.
    parameters : tuple of str
        Parameter names in order.
    positive : tuple of str
        Those that must be above zero.
    support : tuple of float
        Ends of the untruncated support.
    aliases : tuple of str
        Other accepted names, lower case without punctuation.
    """

    name: str
    code: int
    label: str
    parameters: tuple[str, ...]
    positive: tuple[str, ...]
    support: tuple[float, float]
    aliases: tuple[str, ...]


_REALS = (-math.inf, math.inf)
_POSITIVE = (0.0, math.inf)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("spike", 0, "Spike", ("location",), (), _REALS, ("point",)),
        Family("normal", 1, "Normal", ("mean", "sd"), ("sd",), _REALS, ("norm",)),
        Family(
            "lognormal", 2, "LogNormal", ("meanlog", "sdlog"), ("sdlog",), _POSITIVE,
            ("lnorm",),
        ),
        Family(
            "student_t", 3, "Student-t", ("location", "scale", "df"), ("scale", "df"),
            _REALS, ("t", "student", "studentt"),
        ),
        Family(
            "cauchy", 4, "Cauchy", ("location", "scale"), ("scale",), _REALS, (),
        ),
        Family(
            "gamma", 5, "Gamma", ("shape", "rate"), ("shape", "rate"), _POSITIVE, (),
        ),
        Family(
            "inv_gamma", 6, "InvGamma", ("shape", "scale"), ("shape", "scale"),
            _POSITIVE, ("invgamma", "inversegamma"),
        ),
        Family(
            "beta", 7, "Beta", ("alpha", "beta"), ("alpha", "beta"), (0.0, 1.0), (),
        ),
        Family(
            "exponential", 8, "Exponential", ("rate",), ("rate",), _POSITIVE, ("exp",),
        ),
        Family("uniform", 9, "Uniform", ("a", "b"), (), _REALS, ("unif",)),
    )
}  # fmt: skip
"""Every distribution by name."""

_MEANT = {
    "prior_weights": "prior_weight", "weight": "prior_weight", "lb": "lower",
    "min": "lower", "low": "lower", "ub": "upper", "max": "upper", "high": "upper",
}  # fmt: skip
"""Names that other packages have for what is no parameter here."""

_NAMES = {
    re.sub(r"[^a-z0-9]", "", alias): name
    for name, family in FAMILIES.items()
    for alias in (name, *family.aliases)
}


@dataclass(frozen=True, slots=True)
class Prior(Univariate):
    """A univariate prior distribution, possibly truncated, or a spike.

    Build it with `prior`, which checks its arguments.

    Attributes
    ----------
    family : str
        A key of `FAMILIES`.
    values : tuple of float
        Parameter values in the family's order.
    lower, upper : float
        Truncation; the density is renormalised to it. Infinite ends are open.
    prior_weight : float
        Weight of models with this prior against models with other priors of the
        same component; positive, unitless.
    """

    family: str
    values: tuple[float, ...]
    lower: float
    upper: float
    prior_weight: float = 1.0

    @property
    def _distribution(self) -> Prior:
        return self

    @property
    def is_spike(self) -> bool:
        """Whether the prior puts all its probability on one value."""
        return self.family == "spike"

    @property
    def location(self) -> float:
        """The value of a spike."""
        if not self.is_spike:
            raise PriorError(f"location: expected a spike; got {self}.")
        return self.values[0]

    @property
    def support(self) -> tuple[float, float]:
        """Ends of the support before truncation."""
        if self.family == "uniform":
            return self.values[0], self.values[1]
        return FAMILIES[self.family].support

    def truncated(self, lower: float, upper: float) -> Prior:
        """Return the prior truncated to what it shares with [lower, upper]."""
        return replace(self, lower=max(self.lower, lower), upper=min(self.upper, upper))

    def in_unit(self, unit: float) -> Prior:
        """Return the prior of the parameter divided by `unit`, a positive number.

        Raises
        ------
        PriorError
            For a beta, whose support has no unit.
        """
        values = list(self.values)
        if self.family == "beta":
            raise PriorError(f"in_unit: expected a prior with a unit; got {self}.")
        if self.family == "lognormal":
            values[0] -= math.log(unit)
        else:
            for i, name in enumerate(FAMILIES[self.family].parameters):
                if name == "rate":
                    values[i] *= unit
                elif name not in ("shape", "df"):
                    values[i] /= unit
        return replace(
            self,
            values=tuple(values),
            lower=self.lower / unit,
            upper=self.upper / unit,
        )

    def __str__(self) -> str:
        """Name, parameters and truncation, as in ``Normal(0, 1)[0, Inf]``."""
        text = f"{FAMILIES[self.family].label}({', '.join(map(_number, self.values))})"
        if not self.is_spike and (self.lower, self.upper) != self.support:
            text += f"[{_number(self.lower)}, {_number(self.upper)}]"
        return text

    def same_density(self, other: Prior) -> bool:
        """Whether both describe one distribution, whatever their weights."""
        return replace(self, prior_weight=1.0) == replace(other, prior_weight=1.0)


def _number(value: float) -> str:
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return f"{value:.4g}"


def _family(distribution: str) -> Family:
    if not isinstance(distribution, str):
        raise PriorError(
            "distribution: expected the name of a distribution; got "
            f"{distribution!r}. For example prior('normal', mean=0, sd=1)."
        )
    name = _NAMES.get(re.sub(r"[^a-z0-9]", "", distribution.lower()))
    if name is None:
        near = difflib.get_close_matches(distribution.lower(), FAMILIES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise PriorError(
            f"distribution: expected one of {', '.join(sorted(FAMILIES))}; got "
            f"{distribution!r}.{hint}"
        )
    return FAMILIES[name]


def _finite(name: str, value: object, family: Family) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise PriorError(
            f"{name}: expected a finite number for {family.label}; got {value!r}."
        )
    return number


def _end(name: str, value: object) -> float:
    if not isinstance(value, numbers.Real):
        raise PriorError(f"{name}: expected a number; got {value!r}.")
    return float(value)


def _named(
    family: Family,
    parameters: Mapping[str, float] | Sequence[float] | None,
    named: Mapping[str, float],
) -> dict[str, float]:
    if isinstance(parameters, Mapping):
        given: dict[str, float] = {**parameters, **named}
    elif parameters is not None:
        positional = list(parameters)
        if len(positional) != len(family.parameters):
            raise PriorError(
                f"parameters: expected {len(family.parameters)} values "
                f"({', '.join(family.parameters)}) for {family.label}; got "
                f"{len(positional)}."
            )
        given = {**dict(zip(family.parameters, positional, strict=True)), **named}
    else:
        given = dict(named)
    if "rate" in family.parameters and "scale" in given and "rate" not in given:
        scale = _finite("scale", given.pop("scale"), family)
        if scale <= 0:
            raise PriorError(
                f"scale: expected a positive value for {family.label}; got {scale}."
            )
        given["rate"] = 1 / scale
    if set(given) != set(family.parameters):
        meant = [f"{_MEANT[n]}= instead of {n}=" for n in given if n in _MEANT]
        raise PriorError(
            f"parameters: expected {', '.join(family.parameters)} for {family.label}; "
            f"got {', '.join(map(str, given)) or 'none'}."
            f"{f' Write {listed(meant)}.' if meant else ''}"
        )
    return given


def _ends(truncation: Any, *, beside: bool) -> tuple[float | None, float | None]:
    """Return the ends of a truncation, which is a mapping or a pair, alone."""
    ends = truncation
    if isinstance(truncation, Mapping) and {"lower", "upper"}.issuperset(truncation):
        ends = truncation.get("lower"), truncation.get("upper")
    try:
        lower, upper = [] if beside or isinstance(ends, str | Mapping) else ends
    except (TypeError, ValueError):
        raise PriorError(
            "truncation: expected the keys 'lower' and 'upper', or a pair of numbers, "
            f"and no lower= or upper= beside it; got {truncation!r}. Write lower=..., "
            "upper=... in its place."
        ) from None
    return lower, upper


@for_switchers("prior('normal', mean=0, sd=1, lower=0)")
def prior(
    distribution: str,
    parameters: Mapping[str, float] | Sequence[float] | None = None,
    *,
    lower: float | None = None,
    upper: float | None = None,
    truncation: Mapping[str, float] | Sequence[float] | None = None,
    prior_weight: float = 1.0,
    **named: float,
) -> Prior:
    """Describe a prior distribution of one parameter.

    Parameters
    ----------
    distribution : str
        One of ``normal`` (mean, sd), ``lognormal`` (meanlog, sdlog), ``student_t``
        (location, scale, df), ``cauchy`` (location, scale), ``gamma`` (shape, rate
        or scale), ``inv_gamma`` (shape, scale; density proportional to
        x^(-shape-1) exp(-scale/x)), ``beta`` (alpha, beta), ``exponential`` (rate
        or scale), ``uniform`` (a, b) or ``spike`` (location). Case and punctuation
        do not matter; ``t``, ``invgamma``, ``exp``, ``point`` and the like work too.
    parameters : mapping or sequence of float, optional
        Parameter values by name, or in the order above. None: they are given as
        keywords, ``prior("normal", mean=0, sd=1)``.
    lower, upper : float, optional
        Truncation; the density is renormalised. None: the end of the support.
    truncation : mapping or sequence, optional
        The same as ``{"lower": ..., "upper": ...}``, or as a pair of numbers.
    prior_weight : float, default 1
        Prior weight, positive, relative to other priors of the same component.
    **named : float
        Parameter values by name.

    Returns
    -------
    Prior
        A frozen value.

    Raises
    ------
    PriorError
        On an unknown distribution or parameter name, a scale that is not positive,
        or a truncation that is empty or outside the support.

    Examples
    --------
    >>> print(prior("normal", mean=0, sd=1, lower=0))
    Normal(0, 1)[0, Inf]
    >>> print(prior(distribution="spike", parameters={"location": 0}))
    Spike(0)
    """
    family = _family(distribution)
    given = _named(family, parameters, named)
    values = {name: _finite(name, given[name], family) for name in family.parameters}
    for name in family.positive:
        if values[name] <= 0:
            raise PriorError(
                f"{name}: expected a positive value for {family.label}; got "
                f"{values[name]}."
            )
    if family.name == "uniform" and not values["a"] < values["b"]:
        raise PriorError(
            f"a, b: expected a < b for Uniform; got a = {values['a']}, "
            f"b = {values['b']}."
        )
    weight = checked_weight(prior_weight)
    if truncation is not None:
        lower, upper = _ends(truncation, beside=(lower, upper) != (None, None))
    start, end = (
        (values["a"], values["b"]) if family.name == "uniform" else family.support
    )
    low = start if lower is None else _end("lower", lower)
    high = end if upper is None else _end("upper", upper)
    if family.name == "spike":
        low, high = start, end
    if not (start <= low < high <= end):
        raise PriorError(
            f"lower, upper: expected a truncation inside [{_number(start)}, "
            f"{_number(end)}] with lower < upper for {family.label}; got "
            f"[{_number(low)}, {_number(high)}]."
        )
    ordered = tuple(values[name] for name in family.parameters)
    return Prior(family.name, ordered, low, high, weight)
