"""Stage 7: models and parameters in words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from pyrobma._format import listed, p_value, sided
from pyrobma.effects import (
    MEASURE_NAMES,
    Measure,
    Moderators,
    Term,
    linear_measure,
)
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.errors import DataError
from pyrobma.models import ModelSpace, ModelSpec, plain_name
from pyrobma.parameters import BIAS, UNKNOWNS, Component, Unknowns
from pyrobma.plots.names import plain, short_names
from pyrobma.plots.numbers import short
from pyrobma.plots.text import cut, one_line, text_width
from pyrobma.plots.theme import with_unit
from pyrobma.priors import Prior, WeightFunction

_NULL: Final = "Null"
_SHORT: Final = 1.0  # inches for the name of a term in the names of models
_SIDES: Final = {"one-sided": "1-sided", "two-sided": "2-sided"}
_NEAR: Final = 1e-6  # of the range of a moderator
_TERM: Final = 2.2  # inches for the name of a term in a title


def scalar(ensemble: Ensemble, parameter: str) -> str:
    """Return a parameter that has a density; raise DataError for another one."""
    known = ensemble.unknowns.scalars
    if parameter not in known:
        table = ensemble.unknowns
        every = (*table.terms, *table.scale_terms)
        terms = [term.name for term in every if term.name not in known]
        hint = "Choose one of them."
        if str(parameter).startswith("omega"):
            hint = "See plot_weightfunction for the weights."
        elif terms:
            hint = f"See plot_levels for all coefficients of {listed(terms)}."
        raise DataError(
            f"parameter: expected one of {', '.join(known)}; got {parameter!r}. {hint}"
        )
    return parameter


def parameter_title(
    ensemble: Ensemble,
    parameter: str,
    output_scale: Measure | None,
    *,
    conditional: bool = False,
) -> str:
    """Return an axis title, e.g. ``Conditional effect (Cohen's d)``."""
    row = ensemble.unknowns[parameter]
    title = row.title
    if conditional:
        first = title if title.startswith(row.name) else title[0].lower() + title[1:]
        title = f"Conditional {first}"
    measure = check_output_scale(ensemble.task, output_scale)
    of_tau = ensemble.task.scale_moderators
    if row.enters == "scale" and of_tau is not None:
        return _per_only(title, of_tau, of_tau.term(plain_name(row.component.name)))
    if row.unit == "none":
        return title
    if row.unit != "effect" and measure != ensemble.task.prior_scale:
        measure = linear_measure(measure)
    if row.unit == "per_effect":
        return f"{title} (per unit of {MEASURE_NAMES[measure]})"
    moderators = ensemble.task.moderators
    if moderators is None or row.enters != "moderator":
        return with_unit(title, measure)
    return _per(title, measure, moderators, moderators.term(row.component.name))


def term_title(
    ensemble: Ensemble,
    term: Term,
    output_scale: Measure | None,
    *,
    conditional: bool = False,
    of_tau: bool = False,
) -> str:
    """Return an axis title of a term's levels, e.g. ``Deviation of measure from ...``.

    Parameters
    ----------
    ensemble : Ensemble
        With moderators.
    term : Term
    output_scale : str or None
        Measure of the effects; that of differences is Fisher's z for "r" and the log
        odds ratio for "OR".
    conditional : bool
        Whether only models with the term count.
    of_tau : bool
        Whether it is a moderator of heterogeneity: of log tau, which has no measure.
    """
    task = ensemble.task
    moderators = task.scale_moderators if of_tau else task.moderators
    assert moderators is not None
    codings = [moderators.coding(name) for name in term.variables]
    name = cut(one_line(term.name), _TERM, 10.0)
    what = f"log τ by {name}" if of_tau else name
    title = f"coefficient of {what}"
    if all(c.deviations or not c.factor for c in codings) and term.factor:
        title = f"deviation of {what} from the mean of its levels"
        if len(codings) > 1:
            title = f"deviation of {what}" if of_tau else f"deviation by {name}"
    elif codings[0].contrasts == "treatment" and len(codings) == 1:
        first = cut(one_line(codings[0].levels[0]), _TERM, 10.0)
        title = f"difference of {what} from {first}"
    title = f"Conditional {title}" if conditional else title[0].upper() + title[1:]
    if of_tau:
        return _per_only(title, moderators, term)
    measure = check_output_scale(ensemble.task, output_scale)
    if measure != ensemble.task.prior_scale:
        measure = linear_measure(measure)
    return _per(title, measure, moderators, term)


def _per(title: str, measure: Measure, moderators: Moderators, term: Term) -> str:
    """Add the unit: of effects, and per unit of the numbers in a term."""
    per = _per_number(moderators, term)
    return plain(f"{with_unit(title, measure).removesuffix(')')}{per})")


def _per_only(title: str, moderators: Moderators, term: Term) -> str:
    """Add what a coefficient is per; log tau has no unit."""
    per = _per_number(moderators, term)
    return plain(f"{title} ({per.strip()})" if per else title)


def _per_number(moderators: Moderators, term: Term) -> str:
    """Return e.g. `` per sd of each``; empty for a term without numbers."""
    numbers = [c for c in map(moderators.coding, term.variables) if not c.factor]
    if not numbers:
        return ""
    scaled = all((c.sd != 1).any() for c in numbers)
    each = " of each" if len(numbers) > 1 else ""
    return f" per {'sd' if scaled else 'unit'}{each}"


def reference_words(moderators: Moderators | None) -> str:
    """Say what the averaged effect is at, as in ``at the means of the moderators``.

    Parameters
    ----------
    moderators : Moderators or None

    Returns
    -------
    str
        Empty without moderators.
    """
    if moderators is None:
        return ""
    elsewhere, others = [], 0
    for coding in moderators.codings:
        at = coding.reference * coding.sd + coding.centre
        mean = coding.raw.mean(axis=0)
        if coding.factor or np.allclose(at, mean, atol=_NEAR * np.ptp(coding.raw)):
            others += 1
        elif coding.n == 1:
            elsewhere.append(f"{coding.name} = {short(float(at[0]))}")
        else:
            elsewhere.append(f"the centre of {coding.name}")
    if elsewhere:
        return (
            f"at {listed([*elsewhere, *(['the means of others'] if others else [])])}"
        )
    if len(moderators.codings) > 1:
        return "at the means of the moderators"
    (only,) = moderators.codings
    return f"at the mean {'of the levels ' if only.factor else ''}of {only.name}"


def model_names(space: ModelSpace, unknowns: Unknowns = UNKNOWNS) -> tuple[str, ...]:
    """Return short names of models, as in ``Effect + heterogeneity + PET``.

    A component is named where a model counts as its alternative, with the prior if
    several were given; names that are still equal end in the number of the model.
    """
    words = _Words(space, unknowns)
    names = [
        words.capitalised(" + ".join((*words.truth(m), *words.bias(m)))) for m in space
    ]
    return _told_apart([name or _NULL for name in names])


def fitting(
    names: Sequence[str],
    unknowns: Unknowns,
    room: float,
    size: float,
    numbers: Sequence[int | None] | None = None,
) -> list[str]:
    """Return names of models, with abbreviations if one has more than so many inches.

    With their numbers, which tell apart what a cut would make equal, if that is not
    enough.

    Parameters
    ----------
    names : sequence of str
        From `model_names` or `group_names`.
    unknowns : Unknowns
        Of the models.
    room : float
        Inches.
    size : float
        Of the text, points.
    numbers : sequence of int or None, optional
        Those of the models in the tables. None: not written.
    """
    if text_width(names, size) <= room:
        return list(names)
    terms = [term.label for term in unknowns.terms]
    cuts = zip(terms, short_names(terms, _SHORT, size), strict=True)
    shorts = {term: own for term, own in cuts if own != term}
    shorts |= {c.label: c.short for c in unknowns.components if c.short} | _SIDES
    # A word may begin with another one: the longest first.
    words = sorted(shorts, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, words)), re.IGNORECASE)

    def shortened(found: re.Match[str]) -> str:
        word = found.group()
        if word in shorts:
            return shorts[word]
        # The first word of a name is capitalised.
        return shorts.get(word.lower(), word).capitalize()

    found = [pattern.sub(shortened, name) for name in names]
    if numbers is None or text_width(found, size) <= room:
        return found
    return [
        name if number is None else f"{number}: {name}"
        for name, number in zip(found, numbers, strict=True)
    ]


def group_names(
    space: ModelSpace, unknowns: Unknowns = UNKNOWNS
) -> tuple[tuple[str, str], ...]:
    """Return what a model says of the true effects, and of publication bias.

    The second may be empty: no model of the space has bias.
    """
    words = _Words(space, unknowns)
    bias = [" + ".join(words.bias(model)) for model in space]
    # With bias the group has more models than the null model.
    null = "No effect, no heterogeneity" if any(bias) else _NULL
    groups = []
    for model, own in zip(space, bias, strict=True):
        name = words.capitalised(" + ".join(words.truth(model))) or null
        groups.append((name, (own or "no bias") if any(bias) else ""))
    return tuple(groups)


class _Words:
    """Names of the components of the models of a space.

    What rivals a prior is looked up once for all models: a model's name takes the same
    time however many there are.
    """

    def __init__(self, space: ModelSpace, unknowns: Unknowns) -> None:
        self._components = tuple(
            component
            for component in unknowns.components
            if component != BIAS and _told(component, space, unknowns)
        )
        self._unknowns = unknowns
        kinds = (kind.name for kind in unknowns.kinds(BIAS.name))
        self._biases = [r for kind in kinds for r in unknowns.of_component(kind)]
        priors: dict[tuple[str, bool], set[Prior]] = {}
        weights: dict[str, set[WeightFunction]] = {}
        for model in space:
            for name, prior in model.priors:
                side = (name, self._has(model, name))
                priors.setdefault(side, set()).add(replace(prior, prior_weight=1.0))
            if model.selection is not None:
                plain = replace(model.selection, prior_weight=1.0)
                weights.setdefault(_selection_name(plain), set()).add(plain)
        self._several = {side for side, kinds in priors.items() if len(kinds) > 1}
        self._several_weights = {n for n, kinds in weights.items() if len(kinds) > 1}

    def truth(self, model: ModelSpec) -> list[str]:
        """Name what a model says of the true effects."""
        parts = []
        for component in self._components:
            has = component.name in model.alternative
            priors = [
                str(model.prior(row.name))
                for row in self._unknowns.of_component(component.name)
                if model.has(row.name) and (row.name, has) in self._several
            ]
            if has:
                parts.append(" ".join((component.label, *priors)))
            elif priors:
                parts.append(" ".join((f"no {component.label}", *priors)))
        return parts

    def bias(self, model: ModelSpec) -> list[str]:
        """Name its kinds of publication bias."""
        parts = []
        for row in self._biases:
            if row.scalar and model.has(row.name):
                several = (row.name, self._has(model, row.name)) in self._several
                prior = model.prior(row.name)
                parts.append(f"{row.name} ~ {prior}" if several else row.name)
            elif not row.scalar and model.selection is not None:
                name = _selection_name(model.selection)
                several = name in self._several_weights
                parts.append(str(model.selection) if several else name)
        return parts

    def capitalised(self, name: str) -> str:
        """Begin with a capital letter, but for the name of a moderator."""
        own = any(
            c.label == c.title and f"{name} ".startswith(f"{c.label} ")
            for c in self._components
        )
        return name if own else name[:1].upper() + name[1:]

    def _has(self, model: ModelSpec, name: str) -> bool:
        component = self._unknowns[name].component
        # Kinds of bias are told apart whichever side they are given on.
        return component.kind_of is not None or component.name in model.alternative


def _selection_name(selection: WeightFunction) -> str:
    """Return a weight function in words, as in ``one-sided (.025, .05)``."""
    return f"{sided(selection.sides)} ({', '.join(map(p_value, selection.steps))})"


def _told(component: Component, space: ModelSpace, unknowns: Unknowns) -> bool:
    """Whether a component says more of a model than the one that it needs."""
    needed = {
        unknowns[row.needs].component.name
        for row in unknowns.of_component(component.name)
        if row.needs is not None
    }
    if not needed:
        return True
    # E.g. some model is heterogeneous without correlation within clusters.
    return any(
        needed <= model.alternative and component.name not in model.alternative
        for model in space
    ) and any(component.name in model.alternative for model in space)


def _told_apart(names: Sequence[str]) -> tuple[str, ...]:
    counts = Counter(names)
    return tuple(
        f"{name} (model {i})" if counts[name] > 1 else name
        for i, name in enumerate(names, start=1)
    )
