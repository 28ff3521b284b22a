"""From effect sizes and a model to the data of a Stan program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyrobma._types import FloatArray, IntArray
from pyrobma.counts.tables import study_tables
from pyrobma.effects import Measure
from pyrobma.effects.cutoffs import critical_values
from pyrobma.errors import PriorError
from pyrobma.fit.quadrature import ALONE, Rule
from pyrobma.models import ModelSpec, Task
from pyrobma.models.given import refuse_bias_of_counts
from pyrobma.parameters import Parameter
from pyrobma.priors import FAMILIES, Prior, WeightFunction

MEASURE_CODES: dict[Measure, int] = {
    "none": 0,
    "cohens_d": 1,
    "fishers_z": 2,
    "r": 3,
    "logOR": 4,
    "logIRR": 0,  # a unit of its own
}
"""The numbers of ``stan/functions/measures.stanfunctions``."""

ON_CUT = 1e-8
"""Standard errors within which an estimate is on a critical value, whatever rounding
has done to either: it counts as significant there, as in the Stan program."""

_OWN = {"mu": "mu_free[1]", "tau": "tau_free[1]", "rho": "rho_logit[1]"}
"""The unknowns of the first rows of the programs' table, where coefficients follow, and
the programs' own parameters behind them."""


def program(task: Task, spec: ModelSpec) -> str:
    """Return the name of the Stan program with the likelihood of a model."""
    if task.effects.counts is not None:
        return "counts"
    return "selection" if spec.selection is not None else "normal"


def needs_quadrature(task: Task, spec: ModelSpec) -> bool:
    """Whether the likelihood of a model integrates over clusters' common factors."""
    rho = spec.prior("rho")
    dependent = not rho.is_spike or rho.location > 0
    integrated = program(task, spec) != "normal"
    return integrated and task.effects.clustered and dependent


def first_rule(task: Task, spec: ModelSpec) -> Rule | None:
    """Return the rule of a likelihood without common factors, if it has one."""
    return ALONE if program(task, spec) == "counts" else None


def refuse_impossible(task: Task, spec: ModelSpec) -> None:
    """Raise PriorError if an estimate has a fixed weight of 0, or counts have bias."""
    weights = spec.selection
    refuse_bias_of_counts(task, spec)
    if weights is None or weights.omega is None:
        return
    statistic = task.direction * task.effects.y
    if weights.sides == 2:
        statistic = np.abs(statistic)
    cut = critical_values(task.effects, weights.steps, weights.sides)[:, ::-1]
    margin = ON_CUT * task.effects.se[:, None]
    interval = (statistic[:, None] < cut - margin).sum(axis=1)
    for row, j in enumerate(interval):
        if weights.omega[j] == 0:
            lo, hi = weights.intervals[j]
            raise PriorError(
                f"omega: expected a positive weight for every interval that holds an "
                f"estimate; got 0 for p-values from {lo:g} to {hi:g} in {weights}, "
                f'where row {row} ("{task.effects.names[row]}") is. Give it a small '
                "positive weight."
            )


@dataclass(frozen=True, slots=True)
class ProgramNames:
    """What the program calls the unknowns of one model.

    Attributes
    ----------
    outputs : dict of str to str
        Those of `columns` whose unknown is free.
    own : dict of str to str
        Which unknown each of the program's own parameters is: ``"last_free[1]"`` may
        be ``"PET"``. Logits of ratios of weights are ``"omega"``.
    weights : tuple of str
        Output columns of the weights; empty in models without selection.
    columns : dict of str to str
        Output column of every scalar unknown, fixed ones too, in the order of the
        program's table of unknowns: that of ``"PET"`` may be ``"coef[1]"``.
    """

    outputs: dict[str, str]
    own: dict[str, str]
    weights: tuple[str, ...]
    columns: dict[str, str]

    @property
    def table(self) -> tuple[str, ...]:
        """The rows of the program's table of unknowns."""
        return tuple(self.columns)


def program_names(task: Task, spec: ModelSpec) -> ProgramNames:
    """Return what the program calls the unknowns of a model."""
    terms, of_tau = _terms(task, spec), _scale_terms(task, spec)
    columns = {name: name for name in _OWN}
    columns |= {row.name: f"coef[{j}]" for j, row in enumerate(terms, start=1)}
    columns |= {row.name: f"tau_coef[{j}]" for j, row in enumerate(of_tau, start=1)}
    free = [row.name for row in terms if not spec.prior(row.name).is_spike]
    own = {column: name for name, column in _OWN.items()}
    free_of_tau = [row.name for row in of_tau if not spec.prior(row.name).is_spike]
    own |= {f"tau_coef_free[{g}]": name for g, name in enumerate(free_of_tau, start=1)}
    own |= {f"coef_free[{f}]": name for f, name in enumerate(free[:-1], start=1)}
    if free:
        own["last_free[1]"] = free[-1]
    J = 0 if spec.selection is None else len(spec.selection.intervals)
    logits = (f"{side}_logit[{j}]" for side in ("fall", "rise") for j in range(1, J))
    return ProgramNames(
        outputs={n: c for n, c in columns.items() if not spec.prior(n).is_spike},
        own=own | dict.fromkeys(logits, "omega"),
        weights=tuple(f"omega[{j}]" for j in range(1, J + 1)),
        columns=columns,
    )


def stan_data(
    task: Task, spec: ModelSpec, rule: Rule | None = None
) -> dict[str, object]:
    """Return the data block of the Stan program for one model.

    Parameters
    ----------
    task : Task
        The estimates and the mapping.
    spec : ModelSpec
        The priors.
    rule : Rule, optional
        Quadrature of the common factor, if the model needs one.

    Returns
    -------
    dict
        As described in ``stan/README.md``; estimates sorted by cluster.
    """
    order = np.argsort(task.effects.cluster, kind="stable")
    terms = _terms(task, spec)
    data = _estimates_data(task, order) | _terms_data(task, terms, order)
    data |= _scale_data(task, _scale_terms(task, spec), order)
    table = program_names(task, spec).table
    data |= _priors_data([spec.prior(name) for name in table])
    if spec.selection is not None:
        data |= _selection_data(task, spec.selection, order)
        data |= _quadrature_data(rule)
    if task.effects.counts is not None:
        data |= _counts_data(task, order)
        data |= _quadrature_data(rule)
        data["refinement"] = 1 if rule is None else rule.refinement
    return data


def _terms(task: Task, spec: ModelSpec) -> list[Parameter]:
    """Return the coefficients of the mean that a model has, in the program's order.

    One that is fixed at 0 is none.
    """
    return [
        row
        for kind in ("moderator", "bias")
        for row in task.unknowns
        if row.enters == kind and not spec.is_zero(row.name)
    ]


def _scale_terms(task: Task, spec: ModelSpec) -> list[Parameter]:
    """Return the coefficients of log tau that a model has, likewise."""
    return [
        row
        for row in task.unknowns
        if row.enters == "scale" and not spec.is_zero(row.name)
    ]


def column_centres(task: Task, spec: ModelSpec) -> dict[str, float]:
    """Return what one unit of each coefficient adds to an effect of average precision.

    Parameters
    ----------
    task : Task
        The estimates.
    spec : ModelSpec
        The priors.

    Returns
    -------
    dict of str to float
        By coefficient, on the prior's measure: means of the columns weighted by
        1 / se^2. The program's ``mu_free`` is mu plus the coefficients times these.
    """
    weight = task.effects.se**-2 / np.sum(task.effects.se**-2)
    return {
        row.name: float(weight @ task.column(row.name))
        / (task.scale if row.enters == "bias" else 1.0)
        for row in _terms(task, spec)
    }


def _estimates_data(task: Task, order: IntArray) -> dict[str, object]:
    effects = task.effects
    size = np.bincount(effects.cluster)
    ones = [1.0] * len(effects.y)
    return {
        "K": len(effects.y),
        "y": effects.y[order].tolist(),
        "se": effects.se[order].tolist(),
        "L": len(size),
        "cluster_start": (np.cumsum(size) - size + 1).tolist(),
        "cluster_size": size.tolist(),
        "intercept": ones,
        "loading": ones,
        "data_measure": MEASURE_CODES[effects.measure],
        "prior_measure": MEASURE_CODES[task.prior_scale],
        "exact_mapping": int(task.effect_mapping == "exact"),
        "prior_only": 0,
    }


def _terms_data(
    task: Task, terms: Sequence[Parameter], order: IntArray
) -> dict[str, object]:
    x, bias = (
        np.reshape(
            [task.column(row.name) for row in terms if row.enters == kind],
            (-1, len(order)),
        )
        for kind in ("moderator", "bias")
    )
    return {
        "P": len(x),
        "x": x.T[order].tolist(),
        "B": len(bias),
        "bias": bias.T[order].tolist(),
    }


def _scale_data(
    task: Task, terms: Sequence[Parameter], order: IntArray
) -> dict[str, object]:
    w = np.reshape([task.column(row.name) for row in terms], (-1, len(order)))
    return {"S": len(w), "w": w.T[order].tolist()}


def _priors_data(priors: Sequence[Prior]) -> dict[str, object]:
    return {
        "family": [FAMILIES[p.family].code for p in priors],
        "par": [[*p.values, 0.0, 0.0, 0.0][:3] for p in priors],
        "low": [p.lower for p in priors],
        "high": [p.upper for p in priors],
    }


def _selection_data(
    task: Task, weights: WeightFunction, order: IntArray
) -> dict[str, object]:
    # The program numbers p-value intervals from the most significant one.
    cut: FloatArray = critical_values(task.effects, weights.steps, weights.sides)
    alpha1 = weights.alpha or weights.alpha1 or ()
    return {
        "effect_direction": task.direction,
        "J": len(weights.steps) + 1,
        "sides": weights.sides,
        "cut": cut[order][:, ::-1].tolist(),
        "omega_family": 0 if weights.is_fixed else 1 if weights.alpha else 2,
        "omega_fixed": list(weights.omega or ()),
        "J1": len(alpha1),
        "alpha1": list(alpha1),
        "alpha2": list(weights.alpha2 or ()),
    }


def _counts_data(task: Task, order: IntArray) -> dict[str, object]:
    assert task.effects.counts is not None
    made = study_tables(task.effects.counts, task.baseline)
    tables = [made[i] for i in order]
    parts = {
        name: np.concatenate([getattr(one, name) for one in tables])
        for name in ("knot", "log_h", "slope", "curvature")
    }
    return {
        "knots": [len(one.knot) for one in tables],
        "N": len(parts["knot"]),
        **{name: values.tolist() for name, values in parts.items()},
    }


def _quadrature_data(rule: Rule | None) -> dict[str, object]:
    nodes = np.zeros(1) if rule is None else rule.nodes
    log_weights = np.zeros(1) if rule is None else rule.log_weights
    return {
        "Q": len(nodes),
        "node": nodes.tolist(),
        "log_weight": log_weights.tolist(),
    }
