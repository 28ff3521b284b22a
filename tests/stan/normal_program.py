"""Data for ``normal.stan``, and its log density written again with dense matrices.

Codes and formulas are restated here on purpose: agreement with the program is then
evidence for both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import bridgestan
import numpy as np
import numpy.typing as npt
import quadrature as q
from quadrature import Prior

from pyrobma.programs import library

Array = npt.NDArray[np.float64]

PARAMETERS = ("mu", "tau", "rho", "PET", "PEESE")
MEASURES = {"none": 0, "d": 1, "z": 2, "r": 3, "logOR": 4}
FAMILIES = {
    "spike": 0,
    "normal": 1,
    "lognormal": 2,
    "student_t": 3,
    "cauchy": 4,
    "gamma": 5,
    "inverse_gamma": 6,
    "beta": 7,
    "exponential": 8,
    "uniform": 9,
}
LEGAL = {"tau": (0.0, math.inf), "rho": (0.0, 1.0)}
COEFFICIENTS = PARAMETERS[3:]


def spike(value: float) -> Prior:
    return Prior("spike", (value,))


FREE: dict[str, Prior] = {
    "mu": Prior("normal", (0.1, 0.8)),
    "tau": Prior("inverse_gamma", (1.0, 0.15)),
    "rho": Prior("beta", (2.0, 3.0)),
    "PET": Prior("cauchy", (0.0, 1.0), lower=0.0),
    "PEESE": Prior("student_t", (0.0, 5.0, 3.0), upper=4.0),
}
FIXED: dict[str, Prior] = {
    "mu": spike(0.15),
    "tau": spike(0.25),
    "rho": spike(0.3),
    "PET": spike(0.4),
    "PEESE": spike(-0.7),
}
VALUES = {"mu": 0.21, "tau": 0.34, "rho": 0.45, "PET": 0.6, "PEESE": 0.8}
NO_BIAS = {"PET": spike(0.0), "PEESE": spike(0.0)}


def bounds(name: str, prior: Prior) -> tuple[float, float]:
    """Ends of a parameter in the program's data."""
    low, high = LEGAL.get(name, (-math.inf, math.inf))
    if prior.family == "spike":
        return low, high
    start, end = q.support(prior)
    return max(start, low), min(end, high)


@dataclass(frozen=True)
class Case:
    """One data set and one model; `sizes` are those of adjacent clusters."""

    y: Array
    se: Array
    sizes: Sequence[int]
    priors: Mapping[str, Prior]
    data_measure: str = "z"
    prior_measure: str = "d"
    exact: bool = False
    direction: int = 1
    prior_only: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def all_priors(self) -> dict[str, Prior]:
        return {**FREE, **NO_BIAS, **self.priors}

    @property
    def free(self) -> list[str]:
        return [p for p in PARAMETERS if self.all_priors[p].family != "spike"]

    @property
    def own(self) -> list[str]:
        """The free parameters in the order of the program's own."""
        coefficients = [p for p in COEFFICIENTS if p in self.free]
        order = (*coefficients[:-1], "mu", *coefficients[-1:], "tau", "rho")
        return [p for p in order if p in self.free]

    @property
    def last(self) -> str | None:
        """The last free coefficient, whose ends depend on mu if that has ends."""
        return next((p for p in reversed(COEFFICIENTS) if p in self.free), None)

    @property
    def terms(self) -> list[str]:
        """Coefficients that have a column: all but those fixed at 0."""
        return [p for p in COEFFICIENTS if self.all_priors[p] != spike(0.0)]

    @property
    def bias(self) -> Array:
        """Columns of the bias terms, on the data's measure."""
        scale = q.scale_factor(self.prior_measure, self.data_measure)
        columns = {"PET": self.se, "PEESE": self.se**2 / scale}
        made = [self.direction * columns[name] for name in self.terms]
        return np.reshape(made, (len(made), len(self.y))).T

    def data(self) -> dict[str, Any]:
        sizes = np.asarray(self.sizes)
        table = [*PARAMETERS[:3], *self.terms]
        priors = [self.all_priors[name] for name in table]
        ends = [bounds(*row) for row in zip(table, priors, strict=True)]
        data: dict[str, Any] = {
            "K": len(self.y),
            "y": list(self.y),
            "se": list(self.se),
            "L": len(sizes),
            "cluster_start": (np.cumsum(sizes) - sizes + 1).tolist(),
            "cluster_size": sizes.tolist(),
            "intercept": [1.0] * len(self.y),
            "loading": [1.0] * len(self.y),
            "data_measure": MEASURES[self.data_measure],
            "prior_measure": MEASURES[self.prior_measure],
            "exact_mapping": int(self.exact),
            "prior_only": int(self.prior_only),
            "P": 0,
            "x": [[] for _ in self.y],
            "B": len(self.terms),
            "bias": self.bias.tolist(),
            "S": 0,
            "w": [[] for _ in self.y],
            "family": [FAMILIES[prior.family] for prior in priors],
            "par": [[*prior.parameters, 0.0, 0.0][:3] for prior in priors],
            "low": [low for low, _ in ends],
            "high": [high for _, high in ends],
        }
        return changed(data, self.changes)

    def column(self, parameter: str) -> str:
        """Name of a free parameter in the program's output."""
        if parameter == self.last:
            return "last_free[1]"
        if parameter in COEFFICIENTS:
            return f"coef_free[{self.own.index(parameter) + 1}]"
        return "rho_logit[1]" if parameter == "rho" else f"{parameter}_free[1]"

    def output(self, parameter: str) -> str:
        """Name of any parameter that the program has in its output."""
        if parameter in COEFFICIENTS:
            return f"coef[{self.terms.index(parameter) + 1}]"
        return parameter

    def json(self) -> str:
        return json.dumps(self.data())

    def model(self) -> bridgestan.StanModel:
        # The client warns at every second opening of one file, whatever the data.
        return bridgestan.StanModel(library("normal"), self.json(), warn=False)

    def program_values(self, free_values: Mapping[str, float]) -> Array:
        """Values of the program's own parameters: mu is shifted, rho a logit."""
        values = {p: q.spike_value(self.all_priors[p]) for p in PARAMETERS}
        values |= dict(free_values)
        shift = self.shift(values["PET"], values["PEESE"])
        if "rho" in self.free:
            low, high = bounds("rho", self.all_priors["rho"])
            values["rho"] = math.log((values["rho"] - low) / (high - values["rho"]))
        return np.array([values[p] + shift * (p == "mu") for p in self.own])

    def shift(self, PET: Any, PEESE: Any) -> Any:
        """What is added to mu: bias at the average standard error."""
        scale = q.scale_factor(self.prior_measure, self.data_measure)
        weight = self.se**-2 / np.sum(self.se**-2)
        mean_se, mean_square = weight @ self.se, weight @ self.se**2
        return self.direction * (PET * mean_se / scale + PEESE * mean_square / scale**2)

    def log_likelihood(self, values: Mapping[str, float]) -> float:
        scale = q.scale_factor(self.prior_measure, self.data_measure)
        mapped = (
            float(q.convert_effect(values["mu"], self.prior_measure, self.data_measure))
            if self.exact
            else scale * values["mu"]
        )
        bias = self.direction * (
            values["PET"] * self.se + values["PEESE"] / scale * self.se**2
        )
        cluster = np.repeat(np.arange(len(self.sizes)), self.sizes)
        T = scale * values["tau"]
        return q.log_likelihood(
            self.y - bias, self.se, cluster, mapped, T, values["rho"]
        )

    def log_density(self, free_values: Mapping[str, float], jacobian: bool) -> float:
        priors = self.all_priors
        values = {p: q.spike_value(priors[p]) for p in PARAMETERS} | dict(free_values)
        total = 0.0 if self.prior_only else self.log_likelihood(values)
        for name in self.free:
            low, high = bounds(name, priors[name])
            truncated = priors[name]._replace(lower=low, upper=high)
            total += float(q.log_prior(truncated, values[name]))
        if "rho" in self.free:  # a logit in the program
            total += log_jacobian(values["rho"], *bounds("rho", priors["rho"]))
        return total + (self.log_jacobian(values) if jacobian else 0.0)

    def log_jacobian(self, values: Mapping[str, float]) -> float:
        """Log derivative of the transforms of all parameters but rho."""
        total = values["mu"] + self.shift(values["PET"], values["PEESE"])
        return sum(
            log_jacobian(total if name == "mu" else values[name], low, high)
            for name, (low, high) in self.own_ends(values).items()
        )

    def own_ends(self, values: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """Ends of the program's own parameters but rho, given the others' values."""
        ends = {p: bounds(p, self.all_priors[p]) for p in self.own if p != "rho"}
        if "mu" not in ends or self.last is None:
            fixed = self.shift(values["PET"], values["PEESE"])
            if "mu" in ends:
                ends["mu"] = (ends["mu"][0] + fixed, ends["mu"][1] + fixed)
            return ends
        each = {"PET": self.shift(1.0, 0.0), "PEESE": self.shift(0.0, 1.0)}
        centre = each[self.last]
        rest = sum(each[p] * values[p] for p in each if p != self.last)
        low, high = ends["mu"]
        least, most = sorted(centre * end for end in ends[self.last])
        ends["mu"] = (
            low + rest + least if math.isfinite(low) else low,
            high + rest + most if math.isfinite(high) else high,
        )
        # mu = total - rest - centre * coefficient lies between its ends.
        total = values["mu"] + rest + centre * values[self.last]
        a, b = sorted((total - rest - end) / centre for end in (low, high))
        own_low, own_high = ends[self.last]
        ends[self.last] = max(own_low, a), min(own_high, b)
        return ends


def changed(data: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Data with some variables, or rows such as ``"par[2]"``, replaced."""
    data = dict(data)
    for name, value in changes.items():
        variable, _, row = name.rstrip("]").partition("[")
        if row:
            values = list(data[variable])
            values[int(row) - 1] = value
            data[variable] = values
        else:
            data[variable] = value
    return data


def log_jacobian(x: float, low: float, high: float) -> float:
    """Log derivative of Stan's constraining transform, at the constrained value."""
    if math.isinf(low) and math.isinf(high):
        return 0.0
    if math.isinf(high):
        return math.log(x - low)
    if math.isinf(low):
        return math.log(high - x)
    return math.log(x - low) + math.log(high - x) - math.log(high - low)


def made(sizes: Sequence[int], seed: int = 1) -> tuple[Array, Array]:
    """Estimates and standard errors, adjacent within clusters of these sizes."""
    y, se, cluster = q.made_data(seed, sizes)
    order = np.argsort(cluster, kind="stable")
    return y[order], se[order]


def case(sizes: Sequence[int], priors: Mapping[str, Prior], **options: Any) -> Case:
    return Case(*made(sizes), sizes, priors, **options)
