"""Generalised linear mixed models of events in two groups: their likelihoods."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.counts.kernels import (
    Binomial,
    Derivatives,
    Hypergeometric,
    Kernel,
    Studies,
    TwoBinomials,
    TwoPoissons,
)
from pyrobma.effects.counts import TwoGroups
from pyrobma.frequentist.count_baseline import RandomBaseline
from pyrobma.frequentist.count_integral import marginal

MODELS: Final = {
    "UM.FS": "unconditional, fixed study effects",
    "UM.RS": "unconditional, random study effects",
    "CM.EL": "conditional, exact likelihood",
    "CM.AL": "conditional, approximate likelihood",
}
"""Models of the studies' baselines, in metafor's names, and what they are."""


class Value(NamedTuple):
    """Log likelihood with gradient and Hessian in all parameters."""

    loglik: float
    gradient: FloatArray
    hessian: FloatArray


@dataclass(frozen=True, slots=True)
class CountModel:
    """A model of K studies with P coefficients.

    Its parameters are in this order: for "UM.FS" baselines, for "UM.RS" mean and
    standard deviation of baselines; coefficients of the columns of `x`; tau.

    Attributes
    ----------
    model : str
        One of `MODELS`.
    groups : TwoGroups
        Events of the studies, none of them silent.
    x : array of shape (K, P)
        Columns of the mean effect.
    studies : Studies
        Likelihood of each study; for "UM.RS" given its baseline.
    """

    model: str
    groups: TwoGroups
    x: FloatArray
    studies: Studies = field(init=False)

    def __post_init__(self) -> None:
        """Choose the likelihood, of which making one may take time."""
        kernel: type[Hypergeometric | Binomial | TwoBinomials | TwoPoissons]
        if self.model in ("UM.FS", "UM.RS"):
            kernel = TwoPoissons if self.groups.rates else TwoBinomials
        elif self.groups.rates or self.model == "CM.AL":
            kernel = Binomial
        else:
            kernel = Hypergeometric
        object.__setattr__(self, "studies", kernel(self.groups))

    @property
    def n_before(self) -> int:
        """Number of parameters before the coefficients."""
        return {"UM.FS": int(self.groups.K), "UM.RS": 2}.get(self.model, 0)

    @property
    def tau_at(self) -> int:
        """Place of tau."""
        return self.n_before + int(self.x.shape[1])

    @property
    def scales(self) -> list[int]:
        """Places of the standard deviations, which may be 0."""
        return [1, self.tau_at] if self.model == "UM.RS" else [self.tau_at]

    def start(self) -> FloatArray:
        """Return parameters without effect and heterogeneity."""
        parameters = np.zeros(self.tau_at + 1)
        base = self.studies.start()
        if self.model == "UM.FS":
            parameters[: self.n_before] = base
        if self.model == "UM.RS":
            parameters[:2] = base.mean(), max(base.std(), 0.1)
        return parameters

    def value(self, parameters: FloatArray, nodes: int) -> Value:
        """Return the log likelihood with its derivatives.

        A tau of exactly 0 is not integrated over, and its derivatives are 0.
        """
        own = self._coordinates(parameters, nodes)
        jacobian = self._jacobian(len(own.first))
        gradient = np.einsum("rkp,rk->p", jacobian, own.first)
        hessian = np.zeros((parameters.size, parameters.size))
        for r, left in enumerate(jacobian):
            for s, right in enumerate(jacobian):
                hessian += left.T @ (own.second[r, s][:, None] * right)
        return Value(float(own.value.sum()), gradient, hessian)

    def _coordinates(self, parameters: FloatArray, nodes: int) -> Derivatives:
        """Log likelihoods of studies and derivatives in what each depends on."""
        before, b = np.split(parameters[:-1], [self.n_before])
        mean, tau = self.x @ b, float(parameters[-1])
        phi = before if self.model == "UM.FS" else np.empty(0)
        if self.model == "UM.RS":
            centre = before[0] + 0.5 * mean
            spread = float(before[1])
            kernel: Kernel = RandomBaseline(self.groups, centre, spread, nodes)
        else:
            kernel = self.studies
        if tau != 0.0:
            return marginal(kernel, mean, tau, phi, nodes)
        here = kernel.at(mean[:, None], phi[:, None])
        return Derivatives(
            here.value[:, 0], here.first[:, :, 0], here.second[:, :, :, 0]
        )

    def _jacobian(self, r: int) -> FloatArray:
        """Return derivatives of the coordinates in the parameters."""
        K, start, end = self.groups.K, self.n_before, self.tau_at
        full = np.zeros((r, K, end + 1))
        mean = {"UM.FS": 1, "UM.RS": 2}.get(self.model, 0)
        full[mean, :, start:end] = self.x
        if r > mean + 1:
            full[mean + 1, :, end] = 1.0
        if self.model == "UM.FS":
            full[0, :, :K] = np.eye(K)
        if self.model == "UM.RS":
            # a study's baseline is the middle of its groups, centre that of group 2
            full[0, :, 0], full[0, :, start:end] = 1.0, 0.5 * self.x
            full[1, :, 1] = 1.0
        return full
