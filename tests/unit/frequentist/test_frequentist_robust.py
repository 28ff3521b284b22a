import numpy as np
import pytest
from frequentist_data import bcg, delinquency, effects_of, schools, simulated
from scipy.linalg import fractional_matrix_power, sqrtm
from scipy.stats import f, t

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


# ---- meta-regression -------------------------------------------------------
# clubSandwich's documentation of vcovCR for rma.uni and rma.mv, dat.assink2016,
# yi ~ year + deltype: covariance, degrees of freedom, Wald tests (term, F, df, df2, p)
CLUB_SANDWICH = {
    "rma": (
        [
            [0.004914493, -0.0017836453, 0.0019509336, -0.0022872378],
            [-0.001783645, 0.0007185062, -0.0008482905, 0.0004549436],
            [0.001950934, -0.0008482905, 0.0083677591, 0.0016321051],
            [-0.002287238, 0.0004549436, 0.0016321051, 0.0060609926],
        ],
        [6.44, 6.00, 8.97, 1.95],
        [0.7875, 0.0438, 0.0002, 0.0200],
        (None, 14.9, 3, 2.63, 0.036),
    ),
    "rma_mv": (
        [
            [0.015081059, -0.0020131555, -0.0036579995, -0.007130740],
            [-0.002013156, 0.0007603265, -0.0002607379, 0.000218784],
            [-0.003658000, -0.0002607379, 0.0042972555, 0.004769307],
            [-0.007130740, 0.0002187840, 0.0047693066, 0.010075586],
        ],
        [5.35, 7.22, 2.25, 2.03],
        [0.10015, 0.20977, 0.00555, 0.03614],
        ("deltype", 30.6, 2, 0.842, 0.164),
    ),
}


@pytest.mark.parametrize("model", CLUB_SANDWICH)
def test_delinquency_reproduces_club_sandwich(model):
    effects, table = delinquency()
    fitted = {"rma": rma, "rma_mv": rma_mv}[model]
    robust = fitted(effects, mods="year + deltype", data=table).robust("CR2")
    covariance, df, p, (term, *test) = CLUB_SANDWICH[model]
    # metafor stops at 1e-5 of tau²
    np.testing.assert_allclose(robust.covariance, covariance, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(robust.coefficients.df, df, atol=5.1e-3)
    # printed as <0.001 for one
    np.testing.assert_allclose(robust.coefficients.p, p, atol=1e-4)
    row = (
        robust.terms.loc[term]
        if term
        else [robust.QM, robust.QM_df, robust.QM_df2, robust.QM_p]
    )
    np.testing.assert_allclose(list(row), test, rtol=4e-3)


def dense_regression(effects, x, within, between, *, reduced):
    """Robust covariance, and the vectors and covariance it is made of.

    The columns of `h` are what the residuals are multiplied by, by coefficient and
    cluster.
    """
    y, cluster = effects.y, effects.cluster
    same = cluster[:, None] == cluster
    sigma = np.diag(effects.se**2 + within) + between * same
    w = np.linalg.inv(sigma)
    m = np.linalg.inv(x.T @ w @ x)
    residual_covariance = sigma - x @ m @ x.T
    residual = y - x @ m @ x.T @ w @ y
    h = np.zeros((x.shape[1], cluster.max() + 1, y.size))
    for c in range(cluster.max() + 1):
        own = cluster == c
        block = np.ix_(own, own)
        adjust = np.eye(own.sum())
        if reduced:
            upper = np.linalg.cholesky(sigma[block]).T
            middle = upper @ residual_covariance[block] @ upper.T
            adjust = upper.T @ np.linalg.inv(sqrtm(middle).real) @ upper
        h[:, c, own] = (adjust @ np.linalg.inv(sigma[block]) @ x[own] @ m).T
    scores = h @ residual
    return scores @ scores.T, h, residual_covariance


def wishart_df(h, residual_covariance):
    """Degrees of freedom of a robust covariance, all quadratic forms written out."""
    q = h.shape[0]
    mean = np.einsum("sci,ij,tcj->st", h, residual_covariance, h)
    h = np.einsum("st,tci->sci", fractional_matrix_power(mean, -0.5), h)
    variances = 0.0
    for s in range(q):
        for other in range(q):
            form = h[s].T @ h[other]
            product = 0.5 * (form + form.T) @ residual_covariance
            variances += 2.0 * np.trace(product @ product)
    return q * (q + 1) / variances


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("correction", ["CR0", "CR1", "CR2"])
def test_robust_regressions_are_the_matrix_formulas(seed, correction):
    effects = simulated(40, 12, within=0.05, between=0.1, seed=seed)
    rng = np.random.default_rng(seed)
    columns = {
        "own": rng.normal(size=40),
        "study": rng.normal(size=12)[effects.cluster],
        "kind": rng.choice(["a", "b", "c"], 40),
    }
    fit = rma_mv(effects, mods=columns)
    x, n, p = fit._likelihood.x, 12, 5
    covariance, h, residual_covariance = dense_regression(
        effects, x, fit.sigma2_within, fit.sigma2_between, reduced=correction == "CR2"
    )
    if correction == "CR1":
        covariance *= n / (n - p)
    robust = fit.robust(correction)
    np.testing.assert_allclose(robust.covariance, covariance, rtol=1e-8, atol=1e-12)
    b = fit.coefficients.estimate.to_numpy()
    df = [n - p] * p
    if correction == "CR2":
        df = [wishart_df(h[[s]], residual_covariance) for s in range(p)]
        # unbiased under the working covariance
        mean = np.einsum("sci,ij,tcj->st", h, residual_covariance, h)
        np.testing.assert_allclose(mean, fit.covariance, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(robust.coefficients.df, df, rtol=1e-8)
    statistic = b / np.sqrt(np.diag(covariance))
    expected = 2 * t.sf(np.abs(statistic), df)
    np.testing.assert_allclose(robust.coefficients.p, expected, rtol=1e-7)
    for name, rows in {"own": [1], "kind": [3, 4]}.items():
        q = len(rows)
        form = b[rows] @ np.linalg.inv(covariance[np.ix_(rows, rows)]) @ b[rows]
        rest, value = n - p, form / q
        if correction == "CR2":
            eta = wishart_df(h[rows], residual_covariance)
            rest = eta - q + 1
            value = rest / (eta * q) * form
        row = robust.terms.loc[name]
        assert row.tolist() == pytest.approx(
            [value, q, rest, f.sf(value, q, rest)], rel=1e-7
        )


def test_one_coefficient_has_the_t_test_of_its_row():
    effects, table = delinquency()
    robust = rma_mv(effects, mods="year", data=table).robust("CR2")
    row = robust.coefficients.loc["year"]
    assert pytest.approx(row.statistic**2, rel=1e-9) == robust.QM
    assert (robust.QM_df2, robust.QM_p) == pytest.approx((row.df, row.p), rel=1e-9)


@pytest.mark.parametrize("correction", ["CR0", "CR1"])
def test_a_mean_of_one_cluster_has_no_robust_error(correction):
    # the weighted residuals of a cluster with a mean of its own sum to 0
    effects = simulated(30, 8, within=0.05, between=0.1, seed=5)
    kind = np.where(effects.cluster == 0, "a", "b")
    for fit in (rma_mv(effects, mods={"k": kind}), rma(effects, mods={"k": kind})):
        robust = fit.robust(correction)
        intercept, difference = robust.coefficients.itertuples()
        assert intercept.se == 0.0
        assert np.isnan([intercept.statistic, intercept.p]).all()
        assert difference.se > 0.0
        assert 0.0 <= difference.p <= 1.0


def test_a_cluster_that_a_moderator_describes_alone_does_not_disturb_the_others():
    # an indicator of one estimate removes it, with its cluster of one
    effects = effects_of(*[np.random.default_rng(i).uniform(0.1, 1, 9) for i in (1, 2)])
    alone = np.arange(9) == 8
    fit = rma(effects, "FE", mods={"x": alone.astype(float)})
    rest = rma(effects_of(effects.y[:8], effects.se[:8] ** 2), "FE").robust("CR2")
    row = fit.robust("CR2").coefficients.loc["intercept"]
    assert (row.estimate, row.se, row.df) == pytest.approx(
        (rest.estimate, rest.se, rest.df), rel=1e-9
    )


def test_clusters_not_more_than_coefficients_are_refused_without_cr2():
    effects = simulated(20, 3, within=0.05, between=0.1, seed=6)
    columns = {
        name: np.random.default_rng(i).normal(size=20) for i, name in enumerate("uvw")
    }
    fit = rma(effects, mods=columns)
    with pytest.raises(DataError, match="got 3 clusters for 4 coefficients"):
        fit.robust("CR1")
    robust = fit.robust("CR2")
    # three scores cannot test four coefficients, but each of them
    assert np.isfinite(robust.coefficients.p).all()
