"""Integrals of the studies' likelihoods over normal true effects."""

from __future__ import annotations

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.counts.kernels import Derivatives, Kernel

_DROP = 37.0
"""What is smaller than the largest value by the exponential of this is left out."""

_LARGEST_LOG = 100.0
"""Effects further from their mean have no likelihood to speak of."""

_FAR = np.sqrt(2.0 * _DROP) + 0.05
"""Further from its mode, in units of tau, no integrand has any of that size."""


def marginal(
    kernel: Kernel, mean: FloatArray, tau: float, phi: FloatArray, nodes: int
) -> Derivatives:
    """Integrate likelihoods over effects ``theta ~ Normal(mean, tau²)``.

    Parameters
    ----------
    kernel : Kernel
        Likelihood of K studies.
    mean : array of shape (K,)
        Mean effect of each.
    tau : float
        Standard deviation of true effects; its sign does not matter.
    phi : array of shape (K,)
        Baselines; empty if the kernel has none.
    nodes : int
        Number of points of the trapezoidal rule.

    Returns
    -------
    Derivatives
        Log likelihoods, shape (K,), and derivatives in phi, if there are any, mean and
        tau: shapes (r, K) and (r, r, K) with r = 2 or 3.

    Notes
    -----
    With ``theta = mean + tau u`` the integrand is analytic in a strip around the real
    axis and log-concave, with a second derivative of its log of -1 or less. The
    trapezoidal sum between the points where it is negligible then converges faster
    than any power of the step (Trefethen & Weideman, 2014).

    References
    ----------
    .. [1] Trefethen, Weideman (2014). SIAM Review 56(3), 385-458.
       doi:10.1137/130932132
    """
    base = phi[:, None]
    lower, upper = _range(kernel, mean, tau, base)
    u = lower + (upper - lower) * np.linspace(0.0, 1.0, nodes)
    here = kernel.at(mean[:, None] + tau * u, base)
    logs = here.value - 0.5 * u**2
    top = logs.max(axis=1, keepdims=True)
    weight = np.exp(logs - top)
    total = weight.sum(axis=1, keepdims=True)
    step = (upper - lower) / (nodes - 1)
    value = (top + np.log(total * step))[:, 0] - 0.5 * np.log(2.0 * np.pi)
    weight /= total
    # derivatives in tau are those in theta, times u
    first = np.concatenate([here.first, here.first[-1:] * u])
    second = np.concatenate([here.second, here.second[-1:] * u])
    second = np.concatenate([second, second[:, -1:] * u], axis=1)
    mean_first = np.einsum("rkn,kn->rk", first, weight)
    spread = first - mean_first[:, :, None]
    mean_second = np.einsum("rskn,kn->rsk", second, weight)
    mean_second += np.einsum("rkn,skn,kn->rsk", spread, spread, weight)
    return Derivatives(value, mean_first, mean_second)


def _range(
    kernel: Kernel, mean: FloatArray, tau: float, base: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return ends, shape (K, 1), outside of which the integrands are negligible."""

    def integrand(u: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        here = kernel.at(mean[:, None] + tau * u, base)
        return (
            here.value - 0.5 * u**2,
            tau * here.first[-1] - u,
            tau**2 * here.second[-1, -1] - 1.0,
        )

    mode = np.zeros((mean.size, 1))
    value, slope, curvature = integrand(mode)
    # the slope falls by 1 or more for each 1 of u: it is 0 between here and there
    # (many events make steep slopes, but their effects are no logs of e.g. 1e50)
    most = (_LARGEST_LOG + np.abs(mean[:, None])) / max(abs(tau), 1e-300)
    low = np.maximum(np.minimum(slope, 0.0), -most)
    high = np.minimum(np.maximum(slope, 0.0), most)
    last = high - low
    for _ in range(100):
        next_ = mode - slope / curvature
        # where Newton's steps leave the bracket, or do not shrink, halve it instead
        poor = (next_ < low) | (next_ > high) | (np.abs(next_ - mode) > 0.5 * last)
        next_ = np.where(poor, 0.5 * (low + high), next_)
        last = np.abs(next_ - mode)
        mode = next_
        value, slope, curvature = integrand(mode)
        low = np.where(slope > 0.0, mode, low)
        high = np.where(slope > 0.0, high, mode)
        # the mode is no further away than the slope
        if (np.abs(slope) < 0.01 * np.sqrt(-curvature)).all():
            break
    floor = value - _DROP
    ends = []
    for side in (-1.0, 1.0):
        end = mode + side * _FAR
        # from outside, Newton's method goes to the root without passing it
        for _ in range(100):
            value, slope, _curvature = integrand(end)
            step = (value - floor) / slope
            end = end - step
            if (np.abs(step) < 0.01 * np.abs(end - mode)).all():
                break
        ends.append(end)
    return ends[0], ends[1]
