"""Cluster-robust (sandwich) standard errors with small-sample corrections."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.errors import DataError
from pyrobma.frequentist.intervals import Interval, wald
from pyrobma.frequentist.likelihood import ClusterLikelihood
from pyrobma.frequentist.report import Report, p_value, percent, table

Correction = Literal["CR0", "CR1", "CR2"]


@dataclass(frozen=True, slots=True, repr=False)
class RobustEstimate(Report):
    """The mean effect with a cluster-robust standard error.

    Attributes
    ----------
    correction : {"CR1", "CR2", "CR0"}
        Small-sample correction.
    clusters : int
        Number of clusters.
    estimate, se : float
        Mean effect and robust standard error.
    statistic, df, p : float
        t test of zero.
    level : float
        Coverage of `ci`, 0 to 1.
    ci : Interval
        Confidence interval of the mean effect.
    """

    correction: Correction
    clusters: int
    estimate: float
    se: float
    statistic: float
    df: float
    p: float
    level: float
    ci: Interval

    def __str__(self) -> str:
        """Return the table."""
        lower, upper = (f"{percent(self.level)} {end}" for end in ("lower", "upper"))
        body = table(
            ["", "estimate", "se", "t", "df", "p", lower, upper],
            [
                [
                    "mu",
                    self.estimate,
                    self.se,
                    self.statistic,
                    f"{self.df:.2f}",
                    p_value(self.p),
                    *self.ci,
                ]
            ],
        )
        return f"Cluster-robust {self.correction}, {self.clusters} clusters\n\n{body}"


def cluster_robust(
    likelihood: ClusterLikelihood,
    within: float,
    between: float,
    *,
    correction: str,
    level: float,
) -> RobustEstimate:
    """Sandwich standard error of mu under a working covariance.

    Parameters
    ----------
    likelihood : ClusterLikelihood
        Data and clusters.
    within, between : float
        Working variance components: a cluster's covariance is
        ``diag(v + within) + between``.
    correction : {"CR1", "CR2", "CR0"}
        "CR0" has no correction; "CR1" multiplies the variance by L / (L - 1). Both
        test with L - 1 degrees of freedom. "CR2" makes the variance unbiased if the
        working covariance is right, with Satterthwaite degrees of freedom; it costs
        the cube of the largest cluster's size, where the others are linear.
    level : float
        Coverage, 0 to 1.

    Returns
    -------
    RobustEstimate
        Estimate, robust standard error, test and interval.

    Raises
    ------
    DataError
        If there is one cluster only, or the correction is not known.

    Notes
    -----
    The variance is ``M² Σ_c (g_c' e_c)²`` with residuals e, model-based variance M of
    mu, and ``g = A Σ⁻¹ 1``. A is the identity but for CR2, where
    ``A = U' B^(-1/2) U`` with ``Σ = U'U`` (Cholesky) and ``B = U (Σ - M 1 1') U'``.

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
    n = likelihood.n_clusters
    if n < 2:
        raise DataError(
            "cluster: expected at least two clusters; got one. "
            "A robust standard error needs independent clusters."
        )
    mu, variance = likelihood.mean(within, between)
    d = 1.0 / (likelihood.v + within)
    g = d / (1.0 + between * likelihood.total(d))[likelihood.cluster]
    df = float(n - 1)
    if correction == "CR2":
        g = _bias_reduced(likelihood, within, between, variance, g)
        df = _satterthwaite(likelihood, within, between, variance, g)
    scores = likelihood.total(g * (likelihood.y - mu))
    se = variance * math.sqrt(float(scores @ scores))
    if correction == "CR1":
        se *= math.sqrt(n / (n - 1))
    statistic, p, ci = wald(mu, se, level=level, df=df)
    return RobustEstimate(
        correction=correction,  # type: ignore[arg-type]
        clusters=n,
        estimate=mu,
        se=se,
        statistic=statistic,
        df=df,
        p=p,
        level=level,
        ci=ci,
    )


def _bias_reduced(
    likelihood: ClusterLikelihood,
    within: float,
    between: float,
    variance: float,
    weights: FloatArray,
) -> FloatArray:
    """Return g of every cluster, shape (K,), from ``weights = Σ⁻¹ 1``."""
    cluster = likelihood.cluster
    rows = np.argsort(cluster, kind="stable")
    sizes = np.bincount(cluster)
    first = np.cumsum(sizes) - sizes
    result = np.empty_like(weights)
    # clusters of one size go through the matrix routines in one batch
    for size in np.unique(sizes):
        index = rows[first[sizes == size][:, None] + np.arange(size)]
        sigma = between + (likelihood.v[index] + within)[..., None] * np.eye(size)
        lower = np.linalg.cholesky(sigma)
        upper = np.swapaxes(lower, 1, 2)
        values, vectors = np.linalg.eigh(upper @ (sigma - variance) @ lower)
        right = np.swapaxes(vectors, 1, 2) @ upper @ weights[index][..., None]
        root = vectors @ (right / np.sqrt(values)[..., None])
        result[index] = (lower @ root)[..., 0]
    return result


def _satterthwaite(
    likelihood: ClusterLikelihood,
    within: float,
    between: float,
    variance: float,
    g: FloatArray,
) -> float:
    """Degrees of freedom of ``Σ (g' e)²``; its matrix is diagonal plus rank one."""
    sums = likelihood.total(g)
    diagonal = likelihood.total(g**2 * (likelihood.v + within)) + between * sums**2
    squares = sums**2
    trace = diagonal.sum() - variance * squares.sum()
    norm = (
        diagonal @ diagonal
        - 2.0 * variance * (diagonal @ squares)
        + (variance * squares.sum()) ** 2
    )
    return float(trace**2 / norm)
