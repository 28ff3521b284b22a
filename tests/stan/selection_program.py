"""Data for ``selection.stan``, and its log density through the selection oracle.

The oracle counts intervals from the lowest statistic up, the program from the most
significant p-value on: weights and cut-offs are turned round here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bridgestan
import numpy as np
import quadrature as q
import selection as s
from normal_program import (
    NO_BIAS,
    PARAMETERS,
    Array,
    Case,
    bounds,
    changed,
    log_jacobian,
)
from quadrature import Prior
from scipy import special

from pyrobma.fit.quadrature import Rule
from pyrobma.programs import library

LogLikelihood = Callable[..., float]

FINE = Rule(0.02, 14.0)
"""Closer than any likelihood of these tests needs: no error above rounding."""

Z: dict[tuple[int, int], tuple[float, ...]] = {
    (1, 2): (1.96,),
    (1, 3): (1.96, 1.645),
    (1, 4): (1.96, 1.645, 0.0),
    (2, 2): (1.96,),
    (2, 3): (1.96, 1.645),
    (2, 4): (1.96, 1.645, 0.67),
}
"""Critical z-values by sides and number of weights, as the program wants them."""

PI = {2: (0.7, 0.3), 3: (0.45, 0.35, 0.2), 4: (0.3, 0.35, 0.2, 0.15)}
"""Steps between falling weights, by their number."""


@dataclass(frozen=True)
class SelectionCase(Case):
    """A `Case` with a weight function; one of `omega`, `pi1` and `logits` is given.

    `z` are critical values in standard errors, falling. `omega` are fixed weights by
    rising p. `pi1`, and `pi2` for a valley, are the steps between weights where the
    density is evaluated, under Dirichlet priors with `alpha1` and `alpha2` (None: 1.5
    everywhere). `logits` are one or two sequences of the program's own logits, for
    steps too small for a number.
    """

    z: Sequence[float] = (1.96,)
    sides: int = 1
    omega: Sequence[float] | None = None
    pi1: Sequence[float] | None = None
    pi2: Sequence[float] | None = None
    alpha1: Sequence[float] | None = None
    alpha2: Sequence[float] | None = None
    logits: Sequence[Sequence[float]] | None = None
    rule: Rule = FINE

    @property
    def cut(self) -> Array:
        return np.outer(self.se, self.z)

    @property
    def ratio_logits(self) -> list[Array]:
        """Logits of neighbouring weights' ratios: the program's own parameters."""
        if self.logits is not None:
            return [np.array(x, dtype=float) for x in self.logits]
        given = [pi for pi in (self.pi1, self.pi2) if pi is not None]
        return [ratios(np.array(pi, dtype=float)) for pi in given]

    @property
    def alphas(self) -> list[Array]:
        """Dirichlet parameters."""
        return [
            np.full(x.size + 1, 1.5) if alpha is None else np.array(alpha, dtype=float)
            for x, alpha in zip(
                self.ratio_logits, (self.alpha1, self.alpha2), strict=False
            )
        ]

    @property
    def weights(self) -> Array:
        """Weights by rising p, unless they follow from `logits`: see log_weights."""
        if self.omega is not None:
            return np.array(self.omega, dtype=float)
        pi = np.array(self.pi1, dtype=float)
        falling = np.array([pi[j:].sum() for j in range(pi.size)])
        if self.pi2 is None:
            return falling
        # From the highest p-values down to the interval of p = .5.
        back = np.array(self.pi2, dtype=float)
        low = falling[-1]
        rising = [low + (1 - low) * back[i + 1 :].sum() for i in range(back.size - 1)]
        return np.concatenate([falling, rising[::-1]])

    @property
    def log_weights(self) -> Array:
        """Logs of the weights."""
        if self.logits is None:
            return np.asarray(np.log(self.weights))
        falling, *back = [log_falling(x) for x in self.ratio_logits]
        if not back:
            return falling
        low = falling[-1]
        rest = np.log(-np.expm1(low)) + back[0][:0:-1]
        return np.concatenate([falling, np.logaddexp(low, rest)])

    def data(self) -> dict[str, Any]:
        alphas = [alpha.tolist() for alpha in self.alphas] + [[], []]
        data = {
            **super().data(),
            "effect_direction": self.direction,
            "J": len(self.z) + 1,
            "sides": self.sides,
            "cut": self.cut.tolist(),
            "omega_family": len(self.alphas),
            "omega_fixed": [] if self.omega is None else list(self.omega),
            "J1": len(alphas[0]),
            "alpha1": alphas[0],
            "alpha2": alphas[1],
            "Q": self.rule.nodes.size,
            "node": self.rule.nodes.tolist(),
            "log_weight": self.rule.log_weights.tolist(),
        }
        return changed(data, self.changes)

    def model(self) -> bridgestan.StanModel:
        return bridgestan.StanModel(library("selection"), self.json(), warn=False)

    def constrained(self, values: Mapping[str, float]) -> Array:
        """The program's own parameters at values of the scalar ones."""
        scalars = self.program_values(values)
        return np.concatenate([scalars, *self.ratio_logits])

    def log_likelihood(
        self, values: Mapping[str, float], oracle: LogLikelihood = s.log_likelihood
    ) -> float:
        scale = q.scale_factor(self.prior_measure, self.data_measure)
        mapped = (
            float(q.convert_effect(values["mu"], self.prior_measure, self.data_measure))
            if self.exact
            else scale * values["mu"]
        )
        mean = (
            self.direction * mapped
            + values["PET"] * self.se
            + values["PEESE"] / scale * self.se**2
        )
        if self.logits is None:
            weights = self.weights
        else:  # a common factor is no matter, and makes numbers of them
            logs = self.log_weights
            weights = np.exp(logs - 0.5 * (logs.min() + logs.max()))
        return oracle(
            self.direction * self.y,
            self.se,
            np.repeat(np.arange(len(self.sizes)), self.sizes),
            mean,
            scale * values["tau"],
            values["rho"],
            np.asarray(self.data()["cut"])[:, ::-1],
            weights[::-1],
            self.sides,
        )

    def log_prior(self, values: Mapping[str, float]) -> float:
        total = sum(
            log_dirichlet(log_steps(x), alpha) + log_ratio_jacobian(x)
            for x, alpha in zip(self.ratio_logits, self.alphas, strict=True)
        )
        for name in self.free:
            low, high = bounds(name, self.all_priors[name])
            prior = self.all_priors[name]._replace(lower=low, upper=high)
            total += float(q.log_prior(prior, values[name]))
            if name == "rho":  # a logit in the program
                total += log_jacobian(values[name], low, high)
        return total

    def expected(
        self, values: Mapping[str, float], oracle: LogLikelihood = s.log_likelihood
    ) -> float:
        """Log density at values of the free scalar parameters.

        Without Jacobian, but for rho and the weights, which are logits in the program.
        """
        whole = with_spikes(self.all_priors, values)
        likelihood = 0.0 if self.prior_only else self.log_likelihood(whole, oracle)
        return likelihood + self.log_prior(whole)

    def found(self, values: Mapping[str, float]) -> float:
        """The same from the program."""
        model = self.model()
        whole = with_spikes(self.all_priors, values)
        point = model.param_unconstrain(self.constrained(whole))
        return float(model.log_density(point, propto=False, jacobian=False))


def with_spikes(
    priors: Mapping[str, Prior], values: Mapping[str, float]
) -> dict[str, float]:
    """Values of all scalar parameters: those of spikes are their locations."""
    result = {}
    for name in PARAMETERS:
        location = q.spike_value(priors[name])
        result[name] = values[name] if location is None else location
    return result


def ratios(pi: Array) -> Array:
    """Logits of the ratios of neighbouring weights whose steps are `pi`."""
    later = np.cumsum(pi[::-1])[::-1][1:]
    return np.log(later) - np.log(pi[:-1])


def log_falling(logits: Array) -> Array:
    """Logs of falling weights from the logits of their ratios."""
    return np.concatenate([[0.0], np.cumsum(special.log_expit(logits))])


def log_steps(logits: Array) -> Array:
    """Logs of the steps between falling weights; the last step is the last weight."""
    weights = log_falling(logits)
    return np.append(weights[:-1] + special.log_expit(-logits), weights[-1])


def log_ratio_jacobian(logits: Array) -> float:
    """Log derivative of all but the last step by the logits."""
    slopes = special.log_expit(logits) + special.log_expit(-logits)
    return float((log_falling(logits)[:-1] + slopes).sum())


def log_dirichlet(log_pi: Array, alpha: Array) -> float:
    """Log density of a Dirichlet distribution, over all but one of its elements."""
    constant = special.gammaln(alpha.sum()) - special.gammaln(alpha).sum()
    return float(constant + ((alpha - 1) * log_pi).sum())


def made(sizes: Sequence[int], seed: int = 7, sd: float = 0.35) -> tuple[Array, Array]:
    """Estimates over all intervals, and standard errors."""
    rng = np.random.default_rng([seed, sum(sizes)])
    se = rng.uniform(0.08, 0.4, sum(sizes))
    return rng.normal(0.2, sd, se.size), se


def case(
    sizes: Sequence[int],
    priors: Mapping[str, Prior],
    J: int = 3,
    sides: int = 1,
    **options: Any,
) -> SelectionCase:
    """A case with J falling weights at the usual cut-offs unless told otherwise."""
    if not {"omega", "logits"} & set(options):
        options.setdefault("pi1", PI[J])
    options.setdefault("z", Z[sides, J])
    y, se = made(sizes)
    return SelectionCase(y, se, sizes, {**NO_BIAS, **priors}, sides=sides, **options)
