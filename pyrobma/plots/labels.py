"""Stage 7: models and parameters in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pyrobma._format import p_value, sided
from pyrobma.effects import MEASURE_NAMES, Measure, linear_measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.errors import DataError
from pyrobma.models import ModelSpace, ModelSpec
from pyrobma.parameters import BIAS, UNKNOWNS, Component, Unknowns
from pyrobma.plots.theme import with_unit
from pyrobma.priors import Prior, WeightFunction

_NULL: Final = "Null"


def scalar(ensemble: Ensemble, parameter: str) -> str:
    """Return a parameter that has a density; raise DataError for another one."""
    known = ensemble.unknowns.scalars
    if parameter not in known:
        hint = "See plot_weightfunction for the weights."
        raise DataError(
            f"parameter: expected one of {', '.join(known)}; got {parameter!r}. "
            f"{hint if str(parameter).startswith('omega') else 'Choose one of them.'}"
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
    if row.unit == "none":
        return title
    if row.unit != "effect" and measure != ensemble.task.prior_scale:
        measure = linear_measure(measure)
    if row.unit == "per_effect":
        return f"{title} (per unit of {MEASURE_NAMES[measure]})"
    return with_unit(title, measure)


def model_names(space: ModelSpace, unknowns: Unknowns = UNKNOWNS) -> tuple[str, ...]:
    """Return short names of models, as in ``Effect + heterogeneity + PET``.

    A component is named where a model counts as its alternative, with the prior if
    several were given; names that are still equal end in the number of the model.
    """
    words = _Words(space, unknowns)
    names = [" + ".join((*words.truth(m), *words.bias(m))) for m in space]
    names = [n[0].upper() + n[1:] if n else _NULL for n in names]
    return _told_apart(names)


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
        name = " + ".join(words.truth(model))
        name = name[0].upper() + name[1:] if name else null
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
