"""Stage 6: hypotheses that a user writes, as in ``measure[a] > measure[b]``."""

from __future__ import annotations

import ast
import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from pyrobma._format import bayes_factor_of_log, error, fixed
from pyrobma._types import BoolArray
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.directions import direction_evidence, order_evidence
from pyrobma.ensemble.hypotheses import fixed_value_evidence, point_evidence
from pyrobma.ensemble.quantities import (
    Quantity,
    coefficients,
    intercept,
    marginal,
)
from pyrobma.ensemble.spread import scale_coefficients
from pyrobma.errors import DataError
from pyrobma.models import scale_name
from pyrobma.summary.checks import ensemble_warnings
from pyrobma.summary.heading import heading
from pyrobma.summary.table import Summary, Table

_RELATION: Final = re.compile(r"(<=|>=|==|!=|<|>|=)")
_OPPOSITE: Final = {">": 1, "<": -1}


@dataclass(frozen=True, slots=True)
class _Sum:
    """A linear expression: weights by unknown, and a number."""

    weights: dict[str, float]
    constant: float

    def minus(self, other: _Sum) -> _Sum:
        names = dict.fromkeys((*self.weights, *other.weights))
        weights = {
            n: self.weights.get(n, 0.0) - other.weights.get(n, 0.0) for n in names
        }
        kept = {n: w for n, w in weights.items() if abs(w) > 1e-14}
        return _Sum(kept, self.constant - other.constant)


def hypothesis(ensemble: Ensemble, *texts: str) -> Summary:
    """Test hypotheses about effects, coefficients, tau and rho.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    *texts : str
        Each a comparison of two linear expressions, e.g. ``"age > 0"``,
        ``"measure[direct] > measure[informant]"``, ``"mu = 0.2"`` or ``"tau < 0.1"``,
        or a chain of them, ``"g[a] > g[b] > g[c]"``. Names are those of the tables:
        ``measure[direct]`` is the mean effect at a level, ``measure[dif: direct]`` its
        deviation, ``age[1SD]`` the mean effect at a value, ``age`` the coefficient;
        ``tau ~ age`` and ``tau ~ measure[dif: direct]`` coefficients of log tau; mu,
        tau, rho, PET and PEESE; all on the prior scale.

    Returns
    -------
    Summary
        Table ``hypotheses``, a row for each: prior and posterior probability, and the
        Bayes factor of the hypothesis against its opposite. For an equation these
        are of the value against any other one, and have no probabilities.

    Raises
    ------
    DataError
        On a name that is unknown, or a text that is no comparison of linear
        expressions.

    Notes
    -----
    Models in which every side has a fixed value say nothing about it: probabilities
    are among the models that leave the comparison open. The Bayes factor of an
    inequality is the change of its odds [1]_, that of an equation the Savage-Dickey
    ratio (`point_evidence`), posterior over prior density.

    References
    ----------
    .. [1] Klugkist I., Laudy O., Hoijtink H. (2005). Inequality constrained analysis
       of variance: a Bayesian approach. Psychological Methods 10(4).
       doi:10.1037/1082-989X.10.4.477
    """
    if not texts:
        raise DataError("texts: expected a hypothesis, as in 'mu > 0'; got none.")
    known = _names(ensemble)
    rows = {text: _tested(ensemble, text, known) for text in texts}
    frame = pd.DataFrame.from_dict(rows, orient="index")
    logs = frame.pop("log BF")
    with np.errstate(over="ignore"):
        frame.insert(2, "BF", np.exp(logs))
    table = Table(
        "Hypotheses:",
        frame,
        {
            "Prior prob.": fixed(3),
            "Post. prob.": fixed(3),
            "BF": tuple(map(bayes_factor_of_log, logs)),
            "error(log BF)": error,
        },
        ("BF: of the hypothesis against its opposite.",),
    )
    return Summary(
        heading(ensemble), {"hypotheses": table}, ensemble_warnings(ensemble)
    )


def _names(ensemble: Ensemble) -> dict[str, _Sum]:
    """Return what a hypothesis can be about, by name."""
    found = {
        name: _Sum({name: 1.0}, 0.0)
        for name in ensemble.parameters
        if ensemble.unknowns[name].scalar
    }
    moderators = ensemble.task.moderators
    if moderators is not None:
        rows = [intercept(), *coefficients(moderators)]
        rows += [r for term in moderators.terms for r in marginal(moderators, term)]
        found |= {row.label: _Sum(dict(row.weights), 0.0) for row in rows}
    of_tau = ensemble.task.scale_moderators
    if of_tau is not None:
        found |= {
            scale_name(row.label): _Sum(dict(row.weights), 0.0)
            for row in scale_coefficients(of_tau)
        }
    return found


def _tested(
    ensemble: Ensemble, text: str, known: Mapping[str, _Sum]
) -> dict[str, float]:
    parts = _RELATION.split(text)
    sides, relations = parts[::2], parts[1::2]
    chain = len(set(relations)) == 1 and relations[0] in ("<", ">")
    if not relations or (len(relations) > 1 and not chain):
        raise DataError(
            f"texts: expected comparisons with <, > or =, those of a chain all the "
            f"same; got {text!r}."
        )
    sums = [_parsed(side, known, text) for side in sides]
    differences = [one.minus(other) for one, other in itertools.pairwise(sums)]
    if any(not d.weights for d in differences):
        raise DataError(
            f"texts: expected a comparison that can be true or false; got {text!r}, "
            "whose sides differ by a number only."
        )
    relation = relations[0]
    if relation in ("=", "==", "!="):
        return _equal(ensemble, differences[0], relation == "!=", text)
    if relation in ("<=", ">="):
        relation = relation[0]
    sign = _OPPOSITE[relation]
    return _ordered(ensemble, differences, sign)


def _ordered(
    ensemble: Ensemble, differences: list[_Sum], sign: int
) -> dict[str, float]:
    quantities = [
        Quantity(
            "", "", "coefficient", tuple((n, sign * w) for n, w in d.weights.items())
        )
        for d in differences
    ]
    values = [-sign * d.constant for d in differences]
    given = _open(ensemble, differences)
    if len(quantities) == 1:
        found = direction_evidence(ensemble, quantities[0], values[0], given)
    else:
        found = order_evidence(ensemble, quantities, values, given)
    return {
        "Prior prob.": found.prior,
        "Post. prob.": found.post,
        "log BF": found.log_bf,
        "error(log BF)": found.log_bf_mcse,
    }


def _equal(
    ensemble: Ensemble, difference: _Sum, unequal: bool, text: str
) -> dict[str, float]:
    value = -difference.constant
    rows = [ensemble.unknowns[name] for name in difference.weights]
    given = _open(ensemble, [difference])
    of_tau = len(rows) > 1 and all(row.enters == "scale" for row in rows)
    if of_tau or all(row.in_mean for row in rows):
        quantity = Quantity("", "", "coefficient", tuple(difference.weights.items()))
        found = point_evidence(ensemble, quantity, value, given)
        log_bf, mcse = found.log_bf, found.log_bf_mcse
    elif len(rows) == 1:
        (weight,) = difference.weights.values()
        found = fixed_value_evidence(ensemble, rows[0].name, value / weight, given)
        log_bf, mcse = found.log_bf, found.log_bf_mcse
    else:
        raise DataError(
            f"texts: expected an equation of effects and coefficients, or of one other "
            f"unknown and a number, or of coefficients of log tau; got {text!r}."
        )
    return {
        "Prior prob.": math.nan,
        "Post. prob.": math.nan,
        "log BF": log_bf if unequal else -log_bf,
        "error(log BF)": mcse,
    }


def _open(ensemble: Ensemble, differences: list[_Sum]) -> BoolArray:
    """Return the models that leave some of the comparisons open."""
    names = {name for d in differences for name in d.weights}
    found = np.array(
        [any(not m.prior(name).is_spike for name in names) for m in ensemble.space]
    )
    if not found.any():
        raise DataError(
            f"texts: expected a hypothesis that some model leaves open; all fix "
            f"{', '.join(sorted(names))}."
        )
    return found


def _parsed(side: str, known: Mapping[str, _Sum], text: str) -> _Sum:
    """Read a linear expression of names that Python could not read."""
    placed = {f"name_{i}_": name for i, name in enumerate(known)}
    written = side
    # The longest first: one name may be a part of another one.
    for place, name in sorted(placed.items(), key=lambda pair: -len(pair[1])):
        pattern = rf"(?<![\w.]){re.escape(name)}(?![\w\[(])"
        written = re.sub(pattern, place, written)
    try:
        tree = ast.parse(written.strip(), mode="eval")
    except SyntaxError as problem:
        raise _unreadable(side, known, text) from problem
    try:
        return _linear(tree.body, {p: known[n] for p, n in placed.items()})
    except (KeyError, TypeError) as problem:
        raise _unreadable(side, known, text) from problem


def _unreadable(side: str, known: Mapping[str, _Sum], text: str) -> DataError:
    return DataError(
        f"texts: expected a linear expression of {', '.join(known)}; got "
        f"{side.strip()!r} in {text!r}."
    )


def _linear(node: ast.expr, known: Mapping[str, _Sum]) -> _Sum:
    if isinstance(node, ast.Name):
        return known[node.id]
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return _Sum({}, float(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _Sum({}, 0.0).minus(_linear(node.operand, known))
    if isinstance(node, ast.BinOp):
        left, right = _linear(node.left, known), _linear(node.right, known)
        if isinstance(node.op, ast.Sub):
            return left.minus(right)
        if isinstance(node.op, ast.Add):
            return left.minus(_Sum({}, 0.0).minus(right))
        if isinstance(node.op, ast.Mult) and not (left.weights and right.weights):
            factor, other = (right, left) if left.weights else (left, right)
            return _times(other, factor.constant)
        if isinstance(node.op, ast.Div) and not right.weights and right.constant:
            return _times(left, 1 / right.constant)
    raise TypeError("not linear")


def _times(one: _Sum, factor: float) -> _Sum:
    weights = {name: weight * factor for name, weight in one.weights.items()}
    return _Sum(weights, one.constant * factor)
