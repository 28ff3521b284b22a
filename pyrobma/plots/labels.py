"""Stage 7: models and parameters in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from pyrobma.effects import MEASURE_NAMES, Measure, linear_measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.errors import DataError
from pyrobma.models import ModelSpace, ModelSpec
from pyrobma.parameters import UNKNOWNS
from pyrobma.plots.numbers import p_value
from pyrobma.plots.theme import with_unit
from pyrobma.priors import BiasPrior, NoBias, Prior, WeightFunction

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
        measure = linear_measure(measure)
    if parameter == "tau":
        return with_unit(title, measure)
    return f"{title} (per unit of {MEASURE_NAMES[measure]})"


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
    parts = [_parts(space, model) for model in space.models]
    names = [" + ".join(p) for p in parts]
    names = [n[0].upper() + n[1:] if n else _NULL for n in names]
    return _told_apart(names)


def group_names(space: ModelSpace) -> tuple[tuple[str, str], ...]:
    """Return what a model says of the true effects, and of publication bias.

    The second may be empty: no model of the space has bias.
    """
    groups = []
    anyone = any(not isinstance(model.bias, NoBias) for model in space.models)
    # With bias the group has more models than the null model.
    null = "No effect, no heterogeneity" if anyone else _NULL
    for model in space.models:
        *about, bias = _parts(space, model, full=True)
        name = " + ".join(about)
        name = name[0].upper() + name[1:] if name else null
        groups.append((name, bias if anyone else ""))
    return tuple(groups)


def _parts(space: ModelSpace, model: ModelSpec, *, full: bool = False) -> list[str]:
    """Name a model's components; in full, its kind of bias comes last in any case."""
    parts = []
    for parameter, component in (
        ("mu", "effect"),
        ("tau", "heterogeneity"),
        ("rho", "clusters"),
    ):
        hypothesis = UNKNOWNS[parameter].component.name
        has = hypothesis in model.alternative
        if component == "clusters" and not _clusters_vary(space):
            continue
        rivals = [
            other.prior(parameter) if other.has(parameter) else None
            for other in space.models
            if (hypothesis in other.alternative) == has
        ]
        prior = model.prior(parameter) if model.has(parameter) else None
        several = prior is not None and _several(rivals)
        if has:
            parts.append(f"{component} {prior}" if several else component)
        elif several:
            parts.append(f"no {component} {prior}")
    bias = _bias_part(space, model)
    if full:
        parts.append(bias or "no bias")
    elif bias:
        parts.append(bias)
    return parts


def _bias_part(space: ModelSpace, model: ModelSpec) -> str:
    if isinstance(model.bias, NoBias):
        return ""
    name = bias_name(model.bias)
    same = [m.bias for m in space.models if bias_name(m.bias) == name]
    if all(model.bias.same_density(other) for other in same):
        return name
    return str(model.bias)


def _several(priors: Sequence[Prior | None]) -> bool:
    given = [p for p in priors if p is not None]
    return any(not given[0].same_density(other) for other in given[1:])


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
