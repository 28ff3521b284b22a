"""The maximum of a location-scale likelihood, which may lie where tau² is 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.frequentist.intervals import Interval, crossing
from pyrobma.frequentist.scale_likelihood import Evaluation, ScaleLikelihood

_LEVELS = (math.log(1e-4), math.log(0.01), math.log(0.1), 0.0)
"""Of log tau² in starts, from the data's own unit."""

_SLOPES = (1.5, 5.0, 20.0)
"""In starts, of log tau² for each standard deviation along a direction."""

_TOPS = (-1.0, 1.0)
"""In starts, the highest log tau² of a row, from the data's own unit."""

_DIRECTIONS = 50
"""How many random directions starts go in, besides those of the columns."""

_SURE = 5
"""How many starts are followed in any case."""

_RUNS = 10
"""How many of the other starts are followed: the most likely ones."""

_LARGEST = 200.0
"""Of log tau² over the data's own unit: no maximum is beyond it."""

_GRADIENT = 1e-6
"""Where the optimiser stops, in units of the log likelihood; Newton's steps follow."""

_NEWTON = 5
"""How many of them at most: each doubles the digits."""

_NEGLIGIBLE = 1e-4
"""Share in the variance below which tau² may be on its way to 0: with the optimiser's
gradient, less than this has no other stop."""

_DEPENDENT = 1e-9
"""Of a row's norm: what rounding may leave of it if it depends on others."""

_FLAT = 60.0
"""Range of log tau² over the rows beyond which a profile does not change any more."""


@dataclass(frozen=True, slots=True, eq=False)
class _Maximum:
    """Coefficients of columns of log tau², with a root of their covariance."""

    coefficients: FloatArray
    root: FloatArray
    log_tau2: FloatArray
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class ScaleEstimate:
    """Where the likelihood of scale coefficients has its supremum.

    Attributes
    ----------
    z : array of shape (K, q)
        Columns of log tau², linearly independent.
    log_tau2 : array of shape (K,)
        Of the rows; -inf where tau² is 0.
    value : float
        The supremum of the log likelihood.
    near : array of shape (q,)
        Finite coefficients with a likelihood that is as high but for rounding.

    Notes
    -----
    The likelihood may rise while coefficients go to infinity along directions d that
    leave log tau² of some rows as it is, ``z d = 0``, and lower that of the others,
    ``z d < 0``, as that of a logistic regression does if groups are separated (Albert &
    Anderson, 1984). In the limit tau² is 0 in these others, and combinations of
    coefficients at right angles to all d have finite estimates.

    References
    ----------
    .. [1] Albert, Anderson (1984). Biometrika 71(1), 1-10. doi:10.1093/biomet/71.1.1
    """

    z: FloatArray
    log_tau2: FloatArray
    value: float
    near: FloatArray
    # z = _columns @ inv(_turn), of mean square 1 each; _span is an orthonormal basis
    # of finite combinations of their coefficients, with values and a root of covariance
    _columns: FloatArray
    _turn: FloatArray
    _span: FloatArray
    _finite: FloatArray
    _root: FloatArray

    @property
    def boundary(self) -> BoolArray:
        """Rows in which tau² is 0, shape (K,)."""
        return np.isneginf(self.log_tau2)

    def combined(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return estimates of combinations of the coefficients, and their covariance.

        Parameters
        ----------
        rows : array of shape (n, q)
            Weights: the identity for the coefficients, columns of new rows for log
            tau² there.

        Returns
        -------
        array of shape (n,)
            Estimates; -inf or inf in the limit, nan where they have none.
        array of shape (n, q)
            Factor F of their covariance F F', from the observed information; nan for
            those that are not finite.
        """
        turned = rows @ self._turn
        found = turned @ self._span @ self._finite
        factor = np.zeros(rows.shape)
        factor[:, : self._finite.size] = turned @ self._span @ self._root
        for i in np.flatnonzero(~_within(turned, self._span)):
            found[i] = self._limit(turned[i])
            factor[i] = math.nan
        return found, factor

    def _limit(self, row: FloatArray) -> float:
        free = _complement(self._span)
        away = self._columns[self.boundary] @ free
        rise = row @ free / np.linalg.norm(row @ free)
        if _lowest(rise, away) > _DEPENDENT:
            return math.inf
        return -math.inf if _lowest(-rise, away) > _DEPENDENT else math.nan


def estimate_scale(
    likelihood: ScaleLikelihood, z: FloatArray, log_tau2: float
) -> ScaleEstimate:
    """Maximise the likelihood over coefficients of log tau².

    Parameters
    ----------
    likelihood : ScaleLikelihood
        Of the data.
    z : array of shape (K, q)
        Columns, the intercept first, linearly independent.
    log_tau2 : float
        The estimate of a model with one tau², as a start; -inf for none.
    """
    columns, turn = _orthonormal(z)
    starts = _starts(columns, likelihood.log_unit, log_tau2)
    best = near = _maximise(likelihood, columns, np.zeros(len(z)), starts)
    span = np.eye(z.shape[1])
    # each round lets tau² of further rows be 0, if it can and the likelihood agrees
    while True:
        kept = likelihood.share(best.log_tau2) >= _NEGLIGIBLE
        smaller = _row_space(columns[kept])
        away = ~_within(columns, smaller)
        if smaller.shape[1] == span.shape[1]:
            break
        free = _complement(smaller)
        if math.isinf(_lowest(np.zeros(free.shape[1]), columns[away] @ free)):
            break
        limit = _maximise(
            likelihood,
            np.where(away[:, None], 0.0, columns @ smaller),
            np.where(away, -math.inf, 0.0),
            [best.log_tau2],
        )
        if limit.value < best.value - 1e-12 * abs(best.value):
            break
        best, span = limit, smaller
    return ScaleEstimate(
        z=z,
        log_tau2=best.log_tau2,
        value=best.value,
        near=turn @ near.coefficients,
        _columns=columns,
        _turn=turn,
        _span=span,
        _finite=best.coefficients,
        _root=best.root,
    )


def profile_intervals(
    likelihood: ScaleLikelihood, estimate: ScaleEstimate, quantile: float
) -> list[Interval]:
    """Find profile-likelihood intervals of the scale coefficients.

    Parameters
    ----------
    likelihood : ScaleLikelihood
        Of the data.
    estimate : ScaleEstimate
        Its maximum.
    quantile : float
        Root of twice the drop of the log likelihood at their ends.

    Returns
    -------
    list of Interval
        An end is infinite if the likelihood does not drop as much on the way there.
    """
    return [
        Interval(
            *(_end(likelihood, estimate, j, sign, quantile) for sign in (-1.0, 1.0))
        )
        for j in range(estimate.near.size)
    ]


def _end(
    likelihood: ScaleLikelihood,
    estimate: ScaleEstimate,
    j: int,
    sign: float,
    quantile: float,
) -> float:
    """One end of the interval of coefficient j, upwards or downwards."""
    column, others = estimate.z[:, j], np.delete(estimate.z, j, axis=1)
    centre, peak = estimate.near[j], estimate.z @ estimate.near
    last = peak

    def excess(step: float) -> float:
        nonlocal last
        offset = (centre + sign * step) * column
        best = _maximise(likelihood, others, offset, [last, peak])
        last = best.log_tau2
        # the square root of the deviance is nearly straight: few steps to its root
        return math.sqrt(max(2.0 * (estimate.value - best.value), 0.0)) - quantile

    # what the other columns cannot make up for
    own = column - others @ np.linalg.lstsq(others, column, rcond=None)[0]
    unit = 1.0 / float(np.abs(own).max())
    # an infinite estimate is approached from wherever the optimiser has stopped
    depth = float(np.abs(peak - likelihood.log_unit).max())
    before, step = 0.0, unit
    while step < (_FLAT + depth) * unit:
        if excess(step) > 0.0:
            return float(centre + sign * crossing(excess, before, step))
        before, step = step, 2.0 * step
    return sign * math.inf


# ---- the maximum -----------------------------------------------------------
def _starts(columns: FloatArray, log_unit: float, log_tau2: float) -> list[FloatArray]:
    """Log tau² of the rows: even at several levels, and steep in many directions.

    Likelihoods can have several peaks: one where tau² is large in few rows of extreme
    columns, say, and 0 in the others. Hence steep starts are set by their top row.
    """
    levels = [log_unit + level for level in _LEVELS]
    if math.isfinite(log_tau2):
        levels.append(log_tau2)
    own = columns[:, 1:]
    axes = np.eye(own.shape[1])
    rng = np.random.default_rng(0)  # the same starts in every fit
    random = rng.normal(size=(_DIRECTIONS, own.shape[1]))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    steep = []
    for direction in (*axes, *-axes, *random):
        below = own @ direction
        below -= below.max()
        steep += [log_unit + top + s * below for top in _TOPS for s in _SLOPES]
    return [np.full(len(columns), level) for level in levels] + steep


def _maximise(
    likelihood: ScaleLikelihood,
    z: FloatArray,
    offset: FloatArray,
    starts: Sequence[FloatArray],
) -> _Maximum:
    """Maximise over coefficients b of ``log tau² = offset + z b``.

    Parameters
    ----------
    likelihood : ScaleLikelihood
        Of the data.
    z : array of shape (K, r)
        Columns; r may be 0.
    offset : array of shape (K,)
        -inf where tau² is 0; z is 0 there.
    starts : sequence of array of shape (K,)
        Log tau² to start from; the nearest that z can have is taken.
    """
    columns, turn = _orthonormal(z)
    line = _Line(likelihood, offset, columns)
    points = [line.nearest(start) for start in starts]
    if z.shape[1]:
        # the first ones in any case: they are where the peak is with many rows
        rest = sorted(points[_SURE:], key=lambda b: -line.at(b).value)[:_RUNS]
        points = [_climb(line, b) for b in points[:_SURE] + rest]
    b = max(points, key=lambda b: line.at(b).value)
    at = line.at(b)
    root = turn @ _root_of_inverse(-at.hessian)
    return _Maximum(turn @ b, root, line.log_tau2(b), at.value)


@dataclass(frozen=True, slots=True)
class _Line:
    """The likelihood as a function of coefficients; arguments as of `_maximise`."""

    likelihood: ScaleLikelihood
    offset: FloatArray
    columns: FloatArray

    def log_tau2(self, b: FloatArray) -> FloatArray:
        return self.offset + self.columns @ b

    def at(self, b: FloatArray) -> Evaluation:
        return self.likelihood.evaluate(self.log_tau2(b), self.columns)

    def inside(self, b: FloatArray) -> bool:
        top = self.likelihood.log_unit + _LARGEST
        return bool((self.log_tau2(b) < top).all())

    def nearest(self, log_tau2: FloatArray) -> FloatArray:
        """Coefficients for the nearest log tau² by least squares."""
        free = np.isfinite(self.offset)
        rest = np.where(free, log_tau2 - np.where(free, self.offset, 0.0), 0.0)
        return np.asarray(rest @ self.columns / len(self.columns))


def _climb(line: _Line, start: FloatArray) -> FloatArray:
    """Go up from a point: a trust region first, then Newton's last digits."""
    from scipy.optimize import minimize

    def loss(b: FloatArray) -> float:
        return -line.at(b).value if line.inside(b) else math.inf

    def slope(b: FloatArray) -> FloatArray:
        return -line.at(b).gradient

    def curvature(b: FloatArray) -> FloatArray:
        return -line.at(b).hessian

    run = minimize(
        loss,
        start,
        jac=slope,
        hess=curvature,
        method="trust-exact",
        options={"gtol": _GRADIENT},
    )
    b = np.asarray(run.x, dtype=float)
    for _ in range(_NEWTON):
        here = line.at(b)
        step = np.linalg.lstsq(-here.hessian, here.gradient, rcond=None)[0]
        there = line.at(b + step)
        if not np.linalg.norm(there.gradient) < np.linalg.norm(here.gradient):
            break
        b = b + step
    return b


# ---- linear algebra --------------------------------------------------------
def _orthonormal(z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Columns C with ``C'C = K`` and a matrix T with ``C = z T``."""
    q, r = np.linalg.qr(z)
    size = math.sqrt(len(z))
    return q * size, np.linalg.inv(r) * size


def _row_space(rows: FloatArray) -> FloatArray:
    """Orthonormal columns that span the rows, which have norms about 1."""
    _, sizes, basis = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(basis[sizes > _DEPENDENT].T)


def _complement(span: FloatArray) -> FloatArray:
    """Orthonormal columns at right angles to those of `span`."""
    return np.linalg.qr(span, mode="complete")[0][:, span.shape[1] :]


def _within(rows: FloatArray, span: FloatArray) -> BoolArray:
    """Whether rows are combinations of orthonormal columns."""
    rest = np.linalg.norm(rows - rows @ span @ span.T, axis=1)
    return np.asarray(rest <= _DEPENDENT * np.linalg.norm(rows, axis=1))


def _lowest(slope: FloatArray, rows: FloatArray) -> float:
    """Minimum of ``slope d`` over d with ``rows d <= -1``; inf if there is no d."""
    from scipy.optimize import linprog

    run = linprog(slope, A_ub=rows, b_ub=-np.ones(len(rows)), bounds=(None, None))
    if run.status == 2:
        return math.inf
    return -math.inf if run.fun is None else float(run.fun)


def _root_of_inverse(matrix: FloatArray) -> FloatArray:
    """Matrix L with ``L L'`` the inverse; nan where it is not positive definite."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors / np.sqrt(np.where(values > 0.0, values, math.nan))
