"""Stage 7: models and parameters in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble, component_of
from pyrobma.ensemble.scales import SCALE_NAMES, check_output_scale
from pyrobma.errors import DataError
from pyrobma.models import ModelSpace, ModelSpec
from pyrobma.plots.numbers import p_value
from pyrobma.plots.theme import with_unit
from pyrobma.priors import PEESE, PET, BiasPrior, NoBias, Prior, WeightFunction

SCALARS: Final = ("mu", "tau", "rho", "PET", "PEESE")
"""Parameters with one number per draw and a prior of their own."""

_TITLES: Final = {
    "mu": "Effect",
    "tau": "Heterogeneity",
    "rho": "Correlation within clusters",
    "PET": "PET coefficient",
    "PEESE": "PEESE coefficient",
}
SYMBOLS: Final = {"mu": "μ", "tau": "τ", "rho": "ρ", "PET": "PET", "PEESE": "PEESE"}
_NULL: Final = "Null"
_NAMED: Final = (("mu", "effect"), ("tau", "heterogeneity"), ("rho", "clusters"))
"""Parameters whose components are named, in that order."""
_LINEAR: Final[dict[Measure, Measure]] = {"r": "fishers_z", "OR": "logOR"}


def scalar(parameter: str) -> str:
    """Return a parameter that has a density; raise DataError for another one."""
    if parameter not in SCALARS:
        hint = "See plot_weightfunction for the weights."
        raise DataError(
            f"parameter: expected one of {', '.join(SCALARS)}; got {parameter!r}. "
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
    title = _TITLES[parameter]
    if conditional:
        first = title if title.startswith("PE") else title[0].lower() + title[1:]
        title = f"Conditional {first}"
    measure = check_output_scale(ensemble.task, output_scale)
    if parameter == "mu":
        return with_unit(title, measure)
    if parameter not in ("tau", "PEESE"):
        return title
    if measure != ensemble.task.prior_scale:
        measure = _LINEAR.get(measure, measure)
    if parameter == "tau":
        return with_unit(title, measure)
    return f"{title} (per unit of {SCALE_NAMES[measure]})"


def bias_name(bias: BiasPrior) -> str:
    """Return a kind of bias in words, as in ``one-sided (.025, .05)``."""
    if isinstance(bias, NoBias):
        return "no bias"
    if not isinstance(bias, WeightFunction):
        return type(bias).__name__
    side = "one" if bias.sides == 1 else "two"
    return f"{side}-sided ({', '.join(map(p_value, bias.steps))})"


def model_names(space: ModelSpace) -> tuple[str, ...]:
    """Return short names of models, as in ``Effect + heterogeneity + PET``.

    A component is named where a model counts as its alternative, with the prior if
    several were given; names that are still equal end in the number of the model.
    """
    words = _Words(space)
    names = [" + ".join(words.of(model)) for model in space.models]
    names = [n[0].upper() + n[1:] if n else _NULL for n in names]
    return _told_apart(names)


def group_names(space: ModelSpace) -> tuple[tuple[str, str], ...]:
    """Return what a model says of the true effects, and of publication bias.

    The second may be empty: no model of the space has bias.
    """
    groups = []
    words = _Words(space)
    anyone = any(not isinstance(model.bias, NoBias) for model in space.models)
    # With bias the group has more models than the null model.
    null = "No effect, no heterogeneity" if anyone else _NULL
    for model in space.models:
        *about, bias = words.of(model, full=True)
        name = " + ".join(about)
        name = name[0].upper() + name[1:] if name else null
        groups.append((name, bias if anyone else ""))
    return tuple(groups)


class _Words:
    """Names of the components of the models of a space.

    What rivals a prior is looked up once for all models: a model's name takes the same
    time however many there are.
    """

    def __init__(self, space: ModelSpace) -> None:
        self.clusters = _clusters_vary(space)
        priors: dict[tuple[str, bool], set[Prior]] = {}
        biases: dict[str, set[BiasPrior]] = {}
        for model in space.models:
            for parameter, _ in _NAMED:
                own = getattr(model, parameter)
                if own is not None:
                    side = (parameter, _has(model, parameter))
                    priors.setdefault(side, set()).add(_unweighted(own))
            name = bias_name(model.bias)
            biases.setdefault(name, set()).add(_unweighted_bias(model.bias))
        self.several_priors = {side for side, kinds in priors.items() if len(kinds) > 1}
        self.several_biases = {name for name, kinds in biases.items() if len(kinds) > 1}

    def of(self, model: ModelSpec, *, full: bool = False) -> list[str]:
        """Name a model's components; in full, its bias comes last in any case."""
        parts = []
        for parameter, component in _NAMED:
            if parameter == "rho" and not self.clusters:
                continue
            has = _has(model, parameter)
            prior = getattr(model, parameter)
            several = prior is not None and (parameter, has) in self.several_priors
            if has:
                parts.append(f"{component} {prior}" if several else component)
            elif several:
                parts.append(f"no {component} {prior}")
        bias = self._bias(model.bias)
        if full:
            parts.append(bias or "no bias")
        elif bias:
            parts.append(bias)
        return parts

    def _bias(self, bias: BiasPrior) -> str:
        if isinstance(bias, NoBias):
            return ""
        name = bias_name(bias)
        return str(bias) if name in self.several_biases else name


def _has(model: ModelSpec, parameter: str) -> bool:
    return component_of(parameter) in model.alternative


def _unweighted(prior: Prior) -> Prior:
    return replace(prior, prior_weight=1.0)


def _unweighted_bias(bias: BiasPrior) -> BiasPrior:
    if isinstance(bias, (PET, PEESE)):
        return replace(bias, prior=_unweighted(bias.prior))
    return replace(bias, prior_weight=1.0)


def _clusters_vary(space: ModelSpace) -> bool:
    """Whether some model is heterogeneous without correlation within clusters."""
    return any(
        "heterogeneity" in model.alternative and "hierarchical" not in model.alternative
        for model in space.models
    ) and any("hierarchical" in model.alternative for model in space.models)


def _told_apart(names: Sequence[str]) -> tuple[str, ...]:
    counts = Counter(names)
    return tuple(
        f"{name} (model {i})" if counts[name] > 1 else name
        for i, name in enumerate(names, start=1)
    )
