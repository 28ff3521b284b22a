import numpy as np
import pytest
from frequentist_data import bcg, effects_of, schools, simulated
from scipy.linalg import sqrtm
from scipy.stats import t

from pyrobma.errors import DataError, DataWarning
from pyrobma.frequentist import rma, rma_mv

# metafor, robust(rma(yi, vi), cluster = trial): tests of the package, BCG log RR
METAFOR = [
    ("CR0", 0.029636, 12.0, -4.150592),
    ("CR1", 0.032106, 12.0, -3.98776),
    ("CR2", 0.03229357, 11.04125, -3.97616),
]


@pytest.mark.parametrize(("correction", "variance", "df", "statistic"), METAFOR)
def test_bcg_trials_reproduce_metafor(correction, variance, df, statistic):
    robust = rma(bcg()).robust(correction)
    # metafor's REML stops at steps of 1e-5 in tau²
    assert robust.se**2 == pytest.approx(variance, abs=1e-6)
    assert robust.df == pytest.approx(df, abs=1e-5)
    assert robust.statistic == pytest.approx(statistic, abs=1e-5)


def dense(effects, within, between):
    """Variance, bias-reduced variance and degrees of freedom, by matrices."""
    y, cluster = effects.y, effects.cluster
    same = cluster[:, None] == cluster
    sigma = np.diag(effects.se**2 + within) + between * same
    precision = np.linalg.inv(sigma)
    variance = 1.0 / precision.sum()
    residual_maker = np.eye(y.size) - variance * np.ones((y.size, 1)) @ precision.sum(
        axis=0, keepdims=True
    )
    residual_covariance = residual_maker @ sigma @ residual_maker.T
    residuals = residual_maker @ y
    plain, reduced, rows = 0.0, 0.0, []
    for c in np.unique(cluster):
        own = cluster == c
        block = np.ix_(own, own)
        upper = np.linalg.cholesky(sigma[block]).T
        middle = upper @ residual_covariance[block] @ upper.T
        adjust = upper.T @ np.linalg.inv(sqrtm(middle).real) @ upper
        weights = np.linalg.inv(sigma[block]).sum(axis=0)
        plain += (variance * weights @ residuals[own]) ** 2
        reduced += (variance * weights @ adjust @ residuals[own]) ** 2
        row = np.zeros(y.size)
        row[own] = variance * adjust @ weights
        rows.append(row)
    p = np.array(rows) @ residual_covariance @ np.array(rows).T
    return variance, plain, reduced, p


@pytest.mark.parametrize(
    "effects", [schools(), simulated(25, 7, within=0.05, between=0.1, seed=1)]
)
def test_closed_forms_are_the_matrix_formulas(effects):
    fit = rma_mv(effects)
    _, plain, reduced, p = dense(effects, fit.sigma2_within, fit.sigma2_between)
    n = fit.clusters
    assert fit.robust("CR0").se == pytest.approx(np.sqrt(plain), rel=1e-9)
    assert fit.robust().se == pytest.approx(np.sqrt(plain * n / (n - 1)), rel=1e-9)
    cr2 = fit.robust("CR2")
    assert cr2.se == pytest.approx(np.sqrt(reduced), rel=1e-9)
    assert cr2.df == pytest.approx(np.trace(p) ** 2 / (p**2).sum(), rel=1e-9)


def test_cr2_is_unbiased_under_the_working_covariance():
    effects = schools()
    fit = rma_mv(effects)
    variance, _, _, p = dense(effects, fit.sigma2_within, fit.sigma2_between)
    assert np.trace(p) == pytest.approx(variance, rel=1e-9)


def test_equal_estimates_and_variances_give_the_usual_standard_error():
    y = np.random.default_rng(3).normal(size=9)
    robust = rma(effects_of(y, np.full(9, 0.1))).robust("CR2")
    assert robust.se == pytest.approx(np.std(y, ddof=1) / 3.0, rel=1e-9)
    assert robust.df == pytest.approx(8.0, rel=1e-9)


def test_rma_uses_the_clusters_of_the_effect_sizes():
    robust = rma(schools()).robust()
    assert (robust.clusters, robust.df) == (11, 10.0)


def test_interval_and_p_value_are_those_of_t():
    robust = rma_mv(schools()).robust("CR2", level=0.9)
    half = t.ppf(0.95, robust.df) * robust.se
    assert robust.ci == pytest.approx((robust.estimate - half, robust.estimate + half))
    assert robust.p == pytest.approx(2 * t.sf(abs(robust.statistic), robust.df))


def test_what_has_no_sandwich_is_refused():
    with pytest.raises(DataError, match="expected 'CR0', 'CR1' or 'CR2'; got 'CR3'"):
        rma_mv(schools()).robust("CR3")
    with pytest.warns(DataWarning, match="two clusters or more"):
        one = effects_of([0.1, 0.2], [0.1, 0.1], ["a", "a"])
    with pytest.raises(DataError, match="at least two clusters; got one"):
        rma(one).robust()
