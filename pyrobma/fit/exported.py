"""A fitted model as its Stan program sees it, for other software."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.fit.model import Fit, job_of
from pyrobma.fit.stan_data import program_names, stan_data
from pyrobma.models import Task


@dataclass(frozen=True, slots=True)
class StanData:
    """What the Stan program of a model is given, and how to read what it returns.

    Attributes
    ----------
    program : str
        Name of the program, as `pyrobma.programs.executable` takes it.
    data : dict
        Its data, as ``stan/README.md`` describes them.
    columns : dict of str to str
        What the program's output calls each unknown: that of ``"PET"`` may be
        ``"coef[1]"``.
    factors : dict of str to float
        What the program's values of each unknown are multiplied by for those of the
        fit: all 1, but for raw effects, which the program gets in units of their
        median standard error.
    log_constant : float
        What is added to the program's log marginal likelihood for that of the fit:
        minus the number of estimates times the log of that unit, or 0.
    """

    program: str
    data: dict[str, object]
    columns: dict[str, str]
    factors: dict[str, float]
    log_constant: float

    def to_json(self) -> str:
        """Return the data as strict JSON that CmdStan and BridgeStan read."""
        return to_json(self.data)


@dataclass(frozen=True, slots=True)
class StanPoint:
    """A draw of a model, and the log density there.

    Attributes
    ----------
    names : tuple of str
        The unconstrained parameters, D of them, as BridgeStan names them.
    unconstrained : array of shape (D,)
        The draw whose log density is the median of all.
    inits : dict
        The same as the program's own parameters, in the form of an ``init`` file.
    outputs : dict
        The transformed parameters there: ``mu``, ``tau``, ``rho``, ``coef`` if there
        are columns, ``omega`` and ``log_omega`` in selection models.
    log_density : float
        With every constant and the Jacobian, in the program's unit.
    gradient : array of shape (D,)
        Its derivatives by the unconstrained parameters.
    """

    names: tuple[str, ...]
    unconstrained: FloatArray
    inits: dict[str, Any]
    outputs: dict[str, Any]
    log_density: float
    gradient: FloatArray

    def to_json(self) -> str:
        """Return everything but the inits as strict JSON."""
        return to_json(
            {
                "names": self.names,
                "unconstrained": self.unconstrained.tolist(),
                "log_density": self.log_density,
                "gradient": self.gradient.tolist(),
                "outputs": self.outputs,
            }
        )


def exported_data(task: Task, fit: Fit) -> StanData:
    """Return the data of a fitted model.

    Parameters
    ----------
    task : Task
        The data and scales of the fit.
    fit : Fit
        One model.
    """
    job = job_of(task, fit)
    own_task, own_spec = job.scaled.task, job.scaled.spec
    columns = program_names(own_task, own_spec).columns
    return StanData(
        job.program,
        stan_data(own_task, own_spec, fit.rule),
        columns,
        {name: job.scaled.factor(name) for name in columns},
        job.scaled.log_constant + 0.0,  # no -0
    )


def exported_point(task: Task, fit: Fit) -> StanPoint:
    """Return a typical draw of a fitted model, and the log density there.

    Parameters and errors are those of `exported_data`.

    Raises
    ------
    ToolchainError
        If the program's library cannot be opened.
    """
    chains = fit.chains
    with job_of(task, fit).density(fit.rule) as density:
        own: FloatArray = np.empty((1, 0))
        if chains is not None:
            # A draw, not a mean: several modes may have nothing between them.
            middle = np.argsort(chains.lp, axis=None)[(chains.size - 1) // 2]
            own = chains.constrained.reshape(chains.size, -1)[[middle]]
        point = density.unconstrain(own) if chains is not None else own
        value, gradient = density.gradient(point[0])
        others = density.columns[len(density.own_columns) :]
        outputs = density.outputs(point, others)[0]
        return StanPoint(
            tuple(density.names),
            point[0],
            _by_variable(density.own_columns, own[0]),
            _by_variable(others, outputs),
            value,
            gradient,
        )


def to_json(values: Mapping[str, object], indent: int | None = None) -> str:
    """Return a JSON object in which infinity is a string.

    Parameters
    ----------
    values : mapping
        Of numbers, texts, truth values, None, and lists and mappings of them.
    indent : int, optional
        Spaces by level. None: a line for each member.
    """
    strict = _strict(values)
    if indent is not None or not strict:
        return json.dumps(strict, ensure_ascii=False, indent=indent) + "\n"
    rows = (
        f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"
        for name, value in strict.items()
    )
    return "{\n" + ",\n".join(rows) + "\n}\n"


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _strict(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    return value


def _by_variable(columns: Iterable[str], values: FloatArray) -> dict[str, Any]:
    """Gather columns like ``omega[2]`` in lists; their order is the index's."""
    found: dict[str, Any] = {}
    for column, value in zip(columns, values.tolist(), strict=True):
        stem, bracket, _ = column.partition("[")
        if bracket:
            found.setdefault(stem, []).append(value)
        else:
            found[stem] = value
    return found
