"""Stage 3: what models are fitted to: the data, and how parameters meet them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np

from pyrobma._format import listed
from pyrobma._types import FloatArray
from pyrobma.counts.baseline import CONDITIONAL, Baseline
from pyrobma.effects import (
    Coding,
    EffectSizes,
    Measure,
    Moderators,
    Term,
    scale_factor,
)
from pyrobma.errors import DataError
from pyrobma.parameters import REALS, UNKNOWNS, Component, Parameter, Unknowns

EffectMapping: TypeAlias = Literal["linear", "exact"]
"""How mu goes from the prior scale to the measure of the likelihood."""

_SCALE: Final = "tau ~ "

EffectDirection: TypeAlias = Literal["positive", "negative"]
"""Sign of the effects that publication bias favours."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """What a coefficient multiplies, and the coefficient itself.

    Attributes
    ----------
    parameter : Parameter
        The coefficient, an unknown that enters the mean as a "moderator", or as a
        "bias" whose values are given, or log tau as a "scale".
    values : array of shape (K,)
        One per estimate, in the order of the data; finite, read-only. The product
        with the coefficient is an effect on the prior scale or, for a "bias" whose
        coefficient has the unit "none", on the measure of the data. For a "scale" it is
        the log of a ratio of standard deviations.

    Raises
    ------
    DataError
        If the parameter is no coefficient, or a value is not finite.
    """

    parameter: Parameter
    values: FloatArray

    def __post_init__(self) -> None:
        """Check the values and make them read-only."""
        name = self.parameter.name
        if not self.parameter.has_column:
            raise DataError(
                f"columns: expected a coefficient of the mean or of log tau; got "
                f"{name!r}, which enters as {self.parameter.enters!r}."
            )
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 1 or not np.isfinite(values).all():
            raise DataError(
                f"columns: expected one finite number per estimate for {name!r}; got "
                f"{self.values!r}."
            )
        values.setflags(write=False)
        object.__setattr__(self, "values", values)


@lru_cache(64)  # asked for again and again
def _table(rows: tuple[Parameter, ...], where: str) -> Unknowns:
    known = UNKNOWNS
    if where:
        tau = UNKNOWNS["tau"]
        located = replace(
            tau, title=f"{tau.title} {where}", words=f"{tau.words} {where}"
        )
        known = Unknowns(tuple(located if row == tau else row for row in UNKNOWNS))
    return known.with_rows(rows)


def moderator_columns(moderators: Moderators) -> tuple[Column, ...]:
    """Return the columns of moderators, each with its coefficient.

    Parameters
    ----------
    moderators : Moderators
        As `read_moderators` makes them.

    Returns
    -------
    tuple of Column
        A component for each term, and an unknown for each of its columns: a difference
        of effects, per unit of the coded column.
    """
    return tuple(
        Column(_coefficient(term, label), values)
        for term in moderators.terms
        for label, values in zip(term.labels, term.columns.T, strict=True)
    )


def tau_reference(moderators: Moderators) -> str:
    """Say where tau is the heterogeneity: at the reference of its moderators.

    Parameters
    ----------
    moderators : Moderators
        Of heterogeneity.

    Returns
    -------
    str
        As in "at the mean of age, the geometric mean over levels of design and
        dose = 2".
    """
    means, over, values = [], [], []
    for coding in moderators.codings:
        if coding.factor:
            if coding.deviations:
                over.append(coding.name)
            else:
                values.append(_at_level(coding))
        elif not coding.reference.any() and np.allclose(
            coding.centre, coding.raw.mean(axis=0), rtol=1e-9, atol=0
        ):
            means.append(coding.name)
        else:
            zero = coding.centre[0] if coding.n == 1 else 0.0
            values.append(f"{coding.name} = {zero:.5g}")
    parts = [f"the mean of {listed(means)}"] if means else []
    parts += [f"the geometric mean over levels of {listed(over)}"] if over else []
    return f"at {listed([*parts, *values])}"


def _at_level(coding: Coding) -> str:
    """Return the level of a factor at which all columns are 0."""
    zero = [
        level
        for level, row in zip(coding.levels, coding.matrix, strict=True)
        if not row.any()
    ]
    return f"{coding.name} = {zero[0]}" if zero else f"{coding.name} coded as 0"


def scale_name(name: str) -> str:
    """Return what a term or column of heterogeneity is called among all unknowns.

    Parameters
    ----------
    name : str
        As in the formula, e.g. ``"age"`` or ``"measure[1]"``.

    Returns
    -------
    str
        ``"tau ~ age"``, which no term of the mean is called: a formula has no room for
        a tilde in a term.
    """
    return f"{_SCALE}{name}"


def is_scale_name(name: str) -> bool:
    """Whether a name is that of a term or column of heterogeneity.

    Parameters
    ----------
    name : str

    Returns
    -------
    bool
        Whether `scale_name` made it.
    """
    return name.startswith(_SCALE)


def plain_name(name: str) -> str:
    """Return the name of a term or column as in its formula; see `scale_name`."""
    return name.removeprefix(_SCALE)


def scale_columns(moderators: Moderators) -> tuple[Column, ...]:
    """Return the columns of moderators of heterogeneity, each with its coefficient.

    Parameters
    ----------
    moderators : Moderators
        As `read_scale` makes them.

    Returns
    -------
    tuple of Column
        A component for each term, and an unknown for each of its columns: a difference
        of log tau per unit of the coded column.
    """
    return tuple(
        Column(_scale_coefficient(term, label), values)
        for term in moderators.terms
        for label, values in zip(term.labels, term.columns.T, strict=True)
    )


def coded_columns(
    moderators: Moderators | None, scale_moderators: Moderators | None
) -> tuple[Column, ...]:
    """Return the columns of moderators of effects, then those of heterogeneity."""
    made = () if moderators is None else moderator_columns(moderators)
    if scale_moderators is not None:
        made += scale_columns(scale_moderators)
    return made


def _scale_coefficient(term: Term, label: str) -> Parameter:
    name = scale_name(term.name)
    component = Component(name, name, _scale_words(term), name)
    title = f"Coefficient of log τ, {label}"
    words = f"the coefficient of log tau, {label}"
    latex = rf"$\delta_{{\text{{{_escaped(label)}}}}}$"
    return Parameter(
        scale_name(label), component, "none", "scale", REALS, f"δ {label}", title,
        words, latex, needs="tau",
    )  # fmt: skip


def _scale_words(term: Term) -> str:
    if len(term.variables) > 1:
        return f"heterogeneity that depends on {listed(list(term.variables))} together"
    if term.factor:
        return f"heterogeneity that differs between levels of {term.name}"
    return f"heterogeneity that depends on {term.name}"


def _coefficient(term: Term, label: str) -> Parameter:
    component = Component(term.name, term.name, _words(term), term.name)
    several = len(term.labels) > 1
    title = f"Coefficient of {label}"
    words = f"the coefficient {label}" if several else f"the coefficient of {label}"
    latex = rf"$\beta_{{\text{{{_escaped(label)}}}}}$"
    return Parameter(
        label, component, "spread", "moderator", REALS, f"β {label}", title, words,
        latex,
    )  # fmt: skip


def _words(term: Term) -> str:
    if len(term.variables) > 1:
        return f"an interaction of {listed(list(term.variables))}"
    if term.factor:
        return f"differences between levels of {term.name}"
    return f"an association with {term.name}"


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "_%&#$" else c for c in text)


@dataclass(frozen=True, slots=True)
class Task:
    """What is fitted: the data, and how parameters are mapped to their measure.

    Attributes
    ----------
    effects : EffectSizes
        Estimates on the measure of the likelihood.
    prior_scale : str
        Measure of mu, tau and PEESE, and of coefficients of moderators.
    effect_mapping : {"linear", "exact"}
        How mu is carried from the prior scale to the measure of the likelihood.
    effect_direction : {"positive", "negative"}
        Sign of the effects that publication bias favours.
    columns : tuple of Column
        Columns of the mean and of log tau that came with the data, each with its
        coefficient.
    moderators : Moderators or None
        What columns of the mean were made from, so that new rows can be coded as these.
    scale_moderators : Moderators or None
        The same for columns of log tau.
    baseline : Baseline
        Of counts: how the baseline of each study leaves its likelihood.

    Raises
    ------
    DataError
        If the baseline is none of these counts, priors of counts are on another
        measure, a column has another number of values than there are estimates, or the
        name of another unknown, or if moderators could lead beyond correlations of 1.
    """

    effects: EffectSizes
    prior_scale: Measure
    effect_mapping: EffectMapping = "linear"
    effect_direction: EffectDirection = "positive"
    columns: tuple[Column, ...] = ()
    moderators: Moderators | None = None
    scale_moderators: Moderators | None = None
    baseline: Baseline = CONDITIONAL

    def __post_init__(self) -> None:
        """Compare the columns with the data and with the table of unknowns."""
        self._check_baseline()
        for column in self.columns:
            if len(column.values) != self.effects.K:
                raise DataError(
                    f"columns: expected {self.effects.K} values, one per estimate, for "
                    f"{column.parameter.name!r}; got {len(column.values)}."
                )
            moderator = column.parameter.enters == "moderator"
            if moderator and (self.effect_mapping, self.prior_scale) == ("exact", "r"):
                raise DataError(
                    "effect_mapping: expected 'linear' for moderators of effects with "
                    "priors on correlations; got 'exact', which has no value beyond "
                    "1 and -1. Choose prior_scale='fishers_z'."
                )
        _ = self.unknowns
        made = coded_columns(self.moderators, self.scale_moderators)
        own = {column.parameter.name: column.values for column in self.columns}
        for column in made:
            name = column.parameter.name
            if name not in own or not np.array_equal(own[name], column.values):
                raise DataError(
                    f"moderators: expected their columns among columns; got none "
                    f"or another one for {name!r}. Use moderator_columns() or "
                    "scale_columns()."
                )

    def _check_baseline(self) -> None:
        counts, kind = self.effects.counts, self.baseline.kind
        if counts is None:
            if kind != "conditional":
                raise DataError(
                    f"baseline: expected 'conditional' for data without counts; got "
                    f"{self.baseline}."
                )
            return
        fitting = "normal" if counts.rates else "beta"
        if kind not in ("conditional", fitting):
            raise DataError(
                f"baseline: expected a {fitting} prior for "
                f"{'rates' if counts.rates else 'risks'}; got {self.baseline}."
            )
        if self.prior_scale != self.effects.measure:
            raise DataError(
                f"prior_scale: expected '{self.effects.measure}' for counts; got "
                f"{self.prior_scale!r}."
            )

    @property
    def unknowns(self) -> Unknowns:
        """The table of unknowns of these data."""
        if not self.columns:
            return UNKNOWNS
        scale = self.scale_moderators
        where = "" if scale is None else tau_reference(scale)
        return _table(tuple(column.parameter for column in self.columns), where)

    @property
    def direction(self) -> int:
        """1 or -1: the sign of the effects that publication bias favours."""
        return 1 if self.effect_direction == "positive" else -1

    @property
    def scale(self) -> float:
        """Factor of the linear mapping from the prior scale to the data's measure."""
        return scale_factor(self.prior_scale, self.effects.measure)

    def column(self, parameter: str) -> FloatArray:
        """Return what a coefficient multiplies in the mean, or in log tau.

        Parameters
        ----------
        parameter : str
            Name of an unknown that enters as "intercept", "moderator", "bias" or
            "scale".

        Returns
        -------
        array of shape (K,)
            In the order of the data: 1 for mu. For a moderator on the measure of the
            priors, for a bias on that of the data.
        """
        if self.unknowns[parameter].enters == "intercept":
            return np.ones(self.effects.K)
        for column in self.columns:
            row = column.parameter
            if row.name == parameter:
                biased = row.enters == "bias"
                return column.values * (row.factor(self.scale) if biased else 1.0)
        return self.bias_column(parameter, self.effects.se)

    def bias_column(self, parameter: str, se: FloatArray) -> FloatArray:
        """Return what PET or PEESE multiplies at any standard errors.

        Parameters
        ----------
        parameter : str
            Name of an unknown that enters as "bias".
        se : array
            Standard errors on the measure of the data.

        Returns
        -------
        array of the shape of `se`
            On the measure of the data: direction se^p / s^q. PET is a ratio of effects
            (q = 0); PEESE is per unit of effect, so that its product with se^2 is one.
        """
        row = self.unknowns[parameter]
        # A coefficient per unit of effect is divided by the unit.
        factor = row.factor(self.scale) * self.direction
        return np.asarray(factor * se**row.se_power)

    def same_as(self, other: Task) -> bool:
        """Whether both have the same numbers, and map parameters in the same way."""
        settings = ("prior_scale", "effect_mapping", "effect_direction", "baseline")
        mine, theirs = self.effects, other.effects
        return (
            all(getattr(self, name) == getattr(other, name) for name in settings)
            and mine.measure == theirs.measure
            and mine.original == theirs.original
            and mine.counts == theirs.counts
            and all(
                np.array_equal(getattr(mine, name), getattr(theirs, name))
                for name in ("y", "se", "cluster")
            )
            and self.unknowns == other.unknowns
            and all(
                np.array_equal(column.values, other.column(column.parameter.name))
                for column in self.columns
            )
        )

    def in_unit(self, unit: float) -> Task:
        """Return the task with raw effects divided by a unit, a positive number."""
        effects = replace(
            self.effects, y=self.effects.y / unit, se=self.effects.se / unit
        )
        # A coefficient in the new unit times its column is an effect in the new unit.
        # The log of a ratio has no unit.
        columns = tuple(
            c
            if c.parameter.enters == "scale"
            else replace(c, values=c.values * (c.parameter.factor(unit) / unit))
            for c in self.columns
        )
        return replace(self, effects=effects, columns=columns)
