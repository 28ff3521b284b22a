"""Stage 5: what moderators are reported by: sums of coefficients, with names."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects import Coding, Measure, Moderators, Term
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.mixing import Mixture
from pyrobma.ensemble.predictor import Draws
from pyrobma.ensemble.scales import Converter, effect_converter
from pyrobma.errors import DataError
from pyrobma.models import ModelSpec

Kind: TypeAlias = Literal["coefficient", "mean"]

_STEPS: Final = ((-1, "-1SD"), (0, "0SD"), (1, "1SD"))
_ROUNDING: Final = 1e-14


@dataclass(frozen=True, slots=True)
class Quantity:
    """A sum of unknowns of the mean, each times a number.

    Attributes
    ----------
    label : str
        In tables, e.g. "age", "measure[dif: direct]", or "measure[direct]" for a mean.
    term : str
        The component that it says something about; "effect" for mu.
    kind : {"coefficient", "mean"}
        A difference of effects, or an effect, which is converted to another measure
        in another way.
    weights : tuple of (str, float)
        Unknowns, and what they are multiplied by.
    """

    label: str
    term: str
    kind: Kind
    weights: tuple[tuple[str, float], ...]

    def value(self, draws: Draws) -> FloatArray:
        """Return the values for draws of unknowns."""
        total: FloatArray = np.zeros((1, 1))
        for name, weight in self.weights:
            total = total + weight * draws[name]
        return total

    def minus(self, other: Quantity) -> Quantity:
        """Return the difference to another one, of the same term."""
        weights = dict(self.weights)
        for name, weight in other.weights:
            weights[name] = weights.get(name, 0.0) - weight
        kept = tuple((n, w) for n, w in weights.items() if abs(w) > _ROUNDING)
        label = f"{self.label} - {other.label}"
        return Quantity(label, self.term, "coefficient", kept)


def intercept() -> Quantity:
    """Return mu: the effect at the reference of all moderators."""
    return Quantity("intercept", "effect", "mean", (("mu", 1.0),))


def coefficients(moderators: Moderators) -> tuple[Quantity, ...]:
    """Return what the tables of coefficients have, term by term.

    Parameters
    ----------
    moderators : Moderators

    Returns
    -------
    tuple of Quantity
        Of a number its slope; of a factor the deviation of every level from the mean
        of the levels, or the difference of every other level from the first for
        treatment contrasts; of an interaction with a factor the deviation of every
        cell.
    """
    return tuple(row for term in moderators.terms for row in _of_term(moderators, term))


def _of_term(moderators: Moderators, term: Term) -> Iterator[Quantity]:
    own = [moderators.coding(name) for name in term.variables]
    cells = all(c.deviations if c.factor else c.n == 1 for c in own) and term.factor
    if not cells:
        for label in term.labels:
            yield Quantity(label, term.name, "coefficient", ((label, 1.0),))
        return
    factors = [c for c in own if c.factor]
    for places in itertools.product(*(range(len(c.levels)) for c in factors)):
        at = dict(zip((c.name for c in factors), places, strict=True))
        row = _cell([c.matrix[at[c.name]] if c.factor else np.ones(1) for c in own])
        levels = ", ".join(c.levels[at[c.name]] for c in factors)
        yield Quantity(
            f"{term.name}[dif: {levels}]",
            term.name,
            "coefficient",
            _weights(term.labels, row),
        )


def marginal(moderators: Moderators, term: Term) -> tuple[Quantity, ...]:
    """Return the mean effects by the values of a term's variables.

    Parameters
    ----------
    moderators : Moderators
    term : Term

    Returns
    -------
    tuple of Quantity
        At every level of a factor, and at the mean of a number and one standard
        deviation to either side; for an interaction at every combination. Other
        moderators are at their reference. Empty for a term with a function of several
        columns, such as a polynomial.
    """
    own = [moderators.coding(name) for name in term.variables]
    if any(not c.factor and c.n > 1 for c in own):
        return ()
    found = []
    for settings in itertools.product(*map(settings_of, own)):
        coded = {c.name: row[None] for c, (_, row) in zip(own, settings, strict=True)}
        (row,) = moderators.rows(coded, 1)
        label = f"{term.name}[{', '.join(name for name, _ in settings)}]"
        weights = (("mu", 1.0), *_weights(moderators.labels, row))
        found.append(Quantity(label, term.name, "mean", weights))
    return tuple(found)


def settings_of(coding: Coding) -> tuple[tuple[str, FloatArray], ...]:
    """Return the values of a variable that tables show, and its coded columns there."""
    if coding.factor:
        return tuple(zip(coding.levels, coding.matrix, strict=True))
    return tuple(
        (name, coding.reference + step * coding.spread) for step, name in _STEPS
    )


def original(moderators: Moderators) -> tuple[Quantity, ...]:
    """Return the coefficients per unit of numbers as they were given.

    Parameters
    ----------
    moderators : Moderators

    Returns
    -------
    tuple of Quantity
        As `coefficients`, with the intercept before them: the effect where all numbers
        are 0.

    Notes
    -----
    A coded column is a product of factors' columns and of (x - m) / s, whose expansion
    has a part for every subset of the numbers: with slopes b, an intercept of
    b_0 - Σ b_j m_j / s_j and slopes b_j / s_j, and likewise for interactions.
    """
    size = len(moderators.labels)
    matrix = np.zeros((size + 1, size + 1))  # to original, from coded; mu first
    matrix[0, 0] = 1.0
    place = {label: j + 1 for j, label in enumerate(moderators.labels)}
    start = {t.name: place[t.labels[0]] for t in moderators.terms}
    by_variables = {frozenset(t.variables): t for t in moderators.terms}
    for term in moderators.terms:
        own = [moderators.coding(name) for name in term.variables]
        columns = itertools.product(*(range(c.n) for c in own))
        for j, column in enumerate(columns):
            numbers = [i for i, c in enumerate(own) if not c.factor]
            for chosen in itertools.product((True, False), repeat=len(numbers)):
                weight, gone = 1.0, set()
                for i, is_kept in zip(numbers, chosen, strict=True):
                    c, k = own[i], column[i]
                    weight *= (1.0 if is_kept else -c.centre[k]) / c.sd[k]
                    gone |= set() if is_kept else {i}
                kept = [i for i in range(len(own)) if i not in gone]
                target = 0
                if kept:
                    other = by_variables[frozenset(own[i].name for i in kept)]
                    target = start[other.name] + _place(other, own, kept, column)
                matrix[target, start[term.name] + j] += weight
    names = ("mu", *moderators.labels)
    mapped = {
        name: {n: float(w) for n, w in zip(names, row, strict=True) if w != 0}
        for name, row in zip(names, matrix, strict=True)
    }
    first = Quantity("intercept", "effect", "mean", tuple(mapped["mu"].items()))
    return (
        first,
        *(
            Quantity(row.label, row.term, "coefficient", _composed(row, mapped))
            for row in coefficients(moderators)
        ),
    )


def pooled(moderators: Moderators) -> Quantity:
    """Return the mean effect of rows like those of the data."""
    return _effect("pooled", moderators, moderators.columns.mean(axis=0))


def adjusted(moderators: Moderators) -> Quantity:
    """Return the mean effect over all combinations of levels, numbers at their mean.

    It is mu if numbers are standardised and levels deviations from their mean.
    """
    factors = [c for c in moderators.codings if c.factor]
    grid = [*itertools.product(*(c.matrix for c in factors))]
    coded = {c.name: np.array([row[i] for row in grid]) for i, c in enumerate(factors)}
    rows = moderators.rows(coded, len(grid))
    return _effect("adjusted", moderators, rows.mean(axis=0))


def _effect(label: str, moderators: Moderators, row: FloatArray) -> Quantity:
    weights = (("mu", 1.0), *_weights(moderators.labels, row))
    return Quantity(label, "effect", "mean", weights)


def _place(
    term: Term, own: Sequence[Coding], kept: Sequence[int], column: Sequence[int]
) -> int:
    """Return which column of a term is that of some variables' columns."""
    by_name = {own[i].name: (own[i].n, column[i]) for i in kept}
    found = 0
    for name in term.variables:
        n, k = by_name[name]
        found = found * n + k
    return found


def _composed(
    row: Quantity, mapped: Mapping[str, Mapping[str, float]]
) -> tuple[tuple[str, float], ...]:
    total: dict[str, float] = {}
    for name, weight in row.weights:
        for inner, factor in mapped[name].items():
            total[inner] = total.get(inner, 0.0) + weight * factor
    return tuple(total.items())


def _cell(rows: Sequence[FloatArray]) -> FloatArray:
    made = rows[0]
    for other in rows[1:]:
        made = np.outer(made, other).ravel()
    return made


def _weights(labels: Sequence[str], row: FloatArray) -> tuple[tuple[str, float], ...]:
    pairs = zip(labels, row.tolist(), strict=True)
    return tuple((label, w) for label, w in pairs if abs(w) > _ROUNDING)


def posterior(
    ensemble: Ensemble, quantity: Quantity, given: BoolArray | None = None
) -> Mixture:
    """Return the posterior of a quantity over models, on the prior scale.

    Parameters
    ----------
    ensemble : Ensemble
    quantity : Quantity
        Of unknowns that the ensemble has.
    given : array of bool, shape (number of models,), optional
        Only over these models.
    """
    names = [name for name, _ in quantity.weights]
    mixed = ensemble.predicted(lambda study: quantity.value(study.draws), given=given)
    factors = tuple(
        max((fit.mean_factor(name) for name in names), default=1.0)
        for fit in ensemble.fits
    )
    return Mixture(mixed.probabilities, mixed.draws, mixed.errors, factors)


def converter(
    ensemble: Ensemble, quantity: Quantity, output_scale: Measure | None
) -> Converter:
    """Return the function that carries a quantity to an output scale.

    Means are converted as effects are, draw by draw; coefficients linearly, as tau is,
    because a difference of effects has no measure of its own.
    """
    if quantity.kind == "mean":
        return effect_converter(ensemble.task, output_scale)
    return ensemble.converter("tau", output_scale)


def converted(
    ensemble: Ensemble,
    quantity: Quantity,
    mixture: Mixture,
    output_scale: Measure | None,
) -> Mixture:
    """Return a posterior on an output scale; see `converter`."""
    return mixture.transformed(converter(ensemble, quantity, output_scale))


def fixed_at(quantity: Quantity, spec: ModelSpec) -> float:
    """Return the value that a model fixes a quantity at; NaN if it is free."""
    if any(not spec.prior(name).is_spike for name, _ in quantity.weights):
        return math.nan
    return sum(weight * spec.prior(name).location for name, weight in quantity.weights)


def moderators_of(ensemble: Ensemble) -> Moderators:
    """Return the moderators of an ensemble.

    Raises
    ------
    DataError
        If it has none.
    """
    found = ensemble.task.moderators
    if found is None:
        raise DataError(
            "ensemble: expected one with moderators; got none. Give mods in robma()."
        )
    return found
