"""Maximum likelihood of generalised linear mixed models of events in two groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pyrobma._types import FloatArray, IntArray
from pyrobma.effects.counts import TwoGroups
from pyrobma.errors import DataError
from pyrobma.frequentist.count_model import CountModel, Value
from pyrobma.frequentist.count_separation import refuse_separation

_STARTS: Final = ((0.2, 0.7, 2.0), (0.3, 1.0))
"""Values of tau to begin with; fewer for "UM.RS", which takes longer."""

_NODES: Final = 33
"""Points of the rule to begin with: exact to rounding unless tau is large."""

_NODES_A_TAU: Final = 60
"""Points for each 1 of tau that keep steps of effects below 0.3: exact to 1e-12."""

_MOST_NODES: Final = 2049

_RULE: Final = 1e-9
"""How much the log likelihood may change if the rule is doubled."""

_ZERO: Final = 1e-9
"""Log likelihood that a variance must gain over 0 to be more than rounding."""

_OFF: Final = 1e-4
"""Standard errors that a maximum may be off, of parameters printed with four digits."""

_ENDLESS: Final = 30.0
"""Standard deviations beyond, of logs of ratios, are on their way to infinity."""

_SMALL: Final = 0.02
"""Standard deviations below are held against 0."""


@dataclass(frozen=True, slots=True)
class CountEstimate:
    """A fitted model.

    Attributes
    ----------
    estimate : array of shape (P,)
        Coefficients of the mean.
    covariance : array of shape (P, P)
        Their covariance, from the observed information.
    tau2, se_tau2 : float
        Heterogeneity and its standard error: nan without, or at the boundary of 0.
    sigma2 : float
        Variance of random baselines; nan without.
    loglik : float
        Maximised log likelihood, with all constants.
    parameters, observations : int
        Numbers of both, for information criteria.
    model : CountModel
        The model, of orthogonal columns.
    maximum : array
        Its parameters at the maximum.
    nodes : int
        Points of the rule.
    """

    estimate: FloatArray
    covariance: FloatArray
    tau2: float
    se_tau2: float
    sigma2: float
    loglik: float
    parameters: int
    observations: int
    model: CountModel
    maximum: FloatArray
    nodes: int

    def profile(self, tau2: float) -> float:
        """Return the log likelihood at a tau², maximised over all else."""
        tau, nodes = self.model.tau_at, self.nodes
        begin = self.maximum.copy()
        begin[tau] = math.sqrt(tau2)
        if self.model.model != "UM.RS":  # for which many nodes would take minutes
            nodes = max(nodes, math.ceil(_NODES_A_TAU * begin[tau]))
        found = _climb(self.model, begin, np.arange(tau), nodes)
        return self.model.value(found, nodes).loglik


def fit_counts(
    model: str, groups: TwoGroups, x: FloatArray, labels: Sequence[str], *, common: bool
) -> CountEstimate:
    """Maximise the likelihood.

    Parameters
    ----------
    model : str
        One of `MODELS`.
    groups : TwoGroups
        Events of K studies, none of them silent.
    x : array of shape (K, P)
        Columns of the mean effect, linearly independent.
    labels : sequence of str, length P
        Their names.
    common : bool
        Whether tau is 0.

    Returns
    -------
    CountEstimate

    Raises
    ------
    DataError
        If the likelihood has no maximum, or none was found.
    """
    refuse_separation(groups, x, labels)
    # orthogonal columns of length sqrt(K): one step suits all
    root = math.sqrt(groups.K)
    q, r = np.linalg.qr(x)
    shape = CountModel(model, groups, q * root)
    back = np.linalg.inv(r / root)
    parameters, nodes = _maximum(shape, common=common)
    best = shape.value(parameters, nodes)
    scales = [place for place in shape.scales if parameters[place] == 0.0]
    free = np.setdiff1d(np.arange(parameters.size), scales)
    covariance = _inverse_information(best.hessian, free)
    _refuse_slope(best.gradient[free], covariance[np.ix_(free, free)])
    at, end = shape.n_before, shape.tau_at
    b, tau = parameters[at:end], parameters[end]
    se_tau = math.sqrt(covariance[end, end]) if tau != 0.0 else math.nan
    unconditional = model.startswith("UM")
    return CountEstimate(
        estimate=back @ b,
        covariance=back @ covariance[at:end, at:end] @ back.T,
        tau2=float(tau**2),
        se_tau2=2.0 * abs(tau) * se_tau,
        sigma2=float(parameters[1] ** 2) if model == "UM.RS" else math.nan,
        loglik=best.loglik,
        parameters=end + (0 if common else 1),
        observations=groups.K * (2 if unconditional else 1),
        model=shape,
        maximum=parameters,
        nodes=nodes,
    )


def _maximum(model: CountModel, *, common: bool) -> tuple[FloatArray, int]:
    """Return the parameters of the highest likelihood and the nodes that they need."""
    nodes = _NODES
    while True:
        found = _best(model, nodes, common=common)
        finer = 2 * nodes - 1
        change = model.value(found, finer).loglik - model.value(found, nodes).loglik
        if abs(change) < _RULE or nodes >= _MOST_NODES:
            return found, finer
        nodes = finer


def _best(model: CountModel, nodes: int, *, common: bool) -> FloatArray:
    """Return the parameters of the highest maximum, variances of 0 among them."""
    tau = model.tau_at
    free = np.arange(tau)
    zero = _climb(model, model.start(), free, nodes)
    zero = _without_scales(model, zero, free, nodes)
    if common:
        return zero
    best, highest, endless = zero, model.value(zero, nodes).loglik + _ZERO, False
    for start in _STARTS[model.model == "UM.RS"]:
        begin = zero.copy()
        begin[tau] = start
        for place in model.scales[:-1]:
            begin[place] = max(abs(begin[place]), 0.2)
        free = np.arange(tau + 1)
        found = _climb(model, begin, free, nodes)
        found = _without_scales(model, found, free, nodes)
        loglik = model.value(found, nodes).loglik
        if loglik > highest:
            best, highest = found, loglik + _ZERO
            endless = bool(found[model.scales].max() > _ENDLESS)
    if endless:
        raise DataError(
            "x1, x2: expected events that give a finite heterogeneity; got a likelihood"
            " that rises without end in a standard deviation, since the studies with "
            'events contradict each other entirely. Use method="EE", or a Bayesian '
            "model."
        )
    return best


def _without_scales(
    model: CountModel, parameters: FloatArray, free: IntArray, nodes: int
) -> FloatArray:
    """Set standard deviations to 0 that are so small that nothing is lost."""
    for place in model.scales:
        if place not in free or not 0.0 < abs(parameters[place]) < _SMALL:
            continue
        begin = parameters.copy()
        begin[place] = 0.0
        fewer = np.setdiff1d(free, [place])
        found = _climb(model, begin, fewer, nodes)
        lost = model.value(parameters, nodes).loglik - model.value(found, nodes).loglik
        if lost < _ZERO:
            parameters, free = found, fewer
    return parameters


def _climb(
    model: CountModel, start: FloatArray, free: IntArray, nodes: int
) -> FloatArray:
    """Maximise over the free parameters from one start."""

    def full(values: FloatArray) -> FloatArray:
        parameters = start.copy()
        parameters[free] = values
        return parameters

    value = _remembering(lambda values: _defined(model, full(values), nodes))
    block = np.ix_(free, free)
    scales = np.isin(free, model.scales)

    def stop(values: FloatArray) -> None:
        if np.abs(values[scales]).max(initial=0.0) > _ENDLESS:
            raise _EndlessError(values)

    found = _minimum(
        lambda values: -value(values).loglik,
        lambda values: -value(values).gradient[free],
        lambda values: -value(values).hessian[block],
        start[free],
        stop,
    )
    here = value(found)
    for _ in range(3):  # to the digits that the likelihood has
        step = _newton_step(here.gradient[free], here.hessian[block])
        there = value(found + step)
        if not np.abs(there.gradient).max() < np.abs(here.gradient).max():
            break
        found, here = found + step, there
    parameters = full(found)
    parameters[model.scales] = np.abs(parameters[model.scales])
    return parameters


def _defined(model: CountModel, parameters: FloatArray, nodes: int) -> Value:
    """Return the log likelihood, and -inf where a trial step is beyond all numbers."""
    with np.errstate(all="ignore"):
        value = model.value(parameters, nodes)
    if all(np.isfinite(part).all() for part in value):
        return value
    zero = np.zeros(parameters.size)
    return Value(-math.inf, zero, -np.eye(parameters.size))


class _EndlessError(Exception):
    """A standard deviation is on its way to infinity; holds the last values."""


def _minimum(
    function: Callable[[FloatArray], float],
    gradient: Callable[[FloatArray], FloatArray],
    hessian: Callable[[FloatArray], FloatArray],
    start: FloatArray,
    stop: Callable[[FloatArray], None],
) -> FloatArray:
    from scipy.optimize import minimize

    try:
        found = minimize(  # type: ignore[call-overload]  # of its callback
            function, start, jac=gradient, hess=hessian, method="trust-exact",
            callback=stop, options={"gtol": 1e-6, "maxiter": 500},
        )  # fmt: skip
    except _EndlessError as endless:
        return np.asarray(endless.args[0])
    return np.asarray(found.x)


def _remembering(
    function: Callable[[FloatArray], Value],
) -> Callable[[FloatArray], Value]:
    """Return a function that does not compute twice at the point where it was last."""
    last: list[tuple[bytes, Value]] = []

    def remembered(values: FloatArray) -> Value:
        key = values.tobytes()
        if not last or last[0][0] != key:
            last[:] = [(key, function(values))]
        return last[0][1]

    return remembered


def _newton_step(gradient: FloatArray, hessian: FloatArray) -> FloatArray:
    try:
        return np.asarray(np.linalg.solve(-hessian, gradient))
    except np.linalg.LinAlgError:
        return np.zeros_like(gradient)


def _refuse_slope(gradient: FloatArray, covariance: FloatArray) -> None:
    """Refuse a point from which a Newton step is no rounding, in standard errors."""
    off = np.abs(covariance @ gradient) / np.sqrt(np.diag(covariance))
    if off.max() > _OFF:
        raise DataError(
            "x1, x2: expected events whose likelihood has a maximum; got none after "
            f"500 steps ({off.max():.1g} standard errors are missing). Use another "
            "model, or report the data."
        )


def _inverse_information(hessian: FloatArray, free: IntArray) -> FloatArray:
    """Covariance of all parameters, 0 for those that are not free."""
    block = np.ix_(free, free)
    covariance = np.zeros_like(hessian)
    try:
        root = np.linalg.inv(np.linalg.cholesky(-hessian[block]))
    except np.linalg.LinAlgError:
        raise DataError(
            "x1, x2: expected events that tell the parameters apart; got a likelihood "
            "that is flat at its maximum. Leave moderators out, or use "
            'method="EE", or model="UM.FS".'
        ) from None
    covariance[block] = root.T @ root
    return covariance
