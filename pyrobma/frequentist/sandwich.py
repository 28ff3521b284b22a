"""Cluster-robust covariance of coefficients, with small-sample corrections."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pyrobma._types import FloatArray, IntArray
from pyrobma.errors import DataError
from pyrobma.frequentist.covariance import ClusterCovariance, totals
from pyrobma.frequentist.likelihood import ClusterLikelihood
from pyrobma.frequentist.wald import WaldTest, f_test, quadratic_form, standard_errors

Correction = Literal["CR0", "CR1", "CR2"]

_RANK = 1e-13
"""Eigenvalues below this share of the largest possible one are rounding errors."""

_ROUNDING = 1e-12
"""Robust variances and errors below this share of model-based ones are 0."""


@dataclass(frozen=True, slots=True)
class Sandwich:
    """Coefficients with a cluster-robust covariance; made by `sandwich`.

    Attributes
    ----------
    correction : {"CR0", "CR1", "CR2"}
        Small-sample correction.
    clusters : int
        Number of clusters, L.
    estimate : array of shape (P,)
        Generalised least squares estimates.
    factor : array of shape (P, L)
        Factor F of their robust covariance F F': what each cluster adds to them.
    df : array of shape (P,)
        Degrees of freedom of a t test of each; nan if its robust variance is 0.
    """

    correction: Correction
    clusters: int
    estimate: FloatArray
    factor: FloatArray
    df: FloatArray
    _moments: _Moments | None

    def test(self, rows: IntArray) -> WaldTest:
        """Test that some coefficients are all zero.

        Parameters
        ----------
        rows : array of int, shape (q,)
            Which ones.

        Returns
        -------
        WaldTest
            F with q and L - P degrees of freedom; for "CR2" the approximate
            Hotelling's T² test with eta - q + 1, of Pustejovsky and Tipton (2018).
        """
        q = rows.size
        form = quadratic_form(self.estimate, self.factor, rows)
        if self._moments is None:
            return f_test(form / q, q, float(self.df[0]))
        eta = self._moments.eta(rows)
        rest = eta - q + 1.0
        return f_test(form * rest / (eta * q), q, rest)


def sandwich(
    likelihood: ClusterLikelihood, within: float, between: float, *, correction: str
) -> Sandwich:
    """Sandwich covariance of the coefficients under a working covariance.

    Parameters
    ----------
    likelihood : ClusterLikelihood
        Data, design and clusters.
    within, between : float
        Working variance components: a cluster's covariance is
        ``diag(v + within) + between``.
    correction : {"CR1", "CR2", "CR0"}
        "CR0" has no correction; "CR1" multiplies the covariance by L / (L - P). Both
        test with L - P degrees of freedom. "CR2" makes the covariance unbiased if the
        working covariance is right, with Satterthwaite degrees of freedom; it costs
        the cube of the largest cluster's size, where the others are linear.

    Returns
    -------
    Sandwich

    Raises
    ------
    DataError
        If there are not more clusters than coefficients, or the correction is not
        known.

    Notes
    -----
    The covariance is ``M Σ_c (G_c' e_c)(G_c' e_c)' M`` with residuals e, model-based
    covariance M of the coefficients, and ``G = A S⁻¹ X``. A is the identity but for
    CR2, where ``A = U' B^(-1/2) U`` with ``S = U'U`` (Cholesky) and ``B = U (S -
    X M X') U'``, all of one cluster, the root of a generalised inverse. All is computed
    with columns ``Z = X F``, ``F F' = M``, whose coefficients have covariance I.

    References
    ----------
    .. [1] Pustejovsky, Tipton (2018). J. Bus. Econ. Stat. 36(4), 672-683.
       doi:10.1080/07350015.2016.1247004
    """
    if correction not in ("CR0", "CR1", "CR2"):
        raise DataError(
            f"correction: expected 'CR0', 'CR1' or 'CR2'; got {correction!r}. "
            "Use one of these."
        )
    n, p = likelihood.n_clusters, likelihood.n_coefficients
    _check_clusters(n, p, correction)
    estimate, root = likelihood.coefficients(within, between)
    se = standard_errors(root)
    z = likelihood.x @ root
    covariance = likelihood.covariance(within, between)
    weights = covariance.unwhitened(covariance.whitened(z.T))[0].T
    moments, df = None, np.full(p, float(n - p))
    if correction == "CR2":
        weights = _bias_reduced(covariance, z, weights)
        moments = _moments(covariance, z, weights @ (root.T / se))
        df = np.array([moments.eta(np.array([row])) for row in range(p)])
    residual = likelihood.y - likelihood.x @ estimate
    factor = root @ totals(likelihood.cluster, weights.T * residual)
    if correction == "CR1":
        factor *= math.sqrt(n / (n - p))
    factor[standard_errors(factor) < _ROUNDING * se] = 0.0
    return Sandwich(
        correction=correction,  # type: ignore[arg-type]
        clusters=n,
        estimate=estimate,
        factor=factor,
        df=df,
        _moments=moments,
    )


def _check_clusters(n: int, p: int, correction: str) -> None:
    if n < 2:
        raise DataError(
            "cluster: expected at least two clusters; got one. "
            "A robust standard error needs independent clusters."
        )
    if n <= p and correction != "CR2":
        raise DataError(
            f"cluster: expected more clusters than coefficients; got {n} clusters for "
            f"{p} coefficients. Leave moderators out, or use correction='CR2'."
        )


def _bias_reduced(
    covariance: ClusterCovariance, z: FloatArray, weights: FloatArray
) -> FloatArray:
    """Return ``A weights`` of every cluster, shape (K, P); `weights` is ``S⁻¹ Z``."""
    cluster = covariance.cluster
    rows = np.argsort(cluster, kind="stable")
    sizes = np.bincount(cluster)
    first = np.cumsum(sizes) - sizes
    result = np.empty_like(weights)
    # clusters of one size go through the matrix routines in one batch
    for size in np.unique(sizes):
        index = rows[first[sizes == size][:, None] + np.arange(size)]
        own = z[index]
        sigma = covariance.variance[index][..., None] * np.eye(size)
        sigma += covariance.between
        lower = np.linalg.cholesky(sigma)
        upper = np.swapaxes(lower, 1, 2)
        middle = upper @ (sigma - own @ np.swapaxes(own, 1, 2)) @ lower
        values, vectors = np.linalg.eigh(middle)
        largest = np.trace(sigma, axis1=1, axis2=2)[:, None] ** 2
        inverse = np.zeros_like(values)
        np.divide(1.0, np.sqrt(np.abs(values)), inverse, where=values > _RANK * largest)
        right = np.swapaxes(vectors, 1, 2) @ upper @ weights[index]
        result[index] = lower @ (vectors @ (inverse[..., None] * right))
    return result


# ---- degrees of freedom ----------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Moments:
    """What the variance of a robust covariance under the working one is made of.

    The robust covariance of coefficients s and t is ``Σ_c (h_cs'e)(h_ct'e)``, with
    ``h_cs`` the column s of ``G M`` in cluster c, here in units of its standard error.
    The residuals e have covariance ``S - Z Z'``, so that ``h_cs'e`` and ``h_dt'e`` have
    covariance ``[c = d] δ_cst - b_cs'b_dt``, ``δ_cst = h_cs'S h_ct`` and
    ``b_cs = Z'h_cs``: diagonal plus low rank over clusters.

    Attributes
    ----------
    delta : array of shape (L, P, P)
        δ, by c, s and t.
    b : array of shape (L, P, P)
        b, by c, its own entries, and s.
    """

    delta: FloatArray
    b: FloatArray

    def eta(self, rows: IntArray) -> float:
        """Return degrees of freedom of the covariance of some coefficients.

        Those of the Wishart distribution with the same mean, and the same sum of the
        variances of its entries when scaled by the mean: ``q (q + 1) / Σ Var``. For
        one coefficient they are Satterthwaite's; nan if the mean is singular.
        """
        q = rows.size
        delta, b = self.delta[:, rows[:, None], rows], self.b[:, :, rows]
        mean = (delta - np.swapaxes(b, 1, 2) @ b).sum(axis=0)
        if np.linalg.eigvalsh(mean)[0] < _ROUNDING:
            return math.nan
        scale = np.linalg.inv(np.linalg.cholesky(mean)).T
        delta, b = scale.T @ delta @ scale, b @ scale
        low = np.swapaxes(b, 1, 2) @ b
        own = delta - low
        cross = np.einsum("cpt,crv->tvpr", b, b)

        def traces(x: FloatArray) -> FloatArray:
            return np.asarray(np.trace(x, axis1=1, axis2=2))

        variances = (
            np.sum(traces(own) ** 2 - traces(low) ** 2)
            + np.sum(own**2 - low**2)
            + np.sum(cross**2)
            + np.einsum("tvpr,tvrp->", cross, cross)
        )
        return float(q * (q + 1) / variances)


def _moments(covariance: ClusterCovariance, z: FloatArray, h: FloatArray) -> _Moments:
    """Moments of h, shape (K, P)."""
    cluster, p = covariance.cluster, h.shape[1]

    def products(x: FloatArray) -> FloatArray:
        pairs = (x.T[:, None, :] * h.T).reshape(p * p, -1)
        return np.moveaxis(totals(cluster, pairs).reshape(p, p, -1), 2, 0)

    sums = totals(cluster, h.T).T
    common = covariance.between * sums[:, :, None] * sums[:, None, :]
    delta = products(covariance.variance[:, None] * h) + common
    return _Moments(delta, products(z))
