"""Which values the parts of a saved ensemble can have; others mean damage."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from pyrobma._format import sided
from pyrobma.effects import CONTRASTS, Moderators, contrast_matrix
from pyrobma.effects._columns import Rows
from pyrobma.effects._formula import parse_formula
from pyrobma.effects.counts import checked_groups
from pyrobma.ensemble._archive import Damage
from pyrobma.errors import DataError, PriorError
from pyrobma.fit.quadrature import REFINEMENTS
from pyrobma.models import ModelSpace, Task, coded_columns
from pyrobma.priors import prior_weightfunction
from pyrobma.priors.distributions import FAMILIES, prior

_MOST_NODES: Final = 100_000
"""Nodes of a quadrature, each way; rules that are ever chosen have hundreds."""

_MOST_CHARACTERS: Final = 20_000
"""Of a formula; one of a hundred moderators has some thousands."""

_MOST_TERMS: Final = 10_000
"""That a formula may expand to; powers and products of sums can name many more."""

_ROUNDING: Final = 1e-9
"""Relative difference of columns that two machines make of the same moderators."""

Parts = Mapping[str, Any]
Complaints = Iterator[tuple[str, str, Any]]
"""A field, what was expected there, and what there is."""


def check_values(name: str, parts: Parts, where: str) -> None:
    """Refuse values of a class that no ensemble has.

    Parameters
    ----------
    name : str
        Of the class.
    parts : mapping
        Its fields, of the right types already. Fields that are not known here pass,
        and those that are missing too: the class itself knows its defaults.
    where : str
        The object's place in the ensemble.
    """
    found = _single(name, parts)
    if name in _TOGETHER:
        found = itertools.chain(found, _TOGETHER[name](parts))
    for field, expected, got in found:
        raise Damage(f"{where}.{field}: expected {expected}; got {got}")


def check_task(task: Task) -> None:
    """Refuse coefficients that are not those of the moderators."""
    own = {column.parameter.name: column.parameter for column in task.columns}
    for column in coded_columns(task.moderators, task.scale_moderators):
        made = column.parameter
        found = own[made.name]
        if (found.component.name, found.enters, found.unit) != (
            made.component.name, made.enters, made.unit,
        ):  # fmt: skip
            raise Damage(
                f"task.columns: expected a coefficient of the moderator "
                f"{made.component.name} in {made.name}; got one of "
                f"{found.component.name} that enters as {found.enters}"
            )


def check_fits(task: Task, space: ModelSpace, fits: tuple[Any, ...]) -> None:
    """Refuse models of other unknowns, and fits that are not those of the models."""
    models = space.models
    scalars = set(task.unknowns.scalars)
    for number, model in enumerate(models):
        given = [name for name, _ in model.priors]
        if len(set(given)) < len(given) or not scalars.issuperset(given):
            raise Damage(
                f"space.models[{number}].priors: expected some of {sorted(scalars)}, "
                f"each once; got {given}"
            )
    if len(fits) != len(models):
        raise Damage(f"{len(fits)} fits of {len(models)} models")
    for number, (fit, model) in enumerate(zip(fits, models, strict=True)):
        if fit.spec != model:
            raise Damage(
                f"fits[{number}]: a fit of another model in the place of model "
                f"{number + 1}"
            )
        if fit.chains is None:
            continue
        where = f"fits[{number}].chains"
        names = set(fit.chains.names)
        free = set(model.free) - {"omega"}
        if names != free:
            raise Damage(
                f"{where}.names: expected {sorted(free)}, the free parameters of its "
                f"model; got {sorted(names)}"
            )
        omega, selection = fit.chains.omega, model.selection
        if omega is not None and selection is not None:
            weights = len(selection.intervals)
            if omega.shape[2] != weights:
                raise Damage(
                    f"{where}.omega: expected {weights} weights, one per interval of "
                    f"its model; got {omega.shape[2]}"
                )


def _positive(value: float) -> bool:
    return 0 < value < math.inf


def _log_or_none(value: float | None) -> bool:
    return value is None or math.isfinite(value)


def _steps_of_sampler(values: Any) -> bool:
    # NaN: draws that no sampler made have none.
    return bool(np.all(np.isnan(values) | ((values > 0) & (values < np.inf))))


def _positives(values: Any) -> bool:
    return bool(((values > 0) & (values < np.inf)).all())


def _finite(values: Any) -> bool:
    return values is None or bool(np.isfinite(values).all())


_POSITIVE = ("a positive number", _positive)

_SINGLE: Final[dict[str, dict[str, tuple[str, Callable[[Any], bool]]]]] = {
    "BridgeResult": {"mcse": ("no negative number", lambda value: not value < 0)},
    "Chains": {
        "step_size": ("positive numbers", _steps_of_sampler),
        "draws": ("finite numbers", _finite),
        "omega": ("finite numbers", _finite),
    },
    "Coding": {
        "matrix": ("finite numbers", _finite),
        "centre": ("finite numbers", _finite),
        "sd": ("positive numbers", _positives),
        "raw": ("finite numbers", _finite),
    },
    "Fit": {
        "logml": ("a number below infinity", lambda value: value < math.inf),
        "logml_mcse": ("a number of at least 0", lambda value: value >= 0),
        "round": ("a number of at least 0", lambda value: value >= 0),
    },
    "ModelSpace": {"models": ("at least one model", bool)},
    "ModelSpec": {
        "prior_weight": _POSITIVE,
        "log_prior_weight": ("a finite number", _log_or_none),
    },
    "Rule": {
        "spacing": _POSITIVE,
        "reach": ("a number of at least 0", lambda value: 0 <= value < math.inf),
        "refinement": ("one of 1, 2, 4", lambda value: value in REFINEMENTS),
    },
    "Second": {
        "logml": ("a number below infinity", lambda value: value < math.inf),
        "error": ("a number of at least 0", lambda value: value >= 0),
    },
    "Source": {"values": ("finite numbers", _finite)},
    "Term": {"columns": ("finite numbers", _finite)},
    "WeightFunction": {"prior_weight": _POSITIVE},
}  # NaN is in no order with any number, and so none of these but a step size.


def _single(name: str, parts: Parts) -> Complaints:
    """Look at fields one by one."""
    for field, (expected, is_legal) in _SINGLE.get(name, {}).items():
        if field in parts and not is_legal(parts[field]):
            value = parts[field]
            yield field, expected, _first_bad(value, is_legal)


def _first_bad(value: Any, is_legal: Callable[[Any], bool]) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return next(one for one in value.ravel().tolist() if not is_legal(np.asarray(one)))


def _chains(parts: Parts) -> Complaints:
    """Compare shapes with names, columns and each other."""
    draws = parts.get("draws")
    if draws is None:
        return
    size = draws.shape[:2]
    known: dict[str, tuple[int | None, ...]] = {
        "draws": (*size, len(parts.get("names", ()))),
        "divergent": size,
        "deep": size,
        "lp": size,
        "step_size": size[:1],
        "inverse_metric": (*size[:1], None, None),
        "constrained": (*size, len(parts.get("columns", ()))),
        "omega": (*size, None),
    }
    if len(size) != 2 or 0 in size:
        yield "draws", "a shape of (chains, draws, parameters)", draws.shape
    for field, expected in known.items():
        value = parts.get(field)
        if value is None:
            continue
        shape = value.shape
        if len(shape) != len(expected) or any(
            length not in (None, other)
            for length, other in zip(expected, shape, strict=True)
        ):
            text = ", ".join("any" if n is None else str(n) for n in expected)
            yield field, f"an array of shape ({text})", f"shape {shape}"


def _prior(parts: Parts) -> Complaints:
    """Let the function that makes priors look at one."""
    if parts["family"] not in FAMILIES:
        yield "family", f"one of {', '.join(FAMILIES)}", repr(parts["family"])
    try:
        prior(
            parts["family"],
            parts["values"],
            lower=parts["lower"],
            upper=parts["upper"],
            prior_weight=parts.get("prior_weight", 1.0),
        )
    except PriorError as error:
        yield "values", "those of a legal prior", f"one with {error}"


def _source(parts: Parts) -> Complaints:
    """Compare a column of the table with its levels."""
    values, levels = parts["values"], parts["levels"]
    if values.ndim != 1 or not values.size:
        yield "values", "one value per estimate", f"shape {values.shape}"
    if levels and not _places(values, len(levels)):
        yield "values", f"places of {len(levels)} levels", values.tolist()[:20]
    yield from _levels(levels)


def _coding(parts: Parts) -> Complaints:
    """Compare the shapes of a coding, and contrasts with their name."""
    levels, contrasts, matrix = parts["levels"], parts["contrasts"], parts["matrix"]
    L = len(levels)
    if matrix.ndim != 2 or matrix.shape[0] != L or not matrix.shape[1]:
        yield "matrix", f"an array of {L} rows, one per level", f"shape {matrix.shape}"
        return
    n, raw = matrix.shape[1], parts["raw"]
    for field in ("centre", "sd"):
        if parts[field].shape != (n,):
            yield field, f"an array of shape ({n})", f"shape {parts[field].shape}"
    wide = 1 if L else n
    if raw.ndim != 2 or raw.shape[1] != wide:
        yield "raw", f"an array of shape (any, {wide})", f"shape {raw.shape}"
        return
    if not L:
        if contrasts:
            yield "contrasts", "none of numbers", repr(contrasts)
        return
    yield from _levels(levels)
    if not _places(raw, L):
        yield "raw", f"places of {L} levels", raw.ravel().tolist()[:20]
    if contrasts not in (*CONTRASTS, "formula"):
        yield "contrasts", f"one of {', '.join(CONTRASTS)}", repr(contrasts)
    elif contrasts in CONTRASTS and (
        L < 2 or not _alike(matrix, contrast_matrix(contrasts, L))
    ):
        yield "matrix", f"{contrasts} contrasts of {L} levels", matrix.tolist()[:20]


def _term(parts: Parts) -> Complaints:
    """Compare the columns of a term with its labels."""
    columns, labels = parts["columns"], parts["labels"]
    if columns.ndim != 2 or columns.shape[1] != len(labels) or not labels:
        yield "columns", f"{len(labels)} columns", f"shape {columns.shape}"
    if parts["name"] != ":".join(parts["variables"]):
        yield "name", f"that of {parts['variables']}", repr(parts["name"])


def _moderators(parts: Parts) -> Complaints:
    """Compare formula, variables and terms with each other; evaluate nothing."""
    sources, codings, terms = parts["sources"], parts["codings"], parts["terms"]
    if not (sources and codings and terms):
        yield "terms", "some, of variables and columns", f"{len(terms)} terms"
        return
    rows = {len(source.values) for source in sources}
    rows |= {len(coding.raw) for coding in codings}
    rows |= {len(term.columns) for term in terms}
    if len(rows) != 1:
        yield "terms", "columns of one length", f"lengths {sorted(rows)}"
        return
    found = tuple(_formula(parts["formula"]))
    yield from found
    if found:
        return
    parsed = parse_formula(parts["formula"])
    for field, own, read in (
        ("sources", [s.name for s in sources], list(parsed.sources)),
        ("codings", [c.name for c in codings], [v.name for v in parsed.variables]),
        ("terms", [t.variables for t in terms], list(parsed.terms)),
    ):
        if own != read:
            yield field, f"{read}, as in the formula", own
            return
    factors = {coding.name for coding in codings if coding.factor}
    for term in terms:
        if term.factor != bool(factors.intersection(term.variables)):
            yield "terms", f"factor {not term.factor} of {term.name}", term.factor
            return
    made = Moderators(**parts)
    coded = {coding.name: coding.columns(coding.raw) for coding in codings}
    if len(set(made.labels)) < len(made.labels):
        yield "terms", "labels that differ", made.labels
    elif not _alike(made.rows(coded, rows.pop()), made.columns):
        yield "terms", "columns as their variables give them", "others"


def _formula(formula: str) -> Complaints:
    """Refuse a formula that does more than arithmetic, or is too large to expand."""
    if len(formula) > _MOST_CHARACTERS:
        yield "formula", f"at most {_MOST_CHARACTERS} characters", len(formula)
        return
    from formulaic.parser import DefaultFormulaParser

    size = _expanded(DefaultFormulaParser().get_ast(formula))
    if not size <= _MOST_TERMS:
        yield "formula", f"one of at most {_MOST_TERMS} terms", repr(formula[:200])
        return
    try:
        parse_formula(formula)
    except DataError as error:
        yield "formula", "one of known functions", f"one with {error}"


def _expanded(node: Any) -> float:
    """Return a bound on the number of terms that a tree of a formula stands for."""
    if not hasattr(node, "operator"):
        return 1.0
    sizes = [_expanded(part) for part in node.args]
    symbol = node.operator.symbol
    if symbol in ("**", "^"):
        return float(sizes[0] ** float(str(node.args[1])))
    if symbol in ("+", "-", "~", "|"):
        return math.fsum(sizes)
    return math.prod(1.0 + size for size in sizes)


def _levels(levels: tuple[str, ...]) -> Complaints:
    if len(set(levels)) < len(levels):
        yield "levels", "names that differ", levels


def _places(values: Any, L: int) -> bool:
    return bool(np.isin(values, np.arange(L)).all())


def _alike(one: Any, other: Any) -> bool:
    if one.shape != other.shape:
        return False
    scale = max(float(np.abs(other).max(initial=0.0)), 1.0)
    return bool((np.abs(one - other) <= _ROUNDING * scale).all())


def _rule(parts: Parts) -> Complaints:
    nodes = parts["reach"] / parts["spacing"]
    if not nodes <= _MOST_NODES:
        yield "spacing", f"at least a {_MOST_NODES}th of the reach", parts["spacing"]


def _baseline(parts: Parts) -> Complaints:
    if parts["kind"] != "conditional":
        if not _positive(parts["second"]):
            yield "second", "a positive number", parts["second"]
        low = 0.0 if parts["kind"] == "beta" else -math.inf
        if not low < parts["first"] < math.inf:
            yield "first", f"a finite number above {low:g}", parts["first"]


def _two_groups(parts: Parts) -> Complaints:
    """Let the function that reads counts look at some."""
    size = "t" if parts["rates"] else "n"
    numbers = {"x1": parts["x1"], "x2": parts["x2"]}
    numbers |= {f"{size}1": parts["size1"], f"{size}2": parts["size2"]}
    if {one.shape for one in numbers.values()} != {(parts["rows"].K,)}:
        yield "x1", "counts of as many studies as there are rows", "others"
        return
    try:
        checked_groups(numbers, Rows(parts["rows"].K))
    except DataError as error:
        yield "x1", "legal counts", str(error)


def _weightfunction(parts: Parts) -> Complaints:
    """Let the function that makes weight functions look at one."""
    fixed = "" if parts["omega"] is None else ".fixed"
    try:
        prior_weightfunction(
            f"{sided(parts['sides'])}{fixed}",
            steps=parts["steps"],
            alpha=parts["alpha"],
            alpha1=parts["alpha1"],
            alpha2=parts["alpha2"],
            omega=parts["omega"],
        )
    except PriorError as error:
        yield "steps", "those of a legal weight function", f"one with {error}"


_TOGETHER: Final[dict[str, Callable[[Parts], Complaints]]] = {
    "Baseline": _baseline,
    "Chains": _chains,
    "Coding": _coding,
    "Moderators": _moderators,
    "Prior": _prior,
    "Rule": _rule,
    "Source": _source,
    "Term": _term,
    "TwoGroups": _two_groups,
    "WeightFunction": _weightfunction,
}
