"""The covariance of clustered estimates: diagonal plus one constant in a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pyrobma._types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class ClusterCovariance:
    """A covariance S of K estimates, ``diag(variance) + between`` in every cluster.

    Parameters
    ----------
    variance : array of shape (K,)
        What estimates do not share, positive.
    between : float
        Covariance of two estimates of one cluster, not negative.
    cluster : array of int, shape (K,)
        Cluster of each estimate, 0 .. L - 1, each one used.

    Attributes
    ----------
    weight : array of shape (K,)
        ``1 / variance``.
    precision : array of shape (L,)
        Sum of the weights of a cluster, D.
    shrink : array of shape (L,)
        ``1 / (1 + between D)``: what is left of the precision of a cluster's mean.
    scale, root : arrays of shape (K,)
        Square roots of `weight` and of `shrink`.

    Notes
    -----
    Let W be the diagonal of the weights and a the unit vector along ``W^(1/2) 1``. In
    a cluster ``S^-1 = W^(1/2) (I - (1 - shrink) a a') W^(1/2) = R'R`` with ``R = (I -
    (1 - sqrt(shrink)) a a') W^(1/2)``. So R x scales x by the root of its weight, and
    the weighted mean of x in the cluster by the root of `shrink` more: linear time.
    """

    variance: FloatArray
    between: float
    cluster: IntArray
    weight: FloatArray = field(init=False)
    precision: FloatArray = field(init=False)
    shrink: FloatArray = field(init=False)
    scale: FloatArray = field(init=False)
    root: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        """Derive what every product needs."""
        weight = 1.0 / self.variance
        precision = totals(self.cluster, weight)
        shrink = 1.0 / (1.0 + self.between * precision)
        set_ = object.__setattr__
        set_(self, "weight", weight)
        set_(self, "precision", precision)
        set_(self, "shrink", shrink)
        set_(self, "scale", np.sqrt(weight))
        set_(self, "root", np.sqrt(shrink)[self.cluster])

    @property
    def log_determinant(self) -> float:
        """Natural log of the determinant of S."""
        return float(
            np.log(self.variance).sum() + np.log1p(self.between * self.precision).sum()
        )

    @property
    def inverse_traces(self) -> tuple[float, float]:
        """Traces of ``S^-1`` and of ``S^-1 J``, J the indicator of a common cluster.

        They are the derivatives of the log determinant in `variance` and `between`.
        """
        squares = totals(self.cluster, self.weight**2)
        return (
            float(self.weight.sum() - self.between * (squares @ self.shrink)),
            float(self.precision @ self.shrink),
        )

    def whitened(self, x: FloatArray) -> FloatArray:
        """Return R x for `x` of shape (K,), or (n, K) for n columns."""
        mean = self._aligned(totals(self.cluster, self.weight * x) / self.precision)
        return np.asarray(self.scale * ((x - mean) + self.root * mean))

    def unwhitened(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return R'z for `z` of shape (K,) or (n, K), and its sums over clusters.

        The first of ``unwhitened(whitened(x))`` is ``S^-1 x``.
        """
        total = totals(self.cluster, self.scale * z)
        mean = self.scale * self._aligned(total / self.precision)
        entries = self.scale * ((z - mean) + self.root * mean)
        return entries, np.sqrt(self.shrink) * total

    def _aligned(self, x: FloatArray) -> FloatArray:
        """Repeat values of clusters for their estimates."""
        return np.take(x, self.cluster, axis=-1)


def totals(cluster: IntArray, x: FloatArray) -> FloatArray:
    """Sum `x`, shape (K,) or (n, K), over each cluster: shape (L,) or (n, L)."""
    if x.ndim == 1:
        return np.asarray(np.bincount(cluster, weights=x), float)
    return np.array([np.bincount(cluster, weights=row) for row in x])
